"""Models whose inputs and outputs are structures, and layers of somebody's own.

Keras goes through dictionaries by their keys, and numbers the calls of nested models differently
from place to place; both decide in which order it lists the layers, and so where weights belong.
"""

from __future__ import annotations

import pytest
from oracle_keras.frameworks import fuse, randomise

import reparam

FORMATS = [".h5", ".keras"]


def dictionary(k):
    layers = k.layers
    x = layers.Input((8,))
    a = layers.ReLU()(layers.BatchNormalization()(layers.Dense(8)(x)))
    a = layers.ReLU()(layers.BatchNormalization()(layers.Dense(8)(a)))
    b = layers.Activation("sigmoid")(layers.Activation("tanh")(layers.Dense(8)(x)))
    return k.Model(x, {"z": a, "b": layers.Dense(8)(b)})


def twins(k):
    layers = k.layers
    x = layers.Input((8,))
    hidden = layers.ReLU()(layers.BatchNormalization()(layers.Dense(8)(x)))
    inner = k.Model(x, layers.Dense(8)(hidden), name="inner")
    one, two = layers.Input((8,)), layers.Input((8,))
    first, second = inner(layers.Dense(8)(one)), inner(layers.Dense(8)(two))
    return k.Model([one, two], [first, second, layers.Concatenate()([first, second])])


def consumed_and_given(k):
    layers = k.layers
    x = layers.Input((8,))
    inner = k.Model(x, layers.ReLU()(layers.Dense(8)(x)), name="inner")
    x = layers.Input((8,))
    hidden = layers.Dense(8)(x)
    normed = layers.BatchNormalization()(layers.Dense(8)(hidden))
    together = layers.Concatenate()([layers.Dense(8)(hidden), normed, inner(hidden)])
    return k.Model(x, inner(layers.Dense(8)(together)))


def keywords(k):
    layers = k.layers
    x = layers.Input((4, 8))
    key = layers.BatchNormalization()(layers.Dense(8)(x))
    value = layers.Dense(8)(x)
    return k.Model(x, layers.MultiHeadAttention(2, 4)(layers.Dense(8)(x), value=value, key=key))


def twice(base):
    """A subclass that computes something else under the same name."""
    if base.__name__ in ("Conv2D", "Add"):
        call = {"call": lambda self, inputs: 2 * base.call(self, inputs)}
    else:
        call = {"call": lambda self, inputs, training=None: 2 * base.call(self, inputs, training)}
    return type(base.__name__, (base,), call)


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("net", [dictionary, twins, consumed_and_given, keywords])
def test_the_same_weights_in_the_same_layers(k, net, suffix, tmp_path):
    report, _ = fuse(k, randomise(net(k)), tmp_path, suffix)
    assert report.fused


@pytest.mark.parametrize("kind", ["Conv2D", "BatchNormalization", "Dropout", "Add"])
def test_a_layer_of_ones_own_may_have_the_name_of_a_stock_one(k, kind, tmp_path):
    """It may compute anything; `.keras` files tell it by the name it is registered as."""
    register = k.saving.register_keras_serializable(package="mine")
    own = register(twice(getattr(k.layers, kind)))
    layers = {n: getattr(k.layers, n) for n in ("Conv2D", "BatchNormalization", "Add", "Dropout")}
    layers[kind] = own
    x = k.layers.Input((8, 8, 3))
    branches = []
    for size in (3, 1):
        y = layers["Conv2D"](4, size, padding="same")(x)
        y = layers["Dropout"](0.1)(y)
        branches.append(layers["BatchNormalization"]()(y))
    model = randomise(k.Model(x, layers["Add"]()(branches)))
    if kind == "Add":  # the branches are not summed, the norms go into their convolutions
        report, _ = fuse(k, model, tmp_path, ".keras", custom={f"mine>{kind}": own})
        assert report.fused == 2
        return
    model.save(tmp_path / "train.keras")
    with pytest.raises(reparam.PlanError, match="nothing"):
        reparam.plan(tmp_path / "train.keras")


@pytest.mark.parametrize("suffix", FORMATS)
def test_dropout_that_stays_awake_is_not_passed_over(k, suffix, tmp_path):
    layers = k.layers
    x = layers.Input((8, 8, 4))
    point = layers.Dropout(0.5)(layers.Conv2D(4, 1, padding="same")(x))
    inner = k.Model(x, layers.Add()([layers.Conv2D(4, 3, padding="same")(x), point]))
    x = layers.Input((8, 8, 4))
    y = layers.BatchNormalization()(layers.Conv2D(4, 1)(x))
    model = randomise(k.Model(x, inner(y, training=True)))
    model.save(tmp_path / f"train{suffix}")
    plan = reparam.plan(tmp_path / f"train{suffix}")
    assert len(plan.fusions) == 1
