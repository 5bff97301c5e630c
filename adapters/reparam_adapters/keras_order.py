"""The order in which Keras lists the layers of a graph, by which it stores and loads weights.

Keras works it out anew whenever it builds a model: by depth, the longest way to an output, and for
equal depth in the order in which a walk from the outputs meets the layers (`map_graph` of Keras 3,
`_map_graph_network` of Keras 2). Taking layers out changes depths, and so the order of the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reparam_adapters.keras_store import walk_layers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reparam_adapters.keras_calls import Ref
    from reparam_adapters.keras_config import Model

Node = tuple[str, int]
"""A call of a layer."""


def sort_layers(model: Model) -> None:
    """Bring the layers of a model into Keras' order, in its record and in its config."""
    if model.sequential:
        return
    rank = {name: i for i, name in enumerate(_order(model))}
    last = len(rank)
    model.layers = dict(sorted(model.layers.items(), key=lambda item: rank.get(item[0], last)))
    place = {id(layer.raw): i for i, layer in enumerate(model.layers.values())}
    model.raw.sort(key=lambda item: place[id(item)])


def sort_all(model: Model) -> None:
    """Bring the layers of a model and of all models within it into Keras' order."""
    sort_layers(model)
    for layer in model.layers.values():
        if layer.model is not None:
            sort_all(layer.model)


def _order(model: Model) -> list[str]:
    """Return the names of all layers that lead to an output, in Keras' order."""
    finished, met = _walk(model)
    nodes: dict[Node, int] = {}
    layers: dict[str, int] = {}
    for node in reversed(finished):
        depth = max(nodes.get(node, 0), layers.get(node[0], 0))
        layers[node[0]] = nodes[node] = depth
        for ref in _inputs(model, node):
            before = _node(ref)
            nodes[before] = max(depth + 1, nodes.get(before, 0))
    for ref in model.inputs:  # those that lead nowhere
        layers.setdefault(ref.key[0], 0)
        met.setdefault(ref.key[0], -1)
    return sorted(layers, key=lambda name: (-layers[name], met[name]))


def _walk(model: Model) -> tuple[list[Node], dict[str, int]]:
    """Go from the outputs to the inputs, depth first.

    Returns:
        The calls, each behind all that lead to it, and the order in which layers were met.

    Raises:
        ValueError: The graph goes round in a ring.
    """
    finished: dict[Node, None] = {}
    met: dict[str, int] = {}
    for output in model.outputs:
        stack: list[tuple[Node, Iterator[Ref]]] = []
        entered: set[Node] = set()
        ahead: Node | None = _node(output)
        while ahead is not None or stack:
            if ahead is not None and ahead not in finished and ahead not in entered:
                met.setdefault(ahead[0], len(met))
                entered.add(ahead)
                stack.append((ahead, iter(_inputs(model, ahead))))
            elif ahead in entered and ahead not in finished:
                raise ValueError(f"layer {ahead[0]!r} is called on its own output")
            ahead = None
            if not stack:
                break
            node, rest = stack[-1]
            ref = next(rest, None)
            if ref is None:
                finished[node] = None
                stack.pop()
            else:
                ahead = _node(ref)
    return list(finished), met


def _node(ref: Ref) -> Node:
    name, number, _ = ref.key
    return name, number


def _inputs(model: Model, node: Node) -> list[Ref]:
    calls = model.layers[node[0]].calls
    return calls[node[1]].inputs if 0 <= node[1] < len(calls) else []


def layer_ranks(model: Model | None) -> dict[str, int]:
    """Return the place of every layer, those of nested models included, in the order of weights."""
    return {} if model is None else {path: i for i, (path, _) in enumerate(walk_layers(model))}


def frozen_layers(model: Model | None) -> set[str]:
    """Return the paths of layers whose variables Keras lists last because they are not trained."""
    if model is None:
        return set()
    return {path for path, layer in walk_layers(model) if layer.config.get("trainable") is False}


def is_late(tensor: str, frozen: set[str]) -> bool:
    """Whether a variable comes behind the trained ones of the layer that lists it."""
    path, _, role = tensor.rpartition(".")
    parts = path.split(".")
    above = (".".join(parts[: i + 1]) for i in range(len(parts)))
    return role in ("running_mean", "running_var") or not frozen.isdisjoint(above)
