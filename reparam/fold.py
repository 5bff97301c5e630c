"""The first reading of a bound expression: tensors to one convolution, by the algebra.

A fold may be asked for a slab of output channels. Every function of the algebra that recipes reach
through sums and norms works row by row, so a slab has the same bytes as the rows of the whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from reparam import operations as ops
from reparam.algebra import merge_sequential, sum_branches
from reparam.errors import NumericError
from reparam.exact import settle_bias, settle_kernel
from reparam.geometry import regroup
from reparam.layers import apply_norm, average_pool, channel_scale, scale_outputs
from reparam.linear import Conv, check_finite, make
from reparam.norm import Norm, make_norm
from reparam.rounding import round_to

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from reparam.linear import Array
    from reparam.operations import Operation, Read, Rows


@dataclass(frozen=True, slots=True)
class _Slab:
    """Some output channels of a branch, and the range of input channels its kernel covers."""

    conv: Conv
    inputs: Rows


def fold(op: Operation, read: Read, rows: Rows | None = None) -> Conv:
    """Read an operation as one convolution in float64.

    Args:
        op: A bound expression.
        read: Gives its tensors.
        rows: Output channels wanted, whole `operations.row_unit`s; None for all.

    Returns:
        The convolution for these outputs. Its inputs are the range `operations.reach` names.

    Raises:
        NumericError: Naming the tensor that is NaN, infinite, or not a valid variance.
        BorderError: A sequence would be wrong along the border of an image.
    """
    return _fold(op, read, rows or (0, ops.outputs(op))).conv


def fold_rounded(
    op: Operation, read: Read, dtypes: tuple[str, str], rows: Rows | None = None
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Fold and round once to the stored dtype.

    For a convolution with its norm every number is the nearest one to the exact result; for sums
    and sequences it is the float64 result rounded once (see the algebra page of the docs for the
    bound).

    Args:
        op: A bound expression.
        read: Gives its tensors.
        dtypes: Those of the kernel and of the bias.
        rows: As for `fold`.

    Returns:
        Kernel and bias of these outputs.

    Raises:
        NumericError: As `fold`, or a result that overflows its dtype.
    """
    conv = fold(op, read, rows)
    kernel, bias = conv.kernel, conv.bias
    if (pair := ops.conv_norm_pair(op)) and not pair[0].transposed:
        layer = _conv(pair[0], read, rows or (0, ops.outputs(op)))
        norm = _norm(pair[1], read, rows or (0, ops.outputs(op)))
        kernel = settle_kernel(kernel, layer.kernel, norm, dtypes[0])
        bias = settle_bias(bias, layer.bias, norm, dtypes[1])
    return round_to(kernel, dtypes[0], "kernel"), round_to(bias, dtypes[1], "bias")


def _fold(op: Operation, read: Read, rows: Rows) -> _Slab:
    match op:
        case ops.ConvOp():
            return _Slab(_conv(op, read, rows), ops.reach(op, rows))
        case ops.ChainOp(steps):
            return _chain(steps, read, rows)
        case ops.SumOp(terms):
            return _sum(op, terms, read, rows)
        case _:
            return _chain((op,), read, rows)


def _chain(steps: tuple[Operation, ...], read: Read, rows: Rows) -> _Slab:
    """Fold from the last step back: it decides which outputs of the steps before are needed."""
    if not steps:
        return _Slab(channel_scale(np.ones(rows[1] - rows[0])), rows)
    *before, last = steps
    if not before and isinstance(last, ops.ConvOp | ops.SumOp | ops.ChainOp):
        return _fold(last, read, rows)
    below = _chain(tuple(before), read, ops.reach(last, rows))
    match last:
        case ops.NormOp():
            conv = apply_norm(below.conv, _norm(last, read, rows))
        case ops.ScaleOp(tensor, _, single):
            factors = _vector(read, tensor, None if single else rows)
            conv = scale_outputs(below.conv, factors)
        case ops.NumberOp(value):
            conv = scale_outputs(below.conv, value)
        case ops.AverageOp(size):
            # the pool pads with zeros itself; what it averages is the image of the steps before
            conv = merge_sequential(below.conv, average_pool(rows[1] - rows[0], size))
        case ops.ConvOp():
            conv = merge_sequential(below.conv, _conv(last, read, rows), border=last.border)
        case _:
            conv = merge_sequential(below.conv, _fold(last, read, rows).conv)
    return _Slab(conv, below.inputs)


def _sum(op: Operation, terms: tuple[tuple[int, Operation], ...], read: Read, rows: Rows) -> _Slab:
    wanted = ops.reach(op, rows)
    branches: list[Conv] = []
    for sign, term in terms:
        slab = _fold(term, read, rows)
        conv = _widen(slab, wanted)
        branches.append(conv if sign > 0 else scale_outputs(conv, -1.0))
    return _Slab(sum_branches(branches), wanted)


def _widen(slab: _Slab, wanted: Rows) -> Conv:
    """Let a branch of a slab read all inputs its neighbours read, with zeros for the new ones."""
    if slab.inputs == wanted:
        return slab.conv
    dense = regroup(slab.conv, 1)
    kernel = np.zeros((dense.outputs, wanted[1] - wanted[0], *dense.space))
    start = slab.inputs[0] - wanted[0]
    kernel[:, start : start + dense.inputs] = dense.kernel
    return make(kernel, dense.bias, dense)


def _conv(op: ops.ConvOp, read: Read, rows: Rows) -> Conv:
    whole = rows == (0, op.outputs)
    kernel = (read(op.weight) if whole else read(op.weight, rows)).astype(np.float64)
    return make(
        check_finite(kernel, op.weight, 0 if op.transposed else rows[0]),
        np.zeros(rows[1] - rows[0]) if op.bias is None else _vector(read, op.bias, rows),
        groups=op.groups if whole else max((rows[1] - rows[0]) * op.groups // op.outputs, 1),
        dilation=op.dilation,
        origin=op.origin,
        transposed=op.transposed,
    )


def _norm(op: ops.NormOp, read: Read, rows: Rows) -> Norm:
    mean, var, weight, bias = (
        None if name is None else _vector(read, name, rows)
        for name in (op.mean, op.var, op.weight, op.bias)
    )
    assert mean is not None
    assert var is not None
    try:
        return make_norm(mean, var, weight, bias, op.eps, first=rows[0])
    except NumericError as error:
        raise NumericError(f"{op.var.rpartition('.')[0]}: {error}") from None


def _vector(read: Read, name: str, rows: Rows | None) -> Array:
    values = read(name).astype(np.float64).reshape(-1)
    values = values if rows is None else values[slice(*rows)]
    return check_finite(values, name, rows[0] if rows else 0)
