"""A sample of the sweep: all classifiers of torchvision, and every way a model can be claimed."""

from __future__ import annotations

import pytest
import torchvision
from oracle import sweep

CLASSIFIERS = {
    **{f"densenet{depth}": "densenet" for depth in (121, 161, 169, 201)},
    **{f"efficientnet_b{n}": "efficientnet" for n in range(8)},
    **{f"efficientnet_v2_{size}": "efficientnet" for size in "sml"},
    **dict.fromkeys(("googlenet", "inception_v3"), "inception"),
    "maxvit_t": "maxvit",
    **{f"mnasnet{width}": "mnasnet" for width in ("0_5", "0_75", "1_0", "1_3")},
    "mobilenet_v2": "mobilenetv2",
    **dict.fromkeys(("mobilenet_v3_large", "mobilenet_v3_small"), "mobilenetv3"),
    **{f"regnet_{kind}_{size}mf": "regnet" for kind in "xy" for size in (400, 800)},
    **{f"regnet_x_{size}gf": "regnet" for size in ("1_6", "3_2", "8", "16", "32")},
    **{f"regnet_y_{size}gf": "regnet" for size in ("1_6", "3_2", "8", "16", "32", "128")},
    **{f"resnet{depth}": "resnet" for depth in (18, 34, 50, 101, 152)},
    **{f"resnext{kind}": "resnet" for kind in ("50_32x4d", "101_32x8d", "101_64x4d")},
    **{f"shufflenet_v2_x{width}": "shufflenetv2" for width in ("0_5", "1_0", "1_5", "2_0")},
    **{f"vgg{depth}_bn": "vgg" for depth in (11, 13, 16, 19)},
    **{f"wide_resnet{depth}_2": "resnet" for depth in (50, 101)},
    **dict.fromkeys(("mc3_18", "r2plus1d_18", "r3d_18"), "video-resnet"),
    "s3d": "s3d",
}
"""Every classifier of torchvision that has batch norms, and the recipe that fuses it."""

EQUAL = [
    "timm/mobilenetv2_035",
    "timm/repghostnet_050",
    "timm/repvgg_a0",
    "timm/resnet10t",
    "timm/resnet18d",
    "timm/starnet_s050",
    "timm/test_byobnet",
    "timm/test_efficientnet",  # its eps is asked for
    "timm/test_resnet",
    "torchvision/shufflenet_v2_x0_5",
]
REFUSED = [
    "timm/coatnet_bn_0_rw_224",  # two eps in one net
    "timm/convmixer_768_32",  # an activation before every norm
    "timm/efficientnet_cc_b0_4e",  # mixes experts
    "timm/mixnet_s",  # one norm for several convolutions
    "timm/resnet50_gn",
    "timm/resnetv2_50x1_bit",
    "timm/test_vit",
    "torchvision/deeplabv3_mobilenet_v3_large",  # two eps in one net
    "torchvision/raft_large",
    "torchvision/vgg11",
]


def test_all_classifiers_of_torchvision_are_here():
    found = {
        name
        for module in (torchvision.models, torchvision.models.video)
        for name in torchvision.models.list_models(module=module)
        if sweep.norms(sweep.skeleton(f"torchvision/{name}"))
    }
    assert found == CLASSIFIERS.keys()


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classifier(name):
    """Planned with the eps of its norms, each fused into the convolution it follows."""
    status, detail = sweep.check(f"torchvision/{name}", limit=0)
    assert status == "paired", detail
    assert detail.startswith(CLASSIFIERS[name])


@pytest.mark.parametrize("name", EQUAL)
def test_equal(name):
    status, detail = sweep.check(name)
    assert status == "equal", detail


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    status, detail = sweep.check(name)
    assert status == "refused", detail
