"""Blocks of 3x3, 1x1 and identity branches, with the layer names that their authors gave them."""

from __future__ import annotations

import torch
from oracle.nets import named
from torch import nn


class Block(nn.Module):
    """A sum of branches, or in deploy form the convolution that takes their place; then a tail.

    Args:
        branches: Every branch by the names of its layers, in order. A parameter is a factor per
            channel; a branch without layers is the input itself.
        layers: What those names stand for.
        fused: Name and layer of the deploy form.
        post: What follows the sum in the train form only.
        tail: What follows in both forms.
        deploy: Which form.
    """

    def __init__(self, branches, layers, fused, *, deploy, post=None, tail=None):
        super().__init__()
        self.branches = [] if deploy else branches
        self.fused, conv = fused
        self.post = [] if deploy else list(post or {})
        self.tail = list(tail or {})
        own = {self.fused: conv} if deploy else layers | (post or {})
        for name, layer in (own | (tail or {})).items():
            if isinstance(layer, nn.Parameter):
                self.register_parameter(name, layer)
            else:
                self.add_module(name, layer)

    def forward(self, x):
        if self.branches:
            y = sum(self.branch(names, x) for names in self.branches)
        else:
            y = self.get_submodule(self.fused)(x)
        for name in (*self.post, *self.tail):
            y = self.get_submodule(name)(y)
        return y

    def branch(self, names, x):
        for name in names:
            layer = getattr(self, name)
            x = x * layer.view(1, -1, 1, 1) if isinstance(layer, nn.Parameter) else layer(x)
        return x


class Factor(nn.Module):
    """A factor per channel, as in YOLOv6's ScaleLayer."""

    def __init__(self, channels):
        super().__init__()
        self.weight = nn.Parameter(torch.rand(channels) + 0.5)

    def forward(self, x):
        return x * self.weight.view(1, -1, 1, 1)


class Gate(nn.Module):
    """Squeeze-and-excitation of two 1x1 convolutions."""

    def __init__(self, channels, first, second):
        super().__init__()
        self.names = first, second
        self.add_module(first, nn.Conv2d(channels, 4, 1))
        self.add_module(second, nn.Conv2d(4, channels, 1))

    def forward(self, x):
        first, second = map(self.get_submodule, self.names)
        return x * second(first(x.mean((2, 3), keepdim=True)).relu()).sigmoid()


