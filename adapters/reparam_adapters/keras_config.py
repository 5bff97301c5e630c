"""The graph of a Keras model, read from its config as data; nothing is ever built from it.

Whatever dialect it is written in, it is one list of calls per layer here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from reparam.errors import CheckpointError
from reparam_adapters.keras_calls import Call, Ref, parse_call, references
from reparam_adapters.keras_json import is_list, is_object
from reparam_adapters.keras_layers import LINEAR, MODELS, NORMS
from reparam_adapters.strict_json import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reparam_adapters.keras_json import Json

DEEPEST = 64
_ADVICE = "Save the model again with the Keras that made it."


@dataclass(slots=True, eq=False)
class Layer:
    """A layer of a model.

    Attributes:
        name: As in the config.
        class_name: Its class.
        config: Its settings.
        raw: The object in the config that describes it.
        calls: In order.
        operator: Whether it is a bare operation of Keras 3, which has no weights group.
        model: The model it is, if it is one.
        twice: Whether it is the same object as a layer elsewhere in the file.
    """

    name: str
    class_name: str
    config: Json
    raw: Json
    calls: list[Call] = field(default_factory=list[Call])
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
    _check_references(model)
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
        layer.calls = [parse_call(node, names) for node in nodes]


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
        class_name=_full_class(item, class_name),
        config=settings,
        raw=item,
        operator=".ops." in module or _is_operator(item),
        model=_parse_model(item, f"{where}: {name}", depth + 1) if nested else None,
    )


def _full_class(item: Json, class_name: str) -> str:
    """Return a layer's class; one of somebody's own keeps the name it is registered under.

    Its short name may be that of a layer of Keras.
    """
    registered: Any = item.get("registered_name")
    module: Any = item.get("module")
    if isinstance(registered, str) and ">" in registered:
        return registered
    if isinstance(module, str) and module.partition(".")[0] not in (
        "keras",
        "tf_keras",
        "tensorflow",
    ):
        return f"{module}>{class_name}"
    return class_name


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
    """Find at which number the references to each nested model begin."""
    nodes = [n for layer in model.layers.values() for n in layer.raw.get("inbound_nodes", [])]
    if any(is_object(node) for node in nodes):  # Keras 3
        for ref in model.outputs:
            layer = model.layers[ref.key[0]]
            counted = layer.model is not None and layer.class_name != "Sequential"
            ref.base = int(counted and ref.key[1] > 0)
        return
    used: dict[str, list[Ref]] = {}
    for ref in all_references(model):
        used.setdefault(ref.key[0], []).append(ref)
    for name, refs in used.items():
        if model.layers[name].model is not None and all(ref.key[1] > 0 for ref in refs):
            for ref in refs:
                ref.base = 1


def _check_references(model: Model) -> None:
    """Refuse references to calls that there are not, and calls without inputs.

    Raises:
        ValueError: Naming the layer.
    """
    for ref in all_references(model):
        name, number, tensor = ref.key
        layer = model.layers[name]
        single = layer.class_name in LINEAR or layer.class_name in NORMS
        if not 0 <= number < max(len(layer.calls), 1) or tensor < 0 or (single and tensor):
            raise ValueError(f"a reference to output {tensor} of call {number} of {name!r}")
    for layer in model.layers.values():
        if layer.class_name != "InputLayer" and any(not call.inputs for call in layer.calls):
            raise ValueError(f"layer {layer.name!r} is called with nothing that is known")


def all_references(model: Model) -> Iterator[Ref]:
    """Yield every reference of a model's own graph, nested models' left out."""
    for layer in model.layers.values():
        for call in layer.calls:
            yield from call.inputs
    yield from model.outputs
    yield from model.inputs
