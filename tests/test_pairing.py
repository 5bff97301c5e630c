"""Every tensor of both files finds its partner or is named; nothing passes for something else."""

import functools
import re
from types import MappingProxyType

import ml_dtypes
import numpy as np
import pytest
from families import FAMILIES
from families.plain import repvgg, resnet, vgg
from families.rep_blocks import mobileone
from families.sample import Maker
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from keras_maker import Net
from safetensors.numpy import save_file

import reparam
from reparam import PlanError, fuse_state_dict, verify
from reparam.certificate import Grade
from reparam.operations import tensor_names

families = st.sampled_from(sorted(FAMILIES))
REPVGG = {style: repvgg(style) for style in ("official", "timm", "mmpretrain")}
MOBILEONE = {style: mobileone(style).state for style in ("apple", "timm", "mmpretrain")}
SPELLINGS = [
    (nets[one], nets[other])
    for nets in (REPVGG, MOBILEONE)
    for one in nets
    for other in nets
    if one != other
]


SOME = settings(max_examples=max(settings.default.max_examples // 4, 10), deadline=None)
"""A whole net is fused and verified per example."""


def said(family):
    """The train form of a family, its deploy form, and what a user has to say of it."""
    sample = FAMILIES[family]
    words = {"eps": sample.eps, "recipe": family[0] if sample.named else None}
    return sample.state, fused_once(family), words


@functools.cache
def fused_once(family):
    sample = FAMILIES[family]
    return MappingProxyType(
        fuse_state_dict(
            sample.state,
            eps=sample.eps,
            recipe=family[0] if sample.named else None,
            verify=False,
        )
    )


def prefixed(state, prefix="module."):
    return {prefix + name: values for name, values in state.items()}


def named(report):
    """Everything the differences say."""
    return " ".join(f"{d.name}: {d.what}" for d in report.differences)


def exchange(state, one, other):
    """Give two layers each other's numbers."""
    swapped = dict(state)
    for name in state:
        path, _, role = name.rpartition(".")
        if path == one:
            swapped[name], swapped[f"{other}.{role}"] = state[f"{other}.{role}"], state[name]
    return swapped


def twins(state):
    """Pairs of layers with tensors of equal roles and shapes, and unequal numbers."""
    layers = {}
    for name, values in state.items():
        path, _, role = name.rpartition(".")
        layers.setdefault(path, {})[role] = values
    kernels = {p: t for p, t in layers.items() if "weight" in t and t["weight"].ndim > 1}
    return [
        (one, other)
        for one in kernels
        for other in kernels
        if one < other
        and {r: v.shape for r, v in kernels[one].items()}
        == {r: v.shape for r, v in kernels[other].items()}
        and not np.array_equal(kernels[one]["weight"], kernels[other]["weight"])
    ]


# --- accounting ---------------------------------------------------------------------------------


@SOME
@given(families, st.data())
def test_no_tensor_of_the_deploy_form_may_be_lost_added_or_altered(family, data):
    state, after, words = said(family)
    after = dict(after)
    assert verify(state, after, **words).grade <= Grade.ROUNDING
    name = data.draw(st.sampled_from(sorted(after)))
    what = data.draw(st.sampled_from(["lost", "added", "number", "shape"]))
    if what == "lost":
        del after[name]
    elif what == "added":
        name = "more." + name
        after[name] = after[name.removeprefix("more.")]
    elif what == "shape":
        after[name] = after[name][None]
    else:
        values = after[name].copy()
        index = data.draw(st.integers(0, values.size - 1))
        values.reshape(-1).view(f"i{values.itemsize}")[index] += data.draw(
            st.sampled_from([-1, 1, 3])
        )
        after[name] = values
    report = verify(state, after, **words)
    if name.endswith("num_batches_tracked"):
        return
    assert report.grade > Grade.ROUNDING
    assert not report.ok
    assert name in named(report)


@SOME
@given(families, st.data())
def test_no_tensor_of_a_train_form_may_be_lost_added_or_altered(family, data):
    state, _, words = said(family)
    after = dict(state)
    name = data.draw(st.sampled_from(sorted(n for n in after if "num_batches" not in n)))
    what = data.draw(st.sampled_from(["lost", "added", "number"]))
    if what == "lost":
        assume(
            ".rbr_reparam." not in name
        )  # beside the branches of a train form: not computed with
        del after[name]
    elif what == "added":
        name = "more." + name
        after[name] = after[name.removeprefix("more.")]
    else:
        values = after[name].copy()
        index = data.draw(st.integers(0, values.size - 1))
        values.reshape(-1)[index] *= 1 + 2.0**-20
        assume(not np.array_equal(values, state[name]))
        after[name] = values
    report = verify(state, after, **words)
    assert not report.ok
    assert report.differences


@SOME
@given(families)
def test_a_train_form_equals_itself_and_counters_do_not_count(family):
    state, fused, words = said(family)
    report = verify(state, state, **words)
    assert report.grade is Grade.IDENTICAL
    assert report.fused == 0
    assert report.untouched == len(FAMILIES[family].makes)
    counters = [name for name in state if name.endswith("num_batches_tracked")]
    bare = {name: values for name, values in state.items() if name not in counters}
    assert verify(state, bare, **words).grade is Grade.IDENTICAL
    after = dict(fused) | {n: state[n] for n in counters}
    assert verify(state, after, **words).grade <= Grade.ROUNDING


def test_counters_of_one_file_are_told():
    after = fuse_state_dict(REPVGG["timm"]) | {"more.num_batches_tracked": np.array(3)}
    report = verify(REPVGG["timm"], after)
    assert report.ok
    assert report.counters == ("more.num_batches_tracked",)


@pytest.mark.parametrize("name", ["stage1.1.rbr_dense.bn.weight", "stage1.1.rbr_identity.bias"])
def test_a_branch_left_behind_is_extra(name):
    state = REPVGG["official"]
    report = verify(state, fuse_state_dict(state) | {name: state[name]})
    assert report.extra == (name,)
    assert not report.ok


def test_a_norm_left_behind_a_fused_convolution_would_be_applied_twice():
    state = vgg()
    norm = {name: values for name, values in state.items() if name.startswith("features.1.")}
    report = verify(state, fuse_state_dict(state) | norm)
    assert not report.ok
    assert "features.1.running_var" in named(report)
    assert "not neutral" in named(report)


def test_a_bias_without_its_kernel_is_no_news():
    state = REPVGG["official"]
    after = fuse_state_dict(state)
    del after["stage1.1.rbr_reparam.weight"]
    assert [d.name for d in verify(state, after).differences] == ["stage1.1.rbr_reparam.weight"]


def test_a_layer_with_a_bias_more_or_less():
    """Of a layer no fusion reads, under its own and under another name."""
    state = REPVGG["official"]
    after = fuse_state_dict(state)
    del after["head.fc.bias"]
    assert [d.name for d in verify(state, after).differences] == ["head.fc.bias"]
    assert not verify(state, prefixed(after)).ok
    bare = {name: values for name, values in state.items() if name != "head.fc.bias"}
    after = fuse_state_dict(state)
    assert [d.name for d in verify(bare, after).differences] == ["head.fc.bias"]
    assert not verify(bare, prefixed(after)).ok


def test_a_bias_that_is_missing_and_zero():
    state = {n: v.copy() for n, v in vgg().items()}
    for name in ("features.1.bias", "features.1.running_mean", "features.0.bias"):
        state[name][:] = 0
    after = fuse_state_dict(state)
    del after["features.0.bias"]
    assert verify(state, after).grade is Grade.IDENTICAL
    del after["features.3.bias"]
    report = verify(state, after)
    assert [d.name for d in report.differences] == ["features.3.bias"]
    assert "missing: features.3.bias" in named(report)


def test_a_layer_of_a_train_form_has_a_bias_that_before_has_not():
    state = resnet()
    for name in ("conv1.bias", "layer1.0.conv2.bias"):
        width = state[name.replace("bias", "weight")].shape[0]
        report = verify(state, state | {name: np.ones(width, np.float32)})
        assert [d.name for d in report.differences] == [name]
        assert not verify(state | {name: np.ones(width, np.float32)}, state).ok
        assert verify(state, state | {name: np.zeros(width, np.float32)}).ok


def test_nothing_in_common():
    state = REPVGG["timm"]
    other = {"x.weight": np.ones((3, 3), np.float32), "y": np.ones(2)}
    report = verify(state, other)
    assert not report.ok
    assert set(report.extra) == set(other)
    missing = {d.name for d in report.differences} - set(other)
    assert missing == {n for n in fuse_state_dict(state) if not n.endswith("conv.bias")}
    assert not verify(state, {}).ok


def test_empty_files():
    with pytest.raises(PlanError, match="BEFORE and AFTER: no tensors, so nothing to compare"):
        verify({}, {})
    assert not verify({}, {"x": np.ones(2)}).ok
    assert not verify({"x": np.ones(2)}, {}).ok


def test_tied_tensors():
    state = dict(REPVGG["official"])
    state["again.weight"] = state["head.fc.weight"]
    after = fuse_state_dict(state)
    assert verify(state, after).ok
    report = verify(state, {n: v for n, v in after.items() if n != "again.weight"})
    assert [d.name for d in report.differences] == ["again.weight"]
    after["again.weight"] = after["again.weight"] + 1
    assert [d.name for d in verify(state, after).differences] == ["again.weight"]


# --- other names --------------------------------------------------------------------------------


@pytest.mark.parametrize(("before", "after"), SPELLINGS)
def test_another_spelling(before, after):
    fused = fuse_state_dict(after)
    for other in (fused, after, prefixed(fused), prefixed(after, "backbone.")):
        report = verify(before, other)
        assert report.grade is Grade.IDENTICAL, report
        assert report.renamed
    assert verify(fuse_state_dict(before), fused).grade is Grade.IDENTICAL


@SOME
@given(st.sampled_from(range(len(SPELLINGS))), st.data())
def test_another_spelling_with_one_number_changed(spelling, data):
    before, after = SPELLINGS[spelling]
    fused = fuse_state_dict(after)
    name = data.draw(st.sampled_from(sorted(fused)))
    values = fused[name].copy()
    values.reshape(-1).view(np.int32)[data.draw(st.integers(0, values.size - 1))] += 1
    report = verify(before, fused | {name: values})
    assert not report.ok
    assert name in named(report)


@pytest.mark.parametrize("family", sorted(FAMILIES), ids=" / ".join)
def test_a_prefix(family):
    state, after, words = said(family)
    prefix = ["module.", "model.backbone.", "0."][len(after) % 3]
    after = dict(after)
    report = verify(state, prefixed(after, prefix), **words)
    assert report.grade <= Grade.ROUNDING
    assert report.renamed == {}
    assert f"without {prefix!r}" in str(report)
    assert verify(state, prefixed(state, prefix), **words).grade <= Grade.ROUNDING
    assert verify(prefixed(state, prefix), prefixed(after, prefix), **words).ok
    assert verify(prefixed(state, prefix), after, **words).ok


def test_a_prefix_that_would_make_one_tensor_of_two():
    after = fuse_state_dict(REPVGG["timm"])
    both = prefixed(after) | {"head.fc.bias": after["head.fc.bias"]}
    report = verify(REPVGG["timm"], both)
    assert not report.ok
    assert "head.fc.bias" in named(report)


@SOME
@given(families, st.data(), st.sampled_from(["", "module.", "net.model."]))
def test_layers_that_were_exchanged(family, data, prefix):
    """Under their own names and behind a prefix, whatever their names are."""
    state, after, words = said(family)
    after = dict(after)
    pairs = twins(after)
    assume(pairs)
    one, other = data.draw(st.sampled_from(pairs))
    report = verify(state, prefixed(exchange(after, one, other), prefix), **words)
    assert not report.ok
    assert one in named(report)
    assert other in named(report)


def test_a_shortcut_exchanged_with_the_last_layer_of_its_block():
    """Neither name counts on from the other."""
    m = Maker()
    m.conv("conv1", 8, 3, 7, 7)
    m.norm("bn1", 8)
    for at in ("layer1.0", "layer1.1"):
        for number, k in ((1, 1), (2, 3), (3, 1)):
            m.conv(f"{at}.conv{number}", 8, 8, k, k)
            m.norm(f"{at}.bn{number}", 8)
        m.conv(f"{at}.downsample.0", 8, 8, 1, 1)
        m.norm(f"{at}.downsample.1", 8)
    m.conv("fc", 10, 8, bias=True)
    after = exchange(
        fuse_state_dict(m.state, recipe="resnet"), "layer1.0.conv3", "layer1.0.downsample.0"
    )
    assert not verify(m.state, after, recipe="resnet").ok
    assert not verify(m.state, prefixed(after), recipe="resnet").ok


def alike(first, stages, dense, point):
    """RepVGG blocks of one shape, all of them without an identity."""
    m = Maker()
    for at in (first, *stages):
        for branch, k in ((dense, 3), (point, 1)):
            m.conv(f"{at}.{branch}.conv", 8, 8, k, k)
            m.norm(f"{at}.{branch}.bn", 8)
    m.conv("head.fc", 10, 8, bias=True)
    return m.state


OFFICIAL = alike("stage0", ["stage1.0", "stage1.1", "stage2.0"], "rbr_dense", "rbr_1x1")
TIMM = alike("stem", ["stages.0.0", "stages.0.1", "stages.1.0"], "conv_kxk", "conv_1x1")
STEMS = ["stem", "stages.0.0", "stages.0.1", "stages.1.0"]


@pytest.mark.parametrize("one", STEMS)
@pytest.mark.parametrize("other", STEMS)
def test_blocks_exchanged_under_the_names_of_another_spelling(one, other):
    after = fuse_state_dict(TIMM)
    if one == other:
        assert verify(OFFICIAL, after).grade is Grade.IDENTICAL
        return
    after = exchange(after, f"{one}.reparam_conv", f"{other}.reparam_conv")
    report = verify(OFFICIAL, after)
    assert not report.ok
    assert f"{one}.reparam_conv" in named(report) or f"{other}.reparam_conv" in named(report)


def renamed(state, names):
    """Rename the first parts of names."""
    pattern = re.compile("|".join(map(re.escape, names)))
    return {pattern.sub(lambda m: names[m[0]], name, 1): v for name, v in state.items()}


ORDER = {"stem.": "z.first.", "stages.0.0.": "a.q.", "stages.0.1.": "m.r.", "stages.1.0.": "b."}
"""Names that sort otherwise."""


@pytest.mark.parametrize("channels", [slice(0, 0), slice(0, 1), slice(0, 5), slice(None)])
@pytest.mark.parametrize("roles", [("bn.weight",), ("bn.weight", "bn.bias")])
def test_blocks_with_dormant_channels_under_names_of_another_order(channels, roles):
    before, after = ({n: v.copy() for n, v in s.items()} for s in (OFFICIAL, TIMM))
    for state in (before, after):
        for name in state:
            if name.endswith(roles):
                state[name][channels] = 0
    report = verify(before, renamed(fuse_state_dict(after), ORDER))
    assert report.ok, report  # a sum of two float32 biases is often a tie, which is not decided


def test_blocks_with_the_same_numbers():
    """Which of them is which cannot be told, and need not be."""
    block = {n: v for n, v in OFFICIAL.items() if n.startswith("stage0.")}
    before, after = dict(OFFICIAL), dict(TIMM)
    for i in range(12):
        before |= {n.replace("stage0", f"stage3.{i}"): v for n, v in block.items()}
        same = {n: v.copy() for n, v in TIMM.items() if n.startswith("stem.")}
        after |= {n.replace("stem", f"stages.2.{i}"): v for n, v in same.items()}
    fused = fuse_state_dict(after)
    assert verify(before, fused).grade is Grade.IDENTICAL
    fused["stages.2.7.reparam_conv.bias"] = fused["stages.2.7.reparam_conv.bias"] + 1
    report = verify(before, fused)
    assert not report.ok
    assert "stages.2.7.reparam_conv.bias" in [d.name for d in report.differences]


def test_a_layer_that_changed_beyond_recognition_is_compared_all_the_same():
    after = fuse_state_dict(TIMM)
    after["stages.0.1.reparam_conv.weight"] = after["stages.0.1.reparam_conv.weight"][::-1] * 100
    report = verify(OFFICIAL, after)
    assert [d.name for d in report.differences] == ["stages.0.1.reparam_conv.weight"]
    after["stages.0.1.reparam_conv.weight"][3] = np.nan
    report = verify(OFFICIAL, after)
    assert [d.name for d in report.differences] == ["stages.0.1.reparam_conv.weight"]
    assert "NaN" in named(report)
    name = "stages.0.1.conv_kxk.conv.weight"
    report = verify(OFFICIAL, TIMM | {name: TIMM[name][::-1] * 100})
    assert [d.name for d in report.differences] == [name]


def test_tensors_that_are_no_layers_under_other_names():
    extra = {"pos": np.arange(5.0), "scale.0": np.ones(3), "scale.1": np.ones(3)}
    other = {"embed": np.arange(5.0), "factor.0": np.ones(3), "factor.1": np.ones(3)}
    before, after = OFFICIAL | extra, fuse_state_dict(TIMM) | other
    report = verify(before, after)
    assert report.ok
    assert {n: report.renamed[n] for n in extra} == dict(zip(extra, other, strict=True))
    after["factor.1"] = after["factor.1"] * 2
    report = verify(before, after)
    assert {d.name for d in report.differences} == {"scale.1", "factor.1"}


def test_layers_without_norms_under_other_names():
    m = Maker()
    for i in range(4):
        m.conv(f"decoder.{i}", 6, 6, bias=True)
    before, after = OFFICIAL | m.state, fuse_state_dict(TIMM)
    after |= {n.replace("decoder", "head.mlp"): v for n, v in m.state.items()}
    assert verify(before, after).ok
    half = {n: v.astype(np.float16) for n, v in after.items()}
    assert verify(before, half).grade <= Grade.ROUNDING
    assert not verify(before, exchange(after, "head.mlp.1", "head.mlp.3")).ok
    after["head.mlp.2.bias"] = after["head.mlp.2.bias"] + np.float32(1e-4)
    report = verify(before, after)
    assert [d.name for d in report.differences] == ["head.mlp.2.bias"]


# --- forms of AFTER -----------------------------------------------------------------------------


@SOME
@given(families, st.integers(0, 2**20), st.sampled_from([np.float32, np.float64, np.float16]))
def test_partly_fused(family, choice, dtype):
    """The others may be in another dtype: they are folded, and wider ones are equal."""
    state, fused, words = said(family)
    fused = dict(fused)
    plan = verify(state, fused, **words).plan
    assume(not plan.skipped)
    after = dict(fused)
    kept = [f for i, f in enumerate(plan.fusions) if choice >> (i % 20) & 1]
    shared = [name for f in plan.fusions if f not in kept for name in f.reads]
    kept = [f for f in kept if set(f.reads).isdisjoint(shared)]  # such as a norm of two layers
    for fusion in kept:
        for write in fusion.writes:
            after.pop(write.name, None)
    for fusion in kept:
        after |= {n: state[n] for n in fusion.reads}
        after |= {n: state[n].astype(dtype) for n in tensor_names(fusion.op)}
    report = verify(state, after, **words)
    if dtype is np.float16:
        assert report.grade is Grade.WITHIN or not kept
    else:
        assert report.ok, report
        assert report.untouched == (len(kept) if dtype is np.float32 else 0)


@pytest.mark.parametrize("eps", [1e-5, 1e-3])
def test_neutral_norms_by_other_hands(eps):
    state = vgg()
    neutral = fuse_state_dict(state, batch_norm="neutral", eps=eps)
    assert verify(state, neutral, eps=eps).grade is Grade.IDENTICAL
    forgotten = {n: np.ones_like(v) if n.endswith("running_var") else v for n, v in neutral.items()}
    report = verify(state, forgotten, eps=eps)
    assert report.grade is Grade.DIFFERENT
    assert "features.1.running_var not neutral" in named(report)
    repaired = {
        n: np.full_like(v, np.sqrt(1 + eps)) if re.fullmatch(r"features.[148].weight", n) else v
        for n, v in forgotten.items()
    }
    report = verify(state, repaired, eps=eps)
    assert report.grade is Grade.WITHIN
    assert verify(state, repaired, eps=eps, max_rho=1e-6).ok
    moved = {n: v + np.float32(1e-6) if n.endswith("mean") else v for n, v in neutral.items()}
    assert not verify(state, moved, eps=eps).ok


def test_neutral_norms_without_a_trace_of_the_bias():
    """The bias may stand in the convolution, or be lost."""
    state = vgg()
    after = fuse_state_dict(state, batch_norm="neutral")
    bias = after["features.1.bias"]
    there = after | {"features.0.bias": bias, "features.1.bias": 0 * bias}
    assert verify(state, there).grade is Grade.IDENTICAL
    assert not verify(state, after | {"features.1.bias": 0 * bias}).ok
    assert not verify(state, {n: v for n, v in after.items() if n != "features.1.bias"}).ok


@SOME
@given(families)
def test_a_deploy_form_as_before(family):
    """Compared as it is; a train form beside it is asked to come first."""
    state, fused, words = said(family)
    fused = dict(fused)
    report = verify(fused, fused, **words)
    assert report.grade is Grade.IDENTICAL
    assert (report.fused, report.copied) == (0, len(fused))
    with pytest.raises(PlanError, match="name that one first"):
        verify(fused, state, **words)
    name = next(n for n in fused if fused[n].dtype.kind == "f")
    values = fused[name].copy()
    values.reshape(-1)[0] += 1
    report = verify(fused, fused | {name: values}, **words)
    assert [d.name for d in report.differences] == [name]


def test_two_deploy_forms_in_two_dtypes_and_spellings():
    one, other = fuse_state_dict(OFFICIAL), fuse_state_dict(TIMM)
    half = {n: v.astype(np.float16) for n, v in other.items()}
    assert verify(one, half).grade <= Grade.ROUNDING
    assert verify(one, other).grade is Grade.IDENTICAL
    with pytest.raises(PlanError, match="name that one first"):
        verify(other, OFFICIAL)


# --- arrays in memory ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        lambda v: v.astype(v.dtype.newbyteorder(">")),
        np.asfortranarray,
        lambda v: np.repeat(v, 2, axis=-1)[..., ::2] if v.ndim else v,
        lambda v: v[::-1][::-1] if v.ndim else v,
    ],
    ids=["big-endian", "Fortran", "strided", "reversed"],
)
@pytest.mark.parametrize("state", [repvgg("timm"), vgg()], ids=["repvgg", "vgg"])
def test_arrays_in_any_memory_layout(state, change):
    state = state | {"position": np.arange(12, dtype=np.float32).reshape(3, 4)}
    fused = fuse_state_dict(state)
    odd = {name: change(values) for name, values in state.items()}
    odder = {name: change(values) for name, values in fused.items()}
    for before, after in ((odd, fused), (state, odder), (odd, odder), (state, odd)):
        assert verify(before, after).grade is Grade.IDENTICAL


