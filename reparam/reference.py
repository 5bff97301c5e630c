"""The second reading of a bound expression: run its layers on an image, by their definitions.

This is the judge of the algebra, so it shares no code with it: it imports neither `reparam.fold`
nor `reparam.algebra` nor anything below them. Every layer keeps the size of the image (stride 1,
padding as `origin` says): strides subsample the same outputs in both forms.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from reparam import operations as ops

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from reparam.operations import Axes, Operation, Read, Rows

    Image = NDArray[Any]


def run(op: Operation, read: Read, x: Image, rows: Rows | None = None) -> Image:
    """Run an operation.

    Args:
        op: A bound expression.
        read: Gives its tensors.
        x: `(batch, in, *space)`; its dtype is the one everything is computed in.
        rows: Output channels wanted; None for all.

    Returns:
        `(batch, rows, *space)`.
    """
    return _run(op, read, x, rows or (0, ops.outputs(op)))


def probe_size(op: Operation) -> Axes:
    """Return the smallest image on which every tap of every layer meets a pixel somewhere."""
    match op:
        case ops.ConvOp():
            spans = (d * (k - 1) for d, k in zip(op.dilation, op.shape[2:], strict=True))
            return tuple(max(o, s - o) + 1 for o, s in zip(op.origin, spans, strict=True))
        case ops.AverageOp(size):
            return size
        case ops.ChainOp(steps):
            sizes = [s for s in map(probe_size, steps) if s]
            return tuple(sum(axis) - len(axis) + 1 for axis in zip(*sizes, strict=True))
        case ops.SumOp(terms):
            sizes = [s for s in (probe_size(t) for _, t in terms) if s]
            return tuple(map(max, zip(*sizes, strict=True)))
        case _:
            return ()


def _run(op: Operation, read: Read, x: Image, rows: Rows) -> Image:
    match op:
        case ops.ChainOp(steps):
            return _chain(steps, read, x, rows)
        case ops.SumOp(terms):
            total = np.zeros(())
            for sign, term in terms:
                total = total + sign * _run(term, read, x, rows)
            return total
        case ops.WindowOp(inner, size):
            return _windowed(inner, size, read, x, rows)
        case _:
            return _chain((op,), read, x, rows)


def _chain(steps: tuple[Operation, ...], read: Read, x: Image, rows: Rows) -> Image:
    if not steps:
        return x[:, slice(*rows)]
    *before, last = steps
    head = tuple(before)
    if isinstance(last, ops.ConvOp) and not last.transposed:
        return _convolve(head, last, read, x, rows)
    if isinstance(last, ops.SumOp | ops.ChainOp) and not head:
        return _run(last, read, x, rows)
    y = _chain(head, read, x, ops.reach(last, rows))
    match last:
        case ops.NormOp():
            each = last.repeat
            gamma = 1.0 if last.weight is None else _vector(read, last.weight, rows, y, each)
            beta = 0.0 if last.bias is None else _vector(read, last.bias, rows, y, each)
            mean = _vector(read, last.mean, rows, y, each)
            var = _vector(read, last.var, rows, y, each)
            return (y - mean) / np.sqrt(var + last.eps) * gamma + beta
        case ops.ScaleOp(tensor, _, single):
            return y * _vector(read, tensor, None if single else rows, y)
        case ops.ShiftOp(tensor, _, single):
            return y + _vector(read, tensor, None if single else rows, y)
        case ops.NumberOp(value):
            return y * value
        case ops.AverageOp(size):
            padded = _pad(y, tuple((k - 1) // 2 for k in size), size)
            windows = [padded[place] for place in _windows(size, (1,) * len(size), y.shape[2:])]
            return sum(windows[1:], windows[0]) / len(windows)
        case ops.ConvOp():
            return _convolve_transposed(last, read, y)
        case _:  # a nested block of its own: it sees the image of the steps before, rows and all
            return _run(last, read, _chain(head, read, x, (0, ops.inputs(last))), rows)


def _windowed(inner: Operation, size: Axes, read: Read, x: Image, rows: Rows) -> Image:
    """Give every window its axes back, run the operation on it, and lay its pixels out again."""
    space, pixels = x.shape[2:], int(np.prod(size))
    windows = np.moveaxis(x, 1, -1).reshape(-1, ops.inputs(inner), *size)
    y = _run(inner, read, windows, (rows[0] // pixels, rows[1] // pixels))
    return np.moveaxis(y.reshape(x.shape[0], *space, -1), -1, 1)


def _convolve(
    head: tuple[Operation, ...], op: ops.ConvOp, read: Read, x: Image, rows: Rows
) -> Image:
    """Run the steps before a convolution, pad what they give, and slide the kernel over it."""
    seen = ops.reach(op, rows)
    span = tuple(d * (k - 1) + 1 for d, k in zip(op.dilation, op.shape[2:], strict=True))
    space = x.shape[2:]
    if op.border == "valid":  # only the input of the chain is padded
        padded = _chain(head, read, _pad(x, op.origin, span), seen)
    else:
        inner = _chain(head, read, x, seen)
        outside = np.zeros(inner.shape[1])
        if op.border == "image":  # what the steps before make of zeros
            answer = _chain(head, read, np.zeros_like(x), seen)
            outside = answer.reshape(*answer.shape[:2], -1)[0, :, 0]
        padded = _pad(inner, op.origin, span, outside)
    kernel = read(op.weight, rows).astype(x.dtype)
    windows = [padded[place] for place in _windows(op.shape[2:], op.dilation, space)]
    groups = (seen[1] - seen[0]) // op.shape[1]
    taps = kernel.reshape(groups, -1, op.shape[1], len(windows))
    if op.shape[1] == 1:  # depthwise: no sum over inputs
        y = sum(
            taps[:, :, 0, k].reshape(1, groups, -1, *(1,) * len(space)) * window[:, :, None]
            for k, window in enumerate(windows)
        )
        y = np.asarray(y).reshape(x.shape[0], -1, *space)
    else:
        stack = np.stack(windows, axis=2)  # (batch, in, taps, *space)
        stack = stack.reshape(x.shape[0], groups, op.shape[1] * len(windows), -1)
        y = taps.reshape(groups, -1, stack.shape[2]) @ stack
        y = y.reshape(x.shape[0], -1, *space)
    return y if op.bias is None else y + _vector(read, op.bias, rows, y)


def _convolve_transposed(op: ops.ConvOp, read: Read, x: Image) -> Image:
    """Scatter: every input pixel adds its kernel to the output, `origin` pixels cut in front."""
    kernel = read(op.weight).astype(x.dtype)
    space = x.shape[2:]
    span = tuple(d * (k - 1) + 1 for d, k in zip(op.dilation, op.shape[2:], strict=True))
    sides = zip(space, op.origin, span, strict=True)
    wider = (n + max(o, s - 1) for n, o, s in sides)
    full = np.zeros((x.shape[0], op.outputs, *wider), x.dtype)
    per_in, per_out = op.inputs // op.groups, op.shape[1]
    for group, place in itertools.product(
        range(op.groups), enumerate(_windows(op.shape[2:], op.dilation, space))
    ):
        index, window = place
        into = slice(group * per_out, (group + 1) * per_out)
        source = slice(group * per_in, (group + 1) * per_in)
        taps = kernel.reshape(*kernel.shape[:2], -1)[source, :, index]
        full[(slice(None), into, *window[2:])] += np.einsum("io,bi...->bo...", taps, x[:, source])
    cut = tuple(slice(o, o + n) for o, n in zip(op.origin, space, strict=True))
    y = full[(slice(None), slice(None), *cut)]
    return y if op.bias is None else y + _vector(read, op.bias, None, y)


def _windows(taps: Axes, dilation: Axes, space: Axes) -> list[tuple[slice, ...]]:
    """Where each tap, in C order, finds the image inside a padded one."""
    return [
        (
            slice(None),
            slice(None),
            *(slice(d * t, d * t + n) for d, t, n in zip(dilation, tap, space, strict=True)),
        )
        for tap in itertools.product(*(range(k) for k in taps))
    ]


def _pad(x: Image, before: Axes, span: Axes, value: Image | float = 0.0) -> Image:
    """Surround an image so that a kernel of `span` pixels fits at every position."""
    sides = zip(x.shape[2:], before, span, strict=True)
    wider = tuple(n + max(b, s - 1) for n, b, s in sides)
    padded = np.empty((*x.shape[:2], *wider), x.dtype)
    padded[...] = np.asarray(value).reshape(-1, *(1,) * len(wider))
    inside = tuple(slice(b, b + n) for b, n in zip(before, x.shape[2:], strict=True))
    padded[(slice(None), slice(None), *inside)] = x
    return padded


def _vector(read: Read, name: str, rows: Rows | None, like: Image, each: int = 1) -> Image:
    """Return a per-channel vector shaped to meet an image, every entry `each` times."""
    values = np.repeat(read(name).astype(like.dtype).reshape(-1), each)
    values = values if rows is None else values[slice(*rows)]
    return values.reshape(-1, *(1,) * (like.ndim - 2))
