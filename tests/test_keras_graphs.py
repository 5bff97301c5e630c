"""Graphs that invite a wrong fusion: what comes out computes the same, or nothing comes out."""

from __future__ import annotations

import re

import h5py
import keras_forward as forward
import ml_dtypes
import numpy as np
import pytest
from keras_maker import Net

import reparam


def branch(net, x, kernel=3, width=4, *, norm=True, **config):
    x = net("Conv2D", x, filters=width, kernel_size=kernel, **config)
    return net("BatchNormalization", x) if norm else x


def pair(net, shape=(8, 8, 3)):
    return [branch(net, net.input(*shape))]


def block(*, size=8, stride=1, identity=False, inputs=4, groups=1, unknown=False):
    """Three branches and their sum, as RepVGG has them."""

    def build(net):
        x = net.input(size, size, inputs, unknown=unknown)
        parts = [branch(net, x, k, strides=stride, groups=groups) for k in (3, 1)]
        if identity:
            parts.append(net("BatchNormalization", x))
        return [net("ReLU", net("Add", *parts))]

    return build


def conv_is_an_output(net):
    x = net("Conv2D", net.input(8, 8, 3), filters=4, kernel_size=3)
    return [net("BatchNormalization", x), x]


def two_norms_of_one_conv(net):
    x = net("Conv2D", net.input(8, 8, 3), filters=4, kernel_size=3)
    return [net("BatchNormalization", x), net("BatchNormalization", x)]


def one_conv_twice_with_two_norms(net):
    x = net.input(8, 8, 4)
    y = net("Conv2D", x, filters=4, kernel_size=3, name="shared")
    y = net("BatchNormalization", y)
    return [net("BatchNormalization", net("Conv2D", y, name="shared"))]


def one_pair_twice(net):
    y = net.input(8, 8, 4)
    for _ in range(2):
        y = net("Conv2D", y, filters=4, kernel_size=3, name="shared")
        y = net("ReLU", net("BatchNormalization", y, name="shared_bn"))
    return [y]


def one_norm_after_two_convs(net):
    x = net.input(8, 8, 4)
    for _ in range(2):
        x = net("Conv2D", x, filters=4, kernel_size=3)
        x = net("ReLU", net("BatchNormalization", x, name="shared_bn"))
    return [x]


def one_norm_after_a_conv_and_a_pool(net):
    x = net.input(8, 8, 4)
    y = net("BatchNormalization", net("Conv2D", x, filters=4, kernel_size=3), name="shared_bn")
    return [net("BatchNormalization", net("ReLU", y), name="shared_bn")]


def norm_of_rows(net):
    """As many rows as channels: only the axis tells."""
    x = net("Conv2D", net.input(4, 4, 3), filters=4, kernel_size=3)
    return [net("BatchNormalization", x, axis=1)]


def training_norm(net):
    x = net("Conv2D", net.input(8, 8, 3), filters=4, kernel_size=3)
    return [net("BatchNormalization", x, training=True)]


def dropout_between(net):
    x = net("Dropout", net("Conv2D", net.input(8, 8, 3), filters=4, kernel_size=3))
    return [net("BatchNormalization", x)]


def relu_between(net):
    x = net("ReLU", net("Conv2D", net.input(8, 8, 3), filters=4, kernel_size=3))
    return [net("BatchNormalization", x)]


def pad_between(net):
    x = net("Conv2D", net.input(8, 8, 3), filters=4, kernel_size=3, padding="valid")
    x = net("ZeroPadding2D", x, padding=[[1, 1], [1, 1]], data_format="channels_last")
    return [net("BatchNormalization", x)]


def flatten_between(net):
    x = net("Conv2D", net.input(4, 4, 3), filters=4, kernel_size=3)
    return [net("BatchNormalization", net("Flatten", x, data_format="channels_last"))]


def relu_in_a_branch(net):
    x = net.input(8, 8, 4)
    return [net("Add", net("ReLU", branch(net, x)), branch(net, x, 1))]


def activation_of_a_branch(net):
    x = net.input(8, 8, 4)
    return [net("Add", branch(net, x), branch(net, x, 1, norm=False, activation="relu"))]


def branches_of_different_images(net):
    x = net.input(8, 8, 4)
    return [net("Add", branch(net, x), branch(net, net("ReLU", x), 1))]


