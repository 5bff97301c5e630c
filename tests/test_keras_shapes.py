"""Shapes that layers of Keras give, against the rules of Keras written out case by case."""

from __future__ import annotations

import pytest

from reparam_adapters.keras_calls import Call, Ref
from reparam_adapters.keras_config import Layer
from reparam_adapters.keras_layer_shapes import by_settings, outgoing, zero_padding

FIRST = {"data_format": "channels_first"}
SAME = {"padding": "same"}
IMAGE = (8, 6, 3)

ONE_INPUT = [
    ("Activation", {}, IMAGE, IMAGE),
    ("Dropout", {}, IMAGE, IMAGE),
    ("BatchNormalization", {}, (None,), (None,)),
    ("Dense", {"units": 5}, IMAGE, (8, 6, 5)),
    ("Dense", {"units": "5"}, (4,), (None,)),
    ("Flatten", {}, IMAGE, (144,)),
    ("Flatten", {}, (8, None, 3), (None,)),
    ("GlobalAveragePooling2D", {}, IMAGE, (3,)),
    ("GlobalMaxPooling2D", {"keepdims": True}, IMAGE, (1, 1, 3)),
    ("GlobalAveragePooling2D", FIRST, (3, 8, 6), (3,)),
    ("GlobalAveragePooling2D", {**FIRST, "keepdims": True}, (3, 8, 6), (3, 1, 1)),
    ("LSTM", {"units": 7}, (None, 3), (7,)),
    ("GRU", {"units": 7, "return_sequences": True}, (None, 3), (None, 7)),
    ("Reshape", {"target_shape": [4, -1, 2]}, IMAGE, (4, None, 2)),
    ("Reshape", {"target_shape": "144"}, IMAGE, None),
    ("ZeroPadding2D", {"padding": 1}, IMAGE, (10, 8, 3)),
    ("ZeroPadding2D", {"padding": [1, 2]}, IMAGE, (10, 10, 3)),
    ("ZeroPadding2D", {"padding": [[1, 2], [0, 3]]}, IMAGE, (11, 9, 3)),
    ("ZeroPadding1D", {"padding": [2, 3]}, (8, 3), (13, 3)),
    ("Cropping2D", {"cropping": [[1, 2], [0, 3]]}, IMAGE, (5, 3, 3)),
    ("UpSampling2D", {"size": [2, 3]}, IMAGE, (16, 18, 3)),
    ("MaxPooling2D", {"pool_size": [2, 3], "padding": "valid"}, IMAGE, (4, 2, 3)),
    ("AveragePooling2D", {"pool_size": 3, "strides": 2, **SAME}, IMAGE, (4, 3, 3)),
    ("Conv2D", {"filters": 9, "kernel_size": 3}, IMAGE, (6, 4, 9)),
    ("Conv2D", {"filters": 9, "kernel_size": 3, "dilation_rate": 2}, IMAGE, (4, 2, 9)),
    ("Conv2D", {"filters": 9, "kernel_size": 3, **FIRST}, (3, 8, 6), (9, 6, 4)),
    ("Conv2D", {"filters": 9, "kernel_size": 3, "strides": 2, **SAME}, (7, 6, 3), (4, 3, 9)),
    ("DepthwiseConv2D", {"depth_multiplier": 2, "kernel_size": 1}, IMAGE, (8, 6, 6)),
    ("Conv2DTranspose", {"filters": 9, "kernel_size": 3, "strides": 2}, IMAGE, (17, 13, 9)),
    ("Conv2DTranspose", {"filters": 9, "kernel_size": 3, **SAME}, IMAGE, (8, 6, 9)),
    ("Conv2D", {"filters": 9, "kernel_size": 9}, IMAGE, None),
    ("Lambda", {}, IMAGE, None),
]


def layer(name, config, inputs=1):
    calls = [Call([Ref([f"x{i}", 0, 0]) for i in range(inputs)])]
    return Layer("x", name, config, {}, calls)


@pytest.mark.parametrize(("name", "config", "shape", "wanted"), ONE_INPUT)
def test_layers_with_one_input(name, config, shape, wanted):
    assert outgoing(layer(name, config), [shape]) == wanted


@pytest.mark.parametrize(
    ("name", "config", "shapes", "wanted"),
    [
        ("Add", {}, [(8, 6, 3), (8, 6, 3)], (8, 6, 3)),
        ("Multiply", {}, [(8, 6, 3), (1, 1, 3)], (8, 6, 3)),
        ("Add", {}, [(8, 6, 3), (3,)], None),
        ("Add", {}, [(None, 6, 3), (8, 6, 3)], (None, 6, 3)),
        ("Concatenate", {}, [(8, 6, 3), (8, 6, 4)], (8, 6, 7)),
        ("Concatenate", {"axis": 1}, [(8, 6, 3), (2, 6, 3)], (10, 6, 3)),
        ("Concatenate", {"axis": -2}, [(8, 6, 3), (8, 1, 3)], (8, 7, 3)),
        ("Concatenate", {"axis": 3}, [(8, 6, None), (8, 6, 3)], (8, 6, None)),
    ],
)
def test_layers_with_two_inputs(name, config, shapes, wanted):
    assert outgoing(layer(name, config, 2), shapes) == wanted


def test_what_a_layer_gives_whatever_comes_in():
    assert by_settings(layer("LSTM", {"units": 7})) == (7,)
    assert by_settings(layer("Dense", {"units": 7})) is None


@pytest.mark.parametrize(
    ("value", "rank", "wanted"),
    [
        (3, 2, ((3, 3), (3, 3))),
        ([1, 2], 2, ((1, 1), (2, 2))),
        ([[1, 2], [3, 4]], 2, ((1, 2), (3, 4))),
        ([1, 2], 1, ((1, 2),)),
        (4, 1, ((4, 4),)),
        ([1, 2, 3], 2, None),
        ("same", 2, None),
    ],
)
def test_pixels_added_to_each_side(value, rank, wanted):
    assert zero_padding(value, rank) == wanted
