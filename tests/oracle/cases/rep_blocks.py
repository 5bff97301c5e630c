"""RepVGG, MobileOne, QARepVGG and the nets built of blocks like theirs."""

from __future__ import annotations

from functools import partial

import timm
import torch
from oracle import nets
from oracle.cases.case import Case, Pair, reparameterized
from oracle.modules import rep_blocks as blocks
from torch import nn

OWN = "module with the official key names"


def pair(build, size=(3, 33, 30), **options):
    """A net of ours in both forms, with weights that keep the scale of what passes through."""
    torch.manual_seed(0)
    train = nets.randomise(build(deploy=False, **options))
    for layer in train.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
    return Pair(train, build(deploy=True, **options), nets.image(*size))


def case(recipe, spelling, build, *, options=None, oracle=OWN, **shape):
    return Case(recipe, spelling, oracle, partial(pair, build, **shape), options or {})


def rep_net(names, *, deploy, **options):
    return nets.rep_net(names, deploy=deploy, **options)


def timm_case(recipe, spelling, model):
    def build():
        torch.manual_seed(0)
        return reparameterized(timm.create_model(model, pretrained=False), nets.image(3, 64, 64))

    return Case(recipe, spelling, f"timm {model}", build)


ASKED = {"eps": 1e-3}
NAS, PARTIAL = "super-gradients-qarepvgg", "super-gradients-qarepvgg-partial"
V6 = "yolov6", "yolov6-qarepvgg", "yolov6-qarepvggv2"
qarep_v2 = partial(blocks.yolov6_qarepvgg, average=True)
mobileone = partial(blocks.mobileone, kernel=3)

CASES = [
    case("repvgg", "official", blocks.loftr, size=(1, 33, 30)),
    timm_case("repvgg", "timm", "repvgg_a0"),
    case("repvgg", "mmpretrain", partial(rep_net, nets.MMPRETRAIN, se=True, groups=4)),
    case("repvgg", "super-gradients", blocks.super_gradients),
    case(
        "repvgg",
        "EfficientLoFTR, Hugging Face",
        blocks.loftr_hf,
        size=(1, 33, 30),
        eps=1e-3,
        options=ASKED,
    ),
    case("repvgg", "official, in a detector with a neck", blocks.in_detector, options=ASKED),
    case("repvgg", "official, in a YOLO", partial(blocks.in_yolo, blocks.repvgg), options=ASKED),
    case("repvgg", "official, in YOLOv6", blocks.erblock, options=ASKED),
    case("mobileone", "apple", partial(blocks.mobileone_net, "apple")),
    timm_case("mobileone", "timm", "mobileone_s0"),
    case("mobileone", "mmpretrain", partial(blocks.mobileone_net, "mmpretrain")),
    case("mobileone", "apple, in a YOLO", partial(blocks.in_yolo, mobileone), options=ASKED),
    *(case("qarepvgg", kind, partial(blocks.qarepvgg_net, kind)) for kind in ("V2", "V1", "base")),
    case(V6[0], "official", partial(blocks.yolov6_net, blocks.repvgg)),
    case(V6[0], "with LinearAddBlock", partial(blocks.yolov6_net, blocks.linear_add)),
    case(
        V6[1],
        "official",
        partial(blocks.yolov6_net, blocks.yolov6_qarepvgg),
        options={"recipe": V6[1]},
    ),
    case(V6[2], "official", partial(blocks.yolov6_net, qarep_v2), options={"recipe": V6[2]}),
    *(
        case(
            recipe,
            spelling,
            blocks.yolo_nas_net,
            options=options | ({"recipe": recipe} if recipe == PARTIAL else {}),
            partial=recipe == PARTIAL,
            **shape,
        )
        for recipe in (NAS, PARTIAL)
        for spelling, shape, options in (
            ("YOLO-NAS-Pose", {"pose": True}, {}),
            ("YOLO-NAS", {}, {}),
            ("without heads", {"heads": False}, ASKED),
        )
    ),
    case("acnet", "official", blocks.acnet),
    case("textnet", "FAST", partial(blocks.textnet_net, "FAST")),
    case("textnet", "docTR, FAST", partial(blocks.textnet_net, "docTR", detector=True)),
    case("textnet", "docTR, TextNet", partial(blocks.textnet_net, "docTR")),
    case("textnet", "Hugging Face", partial(blocks.textnet_net, "Hugging Face")),
    case("rtdetr", "D-FINE", blocks.rtdetr_net, dfine=True),
    case("rtdetr", "RT-DETR, Hugging Face", blocks.rtdetr_net),
]
