"""Nets to be fused, their deploy twins, and the measure of how far apart two nets are.

Nothing here knows what `reparam` plans: which norm follows which convolution is observed while the
train form runs, and a twin is the train form without those norms.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from functools import partial

import torch
from torch import nn

CONVS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def randomise(net, seed=0):
    """Give every norm statistics that are tame, so that deep nets stay well-conditioned.

    One gamma in ten is negative.
    """
    random = torch.Generator().manual_seed(seed)

    def fill(tensor, low, high):
        tensor.uniform_(low, high, generator=random)

    with torch.no_grad():
        for norm in (m for m in net.modules() if getattr(m, "running_var", None) is not None):
            fill(norm.running_mean, -0.1, 0.1)
            fill(norm.running_var, 0.75, 1.25)
            if norm.weight is not None:
                fill(norm.weight, 0.7, 1.3)
                negative = torch.rand(norm.weight.shape, generator=random) < 0.1
                norm.weight[negative] *= -1
            if norm.bias is not None:
                fill(norm.bias, -0.1, 0.1)
    return net.eval()


def lively(net):
    """Give convolutions weights of a size that keeps the image visible in the output."""
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, (*CONVS, nn.ConvTranspose2d, nn.Linear)):
                nn.init.kaiming_normal_(module.weight)
    return net


def image(*size, seed=1):
    """A random batch; `image(3, 64, 64)` holds one picture."""
    random = torch.Generator().manual_seed(seed)
    return torch.randn(1, *size, generator=random, dtype=torch.float64)


def run(net, x):
    """The net's output in float64, whatever the dtype of its weights."""
    with torch.no_grad():
        return copy.deepcopy(net).double().eval()(x)


def relative(found, wanted):
    """Largest difference, relative to the largest value."""
    return ((found - wanted).abs().max() / wanted.abs().max()).item()


def pairs(net, x):
    """Names of the norms that read a convolution's output as it left it, with those convolutions.

    Observed in one run: a norm counts if every one of its calls is of that kind. Convolutions that
    are called more than once, as in a head shared by scales, do not count.
    """
    made, calls, fed, alive = {}, {}, {}, []

    def after_conv(name, _module, _inputs, output):
        made[id(output)] = name, output._version
        calls[name] = calls.get(name, 0) + 1
        alive.append(output)  # keeps the id taken

    def before_norm(name, _module, inputs):
        conv, version = made.get(id(inputs[0]), (None, None))
        fed.setdefault(name, []).append(conv if version == inputs[0]._version else None)

    hooks = []
    for name, module in net.named_modules():
        if isinstance(module, CONVS):
            hooks.append(module.register_forward_hook(partial(after_conv, name)))
        elif isinstance(module, NORMS):
            hooks.append(module.register_forward_pre_hook(partial(before_norm, name)))
    with torch.no_grad():
        net(x.to(next(net.parameters()).dtype))
    for hook in hooks:
        hook.remove()
    return {
        norm: convs
        for norm, convs in fed.items()
        if None not in convs and all(calls[conv] == 1 for conv in convs)
    }


def without_norms(net, folded):
    """The deploy twin: `folded` norms are gone, and the convolutions before them have a bias."""
    twin = copy.deepcopy(net)
    for norm, convs in folded.items():
        module = twin.get_submodule(norm)
        # timm's BatchNormAct2d holds the activation that follows
        rest = nn.Sequential(module.drop, module.act) if hasattr(module, "act") else nn.Identity()
        set_module(twin, norm, rest)
        for conv in map(twin.get_submodule, convs):
            if conv.bias is None:
                conv.bias = nn.Parameter(conv.weight.new_zeros(conv.out_channels))
    return twin


def set_module(net, path, module):
    parent, _, name = path.rpartition(".")
    net.get_submodule(parent)._modules[name] = module


# --- RepVGG blocks under the key names of the original and of mmpretrain

