"""Which recipes claim a checkpoint: those that stand over others first, no doubtful ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from reparam.errors import PlanError
from reparam.expression import layers
from reparam.library import find_recipes, installed_recipes
from reparam.match import Near, match_recipe
from reparam.patterns import join

if TYPE_CHECKING:
    from reparam.library import Names
    from reparam.match import Match
    from reparam.modules import ModuleIndex
    from reparam.recipe import Recipe
    from reparam.trial import Found


@dataclass(frozen=True, slots=True)
class Claims:
    """What recipes find in a checkpoint.

    Attributes:
        named: The recipes the user named; empty where all were tried.
        found: Spellings with blocks to fuse.
        fused: Spellings of which everything there is fused already.
        near: Why others are not used.
    """

    named: tuple[Recipe, ...]
    found: list[Match]
    fused: list[Match]
    near: list[str]

    def norms_left(self, index: ModuleIndex) -> bool:
        """Whether the file holds norms that nothing found accounts for."""
        known = {path for match in self.found for path in (*match.reads, *match.keeps)}
        return not known.issuperset(index.norms())


def claim(names: Names, index: ModuleIndex, layout: str, source: str) -> Claims:
    """Look for the recipes asked for, or for all.

    Args:
        names: See `reparam.plan`.
        index: The layers of the checkpoint.
        layout: Whose layer names these are.
        source: The file's name, for messages.

    Raises:
        PlanError: Two recipes claim one layer, or a net computes what cannot be fused.
    """
    words = {part for name in index.tensors for part in name.split(".")}
    recipes = find_recipes(names, layout, words)
    claims = _search(recipes, index, source, named=names is not None)
    if names is None and (not claims.found or claims.norms_left(index)):
        more = installed_recipes(layout)  # takes time, and what is claimed needs no other recipe
        claims = _search((*recipes, *more), index, source, named=False) if more else claims
    _check_disjoint(claims.found, source)
    for match in claims.found:
        if match.never:
            raise PlanError(f"{source}: {match.label}: cannot be fused: {match.never}.")
    return claims


def _search(recipes: tuple[Recipe, ...], index: ModuleIndex, source: str, *, named: bool) -> Claims:
    found: list[Match] = []
    fused: list[Match] = []
    near: list[Near] = []
    held: dict[str, frozenset[str]] = {}
    for recipe in sorted(recipes, key=lambda r: _depth(r, recipes)):
        above = [held[r.name] for r in recipes if recipe.name in r.over and r.name in held]
        taken = frozenset(path for layers_read in above for path in layers_read)
        matches, misses = match_recipe(recipe, index, taken)
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
    _check_order(found, recipes, source)
    found.sort(key=lambda match: recipes.index(match.recipe))
    return Claims(recipes if named else (), found, fused, missed)


def _check_order(found: list[Match], recipes: tuple[Recipe, ...], source: str) -> None:
    """Refuse what was found by one of two recipes that each want to stand over the other."""
    for recipe in {match.recipe.name: match.recipe for match in found}.values():
        for other in recipes:
            if recipe.name in other.over and other.name in recipe.over:
                raise PlanError(
                    f"{source}: recipes {recipe.name} and {other.name} each stand over the other. "
                    "Choose one with --recipe, or mend their 'over'."
                )


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


def _doubt(match: Match, index: ModuleIndex) -> str | None:
    """Return why the names may mean another family, unless something settles it."""
    doubt = match.spelling.doubt
    inside = [f for f in match.found if f.block in match.beside]
    if (
        doubt is None
        or not inside
        or any(_settles(f, index, strict=bool(match.recipe.by_name)) for f in inside)
    ):
        return None
    advice = f"If it is this family, say so with --recipe {match.recipe.name}"
    if match.recipe.by_name:
        advice = "Write a recipe of your own that says which layers follow each other"
    return f"{doubt.why}. {advice}"


def _settles(found: Found, index: ModuleIndex, *, strict: bool) -> bool:
    """Whether the shapes of a pair show that its norm follows.

    Those of a convolution do that takes more channels than it gives, since the norm has as many as
    it gives; and of a 1x1 that takes fewer, since those are not grouped. A recipe for nets of every
    kind is strict about that: groups may make up the difference.
    """
    first = next(layers(found.line.tree))
    conv = index.get(join(found.block, first.name))
    if conv is None or conv.kind != "conv":
        return False
    out, width, *space = index.shape(conv.tensors["weight"])
    if strict and out % width == 0:
        return False
    return width > out or (width != out and all(k == 1 for k in space))


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
