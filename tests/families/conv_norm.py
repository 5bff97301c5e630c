"""Nets whose layers take the place of their parents: `X.c` and `X.bn` become `X`."""

from __future__ import annotations

from functools import partial

import numpy as np

from families.sample import Maker, Sample


class Net(Maker):
    """Adds pairs and heads, and remembers where their results go."""

    def __init__(self, conv: str = "c", head: str = "l") -> None:
        super().__init__()
        self.names = conv, head
        self.makes: list[str] = []

    def pair(self, name: str, *shape: int, into: str | None = None) -> None:
        """Add a layer with the norm behind it."""
        self.conv(f"{name}.{self.names[0]}", *shape)
        self.norm(f"{name}.bn", shape[0])
        self.makes.append(name if into is None else into)

    def head(self, name: str, out: int, width: int, *, into: str | None = None) -> None:
        """Add a linear layer with the norm in front of it."""
        self.norm(f"{name}.bn", width)
        self.conv(f"{name}.{self.names[1]}", out, width, bias=True)
        self.makes += [name] if into is None else [into] if into not in self.makes else []

    def rep(self, name: str, width: int, *, legacy: bool = False) -> None:
        """Add a RepVGGDW: 3x3, 1x1 and the input, with a norm behind the sum or behind the 1x1."""
        self.conv(f"{name}.conv.c", width, 1, 3, 3)
        self.norm(f"{name}.conv.bn", width)
        if legacy:
            self.conv(f"{name}.conv1.c", width, 1, 1, 1)
            self.norm(f"{name}.conv1.bn", width)
        else:
            self.conv(f"{name}.conv1", width, 1, 1, 1, bias=True)
            self.norm(f"{name}.bn", width)
        self.makes.append(name)

    def gate(self, name: str, width: int, squeeze: str = "fc1", expand: str = "fc2") -> None:
        """Add squeeze-and-excitation, which stays."""
        self.conv(f"{name}.{squeeze}", 2, width, 1, 1, bias=True)
        self.conv(f"{name}.{expand}", width, 2, 1, 1, bias=True)

    def biases(self, name: str) -> None:
        """Add what attention stores beside its projections; it stays."""
        self.vector(f"{name}.attention_biases", 2, 4)
        self.state[f"{name}.attention_bias_idxs"] = np.arange(4).reshape(2, 2)

    def sample(self, *stays: str) -> Sample:
        return Sample(self.state, tuple(self.makes), stays)


def repvit_official() -> Sample:
    m = Net()
    m.pair("features.0.0", 4, 3, 3, 3)
    m.pair("features.0.2", 8, 4, 3, 3)
    width = 8
    for n, kind in enumerate(("new", "legacy", "strided", "new"), start=1):
        if kind == "strided":
            m.pair(f"features.{n}.token_mixer.0", width, 1, 3, 3)
            m.pair(f"features.{n}.token_mixer.2", 2 * width, width, 1, 1)
            width *= 2
        else:
            m.rep(f"features.{n}.token_mixer.0", width, legacy=kind == "legacy")
        # the last one as in RepViT-SAM, where a block without residual changes the width
        mixer = f"features.{n}.channel_mixer" + ("" if n == 4 else ".m")
        m.pair(f"{mixer}.0", 2 * width, width, 1, 1)
        m.pair(f"{mixer}.2", width, 2 * width, 1, 1)
    m.gate("features.1.token_mixer.1", 8, "conv_reduce", "conv_expand")
    m.gate("features.3.token_mixer.1", 8, "conv_reduce", "conv_expand")
    m.head("classifier.classifier", 5, width, into="classifier")
    m.head("classifier.classifier_dist", 5, width, into="classifier")
    m.conv("neck.0", 4, width, 1, 1)
    return m.sample("features.1.token_mixer.1.", "features.3.token_mixer.1.", "neck.")


def repvit_timm() -> Sample:
    m = Net()
    m.pair("stem.conv1", 4, 3, 3, 3)
    m.pair("stem.conv2", 8, 4, 3, 3)
    blocks = (
        ("stages.0.blocks.0", 8),
        ("stages.1.downsample.pre_block", 8),
        ("stages.1.blocks.0", 16),
    )
    for name, width in blocks:
        m.rep(f"{name}.token_mixer", width, legacy="pre_block" in name)
        m.pair(f"{name}.channel_mixer.conv1", 2 * width, width, 1, 1)
        m.pair(f"{name}.channel_mixer.conv2", width, 2 * width, 1, 1)
    m.gate("stages.0.blocks.0.se", 8)
    m.pair("stages.1.downsample.spatial_downsample", 8, 1, 3, 3)
    m.pair("stages.1.downsample.channel_downsample", 16, 8, 1, 1)
    m.pair("stages.1.downsample.ffn.conv1", 32, 16, 1, 1)
    m.pair("stages.1.downsample.ffn.conv2", 16, 32, 1, 1)
    m.head("head.head", 5, 16, into="head")
    return m.sample("stages.0.blocks.0.se.")


