"""Every recipe finds its blocks in every spelling, and reads nothing else as one."""

from typing import NamedTuple

import numpy as np
import pytest
from families import FAMILIES
from families.plain import cifar_resnet, mobilenetv2, repvgg, resnet, vgg
from families.sample import Maker, Sample

import reparam
from reparam import operations
from reparam.checkpoint import TensorInfo
from reparam.errors import PlanError, RecipeError
from reparam.library import find_recipes
from reparam.plans import Settings
from reparam.recipe_plan import plan_tensors
from reparam.recipe_toml import read_recipe
from reparam.reference import probe_size, run


class Family(NamedTuple):
    """One spelling of one recipe with its sample.

    Attributes:
        recipe: Name of the recipe.
        label: Recipe and spelling, as plans call them.
        sample: The checkpoint and what becomes of it.
        said: What the user has to say about it, and no more.
    """

    recipe: str
    label: str
    sample: Sample
    said: dict


@pytest.fixture(params=FAMILIES, ids=" / ".join)
def family(request):
    recipe, spelling = request.param
    sample = FAMILIES[request.param]
    said = {"eps": sample.eps} if sample.said else {}
    said |= {"recipe": recipe} if sample.named else {}
    return Family(recipe, f"{recipe} ({spelling})", sample, said)


def plan_of(state, **options):
    """Plan a state dict through the same door as `fuse_state_dict`."""
    tensors = {k: TensorInfo(v.shape, v.dtype.name) for k, v in state.items()}
    settings = Settings(options.pop("batch_norm", "remove"), options.pop("dtype", "keep"))
    options = {"recipe": None, "eps": None} | options
    return plan_tensors(tensors, {}, "state dict", settings=settings, **options)


def reader(tensors):
    return lambda name, rows=(None,): tensors[name][slice(*rows)]


def by_hand(state, conv, norm, eps):
    """Conv and norm fused by the textbook formula, in float64."""
    s = state[f"{norm}.weight"] / np.sqrt(state[f"{norm}.running_var"].astype(float) + eps)
    kernel = state[f"{conv}.weight"] * s.reshape(-1, *(1,) * (state[f"{conv}.weight"].ndim - 1))
    inner = state.get(f"{conv}.bias", 0.0)
    return kernel, state[f"{norm}.bias"] + (inner - state[f"{norm}.running_mean"]) * s


def test_every_spelling_has_a_sample():
    known = {(r.name, s.name) for r in find_recipes(layout="torch") for s in r.spellings}
    assert known == set(FAMILIES)


def test_found_by_names_alone(family):
    plan = plan_of(family.sample.state, **family.said)
    assert plan.recipes == (family.label,)
    assert {fusion.name for fusion in plan.fusions} == set(family.sample.makes)
    assert {fusion.binding.eps for fusion in plan.fusions} == {family.sample.eps}
    assert plan.unclaimed == ()


def test_what_has_to_be_said_is_not_guessed(family):
    """Without it the file is refused, or another recipe's."""
    for word in family.said:
        said = {k: v for k, v in family.said.items() if k != word}
        try:
            plan = plan_of(family.sample.state, **said)
        except PlanError:
            continue
        assert word == "recipe"
        assert not any(label.startswith(f"{family.recipe} (") for label in plan.recipes)


@pytest.mark.parametrize("prefix", ["backbone.", "module.", "model.", "a.b.c."])
def test_any_prefix(family, prefix):
    state = {prefix + k: v for k, v in family.sample.state.items()}
    plan = plan_of(state, **family.said)
    assert plan.recipes == (family.label,)
    assert {fusion.name for fusion in plan.fusions} == {prefix + n for n in family.sample.makes}
    assert plan.unclaimed == ()


def test_order_of_tensors_is_irrelevant(family):
    state = family.sample.state
    names = list(state)
    np.random.default_rng(1).shuffle(names)
    shuffled = plan_of({k: state[k] for k in names}, **family.said)
    assert shuffled.fusions == plan_of(state, **family.said).fusions
    assert shuffled.recipes == (family.label,)


