"""Plain nets of torchvision and timm, in which most norms follow a convolution."""

from __future__ import annotations

from families.sample import Maker, Sample


def sample(table: str, *, eps: float = 1e-5, said: bool = False, named: bool = False) -> Sample:
    """Make a sample from a table.

    Args:
        table: `conv norm shape` is a pair that is fused, `norm width` a norm that stays,
            `layer shape` another layer that stays; `+b` behind a shape is a bias. What follows
            `in block` is named relative to that block.
        eps: See `Sample`.
        said: See `Sample`.
        named: See `Sample`.
    """
    m = Maker()
    makes: list[str] = []
    stays: list[str] = []
    block = ""
    for row in filter(None, table.splitlines()):
        *names, last = row.split()
        if names == ["in"]:
            block = "" if last == "." else f"{last}."
            continue
        sizes = [int(size) for size in last.removesuffix("+b").split("x")]
        paths = [block + name for name in names]
        if len(sizes) > 1:
            m.conv(paths[0], *sizes, bias=last.endswith("+b"))
            (stays if len(paths) == 1 else makes).append(paths[0])
        if len(sizes) == 1 or len(paths) > 1:
            m.norm(paths[-1], sizes[0])
            stays += paths if len(paths) == 1 else []
    beginnings = tuple(f"{path}." for path in stays)
    return Sample(m.state, tuple(makes), beginnings, eps=eps, said=said, named=named)


REGNET = """
stem.0 stem.1 4x3x3x3
in trunk_output.block1.block1-0
proj.0 proj.1 8x4x1x1
f.a.0 f.a.1 8x4x1x1
f.b.0 f.b.1 8x2x3x3
f.se.fc1 2x8x1x1+b
f.se.fc2 8x2x1x1+b
f.c.0 f.c.1 8x8x1x1
in trunk_output.block1.block1-10
f.a.0 f.a.1 8x8x1x1
f.b.0 f.b.1 8x2x3x3
f.c.0 f.c.1 8x8x1x1
in .
fc 10x8+b
"""

REGNET_TIMM = """
stem.conv stem.bn 4x3x3x3
in s1.b1
downsample.conv downsample.bn 8x4x1x1
conv1.conv conv1.bn 8x4x1x1
conv2.conv conv2.bn 8x2x3x3
se.fc1 2x8x1x1+b
conv3.conv conv3.bn 8x8x1x1
in s1.b2
conv1.conv conv1.bn 8x8x1x1
conv2.conv conv2.bn 8x2x3x3
conv3.conv conv3.bn 8x8x1x1
in .
final_conv.conv final_conv.bn 12x8x1x1
head.fc 10x12+b
"""

REGNET_BEFORE = """
stem 4x3x3x3
in s1.b1
downsample 8x4x1x1
norm1 4
conv1 norm2 8x4x1x1
conv2 8x2x3x3
norm3 8
se.fc1 2x8x1x1+b
conv3 8x8x1x1
in s1.b2
norm1 8
conv1 norm2 8x8x1x1
conv2 8x2x3x3
norm3 8
conv3 8x8x1x1
in .
head.fc 10x8+b
"""

MBCONV_SE = """
in {block}
0.0 0.1 8x4x1x1
1.0 1.1 8x1x5x5
2.fc1 2x8x1x1+b
2.fc2 8x2x1x1+b
3.0 3.1 4x8x1x1
"""

EFFICIENTNET = """
features.0.0 features.0.1 4x3x3x3
in features.1.0.block
0.0 0.1 4x1x3x3
1.fc1 2x4x1x1+b
2.0 2.1 4x4x1x1
"""

EFFICIENTNET_HEAD = """
in .
features.8.0 features.8.1 8x4x1x1
classifier.1 10x8+b
"""

EFFICIENTNET_V2 = """
features.0.0 features.0.1 4x3x3x3
features.1.0.block.0.0 features.1.0.block.0.1 4x4x3x3
features.2.0.block.0.0 features.2.0.block.0.1 8x4x3x3
features.2.0.block.1.0 features.2.0.block.1.1 4x8x1x1
in features.4.0.block
0.0 0.1 8x4x1x1
1.0 1.1 8x1x3x3
2.fc1 2x8x1x1+b
3.0 3.1 4x8x1x1
in .
features.7.0 features.7.1 8x4x1x1
classifier.1 10x8+b
"""

EFFICIENTNET_PYTORCH = """
_conv_stem _bn0 4x3x3x3
in _blocks.0
_depthwise_conv _bn1 4x1x3x3
_se_reduce 1x4x1x1+b
_se_expand 4x1x1x1+b
_project_conv _bn2 4x4x1x1
in _blocks.1
_expand_conv _bn0 8x4x1x1
_depthwise_conv _bn1 8x1x5x5
_se_reduce 1x8x1x1+b
_se_expand 8x1x1x1+b
_project_conv _bn2 4x8x1x1
in .
_conv_head _bn1 8x4x1x1
_fc 10x8+b
"""

