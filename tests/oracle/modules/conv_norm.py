"""Nets of the `Conv2d_BN` scheme and Next-ViT, under the key names of their own repositories.

Every net is built in train form or, with `deploy`, in the form that its repository's own fusing
leaves behind. Small, and reduced to what the forward pass of the original does in eval mode.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn


def named(**modules):
    return nn.Sequential(OrderedDict(modules))


def conv_bn(width, out, k=1, stride=1, groups=1, *, deploy):
    conv = nn.Conv2d(width, out, k, stride, k // 2, groups=groups, bias=deploy)
    return conv if deploy else named(c=conv, bn=nn.BatchNorm2d(out))


def bn_linear(width, out, *, deploy):
    linear = nn.Linear(width, out)
    return linear if deploy else named(bn=nn.BatchNorm1d(width), l=linear)


class LinearBN(nn.Module):
    def __init__(self, width, out):
        super().__init__()
        self.c = nn.Linear(width, out, bias=False)
        self.bn = nn.BatchNorm1d(out)

    def forward(self, x):
        x = self.c(x)
        return self.bn(x.flatten(0, 1)).reshape_as(x)


def linear_bn(width, out, *, deploy):
    return nn.Linear(width, out) if deploy else LinearBN(width, out)


class Residual(nn.Module):
    def __init__(self, m):
        super().__init__()
        self.m = m

    def forward(self, x):
        return x + self.m(x)


class Gate(nn.Module):
    """Squeeze-and-excitation, as timm's of the time named it."""

    def __init__(self, width):
        super().__init__()
        self.conv_reduce = nn.Conv2d(width, 4, 1)
        self.conv_expand = nn.Conv2d(4, width, 1)

    def forward(self, x):
        return x * self.conv_expand(self.conv_reduce(x.mean((2, 3), keepdim=True)).relu()).sigmoid()


def stem(width, steps, act, *, deploy):
    """3x3 convolutions of stride 2, each twice as wide as the one before."""
    layers, into = [], 3
    for i in range(steps):
        out = width >> (steps - 1 - i)
        layers += [conv_bn(into, out, 3, 2, deploy=deploy), act()]
        into = out
    return nn.Sequential(*layers[:-1])


class Biased(nn.Module):
    """An attention that stores a bias per offset, and which offset lies between two places."""

    def offsets(self, heads, places, others):
        table = {}
        rows = [
            [table.setdefault(tuple(map(abs, (a - c, b - d))), len(table)) for c, d in others]
            for a, b in places
        ]
        self.attention_biases = nn.Parameter(torch.randn(heads, len(table)))
        self.register_buffer("attention_bias_idxs", torch.tensor(rows))

    def bias(self):
        return self.attention_biases[:, self.attention_bias_idxs]


def grid(size, step=1):
    return [(y, x) for y in range(0, size, step) for x in range(0, size, step)]


def attend(q, k, v, bias=0.0):
    """Attend over the last axis but one; `bias` is added to the scores."""
    return ((q @ k.transpose(-1, -2)) * q.shape[-1] ** -0.5 + bias).softmax(-1) @ v


class Heads(nn.Module):
    """One head, or two whose outputs are averaged; they lie in the net itself."""

    def add_heads(self, width, distilled, deploy):
        self.head = bn_linear(width, 5, deploy=deploy)
        if distilled:
            self.head_dist = bn_linear(width, 5, deploy=deploy)

    def heads(self, x):
        return (
            (self.head(x) + self.head_dist(x)) / 2 if hasattr(self, "head_dist") else self.head(x)
        )


class Classifier(nn.Module):
    """The same in a module of its own, which fusing replaces by one linear layer."""

    def __init__(self, width, distilled):
        super().__init__()
        self.classifier = bn_linear(width, 5, deploy=False)
        if distilled:
            self.classifier_dist = bn_linear(width, 5, deploy=False)

    def forward(self, x):
        heads = list(self.children())
        return sum(head(x) for head in heads) / len(heads)


def classifier(width, distilled, *, deploy):
    return nn.Linear(width, 5) if deploy else Classifier(width, distilled)


