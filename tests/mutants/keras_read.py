"""Keras: opening files of every kind and naming what is in them."""

# ruff: noqa: E501  edits of long lines are long

from mutants.record import edits

PARTS = "tests/test_keras_parts.py"
KERAS_OUTPUT = "tests/test_keras_output.py"
GRAPHS = "tests/test_keras_graphs.py"
HOSTILE = "tests/test_keras_hostile.py"
LEGACY = "tests/test_keras_legacy.py"
HDF5 = "tests/test_hdf5_tree.py"


COVERED = [
    *edits(
        "adapters/reparam_adapters/keras.py",
        PARTS,
        (
            "any zip is Keras'",
            "return head[30:].startswith(_MEMBERS)",
            "return True",
            "test_beginnings_of_keras_files",
        ),
        (
            "any JSON is Keras'",
            ' and b".weights.h5" in head)',
            ")",
            "test_beginnings_of_keras_files",
        ),
        (
            "a file of nothing",
            "    if rewrite is None:\n",
            "    if False:\n",
            "test_a_keras_file_is_made_of_a_keras_file",
        ),
    ),
    *edits(
        "adapters/reparam_adapters/keras_legacy.py",
        LEGACY,
        (
            "layers listed twice",
            "        if name in layers:\n",
            "        if False:\n",
            "test_a_layer_listed_twice",
        ),
        (
            "datasets taken for layers",
            "if group is None or isinstance(group, Dataset):",
            "if group is None:",
            "test_a_dataset_is_no_layer",
        ),
        (
            "weights of the model itself",
            "if top is not None and TOP not in layers and",
            "if False and",
            "test_weights_of_the_model_itself_are_kept",
        ),
        (
            "order of the layers",
            "    if stored != wanted:\n",
            "    if False:\n",
            "test_weights_in_another_order_than_the_layers",
        ),
    ),
    *edits(
        "adapters/reparam_adapters/keras_legacy.py",
        HOSTILE,
        (
            "weights of unknown layers",
            "if name != TOP and entries:",
            "if False:",
            "test_weights_that_do_not_belong_to_the_config[a layer too many-.h5]",
        ),
    ),
    *edits(
        "adapters/reparam_adapters/keras_legacy.py",
        GRAPHS,
        (
            "suffix of a variable",
            'self.name.removesuffix(":0").rpartition("/")[2]',
            'self.name.rpartition("/")[2]',
            "test_never_fused[batch statistics-.h5]",
        ),
    ),
    *edits(
        "adapters/reparam_adapters/keras_reader.py",
        GRAPHS,
        (
            "graph ignored",
            "            self._read_graph()\n",
            "",
            "test_pairs_that_are_not_summed[identity_broadcast_in_a_sum-their outputs have different shapes-.keras]",
        ),
    ),
    *edits(
        "adapters/reparam_adapters/keras_reader.py",
        KERAS_OUTPUT,
        (
            "the last tensor, whatever its name",
            "if self._last is None or self._last[0] != name:",
            "if self._last is None:",
            "test_what_reads_back_differently_is_not_kept[lose_a_value]",
        ),
    ),
    *edits(
        "adapters/reparam_adapters/keras_reader.py",
        LEGACY,
        (
            "the kept tensor handed out",
            "(values if rows is None else values[slice(*rows)]).copy()",
            "(values if rows is None else values[slice(*rows)])",
            "test_what_is_read_is_the_readers_own_no_longer",
        ),
        (
            "rows of a tensor ignored",
            "(values if rows is None else values[slice(*rows)]).copy()",
            "values.copy()",
            "test_what_is_read_is_the_readers_own_no_longer",
        ),
    ),
    *edits(
        "adapters/reparam_adapters/keras_sources.py",
        PARTS,
        (
            "attributes of the first shard",
            "return {k: v for part in self.parts for k, v in part.attributes.items()}",
            "return self.parts[0].attributes",
            "test_shards_read_as_one",
        ),
        (
            "groups of the first shard",
            "{name for part in self.parts for name in part.groups}",
            "{*self.parts[0].groups}",
            "test_shards_read_as_one",
        ),
        (
            "datasets of the first shard",
            "return {k: v for part in self.parts for k, v in part.datasets.items()}",
            "return self.parts[0].datasets",
            "test_shards_read_as_one",
        ),
        (
            "groups made anew",
            "        if self._groups is None:\n",
            "        if True:\n",
            "test_shards_read_as_one",
        ),
    ),
    *edits(
        "adapters/reparam_adapters/keras_sources.py",
        KERAS_OUTPUT,
        (
            "too little of a file read to tell",
            "head = file.read(16)",
            "head = file.read(4)",
            "test_a_tree_as_legacy_weights[flat]",
        ),
    ),
    *edits(
        "adapters/reparam_adapters/keras_sources.py",
        HOSTILE,
        (
            "files of Keras 1",
            'if version is None or str(version).startswith("1."):',
            "if version is None:",
            "test_files_of_old[1.2.2-tensorflow-a Keras 1 file-weights]",
        ),
        (
            "flipped kernels of Theano",
            'if backend == "theano":',
            "if False:",
            "test_files_of_old[2.2.4-theano-Theano-model]",
        ),
    ),
    *edits(
        "adapters/reparam_adapters/keras_store.py",
        PARTS,
        (
            "paths of deeper models",
            'yield from walk_layers(layer.model, f"{prefix}{layer.name}.")',
            'yield from walk_layers(layer.model, f"{layer.name}.")',
            "test_paths_of_layers_in_models_within_models",
        ),
        (
            "two kernels are a separable one",
            "all(k == 1 for k in shapes[1][:-2])",
            "True",
            "test_variables_told_by_their_shapes[x-shapes4-wanted4]",
        ),
        (
            "bias of a separable convolution",
            "            if ranks[2:] == [1]:\n",
            "            if False:\n",
            "test_the_bias_of_a_separable_convolution",
        ),
        (
            "kernels without a bias",
            "        elif len(ranks) == 1:\n",
            "        elif False:\n",
            "test_variables_told_by_their_shapes[conv2d-shapes0-wanted0]",
        ),
        (
            "norms with renorm",
            "elif ranks in ([1] * 4, [1] * 7) and",
            "elif ranks in ([1] * 4,) and",
            "test_a_norm_with_renorm_is_told_by_its_seven_variables",
        ),
        (
            "vectors of different lengths are a norm",
            " and len(set(shapes)) == 1:",
            ":",
            "test_variables_told_by_their_shapes[x-shapes7-wanted7]",
        ),
        (
            "names taken for numbers",
            "    if not all(n.isdecimal() for n in names):\n",
            "    if False:\n",
            "test_variables_told_by_their_names",
        ),
    ),
    *edits(
        "adapters/reparam_adapters/keras_v3.py",
        KERAS_OUTPUT,
        (
            "graph ignored",
            "    if model is not None:\n        _name_model",
            "    if False:\n        _name_model",
            "test_a_tree_as_legacy_weights[nested]",
        ),
    ),
    *edits(
        "adapters/reparam_adapters/keras_v3.py",
        PARTS,
        (
            "variables sorted as text",
            "key=lambda v: (len(v[0]), v[0])",
            "key=lambda v: v[0]",
            "test_variables_in_the_order_of_their_numbers",
        ),
        (
            "groups not numbered",
            "return (found[1], int(found[2])) if found else",
            "return (found[1], 0) if found else",
            "test_the_number_in_the_name_of_a_group",
        ),
        (
            "groups numbered from one",
            "else (name, 0)",
            "else (name, 10)",
            "test_the_number_in_the_name_of_a_group",
        ),
        (
            "datasets further down",
            "yield from datasets_below(child)",
            "yield from child.datasets.values()",
            "test_datasets_at_any_depth",
        ),
    ),
]

MUTANTS = [*COVERED]
