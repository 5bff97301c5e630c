"""The axes of Keras weights against loops over every entry."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from reparam.layouts import to_keras, to_torch, torch_shape


def conv(array):
    *space, width, filters = array.shape
    found = np.zeros((filters, width, *space))
    for tap in product(*map(range, space)):
        for i in range(width):
            for o in range(filters):
                found[(o, i, *tap)] = array[(*tap, i, o)]
    return found


def depthwise(array):
    *space, width, many = array.shape
    found = np.zeros((width * many, 1, *space))
    for tap in product(*map(range, space)):
        for c in range(width):
            for m in range(many):
                found[(c * many + m, 0, *tap)] = array[(*tap, c, m)]
    return found


def transposed(array):
    *space, filters, width = array.shape
    found = np.zeros((width, filters, *space))
    for tap in product(*map(range, space)):
        for o in range(filters):
            for i in range(width):
                found[(i, o, *tap)] = array[(*tap, o, i)]
    return found


LOOPS = {"conv": conv, "depthwise": depthwise, "transposed": transposed}
SHAPES = [(3, 3), (3, 5), (3, 3, 3, 3), (2, 3, 4, 5), (1, 1, 6, 1), (2, 1, 3, 4, 2)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kind", LOOPS)
def test_every_entry_in_its_place(kind, shape):
    array = np.arange(np.prod(shape), dtype=np.float64).reshape(shape)
    found = to_torch(kind, array)
    assert np.array_equal(found, LOOPS[kind](array))
    assert torch_shape(kind, shape) == found.shape
    assert np.array_equal(to_keras(kind, found, shape), array)


@pytest.mark.parametrize(("inputs", "units"), [(4, 4), (3, 5), (1, 6)])
def test_dense_has_its_outputs_first(inputs, units):
    """A dense layer is a convolution without space."""
    array = np.arange(inputs * units).reshape(inputs, units)
    found = to_torch("conv", array)
    assert found.shape == (units, inputs)
    for i, o in product(range(inputs), range(units)):
        assert found[o, i] == array[i, o]
    assert np.array_equal(to_keras("conv", found, array.shape), array)


@pytest.mark.parametrize("kind", [*LOOPS, "vector"])
def test_vectors_stay(kind):
    vector = np.arange(5.0)
    assert np.array_equal(to_torch(kind, vector), vector)
    assert np.array_equal(to_keras(kind, vector, (5,)), vector)


@given(
    st.sampled_from(sorted(LOOPS)),
    hnp.arrays(
        st.sampled_from([np.float32, np.float16, np.float64]),
        st.integers(1, 3).flatmap(lambda n: st.tuples(*[st.integers(1, 4)] * (n + 2))),
        elements=st.integers(-1000, 1000),
    ),
)
def test_there_and_back(kind, array):
    found = to_torch(kind, array)
    assert found.dtype == array.dtype
    assert np.array_equal(found, LOOPS[kind](array))
    back = to_keras(kind, found, array.shape)
    assert back.dtype == array.dtype
    assert np.array_equal(back, array)
    assert back.shape == array.shape


@given(hnp.arrays(np.float64, st.tuples(*[st.integers(1, 4)] * 4), elements=st.integers(-9, 9)))
def test_a_slab_of_outputs_is_a_slab(array):
    """The writer hands over rows of the PyTorch order, which must be entries of the Keras array."""
    rows = to_torch("conv", array)
    for o in range(array.shape[-1]):
        assert np.array_equal(rows[o], np.moveaxis(array[..., o], -1, 0))


def test_tables_that_are_no_kernels_stay():
    """An embedding, say: whatever its axes mean, nobody asks for others."""
    table = np.arange(6.0).reshape(2, 3)
    assert torch_shape("vector", table.shape) == (2, 3)
    assert np.array_equal(to_torch("vector", table), table)
    assert np.array_equal(to_keras("vector", table, table.shape), table)
