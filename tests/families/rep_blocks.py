"""Nets whose blocks sum 3x3, 1x1 and identity branches, or kernels of unequal sides."""

from __future__ import annotations

from families.sample import Maker, Sample

WIDTH = 4


class Blocks(Maker):
    """Writes blocks and remembers what their fusion makes."""

    def __init__(self) -> None:
        super().__init__()
        self.makes: list[str] = []

    def pair(self, conv: str, norm: str, out: int, into: int, *space: int) -> None:
        self.conv(conv, out, into, *space)
        self.norm(norm, out)

    def made(self, path: str) -> None:
        self.makes.append(path)

    def module(self, at: str, out: int, into: int, k: int = 1, norm: str = "bn") -> None:
        """A plain convolution whose norm is fused into it."""
        self.pair(f"{at}.conv", f"{at}.{norm}", out, into, k, k)
        self.made(f"{at}.conv")

    def sample(
        self, *stays: str, eps: float = 1e-5, said: bool = False, named: bool = False
    ) -> Sample:
        return Sample(self.state, tuple(self.makes), stays, eps, said, named)


# --- RepVGG


def rep(
    m: Blocks,
    at: str,
    into: int = WIDTH,
    *,
    names: tuple[str, str, str] = ("rbr_dense", "rbr_1x1", "rbr_identity"),
    norm: str = "bn",
    fused: str = "rbr_reparam",
    identity: bool = True,
) -> None:
    dense, point, skip = names
    m.pair(f"{at}.{dense}.conv", f"{at}.{dense}.{norm}", WIDTH, into, 3, 3)
    m.pair(f"{at}.{point}.conv", f"{at}.{point}.{norm}", WIDTH, into, 1, 1)
    if identity and into == WIDTH:
        m.norm(f"{at}.{skip}", WIDTH)
    m.made(f"{at}.{fused}")


def repvgg_in_yolo() -> Sample:
    m = Blocks()
    m.conv("model.0.conv", WIDTH, 3, 3, 3, bias=True)
    rep(m, "model.1")
    rep(m, "model.2.m.0", identity=False)
    return m.sample("model.0", eps=1e-3, said=True)


def super_gradients() -> Sample:
    m = Blocks()
    names = "branch_3x3", "branch_1x1", "no_conv_branch"
    rep(m, "stem", 3, names=names)
    rep(m, "stage1.0", names=names, identity=False)
    m.conv("stage1.0.se.down", 2, WIDTH, 1, 1, bias=True)
    rep(m, "stage1.1", names=names)
    m.vector("stage1.1.alpha", 1)
    m.conv("linear", 10, WIDTH, bias=True)
    return m.sample("stage1.0.se", "linear")


def loftr() -> Sample:
    m = Blocks()
    at = "model.backbone.stages"
    for block, into in ((f"{at}.0.blocks.0", 1), (f"{at}.1.blocks.0", 4), (f"{at}.1.blocks.1", 4)):
        rep(m, block, into, names=("conv1", "conv2", "identity"), norm="norm", fused="conv")
    m.conv("model.refinement_layer.out_conv", 8, WIDTH, 1, 1)
    return m.sample("model.refinement_layer")


# --- MobileOne


def mobileone(style: str, prefix: str = "") -> Blocks:
    many, scale, skip, norm, fused, gate = {
        "apple": ("rbr_conv", "rbr_scale", "rbr_skip", "bn", "reparam_conv", "se.reduce"),
        "timm": ("conv_kxk", "conv_scale", "identity", "bn", "reparam_conv", "attn.fc1"),
        "mmpretrain": (
            "branch_conv_list",
            "branch_scale",
            "branch_norm",
            "norm",
            "branch_reparam",
            "se.conv1.conv",
        ),
    }[style]
    m = Blocks()
    # stem, depthwise with and without identity, pointwise with and without it
    for block, branches, into, k, identity in (
        ("stage0", 1, 3, 3, False),
        ("stage1.0", 3, 1, 3, False),
        ("stage1.1", 3, WIDTH, 1, True),
        ("stage2.0", 1, 1, 3, True),
        ("stage2.1", 1, WIDTH, 1, False),
    ):
        at = prefix + block
        for i in range(branches):
            m.pair(f"{at}.{many}.{i}.conv", f"{at}.{many}.{i}.{norm}", WIDTH, into, k, k)
        if k > 1:
            m.pair(f"{at}.{scale}.conv", f"{at}.{scale}.{norm}", WIDTH, into, 1, 1)
        if identity:
            m.norm(f"{at}.{skip}", WIDTH)
        m.made(f"{at}.{fused}")
    m.conv(f"{prefix}stage2.0.{gate}", 2, WIDTH, 1, 1, bias=True)
    m.conv("linear", 10, WIDTH, bias=True)
    return m


