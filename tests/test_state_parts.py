"""What state dicts are made of: names that patterns describe, places of blocks, shapes of lines."""

from dataclasses import replace

import numpy as np
import pytest

from reparam.expression import layers
from reparam.keras_names import from_keras
from reparam.parsing import parse
from reparam.recipe import Block, Eps, Keep, Spelling
from reparam.recipe_toml import recipe_of_lines
from reparam.testing.kinds import Widths, draw_widths, kinds
from reparam.testing.lines import bound_lines
from reparam.testing.names import meet
from reparam.testing.places import Place, Site, holes_of, place_of, sites
from reparam.testing.tensors import Maker, keras_names

EPS = Eps(0.25, "a test")


@pytest.mark.parametrize(
    ("patterns", "name"),
    [
        (["a.{n}.b"], "a.0.b"),
        (["a.{n+1}.b"], "a.1.b"),
        (["a.{n}", "a.{n+1}", "a.*"], "a.1"),
        (["a.{n}", "a.14"], "a.14"),
        (["a.{n}", "a.b"], None),
        (["{x*}_1x1", "conv{n}_{k*}"], "conv0_1x1"),
        (["**.conv", "stages.*.{x*}.conv"], "stages.x.x.conv"),
        (["a.**.b", "**.c.b"], "a.c.b"),
        (["**.*", "*.*"], "x.x"),
        (["a*", "ab.c"], None),
        (["a.**", "a.b"], None),
        (["**"], ""),
    ],
)
def test_the_shortest_name_that_all_patterns_describe(patterns, name):
    assert meet(*patterns) == name


def test_numbers_are_the_digit_asked_for_where_they_may_be():
    assert meet("a.{n}.{m+1}", digit=3) == "a.3.3"
    assert meet("a.{n}.b", "a.1.*", digit=3) == "a.1.b"


@pytest.mark.parametrize(
    ("pattern", "name", "found"),
    [
        ("a.{n}", "a.3", {"n": 3}),
        ("a.{n+1}", "a.3", {"n": 2}),
        ("{x*}_a.{n}", "b_a.0", {"x": "b", "n": 0}),
        ("a.b", "a.b", {}),
        ("a.{n}", "a.b", None),
        ("a.{n+1}", "a.0", None),
    ],
)
def test_what_placeholders_stand_for(pattern, name, found):
    assert holes_of(pattern, name) == found


def block_of(*texts, at="at", **keys):
    (block,) = recipe_of_lines(texts).spellings[0].blocks
    return replace(block, at=at, **keys)


def test_a_place_knows_what_it_needs():
    block = block_of("conv{n}.c conv{n}.bn -> conv{n}")
    (maybe,) = block_of("skip + other").fuse
    place = Place("at", replace(block, maybe=(maybe,)), frozenset({("conv{n}.c", "conv4.c")}))
    assert place.plain == {"conv4.c"}
    assert place.holes("conv{n}.c") == [{"n": 4}]
    assert place.holes("conv{n}.bn") == []
    two = replace(place, names=frozenset({("{n}", "4"), ("{n+1}", "6")}))
    assert (two.holes("{n}"), two.holes("{n+1}")) == ([{"n": 4}], [{"n": 5}])
    assert place.needs(block.fuse[0])
    assert not place.needs(maybe)
    assert replace(place, names=frozenset({("other", "other")})).needs(maybe)


def test_a_whole_place_has_what_its_block_names_beside_its_lines():
    keeps = (Keep("last", "a test"), Keep("norm{n}", "a test"))
    block = block_of("conv bn", beside=("gate", "attn*", "fc.{i}"), keep=keeps)
    place = Place("at", block, others=frozenset({"more"})).whole()
    assert (place.norms, place.others) == ({"last"}, {"gate", "more"})
    (again,) = Site((Place("at", block),)).whole().places
    assert (again.norms, again.others) == ({"last"}, {"gate"})


@pytest.mark.parametrize(
    ("at", "layer", "need", "path", "name"),
    [
        ("stages.{s}.{b}", "conv", "stages.1.{b}.conv", "stages.1.0", "conv"),
        ("**", "dense.conv", "**.dense.conv", "x", "dense.conv"),
        ("**", "dense.conv", "dense.conv", "", "dense.conv"),
        ("**.proj.1", "conv", "a.**.conv", "a.proj.1", "conv"),
        ("", "stem.{n}.conv", "stem.2.conv", "", "stem.2.conv"),
        ("at", "conv", "elsewhere.conv", None, None),
    ],
)
def test_where_a_block_has_to_be(at, layer, need, path, name):
    place = place_of(block_of("conv bn", at=at), layer, need)
    assert (place and place.path) == path
    assert place is None or place.names == {(layer, name)}


