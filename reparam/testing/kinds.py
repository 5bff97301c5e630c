"""What the layers of an expression are, and how many channels may pass through them.

An expression does not say which of its layers are convolutions, norms or factors; names and places
do.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reparam.expression import Chain, Layer, Node, Sum, layers

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

OF_CONVS = {"kernel", "groups", "dilation", "origin", "border", "transposed", "window"}
"""Attributes that only convolutions have."""

NORM = re.compile(r"bn|norm|identity|skip|no_conv_branch")
FACTOR = re.compile(r"(?:^|\.)(?:scale_\w+(?:\.weight)?|gamma|alpha|layer_scale|implicit)$")

COUNTS = (4, 2, 6)
"""Numbers of channels."""

IMAGES, PIXELS = 2, 4
"""Of layers over windows: images, and pixels of a window of 2x2."""


def kinds(node: Node, *, after_conv: bool = False) -> dict[str, str]:
    """Return what the layers of an expression are: `conv`, `norm` or `factor`, by name.

    Args:
        node: Without placeholders and optional parts.
        after_conv: Whether a convolution stands right before it.
    """
    match node:
        case Layer(name, attributes):
            said = {key for key, _ in attributes}
            if said & OF_CONVS:
                return {name: "conv"}
            if "add" in said or FACTOR.search(name):
                return {name: "factor"}
            norm = "eps" in said or after_conv or NORM.search(name.rpartition(".")[2])
            parent = NORM.search(name) and not name.endswith("conv")
            return {name: "norm" if norm or parent else "conv"}
        case Chain(steps):
            found: dict[str, str] = {}
            first, last = steps[0], steps[-1]
            if len(steps) == 2 and isinstance(first, Layer) and isinstance(last, Layer):  # noqa: PLR2004  a pair
                found = kinds(last)
                if found == {last.name: "norm"}:  # whatever the first is called
                    return {first.name: "conv"} | found
                found = {}
            seen = False
            for step in steps:
                mine = kinds(step, after_conv=seen)
                found |= mine
                seen = "conv" in mine.values()
            return found
        case Sum(terms):
            return {name: kind for _, term in terms for name, kind in kinds(term).items()}
        case _:
            return {}


@dataclass(frozen=True, slots=True)
class Widths:
    """How many channels a line takes and gives, and how it is grouped.

    Attributes:
        inputs: Number of input channels.
        outputs: Number of output channels.
        middle: Number of channels between convolutions of a sequence.
        groups: Of its convolutions, as far as they can be grouped.
    """

    inputs: int
    outputs: int
    middle: int
    groups: int


def draw_widths(
    tree: Node, rng: np.random.Generator, *, shared: int = 0, settle: bool = False
) -> Widths:
    """Draw numbers of channels with which an expression composes.

    Args:
        tree: Without placeholders and optional parts.
        rng: What decides.
        shared: The only number there may be, if not 0.
        settle: Whether the numbers must show that a norm follows its convolution.
    """
    if shared:
        return Widths(shared, shared, shared, 1)
    if settle:
        return Widths(6, 4, 4, 1)
    if any("window" in dict(layer.attributes) for layer in layers(tree)):
        return Widths(IMAGES * PIXELS, IMAGES * PIXELS, IMAGES * PIXELS, IMAGES)
    of = kinds(tree)
    told, inner = _copies(tree, of), any(_copies(part, of) for part in _sums(tree))
    inputs, other, middle = (int(n) for n in rng.choice(COUNTS, 3))
    outputs = inputs if told or rng.integers(2) else other
    groups = int(rng.choice([1, 2, inputs])) if told else 1
    return Widths(inputs, outputs, inputs if inner else middle, groups)


def _sums(node: Node) -> Iterator[Sum]:
    """Yield every sum in an expression."""
    match node:
        case Sum(terms):
            yield node
            for _, term in terms:
                yield from _sums(term)
        case Chain(steps):
            for step in steps:
                yield from _sums(step)
        case _:
            return


def _copies(node: Node, of: dict[str, str]) -> bool:
    """Whether a branch passes channels on, so that their number is known."""
    match node:
        case Sum(terms):
            return any(_copies(term, of) for _, term in terms)
        case Chain(steps):
            return all(_copies(step, of) for step in steps)
        case Layer(name):
            return of[name] != "conv"
        case _:
            return True
