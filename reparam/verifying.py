"""The verb `verify`: whether one checkpoint is the deploy form of another, weight by weight.

Two checks per block. The weights of AFTER must be what folding BEFORE gives, up to rounding each
number once; that sees a change of one unit in the last place. And both forms are run by the
reference, which shares no code with the fold, on the same input; that sees a mistake in the fold.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reparam import operations as ops
from reparam.checkpoint import Hints, Reader, TensorInfo, config_beside, open_checkpoint
from reparam.fold import Folder, fold
from reparam.neutral import constant
from reparam.planning import make_hints, plan_reader
from reparam.plans import Fusion, Plan, Settings
from reparam.proof import BlockCheck, block_error, magnitudes, positive, probe
from reparam.report import EXTRA, Difference, VerifyReport
from reparam.rounding import FORMATS
from reparam.slabs import BlockReader, slabs

if TYPE_CHECKING:
    from collections.abc import Iterable
    from os import PathLike

    from numpy.typing import NDArray

    from reparam.linear import Array, Conv
    from reparam.operations import Rows


def verify(
    before: str | PathLike[str],
    after: str | PathLike[str],
    *,
    recipe: str | PathLike[str] | Iterable[str | PathLike[str]] | None = None,
    eps: float | None = None,
    input_size: tuple[int, ...] | None = None,
    config: str | PathLike[str] | None = None,
) -> VerifyReport:
    """Decide whether AFTER is the deploy form of BEFORE.

    Every tensor of both files is accounted for: fused, copied byte for byte, or reported. Whoever
    wrote AFTER, its norms may be gone or neutral, and its dtype may differ from that of BEFORE.

    Args:
        before: The train form.
        after: The deploy form.
        recipe: As for `fuse`.
        eps: As for `fuse`.
        input_size: As for `fuse`.
        config: The graph of BEFORE, as for `fuse`; that of AFTER is looked for beside it, where
            `fuse` puts it.

    Returns:
        The report; `report.ok` is the answer.

    Raises:
        PlanError: BEFORE cannot be planned; see `plan`.
        NumericError: BEFORE holds values that cannot be fused.
        CheckpointError: A file is malformed.

    Example:
        >>> import reparam
        >>> reparam.verify("repvgg.safetensors", "deploy.safetensors").ok  # doctest: +SKIP
        True
    """
    hints, hints_after = make_hints(input_size, config), Hints()
    if hints.config is not None:
        beside = config_beside(Path(after))
        hints_after = Hints(config=beside if beside.is_file() else hints.config)
    with (
        open_checkpoint(Path(before), hints) as old,
        open_checkpoint(Path(after), hints_after) as new,
    ):

        def planned(settings: Settings) -> Plan:
            return plan_reader(old, recipe=recipe, eps=eps, settings=settings, hints=hints)

        plan = planned(Settings())
        plan.check()
        if _is_neutral(plan, old, new):
            plan = planned(Settings(batch_norm="neutral"))
        return _Comparison(plan, old, new).report(str(before), str(after))


def _is_neutral(plan: Plan, old: Reader, new: Reader) -> bool:
    """Whether AFTER kept the norms of fused pairs but not their statistics."""
    for fusion in plan.fusions:
        pair = ops.conv_norm_pair(fusion.op)
        if pair and pair[0].weight == fusion.kernel.name:
            kept = pair[1].var in new.tensors
            return kept and not _same_bytes(old, new, pair[1].var)
    return False


def _same_bytes(old: Reader, new: Reader, name: str) -> bool:
    if old.tensors.get(name) != new.tensors.get(name):
        return False
    return all(a == b for a, b in zip(old.chunks(name), new.chunks(name), strict=True))


def _sequence(op: ops.Operation) -> bool:
    """Whether convolutions are composed somewhere in an operation, so that products add up."""
    match op:
        case ops.ChainOp(steps):
            maps = [s for s in steps if not isinstance(s, ops.NormOp | ops.ScaleOp | ops.NumberOp)]
            return len(maps) > 1 or any(map(_sequence, steps))
        case ops.SumOp(terms):
            return any(_sequence(term) for _, term in terms)
        case _:
            return False


class _Comparison:
    """One pass over both files."""

    def __init__(self, plan: Plan, old: Reader, new: Reader) -> None:
        self.plan, self.old, self.new = plan, old, new
        self.differences: list[Difference] = []
        self.checks: list[BlockCheck] = []
        self.certificate = 0.0
        self.copied = 0
        self.untouched = 0
        self.accounted: set[str] = set()

    def report(self, before: str, after: str) -> VerifyReport:
        for fusion in self.plan.fusions:
            self.block(fusion)
        for name in self.plan.copies:
            self.accounted.add(name)
            if name not in self.new.tensors:
                self.differ(name, "missing: it is not in the second file")
            elif self.old.tensors[name] != self.new.tensors[name]:
                was, now = self.old.tensors[name], self.new.tensors[name]
                self.differ(
                    name, f"shape {list(now.shape)} {now.dtype}, was {list(was.shape)} {was.dtype}"
                )
            elif not _same_bytes(self.old, self.new, name):
                self.differ(name, "changed: a tensor no fusion reads must be copied byte for byte")
            else:
                self.copied += 1
        for name in self.new.tensors:
            if name not in self.accounted:
                self.differ(name, EXTRA)
        return VerifyReport(
            before=before,
            after=after,
            plan=self.plan,
            fused=len(self.checks),
            copied=self.copied,
            untouched=self.untouched,
            worst=max(self.checks, key=lambda c: c.error, default=None),
            certificate=self.certificate,
            differences=tuple(self.differences),
        )

    def differ(self, name: str, what: str) -> None:
        self.differences.append(Difference(name, what))

    def block(self, fusion: Fusion) -> None:
        names = [w.name for w in fusion.writes]
        there = [n for n in names if n in self.new.tensors]
        if self._is_untouched(fusion):
            self.untouched += 1
            self.accounted.update(fusion.reads)
            return
        self.accounted.update(names)
        if len(there) < len(names):
            missing = next(n for n in names if n not in there)
            self.differ(missing, f"missing: block {fusion.name} should have written it")
            return
        found = [self.new.tensors[n] for n in names]
        fusion = replace(
            fusion,
            writes=tuple(
                replace(w, info=TensorInfo(w.info.shape, f.dtype if f.dtype in FORMATS else "?"))
                for w, f in zip(fusion.writes, found, strict=True)
            ),
        )
        for write, info in zip(fusion.writes, found, strict=True):
            if write.info != info:
                self.differ(
                    write.name,
                    f"shape {list(info.shape)} {info.dtype}, expected {list(write.info.shape)} of "
                    f"{', '.join(FORMATS)}",
                )
                return
        self._compare(fusion)

    def _is_untouched(self, fusion: Fusion) -> bool:
        return all(_same_bytes(self.old, self.new, name) for name in fusion.reads)

    @np.errstate(all="ignore")  # huge numbers in AFTER are differences, not warnings
    def _compare(self, fusion: Fusion) -> None:
        before, after = BlockReader(self.old.read), BlockReader(self.new.read)
        x = probe(fusion)
        worst = 0.0
        folder = Folder(fusion.op, before)
        for rows in slabs(fusion.op):
            exact = folder.conv(rows)
            wanted = folder.rounded(fusion.dtypes, rows)
            kernel = after(fusion.kernel.name, None if exact.transposed else rows)
            found = [(fusion.kernel.name, kernel, wanted[0], exact.kernel)]
            if fusion.bias is not None:
                bias = after(fusion.bias.name)[slice(*rows)]
                found.append((fusion.bias.name, bias, wanted[1], exact.bias))
            for name, got, _, _ in found:
                if not np.isfinite(got.astype(np.float64)).all():
                    self.differ(name, "holds NaN or infinity")
                    return
            self._certify(exact, [(g.astype(np.float64), e) for _, g, _, e in found])
            for name, got, rounded, real in found:
                self._weights(fusion, before, rows, name=name, wanted=rounded, got=got, exact=real)
            worst = max(worst, block_error(fusion, before, after, x, rows))
        for write in fusion.writes:
            if write.role in ("kernel", "bias"):
                continue
            expected = constant(write, fusion.binding.eps)
            if not np.array_equal(expected, after(write.name)):
                self.differ(write.name, f"not the {write.role} of a neutral norm")
        self.checks.append(BlockCheck(fusion.name, worst))
        if worst > 1:
            self.differ(
                fusion.name, f"an output differs by {worst:.3g} times what rounding can explain"
            )

    def _certify(self, conv: Conv, pairs: list[tuple[Array, Array]]) -> None:
        """Add up, per output, what the stored numbers are away from the exact ones."""
        taps = np.abs(pairs[0][0] - pairs[0][1])
        if conv.transposed:  # (in, out // groups, *space)
            split = taps.reshape(conv.groups, -1, *taps.shape[1:2], taps[0, 0].size)
            gap = split.sum(axis=(1, 3)).reshape(-1)
        else:
            gap = taps.reshape(len(taps), -1).sum(axis=1)
        for got, exact in pairs[1:]:
            gap = gap + np.abs(got - exact)
        self.certificate = max(self.certificate, float(gap.max(initial=0.0)))

    def _weights(
        self,
        fusion: Fusion,
        before: BlockReader,
        rows: Rows,
        *,
        name: str,
        wanted: NDArray[Any],
        got: NDArray[Any],
        exact: NDArray[np.float64],
    ) -> None:
        """Compare stored numbers with the correctly rounded ones, then with the bound."""
        if np.array_equal(wanted, got):
            return
        form = FORMATS[wanted.dtype.name]
        op = positive(fusion.op)
        sizes = fold(op, magnitudes(op, before), rows)
        size = sizes.kernel if exact.ndim > 1 else sizes.bias
        exponent = np.maximum(np.frexp(exact)[1] - 1, form.least_exponent)
        unit = np.ldexp(1.0, exponent - form.digits + 1)
        # conv+BN is promised to be the nearest number; sums add a rounding per branch, sequences
        # one per product
        terms = math.prod(fusion.kernel.info.shape[1:]) if _sequence(op) else len([*ops.leaves(op)])
        allowed = unit / 2 + (4 if ops.conv_norm_pair(op) else terms + 4) * 2.0**-53 * size
        gap = np.abs(got.astype(np.float64) - exact)
        excess = gap / allowed
        if excess.max() > 1:
            place = tuple(int(i) for i in np.unravel_index(int(excess.argmax()), excess.shape))
            index = [place[0] + rows[0], *place[1:]]
            count = int((excess > 1).sum())
            self.differ(
                name,
                f"{name}{index} is {got[place]!s}, folding gives {wanted[place]!s}: "
                f"{gap[place] / unit[place]:.3g} units in the last place away"
                + (f"; {count} such entries in these {len(got)} rows" if count > 1 else ""),
            )
