"""Planning by recipes: which families claim a checkpoint, from names, shapes and dtypes alone."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from reparam.binding import bind
from reparam.diagnose import explain_file
from reparam.errors import PlanError
from reparam.expression import layers
from reparam.library import find_recipes, installed_recipes
from reparam.match import Match, Near, match_recipe
from reparam.modules import ModuleIndex
from reparam.patterns import join
from reparam.plans import Binding, Plan, Settings, check_settings
from reparam.recipe import finite_eps
from reparam.strided import place_taps

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from os import PathLike
    from pathlib import Path

    from reparam.checkpoint import TensorInfo
    from reparam.recipe import Doubt, Recipe
    from reparam.trial import Found

    Names = str | PathLike[str] | Iterable[str | PathLike[str]] | None


@dataclass(frozen=True, slots=True)
class _Eps:
    """A constant that overrides the recipes', and where it was stated."""

    value: float
    source: str


def plan_tensors(
    tensors: Mapping[str, TensorInfo],
    metadata: Mapping[str, str],
    source: str,
    *,
    recipe: Names,
    eps: float | None,
    settings: Settings,
    config: Path | None = None,
    layout: str = "torch",
    input_size: tuple[int, ...] | None = None,
) -> Plan:
    """Plan from a header by recipes; see `reparam.plan`.

    Args:
        tensors: Every tensor of the checkpoint.
        metadata: Its metadata; safetensors files name tied tensors there.
        source: The file's name, for messages.
        recipe: See `reparam.plan`.
        eps: See `reparam.plan`.
        settings: What the output shall look like.
        config: The `config.json` beside the file, which may state `batch_norm_eps`.
        layout: Whose layer names these are.
        input_size: See `reparam.plan`.
    """
    check_settings(settings)
    if eps is not None and finite_eps(eps) is None:
        raise PlanError(f"eps={eps}: expected a finite number of at least 0.")
    index = ModuleIndex(tensors)
    recipes = find_recipes(recipe, layout, {part for name in tensors for part in name.split(".")})
    notes: list[str] = []
    override = None if eps is None else _Eps(eps, "--eps")
    if override is None and config is not None:
        override, notes = _config_eps(config)
    found, fused, near = _search(recipes, index, named=recipe is not None)
    more: tuple[Recipe, ...] = ()
    if recipe is None and (not found or _norms_left(found, index)):
        more = installed_recipes(layout)  # takes time, and what is claimed needs no other recipe
    if more:
        recipes += more
        found, fused, near = _search(recipes, index, named=False)
    _check_disjoint(found, source)
    if not found:
        named = () if recipe is None else recipes
        raise PlanError(_nothing(source, named, fused, near, index))
    if _norms_left(found, index):
        notes += [f"not used: {miss}" for miss in near]
    bindings: list[Binding] = []
    stated: dict[float, str] = {}
    taken: list[str] = []
    for match in found:
        chosen = _eps_of(match, override, source)
        stated.setdefault(chosen.value, chosen.source)
        lines, assumed = place_taps(match.found, index, input_size, source)
        taken += assumed
        bindings += [
            Binding(
                block=item.block,
                line=item.line,
                recipe=match.recipe.name,
                eps=chosen.value,
                eps_source=chosen.source,
                shared=item.shared,
            )
            for item in lines
        ]
    if len(stated) > 1:
        sayings = " and ".join(f"{value:g} ({who})" for value, who in stated.items())
        raise PlanError(
            f"{source}: the recipes that claim it disagree on eps: {sayings}. A net has mostly one "
            "eps, that of the code that built it: say it with --eps, or fuse with one --recipe at "
            "a time."
        )
    notes += _half_fused((*found, *fused), bindings)
    return bind(
        tensors,
        metadata,
        source,
        bindings,
        settings,
        recipes=tuple(dict.fromkeys(m.label.removeprefix("recipe ") for m in found)),
        assumes=tuple(
            f"{text} (recipe {m.recipe.name})"
            for m in {m.recipe.name: m for m in found}.values()
            for text in m.recipe.assumes
        )
        + tuple(taken),
        notes=tuple(notes),
        keeps={path: why for m in found for path, why in m.keeps.items()},
        beside={path: names for m in found for path, names in m.beside.items()},
    )


def _search(
    recipes: tuple[Recipe, ...], index: ModuleIndex, *, named: bool
) -> tuple[list[Match], list[Match], list[str]]:
    """Return the spellings to fuse, those that are fused already, and why others are not used."""
    found: list[Match] = []
    fused: list[Match] = []
    near: list[Near] = []
    held: dict[str, frozenset[str]] = {}
    for recipe in sorted(recipes, key=lambda r: _depth(r, recipes)):
        taken = (held[r.name] for r in recipes if recipe.name in r.over and r.name in held)
        matches, misses = match_recipe(recipe, index, frozenset().union(*taken))
        if named or not recipe.by_name:
            near += misses
        mine: set[str] = set()
        for match in matches:
            if why := _objection(match, index, named=named):
                near.append(Near(f"{match.label}: {why}", frozenset(match.reads)))
            else:
                mine |= match.reads
                (found if match.found else fused).append(match)
        held[recipe.name] = frozenset(mine)
    read = {path for match in found for path in match.reads}
    missed = [n.why for n in near if not n.layers or not n.layers <= read]
    return sorted(found, key=lambda m: recipes.index(m.recipe)), fused, missed


