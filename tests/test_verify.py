"""`verify` as a whole: what it says of two files, and which code the command ends with."""

import hashlib
import json
import re
from dataclasses import replace
from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest
from affine import EPS, exact, root
from families import FAMILIES
from families.plain import repvgg, resnet, vgg
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

import reparam
from reparam import PlanError, fuse_state_dict, verify, verify_text
from reparam.arrays import ArrayReader
from reparam.certificate import Grade
from reparam.cli import main
from reparam.grades import Entry
from reparam.recipe_toml import recipe_of_lines
from reparam.tensor_bytes import finite
from reparam.verify_report import Difference

STAGE = "stage1.1.rbr_reparam"
PAIR = recipe_of_lines(["conv bn -> conv"], EPS)


@pytest.fixture
def pair(tmp_path):
    before, after = tmp_path / "before.safetensors", tmp_path / "after.safetensors"
    save_file(repvgg("official", groups=2), before)
    reparam.fuse(before, after)
    return before, after


@pytest.fixture
def changed(pair, tmp_path):
    """Verify against AFTER with some tensors changed."""

    def changed(change, **options):
        state = load_file(pair[1])
        change(state)
        path = tmp_path / "changed.safetensors"
        save_file(state, path)
        return verify(pair[0], path, **options)

    return changed


