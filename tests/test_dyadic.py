"""The exact network: whatever the plan, its numbers do not round and its values do not grow."""

from fractions import Fraction

import numpy as np
import pytest
from families import FAMILIES
from families.sample import Maker
from hypothesis import given
from hypothesis import strategies as st

from reparam import operations as ops
from reparam.checkpoint import TensorInfo
from reparam.dyadic import dyadic_tensors
from reparam.dyadic_numbers import draw, dyadic_image, variances
from reparam.fold import Folder
from reparam.plans import Settings
from reparam.recipe_plan import plan_tensors
from reparam.reference import probe_size, run

STATED = [0.0, 1e-5, 1e-3, 1.001e-5, 1e-6, 1e-4, 1e-12, 2.0**-10, 0.25, 0.2, 1.0, 1e-2, 3e-4]


def plan_of(state, **options):
    tensors = {k: TensorInfo(v.shape, v.dtype.name) for k, v in state.items()}
    options = {"recipe": None, "eps": None} | options
    return plan_tensors(tensors, {}, "state dict", settings=Settings(), **options)


def reader(tensors):
    return lambda name, rows=(None,): tensors[name][slice(*rows)]


def folded(fusion, tensors):
    """The deploy form of one block: its convolution, and its tensors."""
    conv = Folder(fusion.op, reader(tensors)).conv((0, ops.outputs(fusion.op)))
    made = {fusion.kernel.name: conv.kernel}
    if fusion.bias is not None:
        made[fusion.bias.name] = conv.bias
    return conv, made


def image(op, margin=2):
    size = tuple(n + margin for n in probe_size(op))
    return dyadic_image((1, ops.inputs(op), *size))


def plan_of_family(key):
    sample = FAMILIES[key]
    eps = {"eps": sample.eps} if sample.said else {}
    return plan_of(sample.state, recipe=[key[0]] if sample.named else None, **eps)


@pytest.mark.parametrize("key", FAMILIES, ids=" / ".join)
def test_train_form_and_fused_form_are_equal(key):
    plan = plan_of_family(key)
    tensors = dyadic_tensors(plan)
    assert tensors.keys() == {n for n, i in plan.tensors.items() if "float" in i.dtype}
    assert all(tensors[n].shape == plan.tensors[n].shape for n in tensors)
    assert all(v.dtype == np.float64 for v in tensors.values())
    for fusion in plan.fusions:
        x = image(fusion.op)
        _, made = folded(fusion, tensors)
        wanted = run(fusion.op, reader(tensors), x)
        found = run(fusion.after, reader(made), x)
        if averages(fusion.op):  # the reference divides before it multiplies
            assert np.abs(wanted - found).max() < 1e-14
        else:
            assert np.array_equal(wanted, found)


def averages(op):
    return "AverageOp" in repr(op)


@pytest.mark.parametrize("key", FAMILIES, ids=" / ".join)
def test_a_block_neither_grows_nor_dies(key):
    plan = plan_of_family(key)
    tensors = dyadic_tensors(plan)
    for fusion in plan.fusions:
        conv, _ = folded(fusion, tensors)
        kernel = conv.kernel
        if conv.transposed:
            kernel = kernel.reshape(conv.groups, -1, *kernel.shape[1:]).swapaxes(1, 2)
        gains = np.abs(kernel.reshape(conv.outputs, -1)).sum(axis=1)
        most = 9.0 if averages(fusion.op) else 2.0  # beside a bare identity
        assert gains.max() <= most
        assert np.count_nonzero(gains) >= len(gains) / 2
        assert np.abs(conv.bias).max() <= 8
        assert {*np.unique(np.mod(conv.bias, 1 / 64))} == {0.0}


def test_thin_blocks_are_mostly_constant():
    state = chain(3, width=256)
    plan = plan_of(state)
    for thin, share in ((1, 1.0), (4, 0.25)):
        tensors = dyadic_tensors(plan, thin)
        conv, _ = folded(plan.fusions[1], tensors)
        alive = (conv.kernel.reshape(256, -1) != 0).any(axis=1).mean()
        assert abs(alive - share) < 0.1


