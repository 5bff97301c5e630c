"""Mistakes that people make in this algebra, each as an edit of one place in the code.

A test suite that lets one of them pass does not test what it says. `run.py` tries them all.
Many have shipped somewhere: an unscaled bias, a transposed convolution whose groups are ignored,
an identity numbered by `i % groups`, bfloat16 rounded twice.
"""

from typing import NamedTuple

ALGEBRA = "tests/test_algebra.py"
ROUNDING = "tests/test_rounding.py"
NEAREST = "tests/test_rounding.py::test_nearest_rounds_ties_to_even_and_keeps_subnormals"
EXACT = "tests/test_exact.py"
TIES = "tests/test_exact.py::test_numbers_a_hair_beside_a_tie"
FOLD = "tests/test_fold.py"
SLAB = "tests/test_fold.py::test_a_slab_has_the_bytes_of_the_rows_of_the_whole"
REFERENCE = "tests/test_reference.py"
SEQUENCES = "tests/test_sequences.py"
PURITY = "tests/test_purity.py"
REFUSALS = "tests/test_refusals.py"
EXPRESSION = "tests/test_expression.py"


class Mutant(NamedTuple):
    """One mistake: in `file`, `before` stands exactly once and becomes `after`."""

    name: str
    file: str
    before: str
    after: str
    tests: str


def _in(file, tests, *edits):
    return [Mutant(name, file, before, after, tests) for name, before, after in edits]


_TOTAL = "total, rest = two_sum(var, np.full_like(var, eps))"
_PRODUCT = 'np.multiply(flat, factors[:, None], dtype=np.float64, order="C")'
_POINT = "point = regroup(channel_scale(np.ones(channels)), groups)"
_CHANNELS = "np.arange(channels)[:, None]"
_TAPS = 'taps = np.array(kernel, dtype=np.float64, order="C")'

NORM = _in(
    "reparam/norm.py",
    ALGEBRA,
    ("eps outside the root", _TOTAL, "total, rest = (np.sqrt(var) + eps) ** 2, 0 * var"),
    ("eps forgotten", _TOTAL, "total, rest = two_sum(var, np.zeros_like(var))"),
    ("eps always 1e-5", _TOTAL, "total, rest = two_sum(var, np.full_like(var, 1e-5))"),
    ("variance taken for a deviation", "root = np.sqrt(total)", "root = total"),
    ("sign of the mean", "two_sum(inner, -self.mean)", "two_sum(inner, self.mean)"),
    ("missing gamma is 0", "np.ones_like(mean) if weight", "np.zeros_like(mean) if weight"),
    (
        "missing beta drops the mean",
        "two_sum(inner, -self.mean)",
        "two_sum(inner, -self.mean * self.bias.any())",
    ),
    (
        "unbiased variance",
        "np.array(running_var, dtype=np.float64)",
        "np.array(running_var, dtype=np.float64) * 64 / 63",
    ),
) + _in(
    "reparam/norm.py",
    EXACT,
    ("what rounding the bias lost", "return total + (lost + rest)", "return total"),
    ("what rounding the scale lost", "(quotient - scale) + correction", "0 * scale"),
)

