"""Laying out a changed `.weights.h5` tree: gaps that removed layers leave in the counting close."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reparam_adapters.keras_store import Change, Item, Layout, Stored
from reparam_adapters.keras_v3 import TRAINING_STATE, counted, datasets_below

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reparam.layouts import Kind
    from reparam_adapters.hdf5_tree import Dataset
    from reparam_adapters.keras_v3 import Node, V3Store


def v3_layout(store: V3Store, named: dict[str, Stored], change: Change) -> Layout:
    """Lay out a changed file of this kind.

    Args:
        store: The source.
        named: Its variables by name.
        change: What becomes of them.
    """
    layout = Layout({}, [])
    by_path = {stored.data.path: stored for stored in named.values()}
    paths = {id(group): path for path, group in store.homes.items()}
    fresh: dict[str, list[str]] = {}
    for new in change.beside:
        fresh.setdefault(new.rpartition(".")[0], []).append(new)

    alive = {store.homes[parent].path for parent in fresh}

    def gone(group: Node) -> bool:
        if paths.get(id(group)) in change.dropped:
            return True
        if any(f"{home}/".startswith(f"{group.path}/") for home in alive):
            return False
        data = list(datasets_below(group))
        return bool(data) and all(
            d.path in by_path and by_path[d.path].name in change.gone for d in data
        )

    def copy(group: Node, target: str) -> None:
        layout.groups[target] = dict(group.attributes)
        path = paths.get(id(group))
        for new in fresh.get(path, []) if path is not None else []:
            _new_layer(layout, change, named, target, new)
        for name, data in group.datasets.items():
            stored = by_path.get(data.path)
            if stored is None or stored.name not in change.gone:
                place = f"{target}/{name}"
                _copy_variable(layout, change, named, target=place, stored=stored, data=data)
        left = {
            n: g
            for n, g in group.groups.items()
            if not gone(g) and not (group is store.root and n in TRAINING_STATE)
        }
        # every object has its variables in 'vars'; what has none is a list of objects
        listed = group.path != "" and "vars" not in group.groups and not group.datasets
        homes = {n: paths.get(id(g), "") for n, g in left.items()}
        ranks = {n: change.after[home] for n, home in homes.items() if home in change.after}
        called = _closed_up(group, left, ranks) if listed else {n: n for n in left}
        for name, child in left.items():
            copy(child, _below(target, called[name]))

    copy(store.root, "")
    return layout


def _below(target: str, name: str) -> str:
    return f"{target}/{name}" if target else name


def _closed_up(
    container: Node, left: Mapping[str, Node], ranks: Mapping[str, int]
) -> dict[str, str]:
    """Give the remaining groups of each class the first numbers that the class had.

    Args:
        container: The groups as they were.
        left: Those that remain.
        ranks: Their place in the order of the layers, where a graph tells.
    """
    numbers: dict[str, list[tuple[int, str]]] = {}
    for name in container.groups:
        stem, number = counted(name)
        numbers.setdefault(stem, []).append((number, name))
    called: dict[str, str] = {}
    for places in numbers.values():
        places.sort()
        if places[0][0]:  # somebody's own names: Keras begins to count with the bare name
            called |= {name: name for _, name in places if name in left}
            continue
        kept = [name for _, name in places if name in left]
        if all(name in ranks for name in kept):
            kept.sort(key=ranks.__getitem__)
        called |= {name: seat for name, (_, seat) in zip(kept, places, strict=False)}
    return called


def _copy_variable(
    layout: Layout,
    change: Change,
    named: dict[str, Stored],
    *,
    target: str,
    stored: Stored | None,
    data: Dataset,
) -> None:
    """Add a variable of the source, and behind the last one of a layer the bias it did not have."""
    if stored is None:
        layout.items.append(Item(target, "", "vector", data.shape, data, copied=True))
        return
    copied = stored.name not in change.made
    layout.items.append(Item(target, stored.name, stored.kind, data.shape, data, copied))
    path, _, role = stored.name.rpartition(".")
    bias = f"{path}.bias"
    if role == "weight" and bias in change.made and bias not in named:
        group, _, number = target.rpartition("/")
        shape = change.made[bias]
        place = f"{group}/{int(number) + 1 if number.isdecimal() else 'bias'}"
        layout.items.append(Item(place, bias, "vector", shape, data, copied=False))


def _new_layer(
    layout: Layout, change: Change, named: dict[str, Stored], target: str, new: str
) -> None:
    """Add a layer that the source does not have to the block it belongs to."""
    home = _below(target, new.rpartition(".")[2])
    layout.groups[home] = {}
    layout.groups[f"{home}/vars"] = {}
    kernel = named[f"{change.beside[new]}.weight"]
    kinds: tuple[tuple[str, Kind], ...] = (("weight", kernel.kind), ("bias", "vector"))
    for number, (role, kind) in enumerate(kinds):
        tensor = f"{new}.{role}"
        if tensor in change.made:
            shape = kernel.data.shape if role == "weight" else change.made[tensor]
            layout.items.append(
                Item(f"{home}/vars/{number}", tensor, kind, shape, kernel.data, copied=False)
            )
