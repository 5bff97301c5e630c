"""Recipes: what is known about a family of networks, as data.

A recipe is a TOML file: its expressions, the spellings of its key names in public implementations,
and what weights cannot say (eps, parameter-free branches), each with its source.
"""

from __future__ import annotations

import functools
import tomllib
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reparam.errors import ExpressionError, RecipeError
from reparam.expression import Line, format_name, format_tree, layers, parse

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True, slots=True)
class Eps:
    """The constant of a family's norms and where it is written down.

    Attributes:
        value: The constant, or None when the file's names do not decide it.
        source: Where the value comes from.
        ask: Why the user must say it, when `value` is None.
    """

    value: float | None
    source: str
    ask: str = ""


@dataclass(frozen=True, slots=True)
class Keep:
    """A norm that stays, and why."""

    norm: str
    why: str


@dataclass(frozen=True, slots=True)
class Block:
    """One kind of block of a spelling.

    Attributes:
        at: Path of the block below the root: `{n}` is a number, `*` one name, `**` any path;
            empty for the root itself.
        fuse: Lines that must all be there.
        maybe: Lines that may be absent as a whole.
        keep: Norms that no line reads, each with its reason.
        beside: Layers of the block that are copied.
        shared: Norms that more than one line may read.
    """

    at: str
    fuse: tuple[Line, ...]
    maybe: tuple[Line, ...]
    keep: tuple[Keep, ...]
    beside: tuple[str, ...]
    shared: tuple[str, ...]

    def texts(self) -> list[str]:
        """Return the block as lines for a person."""
        lines = [f"{format_tree(x.tree)} -> {format_name(x.output)}" for x in self.fuse]
        lines += [f"({format_tree(x.tree)})? -> {format_name(x.output)}" for x in self.maybe]
        lines += [f"{keep.norm} stays: {keep.why}" for keep in self.keep]
        if self.shared:
            lines.append(f"read by more than one line: {', '.join(self.shared)}")
        if self.beside:
            lines.append(f"copied: {', '.join(self.beside)}")
        return lines


@dataclass(frozen=True, slots=True)
class Spelling:
    """The key names of one implementation.

    Attributes:
        name: Whose names they are.
        needs: Layers that must exist below one root for this spelling to apply.
        blocks: Kinds of blocks.
        eps: The recipe's, unless the spelling states its own.
    """

    name: str
    needs: tuple[str, ...]
    blocks: tuple[Block, ...]
    eps: Eps


@dataclass(frozen=True, slots=True)
class Recipe:
    """One family of networks.

    Attributes:
        name: Short name, as `--recipe` takes it.
        title: The networks it covers.
        paper: Where the family was published.
        notes: What a user should know.
        assumes: Facts taken for granted that no weight shows; printed with every plan.
        spellings: Most specific first: within a recipe, the first to claim a tensor keeps it.
        eps: The constant, unless a spelling states its own.
        source: The file it was read from.
    """

    name: str
    title: str
    paper: str
    notes: tuple[str, ...]
    assumes: tuple[str, ...]
    spellings: tuple[Spelling, ...]
    eps: Eps
    source: str

    def anchors(self) -> list[str]:
        """Return, per spelling, the layer by which it is looked for."""
        return [
            s.needs[-1] if s.needs else next(layers(s.blocks[0].fuse[0].tree)).name
            for s in self.spellings
        ]


def find_recipes(
    names: str | PathLike[str] | Iterable[str | PathLike[str]] | None = None,
) -> tuple[Recipe, ...]:
    """Return the recipes asked for, or all built-in ones.

    Args:
        names: One or more built-in names or paths of TOML files; None for every built-in recipe.

    Raises:
        RecipeError: A name is unknown or a file malformed.
        OSError: A file cannot be read.

    Example:
        >>> [r.name for r in find_recipes(["repvgg"])]
        ['repvgg']
    """
    if names is None:
        return tuple(_built_in(name) for name in built_in_names())
    found: list[Recipe] = []
    for item in [names] if isinstance(names, str | PathLike) else names:
        name = fspath(item)
        if name in built_in_names():
            found.append(_built_in(name))
        elif name.endswith(".toml") or Path(name).is_file():
            found.append(read_recipe(Path(name).read_bytes().decode(errors="replace"), name))
        else:
            raise RecipeError(
                f"recipe {name!r}: neither a built-in recipe ({', '.join(built_in_names())}) nor a "
                ".toml file. 'reparam recipes' lists what there is."
            )
    return tuple(found)


