"""State dicts under Keras' names and axes, fused in memory."""

from pathlib import Path

import h5py
import numpy as np
import pytest

import reparam
from reparam.keras_names import from_keras, name_variables, renumbered

GOLDEN = Path(__file__).parent / "golden_keras"
CASE = GOLDEN / "k215_repvgg_samepad_odd33_legacy_h5"


def read(path):
    arrays = {}
    with h5py.File(path) as file:
        for layer in file.attrs["layer_names"]:
            for name in file[layer].attrs["weight_names"]:
                key = name if name.startswith(f"{layer}/") else f"{layer}/{name}"
                arrays[key] = file[layer][name][...]
    return arrays


@pytest.fixture
def arrays():
    return read(CASE / "train_weights.h5")


@pytest.mark.parametrize("end", [":0", ""])
def test_a_state_dict_of_a_published_class_is_fused(arrays, end):
    arrays = {name.removesuffix(":0") + end: values for name, values in arrays.items()}
    before = {name: values.copy() for name, values in arrays.items()}
    deploy = reparam.fuse_state_dict(arrays, layout="keras", input_size=(33, 33))
    expected = np.load(CASE / "expected_deploy.npz")
    named = {}
    for key in expected.files:
        layer, _, name = key.replace("|", "/").partition("/")
        name = name if name.startswith(f"{layer}/") else f"{layer}/{name}"
        named[name.removesuffix(":0") + end] = expected[key]
    assert deploy.keys() == named.keys()
    for name, values in named.items():
        assert deploy[name].shape == values.shape
        assert deploy[name].dtype == values.dtype
        np.testing.assert_allclose(deploy[name], values, rtol=1e-6, atol=1e-6 * abs(values).max())
    for name, values in before.items():
        assert np.array_equal(arrays[name], values)
        assert all(not np.shares_memory(arrays[name], made) for made in deploy.values())


def test_a_strided_net_needs_the_size_of_its_input(arrays):
    with pytest.raises(reparam.PlanError, match="--input-size"):
        reparam.fuse_state_dict(arrays, layout="keras")


def test_recipes_of_pytorch_are_not_tried(arrays):
    with pytest.raises(reparam.RecipeError, match="written for torch files"):
        reparam.fuse_state_dict(arrays, layout="keras", recipe="repvgg")
    with pytest.raises(reparam.PlanError, match="torch or keras"):
        reparam.fuse_state_dict(arrays, layout="caffe")


def test_a_recipe_of_the_users_own_reaches_every_kind_of_kernel(tmp_path):
    rng = np.random.default_rng(0)
    shapes = {
        "a/conv1d/kernel": (3, 2, 4),
        "a/depthwise_conv2d/kernel": (3, 5, 2, 3),
        "a/separable_conv2d/depthwise_kernel": (3, 3, 2, 1),
        "a/separable_conv2d/pointwise_kernel": (1, 1, 2, 5),
        "a/conv2d_transpose/kernel": (3, 3, 4, 2),
        "a/dense/kernel": (3, 4),
    }
    outputs = {"conv1d": 4, "depthwise_conv2d": 6, "separable_conv2d": 5, "conv2d_transpose": 4}
    outputs["dense"] = 4
    arrays = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    for layer, size in outputs.items():
        for role in ("gamma", "beta", "moving_mean", "moving_variance"):
            arrays[f"a/{layer}_bn/{role}"] = rng.uniform(0.5, 2, size)
    lines = ["conv1d", "depthwise_conv2d", "separable_conv2d.pointwise", "dense"]
    lines.append("conv2d_transpose[transposed]")
    text = ", ".join(f'"{x} {x.split(".")[0].removesuffix("[transposed]")}_bn"' for x in lines)
    recipe = tmp_path / "own.toml"
    recipe.write_text(
        'name = "own"\ntitle = "own"\nlayout = "keras"\n[eps]\nvalue = 0.5\nsource = "the test"\n'
        f'[[spelling]]\nname = "own"\n[[spelling.block]]\nat = "a"\nfuse = [{text}]\n'
        'beside = ["separable_conv2d.depthwise"]\n'
    )
    deploy = reparam.fuse_state_dict(arrays, layout="keras", recipe=recipe)
    for layer in outputs:
        norm = {k: arrays[f"a/{layer}_bn/{k}"] for k in ("gamma", "beta", "moving_mean")}
        scale = norm["gamma"] / np.sqrt(arrays[f"a/{layer}_bn/moving_variance"] + 0.5)
        name = f"a/{layer}/{'pointwise_' if 'separable' in layer else ''}kernel"
        kernel = arrays[name]
        by_channel = scale
        if layer == "depthwise_conv2d":
            by_channel = scale.reshape(2, 3)  # output c * M + m
        if layer == "conv2d_transpose":
            by_channel = scale[:, None]
        np.testing.assert_allclose(deploy[name], kernel * by_channel, rtol=1e-14)
        bias = norm["beta"] - norm["moving_mean"] * scale
        np.testing.assert_allclose(deploy[f"a/{layer}/bias"], bias, rtol=1e-13, atol=1e-15)
    kept = "a/separable_conv2d/depthwise_kernel"
    assert np.array_equal(deploy[kept], arrays[kept])


