"""Small Keras models written without Keras: HDF5 as Keras 2 writes it, zips as Keras 3 does."""

from __future__ import annotations

import io
import json
import zipfile
from collections import Counter

import h5py
import keras_forward as forward
import numpy as np

CONV = {
    "strides": 1,
    "padding": "same",
    "data_format": "channels_last",
    "dilation_rate": 1,
    "groups": 1,
    "activation": "linear",
    "use_bias": False,
}
DEFAULTS = {
    "Dense": {"activation": "linear", "use_bias": True},
    "BatchNormalization": {"axis": -1, "epsilon": 1e-3, "center": True, "scale": True},
    "ReLU": {"max_value": None, "negative_slope": 0.0, "threshold": 0.0},
    "Concatenate": {"axis": -1},
    "Dropout": {"rate": 0.5},
    "GlobalAveragePooling2D": {"data_format": "channels_last", "keepdims": False},
    "Activation": {"activation": "relu"},
}


def store_names(group, key, names):
    """As Keras does: an attribute holds 64 KiB, so a longer list is cut into numbered pieces."""
    values = np.asarray([name.encode() for name in names])
    pieces = 1
    while any(piece.nbytes > 64512 for piece in np.array_split(values, pieces)):
        pieces += 1
    if pieces == 1:
        group.attrs[key] = values
        return
    for number, piece in enumerate(np.array_split(values, pieces)):
        group.attrs[f"{key}{number}"] = piece


