"""From file to file and from arrays to arrays."""

import itertools
import json
import os
import stat
import subprocess
import sys
import tracemalloc

import ml_dtypes
import numpy as np
import pytest
from families.plain import repvgg, resnet, shared_norm_resnet, vgg
from families.sample import Maker
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import reparam
from reparam import fold
from reparam.errors import CheckpointError, NumericError, PlanError, VerificationError


@pytest.fixture
def train(tmp_path):
    path = tmp_path / "train.safetensors"
    save_file(repvgg("official", se=True), path, metadata={"format": "pt"})
    return path


def test_report(train, tmp_path):
    report = reparam.fuse(train, tmp_path / "deploy.safetensors")
    assert (report.fused, report.copied, report.verified) == (3, 8, True)
    assert report.plan.recipes == ("repvgg (official)",)
    assert report.plan.assumed[0] == "eps=1e-05 (recipe repvgg)"
    assert 0 < report.worst.error <= 1
    values = report.as_dict()
    wanted = "fused copied recipes assumed skipped verified worst output"
    assert set(wanted.split()) <= set(json.loads(json.dumps(values)))
    assert values["worst"]["block"] == report.worst.name


def test_copies_and_metadata_are_kept_byte_for_byte(train, tmp_path):
    out = tmp_path / "deploy.safetensors"
    reparam.fuse(train, out)
    before, after = load_file(train), load_file(out)
    copied = [n for n in before if ".se." in n or n.startswith("head")]
    assert copied
    assert all(before[n].tobytes() == after[n].tobytes() for n in copied)
    with safe_open(out, "np") as file:
        assert file.metadata() == {"format": "pt"}


def test_file_and_state_dict_agree(train, tmp_path):
    out = tmp_path / "deploy.safetensors"
    reparam.fuse(train, out)
    state, file = reparam.fuse_state_dict(load_file(train)), load_file(out)
    assert state.keys() == file.keys()
    assert all(state[n].tobytes() == file[n].tobytes() for n in state)


def test_bytes_depend_on_nothing_but_the_content(train, tmp_path):
    """Neither on the order of tensors in the source nor on the number of threads."""
    state = load_file(train)
    outputs = set()
    for number, names in enumerate((sorted(state), sorted(state, reverse=True))):
        # the library sorts by dtype and name, so another order needs a header of our own
        path = tmp_path / f"order{number}.safetensors"
        write_in_order(path, state, names)
        for threads in ("1", "4"):
            out = tmp_path / f"out{number}{threads}.safetensors"
            subprocess.run(
                [sys.executable, "-m", "reparam", "fuse", path, "-o", out],
                env=os.environ | {"OPENBLAS_NUM_THREADS": threads},
                check=True,
                stdout=subprocess.DEVNULL,
            )
            outputs.add(out.read_bytes())
    assert len(outputs) == 1


def write_in_order(path, state, names):
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    codes = {"float32": "F32", "int64": "I64"}
    for name in names:
        a = state[name]
        ends = [offset, offset + a.nbytes]
        header[name] = {"dtype": codes[a.dtype.name], "shape": a.shape, "data_offsets": ends}
        offset += a.nbytes
    text = json.dumps(header).encode()
    body = b"".join(state[n].tobytes() for n in names)
    path.write_bytes(len(text).to_bytes(8, "little") + text + body)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "bfloat16"])
def test_every_float_dtype_keeps_itself(dtype):
    kind = ml_dtypes.bfloat16 if dtype == "bfloat16" else np.dtype(dtype)
    state = {k: v.astype(kind) if v.ndim else v for k, v in repvgg("timm").items()}
    fused = reparam.fuse_state_dict(state)
    assert {v.dtype.name for k, v in fused.items()} == {dtype}