def test_nothing_is_modified():
    state, fused = repvgg("timm"), fuse_state_dict(repvgg("timm"))
    for values in (*state.values(), *fused.values()):
        values.setflags(write=False)
    assert verify(state, fused).ok


@pytest.mark.parametrize("dtype", [np.float64, np.float16, ml_dtypes.bfloat16])
def test_arrays_of_other_dtypes(dtype):
    state = repvgg("timm")
    wide = {n: v.astype(dtype) if v.dtype.kind == "f" else v for n, v in state.items()}
    assert verify(wide, fuse_state_dict(wide)).grade <= Grade.ROUNDING
    assert verify(wide, wide).grade is Grade.IDENTICAL
    fused = fuse_state_dict(state)
    narrow = {n: v.astype(dtype) for n, v in fuse_state_dict(state).items()}
    if dtype is np.float64:
        assert verify(wide, fused).grade <= Grade.ROUNDING
        assert verify(state, narrow).grade is Grade.WITHIN  # in float32, stored wider


def test_files_and_arrays_are_the_same(tmp_path):
    state = REPVGG["timm"] | {"large": np.ones((3000, 512), np.float32)}
    fused = fuse_state_dict(state)
    before, after = tmp_path / "before.safetensors", tmp_path / "after.safetensors"
    save_file(state, before)
    save_file(fused, after)
    for one, other in ((before, fused), (state, after), (before, after), (state, fused)):
        report = verify(one, other)
        assert report.grade is Grade.IDENTICAL
        assert report.copied == 3
        assert report.converted == ()
    fused["large"][2999, 511] = 2
    report = verify(before, fused)
    assert [d.name for d in report.differences] == ["large"]


