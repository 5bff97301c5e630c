"""Every rule by which the blocks of a recipe are found, each on a recipe made up for it."""

import pytest
from rules import header, kinds, made, net, pairs, plan, recipe, refused

from reparam import operations as ops
from reparam.errors import RecipeError
from reparam.match import match_recipe
from reparam.modules import ModuleIndex

# --- several kinds of block at one place --------------------------------------------------------

WIDE = "one.conv[kernel=3] one.bn + two.conv[kernel=1] two.bn -> rep"
TALL = "one.conv[kernel=1] one.bn + two.conv[kernel=3] two.bn -> rep"


@pytest.mark.parametrize("lines", [(WIDE, TALL), (TALL, WIDE)])
def test_kernels_tell_kinds_apart(lines):
    state = net(
        *("a.one.conv 4x4x3x3", "a.one.bn 4", "a.two.conv 4x4x1x1", "a.two.bn 4"),
        *("b.one.conv 4x4x1x1", "b.one.bn 4", "b.two.conv 4x4x3x3", "b.two.bn 4"),
    )
    found = made(state, kinds(*lines))
    assert found == {
        "a.rep": WIDE.removesuffix(" -> rep"),
        "b.rep": TALL.removesuffix(" -> rep"),
    }


@pytest.mark.parametrize(
    ("space", "expected"),
    [
        ("3x3", "odd"),
        ("1x5", "odd"),
        ("1", "odd"),
        ("2x2", "conv bn"),
        ("3x2", "conv bn"),
        ("4x3", "conv bn"),
    ],
)
def test_odd_kernels_are_told_apart(space, expected):
    odd = "conv[kernel=odd] bn"
    found = made(net(f"a.conv 4x4x{space}", "a.bn 4"), kinds(odd, "conv bn"))
    assert found == {"a.conv": odd if expected == "odd" else expected}
    if expected != "odd":
        message = refused(net(f"a.conv 4x4x{space}", "a.bn 4"), kinds(odd))
        assert f"a.conv: kernel {space}, expected odd sizes" in message


def test_an_identity_wherever_the_channels_allow():
    state = net("a.conv 4x4x3x3", "a.bn 4", "b.conv 8x4x3x3", "b.bn 8", "c.conv 4x8x3x3", "c.bn 4")
    found = made(state, kinds("conv[groups=1] bn + id -> conv", "conv bn"))
    assert found == {"a.conv": "conv[groups=1] bn + id", "b.conv": "conv bn", "c.conv": "conv bn"}


def test_without_groups_an_identity_makes_a_dense_kernel_a_grouped_one():
    state = net("b.conv 8x4x3x3", "b.bn 8")
    (fusion,) = plan(state, kinds("conv bn + id -> conv", "conv bn")).fusions
    assert fusion.expression == "conv bn + id"
    assert ops.inputs(fusion.op) == 8


@pytest.mark.parametrize("first", ["conv bn + id", "conv bn", "conv bn + avg 3"])
def test_of_kinds_that_read_the_same_layers_the_first_is_taken(first):
    lines = dict.fromkeys([first, "conv bn + id", "conv bn", "conv bn + avg 3"])
    assert made(net(*pairs("a")), kinds(*lines)) == {"a.conv": first}


def test_of_kinds_that_read_more_or_less_the_one_that_leaves_least_is_taken():
    """A bias of a norm is a tensor too: what counts is what is left over, not how many layers."""
    long = "one.conv one.bn + two.conv two.bn -> rep"
    for lines in (("one.conv one.bn", long), (long, "one.conv one.bn")):
        found = made(net(*pairs("a.one", "a.two")), kinds(*lines))
        assert found == {"a.rep": long.removesuffix(" -> rep")}


def test_what_stands_beside_is_not_left_over():
    """Both kinds fit; the second leaves nothing that the recipe does not expect."""
    state = net(*pairs("a"), "a.gate 4x4 bias")
    first = '[[spelling.block]]\nfuse = ["conv bn + id -> conv"]\n'
    second = '[[spelling.block]]\nfuse = ["conv bn"]\nbeside = ["gate"]\n'
    assert made(state, recipe(first + second)) == {"a.conv": "conv bn"}


def test_a_norm_that_stays_is_not_left_over():
    state = net(*pairs("a"), "a.last 4")
    first = '[[spelling.block]]\nfuse = ["conv bn + id -> conv"]\n'
    second = '[[spelling.block]]\nfuse = ["conv bn"]\nkeep = [{ norm = "last", why = "so" }]\n'
    assert made(state, recipe(first + second)) == {"a.conv": "conv bn"}


def test_two_kinds_that_read_different_layers_equally_well_are_a_problem():
    text = '[[spelling.block]]\nfuse = ["{0}.conv {0}.bn"]\nbeside = ["one", "two"]\n'
    both = recipe(text.format("one") + text.format("two"))
    message = refused(net(*pairs("a.one", "a.two")), both)
    assert "a.: two kinds of block of this spelling fit equally well" in message
    assert "with one.conv and with two.conv" in message


