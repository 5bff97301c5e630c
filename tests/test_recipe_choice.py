"""Which of several recipes is used, and what is said about the others."""

import pytest
from rules import header, kinds, made, net, pairs, plan, recipe, refused

from reparam import library
from reparam.match import match_recipe
from reparam.modules import ModuleIndex

# --- recipes that are not even read -------------------------------------------------------------


def test_what_is_read_off_the_text_of_a_recipe_is_what_it_needs():
    for name in library.built_in_names():
        text = library._text(name)
        found = [tuple(library._QUOTED.findall(x)) for x in library._NEEDS.findall(text)]
        assert found == [s.needs for s in library._built_in(name).spellings if s.needs], name


@pytest.mark.parametrize(
    ("needs", "words", "fits"),
    [
        (['["stem.conv"]'], "net stem conv weight", True),
        (['["stem.conv"]'], "net stem weight", False),
        (['["stem.conv", "head.fc"]'], "stem conv", True),  # the others are looked for later
        (['["**.rep.fc", "stem.conv"]'], "stem conv", True),
        (['["**.rep.fc", "stem.conv"]'], "rep fc", False),
        (['["**.rep.fc", "**.{n}.id"]'], "rep fc id", True),
        (['["**.rep.fc", "**.{n}.id"]'], "rep fc", False),
        (['["stage{s}.{b+1}.*.conv"]'], "conv", True),
        (['["stage{s}.{b+1}.*.conv"]'], "convs", False),
        (['["a.x"]', '["b.x"]'], "b x", True),
        (['["a.x"]', '["b.x"]'], "c x", False),
        (['["a.x"]', None], "c", True),  # looked for anywhere
    ],
)
def test_a_recipe_whose_words_are_not_in_the_file_is_left_out(needs, words, fits):
    text = "".join(f"[[spelling]]\n{f'needs = {n}' if n else ''}\n" for n in needs)
    assert library._may_fit(text, set(words.split())) == fits


def test_recipes_that_are_left_out_would_find_nothing():
    index = ModuleIndex(header(net(*pairs("net.layer1.0"), "net.head 4x4")))
    words = {part for name in index.tensors for part in name.split(".")}
    read = {r.name for r in library.find_recipes(words=words)}
    every = library.find_recipes()
    assert len(read) < len(every)
    for item in every:
        assert item.name in read or match_recipe(item, index)[0] == []


# --- recipes that are never chosen by themselves ------------------------------------------------


def test_by_name_is_never_automatic_and_hinted_at():
    given = recipe(
        '[[spelling.block]]\nfuse = ["conv bn + id -> conv"]\n',
        top='by_name = "an identity leaves no trace"',
    )
    state = net(*pairs("a"))
    message = refused(state, given)
    assert "mine (only): an identity leaves no trace. Say so with --recipe mine" in message
    assert made(state, given, named=True) == {"a.conv": "conv bn + id"}


def test_by_name_is_hinted_at_where_norms_are_left():
    given = recipe(
        '[[spelling.block]]\nfuse = ["conv bn"]\n', name="further", top='by_name = "it goes on"'
    )
    done = plan(net(*pairs("a"), "x.lin 4x4", "x.norm 4"), kinds("lin norm"), given)
    hint = "not used: recipe further (only): it goes on. Say so with --recipe further"
    assert done.notes == (hint,)


def test_a_recipe_that_nobody_named_and_that_does_not_fit_is_not_mentioned():
    given = recipe(
        '[[spelling.block]]\nfuse = ["lin norm tail"]\n', name="option", top='by_name = "so"'
    )
    state = net(*pairs("a"), "x.lin 4x4", "x.norm 4")
    assert plan(state, kinds("conv bn"), given).notes == ()
    assert "x: has 'lin' but no 'tail'" in refused(state, given, named=True)
    assert "tail" not in refused(state, given)