FOUR = Widths(4, 4, 4, 1)


def made(text, *, keras=False, widths=FOUR):
    maker = Maker(np.random.default_rng(0), 0.25, keras=keras)
    maker.line("at", parse(text), widths)
    return maker


@pytest.mark.parametrize(
    ("text", "widths", "weights"),
    [
        ("a[kernel=3] b", Widths(6, 4, 2, 1), {"a": (4, 6, 3, 3), "b": (4,)}),
        ("a[kernel=1x3] b[kernel=3x1]", Widths(6, 4, 2, 1), {"a": (2, 6, 1, 3), "b": (4, 2, 3, 1)}),
        ("a[kernel=3] bn + id", Widths(4, 4, 4, 2), {"a": (4, 2, 3, 3), "bn": (4,)}),
        ("a[kernel=3, groups=4]", Widths(4, 4, 4, 1), {"a": (4, 1, 3, 3)}),
        (
            "a[kernel=3x1x1] + b[kernel=1]",
            Widths(2, 4, 4, 1),
            {"a": (4, 2, 3, 1, 1), "b": (4, 2, 1, 1, 1)},
        ),
        ("a[kernel=2, transposed]", Widths(2, 6, 4, 1), {"a": (2, 6, 2, 2)}),
        ("bn l", Widths(4, 2, 2, 1), {"bn": (4,), "l": (2, 4)}),
        ("bn fc1", Widths(4, 2, 2, 1), {"bn": (4,), "fc1": (2, 4, 1, 1)}),
        (
            "f[window] f_bn + c[kernel=3] bn",
            Widths(8, 8, 8, 2),
            {"f": (8, 4, 1, 1), "f_bn": (2,), "c": (2, 1, 3, 3), "bn": (2,)},
        ),
    ],
)
def test_the_shapes_of_a_line(text, widths, weights):
    tensors = made(text, widths=widths).tensors
    for name, shape in weights.items():
        role = "weight" if len(shape) > 1 else "running_var"
        assert tensors[f"at.{name}.{role}"].shape == shape
    assert all(name.startswith("at.") for name in tensors)


def test_a_layer_of_two_lines_is_written_once():
    maker = made("a[kernel=3] bn", widths=Widths(4, 4, 4, 1))
    before = dict(maker.tensors)
    maker.line("at", parse("a[kernel=3] bn"), Widths(2, 2, 2, 1))
    assert maker.tensors.keys() == before.keys()
    assert all(maker.tensors[name] is values for name, values in before.items())
    maker.other("at.a")
    assert maker.tensors["at.a.weight"] is before["at.a.weight"]
    maker.other("at.gate")
    assert maker.tensors.keys() - before.keys() == {"at.gate.weight"}


def test_tensors_under_the_names_of_keras():
    turned = keras_names(made("a[kernel=1x3] bn + dw_b[kernel=3]", keras=True).tensors)
    assert {name for name in turned if "bias" not in name} >= {
        *("at/a/kernel", "at/dw_b/depthwise_kernel"),
        *(f"at/bn/{role}" for role in ("moving_mean", "moving_variance")),
    }
    assert turned["at/a/kernel"].shape == (1, 3, 4, 4)
    assert turned["at/dw_b/depthwise_kernel"].shape == (3, 3, 4, 1)
    back = from_keras(turned).arrays
    tensors = made("a[kernel=1x3] bn + dw_b[kernel=3]", keras=True).tensors
    assert back.keys() == tensors.keys()
    assert all(np.array_equal(back[name], values) for name, values in tensors.items())


def test_numbers_of_keras_have_no_gaps():
    maker = made("conv_2.c[kernel=3] bn -> conv.c", keras=True)
    maker.fill_numbers()
    paths = {name.rpartition(".")[0] for name in maker.tensors}
    assert paths == {"at.conv_2.c", "at.bn", "at.conv.c", "at.conv_1.c"}
    assert maker.tensors["at.conv.c.weight"].shape == maker.tensors["at.conv_2.c.weight"].shape


def test_a_place_has_one_kind_of_block():
    one, two = (
        Block("at", recipe_of_lines([x]).spellings[0].blocks[0].fuse, *[()] * 4) for x in "ab"
    )
    site = Site().add(Place("at", one, frozenset({("a", "a")})))
    assert site.add(Place("at", two)) is None
    more = site.add(Place("at", one, frozenset({("b", "b")}), frozenset({"n"}), frozenset({"o"})))
    (place,) = more.places
    assert (place.plain, place.norms, place.others) == ({"a", "b"}, {"n"}, {"o"})
    assert len(more.add(Place("elsewhere", two)).places) == 2