def _depth(recipe: Recipe, recipes: tuple[Recipe, ...]) -> int:
    """How many recipes stand over one another over this one; they are looked for first."""
    depth, above = 0, {recipe.name}
    while above and depth <= len(recipes):
        above = {r.name for r in recipes if above.intersection(r.over)}
        depth += 1
    return depth


def _objection(match: Match, index: ModuleIndex, *, named: bool) -> str | None:
    """Return why a spelling that is there is not to be used all the same."""
    if match.recipe.by_name and not named:
        return f"{match.recipe.by_name}. Say so with --recipe {match.recipe.name}"
    # where a recipe has to be named anyway, its name says nothing about this file
    return None if named and not match.recipe.by_name else _doubt(match, index)


def _norms_left(found: list[Match], index: ModuleIndex) -> bool:
    """Whether the file holds norms that nothing found accounts for."""
    known = {path for match in found for path in (*match.reads, *match.keeps)}
    return not known.issuperset(index.norms())


def _doubt(match: Match, index: ModuleIndex) -> str | None:
    """Return why the names may mean another family, unless something settles it."""
    doubt = match.spelling.doubt
    inside = [f for f in match.found if f.block in match.beside]
    if doubt is None or not inside or any(_settles(f, doubt, index) for f in inside):
        return None
    advice = f"If it is this family, say so with --recipe {match.recipe.name}"
    if match.recipe.by_name:
        advice = "Write a recipe of your own that says which layers follow each other"
    return f"{doubt.why}. {advice}"


def _settles(found: Found, doubt: Doubt, index: ModuleIndex) -> bool:
    """Whether a pair shows that its norm follows: it is one of those that only one family has.

    So is one whose convolution takes more channels than it gives, since the norm has as many as it
    gives; and a 1x1 that takes fewer, since those are not grouped.
    """
    names = [layer.name for layer in layers(found.line.tree)]
    if names[0].split(".")[0] in doubt.unless:
        return True
    conv = index.get(join(found.block, names[0]))
    if conv is None or conv.kind != "conv":
        return False
    out, width, *space = index.shape(conv.tensors["weight"])
    return width > out or (width != out and all(k == 1 for k in space))


def _eps_of(match: Match, override: _Eps | None, source: str) -> _Eps:
    if override is not None:
        return override
    eps = match.spelling.eps
    if eps.value is None:
        raise PlanError(
            f"{source}: {match.label} cannot know eps: {eps.ask} ({eps.source}). Say it with --eps."
        )
    return _Eps(eps.value, f"recipe {match.recipe.name}")


def _config_eps(config: Path) -> tuple[_Eps | None, list[str]]:
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
    return _Eps(eps, "config.json batch_norm_eps"), []


def _check_disjoint(matches: list[Match], source: str) -> None:
    owner: dict[str, Match] = {}
    for match in matches:
        for path in sorted(match.reads):
            if path in owner and owner[path].recipe is not match.recipe:
                raise PlanError(
                    f"{source}: two recipes claim {path!r}: {owner[path].label} and {match.label}. "
                    "Choose one with --recipe."
                )
            owner[path] = match


def _half_fused(matches: Iterable[Match], bindings: list[Binding]) -> list[str]:
    """Say what is in deploy form already, apart from placeholders that are made anew."""
    made = {join(b.block, b.line.output) for b in bindings}
    made |= {join(b.block, layer.name) for b in bindings for layer in layers(b.line.tree)}
    rest = [[path for path in match.fused if path not in made] for match in matches]
    return [
        f"half fused: {len(paths)} blocks are in deploy form already ({paths[0]}, …) and are "
        "copied as they are"
        for paths in rest
        if paths
    ]


def _nothing(
    source: str,
    recipes: tuple[Recipe, ...],
    fused: list[Match],
    near: list[str],
    index: ModuleIndex,
) -> str:
    """Say why there is nothing to fuse: fused already, or claimed by no recipe.

    Args:
        source: The file's name.
        recipes: Those the user named.
        fused: Spellings that are there in deploy form.
        near: Why others are not used.
        index: The layers of the checkpoint.
    """
    stay = {path for m in fused for path in m.keeps}
    left = [path for path in index.norms() if path not in stay]
    # with norms left, a bias alone tells nothing; a name that only deploy forms have does
    sure = [m for m in fused if not left or len(m.fused) > len(m.bare)]
    if sure:
        done = list(dict.fromkeys(path for m in sure for path in m.fused))
        labels = ", ".join(dict.fromkeys(m.label for m in sure))
        rest = f" The {len(left)} norms left are none that it fuses." if left else ""
        return (
            f"{source}: already in deploy form: {len(done)} layers of {labels} have a bias and no "
            f"branches or norms beside them ({done[0]}, …), or the net never had norms. There is "
            f"nothing to fuse.{rest}"
        )
    lines = [f"{source}: no recipe claims this file, so nothing was fused."]
    lines += [f"  saw: {hint}" for hint in explain_file(index)]
    lines += [f"  near miss: {miss}" for miss in dict.fromkeys(near)]
    looked = ", ".join(f"{r.name} ({' | '.join(r.anchors())})" for r in recipes)
    if not recipes:
        looked = "every family that 'reparam recipes' lists"
    lines.append(f"  looked for: {looked}")
    lines.append("Name a recipe with --recipe, or write one: see docs/recipes.md.")
    return "\n".join(lines)
