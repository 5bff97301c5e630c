"""Which known mistake explains a block of AFTER that is not the fold of BEFORE.

A mistake is named only if folding it gives AFTER: bitwise, within rounding, or within what float32
arithmetic explains, and in a better grade than the right fold. What explains AFTER equally well is
named beside it, because the numbers cannot tell.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import numpy as np

from reparam import operations as ops
from reparam.certificate import certify
from reparam.errors import ReparamError
from reparam.fold import fold
from reparam.frames import kernel_shape
from reparam.grades import Certificate, Grade, arithmetic
from reparam.mistakes import candidates, fitted_candidates
from reparam.narrow import through
from reparam.rounding import FORMATS
from reparam.slabs import BlockReader
from reparam.stored import Stored

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from reparam.linear import Array
    from reparam.mistakes import Candidate
    from reparam.operations import Operation, Read
    from reparam.plans import Fusion

ALIKE = 1.5
"""Certificates of float32 arithmetic that differ by less say nothing about which is right."""

CLEARLY = 0.5
"""Part of the right fold's certificate that is left when a mistake explains the difference."""

NEAR = 64
"""Units by which most weights may be off where a mistake is worth a full comparison."""

ROWS = 8
"""Output channels of a first look, at least."""

WORK = 1 << 16
"""Products of channels that trying candidates may take; wide sequences have many in a fold."""

LEAST = 40
"""Candidates that are tried in any case: those in all layers of a block alike come first."""

MOST_NAMES = 3
"""Mistakes that are named at most, where they explain AFTER equally well."""


