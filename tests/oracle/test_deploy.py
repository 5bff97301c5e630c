"""Fused files load with `strict=True` into deploy nets that compute what the train forms do."""

from __future__ import annotations

import copy

import pytest
import timm
import torch
import torchvision
from oracle import nets
from timm.utils.model import reparameterize_model
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

BOUND = 1e-6
"""Relative difference of float64 logits that the project promises."""

REPVGG = ["repvgg_a0", "repvgg_b1g4", "repvgg_d2se"]
PLAIN = [
    "timm/resnet50d",
    "timm/mobilenetv2_100",
    "torchvision/resnet18",
    "torchvision/resnext50_32x4d",
    "torchvision/wide_resnet50_2",
    "torchvision/mobilenet_v2",
    "torchvision/vgg11_bn",
]
ARTICLES = [nets.SharedNormNet, nets.BasicNet]
IMAGE = nets.image(3, 64, 64)
SMALL = nets.image(3, 20, 16)


@pytest.fixture(scope="module", params=REPVGG)
def repvgg(request):
    return built(f"timm/{request.param}")


@pytest.fixture(scope="module", params=PLAIN)
def plain(request):
    return built(request.param)


def built(name):
    library, _, name = name.partition("/")
    torch.manual_seed(0)
    if library == "timm":
        net = timm.create_model(name, pretrained=False)
    else:
        net = torchvision.models.get_model(name, weights=None)
    return nets.randomise(net)


def assert_equal(deploy, state, train, x):
    """The deploy net takes the file as it is, and gives the train form's logits."""
    deploy.load_state_dict(state, strict=True)
    assert nets.relative(nets.run(deploy, x), nets.run(train, x)) <= BOUND


def assert_closer(state, exact, theirs):
    """No fused tensor is further from the float64 result than the framework's own."""
    for name, wanted in exact.items():
        ours, other = ((s[name].double() - wanted).abs().max() for s in (state, theirs))
        assert ours <= other, name


def test_repvgg_in_timms_deploy_form(repvgg, fuse):
    deploy = reparameterize_model(repvgg)
    report, state = fuse(repvgg)
    assert report.plan.recipes == ("repvgg (timm)",)
    theirs = copy.deepcopy(deploy.state_dict())
    exact = reparameterize_model(copy.deepcopy(repvgg).double()).state_dict()
    assert_closer(state, {k: v for k, v in exact.items() if ".reparam_conv." in k}, theirs)
    assert_equal(deploy, state, repvgg, IMAGE)


def test_plain_net_without_its_norms(plain, fuse):
    folded = nets.pairs(plain, IMAGE)
    assert len(folded) == sum(isinstance(m, nets.NORMS) for m in plain.modules())
    report, state = fuse(plain)
    assert report.fused == len(folded)
    assert_closer(state, *frameworks(plain, folded))
    assert_equal(nets.without_norms(plain, folded), state, plain, IMAGE)


def test_plain_net_unmodified_with_neutral_norms(plain, fuse):
    _, state = fuse(plain, batch_norm="neutral")
    assert_equal(copy.deepcopy(plain), state, plain, IMAGE)


def test_neutral_file_is_fused_like_a_train_form(fuse):
    train = built("torchvision/resnet18")
    _, neutral = fuse(train, batch_norm="neutral")
    _, state = fuse(neutral)
    assert_equal(nets.without_norms(train, nets.pairs(train, IMAGE)), state, train, IMAGE)


def frameworks(net, folded):
    """torch's own fusion of every pair, in float64 and in float32."""
    results = {}, {}
    for norm_path, (path,) in folded.items():
        for result, dtype in zip(results, (torch.float64, torch.float32), strict=True):
            conv, norm = (copy.deepcopy(net.get_submodule(p)).to(dtype) for p in (path, norm_path))
            result[f"{path}.weight"], result[f"{path}.bias"] = fuse_conv_bn_weights(
                conv.weight,
                conv.bias,
                norm.running_mean,
                norm.running_var,
                norm.eps,
                norm.weight,
                norm.bias,
            )
    return results


@pytest.mark.parametrize("names", [nets.OFFICIAL, nets.MMPRETRAIN], ids=["official", "mmpretrain"])
@pytest.mark.parametrize("options", [{}, {"groups": 4}, {"se": True}], ids=str)
def test_repvgg_spellings(names, options, fuse):
    train = nets.randomise(nets.rep_net(names, **options))
    report, state = fuse(train)
    assert report.fused == 5
    assert_equal(nets.rep_net(names, **options, deploy=True), state, train, SMALL)


@pytest.mark.parametrize("net", ARTICLES)
def test_article_nets_without_norms(net, fuse):
    train = nets.randomise(net())
    folded = nets.pairs(train, SMALL)
    _, state = fuse(train)
    assert_equal(nets.without_norms(train, folded), state, train, SMALL)


@pytest.mark.parametrize("net", ARTICLES)
def test_article_nets_unmodified(net, fuse):
    train = nets.randomise(net())
    _, state = fuse(train, batch_norm="neutral")
    assert_equal(net(), state, train, SMALL)


def test_resnext_says_why_the_norm_after_a_sum_stays(fuse):
    report, state = fuse(nets.randomise(nets.BasicNet()))
    reasons = {s.name: s.reason for s in report.plan.skipped}
    assert list(reasons) == ["layer1.0.bn0", "layer1.1.bn0", "layer2.0.bn0"]
    assert all("sum" in reason for reason in reasons.values())
    assert "bn0.running_var" not in state


@pytest.mark.parametrize("prefix", ["backbone", "module", "model", "module.model.0.encoder"])
@pytest.mark.parametrize("name", ["timm/test_resnet", "torchvision/mobilenet_v2", "official"])
def test_any_prefix(prefix, name, fuse):
    train = nets.rep_net(nets.OFFICIAL) if name == "official" else built(name)
    nets.randomise(train)
    _, bare = fuse(train)
    for part in reversed(prefix.split(".")):
        wrapper = nn.Module()
        wrapper.add_module(part, train)
        train = wrapper
    _, state = fuse(train)
    assert state.keys() == {f"{prefix}.{k}" for k in bare}
    assert all(torch.equal(state[f"{prefix}.{k}"], v) for k, v in bare.items())
