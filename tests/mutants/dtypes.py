"""Dtypes of files: what becomes too small, float8 and quantised layers, the same bytes anywhere."""

from mutants.record import edits, tested

UNDERFLOW = "tests/test_underflow.py"
ENVIRONMENT = "tests/test_environment.py"
QUANTISED = "tests/test_quantised.py"
BYTES = "tests/test_same_bytes.py"
SAFETENSORS = "tests/test_safetensors.py"

COUNTED = (
    edits(
        "reparam/blocks.py",
        UNDERFLOW,
        (
            "underflow of biases not counted",
            "((conv.kernel, values), (conv.bias, shift))",
            "((conv.kernel, values),)",
        ),
        (
            "underflow of the last slab only",
            "zero, subnormal = zero + lost.zero, subnormal + lost.subnormal",
            "zero, subnormal = lost.zero, lost.subnormal",
        ),
        ("zero and subnormal swapped", "Underflow(zero, subnormal)", "Underflow(subnormal, zero)"),
    )
    + edits(
        "reparam/fusing.py",
        UNDERFLOW,
        (
            "underflow of the first block only",
            "became_zero=sum(b.underflow.zero for b in blocks)",
            "became_zero=sum(b.underflow.zero for b in blocks[:1])",
        ),
    )
    + edits(
        "reparam/report.py",
        UNDERFLOW,
        (
            "underflow not mentioned",
            "if self.became_zero or self.became_subnormal:",
            "if self.became_zero:",
            "test_a_bias_that_cancels_is_zero_and_one_that_nearly_does_became_zero",
        ),
        (
            "advice to ask for what one has",
            '"" if "float32" in dtypes else',
            '"" if True else',
            "test_a_bias_that_cancels_is_zero_and_one_that_nearly_does_became_zero",
        ),
    )
)

IEEE = (
    tested(
        "reparam/environment.py",
        (
            "flushing not seen",
            "if not (many(form.smallest) * one != 0).all():",
            "if False:",
            ENVIRONMENT,
        ),
        ("rounding of ties not seen", "(tie == one).all() and (beside", "(beside", ENVIRONMENT),
        (
            "rounding downwards or twice not seen",
            " and (beside == one + 2 * half).all()):",
            "):",
            ENVIRONMENT,
        ),
        (
            "float32 not looked at",
            '(np.float32, FORMATS["float32"]), ',
            "",
            ENVIRONMENT,
        ),
        (
            "float64 not looked at",
            ', (np.float64, FORMATS["float64"]))',
            ",)",
            ENVIRONMENT,
        ),
        ("faults seen and not said", "    if faults:\n", "    if not faults:\n", ENVIRONMENT),
    )
    + edits(
        "reparam/fusing.py",
        ENVIRONMENT,
        ("fuse without a look at the processor", "    check_environment()\n", ""),
    )
    + edits(
        "reparam/state_dict.py",
        ENVIRONMENT,
        ("fuse_state_dict without a look at the processor", "    check_environment()\n", ""),
    )
)

CODES = (
    edits(
        "reparam/quantised.py",
        QUANTISED,
        ("part of a name is a mark", "_MARKS.fullmatch(name)", "_MARKS.match(name)"),
        ("scales of float8 not known", r"|scale_(?:weight|input)|scaled_fp8", ""),
        ("inverse scales not known", r"(?:_inv|_\d)?", ""),
        ("packed weights not known", r"|weight_packed|weight_shape|qweight|qzeros", ""),
        (
            "four bits of bitsandbytes not known",
            r"|weight\.(?:scale|absmax|quant_map|nested_\w+|quant_state\.\w+)",
            "",
        ),
    )
    + edits(
        "reparam/plans.py",
        QUANTISED,
        (
            "quantised layers told to stand beside",
            "if mark := find_mark(self.unclaimed):",
            "if mark := find_mark([]):",
        ),
    )
    + edits(
        "reparam/diagnose.py",
        QUANTISED,
        ("packed layers not named", 'mark = find_mark(index.under(""))', "mark = None"),
    )
    + edits(
        "reparam/channels.py",
        QUANTISED,
        (
            "codes of eight bits fused",
            '"float8_e4m3fn", "float8_e5m2")',
            '"float8_e4m3fn", "int8")',
        ),
        ("float8 not fused", '"bfloat16", "float8_e4m3fn", ', '"bfloat16", '),
    )
    + edits(
        "adapters/reparam_adapters/keras_writer.py",
        QUANTISED,
        (
            "float8 in Keras files",
            "if strange := sorted(fresh.difference(FLOATS, held)):",
            "if strange := []:",
        ),
        (
            "dtypes of results with names of their own",
            "    fresh |= {i.dtype for i in tensors.values()} - held  #",
            "    #",
        ),
    )
    + edits(
        "adapters/reparam_adapters/safetensors.py",
        SAFETENSORS,
        (
            "float8 not read",
            '_ML_DTYPES = ("bfloat16", "float8_e4m3fn", "float8_e5m2")',
            '_ML_DTYPES = ("bfloat16",)',
            "test_every_byte_of_a_float8_is_read_and_written[F8_E4M3-float8_e4m3fn-fields0]",
        ),
        (
            "one float8 read as the other",
            "np.dtype(getattr(ml_dtypes, dtype))",
            'np.dtype(getattr(ml_dtypes, dtype.replace("e4m3fn", "e5m2")))',
            "test_every_byte_of_a_float8_is_read_and_written[F8_E4M3-float8_e4m3fn-fields0]",
        ),
    )
)

SAME_BYTES = edits(
    "reparam/algebra.py",
    BYTES,
    (
        "branches added in another order",
        "zip(terms[1:], places[1:], strict=True):\n        _add",
        "zip(terms[:0:-1], places[:0:-1], strict=True):\n        _add",
    ),
    (
        "products added by a BLAS",
        "    for middle in range(upper.shape[2]):\n",
        (
            "    if lower.ndim == 3:\n"
            "        target += upper @ lower\n"
            "        return\n"
            "    for middle in range(upper.shape[2])[::-1]:\n"
        ),
    ),
)


MUTANTS = [*COUNTED, *IEEE, *CODES, *SAME_BYTES]
