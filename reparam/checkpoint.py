"""What a checkpoint is to the rest of the package, whatever its file format.

A `Reader` shows names, shapes and dtypes at once and data one tensor (or a few rows of one) at a
time. A `Writer` is told every output tensor first and then filled in any order; the target path
appears only when `commit` succeeds. Formats live in adapters, found by content, never by suffix.
"""

from __future__ import annotations

import math
import os
import stat
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from reparam.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from numpy.typing import NDArray

SNIFFED_BYTES = 4096
"""How many leading bytes an adapter sees when asked whether a file is its own."""

_ITEM_SIZES = {
    "float64": 8,
    "float32": 4,
    "float16": 2,
    "bfloat16": 2,
    "float8_e4m3fn": 1,
    "float8_e5m2": 1,
}

_TORCH = "Save the state dict with safetensors.torch.save_file in the environment that made it."

_TENSORFLOW = "Load it in TensorFlow and save the weights with model.save_weights('x.weights.h5')."

_BUILT_IN = {
    "safetensors": "reparam_adapters.safetensors",
    "keras": "reparam_adapters.keras",
}

_NOT_HERE = (
    (b"PK\x03\x04", "a zip archive (a PyTorch .pt/.pth file?)", _TORCH),
    (b"\x80", "a pickle (an old PyTorch .pth file)", _TORCH),
    (
        b"{",
        "JSON text (an index of shards, perhaps)",
        "Name the shards' .safetensors files one by one.",
    ),
)


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


class Format(Protocol):
    """The module-level functions an adapter module provides."""

    def recognises(self, head: bytes, size: int) -> bool:
        """Whether a file of `size` bytes that begins with `head` is of this format."""
        ...

    def open_reader(self, path: Path, hints: Hints | None = None) -> Reader:
        """Open a file for reading.

        Raises:
            CheckpointError: It is not well formed, or has no use for the hints.
        """
        ...

    def open_writer(
        self,
        path: Path,
        tensors: Mapping[str, TensorInfo],
        metadata: Mapping[str, str],
        *,
        rewrite: Rewrite | None = None,
        overwrite: bool = False,
    ) -> Writer:
        """Start a file that will appear at `path` on `commit`.

        Raises:
            CheckpointError: The target exists and `overwrite` is false, is not a regular file, or
                cannot have the form asked for.
        """
        ...


def find_format(path: Path) -> Format:
    """Return the adapter whose format the file at `path` has, decided by its first bytes.

    Raises:
        CheckpointError: No adapter knows the content, or it is not a regular file.
        OSError: The file is missing or may not be read.
    """
    _refuse_tensorflow(path)
    # O_NONBLOCK: opening a FIFO must not wait for a writer that never comes.
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise CheckpointError(f"{path}: not a regular file. Name a checkpoint file.")
        head = os.read(handle, SNIFFED_BYTES)
    finally:
        os.close(handle)
    for module in _BUILT_IN.values():
        adapter: Any = import_module(module)
        if adapter.recognises(head, status.st_size):
            return adapter  # type: ignore[no-any-return]
    return _installed_format(path, head, status.st_size)


def config_beside(path: Path) -> Path:
    """Return where the graph of a weights-only file is written: `x.weights.h5`, `x.config.json`."""
    name = path.name
    for suffix in (".weights.h5", ".weights.json", path.suffix):
        name = name.removesuffix(suffix) if suffix and name == path.name else name
    return path.with_name(f"{name}.config.json")


def open_checkpoint(path: Path, hints: Hints | None = None) -> Reader:
    """Open a checkpoint of any known format for reading.

    Args:
        path: The file.
        hints: What the user adds to it.

    Raises:
        CheckpointError: The file is of no known format or not well formed.
        OSError: The file is missing or may not be read.
    """
    return find_format(path).open_reader(path, hints)


def _installed_format(path: Path, head: bytes, size: int) -> Format:
    """Ask the adapters that other packages register; imported late because it costs 80 ms."""
    from importlib.metadata import entry_points  # noqa: PLC0415

    for entry in entry_points(group="reparam.formats"):
        if entry.name not in _BUILT_IN:
            adapter: Any = entry.load()
            if adapter.recognises(head, size):
                return adapter  # type: ignore[no-any-return]
    unknown = b"", "unknown content", "Is it empty, truncated, or of another program?"
    _, seen, advice = next((n for n in _NOT_HERE if head.startswith(n[0])), unknown)
    raise CheckpointError(f"{path}: expected a safetensors or Keras file, saw {seen}. {advice}")


def _refuse_tensorflow(path: Path) -> None:
    """Refuse what TensorFlow saves without Keras' own formats, by name."""
    if path.is_dir() and (path / "saved_model.pb").is_file():
        raise CheckpointError(f"{path}: a TensorFlow SavedModel, not a Keras file. {_TENSORFLOW}")
    stem = path.name.removesuffix(".index").partition(".data-")[0]
    if (
        stem
        and path.with_name(stem + ".index").is_file()
        and any(name.startswith(stem + ".data-") for name in os.listdir(path.parent))  # noqa: PTH208
    ):
        raise CheckpointError(f"{path}: a TensorFlow checkpoint, not a Keras file. {_TENSORFLOW}")
