"""What a checkpoint is to the rest of the package, whatever its file format.

A `Reader` shows names, shapes and dtypes at once and data one tensor (or a few rows of one) at a
time. A `Writer` is told every output tensor first and then filled in any order; the target path
appears only when `commit` succeeds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from numpy.typing import NDArray

_ITEM_SIZES = {
    "float64": 8,
    "float32": 4,
    "float16": 2,
    "bfloat16": 2,
    "float8_e4m3fn": 1,
    "float8_e5m2": 1,
}


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """Shape and dtype of one stored tensor.

    Attributes:
        shape: The axes in PyTorch order, `(out, in // groups, *space)` for a kernel.
        dtype: NumPy's (or ml_dtypes') name: `float32`, `float16`, `bfloat16`, `int64`, …
    """

    shape: tuple[int, ...]
    dtype: str

    @property
    def nbytes(self) -> int:
        """Stored size in bytes; only for the dtypes that can be fused."""
        return math.prod(self.shape) * _ITEM_SIZES[self.dtype]


@dataclass(frozen=True, slots=True)
class Hints:
    """What a user knows of a checkpoint's net that the file may not say.

    Attributes:
        input_size: Pixels per spatial axis of the net's input.
        config: A file with the net's graph, for weights that were saved without it.
    """

    input_size: tuple[int, ...] | None = None
    config: Path | None = None


@dataclass(frozen=True, slots=True)
class Form:
    """How a checkpoint shall be written.

    Attributes:
        dialect: `keep` that of the source, or `legacy` for weights every Keras loads.
        target: None for the framework that wrote the source, or `keras3`.
    """

    dialect: str = "keep"
    target: str | None = None


@dataclass(frozen=True, slots=True)
class GraphLine:
    """A fusion that a checkpoint's own graph allows.

    Attributes:
        text: The expression and its output, in the notation of recipes.
        eps: Constant of its norms, as the graph states it.
        shared: Layers that other lines may read too.
    """

    text: str
    eps: float
    shared: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Graph:
    """What a checkpoint says of its own net.

    Attributes:
        lines: What can be fused.
        stays: Norms that cannot, each with its reason.
        notes: What else could have been done, and why not.
        assumed: What had to be taken from the user.
    """

    lines: tuple[GraphLine, ...]
    stays: Mapping[str, str]
    notes: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rewrite:
    """What a writer needs that changes a file of the same kind.

    Attributes:
        source: The open source.
        made: Every fused layer with the layers that went into it.
        form: How to write it.
    """

    source: Reader
    made: Mapping[str, tuple[str, ...]]
    form: Form


@runtime_checkable
class Reader(Protocol):
    """An open checkpoint: the header at once, the data on demand."""

    @property
    def path(self) -> Path:
        """The file that was opened."""
        ...

    @property
    def tensors(self) -> Mapping[str, TensorInfo]:
        """Every tensor by name, from the header alone."""
        ...

    @property
    def metadata(self) -> Mapping[str, str]:
        """Free text that travels with the tensors."""
        ...

    @property
    def layout(self) -> str:
        """Whose layer names these are: `torch` or `keras`; recipes say which they know."""
        ...

    @property
    def graph(self) -> Graph | None:
        """The net's own graph, where the file or the user gives it."""
        ...

    def read(self, name: str, rows: tuple[int, int] | None = None) -> NDArray[Any]:
        """Return one tensor in its stored dtype, or its rows `start:stop` along axis 0."""
        ...

    def chunks(self, name: str) -> Iterator[bytes]:
        """Yield the stored bytes of one tensor in order, in pieces of bounded size."""
        ...

    def close(self) -> None:
        """Release the file."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class Closing:
    """What readers share: leaving the `with` block closes them."""

    def close(self) -> None:
        """Release the file."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


@runtime_checkable
class Writer(Protocol):
    """A checkpoint being written; leaving the `with` block without `commit` leaves nothing."""

    def write(self, name: str, rows: NDArray[Any], start: int = 0) -> None:
        """Store consecutive rows (axis 0) of one tensor, beginning at row `start`."""
        ...

    def write_chunks(self, name: str, chunks: Iterator[bytes]) -> None:
        """Store one whole tensor from the bytes of `Reader.chunks`."""
        ...

    def commit(self) -> tuple[str, ...]:
        """Check that every tensor is complete and give the file its name.

        Returns:
            What a user should know of the result, for instance files beside it.
        """
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


def config_beside(path: Path) -> Path:
    """Return where the graph of a weights-only file is written: `x.weights.h5`, `x.config.json`."""
    name = path.name
    for suffix in (".weights.h5", ".weights.json", path.suffix):
        name = name.removesuffix(suffix) if suffix and name == path.name else name
    return path.with_name(f"{name}.config.json")


def hints_after(before: Hints, after: Path) -> Hints:
    """Return what is known of AFTER: the graph beside it, where `fuse` puts it, or BEFORE's."""
    if before.config is None:
        return Hints()
    beside = config_beside(after)
    return Hints(config=beside if beside.is_file() else before.config)
