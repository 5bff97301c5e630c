"""Weights of the `.weights.h5` tree as the legacy HDF5 that every Keras loads, by position.

The legacy lists follow `model.layers`. With a config that order is known. Without one, objects that
hold variables follow each other as their channels do; where these leave a choice, the order in
which Keras numbers and names them decides.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from reparam.errors import CheckpointError
from reparam.layouts import torch_shape
from reparam_adapters.keras_order import is_late
from reparam_adapters.keras_store import Change, Item, Layout, Stored
from reparam_adapters.keras_v3 import CONTAINERS

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from reparam.layouts import Kind
    from reparam_adapters.keras_config import Model

_VARIABLES = {"weight": "kernel", "running_mean": "moving_mean", "running_var": "moving_variance"}


def legacy_from_tree(
    named: Mapping[str, Stored],
    change: Change,
    model: Model | None,
    *,
    lists: Container[str],
    where: str,
) -> Layout:
    """Lay out a legacy file of weights that lie in a tree.

    Args:
        named: The variables of the source.
        change: What becomes of them.
        model: The graph, if it is known.
        lists: Paths that are no layers but lists of layers.
        where: The file's name, for messages.

    Raises:
        CheckpointError: The order of the layers cannot be told.
    """
    items = _variables(named, change)
    tops: dict[str, list[Item]] = {}
    for item in items:
        tops.setdefault(_top(item.tensor, model, lists), []).append(item)
    order = (
        _chain(tops, where)
        if model is None
        else [n for n in model.layers if n in tops and n not in change.dropped]
    )
    layout = Layout(
        {"": {"layer_names": order, "backend": "tensorflow", "keras_version": "2.15.0"}}, []
    )
    for top in order:
        names: list[str] = []
        first = [i for i in tops[top] if not is_late(i.tensor, change.frozen)]
        late = [i for i in tops[top] if is_late(i.tensor, change.frozen)]
        for item in (*first, *late):
            name = _legacy_name(item, items)
            names.append(name)
            layout.items.append(
                Item(f"{top}/{name}", item.tensor, item.kind, item.shape, item.like, item.copied)
            )
        layout.groups[top] = {"weight_names": names}
    return layout


def _variables(named: Mapping[str, Stored], change: Change) -> list[Item]:
    """Return what the output holds, in the order of the source, a bias behind its kernel."""
    items: list[Item] = []
    replaced = {first: new for new, first in change.beside.items()}

    def add(tensor: str, kind: Kind, shape: tuple[int, ...], like: Stored, *, copied: bool) -> None:
        items.append(Item("", tensor, kind, shape, like.data, copied))

    def ranked(named: tuple[str, Stored]) -> tuple[int, ...]:
        path = named[0].rpartition(".")[0]
        rank = change.after.get(path, change.after.get(path.rpartition(".")[0], -1))
        return rank, int(path not in change.after)

    ordered = sorted(named.items(), key=ranked if change.after else _place)
    for name, stored in ordered:
        path, _, role = name.rpartition(".")
        new = replaced.get(path)
        if role == "weight" and new is not None:
            add(f"{new}.weight", stored.kind, stored.data.shape, stored, copied=False)
            if f"{new}.bias" in change.made:
                add(f"{new}.bias", "vector", change.made[f"{new}.bias"], stored, copied=False)
        elif name not in change.gone:
            copied = name not in change.made
            add(name, stored.kind, stored.data.shape, stored, copied=copied)
            bias = f"{path}.bias"
            if role == "weight" and bias in change.made and bias not in named:
                add(bias, "vector", change.made[bias], stored, copied=False)
    return items


def _place(named: tuple[str, Stored]) -> tuple[bool, list[tuple[str, int]], str]:
    """Return a sort key: what Keras counts before what attributes name, each in natural order."""
    path = named[0].rpartition(".")[0]
    parts = re.findall(r"(\D*)(\d{0,9})", path)
    counted = named[1].data.path.startswith(CONTAINERS)
    return not counted, [(text, int(number or -1)) for text, number in parts], named[1].data.path


def _top(tensor: str, model: Model | None, lists: Container[str]) -> str:
    """Return the layer of the model that lists a variable."""
    parts = tensor.rpartition(".")[0].split(".")
    if model is None:
        end = 1
        while ".".join(parts[:end]) in lists and end < len(parts):
            end += 1
        return "/".join(parts[:end])
    path = ".".join(parts)
    return next((n for n in model.layers if path == n or path.startswith(n + ".")), path)


def _legacy_name(item: Item, items: list[Item]) -> str:
    path, _, role = item.tensor.rpartition(".")
    norm = any(i.tensor == f"{path}.running_var" for i in items)
    variable = {"weight": "gamma", "bias": "beta"}.get(role) if norm else None
    if variable is None and path.endswith((".depthwise", ".pointwise")) and role == "weight":
        path, _, half = path.rpartition(".")
        variable = f"{half}_kernel"
    elif variable is None and path.endswith(".pointwise"):
        path = path.removesuffix(".pointwise")
    return f"{path.replace('.', '/')}/{variable or _VARIABLES.get(role, role)}:0"


def _chain(tops: Mapping[str, list[Item]], where: str) -> list[str]:
    """Order objects so that each takes what the one before gives; linear layers come last.

    Kernels of grouped convolutions tell only what one group takes, so where several would fit, the
    first of them in the order of their names is taken.
    """
    ends = {top: _ends(items) for top, items in tops.items()}
    left = sorted(tops, key=lambda top: all(len(i.shape) < 3 for i in tops[top]))  # noqa: PLR2004  a head
    width: int | None = None
    order: list[str] = []
    given = {out for _, out in ends.values()}
    while left:
        if width is None:
            after = [t for t in left if ends[t][0] not in given] or left
        else:
            after = [t for t in left if ends[t][0] and width % ends[t][0] == 0]
        if not after:
            raise _unordered(where, left[0])
        order.append(after[0])
        left.remove(after[0])
        width = ends[after[0]][1] or width
    return order


def _ends(items: list[Item]) -> tuple[int, int]:
    """Return the channels that the first kernel of an object takes and its last one gives.

    Objects without kernels take and give 0: nothing tells.
    """
    kernels = [i for i in items if i.tensor.endswith(".weight") and len(i.shape) > 1]
    if not kernels:
        return 0, 0
    first, last = kernels[0], kernels[-1]
    takes = first.shape[-1] if first.kind == "transposed" else first.shape[-2]
    return takes, torch_shape(last.kind, last.shape)[0 if last.kind != "transposed" else 1]


def _unordered(where: str, top: str) -> CheckpointError:
    return CheckpointError(
        f"{where}: legacy files list layers in the order of the model, and the weights do not tell "
        f"where {top!r} belongs. Keep the dialect of the input (leave out --dialect legacy), or "
        "give --config, the file that model.to_json() writes."
    )
