"""What is taken from files and arrays as it is: bytes, names with a prefix, neutral norms."""

from mutants.record import edits

CERT = "tests/test_certificate.py"
PAIR = "tests/test_pairing.py"
NEUTRAL = f"{CERT}::test_the_bound_covers_what_is_left_of_a_neutral_norm"
SLABS = f"{CERT}::test_slabs_say_what_the_whole_says"
PROOF_TESTS = "tests/test_proof.py"
CERTIFICATE_TESTS = "tests/test_certificate.py"

MUTANTS = [
    *edits(
        "reparam/stored.py",
        f"{CERT}::test_norms_that_others_left_behind",
        ("any norm is neutral", "    if not_neutral(norm, read):\n        return None, None\n", ""),
    ),
    *edits(
        "reparam/stored.py",
        f"{CERT}::test_a_bias_in_both_layers_of_a_neutral_pair",
        (
            "two biases, of which one counts",
            "    if len(carriers) > 1:\n        return None, None\n",
            "",
        ),
    ),
    *edits(
        "reparam/stored.py",
        f"{CERT}::test_the_bias_of_a_neutral_pair_may_stand_in_either_layer",
        (
            "the bias stands in the norm",
            "carrier = carriers[0] if carriers else norm.bias or conv.bias",
            "carrier = norm.bias",
        ),
    ),
    *edits(
        "reparam/stored.py",
        NEUTRAL,
        ("drift without the root", "np.abs(1.0 / root - 1.0)", "np.abs(1.0 / root - 1.0) * 0.0"),
    ),
    *edits(
        "reparam/stored.py",
        f"{CERT}::test_mixed_dtypes",
        (
            "bias in the dtype of the kernel",
            "read(source.bias).dtype.name if source.bias else kernel",
            "kernel",
        ),
    ),
    *edits(
        "reparam/stored.py",
        SLABS,
        (
            "bias of the first rows",
            "self._read(self._conv.bias).reshape(-1)[slice(*rows)]",
            "self._read(self._conv.bias).reshape(-1)[: rows[1] - rows[0]]",
        ),
    ),
    *edits(
        "reparam/neutral.py",
        f"{CERT}::test_norms_that_others_left_behind",
        (
            "scale of a neutral norm",
            "    if norm.weight:\n",
            "    if False:\n",
        ),
        (
            "mean of a neutral norm",
            'roles: dict[str, Role] = {norm.mean: "zeros", norm.var: "variance"}',
            'roles: dict[str, Role] = {norm.var: "variance"}',
        ),
        (
            "neutral norms are active",
            "if not _holds(read(name), role, norm.eps)]",
            "if _holds(read(name), role, norm.eps)]",
        ),
        (
            "variance of a neutral norm",
            'roles: dict[str, Role] = {norm.mean: "zeros", norm.var: "variance"}',
            'roles: dict[str, Role] = {norm.mean: "zeros"}',
        ),
    ),
    *edits(
        "reparam/prefix.py",
        f"{PAIR}::test_a_prefix_that_would_make_one_tensor_of_two",
        (
            "two tensors of one name",
            "        return None  # two tensors would have one name\n",
            "        pass\n",
        ),
    ),
    *edits(
        "reparam/prefix.py",
        f"{PAIR}::test_a_prefix[repvgg / timm]",
        ("no prefix", "return best if fits > len(known & present) else None", "return None"),
    ),
    *edits(
        "reparam/tensor_bytes.py",
        f"{PAIR}::test_files_and_arrays_are_the_same",
        (
            "readers cut as they like",
            "    left, right = _pieces(one.chunks(name)), _pieces(two.chunks(other))",
            "    left, right = one.chunks(name), two.chunks(other)",
        ),
        (
            "the last piece is lost",
            "        held = held[start:]\n    yield held",
            '        held = b""\n    yield held',
        ),
        (
            "the shorter one decides",
            "for a, b in zip_longest(left, right)",
            "for a, b in zip(list(left)[:1], right)",
        ),
    ),
    *edits(
        "reparam/arrays.py",
        f"{PAIR}::test_arrays_in_any_memory_layout",
        (
            "byte order of the array",
            'np.ascontiguousarray(values, values.dtype.newbyteorder("="))',
            "np.ascontiguousarray(values)",
        ),
    ),
    *edits(
        "reparam/neutral.py",
        PROOF_TESTS,
        (
            "variance of 1 in a neutral norm",
            '"variance": 1.0 - eps',
            '"variance": 1.0',
            "test_constants[variance-0.75]",
        ),
        ("neutral norms of zeros", '{"ones": 1.0, ', "{", "test_constants[ones-1.0]"),
        (
            "dtype of a constant",
            "write.info.dtype, write.name)",
            '"float32", write.name)',
            "test_constants[ones-1.0]",
        ),
        (
            "mean of a neutral norm is 1",
            'norm.mean: "zeros"',
            'norm.mean: "ones"',
            "test_a_neutral_norm_does_nothing",
        ),
        (
            "bias of a neutral norm not written",
            "    if norm.bias:\n",
            "    if False:\n",
            "test_a_neutral_norm_does_nothing",
        ),
    ),
    *edits(
        "reparam/arrays.py",
        PROOF_TESTS,
        (
            "dtype with its byte order",
            "TensorInfo(a.shape, a.dtype.name) for name, a in self._arrays.items()",
            "TensorInfo(a.shape, a.dtype.str) for name, a in self._arrays.items()",
            "test_arrays_as_a_checkpoint",
        ),
        (
            "rows of an array ignored",
            "return values if rows is None else values[slice(*rows)]",
            "return values",
            "test_what_rounding_does_not_do_is_beyond_it",
        ),
        (
            "bytes as they lie",
            'np.ascontiguousarray(values, values.dtype.newbyteorder("="))',
            "values.T",
            "test_arrays_as_a_checkpoint",
        ),
    ),
    *edits(
        "reparam/tensor_bytes.py",
        PROOF_TESTS,
        (
            "dtypes not compared",
            ("    if one.tensors[name] != two.tensors[other]:\n        return False\n"),
            "",
            "test_bytes_are_compared_however_readers_cut_them",
        ),
        (
            "first piece only",
            "return all(a == b for a, b in zip_longest(left, right))",
            "return next(left) == next(right)",
            "test_bytes_are_compared_however_readers_cut_them",
        ),
        (
            "one piece has to be equal",
            "return all(a == b for a, b in",
            "return any(a == b for a, b in",
            "test_bytes_are_compared_however_readers_cut_them",
        ),
        (
            "pieces as readers cut them",
            "left, right = _pieces(one.chunks(name)), _pieces(two.chunks(other))",
            "left, right = one.chunks(name), two.chunks(other)",
            "test_bytes_are_compared_however_readers_cut_them",
        ),
        (
            "rest of a piece lost",
            "        held = held[start:]\n",
            "        held = b''\n",
            "test_bytes_are_compared_however_readers_cut_them",
        ),
        (
            "digest of the last piece",
            "        summary.update(chunk)\n",
            "        summary = sha256(chunk)\n",
            "test_bytes_are_compared_however_readers_cut_them",
        ),
    ),
    *edits(
        "reparam/prefix.py",
        PROOF_TESTS,
        (
            "prefix of the longer names only",
            '    found.update(("", prefix) for name in sorted(known)',
            '    found.update(("", prefix) for name in ()',
            "test_prefixes",
        ),
        (
            "two names become one",
            (
                "    if len({_translated(name, best) for name in there}) < len(there):\n"
                "        return None"
            ),
            "    if False:\n        return None",
            "test_prefixes",
        ),
        (
            "shapes under the old names",
            "name: reader.tensors[other] for name, other in self._names.items()",
            "other: reader.tensors[other] for name, other in self._names.items()",
            "test_a_reader_under_other_names",
        ),
        (
            "prefix that is part of a name",
            're.finditer(r"\\.", name)',
            're.finditer("", name)',
            "test_prefixes",
        ),
        (
            "the least common prefix",
            "((best, _),) = found.most_common(1)",
            "best, _ = found.most_common()[-1]",
            "test_prefixes",
        ),
        (
            "a prefix where names fit",
            "return best if fits > len(known & present) else None",
            "return best",
            "test_prefixes",
        ),
    ),
    *edits(
        "reparam/stored.py",
        CERTIFICATE_TESTS,
        (
            "drift of a neutral norm forgotten",
            "return None if self._drift is None else",
            "return None if True else",
            "test_the_bound_covers_what_is_left_of_a_neutral_norm",
        ),
    ),
    *edits(
        "reparam/tensor_bytes.py",
        "tests/test_verify.py::test_a_number_that_is_not_finite_is_found_wherever_it_is",
        (
            "only the first rows looked through",
            "starts = range(0, shape[0], rows)",
            "starts = range(0, min(rows, shape[0]), rows)",
        ),
    ),
]
