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

TIMM = [
    ("stem", 2),
    ("stages.0.0", 1),
    ("stages.0.1", 1),
    ("stages.1.0", 2),
    ("stages.1.1", 1),
    ("stages.1.2", 1),
    ("stages.2.0", 2),
    ("stages.2.1", 1),
]
OFFICIAL = [
    ("stage0", 2),
    ("stage1.0", 1),
    ("stage1.1", 1),
    ("stage2.0", 2),
    ("stage2.1", 1),
    ("stage2.2", 1),
    ("stage3.0", 2),
    ("stage3.1", 1),
]


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


def logits(tensors, blocks, fused, head, images):
    x = images.astype(np.float64)
    for block, stride in blocks:
        weight, bias = (tensors[f"{block}.{fused}.{n}"].astype(np.float64) for n in ("weight", "bias"))
        x = np.maximum(conv3x3(x, weight, bias, stride), 0.0)
    return x.mean((2, 3)) @ tensors[f"{head}.weight"].T.astype(np.float64) + tensors[f"{head}.bias"]


@pytest.mark.parametrize(
    ("name", "evaluated", "blocks", "fused", "head"),
    [
        ("repvgg_digits", "repvgg_digits", TIMM, "reparam_conv", "head.fc"),
        ("repvgg_digits_g4", "repvgg_digits_g4", TIMM, "reparam_conv", "head.fc"),
        ("repvgg_digits_official", "repvgg_digits", OFFICIAL, "rbr_reparam", "linear"),
    ],
)
def test_fused_digits_classify_as_before(name, evaluated, blocks, fused, head, tmp_path):
    deploy = tmp_path / "deploy.safetensors"
    report = reparam.fuse(DIGITS / f"{name}.safetensors", deploy)
    assert (report.fused, report.copied, report.verified) == (8, 2, True)
    assert reparam.verify(DIGITS / f"{name}.safetensors", deploy).ok

    tensors = load_file(deploy)
    assert len(tensors) == 2 * len(blocks) + 2
    with np.load(DIGITS / f"{evaluated}_eval.npz") as known:
        found, wanted = logits(tensors, blocks, fused, head, known["images"]), known["logits"]
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
