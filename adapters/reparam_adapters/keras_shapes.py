"""The size of the image at every tensor of a model, where its config or the user tells.

Only strided `same` padding asks for it. A shape is a tuple without the batch axis, with None for an
axis that is not known; no shape at all is None.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reparam.errors import CheckpointError
from reparam_adapters.keras_json import is_list
from reparam_adapters.keras_layer_shapes import by_settings, outgoing
from reparam_adapters.keras_layers import channels_first

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reparam_adapters.keras_calls import Ref
    from reparam_adapters.keras_config import Layer, Model

    Shape = tuple[int | None, ...]
    Key = tuple[str, int, int]


class Sizes:
    """Shapes of the tensors of one model.

    Args:
        model: The model.
        inputs: Shapes of its inputs; where missing, what the config says.
        done: Shapes of nested models by their inputs, so that none is gone through twice.
    """

    def __init__(
        self,
        model: Model,
        inputs: Sequence[Shape | None] = (),
        done: dict[tuple[object, ...], Sizes] | None = None,
    ) -> None:
        self.model = model
        self.known: dict[Key, Shape] = {}
        self._done: dict[tuple[object, ...], Sizes] = {} if done is None else done
        self._inner: dict[str, list[Sizes]] = {}
        self._start(inputs)
        self._spread()

    def nested(self, layer: Layer) -> Sizes:
        """Return the shapes within a nested model, as far as all its calls agree in them."""
        assert layer.model is not None
        found = self._inner.get(layer.name, [])
        if len(found) == len(layer.calls) and len({id(s) for s in found}) == 1:
            return found[0]
        return self._within(layer.model, ())

    def _within(self, model: Model, inputs: Sequence[Shape | None]) -> Sizes:
        key = id(model), *inputs
        if key not in self._done:
            self._done[key] = Sizes(model, inputs, self._done)
        return self._done[key]

    def of(self, ref: Ref) -> Shape | None:
        """Return the shape of a tensor."""
        found = self.known.get(ref.key)
        if found is None or None in found:
            return _merge(found, ref.shape)
        return found

    def _start(self, inputs: Sequence[Shape | None]) -> None:
        given = dict(zip((r.key[0] for r in self.model.inputs), inputs, strict=False))
        for layer in self.model.layers.values():
            stated = _stated(layer)
            shape = given.get(layer.name) or stated
            if shape is None:
                continue
            if layer.class_name == "InputLayer":
                self.known[layer.name, 0, 0] = shape
            elif self.model.sequential and layer is next(iter(self.model.layers.values())):
                self._call(layer, 0, [shape])

    def _spread(self) -> None:
        """Go through the layers, in any order, until nothing new is learned."""
        waiting = [
            (layer, i) for layer in self.model.layers.values() for i in range(len(layer.calls))
        ]
        while waiting:
            later: list[tuple[Layer, int]] = []
            for layer, i in waiting:
                shapes = [self.of(ref) for ref in layer.calls[i].inputs]
                if any(s is None for s in shapes) or not shapes:
                    self._guess(layer, i)
                    later.append((layer, i))
                else:
                    self._call(layer, i, [s for s in shapes if s is not None])
            if len(later) == len(waiting):
                return
            waiting = later

    def _guess(self, layer: Layer, number: int) -> None:
        """Note what a layer gives whatever comes in."""
        shape = (None,) if layer.class_name == "Flatten" else by_settings(layer)
        if shape is not None:
            self.known.setdefault((layer.name, number, 0), shape)

    def _call(self, layer: Layer, number: int, shapes: list[Shape]) -> None:
        key = layer.name, number, 0
        if layer.model is not None:
            inner = self._within(layer.model, shapes)
            self._inner.setdefault(layer.name, []).append(inner)
            for index, ref in enumerate(layer.model.outputs):
                found = inner.of(ref)
                if found is not None:
                    self.known[layer.name, number, index] = found
            return
        shape = outgoing(layer, shapes)
        if shape is not None:
            self.known[key] = shape


def with_input_size(model: Model, size: tuple[int, ...] | None, where: str) -> Sizes:
    """Return the shapes of a model for the input size that its config or the user says.

    Raises:
        CheckpointError: The two contradict each other, or the size has the wrong number of axes.
    """
    sizes = Sizes(model)
    if size is None:
        return sizes
    inputs: list[Shape | None] = []
    for ref in model.inputs:
        layer = model.layers[ref.key[0]]
        shape = sizes.of(ref) if layer.class_name == "InputLayer" else _stated(layer)
        if shape is None or len(shape) != len(size) + 1:
            inputs.append(shape)
            continue
        first = _image_axis(model)
        old = shape[first : first + len(size)]
        if any(n not in (None, m) for n, m in zip(old, size, strict=True)):
            raise CheckpointError(
                f"{where}: the config says the input {ref.key[0]!r} has {_shown(old)} pixels, "
                f"--input-size says {_shown(size)}. Leave the option out."
            )
        inputs.append((*shape[:first], *size, *shape[first + len(size) :]))
    if not any(s is not None and len(s) == len(size) + 1 for s in inputs):
        raise CheckpointError(
            f"{where}: no input of the model is known to have {len(size)} spatial axes, but "
            f"--input-size says {_shown(size)}. Leave the option out."
        )
    return Sizes(model, inputs)


def _shown(size: Sequence[int | None]) -> str:
    return "x".join("?" if n is None else str(n) for n in size)


def _image_axis(model: Model) -> int:
    """Return where the spatial axes of the inputs begin: at 1 if a layer says channels_first."""
    for layer in model.layers.values():
        if layer.model is not None and _image_axis(layer.model):
            return 1
        if channels_first(layer.config):
            return 1
    return 0


def _stated(layer: Layer) -> Shape | None:
    """Return the input shape that a layer's own config states."""
    for key in ("batch_input_shape", "batch_shape", "build_input_shape"):
        value = layer.config.get(key)
        if is_list(value) and value:
            shape = value[1:]
            if all(n is None or (type(n) is int and n > 0) for n in shape):
                return tuple(shape)
    if layer.model is not None and layer.model.layers:
        return _stated(next(iter(layer.model.layers.values())))
    return None


def _merge(first: Shape | None, second: Shape | None) -> Shape | None:
    if first is None or second is None or len(first) != len(second):
        return first or second
    return tuple(a if a is not None else b for a, b in zip(first, second, strict=True))
