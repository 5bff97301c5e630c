"""Published checkpoints of Keras 2: fused, loaded by both frameworks, and compared."""

from __future__ import annotations

from pathlib import Path

import pytest
from oracle_keras.frameworks import KERAS2, KERAS3, assert_same, norms

import reparam

REAL = Path(__file__).parents[3] / "shared" / "real" / "keras"
FILES = [
    "fer_emotion_mini_xception.hdf5",
    "mlperf_tiny_mobilenet_vww96.h5",
    "mlperf_tiny_resnet.h5",
]

pytestmark = pytest.mark.skipif(not REAL.is_dir(), reason="the trained checkpoints are not here")


@pytest.mark.parametrize("name", FILES)
def test_fused_file_in_both_frameworks(name, tmp_path):
    source = REAL / name
    before = KERAS2.models.load_model(source, compile=False)
    assert norms(before)
    for k, target in (KERAS2, None), (KERAS3, "keras3"):
        output = tmp_path / f"{k.__name__}.h5"
        report = reparam.fuse(source, output, target=target)
        assert report.verified
        after = k.models.load_model(output)
        assert_same(k, after, before, other=KERAS2)
        assert len(norms(after)) == len(report.plan.skipped)
