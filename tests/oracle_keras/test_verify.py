"""Keras files that were fused by hand, in the arithmetic of the framework, against train forms."""

from __future__ import annotations

import numpy as np
import pytest
from families.plain import repvgg
from oracle_keras.frameworks import KERAS2, KERAS3, randomise, tf
from safetensors.numpy import save_file

import reparam
from reparam.certificate import Grade

FORMATS = [".h5", ".keras"]
EPS = 1e-3


def chain(k, *, fused, prefix="", eps=EPS):
    """Convolutions of several kinds with norms and ReLU, and a head; or without the norms."""
    layers = k.layers
    kinds = (
        ("Conv2D", {"filters": 8, "kernel_size": 3, "strides": 2}),
        ("DepthwiseConv2D", {"kernel_size": 3}),
        ("Conv2D", {"filters": 12, "kernel_size": (1, 3), "groups": 2}),
        ("Conv2DTranspose", {"filters": 6, "kernel_size": 2, "strides": 2}),
        ("SeparableConv2D", {"filters": 4, "kernel_size": 3, "depth_multiplier": 2}),
    )
    image = x = layers.Input((24, 20, 3))
    for number, (kind, options) in enumerate(kinds):
        name = f"{prefix}conv{number}"
        x = getattr(layers, kind)(name=name, use_bias=fused, **options)(x)
        if not fused:
            x = layers.BatchNormalization(epsilon=eps, name=f"{prefix}norm{number}")(x)
        x = layers.ReLU(name=f"{prefix}relu{number}")(x)
    x = layers.GlobalAveragePooling2D(name=f"{prefix}pool")(x)
    return k.Model(image, layers.Dense(5, name=f"{prefix}head")(x))


def fuse_by_hand(train, deploy):
    """Every step a float32 operation of TensorFlow, `rsqrt` among them."""
    sources = [x for x in train.layers if x.weights]
    targets = iter([x for x in deploy.layers if x.weights])
    for source, norm in zip(sources, [*sources[1:], None], strict=True):
        if "Normalization" in type(source).__name__:
            continue
        kernels = [tf.constant(v) for v in source.get_weights()]
        if norm is None:  # the head
            next(targets).set_weights(kernels)
            continue
        gamma, beta, mean, var = (tf.constant(v) for v in norm.get_weights())
        scale = gamma * tf.math.rsqrt(var + EPS)
        kind = type(source).__name__
        axis = {"DepthwiseConv2D": 2, "Conv2DTranspose": 2}.get(kind, 3)
        shape = [1, 1, 1, 1]
        shape[axis] = -1
        kernels[-1] *= tf.reshape(scale, shape)
        weights = [k.numpy() for k in (*kernels, beta - mean * scale)]
        next(targets).set_weights(weights)
    return deploy


def nudged(model, layer, change):
    """A copy of a model in which one variable of a layer is changed."""
    weights = model.get_layer(layer).get_weights()
    old = [w.copy() for w in weights]
    model.get_layer(layer).set_weights(change(weights))
    return old


@pytest.fixture(params=FORMATS)
def files(k, request, tmp_path):
    """The train form, its model fused by hand, and where that one is saved."""
    train = randomise(chain(k, fused=False))
    deploy = fuse_by_hand(train, chain(k, fused=True))
    before, after = tmp_path / f"train{request.param}", tmp_path / f"after{request.param}"
    train.save(before)
    deploy.save(after)
    return before, deploy, after


def test_fused_by_hand(files, run):
    before, _, after = files
    report = reparam.verify(before, after)
    assert report.grade is Grade.WITHIN, report
    assert not report.ok
    assert report.fused == 5
    assert 2.0**-26 < max(block.rho for block in report.blocks) < 1e-6
    assert report.causes == {}
    assert run("verify", before, after)[0] == 1
    code, text, _ = run("verify", before, after, "--max-rho", "1e-6")
    assert code == 0
    assert "within rho" in text


def test_under_other_names(k, files, tmp_path):
    before, deploy, after = files
    other = chain(k, fused=True, prefix="other_")
    other.set_weights(deploy.get_weights())
    path = tmp_path / f"other{after.suffix}"
    other.save(path)
    report = reparam.verify(before, path, max_rho=1e-6)
    assert report.ok, report
    assert report.renamed


@pytest.mark.parametrize(
    ("layer", "change"),
    [
        ("head", lambda w: [w[0], w[1] + np.float32([0, 0, 1e-4, 0, 0])]),
        ("conv0", lambda w: [w[0] * np.float32(1 + 1e-6), w[1]]),
        ("conv2", lambda w: [w[0], w[1] * np.float32(1 + 3e-6)]),
        ("conv3", lambda w: [w[0].transpose(1, 0, 2, 3), w[1]]),
    ],
    ids=["head bias", "scaled kernel", "scaled bias", "turned kernel"],
)
def test_edits_are_found(files, layer, change):
    before, deploy, after = files
    nudged(deploy, layer, change)
    deploy.save(after)
    report = reparam.verify(before, after, max_rho=1)
    assert not report.ok
    assert {d.name.partition(".")[0] for d in report.differences} == {layer}


