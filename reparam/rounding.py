"""Rounding float64 results to the stored dtype, once.

Casting float64 to bfloat16 through float32, as libraries do, rounds twice and is off by one unit
near ties. Rounding to odd into float32 first makes the second rounding the only one that counts
(Boldo & Melquiond, 2008, "Emulation of FMA and correctly rounded sums").
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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
        return 2.0 ** (1 - self.digits)

    @property
    def smallest_normal(self) -> float:
        """The smallest number with full precision."""
        return 2.0**self.least_exponent

    @property
    def smallest(self) -> float:
        """The distance of subnormal numbers."""
        return 2.0 ** (self.least_exponent - self.digits + 1)


FORMATS = {
    "float64": FloatFormat(53, -1022, float(np.finfo(np.float64).max)),
    "float32": FloatFormat(24, -126, float(np.finfo(np.float32).max)),
    "float16": FloatFormat(11, -14, 65504.0),
    "bfloat16": FloatFormat(8, -126, float.fromhex("0x1.fep127")),
}
"""The dtypes a fused tensor may have."""


def round_to(values: Array, dtype: str, what: str = "result", first: int = 0) -> NDArray[Any]:
    """Round float64 values to the nearest value of `dtype`, ties to even, subnormals kept.

    Args:
        values: Finite float64 of any shape.
        dtype: A key of `FORMATS`.
        what: The tensor's name, for the error.
        first: Index along axis 0 of the first row, where `values` are some rows of a tensor.

    Returns:
        A new array of that dtype (bfloat16 is the one of ml_dtypes).

    Raises:
        NumericError: A value overflows `dtype`, or is NaN, or the dtype is unknown.

    Example:
        >>> float(round_to(np.array([1 + 2**-11 + 2**-40]), "float16")[0])
        1.0009765625
    """
    if dtype not in FORMATS:
        raise NumericError(f"dtype {dtype!r}: expected one of {', '.join(FORMATS)}.")
    with np.errstate(over="ignore", invalid="ignore"):
        if dtype == "bfloat16":
            from ml_dtypes import bfloat16  # noqa: PLC0415  only for files that hold bfloat16

            rounded: NDArray[Any] = _to_odd_float32(values).astype(bfloat16)
            bound = rounded.astype(np.float32)
        else:
            # C converts float64 to float32 and NumPy float64 to float16 in one rounding
            rounded = bound = values.astype(dtype)
        finite = np.isfinite(bound)
    if not finite.all():
        index = tuple(int(i) for i in np.argwhere(~finite)[0])
        where = [i + first * (axis == 0) for axis, i in enumerate(index)]
        raise NumericError(
            f"{what}{where} = {values[index]!s} does not fit in {dtype}, whose largest "
            f"finite value is {FORMATS[dtype].limit:g}. Ask for a wider dtype (--dtype float32)."
        )
    return rounded


def _to_odd_float32(values: Array) -> NDArray[np.float32]:
    """Truncate to float32 and make the last bit odd wherever something was cut off."""
    near = values.astype(np.float32)
    away = np.abs(near.astype(np.float64)) > np.abs(values)
    bits = near.view(np.uint32)
    bits = np.where(away, bits - np.uint32(1), bits)
    inexact = bits.view(np.float32).astype(np.float64) != values
    return np.where(inexact, bits | np.uint32(1), bits).view(np.float32)


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
