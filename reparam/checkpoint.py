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

_ITEM_SIZES = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2}

_BUILT_IN = {"safetensors": "reparam_adapters.safetensors"}

_NOT_HERE = (
    (b"PK\x03\x04", "a zip archive (a PyTorch .pt/.pth file or a .keras archive)"),
    (b"\x80", "a pickle (an old PyTorch .pth file)"),
    (b"{", "JSON text (an index of shards, perhaps: name the shards' .safetensors files)"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
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

    def commit(self) -> None:
        """Check that every tensor is complete and give the file its name."""
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

    def open_reader(self, path: Path) -> Reader:
        """Open a file for reading.

        Raises:
            CheckpointError: It is not well formed.
        """
        ...

    def open_writer(
        self,
        path: Path,
        tensors: Mapping[str, TensorInfo],
        metadata: Mapping[str, str],
        *,
        overwrite: bool = False,
    ) -> Writer:
        """Start a file that will appear at `path` on `commit`.

        Raises:
            CheckpointError: The target exists and `overwrite` is false, or is not a regular file.
        """
        ...


def find_format(path: Path) -> Format:
    """Return the adapter whose format the file at `path` has, decided by its first bytes.

    Raises:
        CheckpointError: No adapter knows the content, or it is not a regular file.
        OSError: The file is missing or may not be read.
    """
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


def open_checkpoint(path: Path) -> Reader:
    """Open a checkpoint of any known format for reading.

    Raises:
        CheckpointError: The file is of no known format or not well formed.
        OSError: The file is missing or may not be read.
    """
    return find_format(path).open_reader(path)


def _installed_format(path: Path, head: bytes, size: int) -> Format:
    """Ask the adapters that other packages register; imported late because it costs 80 ms."""
    from importlib.metadata import entry_points  # noqa: PLC0415

    for entry in entry_points(group="reparam.formats"):
        if entry.name not in _BUILT_IN:
            adapter: Any = entry.load()
            if adapter.recognises(head, size):
                return adapter  # type: ignore[no-any-return]
    seen = next((what for magic, what in _NOT_HERE if head.startswith(magic)), "unknown content")
    raise CheckpointError(
        f"{path}: expected a safetensors file, saw {seen}. "
        "Save the state dict with safetensors.torch.save_file in the environment that made it."
    )