def mobileone_in_yolo() -> Sample:
    m = mobileone("apple", "model.1.")
    m.conv("model.0.conv", WIDTH, 3, 3, 3, bias=True)
    return m.sample("model.0", "model.1.stage2.0.se", "linear", eps=1e-3, said=True)


# --- QARepVGG


def qarepvgg(kind: str) -> Sample:
    m = Blocks()
    blocks = (("stage0", 3, 0), ("stage1.0", 4, 0), ("stage1.1", 4, 1), ("stage1.2", 2, 1))
    for block, into, identity in blocks:
        if kind == "base":
            m.conv(f"{block}.rbr_dense", WIDTH, into, 3, 3)
        else:
            m.pair(f"{block}.rbr_dense.conv", f"{block}.rbr_dense.bn", WIDTH, into, 3, 3)
        if kind == "V1":
            m.pair(f"{block}.rbr_1x1.conv", f"{block}.rbr_1x1.bn", WIDTH, into, 1, 1)
            if identity:
                m.norm(f"{block}.rbr_identity", WIDTH)
        else:
            m.conv(f"{block}.rbr_1x1", WIDTH, into, 1, 1)
        m.norm(f"{block}.bn", WIDTH)
        m.made(f"{block}.rbr_reparam")
    m.add("stage1.1.nonlinearity.weight", m.rng.normal(size=WIDTH))
    m.conv("linear", 10, WIDTH, bias=True)
    return m.sample("stage1.1.nonlinearity", "linear")


def quantizable(m: Blocks, at: str, into: int = WIDTH) -> None:
    """YOLOv6's block, whose last norm stays."""
    m.pair(f"{at}.rbr_dense.conv", f"{at}.rbr_dense.bn", WIDTH, into, 3, 3)
    m.conv(f"{at}.rbr_1x1", WIDTH, into, 1, 1)
    m.norm(f"{at}.bn", WIDTH)
    m.made(f"{at}.rbr_reparam")


def linear_add(m: Blocks, at: str, into: int = WIDTH) -> None:
    m.conv(f"{at}.conv", WIDTH, into, 3, 3)
    m.conv(f"{at}.conv_1x1", WIDTH, into, 1, 1)
    for scale in ("scale_conv", "scale_1x1", *(("scale_identity",) if into == WIDTH else ())):
        m.vector(f"{at}.{scale}.weight", WIDTH)
    m.norm(f"{at}.bn", WIDTH)
    m.made(f"{at}.conv")


YOLOV6_BLOCKS = {
    "backbone.stem": 3,
    "backbone.ERBlock_2.0": 4,
    "backbone.ERBlock_2.1.conv1": 4,
    "neck.Rep_p4.block.0": 2,
}


def yolov6(kind: str) -> Sample:
    m = Blocks()
    for at, into in YOLOV6_BLOCKS.items():
        {"repvgg": rep, "qarepvgg": quantizable, "hyper_search": linear_add}[kind](m, at, into)
    m.module("neck.reduce_layer0.block", WIDTH, WIDTH)
    m.module("neck.Rep_p3.cv1", WIDTH, WIDTH)
    m.module("detect.stems.0.block", WIDTH, WIDTH)
    m.conv("detect.cls_preds.0", 3, WIDTH, 1, 1, bias=True)
    kept = tuple(f"{at}.bn" for at in YOLOV6_BLOCKS) if kind == "qarepvgg" else ()
    return m.sample("detect.cls_preds", *kept, eps=1e-3, named=kind == "qarepvgg")


