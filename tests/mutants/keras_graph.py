"""Keras: what the graph of a model lets be fused, and how it is changed."""

# ruff: noqa: E501  edits of long lines are long

from mutants.record import edits, tested

PARTS = "tests/test_keras_parts.py"
GOLDEN = "tests/test_keras_golden.py"
KERAS_OUTPUT = "tests/test_keras_output.py"
GRAPHS = "tests/test_keras_graphs.py"


def _graph(name, test="test_fused_and_equal"):
    """The test of one graph in one kind of file."""
    return f"{GRAPHS}::{test}[{name}]"


def _equal(name):
    return _graph(name, test="test_equal_or_refused")


KERAS_PAIRS = tested(
    "adapters/reparam_adapters/keras_pairs.py",
    (
        "activation of a convolution ignored",
        "if not is_linear(activation):",
        "if False:",
        _equal("an activation of its own-.h5"),
    ),
    (
        "training of a norm ignored",
        "if scope.training or any(call.training for call in norm.calls):",
        "if scope.training:",
        _equal("batch statistics-.keras"),
    ),
    (
        "training of the model around ignored",
        "if scope.training or any(",
        "if any(",
        _graph("a model in training-.h5", test="test_never_fused"),
    ),
    (
        "second consumer of a convolution",
        "if len(users) != 1:",
        "if False:",
        _graph("two norms-.h5", "test_never_fused"),
    ),
    (
        "axis of a norm ignored",
        "if not norm_axis_fits(scope, conv, norm):",
        "if False:",
        _equal("norm of rows-.h5"),
    ),
    (
        "shared convolution with another norm",
        "if convs.count(name) != len(conv.calls):",
        "if False:",
        _graph("two calls-.h5", "test_never_fused"),
    ),
) + tested(
    "adapters/reparam_adapters/keras_scope.py",
    (
        "output of the model ignored",
        'uses.setdefault(ref.key, []).append(("", 0))',
        "pass",
        _equal("conv is an output-.h5"),
    ),
    (
        "dropout in training passed",
        " and not call.training else None",
        " else None",
        _graph("dropout in training-.h5", test="test_never_fused"),
    ),
    (
        "another use on the way back",
        "if not scope.only_use(ref.key) or ref.key[0] in passed:",
        "if ref.key[0] in passed:",
        _equal("dropout used elsewhere-.h5"),
    ),
)


