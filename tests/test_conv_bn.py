"""The recipe of last resort fuses only files in which every norm has one place to go."""

import numpy as np
import pytest
from families.conv_bn import sample
from families.plain import repvgg
from families.sample import Maker

import reparam
from reparam.errors import PlanError


def pair(m, block, out, into, k=3, names=("conv", "bn")):
    m.conv(f"{block}.{names[0]}", out, into, k, k)
    m.norm(f"{block}.{names[1]}", out)


def settled():
    """A file whose norms can only follow: `b` takes more channels than it gives."""
    m = Maker()
    pair(m, "a", 8, 3)
    pair(m, "b", 4, 8, 1)
    return m


def refusal(m, **said):
    with pytest.raises(PlanError) as refused:
        reparam.fuse_state_dict(m.state, **{"recipe": "conv-bn", "eps": 1e-5} | said)
    return str(refused.value)


def made(m):
    fused = reparam.fuse_state_dict(m.state, recipe="conv-bn", eps=1e-5)
    assert not any("running" in name for name in fused)
    assert fused.keys() - m.state.keys() == {k for k in fused if k.endswith(".bias")} - set(m.state)
    return {k.removesuffix(".bias") for k in fused.keys() - m.state.keys()}


def test_it_is_never_used_unnamed():
    message = refusal(settled(), recipe=None)
    assert "--recipe conv-bn" in message
    assert "no recipe claims" in message


def test_it_asks_for_eps():
    assert "Say it with --eps" in refusal(settled(), eps=None)


def test_layers_without_a_norm_are_copied():
    m = settled()
    for name in ("c.conv", "d.conv", "e.linear", "f.0", "f.1", "g.convolution", "h.c"):
        m.conv(name, 4, 4, *() if name == "e.linear" else (1, 1), bias=name != "d.conv")
    assert made(m) == {"a.conv", "b.conv"}


def test_sequentials_are_read_by_their_numbers():
    m = Maker()
    for first, into in ((0, 3), (3, 4), (6, 4)):  # norms at 1, 4, 7, activations at 2, 5, 8
        m.conv(f"net.{first}", 4, into, 1, 1)
        m.norm(f"net.{first + 1}", 4)
    pair(m, "net.12", 2, 4)
    m.conv("net.9", 5, 4, 1, 1, bias=True)
    assert made(m) == {"net.0", "net.3", "net.6", "net.12.conv"}
    root = Maker()
    root.state = {k.removeprefix("net."): v for k, v in m.state.items()}
    assert made(root) == {"0", "3", "6", "12.conv"}


def test_names_may_differ_within_a_file():
    known = sample()
    assert {"conv", "c", "linear", "convolution"} <= {n.rpartition(".")[2] for n in known.makes}
    m = Maker()
    m.state = known.state
    assert made(m) | {"tail.3"} == set(known.makes)


# --- what looks like pairs and may be something else --------------------------------------------


def named_norm_first():
    m = Maker()
    for i in range(3):
        m.norm(f"layers.{i}.bn", 8)
        m.conv(f"layers.{i}.conv", 8, 8, 3, 3)
    return m


def numbered_norm_first():
    m = Maker()
    for i in (0, 3, 6):  # norm, activation, convolution
        m.norm(f"net.{i}", 8)
        m.conv(f"net.{i + 2}", 8, 8, 3, 3)
    return m


def norm_first_that_narrows():
    m = Maker()
    m.norm("a.bn", 8)
    m.conv("a.conv", 4, 8, 1, 1)
    return m


def list_of_equal_layers():
    m = Maker()
    for i in range(3):
        m.conv(f"layers.{2 * i}", 8, 8, 3, 3)
        m.norm(f"layers.{2 * i + 1}", 8)
    return m


def norm_outside(name="norm"):
    m = settled()
    m.norm(name, 4)
    return m


def activation_between():
    m = settled()
    m.conv("net.0", 4, 4, 3, 3)
    m.norm("net.2", 4)
    return m


def lists_side_by_side():
    m = settled()
    for i in range(2):
        m.conv(f"convs.{i}", 4, 4, 3, 3)
        m.norm(f"norms.{i}", 4)
    return m


def two_convolutions_before_a_norm():
    m = settled()
    m.conv("net.0", 4, 1, 3, 3)
    m.conv("net.1", 4, 4, 1, 1)
    m.norm("net.2", 4)
    return m


def parallel_branch(name="conv1"):
    m = settled()
    pair(m, "c", 4, 4)
    m.conv(f"c.{name}", 4, 4, 1, 1)
    return m


def parallel_pair():
    m = settled()
    pair(m, "c", 4, 4)
    pair(m, "c.branch", 4, 4, 1)
    return m


