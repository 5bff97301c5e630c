"""Keras: what the config of a model says."""

# ruff: noqa: E501  edits of long lines are long

from mutants.record import edits

PARTS = "tests/test_keras_parts.py"
SHAPES = "tests/test_keras_shapes.py"
HOSTILE = "tests/test_keras_hostile.py"
GOLDEN = "tests/test_keras_golden.py"
CONFIG = "tests/test_keras_config.py"
GRAPHS = "tests/test_keras_graphs.py"


COVERED = [
    *edits(
        "adapters/reparam_adapters/keras_calls.py",
        GRAPHS,
        (
            "calls of nested models",
            "self.place[1] - self.base",
            "self.place[1]",
            "test_fused_and_equal",
        ),
        (
            "training of a call of Keras 3",
            'return Call(inputs, training=_truthy(kwargs.get("training")), plain=plain)',
            "return Call(inputs, plain=plain)",
            "test_equal_or_refused[batch statistics-.keras]",
        ),
    ),
    *edits(
        "adapters/reparam_adapters/keras_calls.py",
        CONFIG,
        (
            "keyword arguments sorted",
            "value.items() if keywords else sorted(value.items())",
            "sorted(value.items())",
            "test_keyword_arguments_of_keras_2_go_as_they_are_written",
        ),
        (
            "dictionaries as they are written",
            "value.items() if keywords else sorted(value.items())",
            "value.items()",
            "test_all_other_dictionaries_go_by_their_keys",
        ),
        (
            "references to nowhere",
            'if not own and _is_reference(value, None) and len(value) > 3 and value[0][:1] != "_":',
            "if False:",
            "test_a_call_of_a_layer_that_is_not_there_is_refused",
        ),
        (
            "a number among tensors",
            "plain = all(next(",
            "plain = any(next(",
            "test_a_call_with_a_number_among_its_tensors[node2-False]",
        ),
        (
            "constants of a call",
            "plain=not constants",
            "plain=True",
            "test_a_call_with_a_number_among_its_tensors[node5-False]",
        ),
    ),
    *edits(
        "adapters/reparam_adapters/keras_calls.py",
        GOLDEN,
        (
            "keyword arguments forgotten",
            "for child in value[3 if own else 0 :]:",
            "for child in () if own else value:",
            "test_what_is_fused_is_gone_and_the_rest_stays",
        ),
    ),
    *edits(
        "adapters/reparam_adapters/keras_config.py",
        CONFIG,
        (
            "shared layers",
            "    _mark_shared([*_all_layers(model)])\n",
            "",
            "test_an_object_in_two_models_is_one_layer",
        ),
        (
            "subclassed model without weights",
            "if subclassed and not is_graph(parsed):",
            "if not is_graph(parsed):",
            "test_a_subclassed_model_has_no_graph[layers]",
        ),
        (
            "deep nesting",
            (
                "        parsed: Any = json.loads(text)\n"
                "    except (ValueError, RecursionError) as error:"
            ),
            "        parsed: Any = json.loads(text)\n    except ValueError as error:",
            "test_nesting_without_end_is_refused",
        ),
        (
            "layers as a list",
            "return is_list(config) or (is_object(config) and",
            "return (is_object(config) and",
            "test_the_layers_of_a_sequential_model_may_be_its_config[list]",
        ),
        (
            "classes with layers of their own",
            ' and "layers" in config and "output_layers" in config',
            ' and "layers" in config',
            "test_a_subclassed_model_has_no_graph[output_layers]",
        ),
        (
            "classes of users",
            'return is_object(config) and "layers" in config and "output_layers" in config',
            "return False",
            "test_a_class_of_somebodys_own_with_a_graph",
        ),
        (
            "references of inputs",
            ("    yield from model.outputs\n    yield from model.inputs\n"),
            "    yield from model.outputs\n",
            "test_the_ends_of_a_graph_are_references_too",
        ),
    ),
    *edits(
        "adapters/reparam_adapters/keras_config.py",
        HOSTILE,
        (
            "references of outputs",
            ("    yield from model.outputs\n    yield from model.inputs\n"),
            "    yield from model.inputs\n",
            "test_outputs_that_are_not_there[['batch_normalization_2', 0, 1]-.h5]",
        ),
    ),
    *edits(
        "adapters/reparam_adapters/keras_json.py",
        GRAPHS,
        (
            "texts are lists",
            "return type(value) is list",
            "return type(value) in (list, str)",
            "test_never_fused",
        ),
    ),
    *edits(
        "adapters/reparam_adapters/keras_json.py",
        HOSTILE,
        (
            "lists are objects",
            "return type(value) is dict",
            "return type(value) in (dict, list)",
            "test_indices_of_shards",
        ),
    ),
    *edits(
        "adapters/reparam_adapters/keras_layers.py",
        HOSTILE,
        (
            "gamma of every norm",
            'if config.get("scale", True):',
            "if True:",
            "test_settings_that_make_no_sense[BatchNormalization-scale-0-.h5]",
        ),
    ),
    *edits(
        "adapters/reparam_adapters/keras_layers.py",
        GOLDEN,
        (
            "beta of every norm",
            'if config.get("center", True):',
            "if True:",
            "test_neutral_norms_keep_the_model[k215_bn_variants_h5]",
        ),
        (
            "pointwise kernels of any size",
            '    if slot.part == ".pointwise":\n',
            "    if False:\n",
            "test_a_plan_names_the_layers_that_survive[k215_separable_keras]",
        ),
        (
            "outputs of a transposed kernel",
            "        given = first\n",
            "        given = last\n",
            "test_a_plan_names_the_layers_that_survive[k3_conv1d_keras]",
        ),
    ),
    *edits(
        "adapters/reparam_adapters/keras_layers.py",
        CONFIG,
        (
            "renorm has no variables",
            'if config.get("renorm"):',
            "if False:",
            "test_variables_where_nothing_is_stated",
        ),
        (
            "bias where none is stated",
            'if config.get("use_bias", True) else []',
            'if config.get("use_bias") else []',
            "test_variables_where_nothing_is_stated",
        ),
        (
            "vectors of any shape",
            "return len(shape) == 1",
            "return True",
            "test_vectors_have_one_axis",
        ),
        (
            "groups of any number",
            "last % groups == 0",
            "True",
            "test_kernels_of_the_size_that_settings_say[Conv2D-config1-shape1-False]",
        ),
        (
            "kernels of another rank",
            "    if len(shape) != rank + 2:\n",
            "    if len(shape) < 2:\n",
            "test_kernels_of_the_size_that_settings_say[Dense-config12-shape12-False]",
        ),
        (
            "linear activations stay",
            "return linear or class_name in SILENT",
            "return class_name in SILENT",
            "test_layers_that_hand_their_input_on",
        ),
        (
            "an activation not stated",
            'return name == "linear" or activation is None',
            'return name == "linear"',
            "test_activations_that_are_none",
        ),
        (
            "a size of zero",
            "0 < v < 1 << 20 for v",
            "v < 1 << 20 for v",
            "test_settings_per_axis[value4-2-None]",
        ),
        (
            "a setting per axis of another rank",
            "if not is_list(value) or len(value) != rank:",
            "if not is_list(value):",
            "test_settings_per_axis[value3-2-None]",
        ),
    ),
    *edits(
        "adapters/reparam_adapters/keras_layers.py",
        SHAPES,
        (
            "dropout stays",
            "return linear or class_name in SILENT",
            "return linear",
            "test_layers_with_one_input[Dropout-config1-shape1-wanted1]",
        ),
        (
            "channels first unless stated",
            'config.get("data_format") == "channels_first"',
            'config.get("data_format") != "channels_last"',
            "test_layers_with_one_input[GlobalAveragePooling2D-config7-shape7-wanted7]",
        ),
    ),
    *edits(
        "adapters/reparam_adapters/keras_layers.py",
        GRAPHS,
        (
            "class names cut before digits",
            '"([a-z])([A-Z])"',
            '"([a-z0-9])([A-Z])"',
            "test_pairs_that_are_not_summed[identity_broadcast_in_a_sum-their outputs have different shapes-.keras]",
        ),
    ),
]

MUTANTS = [*COVERED]
