"""`verify --run` without any framework: its checks on a net in NumPy, its messages, its report."""

from __future__ import annotations

import ast
import json
import sys
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from families.sample import Maker
from safetensors.numpy import load_file, save_file

import reparam
from reparam import cli, running
from reparam.errors import CheckpointError, RunError
from reparam.reference import run as run_op
from reparam.run_report import Check, RunReport
from reparam.running import difference, noise, run, widened
from reparam_adapters.keras_double import double_config
from reparam_adapters.model_file import ModelFile
from reparam_adapters.run_outputs import flatten

ROOT = Path(__file__).parents[1]
SHAPE = (2, 4, 6, 5)


def net(blocks=3, width=4):
    """RepVGG blocks with identity branches, a pair of its own, and a head."""
    maker = Maker()
    for i in range(blocks):
        maker.conv(f"stage1.{i}.rbr_dense.conv", width, width, 3, 3)
        maker.norm(f"stage1.{i}.rbr_dense.bn", width)
        maker.conv(f"stage1.{i}.rbr_1x1.conv", width, width, 1, 1)
        maker.norm(f"stage1.{i}.rbr_1x1.bn", width)
        maker.norm(f"stage1.{i}.rbr_identity", width)
    maker.conv("linear", 5, width, bias=True)
    return maker.state


def relu(x):
    return np.maximum(x, 0)


def gated(x):
    """Multiplied by a gate, as in squeeze-and-excitation."""
    return x / (1 + np.exp(-np.clip(x.mean((2, 3), keepdims=True), -9, 9)))


class Numpy:
    """Runs a chain of blocks by the reference, which shares no code with the fold."""

    framework = "numpy"
    notes = ()

    def __init__(self, plan, activation=relu, result=lambda y, _: y, eps=None, names=lambda n: n):
        self.plan, self.activation, self.result = plan, activation, result
        self.eps, self.names = eps, names
        self.shapes = [SHAPE]
        self.loaded = {}

    def outputs(self, form, tensors, images):
        self.loaded[form] = tensors
        assert all(v.dtype in (np.float64, np.int64) for v in tensors.values())

        def read(name, rows=None):
            values = tensors[name if name in tensors else self.names(name)]
            return values if rows is None else values[slice(*rows)]

        (x,) = images
        for fusion in self.plan.fusions:
            fused = form == "deploy" and any(w.name not in fusion.reads for w in fusion.writes)
            try:
                op = fusion.after if fused else fusion.op
                y = run_op(self.other_eps(op), read, x)
            except KeyError:
                y = run_op(self.other_eps(fusion.op), read, x)
            x = self.activation(y)
        y = x.mean((2, 3)) @ read("linear.weight").T + read("linear.bias")
        return {"output": y} | self.more(form, y)

    def more(self, form, y):
        found = self.result(y, form)
        return {"output": found} if isinstance(found, np.ndarray) else found

    def other_eps(self, op):
        if self.eps is None:
            return op
        return eval(repr(op).replace("eps=1e-05", f"eps={self.eps}"), vars(reparam.operations))  # noqa: S307


@dataclass
class Files:
    before: Path
    after: Path
    plan: reparam.Plan
    renamed: dict


@pytest.fixture
def files(tmp_path):
    """Save a state dict and fuse it; `change` edits what is fused."""

    def files(state=None, change=None, **options):
        before, after = tmp_path / "train.safetensors", tmp_path / "deploy.safetensors"
        save_file(net() if state is None else state, before)
        said = {key: options[key] for key in ("recipe", "eps") if key in options}
        reparam.fuse(before, after, overwrite=True, **options)
        if change:
            tensors = load_file(after)
            save_file(change(tensors) or tensors, after)
        report = reparam.verify(before, after, **said)
        return Files(before, after, report.plan, dict(report.renamed))

    return files


@pytest.fixture
def ran(monkeypatch):
    """Run two files by the runner above."""

    def ran(files, **how):
        adapter = ModuleType("numpy_adapter")
        made = []

        def open_runner(old, new, model, size):
            assert model is None
            assert size is None
            assert "linear.weight" in old.tensors
            assert old.path != new.path
            made.append(Numpy(files.plan, **how))
            return made[0]

        adapter.open_runner = open_runner
        monkeypatch.setitem(sys.modules, "numpy_adapter", adapter)
        monkeypatch.setitem(running._ADAPTERS, "numpy", "numpy_adapter")
        report = run(
            files.before, files.after, files.plan, framework="numpy", renamed=files.renamed
        )
        return report, made[0]

    return ran


