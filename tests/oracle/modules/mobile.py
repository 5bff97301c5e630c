"""PP-LCNetV3, RepGhostNet, GhostNetV3 and RepNeXt, small, with the official names."""

from __future__ import annotations

from functools import partial

import torch
from oracle.nets import named
from torch import nn


def conv_norm(*sizes, names=("conv", "bn"), **options):
    width = sizes[1]
    return named(
        **{names[0]: nn.Conv2d(*sizes, bias=False, **options), names[1]: nn.BatchNorm2d(width)}
    )


class Excitation(nn.Module):
    def __init__(self, channels, first="conv1", last="conv2"):
        super().__init__()
        self.names = first, last
        self.add_module(first, nn.Conv2d(channels, 4, 1))
        self.add_module(last, nn.Conv2d(4, channels, 1))

    def forward(self, x):
        first, last = map(self.get_submodule, self.names)
        return x * nn.functional.hardsigmoid(last(first(x.mean((2, 3), keepdim=True)).relu()))


# --- PP-LCNetV3

PADDLE = {
    "first": "conv1",
    "many": "conv_kxk",
    "one": "conv_1x1",
    "pair": ("conv", "bn"),
    "deep": "dw_conv",
    "point": "pw_conv",
    "se": "se",
}
TRANSFORMERS = {
    "first": "embedder",
    "many": "conv_symmetric",
    "one": "conv_small_symmetric",
    "pair": ("convolution", "normalization"),
    "deep": "depthwise_convolution",
    "point": "pointwise_convolution",
    "se": "squeeze_excitation_module",
}


class Affine(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.rand(1) + 0.5)
        self.bias = nn.Parameter(torch.randn(1))

    def forward(self, x):
        return self.scale * x + self.bias


