"""Every spelling of every recipe against the nets that define it, in float64."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from oracle import nets
from oracle.cases import CASES

from reparam.library import find_recipes

BOUND = 1e-6
TELLING = 1e-3
MEASURED = {
    name: row
    for path in Path(__file__).with_name("measured").glob("*.json")
    for name, row in json.loads(path.read_text()).items()
}
"""Per spelling, the oracle and an upper bound of the error; the table in the docs shows them."""


def test_every_spelling_has_an_oracle():
    known = {f"{r.name} / {s.name}" for r in find_recipes(layout="torch") for s in r.spellings}
    assert known == {str(case) for case in CASES}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_fused_file_loads_and_computes_the_same(case, fuse):
    train, deploy, x = case.build()
    with torch.no_grad():
        for tensor in deploy.state_dict().values():
            if tensor.is_floating_point():
                tensor.fill_(math.nan)  # whatever the file does not replace shows
    report, state = fuse(train.double(), **case.options)
    assert f"{case.recipe} ({case.spelling})" in report.plan.recipes
    deploy.double().load_state_dict(state, strict=True)
    wanted = nets.run(train, x)
    error = nets.relative(nets.run(deploy, x), wanted)
    assert error <= BOUND
    # an output that hardly depends on the image would judge nothing
    assert nets.relative(nets.run(train, 1.5 * x + 0.25), wanted) >= TELLING
    assert MEASURED[str(case)]["oracle"] == case.oracle
    assert error <= MEASURED[str(case)]["error"]