DOUBT = """
[spelling.doubt]
why = "it may be a pre-activation net"
[[spelling.block]]
fuse = ["conv bn"]
maybe = ["down.0 down.1"]
"""


def test_a_doubt_is_settled_by_the_user():
    state = net(*pairs("a"))
    message = refused(state, recipe(DOUBT))
    assert "it may be a pre-activation net" in message
    assert "If it is this family, say so with --recipe mine" in message
    assert made(state, recipe(DOUBT), named=True) == {"a.conv": "conv bn"}


@pytest.mark.parametrize(
    ("layers", "settled"),
    [
        (["a.conv 4x8x3x3", "a.bn 4"], True),  # a norm before it would have eight channels
        (["a.conv 8x4x3x3", "a.bn 8"], False),  # or grouped
        (["a.conv 8x4x1x1", "a.bn 8"], True),
        (["a.conv 4x4x1x1", "a.bn 4"], False),
        ([*pairs("a"), "a.down.0 4x4x1x1", "a.down.1 4"], False),
    ],
)
def test_a_doubt_is_settled_by_shapes(layers, settled):
    if settled:
        assert plan(net(*layers), recipe(DOUBT)).fusions
    else:
        assert "pre-activation" in refused(net(*layers), recipe(DOUBT))


def test_the_name_of_a_recipe_that_has_to_be_named_settles_no_doubt():
    given = recipe(DOUBT, top='by_name = "an option"')
    message = refused(net(*pairs("a")), given, named=True)
    assert "it may be a pre-activation net. Write a recipe of your own" in message
    settled = net("a.conv 4x8x3x3", "a.bn 4")
    assert made(settled, given, named=True) == {"a.conv": "conv bn"}
    assert "an option. Say so with --recipe mine" in refused(settled, given)
    # a grouped 1x1 may read as many as it gives
    grouped = net("a.conv 8x4x1x1", "a.bn 8")
    assert "pre-activation" in refused(grouped, given, named=True)
    widened = net("a.conv 8x3x1x1", "a.bn 8")
    assert made(widened, given, named=True) == {"a.conv": "conv bn"}


# --- several recipes on one file ----------------------------------------------------------------

PLAIN = """
[[spelling.block]]
fuse = ["conv bn"]
beside = ["gate"]
keep = [{ norm = "last", why = "plain says so" }]
"""
LARGE = """
[[spelling.block]]
at = "a"
fuse = ["conv bn + skip -> rep"]
beside = ["gate"]
keep = [{ norm = "last", why = "large says so" }]
"""
LARGE_BLOCK = [*pairs("a"), "a.skip 4", "a.gate 4x4", "a.last 4"]


def test_two_recipes_on_one_layer_are_an_error_that_names_both():
    message = refused(net(*LARGE_BLOCK), recipe(PLAIN, name="plain"), recipe(LARGE, name="large"))
    assert "two recipes claim 'a.bn': plain (only) and large (only)" in message.replace(
        "recipe ", ""
    )
    assert "Choose one with --recipe" in message


@pytest.mark.parametrize("order", [1, -1])
def test_one_recipe_stands_over_another(order):
    plain = recipe(PLAIN, name="plain")
    large = recipe(LARGE, name="large", top='over = ["plain", "unknown"]')
    done = plan(net(*LARGE_BLOCK, *pairs("b")), *(plain, large)[::order])
    done.check()
    assert {f.name: f.binding.recipe for f in done.fusions} == {
        "a.rep": "large",
        "b.conv": "plain",
    }
    assert {s.name: s.reason for s in done.skipped} == {"a.last": "large says so"}
    assert done.recipes == ("plain (only)", "large (only)")[::order]


