"""Models of both frameworks, built from their layers; `k` is the framework."""

from __future__ import annotations

from functools import partial

RELU = "relu"


def mobilenet(k):
    return k.applications.MobileNetV2(
        input_shape=(96, 96, 3), alpha=0.35, weights=None, classes=10, classifier_activation=None
    )


def resnet50(k):
    return k.applications.ResNet50(
        input_shape=(64, 64, 3), weights=None, classes=10, classifier_activation=None
    )


def normed(k, x, conv, activation=RELU, **norm):
    """A convolution, its norm, and an activation."""
    x = k.layers.BatchNormalization(**norm)(conv(x))
    return k.layers.Activation(activation)(x) if activation else x


def head(k, x, classes=5):
    pool = {3: "1D", 4: "2D", 5: "3D"}.get(len(x.shape))
    if pool:
        x = getattr(k.layers, f"GlobalAveragePooling{pool}")()(x)
    return k.layers.Dense(classes)(x)


# --- every kind of layer


def single(k, shape, make, activation=RELU, **norm):
    """One linear layer with its norm, between a convolution and a head."""
    image = k.layers.Input(shape)
    return k.Model(image, head(k, normed(k, image, make(k.layers), activation, **norm)))


def kind(name, *args, **options):
    return lambda layers: getattr(layers, name)(*args, **options)


KINDS = {
    "conv1d": ((12, 4), kind("Conv1D", 6, 3, strides=2, padding="same")),
    "conv1d causal": ((12, 4), kind("Conv1D", 6, 3, dilation_rate=2, padding="causal")),
    "conv2d grouped": ((9, 8, 4), kind("Conv2D", 8, (3, 2), groups=2, use_bias=False)),
    "conv3d": ((6, 5, 4, 2), kind("Conv3D", 4, 3, padding="same")),
    "depthwise": ((9, 8, 4), kind("DepthwiseConv2D", 3, padding="same")),
    "depthwise times 2": (
        (9, 8, 4),
        kind("DepthwiseConv2D", 3, strides=2, depth_multiplier=2, use_bias=False),
    ),
    "depthwise 1d": ((12, 4), kind("DepthwiseConv1D", 3, depth_multiplier=2)),
    "separable": ((9, 8, 4), kind("SeparableConv2D", 6, 3, padding="same", use_bias=False)),
    "separable times 2": ((9, 8, 4), kind("SeparableConv2D", 6, 3, depth_multiplier=2)),
    "separable 1d": ((12, 4), kind("SeparableConv1D", 6, 3)),
    "transposed": (
        (7, 6, 4),
        kind("Conv2DTranspose", 6, 3, strides=2, padding="same", use_bias=False),
    ),
    "transposed 1d": ((7, 4), kind("Conv1DTranspose", 6, 3, strides=2)),
    "transposed 3d": ((4, 3, 5, 2), kind("Conv3DTranspose", 3, 3)),
    "dense": ((7,), kind("Dense", 6, use_bias=False)),
    "dense of images": ((5, 4, 7), kind("Dense", 6)),
}

VARIANTS = {
    "no scale": {"scale": False},
    "no center": {"center": False},
    "neither": {"scale": False, "center": False},
    "eps": {"epsilon": 0.2},
}


def transposing(k):
    """An encoder and a decoder with depthwise and separable layers, all normed."""
    layers = k.layers
    x = image = layers.Input((12, 12, 3))
    x = normed(k, x, layers.Conv2D(6, 3, strides=2, padding="same", use_bias=False))
    x = normed(k, x, layers.DepthwiseConv2D(3, padding="same"))
    x = normed(k, x, layers.SeparableConv2D(8, 3, padding="same"))
    x = normed(k, x, layers.Conv2DTranspose(4, 3, strides=2, padding="same"))
    return k.Model(image, layers.Conv2D(2, 1)(x))


def channels_first(k):
    image = k.layers.Input((3, 9, 8))
    conv = partial(k.layers.Conv2D, data_format="channels_first", padding="same")
    x = normed(k, image, conv(6, 3, strides=2), axis=1)
    x = normed(k, x, conv(4, 1, use_bias=False), axis=1)
    return k.Model(image, x)


