"""Timings of single functions, in this process. `bench.py` measures whole commands.

`pytest tests/bench --benchmark-enable` compares them; without that option each runs once.
"""

from __future__ import annotations

import numpy as np
import pytest
from bench import checkpoints
from safetensors.numpy import load_file

import reparam


@pytest.fixture(scope="module")
def a0(tmp_path_factory):
    path = tmp_path_factory.mktemp("bench") / "a0.safetensors"
    checkpoints.write(path, checkpoints.shapes_of("a0"))
    return path


@pytest.mark.benchmark(group="RepVGG-A0")
def test_plan(benchmark, a0):
    assert len(benchmark(reparam.plan, a0).fusions) == 22


@pytest.mark.benchmark(group="RepVGG-A0")
@pytest.mark.parametrize("verify", [True, False])
def test_fuse(benchmark, a0, tmp_path, verify):
    report = benchmark(reparam.fuse, a0, tmp_path / "out", verify=verify, overwrite=True)
    assert report.fused == 22


@pytest.mark.benchmark(group="RepVGG-A0")
def test_verify(benchmark, a0, tmp_path):
    reparam.fuse(a0, tmp_path / "out")
    assert benchmark(reparam.verify, a0, tmp_path / "out").ok


@pytest.mark.benchmark(group="RepVGG-A0")
def test_load_with_safetensors(benchmark, a0):
    assert len(benchmark(load_file, a0)) > 300


@pytest.fixture
def layers():
    random = np.random.default_rng(0)
    kernel = random.normal(size=(256, 256, 3, 3))
    norm = [random.uniform(0.5, 1.5, 256) for _ in range(4)]
    return reparam.Conv(kernel), reparam.Conv(kernel[..., :1, :1]), norm


@pytest.mark.benchmark(group="256 channels")
def test_fuse_conv_bn(benchmark, layers):
    conv, _, norm = layers
    benchmark(reparam.fuse_conv_bn, conv, *norm, eps=1e-5)


@pytest.mark.benchmark(group="256 channels")
def test_sum_branches(benchmark, layers):
    conv, point, _ = layers
    benchmark(reparam.sum_branches, [conv, point, reparam.identity_kernel(256, (1, 1))])


@pytest.mark.benchmark(group="256 channels")
def test_merge_sequential(benchmark, layers):
    conv, point, _ = layers
    benchmark(reparam.merge_sequential, point, conv)


@pytest.mark.benchmark(group="256 channels")
def test_copy_with_numpy(benchmark, layers):
    benchmark(layers[0].kernel.copy)
