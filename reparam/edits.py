"""Changing a bound expression: other operations in place of some, other tensors beside the stored.

What a mistaken tool has folded is written down as the operation it should have folded with an edit,
so that the same fold computes it.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from reparam import operations as ops

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

    from reparam.linear import Array
    from reparam.operations import Axes, Operation, Read, Rows

    Leaf = ops.ConvOp | ops.NormOp | ops.ScaleOp | ops.ShiftOp
    Change = Callable[[Leaf], tuple[Operation, ...] | None]
    """Gives the steps to take in place of a leaf, or None to leave it."""
    PairChange = Callable[[ops.ConvOp, ops.NormOp], tuple[Operation, ...] | None]
    """Does so for a convolution and its norm."""


class Made:
    """Gives tensors that are in no file beside those that are.

    Args:
        read: Gives the tensors of the file.

    Example:
        >>> made = Made(lambda name, rows=None: np.ones(2))
        >>> made(made.tensor("twos", lambda rows: np.array([2.0, 2.0])))
        array([2., 2.])
    """

    def __init__(self, read: Read) -> None:
        self._read = read
        self._made: dict[str, Callable[[Rows | None], NDArray[Any]]] = {}

    def __call__(self, name: str, rows: Rows | None = None, /) -> NDArray[Any]:
        """Return a tensor, or some of its rows, as `reparam.operations.Read` does."""
        if name in self._made:
            return self._made[name](rows)
        return self._read(name) if rows is None else self._read(name, rows)

    def tensor(self, name: str, make: Callable[[Rows | None], NDArray[Any]]) -> str:
        """Say how to make a tensor, or some of its rows; return its name."""
        self._made[name] = make
        return name

    def fresh(self, what: str) -> str:
        """Return a name that no tensor has yet."""
        return f"{what} {len(self._made)}"

    def vector(self, name: str, make: Callable[[], NDArray[Any]]) -> str:
        """Say how to make a vector, or any tensor of which rows are no cheaper than the whole."""
        return self.tensor(name, lambda rows: make() if rows is None else make()[slice(*rows)])

    def float64(self, name: str) -> Array:
        """Return a vector in float64."""
        return self(name).astype(np.float64).reshape(-1)


def edit(op: Operation, change: Change) -> Operation:
    """Return an operation with other steps in place of some of its leaves."""
    match op:
        case ops.ChainOp(steps):
            return replace(op, steps=tuple(new for step in steps for new in _edited(step, change)))
        case ops.SumOp(terms):
            return ops.SumOp(tuple((sign, edit(term, change)) for sign, term in terms))
        case ops.WindowOp(inner):
            return replace(op, inner=edit(inner, change))
        case _:
            steps = _edited(op, change)
            return steps[0] if len(steps) == 1 else ops.ChainOp(steps, ops.inputs(op))


def _edited(op: Operation, change: Change) -> tuple[Operation, ...]:
    match op:
        case ops.ConvOp() | ops.NormOp() | ops.ScaleOp() | ops.ShiftOp():
            steps = change(op)
            return (op,) if steps is None else steps
        case ops.ChainOp() | ops.SumOp() | ops.WindowOp():
            return (edit(op, change),)
        case _:
            return (op,)


def edit_pairs(op: Operation, change: PairChange) -> Operation:
    """Return an operation with other steps in place of convolutions and the norms behind them."""
    match op:
        case ops.ChainOp(steps):
            new: list[Operation] = []
            for step in steps:
                before = new[-1] if new else None
                pair = None
                if isinstance(before, ops.ConvOp) and isinstance(step, ops.NormOp):
                    pair = change(before, step)
                new[len(new) - (pair is not None) :] = pair or (edit_pairs(step, change),)
            return replace(op, steps=tuple(new))
        case ops.SumOp(terms):
            return ops.SumOp(tuple((sign, edit_pairs(term, change)) for sign, term in terms))
        case ops.WindowOp(inner):
            return replace(op, inner=edit_pairs(inner, change))
        case _:
            return op


def sums(op: Operation) -> Iterator[tuple[ops.SumOp, Callable[[Operation], Operation]]]:
    """Yield every sum of branches in an operation, and how to put something else in its place."""
    match op:
        case ops.SumOp(terms):
            yield op, lambda new: new
            for place, (_, term) in enumerate(terms):
                for inner, put in sums(term):
                    yield inner, _into_sum(op, place, put)
        case ops.ChainOp(steps):
            for place, step in enumerate(steps):
                for inner, put in sums(step):
                    yield inner, _into_chain(op, place, put)
        case _:
            return


def _into_sum(
    op: ops.SumOp, place: int, put: Callable[[Operation], Operation]
) -> Callable[[Operation], Operation]:
    return lambda new: with_terms(op, {place: put(new)})


def _into_chain(
    op: ops.ChainOp, place: int, put: Callable[[Operation], Operation]
) -> Callable[[Operation], Operation]:
    return lambda new: replace(op, steps=(*op.steps[:place], put(new), *op.steps[place + 1 :]))


def with_terms(op: ops.SumOp, new: Mapping[int, Operation]) -> ops.SumOp:
    """Return a sum with other operations in place of some branches."""
    return ops.SumOp(tuple((sign, new.get(i, term)) for i, (sign, term) in enumerate(op.terms)))


def silenced(op: Operation) -> Operation:
    """Return a branch times zero: it adds nothing, and the kernel keeps its size and groups."""
    return ops.ChainOp((op, ops.NumberOp(0.0, ops.outputs(op))), ops.inputs(op))


def moved(op: Operation, by: Axes, made: Made) -> Operation | None:
    """Return a branch whose taps lie elsewhere, or None where that is not one convolution.

    Args:
        op: The branch.
        by: Pixels per axis, as an index of the larger kernel counts them.
        made: Gives the kernel that an identity is written as.
    """
    match op:
        case ops.ConvOp(origin=origin, transposed=False):
            return replace(op, origin=tuple(o - b for o, b in zip(origin, by, strict=True)))
        case ops.SumOp(terms):
            done = {i: moved(term, by, made) for i, (_, term) in enumerate(terms)}
            new = {i: term for i, term in done.items() if term is not None}
            return with_terms(op, new) if len(new) == len(terms) else None
        case ops.ChainOp(steps):
            for place, step in enumerate(steps):
                if isinstance(step, ops.ConvOp | ops.SumOp | ops.ChainOp):
                    new_step = moved(step, by, made)
                    steps = (*steps[:place], *([new_step] if new_step else []), *steps[place + 1 :])
                    return replace(op, steps=steps) if new_step else None
            if any(isinstance(step, ops.AverageOp | ops.WindowOp) for step in steps):
                return None
            ones = identity(op.channels, 1, tuple(-b for b in by), made)
            return replace(op, steps=(ones, *steps))
        case ops.NormOp() | ops.ScaleOp():
            return moved(ops.ChainOp((op,), op.channels), by, made)
        case _:
            return None


def identity(
    channels: int, width: int, origin: Axes, made: Made, copies: NDArray[np.intp] | None = None
) -> ops.ConvOp:
    """Return the convolution of one tap that copies its input.

    Args:
        channels: Inputs and outputs.
        width: Inputs per group.
        origin: Where the output position is, seen from the tap.
        made: Takes the kernel.
        copies: `(channels,)`, the input within its group that every output copies; None for the
            right one.
    """
    rank = len(origin)
    if copies is None:
        copies = np.arange(channels) % width
    kernel = np.zeros((channels, width, *(1,) * rank), dtype=np.float32)
    kernel[np.arange(channels), copies] = 1.0
    name = made.vector(made.fresh("identity"), lambda: kernel)
    ones = (1,) * rank
    return ops.ConvOp(name, None, kernel.shape, channels // width, ones, origin)


def path(leaf: Leaf) -> str:
    """Return the layer that a leaf is."""
    match leaf:
        case ops.ConvOp():
            return leaf.weight.rpartition(".")[0] or leaf.weight
        case ops.NormOp():
            return leaf.var.rpartition(".")[0] or leaf.var
        case _:
            return leaf.tensor


def label(branch: Operation, whole: Operation) -> str:
    """Name a branch by what its layers' paths have in common.

    Args:
        branch: One of the branches.
        whole: All of them together.
    """
    leaves = list(ops.leaves(branch))
    name = _common(branch)
    if leaves and name == _common(whole):
        name = path(leaves[0])
    kind = "branch" if any(isinstance(x, ops.ConvOp) for x in leaves) else "the identity branch"
    return f"{kind} {name!r}" if leaves else kind


def _common(op: Operation) -> str:
    leaves = list(ops.leaves(op))
    layers = [leaf for leaf in leaves if isinstance(leaf, ops.ConvOp | ops.NormOp)]
    paths = [path(leaf).split(".") for leaf in layers or leaves]
    same = itertools.takewhile(lambda parts: len(set(parts)) == 1, zip(*paths, strict=False))
    return ".".join(parts[0] for parts in same)