OFFICIAL = {
    "dense": "rbr_dense",
    "point": "rbr_1x1",
    "identity": "rbr_identity",
    "norm": "bn",
    "fused": "rbr_reparam",
    "se": "se",
}
MMPRETRAIN = {
    "dense": "branch_3x3",
    "point": "branch_1x1",
    "identity": "branch_norm",
    "norm": "norm",
    "fused": "branch_reparam",
    "se": "se_layer",
}


def named(**modules):
    return nn.Sequential(OrderedDict(modules))


class Squeeze(nn.Module):
    """Squeeze-and-excitation with two named 1x1 convolutions."""

    def __init__(self, channels, names):
        super().__init__()
        self.names = ("down", "up") if names is OFFICIAL else ("conv1", "conv2")
        for name, sizes in zip(self.names, ((channels, 4), (4, channels)), strict=True):
            conv = nn.Conv2d(*sizes, 1)
            self.add_module(name, conv if names is OFFICIAL else named(conv=conv))

    def forward(self, x):
        first, second = map(self.get_submodule, self.names)
        return x * second(first(x.mean((2, 3), keepdim=True)).relu()).sigmoid()


class RepBlock(nn.Module):
    """A RepVGG block, in train or deploy form."""

    def __init__(self, names, width, out, *, stride=1, groups=1, se=False, deploy=False):
        super().__init__()
        self.names = names
        options = {"stride": stride, "groups": groups}
        if deploy:
            self.add_module(names["fused"], nn.Conv2d(width, out, 3, padding=1, **options))
        else:
            for branch, kernel in (("dense", 3), ("point", 1)):
                conv = nn.Conv2d(width, out, kernel, padding=kernel // 2, bias=False, **options)
                layers = {"conv": conv, names["norm"]: nn.BatchNorm2d(out)}
                self.add_module(names[branch], named(**layers))
            if width == out and stride == 1:
                self.add_module(names["identity"], nn.BatchNorm2d(width))
        if se:
            self.add_module(names["se"], Squeeze(out, names))

    def forward(self, x):
        branches = [self.names[n] for n in ("dense", "point", "identity", "fused")]
        y = sum(layer(x) for name, layer in self.named_children() if name in branches)
        return (getattr(self, self.names["se"])(y) if hasattr(self, self.names["se"]) else y).relu()


def rep_net(names, *, se=False, groups=1, deploy=False):
    """Five blocks: strides 1 and 2, equal widths with and without an identity branch."""
    block = partial(RepBlock, names, se=se, deploy=deploy)
    stages = [
        nn.Sequential(block(8, 8, stride=2), block(8, 8, groups=groups)),
        nn.Sequential(block(8, 16, stride=2, groups=groups), block(16, 16, groups=groups)),
    ]
    pool = {"pool": nn.AdaptiveAvgPool2d(1), "flat": nn.Flatten()}
    if names is OFFICIAL:
        stem = {"stage0": block(3, 8, stride=2), "stage1": stages[0], "stage2": stages[1]}
        return named(**stem, **pool, linear=nn.Linear(16, 5))
    backbone = named(stem=block(3, 8, stride=2), stage_1=stages[0], stage_2=stages[1])
    return named(backbone=backbone, **pool, head=named(fc=nn.Linear(16, 5)))


# --- the two nets of articles


class SharedNormBlock(nn.Module):
    """A residual block that applies one norm after `conv1` and again after `conv2`."""

    def __init__(self, width, out, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(width, out, 3, stride, 1)
        self.bn = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1)
        self.conv3 = nn.Conv2d(out, out, 1)
        self.conv4 = nn.Conv2d(width, out, 1, stride)

    def forward(self, x):
        y = self.bn(self.conv1(x)).relu()
        y = self.bn(self.conv2(y)).relu()
        return (self.conv3(y) + self.conv4(x)).relu()


class SharedNormNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1)
        self.batch_norm = nn.BatchNorm2d(8)
        blocks = [SharedNormBlock(8, 8, 1), SharedNormBlock(8, 16, 2), SharedNormBlock(16, 16, 1)]
        self.residual_blocks = nn.ModuleList(blocks)
        self.fc = nn.Linear(16, 5)

    def forward(self, x):
        x = self.batch_norm(self.conv1(x)).relu()
        for block in self.residual_blocks:
            x = block(x)
        return self.fc(x.mean((2, 3)))


