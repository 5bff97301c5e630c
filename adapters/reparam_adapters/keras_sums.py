"""Which layers of a Keras model add tensors, whatever they are called."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from reparam_adapters.keras_json import is_object

if TYPE_CHECKING:
    from reparam_adapters.keras_config import Layer


def plus_or_minus(layer: Layer) -> str | None:
    """Return whether a layer adds or subtracts tensors, whatever its class is called.

    Returns:
        `Add`, `Subtract`, or None.
    """
    if len(layer.calls) != 1 or not layer.calls[0].plain or len(layer.calls[0].inputs) < 2:  # noqa: PLR2004  a sum has two terms
        return None
    name = layer.class_name
    if name == "TFOpLambda":
        function = str(layer.config.get("function", "")).rpartition(".")[2]
        name = {"add": "Add", "subtract": "Subtract", "sub": "Subtract"}.get(function, "")
    elif name == "TensorFlowOpLayer":
        if layer.config.get("constants"):
            return None
        name = {"AddV2": "Add", "Add": "Add", "Sub": "Subtract"}.get(_operation(layer), "")
    if name == "Add":
        return name
    return name if name == "Subtract" and len(layer.calls[0].inputs) == 2 else None  # noqa: PLR2004  minuend, subtrahend


def signs_of(layer: Layer) -> list[int] | None:
    """Return the signs with which a layer adds its inputs, or None if it does something else."""
    operation = plus_or_minus(layer)
    if operation is None:
        return None
    return [1, -1] if operation == "Subtract" else [1] * len(layer.calls[0].inputs)


def _operation(layer: Layer) -> str:
    """Return the operation of a layer that TensorFlow 2.3 made of a bare operator."""
    node: Any = layer.config.get("node_def")
    if isinstance(node, str):
        try:
            node = json.loads(node)
        except (ValueError, RecursionError):
            return ""
    return str(node.get("op")) if is_object(node) else ""
