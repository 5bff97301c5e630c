"""Going through a block a few output channels at a time, so that memory stays flat."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from reparam import operations as ops
from reparam.frames import kernel_shape

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from reparam.operations import Operation, Read, Rows

SLAB_BYTES = 1 << 20
"""float64 bytes of kernel per slab: a few of them fit the cache of one core."""


def slabs(op: Operation, *others: Operation) -> Iterator[Rows]:
    """Cut the output channels of an operation into ranges of about `SLAB_BYTES` each.

    Args:
        op: The operation.
        others: What else shall be folded by these ranges; it has the same outputs.
    """
    total = ops.outputs(op)
    unit = min(math.lcm(*map(ops.row_unit, (op, *others))), total)
    widest = max(
        math.prod(leaf.shape) // max(leaf.outputs, 1)
        for leaf in ops.leaves(op)
        if isinstance(leaf, ops.ConvOp)
    )
    row = 8 * max(widest, math.prod(kernel_shape(op)[1:]))
    step = max(SLAB_BYTES // row // unit, 1) * unit
    for start in range(0, total, step):
        yield start, min(start + step, total)


class BlockReader:
    """Reads the tensors of one block, each piece once: fold and reference ask for the same."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._whole: dict[str, NDArray[Any]] = {}
        self._rows: dict[str, tuple[Rows, NDArray[Any]]] = {}

    def __call__(self, name: str, rows: Rows | None = None, /) -> NDArray[Any]:
        """Return a tensor, or some of its rows; callers must not change it."""
        if rows is None:
            if name not in self._whole:
                self._whole[name] = self._read(name)
            return self._whole[name]
        if name in self._whole:
            return self._whole[name][slice(*rows)]
        held = self._rows.get(name)
        if held is None or held[0] != rows:
            held = self._rows[name] = rows, self._read(name, rows)
        return held[1]
