"""Keras 2's HDF5 files, fused for Keras 3, which cannot load the originals of most of them."""

from __future__ import annotations

import pytest
from oracle_keras import nets
from oracle_keras.frameworks import KERAS2, KERAS3, assert_same, norms, randomise, sums

import reparam

NETS = {
    "mobilenet": nets.mobilenet,
    "transposing": nets.transposing,
    "nested": nets.nested,
    "operators": lambda k: nets.repvgg(k, operator=True),
    "sequential": nets.sequential,
    "shortcut": lambda k: nets.shortcut(k, first=True),
}


@pytest.mark.parametrize("k", ["tf_keras"], indirect=True)
@pytest.mark.parametrize("net", NETS)
def test_keras_3_loads_it(k, net, tmp_path):
    model = randomise(NETS[net](k))
    source, output = tmp_path / "train.h5", tmp_path / "fused.h5"
    model.save(source)
    before = k.models.load_model(source, compile=False)
    report = reparam.fuse(source, output, target="keras3")
    after = KERAS3.models.load_model(output)
    assert_same(KERAS3, after, before, other=KERAS2)
    assert len(norms(after)) == len(report.plan.skipped) == (net == "nested")
    assert sums(after) == 0 or net != "operators"


@pytest.mark.parametrize("k", ["tf_keras"], indirect=True)
def test_on_the_command_line(k, run, tmp_path):
    model = randomise(nets.transposing(k))
    source, output = tmp_path / "train.h5", tmp_path / "fused.h5"
    model.save(source)
    assert run("fuse", source, "-o", output, "--target", "keras3")[0] == 0
    assert_same(KERAS3, KERAS3.models.load_model(output), model, other=KERAS2)