def test_deploy_form_has_exactly_its_tensors(family):
    state, expected = family.sample.state, family.sample.deploy_keys
    fused = reparam.fuse_state_dict(state, **family.said)
    assert set(fused) == expected
    made = {f"{path}.{role}" for path in family.sample.makes for role in ("weight", "bias")}
    assert all(np.array_equal(fused[name], state[name]) for name in expected - made)


@pytest.mark.parametrize("batch_norm", ["remove", "neutral"])
def test_deploy_form_computes_the_same(family, batch_norm):
    """Every fused layer, against its unfused layers run on a random image, borders included."""
    sample, said = family.sample, family.said | {"batch_norm": batch_norm}
    state = {k: v.astype(float) if v.dtype.kind == "f" else v for k, v in sample.state.items()}
    fused = reparam.fuse_state_dict(state, **said)
    random = np.random.default_rng(2)
    for fusion in plan_of(state, **said).fusions:
        x = random.normal(size=(2, operations.inputs(fusion.op), *probe_size(fusion.op)))
        wanted = run(fusion.op, reader(state), x)
        found = run(fusion.after, reader(fused), x)
        assert found.shape == wanted.shape
        assert np.abs(found - wanted).max() <= 1e-12 * np.abs(wanted).max(), fusion.name


@pytest.mark.parametrize("batch_norm", ["remove", "neutral"])
def test_pairs_are_what_the_textbook_says(family, batch_norm):
    state, eps = family.sample.state, family.sample.eps
    said = family.said | {"batch_norm": batch_norm}
    fused = reparam.fuse_state_dict(state, **said)
    plan = plan_of(state, **said)
    assert set(fused) == set(plan.outputs)
    in_place = []
    for fusion in plan.fusions:
        pair = operations.conv_norm_pair(fusion.op)
        if pair is None or pair[0].transposed:
            continue
        conv, norm = (name.rpartition(".")[0] for name in (pair[0].weight, pair[1].mean))
        kernel, bias = by_hand(state, conv, norm, eps)
        assert np.allclose(fused[fusion.kernel.name], kernel, rtol=1e-6, atol=1e-7)
        assert np.allclose(fused[fusion.bias.name], bias, rtol=1e-6, atol=1e-6)
        if batch_norm == "neutral" and conv == fusion.name:
            in_place.append(fusion)
            assert (fused[f"{norm}.weight"] == 1).all()
            assert (fused[f"{norm}.running_mean"] == 0).all()
            assert (fused[f"{norm}.running_var"] == np.float32(1 - eps)).all()
            shared = sum(f"{norm}.running_mean" in f.reads for f in plan.fusions) > 1
            assert fusion.bias.name == f"{conv if shared else norm}.bias"
    if len(in_place) == len(plan.fusions):
        assert set(fused) == set(state)


def test_repvgg_block_sums_its_branches():
    state = repvgg("official", groups=2)
    fused = reparam.fuse_state_dict(state)
    eye = np.zeros((8, 4, 1, 1))
    eye[np.arange(8), np.arange(8) % 4] = 1
    state["eye.weight"] = eye
    at = "stage1.1.rbr_"
    kernel, bias = by_hand(state, f"{at}dense.conv", f"{at}dense.bn", 1e-5)
    for conv, norm in ((f"{at}1x1.conv", f"{at}1x1.bn"), ("eye", f"{at}identity")):
        small, shift = by_hand(state, conv, norm, 1e-5)
        kernel[:, :, 1:2, 1:2] += small
        bias = bias + shift
    assert np.allclose(fused[f"{at}reparam.weight"], kernel, rtol=1e-6, atol=1e-7)
    assert np.allclose(fused[f"{at}reparam.bias"], bias, rtol=1e-6, atol=1e-6)


