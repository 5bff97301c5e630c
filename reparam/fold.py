"""The first reading of a bound expression: tensors to one convolution, by the algebra.

A fold may be asked for a slab of output channels. Every function of the algebra that recipes reach
through sums and norms works row by row, so a slab has the same bytes as the rows of the whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from reparam import operations as ops
from reparam.algebra import merge_sequential, sum_owned
from reparam.errors import NumericError
from reparam.exact import settle_bias, settle_kernel
from reparam.geometry import lift, regroup
from reparam.layers import (
    apply_norm,
    average_pool,
    channel_scale,
    scale_outputs,
    scale_rows,
    shift_outputs,
)
from reparam.linear import Conv, check_finite, make
from reparam.norm import Norm, make_norm
from reparam.rounding import round_to
from reparam.windows import conv_to_linear

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
    return Folder(op, read).conv(rows or (0, ops.outputs(op)))


class Folder:
    """Folds one operation, slab by slab; norms are derived once for all slabs.

    Args:
        op: A bound expression.
        read: Gives its tensors.
    """

    def __init__(self, op: Operation, read: Read) -> None:
        self.op = op
        self.read = read
        self.norms: dict[ops.NormOp, Norm] = {}

    @np.errstate(all="ignore")  # an overflow leaves infinity, which is refused by name
    def conv(self, rows: Rows) -> Conv:
        """Return the convolution for some output channels, see `fold`."""
        conv = self._fold(self.op, rows).conv
        check_finite(conv.kernel, "the fused kernel", 0 if conv.transposed else rows[0])
        check_finite(conv.bias, "the fused bias", rows[0])
        return conv

    def rounded(self, dtypes: tuple[str, str], rows: Rows) -> tuple[NDArray[Any], NDArray[Any]]:
        """Fold and round once to the stored dtype.

        Args:
            dtypes: Those of the kernel and of the bias.
            rows: Output channels wanted, as for `fold`.

        Returns:
            Kernel and bias of these outputs.

        Raises:
            NumericError: As `fold`, or a result that overflows its dtype.
        """
        return self.settle(self.conv(rows), dtypes, rows)

    def settle(
        self, conv: Conv, dtypes: tuple[str, str], rows: Rows
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Round what `conv` returned once to the stored dtype.

        For a convolution with its norm every number is the nearest one to the exact result; for
        sums and sequences it is the float64 result rounded once (see the algebra page of the docs
        for the bound).

        Args:
            conv: The fold of these rows; its arrays may be modified.
            dtypes: See `rounded`.
            rows: See `rounded`.

        Returns:
            See `rounded`.

        Raises:
            NumericError: A result overflows its dtype.
        """
        kernel, bias = conv.kernel, conv.bias
        if pair := ops.conv_norm_pair(self.op):
            inner, norm = self._bias(pair[0], rows), self._norm(pair[1], rows)
            taps = self._kernel(pair[0], rows).astype(np.float64)
            turned = settle_kernel(
                outputs_first(kernel, conv), outputs_first(taps, conv), norm, dtypes[0]
            )
            kernel = outputs_first(turned, conv)
            bias = settle_bias(bias, inner, norm, dtypes[1])
        source = next(ops.tensor_names(self.op), "nothing")
        return (
            round_to(kernel, dtypes[0], f"kernel from {source}", 0 if conv.transposed else rows[0]),
            round_to(bias, dtypes[1], f"bias from {source}", rows[0]),
        )

    def _fold(self, op: Operation, rows: Rows) -> _Slab:
        match op:
            case ops.ConvOp():
                kernel = self._kernel(op, rows).astype(np.float64, order="C")
                return self._slab(op, rows, kernel, self._bias(op, rows))
            case ops.ChainOp(steps):
                return self._chain(steps, rows)
            case ops.SumOp(terms):
                return self._sum(op, terms, rows)
            case ops.WindowOp(inner, size):
                pixels = op.pixels
                small = self._fold(inner, (rows[0] // pixels, rows[1] // pixels))
                first, last = small.inputs
                return _Slab(
                    conv_to_linear(lift(small.conv, len(size)), size),
                    (first * pixels, last * pixels),
                )
            case _:
                return self._chain((op,), rows)

    def _chain(self, steps: tuple[Operation, ...], rows: Rows) -> _Slab:
        """Fold from the last step back: it decides which outputs of the steps before are needed."""
        match steps:
            case ():
                return _Slab(channel_scale(np.ones(rows[1] - rows[0])), rows)
            case (ops.ConvOp() | ops.SumOp() | ops.ChainOp() | ops.WindowOp(),):
                return self._fold(steps[0], rows)
            case (ops.ConvOp(transposed=False) as op, ops.NormOp() as norm_op):
                # the common case: scale the stored kernel, without a float64 copy in between
                norm = self._norm(norm_op, rows)
                kernel = scale_rows(self._kernel(op, rows), norm.scale)
                return self._slab(op, rows, kernel, norm.shift(self._bias(op, rows)))
            case _:
                pass
        *before, last = steps
        below = self._chain(tuple(before), ops.reach(last, rows))
        match last:
            case ops.NormOp():
                conv = apply_norm(below.conv, self._norm(last, rows))
            case ops.ScaleOp(tensor, _, single):
                factors = self._vector(tensor)
                conv = scale_outputs(below.conv, factors if single else factors[slice(*rows)])
            case ops.ShiftOp(tensor, _, single):
                shift = self._vector(tensor)
                conv = shift_outputs(below.conv, shift if single else shift[slice(*rows)])
            case ops.NumberOp(value):
                conv = scale_outputs(below.conv, value)
            case ops.AverageOp(size):
                # the pool pads with zeros itself; what it averages is the image of the steps before
                conv = merge_sequential(below.conv, average_pool(rows[1] - rows[0], size))
            case ops.ConvOp(border=border):
                conv = merge_sequential(below.conv, self._fold(last, rows).conv, border=border)
            case _:
                conv = merge_sequential(below.conv, self._fold(last, rows).conv)
        return _Slab(conv, below.inputs)

    def _sum(self, op: Operation, terms: tuple[tuple[int, Operation], ...], rows: Rows) -> _Slab:
        wanted = ops.reach(op, rows)
        branches: list[Conv] = []
        for sign, term in terms:
            conv = _widen(self._fold(term, rows), wanted)
            branches.append(conv if sign > 0 else scale_outputs(conv, -1.0))
        return _Slab(sum_owned(branches), wanted)

    def _slab(self, op: ops.ConvOp, rows: Rows, kernel: Array, bias: Array) -> _Slab:
        conv = make(
            kernel,
            bias,
            # whole groups of a grouped convolution are a convolution of that many groups
            groups=max((rows[1] - rows[0]) * op.groups // op.outputs, 1),
            dilation=op.dilation,
            origin=op.origin,
            transposed=op.transposed,
        )
        return _Slab(conv, ops.reach(op, rows))

    def _kernel(self, op: ops.ConvOp, rows: Rows) -> NDArray[Any]:
        """Return the stored kernel of some outputs, in the stored dtype, checked."""
        whole = op.transposed or rows == (0, op.outputs)
        kernel = self.read(op.weight) if whole else self.read(op.weight, rows)
        check_finite(kernel, op.weight, 0 if whole else rows[0])
        return kernel

    def _bias(self, op: ops.ConvOp, rows: Rows) -> Array:
        if op.bias is None:
            return np.zeros(rows[1] - rows[0])
        return self._vector(op.bias)[slice(*rows)]

    def _norm(self, op: ops.NormOp, rows: Rows) -> Norm:
        if op not in self.norms:
            names = (op.mean, op.var, op.weight, op.bias)
            mean, var, weight, bias = (None if n is None else self._vector(n) for n in names)
            assert mean is not None
            assert var is not None
            try:
                self.norms[op] = make_norm(mean, var, weight, bias, op.eps).repeat(op.repeat)
            except NumericError as error:
                raise NumericError(f"{op.var.rpartition('.')[0]}: {error}") from None
        return self.norms[op].rows(rows)

    def _vector(self, name: str) -> Array:
        return check_finite(self.read(name).astype(np.float64).reshape(-1), name)


def outputs_first(kernel: Array, conv: Conv) -> Array:
    """Put the outputs of a transposed convolution in front of its inputs, or back behind them."""
    if not conv.transposed:
        return kernel
    swapped = kernel.reshape(conv.groups, -1, *kernel.shape[1:]).swapaxes(1, 2)
    return swapped.reshape(-1, *swapped.shape[2:])


def _widen(slab: _Slab, wanted: Rows) -> Conv:
    """Let a branch of a slab read all inputs its neighbours read, with zeros for the new ones."""
    if slab.inputs == wanted:
        return slab.conv
    dense = regroup(slab.conv, 1)
    kernel = np.zeros((dense.outputs, wanted[1] - wanted[0], *dense.space))
    start = slab.inputs[0] - wanted[0]
    kernel[:, start : start + dense.inputs] = dense.kernel
    return make(kernel, dense.bias, dense)
