"""The command: what it prints, which code it ends with, what it leaves behind."""

import json
import os
import pty
import subprocess
import sys

import pytest
from families.plain import repvgg, resnet, vgg
from safetensors.numpy import load_file, save_file

from reparam.cli import main, parser


@pytest.fixture
def train(tmp_path):
    path = tmp_path / "train.safetensors"
    save_file(repvgg("official"), path)
    return path


@pytest.fixture
def run(capsys):
    def run(*words):
        try:
            code = main([str(w) for w in words])
        except SystemExit as stop:
            code = stop.code
        return code, *capsys.readouterr()

    return run


def test_fuse_and_verify(run, train, tmp_path):
    out = tmp_path / "deploy.safetensors"
    code, text, complaint = run("fuse", train, "-o", out)
    assert (code, complaint) == (0, "")
    assert "fused 3 blocks, copied 2 tensors" in text
    assert "assumed eps=1e-05 (recipe repvgg)" in text
    code, text, _ = run("verify", train, out)
    assert code == 0
    assert text.startswith("identical: ")


def test_fuse_json_is_one_object(run, train, tmp_path):
    out = tmp_path / "deploy.safetensors"
    _, text, _ = run("fuse", train, "-o", out, "--json")
    values = json.loads(text)
    assert values["fused"] == 3
    assert values["output"] == str(out)
    assert values["verified"] is True
    assert 0 < values["worst"]["error"] <= 1


def test_a_difference_ends_with_one(run, train, tmp_path):
    out = tmp_path / "deploy.safetensors"
    run("fuse", train, "-o", out)
    state = load_file(out)
    state["stage0.rbr_reparam.bias"][0] += 1
    save_file(state, out)
    code, text, _ = run("verify", train, out)
    assert code == 1
    assert "stage0.rbr_reparam.bias" in text
    code, text, _ = run("verify", train, out, "--json")
    assert code == 1
    assert json.loads(text)["ok"] is False


def test_dry_run_looks_at_the_output_too(run, train):
    code, _, complaint = run("fuse", train, "--dry-run", "-o", train)
    assert (code, "the output is the input" in complaint) == (2, True)


def test_output_that_cannot_show_a_character(train, tmp_path):
    out = tmp_path / "out\u2026.safetensors"
    for words in (["fuse", train, "-o", out], ["verify", train, out]):
        done = subprocess.run(
            [sys.executable, "-m", "reparam", *words],
            env=os.environ | {"PYTHONIOENCODING": "ascii"},
            capture_output=True,
            check=True,
        )
        assert done.stderr == b""


def test_a_terminated_fuse_leaves_nothing(train, tmp_path):
    code = (
        "import os, signal, sys, reparam.fusing as f, reparam.cli as c;"
        "f.fuse_block = lambda *a, **k: os.kill(os.getpid(), signal.SIGTERM);"
        "sys.exit(c.main(sys.argv[1:]))"
    )
    words = [sys.executable, "-c", code, "fuse", train, "-o", tmp_path / "out.safetensors"]
    done = subprocess.run(words, capture_output=True, check=False)
    assert done.returncode == 130
    assert b"interrupted" in done.stderr
    assert list(tmp_path.iterdir()) == [train]


def test_dry_run_writes_nothing(run, train, tmp_path):
    code, text, _ = run("fuse", train, "--dry-run", "-o", tmp_path / "deploy.safetensors")
    assert code == 0
    assert "dry run" in text
    assert list(tmp_path.iterdir()) == [train]


def test_no_verify_says_so(run, train, tmp_path):
    _, text, _ = run("fuse", train, "-o", tmp_path / "d.safetensors", "--no-verify")
    assert "not verified" in text


def test_inspect_and_plan(run, train, tmp_path):
    code, text, _ = run("inspect", train)
    assert code == 0
    assert "stage1.1.rbr_reparam" in text
    _, text, _ = run("inspect", train, "--json")
    plan = tmp_path / "plan.json"
    plan.write_text(text)
    one, two = tmp_path / "one.safetensors", tmp_path / "two.safetensors"
    assert run("fuse", train, "-o", one, "--plan", plan)[0] == 0
    assert run("fuse", train, "-o", two)[0] == 0
    assert one.read_bytes() == two.read_bytes()


