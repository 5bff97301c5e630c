"""Diverse branches, large kernels, windows, and mobile nets whose depthwise branches are merged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from families.sample import Maker, Sample

if TYPE_CHECKING:
    from families.sample import State


def pair(
    m: Maker, path: str, out: int, into: int, *space: int, names: tuple[str, str] = ("conv", "bn")
) -> None:
    """Add a convolution without bias and its norm."""
    conv, norm = names
    m.conv(f"{path}.{conv}", out, into, *space)
    m.norm(f"{path}.{norm}", out)


def excitation(m: Maker, path: str, channels: int, names: tuple[str, str]) -> None:
    first, last = names
    m.conv(f"{path}.{first}", 2, channels, 1, 1, bias=True)
    m.conv(f"{path}.{last}", channels, 2, 1, 1, bias=True)


# --- DBB


def diverse(
    m: Maker, path: str, into: int, out: int, k: int, groups: int = 1, *, bn: str = ".bn"
) -> None:
    """A block as its repository makes it: depthwise ones have no 1x1 and twice the channels."""
    pair(m, f"{path}.dbb_origin", out, into // groups, k, k)
    inner = into
    if groups < out:
        m.conv(f"{path}.dbb_avg.conv", out, into // groups, 1, 1)
        m.norm(f"{path}.dbb_avg.bn{bn}", out)
        pair(m, f"{path}.dbb_1x1", out, into // groups, 1, 1)
        m.conv(f"{path}.dbb_1x1_kxk.idconv1", into, into // groups, 1, 1)
    else:
        inner = 2 * into
        m.conv(f"{path}.dbb_1x1_kxk.conv1", inner, into // groups, 1, 1)
    m.norm(f"{path}.dbb_avg.avgbn", out)
    m.norm(f"{path}.dbb_1x1_kxk.bn1{bn}", inner)
    m.conv(f"{path}.dbb_1x1_kxk.conv2", out, inner // groups, k, k)
    m.norm(f"{path}.dbb_1x1_kxk.bn2", out)


def dbb(bn: str) -> State:
    m = Maker()
    pair(m, "stage0.conv1", 4, 3, 7, 7)
    diverse(m, "stage1.0.conv1", 4, 6, 3, bn=bn)
    diverse(m, "stage1.0.conv2", 6, 6, 5, 3, bn=bn)
    diverse(m, "stage1.0.conv3", 6, 6, 7, 6, bn=bn)
    pair(m, "stage1.0.shortcut", 6, 4, 1, 1)
    diverse(m, "stem.0.depthwise", 6, 6, 3, 6, bn=bn)
    pair(m, "stem.0.pointwise", 4, 6, 1, 1)
    m.conv("linear", 5, 4, bias=True)
    return m.state


DBB = (
    "stage0.conv1.conv",
    *(f"stage1.0.conv{n}.dbb_reparam" for n in (1, 2, 3)),
    "stage1.0.shortcut.conv",
    "stem.0.depthwise.dbb_reparam",
    "stem.0.pointwise.conv",
)


def dbb_in_yolo() -> State:
    m = Maker()
    m.conv("model.0.conv", 4, 3, 3, 3, bias=True)
    diverse(m, "model.1.m.0.cv1", 4, 4, 3)
    diverse(m, "model.1.m.0.cv2", 4, 4, 5)
    diverse(m, "model.1.m.1.cv2", 4, 4, 7, 2)
    return m.state


# --- RepLKNet, UniRepLKNet, RepMLPNet


def replknet() -> State:
    m = Maker()
    pair(m, "stem.0", 4, 3, 3, 3)
    for stage, small in ((0, 3), (1, 0)):
        lk, ffn = (f"stages.{stage}.blocks.{b}" for b in (0, 1))
        m.norm(f"{lk}.prelkb_bn", 4)
        pair(m, f"{lk}.pw1", 6, 4, 1, 1)
        pair(m, f"{lk}.large_kernel.lkb_origin", 6, 1, 7, 7)
        if small:
            pair(m, f"{lk}.large_kernel.small_conv", 6, 1, small, small)
        pair(m, f"{lk}.pw2", 4, 6, 1, 1)
        m.norm(f"{ffn}.preffn_bn", 4)
        pair(m, f"{ffn}.pw1", 8, 4, 1, 1)
        pair(m, f"{ffn}.pw2", 4, 8, 1, 1)
    pair(m, "transitions.0.0", 4, 4, 1, 1)
    pair(m, "transitions.0.1", 4, 1, 3, 3)
    m.norm("norm", 4)
    m.conv("head", 5, 4, bias=True)
    return m.state


LARGE = tuple(f"stages.{s}.blocks.0.large_kernel.lkb_reparam" for s in (0, 1))
POINTS = tuple(f"stages.{s}.blocks.{b}.pw{n}" for s in (0, 1) for b in (0, 1) for n in (1, 2))
AROUND = ("stem.0", "transitions.0.0", "transitions.0.1")
BETWEEN = tuple(f"stages.{s}.blocks.{b}" for s in (0, 1) for b in ("0.prelkb_bn", "1.preffn_bn"))


def unireplknet() -> State:
    m = Maker()
    m.conv("downsample_layers.0.0", 4, 3, 3, 3, bias=True)
    kinds = {
        "stages.0.0": (3, ()),
        "stages.0.1": (7, ((5, 1), (3, 2), (3, 3))),
        "stages.1.0": (5, ()),
        "stages.1.1": (13, ((5, 1), (7, 2))),
    }
    for block, (k, branches) in kinds.items():
        if branches:
            m.conv(f"{block}.dwconv.lk_origin", 4, 1, k, k)
            m.norm(f"{block}.dwconv.origin_bn", 4)
        else:
            m.conv(f"{block}.dwconv", 4, 1, k, k)
        for size, rate in branches:
            m.conv(f"{block}.dwconv.dil_conv_k{size}_{rate}", 4, 1, size, size)
            m.norm(f"{block}.dwconv.dil_bn_k{size}_{rate}", 4)
        m.norm(f"{block}.norm", 4)
        excitation(m, f"{block}.se", 4, ("down", "up"))
        m.conv(f"{block}.pwconv1.1", 8, 4, bias=True)
        m.vector(f"{block}.act.1.gamma", 1, 1, 1, 8)
        m.vector(f"{block}.act.1.beta", 1, 1, 1, 8)
        m.conv(f"{block}.pwconv2.0", 4, 8)
        m.norm(f"{block}.pwconv2.2", 4)
        if block != "stages.1.1":
            m.vector(f"{block}.gamma", 4)
    m.vector("norm.weight", 4)
    m.vector("norm.bias", 4)
    m.conv("head", 5, 4, bias=True)
    return m.state


def repmlp() -> State:
    m = Maker()
    pair(m, "conv_embedding", 4, 3, 4, 4)
    kinds = {"0.0": (2, 4, (1, 3)), "0.1": (4, 3, (1, 3, 5)), "1.0": (1, 2, (1,))}
    for number, (sets, window, kernels) in kinds.items():
        block = f"stages.{number}.repmlp_block"
        excitation(m, f"{block}.gp", 4, ("fc1", "fc2"))
        m.conv(f"{block}.fc3", sets * window**2, window**2, 1, 1)
        m.norm(f"{block}.fc3_bn", sets)
        for k in kernels:
            pair(m, f"{block}.repconv{k}", sets, 1, k, k)
        pair(m, f"stages.{number}.ffn_block.ffn_fc1", 8, 4, 1, 1)
        pair(m, f"stages.{number}.ffn_block.ffn_fc2", 4, 8, 1, 1)
        m.norm(f"stages.{number}.prebn1", 4)
        m.norm(f"stages.{number}.prebn2", 4)
    m.norm("head_norm", 4)
    m.conv("head", 5, 4, bias=True)
    return m.state


# --- FastViT

APPLE = {"many": "rbr_conv", "one": "rbr_scale", "skip": "rbr_skip"}
TIMM = {"many": "conv_kxk", "one": "conv_scale", "skip": "identity"}


def mobileone(
    m: Maker, path: str, out: int, into: int, *kernel: int, style: dict[str, str], skip: bool
) -> None:
    """One convolution, a 1x1 unless the kernel has one row, and a norm if `skip`."""
    pair(m, f"{path}.{style['many']}.0", out, into, *kernel)
    if kernel[0] > 1:
        pair(m, f"{path}.{style['one']}", out, into, 1, 1)
    if skip:
        m.norm(f"{path}.{style['skip']}", out)


def mixer(m: Maker, path: str, *kernel: int, style: dict[str, str], scale: str, ffn: str) -> None:
    mixed = f"{path}.token_mixer"
    mobileone(m, f"{mixed}.mixer", 4, 1, *kernel, style=style, skip=True)
    m.norm(f"{mixed}.norm.{style['skip']}", 4)
    if scale:
        m.vector(f"{mixed}.{scale}", 4, 1, 1)
        m.vector(f"{path}.{scale}", 4, 1, 1)
    pair(m, f"{path}.{ffn}.conv", 4, 1, *kernel)
    m.conv(f"{path}.{ffn}.fc1", 8, 4, 1, 1, bias=True)
    m.conv(f"{path}.{ffn}.fc2", 4, 8, 1, 1, bias=True)


def fastvit() -> State:
    m = Maker()
    stem, ffn = "image_encoder.model.patch_embed", "convffn"
    mobileone(m, f"{stem}.0", 4, 3, 3, 3, style=APPLE, skip=False)
    mobileone(m, f"{stem}.1", 4, 1, 3, 3, style=APPLE, skip=False)
    mobileone(m, f"{stem}.2", 4, 4, 1, 1, style=APPLE, skip=True)
    net = "image_encoder.model.network"
    mixer(m, f"{net}.0.0", 3, 3, style=APPLE, scale="layer_scale", ffn=ffn)
    mixer(m, f"{net}.0.1", 3, 3, style=APPLE, scale="", ffn=ffn)
    pair(m, f"{net}.1.proj.0.lkb_origin", 8, 1, 7, 7)
    pair(m, f"{net}.1.proj.0.small_conv", 8, 1, 3, 3)
    excitation(m, f"{net}.1.proj.0.se", 8, ("fc1", "fc2"))
    mobileone(m, f"{net}.1.proj.1", 8, 8, 1, 1, style=APPLE, skip=True)
    m.conv(f"{net}.2.pe", 8, 1, 7, 7, bias=True)
    m.norm(f"{net}.3.0.norm", 8)
    m.conv(f"{net}.3.0.token_mixer.qkv", 24, 8)
    m.conv("image_encoder.model.conv_exp.rbr_conv.0.conv", 16, 1, 3, 3)
    m.norm("image_encoder.model.conv_exp.rbr_conv.0.bn", 16)
    pair(m, "image_encoder.model.conv_exp.rbr_scale", 16, 1, 1, 1)
    excitation(m, "image_encoder.model.conv_exp.se", 16, ("reduce", "expand"))
    text = "text_encoder.transformer.0"
    mixer(m, text, 1, 11, style=APPLE, scale="layer_scale", ffn=ffn)
    return m.state


NET = "image_encoder.model.network"
FASTVIT = Sample(
    fastvit(),
    (
        *(f"image_encoder.model.patch_embed.{n}.reparam_conv" for n in (0, 1, 2)),
        f"{NET}.0.0.token_mixer.reparam_conv",
        f"{NET}.0.1.token_mixer.reparam_conv",
        f"{NET}.1.proj.0.lkb_reparam",
        f"{NET}.1.proj.1.reparam_conv",
        f"{NET}.2.reparam_conv",
        "image_encoder.model.conv_exp.reparam_conv",
        "text_encoder.transformer.0.token_mixer.reparam_conv",
    ),
    (
        *(f"{NET}.0.{n}.{part}" for n in (0, 1) for part in ("convffn", "layer_scale")),
        f"{NET}.1.proj.0.se",
        f"{NET}.3",
        "image_encoder.model.conv_exp.se",
        "text_encoder.transformer.0.convffn",
        "text_encoder.transformer.0.layer_scale",
    ),
)


def fastvit_timm() -> State:
    m = Maker()
    mobileone(m, "visual.trunk.stem.0", 4, 3, 3, 3, style=TIMM, skip=False)
    mobileone(m, "visual.trunk.stem.2", 4, 4, 1, 1, style=TIMM, skip=True)
    stages, gamma = "visual.trunk.stages", "layer_scale.gamma"
    mixer(m, f"{stages}.0.blocks.0", 3, 3, style=TIMM, scale=gamma, ffn="mlp")
    mixer(m, f"{stages}.0.blocks.1", 3, 3, style=TIMM, scale="", ffn="mlp")
    down = f"{stages}.1.downsample.proj"
    pair(m, f"{down}.0.large_conv", 8, 1, 7, 7)
    pair(m, f"{down}.0.small_conv", 8, 1, 3, 3)
    excitation(m, f"{down}.0.se", 8, ("fc1", "fc2"))
    mobileone(m, f"{down}.1", 8, 8, 1, 1, style=TIMM, skip=True)
    m.conv(f"{stages}.1.pos_emb.pos_enc", 8, 1, 7, 7, bias=True)
    m.norm(f"{stages}.1.blocks.0.norm", 8)
    mobileone(m, "visual.trunk.final_conv", 16, 1, 3, 3, style=TIMM, skip=False)
    excitation(m, "visual.trunk.final_conv.se", 16, ("fc1", "fc2"))
    m.conv("visual.trunk.head.fc", 5, 16, bias=True)
    return m.state


STAGES = "visual.trunk.stages"
FASTVIT_TIMM = Sample(
    fastvit_timm(),
    (
        "visual.trunk.stem.0.reparam_conv",
        "visual.trunk.stem.2.reparam_conv",
        f"{STAGES}.0.blocks.0.token_mixer.reparam_conv",
        f"{STAGES}.0.blocks.1.token_mixer.reparam_conv",
        f"{STAGES}.1.downsample.proj.0.reparam_conv",
        f"{STAGES}.1.downsample.proj.1.reparam_conv",
        f"{STAGES}.1.pos_emb.reparam_conv",
        "visual.trunk.final_conv.reparam_conv",
    ),
    (
        *(f"{STAGES}.0.blocks.{n}.{part}" for n in (0, 1) for part in ("mlp", "layer_scale")),
        f"{STAGES}.1.downsample.proj.0.se",
        f"{STAGES}.1.blocks",
        "visual.trunk.final_conv.se",
        "visual.trunk.head",
    ),
)


# --- PP-LCNetV2 and V3


def lcnetv2() -> State:
    m = Maker()
    pair(m, "stem.0", 4, 3, 3, 3)
    pair(m, "stem.1.dw_conv", 4, 1, 3, 3)
    pair(m, "stem.1.pw_conv", 4, 4, 1, 1)
    for block, kernels in {"stages.2.0": (5, 3), "stages.2.1": (5, 3, 1)}.items():
        for i, k in enumerate(kernels):
            pair(m, f"{block}.dw_conv_list.{i}", 4, 1, k, k)
        excitation(m, f"{block}.se", 4, ("fc1", "fc2"))
        pair(m, f"{block}.pw_conv.0", 2, 4, 1, 1)
        pair(m, f"{block}.pw_conv.1", 4, 2, 1, 1)
    m.conv("classifier", 5, 4, bias=True)
    return m.state


def lcnetv3(*names: str, pairs: tuple[str, str]) -> State:
    many, one, deep, point, se = names
    m = Maker()
    pair(m, "conv1", 4, 3, 3, 3, names=pairs)
    for block, k, out, skip in (("blocks2.0", 3, 4, True), ("blocks3.0", 5, 6, False)):
        for branch, kernel, width, into in ((deep, k, 4, 1), (point, 1, out, 4)):
            path = f"{block}.{branch}"
            for i in range(2):
                pair(m, f"{path}.{many}.{i}", width, into, kernel, kernel, names=pairs)
            if kernel > 1:
                pair(m, f"{path}.{one}", width, into, 1, 1, names=pairs)
            if skip:
                m.norm(f"{path}.identity", width)
            for place in ("lab", "act.lab"):
                m.vector(f"{path}.{place}.scale", 1)
                m.vector(f"{path}.{place}.bias", 1)
        if not skip:
            excitation(m, f"{block}.{se}", 4, ("conv1", "conv2"))
    return m.state


def lcnetv3_sample(*names: str, pairs: tuple[str, str]) -> Sample:
    blocks = [f"{block}.{part}" for block in ("blocks2.0", "blocks3.0") for part in names[2:4]]
    return Sample(
        lcnetv3(*names, pairs=pairs),
        tuple(f"{block}.reparam_conv" for block in blocks),
        (
            "conv1.",
            f"blocks3.0.{names[4]}",
            *(f"{block}.{lab}" for block in blocks for lab in ("lab", "act")),
        ),
    )


# --- RepGhostNet and GhostNetV3


def repghost(*, fusion: bool) -> State:
    m = Maker()
    m.conv("conv_stem", 4, 3, 3, 3)
    m.norm("bn1", 4)
    for block, k in (("blocks.0.0", 3), ("blocks.1.0", 5)):
        for ghost, into, out in (("ghost1", 4, 6), ("ghost2", 6, 4)):
            m.conv(f"{block}.{ghost}.primary_conv.0", out, into, 1, 1)
            m.norm(f"{block}.{ghost}.primary_conv.1", out)
            m.conv(f"{block}.{ghost}.cheap_operation.0", out, 1, 3, 3)
            m.norm(f"{block}.{ghost}.cheap_operation.1", out)
            if fusion:
                m.norm(f"{block}.{ghost}.fusion_bn.0", out)
        m.conv(f"{block}.conv_dw", 6, 1, k, k)
        m.norm(f"{block}.bn_dw", 6)
        excitation(m, f"{block}.se", 6, ("conv_reduce", "conv_expand"))
    m.conv("classifier", 5, 4, bias=True)
    return m.state


GHOSTS = tuple(f"blocks.{s}.0.ghost{n}" for s in (0, 1) for n in (1, 2))
REPGHOST = (
    tuple(f"{ghost}.cheap_operation" for ghost in GHOSTS),
    (
        *("conv_stem", "bn1", "classifier"),
        *(f"blocks.{s}.0.{part}" for s in (0, 1) for part in ("conv_dw", "bn_dw", "se")),
        *(f"{ghost}.primary_conv" for ghost in GHOSTS),
    ),
)


def ghostnetv3(norm: str) -> State:
    m = Maker()
    names = ("conv", norm)
    m.conv("conv_stem", 4, 3, 3, 3)
    m.norm("bn1", 4)
    block = "blocks.1.0"
    for ghost, into, out in (("ghost1", 4, 8), ("ghost2", 8, 6)):
        path, half = f"{block}.{ghost}", out // 2
        for i in range(3):
            pair(m, f"{path}.primary_rpr_conv.{i}", half, into, 1, 1, names=names)
            pair(m, f"{path}.cheap_rpr_conv.{i}", half, 1, 3, 3, names=names)
        pair(m, f"{path}.cheap_rpr_scale", half, 1, 1, 1, names=names)
        m.norm(f"{path}.cheap_rpr_skip", half)
        if norm == "bn" and into == half:
            m.norm(f"{path}.primary_rpr_skip", half)
    m.conv(f"{block}.ghost1.short_conv.0", 8, 4, 1, 1)
    m.norm(f"{block}.ghost1.short_conv.1", 8)
    for i in range(3):
        pair(m, f"{block}.dw_rpr_conv.{i}", 8, 1, 5, 5, names=names)
    pair(m, f"{block}.dw_rpr_scale", 8, 1, 1, 1, names=names)
    m.conv(f"{block}.shortcut.0", 4, 1, 5, 5)
    m.norm(f"{block}.shortcut.1", 4)
    m.conv("classifier", 5, 6, bias=True)
    return m.state


V3 = "blocks.1.0"
GHOSTNET_V3 = (
    (
        *(
            f"{V3}.ghost{n}.{part}.0"
            for n in (1, 2)
            for part in ("primary_conv", "cheap_operation")
        ),
        f"{V3}.conv_dw",
    ),
    ("conv_stem", "bn1", f"{V3}.ghost1.short_conv", f"{V3}.shortcut", "classifier"),
)


# --- RepNeXt


def repnext() -> State:
    m = Maker()
    names = ("conv", "norm")
    pair(m, "stem.stem.0", 2, 3, 3, 3, names=names)
    pair(m, "stem.stem.2", 4, 2, 3, 3, names=names)
    for block, side_by_side in (("stages.0.blocks.0", True), ("stages.1.downsample", False)):
        mixer, width = f"{block}.token_mixer", 1 if side_by_side else 4
        for name, *kernel in (("3_w", 1, 3), ("3_h", 3, 1)):
            m.conv(f"{mixer}.conv_s.conv_{name}", width, 1, *kernel, bias=side_by_side)
        for part, name, *kernel in (
            *(("s", "3_3", 3, 3), ("s", "2_2", 2, 2)),
            *(("m", "7_7", 7, 7), ("m", "5_3", 5, 3), ("m", "3_5", 3, 5)),
        ):
            m.conv(f"{mixer}.conv_{part}.conv_{name}", width, 1, *kernel, bias=True)
        for name, *kernel in (("7_w", 1, 7), ("7_h", 7, 1), ("5_w", 1, 5), ("5_h", 5, 1)):
            m.conv(f"{mixer}.conv_m.conv_{name}", width, 1, *kernel)
        if side_by_side:
            m.conv(f"{mixer}.conv_l.0", 1, 1, 1, 11, bias=True)
            m.conv(f"{mixer}.conv_l.1", 1, 1, 11, 1, bias=True)
        out = 4 if side_by_side else 8
        m.norm(f"{block}.norm", out)
        pair(m, f"{block}.channel_mixer.0", 2 * out, out, 1, 1, names=names)
        pair(m, f"{block}.channel_mixer.2", out, 2 * out, 1, 1, names=names)
    for head in ("head.head", "head.head_dist"):
        m.norm(f"{head}.norm", 8)
        m.conv(f"{head}.linear", 5, 8, bias=True)
    return m.state


MIXED = ("stages.0.blocks.0", "stages.1.downsample")

SAMPLES = {
    ("dbb", "official"): Sample(dbb(".bn"), DBB, ("linear",)),
    ("dbb", "official, before April 2021"): Sample(dbb(""), DBB, ("linear",)),
    ("dbb", "in a YOLO"): Sample(
        dbb_in_yolo(),
        tuple(f"model.1.m.{m}.dbb_reparam" for m in ("0.cv1", "0.cv2", "1.cv2")),
        ("model.0",),
        eps=1e-3,
        said=True,
    ),
    ("replknet", "official, mmpretrain"): Sample(
        replknet(), LARGE, (*AROUND, *POINTS, *BETWEEN, "norm", "head")
    ),
    ("replknet-deep", "official, mmpretrain"): Sample(
        replknet(),
        (*LARGE, *(f"{path}.conv" for path in (*AROUND, *POINTS))),
        (*BETWEEN, "norm", "head"),
        named=True,
    ),
    ("unireplknet", "official"): Sample(
        unireplknet(),
        (
            *(f"stages.{n}.dwconv" for n in ("0.0", "1.0")),
            *(f"stages.{n}.dwconv.lk_origin" for n in ("0.1", "1.1")),
            *(f"stages.{n}.pwconv2.0" for n in ("0.0", "0.1", "1.0", "1.1")),
        ),
        (
            *(
                f"stages.{n}.{part}"
                for n in ("0.0", "0.1", "1.0", "1.1")
                for part in ("se", "pwconv1", "act.1.gamma")
            ),
            *("downsample_layers", "norm", "head"),
        ),
    ),
    ("repmlp", "official, mmpretrain"): Sample(
        repmlp(),
        tuple(f"stages.{n}.repmlp_block.fc3" for n in ("0.0", "0.1", "1.0")),
        (
            *(
                f"stages.{n}.{part}"
                for n in ("0.0", "0.1", "1.0")
                for part in ("repmlp_block.gp", "ffn_block", "prebn1", "prebn2")
            ),
            *("conv_embedding", "head"),
        ),
    ),
    ("fastvit", "apple"): FASTVIT,
    ("fastvit", "timm, OpenCLIP"): FASTVIT_TIMM,
    ("pp-lcnetv2", "timm"): Sample(
        lcnetv2(),
        ("stages.2.0.dw_conv", "stages.2.1.dw_conv"),
        (
            *("stem", "classifier"),
            *(f"stages.2.{n}.{part}" for n in (0, 1) for part in ("se", "pw_conv")),
        ),
    ),
    ("pp-lcnetv3", "PaddleOCR ports"): lcnetv3_sample(
        *("conv_kxk", "conv_1x1", "dw_conv", "pw_conv", "se"), pairs=("conv", "bn")
    ),
    ("pp-lcnetv3", "transformers"): lcnetv3_sample(
        *("conv_symmetric", "conv_small_symmetric"),
        *("depthwise_convolution", "pointwise_convolution", "squeeze_excitation_module"),
        pairs=("convolution", "normalization"),
    ),
    ("repghost", "official, timm"): Sample(repghost(fusion=True), *REPGHOST),
    ("repghost-repid", "official"): Sample(repghost(fusion=False), *REPGHOST, named=True),
    ("repghost-norep", "official"): Sample(repghost(fusion=False), *REPGHOST, named=True),
    ("ghostnetv3", "timm"): Sample(ghostnetv3("bn1"), *GHOSTNET_V3),
    ("ghostnetv3", "official"): Sample(ghostnetv3("bn"), *GHOSTNET_V3),
    ("repnext", "official"): Sample(
        repnext(),
        (
            *(f"{block}.token_mixer.conv_{part}" for block in MIXED for part in "sm"),
            *(f"{block}.channel_mixer.{n}" for block in MIXED for n in (0, 2)),
            *("stem.stem.0", "stem.stem.2", "head"),
        ),
        (*(f"{block}.norm" for block in MIXED), "stages.0.blocks.0.token_mixer.conv_l"),
    ),
}
