"""Write safetensors files in one canonical layout: equal contents give equal bytes.

The header is known before the first tensor is, so data goes straight to its place in the file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np

from reparam.errors import CheckpointError
from reparam_adapters.atomic import AtomicFile
from reparam_adapters.safetensors_header import build
from reparam_adapters.strict_json import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from numpy.typing import NDArray

    from reparam.checkpoint import TensorInfo

_SINCE_0_4 = {
    *("float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2", "bool"),
    *("int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8"),
}
"""What every supported release of the safetensors library can open."""


class SafetensorsWriter:
    """A safetensors file being written; see `reparam.checkpoint.Writer`."""

    def __init__(
        self,
        path: Path,
        tensors: Mapping[str, TensorInfo],
        metadata: Mapping[str, str],
        *,
        overwrite: bool,
    ) -> None:
        self._path = path
        head, self._header = build(path, tensors, metadata)
        self._written: dict[str, list[tuple[int, int]]] = {name: [] for name in tensors}
        self._file = AtomicFile(path, overwrite=overwrite)
        try:
            self._file.write_at(0, head)
        except BaseException:
            self._file.discard()
            raise

    @property
    def temporary(self) -> Path:
        """The file until `commit`; it may be opened again to verify it."""
        return self._file.temporary

    def write(self, name: str, rows: NDArray[Any], start: int = 0) -> None:
        """Store consecutive rows (axis 0) of one tensor, beginning at row `start`.

        Raises:
            CheckpointError: The dtype or the shape is not the announced one, or writing fails.
        """
        first, stop = self._header.span(name)
        info = self._header.tensors[name]
        if rows.dtype.name != info.dtype or not _fits(rows.shape, info.shape, start):
            raise CheckpointError(
                f"{self._path}: tensor {shown(name)} was announced as {info.dtype} {info.shape}, "
                f"saw {rows.dtype.name} {rows.shape} for row {start}. Report this as a bug."
            )
        # The file is little-endian and C-ordered, the array may be any view. No copy if it fits.
        little = rows.astype(rows.dtype.newbyteorder("<"), order="C", copy=False)
        raw = little.reshape(-1).view(np.uint8).data
        self._put(name, first + (start * (stop - first) // info.shape[0] if start else 0), raw)

    def write_chunks(self, name: str, chunks: Iterator[bytes]) -> None:
        """Store one whole tensor from the bytes of `Reader.chunks`.

        Raises:
            CheckpointError: They are more than the tensor's, or writing fails.
        """
        position, stop = self._header.span(name)
        for chunk in chunks:
            if position + len(chunk) > stop:
                raise CheckpointError(
                    f"{self._path}: tensor {shown(name)} has "
                    f"{stop - self._header.span(name)[0]} bytes, saw more. Report this as a bug."
                )
            self._put(name, position, chunk)
            position += len(chunk)

    def commit(self) -> tuple[str, ...]:
        """Check that every tensor was written once, as a whole, and give the file its name.

        Raises:
            CheckpointError: A tensor is incomplete, the file does not open with the safetensors
                library, the target appeared meanwhile, or the operating system refuses.
        """
        for name, (start, stop) in self._header.spans.items():
            end = start
            for piece in sorted(self._written[name]):
                if piece[0] != end:
                    end = -1
                    break
                end = piece[1]
            if end != stop:
                self._file.discard()
                raise CheckpointError(
                    f"{self._path}: tensor {shown(name)} was not written exactly once. "
                    "Nothing was stored. Report this as a bug."
                )
        self._file.commit(self._open_by_library)
        return ()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.discard()

    def _put(self, name: str, offset: int, raw: bytes | memoryview) -> None:
        if raw:
            self._file.write_at(offset, raw)
            self._written[name].append((offset, offset + len(raw)))

    def _open_by_library(self, temporary: Path) -> None:
        """Let the library that others read the file with have the last word."""
        from safetensors import SafetensorError, safe_open  # noqa: PLC0415  # readers need it not

        try:
            with cast("Any", safe_open)(temporary, framework="np") as file:
                count = len(file.keys())
        except SafetensorError as error:
            # A library older than a dtype cannot judge a file that holds it.
            if all(info.dtype in _SINCE_0_4 for info in self._header.tensors.values()):
                raise CheckpointError(
                    f"{self._path}: the safetensors library does not open the result: {error}. "
                    "Nothing was stored. Report this as a bug."
                ) from error
            return
        if count != len(self._header.tensors):
            raise CheckpointError(
                f"{self._path}: the safetensors library sees {count} tensors, expected "
                f"{len(self._header.tensors)}. Nothing was stored. Report this as a bug."
            )


def _fits(rows: tuple[int, ...], shape: tuple[int, ...], start: int) -> bool:
    """Whether an array is `shape` from row `start` on."""
    if not shape:
        return rows == () and start == 0
    return len(rows) > 0 and rows[1:] == shape[1:] and 0 <= start <= shape[0] - rows[0]