def test_an_edit_behind_a_dormant_channel(k, tmp_path):
    """A channel that no ordinary image turns on; the file is different all the same."""
    train = randomise(chain(k, fused=False))
    gamma, beta, mean, var = train.get_layer("norm1").get_weights()
    gamma[3], beta[3] = 1e-6, -1
    train.get_layer("norm1").set_weights([gamma, beta, mean, var])
    deploy = fuse_by_hand(train, chain(k, fused=True))
    x = np.random.default_rng(0).normal(size=(4, 24, 20, 3)).astype(np.float32)
    wanted = deploy.predict(x, verbose=0)

    def edit(weights):
        weights[0][:, :, 3, :6] += 307  # the first group reads it
        return weights

    nudged(deploy, "conv2", edit)
    assert np.array_equal(deploy.predict(x, verbose=0), wanted)
    before, after = tmp_path / "train.keras", tmp_path / "after.keras"
    train.save(before)
    deploy.save(after)
    report = reparam.verify(before, after, max_rho=1)
    assert {d.name for d in report.differences} == {"conv2.weight"}
    (block,) = (b for b in report.blocks if b.grade is Grade.DIFFERENT)
    assert block.worst.index[1] == 3


def test_our_own_file_is_identical(k, tmp_path):
    for suffix in FORMATS:
        before, after = tmp_path / f"train{suffix}", tmp_path / f"fused{suffix}"
        randomise(chain(k, fused=False)).save(before)
        reparam.fuse(before, after)
        assert reparam.verify(before, after).grade <= Grade.ROUNDING


def test_another_eps_in_the_graph_of_after(k, tmp_path):
    """Equal weights, another function."""
    before, after = tmp_path / "train.keras", tmp_path / "after.keras"
    train, other = randomise(chain(k, fused=False)), chain(k, fused=False, eps=1e-5)
    other.set_weights(train.get_weights())
    train.save(before)
    other.save(after)
    assert reparam.verify(before, before).ok
    report = reparam.verify(before, after)
    assert not report.ok
    assert len(report.differences) >= 5


# --- a net of PyTorch, ported to Keras ------------------------------------------------------------


def torch_fused(state, dtype):
    """RepVGG blocks fused by the textbook formula in one dtype."""
    t = {n: v.astype(dtype) for n, v in state.items()}
    for block in ("stage0", "stage1.0", "stage1.1"):
        kernel, bias = dtype(0), dtype(0)
        for branch in ("rbr_dense", "rbr_1x1", "rbr_identity"):
            norm = f"{block}.{branch}" + ("" if branch == "rbr_identity" else ".bn")
            if f"{norm}.weight" not in t:
                continue
            taps = t.get(f"{block}.{branch}.conv.weight", np.eye(8, dtype=dtype)[..., None, None])
            pad = (3 - taps.shape[2]) // 2
            taps = np.pad(taps, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
            scale = t[f"{norm}.weight"] / np.sqrt(t[f"{norm}.running_var"] + dtype(1e-5))
            kernel = kernel + taps * scale.reshape(-1, 1, 1, 1)
            bias = bias + (t[f"{norm}.bias"] - t[f"{norm}.running_mean"] * scale)
        yield kernel.transpose(2, 3, 1, 0).astype(np.float32), bias.astype(np.float32)


def ported(k, state, dtype):
    """The deploy form as layers that pad as PyTorch does, under names that Keras gives."""
    layers = k.layers
    image = x = layers.Input((16, 16, 3))
    convs = []
    for stride in (2, 1, 1):
        convs.append(layers.Conv2D(8, 3, strides=stride))
        x = layers.ReLU()(convs[-1](layers.ZeroPadding2D(1)(x)))
    head = layers.Dense(10)
    model = k.Model(image, head(layers.GlobalAveragePooling2D()(x)))
    for conv, weights in zip(convs, torch_fused(state, dtype), strict=True):
        conv.set_weights(weights)
    head.set_weights([state["head.fc.weight"].T, state["head.fc.bias"]])
    return model


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_repvgg_of_pytorch_ported_to_keras(k, suffix, dtype, tmp_path):
    state = repvgg("official")
    before, after = tmp_path / "train.safetensors", tmp_path / f"after{suffix}"
    save_file(state, before)
    model = ported(k, state, dtype)
    model.save(after)
    report = reparam.verify(before, after, max_rho=1e-6)
    assert report.ok, report
    assert report.grade is Grade.WITHIN or dtype is np.float64
    assert report.grade is not Grade.IDENTICAL or dtype is np.float64
    assert len(report.renamed) == 4
    conv = model.layers[5]
    kernel, bias = conv.get_weights()
    kernel[2, 0, 7, 1] *= 1.001
    conv.set_weights([kernel, bias])
    model.save(after)
    report = reparam.verify(before, after, max_rho=1)
    assert [d.name for d in report.differences] == [f"{conv.name}.weight"]
    (block,) = (b for b in report.blocks if b.grade is Grade.DIFFERENT)
    assert (block.name, block.worst.index) == ("stage1.0.rbr_reparam", (1, 7, 2, 0))


def test_two_frameworks_make_the_same_file_contents(tmp_path):
    """What Keras 2 saved against what Keras 3 saved."""
    paths = []
    weights = randomise(chain(KERAS3, fused=False)).get_weights()
    for k in (KERAS2, KERAS3):
        model = chain(k, fused=False)
        model.set_weights(weights)
        paths.append(tmp_path / f"{k.__name__}.keras")
        model.save(paths[-1])
    report = reparam.verify(*paths)
    assert report.grade is Grade.IDENTICAL, report
    assert reparam.verify(*reversed(paths)).ok
