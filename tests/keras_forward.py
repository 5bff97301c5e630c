"""A Keras model file run in float64 by NumPy: config and weights are read here, not by the package.

`predict` runs a whole model (HDF5 or zip). The three nets that exist as weights only have a
function each for their train form and for their deploy form.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections import Counter
from itertools import chain, product

import h5py
import numpy as np

MODELS = {"Functional", "Model", "Sequential"}


def predict(path, *inputs, stored_training=False):
    """Run the model of a file for inference; the list of its outputs, in float64.

    A norm that was called with `training=True` still uses its moving statistics under `predict`
    of Keras 3, and those of the batch when the model is called: that is `stored_training`.
    """
    config, find = read_model(path)
    if stored_training:
        find["training"] = True
    return run(config, find, [np.asarray(x, np.float64) for x in inputs])


# --- files ------------------------------------------------------------------------------------


def read_config(path):
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return json.loads(archive.read("config.json"))
    with h5py.File(path) as file:
        return json.loads(text(file.attrs["model_config"]))


def read_model(path):
    """The config of a model and its variables: `{(layer, inner layer, ...): {name: array}}`."""
    config = read_config(path)
    found = {}
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            weights = io.BytesIO(archive.read("model.weights.h5"))
        with h5py.File(weights) as file:
            from_groups(config, file, (), found)
    else:
        with h5py.File(path) as file:
            weights = file["model_weights"]
            listed, layers = attribute(weights, "layer_names"), in_order(config)
            assert sorted(listed) == sorted(name_of(x) for x in layers if not is_node(x)), listed
            from_names(config, weights, found)
    return config, found


def text(value):
    return value.decode() if isinstance(value, bytes) else str(value)


def numbers(dataset):
    """Values in float64; those of bfloat16 are stored as opaque pairs of bytes."""
    values = dataset[()]
    if values.dtype.kind == "V":
        values = (values.view("<u2").astype("<u4") << 16).view("<f4")
    return np.asarray(values, np.float64)


def attribute(group, key):
    """A list of names; a long one is stored in numbered pieces."""
    if key in group.attrs:
        return [text(v) for v in group.attrs[key]]
    names, piece = [], 0
    while f"{key}{piece}" in group.attrs:
        names += [text(v) for v in group.attrs[f"{key}{piece}"]]
        piece += 1
    return names


def layers_of(config):
    inner = config["config"]
    return inner if isinstance(inner, list) else inner["layers"]


def name_of(layer):
    return layer.get("name") or layer["config"]["name"]


def is_node(layer):
    """Operators of Keras 3 stand in the config like layers and nowhere else."""
    module = layer.get("module") or ""
    return ".ops." in module or (module == "" and "name" not in layer["config"])


def variables(layer):
    """Names of a layer's trainable and other variables, in the order they are stored."""
    kind, config = layer["class_name"], layer["config"]
    bias = ["bias"] if config.get("use_bias", True) else []
    if kind.startswith("Separable"):
        return ["depthwise_kernel", "pointwise_kernel", *bias], []
    if kind == "Dense" or re.fullmatch(r"(Depthwise)?Conv\dD(Transpose)?", kind):
        return ["kernel", *bias], []
    if kind == "BatchNormalization":
        scale = ["gamma"] if config["scale"] else []
        center = ["beta"] if config["center"] else []
        more = ["renorm_mean", "renorm_stddev", "moving_stddev"] if config.get("renorm") else []
        return scale + center, ["moving_mean", "moving_variance", *more]
    return [], []


def from_names(config, weights, found):
    """Legacy HDF5, loaded as Keras does: by position, whatever the layers are called."""
    listed = attribute(weights, "layer_names")
    groups = [name for name in listed if attribute(weights[name], "weight_names")]
    wanted = [slots for layer in in_order(config) if (slots := [*chain(*split_slots(layer))])]
    assert len(groups) == len(wanted), listed
    for top, slots in zip(groups, wanted, strict=True):
        names = attribute(weights[top], "weight_names")
        assert len(names) == len(slots), (top, names)
        for (at, role), stored in zip(slots, names, strict=True):
            # DepthwiseConv2D calls its kernel depthwise_kernel, except in Keras 3
            assert stored.split("/")[-1].split(":")[0].endswith(role), (at, role, stored)
            found.setdefault(at, {})[role] = numbers(weights[top][stored])


