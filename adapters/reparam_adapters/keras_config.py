"""The graph of a Keras model, read from its config as data; nothing is ever built from it.

Keras 2, TensorFlow's operator layers and Keras 3 write calls differently; here they are one list of
calls per layer. Every reference keeps a handle on the place it was read from, so that a rewritten
graph differs from the original in those places only.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from reparam.errors import CheckpointError
from reparam_adapters.keras_json import is_list, is_object
from reparam_adapters.keras_layers import MODELS
from reparam_adapters.strict_json import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reparam_adapters.keras_json import Json

DEEPEST = 64
_ADVICE = "Save the model again with the Keras that made it."


@dataclass(slots=True, eq=False)
class Ref:
    """A tensor of the graph where it is used: output `tensor` of call `node` of a layer.

    Attributes:
        place: The mutable list `[layer, node, tensor, …]` in the config.
        shape: What the config says of its axes, batch left out; None where it says nothing.
    """

    place: list[Any]
    shape: tuple[int | None, ...] | None = None

    @property
    def key(self) -> tuple[str, int, int]:
        """Layer, call and output."""
        return self.place[0], self.place[1], self.place[2]


@dataclass(slots=True, eq=False)
class Call:
    """One call of a layer: its inputs, and whether it asks for training behaviour."""

    inputs: list[Ref]
    training: bool = False
    plain: bool = True
    """Whether its positional inputs are tensors only, no constants."""


@dataclass(slots=True, eq=False)
class Layer:
    """A layer of a model.

    Attributes:
        name: As in the config.
        class_name: Its class.
        config: Its settings.
        raw: The object in the config that describes it.
        calls: In order; call `i` of the config's references is `calls[i - first]`.
        first: 1 for a nested model of Keras 2, whose call 0 made it.
        operator: Whether it is a bare operation of Keras 3, which has no weights group.
        model: The model it is, if it is one.
        twice: Whether it is the same object as a layer elsewhere in the file.
    """

    name: str
    class_name: str
    config: Json
    raw: Json
    calls: list[Call] = field(default_factory=list[Call])
    first: int = 0
    operator: bool = False
    model: Model | None = None
    twice: bool = False


@dataclass(slots=True, eq=False)
class Model:
    """A model: layers in the order of `model.layers`, and what leaves it.

    Attributes:
        layers: By name.
        outputs: The tensors it returns.
        raw: The list of layer objects in the config, from which removed layers are deleted.
        sequential: Whether the order of the list is the graph.
        inputs: References to its inputs.
    """

    layers: dict[str, Layer]
    outputs: list[Ref]
    raw: list[Json]
    sequential: bool
    inputs: list[Ref] = field(default_factory=list[Ref])


def parse_config(
    text: bytes | str, where: str, *, subclassed: bool = False
) -> tuple[Json, Model | None]:
    """Read a model's config.

    Args:
        text: What `model.to_json()` or a model file holds.
        where: File and part of it, for messages.
        subclassed: Whether a config without a graph is welcome too.

    Returns:
        The parsed JSON, and the model whose handles point into it; None for a subclassed one.

    Raises:
        CheckpointError: It is not the config of a Functional or Sequential model.
    """
    try:
        parsed: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{where}: not valid JSON: {error}. {_ADVICE}") from None
    if not is_object(parsed):
        raise CheckpointError(f"{where}: saw {shown(parsed)}, expected an object. {_ADVICE}")
    if subclassed and not is_graph(parsed):
        return parsed, None
    model = _parse_model(parsed, where, 0)
    _mark_shared([*_all_layers(model)])
    return parsed, model


def _all_layers(model: Model) -> Iterator[Layer]:
    for layer in model.layers.values():
        yield layer
        if layer.model is not None:
            yield from _all_layers(layer.model)


def _mark_shared(layers: list[Layer]) -> None:
    """Note the layers that Keras makes once and uses in several models, told by their number."""
    numbers: dict[int, list[Layer]] = {}
    for layer in layers:
        number = layer.raw.get("shared_object_id")
        if type(number) is int:
            numbers.setdefault(number, []).append(layer)
    for same in numbers.values():
        for layer in same:
            layer.twice = len(same) > 1


def is_graph(root: Json) -> bool:
    """Whether a model's object describes its graph; that of a subclassed model does not."""
    config = root.get("config")
    if root.get("class_name") not in MODELS:
        return is_object(config) and "layers" in config and "output_layers" in config
    return is_list(config) or (is_object(config) and "layers" in config)


def references(value: Any, names: set[str]) -> Iterator[Ref]:
    """Yield every reference to a tensor anywhere in a part of a config, outermost first."""
    if is_object(value):
        if value.get("class_name") == "__keras_tensor__":
            config: Any = value.get("config")
            place: Any = config.get("keras_history") if is_object(config) else None
            if is_object(config) and _is_reference(place, names):
                yield Ref(place, _shape(config.get("shape")))
            return
        for child in value.values():
            yield from references(child, names)
    elif is_list(value):
        own = _is_reference(value, names)
        if own:
            yield Ref(value)
        for child in value[3 if own else 0 :]:
            yield from references(child, names)


