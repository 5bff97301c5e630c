"""Which constant the norms of a file have, and who says so; no checkpoint states it."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from reparam.errors import PlanError
from reparam.match import exists
from reparam.recipe import finite_eps

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from reparam.match import Match
    from reparam.modules import ModuleIndex


@dataclass(frozen=True, slots=True)
class Stated:
    """A constant, and who stated it."""

    value: float
    source: str


def eps_said(eps: float | None, config: Path | None) -> tuple[Stated | None, list[str]]:
    """Return what overrides the recipes, and what to tell about it.

    Args:
        eps: What the user said.
        config: The `config.json` beside the file.

    Raises:
        PlanError: It is no constant.
    """
    if eps is not None:
        if finite_eps(eps) is None:
            raise PlanError(f"eps={eps}: expected a finite number of at least 0.")
        return Stated(eps, "--eps"), []
    return (None, []) if config is None else _config_eps(config)


def choose_eps(
    matches: Sequence[Match],
    said: Stated | None,
    index: ModuleIndex,
    source: str,
    *,
    preview: bool = False,
) -> list[Stated]:
    """Return the constant for every spelling found.

    Args:
        matches: What recipes found.
        said: What overrides them.
        index: The layers of the checkpoint.
        source: The file's name, for messages.
        preview: Whether a constant that the user has to say may stay unknown, as NaN.

    Raises:
        PlanError: A recipe cannot know it, or recipes disagree about one file.
    """
    if said is not None:
        return [said] * len(matches)
    chosen = [_of_recipe(match, index, source, preview=preview) for match in matches]
    normed = [
        eps
        for match, eps in zip(matches, chosen, strict=True)
        if not match.reads.isdisjoint(index.norms())
    ]
    stated = {eps.value: eps.source for eps in normed}
    if len(stated) > 1 and not preview:
        sayings = " and ".join(f"{value:g} ({who})" for value, who in stated.items())
        raise PlanError(
            f"{source}: the recipes that claim it disagree on eps: {sayings}. A net has mostly one "
            "eps, that of the code that built it: say it with --eps, or fuse with one --recipe at "
            "a time."
        )
    return chosen


def _of_recipe(match: Match, index: ModuleIndex, source: str, *, preview: bool) -> Stated:
    eps = match.spelling.eps
    if eps.value is None or any(exists("", f"**.{layer}", index) for layer in eps.unless):
        if preview:
            return Stated(math.nan, f"say it with --eps: {eps.ask}")
        raise PlanError(
            f"{source}: {match.label} cannot know eps: {eps.ask} ({eps.source}). Say it with --eps."
        )
    return Stated(eps.value, f"recipe {match.recipe.name}")


def _config_eps(config: Path) -> tuple[Stated | None, list[str]]:
    """Read `batch_norm_eps` from the `config.json` that Hugging Face puts beside a checkpoint."""
    try:
        text = config.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None, []
    try:
        parsed: Any = json.loads(text)
    except (ValueError, RecursionError):
        return None, [f"{config} is not valid JSON and was not asked for batch_norm_eps"]
    values = cast("dict[str, Any]", parsed) if isinstance(parsed, dict) else {}
    value = values.get("batch_norm_eps")
    if value is None:
        return None, []
    eps = finite_eps(value)
    if eps is None:
        raise PlanError(
            f"{config}: batch_norm_eps = {str(value)[:40]!r}, expected a finite number of at least "
            "0. Correct it, or say --eps."
        )
    return Stated(eps, "config.json batch_norm_eps"), []