TIMM_BLOCKS = """
conv_stem bn1 4x3x3x3
in blocks.0.0
conv_dw bn1 4x1x3x3
se.conv_reduce 1x4x1x1+b
se.conv_expand 4x1x1x1+b
conv_pw bn2 4x4x1x1
in blocks.1.0
conv_exp bn1 8x4x3x3
conv_pwl bn2 4x8x1x1
in blocks.2.0
conv_pw bn1 8x4x1x1
conv_dw bn2 8x1x5x5
se.conv_reduce 1x8x1x1+b
conv_pwl bn3 4x8x1x1
in blocks.2.1
conv_pw bn1 8x4x1x1
conv_dw bn2 8x1x3x3
conv_pwl bn3 4x8x1x1
in blocks.3.0
conv bn1 8x4x1x1
in .
"""

MOBILENETV3 = """
features.0.0 features.0.1 4x3x3x3
in features.1.block
0.0 0.1 4x1x3x3
1.0 1.1 4x4x1x1
in features.2.block
0.0 0.1 8x4x1x1
1.0 1.1 8x1x3x3
2.0 2.1 4x8x1x1
in features.3.block
0.0 0.1 8x4x1x1
1.0 1.1 8x1x5x5
2.fc1 2x8x1x1+b
3.0 3.1 4x8x1x1
in features.4.block
0.0 0.1 4x1x3x3
1.fc1 2x4x1x1+b
2.0 2.1 4x4x1x1
in .
features.5.0 features.5.1 8x4x1x1
classifier.0 10x8+b
classifier.3 10x10+b
"""

MOBILENETV4 = """
conv_stem bn1 4x3x3x3
blocks.0.0.conv blocks.0.0.bn1 4x4x3x3
blocks.0.1.conv_exp blocks.0.1.bn1 8x4x3x3
blocks.0.1.conv_pwl blocks.0.1.bn2 4x8x1x1
in blocks.1.0
dw_start.conv dw_start.bn 4x1x5x5
pw_exp.conv pw_exp.bn 8x4x1x1
dw_mid.conv dw_mid.bn 8x1x3x3
pw_proj.conv pw_proj.bn 4x8x1x1
in blocks.1.1
pw_exp.conv pw_exp.bn 8x4x1x1
pw_proj.conv pw_proj.bn 4x8x1x1
in blocks.1.2
norm 4
attn.query.proj 4x4x1x1
attn.key.down_conv attn.key.norm 4x1x3x3
attn.key.proj 4x4x1x1
attn.value.down_conv attn.value.norm 4x1x3x3
attn.value.proj 4x4x1x1
attn.output.proj 4x4x1x1
in blocks.1.3
norm 4
attn.query.proj 4x4x1x1
in .
conv_head norm_head 12x4x1x1
classifier 10x12+b
"""

MOBILENETV1 = """
conv_stem bn1 4x3x3x3
in blocks.0.0
conv_dw bn1 4x1x3x3
conv_pw bn2 8x4x1x1
in blocks.1.1
conv_dw bn1 8x1x3x3
conv_pw bn2 8x8x1x1
in .
classifier 10x8+b
"""

LCNET = """
conv_stem bn1 4x3x3x3
in blocks.0.0
conv_dw bn1 4x1x3x3
conv_pw bn2 8x4x1x1
in blocks.5.0
conv_dw bn1 8x1x5x5
se.conv_reduce 2x8x1x1+b
conv_pw bn2 8x8x1x1
in .
conv_head 12x8x1x1+b
classifier 10x12+b
"""

MOBILENETV2_WIDE = """
conv_stem bn1 4x3x3x3
in blocks.0.0
conv_dw bn1 4x1x3x3
conv_pw bn2 4x4x1x1
in blocks.1.0
conv_pw bn1 8x4x1x1
conv_dw bn2 8x1x5x5
conv_pwl bn3 4x8x1x1
in .
conv_head bn2 12x4x1x1
classifier 10x12+b
"""

MNASNET = """
layers.0 layers.1 4x3x3x3
layers.3 layers.4 4x1x3x3
layers.6 layers.7 4x4x1x1
in layers.8.0.layers
0 1 8x4x1x1
3 4 8x1x3x3
6 7 4x8x1x1
in .
layers.14 layers.15 12x4x1x1
classifier.1 10x12+b
"""

GOOGLENET = """
conv1.conv conv1.bn 4x3x7x7
conv3.conv conv3.bn 4x4x3x3
in inception3a
branch1.conv branch1.bn 4x4x1x1
branch2.0.conv branch2.0.bn 2x4x1x1
branch2.1.conv branch2.1.bn 4x2x3x3
in .
inception5b.branch4.1.conv inception5b.branch4.1.bn 4x8x1x1
aux1.conv.conv aux1.conv.bn 4x8x1x1
aux1.fc1 10x4+b
fc 10x4+b
"""

INCEPTION_V3 = """
Conv2d_1a_3x3.conv Conv2d_1a_3x3.bn 4x3x3x3
Mixed_5b.branch1x1.conv Mixed_5b.branch1x1.bn 4x4x1x1
Mixed_6b.branch7x7_2.conv Mixed_6b.branch7x7_2.bn 4x4x1x7
AuxLogits.conv0.conv AuxLogits.conv0.bn 4x4x1x1
AuxLogits.fc 10x4+b
Mixed_7c.branch_pool.conv Mixed_7c.branch_pool.bn 4x4x1x1
fc 10x4+b
"""

