"""Configs of Keras, part by part: what the files in other tests do not happen to hold."""

from __future__ import annotations

import json

import pytest

from reparam.errors import CheckpointError
from reparam_adapters.keras_calls import parse_call, references
from reparam_adapters.keras_config import all_references, is_graph, parse_config
from reparam_adapters.keras_layers import axes, fits, is_linear, passes_on, slots
from reparam_adapters.keras_sums import plus_or_minus

LAYERS = {"a", "b", "c"}


def tensor(name, shape=(None, 4)):
    config = {"shape": [*shape], "dtype": "float32", "keras_history": [name, 0, 0]}
    return {"class_name": "__keras_tensor__", "config": config}


def met(value):
    return [ref.key[0] for ref in references(value, LAYERS)]


def test_keyword_arguments_of_keras_2_go_as_they_are_written():
    assert met([["a", 0, 0, {"z": ["b", 0, 0], "d": ["c", 0, 0]}]]) == ["a", "b", "c"]


def test_all_other_dictionaries_go_by_their_keys():
    assert met({"z": ["b", 0, 0], "d": ["c", 0, 0]}) == ["c", "b"]
    assert met([["a", 0, 0, {"x": {"z": ["b", 0, 0], "d": ["c", 0, 0]}}]]) == ["a", "c", "b"]


def test_a_call_of_a_layer_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="'ghost', which is no layer"):
        met([["ghost", 0, 0, {}]])
    with pytest.raises(ValueError, match="'ghost'"):
        met({"args": [tensor("ghost")]})
    assert met([["_CONSTANT_VALUE", -1, 2.0, {}]]) == []


@pytest.mark.parametrize(
    ("node", "plain"),
    [
        ({"args": [[tensor("a"), tensor("b")]], "kwargs": {}}, True),
        ({"args": [tensor("a"), tensor("b")], "kwargs": {}}, True),
        ({"args": [tensor("a"), 2.0], "kwargs": {}}, False),
        ({"args": [[tensor("a"), 2.0]], "kwargs": {}}, False),
        ([["a", 0, 0, {}], ["b", 0, 0, {}]], True),
        ([["a", 0, 0, {}], ["_CONSTANT_VALUE", -1, 2.0, {}]], False),
    ],
)
def test_a_call_with_a_number_among_its_tensors(node, plain):
    assert parse_call(node, LAYERS).plain is plain


def conv(name, before=None, *, bias=True, **config):
    config |= {"name": name, "use_bias": bias}
    nodes = [[[before, 0, 0, {}]]] if before else []
    return {"name": name, "class_name": "Dense", "config": config, "inbound_nodes": nodes}


def graph(class_name="Functional", **more):
    start = {"name": "x", "class_name": "InputLayer", "config": {}, "inbound_nodes": []}
    config = {
        "layers": [start, conv("a", "x")],
        "input_layers": [["x", 0, 0]],
        "output_layers": [["a", 0, 0]],
    }
    return {"class_name": class_name, "config": config | more}


def parsed(config, **options):
    return parse_config(json.dumps(config), "x.json", **options)[1]


def test_the_ends_of_a_graph_are_references_too():
    names = [ref.key[0] for ref in all_references(parsed(graph()))]
    assert names == ["x", "a", "x"]  # the input of a, the output, the input


@pytest.mark.parametrize("layers", [list, lambda layers: {"name": "s", "layers": layers}])
def test_the_layers_of_a_sequential_model_may_be_its_config(layers):
    """Keras up to 2.2.2 wrote them so."""
    model = parsed({"class_name": "Sequential", "config": layers([conv("a"), conv("b")])})
    assert model.sequential
    assert [*model.layers] == ["a", "b"]


def test_a_class_of_somebodys_own_with_a_graph():
    assert [*parsed(graph("Mine>Net")).layers] == ["x", "a"]


@pytest.mark.parametrize("missing", ["layers", "output_layers"])
def test_a_subclassed_model_has_no_graph(missing):
    config = graph("Mine>Net")
    del config["config"][missing]
    assert not is_graph(config)
    assert parsed(config, subclassed=True) is None
    with pytest.raises(CheckpointError, match="a subclassed model"):
        parsed(config)


def test_nesting_without_end_is_refused():
    with pytest.raises(CheckpointError, match="not valid JSON"):
        parse_config("[" * 100_000, "x.json")


def test_an_object_in_two_models_is_one_layer():
    inner = graph() | {"name": "inner", "inbound_nodes": [[["x", 0, 0, {}]]]}
    inner["config"]["layers"][1]["shared_object_id"] = 7
    outer = graph(output_layers=[["a", 0, 0], ["inner", 1, 0]])
    outer["config"]["layers"][1]["shared_object_id"] = 7
    outer["config"]["layers"].append(inner)
    model = parsed(outer)
    assert model.layers["a"].twice
    assert model.layers["inner"].model.layers["a"].twice
    assert not model.layers["x"].twice


def roles(class_name, **config):
    return [slot.role for slot in slots(class_name, config)]


def test_variables_where_nothing_is_stated():
    assert roles("Dense") == ["weight", "bias"]
    assert roles("Dense", use_bias=False) == ["weight"]
    assert roles("BatchNormalization") == ["weight", "bias", "running_mean", "running_var"]
    assert roles("BatchNormalization", scale=False, center=False) == ["running_mean", "running_var"]
    more = roles("BatchNormalization", renorm=True)[4:]
    assert more == ["renorm_mean", "renorm_stddev", "moving_stddev"]
    assert slots("Attention", {}) is None


