"""RepLKNet, UniRepLKNet and RepMLPNet, small, with the official names."""

from __future__ import annotations

import torch
from oracle.nets import named
from torch import nn


def conv_norm(width, out, k, *, stride=1, groups=1, act=False, deploy=False):
    """A convolution and its norm; `deploy` leaves the norm out and gives the convolution a bias."""
    conv = nn.Conv2d(width, out, k, stride, k // 2, groups=groups, bias=deploy)
    last = {"nonlinear": nn.ReLU()} if act else {}
    return named(conv=conv, bn=nn.Identity() if deploy else nn.BatchNorm2d(out), **last)


# --- RepLKNet


class LargeKernel(nn.Module):
    """Two depthwise branches, or one."""

    def __init__(self, channels, k, small, *, deploy):
        super().__init__()
        if deploy:
            self.lkb_reparam = nn.Conv2d(channels, channels, k, padding=k // 2, groups=channels)
            return
        self.lkb_origin = conv_norm(channels, channels, k, groups=channels)
        if small:
            self.small_conv = conv_norm(channels, channels, small, groups=channels)

    def forward(self, x):
        return sum(branch(x) for branch in self.children())


class LargeKernelBlock(nn.Module):
    def __init__(self, channels, inner, k, small, *, deploy, deep):
        super().__init__()
        self.prelkb_bn = nn.BatchNorm2d(channels)
        self.pw1 = conv_norm(channels, inner, 1, act=True, deploy=deep)
        self.large_kernel = LargeKernel(inner, k, small, deploy=deploy)
        self.pw2 = conv_norm(inner, channels, 1, deploy=deep)

    def forward(self, x):
        return x + self.pw2(self.large_kernel(self.pw1(self.prelkb_bn(x))).relu())


class FeedForward(nn.Module):
    def __init__(self, channels, *, deep):
        super().__init__()
        self.preffn_bn = nn.BatchNorm2d(channels)
        self.pw1 = conv_norm(channels, 2 * channels, 1, deploy=deep)
        self.pw2 = conv_norm(2 * channels, channels, 1, deploy=deep)

    def forward(self, x):
        return x + self.pw2(nn.functional.gelu(self.pw1(self.preffn_bn(x))))


class RepLKNet(nn.Module):
    """Two stages: kernels of 13 and 5, then 7 alone; `deep` folds all other norms as well."""

    def __init__(self, *, deploy=False, deep=False):
        super().__init__()
        deep = deep and deploy
        conv = conv_norm
        self.stem = nn.Sequential(
            conv(3, 8, 3, stride=2, act=True, deploy=deep),
            conv(8, 8, 3, groups=8, act=True, deploy=deep),
        )
        self.stages = nn.ModuleList()
        for channels, inner, k, small in ((8, 8, 13, 5), (12, 18, 7, None)):
            first = LargeKernelBlock(channels, inner, k, small, deploy=deploy, deep=deep)
            blocks = nn.Sequential(first, FeedForward(channels, deep=deep))
            self.stages.append(named(blocks=blocks))
        self.transitions = nn.ModuleList(
            [
                nn.Sequential(
                    conv(8, 12, 1, act=True, deploy=deep),
                    conv(12, 12, 3, stride=2, groups=12, act=True, deploy=deep),
                )
            ]
        )
        self.norm = nn.BatchNorm2d(12)
        self.head = nn.Linear(12, 5)

    def forward(self, x):
        x = self.stages[0](self.stem(x))
        x = self.stages[1](self.transitions[0](x))
        return self.head(self.norm(x).mean((2, 3)))


# --- UniRepLKNet


class DilatedBranches(nn.Module):
    """One dense and several dilated depthwise branches; in deploy form the first alone."""

    def __init__(self, channels, k, branches, *, deploy):
        super().__init__()
        self.branches = () if deploy else branches
        self.lk_origin = nn.Conv2d(channels, channels, k, 1, k // 2, groups=channels, bias=deploy)
        if not deploy:
            self.origin_bn = nn.BatchNorm2d(channels)
        for size, rate in self.branches:
            pad = rate * (size - 1) // 2
            conv = nn.Conv2d(channels, channels, size, 1, pad, rate, channels, bias=False)
            self.add_module(f"dil_conv_k{size}_{rate}", conv)
            self.add_module(f"dil_bn_k{size}_{rate}", nn.BatchNorm2d(channels))

    def forward(self, x):
        y = self.lk_origin(x)
        y = self.origin_bn(y) if self.branches else y
        for size, rate in self.branches:
            conv, norm = (self.get_submodule(f"dil_{n}_k{size}_{rate}") for n in ("conv", "bn"))
            y = y + norm(conv(x))
        return y


class Response(nn.Module):
    """Global response normalisation, channels last."""

    def __init__(self, channels, *, bias):
        super().__init__()
        self.gamma = nn.Parameter(torch.randn(1, 1, 1, channels))
        self.beta = nn.Parameter(torch.randn(1, 1, 1, channels)) if bias else None

    def forward(self, x):
        size = x.norm(dim=(1, 2), keepdim=True)
        x = (self.gamma * size / (size.mean(-1, keepdim=True) + 1e-6) + 1) * x
        return x if self.beta is None else x + self.beta


class Permute(nn.Module):
    def __init__(self, *axes):
        super().__init__()
        self.axes = axes

    def forward(self, x):
        return x.permute(0, *self.axes)


class Excitation(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.down = nn.Conv2d(channels, 4, 1)
        self.up = nn.Conv2d(4, channels, 1)

    def forward(self, x):
        return x * self.up(self.down(x.mean((2, 3), keepdim=True)).relu()).sigmoid()


class UniBlock(nn.Module):
    def __init__(self, channels, k, branches=(), *, scale=True, deploy):
        super().__init__()
        if branches:
            self.dwconv = DilatedBranches(channels, k, branches, deploy=deploy)
        else:
            self.dwconv = nn.Conv2d(channels, channels, k, 1, k // 2, groups=channels, bias=deploy)
        self.norm = nn.Identity() if deploy else nn.BatchNorm2d(channels)
        self.se = Excitation(channels)
        inner = 2 * channels
        self.pwconv1 = nn.Sequential(Permute(2, 3, 1), nn.Linear(channels, inner))
        self.act = nn.Sequential(nn.GELU(), Response(inner, bias=not deploy))
        last = [] if deploy else [nn.BatchNorm2d(channels)]
        self.pwconv2 = nn.Sequential(
            nn.Linear(inner, channels, bias=deploy), Permute(3, 1, 2), *last
        )
        self.gamma = nn.Parameter(torch.randn(channels)) if scale and not deploy else None

    def forward(self, x):
        y = self.se(self.norm(self.dwconv(x)))
        y = self.pwconv2(self.act(self.pwconv1(y)))
        return x + (y if self.gamma is None else y * self.gamma.view(1, -1, 1, 1))


class ChannelNorm(nn.LayerNorm):
    def forward(self, x):
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class UniRepLKNet(nn.Module):
    """Kernels of 13 and 7 with dilated branches, of 3 and 5 without, one block without gamma."""

    def __init__(self, *, deploy=False):
        super().__init__()
        wide = ((5, 1), (7, 2), (3, 3), (3, 4), (3, 5))
        first = [UniBlock(8, 3, deploy=deploy), UniBlock(8, 13, wide, deploy=deploy)]
        second = [
            UniBlock(12, 7, ((5, 1), (3, 2), (3, 3)), scale=False, deploy=deploy),
            UniBlock(12, 5, deploy=deploy),
        ]
        self.downsample_layers = nn.ModuleList(
            [
                nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), ChannelNorm(8)),
                nn.Sequential(nn.Conv2d(8, 12, 3, 2, 1), ChannelNorm(12)),
            ]
        )
        self.stages = nn.ModuleList([nn.Sequential(*first), nn.Sequential(*second)])
        self.norm = nn.LayerNorm(12)
        self.head = nn.Linear(12, 5)

    def forward(self, x):
        for down, stage in zip(self.downsample_layers, self.stages, strict=True):
            x = stage(down(x))
        return self.head(self.norm(x.mean((2, 3))))


# --- RepMLPNet


class WindowBlock(nn.Module):
    """A linear layer per set of channels over windows, with convolutions beside it."""

    def __init__(self, channels, window, sets, kernels, *, deploy):
        super().__init__()
        self.sets, self.window = sets, window
        self.gp = named(fc1=nn.Conv2d(channels, 4, 1), fc2=nn.Conv2d(4, channels, 1))
        wide = sets * window * window
        self.fc3 = nn.Conv2d(wide, wide, 1, groups=sets, bias=deploy)
        self.fc3_bn = nn.Identity() if deploy else nn.BatchNorm2d(sets)
        for k in () if deploy else kernels:
            self.add_module(f"repconv{k}", conv_norm(sets, sets, k, groups=sets))

    def forward(self, x):
        n, c, h, w = x.shape
        p = self.window
        windows = x.reshape(n, c, h // p, p, w // p, p).permute(0, 2, 4, 1, 3, 5)
        parts = windows.reshape(-1, self.sets, p, p)
        y = self.fc3_bn(self.fc3(parts.reshape(-1, self.sets * p * p, 1, 1)).reshape(parts.shape))
        y = sum((m(parts) for name, m in self.named_children() if name[:7] == "repconv"), start=y)
        y = y.reshape(windows.shape).permute(0, 3, 1, 4, 2, 5).reshape(x.shape)
        gate = self.gp.fc2(self.gp.fc1(x.mean((2, 3), keepdim=True)).relu()).sigmoid()
        return y * gate


class WindowUnit(nn.Module):
    def __init__(self, channels, *window, deploy):
        super().__init__()
        self.repmlp_block = WindowBlock(channels, *window, deploy=deploy)
        fc1, fc2 = conv_norm(channels, 2 * channels, 1), conv_norm(2 * channels, channels, 1)
        self.ffn_block = named(ffn_fc1=fc1, act=nn.GELU(), ffn_fc2=fc2)
        self.prebn1 = nn.BatchNorm2d(channels)
        self.prebn2 = nn.BatchNorm2d(channels)

    def forward(self, x):
        x = x + self.repmlp_block(self.prebn1(x))
        return x + self.ffn_block(self.prebn2(x))


class RepMLPNet(nn.Module):
    """Windows of 8 and 4 pixels, an odd one of 3, kernels of 1, 3 and 5, and a block without."""

    def __init__(self, *, deploy=False):
        super().__init__()
        self.conv_embedding = conv_norm(3, 8, 3, stride=2, act=True)
        self.stages = nn.ModuleList(
            [
                nn.Sequential(
                    WindowUnit(8, 8, 2, (1, 3), deploy=deploy),
                    WindowUnit(8, 3, 4, (1, 3, 5), deploy=deploy),
                ),
                nn.Sequential(
                    WindowUnit(12, 4, 12, (1, 3), deploy=deploy),
                    WindowUnit(12, 4, 1, (), deploy=deploy),
                ),
            ]
        )
        self.embeds = nn.ModuleList([conv_norm(8, 12, 3, stride=2, act=True)])
        self.head_norm = nn.BatchNorm2d(12)
        self.head = nn.Linear(12, 5)

    def forward(self, x):
        x = self.stages[0](self.conv_embedding(x))
        x = self.stages[1](self.embeds[0](x))
        return self.head(self.head_norm(x).mean((2, 3)))
