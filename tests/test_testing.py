"""The public test tools keep their promises: numbers that are exact, and all the variety."""

import math
import os
import subprocess
import sys
from decimal import Decimal, localcontext
from pathlib import Path
from types import SimpleNamespace

import loops
import numpy as np
import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from reparam import Conv, NumericError, fuse_conv_bn, fuse_state_dict, round_to
from reparam import operations as ops
from reparam.checkpoint import TensorInfo
from reparam.modules import ModuleIndex
from reparam.parsing import parse
from reparam.recipe_toml import recipe_of_lines
from reparam.resolve import resolve
from reparam.testing import batch_norms, branch_trees, convs, hostile_statistics, images, integers
from reparam.testing.branches import KINDS, TRANSPOSED
from reparam.testing.layers import EPS, geometries, group_counts
from reparam.testing.statistics import ILLEGAL, LEGAL

ROOT = Path(__file__).parents[1]
ENOUGH = settings(max_examples=2000, database=None, phases=[Phase.generate])


def some(strategy, holds):
    """An example with a property; fails if there is none."""
    return find(strategy, holds, settings=ENOUGH)


def test_without_hypothesis_it_says_what_to_install():
    code = (
        "import sys\n"
        "class Without:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'hypothesis': raise ModuleNotFoundError(name)\n"
        "sys.modules['hypothesis'] = None\n"
        "import importlib.util\n"
        "find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda n, p=None: None if n == 'hypothesis' else find(n, p)\n"
        "import reparam\n"
        "try:\n"
        "    import reparam.testing\n"
        "except ImportError as error:\n"
        "    print(error.name, '|', error)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("hypothesis | reparam.testing needs Hypothesis")
    assert "pip install 'reparam[test]'" in done.stdout


@pytest.mark.parametrize(
    "given_one",
    [{"kernel_size": (3, 5)}, {"stride": (2, 1)}, {"dilation": (2, 1)}, {"origin": (1, 0)}],
    ids=str,
)
def test_a_sequence_tells_how_many_axes_there_are(given_one):
    ((what, value),) = given_one.items()
    attribute = {"kernel_size": "space"}.get(what, what)

    @given(convs(**given_one))
    def holds(conv):
        assert getattr(conv, attribute) == value

    holds()
    with pytest.raises(ValueError, match="expected 1 number, one per spatial axis"):
        find(convs(1, **given_one), lambda _: True)


def test_groups_divide_the_numbers_of_channels():
    for groups in (1, 2, 3, 4, 5):
        conv = some(convs(2, groups=groups), lambda c: c.inputs > c.groups < c.outputs)
        assert conv.groups == groups
    for counts, what in (({"inputs": 4}, "inputs=4"), ({"inputs": 6, "outputs": 4}, "outputs=4")):
        with pytest.raises(ValueError, match=f"groups=3: expected a divisor of {what}"):
            find(convs(2, groups=3, **counts), lambda _: True)


@given(st.integers(1, 3), st.integers(1, 9), st.data())
def test_images_have_at_least_as_many_pixels(rank, least, data):
    x = data.draw(images(2, rank, least=least))
    assert min(x.shape[1:]) >= least


@given(st.sampled_from([0.25, 0.5, 1.0, 3.0, 4.0, 5.0, 100.0]), st.data())
def test_variances_are_positive_whatever_eps_is(eps, data):
    var = data.draw(batch_norms(6, eps=eps))["running_var"].astype(np.float64)
    assert (var > 0).all()
    assert (np.frexp(np.sqrt(var + eps))[0] == 0.5).all()
    assert (
        data.draw(hostile_statistics(6, eps=eps, kind="negative weight"))["running_var"] > 0
    ).all()


# --- layers -------------------------------------------------------------------------------------


def per_axis(conv):
    return zip(conv.space, conv.dilation, conv.origin, strict=True)


@pytest.mark.parametrize(
    "holds",
    [
        *(lambda c, rank=rank: c.rank == rank for rank in range(4)),
        lambda c: c.rank == 2 and c.inputs == c.outputs > 1,
        lambda c: c.rank == 2 and c.inputs > c.outputs > 1,
        lambda c: c.rank == 2 and 1 < c.inputs < c.outputs,
        lambda c: c.rank == 2 and c.space[0] != c.space[1],
        lambda c: c.rank == 2 and c.space[0] == 2 < c.space[1],
        lambda c: c.groups > 1 and c.inputs > c.groups < c.outputs,
        lambda c: c.groups == c.inputs > 1 and c.outputs > c.inputs,
        lambda c: c.groups == c.inputs == c.outputs > 1,
        lambda c: c.rank == 2 and len(set(c.stride)) == 2,
        lambda c: c.rank == 2 and len(set(c.dilation)) == 2,
        lambda c: c.rank == 2 and all(o > d * (k - 1) / 2 for k, d, o in per_axis(c)),
        lambda c: c.rank == 2 and all(o < d * (k - 1) / 2 for k, d, o in per_axis(c)),
        lambda c: c.rank == 1 and c.origin[0] > c.dilation[0] * (c.space[0] - 1),
        lambda c: c.outputs == 6 and not c.bias.any(),
        lambda c: c.outputs > 1 and c.bias.all(),
        lambda c: c.kernel.min() == -4 and c.kernel.max() == 4,
    ],
)
@pytest.mark.parametrize("transposed", [False, True])
def test_convolutions_of_every_sort_are_drawn(holds, transposed):
    conv = some(convs(transposed=transposed), holds)
    assert conv.transposed is transposed


@given(convs())
def test_numbers_of_convolutions_are_small_and_whole(conv):
    for values in (conv.kernel, conv.bias):
        assert np.array_equal(values, np.rint(values))
        assert np.abs(values).max() <= 4
    assert conv.inputs % conv.groups == conv.outputs % conv.groups == 0
    assert not conv.transposed


@given(st.data(), st.integers(1, 3), st.booleans())
def test_every_field_of_a_convolution_can_be_fixed(data, rank, transposed):
    groups = data.draw(st.integers(1, 3))
    inputs, outputs = (groups * data.draw(st.integers(1, 3)) for _ in range(2))
    size, dilation, origin = data.draw(geometries(rank))
    stride = data.draw(st.tuples(*[st.integers(1, 3)] * rank))
    bias = data.draw(integers((outputs,)))
    geometry = {"groups": groups, "stride": stride, "dilation": dilation, "origin": origin}
    fixed = geometry | {"kernel_size": size, "bias": bias, "transposed": transposed}
    conv = data.draw(convs(rank, inputs, outputs, **fixed))
    assert (conv.rank, conv.inputs, conv.outputs, conv.space) == (rank, inputs, outputs, size)
    assert {key: getattr(conv, key) for key in geometry} == geometry
    assert np.array_equal(conv.bias, bias)
    assert conv.transposed is transposed


@given(st.data(), st.sampled_from([1, 2, 3, 6]))
def test_one_field_alone_can_be_fixed(data, number):
    assert data.draw(convs(groups=number)).groups == number
    assert data.draw(convs(inputs=number)).inputs == number
    assert data.draw(convs(outputs=number)).outputs == number
    assert set(data.draw(convs(kernel_size=number)).space) <= {number}
    assert set(data.draw(convs(stride=number)).stride) <= {number}
    assert not data.draw(convs(bias=False)).bias.any()
    conv = data.draw(convs(rank=2, kernel_size=(number, 1), origin=0))
    assert (conv.space, conv.origin) == ((number, 1), (0, 0))


def test_a_bias_that_is_asked_for_is_there():
    found = some(convs(rank=0, inputs=1, outputs=2, bias=True), lambda c: c.bias.all())
    assert found.bias.shape == (2,)


@given(st.integers(1, 6), st.integers(1, 6), st.data())
def test_groups_divide_both(inputs, outputs, data):
    groups = data.draw(group_counts(inputs, outputs))
    assert inputs % groups == outputs % groups == 0


@pytest.mark.parametrize("rank", range(4))
def test_images_are_of_any_size_up_to_the_largest(rank):
    most = 3 if rank == 3 else 5
    found = some(images(2, rank, most=5), lambda x: all(n == most for n in x.shape[1:]))
    assert found.dtype == np.float64
    if rank:
        assert some(images(2, rank, most=5), lambda x: x.shape[1] == 1).shape[0] == 2
        assert some(images(2, rank, least=2), lambda x: x.min() == -4).shape[1] >= 2
    assert some(images(2, rank), lambda x: x.max() == 4).shape[0] == 2


@given(st.integers(0, 3), st.data())
def test_images_are_no_larger_and_no_smaller_than_asked_for(rank, data):
    x = data.draw(images(3, rank, least=2, most=5))
    assert (len(x), x.ndim) == (3, rank + 1)
    assert all(2 <= n <= (3 if rank == 3 else 5) for n in x.shape[1:])


# --- batch norms --------------------------------------------------------------------------------


@given(st.integers(1, 6), st.data())
def test_the_root_of_a_norm_is_a_power_of_two(channels, data):
    norm = data.draw(batch_norms(channels))
    total = norm["running_var"].astype(np.float64) + norm["eps"]
    root = np.sqrt(total)
    assert np.array_equal(root * root, total)
    assert (np.frexp(root)[0] == 0.5).all()
    assert (norm["running_var"] > 0).all()
    for role in ("running_mean", "running_var", "weight", "bias"):
        if norm[role] is not None:
            assert norm[role].shape == (channels,)
            assert norm[role].dtype == np.float32
            assert role == "running_var" or not (4 * norm[role] % 1).any()


@pytest.mark.parametrize(
    "holds",
    [
        lambda n: n["weight"] is None and n["bias"] is not None,
        lambda n: n["weight"] is not None and n["bias"] is None,
        lambda n: n["weight"] is None and n["bias"] is None,
        lambda n: n["weight"] is not None and (n["weight"] < 0).any(),
        lambda n: n["bias"] is not None and n["bias"].all(),
        lambda n: len(set(n["running_var"])) == 4 and n["running_mean"].all(),
        lambda n: min(n["running_var"] + n["eps"]) < 1 < max(n["running_var"]),
        *(lambda n, eps=eps: n["eps"] == eps for eps in EPS),
    ],
)
def test_norms_of_every_sort_are_drawn(holds):
    assert holds(some(batch_norms(4), holds))


@given(st.data(), st.booleans(), st.sampled_from([1e-5, 2.0**-8]))
def test_what_a_norm_must_be_can_be_fixed(data, affine, eps):
    norm = data.draw(batch_norms(3, eps=eps, affine=affine))
    assert norm["eps"] == eps
    assert (norm["weight"] is not None) is (norm["bias"] is not None) is affine
    root = np.sqrt(norm["running_var"].astype(np.float64) + eps)
    assert np.allclose(root, 2.0 ** np.rint(np.log2(root)), rtol=1e-6)


# --- hostile statistics -------------------------------------------------------------------------


def exact_scale(norm, index):
    with localcontext(prec=80):
        total = Decimal(float(norm["running_var"][index])) + Decimal(norm["eps"])
        weight = 1 if norm["weight"] is None else Decimal(float(norm["weight"][index]))
        return weight / total.sqrt()


@pytest.mark.parametrize("kind", LEGAL)
@given(st.data(), st.integers(1, 4))
def test_hostile_statistics_are_legal(kind, data, channels):
    norm = data.draw(hostile_statistics(channels, kind=kind))
    fused = fuse_conv_bn(Conv(np.eye(channels)), **norm)
    assert np.isfinite(fused.bias).all()
    scale = np.diagonal(fused.kernel)
    assert np.abs(scale).max() <= 2.0**100
    assert np.isfinite(fused.bias.astype(np.float32)).all()
    for index in range(channels):
        exact = exact_scale(norm, index)
        assert abs(Decimal(float(scale[index])) - exact) <= abs(exact) * Decimal(2) ** -53


@pytest.mark.parametrize("kind", ILLEGAL)
@given(st.data(), st.integers(1, 4))
def test_illegal_statistics_are_refused(kind, data, channels):
    norm = data.draw(hostile_statistics(channels, legal=False, kind=kind))
    with pytest.raises(NumericError):
        fuse_conv_bn(Conv(np.eye(channels)), **norm)


def total(norm):
    return norm["running_var"].astype(np.float64) + norm["eps"]


def cancelled(norm):
    """How much of a shift is left, relative to what it is made of."""
    scale = np.array([float(exact_scale(norm, i)) for i in range(len(norm["bias"]))])
    moved = norm["running_mean"] * scale
    return np.abs(norm["bias"] - moved) / np.abs(moved)


def twice(norm, dtype):
    """Whether rounding a scale to float32 first gives another number."""
    if norm["weight"].dtype != np.float64:
        return False
    scale = norm["weight"] / np.sqrt(total(norm))
    through = round_to(scale.astype(np.float32).astype(np.float64), dtype)
    return bool((through != round_to(scale, dtype)).any())


@pytest.mark.parametrize(
    ("kind", "holds"),
    [
        ("zero variance", lambda n: (n["running_var"] == 0).all()),
        ("zero variance", lambda n: (n["running_var"] == 0).sum() == 1),
        ("denormal variance", lambda n: n["eps"] == 0 and n["running_var"].min() == 2.0**-149),
        ("huge weight", lambda n: np.abs(n["weight"]).max() >= 2.0**88),
        ("tiny weight", lambda n: 0 < np.abs(n["weight"]).min() < 2.0**-140),
        ("negative weight", lambda n: (n["weight"] < 0).all() and n["bias"].any()),
        ("cancelling", lambda n: 0 < cancelled(n).max() < 2.0**-23),
        ("ties", lambda n: twice(n, "float16")),
        ("ties", lambda n: twice(n, "bfloat16")),
        ("float16", lambda n: all(n[r].dtype == np.float16 for r in ("weight", "running_var"))),
        ("bfloat16", lambda n: all(n[r].dtype.name == "bfloat16" for r in ("bias", "weight"))),
    ],
)
def test_hostile_statistics_are_what_they_are_called(kind, holds):
    assert holds(some(hostile_statistics(3, kind=kind), holds))


@given(hostile_statistics(1, kind="ties"))
def test_ties_are_a_hair_beside_the_middle(norm):
    scale = abs(float(norm["weight"][0] / math.sqrt(total(norm)[0])))
    halves = []
    for digits in (24, 11, 8):
        units = math.ldexp(math.frexp(scale)[0], digits)
        halves.append(abs(units % 1 - 0.5))
    assert min(halves) == 0 or 2.0**-50 <= min(halves) <= 2.0**-20


@pytest.mark.parametrize(
    ("kind", "holds"),
    [
        *(("nan", lambda n, role=role: np.isnan(n[role]).any()) for role in ("weight", "bias")),
        *(("infinite", lambda n, s=s: (n["running_var"] == s * np.inf).any()) for s in (1, -1)),
        ("negative variance", lambda n: n["eps"] and n["running_var"].min() == -n["eps"]),
        ("negative variance", lambda n: n["eps"] and -n["eps"] < n["running_var"].min() < 0),
        ("no variance", lambda n: (n["running_var"] > 0).any()),
    ],
)
def test_illegal_statistics_are_what_they_are_called(kind, holds):
    assert holds(some(hostile_statistics(3, legal=False, kind=kind), holds))


@given(st.data(), st.sampled_from([1e-5, 0.0, 2.0**-4]), st.booleans())
def test_the_constant_of_hostile_statistics_can_be_fixed(data, eps, legal):
    norm = data.draw(hostile_statistics(2, eps=eps, legal=legal))
    assert norm["eps"] == eps
    layer = Conv(np.eye(2))
    if legal:
        assert np.isfinite(fuse_conv_bn(layer, **norm).kernel).all()
    else:
        with pytest.raises(NumericError):
            fuse_conv_bn(layer, **norm)


@pytest.mark.parametrize("legal", [True, False])
def test_every_kind_of_statistics_is_drawn(legal):
    drawn = []
    with pytest.MonkeyPatch.context() as patch:
        kinds = LEGAL if legal else ILLEGAL
        for name, make in list(kinds.items()):
            patch.setitem(kinds, name, lambda *a, n=name, m=make: drawn.append(n) or m(*a))
        settings(max_examples=300, database=None)(
            given(hostile_statistics(2, legal=legal))(lambda _: None)
        )()
        assert set(drawn) == set(kinds)


@pytest.mark.parametrize(
    "strategy",
    [
        hostile_statistics(2, kind="nan"),
        hostile_statistics(2, kind="zero variance", eps=0.0),
        hostile_statistics(2, kind="no variance", eps=1e-5, legal=False),
        branch_trees("odd"),
    ],
)
def test_unknown_kinds_are_refused(strategy):
    with pytest.raises(ValueError, match="expected one of"):
        find(strategy, lambda _: True)


# --- blocks -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [*KINDS, TRANSPOSED])
@given(st.data())
def test_a_tree_runs_as_its_fold_and_is_what_its_line_says(kind, data):
    tree = data.draw(branch_trees(kind))
    x = data.draw(images(tree.inputs, tree.rank, most=4))
    y = tree.run(x[None])[0]
    assert np.array_equal(loops.convolve(tree.fold(), x), y)
    assert len(y) == tree.outputs
    header = {name: TensorInfo(v.shape, v.dtype.name) for name, v in tree.tensors.items()}
    assert resolve(parse(tree.line).tree, ModuleIndex(header), "", eps=math.nan) == tree.op


@given(st.one_of(branch_trees(), branch_trees(TRANSPOSED)))
def test_the_line_of_a_tree_fuses_its_tensors(tree):
    fused = fuse_state_dict(tree.tensors, recipe=recipe_of_lines([tree.line], 0.0))
    conv = tree.fold()
    assert np.array_equal(fused["fused.weight"], conv.kernel)
    assert np.array_equal(fused.get("fused.bias", np.zeros(1)), conv.bias) or not conv.bias.any()
    assert set(fused) <= {"fused.weight", "fused.bias"}


def convolutions(tree):
    """Geometry of the convolutions in a tree."""
    for leaf in ops.leaves(tree.op):
        if isinstance(leaf, ops.ConvOp):
            taps = leaf.shape[2:]
            span = max(
                (d * (k - 1) + 1 for d, k in zip(leaf.dilation, taps, strict=True)), default=1
            )
            yield SimpleNamespace(
                groups=leaf.groups,
                bias=leaf.bias,
                rank=len(taps),
                origin=leaf.origin,
                dilation=leaf.dilation,
                span=span,
            )


@pytest.mark.parametrize(
    "holds",
    [
        lambda t: " + " in t.line and t.inputs != t.outputs,
        lambda t: t.line.startswith("- "),
        lambda t: "id" in t.line.split(),
        lambda t: "avg" in t.line,
        lambda t: any(c.groups > 1 and c.bias is None for c in convolutions(t)),
        lambda t: any(c.rank and c.origin == (0,) * c.rank and c.span > 2 for c in convolutions(t)),
        lambda t: any(set(c.dilation) == {1, 2} and c.bias for c in convolutions(t)),
        lambda t: "border=image" in t.line and "border=valid" in t.line,
        *(lambda t, rank=rank: t.rank == rank for rank in range(4)),
    ],
)
def test_trees_of_every_sort_are_drawn(holds):
    assert holds(some(branch_trees(), holds))


@given(branch_trees())
def test_rows_of_a_tensor_can_be_read(tree):
    for name, values in tree.tensors.items():
        assert tree.read(name) is values
        assert np.array_equal(tree.read(name, (0, 1)), values[:1])
