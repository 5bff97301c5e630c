"""Cleaning a config of Keras 2 up so that Keras 3 loads it.

What Keras 3 stumbles over, each found by loading files of TensorFlow 2.3 to 2.15: settings that
depthwise, separable and transposed convolutions inherited from Conv and never used; references to
nested models, which Keras 2 counts from 1; operator layers; policies of mixed precision; the class
name `Model`; `time_major` of recurrent layers; a list around a single input or output, which it
then expects to be called with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reparam_adapters.keras_config import Model, all_references
from reparam_adapters.keras_json import is_list, is_object
from reparam_adapters.keras_layers import LINEAR
from reparam_adapters.keras_sums import plus_or_minus

if TYPE_CHECKING:
    from reparam_adapters.keras_config import Layer
    from reparam_adapters.keras_json import Json

_INHERITED = ("groups", "kernel_initializer", "kernel_regularizer", "kernel_constraint")


def for_keras3(root: Json, model: Model) -> None:
    """Change the config of a model of Keras 2, in place.

    Args:
        root: The parsed config.
        model: The model read from it.
    """
    if root.get("class_name") == "Model":
        root["class_name"] = "Functional"
    outputs = {id(ref) for ref in model.outputs}
    for ref in all_references(model):
        functional = model.layers[ref.key[0]].class_name != "Sequential"
        if ref.base and not (functional and id(ref) in outputs):  # there Keras 3 counts alike
            ref.place[1] -= ref.base
            ref.base = 0
    settings: Any = root.get("config")
    for key in ("input_layers", "output_layers"):
        ends: Any = settings.get(key) if is_object(settings) else None
        if is_list(ends) and len(ends) == 1 and is_list(ends[0]):
            settings[key] = ends[0]
    for layer in model.layers.values():
        _clean(layer)
        if layer.model is not None:
            for_keras3(layer.raw, layer.model)


def _clean(layer: Layer) -> None:
    family = LINEAR.get(layer.class_name, ("", 0))[0]
    if family in ("depthwise", "separable"):
        for key in _INHERITED:
            layer.config.pop(key, None)
    elif family == "transposed":
        layer.config.pop("groups", None)
    _drop(layer.config, "time_major")
    policy: Any = layer.config.get("dtype")
    if is_object(policy):
        settings = policy.get("config")
        name = settings.get("name") if is_object(settings) else None
        if isinstance(name, str):
            layer.config["dtype"] = name
    operation = plus_or_minus(layer)
    if operation is not None and layer.class_name in ("TFOpLambda", "TensorFlowOpLayer"):
        layer.raw["class_name"] = operation
        for key in set(layer.config) - {"name", "trainable", "dtype"}:
            del layer.config[key]
        layer.raw["inbound_nodes"] = [[[*ref.key, {}] for ref in layer.calls[0].inputs]]


def _drop(config: Any, key: str) -> None:
    """Take a setting out of a layer and of the layers that it wraps."""
    if is_object(config):
        config.pop(key, None)
        for value in config.values():
            _drop(value, key)
    elif is_list(config):
        for value in config:
            _drop(value, key)


def unknown_operators(model: Model) -> list[str]:
    """Return the operator layers that Keras 3 has no class for."""
    found = [
        name
        for name, layer in model.layers.items()
        if layer.class_name in ("TFOpLambda", "TensorFlowOpLayer") and not plus_or_minus(layer)
    ]
    for layer in model.layers.values():
        found += unknown_operators(layer.model) if layer.model is not None else []
    return found
