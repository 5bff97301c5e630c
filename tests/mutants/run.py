"""Apply every mutant to a copy of the tree and see whether the tests notice.

    python tests/mutants/run.py [part of a name ...]

Exits with 1 if a mutant survives, no longer fits the code, or breaks it so that no test runs.
"""

# ruff: noqa: T201  a script talks to its terminal

import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

from mutants import MUTANTS

ROOT = Path(__file__).resolve().parents[2]
WORKERS = 2
SECONDS = 120
FAILED = 1  # pytest's exit code when tests ran and some failed


def copy_tree(target):
    for name in ("reparam", "adapters", "tests"):
        shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", target)


def run_tests(tree, *tests):
    """Return pytest's exit code; a test that never ends counts as one that failed."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    # compiled files are told apart by time and size, which a mutant need not change
    settings = {"PYTHONDONTWRITEBYTECODE": "1", "HYPOTHESIS_PROFILE": "mutants"}
    settings |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            [*command, "--hypothesis-seed=0"],
            cwd=tree,
            env=os.environ | settings,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return FAILED
    return done.returncode


def verdict(mutant, trees):
    tree, started = trees.get(), time.monotonic()
    file = tree / mutant.file
    source = file.read_text(encoding="utf-8")
    try:
        if source.count(mutant.before) != 1:
            print(f"does not fit: {mutant.file}: {mutant.name}")
            return "does not fit"
        file.write_text(source.replace(mutant.before, mutant.after), encoding="utf-8")
        code = run_tests(tree, mutant.tests)
    finally:
        file.write_text(source, encoding="utf-8")
        trees.put(tree)
    fate = {0: "SURVIVED", FAILED: "killed"}.get(code, f"pytest stopped with {code}")
    print(
        f"{fate:8} {time.monotonic() - started:4.0f} s  {mutant.file:24} {mutant.name}", flush=True
    )
    return fate


def main(wanted):
    chosen = [m for m in MUTANTS if not wanted or any(w in m.name for w in wanted)]
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(WORKERS) as pool:
        trees = SimpleQueue()
        for number in range(WORKERS):
            tree = Path(scratch, str(number))
            copy_tree(tree)
            trees.put(tree)
        if any(
            run_tests(tree, file) for file in sorted({m.tests.partition("::")[0] for m in chosen})
        ):
            print("the tests fail without any mutant")
            return 1
        verdicts = list(pool.map(lambda m: verdict(m, trees), chosen))
    killed = verdicts.count("killed")
    print(f"{killed} of {len(chosen)} killed in {time.monotonic() - started:.0f} s")
    return int(killed < len(chosen))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