def branches_of_two_inputs(net):
    return [net("Add", branch(net, net.input(8, 8, 4)), branch(net, net.input(8, 8, 4), 1))]


def branch_used_elsewhere(net):
    x = net.input(8, 8, 4)
    y = branch(net, x, 1)
    return [net("Add", branch(net, x), y), net("ReLU", y)]


def sum_of_one_twice(net):
    y = branch(net, net.input(8, 8, 4))
    return [net("Add", y, y)]


def conv_summed_with_its_image(net):
    x = net.input(8, 8, 4)
    return [net("Add", branch(net, x), x)]


def conv_summed_with_its_image_twice(net):
    x = net.input(8, 8, 4)
    return [net("Add", branch(net, x), x, x)]


def broadcast_in_a_sum(net):
    x = net.input(8, 8, 4)
    return [net("Add", branch(net, x), branch(net, x, 1, width=1))]


def identity_broadcast_in_a_sum(net):
    x = net.input(8, 8, 1)
    return [net("Add", branch(net, x), x)]


def space_broadcast_in_a_sum(net):
    x = net.input(3, 3, 4)
    return [net("Add", branch(net, x), branch(net, x, 3, padding="valid"))]


def borders_differ(net):
    """A valid 3x3 after explicit zeros, and a 1x1 of the image."""
    x = net.input(8, 8, 4)
    padded = net("ZeroPadding2D", x, padding=[[1, 1], [1, 1]], data_format="channels_last")
    return [
        net("Add", branch(net, padded, padding="valid", strides=2), branch(net, x, 1, strides=2))
    ]


def zeros_on_one_side(net):
    """TensorFlow 1 pads so before strides: the 1x1 belongs elsewhere."""
    x = net.input(8, 8, 4)
    padded = net("ZeroPadding2D", x, padding=[[0, 1], [0, 1]], data_format="channels_last")
    return [
        net("Add", branch(net, padded, padding="valid", strides=2), branch(net, x, 1, strides=2))
    ]


def strides_differ(net):
    """Of two pixels, strides of 2 and of 3 both leave one."""
    x = net.input(2, 2, 4)
    return [net("Add", branch(net, x, strides=2), branch(net, x, 1, strides=3))]


def dilations_differ(net):
    x = net.input(8, 8, 4)
    return [net("Add", branch(net, x, 3, dilation_rate=2), branch(net, x, 3), branch(net, x, 1))]


def groups_differ(net):
    x = net.input(8, 8, 4)
    return [net("Add", branch(net, x, 3, groups=2), branch(net, x, 1, groups=4))]


def groups_of_the_largest(net):
    """The kernel that covers the other has more groups than it, and cannot hold it."""
    x = net.input(8, 8, 4)
    return [net("Add", branch(net, x, 3, groups=4), branch(net, x, 1, groups=2))]


def dilated_alike(net):
    x = net.input(8, 8, 4)
    return [net("Add", *(branch(net, x, k, dilation_rate=2) for k in (5, 3, 1)))]


def dilated_with_an_identity(net):
    x = net.input(8, 8, 4)
    parts = [branch(net, x, k, dilation_rate=2) for k in (5, 3, 1)]
    return [net("Add", *parts, net("BatchNormalization", x))]


def difference(net):
    x = net.input(8, 8, 4)
    return [net("Subtract", branch(net, x), branch(net, x, 1))]


def difference_of_sums(net):
    x = net.input(8, 8, 4)
    y = net("Add", branch(net, x), branch(net, x, 1))
    return [net("Subtract", y, net("Subtract", branch(net, x, 1), net("BatchNormalization", x)))]


def space_broadcast_of_an_unknown_size(net):
    """Only padding and extent tell that the second branch is smaller."""
    x = net.input(3, 3, 4, unknown=True)
    return [net("Add", branch(net, x), branch(net, x, 3, padding="valid"))]


def activation_of_its_own(net):
    x = net("Conv2D", net.input(8, 8, 3), filters=4, kernel_size=3, activation="relu")
    return [net("BatchNormalization", x)]


def dropout_used_elsewhere(net):
    x = net("Dropout", net("Conv2D", net.input(8, 8, 3), filters=4, kernel_size=3))
    return [net("BatchNormalization", x), net("ReLU", x)]


