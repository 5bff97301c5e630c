"""Every function of the algebra computes, on whole images, what the layers it replaces compute."""

import loops
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import (
    channel_counts,
    convs,
    geometries,
    group_counts,
    images,
    integers,
    pointwise,
    ranks,
    statistics,
)

from reparam.algebra import concat_branches, merge_sequential, sum_branches
from reparam.errors import BorderError, NumericError, ShapeError
from reparam.geometry import dilate_kernel, pad_kernel, regroup
from reparam.layers import (
    average_pool,
    channel_scale,
    fuse_conv_bn,
    identity_kernel,
    scale_outputs,
)
from reparam.linear import Conv


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
    stats = data.draw(statistics(conv.outputs))
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
    expected = sum(spread(b, x, stride) for b in branches)
    assert np.array_equal(loops.convolve(sum_branches(iter(branches)), x), expected)


def spread(conv, x, stride):
    """Run a branch; one without spatial axes runs at every position the others write."""
    if conv.rank == x.ndim - 1:
        return loops.convolve(conv, x)
    seen = x[(slice(None), *(slice(None, None, s) for s in stride))]
    flat = seen.reshape(len(seen), -1)
    columns = [loops.convolve(conv, flat[:, n]) for n in range(flat.shape[1])]
    return np.stack(columns, axis=1).reshape(-1, *seen.shape[1:])


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


@pytest.mark.parametrize("border", ["zero", "image", "valid"])
@pytest.mark.parametrize("layers", [(pointwise, convs), (convs, pointwise), (convs, convs)])
@given(st.data())
def test_a_sequence_is_exact_along_the_border_or_refused(border, layers, data):
    rank, (first_layer, second_layer) = data.draw(ranks), layers
    inputs, middle, outputs = (data.draw(channel_counts) for _ in range(3))
    first = data.draw(first_layer(rank, inputs, middle))
    second = data.draw(second_layer(rank, middle, outputs))
    x = data.draw(images(inputs, rank))
    try:
        both = merge_sequential(first, second, border=border)
    except BorderError:
        assert border != "valid"
        assert not second.pointwise
        assert not first.pointwise or (border == "zero" and first.bias.any())
        return
    expected = loops.sequence(first, second, x, border)
    assert np.array_equal(loops.convolve(both, x), expected)
    assert both.dilation == (1,) * rank


@given(st.data())
def test_a_linear_layer_in_a_sequence_is_pointwise(data):
    rank = data.draw(ranks)
    conv = data.draw(convs(rank, 2, 4, stride=1))
    after, before = data.draw(convs(0, 4, 3)), data.draw(convs(0, 3, 2, bias=None))
    x = data.draw(images(2, rank))
    expected = spread(after, loops.convolve(conv, x), (1,) * rank)
    assert np.array_equal(loops.convolve(merge_sequential(conv, after), x), expected)
    x = data.draw(images(3, rank))
    expected = loops.convolve(conv, spread(before, x, (1,) * rank))
    assert np.array_equal(loops.convolve(merge_sequential(before, conv), x), expected)


@st.composite
def refused_sequences(draw):
    """Two layers of positive numbers that differ from any one convolution along the border."""
    rank = draw(st.integers(1, 3))
    small = [draw(st.sampled_from([1, 3])) for _ in range(rank)]
    large = [draw(st.sampled_from([1, 3])) for _ in range(rank)]
    axis = draw(st.integers(0, rank - 1))
    large[axis] = 3
    biased = draw(st.booleans())
    border = "zero"
    if not biased:
        small[axis] = 3
        border = draw(st.sampled_from(["zero", "image"]))
    elif draw(st.booleans()):
        small = [1] * rank
    rng = draw(st.integers(0, 2**32 - 1).map(np.random.default_rng))
    first = Conv(rng.integers(1, 5, (2, 1, *small)), [1, 2] if biased else None)
    return first, Conv(rng.integers(1, 5, (3, 2, *large))), border


