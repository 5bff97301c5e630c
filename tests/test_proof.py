"""The check of a fused block by the reference, and the small pieces that `verify` is made of."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from families.plain import repvgg, resnet

import reparam
from reparam.arrays import ArrayReader
from reparam.checkpoint import TensorInfo
from reparam.edits import path
from reparam.explain import work
from reparam.modules import ModuleIndex
from reparam.narrow import narrower
from reparam.neutral import constant, neutral_norm
from reparam.operations import ChainOp, ConvOp, SumOp
from reparam.plans import Settings, Write
from reparam.prefix import PrefixReader, find_prefix
from reparam.proof import block_error, probe
from reparam.recipe_plan import plan_tensors
from reparam.similar import Layer, find_partners, plain_layers
from reparam.tensor_bytes import PIECE, digest, same_bytes


def planned(state, **settings):
    infos = {name: TensorInfo(a.shape, a.dtype.name) for name, a in state.items()}
    settings = Settings(**settings)
    return plan_tensors(infos, {}, "state dict", recipe=None, eps=None, settings=settings)


STATE = repvgg("timm")
FUSIONS = {fusion.name: fusion for fusion in planned(STATE).fusions}
BLOCK = next(iter(FUSIONS.values()))


def fused(change=None, name="weight", index=0):
    made = reparam.fuse_state_dict(STATE)
    if change is not None:
        values = made[f"{BLOCK.name}.{name}"].reshape(-1)
        values[index] = change(values[index])
    return made


def error(made, rows=None):
    outputs = BLOCK.kernel.info.shape[0]
    before, after = ArrayReader(STATE).read, ArrayReader(made).read
    return block_error(BLOCK, before, after, probe(BLOCK), rows or (0, outputs))


def test_probes_lie_on_both_sides_and_differ_from_block_to_block():
    x = probe(BLOCK)
    assert x.shape[1] == BLOCK.kernel.info.shape[1]
    assert -1 <= x.min() < -0.5 < 0.5 < x.max() < 1
    assert len({*x.flat}) == x.size
    assert np.array_equal(x, probe(BLOCK))
    for one, other in itertools.combinations(FUSIONS.values(), 2):
        a, b = probe(one), probe(other)
        assert a.shape != b.shape or not np.array_equal(a, b)


def test_what_rounding_does_is_within_its_bound():
    assert 0 < error(fused()) < 1


def test_what_rounding_does_not_do_is_beyond_it():
    assert error(fused(lambda w: w * 1.001, index=-1)) > 1
    assert error(fused(lambda b: b + 1e-3, "bias", -1)) > 1
    assert error(fused(lambda _: np.nan)) == np.inf
    assert error(fused(lambda w: w * 1.001, index=-1), rows=(0, 1)) < 1  # the last output's


# Neutral norms.


@pytest.mark.parametrize(
    ("role", "value"), [("ones", 1.0), ("zeros", 0.0), ("variance", 0.75), ("bias", 0.0)]
)
def test_constants(role, value):
    made = constant(Write("x", TensorInfo((3,), "float16"), role), 0.25)
    assert made.dtype == np.float16
    assert made.tolist() == [value] * 3


def test_a_neutral_norm_does_nothing():
    state = resnet()
    fusion = planned(state, batch_norm="neutral").fusions[0]
    made = neutral_norm(fusion)
    norm = fusion.after.steps[1]
    assert made.keys() == {norm.weight, norm.bias, norm.mean, norm.var}
    scale = made[norm.weight] / np.sqrt(made[norm.var].astype(float) + norm.eps)
    assert np.abs(scale - 1).max() <= 2**-24
    assert not made[norm.mean].any()
    assert not made[norm.bias].any()


# Arrays as a checkpoint, and their bytes.


def test_arrays_as_a_checkpoint():
    values = np.arange(12, dtype=">f4").reshape(4, 3).T
    reader = ArrayReader({"x": values, "y": [1.0, 2.0]})
    assert reader.tensors["x"] == TensorInfo((3, 4), "float32")
    assert reader.tensors["y"] == TensorInfo((2,), "float64")
    assert np.array_equal(reader.read("x"), values)
    assert np.array_equal(reader.read("x", (1, 3)), values[1:3])
    wanted = np.ascontiguousarray(values).astype("=f4").tobytes()
    assert b"".join(reader.chunks("x")) == wanted


class Cut:
    """A reader that cuts a tensor's bytes as it likes."""

    def __init__(self, values, sizes, dtype="uint8"):
        self.tensors = {"x": TensorInfo(values.shape, dtype)}
        self.raw, self.sizes = values.tobytes(), sizes

    def chunks(self, _name):
        start = 0
        for size in self.sizes:
            yield self.raw[start : start + size]
            start += size
        yield self.raw[start:]


