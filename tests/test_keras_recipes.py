"""The recipes for Keras: every spelling found by its names, fused, and right."""

import numpy as np
import pytest

import reparam
from reparam.checkpoint import TensorInfo
from reparam.keras_names import from_keras
from reparam.library import find_recipes
from reparam.plans import Settings
from reparam.recipe_plan import plan_tensors


class Maker:
    """Adds layers under Keras' names with random weights."""

    def __init__(self):
        self.state = {}
        self.rng = np.random.default_rng(0)

    def conv(self, name, *shape, bias=False, variable="kernel"):
        self.state[f"{name}/{variable}"] = self.rng.normal(size=shape).astype("f4")
        if bias:
            out = shape[-1] if variable == "kernel" else shape[-2] * shape[-1]
            self.state[f"{name}/bias"] = self.rng.normal(size=out).astype("f4")

    def norm(self, name, width):
        for role, low in (
            ("gamma", -1),
            ("beta", -1),
            ("moving_mean", -1),
            ("moving_variance", 0.1),
        ):
            self.state[f"{name}/{role}"] = self.rng.uniform(low, 2, width).astype("f4")


def repvgg(big, small, identity, *, prefix="", stale=None):
    """Three blocks: with a stride, with a stride, and with an identity."""
    m = Maker()
    blocks = [(f"{prefix}rep_vgg_block", 3, 4), (f"{prefix}sequential/rep_vgg_block_1", 4, 4)]
    blocks += [(f"{prefix}sequential/rep_vgg_block_2", 4, 4)]
    for number, (block, into, out) in enumerate(blocks):
        names = [f"{block}/{x.format(2 * number, 2 * number + 1)}" for x in (*big, *small)]
        m.conv(names[0], 3, 3, into, out)
        m.norm(names[1], out)
        m.conv(names[2], 1, 1, into, out)
        m.norm(names[3], out)
        if number == 2:
            m.norm(f"{block}/{identity}", out)
        if stale:
            m.conv(f"{block}/{stale}", 3, 3, into, out, bias=True)
    m.conv("dense", 4, 5, bias=True)
    return m.state


def shared_norm(stem, norm, block, convs, inner):
    m = Maker()
    m.conv(stem, 7, 7, 3, 8, bias=True)
    m.norm(norm, 8)
    for b in (block, f"{block}_1"):
        for conv, size in zip(convs, (3, 3, 1, 1), strict=True):
            m.conv(f"{b}/{conv}", size, size, 8, 8, bias=True)
        m.norm(f"{b}/{inner}", 8)
    m.conv("fc", 8, 3, bias=True)
    return m.state


def kecam(one, two, *, depthwise=False):
    m = Maker()
    variable = "depthwise_kernel" if depthwise else "kernel"
    for stem, identity in (("stem_", False), ("stack1_block1_", True)):
        shape = (4, 1) if depthwise else (4, 4)
        m.conv(f"{stem}{one}conv", 3, 3, *shape, variable=variable)
        m.norm(f"{stem}{one.replace('dw_', '')}bn", 4)
        m.conv(f"{stem}{two}conv", 1, 1, *shape, variable=variable)
        m.norm(f"{stem}{two.replace('dw_', '')}bn", 4)
        if identity:
            m.norm(f"{stem}REPARAM_0_bn", 4)
    m.conv("stack1_block1_mlp_conv", 1, 1, 4, 4)
    m.norm("stack1_block1_mlp_bn", 4)
    return m.state


FAMILIES = {
    ("repvgg-keras", "same padding"): (
        repvgg(("rbr_dense/conv", "rbr_dense/bn"), ("rbr_1x1/conv", "rbr_1x1/bn"), "rbr_identity"),
        3,
    ),
    ("repvgg-keras", "same padding, legacy HDF5"): (
        repvgg(
            ("conv_bn_{0}/conv2d_{0}", "conv_bn_{0}/batch_normalization_{0}"),
            ("conv_bn_{1}/conv2d_{1}", "conv_bn_{1}/batch_normalization_{1}"),
            "batch_normalization_9",
        ),
        3,
    ),
    ("repvgg-keras", "zero padding"): (
        repvgg(
            ("conv_bn3x3/conv2d", "conv_bn3x3/batch_normalization"),
            ("conv_bn1x1/conv2d", "conv_bn1x1/batch_normalization"),
            "identity",
            stale="reparam/conv2d",
        ),
        3,
    ),
    ("repvgg-keras", "zero padding, legacy HDF5"): (
        repvgg(
            ("sequential_7{0}/conv", "sequential_7{0}/bn"),
            ("sequential_8{0}/conv", "sequential_8{0}/bn"),
            "batch_normalization_3",
            stale="sequential_5/conv",
        ),
        3,
    ),
    ("resnet-shared-norm-keras", "attributes"): (
        shared_norm("conv1", "bn", "residual_block", ("conv1", "conv2", "conv3", "conv4"), "bn"),
        5,
    ),
    ("resnet-shared-norm-keras", "list of blocks"): (
        shared_norm(
            "conv2d",
            "batch_normalization",
            "residual_blocks/residual_block",
            ("conv1", "conv2", "conv3", "conv4"),
            "bn",
        ),
        5,
    ),
    ("resnet-shared-norm-keras", "legacy HDF5"): (
        shared_norm(
            "conv2d_40",
            "batch_normalization_2",
            "residual_block",
            ("conv2d_7", "conv2d_8", "conv2d_9", "conv2d_10"),
            "batch_normalization_4",
        ),
        5,
    ),
    ("kecam-reparam", "depthwise"): (kecam("REPARAM_1_dw_", "REPARAM_2_dw_", depthwise=True), 2),
    ("kecam-reparam", "convolution"): (kecam("REPARAM_1_", "REPARAM_2_"), 2),
    ("kecam-reparam", "k3 and k1"): (
        {k: v for k, v in kecam("REPARAM_k3_", "REPARAM_k1_").items() if "REPARAM_0" not in k},
        2,
    ),
}


