"""Finding the layer of AFTER that may stand for a layer of BEFORE by the numbers in it.

This only proposes; whether two layers are equal is decided number by number afterwards.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from reparam import operations as ops
from reparam.errors import ReparamError
from reparam.fold import fold, outputs_first
from reparam.frames import kernel_shape
from reparam.patterns import natural
from reparam.rounding import FORMATS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reparam.linear import Array
    from reparam.modules import ModuleIndex
    from reparam.operations import Axes, Operation, Read
    from reparam.plans import Fusion

ALIKE = 0.5
"""Relative distance, squared, below which two layers are taken for the same; unrelated ones: 2."""

MOST_PAIRS = 1 << 22
"""How many pairs of one shape are worth comparing; beyond that their order decides."""

ROWS, NUMBERS = 16, 256
"""Output channels of a layer that are looked at, and weights of each."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A block or layer in search of its partner."""

    name: str
    op: Operation
    fusion: Fusion | None = None

    @property
    def stored(self) -> ops.ConvOp:
        """What it would be stored as in one convolution."""
        after = self.fusion.after if self.fusion else self.op
        assert isinstance(after, ops.ConvOp)
        return after


def plain_layers(names: Iterable[str], index: ModuleIndex) -> list[Layer]:
    """Return the layers with a kernel of two or more axes among some tensors."""
    there = set(names)
    layers: list[Layer] = []
    for name in sorted(there, key=natural):
        path, _, role = name.rpartition(".")
        module = index.get(path)
        known = index.tensors[name].dtype in FORMATS
        if role == "weight" and module and module.kind == "conv" and known:
            bias = module.tensors.get("bias")
            layers.append(Layer(path, plain_op(name, bias if bias in there else None, index)))
    return layers


def plain_op(weight: str, bias: str | None, index: ModuleIndex) -> ops.ConvOp:
    """Return a stored layer of unknown geometry; its numbers can be compared all the same."""
    shape = index.shape(weight)
    rank = len(shape) - 2
    return ops.ConvOp(weight, bias, shape, 1, (1,) * rank, (0,) * rank)


def find_partners(
    seeking: list[Layer], offered: list[Layer], old: Read, new: Read
) -> list[tuple[Layer, Layer]]:
    """Pair layers of equal kernel shapes, the most similar ones first.

    Args:
        seeking: Layers of BEFORE.
        offered: Layers of AFTER; plain ones take their geometry from their partners.
        old: Gives the tensors of BEFORE.
        new: Gives the tensors of AFTER.
    """
    shapes: dict[Axes, tuple[list[Layer], list[Layer]]] = {}
    for side, layers in enumerate((seeking, offered)):
        for layer in sorted(layers, key=lambda x: natural(x.name)):
            shapes.setdefault(kernel_shape(layer.op), ([], []))[side].append(layer)
    pairs: list[tuple[Layer, Layer]] = []
    for mine, theirs in shapes.values():
        if mine and theirs:
            alike = [_shaped(layer, mine[0]) for layer in theirs]
            chosen = _choose(mine, alike, old, new)
            pairs += [(mine[i], _shaped(theirs[j], mine[i])) for i, j in sorted(chosen.items())]
    return pairs


def _shaped(layer: Layer, like: Layer) -> Layer:
    """Return a plain layer with the groups and geometry of another one."""
    if layer.fusion is not None or not isinstance(layer.op, ops.ConvOp):
        return layer
    return replace(layer, op=replace(like.stored, weight=layer.op.weight, bias=layer.op.bias))


def _choose(mine: list[Layer], theirs: list[Layer], old: Read, new: Read) -> dict[int, int]:
    chosen: dict[int, int] = {}
    if len(mine) * len(theirs) <= MOST_PAIRS:
        gaps = _gaps([_sample(x.op, old) for x in mine], [_sample(x.op, new) for x in theirs])
        taken: set[int] = set()
        for place in np.argsort(gaps, axis=None, kind="stable"):
            i, j = divmod(int(place), len(theirs))
            if gaps[i, j] > ALIKE:
                break
            if i not in chosen and j not in taken:
                chosen[i] = j
                taken.add(j)
    left = [i for i in range(len(mine)) if i not in chosen]
    over = sorted(set(range(len(theirs))) - set(chosen.values()))
    return chosen | dict(zip(left, over, strict=True)) if len(left) == len(over) else chosen


@np.errstate(all="ignore")
def _gaps(mine: list[Array], theirs: list[Array]) -> Array:
    """Return `|a - b|^2 / (|a| |b|)` for all pairs; infinite where it is not a number."""
    a, b = np.stack(mine), np.stack(theirs)
    norms = np.einsum("ij,ij->i", a, a), np.einsum("ij,ij->i", b, b)
    squares = norms[0][:, None] + norms[1] - 2 * np.einsum("ik,jk->ij", a, b)
    gaps: Array = squares / np.sqrt(norms[0][:, None] * norms[1])
    gaps[(norms[0][:, None] == 0) & (norms[1] == 0)] = 0.0
    return np.where(np.isfinite(gaps), gaps, np.inf)


def _sample(op: Operation, read: Read) -> Array:
    """Return some numbers of a folded layer, the same places whatever it is folded from."""
    outputs, unit = ops.outputs(op), ops.row_unit(op)
    width = min(int(np.prod(kernel_shape(op))) // outputs, NUMBERS)
    picks = sorted({i * outputs // ROWS for i in range(ROWS)})
    parts: list[Array] = []
    for first, rows in itertools.groupby(picks, key=lambda row: row // unit * unit):
        try:
            conv = fold(op, read, (first, first + unit))
        except ReparamError:  # it is found and told when the block is compared
            return np.zeros(len(picks) * (width + 1))
        kernel = outputs_first(conv.kernel, conv).reshape(unit, -1)
        for row in rows:
            numbers = kernel[row - first]
            parts += [numbers[:: len(numbers) // width][:width], conv.bias[row - first :][:1]]
    return np.concatenate(parts)
