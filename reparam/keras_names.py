"""Keras' names for weights, `block/conv2d_4/kernel:0`, and the names of this package for them.

A variable is called `layer.role`: its path with dots, and `weight`, `bias`, `running_mean` or
`running_var`. Where no graph tells the layers, numbers that Keras appends are counted from zero.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from reparam.layouts import ROLES, Kind, to_keras, to_torch

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

Variable = tuple[str, str, Kind]
"""Which half of a separable convolution, if any; the role; how its axes lie."""


def name_variables(path: str, names: Sequence[str], ranks: Sequence[int]) -> list[Variable]:
    """Tell the variables of one layer by Keras' names for them.

    Args:
        path: The layer; its last name may say that it is depthwise or transposed, which Keras 3
            no longer says of the variable.
        names: `kernel`, `gamma`, …
        ranks: Number of axes of each.
    """
    separable = {"depthwise_kernel", "pointwise_kernel"} <= {*names}
    halves: dict[str, Variable] = {
        "depthwise_kernel": (".depthwise", "weight", "depthwise"),
        "pointwise_kernel": (".pointwise", "weight", "conv"),
        "bias": (".pointwise", "bias", "vector"),
    }
    found: list[Variable] = []
    for name, rank in zip(names, ranks, strict=True):
        role = ROLES.get(name)
        if separable and name in halves:
            found.append(halves[name])
        elif role is None or (name.endswith("kernel") and rank < 2):  # noqa: PLR2004  no kernel
            found.append(("", name, "vector"))
        elif name == "depthwise_kernel":
            found.append(("", role, "depthwise"))
        else:
            found.append(("", role, kernel_kind(path) if name == "kernel" else "vector"))
    return found


def kernel_kind(path: str) -> Kind:
    """Return how the axes of a layer's kernel lie, as far as its name tells."""
    last = path.rpartition(".")[2].lower()
    if re.search(r"(?:^|_)(?:dw|depthwise)", last):
        return "depthwise"
    return "transposed" if "transpose" in last else "conv"


def renumbered(names: Iterable[str]) -> dict[str, str]:
    """Count the names that Keras numbers (`conv2d_4`, `conv2d_7`) from zero, stem by stem.

    Keras numbers layers through a whole process, so only the order of the numbers means something.

    Example:
        >>> renumbered(["conv2d_7", "conv2d_4", "dense"])
        {'conv2d_4': 'conv2d', 'conv2d_7': 'conv2d_1', 'dense': 'dense'}
    """
    stems: dict[str, list[tuple[int, str]]] = {}
    for name in dict.fromkeys(names):
        found = re.fullmatch(r"(.*?\D)_(\d{1,9})", name)
        stem, number = (found[1], int(found[2])) if found else (name, -1)
        stems.setdefault(stem, []).append((number, name))
    counted: dict[str, str] = {}
    for stem, numbers in stems.items():
        for position, (_, name) in enumerate(sorted(numbers)):
            counted[name] = f"{stem}_{position}" if position else stem
    return counted


def count_from_zero(paths: Iterable[tuple[str, ...]], *, top: bool) -> dict[tuple[str, ...], str]:
    """Renumber the layers at every level of their paths, and join these with dots.

    Args:
        paths: Layers, each as the names from the outermost object inwards.
        top: Whether the outermost names are Keras' numbering too, and not the user's.
    """
    known = list(paths)
    children: dict[tuple[str, ...], list[str]] = {}
    for path in known:
        for depth, name in enumerate(path):
            children.setdefault(path[:depth], []).append(name)
    counted = {
        parent: renumbered(names) if parent or top else {n: n for n in names}
        for parent, names in children.items()
    }
    return {
        path: ".".join(counted[path[:i]][name] for i, name in enumerate(path)) for path in known
    }


@dataclass(frozen=True, slots=True)
class KerasArrays:
    """Arrays under Keras' names, and the same under those of this package.

    Attributes:
        arrays: In PyTorch's axes; views where possible.
        sources: For each of them Keras' name, its kind and the shape Keras expects.
    """

    arrays: dict[str, NDArray[Any]]
    sources: Mapping[str, tuple[str, Kind, tuple[int, ...]]]

    def restore(
        self, results: Mapping[str, NDArray[Any]], made: Mapping[str, tuple[str, ...]]
    ) -> dict[str, NDArray[Any]]:
        """Give results Keras' names and axes.

        Args:
            results: Arrays under the names of this package.
            made: Every fused layer with the layers that went into it.
        """
        back: dict[str, NDArray[Any]] = {}
        for name, values in results.items():
            if name in self.sources:
                called, kind, shape = self.sources[name]
                back[called] = to_keras(kind, values, shape).copy()
                continue
            path, _, role = name.rpartition(".")
            first = made[path][0]
            called, kind, shape = self.sources[f"{first}.weight"]
            stem = called.removesuffix(":0").split("/")[:-1]
            if path != first:  # a layer of its own beside the branches, or further up
                parts = path.split(".")
                alike = zip(parts, first.split("."), strict=False)
                shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], alike))
                stem = [*stem[:shared], *parts[shared:]]
            end = ":0" if called.endswith(":0") else ""
            variable = "kernel" if role == "weight" else role
            whole = to_keras(kind, values, shape) if role == "weight" else values
            back["/".join([*stem, variable]) + end] = whole.copy()
        return dict(sorted(back.items()))


def from_keras(arrays: Mapping[str, NDArray[Any]]) -> KerasArrays:
    """Present arrays under Keras' names (`layer/kernel`, with or without `:0`) to the rest."""
    layers: dict[tuple[str, ...], list[tuple[str, str]]] = {}
    for name in arrays:
        *path, variable = name.removesuffix(":0").split("/")
        layers.setdefault(tuple(path), []).append((variable, name))
    deep = any(len(path) > 1 for path in layers)
    paths = count_from_zero(layers, top=deep)
    turned: dict[str, NDArray[Any]] = {}
    sources: dict[str, tuple[str, Kind, tuple[int, ...]]] = {}
    for where, variables in layers.items():
        names = [variable for variable, _ in variables]
        ranks = [arrays[name].ndim for _, name in variables]
        parts = name_variables(paths[where], names, ranks)
        for (_, name), (half, role, kind) in zip(variables, parts, strict=True):
            called = f"{paths[where]}{half}.{role}"
            turned[called] = to_torch(kind, arrays[name])
            sources[called] = name, kind, arrays[name].shape
    return KerasArrays(turned, sources)
