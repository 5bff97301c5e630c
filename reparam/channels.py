"""What shapes alone tell about the layers of an expression: kernels, and how many channels pass.

Groups are not stored in checkpoints; a kernel `(out, in // groups, …)` tells them as soon as the
number of inputs is known from a neighbour. These are the neighbours' answers.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from reparam.errors import PlanError
from reparam.expression import Average, Chain, Identity, Layer, Maybe, Node, Number, Sum

if TYPE_CHECKING:
    from reparam.modules import Module, ModuleIndex
    from reparam.operations import Axes

FUSIBLE_DTYPES = ("float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2")


class Known:
    """The layers that an expression names, in a checkpoint.

    Args:
        index: The layers of the checkpoint.
        block: Path that names are relative to.
    """

    def __init__(self, index: ModuleIndex, block: str) -> None:
        self.index = index
        self.block = block

    @property
    def where(self) -> str:
        """The block, as messages name it."""
        return self.block or "the checkpoint"

    def module(self, layer: Layer) -> Module:
        """Return a layer, or refuse an expression that names one that is not there."""
        path = f"{self.block}.{layer.name}" if self.block else layer.name
        module = self.index.get(path)
        if module is None:
            raise PlanError(f"{path}: no such layer in the checkpoint.")
        return module

    def kernel(self, module: Module) -> Axes:
        """Return the shape of a layer's kernel."""
        name = module.tensors["weight"]
        self.check_dtype(name)
        shape = self.index.shape(name)
        if 0 in shape:
            raise PlanError(f"{name}: empty, shape {list(shape)}.")
        return shape

    def width(self, norm: Module) -> int:
        """Return the number of channels of a norm."""
        shape = self.index.shape(norm.tensors["running_var"])
        if len(shape) != 1:
            raise PlanError(f"{norm.path}: running_var of shape {list(shape)}, expected one axis.")
        return shape[0]

    def inputs(self, node: Node) -> int | None:
        """Return how many channels a branch reads, as far as its own tensors tell."""
        match node:
            case Layer(_, attributes):
                return self._layer_inputs(node, dict(attributes))
            case Maybe(part):
                return self.inputs(part)
            case Chain(steps):
                # an identity, pool or number in front passes all channels on
                return self.inputs(next((s for s in steps if not copies(s)), steps[0]))
            case Sum(terms):
                told = next(filter(None, (self.inputs(t) for _, t in terms)), None)
                if told is None and any(copies(t) for _, t in terms):
                    # a parameter-free branch has as many inputs as the sum has outputs
                    told = self.outputs(node)
                return told
            case _:
                return None

    def _layer_inputs(self, layer: Layer, wanted: dict[str, str]) -> int | None:
        module = self.module(layer)
        if module.kind == "norm":
            return self.width(module)
        if module.kind == "scale":  # a single number fits any width
            count = math.prod(self.index.shape(module.path))
            return count if count > 1 else None
        if module.kind == "conv" and "transposed" in wanted:
            return self.kernel(module)[0]
        if module.kind == "conv" and "groups" in wanted:
            return self.kernel(module)[1] * self.axes("groups", wanted["groups"], 1)[0]
        return None

    def outputs(self, node: Node) -> int | None:
        """Return how many channels a branch gives, as far as its own tensors tell."""
        match node:
            case Layer(_, attributes):
                module = self.module(node)
                if module.kind == "norm":
                    return self.width(module)
                if module.kind == "conv" and "transposed" not in dict(attributes):
                    return self.kernel(module)[0]
                return None
            case Maybe(part):
                return self.outputs(part)
            case Chain(steps):
                return next(filter(None, (self.outputs(s) for s in reversed(steps))), None)
            case Sum(terms):
                return next(filter(None, (self.outputs(t) for _, t in terms)), None)
            case _:
                return None

    def fan_in(self, node: Node) -> int | None:
        """Return how many channels a branch reads whose first convolution is not grouped."""
        match node:
            case Layer():
                module = self.module(node)
                return self.kernel(module)[1] if module.kind == "conv" else None
            case Maybe(part):
                return self.fan_in(part)
            case Chain(steps):
                return self.fan_in(steps[0])
            case _:
                return None

    def check_vector(self, name: str | None, size: int) -> None:
        """Refuse a tensor that is not one number per channel."""
        if name is None:
            return
        self.check_dtype(name)
        if self.index.shape(name) != (size,):
            raise PlanError(f"{name}: shape {list(self.index.shape(name))}, expected [{size}].")

    def check_dtype(self, name: str) -> None:
        """Refuse a tensor whose numbers are not plain floats."""
        dtype = self.index.tensors[name].dtype
        if dtype not in FUSIBLE_DTYPES:
            raise PlanError(
                f"{name}: dtype {dtype} cannot be fused, expected {', '.join(FUSIBLE_DTYPES)}. "
                "Dequantise the checkpoint first."
            )

    def axes(self, what: str, text: str, rank: int) -> Axes:
        """Read `3` or `1x3` as one number per axis."""
        parts = text.split("x")
        least = 0 if what == "origin" else 1
        fits = all(p.isdecimal() and len(p) < 6 and least <= int(p) <= _LARGEST for p in parts)  # noqa: PLR2004
        if not fits or len(parts) not in (1, rank):
            raise PlanError(
                f"{self.where}: {what}={text}: expected {rank} whole numbers from {least} to "
                f"{_LARGEST}."
            )
        return tuple(map(int, parts)) if len(parts) == rank else (int(text),) * rank


_LARGEST = 4096  # of a kernel size, dilation or group count in a recipe; no net comes near


def copies(node: Node) -> bool:
    """Whether a branch passes its input on without a layer that fixes the channels."""
    match node:
        case Identity() | Average() | Number():
            return True
        case Chain(steps):
            return all(copies(s) for s in steps)
        case _:
            return False