COVERED = [
    *edits(
        "adapters/reparam_adapters/keras_graph.py",
        GRAPHS,
        (
            "one line of a layer called twice",
            "for line in edit.lines)",
            "for line in edit.lines[:1])",
            "test_equal_or_refused[one norm after two convs-.h5]",
        ),
        (
            "every model in training",
            '_descend(model, "", sizes, training=False,',
            '_descend(model, "", sizes, training=True,',
            "test_never_fused",
        ),
    ),
    *edits(
        "adapters/reparam_adapters/keras_pairs.py",
        KERAS_OUTPUT,
        (
            "norm of two convolutions used up",
            "shared = (path,) if len(convs) > 1 else ()",
            "shared = ()",
            "test_a_norm_of_two_convolutions_goes_into_both_or_neither[.h5]",
        ),
    ),
    *edits(
        "adapters/reparam_adapters/keras_pairs.py",
        GRAPHS,
        (
            "references to the second call",
            "for i, call in enumerate(layer.calls)}",
            "for i, call in enumerate(layer.calls[:1])}",
            "test_layers_are_listed_in_the_order_of_keras[shared_pair_at_two_depths-.h5]",
        ),
    ),
    *edits(
        "adapters/reparam_adapters/keras_pairs.py",
        GOLDEN,
        (
            "groups not written",
            "written(t, attributes(scope.model.layers[c]))",
            "written(t)",
            "test_a_plan_names_the_layers_that_survive[k3_conv1d_keras]",
        ),
    ),
    *edits(
        "adapters/reparam_adapters/keras_rewrite.py",
        KERAS_OUTPUT,
        (
            "half of an edit",
            "if not all(wanted):",
            "if False:",
            "test_a_norm_of_two_convolutions_goes_into_both_or_neither[.h5]",
        ),
    ),
    *edits(
        "adapters/reparam_adapters/keras_rewrite.py",
        GOLDEN,
        (
            "norms that stay taken out",
            "if any(wanted) and not stay:",
            "if any(wanted):",
            "test_neutral_norms_keep_the_model[k215_slash_names_h5]",
        ),
    ),
    *edits(
        "adapters/reparam_adapters/keras_rewrite.py",
        GRAPHS,
        (
            "layers of nested models",
            "frozenset(edit.prefix + name for",
            "frozenset(name for",
            "test_fused_and_equal[an inner block twice-.keras]",
        ),
    ),
    *edits(
        "adapters/reparam_adapters/keras_scope.py",
        GOLDEN,
        (
            "first half of a separable convolution",
            '(".pointwise" if separable else "")',
            '(".depthwise" if separable else "")',
            "test_a_plan_names_the_layers_that_survive[k215_separable_keras]",
        ),
    ),
    *edits(
        "adapters/reparam_adapters/keras_scope.py",
        PARTS,
        (
            "an output of the model is a use",
            " and bool(uses[0][0])",
            "",
            "test_a_tensor_passed_on_twice_is_that_of_the_beginning",
        ),
        (
            "origin one layer back",
            "while (before := _silent_input(scope, ref)) is not None and ref.key[0] not in passed:",
            "if (before := _silent_input(scope, ref)) is not None and ref.key[0] not in passed:",
            "test_a_tensor_passed_on_twice_is_that_of_the_beginning",
        ),
        (
            "axis of channels counted from the start only",
            "return axis in (place, place - rank - 2)",
            "return axis == place",
            "test_the_axis_of_a_norm_and_that_of_the_channels",
        ),
        (
            "axis of a dense norm",
            "return axis in (-1, channel_axis(scope, conv, norm))",
            "return axis == -1",
            "test_the_axis_of_a_norm_and_that_of_the_channels",
        ),
        (
            "axis of a norm in a list",
            "    if is_list(axis) and len(axis) == 1:\n",
            "    if False:\n",
            "test_the_axis_of_a_norm_and_that_of_the_channels",
        ),
        (
            "axis of a built norm",
            "return len(stored) - 1",
            "return len(stored)",
            "test_the_axes_of_a_dense_layer_may_stand_in_its_norm_only",
        ),
        (
            "axis of a dense layer",
            "return None if shape is None else len(shape)",
            "return None if shape is None else len(shape) - 1",
            "test_the_axis_of_a_norm_and_that_of_the_channels",
        ),
        (
            "groups left out",
            'if family == "conv" and groups != 1:',
            "if False:",
            "test_what_a_line_says_of_a_layer",
        ),
        (
            "transposition left out",
            'return {"transposed": ""}',
            "return {}",
            "test_what_a_line_says_of_a_layer",
        ),
        (
            "words with a value",
            'f"{k}={v}" if v else k for',
            'f"{k}={v}" for',
            "test_what_a_line_says_of_a_layer",
        ),
        (
            "PyTorch's eps for Keras",
            'norm.config.get("epsilon", 1e-3)',
            'norm.config.get("epsilon", 1e-5)',
            "test_the_constant_of_a_norm",
        ),
    ),
    *edits(
        "adapters/reparam_adapters/keras_scope.py",
        GRAPHS,
        (
            "two uses are one",
            "return len(uses) == 1 and",
            "return len(uses) >= 1 and",
            "test_equal_or_refused[dropout used elsewhere-.h5]",
        ),
        (
            "channels one axis early",
            "if channels_first(conv.config) else rank + 1",
            "if channels_first(conv.config) else rank",
            "test_pairs_that_are_not_summed[identity_broadcast_in_a_sum-their outputs have different shapes-.keras]",
        ),
        (
            "axis of channels counted from the end only",
            "return axis in (place, place - rank - 2)",
            "return axis == place - rank - 2",
            "test_pairs_that_are_not_summed[identity_broadcast_in_a_sum-their outputs have different shapes-.h5]",
        ),
    ),
    *edits(
        "adapters/reparam_adapters/keras_target.py",
        PARTS,
        (
            "outputs in a list",
            "            settings[key] = ends[0]\n",
            "            pass\n",
            "test_a_config_of_keras_2_for_keras_3",
        ),
        (
            "calls of a nested model counted from 1",
            "if ref.base and not (functional and id(ref) in outputs):",
            "if False:",
            "test_a_config_of_keras_2_for_keras_3",
        ),
        (
            "outputs of a nested model counted from 0",
            "if ref.base and not (functional and id(ref) in outputs):",
            "if ref.base:",
            "test_outputs_of_inner_models_are_counted_from_one_in_keras_3_too",
        ),
        (
            "nested models of Keras 2",
            "            for_keras3(layer.raw, layer.model)\n",
            "            pass\n",
            "test_a_config_of_keras_2_for_keras_3",
        ),
        (
            "class of Keras 2",
            '        root["class_name"] = "Functional"\n',
            "        pass\n",
            "test_a_config_of_keras_2_for_keras_3",
        ),
        (
            "sums are unknown",
            " and not plus_or_minus(layer)\n",
            "\n",
            "test_operators_without_a_layer_in_keras_3",
        ),
        (
            "operators of nested models",
            "found += unknown_operators(layer.model) if",
            "found += [] if",
            "test_operators_without_a_layer_in_keras_3",
        ),
    ),
]

MUTANTS = [*KERAS_PAIRS, *COVERED]