def test_shared_norm_is_folded_into_both_convolutions():
    plan = plan_of(FAMILIES["resnet-shared-norm", "residual_blocks"].state)
    readers = [f.name for f in plan.fusions if "residual_blocks.0.bn.running_var" in f.reads]
    assert readers == ["residual_blocks.0.conv1", "residual_blocks.0.conv2"]


def test_norm_after_the_sum_stays_and_says_why():
    plan = plan_of(FAMILIES["resnext-basic", "basic + shortcut"].state)
    assert {s.name for s in plan.skipped} == {"layer1.0.bn0", "layer1.1.bn0"}
    assert all("after" in s.reason or "follows the sum" in s.reason for s in plan.skipped)
    assert "bn0.running_var" in {n for f in plan.fusions for n in f.reads}


def test_shortcuts_of_every_kind():
    for state in (resnet(pooled=True), resnet(bottleneck=False), cifar_resnet()):
        plan = plan_of(state)
        assert plan.skipped == ()
        assert plan.unclaimed == ()


# --- nets that resemble a family and must not be fused ------------------------------------------


def refused(state, **options):
    with pytest.raises(PlanError) as caught:
        plan_of(state, **options).check()
    return str(caught.value)


def preactivation(widths=(8, 16)):
    m = Maker()
    m.conv("conv1", 8, 3, 3, 3)
    into = 8
    for number, out in enumerate(widths, start=1):
        block = f"layer{number}.0"
        m.norm(f"{block}.bn1", into)
        m.conv(f"{block}.conv1", out, into, 3, 3)
        m.norm(f"{block}.bn2", out)
        m.conv(f"{block}.conv2", out, out, 3, 3)
        into = out
    m.norm("bn", into)
    m.conv("linear", 10, into, bias=True)
    return m.state


def test_preactivation_resnet_is_refused():
    message = refused(preactivation())
    assert "pre-activation" in message
    assert "no 'bn1'" in message


def test_preactivation_of_constant_width_is_refused():
    assert "no 'bn1'" in refused(preactivation((8, 8)))


def test_preactivation_with_a_stem_norm_is_refused_by_shape():
    state = preactivation()
    m = Maker()
    m.norm("bn1", 8)
    assert "stand before it" in refused(state | m.state)


def test_relu_between_conv_and_norm_is_refused():
    state = {}
    for name, values in vgg().items():
        parts = name.split(".")
        if parts[0] == "features" and int(parts[1]) in (1, 4, 8):
            parts[1] = str(int(parts[1]) + 1)
        state[".".join(parts)] = values
    assert "a layer without tensors (a ReLU?) stands between" in refused(state)


def test_another_familys_unknown_layers_are_refused():
    state = resnet()
    m = Maker()
    m.conv("layer1.1.attention.qkv", 8, 8, 1, 1)
    assert "layer1.1.attention.qkv.weight" in refused(state | m.state)


def test_unknown_tensor_inside_a_layer_is_refused():
    state = resnet()
    state["layer1.0.conv1.weight_g"] = np.ones((4, 1, 1, 1), np.float32)
    assert "layer1.0.conv1.weight_g" in refused(state)


def test_missing_branch_is_refused():
    state = {k: v for k, v in repvgg("official").items() if "stage1.0.rbr_1x1" not in k}
    assert "has 'rbr_dense.conv' but no 'rbr_1x1.conv'" in refused(state)


@pytest.mark.parametrize("branch", ["rbr_dense.conv", "rbr_dense.bn", "rbr_1x1.conv", "rbr_1x1.bn"])
def test_a_torso_of_a_block_is_refused(branch):
    state = {k: v for k, v in repvgg("official").items() if f"stage1.0.{branch}." not in k}
    assert "stage1.0" in refused(state)
    whole = repvgg("official")
    only = {k: v for k, v in whole.items() if "stage1.0." not in k or "rbr_1x1.bn" in k}
    assert "stage1.0: has 'rbr_1x1.bn'" in refused(only)