def test_what_a_spelling_needs_beside_its_lines_is_placed_in_its_blocks():
    keeps = (Keep("last", "a test"),)
    block = block_of("conv scale.weight", at="a.{n}", beside=("gate",), keep=keeps)
    needs = "a.1.conv", "a.1.last", "a.1.gate", "a.2.scale", "norm", "head.fc"
    spelling = Spelling("mine", needs, (block,), EPS, None, keep=(Keep("norm", "a test"),))
    site = next(sites(spelling))
    one, two = site.places
    assert (one.path, one.plain, one.norms, one.others) == ("a.1", {"conv"}, {"last"}, {"gate"})
    assert (two.path, two.plain) == ("a.2", {"scale.weight"})
    assert (site.norms, site.others) == (("norm",), ("head.fc",))


def test_a_spelling_that_needs_nothing_has_a_block():
    block = block_of("conv bn", at="a.{n}")
    site = next(sites(Spelling("mine", (), (block,), EPS, None)))
    assert [place.path for place in site.places] == ["a.0"]
    others = next(sites(Spelling("mine", ("x.y",), (block,), EPS, None)))
    assert (others.others, [p.path for p in others.places]) == (("x.y",), ["a.0"])


def lines_of(text, *names, seed=0):
    block = block_of(text)
    place = Place("at", block, frozenset(names))
    return list(bound_lines(block.fuse[0], place, np.random.default_rng(seed)))


@pytest.mark.parametrize("seed", range(5))
def test_what_is_needed_of_a_line_is_in_it(seed):
    (line,) = lines_of("w.{i}.c w.{i}.bn + p? -> f", ("w.{i}.c", "w.7.c"), ("p", "p"), seed=seed)
    assert {"w.7.c", "w.7.bn", "p"} <= {layer.name for layer in layers(line.tree)}
    both = lines_of("{n}.c {n}.bn -> {n}", ("{n}.c", "4.c"), ("{n}.bn", "6.bn"), seed=seed)
    assert [line.output for line in both] == ["4", "6"]
    (kernels,) = lines_of("c + k{k}[kernel={k}] -> f", ("c", "c"), seed=seed)
    sizes = [dict(layer.attributes).get("kernel") for layer in layers(kernels.tree)]
    assert sizes == [None, "1", "3", "5"][: len(sizes)]


def test_nothing_that_is_not_optional_is_left_out():
    for seed in range(20):
        (line,) = lines_of("((a + id)? + b?) bn c", seed=seed)
        names = [layer.name for layer in layers(line.tree)]
        assert names in (["a", "bn", "c"], ["b", "bn", "c"], ["a", "b", "bn", "c"])
    (line,) = lines_of("a - b.{i} + id", seed=1)
    assert [sign for sign, _ in line.tree.terms] == [1, *[-1] * (len(line.tree.terms) - 2), 1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a b", ["conv", "norm"]),
        ("'0' '1'", ["conv", "norm"]),
        ("skip skip_bn", ["conv", "norm"]),
        ("bn l", ["norm", "conv"]),
        ("norm1 e.norm e.k", ["norm", "norm", "conv"]),
        ("a[kernel=1] b[border=zero] c", ["conv", "conv", "norm"]),
        ("a b gamma", ["conv", "norm", "factor"]),
        ("a scale_1x1.weight", ["conv", "factor"]),
        ("ia.implicit[add] m im.implicit", ["factor", "conv", "factor"]),
        ("c + rbr_identity + no_conv_branch + p", ["conv", "norm", "norm", "conv"]),
        ("(c b + p) last + x[eps=1]", ["conv", "norm", "conv", "norm", "norm"]),
        ("avg 3 c d avgbn + norm[kernel=1]", ["conv", "norm", "norm", "conv"]),
    ],
)
def test_what_the_layers_of_a_line_are(text, expected):
    tree = parse(text).tree
    assert [kinds(tree)[layer.name] for layer in layers(tree)] == expected


def test_an_identity_within_has_the_width_of_the_whole():
    rng = np.random.default_rng(0)
    inner = parse("one bn (two[kernel=1] norm + id) three[kernel=1] -> x").tree
    plain = parse("one bn two[kernel=1] -> x").tree
    assert all(w.middle == w.inputs for w in (draw_widths(inner, rng) for _ in range(50)))
    assert any(w.middle != w.inputs for w in (draw_widths(plain, rng) for _ in range(50)))
