"""Weights of networks written as classes: the fused file loads into the class's deploy form."""

from __future__ import annotations

import pytest
from oracle_keras import articles
from oracle_keras.frameworks import BOTH, BOUND, outputs, relative, shard_size

import reparam

FILES = [("keras", ".weights.h5"), ("tf_keras", ".weights.h5"), ("tf_keras", ".h5")]
NETS = {
    "same even": ("RepVGG", (32, 32), {}),
    "same odd": ("RepVGG", (33, 33), {}),
    "same groups": ("RepVGG", (33, 32), {"groups": 2}),
    "padding layers": ("PaddedRepVGG", (32, 32), {}),
    "shared norm": ("ResNet", (17, 17), {}),
}


CASES = [
    (k, suffix, net)
    for k, suffix in FILES
    for net in NETS
    # tf_keras cannot save the padding layers' net as HDF5: "name already exists"
    if (suffix, net) != (".h5", "padding layers")
]


def needs_size(name):
    return name == "RepVGG"


def assert_deployed(k, path, wanted, name, size, **options):
    after = articles.load(k, name, size, path, deploy=True, **options)
    assert relative(outputs(after, articles.image(size)), wanted) <= BOUND


@pytest.mark.parametrize(("k", "suffix", "net"), CASES, indirect=["k"])
def test_deploy_form(k, suffix, net, tmp_path):
    name, size, options = NETS[net]
    source = tmp_path / f"train{suffix}"
    articles.build(k, name, size, **options).save_weights(source)
    before = articles.load(k, name, size, source, **options)
    wanted = outputs(before, articles.image(size))

    given = {"input_size": size} if needs_size(name) else {}
    output = tmp_path / f"fused{suffix}"
    report = reparam.fuse(source, output, **given)
    assert report.verified
    assert reparam.verify(source, output, **given).ok
    legacy = tmp_path / "legacy.h5"
    reparam.fuse(source, legacy, dialect="legacy", **given)
    assert reparam.verify(source, legacy, **given).ok

    for framework in BOTH if suffix == ".h5" else [k]:
        assert_deployed(framework, output, wanted, name, size, **options)
    for framework in BOTH:
        assert_deployed(framework, legacy, wanted, name, size, **options)


@pytest.mark.parametrize(("k", "suffix"), FILES, indirect=["k"])
def test_eps_that_is_not_the_default(k, suffix, tmp_path):
    """Weights do not tell it; the recipe assumes the default of Keras."""
    name, size, _ = NETS["same even"]
    source, output = tmp_path / f"train{suffix}", tmp_path / f"fused{suffix}"
    articles.build(k, name, size, eps=0.2).save_weights(source)
    wanted = outputs(articles.load(k, name, size, source, eps=0.2), articles.image(size))
    reparam.fuse(source, output, input_size=size, eps=0.2)
    assert_deployed(k, output, wanted, name, size)


@pytest.mark.parametrize(
    ("k", "suffix", "size"),
    [
        ("keras", ".weights.h5", (160, 160)),
        ("keras", ".weights.h5", (161, 161)),
        ("tf_keras", ".weights.h5", (160, 160)),
        ("tf_keras", ".h5", (161, 161)),
    ],
    indirect=["k"],
    ids=str,
)
def test_repvgg_a0(k, suffix, size, run, tmp_path):
    source, output = tmp_path / f"train{suffix}", tmp_path / f"fused{suffix}"
    articles.build(k, "RepVGG", size, sizes=articles.A0).save_weights(source)
    code, _, complaint = run("fuse", source, "-o", output)
    assert code == 2
    assert "--input-size" in complaint
    assert not output.exists()

    height, width = size
    code, text, _ = run("fuse", source, "-o", output, "--input-size", f"{height}x{width}")
    assert code == 0
    assert "fused 22 blocks" in text
    before = articles.load(k, "RepVGG", size, source, sizes=articles.A0)
    wanted = outputs(before, articles.image(size))
    assert_deployed(k, output, wanted, "RepVGG", size, sizes=articles.A0)


@pytest.mark.parametrize("k", ["keras"], indirect=True)
def test_shards(k, tmp_path):
    name, size, _ = NETS["same even"]
    source, output = tmp_path / "train.weights.json", tmp_path / "fused.weights.json"
    model = articles.build(k, name, size)
    model.save_weights(source, max_shard_size=shard_size(model))
    assert len(list(tmp_path.glob("train*.h5"))) > 1
    reparam.fuse(source, output, input_size=size)
    assert len(list(tmp_path.glob("fused*.h5"))) == 1
    wanted = outputs(articles.load(k, name, size, source), articles.image(size))
    assert_deployed(k, output, wanted, name, size)


def test_size_of_the_wrong_parity_is_another_function(tmp_path):
    """The same weights fuse differently for even and odd images: the size does matter."""
    k = BOTH[0]
    source = tmp_path / "train.weights.h5"
    articles.build(k, "RepVGG", (32, 32)).save_weights(source)
    before = articles.load(k, "RepVGG", (32, 32), source)
    wanted = outputs(before, articles.image((32, 32)))
    output = tmp_path / "fused.weights.h5"
    reparam.fuse(source, output, input_size=(33, 33))
    after = articles.load(k, "RepVGG", (32, 32), output, deploy=True)
    assert relative(outputs(after, articles.image((32, 32))), wanted) > 1e-2
    assert not reparam.verify(source, output, input_size=(32, 32)).ok