def test_qarepvgg_is_not_taken_for_repvgg():
    state = repvgg("official")
    m = Maker()
    m.norm("stage1.0.bn", 8)
    assert "stage1.0.bn.weight" in refused(state | m.state)


def test_branch_of_the_wrong_width_is_refused():
    state = repvgg("official")
    state["stage1.0.rbr_1x1.conv.weight"] = np.ones((8, 4, 1, 1), np.float32)
    message = refused(state)
    assert "'rbr_1x1.conv' has 4 inputs but 'rbr_dense.conv' has 8" in message
    assert "groups=" in message


def test_norm_without_statistics_is_refused():
    state = {k: v for k, v in repvgg("timm").items() if "stages.0.1.identity.running" not in k}
    assert "running_mean" in refused(state)


def test_larger_depthwise_kernels_are_another_net():
    state = mobilenetv2("timm")
    state["blocks.1.0.conv_dw.weight"] = np.ones((16, 1, 5, 5), np.float32)
    assert "cannot know eps" in refused(state)
    assert "mobilenetv2 (timm)" not in plan_of(state, eps=1e-5).recipes


@pytest.mark.parametrize(
    "key", [k for k, sample in FAMILIES.items() if sample.said], ids=" / ".join
)
def test_asks_for_eps(key):
    sample = FAMILIES[key]
    message = refused(sample.state, recipe=key[0] if sample.named else None)
    assert "Say it with --eps" in message


def square(*, downsample=False):
    """A ResNet of one width: nothing but the names says that its norms follow."""
    m = Maker()
    m.conv("conv1", 8, 3, 3, 3)
    m.norm("bn1", 8)
    for number in (1, 2):
        m.conv(f"layer1.0.conv{number}", 8, 8, 3, 3)
        m.norm(f"layer1.0.bn{number}", 8)
    if downsample:
        m.conv("layer1.0.downsample.0", 8, 8, 1, 1)
        m.norm("layer1.0.downsample.1", 8)
    return m.state


def test_resnet_of_one_width_has_to_be_named():
    message = refused(square())
    assert "pre-activation nets use these names too" in message
    assert "--recipe resnet" in message
    assert len(plan_of(square(), recipe="resnet").fusions) == 3
    assert "--recipe resnet" in refused(square(downsample=True))


def test_two_convolutions_are_not_a_convolution_and_a_norm():
    state = resnet()
    del state["layer1.0.downsample.1.running_mean"], state["layer1.0.downsample.1.running_var"]
    state["layer1.0.downsample.1.weight"] = np.ones((16, 16, 1, 1), np.float32)
    assert "layer1.0.downsample.1 is a convolution where a norm is expected" in refused(state)


def test_two_norms_are_not_a_convolution_and_a_norm():
    state = resnet()
    m = Maker()
    m.norm("layer1.0.downsample.0", 16)
    assert "no convolution" in refused(state | m.state)


def test_shared_norm_needs_the_whole_block():
    state = FAMILIES["resnet-shared-norm", "residual_blocks"].state
    refused({k: v for k, v in state.items() if ".conv4." not in k})


def test_quantised_kernel_is_refused():
    state = repvgg("official")
    state["stage1.0.rbr_dense.conv.weight"] = np.ones((8, 8, 3, 3), np.int8)
    assert "dtype int8 cannot be fused" in refused(state)


# --- fused already, half fused, placeholders ----------------------------------------------------


def test_already_fused_file_says_so(family):
    fused = reparam.fuse_state_dict(family.sample.state, **family.said)
    message = refused(fused, **family.said)
    renamed = any(f"{path}.weight" not in family.sample.state for path in family.sample.makes)
    # where no name is new and other norms stay, nothing tells what the net was
    if renamed or not any(name.endswith(".running_var") for name in fused):
        assert "already in deploy form" in message or "in deploy form already" in message


