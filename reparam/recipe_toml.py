"""Reading a recipe from TOML: every key known, every line parsed, every error with its place."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

from reparam.errors import ExpressionError, RecipeError
from reparam.expression import layers
from reparam.parsing import parse
from reparam.patterns import PATTERN
from reparam.recipe import Block, Doubt, Eps, Keep, Never, Recipe, Same, Spelling, finite_eps

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from reparam.expression import Line


LAYOUTS = ("any", "torch", "keras")
"""Whose names and axes a recipe may be written for."""


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
        layout=top.text("layout", "any"),
        by_name=top.text("by_name", ""),
        over=top.texts("over"),
    )
    top.finish()
    if recipe.layout not in LAYOUTS:
        raise RecipeError(
            f"{source}: layout = {recipe.layout!r}: expected one of {', '.join(LAYOUTS)}."
        )
    names = [spelling.name for spelling in recipe.spellings]
    for name in (recipe.name, *names):
        if not name.isprintable() or names.count(name) > 1:
            raise RecipeError(f"{source}: name {name!r}: expected one line of text, given once.")
    if recipe.name in recipe.over:
        raise RecipeError(f"{source}: over names the recipe itself.")
    if not recipe.spellings:
        raise RecipeError(f"{source}: expected at least one [[spelling]].")
    return recipe


def recipe_of_lines(texts: Iterable[str], eps: float | None = None) -> Recipe:
    """Make a recipe of the lines of one kind of block, wherever in a file it is.

    Args:
        texts: The lines; a block has all of them.
        eps: The constant of its norms; None if the user has to say it.

    Raises:
        RecipeError: A line cannot be read, or there is none.

    Example:
        >>> recipe_of_lines(["conv bn + point[kernel=1] -> fused"], 1e-5).anchors()
        ['conv']
    """
    table = _Table({"fuse": list(texts)}, "lines")
    lines = tuple(table.lines("fuse"))
    if not lines:
        raise RecipeError("lines: expected at least one.")
    block = Block("**", lines, (), (), (), ())
    said = Eps(eps, "said beside the lines", "" if eps is not None else "the lines do not say it")
    spelling = Spelling("lines", (), (block,), said, None)
    return Recipe("lines", "the lines given", "", (), (), (spelling,), said, "lines")


def _read_eps(table: _Table) -> Eps:
    value = table.eps("value")
    eps = Eps(value, table.text("source"), table.text("ask", ""), table.patterns("unless"))
    table.finish()
    if (eps.value is None or bool(eps.unless)) != bool(eps.ask):
        raise RecipeError(
            f"{table.where}: expected either value, a number of at least 0, or ask, the reason "
            "why the user has to say it; both only with unless, layers beside which it is asked."
        )
    return eps


def _read_spelling(table: _Table, eps: Eps) -> Spelling:
    own = table.table("eps", optional=True)
    doubt = table.table("doubt", optional=True)
    spelling = Spelling(
        name=table.text("name"),
        needs=table.patterns("needs"),
        blocks=tuple(_read_block(t) for t in table.tables("block")),
        eps=_read_eps(own) if own else eps,
        doubt=Doubt(doubt.text("why")) if doubt else None,
        complete=table.flag("complete"),
        apart=table.patterns("apart"),
        keep=_read_keeps(table),
        never=_read_nevers(table),
    )
    if doubt:
        doubt.finish()
    table.finish()
    if not spelling.blocks:
        raise RecipeError(f"{table.where}: expected at least one [[spelling.block]].")
    return spelling


def _read_block(table: _Table) -> Block:
    same = table.table("same", optional=True)
    block = Block(
        at=table.pattern("at", "**"),
        fuse=tuple(table.lines("fuse")),
        maybe=tuple(table.lines("maybe")),
        keep=_read_keeps(table),
        beside=table.patterns("beside"),
        shared=table.texts("shared"),
        same=Same(same.count("stride"), same.text("unless")) if same else None,
        alone=table.flag("alone"),
    )
    if same:
        same.finish()
    table.finish()
    if not block.fuse:
        raise RecipeError(f"{table.where}: expected fuse, a list of at least one line.")
    return block


def _read_keeps(table: _Table) -> tuple[Keep, ...]:
    keeps: list[Keep] = []
    for entry in table.tables("keep"):
        keeps.append(Keep(entry.pattern("norm"), entry.text("why")))
        entry.finish()
    return tuple(keeps)


def _read_nevers(table: _Table) -> tuple[Never, ...]:
    nevers: list[Never] = []
    for entry in table.tables("never"):
        nevers.append(Never(entry.pattern("layer"), entry.text("why")))
        entry.finish()
    return tuple(nevers)


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
        text = str(self._get(key, str, "a string", default))
        if not text and key in self.values:
            raise RecipeError(f"{self.where}: {key} is empty, expected a text.")
        return text

    def pattern(self, key: str, default: Any = _MISSING) -> str:
        """Read a path pattern; only that of a block's place may be empty, for the root."""
        text = str(self._get(key, str, "a path", default))
        self._check_pattern(key, text) if text or default is _MISSING else None
        return text

    def patterns(self, key: str) -> tuple[str, ...]:
        texts = self.texts(key)
        for text in texts:
            self._check_pattern(key, text)
        return texts

    def _check_pattern(self, key: str, text: str) -> None:
        if not PATTERN.fullmatch(text):
            raise RecipeError(
                f"{self.where}: {key}: {text!r} is no path: expected names between dots, in which "
                "{n}, {n+1} or {text*} may stand for parts of them, * for one and ** for any."
            )

    def eps(self, key: str) -> float | None:
        value = self._get(key, (int, float), "a number", None)
        eps = finite_eps(value)
        if value is not None and eps is None:
            raise RecipeError(f"{self.where}: {key}: expected a finite number of at least 0.")
        return eps

    def count(self, key: str) -> int:
        value = self._get(key, int, "a whole number of at least 1", _MISSING)
        if value < 1:
            raise RecipeError(f"{self.where}: {key} = {value}: expected at least 1.")
        return int(value)

    def flag(self, key: str) -> bool:
        self.known.add(key)
        value = self.values.get(key, False)
        if not isinstance(value, bool):
            raise RecipeError(f"{self.where}: {key} = {value!r}: expected true or false.")
        return value

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
            if next(layers(found[-1].tree), None) is None:
                raise RecipeError(f"{self.where}: {key}: {text!r} names no layer.")
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