def verdicts(report):
    return [check.verdict for check in report.checks]


# --- the three checks


def test_equal_forms(files, ran):
    report, _ = ran(files(), activation=relu)
    assert report.ok
    assert [c.name for c in report.checks] == ["dyadic", "float64", "as stored"]
    assert verdicts(report) == ["equal", "within", "within"]
    dyadic, exact, stored = report.checks
    assert dyadic.value == 0
    assert dyadic.what == "10 of 10 outputs follow the image"
    assert 0 < exact.value < 1e-13
    assert 1e-9 < stored.value < 1e-5


def test_a_mean_over_thirty_pixels_need_not_be_exact(files, ran):
    """What both forms do alike to equal numbers leaves them equal."""
    report, _ = ran(files(), result=lambda y, _: np.exp(y / 7))
    assert report.checks[0].verdict == "equal"


def test_a_net_that_rounds_is_never_called_equal(files, ran):
    report, _ = ran(files(net(blocks=8)), activation=gated)
    assert report.ok
    assert verdicts(report) == ["rounds", "within", "within"]
    assert 0 < report.checks[0].value <= running.BOUND
    assert "not shown to be equal" in str(report)


@pytest.mark.parametrize("eps", [1e-3, 1.001e-5, 0.0])
def test_another_eps_in_the_model(files, ran, eps):
    report, _ = ran(files(), eps=eps)
    assert not report.ok
    assert report.checks[0].verdict == "DIFFERENT"
    assert report.checks[0].value > 1e-4


def test_a_model_that_computes_something_else(files, ran):
    report, _ = ran(files(), result=lambda y, form: y + (1e-9 if form == "deploy" else 0))
    assert verdicts(report)[:2] == ["DIFFERENT", "DIFFERENT"]


@pytest.mark.parametrize(
    ("result", "what"),
    [
        (lambda y, form: y[:, :4] if form == "deploy" else y, "has shape"),
        (lambda y, form: {"output": y, form: y}, "only one form returns deploy"),
        (lambda y, form: y * (np.nan if form == "deploy" else 1), "NaN or infinity"),
    ],
)
def test_outputs_that_cannot_be_compared(files, ran, result, what):
    report, _ = ran(files(), result=result)
    assert verdicts(report) == ["DIFFERENT"] * 3
    assert all(what in check.what for check in report.checks)
    assert [c["value"] for c in report.as_dict()["checks"]] == [None] * 3
    json.dumps(report.as_dict(), allow_nan=False)


def test_nothing_is_claimed_of_outputs_that_ignore_the_image(files, ran):
    report, _ = ran(files(), result=lambda y, _: y * 0 + 3)
    assert report.checks[0].verdict == "nothing shown"
    assert "do not depend on the image" in str(report)
    assert report.ok


def test_nothing_is_claimed_of_a_train_form_without_finite_outputs(files, ran):
    report, _ = ran(files(), result=lambda y, _: y + np.inf)
    assert report.checks[0].verdict == "nothing shown"
    assert not report.ok


def test_what_was_stored_may_be_off_by_rounding_only(files, ran):
    def worse(tensors):
        tensors["stage1.1.rbr_reparam.weight"] *= 1.01

    report, _ = ran(files(change=worse))
    assert verdicts(report) == ["equal", "within", "DIFFERENT"]
    assert not report.ok


def test_a_change_below_rounding_is_left_to_the_weights(files, ran):
    def nudge(tensors):
        tensors["linear.bias"] += 1e-6

    chosen = files(change=nudge)
    assert not reparam.verify(chosen.before, chosen.after).ok
    assert verdicts(ran(chosen)[0]) == ["equal", "within", "within"]


def test_the_coarsest_dtype_says_what_rounding_explains(files, ran):
    report, _ = ran(files(dtype="bfloat16"))
    assert "bfloat16" in report.checks[2].what
    assert verdicts(report) == ["equal", "within", "within"]
    assert report.checks[2].value > 1e-4


