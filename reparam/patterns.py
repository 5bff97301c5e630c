"""Path patterns of recipes: dotted names in which a part may stand for what a checkpoint holds.

`{n}` is a number and `{n+1}` the one after it, so at least 1; `{stem*}` is any text without dots,
`*` one name, `**` any number of names.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reparam.modules import ModuleIndex

_NUMBER = r"\d{1,9}"

_LARGEST_DIGIT = 9

_TEXT = r"[^.]*"

PLACEHOLDER = re.compile(r"\{(\w+)(?:(\*)|\+(\d+))?\}")

Found = dict[str, int | str]
"""What placeholders stand for: numbers, or texts."""


_PART = r"\*\*|(?:\*(?!\*)|[^.{}*\s]|\{\w+(?:\*|\+\d+)?\})+"

PATTERN = re.compile(rf"(?:{_PART})(?:\.(?:{_PART}))*")
"""What a pattern may look like: names, and what may stand for names or parts of them."""


def join(prefix: str, name: str) -> str:
    """Join two dotted paths, either of which may be empty."""
    return f"{prefix}.{name}" if prefix and name else prefix or name


def natural(path: str) -> list[tuple[int, str]]:
    """Return a sort key that puts `layer2` before `layer10`."""
    # numbers by length, then digit by digit: names may hold more digits than int() takes
    return [(len(p) if p.isdecimal() else -1, p) for p in re.split(r"(\d+)", path)]


def path_regex(pattern: str, *, named: bool = False) -> str:
    """Translate a path pattern: `{n}` a number, `*` one name, `**` any number of names."""
    parts: list[str] = []
    for piece in re.split(r"(\{\w+(?:\*|\+\d+)?\}|\*\*\.?|\*)", pattern):
        if piece.startswith("**"):
            parts.append(r"(?:[^.]+\.)*")
        elif piece == "*":
            parts.append(r"[^.]+")
        elif found := PLACEHOLDER.fullmatch(piece):
            plain = named and f"(?P<{found[1]}>" not in "".join(parts)
            sort = _TEXT if found[2] else _number(int(found[3] or 0))
            parts.append(rf"(?P<{found[1]}>{sort})" if plain else sort)
        else:
            parts.append(re.escape(piece))
    return "".join(parts)


def _number(least: int) -> str:
    """Match a number that is some other number, counted from 0, plus `least`."""
    if not 0 < least <= _LARGEST_DIGIT:
        return _NUMBER
    return rf"(?:[{least}-9]|[1-9]\d{{1,8}})"


def candidates(name: str, index: ModuleIndex) -> list[str]:
    """Layers whose last name can be that of a pattern; a cheap first sieve."""
    tail = name.rpartition(".")[2]
    hole = PLACEHOLDER.fullmatch(tail)
    if tail.isdecimal() or (hole and not hole[2]):
        return index.by_tail.get("0", [])
    if PLACEHOLDER.search(tail) or "*" in tail:
        return [path for paths in index.by_tail.values() for path in paths]
    return index.by_tail.get(tail, [])


def matching(prefix: str, pattern: str, paths: Iterable[str]) -> set[str]:
    """The paths below a prefix that a pattern describes."""
    regex = re.compile(re.escape(prefix) + path_regex(pattern))
    return {path for path in paths if regex.fullmatch(path)}


def numbers_for(name: str, prefix: str, index: ModuleIndex) -> list[Found]:
    """Everything that the placeholders in a layer's name can stand for, in order."""
    regex = re.compile(re.escape(prefix) + path_regex(name, named=True))
    found = (regex.fullmatch(path) for path in candidates(name, index))
    holes = {hole[1]: hole for hole in reversed(list(PLACEHOLDER.finditer(name)))}
    bindings: list[Found] = [
        {k: v if holes[k][2] else int(v) - int(holes[k][3] or 0) for k, v in m.groupdict().items()}
        for m in found
        if m
    ]
    return sorted(bindings, key=lambda b: [natural(str(v)) for v in b.values()])


def fill(text: str, numbers: Found) -> str:
    """Replace the placeholders of a text that `numbers` has, adding what stands behind a `+`."""

    def number(found: re.Match[str]) -> str:
        value = numbers.get(found[1], found[0])
        return str(value + int(found[3] or 0) if isinstance(value, int) else value)

    return PLACEHOLDER.sub(number, text)
