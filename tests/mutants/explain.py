"""Which known mistake explains the numbers of a block."""

from mutants.record import edits

M = "tests/test_mistakes.py"
EPS = f"{M}::test_eps"
FACTOR = f"{M}::test_another_divisor_of_the_variance"
NARROW = f"{M}::test_narrow_arithmetic"
NOT = f"{M}::test_what_is_no_mistake_is_not_named"
TIES = f"{M}::test_what_cannot_be_told_apart_is_named_together"
PROOF_TESTS = "tests/test_proof.py"
MISTAKES_TESTS = "tests/test_mistakes.py"

MUTANTS = [
    *edits(
        "reparam/fits.py",
        EPS,
        ("no newton step", "new = value + self._newton", "new = value + 0 * self._newton"),
        ("slope of the other sign", "- here) / step", "+ here) / step"),
    ),
    *edits(
        "reparam/fits.py",
        FACTOR,
        (
            "interval is one weight's",
            "high = float((middle + width).min(",
            "high = float((middle + width).max(",
        ),
    ),
    *edits(
        "reparam/fits.py",
        f"{M}::test_how_well_a_count_is_known",
        (
            "interval too narrow",
            "low = float((middle - width).max(",
            "low = float((middle + width).max(",
        ),
        ("few weights only", "NUMBERS = 1 << 17", "NUMBERS = 1 << 5"),
        (
            "only what is exact is fitted",
            "return found if found or self.exact else more.estimate(family, value, slope)",
            "return found",
        ),
    ),
    *edits(
        "reparam/fits.py",
        f"{M}::test_float16_throughout",
        (
            "scatter taken for float32's",
            "spread = max(float((scatter**2).sum()), float((least**2).sum()))",
            "spread = float((least**2).sum())",
        ),
    ),
    *edits(
        "reparam/screen.py",
        MISTAKES_TESTS,
        (
            "what float32 explains is proved",
            "return certificate.grade <= Grade.ROUNDING",
            "return certificate.grade <= Grade.WITHIN",
            "test_what_explains_other_blocks_is_not_all_that_is_tried",
        ),
    ),
    *edits(
        "reparam/explain.py",
        MISTAKES_TESTS,
        (
            "one rounding taken for another eps",
            "or (within and not varied):",
            "or False:",
            "test_one_rounding_of_a_scale_that_channels_share_is_no_mistake",
        ),
        (
            "channels that are off tell something",
            "np.unique([var[gamma != 0], gamma[gamma != 0]], axis=1)",
            "np.unique([var, gamma], axis=1)",
            "test_how_many_channels_have_a_scale_of_their_own",
        ),
        (
            "a fit beside the usual constant",
            "if not found or (varied and not known and not _any_proved(found)):",
            "if not _any_proved(found):",
            "test_of_channels_that_share_a_scale_the_usual_constant_is_named",
        ),
        (
            "what explains other blocks is final",
            "if known and (enough or (varied and _any_proved(known))):",
            "if known:",
            "test_what_explains_other_blocks_is_not_all_that_is_tried",
        ),
        (
            "everything is tried in every block",
            "if known and (enough or (varied and _any_proved(known))):",
            "if known and varied and _any_proved(known):",
            "test_what_explains_other_blocks_is_not_all_that_is_tried",
        ),
        (
            "other blocks not asked",
            "common = [text for text in texts if counts[text] == most]",
            "common = list(texts)",
            "test_what_most_blocks_share_is_meant_in_each",
        ),
        (
            "the luckiest is named",
            "room = math.log(ALIKE) * math.sqrt(most)",
            "room = 0.0",
            "test_what_is_alike_in_all_blocks_is_named_together",
        ),
        (
            "luck adds up in every block",
            "room = math.log(ALIKE) * math.sqrt(most)",
            "room = math.log(ALIKE) * most",
            "test_what_is_alike_in_all_blocks_is_named_together",
        ),
        (
            "arithmetic in its own dtype called narrower",
            "    if found or within:\n",
            "    if found:\n",
            "test_arithmetic_in_the_stored_dtype_is_no_mistake[grouped repvgg-float16]",
        ),
    ),
    *edits(
        "reparam/fits.py",
        f"{M}::test_the_shortest_decimal",
        (
            "ends of an interval left out",
            "if low <= value <= high:\n            return value",
            "if low < value < high:\n            return value",
        ),
        ("one digit too many", "for digits in range(17):", "for digits in range(1, 17):"),
    ),
    *edits(
        "reparam/narrow.py",
        NARROW,
        (
            "bfloat16 taken for float16",
            'NARROW = ("bfloat16", "float16")',
            'NARROW = ("float16", "bfloat16")',
        ),
        (
            "scale not rounded",
            "return round_to(values, dtype, norm.var).astype(np.float64)",
            "return values",
        ),
        ("bias not among the kernels", "bias=maybe(leaf.bias)),)", "bias=leaf.bias),)"),
        ("variance not among the inputs", "var=rounded(leaf.var))", "var=leaf.var)"),
        ("arithmetic taken for rounding", "if steps <= 1:", "if steps <= 9:"),
        (
            "rounding taken for arithmetic",
            "need = np.where(once, 1.0, np.maximum(gap / unit, 1.5))",
            "need = np.maximum(gap / unit, 1.5)",
        ),
    ),
    *edits(
        "reparam/narrow.py",
        f"{M}::test_scales_near_a_tie_are_rounded_as_the_tool_computed_them",
        (
            "scale rounded from float64 only",
            "for computed in (np.float64, np.float32):",
            "for computed in (np.float64,):",
        ),
        (
            "scale rounded from float32 only",
            "for computed in (np.float64, np.float32):",
            "for computed in (np.float32,):",
        ),
    ),
    *edits(
        "reparam/narrow.py",
        f"{M}::test_an_edit_of_numbers_that_float16_holds_is_not_its_arithmetic",
        (
            "numbers that are narrow by nature",
            "return most if 2 * touched > total else np.inf",
            "return most",
        ),
    ),
    *edits(
        "reparam/narrow.py",
        NOT,
        ("any number of steps", "if steps <= roundings(op, THEIRS) + INPUTS:", "if True:"),
    ),
    *edits(
        "reparam/mistakes.py",
        FACTOR,
        ("n/(n-1) taken for (n-1)/n", "up = found.low > 1", "up = found.low < 1"),
        ("n one too small", "count = math.ceil(low)", "count = math.ceil(low) - 1"),
        ("any n", "if count > high or count < 2", "if count < 2"),
    ),
    *edits(
        "reparam/mistakes.py",
        f"{M}::test_how_well_a_count_is_known",
        ("n told exactly", "exact = count + 1 > high", "exact = True"),
    ),
    *edits(
        "reparam/mistakes.py",
        f"{M}::test_a_constant_as_float32_holds_it",
        ("a constant said twice", " and not any(map(found.holds, said))", ""),
    ),
    *edits(
        "reparam/mistakes.py",
        f"{M}::test_candidates_fold_or_are_refused",
        ("the right block is a candidate", "seen = {op}", "seen: set[Operation] = set()"),
    ),
    *edits(
        "reparam/explain.py",
        f"{M}::test_the_certificate_of_the_right_fold_may_be_given",
        (
            "an identical block explained",
            "if right.grade <= Grade.ROUNDING or right.reason or",
            "if right.reason or",
        ),
        (
            "a broken block explained",
            "if right.grade <= Grade.ROUNDING or right.reason or",
            "if right.grade <= Grade.ROUNDING or",
        ),
    ),
    *edits(
        "reparam/screen.py",
        NOT,
        (
            "no better than the right fold",
            "return better and certificate.bound <= CLEARLY * right.bound",
            "return True",
        ),
        ("only a few rows compared", "for most in (1, None):", "for most in ():"),
    ),
    *edits(
        "reparam/screen.py",
        f"{M}::test_a_constant_as_float32_holds_it",
        (
            "what rounding explains is not explained",
            "loose = right.grade == Grade.DIFFERENT",
            "loose = False; return",
        ),
    ),
    *edits(
        "reparam/explain.py",
        f"{M}::test_other_dtypes_of_the_result",
        (
            "a fit preferred to a known constant",
            "if fixed and _least(fixed) <= ALIKE * _least(found):",
            "if False:",
        ),
    ),
    *edits(
        "reparam/screen.py",
        f"{M}::test_other_dtypes_of_the_result",
        (
            "units of the stored dtype",
            "FORMATS[arithmetic(dtype)].epsilon if loose",
            "form.epsilon if loose",
        ),
    ),
    *edits(
        "reparam/explain.py",
        f"{M}::test_no_more_than_three_are_named",
        ("all of them named", "[*texts[:MOST_NAMES], *more]", "texts"),
    ),
    *edits(
        "reparam/explain.py",
        TIES,
        (
            "only the first named",
            'return " or ".join([*texts[:MOST_NAMES], *more])',
            'return next(iter(texts), "")',
        ),
    ),
    *edits(
        "reparam/screen.py",
        f"{M}::test_statistics_taken_wrongly",
        (
            "every weight has to be near at once",
            "self.share = 0.5 if loose else 0.95",
            "self.share = 1.0 if loose else 0.95",
        ),
        (
            "rows from somewhere else",
            "start = min(self.worst // unit * unit, total - length)",
            "start = total",
        ),
    ),
    *edits(
        "reparam/mistakes.py",
        MISTAKES_TESTS,
        (
            "narrow dtypes not looked for",
            "        for text in narrowing(op, before, target, after):\n",
            "        for text in ():\n",
            "test_narrow_arithmetic[Half pair float64: and then rounded to float16]",
        ),
        (
            "eps as float32 holds it not looked for",
            "    for text, mistaken in eps_in_float32(op):\n",
            "    for text, mistaken in ():\n",
            "test_a_constant_as_float32_holds_it",
        ),
    ),
    *edits(
        "reparam/fits.py",
        MISTAKES_TESTS,
        (
            "everything fits",
            "return self.low <= value <= self.high",
            "return True",
            "test_eps[OtherEps pair float64: with eps=2.5e-05]",
        ),
        (
            "nothing fits",
            "return self.low <= value <= self.high",
            "return False",
            "test_a_constant_as_float32_holds_it",
        ),
        (
            "misfit with its sign",
            "return float((((kernel - self._kernel) * self._weights) ** 2).sum())",
            "return float(((kernel - self._kernel) * self._weights).sum())",
            "test_eps[OtherEps pair float32: with eps=2.5e-05]",
        ),
        (
            "nothing is near",
            "return self.misfit(op) <= self._kernel.size * (NEAR * self._epsilon) ** 2",
            "return False",
            "test_eps[OtherEps pair float64: with eps=2.5e-05]",
        ),
        (
            "precision of AFTER taken for exact",
            "self._epsilon = FORMATS[arithmetic(stored.dtypes[0])].epsilon",
            "self._epsilon = 0.0",
            "test_eps[OtherEps pair float64: with eps=2.5e-05]",
        ),
    ),
    *edits(
        "reparam/narrow.py",
        MISTAKES_TESTS,
        (
            "any difference on the way",
            "if not (np.abs(gap) <= most).all():",
            "if False:",
            "test_what_is_no_mistake_is_not_named[random_kernel-pair-float64]",
        ),
        (
            "few differences are enough",
            "if min(shares) >= EVEN and min(middles) >= TYPICAL:",
            "if min(shares) >= EVEN:",
            "test_one_number_or_one_sign_is_no_arithmetic",
        ),
        (
            "one sign is enough",
            "if min(shares) >= EVEN and min(middles) >= TYPICAL:",
            "if min(middles) >= TYPICAL:",
            "test_one_number_or_one_sign_is_no_arithmetic",
        ),
    ),
    *edits(
        "reparam/narrow.py",
        PROOF_TESTS,
        (
            "wider dtypes are narrower",
            "FORMATS[n].digits < FORMATS[dtype].digits]",
            "FORMATS[n].digits <= 24]",
            "test_narrower_dtypes",
        ),
        (
            "the dtype itself is narrower",
            "FORMATS[n].digits < FORMATS[dtype].digits]",
            "FORMATS[n].digits <= FORMATS[dtype].digits]",
            "test_narrower_dtypes",
        ),
    ),
    *edits(
        "reparam/explain.py",
        PROOF_TESTS,
        (
            "products of the second layer of a sequence",
            "for s in steps[1:] if isinstance(s, ops.ConvOp))",
            "for s in steps[2:] if isinstance(s, ops.ConvOp))",
            "test_products_that_a_fold_adds_up",
        ),
        (
            "work of the longest branch",
            "return sum(work(term) for _, term in terms)",
            "return max(work(term) for _, term in terms)",
            "test_products_that_a_fold_adds_up",
        ),
    ),
]