LAYERS = _in(
    "reparam/layers.py",
    ALGEBRA,
    (
        "gamma and beta swapped",
        "make_norm(running_mean, running_var, weight, bias, eps)",
        "make_norm(running_mean, running_var, bias, weight, eps)",
    ),
    (
        "mean and variance swapped",
        "make_norm(running_mean, running_var, weight, bias, eps)",
        "make_norm(running_var, running_mean, weight, bias, eps)",
    ),
    ("bias dropped", "norm.shift(conv.bias)", "norm.shift(0 * conv.bias)"),
    ("bias not scaled", "norm.shift(conv.bias)", "norm.shift(0 * conv.bias) + conv.bias"),
    (
        "inputs scaled when square",
        "    flat = kernel.reshape(len(kernel), -1)",
        (
            "    if kernel.shape[0] == kernel.shape[1]:\n"
            "        return kernel * factors.reshape(1, -1, *(1,) * (kernel.ndim - 2))\n"
            "    flat = kernel.reshape(len(kernel), -1)"
        ),
    ),
    (
        "transposed: inputs scaled when square",
        "    split = kernel.reshape((conv.groups",
        (
            "    if kernel.shape[0] == kernel.shape[1]:\n"
            "        return kernel * factors.reshape(-1, *(1,) * (kernel.ndim - 1))\n"
            "    split = kernel.reshape((conv.groups"
        ),
    ),
    (
        "transposed: groups ignored",
        "    split = kernel.reshape((conv.groups",
        (
            "    if kernel.shape[1] > 0:\n"
            "        first = factors[: kernel.shape[1]]\n"
            "        return kernel * first.reshape(1, -1, *(1,) * conv.rank)\n"
            "    split = kernel.reshape((conv.groups"
        ),
    ),
    (
        "identity i % groups",
        _POINT,
        f"point = Conv({_CHANNELS} % groups == np.arange(channels // groups), None, groups)",
    ),
    (
        "identity i // groups",
        _POINT,
        f"point = Conv({_CHANNELS} // groups == np.arange(channels // groups), None, groups)",
    ),
    ("scale without the bias", "conv.bias * factors, conv", "conv.bias, conv"),
    ("per-channel bias dropped", "bias, groups=factors.size", "None, groups=factors.size"),
    ("average of one tap more", "1.0 / taps", "1.0 / (taps + 1)"),
) + _in(
    "reparam/layers.py",
    EXACT,
    (
        "float32 arithmetic",
        _PRODUCT,
        "np.multiply(flat, factors[:, None], dtype=np.float32).astype(np.float64)",
    ),
)

LINEAR = _in(
    "reparam/linear.py",
    ALGEBRA,
    ("even kernel centred by k // 2", "d * (k - 1) // 2 for d", "d * k // 2 for d"),
) + _in(
    "reparam/linear.py",
    f"{FOLD}::test_damage_is_named_by_tensor_and_index_in_any_slab",
    ("index of an error within the slab", "[index[0] + first, ", "[index[0], "),
)

GEOMETRY = _in(
    "reparam/geometry.py",
    ALGEBRA,
    ("padded by one, always", "first = [new - old for new", "first = [1 for new"),
    ("padded around k // 2", "place = tuple((k - 1) // 2 for k", "place = tuple(k // 2 for k"),
    (
        "padded on the other axis",
        "return tuple(slice(f, e, d) for f, e, d in zip(first, last, conv.dilation, strict=True))",
        "return tuple(slice(f, e, d) for f, e, d in zip(first, last, conv.dilation))[::-1]",
    ),
    (
        "dilation ignored",
        "return tuple(d * (k - 1) + 1 for d, k in zip(conv.dilation, conv.space, strict=True))",
        "return conv.space",
    ),
    (
        "kernel flipped",
        "    kernel[taps] = conv.kernel",
        "    kernel[taps] = conv.kernel[..., ::-1]",
    ),
    (
        "groups in the wrong order",
        "    view[...] = conv.kernel.reshape(view.shape)",
        "    view[:, ::-1] = conv.kernel.reshape(view.shape)",
    ),
    ("least of the groups", "return math.gcd(*(b.groups", "return min(*(b.groups"),
    ("transposition lost", "transposed=conv.transposed", "transposed=False"),
    ("stride of a linear layer lost", "groups=conv.groups, stride=stride", "groups=conv.groups"),
    ("least of the origins", "tuple(max(axis) for axis", "tuple(min(axis) for axis"),
)

SUMS = _in(
    "reparam/algebra.py",
    ALGEBRA,
    (
        "bias of an identity dropped",
        "bias += term.bias",
        "bias += term.bias * (term.groups < term.inputs)",
    ),
    ("bias of later branches dropped", "bias += term.bias", "pass"),
    ("origin not compared", "(t.space, t.dilation, t.origin) for t", "(t.space, t.dilation) for t"),
    ("dilation not compared", "(t.space, t.dilation, t.origin) for t", "(t.space, t.origin) for t"),
    (
        "biases in another order than the kernels",
        "np.concatenate([t.bias for t in terms])",
        "np.concatenate([t.bias for t in terms[::-1]])",
    ),
)