@pytest.mark.parametrize("order", [1, -1])
def test_what_a_recipe_nearly_reads_is_no_loss_to_those_below_it(order):
    state = net(*LARGE_BLOCK, *pairs("b"), "b.last 4")
    plain = recipe(PLAIN.replace('"gate"', '"gate", "skip"'), name="plain")
    large = recipe("complete = true\n" + LARGE, name="large", top='over = ["plain"]')
    done = plan(state, *(plain, large)[::order])
    done.check()
    assert [fusion.name for fusion in done.fusions] == ["a.conv", "b.conv"]
    assert done.recipes == ("plain (only)",)
    assert {s.name: s.reason for s in done.skipped}["a.last"] == "plain says so"
    assert done.notes == (
        "not used: recipe large (only): has a norm 'b.bn' that no line reads",  # and `b.last`
    )


@pytest.mark.parametrize("named", [False, True])
def test_a_recipe_that_is_not_named_takes_nothing(named):
    state = net(*LARGE_BLOCK, *pairs("b"))
    plain = recipe(PLAIN.replace('"gate"', '"gate", "skip"'), name="plain")
    large = recipe(LARGE, name="large", top='over = ["plain"]\nby_name = "an option"')
    done = plan(state, plain, large, named=named)
    assert {f.name for f in done.fusions} == {"a.rep" if named else "a.conv", "b.conv"}


def test_recipes_over_recipes_over_recipes():
    texts = {
        "one": "conv bn",
        "two": "conv bn + id -> conv",
        "three": "conv bn + avg 3 -> conv",
    }
    places = {"one": "**", "two": "{n}", "three": "{n+1}"}

    def given(**over):
        return [
            recipe(
                f'[[spelling.block]]\nat = "{places[name]}"\nfuse = ["{text}"]\n',
                name=name,
                top=f"over = {over.get(name, [])}",
            )
            for name, text in texts.items()
        ]

    one, two, three = given(two=["one"], three=["two", "one"])
    state = net(*pairs("a", "0", "1"))
    for order in ((one, two, three), (three, two, one), (two, one, three), (two, three, one)):
        done = plan(state, *order)
        assert {f.name: f.binding.recipe for f in done.fusions} == {
            "a.conv": "one",
            "0.conv": "two",
            "1.conv": "three",
        }
    one, two, three = given(two=["one"], three=["two"])
    for order in ((one, two, three), (three, two, one), (two, one, three), (two, three, one)):
        assert "two recipes claim '1.bn'" in refused(state, *order)
    one, two, _ = given(one=["two"], two=["one"])
    for order in ((one, two), (two, one)):
        assert "each stand over the other" in refused(net(*pairs("0")), *order)


SOME = """
[spelling.eps]
value = 0.5
source = "x"
{more}
[[spelling.block]]
fuse = ["{line}"]
"""


def test_recipes_that_disagree_on_eps_are_refused():
    state = net(*pairs("a"), "x.lin 4x4", "x.norm 4")
    one = recipe('[[spelling.block]]\nfuse = ["conv bn"]\n', name="one")
    two = recipe(SOME.format(line="lin norm", more=""), name="two")
    message = refused(state, one, two)
    assert "disagree on eps: 0.25 (recipe one) and 0.5 (recipe two)" in message
    assert {f.binding.eps for f in plan(state, one, two, eps=0.125).fusions} == {0.125}
    assert len(plan(net(*pairs("a")), one, two).fusions) == 1
    none = recipe(SOME.format(line="lin 0.5", more=""), name="none")  # it has no norms
    for given in ((one, none), (none, one)):
        done = plan(net(*pairs("a"), "x.lin 4x4"), *given)
        assert {f.name: f.binding.eps for f in done.fusions} == {"a.conv": 0.25, "x.lin": 0.5}


def test_eps_is_asked_for_beside_some_layers():
    given = recipe(SOME.format(line="conv bn", more='unless = ["{n}.aux"]\nask = "so many"'))
    state = net(*pairs("net.a"), "aux 4x4", "b.aux 4x4")
    assert {f.binding.eps for f in plan(state, given).fusions} == {0.5}
    state |= net("net.1.aux 4x4")
    assert "cannot know eps: so many (x). Say it with --eps" in refused(state, given)
    assert {f.binding.eps for f in plan(state, given, eps=0.125).fusions} == {0.125}


