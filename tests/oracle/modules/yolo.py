"""YOLO blocks and heads, and mmcv's ConvModule, in train and deploy form."""

import torch
from torch import nn


class Conv(nn.Module):
    """The convolution with a norm of which all YOLOs consist."""

    def __init__(self, into, out, k=1, s=1, g=1, *, act=True, deploy=False):
        super().__init__()
        self.conv = nn.Conv2d(into, out, k, s, k // 2, groups=g, bias=deploy)
        if not deploy:
            self.bn = nn.BatchNorm2d(out)
        self.act = nn.SiLU() if act else nn.Identity()

    def branches(self, x):
        return self.conv(x)

    def forward(self, x):
        x = self.branches(x)
        return self.act(self.bn(x) if hasattr(self, "bn") else x)


class Conv2(Conv):
    """A 3x3 and a 1x1 convolution with one norm after their sum."""

    def __init__(self, into, out, s=1, g=1, *, deploy=False):
        super().__init__(into, out, 3, s, g, deploy=deploy)
        if not deploy:
            self.cv2 = nn.Conv2d(into, out, 1, s, groups=g, bias=False)

    def branches(self, x):
        return self.conv(x) + self.cv2(x) if hasattr(self, "cv2") else self.conv(x)


class ConvTranspose(nn.Module):
    def __init__(self, into, out, k=2, s=2, *, deploy=False):
        super().__init__()
        self.conv_transpose = nn.ConvTranspose2d(into, out, k, s, bias=deploy)
        self.bn = nn.Identity() if deploy else nn.BatchNorm2d(out)

    def forward(self, x):
        return nn.functional.silu(self.bn(self.conv_transpose(x)))


class RepConv(nn.Module):
    """3x3 and 1x1 side by side, as in YOLOv9 and RT-DETR; seldom with a normed identity."""

    def __init__(self, into, out, s=1, g=1, *, identity=False, deploy=False):
        super().__init__()
        if deploy:
            self.conv = nn.Conv2d(into, out, 3, s, 1, groups=g)
        else:
            self.conv1 = Conv(into, out, 3, s, g, act=False)
            self.conv2 = Conv(into, out, 1, s, g, act=False)
            self.bn = nn.BatchNorm2d(into) if identity else None

    def forward(self, x):
        if hasattr(self, "conv"):
            return nn.functional.silu(self.conv(x))
        y = self.conv1(x) + self.conv2(x)
        return nn.functional.silu(y if self.bn is None else y + self.bn(x))


class RepVGGDW(nn.Module):
    """7x7 and 3x3 depthwise side by side, as in YOLOv10."""

    def __init__(self, width, *, deploy=False):
        super().__init__()
        if deploy:
            self.conv = nn.Conv2d(width, width, 7, 1, 3, groups=width)
        else:
            self.conv = Conv(width, width, 7, 1, width, act=False)
            self.conv1 = Conv(width, width, 3, 1, width, act=False)

    def forward(self, x):
        y = self.conv(x)
        return nn.functional.silu(y + self.conv1(x) if hasattr(self, "conv1") else y)


class LightConv(nn.Module):
    """1x1, then depthwise: RepConv's names for a sequence."""

    def __init__(self, into, out, k, *, deploy=False):
        super().__init__()
        self.conv1 = Conv(into, out, act=False, deploy=deploy)
        self.conv2 = Conv(out, out, k, 1, out, deploy=deploy)

    def forward(self, x):
        return self.conv2(self.conv1(x))


class OfficialRepConv(nn.Module):
    """YOLOv7's block: RepVGG's branches, numbered."""

    def __init__(self, into, out, s=1, g=1, *, deploy=False):
        super().__init__()
        if deploy:
            self.rbr_reparam = nn.Conv2d(into, out, 3, s, 1, groups=g)
            return
        self.rbr_identity = nn.BatchNorm2d(into) if into == out and s == 1 else None
        for name, k in (("rbr_dense", 3), ("rbr_1x1", 1)):
            conv = nn.Conv2d(into, out, k, s, k // 2, groups=g, bias=False)
            self.add_module(name, nn.Sequential(conv, nn.BatchNorm2d(out)))

    def forward(self, x):
        return nn.functional.silu(sum(m(x) for m in self.children() if m is not None))


class PpyoloeRep(nn.Module):
    """PP-YOLOE's block as in MMYOLO: 3x3, and 1x1 times a learned number."""

    def __init__(self, width, *, alpha, deploy=False):
        super().__init__()
        if deploy:
            self.rbr_reparam = nn.Conv2d(width, width, 3, 1, 1)
            return
        self.rbr_dense = Conv(width, width, 3, act=False)
        self.rbr_1x1 = Conv(width, width, act=False)
        self.alpha = nn.Parameter(torch.rand(1) + 1) if alpha else None

    def forward(self, x):
        if hasattr(self, "rbr_reparam"):
            return nn.functional.silu(self.rbr_reparam(x))
        y = self.rbr_1x1(x)
        y = y if self.alpha is None else self.alpha * y
        return nn.functional.silu(self.rbr_dense(x) + y)


class Bottleneck(nn.Module):
    """Two layers with a residual; the first may be a RepConv."""

    def __init__(self, cv1, cv2):
        super().__init__()
        self.cv1, self.cv2 = cv1, cv2

    def forward(self, x):
        return x + self.cv2(self.cv1(x))


class Stages(nn.Module):
    """Layers one after the other under one name."""

    def __init__(self, name, *layers):
        super().__init__()
        self.add_module(name, nn.Sequential(*layers))

    def forward(self, x):
        return next(self.children())(x)


class BottleneckCSP(nn.Module):
    """A norm after the concatenation of two bare convolutions, as in YOLOv5 up to v3."""

    def __init__(self, into, out, *, deploy=False):
        super().__init__()
        half = out // 2
        self.cv1 = Conv(into, half, deploy=deploy)
        self.cv2 = nn.Conv2d(into, half, 1, bias=False)
        self.cv3 = nn.Conv2d(half, half, 1, bias=False)
        self.cv4 = Conv(2 * half, out, deploy=deploy)
        self.bn = nn.BatchNorm2d(2 * half)
        convs = Conv(half, half, deploy=deploy), Conv(half, half, 3, deploy=deploy)
        self.m = nn.Sequential(Bottleneck(*convs))

    def forward(self, x):
        y = torch.cat((self.cv3(self.m(self.cv1(x))), self.cv2(x)), 1)
        return self.cv4(nn.functional.leaky_relu(self.bn(y), 0.1))


class Linear(nn.Module):
    """A convolution with a bias and no norm under the name of one with: CBLinear."""

    def __init__(self, into, out):
        super().__init__()
        self.conv = nn.Conv2d(into, out, 1)

    def forward(self, x):
        return self.conv(x)


class Dfl(nn.Module):
    """The mean of a distribution, as a convolution with a fixed kernel."""

    def __init__(self, bins):
        super().__init__()
        self.conv = nn.Conv2d(bins, 1, 1, bias=False)
        self.conv.weight.data[:] = torch.arange(bins).view(1, bins, 1, 1)

    def forward(self, x):
        b, c, *_ = x.shape
        return self.conv(x.view(b, 4, c // 4, -1).transpose(2, 1).softmax(1)).view(b, 4, -1)


class DecoupledHead(nn.Module):
    """Boxes and classes per level, of YOLOv8 and later; `auxiliary` as in YOLOv9."""

    def __init__(self, widths, classes=3, bins=4, *, auxiliary=False, deploy=False):
        super().__init__()

        def boxes(w):
            convs = Conv(w, 8, 3, deploy=deploy), Conv(8, 8, 3, deploy=deploy)
            return nn.Sequential(*convs, nn.Conv2d(8, 4 * bins, 1))

        def scores(w):
            convs = Conv(w, w, 3, 1, w, deploy=deploy), Conv(w, 8, deploy=deploy)
            return nn.Sequential(nn.Sequential(*convs), nn.Conv2d(8, classes, 1))

        self.pairs = [("cv2", "cv3", "dfl"), ("cv4", "cv5", "dfl2")][: 1 + auxiliary]
        for box, score, dfl in self.pairs:
            self.add_module(box, nn.ModuleList(map(boxes, widths)))
            self.add_module(score, nn.ModuleList(map(scores, widths)))
            self.add_module(dfl, Dfl(bins))

    def forward(self, levels):
        out = []
        for names in self.pairs:
            boxes, scores, dfl = map(self.get_submodule, names)
            for i, x in enumerate(levels):
                out += [dfl(8 * boxes[i](x)).flatten(1), scores[i](x).flatten(1)]
        return torch.cat(out, 1)


class AnchorHead(nn.Module):
    """One convolution per level, of YOLOv5 and YOLOv7.

    `implicit` puts a vector before and one behind it; `beside` names further convolutions.
    """

    def __init__(self, widths, outputs=7, anchors=2, *, implicit=False, beside=()):
        super().__init__()
        self.shape = anchors, outputs
        self.beside = beside
        self.register_buffer("anchors", torch.rand(len(widths), anchors, 2) + 1)
        for name in ("m", *beside):
            convs = (nn.Conv2d(w, anchors * outputs, 1) for w in widths)
            self.add_module(name, nn.ModuleList(convs))
        if implicit:
            self.ia = nn.ModuleList(Implicit(w, 0) for w in widths)
            self.im = nn.ModuleList(Implicit(anchors * outputs, 1) for w in widths)

    def forward(self, levels):
        out = []
        for i, x in enumerate(levels):
            if hasattr(self, "ia"):
                y = self.im[i].implicit * self.m[i](self.ia[i].implicit + x)
            else:
                y = self.m[i](x)
            y = y.view(len(x), *self.shape, -1)
            size = y[:, :, 2:4].sigmoid() ** 2 * self.anchors[i].unsqueeze(-1)
            out += [torch.cat((y[:, :, :2], size, y[:, :, 4:]), 2).flatten(1)]
            out += [self.get_submodule(name)[i](x).flatten(1) for name in self.beside]
        return torch.cat(out, 1)


class Implicit(nn.Module):
    def __init__(self, width, mean):
        super().__init__()
        self.implicit = nn.Parameter(mean + 0.2 * torch.randn(1, width, 1, 1))


class Classifier(nn.Module):
    def __init__(self, widths, *, deploy=False):
        super().__init__()
        self.conv = Conv(widths[-1], 12, deploy=deploy)
        self.linear = nn.Linear(12, 5)

    def forward(self, levels):
        return self.linear(self.conv(levels[-1]).mean((2, 3)))


class Segmenter(nn.Module):
    """One score per pixel, with an auxiliary head for the training."""

    def __init__(self, widths, *, deploy=False):
        super().__init__()
        for name, width in zip(("classifier", "aux_head"), widths, strict=True):
            convs = Conv(width, 8, 3, deploy=deploy), nn.Conv2d(8, 5, 1)
            self.add_module(name, nn.Sequential(*convs))

    def forward(self, levels):
        return torch.cat([m(x).flatten(1) for m, x in zip(self.children(), levels, strict=True)], 1)


class DepthHead(nn.Module):
    def __init__(self, widths, *, deploy=False):
        super().__init__()
        self.proj = nn.ModuleList(Conv(w, 8, deploy=deploy) for w in widths)
        convs = (Conv(8, 8, 3, deploy=deploy), Conv(8, 8, 3, deploy=deploy))
        self.refine = nn.ModuleList([nn.Sequential(*convs)])
        self.head = nn.Sequential(
            Conv(8, 8, 3, deploy=deploy),
            nn.ConvTranspose2d(8, 8, 2, 2),
            Conv(8, 4, 3, deploy=deploy),
            nn.Conv2d(4, 1, 1),
        )
        self.cal_a = nn.Parameter(torch.rand(1) + 1)
        self.cal_b = nn.Parameter(torch.rand(1))

    def forward(self, levels):
        fine, coarse = (proj(x) for proj, x in zip(self.proj, levels, strict=True))
        y = fine + nn.functional.interpolate(coarse, fine.shape[2:])
        return self.cal_a * self.head(self.refine[0](y)) + self.cal_b


class DetrHead(nn.Module):
    """What RT-DETR does with the levels, without its decoder; the norms of `input_proj` stay."""

    def __init__(self, widths):
        super().__init__()
        projections = ((nn.Conv2d(w, 8, 1, bias=False), nn.BatchNorm2d(8)) for w in widths)
        self.input_proj = nn.ModuleList(nn.Sequential(*p) for p in projections)
        self.enc_output = nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8))
        self.dec_score_head = nn.ModuleList([nn.Linear(8, 5)])
        self.dec_bbox_head = nn.ModuleList([Stages("layers", nn.Linear(8, 8), nn.Linear(8, 4))])

    def forward(self, levels):
        tokens = [p(x).flatten(2) for p, x in zip(self.input_proj, levels, strict=True)]
        x = self.enc_output(torch.cat(tokens, 2).transpose(1, 2))
        return torch.cat((self.dec_score_head[0](x), self.dec_bbox_head[0](x)), 2)


class Yolo(nn.Module):
    """Numbered layers, the last of which reads the outputs of the two before."""

    def __init__(self, *layers):
        super().__init__()
        self.model = nn.Sequential(*layers)

    def forward(self, x):
        *body, before, last, head = self.model
        for layer in body:
            x = layer(x)
        x = before(x)
        return head((x, last(x)))


class ConvModule(nn.Module):
    """mmcv's convolution with or without a norm, in either of its usual orders."""

    def __init__(self, into, out, k=1, s=1, g=1, *, norm=True, first=False, deploy=False):
        super().__init__()
        pad = k // 2 if isinstance(k, int) else tuple(n // 2 for n in k)
        self.conv = nn.Conv2d(into, out, k, s, pad, groups=g, bias=deploy or not norm)
        self.bn = nn.BatchNorm2d(out) if norm and not deploy else nn.Identity()
        self.first = first

    def forward(self, x):
        if self.first:
            return self.bn(self.conv(x.relu()))
        return self.bn(self.conv(x)).relu()


def with_eps(net, eps):
    """Set the constant of all norms, as `initialize_weights` of most YOLOs does."""
    for norm in (m for m in net.modules() if isinstance(m, nn.BatchNorm2d)):
        norm.eps = eps
    return net
