"""A fusing tool as people write them, with a place for every mistake they make in it.

It shares no code with what it judges, and computes in the precision it is told: float64 as careful
tools do, or float32 as most. Every mistake is a subclass that gets one thing wrong.
"""

# ruff: noqa: ARG002  methods are given what their mistaken forms may look at

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Branch:
    """A convolution with its norm, either of which may be absent; paths relative to the block."""

    conv: str | None = None
    norm: str | None = None


@dataclass(frozen=True)
class Block:
    """A sum of branches at some path of a net."""

    path: str
    branches: tuple[Branch, ...]
    groups: int = 1
    transposed: bool = False

    @property
    def line(self):
        """The same as an expression of a recipe."""
        how = f"[groups={self.groups}{', transposed' if self.transposed else ''}]"
        terms = (
            " ".join([*([b.conv + how] if b.conv else []), *([b.norm] if b.norm else [])])
            for b in self.branches
        )
        return " + ".join(term or "id" for term in terms) + " -> fused"


class Tool:
    """Fuses blocks, right as it stands.

    Args:
        state: The checkpoint.
        eps: Of its norms.
        dtype: What everything is computed in.
    """

    def __init__(self, state, eps, dtype):
        self.state, self.eps, self.dtype = state, dtype(eps), dtype
        self.block = None

    def get(self, *path):
        return self.state[".".join((self.block.path, *path))].astype(self.dtype)

    def fused(self, block):
        """Return kernel and bias as stored: float32."""
        self.block = block
        parts = [self.branch(b) for b in block.branches]
        size = np.max([kernel.shape[2:] for kernel, _ in parts], axis=0)
        kernel = sum(
            self.place(k, size, b) for (k, _), b in zip(parts, block.branches, strict=True)
        )
        return self.stored(kernel), self.stored(sum(bias for _, bias in parts))

    def stored(self, values):
        return values.astype(np.float32)

    def branch(self, branch):
        kernel = self.kernel(branch.conv) if branch.conv else self.identity(branch)
        bias = self.conv_bias(branch, len(self.statistics(branch.norm)[0]) if branch.norm else None)
        if branch.norm is None:
            return kernel, np.zeros(len(kernel), self.dtype) if bias is None else bias
        gamma, beta, mean, var = self.statistics(branch.norm)
        s = self.scale(gamma, var, branch.norm)
        return self.scaled(kernel, s), self.shift(bias, beta, mean, s)

    def kernel(self, conv):
        return self.get(conv, "weight")

    def conv_bias(self, branch, channels):
        name = ".".join((self.block.path, branch.conv or "", "bias"))
        if name in self.state:
            return self.get(branch.conv, "bias")
        return None if channels is None else np.zeros(channels, self.dtype)

    def statistics(self, norm):
        return [self.get(norm, r) for r in ("weight", "bias", "running_mean", "running_var")]

    def scale(self, gamma, var, norm):
        return gamma / np.sqrt(var + self.eps)

    def scaled(self, kernel, s):
        if self.block.transposed:
            parts = [
                kernel_of_group * s_of_group.reshape(1, -1, *(1,) * (kernel.ndim - 2))
                for kernel_of_group, s_of_group in zip(
                    np.split(kernel, self.block.groups), np.split(s, self.block.groups), strict=True
                )
            ]
            return np.concatenate(parts)
        return kernel * s.reshape(-1, *(1,) * (kernel.ndim - 1))

    def shift(self, bias, beta, mean, s):
        return beta + (bias - mean) * s

    def identity(self, branch):
        channels = len(self.statistics(branch.norm)[0]) if branch.norm else self.channels()
        rank = next(self.kernel(b.conv).ndim for b in self.block.branches if b.conv) - 2
        kernel = np.zeros((channels, channels // self.block.groups, *(1,) * rank), self.dtype)
        for i in range(channels):
            kernel[i, self.number(i, channels)] = 1
        return kernel

    def channels(self):
        return len(next(self.kernel(b.conv) for b in self.block.branches if b.conv))

    def number(self, i, channels):
        return i % (channels // self.block.groups)

    def place(self, kernel, size, branch):
        """Pad a kernel with zeros on all sides."""
        whole = np.zeros((*kernel.shape[:2], *size), self.dtype)
        room = [(n - k) // 2 for n, k in zip(size, kernel.shape[2:], strict=True)]
        start = self.start(room, branch)
        where = [slice(a, a + k) for a, k in zip(start, kernel.shape[2:], strict=True)]
        whole[(..., *where)] = kernel
        return whole

    def start(self, room, branch):
        return room


class OtherEps(Tool):
    """Another constant."""

    def __init__(self, state, eps, dtype, other):
        super().__init__(state, other, dtype)
        assert other != eps


class NoEps(Tool):
    def scale(self, gamma, var, norm):
        return gamma / np.sqrt(var)


class EpsOutside(Tool):
    def scale(self, gamma, var, norm):
        return gamma / (np.sqrt(var) + self.eps)


class NoBias(Tool):
    def shift(self, bias, beta, mean, s):
        return beta - mean * s


class UnscaledBias(Tool):
    def shift(self, bias, beta, mean, s):
        return beta - mean * s + bias


class Without(Tool):
    def __init__(self, state, eps, dtype, which):
        super().__init__(state, eps, dtype)
        self.which = which

    def branch(self, branch):
        kernel, bias = super().branch(branch)
        if branch is self.block.branches[self.which]:
            return 0 * kernel, 0 * bias
        return kernel, bias


class Elsewhere(Tool):
    """Puts small branches at some corner."""

    def __init__(self, state, eps, dtype, names, side):
        super().__init__(state, eps, dtype)
        self.names, self.side = names, side

    def start(self, room, branch):
        if room[0] and branch.norm in self.names:
            return [side * r for side, r in zip(self.side, room, strict=False)]
        return room


class GammaBeta(Tool):
    def statistics(self, norm):
        gamma, beta, mean, var = super().statistics(norm)
        return beta, gamma, mean, var


class Factor(Tool):
    """The variance with another divisor."""

    def __init__(self, state, eps, dtype, factor):
        super().__init__(state, eps, dtype)
        self.factor = dtype(factor)

    def scale(self, gamma, var, norm):
        return gamma / np.sqrt(var * self.factor + self.eps)


class OtherNorm(Tool):
    """Reads norms of other blocks, or of other branches."""

    def __init__(self, state, eps, dtype, names):
        super().__init__(state, eps, dtype)
        self.names = names

    def statistics(self, norm):
        name = self.names.get(norm, f"{self.block.path}.{norm}")
        roles = ("weight", "bias", "running_mean", "running_var")
        return [self.state[f"{name}.{role}"].astype(self.dtype) for role in roles]


class Half(Tool):
    """Rounds something on the way."""

    def __init__(self, state, eps, dtype, what, half):
        super().__init__(state, eps, dtype)
        self.what, self.half = what, half

    def round(self, what, values):
        return values.astype(self.half).astype(self.dtype) if what in self.what else values

    def get(self, *path):
        return self.round("inputs", super().get(*path))

    def kernel(self, conv):
        return self.round("kernels", super().kernel(conv))

    def conv_bias(self, branch, channels):
        bias = super().conv_bias(branch, channels)
        return None if bias is None else self.round("kernels", bias)

    def scale(self, gamma, var, norm):
        return self.round("scale", super().scale(gamma, var, norm))

    def stored(self, values):
        return super().stored(self.round("result", values))


class InFloat16(Tool):
    def __init__(self, state, eps, dtype):
        super().__init__(state, eps, np.float16)


class VarianceAsDeviation(Tool):
    def scale(self, gamma, var, norm):
        return gamma / (var + self.eps)


class AddedMean(Tool):
    def shift(self, bias, beta, mean, s):
        return beta + (bias + mean) * s


class NoMean(Tool):
    def shift(self, bias, beta, mean, s):
        return beta + bias * s


class NoGamma(Tool):
    def scale(self, gamma, var, norm):
        return super().scale(np.ones_like(gamma), var, norm)


class NoBeta(Tool):
    def shift(self, bias, beta, mean, s):
        return super().shift(bias, 0 * beta, mean, s)


class Twice(Tool):
    def branch(self, branch):
        kernel, bias = super().branch(branch)
        gamma, beta, mean, var = self.statistics(branch.norm)
        s = self.scale(gamma, var, branch.norm)
        return self.scaled(kernel, s), self.shift(bias, beta, mean, s)


class NoNorm(Tool):
    norm = "bn"
    scales = True

    def scale(self, gamma, var, norm):
        return np.ones_like(var) if norm == self.norm else super().scale(gamma, var, norm)

    def branch(self, branch):
        kernel, bias = super().branch(branch)
        if branch.norm == self.norm:
            bias = self.conv_bias(branch, len(bias))
        return kernel, bias


class NoPointNorm(NoNorm):
    norm = "point.bn"


class Numbered(Tool):
    def __init__(self, state, eps, dtype, rule):
        super().__init__(state, eps, dtype)
        self.rule = rule

    def number(self, i, channels):
        return self.rule(i)


class Turned(Tool):
    """Has its axes in another order."""

    def __init__(self, state, eps, dtype, turn):
        super().__init__(state, eps, dtype)
        self.turn = turn

    def kernel(self, conv):
        kernel = super().kernel(conv)
        return self.turn(kernel) if "point" not in conv else kernel


class ScaledInputs(Tool):
    def scaled(self, kernel, s):
        axis = 0 if self.block.transposed else 1
        return kernel * np.expand_dims(s, [i for i in range(kernel.ndim) if i != axis])
