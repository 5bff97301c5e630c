"""Fuse random convolutions with batch norms and compare every number with the exact result.

    python tests/exactness.py [COUNT]

COUNT weights (default 10**8) and a hundredth as many biases, in flat memory. Prints, per kind of
layer, how many numbers were compared, how many of them float64 could not decide, so that the
package computed them again as rationals, and how many are not the nearest number of the stored
dtype to the real-number formula. Exits with 1 if there are any.

The oracle is integer arithmetic and shares nothing with the package: per channel the scale
`gamma / sqrt(var + eps)` as an integer of 128 bits, cut off; per weight its product with the
mantissa, 181 bits in limbs of 32, rounded by comparing the bits behind the last one with a half.
"""

# ruff: noqa: T201  a script talks to its terminal

import math
import sys
import time
from collections.abc import Callable
from math import isqrt
from typing import NamedTuple

import ml_dtypes
import numpy as np

from reparam import exact
from reparam import operations as ops
from reparam.fold import Folder

FORMATS = {  # significant bits, exponent of the smallest normal number
    "float32": (24, -126),
    "bfloat16": (8, -126),
    "float16": (11, -14),
    "float8_e4m3fn": (4, -6),
    "float8_e5m2": (3, -14),
}
TAPS = 100
CHANNELS = 512  # of a layer: what is computed at once fits the cache
LIMB = np.uint64(2**32 - 1)


class Layer(NamedTuple):
    """A convolution of one tap per input and its norm; kernel `(channels, taps)`."""

    kernel: np.ndarray
    inner: np.ndarray
    mean: np.ndarray
    var: np.ndarray
    gamma: np.ndarray
    beta: np.ndarray
    eps: float


class Kind(NamedTuple):
    """Layers alike: the dtype that fused tensors are stored in, and how many of them."""

    name: str
    dtype: str
    parts: int
    draw: Callable[[np.random.Generator, int], Layer]


class Result(NamedTuple):
    """What came of one kind."""

    kind: str
    weights: int
    biases: int
    recomputed: int
    differ: int


def stored_as(name):
    return np.dtype(getattr(ml_dtypes, name, name))


def ordinary(source="float32", eps=1e-5, var=(1e-2, 4), shift=0, spread=0, kernel=0.05):
    """Return how to draw layers, given the powers of two that gamma is spread and shifted by."""

    def draw(rng, channels):
        kind = stored_as(source)
        factors = 2.0 ** (rng.integers(-spread, spread + 1, channels) + shift)
        low, high = np.log2(var)
        vectors = rng.standard_normal((4, channels))
        vectors[2:] *= factors
        # gamma is never zero, and beta cancels most of the bias of every other channel
        gamma = vectors[2].astype(kind)
        gamma[gamma == 0] = ml_dtypes.finfo(kind).smallest_subnormal
        inner, mean = vectors[0].astype(kind), vectors[1].astype(kind)
        variances = (2.0 ** rng.uniform(low, high, channels)).astype(kind)
        wide = [v.astype(np.float64) for v in (inner, mean, gamma, variances)]
        opposite = (wide[1] - wide[0]) * wide[2] / np.sqrt(wide[3] + eps)
        beta = np.where(np.arange(channels) % 2, opposite, vectors[3]).astype(kind)
        taps = (rng.standard_normal((channels, TAPS)) * kernel).astype(kind)
        return Layer(taps, inner, mean, variances, gamma, beta, eps)

    return draw


def powers(rng, channels):
    """Scales that are powers of two, so that products end in true ties of narrow dtypes."""
    layer = ordinary()(rng, channels)
    taps = (2 * rng.integers(2**11, 2**12, layer.kernel.shape) + 1) * 2.0**-12
    taps *= rng.choice([-1, 1], taps.shape) * 2.0 ** rng.integers(-20, 3, taps.shape)
    return layer._replace(
        kernel=taps.astype(np.float32),
        var=(4.0 ** rng.integers(-3, 4, channels)).astype(np.float32),
        gamma=rng.choice(np.array([-1, 0.5, 2], np.float32), channels),
        eps=0.0,
    )


def beside_ties(dtype):
    """Kernels that meet a tie as nearly as float64 can say, half of them among the subnormals."""
    digits, least = FORMATS[dtype]

    def draw(rng, channels):
        layer = ordinary("float64")(rng, channels)
        shape = layer.kernel.shape
        full = rng.integers(0, 2, shape) * (digits - 1)  # else any number of digits
        ties = 2.0 * rng.integers(2**full, 2 ** np.maximum(full + 1, digits), shape) + 1
        ties *= 2.0 ** np.where(full, rng.integers(least - digits, 4, shape), least - digits)
        scale = layer.gamma / np.sqrt(layer.var + layer.eps)
        taps = ties * rng.choice([-1, 1], shape) / scale[:, None]
        none = np.zeros(channels)
        return layer._replace(kernel=taps, inner=taps[:, 0], mean=none, beta=none)

    return draw