def inner_skip_of_a_norm(net):
    """A norm that stays keeps its statistics behind all that is trained."""
    inner = Net(seed=5)
    x = inner.input(6, 6, 4)
    ends = skip_without_a_norm(inner, inner("BatchNormalization", x, name="first"))
    return [net.model(inner, ends, net.input(6, 6, 4))]


def dropout_in_training_between(net):
    x = net("Conv2D", net.input(8, 8, 3), filters=4, kernel_size=3)
    return [net("BatchNormalization", net("Dropout", x, training=True))]


def inner_model_in_training(net):
    inner = Net(seed=5)
    ends = [branch(inner, inner.input(8, 8, 4))]
    y = net.model(inner, ends, net.input(8, 8, 4))
    net.calls["inner"] = [(inputs, {"training": True}) for inputs, _ in net.calls["inner"]]
    return [y]


def even_kernels(net):
    x = net.input(8, 8, 4)
    return [net("Add", *(branch(net, x, k) for k in (4, 3, 2, 1)))]


def long_kernels(net):
    x = net.input(9, 8, 4)
    return [net("Add", *(branch(net, x, k, strides=2) for k in ([3, 3], [1, 3], [3, 1])))]


def crossed_kernels(net):
    """Neither kernel holds the other."""
    x = net.input(9, 8, 4)
    return [net("Add", *(branch(net, x, k) for k in ([1, 3], [3, 1])))]


def depthwise_branches(net):
    x = net.input(8, 9, 4)
    parts = []
    for kernel in (3, 3, 1):
        y = net("DepthwiseConv2D", x, kernel_size=kernel, strides=2, depth_multiplier=1)
        parts.append(net("BatchNormalization", y))
    return [net("Add", *parts)]


def depthwise_multiplied(net):
    x = net.input(8, 8, 4)
    parts = []
    for kernel in (3, 1):
        y = net("DepthwiseConv2D", x, kernel_size=kernel, depth_multiplier=2)
        parts.append(net("BatchNormalization", y))
    return [net("Add", *parts)]


def depthwise_and_dense_branches(net):
    x = net.input(8, 8, 4)
    y = net("BatchNormalization", net("DepthwiseConv2D", x, kernel_size=3, depth_multiplier=1))
    return [net("Add", y, branch(net, x, 1), net("BatchNormalization", x))]


def depthwise_with_identity(net):
    x = net.input(8, 8, 4)
    y = net("DepthwiseConv2D", x, kernel_size=3, depth_multiplier=1)
    return [net("Add", net("BatchNormalization", y), net("BatchNormalization", x))]


def separable_branches(net):
    x = net.input(8, 8, 4)
    y = net("SeparableConv2D", x, filters=4, kernel_size=3, depth_multiplier=2)
    return [net("Add", net("BatchNormalization", y), branch(net, x, 1))]


def transposed_branches(net):
    x = net.input(5, 5, 4)
    parts = []
    for kernel in (3, 1):
        y = net("Conv2DTranspose", x, filters=4, kernel_size=kernel, strides=2)
        parts.append(net("BatchNormalization", y))
    return [net("Add", *parts)]


def transposed_pair(net):
    x = net(
        "Conv2DTranspose", net.input(5, 5, 3), filters=4, kernel_size=3, strides=2, use_bias=True
    )
    return [net("BatchNormalization", x)]


def causal_branches(net):
    x = net.input(9, 4)
    parts = []
    for kernel in (3, 1):
        y = net("Conv1D", x, filters=4, kernel_size=kernel, padding="causal", strides=2)
        parts.append(net("BatchNormalization", y))
    return [net("Add", *parts)]


def causal_and_same(net):
    x = net.input(9, 4)
    parts = []
    for kernel, padding in ((3, "causal"), (3, "same")):
        y = net("Conv1D", x, filters=4, kernel_size=kernel, padding=padding)
        parts.append(net("BatchNormalization", y))
    return [net("Add", *parts)]


def dense_branches(net):
    x = net.input(4)
    parts = [net("BatchNormalization", net("Dense", x, units=4)) for _ in range(2)]
    return [net("Add", *parts, net("BatchNormalization", x))]


