"""The one record of the algebra, a convolution on the integer lattice, and its geometry.

Tap `k` of a kernel sits at the offset `dilation * k - origin` from the output position. `origin` is
the padding before, and it replaces "padding" throughout: a sum of branches aligns offsets, a
sequence adds them. A layer with no spatial axes is a linear layer; it may join branches of any
rank, because a pointwise map samples only the output position itself.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from reparam.errors import NumericError, ShapeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

Array = NDArray[np.float64]
Axes = tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False, init=False)
class Conv:
    """A convolution, or with no spatial axes a linear layer, in float64.

    `y[o, p] = bias[o] + sum(kernel[o, i, k] * x[group(o) + i, stride * p + dilation * k - origin])`

    with `x` zero outside the image (cross-correlation, as every framework computes it).

    Args:
        kernel: `(out, in // groups, *space)`; for a transposed convolution
            `(in, out // groups, *space)`. Any real dtype, byte order or memory layout; copied.
        bias: `(out,)`, or None for zeros.
        groups: Number of groups.
        stride: Step per spatial axis, or one for all.
        dilation: Distance of taps per spatial axis, or one for all.
        origin: The tap position, in pixels, that meets the output position; the padding before.
            None centres the kernel: `dilation * (size - 1) // 2`.
        transposed: Whether this is a transposed convolution.

    Raises:
        ShapeError: The operands do not describe a convolution.
        NumericError: The kernel or the bias holds NaN or infinity.

    Example:
        >>> Conv([[[1, 2, 3]]]).origin
        (1,)
    """

    kernel: Array
    bias: Array
    groups: int
    stride: Axes
    dilation: Axes
    origin: Axes
    transposed: bool

    def __init__(  # noqa: PLR0917  every setting of a convolution, in the usual order
        self,
        kernel: ArrayLike,
        bias: ArrayLike | None = None,
        groups: int = 1,
        stride: int | Sequence[int] = 1,
        dilation: int | Sequence[int] = 1,
        origin: int | Sequence[int] | None = None,
        transposed: bool = False,  # noqa: FBT001, FBT002  a field, read by name
    ) -> None:
        taps = np.array(kernel, dtype=np.float64, order="C")
        if taps.ndim < 2 or not taps.size:  # noqa: PLR2004  out and in
            raise ShapeError(
                f"kernel of shape {taps.shape}: expected (out, in // groups, *space), none empty."
            )
        rank = taps.ndim - 2
        if groups < 1 or taps.shape[0] % groups:
            raise ShapeError(
                f"groups={groups} does not divide the {taps.shape[0]} channels of axis 0 "
                f"of a kernel of shape {taps.shape}."
            )
        out = taps.shape[1] * groups if transposed else taps.shape[0]
        added = np.zeros(out) if bias is None else np.array(bias, dtype=np.float64, order="C")
        if added.shape != (out,):
            raise ShapeError(f"bias of shape {added.shape}: expected ({out},), one per output.")
        step = per_axis("stride", stride, rank, least=1)
        spread = per_axis("dilation", dilation, rank, least=1)
        if origin is None:
            origin = [d * (k - 1) // 2 for d, k in zip(spread, taps.shape[2:], strict=True)]
        place = per_axis("origin", origin, rank, least=0)
        _fill(self, check_finite(taps, "kernel"), check_finite(added, "bias"), groups)
        object.__setattr__(self, "stride", step)
        object.__setattr__(self, "dilation", spread)
        object.__setattr__(self, "origin", place)
        object.__setattr__(self, "transposed", bool(transposed))

    @property
    def outputs(self) -> int:
        """Number of output channels."""
        return len(self.bias)

    @property
    def inputs(self) -> int:
        """Number of input channels."""
        shape: Axes = self.kernel.shape
        return shape[0] if self.transposed else shape[1] * self.groups

    @property
    def space(self) -> Axes:
        """Taps per spatial axis."""
        return self.kernel.shape[2:]

    @property
    def rank(self) -> int:
        """Number of spatial axes."""
        return self.kernel.ndim - 2

    @property
    def pointwise(self) -> bool:
        """Whether the output at a position depends on the input at that position only."""
        return all(k == 1 for k in self.space) and not any(self.origin)


def make(
    kernel: Array,
    bias: Array,
    like: Conv | None = None,
    *,
    groups: int = 1,
    dilation: Axes | None = None,
    origin: Axes | None = None,
    stride: Axes | None = None,
    transposed: bool = False,
) -> Conv:
    """Wrap freshly computed arrays without copying; geometry not given comes from `like`."""
    conv = object.__new__(Conv)
    rank = kernel.ndim - 2
    _fill(conv, kernel, bias, groups)
    plain = (1,) * rank
    object.__setattr__(conv, "stride", stride or (like.stride if like else plain))
    object.__setattr__(conv, "dilation", dilation or (like.dilation if like else plain))
    fallback = like.origin if like else (0,) * rank
    object.__setattr__(conv, "origin", fallback if origin is None else origin)
    object.__setattr__(conv, "transposed", like.transposed if like else transposed)
    return conv


def check_finite(values: NDArray[Any], what: str, first: int = 0) -> NDArray[Any]:
    """Return `values`, or refuse them when any entry is NaN or infinite.

    Args:
        values: Of any real dtype.
        what: Name for the message.
        first: Index along axis 0 of the first row, where `values` are some rows of a tensor.

    Raises:
        NumericError: Naming the first such entry.
    """
    good = np.isfinite(values)
    if not good.all():
        index = tuple(int(i) for i in np.argwhere(~good)[0])
        where = [index[0] + first, *index[1:]] if index else []
        raise NumericError(
            f"{what}{where} is {values[index]}. "
            "Only finite weights can be fused; restore the tensor from a healthy checkpoint."
        )
    return values


def checked(conv: Conv) -> Conv:
    """Return a result, or refuse it when an operation overflowed float64.

    Raises:
        NumericError: Naming the first entry that is not finite.
    """
    check_finite(conv.kernel, "kernel")
    check_finite(conv.bias, "bias")
    return conv


def per_axis(what: str, value: int | Sequence[int], rank: int, *, least: int) -> Axes:
    """Spell a setting out per spatial axis."""
    try:
        axes = tuple(map(operator.index, value if isinstance(value, Iterable) else (value,) * rank))
    except TypeError:  # 1.5 is no number of pixels
        axes = ()
    if len(axes) != rank or any(v < least for v in axes):
        raise ShapeError(f"{what}={value}: expected {rank} whole numbers of at least {least}.")
    return axes


def _fill(conv: Conv, kernel: Array, bias: Array, groups: int) -> None:
    object.__setattr__(conv, "kernel", kernel)
    object.__setattr__(conv, "bias", bias)
    object.__setattr__(conv, "groups", groups)
