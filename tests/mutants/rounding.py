"""Rounding once, and the exact decision of what float64 cannot decide."""

from mutants.record import edits

ROUNDING = "tests/test_rounding.py"
NEAREST = "tests/test_rounding.py::test_nearest_rounds_ties_to_even_and_keeps_subnormals"
EXACT = "tests/test_exact.py"
TIES = "tests/test_exact.py::test_numbers_a_hair_beside_a_tie"
FEW = "tests/test_exact.py::test_few_results_take_the_exact_way"
ROOTS = "tests/test_exact.py::test_variances_that_are_denormal_in_float64"
UNDERFLOW = "tests/test_underflow.py"

ROUND = edits(
    "reparam/rounding.py",
    ROUNDING,
    (
        "overflow to infinity",
        "if values.max(initial=0.0) <= reach and",
        "if True or",
        "test_the_largest_number_is_the_limit_and_half_a_unit_more_overflows",
    ),
    (
        "overflow of negative numbers",
        " and values.min(initial=0.0) >= -reach:",
        ":",
        "test_the_largest_number_is_the_limit_and_half_a_unit_more_overflows",
    ),
    (
        "overflow from the limit on",
        "reach = FORMATS[dtype].reach",
        "reach = FORMATS[dtype].limit",
        "test_the_largest_number_is_the_limit_and_half_a_unit_more_overflows",
    ),
    (
        "the limit of every format odd",
        "math.nextafter(tie, 0) if self.limit / unit % 2 else tie",
        "math.nextafter(tie, 0)",
        "test_the_largest_number_is_the_limit_and_half_a_unit_more_overflows",
    ),
    (
        "the limit of every format even",
        "math.nextafter(tie, 0) if self.limit / unit % 2 else tie",
        "tie",
        "test_the_largest_number_is_the_limit_and_half_a_unit_more_overflows",
    ),
    ("float8_e4m3fn with infinity", "FloatFormat(4, -6, 448.0)", "FloatFormat(4, -6, 240.0)"),
    (
        "float8_e5m2 of four digits",
        "FloatFormat(3, -14, 57344.0)",
        "FloatFormat(4, -14, 57344.0)",
        "test_the_largest_number_is_the_limit_and_half_a_unit_more_overflows",
    ),
    (
        "float16 rounded twice",
        "return values.astype(dtype)",
        'return (values.astype("f4") if dtype == "float16" else values).astype(dtype)',
    ),
    (
        "bfloat16 and float8 rounded twice",
        "_to_odd_float32(values).astype(narrow)",
        'values.astype("f4").astype(narrow)',
    ),
    (
        "bfloat16 truncated",
        "_to_odd_float32(values).astype(narrow)",
        '(values.astype("f4").view("u4") & np.uint32(0xFFFF0000)).view("f4").astype(narrow)',
    ),
    ("not rounded to odd", "    bits |= wide != values\n", ""),
    ("rounded to odd away from zero", "    bits -= away  # one number towards zero\n", ""),
    (
        "subnormals flushed",
        "return values.astype(dtype)",
        "return np.where(np.abs(values) < FORMATS[dtype].smallest_normal, 0, values).astype(dtype)",
    ),
    (
        "exponent one too large",
        "        exponent -= 1\n",
        "        pass\n",
        "test_nearest_rounds_rationals",
    ),
    (
        "index of an overflow within the slab",
        "[i + first * (axis == 0) for",
        "[i for",
        "test_an_overflow_names_tensor_index_value_and_limit",
    ),
    (
        "zeros counted as lost",
        "int(np.count_nonzero(values[small])) - int(np.count_nonzero(kept))",
        "int(kept.size) - int(np.count_nonzero(kept))",
        "test_values_that_became_zero_or_subnormal_are_counted",
    ),
    (
        "zeros counted as subnormal",
        "(kept > 0) & (kept < form",
        "(kept >= 0) & (kept < form",
        "test_values_that_became_zero_or_subnormal_are_counted",
    ),
    (
        "what rounds up to a normal number counted",
        "(kept > 0) & (kept < form.smallest_normal)",
        "kept > 0",
        "test_values_that_became_zero_or_subnormal_are_counted[bfloat16]",
    ),
) + edits(
    "reparam/rounding.py",
    NEAREST,
    (
        "ties away from zero",
        "if doubled > 0 or (doubled == 0 and quotient % 2):",
        "if doubled >= 0:",
    ),
    ("ties towards zero", "if doubled > 0 or (doubled == 0 and quotient % 2):", "if doubled > 0:"),
    ("digits of subnormals", "unit = max(exponent, form.least_exponent)", "unit = exponent"),
    ("sign lost", "return -size if value < 0 else size", "return size"),
)

