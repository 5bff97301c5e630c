"""Recipes made up for one rule, checkpoints in a line per layer, and what comes of both."""

from unittest import mock

import pytest
from families.sample import Maker

from reparam import recipe_plan, search
from reparam.checkpoint import TensorInfo
from reparam.errors import PlanError
from reparam.plans import Settings
from reparam.recipe_toml import read_recipe


def recipe(text, name="mine", top=""):
    """Read a recipe of one spelling; `top` stands at the top of the file."""
    head = f'name = "{name}"\ntitle = "made up"\n{top}\n'
    eps = 'eps = { value = 0.25, source = "a test" }\n'
    return read_recipe(f'{head}{eps}[[spelling]]\nname = "only"\n{text}', f"{name}.toml")


def kinds(*lines, at="**", **keys):
    """Read a recipe with a kind of block per line, all at one place."""
    more = "".join(f"{key} = {value}\n" for key, value in keys.items())
    return recipe(
        more + "".join(f'[[spelling.block]]\nat = "{at}"\nfuse = ["{x}"]\n' for x in lines)
    )


def net(*layers):
    """Write a checkpoint: `a 8` is a norm, `a 8x4x3x3` a convolution, and may have a `bias`."""
    m = Maker()
    for layer in layers:
        name, shape, *bias = layer.split()
        sizes = [int(size) for size in shape.split("x")]
        if len(sizes) == 1:
            m.norm(name, *sizes)
        else:
            m.conv(name, *sizes, bias=bool(bias))
    return m.state


def pairs(*paths):
    """Layers `conv` and `bn` below each path."""
    return [layer for path in paths for layer in (f"{path}.conv 4x4x3x3", f"{path}.bn 4")]


def header(state):
    return {name: TensorInfo(v.shape, v.dtype.name) for name, v in state.items()}


def plan(state, *recipes, named=False, installed=(), eps=None, batch_norm="remove"):
    """Plan with these recipes alone.

    Args:
        state: The checkpoint.
        recipes: They are taken for built in.
        named: Whether the user names them.
        installed: Recipes of packages; None where nobody may ask for them.
        eps: See `reparam.plan`.
        batch_norm: See `reparam.plan`.
    """

    asked = mock.Mock(return_value=installed)
    if installed is None:
        asked.side_effect = AssertionError
    with (
        mock.patch.object(search, "find_recipes", return_value=recipes),
        mock.patch.object(search, "installed_recipes", asked),
    ):
        return recipe_plan.plan_tensors(
            header(state),
            {},
            "file",
            recipe="named" if named else None,
            eps=eps,
            settings=Settings(batch_norm, "keep"),
        )


def made(*given, **options):
    """Plan and check; returns every result with what goes into it."""
    done = plan(*given, **options)
    done.check()
    return {fusion.name: fusion.expression for fusion in done.fusions}


def refused(*given, **options):
    """Plan or check in vain; returns the reason."""
    with pytest.raises(PlanError) as caught:
        plan(*given, **options).check()
    return str(caught.value)