def test_recipes(run):
    code, text, _ = run("recipes")
    assert code == 0
    heads = [line.split(":")[0] for line in text.splitlines() if not line.startswith(" ")]
    assert set(heads) >= {"repvgg", "resnet", "vgg"}
    assert len(heads) == len(set(heads))
    for what in ("  paper: ", "  spellings: ", "  eps ", "  only with --recipe ", "  note: "):
        assert f"\n{what}" in text
    code, text, _ = run("recipes", "repvgg")
    assert code == 0
    assert "rbr_dense.conv rbr_dense.bn" in text
    assert "eps 1e-05 (" in text


def test_recipe_and_eps_options(run, train, tmp_path):
    code, _, complaint = run("fuse", train, "-o", tmp_path / "o.safetensors", "--recipe", "vgg")
    assert code == 2
    assert "no recipe claims" in complaint
    code, text, _ = run(
        "fuse",
        train,
        "-o",
        tmp_path / "o.safetensors",
        "--recipe",
        "vgg",
        "--recipe",
        "repvgg",
        "--eps",
        "1e-3",
    )
    assert code == 0
    assert "assumed eps=0.001 (--eps)" in text


def bad_inputs(folder, train):
    """Every way to be wrong that a user can find, with a word of the message."""
    torch = folder / "model.pt"
    torch.write_bytes(b"PK\x03\x04rest")
    pickle = folder / "model.pth"
    pickle.write_bytes(b"\x80\x02rest")
    hdf5 = folder / "model.h5"
    hdf5.write_bytes(b"\x89HDF\r\n\x1a\nrest")
    empty = folder / "empty.safetensors"
    empty.write_bytes(b"")
    short = folder / "short.safetensors"
    short.write_bytes(train.read_bytes()[:-1])
    unknown = folder / "unknown.safetensors"
    save_file({"a.weight": load_file(train)["head.fc.weight"]}, unknown)
    recipe = folder / "bad.toml"
    recipe.write_text("name = 1")
    out = folder / "out.safetensors"
    return {
        "missing file": (["fuse", folder / "no", "-o", out], "No such file"),
        "folder": (["fuse", folder, "-o", out], "regular file"),
        "torch zip": (["fuse", torch, "-o", out], "zip archive"),
        "pickle": (["fuse", pickle, "-o", out], "pickle"),
        "hdf5": (["fuse", hdf5, "-o", out], "HDF5"),
        "empty file": (["fuse", empty, "-o", out], "empty.safetensors"),
        "truncated": (["fuse", short, "-o", out], "short.safetensors"),
        "nothing known": (["fuse", unknown, "-o", out], "looked for"),
        "same file": (["fuse", train, "-o", train, "--overwrite"], "the output is the input"),
        "no such folder": (["fuse", train, "-o", folder / "no" / "out"], "no"),
        "unknown recipe": (
            ["fuse", train, "-o", out, "--recipe", "nope"],
            "neither a known recipe",
        ),
        "bad recipe": (["fuse", train, "-o", out, "--recipe", recipe], "bad.toml"),
        "missing recipe": (["fuse", train, "-o", out, "--recipe", folder / "x.toml"], "x.toml"),
        "bad plan": (["fuse", train, "-o", out, "--plan", recipe], "not valid JSON"),
        "binary plan": (["fuse", train, "-o", out, "--plan", train], "JSON"),
        "missing plan": (["fuse", train, "-o", out, "--plan", folder / "x.json"], "x.json"),
        "no output": (["fuse", train], "-o OUT"),
        "plan and eps": (["fuse", train, "-o", out, "--plan", recipe, "--eps", "1"], "already"),
        "negative eps": (["inspect", train, "--eps", "-1"], "at least 0"),
        "no number": (["inspect", train, "--eps", "x"], "--eps"),
        "nothing to compare": (["verify", train, folder / "no"], "No such file"),
        "unknown command": (["melt", train], "melt"),
        "no command": ([], "COMMAND"),
    }