def test_a_net_that_outgrows_float64_gets_sparser_numbers(files, ran, monkeypatch):
    asked = []
    honest = running.dyadic_tensors

    def tensors(plan, thin):
        asked.append(thin)
        return honest(plan, thin)

    monkeypatch.setattr(running, "dyadic_tensors", tensors)
    ran(files())
    assert asked == [1]
    asked.clear()
    ran(files(net(blocks=8)), activation=gated)
    assert asked == [1, 2, 4]


# --- AFTER in other shapes


def pairs_net():
    """Convolutions with one norm each; the second has a bias."""
    maker = Maker()
    for i, (into, out) in enumerate([(4, 6), (6, 4)]):
        maker.conv(f"blocks.{i}.conv", out, into, 3, 3, bias=bool(i))
        maker.norm(f"blocks.{i}.bn", out)
    maker.conv("linear", 5, 4, bias=True)
    return maker.state


def assert_all_well(report):
    assert report.ok
    assert verdicts(report) == ["equal", "within", "within"]


def test_neutral_norms(files, ran):
    chosen = files(pairs_net(), recipe="conv-bn", eps=1e-5, batch_norm="neutral")
    report, made = ran(chosen)
    assert_all_well(report)
    assert made.loaded["deploy"].keys() == made.loaded["train"].keys()


def test_norms_are_made_neutral_and_carry_the_bias(files):
    chosen = files(pairs_net(), recipe="conv-bn", eps=1e-5, batch_norm="neutral")
    with (
        reparam.open_checkpoint(chosen.before) as old,
        reparam.open_checkpoint(chosen.after) as new,
    ):
        form = running.DeployForm(chosen.plan, old, new, {})
        fused = form.fuse({n: widened(old.read(n)) for n in old.tensors})
        stored = {n: new.read(n) for n in new.tensors}
    assert fused.keys() == stored.keys()
    for name, values in stored.items():  # what `fuse` wrote, but not rounded
        assert np.array_equal(fused[name].astype(values.dtype), values)
    assert fused["blocks.0.conv.weight"].astype(np.float32).tolist() != (
        fused["blocks.0.conv.weight"].tolist()
    )
    assert not fused["blocks.1.conv.bias"].any()


def test_a_block_that_after_holds_in_train_form(files, ran):
    state = net()

    def keep(tensors):
        for name in [n for n in tensors if n.startswith("stage1.1.")]:
            del tensors[name]
        tensors |= {n: v for n, v in state.items() if n.startswith("stage1.1.")}

    report, made = ran(files(state, change=keep))
    assert_all_well(report)
    assert "stage1.1.rbr_dense.conv.weight" in made.loaded["deploy"]


def test_names_of_another_spelling(files, ran):
    def other(name):
        return name.replace("rbr_reparam", "reparam_conv").replace("linear", "head.fc")

    chosen = files(change=lambda tensors: {other(n): v for n, v in tensors.items()})
    assert chosen.renamed
    report, made = ran(chosen, names=other)
    assert_all_well(report)
    assert {"stage1.0.reparam_conv.weight", "head.fc.bias"} <= made.loaded["deploy"].keys()


def test_counters_may_be_missing_or_new(files, ran):
    state = net() | {"other.num_batches_tracked": np.array(3)}

    def change(tensors):
        del tensors["other.num_batches_tracked"]
        tensors["another.num_batches_tracked"] = np.array(3)

    report, made = ran(files(state, change=change))
    assert_all_well(report)
    assert "another.num_batches_tracked" in made.loaded["deploy"]


def test_tensors_that_nothing_accounts_for_are_refused(files, ran):
    def add(tensors):
        tensors["more.scale"] = np.ones(3, np.float32)

    with pytest.raises(RunError, match=r"'more\.scale' is only there"):
        ran(files(change=add))


def test_unknown_framework(files):
    chosen = files()
    with pytest.raises(RunError, match="expected torch or keras"):
        run(chosen.before, chosen.after, chosen.plan, framework="jax")


# --- numbers


def test_difference_is_relative_to_each_output():
    small, large = np.array([1e-6, -2e-6]), np.array([100.0])
    value, where = difference({"a": small, "b": large}, {"a": small * 1.5, "b": large + 1})
    assert value == pytest.approx(0.5)
    assert where == "a"
    assert difference({"a": small}, {"a": small}) == (0.0, "a")
    assert difference({"a": 0 * small}, {"a": small})[0] == np.inf
    assert difference({"a": np.array([True])}, {"a": np.array([False])})[0] == 1
    assert difference({"a": np.zeros((0, 3))}, {"a": np.zeros((0, 3))})[0] == 0