def test_a_kind_of_wrong_shapes_that_would_explain_more_is_reported():
    """The 3x3 convolutions follow each other: nothing says that the second is not used."""
    whole = "one.conv one.bn + two.conv[kernel=1] two.bn -> rep"
    lines = (whole, "one.conv one.bn")
    for given in (lines, lines[::-1]):
        message = refused(net(*pairs("a.one", "a.two")), kinds(*given))
        assert "a.two.conv: kernel 3x3, expected 1" in message


@pytest.mark.parametrize("order", [1, -1])
def test_a_kind_of_wrong_shapes_that_would_explain_no_more_is_not(order):
    equal = ("conv[kernel=1] bn", "conv bn")
    assert made(net(*pairs("a")), kinds(*equal[::order])) == {"a.conv": "conv bn"}
    less = ("one.conv[kernel=1] one.bn", "one.conv one.bn + two.conv two.bn -> rep")
    found = made(net(*pairs("a.one", "a.two")), kinds(*less[::order]))
    assert found == {"a.rep": "one.conv one.bn + two.conv two.bn"}


def test_a_kind_of_wrong_names_is_not_reported_where_another_fits():
    lines = ("conv bn + point.conv point.bn -> rep", "conv bn")
    state = net(*pairs("a", "b", "b.point"))
    assert made(state, kinds(*lines)) == {
        "a.conv": "conv bn",
        "b.rep": "conv bn + point.conv point.bn",
    }


@pytest.mark.parametrize("order", [1, -1])
def test_at_the_root_the_kind_that_reads_most_is_taken(order):
    lines = ("conv bn", "conv bn + skip -> conv")
    both = kinds(*lines[::order], at="")
    assert made(net("conv 4x4x3x3", "bn 4", "skip 4"), both) == {"conv": "conv bn + skip"}
    assert made(net("conv 4x4x3x3", "bn 4"), both) == {"conv": "conv bn"}


def test_every_line_of_a_kind_has_to_be_there():
    text = '[[spelling.block]]\nfuse = ["conv bn", "more norm"]\n'
    assert "a: none of more, norm" in refused(net(*pairs("a")), recipe(text))


def test_lines_that_may_be_absent_count_for_a_kind():
    text = """
        [[spelling.block]]
        fuse = ["conv bn"]
        maybe = ["more norm", "none nothing"]
        [[spelling.block]]
        fuse = ["conv bn + id -> conv"]
        """
    found = made(net(*pairs("a", "b"), "a.more 4x4x1x1", "a.norm 4"), recipe(text))
    assert found == {"a.conv": "conv bn", "a.more": "more norm", "b.conv": "conv bn"}


def test_kinds_at_the_root_do_not_compete_with_others():
    text = """
        [[spelling.block]]
        at = ""
        fuse = ["conv1 bn1 + id -> conv1"]
        [[spelling.block]]
        at = "**"
        fuse = ["conv{n} bn{n} -> conv{n}"]
        """
    layers = [layer for n in (1, 2, 3) for layer in (f"conv{n} 4x4x3x3", f"bn{n} 4")]
    found = made(net(*layers), recipe(text))
    assert found == {"conv1": "conv1 bn1 + id", "conv2": "conv2 bn2", "conv3": "conv3 bn3"}


# --- kinds at different places that want the same layers ----------------------------------------

REP = "dense.conv dense.bn + point.conv[kernel=1] point.bn -> fused"
REP_BLOCK = [
    *("body.dense.conv 4x4x3x3", "body.dense.bn 4"),
    *("body.point.conv 4x4x1x1", "body.point.bn 4"),
]


def test_what_an_earlier_kind_reads_a_later_one_leaves():
    found = made(net(*REP_BLOCK, *pairs("stem")), kinds(REP, "conv bn"))
    assert found == {"body.fused": REP.removesuffix(" -> fused"), "stem.conv": "conv bn"}


def test_the_order_of_kinds_decides_who_reads():
    found = made(net(*REP_BLOCK, *pairs("stem")), kinds("conv bn", REP))
    assert found == dict.fromkeys(["body.dense.conv", "body.point.conv", "stem.conv"], "conv bn")


def test_a_layer_that_two_kinds_read_in_part_is_a_problem():
    message = refused(
        net("a.x.conv 4x4x3x3", "a.x.bn 4", "a.tail 4"),
        kinds("conv bn", "x.conv x.bn tail"),
    )
    assert "a: 'a.x.bn' is read by two kinds of block" in message


def test_a_later_kind_keeps_its_other_lines():
    text = """
        [[spelling.block]]
        fuse = ["conv bn"]
        [[spelling.block]]
        fuse = ["x.conv x.bn", "own last"]
        """
    found = made(net(*pairs("a.x"), "a.own 4x4x3x3", "a.last 4"), recipe(text))
    assert found == {"a.x.conv": "conv bn", "a.own": "own last"}