KINDS = (
    Kind("ordinary, eps 1e-5", "float32", 20, ordinary()),
    Kind("ordinary, eps 1e-3", "float32", 8, ordinary(eps=1e-3)),
    Kind("no eps", "float32", 8, ordinary(eps=0.0)),
    Kind("variances 2**-60 .. 2**-10", "float32", 8, ordinary(var=(2.0**-60, 2.0**-10))),
    Kind("denormal variances, no eps", "float32", 8, ordinary(eps=0.0, var=(2.0**-149, 2.0**-126))),
    Kind("gamma 2**-20 .. 2**20", "float32", 8, ordinary(spread=20)),
    Kind("subnormal results", "float32", 8, ordinary(shift=-130, spread=8)),
    Kind("float16 to float16", "float16", 5, ordinary("float16", eps=1e-3)),
    Kind("float32 to float16", "float16", 5, ordinary()),
    Kind("subnormal results", "float16", 4, ordinary(shift=-14, spread=6)),
    Kind("bfloat16 to bfloat16", "bfloat16", 5, ordinary("bfloat16")),
    Kind("float32 to bfloat16", "bfloat16", 4, ordinary()),
    Kind("float32 to float8", "float8_e4m3fn", 3, ordinary()),
    Kind("float32 to float8", "float8_e5m2", 3, ordinary()),
    Kind("true ties", "float16", 1, powers),
    Kind("true ties", "bfloat16", 1, powers),
    Kind("a hair beside ties", "float32", 0, beside_ties("float32")),
    Kind("a hair beside ties", "float16", 0, beside_ties("float16")),
    Kind("a hair beside ties", "bfloat16", 0, beside_ties("bfloat16")),
)
HAIR = 500
"""One weight in so many, per kind that has no part: each of them takes the exact way."""


def fuse(layer, dtype):
    """Return kernel and bias as the package fuses them."""
    shape = layer.kernel.shape
    conv = ops.ConvOp("kernel", "inner", shape, 1, (), ())
    norm = ops.NormOp("mean", "var", "gamma", "beta", shape[0], layer.eps)

    def read(name, rows=None):
        values = getattr(layer, name)
        return values if rows is None else values[slice(*rows)]

    folder = Folder(ops.ChainOp((conv, norm), shape[1]), read)
    return folder.rounded((dtype, dtype), (0, shape[0]))


def square(gamma, var, eps):
    """Return `gamma**2 / (var + eps)` as numerator and denominator."""
    a, b = gamma.as_integer_ratio()
    c, d = var.as_integer_ratio()
    e, f = eps.as_integer_ratio()
    return a * a * d * f, b * b * (c * f + e * d)


def scale_bits(gamma, var, eps):
    """Return `m, e, whole` where the scale's size is m * 2**e, m has 128 bits, cut off or whole."""
    top, bottom = square(gamma, var, eps)
    shift = 130 - (top.bit_length() - bottom.bit_length()) // 2
    wide, rest = divmod(top << max(2 * shift, 0), bottom << max(-2 * shift, 0))
    root = isqrt(wide)
    spare = root.bit_length() - 128
    mantissa = root >> spare
    whole = not rest and (mantissa << spare) ** 2 == wide
    return mantissa, spare - shift, whole


def expected_kernel(layer, dtype):
    """Return the bit patterns of the correctly rounded kernel, and how many are undecided."""
    digits, least = FORMATS[dtype]
    columns = (layer.gamma, layer.var)
    bits = [scale_bits(*map(float, pair), layer.eps) for pair in zip(*columns, strict=True)]
    limbs = [
        np.array([[m >> (32 * i) & 0xFFFFFFFF] for m, _, _ in bits], np.uint64) for i in range(4)
    ]
    whole = np.array([[w] for _, _, w in bits])
    fraction, exponent = np.frexp(np.abs(layer.kernel.astype(np.float64)))
    mantissa = np.ldexp(fraction, 53).astype(np.uint64)
    low, high = mantissa & LIMB, mantissa >> np.uint64(32)
    # columns of the product, from the lowest limb on
    product, carry, above = [], np.uint64(0), np.uint64(0)
    for i in range(5):
        partial = (low * limbs[i] if i < 4 else np.uint64(0)) + carry
        carry = partial >> np.uint64(32)
        column = (partial & LIMB) + above + (high * limbs[i - 1] if i else np.uint64(0))
        product.append(column & LIMB)
        above = column >> np.uint64(32)
    product.append(above + carry)
    # 62 or 63 bits in front, 54 behind them, and whether there is anything after those
    front = product[5] << np.uint64(42) | product[4] << np.uint64(10) | product[3] >> np.uint64(22)
    behind = (product[3] & np.uint64(2**22 - 1)) << np.uint64(32) | product[2]
    more = (behind != 0) | (product[1] != 0) | (product[0] != 0) | ~whole
    longer = (front >> np.uint64(62)).astype(np.int64)
    power = exponent + np.array([[e] for _, e, _ in bits]) + (179 - 53) + longer
    cut = 62 + longer - digits + np.maximum(least - power, 0)
    shift = np.minimum(cut, 63).astype(np.uint64)
    half = np.uint64(1) << (shift - np.uint64(1))
    kept, rest = front >> shift, front & (half * np.uint64(2) - np.uint64(1))
    up = (rest > half) | ((rest == half) & (more | (kept % 2 == 1)))
    undecided = ~whole & (rest == half - np.uint64(1)) & (behind == np.uint64(2**54 - 1))
    kept = np.where(cut > 63, 0, kept + up).astype(np.int64)
    patterns = kept + (np.maximum(power - least, 0) << (digits - 1))
    patterns = np.where(mantissa == 0, 0, patterns)
    negative = np.signbit(layer.kernel) ^ np.signbit(layer.gamma)[:, None]
    size = 8 * stored_as(dtype).itemsize
    return patterns + (negative.astype(np.int64) << (size - 1)), int(undecided.sum())