class Net:
    """A functional model. `net(kind, x, ...)` adds a layer, or calls one again by its name."""

    def __init__(self, seed=0, dtype="float32"):
        self.dtype = dtype
        self.random = np.random.default_rng(seed)
        self.layers, self.weights, self.calls = {}, {}, {}
        self.shapes, self.inputs = {}, []
        self.inner, self.ends = {}, {}

    def input(self, *shape, unknown=False):
        name = f"input_{len(self.inputs)}"
        self.layers[name] = {"class_name": "InputLayer", "config": {"name": name}}
        self.calls[name] = []
        reference = (name, 0)
        self.shapes[reference] = shape
        self.inputs.append((name, [*[None] * (len(shape) - 1), shape[-1]] if unknown else shape))
        return reference

    def __call__(self, kind, *inputs, name=None, training=None, features=None, **config):
        if name not in self.layers:
            name = name or f"{forward.snake(kind)}_{len(self.layers)}"
            self._add(kind, name, self.shapes[inputs[0]], features, config)
        reference = (name, len(self.calls[name]))
        self.calls[name].append((inputs, {} if training is None else {"training": training}))
        images = [np.zeros((1, *self.shapes[x])) for x in inputs]
        layer = self.layers[name]
        if name in self.inner:
            layer = self.inner[name].config_k3(self.ends[name], name)
        result = forward.call(layer, self.tensors(), (), images, {})
        self.shapes[reference] = result.shape[1:]
        return reference

    def model(self, inner, ends, *inputs, name="inner"):
        """Call another Net as a layer."""
        if name not in self.inner:
            self.inner[name], self.ends[name] = inner, ends
            self.layers[name] = {"class_name": "Functional", "config": {"name": name}}
            self.calls[name] = []
        return self("Functional", *inputs, name=name)

    def tensors(self):
        """Every variable by the path of its layer."""
        found = {(name,): values for name, values in self.weights.items()}
        for name, net in self.inner.items():
            found |= {(name, *at): values for at, values in net.tensors().items()}
        return found

    def _add(self, kind, name, shape, features, config):
        if "Conv" in kind:
            rank = len(shape) - 1
            config = CONV | config
            for key in ("kernel_size", "strides", "dilation_rate"):
                if isinstance(config[key], int):
                    config[key] = [config[key]] * rank
        config = {"name": name, "trainable": True} | DEFAULTS.get(kind, {}) | config
        layer = {"class_name": kind, "config": config}
        first = config.get("data_format") == "channels_first"
        width = features or shape[0 if first else -1]
        self.layers[name], self.calls[name] = layer, []
        self.weights[name] = {
            role: self._draw(role, self._shape(kind, role, config, width)).astype(np.float32)
            for roles in forward.variables(layer)
            for role in roles
        }

    def _shape(self, kind, role, config, width):
        many = config.get("depth_multiplier", 1)
        if role == "depthwise_kernel" or (kind.startswith("Depthwise") and role == "kernel"):
            return (*config["kernel_size"], width, many)
        if role == "pointwise_kernel":
            return (*[1] * len(config["kernel_size"]), width * many, config["filters"])
        if kind == "Dense" and role == "kernel":
            return width, config["units"]
        if role == "kernel":
            ends = width // config["groups"], config["filters"]
            return (*config["kernel_size"], *(ends[::-1] if "Transpose" in kind else ends))
        if kind == "BatchNormalization":
            return (width,)
        return (config.get("units") or config.get("filters") or width * many,)

    def _draw(self, role, shape):
        if role == "moving_variance":
            return self.random.uniform(0.3, 2.0, shape)
        if role == "gamma":
            return self.random.uniform(0.5, 1.5, shape) * self.random.choice([-1, 1, 1], shape)
        return self.random.normal(size=shape) * 0.5

    def _stored(self, value):
        if self.dtype != "bfloat16":
            return value.astype(self.dtype)
        return (value.astype("<f4").view("<u4") >> 16).astype("<u2").view("V2")

    def images(self, seed=1):
        random = np.random.default_rng(seed)
        return [random.normal(size=(2, *self.shapes[name, 0])) for name, _ in self.inputs]

    # Keras 2, HDF5

    def config_k2(self, outputs, name="model"):
        def end(reference):
            """Calls of an inner model are counted from 1: the first made the model itself."""
            return [reference[0], reference[1] + (reference[0] in self.inner), 0]

        layers = []
        for layer_name, layer in self._configs("batch_input_shape"):
            config = layer["config"]
            if layer["class_name"] == "BatchNormalization":
                rank = len(self.shapes[self.calls[layer_name][0][0][0]]) + 1
                config["axis"] = [config["axis"] % rank]
            if layer_name in self.inner:
                layer.update(self.inner[layer_name].config_k2(self.ends[layer_name], layer_name))
            nodes = [[[*end(x), keywords] for x in xs] for xs, keywords in self.calls[layer_name]]
            layers.append({**layer, "name": layer_name, "inbound_nodes": nodes})
        return self._functional(name, layers, [end(x) for x in outputs])

    def _configs(self, shape_key):
        shapes = dict(self.inputs)
        for name, layer in self.layers.items():
            config = dict(layer["config"]) | {"dtype": self.dtype}
            if name in shapes:
                config[shape_key] = [None, *shapes[name]]
            yield name, {**layer, "config": config}

    def _functional(self, name, layers, outputs):
        config = {
            "name": name,
            "trainable": True,
            "layers": layers,
            "input_layers": [[name, 0, 0] for name, _ in self.inputs],
            "output_layers": outputs,
        }
        model = {"class_name": "Functional", "config": config}
        config["layers"] = forward.in_order(model)
        return model

    def save_h5(self, path, outputs):
        with h5py.File(path, "w") as file:
            file.attrs["backend"], file.attrs["keras_version"] = b"tensorflow", b"2.15.0"
            file.attrs["model_config"] = json.dumps(self.config_k2(outputs)).encode()
            box = file.create_group("model_weights")
            box.attrs["backend"], box.attrs["keras_version"] = b"tensorflow", b"2.15.0"
            store_names(box, "layer_names", self.order(outputs))
            for name in sorted(self.layers):
                trainable, other = self.variables(name)
                weights = {f"{name}/{key}:0": value for key, value in (trainable | other).items()}
                group = box.create_group(name)
                store_names(group, "weight_names", weights)
                for key, value in weights.items():
                    group[key] = self._stored(value)

    def variables(self, name):
        """What a layer trains, and the rest; those of an inner model by `layer/variable`."""
        if name in self.inner:
            found = {}, {}
            for inner in self.inner[name].order(self.ends[name]):
                pair = self.inner[name].variables(inner)
                for into, values in zip(found, pair, strict=True):
                    into |= {f"{inner}/{key}": value for key, value in values.items()}
            return found
        layer, weights = self.layers[name], self.weights.get(name, {})
        kernel = "depthwise_kernel" if layer["class_name"].startswith("Depthwise") else "kernel"
        first, last = (
            {kernel if role == "kernel" else role: weights[role] for role in roles}
            for roles in forward.variables(layer)
        )
        return (first, last) if layer["config"].get("trainable", True) else ({}, first | last)

    def order(self, outputs):
        """The names of the layers as Keras lists them."""
        return [forward.name_of(x) for x in forward.layers_of(self.config_k2(outputs))]

    # Keras 3, zip

    def config_k3(self, outputs, name="model"):
        unknown = any(None in shape for _, shape in self.inputs)

        def tensor(end):
            shape = list(self.shapes[end])
            if unknown:
                shape[:-1] = [None] * (len(shape) - 1)
            config = {"shape": [None, *shape], "dtype": "float32", "keras_history": [*end, 0]}
            return {"class_name": "__keras_tensor__", "config": config}

        layers = []
        for layer_name, layer in self._configs("batch_shape"):
            place = {"module": "keras.layers", "registered_name": None, "name": layer_name}
            if layer_name in self.inner:
                place = self.inner[layer_name].config_k3(self.ends[layer_name], layer_name)
                place["name"] = layer_name
            nodes = []
            for inputs, keywords in self.calls[layer_name]:
                tensors = [tensor(end) for end in inputs]
                merge = layer["class_name"] in {"Add", "Subtract", "Concatenate"}
                nodes.append({"args": [tensors] if merge else tensors, "kwargs": keywords})
            layers.append({**layer, **place, "inbound_nodes": nodes})
        config = self._functional(name, layers, [[*end, 0] for end in outputs])
        where = {"module": "keras.src.models.functional", "registered_name": "Functional"}
        return config | where

    def save_keras(self, path, outputs):
        with io.BytesIO() as stored:
            with h5py.File(stored, "w") as file:
                self._save_groups(file, outputs)
            weights = stored.getvalue()
        metadata = {"keras_version": "3.15.1", "date_saved": "2026-01-01@00:00:00"}
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("metadata.json", json.dumps(metadata))
            archive.writestr("config.json", json.dumps(self.config_k3(outputs)))
            archive.writestr("model.weights.h5", weights)

    def _save_groups(self, group, outputs):
        counts = Counter()
        for name in self.order(outputs):
            layer = self.layers[name]
            stem = forward.snake(layer["class_name"])
            number, counts[stem] = counts[stem], counts[stem] + 1
            child = group.create_group(f"layers/{stem}_{number}" if number else f"layers/{stem}")
            child.create_group("vars").attrs["name"] = name
            if name in self.inner:
                self.inner[name]._save_groups(child, self.ends[name])
            for index, value in enumerate(self.weights.get(name, {}).values()):
                child[f"vars/{index}"] = self._stored(value)
                if self.dtype == "bfloat16":
                    child[f"vars/{index}"].attrs["dtype"] = "bfloat16"
