"""YOLOs share the names of their layers with many nets; their heads tell which they are."""

import numpy as np
import pytest
from families.yolo import SAMPLES, Yolo

import reparam
from reparam.errors import PlanError

NEWEST = SAMPLES["ultralytics", "YOLOv8 to YOLO26, YOLOv9"].state
IMPLICIT = SAMPLES["yolov7", "implicit heads"].state


def refusal(state, **said):
    with pytest.raises(PlanError) as refused:
        reparam.fuse_state_dict(state, **said)
    return str(refused.value)


def more(state, build):
    m = Yolo()
    build(m)
    return state | m.state


@pytest.mark.parametrize(
    ("recipe", "spelling", "head"),
    [
        ("ultralytics", "YOLOv8 to YOLO26, YOLOv9", "model.8."),
        ("ultralytics", "RT-DETR", "model.3."),
        ("ultralytics", "semantic segmentation", "model.2."),
        ("ultralytics", "depth", "model.2."),
        ("ultralytics", "classification", "model.2."),
        ("ultralytics", "YOLOv5, YOLOv3", "model.3."),
        ("yolov7", "implicit heads", "model.4."),
    ],
)
def test_a_trunk_without_its_head_is_not_claimed(recipe, spelling, head):
    trunk = {k: v for k, v in SAMPLES[recipe, spelling].state.items() if not k.startswith(head)}
    assert "no recipe claims" in refusal(trunk)


def test_the_eps_of_a_classifier_has_two_possible_values():
    assert "Say it with --eps" in refusal(SAMPLES["ultralytics", "classification"].state)


def sequence(m, block):
    """3x3, then 1x1, of equal widths, under the names of branches side by side."""
    m.pair(f"{block}.conv1", 4, 4, 3)
    m.pair(f"{block}.conv2", 4, 4, 1)


def test_two_layers_are_branches_only_where_yolos_have_them():
    fused = reparam.fuse_state_dict(more(NEWEST, lambda m: sequence(m, "model.9.block")))
    assert "model.9.block.conv1.conv.bias" in fused
    assert "model.9.block.conv.bias" not in fused


def test_two_layers_of_three_are_no_branches():
    def build(m):
        sequence(m, "model.9.m.0")
        m.pair("model.9.m.0.conv3", 4, 4)

    fused = reparam.fuse_state_dict(more(NEWEST, build))
    assert {f"model.9.m.0.conv{i}.conv.bias" for i in (1, 2, 3)} <= fused.keys()
    assert "model.9.m.0.conv.bias" not in fused


@pytest.mark.parametrize("branch", ["conv1", "branch.conv"])
def test_a_branch_beside_a_pair_is_refused(branch):
    def build(m):
        m.pair("model.9", 4, 4, 3)
        m.conv(f"model.9.{branch}", 4, 4, 1, 1)

    assert "model.9" in refusal(more(NEWEST, build))


def test_a_normed_branch_beside_a_pair_is_refused():
    def build(m):
        m.pair("model.9", 4, 4, 3)
        m.pair("model.9.branch", 4, 4)

    assert "model.9.branch" in refusal(more(NEWEST, build))


def test_a_norm_without_its_convolution_is_refused():
    assert "model.9" in refusal(more(NEWEST, lambda m: m.norm("model.9.bn", 4)))


@pytest.mark.parametrize("part", ["ia.1.implicit", "im.1.implicit", "ia.0.implicit"])
def test_a_head_with_half_of_its_vectors_is_left_alone(part):
    state = {k: v for k, v in IMPLICIT.items() if k != f"model.4.{part}"}
    try:
        fused = reparam.fuse_state_dict(state)
    except PlanError:
        return
    head = [name for name in state if name.startswith("model.4.")]
    assert all(np.array_equal(fused[name], state[name]) for name in head)


def test_implicit_vectors_are_added_before_and_multiplied_behind():
    fused = reparam.fuse_state_dict(IMPLICIT)
    kernel, bias, before, behind = (
        IMPLICIT[f"model.4.{name}"].astype(float)
        for name in ("m.0.weight", "m.0.bias", "ia.0.implicit", "im.0.implicit")
    )
    factor = behind.reshape(-1)
    assert np.allclose(fused["model.4.m.0.weight"][..., 0, 0], kernel[..., 0, 0] * factor[:, None])
    shift = kernel[..., 0, 0] @ before.reshape(-1)
    assert np.allclose(fused["model.4.m.0.bias"], factor * (bias + shift), rtol=1e-5, atol=1e-6)


def test_a_yolov7_is_no_yolov5():
    """Both have anchors; vectors or branches show the newer one."""
    for spelling in ("implicit heads", "keypoints", "plain heads"):
        fused = reparam.fuse_state_dict(SAMPLES["yolov7", spelling].state)
        assert "model.2.rbr_reparam.bias" in fused