def conv(into, out, kernel=3, *, stride=1, groups=1, bias=False):
    """A convolution that pads half its kernel; a kernel of two numbers is height by width."""
    sizes = kernel if isinstance(kernel, tuple) else (kernel, kernel)
    pad = tuple(k // 2 for k in sizes)
    return nn.Conv2d(into, out, sizes, stride, pad, groups=groups, bias=bias)


def pair(into, out, kernel=1, *, deploy=False, names=("conv", "bn"), fused=None, **options):
    """A convolution with a norm and ReLU, or in deploy form with a bias and ReLU."""
    if deploy:
        layers = {fused or names[0]: conv(into, out, kernel, bias=True, **options)}
    else:
        layers = {names[0]: conv(into, out, kernel, **options), names[1]: nn.BatchNorm2d(out)}
    return named(**layers, act=nn.ReLU())


def normed(into, out, kernel, norm="bn", **options):
    """A convolution with a norm, and no activation."""
    return named(conv=conv(into, out, kernel, **options), **{norm: nn.BatchNorm2d(out)})


def set_eps(net, eps):
    """Set the constant of every norm."""
    for norm in (m for m in net.modules() if isinstance(m, nn.BatchNorm2d)):
        norm.eps = eps
    return net


def head(channels, name="linear"):
    """Mean over the image, then a linear layer of that name."""
    return {"gap": nn.AdaptiveAvgPool2d(1), "flat": nn.Flatten(), name: nn.Linear(channels, 5)}


def _joins(into, out, stride):
    return into == out and stride == 1


# --- RepVGG: 3x3, 1x1 and a normed identity

REPVGG = {
    "official": ("rbr_dense", "rbr_1x1", "rbr_identity", "bn", "rbr_reparam"),
    "super-gradients": ("branch_3x3", "branch_1x1", "no_conv_branch", "bn", "rbr_reparam"),
    "hugging face": ("conv1", "conv2", "identity", "norm", "conv"),
}


def repvgg(into, out, *, deploy, style="official", stride=1, identity=True, alpha=False, tail=None):
    dense, point, skip, norm, fused = REPVGG[style]
    layers = {
        dense: normed(into, out, 3, norm, stride=stride),
        point: normed(into, out, 1, norm, stride=stride),
    }
    branches = [(dense,), (point,)]
    if alpha:
        layers["alpha"] = nn.Parameter(torch.tensor([0.8]))
        branches[1] = (point, "alpha")
    if identity and _joins(into, out, stride):
        layers[skip] = nn.BatchNorm2d(into)
        branches.append((skip,))
    deployed = fused, conv(into, out, 3, stride=stride, bias=True)
    tail = tail or {"nonlinearity": nn.ReLU()}
    return Block(branches, layers, deployed, tail=tail, deploy=deploy)


# --- MobileOne: any number of KxK, a 1x1 beside larger ones, and a normed identity

MOBILEONE = {
    "apple": ("rbr_conv", "rbr_scale", "rbr_skip", "bn", "reparam_conv", ("reduce", "expand")),
    "mmpretrain": (
        "branch_conv_list",
        "branch_scale",
        "branch_norm",
        "norm",
        "branch_reparam",
        ("conv1", "conv2"),
    ),
}


class Many(nn.ModuleList):
    """Branches in a list, summed."""

    def forward(self, x):
        return sum(branch(x) for branch in self)


def mobileone(
    into, out, kernel, *, deploy, style="apple", stride=1, groups=1, branches=2, se=False
):
    many, scale, skip, norm, fused, gate = MOBILEONE[style]
    options = {"stride": stride, "groups": groups}
    layers = {many: Many(normed(into, out, kernel, norm, **options) for _ in range(branches))}
    if kernel > 1:
        layers[scale] = normed(into, out, 1, norm, **options)
    if _joins(into, out, stride):
        layers[skip] = nn.BatchNorm2d(into)
    tail = ({"se": Gate(out, *gate)} if se else {}) | {"activation": nn.ReLU()}
    deployed = fused, conv(into, out, kernel, bias=True, **options)
    return Block([(n,) for n in layers], layers, deployed, tail=tail, deploy=deploy)


def mobileone_net(style, *, deploy):
    """Stem, and stages of depthwise and pointwise blocks with and without a gate."""

    def stage(into, out, *, se, branches):
        return nn.Sequential(
            *(
                mobileone(*shape, style=style, deploy=deploy, se=se, branches=branches, **options)
                for *shape, options in (
                    (into, into, 3, {"groups": into, "stride": 2}),
                    (into, out, 1, {}),
                    (out, out, 3, {"groups": out}),
                    (out, out, 1, {}),
                )
            )
        )

    stem = mobileone(3, 8, 3, style=style, deploy=deploy, stride=2, branches=1)
    stages = stage(8, 12, se=False, branches=3), stage(12, 12, se=True, branches=1)
    if style == "apple":
        return named(stage0=stem, stage1=stages[0], stage2=stages[1], **head(12))
    backbone = named(stage0=stem, stage1=stages[0], stage2=stages[1])
    pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return named(backbone=backbone, neck=pool, head=named(fc=nn.Linear(12, 5)))


# --- QARepVGG: an identity without layers, and a norm behind the sum


def qarepvgg(into, out, *, kind, deploy, stride=1, groups=1):
    options = {"stride": stride, "groups": groups}
    dense, point = normed(into, out, 3, **options), normed(into, out, 1, **options)
    branches = [("rbr_dense",), ("rbr_1x1",)]
    layers = {
        "rbr_dense": conv(into, out, 3, **options) if kind == "base" else dense,
        "rbr_1x1": point if kind == "V1" else conv(into, out, 1, **options),
    }
    if _joins(into, out, stride) and kind == "V1":
        layers["rbr_identity"] = nn.BatchNorm2d(into)
        branches.append(("rbr_identity",))
    elif _joins(into, out, stride):
        branches.append(())
    post = {"bn": nn.BatchNorm2d(out)}
    tail = {"nonlinearity": nn.PReLU(out)}
    deployed = "rbr_reparam", conv(into, out, 3, bias=True, **options)
    return Block(branches, layers, deployed, post=post, tail=tail, deploy=deploy)


def qarepvgg_net(kind, *, deploy):
    """As A0 and B1g4: stage1.0 keeps the width at stride 2, every other block is grouped."""

    def stage(into, out):
        shapes = ((into, out, 2, 1), (out, out, 1, 4), (out, out, 1, 1))
        return nn.Sequential(
            *(qarepvgg(i, o, kind=kind, deploy=deploy, stride=s, groups=g) for i, o, s, g in shapes)
        )

    stem = qarepvgg(3, 8, kind=kind, deploy=deploy, stride=2)
    return named(stage0=stem, stage1=stage(8, 8), stage2=stage(8, 16), **head(16))


# --- YOLOv6


def yolov6_qarepvgg(into, out, *, deploy, stride=1, average=False):
    """The norm behind the sum stays in deploy form; V2 adds an average pool without layers."""
    layers = {
        "rbr_dense": normed(into, out, 3, stride=stride),
        "rbr_1x1": conv(into, out, 1, stride=stride),
    }
    branches = [("rbr_dense",), ("rbr_1x1",)]
    if _joins(into, out, stride):
        branches.append(())
        if average:
            layers["rbr_avg"] = nn.AvgPool2d(3, 1, 1)
            branches.append(("rbr_avg",))
    tail = {"bn": nn.BatchNorm2d(out), "nonlinearity": nn.ReLU()}
    deployed = "rbr_reparam", conv(into, out, 3, stride=stride, bias=True)
    return Block(branches, layers, deployed, tail=tail, deploy=deploy)


def linear_add(into, out, *, deploy, stride=1):
    layers = {
        "conv": conv(into, out, 3, stride=stride),
        "scale_conv": Factor(out),
        "conv_1x1": conv(into, out, 1, stride=stride),
        "scale_1x1": Factor(out),
    }
    branches = [("conv", "scale_conv"), ("conv_1x1", "scale_1x1")]
    if _joins(into, out, stride):
        layers["scale_identity"] = Factor(out)
        branches.append(("scale_identity",))
    deployed = "conv", conv(into, out, 3, stride=stride, bias=True)
    post = {"bn": nn.BatchNorm2d(out)}
    return Block(branches, layers, deployed, post=post, tail={"relu": nn.ReLU()}, deploy=deploy)


def yolov6_net(block, *, deploy):
    """Backbone, neck and head in a row. The last ERBlock keeps its width at stride 2."""

    def module(*sizes):
        return named(block=pair(*sizes, deploy=deploy))

    def er(into, out):
        inner = named(
            conv1=block(out, out, deploy=deploy),
            block=nn.Sequential(block(out, out, deploy=deploy)),
        )
        return nn.Sequential(block(into, out, deploy=deploy, stride=2), inner)

    backbone = named(
        stem=block(3, 8, deploy=deploy, stride=2), ERBlock_2=er(8, 16), ERBlock_3=er(16, 16)
    )
    neck = named(
        reduce_layer0=module(16, 8, 1),
        # 2 * 8 channels come in, so its kernels look like those of two groups
        Rep_p4=named(conv1=block(8, 16, deploy=deploy), block=nn.Sequential(module(16, 16, 3))),
        Rep_p3=named(cv1=pair(16, 8, deploy=deploy), m=block(8, 8, deploy=deploy)),
    )
    detect = named(
        stems=nn.Sequential(module(8, 8, 1)), cls_preds=nn.Sequential(nn.Conv2d(8, 3, 1))
    )
    return set_eps(named(backbone=backbone, neck=neck, detect=detect), 1e-3)


# --- YOLO-NAS


def yolo_nas(into, out, *, deploy, partial, stride=1, residual=True, alpha=False):
    """The train form has random weights under the name of the fused convolution already."""
    deployed = conv(into, out, 3, stride=stride, bias=True)
    layers = {
        "branch_3x3": normed(into, out, 3, stride=stride),
        "branch_1x1": conv(into, out, 1, stride=stride, bias=True),
        "rbr_reparam": deployed,
    }
    branches = [("branch_3x3",), ("branch_1x1",)]
    if alpha:
        layers["alpha"] = nn.Parameter(torch.tensor([0.7]))
        branches[1] = ("branch_1x1", "alpha")
    if residual:
        branches.append(())
    norm = {"post_bn": nn.BatchNorm2d(out)}
    act = {"nonlinearity": nn.ReLU()}
    post, tail = ({}, norm | act) if partial else (norm, act)
    fused = "rbr_reparam", deployed
    return Block(branches, layers, fused, post=post, tail=tail, deploy=deploy)


def yolo_nas_net(*, deploy, partial=False, pose=False, heads=True):
    """Backbone, neck and heads in a row. A downsampling block keeps its width."""

    def block(*sizes, **options):
        return yolo_nas(*sizes, deploy=deploy, partial=partial, **options)

    def csp(width):
        cv1, cv2 = block(width, width), block(width, width)
        bottlenecks = nn.Sequential(named(cv1=cv1, cv2=cv2))
        return named(conv1=pair(width, width), bottlenecks=bottlenecks)

    def stage(into, out):
        return named(downsample=block(into, out, stride=2, residual=False), blocks=csp(out))

    stem = named(conv=block(3, 8, stride=2, residual=False))
    backbone = named(stem=stem, stage1=stage(8, 16), stage2=stage(16, 16))
    if not heads:
        return set_eps(backbone, 1e-3)
    neck = named(
        neck1=named(conv=pair(16, 8), upsample=nn.ConvTranspose2d(8, 8, 2, 2), blocks=csp(8))
    )
    if pose:
        convs = nn.Sequential(block(8, 8, alpha=True), block(8, 8, alpha=True))
        layers = {"pose_convs": convs, "pose_pred": nn.Conv2d(8, 3, 1)}
    else:
        convs = nn.Sequential(named(seq=pair(8, 8, 3)))
        layers = {"reg_convs": convs, "reg_pred": nn.Conv2d(8, 4, 1)}
    net = named(backbone=backbone, neck=neck, heads=named(head1=named(**layers)))
    return set_eps(net, 1e-6 if pose else 1e-3)


# --- asymmetric kernels: ACNet and TextNet


class Crop(nn.Module):
    """Rows or columns less on either side, where ACNet would need negative padding."""

    def __init__(self, rows, columns):
        super().__init__()
        self.sizes = rows, columns

    def forward(self, x):
        rows, columns = self.sizes
        return x[:, :, rows : x.shape[2] - rows, columns : x.shape[3] - columns]


def acblock(into, out, kernel, *, deploy, padding=None, stride=1, groups=1, identity=False):
    """`padding` below half the kernel crops what the side branches read."""
    padding = kernel // 2 if padding is None else padding
    less = kernel // 2 - padding
    options = {"stride": stride, "groups": groups, "bias": False}

    def side(size, pad):
        return nn.Conv2d(into, out, size, padding=pad, **options)

    layers = {
        "square_conv": side((kernel, kernel), padding),
        "ver_crop": Crop(0, less),
        "ver_conv": side((kernel, 1), (padding, 0)),
        "hor_crop": Crop(less, 0),
        "hor_conv": side((1, kernel), (0, padding)),
    }
    layers |= {f"{name}_bn": nn.BatchNorm2d(out) for name in ("square", "ver", "hor")}
    branches = [
        ("square_conv", "square_bn"),
        ("ver_crop", "ver_conv", "ver_bn"),
        ("hor_crop", "hor_conv", "hor_bn"),
    ]
    if identity:
        layers["rbr_identity"] = nn.BatchNorm2d(into)
        branches.append(("rbr_identity",))
    fused = nn.Conv2d(into, out, kernel, padding=padding, **options | {"bias": True})
    tail = {"relu": nn.ReLU()}
    return Block(branches, layers, ("fused_conv", fused), tail=tail, deploy=deploy)


def acnet(*, deploy):
    first = named(acb=acblock(3, 8, 3, deploy=deploy), relu=nn.ReLU())
    stage = named(
        conv1=acblock(8, 8, 5, deploy=deploy, stride=2, groups=4),
        conv2=acblock(8, 8, 3, deploy=deploy, identity=True),
        conv3=acblock(8, 12, 3, deploy=deploy, padding=0),
        conv4=acblock(12, 12, 7, deploy=deploy, groups=12),
        conv5=pair(12, 12),
    )
    return named(conv1=first, stage1=nn.Sequential(stage), **head(12))


TEXTNET = {
    "FAST": ("main_conv", "main_bn", "ver", "hor", "conv", "bn"),
    "docTR": ("conv", "bn", "ver", "hor", "conv", "bn"),
    "Hugging Face": (
        "main_conv",
        "main_batch_norm",
        "vertical",
        "horizontal",
        "conv",
        "batch_norm",
    ),
}


def textnet(into, out, kernel, *, style, deploy, stride=1):
    main, norm, vertical, horizontal, tail_conv, tail_norm = TEXTNET[style]
    high, wide = kernel
    layers = {main: conv(into, out, kernel, stride=stride), norm: nn.BatchNorm2d(out)}
    branches = [(main, norm)]
    sides = {vertical: ((high, 1), wide), horizontal: ((1, wide), high)}
    for name, (size, other) in sides.items():
        if other == 1:
            continue
        names = f"{name}_{tail_conv}", f"{name}_{tail_norm}"
        layers[names[0]] = conv(into, out, size, stride=stride)
        layers[names[1]] = nn.BatchNorm2d(out)
        branches.append(names)
    if _joins(into, out, stride):
        layers["rbr_identity"] = nn.BatchNorm2d(into)
        branches.append(("rbr_identity",))
    fused = "fused_conv", conv(into, out, kernel, stride=stride, bias=True)
    return Block(branches, layers, fused, tail={"act": nn.ReLU()}, deploy=deploy)


def textnet_net(style, *, deploy, detector=False):
    def block(into, out, kernel, stride=1):
        return textnet(into, out, kernel, style=style, deploy=deploy, stride=stride)

    stages = [
        [
            block(8, 8, (3, 3)),
            block(8, 12, (3, 3), 2),
            block(12, 12, (3, 1)),
            block(12, 12, (1, 3)),
        ],
        [block(12, 16, (3, 1), 2), block(16, 16, (3, 3))],
        [block(16, 16, (1, 3), 2)],
        [block(16, 16, (3, 3))],
    ]
    if style == "Hugging Face":
        stem = pair(3, 8, 3, deploy=deploy, names=("conv", "batch_norm"), stride=2)
        parts = [named(stage=nn.Sequential(*s)) for s in stages]
        net = named(stem=stem, encoder=named(stages=nn.Sequential(*parts)))
        pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 5))
        return named(textnet=net, classifier=pool)
    parts = [nn.Sequential(*s) for s in stages]
    if style == "FAST":
        first = pair(3, 8, 3, deploy=deploy, stride=2)
        backbone = named(first_conv=first, **{f"stage{i}": s for i, s in enumerate(parts, 1)})
        neck = named(reduce_layer1=block(16, 8, (3, 3)))
        head = named(conv=block(8, 8, (3, 3)), final=named(conv=conv(8, 2, 1)))
        return named(backbone=backbone, neck=neck, det_head=head)
    first = nn.Conv2d(3, 8, 3, 2, 1, bias=deploy)
    norm = nn.Identity() if deploy else nn.BatchNorm2d(8)
    layers = [first, norm, nn.ReLU(), *parts]
    if not detector:
        pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 5))
        return nn.Sequential(*layers, pool)
    neck = named(reduction=nn.Sequential(block(16, 8, (3, 3))))
    prob = nn.Sequential(block(8, 8, (3, 3)), nn.Dropout(), conv(8, 2, 1))
    return named(feat_extractor=nn.Sequential(*layers), neck=neck, prob_head=prob)


