"""Diverse branches, large kernels, windows, and mobile nets whose depthwise branches are merged."""

from __future__ import annotations

import timm
import torch
from oracle import nets
from oracle.cases.case import Case, Pair, reparameterized
from oracle.modules import dbb, fastvit, large_kernels, mobile


def draw(net):
    """Fresh weights are so small that biases, and residuals beside layer scales, outweigh them."""
    for name, values in net.named_parameters():
        if "layer_scale" in name or "gamma" in name:
            torch.nn.init.normal_(values)
        elif values.ndim > 1:
            torch.nn.init.kaiming_normal_(values)
    return net


def pair(build, *args, x=None, **options):
    """A net in both forms; `build` takes `deploy`."""
    torch.manual_seed(0)
    train, deploy = build(*args, **options), build(*args, deploy=True, **options)
    x = nets.image(3, 32, 32) if x is None else x
    return Pair(nets.randomise(draw(train)), deploy.eval(), x)


def timm_pair(name, **options):
    """A net of timm, and what timm makes of it."""
    torch.manual_seed(0)
    return reparameterized(draw(timm.create_model(name, **options)), nets.image(3, 64, 64))


CASES = [
    Case(
        "dbb",
        "official",
        "module: ResNet, MobileNet and AlexNet with DBB",
        lambda: pair(dbb.Zoo),
    ),
    Case(
        "dbb",
        "official, before April 2021",
        "module: the same nets, whose padding layer is a norm itself",
        lambda: pair(dbb.Zoo, old=True),
    ),
    Case(
        "dbb",
        "in a YOLO",
        "module: blocks among layers named as in YOLO",
        lambda: pair(dbb.yolo),
        {"eps": 1e-3},
    ),
    Case(
        "replknet",
        "official, mmpretrain",
        "module with the official key names",
        lambda: pair(large_kernels.RepLKNet),
    ),
    Case(
        "replknet-deep",
        "official, mmpretrain",
        "module with the official key names",
        lambda: pair(large_kernels.RepLKNet, deep=True),
        {"recipe": "replknet-deep"},
    ),
    Case(
        "unireplknet",
        "official",
        "module with the official key names",
        lambda: pair(large_kernels.UniRepLKNet),
    ),
    Case(
        "repmlp",
        "official, mmpretrain",
        "module with the official key names",
        lambda: pair(large_kernels.RepMLPNet, x=nets.image(3, 48, 48)),
    ),
    Case(
        "fastvit",
        "apple",
        "module: MobileCLIP with the official key names",
        lambda: pair(fastvit.MobileClip, x=nets.image(3, 64, 64)),
    ),
    Case(
        "fastvit",
        "timm, OpenCLIP",
        "timm fastvit_mci0, narrow",
        lambda: timm_pair(
            "fastvit_mci0", layers=(1, 1, 2, 1), embed_dims=(8, 16, 32, 64), num_classes=5
        ),
    ),
    Case("pp-lcnetv2", "timm", "timm lcnetv2_small", lambda: timm_pair("lcnetv2_small")),
    Case(
        "pp-lcnetv3",
        "PaddleOCR ports",
        "module with the official key names",
        lambda: pair(mobile.LCNetV3, mobile.PADDLE),
    ),
    Case(
        "pp-lcnetv3",
        "transformers",
        "module with the official key names",
        lambda: pair(mobile.LCNetV3, mobile.TRANSFORMERS),
    ),
    Case(
        "repghost", "official, timm", "timm repghostnet_050", lambda: timm_pair("repghostnet_050")
    ),
    Case(
        "repghost-repid",
        "official",
        "module with the official key names",
        lambda: pair(mobile.RepGhostNet, plain=True),
        {"recipe": "repghost-repid"},
    ),
    Case(
        "repghost-norep",
        "official",
        "module with the official key names",
        lambda: pair(mobile.RepGhostNet, plain=False),
        {"recipe": "repghost-norep"},
    ),
    Case("ghostnetv3", "timm", "timm ghostnetv3_050", lambda: timm_pair("ghostnetv3_050")),
    Case(
        "ghostnetv3",
        "official",
        "module with the official key names",
        lambda: pair(mobile.GhostNetV3),
    ),
    Case("repnext", "official", "module with the official key names", lambda: pair(mobile.RepNext)),
]
