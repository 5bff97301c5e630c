"""Strategies for single layers of dyadic numbers, on which float64 is exact.

Weights and pixels are whole numbers in [-4, 4]; variances are `4**j - eps`, so that the root is a
power of two; scales are in {+-1/2, 1, 2, 3}, means and shifts are halves and quarters. Shapes are
drawn one by one, arrays from a drawn seed: examples are made fast and shrink on their shapes.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import strategies as st

from reparam.console import counted
from reparam.linear import Conv

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hypothesis.strategies import SearchStrategy
    from numpy.typing import ArrayLike, NDArray

    Draw = Callable[[SearchStrategy[Any]], Any]
    Axes = tuple[int, ...]

seeds = st.integers(0, 2**32 - 1).map(np.random.default_rng)
"""Generators; arrays are drawn as one number."""

ranks = st.sampled_from([2, 1, 0, 3])
"""Numbers of spatial axes."""

COUNTS = (4, 2, 6, 1)
channel_counts = st.sampled_from(COUNTS)
"""Such that layers may be grouped, and widths differ."""

EPS = (2.0**-4, 2.0**-6, 2.0**-10, 0.0)
"""Constants with which `4**j - eps` is a float32."""


class StateDict(dict[str, "NDArray[Any]"]):
    """Tensors by name; printed as names, dtypes and shapes, since numbers would fill pages."""

    def __repr__(self) -> str:
        described = (f"{name!r}: {v.dtype.name}{list(v.shape)}" for name, v in self.items())
        return f"{{{', '.join(described)}}}"


@st.composite
def integers(draw: Draw, shape: Axes) -> NDArray[np.float32]:
    """Arrays of whole numbers in [-4, 4].

    Args:
        draw: Given by Hypothesis.
        shape: Of the array.

    Returns:
        A strategy for float32 arrays.

    Example:
        >>> from hypothesis import find
        >>> find(integers((2, 3)), lambda a: a.min() < 0).shape
        (2, 3)
    """
    values: NDArray[Any] = draw(seeds).integers(-4, 5, shape)
    return values.astype(np.float32)


@st.composite
def images(
    draw: Draw, channels: int, rank: int, least: int = 1, most: int = 6
) -> NDArray[np.float64]:
    """Images of whole numbers in [-4, 4].

    Args:
        draw: Given by Hypothesis.
        channels: Number of channels.
        rank: Number of spatial axes.
        least: Fewest pixels per axis.
        most: Most pixels per axis; 3 if there are three axes or more. `least` has precedence.

    Returns:
        A strategy for float64 arrays `(channels, *space)`.

    Example:
        >>> from hypothesis import find
        >>> find(images(3, rank=2, least=5), lambda x: x.any()).shape
        (3, 5, 5)
    """
    end = min(most, 3) if rank > 2 else most  # noqa: PLR2004  volumes are slow
    space = [draw(st.integers(least, max(least, end))) for _ in range(rank)]
    whole: NDArray[np.float32] = draw(integers((channels, *space)))
    return whole.astype(np.float64)


@st.composite
def geometries(draw: Draw, rank: int, dilations: int = 2) -> tuple[Axes, Axes, Axes]:
    """Taps, dilation and origin per axis: even, not square, rarely centred."""
    size = [draw(st.integers(1, 3)) for _ in range(rank)]
    dilation = [draw(st.integers(1, dilations)) for _ in range(rank)]
    origin = [draw(st.integers(0, d * (k - 1) + 1)) for k, d in zip(size, dilation, strict=True)]
    return tuple(size), tuple(dilation), tuple(origin)


@st.composite
def group_counts(draw: Draw, inputs: int, outputs: int) -> int:
    """Numbers of groups, at most 6, that divide both counts of channels."""
    fit = [g for g in range(1, 7) if inputs % g == 0 == outputs % g]
    return int(draw(st.sampled_from(fit)))


@st.composite
def convs(
    draw: Draw,
    rank: int | None = None,
    inputs: int | None = None,
    outputs: int | None = None,
    *,
    kernel_size: int | Sequence[int] | None = None,
    groups: int | None = None,
    bias: ArrayLike | bool | None = None,
    stride: int | Sequence[int] | None = None,
    dilation: int | Sequence[int] | None = None,
    origin: int | Sequence[int] | None = None,
    transposed: bool = False,
) -> Conv:
    """Convolutions and linear layers of dyadic numbers; whatever is None is drawn.

    What tends to go wrong is drawn often: as many outputs as inputs, and another number; kernels
    that are even and not square; groups, also with several outputs for one input; an origin, the
    padding before, that is not the centre; strides, dilations, no bias.

    Args:
        draw: Given by Hypothesis.
        rank: Number of spatial axes, from 0, which is a linear layer, to 3. A sequence among the
            arguments tells it too.
        inputs: Number of input channels.
        outputs: Number of output channels.
        kernel_size: Taps per axis.
        groups: Number of groups; must divide both numbers of channels.
        bias: True, False, or the bias itself.
        stride: Per axis, or one for all.
        dilation: Per axis, or one for all.
        origin: The tap that meets the output position, per axis, in pixels.
        transposed: Whether to draw transposed convolutions.

    Returns:
        A strategy for `reparam.Conv`.

    Raises:
        ValueError: `groups` does not divide a number of channels, or a sequence has not one number
            per axis.

    Example:
        >>> from hypothesis import given
        >>> import reparam
        >>> @given(convs(rank=2, groups=1, stride=1))
        ... def test(conv):
        ...     size = [k + 2 for k in conv.space]
        ...     origin = [o + 1 for o in conv.origin]
        ...     if conv.dilation == (1, 1):
        ...         assert reparam.pad_kernel(conv, size, origin).kernel.sum() == conv.kernel.sum()
        >>> test()
    """
    for what, count in {"inputs": inputs, "outputs": outputs}.items():
        if groups and count and count % groups:
            raise ValueError(f"groups={groups}: expected a divisor of {what}={count}.")
    given = {"kernel_size": kernel_size, "stride": stride, "dilation": dilation, "origin": origin}
    axes = _rank(rank, given)
    axes = draw(ranks) if axes is None else axes
    counts = channel_counts if groups is None else st.sampled_from(_multiples(groups))
    into = inputs or draw(counts)
    out = outputs or draw(st.one_of(st.just(into), counts))
    parts = groups or draw(group_counts(into, out))
    size, spread, place = draw(geometries(axes))
    size = size if kernel_size is None else np.broadcast_to(np.array(kernel_size, int), axes)
    steps = tuple(draw(st.integers(1, 2)) for _ in range(axes))
    added = draw(integers((out,)))
    if isinstance(bias, bool) or bias is None:
        wanted = draw(st.booleans()) if bias is None else bias
        bias = added if wanted else None
    first, second = (into, out) if transposed else (out, into)
    return Conv(
        draw(integers((first, second // parts, *map(int, size)))),
        bias,
        groups=parts,
        stride=steps if stride is None else stride,
        dilation=spread if dilation is None else dilation,
        origin=place if origin is None else origin,
        transposed=transposed,
    )


@st.composite
def batch_norms(
    draw: Draw,
    channels: int,
    *,
    eps: float | None = None,
    affine: bool | None = None,
) -> dict[str, Any]:
    """The operands of `reparam.fuse_conv_bn`, of dyadic numbers.

    The statistics are never those of a fresh layer, and `weight`, `bias` or both may be None.

    Args:
        draw: Given by Hypothesis.
        channels: Number of channels.
        eps: The constant; drawn where None, from constants with which float32 holds the variances.
            With others, such as 1e-5, the root is a power of two up to rounding only.
        affine: True for both `weight` and `bias`, False for neither.

    Returns:
        A strategy for dicts of `running_mean`, `running_var`, `weight`, `bias`, float32 arrays of
        `(channels,)` or None, and `eps`.

    Example:
        >>> from hypothesis import given
        >>> import numpy as np, reparam
        >>> @given(batch_norms(3))
        ... def test(norm):
        ...     fused = reparam.fuse_conv_bn(reparam.Conv(np.eye(3)), **norm)
        ...     root = np.sqrt(norm["running_var"].astype(float) + norm["eps"])
        ...     weight = 1 if norm["weight"] is None else norm["weight"]
        ...     assert (np.diagonal(fused.kernel) * root == weight).all()
        >>> test()
    """
    rng = draw(seeds)
    constant = draw(st.sampled_from(EPS)) if eps is None else eps
    norm: dict[str, Any] = statistics(rng, channels, constant)
    absent = st.just(not affine) if affine is not None else st.booleans()
    for role in ("weight", "bias"):
        norm[role] = None if draw(absent) else norm[role]
    return norm | {"eps": constant}


def _rank(rank: int | None, given: dict[str, int | Sequence[int] | None]) -> int | None:
    """Return the number of axes that arguments tell, which have to agree."""
    for what, value in given.items():
        if value is None or isinstance(value, int):
            continue
        if rank is None:
            rank = len(value)
        if len(value) != rank:
            wanted = counted(rank, "number")
            raise ValueError(f"{what}={value}: expected {wanted}, one per spatial axis.")
    return rank


def _multiples(groups: int) -> list[int]:
    """Return counts of channels that can be divided into so many groups."""
    known = [count for count in COUNTS if count % groups == 0]
    return list(dict.fromkeys([*known, groups, 2 * groups]))


def statistics(rng: np.random.Generator, channels: int, eps: float) -> dict[str, NDArray[Any]]:
    """Return the tensors of a batch norm: variances `4**j - eps`, scales of either sign."""
    # the least j with 4**j > eps, but not less than -1
    least = max(-1, math.ceil(math.frexp(eps)[1] / 2)) if eps else -1
    tensors = {
        "running_mean": rng.integers(-8, 9, channels) / 2,
        "running_var": 4.0 ** rng.integers(least, least + 4, channels) - eps,
        "weight": rng.choice([-0.5, 0.5, 1, 2, 3], channels),
        "bias": rng.integers(-8, 9, channels) / 4,
    }
    return {role: values.astype(np.float32) for role, values in tensors.items()}