def dense_of_an_image(net):
    x = net("BatchNormalization", net("Dense", net.input(5, 5, 4), units=4))
    return [x]


def norms_in_a_row(net):
    x = branch(net, net.input(8, 8, 4))
    return [net("BatchNormalization", net("BatchNormalization", x))]


def norm_of_a_sum(net):
    x = net.input(8, 8, 4)
    return [net("BatchNormalization", net("Add", branch(net, x), branch(net, x, 1)))]


def norm_before_a_conv(net):
    x = net("BatchNormalization", net.input(8, 8, 4))
    return [branch(net, x)]


def many_blocks(net):
    """More than ten layers of a class: names with numbers sort wrongly as text."""
    x = net.input(16, 16, 4)
    for index in range(7):
        parts = [branch(net, x, k, strides=1 + (index % 3 == 0)) for k in (3, 1)]
        if index % 3:
            parts.append(net("BatchNormalization", x))
        x = net("ReLU", net("Add", *parts))
    return [net("Dense", net("GlobalAveragePooling2D", x), units=3)]


def channels_first_block(net):
    x = net.input(4, 8, 7)
    parts = []
    for kernel in (3, 1):
        how = {"data_format": "channels_first", "strides": 2}
        y = net("Conv2D", x, filters=5, kernel_size=kernel, **how)
        parts.append(net("BatchNormalization", y, axis=1, features=5))
    return [net("Add", *parts)]


def concatenated_branches(net):
    x = net.input(8, 8, 4)
    return [net("Concatenate", branch(net, x), branch(net, x, 1))]


def nested_sums(net):
    x = net.input(8, 8, 4)
    y = net("Add", branch(net, x), branch(net, x, 1))
    return [net("Add", y, branch(net, x, 1), net("BatchNormalization", x))]


def inner_block(net, *, calls=1, identity=False):
    inner = Net(seed=5)
    x = inner.input(8, 8, 4)
    parts = [branch(inner, x, k) for k in (3, 1)]
    if identity:
        parts.append(inner("BatchNormalization", x))
    ends = [inner("ReLU", inner("Add", *parts))]
    y = branch(net, net.input(8, 8, 3))
    for _ in range(calls):
        y = net.model(inner, ends, y)
    return [branch(net, y, 1)]


def inner_block_twice(net):
    return inner_block(net, calls=2, identity=True)


def inner_conv_outer_norm(net):
    """The convolution ends an inner model, its norm is outside."""
    inner = Net(seed=5)
    ends = [inner("Conv2D", inner.input(8, 8, 4), filters=4, kernel_size=3)]
    return [net("BatchNormalization", net.model(inner, ends, net.input(8, 8, 4)))]


def inner_conv_two_outer_norms(net):
    inner = Net(seed=5)
    ends = [inner("Conv2D", inner.input(8, 8, 4), filters=4, kernel_size=3)]
    y = net("BatchNormalization", net.model(inner, ends, net.input(8, 8, 4)))
    return [net("BatchNormalization", net.model(inner, ends, y))]


def inner_norm_of_two_sizes(net):
    """An inner strided block that sees an even and an odd image."""
    inner = Net(seed=5)
    x = inner.input(9, 9, 4, unknown=True)
    ends = [inner("Add", *(branch(inner, x, k, strides=2) for k in (3, 1)))]
    return [net.model(inner, ends, net.input(9, 9, 4)), net.model(inner, ends, net.input(8, 8, 4))]


def skip_without_a_norm(net, x=None, *, frozen=()):
    """`b` comes nearer to the output than `s` once its norm is gone, and has the same shapes."""

    def conv(name, x):
        how = {"filters": 4, "kernel_size": 3, "use_bias": True}
        return net("Conv2D", x, name=name, trainable=name not in frozen, **how)

    x = net.input(6, 6, 4) if x is None else x
    y = conv("b", net("ReLU", conv("a", x)))
    y = net("BatchNormalization", y, name="bn", trainable="bn" not in frozen)
    return [net("Add", conv("s", x), y)]


def skip_behind_the_norm(net):
    """As before, but the walk from the output meets the other branch first."""
    x = net.input(6, 6, 4)
    y = net("ReLU", branch(net, x, use_bias=True))
    y = branch(net, y, use_bias=True)
    return [net("Add", y, net("Conv2D", x, filters=4, kernel_size=3, use_bias=True))]


