"""Layers, statistics, images and whole blocks of dyadic numbers, on which float64 is exact.

Integers in [-4, 4] as weights and pixels; variances `4**j - eps` with `eps` a power of two, so that
the root is a power of two; scales in {+-1/2, 1, 2, 3}. Two ways to compute the same thing then give
equal numbers, and tests compare with `==`. Shapes are drawn one by one, arrays from a drawn seed:
examples are made fast and shrink on their shapes.
"""

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from reparam import operations as ops
from reparam.linear import Conv

seeds = st.integers(0, 2**32 - 1).map(np.random.default_rng)
ranks = st.sampled_from([2, 1, 0, 3])
channel_counts = st.sampled_from([4, 2, 6, 1])


@st.composite
def integers(draw, shape):
    return draw(seeds).integers(-4, 5, shape).astype(np.float32)


@st.composite
def images(draw, channels, rank, least=1, most=6):
    most = min(most, 3) if rank == 3 else most
    space = [draw(st.integers(min(least, most), most)) for _ in range(rank)]
    return draw(integers((channels, *space))).astype(np.float64)


@st.composite
def geometries(draw, rank, dilations=2):
    """Taps, dilation and origin per axis: even, not square, rarely centred."""
    size = [draw(st.integers(1, 3)) for _ in range(rank)]
    dilation = [draw(st.integers(1, dilations)) for _ in range(rank)]
    origin = [draw(st.integers(0, d * (k - 1) + 1)) for k, d in zip(size, dilation, strict=True)]
    return tuple(size), tuple(dilation), tuple(origin)


@st.composite
def group_counts(draw, inputs, outputs):
    return draw(st.sampled_from([g for g in range(1, 7) if inputs % g == 0 == outputs % g]))