def test_half_fused_repvgg_fuses_the_rest():
    train = repvgg("official")
    deploy = reparam.fuse_state_dict(train)
    half = {k: v for k, v in train.items() if not k.startswith("stage0")}
    half |= {k: v for k, v in deploy.items() if k.startswith("stage0")}
    plan = plan_of(half)
    assert any("half fused: 1 blocks" in n for n in plan.notes)
    again = reparam.fuse_state_dict(half)
    assert all(np.array_equal(again[k], deploy[k]) for k in deploy)


def test_half_fused_pairs_are_refused():
    train = resnet()
    deploy = reparam.fuse_state_dict(train)
    half = {k: v for k, v in train.items() if not k.startswith(("conv1.", "bn1."))}
    half |= {k: v for k, v in deploy.items() if k.startswith("conv1.")}
    assert "half fused" in refused(half)


def test_placeholder_deploy_weights_are_recomputed():
    train = repvgg("official")
    deploy = reparam.fuse_state_dict(train)
    stale = train | {k: np.full_like(v, 9) for k, v in deploy.items() if "reparam" in k}
    assert sum("placeholder" in n for n in plan_of(stale).notes) == 3
    again = reparam.fuse_state_dict(stale)
    assert all(np.array_equal(again[k], deploy[k]) for k in deploy)


def test_placeholder_of_another_shape_is_refused():
    state = repvgg("official")
    state["stage0.rbr_reparam.weight"] = np.ones((8, 3, 5, 5), np.float32)
    assert "is no placeholder of the same shape" in refused(state)


def test_two_recipes_on_one_block(tmp_path):
    ours = """
name = "mine"
title = "mine"
eps = { value = 1e-5, source = "a test" }
[[spelling]]
name = "only"
[[spelling.block]]
fuse = ["rbr_dense.conv rbr_dense.bn"]
"""
    state = repvgg("official")
    path = tmp_path / "mine.toml"
    path.write_text(ours)
    message = refused(state, recipe=["repvgg", str(path)])
    assert "two recipes claim" in message
    assert "repvgg (official)" in message
    assert "mine (only)" in message


# --- recipe files -------------------------------------------------------------------------------

GOOD = """
name = "x"
title = "x"
eps = { value = 1e-5, source = "a test" }
[[spelling]]
name = "only"
[[spelling.block]]
fuse = ["conv bn"]
"""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("title", "titel"), "x.toml: 'title' is missing, expected a string"),
        (("fuse", "fusee"), "unknown key 'fusee'"),
        (('"conv bn"', '"conv bn +"'), "column 10"),
        (("value = 1e-5, ", ""), "expected either value"),
        (("1e-5", "true"), "expected a number"),
        (("[[spelling.block]]", "[spelling.block]"), "expected an array of tables"),
        (('["conv bn"]', "[1]"), "expected a list of strings"),
        (("name = ", "name "), "not valid TOML"),
    ],
)
def test_errors_in_a_recipe_name_file_and_place(change, message):
    assert read_recipe(GOOD, "x.toml").name == "x"
    with pytest.raises(RecipeError, match=r"x\.toml") as caught:
        read_recipe(GOOD.replace(*change), "x.toml")
    assert message in str(caught.value)


def test_unknown_recipe_lists_the_known():
    with pytest.raises(RecipeError, match=r"like repvgg.*'reparam recipes' lists"):
        find_recipes(["repvg"])


# --- hostile headers ----------------------------------------------------------------------------


def test_norms_without_an_axis_are_refused():
    state = repvgg("timm")
    for role in ("weight", "bias", "running_mean", "running_var"):
        state[f"stages.0.1.identity.{role}"] = np.float32(1)
    assert "expected one axis" in refused(state)
    state = resnet()
    for role in ("weight", "bias", "running_mean", "running_var"):
        state[f"other.bn1.{role}"] = np.ones((), np.float32)
    assert [s.name for s in plan_of(state).skipped] == ["other.bn1"]