@pytest.mark.parametrize("dtype", ["float16", "float32", "bfloat16"])
def test_dtype_is_that_of_fused_tensors_only(dtype):
    state = {k: v.astype(np.float64) for k, v in repvgg("timm").items()}
    fused = reparam.fuse_state_dict(state, dtype=dtype)
    assert {v.dtype.name for k, v in fused.items() if "reparam" in k} == {dtype}
    assert {v.dtype.name for k, v in fused.items() if "reparam" not in k} == {"float64"}


def test_slabs_have_the_bytes_of_the_whole(monkeypatch):
    state = repvgg("official", groups=4) | vgg()
    whole = reparam.fuse_state_dict(state)
    monkeypatch.setattr("reparam.slabs.SLAB_BYTES", 1)
    pieces = reparam.fuse_state_dict(state)
    assert all(np.array_equal(whole[k], pieces[k]) for k in whole)


def test_memory_stays_at_a_few_slabs(tmp_path):
    """A block far larger than a slab is never held as a whole."""
    m = Maker()
    for branch, k in (("conv_kxk", 3), ("conv_1x1", 1)):
        m.conv(f"stem.{branch}.conv", 640, 640, k, k)
        m.norm(f"stem.{branch}.bn", 640)
    m.norm("stem.identity", 640)
    path = tmp_path / "big.safetensors"
    save_file(m.state, path)
    reparam.fuse(path, tmp_path / "warm.safetensors")
    tracemalloc.start()
    reparam.fuse(path, tmp_path / "out.safetensors")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 14e6 < path.stat().st_size


def test_state_dict_is_not_changed_and_not_aliased():
    state = repvgg("official")
    for name, values in state.items():
        if values.ndim == 4:
            state[name] = np.asfortranarray(values).astype(">f4")
        values.flags.writeable = False
    before = {k: v.copy() for k, v in state.items()}
    plain = reparam.fuse_state_dict(repvgg("official"))
    fused = reparam.fuse_state_dict(state)
    assert all(np.array_equal(state[k], before[k]) for k in state)
    assert all(np.array_equal(fused[k], plain[k]) for k in plain)
    pairs = itertools.product(state.values(), fused.values())
    assert not any(np.shares_memory(a, b) for a, b in pairs)


def test_ties_between_copied_tensors_are_kept():
    state = repvgg("official")
    state["other.weight"] = state["head.fc.weight"]
    fused = reparam.fuse_state_dict(state)
    assert fused["other.weight"] is fused["head.fc.weight"]


def test_tied_kernels_are_refused():
    state = resnet()
    state["layer1.0.conv1.weight"] = state["layer1.0.conv1.weight"]
    state["twin.weight"] = state["layer1.0.conv1.weight"]
    with pytest.raises(PlanError, match="are one array"):
        reparam.fuse_state_dict(state)


def test_views_of_one_memory_are_tied_too():
    """As `{k: v.numpy() for k, v in module.state_dict().items()}` gives them."""
    state = resnet()
    state["twin.weight"] = state["layer1.0.conv1.weight"].view()
    with pytest.raises(PlanError, match="are one array"):
        reparam.fuse_state_dict(state)


def test_a_check_that_is_not_a_number_fails(train, tmp_path, monkeypatch):
    monkeypatch.setattr("reparam.proof.run", lambda *_: np.full((1, 8, 2, 2), np.nan))
    with pytest.raises(VerificationError):
        reparam.fuse(train, tmp_path / "out.safetensors")


def test_ties_named_in_metadata_are_refused_where_fused(tmp_path):
    state = resnet()
    path = tmp_path / "tied.safetensors"
    save_file(state, path, metadata={"twin.weight": "layer1.0.conv1.weight"})
    with pytest.raises(PlanError, match=r"tied to 'twin\.weight'"):
        reparam.plan(path)
    save_file(state, path, metadata={"twin.weight": "fc.weight"})
    reparam.fuse(path, tmp_path / "out.safetensors")
    with safe_open(tmp_path / "out.safetensors", "np") as file:
        assert file.metadata() == {"twin.weight": "fc.weight"}


