"""Networks written as classes, of which only the weights are saved.

Written from the architectures: RepVGG with 'same' padding, RepVGG with padding layers, and a
residual net whose blocks apply one norm twice. `deploy=True` is the form after fusing; its files
are what the tests load the fused ones into.
"""

from __future__ import annotations

from functools import cache, partial
from types import SimpleNamespace

import numpy as np
from oracle_keras.frameworks import double, is_keras3, randomise

TINY = [4, 4, 8, 16, 32], [1, 1, 2, 1, 1]
A0 = [48, 48, 96, 192, 1280], [1, 2, 4, 14, 1]
"""Widths and numbers of blocks of the stem and four stages; every first block has stride 2."""


@cache
def classes(k):
    """The classes of all three networks, as layers and models of the framework."""
    return SimpleNamespace(**same_padding(k), **padding_layers(k), **shared_norm(k))


def conv_bn(k):
    layers = k.layers

    class ConvBN(layers.Layer):
        def __init__(self, out, size, stride, groups, eps):
            super().__init__()
            self.eps = eps
            self.options = {"filters": out, "kernel_size": size, "strides": stride}
            self.groups = groups

        def build(self, shape):
            self.conv = layers.Conv2D(
                **self.options, groups=self.groups, padding="same", use_bias=False
            )
            self.bn = layers.BatchNormalization(epsilon=self.eps)
            if is_keras3(k):
                self.conv.build(shape)
                self.bn.build((*shape[:-1], self.options["filters"]))
            super().build(shape)

        def call(self, x, training=None):
            return self.bn(self.conv(x), training=training)

        def compute_output_shape(self, shape):
            return (*shape[:-1], self.options["filters"])

    return ConvBN


def same_padding(k):
    layers = k.layers
    ConvBN = conv_bn(k)  # noqa: N806  a class

    class RepVGGBlock(layers.Layer):
        def __init__(self, width, out, stride, *, groups, deploy, eps):
            super().__init__()
            groups = 1 if width % groups else groups  # the images have three channels
            self.relu = layers.ReLU()
            if deploy:
                self.rbr_reparam = layers.Conv2D(
                    out, 3, strides=stride, groups=groups, padding="same"
                )
                self.branches = None
                return
            whole = width == out and stride == 1
            self.rbr_identity = layers.BatchNormalization(epsilon=eps) if whole else None
            self.rbr_dense = ConvBN(out, 3, stride, groups, eps)
            self.rbr_1x1 = ConvBN(out, 1, stride, groups, eps)
            self.branches = "rbr_dense", "rbr_1x1", *(["rbr_identity"] if whole else [])

        def call(self, x, training=None):
            if self.branches is None:
                return self.relu(self.rbr_reparam(x))
            return self.relu(sum(getattr(self, b)(x, training=training) for b in self.branches))

    class RepVGG(k.Model):
        def __init__(self, sizes=TINY, *, groups=1, deploy=False, eps=1e-3, classes=5):
            super().__init__()
            block = partial(RepVGGBlock, groups=groups, deploy=deploy, eps=eps)
            self.stage0, *stages = stack(k, block, *sizes)
            self.stage1, self.stage2, self.stage3, self.stage4 = stages
            self.gap = layers.GlobalAveragePooling2D()
            self.dense = layers.Dense(classes)

        def call(self, x, training=None):
            for i in range(5):
                x = getattr(self, f"stage{i}")(x, training=training)
            return self.dense(self.gap(x))

    return {"RepVGG": RepVGG}


def stack(k, block, widths, depths):
    """A block and four Sequentials of blocks; the first block of every stage halves the size."""
    width, stages = 3, []
    for out, depth in zip(widths, depths, strict=True):
        stages.append([])
        for i in range(depth):
            stages[-1].append(block(width, out, 1 if i else 2))
            width = out
    (stem,), *rest = stages
    return [stem, *(k.Sequential(blocks) for blocks in rest)]


