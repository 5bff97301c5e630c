"""What can be said of a block of AFTER: its grade, its worst number, its certificate."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum

from reparam.console import counted


class Grade(IntEnum):
    """How a block of AFTER relates to the exact fold of BEFORE, from best to worst."""

    IDENTICAL = 0
    """Every number is the stored dtype's nearest one to the exact result, proved by Ziv's test."""
    ROUNDING = 1
    """Every number is within half a unit in its last place, and float64's own rounding."""
    WITHIN = 2
    """Every number is within what arithmetic in about the stored dtype can explain: half a unit and
    `(n + 1) u A`, with n and u those of a plain tool."""
    DIFFERENT = 3
    """Some number is not."""

    def __str__(self) -> str:
        """Return the word reports use."""
        return ("identical", "rounding only", "within rho", "DIFFERENT")[self]


@dataclass(frozen=True, slots=True)
class Entry:
    """One number of AFTER beside the exact one.

    Attributes:
        tensor: Its tensor in AFTER.
        index: Its index there.
        found: What AFTER stores.
        expected: The exact result, to float64.
        ulp: Their distance in units in the last place of AFTER's dtype.
        relative: Their distance as a fraction of the sum of all |terms|.
    """

    tensor: str
    index: tuple[int, ...]
    found: float
    expected: float
    ulp: float
    relative: float

    @property
    def place(self) -> str:
        """Where it stands in its tensor: `[0, 3]`, or nothing in a tensor without axes."""
        return f"[{', '.join(map(str, self.index))}]" if self.index else ""

    @property
    def seen(self) -> str:
        """The number, and where it stands."""
        return f"{self.place} is {self.found:.9g}".lstrip()

    def __str__(self) -> str:
        """Return the number beside the exact one."""
        return (
            f"{self.seen}, exactly {self.expected:.12g}: {self.ulp:.3g} ulp, "
            f"{self.relative:.2g} of the sum of its terms"
        )


@dataclass(frozen=True, slots=True)
class Certificate:
    """What is proved of one block.

    Attributes:
        name: The layer.
        grade: The worst of all its numbers.
        bound: C: for inputs of size at most 1, no output differs by more. A pattern of signs
            attains it, up to float64's rounding.
        rho: C relative to the block's range, for every size of input from 1 up.
        worst: The number farthest from the exact one, measured by what rounding allows.
        reason: Why the block could not be compared number by number, if so.
        off: How many numbers are beyond `ROUNDING`; few of many are an edit, not arithmetic.
        numbers: How many numbers were compared.
        dtype: That of AFTER's kernel.
        cause: The known mistake that explains AFTER's numbers, if one does.
    """

    name: str
    grade: Grade
    bound: float
    rho: float
    worst: Entry | None
    reason: str = ""
    off: int = 0
    numbers: int = 0
    dtype: str = ""
    cause: str = ""

    @property
    def share(self) -> str:
        """How many of its numbers are beyond rounding, in words."""
        are = "is" if self.off == 1 else "are"
        return f"{self.off} of its {counted(self.numbers, 'number')} {are} beyond rounding"


def arithmetic(dtype: str) -> str:
    """Return the least precise arithmetic a tool may have used for numbers it stores in a dtype.

    Nobody computes in 8 bits; float64 may hold what was computed in float32.
    """
    return {"float16": "float16", "float64": "float32", "float32": "float32"}.get(dtype, "bfloat16")


def broken(name: str, reason: str, worst: Entry | None = None) -> Certificate:
    """Return the certificate of a block that is missing, malformed or not finite."""
    return Certificate(name, Grade.DIFFERENT, math.inf, math.inf, worst, reason)
