"""The public test tools: convolutions, norms, trees and the assertion."""

from mutants.record import edits

SORTS = "tests/test_testing.py::test_convolutions_of_every_sort_are_drawn"
FIXED = "tests/test_testing.py::test_every_field_of_a_convolution_can_be_fixed"
NORMS = "tests/test_testing.py::test_the_root_of_a_norm_is_a_power_of_two"
HARD = "tests/test_testing.py::test_hostile_statistics_are_what_they_are_called"
TREES = "tests/test_testing.py::test_trees_of_every_sort_are_drawn"
LINES_OF_TREES = "tests/test_testing.py::test_a_tree_runs_as_its_fold_and_is_what_its_line_says"
EQUIVALENCE = "tests/test_equivalence.py"

MUTANTS = [
    *edits(
        "reparam/testing/layers.py",
        SORTS,
        (
            "kernels drawn square",
            "size = [draw(st.integers(1, 3)) for _ in range(rank)]",
            "size = [draw(st.integers(1, 3))] * rank",
        ),
        (
            "origins drawn in the centre",
            "[draw(st.integers(0, d * (k - 1) + 1)) for k, d in zip(size, dilation, strict=True)]",
            "[d * (k - 1) // 2 for k, d in zip(size, dilation, strict=True)]",
        ),
        ("no groups drawn", "if inputs % g == 0 == outputs % g]", "if g == 1]"),
        (
            "as many outputs drawn as inputs",
            "out = outputs or draw(st.one_of(st.just(into), counts))",
            "out = outputs or into",
        ),
        (
            "a bias always drawn",
            "wanted = draw(st.booleans()) if bias is None else bias",
            "wanted = True if bias is None else bias",
        ),
        (
            "one stride drawn for all axes",
            "(draw(st.integers(1, 2)) for _ in range(axes))",
            "[1] * axes",
        ),
    ),
    *edits(
        "reparam/testing/layers.py",
        "tests/test_testing.py::test_images_are_no_larger_and_no_smaller_than_asked_for",
        ("volumes as large as images", "end = min(most, 3) if rank > 2 else most", "end = most"),
    ),
    *edits(
        "reparam/testing/layers.py",
        "tests/test_testing.py::test_images_are_of_any_size_up_to_the_largest",
        (
            "images of one size",
            "[draw(st.integers(least, max(least, end))) for _ in range(rank)]",
            "[end] * rank",
        ),
    ),
    *edits(
        "reparam/testing/layers.py",
        FIXED,
        ("a fixed stride ignored", "stride=steps if stride is None else stride,", "stride=steps,"),
        ("a fixed origin ignored", "origin=place if origin is None else origin,", "origin=place,"),
        (
            "transposed kernels drawn as plain ones",
            "(into, out) if transposed else (out, into)",
            "(out, into)",
        ),
        ("a fixed bias ignored", "if isinstance(bias, bool) or bias is None:", "if True:"),
    ),
    *edits(
        "reparam/testing/layers.py",
        NORMS,
        (
            "variances drawn without eps",
            "rng.integers(least, least + 4, channels) - eps",
            "rng.integers(least, least + 4, channels)",
        ),
        (
            "weights of norms drawn in thirds",
            "[-0.5, 0.5, 1, 2, 3], channels",
            "[-0.5, 0.5, 1, 2 / 3], channels",
        ),
    ),
    *edits(
        "reparam/testing/layers.py",
        "tests/test_testing.py::test_what_a_norm_must_be_can_be_fixed",
        ("affine ignored", "absent = st.just(not affine) if affine is not None else", "absent ="),
        ("affine reversed", "st.just(not affine)", "st.just(affine)"),
        (
            "a fixed eps ignored",
            "constant = draw(st.sampled_from(EPS)) if eps is None else eps",
            "constant = draw(st.sampled_from(EPS))",
        ),
    ),
    *edits(
        "reparam/testing/layers.py",
        "tests/test_testing.py::test_numbers_of_convolutions_are_small_and_whole",
        (
            "weights drawn in thirds",
            "values: NDArray[Any] = draw(seeds).integers(-4, 5, shape)",
            "values: NDArray[Any] = draw(seeds).integers(-4, 5, shape) / 3",
        ),
    ),
    *edits(
        "reparam/testing/statistics.py",
        HARD,
        (
            "cancelling shifts doubled",
            'shift = norm["running_mean"] *',
            'shift = -norm["running_mean"] *',
        ),
        (
            "negative weights of either sign",
            '{"weight": -np.abs(norm["weight"])',
            '{"weight": norm["weight"] * 0',
        ),
        ("huge weights that are large", "_weight((60, 89))", "_weight((0, 9))"),
        (
            "no variance left",
            'norm["running_var"] *= rng.integers(0, 2, channels)',
            'norm["running_var"] *= 0',
        ),
        ("ties not beside the middle", "(odd + 2 * beside)", "odd"),
    ),
    *edits(
        "reparam/testing/statistics.py",
        "tests/test_testing.py::test_ties_are_a_hair_beside_the_middle",
        (
            "ties beside neighbours",
            "odd = 2 * rng.integers(2 ** (digits - 1), 2**digits) + 1",
            "odd = 2 * rng.integers(2 ** (digits - 1), 2**digits)",
        ),
        ("ties far from the middle", "20, np.where(digits == _DIGITS[0], 29, 51)", "2, 5"),
    ),
    *edits(
        "reparam/testing/statistics.py",
        "tests/test_testing.py::test_hostile_statistics_are_legal",
        ("zero variances without eps", "eps = eps or 1e-5", "eps = eps or 0.0"),
    ),
    *edits(
        "reparam/testing/statistics.py",
        "tests/test_testing.py::test_illegal_statistics_are_what_they_are_called",
        ("infinity always positive", "value * rng.choice([-1, 1])", "value"),
        ("no variance between -eps and 0", "eps / 2 or 1.0, 1e-45", "1.0"),
    ),
    *edits(
        "reparam/testing/statistics.py",
        "tests/test_testing.py::test_every_kind_of_statistics_is_drawn",
        ("one kind of statistics drawn", "draw(st.sampled_from(sorted(kinds)))", "min(kinds)"),
        (
            "legal statistics drawn for illegal ones",
            "dict(LEGAL if legal else ILLEGAL)",
            "dict(LEGAL)",
        ),
    ),
    *edits(
        "reparam/testing/statistics.py",
        "tests/test_testing.py::test_the_constant_of_hostile_statistics_can_be_fixed",
        (
            "no variance with eps taken for illegal",
            '"no variance" if eps else "zero variance"',
            '"zero variance"',
        ),
        (
            "ties without their eps",
            'variances = norm["running_var"] - eps',
            'variances = norm["running_var"] - 2',
        ),
    ),
    *edits(
        "reparam/testing/branches.py",
        TREES,
        ("branches never subtracted", "(draw(st.sampled_from([1, -1])), KINDS[k]", "(1, KINDS[k]"),
        (
            "a line without its origins",
            '{"dilation": drawn.dilation, "origin": drawn.origin}',
            '{"dilation": drawn.dilation}',
        ),
        ("trees of one branch only", "max_size=2))]", "max_size=0))]"),
    ),
    *edits(
        "reparam/testing/branches.py",
        LINES_OF_TREES,
        (
            "a line without its groups",
            '{"groups": str(drawn.groups), "border": border}',
            '{"border": border}',
        ),
        (
            "a line without its eps",
            "return self.layer(norm, eps=repr(eps))",
            "return self.layer(norm)",
        ),
        (
            "a padded sequence with a bias between",
            "point=True, bias=False), self.conv(outputs, outputs)]",
            "point=True, bias=True), self.conv(outputs, outputs)]",
        ),
    ),
    *edits(
        "reparam/testing/branches.py",
        "tests/test_testing.py::test_rows_of_a_tensor_can_be_read",
        (
            "rows of a tree not cut",
            "self.tensors[name] if rows is None else self.tensors[name][slice(*rows)]",
            "self.tensors[name]",
        ),
    ),
    *edits(
        "reparam/testing/branches.py",
        "tests/test_testing.py::test_the_line_of_a_tree_fuses_its_tensors",
        (
            "tensors of no layer in a tree",
            "[self.norm(inputs)] if count > 0 else []",
            "[self.norm(inputs)][: count]",
        ),
    ),
    *edits(
        "reparam/testing/equivalence.py",
        EQUIVALENCE,
        ("a difference passed", "if not report.ok:", "if report.problems and False:"),
        (
            "eps not handed on",
            "recipe=chosen, eps=eps, max_rho=max_rho",
            "recipe=chosen, max_rho=max_rho",
            "test_a_family_is_found_without_a_recipe",
        ),
        (
            "max_rho not handed on",
            "recipe=chosen, eps=eps, max_rho=max_rho",
            "recipe=chosen, eps=eps",
        ),
        (
            "gradients not detached",
            'for method in ("detach", "cpu"):',
            'for method in ("cpu",):',
            "test_tensors_of_frameworks",
        ),
        (
            "tensors left on their device",
            'for method in ("detach", "cpu"):',
            'for method in ("detach",):',
            "test_tensors_of_frameworks",
        ),
        (
            "bfloat16 read as float16",
            ".numpy().view(bfloat16)",
            '.numpy().view("float16")',
            "test_bfloat16",
        ),
        (
            "objects taken for numbers",
            'array.dtype.hasobject or array.dtype.kind in "US"',
            'array.dtype.kind in "US"',
            "test_what_holds_no_numbers_is_named",
        ),
        (
            "texts taken for numbers",
            'array.dtype.hasobject or array.dtype.kind in "US"',
            "array.dtype.hasobject",
            "test_what_holds_no_numbers_is_named",
        ),
        (
            "lines taken before the recipe",
            "if recipe is not None:",
            "if False:",
            "test_recipe_and_lines_are_two_ways_to_say_one_thing",
        ),
        (
            "eps of norms guessed",
            "and not _norms(before):",
            ":",
            "test_eps_must_be_said_where_there_are_norms",
        ),
        ("the report left out of the message", 'same function.\\n{report}"', 'same function."'),
    ),
    *edits(
        "reparam/recipe_toml.py",
        EQUIVALENCE,
        ("lines found at the root only", 'Block("**", lines', 'Block("", lines'),
        (
            "one of several lines used",
            'lines = tuple(table.lines("fuse"))',
            'lines = tuple(table.lines("fuse"))[:1]',
        ),
        (
            "eps of lines guessed",
            'said = Eps(eps, "said',
            'said = Eps(eps or 0.0, "said',
            "test_eps_must_be_said_where_there_are_norms",
        ),
    ),
    *edits(
        "reparam/library.py",
        EQUIVALENCE,
        (
            "a recipe itself not taken",
            "isinstance(names, str | PathLike | Recipe) else",
            "isinstance(names, str | PathLike) else",
        ),
    ),
    *edits(
        "reparam/testing/layers.py",
        "tests/test_testing.py",
        (
            "fewest pixels forgotten in volumes",
            "draw(st.integers(least, max(least, end)))",
            "draw(st.integers(min(least, end), end))",
            "test_images_have_at_least_as_many_pixels",
        ),
        (
            "negative variances where eps is large",
            "least = max(-1, math.ceil(math.frexp(eps)[1] / 2)) if eps else -1",
            "least = -1",
            "test_variances_are_positive_whatever_eps_is",
        ),
        (
            "groups that do not divide",
            "if groups and count and count % groups:",
            "if False:",
            "test_groups_divide_the_numbers_of_channels",
        ),
        (
            "axes of a sequence ignored",
            "axes = draw(ranks) if axes is None else axes",
            "axes = draw(ranks) if rank is None else rank",
            "test_a_sequence_tells_how_many_axes_there_are",
        ),
    ),
    *edits(
        "reparam/testing/equivalence.py",
        "tests/test_equivalence.py::test_nothing_to_fuse_is_no_proof",
        (
            "nothing fused passes",
            "if chosen is not None and not report.plan.fusions:",
            "if False:",
        ),
    ),
]
