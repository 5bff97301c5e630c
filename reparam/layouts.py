"""The axes of Keras weights and those of PyTorch, in which the rest of the package thinks.

| kind | Keras | PyTorch |
| --- | --- | --- |
| `conv` | `(*space, in // groups, out)` | `(out, in // groups, *space)` |
| `depthwise` | `(*space, in, multiplier)` | `(in * multiplier, 1, *space)` |
| `transposed` | `(*space, out, in)` | `(in, out, *space)` |
| `vector` | any | the same |

A `Dense` layer is a `conv` without spatial axes. Output channel `c * multiplier + m` of a depthwise
kernel is its entry `[..., c, m]`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from numpy.typing import NDArray

Kind = Literal["conv", "depthwise", "transposed", "vector"]

ROLES = {
    "kernel": "weight",
    "depthwise_kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
"""What Keras calls a variable, and its role in the names this package uses."""


def torch_shape(kind: Kind, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape in PyTorch order of a weight that Keras stores as `shape`."""
    if kind == "vector" or len(shape) < 2:  # noqa: PLR2004  no kernel
        return shape
    *space, first, last = shape
    return (first * last, 1, *space) if kind == "depthwise" else (last, first, *space)


def to_torch(kind: Kind, values: NDArray[Any]) -> NDArray[Any]:
    """Return a Keras weight in PyTorch order; a view where possible."""
    if kind == "vector" or values.ndim < 2:  # noqa: PLR2004  no kernel
        return values
    space = range(values.ndim - 2)
    if kind == "depthwise":
        turned = values.transpose(-2, -1, *space)
        return turned.reshape(-1, 1, *values.shape[:-2])
    return values.transpose(-1, -2, *space)


def to_keras(kind: Kind, values: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Return a weight in PyTorch order as Keras stores it; a view where possible.

    Args:
        kind: What it belongs to.
        values: In PyTorch order.
        shape: The shape that Keras expects.
    """
    if kind == "vector" or len(shape) < 2:  # noqa: PLR2004  no kernel
        return values
    if kind == "depthwise":
        split = values.reshape(*shape[-2:], *values.shape[2:])  # fused kernels may be larger
        return split.transpose(*range(2, len(shape)), 0, 1)
    return values.transpose(*range(2, len(shape)), 1, 0)
