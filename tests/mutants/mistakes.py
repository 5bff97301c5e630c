"""Known mistakes, each as the operation that was folded instead."""

# ruff: noqa: E501  edits of long lines are long

from mutants.record import edits

M = "tests/test_mistakes.py"
SEQ = f"{M}::test_layers_of_a_sequence"
TAPS = f"{M}::test_a_branch_at_the_wrong_tap"
STATS = f"{M}::test_statistics_taken_wrongly"
EPS = f"{M}::test_eps"
AXES = f"{M}::test_axes_taken_for_others"
NUMBER = f"{M}::test_a_grouped_identity_numbered_wrongly"
BIAS = f"{M}::test_biases"
NORMS = f"{M}::test_norms_of_other_layers"
LEFT = f"{M}::test_a_branch_left_out"
LARGE = f"{M}::test_places_in_a_very_large_kernel"
NEAREST = f"{M}::test_only_the_nearest_layers_are_tried"
PROOF_TESTS = "tests/test_proof.py"
MISTAKES_TESTS = "tests/test_mistakes.py"

MUTANTS = [
    *edits(
        "reparam/edits.py",
        SEQ,
        (
            "a made tensor is looked up in the file",
            "return self._made[name](rows)",
            "return self._read(name)",
        ),
        (
            "steps of a nested chain not edited",
            "case ops.ChainOp() | ops.SumOp() | ops.WindowOp():\n            return (edit(op, change),)",
            "case ops.ChainOp() | ops.SumOp() | ops.WindowOp():\n            return (op,)",
        ),
        (
            "pairs in a sum not edited",
            "return ops.SumOp(tuple((sign, edit_pairs(term, change)) for sign, term in terms))",
            "return op",
        ),
        ("a scale names its branch", "for leaf in layers or leaves]", "for leaf in leaves]"),
        (
            "identity without a norm not named",
            'return f"{kind} {name!r}" if leaves else kind',
            'return f"{kind} {name!r}"',
        ),
    ),
    *edits(
        "reparam/edits.py",
        f"{M}::test_another_eps_in_a_sequence",
        (
            "signs lost in an edited sum",
            "return ops.SumOp(tuple((sign, edit(term, change)) for sign, term in terms))",
            "return ops.SumOp(tuple((1, edit(term, change)) for sign, term in terms))",
        ),
    ),
    *edits(
        "reparam/edits.py",
        LEFT,
        (
            "the silenced branch still counts",
            "ops.NumberOp(0.0, ops.outputs(op))",
            "ops.NumberOp(1.0, ops.outputs(op))",
        ),
        (
            "an identity called a branch",
            'if any(isinstance(x, ops.ConvOp) for x in leaves) else "the identity branch"',
            "if leaves else ''",
        ),
    ),
    *edits(
        "reparam/edits.py",
        TAPS,
        (
            "moved the other way",
            "origin=tuple(o - b for o, b in zip(origin, by, strict=True))",
            "origin=tuple(o + b for o, b in zip(origin, by, strict=True))",
        ),
        ("identity moved the other way", "tuple(-b for b in by)", "tuple(b for b in by)"),
    ),
    *edits(
        "reparam/edits.py",
        NUMBER,
        ("numbering of an identity ignored", "if copies is None:", "if copies is not None:"),
    ),
    *edits(
        "reparam/layer_mistakes.py",
        EPS,
        ("eps=0 not tried", "1e-6, 0.0, 1e-4", "1e-6, 1e-4"),
        (
            "eps outside the root twice",
            "np.sqrt(v) + eps)\n    return (replace(norm, var=var, eps=0.0),) if",
            "np.sqrt(v) + eps)\n    return (replace(norm, var=var),) if",
        ),
        ("a deviation is no variance", "norm.eps) ** 2)", "norm.eps))"),
    ),
    *edits(
        "reparam/layer_mistakes.py",
        f"{M}::test_a_constant_as_float32_holds_it",
        ("eps as float32 holds it not tried", "near = float(np.float32(eps))", "near = eps"),
    ),
    *edits(
        "reparam/layer_mistakes.py",
        STATS,
        (
            "gamma and beta kept",
            "weight=norm.bias, bias=norm.weight",
            "weight=norm.weight, bias=norm.bias",
        ),
        ("mean not negated", "lambda: -made.float64(norm.mean)", "lambda: made.float64(norm.mean)"),
        ("mean kept", "lambda: 0 * made.float64(norm.mean)", "lambda: 1 * made.float64(norm.mean)"),
        (
            "gamma kept",
            "(replace(norm, weight=None),) if norm.weight",
            "(replace(norm, bias=None),) if norm.weight",
        ),
        (
            "beta kept",
            "(replace(norm, bias=None),) if norm.bias",
            "(replace(norm, weight=None),) if norm.bias",
        ),
        ("applied once", "return norm, norm", "return (norm,)"),
        ("applied all the same", "    return ()\n", "    return (_,)\n"),
        ("variance is not the deviation", "lambda v, eps: v + eps", "lambda v, eps: v"),
        (
            "norms not tried one by one",
            "if single and len(leaves) > 1 else ()",
            "if single and len(leaves) > 9 else ()",
        ),
    ),
    *edits(
        "reparam/layer_mistakes.py",
        f"{M}::test_norms_without_gamma_and_beta",
        (
            "a norm without gamma breaks",
            "if norm.weight is None or norm.bias is None:\n        return None",
            "assert norm.weight and norm.bias",
        ),
    ),
    *edits(
        "reparam/layer_mistakes.py",
        AXES,
        ("flipped on one axis", "for _ in conv.shape[2:]))", "for _ in conv.shape[3:]))"),
        ("inputs and outputs kept", "made(conv.weight).swapaxes(0, 1)", "made(conv.weight)"),
        ("height and width kept", "return kernel.swapaxes(2, 3)", "return kernel"),
    ),
    *edits(
        "reparam/branch_mistakes.py",
        BIAS,
        (
            "bias kept",
            "(replace(leaf, bias=None),) if isinstance(leaf, ops.ConvOp) and leaf.bias",
            "(leaf,) if isinstance(leaf, ops.ConvOp) and leaf.bias",
        ),
        (
            "bias scaled after all",
            "norm, ops.ShiftOp(conv.bias, norm.channels)",
            "ops.ShiftOp(conv.bias, norm.channels), norm",
        ),
    ),
    *edits(
        "reparam/branch_mistakes.py",
        SEQ,
        (
            "biases not tried one by one",
            "for chosen in [[conv] for conv in biased] if single else [biased]:",
            "for chosen in [] if single else [biased]:",
        ),
        (
            "scales kept",
            "return () if isinstance(leaf, ops.ScaleOp | ops.ShiftOp) else None",
            "return (leaf,) if isinstance(leaf, ops.ScaleOp | ops.ShiftOp) else None",
        ),
        (
            "branches moved alone only",
            "groups = [alike, *([place] for place in alike)]",
            "groups = [*([place] for place in alike)]",
        ),
    ),
    *edits(
        "reparam/branch_mistakes.py",
        NORMS,
        ("norms exchanged one way", "{one: two, two: one}", "{one: two}"),
        (
            "norms of a block not taken together",
            "yield text, _with_norms(fusion.op, new)\n        behind",
            "behind",
        ),
        (
            "norms of other blocks not taken one by one",
            "for other, _ in there[:MOST_NEIGHBOURS]:",
            "for other, _ in there[:0]:",
        ),
        ("eps of the right norm exchanged only", "{norm: other}", "{norm: norm}"),
    ),
    *edits(
        "reparam/branch_mistakes.py",
        NEAREST,
        ("far layers first", "key=lambda i: (abs(i - here), i),", "key=lambda i: i,"),
        ("all norms tried", "there[:MOST_NEIGHBOURS]", "there"),
        ("all blocks tried", "equal[:MOST_NEIGHBOURS]", "equal"),
    ),
    *edits(
        "reparam/branch_mistakes.py",
        f"{M}::test_exchanged_blocks",
        (
            "other blocks not taken whole",
            'yield f"from the tensors of block {name!r}", op',
            "continue",
        ),
    ),
    *edits(
        "reparam/branch_mistakes.py",
        TAPS,
        ("the right tap is told wrongly", "not {list(right)}", "not {list(tap)}"),
        ("last tap forgotten", "room = [w - s + 1 for", "room = [w - s for"),
    ),
    *edits(
        "reparam/branch_mistakes.py",
        LARGE,
        ("all places of a large kernel", "if len(every) > MOST_PLACES:", "if len(every) > 10**6:"),
        ("corners of a large kernel forgotten", "all(t in (0, r - 1) for", "all(t in (r - 1,) for"),
        ("neighbours in a large kernel forgotten", "== 1\n", "== 2\n"),
    ),
    *edits(
        "reparam/branch_mistakes.py",
        NUMBER,
        ("i % groups", '("i % groups", count % whole.groups)', '("i % groups", count % width)'),
        ("i // groups", '("i // groups", count // whole.groups)', '("i // groups", count % width)'),
        ("i // width", "count // width),", "count % width),"),
        ("beyond the group", "if (copies < width).all():", "if True:"),
    ),
    *edits(
        "reparam/branch_mistakes.py",
        AXES,
        (
            "scale on the outputs",
            "axis = 0 if conv.transposed else 1",
            "axis = 1 if conv.transposed else 0",
        ),
        ("bias by no scale", "made.float64(norm.mean)) * scale()", "made.float64(norm.mean))"),
    ),
    *edits(
        "reparam/edits.py",
        MISTAKES_TESTS,
        (
            "rows of a made vector",
            "lambda rows: make() if rows is None else make()[slice(*rows)]",
            "lambda rows: make()",
            "test_the_right_fold_has_no_mistake",
        ),
        (
            "sums within sequences not looked at",
            "                for inner, put in sums(step):\n",
            "                for inner, put in ():\n",
            "test_layers_of_a_sequence[with branch 'b.p' at tap [2, 1], not [1, 1]]",
        ),
        (
            "sums within sums not looked at",
            "                for inner, put in sums(term):\n",
            "                for inner, put in ():\n",
            "test_layers_of_a_sequence[with branch 'b.p' at tap [2, 1], not [1, 1]]",
        ),
        (
            "the next branch changed",
            "new.get(i, term)",
            "new.get(i + 1, term)",
            "test_a_branch_left_out[Without repvgg float64: without branch 'stage.1.dense']",
        ),
    ),
    *edits(
        "reparam/layer_mistakes.py",
        MISTAKES_TESTS,
        (
            "no eps called eps=0",
            'if eps else "without eps (eps=0)"',
            'if True else "without eps (eps=0)"',
            "test_eps[NoEps pair float64: without eps (eps=0)]",
        ),
        (
            "the first constant in use only",
            "    for eps in EPS:\n",
            "    for eps in EPS[:1]:\n",
            "test_eps[NoEps pair float64: without eps (eps=0)]",
        ),
        (
            "the first mistake in norms only",
            "    for text, change in _NORMS:\n",
            "    for text, change in _NORMS[:1]:\n",
            "test_statistics_taken_wrongly[GammaBeta pair float64: with gamma and beta exchanged]",
        ),
        (
            "changes of norms made in none",
            "if isinstance(leaf, ops.NormOp) else None",
            "if False else None",
            "test_eps[EpsOutside pair float64: with eps outside the root]",
        ),
        (
            "the first turn of kernels only",
            "    for text, one, change in _KERNELS:\n",
            "    for text, one, change in _KERNELS[:1]:\n",
            "test_axes_taken_for_others[Turned square linear float64: with inputs and outputs of the kernel of 'layer.1.conv' exchanged]",
        ),
        ("twice the constant", "replace(leaf, eps=eps)", "replace(leaf, eps=2 * eps)", "test_eps"),
    ),
    *edits(
        "reparam/edits.py",
        PROOF_TESTS,
        (
            "a layer that is the file has no name",
            'leaf.weight.rpartition(".")[0] or leaf.weight',
            'leaf.weight.rpartition(".")[0]',
            "test_layers_by_name",
        ),
    ),
    *edits(
        "reparam/branch_mistakes.py",
        "tests/test_mistakes.py",
        (
            "neighbours need the same branches",
            "    names = {path(norm)",
            "    return {}\n    names = {path(norm)",
            "test_norms_of_a_block_without_an_identity[1]",
        ),
        (
            "norms of an identity go along",
            "if norm not in bare}",
            "}",
            "test_norms_of_a_block_without_an_identity[0]",
        ),
    ),
]
