"""From lines found in a checkpoint to a plan: what is read, written, copied, refused.

Everything in a plan is derived here from its bindings and the header, so that a plan which was
written to JSON, reviewed and edited is derived again when it is read.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from reparam import operations as ops
from reparam.checkpoint import TensorInfo
from reparam.diagnose import explain_norm
from reparam.errors import PlanError
from reparam.expression import layers
from reparam.frames import frame, kernel_shape
from reparam.modules import NORM_TRAINING, ModuleIndex, only_for_training
from reparam.patterns import join, natural
from reparam.plans import MODEL_CONFIG, Fusion, Plan, Skipped, Write
from reparam.resolve import resolve
from reparam.trial import unread_tensors

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from reparam.operations import NormOp, Operation
    from reparam.plans import Binding, Role, Settings


def bind(
    tensors: Mapping[str, TensorInfo],
    metadata: Mapping[str, str],
    source: str,
    bindings: Iterable[Binding],
    settings: Settings,
    *,
    recipes: tuple[str, ...],
    assumes: tuple[str, ...],
    notes: tuple[str, ...],
    keeps: Mapping[str, str],
    beside: Mapping[str, tuple[str, ...]],
) -> Plan:
    """Derive a plan.

    Args:
        tensors: Every tensor of the checkpoint.
        metadata: Its metadata.
        source: Its name, for messages.
        bindings: The lines to fuse.
        settings: What the output shall look like.
        recipes: Names of the recipes and spellings.
        assumes: What the recipes take for granted.
        notes: What else to tell.
        keeps: Norms that stay, with reasons.
        beside: Per block, layers that may stand beside.

    Raises:
        PlanError: Shapes do not compose, or tensors are claimed twice or would collide.
    """
    lines = sorted(bindings, key=lambda b: natural(join(b.block, b.line.output)))
    if settings.batch_norm == "neutral" and any(b.eps >= 1 for b in lines):
        raise PlanError(
            f"{source}: a neutral norm has running_var = 1 - eps, which is positive for eps < 1 "
            "only. Use --batch-norm remove."
        )
    index = ModuleIndex(tensors)
    binder = _Binder(index, settings, source)
    fusions = tuple(binder.fusion(b) for b in lines)
    binder.note_merged(fusions)
    read = {name for f in fusions for name in f.reads}
    made = {w.name for f in fusions for w in f.writes}
    accounted = read | made
    binder.check_ties(metadata, read)
    copies = tuple(sorted(n for n in tensors if n not in read and n not in made))
    layer_paths = {join(b.block, x.name) for b in lines for x in layers(b.line.tree)}
    known = layer_paths | {f.name for f in fusions}
    blocks = {b.block for b in lines}
    unclaimed = {
        name
        for path, names in beside.items()
        if path in blocks
        for name in unread_tensors(path, known, names, index)
    }
    # a tensor inside a fused layer that is no weight, bias or statistic, e.g. weight_g
    unclaimed |= {
        name
        for path in layer_paths
        for name in index.under(path)
        if name not in accounted and not only_for_training(name)
    }
    return Plan(
        source=source,
        tensors=dict(tensors),
        metadata=dict(metadata),
        settings=settings,
        recipes=recipes,
        fusions=fusions,
        copies=copies,
        skipped=tuple(
            Skipped(
                path,
                keeps.get(path) or explain_norm(path, index) or _unread(recipes),
            )
            for path in sorted(index.norms(), key=natural)
            if path not in layer_paths
        ),
        assumed=(*dict.fromkeys(_eps(f) for f in fusions if _guesses_eps(f)), *assumes),
        unclaimed=tuple(sorted(unclaimed)),
        notes=tuple(dict.fromkeys((*notes, *binder.notes))),
        assumes=assumes,
        keeps=dict(keeps),
        beside=dict(beside),
    )


def _unread(recipes: tuple[str, ...]) -> str:
    if MODEL_CONFIG in recipes:
        return "left out of the plan"
    return f"no line of {', '.join(recipes)} reads it"


def _guesses_eps(fusion: Fusion) -> bool:
    return _normed(fusion) and fusion.binding.eps_source != MODEL_CONFIG


def _normed(fusion: Fusion) -> bool:
    return any(isinstance(leaf, ops.NormOp) for leaf in ops.leaves(fusion.op))


def _eps(fusion: Fusion) -> str:
    eps, source = fusion.binding.eps, fusion.binding.eps_source
    return f"nothing about eps: {source}" if math.isnan(eps) else f"eps={eps!r} ({source})"


class _Binder:
    """Turns bindings into fusions and watches that no two want the same tensor."""

    def __init__(self, index: ModuleIndex, settings: Settings, source: str) -> None:
        self.index = index
        self.settings = settings
        self.source = source
        self.notes: list[str] = []
        self.readers: dict[str, Binding] = {}
        self.writers: dict[str, str] = {}

    def fusion(self, binding: Binding) -> Fusion:
        block, line = binding.block, binding.line
        name = join(block, line.output)
        try:
            op = resolve(line.tree, self.index, block, binding.eps)
        except PlanError as error:
            raise PlanError(f"{self.source}: {error} (recipe {binding.recipe})") from None
        paths = {layer.name: join(block, layer.name) for layer in layers(line.tree)}
        for relative, path in paths.items():
            self._claim(path, binding, shared=relative in binding.shared)
        modules = [module for p in paths.values() if (module := self.index.get(p))]
        neutral = self._neutral_norm(op, name) if self.settings.batch_norm == "neutral" else None
        skip = NORM_TRAINING if neutral else ()
        reads = [m.tensors[r] for m in modules for r in m.roles if r in m.tensors and r not in skip]
        if name not in paths.values():
            reads += self._placeholder(name, op, set(reads))
        writes = self._writes(binding, op, name, neutral)
        for write in writes:
            if write.name in self.writers:
                raise PlanError(
                    f"{self.source}: {name} and {self.writers[write.name]} would both write "
                    f"{write.name!r}. Edit the recipe so that outputs differ."
                )
            self.writers[write.name] = name
        return Fusion(binding, op, tuple(dict.fromkeys(reads)), writes, _after(op, name, neutral))

    def note_merged(self, fusions: tuple[Fusion, ...]) -> None:
        """Say where no neutral norm could be left behind."""
        merged = [f.name for f in fusions if not isinstance(f.after, ops.ChainOp) and _normed(f)]
        if self.settings.batch_norm == "neutral" and merged:
            self.notes.append(
                f"batch_norm=neutral: {len(merged)} fusions ({merged[0]}, …) merge more than a "
                "convolution and the norm behind it, so they leave no norm, as with remove"
            )

    def check_ties(self, metadata: Mapping[str, str], read: set[str]) -> None:
        """Refuse to fuse a tensor that another name stands for.

        safetensors stores tied tensors once and names the aliases in its metadata.
        """
        for alias, name in metadata.items():
            if alias not in self.index.tensors and name in read:
                raise PlanError(
                    f"{self.source}: {name!r} is tied to {alias!r} (metadata), so fusing it would "
                    "change two layers at once. Save the model with the tie broken (clone one)."
                )

    def _claim(self, path: str, binding: Binding, *, shared: bool) -> None:
        other = self.readers.setdefault(path, binding)
        if other is not binding and not (
            shared and path in {join(other.block, n) for n in other.shared}
        ):
            first = join(other.block, other.line.output)
            raise PlanError(
                f"{self.source}: layer {path!r} is read by two fusions, "
                f"{first} and {join(binding.block, binding.line.output)}. "
                "A layer may be shared only where a recipe says so."
            )

    def _placeholder(self, name: str, op: Operation, reads: set[str]) -> list[str]:
        """Account for deploy weights that stand beside the branches they are to be made of."""
        if not name:
            raise PlanError(
                f"{self.source}: the result would take the place of the whole file. Give the block "
                "an 'at' in the recipe, or the output a name."
            )
        shapes = {
            f"{name}.weight": kernel_shape(op),
            f"{name}.bias": (ops.outputs(op),),
        }
        below = self.index.under(name)
        if not reads.isdisjoint(below):  # its branches lie below it, as other layers may
            below = [n for n in shapes if n in self.index.tensors]
        module = self.index.get(name)
        if not below:
            return []
        if module is None or any(self.index.shape(n) != shapes.get(n) for n in below):
            raise PlanError(
                f"{self.source}: the result {name!r} would take the place of {below[0]!r}, which "
                "is no placeholder of the same shape. Give the output another name in the recipe."
            )
        self.notes.append(
            f"{name}: placeholder deploy weights stood beside the branches; recomputed from them"
        )
        return below

    def _neutral_norm(self, op: Operation, name: str) -> NormOp | None:
        """The norm that carries the bias in neutral mode, for plain pairs fused in place."""
        pair = ops.conv_norm_pair(op)
        plain = pair and pair[0].weight == f"{name}.weight" and pair[1].repeat == 1
        return pair[1] if pair and plain else None

    def _writes(
        self, binding: Binding, op: Operation, name: str, norm: NormOp | None
    ) -> tuple[Write, ...]:
        first = next(leaf for leaf in ops.leaves(op) if isinstance(leaf, ops.ConvOp))
        kernel = self._write(f"{name}.weight", kernel_shape(op), first.weight, "kernel")
        size = (ops.outputs(op),)
        if norm is None:
            bias = self._write(f"{name}.bias", size, first.weight, "bias")
            return (kernel, bias) if ops.shifts(op) else (kernel,)
        path = norm.mean.rpartition(".")[0]
        shared = path in {join(binding.block, n) for n in binding.shared}
        if (shared or norm.bias is None) and first.bias is None:
            raise PlanError(
                f"{self.source}: {path} cannot carry the bias of {name} in neutral mode: "
                f"{'two layers share it' if shared else 'it has no bias'} and {name} has none "
                "either. Use --batch-norm remove."
            )
        writes = [kernel]
        if first.bias is not None and (shared or norm.bias is None):
            writes.append(self._write(first.bias, size, first.bias, "bias"))
            if norm.bias is not None:
                writes.append(self._write(norm.bias, size, norm.bias, "zeros"))
        else:
            assert norm.bias is not None
            writes.append(self._write(norm.bias, size, norm.bias, "bias"))
            if first.bias is not None:
                writes.append(self._write(first.bias, size, first.bias, "zeros"))
        writes.append(self._write(norm.mean, size, norm.mean, "zeros"))
        writes.append(self._write(norm.var, size, norm.var, "variance"))
        if norm.weight is not None:
            writes.append(self._write(norm.weight, size, norm.weight, "ones"))
        # the tensors of a shared norm are written once, by the first of its readers
        mine = self.readers[path] is binding
        return tuple(w for w in writes if mine or w.name in (kernel.name, first.bias))

    def _write(self, name: str, shape: tuple[int, ...], like: str, role: Role) -> Write:
        dtype = self.settings.dtype
        return Write(
            name,
            TensorInfo(shape, self.index.tensors[like].dtype if dtype == "keep" else dtype),
            role,
        )


def _after(op: Operation, name: str, norm: NormOp | None) -> Operation:
    """Return what the deploy form computes in place of `op`."""
    first = next(leaf for leaf in ops.leaves(op) if isinstance(leaf, ops.ConvOp))
    shape = frame(op)
    conv = ops.ConvOp(
        f"{name}.weight",
        first.bias if norm else f"{name}.bias" if ops.shifts(op) else None,
        kernel_shape(op),
        shape.groups,
        shape.dilation,
        shape.origin,
        first.transposed,
    )
    return conv if norm is None else ops.ChainOp((conv, norm), conv.inputs)
