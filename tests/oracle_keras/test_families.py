"""Every spelling of every Keras recipe against a net with its names: the numbers of the docs."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import h5py
import pytest
from oracle_keras import articles
from oracle_keras.frameworks import (
    BOUND,
    KERAS2,
    KERAS3,
    double,
    fresh,
    outputs,
    randomise,
    relative,
)

import reparam
from reparam.library import find_recipes

MEASURED = json.loads(Path(__file__).with_name("measured.json").read_text())
"""Per spelling, the oracle and an upper bound of the error; the table in the docs shows them."""

SIZE = (33, 32)


def measure(source, train, deploy, **options):
    """Fuse a file and run both forms in float64; gives the recipes that were used and the error."""
    output = source.with_name(f"fused{''.join(source.suffixes)}")
    report = reparam.fuse(source, output, **options)
    x = articles.image(SIZE)
    found = relative(outputs(deploy(output), x), outputs(train(source), x))
    return report.plan.recipes, found


def article(k, suffix, name, *, folder, save=None, **options):
    """Networks written as classes."""
    source = folder / f"train{suffix}"
    train = articles.build(fresh(k.__name__), name, SIZE)
    train.save_weights(source) if save is None else save(train, source)
    return measure(
        source,
        partial(articles.load, k, name, SIZE),
        partial(articles.load, k, name, SIZE, deploy=True),
        **options,
    )


def save_with_paths(model, path):
    """Write weights as the HDF5 of older Keras 2, whose names hold every layer above.

    The newest Keras 2 leaves them out, and cannot save layers that then have the same name.
    """
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.name.encode() for layer in model.layers]
        file.attrs["backend"] = b"tensorflow"
        file.attrs["keras_version"] = b"2.4.0"
        for layer in model.layers:
            group = file.create_group(layer.name)
            paths = weight_paths(layer)
            weights = layer.trainable_weights + layer.non_trainable_weights
            names = [f"{layer.name}/{paths[id(w)]}:0" for w in weights]
            group.attrs["weight_names"] = [name.encode() for name in names]
            for name, weight in zip(names, weights, strict=True):
                group[name] = weight.numpy()


def weight_paths(layer, prefix=""):
    """The path of every weight within a layer, by its identity."""
    own = list(layer._flatten_layers(recursive=False, include_self=False))
    if not own:
        roles = (w.name.rpartition("/")[2].partition(":")[0] for w in layer.weights)
        return {id(w): prefix + role for w, role in zip(layer.weights, roles, strict=True)}
    return {key: path for x in own for key, path in weight_paths(x, f"{prefix}{x.name}/").items()}


def kecam(big, small, *, folder, depthwise=False, whole=True, built_with=1e-5, **options):
    """Two blocks named as keras_cv_attention_models names them."""
    source = folder / "train.h5"
    build = partial(kecam_net, big, small, depthwise=depthwise, whole=whole, eps=built_with)

    def load(path, *, deploy=False):
        with double(KERAS2):
            net = build(deploy=deploy)
        net.load_weights(path, by_name=True)
        return net

    fresh("tf_keras")
    randomise(build()).save_weights(source)
    return measure(source, load, partial(load, deploy=True), **options)


def kecam_net(big, small, *, depthwise, whole, eps, deploy=False):
    layers = KERAS2.layers

    def conv(x, name, size):
        options = {"use_bias": deploy, "name": f"{name}conv"}
        x = layers.ZeroPadding2D(size // 2, name=f"{name}pad")(x) if size > 1 else x
        if depthwise:
            return layers.DepthwiseConv2D(size, **options)(x)
        return layers.Conv2D(4, size, **options)(x)

    def branch(x, name, size):
        norm = layers.BatchNormalization(epsilon=eps, name=f"{name.replace('dw_', '')}bn")
        return norm(conv(x, name, size))

    def block(x, stem, *, whole):
        if deploy:
            return layers.ReLU()(conv(x, stem + big, 3))
        terms = [branch(x, stem + big, 3), branch(x, stem + small, 1)]
        if whole:
            norm = layers.BatchNormalization(epsilon=eps, name=f"{stem}REPARAM_0_bn")
            terms.append(norm(x))
        return layers.ReLU()(layers.Add(name=f"{stem}REPARAM_out")(terms))

    x = inputs = layers.Input((*SIZE, 3))
    x = layers.Conv2D(4, 1, name="first")(x)
    x = block(x, "stem_", whole=False)
    x = block(x, "stack1_block1_", whole=whole)
    x = layers.Dense(5, name="predictions")(layers.GlobalAveragePooling2D()(x))
    return KERAS2.Model(inputs, x)


WEIGHTS3 = KERAS3, ".weights.h5"
WEIGHTS2 = KERAS2, ".weights.h5"
LEGACY = KERAS2, ".h5"

CASES = {
    "repvgg-keras / same padding": partial(article, *WEIGHTS3, "RepVGG", input_size=SIZE),
    "repvgg-keras / same padding, legacy HDF5": partial(
        article, *LEGACY, "RepVGG", input_size=SIZE
    ),
    "repvgg-keras / zero padding": partial(article, *WEIGHTS3, "PaddedRepVGG"),
    "repvgg-keras / zero padding, legacy HDF5": partial(
        article, *LEGACY, "PaddedRepVGG", save=save_with_paths
    ),
    "resnet-shared-norm-keras / attributes": partial(article, *WEIGHTS3, "ResNet"),
    "resnet-shared-norm-keras / list of blocks": partial(article, *WEIGHTS2, "ResNet"),
    "resnet-shared-norm-keras / legacy HDF5": partial(article, *LEGACY, "ResNet"),
    "kecam-reparam / depthwise": partial(kecam, "REPARAM_1_dw_", "REPARAM_2_dw_", depthwise=True),
    "kecam-reparam / convolution": partial(kecam, "REPARAM_1_", "REPARAM_2_"),
    "kecam-reparam / k3 and k1": partial(
        kecam, "REPARAM_k3_", "REPARAM_k1_", whole=False, built_with=1e-3, eps=1e-3
    ),
}


def test_every_spelling_has_an_oracle():
    known = {f"{r.name} / {s.name}" for r in find_recipes(layout="keras") for s in r.spellings}
    assert known == CASES.keys() == MEASURED.keys()


@pytest.mark.parametrize("name", CASES)
def test_fused_file_loads_and_computes_the_same(name, tmp_path):
    recipe, _, spelling = name.partition(" / ")
    recipes, error = CASES[name](folder=tmp_path)
    assert recipes == (f"{recipe} ({spelling})",)
    assert error <= MEASURED[name]["error"] <= BOUND