# --- RepViT


class RepVGGDW(nn.Module):
    """A depthwise 3x3, a depthwise 1x1 and the input; the first release had no norm behind them."""

    def __init__(self, width, *, first_release):
        super().__init__()
        self.conv = conv_bn(width, width, 3, groups=width, deploy=False)
        if first_release:
            self.conv1 = conv_bn(width, width, 1, groups=width, deploy=False)
        else:
            self.conv1 = nn.Conv2d(width, width, 1, groups=width)
            self.bn = nn.BatchNorm2d(width)

    def forward(self, x):
        y = self.conv(x) + self.conv1(x) + x
        return self.bn(y) if hasattr(self, "bn") else y


class RepViTBlock(nn.Module):
    def __init__(self, width, out, *, gate, first_release, deploy):
        super().__init__()
        se = Gate(width) if gate else nn.Identity()
        if width != out:
            dw = conv_bn(width, width, 3, 2, width, deploy=deploy)
            self.token_mixer = nn.Sequential(dw, se, conv_bn(width, out, deploy=deploy))
        elif deploy:
            self.token_mixer = nn.Sequential(nn.Conv2d(width, width, 3, 1, 1, groups=width), se)
        else:
            self.token_mixer = nn.Sequential(RepVGGDW(width, first_release=first_release), se)
        mlp = conv_bn(out, 2 * out, deploy=deploy), nn.GELU(), conv_bn(2 * out, out, deploy=deploy)
        self.channel_mixer = Residual(nn.Sequential(*mlp))

    def forward(self, x):
        return self.channel_mixer(self.token_mixer(x))


class RepViT(nn.Module):
    def __init__(self, *, distilled, first_release=False, deploy=False):
        super().__init__()
        layers = [stem(8, 2, nn.GELU, deploy=deploy)]
        for width, out, gate in ((8, 8, True), (8, 8, False), (8, 16, True), (16, 16, False)):
            kind = {"gate": gate, "first_release": first_release, "deploy": deploy}
            layers.append(RepViTBlock(width, out, **kind))
        self.features = nn.ModuleList(layers)
        self.classifier = classifier(16, distilled, deploy=deploy)

    def forward(self, x):
        for layer in self.features:
            x = layer(x)
        return self.classifier(x.mean((2, 3)))


# --- LeViT


class LeViTAttention(Biased):
    """Two heads; with `step` the queries are every `step`-th place, and the output is wider."""

    def __init__(self, width, out, size, step, *, deploy):
        super().__init__()
        self.size, self.step, self.key = size, step, 4
        if step == 1:
            self.qkv = linear_bn(width, 2 * (2 * 4 + 8), deploy=deploy)
        else:
            self.kv = linear_bn(width, 2 * (4 + 8), deploy=deploy)
            self.q = nn.Sequential(nn.Identity(), linear_bn(width, 2 * 4, deploy=deploy))
        self.proj = nn.Sequential(nn.Hardswish(), linear_bn(2 * 8, out, deploy=deploy))
        self.offsets(2, grid(size, step), grid(size))

    def forward(self, x):
        n, places, width = x.shape
        if self.step == 1:
            q, k, v = self.qkv(x).view(n, places, 2, -1).split([4, 4, 8], dim=3)
        else:
            k, v = self.kv(x).view(n, places, 2, -1).split([4, 8], dim=3)
            x = x.view(n, self.size, self.size, width)[:, :: self.step, :: self.step]
            q = self.q(x.reshape(n, -1, width))
            q = q.view(n, -1, 2, 4)
        q, k, v = (t.transpose(1, 2) for t in (q, k, v))
        return self.proj(attend(q, k, v, self.bias()).transpose(1, 2).flatten(2))


