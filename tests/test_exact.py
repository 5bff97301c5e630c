"""Conv and norm fold to the numbers nearest to the real-number formula, against exact rationals.

The oracle knows integers only: roots are integer roots of 400 bits, and a result is right when no
neighbour of it in its dtype is closer to the rational. It shares nothing with `reparam.exact`.
"""

from dataclasses import dataclass
from fractions import Fraction
from math import isqrt

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ml_dtypes import bfloat16

from reparam import exact
from reparam import operations as ops
from reparam.fold import Folder
from reparam.testing.layers import seeds

PARAMETERS = {  # significant bits, exponent of the smallest normal number
    "float64": (53, -1022),
    "float32": (24, -126),
    "bfloat16": (8, -126),
    "float16": (11, -14),
    "float8_e4m3fn": (4, -6),
    "float8_e5m2": (3, -14),
}
LARGEST = {"float16": 65504, "float8_e4m3fn": 448, "float8_e5m2": 57344}
NARROW = [name for name in PARAMETERS if name != "float64"]
narrow = pytest.mark.parametrize("dtype", NARROW)
dtypes = pytest.mark.parametrize("dtype", PARAMETERS)


def scale(gamma, var, eps):
    """Return `gamma / sqrt(var + eps)` as a rational, to 400 bits where it is irrational."""
    total = Fraction(float(var)) + Fraction(eps)
    p, q = total.numerator, total.denominator
    root = isqrt(p * q << 800)
    assert root.bit_length() > 400
    return Fraction(float(gamma)) * Fraction(q << 400, root)


def nearest(value, dtype):
    digits, least = PARAMETERS[dtype]
    p, q = abs(value.numerator), value.denominator
    exponent = p.bit_length() - q.bit_length()
    exponent -= p << max(-exponent, 0) < q << max(exponent, 0)
    unit = max(exponent, least) - digits + 1
    count = round(Fraction(p * 2 ** max(-unit, 0), q * 2 ** max(unit, 0)))
    size = Fraction(count) * Fraction(2) ** unit
    return -size if value < 0 else size


def stored_as(dtype):
    return np.dtype(getattr(ml_dtypes, dtype, dtype))


@dataclass
class Layers:
    """A convolution and its norm, as arrays."""

    kernel: np.ndarray
    inner: np.ndarray | None
    mean: np.ndarray
    var: np.ndarray
    gamma: np.ndarray
    beta: np.ndarray
    eps: float
    transposed: bool = False

    def read(self, name, rows=None):
        array = getattr(self, name)
        return array if rows is None else array[slice(*rows)]

    def fuse(self, dtype, rows=None):
        bias = None if self.inner is None else "inner"
        shape = self.kernel.shape
        conv = ops.ConvOp("kernel", bias, shape, 1, (), (), self.transposed)
        channels = len(self.var)
        norm = ops.NormOp("mean", "var", "gamma", "beta", channels, self.eps)
        op = ops.ChainOp((conv, norm), conv.inputs)
        kernel, bias = Folder(op, self.read).rounded((dtype, dtype), rows or (0, channels))
        assert kernel.dtype == bias.dtype == stored_as(dtype)
        return kernel.astype(np.float64), bias.astype(np.float64)

    def exact(self):
        """Return the exact kernel and bias."""
        inner = np.zeros(len(self.var)) if self.inner is None else self.inner
        scales = [scale(g, v, self.eps) for g, v in zip(self.gamma, self.var, strict=True)]
        taps = self.kernel.T if self.transposed else self.kernel
        kernel = [
            [Fraction(float(w)) * s for w in row] for row, s in zip(taps, scales, strict=True)
        ]
        moved = [
            Fraction(float(b)) - Fraction(float(m)) for b, m in zip(inner, self.mean, strict=True)
        ]
        bias = [
            Fraction(float(c)) + m * s for c, m, s in zip(self.beta, moved, scales, strict=True)
        ]
        return kernel, bias