# --- RT-DETR and D-FINE: 3x3 and 1x1


class CSP(nn.Module):
    """CSPRepLayer: two 1x1 that look like the branches of a block and are none."""

    def __init__(self, into, out, block, point):
        super().__init__()
        self.conv1 = point(into, out)
        self.conv2 = point(into, out)
        self.bottlenecks = nn.Sequential(block(out, out), block(out, out))
        self.conv3 = point(out, out)

    def forward(self, x):
        return self.conv3(self.bottlenecks(self.conv1(x)) + self.conv2(x))


def rtdetr_net(*, deploy, dfine=False):
    def block(into, out):
        return repvgg(into, out, deploy=deploy, style="hugging face", identity=False)

    def layer(into, out, kernel=1, **options):
        names = "conv", "norm"
        fused = deploy and dfine
        return pair(into, out, kernel, deploy=fused, names=names, fused="conv_bn_fused", **options)

    def plain(into, out):
        return normed(into, out, 1, "norm")

    def csp(into, out):
        return CSP(into, out, block, layer)

    def level(into):
        if not dfine:
            return csp(into, 8)
        return named(
            cv1=layer(into, 16),
            cv2=nn.Sequential(csp(16, 8), layer(8, 8, 3)),
            cv3=nn.Sequential(csp(8, 12), layer(12, 12, 3)),
            cv4=layer(12, 8),
        )

    down = named(cv1=layer(8, 8), cv2=layer(8, 8, 3, stride=2, groups=8))
    encoder = named(
        input_proj=nn.Sequential(plain(8, 8)),
        lateral_convs=nn.Sequential(layer(8, 8)),
        fpn_blocks=nn.Sequential(level(8)),
        downsample_convs=nn.Sequential(nn.Sequential(down) if dfine else layer(8, 8, 3, stride=2)),
        pan_blocks=nn.Sequential(level(8)),
    )
    stem = named(conv1=normed(3, 8, 3, "norm"))
    return named(backbone=stem, encoder=encoder, decoder=named(score=nn.Conv2d(8, 3, 1)))


