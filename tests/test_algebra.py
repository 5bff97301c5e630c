"""Norms, kernels and sums: one convolution computes what the layers it replaces compute."""

import loops
import numpy as np
import pytest
from blocks import pointwise
from hypothesis import given
from hypothesis import strategies as st

from reparam.algebra import concat_branches, sum_branches
from reparam.errors import ShapeError
from reparam.geometry import dilate_kernel, pad_kernel, regroup
from reparam.layers import (
    average_pool,
    channel_scale,
    fuse_conv_bn,
    identity_kernel,
    scale_outputs,
)
from reparam.linear import Conv
from reparam.testing import batch_norms, convs, images, integers
from reparam.testing.layers import channel_counts, geometries, group_counts, ranks


def same(a, b):
    """Whether two convolutions are equal in every field."""
    fields = "groups", "stride", "dilation", "origin", "transposed"
    return (
        np.array_equal(a.kernel, b.kernel)
        and np.array_equal(a.bias, b.bias)
        and all(getattr(a, f) == getattr(b, f) for f in fields)
    )


@given(st.data(), st.booleans())
def test_a_fused_norm_is_the_norm_after_the_convolution(data, transposed):
    rank = data.draw(ranks)
    conv = data.draw(convs(rank, transposed=transposed))
    stats = data.draw(batch_norms(conv.outputs))
    x = data.draw(images(conv.inputs, rank))
    fused = fuse_conv_bn(conv, **stats)
    expected = loops.batch_norm(loops.convolve(conv, x), **stats)
    assert np.array_equal(loops.convolve(fused, x), expected)
    assert same(fused, Conv(fused.kernel, fused.bias, *geometry(conv)))


def geometry(conv):
    return conv.groups, conv.stride, conv.dilation, conv.origin, conv.transposed


@given(st.data(), st.booleans())
def test_scaled_outputs_are_the_outputs_scaled(data, transposed):
    rank = data.draw(ranks)
    conv = data.draw(convs(rank, transposed=transposed))
    factors = data.draw(integers((conv.outputs,)))
    x = data.draw(images(conv.inputs, rank))
    expected = loops.convolve(conv, x) * factors.reshape(-1, *(1,) * rank)
    assert np.array_equal(loops.convolve(scale_outputs(conv, factors), x), expected)


@given(st.data(), st.booleans())
def test_a_padded_kernel_computes_the_same(data, transposed):
    rank = data.draw(ranks)
    conv = data.draw(convs(rank, transposed=transposed))
    before, after = (data.draw(st.tuples(*[st.integers(0, 2)] * rank)) for _ in range(2))
    spans = [d * (k - 1) + 1 for d, k in zip(conv.dilation, conv.space, strict=True)]
    size = [a + s + b for a, s, b in zip(before, spans, after, strict=True)]
    origin = [a + o for a, o in zip(before, conv.origin, strict=True)]
    padded = pad_kernel(conv, size, origin)
    x = data.draw(images(conv.inputs, rank))
    assert padded.space == tuple(size)
    assert np.array_equal(loops.convolve(padded, x), loops.convolve(conv, x))