# --- YOLO-NAS


def yolo_nas(heads: str, *, partial: bool) -> Sample:
    """With weights under the name of the fused convolution, as in files of training."""
    m = Blocks()
    root = "backbone." if heads else ""
    blocks = {
        f"{root}stem.conv": 3,
        f"{root}stage1.downsample": WIDTH,
        f"{root}stage1.blocks.bottlenecks.0.cv1": WIDTH,
        f"{root}stage1.blocks.bottlenecks.0.cv2": WIDTH,
    }
    if heads == "pose":
        blocks["heads.head1.pose_convs.0"] = WIDTH
        m.vector("heads.head1.pose_convs.0.alpha", 1)
    for at, into in blocks.items():
        m.pair(f"{at}.branch_3x3.conv", f"{at}.branch_3x3.bn", WIDTH, into, 3, 3)
        m.conv(f"{at}.branch_1x1", WIDTH, into, 1, 1, bias=True)
        m.conv(f"{at}.rbr_reparam", WIDTH, into, 3, 3, bias=True)
        m.norm(f"{at}.post_bn", WIDTH)
        m.made(f"{at}.rbr_reparam")
    if heads:
        m.conv(f"heads.head1.{heads}_pred", 4, WIDTH, 1, 1, bias=True)
    stays = ["heads.head1.reg_pred", "heads.head1.pose_pred"]
    if partial:
        stays += [f"{at}.post_bn" for at in blocks]
    eps = 1e-6 if heads == "pose" else 1e-3
    return m.sample(*stays, eps=eps, said=not heads, named=partial)


# --- kernels of unequal sides


def acnet() -> Sample:
    m = Blocks()
    for at, out, into, k in (("conv1.acb", 4, 3, 3), ("conv2", 4, 2, 5), ("conv3", 4, 4, 3)):
        for name, space in (("square", (k, k)), ("ver", (k, 1)), ("hor", (1, k))):
            m.pair(f"{at}.{name}_conv", f"{at}.{name}_bn", out, into, *space)
        m.made(f"{at}.fused_conv")
    m.norm("conv3.rbr_identity", WIDTH)
    m.conv("linear", 10, WIDTH, bias=True)
    return m.sample("linear")


def textnet(style: str) -> Sample:
    m = Blocks()
    main, norm, vertical, horizontal, conv, bn = {
        "FAST": ("main_conv", "main_bn", "ver", "hor", "conv", "bn"),
        "docTR": ("conv", "bn", "ver", "hor", "conv", "bn"),
        "hf": ("main_conv", "main_batch_norm", "vertical", "horizontal", "conv", "batch_norm"),
    }["docTR" if "docTR" in style else style]
    stem, layers, extra, stays = {
        "FAST": (
            ("backbone.first_conv.conv", "backbone.first_conv.bn"),
            "backbone.stage1.{}",
            ("neck.reduce_layer1", "det_head.conv"),
            "det_head.final",
        ),
        "docTR, FAST": (
            ("feat_extractor.0", "feat_extractor.1"),
            "feat_extractor.3.{}",
            ("neck.reduction.0", "prob_head.0"),
            "prob_head.2",
        ),
        "docTR": (("0", "1"), "3.{}", ("4.0", "5.0", "6.0"), "7.2"),
        "hf": (
            ("textnet.stem.conv", "textnet.stem.batch_norm"),
            "textnet.encoder.stages.0.stage.{}",
            (),
            "classifier.2",
        ),
    }[style]
    m.pair(*stem, WIDTH, 3, 3, 3)
    m.made(stem[0])
    kernels = ((3, 3), (3, 1), (1, 3), (3, 3))
    blocks = {layers.format(i): kernel for i, kernel in enumerate(kernels)}
    for at, (high, wide) in (blocks | dict.fromkeys(extra, (3, 3))).items():
        m.pair(f"{at}.{main}", f"{at}.{norm}", WIDTH, WIDTH, high, wide)
        if wide > 1:
            m.pair(f"{at}.{vertical}_{conv}", f"{at}.{vertical}_{bn}", WIDTH, WIDTH, high, 1)
        if high > 1:
            m.pair(f"{at}.{horizontal}_{conv}", f"{at}.{horizontal}_{bn}", WIDTH, WIDTH, 1, wide)
        if at != layers.format(0):
            m.norm(f"{at}.rbr_identity", WIDTH)
        m.made(f"{at}.fused_conv")
    m.conv(stays, 10, WIDTH, *((1, 1) if style.endswith("FAST") else ()))
    return m.sample(stays)