class RepLayer(nn.Module):
    """Four convolutions, a 1x1, a norm; an affine layer, and with stride 1 an activation and
    another one."""

    def __init__(self, names, width, out, k, *, stride=1, groups=1, deploy):
        super().__init__()
        self.stride = stride
        options = {"stride": stride, "groups": groups}
        if deploy:
            self.reparam_conv = nn.Conv2d(width, out, k, padding=k // 2, **options)
            self.branches = [self.reparam_conv]
        else:
            pair = partial(conv_norm, names=names["pair"], **options)
            self.branches = [pair(width, out, k, padding=k // 2) for _ in range(4)]
            self.add_module(names["many"], nn.ModuleList(self.branches))
            if k > 1:
                self.branches.append(pair(width, out, 1))
                self.add_module(names["one"], self.branches[-1])
            if width == out and stride == 1:
                self.identity = nn.BatchNorm2d(width)
                self.branches.append(self.identity)
        self.lab = Affine()
        self.act = named(act=nn.Hardswish(), lab=Affine())

    def forward(self, x):
        y = self.lab(sum(branch(x) for branch in self.branches))
        return y if self.stride == 2 else self.act(y)


class LCNetV3(nn.Module):
    """Strides of 1, 2 and (2, 1); kernels of 3 and 5; with and without excitation."""

    def __init__(self, names, *, deploy=False):
        super().__init__()
        layer = partial(RepLayer, names, deploy=deploy)

        def block(width, out, k, stride, *, se=False):
            parts = {names["deep"]: layer(width, width, k, stride=stride, groups=width)}
            parts |= {names["se"]: Excitation(width)} if se else {}
            return named(**parts, **{names["point"]: layer(width, out, 1)})

        self.names = names
        first = conv_norm(3, 8, 3, 2, 1, names=names["pair"])
        self.add_module(names["first"], first)
        self.blocks2 = nn.Sequential(block(8, 8, 3, 1))
        self.blocks3 = nn.Sequential(block(8, 12, 3, 2), block(12, 12, 5, 1))
        self.blocks6 = nn.Sequential(block(12, 12, 5, (2, 1), se=True))

    def forward(self, x):
        return nn.Sequential(*self.children())(x)


# --- RepGhostNet without a normed identity


class GhostModule(nn.Module):
    """`plain` adds the input of the depthwise convolution; `deploy` is the fused form."""

    def __init__(self, width, out, k, *, act, plain, deploy):
        super().__init__()
        last = nn.ReLU() if act else nn.Identity()
        conv = nn.Conv2d(width, out, 1, bias=False)
        self.primary_conv = nn.Sequential(conv, nn.BatchNorm2d(out), last)
        deep = nn.Conv2d(out, out, k, padding=k // 2, groups=out, bias=deploy)
        self.cheap_operation = deep if deploy else nn.Sequential(deep, nn.BatchNorm2d(out))
        self.plain = plain and not deploy
        self.act = last

    def forward(self, x):
        x = self.primary_conv(x)
        y = self.cheap_operation(x)
        return self.act(y + x if self.plain else y)


class GhostBlock(nn.Module):
    def __init__(self, width, inner, out, k, *, stride=1, se=False, **options):
        super().__init__()
        self.ghost1 = GhostModule(width, inner, 3, act=True, **options)
        if stride > 1:
            self.conv_dw = nn.Conv2d(inner, inner, k, 2, k // 2, groups=inner, bias=False)
            self.bn_dw = nn.BatchNorm2d(inner)
        self.se = Excitation(inner, "conv_reduce", "conv_expand") if se else nn.Identity()
        self.ghost2 = GhostModule(inner, out, 3, act=False, **options)
        self.shortcut = nn.Sequential()
        if width != out or stride > 1:
            layers = [nn.Conv2d(width, width, k, stride, k // 2, groups=width, bias=False)]
            layers += [nn.BatchNorm2d(width), nn.Conv2d(width, out, 1, bias=False)]
            self.shortcut = nn.Sequential(*layers, nn.BatchNorm2d(out))

    def forward(self, x):
        y = self.ghost1(x)
        y = self.bn_dw(self.conv_dw(y)) if hasattr(self, "conv_dw") else y
        return self.ghost2(self.se(y)) + self.shortcut(x)


class RepGhostNet(nn.Module):
    def __init__(self, *, plain, deploy=False):
        super().__init__()
        block = partial(GhostBlock, plain=plain, deploy=deploy)
        self.conv_stem = nn.Conv2d(3, 8, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.blocks = nn.Sequential(
            nn.Sequential(block(8, 8, 8, 3)),
            nn.Sequential(block(8, 12, 10, 5, stride=2, se=True), block(10, 12, 10, 5)),
        )
        self.classifier = nn.Linear(10, 5)

    def forward(self, x):
        x = self.blocks(self.bn1(self.conv_stem(x)).relu())
        return self.classifier(x.mean((2, 3)))


# --- GhostNetV3


def branches(module, prefix, width, out, k, *, groups=1, stride=1, scale=False, skip=False):
    """Add three convolutions, and if asked for a 1x1 and a norm, under names with one prefix."""
    pair = partial(conv_norm, stride=stride, groups=groups)
    made = [pair(width, out, k, padding=k // 2) for _ in range(3)]
    module.add_module(f"{prefix}_rpr_conv", nn.ModuleList(made))
    if scale:
        made.append(pair(width, out, 1))
        module.add_module(f"{prefix}_rpr_scale", made[-1])
    if skip:
        made.append(nn.BatchNorm2d(width))
        module.add_module(f"{prefix}_rpr_skip", made[-1])
    return made


class GhostModuleV3(nn.Module):
    def __init__(self, width, out, *, act, gate, deploy):
        super().__init__()
        half = out // 2
        last = nn.ReLU() if act else nn.Identity()
        if gate:
            options = {"groups": out, "bias": False}
            self.short_conv = nn.Sequential(
                *(nn.Conv2d(width, out, 1, bias=False), nn.BatchNorm2d(out)),
                *(nn.Conv2d(out, out, (1, 5), padding=(0, 2), **options), nn.BatchNorm2d(out)),
                *(nn.Conv2d(out, out, (5, 1), padding=(2, 0), **options), nn.BatchNorm2d(out)),
            )
        self.act, self.gate = last, gate
        if deploy:
            self.primary_conv = nn.Sequential(nn.Conv2d(width, half, 1))
            self.cheap_operation = nn.Sequential(nn.Conv2d(half, half, 3, padding=1, groups=half))
            self.primary, self.cheap = [self.primary_conv], [self.cheap_operation]
        else:
            self.primary = branches(self, "primary", width, half, 1, skip=width == half)
            self.cheap = branches(self, "cheap", half, half, 3, groups=half, scale=True, skip=True)

    def forward(self, x):
        a = self.act(sum(branch(x) for branch in self.primary))
        b = self.act(sum(branch(a) for branch in self.cheap))
        y = torch.cat([a, b], 1)
        if not self.gate:
            return y
        gate = self.short_conv(nn.functional.avg_pool2d(x, 2)).sigmoid()
        return y * nn.functional.interpolate(gate, y.shape[-2:])


class GhostBlockV3(nn.Module):
    def __init__(self, width, inner, out, k, *, stride=1, se=False, gate=True, deploy):
        super().__init__()
        self.ghost1 = GhostModuleV3(width, inner, act=True, gate=gate, deploy=deploy)
        self.deep = []
        if stride > 1 and deploy:
            self.conv_dw = nn.Conv2d(inner, inner, k, 2, k // 2, groups=inner)
            self.deep = [self.conv_dw]
        elif stride > 1:
            self.deep = branches(self, "dw", inner, inner, k, groups=inner, stride=2, scale=True)
        self.se = Excitation(inner, "conv_reduce", "conv_expand") if se else nn.Identity()
        self.ghost2 = GhostModuleV3(inner, out, act=False, gate=False, deploy=deploy)
        self.shortcut = nn.Sequential()
        if width != out or stride > 1:
            layers = [nn.Conv2d(width, width, k, stride, k // 2, groups=width, bias=False)]
            layers += [nn.BatchNorm2d(width), nn.Conv2d(width, out, 1, bias=False)]
            self.shortcut = nn.Sequential(*layers, nn.BatchNorm2d(out))

    def forward(self, x):
        y = self.ghost1(x)
        y = sum(branch(y) for branch in self.deep) if self.deep else y
        return self.ghost2(self.se(y)) + self.shortcut(x)


class GhostNetV3(nn.Module):
    def __init__(self, *, deploy=False):
        super().__init__()
        block = partial(GhostBlockV3, deploy=deploy)
        self.conv_stem = nn.Conv2d(3, 8, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.blocks = nn.Sequential(
            nn.Sequential(block(8, 16, 8, 3, gate=False)),
            nn.Sequential(block(8, 12, 10, 5, stride=2, se=True), block(10, 12, 10, 5)),
        )
        self.classifier = nn.Linear(10, 5)

    def forward(self, x):
        x = self.blocks(self.bn1(self.conv_stem(x)).relu())
        return self.classifier(x.mean((2, 3)))


# --- RepNeXt


def depthwise(channels, kernel, *, stride=1, bias=True, dilation=1, one_axis=False):
    kernel = (kernel, kernel) if isinstance(kernel, int) else kernel
    pad = tuple(dilation * (k - 1) // 2 for k in kernel)
    if one_axis:
        stride = tuple(stride if k > 1 else 1 for k in kernel)
    return nn.Conv2d(channels, channels, kernel, stride, pad, dilation, groups=channels, bias=bias)


class Small(nn.Module):
    def __init__(self, channels, stride):
        super().__init__()
        self.side_by_side = stride == 1
        one = partial(
            depthwise, channels, stride=stride, bias=self.side_by_side, one_axis=stride > 1
        )
        self.conv_3_3 = depthwise(channels, 3, stride=stride)
        self.conv_3_w = one((1, 3))
        self.conv_3_h = one((3, 1))
        self.conv_2_2 = depthwise(channels, 2, stride=stride, dilation=2)

    def forward(self, x):
        y = self.conv_3_3(x) + self.conv_2_2(x)
        if self.side_by_side:
            return y + self.conv_3_h(x) + self.conv_3_w(x)
        return y + self.conv_3_h(self.conv_3_w(x))


class Medium(nn.Module):
    def __init__(self, channels, stride):
        super().__init__()
        one = partial(depthwise, channels, stride=stride, bias=False, one_axis=True)
        self.conv_7_7 = depthwise(channels, 7, stride=stride)
        self.conv_5_3 = depthwise(channels, (5, 3), stride=stride)
        self.conv_3_5 = depthwise(channels, (3, 5), stride=stride)
        self.conv_7_w, self.conv_7_h = one((1, 7)), one((7, 1))
        self.conv_5_w, self.conv_5_h = one((1, 5)), one((5, 1))

    def forward(self, x):
        y = self.conv_7_7(x) + self.conv_5_3(x) + self.conv_3_5(x)
        return y + self.conv_7_h(self.conv_7_w(x)) + self.conv_5_h(self.conv_5_w(x))


class Chunks(nn.Module):
    """A quarter of the channels passes, the others meet kernels of 3, 7 and 11."""

    def __init__(self, channels, *, deploy):
        super().__init__()
        c = channels // 4
        self.conv_s = depthwise(c, 3) if deploy else Small(c, 1)
        self.conv_m = depthwise(c, 7) if deploy else Medium(c, 1)
        self.conv_l = nn.Sequential(depthwise(c, (1, 11)), depthwise(c, (11, 1)))

    def forward(self, x):
        i, s, m, wide = x.chunk(4, 1)
        return torch.cat([i, self.conv_s(s), self.conv_m(m), self.conv_l(wide)], 1)


class Copies(nn.Module):
    def __init__(self, channels, *, deploy):
        super().__init__()
        self.conv_s = depthwise(channels, 3, stride=2) if deploy else Small(channels, 2)
        self.conv_m = depthwise(channels, 7, stride=2) if deploy else Medium(channels, 2)

    def forward(self, x):
        return torch.cat([self.conv_s(x), self.conv_m(x)], 1)


class Mixed(nn.Module):
    def __init__(self, mixer, channels, *, residual, deploy):
        super().__init__()
        self.token_mixer = mixer
        self.norm = nn.BatchNorm2d(channels)
        self.channel_mixer = nn.Sequential(
            collapsed(channels, 2 * channels, 1, deploy=deploy),
            nn.GELU(),
            collapsed(2 * channels, channels, 1, deploy=deploy),
        )
        self.residual = residual

    def forward(self, x):
        y = self.norm(self.token_mixer(x))
        return (x if self.residual else y) + self.channel_mixer(y)


def collapsed(width, out, k, stride=1, *, deploy):
    if deploy:
        return nn.Conv2d(width, out, k, stride, k // 2)
    return conv_norm(width, out, k, stride, k // 2, names=("conv", "norm"))


class Heads(nn.Module):
    """Two normed linear layers whose outputs are averaged."""

    def __init__(self, width, classes):
        super().__init__()
        self.head = named(norm=nn.BatchNorm1d(width), linear=nn.Linear(width, classes))
        self.head_dist = named(norm=nn.BatchNorm1d(width), linear=nn.Linear(width, classes))

    def forward(self, x):
        return (self.head(x) + self.head_dist(x)) / 2


class RepNext(nn.Module):
    def __init__(self, *, deploy=False):
        super().__init__()
        stem = [
            collapsed(3, 4, 3, 2, deploy=deploy),
            nn.GELU(),
            collapsed(4, 8, 3, 2, deploy=deploy),
        ]
        self.stem = named(stem=nn.Sequential(*stem))

        def stage(channels, *, down):
            mix = partial(Mixed, deploy=deploy)
            parts = {"downsample": nn.Identity()}
            if down:
                copies = Copies(channels // 2, deploy=deploy)
                parts["downsample"] = mix(copies, channels, residual=False)
            blocks = [mix(Chunks(channels, deploy=deploy), channels, residual=True) for _ in "ab"]
            return named(**parts, blocks=nn.Sequential(*blocks))

        self.stages = nn.Sequential(stage(8, down=False), stage(16, down=True))
        self.head = nn.Linear(16, 5) if deploy else Heads(16, 5)

    def forward(self, x):
        return self.head(self.stages(self.stem(x)).mean((2, 3)))
