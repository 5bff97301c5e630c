"""Whole models: the fused file is loaded by the stock loader and computes what the original did."""

from __future__ import annotations

from functools import partial

import h5py
import ml_dtypes
import numpy as np
import pytest
from oracle_keras import nets
from oracle_keras.frameworks import (
    assert_same,
    assert_same_predictions,
    fuse,
    images,
    is_keras3,
    named,
    norms,
    policy,
    randomise,
    sums,
)

import reparam

FORMATS = [".h5", ".keras"]
every_format = pytest.mark.parametrize("suffix", FORMATS)


@every_format
@pytest.mark.parametrize(("net", "pairs"), [(nets.mobilenet, 52), (nets.resnet50, 53)])
def test_applications(k, net, pairs, suffix, tmp_path):
    report, after = fuse(k, randomise(net(k)), tmp_path, suffix, reload=False)
    assert report.fused == pairs
    assert norms(after) == []


@every_format
@pytest.mark.parametrize("name", nets.KINDS)
def test_kinds_of_layers(k, name, suffix, tmp_path):
    report, after = fuse(k, randomise(nets.single(k, *nets.KINDS[name])), tmp_path, suffix)
    assert report.fused == 1
    assert norms(after) == []


@pytest.mark.parametrize("variant", nets.VARIANTS)
def test_variants_of_the_norm(k, variant, tmp_path):
    shape, make = nets.KINDS["conv2d grouped"]
    model = randomise(nets.single(k, shape, make, **nets.VARIANTS[variant]))
    for suffix in FORMATS:
        _, after = fuse(k, model, tmp_path, suffix)
        assert norms(after) == []


@every_format
def test_eps_is_in_the_file_and_not_for_others_to_say(k, suffix, run, tmp_path):
    fuse(k, randomise(nets.plain(k)), tmp_path, suffix)
    output = tmp_path / "other"
    code, _, complaint = run("fuse", tmp_path / f"train{suffix}", "-o", output, "--eps", "0.2")
    assert code == 2
    assert "eps" in complaint
    assert not output.exists()


GRAPHS = {
    "sequential": nets.sequential,
    "shared pair": nets.shared_pair,
    "shared norm": nets.shared_norm,
    "many ends": nets.many_ends,
    "transposing": nets.transposing,
    "nested": partial(nets.nested, after=False),
    "shortcut": partial(nets.shortcut, first=False),
    "shortcut first": partial(nets.shortcut, first=True),
}


@every_format
@pytest.mark.parametrize("net", GRAPHS)
def test_graphs(k, net, suffix, tmp_path):
    _, after = fuse(k, randomise(GRAPHS[net](k)), tmp_path, suffix)
    assert norms(after) == []


@every_format
def test_norm_behind_a_nested_model(k, suffix, tmp_path):
    report, after = fuse(k, randomise(nets.nested(k)), tmp_path, suffix)
    assert report.fused == 5
    assert norms(after) == ["after"]
    assert [s.name.rpartition("/")[2] for s in report.plan.skipped] == ["after"]


@every_format
@pytest.mark.parametrize("net", [nets.ends_with_convolution, nets.idle_between, nets.norm_of_sum])
def test_norms_that_may_stay(k, net, suffix, tmp_path):
    """Fused or not, which is the project's choice, the model computes the same."""
    fuse(k, randomise(net(k)), tmp_path, suffix)


@every_format
def test_channels_first(k, suffix, tmp_path):
    _, after = fuse(
        k, randomise(nets.channels_first(k)), tmp_path, suffix, same=assert_same_predictions
    )
    assert norms(after) == []


# --- branches


def assert_collapsed(model, convolutions):
    assert norms(model) == []
    assert sums(model) == 0
    assert len(named(model, "Conv1D", "Conv2D")) == convolutions


@every_format
@pytest.mark.parametrize(
    ("size", "groups"), [((32, 32), 1), ((32, 32), 2), ((33, 33), 1), ((34, 31), 2)], ids=str
)
def test_repvgg(k, size, groups, suffix, tmp_path):
    model = randomise(nets.repvgg(k, size, groups=groups))
    report, after = fuse(k, model, tmp_path, suffix)
    assert report.fused == 4
    assert_collapsed(after, 4)