def test_noise_has_both_signs_and_is_always_the_same():
    x = noise((2, 3, 10, 10), "a")
    assert x.shape == (2, 3, 10, 10)
    assert -1 <= x.min() < -0.9 < 0.9 < x.max() < 1
    assert np.array_equal(x, noise((2, 3, 10, 10), "a"))
    assert abs(x.mean()) < 0.1


def test_widened_keeps_every_number():
    import ml_dtypes  # noqa: PLC0415

    for dtype in (np.float16, np.float32, ml_dtypes.bfloat16):
        values = np.array([1.5, -3e-5], dtype)
        assert widened(values).dtype == np.float64
        assert np.array_equal(widened(values), values.astype(np.float64))
    assert widened(np.array([1, 2])).dtype == np.int64


# --- the report


def test_report():
    checks = (
        Check("dyadic", 0.0, 1e-12, "equal", "10 of 10 outputs follow the image"),
        Check("float64", 2e-15, 1e-12, "within", "output"),
        Check("as stored", np.inf, 1e-4, "DIFFERENT", "output has shape (1,) and (2,)"),
    )
    report = RunReport("torch 9", "model.py", checks, ("a note",))
    assert not report.ok
    assert str(report).splitlines() == [
        "run by torch 9 in float64, model.py:",
        "  dyadic: equal, bit for bit; 10 of 10 outputs follow the image",
        "  float64: 2e-15 relative in output; allowed 1e-12",
        "  as stored: DIFFERENT: inf relative, output has shape (1,) and (2,); allowed 0.0001",
        "  note: a note",
    ]
    found = report.as_dict()
    assert (found["framework"], found["model"], found["ok"]) == ("torch 9", "model.py", False)
    assert found["notes"] == ["a note"]
    assert [c["ok"] for c in found["checks"]] == [True, True, False]
    assert found["checks"][0] == {
        "name": "dyadic",
        "value": 0.0,
        "bound": 1e-12,
        "verdict": "equal",
        "ok": True,
        "what": "10 of 10 outputs follow the image",
    }
    assert found["checks"][2]["value"] is None
    assert RunReport("keras 3", None, checks[:2]).ok
    assert "the models in the files" in str(RunReport("keras 3", None, checks[:2]))


# --- the user's file


@pytest.fixture
def model_file(tmp_path):
    def model_file(text):
        path = tmp_path / "model.py"
        path.write_text(text)
        return path

    return model_file


def test_model_file(model_file, tmp_path):
    (tmp_path / "beside.py").write_text("made = 'here'\n")
    (tmp_path / "later.py").write_text("made = 'later'\n")
    text = (
        "from beside import made\nprint('loud')\nshape = (1, 3, 8, 8)\n"
        "def train():\n import later\n return made, later.made\n"
    )
    file = ModelFile(model_file(text))
    assert file.build("train") == file.build("deploy") == ("here", "later")
    assert file.shapes == [(1, 3, 8, 8)]
    assert str(tmp_path) not in sys.path
    assert not list(tmp_path.glob("__pycache__/model*"))


def test_deploy_of_its_own(model_file):
    file = ModelFile(model_file("def train(): return 1\ndef deploy(): return 2\n"))
    assert (file.build("train"), file.build("deploy")) == (1, 2)
    assert file.shapes is None


def test_several_inputs(model_file):
    for text in ("[(1, 2), (3, 4, 5)]", "((1, 2), [3, 4, 5])"):
        assert ModelFile(model_file(f"shape = {text}")).shapes == [(1, 2), (3, 4, 5)]
    assert ModelFile(model_file("shape = [1, 3, 8]")).shapes == [(1, 3, 8)]