def test_a_layer_that_two_lines_of_one_kind_read_has_to_be_shared():
    text = '[[spelling.block]]\nfuse = ["one bn", "two bn"]\n'
    state = net("a.one 4x4x3x3", "a.two 4x4x3x3", "a.bn 4")
    assert "layer 'a.bn' is read by two fusions, a.one and a.two" in refused(state, recipe(text))
    assert len(made(state, recipe(text + 'shared = ["bn"]\n'))) == 2


# --- blocks that are there in part --------------------------------------------------------------


@pytest.mark.parametrize("left", ["b.conv 4x4x3x3", "b.bn 4"])
def test_a_torso_is_refused(left):
    message = refused(net(*pairs("a"), left), kinds("conv bn"))
    name, other = ("conv", "bn") if "conv" in left else ("bn", "conv")
    assert f"b: has '{name}' but no '{other}'" in message


def test_a_torso_of_layers_that_others_read_is_none():
    """`x.bn` stands behind `x.conv` and in front of nothing: its place is a block of another kind.

    The kind `conv bn` finds one half of itself in `x`, which the first kind reads.
    """
    lines = ("x.conv x.norm", "conv bn")
    state = net("a.x.conv 4x4x3x3", "a.x.norm 4", *pairs("b"))
    assert made(state, kinds(*lines)) == {"a.x.conv": "x.conv x.norm", "b.conv": "conv bn"}


def test_a_torso_of_which_others_read_a_part_is_refused():
    lines = ("x.conv x.norm", "conv bn tail")
    state = net("a.x.conv 4x4x3x3", "a.x.norm 4", "a.x.tail 4", "b.conv 4x4x3x3", "b.bn 4")
    message = refused(net("b.tail 4") | state, kinds(*lines))
    assert "a.x: has 'conv' but no 'bn'" in message


def test_what_any_kind_finds_of_a_torso_has_to_be_read():
    """The torso of the first kind is read; that of the second, at the same place, is not."""
    lines = ("x.conv x.norm", "conv skip bn", "other bn")
    state = net("a.x.conv 4x4x3x3", "a.x.norm 4", "a.x.skip 4", "a.x.other 4x4x3x3")
    assert "a.x: has 'conv' but no 'bn'" in refused(state, kinds(*lines))
    lines = ("x.conv x.norm + x.skip -> x.conv", "conv skip bn", "other bn")
    assert "a.x: has 'conv' but no 'bn'" in refused(state, kinds(*lines))


def test_wrong_shapes_of_layers_that_others_read_are_none():
    lines = (REP, "conv[kernel=1] bn")
    found = made(net(*REP_BLOCK, "stem.conv 4x4x1x1", "stem.bn 4"), kinds(*lines))
    assert found == {"body.fused": REP.removesuffix(" -> fused"), "stem.conv": "conv[kernel=1] bn"}


def test_of_a_torso_of_several_kinds_the_nearest_is_named_or_the_first():
    state = net(*pairs("a"), "a.one 4", "b.conv 4x4x3x3", "b.bn 4", "b.two 4", "c.conv 4x4x3x3")
    lines = ("conv bn one", "conv bn two three")
    assert "b: has 'conv' but no 'three'" in refused(state, kinds(*lines))
    del state["b.two.weight"], state["b.two.running_mean"], state["b.two.running_var"]
    del state["b.two.bias"], state["b.two.num_batches_tracked"]
    assert "b: has 'conv' but no 'one'" in refused(state, kinds(*lines))
    assert "b: has 'conv' but no 'two'" in refused(state, kinds(*lines[::-1]))


def test_a_torso_of_a_norm_that_stays_is_none():
    text = """
        [[spelling.block]]
        fuse = ["mix.conv mix.bn"]
        beside = ["ffn"]
        keep = [{ norm = "ffn.bn", why = "it stays" }]
        [[spelling.block]]
        fuse = ["conv bn"]
        """
    state = net(*pairs("a.mix", "b"), "a.ffn.bn 4")
    assert made(state, recipe(text)) == {"a.mix.conv": "mix.conv mix.bn", "b.conv": "conv bn"}


def test_layers_apart_are_no_torso():
    state = net(*pairs("net.a"), "net.head.conv 4x4x1x1", "net.low.dfl.conv 4x4x1x1")
    needs = '["a.conv"]'
    assert "net.head: has 'conv' but no 'bn'" in refused(state, kinds("conv bn", needs=needs))
    one = kinds("conv bn", needs=needs, apart='["head.conv"]')
    assert "net.low.dfl: has 'conv' but no 'bn'" in refused(state, one)
    both = kinds("conv bn", needs=needs, apart='["head.conv", "**.dfl.conv"]')
    assert made(state, both) == {"net.a.conv": "conv bn"}


