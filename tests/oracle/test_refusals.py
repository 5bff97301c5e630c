"""What must not be fused is refused with the reason, or left alone and still computes the same."""

from __future__ import annotations

import re
from functools import partial

import pytest
import timm
import torch
import torchvision
from oracle import nets
from torch import nn

import reparam

IMAGE = nets.image(3, 20, 16)


def refusal(save, net, **options):
    """The message with which a file is refused; no output may be there."""
    source = save(net)
    output = source.with_name("deploy.safetensors")
    with pytest.raises(reparam.PlanError) as refused:
        reparam.fuse(source, output, **options)
    assert [p.name for p in source.parent.iterdir()] == [source.name]
    return str(refused.value)


@pytest.mark.parametrize(
    "build", [torchvision.models.densenet121, partial(timm.create_model, "resnetv2_50")]
)
def test_pre_activation_nets_of_the_libraries_keep_their_norms(build, fuse):
    """Only a norm that directly follows a convolution is folded into it."""
    net = nets.randomise(build())
    followed = nets.pairs(net, IMAGE.new_zeros(1, 3, 64, 64))
    report, state = fuse(net)
    gone = {p for p, m in net.named_modules() if isinstance(m, nets.NORMS)}
    gone -= {name.removesuffix(".running_var") for name in state}
    assert gone == followed.keys()
    assert all(
        "pre-activation" in s.reason
        for s in report.plan.skipped
        if s.name.endswith(("norm1", "transition1.norm"))
    )
    assert report.plan.skipped


EQUAL = {"widths": (8, 8, 8, 8)}


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({}, "pre-activation"),
        ({"norm": "bn1"}, "pre-activation"),
        ({"norm": "bn"}, "pre-activation"),
        (EQUAL, "has 'conv1' but no 'bn1'"),
        (EQUAL | {"norm": "bn1"}, "pre-activation"),
        (EQUAL | {"norm": "bn1", "strides": (1, 1, 1, 1)}, "pre-activation"),
    ],
    ids=str,
)
def test_pre_activation_resnet(options, reason, save):
    """With equal widths, names and shapes are those of a post-activation net."""
    assert reason in refusal(save, nets.PreActNet(**options))


def test_relu_between_convolution_and_norm(save):
    layers = [
        layer
        for width in (3, 8)
        for layer in (nn.Conv2d(width, 8, 3), nn.ReLU(), nn.BatchNorm2d(8))
    ]
    head = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Dropout(), nn.Linear(8, 5))
    net = nets.named(features=nn.Sequential(*layers), classifier=head)
    message = refusal(save, net)
    assert "features.2" in message
    assert "ReLU" in message


class NormAfterSum(nn.Module):
    """A residual block like ResNet's, with one more norm after the sum."""

    def __init__(self, width):
        super().__init__()
        for i in (1, 2):
            self.add_module(f"conv{i}", nn.Conv2d(width, width, 3, padding=1, bias=False))
            self.add_module(f"bn{i}", nn.BatchNorm2d(width))
        self.bn3 = nn.BatchNorm2d(width)


def test_norm_after_a_sum(save):
    stem = {"conv1": nn.Conv2d(3, 8, 3, bias=False), "bn1": nn.BatchNorm2d(8)}
    net = nets.named(**stem, layer1=nn.Sequential(NormAfterSum(8)))
    assert "has 'bn3' but no 'conv3'" in refusal(save, net)


def detector():
    build = torchvision.models.detection.fasterrcnn_resnet50_fpn
    return build(weights=None, weights_backbone=None)


class NormUsedOnce(nn.Module):
    """A residual block with the first layers of the article's, whose norm follows one of them."""

    def __init__(self, width):
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.bn = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)


def test_shared_norm_needs_the_whole_block(save):
    stem = {"conv1": nn.Conv2d(3, 8, 3), "batch_norm": nn.BatchNorm2d(8)}
    net = nets.named(**stem, residual_blocks=nn.Sequential(NormUsedOnce(8)))
    assert "no recipe claims" in refusal(save, net)


def test_detection_file_as_it_was_published_asks_for_eps(save):
    """The downloads with eps 0 have older names than the models that load them."""
    older = re.compile(r"(fpn\.(?:inner|layer)_blocks\.\d)\.0")
    state = {older.sub(r"\1", k): v for k, v in detector().state_dict().items()}
    assert "backbone.fpn.inner_blocks.0.weight" in state
    assert "--eps" in refusal(save, state)