def test_bytes_are_compared_however_readers_cut_them():
    values = np.arange(3 * PIECE, dtype=np.uint8)
    whole, cut = Cut(values, []), Cut(values, [1, PIECE, 7, 2 * PIECE - 100])
    assert same_bytes(whole, "x", cut, "x")
    assert digest(whole.chunks("x")) == digest(cut.chunks("x"))
    for place in (0, PIECE, 3 * PIECE - 1):
        other = values.copy()
        other[place] ^= 1
        assert not same_bytes(whole, "x", Cut(other, [5]), "x")
        assert digest(Cut(other, []).chunks("x")) != digest(whole.chunks("x"))
    assert not same_bytes(whole, "x", Cut(values, [], "int8"), "x")


# Names of another file.


def test_layers_are_found_by_their_numbers():
    rng = np.random.default_rng(0)
    kernels = [rng.normal(size=(4, 3, 3, 3)) for _ in range(3)]
    old = ArrayReader({f"a.{n}.weight": k for n, k in enumerate(kernels)} | {"v": np.ones(4)})
    new = ArrayReader({f"b.{n}.weight": k for n, k in enumerate(kernels[::-1])})
    sides = [plain_layers(r.tensors, ModuleIndex(r.tensors)) for r in (old, new)]
    assert [layer.name for layer in sides[0]] == ["a.0", "a.1", "a.2"]
    assert sides[0][0].stored == ConvOp("a.0.weight", None, (4, 3, 3, 3), 1, (1, 1), (0, 0))
    pairs = find_partners(*sides, old.read, new.read)
    assert [(a.name, b.name) for a, b in pairs] == [("a.0", "b.2"), ("a.1", "b.1"), ("a.2", "b.0")]


def test_a_layer_takes_its_geometry_from_its_partner():
    before, after = ArrayReader(STATE), ArrayReader(fused())
    offered = plain_layers(after.tensors, ModuleIndex(after.tensors))
    seeking = [Layer(f.name, f.op, f) for f in FUSIONS.values()]
    pairs = find_partners(seeking, offered, before.read, after.read)
    assert [(a.name, b.name) for a, b in pairs] == [(f, f) for f in FUSIONS]
    assert all(b.op == a.fusion.after for a, b in pairs)


def test_prefixes():
    names = ["conv.weight", "bn.weight", "bn.bias"]
    more = [f"module.{name}" for name in names]
    assert find_prefix(names, more) == ("module.", "")
    assert find_prefix(more, names) == ("", "module.")
    assert find_prefix(names, names) is None
    assert find_prefix(names, [*names, "module.conv.weight"]) is None
    assert find_prefix(names, [*more, "conv.weight"]) is None  # two would have one name
    assert find_prefix(names, ["something.else"]) is None
    assert find_prefix(names, ["deconv.weight"]) is None
    assert find_prefix(["m.conv.weight", *names[1:]], names) is None  # more fit as they are
    assert find_prefix(names, [*more, "head.weight"]) == ("module.", "")
    # few of the names that are expected are there: those of the deploy form
    train = [f"blocks.{n}.conv_kxk.{role}" for n in range(99) for role in ("weight", "bias")]
    assert find_prefix([*train, *names], more) == ("module.", "")
    # more names fit without another prefix
    assert find_prefix(["weight", "a.weight", "a.bias"], ["m.a.weight", "m.a.bias"]) == ("m.", "")


def test_a_reader_under_other_names():
    reader = PrefixReader(
        ArrayReader({"module.x": np.arange(4.0), "y": np.ones(2)}), ("module.", "")
    )
    assert [*reader.tensors] == ["x", "y"]
    assert reader.read("x", (1, 3)).tolist() == [1.0, 2.0]
    assert b"".join(reader.chunks("y")) == np.ones(2).tobytes()
    other = PrefixReader(ArrayReader({"x": np.ones(2)}), ("", "module."))
    assert [*other.tensors] == ["module.x"]
    assert other.read("module.x").tolist() == [1.0, 1.0]


def test_two_deploy_forms_are_compared_layer_by_layer():
    report = reparam.verify(fused(), fused())
    assert report.ok
    assert report.notes[0].startswith("compared layer by layer, as nothing can be fused")


def test_narrower_dtypes():
    assert narrower("float64") == narrower("float32") == ["bfloat16", "float16"]
    assert narrower("float16") == ["bfloat16"]
    assert narrower("bfloat16") == narrower("int8") == []


SMALL = ConvOp("a.weight", None, (4, 3, 1, 1), 1, (1, 1), (0, 0))
WIDE = ConvOp("weight", None, (5, 4, 3, 3), 1, (1, 1), (1, 1))


def test_layers_by_name():
    assert path(SMALL) == "a"
    assert path(WIDE) == "weight"  # of a file that is one layer


def test_products_that_a_fold_adds_up():
    chain = ChainOp((SMALL, WIDE), 3)
    assert work(SMALL) == 1
    assert work(chain) == 4 * 3 * 3 + 2
    assert work(SumOp(((1, chain), (-1, SMALL)))) == 4 * 3 * 3 + 3
