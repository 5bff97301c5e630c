"""Every mistake of a fusing tool is named, only it, and nothing where there is none."""

# ruff: noqa: ARG001  every edit is given kernel and bias

from contextlib import suppress
from dataclasses import replace
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from ml_dtypes import bfloat16
from tools import (
    AddedMean,
    Block,
    Branch,
    Elsewhere,
    EpsOutside,
    Factor,
    GammaBeta,
    Half,
    InFloat16,
    NoBeta,
    NoBias,
    NoEps,
    NoGamma,
    NoMean,
    NoNorm,
    NoPointNorm,
    Numbered,
    OtherEps,
    OtherNorm,
    ScaledInputs,
    Tool,
    Turned,
    Twice,
    UnscaledBias,
    VarianceAsDeviation,
    Without,
)

from reparam import operations as ops
from reparam.arrays import ArrayReader
from reparam.binding import bind
from reparam.certificate import certify
from reparam.errors import ReparamError
from reparam.explain import VARIED, explain, scales, settle
from reparam.fits import shortest
from reparam.fold import fold
from reparam.grades import Grade, broken
from reparam.mistakes import candidates
from reparam.parsing import parse
from reparam.plans import Binding, Settings
from reparam.testing import branch_trees
from reparam.testing.layers import seeds

EPS = 1e-5
PRECISIONS = [np.float64, np.float32]


class Maker:
    """Tensors with the statistics of trained nets; no two layers have the same."""

    def __init__(self, seed=0):
        self.rng = np.random.default_rng(seed)
        self.state = {}

    def conv(self, path, *shape, bias=None):
        self.keep(f"{path}.weight", self.rng.normal(0, 0.2, shape))
        if bias:
            self.keep(f"{path}.bias", self.rng.normal(0, 0.5, bias))

    def norm(self, path, channels):
        var = self.rng.uniform(0.05, 4, channels)
        var[::5] = self.rng.uniform(0.5e-4, 2e-4, len(var[::5]))
        self.keep(f"{path}.weight", self.rng.normal(1, 0.4, channels))
        self.keep(f"{path}.bias", self.rng.normal(0, 0.5, channels))
        self.keep(f"{path}.running_mean", self.rng.normal(0, 0.5, channels))
        self.keep(f"{path}.running_var", var)

    def keep(self, name, values):
        self.state[name] = values.astype(np.float32)


def fusions(lines, state, eps):
    bindings = [Binding(path, parse(line), "test", eps, "test") for path, line in lines.items()]
    tensors = ArrayReader(state).tensors
    lists = dict.fromkeys(("recipes", "assumes", "notes"), ())
    return bind(tensors, {}, "test", bindings, Settings(), **lists, keeps={}, beside={}).fusions


def stored(fusion, *values):
    names = (write.name for write in fusion.writes)
    return ArrayReader(dict(zip(names, values, strict=False))).read


def named(*arguments, **more):
    """What is said of a block alone."""
    return settle({0: explain(*arguments, **more)})[0] or None


class Net:
    """Blocks with their tensors and their plan; the first block is the one that is fused."""

    def __init__(self, maker, *blocks, eps=EPS):
        self.state, self.blocks, self.eps = maker.state, blocks, eps
        self.before = ArrayReader(self.state).read
        self.fusions = fusions({b.path: b.line for b in blocks}, self.state, eps)

    @property
    def fusion(self):
        return next(f for f in self.fusions if f.name == f"{self.blocks[0].path}.fused")

    def explained(self, kernel, bias):
        after = stored(self.fusion, kernel, bias)
        return named(self.fusion, self.fusions, self.before, after)

    def named(self, tool, dtype, *arguments):
        return self.explained(*tool(self.state, self.eps, dtype, *arguments).fused(self.blocks[0]))