def split_slots(layer, above=()):
    """The variables that a layer trains, those of inner layers included, and all others."""
    at, first, last = (*above, name_of(layer)), [], []
    if layer["class_name"] in MODELS:
        for inner in in_order(layer):
            trained, other = split_slots(inner, at)
            first += trained
            last += other
    else:
        first, last = ([(at, role) for role in roles] for roles in variables(layer))
    config = layer["config"]
    frozen = isinstance(config, dict) and config.get("trainable") is False
    return ([], first + last) if frozen else (first, last)


def snake(name):
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", name))
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def from_groups(config, group, above, found):
    """Weights of a zip: groups are counted per class among the layers of one model."""
    box = group["layers"] if "layers" in group else group["_layer_checkpoint_dependencies"]
    counts = Counter()
    sequential = config["class_name"] == "Sequential"
    for layer in in_order(config):
        kind = layer["class_name"]
        if is_node(layer) or (sequential and kind == "InputLayer"):
            continue
        stem, at = snake(kind), (*above, name_of(layer))
        child = box.get(f"{stem}_{counts[stem]}" if counts[stem] else stem)
        counts[stem] += 1
        if kind in MODELS:
            from_groups(layer, child, at, found)
            continue
        names = [name for names in variables(layer) for name in names]
        stored = {} if child is None else child["vars"]
        assert len(names) == len(stored), at
        if child is not None and "name" in child["vars"].attrs:
            assert text(child["vars"].attrs["name"]) == at[-1]
        if names:
            found[at] = {n: numbers(stored[str(i)]) for i, n in enumerate(names)}
    assert len(box) <= sum(counts.values()), "groups that no layer claims"


# --- the order of layers ----------------------------------------------------------------------


def in_order(config):
    """The layers of a model as Keras lists them once it has built it, whatever the file says.

    The deepest come first. Among layers of one depth, those come first that a walk from the
    outputs, depth first, meets first.
    """
    layers = {name_of(layer): layer for layer in layers_of(config)}
    if config["class_name"] == "Sequential":
        return list(layers.values())
    calls = {
        name: [list(references(inbound(node))) for node in layer["inbound_nodes"]]
        for name, layer in layers.items()
    }
    base = node_offsets(config["config"], layers, calls)
    finished, met = [], []

    def walk(reference):
        name, number = reference[0], reference[1] - base[reference[0]]
        if (name, number) in finished:
            return
        if name not in met:
            met.append(name)
        for taken in calls[name][number] if calls[name] else []:
            walk(taken)
        finished.append((name, number))

    for end in ends(config["config"]["output_layers"]):
        walk(end)
    depths, place = layer_depths(finished, calls, base), {name: i for i, name in enumerate(met)}
    for name, *_ in ends(config["config"]["input_layers"]):  # some may lead nowhere
        depths.setdefault(name, 0)
    ranked = sorted(depths, key=lambda name: (-depths[name], place.get(name, -1)))
    assert sorted(ranked) == sorted(layers), "layers that lead nowhere"
    return [layers[name] for name in ranked]


def layer_depths(calls_in_order, calls, base):
    """How far every layer is from an output; one that is called twice is at least as far as it
    was found to be before."""
    far, depths = Counter(), Counter()
    for name, number in reversed(calls_in_order):
        here = depths[name] = max(far[name, number], depths[name])
        for taken, node, _ in calls[name][number] if calls[name] else []:
            at = taken, node - base[taken]
            far[at] = max(far[at], here + 1)
    return dict(depths)


# --- the graph --------------------------------------------------------------------------------


