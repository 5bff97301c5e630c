"""Apply every mutant to a copy of the tree and see whether the tests notice.

    python tests/mutants/run.py [part of a name or of a file ...]

Exits with 1 if a mutant survives, no longer fits the code, or breaks it so that no test runs.
Says at the end where the time went.
"""

# ruff: noqa: T201  a script talks to its terminal

import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from types import SimpleNamespace

ROOT = Path(__file__).resolve().parents[2]
WORKERS = 2
SECONDS = 120
RAN = 100
"""Added to pytest's exit code: a process that never got as far as pytest may end with any other."""
PASSED, FAILED = RAN, RAN + 1
SLOW = 3
"""Seconds of which the end of the report speaks."""
SETTINGS = {"HYPOTHESIS_PROFILE": "mutants", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
# compiled files are told apart by time and size, which a mutant need not change
SETTINGS |= {"PYTHONDONTWRITEBYTECODE": "1"}

PREPARED = ["pytest", "_pytest.assertion.rewrite", "hypothesis.strategies", "numpy.testing"]
PREPARED += ["h5py", "ml_dtypes", "safetensors.numpy"]
"""What every run imports, none of it ours: imported once, in a process that the runs fork from."""

FORKS = multiprocessing.get_context("forkserver")


def copy_tree(target):
    for name in ("reparam", "adapters", "tests", "docs"):
        shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", target)


def in_process(tree, tests):
    """Be `python -m pytest` in a tree, silently."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    os.setsid()
    os.chdir(tree)
    sys.dont_write_bytecode = True
    sys.path[0] = str(tree)
    import pytest  # noqa: PLC0415  imported already

    # what is imported already cannot have its assertions rewritten, and need not
    quiet = ["-q", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning"]
    os._exit(RAN + pytest.main(["-x", *quiet, "--hypothesis-seed=0", *tests]))


def run_tests(tree, *tests):
    """Return what pytest ended with; a test that never ends counts as one that failed."""
    process = FORKS.Process(target=in_process, args=(str(tree), tests))
    process.start()
    process.join(SECONDS)
    if process.exitcode is None:
        os.killpg(process.pid, signal.SIGKILL)  # with what the tests have started
        process.join()
        return FAILED
    return process.exitcode


def sound(mutants):
    """The tests that must pass without a mutant, by file; some mutants name a file as a whole."""
    files = {}
    for test in dict.fromkeys(m.tests for m in mutants):
        files.setdefault(test.partition("::")[0], []).append(test)
    return [[file] if file in tests else tests for file, tests in files.items()]


def fails(tests, trees):
    """Return the file of tests that do not pass."""
    tree = trees.get()
    try:
        return None if run_tests(tree, *tests) == PASSED else tests[0].partition("::")[0]
    finally:
        trees.put(tree)


def verdict(mutant, trees):
    """Return what became of a mutant, and in how many seconds."""
    tree, started = trees.get(), time.monotonic()
    file = tree / mutant.file
    source = file.read_text(encoding="utf-8")
    try:
        if source.count(mutant.before) != 1:
            print(f"does not fit: {mutant.file}: {mutant.name}")
            return SimpleNamespace(mutant=mutant, fate="does not fit", seconds=0)
        file.write_text(source.replace(mutant.before, mutant.after), encoding="utf-8")
        code = run_tests(tree, mutant.tests)
    finally:
        file.write_text(source, encoding="utf-8")
        trees.put(tree)
    fate = {PASSED: "SURVIVED", FAILED: "killed"}.get(code, f"stopped with {code}")
    seconds = time.monotonic() - started
    print(f"{fate:8} {seconds:5.1f} s  {mutant.file:24} {mutant.name}", flush=True)
    return SimpleNamespace(mutant=mutant, fate=fate, seconds=seconds)


def main(wanted):
    sys.path[0] = str(ROOT / "tests")
    from mutants import MUTANTS  # noqa: PLC0415  beside the tests; the processes do without it

    chosen = [m for m in MUTANTS if not wanted or any(w in m.name or w in m.file for w in wanted)]
    started = time.monotonic()
    os.environ |= SETTINGS
    FORKS.set_forkserver_preload(PREPARED)
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(WORKERS) as pool:
        trees = SimpleQueue()
        for number in range(WORKERS):
            tree = Path(scratch, str(number))
            copy_tree(tree)
            trees.put(tree)
        broken = [test for test in pool.map(lambda t: fails(t, trees), sound(chosen)) if test]
        if broken:
            print("tests that fail without any mutant:", *broken)
            return 1
        verdicts = list(pool.map(lambda m: verdict(m, trees), chosen))
    killed = sum(v.fate == "killed" for v in verdicts)
    print(f"{killed} of {len(chosen)} killed in {time.monotonic() - started:.0f} s")
    slow = sorted((v for v in verdicts if v.seconds > SLOW), key=lambda v: -v.seconds)
    for v in slow:
        print(f"slow: {v.seconds:.1f} s  {v.mutant.file}: {v.mutant.name} ({v.mutant.tests})")
    return int(killed < len(chosen))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
