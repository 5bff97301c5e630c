"""State dicts as the networks of a recipe have them, made of nothing but the recipe."""

from __future__ import annotations

import functools
import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import strategies as st

from reparam.checkpoint import TensorInfo
from reparam.errors import ReparamError
from reparam.expression import layers
from reparam.keras_names import from_keras
from reparam.library import find_recipes
from reparam.patterns import join
from reparam.plans import Settings
from reparam.recipe_plan import plan_tensors
from reparam.testing.kinds import draw_widths
from reparam.testing.layers import StateDict, seeds
from reparam.testing.lines import bound_lines
from reparam.testing.places import Site, place_of, sites
from reparam.testing.tensors import Maker, keras_names

if TYPE_CHECKING:
    from os import PathLike

    from numpy.typing import NDArray

    from reparam.recipe import Recipe, Spelling
    from reparam.testing.layers import Draw

MOST_SITES = 200
"""Ways to lay out a spelling's blocks that are tried."""

SIZE = (32, 32)
"""Of the image, for nets whose padding depends on it."""

_KNOWN = 0  # the draw with which `site_of` tried what it found


@st.composite
def state_dicts(
    draw: Draw,
    recipe: str | PathLike[str] | Recipe,
    spelling: str | None = None,
    *,
    eps: float = 2.0**-10,
) -> StateDict:
    """Train-form state dicts that a recipe claims, of dyadic numbers.

    Each has all that the recipe asks for, and more or less of what it allows: optional branches,
    lines and layers, any number of branches, several blocks of several kinds, groups, biases,
    kernel sizes, a prefix. Nets are tiny, and nothing but their names, shapes and numbers is like
    the real ones': they are for code that looks at weights, not for running models.

    Args:
        draw: Given by Hypothesis.
        recipe: The name of a recipe, the path of a TOML file, or the recipe itself.
        spelling: The name of one of its spellings; drawn where None.
        eps: The constant of all norms; fuse with the same. Where it is 0 or a power of two down to
            `2**-10`, float64 is exact, and float32 is for all but sums of very many products; but
            not where a recipe has an average pool, or gives a norm a constant of its own.

    Returns:
        A strategy for dicts from names to NumPy arrays, which print without their numbers: float32
        in PyTorch's axes, or for a Keras recipe under Keras' names and in its axes, as
        `fuse_state_dict(..., layout="keras")` takes them; give it an `input_size` too.

    Raises:
        ReparamError: There is no such recipe.
        ValueError: There is no such spelling, or no state dict of it can be made from the recipe
            alone.

    Example:
        >>> from hypothesis import given
        >>> import reparam
        >>> @given(state_dicts("repvgg", "timm"))
        ... def test(arrays):
        ...     fused = reparam.fuse_state_dict(arrays, recipe="repvgg", eps=2**-10)
        ...     assert any(name.endswith("reparam_conv.weight") for name in fused)
        >>> test()
    """
    (found,) = find_recipes(recipe)
    known = {s.name: s for s in found.spellings}
    if spelling is not None and spelling not in known:
        raise ValueError(f"{found.name} has no spelling {spelling!r}, only {', '.join(known)}.")
    name = draw(st.sampled_from(sorted(known))) if spelling is None else spelling
    return make_state(found, known[name], draw(seeds), eps)


def make_state(
    recipe: Recipe, spelling: Spelling, rng: np.random.Generator, eps: float
) -> StateDict:
    """Return a state dict of a spelling; see `state_dicts`."""
    least = site_of(recipe, spelling)
    prefix = str(rng.choice(["", "", "module.", "model.backbone."]))
    site = _with_more(least, spelling, rng)
    for wanted, start in ((site, prefix), (site, ""), (least, "")):
        tensors = _write(recipe, spelling, wanted, rng, eps)
        state = tensors if _keras(recipe) else {f"{start}{k}": v for k, v in tensors.items()}
        if not objection(recipe, spelling, state):
            return StateDict(state)
    return StateDict(_write(recipe, spelling, least, np.random.default_rng(_KNOWN), eps))


@functools.cache
def site_of(recipe: Recipe, spelling: Spelling) -> Site:
    """Return the least that makes up a net of a spelling, found by trying.

    Raises:
        ValueError: Nothing that was tried is claimed by the spelling, and why.
    """
    why = "its blocks want the same place"
    for site in itertools.islice(sites(spelling), MOST_SITES):
        state = _write(recipe, spelling, site, np.random.default_rng(_KNOWN), 0.0)
        reason = objection(recipe, spelling, state)
        if not reason:
            return site
        why = reason
    raise ValueError(
        f"recipe {recipe.name} ({spelling.name}): no state dict of it can be made from the recipe "
        f"alone. Write one by hand. What was tried last: {why}"
    )


def objection(recipe: Recipe, spelling: Spelling, state: dict[str, NDArray[Any]]) -> str:
    """Return why a state dict is not one of a spelling, or nothing."""
    keras = _keras(recipe)
    arrays = from_keras(state).arrays if keras else state
    header = {name: TensorInfo(a.shape, a.dtype.name) for name, a in arrays.items()}
    try:
        plan = plan_tensors(
            header,
            {},
            "the state dict",
            recipe=recipe,
            eps=0.0,
            settings=Settings(),
            layout="keras" if keras else "torch",
            input_size=SIZE if keras else None,
        )
        plan.check()
    except ReparamError as error:
        return str(error)
    claimed = " and ".join(plan.recipes)
    return "" if claimed == f"{recipe.name} ({spelling.name})" else f"it is one of {claimed}"


def _keras(recipe: Recipe) -> bool:
    return recipe.layout == "keras"


def _with_more(site: Site, spelling: Spelling, rng: np.random.Generator) -> Site:
    """Return the site with more blocks, where the kinds are free to be elsewhere too."""
    for block in (*spelling.blocks, *spelling.blocks):
        first = next(layers(block.fuse[0].tree)).name
        digit = int(rng.integers(10))
        # below a name of its own, or as the path of such blocks says
        place = place_of(block, first, f"m{digit}.**.*") or place_of(block, first, "**.*", digit)
        if place is not None and rng.integers(2):
            site = site.add(place) or site
    return site.whole() if rng.integers(2) else site


def _write(
    recipe: Recipe, spelling: Spelling, site: Site, rng: np.random.Generator, eps: float
) -> dict[str, NDArray[Any]]:
    maker = Maker(rng, eps, keras=_keras(recipe))
    # nets that only their widths can show to be of the family
    settle = spelling.doubt is not None and bool(recipe.by_name)
    for place in site.places:
        shared = int(rng.choice([4, 2, 6])) if place.block.shared else 0
        for line in (*place.block.fuse, *place.block.maybe):
            if place.needs(line) or rng.integers(2):
                for bound in bound_lines(line, place, rng):
                    widths = draw_widths(bound.tree, rng, shared=shared, settle=settle)
                    maker.line(place.path, bound, widths)
        for name in sorted(place.norms):
            maker.norm(join(place.path, name), 4)
        for name in sorted(place.others):
            maker.other(join(place.path, name))
    for path in site.norms:
        maker.norm(path, 4)
    for path in site.others:
        maker.other(path)
    maker.fill_numbers()
    return keras_names(maker.tensors) if _keras(recipe) else maker.tensors
