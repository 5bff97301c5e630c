"""The recipe of last resort on nets it was not written for: equal, or refused."""

from __future__ import annotations

from functools import partial

import pytest
import timm
import torch
import torchvision
from oracle import nets
from oracle.cases.case import stock
from oracle.modules.conv_bn import Pair
from torch import nn

import reparam

SAID = {"recipe": "conv-bn", "eps": 1e-5}
CONV = partial(nn.Conv2d, bias=False)
NORM = nn.BatchNorm2d


@pytest.mark.parametrize(
    "build",
    [
        torchvision.models.shufflenet_v2_x0_5,
        partial(timm.create_model, "darknet17"),
        partial(timm.create_model, "ese_vovnet19b_slim"),
    ],
    ids=str,
)
def test_nets_that_name_their_pairs_as_usual(build, fuse):
    train, deploy, x = stock(build(), nets.image(3, 48, 64))
    report, state = fuse(train.double(), **SAID)
    assert report.plan.skipped == ()
    deploy.double().load_state_dict(state, strict=True)
    assert nets.relative(nets.run(deploy, x), nets.run(train, x)) <= 1e-6


def refused(source):
    """Whether a file is refused, and nothing written."""
    with pytest.raises(reparam.PlanError):
        reparam.fuse(source, source.with_name("deploy.safetensors"), **SAID)
    return [p.name for p in source.parent.iterdir()] == [source.name]


# --- nets in which a norm stands somewhere else --------------------------------------------------


class Reversed(Pair):
    """A layer and a norm under their names, called the other way round."""

    def forward(self, x):
        for name in reversed(self.names):
            x = self.get_submodule(name)(x).relu()
        return x


class Listed(nn.Module):
    """A list of layers, called in the order given."""

    def __init__(self, order, *layers):
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.order = order

    def forward(self, x):
        for i in self.order:
            x = self.layers[i](x)
        return x


class Parallel(nn.Module):
    """Convolutions side by side, and one norm after their sum."""

    def __init__(self, **convs):
        super().__init__()
        for name, conv in convs.items():
            self.add_module(name, conv)
        self.bn = NORM(8)

    def forward(self, x):
        return self.bn(sum(m(x) for m in self.children() if m is not self.bn)).relu()


class TwoNorms(nn.Module):
    """A convolution with two norms, for two domains."""

    def __init__(self, **norms):
        super().__init__()
        self.conv = CONV(8, 8, 3, 1, 1)
        for name, norm in norms.items():
            self.add_module(name, norm)


class Gated(nn.Module):
    """A pair with a learned scale between its layers."""

    def __init__(self):
        super().__init__()
        self.conv = CONV(8, 8, 1)
        self.gamma = nn.Parameter(torch.rand(8, 1, 1))
        self.bn = NORM(8)


def reparametrized(how):
    return Pair(how(CONV(8, 8, 3, 1, 1)), 8, ("conv", "bn"))


def transposed(k=2):
    return nn.ConvTranspose2d(8, 8, k, 2, bias=False)


def equal():
    return CONV(8, 8, 3, 1, 1)


NARROWS = nets.named(first=Pair(CONV(3, 16, 1), 16, ("conv", "bn")))
NARROWS.add_module("second", Pair(CONV(16, 8, 1), 8, ("conv", "bn")))
"""Its second norm can only follow its convolution."""


@pytest.mark.parametrize(
    "block",
    [
        nn.Sequential(NORM(8), nn.ReLU(), equal(), NORM(8), nn.ReLU(), equal()),
        nn.Sequential(equal(), nn.ReLU(), NORM(8)),
        nn.Sequential(equal(), nn.MaxPool2d(2), NORM(8)),
        nn.Sequential(equal(), equal(), NORM(8)),
        nn.Sequential(transposed(), NORM(8)),
        nn.Sequential(transposed(4), NORM(8)),
        nets.named(convs=nn.ModuleList([equal()]), norms=nn.ModuleList([NORM(8)])),
        nets.named(norm=NORM(8), relu=nn.ReLU(), conv=CONV(8, 4, 3)),
        Parallel(conv=equal(), conv1=CONV(8, 8, 1)),
        Parallel(conv=equal(), branch=nn.Sequential(CONV(8, 8, 1))),
        Parallel(conv=equal(), branch=Pair(CONV(8, 8, 1), 8, ("conv", "bn"))),
        TwoNorms(bn=NORM(8), norm=NORM(8)),
        TwoNorms(bn=NORM(8), bn2=NORM(8)),
        TwoNorms(bn=nn.ModuleList([NORM(8), NORM(8)])),
        TwoNorms(bn=nn.GroupNorm(2, 8)),
        TwoNorms(bn=NORM(8, track_running_stats=False)),
        Gated(),
        Pair(transposed(), 8, ("conv", "bn")),
        Pair(transposed(4), 8, ("convolution", "normalization")),
        reparametrized(nn.utils.spectral_norm),
        reparametrized(nn.utils.parametrizations.weight_norm),
    ],
    ids=lambda block: ", ".join(n for n, _ in block.named_modules() if n),
)
def test_a_file_with_one_doubtful_norm_is_refused(block, save):
    """Although all other norms of the file are beyond doubt."""
    assert refused(save(nets.randomise(nets.named(sure=NARROWS, block=block))))


@pytest.mark.parametrize(
    "net",
    [
        nets.named(a=Reversed(equal(), 8, ("conv", "bn")), b=Reversed(equal(), 8, ("conv", "bn"))),
        nets.named(a=Reversed(equal(), 8, ("c", "norm")), fc=nn.Linear(8, 5)),
        nets.named(a=Listed((1, 0), equal(), NORM(8)), b=Listed((1, 0), equal(), NORM(8))),
        nets.named(a=Listed((0, 3, 2, 1), equal(), NORM(8), equal(), NORM(8))),
    ],
    ids=lambda net: ", ".join(n for n, _ in net.named_modules() if n),
)
def test_norms_before_their_layers_are_refused(net, save):
    """Of equal widths no shape tells."""
    assert refused(save(nets.randomise(net)))


@pytest.mark.parametrize(
    "name", ["resnetv2_18", "densenet121", "repvgg_a0", "resnet18", "convnext_atto"]
)
def test_nets_of_other_names_are_refused(name, save):
    assert refused(save(nets.randomise(timm.create_model(name))))
