"""Certificates: grades, bounds and what of a block is taken as it is stored."""

# ruff: noqa: E501  edits of long lines are long

from mutants.record import edits

CERT = "tests/test_certificate.py"
VERIFY = "tests/test_verify.py"
BOUND = f"{CERT}::test_no_input_exceeds_the_bound_and_a_pattern_of_signs_attains_it"
RHO = f"{CERT}::test_rho_bounds_the_relative_difference_for_every_size_of_input"
PAIRS = f"{CERT}::test_identical_means_every_number_is_the_nearest_one"
GRADES = f"{CERT}::test_the_grade_follows_from_the_exact_distances"
TOOLS = f"{CERT}::test_arithmetic_in_the_dtype_of_storage_is_within"
NEUTRAL = f"{CERT}::test_the_bound_covers_what_is_left_of_a_neutral_norm"
SLABS = f"{CERT}::test_slabs_say_what_the_whole_says"
TRAIN = f"{CERT}::test_a_train_form_with_other_numbers"

MUTANTS = [
    *edits(
        "reparam/certificate.py",
        BOUND,
        (
            "bias left out of C",
            "self.bound = max(self.bound, _largest(spread + shift))",
            "self.bound = max(self.bound, _largest(spread))",
        ),
        (
            "C of the last slab",
            "self.bound = max(self.bound, _largest(spread + shift))",
            "self.bound = _largest(spread + shift) * 0.5",
        ),
        (
            "mean instead of the largest output",
            "    largest = float(values.max(initial=0.0))",
            "    largest = float(values.mean())",
        ),
        (
            "differences with their signs",
            "gap = np.abs(numbers.got - numbers.exact)",
            "gap = numbers.got - numbers.exact",
        ),
        (
            "largest weight instead of the sum",
            "total: Array = turned.reshape(len(turned), -1).sum(axis=1)",
            "total: Array = turned.reshape(len(turned), -1).max(axis=1)",
        ),
        (
            "outputs of transposed kernels",
            "turned = outputs_first(kernel, exact)",
            "turned = kernel",
        ),
    ),
    *edits(
        "reparam/certificate.py",
        RHO,
        (
            "rho at size 1 only",
            (
                "        rho = max(\n"
                "            _ratio(bound, self.kernel_range + self.bias_range), _ratio(spread, self.kernel_range)\n"
                "        )"
            ),
            "        rho = _ratio(bound, self.kernel_range + self.bias_range)",
        ),
        (
            "rho without the bias",
            "_ratio(bound, self.kernel_range + self.bias_range)",
            "_ratio(bound, self.kernel_range)",
        ),
        (
            "range of the weights with signs",
            "per_output(np.abs(exact.kernel))",
            "np.abs(per_output(exact.kernel))",
        ),
    ),
    *edits(
        "reparam/certificate.py",
        PAIRS,
        (
            "nothing is identical",
            "return self.folder.settle(exact, self.stored.dtypes, rows)",
            "return None",
        ),
        (
            "close is identical",
            "np.array_equal(nearest.astype(np.float64), numbers.got)",
            "np.allclose(nearest.astype(np.float64), numbers.got, rtol=1e-7, atol=0)",
        ),
        ("pairs need a proof", "sure = self.pair or not", "sure = not"),
    ),
    *edits(
        "reparam/certificate.py",
        GRADES,
        (
            "everything is within",
            "grade = Grade.DIFFERENT if wrong.any() else Grade.WITHIN",
            "grade = Grade.WITHIN",
        ),
        (
            "one number too few",
            "self.off += int((score > 1).sum())",
            "self.off = int((score > 1).sum())",
        ),
        ("the last tensor decides", "if (grade, high) > (self.grade, self.score):", "if True:"),
    ),
    *edits(
        "reparam/rounding.py",
        GRADES,
        ("a whole unit is rounding", "power *= form.epsilon / 2", "power *= form.epsilon"),
        (
            "relative half unit",
            "power: Array = (values.view(np.int64) & 0x7FF0000000000000).view(np.float64)",
            "power: Array = np.abs(values) * 2",
        ),
    ),
    *edits(
        "reparam/rounding.py",
        f"{CERT}::test_subnormal_and_vanished_results",
        (
            "half units of subnormals shrink",
            "    np.maximum(power, form.smallest_normal, out=power)\n",
            "",
        ),
    ),
    *edits(
        "reparam/certificate.py",
        TOOLS,
        (
            "what tools may round is forgotten",
            "limit += numbers.size * ((self.theirs + 1) * unit)",
            "limit += numbers.size * unit",
        ),
        (
            "relative to the number",
            "limit += numbers.size * (",
            "limit += np.abs(numbers.exact) * (",
        ),
    ),
    *edits(
        "reparam/certificate.py",
        f"{CERT}::test_a_kernel_scaled_by_a_millionth_is_different",
        (
            "tools may round more",
            "((self.theirs + 1) * unit)",
            "((self.theirs + 12) * unit)",
        ),
    ),
    *edits(
        "reparam/certificate.py",
        f"{CERT}::test_one_unit_is_found_and_located",
        ("ulp in half units", "unit = 2 * float(half_unit", "unit = float(half_unit"),
        (
            "relative to the number itself",
            "relative = gap / size if size",
            "relative = gap / abs(expected) if size",
        ),
        (
            "found and expected exchanged",
            "for v in (self.got, self.exact, self.size)",
            "for v in (self.exact, self.got, self.size)",
        ),
    ),
    *edits(
        "reparam/certificate.py",
        SLABS,
        ("index within the slab", "where = (index[0] + self.start, *index[1:])", "where = index"),
        (
            "rows of a transposed kernel",
            "starts = (0 if exact.transposed else rows[0]), rows[0]",
            "starts = rows[0], 0",
        ),
        ("only the first slab", "        if number == most:\n", "        if number == 1:\n"),
    ),
    *edits(
        "reparam/certificate.py",
        f"{CERT}::test_the_worst_number_of_any_slab",
        ("any number of slabs", "        if number == most:\n", "        if False:\n"),
        (
            "the first bad number is the worst",
            "if (grade, high) > (self.grade, self.score):",
            "if grade > self.grade:",
        ),
    ),
    *edits(
        "reparam/certificate.py",
        f"{CERT}::test_a_different_number_is_shown_before_one_that_only_rounds_badly",
        (
            "the number that rounds worst is shown",
            "place = int(np.where(wrong, score, 0.0).argmax())",
            "pass",
        ),
    ),
    *edits(
        "reparam/certificate.py",
        f"{CERT}::test_what_is_not_finite_is_located",
        ("NaN is a number", "if strange.any():", "if False:"),
    ),
    *edits(
        "reparam/certificate.py",
        f"{CERT}::test_other_shapes",
        (
            "shapes are not compared",
            "    if kernel_shape(op) != kernel_shape(after_op):",
            "    if False:",
        ),
    ),
    *edits(
        "reparam/certificate.py",
        f"{CERT}::test_a_block_that_is_zero",
        ("nothing of nothing", "    if part == 0:\n        return 0.0\n", ""),
    ),
    *edits(
        "reparam/certificate.py",
        f"{VERIFY}::test_numbers_beyond_all_bounds",
        (
            "infinity is a number",
            "return part / whole if whole and math.isfinite(part) else math.inf",
            "return part / whole if whole and math.isfinite(part) else 0.0",
        ),
    ),
    *edits(
        "reparam/certificate.py",
        NEUTRAL,
        ("drift of a neutral norm", "        if drift is not None:\n", "        if False:\n"),
        (
            "drift of the difference only",
            "spread = spread + drift * (ranges + spread)",
            "spread = spread + drift * spread",
        ),
    ),
    *edits(
        "reparam/certificate.py",
        f"{CERT}::test_one_unit_in_a_small_weight_of_a_train_form",
        (
            "a folded block counts as rounded",
            'rounded = form if self.stored.plain else FORMATS["float64"]',
            "rounded = form",
        ),
    ),
    *edits(
        "reparam/certificate.py",
        f"{CERT}::test_a_train_form_in_another_dtype",
        (
            "terms of a folded block",
            "return conv.kernel + kernel, conv.bias + bias",
            "return 0 * kernel, 0 * bias",
        ),
    ),
    *edits(
        "reparam/certificate.py",
        f"{CERT}::test_what_float64_cannot_decide_is_not_called_identical",
        (
            "no Ziv test",
            "sure = self.pair or not self.stored.plain or _proved(numbers, noise)",
            "sure = True",
        ),
        ("one side of the Ziv test", "for s in (-1, 1)]", "for s in (-1, -1)]"),
        (
            "ends no farther than their own rounding",
            "numbers.exact + 3 * s * noise",
            "numbers.exact + 0 * s * noise",
        ),
    ),
    *edits(
        "reparam/bounds.py",
        f"{CERT}::test_how_many_roundings",
        ("no sum of branches", "+ len(terms) - 1", ""),
        (
            "no products of a sequence",
            "return total + sum(map(_products, steps[1:]))",
            "return total",
        ),
        ("taps of a sequence", "return math.prod(shape[1:]) + 1", "return shape[1] + 1"),
        (
            "branches one after the other",
            "max(roundings(t, norm) for _, t in terms)",
            "sum(roundings(t, norm) for _, t in terms)",
        ),
    ),
    *edits(
        "reparam/bounds.py",
        f"{CERT}::test_the_sums_of_terms",
        (
            "variances negated",
            "values if name in variances else np.abs(values)",
            "np.abs(values) * 0.5",
        ),
        ("means not negated", "return -size if name in means else size", "return size"),
        (
            "minus stays",
            "ops.SumOp(tuple((1, positive(t)) for _, t in terms))",
            "ops.SumOp(tuple((s, positive(t)) for s, t in terms))",
        ),
        ("a negative number stays", "return replace(op, value=abs(value))", "return op"),
        (
            "steps of a sequence stay",
            "return replace(op, steps=tuple(positive(s) for s in steps))",
            "return op",
        ),
    ),
    *edits(
        "reparam/bounds.py",
        TOOLS,
        ("one rounding of a norm", "THEIRS = 7", "THEIRS = 0"),
    ),
]