def plan_of(state, **options):
    held = from_keras(state).arrays
    tensors = {name: TensorInfo(a.shape, a.dtype.name) for name, a in held.items()}
    options = {"recipe": None, "eps": None, "settings": Settings()} | options
    return plan_tensors(tensors, {}, "state dict", layout="keras", input_size=(32, 33), **options)


def test_every_spelling_has_a_sample():
    known = {(r.name, s.name) for r in find_recipes(layout="keras") for s in r.spellings}
    assert known == set(FAMILIES)


@pytest.mark.parametrize("family", FAMILIES, ids=" ".join)
def test_found_by_names_alone(family):
    state, count = FAMILIES[family]
    plan = plan_of(state, eps=0.25 if "k3" in family[1] else None)
    assert plan.recipes == (f"{family[0]} ({family[1]})",)
    assert len(plan.fusions) == count
    assert plan.unclaimed == ()


@pytest.mark.parametrize("family", FAMILIES, ids=" ".join)
def test_without_one_norm_it_is_another_net(family):
    state, _ = FAMILIES[family]
    lost = next(n.rpartition("/")[0] for n in state if n.endswith("moving_variance"))
    state = {k: v for k, v in state.items() if not k.startswith(f"{lost}/")}
    with pytest.raises(reparam.PlanError):
        plan_of(state, eps=0.25 if "k3" in family[1] else None)


def scale(state, norm, eps):
    gamma, beta, mean, var = (
        state[f"{norm}/{role}"].astype(float)
        for role in ("gamma", "beta", "moving_mean", "moving_variance")
    )
    factor = gamma / np.sqrt(var + eps)
    return factor, beta - mean * factor


@pytest.mark.parametrize("size", [(32, 32), (33, 33), (32, 33)])
@pytest.mark.parametrize("spelling", ["same padding", "zero padding"])
def test_the_sum_of_the_branches(spelling, size):
    state, _ = FAMILIES["repvgg-keras", spelling]
    deploy = reparam.fuse_state_dict(state, layout="keras", input_size=size)
    same = spelling == "same padding"
    big, small = (
        ("rbr_dense/conv", "rbr_1x1/conv") if same else ("conv_bn3x3/conv2d", "conv_bn1x1/conv2d")
    )
    norm = "/bn" if same else "/batch_normalization"
    for number, block in enumerate(
        ["rep_vgg_block", "sequential/rep_vgg_block_1", "sequential/rep_vgg_block_2"]
    ):
        stem = block + "/"
        factor, shift = scale(state, stem + big.split("/")[0] + norm, 1e-3)
        one, one_shift = scale(state, stem + small.split("/")[0] + norm, 1e-3)
        kernel = state[f"{stem}{big}/kernel"].astype(float) * factor
        # a stride of 2 at 32 pixels leaves nothing to pad in front; the second block sees 16 or 17
        place = [
            0 if same and number < 2 and (n if number == 0 else -(-n // 2)) % 2 == 0 else 1
            for n in size
        ]
        kernel[place[0], place[1]] += state[f"{stem}{small}/kernel"].astype(float)[0, 0] * one
        bias = shift + one_shift
        if number == 2:
            identity = "rbr_identity" if same else "identity"
            last, last_shift = scale(state, stem + identity, 1e-3)
            kernel[1, 1] += np.diag(last)
            bias += last_shift
        made = f"{stem}rbr_reparam" if same else f"{stem}reparam/conv2d"
        np.testing.assert_allclose(deploy[f"{made}/kernel"], kernel, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(deploy[f"{made}/bias"], bias, rtol=1e-6, atol=1e-6)


def test_a_shared_norm_is_folded_into_both():
    state, _ = FAMILIES["resnet-shared-norm-keras", "attributes"]
    deploy = reparam.fuse_state_dict(state, layout="keras")
    factor, shift = scale(state, "residual_block/bn", 1e-3)
    for conv in ("conv1", "conv2"):
        name = f"residual_block/{conv}"
        np.testing.assert_allclose(deploy[f"{name}/kernel"], state[f"{name}/kernel"] * factor, 1e-6)
        bias = state[f"{name}/bias"] * factor + shift
        np.testing.assert_allclose(deploy[f"{name}/bias"], bias, rtol=1e-5, atol=1e-6)
    assert not any("bn" in name for name in deploy)


def test_a_depthwise_identity():
    state, _ = FAMILIES["kecam-reparam", "depthwise"]
    deploy = reparam.fuse_state_dict(state, layout="keras")
    stem = "stack1_block1_REPARAM_"
    factor, shift = scale(state, f"{stem}1_bn", 1e-5)
    one, one_shift = scale(state, f"{stem}2_bn", 1e-5)
    last, last_shift = scale(state, f"{stem}0_bn", 1e-5)
    kernel = state[f"{stem}1_dw_conv/depthwise_kernel"][..., 0] * factor
    kernel[1, 1] += state[f"{stem}2_dw_conv/depthwise_kernel"][0, 0, :, 0] * one + last
    found = deploy[f"{stem}1_dw_conv/depthwise_kernel"]
    np.testing.assert_allclose(found[..., 0], kernel, rtol=1e-6, atol=1e-6)
    bias = shift + one_shift + last_shift
    np.testing.assert_allclose(deploy[f"{stem}1_dw_conv/bias"], bias, rtol=1e-6, atol=1e-6)
    assert "stack1_block1_mlp_bn/gamma" in deploy  # what the recipe does not know is left alone
