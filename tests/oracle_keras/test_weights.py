"""Weights of functional models, with their configuration in a file of its own."""

from __future__ import annotations

import json

import pytest
from oracle_keras import nets
from oracle_keras.frameworks import (
    KERAS3,
    assert_same,
    magic,
    norms,
    randomise,
    shard_size,
    sums,
)

import reparam

NETS = {
    "plain": nets.plain,
    "nested": nets.nested,
    "ends": nets.many_ends,
    "shared": nets.shared_pair,
    "transposing": nets.transposing,
    "repvgg": lambda k: nets.repvgg(k, groups=2),
    "shortcut": lambda k: nets.shortcut(k, first=True),
    "mobilenet": nets.mobilenet,
}
FILES = [("keras", ".weights.h5"), ("tf_keras", ".weights.h5"), ("tf_keras", ".h5")]


def save(model, folder, suffix, **options):
    """Save weights and configuration; gives both paths."""
    source, config = folder / f"train{suffix}", folder / "model.json"
    model.save_weights(source, **options)
    config.write_text(model.to_json())
    return source, config


def load(k, path):
    """The pair that was written, by the stock functions."""
    stem = path.name.removesuffix(".h5").removesuffix(".json").removesuffix(".weights")
    config = path.with_name(f"{stem}.config.json")
    model = k.models.model_from_json(config.read_text())
    model.load_weights(path)
    return model


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize(("k", "suffix"), FILES, indirect=["k"])
def test_weights_with_configuration(k, suffix, net, tmp_path):
    model = randomise(NETS[net](k))
    source, config = save(model, tmp_path, suffix)
    output = tmp_path / f"fused{suffix}"
    report = reparam.fuse(source, output, config=config)
    assert report.verified
    assert magic(output) == magic(source)
    after = load(k, output)
    assert_same(k, after, model)
    assert len(norms(after)) == len(report.plan.skipped) == (net == "nested")
    assert sums(after) == 0 or net != "repvgg"
    assert reparam.verify(source, output, config=config).ok


@pytest.mark.parametrize(("k", "suffix"), FILES, indirect=["k"])
def test_on_the_command_line(k, suffix, run, tmp_path):
    model = randomise(nets.repvgg(k, (None, None)))
    source, config = save(model, tmp_path, suffix)
    output = tmp_path / f"fused{suffix}"
    words = "fuse", source, "-o", output, "--config", config
    code, text, _ = run(*words)
    assert code == 0
    assert "--input-size" in text
    assert sums(load(k, output)) == 2
    assert run(*words, "--overwrite", "--input-size", "32x33")[0] == 0
    assert sums(load(k, output)) == 0
    assert_same(k, load(k, output), model, size=(32, 33))


@pytest.mark.parametrize("k", ["keras"], indirect=True)
def test_configuration_of_another_model_is_refused(k, run, tmp_path):
    source, _ = save(randomise(nets.plain(k)), tmp_path, ".weights.h5")
    config = tmp_path / "other.json"
    config.write_text(nets.plain(k, width=8).to_json())
    output = tmp_path / "fused.weights.h5"
    code, _, complaint = run("fuse", source, "-o", output, "--config", config)
    assert code == 2
    assert complaint
    assert not output.exists()


@pytest.mark.parametrize("net", ["plain", "repvgg", "nested"])
@pytest.mark.parametrize("k", ["keras"], indirect=True)
def test_shards(k, net, tmp_path):
    model = randomise(NETS[net](k))
    source, config = save(model, tmp_path, ".weights.json", max_shard_size=shard_size(model))
    assert len(list(tmp_path.glob("train*.h5"))) > 1
    output = tmp_path / "fused.weights.json"
    reparam.fuse(source, output, config=config)
    assert len(list(tmp_path.glob("fused*.h5"))) == 1
    assert json.loads(output.read_text())["weight_map"]
    assert_same(k, load(k, output), model)


@pytest.mark.parametrize("net", ["plain", "transposing", "nested", "repvgg", "shortcut"])
def test_legacy_dialect_of_a_functional_model(net, tmp_path):
    """Keras 3's weights, in the dialect that both frameworks load by order."""
    model = randomise(NETS[net](KERAS3))
    source, config = save(model, tmp_path, ".weights.h5")
    output = tmp_path / "fused.h5"
    reparam.fuse(source, output, config=config, dialect="legacy")
    assert_same(KERAS3, load(KERAS3, output), model)
