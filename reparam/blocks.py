"""Fusing one block: fold it, check it against the reference, hand it over, slab by slab."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reparam import operations as ops
from reparam.errors import VerificationError
from reparam.fold import Folder
from reparam.neutral import constant, neutral_norm
from reparam.proof import BlockCheck, block_error, probe
from reparam.slabs import BlockReader, slabs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from reparam.operations import Read, Rows
    from reparam.plans import Fusion

    Write = Callable[[str, NDArray[Any], int], None]


def fuse_block(fusion: Fusion, read: Read, write: Write, *, verify: bool) -> BlockCheck:
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
    worst = 0.0
    for rows in slabs(fusion.op):
        values, shift = folder.rounded(fusion.dtypes, rows)
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
    return BlockCheck(fusion.name, worst)


class _Made:
    """Gives the tensors of the deploy form while they are being made."""

    def __init__(self, kernel: str, rows: NDArray[Any], rest: Mapping[str, NDArray[Any]]) -> None:
        self.kernel, self.rows, self.rest = kernel, rows, rest

    def __call__(self, name: str, rows: Rows | None = None, /) -> NDArray[Any]:
        if name == self.kernel:
            return self.rows
        values = self.rest[name]
        return values if rows is None else values[slice(*rows)]