@given(refused_sequences(), st.data())
def test_a_refused_sequence_differs_from_one_convolution_along_the_border_only(layers, data):
    first, second, border = layers
    with pytest.raises(BorderError, match="border"):
        merge_sequential(first, second, border=border)
    interior_only = merge_sequential(first, second, border="valid")
    x = data.draw(images(1, first.rank, least=5)) + 5
    true, fused = loops.sequence(first, second, x, border), loops.convolve(interior_only, x)
    assert not np.array_equal(true, fused)
    inside = slice(2, -2)
    if first.rank < 3:
        inner = (slice(None), *[inside] * first.rank)
        assert np.array_equal(true[inner], fused[inner])


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
    norms = [data.draw(statistics(channels)) for _ in range(3)]
    x = data.draw(images(channels, rank))
    layers = [big, point, identity_kernel(channels, (1,) * rank, groups)]
    pairs = list(zip(layers, norms, strict=True))
    fused = sum_branches([fuse_conv_bn(layer, **stats) for layer, stats in pairs])
    expected = sum(loops.batch_norm(loops.convolve(layer, x), **stats) for layer, stats in pairs)
    assert np.array_equal(loops.convolve(fused, x), expected)
    assert fused.groups == groups


# --- purity: P11


def plain(a):
    return np.array(a)


def strided(a):
    return np.repeat(a, 2, axis=-1)[..., ::2]


def reversed_view(a):
    return np.array(a[::-1])[::-1]


def big_endian(a):
    return a.astype(">f8")


def read_only(a):
    a = np.array(a)
    a.flags.writeable = False
    return a


LAYOUTS = [plain, strided, np.asfortranarray, reversed_view, big_endian, read_only]

KERNEL = np.random.default_rng(0).integers(-4, 5, (4, 2, 3, 2)).astype(np.float64)
VECTOR = np.array([1.0, -2.0, 3.0, 0.5])

PURE = {
    "Conv": lambda k, v: Conv(k, v, groups=2),
    "fuse_conv_bn": lambda k, v: fuse_conv_bn(Conv(k, v, groups=2), v, v * v, v, v, eps=0.25),
    "channel_scale": lambda k, v: channel_scale(v, v),  # noqa: ARG005
    "sum of one": lambda k, v: sum_branches([Conv(k, v, groups=2)]),
    "sum of two": lambda k, v: sum_branches([Conv(k, v, groups=2), channel_scale(v, v)]),
    "sequence": lambda k, v: merge_sequential(channel_scale(v), Conv(k, v, groups=2)),
    "concatenation": lambda k, v: concat_branches([Conv(k, v)]),
}


@pytest.mark.parametrize("name", PURE)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_memory_layout_gives_the_same_bytes_and_is_left_alone(name, layout):
    kernel, vector = layout(KERNEL), layout(VECTOR)
    before = kernel.tobytes(), vector.tobytes()
    result, expected = PURE[name](kernel, vector), PURE[name](KERNEL, VECTOR)
    assert result.kernel.tobytes() == expected.kernel.tobytes()
    assert result.bias.tobytes() == expected.bias.tobytes()
    assert result.kernel.flags.c_contiguous
    assert (kernel.tobytes(), vector.tobytes()) == before
    for mine in (result.kernel, result.bias):
        assert not np.shares_memory(mine, kernel)
        assert not np.shares_memory(mine, vector)


DENSE = Conv(KERNEL, VECTOR)
POINT = Conv(KERNEL[:2, :, :1, :1], VECTOR[:2])
LINEAR = Conv(KERNEL[:2, :, 0, 0], VECTOR[:2])

NEUTRAL = {
    "fuse_conv_bn": (lambda c: fuse_conv_bn(c, c.bias * 0, c.bias * 0 + 1, eps=0), DENSE),
    "scale_outputs": (lambda c: scale_outputs(c, 1.0), DENSE),
    "dilate_kernel": (dilate_kernel, DENSE),
    "pad_kernel": (lambda c: pad_kernel(c, c.space, c.origin), DENSE),
    "regroup": (lambda c: regroup(c, c.groups), DENSE),
    "regroup to fewer": (lambda c: regroup(c, 1), Conv(KERNEL, VECTOR, groups=2)),
    "sum_branches": (lambda c: sum_branches([c]), DENSE),
    "sum of a linear layer": (lambda c: sum_branches([c, POINT]), LINEAR),
    "merge_sequential before": (lambda c: merge_sequential(c, identity_kernel(4)), DENSE),
    "merge_sequential after": (lambda c: merge_sequential(identity_kernel(2), c), DENSE),
    "concat_branches": (lambda c: concat_branches([c]), DENSE),
    "Conv": (lambda c: Conv(c.kernel, c.bias), DENSE),
}


