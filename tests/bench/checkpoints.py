"""Write train-form RepVGG checkpoints of any size, under timm's names, with random weights.

    python tests/bench/checkpoints.py a0 FILE          RepVGG-A0, 37 MB
    python tests/bench/checkpoints.py 64x512 FILE      64 blocks of 512 channels

Tensor after tensor goes straight to the file, so that large ones need little memory.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

WIDTHS = [(48, 2), (96, 4), (192, 14), (1280, 1)]
"""Channels and number of blocks of the stages of RepVGG-A0."""


def repvgg_a0():
    """Shapes of RepVGG-A0: the first block of each stage has stride 2 and no identity branch."""
    yield from block("stem", 3, 48)
    before = 48
    for stage, (width, depth) in enumerate(WIDTHS):
        for number in range(depth):
            yield from block(f"stages.{stage}.{number}", before, width, skip=number > 0)
            before = width
    yield "head.fc.weight", (1000, before)
    yield "head.fc.bias", (1000,)


def uniform(blocks, channels):
    """Shapes of a net of equal blocks, for a file of any size."""
    for number in range(blocks):
        yield from block(f"stages.0.{number}", channels, channels, skip=number > 0)


def block(name, inputs, outputs, *, skip=False):
    for branch, taps in (("conv_kxk", 3), ("conv_1x1", 1)):
        yield f"{name}.{branch}.conv.weight", (outputs, inputs, taps, taps)
        yield from norm(f"{name}.{branch}.bn", outputs)
    if skip:
        yield from norm(f"{name}.identity", outputs)


def norm(name, channels):
    for role in ("weight", "bias", "running_mean", "running_var"):
        yield f"{name}.{role}", (channels,)
    yield f"{name}.num_batches_tracked", ()


def write(path, shapes):
    """Write a safetensors file with random tensors of the given names and shapes."""
    random = np.random.default_rng(0)
    header, end = {}, 0
    for name, shape in shapes:
        code, size = ("I64", 8) if name.endswith("tracked") else ("F32", 4)
        start, end = end, end + size * int(np.prod(shape))
        header[name] = {"dtype": code, "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name, info in header.items():
            if info["dtype"] == "I64":
                file.write((1000).to_bytes(8, "little"))
                continue
            values = random.random(info["shape"], dtype=np.float32)
            # kernels around 0, variances and scales around 1
            file.write((values - 0.5 if "conv.weight" in name else values + 0.5).tobytes())


def shapes_of(what):
    """Shapes of `a0`, or of `BLOCKSxCHANNELS`."""
    if what == "a0":
        return list(repvgg_a0())
    blocks, channels = map(int, what.split("x"))
    return list(uniform(blocks, channels))


if __name__ == "__main__":
    write(Path(sys.argv[2]), shapes_of(sys.argv[1]))
