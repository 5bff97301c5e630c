"""Moving the taps of a kernel without changing what it computes: pad, dilate, regroup, align."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from reparam.errors import ShapeError
from reparam.linear import Conv, make, per_axis

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from reparam.linear import Array, Axes


def dilate_kernel(conv: Conv) -> Conv:
    """Write a dilated kernel as a dense one: `W'[..., d*k] = W[..., k]`, zero in between.

    Exact. Families: UniRepLKNet's dilated branches (Ding et al., 2024, arXiv:2311.15599, eq. 1).

    Args:
        conv: Any convolution; `(out, in // groups, *space)` with its dilation per axis.

    Returns:
        The same function with `dilation` 1 and `d * (k - 1) + 1` taps per axis.

    Example:
        >>> dilate_kernel(Conv([[[1, 2, 3]]], dilation=2)).kernel
        array([[[1., 0., 2., 0., 3.]]])
    """
    size = extent(conv)
    kernel = np.zeros(conv.kernel.shape[:2] + size)
    spread: tuple[Any, ...] = (..., *(slice(None, None, d) for d in conv.dilation))
    kernel[spread] = conv.kernel
    return make(kernel, conv.bias.copy(), conv, groups=conv.groups, dilation=(1,) * conv.rank)


def pad_kernel(conv: Conv, kernel_size: Sequence[int], origin: Sequence[int] | None = None) -> Conv:
    """Embed a kernel in a larger one of zeros, so that every tap keeps its offset.

    `W'[..., k + origin' - origin] = W[..., k]` (RepVGG, Ding et al., 2021, arXiv:2101.03697, §3.3:
    a 1x1 kernel is a 3x3 kernel with zeros around its centre). Exact, also for even and
    asymmetric kernels and for the strided `same` padding of TensorFlow, where `origin` is not the
    centre.

    Args:
        conv: The kernel to embed; dilated kernels are written out first.
        kernel_size: Taps per spatial axis of the result.
        origin: The result's tap that meets the output position; None centres it.

    Returns:
        The same function with `kernel_size` taps at dilation 1.

    Raises:
        ShapeError: A tap would fall outside the larger kernel.

    Example:
        >>> pad_kernel(Conv([[[7]]]), (3,)).kernel
        array([[[0., 7., 0.]]])
    """
    size = per_axis("kernel_size", kernel_size, conv.rank, least=1)
    place = tuple((k - 1) // 2 for k in size)
    if origin is not None:
        place = per_axis("origin", origin, conv.rank, least=0)
    kernel = np.zeros(conv.kernel.shape[:2] + size)
    taps: tuple[Any, ...] = (..., *taps_within(conv, size, place))
    kernel[taps] = conv.kernel
    ones = (1,) * conv.rank
    return make(kernel, conv.bias.copy(), conv, groups=conv.groups, dilation=ones, origin=place)


def taps_within(conv: Conv, size: Axes, origin: Axes) -> tuple[slice, ...]:
    """Where the taps of `conv` fall in a dense kernel of `size` taps with the given `origin`.

    Raises:
        ShapeError: Some tap falls outside.
    """
    first = [new - old for new, old in zip(origin, conv.origin, strict=True)]
    last = [f + e for f, e in zip(first, extent(conv), strict=True)]
    if any(f < 0 for f in first) or any(e > k for e, k in zip(last, size, strict=True)):
        raise ShapeError(
            f"a kernel of {extent(conv)} pixels with origin {conv.origin} does not fit in "
            f"{size} taps with origin {origin}. Give a larger kernel_size or another origin."
        )
    return tuple(slice(f, e, d) for f, e, d in zip(first, last, conv.dilation, strict=True))


def extent(conv: Conv) -> Axes:
    """Pixels a kernel spans per axis: `dilation * (taps - 1) + 1`."""
    return tuple(d * (k - 1) + 1 for d, k in zip(conv.dilation, conv.space, strict=True))


def common_frame(branches: Sequence[Conv]) -> tuple[Axes, Axes]:
    """Return size and origin of the smallest dense kernel that holds every branch's taps."""
    origins = list(zip(*(b.origin for b in branches), strict=True))
    ends = zip(
        *(tuple(e - o for e, o in zip(extent(b), b.origin, strict=True)) for b in branches),
        strict=True,
    )
    origin = tuple(max(axis) for axis in origins)
    return tuple(o + max(end) for o, end in zip(origin, ends, strict=True)), origin


def lift(conv: Conv, rank: int, stride: Axes | None = None) -> Conv:
    """Give a layer without spatial axes `rank` of them, as a pointwise map.

    Args:
        conv: A layer with `rank` axes, which is returned as it is, or with none.
        rank: Spatial axes wanted.
        stride: Step of the result; it samples the input where its neighbours do.

    Raises:
        ShapeError: The layer has another number of spatial axes.
    """
    if conv.rank == rank:
        return conv
    if conv.rank:
        raise ShapeError(f"a {conv.rank}-D and a {rank}-D convolution cannot be combined.")
    kernel = conv.kernel.reshape(conv.kernel.shape + (1,) * rank)
    return make(kernel, conv.bias, groups=conv.groups, stride=stride, transposed=conv.transposed)


def group_view(kernel: Array, groups: int, finer: int) -> Array:
    """View the blocks of a `groups`-grouped kernel that a `finer`-grouped one occupies.

    Args:
        kernel: `(out, in // groups, *space)`.
        groups: Its number of groups.
        finer: A multiple of `groups`.

    Returns:
        A writable view `(out, in // finer, *space)` split as `(groups, finer // groups,
        out // finer, in // finer, *space)`: writing to it writes the block diagonal of each group.
    """
    ratio = finer // groups
    out, width = kernel.shape[0] // finer, kernel.shape[1] // ratio
    split = kernel.reshape((groups, ratio, out, ratio, width, *kernel.shape[2:]))
    # numpy.einsum with a repeated index returns a view of the diagonal, the documented way to one
    diagonal: Any = np.einsum("gjojw...->gjow...", split)
    return diagonal  # type: ignore[no-any-return]


def regroup(conv: Conv, groups: int) -> Conv:
    """Write a grouped convolution with fewer groups, zeros filling what was unconnected.

    Args:
        conv: A convolution whose groups are a multiple of `groups`.
        groups: The number of groups wanted.

    Raises:
        ShapeError: `groups` does not divide the present number.
    """
    if conv.transposed:
        raise ShapeError("a transposed convolution cannot be written with other groups.")
    if groups < 1 or conv.groups % groups:
        raise ShapeError(
            f"a convolution of {conv.groups} groups cannot be written with {groups} groups."
        )
    kernel = np.zeros((conv.outputs, conv.inputs // groups, *conv.space))
    view = group_view(kernel, groups, conv.groups)
    view[...] = conv.kernel.reshape(view.shape)
    return make(kernel, conv.bias.copy(), conv, groups=groups)


def common_groups(branches: Iterable[Conv]) -> int:
    """Return the largest number of groups in which every branch can be written."""
    return math.gcd(*(b.groups for b in branches))
