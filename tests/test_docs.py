"""The README and the docs: every example is run, and every list in them is complete.

The code blocks of a page are run from top to bottom in one folder that holds `docs/examples`:

- `console`: commands behind `$ ` and what they print; `…` stands for any text. A command must
  succeed unless the next one is `echo $?`.
- `python`: run, or, where it holds `>>>`, checked as a doctest; names carry over to later blocks.
- `toml title="x.toml"`: written to that file.
- `sh`: commands that set something up. What follows `pip install … &&` is run; `.ci/run` does the
  rest in a fresh environment. A block `text title="output"` behind it is what the last one prints.
"""

from __future__ import annotations

import argparse
import doctest
import os
import pkgutil
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import pytest

import reparam
import reparam_adapters
from reparam import cli, expression, recipe_toml, testing

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [README, ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
EXAMPLES = ROOT / "docs" / "examples"
LKDN = ROOT.parent / "shared" / "real" / "torch"

FENCE = re.compile(r"^(```+)(\w*)([^\n]*)\n(.*?)^\1$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
KNOWN_LANGUAGES = {"console", "python", "toml", "sh", "json", "text"}


def relative(page):
    return page.relative_to(ROOT).as_posix()


@dataclass(frozen=True)
class Block:
    """A fenced code block."""

    where: str
    language: str
    title: str
    body: str


def blocks(page):
    text = page.read_text("utf-8")
    for found in FENCE.finditer(text):
        title = re.search(r'title="([^"]+)"', found[3])
        line = text[: found.start()].count("\n") + 1
        yield Block(f"{relative(page)}:{line}", found[2], title[1] if title else "", found[4])


def prose(page):
    return FENCE.sub("", page.read_text("utf-8"))


class Shell:
    """Runs command lines in a folder, with `reparam` and `python` those of this test."""

    def __init__(self, folder):
        self.folder = folder
        self.code = 0
        tools = folder / ".bin"
        tools.mkdir()
        python = shlex.quote(sys.executable)
        for name, command in (("reparam", f"{python} -m reparam"), ("python", python)):
            tool = tools / name
            tool.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
            tool.chmod(0o755)
        self.environment = os.environ | {
            "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "adapters")]),
            "PYTHONIOENCODING": "utf-8",
        }

    def run(self, command):
        """Run one line; `$?` is the code of the line before."""
        done = subprocess.run(
            ["bash", "-c", f"(exit {self.code}); {command}"],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=120,
            check=False,
        )
        self.code = done.returncode
        return done.stdout.decode()


def matches(expected, printed):
    """Whether a text is the expected one, in which `…` stands for anything."""
    parts = (re.escape(part) for part in expected.rstrip().split("…"))
    return re.fullmatch(".*?".join(parts), printed.rstrip(), re.DOTALL) is not None


def run_console(shell, block):
    first, *examples = re.split(r"^\$ ", block.body, flags=re.MULTILINE)
    assert not first.strip(), f"{block.where}: a console block begins with '$ '"
    for number, example in enumerate(examples):
        command, _, expected = example.partition("\n")
        printed = shell.run(command)
        assert matches(expected, printed), f"{block.where}: {command}\n{printed}"
        may_fail = examples[number + 1 :] and examples[number + 1].startswith("echo $?")
        assert shell.code == 0 or may_fail, f"{block.where}: {command} exits {shell.code}"


def run_python(names, block):
    if ">>>" in block.body:
        runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
        test = doctest.DocTestParser().get_doctest(block.body, names, block.where, block.where, 0)
        report = []
        runner.run(test, out=report.append, clear_globs=False)
        names.update(test.globs)
        assert not runner.failures, "".join(report)
    else:
        exec(compile(block.body, block.where, "exec"), names)  # noqa: S102  our own pages


def setup_commands():
    return [line for b in blocks(README) if b.language == "sh" for line in b.body.splitlines()]


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_examples(page, tmp_path, monkeypatch):
    shutil.copytree(EXAMPLES, tmp_path / "docs" / "examples")
    monkeypatch.chdir(tmp_path)
    run_blocks(blocks(page), tmp_path)


@pytest.mark.skipif(not LKDN.is_dir(), reason="the trained checkpoints are not here")
def test_first_recipe_on_the_real_files(tmp_path, monkeypatch):
    """The page's recipe makes of the authors' weights what the authors made of them."""
    page = list(blocks(ROOT / "docs" / "first-recipe.md"))
    for block in page:
        for name in re.findall(r'save_file\(\w+, "(.+)"\)', block.body):
            shutil.copy(LKDN / name, tmp_path)
    rest = [block for block in page if "save_file(" not in block.body]
    assert len(rest) == len(page) - 1
    monkeypatch.chdir(tmp_path)
    run_blocks(rest, tmp_path)


def run_blocks(page, folder):
    shell = Shell(folder)
    names, printed = {}, ""
    for block in page:
        match block.language:
            case "console":
                run_console(shell, block)
            case "python" | "toml" if block.title:  # a file; Python's may need a framework
                (folder / block.title).write_text(block.body, "utf-8")
            case "python":
                run_python(names, block)
            case "sh":
                for command in block.body.replace("&&", "\n").splitlines():
                    if shlex.split(command)[0] not in {"pip", "pytest"}:
                        printed = shell.run(command)
                        assert shell.code == 0, f"{block.where}: {command}\n{printed}"
            case "text" if block.title == "output":
                assert matches(block.body, printed), f"{block.where}:\n{printed}"
            case other:
                assert other in KNOWN_LANGUAGES, f"{block.where}: language {other!r}"


def test_readme_sets_up_with_two_commands():
    run, test = setup_commands()
    assert run.startswith("pip install . && reparam fuse docs/examples/")
    assert test == 'pip install ".[test]" && pytest'


def modules():
    for package in (reparam, reparam_adapters):
        yield package.__name__
        for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            if not found.name.endswith("__main__"):
                yield found.name


@pytest.mark.parametrize("name", list(modules()))
def test_doctests(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert doctest.testmod(import_module(name)).failed == 0


def test_the_algebra_has_doctests():
    found = doctest.DocTestFinder(exclude_empty=True)
    for name in ("algebra", "layers", "geometry", "linear", "rounding", "expression", "fusing"):
        assert any(t.examples for t in found.find(import_module(f"reparam.{name}"))), name


def anchors(page):
    """The anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", t.lower()).replace(" ", "-") for t in titles}


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_links(page):
    for link in LINK.findall(prose(page)):
        if re.match(r"https?://", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{relative(page)} links to {link}"
        assert ROOT in target.parents, f"{relative(page)} links out of the project: {link}"
        assert not anchor or anchor in anchors(target), f"{relative(page)} links to {link}"


def test_every_page_is_in_the_index():
    index = ROOT / "docs" / "index.md"
    linked = {(index.parent / link).resolve() for link in LINK.findall(prose(index))}
    assert {p for p in PAGES if p.parent == index.parent and p != index} <= linked


def section(page, title):
    """The text under a heading, up to the next heading of its level or above."""
    text = page.read_text("utf-8")
    found = re.search(rf"^(#+) {re.escape(title)}$", text, re.MULTILINE)
    assert found, f"{relative(page)} has no section {title!r}"
    rest = text[found.end() :]
    end = re.search(rf"^#{{1,{len(found[1])}}} ", FENCE.sub(_blank, rest), re.MULTILINE)
    return rest[: end.start()] if end else rest


def _blank(found):
    return re.sub(r"\S", "x", found[0])


def subparsers():
    for action in cli.parser()._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from action.choices.items()


def test_command_line_page_has_every_command():
    page = ROOT / "docs" / "command-line.md"
    commands = re.findall(r"^## reparam (\w+)$", page.read_text("utf-8"), re.MULTILINE)
    assert commands == [name for name, _ in subparsers()]


@pytest.mark.parametrize("command", [name for name, _ in subparsers()])
def test_command_line_page_has_every_option(command):
    page = ROOT / "docs" / "command-line.md"
    text = section(page, f"reparam {command}")
    common = section(page, "Options of inspect, fuse and verify")
    for action in dict(subparsers())[command]._actions:
        words = action.option_strings or [action.metavar]
        for word in {*words, *(action.choices or ())} - {"-h", "--help"}:
            assert re.search(rf"`[^`]*(?<![\w-]){re.escape(word)}(?![\w-])", text + common), word


def test_command_line_page_has_every_json_field(tmp_path):
    source = EXAMPLES / "repvgg_digits.safetensors"
    fused = reparam.fuse(source, tmp_path / "deploy.safetensors")
    verified = reparam.verify(source, tmp_path / "deploy.safetensors")
    page = ROOT / "docs" / "command-line.md"
    for command, report in (("fuse", fused), ("verify", verified)):
        text = section(page, f"reparam {command}")
        for name in report.as_dict():
            assert f"`{name}`" in text, f"{command}: {name}"


def test_recipe_page_has_every_key_and_attribute():
    text = (ROOT / "docs" / "recipes.md").read_text("utf-8")
    keys = set()
    source = Path(recipe_toml.__file__).read_text("utf-8")
    for key in re.findall(r'\.(?:count|eps|flag|lines|patterns?|tables?|texts?)\("(\w+)"', source):
        keys.add(key)
    assert {"at", "complete", "fuse", "eps", "needs", "spelling", "stride"} <= keys
    for key in keys | expression.ATTRIBUTES.keys():
        assert f"`{key}`" in text, key


def test_api_page_has_every_public_name():
    text = (ROOT / "docs" / "api.md").read_text("utf-8")
    for name in reparam.__all__:
        assert re.search(rf"`(?:reparam\.)?{name}\b", text), name


def test_testing_page_has_every_tool():
    text = (ROOT / "docs" / "testing.md").read_text("utf-8")
    for name in testing.__all__:
        assert f"`{name}" in text, name


def test_changelog_has_this_version():
    assert f"## [{reparam.__version__}]" in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_licence_is_the_standard_text():
    text = (ROOT / "LICENSE").read_text("utf-8")
    assert text.strip().startswith("Apache License\n")
    assert "Version 2.0, January 2004" in text
    assert text.rstrip().endswith("limitations under the License.")
