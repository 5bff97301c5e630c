"""Which tensors of two files belong together."""

# ruff: noqa: E501  edits of long lines are long

from mutants.record import edits

PAIR = "tests/test_pairing.py"
VERIFY = "tests/test_verify.py"
LOST = f"{PAIR}::test_no_tensor_of_the_deploy_form_may_be_lost_added_or_altered"
ALTERED = f"{PAIR}::test_no_tensor_of_a_train_form_may_be_lost_added_or_altered"
STEMS = f"{PAIR}::test_blocks_exchanged_under_the_names_of_another_spelling"
DORMANT = f"{PAIR}::test_blocks_with_dormant_channels_under_names_of_another_order"
PROOF_TESTS = "tests/test_proof.py"
PAIRING_TESTS = "tests/test_pairing.py"

MUTANTS = [
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
            "self.found.missing += away",
            "pass",
        ),
        (
            "missing blocks forgotten",
            "self.found.lost = {f.name: f.kernel.name for f in lost}",
            "pass",
        ),
        (
            "shapes not compared",
            "if here[name].shape != shape or here[name].dtype not in FORMATS:",
            "if False:",
        ),
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
            "return [n for n in names if not only_for_training(n)]",
            "return list(names)",
        ),
    ),
    *edits(
        "reparam/pairing.py",
        f"{PAIR}::test_counters_of_one_file_are_told",
        (
            "counters are not told",
            "self.found.counters += [n for n in names if only_for_training(n)]",
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
            "self.found.disordered = disorder(self.found.renamed, shapes, self._alike)",
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
        ("kinds need not fit", "if fewer > more or better > worse:", "if False:"),
    ),
    *edits(
        "reparam/name_order.py",
        STEMS,
        ("every kind is crossed", "if fewer > more or better > worse:", "if True:"),
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
        "reparam/similar.py",
        PROOF_TESTS,
        (
            "a layer is called by its weight",
            "layers.append(Layer(path, plain_op(",
            "layers.append(Layer(name, plain_op(",
            "test_layers_are_found_by_their_numbers",
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
        (
            "biases are layers too",
            'if role == "weight" and module and module.kind == "conv" and known:',
            'if module and module.kind == "conv" and known:',
            "test_a_layer_takes_its_geometry_from_its_partner",
        ),
    ),
    *edits(
        "reparam/similar.py",
        PAIRING_TESTS,
        (
            "one partner for many",
            "if i not in chosen and j not in taken:",
            "if i not in chosen:",
            "test_blocks_with_dormant_channels_under_names_of_another_order[roles1-channels3]",
        ),
    ),
    *edits(
        "reparam/name_order.py",
        PAIRING_TESTS,
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
        PAIRING_TESTS,
        (
            "layers of the same name told as renamed",
            "{p.name: p.path for p in self.pairs if p.name != p.path}",
            "{p.name: p.path for p in self.pairs}",
            "test_a_prefix[repvgg / timm]",
        ),
    ),
]
