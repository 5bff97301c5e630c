"""What one layer of Keras makes of the shape of its input, batch left out.

None stands for an axis that is not known, and for a shape that is not known at all.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from reparam_adapters.keras_json import is_list
from reparam_adapters.keras_layers import LINEAR, NORMS, axes, channels_first, passes_on
from reparam_adapters.keras_sums import plus_or_minus

if TYPE_CHECKING:
    from reparam_adapters.keras_config import Layer
    from reparam_adapters.keras_layers import Config

    Shape = tuple[int | None, ...]

_UNCHANGED = (
    *("Activation", "ReLU", "LeakyReLU", "PReLU", "ELU", "ThresholdedReLU", "Rescaling"),
    *("LayerNormalization", "GroupNormalization", "UnitNormalization", "Normalization"),
)
_RECURRENT = ("LSTM", "GRU", "SimpleRNN")
_MERGES = ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum")


def outgoing(layer: Layer, shapes: list[Shape]) -> Shape | None:
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
    if name in _RECURRENT or name == "Reshape":
        return by_settings(layer)
    if name.startswith("Global") and "Pooling" in name:
        first = channels_first(config)
        channels = shape[0] if first else shape[-1]
        ones = (1,) * (len(shape) - 1)
        kept = (channels, *ones) if first else (*ones, channels)
        return kept if config.get("keepdims") else (channels,)
    return _image(layer, shape)


def by_settings(layer: Layer) -> Shape | None:
    """Return what a layer gives as far as its own settings tell; None if they do not."""
    config = layer.config
    if layer.class_name in _RECURRENT:
        units = config.get("units")
        given = (units if type(units) is int else None,)
        return (None, *given) if config.get("return_sequences") else given
    target: Any = config.get("target_shape")
    if layer.class_name != "Reshape" or not is_list(target):
        return None
    return tuple(n if type(n) is int and n > 0 else None for n in target)


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
    if name in LINEAR and LINEAR[name] == ("transposed", rank):
        return _stretch(space, config, rank)
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


def _stretch(space: Shape, config: Config, rank: int) -> list[int | None]:
    """Return the sizes after a transposed convolution without dilation; else none is known."""
    kernel, strides = axes(config.get("kernel_size"), rank), axes(config.get("strides"), rank)
    dilation = axes(config.get("dilation_rate"), rank)
    if kernel is None or strides is None or dilation != (1,) * rank:
        return []
    if config.get("output_padding") is not None:
        return []
    more = 0 if config.get("padding") == "same" else 1
    parts = zip(space, kernel, strides, strict=True)
    return [n and n * s + more * max(k - s, 0) for n, k, s in parts]


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