@pytest.mark.parametrize("name", NEUTRAL)
def test_even_a_call_that_changes_nothing_returns_new_arrays(name):
    function, conv = NEUTRAL[name]
    before = conv.kernel.tobytes(), conv.bias.tobytes()
    result = function(conv)
    for mine in (result.kernel, result.bias):
        assert not np.shares_memory(mine, conv.kernel)
        assert not np.shares_memory(mine, conv.bias)
    assert (conv.kernel.tobytes(), conv.bias.tobytes()) == before


# --- refusals: P12

ONE = Conv([[[1.0]]])
TWO = Conv(np.ones((2, 2, 3)))

REFUSED_SHAPES = {
    "kernel of one axis": (lambda: Conv([1.0]), r"kernel of shape \(1,\): expected \(out, in"),
    "empty kernel": (lambda: Conv(np.ones((0, 2, 3))), r"kernel of shape \(0, 2, 3\)"),
    "groups": (lambda: Conv(np.ones((4, 1, 1)), groups=3), "groups=3 does not divide the 4"),
    "no groups": (lambda: Conv([[[1.0]]], groups=0), "groups=0 does not divide"),
    "bias": (lambda: Conv([[[1.0]]], [1, 2]), r"bias of shape \(2,\): expected \(1,\)"),
    "stride": (lambda: Conv([[[1.0]]], stride=(1, 1)), r"stride=\(1, 1\): expected 1 whole"),
    "no stride": (lambda: Conv([[[1.0]]], stride=0), "stride=0: expected 1 .* at least 1"),
    "half a pixel": (lambda: Conv([[[1.0]]], dilation=1.5), "dilation=1.5: expected 1 whole"),
    "origin": (lambda: Conv([[[1.0]]], origin=-1), "origin=-1: expected 1 .* at least 0"),
    "norm": (lambda: fuse_conv_bn(TWO, [0], [1], eps=0), "norm of 1 channels .* of 2 outputs"),
    "statistics": (lambda: fuse_conv_bn(TWO, [0, 0], [1], eps=0), r"running_var of shape \(1,\)"),
    "weight": (
        lambda: fuse_conv_bn(ONE, [0], [1], [1, 1], eps=0),
        r"weight of shape \(2,\) beside running_mean of shape \(1,\)",
    ),
    "beta": (lambda: fuse_conv_bn(ONE, [0], [1], None, [[1]], eps=0), r"bias of shape \(1, 1\)"),
    "small pad": (lambda: pad_kernel(TWO, (2,)), r"3,\) pixels .* does not fit in \(2,\) taps"),
    "pad away": (lambda: pad_kernel(TWO, (5,), (4,)), r"does not fit in \(5,\) .* origin \(4,\)"),
    "pad axes": (lambda: pad_kernel(TWO, (3, 3)), r"kernel_size=\(3, 3\): expected 1 whole"),
    "even identity": (lambda: identity_kernel(2, (2,)), r"kernel_size=\(2,\): .* centre tap"),
    "identity groups": (lambda: identity_kernel(4, (1,), 3), "groups=3 does not divide 4"),
    "no identity": (lambda: identity_kernel(0), "does not divide 0 channels"),
    "empty pool": (lambda: average_pool(1, (0,)), r"kernel_size=\(0,\): expected 1 whole"),
    "empty sum": (lambda: sum_branches([]), "at least one branch"),
    "outputs": (lambda: sum_branches([TWO, Conv(np.ones((1, 2, 3)))]), "on outputs: 2 and 1"),
    "inputs": (lambda: sum_branches([TWO, Conv(np.ones((2, 1, 3)))]), "on inputs: 2 and 1"),
    "strides": (
        lambda: sum_branches([TWO, Conv(np.ones((2, 2, 3)), stride=2)]),
        r"on stride: \(1,\) and \(2,\)",
    ),
    "axes": (lambda: sum_branches([TWO, Conv(np.ones((2, 2, 3, 3)))]), "1-D and a 2-D"),
    "transposed groups": (
        lambda: sum_branches(
            [
                Conv(np.ones((2, 2, 1)), transposed=True),
                Conv(np.ones((2, 1, 1)), groups=2, transposed=True),
            ]
        ),
        "transposed convolutions of different groups",
    ),
    "sequence": (lambda: merge_sequential(ONE, TWO), "second layer reads 2 channels, .* writes 1"),
    "transposed sequence": (
        lambda: merge_sequential(Conv([[[1.0]]], transposed=True), ONE),
        "transposed convolution composes with a norm or a scale only",
    ),
    "empty concatenation": (lambda: concat_branches([]), "at least one branch"),
    "concatenation": (lambda: concat_branches([ONE, TWO]), "on inputs: 1 and 2"),
    "transposed concatenation": (
        lambda: concat_branches([Conv([[[1.0]]], transposed=True)]),
        "transposed convolution cannot be written with other groups",
    ),
    "more groups": (lambda: regroup(TWO, 2), "of 1 groups cannot be written with 2"),
    "regroup to none": (lambda: regroup(TWO, 0), "cannot be written with 0 groups"),
}


