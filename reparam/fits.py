"""Fitting the one number of a mistake, an eps or a factor of all variances, to what a tool wrote.

Where a fold with the right number reproduces AFTER to its last bits, every entry confines that
number to an interval: `|w' - w(t)| <= 1/2 ulp`. Their intersection is so narrow that the shortest
decimal in it can only be the number itself. Where AFTER was computed in float32, least squares
(Gauss-Newton) and the scatter from channel to channel give a wider one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from reparam import operations as ops
from reparam.bounds import UNIT, magnitudes, positive
from reparam.errors import ReparamError
from reparam.fold import Folder, outputs_first
from reparam.frames import kernel_shape
from reparam.grades import arithmetic
from reparam.rounding import FORMATS, half_unit
from reparam.stored import Stored

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from reparam.linear import Array
    from reparam.operations import Operation, Read, Rows

NUMBERS = 1 << 17
"""Weights whose intervals are intersected: enough for ten digits, and folded in milliseconds."""

FEW = 1 << 14
"""Weights with which the number is first searched for."""

PIECES = 8
"""Ranges of output channels they are taken from, spread over the layer."""

STEPS = 12
"""Most Gauss-Newton steps; from the nearest start five do."""

MORE_STEPS = 2
"""Steps with all weights, behind those with few."""

CLOSE = 1e-8
"""Relative step at which the search is over."""

SLACK = 16
"""Roundings of float64 that the fold and its slope may be off by."""

NEAR = 256.0
"""Units that a weight may be off by on average where a search has found something."""

SIGMAS = 4.0
"""Half width of a statistical interval."""


@dataclass(frozen=True, slots=True)
class Fit:
    """A fitted number.

    Attributes:
        low: Below it the numbers of AFTER are not explained.
        high: Nor above it.
    """

    low: float
    high: float

    def holds(self, value: float) -> bool:
        """Return whether a number explains AFTER as well as any."""
        return self.low <= value <= self.high

    @property
    def shortest(self) -> float:
        """The number of fewest digits in the interval."""
        return shortest(self.low, self.high)


def shortest(low: float, high: float) -> float:
    """Return the number of fewest decimal digits between two, both included.

    Example:
        >>> shortest(0.000369, 0.000373)
        0.00037
    """
    middle = (low + high) / 2
    for digits in range(17):
        value = float(f"{middle:.{digits}e}")
        if low <= value <= high:
            return value
    return middle


class Fitter:
    """Finds the member of a family of operations that comes closest to AFTER.

    The kernel is fitted; the certificate of what is found judges the bias too.

    Args:
        op: The block of BEFORE.
        before: Gives its tensors, and those of the families.
        after_op: The block of AFTER.
        after: Gives its tensors.
        exact: Whether AFTER has to be rounded once from float64 to be explained.

    Raises:
        ReparamError: The block cannot be folded.
    """

    def __init__(
        self, op: Operation, before: Read, after_op: Operation, after: Read, *, exact: bool
    ) -> None:
        self.exact = exact
        self.few = Sample(op, before, after_op, after, FEW)
        self.more = Sample(op, before, after_op, after, NUMBERS)

    def fit(self, family: Callable[[float], Operation], starts: Sequence[float]) -> Fit | None:
        """Return the numbers that explain AFTER, or None if none is better than the right one.

        Args:
            family: The operation for a number, its positive parameter.
            starts: Numbers to start from; the best is taken.

        Raises:
            ReparamError: What was found cannot be folded.
        """
        few, more = self.few, self.more
        value, slope = few.improve(min(starts, key=lambda t: few.misfit(family(t))), family, STEPS)
        if not few.near(family(value)):
            return None
        if self.exact and few.interval(family, value, slope) is None:
            return None
        value, slope = more.improve(value, family, MORE_STEPS)
        if not slope.any():
            return None
        found = more.interval(family, value, slope)
        return found if found or self.exact else more.estimate(family, value, slope)


class Sample:
    """Some output channels of AFTER's block, and the fold of the right ones.

    Args:
        op: The block of BEFORE.
        before: Gives its tensors, and those of every operation that is to be compared.
        after_op: The block of AFTER.
        after: Gives its tensors.
        numbers: About how many weights to look at.
    """

    def __init__(
        self, op: Operation, before: Read, after_op: Operation, after: Read, numbers: int
    ) -> None:
        self.op, self._read = op, before
        self._rows = _pieces(op, after_op, numbers)
        stored = Stored(after_op, after)
        self._form = FORMATS[stored.dtypes[0]] if stored.plain else None
        self._epsilon = FORMATS[arithmetic(stored.dtypes[0])].epsilon
        self._like = Folder(op, before).conv(self._rows[0])
        found = (stored.rows(rows)[0] for rows in self._rows)
        self._kernel = self._stack([kernel.astype(np.float64) for kernel in found])
        self._sizes = self._fold(positive(op), magnitudes(op, before))
        self._weights = _inverse(self._sizes)

    def misfit(self, op: Operation) -> float:
        """Return how far an operation's kernel is from AFTER's: squares of it, relative to A."""
        try:
            kernel = self._fold(op)
        except ReparamError:
            return math.inf
        return float((((kernel - self._kernel) * self._weights) ** 2).sum())

    def near(self, op: Operation) -> bool:
        """Return whether an operation's kernel is AFTER's but for what rounding may explain."""
        return self.misfit(op) <= self._kernel.size * (NEAR * self._epsilon) ** 2

    def improve(
        self, value: float, family: Callable[[float], Operation], steps: int
    ) -> tuple[float, Array]:
        """Take Gauss-Newton steps; return the number, and by how much each weight follows it."""
        slope = np.zeros_like(self._kernel)
        for _ in range(steps):
            step = 1e-4 * value
            here = self._fold(family(value))
            slope = (self._fold(family(value + step)) - here) / step
            new = value + self._newton(self._kernel - here, slope)
            new = min(max(new, value / 16), value * 16)
            done = abs(new - value) <= CLOSE * value
            value = new
            if done:
                break
        return value, slope

    def interval(
        self, family: Callable[[float], Operation], value: float, slope: Array
    ) -> Fit | None:
        """Intersect what all weights allow, if AFTER's are rounded once from float64."""
        if self._form is None:
            return None
        rest = self._kernel - self._fold(family(value))
        moves = slope != 0
        half = half_unit(self._kernel, self._form) + SLACK * UNIT * self._sizes
        middle = rest[moves] / slope[moves]
        width = half[moves] / np.abs(slope[moves])
        low = float((middle - width).max(initial=-math.inf))
        high = float((middle + width).min(initial=math.inf))
        return Fit(value + low, value + high) if low <= high else None

    def estimate(self, family: Callable[[float], Operation], value: float, slope: Array) -> Fit:
        """Estimate the error from how far the channels disagree: each has a scale of its own.

        They may agree by chance, so each is taken to be off by one rounding at least; or all be
        off together, if they have the same variance.
        """
        rest = (self._kernel - self._fold(family(value))) * self._weights
        slope = slope * self._weights
        scatter = (slope * rest).sum(axis=1)
        least = np.abs(slope).sum(axis=1) * FORMATS["float32"].epsilon / 2
        spread = max(float((scatter**2).sum()), float((least**2).sum()))
        error = max(SIGMAS * math.sqrt(spread), float(least.sum())) / float((slope * slope).sum())
        return Fit(value - error, value + error)

    def _fold(self, op: Operation, read: Read | None = None) -> Array:
        folder = Folder(op, read or self._read)
        return self._stack([folder.conv(rows).kernel for rows in self._rows])

    def _stack(self, kernels: list[Array]) -> Array:
        turned = [outputs_first(kernel, self._like) for kernel in kernels]
        return np.concatenate([t.reshape(len(t), -1) for t in turned])

    def _newton(self, rest: Array, slope: Array) -> float:
        slope, rest = slope * self._weights, rest * self._weights
        below = float((slope * slope).sum())
        return float((slope * rest).sum()) / below if below else 0.0


def _pieces(op: Operation, after_op: Operation, numbers: int) -> list[Rows]:
    """Choose ranges of output channels with about so many weights."""
    total = ops.outputs(op)
    unit = min(math.lcm(ops.row_unit(op), ops.row_unit(after_op)), total)
    count = max(numbers // (unit * math.prod(kernel_shape(op)[1:])), 1)
    if count * unit >= total:
        return [(0, total)]
    pieces = min(count, PIECES)
    step = count // pieces * unit
    last = total - step
    starts = [last // unit * i // max(pieces - 1, 1) * unit for i in range(pieces)]
    return [(start, start + step) for start in starts]


def _inverse(sizes: Array) -> Array:
    """Return 1/A, and 0 where nothing adds up."""
    return np.divide(1.0, sizes, out=np.zeros_like(sizes), where=sizes > 0)