def test_numbers_of_any_length_in_names():
    state = resnet()
    m = Maker()
    m.norm("bn" + "9" * 5000, 4)
    m.conv(f"features.{'7' * 5000}", 4, 4, 3, 3)
    assert len(plan_of(state | m.state).fusions) == 8


def test_a_block_at_the_root_owns_the_whole_file():
    block = {
        k.removeprefix("stage1.1."): v
        for k, v in repvgg("official").items()
        if k.startswith("stage1.1.")
    }
    assert len(plan_of(block).fusions) == 1
    m = Maker()
    m.norm("bn", 8)
    assert "'bn.bias'" in refused(block | m.state)


def test_a_recipe_named_twice_is_one():
    assert len(plan_of(resnet(), recipe=["resnet", "resnet"]).fusions) == 8


def test_pre_activation_with_transitions_outside_the_blocks_is_refused():
    m = Maker()
    m.conv("conv1", 8, 3, 3, 3)
    m.norm("bn1", 8)
    for stage, width in ((1, 8), (2, 16)):
        for number in (1, 2, 3):
            m.conv(f"layer{stage}.0.conv{number}", width, width, 3, 3)
            m.norm(f"layer{stage}.0.bn{number}", width)
    assert "pre-activation nets use these names too" in refused(m.state)


def test_neutral_needs_a_small_eps():
    with pytest.raises(PlanError, match=r"positive for eps < 1"):
        plan_of(vgg(), eps=1e8, batch_norm="neutral")


# --- what a file lacks or holds too much of ------------------------------------------------------


@pytest.mark.parametrize("role", ["weight", "bias"])
def test_a_norm_with_only_one_of_weight_and_bias_is_damaged(role):
    state = {k: v for k, v in repvgg("official").items() if k != f"stage0.rbr_1x1.bn.{role}"}
    message = refused(state)
    assert "'stage0.rbr_1x1.bn'" in message
    assert "damaged" in message


def test_a_norm_without_both_has_none():
    """affine=False."""
    gone = [f"stage0.rbr_1x1.bn.{role}" for role in ("weight", "bias")]
    state = {k: v for k, v in repvgg("official").items() if k not in gone}
    assert len(plan_of(state).fusions) == 3


def test_a_block_beside_the_layers_of_a_yolo_asks_for_eps():
    state = {f"model.1.{k}": v for k, v in repvgg("timm").items()}
    m = Maker()
    m.conv("model.4.cv1.conv", 8, 8, 1, 1)
    m.norm("model.4.cv1.bn", 8)
    assert len(plan_of(state).fusions) == 3
    message = refused(state | m.state)
    assert "YOLO" in message
    assert "Say it with --eps" in message
    plan = plan_of(state | m.state, eps=1e-3)
    assert {f.binding.eps for f in plan.fusions} == {1e-3}


def test_qarepvgg_with_squeeze_and_excitation_is_refused_with_the_reason():
    state = dict(FAMILIES["qarepvgg", "V2"].state)
    m = Maker()
    for name in ("stage1.0.se.down", "stage1.0.se.up"):
        m.conv(name, 4, 4, 1, 1, bias=True)
    message = refused(state | m.state)
    assert "stage1.0.se.down: the norm behind the branches reads what squeeze" in message


def test_two_recipes_that_state_different_eps():
    """A net has mostly one, that of the code that built it."""
    state = repvgg("timm") | {
        f"second.{k}": v for k, v in FAMILIES["mobilenetv3", "torchvision"].state.items()
    }
    message = refused(state)
    assert "disagree on eps: 0.001 (recipe mobilenetv3) and 1e-05 (recipe repvgg)" in message
    assert {f.binding.eps for f in plan_of(state, eps=1e-4).fusions} == {1e-4}
