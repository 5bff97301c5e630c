"""Lines of a recipe and the layers they meet: numbers, results, channels, windows."""

import pytest
from families.sample import Maker
from rules import kinds, made, net, pairs, plan, recipe, refused

from reparam import operations as ops

# --- numbered branches --------------------------------------------------------------------------

MANY = [layer for i in (0, 2, 11) for layer in (f"b.c.{i} 4x4x3x3", f"b.n.{i} 4")]


@pytest.mark.parametrize(
    ("line", "expression"),
    [
        ("c.{i} n.{i} -> rep", "c.0 n.0 + c.2 n.2 + c.11 n.11"),
        ("id - c.{i} n.{i} -> rep", "id - c.0 n.0 - c.2 n.2 - c.11 n.11"),
        ("c.0 n.0 + c.{i+1} n.{i+1} -> rep", "c.0 n.0 + c.2 n.2 + c.11 n.11"),
        ("(c.{i} n.{i}) 0.5 -> rep", "(c.0 n.0 + c.2 n.2 + c.11 n.11) 0.5"),
        ("(id + c.{i} n.{i}) 0.5 -> rep", "(id + c.0 n.0 + c.2 n.2 + c.11 n.11) 0.5"),
        ("c.0 + (d.{i} n.{i})? -> rep", "c.0"),
        ("c.0 + (c.{i+2} n.{i+2})? -> rep", "c.0 + (c.2 n.2 + c.11 n.11)"),
        ("2.0 c.{i} n.{i} -> rep", "2.0 c.0 n.0 + 2.0 c.2 n.2 + 2.0 c.11 n.11"),
    ],
)
def test_a_numbered_branch_is_summed_where_it_stands(line, expression):
    (fusion,) = plan(net(*MANY), kinds(line)).fusions
    assert fusion.expression == expression


def test_numbers_and_what_is_added_to_them_agree():
    state = net(*(x for i in (1, 2) for x in (f"b.c{i} 4x4x3x3", f"b.n{i - 1} 4")))
    expected = {"b.c1": "c1 n0", "b.c2": "c2 n1"}
    assert made(state, kinds("c{i+1} n{i} -> c{i+1}")) == expected
    state = net("f.0 4x4x3x3", "f.1 4", "f.2 4x4x3x3", "f.3 4")
    expected = {"f.0": "0 1", "f.2": "2 3"}
    found = made(state, kinds("{n} {n+1} -> {n}", at="f"))
    assert {k: v.replace("'", "") for k, v in found.items()} == expected


def test_branches_with_two_numbers_and_attributes():
    layers = ["b.big 4x1x5x5", "b.k3_1 4x1x3x3", "b.k3_2 4x1x3x3", "b.k5_1 4x1x5x5", "b.bn 4"]
    line = "(big[groups=4] + k{k}_{r}[kernel={k}, dilation={r}]) bn -> big"
    (found,) = made(net(*layers), kinds(line)).values()
    assert "k3_1[kernel=3, dilation=1] + k3_2[kernel=3, dilation=2] + k5_1[kernel=5" in found
    message = refused(net(*layers, "b.k7_1 4x1x3x3"), kinds(line))
    assert "b.k7_1: kernel 3x3, expected 7" in message


def test_a_numbered_branch_without_a_number_is_dropped_unless_it_is_the_last():
    line = "one + many.{i} + skip -> rep"
    assert made(net("b.one 4x4x1x1", "b.skip 4"), kinds(line)) == {"b.rep": "one + skip"}
    line = "(many.{i} + more.{i}) skip -> rep"
    message = refused(net("b.skip 4"), kinds(line))
    assert "b: has 'skip' but no 'a branch of it'" in message
    message = refused(net("b.skip 4"), kinds("many.{i} skip -> rep"))
    assert "b: none of many.{i}, skip" in message


@pytest.mark.parametrize("line", ["(c.{i} n.{i})? + id -> rep", "x? + c.0? + c.{i+2}? -> rep"])
def test_a_line_of_which_all_may_be_absent_is_found_by_what_is_there(line):
    (fusion,) = plan(net(*MANY), kinds(line)).fusions
    assert fusion.name == "b.rep"
    assert "c.0" in fusion.expression
    assert "c.11" in fusion.expression


def test_a_numbered_branch_that_is_there_in_part_is_refused():
    state = net(*MANY, "b.c.3 4x4x3x3")
    assert "b: has 'c.0' but no 'n.3'" in refused(state, kinds("c.{i} n.{i} -> rep"))