SETTLED = (
    edits(
        "reparam/exact.py",
        TIES,
        ("no slack", "_SLACK = 4", "_SLACK = 0"),
        ("subnormal boundaries", "    if tiny.size:", "    if False:"),
        (
            "no slack below the normal range",
            "short <= _SLACK * 2.0**-52 * steps",
            "short < 0",
        ),
    )
    + edits(
        "reparam/exact.py",
        FEW,
        (
            "every subnormal recomputed",
            "short <= _SLACK * 2.0**-52 * steps",
            "steps > 0",
        ),
        ("everything recomputed", "near = offset <= 2 * _SLACK", "near = offset >= 0"),
    )
    + edits(
        "reparam/exact.py",
        EXACT,
    )
    + edits(
        "reparam/exact.py",
        "tests/test_exact.py",
        (
            "tiny roots taken for exact",
            " | extreme[channels]",
            "",
            "test_a_root_that_is_one_number_as_float64_has_it",
        ),
    )
    + edits(
        "reparam/exact.py",
        ROOTS,
        ("tiny roots trusted", "            near |= extreme.repeat(row)\n", "            pass\n"),
        (
            "biases of tiny roots trusted",
            "doubtful |= _undecided(shifted, form) | _extreme(norm)",
            "doubtful |= _undecided(shifted, form)",
        ),
    )
    + edits(
        "reparam/exact.py",
        EXACT,
        ("root of 53 bits", "_ROOT_BITS = 400", "_ROOT_BITS = 53"),
        (
            "total cancellation",
            "np.abs(shifted) <= size * 2.0**-40",
            "np.abs(shifted) < 0",
            "test_biases_that_cancel_to_nothing",
        ),
        (
            "float64 biases not settled",
            "doubtful[:] = True",
            "pass",
            "test_a_float64_bias_a_hair_beside_a_tie",
        ),
        (
            "float64 ties not settled",
            "doubtful = np.abs(left - unit) <= unit * 2.0**-20",
            "doubtful = left < 0",
            "test_float64_ties_that_only_eps_decides",
        ),
        (
            "float64 ties below a power of two not settled",
            "doubtful |= np.abs(left - unit / 2) <= unit * 2.0**-20",
            "",
            "test_float64_ties_that_only_eps_decides",
        ),
        (
            "overflow on the way",
            "doubtful |= ~((np.abs(flat) > _SMALL) & (np.abs(flat) < 1 / _SMALL))",
            "",
            "test_float64_kernels_beyond_what_products_can_carry",
        ),
    )
    + edits(
        "reparam/exact.py",
        UNDERFLOW,
        (
            "too small and zero the same",
            "nearest(exact, form) or math.copysign(form.smallest / 4, exact.numerator)",
            "nearest(exact, form)",
        ),
        (
            "zero and too small the same",
            "    if not exact:\n        return 0.0\n",
            "",
            "test_a_bias_that_cancels_is_zero_and_one_that_nearly_does_became_zero",
        ),
    )
    + edits(
        "reparam/exact.py",
        "tests/test_exactness.py",
        ("a unit of slack", "_SLACK = 4", "_SLACK = -1"),
        ("the nearest number not taken", "flat[index] = _settled(", "_settled("),
        ("the nearest bias not taken", "shifted[channel] = _settled(exact, form)", "pass"),
    )
    + edits(
        "reparam/fold.py",
        EXACT,
        (
            "kernel not settled",
            "            kernel = outputs_first(turned, conv)\n",
            "",
        ),
        ("bias not settled", "settle_bias(bias, inner, norm, dtypes[1])", "bias"),
        (
            "transposed kernel settled as it lies",
            "    if not conv.transposed:\n        return kernel\n    swapped",
            "    if True:\n        return kernel\n    swapped",
        ),
    )
)


COVERED = [
    *edits(
        "reparam/rounding.py",
        ROUNDING,
        (
            "half an epsilon",
            "math.ldexp(1.0, 1 - self.digits)",
            "math.ldexp(1.0, -self.digits)",
            "test_the_formats_are_those_of_numpy_and_ml_dtypes[float64]",
        ),
        (
            "smallest normal number",
            "math.ldexp(1.0, self.least_exponent)",
            "math.ldexp(1.0, self.least_exponent + 1)",
            "test_the_formats_are_those_of_numpy_and_ml_dtypes[float64]",
        ),
        (
            "half the smallest number",
            "self.least_exponent - self.digits + 1)",
            "self.least_exponent - self.digits)",
            "test_the_formats_are_those_of_numpy_and_ml_dtypes[float64]",
        ),
    ),
]

MUTANTS = [*ROUND, *SETTLED, *COVERED]
