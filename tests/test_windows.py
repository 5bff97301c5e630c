"""A convolution over windows is a linear map of their pixels."""

import loops
import numpy as np
import pytest
from blocks import Block
from hypothesis import given
from hypothesis import strategies as st

from reparam import Conv, conv_to_linear, reference
from reparam import operations as ops
from reparam.bounds import positive
from reparam.errors import ShapeError
from reparam.fold import Folder, fold
from reparam.frames import frame, kernel_shape
from reparam.geometry import regroup
from reparam.testing import convs
from reparam.testing.layers import channel_counts, ranks


@given(st.data())
def test_the_linear_map_computes_the_convolution(data):
    rank = data.draw(ranks)
    conv = data.draw(convs(rank, data.draw(channel_counts), data.draw(channel_counts)))
    if any(s != 1 for s in conv.stride):
        with pytest.raises(ShapeError, match="strided"):
            conv_to_linear(conv, (2,) * rank)
        return
    size = tuple(data.draw(st.integers(1, 4)) for _ in range(rank))
    random = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    x = random.integers(-8, 9, (conv.inputs, *size)) / 4
    linear = conv_to_linear(conv, size)
    assert (linear.rank, linear.groups) == (0, conv.groups)
    y = loops.convolve(linear, x.reshape(-1))
    assert np.array_equal(y.reshape(conv.outputs, *size), loops.convolve(conv, x))


def test_a_transposed_convolution_is_refused():
    with pytest.raises(ShapeError, match="transposed"):
        conv_to_linear(Conv([[[1.0, 2.0]]], transposed=True), (3,))


# --- by example ---------------------------------------------------------------------------------


def test_a_tap_before_its_pixel_stands_left_of_the_diagonal():
    linear = conv_to_linear(Conv([[[1, 2, 3]]], bias=[5]), (3,))
    assert linear.kernel.tolist() == [[2, 3, 0], [1, 2, 3], [0, 1, 2]]
    assert linear.bias.tolist() == [5, 5, 5]
    wide = conv_to_linear(Conv([[[1, 2, 3]]], dilation=(2,)), (3,))
    assert wide.kernel.tolist() == [[2, 0, 3], [0, 2, 0], [1, 0, 2]]
    late = conv_to_linear(Conv([[[1, 2, 3]]], origin=(0,)), (3,))
    assert late.kernel.tolist() == [[1, 2, 3], [0, 1, 2], [0, 0, 1]]


