"""Proving a fused block: run both forms, by the reference, on the same input.

For a random image x, borders included, every output of the deploy form must lie within
`ulp * (sum |w||x| + |b|)` of the train form's, where `ulp` is one unit in the last place of 1 in
the stored dtype. That is a bound on what rounding each weight once can do, derived and not chosen;
for inputs as for weights nothing else is rounded, because both forms run in float64.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from reparam import operations as ops
from reparam.bounds import magnitudes, positive
from reparam.random_bits import random_bits
from reparam.reference import probe_size, run
from reparam.rounding import FORMATS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from reparam.linear import Conv
    from reparam.operations import Operation, Read, Rows
    from reparam.plans import Fusion


@dataclass(frozen=True, slots=True)
class BlockCheck:
    """How far a fused block is from its train form.

    Attributes:
        name: The fused layer.
        error: Largest difference of an output, as a fraction of its bound; at most 1 is proven.
    """

    name: str
    error: float


def probe(fusion: Fusion) -> NDArray[np.float64]:
    """Return the input a block is checked with: random in [-1, 1), fixed by the block's name."""
    size = (1, ops.inputs(fusion.op), *probe_size(fusion.op))
    bits = random_bits(fusion.name, math.prod(size))
    unit = (bits >> np.uint64(11)).astype(np.float64) * 2.0**-52
    return (unit - 1.0).reshape(size)


@np.errstate(all="ignore")  # what is not finite fails the check
def block_error(
    fusion: Fusion, before: Read, after: Read, x: NDArray[np.float64], rows: Rows
) -> float:
    """Return the largest difference of the outputs `rows`, as a fraction of the bound.

    Args:
        fusion: The block.
        before: Gives the tensors of the train form.
        after: Gives the tensors of the deploy form.
        x: The input, see `probe`.
        rows: Output channels to compare.
    """
    wanted = run(fusion.op, before, x, rows)
    got = run(fusion.after, after, x, rows)
    difference = np.abs(wanted - got)
    form = min((FORMATS[dtype] for dtype in fusion.dtypes), key=lambda f: f.digits)
    size = _size(fusion.after, after, x, rows, np.float64 if form.digits > 24 else np.float32)  # noqa: PLR2004
    terms = math.prod(fusion.kernel.info.shape[1:]) + 1
    # below the normal range the last place no longer shrinks with the number
    bound = form.epsilon * size + form.smallest * terms
    if (difference > bound).any():
        # float64 itself rounds, and shows where large branches cancel
        op = positive(fusion.op)
        noise = _size(op, before, x, rows, np.float64)
        bound += (terms + 16) * 2.0**-52 * (noise + size)
    if not (np.isfinite(difference).all() and np.isfinite(bound).all()):
        return math.inf
    return float((difference / bound).max(initial=0.0))


def _size(
    op: Operation, read: Read, x: NDArray[np.float64], rows: Rows, precision: type[np.floating]
) -> NDArray[Any]:
    """Return `sum |w||x| + |b|` per output; three digits of it are enough for a bound."""
    total = run(op, magnitudes(op, read), np.abs(x).astype(precision), rows)
    if precision is np.float32 and not np.isfinite(total).all():
        return _size(op, read, x, rows, np.float64)
    return total.astype(np.float64)


class FoldCheck:
    """Runs the reference on slabs of a fold: the judge of what a block is compared with.

    Args:
        fusion: The block, whose deploy form is one convolution.
        before: Gives its tensors.

    Attributes:
        worst: The largest difference of an output, as a fraction of its float32 bound.
    """

    def __init__(self, fusion: Fusion, before: Read) -> None:
        assert isinstance(fusion.after, ops.ConvOp)
        self.fusion, self.before = fusion, before
        self.input = probe(fusion)
        self.bias = np.zeros(ops.outputs(fusion.op))
        self.worst = 0.0

    def __call__(self, rows: Rows, conv: Conv) -> None:
        """Check the fold of some output channels."""
        self.bias[slice(*rows)] = conv.bias
        kernel = self.fusion.kernel.name

        def read(name: str, _rows: Rows | None = None, /) -> NDArray[Any]:
            return conv.kernel if name == kernel else self.bias

        error = block_error(self.fusion, self.before, read, self.input, rows)
        self.worst = max(self.worst, error)