def inner_skip(*frozen, all_frozen=False, calls=1, deeper=False):
    def build(net):
        inner = Net(seed=5)
        ends = skip_without_a_norm(inner, frozen=frozen)
        if deeper:
            middle = Net(seed=6)
            ends = [middle.model(inner, ends, middle.input(6, 6, 4), name="innermost")]
            inner = middle
        y = net.input(6, 6, 4)
        for _ in range(calls):
            y = net.model(inner, ends, y)
        if all_frozen:
            for layer in inner.layers.values():
                layer["config"]["trainable"] = False
        return [y]

    return build


def inner_models_change_places(net):
    """The same change of order among models, whose groups are counted, too."""
    x = net.input(6, 6, 4)

    def inner(seed, x):
        part = Net(seed=seed)
        y = part("Conv2D", part.input(6, 6, 4), filters=4, kernel_size=3, use_bias=True, name="c")
        return net.model(part, [part("ReLU", y)], x, name=f"model_{seed}")

    y = net("ReLU", branch(net, x))
    y = branch(net, inner(5, y))
    return [net("Add", net("ReLU", inner(6, x)), y)]


def shared_pair_at_two_depths(net):
    x = net.input(6, 6, 4)

    def shared(x):
        y = net("Conv2D", x, filters=4, kernel_size=3, use_bias=True, name="shared")
        return net("BatchNormalization", y, name="shared_bn")

    z = net("Conv2D", x, filters=4, kernel_size=3, use_bias=True, name="s")
    for _ in range(3):
        z = net("ReLU", z)
    return [net("Add", z, shared(net("ReLU", shared(x))))]


def shared_pair_side_by_side(net):
    """The walk comes to the call that is nearer to the output last."""
    x = net.input(6, 6, 4)

    def shared(x):
        y = net("Conv2D", x, filters=4, kernel_size=3, use_bias=True, name="shared")
        return net("BatchNormalization", y, name="shared_bn")

    z = net("ReLU", net("Conv2D", x, filters=4, kernel_size=3, use_bias=True, name="s"))
    return [net("Add", shared(x), net("ReLU", net("ReLU", shared(net("ReLU", x)))), z)]


def two_outputs(net):
    """The second output is nearer to the input; both have convolutions of one shape."""
    x = net.input(6, 6, 4)
    y = branch(net, net("ReLU", branch(net, x, use_bias=True)), use_bias=True)
    z = net("Conv2D", x, filters=4, kernel_size=3, use_bias=True, name="s")
    return [z, y, net("Add", net("ReLU", y), net("Conv2D", z, filters=4, kernel_size=3))]


def unused_inputs(net):
    """Inputs that lead nowhere have no depth and come before the last layer."""
    outputs = skip_without_a_norm(net)
    net.input(3)
    net.input(2)
    return outputs


