"""Long lists of layers, on one screen: names that differ in their numbers become one line."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

SCREEN = 12
"""Rows of a list that are shown one by one."""

_NUMBER = re.compile(r"\d+")


def digest(rows: Sequence[tuple[str, ...]], most: int = SCREEN) -> list[tuple[str, ...]]:
    """Fold rows that differ only in numbers into one with the ranges of these numbers.

    Args:
        rows: Texts; the first of each row gets the number of rows it stands for behind it.
        most: Shorter lists are returned as they are.

    Example:
        >>> digest([("layer1.0", "bn1"), ("layer2.0", "bn2"), ("fc", "bn")], most=2)
        [('layer{1..2}.0 (2)', 'bn{1..2}'), ('fc', 'bn')]
    """
    if len(rows) <= most:
        return list(rows)
    groups: dict[tuple[str, ...], list[tuple[str, ...]]] = {}
    for row in rows:
        groups.setdefault(tuple(_NUMBER.sub("#", text) for text in row), []).append(row)
    folded: list[tuple[str, ...]] = []
    for group in groups.values():
        first, *rest = (_ranges(texts) for texts in zip(*group, strict=True))
        folded.append((f"{first} ({len(group)})" if len(group) > 1 else first, *rest))
    return folded


def _ranges(texts: tuple[str, ...]) -> str:
    """Write texts that differ in their numbers as one."""
    slots = zip(*(_NUMBER.findall(text) for text in texts), strict=True)
    parts = iter(_NUMBER.split(texts[0]))
    text = next(parts)
    for values, part in zip(slots, parts, strict=True):
        # names may hold more digits than int() takes
        ordered = sorted(set(values), key=lambda v: (len(v.lstrip("0")), v.lstrip("0"), v))
        text += ordered[0] if len(ordered) == 1 else f"{{{ordered[0]}..{ordered[-1]}}}"
        text += part
    return text