NEVER = """
needs = ["stem.conv"]
[[spelling.never]]
layer = "**.gate{n}"
why = "it looks at the whole image"
[[spelling.block]]
at = "**"
fuse = ["conv bn"]
"""


def test_a_net_that_cannot_be_fused_is_refused_whatever_fits():
    given = recipe(NEVER)
    state = net(*pairs("net.stem"), "gate1 4x4", "net.gate 4x4")
    assert set(made(state, given)) == {"net.stem.conv"}
    state |= net("net.x.gate2 4x4")
    message = refused(state, given)
    assert "mine (only): cannot be fused: net.x.gate2: it looks at the whole image" in message
    message = refused(state, given, named=True)
    assert "net.x.gate2" in message


def test_what_cannot_be_fused_counts_where_there_is_something_to_fuse():
    other = recipe('[[spelling.block]]\nfuse = ["conv bn"]\n', top='over = ["mine"]', name="other")
    state = net(*pairs("net.stem"), "net.gate2 4x4")
    assert set(made(state, recipe(NEVER), other)) == {"net.stem.conv"}


@pytest.mark.parametrize("role", ["weight", "bias"])
def test_norms_with_half_of_their_parameters_are_refused(role):
    state = net(*pairs("a"), "b.bn 4", "x.norm 4")
    del state[f"a.bn.{role}"]
    other = "bias" if role == "weight" else "weight"
    given = recipe('apart = ["b.bn"]\nkeep = [{ norm = "b.bn", why = "so" }]\n' + PLAIN)
    assert f"the norm 'a.bn' has a {other} and nothing else" in refused(state, given)
    del state[f"a.bn.{other}"], state[f"b.bn.{role}"]
    assert set(made(state, given)) == {"a.conv"}


def test_what_another_recipe_reads_is_no_torso_and_does_not_stay():
    text = """
        keep = [{ norm = "**.last", why = "below says so" }]
        [[spelling.block]]
        fuse = ["conv bn"]
        """
    below = recipe(text, name="below")
    above = recipe('[[spelling.block]]\nat = "a"\nfuse = ["x.conv last"]\n', top='over = ["below"]')
    done = plan(net("a.x.conv 4x4x3x3", "a.last 4", *pairs("b"), "b.last 4"), below, above)
    assert {f.name: f.binding.recipe for f in done.fusions} == {
        "a.x.conv": "mine",
        "b.conv": "below",
    }
    assert dict(done.keeps) == {"b.last": "below says so"}


def test_recipes_stand_over_recipes_that_exist():
    names = library.built_in_names()
    for item in library.find_recipes():
        assert set(item.over) <= {*names} - {item.name}, item.name


def test_a_recipe_left_with_nothing_is_not_mentioned():
    plain = recipe(PLAIN, name="plain", top='assumes = ["that it is plain"]')
    large = recipe(LARGE, name="large", top='over = ["plain"]')
    done = plan(net(*LARGE_BLOCK), plain, large)
    assert done.recipes == ("large (only)",)
    assert "plain" not in str(done)


@pytest.mark.parametrize("order", [1, -1])
def test_what_a_loser_knows_of_its_block_is_forgotten(order):
    """The winner does not know the gate, whatever the other recipe says about it."""
    plain = recipe(PLAIN, name="plain")
    large = recipe(LARGE.replace('beside = ["gate"]', ""), name="large", top='over = ["plain"]')
    message = refused(net(*LARGE_BLOCK, *pairs("b")), *(plain, large)[::order])
    assert "holds tensors its recipe does not know: 'a.gate.weight'" in message