INCEPTION_V4 = """
features.0.conv features.0.bn 4x3x3x3
features.3.conv.conv features.3.conv.bn 4x4x3x3
features.4.branch0.0.conv features.4.branch0.0.bn 4x8x1x1
features.4.branch1.1.conv features.4.branch1.1.bn 4x4x1x7
features.6.branch0.conv features.6.branch0.bn 4x8x1x1
features.6.branch3.1.conv features.6.branch3.1.bn 4x8x1x1
last_linear 10x8+b
"""

INCEPTION_RESNET = """
conv2d_1a.conv conv2d_1a.bn 4x3x3x3
mixed_5b.branch0.conv mixed_5b.branch0.bn 4x4x1x1
in repeat.0
branch0.conv branch0.bn 4x4x1x1
branch1.0.conv branch1.0.bn 4x4x1x1
conv2d 4x8x1x1+b
in .
conv2d_7b.conv conv2d_7b.bn 8x4x1x1
classif 10x8+b
"""

SHUFFLENETV2 = """
conv1.0 conv1.1 4x3x3x3
in stage2.0
branch1.0 branch1.1 4x1x3x3
branch1.2 branch1.3 4x4x1x1
branch2.0 branch2.1 4x4x1x1
branch2.3 branch2.4 4x1x3x3
branch2.5 branch2.6 4x4x1x1
in stage2.1
branch2.0 branch2.1 4x4x1x1
branch2.3 branch2.4 4x1x3x3
branch2.5 branch2.6 4x4x1x1
in .
conv5.0 conv5.1 12x8x1x1
fc 10x12+b
"""

CSPNET = """
stem.conv1.conv stem.conv1.bn 4x3x3x3
in stages.0
conv_down.conv conv_down.bn 8x4x3x3
conv_exp.conv conv_exp.bn 8x8x1x1
blocks.0.conv1.conv blocks.0.conv1.bn 4x4x1x1
blocks.0.conv2.conv blocks.0.conv2.bn 4x4x3x3
blocks.0.attn.fc1 2x4x1x1+b
conv_transition_b.conv conv_transition_b.bn 4x4x1x1
conv_transition.conv conv_transition.bn 8x8x1x1
in stages.1
conv_down.1.conv conv_down.1.bn 8x8x3x3
blocks.0.conv1.conv blocks.0.conv1.bn 4x8x1x1
blocks.0.conv2.conv blocks.0.conv2.bn 8x4x3x3
in .
head.fc 10x8+b
"""

DENSENET = """
in features
conv0 norm0 4x3x7x7
denseblock1.denselayer1.norm{dot}1 4
denseblock1.denselayer1.conv{dot}1 denseblock1.denselayer1.norm{dot}2 8x4x1x1
denseblock1.denselayer1.conv{dot}2 2x8x3x3
transition1.norm 6
transition1.conv 4x6x1x1
denseblock2.denselayer1.norm{dot}1 4
denseblock2.denselayer1.conv{dot}1 denseblock2.denselayer1.norm{dot}2 8x4x1x1
denseblock2.denselayer1.conv{dot}2 2x8x3x3
norm5 6
in .
classifier 10x6+b
"""

RES2NET = """
conv1 bn1 8x3x7x7
in layer1.0
conv1 bn1 8x8x1x1
convs.0 bns.0 2x2x3x3
convs.1 bns.1 2x2x3x3
convs.2 bns.2 2x2x3x3
conv3 bn3 16x8x1x1
downsample.1 downsample.2 16x8x1x1
in layer1.1
conv1 bn1 8x16x1x1
convs.0 bns.0 2x2x3x3
conv3 bn3 16x8x1x1
se.fc1 2x16x1x1+b
in .
fc 10x16+b
"""

RESNEST = """
conv1.0 conv1.1 4x3x3x3
conv1.3 conv1.4 4x4x3x3
conv1.6 bn1 8x4x3x3
in layer1.0
conv1 bn1 4x8x1x1
conv2.conv conv2.bn0 8x2x3x3
conv2.fc1 conv2.bn1 6x4x1x1+b
conv2.fc2 8x6x1x1+b
conv3 bn3 16x4x1x1
downsample.1 downsample.2 16x8x1x1
in layer1.1
conv1 bn1 4x16x1x1
conv2.conv conv2.bn0 8x2x3x3
conv2.fc1 conv2.bn1 6x4x1x1+b
conv2.fc2 8x6x1x1+b
conv3 bn3 16x4x1x1
in .
fc 10x16+b
"""

SKNET = """
conv1 bn1 8x3x7x7
in layer1.0
conv1.paths.0.conv conv1.paths.0.bn 8x4x3x3
conv1.paths.1.conv conv1.paths.1.bn 8x4x3x3
conv1.attn.fc_reduce conv1.attn.bn 4x8x1x1
conv1.attn.fc_select 16x4x1x1
conv2.conv conv2.bn 16x8x3x3
downsample.0 downsample.1 16x8x1x1
in layer1.1
conv1.conv conv1.bn 8x16x1x1
conv2.paths.0.conv conv2.paths.0.bn 8x4x3x3
conv2.attn.fc_reduce conv2.attn.bn 4x8x1x1
conv2.attn.fc_select 16x4x1x1
conv3.conv conv3.bn 16x8x1x1
in .
fc 10x16+b
"""

