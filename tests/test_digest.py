"""Long lists are folded by what differs in their numbers, and nothing of them is lost."""

import pytest

from reparam.digest import SCREEN, digest


def folded(*names):
    return [row[0] for row in digest([(name,) for name in names], most=0)]


def test_short_lists_are_left_alone():
    rows = [(f"layer{i}", "x") for i in range(SCREEN)]
    assert digest(rows) == rows
    rows.append(("layer99", "x"))
    assert digest(rows) == [("layer{0..99} (13)", "x")]
    assert digest(rows[:3], most=3) == rows[:3]
    assert digest(rows[:3], most=2) == [("layer{0..2} (3)", "x")]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a2", "a10", "a9"], ["a{2..10} (3)"]),  # numbers, not texts
        (["a010", "a9", "a01"], ["a{01..010} (3)"]),
        (["a1", "a" + "7" * 5000], ["a{1.." + "7" * 5000 + "} (2)"]),
        (["a0.b1", "a0.b2", "a3.b1"], ["a{0..3}.b{1..2} (3)"]),
        (["a1.b1", "a1.b2"], ["a1.b{1..2} (2)"]),
        (["a1", "b1", "a2"], ["a{1..2} (2)", "b1"]),  # in the order of the first of each
        (["1", "2"], ["{1..2} (2)"]),
        (["x", "y"], ["x", "y"]),
        (["x", "x"], ["x (2)"]),
        (["a1b", "a1"], ["a1b", "a1"]),
    ],
)
def test_names_that_differ_in_numbers_are_one(names, expected):
    assert folded(*names) == expected


def test_every_column_is_folded_and_the_first_is_counted():
    rows = [("a1", "bn1 of 8", "x"), ("a2", "bn2 of 8", "x"), ("a3", "bn3 of 8", "y")]
    assert digest(rows, most=0) == [("a{1..2} (2)", "bn{1..2} of 8", "x"), ("a3", "bn3 of 8", "y")]


def test_a_list_of_nothing():
    assert digest([], most=0) == []