@pytest.mark.parametrize(
    "odd", [np.ones((8, 3, 3, 3), np.int8), np.float32(1), np.array("a"), np.zeros((0, 3, 3, 3))]
)
def test_arrays_that_are_no_weights(odd):
    state = REPVGG["timm"]
    after = fuse_state_dict(state) | {"stem.reparam_conv.weight": odd}
    report = verify(state, after)
    assert not report.ok
    assert "stem.reparam_conv" in named(report)


# --- Keras --------------------------------------------------------------------------------------


def keras_net(prefix="", eps=1e-3):
    """Three convolutions with norms, one of them depthwise, and a head."""
    net = Net()
    x = net.input(8, 8, 3)
    for number, options in enumerate(({"filters": 8}, {"filters": 4, "use_bias": True}, {})):
        kind = "Conv2D" if options else "DepthwiseConv2D"
        x = net(kind, x, name=f"{prefix}c{number}", kernel_size=3, **options)
        x = net("BatchNormalization", x, name=f"{prefix}b{number}", epsilon=eps)
        x = net("ReLU", x, name=f"{prefix}r{number}")
    x = net("GlobalAveragePooling2D", x, name=f"{prefix}g")
    return net, [net("Dense", x, name=f"{prefix}d", units=2)]


def as_torch(net):
    """The same net under names that the recipe conv-bn reads, kernels as PyTorch has them."""
    roles = {"gamma": "weight", "beta": "bias"}
    roles |= {"moving_mean": "running_mean", "moving_variance": "running_var"}
    state = {}
    for layer, weights in net.weights.items():
        for role, values in weights.items():
            kind, number = layer[-2] if layer[-1].isdecimal() else layer[-1], layer[-1]
            place = {"c": f"body.{number}.conv", "b": f"body.{number}.bn", "d": "head"}[kind]
            if values.ndim == 4:
                axes = (2, 3, 0, 1) if values.shape[2:] == (4, 1) else (3, 2, 0, 1)  # depthwise
            else:
                axes = range(values.ndim)[::-1]
            name = "weight" if role.endswith("kernel") else roles.get(role, role)
            state[f"{place}.{name}"] = np.ascontiguousarray(values.transpose(axes))
    return state


