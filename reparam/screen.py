"""Trying candidates on a block of AFTER: a few output channels rule most of them out."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from reparam import operations as ops
from reparam.certificate import certify
from reparam.errors import ReparamError
from reparam.fold import fold
from reparam.frames import kernel_shape
from reparam.grades import Certificate, Grade, arithmetic
from reparam.rounding import FORMATS
from reparam.stored import Stored

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reparam.linear import Array
    from reparam.mistakes import Candidate
    from reparam.operations import Operation
    from reparam.plans import Fusion
    from reparam.slabs import BlockReader

CLEARLY = 0.5
"""Part of the right fold's certificate that is left when a mistake explains the difference."""

NEAR = 64
"""Units by which most weights may be off where a mistake is worth a full comparison."""

ROWS = 8
"""Output channels of a first look, at least."""


class Screen:
    """Finds the candidates that explain AFTER, most of them ruled out by a few output channels.

    Those are channels where the right fold is worst. Most of a candidate's weights have to be near
    AFTER's. Not all: where branches cancel, a weight may be far from what arithmetic in float32
    makes of it.
    """

    def __init__(
        self, fusion: Fusion, after_op: Operation, after: BlockReader, right: Certificate
    ) -> None:
        self.name, self.op, self.after_op, self.after = fusion.name, fusion.op, after_op, after
        self.right = right
        self.stored = Stored(after_op, after)
        dtype = self.stored.dtypes[0]
        form = FORMATS[dtype]
        # what arithmetic in the stored dtype explains already has to be explained to the last bits
        loose = right.grade == Grade.DIFFERENT
        self.near = NEAR * FORMATS[arithmetic(dtype)].epsilon if loose else form.epsilon / 2
        self.share = 0.5 if loose else 0.95
        self.least = form.smallest
        self.worst = right.worst.index[0] if right.worst is not None else 0

    def fitting(self, some: Iterable[Candidate]) -> list[tuple[Certificate, Candidate]]:
        """Return what explains AFTER better than the right fold, with its certificate."""
        fits: list[tuple[Certificate, Candidate]] = []
        for candidate in filter(self.passes, some):
            for most in (1, None):  # the first slab rules out most of what is left
                try:
                    certificate = certify(
                        self.name,
                        candidate.op,
                        candidate.read,
                        self.after_op,
                        self.after,
                        most=most,
                    )
                except ReparamError:
                    break
                if certificate.grade == Grade.DIFFERENT:
                    break
            else:
                if _explains(certificate, self.right):
                    fits.append((certificate, candidate))
        return fits

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


def proved(certificate: Certificate) -> bool:
    """Whether a fold gives AFTER to its last bits."""
    return certificate.grade <= Grade.ROUNDING


def _explains(certificate: Certificate, right: Certificate) -> bool:
    if proved(certificate):
        return True
    better = certificate.grade < right.grade
    return better and certificate.bound <= CLEARLY * right.bound
