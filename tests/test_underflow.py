"""Fused numbers that become zero or subnormal in the stored dtype are counted, and only those."""

import json
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

import reparam
from reparam.rounding import FORMATS

EPS = 0.25
RECIPE = """
name = "pairs"
title = "A convolution and a transposed one, each with its norm"
assumes = ["nothing"]

[eps]
source = "the test"
value = 0.25

[[spelling]]
name = "test"
[[spelling.block]]
fuse = ["conv bn", "deconv[transposed] debn -> deconv"]
"""


def spread(rng, shape, dtype):
    """Numbers from far below the smallest of a dtype to its ordinary ones; zeros among them."""
    form = FORMATS[dtype]
    least = form.least_exponent - form.digits
    sizes = rng.integers(128, 256, shape) * 2.0 ** rng.integers(least - 12, least + 8, shape)
    return (sizes * rng.integers(-1, 2, shape)).astype(np.float64)


def state(rng, dtype):
    """Norms whose scales are powers of two: then float64 holds every fused number."""
    arrays = {
        "conv.weight": spread(rng, (6, 4, 3), dtype),
        "deconv.weight": spread(rng, (4, 6, 3), dtype),
    }
    for norm in ("bn", "debn"):
        arrays |= {
            f"{norm}.weight": rng.choice([0, 0.5, -1, 2], 6).astype(np.float64),
            f"{norm}.bias": spread(rng, 6, dtype),
            f"{norm}.running_mean": spread(rng, 6, dtype),
            f"{norm}.running_var": np.full(6, 1 - EPS),
        }
    return arrays


def count(values, dtype):
    """Count by integers: multiples of the smallest number, and how many of them are normal."""
    form = FORMATS[dtype]
    step, normal = Fraction(form.smallest), 2 ** (form.digits - 1)
    steps = [round(abs(Fraction(v)) / step) for v in values]  # Python rounds halves to even
    zero = sum(n == 0 != v for n, v in zip(steps, values, strict=True))
    return zero, sum(0 < n < normal for n in steps)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("underflow")
    (path / "pairs.toml").write_text(RECIPE)
    return path


def fuse(folder, arrays, dtype="keep"):
    save_file(arrays, folder / "train.safetensors")
    return reparam.fuse(
        folder / "train.safetensors",
        folder / "deploy.safetensors",
        recipe=folder / "pairs.toml",
        dtype=dtype,
        overwrite=True,
    )


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "float8_e4m3fn"])
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_counts_are_those_of_exact_arithmetic(folder, dtype, seed, whole):
    arrays = state(np.random.default_rng(seed), dtype)
    with pytest.MonkeyPatch.context() as patch:
        if not whole:
            patch.setattr("reparam.slabs.SLAB_BYTES", 1)
        report = fuse(folder, arrays, dtype)
    assert report.fused == 2
    values = []
    for conv, norm, axis in (("conv", "bn", 0), ("deconv", "debn", 1)):
        gamma, mean = arrays[f"{norm}.weight"], arrays[f"{norm}.running_mean"]
        shape = [1, 1, 1]
        shape[axis] = 6
        values += (arrays[f"{conv}.weight"] * gamma.reshape(shape)).ravel().tolist()
        values += (arrays[f"{norm}.bias"] - mean * gamma).tolist()
    zero, subnormal = count(values, dtype)
    assert (report.became_zero, report.became_subnormal) == (zero, subnormal)
    values = json.loads(json.dumps(report.as_dict()))
    assert (values["became_zero"], values["became_subnormal"]) == (zero, subnormal)
    line = f"note: {zero} fused values became zero and {subnormal} subnormal in {dtype}, which"
    assert (line in str(report)) == (zero + subnormal > 0)


def test_ordinary_numbers_are_not_counted_nor_mentioned(folder):
    arrays = state(np.random.default_rng(0), "float32")
    arrays = {k: np.where(v == 0, v, 1.0) for k, v in arrays.items()}
    report = fuse(folder, arrays)
    assert (report.became_zero, report.became_subnormal) == (0, 0)
    assert "became" not in str(report)


def test_a_bias_that_cancels_is_zero_and_one_that_nearly_does_became_zero(folder):
    """7/3 is no float64 number, but three times it is 7; one more digit of beta, and it is not."""
    arrays = state(np.random.default_rng(0), "float32")
    arrays = {k: np.where(v == 0, v, 1.0) for k, v in arrays.items()}
    for norm in ("bn", "debn"):
        arrays |= {
            f"{norm}.weight": np.full(6, 7.0),
            f"{norm}.running_var": np.full(6, 9 - EPS),
            f"{norm}.running_mean": np.full(6, 3.0),
            f"{norm}.bias": np.full(6, 7.0),
        }
    report = fuse(folder, arrays, "float16")
    assert (report.became_zero, report.became_subnormal) == (0, 0)
    arrays["bn.bias"][2:4] += 2.0**-45
    report = fuse(folder, arrays, "float16")
    assert (report.became_zero, report.became_subnormal) == (2, 0)
    assert "(--dtype float32 keeps their digits)" in str(report)
    arrays["bn.bias"][2:4] = 7 + 2.0**-23
    report = fuse(folder, arrays, "float16")
    assert (report.became_zero, report.became_subnormal) == (0, 2)
    assert "note: 0 fused values became zero and 2 subnormal in float16" in str(report)
