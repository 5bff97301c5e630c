"""The shape of the code: imports point down, nothing heavy is loaded early, modules stay small."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CORE = ROOT / "reparam"
ADAPTERS = ROOT / "adapters" / "reparam_adapters"
TOOLS = CORE / "testing"
SOURCES = sorted([*CORE.glob("*.py"), *TOOLS.glob("*.py"), *ADAPTERS.glob("*.py")])

LAYERS = [
    ["errors", "console", "digest", "padding", "layouts", "quantised", "random_bits"],
    # the algebra: NumPy arrays, no names of tensors
    ["linear", "keras_names"],
    ["geometry", "norm", "rounding", "dyadic_numbers"],
    ["layers", "exact", "windows", "environment"],
    ["algebra"],
    # names and shapes, no arrays
    ["checkpoint", "expression", "operations"],
    ["modules", "recipe", "frames", "file_formats"],
    ["patterns", "diagnose", "channels", "parsing"],
    ["resolve", "recipe_toml"],
    ["trial", "plans", "library"],
    ["match"],
    ["binding", "strided", "eps", "search"],
    ["recipe_plan", "plan_json"],
    ["planning"],
    # both together: one block at a time
    [
        "fold",
        "reference",
        "neutral",
        "slabs",
        "bounds",
        "grades",
        "arrays",
        "tensor_bytes",
        "edits",
    ],
    ["proof", "stored", "layer_mistakes", "similar", "name_order", "prefix"],
    ["certificate", "pairing", "dyadic", "deploy_form", "fits", "branch_mistakes"],
    ["narrow"],
    ["mistakes"],
    ["screen"],
    ["explain"],
    # whole files
    ["report", "verify_report", "run_report", "blocks"],
    ["comparison", "verify_text"],
    ["fusing", "state_dict", "verifying", "running"],
    ["__init__"],
    ["commands"],
    ["cli"],
    ["__main__"],
]
"""From the bottom up; a module imports only from lower rows."""

TOOL_LAYERS = [
    ["layers", "names"],
    ["kinds", "places", "statistics", "branches", "equivalence"],
    ["lines", "tensors"],
    ["states"],
    ["__init__"],
]
"""Those of `reparam.testing`, which stands over everything else."""

LEVEL = {name: level for level, row in enumerate(LAYERS) for name in row}

UPWARD = {("plans", "report"), ("plans", "plan_json"), ("verify_report", "verify_text")}
"""Imports inside a method of a record that hands over to a layer above."""

ALGEBRA = {"linear", "geometry", "norm", "rounding", "layers", "exact", "windows", "algebra"}


def imports(path):
    """Everything imported anywhere in a file, as dotted names."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path.name}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def own_imports(path):
    """Modules of the package `reparam` imported anywhere in a file."""
    parts = [name.split(".") for name in imports(path)]
    stems = {(*rest, "")[0] for package, *rest in parts if package == "reparam"}
    return {stem if stem in LEVEL else "__init__" for stem in stems}


def loaded(code, *arguments):
    """Exit code and names of top-level modules that a fresh interpreter has loaded after `code`."""
    script = (
        "import json, sys\n"
        "code = 0\n"
        "try:\n"
        f"    exec({code!r})\n"
        "except SystemExit as stop:\n"
        "    code = stop.code\n"
        "print()\n"
        "print(json.dumps([code, sorted(sys.modules)]))\n"
    )
    path = os.pathsep.join([str(ROOT), str(ROOT / "adapters")])
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    exit_code, names = json.loads(done.stdout.splitlines()[-1])
    return exit_code, {name.partition(".")[0] for name in names}


BLANK = loaded("")[1]


def test_every_module_has_a_layer():
    assert sorted(LEVEL) == sorted(path.stem for path in CORE.glob("*.py"))


@pytest.mark.parametrize("path", sorted(CORE.glob("*.py")), ids=lambda p: p.stem)
def test_imports_point_down(path):
    for name in own_imports(path):
        if (path.stem, name) not in UPWARD:
            assert LEVEL[name] < LEVEL[path.stem], f"{path.stem} imports {name}"