@given(st.data())
def test_a_pointwise_kernel_is_padded_around_its_centre(data):
    size = data.draw(st.lists(st.integers(1, 5), max_size=3))
    conv = data.draw(pointwise(len(size), 2, 3, stride=1))
    padded = pad_kernel(conv, size)
    centre = tuple((k - 1) // 2 for k in size)
    assert padded.origin == centre
    assert np.array_equal(padded.kernel[(..., *centre)].ravel(), conv.kernel.ravel())
    assert np.abs(padded.kernel).sum() == np.abs(conv.kernel).sum()


@given(st.data(), st.booleans())
def test_a_dilated_kernel_written_out_computes_the_same(data, transposed):
    rank = data.draw(ranks)
    conv = data.draw(convs(rank, transposed=transposed))
    dense = dilate_kernel(conv)
    x = data.draw(images(conv.inputs, rank))
    assert dense.dilation == (1,) * rank
    assert np.array_equal(loops.convolve(dense, x), loops.convolve(conv, x))


@given(st.data())
def test_a_kernel_written_with_fewer_groups_computes_the_same(data):
    rank = data.draw(ranks)
    conv = data.draw(convs(rank))
    groups = data.draw(group_counts(conv.groups, conv.groups))
    x = data.draw(images(conv.inputs, rank))
    assert regroup(conv, groups).groups == groups
    assert np.array_equal(loops.convolve(regroup(conv, groups), x), loops.convolve(conv, x))


@given(st.data())
def test_an_identity_kernel_copies_the_image(data):
    channels = data.draw(channel_counts)
    groups = data.draw(group_counts(channels, channels))
    size = data.draw(st.lists(st.sampled_from([1, 3, 5]), max_size=3))
    x = data.draw(images(channels, len(size)))
    copy = identity_kernel(channels, size, groups)
    assert (copy.groups, copy.space) == (groups, tuple(size))
    assert np.array_equal(loops.convolve(copy, x), x)


@given(st.data())
def test_an_average_pool_is_the_mean_of_each_padded_window(data):
    size = data.draw(st.lists(st.sampled_from([1, 2, 4]), min_size=1, max_size=3))
    x = data.draw(images(2, len(size)))
    sides = [((k - 1) // 2, k // 2) for k in size]
    padded = np.pad(x, [(0, 0), *sides])
    axes = tuple(range(1, x.ndim))
    windows = np.lib.stride_tricks.sliding_window_view(padded, size, axes)
    expected = windows.mean(axis=tuple(range(-len(size), 0)))
    assert np.array_equal(loops.convolve(average_pool(2, size), x), expected)


@given(st.data())
def test_a_channel_scale_is_its_definition(data):
    channels = data.draw(channel_counts)
    scale, bias = (data.draw(integers((channels,))) for _ in range(2))
    x = data.draw(images(channels, 0))
    assert np.array_equal(loops.convolve(channel_scale(scale, bias), x), scale * x + bias)
    assert np.array_equal(loops.convolve(channel_scale(scale), x), scale * x)


@given(st.data())
def test_a_sum_of_branches_is_the_sum_of_their_outputs(data):
    """Groups, kernel sizes, dilations and origins are mixed, and linear layers join in."""
    rank, inputs = data.draw(ranks), data.draw(channel_counts)
    outputs = data.draw(st.one_of(st.just(inputs), channel_counts))
    stride = data.draw(st.tuples(*[st.integers(1, 2)] * rank))
    layers = [convs(rank, inputs, outputs, stride=stride)]
    layers += [pointwise(rank, inputs, outputs, stride=stride)]
    layers += [convs(0, inputs, outputs)] if set(stride) <= {1} else []
    if inputs == outputs:
        depthwise = convs(rank, inputs, inputs, stride=stride, groups=inputs)
        layers += [depthwise, st.just(channel_scale(np.full(inputs, 2.0), np.ones(inputs)))]
    first = data.draw(convs(rank, inputs, outputs, stride=stride))
    rest = data.draw(st.lists(st.one_of(layers), max_size=3))
    x = data.draw(images(inputs, rank))
    branches = data.draw(st.permutations([first, *rest]))
    expected = sum(loops.spread(b, x, stride) for b in branches)
    assert np.array_equal(loops.convolve(sum_branches(iter(branches)), x), expected)


@given(st.data())
def test_a_sum_of_branches_of_one_geometry_keeps_its_dilation(data):
    rank, inputs = data.draw(ranks), data.draw(channel_counts)
    first = data.draw(convs(rank, inputs, inputs, stride=1))
    again = {"kernel_size": first.space, "dilation": first.dilation, "origin": first.origin}
    second = data.draw(convs(rank, inputs, inputs, stride=1, **again))
    both = sum_branches([first, second])
    x = data.draw(images(inputs, rank))
    assert (both.space, both.dilation) == (first.space, first.dilation)
    assert np.array_equal(
        loops.convolve(both, x), loops.convolve(first, x) + loops.convolve(second, x)
    )


@pytest.mark.parametrize("what", ["dilation", "origin", "kernel_size"])
@given(st.data())
def test_branches_that_differ_in_one_thing_are_aligned(what, data):
    rank, inputs = data.draw(st.integers(1, 3)), data.draw(channel_counts)
    first = {"kernel_size": (2,) * rank, "dilation": (1,) * rank, "origin": (1,) * rank}
    second = first | {what: tuple(data.draw(st.integers(1, 2)) for _ in range(rank))}
    branches = [data.draw(convs(rank, inputs, inputs, stride=1, **g)) for g in (first, second)]
    x = data.draw(images(inputs, rank))
    expected = sum(loops.convolve(b, x) for b in branches)
    assert np.array_equal(loops.convolve(sum_branches(branches), x), expected)


@given(st.data())
def test_a_sum_of_transposed_branches_is_the_sum_of_their_outputs(data):
    rank = data.draw(ranks)
    first = data.draw(convs(rank, transposed=True))
    like = {"groups": first.groups, "stride": first.stride}
    second = data.draw(convs(rank, first.inputs, first.outputs, transposed=True, **like))
    x = data.draw(images(first.inputs, rank))
    expected = loops.convolve(first, x) + loops.convolve(second, x)
    assert np.array_equal(loops.convolve(sum_branches([first, second]), x), expected)


def test_a_transposed_linear_layer_is_no_plain_branch():
    turned = Conv([[1, 2], [3, 4]], transposed=True)
    with pytest.raises(ShapeError, match="disagree on transposed"):
        sum_branches([turned, Conv(np.zeros((2, 2, 1)))])


@given(st.data())
def test_a_concatenation_stacks_the_outputs(data):
    rank, inputs = data.draw(ranks), data.draw(channel_counts)
    stride = data.draw(st.tuples(*[st.integers(1, 2)] * rank))
    branches = data.draw(st.lists(convs(rank, inputs, stride=stride), min_size=1, max_size=3))
    x = data.draw(images(inputs, rank))
    expected = np.concatenate([loops.convolve(b, x) for b in branches])
    assert np.array_equal(loops.convolve(concat_branches(iter(branches)), x), expected)


@given(st.data())
def test_big_and_little_kernels_and_identity_make_one_block(data):
    """RepVGG's block as a whole, at any offset of the little kernel within the big one."""
    rank, channels = data.draw(st.integers(1, 3)), data.draw(channel_counts)
    groups = data.draw(group_counts(channels, channels))
    big = data.draw(convs(rank, channels, channels, groups=groups, stride=1))
    _, _, origin = data.draw(geometries(rank))
    little = {"kernel_size": (1,) * rank, "origin": origin}
    point = data.draw(convs(rank, channels, channels, groups=groups, stride=1, **little))
    norms = [data.draw(batch_norms(channels)) for _ in range(3)]
    x = data.draw(images(channels, rank))
    layers = [big, point, identity_kernel(channels, (1,) * rank, groups)]
    pairs = list(zip(layers, norms, strict=True))
    fused = sum_branches([fuse_conv_bn(layer, **stats) for layer, stats in pairs])
    expected = sum(loops.batch_norm(loops.convolve(layer, x), **stats) for layer, stats in pairs)
    assert np.array_equal(loops.convolve(fused, x), expected)
    assert fused.groups == groups


@pytest.mark.parametrize(
    ("size", "dilation", "origin"), [(1, 1, 0), (2, 1, 0), (3, 1, 1), (4, 1, 1), (2, 3, 1)]
)
def test_the_default_origin_is_the_centre(size, dilation, origin):
    assert Conv(np.ones((1, 1, size)), dilation=dilation).origin == (origin,)


@pytest.mark.parametrize("first", [True, False])
def test_a_linear_layer_beside_a_strided_convolution_takes_its_stride(first):
    branches = [Conv(np.ones((1, 1))), Conv(np.ones((1, 1, 3)), stride=2)]
    assert sum_branches(branches if first else branches[::-1]).stride == (2,)


# --- cases that random layers seldom hit ---------------------------------------------------------


@pytest.mark.parametrize("transposed", [False, True])
def test_kernels_of_one_size_and_other_origins_are_not_added_tap_by_tap(transposed):
    kernel = np.array([[[1.0, 2.0, 4.0]]])
    one, two = (Conv(kernel, origin=o, transposed=transposed) for o in (1, 0))
    total = sum_branches([one, two])
    assert (total.kernel.tolist(), total.origin) == ([[[1, 3, 6, 4]]], (1,))


def test_every_output_of_a_group_has_a_scale_of_its_own():
    conv = Conv(np.ones((6, 1, 1)), groups=3)
    factors = np.arange(1.0, 7)
    fused = fuse_conv_bn(conv, np.zeros(6), np.ones(6), factors, eps=0.0)
    assert fused.kernel[:, 0, 0].tolist() == factors.tolist()


def test_a_kernel_of_one_row_is_not_pointwise():
    assert not Conv(np.ones((1, 1, 1, 3)), origin=0).pointwise
    assert Conv(np.ones((1, 1, 1, 1))).pointwise
