"""Calls of layers in a Keras config, and references to the tensors they take.

Keras 2, TensorFlow's operator layers and Keras 3 write them differently. Every reference keeps a
handle on the place it was read from, so that a rewritten graph differs in those places only.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reparam_adapters.keras_json import Json, is_list, is_object

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(slots=True, eq=False)
class Ref:
    """A tensor of the graph where it is used: output `tensor` of call `node` of a layer.

    Attributes:
        place: The mutable list `[layer, node, tensor, …]` in the config.
        shape: What the config says of its axes, batch left out; None where it says nothing.
        base: The number that stands for the first call: 1 for nested models, whose making Keras 2
            counts as a call; Keras 3 does so only where it lists the outputs of a model.
    """

    place: list[Any]
    shape: tuple[int | None, ...] | None = None
    base: int = 0

    @property
    def key(self) -> tuple[str, int, int]:
        """Layer, call (counted from 0) and output."""
        return self.place[0], self.place[1] - self.base, self.place[2]


@dataclass(slots=True, eq=False)
class Call:
    """One call of a layer: its inputs, and whether it asks for training behaviour."""

    inputs: list[Ref]
    training: bool = False
    plain: bool = True
    """Whether its positional inputs are tensors only, no constants."""


def references(value: Any, names: set[str], *, keywords: bool = False) -> Iterator[Ref]:
    """Yield every reference to a tensor anywhere in a part of a config, in Keras' order.

    Args:
        value: A part of a config.
        names: The layers there are.
        keywords: Whether it is the keyword arguments of a call of Keras 2, which go as they are
            written; all other dictionaries go by their keys.
    """
    if is_object(value):
        if value.get("class_name") == "__keras_tensor__":
            config: Any = value.get("config")
            place: Any = config.get("keras_history") if is_object(config) else None
            if not is_object(config) or not _is_reference(place, names):
                raise ValueError(f"a reference to {place!r}, which is no layer of the model")
            yield Ref(place, _shape(config.get("shape")))
            return
        for _, child in value.items() if keywords else sorted(value.items()):
            yield from references(child, names)
    elif is_list(value):
        own = _is_reference(value, names)
        if not own and _is_reference(value, None) and len(value) > 3 and value[0][:1] != "_":  # noqa: PLR2004  with keywords
            raise ValueError(f"a reference to {value[0]!r}, which is no layer of the model")
        if own:
            yield Ref(value)
        for child in value[3 if own else 0 :]:
            yield from references(child, names, keywords=own)


def _is_reference(value: Any, names: set[str] | None) -> bool:
    """Whether a value is `[layer, call, output]`, in Keras 2 perhaps with keyword arguments.

    Args:
        value: Any part of a config.
        names: The layers there are; None for any.
    """
    return (
        is_list(value)
        and len(value) in (3, 4)
        and isinstance(value[0], str)
        and type(value[1]) is int
        and type(value[2]) is int
        and all(is_object(keywords) for keywords in value[3:])
        and (names is None or value[0] in names)
    )


def _shape(value: Any) -> tuple[int | None, ...] | None:
    if not is_list(value):
        return None
    axes = value[1:]
    return tuple(axes) if all(a is None or type(a) is int for a in axes) else None


def parse_call(node: Any, names: set[str]) -> Call:
    """Read one call of a layer.

    Args:
        node: What `inbound_nodes` holds for it.
        names: The layers there are.
    """
    inputs = list(references(node, names))
    if is_object(node):
        given: Any = node.get("kwargs")
        kwargs: Json = given if is_object(given) else {}
        arguments: Any = node.get("args")
        inner: Any = arguments[0] if is_list(arguments) and len(arguments) == 1 else arguments
        items = inner if is_list(inner) else [inner]
        plain = all(next(references(i, names), None) is not None for i in items)
        return Call(inputs, training=_truthy(kwargs.get("training")), plain=plain)
    training = any(_truthy(kwargs.get("training")) for kwargs in _keywords(node))
    constants = "_CONSTANT_VALUE" in json.dumps(node)
    return Call(inputs, training=training, plain=not constants)


def _keywords(node: Any) -> Iterator[Json]:
    """Yield the keyword arguments that Keras 2 puts behind the references of a call."""
    if is_object(node):
        yield node
    elif is_list(node):
        for child in node:
            yield from _keywords(child)


def _truthy(training: Any) -> bool:
    return training not in (None, False, 0)