def idle_between(k):
    """Layers that do nothing at inference stand between convolution and norm."""
    layers = k.layers
    x = image = layers.Input((9, 8, 3))
    for idle in layers.Dropout(0.5), layers.Activation("linear"):
        x = idle(layers.Conv2D(6, 3)(x))
        x = layers.ReLU()(layers.BatchNormalization()(x))
    return k.Model(image, head(k, x))


def plain(k, pairs=3, width=6, name="{}_{}", **conv):
    """A chain of convolutions with norms and chosen names."""
    layers = k.layers
    x = image = layers.Input((9, 8, 3))
    for i in range(pairs):
        x = layers.Conv2D(width, 3, padding="same", name=name.format("conv", i), **conv)(x)
        x = layers.BatchNormalization(name=name.format("bn", i))(x)
        x = layers.ReLU(name=name.format("relu", i))(x)
    return k.Model(image, head(k, x))


def long_names(k):
    """Names of all layers together are longer than an attribute may be."""
    layers = k.layers
    x = image = layers.Input((9, 8, 3), name="image")
    for i in range(4):
        x = layers.Conv2D(4, 3, padding="same", name=f"conv_{i}_{'c' * 200}")(x)
        x = layers.BatchNormalization(name=f"bn_{i}_{'b' * 200}")(x)
        for j in range(90):
            x = layers.ReLU(name=f"relu_{i}_{j}_{'r' * 200}")(x)
    return k.Model(image, head(k, x))


def long_names_inside(k):
    """Names of the weights of a nested model are longer than an attribute may be."""
    layers = k.layers
    x = image = layers.Input((9, 8, 3))
    for i in range(12):
        conv = layers.Conv2D(4, 3, padding="same", name=f"conv_{i}_{'c' * 1200}")
        x = normed(k, x, conv, name=f"bn_{i}_{'b' * 1200}")
    inner = k.Model(image, x, name="inner")
    image = layers.Input((9, 8, 3))
    return k.Model(image, head(k, inner(image)))


