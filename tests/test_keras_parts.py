"""Steps on the way from a Keras file to its edits, one at a time."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from test_keras_config import TWO, conv, graph, parsed

from reparam.checkpoint import Form, Rewrite
from reparam.errors import CheckpointError
from reparam_adapters.keras import open_writer, recognises
from reparam_adapters.keras_scope import (
    Scope,
    attributes,
    channel_axis,
    eps_of,
    norm_axis_fits,
    origin,
    uses_of,
    written,
)
from reparam_adapters.keras_shapes import Sizes, with_input_size
from reparam_adapters.keras_sources import Merged
from reparam_adapters.keras_store import guess, walk_layers
from reparam_adapters.keras_taps import Window, area
from reparam_adapters.keras_target import for_keras3, unknown_operators
from reparam_adapters.keras_v3 import counted, datasets_below, variables


def layer(name, class_name, before=None, **config):
    return conv(name, before) | {"class_name": class_name, "config": {"name": name, **config}}


def start(*shape, name="x", **config):
    return layer(name, "InputLayer", batch_input_shape=[None, *shape], **config)


def chain(*layers):
    """A model of layers that lie in the list in order."""
    ends = {"input_layers": [["x", 0, 0]], "output_layers": [[layers[-1]["name"], 0, 0]]}
    return parsed({"class_name": "Functional", "config": {"layers": [*layers], **ends}})


def scope_of(model):
    return Scope(model, "", Sizes(model), training=False, uses=uses_of(model))


# What a norm stands behind.


@pytest.mark.parametrize(
    ("kind", "config", "axis", "fits"),
    [
        ("Conv2D", {}, -1, True),
        ("Conv2D", {}, 3, True),
        ("Conv2D", {}, [3], True),
        ("Conv2D", {}, 2, False),
        ("Conv2D", {}, -2, False),
        ("Conv2D", {"data_format": "channels_first"}, 1, True),
        ("Conv2D", {"data_format": "channels_first"}, -3, True),
        ("Conv2D", {"data_format": "channels_first"}, -1, False),
        ("Conv1D", {}, 2, True),
        ("Conv1D", {}, [1, 2], False),
        ("Conv1D", {}, "2", False),
        ("Dense", {}, -1, True),
        ("Dense", {}, 2, True),
        ("Dense", {}, 1, False),
        ("Dense", {}, 3, False),
    ],
)
def test_the_axis_of_a_norm_and_that_of_the_channels(kind, config, axis, fits):
    shape = (8, 4) if kind in ("Dense", "Conv1D") else (8, 8, 4)
    norm = layer("n", "BatchNormalization", "c", axis=axis)
    model = chain(start(*shape), layer("c", kind, "x", units=5, **config), norm)
    found = norm_axis_fits(scope_of(model), model.layers["c"], model.layers["n"])
    assert found is fits


def test_the_axes_of_a_dense_layer_may_stand_in_its_norm_only():
    norm = layer("n", "BatchNormalization", "c")
    norm["build_config"] = {"input_shape": [None, 7, 5]}
    model = chain(layer("x", "InputLayer"), layer("c", "Dense", "x", units=5), norm)
    assert channel_axis(scope_of(model), model.layers["c"], model.layers["n"]) == 2
    del norm["build_config"]
    model = chain(layer("x", "InputLayer"), layer("c", "Dense", "x", units=5), norm)
    assert channel_axis(scope_of(model), model.layers["c"], model.layers["n"]) is None


def test_the_constant_of_a_norm():
    [norm] = chain(layer("x", "BatchNormalization")).layers.values()
    assert eps_of(norm) == 1e-3
    norm.config["epsilon"] = 2e-5
    assert eps_of(norm) == 2e-5


def test_a_tensor_passed_on_twice_is_that_of_the_beginning():
    layers = [layer("d", "Dropout", "x"), layer("e", "Dropout", "d"), layer("f", "Dense", "e")]
    model = chain(start(4), *layers)
    scope = scope_of(model)
    assert origin(scope, model.layers["f"].calls[0].inputs[0]) == ("x", 0, 0)
    assert scope.only_use(("e", 0, 0))
    assert not scope.only_use(("f", 0, 0))  # it is the output
    assert not scope.only_use(("g", 0, 0))


def test_a_tensor_of_two_uses():
    model = chain(start(4), layer("a", "Dense", "x"), layer("b", "Dense", "x"))
    assert not scope_of(model).only_use(("x", 0, 0))


def test_what_a_line_says_of_a_layer():
    def said(kind, **config):
        [found] = chain(layer("x", kind, **config)).layers.values()
        return attributes(found)

    assert said("Conv2D") == said("Conv2D", groups=1) == said("Dense") == {}
    assert said("Conv2D", groups=4) == {"groups": "4"}
    assert said("DepthwiseConv2D", groups=4) == {}
    assert said("Conv2DTranspose") == {"transposed": ""}
    assert written("a.b", {"transposed": ""}) == "a.b[transposed]"
    assert written("a.b", {"groups": "4"}) == "a.b[groups=4]"
    assert written("a.b") == "a.b"


# Shapes of tensors.


def nested(inner, *calls):
    """A model with an inner one, called with these layers' outputs."""
    nodes = [[[name, 0, 0, {}]] for name in calls]
    inner = {"class_name": "Functional", "config": inner, "name": "inner", "inbound_nodes": nodes}
    return chain(start(6, 3), layer("y", "ZeroPadding1D", "x", padding=1), inner)


