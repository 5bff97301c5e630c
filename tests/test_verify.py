"""`verify` tells a deploy form from anything else, down to one unit in the last place."""

import ml_dtypes
import numpy as np
import pytest
from families import FAMILIES
from families.plain import repvgg, resnet, vgg
from safetensors.numpy import load_file, save_file

import reparam

STAGE = "stage1.1.rbr_reparam"


@pytest.fixture
def pair(tmp_path):
    before, after = tmp_path / "before.safetensors", tmp_path / "after.safetensors"
    save_file(repvgg("official", groups=2), before)
    reparam.fuse(before, after)
    return before, after


def changed(pair, tmp_path, change):
    """Verify against AFTER with some tensors changed."""
    state = load_file(pair[1])
    change(state)
    path = tmp_path / "changed.safetensors"
    save_file(state, path)
    return reparam.verify(pair[0], path)


def test_untouched(pair):
    report = reparam.verify(*pair)
    assert report.ok
    assert (report.fused, report.copied, report.untouched) == (3, 2, 0)
    assert 0 < report.worst.error < 1
    assert 0 < report.certificate < 1e-5


@pytest.mark.parametrize("batch_norm", ["remove", "neutral"])
@pytest.mark.parametrize("dtype", ["keep", "float16", "bfloat16"])
@pytest.mark.parametrize(
    "state", [vgg(), resnet(), FAMILIES["resnet-shared-norm", "residual_blocks"].state]
)
def test_every_mode_verifies_without_being_told(tmp_path, state, batch_norm, dtype):
    before, after = tmp_path / "before.safetensors", tmp_path / "after.safetensors"
    save_file(state, before)
    reparam.fuse(before, after, batch_norm=batch_norm, dtype=dtype)
    report = reparam.verify(before, after)
    assert report.ok, report.differences
    assert report.plan.settings.batch_norm == batch_norm


@pytest.mark.parametrize("batch_norm", ["remove", "neutral"])
@pytest.mark.parametrize("family", FAMILIES, ids=" / ".join)
def test_every_family(tmp_path, family, batch_norm):
    before, after = tmp_path / "before.safetensors", tmp_path / "after.safetensors"
    sample = FAMILIES[family]
    said = {"eps": sample.eps, "recipe": family[0] if sample.named else None}
    save_file(sample.state, before)
    reparam.fuse(before, after, batch_norm=batch_norm, **said)
    report = reparam.verify(before, after, **said)
    assert report.ok, report.differences
    assert (report.fused, report.untouched, report.extra) == (len(sample.makes), 0, ())


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_narrow_and_wide_sources(tmp_path, dtype):
    kind = ml_dtypes.bfloat16 if dtype == "bfloat16" else np.dtype(dtype)
    state = {k: v.astype(kind) if v.ndim else v for k, v in repvgg("timm").items()}
    before, after = tmp_path / "before.safetensors", tmp_path / "after.safetensors"
    save_file(state, before)
    reparam.fuse(before, after)
    assert reparam.verify(before, after).ok


@pytest.mark.parametrize("steps", [1, -1, 2, 1000])
@pytest.mark.parametrize("index", [(0, 0, 0, 0), (7, 3, 1, 1), (3, 2, 2, 1)])
def test_one_unit_in_the_last_place_of_one_weight(pair, tmp_path, steps, index):
    def change(state):
        bits = state[f"{STAGE}.weight"].view(np.int32)
        bits[index] += steps

    report = changed(pair, tmp_path, change)
    assert not report.ok
    assert report.differences[0].name == f"{STAGE}.weight"
    assert f"weight{list(index)}" in report.differences[0].what


def test_one_unit_in_one_bias(pair, tmp_path):
    def change(state):
        state["stage0.rbr_reparam.bias"].view(np.int32)[5] += 1

    report = changed(pair, tmp_path, change)
    assert [d.name for d in report.differences] == ["stage0.rbr_reparam.bias"]


def test_one_unit_in_a_pair(tmp_path):
    before, after = tmp_path / "before.safetensors", tmp_path / "after.safetensors"
    save_file(resnet(), before)
    reparam.fuse(before, after)
    state = load_file(after)
    state["layer1.0.conv2.weight"].view(np.int32)[1, 1, 2, 0] += 1
    save_file(state, after)
    report = reparam.verify(before, after)
    assert [d.name for d in report.differences] == ["layer1.0.conv2.weight"]


def test_swapped_blocks(pair, tmp_path):
    def change(state):
        a, b = "stage1.0.rbr_reparam", "stage1.1.rbr_reparam"
        for role in ("weight", "bias"):
            x, y = state[f"{a}.{role}"], state[f"{b}.{role}"]
            state[f"{a}.{role}"], state[f"{b}.{role}"] = y, x

    report = changed(pair, tmp_path, change)
    names = {d.name.rpartition(".")[0] for d in report.differences}
    assert {"stage1.0.rbr_reparam", "stage1.1.rbr_reparam"} <= names | {
        d.name for d in report.differences
    }


@pytest.mark.parametrize("name", [f"{STAGE}.weight", f"{STAGE}.bias", "head.fc.weight"])
def test_dropped_tensor(pair, tmp_path, name):
    report = changed(pair, tmp_path, lambda state: state.pop(name))
    assert [d.name for d in report.differences] == [name]
    assert "missing" in report.differences[0].what