def test_layers_apart_are_named_in_full_and_from_the_root():
    state = net(*pairs("net.a"), "net.head.conv 4x4x1x1")
    for apart in ("head", "d.conv", "head.con", "net.head.conv"):
        given = kinds("conv bn", needs='["a.conv"]', apart=f'["{apart}"]')
        assert "net.head: has 'conv' but no 'bn'" in refused(state, given)


def test_norms_are_never_apart():
    given = kinds("conv bn", apart='["x.bn", "y.*"]')
    for layer in ("x.bn 4", "y.bn 4"):
        assert "has 'bn' but no 'conv'" in refused(net(*pairs("a"), layer), given)


def test_a_single_line_of_a_block_may_be_apart():
    """The last convolution of a Sequential has no norm behind it."""
    state = net("f.0 4x4x3x3", "f.1 4", "f.3 4x4x1x1")
    text = """
        [[spelling.block]]
        at = "{f*}"
        fuse = ["{n} {n+1} -> {n}"]
        beside = ["3"]
        """
    assert "f: has '3' but no '4'" in refused(state, recipe(text))
    text = 'apart = ["f.3"]\n' + text
    assert set(made(state, recipe(text))) == {"f.0"}
    state |= net("g.0 4x4x3x3", "g.1 4", "g.3 4x4x1x1")
    assert "g: has '3' but no '4'" in refused(state, recipe(text))


def test_a_line_that_has_to_be_there_is_not_apart():
    text = 'apart = ["**.own"]\n[[spelling.block]]\nfuse = ["conv bn", "own norm"]\n'
    assert "a: none of own, norm" in refused(net(*pairs("a"), "a.own 4x4x1x1"), recipe(text))
    maybe = text.replace(', "own norm"]', ']\nmaybe = ["own norm"]\nbeside = ["own"]')
    assert set(made(net(*pairs("a"), "a.own 4x4x1x1"), recipe(maybe))) == {"a.conv"}


def test_a_line_is_apart_as_a_whole():
    text = """
        apart = ["**.own"]
        [[spelling.block]]
        fuse = ["conv bn"]
        maybe = ["own norm tail"]
        """
    state = net(*pairs("a"), "a.own 4x4x1x1", "a.norm 4")
    assert "a: has 'own' but no 'tail'" in refused(state, recipe(text))


def test_an_apart_layer_with_a_bias_is_not_fused_already():
    given = kinds("conv bn", apart='["head.conv"]')
    done = plan(net(*pairs("a"), "head.conv 4x4x1x1 bias"), given)
    assert done.notes == ()
    assert "already in deploy form: 1 layers" in refused(net("head.conv 4x4x1x1 bias"), given)


def test_a_result_without_branches_and_bias_is_a_torso():
    """Not the deploy form, whose results have biases; and nothing else that the recipe knows."""
    lines = "one.conv one.bn + two.conv two.bn -> rep"
    message = refused(net(*pairs("a.one", "a.two"), "b.rep 4x4x3x3"), kinds(lines))
    assert "b: none of one.conv, one.bn, two.conv, two.bn" in message


def test_a_missing_layer_is_named_with_the_result_that_stands_beside():
    lines = "one.conv one.bn + two.conv two.bn -> rep"
    state = net(*pairs("a.one"), "a.rep 4x4x3x3 bias")
    message = refused(state, kinds(lines))
    assert "a: has 'one.conv' but no 'two.conv', though 'rep' is there" in message


# --- blocks that are fused already --------------------------------------------------------------


def test_a_pair_that_lost_its_norm_is_half_a_file():
    state = net(*pairs("a"), "b.conv 4x4x3x3 bias")
    message = refused(state, kinds("conv bn"))
    assert "'b.conv' has a bias and no norm while other layers have theirs" in message
    assert made(state, kinds("conv bn", apart='["b.conv"]')) == {"a.conv": "conv bn"}


def test_a_pair_that_another_kind_reads_is_no_half():
    state = net("a.x.conv 4x4x3x3 bias", "a.norm 4", *pairs("b"))
    found = made(state, kinds("x.conv norm", "conv bn"))
    assert found == {"a.x.conv": "x.conv norm", "b.conv": "conv bn"}


def test_pairs_that_all_lost_their_norms_are_the_deploy_form():
    state = net("a.conv 4x4x3x3 bias", "b.conv 4x4x3x3 bias")
    message = refused(state, kinds("conv bn"))
    assert "already in deploy form: 2 layers of recipe mine (only)" in message
    assert "a.conv, …" in message


def test_a_result_in_deploy_form_is_no_torso_of_another_kind():
    line = "one.conv one.bn + two.conv two.bn -> rep"
    state = net(*pairs("a.one", "a.two"), "b.x.rep 4x4x3x3 bias")
    assert set(made(state, kinds(line, "x.rep x.bn -> x.out"))) == {"a.rep"}