def inner_config():
    layers = [layer("x", "InputLayer"), layer("z", "ZeroPadding1D", "x", padding=2)]
    return graph()["config"] | {"layers": layers, "output_layers": [["z", 0, 0]]}


def shape_within(model):
    inner = model.layers["inner"]
    return Sizes(model).nested(inner).of(inner.model.outputs[0])


def test_sizes_within_a_nested_model():
    assert shape_within(nested(inner_config(), "x")) == (10, 3)
    assert shape_within(nested(inner_config(), "y")) == (12, 3)
    assert shape_within(nested(inner_config(), "x", "y")) is None  # of two sizes


def test_what_is_known_of_a_shape_in_part():
    model = chain(start(None, 3), layer("a", "Dense", "x", units=5))
    [ref] = model.layers["a"].calls[0].inputs
    ref.shape = (8, None)
    assert Sizes(model).of(ref) == (8, 3)


@pytest.mark.parametrize("first", [False, True])
def test_the_size_of_the_input(first):
    order = {"data_format": "channels_first"} if first else {}
    shape = (3, None, None) if first else (None, None, 3)
    model = chain(start(*shape), layer("c", "ReLU", "x", **order))
    wanted = (3, 9, 7) if first else (9, 7, 3)
    assert with_input_size(model, (9, 7), "f").of(model.outputs[0]) == wanted
    assert with_input_size(model, None, "f").of(model.outputs[0]) == shape
    with pytest.raises(CheckpointError, match="no input of the model is known to have 1"):
        with_input_size(model, (9,), "f")


def test_a_size_that_the_config_contradicts():
    model = chain(start(8, None, 3), layer("c", "ReLU", "x"))
    with pytest.raises(CheckpointError, match=r"8x\? pixels, --input-size says 9x7"):
        with_input_size(model, (9, 7), "f")
    assert with_input_size(model, (8, 7), "f").of(model.outputs[0]) == (8, 7, 3)


def test_the_pixels_a_kernel_covers():
    rows, columns = Window(3, 1, 2, "same", (0, 0)), Window(4, 2, 1, "valid", (1, 1))
    assert area((rows, columns)) == 5 * 4


# Weights.


def group(path="", groups=None, datasets=None, **attributes):
    return SimpleNamespace(
        path=path, groups=groups or {}, datasets=datasets or {}, attributes=attributes
    )


def test_shards_read_as_one():
    first = group(groups={"a": group("a", datasets={"0": 1}), "b": group("b")}, one=1)
    second = group(groups={"a": group("a", datasets={"1": 2}), "c": group("c")}, two=2)
    whole = Merged((first, second))
    assert whole.attributes == {"one": 1, "two": 2}
    assert [*whole.groups] == ["a", "b", "c"]
    assert whole.groups["a"].datasets == {"0": 1, "1": 2}
    assert whole.groups["a"] is whole.groups["a"]


def test_variables_in_the_order_of_their_numbers():
    inside = group(datasets={str(n): n for n in (10, 9, 0, 1)})
    assert [n for _, n in variables(group(groups={"vars": inside}))] == [0, 1, 9, 10]
    assert variables(group()) == []


def test_datasets_at_any_depth():
    deep = group(datasets={"0": "d"})
    tree = group(groups={"b": group(groups={"c": deep}, datasets={"0": "b"})}, datasets={"x": "a"})
    assert [*datasets_below(tree)] == ["a", "b", "d"]


def test_the_number_in_the_name_of_a_group():
    assert counted("conv2d") == ("conv2d", 0)
    assert counted("conv2d_12") == ("conv2d", 12)


def test_a_keras_file_is_made_of_a_keras_file(tmp_path):
    for change in (None, Rewrite(SimpleNamespace(), {}, Form())):
        with pytest.raises(CheckpointError, match=r"of (another|a Keras file only)"):
            open_writer(tmp_path / "x.keras", {}, {}, rewrite=change)


