"""Grading every pair of blocks and every copied tensor of two checkpoints: one pass over both."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from reparam import operations as ops
from reparam.certificate import certify
from reparam.errors import NumericError, ReparamError, VerificationError
from reparam.grades import Certificate, Grade, broken
from reparam.modules import ModuleIndex
from reparam.neutral import not_neutral
from reparam.pairing import Pair
from reparam.proof import FoldCheck
from reparam.rounding import FORMATS, round_to
from reparam.similar import plain_op
from reparam.slabs import BlockReader
from reparam.tensor_bytes import finite, same_bytes
from reparam.verify_report import Difference, VerifyReport

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reparam.checkpoint import Reader
    from reparam.pairing import Pairing
    from reparam.plans import Plan


class Comparison:
    """One pass over both files.

    Args:
        plan: What BEFORE should be fused to.
        old: BEFORE.
        new: AFTER.
    """

    def __init__(self, plan: Plan, old: Reader, new: Reader) -> None:
        self.plan, self.old, self.new = plan, old, new
        self.index = ModuleIndex(old.tensors)
        self.blocks: list[Certificate] = []
        self.problems: list[Difference] = []
        self.uncertified: list[str] = []
        self.converted: list[str] = []
        self.notes = [] if plan.fusions else list(plan.notes)
        self.unexplained: list[tuple[int, Pair]] = []
        self.copied = self.untouched = self.fused = 0

    def compare(self, pairing: Pairing) -> None:
        """Grade every pair and every copy."""
        for pair in pairing.pairs:
            if pair.fusion and pair.op == pair.after and self._unchanged(pair.fusion.reads):
                self.untouched += 1
                kind = pair.fusion.dtypes[0]
                same = Certificate(pair.name, Grade.IDENTICAL, 0.0, 0.0, None, dtype=kind)
                self.blocks.append(same)
            else:
                self.fused += pair.fusion is not None
                self._block(pair)
        self._explain()
        self._copies(pairing.copies)
        unknown = any(name.endswith(".running_var") for name in pairing.extra)
        if unknown and (pairing.lost or pairing.missing):
            self.notes.append(
                "the second file holds norms under names that no recipe knows; write one for it "
                "and give it with --recipe, see docs/recipes.md"
            )
        if pairing.exchangeable:
            self.notes.append(
                f"{pairing.exchangeable} layers and tensors have other names in the second file "
                "and the shape of another one: they were told apart by their numbers, so an "
                "exchange shows only as far as the names tell it"
            )
        lost = {block: (kernel, MISSING) for block, kernel in pairing.lost.items()}
        for block, (name, what) in (pairing.misshapen | lost).items():
            self.blocks.append(broken(block, what))
            self.problems.append(Difference(name, what))
        alone = dict.fromkeys(pairing.missing, MISSING) | dict.fromkeys(pairing.extra, EXTRA)
        for name, what in (alone | pairing.disordered).items():
            self._uncertified(name, what)

    def _copies(self, copies: list[tuple[str, str]]) -> None:
        names = dict(copies)
        layers: dict[str, None] = {}
        for before, after in copies:
            if same_bytes(self.old, before, self.new, after):
                self.copied += 1
                self._finite(before)
            elif before == after and (path := self._layer(before, names)):
                layers[path] = None
            else:
                self._tensor(before, after)
        for path in layers:
            self._plain(path)

    def report(
        self,
        pairing: Pairing,
        before: str,
        after: str,
        digests: Mapping[str, str],
        max_rho: float | None,
    ) -> VerifyReport:
        """Return what was found."""
        order = {fusion.name: place for place, fusion in enumerate(self.plan.fusions)}
        self.blocks.sort(key=lambda block: order.get(block.name, len(order)))
        return VerifyReport(
            before=before,
            after=after,
            digests=digests,
            plan=self.plan,
            blocks=tuple(self.blocks),
            fused=self.fused,
            copied=self.copied,
            converted=tuple(self.converted),
            untouched=self.untouched,
            counters=tuple(pairing.counters),
            extra=tuple(pairing.extra),
            renamed=pairing.renamed,
            problems=tuple(self.problems),
            uncertified=tuple(self.uncertified),
            notes=tuple(self.notes),
            max_rho=max_rho,
        )

    def _unchanged(self, names: tuple[str, ...]) -> bool:
        there = (name for name in names if name in self.new.tensors)
        return all(same_bytes(self.old, name, self.new, name) for name in there)

    def _layer(self, name: str, copies: Mapping[str, str]) -> str | None:
        """Return the layer a tensor belongs to, if its weight can be compared as a kernel's."""
        path = name.rpartition(".")[0]
        module = self.index.get(path)
        if module is None or module.kind != "conv" or name not in module.tensors.values():
            return None
        weight = module.tensors["weight"]
        if copies.get(weight) != weight:
            return None
        shapes = [(self.old.tensors[n], self.new.tensors[n]) for n in (name, weight)]
        alike = all(a.shape == b.shape and {a.dtype, b.dtype} <= FORMATS.keys() for a, b in shapes)
        return path if alike else None

    def _plain(self, path: str) -> None:
        """Grade a layer that no fusion reads and whose bytes differ."""
        module = self.index.get(path)
        assert module is not None
        bias = module.tensors.get("bias")
        shared = bias if bias in self.plan.copies and bias in self.new.tensors else None
        op = plain_op(module.tensors["weight"], shared, self.index)
        self._block(Pair(path, op, op, None, path))

    def _block(self, pair: Pair) -> None:
        before, after = BlockReader(self.old.read), BlockReader(self.new.read)
        check = FoldCheck(pair.fusion, before) if pair.fusion else None
        try:
            found = certify(pair.name, pair.op, before, pair.after, after, watch=check)
        except ReparamError as error:
            raise type(error)(f"{self.plan.source}: {pair.name}: {error}") from None
        if check is not None and not check.worst <= 1:
            raise VerificationError(
                f"{pair.name}: the fold is {check.worst:.3g} times its rounding bound away from "
                "the reference. Please report this with the plan ('reparam inspect FILE --json')."
            )
        if pair.fusion is not None and found.grade >= Grade.WITHIN and not found.reason:
            self.unexplained.append((len(self.blocks), pair))
        self.blocks.append(found)
        if found.grade is Grade.DIFFERENT:
            self.problems.append(_difference(pair, found, after))

    def _explain(self) -> None:
        """Look for the mistakes behind blocks that differ, smallest blocks first.

        What arithmetic in AFTER's dtype explains needs no mistake. One can hide in it, but shows in
        a few of many numbers or in every block: the smallest one tells.
        """
        if not self.unexplained:
            return
        from reparam.explain import explain, relative, settle  # noqa: PLC0415  where files differ

        explained = failed = skipped = 0
        found: dict[int, dict[str, float]] = {}
        likely: set[str] = set()
        for place, pair in sorted(self.unexplained, key=lambda x: self.blocks[x[0]].numbers):
            block, fusion = self.blocks[place], pair.fusion
            assert fusion is not None
            share = block.off / block.numbers
            hidden = FEWEST < share < FEW
            if block.grade is Grade.WITHIN and (share < FEWEST or (failed and not hidden)):
                continue
            if failed == MOST_FAILED:
                skipped += 1
                continue
            causes = explain(
                fusion,
                self.plan.fusions,
                self.old.read,
                self.new.read,
                after_op=pair.after,
                right=block,
                likely=likely,
                enough=explained >= SEARCHED,
            )
            explained += bool(causes)
            failed += not causes
            found[place] = {relative(cause, fusion): rest for cause, rest in causes.items()}
            likely.update(found[place])
        for place, cause in settle(found).items():
            self.blocks[place] = replace(self.blocks[place], cause=cause)
        if skipped:
            self.notes.append(
                f"no known mistake explains {failed} blocks; {skipped} more were not tried"
            )

    def _tensor(self, before: str, after: str) -> None:
        """Compare a tensor that is no layer's kernel or bias, and whose bytes differ."""
        was, now = self.old.tensors[before], self.new.tensors[after]
        if was.shape != now.shape or not {was.dtype, now.dtype} <= FORMATS.keys():
            what = "changed: a tensor no fusion reads must be copied byte for byte"
            if was != now:
                what = f"shape {list(now.shape)} {now.dtype}, was {list(was.shape)} {was.dtype}"
            self._uncertified(after, what)
            return
        values, stored = self.old.read(before).astype(np.float64), self.new.read(after)
        try:
            wanted = round_to(values, now.dtype, before)
        except NumericError as error:
            self._uncertified(after, str(error))
            return
        if np.array_equal(wanted, stored):
            self.converted.append(after)
            self.uncertified.append(after)
            return
        index = tuple(int(i) for i in np.argwhere(~(wanted == stored))[0])
        place = f"{list(index)} " if index else ""
        self._uncertified(after, f"{place}is {stored[index]!s}, was {wanted[index]!s}")

    def _finite(self, name: str) -> None:
        """Note a tensor that makes outputs NaN or infinite, although in both files alike."""
        if self.old.tensors[name].dtype in FORMATS and not finite(self.old, name):
            self.notes.append(f"{name} holds NaN or infinity, in both files alike")
            self.uncertified.append(name)

    def _uncertified(self, name: str, what: str) -> None:
        """Note a difference that is in no block's certificate."""
        self.problems.append(Difference(name, what))
        self.uncertified.append(name)


