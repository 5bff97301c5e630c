"""Any train form's tensors as AFTER's model takes them: fused in float64, under AFTER's names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from reparam import operations as ops
from reparam.errors import RunError
from reparam.fold import Folder
from reparam.modules import only_for_training
from reparam.slabs import slabs
from reparam.tensor_bytes import same_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from reparam.checkpoint import Reader
    from reparam.operations import Rows
    from reparam.plans import Fusion, Plan

    Tensors = Mapping[str, NDArray[Any]]


class DeployForm:
    """Fuses like AFTER, block by block: what it left alone or made neutral stays so.

    Args:
        plan: That of BEFORE, with norms removed or neutral.
        old: BEFORE.
        new: AFTER.
        renamed: Layers and tensors of BEFORE's deploy form with another name in AFTER.
    """

    def __init__(self, plan: Plan, old: Reader, new: Reader, renamed: Mapping[str, str]) -> None:
        self.plan, self.new, self.renamed = plan, new, renamed
        self.kept = {f.name for f in plan.fusions if _unchanged(f, old, new)}
        norms = [pair[1].var for f in plan.fusions if (pair := ops.conv_norm_pair(f.op))]
        self.shared = {name for name in norms if norms.count(name) > 1}

    def fuse(self, tensors: Tensors) -> dict[str, NDArray[Any]]:
        """Fuse tensors without rounding them to what they would be stored in.

        Args:
            tensors: The train form, floats in float64.

        Returns:
            The deploy form under the names of AFTER.

        Raises:
            RunError: AFTER has tensors that the plan does not account for, or lacks some.
        """
        made: dict[str, NDArray[Any]] = {}
        for fusion in self.plan.fusions:
            if fusion.name in self.kept:
                made |= {name: tensors[name] for name in fusion.reads}
            else:
                made |= self._fused(fusion, tensors)
        made |= {self._name(name): tensors[name] for name in self.plan.copies}
        here = self.new.tensors
        for name in here.keys() - made.keys():
            if "float" not in here[name].dtype:  # a counter that BEFORE may lack
                made[name] = self.new.read(name)
        for name in made.keys() - here.keys():
            if only_for_training(name):
                del made[name]
        odd = sorted(made.keys() ^ here.keys())
        if odd:
            side = "only there" if odd[0] in here else "not there"
            raise RunError(
                f"{self.new.path}: its tensors are not those that fusing BEFORE gives ({odd[0]!r} "
                f"is {side}), so no other values can be put in their place. Leave --run out: the "
                "weights are verified without it."
            )
        return made

    def _name(self, name: str) -> str:
        """Return the name that AFTER has for a tensor."""
        path, _, role = name.rpartition(".")
        if path in self.renamed:
            return f"{self.renamed[path]}.{role}"
        return self.renamed.get(name, name)

    def _fused(self, fusion: Fusion, tensors: Tensors) -> dict[str, NDArray[Any]]:
        """Fold one block, a slab of output channels at a time."""

        def read(name: str, rows: Rows | None = None, /) -> NDArray[Any]:
            return tensors[name] if rows is None else tensors[name][slice(*rows)]

        folder = Folder(fusion.op, read)
        kernel = np.empty(fusion.kernel.info.shape)
        bias = np.empty(ops.outputs(fusion.op))
        for rows in slabs(fusion.op):
            conv = folder.conv(rows)
            place = slice(None) if conv.transposed else slice(*rows)
            kernel[place] = conv.kernel.reshape(kernel[place].shape)
            bias[slice(*rows)] = conv.bias
        pair = ops.conv_norm_pair(fusion.op)
        if pair and pair[1].var in self.new.tensors and pair[0].weight in self.new.tensors:
            return self._neutral(*pair, kernel, bias)
        path = self.renamed.get(fusion.name, fusion.name)
        made = {f"{path}.weight": kernel, f"{path}.bias": bias}
        there = f"{path}.bias" in self.new.tensors
        return made if there or bias.any() else {f"{path}.weight": kernel}

    def _neutral(
        self, conv: ops.ConvOp, norm: ops.NormOp, kernel: NDArray[Any], bias: NDArray[Any]
    ) -> dict[str, NDArray[Any]]:
        """Return a convolution behind which the norm stays, as a carrier of the bias."""
        here = self.new.tensors
        one = np.ones(norm.channels)
        inner = conv.bias or f"{conv.weight.rpartition('.')[0]}.bias"
        made = {conv.weight: kernel, norm.mean: 0 * one, norm.var: one - norm.eps}
        if norm.weight is not None:
            made[norm.weight] = one
        carriers = [n for n in (norm.bias, inner) if n is not None and n in here]
        if norm.var in self.shared:
            carriers.reverse()
        made |= dict.fromkeys(carriers, 0 * one)
        if carriers:
            made[carriers[0]] = bias
        return made


def _unchanged(fusion: Fusion, old: Reader, new: Reader) -> bool:
    """Whether AFTER holds a block in train form, byte for byte."""
    return all(
        name in new.tensors and same_bytes(old, name, new, name)
        for name in fusion.reads
        if not only_for_training(name)
    )
