"""Read and write safetensors files, the common format of PyTorch, JAX and TensorFlow weights.

Reading uses positioned reads, no memory map: with a map, a file truncated by another process ends
this one with SIGBUS. Writing is in `safetensors_writer`.
"""

from __future__ import annotations

import math
import os
import stat
import sys
from io import FileIO
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from reparam.checkpoint import Closing, Form, Hints
from reparam.errors import CheckpointError
from reparam_adapters.safetensors_header import LENGTH_BYTES, MAX_HEADER, Header, parse
from reparam_adapters.safetensors_writer import SafetensorsWriter
from reparam_adapters.strict_json import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from reparam.checkpoint import Rewrite, TensorInfo

_CHUNK = 2**20

_DTYPES: dict[str, np.dtype[Any]] = {
    np.dtype(code).name: np.dtype(code)
    for code in ("f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1")
}
_ML_DTYPES = ("bfloat16", "float8_e4m3fn", "float8_e5m2")


def recognises(head: bytes, size: int) -> bool:
    """Whether a file that begins so is meant as safetensors; it may still be malformed.

    A truncated file is recognised too, because the reader's message about it is the useful one.
    """
    # No text file gets here: the length's upper bytes would be characters.
    length = int.from_bytes(head[:LENGTH_BYTES], "little")
    return size > LENGTH_BYTES and head[LENGTH_BYTES:].startswith(b"{") and length < 2**48


def open_reader(path: Path, hints: Hints | None = None) -> SafetensorsReader:
    """Open a file for reading.

    Raises:
        CheckpointError: It is not well formed, or the user wants to add to what it says.
        OSError: It is missing or may not be read.
    """
    if hints is not None and hints != Hints():
        raise CheckpointError(
            f"{path}: an input size or a model config helps with Keras files only, saw a "
            "safetensors file. Leave it out."
        )
    return SafetensorsReader(path)


def open_writer(
    path: Path,
    tensors: Mapping[str, TensorInfo],
    metadata: Mapping[str, str],
    *,
    rewrite: Rewrite | None = None,
    overwrite: bool = False,
) -> SafetensorsWriter:
    """Start a file that will appear at `path` on `commit`.

    Raises:
        CheckpointError: The target exists and `overwrite` is false, or is not a regular file; its
            directory is missing; or the tensors and the metadata cannot be expressed.
    """
    if rewrite is not None and rewrite.form != Form():
        raise CheckpointError(
            f"{path}: a dialect or target concerns Keras files only, saw a safetensors file. "
            "Leave it out."
        )
    return SafetensorsWriter(path, tensors, metadata, overwrite=overwrite)