def test_a_loser_keeps_its_other_lines_of_a_block():
    text = """
        [[spelling.block]]
        fuse = ["conv bn", "own norm"]
        beside = ["gate"]
        """
    loser = recipe(text, name="loser")
    winner = recipe('[[spelling.block]]\nfuse = ["conv bn + id -> conv"]\n', top='over = ["loser"]')
    object.__setattr__(winner.spellings[0].blocks[0], "beside", ("own", "norm", "gate"))
    state = net(*pairs("a"), "a.own 4x4x1x1", "a.norm 4", "a.gate 4x4")
    done = plan(state, loser, winner)
    done.check()
    assert {f.name: f.expression for f in done.fusions} == {
        "a.conv": "conv bn + id",
        "a.own": "own norm",
    }


# --- what is told about recipes that are not used -----------------------------------------------


def test_near_misses_are_told_where_norms_are_left():
    miss = recipe('[[spelling.block]]\nfuse = ["lin norm"]\n', name="miss")
    state = net(*pairs("a"), "x.lin 4x4")
    assert plan(state, kinds("conv bn"), miss).notes == ()
    state = net(*pairs("a"), "x.norm 4")
    assert plan(state, kinds("conv bn"), miss).notes == (
        "not used: recipe miss (only): x: has 'norm' but no 'lin'",
    )


def test_near_misses_of_what_others_read_are_not_told():
    miss = recipe('[[spelling.block]]\nfuse = ["conv bn norm"]\n', name="miss")
    state = net(*pairs("a"), "x.y 4")
    assert plan(state, kinds("conv bn"), miss).notes == ()
    done = plan(net(*pairs("a"), "x.norm 4"), kinds("conv bn"), miss)
    assert [note for note in done.notes if "recipe miss (only)" in note]


def test_a_norm_that_nobody_reads_is_told_with_the_recipe_that_lacks_it():
    full = recipe(
        'complete = true\n[[spelling.block]]\nat = "a"\nfuse = ["conv bn"]\n', name="full"
    )
    done = plan(net(*pairs("a"), "x.odd 4"), kinds("conv bn"), full)
    assert done.notes == ("not used: recipe full (only): has a norm 'x.odd' that no line reads",)


def test_a_norm_that_stays_is_not_left():
    text = """
        [[spelling.block]]
        fuse = ["conv bn"]
        keep = [{ norm = "norm", why = "so" }]
        """
    miss = recipe('[[spelling.block]]\nfuse = ["lin norm"]\n', name="miss")
    assert plan(net(*pairs("x"), "x.norm 4"), recipe(text), miss).notes == ()


# --- recipes of installed packages --------------------------------------------------------------


def installed(line, **keys):
    return (recipe(f'[[spelling.block]]\nfuse = ["{line}"]\n', name="theirs", **keys),)


def test_installed_recipes_are_asked_where_nothing_is_found():
    assert made(net(*pairs("a")), kinds("lin norm"), installed=installed("conv bn"))
    theirs = installed("conv bn")
    assert "no 'bn'" in refused(net("a.conv 4x4"), kinds("lin norm"), installed=theirs)
    assert "no 'norm'" in refused(net("a.lin 4x4"), kinds("lin norm"), installed=theirs)


def test_installed_recipes_are_asked_where_norms_are_left():
    state = net(*pairs("a"), "x.lin 4x4", "x.norm 4")
    done = plan(state, kinds("lin norm"), installed=installed("conv bn"))
    assert done.recipes == ("mine (only)", "theirs (only)")
    assert done.notes == ()


def test_installed_recipes_that_have_to_be_named_are_not_used():
    state = net(*pairs("a"), "x.lin 4x4", "x.norm 4")
    theirs = installed("conv bn", top='by_name = "so"')
    assert plan(state, kinds("lin norm"), installed=theirs).recipes == ("mine (only)",)


def test_installed_recipes_are_not_asked_otherwise():
    state = net(*pairs("a"), "x.lin 4x4", "x.norm 4")
    assert plan(state, kinds("lin norm"), named=True, installed=None).recipes == ("mine (only)",)
    whole = kinds("conv bn", "lin norm")
    assert plan(state, whole, installed=None).recipes == ("mine (only)",)
