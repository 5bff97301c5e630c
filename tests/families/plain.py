"""RepVGG, and nets whose norms follow their convolutions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from families.sample import Maker, Sample

if TYPE_CHECKING:
    from families.sample import State


def repvgg(style: str, *, se: bool = False, groups: int = 1) -> State:
    conv, bn = {"official": ("conv", "bn"), "timm": ("conv", "bn"), "mmpretrain": ("conv", "norm")}[
        style
    ]
    big, small, identity, attention = {
        "official": ("rbr_dense", "rbr_1x1", "rbr_identity", "se.down"),
        "timm": ("conv_kxk", "conv_1x1", "identity", "attn.fc1"),
        "mmpretrain": ("branch_3x3", "branch_1x1", "branch_norm", "se_layer.conv1.conv"),
    }[style]
    first, rest = {
        "official": ("stage0", ("stage1.0", "stage1.1")),
        "timm": ("stem", ("stages.0.0", "stages.0.1")),
        "mmpretrain": ("stem", ("stage_1.0", "stage_1.1")),
    }[style]
    m = Maker()
    for block, into, with_identity in ((first, 3, False), (rest[0], 8, False), (rest[1], 8, True)):
        g = groups if into == 8 else 1
        m.conv(f"{block}.{big}.{conv}", 8, into // g, 3, 3)
        m.norm(f"{block}.{big}.{bn}", 8)
        m.conv(f"{block}.{small}.{conv}", 8, into // g, 1, 1)
        m.norm(f"{block}.{small}.{bn}", 8)
        if with_identity:
            m.norm(f"{block}.{identity}", 8)
        if se:
            m.conv(f"{block}.{attention}", 2, 8, 1, 1, bias=True)
    m.conv("head.fc", 10, 8, bias=True)
    return m.state


def detector() -> State:
    m = Maker()
    m.conv("neck.reduce.conv", 4, 8, 1, 1, bias=True)
    m.state |= {f"backbone.{k}": v for k, v in repvgg("official").items()}
    return m.state


def yolov6() -> State:
    names = {"stage0": "stem", "stage1.0": "ERBlock_2.0", "stage1.1": "ERBlock_2.1.conv1"}
    state = repvgg("official")
    for old, new in names.items():
        state = {k.replace(old, new): v for k, v in state.items()}
    return state


def resnet(*, deep_stem: bool = False, pooled: bool = False, bottleneck: bool = True) -> State:
    m = Maker()
    if deep_stem:
        for conv, bn, into, out in (
            ("conv1.0", "conv1.1", 3, 4),
            ("conv1.3", "conv1.4", 4, 4),
            ("conv1.6", "bn1", 4, 8),
        ):
            m.conv(conv, out, into, 3, 3)
            m.norm(bn, out)
    else:
        m.conv("conv1", 8, 3, 7, 7)
        m.norm("bn1", 8)
    for block, into in (("layer1.0", 8), ("layer1.1", 16)):
        if bottleneck:
            shapes = ((4, into, 1), (4, 2, 3), (16, 4, 1))  # the second one grouped
        else:
            shapes = ((16, into, 3), (16, 16, 3))
        for number, (out, width, k) in enumerate(shapes, start=1):
            m.conv(f"{block}.conv{number}", out, width, k, k)
            m.norm(f"{block}.bn{number}", out)
        if into == 8:
            first = 1 if pooled else 0
            m.conv(f"{block}.downsample.{first}", 16, 8, 1, 1)
            m.norm(f"{block}.downsample.{first + 1}", 16)
    m.conv("fc", 10, 16, bias=True)
    return m.state


def cifar_resnet() -> State:
    names = {"downsample": "shortcut", "fc": "linear"}
    state = resnet(bottleneck=False)
    for old, new in names.items():
        state = {k.replace(old, new): v for k, v in state.items()}
    return state


def detection_backbone() -> State:
    state = {f"backbone.body.{k}": v for k, v in resnet().items() if not k.startswith("fc.")}
    m = Maker()
    m.conv("backbone.fpn.inner_blocks.0.0", 4, 16, 1, 1, bias=True)
    return state | m.state


def vgg(head: str = "torchvision") -> State:
    m = Maker()
    for index, (out, into) in {0: (4, 3), 3: (8, 4), 7: (8, 8)}.items():
        m.conv(f"features.{index}", out, into, 3, 3, bias=True)
        m.norm(f"features.{index + 1}", out)
    heads = {"torchvision": ("classifier.0", "classifier.3"), "timm": ("pre_logits.fc1", "head.fc")}
    for name in heads[head]:
        m.conv(name, 10, 8, bias=True)
    return m.state


def mobilenetv2(style: str = "torchvision") -> State:
    m = Maker()
    if style == "timm":
        pairs = {"conv_stem": ("bn1", 8, 3, 3), "conv_head": ("bn2", 16, 8, 1)}
        pairs |= {
            "blocks.0.0.conv_dw": ("blocks.0.0.bn1", 8, 1, 3),
            "blocks.0.0.conv_pw": ("blocks.0.0.bn2", 8, 8, 1),
            "blocks.1.0.conv_pw": ("blocks.1.0.bn1", 16, 8, 1),
            "blocks.1.0.conv_dw": ("blocks.1.0.bn2", 16, 1, 3),
            "blocks.1.0.conv_pwl": ("blocks.1.0.bn3", 8, 16, 1),
        }
    else:
        pairs = {
            "features.0.0": ("features.0.1", 8, 3, 3),
            "features.3.0": ("features.3.1", 16, 8, 1),
        }
        if style == "torchvision":
            pairs |= {
                "features.1.conv.0.0": ("features.1.conv.0.1", 8, 1, 3),
                "features.1.conv.1": ("features.1.conv.2", 8, 8, 1),
                "features.2.conv.0.0": ("features.2.conv.0.1", 16, 8, 1),
                "features.2.conv.1.0": ("features.2.conv.1.1", 16, 1, 3),
                "features.2.conv.2": ("features.2.conv.3", 8, 16, 1),
            }
        else:
            pairs |= {
                "features.1.conv.0": ("features.1.conv.1", 8, 1, 3),
                "features.1.conv.3": ("features.1.conv.4", 8, 8, 1),
                "features.2.conv.0": ("features.2.conv.1", 16, 8, 1),
                "features.2.conv.3": ("features.2.conv.4", 16, 1, 3),
                "features.2.conv.6": ("features.2.conv.7", 8, 16, 1),
            }
    for conv, (bn, out, into, k) in pairs.items():
        m.conv(conv, out, into, k, k)
        m.norm(bn, out)
    m.conv("classifier.1", 10, 16, bias=True)
    return m.state


def shared_norm_resnet() -> State:
    m = Maker()
    m.conv("conv1", 8, 3, 7, 7, bias=True)
    m.norm("batch_norm", 8)
    for block in ("residual_blocks.0", "residual_blocks.1"):
        m.conv(f"{block}.conv1", 8, 8, 3, 3, bias=True)
        m.conv(f"{block}.conv2", 8, 8, 3, 3, bias=True)
        m.norm(f"{block}.bn", 8)
        m.conv(f"{block}.conv3", 8, 8, 1, 1, bias=True)
        m.conv(f"{block}.conv4", 8, 8, 1, 1, bias=True)
    m.conv("fc", 10, 8, bias=True)
    return m.state


def basic_resnext() -> State:
    m = Maker()
    m.conv("conv0", 8, 3, 3, 3)
    m.norm("bn0", 8)
    for block in ("layer1.0", "layer1.1"):
        for conv, bn, shape in (
            ("conv1_0", "bn1", (8, 8, 1, 1)),
            ("conv3_0", "bn2", (8, 2, 3, 3)),
            ("conv1_1", "bn3", (8, 8, 1, 1)),
        ):
            m.conv(f"{block}.basic.{conv}", *shape)
            m.norm(f"{block}.basic.{bn}", 8)
        m.conv(f"{block}.shortcut.0", 8, 8, 1, 1)
        m.norm(f"{block}.bn0", 8)
    m.conv("fc", 10, 8, bias=True)
    return m.state


RESNET = tuple(
    f"{block}.{layer}"
    for block, layers in (
        ("layer1.0", ("conv1", "conv2", "conv3", "downsample.0")),
        ("layer1.1", ("conv1", "conv2", "conv3")),
    )
    for layer in layers
)
DEEP = ("conv1.0", "conv1.3", "conv1.6", *(n.replace("sample.0", "sample.1") for n in RESNET))
BACKBONE = tuple(f"backbone.body.{name}" for name in ("conv1", *RESNET))

SAMPLES = {
    ("repvgg", "official"): Sample(
        repvgg("official"),
        makes=("stage0.rbr_reparam", "stage1.0.rbr_reparam", "stage1.1.rbr_reparam"),
        stays=("head.fc",),
    ),
    ("repvgg", "timm"): Sample(
        repvgg("timm", se=True),
        makes=("stem.reparam_conv", "stages.0.0.reparam_conv", "stages.0.1.reparam_conv"),
        stays=("stem.attn", "stages.0.0.attn", "stages.0.1.attn", "head.fc"),
    ),
    ("repvgg", "mmpretrain"): Sample(
        repvgg("mmpretrain", groups=4),
        makes=("stem.branch_reparam", "stage_1.0.branch_reparam", "stage_1.1.branch_reparam"),
        stays=("head.fc",),
    ),
    ("repvgg", "official, in a detector with a neck"): Sample(
        detector(),
        makes=tuple(f"backbone.{b}.rbr_reparam" for b in ("stage0", "stage1.0", "stage1.1")),
        stays=("neck.", "backbone.head.fc"),
        eps=1e-3,
        said=True,
    ),
    ("repvgg", "official, in YOLOv6"): Sample(
        yolov6(),
        makes=tuple(f"{b}.rbr_reparam" for b in ("stem", "ERBlock_2.0", "ERBlock_2.1.conv1")),
        stays=("head.fc",),
        eps=1e-3,
        said=True,
    ),
    ("resnet", "torchvision, timm"): Sample(resnet(), makes=("conv1", *RESNET), stays=("fc",)),
    ("resnet", "timm deep stem"): Sample(
        resnet(deep_stem=True, pooled=True), makes=DEEP, stays=("fc",)
    ),
    ("resnet", "torchvision detection backbone"): Sample(
        detection_backbone(), makes=BACKBONE, stays=("backbone.fpn",), eps=0.0, said=True
    ),
    ("vgg", "torchvision"): Sample(
        vgg(), makes=("features.0", "features.3", "features.7"), stays=("classifier",)
    ),
    ("vgg", "timm"): Sample(
        vgg("timm"),
        makes=("features.0", "features.3", "features.7"),
        stays=("pre_logits", "head.fc"),
    ),
    ("mobilenetv2", "torchvision"): Sample(
        mobilenetv2(),
        makes=(
            "features.0.0",
            *("features.1.conv.0.0", "features.1.conv.1"),
            *("features.2.conv.0.0", "features.2.conv.1.0", "features.2.conv.2"),
            "features.3.0",
        ),
        stays=("classifier",),
    ),
    ("mobilenetv2", "flat Sequential blocks"): Sample(
        mobilenetv2("flat"),
        makes=(
            "features.0.0",
            *("features.1.conv.0", "features.1.conv.3"),
            *("features.2.conv.0", "features.2.conv.3", "features.2.conv.6"),
            "features.3.0",
        ),
        stays=("classifier",),
    ),
    ("mobilenetv2", "timm"): Sample(
        mobilenetv2("timm"),
        makes=(
            "conv_stem",
            *("blocks.0.0.conv_dw", "blocks.0.0.conv_pw"),
            *("blocks.1.0.conv_pw", "blocks.1.0.conv_dw", "blocks.1.0.conv_pwl"),
            "conv_head",
        ),
        stays=("classifier",),
    ),
    ("resnet-shared-norm", "residual_blocks"): Sample(
        shared_norm_resnet(),
        makes=("conv1", *(f"residual_blocks.{n}.conv{m}" for n in (0, 1) for m in (1, 2))),
        stays=(*(f"residual_blocks.{n}.conv{m}" for n in (0, 1) for m in (3, 4)), "fc"),
    ),
    ("resnext-basic", "basic + shortcut"): Sample(
        basic_resnext(),
        makes=(
            "conv0",
            *(
                f"layer1.{n}.basic.{conv}"
                for n in (0, 1)
                for conv in ("conv1_0", "conv3_0", "conv1_1")
            ),
        ),
        stays=(*(f"layer1.{n}.{name}" for n in (0, 1) for name in ("shortcut", "bn0")), "fc"),
    ),
}
"""Recipe and spelling, each with a checkpoint in train form and what becomes of it."""
