"""What `verify` found: a certificate per block, and what follows for the network."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reparam.grades import Grade
from reparam.plans import MODEL_CONFIG

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reparam.grades import Certificate
    from reparam.plans import Plan


@dataclass(frozen=True, slots=True)
class Difference:
    """One way in which AFTER is not the deploy form of BEFORE."""

    name: str
    what: str

    def __str__(self) -> str:
        """Return one line: a place in a tensor stands right behind the tensor's name."""
        return f"{self.name}{self.what}" if self.what[:1] == "[" else f"{self.name}: {self.what}"


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What `verify` found.

    Attributes:
        before: The train form.
        after: The deploy form.
        digests: SHA-256 of both files, or nothing for arrays in memory.
        plan: What BEFORE should be fused to.
        blocks: A certificate for every block, and for every other layer whose bytes differ.
        fused: Number of blocks that were compared.
        copied: Number of tensors that are, as they must be, the same bytes in both files.
        converted: Tensors that are no layers and were rounded to another dtype.
        untouched: Number of blocks that AFTER still holds in train form, byte for byte.
        counters: Tensors that only training reads and that are not alike in both files.
        extra: Tensors of AFTER that nothing in BEFORE accounts for.
        renamed: Layers and tensors of BEFORE with another name in AFTER.
        problems: Everything that makes the files different.
        uncertified: What differs and is in no certificate: tensors and layers that are missing,
            extra, misshapen, exchanged, or no layer's and not the same bytes. Nothing bounds a
            network with any.
        notes: What else to know.
        max_rho: The largest rho the user accepts for blocks graded `within rho`.
    """

    before: str
    after: str
    digests: Mapping[str, str]
    plan: Plan
    blocks: tuple[Certificate, ...]
    fused: int
    copied: int
    converted: tuple[str, ...]
    untouched: int
    counters: tuple[str, ...]
    extra: tuple[str, ...]
    renamed: Mapping[str, str]
    problems: tuple[Difference, ...]
    uncertified: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    max_rho: float | None = None

    @property
    def grade(self) -> Grade:
        """The worst grade of anything in the two files."""
        if self.problems:
            return Grade.DIFFERENT
        least = Grade.ROUNDING if self.converted else Grade.IDENTICAL
        return max([least, *(block.grade for block in self.blocks)])

    @property
    def ok(self) -> bool:
        """Whether both files compute the same function, up to what the user accepts."""
        if self.grade <= Grade.ROUNDING:
            return True
        return self.grade is Grade.WITHIN and self.max_rho is not None and not self.over

    @property
    def differences(self) -> tuple[Difference, ...]:
        """Everything that is not as it should be; empty when `ok`."""
        unaccepted = dict.fromkeys(self.over)
        return self.problems + tuple(
            Difference(b.worst.tensor, f"{b.grade}: {b.worst}; {b.share}")
            for b in self.blocks
            if b.name in unaccepted and b.worst is not None
        )

    @property
    def over(self) -> tuple[str, ...]:
        """Blocks graded `within rho` whose rho is larger than the user accepts."""
        most = -1.0 if self.max_rho is None else self.max_rho
        return tuple(b.name for b in self.blocks if b.grade is Grade.WITHIN and not b.rho <= most)

    @property
    def certificate(self) -> float:
        """The largest C: for inputs within ±1, no output of any block differs by more.

        Infinite, as are `rho` and `network`, if something differs that is in no certificate.
        """
        if self.uncertified:
            return math.inf
        return max((block.bound for block in self.blocks), default=0.0)

    @property
    def rho(self) -> float:
        """The sum of rho over all blocks."""
        return math.inf if self.uncertified else sum(block.rho for block in self.blocks)

    @property
    def network(self) -> float:
        """What bounds the whole network: the sum of rho, compounded; see `NETWORK`."""
        exponent = sum(math.log1p(block.rho) for block in self.blocks)
        bounded = exponent < MOST_EXPONENT and not self.uncertified
        return math.expm1(exponent) if bounded else math.inf

    @property
    def causes(self) -> dict[str, list[str]]:
        """Known mistakes that explain blocks of AFTER, with the blocks."""
        found: dict[str, list[str]] = {}
        for block in self.blocks:
            if block.cause:
                found.setdefault(block.cause, []).append(block.name)
        return found

    @property
    def not_covered(self) -> str:
        """What this comparison cannot see."""
        return NOT_COMPARED if MODEL_CONFIG in self.plan.recipes else NOT_COVERED

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain JSON values; infinite numbers are null."""
        return {
            "before": self.before,
            "after": self.after,
            "sha256": dict(self.digests),
            "ok": self.ok,
            "grade": str(self.grade),
            "max_rho": self.max_rho,
            "fused": self.fused,
            "copied": self.copied,
            "converted": list(self.converted),
            "untouched": self.untouched,
            "counters": list(self.counters),
            "extra": list(self.extra),
            "uncertified": list(self.uncertified),
            "renamed": dict(self.renamed),
            "recipes": list(self.plan.recipes),
            "assumed": list(self.plan.assumed),
            "blocks": [_block(block) for block in self.blocks],
            "certificate": _finite(self.certificate),
            "network": {
                "rho": _finite(self.rho),
                "bound": _finite(self.network),
                "covers": NETWORK,
            },
            "causes": self.causes,
            "notes": list(self.notes),
            "differences": [{"name": d.name, "what": d.what} for d in self.differences],
            "not_covered": self.not_covered,
        }

    def __str__(self) -> str:
        """Return the report for a person."""
        from reparam.verify_text import report_text  # noqa: PLC0415  texts are a layer above

        return report_text(self)


def _block(block: Certificate) -> dict[str, Any]:
    worst = block.worst
    return {
        "name": block.name,
        "grade": str(block.grade),
        "dtype": block.dtype or None,
        "certificate": _finite(block.bound),
        "rho": _finite(block.rho),
        "numbers": block.numbers,
        "beyond_rounding": block.off,
        "reason": block.reason or None,
        "cause": block.cause or None,
        "worst": worst
        and {
            "tensor": worst.tensor,
            "index": list(worst.index),
            "found": _finite(worst.found),
            "expected": worst.expected,
            "ulp": _finite(worst.ulp),
            "relative": _finite(worst.relative),
        },
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


MOST_EXPONENT = 700.0
"""Beyond it float64 has no powers of e."""

NETWORK = (
    "in exact arithmetic, for every graph that joins these blocks, each used once, by sums, "
    "concatenations, max and average pools and activations that keep 0 and have bounded slope "
    "(ReLU, SiLU, GELU, tanh)"
)

_BEYOND = "SE gates, attention and softmax; the order in which a machine adds up"

NOT_COVERED = (
    "eps, strides and what else is assumed above, which would be wrong on both sides alike; the "
    f"graph that joins the blocks; {_BEYOND}"
)

NOT_COMPARED = (
    "the graph that joins the blocks: it is taken from the config of the train form, and that of "
    "the other file (its strides, activations, order of layers) is not compared with it; "
    f"{_BEYOND}"
)
