"""FastViT and the text encoder of MobileCLIP, small, with Apple's names."""

from __future__ import annotations

import torch
from oracle.nets import named
from torch import nn


def conv_norm(width, out, kernel, stride, groups):
    pad = tuple(k // 2 for k in kernel)
    conv = nn.Conv2d(width, out, kernel, stride, pad, groups=groups, bias=False)
    return named(conv=conv, bn=nn.BatchNorm2d(out))


class Squeeze(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.reduce = nn.Conv2d(channels, 4, 1)
        self.expand = nn.Conv2d(4, channels, 1)

    def forward(self, x):
        return x * self.expand(self.reduce(x.mean((2, 3), keepdim=True)).relu()).sigmoid()


class MobileOneBlock(nn.Module):
    """Any number of convolutions, a 1x1 unless the kernel has one row, a norm where it fits."""

    def __init__(
        self, width, out, kernel, *, stride=1, groups=1, convs=1, se=False, act=True, deploy=False
    ):
        super().__init__()
        kernel = (kernel, kernel) if isinstance(kernel, int) else kernel
        self.se = Squeeze(out) if se else nn.Identity()
        self.act = nn.GELU() if act else nn.Identity()
        self.branches = []
        if deploy:
            pad = tuple(k // 2 for k in kernel)
            self.reparam_conv = nn.Conv2d(width, out, kernel, stride, pad, groups=groups)
            self.branches = [self.reparam_conv]
            return
        if width == out and stride == 1:
            self.rbr_skip = nn.BatchNorm2d(width)
            self.branches.append(self.rbr_skip)
        if convs:
            made = [conv_norm(width, out, kernel, stride, groups) for _ in range(convs)]
            self.rbr_conv = nn.ModuleList(made)
            self.branches += made
        if convs and kernel[0] > 1:
            self.rbr_scale = conv_norm(width, out, (1, 1), stride, groups)
            self.branches.append(self.rbr_scale)

    def forward(self, x):
        return self.act(self.se(sum(branch(x) for branch in self.branches)))


class LargeKernel(nn.Module):
    """A 7x7 and a 3x3 that double the channels, in the first FastViT without, in MobileCLIP with
    squeeze-and-excitation."""

    def __init__(self, width, out, *, se=False, deploy=False):
        super().__init__()
        self.se = Squeeze(out) if se else nn.Identity()
        if deploy:
            self.lkb_reparam = nn.Conv2d(width, out, 7, 2, 3, groups=width)
        else:
            self.lkb_origin = conv_norm(width, out, (7, 7), 2, width)
            self.small_conv = conv_norm(width, out, (3, 3), 2, width)

    def forward(self, x):
        if hasattr(self, "lkb_reparam"):
            return nn.functional.gelu(self.se(self.lkb_reparam(x)))
        return nn.functional.gelu(self.se(self.lkb_origin(x) + self.small_conv(x)))


class RepMixer(nn.Module):
    def __init__(self, channels, kernel, *, scale=True, deploy=False):
        super().__init__()
        if deploy:
            pad = tuple(k // 2 for k in kernel)
            self.reparam_conv = nn.Conv2d(channels, channels, kernel, 1, pad, groups=channels)
            return
        options = {"groups": channels, "act": False}
        self.norm = MobileOneBlock(channels, channels, kernel, convs=0, **options)
        self.mixer = MobileOneBlock(channels, channels, kernel, **options)
        self.layer_scale = nn.Parameter(torch.randn(channels, 1, 1)) if scale else None

    def forward(self, x):
        if hasattr(self, "reparam_conv"):
            return self.reparam_conv(x)
        y = self.mixer(x) - self.norm(x)
        return x + (y if self.layer_scale is None else self.layer_scale * y)


class FeedForward(nn.Module):
    """Its 7x7 keeps the norm in deploy form."""

    def __init__(self, channels, kernel):
        super().__init__()
        self.conv = conv_norm(channels, channels, kernel, 1, channels)
        self.fc1 = nn.Conv2d(channels, 2 * channels, 1)
        self.fc2 = nn.Conv2d(2 * channels, channels, 1)

    def forward(self, x):
        return self.fc2(nn.functional.gelu(self.fc1(self.conv(x))))


class RepMixerBlock(nn.Module):
    def __init__(self, channels, kernel=(3, 3), wide=(7, 7), *, scale=True, deploy=False):
        super().__init__()
        self.token_mixer = RepMixer(channels, kernel, scale=scale, deploy=deploy)
        self.convffn = FeedForward(channels, wide)
        self.layer_scale = nn.Parameter(torch.randn(channels, 1, 1))

    def forward(self, x):
        x = self.token_mixer(x)
        return x + self.layer_scale * self.convffn(x)


class Attention(nn.Module):
    """Stands for attention: two linear layers between the norm and the residual."""

    def __init__(self, channels):
        super().__init__()
        self.qkv = nn.Linear(channels, channels, bias=False)
        self.proj = nn.Linear(channels, channels)

    def forward(self, x):
        return self.proj(self.qkv(x.permute(0, 2, 3, 1)).softmax(-1)).permute(0, 3, 1, 2)


class AttentionBlock(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        self.token_mixer = Attention(channels)
        self.convffn = FeedForward(channels, (7, 7))
        self.layer_scale_1 = nn.Parameter(torch.randn(channels, 1, 1))
        self.layer_scale_2 = nn.Parameter(torch.randn(channels, 1, 1))

    def forward(self, x):
        x = x + self.layer_scale_1 * self.token_mixer(self.norm(x))
        return x + self.layer_scale_2 * self.convffn(x)


class Position(nn.Module):
    def __init__(self, channels, *, deploy=False):
        super().__init__()
        name = "reparam_conv" if deploy else "pe"
        self.add_module(name, nn.Conv2d(channels, channels, 7, 1, 3, groups=channels))

    def forward(self, x):
        return self.pe(x) + x if hasattr(self, "pe") else self.reparam_conv(x)


class FastViT(nn.Module):
    def __init__(self, *, deploy=False):
        super().__init__()
        one, d = MobileOneBlock, {"deploy": deploy}
        stem = [
            one(3, 8, 3, stride=2, **d),
            one(8, 8, 3, stride=2, groups=8, **d),
            one(8, 8, 1, **d),
        ]
        self.patch_embed = nn.Sequential(*stem)
        narrow, wide = 8, 16
        self.network = nn.ModuleList(
            [
                nn.Sequential(RepMixerBlock(narrow, **d), RepMixerBlock(narrow, scale=False, **d)),
                named(proj=nn.Sequential(LargeKernel(narrow, wide, **d), one(wide, wide, 1, **d))),
                nn.Sequential(RepMixerBlock(wide, **d)),
                named(proj=nn.Sequential(LargeKernel(wide, 32, se=True, **d), one(32, 32, 1, **d))),
                Position(32, **d),
                nn.Sequential(AttentionBlock(32)),
            ]
        )
        self.conv_exp = one(32, 64, 3, groups=32, se=True, **d)
        self.head = nn.Linear(64, 5)

    def forward(self, x):
        x = self.patch_embed(x)
        for part in self.network:
            x = part(x)
        return self.head(self.conv_exp(x).mean((2, 3)))


class MobileClip(nn.Module):
    """Both encoders; the text, here columns of the image, is mixed along one axis."""

    def __init__(self, *, deploy=False):
        super().__init__()
        self.image_encoder = named(model=FastViT(deploy=deploy))
        block = RepMixerBlock(3, (1, 11), (1, 11), deploy=deploy)
        self.text_encoder = named(transformer=nn.Sequential(block))
        self.logit_scale = nn.Parameter(torch.ones([]))

    def forward(self, x):
        text = self.text_encoder(x[:, :, :1])
        return self.image_encoder(x) * text.mean() * self.logit_scale
