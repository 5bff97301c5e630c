"""Two layers in sequence are one convolution, borders included, or they are refused."""

import loops
import numpy as np
import pytest
from blocks import pointwise
from hypothesis import given
from hypothesis import strategies as st

from reparam.algebra import merge_sequential
from reparam.errors import BorderError
from reparam.linear import Conv
from reparam.testing import convs, images
from reparam.testing.layers import channel_counts, ranks


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
        sideways = ((a > 1 or o) for a, o in zip(first.space, first.origin, strict=True))
        onward = ((b > 1 or o) for b, o in zip(second.space, second.origin, strict=True))
        meet = any(a and b for a, b in zip(sideways, onward, strict=True))
        assert meet or (border == "zero" and first.bias.any())
        return
    expected = loops.sequence(first, second, x, border)
    assert np.array_equal(loops.convolve(both, x), expected)
    assert both.dilation == (1,) * rank


@pytest.mark.parametrize("border", ["zero", "image"])
@given(st.data())
def test_a_row_and_then_a_column_are_exact(border, data):
    """RepNeXt's 1x11 then 11x1: neither looks where the other one does."""
    row = data.draw(st.integers(0, 2**32 - 1).map(np.random.default_rng))
    first = Conv(row.integers(-4, 5, (4, 2, 1, 3)), None if border == "zero" else [1, 2, 3, 4])
    second = Conv(row.integers(-4, 5, (3, 4, 3, 1)), [4, 5, 6])
    x = data.draw(images(2, 2))
    both = merge_sequential(first, second, border=border)
    assert np.array_equal(loops.convolve(both, x), loops.sequence(first, second, x, border))
    assert both.space == (3, 3)


@given(st.data())
def test_a_linear_layer_in_a_sequence_is_pointwise(data):
    rank = data.draw(ranks)
    conv = data.draw(convs(rank, 2, 4, stride=1))
    after, before = data.draw(convs(0, 4, 3)), data.draw(convs(0, 3, 2, bias=False))
    x = data.draw(images(2, rank))
    expected = loops.spread(after, loops.convolve(conv, x), (1,) * rank)
    assert np.array_equal(loops.convolve(merge_sequential(conv, after), x), expected)
    x = data.draw(images(3, rank))
    expected = loops.convolve(conv, loops.spread(before, x, (1,) * rank))
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
