"""Keras: shapes of tensors."""

from mutants.record import edits

PARTS = "tests/test_keras_parts.py"
GOLDEN = "tests/test_keras_golden.py"
SHAPES = "tests/test_keras_shapes.py"


COVERED = [
    *edits(
        "adapters/reparam_adapters/keras_layer_shapes.py",
        SHAPES,
        (
            "Flatten of an unknown size",
            "return (None if None in shape else math.prod(",
            "return (math.prod(",
            "test_layers_with_one_input[Flatten-config6-shape6-wanted6]",
        ),
        (
            "concatenated along the last axis",
            '_concatenated(shapes, config.get("axis", -1))',
            "_concatenated(shapes, -1)",
            "test_layers_with_two_inputs[Concatenate-config5-shapes5-wanted5]",
        ),
        (
            "axes of a global pooling dropped",
            'return kept if config.get("keepdims") else (channels,)',
            "return (channels,)",
            "test_layers_with_one_input[GlobalMaxPooling2D-config8-shape8-wanted8]",
        ),
        (
            "channels of a global pooling",
            "channels = shape[0] if first else shape[-1]\n        ones",
            "channels = shape[-1]\n        ones",
            "test_layers_with_one_input[GlobalAveragePooling2D-config9-shape9-wanted9]",
        ),
        (
            "sequences of recurrent layers",
            'return (None, *given) if config.get("return_sequences") else given',
            "return given",
            "test_layers_with_one_input[GRU-config12-shape12-wanted12]",
        ),
        (
            "-1 of a Reshape",
            "type(n) is int and n > 0 else None for n in target",
            "type(n) is int else None for n in target",
            "test_layers_with_one_input[Reshape-config13-shape13-wanted13]",
        ),
        (
            "pixels after taken for those before",
            "tuple((p[0], p[1]) for p in pairs)",
            "tuple((p[1], p[0]) for p in pairs)",
            "test_pixels_added_to_each_side[value2-2-wanted2]",
        ),
        (
            "one number for both sides",
            "[[n, n] if type(n) is int",
            "[[0, n] if type(n) is int",
            "test_layers_with_one_input[ZeroPadding2D-config16-shape16-wanted16]",
        ),
        (
            "a pair for one axis",
            "    if rank == 1 and _is_pair(items):\n",
            "    if False:\n",
            "test_layers_with_one_input[ZeroPadding1D-config18-shape18-wanted18]",
        ),
    ),
    *edits(
        "adapters/reparam_adapters/keras_layer_shapes.py",
        GOLDEN,
        (
            "Dense flattens images",
            "return (*shape[:-1], units if",
            "return (units if",
            "test_a_plan_names_the_layers_that_survive",
        ),
    ),
    *edits(
        "adapters/reparam_adapters/keras_shapes.py",
        PARTS,
        (
            "given sizes ignored",
            "        self._start(inputs)\n",
            "        self._start(())\n",
            "test_sizes_within_a_nested_model",
        ),
        (
            "sizes of the first call",
            "len(found) == len(layer.calls) and len({id(s) for s in found}) == 1",
            "found",
            "test_sizes_within_a_nested_model",
        ),
        (
            "sizes known in part",
            "if found is None or None in found:",
            "if found is None:",
            "test_what_is_known_of_a_shape_in_part",
        ),
        (
            "given size against the config",
            "if any(n not in (None, m) for n, m in zip(old, size, strict=True)):",
            "if False:",
            "test_a_size_that_the_config_contradicts",
        ),
        (
            "images begin at the first axis",
            "first = _image_axis(model)",
            "first = 0",
            "test_the_size_of_the_input",
        ),
        (
            "size for no image",
            "if not any(s is not None and len(s) == len(size) + 1 for s in inputs):",
            "if False:",
            "test_the_size_of_the_input",
        ),
        (
            "channels dropped",
            "inputs.append((*shape[:first], *size, *shape[first + len(size) :]))",
            "inputs.append((*size,))",
            "test_the_size_of_the_input",
        ),
    ),
]

MUTANTS = [*COVERED]
