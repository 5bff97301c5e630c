"""What must not be fused is left alone with the reason, or refused, and still computes the same."""

from __future__ import annotations

import re

import pytest
from oracle_keras import nets
from oracle_keras.frameworks import fuse, is_keras3, norms, randomise

import reparam

KEPT = {"kept", "kept_too"}


def suffix(k):
    return ".keras" if is_keras3(k) else ".h5"


every_reason = pytest.mark.parametrize("tail", nets.REASONS, ids=lambda tail: tail.__name__)


@every_reason
def test_norm_stays_with_the_reason(k, tail, tmp_path):
    model = randomise(nets.refused(k, tail))
    kept = sorted(KEPT & set(norms(model)))
    twice = {"Twice": nets.twice(k.layers)}
    report, after = fuse(k, model, tmp_path, suffix(k), custom=twice)
    assert report.fused == 1
    assert sorted(norms(after)) == kept
    plan = reparam.plan(tmp_path / f"train{suffix(k)}")
    reasons = {s.name.rpartition("/")[2]: s.reason for s in plan.skipped}
    assert sorted(reasons) == kept
    for reason in reasons.values():
        assert re.search(nets.REASONS[tail], reason)


@every_reason
def test_model_with_nothing_to_fuse_is_refused(k, tail, run, tmp_path):
    source, output = tmp_path / f"train{suffix(k)}", tmp_path / f"fused{suffix(k)}"
    randomise(nets.refused(k, tail, with_pair=False)).save(source)
    code, _, complaint = run("fuse", source, "-o", output)
    assert code == 2
    assert re.search(nets.REASONS[tail], complaint)
    assert [p.name for p in tmp_path.iterdir()] == [source.name]


def test_model_that_is_fused_already(k, run, tmp_path):
    fuse(k, randomise(nets.plain(k)), tmp_path, suffix(k))
    again = tmp_path / f"again{suffix(k)}"
    code, _, complaint = run("fuse", tmp_path / f"fused{suffix(k)}", "-o", again)
    assert code == 2
    assert complaint
    assert not again.exists()


def test_model_of_another_training_is_different(k, run, tmp_path):
    """`verify` notices one changed weight in a file that is otherwise the fused one."""
    _, after = fuse(k, randomise(nets.plain(k)), tmp_path, suffix(k))
    source, output = (tmp_path / f"{name}{suffix(k)}" for name in ("train", "fused"))
    assert run("verify", source, output)[0] == 0
    changed = [w.copy() for w in after.get_weights()]
    changed[0].flat[0] += 1
    after.set_weights(changed)
    after.save(output)
    assert run("verify", source, output)[0] == 1
