"""Known mistakes of fusing tools, each as the operation that a tool has folded instead.

Eps is the most frequent one, as no checkpoint stores it. All of them have shipped somewhere, or
were made on purpose in our own code to see whether the tests notice.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from reparam import operations as ops
from reparam.branch_mistakes import (
    bias_mistakes,
    exchanged_norms,
    left_out,
    neighbours,
    numbering,
    places,
    wrong_axis,
)
from reparam.edits import Made, edit
from reparam.errors import ReparamError
from reparam.fits import Fitter, shortest
from reparam.layer_mistakes import (
    eps_in_float32,
    eps_mistakes,
    eps_text,
    kernel_mistakes,
    norm_mistakes,
    with_eps,
)
from reparam.narrow import narrow_mistakes, narrower, narrowing
from reparam.stored import Stored

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reparam.edits import Leaf
    from reparam.fits import Fit
    from reparam.operations import Operation, Read
    from reparam.plans import Fusion

    Edits = Iterator[tuple[str, Operation]]

MOST_COUNT = 1 << 30
"""Values per channel a variance is estimated from; nobody has more."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """What a mistaken tool may have folded.

    Attributes:
        text: Completes "AFTER was fused".
        op: What it folded.
        read: Where it read its tensors.
        fitted: Whether it says little by itself: a number was fitted to AFTER, or moved so little
            that rounding may have done it. What explains AFTER as well is more likely then.
    """

    text: str
    op: Operation
    read: Read
    fitted: bool = False


def candidates(
    fusion: Fusion,
    fusions: Sequence[Fusion],
    before: Read,
    after: Read,
    after_op: Operation | None = None,
) -> Iterator[Candidate]:
    """Yield what a mistaken tool may have folded in place of a block, the likely first.

    Only the dtype of AFTER is looked at. Some candidates cannot be folded at all, which is to say
    that they do not fit.

    Args:
        fusion: The block.
        fusions: All blocks of the plan, for exchanged ones.
        before: Gives the tensors of BEFORE.
        after: Gives the tensors of AFTER.
        after_op: The block of AFTER, if it is not what the plan would have written.
    """
    op, made = fusion.op, Made(before)
    narrow = narrower(Stored(after_op or fusion.after, after).dtypes[0])
    seen = {op}
    for text, mistaken in itertools.chain(
        _fixed(fusion, fusions, made), *(narrow_mistakes(op, made, dtype) for dtype in narrow)
    ):
        if mistaken not in seen:
            seen.add(mistaken)
            yield Candidate(text, mistaken, made)


def fitted_candidates(
    fusion: Fusion,
    before: Read,
    after: Read,
    after_op: Operation | None = None,
    *,
    exact: bool = False,
) -> Iterator[Candidate]:
    """Yield what a mistaken tool may have folded, with one number of it chosen by AFTER.

    Args:
        fusion: The block.
        before: Gives the tensors of BEFORE.
        after: Gives the tensors of AFTER.
        after_op: The block of AFTER, if it is not what the plan would have written.
        exact: Whether only what reproduces AFTER to its last bits is of interest.
    """
    op, made = fusion.op, Made(before)
    target = after_op or fusion.after
    for text, mistaken in eps_in_float32(op):
        yield Candidate(text, mistaken, made, fitted=True)
    try:
        for text in narrowing(op, before, target, after):
            yield Candidate(text, target, after, fitted=True)
        for text, mistaken in _fitted(op, made, target, after, exact=exact):
            yield Candidate(text, mistaken, made, fitted=True)
    except ReparamError:
        return


def _fixed(fusion: Fusion, fusions: Sequence[Fusion], made: Made) -> Edits:
    op = fusion.op
    yield from eps_mistakes(op, single=False)
    yield from bias_mistakes(op, single=False)
    yield from left_out(op)
    yield from norm_mistakes(op, made, single=False)
    yield from exchanged_norms(op)
    yield from places(op, made)
    yield from neighbours(fusion, fusions)
    yield from numbering(op, made)
    yield from kernel_mistakes(op, made, single=False)
    yield from wrong_axis(op, made)
    yield from norm_mistakes(op, made, single=True)
    yield from kernel_mistakes(op, made, single=True)
    yield from bias_mistakes(op, single=True)
    yield from eps_mistakes(op, single=True)


def _fitted(op: Operation, made: Made, after_op: Operation, after: Read, *, exact: bool) -> Edits:
    """Yield the block with one number of its norms chosen so that AFTER is met."""
    if not any(isinstance(leaf, ops.NormOp) for leaf in ops.leaves(op)):
        return
    fitter = Fitter(op, made, after_op, after, exact=exact)

    def with_other_eps(eps: float) -> Operation:
        return edit(op, with_eps(eps))

    starts = [10.0**-k for k in range(10)]
    found = fitter.fit(with_other_eps, starts)
    # a constant as float32 holds it has been said already
    said = [float(np.float32(x.eps)) for x in ops.leaves(op) if isinstance(x, ops.NormOp)]
    if found and found.low > 0 and not any(map(found.holds, said)):
        yield eps_text(found.shortest), with_other_eps(found.shortest)

    def with_factor(factor: float) -> Operation:
        def change(leaf: Leaf) -> tuple[Operation, ...] | None:
            if not isinstance(leaf, ops.NormOp):
                return None
            name = f"{leaf.var} times {factor!r}"
            var = made.vector(name, lambda: made.float64(leaf.var) * factor)
            return (replace(leaf, var=var),)

        return edit(op, change)

    found = fitter.fit(with_factor, [0.5, 1.0, 2.0])
    if found and found.low > 0 and not found.holds(1.0):
        text, factor = _unbiased(found)
        yield text, with_factor(factor)


def _unbiased(found: Fit) -> tuple[str, float]:
    """Return what a factor of all variances means, and the factor it then is."""
    up = found.low > 1
    ends = [1 / (1 - (1 / f if up else f)) for f in (found.low, found.high)]
    low, high = min(ends), max(ends)
    count = math.ceil(low)
    if count > high or count < 2 or high > MOST_COUNT:  # noqa: PLR2004  one value has no variance
        return f"with the running variance times {found.shortest!r}", found.shortest
    exact = count + 1 > high
    if not exact:
        count = round(shortest(low, high))
    factor, ratio = (count / (count - 1), "n/(n-1)") if up else ((count - 1) / count, "(n-1)/n")
    sign = "=" if exact else " about "
    return f"with the running variance times {ratio}, n{sign}{count}", factor
