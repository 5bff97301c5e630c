"""Which tensors of two files belong together."""

# ruff: noqa: E501  edits of long lines are long

from mutants.record import edits

CERT = "tests/test_certificate.py"
PAIR = "tests/test_pairing.py"
VERIFY = "tests/test_verify.py"
NEUTRAL = f"{CERT}::test_the_bound_covers_what_is_left_of_a_neutral_norm"
SLABS = f"{CERT}::test_slabs_say_what_the_whole_says"
LOST = f"{PAIR}::test_no_tensor_of_the_deploy_form_may_be_lost_added_or_altered"
ALTERED = f"{PAIR}::test_no_tensor_of_a_train_form_may_be_lost_added_or_altered"
STEMS = f"{PAIR}::test_blocks_exchanged_under_the_names_of_another_spelling"
DORMANT = f"{PAIR}::test_blocks_with_dormant_channels_under_names_of_another_order"
PROOF = "tests/test_proof.py"

MUTANTS = [
    *edits(
        "reparam/stored.py",
        f"{CERT}::test_norms_that_others_left_behind",
        ("any norm is neutral", "    if not_neutral(norm, read):\n        return None, None\n", ""),
    ),
    *edits(
        "reparam/stored.py",
        f"{CERT}::test_a_bias_in_both_layers_of_a_neutral_pair",
        (
            "two biases, of which one counts",
            "    if len(carriers) > 1:\n        return None, None\n",
            "",
        ),
    ),
    *edits(
        "reparam/stored.py",
        f"{CERT}::test_the_bias_of_a_neutral_pair_may_stand_in_either_layer",
        (
            "the bias stands in the norm",
            "carrier = carriers[0] if carriers else norm.bias or conv.bias",
            "carrier = norm.bias",
        ),
    ),
    *edits(
        "reparam/stored.py",
        NEUTRAL,
        ("drift without the root", "np.abs(1.0 / root - 1.0)", "np.abs(1.0 / root - 1.0) * 0.0"),
    ),
    *edits(
        "reparam/stored.py",
        f"{CERT}::test_mixed_dtypes",
        (
            "bias in the dtype of the kernel",
            "read(source.bias).dtype.name if source.bias else kernel",
            "kernel",
        ),
    ),
    *edits(
        "reparam/stored.py",
        SLABS,
        (
            "bias of the first rows",
            "self._read(self._conv.bias).reshape(-1)[slice(*rows)]",
            "self._read(self._conv.bias).reshape(-1)[: rows[1] - rows[0]]",
        ),
    ),
    *edits(
        "reparam/neutral.py",
        f"{CERT}::test_norms_that_others_left_behind",
        (
            "scale of a neutral norm",
            "wanted |= {} if norm.weight is None else {norm.weight: 1.0}",
            "pass",
        ),
        (
            "mean of a neutral norm",
            "wanted = {norm.mean: 0.0, norm.var: 1.0 - norm.eps}",
            "wanted = {norm.var: 1.0 - norm.eps}",
        ),
        (
            "variance of a neutral norm",
            "wanted = {norm.mean: 0.0, norm.var: 1.0 - norm.eps}",
            "wanted = {norm.mean: 0.0}",
        ),
    ),
    *edits(
        "reparam/pairing.py",
        LOST,
        (
            "extra tensors forgotten",
            "self.found.extra += self._without_counters(self.free)",
            "pass",
        ),
        (
            "missing tensors forgotten",
            "self.found.missing += [f.kernel.name for f in lost] + away",
            "pass",
        ),
        ("shapes not compared", "if here[name].shape != shape:", "if False:"),
    ),
    *edits(
        "reparam/pairing.py",
        ALTERED,
        ("a missing statistic", "            if name not in here:\n", "            if False:\n"),
    ),
    *edits(
        "reparam/pairing.py",
        f"{VERIFY}::test_our_own_output",
        (
            "a train form without a tensor",
            "        if any(name not in self.new.tensors for name in reads):\n            return False\n",
            "",
        ),
    ),
    *edits(
        "reparam/pairing.py",
        f"{PAIR}::test_a_branch_left_behind_is_extra",
        (
            "any tensor may stand beside",
            ".difference(ops.tensor_names(fusion.op))",
            "",
        ),
    ),
    *edits(
        "reparam/pairing.py",
        f"{PAIR}::test_a_train_form_equals_itself_and_counters_do_not_count",
        (
            "counters are missed",
            "return [n for n in names if not _counts(n)]",
            "return list(names)",
        ),
    ),
    *edits(
        "reparam/pairing.py",
        f"{PAIR}::test_counters_of_one_file_are_told",
        (
            "counters are not told",
            "self.found.counters += [n for n in names if _counts(n)]",
            "pass",
        ),
    ),
    *edits(
        "reparam/pairing.py",
        f"{PAIR}::test_a_bias_without_its_kernel_is_no_news",
        (
            "a lonely bias",
            "        for fusion in lost:  # a bias without its kernel is no news\n",
            "        for fusion in []:\n",
        ),
    ),
    *edits(
        "reparam/pairing.py",
        f"{PAIR}::test_a_layer_of_a_train_form_has_a_bias_that_before_has_not",
        ("a bias that BEFORE has not", 'conv.bias or f"{path}.bias"', "conv.bias"),
    ),
    *edits(
        "reparam/pairing.py",
        f"{PAIR}::test_a_bias_that_is_missing_and_zero",
        (
            "a bias is always there",
            'after = replace(fusion.after, bias=self._there(f"{fusion.name}.bias"))',
            "after = fusion.after",
        ),
    ),
    *edits(
        "reparam/pairing.py",
        f"{PAIR}::test_another_spelling",
        (
            "train forms of other names",
            "            theirs = self._fusions_after()\n",
            "            theirs = ()\n",
        ),
    ),
    *edits(
        "reparam/pairing.py",
        f"{PAIR}::test_a_layer_that_changed_beyond_recognition_is_compared_all_the_same",
        (
            "layers within train forms",
            "offered = [o for o in offered if inside.isdisjoint(ops.tensor_names(o.op))] + train",
            "offered = train + offered",
        ),
    ),
    *edits(
        "reparam/pairing.py",
        STEMS,
        (
            "order not looked at",
            "self.found.disordered = disorder(self.found.renamed, self._shapes(), self._alike)",
            "pass",
        ),
    ),
    *edits(
        "reparam/pairing.py",
        f"{PAIR}::test_blocks_with_the_same_numbers",
        (
            "equal blocks have an order",
            "return all(same_bytes(self.new, a, self.new, b) for a, b in pairs)",
            "return False",
        ),
    ),
    *edits(
        "reparam/pairing.py",
        f"{PAIR}::test_tensors_that_are_no_layers_under_other_names",
        (
            "bare tensors only by name",
            "            if equal:\n                other = equal.pop()\n",
            "            if False:\n                other = equal.pop()\n",
        ),
    ),
    *edits(
        "reparam/pairing.py",
        f"{PAIR}::test_eps_in_the_graph_of_after",
        ("eps of the other graph", "eps=self._eps_after.get(leaf.var, leaf.eps)", "eps=leaf.eps"),
    ),
    *edits(
        "reparam/name_order.py",
        STEMS,
        ("numbers need not grow", "if natural(its) > natural(other):", "if False:"),
        ("kinds need not fit", "            if fewer > more:\n", "            if False:\n"),
    ),
    *edits(
        "reparam/name_order.py",
        STEMS,
        ("every kind is crossed", "            if fewer > more:\n", "            if True:\n"),
    ),
    *edits(
        "reparam/prefix.py",
        f"{PAIR}::test_a_prefix_that_would_make_one_tensor_of_two",
        (
            "two tensors of one name",
            "        return None  # two tensors would have one name\n",
            "        pass\n",
        ),
    ),
    *edits(
        "reparam/prefix.py",
        f"{PAIR}::test_a_prefix",
        ("no prefix", "return best if _fits(best, wanted, there) > plain else None", "return None"),
    ),
    *edits(
        "reparam/similar.py",
        DORMANT,
        (
            "biases not looked at",
            "conv.bias[row - first :][:1]]",
            "0 * conv.bias[row - first :][:1]]",
        ),
        (
            "the first channel only",
            "picks = sorted({i * outputs // ROWS for i in range(ROWS)})",
            "picks = [0]",
        ),
    ),
    *edits(
        "reparam/similar.py",
        f"{PAIR}::test_blocks_with_the_same_numbers",
        (
            "a partner of two",
            "            if i not in chosen and j not in taken:",
            "            if i not in chosen:",
        ),
    ),
    *edits(
        "reparam/similar.py",
        f"{PAIR}::test_a_layer_that_changed_beyond_recognition_is_compared_all_the_same",
        (
            "what is left stays alone",
            "return chosen | dict(zip(left, over, strict=True)) if len(left) == len(over) else chosen",
            "return chosen",
        ),
    ),
    *edits(
        "reparam/tensor_bytes.py",
        f"{PAIR}::test_files_and_arrays_are_the_same",
        (
            "readers cut as they like",
            "    left, right = _pieces(one.chunks(name)), _pieces(two.chunks(other))",
            "    left, right = one.chunks(name), two.chunks(other)",
        ),
        (
            "the last piece is lost",
            "        held = held[start:]\n    yield held",
            '        held = b""\n    yield held',
        ),
        (
            "the shorter one decides",
            "for a, b in zip_longest(left, right)",
            "for a, b in zip(list(left)[:1], right)",
        ),
    ),
    *edits(
        "reparam/arrays.py",
        f"{PAIR}::test_arrays_in_any_memory_layout",
        (
            "byte order of the array",
            'np.ascontiguousarray(values, values.dtype.newbyteorder("="))',
            "np.ascontiguousarray(values)",
        ),
    ),
    *edits(
        "reparam/neutral.py",
        PROOF,
        (
            "variance of 1 in a neutral norm",
            '"variance": 1.0 - eps',
            '"variance": 1.0',
            "test_constants[variance-0.75]",
        ),
        ("neutral norms of zeros", '{"ones": 1.0, ', "{", "test_constants[ones-1.0]"),
        (
            "dtype of a constant",
            "write.info.dtype, write.name)",
            '"float32", write.name)',
            "test_constants[ones-1.0]",
        ),
        (
            "mean of a neutral norm is 1",
            'norm.mean: "zeros"',
            'norm.mean: "ones"',
            "test_a_neutral_norm_does_nothing",
        ),
        (
            "absent gamma written",
            "for n, role in roles.items() if n}",
            "for n, role in list(roles.items())[:3] if n}",
            "test_a_neutral_norm_does_nothing",
        ),
    ),
    *edits(
        "reparam/arrays.py",
        PROOF,
        (
            "dtype with its byte order",
            "TensorInfo(a.shape, a.dtype.name) for name, a in self._arrays.items()",
            "TensorInfo(a.shape, a.dtype.str) for name, a in self._arrays.items()",
            "test_arrays_as_a_checkpoint",
        ),
        (
            "rows of an array ignored",
            "return values if rows is None else values[slice(*rows)]",
            "return values",
            "test_what_rounding_does_not_do_is_beyond_it",
        ),
        (
            "bytes as they lie",
            'np.ascontiguousarray(values, values.dtype.newbyteorder("="))',
            "values.T",
            "test_arrays_as_a_checkpoint",
        ),
        (
            "bytes in the order of the array",
            'np.ascontiguousarray(values, values.dtype.newbyteorder("="))',
            "np.ascontiguousarray(values)",
            "test_arrays_as_a_checkpoint",
        ),
    ),
    *edits(
        "reparam/tensor_bytes.py",
        PROOF,
        (
            "dtypes not compared",
            ("    if one.tensors[name] != two.tensors[other]:\n        return False\n"),
            "",
            "test_bytes_are_compared_however_readers_cut_them",
        ),
        (
            "first piece only",
            "return all(a == b for a, b in zip_longest(left, right))",
            "return next(left) == next(right)",
            "test_bytes_are_compared_however_readers_cut_them",
        ),
        (
            "one piece has to be equal",
            "return all(a == b for a, b in",
            "return any(a == b for a, b in",
            "test_bytes_are_compared_however_readers_cut_them",
        ),
        (
            "pieces as readers cut them",
            "left, right = _pieces(one.chunks(name)), _pieces(two.chunks(other))",
            "left, right = one.chunks(name), two.chunks(other)",
            "test_bytes_are_compared_however_readers_cut_them",
        ),
        (
            "rest of a piece lost",
            "        held = held[start:]\n",
            "        held = b''\n",
            "test_bytes_are_compared_however_readers_cut_them",
        ),
        (
            "digest of the last piece",
            "        summary.update(chunk)\n",
            "        summary = sha256(chunk)\n",
            "test_bytes_are_compared_however_readers_cut_them",
        ),
    ),
    *edits(
        "reparam/prefix.py",
        PROOF,
        (
            "prefix of the longer names only",
            '            elif name.endswith(f".{other}"):\n',
            "            elif False:\n",
            "test_prefixes",
        ),
        (
            "two names become one",
            (
                "    if len({_translated(name, best) for name in there}) < len(there):\n"
                "        return None"
            ),
            "    if False:\n        return None",
            "test_prefixes",
        ),
        (
            "shapes under the old names",
            "name: reader.tensors[other] for name, other in self._names.items()",
            "other: reader.tensors[other] for name, other in self._names.items()",
            "test_a_reader_under_other_names",
        ),
        (
            "prefix that is part of a name",
            'if other.endswith(f".{name}"):',
            "if other.endswith(name):",
            "test_prefixes",
        ),
        (
            "a prefix where names fit",
            "return best if _fits(best, wanted, there) > plain else None",
            "return best",
            "test_prefixes",
        ),
    ),
    *edits(
        "reparam/similar.py",
        PROOF,
        (
            "a layer is called by its weight",
            "layers.append(Layer(path, plain_op(",
            "layers.append(Layer(name, plain_op(",
            "test_layers_are_found_by_their_numbers",
        ),
        (
            "biases are layers too",
            'if role == "weight" and module and module.kind == "conv":',
            'if module and module.kind == "conv":',
            "test_a_layer_takes_its_geometry_from_its_partner",
        ),
        (
            "deploy form of a block forgotten",
            "after = self.fusion.after if self.fusion else self.op",
            "after = self.op",
            "test_a_layer_takes_its_geometry_from_its_partner",
        ),
        (
            "order of the file for all",
            "chosen = _choose(mine, alike, old, new)",
            "chosen = dict(zip(range(len(mine)), range(len(alike)), strict=False))",
            "test_layers_are_found_by_their_numbers",
        ),
        (
            "geometry of the first layer",
            "pairs += [(mine[i], _shaped(theirs[j], mine[i])) for",
            "pairs += [(mine[i], theirs[j]) for",
            "test_a_layer_takes_its_geometry_from_its_partner",
        ),
        (
            "an axis more",
            "rank = len(shape) - 2",
            "rank = len(shape) - 1",
            "test_layers_are_found_by_their_numbers",
        ),
    ),
    *edits(
        "reparam/similar.py",
        PAIR,
        (
            "one partner for many",
            "if i not in chosen and j not in taken:",
            "if i not in chosen:",
            "test_blocks_with_dormant_channels_under_names_of_another_order[roles1-channels3]",
        ),
    ),
    *edits(
        "reparam/name_order.py",
        PAIR,
        (
            "order of equal layers",
            "if not alike(after, other)}",
            "}",
            "test_blocks_with_the_same_numbers",
        ),
        (
            "crossed names forgotten",
            "found = _falling(renamed) | _crossed(renamed, shapes)",
            "found = _falling(renamed)",
            "test_blocks_exchanged_under_the_names_of_another_spelling[stem-stages.0.0]",
        ),
        (
            "numbers that fall forgotten",
            "found = _falling(renamed) | _crossed(renamed, shapes)",
            "found = _crossed(renamed, shapes)",
            "test_blocks_exchanged_under_the_names_of_another_spelling[stages.0.0-stages.0.1]",
        ),
    ),
    *edits(
        "reparam/pairing.py",
        PAIR,
        (
            "layers of the same name told as renamed",
            "{p.name: p.path for p in self.pairs if p.name != p.path}",
            "{p.name: p.path for p in self.pairs}",
            "test_a_prefix",
        ),
    ),
    *edits(
        "reparam/stored.py",
        CERT,
        (
            "drift of a neutral norm forgotten",
            "return None if self._drift is None else",
            "return None if True else",
            "test_the_bound_covers_what_is_left_of_a_neutral_norm",
        ),
    ),
]