def test_parts_that_may_be_absent_are_absent_as_a_whole():
    line = "one + (two norm)? + three? -> rep"
    assert made(net("b.one 4x4x1x1"), kinds(line)) == {"b.rep": "one"}
    assert made(net("b.one 4x4x1x1", "b.three 4"), kinds(line)) == {"b.rep": "one + three"}
    state = net("b.one 4x4x1x1", "b.two 4x4x1x1", "b.norm 4")
    assert made(state, kinds(line)) == {"b.rep": "one + two norm"}
    message = refused(net("b.one 4x4x1x1", "b.two 4x4x1x1"), kinds(line))
    assert "b: has 'one' but no 'norm'" in message
    found = made(net("b.one 4x4x1x1"), kinds("- one + two? -> rep"))
    assert found == {"b.rep": "- one"}


# --- results and what stands in their place -----------------------------------------------------


def test_the_result_takes_the_place_of_its_block():
    done = plan(net("a.stem.c 4x3x3x3", "a.stem.bn 4", "a.head 4x4"), kinds("c bn -> ."))
    done.check()
    assert sorted(done.outputs) == ["a.head.weight", "a.stem.bias", "a.stem.weight"]
    assert done.made == {"a.stem": ("a.stem.c", "a.stem.bn")}


def test_a_block_that_keeps_other_layers_may_collapse_too():
    text = '[[spelling.block]]\nfuse = ["c bn -> ."]\nbeside = ["act"]\n'
    done = plan(net("a.c 4x3x3x3", "a.bn 4", "a.act.p 4x4"), recipe(text))
    done.check()
    assert sorted(done.outputs) == ["a.act.p.weight", "a.bias", "a.weight"]


def test_the_result_may_be_a_part_of_the_path_of_its_layers():
    line = "cheap.0 cheap.1 + fusion.0 -> cheap"
    state = net("b.cheap.0 4x1x3x3", "b.cheap.1 4", "b.fusion.0 4")
    done = plan(state, kinds(line))
    done.check()
    assert sorted(done.outputs) == ["b.cheap.bias", "b.cheap.weight"]
    assert ops.inputs(done.fusions[0].op) == 4  # the norm beside tells that it is depthwise


def test_the_whole_file_is_no_block_to_take_the_place_of():
    message = refused(net("c 4x3x3x3", "bn 4"), kinds("c bn -> ."))
    assert "the result would take the place of the whole file" in message


def placeholder(*layers):
    return net(*pairs("a.one", "a.two"), *layers)


LINE = "one.conv one.bn + two.conv two.bn -> rep"


def test_a_placeholder_is_recomputed():
    done = plan(placeholder("a.rep 4x4x3x3 bias"), kinds(LINE))
    done.check()
    assert sorted(done.outputs) == ["a.rep.bias", "a.rep.weight"]
    assert done.notes == (
        "a.rep: placeholder deploy weights stood beside the branches; recomputed from them",
    )
    assert {"a.rep.weight", "a.rep.bias"} <= set(done.fusions[0].reads)


def test_a_placeholder_without_a_bias_is_one():
    done = plan(placeholder("a.rep 4x4x3x3"), kinds(LINE))
    done.check()
    assert sorted(done.outputs) == ["a.rep.bias", "a.rep.weight"]


@pytest.mark.parametrize(
    ("layer", "what"),
    [
        ("a.rep 4x4x5x5", "a.rep.weight"),  # another kernel
        ("a.rep 4x4", "a.rep.weight"),
        ("a.rep 4", "a.rep.bias"),  # a norm
        ("a.rep.0 4x4x3x3", "a.rep.0.weight"),  # a layer below
    ],
)
def test_what_is_no_placeholder_is_not_overwritten(layer, what):
    message = refused(placeholder(layer), kinds(LINE))
    assert f"'a.rep' would take the place of '{what}', which is no placeholder" in message


def test_a_placeholder_with_more_tensors_is_none():
    state = placeholder("a.rep 4x4x3x3 bias") | {"a.rep.z": net("z 4")["z.bias"]}
    assert "would take the place of" in refused(state, kinds(LINE))


def test_a_bare_tensor_of_the_name_of_the_result_is_not_below_it():
    state = placeholder() | {"a.repeat": net("z 4")["z.bias"], "a.rep2": net("z 4")["z.bias"]}
    assert plan(state, kinds(LINE)).notes == ()


