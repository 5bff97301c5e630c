"""The reference runs layers by their definitions: it agrees with loops and knows no algebra."""

import ast
import inspect
from dataclasses import replace

import loops
import numpy as np
import pytest
from blocks import Block, pointwise
from hypothesis import given
from hypothesis import strategies as st

from reparam import operations as ops
from reparam import reference
from reparam.testing import batch_norms, convs, images, integers
from reparam.testing.layers import channel_counts, ranks


def block(*layers, border="zero"):
    """Bind plain convolutions, one after the other, to tensors; `border` is for the last."""
    tensors, steps, rank = {}, [], layers[0].kernel.ndim - 2
    for n, layer in enumerate(layers):
        tensors[f"{n}.weight"], tensors[f"{n}.bias"] = layer.kernel, layer.bias
        geometry = layer.groups, layer.dilation, layer.origin, layer.transposed
        steps.append(ops.ConvOp(f"{n}.weight", f"{n}.bias", layer.kernel.shape, *geometry))
    steps[-1] = replace(steps[-1], border=border)
    return Block(ops.ChainOp(tuple(steps), steps[0].inputs), tensors, rank)


def run(built, x):
    """Run on a batch of `x` and of something else, and return the output for `x`."""
    return reference.run(built.op, built.read, np.stack([x + 1, x]))[1]


@given(st.data(), st.booleans())
def test_a_convolution_is_its_definition(data, transposed):
    rank = data.draw(ranks)
    conv = data.draw(convs(rank, transposed=transposed, stride=1))
    x = data.draw(images(conv.inputs, rank))
    assert np.array_equal(run(block(conv), x), loops.convolve(conv, x))


@pytest.mark.parametrize("border", ["zero", "image", "valid"])
@given(st.data())
def test_the_second_of_two_convolutions_sees_its_border(border, data):
    rank, inputs, middle = data.draw(ranks), data.draw(channel_counts), data.draw(channel_counts)
    layer, bias = (pointwise if border == "image" else convs), data.draw(integers((middle,)))
    first = data.draw(layer(rank, inputs, middle, stride=1, bias=bias))
    second = data.draw(convs(rank, middle, stride=1))
    x = data.draw(images(inputs, rank))
    built = block(first, second, border=border)
    assert np.array_equal(run(built, x), loops.sequence(first, second, x, border))


@given(st.data())
def test_a_norm_is_its_definition(data):
    channels, rank = data.draw(channel_counts), data.draw(ranks)
    stats = data.draw(batch_norms(channels))
    x = data.draw(images(channels, rank))
    tensors = {k: v for k, v in stats.items() if k != "eps"}
    names = [k if v is not None else None for k, v in tensors.items()]
    built = Block(ops.NormOp(*names, channels, stats["eps"]), tensors, rank)
    assert np.array_equal(run(built, x), loops.batch_norm(x, **stats))


@given(st.data())
def test_an_average_counts_the_padding(data):
    rank = data.draw(st.integers(1, 3))
    size = tuple(data.draw(st.sampled_from([1, 2, 4])) for _ in range(rank))
    x = data.draw(images(2, rank))
    taps = np.full((2, 1, *size), 1 / np.prod(size))
    ones = (1,) * rank
    pool = loops.Layer(taps, np.zeros(2), 2, ones, ones, tuple((k - 1) // 2 for k in size))
    built = Block(ops.AverageOp(size, 2), {}, rank)
    assert np.array_equal(run(built, x), loops.convolve(pool, x))


@given(st.data())
def test_scales_multiply_and_branches_add_with_their_signs(data):
    rank, channels = data.draw(ranks), data.draw(channel_counts)
    vector, single = data.draw(integers((channels,))), data.draw(integers((1,)))
    x = data.draw(images(channels, rank))
    op = ops.SumOp(
        (
            (1, ops.ChainOp((), channels)),
            (-1, ops.ScaleOp("vector", channels)),
            (1, ops.ScaleOp("single", channels, single=True)),
            (-1, ops.NumberOp(0.5, channels)),
        )
    )
    factor = 0.5 - vector.reshape(-1, *(1,) * rank) + single[0]
    built = Block(op, {"vector": vector, "single": single}, rank)
    assert np.array_equal(run(built, x), x * factor)


def one_tap_at_a_time(*layers):
    """Give the layers with all weights 1, once for every tap of each, its other taps 0."""
    ones = [replace_kernel(layer, np.ones_like(layer.kernel)) for layer in layers]
    for n, layer in enumerate(layers):
        for tap in np.ndindex(layer.kernel.shape):
            only = np.zeros_like(layer.kernel)
            only[tap] = 1
            yield [*ones[:n], replace_kernel(layer, only), *ones[n + 1 :]]


def replace_kernel(layer, kernel):
    zeros, geometry = np.zeros(1), (layer.groups, layer.stride, layer.dilation, layer.origin)
    return loops.Layer(kernel, zeros, *geometry)


@given(st.data())
def test_the_probe_image_is_the_smallest_on_which_every_tap_meets_a_pixel(data):
    conv = data.draw(convs(data.draw(st.integers(1, 3)), 1, 1, stride=1))
    size = reference.probe_size(block(conv).op)
    taps = list(one_tap_at_a_time(conv))
    assert all(run(block(*layers), np.ones((1, *size))).any() for layers in taps)
    for axis in range(len(size)):
        if size[axis] > 1:
            less = [n - (a == axis) for a, n in enumerate(size)]
            assert not all(run(block(*layers), np.ones((1, *less))).any() for layers in taps)


@given(st.data())
def test_the_probe_image_of_two_layers_is_met_by_the_taps_of_both(data):
    rank = data.draw(st.integers(1, 2))
    first, second = (data.draw(convs(rank, 1, 1, stride=1)) for _ in range(2))
    one, two, both = block(first).op, block(second).op, block(first, second).op
    image = np.ones((1, *reference.probe_size(both)))
    for layers in one_tap_at_a_time(first, second):
        assert run(block(*layers), image).any()
    branches = ops.SumOp(((1, one), (1, two), (1, ops.ChainOp((), 1))))
    larger = map(max, zip(reference.probe_size(one), reference.probe_size(two), strict=True))
    assert reference.probe_size(branches) == tuple(larger)


def test_the_reference_knows_neither_fold_nor_algebra():
    names = set()
    for node in ast.walk(ast.parse(inspect.getsource(reference))):
        if isinstance(node, ast.Import):
            names |= {part for alias in node.names for part in alias.name.split(".")}
        if isinstance(node, ast.ImportFrom):
            names |= set((node.module or "").split("."))
            names |= {alias.name for alias in node.names}
    assert "operations" in names
    judged = {"fold", "algebra", "layers", "geometry", "linear", "norm", "exact", "rounding"}
    assert not names & judged


def test_the_loops_know_nothing_of_the_package():
    assert "reparam" not in inspect.getsource(loops)
