"""Which tensors of AFTER stand for which block of BEFORE: by name, else by value.

Values can only propose a partner; whether it is equal is decided number by number afterwards. That
two blocks of one shape were exchanged shows in the numbers of their names, where these have any.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from reparam import operations as ops
from reparam.edits import edit
from reparam.errors import PlanError
from reparam.frames import kernel_shape
from reparam.modules import ModuleIndex, only_for_training
from reparam.name_order import disorder
from reparam.patterns import natural
from reparam.rounding import FORMATS
from reparam.similar import Layer, find_partners, plain_layers
from reparam.tensor_bytes import digest, same_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from reparam.checkpoint import Reader
    from reparam.edits import Leaf
    from reparam.operations import Axes, Operation
    from reparam.plans import Fusion, Plan


@dataclass(frozen=True, slots=True)
class Pair:
    """A block of BEFORE and what AFTER has in its place.

    Attributes:
        name: The layer BEFORE's plan makes, or has.
        op: What it computes, over the tensors of BEFORE.
        after: What AFTER computes in its place, over its own tensors.
        fusion: The entry of the plan; None for a layer that no fusion reads.
        path: The layer's name in AFTER.
    """

    name: str
    op: Operation
    after: Operation
    fusion: Fusion | None
    path: str


@dataclass(slots=True)
class Pairing:
    """Every tensor of both files, accounted for.

    Attributes:
        pairs: Blocks with partners.
        copies: Tensors that no fusion reads, with their names in AFTER.
        lost: Blocks of BEFORE without a partner, with the name of the kernel they should have.
        missing: Tensors of BEFORE without a partner.
        extra: Tensors of AFTER that nothing accounts for.
        counters: Tensors that only training reads, in one file or not alike in both.
        misshapen: Blocks that a tensor of AFTER rules out a comparison of, each with the tensor
            and what is wrong with it.
        disordered: Layers of AFTER that seem exchanged with others, with what is wrong.
        exchangeable: How many renamed layers and tensors have the shape of another one.
    """

    pairs: list[Pair] = field(default_factory=list[Pair])
    copies: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    lost: dict[str, str] = field(default_factory=dict[str, str])
    missing: list[str] = field(default_factory=list[str])
    extra: list[str] = field(default_factory=list[str])
    counters: list[str] = field(default_factory=list[str])
    misshapen: dict[str, tuple[str, str]] = field(default_factory=dict[str, tuple[str, str]])
    disordered: dict[str, str] = field(default_factory=dict[str, str])
    exchangeable: int = 0

    @property
    def renamed(self) -> dict[str, str]:
        """Layers and tensors with another name in AFTER."""
        layers = {p.name: p.path for p in self.pairs if p.name != p.path}
        return layers | {old: new for old, new in self.copies if old != new}


def pair_up(plan: Plan, old: Reader, new: Reader, plan_after: Callable[[], Plan]) -> Pairing:
    """Find the partner of every block and tensor.

    Args:
        plan: That of BEFORE, with norms removed.
        old: BEFORE.
        new: AFTER.
        plan_after: Plans AFTER, which may hold train form under other names; called only if names
            do not tell.
    """
    return _Search(plan, old, new, plan_after).run()


class _Search:
    def __init__(
        self, plan: Plan, old: Reader, new: Reader, plan_after: Callable[[], Plan]
    ) -> None:
        self.plan, self.old, self.new, self.plan_after = plan, old, new, plan_after
        self.index = ModuleIndex(new.tensors)
        self.free = dict.fromkeys(new.tensors)
        self.found = Pairing()

    def run(self) -> Pairing:
        """Pair by name, then by value."""
        lost = [fusion for fusion in self.plan.fusions if not self._by_name(fusion)]
        away: list[str] = []
        for name in self.plan.copies:
            if name in self.new.tensors:
                self._take(name)
                self.found.copies.append((name, name))
            else:
                away.append(name)
        away = self._without_counters(away)
        if self.free and (lost or away):
            lost, away = self._by_value(lost, away)
        for fusion in lost:  # a bias without its kernel is no news
            self._take(*(write.name for write in fusion.writes))
        self.found.lost = {f.name: f.kernel.name for f in lost}
        self.found.missing += away
        self.found.extra += self._without_counters(self.free)
        order = {fusion.name: place for place, fusion in enumerate(self.plan.fusions)}
        self.found.pairs.sort(key=lambda p: (order.get(p.name, len(order)), natural(p.name)))
        shapes = self._shapes()
        self.found.disordered = disorder(self.found.renamed, shapes, self._alike)
        counts = Counter(shapes[name] for name in self.found.renamed)
        self.found.exchangeable = sum(count for count in counts.values() if count > 1)
        return self.found

    def _take(self, *names: str | None) -> None:
        for name in names:
            self.free.pop(name, None)  # type: ignore[arg-type]  # None is no tensor's name

    def _without_counters(self, names: Collection[str]) -> list[str]:
        """Set aside what only training reads: it does not change the function."""
        self.found.counters += [n for n in names if only_for_training(n)]
        return [n for n in names if not only_for_training(n)]

    def _by_name(self, fusion: Fusion) -> bool:
        """Pair a fusion with tensors of the same names: train form, neutral or fused."""
        here = self.new.tensors
        pair = ops.conv_norm_pair(fusion.op)
        after: Operation
        if pair and pair[0].weight in here and {pair[1].mean, pair[1].var} & here.keys():
            conv, norm = pair
            path = conv.weight.rpartition(".")[0]
            conv = replace(conv, bias=self._there(conv.bias or f"{path}.bias"))
            norm = replace(norm, weight=self._there(norm.weight), bias=self._there(norm.bias))
            after = ops.ChainOp((conv, norm), conv.inputs)
        elif self._in_train_form(fusion):
            after = fusion.op
        elif fusion.kernel.name in here:
            assert isinstance(fusion.after, ops.ConvOp)
            after = replace(fusion.after, bias=self._there(f"{fusion.name}.bias"))
        else:
            return False
        after = self._own_eps(after)
        names = list(ops.tensor_names(after))
        beside = {n for n in fusion.reads if n in here}.difference(ops.tensor_names(fusion.op))
        self._take(*names, *(n for n in beside if self._beside(n)))
        made = {write.name: write.info for write in fusion.writes}
        for name in names:
            if name not in here:
                what = f"missing: {fusion.name} cannot do without it"
                self.found.misshapen[fusion.name] = name, what
                return True
            info = made.get(name) or self.old.tensors.get(name)
            shape = info.shape if info else (ops.outputs(fusion.op),)
            if here[name].shape != shape or here[name].dtype not in FORMATS:
                seen, kinds = here[name], ", ".join(FORMATS)
                what = f"shape {list(seen.shape)} {seen.dtype}, expected {list(shape)} of {kinds}"
                self.found.misshapen[fusion.name] = name, what
                return True
        self.found.pairs.append(Pair(fusion.name, fusion.op, after, fusion, fusion.name))
        return True

    def _in_train_form(self, fusion: Fusion) -> bool:
        reads = [name for name in fusion.reads if not only_for_training(name)]
        if any(name not in self.new.tensors for name in reads):
            return False
        made = {write.name for write in fusion.writes}
        # a convolution and an identity, say: both forms have the same names
        return not made.issuperset(reads) or all(
            same_bytes(self.old, name, self.new, name) for name in reads
        )

    def _beside(self, name: str) -> bool:
        """Whether a tensor that is not computed with stands in both files: a placeholder, say."""
        return only_for_training(name) or same_bytes(self.old, name, self.new, name)

    def _there(self, name: str | None) -> str | None:
        return name if name in self.new.tensors else None

    def _by_value(self, lost: list[Fusion], away: list[str]) -> tuple[list[Fusion], list[str]]:
        """Pair what is left with layers of other names; return what stays alone."""
        seeking = [Layer(f.name, f.op, f) for f in lost]
        seeking += plain_layers(away, ModuleIndex(self.old.tensors))
        offered = plain_layers(self.free, self.index)
        if lost:
            theirs = self._fusions_after()
            train = [Layer(f.name, f.op, f) for f in theirs if self.free.keys() >= set(f.reads)]
            inside = {n for layer in train for n in ops.tensor_names(layer.op)}
            offered = [o for o in offered if inside.isdisjoint(ops.tensor_names(o.op))] + train
        partners = find_partners(seeking, offered, self.old.read, self.new.read)
        for layer, other in partners:
            reads = other.fusion.reads if other.fusion else ()
            self._take(*ops.tensor_names(other.op), *reads)
            self.found.pairs.append(Pair(layer.name, layer.op, other.op, layer.fusion, other.name))
        settled = {layer.name for layer, _ in partners}
        gone = {
            n for layer, _ in partners if layer.fusion is None for n in ops.tensor_names(layer.op)
        }
        rest = self._by_bytes([n for n in away if n not in gone])
        return [f for f in lost if f.name not in settled], rest

    def _by_bytes(self, away: list[str]) -> list[str]:
        """Pair tensors that are no layers with equal ones of other names, in order."""
        offers: dict[object, list[str]] = {}
        for name in sorted(self.free, key=natural, reverse=True):
            offers.setdefault((self.new.tensors[name], digest(self.new.chunks(name))), []).append(
                name
            )
        alone: list[str] = []
        for name in sorted(away, key=natural):
            equal = offers.get((self.old.tensors[name], digest(self.old.chunks(name))))
            if equal:
                other = equal.pop()
                self._take(other)
                self.found.copies.append((name, other))
            else:
                alone.append(name)
        return alone

    def _shapes(self) -> dict[str, Axes]:
        """Return what could be exchanged: the kernel shape of every layer, or a tensor's own."""
        shapes = {p.name: kernel_shape(p.op) for p in self.found.pairs}
        return shapes | {old: self.old.tensors[old].shape for old, _ in self.found.copies}

    def _alike(self, one: str, two: str) -> bool:
        """Whether two layers or tensors of AFTER hold the same numbers."""
        layers = {p.path: list(ops.tensor_names(p.after)) for p in self.found.pairs}
        pairs = zip(layers.get(one, [one]), layers.get(two, [two]), strict=False)
        return all(same_bytes(self.new, a, self.new, b) for a, b in pairs)

    @cached_property
    def _eps_after(self) -> dict[str, float]:
        """The constants of AFTER's norms, by their variances, where its own graph states them."""
        if self.new.graph is None:
            return {}
        leaves = (leaf for f in self._fusions_after() for leaf in ops.leaves(f.op))
        return {leaf.var: leaf.eps for leaf in leaves if isinstance(leaf, ops.NormOp)}

    def _fusions_after(self) -> tuple[Fusion, ...]:
        try:
            return self.plan_after().fusions
        except PlanError:
            return ()

    def _own_eps(self, op: Operation) -> Operation:
        """Return a block of AFTER with the constants that AFTER's graph states."""

        def change(leaf: Leaf) -> tuple[Operation, ...] | None:
            if not isinstance(leaf, ops.NormOp):
                return None
            return (replace(leaf, eps=self._eps_after.get(leaf.var, leaf.eps)),)

        return edit(op, change)
