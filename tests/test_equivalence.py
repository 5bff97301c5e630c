"""`assert_equivalent` passes for what computes the same, and says what differs otherwise."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from families import FAMILIES
from hypothesis import given
from hypothesis import strategies as st
from ml_dtypes import bfloat16
from safetensors.numpy import save_file

from reparam import ReparamError, fuse_state_dict
from reparam.errors import RecipeError
from reparam.library import find_recipes
from reparam.recipe_toml import recipe_of_lines
from reparam.testing import assert_equivalent, branch_trees, state_dicts
from reparam.testing.equivalence import as_array

EPS = 2.0**-10
LINE = "conv bn + point[kernel=1] point_bn + identity? -> fused"


def norm(rng, name, width):
    return {
        f"{name}.weight": rng.normal(size=width),
        f"{name}.bias": rng.normal(size=width),
        f"{name}.running_mean": rng.normal(size=width),
        f"{name}.running_var": rng.uniform(0.5, 2, size=width),
    }


def block(prefix=""):
    """A block that no recipe knows by these names."""
    rng = np.random.default_rng(0)
    tensors = {"conv.weight": rng.normal(size=(4, 4, 3, 3))}
    tensors |= {"point.weight": rng.normal(size=(4, 4, 1, 1))}
    for name in ("bn", "point_bn", "identity"):
        tensors |= norm(rng, name, 4)
    return {prefix + name: values.astype(np.float32) for name, values in tensors.items()}


def by_hand(tensors, eps=EPS, *, identity=True, dtype=np.float64):
    """What the block fuses to, as people write it."""
    t = {name: values.astype(dtype) for name, values in tensors.items()}
    kernel, bias = np.zeros((4, 4, 3, 3), dtype), np.zeros(4, dtype)
    eye = np.eye(4, dtype=dtype)[:, :, None, None]
    for taps, bn in ((t["conv.weight"], "bn"), (t["point.weight"], "point_bn"), (eye, "identity")):
        if bn == "identity" and not identity:
            continue
        scale = t[f"{bn}.weight"] / np.sqrt(t[f"{bn}.running_var"] + dtype(eps))
        edge = (3 - taps.shape[-1]) // 2
        kernel += np.pad(taps, [(0, 0)] * 2 + [(edge, edge)] * 2) * scale[:, None, None, None]
        bias += t[f"{bn}.bias"] - t[f"{bn}.running_mean"] * scale
    return {"fused.weight": kernel.astype(np.float32), "fused.bias": bias.astype(np.float32)}


def message(*given, **options):
    with pytest.raises(AssertionError, match="do not compute the same function") as caught:
        assert_equivalent(*given, **options)
    return str(caught.value)


def test_a_block_of_ones_own_by_its_line():
    assert_equivalent(block(), by_hand(block()), lines=LINE, eps=EPS)


def test_a_block_anywhere_and_many_times():
    prefixes = ["", "a.", "model.blocks.0.", "model.blocks.1."]
    for some in (prefixes[:1], prefixes[1:]):
        before = {k: v for p in some for k, v in block(p).items()}
        after = {p + k: v for p in some for k, v in by_hand(block()).items()}
        assert_equivalent(before, after, lines=[LINE], eps=EPS)


def test_lines_of_one_block():
    before = block() | {"last.weight": np.ones((2, 4, 1, 1), np.float32), "skip.bias": np.ones(2)}
    before["skip.weight"] = np.ones((2, 4, 1, 1), np.float32)
    after = by_hand(block()) | {"last.weight": np.full((2, 4, 1, 1), 2, np.float32)}
    after["last.bias"] = np.ones(2, np.float32)
    both = [LINE, "last[kernel=1] + skip[kernel=1]"]
    assert_equivalent(before, after, lines=both, eps=EPS)
    assert "last" in message(before, after | {"last.bias": np.zeros(2)}, lines=both, eps=EPS)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda t: by_hand(t, 1e-3), "eps=0.001"),
        (lambda t: by_hand(t, identity=False), "identity"),
        (
            lambda t: by_hand(t) | {"fused.bias": by_hand(t)["fused.bias"] + np.float32(1e-4)},
            "bias",
        ),
        (lambda t: {"fused.weight": by_hand(t)["fused.weight"]}, "fused.bias"),
        (lambda t: by_hand(t) | {"more.weight": np.ones(3)}, "more.weight"),
        (lambda t: {k: v[::-1] for k, v in by_hand(t).items()}, "fused.weight"),
    ],
)
def test_a_wrong_block_is_told_and_where(wrong, says):
    assert says in message(block(), wrong(block()), lines=LINE, eps=EPS)


def test_one_unit_in_the_last_place_is_too_much():
    after = by_hand(block())
    values = after["fused.weight"]
    values[1, 2, 0, 1] = np.nextafter(np.nextafter(values[1, 2, 0, 1], np.inf), np.inf)
    assert "weight[1, 2, 0, 1]" in message(block(), after, lines=LINE, eps=EPS)


def test_lower_precision_is_accepted_where_it_is_said():
    after = by_hand(block(), dtype=np.float32)
    message(block(), after, lines=LINE, eps=EPS)
    assert_equivalent(block(), after, lines=LINE, eps=EPS, max_rho=1e-6)
    message(block(), after, lines=LINE, eps=EPS, max_rho=1e-9)


def test_a_family_is_found_without_a_recipe():
    state = FAMILIES["repvgg", "official"].state
    deploy = fuse_state_dict(state)
    assert_equivalent(state, deploy)
    assert_equivalent(state, deploy, recipe="repvgg")
    assert_equivalent(state, deploy, recipe=find_recipes("repvgg"))
    message(state, fuse_state_dict(state, eps=1e-3))
    assert_equivalent(state, fuse_state_dict(state, eps=1e-3), eps=1e-3)


def test_files(tmp_path):
    save_file(block(), tmp_path / "train.safetensors")
    save_file(by_hand(block()), tmp_path / "deploy.safetensors")
    train, deploy = tmp_path / "train.safetensors", str(tmp_path / "deploy.safetensors")
    assert_equivalent(train, deploy, lines=LINE, eps=EPS)
    assert_equivalent(train, by_hand(block()), lines=LINE, eps=EPS)
    assert "deploy.safetensors" in message(train, deploy, lines=LINE, eps=1e-5)


@given(st.data())
def test_trees_and_their_folds(data):
    tree = data.draw(branch_trees())
    conv = tree.fold()
    after = {"fused.weight": conv.kernel.astype(np.float32)}
    fused = fuse_state_dict(tree.tensors, recipe=recipe_of_lines([tree.line], 0.0))
    if "fused.bias" in fused:
        after["fused.bias"] = conv.bias.astype(np.float32)
    assert_equivalent(tree.tensors, after, lines=tree.line, eps=0.0)
    after["fused.weight"][-1] += 0.125
    message(tree.tensors, after, lines=tree.line, eps=0.0)


@given(state_dicts("mobileone", "timm"))
def test_state_dicts_and_what_is_made_of_them(state):
    fused = fuse_state_dict(state, recipe="mobileone", eps=EPS)
    assert_equivalent(state, fused, recipe="mobileone", eps=EPS)


# --- what is no NumPy array ---------------------------------------------------------------------


class Tensor:
    """As PyTorch's: on a device, with gradients."""

    def __init__(self, values, *, ready=()):
        self.values, self.ready, self.dtype = values, ready, values.dtype

    def detach(self):
        return Tensor(self.values, ready=(*self.ready, "detached"))

    def cpu(self):
        return Tensor(self.values, ready=(*self.ready, "here"))

    def __array__(self, dtype=None, copy=None):
        if self.ready != ("detached", "here"):
            raise RuntimeError("Can't call numpy() on Tensor that requires grad.")
        return self.values