def normed_sum():
    """QARepVGG: a norm after the sum of branches, which have norms of their own."""
    m = settled()
    pair(m, "c.dense", 4, 4)
    m.conv("c.point", 4, 4, 1, 1)
    m.norm("c.bn", 4)
    return m


def two_norms(name="norm"):
    m = settled()
    pair(m, "c", 4, 4)
    m.norm(f"c.{name}", 4)
    return m


def two_layers():
    m = settled()
    pair(m, "c", 4, 4)
    m.conv("c.linear", 4, 4)
    return m


def norms_for_every_domain():
    m = settled()
    m.conv("c.conv", 4, 4, 3, 3)
    for i in range(2):
        m.norm(f"c.bn.{i}", 4)
    return m


def other_tensors_in_a_block():
    m = settled()
    pair(m, "c", 4, 4)
    m.vector("c.gamma", 4)
    return m


def other_layers_in_a_block():
    m = settled()
    pair(m, "c", 4, 4)
    m.conv("c.attention.query", 4, 4, bias=True)
    return m


def other_children_of_a_sequential():
    m = settled()
    m.conv("net.0", 4, 4, 3, 3)
    m.norm("net.1", 4)
    m.vector("net.scale", 4)
    return m


def layer_norm():
    m = settled()
    m.conv("c.linear", 4, 4)
    m.add("c.norm.weight", np.ones(4))
    m.add("c.norm.bias", np.ones(4))
    return m


def reparametrized(suffix):
    m = settled()
    pair(m, "c", 4, 4)
    m.state[f"c.conv.{suffix}"] = m.state.pop("c.conv.weight")
    return m


def transposed(name="conv", k=2):
    m = settled()
    if name == "conv":
        pair(m, "up", 4, 4, k)
    else:
        m.conv("up.0", 4, 4, k, k)
        m.norm("up.1", 4)
    return m


def transposed_that_changes_the_width():
    m = settled()
    m.conv("up.conv", 8, 4, 3, 3)  # 8 in, 4 out
    m.norm("up.bn", 4)
    return m


def known_family():
    """RepVGG's branches are pairs, its identity is not."""
    m = Maker()
    m.state = repvgg("official")
    return m


FIRST = "may stand before their layers"
UNREAD = "that no line reads"
BESIDE = "stands beside"
EVEN = "expected odd sizes"


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (named_norm_first, FIRST),
        (list_of_equal_layers, FIRST),
        (numbered_norm_first, "no recipe claims"),
        (norm_first_that_narrows, "it may stand before it"),
        (norm_outside, "no 'conv'"),
        (lambda: norm_outside("head.bn"), "no 'conv'"),
        (lambda: norm_outside("c.bn2"), UNREAD),
        (activation_between, "a ReLU?"),
        (lists_side_by_side, "norms"),
        (two_convolutions_before_a_norm, "is a convolution where a norm is expected"),
        (parallel_branch, "c.conv1.weight"),
        (lambda: parallel_branch("branch.conv"), "c.branch.conv.weight"),
        (parallel_pair, "c.branch.bn.bias"),
        (normed_sum, "no 'conv'"),
        (two_norms, BESIDE),
        (lambda: two_norms("bn2"), BESIDE),
        (two_layers, BESIDE),
        (norms_for_every_domain, "c.bn"),
        (other_tensors_in_a_block, BESIDE),
        (other_layers_in_a_block, BESIDE),
        (other_children_of_a_sequential, BESIDE),
        (layer_norm, "layer norms cannot be fused"),
        (lambda: reparametrized("weight_v"), "no convolution or linear layer"),
        (lambda: reparametrized("parametrizations.weight.original"), "no 'conv'"),
        (transposed, EVEN),
        (lambda: transposed(k=4), EVEN),
        (lambda: transposed("0"), EVEN),
        (transposed_that_changes_the_width, "channels where 8 come in"),
        (known_family, UNREAD),
    ],
)
def test_whatever_may_be_read_in_two_ways_is_refused(build, reason):
    assert reason in refusal(build())


def test_one_layer_of_many_inputs_settles_the_order():
    m = named_norm_first()
    pair(m, "last", 4, 8, 1)
    assert len(made(m)) == 4


def test_fused_files_are_not_fused_again():
    fused = reparam.fuse_state_dict(settled().state, recipe="conv-bn", eps=1e-5)
    m = Maker()
    m.state = fused
    assert "already in deploy form" in refusal(m)


def test_half_fused_files_are_fused_to_the_end():
    m = settled()
    whole = reparam.fuse_state_dict(m.state, recipe="conv-bn", eps=1e-5)
    half = {k: v for k, v in m.state.items() if not k.startswith("a.")}
    half |= {k: v for k, v in whole.items() if k.startswith("a.")}
    again = reparam.fuse_state_dict(half, recipe="conv-bn", eps=1e-5)
    assert all(np.array_equal(again[k], whole[k]) for k in whole)