SEQUENCE = _in(
    "reparam/algebra.py",
    SEQUENCES,
    (
        "bias of the first layer dropped",
        "_accumulate(bias.reshape(groups, -1), upper[place], passed)",
        "pass",
    ),
    (
        "transposed when square",
        "factors = upper[:, :, middle].reshape(",
        (
            "if upper.shape[1] == upper.shape[2]:\n"
            "            upper = upper if middle else upper.swapaxes(1, 2)\n"
            "        factors = upper[:, :, middle].reshape("
        ),
    ),
    (
        "groups ignored",
        "groups = common_groups([first, second])",
        "groups = max(first.groups, second.groups)",
    ),
    ("borders not checked", "    _check_border(first, second, border)\n", ""),
    ("bias at the border accepted", 'if border == "zero" and first.bias.any():', "if False:"),
    (
        "two padded layers accepted",
        "if any(a and b for a, b in zip(_looks",
        "if False and any(a and b for a, b in zip(_looks",
    ),
    ("origin without the stride", "a + s * b for a, s, b in", "a + b for a, s, b in"),
    (
        "stride of the second layer lost",
        "tuple(a * b for a, b in zip(first.stride, second.stride, strict=True))",
        "first.stride",
    ),
    (
        "taps of the second layer not dilated",
        "a * b for a, b in zip(first.stride, second.dilation",
        "a for a, b in zip(first.stride, second.dilation",
    ),
    (
        "taps of the second layer not strided",
        "a * b for a, b in zip(first.stride, second.dilation",
        "b for a, b in zip(first.stride, second.dilation",
    ),
    (
        "second kernel flipped",
        "_accumulate(target[window], upper[place], lower)",
        "_accumulate(target[window], upper[..., *(~t for t in tap)], lower)",
    ),
)

ROUND = _in(
    "reparam/rounding.py",
    ROUNDING,
    ("overflow to infinity", "if not finite.all():", "if False:"),
    (
        "float16 rounded twice",
        "bound = values.astype(dtype)",
        'bound = (values.astype("f4") if dtype == "float16" else values).astype(dtype)',
    ),
    (
        "bfloat16 rounded twice",
        "_to_odd_float32(values).astype(bfloat16)",
        'values.astype("f4").astype(bfloat16)',
    ),
    (
        "bfloat16 truncated",
        "_to_odd_float32(values).astype(bfloat16)",
        '(values.astype("f4").view("u4") & np.uint32(0xFFFF0000)).view("f4").astype(bfloat16)',
    ),
    ("not rounded to odd", "np.where(inexact, bits | np.uint32(1), bits)", "bits"),
    (
        "subnormals flushed",
        "        finite = np.isfinite(bound)",
        (
            "        small = np.abs(bound) < FORMATS[dtype].smallest_normal\n"
            "        rounded = np.where(small, rounded * 0, rounded).astype(rounded.dtype)\n"
            "        finite = np.isfinite(bound)"
        ),
    ),
    ("exponent one too large", "        exponent -= 1\n", "        pass\n"),
    ("index of an overflow within the slab", "[i + first * (axis == 0) for", "[i for"),
) + _in(
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
    _in(
        "reparam/exact.py",
        TIES,
        ("no slack", "_SLACK = 4", "_SLACK = 0"),
        ("subnormal boundaries", "near |= tiny & (size != 0)", "pass"),
    )
    + _in(
        "reparam/exact.py",
        EXACT,
        ("root of 53 bits", "_ROOT_BITS = 400", "_ROOT_BITS = 53"),
        ("total cancellation", "np.abs(shifted) <= size * 2.0**-40", "np.abs(shifted) < 0"),
        ("float64 biases not settled", "doubtful[:] = True", "pass"),
        (
            "float64 ties not settled",
            "doubtful = np.abs(left - unit) <= unit * 2.0**-20",
            "doubtful = left < 0",
        ),
        (
            "float64 ties below a power of two not settled",
            "doubtful |= np.abs(left - unit / 2) <= unit * 2.0**-20",
            "",
        ),
        (
            "overflow on the way",
            "doubtful |= ~((np.abs(flat) > _SMALL) & (np.abs(flat) < 1 / _SMALL))",
            "",
        ),
    )
    + _in(
        "reparam/fold.py",
        EXACT,
        (
            "kernel not settled",
            "settle_kernel(_turned(kernel, conv), _turned(taps, conv), norm, dtypes[0])",
            "_turned(kernel, conv)",
        ),
        ("bias not settled", "settle_bias(bias, inner, norm, dtypes[1])", "bias"),
        (
            "transposed kernel settled as it lies",
            "    if not conv.transposed:\n        return kernel\n    swapped",
            "    if True:\n        return kernel\n    swapped",
        ),
    )
)