class BasicBlock(nn.Module):
    """A ResNeXt block with a norm after the sum of path and shortcut."""

    def __init__(self, width, out, stride):
        super().__init__()
        relu = nn.ReLU()
        self.basic = named(
            conv1_0=nn.Conv2d(width, 8, 1, bias=False),
            bn1=nn.BatchNorm2d(8),
            relu1=relu,
            conv3_0=nn.Conv2d(8, 8, 3, stride, 1, groups=4, bias=False),
            bn2=nn.BatchNorm2d(8),
            relu2=relu,
            conv1_1=nn.Conv2d(8, out, 1, bias=False),
            bn3=nn.BatchNorm2d(out),
        )
        convs = (
            [nn.Conv2d(width, out, 1, stride, bias=False)] if (width, stride) != (out, 1) else []
        )
        self.shortcut = nn.Sequential(*convs)
        self.bn0 = nn.BatchNorm2d(out)

    def forward(self, x):
        return self.bn0(self.basic(x) + self.shortcut(x)).relu()


class BasicNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv0 = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.bn0 = nn.BatchNorm2d(8)
        self.layer1 = nn.Sequential(BasicBlock(8, 16, 1), BasicBlock(16, 16, 1))
        self.layer2 = nn.Sequential(BasicBlock(16, 32, 2))
        self.linear = nn.Linear(32, 5)

    def forward(self, x):
        x = self.bn0(self.conv0(x)).relu()
        return self.linear(self.layer2(self.layer1(x)).mean((2, 3)))


# --- nets whose norms stand before their convolutions, or behind something else


class PreActBlock(nn.Module):
    """Norm and ReLU before each convolution, as in Pre-ResNet."""

    def __init__(self, width, out, stride):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(width)
        self.conv1 = nn.Conv2d(width, out, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        if (width, stride) != (out, 1):
            self.shortcut = nn.Sequential(nn.Conv2d(width, out, 1, stride, bias=False))

    def forward(self, x):
        y = self.bn1(x).relu()
        way = self.shortcut(y) if hasattr(self, "shortcut") else x
        return self.conv2(self.bn2(self.conv1(y)).relu()) + way


class PreActNet(nn.Module):
    """Four stages; `norm` names one more norm at the top level: behind the stem if `bn1`,
    else behind the last stage."""

    def __init__(self, widths=(8, 16, 24, 32), strides=(1, 2, 2, 2), *, norm=None, blocks=2):
        super().__init__()
        self.conv1 = nn.Conv2d(3, widths[0], 3, padding=1, bias=False)
        self.extra = norm
        if norm:
            self.add_module(norm, nn.BatchNorm2d(widths[0] if norm == "bn1" else widths[-1]))
        width = widths[0]
        for i, (out, stride) in enumerate(zip(widths, strides, strict=True)):
            layers = [PreActBlock(width, out, stride)]
            layers += [PreActBlock(out, out, 1) for _ in range(blocks - 1)]
            self.add_module(f"layer{i + 1}", nn.Sequential(*layers))
            width = out
        self.linear = nn.Linear(width, 5)

    def forward(self, x):
        x = self.conv1(x)
        x = self.bn1(x).relu() if self.extra == "bn1" else x
        for i in range(1, 5):
            x = self.get_submodule(f"layer{i}")(x)
        if self.extra not in (None, "bn1"):
            x = self.get_submodule(self.extra)(x).relu()
        return self.linear(x.mean((2, 3)))