def test_a_placeholder_in_the_place_of_a_block_leaves_the_layers_below():
    text = '[[spelling.block]]\nfuse = ["c bn -> ."]\nbeside = ["act", "weight", "bias"]\n'
    given = recipe(text)
    layers = ["a.c 4x3x3x3", "a.bn 4", "a.act.p 4x4"]
    done = plan(net(*layers, "a 4x3x3x3 bias"), given)
    assert sorted(done.outputs) == ["a.act.p.weight", "a.bias", "a.weight"]
    assert "placeholder" in done.notes[0]
    message = refused(net(*layers, "a 4x3x1x1 bias"), given)
    assert "'a' would take the place of 'a.weight'" in message


# --- how many channels come in ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "layers", "inputs"),
    [
        # nothing tells: not grouped
        ("one + two -> rep", ["b.one 8x4x3x3", "b.two 8x4x1x1"], 4),
        ("one bn -> rep", ["b.one 8x4x3x3", "b.bn 8"], 4),
        # an identity has as many inputs as outputs, and so have its neighbours
        ("one + id -> rep", ["b.one 8x4x3x3"], 8),
        ("id + one bn -> rep", ["b.one 8x4x3x3", "b.bn 8"], 8),
        ("one bn + avg 3 -> rep", ["b.one 8x2x3x3", "b.bn 8"], 8),
        ("one bn + skip -> rep", ["b.one 8x4x3x3", "b.bn 8", "b.skip 8"], 8),
        ("one + 0.5 id -> rep", ["b.one 8x4x3x3"], 8),
        ("(one two[kernel=1]) + id -> rep", ["b.one 6x4x3x3", "b.two 8x6x1x1"], 8),
        # a pool in front of a norm, a norm in front of a convolution
        ("avg 3 bn + one -> rep", ["b.one 8x4x3x3", "b.bn 8"], 8),
        ("bn one[kernel=1] -> rep", ["b.bn 8", "b.one 6x4x1x1"], 8),
        ("2.0 bn one[kernel=1] -> rep", ["b.bn 8", "b.one 6x4x1x1"], 8),
        ("0.5 one -> rep", ["b.one 8x4x3x3"], 4),
        ("0.5 one + two -> rep", ["b.one 8x4x3x3", "b.two 8x4x1x1"], 4),
        # groups that the recipe states
        ("one[groups=2] + two -> rep", ["b.one 8x4x3x3", "b.two 8x4x1x1"], 8),
        ("one + two[groups=2] -> rep", ["b.one 8x4x3x3", "b.two 8x4x1x1"], 8),
        ("one[groups=2] bn + id -> rep", ["b.one 8x4x3x3", "b.bn 8"], 8),
        # a branch that changes the number tells nothing about the other
        ("one bn + two norm -> rep", ["b.one 8x4x3x3", "b.bn 8", "b.two 8x4x1x1", "b.norm 8"], 4),
    ],
)
def test_inputs(line, layers, inputs):
    (fusion,) = plan(net(*layers), kinds(line)).fusions
    assert ops.inputs(fusion.op) == inputs


@pytest.mark.parametrize(
    ("line", "layers", "message"),
    [
        ("one[groups=1] + id -> rep", ["b.one 8x4x3x3"], "'id' has 4 outputs but 'one'"),
        ("one + id -> rep", ["b.one 4x8x3x3"], "takes 8 channels with 1 groups but 4 come in"),
        ("one bn + skip -> rep", ["b.one 8x3x3x3", "b.bn 8", "b.skip 8"], "but 8 come in"),
        ("one + two -> rep", ["b.one 8x4x3x3", "b.two 6x4x1x1"], "'two' has 6 outputs but 'one'"),
        ("one + two -> rep", ["b.one 8x4x3x3", "b.two 8x2x1x1"], "'two' has 2 inputs but 'one'"),
        ("one bn -> rep", ["b.one 8x4x3x3", "b.bn 6"], "[6] channels where 8 come in"),
        ("one two -> rep", ["b.one 8x4x3x3", "b.two 8x8x1x1"], "where a norm is expected"),
        ("bn (one two) -> rep", ["b.bn 4", "b.one 4x4x1x1", "b.two 4x4x1x1"], "a norm is expected"),
        ("one bn -> rep", ["b.one 4", "b.bn 4"], "no convolution or linear layer to fuse into"),
        ("one[window] bn -> rep", ["b.one 8x8x1x1", "b.bn 8"], "pixels of a square window"),
        ("one[window] bn -> rep", ["b.one 6x4x1x1", "b.bn 2"], "pixels of a square window"),
        ("one[window] bn -> rep", ["b.one 8x4x3x3", "b.bn 2"], "pixels of a square window"),
        ("one[window] bn -> rep", ["b.one 8x4x1x1", "b.bn 8"], "[8] channels where 2 come in"),
        (
            "one[window] + two -> rep",
            ["b.one 8x4x1x1", "b.two 4x1x3x3"],
            "'two' has 16 outputs but 'one' has 8",
        ),
    ],
)
def test_shapes_that_do_not_compose(line, layers, message):
    assert message in refused(net(*layers), kinds(line))


