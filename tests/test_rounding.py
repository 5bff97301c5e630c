"""Rounding happens once: every result is the nearest number of its dtype, ties to even."""

from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reparam.errors import NumericError
from reparam.plans import DTYPES
from reparam.rounding import FORMATS, Underflow, count_underflow, nearest, round_to
from reparam.testing.layers import seeds

PARAMETERS = {  # significant bits, exponent of the smallest normal number
    "float64": (53, -1022),
    "float32": (24, -126),
    "bfloat16": (8, -126),
    "float16": (11, -14),
    "float8_e4m3fn": (4, -6),
    "float8_e5m2": (3, -14),
}
LARGEST = {  # all digits set, but for float8_e4m3fn, where that is NaN
    "float32": Fraction(2**24 - 1) * 2**104,
    "bfloat16": Fraction(2**8 - 1) * 2**120,
    "float16": Fraction(65504),
    "float8_e4m3fn": Fraction(0b1110) * 2**5,
    "float8_e5m2": Fraction(0b111) * 2**13,
}
NARROW = list(LARGEST)


def rounded(value, dtype):
    """Round a rational by counting units of the last place: Python rounds halves to even."""
    digits, least = PARAMETERS[dtype]
    exponent = abs(value.numerator).bit_length() - value.denominator.bit_length()
    exponent -= abs(value) < Fraction(2) ** exponent
    unit = Fraction(2) ** (max(exponent, least) - digits + 1)
    return round(value / unit) * unit


def exactly(array):
    return [Fraction(float(v)) for v in array]


def dtype_of(name):
    return np.dtype(name if name in ("float64", "float32", "float16") else getattr(ml_dtypes, name))


@st.composite
def near_ties(draw, dtype):
    """Midpoints of neighbours, and what lies 2**-20 to 2**-50 of a unit beside them."""
    digits, least = PARAMETERS[dtype]
    rng = draw(seeds)
    count = 40
    top = int(min(LARGEST[dtype], 2**60)).bit_length() - 1
    exponent = draw(st.integers(max(least, -60), top))
    odd = 2 * rng.integers(2 ** (digits - 1), 2**digits, count) + 1
    offsets = rng.choice([-1, 0, 1], count) * 2.0 ** -rng.integers(20, 51, count)
    signs = rng.choice([-1.0, 1.0], count)
    return signs * (odd + offsets) * 2.0 ** (exponent - digits)


@pytest.mark.parametrize("dtype", NARROW)
@given(st.data())
def test_ties_and_their_neighbours_are_rounded_once(dtype, data):
    values = data.draw(near_ties(dtype))
    kept = values[np.abs(values) < float(LARGEST[dtype])]
    result = round_to(kept, dtype)
    assert result.dtype == dtype_of(dtype)
    assert exactly(result) == [rounded(v, dtype) for v in exactly(kept)]


@pytest.mark.parametrize("dtype", NARROW)
@given(st.data())
def test_subnormals_are_kept(dtype, data):
    digits, least = PARAMETERS[dtype]
    smallest = 2.0 ** (least - digits + 1)
    rng = data.draw(seeds)
    halves = rng.integers(-(2**digits), 2**digits, 40) * smallest / 2
    beside = halves * (1 + rng.choice([-1, 0, 1], 40) * 2.0**-45)
    for values in (halves, beside):
        expected = [rounded(v, dtype) for v in exactly(values)]
        assert exactly(round_to(values, dtype)) == expected
    assert float(round_to(np.array([smallest]), dtype)[0]) == smallest
    assert np.signbit(round_to(np.array([-smallest / 4]), dtype).astype(np.float64))[0]


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_float64_is_copied_bit_for_bit(numbers):
    values = np.array(numbers)
    result = round_to(values, "float64")
    assert result.tobytes() == values.tobytes()
    assert not np.shares_memory(result, values)


@pytest.mark.parametrize("dtype", NARROW)
def test_the_largest_number_is_the_limit_and_half_a_unit_more_overflows(dtype):
    digits, _ = PARAMETERS[dtype]
    largest = LARGEST[dtype]
    unit = Fraction(2) ** (int(largest).bit_length() - digits)
    tie = float(largest + unit / 2)
    below, above = np.nextafter(tie, 0), np.nextafter(tie, np.inf)
    assert FORMATS[dtype].limit == largest
    # to even: only float8_e4m3fn has an even limit
    goes = (largest / unit) % 2 == 0
    assert goes == (dtype == "float8_e4m3fn")
    last = tie if goes else below
    for value in (last, -last):
        assert exactly(round_to(np.array([value]), dtype)) == [np.sign(value) * largest]
    for value in (above if goes else tie, 1e300, np.inf):
        for sign in (1, -1):
            with pytest.raises(NumericError, match="does not fit"):
                round_to(np.array([0.0, sign * value]), dtype)


