"""YOLOs: every kind of layer, and the heads by which they are told apart; mmcv's ConvModule."""

from families.sample import Maker, Sample


class Yolo(Maker):
    """Adds pairs `X.conv`, `X.bn`; `made` is what becomes of them."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[str] = []

    def pair(self, name: str, out: int, into: int, k: int = 1, *, made: bool = True) -> None:
        self.conv(f"{name}.conv", out, into, k, k)
        self.norm(f"{name}.bn", out)
        if made:
            self.made.append(f"{name}.conv")

    def sum_of_two(self, name: str, first: str, second: str, sizes: tuple[int, int], into: int):
        """Add two pairs side by side, which become `name`.conv."""
        for part, k in zip((first, second), sizes, strict=True):
            self.pair(f"{name}.{part}", 8, into, k, made=False)
        self.made.append(f"{name}.conv")

    def rep(self, name: str, out: int, into: int, *, identity: bool = False) -> None:
        """Add YOLOv7's RepConv."""
        for branch, k in (("rbr_dense", 3), ("rbr_1x1", 1)):
            self.conv(f"{name}.{branch}.0", out, into, k, k)
            self.norm(f"{name}.{branch}.1", out)
        if identity:
            self.norm(f"{name}.rbr_identity", out)
        self.made.append(f"{name}.rbr_reparam")

    def sample(self, *stays: str, **more) -> Sample:
        return Sample(self.state, tuple(self.made), stays, **{"eps": 1e-3} | more)


def newest() -> Sample:
    m = Yolo()
    m.pair("model.0", 8, 3, 3)
    m.pair("model.1", 8, 8, 6)
    m.conv("model.2.conv", 8, 8, 3, 3)  # Conv2, grouped
    m.conv("model.2.cv2", 8, 8, 1, 1)
    m.norm("model.2.bn", 8)
    m.made.append("model.2.conv")
    m.conv("model.3.conv_transpose", 8, 4, 2, 2)
    m.norm("model.3.bn", 4)
    m.made.append("model.3.conv_transpose")
    m.conv("model.4.conv", 8, 4, 1, 1, bias=True)  # CBLinear
    m.sum_of_two("model.5.m.0.cv1", "conv1", "conv2", (3, 1), 8)
    m.pair("model.5.m.0.cv2", 8, 8, 3)
    m.sum_of_two("model.6.m.0", "conv1", "conv2", (3, 1), 4)  # grouped
    m.norm("model.6.m.0.bn", 8)
    m.pair("model.6.m.1.conv1", 8, 8)  # LightConv
    m.pair("model.6.m.1.conv2", 8, 1, 3)
    m.sum_of_two("model.7.m.0.cv1.2", "conv", "conv1", (7, 3), 1)
    for head, dfl in (("", "dfl"), ("one2one_", "dfl2")):
        m.pair(f"model.8.{head}cv2.0.0", 4, 8, 3)
        m.conv(f"model.8.{head}cv2.0.1", 16, 4, 1, 1, bias=True)
        m.pair(f"model.8.{head}cv3.0.0.0", 8, 1, 3)
        m.pair(f"model.8.{head}cv3.0.0.1", 4, 8)
        m.conv(f"model.8.{head}cv3.0.1", 5, 4, 1, 1, bias=True)
        m.conv(f"model.8.{dfl}.conv", 1, 4, 1, 1)
        m.norm(f"model.8.{head}cv4.0.norm", 4)  # contrastive
    m.conv("model.8.uconv.cv2", 4, 4, 1, 1, bias=True)
    kept = [f"model.8.{head}cv{n}" for head in ("", "one2one_") for n in ("2.0.1", "3.0.1", "4.")]
    return m.sample("model.4.", "model.8.dfl", "model.8.uconv.", *kept)


def detr() -> Sample:
    m = Yolo()
    m.pair("model.0.stem1", 8, 3, 3)
    m.pair("model.1.m.0.conv1", 8, 8)
    m.pair("model.1.m.0.conv2", 8, 1, 5)
    m.sum_of_two("model.2.m.0", "conv1", "conv2", (3, 1), 8)
    m.conv("model.3.input_proj.0.0", 4, 8, 1, 1)
    m.norm("model.3.input_proj.0.1", 4)
    m.conv("model.3.dec_score_head.0", 5, 4, bias=True)
    m.conv("model.3.dec_bbox_head.0.layers.0", 4, 4, bias=True)
    return m.sample("model.3.")


def small(*, before: str = "") -> Yolo:
    m = Yolo()
    m.pair("model.0" + before, 8, 3, 3)
    m.pair("model.1.cv1", 4, 8)
    m.pair("model.1.m.0.cv2", 4, 1, 3)
    return m


def semantic() -> Sample:
    m = small()
    for head in ("classifier", "aux_head"):
        m.pair(f"model.2.{head}.0", 4, 4, 3)
        m.conv(f"model.2.{head}.1", 5, 4, 1, 1, bias=True)
    return m.sample("model.2.classifier.1.", "model.2.aux_head.1.")