# --- RepVGG in larger nets


def loftr(*, deploy):
    """EfficientLoFTR's backbone, whose layer1.0 has stride 1; with the gates of RepVGGplus."""

    def block(into, out, **options):
        tail = {"nonlinearity": nn.ReLU(), "post_se": Gate(out, "down", "up")}
        return repvgg(into, out, deploy=deploy, tail=tail, **options)

    layers = {
        "layer0": block(1, 8, stride=2),
        "layer1": nn.Sequential(block(8, 8), block(8, 8)),
        "layer2": nn.Sequential(block(8, 12, stride=2), block(12, 12)),
    }
    return named(matcher=named(backbone=named(**layers), coarse=nn.Conv2d(12, 4, 1)))


def loftr_hf(*, deploy, eps=1e-5):
    """The same with the names of transformers; only the branches have eps from the config."""

    def block(into, out, stride=1):
        return repvgg(into, out, deploy=deploy, style="hugging face", stride=stride)

    def stage(*blocks):
        return named(blocks=nn.Sequential(*blocks))

    stages = nn.Sequential(
        stage(block(1, 8, 2)),
        stage(block(8, 8), block(8, 8)),
        stage(block(8, 12, 2), block(12, 12)),
    )
    for name, norm in stages.named_modules():
        if name.endswith(".norm"):
            norm.eps = eps
    return named(model=named(backbone=named(stages=stages), coarse=nn.Conv2d(12, 4, 1)))