SENET = """
layer0.conv1 layer0.bn1 4x3x3x3
layer0.conv2 layer0.bn2 4x4x3x3
in layer1.0
conv1 bn1 8x4x1x1
conv2 bn2 8x2x3x3
conv3 bn3 16x8x1x1
se_module.fc1 2x16x1x1+b
downsample.0 downsample.1 16x4x1x1
in layer1.1
conv1 bn1 16x16x3x3
conv2 bn2 16x16x3x3
se_module.fc1 2x16x1x1+b
in .
last_linear 10x16+b
"""

HRNET = """
conv1 bn1 4x3x3x3
conv2 bn2 4x4x3x3
in layer1.0
conv1 bn1 4x4x1x1
conv2 bn2 4x4x3x3
conv3 bn3 8x4x1x1
downsample.0 downsample.1 8x4x1x1
in .
transition1.0.0 transition1.0.1 4x8x3x3
transition1.1.0.0 transition1.1.0.1 8x8x3x3
in stage2.0
branches.0.0.conv1 branches.0.0.bn1 4x4x3x3
branches.0.0.conv2 branches.0.0.bn2 4x4x3x3
branches.1.0.conv1 branches.1.0.bn1 8x8x3x3
branches.1.0.conv2 branches.1.0.bn2 8x8x3x3
fuse_layers.0.1.0 fuse_layers.0.1.1 4x8x1x1
fuse_layers.1.0.0.0 fuse_layers.1.0.0.1 8x4x3x3
in incre_modules.0.0
conv1 bn1 4x4x1x1
conv2 bn2 4x4x3x3
conv3 bn3 8x4x1x1
downsample.0 downsample.1 8x4x1x1
in .
downsamp_modules.0.0 downsamp_modules.0.1 8x8x3x3+b
final_layer.0 final_layer.1 12x8x1x1+b
classifier 10x12+b
"""

DLA = """
base_layer.0 base_layer.1 4x3x7x7
level0.0 level0.1 4x4x3x3
level1.0 level1.1 4x4x3x3
in level2
tree1.conv1 tree1.bn1 8x4x3x3
tree1.conv2 tree1.bn2 8x8x3x3
tree2.conv1 tree2.bn1 4x8x1x1
tree2.conv2 tree2.bn2 4x1x3x3
tree2.conv3 tree2.bn3 8x4x1x1
root.conv root.bn 8x16x1x1
project.0 project.1 8x4x1x1
in level5
tree1.conv1 tree1.bn1 4x8x1x1
tree1.convs.0 tree1.bns.0 2x2x3x3
tree1.conv3 tree1.bn3 8x4x1x1
tree2.tree1.conv1 tree2.tree1.bn1 8x8x3x3
tree2.tree1.conv2 tree2.tree1.bn2 8x8x3x3
tree2.root.conv tree2.root.bn 8x16x1x1
root.conv root.bn 8x16x1x1
in .
fc 10x8x1x1+b
"""

GHOSTNET = """
conv_stem bn1 4x3x3x3
in blocks.0.0
ghost1.primary_conv.0 ghost1.primary_conv.1 2x4x1x1
ghost1.cheap_operation.0 ghost1.cheap_operation.1 2x1x3x3
ghost2.primary_conv.0 ghost2.primary_conv.1 2x4x1x1
ghost2.cheap_operation.0 ghost2.cheap_operation.1 2x1x3x3
in blocks.1.0
ghost1.primary_conv.0 ghost1.primary_conv.1 4x4x1x1
ghost1.cheap_operation.0 ghost1.cheap_operation.1 4x1x3x3
ghost1.short_conv.0 ghost1.short_conv.1 8x4x1x1
ghost1.short_conv.2 ghost1.short_conv.3 8x1x1x5
ghost1.short_conv.4 ghost1.short_conv.5 8x1x5x1
conv_dw bn_dw 8x1x3x3
se.conv_reduce 2x8x1x1+b
ghost2.primary_conv.0 ghost2.primary_conv.1 2x8x1x1
ghost2.cheap_operation.0 ghost2.cheap_operation.1 2x1x3x3
shortcut.0 shortcut.1 4x1x3x3
shortcut.2 shortcut.3 4x4x1x1
in .
blocks.2.0.conv blocks.2.0.bn1 8x4x1x1
conv_head 12x8x1x1+b
classifier 10x12+b
"""

HGNET = """
stem.stem.0.conv stem.stem.0.bn 4x3x3x3
stem.stem.1.conv stem.stem.1.bn 4x4x3x3
in stages.0.blocks.0
layers.0.conv layers.0.bn 4x4x3x3
layers.1.conv layers.1.bn 4x4x3x3
aggregation.0.conv aggregation.0.bn 8x12x1x1
aggregation.1.conv 8x8x1x1+b
in .
stages.1.downsample.conv stages.1.downsample.bn 8x1x3x3
head.last_conv.0 12x8x1x1
head.fc 10x12+b
"""

