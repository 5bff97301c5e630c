"""Layers as convolutions: batch norm, per-channel scale, identity and average pool."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from reparam.errors import BorderError, ShapeError
from reparam.geometry import lift, pad_kernel, regroup
from reparam.linear import Conv, check_finite, checked, make, per_axis
from reparam.norm import make_norm

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from reparam.linear import Array
    from reparam.norm import Norm


def fuse_conv_bn(
    conv: Conv,
    running_mean: ArrayLike,
    running_var: ArrayLike,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    *,
    eps: float,
) -> Conv:
    """Fold a batch normalization into the convolution before it.

    `W' = W * s`, `b' = bias + (b - running_mean) * s` with `s = weight / sqrt(running_var + eps)`
    per output channel (RepVGG, Ding et al., 2021, arXiv:2101.03697, eq. 3). Exact everywhere, for
    every stride, dilation, group and padding, and for transposed convolutions.

    Args:
        conv: The layer before, `out` output channels.
        running_mean: `(out,)`, any real dtype.
        running_var: `(out,)`.
        weight: `(out,)` or None for ones.
        bias: `(out,)` or None for zeros.
        eps: The norm's constant; it is never stored in a checkpoint, so there is no default.

    Returns:
        The convolution that computes both layers.

    Raises:
        ShapeError: A vector does not have one entry per output channel.
        NumericError: A value is not finite or `running_var + eps` is not positive.

    Example:
        >>> conv = Conv([[[2.0]]], bias=[1.0])
        >>> fused = fuse_conv_bn(conv, [3.0], [3.75], [4.0], [5.0], eps=0.25)
        >>> fused.kernel, fused.bias
        (array([[[4.]]]), array([1.]))
    """
    return checked(apply_norm(conv, make_norm(running_mean, running_var, weight, bias, eps)))


@np.errstate(all="ignore")  # an overflow leaves infinity, which the callers refuse by name
def apply_norm(conv: Conv, norm: Norm) -> Conv:
    """Fold statistics that are already checked, see `fuse_conv_bn`."""
    if norm.scale.shape != (conv.outputs,):
        raise ShapeError(
            f"a norm of {norm.scale.size} channels after a convolution of {conv.outputs} outputs."
        )
    kernel = _per_output(conv, norm.scale)
    return make(kernel, norm.shift(conv.bias), conv, groups=conv.groups)


def channel_scale(scale: ArrayLike, bias: ArrayLike | None = None) -> Conv:
    """Return the per-channel map `y = scale * x + bias` as a depthwise layer.

    Args:
        scale: `(channels,)`.
        bias: `(channels,)` or None for zeros.

    Example:
        >>> channel_scale([2.0, 3.0]).groups
        2
    """
    factors = np.array(scale, dtype=np.float64)
    return Conv(factors.reshape(-1, 1), bias, groups=factors.size)


@np.errstate(all="ignore")
def scale_outputs(conv: Conv, factor: float | Array) -> Conv:
    """Multiply every output by a number, or each by its own: `W' = f * W`, `b' = f * b`."""
    factors = np.broadcast_to(np.asarray(factor, dtype=np.float64), (conv.outputs,))
    check_finite(factors.copy(), "scale")
    return make(_per_output(conv, factors), conv.bias * factors, conv, groups=conv.groups)


@np.errstate(all="ignore")
def shift_outputs(conv: Conv, shift: Array) -> Conv:
    """Add a number to every output, or to each its own: `b' = b + v`."""
    return make(conv.kernel, conv.bias + shift, conv, groups=conv.groups)


def identity_kernel(channels: int, kernel_size: Sequence[int] = (), groups: int = 1) -> Conv:
    """Return the convolution that copies its input.

    `W[o, i] = 1` at the centre where `i == o mod (channels // groups)`, else 0 (RepVGG, §3.3: the
    identity is a 1x1 convolution with an identity matrix). The modulus is what makes it right for
    grouped convolutions, whose kernels index inputs within a group.

    Args:
        channels: Input and output channels.
        kernel_size: Taps per spatial axis, all odd.
        groups: Number of groups of the kernel to write.

    Raises:
        ShapeError: `groups` does not divide `channels`, or an axis has no centre.

    Example:
        >>> identity_kernel(4, (1,), groups=2).kernel[..., 0]
        array([[1., 0.],
               [0., 1.],
               [1., 0.],
               [0., 1.]])
    """
    if channels < 1 or groups < 1 or channels % groups:
        raise ShapeError(f"groups={groups} does not divide {channels} channels.")
    if not all(k % 2 for k in kernel_size):
        raise ShapeError(f"kernel_size={tuple(kernel_size)}: an identity needs a centre tap.")
    point = regroup(channel_scale(np.ones(channels)), groups)
    rank = len(kernel_size)
    return pad_kernel(lift(point, rank), kernel_size)


def average_pool(
    channels: int, kernel_size: Sequence[int], *, count_include_pad: bool = True
) -> Conv:
    """Return an average pool at stride 1 as a depthwise convolution: `W = 1 / taps` everywhere.

    Diverse Branch Block (Ding et al., 2021, arXiv:2103.13425, transform V).

    Args:
        channels: Input and output channels.
        kernel_size: Taps per spatial axis.
        count_include_pad: Whether padded zeros count in the average.

    Raises:
        BorderError: `count_include_pad` is false: the divisor then depends on the position.
        ShapeError: An axis has no taps, or there are no channels.

    Example:
        >>> average_pool(1, (2,)).kernel
        array([[[0.5, 0.5]]])
    """
    if not count_include_pad:
        raise BorderError(
            "an average pool with count_include_pad=False divides by fewer taps along the border; "
            "no convolution does that. Only the interior of the image would agree."
        )
    size = per_axis("kernel_size", kernel_size, len(kernel_size), least=1)
    taps = float(np.prod(size))
    return Conv(np.full((channels, 1, *size), 1.0 / taps), groups=channels)


def scale_rows(kernel: NDArray[Any], factors: Array) -> Array:
    """Multiply the rows of a kernel `(out, ...)` of any float dtype by factors, in float64."""
    if kernel.dtype.itemsize <= 2:  # noqa: PLR2004  bfloat16 and float8 have no loop of their own
        kernel = kernel.astype(np.float32)
    flat = kernel.reshape(len(kernel), -1)
    scaled: Array = np.multiply(flat, factors[:, None], dtype=np.float64, order="C")
    return scaled.reshape(kernel.shape)


def _per_output(conv: Conv, factors: Array) -> Array:
    """Multiply the kernel of every output channel by its factor."""
    kernel = conv.kernel
    if not conv.transposed:
        return scale_rows(kernel, factors)
    # (in, out // groups): the outputs of a group lie beside the inputs of the same group
    split = kernel.reshape((conv.groups, -1, *kernel.shape[1:]))
    aligned = factors.reshape((conv.groups, 1, -1) + (1,) * conv.rank)
    return (split * aligned).reshape(kernel.shape)