CASES = [
    "missing file",
    "folder",
    "torch zip",
    "pickle",
    "hdf5",
    "empty file",
    "truncated",
    "nothing known",
    "same file",
    "no such folder",
    "unknown recipe",
    "bad recipe",
    "missing recipe",
    "bad plan",
    "binary plan",
    "missing plan",
    "no output",
    "plan and eps",
    "negative eps",
    "no number",
    "nothing to compare",
    "unknown command",
    "no command",
]


@pytest.mark.parametrize("case", CASES)
def test_bad_input_ends_with_two_one_message_and_no_file(run, train, tmp_path, case):
    cases = bad_inputs(tmp_path, train)
    assert list(cases) == CASES
    words, expected = cases[case]
    before = {p: p.read_bytes() for p in tmp_path.iterdir()}
    code, text, complaint = run(*words)
    assert (code, text) == (2, "")
    assert expected in complaint
    assert "Traceback" not in complaint
    assert {p: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_existing_output(run, train, tmp_path):
    out = tmp_path / "out.safetensors"
    out.write_text("precious")
    code, _, complaint = run("fuse", train, "-o", out)
    assert code == 2
    assert "--overwrite" in complaint
    assert out.read_text() == "precious"
    assert run("fuse", train, "-o", out, "--overwrite")[0] == 0


def test_closed_pipe_is_no_error(train):
    """As in `reparam inspect FILE | head -1`."""
    command = f"{sys.executable} -m reparam inspect {train} --json | head -c 1"
    done = subprocess.run(["sh", "-c", command], capture_output=True, check=True)
    assert done.stderr == b""


def on_terminal(*words):
    """Run the command with a terminal for its output; return what it shows."""
    leader, follower = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "reparam", *map(str, words)],
        stdout=follower,
        stderr=follower,
        env=os.environ | {"COLUMNS": "200"},
    ) as process:
        os.close(follower)
        shown = b""
        while True:
            try:
                piece = os.read(leader, 4096)
            except OSError:  # Linux ends a closed terminal with EIO
                break
            if not piece:
                break
            shown += piece
        os.close(leader)
    return shown.decode(), process.returncode


def test_a_terminal_gets_a_table(train):
    shown, code = on_terminal("inspect", train)
    assert code == 0
    assert "┃" in shown
    assert "stage1.1.rbr_reparam" in shown


def test_a_long_job_shows_progress_on_a_terminal_only(train, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("reparam.commands.PATIENCE", -1.0)
    main(["fuse", str(train), "-o", str(tmp_path / "a.safetensors")])
    assert "fusing" not in capsys.readouterr().err
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    main(["fuse", str(train), "-o", str(tmp_path / "b.safetensors")])
    assert "fusing" in capsys.readouterr().err
    monkeypatch.setattr("reparam.commands.PATIENCE", 3600.0)  # a short job
    main(["fuse", str(train), "-o", str(tmp_path / "c.safetensors")])
    assert "fusing" not in capsys.readouterr().err


def test_names_are_data_never_markup(tmp_path):
    """A checkpoint's names reach the terminal as they are, not as colours or links."""
    path = tmp_path / "train.safetensors"
    save_file({f"[bold]x[/bold].{k}": v for k, v in vgg().items()}, path)
    shown, _ = on_terminal("inspect", path)
    assert "[bold]" in shown


def test_neutral_and_dtype_options(run, tmp_path):
    path, out = tmp_path / "train.safetensors", tmp_path / "out.safetensors"
    save_file(resnet(), path)
    code, _, _ = run("fuse", path, "-o", out, "--batch-norm", "neutral", "--dtype", "bfloat16")
    assert code == 0
    assert run("verify", path, out)[0] == 0


def test_help_names_every_command(run):
    code, text, _ = run("--help")
    assert code == 0
    assert all(name in text for name in ("inspect", "fuse", "verify", "recipes"))
    assert parser().prog == "reparam"
