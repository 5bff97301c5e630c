"""Whether the chunks of an HDF5 dataset unpack to their full size.

HDF5 takes whatever follows a shorter one in memory for its values.
"""

from __future__ import annotations

import math
import zlib
from typing import Any

_CHUNKED = 2  # H5D_CHUNKED
_DEFLATE, _SHUFFLE, _FLETCHER, _LZF = 1, 2, 3, 32000
_CHECKSUM = 4  # bytes that fletcher32 appends


def check_chunks(handle: Any) -> None:
    """Refuse a dataset with a chunk that is missing, or does not unpack to what a chunk holds.

    Args:
        handle: The `h5py.h5d.DatasetID`. If its values lie in one piece, there is nothing to check.

    Raises:
        ValueError: It has such a chunk, or filters in an order of their own.
    """
    properties = handle.get_create_plist()
    if properties.get_layout() != _CHUNKED:
        return
    filters: list[int] = [properties.get_filter(i)[0] for i in range(properties.get_nfilters())]
    if _SHUFFLE in filters[1:] or _FLETCHER in filters[:-1] or {_DEFLATE, _LZF} <= {*filters}:
        raise ValueError(
            f"filters {filters}, expected shuffle, gzip or lzf, fletcher32 in this order"
        )
    shape: tuple[int, ...] = properties.get_chunk()
    size = math.prod(shape) * handle.get_type().get_size()
    infos: list[Any] = []
    handle.chunk_iter(infos.append)  # asked for one by one, they take quadratic time
    expected = math.prod(-(-n // step) for n, step in zip(handle.shape, shape, strict=True))
    if len(infos) != expected:
        raise ValueError(f"{len(infos)} chunks, expected {expected}")
    for info in infos:
        found: int = info.size
        if filters:
            used = {code for bit, code in enumerate(filters) if not info.filter_mask >> bit & 1}
            packed: bytes = handle.read_direct_chunk(info.chunk_offset)[1]
            found = _unpacked(packed[:-_CHECKSUM] if _FLETCHER in used else packed, used, size)
        if found != size:
            at = tuple(info.chunk_offset)
            raise ValueError(f"the chunk at {at} unpacks to {found} bytes, expected {size}")


def _unpacked(packed: bytes, used: set[int], size: int) -> int:
    """Return the size of what a chunk unpacks to; if that is more than `size`, anything more."""
    if _DEFLATE in used:
        return len(zlib.decompressobj().decompress(packed, size + 1))
    if _LZF in used:
        return _unpacked_lzf(packed, size)
    return len(packed)


def _unpacked_lzf(packed: bytes, size: int) -> int:
    """Add up the runs of literals and the copies of earlier bytes; 0 if the last one is cut."""
    at = total = 0
    while at < len(packed) and total <= size:
        control = packed[at]
        if control < 32:  # noqa: PLR2004  that many literals and one more
            total += control + 1
            at += control + 2
            continue
        length = control >> 5
        if length == 7 and at + 1 < len(packed):  # noqa: PLR2004  the next byte counts, too
            at += 1
            length += packed[at]
        total += length + 2
        at += 2
    return total if at == len(packed) else 0
