"""What the layer classes of Keras compute and store, as far as fusing has to know."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from reparam_adapters.keras_json import is_list, is_object

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reparam.layouts import Kind

    Config = Mapping[str, Any]

Family = Literal["conv", "depthwise", "transposed", "separable", "dense"]

LINEAR: dict[str, tuple[Family, int]] = {
    **{f"Conv{n}D": ("conv", n) for n in (1, 2, 3)},
    **{f"Convolution{n}D": ("conv", n) for n in (1, 2, 3)},
    **{f"DepthwiseConv{n}D": ("depthwise", n) for n in (1, 2)},
    **{f"SeparableConv{n}D": ("separable", n) for n in (1, 2)},
    **{f"SeparableConvolution{n}D": ("separable", n) for n in (1, 2)},
    **{f"Conv{n}DTranspose": ("transposed", n) for n in (1, 2, 3)},
    **{f"Convolution{n}DTranspose": ("transposed", n) for n in (2, 3)},
    "Dense": ("dense", 0),
}
"""Layers a norm can be fused into: what kind, and how many spatial axes."""

NORMS = (
    "BatchNormalization",
    *("BatchNormalizationV1", "BatchNormalizationV2", "SyncBatchNormalization"),
)
"""Batch norms; at inference they all compute the same."""

MODELS = ("Functional", "Model", "Sequential")

SILENT = (
    *("Dropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", "GaussianDropout"),
    *("GaussianNoise", "AlphaDropout", "ActivityRegularization", "Identity"),
)
"""Layers that do nothing at inference."""

RENORM = ("renorm_mean", "renorm_stddev", "moving_stddev")


@dataclass(frozen=True, slots=True)
class Slot:
    """One variable of a layer.

    Attributes:
        part: What follows the layer's name in the path of the tensor: empty, or the half of a
            separable convolution.
        role: Its role in the names of this package.
        kind: How its axes lie.
        names: What Keras 2 and 3 call it in legacy files.
    """

    part: str
    role: str
    kind: Kind
    names: tuple[str, ...]


def slots(class_name: str, config: Config) -> tuple[Slot, ...] | None:
    """Return the variables of a layer in the order of Keras, or None for a layer of no interest."""
    if class_name in NORMS:
        found: list[Slot] = []
        if config.get("scale", True):
            found.append(Slot("", "weight", "vector", ("gamma",)))
        if config.get("center", True):
            found.append(Slot("", "bias", "vector", ("beta",)))
        found.append(Slot("", "running_mean", "vector", ("moving_mean",)))
        found.append(Slot("", "running_var", "vector", ("moving_variance",)))
        if config.get("renorm"):
            found += [Slot("", name, "vector", (name,)) for name in RENORM]
        return tuple(found)
    if class_name not in LINEAR:
        return None
    family, _ = LINEAR[class_name]
    bias = [Slot("", "bias", "vector", ("bias",))] if config.get("use_bias", True) else []
    if family == "separable":
        return (
            Slot(".depthwise", "weight", "depthwise", ("depthwise_kernel",)),
            Slot(".pointwise", "weight", "conv", ("pointwise_kernel",)),
            *(Slot(".pointwise", s.role, s.kind, s.names) for s in bias),
        )
    if family == "depthwise":
        return Slot("", "weight", "depthwise", ("depthwise_kernel", "kernel")), *bias
    kind: Kind = "transposed" if family == "transposed" else "conv"
    return Slot("", "weight", kind, ("kernel",)), *bias


def fits(class_name: str, config: Config, slot: Slot, shape: tuple[int, ...]) -> bool:
    """Whether a stored variable has the shape that the settings of its layer ask for."""
    if slot.kind == "vector":
        return len(shape) == 1
    family, rank = LINEAR[class_name]
    if len(shape) != rank + 2:
        return False
    *space, first, last = shape
    kernel = axes(config.get("kernel_size"), rank) if "kernel_size" in config else tuple(space)
    if slot.part == ".pointwise":
        kernel = (1,) * rank
    wanted: Any = config.get("filters", config.get("units", last))
    given = last
    if slot.kind == "depthwise":
        wanted, given = config.get("depth_multiplier", 1), last
    elif family == "transposed":
        given = first
    groups = config.get("groups", 1)
    even = slot.kind != "conv" or type(groups) is not int or groups < 1 or last % groups == 0
    return tuple(space) == kernel and wanted == given and even


def passes_on(class_name: str, config: Config) -> bool:
    """Whether a layer hands its input on unchanged at inference."""
    linear = class_name == "Activation" and is_linear(config.get("activation"))
    return linear or class_name in SILENT


def is_linear(activation: Any) -> bool:
    """Whether a configured activation is the identity."""
    name = _activation_name(activation)
    return name == "linear" or activation is None


def shown_activation(activation: Any) -> str:
    """Return the name of a configured activation, for messages."""
    return str(_activation_name(activation))[:60]


def _activation_name(activation: Any) -> Any:
    """Return what stands for an activation: Keras 3 may write an object around its name."""
    if not is_object(activation):
        return activation
    name = activation.get("config")
    return name if isinstance(name, str) else activation.get("class_name")


def axes(value: Any, rank: int, default: int = 1) -> tuple[int, ...] | None:
    """Spell a setting such as `strides` out per spatial axis; None if it is not one."""
    if value is None:
        value = default
    if type(value) is int:
        value = [value] * rank
    if not is_list(value) or len(value) != rank:
        return None
    return tuple(value) if all(type(v) is int and 0 < v < 1 << 20 for v in value) else None


def snake_case(class_name: str) -> str:
    """Return what files of Keras 3's format call a layer of this class."""
    name = re.sub(r"\W+", "", class_name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def channels_first(config: Config) -> bool:
    """Whether the channels stand before the spatial axes; a format not stated puts them last."""
    return config.get("data_format") == "channels_first"