FOLDED = [
    *_in(
        "reparam/fold.py",
        f"{FOLD}::test_fold_is_run",
        ("sign of a branch lost", "conv if sign > 0 else scale_outputs(conv, -1.0)", "conv"),
        (
            "border of a sequence ignored",
            "_fold(last, rows).conv, border=border",
            "_fold(last, rows).conv",
        ),
    ),
    Mutant(
        "place of damage in a slab",
        "reparam/fold.py",
        "0 if whole else rows[0])\n        return kernel",
        "0)\n        return kernel",
        f"{FOLD}::test_damage_is_named_by_tensor_and_index_in_any_slab",
    ),
    Mutant(
        "overflow of float64 accepted",
        "reparam/fold.py",
        "check_finite(conv.kernel, ",
        "check_finite(0 * conv.bias, ",
        f"{FOLD}::test_an_overflow_of_float64_is_refused",
    ),
    Mutant(
        "tensors of the reader used up",
        "reparam/fold.py",
        "self.read(name).astype(np.float64)",
        "np.asarray(self.read(name), float)",
        f"{FOLD}::test_a_bias_in_float64_is_not_added_to_where_it_lies",
    ),
    Mutant(
        "sign of zero depends on the slab",
        "reparam/algebra.py",
        "    kernel += 0.0  #",
        "    #",
        f"{FOLD}::test_negative_zeros_do_not_tell_a_slab_from_the_whole",
    ),
    Mutant(
        "memory layout of the reader kept",
        "reparam/fold.py",
        '.astype(np.float64, order="C")',
        ".astype(np.float64)",
        f"{FOLD}::test_a_lone_convolution_in_fortran_order_is_written_in_c_order",
    ),
]

SLABS = [
    *_in(
        "reparam/fold.py",
        SLAB,
        ("inputs of a slab misplaced", "start = slab.inputs[0] - wanted[0]", "start = 0"),
        (
            "groups of a slab",
            "groups=max((rows[1] - rows[0]) * op.groups // op.outputs, 1)",
            "groups=op.groups",
        ),
        (
            "bias of a slab",
            "self._vector(op.bias)[slice(*rows)]",
            "self._vector(op.bias)[: rows[1] - rows[0]]",
        ),
        (
            "norm of a slab",
            "self.norms[op].rows(rows)",
            "self.norms[op].rows((0, rows[1] - rows[0]))",
        ),
        ("scale of a slab", "else factors[slice(*rows)]", "else factors[: rows[1] - rows[0]]"),
    ),
    *_in(
        "reparam/operations.py",
        SLAB,
        ("groups cut apart", "return op.outputs // op.groups if op.groups > 1 else 1", "return 1"),
        ("inner groups cut apart", "elif row_unit(step) > 1:", "elif False:"),
        ("inputs of the first group", "return first * op.shape[1], last", "return 0, last"),
    ),
    *_in(
        "reparam/reference.py",
        SLAB,
        (
            "rows of a scale",
            "y * _vector(read, tensor, None if single else rows, y)",
            "y * _vector(read, tensor, None, y)",
        ),
    ),
]

JUDGE = _in(
    "reparam/reference.py",
    REFERENCE,
    ("image beyond the border is zero", 'if op.border == "image":', "if False:"),
    ("valid border is zero", 'if op.border == "valid":', "if False:"),
    ("eps forgotten", "np.sqrt(var + last.eps)", "np.sqrt(var)"),
    ("signs lost", "total + sign * _run(", "total + _run("),
    ("average of one tap more", "/ len(windows)", "/ (len(windows) + 1)"),
    (
        "average centred by k // 2",
        "tuple((k - 1) // 2 for k in size), size)",
        "tuple(k // 2 for k in size), size)",
    ),
    ("probe that misses a tap", "max(o, s - o) + 1 for o, s", "max(o, s - o) for o, s"),
    ("larger probe than needed", "max(o, s - o) + 1 for o, s", "o + s + 1 for o, s"),
    (
        "probe of one layer of a sequence",
        "sum(axis) - len(axis) + 1 for axis",
        "max(axis) for axis",
    ),
    (
        "algebra imported",
        "from reparam import operations as ops",
        "from reparam import algebra, operations as ops",
    ),
)

