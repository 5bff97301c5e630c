"""A block of AFTER as one kernel and one bias: as they are stored, or folded from that."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from reparam import operations as ops
from reparam.bounds import magnitudes, positive
from reparam.fold import Folder
from reparam.neutral import not_neutral

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from reparam.linear import Array
    from reparam.operations import Operation, Read, Rows


class Stored:
    """A block of AFTER.

    Args:
        op: What it computes: a convolution, alone or with a neutral norm, whose numbers are taken
            as they are stored; anything else is folded.
        read: Gives its tensors.

    Attributes:
        op: As given.
        plain: Whether the numbers are stored as they are.
        names: The tensors that hold kernel and bias, or the first that go into them.
        dtypes: Theirs.
    """

    def __init__(self, op: Operation, read: Read) -> None:
        self.op, self._read = op, read
        self._conv, self._drift = _plain(op, read)
        self.plain = self._conv is not None
        first = next(leaf for leaf in ops.leaves(op) if isinstance(leaf, ops.ConvOp))
        source = self._conv or first
        bias = source.bias or f"{source.weight.rpartition('.')[0]}.bias"
        self.names = source.weight, bias
        kernel = read(source.weight, (0, 1)).dtype.name
        self.dtypes = kernel, read(source.bias).dtype.name if source.bias else kernel
        self._folder = Folder(op, read)
        self._sizes = Folder(positive(op), magnitudes(op, read))

    def rows(self, rows: Rows) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return kernel and bias of some output channels, in the stored dtype or in float64.

        Raises:
            NumericError: The block has to be folded and cannot be.
        """
        if self._conv is None:
            conv = self._folder.conv(rows)
            return conv.kernel, conv.bias
        kernel = self._read(self._conv.weight, None if self._conv.transposed else rows)
        if self._conv.bias is None:
            return kernel, np.zeros(rows[1] - rows[0])
        return kernel, self._read(self._conv.bias).reshape(-1)[slice(*rows)]

    def sizes(self, rows: Rows) -> tuple[Array, Array]:
        """Return the sums of the absolute values of all terms of a folded block's numbers."""
        conv = self._sizes.conv(rows)
        return conv.kernel, conv.bias

    def drift(self, rows: Rows) -> Array | None:
        """Return how far the factors of a neutral norm are from 1, if there is one."""
        return None if self._drift is None else self._drift[slice(*rows)]


def _plain(op: Operation, read: Read) -> tuple[ops.ConvOp | None, Array | None]:
    """Return the convolution whose numbers are stored as they are, and its norm's drift from 1.

    With a neutral norm, only one of the two layers may have a bias.
    """
    if isinstance(op, ops.ConvOp):
        return op, None
    pair = ops.conv_norm_pair(op)
    if pair is None or pair[1].repeat != 1:
        return None, None
    conv, norm = pair
    if not_neutral(norm, read):
        return None, None
    carriers = [name for name in (conv.bias, norm.bias) if name and read(name).any()]
    if len(carriers) > 1:
        return None, None
    carrier = carriers[0] if carriers else norm.bias or conv.bias
    root = np.sqrt(read(norm.var).astype(np.float64) + norm.eps)
    return replace(conv, bias=carrier), (np.abs(1.0 / root - 1.0) + 2.0**-51).reshape(-1)