@np.errstate(all="ignore")  # a mistake may well overflow, and AFTER hold anything
def explain(
    fusion: Fusion,
    fusions: Sequence[Fusion],
    before: Read,
    after: Read,
    *,
    after_op: Operation | None = None,
    right: Certificate | None = None,
    likely: Collection[str] = (),
) -> str | None:
    """Name the known mistake that explains AFTER, or several that cannot be told apart.

    Args:
        fusion: The block.
        fusions: All blocks of the plan.
        before: Gives the tensors of BEFORE.
        after: Gives the tensors of AFTER.
        after_op: The block of AFTER, if it is not what the plan would have written.
        right: The certificate of the right fold, if it is known already.
        likely: What explains other blocks, with names as `relative` gives them; tried first.

    Returns:
        What completes "AFTER was fused", e.g. `with eps=0.001`; None where no mistake fits, or the
        right fold fits as well.

    Raises:
        NumericError: BEFORE holds values that cannot be fused.
    """
    before, after = BlockReader(before), BlockReader(after)
    target = after_op or fusion.after
    right = right or certify(fusion.name, fusion.op, before, target, after)
    if right.grade <= Grade.ROUNDING or right.reason:
        return None
    screen = _Screen(fusion.op, target, after, right)

    def fitting(some: Iterator[Candidate]) -> list[tuple[Certificate, Candidate]]:
        fits: list[tuple[Certificate, Candidate]] = []
        for candidate in filter(screen.passes, some):
            for most in (1, None):  # the first slab rules out most of what is left
                try:
                    certificate = certify(
                        fusion.name, candidate.op, candidate.read, target, after, most=most
                    )
                except ReparamError:
                    break
                if certificate.grade == Grade.DIFFERENT:
                    break
            else:
                if _explains(certificate, right):
                    fits.append((certificate, candidate))
        return fits

    every = candidates(fusion, fusions, before, after, target)
    tried = list(itertools.islice(every, max(WORK // work(fusion.op), LEAST)))
    if known := fitting(c for c in tried if relative(c.text, fusion) in likely):
        return _named(known)
    found = fitting(iter(tried))
    if not any(_proved(certificate) for certificate, _ in found):
        exact = bool(found) or right.grade == Grade.WITHIN
        found += fitting(fitted_candidates(fusion, before, after, target, exact=exact))
    return _named(found) or through(fusion.op, before, target, after)


def relative(text: str, fusion: Fusion) -> str:
    """Return a text with names seen from the block, so that blocks of one cause share it."""
    return text.replace(f"'{fusion.binding.block}.", "'")


def work(op: Operation) -> int:
    """Return how many products of channels a fold adds up one after the other, at least 1."""
    match op:
        case ops.ChainOp(steps):
            own = sum(math.prod(s.shape[1:]) for s in steps[1:] if isinstance(s, ops.ConvOp))
            return max(own + sum(map(work, steps)), 1)
        case ops.SumOp(terms):
            return sum(work(term) for _, term in terms)
        case _:
            return 1


def _proved(certificate: Certificate) -> bool:
    return certificate.grade <= Grade.ROUNDING


def _explains(certificate: Certificate, right: Certificate) -> bool:
    if _proved(certificate):
        return True
    better = certificate.grade < right.grade
    return better and certificate.bound <= CLEARLY * right.bound


def _named(found: list[tuple[Certificate, Candidate]]) -> str | None:
    """Return the best of what explains AFTER, and what explains it as well.

    What is fitted to AFTER is only said where nothing else explains it as well: a number can follow
    a rounding by chance.
    """
    fixed = [pair for pair in found if not pair[1].fitted]
    if fixed and _least(fixed) <= ALIKE * _least(found):
        found = fixed
    best = [pair for pair in found if _proved(pair[0])]
    if not best and found:
        bound = ALIKE * _least(found)
        best = [pair for pair in found if pair[0].bound <= bound]
    if not best:
        return None
    texts = list(dict.fromkeys(candidate.text for _, candidate in best))
    more = [f"in {len(texts) - MOST_NAMES} other ways"] if len(texts) > MOST_NAMES else []
    return " or ".join(texts[:MOST_NAMES] + more)


def _least(found: list[tuple[Certificate, Candidate]]) -> float:
    return min(certificate.bound for certificate, _ in found)


class _Screen:
    """Rules most candidates out by a few output channels: those where the right fold is worst.

    Most of their weights have to be near AFTER's. Not all: where branches cancel, a weight may be
    far from what arithmetic in float32 makes of it.
    """

    def __init__(self, op: Operation, after_op: Operation, after: Read, right: Certificate) -> None:
        self.op, self.after_op = op, after_op
        self.stored = Stored(after_op, after)
        dtype = self.stored.dtypes[0]
        form = FORMATS[dtype]
        # what arithmetic in the stored dtype explains already has to be explained to the last bits
        loose = right.grade == Grade.DIFFERENT
        self.near = NEAR * FORMATS[arithmetic(dtype)].epsilon if loose else form.epsilon / 2
        self.share = 0.5 if loose else 0.95
        self.least = form.smallest
        self.worst = right.worst.index[0] if right.worst is not None else 0

    def passes(self, candidate: Candidate) -> bool:
        """Return whether a candidate may be what was folded, as far as some numbers tell."""
        op, total = candidate.op, ops.outputs(self.op)
        if kernel_shape(op) != kernel_shape(self.op):
            return False
        unit = min(math.lcm(*(ops.row_unit(x) for x in (op, self.op, self.after_op))), total)
        # a transposed kernel has its inputs in front, but then the unit is all there is
        length = min(-(-ROWS // unit) * unit, total)
        start = min(self.worst // unit * unit, total - length)
        rows = start, start + length
        try:
            conv = fold(op, candidate.read, rows)
        except ReparamError:
            return False
        kernel, bias = self.stored.rows(rows)
        if conv.kernel.shape != kernel.shape:
            return False
        return self._most_close(
            np.append(conv.kernel, conv.bias), np.append(kernel, bias).astype(np.float64)
        )

    def _most_close(self, values: Array, found: Array) -> bool:
        """Look at weights and biases together: the few biases may all be small by cancellation."""
        size = np.maximum(np.abs(values), np.abs(found))
        close = np.abs(values - found) <= self.near * size + self.least
        some = size > 0
        return int(close[some].sum()) >= self.share * int(some.sum())
