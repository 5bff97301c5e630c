"""Whether layers that were paired by value stand in the same order, as far as their names tell."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from typing import TYPE_CHECKING

from reparam.patterns import natural

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from reparam.operations import Axes

    Found = dict[tuple[str, str], str]
    """Two names of AFTER, and what is wrong with the first."""
    Kinds = tuple[str, str]
    """A name of BEFORE and one of AFTER, with `#` for every number."""


def disorder(
    renamed: Mapping[str, str],
    shapes: Mapping[str, Axes],
    alike: Callable[[str, str], bool] = lambda _one, _two: False,
) -> dict[str, str]:
    """Return names of AFTER that seem to be exchanged with others, each with what is wrong.

    Among names that differ in numbers only, numbers must grow in both files alike. And of two
    layers of one shape, the partners must not be such that exchanging them makes the renaming
    simpler (`stem` for `stage0` and `stages.#` for `stage#`, not one of each for both) or lets both
    names share more words with their partners.

    Args:
        renamed: Names of BEFORE and their partners in AFTER.
        shapes: What could be exchanged at all, by names of BEFORE.
        alike: Whether two of AFTER hold the same numbers, so that their order means nothing.

    Example:
        >>> list(disorder({"a.1": "b.2", "a.2": "b.1"}, {"a.1": (4,), "a.2": (4,)}))
        ['b.1']
    """
    found = _falling(renamed) | _crossed(renamed, shapes)
    return {after: what for (after, other), what in found.items() if not alike(after, other)}


def _kinds(before: str, after: str) -> Kinds:
    return re.sub(r"\d+", "#", before), re.sub(r"\d+", "#", after)


def _falling(renamed: Mapping[str, str]) -> Found:
    rows: dict[Kinds, list[tuple[str, str]]] = {}
    for before, after in renamed.items():
        rows.setdefault(_kinds(before, after), []).append((before, after))
    found: Found = {}
    for row in rows.values():
        row.sort(key=lambda names: natural(names[0]))
        for (one, its), (two, other) in itertools.pairwise(row):
            if natural(its) > natural(other):
                found[other, its] = (
                    f"it stands for {two!r}, but before {its!r}, which stands for {one!r}: blocks "
                    "were exchanged, or the names count otherwise"
                )
    return found


def _crossed(renamed: Mapping[str, str], shapes: Mapping[str, Axes]) -> Found:
    counts = Counter(_kinds(*names) for names in renamed.items())
    groups: dict[Axes | None, dict[Kinds, str]] = {}
    for before, after in renamed.items():
        groups.setdefault(shapes.get(before), {}).setdefault(_kinds(before, after), before)
    found: Found = {}
    for group in groups.values():
        for one, two in itertools.combinations(group, 2):
            (mine, its), (yours, other) = one, two
            if mine == yours or its == other:
                continue
            fewer = (counts[one] == 1) + (counts[two] == 1)
            more = ((mine, other) not in counts) + ((yours, its) not in counts)
            first, second = group[one], group[two]
            worse = _shared(first, renamed[first]) + _shared(second, renamed[second])
            better = _shared(first, renamed[second]) + _shared(second, renamed[first])
            if fewer > more or better > worse:
                found[renamed[second], renamed[first]] = (
                    f"its numbers are those of {second!r}, and those of {renamed[first]!r} are of "
                    f"{first!r}: the other way round the names would fit better"
                )
    return found


def _shared(one: str, two: str) -> int:
    """Return how many words two names share."""
    words = [set(re.split(r"[\W\d_]+", name)) - {""} for name in (one, two)]
    return len(words[0] & words[1])