# --- eps ----------------------------------------------------------------------------------------


def test_eps_option_wins_over_config_and_recipe(train, tmp_path):
    assert reparam.plan(train).assumed[0] == "eps=1e-05 (recipe repvgg)"
    config = tmp_path / "config.json"
    config.write_text('{"batch_norm_eps": 0.25}')
    assert reparam.plan(train).assumed[0] == "eps=0.25 (config.json batch_norm_eps)"
    assert reparam.plan(train, eps=0.5).assumed[0] == "eps=0.5 (--eps)"
    outs = [tmp_path / f"{n}.safetensors" for n in "ab"]
    reparam.fuse(train, outs[0])
    config.unlink()
    reparam.fuse(train, outs[1], eps=0.25)
    assert outs[0].read_bytes() == outs[1].read_bytes()


def test_config_without_eps_or_json_is_passed_over_and_a_bad_value_is_not(train, tmp_path):
    config = tmp_path / "config.json"
    config.write_text("{}")
    assert "recipe" in reparam.plan(train).assumed[0]
    config.write_text("not json")
    assert "not valid JSON" in reparam.plan(train).notes[0]
    config.write_text('{"batch_norm_eps": "small"}')
    with pytest.raises(PlanError, match="batch_norm_eps = 'small'"):
        reparam.plan(train)


def test_state_dict_looks_at_no_config(tmp_path, monkeypatch):
    (tmp_path / "config.json").write_text('{"batch_norm_eps": 0.25}')
    plain = reparam.fuse_state_dict(repvgg("official"))
    monkeypatch.chdir(tmp_path)
    here = reparam.fuse_state_dict(repvgg("official"))
    assert all(np.array_equal(plain[k], here[k]) for k in plain)


@pytest.mark.parametrize("eps", [-1.0, float("nan"), float("inf")])
def test_impossible_eps_is_refused(eps):
    with pytest.raises(PlanError, match="expected a finite number"):
        reparam.fuse_state_dict(repvgg("official"), eps=eps)


# --- neutral norms ------------------------------------------------------------------------------


def test_neutral_needs_a_place_for_two_biases():
    state = {k: v for k, v in shared_norm_resnet().items() if not k.endswith("conv1.bias")}
    with pytest.raises(PlanError, match=r"cannot carry the bias .* two layers share it"):
        reparam.fuse_state_dict(state, batch_norm="neutral")


def test_neutral_norm_without_a_bias_of_its_own():
    state = {k: v for k, v in vgg().items() if k not in ("features.1.bias", "features.1.weight")}
    fused = reparam.fuse_state_dict(state, batch_norm="neutral")
    assert fused.keys() == state.keys()
    plain = reparam.fuse_state_dict(state)
    assert np.array_equal(fused["features.0.bias"], plain["features.0.bias"])


def test_neutral_fused_again_changes_nothing_but_rounding():
    once = reparam.fuse_state_dict(vgg(), batch_norm="neutral")
    twice = reparam.fuse_state_dict(once, batch_norm="neutral")
    assert all(np.allclose(once[k], twice[k], rtol=2**-23) for k in once)


# --- refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "index", "value", "message"),
    [
        ("stage1.1.rbr_dense.conv.weight", (5, 1, 2, 0), np.nan, "weight[5, 1, 2, 0] is nan"),
        ("stage1.0.rbr_1x1.conv.weight", (7, 0, 0, 0), np.inf, "weight[7, 0, 0, 0] is inf"),
        ("stage1.1.rbr_identity.running_mean", (2,), np.nan, "running_mean[2] is nan"),
        ("stage1.1.rbr_identity.running_var", (6,), -1.0, "running_var[6] = -1.0"),
        ("stage0.rbr_1x1.bn.weight", (1,), np.inf, "weight[1] is inf"),
        ("stage0.rbr_1x1.bn.bias", (0,), -np.inf, "bias[0] is -inf"),
    ],
)
def test_bad_numbers_are_named_and_leave_no_file(
    tmp_path, monkeypatch, name, index, value, message
):
    monkeypatch.setattr("reparam.slabs.SLAB_BYTES", 1)
    state = repvgg("official")
    state[name][index] = value
    path, out = tmp_path / "bad.safetensors", tmp_path / "out.safetensors"
    save_file(state, path)
    with pytest.raises(NumericError) as caught:
        reparam.fuse(path, out)
    text = str(caught.value)
    assert message in text
    assert str(path) in text
    assert name.rpartition(".")[0] in text
    assert list(tmp_path.iterdir()) == [path]