def levit_official() -> Sample:
    m = Net()
    m.pair("patch_embed.0", 4, 3, 3, 3)
    m.pair("patch_embed.2", 8, 4, 3, 3)
    m.pair("blocks.0.m.qkv", 16, 8)
    m.pair("blocks.0.m.proj.1", 8, 8)
    m.pair("blocks.1.m.0", 16, 8)
    m.pair("blocks.1.m.2", 8, 16)
    m.pair("blocks.2.kv", 12, 8)
    m.pair("blocks.2.q.1", 4, 8)
    m.pair("blocks.2.proj.1", 12, 8)
    m.biases("blocks.0.m")
    m.biases("blocks.2")
    m.head("head", 12, 12)  # as wide as it is high: shapes do not tell which comes first
    m.head("head_dist", 12, 12)
    return m.sample("blocks.0.m.attention", "blocks.2.attention")


def levit_timm() -> Sample:
    m = Net("linear", "linear")
    m.pair("stem.conv1", 4, 3, 3, 3)
    m.pair("stem.conv2", 8, 4, 3, 3)
    m.pair("stages.0.blocks.0.attn.qkv", 16, 8)
    m.pair("stages.0.blocks.0.attn.proj.ln", 8, 8)
    m.pair("stages.0.blocks.0.mlp.ln1", 16, 8)
    m.pair("stages.0.blocks.0.mlp.ln2", 8, 16)
    down = "stages.1.downsample.attn_downsample"
    m.pair(f"{down}.kv", 12, 8)
    m.pair(f"{down}.q.ln", 4, 8)
    m.pair(f"{down}.proj.ln", 12, 8)
    m.pair("stages.1.downsample.mlp.ln1", 24, 12)
    m.vector("stages.0.blocks.0.attn.attention_biases", 2, 4)
    m.head("head", 12, 12)
    return m.sample("stages.0.blocks.0.attn.attention_biases")


def efficientvit(style: str) -> Sample:
    official = style == "official"
    m = Net() if official else Net("conv", "linear")
    stem = (
        ("patch_embed.0", "patch_embed.2")
        if official
        else ("patch_embed.conv1", "patch_embed.conv2")
    )
    m.pair(stem[0], 4, 3, 3, 3)
    m.pair(stem[1], 8, 4, 3, 3)
    block = "blocks1.0" if official else "stages.0.blocks.0"
    for i in range(2):
        m.pair(f"{block}.dw{i}.m", 8, 1, 3, 3)
        m.pair(f"{block}.ffn{i}.m.pw1", 16, 8, 1, 1)
        m.pair(f"{block}.ffn{i}.m.pw2", 8, 16, 1, 1)
        m.pair(f"{block}.mixer.m.attn.qkvs.{i}", 8, 4, 1, 1)
        m.pair(f"{block}.mixer.m.attn.dws.{i}", 2, 1, 5, 5)
    m.pair(f"{block}.mixer.m.attn.proj.1", 8, 8, 1, 1)
    m.vector(f"{block}.mixer.m.attn.attention_biases", 2, 4)
    before, merge, after = (
        ("blocks2.0", "blocks2.1", "blocks2.2")
        if official
        else tuple(f"stages.1.downsample.{n}" for n in ("res1", "patchmerge", "res2"))
    )
    for name, width in ((before, 8), (after, 16)):
        m.pair(f"{name}.0.m", width, 1, 3, 3)
        m.pair(f"{name}.1.m.pw1", 2 * width, width, 1, 1)
        m.pair(f"{name}.1.m.pw2", width, 2 * width, 1, 1)
    m.pair(f"{merge}.conv1", 32, 8, 1, 1)
    m.pair(f"{merge}.conv2", 32, 1, 3, 3)
    m.gate(f"{merge}.se", 32, "conv_reduce", "conv_expand")
    m.pair(f"{merge}.conv3", 16, 32, 1, 1)
    m.head("head", 16, 16)
    if official:
        m.head("head_dist", 16, 16)
    return m.sample(f"{block}.mixer.m.attn.attention", f"{merge}.se.")


