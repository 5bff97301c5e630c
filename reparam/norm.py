"""Batch normalization at inference as a per-channel affine map, in twice float64's precision.

`y = weight * (x - running_mean) / sqrt(running_var + eps) + bias` (Ioffe & Szegedy, 2015,
arXiv:1502.03167, algorithm 2). The scale and the shift are per-channel vectors, so the extra
precision costs nothing next to the kernel; it leaves a single float64 rounding per weight, and
biases that survive the cancellation of `bias - running_mean * scale`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from reparam.errors import NumericError, ShapeError
from reparam.linear import check_finite

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from reparam.linear import Array

_SPLITTER = 134217729.0  # 2**27 + 1: cuts a float64 into two 26-bit halves (Dekker, 1971)


@dataclass(frozen=True, slots=True, eq=False)
class Norm:
    """Inference statistics of a batch normalization, one entry per channel.

    Attributes:
        mean: `(channels,)`.
        var: `(channels,)`.
        weight: `(channels,)`, ones when the layer has none.
        bias: `(channels,)`, zeros when the layer has none.
        eps: Added to the variance under the root.
        scale: `weight / sqrt(var + eps)` to the nearest float64.
        scale_rest: What rounding `scale` left over.
    """

    mean: Array
    var: Array
    weight: Array
    bias: Array
    eps: float
    scale: Array
    scale_rest: Array

    def rows(self, rows: tuple[int, int]) -> Norm:
        """Return the statistics of a range of channels."""
        part = slice(*rows)
        return Norm(
            self.mean[part],
            self.var[part],
            self.weight[part],
            self.bias[part],
            self.eps,
            self.scale[part],
            self.scale_rest[part],
        )

    def repeat(self, times: int) -> Norm:
        """Return the statistics with every channel's standing for so many channels in a row."""
        mean, var, weight, bias, scale, rest = (
            v.repeat(times)
            for v in (self.mean, self.var, self.weight, self.bias, self.scale, self.scale_rest)
        )
        return Norm(mean, var, weight, bias, self.eps, scale, rest)

    def shift(self, inner: Array) -> Array:
        """Return `bias + (inner - mean) * scale`, rounded once for all practical purposes.

        Args:
            inner: `(channels,)`, the bias of the layer below.
        """
        centred, centred_rest = two_sum(inner, -self.mean)
        product, rest = two_product(centred, self.scale)
        rest += centred * self.scale_rest + centred_rest * self.scale
        total, lost = two_sum(product, self.bias)
        return total + (lost + rest)


@np.errstate(all="ignore")  # an overflow leaves infinity, which is refused by name
def make_norm(
    running_mean: ArrayLike,
    running_var: ArrayLike,
    weight: ArrayLike | None,
    bias: ArrayLike | None,
    eps: float,
) -> Norm:
    """Check the statistics of one batch normalization and derive its scale.

    Args:
        running_mean: `(channels,)`, any real dtype.
        running_var: `(channels,)`.
        weight: `(channels,)`, or None for ones (`affine=False`, Keras `scale=False`).
        bias: `(channels,)`, or None for zeros (Keras `center=False`).
        eps: The constant under the root; checkpoints do not store it.

    Raises:
        ShapeError: The vectors differ in length.
        NumericError: An entry is NaN or infinite, or `running_var + eps` is not positive.
    """
    if not (np.isfinite(eps) and eps >= 0):
        raise NumericError(f"eps={eps}: expected a finite number of at least 0.")
    mean = check_finite(np.array(running_mean, dtype=np.float64), "running_mean")
    var = check_finite(np.array(running_var, dtype=np.float64), "running_var")
    gamma = np.ones_like(mean) if weight is None else np.array(weight, dtype=np.float64)
    beta = np.zeros_like(mean) if bias is None else np.array(bias, dtype=np.float64)
    check_finite(gamma, "weight")
    check_finite(beta, "bias")
    for what, vector in (("running_var", var), ("weight", gamma), ("bias", beta)):
        if vector.shape != mean.shape or mean.ndim != 1:
            raise ShapeError(
                f"{what} of shape {vector.shape} beside running_mean of shape {mean.shape}: "
                "expected one entry per channel in each."
            )
    total, rest = two_sum(var, np.full_like(var, eps))
    if (bad := ~((var >= 0) & (total > 0))).any():
        index = int(np.flatnonzero(bad)[0])
        raise NumericError(
            f"running_var[{index}] = {var[index]} with eps={eps}: a variance must not be negative "
            "and running_var + eps must be positive. The statistics are damaged, or eps is wrong."
        )
    scale, scale_rest = _divide_by_root(gamma, total, rest)
    return Norm(
        mean,
        var,
        gamma,
        beta,
        eps,
        check_finite(scale, "weight / sqrt(running_var + eps)"),
        scale_rest,
    )


def two_sum(a: Array, b: Array) -> tuple[Array, Array]:
    """Return `a + b` rounded, and exactly what rounding lost (Knuth, TAOCP 2, 4.2.2)."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


def two_product(a: Array, b: Array) -> tuple[Array, Array]:
    """Return `a * b` rounded, and exactly what rounding lost (Dekker, 1971).

    Exact while nothing exceeds 2**996 or falls below the normal range.
    """
    product = a * b
    a_high, a_low = _halves(a)
    b_high, b_low = _halves(b)
    lost = ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low
    return product, lost


def _halves(a: Array) -> tuple[Array, Array]:
    spread = _SPLITTER * a
    high = spread - (spread - a)
    return high, a - high


def _divide_by_root(gamma: Array, total: Array, rest: Array) -> tuple[Array, Array]:
    """Return `gamma / sqrt(total + rest)` as a rounded value and a remainder, about 2**-100."""
    root = np.sqrt(total)
    square, lost = two_product(root, root)
    root_rest = ((total - square) - lost + rest) / (2 * root)
    quotient = gamma / root
    product, lost = two_product(quotient, root)
    remainder = (gamma - product) - lost - quotient * root_rest
    correction = remainder / root
    scale = quotient + correction
    return scale, (quotient - scale) + correction
