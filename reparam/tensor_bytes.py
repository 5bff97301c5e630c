"""Comparing tensors of two checkpoints byte by byte, without holding them in memory."""

from __future__ import annotations

from hashlib import sha256
from itertools import zip_longest
from typing import TYPE_CHECKING

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
