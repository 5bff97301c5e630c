"""The weights of a Keras file under the names of this package, whatever the dialect they lie in.

A variable is called `layer.role`: the layer's path with dots between nested models and sublayers,
and `weight`, `bias`, `running_mean` or `running_var`. Layers of no interest keep Keras' own names
for their variables.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from reparam.keras_names import kernel_kind, name_variables
from reparam.layouts import Kind, torch_shape
from reparam_adapters.keras_layers import NORMS, slots

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from reparam_adapters.hdf5_tree import Dataset
    from reparam_adapters.keras_config import Layer, Model


@dataclass(frozen=True, slots=True)
class Stored:
    """One variable of a file.

    Attributes:
        name: Its name in this package.
        kind: How its axes lie.
        data: Where it is stored.
    """

    name: str
    kind: Kind
    data: Dataset

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape in PyTorch order."""
        return torch_shape(self.kind, self.data.shape)


@dataclass(frozen=True, slots=True)
class Item:
    """A dataset to be written.

    Attributes:
        path: Its place in the output.
        tensor: The variable that goes there, under the name it has in this package.
        kind: How its axes lie.
        shape: Its shape as Keras stores it.
        like: The dataset of the source whose type and filters it takes.
        copied: Whether it is `like`, as it lies.
    """

    path: str
    tensor: str
    kind: Kind
    shape: tuple[int, ...]
    like: Dataset
    copied: bool


@dataclass(slots=True)
class Layout:
    """An HDF5 file to be written.

    Attributes:
        groups: Every group with its attributes.
        items: Every dataset.
    """

    groups: dict[str, dict[str, object]]
    items: list[Item]


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of the variables of a source.

    Attributes:
        gone: Names that are not in the output.
        made: Names whose values are new, with their shapes in PyTorch order.
        beside: New layers that the source does not have, with the first layer they are made of.
        dropped: Paths of layers that the graph no longer has.
        before: Place of every layer in Keras' order before the change; empty without a graph.
        after: The same after it.
        frozen: Paths of layers that are not trained.
    """

    gone: frozenset[str]
    made: Mapping[str, tuple[int, ...]]
    beside: Mapping[str, str]
    dropped: frozenset[str]
    before: Mapping[str, int]
    after: Mapping[str, int]
    frozen: set[str]


def role_name(path: str, part: str, role: str) -> str:
    """Return the name of a variable in this package."""
    return f"{path}{part}.{role}"


def walk_layers(model: Model, prefix: str = "") -> Iterator[tuple[str, Layer]]:
    """Yield every layer of a model and of the models within it, with its path, in order."""
    for layer in model.layers.values():
        yield f"{prefix}{layer.name}", layer
        if layer.model is not None:
            yield from walk_layers(layer.model, f"{prefix}{layer.name}.")


def guess(
    path: str, names: list[str], shapes: list[tuple[int, ...]]
) -> list[tuple[str, str, Kind]]:
    """Tell the variables of a layer apart without its class.

    Args:
        path: The layer's path; its last name may say what it is.
        names: What Keras calls its variables, or their numbers where it stores no names.
        shapes: Their shapes.

    Returns:
        Part of the layer, role and kind of each variable.
    """
    ranks = [len(s) for s in shapes]
    if not all(n.isdecimal() for n in names):
        return name_variables(path, names, ranks)
    kind = kernel_kind(path)
    plain: list[tuple[str, str, Kind]] = [("", n, "vector") for n in names]
    if ranks and ranks[0] > 1:
        if len(ranks) > 1 and ranks[1] == ranks[0] and all(k == 1 for k in shapes[1][:-2]):
            plain[:2] = [(".depthwise", "weight", "depthwise"), (".pointwise", "weight", "conv")]
            if ranks[2:] == [1]:
                plain[2] = ".pointwise", "bias", "vector"
        elif len(ranks) == 1:
            plain = [("", "weight", kind)]
        elif ranks[1:] == [1]:
            plain = [("", "weight", kind), ("", "bias", "vector")]
    elif ranks in ([1] * 4, [1] * 7) and len(set(shapes)) == 1:
        norm = slots(NORMS[0], {"renorm": len(ranks) > 4}) or ()  # noqa: PLR2004  without renorm
        plain = [(s.part, s.role, s.kind) for s in norm]
    return plain