def test_a_result_beside_branches_that_may_be_none_is_the_deploy_form():
    line = "id + c.{i} n.{i} -> rep"
    message = refused(net("a.rep 4x4x3x3 bias"), kinds(line))
    assert "already in deploy form: 1 layers of recipe mine (only)" in message
    done = plan(net("a.rep 4x4x3x3 bias", "b.c.0 4x4x3x3", "b.n.0 4"), kinds(line))
    assert [fusion.expression for fusion in done.fusions] == ["id + c.0 n.0"]
    assert "half fused: 1 blocks" in done.notes[0]


def test_what_others_make_or_read_is_not_fused_already():
    """`rep` of the other recipe is a placeholder here, and its `one.conv` a part of a block."""
    line = "one.conv one.bn + two.conv two.bn -> rep"
    other = recipe('[[spelling.block]]\nfuse = ["some.conv some.bn -> rep"]\n', name="other")
    pair = recipe('[[spelling.block]]\nfuse = ["one.conv one.norm"]\n', name="pair")
    layers = ["a.one.conv 4x4x3x3 bias", "a.one.bn 4", *pairs("a.two"), "a.rep 4x4x3x3 bias"]
    done = plan(net(*layers), kinds(line), other, pair)
    assert len(done.notes) == 1
    assert "a.rep: placeholder deploy weights" in done.notes[0]


def test_results_of_a_new_name_may_stand_beside_blocks_in_train_form():
    line = "one.conv one.bn + two.conv two.bn -> rep"
    done = plan(net(*pairs("a.one", "a.two"), "b.rep 4x4x3x3 bias"), kinds(line))
    done.check()
    assert [fusion.name for fusion in done.fusions] == ["a.rep"]
    assert done.notes == (
        "half fused: 1 blocks are in deploy form already (b.rep, …) and are copied as they are",
    )


# --- complete -----------------------------------------------------------------------------------


def test_complete_needs_every_norm_below_the_root():
    state = net(*pairs("net.a"), "net.odd 4", "other.bn 4")
    needs = '["a.conv"]'
    assert made(state, kinds("conv bn", at="a", needs=needs)) == {"net.a.conv": "conv bn"}
    full = kinds("conv bn", at="a", needs=needs, complete="true")
    assert "has a norm 'net.odd' that no line reads" in refused(state, full)
    del state["net.odd.running_mean"], state["net.odd.running_var"]
    assert made(state, full) == {"net.a.conv": "conv bn"}


STAY = """
needs = ["stem.conv"]
complete = true
[[spelling.keep]]
norm = "**.odd{n}"
why = "it is odd"
[[spelling.block]]
fuse = ["conv bn"]
keep = [{ norm = "odd2", why = "the block says so" }]
"""


def test_norms_may_stay_anywhere_below_the_root():
    state = net(*pairs("net.stem"), "net.stem.odd1 4", "net.stem.odd2 4", "net.x.y.odd3 4")
    done = plan(state | net("x.odd5 4"), recipe(STAY.replace("fuse", 'beside = ["odd1"]\nfuse')))
    done.check()
    assert {s.name: s.reason for s in done.skipped} == {
        "x.odd5": "no line of mine (only) reads it",  # not below the root
        "net.stem.odd1": "it is odd",
        "net.stem.odd2": "the block says so",
        "net.x.y.odd3": "it is odd",
    }
    assert "net.stem.odd1" in refused(state, recipe(STAY))  # in a block it is unknown all the same
    message = refused(net("net.even4 4") | state, recipe(STAY))
    assert "has a norm 'net.even4' that no line reads" in message


def test_a_norm_that_may_stay_and_is_read_does_not_stay():
    text = """
        keep = [{ norm = "**.bn", why = "so" }]
        [[spelling.block]]
        fuse = ["conv bn"]
        """
    done = plan(net(*pairs("a"), "x.bn 4"), recipe(text))  # nor is it a torso
    assert [s.name for s in done.skipped] == ["x.bn"]
    assert dict(done.keeps) == {"x.bn": "so"}


def test_a_norm_that_stays_does_not_make_a_spelling_incomplete():
    text = """
        complete = true
        [[spelling.block]]
        fuse = ["conv bn"]
        keep = [{ norm = "odd{n}", why = "so" }]
        """
    assert made(net(*pairs("a"), "a.odd1 4"), recipe(text)) == {"a.conv": "conv bn"}


# --- needs, roots and places --------------------------------------------------------------------


def test_without_needs_blocks_are_found_anywhere():
    state = net(*pairs("a", "b.c.d"))
    assert set(made(state, kinds("conv bn"))) == {"a.conv", "b.c.d.conv"}


def test_without_its_needs_a_spelling_is_not_looked_for():
    message = refused(net(*pairs("a")), kinds("conv bn", needs='["stem.conv"]'))
    assert "near miss" not in message
    assert "no recipe claims this file" in message


