"""JSON from files that nobody vouches for, and how to show a value found in one.

The standard parser lets the last of several equal keys win and accepts NaN, half surrogate pairs
and nesting that ends in RecursionError. Here all of these are refused.
"""

from __future__ import annotations

import json
import reprlib
from collections import Counter
from typing import Any, NoReturn, cast

from reparam.errors import CheckpointError

_short = reprlib.Repr()  # a hostile name or value may be megabytes long or deeply nested
_short.maxstring = _short.maxother = 120
shown = _short.repr
"""`repr`, so that control characters do not reach a terminal, cut to a readable length."""


def parse_object(where: str, raw: bytes, advice: str) -> tuple[dict[str, Any], str]:
    """Return the JSON object that `raw` begins with, at its first byte, and the text after it.

    Negative integers are refused: sizes and offsets have no use for them, not even for -0.

    Args:
        where: The file and the part of it, for messages.
        raw: UTF-8 text.
        advice: What to do about a malformed file, for messages.

    Raises:
        CheckpointError: It does not begin with a JSON object.
    """
    try:
        text = raw.decode()
        root, end = _DECODER.raw_decode(text)
        # Escapes are the only way to write half a surrogate pair, which UTF-8 cannot express.
        if "\\u" in text:
            json.dumps(root, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:  # UnicodeError is a ValueError
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise CheckpointError(f"{where}: expected strict JSON: {reason}. {advice}") from None
    if type(root) is not dict:
        raise CheckpointError(f"{where}: saw {shown(root)}, expected a JSON object. {advice}")
    return cast("dict[str, Any]", root), text[end:]


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"the key {shown(twice)} occurs twice")
    return members


def _natural(digits: str) -> int:
    if digits.startswith("-"):
        raise ValueError(f"the number {digits[:40]} is negative")
    return int(digits)


def _no_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is not JSON")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique, parse_int=_natural, parse_constant=_no_constant
)