def padding_layers(k):
    layers = k.layers

    def chain(out, size, stride, *, norm, bias):
        return k.Sequential(
            [
                layers.ZeroPadding2D(size // 2),
                layers.Conv2D(out, size, strides=stride, use_bias=bias, name="conv"),
                *([layers.BatchNormalization(name="bn")] if norm else []),
            ]
        )

    class RepVGGBlock(layers.Layer):
        """In train form, `reparam` is there but never computed from the branches."""

        def __init__(self, width, out, stride, deploy):
            super().__init__()
            self.relu = layers.ReLU()
            self.reparam = chain(out, 3, stride, norm=False, bias=True)
            self.deploy = deploy
            if deploy:
                return
            whole = width == out and stride == 1
            self.identity = layers.BatchNormalization() if whole else None
            self.conv_bn3x3 = chain(out, 3, stride, norm=True, bias=False)
            self.conv_bn1x1 = chain(out, 1, stride, norm=True, bias=False)

        def call(self, x, training=None):
            stale = self.reparam(x)  # gives it weights
            if self.deploy:
                return self.relu(stale)
            y = self.conv_bn3x3(x, training=training) + self.conv_bn1x1(x, training=training)
            if self.identity is not None:
                y = y + self.identity(x, training=training)
            return self.relu(y)

    class PaddedRepVGG(k.Model):
        def __init__(self, sizes=TINY, *, deploy=False, classes=5):
            super().__init__()
            self.stage0, *stages = stack(k, lambda *shape: RepVGGBlock(*shape, deploy), *sizes)
            self.stage1, self.stage2, self.stage3, self.stage4 = stages
            self.gap = layers.GlobalAveragePooling2D()
            self.dense = layers.Dense(classes)

        def call(self, x, training=None):
            for i in range(5):
                x = getattr(self, f"stage{i}")(x, training=training)
            return self.dense(self.gap(x))

    return {"PaddedRepVGG": PaddedRepVGG}


def shared_norm(k):
    layers = k.layers

    class ResidualBlock(layers.Layer):
        """One norm follows `conv1` and again `conv2`."""

        def __init__(self, out, stride, *, whole, deploy):
            super().__init__()
            self.relu = layers.ReLU()
            self.conv1 = layers.Conv2D(out, 3, strides=stride, padding="same")
            self.bn = None if deploy else layers.BatchNormalization()
            self.conv2 = layers.Conv2D(out, 3, padding="same")
            self.conv3 = None if whole else layers.Conv2D(out, 1, strides=stride)
            self.conv4 = layers.Conv2D(out, 1)

        def norm(self, x, training):
            return x if self.bn is None else self.bn(x, training=training)

        def call(self, x, training=None):
            y = self.relu(self.norm(self.conv1(x), training))
            y = self.relu(self.norm(self.conv2(y), training))
            return self.relu(self.conv4(y) + (x if self.conv3 is None else self.conv3(x)))

    class ResNet(k.Model):
        def __init__(self, *, deploy=False, classes=5):
            super().__init__()
            self.conv1 = layers.Conv2D(16, 7, strides=2, padding="same")
            self.bn = None if deploy else layers.BatchNormalization()
            self.relu = layers.ReLU()
            self.residual_blocks = [
                ResidualBlock(8, 2, whole=False, deploy=deploy),
                ResidualBlock(8, 1, whole=True, deploy=deploy),
                ResidualBlock(12, 2, whole=False, deploy=deploy),
            ]
            self.gap = layers.GlobalAveragePooling2D()
            self.fc = layers.Dense(classes)

        def call(self, x, training=None):
            x = self.conv1(x)
            x = self.relu(x if self.bn is None else self.bn(x, training=training))
            for block in self.residual_blocks:
                x = block(x, training=training)
            return self.fc(self.gap(x))

    return {"ResNet": ResNet}


# --- use


def build(k, name, size, **options):
    """A network that has its weights, randomised."""
    net = getattr(classes(k), name)(**options)
    net(np.zeros((1, *size, 3), np.float32))
    return randomise(net)


def load(k, name, size, path, **options):
    """A network that computes in float64, with the weights of a file."""
    with double(k):
        net = getattr(classes(k), name)(**options)
        net(np.zeros((1, *size, 3)))
        net.load_weights(path)
    return net


def image(size):
    return [np.random.default_rng(5).normal(size=(2, *size, 3))]
