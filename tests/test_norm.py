"""Sums and products with what rounding them lost, against rationals."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from reparam.norm import two_product, two_sum

numbers = st.floats(-1e100, 1e100, allow_subnormal=False)
factors = st.floats(2.0**-400, 2.0**400) | st.floats(-(2.0**400), -(2.0**-400)) | st.just(0.0)


def in_arrays(function, a, b):
    """Apply a function of arrays to two numbers; return exact results."""
    rounded, lost = function(np.array([a]), np.array([b]))
    return rounded[0], Fraction(float(rounded[0])) + Fraction(float(lost[0]))


@given(numbers, numbers)
def test_a_sum_and_what_it_lost_are_the_sum(a, b):
    rounded, exact = in_arrays(two_sum, a, b)
    assert rounded == a + b
    assert exact == Fraction(a) + Fraction(b)


@given(factors, factors)
def test_a_product_and_what_it_lost_are_the_product(a, b):
    rounded, exact = in_arrays(two_product, a, b)
    assert rounded == a * b
    assert exact == Fraction(a) * Fraction(b)
