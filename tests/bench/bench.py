"""Time and memory of the command, beside that of starting Python with NumPy, in one run.

    python tests/bench/bench.py [--rounds 15] [--large 64x512]

Whole processes, run in turns, so that a busy machine slows all of them alike; medians are compared.
This process stays small and loads no NumPy: on Linux a child's peak memory counts what its parent
held when it started.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
MB = 1e6
LARGE_ROUNDS = 3
"""Rounds of the large file, which takes seconds."""


def environment(folder):
    """The caller's, with this checkout first and compiled modules kept between runs."""
    values = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "adapters")]),
        "PYTHONPYCACHEPREFIX": str(folder / "compiled"),
    }
    values.pop("PYTHONDONTWRITEBYTECODE", None)  # else every start compiles every module
    return values


def run(folder, *words):
    """Run a Python process; return its wall time in seconds and its peak memory in bytes."""
    start = time.perf_counter()
    child = subprocess.Popen(
        [sys.executable, *map(str, words)], env=environment(folder), stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - start
    if child.returncode:
        raise SystemExit(f"{words} failed with exit code {child.returncode}")
    unit = 1 if sys.platform == "darwin" else 1024
    return seconds, usage.ru_maxrss * unit


def jobs(folder, files):
    """The processes to be compared, by name."""
    a0, large = files
    fuse, verify = ("-m", "reparam", "fuse"), ("-m", "reparam", "verify")
    out = ("-o", folder / "out.safetensors", "--overwrite")
    return {
        "python -c pass": ("-c", "pass"),
        "python -c 'import numpy'": ("-c", "import numpy"),
        "reparam --help": ("-m", "reparam", "--help"),
        "reparam inspect a0": ("-m", "reparam", "inspect", a0),
        "reparam fuse a0": (*fuse, a0, *out),
        "reparam fuse a0 --no-verify": (*fuse, a0, *out, "--no-verify"),
        "reparam verify a0": (*verify, a0, deploy(a0)),
        "reparam fuse large": (*fuse, large, *out),
        "reparam verify large": (*verify, large, deploy(large)),
    }


def deploy(file):
    """Where the deploy form of a file is."""
    return file.with_suffix(".deploy.safetensors")


def main():
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--large", default="64x512", metavar="BLOCKSxCHANNELS")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = folder / "a0.safetensors", folder / "large.safetensors"
        for what, file in zip(("a0", options.large), files, strict=True):
            run(folder, HERE / "checkpoints.py", what, file)
            run(folder, "-m", "reparam", "fuse", file, "-o", deploy(file))
        processes = jobs(folder, files)
        times = {job: [] for job in processes}
        memory = dict.fromkeys(processes, 0)
        for turn in range(options.rounds + 1):
            for job, words in processes.items():
                if job.endswith("large") and turn > LARGE_ROUNDS:
                    continue
                seconds, peak = run(folder, *words)
                if turn:  # the first compiles modules and warms the page cache
                    times[job].append(seconds)
                    memory[job] = max(memory[job], peak)
        report(options, files, times, memory)


def report(options, files, times, memory):
    base = statistics.median(times["python -c 'import numpy'"])
    a0, large = (file.stat().st_size / MB for file in files)
    lines = [f"a0 {a0:.0f} MB, large ({options.large}) {large:.0f} MB, {options.rounds} rounds"]
    for job, seconds in times.items():
        middle = statistics.median(seconds)
        peak = memory[job] / MB
        lines.append(f"{job:27} {middle:7.3f} s {middle / base:6.2f} x {peak:5.0f} MB")
    sys.stdout.write("\n".join([*lines, ""]))


if __name__ == "__main__":
    main()
