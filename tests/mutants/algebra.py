"""The algebra: norms, layers, sums and sequences."""

from mutants.record import edits

KERAS_ARRAYS = "tests/test_keras_arrays.py"
NORMS = "tests/test_norm.py"
ALGEBRA = "tests/test_algebra.py"
EXACT = "tests/test_exact.py"
SEQUENCES = "tests/test_sequences.py"
PURITY = "tests/test_purity.py"
REFUSALS = "tests/test_refusals.py"
_TOTAL = "total, rest = two_sum(var, np.full_like(var, eps))"
_PRODUCT = 'np.multiply(flat, factors[:, None], dtype=np.float64, order="C")'
_POINT = "point = regroup(channel_scale(np.ones(channels)), groups)"
_CHANNELS = "np.arange(channels)[:, None]"
_TAPS = 'taps = np.array(kernel, dtype=np.float64, order="C")'

NORM = edits(
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
) + edits(
    "reparam/norm.py",
    EXACT,
    (
        "what rounding the bias lost",
        "return total + (lost + rest)",
        "return total",
        "test_biases_that_cancel_to_the_last_digit[float32]",
    ),
    ("what rounding the scale lost", "(quotient - scale) + correction", "0 * scale"),
)

CONTRACT = [
    *edits(
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
    *edits(
        "reparam/layers.py",
        REFUSALS,
        ("average without padding", "if not count_include_pad:", "if False:"),
    ),
    *edits(
        "reparam/layers.py",
        PURITY,
        ("scaled in place", _PRODUCT, "np.multiply(flat, factors[:, None], out=flat)"),
    ),
    *edits(
        "reparam/linear.py",
        PURITY,
        (
            "memory layout ignored",
            _TAPS,
            'taps = np.array(kernel, dtype=np.float64).ravel("K").reshape(np.shape(kernel))',
        ),
        ("view of the kernel kept", _TAPS, "taps = np.asarray(kernel, dtype=np.float64)"),
    ),
    *edits(
        "reparam/linear.py",
        REFUSALS,
        ("NaN in a kernel becomes 0", 'check_finite(taps, "kernel")', "np.nan_to_num(taps)"),
        ("half a pixel accepted", "map(operator.index,", "map(int,"),
    ),
    *edits(
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
    *edits(
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
    *edits(
        "reparam/algebra.py",
        REFUSALS,
        ("unknown border accepted", "if border not in get_args(Border):", "if False:"),
    ),
]

LAYERS = edits(
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
        "test_an_identity_kernel_copies_the_image",
    ),
    (
        "identity i // groups",
        _POINT,
        f"point = Conv({_CHANNELS} // groups == np.arange(channels // groups), None, groups)",
        "test_an_identity_kernel_copies_the_image",
    ),
    ("scale without the bias", "conv.bias * factors, conv", "conv.bias, conv"),
    (
        "per-channel bias dropped",
        "bias, groups=factors.size",
        "None, groups=factors.size",
        "test_a_channel_scale_is_its_definition",
    ),
    (
        "average of one tap more",
        "1.0 / taps",
        "1.0 / (taps + 1)",
        "test_an_average_pool_is_the_mean_of_each_padded_window",
    ),
) + edits(
    "reparam/layers.py",
    EXACT,
    (
        "float32 arithmetic",
        _PRODUCT,
        "np.multiply(flat, factors[:, None], dtype=np.float32).astype(np.float64)",
    ),
)


SUMS = edits(
    "reparam/algebra.py",
    ALGEBRA,
    (
        "bias of an identity dropped",
        "bias += term.bias",
        "bias += term.bias * (term.groups < term.inputs)",
        "test_a_sum_of_branches_is_the_sum_of_their_outputs",
    ),
    (
        "bias of later branches dropped",
        "bias += term.bias",
        "pass",
        "test_a_sum_of_branches_is_the_sum_of_their_outputs",
    ),
    (
        "origin not compared",
        "(t.space, t.dilation, t.origin) for t",
        "(t.space, t.dilation) for t",
        "test_kernels_of_one_size_and_other_origins_are_not_added_tap_by_tap",
    ),
    (
        "dilation not compared",
        "(t.space, t.dilation, t.origin) for t",
        "(t.space, t.origin) for t",
        "test_branches_that_differ_in_one_thing_are_aligned",
    ),
    (
        "biases in another order than the kernels",
        "np.concatenate([t.bias for t in terms])",
        "np.concatenate([t.bias for t in terms[::-1]])",
        "test_a_concatenation_stacks_the_outputs",
    ),
)

SEQUENCE = edits(
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
        "test_a_sequence_is_exact_along_the_border_or_refused[layers2-zero]",
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


COVERED = [
    *edits(
        "reparam/norm.py",
        NORMS,
        (
            "two_sum for a larger first term only",
            "(a - (total - part)) + (b - part)",
            "b - part",
            "test_a_sum_and_what_it_lost_are_the_sum",
        ),
    ),
    *edits(
        "reparam/norm.py",
        EXACT,
        (
            "lowest halves of a product",
            " + a_low * b_high) + a_low * b_low",
            " + a_low * b_high)",
            "test_ordinary_layers[float64]",
        ),
        (
            "mixed halves of a product",
            " + a_low * b_high) + a_low * b_low",
            ") + a_low * b_low",
            "test_ordinary_layers[float64]",
        ),
    ),
    *edits(
        "reparam/layers.py",
        KERAS_ARRAYS,
        (
            "inputs scaled when square, kernels of Keras",
            "    flat = kernel.reshape(len(kernel), -1)",
            (
                "    if kernel.shape[0] == kernel.shape[1]:\n"
                "        return kernel * factors.reshape(1, -1, *(1,) * (kernel.ndim - 2))\n"
                "    flat = kernel.reshape(len(kernel), -1)"
            ),
            "test_a_state_dict_of_a_published_class_is_fused[:0]",
        ),
    ),
    *edits(
        "reparam/layers.py",
        ALGEBRA,
        (
            "scales of a depthwise layer in the other order",
            "        return scale_rows(kernel, factors)\n",
            "        return scale_rows(kernel, factors.reshape(-1, conv.groups).T.ravel())\n",
            "test_every_output_of_a_group_has_a_scale_of_its_own",
        ),
    ),
]

MUTANTS = [*NORM, *CONTRACT, *LAYERS, *SUMS, *SEQUENCE, *COVERED]
