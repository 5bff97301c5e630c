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
PADDING = "tests/test_padding.py"
LAYOUTS = "tests/test_layouts.py"
KERAS_RECIPES = "tests/test_keras_recipes.py"
KERAS_ARRAYS = "tests/test_keras_arrays.py"
KERAS_OUTPUT = "tests/test_keras_output.py"
GRAPHS = "tests/test_keras_graphs.py"
GOLDEN = "tests/test_keras_golden.py"


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
    *KERAS_AXES,
    *KERAS_TAPS,
    *KERAS_BRANCHES,
    *KERAS_PAIRS,
    *KERAS_FILES,
]
