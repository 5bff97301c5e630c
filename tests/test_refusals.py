"""What does not fit together, or is no number, is refused: what, where, saw and expected."""

import numpy as np
import pytest

from reparam.algebra import concat_branches, merge_sequential, sum_branches
from reparam.errors import BorderError, NumericError, ShapeError
from reparam.geometry import pad_kernel, regroup
from reparam.layers import (
    average_pool,
    fuse_conv_bn,
    identity_kernel,
    scale_outputs,
)
from reparam.linear import Conv

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
