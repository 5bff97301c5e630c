"""Keras: axes, names and padding."""

from mutants.record import edits

GRAPHS = "tests/test_keras_graphs.py"
PADDING = "tests/test_padding.py"
LAYOUTS = "tests/test_layouts.py"
KERAS_RECIPES = "tests/test_keras_recipes.py"
KERAS_ARRAYS = "tests/test_keras_arrays.py"

KERAS_AXES = (
    edits(
        "reparam/padding.py",
        PADDING,
        ("more padding before", "return total // 2, total", "return total - total // 2, total"),
        ("size rounded down", "-(-size // stride)", "size // stride"),
        ("dilation of padding ignored", "(kernel - 1) * dilation + 1 - size", "kernel - size"),
    )
    + edits(
        "reparam/layouts.py",
        LAYOUTS,
        (
            "depthwise channels in the other order",
            "values.transpose(-2, -1, *space)",
            "values.transpose(-1, -2, *space)",
        ),
        (
            "depthwise channels written in the other order",
            "split = values.reshape(*shape[-2:], *values.shape[2:])",
            (
                "split = values.reshape(*shape[-2:][::-1], *values.shape[2:])"
                ".swapaxes(0, 1).reshape(*shape[-2:], *values.shape[2:])"
            ),
        ),
        (
            "kernel read as transposed",
            "return values.transpose(-1, -2, *space)",
            "return values.transpose(-2, -1, *space)",
        ),
        (
            "kernel written as transposed",
            "return values.transpose(*range(2, len(shape)), 1, 0)",
            "return values.transpose(*range(2, len(shape)), 0, 1)",
        ),
        ("vector turned", 'if kind == "vector" or values.ndim < 2:', "if values.ndim < 2:"),
    )
    + edits(
        "reparam/layouts.py",
        KERAS_ARRAYS,
        ("mean and variance", '"moving_mean": "running_mean"', '"moving_mean": "running_var"'),
    )
    + edits(
        "reparam/keras_names.py",
        KERAS_ARRAYS,
        (
            "numbers in the order of the file",
            "in enumerate(sorted(numbers))",
            "in enumerate(numbers)",
        ),
        ("numbers sorted as text", "(found[1], int(found[2]))", "(found[1], -1)"),
    )
    + edits(
        "reparam/strided.py",
        KERAS_RECIPES,
        (
            "size of the first axis",
            "k, stride)[0] for n, k in pairs",
            "k, stride)[0] for _, k in pairs for n in size[:1]",
        ),
        ("place counted from the end", "k, stride)[0] for", "k, stride)[1] for"),
        ("strided whatever is in it", "item.same.unless in names or ", ""),
    )
)

KERAS_AXES += edits(
    "reparam/strided.py",
    f"{KERAS_ARRAYS}::test_every_block_hands_its_size_on",
    ("size not handed on", "size = tuple(-(-n // stride) for n in size)", "pass"),
)


COVERED = [
    *edits(
        "reparam/layouts.py",
        GRAPHS,
        (
            "shape of a depthwise kernel",
            "return (first * last, 1, *space)",
            "return (first, last, *space)",
            "test_fused_and_equal[depthwise, multiplied-.h5]",
        ),
        (
            "shape of a kernel turned",
            "else (last, first, *space)",
            "else (first, last, *space)",
            "test_fused_and_equal[an inner block-.h5]",
        ),
    ),
    *edits(
        "reparam/keras_names.py",
        KERAS_ARRAYS,
        (
            "a lone kernel is half a separable one",
            "if separable and name in halves:",
            "if name in halves:",
            "test_names_tell_the_variables",
        ),
        (
            "vectors called kernel",
            '(name.endswith("kernel") and rank < 2)',
            "False",
            "test_names_tell_the_variables",
        ),
        (
            "depthwise kernel of Keras 2",
            'found.append(("", role, "depthwise"))',
            'found.append(("", role, "conv"))',
            "test_names_tell_the_variables",
        ),
        (
            "kind by the names above",
            'last = path.rpartition(".")[2].lower()',
            "last = path.lower()",
            "test_a_recipe_of_the_users_own_reaches_every_kind_of_kernel",
        ),
        (
            "kind by a part of a name",
            'r"(?:^|_)(?:dw|depthwise)"',
            'r"dw|depthwise"',
            "test_names_tell_the_variables",
        ),
        (
            "names of users counted",
            "if parent or top else",
            "if True else",
            "test_flat_names_are_left_as_they_are",
        ),
        (
            "names of a flat file counted",
            "top=deep",
            "top=True",
            "test_flat_names_are_left_as_they_are",
        ),
        (
            "shape of Keras lost",
            "name, kind, arrays[name].shape",
            "name, kind, turned[called].shape",
            "test_a_recipe_of_the_users_own_reaches_every_kind_of_kernel",
        ),
        (
            "name of the first layer kept",
            "if path != first:",
            "if False:",
            "test_a_state_dict_of_a_published_class_is_fused[:0]",
        ),
        (
            "suffix of Keras lost",
            'end = ":0" if called.endswith(":0") else ""',
            'end = ""',
            "test_a_state_dict_of_a_published_class_is_fused[:0]",
        ),
        (
            "kernel called weight",
            '"kernel" if role == "weight" else role',
            "role",
            "test_a_state_dict_of_a_published_class_is_fused",
        ),
    ),
    *edits(
        "reparam/layouts.py",
        LAYOUTS,
        (
            "inputs and outputs swapped when square",
            "    return values.transpose(-1, -2, *space)\n",
            (
                "    square = values.shape[-1] == values.shape[-2]\n"
                "    return values.transpose(*((-2, -1) if square else (-1, -2)), *space)\n"
            ),
            "test_every_entry_in_its_place",
        ),
        (
            "rows and columns swapped when square",
            "    space = range(values.ndim - 2)\n",
            (
                "    space = range(values.ndim - 2)\n"
                "    space = space[::-1] if len({*values.shape[:-2]}) == 1 else space\n"
            ),
            "test_every_entry_in_its_place",
        ),
    ),
]

MUTANTS = [*KERAS_AXES, *COVERED]