def chain(length, width=16):
    """RepVGG blocks one after the other, with identity branches."""
    maker = Maker()
    for i in range(length):
        maker.conv(f"stage1.{i}.rbr_dense.conv", width, width, 3, 3)
        maker.norm(f"stage1.{i}.rbr_dense.bn", width)
        maker.conv(f"stage1.{i}.rbr_1x1.conv", width, width, 1, 1)
        maker.norm(f"stage1.{i}.rbr_1x1.bn", width)
        maker.norm(f"stage1.{i}.rbr_identity", width)
    return maker.state


def test_a_hundred_blocks_stay_exact_and_alive():
    plan = plan_of(chain(100))
    tensors = dyadic_tensors(plan)
    x = z = dyadic_image((1, 16, 8, 8))
    blank = np.zeros_like(x)
    for fusion in plan.fusions:
        _, made = folded(fusion, tensors)
        x, blank = (np.maximum(run(fusion.op, reader(tensors), v), 0) for v in (x, blank))
        z = np.maximum(run(fusion.after, reader(made), z), 0)
    assert np.array_equal(x, z)
    assert np.abs(x).max() < 64
    assert (x != blank).mean() > 0.1


def test_sums_around_blocks_double_values_and_nothing_more():
    """Forty residual blocks: too many for weights of any size, none too many for these."""
    plan = plan_of(chain(40))
    tensors = dyadic_tensors(plan)
    x = z = dyadic_image((1, 16, 8, 8))
    for fusion in plan.fusions:
        _, made = folded(fusion, tensors)
        x = x + np.maximum(run(fusion.op, reader(tensors), x), 0)
        z = z + np.maximum(run(fusion.after, reader(made), z), 0)
    assert np.abs(x).max() > 1e6
    assert np.array_equal(x, z)


def test_thin_blocks_let_twice_as_many_be_summed():
    """Seventy residual blocks outgrow float64 unless half of each is constant."""
    plan = plan_of(chain(70, width=32))
    grown = {}
    for thin in (1, 2):
        tensors = dyadic_tensors(plan, thin)
        x = z = dyadic_image((1, 32, 4, 4))
        for fusion in plan.fusions:
            _, made = folded(fusion, tensors)
            x = x + np.maximum(run(fusion.op, reader(tensors), x), 0)
            z = z + np.maximum(run(fusion.after, reader(made), z), 0)
        grown[thin] = np.abs(x).max(), np.array_equal(x, z)
    assert grown[1][0] > 2.0**53
    assert grown[2][0] < 2.0**50
    assert grown[2][1]


@given(st.one_of(st.sampled_from(STATED), st.floats(1e-12, 100)))
def test_any_eps_has_variances_whose_root_is_exact(eps):
    found = variances(eps)
    for var, root in found:
        assert var > 0
        assert Fraction(var) + Fraction(eps) == Fraction(root) ** 2
        assert root / np.sqrt(var + eps) == root * (1 / np.sqrt(var + eps)) == 1
        assert np.frexp(root)[0] in (0.5, 0.75)
    assert found[0][1] ** 2 <= 64 * eps or not eps


def test_most_roots_are_powers_of_two():
    assert all(np.frexp(root)[0] == 0.5 for eps in (1e-5, 1e-3) for _, root in variances(eps))


def test_another_eps_is_far_off():
    for eps in (1e-5, 1e-3, 1.001e-5):
        for other in {1e-5, 1e-3, 1.001e-5} - {eps}:
            var, root = variances(eps)[0]
            assert abs(np.sqrt(var + other) / root - 1) > 1e-4


def test_norms_of_a_block_differ():
    """Scales, signs and means vary from channel to channel, so that an exchange shows."""
    tensors = dyadic_tensors(plan_of(chain(1, width=64)))
    gamma = tensors["stage1.0.rbr_dense.bn.weight"]
    assert len(np.unique(np.abs(gamma))) == 3
    assert {*np.sign(gamma)} == {1.0, -1.0}
    assert len(np.unique(tensors["stage1.0.rbr_dense.bn.running_mean"])) >= 3
    assert len(np.unique(tensors["stage1.0.rbr_dense.bn.bias"])) >= 3


