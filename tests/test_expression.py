"""Branch expressions: what is written is read back, and errors point at the place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reparam.errors import ExpressionError
from reparam.expression import (
    Average,
    Chain,
    Identity,
    Layer,
    Line,
    Maybe,
    Number,
    Sum,
    format_line,
    format_name,
    format_tree,
    layers,
    rename,
)
from reparam.parsing import parse

names = st.sampled_from(
    ["conv", "rbr_dense.conv", "a.0", "_x", "stage{n}.conv", "{i}.bn", "b-c", "id", "avg", "0.1"]
)
VALUES = {
    "kernel": ["2", "1x3", "odd", "{g}", "1x{g}"],
    "groups": ["2", "{g}"],
    "dilation": ["2", "1x3", "{g}"],
    "origin": ["0", "1x3", "{g+1}"],
    "border": ["zero", "image", "valid"],
    "eps": ["1e-3", "0.5"],
    "transposed": [""],
    "add": [""],
    "window": [""],
}
attributes = st.fixed_dictionaries(
    {}, optional={key: st.sampled_from(values) for key, values in VALUES.items()}
).map(lambda pairs: tuple(pairs.items()))
leaves = st.one_of(
    st.builds(Layer, names, attributes),
    st.just(Identity()),
    st.builds(Average, st.sampled_from(["3", "2x4"])),
    st.builds(Number, st.floats(0, allow_nan=False, allow_infinity=False)),
)


def chains(parts):
    return st.lists(parts, min_size=2, max_size=3).map(lambda steps: Chain(tuple(steps)))


def sums(parts):
    terms = st.lists(st.tuples(st.sampled_from([1, -1]), parts), min_size=1, max_size=3)
    return terms.filter(lambda t: len(t) > 1 or t[0][0] < 0).map(lambda t: Sum(tuple(t)))


trees = st.recursive(
    leaves,
    lambda parts: st.one_of(chains(parts), sums(parts), st.builds(Maybe, parts)),
    max_leaves=8,
)


@given(trees)
def test_a_tree_written_and_read_is_the_same_tree(tree):
    text = format_tree(tree)
    assert parse(f"{text} -> out") == Line(tree, "out")
    assert format_tree(parse(f"{text} -> out").tree) == text


@given(trees)
def test_white_space_does_not_count(tree):
    text = format_tree(tree)
    assert parse(f"  {text.replace(' ', '   ')}->out ").tree == tree


@given(trees)
def test_renaming_changes_names_and_attribute_values_only(tree):
    changed = rename(tree, lambda text: text.upper())
    assert [layer.name for layer in layers(changed)] == [
        layer.name.upper() for layer in layers(tree)
    ]
    assert rename(tree, lambda text: text) == tree
    values = [v for layer in layers(changed) for _, v in layer.attributes]
    assert values == [v.upper() for layer in layers(tree) for _, v in layer.attributes]


def layer(name):
    return Layer(name)


A, B, C = map(layer, "abc")

MEANINGS = {
    "a b c": Chain((A, B, C)),
    "a b + c": Sum(((1, Chain((A, B))), (1, C))),
    "a - b + c": Sum(((1, A), (-1, B), (1, C))),
    "- a": Sum(((-1, A),)),
    "a (b - c)": Chain((A, Sum(((1, B), (-1, C))))),
    "(a)": A,
    "a b?": Chain((A, Maybe(B))),
    "(a b)? + c": Sum(((1, Maybe(Chain((A, B)))), (1, C))),
    "(a?)?": Maybe(Maybe(A)),
    "id + a": Sum(((1, Identity()), (1, A))),
    "a avg 3": Chain((A, Average("3"))),
    "a avg 1x3 2": Chain((A, Average("1x3"), Number(2.0))),
    "0.5 a": Chain((Number(0.5), A)),
    "2e-3 a": Chain((Number(0.002), A)),
    "a - 0.5 b": Sum(((1, A), (-1, Chain((Number(0.5), B))))),
    "'id' + 'avg' '0'": Sum(((1, layer("id")), (1, Chain((layer("avg"), layer("0")))))),
    "a[groups=2, transposed]": Layer("a", (("groups", "2"), ("transposed", ""))),
    "a[add] b[window]": Chain((Layer("a", (("add", ""),)), Layer("b", (("window", ""),)))),
    "a-b": layer("a-b"),
    "{i+12}": layer("{i+12}"),
    "x.{n+1}.y": layer("x.{n+1}.y"),
}


@pytest.mark.parametrize("text", MEANINGS)
def test_the_meaning_of(text):
    assert parse(f"{text} -> out") == Line(MEANINGS[text], "out")


def test_parentheses_are_kept_where_they_count():
    for text in ("a (b c)", "a (b - c)", "(a b)? c", "a - (b + c)", "(a + b) c", "(- a) b"):
        assert format_tree(parse(f"{text} -> out").tree) == text


NAMES = ["stage1/conv", "a b", "it's", "''", "(", "0.1", "id", "avg", "conv.", "é-1", "{stem*}x"]


@pytest.mark.parametrize("name", NAMES)
def test_any_name_can_be_written(name):
    text = f"{format_name(name)}[groups=2] {format_name(name)} -> {format_name(name)}"
    tree = Chain((Layer(name, (("groups", "2"),)), Layer(name)))
    assert parse(text) == Line(tree, name)
    assert parse(f"{format_tree(tree)} -> {format_name(name)}") == Line(tree, name)


def test_without_a_name_the_result_takes_the_place_of_the_first_layer():
    assert parse("0.5 (id + x.conv bn)").output == "x.conv"


@pytest.mark.parametrize("arrow", ["->.", "-> .", "  ->   .  "])
def test_a_dot_is_the_block_itself(arrow):
    assert parse(f"a b {arrow}") == Line(Chain((A, B)), "")
    assert format_line(parse(f"a b {arrow}")) == "a b -> ."


ERRORS = {
    "": (1, r"expected a layer, 'id', 'avg N', a number or '\('"),
    "a +": (4, "expected a layer"),
    "a + + b": (5, "expected a layer"),
    "+ a": (1, "expected a layer"),
    "(a": (3, r"expected '\)'"),
    "a )": (3, "expected the end of the line"),
    "()": (2, "expected a layer"),
    "a b??": (5, "expected the end of the line"),
    "? a": (1, "expected a layer"),
    "a -> . b": (8, "expected the end of the line"),
    "a -> .b": (6, "cannot read '.'"),
    "a .": (3, "expected the end of the line"),
    ". a": (1, "expected a layer"),
    "x[add=1]": (2, "'add' needs no value"),
    "x[window=7]": (2, "'window' needs no value"),
    "x[kernel=0]": (2, "kernel=0: expected taps per axis"),
    "x[kernel=even]": (2, "kernel=even: expected taps per axis"),
    "x[kernel=3x]": (2, "kernel=3x: expected taps per axis"),
    "x[groups=1x2]": (2, "groups=1x2: expected number of groups"),
    "x[dilation=0]": (2, "dilation=0: expected distance of taps"),
    "x[origin=-1]": (2, "origin=-1: expected tap that meets"),
    "x[border=2]": (2, "border=2: expected zero, image or valid"),
    "a avg 0": (7, "expected sizes of at least 1"),
    "x[kernel]": (2, "'kernel' needs a value"),
    "a{i-1}": (2, "cannot read '{'"),
    "a ->": (5, "expected the name the result goes to"),
    "a -> 3": (6, "expected the name the result goes to"),
    "a -> b c": (8, "expected the end of the line"),
    "a & b": (3, "cannot read '&'"),
    "a.": (2, "expected the end of the line"),
    "a 3x3": (3, "expected a number"),
    "avg": (4, "expected the size of the average pool"),
    "avg a": (5, "expected the size of the average pool"),
    "avg 0.5": (5, "expected the size of the average pool"),
    "id": (3, "names no layer to replace"),
    "1e999 a": (1, "expected a finite number"),
    "x[]": (2, "expected kernel, .* saw ''"),
    "x[stride=2]": (2, "expected kernel, .* saw 'stride=2'"),
    "x[groups]": (2, "'groups' needs a value"),
    "x[transposed=1]": (2, "'transposed' needs no value"),
    "x[groups=2, groups=4]": (2, "'groups' is given twice"),
    "x[groups=2": (2, r"cannot read '\['"),
    "id[groups=2] + a": (3, "expected the end of the line"),
    "(" * 60 + "a" + ")" * 60: (51, "nested deeper than 50"),
}


@pytest.mark.parametrize("text", ERRORS)
def test_an_error_points_at_its_column(text):
    column, why = ERRORS[text]
    with pytest.raises(ExpressionError, match=why) as caught:
        parse(text)
    first, line, caret = str(caught.value).split("\n")
    assert first.startswith(f"column {column}: ")
    assert line == f"  {text}"
    assert caret == "  " + " " * (column - 1) + "^"


def test_a_line_break_does_not_move_the_caret():
    with pytest.raises(ExpressionError) as caught:
        parse("a\n  & b")
    assert str(caught.value).split("\n")[1:] == ["  a   & b", "      ^"]
