"""The two readings of a block agree: fold it and convolve, or run its layers one by one."""

from dataclasses import replace

import loops
import numpy as np
import pytest
from blocks import Block
from hypothesis import given
from hypothesis import strategies as st

from reparam import operations as ops
from reparam import reference
from reparam.errors import BorderError, NumericError
from reparam.fold import Folder, fold
from reparam.frames import frame, kernel_shape
from reparam.testing import branch_trees, images
from reparam.testing.branches import KINDS, TRANSPOSED
from reparam.testing.layers import seeds


@pytest.mark.parametrize("kind", [*KINDS, TRANSPOSED])
@given(st.data())
def test_fold_is_run(kind, data):
    block = data.draw(branch_trees(kind))
    x = data.draw(images(ops.inputs(block.op), block.rank, most=5))
    conv = fold(block.op, block.read)
    y = reference.run(block.op, block.read, x[None])[0]
    assert np.array_equal(loops.convolve(conv, x), y)


@given(st.one_of(branch_trees(), branch_trees(TRANSPOSED)))
def test_the_shape_of_a_fold_is_known_beforehand(block):
    conv, shape = fold(block.op, block.read), frame(block.op)
    assert kernel_shape(block.op) == conv.kernel.shape
    assert (ops.outputs(block.op), ops.inputs(block.op)) == (conv.outputs, conv.inputs)
    geometry = conv.groups, conv.space, conv.dilation, conv.origin
    assert (shape.groups, shape.size, shape.dilation, shape.origin) == geometry


