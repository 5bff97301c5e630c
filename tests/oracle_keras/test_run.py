"""`verify --run keras`: models that files hold, and weights with a Python file for their model."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path

import pytest
import test_docs
from oracle_keras import articles, nets
from oracle_keras.frameworks import KERAS2, KERAS3, fresh, randomise

import reparam

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
PAGE = EXAMPLES.parent / "running.md"
FORMATS = [".h5", ".keras"]

SUBCLASSED = """
from oracle_keras import articles
import {k} as k

shape = (1, 32, 32, 3)


def train():
    return articles.classes(k).{name}()


def deploy():
    return articles.classes(k).{name}(deploy=True)
"""


@pytest.fixture
def verify(run, tmp_path):
    """Fuse a file and verify it with `--run keras`; gives the exit code, the run and complaints."""

    def verify(source, *words, after=None, fused=None, **options):
        output = after or tmp_path / f"fused{''.join(source.suffixes)}"
        if after is None:
            reparam.fuse(source, output, **options)
            if fused:
                fused(output)
        code, out, err = run("verify", source, output, "--run", "keras", "--json", *words)
        return code, out and json.loads(out).get("run"), err

    return verify


def verdicts(report):
    return [check["verdict"] for check in report["checks"]]


def assert_all_well(code, report, err=""):
    assert code == 0, err
    assert verdicts(report) == ["equal", "within", "within"]
    assert report["checks"][1]["value"] < 1e-13
    assert 1e-10 < report["checks"][2]["value"] < 1e-5


def test_the_page(tmp_path):
    """The example of the docs, word for word, in a process of its own."""
    shutil.copytree(EXAMPLES, tmp_path / "docs" / "examples")
    blocks = {block.title: block for block in test_docs.blocks(PAGE)}
    test_docs.run_console(test_docs.Shell(tmp_path), blocks["keras"])


# --- full models

NETS = {
    "repvgg": partial(nets.repvgg, groups=2),
    "nested": partial(nets.nested, after=False),
    "many ends": nets.many_ends,
    "transposing": nets.transposing,
    "shared norm": nets.shared_norm,
}


@pytest.mark.parametrize(
    ("net", "suffix"),
    [
        ("repvgg", ".h5"),
        ("repvgg", ".keras"),
        ("nested", ".h5"),
        ("many ends", ".keras"),
        ("transposing", ".keras"),
        ("shared norm", ".h5"),
    ],
)
def test_full_models(k, net, suffix, verify, tmp_path):
    source = tmp_path / f"train{suffix}"
    randomise(NETS[net](k)).save(source)
    code, report, err = verify(source)
    assert_all_well(code, report, err)
    assert report["model"] is None
    if k is KERAS3:
        assert report["framework"] == f"keras {k.__version__}"
        assert report["notes"] == []


def test_keras_2_runs_what_keras_3_cannot_load(verify, tmp_path):
    source = tmp_path / "train.h5"
    shutil.copy(EXAMPLES / "mobilenetv2_keras2.h5", source)
    code, report, err = verify(source)
    assert_all_well(code, report, err)
    assert report["framework"] == f"tf_keras {KERAS2.__version__}"
    (note,) = report["notes"]
    assert note.startswith("not run by keras 3")
    assert len(note) < 600


def test_neutral_norms(k, verify, tmp_path):
    source = tmp_path / "train.h5"
    randomise(nets.plain(k)).save(source)
    assert_all_well(*verify(source, batch_norm="neutral"))


def test_any_size(verify, tmp_path):
    source = tmp_path / "train.keras"
    randomise(nets.repvgg(fresh("keras"), (None, None))).save(source)
    assert_all_well(*verify(source, "--input-size", "32x33", input_size=(32, 33)))


def test_half_precision_is_run_in_double(verify, tmp_path):
    k = fresh("keras")
    source = tmp_path / "train.keras"
    k.config.set_dtype_policy("mixed_float16")
    try:
        randomise(nets.plain(k)).save(source)
    finally:
        k.config.set_dtype_policy("float32")
    code, report, err = verify(source)
    assert_all_well(code, report, err)


def test_settings_of_the_process_are_left_alone(verify, tmp_path):
    source = tmp_path / "train.keras"
    randomise(nets.plain(fresh("keras"))).save(source)
    verify(source)
    assert KERAS3.config.dtype_policy().name == KERAS3.backend.floatx() == "float32"


@pytest.mark.parametrize(("key", "value"), [("strides", [2, 2]), ("dilation_rate", [2, 2])])
def test_another_graph_in_after(verify, tmp_path, key, value):
    """The weights are equal; only running the models tells."""
    source, output = tmp_path / "train.h5", tmp_path / "fused.h5"
    randomise(nets.plain(fresh("keras"))).save(source)

    def change(path):
        import h5py  # noqa: PLC0415

        with h5py.File(path, "r+") as file:
            config = json.loads(file.attrs["model_config"])
            layers = {x["config"]["name"]: x["config"] for x in config["config"]["layers"]}
            layers["conv_1"][key] = value
            file.attrs["model_config"] = json.dumps(config)

    code, report, _ = verify(source, fused=change)
    assert code == 1
    assert reparam.verify(source, output).ok
    assert verdicts(report)[:2] == ["DIFFERENT"] * 2


# --- weights alone


@pytest.mark.parametrize(
    ("k", "suffix"),
    [("keras", ".weights.h5"), ("tf_keras", ".weights.h5"), ("tf_keras", ".h5")],
    indirect=["k"],
)
def test_weights_with_their_configuration(k, suffix, verify, tmp_path):
    model = randomise(nets.repvgg(k))
    source, config = tmp_path / f"train{suffix}", tmp_path / "model.json"
    model.save_weights(source)
    config.write_text(model.to_json())
    assert_all_well(*verify(source, "--config", config, config=config))


@pytest.mark.parametrize(
    ("k", "suffix", "name", "size"),
    [
        ("keras", ".weights.h5", "RepVGG", (32, 32)),
        ("tf_keras", ".h5", "RepVGG", (32, 32)),
        ("tf_keras", ".weights.h5", "PaddedRepVGG", None),
        ("keras", ".weights.h5", "ResNet", None),
    ],
    indirect=["k"],
)
def test_subclassed_models(k, suffix, name, size, verify, tmp_path):
    source, model = tmp_path / f"train{suffix}", tmp_path / "model.py"
    articles.build(k, name, (32, 32)).save_weights(source)
    model.write_text(SUBCLASSED.format(k=k.__name__, name=name))
    words = ["--model", model, *(["--input-size", "32x32"] if size else [])]
    code, report, err = verify(source, *words, input_size=size)
    assert_all_well(code, report, err)
    assert report["framework"] == f"{k.__name__} {k.__version__}"


def test_shards(verify, tmp_path):
    model = randomise(nets.repvgg(fresh("keras")))
    source, config = tmp_path / "train.weights.json", tmp_path / "model.json"
    model.save_weights(source, max_shard_size=1e-5)
    config.write_text(model.to_json())
    assert len(list(tmp_path.glob("*.h5"))) > 1
    assert_all_well(*verify(source, "--config", config, config=config))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "expected a keras.Model"),
        ("k.Sequential([k.layers.Input((32, 32, 3)), k.layers.Dense(3)])", "loading the weights"),
        ("articles.classes(k).RepVGG(deploy=True)", "loading the weights"),
        ("1 / 0", "ZeroDivisionError"),
        ("k.layers.Nothing()", "AttributeError"),
    ],
)
def test_models_that_are_refused(text, message, verify, tmp_path):
    source, model = tmp_path / "train.weights.h5", tmp_path / "model.py"
    articles.build(fresh("keras"), "RepVGG", (32, 32)).save_weights(source)
    head = SUBCLASSED.format(k="keras", name="RepVGG")
    model.write_text(f"{head}\n\ndef train():\n    return {text}\n")
    words = "--model", model, "--input-size", "32x32"
    code, report, err = verify(source, *words, input_size=(32, 32))
    assert (code, report) == (2, None)
    assert message in err
    assert "Traceback" not in err


def test_an_input_of_another_shape_is_refused(verify, tmp_path):
    source, model = tmp_path / "train.keras", tmp_path / "model.py"
    randomise(nets.plain(fresh("keras"))).save(source)
    model.write_text("shape = (1, 9, 8, 5)")
    code, _, err = verify(source, "--model", model)
    assert code == 2
    assert "the model on an input of (1, 9, 8, 5) raised" in err
