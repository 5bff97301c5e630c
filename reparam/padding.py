"""The `same` padding of TensorFlow and Keras, whose place depends on the size of the image."""

from __future__ import annotations


def same_padding(size: int, kernel: int, stride: int = 1, dilation: int = 1) -> tuple[int, int]:
    """Return the pixels that `padding="same"` adds before and after one axis.

    `out = ceil(n / s)`, `total = max((out - 1) * s + (k - 1) * d + 1 - n, 0)`,
    `before = total // 2` (TensorFlow, "Notes on padding" of `tf.nn`; Keras pads alike on every
    backend). `before` is the `origin` of a `Conv`: with stride 2, a 1x1 kernel belongs at tap
    `before` of a 3x3 one, which is 0 for an even size and 1 for an odd one.

    Args:
        size: Pixels of the image along the axis.
        kernel: Taps of the kernel.
        stride: Its stride.
        dilation: Distance of its taps.

    Example:
        >>> same_padding(224, 3, stride=2), same_padding(225, 3, stride=2)
        ((0, 1), (1, 1))
    """
    outputs = -(-size // stride)
    total = max((outputs - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
    return total // 2, total - total // 2
