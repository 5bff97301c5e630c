"""State dicts made from recipes alone: of the right spelling, fusible, exact, and various."""

import functools

import numpy as np
import pytest
from families import FAMILIES
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st
from rules import header, recipe

import reparam
from reparam import operations as ops
from reparam.checkpoint import TensorInfo
from reparam.expression import layers
from reparam.keras_names import from_keras
from reparam.library import find_recipes
from reparam.modules import ModuleIndex
from reparam.patterns import join
from reparam.plans import Settings
from reparam.recipe_plan import plan_tensors
from reparam.reference import probe_size, run
from reparam.testing import state_dicts, states
from reparam.testing.kinds import kinds

EPS = 2.0**-10
SIZE = (32, 32)
SPELLINGS = [(r, s) for r in find_recipes() for s in r.spellings]
CANNOT_BE_MADE: set[tuple[str, str]] = set()
"""Spellings that `state_dicts` refuses; this list may only shrink."""

ROUNDED = {
    *(("dbb", s.name) for s in find_recipes("dbb")[0].spellings),  # averages of nine pixels
    ("yolov6-qarepvggv2", "official"),
    ("repvgg", "EfficientLoFTR, Hugging Face"),  # norms of two eps
    ("ultralytics", "classification"),
}
"""Spellings whose numbers are not all dyadic."""

