"""Write the table in docs/families.md: every spelling of every recipe, and how far off it is.

    python tests/families_table.py

The recipes say what is fused, `tests/oracle*/` against which net that was measured.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np

from reparam.expression import format_tree
from reparam.library import find_recipes

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "families.md"
MEASURED = sorted((ROOT / "tests").glob("oracle/measured/*.json"))
MEASURED += [ROOT / "tests" / "oracle_keras" / "measured.json"]
HEADS = ("family", "spelling", "blocks", "eps", "oracle", "error")
BEGIN = "<!-- written by tests/families_table.py -->\n"
END = "<!-- end -->"
LONGEST = 90
"""Characters of an expression in its cell; `reparam recipes NAME` shows the rest."""
MOST = 3
"""Expressions in a cell."""


def measured():
    """Oracle and error bound of every spelling."""
    return {k: row for path in MEASURED for k, row in json.loads(path.read_text()).items()}


def expressions(spelling):
    """What a spelling fuses, without attributes and without repeating itself."""
    lines = [line for block in spelling.blocks for line in (*block.fuse, *block.maybe)]
    texts = [re.sub(r"\[[^]]*\]", "", format_tree(line.tree)) for line in lines]
    texts = dict.fromkeys(re.sub(r"\bavg \d+", "avg k", text) for text in texts)
    return [t if len(t) <= LONGEST else f"{t[:LONGEST].rpartition(' ')[0]} …" for t in texts]


def blocks(spelling):
    """The first expressions, and how many more there are."""
    texts = [f"`{text}`" for text in expressions(spelling)]
    return ", ".join(texts if len(texts) <= MOST else [*texts[:MOST], f"{len(texts) - MOST} more"])


def scientific(number):
    return np.format_float_scientific(number, trim="-", exp_digits=1)


def rows():
    """The rows of the table."""
    known = measured()
    for recipe in find_recipes():
        family = f"`{recipe.name}` {recipe.title}"
        family += "; with `--recipe` only" if recipe.by_name else ""
        for spelling in recipe.spellings:
            eps = spelling.eps.value
            row = known.get(f"{recipe.name} / {spelling.name}", {"oracle": "NONE", "error": 1})
            yield (
                family if spelling is recipe.spellings[0] else "",
                spelling.name,
                blocks(spelling),
                "`--eps`" if eps is None else scientific(eps),
                row["oracle"],
                scientific(row["error"]),
            )


def table():
    """The table as Markdown."""
    lines = [HEADS, ["---"] * len(HEADS), *rows()]
    return "".join(f"| {' | '.join(line)} |\n".replace("|  |", "| |") for line in lines)


def page():
    """The page with a table of today."""
    before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    return f"{before}{BEGIN}\n{table()}\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
