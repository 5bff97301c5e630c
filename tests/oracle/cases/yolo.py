"""YOLOs, and nets of mmcv's ConvModule."""

from functools import partial

import torch
from oracle import nets
from oracle.cases.case import Case, Pair
from oracle.modules import yolo
from torch import nn

ORACLE = "module with the official key names"


def pair(build, *, eps=1e-3, size=(36, 28)):
    """Both forms of a net."""
    torch.manual_seed(0)
    train, deploy = (yolo.with_eps(build(deploy=form), eps).eval() for form in (False, True))
    return Pair(nets.randomise(nets.lively(train)), deploy, nets.image(3, *size))


def newest(*, deploy, auxiliary=False):
    """Every kind of layer that the models of ultralytics and YOLOv9 fuse, and some they do not."""
    conv = partial(yolo.Conv, deploy=deploy)
    rep = partial(yolo.RepConv, deploy=deploy)
    return yolo.Yolo(
        conv(3, 8, 3, 2),
        conv(8, 8, 6, 2),
        yolo.Stages("m", yolo.Bottleneck(rep(8, 8), conv(8, 8, 3, 1, 2))),
        yolo.Conv2(8, 16, 2, 4, deploy=deploy),
        yolo.ConvTranspose(16, 8, deploy=deploy),
        yolo.Linear(8, 16),
        yolo.Stages(
            "m",
            yolo.LightConv(16, 16, 5, deploy=deploy),
            rep(16, 8, 2, 4),
            rep(8, 8, 1, 2, identity=True),
        ),
        yolo.Stages("m", yolo.Stages("cv1", conv(8, 8, 3, 1, 8), yolo.RepVGGDW(8, deploy=deploy))),
        yolo.Bottleneck(yolo.Conv2(8, 8, deploy=deploy), rep(8, 8)),
        yolo.DecoupledHead((8, 8), auxiliary=auxiliary, deploy=deploy),
    )


def rtdetr(*, deploy):
    conv = partial(yolo.Conv, deploy=deploy)
    return yolo.Yolo(
        conv(3, 8, 3, 2),
        yolo.Stages("m", yolo.LightConv(8, 8, 3, deploy=deploy), conv(8, 8, 3)),
        yolo.Stages("m", yolo.RepConv(8, 8, deploy=deploy), yolo.RepConv(8, 8, deploy=deploy)),
        conv(8, 12, 3, 2),
        yolo.DetrHead((8, 12)),
    )


def plain(head, *, deploy):
    conv = partial(yolo.Conv, deploy=deploy)
    first = yolo.Stages("layer", conv(3, 8, 3, 2))
    middle = yolo.Stages("m", yolo.Bottleneck(conv(8, 8), conv(8, 8, 3, 1, 8)))
    return yolo.Yolo(first, conv(8, 8, 3), middle, conv(8, 12, 3, 2), head((8, 12), deploy=deploy))


def anchors(*, deploy):
    """YOLOv5, with the first layers and blocks of its oldest version."""
    conv = partial(yolo.Conv, deploy=deploy)
    focus = yolo.Stages("conv", nn.PixelUnshuffle(2), conv(12, 8, 3))
    csp = yolo.BottleneckCSP(8, 8, deploy=deploy)
    return yolo.Yolo(focus, csp, conv(8, 12, 3, 2), yolo.AnchorHead((8, 12)))


def yolov7(*, deploy, kept=False, **head):
    """`kept`: the implicit vectors stay in the deploy form."""
    conv = partial(yolo.Conv, deploy=deploy)
    rep = partial(yolo.OfficialRepConv, deploy=deploy)
    head["implicit"] = head.get("implicit", True) and (kept or not deploy)
    return yolo.Yolo(
        conv(3, 8, 3, 2),
        rep(8, 8),
        rep(8, 8, 1, 2),
        rep(8, 8, 1, 8),
        yolo.Stages("m", yolo.Bottleneck(conv(8, 8), rep(8, 8, 1, 4))),
        rep(8, 12, 2, 4),
        rep(12, 12, 2),
        yolo.AnchorHead((12, 12), **head),
    )


def ppyoloe(*, deploy):
    """Only the blocks are fused; convolutions beside them keep their norms."""

    def stage(*, alpha):
        rep = yolo.PpyoloeRep(8, alpha=alpha, deploy=deploy)
        block = nets.named(conv1=yolo.Conv(8, 8, 3), conv2=rep)
        return yolo.Stages("blocks", block)

    stem = nn.Sequential(yolo.Conv(3, 8, 3, 2))
    backbone = nets.named(stem=stem, stage1=nn.Sequential(stage(alpha=True)))
    return nets.named(backbone=backbone, neck=nn.Sequential(stage(alpha=False)))


def convmodules(*, deploy):
    module = partial(yolo.ConvModule, deploy=deploy)
    depthwise = nets.named(
        depthwise_conv=module(8, 8, (5, 3), 2, 8), pointwise_conv=module(8, 12, 1, 1, 2)
    )
    backbone = nets.named(stem=module(3, 8, 3, 2), layer1=nn.Sequential(depthwise))
    neck = nets.named(lateral_convs=nn.Sequential(module(12, 8), module(8, 8, norm=False)))
    fpn = nets.named(fpn_convs=nn.Sequential(module(8, 8, 3, first=True)))
    head = nets.named(cls_convs=nn.Sequential(module(8, 8, 3)), conv_cls=nn.Conv2d(8, 5, 1))
    return nets.named(backbone=backbone, neck=nn.Sequential(neck, fpn), bbox_head=head)


CASES = [
    Case("ultralytics", "YOLOv8 to YOLO26, YOLOv9", ORACLE, partial(pair, newest)),
    Case(
        "ultralytics",
        "YOLOv8 to YOLO26, YOLOv9",
        ORACLE,
        partial(pair, partial(newest, auxiliary=True)),
    ),
    Case("ultralytics", "RT-DETR", ORACLE, partial(pair, rtdetr)),
    Case(
        "ultralytics",
        "semantic segmentation",
        ORACLE,
        partial(pair, partial(plain, yolo.Segmenter)),
    ),
    Case("ultralytics", "depth", ORACLE, partial(pair, partial(plain, yolo.DepthHead))),
    Case(
        "ultralytics",
        "classification",
        ORACLE,
        partial(pair, partial(plain, yolo.Classifier), eps=1e-5),
        {"eps": 1e-5},
    ),
    Case("ultralytics", "YOLOv5, YOLOv3", ORACLE, partial(pair, anchors)),
    Case("yolov7", "implicit heads", ORACLE, partial(pair, yolov7)),
    Case("yolov7", "implicit heads", ORACLE, partial(pair, partial(yolov7, beside=("m2",)))),
    Case(
        "yolov7",
        "keypoints",
        ORACLE,
        partial(pair, partial(yolov7, beside=("m_kpt",), kept=True)),
    ),
    Case("yolov7", "plain heads", ORACLE, partial(pair, partial(yolov7, implicit=False))),
    Case("ppyoloe", "MMYOLO", ORACLE, partial(pair, ppyoloe, eps=1e-5)),
    Case(
        "mmcv",
        "ConvModule",
        ORACLE,
        partial(pair, convmodules),
        {"eps": 1e-3, "recipe": "mmcv"},
    ),
]
