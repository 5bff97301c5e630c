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
SHIFT = "tests/test_fold.py::test_a_shift_is_added_to_the_bias_alone"
SLAB = "tests/test_fold.py::test_a_slab_has_the_bytes_of_the_rows_of_the_whole"
REFERENCE = "tests/test_reference.py"
SEQUENCES = "tests/test_sequences.py"
PURITY = "tests/test_purity.py"
REFUSALS = "tests/test_refusals.py"
EXPRESSION = "tests/test_expression.py"
PADDING = "tests/test_padding.py"
LAYOUTS = "tests/test_layouts.py"
KERAS_RECIPES = "tests/test_keras_recipes.py"
KERAS_ARRAYS = "tests/test_keras_arrays.py"
KERAS_OUTPUT = "tests/test_keras_output.py"
GRAPHS = "tests/test_keras_graphs.py"
GOLDEN = "tests/test_keras_golden.py"
MATCH = "tests/test_match.py"
LINES = "tests/test_lines.py"
CHOICE = "tests/test_recipe_choice.py"
WINDOWS = "tests/test_windows.py"
DIGEST = "tests/test_digest.py"
LIBRARY = "tests/test_library.py"


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
    "reparam/parsing.py",
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
    ("quote in a name doubled", """self.value.replace("''", "'")""", "self.value"),
    ("the block is no result", 'if self.kind == "block":', "if False:"),
    (
        "values of attributes not read",
        "if value and found[2] and not re.fullmatch(value, found[2]):",
        "if False:",
    ),
    ("pools of no size", "not re.fullmatch(_SIZE, self.value)", "False"),
    ("add needs a value", '("transposed", "add", "window")', '("transposed", "window")'),
    ("window needs a value", '("transposed", "add", "window")', '("transposed", "add")'),
) + _in(
    "reparam/expression.py",
    EXPRESSION,
    (
        "parentheses of a sequence",
        "if isinstance(node, Sum | Chain) else",
        "if isinstance(node, Sum) else",
    ),
    (
        "name written as a number",
        'if re.fullmatch(NAME, name) and name not in ("id", "avg"):',
        'if name not in ("id", "avg"):',
    ),
    ("quote in a name lost", """name.replace("'", "''")""", "name"),
    ("the block written as a name", 'return format_name(name) if name else "."', "return name"),
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


def _graph(name, test="test_fused_and_equal"):
    """The test of one graph in one kind of file."""
    return f"{GRAPHS}::{test}[{name}]"


def _on(file, *edits):
    """Mutants with a test each."""
    return [Mutant(name, file, before, after, tests) for name, before, after, tests in edits]


def _equal(name):
    return _graph(name, test="test_equal_or_refused")


KERAS_AXES = (
    _in(
        "reparam/padding.py",
        PADDING,
        ("more padding before", "return total // 2, total", "return total - total // 2, total"),
        ("size rounded down", "-(-size // stride)", "size // stride"),
        ("dilation of padding ignored", "(kernel - 1) * dilation + 1 - size", "kernel - size"),
    )
    + _in(
        "reparam/layouts.py",
        LAYOUTS,
        (
            "depthwise channels in the other order",
            "values.transpose(-2, -1, *space)",
            "values.transpose(-1, -2, *space)",
        ),
        (
            "depthwise channels written in the other order",
            "split = values.reshape(*shape[-2:], *shape[:-2])",
            (
                "split = values.reshape(*shape[-2:][::-1], *shape[:-2])"
                ".swapaxes(0, 1).reshape(*shape[-2:], *shape[:-2])"
            ),
        ),
        (
            "kernel read as transposed",
            "return values.transpose(-1, -2, *space)",
            "return values.transpose(-2, -1, *space)",
        ),
        (
            "kernel written as transposed",
            "return values.transpose(*range(2, len(shape)), 1, 0)",
            "return values.transpose(*range(2, len(shape)), 0, 1)",
        ),
        ("vector turned", 'if kind == "vector" or values.ndim < 2:', "if values.ndim < 2:"),
    )
    + _in(
        "reparam/layouts.py",
        KERAS_ARRAYS,
        ("mean and variance", '"moving_mean": "running_mean"', '"moving_mean": "running_var"'),
    )
    + _in(
        "reparam/keras_names.py",
        KERAS_ARRAYS,
        (
            "numbers in the order of the file",
            "in enumerate(sorted(numbers))",
            "in enumerate(numbers)",
        ),
        ("numbers sorted as text", "(found[1], int(found[2]))", "(found[1], -1)"),
    )
    + _in(
        "reparam/strided.py",
        KERAS_RECIPES,
        (
            "size of the first axis",
            "k, stride)[0] for n, k in pairs",
            "k, stride)[0] for _, k in pairs for n in size[:1]",
        ),
        ("place counted from the end", "k, stride)[0] for", "k, stride)[1] for"),
        ("strided whatever is in it", "item.same.unless in names or ", ""),
    )
)

KERAS_AXES += _in(
    "reparam/strided.py",
    f"{KERAS_ARRAYS}::test_every_block_hands_its_size_on",
    ("size not handed on", "size = tuple(-(-n // stride) for n in size)", "pass"),
)

KERAS_TAPS = _on(
    "adapters/reparam_adapters/keras_taps.py",
    (
        "sign of an offset",
        "m.before(n) - o.before(n)",
        "o.before(n) - m.before(n)",
        _graph("an odd strided block-.h5", "test_one_convolution_is_left"),
    ),
    (
        "every size even",
        "tried = [size] if",
        "tried = [size + size % 2] if",
        _graph("an odd strided block-.h5"),
    ),
    (
        "every size odd",
        "tried = [size] if",
        "tried = [size | 1] if",
        _graph("an even strided block-.h5"),
    ),
    (
        "unknown size taken for known",
        "range(1, 130)",
        "range(224, 225)",
        f"{GRAPHS}::test_an_unknown_size_keeps_branches_apart",
    ),
    (
        "stride of a window ignored",
        "self.taps, self.stride, self.dilation",
        "self.taps, 1, self.dilation",
        _graph("an even strided block-.h5"),
    ),
    (
        "dilation of a window ignored",
        "self.taps, self.stride, self.dilation",
        "self.taps, self.stride, 1",
        _graph("dilated alike-.h5", "test_one_convolution_is_left"),
    ),
    (
        "pads of a layer before ignored",
        "first = self.pads[0]",
        "first = 0",
        _graph("zeros of their own-.h5"),
    ),
    (
        "taps off the grid",
        "on_grid = spot % m.dilation == 0 and",
        "on_grid = True or",
        f"{GRAPHS}::test_pairs_that_are_not_summed",
    ),
    (
        "taps outside",
        "if spot < 0 or last > (m.taps - 1) * m.dilation or not on_grid:",
        "if not on_grid:",
        _equal("crossed kernels-.h5"),
    ),
)

KERAS_BRANCHES = _on(
    "adapters/reparam_adapters/keras_branches.py",
    (
        "place from the wrong end",
        "place = [c - s // g for",
        "place = [s // g for",
        _graph("even kernels-.h5"),
    ),
    (
        "origin of an identity",
        "(bare[0] if bare else",
        "(0 if bare else",
        _graph("an identity-.h5"),
    ),
    (
        "dilation on a dilated grid",
        "w.dilation // g if w.taps > 1",
        "w.dilation if w.taps > 1",
        _graph("dilated alike-.h5"),
    ),
    (
        "place on a dilated grid",
        "max(s[axis] for s in spots)) // grid",
        "max(s[axis] for s in spots)) // 1",
        _graph("dilated, with an identity-.h5"),
    ),
    (
        "different sizes",
        " or len({w[axis].excess for w in known}) > 1:",
        ":",
        f"{GRAPHS}::test_pairs_that_are_not_summed",
    ),
    (
        "different strides summed",
        "if len({w[axis].stride for w in known}) > 1 or ",
        "if ",
        f"{GRAPHS}::test_pairs_that_are_not_summed",
    ),
    (
        "different groups",
        "if not all(_groups_hold(main.conv, b) for b in branches):",
        "if False:",
        f"{GRAPHS}::test_pairs_that_are_not_summed",
    ),
    (
        "different shapes",
        "if _differ([s for s in shapes if s is not None]):",
        "if False:",
        f"{GRAPHS}::test_pairs_that_are_not_summed",
    ),
    (
        "second consumer of a branch",
        "if blocked or not scope.only_use(start.key) or len(layer.calls)",
        "if blocked or len(layer.calls)",
        _equal("a branch used elsewhere-.h5"),
    ),
    (
        "activation of a branch ignored",
        'elif layer.class_name not in LINEAR or not is_linear(layer.config.get("activation")):',
        "elif layer.class_name not in LINEAR:",
        _equal("activation of a branch-.h5"),
    ),
    (
        "branches of different images",
        " or len({b.source for b in branches}) > 1:",
        ":",
        _equal("two inputs-.h5"),
    ),
    (
        "sign of a sum within a sum",
        "signs=below, sign=sign * own)",
        "signs=below, sign=sign)",
        _graph("a difference of sums-.h5"),
    ),
    (
        "transposed branches summed",
        'if any(f in ("transposed", "separable") for f, _ in families):',
        "if False:",
        f"{GRAPHS}::test_pairs_that_are_not_summed",
    ),
) + _on(
    "adapters/reparam_adapters/keras_sums.py",
    (
        "difference taken for a sum",
        "return [1, -1] if operation",
        "return [1, 1] if operation",
        _graph("a difference-.h5"),
    ),
)

KERAS_PAIRS = _on(
    "adapters/reparam_adapters/keras_pairs.py",
    (
        "activation of a convolution ignored",
        "if not is_linear(activation):",
        "if False:",
        _equal("an activation of its own-.h5"),
    ),
    (
        "training of a norm ignored",
        "if scope.training or any(call.training for call in norm.calls):",
        "if scope.training:",
        _equal("batch statistics-.keras"),
    ),
    (
        "training of the model around ignored",
        "if scope.training or any(",
        "if any(",
        _graph("a model in training-.h5", test="test_never_fused"),
    ),
    (
        "second consumer of a convolution",
        "if len(users) != 1:",
        "if False:",
        _graph("two norms-.h5", "test_never_fused"),
    ),
    (
        "axis of a norm ignored",
        "if not norm_axis_fits(scope, conv, norm):",
        "if False:",
        _equal("norm of rows-.h5"),
    ),
    (
        "shared convolution with another norm",
        "if convs.count(name) != len(conv.calls):",
        "if False:",
        _graph("two calls-.h5", "test_never_fused"),
    ),
) + _on(
    "adapters/reparam_adapters/keras_scope.py",
    (
        "output of the model ignored",
        'uses.setdefault(ref.key, []).append(("", 0))',
        "pass",
        _equal("conv is an output-.h5"),
    ),
    (
        "dropout in training passed",
        " and not call.training else None",
        " else None",
        _graph("dropout in training-.h5", test="test_never_fused"),
    ),
    (
        "another use on the way back",
        "if not scope.only_use(ref.key) or ref.key[0] in passed:",
        "if ref.key[0] in passed:",
        _equal("dropout used elsewhere-.h5"),
    ),
)

KERAS_FILES = (
    _on(
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
    + _on(
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
    + _on(
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
    + _on(
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
    + _on(
        "adapters/reparam_adapters/keras_convert.py",
        (
            "late ones first",
            "for item in (*first, *late):",
            "for item in (*late, *first):",
            f"{KERAS_OUTPUT}::test_a_tree_as_legacy_weights",
        ),
    )
    + _on(
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
    + _on(
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

KINDS = _in(
    "reparam/match.py",
    MATCH,
    (
        "most unread taken",
        "return len(trial.unread) if trial.block.at else",
        "return -len(trial.unread) if trial.block.at else",
    ),
    (
        "fewest read at the root",
        "if trial.block.at else -len(trial.reads)",
        "if trial.block.at else len(trial.reads)",
    ),
    (
        "wrong shapes never reported",
        "named = [t for t in trials if not t.problems or t.misfit]",
        "named = fitting",
    ),
    (
        "wrong shapes always reported",
        "if not fitting or least < min(map(_unexplained, fitting)):",
        "if not fitting or len(named) > len(fitting):",
    ),
    (
        "last of equal kinds",
        "best = next(t for t in fitting if _unexplained(t) == least)",
        "best = [t for t in fitting if _unexplained(t) == least][-1]",
    ),
    (
        "first kind that fits",
        "best = next(t for t in fitting if _unexplained(t) == least)",
        "best = fitting[0]",
    ),
    (
        "rivals accepted",
        "if odd := [t for t in fitting if _rivals(t, best)]:",
        "if odd := [t for t in fitting if False]:",
    ),
    ("rivals that read the same layers", "and trial.reads != best.reads", "and trial is not best"),
    (
        "least of a torso named",
        "key=lambda t: (len(t.present), -trials.index(t))",
        "key=lambda t: (-len(t.present), -trials.index(t))",
    ),
    (
        "last of equal torsos named",
        "key=lambda t: (len(t.present), -trials.index(t))",
        "key=lambda t: (len(t.present), trials.index(t))",
    ),
    (
        "later kinds before earlier ones",
        "sorted(chosen, key=lambda t: rank[id(t.block)])",
        "sorted(chosen, key=lambda t: -rank[id(t.block)])",
    ),
    (
        "layers read again",
        "            if not earlier:\n                kept.append(found)",
        "            kept.append(found)",
    ),
    ("layers read in part", "if earlier and earlier != found.reads:", "if False:"),
    (
        "a kind loses all its lines",
        "        trial.found = kept\n",
        "        trial.found = kept if len(kept) == len(trial.found) else []\n",
    ),
) + _in(
    "reparam/resolve.py",
    MATCH,
    ("odd sizes of some axis", "if not all(taps % 2 for", "if not any(taps % 2 for"),
    ("odd sizes of any number", "if not all(taps % 2 for", "if not all(taps % 2 or taps for"),
)

READ = _in(
    "reparam/recipe_toml.py",
    MATCH,
    ("paths not read", "if not PATTERN.fullmatch(text):", "if False:"),
    ("place not read", "self._check_pattern(key, text) if text or", "None if text or"),
    ("over itself", "if recipe.name in recipe.over:", "if False:"),
    ("empty texts", "if not text and key in self.values:", "if False:"),
    (
        "flags of any kind",
        "if not isinstance(value, bool):\n            raise",
        "if False:\n            raise",
    ),
    (
        "eps asked for without a reason to",
        "if (eps.value is None or bool(eps.unless)) != bool(eps.ask):",
        "if eps.value is None and not eps.ask:",
    ),
)

TORSOS = _in(
    "reparam/match.py",
    MATCH,
    ("torsos never tolerated", "if not t.present or not t.present <= accounted]", "]"),
    (
        "torsos always tolerated",
        "if not t.present or not t.present <= accounted]",
        "if not t.present]",
    ),
    (
        "torsos of nothing tolerated",
        "if not t.present or not t.present <= accounted]",
        "if not t.present <= accounted]",
    ),
    (
        "torsos of which a part is read",
        "if not t.present or not t.present <= accounted]",
        "if t.present.isdisjoint(accounted)]",
    ),
    (
        "layers of one kind of torso",
        "torsos[-1].present |= {path for t in trials for path in t.present}",
        "pass",
    ),
    (
        "norms that stay make torsos",
        "accounted = match.reads | match.keeps.keys() | taken",
        "accounted = match.reads | taken",
    ),
    ("apart ignored", "    for pattern in spelling.apart:\n", "    for pattern in ():\n"),
    (
        "apart from anywhere",
        "apart |= matching(root, pattern, candidates(pattern, index))",
        'apart |= matching("", "**." + pattern, candidates(pattern, index))',
    ),
    ("norms apart", "candidates(pattern, index)).difference(norms)", "candidates(pattern, index))"),
    (
        "layers apart half fused",
        "known = accounted | apart if match.found else accounted",
        "known = accounted",
    ),
    (
        "layers apart never fused",
        "known = accounted | apart if match.found else accounted",
        "known = accounted | apart",
    ),
    (
        "layers fused already make torsos",
        "accounted |= apart.union(match.fused)",
        "accounted |= apart",
    ),
    ("norms of a spelling ignored", "    for keep in spelling.keep:\n", "    for keep in ():\n"),
    (
        "norms of a spelling from anywhere",
        "found = matching(root, keep.norm, norms)",
        'found = matching("", "**." + keep.norm, norms)',
    ),
    (
        "norms of a spelling though read",
        "found - match.reads - match.keeps.keys() - taken",
        "found - match.keeps.keys() - taken",
    ),
    (
        "norms of a spelling before those of a block",
        "found - match.reads - match.keeps.keys() - taken",
        "found - match.reads - taken",
    ),
    ("half fused accepted", "if match.found and match.bare:", "if False:"),
    ("fused taken for half fused", "if match.found and match.bare:", "if match.bare:"),
    (
        "layers of others half fused",
        "match.bare = [path for path in match.bare if path not in known]",
        "pass",
    ),
    ("complete ignored", "if match.found and spelling.complete:", "if False:"),
    ("complete always", "if match.found and spelling.complete:", "if match.found:"),
    (
        "complete beyond the root",
        "if path.startswith(root) and path not in accounted",
        "if path not in accounted",
    ),
) + _in(
    "reparam/match.py",
    CHOICE,
    (
        "layers of recipes above make torsos",
        "accounted = match.reads | match.keeps.keys() | taken",
        "accounted = match.reads | match.keeps.keys()",
    ),
    (
        "norms of recipes above stay",
        "found - match.reads - match.keeps.keys() - taken",
        "found - match.reads - match.keeps.keys()",
    ),
)

ROOTS = (
    _in(
        "reparam/match.py",
        MATCH,
        (
            "root of the first need",
            'next((n for n in spelling.needs if not n.startswith("**")), None)',
            "next(iter(spelling.needs), None)",
        ),
        (
            "needs without a root ignored",
            'return [""] if all(exists("", n, index) for n in rest) else []',
            'return [""]',
        ),
        (
            "other needs ignored",
            "missing = [n for n in rest if not exists(root, n, index)]",
            "missing = []",
        ),
        ("needs of which none is there", "elif len(missing) < len(rest):", "else:"),
        ("one root", "return sorted(set(roots))", "return roots[:1]"),
        ("needs at the top", "return index.get(root + pattern)", "return index.get(pattern)"),
        (
            "result alone not found",
            "for name in (*_required(line.tree), line.output)}",
            "for name in _required(line.tree)}",
        ),
        (
            "blocks found by their first layer",
            "for name in (*_required(line.tree), line.output)}",
            "for name in (_required(line.tree)[0], line.output)}",
        ),
        (
            "kinds at the root compete",
            '(found["block"], bool(block.at))',
            '(found["block"], False)',
        ),
        (
            "any path in the middle only",
            'if not at or block.at.endswith("**") else',
            'if block.at in ("", "**") else',
        ),
        ("spellings compete", "if match.reads & claimed:", "if False:"),
        (
            "a refused spelling keeps its layers",
            "                layers_seen = frozenset(match.reads | torn)\n",
            (
                "                layers_seen = frozenset(match.reads | torn)\n"
                "                claimed |= match.reads\n"
            ),
        ),
        ("norms that stay are unknown", "(*trial.block.beside, *kept)", "trial.block.beside"),
    )
    + _in(
        "reparam/match.py",
        LINES,
        ("lines of which all may be absent", "return needed or [", "return needed and ["),
    )
    + _in(
        "reparam/match.py",
        CHOICE,
        (
            "misses of what others read",
            "layers_seen = frozenset(match.reads | torn)",
            "layers_seen = frozenset[str]()",
        ),
        (
            "misses of blocks that are not whole",
            "layers_seen = frozenset(match.reads | torn)",
            "layers_seen = frozenset(match.reads)",
        ),
        ("misses of norms that no line reads", "        torn |= set(left)\n", ""),
        (
            "layers of recipes above read",
            "    for trial in chosen:\n        trial.leave(taken)\n",
            "",
        ),
    )
    + _in(
        "reparam/patterns.py",
        MATCH,
        ("any number", "if not 0 < least <= _LARGEST_DIGIT:", "if True:"),
        ("numbers of one digit", "(?:[{least}-9]|[1-9]\\d{{1,8}})", "[{least}-9]"),
        ("names of any depth", 'parts.append(r"[^.]+")', 'parts.append(r".+")'),
    )
    + _in(
        "reparam/patterns.py",
        LINES,
        ("number one too large", "int(v) - int(holes[k][3] or 0)", "int(v)"),
        ("number one too small", "str(value + int(found[3] or 0) if", "str(value if"),
    )
)

TRIALS = (
    _in(
        "reparam/trial.py",
        MATCH,
        ("result without a bias", ' and "bias" in output.tensors', ""),
        (
            "deployed whatever is there",
            "if deployed and present in ([], [line.output]):",
            "if deployed:",
        ),
        (
            "pairs without their norm",
            "if deployed and present in ([], [line.output]):",
            "if deployed and not present:",
        ),
        (
            "named results are bare",
            "        if present:\n            trial.bare",
            "        if True:\n            trial.bare",
        ),
        ("lines that may be absent", "if not seen and line in block.fuse:", "if not seen:"),
        ("lines that must be there", "if not seen and line in block.fuse:", "if False:"),
        ("shapes not asked", "    if not trial.problems:\n", "    if False:\n"),
        ("wrong shapes taken for names", "trial.misfit = True", "pass"),
        (
            "layers of wrong shapes",
            "        trial.present |= trial.reads\n        trial.misfit = True\n",
            "        trial.misfit = True\n",
        ),
        (
            "layers of lines that are not all there",
            '            trial.present |= trial.reads\n            trial.problems.append(f"',
            '            trial.problems.append(f"',
        ),
        ("single lines apart", "    if here <= apart:\n", "    if False:\n"),
        ("single lines of which a part is apart", "if here <= apart:", "if here & apart:"),
        ("alone ignored", "if block.alone and trial.found", "if False and trial.found"),
        ("alone always", "if block.alone and trial.found", "if trial.found"),
        (
            "layers that are not alone",
            'stands beside")\n            trial.present |= trial.reads\n',
            'stands beside")\n',
        ),
        (
            "beside unread",
            "unread_tensors(path, trial.reads, exempt, index)",
            "unread_tensors(path, trial.reads, (), index)",
        ),
        (
            "norms that stay unread",
            "exempt = (*block.beside, *(k.norm for k in block.keep))",
            "exempt = block.beside",
        ),
        ("beside by its beginning", 'r"(?:\\..+)?"', 'r".*"'),
        ("beside without what is below", 'r"(?:\\..+)?"', 'r"(?:\\.[^.]+)?"'),
        (
            "norms that stay are names",
            'if not PLACEHOLDER.search(norm) and "*" not in norm:',
            "if True:",
        ),
        ("lines without layers", "if _hollow(tree) or not names:", "if _hollow(tree):"),
        (
            "a whole file has nothing beside",
            'start = re.escape(f"{path}." if path else "")',
            'start = re.escape(f"{path}.")',
        ),
        ("shared layers", "tuple(n for n in names if n in trial.block.shared)", "()"),
    )
    + _in(
        "reparam/trial.py",
        LINES,
        (
            "minus of a lone branch",
            "if len(kept_terms) == 1 and kept_terms[0][0] > 0:",
            "if len(kept_terms) == 1:",
        ),
        (
            "half an optional part",
            "any(there(x.name) for x in layers(node))",
            "all(there(x.name) for x in layers(node))",
        ),
        ("sums of nothing", "if _hollow(tree) or not names:", "if not names:"),
        (
            "sign of numbered branches",
            "done += [(sign * s, t) for s, t in wide.terms]",
            "done += wide.terms",
        ),
        (
            "numbers within a result",
            "(anchor == line.output and module.kind",
            "(False and module.kind",
        ),
    )
    + _in(
        "reparam/trial.py",
        CHOICE,
        (
            "a block lost for a line",
            "self.found = [found for found in self.found if taken.isdisjoint(found.reads)]",
            "self.found = self.found if taken.isdisjoint(self.reads) else []",
        ),
        ("reasons of lost blocks", "        if not self.found:\n            self.keeps = {}\n", ""),
    )
)

CHANNELS = _in(
    "reparam/channels.py",
    LINES,
    (
        "inputs taken for outputs",
        "if told is None and any(copies(t) for _, t in terms):",
        "if told is None:",
    ),
    (
        "identities tell nothing",
        "if told is None and any(copies(t) for _, t in terms):",
        "if False:",
    ),
    (
        "a number in front hides the rest",
        "return self.inputs(next((s for s in steps if not copies(s)), steps[0]))",
        "return self.inputs(steps[0])",
    ),
    ("groups of a recipe ignored", 'if module.kind == "conv" and "groups" in wanted:', "if False:"),
    (
        "outputs of the first layer",
        "(self.outputs(s) for s in reversed(steps))",
        "(self.outputs(s) for s in steps)",
    ),
    (
        "number among layers",
        "return all(copies(s) for s in steps)",
        "return any(copies(s) for s in steps)",
    ),
) + _in(
    "reparam/resolve.py",
    LINES,
    ("groups of the outputs", "groups = channels // shape[1]", "groups = shape[0] // shape[1]"),
    ("windows of any shape", "side**2 != shape[1] or ", ""),
    ("windows of a part of an image", "shape[0] % shape[1] or ", ""),
    ("windows with taps", " or set(shape[2:]) - {1}", ""),
    ("images not counted", 'groups = self.images if "window" in wanted else 1', "groups = 1"),
    ("windows forgotten", "        self.window = side\n", ""),
    ("shift taken for a factor", 'ops.ShiftOp if "add" in', 'ops.ScaleOp if "add" in'),
    ("factor taken for a shift", 'ops.ShiftOp if "add" in', 'ops.ShiftOp if "add" not in'),
    (
        "two convolutions in a row",
        'if module.kind == "conv" and any(m.kind == "conv" for m in earlier):',
        "if False:",
    ),
    (
        "norms of windows not repeated",
        "replace(op, channels=op.channels * side**2, repeat=side**2)",
        "replace(op, channels=op.channels * side**2)",
    ),
)

PLACES = _in(
    "reparam/binding.py",
    LINES,
    (
        "a file becomes a layer",
        "        if not name:\n            raise",
        "        if False:\n            raise",
    ),
    ("layers below taken for a placeholder", "if not reads.isdisjoint(below):", "if False:"),
    (
        "any layer a placeholder",
        "any(self.index.shape(n) != shapes.get(n) for n in below)",
        "False",
    ),
    ("placeholders copied", "        return below\n", "        return []\n"),
    ("neutral norms of windows", " and pair[1].repeat == 1", ""),
    ("pairs merged", "if not isinstance(f.after, ops.ChainOp) and _normed(f)]", "if _normed(f)]"),
    (
        "layers without norms merged",
        "if not isinstance(f.after, ops.ChainOp) and _normed(f)]",
        "if not isinstance(f.after, ops.ChainOp)]",
    ),
    ("merged though removed", 'if self.settings.batch_norm == "neutral" and merged:', "if merged:"),
)

CHOICES = (
    _in(
        "reparam/search.py",
        CHOICE,
        (
            "over reversed",
            "for r in recipes if recipe.name in r.over and r.name in held]",
            "for r in recipes if r.name in recipe.over and r.name in held]",
        ),
        (
            "over ignored",
            "for r in recipes if recipe.name in r.over and r.name in held]",
            "for r in recipes if False]",
        ),
        (
            "over in the order of the list",
            "sorted(recipes, key=lambda r: _depth(r, recipes))",
            "recipes",
        ),
        (
            "over of two levels only",
            "    while above and depth <= len(recipes):\n",
            "    while above and depth <= 1:\n",
        ),
        (
            "recipes not used hold their layers",
            '{why}", frozenset(match.reads)))',
            '{why}", frozenset(match.reads))); mine |= match.reads',
        ),
        (
            "recipes in the order they are looked for",
            "    found.sort(key=lambda match: recipes.index(match.recipe))\n",
            "",
        ),
        ("misses that others explain", "if not n.layers or not n.layers <= read]", "]"),
        (
            "misses of which others read a part",
            "if not n.layers or not n.layers <= read]",
            "if not n.layers & read]",
        ),
        (
            "misses of recipes that nobody named",
            "        if named or not recipe.by_name:\n",
            "        if True:\n",
        ),
        ("by_name ignored", "if match.recipe.by_name and not named:", "if False:"),
        (
            "by_name though named",
            "if match.recipe.by_name and not named:",
            "if match.recipe.by_name:",
        ),
        (
            "doubt waived by a name that has to be said",
            "return None if named and not match.recipe.by_name else",
            "return None if named else",
        ),
        (
            "doubt though named",
            "return None if named and not match.recipe.by_name else _doubt",
            "return _doubt",
        ),
        (
            "doubt waived",
            "return None if named and not match.recipe.by_name else _doubt(match, index)",
            "return None",
        ),
        ("any width settles", "return width > out or (", "return width != out or ("),
        ("grouped 1x1 settles nothing", "(width != out and all(k == 1 for k in space))", "False"),
        ("a grouped 1x1 settles all", "if strict and out % width == 0:", "if False:"),
        ("strict with every recipe", "if strict and out % width == 0:", "if out % width == 0:"),
        (
            "installed recipes always asked",
            "if names is None and (not claims.found or claims.norms_left(index)):",
            "if names is None:",
        ),
        (
            "installed recipes asked though one is named",
            "if names is None and (not claims.found or claims.norms_left(index)):",
            "if not claims.found or claims.norms_left(index):",
        ),
        (
            "installed recipes never asked",
            "if names is None and (not claims.found or claims.norms_left(index)):",
            "if False:",
        ),
        (
            "installed recipes for files without others",
            "if names is None and (not claims.found or claims.norms_left(index)):",
            "if names is None and not claims.found:",
        ),
        (
            "installed recipes instead of the others",
            "_search((*recipes, *more), index, source, named=False)",
            "_search((*more,), index, source, named=False)",
        ),
        (
            "installed recipes taken for named",
            "_search((*recipes, *more), index, source, named=False)",
            "_search((*recipes, *more), index, source, named=True)",
        ),
        (
            "norms that stay are left",
            "for path in (*match.reads, *match.keeps)}",
            "for path in match.reads}",
        ),
        (
            "two recipes on one layer",
            "if path in owner and owner[path].recipe is not match.recipe:",
            "if False:",
        ),
    )
    + _in(
        "reparam/recipe_plan.py",
        CHOICE,
        (
            "near misses always told",
            "    if claims.norms_left(index):\n        notes",
            "    if True:\n        notes",
        ),
        (
            "near misses never told",
            "    if claims.norms_left(index):\n        notes",
            "    if False:\n        notes",
        ),
        ("half of the parameters", "if len(there) == 1:", "if False:"),
        ("norms without parameters", "if len(there) == 1:", "if len(there) < 2:"),
        (
            "parameters of norms that stay",
            "{path for match in found for path in match.reads}.intersection(index.norms())",
            "set(index.norms())",
        ),
    )
    + _in(
        "reparam/search.py",
        CHOICE,
        ("never ignored", "        if match.never:\n", "        if False:\n"),
    )
    + _in(
        "reparam/match.py",
        CHOICE,
        (
            "never from anywhere",
            "matching(root, never.layer, candidates(never.layer, index))",
            'matching("", "**." + never.layer, candidates(never.layer, index))',
        ),
    )
    + _in(
        "reparam/eps.py",
        CHOICE,
        ("two eps", "if len(stated) > 1 and not preview:", "if False:"),
        (
            "eps of recipes without norms",
            "        if not match.reads.isdisjoint(index.norms())\n",
            "",
        ),
        (
            "eps of the first recipe for all",
            "    return chosen\n\n\ndef _of_recipe",
            "    return chosen[:1] * len(chosen)\n\n\ndef _of_recipe",
        ),
        (
            "eps never asked beside layers",
            'or any(exists("", f"**.{layer}", index) for layer in eps.unless):',
            "or False:",
        ),
        (
            "eps asked beside layers at the top only",
            'exists("", f"**.{layer}", index)',
            'exists("", layer, index)',
        ),
        ("eps of the recipe though said", "    if said is not None:\n", "    if False:\n"),
    )
    + _in(
        "reparam/recipe_plan.py",
        MATCH,
        (
            "what is made anew is half fused",
            "made = {join(b.block, b.line.output) for b in bindings}",
            "made: set[str] = set()",
        ),
    )
    + _in(
        "reparam/library.py",
        LIBRARY,
        (
            "name of a built-in recipe",
            "if name in recipes or name in built_in_names():",
            "if name in recipes:",
        ),
        ("packages without recipes", "if found == len(recipes):", "if False:"),
        ("other packages not asked", "    if name in _installed():\n", "    if False:\n"),
    )
    + _in(
        "reparam/library.py",
        CHOICE,
        ("recipes without needs left out", '< text.count("[[spelling]]"):', "< 0:"),
        ("any word of a need", "if set(parts) <= words:", "if set(parts) & words:"),
        (
            "needs of any place first",
            'next((n for n in names if not n.startswith("**")), ".".join(names))',
            "names[0]",
        ),
        (
            "first need of any place",
            'n.startswith("**")), ".".join(names))',
            'n.startswith("**")), names[0])',
        ),
        ("patterns are words", "if not _PATTERN.search(part))", ")"),
        (
            "first spelling decides",
            "            return True\n    return False",
            "            return True\n        return False\n    return False",
        ),
    )
)

ADDED = (
    _in(
        "reparam/layers.py",
        SHIFT,
        ("sign of a shift", "conv.bias + shift, conv", "conv.bias - shift, conv"),
        ("shift multiplied", "conv.bias + shift, conv", "conv.bias * shift, conv"),
        ("shift of a biased layer", "conv.bias + shift, conv", "0 * conv.bias + shift, conv"),
    )
    + _in(
        "reparam/fold.py",
        SHIFT,
        ("shift of a slab", "else shift[slice(*rows)]", "else shift[: rows[1] - rows[0]]"),
    )
    + _in(
        "reparam/reference.py",
        SHIFT,
        (
            "sign of a shift",
            "y + _vector(read, tensor, None if single else rows, y)",
            "y - _vector(read, tensor, None if single else rows, y)",
        ),
        (
            "rows of a shift",
            "y + _vector(read, tensor, None if single else rows, y)",
            "y + _vector(read, tensor, None, y)",
        ),
    )
    + _in(
        "reparam/operations.py",
        f"{FOLD}::test_what_a_shift_reads_and_whether_it_needs_a_bias",
        (
            "shift without a bias",
            "isinstance(x, NormOp | ShiftOp) or",
            "isinstance(x, NormOp) or",
        ),
    )
)

PIXELS = (
    _in(
        "reparam/windows.py",
        WINDOWS,
        ("taps mirrored", "[d * t - o for", "[o - d * t for"),
        ("dilation ignored", "[d * t - o for", "[t - o for"),
        ("origin ignored", "[d * t - o for", "[d * t - (d * 1) for"),
        (
            "pixels before channels",
            "kernel.reshape(out * pixels, width * pixels)",
            (
                "np.moveaxis(kernel.reshape(out, pixels, -1), 0, 1)"
                ".reshape(out * pixels, width * pixels)"
            ),
        ),
        (
            "pixels of outputs column by column",
            "kernel.reshape(out * pixels, width * pixels)",
            (
                "kernel.transpose(0, *range(conv.rank, 0, -1), *range(conv.rank + 1, kernel.ndim))"
                ".reshape(out * pixels, width * pixels)"
            ),
        ),
        ("windows wrap around", "if all(0 <= a < n for", "if all(-n <= a < n for"),
        ("bias of the pixels", "conv.bias.repeat(pixels)", "np.tile(conv.bias, pixels)"),
        ("strided windows", " or any(s != 1 for s in conv.stride):", ":"),
        ("transposed windows", "if conv.transposed or any(", "if any("),
    )
    + _in(
        "reparam/norm.py",
        WINDOWS,
        ("norm tiled", "v.repeat(times)", "np.tile(v, times)"),
    )
    + _in(
        "reparam/fold.py",
        WINDOWS,
        ("norm not repeated", ".repeat(op.repeat)", ""),
        (
            "windows of a slab",
            "(rows[0] // pixels, rows[1] // pixels)",
            "(0, (rows[1] - rows[0]) // pixels)",
        ),
        ("inputs of windows", "(first * pixels, last * pixels)", "(first, last)"),
    )
    + _in(
        "reparam/reference.py",
        WINDOWS,
        (
            "norm tiled",
            "np.repeat(read(name).astype(like.dtype).reshape(-1), each)",
            "np.tile(read(name).astype(like.dtype).reshape(-1), each)",
        ),
        (
            "windows of a slab",
            "y = _run(inner, read, windows, (rows[0] // pixels, rows[1] // pixels))",
            "y = _run(inner, read, windows, (0, (rows[1] - rows[0]) // pixels))",
        ),
        (
            "windows across the image",
            "np.moveaxis(x, 1, -1).reshape(-1, ops.inputs(inner), *size)",
            "x.reshape(-1, ops.inputs(inner), *size)",
        ),
    )
    + _in(
        "reparam/operations.py",
        WINDOWS,
        ("outputs of windows", "return outputs(inner) * op.pixels", "return outputs(inner)"),
        ("inputs of windows", "return inputs(inner) * op.pixels", "return inputs(inner)"),
        (
            "windows cut apart",
            "return row_unit(inner) * op.pixels",
            "return row_unit(inner)",
        ),
        ("reach of windows", "return first * op.pixels, last * op.pixels", "return first, last"),
    )
    + _in(
        "reparam/frames.py",
        WINDOWS,
        (
            "frame of windows",
            "return Frame(frame(inner).groups, (), (), ())",
            "return frame(inner)",
        ),
    )
    + _in(
        "reparam/proof.py",
        WINDOWS,
        ("signs within windows", "return replace(op, inner=positive(inner))", "return op"),
    )
)

LISTS = _in(
    "reparam/digest.py",
    DIGEST,
    (
        "ranges as texts",
        'key=lambda v: (len(v.lstrip("0")), v.lstrip("0"), v)',
        "key=lambda v: v",
    ),
    (
        "ranges by length",
        'key=lambda v: (len(v.lstrip("0")), v.lstrip("0"), v)',
        "key=lambda v: (len(v), v)",
    ),
    (
        "first and last as they come",
        "{{{ordered[0]}..{ordered[-1]}}}",
        "{{{values[0]}..{values[-1]}}}",
    ),
    ("one number as a range", "ordered[0] if len(ordered) == 1 else", ""),
    ("rows not counted", 'f"{first} ({len(group)})" if len(group) > 1 else first', "first"),
    ("rows counted though one", " if len(group) > 1 else first, *rest", ", *rest"),
    ("short lists folded", "if len(rows) <= most:", "if len(rows) < most:"),
    (
        "rows folded by their first column",
        'tuple(_NUMBER.sub("#", text) for text in row)',
        '_NUMBER.sub("#", row[0])',
    ),
)

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
    *KINDS,
    *READ,
    *TORSOS,
    *ROOTS,
    *TRIALS,
    *CHANNELS,
    *PLACES,
    *CHOICES,
    *ADDED,
    *PIXELS,
    *LISTS,
    *KERAS_AXES,
    *KERAS_TAPS,
    *KERAS_BRANCHES,
    *KERAS_PAIRS,
    *KERAS_FILES,
]
