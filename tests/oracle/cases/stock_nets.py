"""Plain nets of torchvision and timm: the libraries' own modules, with few layers and channels."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import partial

import torch
import torchvision
from oracle import nets
from oracle.cases.case import Case, Pair
from oracle.modules import stock_nets as own
from timm.layers import BatchNormAct2d, ConvNormAct, create_conv2d
from timm.models import create_model, maxxvit
from timm.models import efficientnet as builders
from timm.models import mobilenetv3 as builders_v3
from timm.models.cspnet import CspModelCfg, CspNet, CspStagesCfg, CspStemCfg
from timm.models.cspnext import CspNext
from timm.models.densenet import DenseNet
from timm.models.dla import DLA, DlaBottle2neck, DlaBottleneck
from timm.models.dpn import DPN
from timm.models.efficientformer import EfficientFormer
from timm.models.efficientformer_v2 import EfficientFormerV2
from timm.models.efficientvit_mit import EfficientVit
from timm.models.fasternet import FasterNet
from timm.models.ghostnet import _create_ghostnet
from timm.models.hgnet import HighPerfGpuNet
from timm.models.hrnet import HighResolutionNet, cfg_cls
from timm.models.inception_resnet_v2 import InceptionResnetV2
from timm.models.inception_v4 import InceptionV4
from timm.models.nasnet import NASNetALarge
from timm.models.regnet import RegNet, RegNetCfg
from timm.models.res2net import Bottle2neck
from timm.models.resnest import ResNestBottleneck
from timm.models.resnet import Bottleneck, ResNet
from timm.models.resnetv2 import ResNetV2
from timm.models.rexnet import RexNet
from timm.models.selecsls import SelecSls, SelecSlsBlock
from timm.models.senet import SENet, SEResNeXtBottleneck
from timm.models.sknet import SelectiveKernelBasic, SelectiveKernelBottleneck
from timm.models.starnet import StarNet
from timm.models.tresnet import TResNet
from timm.models.vgg import VGG
from timm.models.vovnet import VovNet
from timm.models.vovnet import model_cfgs as vovnets
from timm.models.xception import SeparableConv2d, Xception
from timm.models.xception_aligned import XceptionAligned
from torch import nn
from torchvision.models import detection, inception, regnet, video
from torchvision.models import efficientnet as tv_efficientnet
from torchvision.models.googlenet import GoogLeNet, Inception
from torchvision.models.googlenet import InceptionAux as GoogLeNetAux

OWN = "module with the official key names"


def built(make, *args, size=(3, 64, 64), eps=None, keeps="", gain=2, **options):
    """A net and its twin without the norms that follow convolutions.

    `keeps` names norms that do, but whose convolution is read elsewhere too, or that stand before
    an activation with every other norm of their kind.
    """
    torch.manual_seed(0)
    net, x = lively(make(*args, **options), gain), nets.image(*size)
    for norm in (m for m in net.modules() if eps and isinstance(m, nets.NORMS)):
        norm.eps = eps
    nets.randomise(net)
    followed = {n: c for n, c in nets.pairs(net, x).items() if not (keeps and keeps in n)}
    return Pair(net, nets.without_norms(net, followed), x)


def lively(net, gain=2):
    """Kernels that keep the variance: with those of training's start, hardly any image shows.

    A gain of 2 is for ReLU; more for activations that pass less, less where layers are multiplied.
    """
    with torch.no_grad():
        for name, weights in net.named_parameters():
            if weights.ndim > 1:
                weights.normal_(std=(gain / weights[0].numel()) ** 0.5)
            elif name.endswith("layer_scale.gamma"):
                weights.uniform_(0.5, 1.5)
    return net


class Mean(nn.Module):
    def __init__(self, axes):
        super().__init__()
        self.axes = axes

    def forward(self, x):
        return x.mean(self.axes)


# --- ResNet and its relatives


def resnet(block=None, **options):
    """timm's ResNet, with four blocks of a few channels."""
    options = {"layers": [1, 2, 1, 1], "num_classes": 5, "stem_width": 8} | options
    return ResNet(block or Bottleneck, **options)


def detector():
    """The backbone of torchvision's detectors, with norms that are no constants, and eps 0."""
    norm = partial(nn.BatchNorm2d, eps=0.0)
    body = torchvision.models.ResNet(
        torchvision.models.resnet.BasicBlock, [1, 1, 1, 1], norm_layer=norm
    )
    layers = {f"layer{i}": str(i) for i in (1, 2, 3, 4)}
    widths = [64, 128, 256, 512]
    return own.Features(detection.backbone_utils.BackboneWithFPN(body, layers, widths, 8))


