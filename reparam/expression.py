"""Branch expressions: the one-line notation in which a block's layers are written down.

    rbr_dense.conv rbr_dense.bn + rbr_1x1.conv rbr_1x1.bn + rbr_identity? -> rbr_reparam

Layers side by side mean "then", `+` and `-` are parallel branches, `?` "may be absent", `-> name`
is where the result goes. The tree holds names, never arrays.

    line    := expr ['->' name]
    expr    := ['-'] chain (('+' | '-') chain)*
    chain   := step+              step  := atom '?'?
    atom    := name attrs? | 'id' | 'avg' N | number | '(' expr ')'
    attrs   := '[' key ['=' value] (',' key ['=' value])* ']'
    name    := dotted path, in single quotes when it holds anything but letters, digits, '.', '-'
               and '_' or begins with a digit; '{n}' and '{n+1}' stand for numbers found in the
               checkpoint, '{stem*}' for any text without dots
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NoReturn

from reparam.errors import ExpressionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ATTRIBUTES = {
    "kernel": "taps per axis the layer must have, e.g. 3 or 1x3; tells 3x3 from 1x1",
    "groups": "number of groups, where shapes do not tell",
    "dilation": "distance of taps, per axis",
    "eps": "constant of this norm, where it differs from the others",
    "origin": "tap that meets the output position, where it is not the centre",
    "border": "zero, image or valid: what a later layer of a sequence sees beyond the image",
    "transposed": "the layer is a transposed convolution",
}
"""What may stand in brackets behind a layer, with its meaning."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A named layer, its path relative to the block, and what its tensors cannot say."""

    name: str
    attributes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Identity:
    """The input itself."""


@dataclass(frozen=True, slots=True)
class Average:
    """An average pool at stride 1, padding counted, `size` taps per axis."""

    size: str


@dataclass(frozen=True, slots=True)
class Number:
    """Multiplication by a constant."""

    value: float


@dataclass(frozen=True, slots=True)
class Maybe:
    """A part that may be absent from a checkpoint."""

    part: Node


@dataclass(frozen=True, slots=True)
class Chain:
    """Layers applied one after the other."""

    steps: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Sum:
    """Parallel branches with their signs."""

    terms: tuple[tuple[int, Node], ...]


Node = Layer | Identity | Average | Number | Maybe | Chain | Sum


@dataclass(frozen=True, slots=True)
class Line:
    """An expression and the name its result goes to."""

    tree: Node
    output: str


_HOLE = r"\{\w+(?:\*|\+\d+)?\}"
_NAME = rf"(?:[A-Za-z_]|{_HOLE})(?:[\w.-]|{_HOLE})*(?<![.-])"
_TOKEN = re.compile(
    r"\s*(?:(?P<arrow>->)"
    r"|(?P<number>\d+\.\d+(?:e[+-]?\d+)?|\d+e[+-]?\d+)(?![\w.{])"
    r"|(?P<size>\d+(?:x\d+)*)(?![\w.{])"
    r"|'(?P<quoted>(?:[^'\n]|'')+)'"
    rf"|(?P<name>{_NAME})"
    r"|(?P<attributes>\[[^\]]*\])"
    r"|(?P<symbol>[()+?-]))"
)
_ATTRIBUTE = re.compile(r"\s*(\w+)\s*(?:=\s*([\w{}.+-]+)\s*)?")


def parse(text: str) -> Line:
    """Read one line of a recipe.

    Args:
        text: `expression -> name`. Without `-> name` the result takes the place of the first layer.

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
    output = ""
    if parser.kind == "arrow":
        parser.advance()
        output = parser.take("name", "the name the result goes to")
    if parser.kind != "end":
        parser.fail("expected the end of the line, '+', '-', '->' or another layer")
    if not output:
        first = next(layers(tree), None)
        if first is None:
            parser.fail("expected '-> name': the expression names no layer to replace")
        output = first.name
    return Line(tree, output)


def layers(node: Node) -> Iterator[Layer]:
    """Yield every named layer, left to right."""
    match node:
        case Layer():
            yield node
        case Maybe(part):
            yield from layers(part)
        case Chain(steps):
            for step in steps:
                yield from layers(step)
        case Sum(terms):
            for _, term in terms:
                yield from layers(term)
        case _:
            return


def rename(node: Node, change: Callable[[str], str]) -> Node:
    """Return the tree with `change` applied to every layer name and attribute value."""
    match node:
        case Layer(name, attributes):
            return Layer(change(name), tuple((k, change(v)) for k, v in attributes))
        case Maybe(part):
            return Maybe(rename(part, change))
        case Chain(steps):
            return replace(node, steps=tuple(rename(s, change) for s in steps))
        case Sum(terms):
            return replace(node, terms=tuple((sign, rename(t, change)) for sign, t in terms))
        case _:
            return node


def format_tree(node: Node) -> str:
    """Write a tree back as text; `parse` reads it to the same tree.

    Example:
        >>> format_tree(parse("(a.conv[dilation=2]  a.bn)? +  id -> b").tree)
        '(a.conv[dilation=2] a.bn)? + id'
    """
    match node:
        case Layer(name, attributes):
            inside = ", ".join(k if v == "" else f"{k}={v}" for k, v in attributes)
            return f"{format_name(name)}[{inside}]" if inside else format_name(name)
        case Identity():
            return "id"
        case Average(size):
            return f"avg {size}"
        case Number(value):
            return repr(value)
        case Maybe(part):
            return f"({format_tree(part)})?" if isinstance(part, Maybe) else f"{_wrapped(part)}?"
        case Chain(steps):
            return " ".join(_wrapped(s) for s in steps)
        case Sum(terms):
            text = ""
            for position, (sign, term) in enumerate(terms):
                operator = ("-" if sign < 0 else "+") + " "
                text += ("" if not position and sign > 0 else operator) + _term(term) + " "
            return text.rstrip()


def format_name(name: str) -> str:
    """Write a name so that `parse` takes it for one: quoted where it would read as something else.

    Example:
        >>> format_name("0.1"), format_name("conv1")
        ("'0.1'", 'conv1')
    """
    if re.fullmatch(_NAME, name) and name not in ("id", "avg"):
        return name
    return "'" + name.replace("'", "''") + "'"


def _term(node: Node) -> str:
    return f"({format_tree(node)})" if isinstance(node, Sum) else format_tree(node)


def _wrapped(node: Node) -> str:
    return f"({format_tree(node)})" if isinstance(node, Sum | Chain) else format_tree(node)


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
            return Average(self.take("size", "the size of the average pool, as in 'avg 3'"))
        return Layer(name, self.attributes() if self.kind == "attributes" else ())

    def attributes(self) -> tuple[tuple[str, str], ...]:
        pairs: list[tuple[str, str]] = []
        for part in self.value[1:-1].split(","):
            found = _ATTRIBUTE.fullmatch(part)
            if found is None or found[1] not in ATTRIBUTES:
                self.fail(f"expected {', '.join(ATTRIBUTES)} in brackets, saw {part.strip()!r}")
            if (found[1] == "transposed") != (found[2] is None):
                self.fail(f"{found[1]!r} needs {'no' if found[2] else 'a'} value")
            if any(key == found[1] for key, _ in pairs):
                self.fail(f"{found[1]!r} is given twice")
            pairs.append((found[1], found[2] or ""))
        self.advance()
        return tuple(pairs)


_DEEPEST = 50