def test_imports_of_the_test_tools_point_down():
    level = {name: row for row, names in enumerate(TOOL_LAYERS) for name in names}
    assert sorted(level) == sorted(path.stem for path in TOOLS.glob("*.py"))
    for path in TOOLS.glob("*.py"):
        for name in imports(path):
            package, *rest = name.split(".")
            if package == "reparam":
                inside = rest[0] == "testing"
                assert inside or rest[0] in LEVEL, f"{path.stem} imports {name}"
                assert not inside or level[rest[1]] < level[path.stem], path.stem
            else:
                allowed = {"numpy", "hypothesis", "ml_dtypes"}
                assert package in allowed | set(sys.stdlib_module_names), f"{path.stem}: {name}"


def test_nothing_but_the_test_tools_needs_hypothesis():
    for path in [*CORE.glob("*.py"), *ADAPTERS.glob("*.py")]:
        for name in imports(path):
            assert not name.startswith(("hypothesis", "reparam.testing")), path.stem


def test_the_reference_shares_no_code_with_the_algebra():
    seen, queue = set(), ["reference"]
    while queue:
        found = own_imports(CORE / f"{queue.pop()}.py") - seen
        seen |= found
        queue += found
    assert not seen & (ALGEBRA | {"fold"})


def test_the_algebra_knows_no_checkpoints():
    for name in ALGEBRA:
        assert own_imports(CORE / f"{name}.py") <= ALGEBRA | {"errors"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.stem)
def test_no_framework_is_imported(path):
    frameworks = {"torch", "tensorflow", "keras", "jax", "timm", "torchvision", "onnx"}
    assert not frameworks & {name.partition(".")[0] for name in imports(path)}


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.stem)
def test_modules_stay_small(path):
    assert len(path.read_text("utf-8").splitlines()) <= 350  # beyond, it is two things


def test_core_reaches_adapters_only_by_name():
    for path in CORE.glob("*.py"):
        assert not any(name.startswith("reparam_adapters") for name in imports(path)), path.stem


def test_adapters_use_the_public_records_only():
    for path in ADAPTERS.glob("*.py"):
        assert own_imports(path) <= {
            *("checkpoint", "errors", "expression", "keras_names", "layouts", "padding", "recipe"),
        }, path.stem


def test_import_loads_numpy_and_the_standard_library_only():
    code = "import reparam\nfor name in reparam.__all__:\n    getattr(reparam, name)"
    _, names = loaded(code)
    names = {name for name in names if "cython" not in name}  # the run-time part of NumPy 1
    assert names - BLANK - set(sys.stdlib_module_names) <= {"reparam", "numpy"}
    assert "numpy" in names


def test_import_alone_loads_nothing():
    _, names = loaded("import reparam")
    assert names - BLANK - set(sys.stdlib_module_names) == {"reparam"}


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ("--help", 0),
        ("--version", 0),
        ("fuse --help", 0),
        ("inspect --help", 0),
        ("verify --help", 0),
        ("recipes --help", 0),
        ("", 2),
        ("melt", 2),
        ("fuse", 2),
        ("fuse a.safetensors --dtype int8", 2),
        ("inspect a.safetensors --eps -1", 2),
        ("inspect a.safetensors --eps nan", 2),
    ],
)
def test_help_and_usage_errors_import_nothing_heavy(arguments, code):
    script = "from reparam.cli import main\nraise SystemExit(main())"
    exit_code, names = loaded(script, *arguments.split())
    assert exit_code == code
    assert not names & {"numpy", "h5py", "rich", "safetensors", "ml_dtypes", "reparam_adapters"}


def test_piped_commands_do_without_rich(tmp_path):
    example = ROOT / "docs" / "examples" / "repvgg_digits.safetensors"
    script = "from reparam.cli import main\nraise SystemExit(main())"
    for command in (["inspect", example], ["fuse", example, "-o", tmp_path / "deploy"]):
        exit_code, names = loaded(script, *map(str, command))
        assert exit_code == 0
        assert not names & {"rich", "h5py", "ml_dtypes"}


def test_the_wheel_takes_both_packages_whole():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel == {"packages": ["reparam", "adapters/reparam_adapters"]}
    for package in wheel["packages"]:
        assert (ROOT / package / "py.typed").is_file()
    assert list((CORE / "recipes").glob("*.toml"))


def test_declared_names_exist_and_are_typed_once():
    tree = ast.parse((CORE / "__init__.py").read_text("utf-8"))
    typed = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("reparam.")
        for alias in node.names
    }
    import reparam  # noqa: PLC0415  the other tests start their own interpreters

    assert typed == set(reparam.__all__)
    assert set(reparam.__all__) <= set(dir(reparam))
    with pytest.raises(AttributeError, match="melt"):
        reparam.melt  # noqa: B018  the access is the test