@pytest.mark.parametrize("kind", KINDS)
@given(st.data())
def test_a_slab_has_the_bytes_of_the_rows_of_the_whole(kind, data):
    block = data.draw(branch_trees(kind))
    unit, outputs = ops.row_unit(block.op), ops.outputs(block.op)
    assert outputs % unit == 0
    start = data.draw(st.integers(0, outputs // unit - 1))
    stop = data.draw(st.integers(start + 1, outputs // unit))
    rows = start * unit, stop * unit
    x = data.draw(images(ops.inputs(block.op), block.rank, most=4))
    whole, slab = fold(block.op, block.read), fold(block.op, block.read, rows)
    part = slice(*rows)
    y = loops.convolve(whole, x)[part]
    first, last = ops.reach(block.op, rows)
    assert np.array_equal(loops.convolve(slab, x[first:last]), y)
    assert np.array_equal(reference.run(block.op, block.read, x[None], rows)[0], y)
    assert slab.bias.tobytes() == whole.bias[part].tobytes()
    assert slab.kernel.shape[1:] == whole.kernel.shape[1:]
    assert slab.kernel.tobytes() == whole.kernel[part].tobytes()


@given(branch_trees(), seeds, st.sampled_from(["float32", "float16", "bfloat16", "float64"]))
def test_rounded_slabs_make_up_the_whole(block, rng, dtype):
    for name, tensor in block.tensors.items():
        noise = rng.uniform(0.5, 1.5, tensor.shape).astype(np.float32)
        block.tensors[name] = np.abs(tensor) * noise if "var" in name else tensor * noise
    unit, outputs = ops.row_unit(block.op), ops.outputs(block.op)
    folder = Folder(block.op, block.read)
    kernel, bias = folder.rounded((dtype, "float32"), (0, outputs))
    rows = [(start, start + unit) for start in range(0, outputs, unit)]
    parts = [Folder(block.op, block.read).rounded((dtype, "float32"), r) for r in rows]
    again = [folder.rounded((dtype, "float32"), r) for r in rows]
    for slabs in (parts, again):
        assert b"".join(k.tobytes() for k, _ in slabs) == kernel.tobytes()
        assert b"".join(b.tobytes() for _, b in slabs) == bias.tobytes()


def test_negative_zeros_do_not_tell_a_slab_from_the_whole():
    """A group written out densely is added to zeros in the whole, and kept as it is in a slab."""
    tensors = {"wide": np.zeros((4, 2, 2), np.float32), "point": np.ones((4, 4, 1), np.float32)}
    wide = ops.ConvOp("wide", None, (4, 2, 2), 2, (1,), (0,))
    point = ops.ConvOp("point", None, (4, 4, 1), 1, (1,), (0,))
    scaled = ops.ChainOp((wide, ops.NumberOp(-2.0, 4)), 4)
    block = Block(ops.SumOp(((1, scaled), (1, point))), tensors, 1)
    whole = fold(block.op, block.read).kernel
    slabs = [fold(block.op, block.read, rows).kernel for rows in ((0, 2), (2, 4))]
    assert np.concatenate(slabs).tobytes() == whole.tobytes()


@given(branch_trees())
def test_folding_leaves_the_tensors_alone(block):
    for name, tensor in block.tensors.items():
        block.tensors[name] = tensor.astype(np.float64)
        block.tensors[name].flags.writeable = False
    before = {name: tensor.copy() for name, tensor in block.tensors.items()}
    conv = fold(block.op, block.read)
    Folder(block.op, block.read).rounded(("float32", "float64"), (0, ops.outputs(block.op)))
    for name, tensor in block.tensors.items():
        assert tensor.tobytes() == before[name].tobytes()
        assert not np.shares_memory(conv.kernel, tensor)
        assert not np.shares_memory(conv.bias, tensor)


def test_a_bias_in_float64_is_not_added_to_where_it_lies():
    conv = ops.ConvOp("a.weight", "a.bias", (2, 2, 1), 1, (1,), (0,))
    other = ops.ConvOp("b.weight", "b.bias", (2, 2, 1), 1, (1,), (0,))
    shapes = {"weight": (2, 2, 1), "bias": (2,)}
    tensors = {f"{n}.{role}": np.ones(shape) for n in "ab" for role, shape in shapes.items()}
    fused = fold(ops.SumOp(((1, conv), (1, other))), tensors.__getitem__)
    assert fused.bias.tolist() == [2, 2]
    assert all((values == 1).all() for values in tensors.values())


@given(branch_trees(), st.sampled_from([np.asfortranarray, lambda a: a.astype(">f4")]))
def test_tensors_in_any_memory_layout_give_the_same_bytes(block, layout):
    rows = 0, ops.outputs(block.op)
    expected = Folder(block.op, block.read).rounded(("float32", "float32"), rows)
    for name, tensor in block.tensors.items():
        block.tensors[name] = layout(tensor)
    result = Folder(block.op, block.read).rounded(("float32", "float32"), rows)
    for mine, other in zip(result, expected, strict=True):
        assert mine.flags.c_contiguous
        assert mine.tobytes() == other.tobytes()


def test_a_lone_convolution_in_fortran_order_is_written_in_c_order():
    block = conv_norm()
    conv = block.op.steps[0]
    block.tensors[conv.weight] = np.asfortranarray(np.arange(144.0).reshape(conv.shape))
    kernel, _ = Folder(conv, block.read).rounded(("float32", "float32"), (0, 4))
    assert kernel.flags.c_contiguous
    assert np.array_equal(kernel, block.tensors[conv.weight])


def conv_norm(channels=4, rank=2):
    """Build a plain 3x3 convolution with its norm, of ones."""
    shape = (channels, channels, *(3,) * rank)
    tensors = {
        "a.conv.weight": np.ones(shape, np.float32),
        "a.conv.bias": np.ones(channels, np.float32),
        "a.bn.mean": np.zeros(channels, np.float32),
        "a.bn.var": np.ones(channels, np.float32),
        "a.bn.weight": np.ones(channels, np.float32),
        "a.bn.bias": np.zeros(channels, np.float32),
    }
    conv = ops.ConvOp("a.conv.weight", "a.conv.bias", shape, 1, (1,) * rank, (1,) * rank)
    norm = ops.NormOp("a.bn.mean", "a.bn.var", "a.bn.weight", "a.bn.bias", channels, 0.0)
    return Block(ops.ChainOp((conv, norm), channels), tensors, rank)


@pytest.mark.parametrize("rows", [(0, 4), (2, 4), (3, 4)])
@pytest.mark.parametrize(
    ("tensor", "index", "message"),
    [
        ("a.conv.weight", (3, 1, 0, 2), r"a\.conv\.weight\[3, 1, 0, 2\] is nan"),
        ("a.conv.bias", 3, r"a\.conv\.bias\[3\] is nan"),
        ("a.bn.mean", 3, r"a\.bn\.mean\[3\] is nan"),
        ("a.bn.var", 3, r"a\.bn\.var\[3\] is nan"),
        ("a.bn.weight", 3, r"a\.bn\.weight\[3\] is nan"),
        ("a.bn.bias", 3, r"a\.bn\.bias\[3\] is nan"),
    ],
)
def test_damage_is_named_by_tensor_and_index_in_any_slab(rows, tensor, index, message):
    block = conv_norm()
    block.tensors[tensor][index] = np.nan
    with pytest.raises(NumericError, match=message):
        fold(block.op, block.read, rows)


@pytest.mark.parametrize("rows", [(0, 4), (2, 4), (3, 4)])
def test_a_bad_variance_is_named_by_layer_and_index_in_any_slab(rows):
    block = conv_norm()
    block.tensors["a.bn.var"][3] = -1
    with pytest.raises(NumericError, match=r"a\.bn: running_var\[3\] = -1\.0 with eps=0\.0"):
        fold(block.op, block.read, rows)


@pytest.mark.parametrize("rows", [(0, 4), (2, 4), (3, 4)])
def test_an_overflow_is_named_by_tensor_and_index_in_any_slab(rows):
    block = conv_norm()
    block.tensors["a.conv.weight"][3, 1, 0, 2] = 1e5
    with pytest.raises(NumericError, match=r"a\.conv\.weight\[3, 1, 0, 2\] = 100000\.0 does not"):
        Folder(block.op, block.read).rounded(("float16", "float16"), rows)
    block.tensors["a.conv.weight"][...] = 1
    block.tensors["a.bn.bias"][3] = -1e5
    with pytest.raises(NumericError, match=r"bias from a\.conv\.weight\[3\] = -99999\.0 does not"):
        Folder(block.op, block.read).rounded(("float16", "float16"), rows)


def test_an_overflow_of_float64_is_refused():
    block = conv_norm()
    block.tensors["a.conv.weight"] = np.full((4, 4, 3, 3), 1e200)
    block.tensors["a.bn.weight"] = np.full(4, 1e200)
    with pytest.raises(NumericError, match=r"fused kernel\[0, 0, 0, 0\] is inf"):
        fold(block.op, block.read)


def test_a_sequence_that_is_wrong_along_the_border_is_refused():
    block = conv_norm()
    conv, norm = block.op.steps
    twice = ops.ChainOp((conv, norm, conv), 4)
    with pytest.raises(BorderError):
        fold(twice, block.read)
    fold(ops.ChainOp((conv, norm, replace(conv, border="valid")), 4), block.read)


def test_norms_that_share_statistics_keep_their_own_scales():
    block = conv_norm()
    conv, norm = block.op.steps
    block.tensors["b.weight"] = np.full(4, 3, np.float32)
    other = replace(norm, weight="b.weight")
    both = ops.SumOp(((1, ops.ChainOp((conv, norm), 4)), (1, ops.ChainOp((conv, other), 4))))
    assert np.array_equal(fold(both, block.read).kernel, np.full((4, 4, 3, 3), 4.0))


def test_a_block_of_norms_alone_folds_to_a_linear_layer():
    block = conv_norm()
    conv = fold(ops.ChainOp((block.op.steps[1],), 4), block.read)
    assert (conv.rank, conv.groups) == (0, 4)


def shifted(single):
    """A grouped convolution with a bias, a factor and a shift: all small whole numbers."""
    tensors = {
        "w": np.arange(8.0).reshape(4, 2, 1),
        "b": np.array([1.0, 2, 3, 4]),
        "f": np.array([2.0, 3, 5, 7]).reshape(1, 4, 1),
        "v": np.array([[10.0]]) if single else np.array([10.0, 20, 30, 40]).reshape(4, 1),
    }
    conv = ops.ConvOp("w", "b", (4, 2, 1), 2, (1,), (0,))
    steps = (conv, ops.ScaleOp("f", 4), ops.ShiftOp("v", 4, single))
    return Block(ops.ChainOp(steps, 4), tensors, 1)


@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize("rows", [(0, 4), (0, 2), (2, 4)])
def test_a_shift_is_added_to_the_bias_alone(single, rows):
    block = shifted(single)
    conv = fold(block.op, block.read, rows)
    part = slice(*rows)
    kernel = np.array([[[0.0], [2]], [[6], [9]], [[20], [25]], [[42], [49]]])
    bias = np.array([2.0, 6, 15, 28]) + ([10] * 4 if single else [10, 20, 30, 40])
    assert np.array_equal(conv.kernel, kernel[part])
    assert np.array_equal(conv.bias, bias[part])
    x = np.array([[[1.0], [2], [3], [4]]])
    expected = [[4, 24, 160, 322][i] + bias[i] for i in range(4)][part]
    assert reference.run(block.op, block.read, x, rows).reshape(-1).tolist() == expected


def test_a_shift_before_a_convolution_is_seen_by_every_tap():
    block = shifted(single=False)
    conv = block.op.steps[0]
    op = ops.ChainOp((ops.ShiftOp("v", 4), conv), 4)
    fused = fold(op, block.read)
    assert np.array_equal(fused.kernel, block.tensors["w"])
    assert fused.bias.tolist() == [20 + 1, 20 * 3 + 10 * 2 + 2, 30 * 4 + 40 * 5 + 3, 30 * 6 + 284]


def test_what_a_shift_reads_and_whether_it_needs_a_bias():
    block = shifted(single=False)
    conv, factor, shift = block.op.steps
    assert list(ops.tensor_names(block.op)) == ["w", "b", "f", "v"]
    bare = replace(conv, bias=None)
    assert not ops.shifts(ops.ChainOp((bare, factor), 4))
    assert ops.shifts(ops.ChainOp((bare, shift), 4))
    assert ops.shifts(ops.ChainOp((conv, factor), 4))
    assert (ops.inputs(shift), ops.outputs(shift), ops.row_unit(shift)) == (4, 4, 1)
    assert ops.reach(shift, (1, 3)) == (1, 3)
    block.tensors["v"][3] = np.nan
    with pytest.raises(NumericError, match=r"v\[3\] is nan"):
        fold(block.op, block.read)


@pytest.mark.parametrize("missing", ["weight", "bias"])
def test_a_norm_may_lack_its_scale_or_its_shift(missing):
    block = conv_norm()
    conv, norm = block.op.steps
    block.tensors |= {norm.weight: np.full(4, 3.0), norm.bias: np.full(4, 5.0)}
    block.tensors |= {norm.var: np.full(4, 4.0), norm.mean: np.full(4, -2.0)}
    half = ops.ChainOp((conv, replace(norm, **{missing: None})), 4)
    scale, shift = (0.5, 5.0) if missing == "weight" else (1.5, 0.0)
    fused = fold(half, block.read)
    assert (fused.kernel == scale).all()
    assert (fused.bias == shift + 3 * scale).all()
