"""A convolution over windows is a linear map of their pixels."""

import loops
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import channel_counts, convs, ranks

from reparam import Conv, conv_to_linear
from reparam.errors import ShapeError


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
