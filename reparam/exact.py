"""The last half-unit of conv+BN: every fused number is the nearest one to the real-number formula.

A float64 result within 3 units of float64 decides the rounding to a narrower dtype unless it lies
that close to the midpoint of two neighbours (Ziv, 1991, "Fast evaluation of elementary mathematical
functions with correctly rounded last bit"). The few entries that do are recomputed as exact
rationals; only the square root is irrational, and 400 bits of it settle every case that is not a
true tie. Rationals and not `decimal`: what is a true tie stays one, while 120 decimal digits of it
lie on one side of the midpoint.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from reparam.norm import two_product
from reparam.rounding import FORMATS, FloatFormat, nearest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from reparam.linear import Array
    from reparam.norm import Norm

_SLACK = 4  # float64 units: scale 1/2, times a factor below 2, product 1/2, and as much to spare
_ROOT_BITS = 400
_SMALL = 2.0**-900


@np.errstate(all="ignore")  # what overflows on the way is computed again, exactly
def settle_kernel(product: Array, kernel: Array, norm: Norm, dtype: str) -> Array:
    """Move every entry of `kernel * scale` to the side of the rounding boundary it belongs to.

    Args:
        product: `(out, ...)` float64, `kernel * scale` as computed; it may be modified.
        kernel: `(out, ...)` float64, the stored kernel of the convolution.
        norm: The statistics, `out` channels.
        dtype: The dtype the result will be rounded to.

    Returns:
        Values whose rounding to `dtype` is the correct rounding of the exact product.
    """
    form = FORMATS[dtype]
    flat, taps = product.reshape(-1), kernel.reshape(-1)
    row = flat.size // norm.scale.size
    if dtype == "float64":
        scale, rest = (v.repeat(row) for v in (norm.scale, norm.scale_rest))
        high, low = two_product(taps, scale)
        low += taps * rest
        flat[:] = high + low
        unit = np.spacing(np.abs(flat)) / 2
        left = np.abs((high - flat) + low)
        doubtful = np.abs(left - unit) <= unit * 2.0**-20
        # below a power of two the spacing is half as wide
        doubtful |= np.abs(left - unit / 2) <= unit * 2.0**-20
        # nothing is left of the digits that two_product carries
        doubtful |= ~((np.abs(flat) > _SMALL) & (np.abs(flat) < 1 / _SMALL))
        doubtful |= _extreme(norm).repeat(row)
        indices = np.flatnonzero(doubtful & (taps != 0) & (norm.weight.repeat(row) != 0))
    else:
        near, extreme = _undecided(flat, form), _extreme(norm)
        if extreme.any():
            near |= extreme.repeat(row)
        indices = np.flatnonzero(near)
        channels = indices // row
        _, lost = two_product(taps[indices], norm.scale[channels])
        inexact = (lost != 0) | (norm.scale_rest[channels] != 0) | extreme[channels]
        indices = indices[inexact & (taps[indices] != 0) & (norm.weight[channels] != 0)]
    for index in map(int, indices):
        channel = index // row
        flat[index] = _settled(_scaled(Fraction(float(taps[index])), norm, channel), form)
    return flat.reshape(product.shape)


def settle_bias(shifted: Array, inner: Array, norm: Norm, dtype: str) -> Array:
    """Do for `bias + (inner - mean) * scale` what `settle_kernel` does for the kernel.

    Args:
        shifted: `(out,)` float64 as computed; it may be modified.
        inner: `(out,)` the bias of the convolution.
        norm: The statistics.
        dtype: The dtype the result will be rounded to.
    """
    form = FORMATS[dtype]
    # Total cancellation leaves nothing of the digits that were carried.
    size = np.abs(norm.bias) + np.abs((inner - norm.mean) * norm.scale)
    doubtful = np.abs(shifted) <= size * 2.0**-40
    if dtype == "float64":
        doubtful[:] = True
    else:
        doubtful |= _undecided(shifted, form) | _extreme(norm)
    for channel in map(int, np.flatnonzero(doubtful & (size > 0))):
        centred = Fraction(float(inner[channel])) - Fraction(float(norm.mean[channel]))
        exact = Fraction(float(norm.bias[channel])) + _scaled(centred, norm, channel)
        shifted[channel] = _settled(exact, form)
    return shifted


def _extreme(norm: Norm) -> NDArray[np.bool_]:
    """Channels whose scale was derived from numbers too small or large to carry its remainder."""
    usual = np.ones(norm.scale.shape, dtype=np.bool_)
    for values in (norm.var + norm.eps, norm.weight, norm.scale):
        usual &= (np.abs(values) > _SMALL) & (np.abs(values) < 1 / _SMALL)
    return ~usual


def _undecided(values: Array, form: FloatFormat) -> NDArray[np.bool_]:
    """Return which entries lie too close to a rounding boundary for float64 to tell the side."""
    dropped = 53 - form.digits
    bits = values.view(np.int64)
    offset = (bits + (_SLACK - (1 << (dropped - 1)))) & ((1 << dropped) - 1)
    near = offset <= 2 * _SLACK
    tiny = np.flatnonzero(np.abs(values) < form.smallest_normal)
    if tiny.size:  # the boundary sits at a higher bit there, between two multiples of one spacing
        steps = np.abs(values[tiny]) / form.smallest
        short = 0.5 - np.abs(steps - np.rint(steps))
        near[tiny] = short <= _SLACK * 2.0**-52 * steps
    return near


def _settled(exact: Fraction, form: FloatFormat) -> float:
    """Return the nearest number, or where that is zero one that still tells it from zero."""
    if not exact:
        return 0.0
    return nearest(exact, form) or math.copysign(form.smallest / 4, exact.numerator)


def _scaled(factor: Fraction, norm: Norm, channel: int) -> Fraction:
    """Return `factor * weight / sqrt(var + eps)` to 400 bits, exactly where it is rational."""
    radicand = Fraction(float(norm.var[channel])) + Fraction(norm.eps)
    # sqrt(p/q) = sqrt(p*q)/q, taken as an integer root after scaling by a power of four
    product = radicand.numerator * radicand.denominator
    bits = max(_ROOT_BITS - product.bit_length() // 2, 0)
    scaled = product << (2 * bits)
    root = math.isqrt(scaled)
    twice = 2 * root + (root * root != scaled)  # half a unit up: an irrational root is no tie
    denominator = radicand.denominator << (bits + 1)
    return factor * Fraction(float(norm.weight[channel])) * denominator / twice
