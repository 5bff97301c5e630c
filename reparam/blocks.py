"""Fusing one block: fold it, check it against the reference, hand it over, slab by slab."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from reparam import operations as ops
from reparam.errors import VerificationError
from reparam.fold import Folder
from reparam.neutral import constant, neutral_norm
from reparam.proof import BlockCheck, block_error, probe
from reparam.rounding import Underflow, count_underflow
from reparam.slabs import BlockReader, slabs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from reparam.operations import Read, Rows
    from reparam.plans import Fusion

    Write = Callable[[str, NDArray[Any], int], None]


class Fused(NamedTuple):
    """One block after it was written.

    Attributes:
        check: How far it is from its train form.
        underflow: How many of its numbers became zero or subnormal when they were rounded.
    """

    check: BlockCheck
    underflow: Underflow


def fuse_block(fusion: Fusion, read: Read, write: Write, *, verify: bool) -> Fused:
    """Fold, check and write one block, a slab of output channels at a time.

    Raises:
        VerificationError: An output differs by more than rounding can explain.
    """
    before = BlockReader(read)
    made = {w.name: constant(w, fusion.binding.eps) for w in fusion.writes[1:]}
    if isinstance(fusion.after, ops.ChainOp):
        made = neutral_norm(fusion) | made  # where norms are shared, others may write its tensors
    kernel, bias = fusion.kernel, fusion.bias
    folder = Folder(fusion.op, before)
    x = probe(fusion) if verify else None
    worst, zero, subnormal = 0.0, 0, 0
    for rows in slabs(fusion.op):
        conv = folder.conv(rows)
        values, shift = folder.settle(conv, fusion.dtypes, rows)
        for wide, narrow in ((conv.kernel, values), (conv.bias, shift)):
            lost = count_underflow(wide, narrow)
            zero, subnormal = zero + lost.zero, subnormal + lost.subnormal
        if bias is not None:
            made[bias.name][slice(*rows)] = shift
        if x is not None:
            after = _Made(kernel.name, values, made)
            worst = max(worst, block_error(fusion, before, after, x, rows))
        write(kernel.name, values, 0 if len(values) == kernel.info.shape[0] else rows[0])
    if not worst <= 1:
        raise VerificationError(
            f"{fusion.name}: an output of the fused block is {worst:.3g} times its rounding bound "
            "away from the train form. Nothing was written. Please report this with the plan "
            "('reparam inspect FILE --json')."
        )
    for name in (w.name for w in fusion.writes[1:]):
        write(name, made[name], 0)
    return Fused(BlockCheck(fusion.name, worst), Underflow(zero, subnormal))


class _Made:
    """Gives the tensors of the deploy form while they are being made."""

    def __init__(self, kernel: str, rows: NDArray[Any], rest: Mapping[str, NDArray[Any]]) -> None:
        self.kernel, self.rows, self.rest = kernel, rows, rest

    def __call__(self, name: str, rows: Rows | None = None, /) -> NDArray[Any]:
        if name == self.kernel:
            return self.rows
        values = self.rest[name]
        return values if rows is None else values[slice(*rows)]
