"""Deciding whether a stored block equals a fused one, number by number, and by how much it may not.

A block is affine, so two of them are the same function exactly when their kernels and biases are
equal. Let `w` be a number of the exact fold, `w'` what AFTER stores for it, `u` half a unit in the
last place of 1 in AFTER's dtype, and `A` the sum of the absolute values of all terms of `w`. The
grades are steps of `|w' - w|`; see `Grade`. Every comparison allows for what float64 itself does to
the fold, `n 2**-53 A`, with `n` from `reparam.bounds`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from reparam import operations as ops
from reparam.bounds import OURS, THEIRS, UNIT, magnitudes, positive, roundings
from reparam.errors import NumericError
from reparam.fold import Folder, outputs_first
from reparam.frames import kernel_shape
from reparam.grades import Certificate, Entry, Grade, arithmetic, broken
from reparam.linear import make
from reparam.rounding import FORMATS, half_unit, round_to
from reparam.slabs import BlockReader, slabs
from reparam.stored import Stored

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from reparam.linear import Array, Conv
    from reparam.operations import Operation, Read, Rows


@np.errstate(all="ignore")  # huge numbers in AFTER are differences, not warnings
def certify(
    name: str,
    op: Operation,
    before: Read,
    after_op: Operation,
    after: Read,
    *,
    most: int | None = None,
    watch: Callable[[Rows, Conv], None] | None = None,
) -> Certificate:
    """Compare what two operations compute, in all their numbers.

    Per entry `e = |w' - w| + n 2**-53 A`. Per output, `C = sum of e over its weights, plus that of
    its bias`: for |x| <= 1 the two outputs differ by at most C (the infinity norm of the
    difference). `rho = max(C / (|W| + |b|), E / |W|)` with the norms of the exact block and E the C
    of the weights alone: the two ends of `C(R) / (R |W| + |b|)`, which is monotone in the size R of
    the input.

    Args:
        name: The layer, for the certificate.
        op: The block of BEFORE.
        before: Gives its tensors.
        after_op: The block of AFTER: a stored convolution, alone or with a neutral norm, or
            anything that folds.
        after: Gives its tensors.
        most: How many slabs of output channels to look at; None for all.
        watch: Called with every slab of the exact fold.

    Returns:
        The certificate.

    Raises:
        NumericError: BEFORE holds values that cannot be fused.
    """
    if kernel_shape(op) != kernel_shape(after_op):
        sizes = f"{list(kernel_shape(after_op))}, expected {list(kernel_shape(op))}"
        return broken(name, f"its kernel is {sizes}")
    try:
        stored = Stored(after_op, BlockReader(after))
    except NumericError as error:
        return broken(name, f"it cannot be read: {error}")
    strange = [d for d in stored.dtypes if d not in FORMATS]
    if strange:
        return broken(name, f"it holds {strange[0]}, expected one of {', '.join(FORMATS)}")
    comparison = _Comparison(name, op, BlockReader(before), stored)
    for number, rows in enumerate(slabs(op, after_op)):
        if number == most:
            break
        stop = comparison.slab(rows, watch)
        if stop is not None:
            return stop
    return comparison.certificate()


@dataclass(frozen=True, slots=True)
class _Numbers:
    """Some rows of a kernel or a bias of AFTER, with everything they are measured by.

    Attributes:
        tensor: Its name.
        dtype: Its dtype.
        got: What is stored, in float64.
        exact: What folding gives.
        nearest: The correctly rounded values of `exact`, if the dtype has them.
        size: The sums of the absolute values of all terms.
        start: Index along axis 0 of the first row.
    """

    tensor: str
    dtype: str
    got: Array
    exact: Array
    nearest: NDArray[Any] | None
    size: Array
    start: int

    def entry(self, place: int) -> Entry:
        """Return one of the numbers."""
        index = tuple(int(i) for i in np.unravel_index(place, self.got.shape))
        found, expected, size = (float(v[index]) for v in (self.got, self.exact, self.size))
        gap = abs(found - expected)
        unit = 2 * float(half_unit(self.exact[index][None], FORMATS[self.dtype])[0])
        relative = gap / size if size else (math.inf if gap else 0.0)
        where = (index[0] + self.start, *index[1:])
        return Entry(self.tensor, where, found, expected, gap / unit, relative)


class _Comparison:
    """Adds up a certificate, slab by slab."""

    def __init__(self, name: str, op: Operation, before: BlockReader, stored: Stored) -> None:
        self.name, self.stored = name, stored
        self.pair = ops.conv_norm_pair(op) is not None
        self.folder = Folder(op, before)
        self.sizes = Folder(positive(op), magnitudes(op, before))
        folds = [op] if stored.plain else [op, stored.op]
        self.ours = sum(roundings(x, OURS) for x in folds) * UNIT
        self.theirs = sum(roundings(x, THEIRS) for x in folds)
        self.grade, self.score, self.off = Grade.IDENTICAL, -1.0, 0
        self.worst: Entry | None = None
        self.bound = self.spread = self.kernel_range = self.bias_range = 0.0
        self.summands = self.numbers = 0

    def slab(self, rows: Rows, watch: Callable[[Rows, Conv], None] | None) -> Certificate | None:
        """Compare some output channels; return a certificate at once if AFTER cannot be."""
        exact = self.folder.conv(rows)
        if watch is not None:
            watch(rows, exact)
        try:
            found = self.stored.rows(rows)
        except NumericError as error:
            return broken(self.name, f"it cannot be folded: {error}")
        if found[0].shape != exact.kernel.shape:
            shapes = f"{list(found[0].shape)}, expected {list(exact.kernel.shape)}"
            return broken(self.name, f"some rows of its kernel are {shapes}")
        nearest = self._nearest(exact, rows)
        size = self._sizes(rows)
        starts = (0 if exact.transposed else rows[0]), rows[0]
        gaps: list[Array] = []
        for role, real in enumerate((exact.kernel, exact.bias)):
            numbers = _Numbers(
                self.stored.names[role],
                self.stored.dtypes[role],
                found[role].astype(np.float64),
                real,
                None if nearest is None else nearest[role],
                size[role],
                starts[role],
            )
            strange = ~np.isfinite(numbers.got)
            if strange.any():
                entry = numbers.entry(int(strange.argmax()))
                return broken(self.name, "it holds NaN or infinity", entry)
            gaps.append(self._grade(numbers))
        self._add(exact, gaps, size, rows)
        return None

    def _nearest(self, exact: Conv, rows: Rows) -> tuple[NDArray[Any], NDArray[Any]] | None:
        """Return what AFTER should store; what is folded is compared as it is."""
        if not self.stored.plain:
            return exact.kernel, exact.bias
        if self.pair:  # settling ties writes into its argument
            exact = make(exact.kernel.copy(), exact.bias.copy(), exact, groups=exact.groups)
        try:
            return self.folder.settle(exact, self.stored.dtypes, rows)
        except NumericError:  # too large for AFTER's dtype, so AFTER holds something else
            return None

    def _sizes(self, rows: Rows) -> tuple[Array, Array]:
        """Return A per weight and per bias: the sums of the absolute values of all terms."""
        conv = self.sizes.conv(rows)
        if self.stored.plain:
            return conv.kernel, conv.bias
        kernel, bias = self.stored.sizes(rows)
        return conv.kernel + kernel, conv.bias + bias

    def _grade(self, numbers: _Numbers) -> Array:
        """Grade all numbers of a tensor in these rows; return their distances."""
        form = FORMATS[numbers.dtype]
        gap = np.abs(numbers.got - numbers.exact)
        noise = numbers.size * self.ours
        # what was not stored as it is was not rounded once either, but by the fold in float64
        rounded = form if self.stored.plain else FORMATS["float64"]
        score = gap / (half_unit(numbers.exact, rounded) + noise)
        place = int(score.argmax())
        nearest = numbers.nearest
        if nearest is not None and np.array_equal(nearest.astype(np.float64), numbers.got):
            sure = self.pair or not self.stored.plain or _proved(numbers, noise)
            grade = Grade.IDENTICAL if sure else Grade.ROUNDING
        elif score.flat[place] <= 1:
            grade = Grade.ROUNDING
        else:
            limit = noise + half_unit(numbers.exact, form)
            if self.theirs:
                unit = FORMATS[arithmetic(numbers.dtype)].epsilon / 2
                limit += numbers.size * ((self.theirs + 1) * unit) + form.smallest
            self.off += int((score > 1).sum())
            wrong = gap > limit
            grade = Grade.DIFFERENT if wrong.any() else Grade.WITHIN
            if grade is Grade.DIFFERENT:  # not the number that rounding explains least
                place = int(np.where(wrong, score, 0.0).argmax())
        high = float(score.flat[place])
        if (grade, high) > (self.grade, self.score):
            self.worst, self.score = numbers.entry(place), high
            self.grade = grade
        return gap

    def _add(self, exact: Conv, gaps: list[Array], sizes: tuple[Array, Array], rows: Rows) -> None:
        """Add up, per output, what the numbers of AFTER are away from the exact ones."""

        def per_output(kernel: Array) -> Array:
            turned = outputs_first(kernel, exact)
            total: Array = turned.reshape(len(turned), -1).sum(axis=1)
            return total

        spread = per_output(gaps[0]) + self.ours * per_output(sizes[0])
        shift = gaps[1] + self.ours * sizes[1]
        ranges, offsets = per_output(np.abs(exact.kernel)), np.abs(exact.bias)
        drift = self.stored.drift(rows)
        if drift is not None:
            spread = spread + drift * (ranges + spread)
            shift = shift + drift * (offsets + shift)
        self.numbers += exact.kernel.size + exact.bias.size
        self.summands = max(self.summands, exact.kernel.size // len(spread) + 1)
        self.bound = max(self.bound, _largest(spread + shift))
        self.spread = max(self.spread, _largest(spread))
        self.kernel_range = max(self.kernel_range, _largest(ranges))
        self.bias_range = max(self.bias_range, _largest(offsets))

    def certificate(self) -> Certificate:
        up = 1.0 + (self.summands + 4) * 2.0**-52  # what adding up in float64 may lose
        bound, spread = self.bound * up, self.spread * up
        rho = max(
            _ratio(bound, self.kernel_range + self.bias_range), _ratio(spread, self.kernel_range)
        )
        return Certificate(
            name=self.name,
            grade=self.grade,
            bound=bound,
            rho=rho * up,
            worst=self.worst,
            off=self.off,
            numbers=self.numbers,
            dtype=self.stored.dtypes[0],
        )


def _largest(values: Array) -> float:
    """Return the largest of some sums; what is no number has overflowed on the way."""
    largest = float(values.max(initial=0.0))
    return math.inf if math.isnan(largest) else largest


def _ratio(part: float, whole: float) -> float:
    if part == 0:
        return 0.0
    return part / whole if whole and math.isfinite(part) else math.inf


def _proved(numbers: _Numbers, noise: Array) -> bool:
    """Whether both ends of what float64 leaves open round to the stored number (Ziv's test)."""
    try:
        # thrice the noise, so that the sum, itself rounded, lies beyond once the noise
        ends = [round_to(numbers.exact + 3 * s * noise, numbers.dtype) for s in (-1, 1)]
    except NumericError:
        return False
    return all(np.array_equal(end.astype(np.float64), numbers.got) for end in ends)
