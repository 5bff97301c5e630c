"""Small state dicts in every spelling the recipes know, written out from the key names alone."""

from __future__ import annotations

import numpy as np

State = dict[str, np.ndarray]


class Maker:
    """Adds layers with random weights, and norms with statistics that are anything but fresh."""

    def __init__(self, seed: int = 0, dtype: type = np.float32) -> None:
        self.state: State = {}
        self.rng = np.random.default_rng(seed)
        self.dtype = dtype

    def conv(self, name: str, out: int, into: int, *space: int, bias: bool = False) -> None:
        self.add(f"{name}.weight", self.rng.normal(size=(out, into, *space)))
        if bias:
            self.add(f"{name}.bias", self.rng.normal(size=out))

    def norm(self, name: str, width: int) -> None:
        self.add(f"{name}.weight", self.rng.normal(1, 0.5, size=width))
        self.add(f"{name}.bias", self.rng.normal(size=width))
        self.add(f"{name}.running_mean", self.rng.normal(size=width))
        self.add(f"{name}.running_var", self.rng.uniform(0.1, 2, size=width))
        self.state[f"{name}.num_batches_tracked"] = np.array(7)

    def add(self, name: str, values: np.ndarray) -> None:
        self.state[name] = values.astype(self.dtype)


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


FAMILIES = {
    ("repvgg", "official"): (repvgg("official"), 3),
    ("repvgg", "timm"): (repvgg("timm", se=True), 3),
    ("repvgg", "mmpretrain"): (repvgg("mmpretrain", groups=4), 3),
    ("repvgg", "official, in a detector with a neck"): (detector(), 3),
    ("repvgg", "official, in YOLOv6"): (yolov6(), 3),
    ("resnet", "torchvision, timm"): (resnet(), 8),
    ("resnet", "timm deep stem"): (resnet(deep_stem=True, pooled=True), 10),
    ("resnet", "torchvision detection backbone"): (detection_backbone(), 8),
    ("vgg", "torchvision"): (vgg(), 3),
    ("vgg", "timm"): (vgg("timm"), 3),
    ("mobilenetv2", "torchvision"): (mobilenetv2(), 7),
    ("mobilenetv2", "flat Sequential blocks"): (mobilenetv2("flat"), 7),
    ("mobilenetv2", "timm"): (mobilenetv2("timm"), 7),
    ("resnet-shared-norm", "residual_blocks"): (shared_norm_resnet(), 5),
    ("resnext-basic", "basic + shortcut"): (basic_resnext(), 7),
}
"""Recipe and spelling: a state dict and how many fusions it holds."""
