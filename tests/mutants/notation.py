"""The notation of recipes, their files, and how lists of layers are shown."""

from mutants.record import edits

EXPRESSION = "tests/test_expression.py"
MATCH = "tests/test_match.py"
DIGEST = "tests/test_digest.py"

NOTATION = edits(
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
) + edits(
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

READ = edits(
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

LISTS = edits(
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

MUTANTS = [*NOTATION, *READ, *LISTS]