class SafetensorsReader(Closing):
    """An open safetensors file; see `reparam.checkpoint.Reader`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # O_NONBLOCK: opening a FIFO must not wait for a writer that never comes.
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        handle = os.open(path, flags)
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            os.close(handle)  # before FileIO, which has its own opinion of directories
            raise CheckpointError(f"{path}: not a regular file. Name a checkpoint file.")
        self._file = FileIO(handle, "rb")
        try:
            self._header = self._read_header(status.st_size)
        except BaseException:
            self.close()
            raise
        self._tensors = MappingProxyType(self._header.tensors)

    @property
    def path(self) -> Path:
        """The file that was opened."""
        return self._path

    @property
    def tensors(self) -> Mapping[str, TensorInfo]:
        """Every tensor in the order of the names."""
        return self._tensors

    @property
    def metadata(self) -> Mapping[str, str]:
        """The file's `__metadata__`."""
        return MappingProxyType(self._header.metadata)

    @property
    def layout(self) -> str:
        """PyTorch's names and axes."""
        return "torch"

    @property
    def graph(self) -> None:
        """A state dict has no graph."""
        return

    def read(self, name: str, rows: tuple[int, int] | None = None) -> NDArray[Any]:
        """Return one tensor, or its rows `start:stop` along axis 0, as a new array.

        Raises:
            CheckpointError: There is no such tensor or row, its dtype is neither an integer nor a
                float that can be fused, or the file has been truncated since it was opened.
        """
        offset = self._header.span(name)[0]
        info = self._tensors[name]
        shape = info.shape
        dtype = _DTYPES.get(info.dtype)
        if dtype is None:
            dtype = self._other_dtype(name, info.dtype)
        if rows is not None:
            start, stop = rows
            if not (shape and 0 <= start <= stop <= shape[0]):
                raise CheckpointError(
                    f"{self._path}: tensor {shown(name)} of shape {shape} has no rows "
                    f"{start}:{stop}. Ask for rows it has."
                )
            shape = (stop - start, *shape[1:])
            offset += start * math.prod(shape[1:]) * dtype.itemsize
        try:
            array = np.empty(shape, dtype)
        except MemoryError:  # a sparse file costs its maker nothing
            raise CheckpointError(
                f"{self._path}: tensor {shown(name)} of shape {shape} does not fit into memory. "
                "Use a machine with more of it."
            ) from None
        raw = array.reshape(-1).view(np.uint8)
        self._fill(raw.data, offset, name)
        if sys.byteorder == "big":
            raw.reshape(-1, dtype.itemsize)[:] = raw.reshape(-1, dtype.itemsize)[:, ::-1].copy()
        return array

    def chunks(self, name: str) -> Iterator[bytes]:
        """Yield the stored bytes of one tensor of any dtype in pieces of at most 1 MiB.

        Raises:
            CheckpointError: There is no such tensor, or the file has been truncated.
        """
        offset, stop = self._header.span(name)
        while offset < stop:
            piece = os.pread(self._file.fileno(), min(_CHUNK, stop - offset), offset)
            if not piece:
                raise self._truncated(name)
            yield piece
            offset += len(piece)

    def close(self) -> None:
        """Release the file."""
        self._file.close()

    def _read_header(self, size: int) -> Header:
        prefix = os.pread(self._file.fileno(), LENGTH_BYTES, 0)
        length = int.from_bytes(prefix, "little")
        if len(prefix) < LENGTH_BYTES or length > size - LENGTH_BYTES:
            raise CheckpointError(
                f"{self._path}: the file has {size} bytes, expected at least "
                f"{LENGTH_BYTES + length} for the header. It is truncated: fetch it again."
            )
        if length > MAX_HEADER:
            raise CheckpointError(
                f"{self._path}: the header has {length} bytes, expected at most {MAX_HEADER}. "
                "Split the checkpoint into several files."
            )
        raw = bytearray(length)
        self._fill(memoryview(raw), LENGTH_BYTES, "__metadata__")
        return parse(self._path, bytes(raw), size)

    def _other_dtype(self, name: str, dtype: str) -> np.dtype[Any]:
        """Return a dtype that NumPy itself does not have; few checkpoints need one."""
        if dtype not in _ML_DTYPES:
            raise CheckpointError(
                f"{self._path}: tensor {shown(name)} is {dtype}, expected one of "
                f"{', '.join((*_DTYPES, *_ML_DTYPES))}. Convert it, or leave it to be copied "
                "unread."
            )
        import ml_dtypes  # noqa: PLC0415  # only files that hold such numbers pay for it

        found: np.dtype[Any] = np.dtype(getattr(ml_dtypes, dtype))
        return found

    def _fill(self, raw: memoryview, offset: int, name: str) -> None:
        """Read exactly `len(raw)` bytes."""
        handle = self._file.fileno()
        done = os.preadv(handle, [raw], offset) if len(raw) else 0
        while done < len(raw):  # one call may read less: 2 GiB at most on Linux
            count = os.preadv(handle, [raw[done:]], offset + done)
            if count == 0:
                raise self._truncated(name)
            done += count

    def _truncated(self, name: str) -> CheckpointError:
        return CheckpointError(
            f"{self._path}: tensor {shown(name)} ends early: the file was changed after it was "
            "opened. Wait until nothing else writes to it."
        )