def run(config, find, inputs, above=()):
    if config["class_name"] == "Sequential":
        (x,) = inputs
        for layer in layers_of(config):
            x = call(layer, find, above, [x], {})
        return [x]
    layers = {name_of(layer): layer for layer in layers_of(config)}
    nodes = {name: [inbound(n) for n in layer["inbound_nodes"]] for name, layer in layers.items()}
    base = node_offsets(config["config"], layers, nodes)
    known = {}
    for (name, node, _), x in zip(ends(config["config"]["input_layers"]), inputs, strict=True):
        known[name, node] = [x]

    def value(reference):
        name, node, tensor = reference
        if (name, node) not in known:
            args, kwargs = nodes[name][node - base[name]]
            args, kwargs = fill(args, value), fill(kwargs, value)
            result = call(layers[name], find, above, args, kwargs)
            known[name, node] = result if isinstance(result, list) else [result]
        return known[name, node][tensor]

    for name in layers:  # in the order of the file, so that chains of any length do not recurse
        for node in range(len(nodes[name])):
            value((name, node + base[name], 0))
    return [value(reference) for reference in ends(config["config"]["output_layers"])]


class Reference(tuple):
    """Layer, number of its call, number of the tensor."""

    __slots__ = ()


def ends(found):
    return [Reference(found)] if isinstance(found[0], str) else [Reference(e) for e in found]


def inbound(node):
    """One call of a layer as `(arguments, keywords)` with References, in any dialect."""
    if isinstance(node, dict):
        return mark(node["args"]), mark(node["kwargs"])
    entries = [node] if isinstance(node[0], str) else node
    keywords = {}
    for entry in entries:
        keywords |= {k: mark_list(v) for k, v in (entry[3] if len(entry) > 3 else {}).items()}
    return [Reference(entry[:3]) for entry in entries], keywords


def mark(found):
    """References in the nodes of Keras 3."""
    if isinstance(found, dict):
        if found.get("class_name") == "__keras_tensor__":
            return Reference(found["config"]["keras_history"])
        return {k: mark(v) for k, v in found.items()}
    return [mark(v) for v in found] if isinstance(found, list) else found


def mark_list(found):
    """References in the keywords of Keras 2."""
    if isinstance(found, list) and len(found) in (3, 4) and isinstance(found[0], str):
        return Reference(found[:3])
    return [mark_list(v) for v in found] if isinstance(found, list) else found


def fill(found, value):
    if isinstance(found, Reference):
        return value(found)
    if isinstance(found, dict):
        return {k: fill(v, value) for k, v in found.items()}
    return [fill(v, value) for v in found] if isinstance(found, list) else found


def references(found):
    if isinstance(found, Reference):
        yield found
    elif isinstance(found, (list, tuple, dict)):
        for v in found.values() if isinstance(found, dict) else found:
            yield from references(v)


def node_offsets(config, layers, nodes):
    """Keras 2 counts the calls of an inner model from 1: the first made the model itself."""
    used = Counter()
    for name, node, _ in [*references(list(nodes.values())), *ends(config["output_layers"])]:
        used[name] = max(used[name], node)
    return {
        name: int(layers[name]["class_name"] in MODELS and used[name] == len(nodes[name]))
        for name in layers
    }


# --- layers -----------------------------------------------------------------------------------


def call(layer, find, above, args, kwargs):
    kind, config, at = layer["class_name"], layer["config"], (*above, name_of(layer))
    if kind in MODELS:
        outputs = run(layer, find, flat(args), at)
        return outputs if len(outputs) > 1 else outputs[0]
    if kind == "Subtract":
        return np.subtract(*flat(args))
    if kind in {"Add", "TFOpLambda", "TensorFlowOpLayer"}:
        return add(kind, config, flat([args, [kwargs.get("y", [])]]))
    if kind == "Concatenate":
        return np.concatenate(flat(args), config["axis"])
    (x,) = flat(args)
    if kind == "BatchNormalization":
        return batch_norm(x, config, find[at], "training" in find and kwargs.get("training"))
    if kind == "Dense":
        y = x @ find[at]["kernel"] + find[at].get("bias", 0.0)
        return activation(y, config["activation"])
    if "Conv" in kind:
        y = swap(any_conv, x, config, kind, find[at])
        return activation(y, config["activation"])
    return weightless(kind, config, x)