FEW = settings(
    max_examples=max(3, settings.default.max_examples // 25),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
ENOUGH = settings(max_examples=300, database=None, phases=[Phase.generate])


def in_our_names(state, layout):
    return from_keras(state).arrays if layout == "keras" else state


def plan_of(state, of):
    layout = "keras" if of.layout == "keras" else "torch"
    return plan_tensors(
        header(in_our_names(state, layout)),
        {},
        "state dict",
        recipe=of,
        eps=EPS,
        settings=Settings(),
        layout=layout,
        input_size=SIZE if layout == "keras" else None,
    )


def reader(tensors):
    def read(name, rows=None):
        values = tensors[name].astype(np.float64)
        return values if rows is None else values[slice(*rows)]

    return read


@functools.cache
def pixels(shape):
    return np.random.default_rng(len(shape)).integers(-4, 5, shape).astype(np.float64)


def check(state, of, spelling, *, exact):
    """Plan, fuse, and run both forms of every block on an image, in float64."""
    state = {k: v.astype(np.float64) if v.dtype.kind == "f" else v for k, v in state.items()}
    plan = plan_of(state, of)
    assert plan.recipes == (f"{of.name} ({spelling.name})",)
    assert plan.unclaimed == ()
    layout = "keras" if of.layout == "keras" else "torch"
    options = {"layout": layout, "input_size": SIZE} if layout == "keras" else {}
    fused = reparam.fuse_state_dict(state, recipe=of.name, eps=EPS, **options)
    before, after = in_our_names(state, layout), in_our_names(fused, layout)
    for fusion in plan.fusions:
        image = tuple(n + 1 for n in probe_size(fusion.op))
        x = pixels((1, ops.inputs(fusion.op), *image))
        wanted, found = run(fusion.op, reader(before), x), run(fusion.after, reader(after), x)
        if exact:
            assert np.array_equal(found, wanted), fusion.name
        else:
            assert np.abs(found - wanted).max() <= 1e-12 * np.abs(wanted).max(), fusion.name


@pytest.mark.parametrize(("of", "spelling"), SPELLINGS, ids=lambda x: x.name)
def test_every_spelling_can_be_made(of, spelling):
    key = (of.name, spelling.name)
    if key in CANNOT_BE_MADE:
        with pytest.raises(ValueError, match="no state dict of it can be made"):
            find(state_dicts(of.name, spelling.name), lambda _: True)
        return

    @FEW
    @given(state_dicts(of.name, spelling.name, eps=EPS))
    def holds(state):
        check(state, of, spelling, exact=key not in ROUNDED)

    holds()


def test_a_state_dict_of_another_spelling_is_told():
    (of,) = find_recipes("yolov6")
    one, other = of.spellings
    state = states.make_state(of, one, np.random.default_rng(0), EPS)
    assert states.objection(of, one, state) == ""
    assert states.objection(of, other, state) == f"it is one of yolov6 ({one.name})"


@pytest.mark.parametrize("name", ["fastvit", "kecam-reparam"])
def test_where_nothing_drawn_is_claimed_what_is_known_to_be_is_given(name, monkeypatch):
    (of,) = find_recipes(name)
    spelling = of.spellings[0]
    states.site_of(of, spelling)
    with monkeypatch.context() as patched:
        patched.setattr(states, "objection", lambda *_: "no")
        given = [
            states.make_state(of, spelling, np.random.default_rng(seed), EPS) for seed in (1, 2)
        ]
    assert [*given[0]] == [*given[1]]
    assert all(np.array_equal(given[0][k], given[1][k]) for k in given[0])
    assert states.objection(of, spelling, given[0]) == ""


@pytest.mark.parametrize("family", FAMILIES, ids=" / ".join)
def test_layers_are_told_apart_as_in_samples_written_by_hand(family):
    """An expression does not say what is a norm, so a guess must be right for all known nets."""
    sample = FAMILIES[family]
    index = ModuleIndex(header(sample.state))
    plan = plan_tensors(
        header(sample.state),
        {},
        "sample",
        recipe=family[0],
        eps=EPS,
        settings=Settings(),
        input_size=None,
    )
    assert plan.fusions
    for fusion in plan.fusions:
        tree = fusion.binding.line.tree
        really = {x.name: index.get(join(fusion.binding.block, x.name)).kind for x in layers(tree)}
        assert kinds(tree) == {k: v.replace("scale", "factor") for k, v in really.items()}


# --- variety ------------------------------------------------------------------------------------


def some(strategy, holds):
    return find(strategy, holds, settings=ENOUGH)


def shapes(state, end):
    return [v.shape for k, v in state.items() if k.endswith(end)]


def named(state, *parts):
    return [name for name in state if all(part in name for part in parts)]


@pytest.mark.parametrize(
    "holds",
    [
        lambda s: named(s, "rbr_identity") and len(shapes(s, "rbr_dense.conv.weight")) == 1,
        lambda s: not named(s, "rbr_identity"),
        lambda s: len(shapes(s, "rbr_dense.conv.weight")) >= 3,
        lambda s: any(out == into for out, into, *_ in shapes(s, "rbr_dense.conv.weight")),
        lambda s: any(out > into for out, into, *_ in shapes(s, "rbr_dense.conv.weight")),
        lambda s: any(out < into for out, into, *_ in shapes(s, "rbr_dense.conv.weight")),
        lambda s: any(h != w for *_, h, w in shapes(s, "rbr_dense.conv.weight")),
        lambda s: any(
            into == 1 and f"{name.partition('rbr_')[0]}rbr_identity.running_var" in s
            for name, (_, into, *_) in ((n, s[n].shape) for n in named(s, "dense.conv.weight"))
        ),
        lambda s: named(s, "rbr_dense.conv.bias") and not named(s, "rbr_1x1.conv.bias"),
        lambda s: named(s, "num_batches_tracked"),
        lambda s: any(
            f"{name.rpartition('.')[0]}.weight" not in s for name in named(s, "running_var")
        ),
        lambda s: all(name.startswith("module.") for name in s),
        lambda s: any(name.startswith("model.backbone.") for name in s),
    ],
)
def test_blocks_of_every_sort_are_made(holds):
    assert holds(some(state_dicts("repvgg", "official"), holds))


@pytest.mark.parametrize(
    ("name", "spelling", "holds"),
    [
        ("mobileone", "timm", lambda s: named(s, "conv_kxk.2.conv.weight")),
        ("mobileone", "timm", lambda s: not named(s, "conv_kxk.1.") and not named(s, "scale")),
        ("unireplknet", None, lambda s: named(s, "dil_conv_k5_5.weight")),
        ("resnet", "torchvision, timm", lambda s: named(s, "conv3") and named(s, "downsample")),
        ("resnet", "torchvision, timm", lambda s: not named(s, "conv3")),
        ("dbb", "official", lambda s: named(s, "idconv1") and not named(s, "dbb_avg.conv")),
        (
            "dbb",
            "official",
            lambda s: any(x[2:] == (5, 5) for x in shapes(s, "dbb_origin.conv.weight")),
        ),
        ("starnet", None, lambda s: named(s, "g.conv") and named(s, "f1")),
        ("kecam-reparam", "depthwise", lambda s: named(s, "depthwise_kernel")),
        ("repvgg-keras", "same padding", lambda s: named(s, "rbr_identity/moving_mean")),
    ],
)
def test_what_recipes_allow_is_made(name, spelling, holds):
    assert holds(some(state_dicts(name, spelling), holds))


@pytest.mark.parametrize("spelling", [s.name for s in find_recipes("mobileone")[0].spellings])
def test_spellings_are_drawn(spelling):
    (of,) = find_recipes("mobileone")

    def holds(state):
        return plan_of(state, of).recipes == (f"mobileone ({spelling})",)

    assert some(state_dicts("mobileone"), holds)


@given(state_dicts("repvgg", "timm", eps=2.0**-4))
def test_numbers_are_dyadic(state):
    for name, values in state.items():
        if name.endswith("running_var"):
            roots = np.sqrt(values.astype(np.float64) + 2.0**-4)
            assert (np.frexp(roots)[0] == 0.5).all()
        else:
            assert not (4 * values % 1).any()
            assert np.abs(values).max() <= 7


@given(state_dicts("repvgg"))
def test_tensors_do_not_share_memory(state):
    for name, values in state.items():
        values[...] = 0
        assert not any(np.shares_memory(values, v) for k, v in state.items() if k != name)


# --- recipes of the user's own, and refusals ----------------------------------------------------


MINE = """
needs = ["stem.conv"]
[[spelling.block]]
at = "stem"
fuse = ["conv bn"]
[[spelling.block]]
at = "stages.{s}.block_{b+1}"
fuse = ["big norm + (little[kernel=1] little_norm)? + id -> one"]
"""


@FEW
@given(st.data())
def test_a_recipe_of_ones_own(data):
    mine = recipe(MINE)
    state = data.draw(state_dicts(mine))
    (plan,) = [plan_of(state, mine)]
    assert plan.recipes == ("mine (only)",)
    assert any(fusion.name.endswith("stem.conv") for fusion in plan.fusions)


def test_its_other_kinds_of_block_are_made_too():
    found = some(state_dicts(recipe(MINE)), lambda s: named(s, "little_norm"))
    assert named(found, "stages.", "block_", "big.weight")


def test_a_recipe_by_its_path(tmp_path):
    path = tmp_path / "mine.toml"
    eps = 'eps = { value = 0.25, source = "a test" }\n'
    head = f'name = "mine"\ntitle = "made up"\n{eps}[[spelling]]\nname = "only"\n'
    path.write_text(head + MINE, "utf-8")
    assert named(some(state_dicts(path), lambda _: True), "stem.bn")


NEVER = """
never = [{ layer = "**.bn", why = "a test" }]
[[spelling.block]]
fuse = ["conv bn"]
"""


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (NEVER, "a test"),
        (MINE.replace('["stem.conv"]', '["stem.conv", "stem.bn.{n}", "stem.bn"]'), ""),
    ],
)
def test_what_cannot_be_made_is_refused_with_a_reason(text, why):
    with pytest.raises(ValueError, match=r"mine \(only\): no state dict of it can be made") as saw:
        find(state_dicts(recipe(text)), lambda _: True)
    assert why in str(saw.value)


def test_unknown_recipes_and_spellings_are_refused():
    with pytest.raises(reparam.RecipeError, match="repvggg"):
        find(state_dicts("repvggg"), lambda _: True)
    with pytest.raises(ValueError, match=r"repvgg has no spelling 'tim', only official"):
        find(state_dicts("repvgg", "tim"), lambda _: True)


def test_the_header_of_a_state_dict_is_its_names_shapes_and_dtypes():
    assert header({"a": np.ones(2, np.float32)}) == {"a": TensorInfo((2,), "float32")}
