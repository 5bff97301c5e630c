"""One kind of block tried at one place, and what its lines are bound to."""

from mutants.record import edits

MATCH = "tests/test_match.py"
LINES = "tests/test_lines.py"
CHOICE = "tests/test_recipe_choice.py"

TRIALS = (
    edits(
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
    + edits(
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
    + edits(
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

CHANNELS = edits(
    "reparam/channels.py",
    LINES,
    (
        "factors tell nothing",
        "return count if count > 1 else None",
        "return None",
        "test_a_factor_per_channel_tells_how_many_come_in",
    ),
    (
        "a single factor taken for a single channel",
        "return count if count > 1 else None",
        "return count",
        "test_a_single_factor_tells_nothing",
    ),
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
) + edits(
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

PLACES = edits(
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

MUTANTS = [*TRIALS, *CHANNELS, *PLACES]