HGNETV2 = """
stem.stem1.conv stem.stem1.bn 4x3x3x3
stem.stem2a.conv stem.stem2a.bn 2x4x2x2
stem.stem2b.conv stem.stem2b.bn 4x2x2x2
in stages.0.blocks.0
layers.0.conv layers.0.bn 4x4x3x3
layers.1.conv1.conv layers.1.conv1.bn 4x4x1x1
layers.1.conv2.conv layers.1.conv2.bn 4x1x5x5
aggregation.0.conv aggregation.0.bn 4x12x1x1
aggregation.1.conv aggregation.1.bn 8x4x1x1
in .
stages.1.downsample.conv stages.1.downsample.bn 8x1x3x3
head.last_conv.0 12x8x1x1
head.fc 10x12+b
"""

REXNET = """
stem.conv stem.bn 4x3x3x3
in features.0
conv_dw.conv conv_dw.bn 4x1x3x3
conv_pwl.conv conv_pwl.bn 4x4x1x1
in features.1
conv_exp.conv conv_exp.bn 8x4x1x1
conv_dw.conv conv_dw.bn 8x1x3x3
se.fc1 se.bn 2x8x1x1+b
se.fc2 8x2x1x1+b
conv_pwl.conv conv_pwl.bn 5x8x1x1
in .
features.2.conv features.2.bn 12x5x1x1
head.fc 10x12+b
"""

VOVNET = """
stem.0.conv stem.0.bn 4x3x3x3
stem.1.conv_dw 4x1x3x3
stem.1.conv_pw stem.1.bn 4x4x1x1
in stages.0.blocks.0
conv_reduction.conv conv_reduction.bn 4x4x1x1
conv_mid.0.conv_dw 4x1x3x3
conv_mid.0.conv_pw conv_mid.0.bn 4x4x1x1
conv_concat.conv conv_concat.bn 8x8x1x1
attn.fc 8x8x1x1+b
in stages.1.blocks.0
conv_mid.0.conv conv_mid.0.bn 4x8x3x3
conv_mid.1.conv conv_mid.1.bn 4x4x3x3
conv_concat.conv conv_concat.bn 8x16x1x1
in .
head.fc 10x8+b
"""

SELECSLS = """
stem.0 stem.1 4x3x3x3
in features.0
conv1.0 conv1.1 8x4x3x3
conv2.0 conv2.1 8x8x1x1
conv6.0 conv6.1 8x16x1x1
in .
head.0.0 head.0.1 12x8x3x3
head.1.0 head.1.1 12x12x1x1
fc 10x12+b
"""

XCEPTION = """
conv1 bn1 4x3x3x3
conv2 bn2 8x4x3x3
in block1
skip skipbn 8x8x1x1
rep.0.conv1 8x1x3x3
rep.0.pointwise rep.1 8x8x1x1
rep.3.conv1 8x1x3x3
rep.3.pointwise rep.4 8x8x1x1
in block2
rep.1.conv1 8x1x3x3
rep.1.pointwise rep.2 8x8x1x1
in .
conv3.conv1 8x1x3x3
conv3.pointwise bn3 12x8x1x1
conv4.conv1 12x1x3x3
conv4.pointwise bn4 12x12x1x1
fc 10x12+b
"""

XCEPTION_ALIGNED = """
stem.0.conv stem.0.bn 4x3x3x3
stem.1.conv stem.1.bn 4x4x3x3
in blocks.0
shortcut.conv shortcut.bn 8x4x1x1
stack.conv1.conv_dw stack.conv1.bn_dw 4x1x3x3
stack.conv1.conv_pw stack.conv1.bn_pw 8x4x1x1
in blocks.1
stack.conv1.conv_dw stack.conv1.bn_dw 8x1x3x3
stack.conv1.conv_pw stack.conv1.bn_pw 8x8x1x1
in .
head.fc 10x8+b
"""

XCEPTION_BEFORE = """
stem.0.conv stem.0.bn 4x3x3x3
stem.1 4x4x3x3
in blocks.0
norm 4
shortcut 8x4x1x1
stack.conv1.conv_dw 4x1x3x3
stack.conv1.conv_pw stack.conv2.norm 8x4x1x1
stack.conv2.conv_dw 8x1x3x3
stack.conv2.conv_pw stack.conv3.norm 8x8x1x1
stack.conv3.conv_dw 8x1x3x3
stack.conv3.conv_pw 8x8x1x1
in .
head.fc 10x8+b
"""

CSPNEXT = """
stem.0.conv stem.0.bn 4x3x3x3
stages.0.0.conv stages.0.0.bn 8x4x3x3
in stages.0.1
short_conv.conv short_conv.bn 4x8x1x1
main_conv.conv main_conv.bn 4x8x1x1
blocks.0.conv1.conv blocks.0.conv1.bn 4x4x3x3
blocks.0.conv2.depthwise_conv.conv blocks.0.conv2.depthwise_conv.bn 4x1x5x5
blocks.0.conv2.pointwise_conv.conv blocks.0.conv2.pointwise_conv.bn 4x4x1x1
attention.fc 8x8x1x1+b
final_conv.conv final_conv.bn 8x8x1x1
in .
head.fc 10x8+b
"""