def vectors(**shapes):
    m = Maker()
    for name, shape in shapes.items():
        m.vector(f"b.{name}", *shape)
    return m.state


def test_bare_tensors_are_factors_unless_marked():
    state = net("b.one 4x4x1x1") | vectors(f=(1, 4, 1, 1), s=(4,), t=(1,))
    (fusion,) = plan(state, kinds("one f s[add] t[add] -> one")).fusions
    assert [type(step).__name__ for step in fusion.op.steps] == [
        *("ConvOp", "ScaleOp", "ShiftOp", "ShiftOp"),
    ]
    assert [step.single for step in fusion.op.steps[1:]] == [False, False, True]
    assert fusion.bias is not None
    (fusion,) = plan(state, kinds("one f -> one")).fusions
    assert fusion.bias is None


@pytest.mark.parametrize(
    ("line", "shape"),
    [
        ("one + f -> rep", (8,)),
        ("f + one -> rep", (1, 8, 1, 1)),
        ("one s + f -> rep", (8, 1, 1)),
        ("f one -> rep", (8,)),
    ],
)
def test_a_factor_per_channel_tells_how_many_come_in(line, shape):
    """As the norm of an identity does."""
    state = net("b.one 8x4x3x3") | vectors(f=shape, s=(8,))
    (fusion,) = plan(state, kinds(line)).fusions
    assert ops.inputs(fusion.op) == 8


@pytest.mark.parametrize("line", ["one + f -> rep", "f one -> rep"])
def test_a_single_factor_tells_nothing(line):
    state = net("b.one 8x4x3x3") | vectors(f=(1,))
    assert "b.f: no neighbour tells how many channels" in refused(state, kinds(line))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((6,), "b.v: 6 numbers where 4 channels come in"),
        ((2, 4), "b.v: shape [2, 4], expected a per-channel vector"),
        ((2, 2), "b.v: shape [2, 2], expected a per-channel vector"),
    ],
)
@pytest.mark.parametrize("mark", ["", "[add]"])
def test_a_bare_tensor_has_a_number_per_channel(mark, shape, message):
    state = net("b.one 4x4x1x1") | vectors(v=shape)
    assert message in refused(state, kinds(f"one v{mark} -> one"))


# --- windows ------------------------------------------------------------------------------------

WINDOWS = "fc[window] fc_bn + one one_bn + two two_bn -> fc"
WINDOWED = ["b.fc 8x4x1x1", "b.fc_bn 2", *("b.one 2x1x3x3", "b.one_bn 2", "b.two 2x1x1x1")]


def test_all_but_the_layer_of_pixels_read_windows():
    (fusion,) = plan(net(*WINDOWED, "b.two_bn 2"), kinds(WINDOWS)).fusions
    pixels, one, two = (term for _, term in fusion.op.terms)
    fc, norm = pixels.steps
    assert (fc.groups, fc.origin) == (2, (0, 0))
    assert (norm.channels, norm.repeat) == (8, 4)
    for branch in (one, two):
        assert (type(branch).__name__, branch.size) == ("WindowOp", (2, 2))
        conv, norm = branch.inner.steps
        assert (conv.groups, norm.channels, norm.repeat) == (2, 2, 1)
    assert (ops.inputs(fusion.op), ops.outputs(fusion.op)) == (8, 8)
    assert fusion.kernel.info.shape == (8, 4, 1, 1)


def test_where_no_neutral_norm_can_be_left_it_is_said():
    line = "one.conv one.bn + two.conv two.bn -> rep"
    state = net(*pairs("a.one", "a.two", "b"), "c.lin 4x4")
    given = kinds(line, "conv bn", "lin 0.5")
    done = plan(state, given, batch_norm="neutral")
    (note,) = done.notes
    assert note.startswith("batch_norm=neutral: 1 fusions (a.rep, …) merge more than")
    assert plan(state, given).notes == ()
    assert plan(net(*pairs("b")), given, batch_norm="neutral").notes == ()


def test_a_norm_of_windows_cannot_carry_a_bias_per_pixel():
    state = net("b.fc 8x4x1x1", "b.fc_bn 2")
    done = plan(state, kinds("fc[window] fc_bn"), batch_norm="neutral")
    assert set(done.outputs) == {"b.fc.weight", "b.fc.bias"}
