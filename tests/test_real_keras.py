"""Trained Keras models of others: fused, then run by an interpreter that is not the package's."""

from __future__ import annotations

from pathlib import Path

import keras_forward as forward
import numpy as np
import pytest

import reparam

REAL = Path(__file__).parents[2] / "shared" / "real"

pytestmark = pytest.mark.skipif(not REAL.is_dir(), reason="the trained checkpoints are not here")

MODELS = {
    # name: norms before, norms left, sums left
    "fer_emotion_mini_xception.hdf5": (14, 0, 4),
    "mlperf_tiny_mobilenet_vww96.h5": (27, 0, 0),
    "mlperf_tiny_resnet.h5": (7, 0, 3),
}


def count(path, kind):
    layers = forward.layers_of(forward.read_config(path))
    return sum(layer["class_name"] == kind for layer in layers)


@pytest.mark.parametrize("name", MODELS)
def test_a_trained_model_computes_the_same(name, tmp_path):
    train, deploy = REAL / "keras" / name, tmp_path / name
    norms, left, sums = MODELS[name]
    assert count(train, "BatchNormalization") == norms

    report = reparam.fuse(train, deploy)
    assert (report.fused, report.verified) == (norms - left, True)
    assert reparam.verify(train, deploy).ok
    assert count(deploy, "BatchNormalization") == left
    assert count(deploy, "Add") == count(train, "Add") == sums

    config = forward.layers_of(forward.read_config(train))[0]["config"]
    images = np.random.default_rng(0).uniform(size=(2, *config["batch_input_shape"][1:]))
    (wanted,), (found,) = (forward.predict(path, images) for path in (train, deploy))
    assert np.abs(found - wanted).max() <= 1e-6 * np.abs(wanted).max()


def test_variances_of_zero_are_no_obstacle():
    """A channel that was dead in training has the variance 0; eps keeps it finite."""
    _, tensors = forward.read_model(REAL / "keras" / "mlperf_tiny_mobilenet_vww96.h5")
    assert any((v["moving_variance"] == 0).any() for v in tensors.values() if "gamma" in v)
