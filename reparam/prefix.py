"""A checkpoint whose names all have a prefix more or less: `module.`, `backbone.`, `model.`."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from numpy.typing import NDArray

    from reparam.checkpoint import Graph, Reader, TensorInfo

PROBES = 16
"""Names that are searched for in the other file."""


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
    names = sorted(wanted, key=len, reverse=True)
    found: Counter[tuple[str, str]] = Counter()
    for name in names[:: max(len(names) // PROBES, 1)]:
        for other in there:
            if other.endswith(f".{name}"):
                found[other.removesuffix(name), ""] += 1
            elif name.endswith(f".{other}"):
                found["", name.removesuffix(other)] += 1
    if not found:
        return None
    best = max(found, key=lambda prefix: _fits(prefix, wanted, there))
    if len({_translated(name, best) for name in there}) < len(there):
        return None  # two tensors would have one name
    plain = sum(name in wanted for name in there)
    return best if _fits(best, wanted, there) > plain else None


def _fits(prefix: tuple[str, str], wanted: Collection[str], there: Collection[str]) -> int:
    return sum(_translated(name, prefix) in wanted for name in there)


def _translated(name: str, prefix: tuple[str, str]) -> str:
    off, on = prefix
    return on + name.removeprefix(off)


class PrefixReader:
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

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