NOTATION = _in(
    "reparam/expression.py",
    EXPRESSION,
    ("caret one to the left", "{' ' * self.start}^", "{' ' * (self.start - 1)}^"),
    ("column from zero", "column {self.start + 1}", "column {self.start}"),
    ("minus taken for plus", 'sign = -1 if self.value == "-" else 1', "sign = 1"),
    (
        "leading minus lost",
        "if len(terms) == 1 and terms[0][0] > 0 else",
        "if len(terms) == 1 else",
    ),
    ("question mark lost", "node = Maybe(node)", "pass"),
    ("attribute given twice", "if any(key == found[1] for key, _ in pairs):", "if False:"),
    ("infinite number", "if math.isinf(value):", "if False:"),
    (
        "parentheses of a sequence",
        "if isinstance(node, Sum | Chain) else",
        "if isinstance(node, Sum) else",
    ),
    (
        "name written as a number",
        'if re.fullmatch(_NAME, name) and name not in ("id", "avg"):',
        'if name not in ("id", "avg"):',
    ),
    ("quote in a name lost", """name.replace("'", "''")""", "name"),
    ("quote in a name doubled", """self.value.replace("''", "'")""", "self.value"),
)

CONTRACT = [
    *_in(
        "reparam/norm.py",
        REFUSALS,
        (
            "negative variance clipped",
            "np.array(running_var, dtype=np.float64)",
            "np.maximum(np.array(running_var, dtype=np.float64), 0)",
        ),
        ("zero variance accepted", "(total > 0)", "(total >= 0)"),
        ("NaN becomes 0", 'check_finite(gamma, "weight")', "gamma = np.nan_to_num(gamma)"),
    ),
    *_in(
        "reparam/layers.py",
        REFUSALS,
        ("average without padding", "if not count_include_pad:", "if False:"),
    ),
    *_in(
        "reparam/layers.py",
        PURITY,
        ("scaled in place", _PRODUCT, "np.multiply(flat, factors[:, None], out=flat)"),
    ),
    *_in(
        "reparam/linear.py",
        PURITY,
        (
            "memory layout ignored",
            _TAPS,
            'taps = np.array(kernel, dtype=np.float64).ravel("K").reshape(np.shape(kernel))',
        ),
        ("view of the kernel kept", _TAPS, "taps = np.asarray(kernel, dtype=np.float64)"),
    ),
    *_in(
        "reparam/linear.py",
        REFUSALS,
        ("NaN in a kernel becomes 0", 'check_finite(taps, "kernel")', "np.nan_to_num(taps)"),
        ("half a pixel accepted", "map(operator.index,", "map(int,"),
    ),
    *_in(
        "reparam/geometry.py",
        PURITY,
        (
            "bias shared by pad_kernel",
            "conv.bias.copy(), conv, groups=conv.groups, dilation=ones",
            "conv.bias, conv, groups=conv.groups, dilation=ones",
        ),
        (
            "bias shared by dilate_kernel",
            "conv.bias.copy(), conv, groups=conv.groups, dilation=(1,)",
            "conv.bias, conv, groups=conv.groups, dilation=(1,)",
        ),
        (
            "regroup returns its argument",
            "    kernel = np.zeros((conv.outputs, conv.inputs // groups, *conv.space))",
            (
                "    if conv.groups == groups:\n"
                "        return conv\n"
                "    kernel = np.zeros((conv.outputs, conv.inputs // groups, *conv.space))"
            ),
        ),
    ),
    *_in(
        "reparam/algebra.py",
        PURITY,
        (
            "first branch used up",
            "mine = make(first.kernel.copy(), first.bias.copy(), first, groups=first.groups)",
            "mine = first",
        ),
        (
            "bias of the first branch used up",
            "mine = make(first.kernel.copy(), first.bias.copy(), first, ",
            "mine = make(first.kernel.copy(), first.bias, first, ",
        ),
    ),
    *_in(
        "reparam/algebra.py",
        REFUSALS,
        ("unknown border accepted", "if border not in get_args(Border):", "if False:"),
    ),
]

MUTANTS = [
    *NORM,
    *CONTRACT,
    *LAYERS,
    *LINEAR,
    *GEOMETRY,
    *SUMS,
    *SEQUENCE,
    *ROUND,
    *SETTLED,
    *FOLDED,
    *SLABS,
    *JUDGE,
    *NOTATION,
]
