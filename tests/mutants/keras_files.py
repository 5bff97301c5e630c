"""Keras: where weights lie in files, read and written."""

from mutants.record import edits, tested

QUANTISED = "tests/test_quantised.py"
PARTS = "tests/test_keras_parts.py"
GOLDEN = "tests/test_keras_golden.py"
LEGACY = "tests/test_keras_legacy.py"
KERAS_OUTPUT = "tests/test_keras_output.py"
GRAPHS = "tests/test_keras_graphs.py"


def _graph(name, test="test_fused_and_equal"):
    """The test of one graph in one kind of file."""
    return f"{GRAPHS}::{test}[{name}]"


def _equal(name):
    return _graph(name, test="test_equal_or_refused")


KERAS_FILES = (
    tested(
        "adapters/reparam_adapters/keras_rewrite.py",
        ("use_bias not set", 'layer.config["use_bias"] = True', "pass", _graph("a pair-.h5")),
        ("references not moved", "ref.place[:3] = key", "pass", _graph("a pair-.keras")),
        ("references moved once", "for _ in moved:", "for _ in [1]:", _graph("a block-.h5")),
        (
            "compile_config kept",
            'root.pop("compile_config", None)',
            "pass",
            f"{KERAS_OUTPUT}::test_how_the_model_was_trained_is_left_out",
        ),
    )
    + tested(
        "adapters/reparam_adapters/keras_order.py",
        (
            "layers not sorted",
            "    if model.sequential:\n        return",
            "    if True:\n        return",
            _graph("a skip without a norm-.h5"),
        ),
        (
            "layers of a zip not sorted",
            "    if model.sequential:\n        return",
            "    if True:\n        return",
            _graph("a skip without a norm-.keras"),
        ),
        (
            "layers of one depth reversed",
            "(-layers[name], met[name])",
            "(-layers[name], -met[name])",
            _graph("a skip without a norm-.h5"),
        ),
        (
            "nearest first",
            "(-layers[name], met[name])",
            "(layers[name], met[name])",
            _graph("a skip without a norm-.h5"),
        ),
        (
            "depth of a shared layer",
            "max(nodes.get(node, 0), layers.get(node[0], 0))",
            "nodes.get(node, 0)",
            f"{GRAPHS}::test_layers_are_listed_in_the_order_of_keras",
        ),
        (
            "inputs that lead nowhere come last",
            "met.setdefault(ref.key[0], -1)",
            "met.setdefault(ref.key[0], len(met))",
            f"{GRAPHS}::test_layers_are_listed_in_the_order_of_keras",
        ),
        (
            "frozen layers taken for trained",
            " or not frozen.isdisjoint(above)",
            "",
            _graph("an inner skip, frozen pair-.h5"),
        ),
    )
    + tested(
        "adapters/reparam_adapters/keras_legacy_layout.py",
        (
            "bias before its kernel",
            "return [entry.name, name]",
            "return [name, entry.name]",
            _graph("a pair-.h5"),
        ),
        (
            "removed layers listed",
            "if layer in change.dropped or (entries and not kept):",
            "if entries and not kept:",
            _graph("a block-.h5"),
        ),
        (
            "weights of a nested model not sorted",
            "key=lambda i: (keys[i][0], keys[i][2], i))",
            "key=lambda i: i)",
            _graph("an inner skip-.h5"),
        ),
        (
            "statistics of a nested model not last",
            "key=lambda i: (keys[i][0], keys[i][2], i))",
            "key=lambda i: (keys[i][2], i))",
            _equal("an inner skip of a norm-.h5"),
        ),
    )
    + tested(
        "adapters/reparam_adapters/keras_v3_layout.py",
        (
            "gap left in the counting",
            "called |= {name: seat for name, (_, seat)",
            "called |= {name: name for name, (_, seat)",
            _graph("many blocks-.keras"),
        ),
        (
            "groups not sorted anew",
            "kept.sort(key=ranks.__getitem__)",
            "pass",
            _graph("a skip without a norm-.keras"),
        ),
        (
            "bias in the place of the kernel",
            "int(number) + 1 if number",
            "int(number) + 2 if number",
            _graph("a pair-.keras"),
        ),
    )
    + tested(
        "adapters/reparam_adapters/keras_convert.py",
        (
            "late ones first",
            "for item in (*first, *late):",
            "for item in (*late, *first):",
            f"{KERAS_OUTPUT}::test_a_tree_as_legacy_weights",
        ),
    )
    + tested(
        "adapters/reparam_adapters/hdf5_output.py",
        ("values not read back", "if not same:", "if False:", KERAS_OUTPUT),
        (
            "datasets not counted",
            "if found.keys() != expected.keys() | self._digests.keys():",
            "if False:",
            KERAS_OUTPUT,
        ),
        (
            "attributes of any length",
            "ATTRIBUTE_BYTES = 64512",
            "ATTRIBUTE_BYTES = 2**20",
            f"{GRAPHS}::test_more_names_than_an_attribute_holds[120]",
        ),
    )
    + tested(
        "adapters/reparam_adapters/hdf5_chunks.py",
        (
            "short chunks read",
            "if found != size:",
            "if found > size:",
            "tests/test_hdf5_tree.py::test_chunks_that_unpack_short_are_refused",
        ),
        (
            "missing chunks read",
            "if len(infos) != expected:",
            "if False:",
            "tests/test_hdf5_tree.py::test_a_chunk_that_was_never_written_is_refused",
        ),
    )
)