def test_what_a_model_prints_does_not_disturb_json(model_file, capsys):
    ModelFile(model_file("print('loud')\ndef train():\n print('louder')\n return 1")).build("train")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.split() == ["loud", "louder"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def train(: pass", "SyntaxError"),
        ("import nowhere_to_be_found", r"ModuleNotFoundError: .*\(line 1\)"),
        ("x = 1\nraise KeyError('gone')", r"KeyError: 'gone' \(line 2\)"),
        ("import sys\nsys.exit(3)", "SystemExit"),
        ("raise ValueError('x' * 5000)", "x …"),
        ("shape = 3", "shape = 3, expected"),
        ("shape = (1, 0, 3)", "expected"),
        ("shape = [(1, 2.5)]", "expected"),
        ("shape = ()", "expected"),
        ("shape = [(1, 2), 3]", "expected"),
        ("shape = {'x': (1, 2)}", "expected"),
    ],
)
def test_files_that_are_refused(model_file, text, message):
    with pytest.raises(RunError, match=message) as caught:
        ModelFile(model_file(text))
    assert "model.py" in str(caught.value)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"no function train\(\)"),
        ("train = 3", r"no function train\(\)"),
        ("def train(): pass", "returned nothing"),
        ("def train():\n    x = 1\n    raise OSError('no disk')", r"no disk \(line 3\)"),
        ("def train(): return 1 / 0", r"train\(\) raised ZeroDivisionError"),
    ],
)
def test_models_that_cannot_be_built(model_file, text, message):
    with pytest.raises(RunError, match=message):
        ModelFile(model_file(text)).build("train")


def test_no_such_file(tmp_path):
    for path in (tmp_path / "none.py", tmp_path):
        with pytest.raises(RunError, match="expected a Python file"):
            ModelFile(path)


# --- what models return


class Tensor:
    def __init__(self, *values, dtype=np.float64):
        self.values = np.array(values, dtype)


def arrays(result):
    return flatten(result, "net", lambda v: v.values if isinstance(v, Tensor) else None)


@dataclass
class Record:
    logits: object
    hidden: object = None


def test_outputs_of_every_kind():
    pair = OrderedDict(a=Tensor(1.0), b=[Tensor(2.0), (Tensor(3.0), None)])
    assert {k: v.tolist() for k, v in arrays((pair, Record(Tensor(4.0)), 5, True)).items()} == {
        "output[0]['a']": [1.0],
        "output[0]['b'][0]": [2.0],
        "output[0]['b'][1][0]": [3.0],
        "output[1].logits": [4.0],
        "output[2]": 5,
        "output[3]": True,
    }
    assert list(arrays(Tensor(1, dtype=np.int64))) == ["output"]


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (SimpleNamespace(x=1), "output is a SimpleNamespace"),
        ([Tensor(1.0), "text"], r"output\[1\] is a str"),
        ({"y": Tensor(1.0, dtype=np.float32)}, r"output\['y'\] is float32, expected float64"),
        (None, "returns no tensor"),
        ([], "returns no tensor"),
        (Record, "output is a type"),
    ],
)
def test_outputs_that_are_refused(result, message):
    with pytest.raises(RunError, match=message):
        arrays(result)


# --- on the command line


@pytest.fixture
def command(capsys):
    def command(*words):
        try:
            code = cli.main([str(w) for w in words])
        except SystemExit as stop:
            code = stop.code
        return code, *capsys.readouterr()

    return command


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model", "m.py"], "--model goes with --run"),
        (["--run", "torch"], "needs --model FILE.py"),
        (["--run", "caffe", "--model", "m.py"], "invalid choice"),
    ],
)
def test_words_that_contradict_each_other(command, words, message):
    code, _, err = command("verify", "a", "b", *words)
    assert code == 2
    assert message in err


@pytest.mark.parametrize(
    ("framework", "message"), [("torch", "needs PyTorch"), ("keras", "no Keras here")]
)
def test_without_the_framework(command, files, model_file, monkeypatch, framework, message):
    for name in ("torch", "keras", "tf_keras"):
        monkeypatch.setitem(sys.modules, name, None)
    path = model_file("def train(): return 1")
    chosen = files()
    words = ["verify", chosen.before, chosen.after]
    if framework == "keras":
        example = ROOT / "docs" / "examples" / "repvgg_block_keras2.h5"
        words = ["verify", example, example]
    code, out, err = command(*words, "--run", framework, "--model", path)
    assert code == 2
    assert message in err
    assert "Traceback" not in err
    assert "identical" in out  # the weights were verified all the same
    code, out, _ = command(*words, "--run", framework, "--model", path, "--json")
    assert code == 2
    found = json.loads(out)
    assert (found["grade"], found["ok"], found["run"]) == ("identical", False, None)


