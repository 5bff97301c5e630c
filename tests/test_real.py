"""Trained checkpoints: fused, then run by a few lines of NumPy that know nothing of the package."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

import reparam

REAL = Path(__file__).parents[2] / "shared" / "real"
DIGITS = REAL / "repvgg_digits"

pytestmark = pytest.mark.skipif(not REAL.is_dir(), reason="the trained checkpoints are not here")

STRIDES = 2, 1, 1, 2, 1, 1, 2, 1
TIMM = {
    "blocks": "stem stages.0.0 stages.0.1 stages.1.0 stages.1.1 stages.1.2 stages.2.0 stages.2.1",
    "fused": "reparam_conv",
    "head": "head.fc",
}
OFFICIAL = {
    "blocks": "stage0 stage1.0 stage1.1 stage2.0 stage2.1 stage2.2 stage3.0 stage3.1",
    "fused": "rbr_reparam",
    "head": "linear",
}


def conv3x3(x, weight, bias, stride):
    """A 3x3 convolution of float64 images that pads 1; the kernel's shape tells the groups."""
    images, width, height, breadth = x.shape
    out, each = weight.shape[:2]
    groups = width // each
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    y = 0.0
    for row in range(3):
        for column in range(3):
            tap = padded[:, :, row : row + height : stride, column : column + breadth : stride]
            tap = tap.reshape(images, groups, each, -1)
            y = y + weight[:, :, row, column].reshape(groups, out // groups, each) @ tap
    y = y.reshape(images, out, -(-height // stride), -(-breadth // stride))
    return y + bias[:, None, None]


def logits(tensors, names, images):
    def read(layer):
        return (tensors[f"{layer}.{role}"].astype(np.float64) for role in ("weight", "bias"))

    x = images.astype(np.float64)
    for block, stride in zip(names["blocks"].split(), STRIDES, strict=True):
        x = np.maximum(conv3x3(x, *read(f"{block}.{names['fused']}"), stride), 0.0)
    weight, bias = read(names["head"])
    return x.mean((2, 3)) @ weight.T + bias


@pytest.mark.parametrize(
    ("name", "evaluated", "names"),
    [
        ("repvgg_digits", "repvgg_digits", TIMM),
        ("repvgg_digits_g4", "repvgg_digits_g4", TIMM),
        ("repvgg_digits_official", "repvgg_digits", OFFICIAL),
    ],
)
def test_fused_digits_classify_as_before(name, evaluated, names, tmp_path):
    train, deploy = DIGITS / f"{name}.safetensors", tmp_path / "deploy.safetensors"
    report = reparam.fuse(train, deploy)
    assert (report.fused, report.copied, report.verified) == (8, 2, True)
    assert reparam.verify(train, deploy).ok

    tensors = load_file(deploy)
    assert len(tensors) == 18
    with np.load(DIGITS / f"{evaluated}_eval.npz") as known:
        found, wanted = logits(tensors, names, known["images"]), known["logits"]
    assert abs(found - wanted).max() <= 1e-6 * abs(wanted).max()
    assert (found.argmax(1) == wanted.argmax(1)).sum() == 397


@pytest.mark.parametrize("batch_norm", ["remove", "neutral"])
def test_mobilenetv2_with_denormal_variances(batch_norm, tmp_path):
    train = REAL / "torch" / "mobilenetv2_deep_sort.safetensors"
    tiny = np.finfo(np.float32).tiny
    variances = [v for k, v in load_file(train).items() if k.endswith("running_var")]
    assert any(((v > 0) & (v < tiny)).any() for v in variances)

    deploy = tmp_path / "deploy.safetensors"
    report = reparam.fuse(train, deploy, batch_norm=batch_norm)
    assert (report.fused, report.plan.skipped, report.verified) == (52, (), True)
    result = reparam.verify(train, deploy)
    assert result.ok
    assert result.fused == 52


def test_a_family_of_our_own_equals_its_authors_fusion(tmp_path):
    """LKDN has no norms, an identity in every branch, and a sequence padded with its image."""
    recipe = tmp_path / "lkdn.toml"
    recipe.write_text("""
name = "lkdn"
title = "LKDN"
eps = { value = 0, source = "the net has no norms" }
[[spelling]]
name = "official"
[[spelling.block]]
at = "B{b}.c{n}_r"
fuse = ["dw[kernel=3] + rep1x1[kernel=1] + id -> dw", "pw[kernel=1] + id -> pw"]
[[spelling.block]]
at = "upsampler"
fuse = ["conv3 + conv1 + conv1x1 conv3x3[border=image] -> '0'"]
""")
    out = tmp_path / "out.safetensors"
    reparam.fuse(REAL / "torch" / "lkdn_s_x4_train.safetensors", out, recipe=recipe)
    ours, theirs = load_file(out), load_file(REAL / "torch" / "lkdn_s_x4_deploy.safetensors")
    assert ours.keys() == theirs.keys()
    assert max(np.abs(ours[k] - theirs[k]).max() for k in ours) < 2e-6
