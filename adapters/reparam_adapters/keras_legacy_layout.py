"""Laying out a changed legacy file: what is new goes where what it replaces was."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reparam.errors import CheckpointError
from reparam_adapters.keras_legacy import TOP
from reparam_adapters.keras_order import is_late
from reparam_adapters.keras_store import Change, Item, Layout, Stored
from reparam_adapters.strict_json import shown

if TYPE_CHECKING:
    from reparam.layouts import Kind
    from reparam_adapters.keras_legacy import Entry, LegacyStore


def legacy_layout(
    store: LegacyStore, named: dict[str, Stored], change: Change, base: str
) -> Layout:
    """Lay out a changed legacy file.

    Args:
        store: The source.
        named: Its variables by name.
        change: What becomes of them.
        base: The group that shall hold the layers' groups; empty for the root.
    """
    by_path = {stored.data.path: stored for stored in named.values()}
    replaced = {first: new for new, first in change.beside.items()}
    layout = Layout({base: dict(store.base.attributes)}, [])
    for key in list(layout.groups[base]):
        if key.startswith("layer_names"):
            del layout.groups[base][key]
    order: list[str] = []
    for layer, entries in store.layers.items():
        home = f"{base}/{layer}" if base else layer
        kept: list[str] = []
        tensors = [by_path[entry.data.path].name for entry in entries]
        for entry in _arranged(store, layer, entries, tensors, change):
            stored = by_path[entry.data.path]
            path, _, role = stored.name.rpartition(".")
            if role == "weight" and path in replaced:
                kept += _new_layer(
                    layout, change, stored, home=home, new=replaced[path], entry=entry
                )
            elif stored.name not in change.gone:
                kept += _old_weight(layout, change, stored, home=home, entry=entry, named=named)
        if layer in change.dropped or (entries and not kept):
            continue
        layout.groups[home] = {"weight_names": kept}
        if layer != TOP:
            order.append(layer)
    last = len(change.after)
    layout.groups[base]["layer_names"] = sorted(order, key=lambda n: change.after.get(n, last))
    return layout


def _arranged(
    store: LegacyStore, layer: str, entries: list[Entry], tensors: list[str], change: Change
) -> list[Entry]:
    """Bring the weights of a nested model into the order of its layers after the change.

    Keras lists the trained ones first, then all others, each in the order of the layers.
    """

    def owner(tensor: str) -> str:
        path = tensor.rpartition(".")[0]
        return path if path in change.before else path.rpartition(".")[0]

    owners = {owner(t) for t in tensors if owner(t) in change.after}
    moves = sorted((change.before[o], change.after[o]) for o in owners)
    if [new for _, new in moves] == sorted(new for _, new in moves):
        return entries  # their order among themselves is what it was
    keys = [
        (is_late(t, change.frozen), change.before.get(owner(t), -1), change.after.get(owner(t), -1))
        for t in tensors
    ]
    known = all(owner(t) in change.before for t in tensors)
    if not known or [k[:2] for k in keys] != sorted(k[:2] for k in keys):
        raise CheckpointError(
            f"{store.where}: fusing changes the order in which Keras will ask for the weights of "
            f"{shown(layer)}, and they do not lie in the order expected. Save the model as .keras."
        )
    ranked = sorted(range(len(entries)), key=lambda i: (keys[i][0], keys[i][2], i))
    return [entries[i] for i in ranked]


def _old_weight(
    layout: Layout,
    change: Change,
    stored: Stored,
    *,
    home: str,
    entry: Entry,
    named: dict[str, Stored],
) -> list[str]:
    """Add a weight of the source, and behind a kernel the bias it did not have."""
    copied = stored.name not in change.made
    layout.items.append(
        Item(
            f"{home}/{entry.name}", stored.name, stored.kind, stored.data.shape, stored.data, copied
        )
    )
    path, _, role = stored.name.rpartition(".")
    bias = f"{path}.bias"
    if role != "weight" or bias not in change.made or bias in named:
        return [entry.name]
    name = _sibling(entry.name, "bias")
    shape = change.made[bias]
    layout.items.append(Item(f"{home}/{name}", bias, "vector", shape, entry.data, copied=False))
    return [entry.name, name]


def _new_layer(
    layout: Layout,
    change: Change,
    stored: Stored,
    *,
    home: str,
    new: str,
    entry: Entry,
) -> list[str]:
    """Add a layer that the source does not have in the place of the first one it is made of."""
    first = stored.name.rpartition(".")[0]
    below = len(first.split(".")) - len(new.split(".")) + 1
    stem = entry.name.removesuffix(":0").split("/")[: -1 - below]
    end = ":0" if entry.name.endswith(":0") else ""
    names: list[str] = []
    for variable, role in (("kernel", "weight"), ("bias", "bias")):
        tensor = f"{new}.{role}"
        if tensor not in change.made:
            continue
        names.append("/".join([*stem, new.rpartition(".")[2], variable]) + end)
        shape = entry.data.shape if role == "weight" else change.made[tensor]
        own: Kind = stored.kind if role == "weight" else "vector"
        layout.items.append(
            Item(f"{home}/{names[-1]}", tensor, own, shape, entry.data, copied=False)
        )
    return names


def _sibling(name: str, variable: str) -> str:
    """Return the name of another variable of the same layer."""
    stem, slash, last = name.rpartition("/")
    return f"{stem}{slash}{variable}{':0' if last.endswith(':0') else ''}"