def weightless(kind, config, x):
    if kind in {"InputLayer", "Dropout", "SpatialDropout2D"}:
        return x
    if kind == "Activation":
        return activation(x, config["activation"])
    if kind == "ReLU":
        assert not config.get("threshold")
        y = np.where(x > 0, x, x * (config.get("negative_slope") or 0.0))
        return y if config.get("max_value") is None else np.minimum(y, config["max_value"])
    if kind == "Softmax":
        return activation(x, "softmax")
    if kind == "Flatten":
        assert config.get("data_format", "channels_last") == "channels_last"
        return x.reshape(len(x), -1)
    if kind == "Reshape":
        return x.reshape(len(x), *config["target_shape"])
    if kind.startswith("ZeroPadding"):
        return swap(zero_pad, x, config)
    if kind.startswith("Global"):
        return swap(global_pool, x, config, kind)
    if kind.startswith(("MaxPooling", "AveragePooling")):
        return swap(pool, x, config, kind)
    raise NotImplementedError(kind)


def flat(found):
    return [v for e in found for v in flat(e)] if isinstance(found, list) else [found]


def add(kind, config, operands):
    if kind == "TFOpLambda":
        assert config["function"] in {"__operators__.add", "math.add"}
    if kind == "TensorFlowOpLayer":
        assert config["node_def"]["op"] == "AddV2"
    return sum(operands[1:], operands[0])


def activation(x, name):
    if name == "softmax":
        x = np.exp(x - x.max(-1, keepdims=True))
        return x / x.sum(-1, keepdims=True)
    known = {
        None: lambda: x,
        "linear": lambda: x,
        "relu": lambda: np.maximum(x, 0.0),
        "relu6": lambda: np.clip(x, 0.0, 6.0),
        "sigmoid": lambda: 1 / (1 + np.exp(-x)),
        "tanh": lambda: np.tanh(x),
    }
    return known[name]()


def batch_norm(x, config, found, training):
    axis = config["axis"][0] if isinstance(config["axis"], list) else config["axis"]
    shape = [1] * x.ndim
    shape[axis] = -1
    mean, variance = found["moving_mean"], found["moving_variance"]
    if training and config.get("trainable", True):
        others = tuple(a for a in range(x.ndim) if a != axis % x.ndim)
        mean, variance = x.mean(others), x.var(others)
    gamma, beta = found.get("gamma", 1.0), found.get("beta", 0.0)
    scale = gamma / np.sqrt(variance + config["epsilon"])
    return x * scale.reshape(shape) + (beta - mean * scale).reshape(shape)


def swap(function, x, config, *rest):
    """Apply a function of channels-last images."""
    if config.get("data_format") != "channels_first":
        return function(x, config, *rest)
    y = function(np.moveaxis(x, 1, -1), config, *rest)
    return np.moveaxis(y, -1, 1) if y.ndim == x.ndim else y


def zero_pad(x, config):
    padding = config["padding"]
    pairs = padding if isinstance(padding[0], list) else [padding]
    return np.pad(x, [(0, 0), *map(tuple, pairs), (0, 0)])


def global_pool(x, config, kind):
    axes = tuple(range(1, x.ndim - 1))
    reduce = np.mean if "Average" in kind else np.max
    return reduce(x, axes, keepdims=bool(config.get("keepdims")))


def pool(x, config, kind):
    size, strides = config["pool_size"], config["strides"] or config["pool_size"]
    pads, out = borders(x.shape[1:-1], size, strides, [1] * len(size), config["padding"])
    fill_value, count = (-np.inf, None) if "Max" in kind else (0.0, np.ones_like(x))
    x = np.pad(x, [(0, 0), *pads, (0, 0)], constant_values=fill_value)
    taps = [tap for _, tap in windows(x, size, strides, [1] * len(size), out)]
    if count is None:
        return np.max(taps, 0)
    inside = np.pad(count, [(0, 0), *pads, (0, 0)])
    return sum(taps) / sum(t for _, t in windows(inside, size, strides, [1] * len(size), out))


