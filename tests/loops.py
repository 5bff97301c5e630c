"""Convolution by its definition, in plain loops: the judge of both the algebra and the reference.

An image is an array `(channels, *space)`; `corner` is the place of its first pixel on the lattice,
and everything outside it is zero. Dyadic numbers make every sum exact, so the order does not count.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np


@dataclass(frozen=True)
class Layer:
    """The fields of a convolution, without the algebra's record."""

    kernel: np.ndarray
    bias: np.ndarray
    groups: int
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    origin: tuple[int, ...]
    transposed: bool = False


def convolve(conv, image, start=None, size=None, corner=None):
    """Compute `y[o, p] = b[o] + sum(w[o, i, k] * x[group(o) + i, stride*p + dilation*k - origin])`.

    Transposed: input position `p` adds `w[i, o, k] * x[i, p]` at `stride*p + dilation*k - origin`.

    Args:
        conv: Anything with the fields of a convolution.
        image: `(in, *space)`.
        start: First output position per axis; zero.
        size: Number of output positions per axis; one per stride (transposed: stride per pixel).
        corner: Position of the first pixel of `image`; zero.
    """
    rank = image.ndim - 1
    start, corner = start or (0,) * rank, corner or (0,) * rank
    if size is None:
        size = tuple(
            n * s if conv.transposed else -(-n // s)
            for n, s in zip(image.shape[1:], conv.stride, strict=True)
        )
    pixels = {
        (channel, tuple(a + b for a, b in zip(place, corner, strict=True))): value
        for (channel, *place), value in np.ndenumerate(image)
        if value
    }
    if conv.transposed:
        return _scatter(conv, pixels, start, size)
    outputs, width = conv.kernel.shape[:2]
    y = np.empty((outputs, *size))
    taps = [_taps(row) for row in conv.kernel]
    for o in range(outputs):
        below = o // (outputs // conv.groups) * width
        for place in product(*map(range, size)):
            total = float(conv.bias[o])
            for i, tap, weight in taps[o]:
                at = tuple(
                    s * (p + b) + d * k - c
                    for s, p, b, d, k, c in zip(
                        conv.stride, place, start, conv.dilation, tap, conv.origin, strict=True
                    )
                )
                total += weight * pixels.get((below + i, at), 0.0)
            y[(o, *place)] = total
    return y


def _scatter(conv, pixels, start, size):
    width = conv.kernel.shape[1]
    per_group = conv.kernel.shape[0] // conv.groups
    y = np.empty((width * conv.groups, *size))
    y[...] = np.reshape(conv.bias, (-1,) + (1,) * len(size))
    for (i, place), value in pixels.items():
        for o, tap, weight in _taps(conv.kernel[i]):
            at = tuple(
                s * p + d * k - c - b
                for s, p, d, k, c, b in zip(
                    conv.stride, place, conv.dilation, tap, conv.origin, start, strict=True
                )
            )
            if all(0 <= a < n for a, n in zip(at, size, strict=True)):
                y[(i // per_group * width + o, *at)] += weight * value
    return y


def _taps(row):
    return [(index[0], index[1:], float(w)) for index, w in np.ndenumerate(row) if w]


def sequence(first, second, image, border="zero"):
    """Run two convolutions; `border` says what the second one sees beyond its input image."""
    space = [-(-n // s) for n, s in zip(image.shape[1:], first.stride, strict=True)]
    size = [-(-n // s) for n, s in zip(space, second.stride, strict=True)]
    corner = tuple(-o for o in second.origin)
    span = tuple(
        s * (n - 1) + d * (k - 1) + 1
        for s, n, d, k in zip(
            second.stride, size, second.dilation, second.kernel.shape[2:], strict=True
        )
    )
    if border == "zero":
        return convolve(second, convolve(first, image))
    if border == "valid":
        return convolve(second, convolve(first, image, corner, span), size=size, corner=corner)
    seen = convolve(first, np.zeros_like(image), corner, span)
    inner = convolve(first, image)
    for index in product(*map(range, space)):
        at = tuple(i - c for i, c in zip(index, corner, strict=True))
        if all(0 <= a < n for a, n in zip(at, span, strict=True)):
            seen[(slice(None), *at)] = inner[(slice(None), *index)]
    return convolve(second, seen, size=size, corner=corner)


def spread(conv, x, stride):
    """Run a branch of a sum; one without spatial axes runs wherever the others write."""
    if conv.rank == x.ndim - 1:
        return convolve(conv, x)
    seen = x[(slice(None), *(slice(None, None, s) for s in stride))]
    flat = seen.reshape(len(seen), -1)
    columns = [convolve(conv, flat[:, n]) for n in range(flat.shape[1])]
    return np.stack(columns, axis=1).reshape(-1, *seen.shape[1:])


def batch_norm(y, running_mean, running_var, weight=None, bias=None, *, eps):
    """Apply the definition channel by channel."""
    out = np.empty_like(y)
    for c, channel in enumerate(y):
        gamma = 1.0 if weight is None else float(weight[c])
        beta = 0.0 if bias is None else float(bias[c])
        root = np.sqrt(float(running_var[c]) + eps)
        out[c] = gamma * (channel - float(running_mean[c])) / root + beta
    return out
