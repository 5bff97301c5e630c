"""Names that path patterns of recipes describe: the inverse of looking for them."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, NamedTuple

from reparam.patterns import PLACEHOLDER

if TYPE_CHECKING:
    from collections.abc import Iterator

_PIECE = re.compile(r"\{\w+(?:\*|\+\d+)?\}|\*\*\.?|\*|.")

_DIGITS = "0123456789"


class _Item(NamedTuple):
    """A part of a pattern: a character, or what stands for some."""

    kind: str
    value: str = ""


@functools.cache
def meet(*patterns: str, digit: int = 0) -> str | None:
    """Return the shortest name that every pattern describes.

    Args:
        patterns: Path patterns: `{n}`, `{n+1}`, `{stem*}`, `*`, `**`.
        digit: What numbers are where they may be any.

    Returns:
        The name, or None if there is none.

    Example:
        >>> meet("stages.{s}.**.conv", "stages.1.*.{x*}.conv")
        'stages.1.x.x.conv'
        >>> meet("a.{n}", "a.b")
    """
    parts = [_items(pattern) for pattern in patterns]
    letters = sorted({item.value for items in parts for item in items if item.kind == "letter"})
    rest = (c for c in letters if c not in (".", "x", *_DIGITS))
    alphabet = ["x", str(digit), *_DIGITS, *rest, "."]
    front = [("", tuple(frozenset(_idle(items, 0)) for items in parts))]
    seen = {front[0][1]}
    while front:
        onward: list[tuple[str, tuple[frozenset[int], ...]]] = []
        for text, states in front:
            if all(2 * len(i) in s for i, s in zip(parts, states, strict=True)):
                return text
            for letter in alphabet:
                after = tuple(
                    frozenset(_step(items, state, letter))
                    for items, state in zip(parts, states, strict=True)
                )
                if all(after) and after not in seen:
                    seen.add(after)
                    onward.append((text + letter, after))
        front = onward
    return None


def _items(pattern: str) -> list[_Item]:
    items: list[_Item] = []
    for piece in _PIECE.findall(pattern):
        hole = PLACEHOLDER.fullmatch(piece)
        if hole:
            items.append(_Item("text") if hole[2] else _Item("number", hole[3] or "0"))
        elif piece.startswith("**"):
            items.append(_Item("names"))
        else:
            items.append(_Item("name") if piece == "*" else _Item("letter", piece))
    return items


# State 2 i is before item i, state 2 i + 1 within it.


def _idle(items: list[_Item], state: int) -> Iterator[int]:
    """Yield where a state leads without a letter."""
    yield state
    at, within = divmod(state, 2)
    if at < len(items):
        kind = items[at].kind
        if (
            kind == "text"
            or (kind in ("number", "name") and within)
            or (kind == "names" and not within)
        ):
            yield from _idle(items, 2 * at + 2)


def _step(items: list[_Item], states: frozenset[int], letter: str) -> Iterator[int]:
    """Yield where states lead with a letter."""
    for state in states:
        at, within = divmod(state, 2)
        if at == len(items):
            continue
        kind, value = items[at]
        here, beyond = 2 * at + 1, 2 * at + 2
        match kind:
            case "letter" if letter == value:
                yield from _idle(items, beyond)
            case "number" if letter in _DIGITS and (within or letter >= value):
                yield from _idle(items, here)
            case "text" | "name" if letter != ".":
                yield from _idle(items, here)
            case "names" if letter != ".":
                yield here
            case "names" if within:  # a dot ends a name, and another one may follow
                yield from _idle(items, 2 * at)
            case _:
                pass