@pytest.mark.parametrize(
    ("class_name", "config", "shape", "wanted"),
    [
        ("Conv2D", {"kernel_size": 3, "filters": 6, "groups": 2}, (3, 3, 4, 6), True),
        ("Conv2D", {"kernel_size": 3, "filters": 6, "groups": 4}, (3, 3, 4, 6), False),
        ("Conv2D", {"kernel_size": 3, "filters": 4}, (3, 3, 4, 6), False),
        ("Conv2D", {"kernel_size": [3, 1], "filters": 6}, (3, 3, 4, 6), False),
        ("Conv2D", {"kernel_size": 3, "filters": 6}, (3, 4, 6), False),
        ("Conv2D", {"kernel_size": 3, "filters": 6}, (1, 3, 3, 4, 6), False),
        ("Conv2DTranspose", {"kernel_size": 3, "filters": 6}, (3, 3, 6, 4), True),
        ("Conv2DTranspose", {"kernel_size": 3, "filters": 6}, (3, 3, 4, 6), False),
        ("DepthwiseConv2D", {"kernel_size": 3, "depth_multiplier": 2}, (3, 3, 4, 2), True),
        ("DepthwiseConv2D", {"kernel_size": 3}, (3, 3, 4, 2), False),
        ("Dense", {"units": 6}, (4, 6), True),
        ("Dense", {"units": 6}, (6, 4), False),
        ("Dense", {"units": 6}, (1, 4, 6), False),
    ],
)
def test_kernels_of_the_size_that_settings_say(class_name, config, shape, wanted):
    kernel = slots(class_name, config)[0]
    assert fits(class_name, config, kernel, shape) is wanted


def test_vectors_have_one_axis():
    bias = slots("Dense", {})[1]
    assert fits("Dense", {}, bias, (4,))
    assert not fits("Dense", {}, bias, (1, 4))


def test_pointwise_kernels_are_pointwise():
    config = {"kernel_size": 3, "filters": 6}
    second = slots("SeparableConv2D", config)[1]
    assert fits("SeparableConv2D", config, second, (1, 1, 4, 6))
    assert not fits("SeparableConv2D", config, second, (3, 3, 4, 6))


@pytest.mark.parametrize(
    ("value", "rank", "wanted"),
    [
        *[(3, 2, (3, 3)), ([3, 1], 2, (3, 1)), (None, 2, (1, 1))],
        *((bad, 2, None) for bad in ([3], [3, 0], [3, 1, 1], 0, -1, True, "3")),
    ],
)
def test_settings_per_axis(value, rank, wanted):
    assert axes(value, rank) == wanted


def test_activations_that_are_none():
    assert is_linear(None)
    assert is_linear("linear")
    assert is_linear({"class_name": "function", "config": "linear"})
    assert not is_linear("relu")


def test_layers_that_hand_their_input_on():
    assert passes_on("Dropout", {"rate": 0.5})
    assert passes_on("Activation", {"activation": "linear"})
    assert not passes_on("Activation", {"activation": "relu"})
    assert not passes_on("ReLU", {})


def added(class_name, node, **config):
    layer = {"name": "c", "class_name": class_name, "config": config, "inbound_nodes": [node]}
    model = graph(output_layers=[["c", 0, 0]])
    model["config"]["layers"] += [layer]
    return plus_or_minus(parsed(model).layers["c"])


TWO = [["a", 0, 0, {}], ["x", 0, 0, {}]]


@pytest.mark.parametrize(
    ("class_name", "config", "wanted"),
    [
        ("Add", {}, "Add"),
        ("Subtract", {}, "Subtract"),
        ("Multiply", {}, None),
        ("TFOpLambda", {"function": "math.add"}, "Add"),
        ("TFOpLambda", {"function": "__operators__.add"}, "Add"),
        ("TFOpLambda", {"function": "math.subtract"}, "Subtract"),
        ("TFOpLambda", {"function": "__operators__.sub"}, "Subtract"),
        ("TFOpLambda", {"function": "math.multiply"}, None),
        ("TensorFlowOpLayer", {"node_def": {"op": "AddV2"}}, "Add"),
        ("TensorFlowOpLayer", {"node_def": json.dumps({"op": "Sub"})}, "Subtract"),
        ("TensorFlowOpLayer", {"node_def": {"op": "AddV2"}, "constants": {"1": 2.0}}, None),
        ("TensorFlowOpLayer", {"node_def": {"op": "Mul"}}, None),
    ],
)
def test_layers_that_add_and_subtract(class_name, config, wanted):
    assert added(class_name, TWO, **config) == wanted


def test_sums_with_a_number_are_none():
    assert added("Add", [["a", 0, 0, {}], ["_CONSTANT_VALUE", -1, 2.0, {}], *TWO[1:]]) is None
    assert added("Add", [["a", 0, 0, {}]]) is None
    assert added("Subtract", [*TWO, ["a", 0, 0, {}]]) is None


def test_sums_called_twice_are_none():
    """Their inputs would differ."""
    layer = {"name": "c", "class_name": "Add", "config": {}, "inbound_nodes": [TWO, TWO]}
    model = graph(output_layers=[["c", 1, 0]])
    model["config"]["layers"] += [layer]
    assert plus_or_minus(parsed(model).layers["c"]) is None
