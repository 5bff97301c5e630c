"""What rounding can do to a fused number: how many roundings meet in it, and the sum of |terms|.

A number that n roundings of relative size u went into is off by at most `n u A`, to first order,
where A adds up the absolute values of all terms of its formula (Higham, 2002, "Accuracy and
Stability of Numerical Algorithms", §3). Relative to A and not to the number itself: where terms
cancel, the number is small and its error is not.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from reparam import operations as ops

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from reparam.operations import Operation, Read, Rows

UNIT = 2.0**-53
"""Relative size of one rounding in float64."""

OURS = 4
"""Roundings of a norm in `reparam.fold`, whose scale is derived in twice float64's precision: the
product, the sum with the shift, and as many to spare."""

THEIRS = 7
"""Roundings of a norm in plain arithmetic: eps, the sum under the root, the root, a reciprocal (two
where it is approximated), the product, and for the bias a difference and a sum."""


def roundings(op: Operation, norm: int) -> int:
    """Return a bound on the roundings that one weight or bias of the folded operation goes through.

    Args:
        op: A bound expression.
        norm: Roundings of a batch norm, `OURS` or `THEIRS`.
    """
    match op:
        case ops.ConvOp():
            return 0
        case ops.NormOp():
            return norm
        case ops.ScaleOp() | ops.ShiftOp() | ops.NumberOp() | ops.AverageOp():
            return 2  # the constant itself may be rounded
        case ops.SumOp(terms):
            return max(roundings(t, norm) for _, t in terms) + len(terms) - 1
        case ops.WindowOp(inner):
            return roundings(inner, norm)
        case ops.ChainOp(steps):
            total = sum(roundings(step, norm) for step in steps)
            return total + sum(map(_products, steps[1:]))


def _products(op: Operation) -> int:
    """Return how many products add up where an operation follows another one."""
    match op:
        case ops.ConvOp(shape=shape):
            return math.prod(shape[1:]) + 1
        case ops.AverageOp(size):
            return math.prod(size) + 1
        case ops.SumOp(terms):
            return max(_products(t) for _, t in terms)
        case ops.ChainOp(steps):
            return max(map(_products, steps), default=0)
        case ops.WindowOp(inner):
            return _products(inner)
        case _:
            return 0


def magnitudes(op: Operation, read: Read) -> Read:
    """Give absolute values of all tensors, so that running or folding `op` adds up |terms|.

    A norm subtracts its mean, so means are given negative.
    """
    norms = [leaf for leaf in ops.leaves(op) if isinstance(leaf, ops.NormOp)]
    means = {norm.mean for norm in norms}
    variances = {norm.var for norm in norms}

    def absolute(name: str, rows: Rows | None = None, /) -> NDArray[Any]:
        values = read(name) if rows is None else read(name, rows)
        size: NDArray[Any] = values if name in variances else np.abs(values)
        return -size if name in means else size

    return absolute


def positive(op: Operation) -> Operation:
    """Return the operation with every minus a plus, for adding up magnitudes."""
    match op:
        case ops.ChainOp(steps):
            return replace(op, steps=tuple(positive(s) for s in steps))
        case ops.SumOp(terms):
            return ops.SumOp(tuple((1, positive(t)) for _, t in terms))
        case ops.WindowOp(inner):
            return replace(op, inner=positive(inner))
        case ops.NumberOp(value):
            return replace(op, value=abs(value))
        case _:
            return op