def check(layers, dtype):
    """Assert that every fused number is the nearest one to the exact result."""
    kernel, bias = layers.fuse(dtype)
    exact_kernel, exact_bias = layers.exact()
    taps = kernel.T if layers.transposed else kernel
    for row, wanted in zip(taps, exact_kernel, strict=True):
        assert [Fraction(v) for v in row] == [nearest(e, dtype) for e in wanted]
    assert [Fraction(v) for v in bias] == [nearest(e, dtype) for e in exact_bias]


def draw_layers(rng, dtype, channels=4, taps=6, eps=1e-5):
    """Ordinary layers, stored in `dtype`."""
    stored = stored_as(dtype)
    vectors = [rng.standard_normal(channels) for _ in range(4)]
    return Layers(
        rng.standard_normal((channels, taps)).astype(stored),
        vectors[0].astype(stored),
        vectors[1].astype(stored),
        rng.uniform(0.01, 4, channels).astype(stored),
        vectors[2].astype(stored),
        vectors[3].astype(stored),
        eps,
    )


@dtypes
@given(seeds, st.sampled_from([0.0, 1e-5, 1e-3, 1e-12]), st.booleans())
def test_ordinary_layers(dtype, rng, eps, transposed):
    layers = draw_layers(rng, dtype, eps=eps)
    if transposed:
        layers.kernel, layers.transposed = np.ascontiguousarray(layers.kernel.T), True
    check(layers, dtype)


@dtypes
@given(seeds)
def test_biases_that_cancel_to_the_last_digit(dtype, rng):
    layers = draw_layers(rng, dtype, channels=6)
    layers.inner = None
    stored = layers.mean.dtype
    shifts = [
        Fraction(float(m)) * scale(g, v, layers.eps)
        for m, g, v in zip(layers.mean, layers.gamma, layers.var, strict=True)
    ]
    layers.beta = np.array([float(nearest(e, dtype)) for e in shifts]).astype(stored)
    check(layers, dtype)


@dtypes
@given(seeds)
def test_biases_that_cancel_to_nothing(dtype, rng):
    """A scale of 1/3 or 7/5 is no float64 number, but what it makes here is zero."""
    layers = draw_layers(rng, "float64", eps=0.0)
    roots, counts = (rng.integers(2**20, 2**25, 4) * 2.0 + 1 for _ in range(2))
    layers.var, layers.mean, layers.inner = roots**2, roots * 3, None
    layers.gamma, layers.beta = counts, counts * 3
    check(layers, dtype)


@pytest.mark.parametrize("sign", [1, -1])
@given(st.integers(27, 30), st.integers(0, 2**50))
def test_a_float64_bias_a_hair_beside_a_tie(sign, bits, odd):
    """What falls short of the tie is the last digit of a product, 2**-107 of the sum."""
    layers = draw_layers(np.random.default_rng(0), "float64", channels=1, eps=0.0)
    layers.inner, layers.mean = np.array([1 + 2.0**-bits]), np.zeros(1)
    layers.gamma, layers.var = np.array([sign * (1 - 2.0**-bits) * 2.0**-53]), np.ones(1)
    layers.beta = np.array([sign * (1 + (2 * odd + 1) * 2.0**-52)])
    check(layers, "float64")


@given(seeds)
def test_float64_ties_that_only_eps_decides(rng):
    """Three times an odd number of 53 digits is a tie, and so is 1 - 2**-54 below 1."""
    layers = draw_layers(rng, "float64", eps=2.0**-110)
    layers.var = 4.0 ** rng.integers(-1, 2, 4)
    layers.gamma = 1 + (2 * rng.integers(0, 2**51, 4) + 1) * 2.0**-52
    layers.kernel[:] = 3
    layers.gamma[0], layers.kernel[0] = 1 - 2.0**-27, 1 + 2.0**-27
    check(layers, "float64")


@dtypes
@given(seeds)
def test_layers_stored_with_fewer_digits_than_the_result(dtype, rng):
    """All rounding boundaries of the result are then within reach of exact products."""
    layers = draw_layers(rng, "bfloat16", eps=0.0)
    layers.var = (4.0 ** rng.integers(-3, 4, 4)).astype(bfloat16)
    check(layers, dtype)