FUSES = {
    "a skip without a norm": skip_without_a_norm,
    "a skip behind the norm": skip_behind_the_norm,
    "an inner skip": inner_skip(),
    "an inner skip, twice": inner_skip(calls=2),
    "an inner skip, frozen": inner_skip("s"),
    "an inner skip, frozen pair": inner_skip("b", "bn"),
    "an inner skip, frozen norm": inner_skip("bn"),
    "an inner skip, all frozen": inner_skip(all_frozen=True),
    "an inner skip of an inner model": inner_skip("s", deeper=True),
    "inner models change places": inner_models_change_places,
    "a shared pair at two depths": shared_pair_at_two_depths,
    "a shared pair side by side": shared_pair_side_by_side,
    "two outputs": two_outputs,
    "inputs that lead nowhere": unused_inputs,
    "an inner block": inner_block,
    "an inner block twice": inner_block_twice,
    "a pair": pair,
    "a block": block(),
    "an even strided block": block(stride=2),
    "an odd strided block": block(size=9, stride=2),
    "an identity": block(identity=True),
    "a grouped identity": block(identity=True, groups=2),
    "an unknown size, not strided": block(identity=True, unknown=True),
    "one pair twice": one_pair_twice,
    "many blocks": many_blocks,
    "channels first": channels_first_block,
    "depthwise branches": depthwise_branches,
    "depthwise, multiplied": depthwise_multiplied,
    "depthwise with an identity": depthwise_with_identity,
    "a transposed pair": transposed_pair,
    "causal branches": causal_branches,
    "branches side by side": concatenated_branches,
    "norm of a dense layer per pixel": dense_of_an_image,
    "dense branches": dense_branches,
    "even kernels": even_kernels,
    "dilated alike": dilated_alike,
    "dilated, with an identity": dilated_with_an_identity,
    "a difference": difference,
    "a difference of sums": difference_of_sums,
    "long kernels": long_kernels,
    "zeros of their own": borders_differ,
    "a conv and its image": conv_summed_with_its_image,
    "nested sums": nested_sums,
}
MAY_FUSE = {
    "a norm outside": inner_conv_outer_norm,
    "two norms outside": inner_conv_two_outer_norms,
    "an inner block sees two sizes": inner_norm_of_two_sizes,
    "an unknown size": block(stride=2, unknown=True),
    "conv is an output": conv_is_an_output,
    "two norms of one conv": two_norms_of_one_conv,
    "one conv twice with two norms": one_conv_twice_with_two_norms,
    "one norm after two convs": one_norm_after_two_convs,
    "one norm after a conv and a relu": one_norm_after_a_conv_and_a_pool,
    "norm of rows": norm_of_rows,
    "batch statistics": training_norm,
    "dropout between": dropout_between,
    "dropout used elsewhere": dropout_used_elsewhere,
    "an inner skip of a norm": inner_skip_of_a_norm,
    "relu between": relu_between,
    "an activation of its own": activation_of_its_own,
    "padding between": pad_between,
    "flatten between": flatten_between,
    "relu in a branch": relu_in_a_branch,
    "activation of a branch": activation_of_a_branch,
    "different images": branches_of_different_images,
    "two inputs": branches_of_two_inputs,
    "a branch used elsewhere": branch_used_elsewhere,
    "one branch twice": sum_of_one_twice,
    "a conv and its image, twice": conv_summed_with_its_image_twice,
    "broadcast channels": broadcast_in_a_sum,
    "broadcast identity": identity_broadcast_in_a_sum,
    "broadcast pixels": space_broadcast_in_a_sum,
    "zeros on one side": zeros_on_one_side,
    "different strides": strides_differ,
    "different dilations": dilations_differ,
    "different groups": groups_differ,
    "groups of the largest": groups_of_the_largest,
    "broadcast pixels, unknown size": space_broadcast_of_an_unknown_size,
    "crossed kernels": crossed_kernels,
    "depthwise and dense": depthwise_and_dense_branches,
    "separable branches": separable_branches,
    "transposed branches": transposed_branches,
    "causal and same": causal_and_same,
    "norm before a conv": norm_before_a_conv,
    "a norm of a sum": norm_of_a_sum,
    "norms in a row": norms_in_a_row,
}


def check(path, net, tmp_path):
    """Fuse; both files compute the same, in inference and where a layer insists on training."""
    out = tmp_path / f"out{path.suffix}"
    report = reparam.fuse(path, out)
    assert report.verified
    for stored in (False, True):
        before, after = (
            forward.predict(p, *net.images(), stored_training=stored) for p in (path, out)
        )
        for wanted, found in zip(before, after, strict=True):
            assert np.abs(found - wanted).max() <= 1e-6 * np.abs(wanted).max()
    assert reparam.verify(path, out).ok
    return out


def write(build, kind, tmp_path):
    net, path = Net(), tmp_path / f"model{kind}"
    outputs = build(net)
    (net.save_h5 if kind == ".h5" else net.save_keras)(path, outputs)
    return net, path


@pytest.mark.parametrize("kind", [".h5", ".keras"])
@pytest.mark.parametrize("build", FUSES.values(), ids=FUSES)
def test_fused_and_equal(build, kind, tmp_path):
    net, path = write(build, kind, tmp_path)
    out = check(path, net, tmp_path)
    layers = forward.layers_of(forward.read_config(out))
    assert "BatchNormalization" not in {layer["class_name"] for layer in layers}


