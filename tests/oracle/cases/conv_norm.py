"""RepViT, LeViT, EfficientViT, SHViT, TinyViT, iFormer and Next-ViT."""

from __future__ import annotations

from functools import partial

import timm
import torch
from oracle import nets
from oracle.cases.case import Case, Pair, reparameterized
from oracle.modules import conv_norm as own
from timm.models.nextvit import ConvNormAct, NextConvBlock, NextStage, NextTransformerBlock
from torch import nn

OWN = "module with the official key names"


def built(net, size=64, **options):
    """A net of our own in both forms."""
    torch.manual_seed(0)
    train = nets.randomise(lively(net(**options)))
    return Pair(train, net(**options, deploy=True), nets.image(3, size, size))


def stock(name, size=64, **options):
    """A net of timm, of a few channels."""
    torch.manual_seed(0)
    net = lively(timm.create_model(name, num_classes=5, **options))
    return reparameterized(net, nets.image(3, size, size))


def lively(net):
    """Kernels of unit gain: with those of training's start, attention hardly attends."""
    with torch.no_grad():
        for kernel in (p for p in net.parameters() if p.ndim > 1):
            kernel.normal_(std=kernel[0].numel() ** -0.5)
    return net


def nextvit():
    """Stages of timm's Next-ViT, whose widths are fixed, with fewer channels."""
    torch.manual_seed(0)
    stages = [
        NextStage(8, [32, 32], [NextConvBlock] * 2, stride=1),
        NextStage(
            32, [64, 128], [NextConvBlock, NextTransformerBlock], sr_ratio=4, mix_block_ratio=0.75
        ),
        NextStage(128, [128], [NextTransformerBlock], sr_ratio=1, mix_block_ratio=0.75),
    ]
    net = own.named(
        stem=nn.Sequential(ConvNormAct(3, 8, 3, 2), ConvNormAct(8, 8, 3, 2)),
        stages=nn.Sequential(*stages),
        norm=nn.BatchNorm2d(128),
        pool=nn.AdaptiveAvgPool2d(1),
        flat=nn.Flatten(),
        head=own.named(fc=nn.Linear(128, 5)),
    )
    return reparameterized(lively(net), nets.image(3, 66, 70))


def official(recipe, net, **options):
    return Case(recipe, "official", OWN, partial(built, net, **options))


def of_timm(recipe, oracle, name, **options):
    return Case(recipe, "timm", f"timm {oracle}", partial(stock, name, **options))


REPVIT = {"embed_dim": (8, 16, 24), "depth": (1, 2, 1)}
LEVIT = {
    "size": 128,
    "img_size": 128,
    "embed_dim": (16, 24, 32),
    "key_dim": 4,
    "num_heads": 2,
    "depth": (1, 1, 1),
}
EFFICIENTVIT = {
    "size": 128,
    "img_size": 128,
    "embed_dim": (16, 24, 32),
    "key_dim": (4,) * 3,
    "depth": (1,) * 3,
    "num_heads": (2,) * 3,
}
SHVIT = {"embed_dim": (16, 24, 32), "partial_dim": (8, 8, 16), "depth": (1, 2, 1)}
TINYVIT = {
    "embed_dims": (8, 16, 24),
    "depths": (1, 1, 1),
    "num_heads": (1, 2, 3),
    "window_sizes": (7, 7, 2),
}
IFORMER = {"dims": (8, 12, 16, 24), "depths": (1, 1, 5, 3), "attn_groups": (0, 0, 1, 1)}

CASES = [
    official("repvit", own.RepViT, distilled=True),
    official("repvit", own.RepViT, distilled=False, first_release=True),
    of_timm("repvit", "repvit_m0_9, repvit_m1", "repvit_m0_9", **REPVIT),
    of_timm("repvit", "repvit_m0_9, repvit_m1", "repvit_m1", distillation=False, **REPVIT),
    official("levit", own.LeViT),
    of_timm("levit", "levit_128s, levit_conv_256d", "levit_128s", **LEVIT),
    of_timm("levit", "levit_128s, levit_conv_256d", "levit_conv_256d", **LEVIT),
    official("efficientvit-msra", own.EfficientViT),
    of_timm("efficientvit-msra", "efficientvit_m0", "efficientvit_m0", **EFFICIENTVIT),
    official("shvit", own.SHViT),
    of_timm("shvit", "shvit_s1", "shvit_s1", **SHVIT),
    official("tinyvit", own.TinyViT, size=32),
    of_timm("tinyvit", "tiny_vit_5m_224", "tiny_vit_5m_224", **TINYVIT),
    official("iformer", own.IFormer, distilled=True),
    official("iformer", own.IFormer, distilled=False),
    of_timm("iformer", "iformer_t, iformer_m_distilled", "iformer_t", **IFORMER),
    of_timm("iformer", "iformer_t, iformer_m_distilled", "iformer_m_distilled", **IFORMER),
    official("nextvit", own.NextViT, size=33),
    Case("nextvit", "timm", "blocks of timm nextvit_small", nextvit),
]
