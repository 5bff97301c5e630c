"""What the verbs report: plain records with a text for people and a dict for programs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reparam.digest import digest
from reparam.plans import MODEL_CONFIG

if TYPE_CHECKING:
    from reparam.plans import Fusion, Plan
    from reparam.proof import BlockCheck

Rows = list[tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class FuseReport:
    """What `fuse` did.

    Attributes:
        source: The checkpoint it read.
        output: The file it wrote, or None after a dry run.
        plan: What it carried out.
        verified: Whether every block was checked against the reference before it was written.
        worst: The block with the largest error, if any was checked.
        notes: What else to know of the plan and the file.
    """

    source: str
    output: str | None
    plan: Plan
    verified: bool
    worst: BlockCheck | None
    notes: tuple[str, ...] = ()

    @property
    def fused(self) -> int:
        """Number of fused blocks."""
        return len(self.plan.fusions)

    @property
    def copied(self) -> int:
        """Number of tensors passed through byte for byte."""
        return len(self.plan.copies)

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain JSON values."""
        return {
            "source": self.source,
            "output": self.output,
            "fused": self.fused,
            "copied": self.copied,
            "recipes": list(self.plan.recipes),
            "assumed": list(self.plan.assumed),
            "skipped": [{"name": s.name, "reason": s.reason} for s in self.plan.skipped],
            "notes": list(self.notes),
            "batch_norm": self.plan.settings.batch_norm,
            "dtype": self.plan.settings.dtype,
            "verified": self.verified,
            "worst": _check(self.worst),
        }

    def __str__(self) -> str:
        """Return a few lines for a person."""
        if self.output is None:
            return f"dry run, nothing written\n{self.plan}"
        lines = [
            f"fused {self.fused} blocks, copied {self.copied} tensors: {self.output}",
            *remarks(self.plan),
            *(f"note: {note}" for note in self.notes[len(self.plan.notes) :]),
        ]
        if self.worst is not None:
            lines.append(
                f"verified: every block within its rounding bound, worst {self.worst.name} "
                f"at {self.worst.error:.2f} of it"
            )
        elif not self.verified:
            lines.append("not verified (--no-verify)")
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Difference:
    """One way in which AFTER is not the deploy form of BEFORE."""

    name: str
    what: str


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What `verify` found.

    Attributes:
        before: The train form.
        after: The deploy form.
        plan: What BEFORE should be fused to.
        fused: Number of blocks that were compared.
        copied: Number of tensors that must be, and are, the same bytes in both files.
        untouched: Number of blocks that AFTER still holds in train form, byte for byte.
        worst: The block with the largest error.
        certificate: For inputs of size at most 1, no output of any block differs by more.
        differences: Everything that is not as it should be; empty when the files agree.
    """

    before: str
    after: str
    plan: Plan
    fused: int
    copied: int
    untouched: int
    worst: BlockCheck | None
    certificate: float
    differences: tuple[Difference, ...]

    @property
    def ok(self) -> bool:
        """Whether both files compute the same function up to rounding each weight once."""
        return not self.differences

    @property
    def not_covered(self) -> str:
        """What this comparison cannot see."""
        return NOT_COMPARED if MODEL_CONFIG in self.plan.recipes else NOT_COVERED

    @property
    def extra(self) -> tuple[str, ...]:
        """Tensors of AFTER that nothing in BEFORE accounts for."""
        return tuple(d.name for d in self.differences if d.what == EXTRA)

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain JSON values."""
        return {
            "before": self.before,
            "after": self.after,
            "ok": self.ok,
            "fused": self.fused,
            "copied": self.copied,
            "untouched": self.untouched,
            "extra": list(self.extra),
            "recipes": list(self.plan.recipes),
            "assumed": list(self.plan.assumed),
            "worst": _check(self.worst),
            "certificate": self.certificate if math.isfinite(self.certificate) else None,
            "differences": [{"name": d.name, "what": d.what} for d in self.differences],
            "not_covered": self.not_covered,
        }

    def __str__(self) -> str:
        """Return a few lines for a person."""
        counts = (
            f"{self.fused} fused blocks, {self.copied} copied tensors, "
            f"{self.untouched} blocks still in train form, {len(self.extra)} extra tensors"
        )
        if self.ok and not self.fused:
            head = (
                f"equal: both hold the same train form, nothing is fused in {self.after}\n{counts}"
            )
        elif self.ok:
            head = f"equal: {self.after} is the deploy form of {self.before}\n{counts}"
        else:
            head = f"DIFFERENT: {self.after} is not the deploy form of {self.before}\n{counts}"
        lines = [head, *(f"  {d.name}: {d.what}" for d in self.differences[:SHOWN])]
        if len(self.differences) > SHOWN:
            lines.append(f"  … and {len(self.differences) - SHOWN} more (--json lists all)")
        if self.worst is not None:
            lines.append(
                f"worst block {self.worst.name} at {self.worst.error:.2f} of its rounding bound; "
                "for inputs within ±1 no block's output differs by more than "
                f"{self.certificate:.2g}"
            )
        lines += [f"assumed {fact}" for fact in self.plan.assumed]
        lines.append(f"not covered: {self.not_covered}")
        return "\n".join(lines)


EXTRA = "extra: nothing in the train form accounts for it"
SHOWN = 10
FEW = 3
NOT_COVERED = (
    "what is assumed above would be wrong on both sides alike; the graph around the blocks "
    "(strides, activations, order) is not in a checkpoint"
)


NOT_COMPARED = (
    "the graph around the blocks is taken from the config of the train form; that of the other "
    "file (its strides, activations, order of layers) is not compared with it"
)


def plan_text(plan: Plan) -> str:
    """Return a plan as plain text: a table of fusions and what else there is to say."""
    rows = fusion_rows(plan)
    widths = [max(len(row[i]) for row in [FUSION_HEADS, *rows]) for i in range(2)]
    lines = [
        f"{plan.source}: {len(plan.fusions)} fusions, {len(plan.copies)} tensors copied",
        *(
            "  ".join((row[0].ljust(widths[0]), row[1].ljust(widths[1]), row[2])).rstrip()
            for row in [FUSION_HEADS, *rows]
        ),
        *remarks(plan),
    ]
    return "\n".join(lines)


FUSION_HEADS = ("result", "kernel", "from")


def fusion_rows(plan: Plan) -> Rows:
    """Return name, kernel shape and dtype, and expression per fusion; long lists are folded."""
    return digest([(f.name, _kernel(f), f.expression) for f in plan.fusions])


def _kernel(fusion: Fusion) -> str:
    info = fusion.kernel.info
    return f"{'x'.join(map(str, info.shape))} {info.dtype}"


def remarks(plan: Plan) -> list[str]:
    """Return what a plan has to say besides its fusions, a line each."""
    lines = [name if name == MODEL_CONFIG else f"recipe {name}" for name in plan.recipes]
    lines += [f"assumed {fact}" for fact in plan.assumed]
    lines += [f"note: {note}" for note in plan.notes]
    stay = digest([(s.name, s.reason) for s in plan.skipped], most=FEW)
    lines += [f"not fused: {name}: {reason}" for name, reason in stay]
    if plan.unclaimed:
        lines.append(f"refused: tensors no line reads: {', '.join(plan.unclaimed)}")
    return lines


def _check(check: BlockCheck | None) -> dict[str, Any] | None:
    return None if check is None else {"block": check.name, "error": check.error}