def test_overflow_of_a_narrow_dtype_is_refused():
    state = repvgg("official")
    state["stage0.rbr_dense.conv.weight"][3, 0, 0, 0] = 1e6
    with pytest.raises(NumericError, match=r"\[3, 0, 0, 0\] = .* does not fit in float16"):
        reparam.fuse_state_dict(state, dtype="float16")


def test_zero_variance_needs_eps():
    state = repvgg("official")
    state["stage0.rbr_dense.bn.running_var"][2] = 0
    reparam.fuse_state_dict(state)
    with pytest.raises(NumericError, match=r"running_var\[2\] = 0.0 with eps=0.0"):
        reparam.fuse_state_dict(state, eps=0.0)


def test_source_is_never_the_target(train, tmp_path):
    before = train.read_bytes()
    link = tmp_path / "link.safetensors"
    link.symlink_to(train)
    for target in (train, link):
        with pytest.raises(CheckpointError, match="the output is the input"):
            reparam.fuse(train, target, overwrite=True)
    assert train.read_bytes() == before


def test_existing_output_needs_overwrite(train, tmp_path):
    out = tmp_path / "deploy.safetensors"
    out.write_bytes(b"precious")
    with pytest.raises(CheckpointError, match="exists"):
        reparam.fuse(train, out)
    assert out.read_bytes() == b"precious"
    reparam.fuse(train, out, overwrite=True)
    assert reparam.verify(train, out).ok


def test_source_stays_read_only(train, tmp_path):
    before = train.read_bytes()
    train.chmod(0o444)
    reparam.fuse(train, tmp_path / "deploy.safetensors")
    assert train.read_bytes() == before
    assert stat.S_IMODE(train.stat().st_mode) == 0o444


def test_a_wrong_fold_is_caught_before_anything_is_written(train, tmp_path, monkeypatch):
    """The check of a block shares no code with the fold, so a broken fold fails it."""
    settle = fold.Folder.settle

    def broken(self, conv, dtypes, rows):
        kernel, bias = settle(self, conv, dtypes, rows)
        return kernel * np.float32(1 + 2**-18), bias

    monkeypatch.setattr(fold.Folder, "settle", broken)
    with pytest.raises(VerificationError, match=r"stage0\.rbr_reparam"):
        reparam.fuse(train, tmp_path / "deploy.safetensors")
    assert list(tmp_path.iterdir()) == [train]
    report = reparam.fuse(train, tmp_path / "deploy.safetensors", verify=False)
    assert not report.verified
    monkeypatch.undo()
    assert not reparam.verify(train, tmp_path / "deploy.safetensors").ok


def test_a_wrong_fold_of_a_state_dict_is_caught(monkeypatch):
    monkeypatch.setattr("reparam.proof.run", lambda *_: np.full((1, 8, 2, 2), np.nan))
    with pytest.raises(VerificationError):
        reparam.fuse_state_dict(repvgg("official"))
    assert reparam.fuse_state_dict(repvgg("official"), verify=False)


def test_a_fused_state_dict_is_in_the_order_of_its_names():
    deploy = reparam.fuse_state_dict(dict(reversed(repvgg("official").items())))
    assert list(deploy) == sorted(deploy)
