"""The recipes there are: built in, brought by installed packages, and TOML files of the user's own.

Other packages bring recipes under the entry point group `reparam.recipes`: the entry names a
package, and the TOML files in it are the recipes.
"""

from __future__ import annotations

import functools
import re
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING

from reparam.errors import RecipeError
from reparam.recipe import Recipe
from reparam.recipe_toml import read_recipe

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Set as AbstractSet

    Named = str | PathLike[str] | Recipe
    """What stands for a recipe: its name, the path of its file, or itself."""

    Names = Named | Iterable[Named] | None

_FOLDER = Path(__file__).with_name("recipes")

GROUP = "reparam.recipes"
"""The entry point group in which packages name where their recipes are."""


def find_recipes(
    names: Names = None,
    layout: str | None = None,
    words: AbstractSet[str] | None = None,
) -> tuple[Recipe, ...]:
    """Return the recipes asked for, or all built-in ones.

    Args:
        names: One or more names of recipes, built in or installed, paths of TOML files, or recipes
            themselves; None for every built-in recipe.
        layout: Whose names and axes the checkpoint has, `torch` or `keras`; None for any.
        words: Every part of a name in the checkpoint. Built-in recipes whose spellings all need
            other words are left out, unread: reading all of them takes longer than most files.

    Raises:
        RecipeError: A name is unknown, a file malformed, or written for another layout.
        OSError: A file cannot be read.

    Example:
        >>> [r.name for r in find_recipes(["repvgg"])]
        ['repvgg']
    """
    if names is None:
        wanted = (n for n in built_in_names() if words is None or _may_fit(_text(n), words))
        return _fitting(map(_built_in, wanted), layout)
    given = [names] if isinstance(names, str | PathLike | Recipe) else names
    asked = (item if isinstance(item, Recipe) else fspath(item) for item in given)
    found = [x if isinstance(x, Recipe) else _find(x) for x in dict.fromkeys(asked)]
    for recipe in found:
        if layout is not None and recipe.layout not in (layout, "any"):
            raise RecipeError(
                f"recipe {recipe.name}: written for {recipe.layout} files, whose eps and padding "
                f"differ, but this is a {layout} file. 'reparam recipes' lists the others."
            )
    return tuple(found)


def installed_recipes(layout: str | None = None) -> tuple[Recipe, ...]:
    """Return the recipes that installed packages bring.

    Args:
        layout: As for `find_recipes`.

    Raises:
        RecipeError: A package cannot be imported, a recipe is malformed, or a name is taken.
    """
    return _fitting(_installed().values(), layout)


def _fitting(recipes: Iterable[Recipe], layout: str | None) -> tuple[Recipe, ...]:
    return tuple(r for r in recipes if layout in (None, r.layout) or r.layout == "any")


def _find(name: str) -> Recipe:
    from difflib import get_close_matches  # noqa: PLC0415  for a message only

    if name in built_in_names():
        return _built_in(name)
    if name.endswith(".toml") or Path(name).is_file():
        return read_recipe(Path(name).read_bytes().decode(errors="replace"), name)
    if name in _installed():
        return _installed()[name]
    like = get_close_matches(name, (*built_in_names(), *_installed()), n=3, cutoff=0.5)
    raise RecipeError(
        f"recipe {name!r}: neither a known recipe{_like(like)} nor a .toml file. 'reparam recipes' "
        "lists what there is."
    )


def _like(names: list[str]) -> str:
    return f" (like {', '.join(names)})" if names else ""


@functools.cache
def built_in_names() -> tuple[str, ...]:
    """Return the names of the recipes that come with the package, sorted."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.toml")))


@functools.cache
def _text(name: str) -> str:
    return (_FOLDER / f"{name}.toml").read_text("utf-8")


@functools.cache
def _built_in(name: str) -> Recipe:
    return read_recipe(_text(name), f"recipes/{name}.toml")


def _may_fit(text: str, words: AbstractSet[str]) -> bool:
    """Whether the first layer that some spelling needs can be in a checkpoint; no if surely not."""
    needs = _NEEDS.findall(text)
    if len(needs) < text.count("[[spelling]]"):
        return True  # a spelling without needs is looked for anywhere
    for need in needs:
        names = _QUOTED.findall(need)
        first = next((n for n in names if not n.startswith("**")), ".".join(names))
        parts = (part for part in first.split(".") if not _PATTERN.search(part))
        if set(parts) <= words:
            return True
    return False


_NEEDS = re.compile(r"^needs = \[([^\]]*)\]", re.MULTILINE)
_QUOTED = re.compile(r"\"([^\"]*)\"")
_PATTERN = re.compile(r"[{*]")


@functools.cache
def _installed() -> dict[str, Recipe]:
    """Read the recipes of other packages; imported late because it costs 80 ms."""
    from importlib.metadata import entry_points  # noqa: PLC0415
    from importlib.resources import files  # noqa: PLC0415

    recipes: dict[str, Recipe] = {}
    for entry in sorted(entry_points(group=GROUP), key=lambda e: (e.name, e.value)):
        try:
            folder = files(entry.module)
        except (ImportError, TypeError) as error:
            raise RecipeError(
                f"entry point {entry.name} = {entry.value} of group {GROUP}: no package of recipes "
                f"({error}). Mend or uninstall the package that declares it."
            ) from None
        found = len(recipes)
        for file in sorted(folder.iterdir(), key=lambda f: f.name):
            name, _, suffix = file.name.rpartition(".")
            if suffix != "toml":
                continue
            source = f"{entry.module}/{file.name}"
            if name in recipes or name in built_in_names():
                raise RecipeError(
                    f"{source}: there is a recipe {name!r} already. Rename the file, or uninstall "
                    "the package that brings it."
                )
            recipes[name] = read_recipe(file.read_bytes().decode(errors="replace"), source)
        if found == len(recipes):
            raise RecipeError(
                f"entry point {entry.name} = {entry.value} of group {GROUP}: no .toml file in that "
                "package. Mend or uninstall the package that declares it."
            )
    return recipes
