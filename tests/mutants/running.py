"""Networks run in float64, and the network in which nothing rounds."""

# ruff: noqa: E501  edits of long lines are long

from mutants.record import edits

DYADIC = "tests/test_dyadic.py"
RUNNING = "tests/test_running.py"
DYADIC_TESTS = "tests/test_dyadic.py"
RUNNING_TESTS = "tests/test_running.py"

MUTANTS = [
    *edits(
        "adapters/reparam_adapters/keras_double.py",
        RUNNING,
        (
            "policies stay",
            'inner["name"] = _dtype(inner.get("name"))',
            "pass",
            "test_config_in_float64",
        ),
        (
            "every name is a dtype",
            'if key == "dtype" or (',
            'if key in ("dtype", "name") or (',
            "test_config_in_float64",
        ),
    ),
    *edits(
        "adapters/reparam_adapters/run_outputs.py",
        RUNNING,
        (
            "float32 accepted",
            'if value.dtype.kind not in "biu" and value.dtype != np.float64:',
            "if False:",
            "test_outputs_that_are_refused",
        ),
        ("dicts lose their keys", 'f"{place}[{key!r}]"', "place", "test_outputs_of_every_kind"),
        (
            "none at all accepted",
            "    if not found:\n",
            "    if False:\n",
            "test_outputs_that_are_refused",
        ),
        (
            "unknown objects left out",
            "    elif value is not None:\n        yield place, value",
            "    elif False:\n        yield place, value",
            "test_outputs_that_are_refused",
        ),
    ),
    *edits(
        "adapters/reparam_adapters/model_file.py",
        RUNNING,
        (
            "prints to stdout",
            "with redirect_stdout(sys.stderr):",
            "with redirect_stdout(sys.stdout):",
            "test_what_a_model_prints_does_not_disturb_json",
        ),
        (
            "sys.exit ends the command",
            "except (Exception, SystemExit) as error:",
            "except Exception as error:",
            "test_files_that_are_refused",
        ),
        (
            "modules beside it not found",
            "beside = [] if path is None else [str(path.resolve().parent)]",
            "beside: list[str] = []",
            "test_model_file",
        ),
        (
            "sys.path keeps its folder",
            "            sys.path.remove(folder)",
            "            pass",
            "test_model_file",
        ),
        (
            "no line number",
            'f" (line {lines[-1]})" if lines else ""',
            '""',
            "test_files_that_are_refused",
        ),
        (
            "deploy never used",
            "make = getattr(self._module, form, None)",
            'make = getattr(self._module, "train", None)',
            "test_deploy_of_its_own",
        ),
        (
            "nothing accepted as a model",
            "if model is None:",
            "if False:",
            "test_models_that_cannot_be_built",
        ),
        (
            "sizes of zero accepted",
            "type(n) is not int or n < 1",
            "type(n) is not int",
            "test_files_that_are_refused",
        ),
    ),
    *edits(
        "reparam/run_report.py",
        RUNNING,
        (
            "ok if any check is",
            "return all(check.ok for check in self.checks)",
            "return any(check.ok for check in self.checks)",
        ),
        ("infinity in JSON", "check.value if math.isfinite(check.value) else None", "check.value"),
        ("a difference is ok", 'return self.verdict != "DIFFERENT"', "return True"),
    ),
    *edits(
        "reparam/running.py",
        RUNNING,
        (
            "rounding called equal",
            '    if value:\n        return Check("dyadic", value, BOUND, "rounds", where)\n',
            "",
        ),
        ("outputs that ignore the image called equal", "if not alive:", "if False:"),
        ("any dyadic difference accepted", "if not value <= BOUND:", "if False:"),
        (
            "any difference in float64 accepted",
            '"within" if exact <= BOUND else "DIFFERENT"',
            '"within"',
        ),
        (
            "any difference as stored accepted",
            '"within" if value <= GROSS * explained else "DIFFERENT"',
            '"within"',
        ),
        (
            "BEFORE rounded to its own dtype's digits",
            "return values if values.dtype.kind in",
            "return values.astype(np.float16).astype(np.float64) if values.dtype.kind == 'f' else values if values.dtype.kind in",
        ),
        (
            "AFTER as it is never run",
            "stored = {name: widened(new.read(name)) for name in new.tensors}",
            "stored = form.fuse(tensors)",
        ),
        (
            "differences relative to all outputs",
            "size = float(np.abs(y).max(initial=0.0))",
            "size = max(float(np.abs(v).max(initial=0.0)) for v in wanted.values())",
            "test_difference_is_relative_to_each_output",
        ),
        ("shapes not compared", "if first.shape != found[name].shape:", "if False:"),
        ("names not compared", "if wanted.keys() != found.keys():", "if False:"),
        (
            "NaN compares as equal",
            "if not (np.isfinite(y).all() and np.isfinite(z).all()):",
            "if False:",
        ),
        (
            "NaN in BEFORE called a difference",
            "if not all(np.isfinite(y).all() for y in wanted.values()):",
            "if False:",
        ),
        ("one density only", "_THIN = (1, 2, 4)", "_THIN = (1,)"),
        ("the finest dtype explains", "return min(dtypes, key", "return max(dtypes, key"),
        ("noise of one sign", "/ 2.0**30 - 1", "/ 2.0**31"),
    ),
    *edits(
        "reparam/dyadic_numbers.py",
        DYADIC,
        (
            "eps left out of the variance",
            "rest = Fraction(4) ** j - Fraction(eps)",
            "rest = Fraction(4) ** j",
        ),
        (
            "variances that are rounded",
            "if rest > 0 and Fraction(float(rest)) == rest:",
            "if rest > 0:",
        ),
        (
            "no root for eps without a power of 4",
            "root = 1.5 * 2.0 ** (exponent // 2)",
            "root = 2.0 * 2.0 ** (exponent // 2)",
            "test_train_form_and_fused_form_are_equal[super-gradients-qarepvgg / YOLO-NAS-Pose]",
        ),
    ),
    *edits(
        "reparam/dyadic.py",
        DYADIC,
        (
            "scale without the root",
            "self.put(op.weight, gain * root)",
            "self.put(op.weight, gain)",
            "test_train_form_and_fused_form_are_equal[super-gradients-qarepvgg / YOLO-NAS-Pose]",
        ),
        (
            "mean not taken back",
            "self.put(op.bias, shift + gain * mean)",
            "self.put(op.bias, shift)",
            "test_a_hundred_blocks_stay_exact_and_alive",
        ),
        (
            "every branch carries the pixel",
            "np.where(chosen == i, sign * gain, 0.0)",
            "sign * gain",
        ),
        (
            "constants of branches add up",
            "rest = rest - own",
            "rest = rest + own",
            "test_a_hundred_blocks_stay_exact_and_alive",
        ),
        (
            "size of the kernel not taken back",
            "gains[pivot], gains[payer] = gain / pay, pay",
            "gains[pivot], gains[payer] = gain, pay",
            "test_a_hundred_blocks_stay_exact_and_alive",
        ),
        (
            "division by a pool not made up for",
            "return float(math.prod(op.size))",
            "return 1.0",
            "test_a_pool_is_made_up_for",
        ),
        (
            "thin blocks are as live as others",
            'draw(f"{fusion.name} live", count, thin) == 0',
            'draw(f"{fusion.name} live", count, 1) == 0',
            "test_thin_blocks_are_mostly_constant",
        ),
        (
            "all channels negated",
            "np.where(negated, -1.0, 1.0) * live",
            "-1.0 * live",
            "test_a_block_neither_grows_nor_dies[super-gradients-qarepvgg-partial / without heads]",
        ),
        (
            "negated channels not lifted",
            "np.where(negated, LIFT + small, small)",
            "small",
            "test_a_hundred_blocks_stay_exact_and_alive",
        ),
        (
            "one input channel for all",
            "((row + first) % op.shape[1]).astype(int)",
            "(0 * row + first % op.shape[1]).astype(int)",
            "test_a_hundred_blocks_stay_exact_and_alive",
        ),
        (
            "only centred taps",
            'draw(f"{op.weight} centred", count, 2) == 0',
            'draw(f"{op.weight} centred", count, 1) == 0',
            "test_every_branch_and_every_tap_is_used",
        ),
        (
            "a head reads one feature per class",
            "each = max(rows, width)",
            "each = max(rows, 0)",
            "test_copied_layers",
        ),
        (
            "norms that stay not scaled",
            'root if f"{path}.running_var" in plan.tensors else 1.0',
            "1.0",
            "test_copied_layers",
        ),
        (
            "counters filled too",
            'if "float" in info.dtype and name not in filler.made',
            "if name not in filler.made",
        ),
    ),
    *edits(
        "reparam/deploy_form.py",
        RUNNING,
        ("blocks in train form fused", "if fusion.name in self.kept:", "if False:"),
        ("layers not renamed", 'return f"{self.renamed[path]}.{role}"', "return name"),
        (
            "fused layers not renamed",
            "path = self.renamed.get(fusion.name, fusion.name)",
            "path = fusion.name",
        ),
        ("counters of AFTER missing", 'if "float" not in here[name].dtype:', "if False:"),
        (
            "counters of BEFORE kept",
            "if only_for_training(name):\n                del",
            "if False:\n                del",
            "test_counters_may_be_missing_or_new",
        ),
        (
            "names that differ accepted",
            "        if odd:\n",
            "        if False:\n",
            "test_tensors_that_nothing_accounts_for_are_refused",
        ),
        ("neutral variance without eps", "norm.var: one - norm.eps", "norm.var: one"),
        (
            "bias in the convolution and the norm",
            "made |= dict.fromkeys(carriers, 0 * one)",
            "made |= dict.fromkeys(carriers, bias)",
        ),
        ("bias dropped", "made[carriers[0]] = bias", "pass"),
    ),
    *edits(
        "reparam/dyadic_numbers.py",
        DYADIC_TESTS,
        (
            "images of positive numbers only",
            "(draw(name, math.prod(shape), 17).reshape(shape) - 4) / 4",
            "draw(name, math.prod(shape), 17).reshape(shape) / 4",
            "test_images_are_dyadic_and_rather_positive",
        ),
        (
            "images of thirds",
            "(draw(name, math.prod(shape), 17).reshape(shape) - 4) / 4",
            "(draw(name, math.prod(shape), 17).reshape(shape) - 4) / 3",
            "test_train_form_and_fused_form_are_equal",
        ),
        (
            "quarters of one sign",
            "return (draw(name, count, 3) - 1) / 4",
            "return draw(name, count, 3) / 4",
            "test_a_hundred_blocks_stay_exact_and_alive",
        ),
        (
            "one choice less",
            "bits % np.uint64(choices)",
            "bits % np.uint64(max(choices - 1, 1))",
            "test_a_block_neither_grows_nor_dies",
        ),
    ),
    *edits(
        "reparam/running.py",
        RUNNING_TESTS,
        (
            "any framework",
            "    if framework not in _ADAPTERS:\n",
            "    if False:\n",
            "test_unknown_framework",
        ),
        (
            "renamed layers not handed on",
            "DeployForm(plan, old, new, renamed or {})",
            "DeployForm(plan, old, new, {})",
            "test_names_of_another_spelling",
        ),
    ),
    *edits(
        "reparam/deploy_form.py",
        RUNNING_TESTS,
        (
            "blocks left in train form fused",
            "{f.name for f in plan.fusions if _unchanged(f, old, new)}",
            "set()",
            "test_a_block_that_after_holds_in_train_form",
        ),
    ),
    *edits(
        "adapters/reparam_adapters/model_file.py",
        RUNNING_TESTS,
        (
            "long errors in full",
            'text[:LONGEST] + (" …" if len(text) > LONGEST else "")',
            "text",
            "test_files_that_are_refused",
        ),
    ),
]
