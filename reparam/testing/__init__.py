"""Tools for other people's test suites: Hypothesis strategies, and an assertion.

    from hypothesis import given
    from reparam.testing import assert_equivalent, state_dicts

    @given(state_dicts("repvgg"))
    def test_my_converter(train):
        assert_equivalent(train, my_converter(train, eps=2**-10), recipe="repvgg", eps=2**-10)

Numbers are dyadic unless it says otherwise: small whole numbers over small powers of two, on which
float64 and mostly float32 too never round. Two ways to compute the same thing then give equal
numbers, and a test may compare with `==`. Nothing else of the package needs Hypothesis.
"""

from __future__ import annotations

from importlib.util import find_spec

if find_spec("hypothesis") is None:
    raise ImportError(
        "reparam.testing needs Hypothesis, which is not installed: pip install 'reparam[test]'",
        name="hypothesis",
    )

from reparam.testing.branches import BranchTree, branch_trees
from reparam.testing.equivalence import assert_equivalent
from reparam.testing.layers import StateDict, batch_norms, convs, images, integers
from reparam.testing.states import state_dicts
from reparam.testing.statistics import hostile_statistics

__all__ = [
    "BranchTree",
    "StateDict",
    "assert_equivalent",
    "batch_norms",
    "branch_trees",
    "convs",
    "hostile_statistics",
    "images",
    "integers",
    "state_dicts",
]