def test_frameworks_of_the_other_side(command, files, model_file):
    chosen = files()
    example = ROOT / "docs" / "examples" / "repvgg_block_keras2.h5"
    path = model_file("def train(): return 1")
    code, _, err = command("verify", chosen.before, chosen.after, "--run", "keras", "--model", path)
    assert (code, "not a Keras file" in err) == (2, True)
    code, _, err = command("verify", example, example, "--run", "torch", "--model", path)
    assert (code, "Choose --run keras" in err) == (2, True)


def test_weights_without_a_model_ask_for_one(command, tmp_path):
    example = ROOT / "docs" / "examples" / "repvgg_same_keras3.weights.h5"
    size = ["--input-size", "32x32"]
    reparam.fuse(example, tmp_path / "out.weights.h5", input_size=(32, 32))
    code, _, err = command("verify", example, tmp_path / "out.weights.h5", *size, "--run", "keras")
    assert code == 2
    assert "Give --model FILE.py" in err


def test_exit_code_and_json(command, files, ran, monkeypatch, model_file):
    chosen = files()
    report, _ = ran(chosen)
    given = []

    def fake(before, after, plan, **options):
        given.append((before, after, plan, options))
        return report

    monkeypatch.setattr(running, "run", fake)
    path = model_file("")
    words = ["verify", chosen.before, chosen.after, "--run", "torch", "--model", path]
    code, out, _ = command(*words, "--json", "--input-size", "8x8")
    assert code == 0
    found = json.loads(out)
    assert found["ok"] is True
    assert found["run"] == report.as_dict()
    ((before, after, plan, options),) = given
    assert (before, after) == (str(chosen.before), str(chosen.after))
    assert plan.fusions == chosen.plan.fusions
    assert options == {
        "framework": "torch",
        "model": str(path),
        "input_size": (8, 8),
        "config": None,
        "renamed": {},
    }
    code, out, _ = command(*words)
    assert out.index("identical") < out.index("run by numpy")
    report = RunReport("numpy", None, (Check("dyadic", 1.0, 0.0, "DIFFERENT", "output"),))
    assert command(*words)[0] == 1
    assert "run" not in json.loads(command(*words[:3], "--json")[1])


def test_a_run_does_not_overrule_the_weights(command, files, ran, monkeypatch, model_file):
    def nudge(tensors):
        tensors["linear.bias"] += 1e-6

    chosen = files(change=nudge)
    report, _ = ran(chosen)
    assert report.ok
    monkeypatch.setattr(running, "run", lambda *_, **__: report)
    path = model_file("")
    code, out, _ = command("verify", chosen.before, chosen.after, "--run", "torch", "--model", path)
    assert code == 1
    assert "linear.bias" in out


# --- the shape of the code


def test_frameworks_are_named_in_their_adapters_only():
    frameworks = {"torch", "keras", "tf_keras", "tensorflow"}
    users = set()
    for path in [*ROOT.glob("reparam/**/*.py"), *ROOT.glob("adapters/**/*.py")]:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and "import_module" in ast.dump(node.func):
                users |= {path.stem for a in node.args if getattr(a, "value", 0) in frameworks}
    assert users == {"run_torch", "run_keras"}


def test_config_in_float64():
    config = {
        "class_name": "Functional",
        "name": "float32",
        "config": {
            "layers": [
                {"config": {"name": "float16", "dtype": "float32"}},
                {"config": {"dtype": {"class_name": "DTypePolicy", "config": {"name": "float16"}}}},
                {
                    "config": {
                        "dtype": {"class_name": "Policy", "config": {"name": "mixed_bfloat16"}}
                    }
                },
                {"config": {"dtype": "int32", "sparse": False}},
                {"inbound_nodes": [[["x", 0, 0, {"dtype": "float16"}]]]},
            ]
        },
    }
    found = json.loads(double_config(json.dumps(config).encode()))
    layers = found["config"]["layers"]
    assert found["name"] == "float32"
    assert layers[0]["config"] == {"name": "float16", "dtype": "float64"}
    assert [x["config"]["dtype"]["config"]["name"] for x in layers[1:3]] == ["float64"] * 2
    assert layers[3]["config"]["dtype"] == "int32"
    assert layers[4]["inbound_nodes"][0][0][3] == {"dtype": "float64"}


def test_unreadable_checkpoints_are_refused(files):
    chosen = files()
    chosen.after.write_bytes(b"nothing")
    with pytest.raises(CheckpointError):
        run(chosen.before, chosen.after, chosen.plan, framework="torch", model="x.py")