@pytest.mark.parametrize(
    ("dtype", "limit"),
    [
        ("float16", "65504"),
        ("bfloat16", "3.38953e+38"),
        ("float32", "3.40282e+38"),
        ("float8_e4m3fn", "448"),
        ("float8_e5m2", "57344"),
    ],
)
def test_an_overflow_names_tensor_index_value_and_limit(dtype, limit):
    values = np.zeros((3, 2, 2))
    values[2, 1, 0] = -7e38
    with pytest.raises(NumericError) as caught:
        round_to(values, dtype, "stage1.weight", first=10)
    message = str(caught.value)
    assert "stage1.weight[12, 1, 0] = -7e+38 does not fit in " + dtype in message
    assert f"largest finite value is {limit}." in message


def test_nan_and_unknown_dtypes_are_refused():
    with pytest.raises(NumericError, match=r"b\[1\] = nan does not fit in float32"):
        round_to(np.array([1, np.nan]), "float32", "b")
    with pytest.raises(NumericError, match="dtype 'float8': expected one of float64, float32"):
        round_to(np.zeros(1), "float8")


@pytest.mark.parametrize("dtype", PARAMETERS)
def test_the_formats_are_those_of_numpy_and_ml_dtypes(dtype):
    info, form = ml_dtypes.finfo(dtype_of(dtype)), FORMATS[dtype]
    digits, least = PARAMETERS[dtype]
    assert (form.digits, form.least_exponent) == (digits, least)
    assert form.epsilon == 2.0 ** (1 - digits) == info.eps
    assert form.smallest_normal == 2.0**least == info.smallest_normal
    assert form.smallest == 2.0 ** (least - digits + 1) == info.smallest_subnormal
    assert form.limit == info.max


def test_what_a_user_may_ask_for_are_formats():
    assert sorted(FORMATS) == sorted(PARAMETERS)
    assert set(DTYPES) == {"keep", *NARROW}


@pytest.mark.parametrize("dtype", ["float8_e4m3fn", "float8_e5m2"])
def test_every_midpoint_of_a_float8_goes_to_even_and_its_sides_to_their_neighbours(dtype):
    codes = np.arange(256, dtype=np.uint8).view(dtype_of(dtype)).astype(np.float64)
    numbers = np.unique(codes[np.isfinite(codes)])
    assert len(numbers) == {"float8_e4m3fn": 253, "float8_e5m2": 247}[dtype]
    low, high = numbers[:-1], numbers[1:]
    ties = (low + high) / 2
    even = [rounded(tie, dtype) for tie in exactly(ties)]
    assert exactly(round_to(ties, dtype)) == even
    for offset in range(20, 49):  # more digits of a midpoint do not fit in float64
        step = (high - low) * 2.0**-offset
        np.testing.assert_array_equal(round_to(ties - step, dtype).astype(float), low)
        np.testing.assert_array_equal(round_to(ties + step, dtype).astype(float), high)


@pytest.mark.parametrize("dtype", PARAMETERS)
@given(st.data())
def test_values_that_became_zero_or_subnormal_are_counted(dtype, data):
    digits, least = PARAMETERS[dtype]
    rng = data.draw(seeds)
    # around the smallest number and around the smallest one with all digits
    exponents = rng.choice([least - digits, least - digits + 1, least - 1, least], 30)
    values = np.ldexp(rng.uniform(1, 2, 30) * rng.choice([-1, 1], 30), exponents)
    values[rng.integers(0, 30, 5)] = rng.choice([0.0, -0.0, 1.0], 5)
    values[5:10] = np.ldexp([1, 1.5, -1, 1, 2 - 2.0**-52], [least - digits + 1, *[least - 1] * 4])
    values = values.reshape(5, 6)
    results = [rounded(v, dtype) for v in exactly(values.ravel())]
    zero = sum(result == 0 != v for result, v in zip(results, values.ravel(), strict=True))
    subnormal = sum(0 < abs(result) < Fraction(2) ** least for result in results)
    for layout in (values, np.asfortranarray(values)):
        assert count_underflow(layout, round_to(layout, dtype)) == Underflow(zero, subnormal)
    assert count_underflow(values * 0, round_to(values * 0, dtype)) == Underflow(0, 0)


@pytest.mark.parametrize("dtype", PARAMETERS)
@given(st.fractions(), st.integers(-160, 40), st.integers(20, 400))
def test_nearest_rounds_rationals(dtype, value, exponent, offset):
    scaled = value * Fraction(2) ** exponent
    for exact in (scaled, scaled + Fraction(2) ** -offset):
        assert nearest(exact, FORMATS[dtype]) == rounded(exact, dtype)


@pytest.mark.parametrize("dtype", PARAMETERS)
@given(st.integers(1, 2**53), st.integers(-3, 3), st.integers(60, 900), st.booleans())
def test_nearest_rounds_ties_to_even_and_keeps_subnormals(dtype, odd, exponent, offset, negative):
    digits, least = PARAMETERS[dtype]
    sign = -1 if negative else 1
    for unit in (Fraction(2) ** (exponent - digits), Fraction(2) ** (least - digits)):
        tie = sign * Fraction(2 * (odd % 2 ** (digits - 1)) + 1) * unit
        for exact in (tie, tie * (1 + Fraction(2) ** -offset), tie * (1 - Fraction(2) ** -offset)):
            assert nearest(exact, FORMATS[dtype]) == rounded(exact, dtype)
