"""Fused bytes are the same on every machine, under every NumPy: pinned here as digests.

The inputs are made by integer arithmetic alone, so a digest that differs means that fusing does.
"""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from families.large_kernels import diverse, pair
from families.sample import Maker

import reparam

EXAMPLE = Path(__file__).parents[1] / "docs" / "examples" / "repvgg_digits.safetensors"


class SplitMix:
    """What `Maker` asks of a generator, by SplitMix64 (Steele, Lea & Flood, 2014)."""

    def __init__(self):
        self.state = 0

    def uniform(self, low, high, *, size):
        numbers = np.array([self.next() for _ in range(int(np.prod(size)))], np.float64)
        return (low + (high - low) * (numbers * 2.0**-24)).reshape(size)

    def normal(self, middle=0.0, spread=1.0, *, size):
        """A sum of four uniform numbers: near enough, and nothing of it is rounded."""
        parts = [self.uniform(-1, 1, size=size) for _ in range(4)]
        return middle + spread * (parts[0] + parts[1] + parts[2] + parts[3])

    def next(self):
        """Return 24 bits."""
        mask = 2**64 - 1
        self.state = (self.state + 0x9E3779B97F4A7C15) & mask
        bits = (self.state ^ (self.state >> 30)) * 0xBF58476D1CE4E5B9 & mask
        bits = (bits ^ (bits >> 27)) * 0x94D049BB133111EB & mask
        return (bits ^ (bits >> 31)) >> 40


def maker():
    m = Maker()
    m.rng = SplitMix()
    return m


def sums():
    m = maker()
    for block, into, groups in (("stages.0.0", 3, 1), ("stages.0.1", 8, 2)):
        for branch, size in (("conv_kxk", 3), ("conv_1x1", 1)):
            m.conv(f"{block}.{branch}.conv", 8, into // groups, size, size)
            m.norm(f"{block}.{branch}.bn", 8)
    m.norm("stages.0.1.identity", 8)
    return m.state


def sequences():
    m = maker()
    pair(m, "stage0.conv1", 24, 16, 7, 7)
    diverse(m, "stage1.0.conv1", 4, 6, 3)
    diverse(m, "stage1.0.conv2", 6, 6, 5, 3)
    diverse(m, "stem.0.depthwise", 6, 6, 3, 6)
    return m.state


STATES = {"sums": (sums, "repvgg"), "sequences": (sequences, "dbb")}


def digest(state):
    whole = hashlib.sha256()
    for name, array in sorted(state.items()):
        values = np.ascontiguousarray(array)
        whole.update(f"{name} {values.dtype.name} {values.shape}".encode())
        whole.update(values.astype(values.dtype.newbyteorder("<")).tobytes())
    return whole.hexdigest()[:16]


PINNED = {
    ("sums", "keep"): "e8805c9b0dfc331b",
    ("sums", "float16"): "d885f4e84adf7297",
    ("sums", "bfloat16"): "04f85f7669119210",
    ("sums", "float8_e4m3fn"): "f913ab3e10b90ce8",
    ("sums", "float8_e5m2"): "888bdfde41fe414d",
    ("sums", "float64"): "4b52378049259825",
    ("sequences", "keep"): "418f1d3e582b16c9",
    ("sequences", "float16"): "763253ee8f4bce39",
    ("sequences", "bfloat16"): "925f916a83722e3e",
    ("sequences", "float8_e4m3fn"): "a49dda7618b6f3c0",
    ("sequences", "float8_e5m2"): "de52aa9080f4d089",
    ("sequences", "float64"): "d54cab6cc7fd398f",
}
FILE = "35822af5d735e2e7460eb7d4104656501b7cb334b8540ce0daf84b65dd745fad"


@pytest.mark.parametrize(("name", "dtype"), PINNED)
def test_fused_arrays(name, dtype):
    make, recipe = STATES[name]
    state = make()
    if dtype == "float64":  # the one that is kept, not asked for
        state = {k: v.astype(np.float64) if v.ndim else v for k, v in state.items()}
    asked = "keep" if dtype == "float64" else dtype
    fused = reparam.fuse_state_dict(state, recipe=recipe, dtype=asked)
    assert digest(fused) == PINNED[name, dtype]


def test_a_fused_file(tmp_path):
    reparam.fuse(EXAMPLE, tmp_path / "deploy.safetensors")
    assert hashlib.sha256((tmp_path / "deploy.safetensors").read_bytes()).hexdigest() == FILE


def test_the_inputs_have_not_changed():
    assert {name: digest(make()) for name, (make, _) in STATES.items()} == {
        "sums": "d89dae63c6eb91dc",
        "sequences": "2da718a82f0be43a",
    }