@pytest.mark.parametrize("name", REFUSED_SHAPES)
def test_operands_that_do_not_fit_are_refused_by_name(name):
    call, message = REFUSED_SHAPES[name]
    with pytest.raises(ShapeError, match=message):
        call()


REFUSED_NUMBERS = {
    "NaN": (lambda: Conv([[[1.0]], [[np.nan]]]), r"kernel\[1, 0, 0\] is nan"),
    "infinity": (lambda: Conv([[[1.0]]], [-np.inf]), r"bias\[0\] is -inf"),
    "mean": (lambda: fuse_conv_bn(ONE, [np.nan], [1], eps=0), r"running_mean\[0\] is nan"),
    "infinite variance": (lambda: fuse_conv_bn(ONE, [0], [np.inf], eps=0), r"running_var\[0\] is"),
    "gamma": (lambda: fuse_conv_bn(ONE, [0], [1], [np.nan], eps=0), r"weight\[0\] is nan"),
    "beta": (lambda: fuse_conv_bn(ONE, [0], [1], None, [np.nan], eps=0), r"bias\[0\] is nan"),
    "negative variance": (
        lambda: fuse_conv_bn(TWO, [0, 0], [1, -1e-9], eps=1e-3),
        r"running_var\[1\] = -1e-09 with eps=0.001: a variance must not be negative",
    ),
    "zero variance": (lambda: fuse_conv_bn(ONE, [0], [0], eps=0), r"running_var\[0\] = 0.0 with"),
    "negative eps": (lambda: fuse_conv_bn(ONE, [0], [1], eps=-1e-5), "eps=-1e-05: expected a"),
    "eps": (lambda: fuse_conv_bn(ONE, [0], [1], eps=np.nan), "eps=nan: expected a finite"),
    "scale": (lambda: scale_outputs(ONE, np.inf), r"scale\[0\] is inf"),
    "norm overflow": (
        lambda: fuse_conv_bn(Conv([[[1e200]]]), [0], [1], [1e200], eps=0),
        r"kernel\[0, 0, 0\] is inf",
    ),
    "sum overflow": (lambda: sum_branches([Conv([[1e308]])] * 2), r"kernel\[0, 0\] is inf"),
    "sequence overflow": (
        lambda: merge_sequential(Conv([[1e200]]), Conv([[1e200]])),
        r"kernel\[0, 0\] is inf",
    ),
}


@pytest.mark.parametrize("name", REFUSED_NUMBERS)
def test_numbers_that_cannot_be_fused_are_refused_by_name(name):
    call, message = REFUSED_NUMBERS[name]
    with pytest.raises(NumericError, match=message):
        call()


def test_numbers_whose_sum_overflows_are_accepted():
    assert np.array_equal(Conv([[1e308], [1e308]]).kernel, [[1e308], [1e308]])


def test_an_average_that_leaves_out_the_padding_is_no_convolution():
    with pytest.raises(BorderError, match="count_include_pad=False"):
        average_pool(1, (3,), count_include_pad=False)


def test_an_unknown_border_is_refused():
    with pytest.raises(BorderError, match="border='reflect': expected one of zero, image, valid"):
        merge_sequential(ONE, ONE, border="reflect")


@pytest.mark.parametrize(
    ("size", "dilation", "origin"), [(1, 1, 0), (2, 1, 0), (3, 1, 1), (4, 1, 1), (2, 3, 1)]
)
def test_the_default_origin_is_the_centre(size, dilation, origin):
    assert Conv(np.ones((1, 1, size)), dilation=dilation).origin == (origin,)
