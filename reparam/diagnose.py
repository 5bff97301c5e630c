"""Telling why a norm cannot be fused, from names and shapes alone.

These are explanations for people, attached to norms that stay and to files no recipe claims; no
decision to fuse rests on them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from reparam.quantised import find_mark

if TYPE_CHECKING:
    from reparam.modules import ModuleIndex

_NUMBERED = re.compile(r"(?P<stem>.*?)(?P<number>\d{1,9})")


def explain_norm(path: str, index: ModuleIndex) -> str | None:
    """Return why a norm is not fused, or None if its surroundings do not tell."""
    module = index.get(path)
    if module is None or module.kind != "norm":
        return (
            "only one of running_mean and running_var is there, so there are no statistics to fuse"
        )
    width = max(index.shape(module.tensors["running_var"]), default=1)
    parent, _, name = path.rpartition(".")
    found = _NUMBERED.fullmatch(name)
    if found is None:
        return None
    number = found["number"]
    if not found["stem"]:  # a numbered Sequential
        before = index.get(f"{parent}.{int(number) - 2}")
        gap = index.get(f"{parent}.{int(number) - 1}") is None
        follows = before and before.kind == "conv"
        if gap and before and follows and index.shape(before.tensors["weight"])[0] == width:
            return f"a layer without tensors (a ReLU?) stands between {before.path} and {path}"
        return None
    sibling = index.get(f"{parent}.conv{number}" if parent else f"conv{number}")
    if sibling and sibling.kind == "conv":
        out, into = index.shape(sibling.tensors["weight"])[:2]
        if width == into != out:
            return (
                f"pre-activation: it has the {into} input channels of {sibling.path}, so it stands "
                "before that convolution with a ReLU between them"
            )
    return None


def explain_file(index: ModuleIndex) -> list[str]:
    """Return what stands out in a file that no recipe claims."""
    norms = index.norms()
    mark = find_mark(index.under(""))
    hints = [f"quantised weights ({mark}, …). Dequantise the checkpoint first."] if mark else []
    if not norms:
        why = (
            "the file holds no norm with running statistics: it is in deploy form already, or its "
            "norms are not batch norms"
        )
        return [*hints, why]
    reasons: dict[str, list[str]] = {}
    for path in norms:
        if reason := explain_norm(path, index):
            kind = reason.split()[0]  # the first word tells the reasons apart
            reasons.setdefault(kind, []).append(f"{path}: {reason}")
    return hints + [
        found[0] + (f" (and {len(found) - 1} more like it)" if len(found) > 1 else "")
        for found in reasons.values()
    ]
