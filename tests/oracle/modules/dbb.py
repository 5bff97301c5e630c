"""Diverse Branch Blocks and the three nets of their repository, small."""

from __future__ import annotations

from functools import partial

import torch
from oracle.nets import named
from torch import nn


def border(x, norm, pad):
    """Pad with what the norm makes of zero, as BNAndPad does."""
    shift = norm.bias - norm.running_mean * norm.weight / (norm.running_var + norm.eps).sqrt()
    n, c, h, w = x.shape
    padded = shift.view(1, c, 1, 1).expand(n, c, h + 2 * pad, w + 2 * pad).clone()
    padded[:, :, pad : pad + h, pad : pad + w] = x
    return padded


class PaddedNorm(nn.Module):
    """The norm is a child, as since April 2021."""

    def __init__(self, channels, pad):
        super().__init__()
        self.bn = nn.BatchNorm2d(channels)
        self.pad = pad

    def forward(self, x):
        return border(self.bn(x), self.bn, self.pad)


class OldPaddedNorm(nn.BatchNorm2d):
    """The norm itself, as before."""

    def __init__(self, channels, pad):
        super().__init__(channels)
        self.pad = pad

    def forward(self, x):
        return border(super().forward(x), self, self.pad)


class IdentityPlus(nn.Conv2d):
    """A 1x1 whose stored kernel lacks the identity that it adds."""

    def forward(self, x):
        return super().forward(x) + x


def conv(*sizes, **options):
    return nn.Conv2d(*sizes, bias=False, **options)


class DiverseBranchBlock(nn.Module):
    def __init__(self, width, out, k, *, stride=1, groups=1, inner=None, padded, deploy):
        super().__init__()
        if deploy:
            self.dbb_reparam = nn.Conv2d(width, out, k, stride, k // 2, groups=groups)
            return
        g = {"groups": groups}
        bn = nn.BatchNorm2d
        self.dbb_origin = named(conv=conv(width, out, k, stride, k // 2, **g), bn=bn(out))
        if groups < out:
            self.dbb_avg = named(
                conv=conv(width, out, 1, **g),
                bn=padded(out, k // 2),
                avg=nn.AvgPool2d(k, stride),
                avgbn=bn(out),
            )
            self.dbb_1x1 = named(conv=conv(width, out, 1, stride, **g), bn=bn(out))
        else:
            self.dbb_avg = named(avg=nn.AvgPool2d(k, stride, k // 2), avgbn=bn(out))
        inner = inner or (width if groups < out else 2 * width)
        if inner == width:
            first = {"idconv1": IdentityPlus(width, width, 1, bias=False, **g)}
        else:
            first = {"conv1": conv(width, inner, 1, **g)}
        self.dbb_1x1_kxk = named(
            **first, bn1=padded(inner, k // 2), conv2=conv(inner, out, k, stride, **g), bn2=bn(out)
        )

    def forward(self, x):
        return sum(branch(x) for branch in self.children()).relu()


class ConvNorm(nn.Module):
    """A plain convolution with its norm, which keeps its name when it is fused."""

    def __init__(self, width, out, k, *, stride=1, groups=1, deploy):
        super().__init__()
        self.conv = nn.Conv2d(width, out, k, stride, k // 2, groups=groups, bias=deploy)
        self.bn = nn.Identity() if deploy else nn.BatchNorm2d(out)

    def forward(self, x):
        return self.bn(self.conv(x)).relu()


class Shortcut(nn.Module):
    """A bottleneck, or without `conv3` a basic block, around which the input goes."""

    def __init__(self, shortcut=None, **convs):
        super().__init__()
        self.shortcut = shortcut
        self.convs = list(convs)
        for name, module in convs.items():
            self.add_module(name, module)

    def forward(self, x):
        y = x
        for name in self.convs:
            y = self.get_submodule(name)(y)
        return (y + (self.shortcut(x) if self.shortcut else x)).relu()


def head():
    return {"gap": nn.AdaptiveAvgPool2d(1), "flat": nn.Flatten(), "linear": nn.Linear(12, 5)}


def resnet(*, old=False, deploy=False):
    """A ResNet whose 3x3 convolutions are dense and grouped blocks, strided ones among them."""
    block = partial(DiverseBranchBlock, padded=OldPaddedNorm if old else PaddedNorm, deploy=deploy)
    plain = partial(ConvNorm, deploy=deploy)
    first = Shortcut(plain(8, 12, 1), conv1=block(8, 12, 3, groups=2), conv2=block(12, 12, 3))
    second = Shortcut(
        plain(12, 12, 1, stride=2),
        conv1=plain(12, 6, 1),
        conv2=block(6, 6, 3, stride=2, groups=3),
        conv3=plain(6, 12, 1),
    )
    wide = Shortcut(conv1=block(12, 12, 3, groups=2, inner=8), conv2=block(12, 12, 7, groups=12))
    stem = named(conv1=plain(3, 8, 7, stride=2))
    return named(
        stage0=stem, stage1=nn.Sequential(first, wide), stage2=named(**{"0": second}), **head()
    )


def mobilenet(*, old=False, deploy=False):
    """Depthwise blocks with and without stride, and 1x1 convolutions."""
    block = partial(DiverseBranchBlock, padded=OldPaddedNorm if old else PaddedNorm, deploy=deploy)
    stem = [
        named(
            depthwise=block(width, width, 3, stride=stride, groups=width),
            pointwise=ConvNorm(width, out, 1, deploy=deploy),
        )
        for width, out, stride in ((8, 10, 1), (10, 12, 2))
    ]
    return named(conv1=block(3, 8, 3, stride=2), stem=nn.Sequential(*stem), **head())


def alexnet(*, old=False, deploy=False):
    """Kernels of 11, 5 and 3."""
    block = partial(DiverseBranchBlock, padded=OldPaddedNorm if old else PaddedNorm, deploy=deploy)
    stem = named(
        conv1=ConvNorm(3, 6, 11, stride=4, deploy=deploy),
        conv2=block(6, 8, 5),
        conv3=block(8, 12, 3),
    )
    return named(stem=stem, **head())


class Zoo(nn.Module):
    """All three side by side."""

    def __init__(self, **options):
        super().__init__()
        self.resnet = resnet(**options)
        self.mobilenet = mobilenet(**options)
        self.alexnet = alexnet(**options)

    def forward(self, x):
        return torch.stack([net(x) for net in self.children()])


def yolo(*, deploy=False):
    """A backbone with the names of YOLO, of which one convolution is a block; eps as there."""
    block = partial(DiverseBranchBlock, padded=PaddedNorm, deploy=deploy)
    layers = [
        ConvNorm(3, 8, 3, stride=2, deploy=False),
        named(cv1=block(8, 12, 3), cv2=block(12, 12, 3)),
    ]
    net = named(model=nn.Sequential(*layers), **head())
    for norm in (m for m in net.modules() if isinstance(m, nn.BatchNorm2d)):
        norm.eps = 1e-3
    return net