def super_gradients(*, deploy):
    def block(into, out, stride=1, **options):
        style = "super-gradients"
        tail = {"se": Gate(out, "down", "up"), "nonlinearity": nn.ReLU()}
        return repvgg(into, out, deploy=deploy, style=style, stride=stride, tail=tail, **options)

    stage = nn.Sequential(block(8, 8, 2), block(8, 8, alpha=True), block(8, 8))
    return named(stem=block(3, 8, 2), stage1=stage, **head(8))


def in_detector(*, deploy):
    """mmyolo's PPYOLOE: a factor on the 1x1, no identity in places."""
    stage = nn.Sequential(
        repvgg(8, 8, deploy=deploy, alpha=True, identity=False), repvgg(8, 8, deploy=deploy)
    )
    backbone = named(stem=repvgg(3, 8, deploy=deploy, stride=2), stage1=stage)
    neck = named(reduce=named(conv=conv(8, 8, 1, bias=True)), top=repvgg(8, 8, deploy=deploy))
    return set_eps(named(backbone=backbone, neck=neck, bbox_head=nn.Conv2d(8, 3, 1)), 1e-3)


def in_yolo(block, *, deploy):
    """A YOLO of numbered layers, whose plain convolutions keep their norms."""
    layers = (
        pair(3, 8, 3, stride=2),
        block(8, 8, deploy=deploy),
        nn.Sequential(block(8, 12, deploy=deploy, stride=2), block(12, 12, deploy=deploy)),
    )
    return set_eps(named(model=nn.Sequential(*layers, nn.Conv2d(12, 3, 1))), 1e-3)


def erblock(*, deploy):
    """YOLOv6's backbone as that of a classifier."""
    blocks = nn.Sequential(
        repvgg(8, 8, deploy=deploy, stride=2), named(conv1=repvgg(8, 8, deploy=deploy))
    )
    stem = repvgg(3, 8, deploy=deploy, stride=2)
    return set_eps(named(stem=stem, ERBlock_2=blocks, **head(8)), 1e-3)
