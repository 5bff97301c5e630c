"""The algebra of structural re-parameterization: functions from convolutions to convolutions.

Every function is exact in real arithmetic on every image, borders included, or raises
`BorderError`; it computes in float64 and never touches its arguments. None uses a BLAS reduction,
so results are the same bytes on every machine.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from reparam.errors import BorderError, ShapeError
from reparam.geometry import (
    common_frame,
    common_groups,
    dilate_kernel,
    extent,
    group_view,
    lift,
    regroup,
    taps_within,
)
from reparam.linear import Conv, checked, make

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reparam.linear import Array

Border = Literal["zero", "image", "valid"]
"""What the second convolution of a sequence sees beyond the border of its input image:
`zero`: zeros, the usual padding; `image`: what the first layer makes of zeros (DBB's BNAndPad);
`valid`: nothing, only the input of the sequence is padded."""


def sum_branches(branches: Iterable[Conv]) -> Conv:
    """Add parallel branches that read the same input: `W' = sum(W)`, `b' = sum(b)`.

    Kernels are aligned by `origin`, dilated ones written out, and branches of different groups
    brought to common groups (a depthwise and a dense branch make a dense kernel). Exact
    everywhere (RepVGG, §3.3: additivity of convolution).

    Args:
        branches: Convolutions with the same inputs, outputs and stride. Layers without spatial
            axes are taken as pointwise maps.

    Returns:
        One convolution at dilation 1, or at the common dilation when all branches share it along
        with kernel size and origin.

    Raises:
        ShapeError: The branches do not compose.

    Example:
        >>> from reparam import Conv, identity_kernel
        >>> both = sum_branches([Conv([[[1, 2, 3]]]), identity_kernel(1)])
        >>> both.kernel
        array([[[1., 3., 3.]]])
    """
    terms = list(branches)
    if not terms:
        raise ShapeError("a sum needs at least one branch.")
    first = terms[0]
    mine = make(first.kernel.copy(), first.bias.copy(), first, groups=first.groups)
    return checked(sum_owned([mine, *terms[1:]]))


@np.errstate(all="ignore")  # an overflow leaves infinity, which the callers refuse by name
def sum_owned(branches: list[Conv]) -> Conv:
    """Sum branches as `sum_branches` does, but use up the first one's arrays where they fit."""
    terms = _lift_all(branches)
    first, rank = terms[0], terms[0].rank
    for term in terms[1:]:
        _check_parallel(first, term, ("inputs", "outputs", "stride", "transposed"))
    groups = common_groups(terms)
    if first.transposed and any(t.groups != groups for t in terms):
        raise ShapeError("transposed convolutions of different groups cannot be summed.")
    alike = {(t.space, t.dilation, t.origin) for t in terms}
    if len(alike) == 1:
        size, dilation, origin = first.space, first.dilation, first.origin
        places = [(slice(None),) * rank] * len(terms)
    else:
        (size, origin), dilation = common_frame(terms), (1,) * rank
        places = [taps_within(t, size, origin) for t in terms]
    kernel, bias = first.kernel, first.bias
    if first.space != size or first.groups != groups:
        width = first.kernel.shape[1] * first.groups // groups
        kernel = np.zeros((first.kernel.shape[0], width, *size))
        _add(kernel, first, groups, places[0])
    for term, place in zip(terms[1:], places[1:], strict=True):
        _add(kernel, term, groups, place)
        bias += term.bias
    kernel += 0.0  # -0.0 becomes 0.0: its sign would tell which taps were added to, and how
    return make(kernel, bias, first, groups=groups, dilation=dilation, origin=origin)


def _add(kernel: Array, term: Conv, groups: int, place: tuple[slice, ...]) -> None:
    """Add a branch to the taps and input channels of a kernel that it occupies."""
    index: tuple[Any, ...] = (..., *place)
    view = group_view(kernel, groups, term.groups)[index]
    view += term.kernel.reshape(view.shape)


@np.errstate(all="ignore")  # an overflow leaves infinity, which is refused by name
def merge_sequential(first: Conv, second: Conv, *, border: Border = "zero") -> Conv:
    """Compose two convolutions: `second(first(x))` as one.

    `W'[o, i, j + s*k] = sum over m of W2[o, m, k] * W1[m, i, j]`, `b' = b2 + sum W2 * b1`
    (Diverse Branch Block, arXiv:2103.13425, transform III). Offsets add, `s` is the stride of
    `first`.

    Exact everywhere when `second` is pointwise; when on every axis one of them is (1x3 then 3x1
    too) and the intermediate image is padded with `first(0)` (`border="image"`), or with zeros and
    `first` has no bias; and for any two layers when only the input is padded (`border="valid"`).

    Args:
        first: The layer that reads the input.
        second: The layer that reads the output of `first`.
        border: What `second` sees beyond the intermediate image.

    Returns:
        One convolution at dilation 1; its `origin` is the padding it needs.

    Raises:
        BorderError: Only the interior of the image would agree, or `border` is none of the above.
        ShapeError: The channels do not compose, or a layer is transposed.

    Example:
        >>> merge_sequential(Conv([[[2]]]), Conv([[[1, 2, 3]]])).kernel
        array([[[2., 4., 6.]]])
    """
    if first.transposed or second.transposed:
        raise ShapeError("a transposed convolution composes with a norm or a scale only.")
    rank = max(first.rank, second.rank)
    first, second = lift(first, rank), lift(second, rank)
    if first.outputs != second.inputs:
        raise ShapeError(
            f"the second layer reads {second.inputs} channels, the first writes {first.outputs}."
        )
    _check_border(first, second, border)
    groups = common_groups([first, second])
    step = tuple(
        a * b for a, b in zip(first.stride, second.dilation, strict=True)
    )  # distance of the second layer's taps in input pixels
    inner = dilate_kernel(regroup(first, groups))
    outer = regroup(second, groups)
    size = tuple(e + s * (k - 1) for e, s, k in zip(extent(inner), step, outer.space, strict=True))
    kernel = np.zeros((outer.outputs, inner.kernel.shape[1], *size))
    target = kernel.reshape((groups, -1, *kernel.shape[1:]))
    upper = outer.kernel.reshape((groups, -1, *outer.kernel.shape[1:]))
    lower = inner.kernel.reshape((groups, -1, *inner.kernel.shape[1:]))
    bias = second.bias.copy()
    passed = inner.bias.reshape(groups, -1)
    for tap in itertools.product(*(range(k) for k in outer.space)):
        place: tuple[Any, ...] = (..., *tap)
        window: tuple[Any, ...] = (
            ...,
            *(slice(s * t, s * t + e) for s, t, e in zip(step, tap, extent(inner), strict=True)),
        )
        _accumulate(target[window], upper[place], lower)
        _accumulate(bias.reshape(groups, -1), upper[place], passed)
    merged = make(
        kernel,
        bias,
        groups=groups,
        dilation=(1,) * rank,
        origin=tuple(
            a + s * b for a, s, b in zip(first.origin, first.stride, second.origin, strict=True)
        ),
        stride=tuple(a * b for a, b in zip(first.stride, second.stride, strict=True)),
    )
    return checked(merged)


def concat_branches(branches: Iterable[Conv]) -> Conv:
    """Stack the outputs of branches that read the same input.

    `W' = concatenate(W)`, `b' = concatenate(b)` along the output channels (Diverse Branch Block,
    arXiv:2103.13425, transform IV). Grouped branches are written out densely first.

    Args:
        branches: Convolutions with the same inputs and stride.

    Returns:
        One dense convolution with the outputs of all, in order.

    Raises:
        ShapeError: The branches do not read the same input in the same steps.

    Example:
        >>> concat_branches([Conv([[[1]]]), Conv([[[1, 2, 3]]])]).kernel[:, 0]
        array([[0., 1., 0.],
               [1., 2., 3.]])
    """
    terms = list(branches)
    if not terms:
        raise ShapeError("a concatenation needs at least one branch.")
    terms = [regroup(t, 1) for t in _lift_all(terms)]
    rank = terms[0].rank
    for term in terms[1:]:
        _check_parallel(terms[0], term, ("inputs", "stride", "transposed"))
    size, origin = common_frame(terms)
    kernel = np.zeros((sum(t.outputs for t in terms), terms[0].inputs, *size))
    start = 0
    for term in terms:
        rows = slice(start, start + term.outputs)
        kernel[(rows, slice(None), *taps_within(term, size, origin))] = term.kernel
        start += term.outputs
    bias = np.concatenate([t.bias for t in terms])
    return make(kernel, bias, terms[0], dilation=(1,) * rank, origin=origin)


def _accumulate(target: Array, upper: Array, lower: Array) -> None:
    """Add `upper @ lower` per group in a fixed order: BLAS orders differ between machines.

    Args:
        target: `(groups, out, ...)`.
        upper: `(groups, out, middle)`.
        lower: `(groups, middle, ...)`.
    """
    for middle in range(upper.shape[2]):
        factors = upper[:, :, middle].reshape(upper.shape[:2] + (1,) * (lower.ndim - 2))
        target += factors * lower[:, middle, None]


def _lift_all(terms: list[Conv]) -> list[Conv]:
    """Bring layers without spatial axes to the rank and stride of the others."""
    model = max(terms, key=lambda t: t.rank)
    return [lift(t, model.rank, model.stride) for t in terms]


def _check_parallel(first: Conv, other: Conv, fields: tuple[str, ...]) -> None:
    for what in fields:
        mine, yours = getattr(first, what), getattr(other, what)
        if mine != yours:
            raise ShapeError(f"branches disagree on {what}: {mine} and {yours}.")


def _looks_aside(conv: Conv) -> list[bool]:
    """Return, per axis, whether an output depends on other positions of the input."""
    return [k > 1 or o != 0 for k, o in zip(conv.space, conv.origin, strict=True)]


def _check_border(first: Conv, second: Conv, border: Border) -> None:
    if border not in get_args(Border):
        raise BorderError(f"border={border!r}: expected one of {', '.join(get_args(Border))}.")
    if second.pointwise or border == "valid":
        return
    # on an axis along which only one of them looks sideways, the other is a pointwise map
    if any(a and b for a, b in zip(_looks_aside(first), _looks_aside(second), strict=True)):
        raise BorderError(
            "a padded convolution after another padded convolution: along the border the second "
            "one reads zeros where a single convolution would read the first one's output. "
            "Exact only when the input alone is padded (border='valid')."
        )
    if border == "zero" and first.bias.any():
        raise BorderError(
            "a zero-padded convolution after a layer with a bias: the first layer maps zero to "
            "its bias, the padding stays zero. Exact only when the padding holds that bias "
            "(border='image') or only the input is padded (border='valid')."
        )
