"""The page of families is what the recipes and the measurements make of it."""

import families_table
import pytest

from reparam.library import find_recipes

SPELLINGS = [f"{r.name} / {s.name}" for r in find_recipes() for s in r.spellings]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_no_spelling_without_an_oracle(spelling):
    row = families_table.measured()[spelling]
    assert row["oracle"]
    assert 0 < row["error"] <= 1e-6


def test_nothing_was_measured_that_is_no_longer_there():
    assert families_table.measured().keys() <= set(SPELLINGS)


def test_the_page_is_up_to_date():
    page = families_table.PAGE.read_text("utf-8")
    assert page == families_table.page(), "run python tests/families_table.py"
