"""Written Keras files: compared with what was meant, and loaded by position in every dialect."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import h5py
import keras_forward as forward
import numpy as np
import pytest
from keras_maker import Net
from test_keras_graphs import (
    block,
    inner_skip,
    one_norm_after_two_convs,
    skip_without_a_norm,
    write,
)
from test_keras_hostile import edit_weights, replace_config

import reparam
from reparam_adapters.hdf5_output import Hdf5Output
from reparam_adapters.keras_layers import RENORM

GOLDEN = Path(__file__).parent / "golden_keras"


@pytest.mark.parametrize(
    "build",
    [skip_without_a_norm, inner_skip(), inner_skip("s"), inner_skip("b", "bn"), block(stride=2)],
    ids=["flat", "nested", "frozen", "frozen pair", "block"],
)
def test_a_tree_as_legacy_weights(build, tmp_path):
    """The trained variables of a nested model come first, in the order of its layers."""
    net, path = write(build, ".keras", tmp_path)
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path)
    out = tmp_path / "out.h5"
    reparam.fuse(
        tmp_path / "model.weights.h5", out, config=tmp_path / "config.json", dialect="legacy"
    )
    config = json.loads((tmp_path / "out.config.json").read_text("utf-8"))
    found = {}
    with h5py.File(out) as file:
        forward.from_names(config, file, found)
    wanted = forward.predict(path, *net.images())
    result = forward.run(config, found, net.images())
    for one, other in zip(result, wanted, strict=True):
        assert np.abs(one - other).max() <= 1e-6 * np.abs(other).max()


def damage_a_value(file):
    file["model_weights/conv2d_1/conv2d_1/kernel:0"][0, 0, 0, 0] += 1


def damage_a_copy(file):
    file["model_weights/dense_3/dense_3/kernel:0"][0, 0] += 1


def lose_a_value(file):
    del file["model_weights/conv2d_1/conv2d_1/bias:0"]


def add_a_value(file):
    file["model_weights/conv2d_1/conv2d_1/more:0"] = 1.0


@pytest.mark.parametrize("damage", [damage_a_value, damage_a_copy, lose_a_value, add_a_value])
def test_what_reads_back_differently_is_not_kept(damage, tmp_path, monkeypatch):
    net, path = Net(), tmp_path / "model.h5"
    x = net("Conv2D", net.input(4, 4, 3), filters=4, kernel_size=3)
    net.save_h5(path, [net("Dense", net("BatchNormalization", x), units=2)])
    close = Hdf5Output.close

    def close_and_damage(self):
        close(self)
        if self._path.exists():
            with h5py.File(self._path, "r+") as file:
                damage(file)
        monkeypatch.setattr(Hdf5Output, "close", close)

    monkeypatch.setattr(Hdf5Output, "close", close_and_damage)
    with pytest.raises(reparam.ReparamError, match=r"reads back differently|missing or too much"):
        reparam.fuse(path, tmp_path / "out.h5")
    assert [p.name for p in tmp_path.iterdir()] == ["model.h5"]


@pytest.mark.parametrize("kind", [".h5", ".keras"])
def test_how_the_model_was_trained_is_left_out(kind, tmp_path):
    """The optimizer's state does not fit the fused weights."""
    _, path = write(block(), kind, tmp_path)
    config = forward.read_config(path) | {"compile_config": {"optimizer": "adam"}}
    replace_config(path, config)
    out = tmp_path / f"out{kind}"
    reparam.fuse(path, out)
    assert "compile_config" not in forward.read_config(out)


@pytest.mark.parametrize("kind", [".h5", ".keras"])
@pytest.mark.parametrize("batch_norm", ["remove", "neutral"])
def test_what_renorm_adds_to_a_norm_goes_or_stays_with_it(batch_norm, kind, tmp_path):
    def build(net):
        x = net("Conv2D", net.input(4, 4, 3), filters=5, kernel_size=3)
        return [net("ReLU", net("BatchNormalization", x, renorm=True))]

    net, path = write(build, kind, tmp_path)
    out = tmp_path / f"out{kind}"
    reparam.fuse(path, out, batch_norm=batch_norm)
    before, after = (forward.read_model(p)[1] for p in (path, out))
    norm = ("batch_normalization_2",)
    assert (norm in after) == (batch_norm == "neutral")
    if norm in after:
        assert all(np.array_equal(before[norm][role], after[norm][role]) for role in RENORM)
    (wanted,), (found,) = (forward.predict(p, *net.images()) for p in (path, out))
    assert np.abs(found - wanted).max() <= 1e-6 * np.abs(wanted).max()


def test_what_the_optimizer_noted_is_left_out(tmp_path):
    """It does not fit the fused weights."""
    _, path = write(block(), ".keras", tmp_path)
    edit_weights(path, lambda layers: layers.parent.create_dataset("optimizer/vars/0", data=[1.0]))
    reparam.fuse(path, tmp_path / "out.keras")
    with zipfile.ZipFile(tmp_path / "out.keras") as archive:
        file = h5py.File(io.BytesIO(archive.read("model.weights.h5")))
    with file:
        assert "optimizer" not in file


def test_what_a_graph_tells_is_not_assumed(tmp_path):
    _, path = write(block(), ".keras", tmp_path)
    reparam.fuse(path, tmp_path / "out.keras")
    report = reparam.verify(path, tmp_path / "out.keras")
    assert report.ok
    assert not report.plan.assumed
    assert "assumed" not in report.not_covered


@pytest.mark.parametrize("kind", [".h5", ".keras"])
def test_a_norm_of_two_convolutions_goes_into_both_or_neither(kind, tmp_path):
    _, path = write(one_norm_after_two_convs, kind, tmp_path)
    assert reparam.fuse(path, tmp_path / f"out{kind}").fused == 2
    half = json.loads(reparam.plan(path).to_json())
    half["fusions"].pop()
    with pytest.raises(reparam.ReparamError, match="only part of what shared_bn goes into"):
        reparam.fuse(path, tmp_path / f"half{kind}", plan=reparam.Plan.from_json(json.dumps(half)))
    assert not (tmp_path / f"half{kind}").exists()


def names_beside_variables(path):
    """The name that Keras since 3.6 writes at every object, by the group it stands at."""
    with zipfile.ZipFile(path) as archive:
        file = h5py.File(io.BytesIO(archive.read("model.weights.h5")))
    with file:
        groups = {n: g for n, g in file["layers"].items() if "vars" in g}
        return {n: g["vars"].attrs["name"] for n, g in groups.items()}


def test_the_names_beside_the_variables_are_kept(tmp_path):
    source = GOLDEN / "k3_mobilenetv2_cut_keras" / "model.keras"
    reparam.fuse(source, tmp_path / "fused.keras")
    before, after = map(names_beside_variables, (source, tmp_path / "fused.keras"))
    norms = {n for g, n in before.items() if g.startswith("batch_normalization")}
    assert len(norms) == 12
    assert set(after.values()) == set(before.values()) - norms
    assert not any(group.startswith("batch_normalization") for group in after)
