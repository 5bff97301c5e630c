"""The public test tools: state dicts made of a recipe."""

from mutants.record import edits

NAMES = "tests/test_state_parts.py::test_the_shortest_name_that_all_patterns_describe"
STATES = "tests/test_state_dicts.py::test_every_spelling_can_be_made"
VARIETY = "tests/test_state_dicts.py::test_blocks_of_every_sort_are_made"
ALLOWED = "tests/test_state_dicts.py::test_what_recipes_allow_is_made"
DYADIC = "tests/test_state_dicts.py::test_numbers_are_dyadic"
TOLD = "tests/test_state_dicts.py::test_layers_are_told_apart_as_in_samples_written_by_hand"

MUTANTS = [
    *edits(
        "reparam/testing/names.py",
        NAMES,
        ("a number after another may be 0", "(within or letter >= value)", "(within or letter)"),
        ("a text may hold dots", 'case "text" | "name" if letter != ".":', 'case "text" | "name":'),
        ("any path is one name", 'case "names" if within:', 'case "names" if False:'),
        (
            "a name may be empty",
            'kind in ("number", "name") and within',
            'kind in ("number", "name")',
        ),
    ),
    *edits(
        "reparam/testing/names.py",
        "tests/test_state_parts.py::test_numbers_are_the_digit_asked_for_where_they_may_be",
        (
            "the digit asked for ignored",
            'alphabet = ["x", str(digit), *_DIGITS',
            'alphabet = ["x", *_DIGITS',
        ),
    ),
    *edits(
        "reparam/testing/places.py",
        STATES,
        (
            "blocks that are the whole file",
            'inner = f"{block.at}.*" if block.at.endswith("**") else block.at',
            "inner = block.at",
        ),
        ("what tells two kinds apart never beside", "                yield site.whole()\n", ""),
    ),
    *edits(
        "reparam/testing/places.py",
        "tests/test_state_parts.py::test_a_place_has_one_kind_of_block",
        ("two kinds of block at one place", "if other.block is not place.block:", "if False:"),
    ),
    *edits(
        "reparam/testing/places.py",
        "tests/test_state_parts.py",
        ("numbers counted on not counted back", "int(text) - int(holes[key][3] or 0)", "int(text)"),
        (
            "patterns for the names of layers needed",
            "frozenset(name for _, name in self.names)",
            "frozenset(name for name, _ in self.names)",
        ),
        (
            "norms that a block keeps not placed in it",
            "for keep in block.keep:\n            if place",
            "for keep in ():\n            if place",
        ),
        (
            "layers beside a block not placed in it",
            "for name in block.beside:\n            if place",
            "for name in ():\n            if place",
        ),
        ("bare tensors not looked for", 'role == "weight" and (place', "False and (place"),
        ("numbers of any layer needed", "if like == pattern)", "if like)"),
        (
            "a line needed when another is",
            "any(x.name in patterns for x in layers(line.tree))",
            "bool(patterns)",
        ),
        ("patterns taken for layers beside", "if not _is_pattern(name)]", "]"),
        ("norms that are kept left out", "norms=self.norms.union(kept)", "norms=self.norms"),
        (
            "places of a site not whole",
            "tuple(place.whole() for place in self.places)",
            "self.places",
        ),
    ),
    *edits(
        "reparam/testing/tensors.py",
        "tests/test_state_parts.py",
        ("layers of a line in two dimensions", "self.rank = max(axes, default=2)", "self.rank = 2"),
        (
            "a layer beside written over a line's",
            'if not any(name.startswith(f"{path}.") for name in self.tensors):',
            "if True:",
        ),
        (
            "kernels under Keras' names in PyTorch's axes",
            "to_keras(kind, values, (*space, *ends)).copy()",
            "values.copy()",
        ),
        (
            "depthwise kernels called kernels",
            '"depthwise_kernel" if kind == "depthwise" else "kernel"',
            '"kernel"',
        ),
    ),
    *edits(
        "reparam/testing/states.py",
        "tests/test_state_dicts.py::test_unknown_recipes_and_spellings_are_refused",
        (
            "an unknown spelling drawn",
            "if spelling is not None and spelling not in known:",
            "if False:",
        ),
    ),
    *edits(
        "reparam/testing/states.py",
        "tests/test_state_dicts.py::test_spellings_are_drawn",
        (
            "one spelling drawn",
            "draw(st.sampled_from(sorted(known))) if spelling is None",
            "min(known) if spelling is None",
        ),
    ),
    *edits(
        "reparam/testing/states.py",
        "tests/test_state_dicts.py::test_what_cannot_be_made_is_refused_with_a_reason",
        ("refused without a reason", "        why = reason\n", ""),
    ),
    *edits(
        "reparam/testing/lines.py",
        VARIETY,
        (
            "optional branches always there",
            "return rng is None or bool(rng.integers(2))",
            "return True",
        ),
        (
            "optional branches never there",
            "return rng is None or bool(rng.integers(2))",
            "return rng is None",
        ),
    ),
    *edits(
        "reparam/testing/lines.py",
        "tests/test_state_parts.py",
        ("numbers that are needed forgotten", "numbers = _wanted(anchor, holes)", "numbers = []"),
        ("results that are needed forgotten", "results = _wanted(anchor, holes) or", "results ="),
        ("what is not optional left out", "None if isinstance(s, Maybe) else", "None if True else"),
        ("copies of a branch added, not subtracted", "(sign, copy) for", "(1, copy) for"),
    ),
    *edits(
        "reparam/testing/lines.py",
        ALLOWED,
        ("one branch of many made", "rng.integers(least, 4)", "rng.integers(least, 2)"),
        (
            "many branches always made",
            "else 1\n            for sign",
            "else 1\n            least = 1\n            for sign",
        ),
    ),
    *edits(
        "reparam/testing/lines.py",
        STATES,
        (
            "kernels of even size",
            "2 * count + 1 if hole[1] in kernels",
            "2 * count if hole[1] in kernels",
        ),
    ),
    *edits(
        "reparam/testing/kinds.py",
        "tests/test_state_parts.py::test_what_the_layers_of_a_line_are",
        ("a pair named alike not told", 'if found == {last.name: "norm"}:', "if False:"),
    ),
    *edits(
        "reparam/testing/kinds.py",
        TOLD,
        ("a skip taken for a convolution", "bn|norm|identity|skip|", "bn|norm|identity|"),
        ("a factor taken for a norm", "gamma|alpha|layer_scale", "gamma|layer_scale"),
        ("attributes of convolutions not seen", "if said & OF_CONVS:", "if False:"),
    ),
    *edits(
        "reparam/testing/kinds.py",
        STATES,
        ("an identity of another width", "outputs = inputs if told or", "outputs = inputs if"),
        ("widths that settle nothing", "return Widths(6, 4, 4, 1)", "return Widths(4, 4, 4, 1)"),
        ("a shared norm of two widths", "if shared:", "if False:"),
    ),
    *edits(
        "reparam/testing/tensors.py",
        STATES,
        (
            "a bias between padded convolutions",
            "if not bare and self.rng.integers(2):",
            "if self.rng.integers(2):",
        ),
        (
            "half of a norm's scale",
            'del tensors["weight"], tensors["bias"]',
            'del tensors["weight"]',
        ),
        ("a kernel where something is added before", 'taps.setdefault("kernel", "1")', "pass"),
        (
            "numbers of Keras with gaps",
            "        if not self.keras:\n            return\n",
            "        if self.keras:\n            return\n",
        ),
        (
            "depthwise kernels of Keras dense",
            'if self.keras and kernel_kind(path) == "depthwise":',
            "if False:",
        ),
        (
            "windows of any number of pixels",
            'self._taps("1" if "window" in said',
            'self._taps("3" if "window" in said',
        ),
    ),
    *edits(
        "reparam/testing/tensors.py",
        VARIETY,
        ("no groups made", "math.gcd(self.widths.groups, inputs, outputs)", "1"),
        ("no bias made", "if not bare and self.rng.integers(2):", "if False:"),
        ("norms always with a scale", "if not self.rng.integers(6):", "if False:"),
        ("no counters made", "if self.rng.integers(2) and not self.keras:", "if False:"),
        (
            "kernels always square",
            "FREE = ((3, 3), (5, 5), (1, 3), (3, 1), (3, 5))",
            "FREE = ((3, 3), (5, 5))",
        ),
    ),
    *edits(
        "reparam/testing/states.py",
        VARIETY,
        ("one block only", "if place is not None and rng.integers(2):", "if False:"),
        ("no prefix", 'rng.choice(["", "", "module.", "model.backbone."])', '""'),
    ),
    *edits(
        "reparam/testing/states.py",
        STATES,
        (
            "the first layout of blocks taken",
            "        if not reason:\n            return site\n",
            "        return site\n",
        ),
        ("one layout of blocks tried", "MOST_SITES = 200", "MOST_SITES = 1"),
    ),
    *edits(
        "reparam/testing/states.py",
        DYADIC,
        (
            "statistics for another eps",
            "maker = Maker(rng, eps, keras=",
            "maker = Maker(rng, 0.0, keras=",
        ),
    ),
    *edits(
        "reparam/testing/states.py",
        "tests/test_state_dicts.py::test_where_nothing_drawn_is_claimed_what_is_known_to_be_is_given",
        (
            "no state dict that is known to do",
            "least, np.random.default_rng(_KNOWN), eps))",
            "least, rng, eps))",
        ),
    ),
    *edits(
        "reparam/testing/states.py",
        "tests/test_state_dicts.py::test_a_state_dict_of_another_spelling_is_told",
        (
            "another spelling's state dict",
            'return "" if claimed ==',
            'return "" if True or claimed ==',
        ),
    ),
    *edits(
        "reparam/testing/kinds.py",
        "tests/test_state_parts.py::test_an_identity_within_has_the_width_of_the_whole",
        ("an identity within of another width", "inputs if inner else middle", "middle"),
    ),
]
