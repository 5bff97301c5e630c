"""Files that Keras wrote, fused, and then run by an interpreter that is not the package's."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections import Counter
from pathlib import Path

import h5py
import keras_forward as forward
import numpy as np
import pytest

import reparam
from reparam.cli import main

GOLDEN = Path(__file__).parent / "golden_keras"
EXACT = 1e-12
"""What the interpreter may differ from Keras, both in float64."""
TOLERANCE = 1e-6
"""What float32 weights may cost, relative to the largest output."""

WHOLE = (
    "k215_bn_variants_h5",
    "k215_opadd_tfoplambda_h5",
    "k215_separable_keras",
    "k215_slash_names_h5",
    "k24_mobilenetv2_cut_h5",
    "k24_repvgg_even_h5",
    "k3_channels_first_keras",
    "k3_conv1d_keras",
    "k3_dense_keras",
    "k3_depthwise_keras",
    "k3_mixed_float16_keras",
    "k3_mobilenetv2_cut_keras",
    "k3_nested_h5",
    "k3_repvgg_grouped_keras",
)
NEGATIVE = {
    "k215_neg_act_between_h5": {"batch_normalization": "activation"},
    "k215_neg_two_consumers_h5": {"batch_normalization": "consumer|used"},
    "k3_neg_bn_training_true_keras": {"batch_normalization": "training"},
    "k3_neg_bn_conv_keras": {"pre_bn": "before"},
}
ODD = "k215_repvgg_samepad_odd33_legacy_h5"
EVEN = "k3_repvgg_samepad_even32_weights_h5"
ZEROS = "k212_repvgg_zeropad_weights_h5"
RESNET = "k3_resnet_sharedbn_weights_h5"
SIZES = {ODD: (33, 33), EVEN: (32, 32), ZEROS: None, RESNET: None}
ZEROS_STRIDES = 2, 2, 2, 1, 2, 2
RESNET_STRIDES = 2, 1


def case_of(name):
    return json.loads((GOLDEN / name / "case.json").read_text("utf-8"))


def source(name):
    return GOLDEN / name / case_of(name)["file"]


def answers(name):
    return tuple(np.load(GOLDEN / name / f"{kind}.npy") for kind in ("inputs", "outputs"))


def expected(name, kind):
    with np.load(GOLDEN / name / f"expected_{kind}.npz") as arrays:
        return dict(arrays)


def distance(found, wanted):
    return np.abs(found - wanted).max() / np.abs(wanted).max()


def fuse(name, folder, **options):
    out = folder / f"out-{source(name).name}"
    return out, reparam.fuse(source(name), out, **options)


def test_every_case_is_tested():
    assert {p.name for p in GOLDEN.iterdir() if p.is_dir()} == {*WHOLE, *NEGATIVE, *SIZES}


# --- the interpreter itself -------------------------------------------------------------------


@pytest.mark.parametrize("name", [*WHOLE, *NEGATIVE])
def test_the_interpreter_is_keras(name):
    images, wanted = answers(name)
    (found,) = forward.predict(source(name), images)
    assert distance(found, wanted) < EXACT


@pytest.mark.parametrize("name", [*WHOLE, *NEGATIVE])
def test_the_order_of_layers_is_keras(name):
    """Keras lists layers as it orders them, which the interpreter works out by itself."""
    config = forward.read_config(source(name))

    def check(config):
        assert forward.in_order(config) == forward.layers_of(config)
        for layer in forward.layers_of(config):
            if layer["class_name"] in forward.MODELS:
                check(layer)

    check(config)
    if not zipfile.is_zipfile(source(name)):
        with h5py.File(source(name)) as file:
            listed = forward.attribute(file["model_weights"], "layer_names")
        wanted = [forward.name_of(x) for x in forward.in_order(config) if not forward.is_node(x)]
        assert listed == wanted


def run_article(name, path, images, *, form):
    if name == RESNET:
        return forward.resnet(path, RESNET_STRIDES, images)
    net = forward.train_repvgg if form == "train" else forward.deploy_repvgg
    if name == ZEROS:
        return forward.activation(net(path, ZEROS_STRIDES, images, 1), "softmax")
    return net(path, case_of(name)["strides"], images, "same")


@pytest.mark.parametrize("name", SIZES)
def test_the_nets_of_the_articles_are_understood(name):
    images, wanted = answers(name)
    found = run_article(name, source(name), images.astype(np.float64), form="train")
    assert distance(found, wanted) < EXACT


# --- whole models -----------------------------------------------------------------------------


def layers_of(path):
    """Every layer of a model with its class, inner ones too, in order, by path."""
    config = forward.read_config(path)
    found = {}

    def walk(layers, above):
        for layer in layers:
            at = (*above, forward.name_of(layer))
            assert at not in found
            found[at] = layer["class_name"]
            if layer["class_name"] in forward.MODELS:
                walk(forward.layers_of(layer), at)

    walk(forward.layers_of(config), ())
    return found


def gone_from(name):
    """Layers that a fusion removes, by path."""
    case = case_of(name)
    if "layers_removed_by_collapse" in case:
        return {(layer,) for layer in case["layers_removed_by_collapse"]}
    return {tuple(split(name, norm)) for _, norm in case["conv_bn_pairs_to_fuse"]} | ALSO.get(
        name, set()
    )


def split(name, path):
    """Inner layers are told by a slash, which a name of Keras 2 may hold itself."""
    return [path] if name == "k215_slash_names_h5" else path.split("/")


ALSO = {
    # the other branch of the sum is a norm of the image: an identity
    "k215_opadd_tfoplambda_h5": {("batch_normalization_1",), ("tf.__operators__.add",)},
}
STAYS = {
    # a norm of a norm is left to a second fusion
    "k3_dense_keras": {"batch_normalization_2"},
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_fused_model_computes_the_same(name, tmp_path):
    images, wanted = answers(name)
    out, report = fuse(name, tmp_path)
    assert report.verified
    (found,) = forward.predict(out, images)
    assert distance(found, wanted) < TOLERANCE
    assert reparam.verify(source(name), out).ok


@pytest.mark.parametrize("name", WHOLE)
def test_what_is_fused_is_gone_and_the_rest_stays(name, tmp_path):
    out, report = fuse(name, tmp_path)
    before, gone = layers_of(source(name)), gone_from(name)
    assert gone < before.keys()
    left = {at: kind for at, kind in before.items() if at not in gone}
    assert list(layers_of(out).items()) == list(left.items())
    norms = {at[-1] for at, kind in left.items() if kind == "BatchNormalization"}
    assert norms == {skip.name for skip in report.plan.skipped} == STAYS.get(name, set())


@pytest.mark.parametrize("name", WHOLE)
def test_a_plan_names_the_layers_that_survive(name):
    plan = reparam.plan(source(name))
    gone = gone_from(name)
    pairs = [tuple(split(name, conv)) for conv, _ in case_of(name)["conv_bn_pairs_to_fuse"]]
    # a separable convolution is two; the norm goes into the second
    found = {fusion.name.removesuffix(".pointwise") for fusion in plan.fusions}
    assert found == {".".join(at) for at in pairs if at not in gone}


@pytest.mark.parametrize("name", WHOLE)
def test_fused_values(name, tmp_path):
    """Every stored number is the known one, in the dtype of the original."""
    out, _ = fuse(name, tmp_path)
    _, tensors = forward.read_model(out)
    known = expected(name, "fused")
    if (GOLDEN / name / "expected_branch_sum.npz").exists():
        sums = expected(name, "branch_sum")
        removed = {"/".join(at) for at in gone_from(name)}
        known = {k: v for k, v in known.items() if k.rpartition("|")[0] not in removed} | sums
    if name == "k215_opadd_tfoplambda_h5":
        known = with_identity(known)
    for key, wanted in known.items():
        layer, _, role = key.rpartition("|")
        stored = dict(tensors[tuple(split(name, layer))])
        bias = stored.pop("bias")
        found = {"bias": bias} | dict(zip(("kernel", "kernel1"), stored.values(), strict=False))
        assert found[role].shape == wanted.shape
        np.testing.assert_allclose(found[role], wanted, TOLERANCE, 1e-9, err_msg=key)


def with_identity(known):
    """The norm of the image that one model adds to its only pair, by hand."""
    _, original = forward.read_model(source("k215_opadd_tfoplambda_h5"))
    norm = original["batch_normalization_1",]
    scale = norm["gamma"] / np.sqrt(norm["moving_variance"] + 1e-3)
    kernel = known["conv2d|kernel"].copy()
    kernel[1, 1] += np.diag(scale)
    bias = known["conv2d|bias"] + norm["beta"] - norm["moving_mean"] * scale
    return {"conv2d|kernel": kernel, "conv2d|bias": bias}


@pytest.mark.parametrize("name", WHOLE)
def test_the_kind_of_file_stays(name, tmp_path):
    before, (out, _) = source(name), fuse(name, tmp_path)
    if zipfile.is_zipfile(before):
        with zipfile.ZipFile(before) as old, zipfile.ZipFile(out) as new:
            assert sorted(new.namelist()) == sorted(old.namelist())
            assert new.testzip() is None
            assert {i.compress_type for i in new.infolist()} == {zipfile.ZIP_STORED}
            metadata = [json.loads(f.read("metadata.json")) for f in (old, new)]
        assert metadata[0]["keras_version"] == metadata[1]["keras_version"]
        assert (
            "compile_config" not in forward.read_config(out)
            or not forward.read_config(out)["compile_config"]
        )
        return
    with h5py.File(before) as old, h5py.File(out) as new:
        assert set(new) == {"model_weights"}
        assert "training_config" not in new.attrs
        for key in ("backend", "keras_version"):
            assert forward.text(new.attrs[key]) == forward.text(old.attrs[key])
        named = [group for group in new["model_weights"].values() if "weight_names" in group.attrs]
        for group, key in [
            (new, "model_config"),
            (new["model_weights"], "layer_names"),
            *((g, "weight_names") for g in named),
        ]:
            assert is_bytes(group, key), key


def is_bytes(group, key):
    """TensorFlow 2.3 decodes whatever it reads: only ASCII strings come out as bytes there."""
    dtype = group.attrs.get_id(key).dtype
    string = h5py.check_string_dtype(dtype)
    if string is None:  # an empty list has no strings
        return group.attrs[key].shape == (0,)
    return string.encoding == "ascii"


@pytest.mark.parametrize("name", WHOLE)
def test_dtypes_stay(name, tmp_path):
    out, _ = fuse(name, tmp_path)
    before, after = (set(dtypes(path).values()) for path in (source(name), out))
    assert after == before == {"float32"}


def dtypes(path):
    found = {}

    def visit(name, item):
        if isinstance(item, h5py.Dataset):
            found[name] = item.dtype.name

    with h5_of(path) as file:
        file.visititems(visit)
    return found


def h5_of(path):
    if not zipfile.is_zipfile(path):
        return h5py.File(path)
    with zipfile.ZipFile(path) as archive:
        return h5py.File(io.BytesIO(archive.read("model.weights.h5")))


def arrays(path):
    found = {}

    def visit(name, item):
        if isinstance(item, h5py.Dataset):
            found[name] = item[()]

    with h5_of(path) as file:
        file.visititems(visit)
    return found


def same_arrays(found, wanted):
    return found.keys() == wanted.keys() and all(
        found[k].dtype == wanted[k].dtype and np.array_equal(found[k], wanted[k]) for k in wanted
    )


@pytest.mark.parametrize("name", ["k215_slash_names_h5", "k3_nested_h5", "k3_depthwise_keras"])
def test_the_same_bytes_twice(name, tmp_path):
    first, _ = fuse(name, tmp_path)
    (tmp_path / "again").mkdir()
    second, _ = fuse(name, tmp_path / "again")
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("name", [n for n in WHOLE if n.endswith("_h5")])
def test_a_changed_weight_is_found(name, tmp_path):
    out, report = fuse(name, tmp_path)
    changed = report.plan.fusions[0].name.split(".")[-1]

    def touch(at, item):
        if isinstance(item, h5py.Dataset) and re.search(rf"\b{changed}/bias(:0)?$", at):
            item[0] += 1e-3
            return at
        return None

    with h5py.File(out, "r+") as file:
        assert file.visititems(touch)
    assert not reparam.verify(source(name), out).ok


@pytest.mark.parametrize("name", WHOLE)
def test_nothing_is_left_to_fuse(name, tmp_path):
    out, _ = fuse(name, tmp_path)
    if name in STAYS:
        again = tmp_path / "again.keras"
        reparam.fuse(out, again)
        images, wanted = answers(name)
        assert distance(forward.predict(again, images)[0], wanted) < TOLERANCE
        out = again
    assert "BatchNormalization" not in layers_of(out).values()
    with pytest.raises(reparam.PlanError):
        reparam.plan(out)


@pytest.mark.parametrize("name", WHOLE)
def test_neutral_norms_keep_the_model(name, tmp_path):
    """With `neutral` a pair stays a pair: only weights change, and branches that were summed."""
    if name == "k215_bn_variants_h5":  # neither the convolution nor its norm has a bias
        with pytest.raises(reparam.PlanError, match="cannot carry the bias"):
            fuse(name, tmp_path, batch_norm="neutral")
        return
    out, _ = fuse(name, tmp_path, batch_norm="neutral")
    images, wanted = answers(name)
    assert distance(forward.predict(out, images)[0], wanted) < TOLERANCE
    assert reparam.verify(source(name), out).ok
    before, after = layers_of(source(name)), layers_of(out)
    summed = "repvgg" in name or "opadd" in name
    assert set(before) - set(after) == (gone_from(name) if summed else set())


# --- weights and graph in two files -----------------------------------------------------------


@pytest.mark.parametrize("name", WHOLE)
def test_weights_with_their_config_beside(name, tmp_path):
    """What `save_weights` and `to_json` wrote is fused as the whole model is."""
    config = tmp_path / "model.json"
    config.write_text(json.dumps(forward.read_config(source(name))), "utf-8")
    weights = tmp_path / "model.weights.h5"
    if zipfile.is_zipfile(source(name)):
        with zipfile.ZipFile(source(name)) as archive:
            weights.write_bytes(archive.read("model.weights.h5"))
    else:
        with h5py.File(source(name)) as old, h5py.File(weights, "w") as new:
            for group in old["model_weights"]:
                old.copy(f"model_weights/{group}", new)
            new.attrs.update(old["model_weights"].attrs)
    out = tmp_path / "deploy.weights.h5"
    reparam.fuse(weights, out, config=config)
    whole = {
        k.removeprefix("model_weights/"): v for k, v in arrays(fuse(name, tmp_path)[0]).items()
    }
    assert same_arrays(arrays(out), whole)


# --- what must not be fused -------------------------------------------------------------------


def reasons(name):
    """Norms that stay, with the reason, from a plan or from the refusal to make one."""
    try:
        plan = reparam.plan(source(name))
    except reparam.PlanError as error:
        found = re.findall(r"^\s*(\w+): (.*)$", str(error), re.MULTILINE)
        return None, dict(found)
    return plan, {skip.name: skip.reason for skip in plan.skipped}


@pytest.mark.parametrize("name", NEGATIVE)
def test_a_norm_that_must_stay_says_why(name):
    plan, found = reasons(name)
    for norm, word in NEGATIVE[name].items():
        assert re.search(word, found[norm].lower()), found
    if plan is not None:
        assert not set(NEGATIVE[name]) & {f.name for f in plan.fusions}


@pytest.mark.parametrize("name", NEGATIVE)
def test_a_norm_that_must_stay_stays(name, tmp_path, capsys):
    out = tmp_path / source(name).name
    code = main(["fuse", str(source(name)), "-o", str(out)])
    said = capsys.readouterr()
    plan, _ = reasons(name)
    if plan is None:
        assert code == 2
        assert not list(tmp_path.iterdir())
        assert said.err
        return
    assert code == 0
    images, wanted = answers(name)
    assert distance(forward.predict(out, images)[0], wanted) < TOLERANCE
    kept = {at[-1] for at, kind in layers_of(out).items() if kind == "BatchNormalization"}
    assert kept >= NEGATIVE[name].keys()


def test_the_statistics_of_the_batch_are_something_else():
    """What the case of `training=True` is about: called directly, the layer has its way."""
    name = "k3_neg_bn_training_true_keras"
    images, moving = answers(name)
    (batch,) = forward.predict(source(name), images, stored_training=True)
    assert distance(batch, moving) > 0.1


# --- weights without their graph --------------------------------------------------------------


@pytest.mark.parametrize("name", SIZES)
def test_a_fused_net_computes_the_same(name, tmp_path):
    images, wanted = answers(name)
    out, report = fuse(name, tmp_path, input_size=SIZES[name])
    assert report.verified
    found = run_article(name, out, images.astype(np.float64), form="deploy")
    assert distance(found, wanted) < TOLERANCE
    assert reparam.verify(source(name), out, input_size=SIZES[name]).ok


@pytest.mark.parametrize("name", [ODD, EVEN])
def test_a_deploy_file_is_the_known_one(name, tmp_path):
    out, _ = fuse(name, tmp_path, input_size=SIZES[name])
    found = {key.replace("/", "|"): value for key, value in arrays(out).items()}
    wanted = expected(name, "deploy")
    assert found.keys() == wanted.keys()
    for key, value in wanted.items():
        assert found[key].dtype == value.dtype
        scale = np.abs(value).max()
        np.testing.assert_allclose(found[key], value, 0, TOLERANCE * scale, err_msg=key)


@pytest.mark.parametrize("name", SIZES)
def test_only_the_deploy_form_is_left(name, tmp_path):
    out, _ = fuse(name, tmp_path, input_size=SIZES[name])
    found = arrays(out)
    assert (
        Counter(value.ndim for value in found.values())
        == {
            ODD: {4: 7, 2: 1, 1: 8},
            EVEN: {4: 7, 2: 1, 1: 8},
            ZEROS: {4: 6, 2: 1, 1: 7},
            RESNET: {4: 8, 2: 1, 1: 9},
        }[name]
    )
    if name == ZEROS:
        assert all("/reparam/" in key for key in found if not key.startswith("dense/"))


def test_the_fused_kernels_of_a_checkpoint_are_not_trusted(tmp_path):
    """The zero-pad net stores them beside the branches, one step of training behind."""
    out, _ = fuse(ZEROS, tmp_path)
    stale, other = tmp_path / "stale.weights.h5", tmp_path / "other.weights.h5"
    stale.write_bytes(source(ZEROS).read_bytes())
    with h5py.File(stale, "r+") as file:
        old = [key for key in arrays(stale) if "/reparam/" in key]
        for key in old:
            file[key][...] = 7
    assert len(old) == 12
    reparam.fuse(stale, other)
    assert same_arrays(arrays(other), arrays(out))
    assert reparam.verify(stale, out).ok


@pytest.mark.parametrize("name", [ODD, EVEN])
def test_the_size_of_the_input_must_be_known(name, tmp_path, capsys):
    out = tmp_path / "out.weights.h5"
    with pytest.raises(reparam.PlanError, match="--input-size"):
        reparam.fuse(source(name), out)
    with pytest.raises(reparam.PlanError, match="--input-size"):
        reparam.plan(source(name))
    assert main(["fuse", str(source(name)), "-o", str(out)]) == 2
    assert "--input-size" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_size_on_the_command_line(tmp_path):
    out, _ = fuse(EVEN, tmp_path, input_size=(32, 32))
    other = tmp_path / "other.weights.h5"
    assert main(["fuse", str(source(EVEN)), "-o", str(other), "--input-size", "32x32"]) == 0
    assert other.read_bytes() == out.read_bytes()
    verify = ["verify", str(source(EVEN)), str(other), "--input-size"]
    assert [main([*verify, size]) for size in ("32x32", "33x33")] == [0, 1]


@pytest.mark.parametrize("name", [ODD, EVEN])
@pytest.mark.parametrize("size", [(32, 32), (33, 33), (32, 33), (35, 46)], ids=str)
def test_any_size_is_fused_for_itself(name, size, tmp_path):
    """An image of the size that was stated comes out right, whatever its parity per axis."""
    images = np.random.default_rng(0).normal(size=(2, *size, 3))
    out, _ = fuse(name, tmp_path, input_size=size)
    wanted = run_article(name, source(name), images, form="train")
    assert distance(run_article(name, out, images, form="deploy"), wanted) < TOLERANCE


@pytest.mark.parametrize("name", [ODD, EVEN])
def test_strided_kernels_depend_on_the_size(name, tmp_path):
    made = {}
    for size in (32, 33):
        (tmp_path / str(size)).mkdir()
        out, _ = fuse(name, tmp_path / str(size), input_size=(size, size))
        made[size] = forward.convolutions(forward.read_weights(out))
    strides = case_of(name)["strides"]
    for stride, (even, _), (odd, _) in zip(strides, made[32], made[33], strict=True):
        assert np.array_equal(even, odd) == (stride == 1)
    assert not reparam.verify(source(name), out, input_size=(32, 32)).ok


@pytest.mark.parametrize("name", [ZEROS, EVEN])
def test_the_dialect_that_every_keras_loads(name, tmp_path):
    out, _ = fuse(name, tmp_path, input_size=SIZES[name], dialect="legacy")
    (tmp_path / "kept").mkdir()
    kept, _ = fuse(name, tmp_path / "kept", input_size=SIZES[name])
    with h5py.File(out) as file:
        assert is_bytes(file, "layer_names")
        assert "top_level_model_weights" not in file
        listed = forward.attribute(file, "layer_names")
        assert sorted(listed) == sorted(file)
        assert forward.text(file.attrs["backend"]) == "tensorflow"
    found, wanted = (forward.convolutions(forward.read_weights(path)) for path in (out, kept))
    for ours, theirs in zip(found, wanted, strict=True):
        assert all(map(np.array_equal, ours, theirs))
    images, outputs = answers(name)
    images = images.astype(np.float64)
    assert distance(run_article(name, out, images, form="deploy"), outputs) < TOLERANCE
    assert reparam.verify(source(name), out, input_size=SIZES[name]).ok


# --- Keras 2 models for Keras 3 ---------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["k215_bn_variants_h5", "k24_mobilenetv2_cut_h5", "k24_repvgg_even_h5"]
)
def test_a_model_for_keras_3(name, tmp_path):
    """The weights and what they compute stay; keywords that Keras 3 refuses go."""
    out, _ = fuse(name, tmp_path, target="keras3")
    images, wanted = answers(name)
    assert distance(forward.predict(out, images)[0], wanted) < TOLERANCE
    for layer in forward.layers_of(forward.read_config(out)):
        if layer["class_name"] == "DepthwiseConv2D":
            refused = {"groups", "kernel_initializer", "kernel_regularizer", "kernel_constraint"}
            assert not refused & layer["config"].keys()
