"""Operands of any memory layout give the same bytes, are left alone and never shared."""

import numpy as np
import pytest

from reparam.algebra import concat_branches, merge_sequential, sum_branches
from reparam.geometry import dilate_kernel, pad_kernel, regroup
from reparam.layers import (
    channel_scale,
    fuse_conv_bn,
    identity_kernel,
    scale_outputs,
)
from reparam.linear import Conv


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
