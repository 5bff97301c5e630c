"""What a mutant is, and how to write several of them down."""

from typing import NamedTuple


class Mutant(NamedTuple):
    """One mistake: in `file`, `before` stands exactly once and becomes `after`.

    `tests` must notice it: a test file, or one test in it, which is faster.
    """

    name: str
    file: str
    before: str
    after: str
    tests: str


def edits(file, tests, *changes):
    """Mutants of one file that one test file must notice, or the one test in it that is named."""
    return [
        Mutant(name, file, before, after, "::".join([tests, *test]))
        for name, before, after, *test in changes
    ]


def tested(file, *changes):
    """Mutants of one file with a test each."""
    return [Mutant(name, file, before, after, tests) for name, before, after, tests in changes]