POINT = 500
"""Biases are fixed-point numbers with so many bits behind the point."""


def expected_bias(layer, dtype):
    """Return the bit patterns of the correctly rounded biases."""
    digits, least = FORMATS[dtype]
    sign = 8 * stored_as(dtype).itemsize - 1
    patterns = []
    for inner, mean, var, gamma, beta in zip(*map(np.ndarray.tolist, wide(layer)), strict=True):
        top, bottom = square(gamma, var, layer.eps)
        moved = fixed(inner) - fixed(mean)
        product, rest = divmod(moved * moved * top, bottom)
        root = isqrt(product)
        cut_off = rest != 0 or root * root != product
        # half a step more where something was cut off: then no tie can be met
        size = 2 * root + cut_off
        total = 2 * fixed(beta) + (size if (moved > 0) == (gamma > 0) else -size)
        patterns.append(rounded(abs(total), digits, least) + ((total < 0) << sign))
    return np.array(patterns)


def wide(layer):
    vectors = (layer.inner, layer.mean, layer.var, layer.gamma, layer.beta)
    return [v.astype(np.float64) for v in vectors]


def fixed(value):
    top, bottom = value.as_integer_ratio()
    assert (top << POINT) % bottom == 0
    return (top << POINT) // bottom


def rounded(size, digits, least):
    """Return the bit pattern of the number nearest to `size * 2**(-POINT - 1)`."""
    power = size.bit_length() - POINT - 2
    shift = max(power, least) - digits + 1 + POINT + 1
    kept, rest = size >> shift, size & ((1 << shift) - 1)
    half = 1 << (shift - 1)
    kept += rest > half or (rest == half and kept % 2 == 1)
    return kept + (max(power - least, 0) << (digits - 1))


def patterns_of(array):
    return array.view(f"u{array.dtype.itemsize}").astype(np.int64)


def compare(kind, count, rng, fuse=fuse):
    """Fuse and check about `count` weights of one kind."""
    weights = biases = differ = 0
    recomputed = []
    scaled = exact._scaled
    exact._scaled = lambda *given: recomputed.append(1) or scaled(*given)
    try:
        while weights < count:
            channels = min(CHANNELS, math.ceil((count - weights) / TAPS))
            layer = kind.draw(rng, channels)
            kernel, bias = fuse(layer, kind.dtype)
            wanted, undecided = expected_kernel(layer, kind.dtype)
            assert not undecided, "the oracle needs more bits"
            differ += int((patterns_of(kernel) != wanted).sum())
            shifts = expected_bias(layer, kind.dtype)
            # a bias that cancels to zero may have either sign
            differ += int(((patterns_of(bias) != shifts) & ((shifts != 0) | (bias != 0))).sum())
            weights, biases = weights + kernel.size, biases + bias.size
    finally:
        exact._scaled = scaled
    return Result(f"{kind.name} ({kind.dtype})", weights, biases, len(recomputed), differ)


def run(count, seed=0):
    """Yield the result of every kind, `count` weights in all."""
    parts = sum(kind.parts for kind in KINDS)
    rng = np.random.default_rng(seed)
    for kind in KINDS:
        share = count * kind.parts // parts if kind.parts else count // HAIR
        yield compare(kind, max(share, 1), rng)


def main(count):
    """Print a line per kind and return the exit code."""
    start, results = time.monotonic(), []
    print(f"{'':42}{'weights':>12}{'biases':>10}{'recomputed':>12}{'differ':>8}")
    for result in run(count):
        results.append(result)
        print(f"{result[0]:42}{result[1]:12}{result[2]:10}{result[3]:12}{result[4]:8}", flush=True)
    whole = [sum(column) for column in zip(*(result[1:] for result in results), strict=True)]
    print(f"{'all':42}{whole[0]:12}{whole[1]:10}{whole[2]:12}{whole[3]:8}")
    print(f"{time.monotonic() - start:.0f} s")
    return int(whole[-1] > 0)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 10**8))