@pytest.mark.parametrize("needs", ['["stem.conv", "**.x.conv"]', '["**.x.conv", "stem.conv"]'])
def test_the_root_is_that_of_the_first_need_with_a_place(needs):
    state = net(*pairs("net.stem", "net.deep.in.x", "net.y", "y"))
    assert set(made(state, kinds("conv bn", at="y", needs=needs))) == {"net.y.conv"}


def test_a_need_of_any_place_has_to_be_below_the_root():
    needs = '["stem.conv", "**.x.conv"]'
    message = refused(net(*pairs("net.stem", "x", "net.y")), kinds("conv bn", at="y", needs=needs))
    assert "no recipe claims" in message


def test_where_all_needs_are_of_any_place_the_root_is_the_file():
    given = kinds("conv bn", at="y", needs='["**.x.conv", "**.z.conv"]')
    assert set(made(net(*pairs("n.x", "m.m.z", "y", "n.y")), given)) == {"y.conv"}
    assert "no recipe claims" in refused(net(*pairs("n.x", "y")), given)


def test_two_nets_in_a_file_have_a_root_each():
    state = net(*pairs("one.stem", "one.y", "two.stem", "two.y", "y"))
    given = kinds("conv bn", at="y", needs='["stem.conv"]')
    assert set(made(state, given)) == {"one.y.conv", "two.y.conv"}


def test_needs_of_which_some_are_there_are_a_near_miss():
    given = kinds("conv bn", at="y", needs='["stem.conv", "y.conv", "z.conv"]')
    message = refused(net(*pairs("net.stem", "net.y")), given)
    assert "near miss: recipe mine (only): has 'net.stem.conv' but no 'net.z.conv'" in message
    assert "near miss" not in refused(net(*pairs("net.stem")), given)


def test_needs_may_be_patterns():
    given = kinds("conv bn", at="**", needs='["stage{s}.{b}.conv", "**.head{h*}.fc"]')
    state = net(*pairs("stage1.0"), "head_dist.fc 4x4")
    assert set(made(state, given)) == {"stage1.0.conv"}
    assert "no recipe claims" in refused(net(*pairs("stage.0"), "head.fc 4x4"), given)


PLACES = {
    "": ["conv"],
    "**": ["0.conv", "a.conv", "a.b.0.conv", "a.b.1.conv", "a.b.12.conv", "conv"],
    "*": ["0.conv", "a.conv"],
    "{n}": ["0.conv"],
    "a.b.{n}": ["a.b.0.conv", "a.b.1.conv", "a.b.12.conv"],
    "a.b.{n+1}": ["a.b.1.conv", "a.b.12.conv"],
    "a.b.{n+2}": ["a.b.12.conv"],
    "a.b.0": ["a.b.0.conv"],
    "**.{n+1}": ["a.b.1.conv", "a.b.12.conv"],
    "**.1{rest*}": ["a.b.1.conv", "a.b.12.conv"],
    "**.*": ["0.conv", "a.conv", "a.b.0.conv", "a.b.1.conv", "a.b.12.conv"],
    "a.**.0": ["a.b.0.conv"],
    "a.**": ["a.b.0.conv", "a.b.1.conv", "a.b.12.conv", "a.conv"],
}


@pytest.mark.parametrize("at", PLACES)
def test_places(at):
    paths = ("", "0.", "a.", "a.b.0.", "a.b.1.", "a.b.12.")
    layers = [layer for p in paths for layer in (f"{p}conv 4x4x3x3", f"{p}bn 4")]
    other = recipe('[[spelling.block]]\nfuse = ["conv bn"]\n', name="other")
    mine = kinds("conv bn", at=at)
    object.__setattr__(mine, "over", ("other",))
    found = match_recipe(mine, ModuleIndex(header(net(*layers))))[0][0].reads
    assert sorted(found) == sorted([*PLACES[at], *(n[:-4] + "bn" for n in PLACES[at])])
    assert len(made(net(*layers), mine, other)) == len(paths)


def test_the_first_of_a_stage_is_another_kind():
    text = """
        [[spelling.block]]
        at = "stage{s+1}.0"
        fuse = ["conv bn"]
        [[spelling.block]]
        at = "stage{s+1}.{b+1}"
        fuse = ["conv bn + id -> conv"]
        """
    paths = ("stage0.1", "stage1.0", "stage1.1", "stage1.10", "stage12.2")
    assert made(net(*pairs(*paths)), recipe(text)) == {
        "stage1.0.conv": "conv bn",
        "stage1.1.conv": "conv bn + id",
        "stage1.10.conv": "conv bn + id",
        "stage12.2.conv": "conv bn + id",
    }


# --- spellings of one recipe --------------------------------------------------------------------


