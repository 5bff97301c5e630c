"""Numbers with which float64 does not round: images, constants, variances with exact roots.

They are drawn from a name, and are the same under every NumPy and on every machine.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from reparam.random_bits import random_bits

if TYPE_CHECKING:
    from reparam.linear import Array


def dyadic_image(shape: tuple[int, ...], name: str = "image") -> Array:
    """Return an image of multiples of 1/4 from -1 to 3, more of them positive than negative."""
    return (draw(name, math.prod(shape), 17).reshape(shape) - 4) / 4


def variances(eps: float) -> list[tuple[float, float]]:
    """Return variances, each with the root of it plus eps, both exact.

    For eps in [2**e, 2**(e + 1)), all multiples of its last place up to 2**(e + 1) are float64, so
    the difference of `root**2` and eps is one if it is at most that: 2**(e + 1) if e is odd, else
    (3/2)**2 * 2**e. Larger powers of 4 may do by chance, and are better in place of the latter.

    Args:
        eps: Of the norm.

    Returns:
        Pairs of `variance` and `root`, with `variance + eps == root**2` without rounding.
    """
    exponent = math.frexp(eps)[1] - 1 if eps else -2
    exact: list[tuple[float, float]] = []
    for j in range(exponent // 2, exponent // 2 + 5):
        rest = Fraction(4) ** j - Fraction(eps)
        if rest > 0 and Fraction(float(rest)) == rest:
            exact.append((float(rest), 2.0**j))
    root = 1.5 * 2.0 ** (exponent // 2)
    return exact or [(root**2 - eps, root)]


def draw(name: str, count: int, choices: int) -> Array:
    """Return integers from 0 to `choices - 1`, the same ones for a name under every NumPy."""
    bits = random_bits(name, count) >> np.uint64(33)
    return (bits % np.uint64(choices)).astype(np.float64)


def quarters(name: str, count: int) -> Array:
    """Return -1/4, 0 and 1/4 at random."""
    return (draw(name, count, 3) - 1) / 4
