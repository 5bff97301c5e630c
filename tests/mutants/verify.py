"""Comparing two files, and what is said of them."""

# ruff: noqa: E501  edits of long lines are long

from mutants.record import edits

RUNNING = "tests/test_running.py"
PAIR = "tests/test_pairing.py"
VERIFY = "tests/test_verify.py"
LOST = f"{PAIR}::test_no_tensor_of_the_deploy_form_may_be_lost_added_or_altered"
ALTERED = f"{PAIR}::test_no_tensor_of_a_train_form_may_be_lost_added_or_altered"
PROOF_TESTS = "tests/test_proof.py"
VERIFY_TESTS = "tests/test_verify.py"

MUTANTS = [
    *edits(
        "reparam/commands.py",
        RUNNING,
        (
            "verify: the run does not count",
            "return 0 if report.ok and (ran is None or ran.ok) else 1",
            "return 0 if report.ok else 1",
        ),
        (
            "verify: the weights do not count with a run",
            "return 0 if report.ok and (ran is None or ran.ok) else 1",
            "return 0 if (report.ok if ran is None else ran.ok) else 1",
        ),
        (
            "verify: size for a state dict's header",
            'None if options.run == "torch" else options.input_size',
            "options.input_size",
        ),
        ("verify: run without renamed layers", "renamed=report.renamed,", "renamed=None,"),
    ),
    *edits(
        "reparam/comparison.py",
        LOST,
        (
            "copies are not compared",
            "            if same_bytes(self.old, before, self.new, after):\n",
            "            if True:\n",
        ),
    ),
    *edits(
        "reparam/comparison.py",
        ALTERED,
        (
            "a train form need not be the same bytes",
            "if pair.fusion and pair.op == pair.after and self._unchanged(pair.fusion.reads):",
            "if pair.fusion and pair.op == pair.after:",
        ),
    ),
    *edits(
        "reparam/comparison.py",
        f"{VERIFY}::test_tensors_that_are_no_layers_may_be_rounded",
        (
            "another dtype is another tensor",
            "        if np.array_equal(wanted, stored):\n",
            "        if False:\n",
        ),
        (
            "converted tensors are taken as they are",
            "        if np.array_equal(wanted, stored):\n",
            "        if True:\n",
        ),
    ),
    *edits(
        "reparam/comparison.py",
        f"{VERIFY}::test_a_head_bias_and_its_kernel",
        (
            "layers without norms are not graded",
            "            elif before == after and (path := self._layer(before, names)):",
            "            elif False and (path := self._layer(before, names)):",
        ),
        (
            "what differs is no problem",
            "        if found.grade is Grade.DIFFERENT:\n            self.problems",
            "        if False:\n            self.problems",
        ),
    ),
    *edits(
        "reparam/comparison.py",
        f"{PAIR}::test_a_bias_that_is_missing_and_zero",
        (
            "a missing bias is not called so",
            'what.append(f"missing: {name}',
            'what.append(f"{name}',
        ),
    ),
    *edits(
        "reparam/verifying.py",
        f"{VERIFY}::test_digests_tell_which_files_were_compared",
        (
            "digests of the other file",
            'files = {"before": before, "after": after}',
            'files = {"before": after, "after": before}',
        ),
    ),
    *edits(
        "reparam/verify_report.py",
        f"{VERIFY}::test_what_the_user_accepts",
        (
            "within rho is ok",
            "return self.grade is Grade.WITHIN and self.max_rho is not None and not self.over",
            "return self.grade is Grade.WITHIN and self.max_rho is not None",
        ),
        ("rho must be less", "not b.rho <= most", "not b.rho < most"),
    ),
    *edits(
        "reparam/verify_report.py",
        f"{VERIFY}::test_differences_are_never_accepted",
        (
            "the user accepts everything",
            "return self.grade is Grade.WITHIN and self.max_rho is not None and not self.over",
            "return self.max_rho is not None and not self.over",
        ),
    ),
    *edits(
        "reparam/verify_report.py",
        f"{VERIFY}::test_extra_tensor",
        (
            "problems do not count",
            "        if self.problems:\n            return Grade.DIFFERENT\n",
            "",
        ),
    ),
    *edits(
        "reparam/verify_report.py",
        f"{VERIFY}::test_tensors_that_are_no_layers_may_be_rounded",
        (
            "rounded tensors are identical",
            "least = Grade.ROUNDING if self.converted else Grade.IDENTICAL",
            "least = Grade.IDENTICAL",
        ),
    ),
    *edits(
        "reparam/verify_report.py",
        f"{VERIFY}::test_the_network_bound_is_attained",
        (
            "to first order",
            "return math.expm1(exponent) if bounded else math.inf",
            "return self.rho",
        ),
        (
            "the largest rho",
            "return math.expm1(exponent) if bounded else math.inf",
            "return max(b.rho for b in self.blocks)",
        ),
    ),
    *edits(
        "reparam/verify_report.py",
        f"{VERIFY}::test_not_finite",
        ("infinity in JSON", "return value if math.isfinite(value) else None", "return value"),
    ),
    *edits(
        "reparam/verify_text.py",
        f"{VERIFY}::test_long_lists_are_cut",
        (
            "the best blocks are shown",
            "key=lambda b: (-b.grade, -b.rho)",
            "key=lambda b: (b.grade, b.rho)",
        ),
        (
            "all differences are shown",
            "for difference in report.problems[:shown]]",
            "for difference in report.problems]",
        ),
    ),
    *edits(
        "reparam/verify_report.py",
        f"{VERIFY}::test_our_own_output",
        (
            "the smallest C",
            "return max((block.bound for block in self.blocks), default=0.0)",
            "return min((block.bound for block in self.blocks), default=0.0)",
        ),
    ),
    *edits(
        "reparam/commands.py",
        f"{VERIFY}::test_exit_codes",
        ("exit code of a difference", "return 0 if report.ok and", "return 0 if True and"),
        ("max-rho not handed on", "        max_rho=options.max_rho,\n", ""),
    ),
    *edits(
        "reparam/verifying.py",
        f"{PAIR}::test_a_deploy_form_as_before",
        (
            "a train form may come second",
            "    if theirs is not None and (deployed or theirs.outputs.keys() == old.tensors.keys()):\n",
            "    if False:\n",
        ),
    ),
    *edits(
        "reparam/verifying.py",
        f"{VERIFY}::test_what_the_user_accepts",
        (
            "any max_rho",
            "    if max_rho is not None and not (_is_number(max_rho) and 0 <= max_rho < math.inf):\n",
            "    if False:\n",
        ),
    ),
    *edits(
        "reparam/verifying.py",
        f"{VERIFY}::test_wrong_eps",
        (
            "eps not handed on",
            "plan = _plan(old, recipe, eps, hints,",
            "plan = _plan(old, recipe, None, hints,",
        ),
    ),
    *edits(
        "reparam/proof.py",
        PROOF_TESTS,
        (
            "probes of positive numbers only",
            "return (unit - 1.0).reshape(size)",
            "return (unit / 2).reshape(size)",
            "test_probes_lie_on_both_sides_and_differ_from_block_to_block",
        ),
        (
            "probe of one channel",
            "size = (1, ops.inputs(fusion.op), *probe_size(fusion.op))",
            "size = (1, 1, *probe_size(fusion.op))",
            "test_probes_lie_on_both_sides_and_differ_from_block_to_block",
        ),
        (
            "any difference is rounding",
            "return float((difference / bound).max(initial=0.0))",
            "return float((difference / bound).min(initial=1.0))",
            "test_what_rounding_does_not_do_is_beyond_it",
        ),
        (
            "NaN is no difference",
            (
                "    if not (np.isfinite(difference).all() and np.isfinite(bound).all()):\n"
                "        return math.inf\n"
            ),
            "",
            "test_what_rounding_does_not_do_is_beyond_it",
        ),
        (
            "all rows compared",
            (
                "    wanted = run(fusion.op, before, x, rows)\n"
                "    got = run(fusion.after, after, x, rows)\n"
            ),
            ("    wanted = run(fusion.op, before, x)\n    got = run(fusion.after, after, x)\n"),
            "test_what_rounding_does_not_do_is_beyond_it",
        ),
        (
            "one probe for all blocks",
            "random_bits(fusion.name, ",
            "random_bits('', ",
            "test_probes_lie_on_both_sides_and_differ_from_block_to_block",
        ),
    ),
    *edits(
        "reparam/comparison.py",
        PROOF_TESTS,
        (
            "why nothing can be fused is not told",
            "self.notes = [] if plan.fusions else list(plan.notes)",
            "self.notes = []",
            "test_two_deploy_forms_are_compared_layer_by_layer",
        ),
    ),
    *edits(
        "reparam/random_bits.py",
        PROOF_TESTS,
        (
            "bits not mixed",
            "    bits ^= bits >> np.uint64(31)\n",
            "    bits = counter\n",
            "test_probes_lie_on_both_sides_and_differ_from_block_to_block",
        ),
        (
            "the same bits for every name",
            "zlib.crc32(name.encode())",
            "0",
            "test_probes_lie_on_both_sides_and_differ_from_block_to_block",
        ),
    ),
    *edits(
        "reparam/verify_report.py",
        VERIFY_TESTS,
        (
            "grade of the best block",
            "return max([least, *(block.grade for block in self.blocks)])",
            "return min([least, *(block.grade for block in self.blocks)])",
            "test_one_unit_in_the_last_place_of_one_weight",
        ),
        (
            "within is fine",
            "        if self.grade <= Grade.ROUNDING:\n",
            "        if self.grade <= Grade.WITHIN:\n",
            "test_one_unit_in_the_last_place_of_one_weight",
        ),
        (
            "rho itself not accepted",
            "not b.rho <= most)",
            "not b.rho < most)",
            "test_what_the_user_accepts",
        ),
        (
            "different accepted",
            "return self.grade is Grade.WITHIN and self.max_rho",
            "return self.max_rho",
            "test_a_head_bias_and_its_kernel",
        ),
        (
            "largest rho for the sum",
            "else sum(block.rho for block in self.blocks)",
            "else max((block.rho for block in self.blocks), default=0.0)",
            "test_our_own_output",
        ),
        (
            "causes not listed",
            "            if block.cause:\n",
            "            if False:\n",
            "test_causes_are_listed",
        ),
        (
            "blocks that are not accepted not listed",
            "unaccepted = dict.fromkeys(self.over)",
            "unaccepted = dict.fromkeys([])",
            "test_one_unit_in_the_last_place_of_one_weight[index0-1]",
        ),
        (
            "blocks left out of the JSON",
            '"blocks": [_block(block) for block in self.blocks]',
            '"blocks": []',
            "test_the_report_as_json",
        ),
    ),
    *edits(
        "reparam/verify_report.py",
        "tests/test_keras_output.py",
        (
            "what a graph tells is assumed",
            "return NOT_COMPARED if MODEL_CONFIG in self.plan.recipes else NOT_COVERED",
            "return NOT_COVERED",
            "test_what_a_graph_tells_is_not_assumed",
        ),
    ),
    *edits(
        "reparam/verify_report.py",
        f"{VERIFY}::test_what_no_certificate_covers_leaves_the_network_without_a_bound",
        (
            "network of blocks only",
            "bounded = exponent < MOST_EXPONENT and not self.uncertified",
            "bounded = exponent < MOST_EXPONENT",
        ),
        ("sum of blocks only", "return math.inf if self.uncertified else sum", "return sum"),
        ("C of blocks only", "        if self.uncertified:\n", "        if False:\n"),
    ),
    *edits(
        "reparam/verify_text.py",
        f"{VERIFY}::test_what_no_certificate_covers_leaves_the_network_without_a_bound",
        ("a missing bound not told", "    elif report.uncertified:\n", "    elif False:\n"),
    ),
    *edits(
        "reparam/comparison.py",
        VERIFY_TESTS,
        (
            "NaN in both files not told",
            "                self._finite(before)\n",
            "",
            "test_what_is_not_finite_in_both_files_is_told",
        ),
        (
            "rounded tables are in a certificate",
            "            self.uncertified.append(after)\n",
            "",
            "test_what_no_certificate_covers_leaves_the_network_without_a_bound[a table rounded]",
        ),
        (
            "broken blocks behind all others",
            "        self.blocks.sort(key=lambda block: order.get(block.name, len(order)))\n",
            "",
            "test_blocks_that_cannot_be_compared_are_blocks_all_the_same[and another layer]",
        ),
        (
            "broken blocks are none",
            "            self.blocks.append(broken(block, what))\n",
            "",
            "test_blocks_that_cannot_be_compared_are_blocks_all_the_same",
        ),
    ),
    *edits(
        "reparam/grades.py",
        VERIFY_TESTS,
        (
            "place of a scalar",
            ' if self.index else ""',
            "",
            "test_a_number_without_axes_has_no_place",
        ),
        (
            "one number are",
            'are = "is" if self.off == 1 else "are"',
            'are = "are"',
            "test_one_unit_in_the_last_place_of_one_weight[index0-1]",
        ),
    ),
    *edits(
        "reparam/verifying.py",
        VERIFY_TESTS,
        (
            "both sides called AFTER",
            '_label(before, "BEFORE")',
            '_label(before, "AFTER")',
            "test_arrays_are_told_apart",
        ),
    ),
    *edits(
        "reparam/verifying.py",
        f"{PAIR}::test_empty_files",
        ("nothing compared is equal", "if not (old.tensors or new.tensors):", "if False:"),
    ),
]
