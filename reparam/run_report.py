"""What `verify --run` says, in words and as JSON."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Check:
    """One comparison of both forms.

    Attributes:
        name: `dyadic`, `float64` or `as stored`.
        value: Largest difference, relative to the largest number of that output; 0 only if every
            number is equal.
        bound: What it may be.
        verdict: `equal`, `rounds`, `within`, `nothing shown` or `DIFFERENT`.
        what: Where the difference is, or why there is nothing to see.
    """

    name: str
    value: float
    bound: float
    verdict: str
    what: str

    @property
    def ok(self) -> bool:
        """Whether the difference is one that rounding explains."""
        return self.verdict != "DIFFERENT"

    def __str__(self) -> str:
        """Return one line."""
        match self.verdict:
            case "equal":
                said = f"equal, bit for bit; {self.what}"
            case "rounds":
                said = (
                    f"this net rounds: {self.value:.2g} relative in {self.what}, at most "
                    f"{self.bound:.2g} allowed; not shown to be equal"
                )
            case "nothing shown":
                said = f"nothing shown: {self.what}"
            case "within":
                said = f"{self.value:.2g} relative in {self.what}; allowed {self.bound:.2g}"
            case _:
                said = (
                    f"DIFFERENT: {self.value:.2g} relative, {self.what}; allowed {self.bound:.2g}"
                )
        return f"{self.name}: {said}"


@dataclass(frozen=True, slots=True)
class RunReport:
    """What running both forms in a framework showed.

    Attributes:
        framework: Name and version.
        model: The user's file, if there is one.
        checks: The comparisons.
        notes: What a user should know besides.
    """

    framework: str
    model: str | None
    checks: tuple[Check, ...]
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether every check passed."""
        return all(check.ok for check in self.checks)

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain values for JSON; what is infinite is null."""
        return {
            "framework": self.framework,
            "model": self.model,
            "ok": self.ok,
            "checks": [
                {
                    "name": check.name,
                    "value": check.value if math.isfinite(check.value) else None,
                    "bound": check.bound if math.isfinite(check.bound) else None,
                    "verdict": check.verdict,
                    "ok": check.ok,
                    "what": check.what,
                }
                for check in self.checks
            ],
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        """Return a line per check."""
        models = "the models in the files" if self.model is None else self.model
        lines = [f"run by {self.framework} in float64, {models}:"]
        lines += [f"  {check}" for check in self.checks]
        return "\n".join(lines + [f"  note: {note}" for note in self.notes])