@pytest.mark.parametrize("kind", [".h5", ".keras"])
@pytest.mark.parametrize("build", MAY_FUSE.values(), ids=MAY_FUSE)
def test_equal_or_refused(build, kind, tmp_path):
    net, path = write(build, kind, tmp_path)
    try:
        reparam.plan(path)
    except reparam.PlanError:
        with pytest.raises(reparam.PlanError, match=re.escape(str(path))):
            reparam.fuse(path, tmp_path / "out")
        assert [p.name for p in tmp_path.iterdir()] == [path.name]
        return
    check(path, net, tmp_path)


ONE = (
    *("a block", "an even strided block", "an odd strided block", "an identity"),
    *("channels first", "depthwise branches", "causal branches", "dense branches"),
    *("even kernels", "long kernels", "zeros of their own", "a conv and its image"),
    *("nested sums", "dilated alike", "dilated, with an identity", "a difference"),
    "a difference of sums",
)


@pytest.mark.parametrize("kind", [".h5", ".keras"])
@pytest.mark.parametrize("name", ONE)
def test_one_convolution_is_left(name, kind, tmp_path):
    _, path = write(FUSES[name], kind, tmp_path)
    reparam.fuse(path, tmp_path / "out")
    layers = forward.layers_of(forward.read_config(tmp_path / "out"))
    kinds = [layer["class_name"] for layer in layers]
    assert not {"Add", "Subtract"} & {*kinds}
    assert sum("Conv" in k or k == "Dense" for k in kinds) == 1


@pytest.mark.parametrize("kind", [".h5", ".keras"])
@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (strides_differ, "their outputs have different sizes"),
        (dilations_differ, "no kernel among them covers the taps of all"),
        (crossed_kernels, "no kernel among them covers the taps of all"),
        (groups_of_the_largest, "has more groups than the others"),
        (broadcast_in_a_sum, "their outputs have different shapes"),
        (identity_broadcast_in_a_sum, "their outputs have different shapes"),
        (space_broadcast_in_a_sum, "their outputs have different shapes"),
        (space_broadcast_of_an_unknown_size, "their outputs have different sizes"),
        (transposed_branches, "no common kernel"),
    ],
)
def test_pairs_that_are_not_summed(build, reason, kind, tmp_path):
    _, path = write(build, kind, tmp_path)
    plan = reparam.plan(path)
    assert [note for note in plan.notes if reason in note]
    assert not [fusion for fusion in plan.fusions if "+" in fusion.expression]


NEVER = {
    "two norms": (two_norms_of_one_conv, "has another consumer"),
    "two calls": (one_conv_twice_with_two_norms, "is called 2 times, and not always"),
    "dropout in training": (dropout_in_training_between, r"its input is 'dropout_\d' \(Dropout\)"),
    "a model in training": (inner_model_in_training, "called with training=True"),
    "batch statistics": (training_norm, "called with training=True"),
    "an activation of its own": (activation_of_its_own, "has an activation of its own"),
}


@pytest.mark.parametrize("kind", [".h5", ".keras"])
@pytest.mark.parametrize(("build", "reason"), NEVER.values(), ids=NEVER)
def test_never_fused(build, reason, kind, tmp_path):
    _, path = write(build, kind, tmp_path)
    with pytest.raises(reparam.PlanError, match=reason):
        reparam.plan(path)


@pytest.mark.parametrize("kind", [".h5", ".keras"])
def test_an_unknown_size_keeps_branches_apart(kind, tmp_path):
    _, path = write(block(stride=2, unknown=True), kind, tmp_path)
    plan = reparam.plan(path)
    assert len(plan.fusions) == 2
    assert any("--input-size" in note for note in plan.notes)


@pytest.mark.parametrize("kind", [".h5", ".keras"])
@pytest.mark.parametrize(
    "build", [unused_inputs, two_outputs, shared_pair_at_two_depths, shared_pair_side_by_side]
)
def test_layers_are_listed_in_the_order_of_keras(build, kind, tmp_path):
    _, path = write(build, kind, tmp_path)
    out = tmp_path / f"out{kind}"
    reparam.fuse(path, out)
    config = forward.read_config(out)
    wanted = [forward.name_of(layer) for layer in forward.in_order(config)]
    assert [forward.name_of(layer) for layer in forward.layers_of(config)] == wanted
    if kind == ".h5":
        with h5py.File(out) as file:
            assert forward.attribute(file["model_weights"], "layer_names") == wanted


