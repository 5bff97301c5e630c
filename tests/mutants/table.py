"""Write docs/mutants.md: every mutant, by module, with the test that must notice it.

python tests/mutants/table.py
"""

import sys
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if __name__ == "__main__":
    sys.path[0] = str(ROOT / "tests")

from mutants import MUTANTS  # noqa: E402  a package beside the tests, not beside this script
from mutants.study import STUDY  # noqa: E402

PAGE = ROOT / "docs" / "mutants.md"
BEGIN = "<!-- written by tests/mutants/table.py -->\n"


def cell(text):
    return text.replace("|", r"\|").replace("*", r"\*").replace("_", r"\_")


def noticed_by(mutant):
    """The file without its folder, and what the test in it is called, in words."""
    path, _, test = mutant.tests.removeprefix("tests/").partition("::")
    name, bracket, case = test.removeprefix("test_").partition("[")
    return f"`{path}` {cell(name.replace('_', ' ') + (f' [{case}' if bracket else ''))}".rstrip()


def section(file, mutants):
    """A module's mutants as a table."""
    numbers = {(f"{module}.py", name): number for number, (module, name) in STUDY.items()}
    yield f"\n### {file}\n\n| mistake | noticed by |\n| --- | --- |\n"
    for m in mutants:
        number = numbers.get((Path(file).name, m.name))
        study = f" ({number})" if number else ""
        yield f"| {cell(m.name)}{study} | {noticed_by(m)} |\n"


def tables():
    """All tables as Markdown."""
    ordered = sorted(MUTANTS, key=lambda m: m.file)  # keeps the order within a file
    files = [(file, list(mutants)) for file, mutants in groupby(ordered, lambda m: m.file)]
    tests = {m.tests.partition("::")[0] for m in MUTANTS}
    yield f"{len(MUTANTS)} mutants of {len(files)} modules, noticed by {len(tests)} test files.\n"
    for file, mutants in files:
        yield from section(file, mutants)


def page():
    """The page with the tables of today."""
    before = PAGE.read_text("utf-8").partition(BEGIN)[0]
    return f"{before}{BEGIN}\n{''.join(tables())}"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
