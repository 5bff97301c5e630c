"""What Keras 3 and tf_keras have in common, so that one test holds for both."""

from __future__ import annotations

import re
import warnings
from contextlib import contextmanager
from zipfile import is_zipfile

import numpy as np

import reparam

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import keras
    import tensorflow as tf
    import tf_keras

KERAS3 = keras
KERAS2 = tf_keras
BOTH = (keras, tf_keras)
BOUND = 1e-6
"""Relative difference of float64 outputs that the project promises for float32 files."""

tf.get_logger().setLevel("ERROR")


def fresh(name):
    k = {"keras": keras, "tf_keras": tf_keras}[name]
    k.backend.clear_session()  # automatic names count from zero again
    k.utils.set_random_seed(1)
    return k


def is_keras3(k):
    return k is keras


@contextmanager
def double(k):
    """Layers made within compute in float64."""
    with policy(k, "float64"):
        k.backend.set_floatx("float64")
        try:
            yield
        finally:
            k.backend.set_floatx("float32")


@contextmanager
def policy(k, name):
    """Layers made within have a dtype policy."""
    module = k.config if is_keras3(k) else k.mixed_precision
    set_policy = module.set_dtype_policy if is_keras3(k) else module.set_global_policy
    set_policy(name)
    try:
        yield
    finally:
        set_policy("float32")


# --- weights


def role(variable):
    """`gamma`, `kernel` …, whichever framework made the variable."""
    return variable.name.rpartition("/")[2].partition(":")[0]


def randomise(model, seed=0):
    """Give a model statistics, scales and biases as after a wild training; returns the model.

    Every seventh scale, at least, is negative. Kernels stay as they were initialised.
    """
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        shape = tuple(variable.shape)
        match role(variable):
            case "gamma":
                sign = np.where(rng.random(shape) < 0.15, -1, 1)
                value = rng.uniform(0.5, 1.5, shape) * sign
            case "beta" | "bias" | "moving_mean":
                value = rng.normal(0, 0.3, shape)
            case "moving_variance":
                value = rng.uniform(0.2, 3, shape)
            case _:
                continue
        variable.assign(value.astype(np.float32))
    return model


def state(model):
    """The weights of a model as float32 arrays in float64, exactly."""
    return [np.asarray(w).astype(np.float64) for w in model.get_weights()]


def shard_size(model):
    """So many GB that the weights take several files; none may be larger than a file."""
    return 1.1 * max(w.nbytes for w in model.get_weights()) / 2**30


# --- outputs

FLOATS = re.compile(r'"(?:mixed_)?b?float(?:16|32)"')


def clone64(k, model, custom=None):
    """The same model with the same weights, computing in float64."""
    config = FLOATS.sub('"float64"', model.to_json())
    clone = k.models.model_from_json(config, custom_objects=custom)
    clone.set_weights(state(model))
    return clone


def images(model, size=(), batch=2):
    """Random inputs for a model, with `size` for the axes its shape leaves open."""
    rng = np.random.default_rng(5)
    found = []
    for tensor in model.inputs:
        left = iter(size)
        shape = [n if n is not None else next(left) for n in tuple(tensor.shape)[1:]]
        found.append(rng.normal(size=(batch, *shape)))
    return found


def outputs(model, inputs):
    result = model(inputs[0] if len(inputs) == 1 else inputs, training=False)
    if not isinstance(result, list | tuple | dict):
        result = [result]
    values = [result[key] for key in sorted(result)] if isinstance(result, dict) else result
    return [np.asarray(y) for y in values]


def relative(ours, theirs):
    """The largest difference of any output, in units of that output's largest value."""
    assert len(ours) == len(theirs)
    worst = 0.0
    for y, wanted in zip(ours, theirs, strict=True):
        y, wanted = (a.astype(np.float64) for a in (y, wanted))  # noqa: PLW2901
        assert y.shape == wanted.shape
        scale = np.abs(wanted).max()
        assert np.isfinite(y).all()
        assert scale > 0
        assert np.ptp(wanted) > 1e-3 * scale, "a constant output would hide every difference"
        worst = max(worst, np.abs(y - wanted).max() / scale)
    return worst


def assert_same(k, after, before, *, size=(), bound=BOUND, custom=None, other=None):
    """Two models of the frameworks `k` and `other` compute the same, in float64."""
    inputs = images(before, size)
    wanted = outputs(clone64(other or k, before, custom), inputs)
    ours = outputs(clone64(k, after, custom), inputs)
    assert {y.dtype.name for y in (*ours, *wanted)} == {"float64"}
    assert relative(ours, wanted) <= bound


def assert_same_predictions(k, after, before):
    """Two models predict the same, in their own precision and as a compiled graph.

    For convolutions with channels first, which TensorFlow has on a CPU only in float32; and called
    outside of a graph, those with a bias give wrong results.
    """
    (x,) = (x.astype(np.float32) for x in images(before))
    ours, theirs = ([model.predict(x, verbose=0)] for model in (after, before))
    assert relative(ours, theirs) <= BOUND, k.__name__


# --- what a model consists of


def layers(model):
    """Every layer, those of nested models too."""
    for layer in model.layers:
        yield layer
        if hasattr(layer, "layers"):
            yield from layers(layer)


def named(model, *classes):
    """Names of the layers of some classes."""
    return [layer.name for layer in layers(model) if type(layer).__name__ in classes]


def norms(model):
    return named(model, "BatchNormalization")


def sums(model):
    """How many additions a model has, written as layers or as operators."""
    config = model.to_json()
    return len(re.findall(r'"class_name": "(?:Add|TFOpLambda)"', config))


# --- files


def magic(path):
    return "zip" if is_zipfile(path) else path.read_bytes()[:4]


def fuse(k, model, folder, suffix, *, same=assert_same, custom=None, reload=True, **options):
    """Save a model, fuse the file and load both with the stock loader; they compute the same.

    Gives the report and the fused model; `same` compares two models of one framework. Without
    `reload`, the original is not loaded again, which takes tf_keras long for large models.
    """
    source, output = folder / f"train{suffix}", folder / f"fused{suffix}"
    model.save(source)
    before = model
    if reload:
        before = k.models.load_model(source, custom_objects=custom, compile=False)
    report = reparam.fuse(source, output, **options)
    assert report.verified
    assert magic(output) == magic(source)
    after = k.models.load_model(output, custom_objects=custom)
    same(k, after, before, **({"custom": custom} if custom else {}))
    # what stays is reported, once each
    assert len(report.plan.skipped) == len(set(norms(after)))
    verify = {name: value for name, value in options.items() if name in {"input_size", "config"}}
    assert reparam.verify(source, output, **verify).ok
    return report, after
