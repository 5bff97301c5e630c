"""The tree of `.weights.h5` and `.keras`: a group per object, its variables numbered in `vars`.

Functional and Sequential models name the groups after classes and count them (`layers/conv2d_3`);
the attributes of other objects give theirs their names. Removing a layer renumbers those of its
class behind it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from reparam.errors import CheckpointError
from reparam.keras_names import renumbered
from reparam_adapters.keras_layers import fits, slots, snake_case
from reparam_adapters.keras_store import Stored, guess, role_name
from reparam_adapters.strict_json import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from reparam_adapters.hdf5_tree import Dataset
    from reparam_adapters.keras_config import Layer, Model

CONTAINERS = ("layers", "_layer_checkpoint_dependencies")
TRAINING_STATE = ("optimizer", "metrics")


class Node(Protocol):
    """A group of a file, or of several shards read as one."""

    @property
    def path(self) -> str:
        """Its place."""
        ...

    @property
    def attributes(self) -> Mapping[str, Any]:
        """Its attributes."""
        ...

    @property
    def groups(self) -> Mapping[str, Node]:
        """The groups in it."""
        ...

    @property
    def datasets(self) -> Mapping[str, Dataset]:
        """The datasets in it."""
        ...


@dataclass(frozen=True, slots=True)
class V3Store:
    """The weights of a file of this kind.

    Attributes:
        where: The file's name, for messages.
        root: Its tree.
        homes: Path of every object in this package to its group.
    """

    where: str
    root: Node
    homes: dict[str, Node]


def read_v3(root: Node, where: str) -> V3Store:
    """Take a tree for what it is; `name_v3` finds the objects in it."""
    return V3Store(where, root, {})


def name_v3(store: V3Store, model: Model | None) -> dict[str, Stored]:
    """Return the variables of a file by the names of this package.

    Args:
        store: The file; its `homes` are filled in.
        model: Its graph, if it is known.

    Raises:
        CheckpointError: The graph and the weights do not belong together.
    """
    found: dict[str, Stored] = {}
    if model is not None:
        _name_model(store, store.root, model, "", found)
    else:
        _name_tree(store, store.root, "", found)
    return found


def variables(group: Node) -> list[tuple[str, Dataset]]:
    """Return the variables of an object in order."""
    own = group.groups.get("vars")
    if own is None:
        return []
    return sorted(own.datasets.items(), key=lambda v: (len(v[0]), v[0]))


def _name_model(
    store: V3Store, group: Node, model: Model, prefix: str, found: dict[str, Stored]
) -> None:
    store.homes[prefix.removesuffix(".")] = group
    container = next((group.groups[c] for c in CONTAINERS if c in group.groups), None)
    seats = _seats(container, store.where) if container is not None else {}
    for stem, layers in _by_class(model).items():
        places = seats.get(stem, [])
        if len(places) != len(layers):
            stored = any(any(True for _ in datasets_below(p)) for p in places)
            if stored or any(_has_variables(x) for x in layers):
                raise CheckpointError(
                    f"{store.where}: the config has {len(layers)} layers of the kind "
                    f"{shown(stem)}, the weights have {len(places)}. They do not belong together: "
                    "give the config of this model."
                )
            continue
        for layer, place in zip(layers, places, strict=True):
            _check_name(store, layer, place)
            _name_layer(store, layer, place, f"{prefix}{layer.name}", found)
    for stem, places in seats.items():
        if stem not in _by_class(model) and any(
            any(True for _ in datasets_below(p)) for p in places
        ):
            raise CheckpointError(
                f"{store.where}: the weights have layers of the kind {shown(stem)}, the config has "
                "none. They do not belong together: give the config of this model."
            )


def _seats(container: Node, where: str) -> dict[str, list[Node]]:
    """Sort the groups of a container by class, in the order of their numbers."""
    seats: dict[str, list[tuple[int, Node]]] = {}
    for name, group in container.groups.items():
        stem, number = counted(name)
        seats.setdefault(stem, []).append((number, group))
    for stem, places in seats.items():
        if len({n for n, _ in places}) != len(places):
            raise CheckpointError(
                f"{where}: groups of {shown(stem)} are numbered twice. Save again."
            )
    return {stem: [g for _, g in sorted(p, key=lambda x: x[0])] for stem, p in seats.items()}


def counted(name: str) -> tuple[str, int]:
    """Return the class in the name of a group, and its number."""
    found = re.fullmatch(r"(.*?)_(\d{1,9})", name)
    return (found[1], int(found[2])) if found else (name, 0)


def _by_class(model: Model) -> dict[str, list[Layer]]:
    classes: dict[str, list[Layer]] = {}
    for layer in model.layers.values():
        if layer.operator or (model.sequential and layer.class_name == "InputLayer"):
            continue
        # a class whose own name ends in a number cannot be told from a counted one
        stem = counted(snake_case(layer.class_name.rpartition(">")[2]))[0]
        classes.setdefault(stem, []).append(layer)
    return classes


def _has_variables(layer: Layer) -> bool:
    return layer.model is not None or bool(slots(layer.class_name, layer.config))


def _check_name(store: V3Store, layer: Layer, place: Node) -> None:
    """Compare the name that Keras since 3.6 writes beside the variables."""
    own = place.groups.get("vars")
    name = own.attributes.get("name") if own is not None else None
    if isinstance(name, str) and name != layer.name:
        raise CheckpointError(
            f"{store.where}: group {shown(place.path)} holds the weights of {shown(name)}, the "
            f"config says {shown(layer.name)}. They do not belong together."
        )


def _name_layer(
    store: V3Store, layer: Layer, place: Node, path: str, found: dict[str, Stored]
) -> None:
    store.homes[path] = place
    if layer.model is not None:
        _name_model(store, place, layer.model, f"{path}.", found)
        return
    wanted = slots(layer.class_name, layer.config)
    if wanted is None:
        _keep(place, path, found)
        return
    own = variables(place)
    if len(own) != len(wanted):
        raise CheckpointError(
            f"{store.where}: layer {shown(path)} ({layer.class_name}) should have {len(wanted)} "
            f"variables, saw {len(own)} in {shown(place.path)}. Config and weights do not belong "
            "together."
        )
    for slot, (_, data) in zip(wanted, own, strict=True):
        name = role_name(path, slot.part, slot.role)
        if not fits(layer.class_name, layer.config, slot, data.shape):
            raise CheckpointError(
                f"{store.where}: {name} of layer class {layer.class_name} is stored with the shape "
                f"{data.shape}, which is not what its settings say. Config and weights do not "
                "belong together."
            )
        found[name] = Stored(name, slot.kind, data)


def _keep(place: Node, path: str, found: dict[str, Stored]) -> None:
    """Add the variables of an object that nobody asks for, under their own numbers."""
    for data in datasets_below(place):
        name = path + data.path.removeprefix(place.path).replace("/", ".")
        found[name] = Stored(name, "vector", data)


def datasets_below(group: Node) -> Iterator[Dataset]:
    """Yield every dataset below a group."""
    yield from group.datasets.values()
    for child in group.groups.values():
        yield from datasets_below(child)


def _name_tree(store: V3Store, root: Node, prefix: str, found: dict[str, Stored]) -> None:
    """Name everything by its place in the tree, containers left out."""
    flat = _flat_names(root)
    stack: list[tuple[Node, str]] = [(root, prefix)]
    while stack:
        group, path = stack.pop()
        if path in store.homes:
            raise CheckpointError(
                f"{store.where}: two objects are called {shown(path)}. Give --config, the file "
                "that model.to_json() writes."
            )
        store.homes[path] = group
        own = variables(group)
        parts = guess(path, [n for n, _ in own], [d.shape for _, d in own])
        for (_, data), (part, role, kind) in zip(own, parts, strict=True):
            name = role_name(path, part, role)
            found[name] = Stored(name, kind, data)
        for name, child in group.groups.items():
            if name == "vars" or (group is root and name in TRAINING_STATE):
                continue
            if name in CONTAINERS:
                called = flat or renumbered(child.groups)
                stack += [(g, _join(path, called[n])) for n, g in child.groups.items()]
            else:
                stack.append((child, _join(path, name)))


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _flat_names(root: Node) -> dict[str, str]:
    """Return the layers' own names where the file of a flat model holds them: Keras since 3.6."""
    if (
        not {*root.groups} <= {*CONTAINERS[:1], "vars", *TRAINING_STATE}
        or "layers" not in root.groups
    ):
        return {}
    names: dict[str, str] = {}
    for key, group in root.groups["layers"].groups.items():
        own = group.groups.get("vars")
        name = own.attributes.get("name") if own is not None else None
        if not isinstance(name, str) or {*group.groups} != {"vars"}:
            return {}
        names[key] = name
    return names if len(set(names.values())) == len(names) else {}