class LeViT(Heads):
    def __init__(self, *, deploy=False):
        super().__init__()

        def mlp(width):
            first = linear_bn(width, 2 * width, deploy=deploy)
            second = linear_bn(2 * width, width, deploy=deploy)
            return Residual(nn.Sequential(first, nn.Hardswish(), second))

        self.patch_embed = stem(16, 4, nn.Hardswish, deploy=deploy)
        self.blocks = nn.Sequential(
            Residual(LeViTAttention(16, 16, 4, 1, deploy=deploy)),
            mlp(16),
            LeViTAttention(16, 24, 4, 2, deploy=deploy),
            mlp(24),
            Residual(LeViTAttention(24, 24, 2, 1, deploy=deploy)),
        )
        self.add_heads(24, distilled=True, deploy=deploy)

    def forward(self, x):
        x = self.patch_embed(x).flatten(2).transpose(1, 2)
        return self.heads(self.blocks(x).mean(1))


# --- EfficientViT of Microsoft Research, and SHViT, which builds on it


def ffn(width, *, deploy):
    first, second = (
        conv_bn(width, 2 * width, deploy=deploy),
        conv_bn(2 * width, width, deploy=deploy),
    )
    return Residual(named(pw1=first, act=nn.ReLU(), pw2=second))


class PatchMerging(nn.Module):
    def __init__(self, width, out, *, deploy):
        super().__init__()
        hidden = 4 * width
        self.conv1 = conv_bn(width, hidden, deploy=deploy)
        self.conv2 = conv_bn(hidden, hidden, 3, 2, hidden, deploy=deploy)
        self.se = Gate(hidden)
        self.conv3 = conv_bn(hidden, out, deploy=deploy)

    def forward(self, x):
        return self.conv3(self.se(self.conv2(self.conv1(x).relu()).relu()))


def depthwise(width, *, folded, deploy):
    """A depthwise 3x3 added to its input; `folded` says that deploying adds it to the kernel."""
    conv = conv_bn(width, width, 3, 1, width, deploy=deploy)
    return conv if folded and deploy else Residual(conv)