FASTERNET = """
patch_embed.proj patch_embed.norm 8x3x4x4
in stages.0.blocks.0
spatial_mixing.partial_conv3 2x2x3x3
mlp.0 mlp.1 16x8x1x1
mlp.3 8x16x1x1
in .
stages.1.downsample.reduction stages.1.downsample.norm 16x8x2x2
conv_head 12x16x1x1
classifier 10x12+b
"""

STARNET = """
stem.0.conv stem.0.bn 4x3x3x3+b
stages.0.0.conv stages.0.0.bn 8x4x3x3+b
in stages.0.1
dwconv.conv dwconv.bn 8x1x7x7+b
f1.conv 16x8x1x1+b
f2.conv 16x8x1x1+b
g.conv g.bn 8x16x1x1+b
dwconv2.conv 8x1x7x7+b
in .
norm 8
head 10x8+b
"""

TRESNET = """
body.conv1.conv body.conv1.bn 4x48x3x3
in body.layer1.0
conv1.conv conv1.bn 4x4x3x3
conv2.conv conv2.bn 4x4x3x3
se.fc1 2x4x1x1+b
in body.layer4.0
downsample.1.conv downsample.1.bn 8x4x1x1
conv1.conv conv1.bn 4x4x1x1
conv2.conv conv2.bn 4x4x3x3
conv3.conv conv3.bn 8x4x1x1
in .
head.fc 10x8+b
"""

DPN = """
in features
conv1_1.conv conv1_1.bn 4x3x3x3
conv2_1.c1x1_w_s1.bn 4
conv2_1.c1x1_w_s1.conv 12x4x1x1
conv2_1.c1x1_a.bn 4
conv2_1.c1x1_a.conv conv2_1.c3x3_b.bn 8x4x1x1
conv2_1.c3x3_b.conv conv2_1.c1x1_c.bn 8x2x3x3
conv2_1.c1x1_c1 8x8x1x1
conv2_1.c1x1_c2 2x8x1x1
conv2_2.c1x1_a.bn 14
conv2_2.c1x1_a.conv conv2_2.c3x3_b.bn 8x14x1x1
conv2_2.c3x3_b.conv conv2_2.c1x1_c.bn 8x2x3x3
conv2_2.c1x1_c.conv 10x8x1x1
conv5_bn_ac.bn 16
in .
classifier 10x16x1x1+b
"""

RESNETV2 = """
stem.conv1 stem.norm1 4x3x3x3
stem.conv2 stem.norm2 4x4x3x3
stem.conv3 8x4x3x3
in stages.0.blocks.0
downsample.conv 16x8x1x1
norm1 8
conv1 norm2 4x8x1x1
conv2 norm3 4x4x3x3
conv3 16x4x1x1
in stages.0.blocks.1
norm1 16
conv1 norm2 16x16x3x3
conv2 16x16x3x3
in .
norm 16
head.fc 10x16x1x1+b
"""

NASNET = """
conv0.conv conv0.bn 4x3x3x3
in cell_stem_0
conv_1x1.conv conv_1x1.bn 4x4x1x1
comb_iter_0_left.separable_1.depthwise_conv2d 4x1x5x5
comb_iter_0_left.separable_1.pointwise_conv2d comb_iter_0_left.bn_sep_1 4x4x1x1
comb_iter_0_right.conv comb_iter_0_right.bn 4x4x1x1
in cell_0
path_1.conv 2x4x1x1
path_2.conv 2x4x1x1
final_path_bn 4
conv_1x1.conv conv_1x1.bn 4x8x1x1
in .
last_linear 10x4+b
"""

BYOBNET = """
stem.conv1.conv stem.conv1.bn 4x3x3x3
stem.conv2 4x4x3x3
in stages.0.0
shortcut.conv shortcut.bn 8x4x1x1
conv1_1x1.conv conv1_1x1.bn 4x4x1x1
conv2_kxk.conv conv2_kxk.bn 4x2x3x3
conv2b_kxk.conv conv2b_kxk.bn 4x2x3x3
attn.fc1 2x4x1x1+b
conv3_1x1.conv conv3_1x1.bn 8x4x1x1
in stages.1.0
shortcut.conv.conv shortcut.conv.bn 8x8x1x1
conv1_kxk.conv conv1_kxk.bn 8x8x3x3
conv2_kxk.conv conv2_kxk.bn 8x8x3x3
in stages.1.1
conv1_1x1.conv conv1_1x1.bn 4x8x1x1
self_attn.qkv 12x4x1x1
post_attn 4
conv3_1x1.conv conv3_1x1.bn 8x4x1x1
in stages.2.0
conv_kxk.conv conv_kxk.bn 8x8x3x3
conv_1x1 4x8x1x1
transformer.0.attn.qkv 12x4+b
conv_proj.conv conv_proj.bn 8x4x1x1
conv_fusion.conv conv_fusion.bn 8x16x3x3
in .
final_conv.conv final_conv.bn 12x8x1x1
head.fc 10x12+b
"""