def test_beginnings_of_keras_files():
    def zipped(member):
        return b"PK\x03\x04" + bytes(26) + member

    for head in (zipped(b"metadata.json"), b"\x89HDF\r\n\x1a\n", b' {"a": "x.weights.h5"'):
        assert recognises(head, 999)
    for head in (zipped(b"word/document.xml"), b'{"a": "x.safetensors"', b"HDF"):
        assert not recognises(head, 999)


def test_paths_of_layers_in_models_within_models():
    inner = inner_config()
    deep = {"class_name": "Functional", "config": inner, "name": "deep"}
    deep["inbound_nodes"] = [[["x", 0, 0, {}]]]
    outer = inner_config() | {"layers": [layer("x", "InputLayer"), deep]}
    outer["output_layers"] = [["deep", 1, 0]]
    paths = [path for path, _ in walk_layers(nested(outer, "x"))]
    assert paths[-4:] == ["inner.x", "inner.deep", "inner.deep.x", "inner.deep.z"]


@pytest.mark.parametrize(
    ("path", "shapes", "wanted"),
    [
        ("conv2d", [(3, 3, 4, 6)], [("", "weight", "conv")]),
        ("conv2d", [(3, 3, 4, 6), (6,)], [("", "weight", "conv"), ("", "bias", "vector")]),
        ("depthwise_conv2d", [(3, 3, 4, 1)], [("", "weight", "depthwise")]),
        ("x", [(3, 3, 4, 1), (1, 1, 4, 6)], [(".depthwise", "weight", "depthwise")]),
        ("x", [(3, 3, 4, 1), (3, 3, 4, 6)], [("", "0", "vector"), ("", "1", "vector")]),
        ("x", [(5,)] * 4, [("", "weight", "vector"), ("", "bias", "vector")]),
        ("x", [(5,)] * 3, [("", "0", "vector"), ("", "1", "vector")]),
        ("x", [(5,), (5,), (5,), (6,)], [("", "0", "vector")]),
    ],
)
def test_variables_told_by_their_shapes(path, shapes, wanted):
    names = [str(n) for n in range(len(shapes))]
    assert guess(path, names, shapes)[: len(wanted)] == wanted


def test_the_bias_of_a_separable_convolution():
    found = guess("x", ["0", "1", "2"], [(3, 3, 4, 1), (1, 1, 4, 6), (6,)])
    assert found[1:] == [(".pointwise", "weight", "conv"), (".pointwise", "bias", "vector")]


def test_a_norm_with_renorm_is_told_by_its_seven_variables():
    roles = [role for _, role, _ in guess("x", [str(n) for n in range(7)], [(5,)] * 7)]
    assert roles[2:5] == ["running_mean", "running_var", "renorm_mean"]


def test_variables_told_by_their_names():
    found = guess("x", ["bias", "kernel"], [(6,), (4, 6)])
    assert found == [("", "bias", "vector"), ("", "weight", "conv")]


# What Keras 3 wants.


def operator(function, name="c"):
    return layer(name, "TFOpLambda", function=function) | {"inbound_nodes": [TWO]}


def test_a_config_of_keras_2_for_keras_3():
    config = graph("Model")
    inner = graph("Model") | {"name": "inner", "inbound_nodes": [[["a", 0, 0, {}]]]}
    config["config"]["layers"] += [inner, layer("b", "Dense"), operator("math.add")]
    config["config"]["layers"][3]["inbound_nodes"] = [[["inner", 1, 0, {}]]]
    model = parsed(config)
    root = {"class_name": "Model", "config": config["config"]}
    for_keras3(root, model)
    assert root["class_name"] == model.layers["inner"].raw["class_name"] == "Functional"
    assert root["config"]["output_layers"] == ["a", 0, 0]
    assert model.layers["b"].calls[0].inputs[0].place[:3] == ["inner", 0, 0]
    assert model.layers["c"].raw["class_name"] == "Add"
    assert model.layers["c"].config == {"name": "c"}


def test_outputs_of_inner_models_are_counted_from_one_in_keras_3_too():
    inner = graph() | {"name": "inner", "inbound_nodes": [[["a", 0, 0, {}]]]}
    config = graph(output_layers=[["inner", 1, 0]])
    config["config"]["layers"].append(inner)
    model = parsed(config)
    for_keras3(config, model)
    assert model.outputs[0].place == ["inner", 1, 0]


def test_operators_without_a_layer_in_keras_3():
    inner = graph() | {"name": "inner", "inbound_nodes": [[["a", 0, 0, {}]]]}
    inner["config"]["layers"].append(operator("math.erf", "deep"))
    config = graph()
    config["config"]["layers"] += [operator("math.add"), operator("math.multiply", "m"), inner]
    assert unknown_operators(parsed(config)) == ["m", "deep"]