@every_format
@pytest.mark.parametrize("size", [(32, 32), (33, 30)], ids=str)
def test_repvgg_of_any_size_for_one(k, size, suffix, tmp_path):
    model = randomise(nets.repvgg(k, (None, None)))
    same = partial(assert_same, size=size)
    _, after = fuse(k, model, tmp_path, suffix, same=same, input_size=size)
    assert_collapsed(after, 4)


@every_format
def test_repvgg_of_any_size_asks_for_one(k, suffix, run, tmp_path):
    """Until it is told, the sums after a stride stay, and so does every size of image."""
    model = randomise(nets.repvgg(k, (None, None)))
    same = partial(assert_same, size=(32, 32))
    _, after = fuse(k, model, tmp_path, suffix, same=same)
    assert norms(after) == []
    assert sums(after) == 2
    assert_same(k, after, model, size=(33, 30))
    source, output = tmp_path / f"train{suffix}", tmp_path / f"again{suffix}"
    code, text, _ = run("fuse", source, "-o", output)
    assert code == 0
    assert "--input-size" in text
    assert run("fuse", source, "-o", output, "--overwrite", "--input-size", "33x30")[0] == 0
    assert_same(k, k.models.load_model(output), model, size=(33, 30))


@every_format
def test_repvgg_with_padding_layers_needs_no_size(k, suffix, tmp_path):
    model = randomise(nets.repvgg(k, (None, None), pad=True))
    _, after = fuse(k, model, tmp_path, suffix, same=partial(assert_same, size=(32, 32)))
    assert_collapsed(after, 4)
    assert_same(k, after, model, size=(33, 30))


@every_format
def test_strides_alone_need_no_size(k, suffix, tmp_path):
    image = k.layers.Input((None, None, 3))
    x = nets.normed(k, image, k.layers.Conv2D(6, 3, strides=2, padding="same"))
    _, after = fuse(
        k,
        randomise(k.Model(image, nets.head(k, x))),
        tmp_path,
        suffix,
        same=partial(assert_same, size=(9, 8)),
    )
    assert norms(after) == []


@every_format
def test_repvgg_with_operators(k, suffix, tmp_path):
    if is_keras3(k) and suffix == ".h5":
        return  # Keras 3 cannot load its own HDF5 files of models with `+`
    _, after = fuse(k, randomise(nets.repvgg(k, operator=True)), tmp_path, suffix)
    assert_collapsed(after, 4)


@every_format
def test_causal_branches(k, suffix, tmp_path):
    _, after = fuse(k, randomise(nets.causal_branches(k)), tmp_path, suffix)
    assert_collapsed(after, 2)


# --- dtypes


@every_format
def test_mixed_precision(k, suffix, tmp_path):
    """Variables are float32; the comparison computes in float64, so nothing is lost."""
    with policy(k, "mixed_float16"):
        model = randomise(nets.plain(k))
    _, after = fuse(k, model, tmp_path, suffix)
    assert norms(after) == []


@pytest.mark.parametrize(
    ("dtype", "suffix"),
    # Keras 3 cannot load its own HDF5 files of bfloat16: "No cast function available."
    [("float16", ".h5"), ("float16", ".keras"), ("bfloat16", ".keras")],
)
@pytest.mark.parametrize("k", ["keras"], indirect=True)
def test_half_precision(k, dtype, suffix, tmp_path):
    with policy(k, dtype):
        model = randomise(nets.plain(k, pairs=1))
    same = partial(assert_same, bound={"float16": 2e-3, "bfloat16": 2e-2}[dtype])
    _, after = fuse(k, model, tmp_path, suffix, same=same)
    assert norms(after) == []
    for ours, exact in zip(weights(after, "conv_0"), folded(model), strict=True):
        assert ours.dtype == dtype
        np.testing.assert_array_equal(ours, exact.astype(getattr(ml_dtypes, dtype, dtype)))


def weights(model, layer):
    return [np.asarray(w) for w in model.get_layer(layer).get_weights()]


