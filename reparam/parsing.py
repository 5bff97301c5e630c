"""Reading the one-line notation of `reparam.expression`, with a caret under what is wrong."""

from __future__ import annotations

import math
import re
from typing import NoReturn

from reparam.errors import ExpressionError
from reparam.expression import (
    ATTRIBUTES,
    NAME,
    Average,
    Chain,
    Identity,
    Layer,
    Line,
    Maybe,
    Node,
    Number,
    Sum,
    layers,
)

_SIZE = r"[1-9]\d{0,3}(?:x[1-9]\d{0,3})*"
_HELD = rf"{_SIZE}|.*\{{\w+.*"  # a placeholder is a number once it is bound
_VALUES = {
    "kernel": rf"{_HELD}|odd",
    "groups": r"[1-9]\d{0,3}|.*\{\w+.*",
    "dilation": _HELD,
    "origin": r"\d{1,4}(?:x\d{1,4})*|.*\{\w+.*",
    "border": r"zero|image|valid",
}
"""What the values of attributes look like; eps is read where it is used."""

_FLAGS = ("transposed", "add", "window")

_TOKEN = re.compile(
    r"\s*(?:(?P<arrow>->)"
    r"|(?P<number>\d+\.\d+(?:e[+-]?\d+)?|\d+e[+-]?\d+)(?![\w.{])"
    r"|(?P<size>\d+(?:x\d+)*)(?![\w.{])"
    r"|'(?P<quoted>(?:[^'\n]|'')+)'"
    rf"|(?P<name>{NAME})"
    r"|(?P<attributes>\[[^\]]*\])"
    r"|(?P<symbol>[()+?-])"
    r"|(?P<block>\.)(?![\w.{]))"
)
_ATTRIBUTE = re.compile(r"\s*(\w+)\s*(?:=\s*([\w{}.+-]+)\s*)?")


def parse(text: str) -> Line:
    """Read one line of a recipe.

    Args:
        text: `expression -> name`. Without `-> name` the result takes the place of the first
            layer; with `-> .` that of the block.

    Raises:
        ExpressionError: With the text and a caret under the place.

    Example:
        >>> parse("conv1 bn1 -> conv1").output
        'conv1'
        >>> parse("conv1 bn1 +")
        Traceback (most recent call last):
        reparam.errors.ExpressionError: column 12: expected a layer, 'id', 'avg N', a number or '('
          conv1 bn1 +
                     ^
    """
    parser = _Parser(text)
    tree = parser.expression()
    output = None
    if parser.kind == "arrow":
        output = parser.target()
    if parser.kind != "end":
        parser.fail("expected the end of the line, '+', '-', '->' or another layer")
    if output is None:
        first = next(layers(tree), None)
        if first is None:
            parser.fail("expected '-> name': the expression names no layer to replace")
        output = first.name
    return Line(tree, output)


class _Parser:
    """Recursive descent over the tokens of one line."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.end = 0
        self.start = 0
        self.depth = 0
        self.kind = ""
        self.value = ""
        self.quoted = False
        self.advance()

    def advance(self) -> None:
        self.start = self.end + len(self.text[self.end :]) - len(self.text[self.end :].lstrip())
        if self.start == len(self.text):
            self.kind, self.value = "end", ""
            return
        found = _TOKEN.match(self.text, self.end)
        if found is None:
            self.fail(f"cannot read {self.text[self.start]!r}")
        self.kind, self.end = found.lastgroup or "", found.end()
        self.value = found[self.kind]
        self.quoted = self.kind == "quoted"
        if self.quoted:
            self.kind, self.value = "name", self.value.replace("''", "'")

    def take(self, kind: str, what: str) -> str:
        if self.kind != kind:
            self.fail(f"expected {what}")
        value = self.value
        self.advance()
        return value

    def target(self) -> str:
        self.advance()
        if self.kind == "block":
            self.advance()
            return ""
        return self.take("name", "the name the result goes to, or '.' for the block")

    def at(self, symbol: str) -> bool:
        return self.kind == "symbol" and self.value == symbol

    def take_symbol(self, symbol: str) -> None:
        if not self.at(symbol):
            self.fail(f"expected {symbol!r}")
        self.advance()

    def fail(self, why: str) -> NoReturn:
        line = self.text.replace("\n", " ")
        raise ExpressionError(f"column {self.start + 1}: {why}\n  {line}\n  {' ' * self.start}^")

    def expression(self) -> Node:
        self.depth += 1
        if self.depth > _DEEPEST:
            self.fail(f"nested deeper than {_DEEPEST} parentheses")
        sign = 1
        if self.at("-"):
            sign = -1
            self.advance()
        terms = [(sign, self.chain())]
        while self.kind == "symbol" and self.value in "+-":
            sign = -1 if self.value == "-" else 1
            self.advance()
            terms.append((sign, self.chain()))
        self.depth -= 1
        return terms[0][1] if len(terms) == 1 and terms[0][0] > 0 else Sum(tuple(terms))

    def chain(self) -> Node:
        steps = [self.step()]
        while self.kind in ("name", "size", "number") or self.at("("):
            steps.append(self.step())
        return steps[0] if len(steps) == 1 else Chain(tuple(steps))

    def step(self) -> Node:
        node = self.atom()
        if self.at("?"):
            self.advance()
            node = Maybe(node)
        return node

    def atom(self) -> Node:
        if self.at("("):
            self.advance()
            node = self.expression()
            self.take_symbol(")")
            return node
        if self.kind in ("number", "size"):
            if "x" in self.value:
                self.fail("expected a number")
            value = float(self.value)
            if math.isinf(value):
                self.fail("expected a finite number")
            self.advance()
            return Number(value)
        quoted = self.quoted
        name = self.take("name", "a layer, 'id', 'avg N', a number or '('")
        if quoted:
            return Layer(name, self.attributes() if self.kind == "attributes" else ())
        if name == "id":
            return Identity()
        if name == "avg":
            if self.kind == "size" and not re.fullmatch(_SIZE, self.value):
                self.fail("expected sizes of at least 1")
            return Average(self.take("size", "the size of the average pool, as in 'avg 3'"))
        return Layer(name, self.attributes() if self.kind == "attributes" else ())

    def attributes(self) -> tuple[tuple[str, str], ...]:
        pairs: list[tuple[str, str]] = []
        for part in self.value[1:-1].split(","):
            found = _ATTRIBUTE.fullmatch(part)
            if found is None or found[1] not in ATTRIBUTES:
                self.fail(f"expected {', '.join(ATTRIBUTES)} in brackets, saw {part.strip()!r}")
            value = _VALUES.get(found[1])
            if value and found[2] and not re.fullmatch(value, found[2]):
                self.fail(f"{found[1]}={found[2]}: expected {ATTRIBUTES[found[1]]}")
            if (found[1] in _FLAGS) != (found[2] is None):
                self.fail(f"{found[1]!r} needs {'no' if found[2] else 'a'} value")
            if any(key == found[1] for key, _ in pairs):
                self.fail(f"{found[1]!r} is given twice")
            pairs.append((found[1], found[2] or ""))
        self.advance()
        return tuple(pairs)


_DEEPEST = 50
