"""Where `same` padding puts a kernel, against loops over every small size."""

from functools import cache
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reparam.padding import same_padding

SIZES = range(3, 14)
KERNELS = range(1, 8)
STEPS = range(1, 4)


def outputs_of(size, kernel, stride, dilation, pads):
    """How often a kernel fits into a padded row, counted by walking along it."""
    at, count = 0, 0
    while at + (kernel - 1) * dilation < size + sum(pads):
        at, count = at + stride, count + 1
    return count


def padding_by_search(size, kernel, stride, dilation):
    """The smallest padding that gives an output for every started stride, the odd zero last."""
    wanted = len(range(0, size, stride))
    total = 0
    while True:
        pads = total // 2, total - total // 2
        if outputs_of(size, kernel, stride, dilation, pads) == wanted:
            return pads
        total += 1


def convolve(row, kernel, stride, dilation):
    """A `same` convolution of one row, tap by tap, on a row with its zeros written out."""
    before, after = padding_by_search(len(row), len(kernel), stride, dilation)
    padded = [0] * before + list(row) + [0] * after
    count = outputs_of(len(row), len(kernel), stride, dilation, (before, after))
    return [
        sum(weight * padded[p * stride + t * dilation] for t, weight in enumerate(kernel))
        for p in range(count)
    ]


@cache
def view(size, taps, tap, stride, dilation):
    """Which pixel, counted from 1, each output sees through one tap; 0 where it sees the border."""
    one = [int(t == tap) for t in range(taps)]
    return tuple(convolve(range(1, size + 1), one, stride, dilation))


@pytest.mark.parametrize("stride", STEPS)
@pytest.mark.parametrize("dilation", STEPS)
@pytest.mark.parametrize("small_dilation", STEPS)
def test_a_small_kernel_goes_where_the_paddings_differ(stride, dilation, small_dilation):
    """Both convolutions are run; the numbers are integers, so equal means equal."""
    rng = np.random.default_rng(0)
    fitting = 0
    for size, taps in product(SIZES, KERNELS):
        row, large = rng.integers(1, 1000, size), rng.integers(1, 1000, taps)
        for fewer in range(1, taps + 1):
            small = rng.integers(1, 1000, fewer)
            first = (
                same_padding(size, taps, stride, dilation)[0]
                - same_padding(size, fewer, stride, small_dilation)[0]
            )
            pixels = [first + t * small_dilation for t in range(fewer)]
            if all(n % dilation == 0 and 0 <= n // dilation < taps for n in pixels):
                merged = large.copy()
                merged[[n // dilation for n in pixels]] += small
                wanted = np.add(
                    convolve(row, large, stride, dilation),
                    convolve(row, small, stride, small_dilation),
                )
                assert np.array_equal(convolve(row, merged, stride, dilation), wanted)
                fitting += 1
                continue
            # a tap that sees the border only may be left out, so nothing is said of those
            views = [view(size, fewer, t, stride, small_dilation) for t in range(fewer)]
            there = {view(size, taps, t, stride, dilation) for t in range(taps)}
            assert not all(any(seen) for seen in views) or not there.issuperset(views)
    assert fitting > len(SIZES)


@pytest.mark.parametrize(
    ("kernel", "stride", "by_size"),
    [
        (3, 2, {32: 0, 33: 1, 224: 0, 225: 1}),
        (5, 2, {32: 1, 33: 2}),
        (7, 2, {32: 2, 33: 3}),
        (3, 3, {9: 0, 10: 1, 11: 0}),
        (3, 1, {2: 1, 3: 1, 32: 1, 33: 1}),
    ],
)
def test_where_a_1x1_belongs(kernel, stride, by_size):
    for size, before in by_size.items():
        assert same_padding(size, kernel, stride, 1)[0] == before
        assert same_padding(size, 1, stride, 1) == (0, 0)


@given(st.integers(1, 10**6), st.integers(1, 64), st.integers(1, 16), st.integers(1, 16))
def test_balanced_and_never_too_much(size, kernel, stride, dilation):
    before, after = same_padding(size, kernel, stride, dilation)
    assert after - before in {0, 1}
    assert before >= 0
    reach = (kernel - 1) * dilation + 1
    outputs = (size + before + after - reach) // stride + 1
    assert outputs == -(-size // stride) or before == after == 0
    assert (outputs - 1) * stride + reach == size + before + after or before == after == 0
