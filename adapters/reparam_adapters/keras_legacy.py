"""The HDF5 that every Keras writes and reads: a group per layer, ordered lists of names.

Keras loads such files by position, so what is new goes where what it replaces was, and a bias
directly behind its kernel.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING

from reparam.errors import CheckpointError
from reparam.keras_names import count_from_zero
from reparam_adapters.hdf5_tree import Dataset
from reparam_adapters.keras_layers import fits, slots
from reparam_adapters.keras_store import (
    Stored,
    guess,
    role_name,
    walk_layers,
)
from reparam_adapters.strict_json import shown

if TYPE_CHECKING:
    from reparam_adapters.hdf5_tree import Group
    from reparam_adapters.keras_config import Layer, Model

TOP = "top_level_model_weights"


@dataclass(frozen=True, slots=True)
class Entry:
    """One weight of a layer group: its name in the list, and where it is stored."""

    name: str
    data: Dataset

    @property
    def variable(self) -> str:
        """What Keras calls it, without the layer and `:0`."""
        return self.name.removesuffix(":0").rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class LegacyStore:
    """The weights of a legacy file.

    Attributes:
        where: The file's name, for messages.
        base: The group that holds the layers' groups.
        layers: Every layer with its weights, in the order of the file.
    """

    where: str
    base: Group
    layers: dict[str, list[Entry]]


def read_legacy(base: Group, where: str) -> LegacyStore:
    """Read the lists of names and find every weight they name.

    Raises:
        CheckpointError: A list is missing, names something twice, or names what is not there.
    """
    names = base.names("layer_names") or ()
    layers: dict[str, list[Entry]] = {}
    for name in names:
        group = base.find(name)
        if group is None or isinstance(group, Dataset):
            raise CheckpointError(
                f"{where}: layer_names lists {shown(name)}, but there is no such group. The file "
                "is incomplete: save it again."
            )
        if name in layers:
            raise CheckpointError(
                f"{where}: layer_names lists {shown(name)} twice. Save it again with unique names."
            )
        layers[name] = _entries(group, name, where)
    top = base.groups.get(TOP)
    if top is not None and TOP not in layers and top.names("weight_names"):
        layers[TOP] = _entries(top, TOP, where)
    return LegacyStore(where, base, layers)


def _entries(group: Group, layer: str, where: str) -> list[Entry]:
    entries: list[Entry] = []
    seen: set[str] = set()
    names = group.names("weight_names")
    if names is None:
        raise CheckpointError(
            f"{where}: layer {shown(layer)} has no weight_names. The file is incomplete: saving "
            "it probably ended early. Save it again."
        )
    for name in names:
        if name in seen:
            raise CheckpointError(
                f"{where}: layer {shown(layer)}: weight_names lists {shown(name)} twice. Keras "
                "stops with 'name already exists' when it saves such a model and leaves half a "
                "file behind. Give the layers names of their own, or save with "
                "model.save_weights('x.weights.h5')."
            )
        seen.add(name)
        data = group.find(name)
        if not isinstance(data, Dataset):
            raise CheckpointError(
                f"{where}: layer {shown(layer)}: weight_names lists {shown(name)}, but it is not "
                "in the file. Saving it ended early: save it again."
            )
        entries.append(Entry(name, data))
    return entries


def name_legacy(store: LegacyStore, model: Model | None) -> dict[str, Stored]:
    """Return the variables of a legacy file by the names of this package.

    Args:
        store: The file.
        model: Its graph, if it is known.

    Raises:
        CheckpointError: The graph and the weights do not belong together.
    """
    if model is None:
        return _name_by_paths(store)
    found: dict[str, Stored] = {}
    for name, layer in model.layers.items():
        if name in store.layers:
            _name_by_config(store, name, layer, found)
    stored = [name for name, entries in store.layers.items() if entries and name in model.layers]
    wanted = [name for name in model.layers if name in stored]
    if stored != wanted:
        odd = next(s for s, w in zip(stored, wanted, strict=True) if s != w)
        raise CheckpointError(
            f"{store.where}: the weights of {shown(odd)} do not lie where Keras loads them from: "
            "it goes by the order of the model's layers, not by their names. Save the model again "
            "with the Keras that made it."
        )
    for name, entries in store.layers.items():
        if name not in model.layers:
            if name != TOP and entries:
                raise CheckpointError(
                    f"{store.where}: the weights have a layer {shown(name)} that the config does "
                    "not. They do not belong together: give the config of this model."
                )
            _keep(found, name, entries)
    return found


def _keep(found: dict[str, Stored], path: str, entries: list[Entry]) -> None:
    """Add weights that nobody asks for, under their own names."""
    for entry in entries:
        name = f"{path}.{entry.name.removesuffix(':0').replace('/', '.')}"
        found[name] = Stored(name, "vector", entry.data)


def _name_by_config(store: LegacyStore, name: str, layer: Layer, found: dict[str, Stored]) -> None:
    """Find the variables of a layer, or of all layers of a nested model, in one group."""
    left = list(store.layers[name])
    inner = [(name, layer)] if layer.model is None else list(walk_layers(layer.model, f"{name}."))
    for path, part in inner:
        wanted = slots(part.class_name, part.config)
        if wanted is None:
            continue
        for slot in wanted:
            entry = _pick(left, path, part, slot.names, nested=layer.model is not None)
            if entry is None or not fits(part.class_name, part.config, slot, entry.data.shape):
                raise CheckpointError(
                    f"{store.where}: layer {shown(path)} ({part.class_name}) should have a "
                    f"{slot.names[0]} of the size its settings say, but group {shown(name)} lists "
                    f"{entry and entry.data.shape} for it. Config and weights do not belong "
                    "together."
                )
            left.remove(entry)
            called = role_name(path, slot.part, slot.role)
            found[called] = Stored(called, slot.kind, entry.data)
    _keep(found, name, left)


def _pick(
    entries: list[Entry], path: str, layer: Layer, variables: tuple[str, ...], *, nested: bool
) -> Entry | None:
    """Return the weight that is this variable of this layer.

    Layers of nested models may share a name, and frozen ones are listed behind all others: the one
    whose path agrees furthest up is meant.
    """
    whole = path.replace(".", "/").split("/")
    found: list[tuple[int, int, Entry]] = []
    for entry in entries:
        stem = entry.name.removesuffix(":0").rpartition("/")[0]
        ours = stem == layer.name or stem.endswith(f"/{layer.name}")
        if entry.variable in variables and (ours or not nested):
            parts = stem.split("/")
            pairs = zip(reversed(parts), reversed(whole), strict=False)
            agree = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
            found.append((agree, -len(parts), entry))
    return max(found, key=lambda f: f[:2])[2] if found else None


def _name_by_paths(store: LegacyStore) -> dict[str, Stored]:
    below = {
        (layer, entry.name): _below(layer, entry.name)
        for layer, entries in store.layers.items()
        for entry in entries
    }
    deep = any(len(names) > 1 for names in below.values())
    paths = {key: (*key[0].split("/"), *names) for key, names in below.items()}
    shorter = count_from_zero([p[:-1] for p in paths.values()], top=deep)
    grouped: dict[str, list[Entry]] = {}
    for layer, entries in store.layers.items():
        for entry in entries:
            path = paths[layer, entry.name][:-1]
            grouped.setdefault(shorter[path], []).append(entry)
    found: dict[str, Stored] = {}
    for called_path, entries in grouped.items():
        names = [e.variable for e in entries]
        parts = guess(called_path, names, [e.data.shape for e in entries])
        for entry, (part, role, kind) in zip(entries, parts, strict=True):
            called = role_name(called_path, part, role)
            if called in found:
                raise CheckpointError(
                    f"{store.where}: {shown(entry.data.path)} and {shown(found[called].data.path)} "
                    "are variables of the same name. Give the layers names of their own."
                )
            found[called] = Stored(called, kind, entry.data)
    return found


def _below(layer: str, weight: str) -> tuple[str, ...]:
    """Return the names below a layer, down to the variable's.

    Keras may put the names of the model and of the layer in front once more.
    """
    plain = weight.removesuffix(":0")
    marked = f"/{plain}/"
    if f"/{layer}/" in marked:
        plain = marked[marked.index(f"/{layer}/") + len(layer) + 2 : -1]
    return tuple(plain.split("/"))
