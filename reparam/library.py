"""The recipes there are: those that come with the package, and TOML files of the user's own."""

from __future__ import annotations

import functools
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING

from reparam.errors import RecipeError
from reparam.recipe_toml import read_recipe

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reparam.recipe import Recipe

_FOLDER = Path(__file__).with_name("recipes")


def find_recipes(
    names: str | PathLike[str] | Iterable[str | PathLike[str]] | None = None,
    layout: str | None = None,
) -> tuple[Recipe, ...]:
    """Return the recipes asked for, or all built-in ones.

    Args:
        names: One or more built-in names or paths of TOML files; None for every built-in recipe.
        layout: Whose names and axes the checkpoint has, `torch` or `keras`; None for any.

    Raises:
        RecipeError: A name is unknown, a file malformed, or written for another layout.
        OSError: A file cannot be read.

    Example:
        >>> [r.name for r in find_recipes(["repvgg"])]
        ['repvgg']
    """
    if names is None:
        every = (_built_in(name) for name in built_in_names())
        return tuple(r for r in every if layout in (None, r.layout) or r.layout == "any")
    found: list[Recipe] = []
    given = [names] if isinstance(names, str | PathLike) else names
    for name in dict.fromkeys(fspath(item) for item in given):
        if name in built_in_names():
            found.append(_built_in(name))
        elif name.endswith(".toml") or Path(name).is_file():
            found.append(read_recipe(Path(name).read_bytes().decode(errors="replace"), name))
        else:
            raise RecipeError(
                f"recipe {name!r}: neither a built-in recipe ({', '.join(built_in_names())}) nor a "
                ".toml file. 'reparam recipes' lists what there is."
            )
    for recipe in found:
        if layout is not None and recipe.layout not in (layout, "any"):
            raise RecipeError(
                f"recipe {recipe.name}: written for {recipe.layout} files, whose eps and padding "
                f"differ, but this is a {layout} file. 'reparam recipes' lists the others."
            )
    return tuple(found)


@functools.cache
def built_in_names() -> tuple[str, ...]:
    """Return the names of the recipes that come with the package, sorted."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.toml")))


@functools.cache
def _built_in(name: str) -> Recipe:
    return read_recipe((_FOLDER / f"{name}.toml").read_text("utf-8"), f"recipes/{name}.toml")
