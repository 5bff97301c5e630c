"""A convolution over windows of one size, written as a linear map of their pixels."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from reparam.errors import ShapeError
from reparam.linear import Conv, make, per_axis

if TYPE_CHECKING:
    from collections.abc import Sequence


def conv_to_linear(conv: Conv, size: Sequence[int]) -> Conv:
    """Write a convolution that sees nothing but a window as a linear map of the window's pixels.

    `W'[(o, q), (i, p)] = W[o, i, k]` where tap `k` looks from pixel `q` at pixel `p`, that is
    `p = q + dilation * k - origin`, and 0 where none does; `b'[(o, q)] = b[o]` (RepMLP, Ding et
    al., 2021, arXiv:2105.01883, eq. 8-10: the kernel of a convolution applied to an identity
    matrix). Exact: the window is padded with zeros. Pixels are counted row by row.

    Args:
        conv: Stride 1; `(out, in // groups, *space)`.
        size: Pixels of the window per spatial axis.

    Returns:
        A layer without spatial axes, `(out * pixels, in // groups * pixels)`, with the same groups.

    Raises:
        ShapeError: The convolution is transposed, strided, or of another number of axes.

    Example:
        >>> conv_to_linear(Conv([[[1, 2, 3]]]), (3,)).kernel
        array([[2., 3., 0.],
               [1., 2., 3.],
               [0., 1., 2.]])
    """
    window = per_axis("size", size, conv.rank, least=1)
    if conv.transposed or any(s != 1 for s in conv.stride):
        raise ShapeError("a transposed or strided convolution does not map a window to itself.")
    pixels = int(np.prod(window))
    out, width = conv.kernel.shape[:2]
    kernel = np.zeros((out, *window, width, *window))
    for tap in itertools.product(*(range(k) for k in conv.space)):
        shift = [d * t - o for d, t, o in zip(conv.dilation, tap, conv.origin, strict=True)]
        for q in itertools.product(*(range(n) for n in window)):
            p = tuple(a + b for a, b in zip(q, shift, strict=True))
            if all(0 <= a < n for a, n in zip(p, window, strict=True)):
                pair: tuple[Any, ...] = (slice(None), *q, slice(None), *p)
                weights: tuple[Any, ...] = (..., *tap)
                kernel[pair] = conv.kernel[weights]
    matrix = kernel.reshape(out * pixels, width * pixels)
    return make(matrix, conv.bias.repeat(pixels), groups=conv.groups)