def test_names_tell_the_variables():
    separable = name_variables("s", ["depthwise_kernel", "pointwise_kernel", "bias"], [4, 4, 1])
    assert [half + "." + role for half, role, _ in separable] == [
        ".depthwise.weight",
        ".pointwise.weight",
        ".pointwise.bias",
    ]
    assert name_variables("d", ["depthwise_kernel"], [4]) == [("", "weight", "depthwise")]
    assert name_variables("x.dw_conv", ["kernel"], [4]) == [("", "weight", "depthwise")]
    assert name_variables("dw.hardware_conv", ["kernel"], [4]) == [("", "weight", "conv")]
    assert name_variables("x.conv2d_transpose_3", ["kernel"], [4]) == [("", "weight", "transposed")]
    assert name_variables("x", ["kernel", "state"], [1, 2]) == [
        ("", "kernel", "vector"),
        ("", "state", "vector"),
    ]


def test_numbers_count_from_zero_in_their_order():
    names = ["conv2d_11", "conv2d_9", "conv2d_10", "conv", "conv_1", "x_2b", "dense"]
    assert renumbered(names) == {
        "conv2d_9": "conv2d",
        "conv2d_10": "conv2d_1",
        "conv2d_11": "conv2d_2",
        "conv": "conv",
        "conv_1": "conv_1",
        "x_2b": "x_2b",
        "dense": "dense",
    }


def test_flat_names_are_left_as_they_are():
    assert [*from_keras({"conv2d_4/kernel": np.ones((1, 1, 2, 2))}).arrays] == ["conv2d_4.weight"]


@pytest.mark.parametrize(("size", "places"), [(6, (0, 1, 0)), (8, (0, 0, 0)), (9, (1, 1, 1))])
def test_every_block_hands_its_size_on(size, places):
    rng = np.random.default_rng(0)
    arrays = {}
    for number in range(3):
        for branch, taps in (("rbr_dense", 3), ("rbr_1x1", 1)):
            stem = f"block_{number}/{branch}"
            arrays[f"{stem}/conv/kernel"] = rng.normal(size=(taps, taps, 4, 4))
            arrays[f"{stem}/bn/gamma"] = np.ones(4)
            arrays[f"{stem}/bn/beta"] = arrays[f"{stem}/bn/moving_mean"] = np.zeros(4)
            arrays[f"{stem}/bn/moving_variance"] = np.ones(4)
    found = reparam.fuse_state_dict(arrays, layout="keras", input_size=(size, size))
    for number, place in enumerate(places):
        stem = f"block_{number}"
        wanted = arrays[f"{stem}/rbr_dense/conv/kernel"].copy()
        wanted[place, place] += arrays[f"{stem}/rbr_1x1/conv/kernel"][0, 0]
        kernel = found[f"{stem}/rbr_reparam/kernel"]
        np.testing.assert_allclose(kernel, wanted / np.sqrt(1.001), 1e-12)