def shvit(style: str) -> Sample:
    m = Net()
    m.pair("patch_embed.0", 4, 3, 3, 3)
    m.pair("patch_embed.2", 8, 4, 3, 3)
    official = style == "official"
    blocks = ("blocks1.0", "blocks2.3") if official else ("stages.0.blocks.0", "stages.1.blocks.0")

    def ffn(name: str, width: int) -> None:
        m.pair(f"{name}.m.pw1", 2 * width, width, 1, 1)
        m.pair(f"{name}.m.pw2", width, 2 * width, 1, 1)

    for name, width in zip(blocks, (8, 16), strict=True):
        m.pair(f"{name}.conv.m", width, 1, 3, 3, into=f"{name}.conv")
        ffn(f"{name}.ffn", width)
    mixer = f"{blocks[1]}.mixer.m"
    m.conv(f"{mixer}.pre_norm", 4, 1, bias=True)
    m.state[f"{mixer}.pre_norm.weight"] = m.state[f"{mixer}.pre_norm.weight"][:, 0]
    m.pair(f"{mixer}.qkv", 12, 4, 1, 1)
    m.pair(f"{mixer}.proj.1", 16, 16, 1, 1)
    names = (
        ("blocks2.0.0", "blocks2.0.1", "blocks2.1", "blocks2.2.0", "blocks2.2.1")
        if official
        else tuple(f"stages.1.downsample.{i}" for i in range(5))
    )
    m.pair(f"{names[0]}.m", 8, 1, 3, 3, into=names[0])
    ffn(names[1], 8)
    m.pair(f"{names[2]}.conv1", 32, 8, 1, 1)
    m.pair(f"{names[2]}.conv2", 32, 1, 3, 3)
    m.gate(f"{names[2]}.se", 32)
    m.pair(f"{names[2]}.conv3", 16, 32, 1, 1)
    m.pair(f"{names[3]}.m", 16, 1, 3, 3, into=names[3])
    ffn(names[4], 16)
    m.head("head", 16, 16)
    if official:
        m.head("head_dist", 16, 16)
    return m.sample(f"{mixer}.pre_norm.", f"{names[2]}.se.")


def tinyvit(style: str) -> Sample:
    official = style == "official"
    m = Net() if official else Net("conv")
    stem = ("seq.0", "seq.2") if official else ("conv1", "conv2")
    stage = "layers" if official else "stages"
    m.pair(f"patch_embed.{stem[0]}", 4, 3, 3, 3)
    m.pair(f"patch_embed.{stem[1]}", 8, 4, 3, 3)
    down = f"{stage}.0.downsample" if official else f"{stage}.1.downsample"
    for name, width, out in ((f"{stage}.0.blocks.0", 8, 8), (down, 8, 16)):
        hidden = 32 if width == out else out
        m.pair(f"{name}.conv1", hidden, width, 1, 1)
        m.pair(f"{name}.conv2", hidden, 1, 3, 3)
        m.pair(f"{name}.conv3", out, hidden, 1, 1)
    block = f"{stage}.1.blocks.0"
    m.pair(f"{block}.local_conv", 16, 1, 3, 3)
    m.conv(f"{block}.attn.qkv", 48, 16, bias=True)
    m.vector(f"{block}.attn.attention_biases", 2, 4)
    m.conv(f"{block}.mlp.fc1", 16, 16, bias=True)
    m.conv("head", 5, 16, bias=True)
    return m.sample(f"{block}.attn.", f"{block}.mlp.", "head.")


def iformer_official() -> Sample:
    m = Net()
    m.pair("downsample_layers.0.0", 4, 3, 5, 5)
    m.pair("downsample_layers.0.2.conv_exp_bn1", 16, 4, 5, 5)
    m.pair("downsample_layers.0.2.conv_pwl_bn2", 8, 16, 1, 1)
    m.pair("downsample_layers.1.0", 12, 8, 3, 3)
    for block, width in (("stages.0.0.block", 8), ("stages.1.0.block", 12)):
        mixer = f"{block}.token_channel_mixer.m"
        if width == 8:
            m.pair(f"{mixer}.0", width, 1, 7, 7)
        else:  # the option `reparam1`
            for conv, k in (("conv", 7), ("conv1", 3)):
                m.conv(f"{mixer}.0.{conv}.c", width, 1, k, k)
                m.norm(f"{mixer}.0.{conv}.bn", width)
            m.conv(f"{mixer}.0.conv2", width, 1, 1, 1, bias=True)
            m.norm(f"{mixer}.0.bn", width)
            m.makes.append(f"{mixer}.0")
        m.pair(f"{mixer}.1", 3 * width, width, 1, 1)
        m.pair(f"{mixer}.3", width, 3 * width, 1, 1)
    m.pair("stages.1.1.block.cpe.m", 12, 1, 3, 3, into="stages.1.1.block.cpe")
    mixer = "stages.1.2.block.token_channel_mixer"
    for name, out in (("q", 6), ("k", 6), ("v_gate", 24), ("proj", 12)):
        m.pair(f"{mixer}.m.{name}", out, 12, 1, 1)
    m.vector(f"{mixer}.gamma", 1, 12, 1, 1)
    m.pair("stages.1.3.block.channel_mixer.m.0", 24, 12, 1, 1)
    m.pair("stages.1.3.block.channel_mixer.m.2", 12, 24, 1, 1)
    m.head("classifier.classifier", 5, 12, into="classifier")
    m.head("classifier.classifier_dist", 5, 12, into="classifier")
    return m.sample(f"{mixer}.gamma")