def test_the_first_spelling_to_claim_a_layer_keeps_it():
    text = """
        [[spelling.block]]
        fuse = ["conv bn + id -> conv"]
        [[spelling]]
        name = "second"
        [[spelling.block]]
        fuse = ["conv bn"]
        [[spelling]]
        name = "third"
        [[spelling.block]]
        fuse = ["lin norm"]
        """
    done = plan(net(*pairs("a"), "x.lin 4x4", "x.norm 4"), recipe(text))
    assert done.recipes == ("mine (only)", "mine (third)")
    assert [f.expression for f in done.fusions] == ["conv bn + id", "lin norm"]


def test_a_spelling_that_is_refused_leaves_its_layers_to_the_next():
    text = """
        complete = true
        [[spelling.block]]
        fuse = ["conv bn + id -> conv"]
        [[spelling]]
        name = "second"
        [[spelling.block]]
        fuse = ["conv bn"]
        """
    done = plan(net(*pairs("a"), "odd 4"), recipe(text))
    assert done.recipes == ("mine (second)",)
    assert "not used: recipe mine (only): has a norm 'odd' that no line reads" in done.notes


# --- what else is in a block --------------------------------------------------------------------


def test_norms_that_stay_may_be_a_pattern():
    text = """
        [[spelling.block]]
        fuse = ["conv bn"]
        [[spelling.block.keep]]
        norm = "norm{n}"
        why = "it follows the activation"
        [[spelling.block.keep]]
        norm = "x.*"
        why = "x"
        """
    done = plan(net(*pairs("a"), "a.norm1 4", "a.norm22 4", "a.x.bn 4", "norm1 4"), recipe(text))
    done.check()
    assert {s.name: s.reason for s in done.skipped} == {
        "a.norm1": "it follows the activation",
        "a.norm22": "it follows the activation",
        "a.x.bn": "x",
        "norm1": "no line of mine (only) reads it",
    }


@pytest.mark.parametrize(
    ("beside", "left"),
    [
        ("attn", ["attn1.qkv", "attn_q", "se.0.fc", "se.1.fc"]),
        ("attn*", ["attn.q", "se.0.fc", "se.1.fc"]),
        ("attn{n}", ["attn.q", "attn_q", "se.0.fc", "se.1.fc"]),
        ("attn{any*}", ["se.0.fc", "se.1.fc"]),
        ("se.{i+1}", ["attn.q", "attn1.qkv", "attn_q", "se.0.fc"]),
        ("**.fc", ["attn.q", "attn1.qkv", "attn_q"]),
        ("*", []),
    ],
)
def test_what_stands_beside_may_be_a_pattern(beside, left):
    layers = ["attn.q 4x4", "attn1.qkv 4x4", "attn_q 4x4", "se.0.fc 4x4", "se.1.fc 4x4"]
    state = net(*pairs("b.a"), *(f"b.a.{layer}" for layer in layers))
    text = f'[[spelling.block]]\nfuse = ["conv bn"]\nbeside = ["{beside}"]\n'
    done = plan(state, recipe(text))
    assert done.unclaimed == tuple(f"b.a.{name}.weight" for name in left)


def test_a_block_that_is_the_whole_file_has_its_layers_too():
    text = """
        [[spelling.block]]
        fuse = ["conv bn"]
        beside = ["gate"]
        keep = [{ norm = "last", why = "so" }]
        """
    state = net("conv 4x4x3x3", "bn 4", "gate.fc 4x4", "last 4", "gates.fc 4x4")
    assert plan(state, recipe(text)).unclaimed == ("gates.fc.weight",)


ALONE = """
[[spelling.block]]
fuse = ["conv bn"]
alone = true
beside = ["act"]
keep = [{ norm = "last", why = "so" }]
"""


def test_nothing_may_stand_beside_what_has_to_be_alone():
    state = net(*pairs("a"), "a.act.p 4x4", "a.last 4")
    assert set(made(state, recipe(ALONE))) == {"a.conv"}
    state = net(*pairs("a", "b", "b.x"))
    assert "b: 'b.x.bn.bias' stands beside" in refused(state, recipe(ALONE))
    assert set(made(state, recipe(ALONE.replace("alone = true\n", "")))) == {
        *("a.conv", "b.conv", "b.x.conv"),
    }


def test_what_others_read_need_not_be_alone():
    """Both pairs are there, and the first kind reads the one with a layer below it."""
    state = net(*pairs("a.x", "b"), "a.x.extra 4x4")
    first = '[[spelling.block]]\nfuse = ["x.conv x.bn"]\nbeside = ["x.extra"]\n'
    assert set(made(state, recipe(first + ALONE))) == {"a.x.conv", "b.conv"}


def test_a_kind_that_has_to_be_alone_leaves_the_place_to_another():
    state = net(*pairs("a", "b"), "a.extra 4x4")
    text = '[[spelling.block]]\nfuse = ["conv bn + id -> conv"]\nbeside = ["extra"]\n'
    assert made(state, recipe(ALONE + text)) == {"a.conv": "conv bn + id", "b.conv": "conv bn"}


