"""The table of mutants fits the code and leaves out no public function of what it has to cover.

`python tests/mutants/run.py` checks that tests kill them.
"""

import ast
from pathlib import Path

import pytest
from mutants import MUTANTS, table
from mutants.study import STUDY

ROOT = Path(__file__).parent.parent

COVERED = [
    *("linear", "geometry", "norm", "rounding", "exact", "layers", "windows", "algebra"),
    *("layouts", "padding", "keras_names", "fold", "state_dict", "strided", "neutral", "proof"),
    *("certificate", "grades", "bounds", "stored", "comparison", "verifying", "verify_report"),
    "verify_text",
    *("pairing", "similar", "name_order", "prefix", "tensor_bytes", "arrays", "random_bits"),
    *(
        "edits",
        "layer_mistakes",
        "branch_mistakes",
        "mistakes",
        "fits",
        "narrow",
        "screen",
        "explain",
    ),
    *(
        "environment",
        "quantised",
        "dyadic",
        "dyadic_numbers",
        "running",
        "run_report",
        "deploy_form",
    ),
]
"""Modules of `reparam` whose public functions need mutants, as do `testing` and the adapters."""

FRAMEWORKS = {"run_torch", "run_keras", "keras_double"}
"""Adapters that only tests in tests/oracle*/ can run, which need the framework."""

FILES = [f"reparam/{name}.py" for name in COVERED]
FILES += [
    path.relative_to(ROOT).as_posix()
    for folder in ("reparam/testing", "adapters/reparam_adapters")
    for path in sorted((ROOT / folder).glob("*.py"))
    if path.stem not in FRAMEWORKS
]

WORK = (
    *(ast.If, ast.IfExp, ast.For, ast.While, ast.Match, ast.comprehension),
    *(ast.BinOp, ast.BoolOp, ast.Compare, ast.AugAssign),
)
"""What a function holds that decides, repeats or calculates; others only hand something on."""


def source_of(file):
    return (ROOT / file).read_text(encoding="utf-8")


def public_functions(tree):
    """Public functions, public methods and constructors of public classes, by name."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            yield node.name, node
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            for method in node.body:
                if isinstance(method, ast.FunctionDef) and (
                    method.name == "__init__" or not method.name.startswith("_")
                ):
                    yield f"{node.name}.{method.name}", method


def works(function):
    nodes = [node for part in function.body for node in ast.walk(part)]
    types = [node.annotation for node in nodes if isinstance(node, ast.AnnAssign)]
    said = {id(node) for annotation in types for node in ast.walk(annotation)}
    return any(isinstance(node, WORK) and id(node) not in said for node in nodes)


def changed_lines(file, source):
    """The lines, counted from one, that each mutant of a file changes."""
    for mutant in MUTANTS:
        if mutant.file == file:
            start = source.index(mutant.before)
            first = source.count("\n", 0, start) + 1
            text = mutant.before.removeprefix("\n").removesuffix("\n")
            first += mutant.before.startswith("\n")
            yield range(first, first + text.count("\n") + 1)


def test_every_mutant_has_a_name_of_its_own():
    assert len({(m.file, m.name) for m in MUTANTS}) == len(MUTANTS)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: f"{Path(m.file).stem}: {m.name}")
def test_a_mutant_changes_one_place_into_valid_code(mutant):
    source = source_of(mutant.file)
    assert source.count(mutant.before) == 1
    assert mutant.after != mutant.before
    compile(source.replace(mutant.before, mutant.after), mutant.file, "exec")
    path, _, test = mutant.tests.partition("::")
    assert f"def {test.partition('[')[0]}(" in source_of(path) if test else (ROOT / path).is_file()


@pytest.mark.parametrize("file", FILES, ids=lambda f: Path(f).stem)
def test_every_public_function_that_does_something_has_a_mutant(file):
    source = source_of(file)
    changed = {line for lines in changed_lines(file, source) for line in lines}
    missing = [
        name
        for name, function in public_functions(ast.parse(source))
        if works(function)
        and changed.isdisjoint(range(function.body[0].lineno, function.end_lineno + 1))
    ]
    assert not missing, f"{file}: no mutant of {', '.join(missing)}"


def test_the_mutants_of_the_study_are_all_here():
    assert [*STUDY] == [*range(1, 43)]
    assert len({*STUDY.values()}) == len(STUDY)
    assert {*STUDY.values()} <= {(Path(m.file).stem, m.name) for m in MUTANTS}


def test_the_page_is_up_to_date():
    page = table.PAGE.read_text("utf-8")
    assert page == table.page(), "run python tests/mutants/table.py"
