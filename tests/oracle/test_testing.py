"""The module of docs/testing.md passes its test, and with the mistake shown there it does not."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "testing.md").read_text("utf-8")
FENCE = re.compile(r'^```(\w+) title="([^"]+)"\n(.*?)^```$', re.MULTILINE | re.DOTALL)
FILES = {title: body for _, title, body in FENCE.findall(PAGE)}


@pytest.fixture
def run(tmp_path):
    """Write the page's files, with another `rep_block.py` if given, and run the test."""

    def run(module=FILES["rep_block.py"]):
        (tmp_path / "rep_block.py").write_text(module, "utf-8")
        (tmp_path / "test_rep_block.py").write_text(FILES["test_rep_block.py"], "utf-8")
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        path = os.pathsep.join([str(ROOT), str(ROOT / "adapters"), str(tmp_path)])
        done = subprocess.run(
            [*command, "test_rep_block.py"],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout

    return run


def broken():
    """The module with the page's mistake in it."""
    wrong = FILES["mistake.py"]
    right = re.search(r"^ +scale = .*\n", FILES["rep_block.py"], re.MULTILINE)[0]
    assert wrong != right
    return FILES["rep_block.py"].replace(right, wrong)


def test_the_module_passes(run):
    code, printed = run()
    assert code == 0, printed


def test_the_mistake_is_found_and_named(run):
    code, printed = run(broken())
    assert code == 1, printed
    expected = FILES["what pytest prints"].strip().split("…")
    pattern = ".*?".join(re.escape(part) for part in expected)
    assert re.fullmatch(pattern, printed.strip(), re.DOTALL), printed


def test_the_usual_test_does_not_see_the_mistake():
    torch = pytest.importorskip("torch")
    names = {}
    exec(compile(broken(), "rep_block.py", "exec"), names)  # noqa: S102  our own page
    block = names["RepBlock"](8).eval()
    x = torch.randn(2, 8, 16, 16)
    wanted = block(x)
    block.fuse()
    assert torch.allclose(block(x), wanted, rtol=0, atol=1e-4)