def test_a_kind_that_reads_nothing_owns_nothing():
    """The rep block that is deployed says nothing about what stands beside it."""
    line = "one.conv one.bn + two.conv two.bn -> rep"
    state = net(*pairs("a.one", "a.two"), "b.rep 4x4x3x3 bias", "b.more 4x4")
    assert set(made(state, kinds(line))) == {"a.rep"}


# --- what a recipe may say ----------------------------------------------------------------------

PATHS = {
    "a": True,
    "a.0.b-c_d": True,
    "{n}": True,
    "a{n+1}b.{x*}": True,
    "*": True,
    "a*.*b": True,
    "**": True,
    "**.a.**.b": True,
    "a b": False,
    "a..b": False,
    ".a": False,
    "a.": False,
    "a**": False,
    "***": False,
    "{n": False,
    "n}": False,
    "{n-1}": False,
    "{}": False,
}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "text",
    [
        'needs = ["{0}"]\n[[spelling.block]]\nfuse = ["conv bn"]',
        'apart = ["{0}"]\n[[spelling.block]]\nfuse = ["conv bn"]',
        'keep = [{{ norm = "{0}", why = "x" }}]\n[[spelling.block]]\nfuse = ["conv bn"]',
        'never = [{{ layer = "{0}", why = "x" }}]\n[[spelling.block]]\nfuse = ["conv bn"]',
        '[[spelling.block]]\nat = "{0}"\nfuse = ["conv bn"]',
        '[[spelling.block]]\nbeside = ["{0}"]\nfuse = ["conv bn"]',
        '[[spelling.block]]\nkeep = [{{ norm = "{0}", why = "x" }}]\nfuse = ["conv bn"]',
    ],
)
def test_paths(text, path):
    if PATHS[path]:
        assert recipe(text.format(path)).spellings
    else:
        with pytest.raises(RecipeError, match="is no path: expected names between dots"):
            recipe(text.format(path))


@pytest.mark.parametrize(
    ("top", "message"),
    [
        ('over = ["other", "mine"]', "over names the recipe itself"),
        ('by_name = ""', "by_name is empty, expected a text"),
        ("by_name = 1", "by_name = 1: expected a string"),
        ('over = "other"', "expected a list of strings"),
    ],
)
def test_what_a_recipe_may_not_say(top, message):
    with pytest.raises(RecipeError, match=message):
        recipe('[[spelling.block]]\nfuse = ["conv bn"]\n', top=top)


@pytest.mark.parametrize("key", ["complete", "alone"])
def test_flags_are_true_or_false(key):
    head, tail = ("complete = {}\n", "") if key == "complete" else ("", "alone = {}\n")
    for value in ("true", "false"):
        text = head.format(value) + '[[spelling.block]]\nfuse = ["conv bn"]\n' + tail.format(value)
        (spelling,) = recipe(text).spellings
        holder = spelling if key == "complete" else spelling.blocks[0]
        assert getattr(holder, key) == (value == "true")
    for value in ("1", '"true"'):
        text = head.format(value) + '[[spelling.block]]\nfuse = ["conv bn"]\n' + tail.format(value)
        with pytest.raises(RecipeError, match=f"{key} = .*: expected true or false"):
            recipe(text)


@pytest.mark.parametrize(
    ("eps", "fine"),
    [
        ("value = 1", True),
        ('ask = "x"', True),
        ('value = 1\nask = "x"\nunless = ["a"]', True),
        ('value = 1\nask = "x"', False),
        ('value = 1\nunless = ["a"]', False),
        ("", False),
    ],
)
def test_eps_is_a_value_or_asked_for_or_both_beside_some_layers(eps, fine):
    text = f'[spelling.eps]\nsource = "x"\n{eps}\n[[spelling.block]]\nfuse = ["conv bn"]\n'
    if fine:
        assert recipe(text).spellings
    else:
        with pytest.raises(RecipeError, match="expected either value"):
            recipe(text)


def test_a_lone_convolution_that_an_unused_recipe_takes_for_a_pair_is_not_mentioned():
    state = net("x.lin 4x4", "x.norm 4", "h.conv 4x4x1x1 bias")
    assert plan(state, kinds("lin norm"), kinds("conv bn")).notes == ()


@pytest.mark.parametrize(
    "text",
    [
        '[[spelling.block]]\nat = "b"\nfuse = ["{k*} {k*}_bn -> {k*}"]\n',
        'needs = ["b.{k*}"]\n[[spelling.block]]\nat = "b"\nfuse = ["wide wide_bn"]\n',
    ],
)
def test_a_text_may_be_a_whole_name(text):
    assert set(made(net("b.wide 4x4x3x3", "b.wide_bn 4"), recipe(text))) == {"b.wide"}