def folded(model):
    """Kernel and bias of the first pair in float64."""
    kernel, bias = (w.astype(np.float64) for w in weights(model, "conv_0"))
    gamma, beta, mean, var = (w.astype(np.float64) for w in weights(model, "bn_0"))
    scale = gamma / np.sqrt(var + 1e-3)
    return kernel * scale, (bias - mean) * scale + beta


# --- files


@every_format
def test_trained_models_lose_their_optimizer(k, suffix, tmp_path):
    model = randomise(nets.plain(k))
    model.compile(optimizer="adam", loss="mse", metrics=["mae"])
    x = [i.astype(np.float32) for i in images(model, batch=4)]
    model.fit(x[0], np.zeros((4, 5), np.float32), epochs=1, batch_size=4, verbose=0)
    _, after = fuse(k, model, tmp_path, suffix)
    assert norms(after) == []
    assert getattr(after, "optimizer", None) is None
    if suffix == ".h5":
        with h5py.File(tmp_path / "train.h5") as before, h5py.File(tmp_path / "fused.h5") as file:
            assert "optimizer_weights" in before
            assert list(file) == ["model_weights"]


def test_names_beyond_one_attribute(k, tmp_path):
    """HDF5 attributes end at 64 KB; Keras splits the list of names."""
    model = randomise(nets.long_names(k))
    fuse(k, model, tmp_path, ".h5")
    for name in ("train.h5", "fused.h5"):
        with h5py.File(tmp_path / name) as file:
            assert "layer_names1" in file["model_weights"].attrs


def test_names_of_weights_beyond_one_attribute(k, tmp_path):
    model = randomise(nets.long_names_inside(k))
    fuse(k, model, tmp_path, ".h5")
    with h5py.File(tmp_path / "train.h5") as file:
        assert "weight_names1" in file["model_weights/inner"].attrs


def compress(source, output):
    """Write an HDF5 file again with every array compressed."""
    with h5py.File(source) as before, h5py.File(output, "w") as after:

        def write(name, item):
            if isinstance(item, h5py.Group):
                copy = after.require_group(name)
            else:
                options = {"compression": "gzip"} if item.shape else {}
                copy = after.create_dataset(name, data=item[()], **options)
            copy.attrs.update(item.attrs)

        before.visititems(write)
        after.attrs.update(before.attrs)


def compressions(path):
    found = {}

    def note(name, item):
        if isinstance(item, h5py.Dataset) and item.shape:
            found[name] = item.compression

    with h5py.File(path) as file:
        file.visititems(note)
    return found


def test_compressed_files_stay_so(k, tmp_path):
    model = randomise(nets.plain(k, width=16))
    model.save(tmp_path / "plain.h5")
    source, output = tmp_path / "train.h5", tmp_path / "fused.h5"
    compress(tmp_path / "plain.h5", source)
    before = k.models.load_model(source, compile=False)
    reparam.fuse(source, output)
    assert_same(k, k.models.load_model(output), before)
    theirs, ours = compressions(source), compressions(output)
    assert set(theirs.values()) == {"gzip"}
    both = theirs.keys() & ours.keys()
    assert len(both) == 8  # three convolutions and the head, each with a bias
    assert {ours[name] for name in both} == {"gzip"}


def test_suffixes_do_not_matter(k, tmp_path):
    """The kind of a file is told by what it holds."""
    model = randomise(nets.plain(k))
    for suffix in FORMATS:
        source, output = tmp_path / f"model{suffix}", tmp_path / f"fused{suffix}"
        model.save(source)
        odd = source.rename(tmp_path / "model.bin")
        reparam.fuse(odd, tmp_path / "fused.bin", overwrite=True)
        (tmp_path / "fused.bin").rename(output)
        assert_same(k, k.models.load_model(output), model)


def test_float32_predictions(k, tmp_path):
    """`predict`, as a user runs it, in the model's own precision."""
    model = randomise(nets.repvgg(k))
    _, after = fuse(k, model, tmp_path, ".keras")
    assert_same_predictions(k, after, model)
