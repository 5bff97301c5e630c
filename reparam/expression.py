"""Branch expressions: the one-line notation in which a block's layers are written down.

    rbr_dense.conv rbr_dense.bn + rbr_1x1.conv rbr_1x1.bn + rbr_identity? -> rbr_reparam

Layers side by side mean "then", `+` and `-` are parallel branches, `?` "may be absent", `-> name`
is where the result goes. The tree holds names, never arrays.

    line    := expr ['->' (name | '.')]
    expr    := ['-'] chain (('+' | '-') chain)*
    chain   := step+              step  := atom '?'?
    atom    := name attrs? | 'id' | 'avg' N | number | '(' expr ')'
    attrs   := '[' key ['=' value] (',' key ['=' value])* ']'
    name    := dotted path, in single quotes when it holds anything but letters, digits, '.', '-'
               and '_' or begins with a digit; '{n}' and '{n+1}' stand for numbers found in the
               checkpoint, '{stem*}' for any text without dots
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ATTRIBUTES = {
    "kernel": "taps per axis the layer must have, e.g. 3, 1x3 or odd; tells 3x3 from 1x1",
    "groups": "number of groups, where shapes do not tell",
    "dilation": "distance of taps, per axis",
    "eps": "constant of this norm, where it differs from the others",
    "origin": "tap that meets the output position, where it is not the centre",
    "border": "zero, image or valid: what a later layer of a sequence sees beyond the image",
    "transposed": "the layer is a transposed convolution",
    "window": "a 1x1 convolution whose channels are the pixels of square windows, image by image",
    "add": "the bare tensor is added to its input, instead of being a factor",
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
    """An expression and the name its result goes to; the empty one is the block itself."""

    tree: Node
    output: str


_HOLE = r"\{\w+(?:\*|\+\d+)?\}"
NAME = rf"(?:[A-Za-z_]|{_HOLE})(?:[\w.-]|{_HOLE})*(?<![.-])"
"""What reads as a name without quotes."""


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
        >>> from reparam.parsing import parse
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
    if re.fullmatch(NAME, name) and name not in ("id", "avg"):
        return name
    return "'" + name.replace("'", "''") + "'"


def format_line(line: Line) -> str:
    """Write a line back as text; `parse` reads it to the same line.

    Example:
        >>> from reparam.parsing import parse
        >>> format_line(parse("c bn -> ."))
        'c bn -> .'
    """
    return f"{format_tree(line.tree)} -> {format_output(line.output)}"


def format_output(name: str) -> str:
    """Write the name of a result; the block itself is a dot."""
    return format_name(name) if name else "."


def _term(node: Node) -> str:
    return f"({format_tree(node)})" if isinstance(node, Sum) else format_tree(node)


def _wrapped(node: Node) -> str:
    return f"({format_tree(node)})" if isinstance(node, Sum | Chain) else format_tree(node)