def vgg():
    plan = [8, "M", 16, 16, "M", 24, "M"]
    net = torchvision.models.VGG(
        torchvision.models.vgg.make_layers(plan, batch_norm=True), init_weights=False
    )
    net.classifier = nn.Sequential(nn.Linear(24 * 49, 8), nn.ReLU(), nn.Dropout(), nn.Linear(8, 5))
    return net


def senet():
    block = SEResNeXtBottleneck
    return SENet(block, (1, 2, 1, 1), 8, 16, inplanes=16, input_3x3=True, num_classes=5)


def hrnet():
    cfg = copy.deepcopy(cfg_cls["hrnet_w18_small"])
    cfg["stem_width"] = 8
    for stage in range(1, 5):
        part = cfg[f"stage{stage}"]
        part["num_blocks"] = (1,) * len(part["num_blocks"])
        part["num_channels"] = tuple(c // 4 for c in part["num_channels"])
    return HighResolutionNet(cfg, num_classes=5)


# --- EfficientNet and MobileNet


def efficientnet_v1(depth):
    setting, _ = tv_efficientnet._efficientnet_conf(
        "efficientnet_b0", width_mult=0.25, depth_mult=depth
    )
    return tv_efficientnet.EfficientNet(setting, 0, 0, 5)


def efficientnet_v2():
    fused = tv_efficientnet.FusedMBConvConfig
    setting = [
        fused(1, 3, 1, 8, 8, 1),
        fused(4, 3, 2, 8, 16, 2),
        fused(4, 3, 2, 16, 16, 1),
        tv_efficientnet.MBConvConfig(4, 3, 2, 16, 24, 2),
    ]
    return tv_efficientnet.EfficientNet(setting, 0, 0, 5, last_channel=32)


def mnasnet():
    """Without the class, which loads only what it has saved itself."""
    net = torchvision.models.MNASNet(0.25, 5)
    return own.named(layers=net.layers, mean=Mean((2, 3)), classifier=net.classifier)


def mobilenetv2():
    setting = [[1, 16, 1, 1], [6, 24, 2, 2], [6, 32, 1, 2]]
    return torchvision.models.MobileNetV2(5, 0.5, setting)


# --- Inception


class Slim(inception.BasicConv2d):
    """An eighth of the channels."""

    def __init__(self, width, out, **options):
        super().__init__(width if width == 3 else width // 8, out // 8, **options)


def with_auxiliary(net, x):
    """A net with heads that are called in training only; the twin is without their norms too."""
    nets.randomise(net)
    seen = nets.pairs(copy.deepcopy(net).train(), torch.cat([x, -x]))
    return Pair(net, nets.without_norms(net, seen), x)


def googlenet_slim():
    torch.manual_seed(0)
    parts = [
        Slim,
        partial(Inception, conv_block=Slim),
        partial(GoogLeNetAux, conv_block=Slim),
    ]
    net = GoogLeNet(5, init_weights=False, blocks=parts)
    net.fc = nn.Linear(128, 5)
    for head in (net.aux1, net.aux2):
        head.fc1, head.fc2 = nn.Linear(256, 8), nn.Linear(8, 5)
    return with_auxiliary(lively(net), nets.image(3, 64, 64))


def inception_slim():
    torch.manual_seed(0)
    letters = "ABCDE"
    parts = [partial(getattr(inception, f"Inception{x}"), conv_block=Slim) for x in letters]
    head = partial(inception.InceptionAux, conv_block=Slim)
    net = inception.Inception3(5, init_weights=False, inception_blocks=[Slim, *parts, head])
    net.fc, net.AuxLogits.fc = nn.Linear(256, 5), nn.Linear(96, 5)
    return with_auxiliary(lively(net), nets.image(3, 299, 299))


def inception_v4():
    return own.classified("last_linear", 384, features=InceptionV4().features[:7])


def inception_resnet():
    net = InceptionResnetV2()
    first = dict(list(net.named_children())[:8])
    last = ConvNormAct(320, 16, 1, norm_kwargs={"eps": 1e-3})
    return own.classified("classif", 16, **first, repeat=net.repeat[:1], conv2d_7b=last)


# --- others


def cspnet(stem, **options):
    stages = CspStagesCfg(depth=(1, 2), out_chs=(16, 24), stride=2, bottle_ratio=0.5, **options)
    return CspNet(CspModelCfg(CspStemCfg(stem, 2), stages), num_classes=5)


def hgnet():
    stages = {
        "stage1": [16, 8, 16, 1, False, False, 3, 3],
        "stage2": [16, 8, 24, 1, True, False, 3, 3],
        "stage3": [24, 8, 24, 2, True, False, 3, 3],
        "stage4": [24, 8, 32, 1, True, False, 3, 3],
    }
    return HighPerfGpuNet(
        {"stem_type": "v1", "stem_chs": [8, 8, 16], **stages}, num_classes=5, head_hidden_size=8
    )


def vovnet():
    cfg = vovnets["ese_vovnet19b_slim_dw"] | {
        "stem_chs": [8, 8, 8],
        "stage_conv_chs": [8, 8, 12, 12],
        "stage_out_chs": [16, 16, 24, 24],
    }
    return VovNet(cfg, num_classes=5)


def selecsls():
    cfg = {
        "block": SelecSlsBlock,
        "features": [(32, 0, 8, 8, True, 2), (8, 8, 8, 16, False, 1)],
        "feature_info": [],
        "head": [(16, 24, 3, 2), (24, 32, 1, 1)],
        "num_features": 32,
    }
    return SelecSls(cfg, num_classes=5)


def xception():
    net = Xception(num_classes=5)
    for n in range(3, 13):
        setattr(net, f"block{n}", nn.Identity())
    net.conv3, net.bn3 = SeparableConv2d(256, 32, 3, 1, 1), nn.BatchNorm2d(32)
    net.conv4, net.bn4 = SeparableConv2d(32, 48, 3, 1, 1), nn.BatchNorm2d(48)
    net.fc = nn.Linear(48, 5)
    return net


def aligned(**options):
    blocks = [(64, 16, 2), (16, 16, 1), (16, 24, 2)]
    cfg = [{"in_chs": a, "out_chs": b, "stride": s} for a, b, s in blocks]
    return XceptionAligned(cfg, num_classes=5, **options)


def dla(block, **options):
    levels, widths = (1, 1, 1, 2, 1, 1), (8, 8, 32, 32, 32, 32)
    return DLA(levels, widths, block=block, num_classes=5, **options)


def dpn(**options):
    options |= {"num_init_features": 8, "small": True, "num_classes": 5}
    return DPN((1, 2, 1, 1), (4, 4, 4, 4), 8, 4, **options)


def resnetv2(**options):
    options |= {"norm_layer": BatchNormAct2d, "conv_layer": create_conv2d, "stem_chs": 16}
    return ResNetV2([1, 2, 1, 1], WIDTHS, 5, **options)


def starnet():
    return StarNet(base_dim=8, depths=[1, 2, 1, 1], mlp_ratio=4, num_classes=5)


def s3d():
    return own.classified("fc", 256, features=video.S3D().features[:6], mean=Mean(2))


def video_resnet():
    convs = [video.resnet.Conv2Plus1D] * 2 + [video.resnet.Conv3DNoTemporal] * 2
    stem = video.resnet.R2Plus1dStem
    net = video.VideoResNet(video.resnet.BasicBlock, convs, [1, 1, 1, 1], stem, 5)
    net.layer4, net.fc = nn.Identity(), nn.Linear(256, 5)
    return net


def maxvit():
    return torchvision.models.MaxVit((64, 64), 8, 4, [8, 16], [1, 2], 4, 0, num_classes=5)


def coatnet():
    """With squeeze-and-excitation before norm2, as in the models of one of timm's authors."""
    cfg = replace(
        maxxvit.model_cfgs["coatnet_0_rw"],
        embed_dim=(32, 32, 32, 32),
        depths=(1, 2, 1, 1),
        stem_width=(8, 8),
    )
    return maxxvit.MaxxVit(cfg, img_size=64, num_classes=5)


WIDTHS = [16, 16, 24, 32]
RESNETS = "timm ResNet with SE and groups; a CIFAR port"
REGNET = {"depth": 6, "w0": 16, "wa": 24.0, "wm": 1.8, "group_size": 8, "stem_width": 8}
COAT = {"keeps": "pre_norm", "eps": 1e-3}
SK = {"sk_kwargs": {"rd_ratio": 0.25, "rd_divisor": 4, "split_input": True}}

CASES = [
    Case(
        "resnet",
        "torchvision, timm",
        RESNETS,
        partial(
            *(built, resnet),
            channels=WIDTHS,
            cardinality=4,
            base_width=16,
            avg_down=True,
            block_args={"attn_layer": "se"},
        ),
    ),
    Case("resnet", "torchvision, timm", RESNETS, partial(built, own.cifar_resnet)),
    Case(
        "resnet",
        "timm deep stem",
        "timm ResNet with a deep stem",
        partial(built, resnet, channels=WIDTHS, stem_type="deep", replace_stem_pool=True),
    ),
    Case(
        "resnet",
        "torchvision detection backbone",
        "torchvision BackboneWithFPN on a ResNet",
        partial(built, detector),
        {"eps": 0.0},
    ),
    Case("vgg", "torchvision", "torchvision VGG", partial(built, vgg)),
    Case(
        "vgg",
        "timm",
        "timm VGG",
        partial(built, VGG, [8, "M", 16], 5, norm_layer=nn.BatchNorm2d, mlp_ratio=0.01),
    ),
    Case("mobilenetv2", "torchvision", "torchvision MobileNetV2", partial(built, mobilenetv2)),
    Case("mobilenetv2", "flat Sequential blocks", OWN, partial(built, own.flat_mobilenetv2)),
    Case(
        "mobilenetv2",
        "timm",
        "timm mobilenetv2",
        partial(built, builders._gen_mobilenet_v2, "mobilenetv2_035", 0.35),
    ),
    Case(
        "mobilenetv2",
        "timm, with 5x5 kernels",
        "timm tf_efficientnet_lite0",
        partial(built, builders._gen_efficientnet_lite, "tf_efficientnet_lite0", 0.25, eps=1e-3),
        {"eps": 1e-3},
    ),
    Case("resnet-shared-norm", "residual_blocks", OWN, partial(built, nets.SharedNormNet)),
    Case("resnext-basic", "basic + shortcut", OWN, partial(built, nets.BasicNet)),
    Case(
        "regnet",
        "torchvision",
        "torchvision RegNetY",
        partial(
            built,
            torchvision.models.RegNet,
            regnet.BlockParams.from_init_params(6, 16, 12.0, 2.0, 8, se_ratio=0.25),
            5,
            stem_width=8,
        ),
    ),
    Case(
        "regnet",
        "timm",
        "timm RegNet with SE and a last convolution",
        partial(built, RegNet, RegNetCfg(**REGNET, se_ratio=0.25, num_features=40), num_classes=5),
    ),
    Case(
        "regnet",
        "timm, pre-activation",
        "timm RegNetV",
        partial(
            *(built, RegNet),
            RegNetCfg(**REGNET, se_ratio=0.25, preact=True, downsample="avg"),
            num_classes=5,
            keeps="s1.b1.norm1",
        ),
    ),
    Case(
        "efficientnet",
        "torchvision V2",
        "torchvision EfficientNet of fused and other blocks",
        partial(built, efficientnet_v2, eps=1e-3),
    ),
    Case(
        "efficientnet",
        "torchvision B5 to B7",
        "torchvision EfficientNet of the depth of B5",
        partial(built, efficientnet_v1, 2.2, eps=1e-3),
    ),
    Case(
        "efficientnet",
        "torchvision B0 to B4",
        "torchvision EfficientNet of the depth of B0",
        partial(built, efficientnet_v1, 1.0),
    ),
    Case("efficientnet", "EfficientNet-PyTorch", OWN, partial(built, own.EfficientNetPyTorch)),
    *(
        Case(
            "efficientnet",
            "timm",
            "timm efficientnet_x_b3, test_efficientnet",
            make,
            {"eps": 1e-5},
        )
        for make in (
            partial(built, builders._gen_efficientnet_x, "efficientnet_x_b3", 0.25),
            partial(built, create_model, "test_efficientnet"),
        )
    ),
    Case(
        "mobilenetv3",
        "torchvision",
        "torchvision mobilenet_v3_small",
        partial(built, torchvision.models.mobilenet_v3_small, width_mult=0.5),
    ),
    Case(
        "mobilenetv3",
        "timm",
        "timm tf_mobilenetv3_small",
        partial(built, builders_v3._gen_mobilenet_v3, "tf_mobilenetv3_small_075", 0.5, eps=1e-3),
        {"eps": 1e-3},
    ),
    Case(
        "mobilenetv4",
        "timm",
        "timm mobilenetv4_hybrid_medium",
        partial(built, builders_v3._gen_mobilenet_v4, "mobilenetv4_hybrid_medium", 0.25),
    ),
    Case(
        "mobilenetv1",
        "timm",
        "timm mobilenetv1",
        partial(built, builders._gen_mobilenet_v1, "mobilenetv1_100", 0.25),
    ),
    Case(
        "lcnet",
        "timm",
        "timm lcnet",
        partial(built, builders_v3._gen_lcnet, "lcnet_035", 0.25, gain=3),
    ),
    Case(
        "mnasnet",
        "torchvision",
        "torchvision MNASNet",
        partial(built, mnasnet),
    ),
    Case(
        "inception",
        "GoogLeNet, torchvision",
        "torchvision GoogLeNet with an eighth of the channels",
        googlenet_slim,
    ),
    Case(
        "inception",
        "Inception-v3",
        "torchvision Inception3 with an eighth of the channels",
        inception_slim,
    ),
    Case(
        "inception",
        "Inception-v4, timm",
        "timm inception_v4, its first seven modules",
        partial(built, inception_v4, size=(3, 96, 96)),
    ),
    Case(
        "inception",
        "Inception-ResNet-v2, timm",
        "timm inception_resnet_v2, its first modules",
        partial(built, inception_resnet, size=(3, 96, 96)),
    ),
    Case(
        "shufflenetv2",
        "torchvision",
        "torchvision ShuffleNetV2",
        partial(built, torchvision.models.ShuffleNetV2, [2, 1, 1], [8, 16, 32, 64, 48], 5),
    ),
    *(
        Case("cspnet", "timm", "timm CspNet, as CSP and as DarkNet with SE and pools", make)
        for make in (
            partial(built, cspnet, 8, stage_type="cs3", block_ratio=0.5),
            partial(built, cspnet, 8, cross_linear=True, down_growth=True, expand_ratio=2.0),
            partial(
                *(built, cspnet, (8, 8)),
                stage_type="dark",
                block_type="dark",
                avg_down=True,
                attn_layer="se",
            ),
        )
    ),
    *(
        Case("densenet", "torchvision, timm", "torchvision DenseNet; timm, deep stem", make)
        for make in (
            partial(built, torchvision.models.DenseNet, 8, (2, 2), 16, num_classes=5),
            partial(built, DenseNet, 8, (2, 2), 5, stem_type="deep"),
        )
    ),
    Case("densenet", "torchvision, published files", OWN, partial(built, own.dotted_densenet)),
    Case(
        "res2net",
        "official, timm",
        "timm Res2Net with a deep stem",
        partial(
            *(built, resnet, Bottle2neck),
            channels=WIDTHS,
            base_width=16,
            block_args={"scale": 4},
            stem_type="deep",
            avg_down=True,
        ),
    ),
    Case(
        "resnest",
        "official, timm",
        "timm ResNeSt",
        partial(
            *(built, resnet, ResNestBottleneck),
            channels=WIDTHS,
            base_width=16,
            block_args={"radix": 2, "avd": True},
            stem_type="deep",
            avg_down=True,
        ),
    ),
    *(
        Case("sknet", "timm", "timm SKNet of both kinds of block", make)
        for make in (
            partial(built, resnet, SelectiveKernelBasic, channels=WIDTHS, block_args=SK),
            partial(
                *(built, resnet, SelectiveKernelBottleneck),
                channels=WIDTHS,
                base_width=16,
                stem_type="deep",
                avg_down=True,
            ),
        )
    ),
    Case("senet", "pretrained-models.pytorch, timm", "timm SE-ResNeXt", partial(built, senet)),
    Case("hrnet", "official, timm", "timm HRNet", partial(built, hrnet)),
    *(
        Case("dla", "official, timm", "timm DLA, with Res2Net blocks too", make)
        for make in (
            partial(built, dla, DlaBottleneck),
            partial(built, dla, DlaBottle2neck, base_width=28),
        )
    ),
    Case(
        "ghostnet",
        "official, timm",
        "timm ghostnetv2",
        partial(built, _create_ghostnet, "ghostnetv2_100", width=0.35, version="v2", gain=1),
        {"recipe": "ghostnet"},
    ),
    Case("hgnet", "V1: timm", "timm PP-HGNet", partial(built, hgnet)),
    Case(
        "hgnet",
        "V2: timm, D-FINE",
        "timm hgnetv2_b0",
        partial(built, create_model, "hgnetv2_b0", head_hidden_size=8),
    ),
    Case("rexnet", "timm", "timm ReXNet", partial(built, RexNet, width_mult=0.35)),
    Case("vovnet", "timm", "timm VoVNet, separable", partial(built, vovnet)),
    Case("selecsls", "official, timm", "timm SelecSLS", partial(built, selecsls)),
    Case(
        "xception",
        "pretrained-models.pytorch, timm legacy",
        "timm Xception, its first blocks",
        partial(built, xception),
    ),
    Case("xception", "timm, aligned", "timm XceptionAligned", partial(built, aligned, eps=1e-3)),
    Case(
        "xception",
        "timm, aligned, pre-activation",
        "timm XceptionAligned, pre-activation",
        partial(built, aligned, preact=True, keeps="blocks.0.norm"),
        {"eps": 1e-5},
    ),
    Case(
        "cspnext",
        "timm",
        "timm CSPNeXt",
        partial(built, CspNext, deepen_factor=0.33, widen_factor=0.125, gain=4),
    ),
    Case(
        "fasternet",
        "timm",
        "timm FasterNet",
        partial(built, FasterNet, embed_dim=16, depths=(1, 2, 1, 1)),
    ),
    Case("starnet", "official, timm", "timm StarNet", partial(built, starnet, gain=1)),
    Case(
        "tresnet", "timm", "timm TResNet", partial(built, TResNet, [1, 2, 1, 1], width_factor=0.25)
    ),
    *(
        Case("dpn", "timm", "timm DPN, also of kind b", make)
        for make in (
            partial(built, dpn, eps=1e-3),
            partial(built, dpn, b=True, eps=1e-3),
        )
    ),
    *(
        Case("resnetv2", "timm", "timm ResNetV2 of both kinds of block", make)
        for make in (
            partial(built, resnetv2, stem_type="deep"),
            partial(built, resnetv2, basic=True, bottle_ratio=1.0),
        )
    ),
    Case(
        "nasnet",
        "timm",
        "timm nasnetalarge with few channels",
        partial(built, NASNetALarge, 5, stem_size=8, num_features=96),
    ),
    *(
        Case("byobnet", "timm", "timm test_byobnet, mobilevit_xxs", make)
        for make in (
            partial(built, create_model, "test_byobnet"),
            partial(built, create_model, "mobilevit_xxs"),
        )
    ),
    Case("maxvit", "torchvision", "torchvision MaxVit", partial(built, maxvit, keeps="pre_norm")),
    Case(
        "maxvit",
        "MaxViT, timm",
        "timm test_maxvit",
        partial(built, create_model, "test_maxvit", img_size=64, keeps="pre_norm", eps=1e-3),
        {"eps": 1e-3},
    ),
    *(
        Case("maxvit", "CoAtNet, timm", "timm test_coatnet; CoAtNet with an early SE", make, said)
        for make, said in (
            (partial(built, create_model, "test_coatnet", img_size=64, **COAT), {"eps": 1e-3}),
            (partial(built, coatnet, **COAT), {"eps": 1e-3}),
        )
    ),
    Case(
        "efficientformer",
        "V1, timm",
        "timm EfficientFormer",
        partial(
            *(built, EfficientFormer),
            depths=(1, 1, 1, 2),
            embed_dims=(8, 16, 24, 32),
            num_vit=1,
            size=(3, 224, 224),
        ),
    ),
    Case(
        "efficientformer",
        "V2, timm",
        "timm EfficientFormerV2",
        partial(
            *(built, EfficientFormerV2),
            depths=(1, 1, 2, 2),
            embed_dims=(8, 16, 24, 32),
            num_vit=1,
            img_size=64,
        ),
    ),
    Case(
        "efficientvit",
        "timm",
        "timm EfficientVit",
        partial(
            *(built, EfficientVit),
            widths=(8, 16, 16, 32, 32),
            depths=(1, 2, 2, 1, 1),
            head_dim=16,
            head_widths=(32, 16),
        ),
    ),
    Case(
        "preact-resnet",
        "pytorch-cifar",
        OWN,
        partial(built, nets.PreActNet, norm="bn", keeps="bn1"),
        {"recipe": "preact-resnet"},
    ),
    Case(
        "video-resnet",
        "torchvision",
        "torchvision VideoResNet of two kinds of convolution",
        partial(built, video_resnet, size=(3, 4, 32, 32)),
    ),
    Case(
        "s3d",
        "torchvision",
        "torchvision s3d, its first six modules",
        partial(built, s3d, size=(3, 8, 64, 64)),
    ),
]
