"""Plain nets under the key names of repositories of their own, in train form."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn


def named(**modules):
    return nn.Sequential(OrderedDict(modules))


def conv_bn(width, out, k=1, stride=1, groups=1):
    conv = nn.Conv2d(width, out, k, stride, k // 2, groups=groups, bias=False)
    return conv, nn.BatchNorm2d(out)


def classified(head="classifier", width=8, **modules):
    """A net of these modules with a linear classifier of that name."""
    pool = {"pool": nn.AdaptiveAvgPool2d(1), "flat": nn.Flatten()}
    return named(**modules, **pool, **{head: nn.Linear(width, 5)})


class Features(nn.Module):
    """A backbone below a prefix, whose maps are the output."""

    def __init__(self, backbone):
        super().__init__()
        self.backbone = backbone

    def forward(self, x):
        return torch.cat([y.flatten(1) for y in self.backbone(x).values()], 1)


# --- EfficientNet-PyTorch


class MBConvBlock(nn.Module):
    """An inverted residual block with squeeze-and-excitation."""

    def __init__(self, width, out, k, stride, expand):
        super().__init__()
        wide = width * expand
        if expand > 1:
            self._expand_conv, self._bn0 = conv_bn(width, wide)
        self._depthwise_conv, self._bn1 = conv_bn(wide, wide, k, stride, wide)
        self._se_reduce = nn.Conv2d(wide, 2, 1)
        self._se_expand = nn.Conv2d(2, wide, 1)
        self._project_conv, self._bn2 = conv_bn(wide, out)
        self.skip = (width, stride) == (out, 1)

    def forward(self, x):
        y = nn.functional.silu(self._bn0(self._expand_conv(x))) if hasattr(self, "_bn0") else x
        y = nn.functional.silu(self._bn1(self._depthwise_conv(y)))
        gate = self._se_expand(nn.functional.silu(self._se_reduce(y.mean((2, 3), keepdim=True))))
        y = self._bn2(self._project_conv(gate.sigmoid() * y))
        return y + x if self.skip else y


class EfficientNetPyTorch(nn.Module):
    def __init__(self):
        super().__init__()
        self._conv_stem, self._bn0 = conv_bn(3, 8, 3, 2)
        settings = [(8, 8, 3, 1, 1), (8, 12, 5, 2, 6), (12, 12, 5, 1, 6)]
        self._blocks = nn.ModuleList(MBConvBlock(*setting) for setting in settings)
        self._conv_head, self._bn1 = conv_bn(12, 24)
        self._fc = nn.Linear(24, 5)
        for norm in (m for m in self.modules() if isinstance(m, nn.BatchNorm2d)):
            norm.eps = 1e-3

    def forward(self, x):
        x = nn.functional.silu(self._bn0(self._conv_stem(x)))
        for block in self._blocks:
            x = block(x)
        x = nn.functional.silu(self._bn1(self._conv_head(x)))
        return self._fc(x.mean((2, 3)))


# --- MobileNetV2 whose blocks are one Sequential


class FlatResidual(nn.Module):
    def __init__(self, width, out, stride, expand):
        super().__init__()
        wide = width * expand
        layers = [*conv_bn(width, wide), nn.ReLU6()] if expand > 1 else []
        layers += [*conv_bn(wide, wide, 3, stride, wide), nn.ReLU6(), *conv_bn(wide, out)]
        self.conv = nn.Sequential(*layers)
        self.skip = (width, stride) == (out, 1)

    def forward(self, x):
        return x + self.conv(x) if self.skip else self.conv(x)


def flat_mobilenetv2():
    features = nn.Sequential(
        nn.Sequential(*conv_bn(3, 8, 3, 2), nn.ReLU6()),
        FlatResidual(8, 8, 1, 1),
        FlatResidual(8, 12, 2, 6),
        FlatResidual(12, 12, 1, 6),
        nn.Sequential(*conv_bn(12, 24), nn.ReLU6()),
    )
    return classified(width=24, features=features)


# --- DenseNet, as the files name it that are published for torchvision


class DottedLayer(nn.Module):
    """A dense layer whose layers are numbered behind a dot."""

    def __init__(self, width, growth):
        super().__init__()
        self.norm = nn.ModuleDict({"1": nn.BatchNorm2d(width), "2": nn.BatchNorm2d(4 * growth)})
        convs = {
            "1": nn.Conv2d(width, 4 * growth, 1, bias=False),
            "2": nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False),
        }
        self.conv = nn.ModuleDict(convs)

    def forward(self, x):
        y = self.conv["1"](self.norm["1"](x).relu())
        return torch.cat([x, self.conv["2"](self.norm["2"](y).relu())], 1)


def dotted_densenet():
    block = {f"denselayer{i + 1}": DottedLayer(8 + 4 * i, 4) for i in range(2)}
    features = {
        "conv0": nn.Conv2d(3, 8, 7, 2, 3, bias=False),
        "norm0": nn.BatchNorm2d(8),
        "relu0": nn.ReLU(),
        "denseblock1": named(**block),
        "transition1": named(
            norm=nn.BatchNorm2d(16),
            relu=nn.ReLU(),
            conv=nn.Conv2d(16, 8, 1, bias=False),
            pool=nn.AvgPool2d(2),
        ),
        "denseblock2": named(denselayer1=DottedLayer(8, 4)),
        "norm5": nn.BatchNorm2d(12),
    }
    return classified(width=12, features=named(**features))


# --- ResNet as ports to CIFAR name it


class ShortcutBlock(nn.Module):
    def __init__(self, width, out, stride):
        super().__init__()
        self.conv1, self.bn1 = conv_bn(width, out, 3, stride)
        self.conv2, self.bn2 = conv_bn(out, out, 3)
        changes = (width, stride) != (out, 1)
        self.shortcut = nn.Sequential(*(conv_bn(width, out, 1, stride) if changes else ()))

    def forward(self, x):
        y = self.bn1(self.conv1(x)).relu()
        return (self.bn2(self.conv2(y)) + self.shortcut(x)).relu()


def cifar_resnet():
    conv, norm = conv_bn(3, 8, 3)
    settings = [(8, 8, 1), (8, 12, 2), (12, 16, 2), (16, 16, 2)]
    layers = {
        f"layer{i + 1}": nn.Sequential(ShortcutBlock(a, b, s), ShortcutBlock(b, b, 1))
        for i, (a, b, s) in enumerate(settings)
    }
    return classified("linear", 16, conv1=conv, bn1=norm, relu=nn.ReLU(), **layers)