@pytest.mark.parametrize("groups", [1, 2])
def test_channels_come_first_and_pixels_row_by_row(groups):
    random = np.random.default_rng(3)
    kernel = random.integers(-4, 5, (4, 4 // groups, 2, 3)).astype(float)
    conv = Conv(kernel, [1.0, 2.0, 3.0, 4.0], groups, dilation=(1, 2))
    x = random.integers(-4, 5, (4, 2, 4)).astype(float)
    linear = conv_to_linear(conv, (2, 4))
    assert linear.kernel.shape == (32, 32 // groups)
    assert linear.groups == groups
    y = loops.convolve(linear, x.reshape(-1)).reshape(4, 2, 4)
    assert np.array_equal(y, loops.convolve(conv, x))


@pytest.mark.parametrize("stride", [(2, 1), (1, 2)])
def test_a_strided_convolution_is_refused(stride):
    with pytest.raises(ShapeError, match="strided"):
        conv_to_linear(Conv([[[[1.0]]]], stride=stride), (2, 2))


def windows(images=2, side=2):
    """A layer over the pixels of windows with its norm, and beside it a convolution with its own.

    Everything is a small whole number, and every variance a square, so that all is exact.
    """
    random = np.random.default_rng(4)
    pixels = side**2

    def whole(*shape):
        return random.integers(-4, 5, shape).astype(float)

    tensors = {"fc": whole(images * pixels, pixels, 1, 1), "conv": whole(images, 1, 3, 3)}
    for norm in "ab":
        tensors |= {f"{norm}.{role}": whole(images) for role in ("mean", "weight", "bias")}
        tensors[f"{norm}.var"] = np.array([1.0, 4.0])
    roles = ("mean", "var", "weight", "bias")
    fc = ops.ConvOp("fc", None, tensors["fc"].shape, images, (1, 1), (0, 0))
    repeated = ops.NormOp(*(f"a.{r}" for r in roles), images * pixels, 0.0, repeat=pixels)
    conv = ops.ConvOp("conv", None, (images, 1, 3, 3), images, (1, 1), (1, 1))
    norm = ops.NormOp(*(f"b.{r}" for r in roles), images, 0.0)
    inner = ops.WindowOp(ops.ChainOp((conv, norm), images), (side, side))
    width = images * pixels
    op = ops.SumOp(((1, ops.ChainOp((fc, repeated), width)), (1, inner)))
    return Block(op, tensors, 2)


def by_hand(block, x):
    """What the module of RepMLP computes on `(batch, images * pixels, height, width)`."""
    t = block.tensors
    y = np.zeros_like(x)
    for n, row, column in np.ndindex(len(x), *x.shape[2:]):
        pixels = x[n, :, row, column].reshape(2, 4)
        full = np.stack([t["fc"].reshape(2, 4, 4)[s] @ pixels[s] for s in range(2)])
        padded = np.pad(pixels.reshape(2, 2, 2), ((0, 0), (1, 1), (1, 1)))
        local = np.array(
            [
                [(padded[s, i : i + 3, j : j + 3] * t["conv"][s, 0]).sum() for i, j in PIXELS]
                for s in range(2)
            ]
        )
        for norm, image in (("a", full), ("b", local)):
            mean, var, weight, bias = (
                t[f"{norm}.{role}"][:, None] for role in ("mean", "var", "weight", "bias")
            )
            y[n, :, row, column] += ((image - mean) / np.sqrt(var) * weight + bias).reshape(-1)
    return y


PIXELS = [(0, 0), (0, 1), (1, 0), (1, 1)]


@pytest.mark.parametrize("rows", [(0, 8), (0, 4), (4, 8)])
def test_a_block_over_windows(rows):
    block = windows()
    assert (ops.inputs(block.op), ops.outputs(block.op), ops.row_unit(block.op)) == (8, 8, 4)
    x = np.random.default_rng(5).integers(-4, 5, (3, 8, 2, 1)).astype(float)
    expected = by_hand(block, x)[:, slice(*rows)]
    assert np.array_equal(reference.run(block.op, block.read, x, rows), expected)
    conv = fold(block.op, block.read, rows)
    first, last = ops.reach(block.op, rows)
    assert (first, last) == rows
    for image, y in zip(x[:, first:last], expected, strict=True):
        assert np.array_equal(loops.convolve(conv, image), y)


def test_the_shape_of_a_block_over_windows_is_known_beforehand():
    block = windows()
    assert kernel_shape(block.op) == fold(block.op, block.read).kernel.shape == (8, 4, 1, 1)
    inner = block.op.terms[1][1]
    assert (ops.row_unit(inner), ops.reach(inner, (4, 8))) == (4, (4, 8))
    for op in (block.op, inner):
        conv = fold(op, block.read)
        shape = frame(op)
        assert (shape.groups, shape.size) == (conv.groups, conv.space)
        assert (ops.inputs(op), ops.outputs(op)) == (conv.inputs, conv.outputs) == (8, 8)
    assert list(ops.tensor_names(block.op)) == [
        *("fc", "a.mean", "a.var", "a.weight", "a.bias"),
        *("conv", "b.mean", "b.var", "b.weight", "b.bias"),
    ]
    assert reference.probe_size(block.op) == (1, 1)


def test_a_repeated_norm_rounds_like_the_norm_it_repeats():
    """Each number of the fused layer is the nearest to the exact one, as for any pair."""
    block = windows()
    pair = block.op.terms[0][1]
    kernel, bias = Folder(pair, block.read).rounded(("float32", "float32"), (0, 8))
    t = block.tensors
    scale = (t["a.weight"] / np.sqrt(t["a.var"])).repeat(4)
    assert np.array_equal(kernel, t["fc"] * scale.reshape(-1, 1, 1, 1))
    assert np.array_equal(bias, (t["a.bias"] - t["a.mean"] * scale[::4]).repeat(4))


def test_magnitudes_are_added_within_windows_too():
    """The proof of a block bounds its error by the sum of all magnitudes."""
    conv = ops.ConvOp("conv", None, (2, 1, 3, 3), 2, (1, 1), (1, 1))
    block = ops.WindowOp(ops.SumOp(((1, conv), (-1, conv))), (2, 2))
    assert positive(block) == ops.WindowOp(ops.SumOp(((1, conv), (1, conv))), (2, 2))


def test_what_has_no_axes_is_done_to_every_pixel():
    tensors = {"v": np.array([2.0, 3.0])}
    block = Block(None, tensors, 2)
    x = np.arange(8.0).reshape(1, 8, 1, 1)
    for inner, kernel, bias in (
        (ops.ChainOp((), 2), [1] * 8, [0] * 8),
        (ops.NumberOp(0.5, 2), [0.5] * 8, [0] * 8),
        (ops.ScaleOp("v", 2), [2] * 4 + [3] * 4, [0] * 8),
        (ops.ShiftOp("v", 2), [1] * 8, [2] * 4 + [3] * 4),
    ):
        op = ops.WindowOp(inner, (2, 2))
        conv = fold(op, block.read)
        assert conv.groups == 2
        assert np.array_equal(regroup(conv, 1).kernel, np.diag(kernel))
        assert conv.bias.tolist() == bias
        y = reference.run(op, block.read, x).reshape(-1)
        assert np.array_equal(y, np.array(kernel) * np.arange(8) + bias)