TORCH = {"recipe": "conv-bn", "eps": 1e-3}


@pytest.fixture(params=[".h5", ".keras"])
def keras_files(request, tmp_path):
    """The train form, its fused form, and both under other names."""
    paths = []
    for prefix in ("", "other_"):
        net, ends = keras_net(prefix)
        path = tmp_path / f"{prefix}train{request.param}"
        (net.save_h5 if request.param == ".h5" else net.save_keras)(path, ends)
        fused = tmp_path / f"{prefix}fused{request.param}"
        reparam.fuse(path, fused)
        paths += [path, fused]
    return paths


def test_keras_with_other_names(keras_files):
    train, fused, other, other_fused = keras_files
    for after in (train, fused, other, other_fused):
        report = verify(train, after)
        assert report.grade is Grade.IDENTICAL, report
    assert len(verify(train, other_fused).renamed) == 4


def test_keras_against_safetensors(keras_files, tmp_path):
    train, fused, _, other_fused = keras_files
    state = as_torch(keras_net()[0])
    path = tmp_path / "train.safetensors"
    save_file(state, path)
    for before in (state, path):
        for after in (fused, train, other_fused):
            report = verify(before, after, **TORCH)
            assert report.grade is Grade.IDENTICAL, report
    fused_torch = fuse_state_dict(state, **TORCH)
    assert verify(train, fused_torch).grade is Grade.IDENTICAL
    for name in fused_torch:
        values = fused_torch[name].copy()
        values.reshape(-1).view(np.int32)[0] += 1
        report = verify(train, fused_torch | {name: values})
        assert not report.ok
        assert name in named(report)


def test_eps_in_the_graph_of_after(keras_files, tmp_path):
    """The same numbers with another constant are another function."""
    train, suffix = keras_files[0], keras_files[0].suffix
    net, ends = keras_net(eps=1e-5)
    other = tmp_path / f"eps{suffix}"
    (net.save_h5 if suffix == ".h5" else net.save_keras)(other, ends)
    assert not verify(train, other).ok
    fused, neutral = tmp_path / f"f{suffix}", tmp_path / f"n{suffix}"
    reparam.fuse(other, fused)
    reparam.fuse(other, neutral, batch_norm="neutral")
    assert verify(other, fused).ok
    assert verify(other, neutral).ok
    assert not verify(train, fused).ok
    assert not verify(train, neutral).ok


def test_keras_deploy_forms(keras_files):
    train, fused, _, other_fused = keras_files
    assert verify(fused, fused).grade is Grade.IDENTICAL
    assert verify(fused, other_fused).ok
    with pytest.raises(PlanError, match="name that one first"):
        verify(fused, train)
