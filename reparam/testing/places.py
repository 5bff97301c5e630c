"""Where the blocks of a spelling have to be, so that a checkpoint is of its family."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from reparam.expression import layers
from reparam.patterns import PLACEHOLDER, Found, join, path_regex
from reparam.testing.names import meet

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from reparam.expression import Line
    from reparam.recipe import Block, Spelling


@dataclass(frozen=True, slots=True)
class Place:
    """A block at a place.

    Attributes:
        path: The place, empty for the whole file.
        block: The kind of block.
        names: Layers of its lines that must be there, each as the pattern and the name that stands
            for it, relative to the place.
        norms: Norms that it keeps and that must be there.
        others: Layers beside its lines that must be there.
    """

    path: str
    block: Block
    names: frozenset[tuple[str, str]] = frozenset()
    norms: frozenset[str] = frozenset()
    others: frozenset[str] = frozenset()

    @property
    def plain(self) -> frozenset[str]:
        """The names of the layers needed."""
        return frozenset(name for _, name in self.names)

    def holes(self, pattern: str) -> list[Found]:
        """Return what the placeholders of a layer's name have to stand for."""
        found = (holes_of(pattern, name) for like, name in sorted(self.names) if like == pattern)
        return [numbers for numbers in found if numbers is not None]

    def needs(self, line: Line) -> bool:
        """Whether a line must be there."""
        patterns = {pattern for pattern, _ in self.names}
        return line in self.block.fuse or any(x.name in patterns for x in layers(line.tree))

    def whole(self) -> Place:
        """Return the place with all that may stand beside the lines, as far as it is named."""
        plain = [name for name in self.block.beside if not _is_pattern(name)]
        kept = [keep.norm for keep in self.block.keep if not _is_pattern(keep.norm)]
        return replace(self, norms=self.norms.union(kept), others=self.others.union(plain))


@dataclass(frozen=True, slots=True)
class Site:
    """Everything that must be there.

    Attributes:
        places: Blocks.
        norms: Paths of norms that no block keeps.
        others: Paths of layers that are in no block.
    """

    places: tuple[Place, ...] = ()
    norms: tuple[str, ...] = ()
    others: tuple[str, ...] = ()

    def add(self, place: Place) -> Site | None:
        """Return the site with a block more, or None if another kind is at its place."""
        for number, other in enumerate(self.places):
            if (other.path, bool(other.block.at)) == (place.path, bool(place.block.at)):
                if other.block is not place.block:
                    return None
                both = replace(
                    other,
                    names=other.names | place.names,
                    norms=other.norms | place.norms,
                    others=other.others | place.others,
                )
                places = (*self.places[:number], both, *self.places[number + 1 :])
                return replace(self, places=places)
        return replace(self, places=(*self.places, place))

    def whole(self) -> Site:
        """Return the site with all that may stand beside the lines of its blocks."""
        return replace(self, places=tuple(place.whole() for place in self.places))


def sites(spelling: Spelling) -> Iterator[Site]:
    """Yield ways to have all that a spelling needs, those with its first kinds of block first."""
    for digits in ([0] * 99, range(99), range(1, 99)):
        ways = [
            list(_ways(spelling, need, digit % 10))
            for need, digit in zip(spelling.needs, digits, strict=False)
        ]
        if not any(isinstance(way, Place) for each in ways for way in each):
            ways.append(list(_ways(spelling, "**.*", 0)))  # a block of any kind
        for chosen in itertools.product(*ways):
            if site := _site(chosen):
                yield site
                yield site.whole()


def place_of(block: Block, layer: str, need: str, digit: int = 0) -> Place | None:
    """Return where a block has to be for a layer of it to have a name that a pattern describes.

    Args:
        block: The kind of block.
        layer: A name in its lines.
        need: The pattern.
        digit: What numbers are where they may be any.
    """
    # not the whole file, if another place will do: what is beside a block is not in it
    inner = f"{block.at}.*" if block.at.endswith("**") else block.at
    path = meet(need, join(inner, layer), digit=digit)
    path = path or meet(need, join(block.at, layer), digit=digit)
    at = path_regex(block.at)
    at = at if not at or block.at.endswith("**") else at + r"\."
    for end in re.finditer(r"(?:(?<=\.)|^)(?=[^.])", path or ""):
        head, name = (path or "")[: end.start()], (path or "")[end.start() :]
        if re.fullmatch(at, head) and holes_of(layer, name) is not None:
            return Place(head.removesuffix("."), block, frozenset({(layer, name)}))
    return None


def holes_of(pattern: str, name: str) -> Found | None:
    """Return what the placeholders of a pattern stand for in a name, or None if it does not fit."""
    found = re.fullmatch(path_regex(pattern, named=True), name)
    if found is None:
        return None
    holes = {hole[1]: hole for hole in reversed(list(PLACEHOLDER.finditer(pattern)))}
    return {
        key: text if holes[key][2] else int(text) - int(holes[key][3] or 0)
        for key, text in found.groupdict().items()
    }


def _site(ways: Iterable[Place | tuple[str, str]]) -> Site | None:
    """Put together what is needed, if no two kinds of block are needed at one place."""
    site: Site | None = Site()
    for way in ways:
        if site is None:
            return None
        match way:
            case Place():
                site = site.add(way)
            case ("norms", path):
                site = replace(site, norms=(*site.norms, path))
            case (_, path):
                site = replace(site, others=(*site.others, path))
    return site


def _ways(spelling: Spelling, need: str, digit: int) -> Iterator[Place | tuple[str, str]]:
    """Yield blocks that have a layer, or say that it is one beside them."""
    reads = [
        (block, layer.name)
        for block in spelling.blocks
        for line in (*block.fuse, *block.maybe)
        for layer in layers(line.tree)
    ]
    found = [place for block, name in reads if (place := place_of(block, name, need, digit))]
    if found:
        yield from found
        return
    for block, name in reads:  # a bare tensor, `scale.weight` of a layer `scale`
        parent, _, role = name.rpartition(".")
        if parent and role == "weight" and (place := place_of(block, parent, need, digit)):
            ((_, there),) = place.names
            yield replace(place, names=frozenset({(name, f"{there}.{role}")}))
    yield from _beside(spelling, need, digit)


def _beside(spelling: Spelling, need: str, digit: int) -> Iterator[Place | tuple[str, str]]:
    """Yield what may have a layer that no line reads, at last a layer in no block."""
    for block in spelling.blocks:
        for keep in block.keep:
            if place := place_of(block, keep.norm, need, digit):
                yield Place(place.path, block, norms=place.plain)
        for name in block.beside:
            if place := place_of(block, name, need, digit):
                yield Place(place.path, block, others=place.plain)
    for keep in spelling.keep:
        if keep.norm != "**.*" and (path := meet(need, keep.norm, digit=digit)):
            yield "norms", path
    if path := meet(need, digit=digit):
        yield "others", path


def _is_pattern(name: str) -> bool:
    return "*" in name or PLACEHOLDER.search(name) is not None
