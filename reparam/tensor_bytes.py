"""Looking through tensors of checkpoints, without holding them in memory."""

from __future__ import annotations

import math
from hashlib import sha256
from itertools import zip_longest
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from reparam.checkpoint import Reader

PIECE = 1 << 20


def same_bytes(one: Reader, name: str, two: Reader, other: str) -> bool:
    """Return whether two tensors have the same shape, dtype and bytes."""
    if one.tensors[name] != two.tensors[other]:
        return False
    left, right = _pieces(one.chunks(name)), _pieces(two.chunks(other))
    return all(a == b for a, b in zip_longest(left, right))


def finite(reader: Reader, name: str) -> bool:
    """Return whether all numbers of a tensor of floats are finite."""
    shape = reader.tensors[name].shape
    if not shape:
        return bool(np.isfinite(reader.read(name)))
    rows = max(PIECE // max(math.prod(shape[1:]), 1), 1)
    starts = range(0, shape[0], rows)
    return all(
        np.isfinite(reader.read(name, (start, min(start + rows, shape[0])))).all()
        for start in starts
    )


def digest(chunks: Iterator[bytes]) -> str:
    """Return the SHA-256 of some bytes in pieces."""
    summary = sha256()
    for chunk in chunks:
        summary.update(chunk)
    return summary.hexdigest()


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return digest(iter(lambda: file.read(PIECE), b""))


def _pieces(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the same bytes in pieces of one size: readers cut them as they like."""
    held = b""
    for chunk in chunks:
        held += chunk
        start = 0
        while len(held) - start >= PIECE:
            yield held[start : start + PIECE]
            start += PIECE
        held = held[start:]
    yield held
