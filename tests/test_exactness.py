"""No number of a hundred thousand differs from the exact one, and the script would see one."""

from fractions import Fraction

import exactness
import numpy as np
import pytest

RESULTS = list(exactness.run(10**5, seed=1))


def test_no_number_differs():
    assert sum(result.weights for result in RESULTS) >= 10**5
    assert sum(result.biases for result in RESULTS) >= 1000
    assert [result.kind for result in RESULTS if result.differ] == []


def test_numbers_beside_ties_are_computed_again_and_others_are_not():
    for result in RESULTS:
        beside = "a hair" in result.kind
        assert (result.recomputed == result.weights + result.biases) == beside
        assert beside or result.recomputed < 20


KIND = exactness.Kind("any", "float32", 1, exactness.ordinary())


@pytest.mark.parametrize("place", [0, 1], ids=["weight", "bias"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "float8_e4m3fn"])
def test_one_unit_in_the_last_place_is_seen(place, dtype):
    def fuse(layer, dtype):
        arrays = exactness.fuse(layer, dtype)
        arrays[place].reshape(-1).view(f"u{arrays[place].itemsize}")[0] ^= 1
        return arrays

    kind = KIND._replace(dtype=dtype)
    rng = np.random.default_rng(2)
    assert exactness.compare(kind, 200, rng, fuse).differ == 1


def test_plain_float64_arithmetic_is_not_enough_beside_ties():
    def fuse(layer, dtype):
        scale = layer.gamma / np.sqrt(layer.var + layer.eps)
        _, bias = exactness.fuse(layer, dtype)
        return (layer.kernel * scale[:, None]).astype(dtype), bias

    kind = KIND._replace(draw=exactness.beside_ties("float32"))
    assert exactness.compare(kind, 1000, np.random.default_rng(3), fuse).differ > 50


def closest(pattern, value, dtype):
    """Whether neither neighbour of a bit pattern is closer to a rational."""
    stored = exactness.stored_as(dtype)
    codes = np.array([pattern, pattern - 1, pattern + 1]).astype(f"u{stored.itemsize}")
    numbers = codes.view(stored).astype(np.float64)
    sizes = [abs(Fraction(v) - value) for v in numbers.tolist() if np.isfinite(v)]
    return sizes[0] == min(sizes)


@pytest.mark.parametrize("dtype", exactness.FORMATS)
def test_the_integers_of_the_oracle_say_what_rationals_say(dtype):
    layer = exactness.ordinary(eps=2.0**-10)(np.random.default_rng(4), 20)
    layer = layer._replace(var=(4.0 ** (np.arange(20) % 5 - 3) - 2.0**-10).astype(np.float32))
    root = np.sqrt(layer.var.astype(np.float64) + layer.eps)  # a power of two
    scales = [Fraction(v) for v in (layer.gamma.astype(np.float64) / root).tolist()]
    patterns, undecided = exactness.expected_kernel(layer, dtype)
    assert not undecided
    for row, taps, scale in zip(patterns, layer.kernel, scales, strict=True):
        values = [Fraction(tap) * scale for tap in taps.tolist()]
        assert all(closest(p, v, dtype) for p, v in zip(row, values, strict=True))
    columns = zip(*map(np.ndarray.tolist, exactness.wide(layer)), strict=True)
    shifts = exactness.expected_bias(layer, dtype)
    for pattern, (inner, mean, _, _, beta), scale in zip(shifts, columns, scales, strict=True):
        value = Fraction(beta) + (Fraction(inner) - Fraction(mean)) * scale
        assert closest(pattern, value, dtype)
