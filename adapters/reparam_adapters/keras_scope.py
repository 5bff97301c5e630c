"""One model while its graph is read: who takes which tensor, and what became of its norms."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from reparam.expression import format_name
from reparam.recipe import finite_eps
from reparam_adapters.keras_json import is_list, is_object
from reparam_adapters.keras_layers import LINEAR, channels_first, passes_on

if TYPE_CHECKING:
    from reparam.checkpoint import GraphLine
    from reparam_adapters.keras_calls import Ref
    from reparam_adapters.keras_config import Layer, Model
    from reparam_adapters.keras_shapes import Sizes

    Key = tuple[str, int, int]


@dataclass(frozen=True, slots=True)
class Edit:
    """Lines that are carried out together, and what they change in the graph of one model.

    Attributes:
        model: The model.
        prefix: Path of its layers.
        lines: What is fused; all of them or none.
        reads: Per line, the layers it reads.
        outputs: Per line, the layer that carries the result.
        removed: Names of layers that go.
        moved: Tensors that go, each with the one that takes its place.
    """

    model: Model
    prefix: str
    lines: tuple[GraphLine, ...]
    reads: tuple[tuple[str, ...], ...]
    outputs: tuple[str, ...]
    removed: tuple[str, ...]
    moved: dict[Key, Key]


@dataclass(slots=True, eq=False)
class Scope:
    """One model on the way to its edits.

    Attributes:
        model: The model.
        prefix: Path of its layers.
        sizes: Shapes of its tensors.
        training: Whether somebody calls it in training mode.
        uses: Every tensor with the calls that take it; the empty name stands for an output.
        stays: Norms that cannot be fused, by name, and why.
        pairs: Norm to the convolutions before it.
        notes: What could not be summed.
    """

    model: Model
    prefix: str
    sizes: Sizes
    training: bool
    uses: dict[Key, list[tuple[str, int]]]
    stays: dict[str, str] = field(default_factory=dict[str, str])
    pairs: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    notes: list[str] = field(default_factory=list[str])

    def path(self, name: str) -> str:
        """Return a layer's path in the checkpoint."""
        return f"{self.prefix}{name}"

    def target(self, layer: Layer) -> str:
        """Return the path of the part of a linear layer that a norm is fused into."""
        separable = LINEAR[layer.class_name][0] == "separable"
        return self.path(layer.name) + (".pointwise" if separable else "")

    def only_use(self, key: Key) -> bool:
        """Whether a tensor is taken exactly once, and not by the world outside."""
        uses = self.uses.get(key, [])
        return len(uses) == 1 and bool(uses[0][0])


def uses_of(model: Model) -> dict[tuple[str, int, int], list[tuple[str, int]]]:
    """Return every tensor of a model with the calls that take it."""
    uses: dict[Key, list[tuple[str, int]]] = {}
    for layer in model.layers.values():
        for number, call in enumerate(layer.calls):
            for ref in call.inputs:
                uses.setdefault(ref.key, []).append((layer.name, number))
    for ref in model.outputs:
        uses.setdefault(ref.key, []).append(("", 0))
    return uses


def back(scope: Scope, ref: Ref) -> tuple[Ref, list[str], str | None]:
    """Go from a tensor back over layers that do nothing at inference.

    Returns:
        The tensor they start from, the layers passed, and why the way is not free: somebody else
        takes what lies on it. The tensor itself may still have other uses.
    """
    passed: list[str] = []
    while (before := _silent_input(scope, ref)) is not None:
        if not scope.only_use(ref.key) or ref.key[0] in passed:  # or a ring, in a broken config
            return ref, passed, f"the output of {ref.key[0]!r} is used elsewhere too"
        passed.append(ref.key[0])
        ref = before
    return ref, passed, None


def origin(scope: Scope, ref: Ref) -> tuple[str, int, int]:
    """Return the tensor that a tensor is a copy of at inference, whoever else takes it."""
    passed: set[str] = set()
    while (before := _silent_input(scope, ref)) is not None and ref.key[0] not in passed:
        passed.add(ref.key[0])
        ref = before
    return ref.key


def _silent_input(scope: Scope, ref: Ref) -> Ref | None:
    name, node, _ = ref.key
    layer = scope.model.layers[name]
    if scope.training or layer.model is not None or not passes_on(layer.class_name, layer.config):
        return None
    if node != 0 or len(layer.calls) != 1:
        return None
    call = layer.calls[0]
    return call.inputs[0] if len(call.inputs) == 1 and not call.training else None


def norm_axis_fits(scope: Scope, conv: Layer, norm: Layer) -> bool:
    """Whether a norm works on the channels that a linear layer gives."""
    axis: Any = norm.config.get("axis", -1)
    if is_list(axis) and len(axis) == 1:
        axis = axis[0]
    if type(axis) is not int:
        return False
    family, rank = LINEAR[conv.class_name]
    if family == "dense":
        return axis in (-1, channel_axis(scope, conv, norm))
    place = 1 if channels_first(conv.config) else rank + 1
    return axis in (place, place - rank - 2)


def channel_axis(scope: Scope, dense: Layer, norm: Layer) -> int | None:
    """Return the axis of a linear layer's output that holds its channels, if it is known."""
    shape = scope.sizes.of(dense.calls[0].inputs[0]) if dense.calls[0].inputs else None
    built: Any = norm.raw.get("build_config")
    stored: Any = built.get("input_shape") if is_object(built) else None
    if shape is None and is_list(stored) and stored:
        return len(stored) - 1
    return None if shape is None else len(shape)


def eps_of(norm: Layer) -> float | None:
    """Return a norm's constant, 1e-3 if it states none; None for what is no such constant."""
    return finite_eps(norm.config.get("epsilon", 1e-3))


def attributes(layer: Layer) -> dict[str, str]:
    """Return what a line has to say of a linear layer: its groups, and whether it is transposed."""
    family, _ = LINEAR[layer.class_name]
    groups = layer.config.get("groups", 1)
    if family == "transposed":
        return {"transposed": ""}
    if family == "conv" and groups != 1:
        return {"groups": str(groups)}
    return {}


def written(path: str, extra: dict[str, str] | None = None) -> str:
    """Write a layer's path as a name of an expression, with what is to be said of it."""
    inside = ", ".join(f"{k}={v}" if v else k for k, v in (extra or {}).items())
    return f"{format_name(path)}[{inside}]" if inside else format_name(path)