def test_repvgg_blocks_in_a_detector_ask_for_eps(save):
    """YOLOv6 has RepVGG's blocks under RepVGG's names, with eps 1e-3."""
    block = partial(nets.RepBlock, nets.OFFICIAL)
    stage = nn.Sequential(block(8, 16, stride=2), block(16, 16))
    backbone = nets.named(stem=block(3, 8, stride=2), ERBlock_2=stage)
    neck = nets.named(Rep_p4=nets.named(conv1=block(16, 16)))
    assert "--eps" in refusal(save, nets.named(backbone=backbone, neck=neck))


def test_two_convolutions_in_a_shortcut(save):
    """Their strides are not in the file, so they cannot become one."""
    net = torchvision.models.resnet18()
    convs = nn.Conv2d(64, 64, 3, 1, 1, bias=False), nn.Conv2d(64, 128, 1, 2, bias=False)
    net.layer2[0].downsample = nn.Sequential(*convs)
    assert "layer2.0.downsample" in refusal(save, net)


def test_detection_backbone_asks_for_eps(save, fuse):
    net = nets.randomise(detector())
    assert "--eps" in refusal(save, net)

    _, state = fuse(net, eps=1e-5)
    body = net.backbone.body
    twin = nets.without_norms(body, nets.pairs(body, IMAGE))
    prefix = "backbone.body."
    twin.load_state_dict({k.removeprefix(prefix): v for k, v in state.items() if prefix in k})
    for level, wanted in nets.run(body, IMAGE).items():
        assert nets.relative(nets.run(twin, IMAGE)[level], wanted) <= 1e-6


@pytest.mark.parametrize(
    "norm",
    [
        partial(nn.GroupNorm, 4),
        partial(nn.BatchNorm2d, track_running_stats=False),
        partial(nn.InstanceNorm2d, affine=True),
    ],
    ids=["group", "without statistics", "instance"],
)
def test_norms_without_running_statistics(norm, save):
    message = refusal(save, torchvision.models.resnet18(norm_layer=norm))
    assert "bn1" in message
    assert "running_mean" in message


@pytest.mark.parametrize("name", ["test_convnext", "test_vit"])
def test_layer_norms(name, save):
    assert "no norm with running statistics" in refusal(save, timm.create_model(name))


# --- RepVGG files with deploy weights in them


@pytest.fixture
def rep():
    return nets.randomise(nets.rep_net(nets.OFFICIAL))


def deployed(net):
    """The fused state dict of a net."""
    arrays = {k: v.numpy() for k, v in net.state_dict().items()}
    return {k: torch.from_numpy(v) for k, v in reparam.fuse_state_dict(arrays).items()}


def assert_equal(state, train):
    deploy = nets.rep_net(nets.OFFICIAL, deploy=True)
    deploy.load_state_dict(state, strict=True)
    assert nets.relative(nets.run(deploy, IMAGE), nets.run(train, IMAGE)) <= 1e-6


def test_placeholders_beside_the_branches_are_recomputed(rep, fuse):
    noise = {k: torch.randn_like(v) for k, v in deployed(rep).items() if "rbr_reparam" in k}
    report, state = fuse(rep.state_dict() | noise)
    assert sum("placeholder" in note for note in report.plan.notes) == 5
    assert_equal(state, rep)


def test_half_fused_file(rep, fuse):
    block = "stage1.1."
    train = {k: v for k, v in rep.state_dict().items() if not k.startswith(block)}
    half = train | {k: v for k, v in deployed(rep).items() if k.startswith(block)}
    report, state = fuse(half)
    assert report.fused == 4
    assert any(
        "half fused" in note and "stage1.1.rbr_reparam" in note for note in report.plan.notes
    )
    assert_equal(state, rep)


def test_file_that_is_fused_already(rep, save):
    assert "already in deploy form" in refusal(save, deployed(rep))


def test_resnet_that_is_fused_already_or_half(save):
    net = nets.randomise(torchvision.models.resnet18())
    done = deployed(net)
    assert "already in deploy form" in refusal(save, done)
    train = {k: v for k, v in net.state_dict().items() if not k.startswith("layer1.0.")}
    half = train | {k: v for k, v in done.items() if k.startswith("layer1.0.")}
    assert "half fused" in refusal(save, half)