def in_float32(train, block, groups=1):
    """What most tools compute of a RepVGG block: every step in float32."""
    width = len(train[f"{block}.rbr_identity.weight"])
    eye = np.zeros((width, width // groups, 1, 1), np.float32)
    eye[np.arange(width), np.arange(width) % (width // groups)] = 1
    kernel = np.zeros((width, width // groups, 3, 3), np.float32)
    total = np.zeros(width, np.float32)
    for taps, norm, place in (
        (train[f"{block}.rbr_dense.conv.weight"], "rbr_dense.bn", slice(0, 3)),
        (train[f"{block}.rbr_1x1.conv.weight"], "rbr_1x1.bn", slice(1, 2)),
        (eye, "rbr_identity", slice(1, 2)),
    ):
        at = f"{block}.{norm}"
        scale = train[f"{at}.weight"] / np.sqrt(train[f"{at}.running_var"] + np.float32(1e-5))
        kernel[:, :, place, place] += taps * scale[:, None, None, None]
        total += train[f"{at}.bias"] - train[f"{at}.running_mean"] * scale
    return {f"{block}.rbr_reparam.weight": kernel, f"{block}.rbr_reparam.bias": total}


@pytest.fixture
def foreign(pair, tmp_path):
    """AFTER with one block from another tool."""
    path = tmp_path / "foreign.safetensors"
    block = in_float32(load_file(pair[0]), "stage1.1", groups=2)
    save_file(load_file(pair[1]) | block, path)
    return path


# --- our own output -----------------------------------------------------------------------------


def test_our_own_output(pair):
    report = verify(*pair)
    assert report.ok
    assert (report.fused, report.copied, report.untouched) == (3, 2, 0)
    assert [block.grade for block in report.blocks] == [Grade.IDENTICAL] * 3
    assert report.grade is Grade.IDENTICAL
    assert 0 < report.certificate < 1e-5
    assert report.certificate == max(block.bound for block in report.blocks)
    assert report.rho == sum(block.rho for block in report.blocks)
    assert 0 < report.rho < 3 * 2.0**-24
    assert report.differences == ()


@pytest.mark.parametrize("batch_norm", ["remove", "neutral"])
@pytest.mark.parametrize("dtype", ["keep", "float16", "bfloat16", "float8_e5m2"])
@pytest.mark.parametrize(
    "state", [vgg(), resnet(), FAMILIES["resnet-shared-norm", "residual_blocks"].state]
)
def test_every_mode_verifies_without_being_told(tmp_path, state, batch_norm, dtype):
    before, after = tmp_path / "before.safetensors", tmp_path / "after.safetensors"
    save_file(state, before)
    reparam.fuse(before, after, batch_norm=batch_norm, dtype=dtype)
    report = verify(before, after)
    assert report.ok, report.differences
    assert report.grade <= Grade.ROUNDING


@pytest.mark.parametrize("batch_norm", ["remove", "neutral"])
@pytest.mark.parametrize("family", FAMILIES, ids=" / ".join)
def test_every_family(tmp_path, family, batch_norm):
    before, after = tmp_path / "before.safetensors", tmp_path / "after.safetensors"
    sample = FAMILIES[family]
    said = {"eps": sample.eps, "recipe": family[0] if sample.named else None}
    save_file(sample.state, before)
    reparam.fuse(before, after, batch_norm=batch_norm, **said)
    report = verify(before, after, **said)
    assert report.ok, report.differences
    assert (report.fused, report.untouched, report.extra) == (len(sample.makes), 0, ())
    assert {block.name for block in report.blocks} == set(sample.makes)
    assert report.renamed == {}


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_narrow_and_wide_sources(tmp_path, dtype):
    kind = ml_dtypes.bfloat16 if dtype == "bfloat16" else np.dtype(dtype)
    state = {k: v.astype(kind) if v.ndim else v for k, v in repvgg("timm").items()}
    before, after = tmp_path / "before.safetensors", tmp_path / "after.safetensors"
    save_file(state, before)
    reparam.fuse(before, after)
    report = verify(before, after)
    assert report.ok
    assert {block.dtype for block in report.blocks} == {dtype}


def test_a_train_form_against_itself(pair):
    report = verify(pair[0], pair[0])
    assert report.ok
    assert (report.fused, report.untouched) == (0, 3)
    assert [(b.grade, b.bound, b.rho) for b in report.blocks] == [(Grade.IDENTICAL, 0, 0)] * 3
    assert "both hold the train form, nothing is fused" in str(report)
    assert "3 blocks still in train form" in str(report)


# --- what differs -------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [1, -1, 2, 1000])
@pytest.mark.parametrize("index", [(0, 0, 0, 0), (7, 3, 1, 1), (3, 2, 2, 1)])
def test_one_unit_in_the_last_place_of_one_weight(changed, steps, index):
    def change(state):
        state[f"{STAGE}.weight"].view(np.int32)[index] += steps

    report = changed(change)
    assert not report.ok
    assert report.differences[0].name == f"{STAGE}.weight"
    assert f"{list(index)} is " in report.differences[0].what
    assert "1 of its 296 numbers is beyond rounding" in report.differences[0].what


def test_one_unit_in_one_bias(changed):
    def change(state):
        state["stage0.rbr_reparam.bias"].view(np.int32)[5] += 1

    assert [d.name for d in changed(change).differences] == ["stage0.rbr_reparam.bias"]


def test_one_unit_in_a_pair():
    after = fuse_state_dict(resnet())
    after["layer1.0.conv2.weight"].view(np.int32)[1, 1, 2, 0] += 1
    report = verify(resnet(), after)
    assert [d.name for d in report.differences] == ["layer1.0.conv2.weight"]


def test_a_head_bias_and_its_kernel(changed):
    def nudge(name, by):
        def change(state):
            state[name] = state[name] * np.float32(by[0]) + np.float32(by[1])

        return change

    report = changed(nudge("head.fc.bias", (1, 1e-4)))
    assert [d.name for d in report.differences] == ["head.fc.bias"]
    assert report.grade is Grade.DIFFERENT
    assert report.blocks[-1].name == "head.fc"
    report = changed(nudge("head.fc.weight", (1 + 1e-6, 0)))
    assert [d.name for d in report.differences] == ["head.fc.weight"]
    assert report.grade is Grade.DIFFERENT
    report = changed(nudge(f"{STAGE}.weight", (1 + 1e-6, 0)), max_rho=1)
    assert [d.name for d in report.differences] == [f"{STAGE}.weight"]
    assert report.grade is Grade.DIFFERENT
    assert not report.ok


def test_swapped_blocks(changed):
    def change(state):
        a, b = "stage1.0.rbr_reparam", "stage1.1.rbr_reparam"
        for role in ("weight", "bias"):
            x, y = state[f"{a}.{role}"], state[f"{b}.{role}"]
            state[f"{a}.{role}"], state[f"{b}.{role}"] = y, x

    names = {d.name.rpartition(".")[0] for d in changed(change).differences}
    assert names == {"stage1.0.rbr_reparam", "stage1.1.rbr_reparam"}


@pytest.mark.parametrize("name", [f"{STAGE}.weight", f"{STAGE}.bias", "head.fc.weight"])
def test_dropped_tensor(changed, name):
    report = changed(lambda state: state.pop(name))
    assert [d.name for d in report.differences] == [name]
    assert "missing" in report.differences[0].what


def test_extra_tensor(changed):
    report = changed(lambda s: s.update(more=np.zeros(1, np.float32)))
    assert report.extra == ("more",)
    assert not report.ok
    assert "1 extra tensor" in str(report)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_not_finite(changed, value):
    def change(state):
        state[f"{STAGE}.weight"][0, 0, 0, 0] = value

    report = changed(change)
    assert not report.ok
    assert json.loads(json.dumps(report.as_dict(), allow_nan=False))["certificate"] is None
    assert f"[0, 0, 0, 0] is {value}" in str(report)
    (difference,) = report.differences
    assert difference.name == f"{STAGE}.weight"


UNCERTIFIED = {
    "a layer gone": lambda s: s.pop("head.fc.weight"),
    "a tensor more": lambda s: s.update(more=np.ones(1, np.float32)),
    "a table changed": lambda s: s.update(position=s["position"] + 1),
    "a table rounded": lambda s: s.update(position=s["position"].astype(np.float16)),
    "a table of another shape": lambda s: s.update(position=s["position"][:1]),
    "a head of another dtype": lambda s: s.update({"head.fc.bias": np.zeros(10, np.int64)}),
}


@pytest.mark.parametrize("change", UNCERTIFIED.values(), ids=UNCERTIFIED)
def test_what_no_certificate_covers_leaves_the_network_without_a_bound(change):
    train = repvgg("official") | {"position": np.full((2, 3), 0.1, np.float32)}
    after = fuse_state_dict(train)
    assert np.isfinite(verify(train, after).network)
    change(after)
    report = verify(train, after)
    assert report.uncertified
    assert (report.rho, report.network, report.certificate) == (np.inf,) * 3
    assert f"network: no bound, as no certificate covers {report.uncertified[0]}" in str(report)
    found = json.loads(json.dumps(report.as_dict(), allow_nan=False))
    assert found["network"]["rho"] is found["network"]["bound"] is found["certificate"] is None
    assert found["uncertified"] == list(report.uncertified)


@pytest.mark.parametrize("shape", [(), (7,), (5, 3), (0, 4), (4, 0), (3000, 700)])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "float8_e5m2"])
def test_a_number_that_is_not_finite_is_found_wherever_it_is(shape, dtype):
    values = np.ones(shape).astype(dtype)
    assert finite(ArrayReader({"x": values}), "x")
    for place in {0, values.size // 2, values.size - 1} if values.size else ():
        other = values.copy()
        other.reshape(-1)[place] = np.nan
        assert not finite(ArrayReader({"x": other}), "x")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_in_both_files_is_told(value):
    train = repvgg("official")
    train["head.fc.bias"][3] = value
    report = verify(train, fuse_state_dict(train))
    assert report.ok
    assert report.notes == ("head.fc.bias holds NaN or infinity, in both files alike",)
    assert report.uncertified == ("head.fc.bias",)


def broken_blocks():
    def shape(state):
        state[f"{STAGE}.weight"] = state[f"{STAGE}.weight"][:4]

    def gone(state):
        del state[f"{STAGE}.weight"]

    def both(state):
        shape(state)
        state["head.fc.bias"][3] += 1e-4  # a layer behind all blocks

    return {"another shape": shape, "no kernel": gone, "and another layer": both}


@pytest.mark.parametrize("change", broken_blocks().values(), ids=broken_blocks())
def test_blocks_that_cannot_be_compared_are_blocks_all_the_same(changed, change):
    report = changed(change)
    assert re.match(r"[34] blocks: 2 identical, [12] DIFFERENT; ", str(report).splitlines()[1])
    order = ["stage0.rbr_reparam", "stage1.0.rbr_reparam", STAGE, "head.fc"]
    assert [b.name for b in report.blocks] == order[: len(report.blocks)]
    block = report.blocks[2]
    assert block.grade is Grade.DIFFERENT
    assert f"{STAGE}.weight" in {d.name for d in report.differences}
    assert (report.network, report.uncertified) == (np.inf, ())
    (found,) = (b for b in report.as_dict()["blocks"] if b["name"] == STAGE)
    assert (found["cause"], found["dtype"], found["worst"]) == (None, None, None)
    assert found["reason"]


def test_a_number_without_axes_has_no_place():
    entry = Entry("scale", (), 2.0, 1.0, 1.0, 1.0)
    assert str(entry).startswith("is 2, exactly 1: ")
    assert str(replace(entry, index=(3, 0))).startswith("[3, 0] is 2, exactly 1: ")
    assert str(Difference("scale", str(entry))).startswith("scale: is 2, exactly")
    assert str(Difference("w", "[1] is 2")) == "w[1] is 2"


def test_arrays_are_told_apart(pair):
    arrays = [load_file(path) for path in pair]
    assert "identical: AFTER computes the same function as BEFORE" in str(verify(*arrays))
    for place, side in enumerate(("BEFORE", "AFTER")):
        arrays = [load_file(path) for path in pair]
        arrays[place] = {3: np.ones(2)}
        with pytest.raises(
            reparam.CheckpointError, match=f"^{side}: a tensor is called 3, of type"
        ):
            verify(*arrays)


def test_numbers_beyond_all_bounds():
    """A certificate may be infinite, and so may the network's."""
    train = repvgg("timm")
    after = fuse_state_dict(train)
    for name in after:
        if name.endswith("reparam_conv.weight"):
            after[name] = np.full(after[name].shape, 1.7e308)
    report = verify(train, after)
    assert {block.grade for block in report.blocks} == {Grade.DIFFERENT}
    assert all(block.bound > 1e308 for block in report.blocks)
    assert report.network == np.inf
    assert json.loads(json.dumps(report.as_dict(), allow_nan=False))["network"]["bound"] is None
    assert "DIFFERENT" in str(report)


def test_wrong_shape(changed):
    def change(state):
        state[f"{STAGE}.weight"] = state[f"{STAGE}.weight"][:, :, 1:2, 1:2].copy()

    assert "expected [8, 4, 3, 3]" in changed(change).differences[0].what


def test_wrong_dtype(changed):
    def change(state):
        state[f"{STAGE}.weight"] = state[f"{STAGE}.weight"].astype(np.int32)

    assert not changed(change).ok


def test_wrong_eps(pair, tmp_path):
    out = tmp_path / "eps.safetensors"
    reparam.fuse(pair[0], out, eps=1e-3)
    report = verify(pair[0], out)
    assert len({d.name.rpartition(".")[0] for d in report.differences} - {""}) >= 3
    assert verify(pair[0], out, eps=1e-3).ok


def test_a_negative_variance_of_before_is_refused(pair):
    state = load_file(pair[0])
    state["stage0.rbr_dense.bn.running_var"][3] = -1
    with pytest.raises(reparam.NumericError, match=r"stage0\.rbr_dense\.bn.*running_var\[3\]"):
        verify(state, pair[1])


# --- AFTER from elsewhere -----------------------------------------------------------------------


def test_arithmetic_in_float32_is_seen(pair, foreign):
    report = verify(pair[0], foreign)
    assert [str(block.grade) for block in report.blocks] == [
        "identical",
        "identical",
        "within rho",
    ]
    assert report.grade is Grade.WITHIN
    assert not report.ok
    assert report.over == (STAGE,)
    assert all(d.name.startswith(STAGE) for d in report.differences)
    assert 2.0**-25 < report.blocks[2].rho < 1e-6


def test_what_the_user_accepts(pair, foreign):
    rho = verify(pair[0], foreign).blocks[2].rho
    for accepted, ok in ((rho, True), (1e-6, True), (rho * (1 - 1e-9), False), (0, False)):
        report = verify(pair[0], foreign, max_rho=accepted)
        assert (report.ok, report.over == (), report.differences == ()) == (ok, ok, ok)
        assert report.grade is Grade.WITHIN
    for odd in (-1e-9, np.nan, np.inf, "1e-6", True):
        with pytest.raises(PlanError, match=r"max_rho=.*: expected a finite number"):
            verify(*pair, max_rho=odd)


def test_differences_are_never_accepted(changed):
    def change(state):
        state[f"{STAGE}.weight"][0, 0, 0, 0] += 1

    assert not changed(change, max_rho=1e9).ok
    assert not changed(lambda s: s.update(more=np.zeros(1)), max_rho=1e9).ok


def test_another_order_of_exact_sums_is_not_a_difference(pair, changed):
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

    assert changed(change).ok


def test_blocks_left_in_train_form_are_counted(pair, changed):
    def change(state):
        for role in ("weight", "bias"):
            del state[f"{STAGE}.{role}"]
        old = load_file(pair[0])
        state.update({k: v for k, v in old.items() if k.startswith("stage1.1.")})

    report = changed(change)
    assert report.ok
    assert (report.fused, report.untouched) == (2, 1)
    assert [block.bound == 0 for block in report.blocks] == [False, False, True]
    assert "1 block still in train form" in str(report)


def test_stale_deploy_weights_beside_a_train_form_block_are_extra(pair, changed):
    def change(state):
        old = load_file(pair[0])
        state.update({k: v for k, v in old.items() if k.startswith("stage1.1.")})

    assert set(changed(change).extra) == {f"{STAGE}.weight", f"{STAGE}.bias"}


def test_neutral_norm_that_is_not_neutral():
    neutral = fuse_state_dict(vgg(), batch_norm="neutral")
    for name in ("features.1.weight", "features.1.running_mean", "features.1.running_var"):
        values = neutral[name].copy()
        values[2] += 1
        report = verify(vgg(), neutral | {name: values})
        assert not report.ok
        assert f"{name} not neutral" in report.differences[0].what


def test_tensors_that_are_no_layers_may_be_rounded():
    """To another dtype, and to nothing but the nearest number."""
    random = np.random.default_rng(0)
    train = repvgg("timm") | {"position": random.normal(size=(5, 4)).astype(np.float32)}
    after = {name: values.astype(np.float16) for name, values in fuse_state_dict(train).items()}
    fused = fuse_state_dict(train, dtype="float16")
    after |= {name: fused[name] for name in fused if "reparam" in name}
    report = verify(train, after)
    assert (report.grade, report.converted) == (Grade.ROUNDING, ("position",))
    assert "1 tensor rounded to another dtype" in str(report)
    after["position"].view(np.int16)[2, 1] += 1
    report = verify(train, after)
    assert [d.name for d in report.differences] == ["position"]
    assert report.differences[0].what.startswith("[2, 1] is ")
    wide = fuse_state_dict(train) | {"position": train["position"].astype(np.float64)}
    assert verify(train, wide).ok
    wide["position"][0, 0] = np.nan
    assert not verify(train, wide).ok
    train["position"][0, 0] = 1e6
    assert "position" in [d.name for d in verify(train, after).differences]


# --- the network --------------------------------------------------------------------------------


ACTIVATIONS = [
    (lambda y: max(y, Fraction(0)), 1),
    (lambda y: y if y > 0 else y / 8, 1),
    (lambda y: min(max(y, Fraction(-1)), Fraction(1)), 1),
    (lambda y: y * Fraction(3, 2) if y > 0 else y / 4, Fraction(3, 2)),
]
"""Functions that keep 0, with their slopes."""


def layer(random, width, into, name, bias):
    """A 1x1 convolution with its norm, on vectors."""
    numbers = {
        "conv.weight": random.normal(size=(width, into)),
        "bn.weight": random.normal(size=width),
        "bn.bias": random.normal(size=width) * bias,
        "bn.running_mean": random.normal(size=width) * bias,
        "bn.running_var": random.uniform(0.1, 2, size=width),
    }
    return {f"{name}.{role}": values.astype(np.float32) for role, values in numbers.items()}


def fold_exactly(state, name):
    t = {r: exact(state[f"{name}.{r}"]) for r in ("conv.weight", "bn.weight", "bn.bias")}
    mean, var = (exact(state[f"{name}.bn.{r}"]) for r in ("running_mean", "running_var"))
    scale = np.array(
        [g / root(v + Fraction(EPS)) for g, v in zip(t["bn.weight"], var, strict=True)]
    )
    return t["conv.weight"] * scale[:, None], t["bn.bias"] - mean * scale


@settings(max_examples=max(settings.default.max_examples // 4, 10), deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([2.0**-20, 0.05, 1.0]), st.booleans())
def test_the_network_bound(seed, change, biased):
    """Random graphs of blocks, sums, concatenations and activations, run in exact arithmetic."""
    random = np.random.default_rng(seed)
    width = int(random.integers(1, 4))
    state, steps = {}, []
    for number in range(int(random.integers(1, 6))):
        state |= layer(random, width, width, f"l{number}", biased)
        steps.append((random.integers(4), random.choice(["chain", "residual", "wide"])))
    after = fuse_state_dict(state, recipe=PAIR)
    for name, values in after.items():
        after[name] = (values * (1 + change * random.uniform(-1, 1, values.shape))).astype("f4")
    bound = Fraction(verify(state, after, recipe=PAIR).network)

    x = exact(random.uniform(-1, 1, width))
    one, other, size = x, x, Fraction(1)
    for number, (kind, join) in enumerate(steps):
        apply, slope = ACTIVATIONS[kind]
        weight, bias = fold_exactly(state, f"l{number}")
        theirs = exact(after[f"l{number}.conv.weight"]), exact(after[f"l{number}.conv.bias"])
        y = np.array([apply(v) for v in weight @ one + bias])
        z = np.array([apply(v) for v in theirs[0] @ other + theirs[1]])
        grown = slope * (max(abs(weight).sum(axis=1)) * size + max(abs(bias)))
        if join == "residual":
            y, z, grown = y + one, z + other, grown + size
        elif join == "wide":  # halves of two nodes, one of which is the input of the block
            half = (width + 1) // 2
            y, z = (np.concatenate([a[:half], b[half:]]) for a, b in ((y, one), (z, other)))
            grown = max(grown, size)
        one, other, size = y, z, max(grown, Fraction(1))
        assert max(abs(one)) <= size
    assert max(abs(one - other)) <= size * bound * (1 + Fraction(1, 2**40))


@pytest.mark.parametrize("depth", [1, 2, 7])
def test_the_network_bound_is_attained(depth):
    """By a chain of ones that are all half as large again: relative errors compound."""
    state = {}
    for number in range(depth):
        state[f"l{number}.conv.weight"] = np.ones((1, 1), np.float32)
        for role, value in (("weight", 1), ("bias", 0), ("running_mean", 0), ("running_var", 0.75)):
            state[f"l{number}.bn.{role}"] = np.full(1, value, np.float32)
    after = {
        f"l{n}.conv.{role}": np.full(shape, value, np.float32)
        for n in range(depth)
        for role, shape, value in (("weight", (1, 1), 1.5), ("bias", 1, 0))
    }
    report = verify(state, after, recipe=PAIR, eps=0.25)
    assert report.network == pytest.approx(1.5**depth - 1, rel=1e-12)
    assert report.rho == pytest.approx(depth / 2, rel=1e-12)


# --- the report ---------------------------------------------------------------------------------


def test_the_report_as_json(pair, foreign, changed):
    for report in (
        verify(*pair),
        verify(pair[0], foreign, max_rho=1e-6),
        changed(lambda s: s.update({f"{STAGE}.bias": np.full(8, np.nan, np.float32)})),
        verify(load_file(pair[0]), load_file(pair[1])),
    ):
        found = json.loads(json.dumps(report.as_dict(), allow_nan=False))
        assert found["ok"] == report.ok
        assert found["grade"] == str(report.grade)
        assert found["max_rho"] == report.max_rho
        assert [b["name"] for b in found["blocks"]] == [b.name for b in report.blocks]
        for block, values in zip(report.blocks, found["blocks"], strict=True):
            assert values["grade"] == str(block.grade)
            assert values["certificate"] == (block.bound if np.isfinite(block.bound) else None)
            assert values["rho"] == (block.rho if np.isfinite(block.rho) else None)
            assert values["worst"]["tensor"] == block.worst.tensor
            assert values["worst"]["index"] == list(block.worst.index)
            assert values["worst"]["expected"] == block.worst.expected
            assert values["beyond_rounding"] == block.off
        assert [d["name"] for d in found["differences"]] == [d.name for d in report.differences]
        assert found["not_covered"] == report.not_covered
        if np.isfinite(report.rho):
            assert found["network"]["rho"] == report.rho
            assert found["network"]["bound"] == report.network


def test_digests_tell_which_files_were_compared(pair):
    before, after = (hashlib.sha256(path.read_bytes()).hexdigest() for path in pair)
    assert verify(*pair).as_dict()["sha256"] == {"before": before, "after": after}
    assert verify(load_file(pair[0]), pair[1]).digests == {"after": after}
    report = verify(load_file(pair[0]), load_file(pair[1]))
    assert (report.digests, report.before, report.after) == ({}, "BEFORE", "AFTER")


def test_the_report_for_a_person(pair, foreign):
    text = str(verify(*pair))
    lines = text.splitlines()
    assert lines[0] == f"identical: {pair[1]} computes the same function as {pair[0]}"
    assert lines[1] == "3 blocks: 3 identical; 2 tensors copied"
    rows = [line for line in lines if line.startswith("stage")]
    assert [row.split()[0] for row in rows] == [
        "stage0.rbr_reparam",
        "stage1.0.rbr_reparam",
        "stage1.1.rbr_reparam",
    ]
    block = verify(*pair).blocks[1]
    assert f"{block.bound:.2g}" in rows[1]
    assert f"{block.rho:.2g}" in rows[1]
    assert f"{list(block.worst.index)} {block.worst.found:.9g} for" in rows[1]
    assert "assumed eps=1e-05 (recipe repvgg)" in text
    assert "for inputs within ±1 no output of the block differs by more" in text
    assert "network: outputs differ by at most" in text
    for word in ("eps", "stride", "graph", "SE gates", "the order in which a machine adds"):
        assert word in text.rpartition("not covered:")[2]

    lines = str(verify(pair[0], foreign)).splitlines()
    assert lines[0].startswith(f"within rho: {foreign} computes the same function as")
    assert lines[0].endswith("To accept it, say --max-rho")
    assert lines[1].startswith("3 blocks: 2 identical, 1 within rho;")
    assert "more than --max-rho 1e-12" in str(verify(pair[0], foreign, max_rho=1e-12))
    accepted = str(verify(pair[0], foreign, max_rho=1e-6)).splitlines()[0]
    assert "--max-rho" not in accepted


def test_what_differs_comes_before_the_table(changed):
    def change(state):
        state[f"{STAGE}.bias"][3] = 9
        state["more"] = np.ones(1, np.float32)

    text = str(changed(change))
    assert text.startswith("DIFFERENT: ")
    assert "is not shown to compute what" in text.splitlines()[0]
    assert text.index(f"  {STAGE}.bias[3] is 9, exactly") < text.index("\nstage0")
    assert "  more: extra" in text


def test_long_lists_are_cut(monkeypatch):
    """The worst blocks are shown, and of differences the first."""
    m, after = {}, {}
    for number in range(30):
        m[f"{number}.conv.weight"] = np.full((1, 1, 3, 3), 1, np.float32)
        for role, value in (("weight", 1), ("bias", 0), ("running_mean", 0), ("running_var", 0.75)):
            m[f"{number}.bn.{role}"] = np.full(1, value, np.float32)
        off = 2.0**-number if number > 4 else 0
        after[f"{number}.conv.weight"] = np.full((1, 1, 3, 3), 1, np.float32)
        after[f"{number}.conv.weight"][0, 0, 1, 2] += np.float32(off)
        after[f"{number}.conv.bias"] = np.zeros(1, np.float32)
    report = verify(m, after, recipe=PAIR, eps=0.25)
    assert [block.name for block in report.blocks] == [f"{n}.conv" for n in range(30)]
    assert report.causes == {}
    text = str(report)
    assert sum(line.startswith("  ") for line in text.splitlines()) == verify_text.SHOWN + 1
    assert f"… and {len(report.problems) - verify_text.SHOWN} more (--json lists all)" in text
    assert len(report.as_dict()["differences"]) == len(report.differences) > verify_text.SHOWN
    monkeypatch.setattr(verify_text, "MOST_ROWS", 4)
    rows = [line.split()[0] for line in str(report).splitlines() if " of 10 " in line]
    assert rows == ["5.conv", "6.conv", "7.conv", "8.conv"]
    assert "… and 26 more blocks, none worse (--json lists all)" in str(report)
    monkeypatch.setattr(verify_text, "MOST_ROWS", 30)
    assert "more blocks, none worse" not in str(report)


def test_pairs_with_other_names_are_told():
    report = verify(repvgg("official"), fuse_state_dict(repvgg("timm")))
    assert report.renamed["stage0.rbr_reparam"] == "stem.reparam_conv"
    assert "paired by value, since names differ: 3 layers and tensors" in str(report)
    assert "stage0.rbr_reparam is stem.reparam_conv" in str(report)


def test_causes_are_listed():
    report = verify(vgg(), fuse_state_dict(vgg()))
    blocks = tuple(
        replace(block, grade=Grade.DIFFERENT, cause="with eps=1") for block in report.blocks
    )
    told = replace(report, blocks=blocks)
    assert told.causes == {"with eps=1": [b.name for b in blocks]}
    assert "AFTER was fused with eps=1 (features.0 and 2 more blocks)" in str(told)
    assert told.as_dict()["causes"] == told.causes


# --- the command --------------------------------------------------------------------------------


@pytest.fixture
def run(capsys):
    def run(*words):
        try:
            code = main(["verify", *map(str, words)])
        except SystemExit as stop:
            code = stop.code
        return code, *capsys.readouterr()

    return run


def test_exit_codes(run, pair, foreign, tmp_path):
    assert run(*pair)[0] == 0
    assert run(pair[0], pair[0])[0] == 0
    assert run(pair[0], foreign)[0] == 1
    assert run(pair[0], foreign, "--max-rho", "1e-6")[0] == 0
    assert run(pair[0], foreign, "--max-rho", "1e-9")[0] == 1
    state = load_file(foreign)
    state["head.fc.bias"][0] += 1e-4
    save_file(state, tmp_path / "edited.safetensors")
    code, text, _ = run(pair[0], tmp_path / "edited.safetensors", "--max-rho", "1")
    assert code == 1
    assert text.startswith("DIFFERENT")
    assert "head.fc.bias[0]" in text
    assert run(pair[0], tmp_path / "nothing.safetensors")[0] == 2
    assert run(pair[1], pair[0])[0] == 2  # a deploy form is no train form
    for odd in ("-1", "nan", "inf"):
        code, _, complaint = run(*pair, f"--max-rho={odd}")
        assert (code, "expected a finite number of at least 0" in complaint) == (2, True)


def test_json_of_the_command(run, pair, foreign):
    code, text, _ = run(pair[0], foreign, "--json")
    found = json.loads(text)
    assert (code, found["ok"], found["grade"]) == (1, False, "within rho")
    assert found["sha256"]["after"] == hashlib.sha256(foreign.read_bytes()).hexdigest()
    code, text, _ = run(pair[0], foreign, "--json", "--max-rho", "1e-6")
    assert (code, json.loads(text)["ok"], json.loads(text)["max_rho"]) == (0, True, 1e-6)


def test_the_command_prints_the_report(run, pair):
    _, text, complaint = run(*pair)
    assert (text, complaint) == (f"{verify(*pair)}\n", "")