def pairs(groups=1, *, bias=True, space=(3, 3), channels=20, into=16, transposed=False, eps=EPS):
    """Three convolutions with norms."""
    maker = Maker()
    blocks = []
    for path in ("layer.1", "layer.0", "layer.2"):
        shape = (into, channels // groups) if transposed else (channels, into // groups)
        maker.conv(f"{path}.conv", *shape, *space, bias=channels if bias else None)
        maker.norm(f"{path}.bn", channels)
        blocks.append(Block(path, (Branch("conv", "bn"),), groups, transposed))
    return Net(maker, *blocks, eps=eps)


def repvgg(groups=1, space=(3, 3), channels=16, eps=EPS):
    """Three blocks of RepVGG with their identity."""
    maker = Maker()
    blocks = []
    for path in ("stage.1", "stage.0", "stage.2"):
        point = (1,) * len(space)
        maker.conv(f"{path}.dense.conv", channels, channels // groups, *space)
        maker.norm(f"{path}.dense.bn", channels)
        maker.conv(f"{path}.point.conv", channels, channels // groups, *point)
        maker.norm(f"{path}.point.bn", channels)
        maker.norm(f"{path}.identity", channels)
        branches = Branch("dense.conv", "dense.bn"), Branch("point.conv", "point.bn")
        blocks.append(Block(path, (*branches, Branch(None, "identity")), groups))
    return Net(maker, *blocks, eps=eps)


NETS = {
    "pair": pairs(),
    "grouped pair": pairs(2),
    "depthwise": pairs(16, channels=16),
    "linear": pairs(space=()),
    "1-D": pairs(space=(4,)),
    "transposed": pairs(space=(2, 2), transposed=True),
    "grouped transposed": pairs(4, space=(3, 3), transposed=True),
    "repvgg": repvgg(),
    "grouped repvgg": repvgg(4),
    "wide repvgg": repvgg(space=(7, 5)),
    "1-D repvgg": repvgg(space=(3,)),
    "two groups": repvgg(2),
    "eight groups": repvgg(8),
    "square linear": pairs(space=(), into=20),
    "square transposed": pairs(space=(2, 2), into=20, transposed=True),
}
SUMS = ["repvgg", "grouped repvgg"]
PAIRS = ["pair", "linear", "grouped transposed"]


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("net", NETS.values(), ids=NETS)
def test_the_right_fold_has_no_mistake(net, dtype):
    assert net.named(Tool, dtype) is None


class Case(NamedTuple):
    """A tool with a mistake, and what is said about its result."""

    tool: type[Tool]
    arguments: tuple
    net: str
    text: str
    dtype: type

    def __str__(self):
        return f"{self.tool.__name__} {self.net} {self.dtype.__name__}: {self.text}"


CASES = []
EVERY = [*PAIRS, "grouped repvgg"]


def case(tool, nets, text, *arguments):
    """Try a tool on some nets: on the first one in both precisions, on the others in turn."""
    for place, net in enumerate(nets):
        chosen = PRECISIONS[len(CASES) % 2 :][:1] if place else PRECISIONS
        CASES.extend(Case(tool, arguments, net, text, dtype) for dtype in chosen)


for net in NETS:
    case(OtherEps, [net], "with eps=0.001", 1e-3)
case(OtherEps, EVERY, "with eps=2.5e-05", 2.5e-5)
case(OtherEps, EVERY, "with eps=1.001e-05", 1.001e-5)


case(NoEps, EVERY, "without eps (eps=0)")


case(EpsOutside, EVERY, "with eps outside the root")


case(NoBias, PAIRS, "without the bias of conv 'layer.1.conv'")


case(UnscaledBias, PAIRS, "with the bias of conv 'layer.1.conv' not scaled by the norm")


case(Without, SUMS, "without branch 'stage.1.dense'", 0)
case(Without, SUMS, "without branch 'stage.1.point'", 1)
case(Without, SUMS, "without the identity branch 'stage.1.identity'", 2)


POINT, IDENTITY, BOTH = ("point.bn",), ("identity",), ("point.bn", "identity")
SAID = {
    POINT: "branch 'stage.1.point'",
    IDENTITY: "the identity branch 'stage.1.identity'",
    BOTH: "branch 'stage.1.point' and the identity branch 'stage.1.identity'",
}
for names, said in SAID.items():
    for side in ((0, 0), (1, 2)):
        for net, middle in (("grouped repvgg", (1, 1)), ("wide repvgg", (3, 2))):
            tap = [s * m for s, m in zip(side, middle, strict=True)]
            text = f"with {said} at tap {tap}, not {list(middle)}"
            case(Elsewhere, [net], text, names, side)
    case(Elsewhere, ["1-D repvgg"], f"with {said} at tap [2], not [1]", names, (2,))


case(GammaBeta, EVERY, "with gamma and beta exchanged")


for count in (2, 1568):
    text = f"with the running variance times n/(n-1), n={count}"
    case(Factor, EVERY, text, count / (count - 1))
text = "with the running variance times (n-1)/n, n=49"
case(Factor, EVERY, text, 48 / 49)
case(Factor, EVERY, "with the running variance times 3.7", 3.7)


for other in ("layer.0.bn", "layer.2.bn"):
    text = f"with norm '{other}' in place of 'layer.1.bn'"
    case(OtherNorm, PAIRS, text, {"bn": other})
for other in ("0", "2"):
    names = {norm: f"stage.{other}.{norm}" for norm in ("dense.bn", "point.bn", "identity")}
    case(OtherNorm, SUMS, f"with the norms of block 'stage.{other}.fused'", names)
    text = f"with norm 'stage.{other}.point.bn' in place of 'stage.1.point.bn'"
    case(OtherNorm, SUMS, text, {"point.bn": f"stage.{other}.point.bn"})
text = "with the norms 'stage.1.dense.bn' and 'stage.1.point.bn' exchanged"
names = {"dense.bn": "stage.1.point.bn", "point.bn": "stage.1.dense.bn"}
case(OtherNorm, SUMS, text, names)


for half in (np.float16, bfloat16):
    name = np.dtype(half).name
    for what, text in (
        ("inputs", f"with its inputs rounded to {name}"),
        ("kernels", f"with its kernels rounded to {name}"),
        ("scale", f"with the scale of its norms rounded to {name}"),
        ("result", f"and then rounded to {name}"),
    ):
        case(Half, EVERY, text, [what], half)
    case(Half, EVERY, f"in {name} arithmetic", ["inputs", "scale", "result"], half)


case(InFloat16, EVERY, "in float16 arithmetic")


case(VarianceAsDeviation, EVERY, "with the running variance as standard deviation")


case(AddedMean, EVERY, "with the running mean added, not subtracted")


case(NoMean, EVERY, "without the running mean")


case(NoGamma, EVERY, "without gamma")


case(NoBeta, EVERY, "without beta")


case(Twice, EVERY, "with the norm applied twice")


case(NoNorm, PAIRS, "with the norm left out")


case(NoPointNorm, SUMS, "with the norm left out in norm 'stage.1.point.bn'")


IDENTITY_OF = "with the identity branch 'stage.1.identity' numbered"
case(Numbered, ["eight groups"], f"{IDENTITY_OF} i // groups within its groups", lambda i: i // 8)
case(Numbered, ["two groups"], f"{IDENTITY_OF} i % groups within its groups", lambda i: i % 2)
text = f"{IDENTITY_OF} i // (channels // groups) within its groups"
case(Numbered, ["two groups"], text, lambda i: i // 8)


def flip(kernel):
    return np.flip(kernel, tuple(range(2, kernel.ndim)))


def swap(kernel):
    return kernel.swapaxes(0, 1)


def turn(kernel):
    return kernel.swapaxes(2, 3)


text = "with the kernel of 'layer.1.conv' flipped"
case(Turned, ["grouped pair", "1-D", "grouped transposed"], text, flip)
case(Turned, SUMS, "with the kernel of 'stage.1.dense.conv' flipped", flip)
text = "with inputs and outputs of the kernel of '{}' exchanged"
case(Turned, ["square linear", "square transposed"], text.format("layer.1.conv"), swap)
case(Turned, ["repvgg", "wide repvgg"], text.format("stage.1.dense.conv"), swap)
text = "with height and width of the kernel of '{}' exchanged"
case(Turned, ["pair", "depthwise", "transposed"], text.format("layer.1.conv"), turn)
case(Turned, ["repvgg"], text.format("stage.1.dense.conv"), turn)


text = "with the scale on the input channels of its kernels"
case(ScaledInputs, ["square linear", "square transposed"], text)


def cases(*chosen):
    return pytest.mark.parametrize("case", [c for c in CASES if c.tool in chosen], ids=str)


def check(case):
    assert NETS[case.net].named(case.tool, case.dtype, *case.arguments) == case.text


@cases(OtherEps, EpsOutside, NoEps)
def test_eps(case):
    if case.tool is NoEps and case.dtype is np.float32:  # less than half a unit of any variance
        case = case._replace(text=f"{case.text} or with eps=1e-12")
    check(case)


@cases(NoBias, UnscaledBias)
def test_biases(case):
    check(case)


@cases(Without)
def test_a_branch_left_out(case):
    check(case)


@cases(Elsewhere)
def test_a_branch_at_the_wrong_tap(case):
    check(case)


@cases(
    *(GammaBeta, VarianceAsDeviation, AddedMean, NoMean, NoGamma, NoBeta),
    *(Twice, NoNorm, NoPointNorm),
)
def test_statistics_taken_wrongly(case):
    check(case)


@cases(Factor)
def test_another_divisor_of_the_variance(case):
    check(case)


@cases(OtherNorm)
def test_norms_of_other_layers(case):
    check(case)


@cases(Half, InFloat16)
def test_narrow_arithmetic(case):
    check(case)


@cases(Numbered)
def test_a_grouped_identity_numbered_wrongly(case):
    check(case)


@cases(Turned, ScaledInputs)
def test_axes_taken_for_others(case):
    check(case)


def one_unit(kernel, bias):
    kernel.view(np.int32).reshape(-1)[kernel.size // 3] += 1


def two_units_of_a_bias(kernel, bias):
    bias.view(np.int32)[3] += 2


def one_weight(kernel, bias):
    kernel.reshape(-1)[kernel.size // 3] *= 1.001


def one_sign(kernel, bias):
    kernel.reshape(-1)[kernel.size // 3] *= -1


def one_channel(kernel, bias):
    kernel[1] *= 1.5


def scaled_kernel(kernel, bias):
    kernel *= np.float32(1 + 1e-6)


def scaled_bias(kernel, bias):
    bias *= np.float32(1 + 1e-6)


def scaled(kernel, bias):
    kernel *= np.float32(1.125)
    bias *= np.float32(1.125)


def shifted_bias(kernel, bias):
    bias += np.float32(1e-4)


def dormant_channel(kernel, bias):
    kernel[:, 0] += np.float32(307)


def random_kernel(kernel, bias):
    kernel[...] = np.random.default_rng(1).normal(0, 1, kernel.shape)


def random_bias(kernel, bias):
    bias[...] = np.random.default_rng(1).normal(0, 1, bias.shape)


def pruned(kernel, bias):
    kernel[np.abs(kernel) < 0.01] = 0


def huge(kernel, bias):
    kernel[...] = np.float32(3e38)


def zeros(kernel, bias):
    kernel[...], bias[...] = 0, 0


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("net", ["pair", "linear", "grouped transposed", "grouped repvgg"])
@pytest.mark.parametrize(
    "change",
    [
        *(one_unit, two_units_of_a_bias, one_weight, one_sign, one_channel, scaled_kernel),
        *(scaled_bias, scaled, shifted_bias, dormant_channel, random_kernel, random_bias),
        *(pruned, huge, zeros),
    ],
)
def test_what_is_no_mistake_is_not_named(net, change, dtype):
    kernel, bias = Tool(NETS[net].state, EPS, dtype).fused(NETS[net].blocks[0])
    before = kernel.copy(), bias.copy()
    change(kernel, bias)
    assert not all(map(np.array_equal, before, (kernel, bias)))
    assert NETS[net].explained(kernel, bias) is None


@pytest.mark.parametrize("change", [one_weight, random_bias])
def test_an_edit_beside_a_mistake_is_not_named(change):
    net = NETS["repvgg"]
    kernel, bias = OtherEps(net.state, EPS, np.float32, 1e-3).fused(net.blocks[0])
    change(kernel, bias)
    assert net.explained(kernel, bias) is None


DBB = (
    "(o.conv o.bn + p.conv p.bn beta) alpha + s.c1 s.n1 s.c2[border=image] s.n2"
    " + a.conv a.n1 a.n2 - id -> fused"
)


def dbb():
    """A block with sequences, a scale, a difference and an identity without a norm."""
    maker = Maker()
    for conv, size in (("o.conv", 3), ("p.conv", 1), ("s.c1", 1), ("s.c2", 3), ("a.conv", 1)):
        maker.conv(f"b.{conv}", 4, 4, size, size, bias=4 if conv in ("p.conv", "s.c1") else None)
    for norm in ("o.bn", "p.bn", "s.n1", "s.n2", "a.n1", "a.n2"):
        maker.norm(f"b.{norm}", 4)
    for scale in ("alpha", "beta"):
        maker.keep(f"b.{scale}", maker.rng.normal(1, 0.2, 4))
    return maker.state


@pytest.mark.parametrize(
    "text",
    [
        "with eps=0.001 in norm 'b.s.n1'",
        "without the biases of its convolutions",
        "without the bias of conv 'b.s.c1'",
        "with the biases of its convolutions not scaled by the norm",
        "with the bias of conv 'b.p.conv' not scaled by the norm",
        "without branch 'b.s'",
        "without the identity branch",
        "without 'b.alpha'",
        "with branch 'b.p' at tap [2, 1], not [1, 1]",
        "with branch 'b.a' and the identity branch at tap [0, 0], not [1, 1]",
        "with gamma and beta exchanged in norm 'b.p.bn'",
    ],
)
def test_layers_of_a_sequence(text):
    state = dbb()
    block = fusions({"b": DBB}, state, EPS)
    before = ArrayReader(state).read
    empty = stored(block[0], *(np.zeros(w.info.shape, np.float32) for w in block[0].writes))
    chosen = next(c for c in candidates(block[0], block, before, empty) if c.text == text)
    conv = fold(chosen.op, chosen.read)
    after = stored(block[0], conv.kernel.astype(np.float32), conv.bias.astype(np.float32))
    assert named(block[0], block, before, after) == text


def test_another_eps_in_a_sequence():
    """The right fold with the other eps, without the edit that the name stands for."""
    state = dbb()
    block, other = (fusions({"b": DBB}, state, eps) for eps in (EPS, 1e-3))
    before = ArrayReader(state).read
    conv = fold(other[0].op, before)
    after = stored(block[0], conv.kernel.astype(np.float32), conv.bias.astype(np.float32))
    assert named(block[0], block, before, after) == "with eps=0.001"


@settings(max_examples=25)
@given(branch_trees(), seeds)
def test_candidates_fold_or_are_refused(tree, rng):
    block = fusions({"": tree.line}, tree.tensors, 2.0**-4)[0]
    right = fold(block.op, tree.read)
    after = stored(block, right.kernel.astype(np.float32), right.bias.astype(np.float32))
    texts = set()
    for candidate in candidates(block, [block], tree.read, after):
        texts.add(candidate.text)
        assert candidate.op != block.op
        with suppress(ReparamError):
            conv = fold(candidate.op, candidate.read)
            assert conv.outputs == right.outputs
    has_norm = any(isinstance(leaf, ops.NormOp) for leaf in ops.leaves(block.op))
    assert has_norm == ("with eps=0.001" in texts)
    assert named(block, [block], tree.read, after) is None
    noise = rng.normal(0, 1, right.kernel.shape).astype(np.float32)
    after = stored(block, noise, right.bias.astype(np.float32))
    assert named(block, [block], tree.read, after) is None


def constant(net, **values):
    """The same net with some statistics the same in all channels."""
    roles = {name: name.rpartition(".")[2] for name in net.state if ".bn." in name}
    new = {
        name: np.full_like(net.state[name], values[role])
        for name, role in roles.items()
        if role in values
    }
    return Net(SimpleNamespace(state=net.state | new), *net.blocks)


@pytest.mark.parametrize(
    ("tool", "arguments", "text"),
    [
        (EpsOutside, (), "with eps outside the root or with the running variance as standard"),
        (OtherEps, (0,), "without eps (eps=0) or with eps=1e-12"),
        (OtherEps, (3e-4,), "with eps=0.0003 or with the running variance times 1.00029"),
    ],
)
def test_what_cannot_be_told_apart_is_named_together(tool, arguments, text):
    net = constant(pairs(), running_var=1)
    assert net.named(tool, np.float64, *arguments).startswith(text)


def test_a_constant_as_float32_holds_it():
    """In float64, where a small variance makes the difference; float32 arithmetic hides it."""
    single = float(np.float32(EPS))
    text = f"with eps=1e-05 in float32 ({single!r})"
    assert NETS["pair"].named(OtherEps, np.float64, single) == text
    assert NETS["pair"].named(OtherEps, np.float32, single) is None


def test_no_more_than_three_are_named():
    net = constant(pairs(bias=False), weight=1, bias=0, running_mean=0, running_var=1)
    text = net.named(OtherEps, np.float32, 1e-8)
    assert text.startswith("without eps (eps=0) or with eps=1e-08 or with eps=1e-12 or in ")
    assert text.endswith(" other ways")


def test_a_bias_that_says_nothing_contradicts_nothing():
    """Of a fresh layer; the kernel's channels tell."""
    net = constant(pairs(bias=False), bias=0, running_mean=0)
    assert net.named(OtherEps, np.float64, 3e-4) == "with eps=0.0003"
    assert "n/(n-1), n=128" in net.named(Factor, np.float64, 128 / 127)


def test_a_bias_of_its_own_contradicts_a_fitted_kernel():
    net = pairs(bias=False)
    kernel, _ = OtherEps(net.state, net.eps, np.float64, 3e-4).fused(net.blocks[0])
    _, bias = Tool(net.state, net.eps, np.float64).fused(net.blocks[0])
    assert net.explained(kernel, bias) is None


@pytest.mark.parametrize("seed", range(20))
def test_one_rounding_of_a_scale_that_channels_share_is_no_mistake(seed):
    """Fresh layers, which torch fuses in float32: one rounding there looks like another eps."""
    rng = np.random.default_rng(seed)
    values = {"weight": 1, "bias": 0, "running_mean": 0, "running_var": rng.choice([1, 0.7, 3e-4])}
    net = constant(pairs(bias=False), **values)
    assert net.named(Tool, np.float32) is None
    kernel = net.state["layer.1.conv.weight"]
    var = np.float32(values["running_var"]) + np.float32(EPS)
    for scale in (1 / np.sqrt(var), np.reciprocal(np.sqrt(var)), var ** np.float32(-0.5)):
        assert net.explained(kernel * np.float32(scale), np.zeros(20, np.float32)) is None


def test_of_channels_that_share_a_scale_the_usual_constant_is_named():
    """Others follow the one rounding of the scale."""
    statistics = {"weight": 0.3482211232185364, "running_var": 1.8469760417938232}
    net = constant(pairs(bias=False, into=64), **statistics, bias=0, running_mean=0)
    assert net.named(OtherEps, np.float32, 1e-3) == "with eps=0.001"


def test_how_many_channels_have_a_scale_of_their_own():
    var = np.array([1, 1, 2, 3, 4], np.float32)
    gamma = np.array([1, 1, 1, 0, 0.5], np.float16)
    read = {"v": var, "g": gamma}.__getitem__
    conv, norm = ops.ConvOp("w", None, (5, 1), 1, (), ()), ops.NormOp("m", "v", "g", None, 5, EPS)
    assert scales(ops.ChainOp((conv, norm), 1), read) == 3  # channels that are off tell nothing
    assert scales(ops.ChainOp((conv, replace(norm, weight=None)), 1), read) == 4
    assert scales(conv, read) == VARIED  # nothing that could be mistaken for a rounding


def test_what_most_blocks_share_is_meant_in_each():
    found = {
        1: {"with a": 30.0, "with b": 10.0},
        2: {"with a": 30.0},
        3: {"with c": 1e-7},
        4: {},
    }
    assert settle(found) == {1: "with a", 2: "with a", 3: "with c", 4: ""}


def test_what_is_alike_in_all_blocks_is_named_together():
    """Chance makes one certificate smaller here and larger there; on the whole it does not."""
    lucky = {n: {"with a": 1e-7, "with b": 3e-7 if n % 2 else 0.5e-7} for n in range(9)}
    assert set(settle(lucky).values()) == {"with a or with b"}
    worse = {n: {"with a": 1e-7, "with b": 3e-7} for n in range(9)}
    assert set(settle(worse).values()) == {"with a"}
    assert settle({0: worse[0]}) == {0: "with a or with b"}
    proved = {n: {"with a": 1e-7, "with b": 0.0} for n in range(2)}
    assert set(settle(proved).values()) == {"with b"}


def test_what_explains_other_blocks_is_not_all_that_is_tried():
    """Unless it explains this one to its last bits."""
    net = constant(pairs(bias=False), running_var=1)
    net = Net(SimpleNamespace(state=net.state), *net.blocks, eps=1e-3)
    for dtype, known in zip(PRECISIONS, (1, 2), strict=True):
        kernel, bias = OtherEps(net.state, net.eps, dtype, 1e-5).fused(net.blocks[0])
        arguments = net.fusion, net.fusions, net.before, stored(net.fusion, kernel, bias)
        found = explain(*arguments)
        assert list(found)[:known] == ["with eps=1e-05", "with eps=1.001e-05"][:known]
        assert explain(*arguments, likely=["with eps=1.001e-05"]) == found
        alone = explain(*arguments, likely=["with eps=1.001e-05"], enough=True)
        assert list(alone) == ["with eps=1.001e-05"]


def test_one_number_or_one_sign_is_no_arithmetic():
    """Of float16: most numbers would be off, up and down."""
    net = NETS["pair"]
    kernel, bias = Tool(net.state, net.eps, np.float64).fused(net.blocks[0])
    edited = kernel.copy()
    edited[3, 2, 1, 0] *= np.float32(1.0003)
    assert net.explained(edited, bias) is None
    grown = kernel * np.float32(1.0003)
    grown[0] *= np.float32(1.0001)
    assert net.explained(grown, bias) is None


@pytest.mark.parametrize("dtype", [np.float16])
@pytest.mark.parametrize("net", ["repvgg", "grouped repvgg", "grouped transposed"])
def test_arithmetic_in_the_stored_dtype_is_no_mistake(net, dtype):
    net = NETS[net]
    state = {name: values.astype(dtype) for name, values in net.state.items()}
    narrow = Net(SimpleNamespace(state=state), *net.blocks)
    kernel, bias = Tool(state, EPS, dtype).fused(net.blocks[0])
    assert narrow.explained(kernel.astype(dtype), bias.astype(dtype)) is None


@pytest.mark.parametrize("place", [0, 1])
def test_norms_of_a_block_without_an_identity(place):
    """Branches that the neighbour lacks keep their norms, and so does an identity beside them."""
    net = repvgg()
    mine, theirs = net.blocks[0], net.blocks[1 + place]
    if place:
        net.state = {k: v for k, v in net.state.items() if not k.startswith("stage.2.identity")}
        theirs = Block(theirs.path, theirs.branches[:2])
        net = Net(SimpleNamespace(state=net.state), mine, net.blocks[1], theirs)
    state = dict(net.state)
    for branch in ("dense", "point"):
        for role in ("weight", "bias", "running_mean", "running_var"):
            name = f"{branch}.bn.{role}"
            state[f"{mine.path}.{name}"] = net.state[f"{theirs.path}.{name}"]
    text = f"with the norms of block '{theirs.path}.fused'" + " behind its convolutions" * (
        not place
    )
    for dtype in PRECISIONS:
        assert net.explained(*Tool(state, EPS, dtype).fused(mine)) == text


@pytest.mark.parametrize("net", ["pair", "repvgg"])
def test_how_well_a_count_is_known(net):
    """To the last bits if the tool computed in float64, else about as well as float32 can say."""
    said = [NETS[net].named(Factor, dtype, 20000 / 19999) for dtype in PRECISIONS]
    start = "with the running variance times n/(n-1), n"
    assert said == [f"{start}=20000", f"{start} about 20000"]


def test_scales_near_a_tie_are_rounded_as_the_tool_computed_them():
    net = pairs(channels=1 << 16, into=1, space=())
    for dtype in PRECISIONS:
        said = net.named(Half, dtype, ["scale"], np.float16)
        assert said == "with the scale of its norms rounded to float16"


def test_an_edit_of_numbers_that_float16_holds_is_not_its_arithmetic():
    eps = 2.0**-10
    net = pairs(bias=False)
    rng = np.random.default_rng(2)
    state = {
        name: rng.integers(1, 9, array.shape).astype(np.float32) / 8
        for name, array in net.state.items()
    }
    state |= {k: 4 ** np.ceil(2 * v) - eps for k, v in state.items() if k.endswith("running_var")}
    state = {name: array.astype(np.float32) for name, array in state.items()}
    net = Net(SimpleNamespace(state=state), *net.blocks, eps=eps)
    kernel, bias = Tool(state, eps, np.float64).fused(net.blocks[0])
    assert net.explained(kernel, bias) is None
    kernel[3, 2, 1, 0] *= 1 + 2**-8
    assert np.array_equal(kernel, kernel.astype(np.float16))
    assert net.explained(kernel, bias) is None


@pytest.mark.parametrize("eps", [1e-3, 3.7e-4, EPS])
def test_float16_throughout(eps):
    class Narrow(Tool):
        def stored(self, values):
            return values

    net = NETS["grouped transposed"]
    values = Narrow(net.state, eps, np.float16).fused(net.blocks[0])
    assert values[0].dtype == np.float16
    assert net.explained(*values) == (None if eps == EPS else f"with eps={eps!r}")


@pytest.mark.parametrize("kind", [np.float16, bfloat16, np.float64])
@pytest.mark.parametrize("eps", [1e-3, 3.3e-4, EPS])
def test_other_dtypes_of_the_result(kind, eps):
    class Other(Tool):
        def stored(self, values):
            return values.astype(kind)

    expected = None if eps == EPS else f"with eps={eps!r}"
    net = NETS["pair"]
    for dtype in PRECISIONS:
        assert net.explained(*Other(net.state, eps, dtype).fused(net.blocks[0])) == expected


def test_a_neutral_norm_behind():
    net = NETS["pair"]
    kernel, bias = OtherEps(net.state, EPS, np.float64, 1e-3).fused(net.blocks[0])
    conv, norm = net.fusion.op.steps
    ones = np.ones(len(bias), np.float32)
    state = {conv.weight: kernel, norm.bias: bias, norm.weight: ones}
    state |= {norm.mean: 0 * ones, norm.var: (1 - EPS) * ones}
    after = ArrayReader(state).read
    op = replace(net.fusion.op, steps=(replace(conv, bias=None), norm))
    assert named(net.fusion, net.fusions, net.before, after, after_op=op) == "with eps=0.001"


def test_norms_without_gamma_and_beta():
    net = pairs()
    state = {k: v for k, v in net.state.items() if not k.endswith(("bn.weight", "bn.bias"))}
    net = Net(SimpleNamespace(state=state), *net.blocks)

    class Plain(EpsOutside):
        def statistics(self, norm):
            mean, var = (self.get(norm, role) for role in ("running_mean", "running_var"))
            return np.ones_like(mean), np.zeros_like(mean), mean, var

    assert net.named(Plain, np.float32) == "with eps outside the root"


@pytest.mark.parametrize("net", ["pair", "grouped repvgg"])
def test_exchanged_blocks(net):
    net = NETS[net]
    other = net.blocks[2]
    values = Tool(net.state, EPS, np.float32).fused(other)
    assert net.explained(*values) == f"from the tensors of block '{other.path}.fused'"


def test_only_the_nearest_layers_are_tried():
    maker, blocks = Maker(), []
    for number in range(22):
        path = f"layer.{number:02}"
        maker.conv(f"{path}.conv", 3, 3)
        maker.norm(f"{path}.bn", 3)
        blocks.append(Block(path, (Branch("conv", "bn"),)))
    net = Net(maker, *blocks)
    fusion = net.fusions[10]
    empty = stored(fusion, np.zeros((3, 3), np.float32), np.zeros(3, np.float32))
    texts = [c.text for c in candidates(fusion, net.fusions, net.before, empty)]
    near = [9, 11, 8, 12, 7, 13, 6, 14]
    norms = [f"with norm 'layer.{n:02}.bn' in place of 'layer.10.bn'" for n in near]
    assert [t for t in texts if "in place of" in t] == norms
    wholes = [f"from the tensors of block 'layer.{n:02}.fused'" for n in near]
    assert [t for t in texts if "from the" in t] == wholes


def test_the_certificate_of_the_right_fold_may_be_given():
    net = NETS["repvgg"]
    kernel, bias = OtherEps(net.state, EPS, np.float64, 1e-3).fused(net.blocks[0])
    after = stored(net.fusion, kernel, bias)
    arguments = net.fusion, net.fusions, net.before, after
    right = certify("x", net.fusion.op, net.before, net.fusion.after, after)
    assert named(*arguments, right=right) == "with eps=0.001"
    identical = replace(right, grade=Grade.IDENTICAL)
    assert named(*arguments, right=identical) is None
    assert named(*arguments, right=broken("x", "it is missing")) is None


def test_norms_with_constants_of_their_own():
    """One constant for all is a mistake where a norm has another."""
    net = NETS["repvgg"]
    line = net.blocks[0].line.replace("identity", "identity[eps=0.001]")
    block = fusions({"stage.1": line}, net.state, EPS)
    after = stored(block[0], *Tool(net.state, EPS, np.float32).fused(net.blocks[0]))
    assert named(block[0], block, net.before, after) == "with eps=1e-05"


def test_places_in_a_very_large_kernel():
    """Beyond 7x7 the corners and the neighbours of the right tap are tried."""
    maker = Maker()
    maker.conv("b.big", 4, 4, 11, 11)
    maker.conv("b.small", 4, 4, 3, 3)
    block = fusions({"b": "big + small -> fused"}, maker.state, EPS)
    empty = stored(block[0], np.zeros((4, 4, 11, 11), np.float32))
    found = candidates(block[0], block, ArrayReader(maker.state).read, empty)
    taps = [c.text for c in found if " at tap " in c.text]
    corners = {f"[{y}, {x}]" for y in (0, 8) for x in (0, 8)}
    near = {f"[{y}, {x}]" for y in (3, 4, 5) for x in (3, 4, 5)} - {"[4, 4]"}
    assert taps == list(dict.fromkeys(taps))
    assert {t.partition(" tap ")[2].partition(", not")[0] for t in taps} == corners | near


@pytest.mark.parametrize(
    ("low", "high", "number"),
    [
        *((0.88, 0.97, 0.9), (9.9e-6, 1.01e-5, 1e-5), (1.0008e-5, 1.0012e-5, 1.001e-5)),
        *((0.1, 0.1, 0.1), (0.3, 0.34, 0.3), (0.26, 0.3, 0.3)),
    ],
)
def test_the_shortest_decimal(low, high, number):
    assert shortest(low, high) == number