def borders(space, kernel, strides, dilation, padding):
    """Zeros before and after, and the size of the result, per axis."""
    pads, out = [], []
    for n, k, s, d in zip(space, kernel, strides, dilation, strict=True):
        reach = (k - 1) * d + 1
        if padding == "same":
            size = -(-n // s)
            total = max((size - 1) * s + reach - n, 0)
            pads.append((total // 2, total - total // 2))
        else:
            pads.append((reach - 1, 0) if padding == "causal" else (0, 0))
            size = (n + sum(pads[-1]) - reach) // s + 1
        out.append(size)
    return pads, out


def windows(x, kernel, strides, dilation, out):
    """What every tap of a kernel sees."""
    for tap in product(*map(range, kernel)):
        starts = [t * d for t, d in zip(tap, dilation, strict=True)]
        place = tuple(
            slice(b, b + (n - 1) * s + 1, s) for b, n, s in zip(starts, out, strides, strict=True)
        )
        yield tap, x[(slice(None), *place)]


def any_conv(x, config, kind, found):
    rank = x.ndim - 2
    kernel, bias = found.get("kernel"), found.get("bias", 0.0)
    how = config["strides"], config["dilation_rate"], config["padding"]
    if "Transpose" in kind:
        assert config.get("output_padding") is None
        return transposed(x, kernel, *how) + bias
    if kind.startswith("Separable"):
        x = depthwise(x, found["depthwise_kernel"], *how)
        return conv(x, found["pointwise_kernel"], [1] * rank, [1] * rank, "valid") + bias
    if kind.startswith("Depthwise"):
        return depthwise(x, kernel, *how) + bias
    return conv(x, kernel, *how) + bias


def conv(x, kernel, strides, dilation=(1, 1), padding="same"):
    *size, width, filters = kernel.shape
    groups = x.shape[-1] // width
    pads, out = borders(x.shape[1:-1], size, strides, dilation, padding)
    x = np.pad(x, [(0, 0), *pads, (0, 0)])
    y = np.zeros((len(x), *out, groups, filters // groups))
    for tap, seen in windows(x, size, strides, dilation, out):
        inputs = seen.reshape(len(x), -1, groups, width)
        weight = kernel[tap].reshape(width, groups, filters // groups)
        y += np.einsum("npgi,igo->npgo", inputs, weight, optimize=True).reshape(y.shape)
    return y.reshape(len(x), *out, filters)


def depthwise(x, kernel, strides, dilation, padding):
    *size, width, many = kernel.shape
    pads, out = borders(x.shape[1:-1], size, strides, dilation, padding)
    x = np.pad(x, [(0, 0), *pads, (0, 0)])
    y = sum(seen[..., None] * kernel[tap] for tap, seen in windows(x, size, strides, dilation, out))
    return y.reshape(len(x), *out, width * many)


def transposed(x, kernel, strides, dilation, padding):
    """Every pixel is added, times the kernel, at its place; 'same' then crops as the gradient."""
    *size, filters, _ = kernel.shape
    space = x.shape[1:-1]
    reach = [(k - 1) * d + 1 for k, d in zip(size, dilation, strict=True)]
    whole = [n * s + max(r - s, 0) for n, s, r in zip(space, strides, reach, strict=True)]
    y = np.zeros((len(x), *whole, filters))
    for tap, seen in windows(y, size, strides, dilation, space):
        np.add(seen, x @ kernel[tap].T, out=seen)
    if padding == "same":
        cuts = [max(r - s, 0) // 2 for r, s in zip(reach, strides, strict=True)]
        place = tuple(slice(c, c + n * s) for c, n, s in zip(cuts, space, strides, strict=True))
        y = y[(slice(None), *place)]
    return y


# --- nets that exist as weights only ----------------------------------------------------------

EPS = 1e-3
STATISTICS = {"gamma:0": "0", "beta:0": "1", "moving_mean:0": "2", "moving_variance:0": "3"}


def read_weights(path):
    """Every dataset of a weights-only file in float64, by its path, in the order of the layers."""
    found = {}
    with h5py.File(path) as file:
        file.visititems(
            lambda name, item: found.update(
                {name: np.asarray(item, np.float64)} if isinstance(item, h5py.Dataset) else {}
            )
        )
        layers = attribute(file, "layer_names")
        listed = [
            f"{top}/{name}" for top in layers for name in attribute(file[top], "weight_names")
        ]
    if not layers:
        return {name: found[name] for name in sorted(found, key=natural)}
    assert sorted(listed) == sorted(found)
    return {name: found[name] for name in listed}


def natural(path):
    """Sort numbers in names as numbers."""
    return [[int(p) if p.isdigit() else p for p in re.split(r"(\d+)", s)] for s in path.split("/")]


def norm_of(x, statistics):
    gamma, beta, mean, variance = statistics
    return (x - mean) * (gamma / np.sqrt(variance + EPS)) + beta


def convolutions(tensors):
    """Kernels with their biases, in order, of a file of nothing but convolutions and a head."""
    kernels = {name.rpartition("/")[0]: v for name, v in tensors.items() if v.ndim == 4}
    biases = {name.rpartition("/")[0]: v for name, v in tensors.items() if v.ndim == 1}
    return [(kernel, biases[at]) for at, kernel in kernels.items()]


def head(tensors, x):
    ((name, kernel),) = [(name, v) for name, v in tensors.items() if v.ndim == 2]
    bias = {"kernel:0": "bias:0", "0": "1"}[name.rpartition("/")[2]]
    return x @ kernel + tensors[f"{name.rpartition('/')[0]}/{bias}"]


def branches(tensors):
    """Train form of RepVGG: per block, per branch, a kernel (or None) and the four statistics."""
    blocks = {}
    for name, value in tensors.items():
        match = re.fullmatch(r"(.*rep_vgg_block(?:_\d+)?)/([^/]+)/(?:.*/)?([^/]+)", name)
        if match is None or match[2] == "reparam":
            continue
        branch = blocks.setdefault(match[1], {}).setdefault(match[2], {})
        role = "kernel" if value.ndim == 4 else STATISTICS.get(match[3], match[3])
        assert role not in branch, name
        branch[role] = value
    return [
        [(b.get("kernel"), [b[i] for i in "0123"]) for b in block.values()]
        for block in blocks.values()
    ]


def train_repvgg(path, strides, x, pad):
    """`pad` is the border of the 3x3 kernels: "same", or the number of zeros on every side."""
    tensors = read_weights(path)
    for block, stride in zip(branches(tensors), strides, strict=True):
        total = 0.0
        for kernel, statistics in block:
            y = x if kernel is None else padded_conv(x, kernel, stride, pad)
            total = total + norm_of(y, statistics)
        x = np.maximum(total, 0.0)
    return head(tensors, x.mean((1, 2)))


def deploy_repvgg(path, strides, x, pad):
    tensors = read_weights(path)
    for (kernel, bias), stride in zip(convolutions(tensors), strides, strict=True):
        x = np.maximum(padded_conv(x, kernel, stride, pad) + bias, 0.0)
    return head(tensors, x.mean((1, 2)))


def padded_conv(x, kernel, stride, pad):
    if pad == "same":
        return conv(x, kernel, [stride] * 2)
    border = pad if kernel.shape[0] > 1 else 0
    x = np.pad(x, [(0, 0), (border, border), (border, border), (0, 0)])
    return conv(x, kernel, [stride] * 2, padding="valid")


def resnet(path, strides, x):
    """The residual net whose blocks share a norm; in deploy form a norm is not in the file."""
    tensors = read_weights(path)

    def layer(name, x, stride=1):
        kernel, bias = (tensors[f"{name}/vars/{i}"] for i in (0, 1))
        return conv(x, kernel, [stride] * 2) + bias

    def norm(name, x):
        if f"{name}/vars/0" not in tensors:
            return x
        return norm_of(x, [tensors[f"{name}/vars/{i}"] for i in range(4)])

    x = np.maximum(norm("bn", layer("conv1", x, 2)), 0.0)
    x = pool(x, {"pool_size": [3, 3], "strides": [2, 2], "padding": "same"}, "MaxPooling2D")
    for number, stride in enumerate(strides):
        block = f"layers/residual_block_{number}" if number else "layers/residual_block"
        y = np.maximum(norm(f"{block}/bn", layer(f"{block}/conv1", x)), 0.0)
        y = norm(f"{block}/bn", layer(f"{block}/conv2", y))
        y += layer(f"{block}/conv3", x) if f"{block}/conv3/vars/0" in tensors else x
        x = np.maximum(layer(f"{block}/conv4", y, stride), 0.0)
    return head(tensors, x.mean((1, 2)))