def _is_reference(value: Any, names: set[str]) -> bool:
    """Whether a value is `[layer, call, output]`, in Keras 2 perhaps with keyword arguments."""
    return (
        is_list(value)
        and len(value) in (3, 4)
        and isinstance(value[0], str)
        and type(value[1]) is int
        and type(value[2]) is int
        and all(is_object(keywords) for keywords in value[3:])
        and value[0] in names
    )


def _shape(value: Any) -> tuple[int | None, ...] | None:
    if not is_list(value):
        return None
    axes = value[1:]
    return tuple(axes) if all(a is None or type(a) is int for a in axes) else None


def _parse_model(root: Json, where: str, depth: int) -> Model:
    if depth > DEEPEST:
        raise CheckpointError(f"{where}: models nested deeper than {DEEPEST}. {_ADVICE}")
    if not is_graph(root):
        raise CheckpointError(
            f"{where}: class {shown(root.get('class_name'))}: a subclassed model, whose graph is "
            "in its code and not in the file. Save its weights (model.save_weights) and fuse those."
        )
    config: Any = root["config"]
    settings: Json = {} if is_list(config) else config
    raw: Any = config if is_list(config) else settings["layers"]
    if not is_list(raw) or not all(is_object(x) for x in raw):
        raise CheckpointError(f"{where}: 'layers' is {shown(raw)}, expected objects. {_ADVICE}")
    layers: dict[str, Layer] = {}
    for item in raw:
        layer = _parse_layer(item, where, depth)
        if layer.name in layers:
            raise CheckpointError(
                f"{where}: two layers are called {shown(layer.name)}, expected unique names. "
                f"{_ADVICE}"
            )
        layers[layer.name] = layer
    if "input_layers" not in settings:
        return _chain(layers, raw)
    _read_calls(layers, where)
    names = set(layers)
    outputs = list(references(settings.get("output_layers"), names))
    if not outputs:
        raise CheckpointError(f"{where}: the model has no outputs. {_ADVICE}")
    model = Model(layers, outputs, raw, sequential=False)
    model.inputs = list(references(settings.get("input_layers"), names))
    _number_calls(model)
    return model


def _read_calls(layers: dict[str, Layer], where: str) -> None:
    """Read the calls of all layers of a graph."""
    names = set(layers)
    for layer in layers.values():
        nodes: Any = layer.raw.get("inbound_nodes", [])
        if not is_list(nodes):
            raise CheckpointError(
                f"{where}: layer {shown(layer.name)}: inbound_nodes is {shown(nodes)}, expected a "
                f"list. {_ADVICE}"
            )
        layer.calls = [_parse_call(node, names) for node in nodes]


def _parse_layer(item: Json, where: str, depth: int) -> Layer:
    class_name: Any = item.get("class_name")
    config: Any = item.get("config")
    if not isinstance(class_name, str) or not (is_object(config) or is_list(config)):
        raise CheckpointError(f"{where}: saw {shown(item)}, expected a layer. {_ADVICE}")
    settings: Json = config if is_object(config) else {}
    name = item.get("name") or settings.get("name")
    if not isinstance(name, str) or not name:
        raise CheckpointError(f"{where}: {shown(item)}: expected a layer with a name. {_ADVICE}")
    nested = class_name in MODELS or "output_layers" in settings
    module = str(item.get("module") or "")
    return Layer(
        name=name,
        class_name=class_name,
        config=settings,
        raw=item,
        operator=".ops." in module or _is_operator(item),
        model=_parse_model(item, f"{where}: {name}", depth + 1) if nested else None,
    )


def _is_operator(item: Json) -> bool:
    """Whether an object without a module describes `a + b` of Keras 3, not a layer `Add`.

    HDF5 files of Keras 3 name no modules: the operator takes its tensors one by one, the layer as
    one list.
    """
    nodes: Any = item.get("inbound_nodes")
    first: Any = nodes[0] if is_list(nodes) and nodes else None
    if item.get("class_name") not in ("Add", "Subtract") or not is_object(first):
        return False
    arguments = first.get("args")
    return is_list(arguments) and len(arguments) > 1


def _parse_call(node: Any, names: set[str]) -> Call:
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


def _chain(layers: dict[str, Layer], objects: list[Json]) -> Model:
    """Give a Sequential model the calls that the order of its layers means."""
    previous: Layer | None = None
    for layer in layers.values():
        if previous is not None:
            layer.calls = [Call([Ref([previous.name, 0, 0])])]
        elif layer.class_name != "InputLayer":
            layer.calls = [Call([])]
        previous = layer
    outputs = [Ref([previous.name, 0, 0])] if previous else []
    model = Model(layers, outputs, objects, sequential=True)
    if layers:
        model.inputs = [Ref([next(iter(layers)), 0, 0])]
    return model


def _number_calls(model: Model) -> None:
    """Find at which number the references to each nested model begin: Keras 2 counts from 1."""
    used: dict[str, set[int]] = {}
    for ref in all_references(model):
        used.setdefault(ref.key[0], set()).add(ref.key[1])
    for layer in model.layers.values():
        numbers = used.get(layer.name, set())
        if layer.model is not None and numbers and 0 not in numbers:
            layer.first = 1


def all_references(model: Model) -> Iterator[Ref]:
    """Yield every reference of a model's own graph, nested models' left out."""
    for layer in model.layers.values():
        for call in layer.calls:
            yield from call.inputs
    yield from model.outputs
    yield from model.inputs
