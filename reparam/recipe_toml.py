"""Reading a recipe from TOML: every key known, every line parsed, every error with its place."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

from reparam.errors import ExpressionError, RecipeError
from reparam.expression import layers
from reparam.parsing import parse
from reparam.recipe import Block, Doubt, Eps, Keep, Recipe, Same, Spelling, finite_eps

if TYPE_CHECKING:
    from collections.abc import Mapping

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
    if not recipe.spellings:
        raise RecipeError(f"{source}: expected at least one [[spelling]].")
    return recipe


def _read_eps(table: _Table) -> Eps:
    value = table.eps("value")
    eps = Eps(value, table.text("source"), table.text("ask", ""))
    table.finish()
    if (eps.value is None) != bool(eps.ask):
        raise RecipeError(
            f"{table.where}: expected either value, a number of at least 0, or ask, the reason "
            "why the user has to say it."
        )
    return eps


def _read_spelling(table: _Table, eps: Eps) -> Spelling:
    own = table.table("eps", optional=True)
    doubt = table.table("doubt", optional=True)
    spelling = Spelling(
        name=table.text("name"),
        needs=table.texts("needs"),
        blocks=tuple(_read_block(t) for t in table.tables("block")),
        eps=_read_eps(own) if own else eps,
        doubt=Doubt(doubt.text("why"), doubt.texts("unless")) if doubt else None,
        complete=table.flag("complete"),
        apart=table.texts("apart"),
        keep=_read_keeps(table),
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
        at=table.text("at", "**"),
        fuse=tuple(table.lines("fuse")),
        maybe=tuple(table.lines("maybe")),
        keep=_read_keeps(table),
        beside=table.texts("beside"),
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
        keeps.append(Keep(entry.text("norm"), entry.text("why")))
        entry.finish()
    return tuple(keeps)


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
