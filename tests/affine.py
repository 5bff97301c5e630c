"""Blocks in exact rational arithmetic, layer by layer: what certificates are judged by.

Nothing here folds. A block is run on one patch of an image, the window that one interior output
sees; impulses then read off the kernel, and the zero image the bias. Only roots are rounded, at 200
bits.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import product

import ml_dtypes
import numpy as np

from reparam import operations as ops

EPS = 1e-5
DTYPES = {
    "float64": np.float64,
    "float32": np.float32,
    "float16": np.float16,
    "bfloat16": ml_dtypes.bfloat16,
    "float8_e4m3fn": ml_dtypes.float8_e4m3fn,
    "float8_e5m2": ml_dtypes.float8_e5m2,
}
UNIT = {  # half a unit in the last place of 1, and the distance of subnormals
    "float64": (2.0**-53, 2.0**-1074),
    "float32": (2.0**-24, 2.0**-149),
    "float16": (2.0**-11, 2.0**-24),
    "bfloat16": (2.0**-8, 2.0**-133),
    "float8_e4m3fn": (2.0**-4, 2.0**-9),
    "float8_e5m2": (2.0**-3, 2.0**-16),
}


def exact(array):
    """The same numbers as an array of Fractions."""
    found = np.empty(np.shape(array), object)
    for index in np.ndindex(found.shape):
        found[index] = Fraction(float(array[index]))
    return found


def floats(array):
    return np.vectorize(float, otypes=[float])(array)


def root(value):
    """A square root to 200 bits or more, exact where it is rational."""
    top, bottom = value.numerator * value.denominator, value.denominator
    bits = max(200 - top.bit_length() // 2, 0)
    return Fraction(math.isqrt(top << 2 * bits), bottom << bits)


def nearest(value, dtype):
    """The number of a dtype nearest to a rational, ties to even, found among three."""
    if not value:
        return DTYPES[dtype](0)
    kind = np.dtype(DTYPES[dtype])
    with np.errstate(all="ignore"):
        near = np.array(float(abs(value))).astype(kind)
    bits = f"u{kind.itemsize}"
    code = int(near.view(bits))
    codes = [c for c in (code - 1, code, code + 1) if c >= 0]
    numbers = [np.array(c, bits).view(kind)[()] for c in codes]
    good = [(n, c) for n, c in zip(numbers, codes, strict=True) if np.isfinite(n)]
    size = min(good, key=lambda pair: (abs(Fraction(float(pair[0])) - abs(value)), pair[1] & 1))[0]
    return -size if value < 0 else size


def rounded(array, dtype):
    found = np.empty(array.shape, DTYPES[dtype])
    for index in np.ndindex(array.shape):
        found[index] = nearest(array[index], dtype)
    return found


def steps(array, index, count):
    """The array with one number moved by so many units in its last place, away from zero."""
    found = array.copy()
    bits = found.view(f"i{array.dtype.itemsize}")
    bits[index] += np.array(count).astype(bits.dtype)  # of 8 bits, what is left of 1000
    return found


# --- layers on the window of one output ---------------------------------------------------------


def norm(t, name, y, eps):
    """`gamma * (y - mean) / sqrt(var + eps) + beta` along axis 0."""
    shape = (-1,) + (1,) * (y.ndim - 1)
    mean, var, gamma, beta = (
        t[f"{name}.{role}"] for role in ("running_mean", "running_var", "weight", "bias")
    )
    scale = np.array([g / root(v + Fraction(eps)) for g, v in zip(gamma, var, strict=True)])
    return (y - mean.reshape(shape)) * scale.reshape(shape) + beta.reshape(shape)


def conv(t, name, x, groups=1):
    """All positions of a convolution that see no border; `x` is `(in, *space)`."""
    kernel = t[f"{name}.weight"]
    out, width, *size = kernel.shape
    space = [n - k + 1 for n, k in zip(x.shape[1:], size, strict=True)]
    y = np.full((out, *space), Fraction(0))
    for o in range(out):
        first = o // (out // groups) * width
        for at in product(*map(range, space)):
            taps = (slice(p, p + k) for p, k in zip(at, size, strict=True))
            window = x[(slice(first, first + width), *taps)]
            y[(o, *at)] = (kernel[o] * window).sum()
    if f"{name}.bias" in t:
        y = y + t[f"{name}.bias"].reshape((-1,) + (1,) * len(space))
    return y


def transposed(t, name, x, groups):
    """The one output that all taps reach, at stride 1."""
    kernel = t[f"{name}.weight"]
    inputs, width = kernel.shape[:2]
    y = np.full(width * groups, Fraction(0))
    flipped = x[(slice(None), *(slice(None, None, -1),) * (x.ndim - 1))]
    for i in range(inputs):
        first = i // (inputs // groups) * width
        for o in range(width):
            y[first + o] += (kernel[i, o] * flipped[i]).sum()
    if f"{name}.bias" in t:
        y = y + t[f"{name}.bias"]
    return y.reshape((-1,) + (1,) * (x.ndim - 1))


def middle(x):
    """The pixel in the middle."""
    return x[(slice(None), *(slice(n // 2, n // 2 + 1) for n in x.shape[1:]))]


@dataclass
class Block:
    """A block in train form.

    `run` gives the outputs at one position, from tensors of Fractions and the window it sees; with
    the sizes of all tensors (`absolute`) and all signs positive it gives the sums of |terms|.
    """

    op: ops.Operation
    tensors: dict[str, np.ndarray]
    run: object
    window: tuple[int, ...]
    shape: tuple[int, ...]
    groups: int = 1
    terms: int = 1
    transposed: bool = False

    def read(self, name, rows=None):
        return self.tensors[name] if rows is None else self.tensors[name][slice(*rows)]

    def fractions(self, *, absolute=False):
        """The tensors as they are, or the sizes of them."""
        t = {name: exact(values) for name, values in self.tensors.items()}
        if not absolute:
            return t
        return {
            n: v if n.endswith("var") else -abs(v) if n.endswith("mean") else abs(v)
            for n, v in t.items()
        }

    def outputs(self, x, t=None):
        """What comes out at one position for a window `(in, *space)`."""
        return self._run(t or self.fractions(), x, -1)

    def _run(self, t, x, minus):
        return self.run(t, x, minus).reshape(-1)

    def impulses(self, *, absolute=False):
        """Kernel, in the layout it is stored in, and bias: by the zero image and by impulses."""
        zero, t = np.full(self.window, Fraction(0)), self.fractions(absolute=absolute)
        minus = 1 if absolute else -1
        bias = self._run(t, zero, minus)
        kernel = np.full(self.shape, Fraction(0))
        into, out = self.window[0] // self.groups, len(bias) // self.groups
        for at in np.ndindex(self.window):
            x = zero.copy()
            x[at] = Fraction(1)
            answer = self._run(t, x, minus) - bias
            group = at[0] // into
            mine = slice(group * out, (group + 1) * out)
            assert not answer[: mine.start].any()
            assert not answer[mine.stop :].any()
            if self.transposed:  # every tap throws its input elsewhere
                tap = tuple(n - 1 - k for n, k in zip(self.window[1:], at[1:], strict=True))
                kernel[(at[0], slice(None), *tap)] = answer[mine]
            else:
                kernel[(mine, at[0] % into, *at[1:])] = answer[mine]
        return kernel, bias

    def stored(self, *, bias=True):
        """The convolution AFTER holds in place of the block, as an operation."""
        rank = len(self.shape) - 2
        return ops.ConvOp(
            "f.weight",
            "f.bias" if bias else None,
            self.shape,
            self.groups,
            (1,) * rank,
            (0,) * rank,
            self.transposed,
        )

    def deploy(self, kernel, bias, x):
        """What AFTER's convolution gives for a window, exactly."""
        t = {"f.weight": exact(kernel), "f.bias": exact(bias)}
        return (transposed if self.transposed else conv)(t, "f", x, self.groups).reshape(-1)

    def aimed(self, weights, output):
        """The window on which one output is the sum of `weights`, in the order of `per_output`."""
        into = self.window[0] // self.groups
        first = output // (self.op_outputs // self.groups) * into
        patch = np.asarray(weights, object).reshape(into, *self.window[1:])
        if self.transposed:
            patch = patch[(slice(None), *(slice(None, None, -1),) * (len(self.window) - 1))]
        x = np.full(self.window, Fraction(1))
        x[first : first + into] = patch
        return x

    @property
    def op_outputs(self):
        return self.shape[1] * self.groups if self.transposed else self.shape[0]

    def cast(self, dtype):
        """The same block with all tensors in a dtype."""
        kind = DTYPES[dtype]
        return replace(self, tensors={n: v.astype(kind) for n, v in self.tensors.items()})

    def per_output(self, kernel):
        """Kernel entries by output channel."""
        if not self.transposed:
            return kernel.reshape(len(kernel), -1)
        inputs, width = kernel.shape[:2]
        split = kernel.reshape(self.groups, inputs // self.groups, width, -1)
        return np.moveaxis(split, 2, 1).reshape(width * self.groups, -1)


def reader(tensors):
    """Arrays by name as `reparam.operations.Read`."""
    return lambda n, rows=None: tensors[n] if rows is None else tensors[n][slice(*rows)]


# --- blocks of random numbers -------------------------------------------------------------------


@functools.cache
def block(kind, seed, *, hostile=False):
    """One of `KINDS`, the same one for the same seed."""
    return KINDS[kind](seed, hostile=hostile)


@functools.cache
def folded(kind, seed, *, hostile=False, dtype="float32"):
    """A block in a dtype, its exact kernel and bias, and the sums of their |terms|."""
    made = block(kind, seed, hostile=hostile)
    made = made if dtype == "float32" else made.cast(dtype)
    return made, made.impulses(), made.impulses(absolute=True)


class Draw:
    """Draws tensors, from tame to hostile."""

    def __init__(self, seed, *, hostile=False):
        self.random = np.random.default_rng(seed)
        self.tensors: dict[str, np.ndarray] = {}
        self.hostile = hostile

    def numbers(self, *shape):
        values = self.random.normal(size=shape)
        if self.hostile:
            values *= 2.0 ** self.random.integers(-12, 12, shape)
        return values.astype(np.float32)

    def conv(self, name, shape, groups=1, *, bias=False, transposed=False):
        self.tensors[f"{name}.weight"] = self.numbers(*shape)
        if bias:
            out = shape[1] * groups if transposed else shape[0]
            self.tensors[f"{name}.bias"] = self.numbers(out)
        rank = len(shape) - 2
        origin = tuple((k - 1) // 2 for k in shape[2:])
        added = f"{name}.bias" if bias else None
        return ops.ConvOp(f"{name}.weight", added, shape, groups, (1,) * rank, origin, transposed)

    def norm(self, name, width):
        names = [f"{name}.{role}" for role in ("running_mean", "running_var", "weight", "bias")]
        for n in names:
            self.tensors[n] = self.numbers(width)
        var = self.tensors[names[1]]
        self.tensors[names[1]] = np.abs(var) + np.float32(0 if self.hostile else 0.1)
        return ops.NormOp(*names, width, EPS)


def pair(seed, *, out=4, into=2, groups=1, size=(3, 2), bias=True, hostile=False, flip=False):
    """A convolution, or a transposed one, with its norm."""
    d = Draw(seed, hostile=hostile)
    shape = (into, out // groups, *size) if flip else (out, into // groups, *size)
    op = ops.ChainOp(
        (d.conv("c", shape, groups, bias=bias, transposed=flip), d.norm("n", out)), into
    )

    def run(t, x, _):
        y = (transposed if flip else conv)(t, "c", x, groups)
        return norm(t, "n", y, EPS)

    return Block(op, d.tensors, run, (into, *size), shape, groups, 1, flip)


def rep(seed, *, width=2, groups=1, identity=True, hostile=False, rank=2):
    """A RepVGG block: 3x3, minus 1x1 where asked by the seed, identity."""
    d = Draw(seed, hostile=hostile)
    sign = -1 if seed % 2 else 1
    big, small = (width, width // groups, *(3,) * rank), (width, width // groups, *(1,) * rank)
    terms = [
        (1, ops.ChainOp((d.conv("a", big, groups), d.norm("an", width)), width)),
        (sign, ops.ChainOp((d.conv("b", small, groups), d.norm("bn", width)), width)),
    ]
    if identity:
        terms.append((1, ops.ChainOp((d.norm("i", width),), width)))

    def run(t, x, minus):
        y = norm(t, "an", conv(t, "a", x, groups), EPS)
        y = y + (minus if sign < 0 else 1) * norm(t, "bn", conv(t, "b", middle(x), groups), EPS)
        return y + norm(t, "i", middle(x), EPS) if identity else y

    window = (width, *(3,) * rank)
    return Block(ops.SumOp(tuple(terms)), d.tensors, run, window, big, groups, len(terms))


def sequence(seed, *, into=3, middles=2, out=2, hostile=False):
    """1x1 without bias, 3x3, norm."""
    d = Draw(seed, hostile=hostile)
    first = d.conv("a", (middles, into, 1, 1))
    second = d.conv("b", (out, middles, 3, 3), bias=True)
    op = ops.ChainOp((first, second, d.norm("n", out)), into)

    def run(t, x, _):
        return norm(t, "n", conv(t, "b", conv(t, "a", x)), EPS)

    terms = middles * 9 + 1
    return Block(op, d.tensors, run, (into, 3, 3), (out, into, 3, 3), 1, terms)


def pooled(seed, *, into=2, out=3, hostile=False):
    """1x1 without bias, an average of 2x3 pixels, norm, a factor, a shift, times 0.3."""
    d = Draw(seed, hostile=hostile)
    first = d.conv("a", (out, into, 1, 1))
    d.tensors |= {"scale": d.numbers(out), "shift": d.numbers(out)}
    rest = (ops.ScaleOp("scale", out), ops.ShiftOp("shift", out), ops.NumberOp(-0.3, out))
    op = ops.ChainOp((first, ops.AverageOp((2, 3), out), d.norm("n", out), *rest), into)

    def run(t, x, minus):
        y = conv(t, "a", x)
        y = y.sum(axis=(1, 2), keepdims=True) / 6
        y = norm(t, "n", y, EPS) * t["scale"].reshape(-1, 1, 1) + t["shift"].reshape(-1, 1, 1)
        return y * minus * Fraction(0.3)

    return Block(op, d.tensors, run, (into, 2, 3), (out, into, 2, 3), 1, 8)


KINDS = {
    "pair": pair,
    "grouped pair": lambda seed, **k: pair(seed, into=4, groups=2, bias=False, **k),
    "depthwise pair": lambda seed, **k: pair(seed, into=4, groups=4, size=(3, 3), **k),
    "1-D pair": lambda seed, **k: pair(seed, out=3, into=2, size=(4,), **k),
    "linear": lambda seed, **k: pair(seed, out=3, into=5, size=(), **k),
    "transposed": lambda seed, **k: pair(seed, into=6, groups=2, size=(2,), flip=True, **k),
    "rep": rep,
    "rep without identity": lambda seed, **k: rep(seed, identity=False, **k),
    "grouped rep": lambda seed, **k: rep(seed, width=4, groups=2, **k),
    "1-D rep": lambda seed, **k: rep(seed, rank=1, **k),
    "sequence": sequence,
    "pooled": pooled,
}
PAIRS = ("pair", "grouped pair", "depthwise pair", "1-D pair", "linear", "transposed")
