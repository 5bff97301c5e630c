"""One block: folded as a whole and slab by slab, and run layer by layer."""

from mutants.record import Mutant, edits

FUSE = "tests/test_fuse.py"
CUSTOM = "tests/test_custom.py"
FOLD = "tests/test_fold.py"
SHIFT = "tests/test_fold.py::test_a_shift_is_added_to_the_bias_alone"
SLAB = "tests/test_fold.py::test_a_slab_has_the_bytes_of_the_rows_of_the_whole"
REFERENCE = "tests/test_reference.py"
WINDOWS = "tests/test_windows.py"

FOLDED = [
    *edits(
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
    *edits(
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
    *edits(
        "reparam/operations.py",
        SLAB,
        ("groups cut apart", "return op.outputs // op.groups if op.groups > 1 else 1", "return 1"),
        ("inner groups cut apart", "elif row_unit(step) > 1:", "elif False:"),
        ("inputs of the first group", "return first * op.shape[1], last", "return 0, last"),
    ),
    *edits(
        "reparam/reference.py",
        SLAB,
        (
            "rows of a scale",
            "y * _vector(read, tensor, None if single else rows, y)",
            "y * _vector(read, tensor, None, y)",
        ),
    ),
]

JUDGE = edits(
    "reparam/reference.py",
    REFERENCE,
    ("image beyond the border is zero", 'if op.border == "image":', "if False:"),
    ("valid border is zero", 'if op.border == "valid":', "if False:"),
    ("eps forgotten", "np.sqrt(var + last.eps)", "np.sqrt(var)", "test_a_norm_is_its_definition"),
    (
        "signs lost",
        "total + sign * _run(",
        "total + _run(",
        "test_scales_multiply_and_branches_add_with_their_signs",
    ),
    (
        "average of one tap more",
        "/ len(windows)",
        "/ (len(windows) + 1)",
        "test_an_average_counts_the_padding",
    ),
    (
        "average centred by k // 2",
        "tuple((k - 1) // 2 for k in size), size)",
        "tuple(k // 2 for k in size), size)",
        "test_an_average_counts_the_padding",
    ),
    (
        "probe that misses a tap",
        "max(o, s - o) + 1 for o, s",
        "max(o, s - o) for o, s",
        "test_the_probe_image_is_the_smallest_on_which_every_tap_meets_a_pixel",
    ),
    (
        "larger probe than needed",
        "max(o, s - o) + 1 for o, s",
        "o + s + 1 for o, s",
        "test_the_probe_image_is_the_smallest_on_which_every_tap_meets_a_pixel",
    ),
    (
        "probe of one layer of a sequence",
        "sum(axis) - len(axis) + 1 for axis",
        "max(axis) for axis",
        "test_the_probe_image_of_two_layers_is_met_by_the_taps_of_both",
    ),
    (
        "algebra imported",
        "from reparam import operations as ops",
        "from reparam import algebra, operations as ops",
        "test_the_reference_knows_neither_fold_nor_algebra",
    ),
)

ADDED = (
    edits(
        "reparam/layers.py",
        SHIFT,
        ("sign of a shift", "conv.bias + shift, conv", "conv.bias - shift, conv"),
        ("shift multiplied", "conv.bias + shift, conv", "conv.bias * shift, conv"),
        ("shift of a biased layer", "conv.bias + shift, conv", "0 * conv.bias + shift, conv"),
    )
    + edits(
        "reparam/fold.py",
        SHIFT,
        ("shift of a slab", "else shift[slice(*rows)]", "else shift[: rows[1] - rows[0]]"),
    )
    + edits(
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
    + edits(
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
    edits(
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
    + edits(
        "reparam/norm.py",
        WINDOWS,
        ("norm tiled", "v.repeat(times)", "np.tile(v, times)"),
    )
    + edits(
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
    + edits(
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
    + edits(
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
    + edits(
        "reparam/frames.py",
        WINDOWS,
        (
            "frame of windows",
            "return Frame(frame(inner).groups, (), (), ())",
            "return frame(inner)",
        ),
    )
    + edits(
        "reparam/bounds.py",
        WINDOWS,
        ("signs within windows", "return replace(op, inner=positive(inner))", "return op"),
    )
)


COVERED = [
    *edits(
        "reparam/state_dict.py",
        "tests/test_fuse.py",
        (
            "never verified",
            "verify=verify",
            "verify=False",
            "test_a_wrong_fold_of_a_state_dict_is_caught",
        ),
        (
            "unordered results",
            "dict(sorted(made.items()))",
            "made",
            "test_a_fused_state_dict_is_in_the_order_of_its_names",
        ),
    ),
    *edits(
        "reparam/state_dict.py",
        "tests/test_keras_arrays.py",
        ("any layout", 'if layout not in ("torch", "keras"):', "if False:"),
    ),
    *edits(
        "reparam/state_dict.py",
        FUSE,
        (
            "tied layers fused",
            "    _check_tied(plan, held)\n",
            "    pass\n",
            "test_tied_kernels_are_refused",
        ),
        (
            "ties of copies cut",
            "copies.setdefault(_place(held[name]), np.array(held[name]))",
            "np.array(held[name])",
            "test_ties_between_copied_tensors_are_kept",
        ),
        (
            "copies are views",
            "np.array(held[name]))",
            "held[name])",
            "test_state_dict_is_not_changed_and_not_aliased",
        ),
        (
            "slabs all at the start",
            "made[name][start : start + len(rows)] = rows",
            "made[name][: len(rows)] = rows",
            "test_slabs_have_the_bytes_of_the_whole",
        ),
    ),
    *edits(
        "reparam/fold.py",
        FOLD,
        (
            "fold of one row",
            "return Folder(op, read).conv(rows or (0, ops.outputs(op)))",
            "return Folder(op, read).conv(rows or (0, 1))",
            "test_fold_is_run[plain]",
        ),
    ),
]

MUTANTS = [*FOLDED, *SLABS, *JUDGE, *ADDED, *PIXELS, *COVERED]