COVERED = [
    *edits(
        "adapters/reparam_adapters/keras_order.py",
        LEGACY,
        (
            "nested models not sorted",
            "            sort_all(layer.model)\n",
            "            pass\n",
            "test_nested_models_are_sorted_too",
        ),
        (
            "frozen where nothing is stated",
            'layer.config.get("trainable") is False',
            'not layer.config.get("trainable")',
            "test_layers_are_trained_unless_they_say_otherwise",
        ),
    ),
    *edits(
        "adapters/reparam_adapters/keras_order.py",
        KERAS_OUTPUT,
        (
            "ranks of nested layers",
            "{path: i for i, (path, _) in enumerate(walk_layers(model))}",
            "{path: i for i, path in enumerate(model.layers)}",
            "test_a_tree_as_legacy_weights[nested]",
        ),
    ),
    *edits(
        "adapters/reparam_adapters/keras_v3_layout.py",
        GOLDEN,
        (
            "block of a new layer lost",
            'if any(f"{home}/".startswith(f"{group.path}/") for home in alive):',
            "if False:",
            "test_a_deploy_file_is_the_known_one[k3_repvgg_samepad_even32_weights_h5]",
        ),
    ),
    *edits(
        "adapters/reparam_adapters/keras_v3_layout.py",
        KERAS_OUTPUT,
        (
            "state of the training copied",
            "if not gone(g) and not (group is store.root and n in TRAINING_STATE)",
            "if not gone(g)",
            "test_what_the_optimizer_noted_is_left_out",
        ),
        (
            "empty groups lost",
            "return bool(data) and all(",
            "return all(",
            "test_the_names_beside_the_variables_are_kept",
        ),
        (
            "attributes lost",
            "layout.groups[target] = dict(group.attributes)",
            "layout.groups[target] = {}",
            "test_the_names_beside_the_variables_are_kept",
        ),
    ),
    *edits(
        "adapters/reparam_adapters/keras_writer.py",
        PARTS,
        (
            "a Keras file of something else",
            "if not isinstance(source, KerasReader):",
            "if False:",
            "test_a_keras_file_is_made_of_a_keras_file",
        ),
    ),
    *edits(
        "adapters/reparam_adapters/keras_writer.py",
        GRAPHS,
        (
            "config of Keras 2 for Keras 3",
            'if change.form.target == "keras3":',
            "if False:",
            "test_an_inner_model_for_keras_3",
        ),
    ),
    *edits(
        "adapters/reparam_adapters/keras_writer.py",
        LEGACY,
        (
            "rows as they come",
            "np.concatenate([p for _, p in sorted(parts, key=lambda p: p[0])])",
            "np.concatenate([p for _, p in parts])",
            "test_rows_may_come_in_any_order_and_from_one_buffer[h5]",
        ),
        (
            "rows not copied",
            "parts.append((start, rows.copy()))",
            "parts.append((start, rows))",
            "test_rows_may_come_in_any_order_and_from_one_buffer[h5]",
        ),
        (
            "first rows taken for the whole",
            "if sum(len(p) for _, p in parts) == self._tensors[name].shape[0]:",
            "if parts:",
            "test_rows_may_come_in_any_order_and_from_one_buffer[h5]",
        ),
    ),
    *edits(
        "adapters/reparam_adapters/keras_writer.py",
        KERAS_OUTPUT,
        (
            "another dtype copied",
            "        if self._output.waits_for(name):\n",
            "        if False:\n",
            "test_what_renorm_adds_to_a_norm_goes_or_stays_with_it[neutral-.h5]",
        ),
        (
            "not read back",
            "        self._output.compare()\n",
            "",
            "test_what_reads_back_differently_is_not_kept[damage_a_value]",
        ),
        (
            "shards before their index",
            "        for file in self._files[:-1]:\n",
            "        for file in ():\n",
            "test_a_tree_as_legacy_weights[flat]",
        ),
    ),
    *edits(
        "adapters/reparam_adapters/keras_writer.py",
        QUANTISED,
        (
            "mixed dtypes",
            "        _check_dtypes(path, source, tensors)\n",
            "",
            "test_keras_files_hold_no_float8[depthwise_keras3.keras-float8_e4m3fn]",
        ),
    ),
]

MUTANTS = [*KERAS_FILES, *COVERED]