def depth() -> Sample:
    m = small()
    m.pair("model.2.proj.0", 8, 4)
    for i in (0, 1):
        m.pair(f"model.2.refine.0.{i}", 8, 8, 3)
    m.pair("model.2.head.0", 4, 8, 3)
    m.conv("model.2.head.1", 4, 4, 2, 2, bias=True)
    m.vector("model.2.cal_a", 1)
    return m.sample("model.2.head.1.", "model.2.cal_a")


def classifier() -> Sample:
    m = small(before=".layer.0")
    m.pair("model.2.conv", 8, 4)
    m.conv("model.2.linear", 5, 8, bias=True)
    return m.sample("model.2.linear.", eps=1e-5, said=True)


def anchors() -> Sample:
    m = small(before=".conv")
    m.pair("model.2.cv1", 4, 4)  # BottleneckCSP
    m.conv("model.2.cv2", 4, 4, 1, 1)
    m.conv("model.2.cv3", 4, 4, 1, 1)
    m.pair("model.2.m.0.cv1", 4, 4)
    m.norm("model.2.bn", 8)
    m.pair("model.2.cv4", 8, 8)
    m.conv("model.3.m.0", 6, 8, 1, 1, bias=True)
    m.add("model.3.anchors", m.rng.uniform(1, 9, size=(1, 3, 2)))
    return m.sample("model.2.bn.", "model.2.cv2.", "model.2.cv3.", "model.3.")


def yolov7(*, implicit: bool = True, beside: str = "") -> Sample:
    m = small()
    m.rep("model.2", 8, 4)
    m.rep("model.3.m.0.cv2", 8, 4, identity=True)  # grouped
    kept = ["model.4.anchor"]
    m.add("model.4.anchors", m.rng.uniform(1, 9, size=(2, 3, 2)))
    m.add("model.4.anchor_grid", m.rng.uniform(1, 9, size=(2, 1, 3, 1, 1, 2)))
    for i in (0, 1):
        m.conv(f"model.4.m.{i}", 6, 8, 1, 1, bias=True)
        if implicit:
            m.vector(f"model.4.ia.{i}.implicit", 1, 8, 1, 1)
            m.vector(f"model.4.im.{i}.implicit", 1, 6, 1, 1)
        if beside:
            m.conv(f"model.4.{beside}.{i}", 6, 8, 1, 1, bias=True)
            kept.append(f"model.4.{beside}.{i}")
        if implicit and beside != "m_kpt":
            m.made.append(f"model.4.m.{i}")
        else:
            kept += [f"model.4.{part}.{i}." for part in ("m", "ia", "im")]
    return m.sample(*kept)


def ppyoloe() -> Sample:
    m = Yolo()
    m.pair("backbone.stem.0", 8, 3, 3, made=False)
    for block, alpha in (("backbone.stage1.0.blocks.0", True), ("neck.top_down.0.blocks.0", False)):
        m.pair(f"{block}.conv1", 8, 8, 3, made=False)
        for branch, k in (("rbr_dense", 3), ("rbr_1x1", 1)):
            m.pair(f"{block}.conv2.{branch}", 8, 8, k, made=False)
        if alpha:
            m.vector(f"{block}.conv2.alpha", 1)
        m.made.append(f"{block}.conv2.rbr_reparam")
    kept = ("backbone.stem", "backbone.stage1.0.blocks.0.conv1", "neck.top_down.0.blocks.0.conv1")
    return m.sample(*kept, eps=1e-5)


def convmodules() -> Sample:
    m = Yolo()
    m.pair("backbone.stem.0", 8, 3, 3)
    m.pair("backbone.stage1.0.conv1", 4, 8)
    m.pair("backbone.stage1.0.depthwise_conv", 4, 1, 5)
    m.pair("neck.lateral_convs.0", 4, 4, 1)
    m.conv("neck.fpn_convs.0.conv", 4, 4, 3, 3, bias=True)  # without a norm
    m.conv("bbox_head.conv_cls", 6, 4, 1, 1, bias=True)
    return m.sample("neck.fpn_convs.", "bbox_head.", said=True, named=True)


SAMPLES = {
    ("ultralytics", "YOLOv8 to YOLO26, YOLOv9"): newest(),
    ("ultralytics", "RT-DETR"): detr(),
    ("ultralytics", "semantic segmentation"): semantic(),
    ("ultralytics", "depth"): depth(),
    ("ultralytics", "classification"): classifier(),
    ("ultralytics", "YOLOv5, YOLOv3"): anchors(),
    ("yolov7", "implicit heads"): yolov7(beside="m2"),
    ("yolov7", "keypoints"): yolov7(beside="m_kpt"),
    ("yolov7", "plain heads"): yolov7(implicit=False),
    ("ppyoloe", "MMYOLO"): ppyoloe(),
    ("mmcv", "ConvModule"): convmodules(),
}
