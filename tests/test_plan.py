"""Plans: from the header alone, printable, and the same again from JSON, edited or not."""

import json

import pytest
from families import FAMILIES
from families.plain import repvgg, resnet
from safetensors.numpy import load_file, save_file

import reparam
from reparam.errors import PlanError, ReparamError
from reparam.plan_json import FORMAT


@pytest.fixture(params=FAMILIES, ids=" / ".join)
def given(request, tmp_path):
    """A file in every spelling, and what to say about it."""
    path, sample = tmp_path / "train.safetensors", FAMILIES[request.param]
    save_file(sample.state, path, metadata={"format": "pt"})
    return path, {"eps": 1e-3, "recipe": request.param[0] if sample.named else None}


def test_reads_no_tensor_data(tmp_path):
    path = tmp_path / "train.safetensors"
    save_file(repvgg("timm"), path)
    whole = path.read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")
    expected = reparam.plan(path)
    path.write_bytes(whole[:header] + b"\xff" * (len(whole) - header))
    assert reparam.plan(path) == expected


@pytest.mark.parametrize("batch_norm", ["remove", "neutral"])
def test_json_round_trip(given, batch_norm):
    path, said = given
    plan = reparam.plan(path, batch_norm=batch_norm, dtype="float32", **said)
    assert reparam.Plan.from_json(plan.to_json()) == plan


def test_carrying_out_a_plan_is_fusing(given, tmp_path):
    path, said = given
    plan = reparam.Plan.from_json(reparam.plan(path, **said).to_json())
    one, two = tmp_path / "one.safetensors", tmp_path / "two.safetensors"
    reparam.fuse(path, one, plan=plan)
    reparam.fuse(path, two, **said)
    assert one.read_bytes() == two.read_bytes()


@pytest.fixture
def edited(tmp_path):
    """A ResNet, and a function that fuses it by a plan after an edit."""
    path, out = tmp_path / "train.safetensors", tmp_path / "out.safetensors"
    save_file(resnet(), path)
    values = json.loads(reparam.plan(path).to_json())

    def fuse(change):
        change(values)
        plan = reparam.Plan.from_json(json.dumps(values))
        reparam.fuse(path, out, plan=plan, overwrite=True)
        return load_file(path), load_file(out)

    return fuse


def test_a_fusion_taken_out_of_a_plan_is_not_done(edited):
    def change(values):
        values["fusions"] = [f for f in values["fusions"] if f["block"] != "layer1.0"]

    before, after = edited(change)
    kept = [n for n in before if n.startswith("layer1.0.")]
    assert all((before[n] == after[n]).all() for n in kept)
    assert "layer1.1.bn1.weight" not in after


def test_eps_of_one_block_may_be_edited(edited):
    def change(values):
        values["fusions"][0]["eps"] = 0.5

    before, after = edited(change)
    ours = after["conv1.weight"]
    plain = reparam.fuse_state_dict(before)["conv1.weight"]
    wide = reparam.fuse_state_dict(before, eps=0.5)["conv1.weight"]
    assert (ours == wide).all()
    assert not (ours == plain).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v.update(format="other"), f'expected "format": "{FORMAT}"'),
        (lambda v: v.pop("fusions"), "damaged near 'fusions'"),
        (lambda v: v["fusions"][0].update(eps="x"), "expected a number"),
        (lambda v: v["fusions"][0].update(expression="conv1 +"), "column"),
        (lambda v: v["fusions"][0].update(expression="conv1 bn9"), "no such layer"),
        (lambda v: v["fusions"].append(v["fusions"][0]), "read by two fusions"),
        (lambda v: v["fusions"][0].update(output="fc"), "no placeholder of the same shape"),
        (lambda v: v["settings"].update(dtype="int8"), "expected keep"),
        (lambda v: v["tensors"].pop("fc.bias"), "the plan was made for"),
    ],
)
def test_an_edit_that_does_not_fit_is_refused(edited, change, message):
    with pytest.raises(ReparamError) as caught:
        edited(change)
    assert message in str(caught.value)


def test_not_json():
    with pytest.raises(PlanError, match="not valid JSON"):
        reparam.Plan.from_json("{")


def test_a_plan_for_another_file_is_refused(tmp_path):
    one, two = tmp_path / "one.safetensors", tmp_path / "two.safetensors"
    save_file(resnet(), one)
    save_file(repvgg("timm"), two)
    with pytest.raises(PlanError, match=r"one\.safetensors, whose tensors differ"):
        reparam.fuse(two, tmp_path / "out.safetensors", plan=reparam.plan(one))


def test_text_says_what_is_fused_assumed_and_left(tmp_path):
    path = tmp_path / "train.safetensors"
    save_file(FAMILIES["resnext-basic", "basic + shortcut"].state, path)
    text = str(reparam.plan(path))
    assert "7 fusions" in text
    assert "layer1.0.basic.conv1_0  8x8x1x1 float32" in text
    assert "recipe resnext-basic (basic + shortcut)" in text
    assert "assumed eps=1e-05 (recipe resnext-basic)" in text
    assert "not fused: layer1.0.bn0: it follows the sum" in text