# --- RT-DETR and D-FINE


def rtdetr() -> Sample:
    m = Blocks()
    for at in ("model.encoder.fpn_blocks.0", "model.encoder.pan_blocks.0.csp_rep1"):
        for number in (0, 1):
            bottleneck(m, f"{at}.bottlenecks.{number}")
    m.conv("model.enc_score_head", 10, WIDTH, bias=True)
    return m.sample("model.enc_score_head")


def bottleneck(m: Blocks, at: str) -> None:
    names = "conv1", "conv2", "identity"
    rep(m, at, names=names, norm="norm", fused="conv", identity=False)


def dfine() -> Sample:
    m = Blocks()
    layers = ["encoder.lateral_convs.0"]
    layers += [f"encoder.downsample_convs.0.0.cv{i}" for i in (1, 2)]
    for at in ("encoder.fpn_blocks.0", "encoder.pan_blocks.0"):
        bottleneck(m, f"{at}.cv2.0.bottlenecks.0")
        layers += [f"{at}.{name}" for name in ("cv1", "cv2.0.conv1", "cv2.0.conv2", "cv2.1", "cv4")]
    for at in layers:
        m.pair(f"{at}.conv", f"{at}.norm", WIDTH, 1 if at.endswith("0.cv2") else WIDTH, 1, 1)
        m.made(f"{at}.conv_bn_fused")
    m.conv("decoder.dec_score_head.0", 10, WIDTH, bias=True)
    return m.sample("decoder")


NAS = "super-gradients-qarepvgg"

SAMPLES = {
    ("repvgg", "official, in a YOLO"): repvgg_in_yolo(),
    ("repvgg", "super-gradients"): super_gradients(),
    ("repvgg", "EfficientLoFTR, Hugging Face"): loftr(),
    ("mobileone", "apple"): mobileone("apple").sample("stage2.0.se", "linear"),
    ("mobileone", "apple, in a YOLO"): mobileone_in_yolo(),
    ("mobileone", "timm"): mobileone("timm").sample("stage2.0.attn", "linear"),
    ("mobileone", "mmpretrain"): mobileone("mmpretrain").sample("stage2.0.se", "linear"),
    **{("qarepvgg", kind): qarepvgg(kind) for kind in ("V2", "V1", "base")},
    ("yolov6", "official"): yolov6("repvgg"),
    ("yolov6", "with LinearAddBlock"): yolov6("hyper_search"),
    ("yolov6-qarepvgg", "official"): yolov6("qarepvgg"),
    ("yolov6-qarepvggv2", "official"): yolov6("qarepvgg"),
    **{
        (f"{NAS}-partial" if partial else NAS, spelling): yolo_nas(heads, partial=partial)
        for partial in (False, True)
        for spelling, heads in (
            ("YOLO-NAS-Pose", "pose"),
            ("YOLO-NAS", "reg"),
            ("without heads", ""),
        )
    },
    ("acnet", "official"): acnet(),
    ("textnet", "FAST"): textnet("FAST"),
    ("textnet", "docTR, FAST"): textnet("docTR, FAST"),
    ("textnet", "docTR, TextNet"): textnet("docTR"),
    ("textnet", "Hugging Face"): textnet("hf"),
    ("rtdetr", "RT-DETR, Hugging Face"): rtdetr(),
    ("rtdetr", "D-FINE"): dfine(),
}
"""Recipe and spelling, each with a checkpoint in train form and what becomes of it."""