def iformer_timm() -> Sample:
    m = Net()
    m.pair("stem.conv1", 4, 3, 5, 5)
    m.pair("stem.conv2", 16, 4, 5, 5)
    m.pair("stem.conv3", 8, 16, 1, 1)
    block = "stages.0.blocks.0.mixer"
    m.pair(f"{block}.module.0", 8, 1, 7, 7)
    m.pair(f"{block}.module.1", 24, 8, 1, 1)
    m.pair(f"{block}.module.3", 8, 24, 1, 1)
    m.vector(f"{block}.gamma", 1, 8, 1, 1)
    m.pair("stages.1.downsample", 12, 8, 3, 3)
    m.pair("stages.1.blocks.0.cpe.module", 12, 1, 3, 3, into="stages.1.blocks.0")
    for name, out in (("q", 6), ("k", 6), ("v_gate", 24), ("proj", 12)):
        m.pair(f"stages.1.blocks.1.mixer.module.{name}", out, 12, 1, 1)
    m.head("head.head", 5, 12, into="head")
    return m.sample(f"{block}.gamma")


def nextvit(style: str) -> Sample:
    m = Maker()
    fc1, fc2 = ("conv1", "conv2") if style == "official" else ("fc1", "fc2")
    blocks = ("features.0", "features.1", "features.2")
    if style == "timm":
        blocks = ("stages.0.blocks.0", "stages.0.blocks.1", "stages.1.blocks.0")

    def pair(name: str, conv: str, norm: str, *shape: int) -> None:
        m.conv(f"{name}.{conv}", *shape)
        m.norm(f"{name}.{norm}", shape[0])

    pair("stem.0", "conv", "norm", 8, 3, 3, 3)
    makes: list[str] = []
    stays = ["stem.", "norm.", "head."]
    for name, transformer in zip(blocks, (False, True, True), strict=True):
        split = 4 if transformer else 8
        if name != blocks[1]:
            pair(f"{name}.patch_embed", "conv", "norm", split, 8, 1, 1)
        pair(f"{name}.mhca", "group_conv3x3", "norm", split, 4, 3, 3)
        m.conv(f"{name}.mhca.projection", split, split, 1, 1)
        m.norm(f"{name}.norm2" if transformer else f"{name}.norm", 8)
        m.conv(f"{name}.mlp.{fc1}", 16, 8, 1, 1, bias=True)
        m.conv(f"{name}.mlp.{fc2}", 8, 16, 1, 1, bias=True)
        makes.append(f"{name}.mlp.{fc1}")
        stays += [f"{name}.{x}." for x in ("patch_embed", "mhca", f"mlp.{fc2}")]
        if transformer:
            m.norm(f"{name}.norm1", 4)
            if name == blocks[1]:
                m.norm(f"{name}.e_mhsa.norm", 4)
            for part in ("q", "k", "v", "proj"):
                m.conv(f"{name}.e_mhsa.{part}", 4, 4, bias=True)
            pair(f"{name}.projection", "conv", "norm", 4, 4, 1, 1)
            makes += [f"{name}.e_mhsa.{part}" for part in "qkv"]
            stays += [f"{name}.{x}." for x in ("projection", "e_mhsa.proj")]
    m.norm("norm", 8)
    m.conv("head.fc", 5, 8, bias=True)
    return Sample(m.state, tuple(makes), tuple(stays))


_STYLES = {
    "efficientvit-msra": efficientvit,
    "shvit": shvit,
    "tinyvit": tinyvit,
    "nextvit": nextvit,
}
_BY_STYLE = {
    ("repvit", "official"): repvit_official,
    ("repvit", "timm"): repvit_timm,
    ("levit", "official"): levit_official,
    ("levit", "timm"): levit_timm,
    ("iformer", "official"): iformer_official,
    ("iformer", "timm"): iformer_timm,
} | {
    (recipe, style): partial(build, style)
    for recipe, build in _STYLES.items()
    for style in ("official", "timm")
}
SAMPLES = {key: build() for key, build in _BY_STYLE.items()}
