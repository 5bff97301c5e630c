"""`verify --run torch` on real nets: equal forms are found equal, wrong models are found out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import test_docs
import timm
import torch
import torchvision
from oracle import nets

import reparam
from reparam import cli

torch.set_num_threads(1)  # small nets; threads that wait for each other would only cost time

PAGE = Path(__file__).parents[2] / "docs" / "running.md"

TIMM = """
import timm
from timm.utils.model import reparameterize_model

def train():
    return timm.create_model("{name}")

def deploy():
    return reparameterize_model(train())
"""
RESNET = """
import torchvision

def train():
    return torchvision.models.resnet18()
"""
WITHOUT_NORMS = """
from torch import nn

def deploy():
    net = torchvision.models.resnet18(norm_layer=lambda width: nn.Identity())
    for conv in [m for m in net.modules() if isinstance(m, nn.Conv2d)]:
        conv.bias = nn.Parameter(conv.weight.new_zeros(conv.out_channels))
    return net
"""
SIZE = "--input-size", "32x32"


@pytest.fixture
def command(capsys):
    """Run the command; gives the exit code, what it printed as JSON, and what it complained of."""

    def command(*words):
        try:
            code = cli.main([*map(str, words), "--json"])
        except SystemExit as stop:
            code = stop.code
        out, err = capsys.readouterr()
        return code, json.loads(out) if out else None, err

    return command


@pytest.fixture
def run(command, fuse, tmp_path):
    """Fuse a net and verify it with `--run torch`; gives the exit code and the run's report."""

    def run(net, model, *words, change=None, **options):
        _, state = fuse(net, **options)
        after = tmp_path / "deploy.safetensors"
        if change:
            from safetensors.torch import save_file  # noqa: PLC0415

            save_file(change(state), after)
        path = tmp_path / "model.py"
        path.write_text(model)
        before = tmp_path / "train.safetensors"
        words = "verify", before, after, "--run", "torch", "--model", path, *words
        code, found, err = command(*words)
        assert "Traceback" not in err
        return code, found and found["run"], err

    return run


def verdicts(report):
    return [check["verdict"] for check in report["checks"]]


def following(report):
    """The share of outputs that depend on the image."""
    alive, _, total, *_ = report["checks"][0]["what"].split()
    return int(alive) / int(total)


def assert_all_well(code, report, alive=0.2):
    assert code == 0
    assert verdicts(report) == ["equal", "within", "within"]
    assert report["checks"][0]["value"] == 0
    assert report["checks"][1]["value"] < 1e-13
    assert 1e-10 < report["checks"][2]["value"] < 1e-5
    assert following(report) > alive
    assert report["framework"] == f"torch {torch.__version__}"


def test_the_page(tmp_path):
    """The example of the docs, word for word, in a process of its own."""
    shutil.copytree(test_docs.EXAMPLES, tmp_path / "docs" / "examples")
    blocks = {block.title: block for block in test_docs.blocks(PAGE)}
    (tmp_path / "digits.py").write_text(blocks["digits.py"].body)
    test_docs.run_console(test_docs.Shell(tmp_path), blocks["torch"])


@pytest.mark.parametrize("name", ["repvgg_a0", "mobileone_s0"])
def test_branches(name, run):
    net = nets.randomise(timm.create_model(name))
    code, report, _ = run(net, TIMM.format(name=name), *SIZE)
    assert_all_well(code, report, alive=0)


@pytest.fixture(scope="module")
def resnet():
    torch.manual_seed(0)
    return nets.randomise(torchvision.models.resnet18())


def test_norms_removed(resnet, run):
    code, report, _ = run(resnet, RESNET + WITHOUT_NORMS, *SIZE)
    assert_all_well(code, report)


def test_norms_neutral_in_the_unmodified_model(resnet, run):
    code, report, _ = run(resnet, RESNET, *SIZE, batch_norm="neutral")
    assert_all_well(code, report)


def test_gates_round(run):
    """Squeeze-and-excitation is equal up to rounding, and not called equal."""
    net = nets.randomise(nets.rep_net(nets.OFFICIAL, se=True))
    code, report, _ = run(net, changed("train", "pass", ", se=True"))
    assert code == 0
    assert verdicts(report) == ["rounds", "within", "within"]
    assert 0 < report["checks"][0]["value"] <= 1e-12


# --- models that are not what the plan takes for granted


def changed(form, edit, how=""):
    """A model file of a small RepVGG whose `train` or `deploy` is edited."""
    lines = "".join(f"    {line}\n" for line in edit.splitlines())
    body = "    net = nets.rep_net(nets.OFFICIAL{})\n{}    return net\n"
    return (
        "import torch\nfrom oracle import nets\nshape = (2, 3, 32, 32)\n"
        f"def train():\n{body.format(how, lines if form == 'train' else '')}"
        f"def deploy():\n{body.format(how + ', deploy=True', lines if form == 'deploy' else '')}"
    )


@pytest.fixture(scope="module")
def repvgg():
    torch.manual_seed(0)
    return nets.randomise(nets.rep_net(nets.OFFICIAL))


def test_the_right_models(repvgg, run):
    code, report, _ = run(repvgg, changed("deploy", "pass"))
    assert_all_well(code, report)


def test_bfloat16(repvgg, run):
    code, report, _ = run(repvgg, changed("deploy", "pass"), dtype="bfloat16")
    assert verdicts(report) == ["equal", "within", "within"]
    assert report["checks"][2]["value"] > 1e-4
    assert code == 0