def sequential(k):
    layers = k.layers
    return k.Sequential(
        [
            layers.Input((9, 8, 3)),
            layers.Conv2D(6, 3, use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Conv2D(4, 3),
            layers.BatchNormalization(scale=False),
            layers.Flatten(),
            layers.Dense(5),
            layers.BatchNormalization(),
        ]
    )


# --- graphs


def nested(k, *, after=True):
    """A model within a model, with a Sequential inside and frozen layers.

    With `after`, the outer model has a norm right behind the inner one, which ends with a ReLU.
    """
    layers = k.layers
    x = image = layers.Input((8, 8, 4), name="inner_image")
    frozen = layers.Conv2D(6, 3, padding="same", name="c0"), layers.BatchNormalization(name="b0")
    for layer in frozen:
        layer.trainable = False
        x = layer(x)
    x = layers.ReLU(name="r0")(x)
    x = layers.Conv2D(6, 3, padding="same", use_bias=False, name="c1")(x)
    x = layers.BatchNormalization(name="b1")(x)
    shortcut = k.Sequential(
        [
            layers.Input((8, 8, 4)),
            layers.Conv2D(6, 1, name="sc"),
            layers.BatchNormalization(name="sb"),
        ],
        name="shortcut",
    )
    x = layers.ReLU(name="r1")(layers.Add(name="sum")([x, shortcut(image)]))
    inner = k.Model(image, x, name="inner")

    x = image = layers.Input((8, 8, 3), name="image")
    x = layers.Conv2D(4, 3, padding="same", name="stem")(x)
    x = inner(layers.ReLU(name="r2")(layers.BatchNormalization(name="stem_bn")(x)))
    if after:
        x = layers.BatchNormalization(name="after")(x)
    x = layers.Conv2D(6, 3, name="last")(x)
    x = layers.BatchNormalization(name="last_bn")(x)
    return k.Model(image, head(k, x))


def ends_with_convolution(k):
    """The norm of the outer model follows the convolution that ends the inner one."""
    layers = k.layers
    stem = k.Sequential(
        [layers.Input((8, 8, 3)), layers.ReLU(), layers.Conv2D(4, 3, name="c0")], name="stem"
    )
    image = layers.Input((8, 8, 3))
    x = layers.ReLU()(layers.BatchNormalization(name="b0")(stem(image)))
    x = normed(k, x, layers.Conv2D(4, 3, name="c1"))
    return k.Model(image, head(k, x))


def shared_pair(k):
    """A convolution and its norm are called on two images."""
    layers = k.layers
    conv, norm = layers.Conv2D(6, 3, padding="same"), layers.BatchNormalization()
    images = [layers.Input((9, 8, 3)), layers.Input((9, 8, 3))]
    x = layers.Concatenate()([layers.ReLU()(norm(conv(image))) for image in images])
    x = normed(k, x, layers.Conv2D(4, 3))
    return k.Model(images, head(k, x))


def shared_norm(k):
    """One norm follows two convolutions."""
    layers = k.layers
    norm = layers.BatchNormalization()
    image = layers.Input((9, 8, 3))
    x = layers.ReLU()(norm(layers.Conv2D(6, 3, padding="same", use_bias=False)(image)))
    y = layers.ReLU()(norm(layers.Conv2D(6, 3, padding="same")(x)))
    return k.Model(image, head(k, layers.Add()([x, y])))


def shortcut(k, *, first):
    """A residual block whose shortcut has no norm, of the same shape as the convolution with one.

    Without its norm, the convolution moves among the layers of the model, whose order is the order
    of the weights in a file. `first` says whether the sum names the shortcut before the path.
    """
    layers = k.layers
    image = layers.Input((9, 8, 6))
    conv = partial(layers.Conv2D, 6, 3, padding="same")
    x = layers.ReLU()(conv(name="stem")(image))
    for i in range(2):
        path = normed(k, x, conv(name=f"a{i}"))
        path = normed(k, path, conv(name=f"b{i}"), activation=None)
        both = [conv(name=f"c{i}")(x), path]
        x = layers.ReLU()(layers.Add()(both if first else both[::-1]))
    return k.Model(image, head(k, x))


def norm_of_sum(k):
    """A norm of the sum of two convolutions."""
    layers = k.layers
    image = layers.Input((9, 8, 3))
    x = layers.Add()([layers.Conv2D(6, 3, padding="same")(image), layers.Conv2D(6, 1)(image)])
    x = layers.ReLU()(layers.BatchNormalization()(x))
    return k.Model(image, head(k, normed(k, x, layers.Conv2D(6, 3))))


def many_ends(k):
    """Two inputs, three outputs, of which two are norms'."""
    layers = k.layers
    image, numbers = layers.Input((9, 8, 3)), layers.Input((5,))
    x = normed(k, image, layers.Conv2D(6, 3), activation=None)
    y = normed(k, numbers, layers.Dense(6, use_bias=False))
    z = layers.Add()([layers.GlobalAveragePooling2D()(x), y])
    return k.Model(
        [image, numbers], [x, normed(k, z, layers.Dense(4), activation=None), head(k, y)]
    )


# --- RepVGG


def repvgg(k, size=(32, 32), *, groups=1, pad=False, operator=False):
    """RepVGG's blocks as a graph: 3x3, 1x1 and, where shapes allow, the identity, each normed.

    Args:
        k: The framework.
        size: Height and width, or None for each.
        groups: Of every convolution but the first block's.
        pad: Pad with a layer of its own, as PyTorch does, instead of 'same'.
        operator: Add with `+` instead of a layer.
    """
    layers = k.layers
    x = image = layers.Input((*size, 3))
    blocks = (3, 8, 2, 1), (8, 8, 1, groups), (8, 12, 2, groups), (12, 12, 1, groups)
    for i, (width, out, stride, each) in enumerate(blocks):
        conv = partial(layers.Conv2D, out, strides=stride, groups=each, use_bias=False)
        wide, padding = (layers.ZeroPadding2D(1)(x), "valid") if pad else (x, "same")
        big = conv(kernel_size=3, padding=padding, name=f"b{i}_3x3")(wide)
        small = conv(kernel_size=1, padding=padding, name=f"b{i}_1x1")(x)
        branches = [
            layers.BatchNormalization(name=f"b{i}_3x3_bn")(big),
            layers.BatchNormalization(name=f"b{i}_1x1_bn")(small),
        ]
        if width == out and stride == 1:
            branches.append(layers.BatchNormalization(name=f"b{i}_id_bn")(x))
        x = total(layers, branches, operator=operator)
        x = layers.ReLU(name=f"b{i}_relu")(x)
    return k.Model(image, head(k, x))


def total(layers, branches, *, operator):
    if not operator:
        return layers.Add()(branches)
    first, *rest = branches
    for branch in rest:
        first = first + branch
    return first


def causal_branches(k):
    """The 1-D form, where the 1x1 kernel belongs on the last tap of the causal one."""
    layers = k.layers
    x = image = layers.Input((13, 4))
    for i, dilation in enumerate((1, 2)):
        conv = partial(layers.Conv1D, 4, padding="causal", use_bias=False)
        big = conv(kernel_size=3, dilation_rate=dilation, name=f"big{i}")(x)
        small = conv(kernel_size=1, name=f"small{i}")(x)
        branches = [layers.BatchNormalization()(y) for y in (big, small, x)]
        x = layers.ReLU()(layers.Add()(branches))
    return k.Model(image, head(k, x))


# --- what must not be fused


def scaling(k):
    """A layer of the user's own."""

    class Twice(k.layers.Layer):
        def call(self, x):
            return 2 * x

    return Twice


def activation(_layers, conv, norm, x):
    return norm(conv(activation="tanh")(x))


def consumer(layers, conv, norm, x):
    x = conv()(x)
    return layers.Concatenate()([x, layers.ReLU()(norm(x))])


def output(layers, conv, norm, x):
    x = conv()(x)
    return layers.ReLU()(norm(x)), x


def two_norms(layers, conv, norm, x):
    x = conv()(x)
    other = layers.BatchNormalization(name="kept_too")
    return layers.Concatenate()([layers.ReLU()(norm(x)), other(x)])


def axis(layers, conv, _norm, x):
    return layers.BatchNormalization(axis=1, name="kept")(conv()(x))


def training(_layers, conv, norm, x):
    return norm(conv()(x), training=True)


def custom(layers, conv, norm, x):
    return norm(twice(layers)()(conv()(x)))


def norm_first(layers, conv, norm, x):
    return layers.ReLU()(conv(padding="same")(norm(x)))


def relu(layers, conv, norm, x):
    return norm(layers.ReLU()(conv()(x)))


def pool(layers, conv, norm, x):
    return norm(layers.MaxPooling2D()(conv()(x)))


def twice(layers):
    """A layer of the user's own."""

    class Twice(layers.Layer):
        def call(self, x):
            return 2 * x

    return Twice


def refused(k, tail, *, with_pair=True):
    """A model with a norm that must stay, and maybe a pair that can be fused before it."""
    layers = k.layers
    x = image = layers.Input((8, 8, 3))
    if with_pair:
        x = normed(k, x, layers.Conv2D(8, 3, padding="same", name="fine"), name="fine_bn")
    norm = layers.BatchNormalization(name="kept")
    y = tail(layers, partial(layers.Conv2D, 8, 3, name="conv"), norm, x)
    y, *extra = y if isinstance(y, tuple) else (y,)
    return k.Model(image, [head(k, y), *extra])


REASONS = {
    activation: "activation|tanh",
    consumer: "consume|use|read",
    output: "output",
    two_norms: "consume|use|read|two|another|kept",
    axis: "axis",
    training: "training|batch statistics",
    custom: "Twice|custom",
    norm_first: "pad|border|follow|before|input",
    relu: "re_?lu",
    pool: "Pool|pool",
}
"""Models with a norm that must stay, each with what the reason has to name."""
