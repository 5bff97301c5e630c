"""What the verbs report: plain records with a text for people and a dict for programs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reparam.console import counted
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
        became_zero: Fused numbers that are not zero before they are rounded to their dtype.
        became_subnormal: Those that are stored with fewer digits than the dtype has, because it
            has no smaller numbers.
    """

    source: str
    output: str | None
    plan: Plan
    verified: bool
    worst: BlockCheck | None
    notes: tuple[str, ...] = ()
    became_zero: int = 0
    became_subnormal: int = 0

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
            "became_zero": self.became_zero,
            "became_subnormal": self.became_subnormal,
            "verified": self.verified,
            "worst": _check(self.worst),
        }

    def __str__(self) -> str:
        """Return a few lines for a person."""
        if self.output is None:
            return f"dry run, nothing written\n{self.plan}"
        done = f"fused {counted(self.fused, 'block')}, copied {counted(self.copied, 'tensor')}"
        lines = [
            f"{done}: {self.output}",
            *remarks(self.plan),
            *(f"note: {note}" for note in self.notes[len(self.plan.notes) :]),
        ]
        if self.became_zero or self.became_subnormal:
            dtypes = dict.fromkeys(d for f in self.plan.fusions for d in f.dtypes)
            advice = "" if "float32" in dtypes else " (--dtype float32 keeps their digits)"
            lines.append(
                f"note: {self.became_zero} fused values became zero and {self.became_subnormal} "
                f"subnormal in {', '.join(dtypes)}, which has no smaller numbers{advice}"
            )
        if self.worst is not None:
            lines.append(
                f"verified: every block within its rounding bound, worst {self.worst.name} "
                f"at {self.worst.error:.2f} of it"
            )
        elif not self.verified:
            lines.append("not verified (--no-verify)")
        return "\n".join(lines)


FEW = 3


def plan_text(plan: Plan) -> str:
    """Return a plan as plain text: a table of fusions and what else there is to say."""
    rows = fusion_rows(plan)
    widths = [max(len(row[i]) for row in [FUSION_HEADS, *rows]) for i in range(2)]
    fusions, copies = counted(len(plan.fusions), "fusion"), counted(len(plan.copies), "tensor")
    lines = [
        f"{plan.source}: {fusions}, {copies} copied",
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