def _difference(pair: Pair, found: Certificate, after: BlockReader) -> Difference:
    """Say what is wrong with a block, and where."""
    if found.worst is None:
        return Difference(pair.name, found.reason)
    what = [found.reason] if found.reason else []
    if pair.fusion and ops.conv_norm_pair(pair.after) is None and pair.after == pair.op:
        what.append("in train form, so it was folded too")
    stored = pair.after if isinstance(pair.after, ops.ConvOp) else None
    if stored and stored.bias is None and pair.fusion and pair.fusion.bias:
        name = pair.fusion.bias.name
        what.append(f"missing: {name}, which {pair.name} should have; zeros were compared")
    if found.reason:
        what.append(found.worst.seen)
    else:
        what += [str(found.worst), found.share]
    norm = ops.conv_norm_pair(pair.after)
    if norm is not None and (active := not_neutral(norm[1], after)):
        what.append(f"{', '.join(active)} not neutral, so the norm was folded in")
    return Difference(found.worst.tensor, "; ".join(what))


FEW = 0.3
"""Of a block in float32 arithmetic, half of the numbers are beyond rounding."""

FEWEST = 0.01
"""Fewer are what rounding twice does, through float32 to float16, or an edit: no mistake in all."""

SEARCHED = 4
"""Blocks in which all known mistakes are tried, before those that explain them are tried alone."""

MOST_FAILED = 8
"""Blocks that no known mistake explains before others are left alone."""

MISSING = "missing: nothing in the second file stands for it"
EXTRA = "extra: nothing in the train form accounts for it"