def test_tensors_of_frameworks():
    before = {name: Tensor(values) for name, values in block().items()}
    after = {name: Tensor(values) for name, values in by_hand(block()).items()}
    assert_equivalent(before, after, lines=LINE, eps=EPS)


class Brain:
    """A tensor in bfloat16, which NumPy cannot read but as integers."""

    dtype = "torch.bfloat16"

    def __init__(self, bits):
        self.bits = bits

    def view(self, dtype):
        assert dtype == "int16"
        return SimpleNamespace(numpy=lambda: self.bits)


def test_bfloat16(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(int16="int16"))
    values = np.array([1.0, -0.15625, 3e38], bfloat16)
    found = as_array(Brain(values.view(np.int16)), "x")
    assert found.dtype == bfloat16
    assert found.tobytes() == values.tobytes()


def test_a_tensor_that_refuses_is_named():
    class Elsewhere:
        def __array__(self, dtype=None, copy=None):
            raise RuntimeError("meta tensors have no data")

    with pytest.raises(TypeError, match=r"a\.weight: no array, a Elsewhere: meta"):
        assert_equivalent({"a.weight": Elsewhere()}, {}, lines=LINE, eps=EPS)


@pytest.mark.parametrize("value", ["text", object(), [["a"]], None])
def test_what_holds_no_numbers_is_named(value):
    with pytest.raises(TypeError, match=r"^a\.weight: no array of numbers, a "):
        assert_equivalent({"a.weight": value}, {}, lines=LINE, eps=EPS)


@pytest.mark.parametrize("source", [3, None, [np.ones(3)]])
@pytest.mark.parametrize("order", [1, -1])
def test_what_is_no_checkpoint_is_refused(source, order):
    given = [source, block()][::order]
    with pytest.raises(TypeError, match="expected a path or a mapping"):
        assert_equivalent(*given, lines=LINE, eps=EPS)


def test_recipe_and_lines_are_two_ways_to_say_one_thing():
    with pytest.raises(TypeError, match="give one of them"):
        assert_equivalent(block(), by_hand(block()), recipe="repvgg", lines=LINE)


@pytest.mark.parametrize("lines", ["conv bn +", ["conv bn", "a + ? b"], "id -> fused", []])
def test_lines_that_cannot_be_read(lines):
    with pytest.raises(RecipeError, match="lines"):
        assert_equivalent(block(), by_hand(block()), lines=lines, eps=EPS)


def test_eps_must_be_said_where_there_are_norms():
    with pytest.raises(ReparamError, match="eps"):
        assert_equivalent(block(), by_hand(block()), lines=LINE)
    before = {"a.weight": np.ones((2, 2)), "b.weight": np.ones((2, 2))}
    assert_equivalent(before, {"a.weight": np.full((2, 2), 2.0)}, lines="a + b")


@pytest.mark.parametrize(
    ("said", "what"), [({"recipe": "repvgg"}, "the recipe"), ({"lines": LINE, "eps": EPS}, "lines")]
)
def test_nothing_to_fuse_is_no_proof(said, what):
    """A name that is misspelt on one side would pass for ever."""
    same = {"other.weight": np.ones((3, 3))}
    assert_equivalent(same, same)
    with pytest.raises(AssertionError, match=f"{what} would fuse nothing in BEFORE"):
        assert_equivalent(same, same, **said)
