"""A checkpoint whose names all have a prefix more or less: `module.`, `backbone.`, `model.`."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from reparam.checkpoint import Closing

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from reparam.checkpoint import Graph, Reader, TensorInfo


def find_prefix(wanted: Collection[str], there: Collection[str]) -> tuple[str, str] | None:
    """Return what to take off the names of a checkpoint, and what to put in front of the others.

    Args:
        wanted: Names it is expected to have.
        there: Names it has.

    Returns:
        `(prefix, "")` if its names have one more, `("", prefix)` if one less; None if more names
        fit as they are.

    Example:
        >>> find_prefix(["conv.weight"], ["module.conv.weight"])
        ('module.', '')
    """
    found: Counter[tuple[str, str]] = Counter()
    known, present = set(wanted), set(there)
    found.update((prefix, "") for name in there for prefix in _prefixes(name, known))
    found.update(("", prefix) for name in sorted(known) for prefix in _prefixes(name, present))
    if not found:
        return None
    ((best, _),) = found.most_common(1)
    if len({_translated(name, best) for name in there}) < len(there):
        return None  # two tensors would have one name
    fits = sum(_translated(name, best) in known for name in there)
    return best if fits > len(known & present) else None


def _prefixes(name: str, others: set[str]) -> Iterator[str]:
    """Yield what stands in front of each of the other names that a name ends with."""
    for dot in re.finditer(r"\.", name):
        if name[dot.end() :] in others:
            yield name[: dot.end()]


def _translated(name: str, prefix: tuple[str, str]) -> str:
    off, on = prefix
    return on + name.removeprefix(off)


class PrefixReader(Closing):
    """Another reader's tensors under names with a prefix more or less.

    Args:
        reader: The other one.
        prefix: See `find_prefix`.
    """

    graph: Graph | None = None

    def __init__(self, reader: Reader, prefix: tuple[str, str]) -> None:
        self._reader = reader
        self._names = {_translated(name, prefix): name for name in reader.tensors}
        self.tensors: Mapping[str, TensorInfo] = {
            name: reader.tensors[other] for name, other in self._names.items()
        }

    @property
    def path(self) -> Path:
        """The file."""
        return self._reader.path

    @property
    def metadata(self) -> Mapping[str, str]:
        """Free text that travels with the tensors."""
        return self._reader.metadata

    @property
    def layout(self) -> str:
        """Whose layer names these are."""
        return self._reader.layout

    def read(self, name: str, rows: tuple[int, int] | None = None) -> NDArray[Any]:
        """Return one tensor, or some of its rows."""
        return self._reader.read(self._names[name], rows)

    def chunks(self, name: str) -> Iterator[bytes]:
        """Yield the stored bytes of one tensor."""
        return self._reader.chunks(self._names[name])

    def close(self) -> None:
        """Release the file."""
        self._reader.close()