@st.composite
def convs(draw, rank, inputs=None, outputs=None, *, transposed=False, **fixed):
    """Convolutions; any field of `Conv` may be fixed, `kernel_size` too."""
    inputs = inputs or draw(channel_counts)
    outputs = outputs or draw(st.one_of(st.just(inputs), channel_counts))
    groups = fixed["groups"] if "groups" in fixed else draw(group_counts(inputs, outputs))
    size, dilation, origin = draw(geometries(rank))
    size = fixed.pop("kernel_size", size)
    first, second = (inputs, outputs) if transposed else (outputs, inputs)
    settings = {
        "groups": groups,
        "bias": draw(st.one_of(st.none(), integers((outputs,)))),
        "stride": tuple(draw(st.integers(1, 2)) for _ in range(rank)),
        "dilation": dilation,
        "origin": origin,
    }
    kernel = draw(integers((first, second // groups, *size)))
    return Conv(kernel, transposed=transposed, **(settings | fixed))


@st.composite
def pointwise(draw, rank, inputs, outputs, **fixed):
    plain = {"kernel_size": (1,) * rank, "origin": (0,) * rank, "dilation": 1}
    return draw(convs(rank, inputs, outputs, **(plain | fixed)))


@st.composite
def statistics(draw, channels):
    """The operands of a batch norm, in the order of `fuse_conv_bn`, with `eps` last."""
    rng = draw(seeds)
    eps = draw(st.sampled_from([2.0**-4, 2.0**-6, 2.0**-10, 0.0]))
    return {
        "running_mean": rng.integers(-8, 9, channels).astype(np.float32) / 2,
        "running_var": (4.0 ** rng.integers(-1, 3, channels) - eps).astype(np.float32),
        "weight": draw(
            st.sampled_from([rng.choice([-0.5, 0.5, 1, 2, 3], channels).astype(np.float32), None])
        ),
        "bias": draw(st.sampled_from([rng.integers(-8, 9, channels).astype(np.float32) / 4, None])),
        "eps": eps,
    }


@dataclass
class Block:
    """A bound expression with its tensors, which it gives as `reparam.operations.Read` does."""

    op: ops.Operation
    tensors: dict[str, np.ndarray]
    rank: int

    def read(self, name, rows=None):
        return self.tensors[name] if rows is None else self.tensors[name][slice(*rows)]


class _Builder:
    """Draws operations and keeps the tensors they name."""

    def __init__(self, draw, rank):
        self.draw, self.rank, self.tensors = draw, rank, {}

    def tensor(self, role, array):
        name = f"layer{len(self.tensors)}.{role}"
        self.tensors[name] = array
        return name

    def conv(self, inputs, outputs, *, bias=None, border="zero", kernel_size=None, groups=None):
        fixed = {} if kernel_size is None else {"kernel_size": kernel_size, "origin": 0}
        fixed |= {} if groups is None else {"groups": groups}
        layer = self.draw(convs(self.rank, inputs, outputs, stride=1, **fixed))
        kernel = layer.kernel.astype(np.float32)
        added = layer.bias.astype(np.float32)
        wanted = layer.bias.any() if bias is None else bias
        return ops.ConvOp(
            self.tensor("weight", kernel),
            self.tensor("bias", added) if wanted else None,
            kernel.shape,
            layer.groups,
            layer.dilation,
            layer.origin,
            border=border,
        )

    def point(self, inputs, outputs, *, bias):
        return self.conv(inputs, outputs, bias=bias, kernel_size=(1,) * self.rank)

    def norm(self, channels):
        stats = self.draw(statistics(channels))
        eps = stats.pop("eps")
        names = {
            role: None if array is None else self.tensor(role, array)
            for role, array in stats.items()
        }
        return ops.NormOp(
            names["running_mean"],
            names["running_var"],
            names["weight"],
            names["bias"],
            channels,
            eps,
        )

    def scale(self, channels):
        single = self.draw(st.booleans())
        vector = self.draw(integers((1 if single else channels,)))
        return ops.ScaleOp(self.tensor("gamma", vector), channels, single)

    def number(self, channels):
        return ops.NumberOp(self.draw(st.sampled_from([-2.0, 0.5, 3.0])), channels)

    def average(self, channels):
        size = [1] * self.rank
        size[self.draw(st.integers(0, self.rank - 1))] = self.draw(st.sampled_from([2, 4]))
        return ops.AverageOp(tuple(size), channels)

    def plain(self, inputs, outputs):
        return [self.conv(inputs, outputs), self.norm(outputs)]

    def scaled(self, inputs, outputs):
        return [self.conv(inputs, outputs), self.scale(outputs), self.number(outputs)]

    def channelwise(self, inputs, _):
        steps = [self.norm(inputs), self.scale(inputs), self.number(inputs)]
        return steps[: self.draw(st.integers(0, 3))]

    def padded(self, inputs, outputs):
        """A zero-padded convolution behind a layer that maps zero to zero."""
        return [self.point(inputs, outputs, bias=False), self.conv(outputs, outputs)]

    def imaged(self, inputs, outputs):
        """A convolution that sees beyond the border what the layer before makes of zeros."""
        first = [self.point(inputs, outputs, bias=True), self.norm(outputs)]
        return [*first, self.conv(outputs, outputs, border="image"), self.norm(outputs)]

    def valid(self, inputs, outputs):
        """Two padded convolutions of which only the first sees a padded image."""
        first = [self.conv(inputs, outputs), self.norm(outputs)]
        return [*first, self.conv(outputs, outputs, border="valid")]

    def pooled(self, inputs, outputs):
        return [self.point(inputs, outputs, bias=False), self.average(outputs), self.norm(outputs)]

    def nested(self, inputs, outputs):
        """A sum of branches behind a layer that maps zero to zero."""
        terms = [(1, self.conv(outputs, outputs)), (-1, ops.ChainOp((), outputs))]
        return [self.point(inputs, outputs, bias=False), ops.SumOp(tuple(terms))]


KINDS = ["plain", "scaled", "channelwise", "padded", "imaged", "valid", "pooled", "nested"]
"""Branches that have one convolution as their exact equal."""


@st.composite
def blocks(draw, kind=None):
    """Blocks that fold exactly: one to three branches with signs, the first of some kind."""
    kind = kind or draw(st.sampled_from(KINDS))
    rank = draw(st.integers(1, 3)) if kind in ("valid", "pooled") else draw(ranks)
    builder = _Builder(draw, rank)
    inputs = draw(channel_counts)
    square = kind == "channelwise" or draw(st.booleans())
    outputs = inputs if square else draw(channel_counts)
    others = [k for k in KINDS if (square or k != "channelwise") and (rank or k != "pooled")]
    kinds = [kind, *draw(st.lists(st.sampled_from(others), max_size=2))]
    kinds += ["plain"] if set(kinds) == {"channelwise"} else []
    terms = [
        (draw(st.sampled_from([1, -1])), ops.ChainOp(tuple(steps), inputs))
        for steps in (getattr(builder, k)(inputs, outputs) for k in kinds)
    ]
    op = terms[0][1] if len(terms) == 1 and terms[0][0] > 0 else ops.SumOp(tuple(terms))
    return Block(op, builder.tensors, rank)


@st.composite
def transposed_blocks(draw):
    """A transposed convolution with its norm."""
    rank = draw(ranks)
    builder = _Builder(draw, rank)
    layer = draw(convs(rank, transposed=True, stride=1))
    up = ops.ConvOp(
        builder.tensor("weight", layer.kernel.astype(np.float32)),
        builder.tensor("bias", layer.bias.astype(np.float32)),
        layer.kernel.shape,
        layer.groups,
        layer.dilation,
        layer.origin,
        transposed=True,
    )
    op = ops.ChainOp((up, builder.norm(layer.outputs)), layer.inputs)
    return Block(op, builder.tensors, rank)
