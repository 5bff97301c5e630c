"""The shape of the kernel that an operation folds to, from shapes alone: what a plan announces."""

from __future__ import annotations

import math
from dataclasses import dataclass

from reparam.operations import (
    AverageOp,
    Axes,
    ChainOp,
    ConvOp,
    Operation,
    SumOp,
    WindowOp,
    inputs,
    leaves,
    outputs,
)


@dataclass(frozen=True, slots=True)
class Frame:
    """The shape of the kernel that an operation folds to.

    Attributes:
        groups: Number of groups.
        size: Taps per spatial axis; empty for a map without spatial axes.
        dilation: Distance of taps per axis.
        origin: Tap position that meets the output position.
    """

    groups: int
    size: Axes
    dilation: Axes
    origin: Axes

    @property
    def span(self) -> Axes:
        """Pixels per axis."""
        return tuple(d * (k - 1) + 1 for d, k in zip(self.dilation, self.size, strict=True))


def frame(op: Operation) -> Frame:
    """Return groups and geometry of the convolution an operation folds to, without its data."""
    match op:
        case ConvOp():
            return Frame(op.groups, op.shape[2:], op.dilation, op.origin)
        case AverageOp(size, channels):
            return Frame(channels, size, (1,) * len(size), tuple((k - 1) // 2 for k in size))
        case ChainOp(steps):
            frames = [
                frame(s) for s in steps if isinstance(s, ConvOp | AverageOp | ChainOp | SumOp)
            ]
            # a norm or scale in front is a depthwise layer that the next convolution absorbs
            if frames and not isinstance(steps[0], ConvOp | AverageOp | ChainOp | SumOp):
                frames.insert(0, Frame(op.channels, (), (), ()))
            result = frames[0] if frames else Frame(op.channels, (), (), ())
            for after in frames[1:]:
                result = _sequence(result, after)
            return result
        case SumOp(terms):
            return _parallel([frame(t) for _, t in terms])
        case WindowOp(inner):
            return Frame(frame(inner).groups, (), (), ())
        case _:
            return Frame(op.channels, (), (), ())


def kernel_shape(op: Operation) -> Axes:
    """Return `(out, in // groups, *space)` of the fused kernel; transposed ones keep theirs."""
    shape = frame(op)
    first = next(leaves(op))
    if isinstance(first, ConvOp) and first.transposed:
        return *first.shape[:2], *shape.size
    return outputs(op), inputs(op) // shape.groups, *shape.size


def _lifted(frames: list[Frame]) -> list[Frame]:
    rank = max(len(f.size) for f in frames)
    ones, zeros = (1,) * rank, (0,) * rank
    return [f if f.size or not rank else Frame(f.groups, ones, ones, zeros) for f in frames]


def _sequence(first: Frame, second: Frame) -> Frame:
    first, second = _lifted([first, second])
    size = tuple(a + b - 1 for a, b in zip(first.span, second.span, strict=True))
    origin = tuple(a + b for a, b in zip(first.origin, second.origin, strict=True))
    return Frame(math.gcd(first.groups, second.groups), size, (1,) * len(size), origin)


def _parallel(frames: list[Frame]) -> Frame:
    frames = _lifted(frames)
    groups = math.gcd(*(f.groups for f in frames))
    first = frames[0]
    if all(
        (f.size, f.dilation, f.origin) == (first.size, first.dilation, first.origin) for f in frames
    ):
        return Frame(groups, first.size, first.dilation, first.origin)
    origin = tuple(map(max, zip(*(f.origin for f in frames), strict=True)))
    ends = zip(
        *(tuple(s - o for s, o in zip(f.span, f.origin, strict=True)) for f in frames), strict=True
    )
    size = tuple(o + max(end) for o, end in zip(origin, ends, strict=True))
    return Frame(groups, size, (1,) * len(size), origin)