def test_every_branch_and_every_tap_is_used():
    tensors = dyadic_tensors(plan_of(chain(1, width=384)))
    dense = tensors["stage1.0.rbr_dense.conv.weight"]
    for used in (dense, tensors["stage1.0.rbr_1x1.conv.weight"]):
        assert (np.abs(used).sum(axis=(0, 1)) > 0).all()
        rows = (used.reshape(384, -1) != 0).sum(axis=1)
        assert {*rows} == {0, 1}
        assert 0.2 < rows.mean() < 0.5
    assert 0.2 < (tensors["stage1.0.rbr_identity.weight"] != 0).mean() < 0.5


def test_a_pool_is_made_up_for():
    """Of a branch that averages nine pixels, fusing gives taps of 1, not of a rounded 1/9."""
    maker, width, at = Maker(), 64, "stage1.0.conv1"
    for branch, size in (("origin", 3), ("1x1", 1)):
        maker.conv(f"{at}.dbb_{branch}.conv", width, width, size, size)
        maker.norm(f"{at}.dbb_{branch}.bn", width)
    maker.conv(f"{at}.dbb_avg.conv", width, width, 1, 1)
    for norm in ("bn.bn", "avgbn"):
        maker.norm(f"{at}.dbb_avg.{norm}", width)
    maker.conv(f"{at}.dbb_1x1_kxk.conv1", width, width, 1, 1)
    maker.conv(f"{at}.dbb_1x1_kxk.conv2", width, width, 3, 3)
    for norm in ("bn1.bn", "bn2"):
        maker.norm(f"{at}.dbb_1x1_kxk.{norm}", width)
    plan = plan_of(maker.state, recipe=["dbb"])
    (fusion,) = plan.fusions
    for thin, pooled in ((1, True), (2, False)):
        conv, _ = folded(fusion, dyadic_tensors(plan, thin))
        assert {*np.unique(np.abs(conv.kernel))} == {0, 1}
        assert (np.abs(conv.kernel).sum(axis=(1, 2, 3)) == 9).any() == pooled


def test_copied_layers():
    """A head reads every feature; a norm that stays has the scale 1."""
    maker = Maker()
    maker.state |= chain(1)
    maker.conv("classifier", 5, 8, bias=True)
    maker.conv("wide", 9, 5, bias=True)
    maker.conv("plain", 5, 8, 3, 3)
    maker.norm("alone", 8)
    maker.vector("gamma", 8)
    plan = plan_of(maker.state)
    assert "alone.running_var" in plan.copies
    tensors = dyadic_tensors(plan)
    assert tensors["classifier.weight"].sum(axis=0).tolist() == [1] * 8
    assert {*tensors["classifier.weight"].sum(axis=1)} == {1, 2}
    assert tensors["wide.weight"].sum(axis=1).tolist() == [1] * 9
    assert (tensors["wide.weight"].sum(axis=0) > 0).all()
    assert tensors["plain.weight"].reshape(5, -1).sum(axis=1).tolist() == [1] * 5
    assert {*tensors["wide.bias"]} <= {-0.25, 0, 0.25}
    assert len({*tensors["wide.bias"]}) > 1
    root = np.sqrt(tensors["alone.running_var"] + 1e-5)
    assert (tensors["alone.weight"] / root == 1).all()
    assert (tensors["gamma"] == 1).all()
    assert "alone.num_batches_tracked" not in tensors


def test_numbers_depend_on_the_name_alone():
    assert draw("a", 5, 10).tolist() == [4.0, 6.0, 3.0, 2.0, 4.0]
    assert draw("a", 9, 7)[:5].tolist() == draw("a", 5, 7).tolist()
    assert draw("a", 50, 7).tolist() != draw("b", 50, 7).tolist()
    assert {*draw("a", 100, 3)} == {0, 1, 2}


def test_images_are_dyadic_and_rather_positive():
    x = dyadic_image((2, 3, 16, 16))
    assert x.shape == (2, 3, 16, 16)
    assert {*np.unique(x * 4 % 1)} == {0.0}
    assert (x.min(), x.max()) == (-1, 3)
    assert not np.array_equal(x[0], x[1])
    assert not np.array_equal(x, dyadic_image((2, 3, 16, 16), "another"))
