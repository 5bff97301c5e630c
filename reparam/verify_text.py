"""The report of `verify` as text: a head, what is wrong, a line per block, what it means."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from reparam.console import counted
from reparam.grades import Grade, arithmetic
from reparam.rounding import FORMATS
from reparam.verify_report import NETWORK

if TYPE_CHECKING:
    from reparam.grades import Certificate
    from reparam.verify_report import VerifyReport

SINGLE = 24
"""Significant bits of float32; what is stored with fewer is worth a word."""

SHOWN, FEW = 10, 3
"""How many differences are listed, and how many where a known mistake explains them."""

MOST_ROWS = 200
"""How many blocks are listed."""

HEADS = ("block", "grade", "beyond rounding", "C", "rho", "worst number", "ulp", "of its terms")

MEANING = (
    "for inputs within ±1 no output of the block differs by more; rho: C relative to the block's "
    "range"
)

RENAMED = "their order is compared only where numbers in the names tell it"


def report_text(report: VerifyReport) -> str:
    """Return the report of `verify` for a person."""
    lines = [_head(report), _counts(report)]
    for cause, names in report.causes.items():
        lines.append(f"AFTER was fused {cause} ({_some(names)})")
    shown = FEW if report.causes else SHOWN
    lines += [f"  {difference}" for difference in report.problems[:shown]]
    if len(report.problems) > shown:
        lines.append(f"  … and {len(report.problems) - shown} more (--json lists all)")
    lines += [f"note: {note}" for note in report.notes]
    lines += _table(report.blocks)
    if report.blocks:
        lines.append(f"C: {MEANING}")
    if report.blocks and math.isfinite(report.rho):
        share = f"{report.network:.2g} of their worst-case range (the sum of rho, compounded)"
        lines.append(f"network: outputs differ by at most {share}, {NETWORK}")
    elif report.uncertified:
        lines.append(
            f"network: no bound, as no certificate covers {', '.join(report.uncertified[:FEW])}"
            + ", …" * (len(report.uncertified) > FEW)
        )
    if report.renamed:
        old, new = next(iter(report.renamed.items()))
        lines.append(
            f"paired by value, since names differ: {len(report.renamed)} layers and tensors "
            f"({old} is {new}, …); {RENAMED}"
        )
    lines += [f"assumed {fact}" for fact in report.plan.assumed]
    lines.append(f"not covered: {report.not_covered}")
    return "\n".join(lines)


def _head(report: VerifyReport) -> str:
    grade, before, after = report.grade, report.before, report.after
    if grade is Grade.DIFFERENT:
        return f"{grade}: {after} is not shown to compute what {before} does"
    head = f"{grade}: {after} computes the same function as {before}"
    narrow = {b.dtype: None for b in report.blocks if FORMATS[b.dtype].digits < SINGLE}
    head += "".join(f", rounded to {dtype}" for dtype in narrow)
    if report.untouched and report.untouched == len(report.blocks):
        head += "; both hold the train form, nothing is fused"
    if grade is not Grade.WITHIN:
        return head
    within = [block for block in report.blocks if block.grade is grade]
    largest = max(block.rho for block in within)
    head += f" up to arithmetic in {arithmetic(within[0].dtype)}, largest rho {largest:.2g}"
    if report.over and report.max_rho is None:
        return f"{head}. To accept it, say --max-rho"
    return f"{head}, more than --max-rho {report.max_rho:g}" if report.over else head


def _counts(report: VerifyReport) -> str:
    grades = [block.grade for block in report.blocks]
    each = ", ".join(f"{grades.count(g)} {g}" for g in Grade if g in grades)
    more = [
        (report.untouched, "block", " still in train form"),
        (len(report.converted), "tensor", " rounded to another dtype"),
        (len(report.counters), "counter", " of training ignored"),
        (len(report.extra), "extra tensor", ""),
    ]
    counts = [f"{counted(report.copied, 'tensor')} copied"]
    counts += [counted(number, what) + how for number, what, how in more if number]
    blocks = [f"{counted(len(grades), 'block')}: {each}"] if grades else []
    return "; ".join([*blocks, ", ".join(counts)])


def _table(blocks: tuple[Certificate, ...]) -> list[str]:
    """Return a line per block; of very many, the worst ones."""
    shown = blocks
    if len(blocks) > MOST_ROWS:
        shown = tuple(sorted(blocks, key=lambda b: (-b.grade, -b.rho))[:MOST_ROWS])
    rows = [HEADS, *(_row(block) for block in shown)] if shown else []
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEADS))] if rows else []
    lines = ["  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)).rstrip() for r in rows]
    if len(blocks) > len(shown):
        rest = counted(len(blocks) - len(shown), "more block")
        lines.append(f"… and {rest}, none worse (--json lists all)")
    return lines


def _row(block: Certificate) -> tuple[str, ...]:
    off = f"{block.off} of {block.numbers}" if block.numbers else ""
    head = (block.name, str(block.grade), off, f"{block.bound:.2g}", f"{block.rho:.2g}")
    worst = block.worst
    if worst is None:
        return *head, "", "", ""
    tensor = worst.tensor.removeprefix(f"{block.name}.")
    place = f"{tensor}{worst.place}"
    numbers = f"{worst.found:.9g} for {worst.expected:.9g}"
    return *head, f"{place} {numbers}", f"{worst.ulp:.2g}", f"{worst.relative:.1g}"


def _some(names: list[str]) -> str:
    more = f" and {counted(len(names) - 1, 'more block')}" if len(names) > 1 else ""
    return f"{names[0]}{more}"