MAXVIT = """
stem.0.0 stem.0.1 4x3x3x3
stem.1.0 4x4x3x3+b
in blocks.0.layers.0.layers
MBconv.proj.1 4x4x1x1+b
MBconv.layers.pre_norm 4
MBconv.layers.conv_a.0 MBconv.layers.conv_a.1 8x4x1x1
MBconv.layers.conv_b.0 MBconv.layers.conv_b.1 8x1x3x3
MBconv.layers.squeeze_excitation.fc1 2x8x1x1+b
MBconv.layers.conv_c 4x8x1x1+b
window_attention.attn_layer.1.to_qkv 12x4+b
in .
classifier.3 10x4+b
"""

MAXVIT_TIMM = """
stem.conv1 stem.norm1 4x3x3x3+b
stem.conv2 4x4x3x3+b
in stages.0.blocks.0{conv}
shortcut.expand 8x4x1x1+b
pre_norm 4
conv1_1x1 norm1 8x4x1x1
conv2_kxk norm2 8x1x3x3
se.fc1 2x8x1x1+b
conv3_1x1 8x8x1x1+b
in stages.0.blocks.1{conv}
pre_norm 8
conv1_1x1 norm1 8x8x1x1
conv2_kxk 8x1x3x3
se_early.fc1 2x8x1x1+b
norm2 8
conv3_1x1 8x8x1x1+b
in .
head.fc 10x8+b
"""

VIDEO_RESNET = """
stem.0 stem.1 4x3x1x7x7
stem.3 stem.4 4x4x3x1x1
in layer1.0
conv1.0.0 conv1.0.1 6x4x1x3x3
conv1.0.3 conv1.1 4x6x3x1x1
conv2.0.0 conv2.0.1 6x4x1x3x3
conv2.0.3 conv2.1 4x6x3x1x1
in layer2.0
conv1.0 conv1.1 8x4x3x3x3
conv2.0 conv2.1 8x8x1x3x3
downsample.0 downsample.1 8x4x1x1x1
in .
fc 10x8+b
"""

S3D = """
in features
0.0.0 0.0.1 4x3x1x7x7
0.1.0 0.1.1 4x4x7x1x1
2.0 2.1 4x4x1x1x1
5.branch0.0 5.branch0.1 4x4x1x1x1
5.branch1.0.0 5.branch1.0.1 4x4x1x1x1
5.branch1.1.0.0 5.branch1.1.0.1 4x4x1x3x3
5.branch1.1.1.0 5.branch1.1.1.1 4x4x3x1x1
in .
classifier.1 10x8x1x1x1+b
"""

EFFICIENTFORMER = """
stem.conv1 stem.norm1 4x3x3x3+b
stem.conv2 stem.norm2 4x4x3x3+b
stages.0.blocks.0.mlp.fc1 stages.0.blocks.0.mlp.norm1 8x4x1x1+b
stages.0.blocks.0.mlp.fc2 stages.0.blocks.0.mlp.norm2 4x8x1x1+b
stages.1.downsample.conv stages.1.downsample.norm 8x4x3x3+b
stages.1.blocks.0.mlp.fc1 16x8+b
stages.1.blocks.0.mlp.fc2 8x16+b
head 10x8+b
"""

EFFICIENTFORMER_V2 = """
stem.conv1.conv stem.conv1.bn 4x3x3x3+b
in stages.0.blocks.0.mlp
fc1.conv fc1.bn 8x4x1x1+b
mid.conv mid.bn 8x1x3x3+b
fc2.conv fc2.bn 4x8x1x1+b
in stages.1
downsample.conv.conv downsample.conv.bn 8x4x3x3+b
blocks.0.token_mixer.q.conv blocks.0.token_mixer.q.bn 8x8x1x1+b
blocks.0.token_mixer.talking_head1 2x2x1x1+b
in .
norm 8
head 10x8+b
"""

EFFICIENTVIT = """
stem.in_conv.conv stem.in_conv.norm 4x3x3x3
stem.res0.main.depth_conv.conv stem.res0.main.depth_conv.norm 4x1x3x3
stem.res0.main.point_conv.conv stem.res0.main.point_conv.norm 4x4x1x1
in stages.0.blocks.0.main
inverted_conv.conv inverted_conv.norm 8x4x1x1
depth_conv.conv depth_conv.norm 8x1x3x3
point_conv.conv point_conv.norm 4x8x1x1
in stages.1.blocks.0
context_module.main.qkv.conv 12x4x1x1
context_module.main.aggreg.0.0 12x1x5x5
context_module.main.proj.conv context_module.main.proj.norm 4x8x1x1
local_module.main.inverted_conv.conv 8x4x1x1+b
local_module.main.depth_conv.conv 8x1x3x3+b
local_module.main.point_conv.conv local_module.main.point_conv.norm 4x8x1x1
in .
head.in_conv.conv head.in_conv.norm 12x4x1x1
head.classifier.4 10x12+b
"""

PREACT_RESNET = """
conv1 4x3x3x3
in layer1.0
bn1 4
conv1 bn2 8x4x1x1
conv2 bn3 8x8x3x3
conv3 16x8x1x1
shortcut.0 16x4x1x1
in layer1.1
bn1 16
conv1 bn2 16x16x3x3
conv2 16x16x3x3
in .
bn 16
linear 10x16+b
"""


