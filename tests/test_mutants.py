"""The table of mutants fits the code: `python tests/mutants/run.py` checks that tests kill them."""

from pathlib import Path

import pytest
from mutants.mutants import MUTANTS

ROOT = Path(__file__).parent.parent


def test_every_mutant_has_a_name_of_its_own():
    assert len({(m.file, m.name) for m in MUTANTS}) == len(MUTANTS)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: f"{Path(m.file).stem}: {m.name}")
def test_a_mutant_changes_one_place_into_valid_code(mutant):
    source = (ROOT / mutant.file).read_text(encoding="utf-8")
    assert source.count(mutant.before) == 1
    assert mutant.after != mutant.before
    compile(source.replace(mutant.before, mutant.after), mutant.file, "exec")
    assert (ROOT / mutant.tests.partition("::")[0]).is_file()
