"""Families that no built-in recipe knows, written down by their users."""

import numpy as np
import pytest
from families.sample import Maker
from safetensors.numpy import load_file, save_file

import reparam
from reparam.grades import Grade

HEAD = """
name = "mine"
title = "mine"
eps = { value = 0.25, source = "a test" }
[[spelling]]
name = "only"
[[spelling.block]]
"""


@pytest.fixture
def fuse(tmp_path):
    """Fuse a state dict by one line, both ways, and prove the file."""

    def fuse(state, line, **options):
        recipe = tmp_path / "mine.toml"
        recipe.write_text(f"{HEAD}fuse = [{line!r}]\n")
        before, after = tmp_path / "before.safetensors", tmp_path / "after.safetensors"
        save_file(state, before)
        reparam.fuse(before, after, recipe=recipe, **options)
        report = reparam.verify(before, after, recipe=recipe)
        assert report.ok, report.differences
        assert report.grade <= Grade.ROUNDING
        return load_file(after)

    return fuse


@pytest.mark.parametrize(("into", "out", "groups"), [(6, 4, 1), (4, 6, 2), (4, 4, 4)])
def test_transposed_convolution_and_norm(fuse, into, out, groups):
    m = Maker()
    m.add("up.conv.weight", m.rng.normal(size=(into, out // groups, 2, 2)))
    m.norm("up.bn", out)
    fused = fuse(m.state, f"up.conv[transposed, groups={groups}] up.bn")
    s = m.state["up.bn.weight"] / np.sqrt(m.state["up.bn.running_var"].astype(float) + 0.25)
    kernel = m.state["up.conv.weight"].reshape(groups, -1, out // groups, 2, 2)
    expected = kernel * s.reshape(groups, 1, -1, 1, 1)
    got = fused["up.conv.weight"].reshape(expected.shape)
    assert np.allclose(got, expected, rtol=1e-6, atol=1e-7)


def test_linear_and_norm(fuse):
    m = Maker()
    m.conv("l", 5, 3, bias=True)
    m.norm("bn", 5)
    assert fuse(m.state, "l bn")["l.weight"].shape == (5, 3)


@pytest.mark.parametrize("space", [(3,), (3, 1), (1, 3, 3)])
def test_any_number_of_axes(fuse, space):
    m = Maker()
    m.conv("b.big", 4, 2, *space)
    m.conv("b.small", 4, 2, *(1,) * len(space))
    m.norm("b.bn", 4)
    m.norm("b.same", 4)
    fused = fuse(m.state, "(b.big + b.small) b.bn + b.same -> b.deploy")
    assert fused["b.deploy.weight"].shape == (4, 2, *space)


def test_without_norms_and_biases_no_bias_appears(fuse):
    m = Maker()
    m.conv("pw", 4, 4, 1, 1)
    fused = fuse(m.state, "pw + id")
    assert set(fused) == {"pw.weight"}
    assert np.allclose(fused["pw.weight"][..., 0, 0], m.state["pw.weight"][..., 0, 0] + np.eye(4))


def test_branches_beyond_counting(fuse):
    m = Maker()
    for number in range(3):
        m.conv(f"conv.{number}.c", 8, 1, 3, 3)
        m.norm(f"conv.{number}.n", 8)
    fused = fuse(m.state, "conv.{i}.c conv.{i}.n + id -> deploy")
    assert set(fused) == {"deploy.weight", "deploy.bias"}
    assert fused["deploy.weight"].shape == (8, 1, 3, 3)


def test_scales_numbers_and_differences(fuse):
    """FastViT's mixer has this shape: the input plus a scaled difference of two branches."""
    m = Maker()
    m.conv("mix", 4, 4, 1, 1)
    m.norm("norm", 4)
    m.add("gamma", m.rng.normal(size=(4, 1, 1)))
    m.conv("more", 4, 4, 1, 1)
    m.add("alpha", m.rng.normal(size=()))
    fused = fuse(m.state, "id + (mix - norm) gamma + 0.5 more alpha -> out")
    t = {k: v.astype(float) for k, v in m.state.items()}
    s = t["norm.weight"] / np.sqrt(t["norm.running_var"] + 0.25)
    kernel = np.eye(4) + t["gamma"][:, 0] * (t["mix.weight"][..., 0, 0] - np.diag(s))
    kernel += 0.5 * t["alpha"] * t["more.weight"][..., 0, 0]
    bias = t["gamma"][:, 0, 0] * (t["norm.running_mean"] * s - t["norm.bias"])
    assert np.allclose(fused["out.weight"][..., 0, 0], kernel, rtol=1e-6, atol=1e-7)
    assert np.allclose(fused["out.bias"], bias, rtol=1e-6, atol=1e-7)


def test_pool_and_dilated_branch(fuse):
    m = Maker()
    m.conv("a", 4, 4, 1, 1)
    m.conv("wide", 4, 4, 3, 3)
    m.norm("bn", 4)
    fused = fuse(m.state, "a avg 3 bn + wide[dilation=2] -> out")
    assert fused["out.weight"].shape == (4, 4, 5, 5)


def test_a_sequence_that_is_wrong_at_the_border_is_refused(fuse):
    m = Maker()
    m.conv("one", 4, 3, 1, 1, bias=True)
    m.conv("two", 5, 4, 3, 3)
    with pytest.raises(reparam.BorderError, match="border='image'"):
        fuse(m.state, "one two[border=zero] -> out")
    assert fuse(m.state, "one two[border=image] -> out")["out.weight"].shape == (5, 3, 3, 3)


@pytest.mark.parametrize(
    "line",
    [
        "b.one[transposed] + b.two[transposed] -> o",
        "b.two[transposed] + b.one[transposed, dilation=2] -> o",
    ],
)
def test_transposed_branches_of_different_sizes(fuse, line):
    m = Maker()
    m.add("b.one.weight", m.rng.normal(size=(4, 3, 2, 2)))
    m.add("b.two.weight", m.rng.normal(size=(4, 3, 4, 4)))
    assert fuse(m.state, line)["o.weight"].shape == (4, 3, 4, 4)


@pytest.mark.parametrize(
    "line", ["0.5 a n -> o", "a n + 0.5 b -> o", "-1.5 a -> o", "avg 3 a n -> o"]
)
def test_a_number_may_stand_first(fuse, line):
    m = Maker()
    m.conv("a", 4, 3, 1, 1)
    if " n" in line:
        m.norm("n", 4)
    if " b " in line:
        m.conv("b", 4, 3, 1, 1)
    assert fuse(m.state, line)["o.weight"].shape[:2] == (4, 3)


@pytest.mark.parametrize(
    "line",
    [
        "a[groups=0] -> o",
        "a[dilation=0] -> o",
        "a[dilation=99999999] -> o",
        "a avg 9999999 -> o",
        "a[kernel=5] -> o",
        "a[border=odd] -> o",
        "nothing -> o",
    ],
)
def test_impossible_recipes_are_refused(fuse, line):
    m = Maker()
    m.conv("a", 4, 3, 3, 3)
    with pytest.raises(reparam.ReparamError):
        fuse(m.state, line)


def exact(state, norm):
    """Factor and shift of a norm, in float64."""
    t = {k: v.astype(float) for k, v in state.items()}
    s = t[f"{norm}.weight"] / np.sqrt(t[f"{norm}.running_var"] + 0.25)
    return s, t[f"{norm}.bias"] - t[f"{norm}.running_mean"] * s


def test_a_stored_shift_is_added(fuse):
    """YOLOv7's heads and UniRepLKNet's GRN have this shape."""
    m = Maker()
    m.vector("before", 1, 3, 1, 1)
    m.conv("head", 4, 3, 1, 1, bias=True)
    m.vector("factor", 4)
    m.vector("after", 1)
    fused = fuse(m.state, "before[add] head factor after[add] -> head")
    t = {k: v.astype(float) for k, v in m.state.items()}
    kernel = t["head.weight"][..., 0, 0]
    bias = (kernel @ t["before"].reshape(-1) + t["head.bias"]) * t["factor"] + t["after"]
    got = fused["head.weight"][..., 0, 0]
    assert np.allclose(got, kernel * t["factor"][:, None], rtol=1e-6, atol=1e-7)
    assert np.allclose(fused["head.bias"], bias, rtol=1e-6, atol=1e-6)


def test_a_shift_alone_gives_a_bias(fuse):
    m = Maker()
    m.conv("a", 4, 3, 1, 1)
    m.vector("v", 4)
    fused = fuse(m.state, "a v[add] -> a")
    assert np.array_equal(fused["a.bias"], m.state["v"])
    assert np.array_equal(fused["a.weight"], m.state["a.weight"])


def test_a_result_may_take_the_place_of_its_block(fuse):
    m = Maker()
    m.conv("net.stem.c", 4, 3, 3, 3)
    m.norm("net.stem.bn", 4)
    m.conv("net.head", 4, 4)
    fused = fuse(m.state, "c bn -> .")
    assert set(fused) == {"net.stem.weight", "net.stem.bias", "net.head.weight"}


def test_a_result_may_take_the_place_of_a_sequential(fuse):
    """RepGhost: the convolution and its norm lie below the name of the result."""
    m = Maker()
    m.conv("b.cheap.0", 4, 1, 3, 3)
    m.norm("b.cheap.1", 4)
    m.norm("b.fusion", 4)
    fused = fuse(m.state, "cheap.0 cheap.1 + fusion -> cheap")
    assert set(fused) == {"b.cheap.weight", "b.cheap.bias"}


def test_the_whole_file_cannot_be_one_layer(fuse):
    m = Maker()
    m.conv("c", 4, 3, 3, 3)
    m.norm("bn", 4)
    with pytest.raises(reparam.PlanError, match="the place of the whole file"):
        fuse(m.state, "c bn -> .")


def test_a_norm_in_front_of_a_linear_layer(fuse):
    m = Maker()
    m.norm("head.bn", 3)
    m.conv("head.l", 5, 3, bias=True)
    fused = fuse(m.state, "head.bn head.l -> head")
    s, shift = exact(m.state, "head.bn")
    kernel = m.state["head.l.weight"].astype(float)
    assert np.allclose(fused["head.weight"], kernel * s, rtol=1e-6, atol=1e-7)
    bias = m.state["head.l.bias"] + kernel @ shift
    assert np.allclose(fused["head.bias"], bias, rtol=1e-6, atol=1e-6)


def test_branches_are_summed_within_the_parenthesis_they_stand_in(fuse):
    """UniRepLKNet: any number of dilated branches, and one norm behind their sum."""
    m = Maker()
    m.conv("dw.big", 4, 1, 5, 5)
    for k, r in ((3, 1), (3, 2)):
        m.conv(f"dw.k{k}_{r}", 4, 1, k, k)
    m.norm("norm", 4)
    line = "(dw.big + dw.k{k}_{r}[kernel={k}, dilation={r}]) norm -> dw.big"
    fused = fuse(m.state, line)
    t = {k: v.astype(float) for k, v in m.state.items()}
    kernel = t["dw.big.weight"].copy()
    kernel[..., 1:4, 1:4] += t["dw.k3_1.weight"]
    kernel[..., ::2, ::2] += t["dw.k3_2.weight"]
    s, shift = exact(m.state, "norm")
    kernel *= s.reshape(-1, 1, 1, 1)
    assert np.allclose(fused["dw.big.weight"], kernel, rtol=1e-6, atol=1e-7)
    assert np.allclose(fused["dw.big.bias"], shift, rtol=1e-6, atol=1e-6)


def test_numbered_branches_may_be_none_but_not_all(fuse):
    m = Maker()
    m.conv("b.one", 4, 4, 1, 1)
    m.norm("b.same", 4)
    assert set(fuse(m.state, "b.one + b.many.{i} + b.same -> b.out")) == {
        "b.out.weight",
        "b.out.bias",
    }
    del m.state["b.one.weight"]
    m.norm("b.after", 4)
    with pytest.raises(reparam.PlanError, match=r"has 'b\.after' but no 'a branch of it'"):
        fuse(m.state, "(b.many.{i} + b.more.{i}) b.after -> b.out")


def window(m, side, images=2):
    pixels = side**2
    m.conv("fc", images * pixels, pixels, 1, 1)
    m.norm("fc_bn", images)
    m.conv("conv", images, 1, 3, 3)
    m.norm("conv_bn", images)


def test_pixels_of_windows_as_channels(fuse):
    """RepMLP: a layer over all pixels of a window, and a convolution over the same window."""
    m = Maker()
    window(m, 4)
    fused = fuse(m.state, "fc[window] fc_bn + conv conv_bn -> fc")
    assert set(fused) == {"fc.weight", "fc.bias"}
    t = {k: v.astype(float) for k, v in m.state.items()}
    (s, shift), (r, more) = exact(m.state, "fc_bn"), exact(m.state, "conv_bn")
    kernel = t["fc.weight"].reshape(2, 16, 16) * s.reshape(2, 1, 1)
    padded = np.zeros((2, 6, 6, 4, 4))  # every pixel of a window, seen from every other one
    for a in range(4):
        for b in range(4):
            padded[:, a + 1, b + 1, a, b] = 1
    for y in range(4):
        for x in range(4):
            seen = padded[:, y : y + 3, x : x + 3]
            taps = t["conv.weight"].reshape(2, 3, 3, 1, 1) * r.reshape(2, 1, 1, 1, 1)
            kernel[:, 4 * y + x] += (seen * taps).sum((1, 2)).reshape(2, 16)
    assert np.allclose(fused["fc.weight"].reshape(2, 16, 16), kernel, rtol=1e-6, atol=1e-6)
    assert np.allclose(fused["fc.bias"], (shift + more).repeat(16), rtol=1e-6, atol=1e-6)


def test_windows_have_to_be_square(fuse):
    m = Maker()
    m.conv("fc", 12, 6, 1, 1)
    m.norm("fc_bn", 2)
    with pytest.raises(reparam.PlanError, match="pixels of a square window"):
        fuse(m.state, "fc[window] fc_bn -> fc")