def efficientnet(deepest: int) -> str:
    blocks = (MBCONV_SE.format(block=f"features.2.{b}.block") for b in range(deepest + 1))
    return EFFICIENTNET + "".join(blocks) + EFFICIENTNET_HEAD


SAMPLES = {
    ("regnet", "torchvision"): sample(REGNET),
    ("regnet", "timm"): sample(REGNET_TIMM),
    ("regnet", "timm, pre-activation"): sample(REGNET_BEFORE),
    ("efficientnet", "torchvision V2"): sample(EFFICIENTNET_V2, eps=1e-3),
    ("efficientnet", "torchvision B5 to B7"): sample(efficientnet(4), eps=1e-3),
    ("efficientnet", "torchvision B0 to B4"): sample(efficientnet(1)),
    ("efficientnet", "EfficientNet-PyTorch"): sample(EFFICIENTNET_PYTORCH, eps=1e-3),
    ("efficientnet", "timm"): sample(
        TIMM_BLOCKS + "conv_head bn2 12x8x1x1\nclassifier 10x12+b", eps=1e-3, said=True
    ),
    ("mobilenetv2", "timm, with 5x5 kernels"): sample(MOBILENETV2_WIDE, eps=1e-3, said=True),
    ("mobilenetv3", "torchvision"): sample(MOBILENETV3, eps=1e-3),
    ("mobilenetv3", "timm"): sample(
        TIMM_BLOCKS + "conv_head 12x8x1x1+b\nclassifier 10x12+b", eps=1e-3, said=True
    ),
    ("mobilenetv4", "timm"): sample(MOBILENETV4),
    ("mobilenetv1", "timm"): sample(MOBILENETV1),
    ("lcnet", "timm"): sample(LCNET),
    ("mnasnet", "torchvision"): sample(MNASNET),
    ("inception", "GoogLeNet, torchvision"): sample(GOOGLENET, eps=1e-3),
    ("inception", "Inception-v3"): sample(INCEPTION_V3, eps=1e-3),
    ("inception", "Inception-v4, timm"): sample(INCEPTION_V4, eps=1e-3),
    ("inception", "Inception-ResNet-v2, timm"): sample(INCEPTION_RESNET, eps=1e-3),
    ("shufflenetv2", "torchvision"): sample(SHUFFLENETV2),
    ("cspnet", "timm"): sample(CSPNET),
    ("densenet", "torchvision, timm"): sample(DENSENET.format(dot="")),
    ("densenet", "torchvision, published files"): sample(DENSENET.format(dot=".")),
    ("res2net", "official, timm"): sample(RES2NET),
    ("resnest", "official, timm"): sample(RESNEST),
    ("sknet", "timm"): sample(SKNET),
    ("senet", "pretrained-models.pytorch, timm"): sample(SENET),
    ("hrnet", "official, timm"): sample(HRNET),
    ("dla", "official, timm"): sample(DLA),
    ("ghostnet", "official, timm"): sample(GHOSTNET, named=True),
    ("hgnet", "V1: timm"): sample(HGNET),
    ("hgnet", "V2: timm, D-FINE"): sample(HGNETV2),
    ("rexnet", "timm"): sample(REXNET),
    ("vovnet", "timm"): sample(VOVNET),
    ("selecsls", "official, timm"): sample(SELECSLS),
    ("xception", "pretrained-models.pytorch, timm legacy"): sample(XCEPTION),
    ("xception", "timm, aligned"): sample(XCEPTION_ALIGNED, eps=1e-3),
    ("xception", "timm, aligned, pre-activation"): sample(XCEPTION_BEFORE, eps=1e-3, said=True),
    ("cspnext", "timm"): sample(CSPNEXT),
    ("fasternet", "timm"): sample(FASTERNET),
    ("starnet", "official, timm"): sample(STARNET),
    ("tresnet", "timm"): sample(TRESNET),
    ("dpn", "timm"): sample(DPN, eps=1e-3),
    ("resnetv2", "timm"): sample(RESNETV2),
    ("nasnet", "timm"): sample(NASNET, eps=1e-3),
    ("byobnet", "timm"): sample(BYOBNET),
    ("maxvit", "torchvision"): sample(MAXVIT, eps=1e-3),
    ("maxvit", "MaxViT, timm"): sample(MAXVIT_TIMM.format(conv=".conv"), eps=1e-3, said=True),
    ("maxvit", "CoAtNet, timm"): sample(MAXVIT_TIMM.format(conv=""), eps=1e-3, said=True),
    ("efficientformer", "V1, timm"): sample(EFFICIENTFORMER),
    ("efficientformer", "V2, timm"): sample(EFFICIENTFORMER_V2),
    ("efficientvit", "timm"): sample(EFFICIENTVIT),
    ("preact-resnet", "pytorch-cifar"): sample(PREACT_RESNET, named=True),
    ("video-resnet", "torchvision"): sample(VIDEO_RESNET),
    ("s3d", "torchvision"): sample(S3D, eps=1e-3),
}