BLOCK = "b = net.stage2[1].rbr_reparam\n"
WRONG = {
    "eps": (
        "train",
        "for m in net.modules():\n    if hasattr(m, 'running_var'):\n        m.eps = 1e-3",
    ),
    "eps of one norm": ("train", "net.stage1[1].rbr_dense.bn.eps = 1.001e-5"),
    "padding mode": ("deploy", BLOCK + "b.padding_mode = 'circular'"),
    "dilation": ("deploy", BLOCK + "b.dilation, b.padding = (2, 2), (2, 2)"),
    "padding": ("deploy", BLOCK + "b.padding = (0, 0)"),
    "stride elsewhere": (
        "deploy",
        "net.stage1[0].rbr_reparam.stride = (1, 1)\nnet.stage1[1].rbr_reparam.stride = (2, 2)",
    ),
    "stride": ("deploy", "net.stage0.rbr_reparam.stride = (4, 4)"),
    "no activation": (
        "deploy",
        "net.stage1[1].forward = net.stage1[1].rbr_reparam.forward",
    ),
    "branch left out": ("train", "net.stage2[1].rbr_identity = None"),
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_models_are_found(what, repvgg, run):
    code, report, err = run(repvgg, changed(*WRONG[what]))
    if what == "branch left out":  # its tensors have nowhere to go
        assert (code, report) == (2, None)
        assert "rbr_identity" in err
        return
    assert code == 1
    assert not report["ok"]
    assert verdicts(report)[1] == "DIFFERENT"
    if what != "no activation":  # the exact numbers are rarely negative
        assert verdicts(report)[0] == "DIFFERENT"
        assert report["checks"][0]["value"] > 1e-5


def test_an_output_of_another_shape(repvgg, run):
    """Outputs may lie in dicts and lists; one that differs is named."""
    model = changed("deploy", "pass") + (
        "def as_net(net, cut):\n"
        "    net.__class__ = type('Net', (torch.nn.Sequential,), {'forward': forward(cut)})\n"
        "    return net\n"
        "def forward(cut):\n"
        "    def forward(self, x):\n"
        "        logits = torch.nn.Sequential.forward(self, x)\n"
        "        return {'logits': logits, 'features': [self[0](x[..., cut:])]}\n"
        "    return forward\n"
        "plain, fused = train, deploy\n"
        "def train(): return as_net(plain(), 0)\n"
        "def deploy(): return as_net(fused(), 4)\n"
    )
    code, report, _ = run(repvgg, model)
    assert code == 1
    assert verdicts(report) == ["DIFFERENT"] * 3
    assert "output['features'][0] has shape" in report["checks"][0]["what"]
    assert report["checks"][0]["value"] is None


def test_a_wrong_weight_shows_as_stored(repvgg, run):
    def change(state):
        return state | {"stage1.1.rbr_reparam.weight": 1.01 * state["stage1.1.rbr_reparam.weight"]}

    code, report, _ = run(repvgg, changed("deploy", "pass"), change=change)
    assert code == 1
    assert verdicts(report) == ["equal", "within", "DIFFERENT"]


# --- refusals


@pytest.mark.parametrize(
    ("model", "words", "message"),
    [
        (
            RESNET,
            SIZE,
            "deploy(): the state dict does not load: it lacks bn1.bias, bn1.running_mean",
        ),
        (RESNET, ("--input-size", "8"), "--input-size has 1 axes"),
        (RESNET.replace("18()", "18(num_classes=7)"), SIZE, "fc.weight [1000, 512], the model's"),
        ("shape = (1, 5, 32, 32)" + RESNET, (), "train() on an input of (1, 5, 32, 32) raised"),
        (RESNET.replace("resnet18()", "resnet18().state_dict()"), SIZE, "expected a torch.nn.Mod"),
        (RESNET + "raise OSError('no weights here')", SIZE, "no weights here (line 6)"),
    ],
)
def test_refusals(model, words, message, resnet, run):
    code, report, err = run(resnet, model, *words)
    assert code == 2
    assert report is None
    assert message in err
    assert err.count("\n") == 1


def test_a_model_in_float32_is_refused(resnet, run):
    model = RESNET.replace(
        "return torchvision.models.resnet18()",
        "net = torchvision.models.resnet18()\n"
        "    net.fc.register_forward_hook(lambda m, x, y: y.float())\n    return net",
    )
    code, _, err = run(resnet, model, *SIZE, batch_norm="neutral")
    assert code == 2
    assert "output is torch.float32" in err or "output is float32, expected float64" in err


def test_tied_tensors_need_be_in_the_file_once(command, save, tmp_path):
    """safetensors stores a tensor once that a model has under two names."""
    model = (
        "from oracle import nets\nshape = (1, 3, 32, 32)\n"
        "def train(**how):\n"
        "    net = nets.rep_net(nets.OFFICIAL, **how)\n"
        "    net.flat.tied = net.linear\n"
        "    return net\n"
        "def deploy(): return train(deploy=True)\n"
    )
    path, after = tmp_path / "model.py", tmp_path / "deploy.safetensors"
    path.write_text(model)
    names = {}
    exec(compile(model, "model", "exec"), names)  # noqa: S102  as the command does
    state = nets.randomise(names["train"]()).state_dict()
    del state["flat.tied.weight"], state["flat.tied.bias"]
    before = save(state)
    reparam.fuse(before, after)
    words = "verify", before, after, "--run", "torch", "--model", path
    code, found, err = command(*words)
    assert (code, err) == (0, "")
    assert verdicts(found["run"])[0] == "equal"