class GroupAttention(Biased):
    """Each head reads its part of the channels, and what the head before it found."""

    def __init__(self, width, size, *, deploy):
        super().__init__()
        part = width // 2
        self.qkvs = nn.ModuleList(conv_bn(part, 2 * 4 + part, deploy=deploy) for _ in range(2))
        self.dws = nn.ModuleList(conv_bn(4, 4, k, groups=4, deploy=deploy) for k in (5, 3))
        self.proj = nn.Sequential(nn.ReLU(), conv_bn(width, width, deploy=deploy))
        self.offsets(2, grid(size), grid(size))

    def forward(self, x):
        n, width, *space = x.shape
        found, y = [], 0
        for i, part in enumerate(x.chunk(2, dim=1)):
            q, k, v = self.qkvs[i](y + part).split([4, 4, width // 2], dim=1)
            q, k, v = (t.flatten(2).transpose(1, 2) for t in (self.dws[i](q), k, v))
            y = attend(q, k, v, self.bias()[i]).transpose(1, 2).view(n, -1, *space)
            found.append(y)
        return self.proj(torch.cat(found, 1))


class EfficientViT(Heads):
    def __init__(self, *, deploy=False):
        super().__init__()

        def dw(width):
            return depthwise(width, folded=False, deploy=deploy)

        def block(width, size):
            mixer = Residual(named(attn=GroupAttention(width, size, deploy=deploy)))
            parts = {"dw0": dw(width), "ffn0": ffn(width, deploy=deploy), "mixer": mixer}
            return named(**parts, dw1=dw(width), ffn1=ffn(width, deploy=deploy))

        self.patch_embed = stem(16, 4, nn.ReLU, deploy=deploy)
        self.blocks1 = nn.Sequential(block(16, 4))
        self.blocks2 = nn.Sequential(
            nn.Sequential(dw(16), ffn(16, deploy=deploy)),
            PatchMerging(16, 24, deploy=deploy),
            nn.Sequential(dw(24), ffn(24, deploy=deploy)),
            block(24, 2),
        )
        self.add_heads(24, distilled=False, deploy=deploy)

    def forward(self, x):
        return self.heads(self.blocks2(self.blocks1(self.patch_embed(x))).mean((2, 3)))


class SingleHead(nn.Module):
    """Attends over some of the channels and passes the others on."""

    def __init__(self, width, part, *, deploy):
        super().__init__()
        self.part = part
        self.pre_norm = nn.GroupNorm(1, part)
        self.qkv = conv_bn(part, 2 * 4 + part, deploy=deploy)
        self.proj = nn.Sequential(nn.ReLU(), conv_bn(width, width, deploy=deploy))

    def forward(self, x):
        first, rest = x[:, : self.part], x[:, self.part :]
        q, k, v = self.qkv(self.pre_norm(first)).split([4, 4, self.part], dim=1)
        q, k, v = (t.flatten(2).transpose(1, 2) for t in (q, k, v))
        first = attend(q, k, v).transpose(1, 2).reshape_as(first)
        return self.proj(torch.cat([first, rest], 1))


class SHViT(Heads):
    def __init__(self, *, deploy=False):
        super().__init__()

        def dw(width):
            return depthwise(width, folded=True, deploy=deploy)

        def block(width, *, attention):
            mixer = Residual(SingleHead(width, 8, deploy=deploy)) if attention else nn.Identity()
            return named(conv=dw(width), mixer=mixer, ffn=ffn(width, deploy=deploy))

        self.patch_embed = stem(16, 4, nn.ReLU, deploy=deploy)
        self.blocks1 = nn.Sequential(block(16, attention=False))
        self.blocks2 = nn.Sequential(
            nn.Sequential(dw(16), ffn(16, deploy=deploy)),
            PatchMerging(16, 24, deploy=deploy),
            nn.Sequential(dw(24), ffn(24, deploy=deploy)),
            block(24, attention=True),
        )
        self.add_heads(24, distilled=True, deploy=deploy)

    def forward(self, x):
        return self.heads(self.blocks2(self.blocks1(self.patch_embed(x))).mean((2, 3)))


# --- TinyViT


class ConvTrio(nn.Module):
    """1x1, depthwise 3x3, 1x1: a residual block, or the way to the next stage."""

    def __init__(self, width, hidden, out, stride, *, deploy):
        super().__init__()
        self.conv1 = conv_bn(width, hidden, deploy=deploy)
        self.conv2 = conv_bn(hidden, hidden, 3, stride, hidden, deploy=deploy)
        self.conv3 = conv_bn(hidden, out, deploy=deploy)
        self.residual = stride == 1

    def forward(self, x):
        gelu = nn.functional.gelu
        y = self.conv3(gelu(self.conv2(gelu(self.conv1(x)))))
        return gelu(x + y) if self.residual else y


class TinyAttention(Biased):
    def __init__(self, width, size):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.offsets(1, grid(size), grid(size))

    def forward(self, x):
        q, k, v = self.qkv(self.norm(x)).chunk(3, dim=2)
        return self.proj(attend(q, k, v, self.bias()))


class TinyViTBlock(nn.Module):
    def __init__(self, width, size, *, deploy):
        super().__init__()
        self.attn = TinyAttention(width, size)
        hidden = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.mlp = named(norm=nn.LayerNorm(width), fc1=hidden[0], act=nn.GELU(), fc2=hidden[1])
        self.local_conv = conv_bn(width, width, 3, 1, width, deploy=deploy)

    def forward(self, x):
        y = x.flatten(2).transpose(1, 2)
        y = (y + self.attn(y)).transpose(1, 2).reshape_as(x)
        y = self.local_conv(y).flatten(2).transpose(1, 2)
        return (y + self.mlp(y)).transpose(1, 2).reshape_as(x)


class TinyViT(nn.Module):
    def __init__(self, *, deploy=False):
        super().__init__()
        self.patch_embed = named(seq=stem(8, 2, nn.GELU, deploy=deploy))
        blocks = nn.Sequential(ConvTrio(8, 32, 8, 1, deploy=deploy))
        first = named(blocks=blocks, downsample=ConvTrio(8, 16, 16, 2, deploy=deploy))
        second = named(blocks=nn.Sequential(TinyViTBlock(16, 4, deploy=deploy)))
        self.layers = nn.Sequential(first, second)
        self.norm_head = nn.LayerNorm(16)
        self.head = nn.Linear(16, 5)

    def forward(self, x):
        return self.head(self.norm_head(self.layers(self.patch_embed(x)).mean((2, 3))))


# --- iFormer


class ScaledResidual(Residual):
    def __init__(self, m, width):
        super().__init__(m)
        self.gamma = nn.Parameter(torch.randn(1, width, 1, 1))

    def forward(self, x):
        return x + self.gamma * self.m(x)


class LargeRep(nn.Module):
    """Depthwise 7x7, 3x3 and 1x1 and the input, with a norm behind the sum."""

    def __init__(self, width):
        super().__init__()
        self.conv = conv_bn(width, width, 7, groups=width, deploy=False)
        self.conv1 = conv_bn(width, width, 3, groups=width, deploy=False)
        self.conv2 = nn.Conv2d(width, width, 1, groups=width)
        self.bn = nn.BatchNorm2d(width)

    def forward(self, x):
        return self.bn(self.conv(x) + self.conv1(x) + self.conv2(x) + x)


class Modulation(nn.Module):
    def __init__(self, width, *, deploy):
        super().__init__()
        self.q = conv_bn(width, width // 2, deploy=deploy)
        self.k = conv_bn(width, width // 2, deploy=deploy)
        self.v_gate = conv_bn(width, 2 * width, deploy=deploy)
        self.proj = conv_bn(width, width, deploy=deploy)

    def forward(self, x):
        v, gate = self.v_gate(x).sigmoid().chunk(2, dim=1)
        q, k, v = (t.flatten(2).transpose(1, 2) for t in (self.q(x), self.k(x), v))
        return self.proj(attend(q, k, v).transpose(1, 2).reshape_as(gate) * gate)


class IFormer(nn.Module):
    def __init__(self, *, distilled, deploy=False):
        super().__init__()

        def conv_block(width, *, rep):
            dw = conv_bn(width, width, 7, 1, width, deploy=deploy)
            layers = [LargeRep(width) if rep and not deploy else dw]
            layers += mlp(width)
            mixer = ScaledResidual(nn.Sequential(*layers), width)
            return named(block=named(token_channel_mixer=mixer))

        def mlp(width):
            first = conv_bn(width, 3 * width, deploy=deploy)
            return [first, nn.GELU(), conv_bn(3 * width, width, deploy=deploy)]

        def encoding(width):
            return named(block=named(cpe=depthwise(width, folded=True, deploy=deploy)))

        def attention(width):
            mixer = Residual(Modulation(width, deploy=deploy))
            return named(block=named(token_channel_mixer=mixer))

        edge = named(
            conv_exp_bn1=conv_bn(4, 16, 5, 2, deploy=deploy),
            act=nn.GELU(),
            conv_pwl_bn2=conv_bn(16, 8, deploy=deploy),
        )
        self.downsample_layers = nn.ModuleList(
            [
                nn.Sequential(conv_bn(3, 4, 5, 2, deploy=deploy), nn.GELU(), edge),
                nn.Sequential(conv_bn(8, 12, 3, 2, deploy=deploy)),
            ]
        )
        feed = named(block=named(channel_mixer=Residual(nn.Sequential(*mlp(12)))))
        self.stages = nn.ModuleList(
            [
                nn.Sequential(conv_block(8, rep=False), conv_block(8, rep=True)),
                nn.Sequential(encoding(12), attention(12), feed, conv_block(12, rep=False)),
            ]
        )
        self.classifier = classifier(12, distilled, deploy=deploy)

    def forward(self, x):
        for downsample, stage in zip(self.downsample_layers, self.stages, strict=True):
            x = stage(downsample(x))
        return self.classifier(x.mean((2, 3)))


# --- Next-ViT; its merged model passes the merged norms by, so here they are gone


def merged(norm, *, deploy):
    return nn.Identity() if deploy else norm


class Projection(nn.Module):
    """Average pool, 1x1 and norm, or nothing where neither size nor width changes."""

    def __init__(self, width, out, stride=1):
        super().__init__()
        self.pool = nn.AvgPool2d(2, 2, ceil_mode=True, count_include_pad=False)
        self.pool = self.pool if stride == 2 else nn.Identity()
        same = (width, stride) == (out, 1)
        self.conv = nn.Identity() if same else nn.Conv2d(width, out, 1, bias=False)
        self.norm = nn.Identity() if same else nn.BatchNorm2d(out)

    def forward(self, x):
        return self.norm(self.conv(self.pool(x)))


class ConvAttention(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.group_conv3x3 = nn.Conv2d(width, width, 3, 1, 1, groups=width // 4, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.projection = nn.Conv2d(width, width, 1, bias=False)

    def forward(self, x):
        return self.projection(self.norm(self.group_conv3x3(x)).relu())


def pointwise(width):
    first, second = nn.Conv2d(width, 2 * width, 1), nn.Conv2d(2 * width, width, 1)
    return named(conv1=first, act=nn.ReLU(), conv2=second)


class NextConv(nn.Module):
    def __init__(self, width, out, stride, *, deploy):
        super().__init__()
        self.patch_embed = Projection(width, out, stride)
        self.mhca = ConvAttention(out)
        self.norm = merged(nn.BatchNorm2d(out), deploy=deploy)
        self.mlp = pointwise(out)

    def forward(self, x):
        x = self.patch_embed(x)
        x = x + self.mhca(x)
        return x + self.mlp(self.norm(x))


class PooledAttention(nn.Module):
    """Keys and values are averages of `pool` places each, normed once more where `pool` > 1."""

    def __init__(self, width, pool, *, deploy):
        super().__init__()
        self.q, self.k, self.v, self.proj = (nn.Linear(width, width) for _ in range(4))
        self.pool = pool
        if pool > 1:
            self.norm = merged(nn.BatchNorm1d(width), deploy=deploy)

    def forward(self, x):
        q = self.q(x)
        if self.pool > 1:
            x = nn.functional.avg_pool1d(x.transpose(1, 2), self.pool, self.pool)
            x = self.norm(x).transpose(1, 2)
        return self.proj(attend(q, self.k(x), self.v(x)))


class NextTransformer(nn.Module):
    def __init__(self, width, out, pool, stride, *, deploy):
        super().__init__()
        half = out // 2
        self.patch_embed = Projection(width, half, stride)
        self.norm1 = merged(nn.BatchNorm2d(half), deploy=deploy)
        self.e_mhsa = PooledAttention(half, pool, deploy=deploy)
        self.projection = Projection(half, out - half)
        self.mhca = ConvAttention(out - half)
        self.norm2 = merged(nn.BatchNorm2d(out), deploy=deploy)
        self.mlp = pointwise(out)

    def forward(self, x):
        x = self.patch_embed(x)
        y = self.e_mhsa(self.norm1(x).flatten(2).transpose(1, 2))
        x = x + y.transpose(1, 2).reshape_as(x)
        y = self.projection(x)
        x = torch.cat([x, y + self.mhca(y)], dim=1)
        return x + self.mlp(self.norm2(x))


class NextViT(nn.Module):
    def __init__(self, *, deploy=False):
        super().__init__()

        def conv(width, out, stride):
            layer = nn.Conv2d(width, out, 3, stride, 1, bias=False)
            return named(conv=layer, norm=nn.BatchNorm2d(out), act=nn.ReLU())

        self.stem = nn.Sequential(conv(3, 8, 2), conv(8, 8, 2))
        self.features = nn.Sequential(
            NextConv(8, 8, 1, deploy=deploy),
            NextConv(8, 16, 2, deploy=deploy),
            NextTransformer(16, 16, 4, 1, deploy=deploy),
            NextTransformer(16, 24, 1, 2, deploy=deploy),
        )
        self.norm = nn.BatchNorm2d(24)
        self.proj_head = nn.Sequential(nn.Linear(24, 5))

    def forward(self, x):
        return self.proj_head(self.norm(self.features(self.stem(x))).mean((2, 3)))
