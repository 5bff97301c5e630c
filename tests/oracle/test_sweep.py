"""A sample of the sweep: every way a model of the libraries can be claimed, and near misses."""

from __future__ import annotations

import pytest
from oracle import sweep

CLAIMED = [
    "timm/ecaresnet26t",
    "timm/hrnet_w18_small",  # its first stage is a ResNet's; the other norms stay
    "timm/mobilenetv2_035",
    "timm/mobilenetv2_110d",
    "timm/repvgg_a0",
    "timm/resnet10t",
    "timm/resnet18d",
    "timm/resnetblur18",
    "timm/seresnext26d_32x4d",
    "timm/test_resnet",
    "torchvision/quantized_mobilenet_v2",
    "torchvision/resnet34",
]
REFUSED = [
    "timm/densenet121",
    "timm/dpn48b",
    "timm/fbnetc_100",
    "timm/ghostnet_100",
    "timm/legacy_seresnet18",
    "timm/mobilenetv1_100",
    "timm/mobilenetv3_small_050",
    "timm/mobilenetv4_conv_small",
    "timm/mobileone_s0",
    "timm/res2net50d",
    "timm/resnet50_gn",
    "timm/resnetv2_50",
    "timm/skresnet18",
    "timm/test_efficientnet",
    "timm/test_vit",
    "timm/tf_efficientnet_lite0",  # MobileNetV2's names with another eps
    "torchvision/fasterrcnn_resnet50_fpn",
    "torchvision/googlenet",
    "torchvision/mnasnet0_5",
    "torchvision/r3d_18",
    "torchvision/vgg11",
]


@pytest.mark.parametrize("name", CLAIMED)
def test_claimed(name):
    status, detail = sweep.check(name)
    assert status == "equal", detail


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    status, detail = sweep.check(name)
    assert status == "refused", detail