@functools.cache
def built_in_names() -> tuple[str, ...]:
    """Return the names of the recipes that come with the package, sorted."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.toml")))


@functools.cache
def _built_in(name: str) -> Recipe:
    return read_recipe((_FOLDER / f"{name}.toml").read_text("utf-8"), f"recipes/{name}.toml")


_FOLDER = Path(__file__).with_name("recipes")


def read_recipe(text: str, source: str) -> Recipe:
    """Read a recipe from the text of a TOML file.

    Args:
        text: The file's content.
        source: Its name, for messages.

    Raises:
        RecipeError: Naming file, key and, for an expression, column.
    """
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{source}: not valid TOML: {error}.") from None
    top = _Table(table, source)
    eps = _read_eps(top.table("eps"))
    recipe = Recipe(
        name=top.text("name"),
        title=top.text("title"),
        paper=top.text("paper", ""),
        notes=top.texts("notes"),
        assumes=top.texts("assumes"),
        spellings=tuple(_read_spelling(t, eps) for t in top.tables("spelling")),
        eps=eps,
        source=source,
    )
    top.finish()
    if not recipe.spellings:
        raise RecipeError(f"{source}: expected at least one [[spelling]].")
    return recipe


def _read_eps(table: _Table) -> Eps:
    value = table.number("value", None)
    eps = Eps(value, table.text("source"), table.text("ask", ""))
    table.finish()
    if (eps.value is None) != bool(eps.ask) or (eps.value is not None and eps.value < 0):
        raise RecipeError(
            f"{table.where}: expected either value, a number of at least 0, or ask, the reason "
            "why the user has to say it."
        )
    return eps


def _read_spelling(table: _Table, eps: Eps) -> Spelling:
    own = table.table("eps", optional=True)
    spelling = Spelling(
        name=table.text("name"),
        needs=table.texts("needs"),
        blocks=tuple(_read_block(t) for t in table.tables("block")),
        eps=_read_eps(own) if own else eps,
    )
    table.finish()
    if not spelling.blocks:
        raise RecipeError(f"{table.where}: expected at least one [[spelling.block]].")
    return spelling


def _read_block(table: _Table) -> Block:
    keeps = table.tables("keep")
    block = Block(
        at=table.text("at", "**"),
        fuse=tuple(table.lines("fuse")),
        maybe=tuple(table.lines("maybe")),
        keep=tuple(Keep(t.text("norm"), t.text("why")) for t in keeps),
        beside=table.texts("beside"),
        shared=table.texts("shared"),
    )
    for keep in keeps:
        keep.finish()
    table.finish()
    if not block.fuse:
        raise RecipeError(f"{table.where}: expected fuse, a list of at least one line.")
    return block


_MISSING = object()


class _Table:
    """A TOML table that remembers which keys were asked for, so that a typo is an error."""

    def __init__(self, values: Mapping[str, Any], where: str) -> None:
        self.values = values
        self.where = where
        self.known: set[str] = set()

    def _get(self, key: str, kind: type | tuple[type, ...], what: str, default: Any) -> Any:
        self.known.add(key)
        value = self.values.get(key, default)
        if value is _MISSING:
            raise RecipeError(f"{self.where}: {key!r} is missing, expected {what}.")
        if value is not default and (not isinstance(value, kind) or isinstance(value, bool)):
            raise RecipeError(f"{self.where}: {key} = {value!r}: expected {what}.")
        return value

    def text(self, key: str, default: Any = _MISSING) -> str:
        return str(self._get(key, str, "a string", default))

    def number(self, key: str, default: Any = _MISSING) -> float | None:
        value = self._get(key, (int, float), "a number", default)
        return None if value is None else float(value)

    def texts(self, key: str) -> tuple[str, ...]:
        values = self._get(key, list, "a list of strings", [])
        if not all(isinstance(v, str) for v in values):
            raise RecipeError(f"{self.where}: {key} = {values!r}: expected a list of strings.")
        return tuple(values)

    def lines(self, key: str) -> list[Line]:
        found: list[Line] = []
        for text in self.texts(key):
            try:
                found.append(parse(text))
            except ExpressionError as error:
                raise RecipeError(f"{self.where}: {key}: {error}") from None
        return found

    def table(self, key: str, *, optional: bool = False) -> Any:
        values = self._get(key, dict, "a table", None if optional else _MISSING)
        return None if values is None else _Table(values, f"{self.where}: {key}")

    def tables(self, key: str) -> list[_Table]:
        values = self._get(key, list, "an array of tables", [])
        if not all(isinstance(v, dict) for v in values):
            raise RecipeError(f"{self.where}: {key}: expected an array of tables.")
        return [_Table(v, f"{self.where}: {key} {i + 1}") for i, v in enumerate(values)]

    def finish(self) -> None:
        unknown = sorted(self.values.keys() - self.known)
        if unknown:
            raise RecipeError(
                f"{self.where}: unknown key {unknown[0]!r}; known here: "
                f"{', '.join(sorted(self.known))}."
            )