def test_extra_tensor(pair, tmp_path):
    report = changed(pair, tmp_path, lambda s: s.update(more=np.zeros(1, np.float32)))
    assert report.extra == ("more",)
    assert not report.ok


def test_changed_copy(pair, tmp_path):
    def change(state):
        state["head.fc.bias"].view(np.int32)[0] ^= 1

    report = changed(pair, tmp_path, change)
    assert [d.name for d in report.differences] == ["head.fc.bias"]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_not_finite(pair, tmp_path, value):
    def change(state):
        state[f"{STAGE}.weight"][0, 0, 0, 0] = value

    assert not changed(pair, tmp_path, change).ok


def test_wrong_shape(pair, tmp_path):
    def change(state):
        state[f"{STAGE}.weight"] = state[f"{STAGE}.weight"][:, :, 1:2, 1:2].copy()

    report = changed(pair, tmp_path, change)
    assert "expected [8, 4, 3, 3]" in report.differences[0].what


def test_wrong_dtype(pair, tmp_path):
    def change(state):
        state[f"{STAGE}.weight"] = state[f"{STAGE}.weight"].astype(np.int32)

    assert not changed(pair, tmp_path, change).ok


def test_wrong_eps(pair, tmp_path):
    out = tmp_path / "eps.safetensors"
    reparam.fuse(pair[0], out, eps=1e-3)
    report = reparam.verify(pair[0], out)
    assert len({d.name.rpartition(".")[0] for d in report.differences} - {""}) >= 3
    assert reparam.verify(pair[0], out, eps=1e-3).ok


def test_float32_arithmetic_is_seen(pair, tmp_path):
    """What most tools compute: every step in float32."""

    def change(state):
        t = load_file(pair[0])
        at = "stage1.1.rbr_"
        kernel, total = np.zeros((8, 4, 3, 3), np.float32), np.zeros(8, np.float32)
        eye = np.zeros((8, 4, 1, 1), np.float32)
        eye[np.arange(8), np.arange(8) % 4] = 1
        for conv, norm, place in (
            (t[f"{at}dense.conv.weight"], f"{at}dense.bn", slice(0, 3)),
            (t[f"{at}1x1.conv.weight"], f"{at}1x1.bn", slice(1, 2)),
            (eye, f"{at}identity", slice(1, 2)),
        ):
            s = t[f"{norm}.weight"] / np.sqrt(t[f"{norm}.running_var"] + np.float32(1e-5))
            kernel[:, :, place, place] += conv * s[:, None, None, None]
            total += t[f"{norm}.bias"] - t[f"{norm}.running_mean"] * s
        state[f"{STAGE}.weight"], state[f"{STAGE}.bias"] = kernel, total

    report = changed(pair, tmp_path, change)
    assert not report.ok
    assert all(d.name.startswith(STAGE) for d in report.differences)


def test_another_order_of_exact_sums_is_not_a_difference(pair, tmp_path):
    def change(state):
        t = {k: v.astype(np.float64) for k, v in load_file(pair[0]).items()}
        at = "stage1.1.rbr_"
        kernel, total = np.zeros((8, 4, 3, 3)), np.zeros(8)
        eye = np.zeros((8, 4, 1, 1))
        eye[np.arange(8), np.arange(8) % 4] = 1
        for conv, norm, place in (
            (eye, f"{at}identity", slice(1, 2)),
            (t[f"{at}1x1.conv.weight"], f"{at}1x1.bn", slice(1, 2)),
            (t[f"{at}dense.conv.weight"], f"{at}dense.bn", slice(0, 3)),
        ):
            s = t[f"{norm}.weight"] / np.sqrt(t[f"{norm}.running_var"] + 1e-5)
            kernel[:, :, place, place] += conv * s[:, None, None, None]
            total += t[f"{norm}.bias"] - t[f"{norm}.running_mean"] * s
        state[f"{STAGE}.weight"] = kernel.astype(np.float32)
        state[f"{STAGE}.bias"] = total.astype(np.float32)

    assert changed(pair, tmp_path, change).ok


def test_train_form_equals_itself(pair):
    report = reparam.verify(pair[0], pair[0])
    assert report.ok
    assert report.untouched == 3


def test_blocks_left_in_train_form_are_counted(pair, tmp_path):
    def change(state):
        for role in ("weight", "bias"):
            del state[f"{STAGE}.{role}"]
        old = load_file(pair[0])
        state.update({k: v for k, v in old.items() if k.startswith("stage1.1.")})

    report = changed(pair, tmp_path, change)
    assert report.ok
    assert (report.fused, report.untouched) == (2, 1)


def test_stale_deploy_weights_beside_a_train_form_block_are_extra(pair, tmp_path):
    def change(state):
        old = load_file(pair[0])
        state.update({k: v for k, v in old.items() if k.startswith("stage1.1.")})

    report = changed(pair, tmp_path, change)
    assert set(report.extra) == {f"{STAGE}.weight", f"{STAGE}.bias"}


def test_neutral_norm_that_is_not_neutral(tmp_path):
    before, after = tmp_path / "before.safetensors", tmp_path / "after.safetensors"
    save_file(vgg(), before)
    reparam.fuse(before, after, batch_norm="neutral")
    for name in ("features.1.weight", "features.1.running_mean", "features.1.running_var"):
        state = load_file(after)
        state[name][2] += 1
        save_file(state, tmp_path / "changed.safetensors")
        report = reparam.verify(before, tmp_path / "changed.safetensors")
        assert name in [d.name for d in report.differences]
