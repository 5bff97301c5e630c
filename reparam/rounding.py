"""Rounding float64 results to the stored dtype, once.

Casting float64 to bfloat16 or float8 through float32, as libraries do, rounds twice and is off by
one unit near ties. Rounding to odd into float32 first makes the second rounding the only one that
counts (Boldo & Melquiond, 2008, "Emulation of FMA and correctly rounded sums").
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from reparam.errors import NumericError

if TYPE_CHECKING:
    from fractions import Fraction

    from numpy.typing import NDArray

    from reparam.linear import Array


@dataclass(frozen=True, slots=True)
class FloatFormat:
    """A binary floating-point format.

    Attributes:
        digits: Significant bits, the implicit one included.
        least_exponent: Exponent of the smallest normal number.
        limit: Largest finite number.
    """

    digits: int
    least_exponent: int
    limit: float

    @property
    def epsilon(self) -> float:
        """Distance from 1 to the next number: one unit in the last place of 1."""
        return math.ldexp(1.0, 1 - self.digits)

    @property
    def smallest_normal(self) -> float:
        """The smallest number with full precision."""
        return math.ldexp(1.0, self.least_exponent)

    @property
    def smallest(self) -> float:
        """The distance of subnormal numbers."""
        return math.ldexp(1.0, self.least_exponent - self.digits + 1)

    @property
    def reach(self) -> float:
        """The largest float64 that rounds to a finite number.

        Half a unit beyond the limit is a tie. It goes to the limit only where that is even, as in
        float8_e4m3fn, whose topmost code is NaN.
        """
        unit = math.ldexp(1.0, math.frexp(self.limit)[1] - self.digits)
        tie = self.limit + unit / 2
        return math.nextafter(tie, 0) if self.limit / unit % 2 else tie


FORMATS = {
    "float64": FloatFormat(53, -1022, float.fromhex("0x1.fffffffffffffp1023")),
    "float32": FloatFormat(24, -126, float.fromhex("0x1.fffffep127")),
    "float16": FloatFormat(11, -14, 65504.0),
    "bfloat16": FloatFormat(8, -126, float.fromhex("0x1.fep127")),
    "float8_e4m3fn": FloatFormat(4, -6, 448.0),
    "float8_e5m2": FloatFormat(3, -14, 57344.0),
}
"""The dtypes a fused tensor may have (IEEE 754; OCP 8-bit floating point, 2023, §5)."""

_NUMPY = ("float64", "float32", "float16")


class Underflow(NamedTuple):
    """How many numbers lost digits because their dtype has no smaller ones.

    Attributes:
        zero: Numbers that became zero.
        subnormal: Numbers that are stored with fewer digits than the dtype has.
    """

    zero: int = 0
    subnormal: int = 0


def round_to(values: Array, dtype: str, what: str = "result", first: int = 0) -> NDArray[Any]:
    """Round float64 values to the nearest value of `dtype`, ties to even, subnormals kept.

    Overflow is decided here, not left to the conversion: libraries turn what is too large for a
    float8 into NaN, infinity or the largest number, each in its own way.

    Args:
        values: Finite float64 of any shape.
        dtype: A key of `FORMATS`.
        what: The tensor's name, for the error.
        first: Index along axis 0 of the first row, where `values` are some rows of a tensor.

    Returns:
        A new array of that dtype (bfloat16 and the float8 are those of ml_dtypes).

    Raises:
        NumericError: A value overflows `dtype`, or is NaN, or the dtype is unknown.

    Example:
        >>> float(round_to(np.array([1 + 2**-11 + 2**-40]), "float16")[0])
        1.0009765625
    """
    if dtype not in FORMATS:
        raise NumericError(f"dtype {dtype!r}: expected one of {', '.join(FORMATS)}.")
    with np.errstate(all="ignore"):  # underflow is counted, see `count_underflow`
        _check_range(values, dtype, what, first)
        if dtype in _NUMPY:
            # C converts float64 to float32 and NumPy float64 to float16 in one rounding
            return values.astype(dtype)
        narrow = getattr(import_module("ml_dtypes"), dtype)  # only files that hold them pay for it
        rounded: NDArray[Any] = _to_odd_float32(values).astype(narrow)
        return rounded


def count_underflow(values: Array, rounded: NDArray[Any]) -> Underflow:
    """Count the values that rounding made zero or subnormal; half a unit is no longer small there.

    Args:
        values: float64 before rounding; zeros are not counted.
        rounded: What they became, of the same shape.

    Example:
        >>> values = np.array([1.0, 0.0, 1e-5, -1e-9])
        >>> count_underflow(values, round_to(values, "float16"))
        Underflow(zero=1, subnormal=1)
    """
    form = FORMATS[rounded.dtype.name]
    # NumPy is slow with the dtypes below float32
    seen = rounded if rounded.itemsize >= np.float32().itemsize else values
    small = np.abs(seen) < form.smallest_normal
    if not small.any():
        return Underflow()
    kept = np.abs(rounded[small].astype(np.float64))
    zero = int(np.count_nonzero(values[small])) - int(np.count_nonzero(kept))
    return Underflow(zero, int(np.count_nonzero((kept > 0) & (kept < form.smallest_normal))))


def _check_range(values: Array, dtype: str, what: str, first: int) -> None:
    """Refuse what is beyond the largest finite number by half a unit or more."""
    reach = FORMATS[dtype].reach
    if values.max(initial=0.0) <= reach and values.min(initial=0.0) >= -reach:  # false for NaN
        return
    index = tuple(int(i) for i in np.argwhere(~(np.abs(values) <= reach))[0])
    where = [i + first * (axis == 0) for axis, i in enumerate(index)]
    raise NumericError(
        f"{what}{where} = {values[index]!s} does not fit in {dtype}, whose largest "
        f"finite value is {FORMATS[dtype].limit:g}. Ask for a wider dtype (--dtype float32)."
    )


def _to_odd_float32(values: Array) -> NDArray[np.float32]:
    """Truncate to float32 and make the last bit odd wherever something was cut off."""
    near = values.astype(np.float32)
    wide = near.astype(np.float64)
    away = np.abs(wide) > np.abs(values)
    bits = near.view(np.uint32)
    bits -= away  # one number towards zero
    bits |= wide != values
    return near


def half_unit(values: Array, form: FloatFormat) -> Array:
    """Return half a unit in the last place of a format at every float64 value."""
    # the exponent bits alone are the power of two at or below a number
    power: Array = (values.view(np.int64) & 0x7FF0000000000000).view(np.float64)
    np.maximum(power, form.smallest_normal, out=power)
    power *= form.epsilon / 2
    return np.maximum(power, 2.0**-1074, out=power)  # float64 has nothing smaller


def nearest(value: Fraction, form: FloatFormat) -> float:
    """Round an exact rational to a format, ties to even; the result is a float64 holding it."""
    if not value:
        return 0.0
    top, bottom = abs(value.numerator), value.denominator
    exponent = top.bit_length() - bottom.bit_length()
    if (top << max(-exponent, 0)) < (bottom << max(exponent, 0)):
        exponent -= 1
    unit = max(exponent, form.least_exponent) - form.digits + 1  # weight of the last bit
    quotient, rest = divmod(top << max(-unit, 0), bottom << max(unit, 0))
    doubled = 2 * rest - (bottom << max(unit, 0))
    if doubled > 0 or (doubled == 0 and quotient % 2):
        quotient += 1
    size = math.ldexp(quotient, unit)
    return -size if value < 0 else size
