"""The size of the image at every tensor of a model, where its config or the user tells.

Only strided `same` padding asks for it. A shape is a tuple without the batch axis, with None for an
axis that is not known; no shape at all is None.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from reparam.errors import CheckpointError
from reparam_adapters.keras_json import is_list
from reparam_adapters.keras_layers import LINEAR, NORMS, axes, channels_first, passes_on
from reparam_adapters.keras_sums import plus_or_minus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reparam_adapters.keras_config import Layer, Model, Ref

    Shape = tuple[int | None, ...]
    Key = tuple[str, int, int]

_UNCHANGED = (
    *("Activation", "ReLU", "LeakyReLU", "PReLU", "ELU", "ThresholdedReLU", "Rescaling"),
    *("LayerNormalization", "GroupNormalization", "UnitNormalization", "Normalization"),
)
_MERGES = ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum")


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
                    later.append((layer, i))
                else:
                    self._call(layer, i, [s for s in shapes if s is not None])
            if len(later) == len(waiting):
                return
            waiting = later

    def _call(self, layer: Layer, number: int, shapes: list[Shape]) -> None:
        key = layer.name, number + layer.first, 0
        if layer.model is not None:
            inner = self._within(layer.model, shapes)
            self._inner.setdefault(layer.name, []).append(inner)
            for index, ref in enumerate(layer.model.outputs):
                found = inner.of(ref)
                if found is not None:
                    self.known[layer.name, number + layer.first, index] = found
            return
        shape = _outgoing(layer, shapes)
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


def _outgoing(layer: Layer, shapes: list[Shape]) -> Shape | None:
    """Return what a layer gives for inputs of these shapes; None if its class is not known."""
    name, config, shape = layer.class_name, layer.config, shapes[0]
    if name in (*NORMS, *_UNCHANGED) or passes_on(name, config):
        return shape
    if name in _MERGES or plus_or_minus(layer):
        return _broadcast(shapes)
    if name == "Concatenate":
        return _concatenated(shapes, config.get("axis", -1))
    if name == "Dense":
        units = config.get("units")
        return (*shape[:-1], units if type(units) is int else None)
    if name == "Flatten":
        return (None if None in shape else math.prod(n for n in shape if n is not None),)
    if name.startswith("Global") and "Pooling" in name:
        first = channels_first(config)
        channels = shape[0] if first else shape[-1]
        ones = (1,) * (len(shape) - 1)
        kept = (channels, *ones) if first else (*ones, channels)
        return kept if config.get("keepdims") else (channels,)
    return _image(layer, shape)


def _broadcast(shapes: list[Shape]) -> Shape | None:
    if len({len(s) for s in shapes}) > 1:
        return None
    sizes: list[int | None] = []
    for axis in zip(*shapes, strict=True):
        wide = {n for n in axis if n != 1} or {1}
        sizes.append(wide.pop() if len(wide) == 1 else None)
    return tuple(sizes)


def _concatenated(shapes: list[Shape], axis: Any) -> Shape | None:
    rank = len(shapes[0])
    if type(axis) is not int or any(len(s) != rank for s in shapes):
        return None
    place = axis - 1 if axis > 0 else axis + rank
    if not 0 <= place < rank:
        return None
    parts = [s[place] for s in shapes]
    total = None if None in parts else sum(n for n in parts if n is not None)
    return (*shapes[0][:place], total, *shapes[0][place + 1 :])


def _image(layer: Layer, shape: Shape) -> Shape | None:
    """Return what a layer with spatial axes gives."""
    first = channels_first(layer.config)
    space = shape[1:] if first else shape[:-1]
    sizes = _resized(layer, space)
    if not sizes or any(n is not None and n < 1 for n in sizes):
        return None
    channels = _channels(layer, shape[0] if first else shape[-1])
    return (channels, *sizes) if first else (*sizes, channels)


def _channels(layer: Layer, channels: int | None) -> int | None:
    """Return how many channels a layer with spatial axes gives."""
    family = LINEAR[layer.class_name][0] if layer.class_name in LINEAR else None
    if family is None:
        return channels
    if family == "depthwise":
        factor = layer.config.get("depth_multiplier", 1)
        return None if channels is None or type(factor) is not int else channels * factor
    filters = layer.config.get("filters")
    return filters if type(filters) is int else None


def _resized(layer: Layer, space: Shape) -> list[int | None]:
    """Return the size of the image that a layer gives; empty where that is not known."""
    name, config, rank = layer.class_name, layer.config, len(space)
    padding = config.get("padding", "valid")
    if name in LINEAR and LINEAR[name][1] == rank and LINEAR[name][0] != "transposed":
        kernel = axes(config.get("kernel_size"), rank)
        strides = axes(config.get("strides"), rank)
        return _slide(space, kernel, strides, axes(config.get("dilation_rate"), rank), padding)
    if name in (f"MaxPooling{rank}D", f"AveragePooling{rank}D"):
        pool = axes(config.get("pool_size"), rank, 2)
        strides = axes(config.get("strides"), rank) if config.get("strides") else pool
        return _slide(space, pool, strides, (1,) * rank, padding)
    if name == f"ZeroPadding{rank}D":
        pads = zero_padding(config.get("padding"), rank) or ()
        return [n and n + sum(p) for n, p in zip(space, pads, strict=False)]
    if name == f"Cropping{rank}D":
        crops = zero_padding(config.get("cropping"), rank) or ()
        return [n and n - sum(c) for n, c in zip(space, crops, strict=False)]
    if name == f"UpSampling{rank}D":
        factors = axes(config.get("size"), rank, 2) or ()
        return [n and n * f for n, f in zip(space, factors, strict=False)]
    return []


def zero_padding(value: Any, rank: int) -> tuple[tuple[int, int], ...] | None:
    """Return the pixels before and after each axis that a ZeroPadding layer adds."""
    if type(value) is int:
        value = [[value, value]] * rank
    if not is_list(value):
        return None
    items = value
    if rank == 1 and _is_pair(items):
        items = [items]
    pairs = [[n, n] if type(n) is int else n for n in items]
    if len(pairs) != rank or not all(_is_pair(p) for p in pairs):
        return None
    return tuple((p[0], p[1]) for p in pairs)


def _is_pair(value: Any) -> bool:
    return is_list(value) and len(value) == 2 and all(type(n) is int for n in value)  # noqa: PLR2004  before, after


def _slide(
    space: Shape,
    kernel: tuple[int, ...] | None,
    strides: tuple[int, ...] | None,
    dilation: tuple[int, ...] | None,
    padding: Any,
) -> list[int | None]:
    """Return the sizes after a sliding window; empty where a setting is unknown."""
    if kernel is None or strides is None or dilation is None:
        return []
    done: list[int | None] = []
    for n, k, s, d in zip(space, kernel, strides, dilation, strict=True):
        if n is None:
            done.append(None)
        elif padding in ("same", "causal"):
            done.append(-(-n // s))
        elif padding == "valid":
            done.append((n - (k - 1) * d - 1) // s + 1)
        else:
            return []
    return done