@pytest.mark.parametrize("pairs", [40, 120])
def test_more_names_than_an_attribute_holds(pairs, tmp_path):
    """With 40 pairs the list is cut before the fusion only, with 120 after it, too."""
    net, path = Net(), tmp_path / "model.h5"
    x = net.input(2, 2, 1)
    for index in range(pairs):
        name = f"{'long' * 220}_{index}"
        x = net("Conv2D", x, filters=1, kernel_size=1, name=f"{name}_conv")
        x = net("BatchNormalization", x, name=f"{name}_bn")
        net.weights[f"{name}_conv"]["kernel"][...] = net.weights[f"{name}_bn"]["gamma"][...] = 1
    net.save_h5(path, [x])
    out = check(path, net, tmp_path)
    for file, cut in ((path, True), (out, pairs == 120)):
        with h5py.File(file) as opened:
            weights = opened["model_weights"]
            assert ("layer_names1" in weights.attrs) == cut
            assert ("layer_names" in weights.attrs) != cut
            assert len(forward.attribute(weights, "layer_names")) in {pairs + 1, 2 * pairs + 1}


@pytest.mark.parametrize("kind", [".h5", ".keras"])
@pytest.mark.parametrize("size", [(8, 8), (9, 9), (8, 9), (9, 8)], ids=str)
def test_a_size_that_the_config_leaves_open(size, kind, tmp_path):
    """Said by hand, it decides where the 1x1 goes; images of that size come out right."""
    _, path = write(block(stride=2, unknown=True), kind, tmp_path)
    out = tmp_path / f"out{kind}"
    report = reparam.fuse(path, out, input_size=size)
    assert report.fused == 1
    images = np.random.default_rng(0).normal(size=(2, *size, 4))
    (wanted,), (found,) = (forward.predict(p, images) for p in (path, out))
    assert np.abs(found - wanted).max() <= 1e-6 * np.abs(wanted).max()
    assert reparam.verify(path, out, input_size=size).ok
    other = tuple(17 - n for n in size)
    assert not reparam.verify(path, out, input_size=other).ok


@pytest.mark.parametrize("kind", [".h5", ".keras"])
def test_a_size_that_contradicts_the_config(kind, tmp_path):
    _, path = write(block(stride=2), kind, tmp_path)
    with pytest.raises(reparam.ReparamError, match=r"8x8.*--input-size says 9x9"):
        reparam.fuse(path, tmp_path / "out", input_size=(9, 9))
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("kind", [".h5", ".keras"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision(dtype, kind, tmp_path):
    """The nearest value of the stored dtype to the exact one."""
    net, path, out = Net(dtype=dtype), tmp_path / f"model{kind}", tmp_path / f"out{kind}"
    outputs = pair(net)
    (net.save_h5 if kind == ".h5" else net.save_keras)(path, outputs)
    report = reparam.fuse(path, out)
    assert report.verified
    _, before = forward.read_model(path)
    _, after = forward.read_model(out)
    (conv,), (norm,) = sorted(before)[::-1][:1], sorted(before)[:1]
    scale = before[norm]["gamma"] / np.sqrt(before[norm]["moving_variance"] + 1e-3)
    wanted = {
        "kernel": before[conv]["kernel"] * scale,
        "bias": before[norm]["beta"] - before[norm]["moving_mean"] * scale,
    }
    kind_of = np.dtype(dtype if dtype == "float16" else ml_dtypes.bfloat16)
    for role, values in wanted.items():
        assert np.array_equal(after[conv][role], values.astype(kind_of).astype(np.float64))


def test_an_inner_model_for_keras_3(tmp_path):
    """Keras 3 counts the calls of an inner model from 0."""
    net, path = write(inner_block_twice, ".h5", tmp_path)
    out = tmp_path / "out.h5"
    reparam.fuse(path, out, target="keras3")
    (wanted,), (found,) = (forward.predict(p, *net.images()) for p in (path, out))
    assert np.abs(found - wanted).max() <= 1e-6 * np.abs(wanted).max()
    calls = {
        node
        for layer in forward.layers_of(forward.read_config(out))
        for call in layer["inbound_nodes"]
        for name, node, *_ in call
        if name == "inner"
    }
    assert calls == {0, 1}