@narrow
@given(seeds)
def test_exact_ties_go_to_even(dtype, rng):
    """An odd number of half units, scaled by a power of two: no digit of the result is lost."""
    digits, _ = PARAMETERS[dtype]
    layers = draw_layers(rng, "float64", eps=2.0**-6)
    layers.kernel = (2.0 * rng.integers(2 ** (digits - 1), 2**digits, (4, 6)) + 1) / 2**digits
    layers.gamma = rng.choice([-0.5, 0.5, 1, 2], 4)
    layers.var = 4.0 ** rng.integers(-1, 2, 4) - 2.0**-6
    layers.inner = layers.mean * 0
    layers.beta = layers.kernel[:, 0] + layers.mean * layers.gamma / np.sqrt(layers.var + 2.0**-6)
    check(layers, dtype)


@narrow
@given(seeds, st.booleans())
def test_numbers_a_hair_beside_a_tie(dtype, rng, denormal):
    """Kernels chosen so that float64 itself cannot tell on which side of the tie they fall."""
    digits, least = PARAMETERS[dtype]
    layers = draw_layers(rng, "float64")
    largest, unit = (2 ** (digits - 1), 2.0 ** (least - digits)) if denormal else (2**digits, 1.0)
    ties = (2.0 * rng.integers(largest // 2, largest, (4, 6)) + 1) * unit
    scales = [scale(g, v, layers.eps) for g, v in zip(layers.gamma, layers.var, strict=True)]
    kernel = [[float(Fraction(t) / s) for t in row] for row, s in zip(ties, scales, strict=True)]
    layers.kernel = np.array(kernel)
    layers.inner = layers.mean + layers.kernel[:, 0]
    layers.beta = layers.beta * 0
    check(layers, dtype)


@given(seeds)
def test_float64_numbers_a_hair_beside_a_tie(rng):
    """Products of 27 by 28 digits: two more than float64 holds."""
    layers = draw_layers(rng, "float64", eps=0.0)
    layers.var = 4.0 ** rng.integers(-3, 4, 4)
    layers.gamma = 1 + rng.integers(1, 2**26, 4) * 2.0**-26
    layers.kernel = 1 + rng.integers(1, 2**27, (4, 6)) * 2.0**-27
    check(layers, "float64")


@dtypes
@given(seeds)
def test_variances_that_are_denormal_without_eps(dtype, rng):
    layers = draw_layers(rng, dtype, eps=0.0)
    smallest = float(ml_dtypes.finfo(layers.var.dtype).smallest_subnormal)
    if dtype == "float64":
        smallest = 2.0**-149  # denormal where such numbers are met, in float32
    layers.var = (smallest * rng.integers(1, 4, 4)).astype(layers.var.dtype)
    kernel, gamma = (1, 0) if "float8" in dtype else (10, 6)  # smaller ones would be zero
    layers.kernel = (layers.kernel.astype(np.float64) / 2**kernel).astype(layers.kernel.dtype)
    layers.gamma = (layers.gamma.astype(np.float64) / 2**gamma).astype(layers.gamma.dtype)
    layers.mean = layers.inner = layers.mean * 0
    check(layers, dtype)


@dtypes
@given(seeds)
def test_variances_that_are_denormal_in_float64(dtype, rng):
    """What rounding leaves of such a root cannot be carried along."""
    layers = draw_layers(rng, "float64", eps=0.0, taps=40)
    layers.var = 2.0**-1074 * rng.integers(1, 2 ** rng.integers(20, 40, 4))
    layers.gamma *= 2.0**-537
    layers.inner = layers.mean + layers.kernel[:, 0]
    layers.beta *= 0
    check(layers, dtype)


@narrow
@given(seeds)
def test_a_root_that_is_one_number_as_float64_has_it(dtype, rng):
    """Its square has so few digits that it seems to be the variance; the scale is not quite 1."""
    digits, _ = PARAMETERS[dtype]
    layers = draw_layers(rng, "float64", eps=0.0)
    layers.var = 2.0**-1074 * rng.integers(2, 2**20, 4)
    layers.gamma = np.sqrt(layers.var)
    layers.kernel = (2.0 * rng.integers(2 ** (digits - 1), 2**digits, (4, 6)) + 1) / 2**digits
    layers.inner, layers.mean = layers.kernel[:, 0], layers.mean * 0
    layers.beta = layers.beta * 0
    check(layers, dtype)


@dtypes
@given(seeds, st.integers(0, 30))
def test_results_that_are_denormal(dtype, rng, shift):
    digits, least = PARAMETERS[dtype]
    shift = shift % 8 if "float8" in dtype else shift
    layers = draw_layers(rng, "float64")
    layers.gamma *= 2.0 ** (least - digits - 2 + shift) if dtype != "float64" else 2.0**-1000
    if dtype == "float64":
        layers.kernel *= 2.0 ** -(74 - shift)
    layers.beta *= 2.0 ** (least - digits - 2 + shift)
    check(layers, dtype)


@given(seeds)
def test_float64_kernels_beyond_what_products_can_carry(rng):
    layers = draw_layers(rng, "float64")
    layers.kernel *= 2.0**1010
    layers.gamma *= 2.0**-30
    check(layers, "float64")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@given(seeds)
def test_results_beside_a_power_of_two(dtype, rng):
    """Below it the neighbours are half as far away."""
    digits, _ = PARAMETERS[dtype]
    layers = draw_layers(rng, "float64")
    offsets = rng.choice([-0.25, -0.5, 0.5, 0.0], (4, 6)) * 2.0 ** (1 - digits)
    scales = [scale(g, v, layers.eps) for g, v in zip(layers.gamma, layers.var, strict=True)]
    layers.kernel = np.array(
        [
            [float((1 + Fraction(d)) / s) for d in row]
            for row, s in zip(offsets, scales, strict=True)
        ]
    )
    check(layers, dtype)


@narrow
def test_few_results_take_the_exact_way(dtype, monkeypatch):
    """It takes a thousand times as long. Most weights of a net are denormal in float8_e4m3fn."""
    digits, least = PARAMETERS[dtype]
    called = []
    scaled = exact._scaled
    monkeypatch.setattr(exact, "_scaled", lambda *a: called.append(a) or scaled(*a))
    layers = draw_layers(np.random.default_rng(5), "float64", channels=50, taps=1000)
    layers.gamma *= 2.0 ** (least - 3)
    layers.beta = layers.beta * 0 + 2.0 ** (least + 1)
    kernel, _ = layers.fuse(dtype)
    assert (np.abs(kernel) < 2.0**least).mean() > 0.9
    assert len(called) < 5
    layers.gamma, layers.eps = np.full(50, 2.0 ** (least - digits)), 0.0
    layers.var = np.full(50, 3.0)
    layers.kernel = np.full((50, 20), np.sqrt(3.0))  # half of the smallest number, as float64 sees
    layers.fuse(dtype)
    assert len(called) >= 1000


@dtypes
def test_a_kernel_in_any_memory_layout(dtype):
    layers = draw_layers(np.random.default_rng(1), "float64", channels=64, taps=64)
    digits, _ = PARAMETERS["float32" if dtype == "float64" else dtype]
    ties = (
        2.0 * np.random.default_rng(2).integers(2 ** (digits - 1), 2**digits, (64, 64)) + 1
    ) / 2**digits
    scales = layers.gamma / np.sqrt(layers.var + layers.eps)
    layers.kernel = ties / scales[:, None]
    expected, _ = layers.fuse(dtype)
    layers.kernel = np.asfortranarray(layers.kernel).astype(">f8", order="K")
    kernel, _ = layers.fuse(dtype)
    assert kernel.tobytes() == expected.tobytes()
    assert kernel.flags.c_contiguous
