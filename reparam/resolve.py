"""Binding an expression to a checkpoint's header: which tensors, how many groups, which geometry.

Works on names and shapes only. Groups are not stored in checkpoints; a kernel `(out, in // groups,
…)` tells them as soon as the number of inputs is known from a neighbour: the layer before, or an
identity branch beside (`reparam.channels`).
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from reparam import operations as ops
from reparam.channels import Known, copies
from reparam.errors import PlanError
from reparam.expression import Average, Chain, Identity, Layer, Maybe, Node, Number, Sum, layers
from reparam.recipe import finite_eps

if TYPE_CHECKING:
    from reparam.modules import Module, ModuleIndex
    from reparam.operations import Border, Operation


def resolve(tree: Node, index: ModuleIndex, block: str, eps: float) -> Operation:
    """Return the operation that an expression stands for in a checkpoint.

    Args:
        tree: An expression without placeholders.
        index: The layers of the checkpoint.
        block: Path that layer names are relative to; empty for the whole file.
        eps: Constant of the block's norms.

    Raises:
        PlanError: A layer is missing or of the wrong kind, or shapes do not compose.
    """
    return _Resolver(index, block, eps, tree).result


class _Resolver:
    """One descent through one expression."""

    def __init__(self, index: ModuleIndex, block: str, eps: float, tree: Node) -> None:
        self.index = index
        self.known = Known(index, block)
        self.eps = eps
        modules = [self.known.module(layer) for layer in layers(tree)]
        ranks = {len(self.known.kernel(m)) - 2 for m in modules if m.kind == "conv"}
        if len(ranks) > 1:
            raise PlanError(
                f"{self.known.where}: layers of {sorted(ranks)} spatial axes are mixed."
            )
        if all(m.kind != "conv" for m in modules):
            raise PlanError(f"{self.known.where}: no convolution or linear layer to fuse into.")
        self.rank = ranks.pop() if ranks else 0
        self.window, self.images = self._window(tree)
        self.result = self._any(tree, None)

    def _window(self, tree: Node) -> tuple[int, int]:
        """Return the side of the windows and the number of images, 0 without a window layer."""
        layer = next((x for x in layers(tree) if "window" in dict(x.attributes)), None)
        if layer is None:
            return 0, 0
        module = self.known.module(layer)
        shape = self.known.kernel(module) if module.kind == "conv" else (0, 0)
        side = math.isqrt(shape[1])
        if not side or side**2 != shape[1] or shape[0] % shape[1] or set(shape[2:]) - {1}:
            raise PlanError(
                f"{module.path}: kernel of shape {list(shape)}, expected (images * pixels, pixels) "
                "for the pixels of a square window."
            )
        return side, shape[0] // shape[1]

    def _in_window(self, node: Node) -> Operation:
        """Bind what reads the images of the windows, rather than their pixels as channels."""
        side, self.window = self.window, 0
        op = self._any(node, self.images)
        self.window = side
        if isinstance(op, ops.NormOp):
            return replace(op, channels=op.channels * side**2, repeat=side**2)
        return ops.WindowOp(op, (side,) * self.rank)

    def _any(self, node: Node, channels: int | None) -> Operation:
        if self.window and not _holds_window(node):
            return self._in_window(node)
        match node:
            case Layer():
                return self._layer(node, channels)
            case Chain(steps):
                return self._chain(steps, channels)
            case Sum(terms):
                return self._sum(terms, channels)
            case Maybe(part):
                return self._any(part, channels)
            case Identity() | Average() | Number():
                return self._unnamed(node, channels)

    def _unnamed(self, node: Identity | Average | Number, channels: int | None) -> Operation:
        if channels is None:
            raise PlanError(
                f"{self.known.where}: the number of channels of an identity or pool is not known "
                "from a layer before or beside it."
            )
        match node:
            case Identity():
                return ops.ChainOp((), channels)
            case Number(value):
                return ops.NumberOp(value, channels)
            case Average(size):
                return ops.AverageOp(self.known.axes("avg", size, self.rank), channels)

    def _chain(self, steps: tuple[Node, ...], channels: int | None) -> Operation:
        done: list[Operation] = []
        known = channels or self.known.inputs(Chain(steps))
        if known is None and copies(steps[0]):  # a number or pool in front of the first layer
            after = next((s for s in steps if not copies(s)), steps[0])
            known = self.known.inputs(after) or self.known.fan_in(after)
        for step in steps:
            self._check_marked(step, steps[: len(done)])
            done.append(self._any(step, known))
            known = ops.outputs(done[-1])
        return ops.ChainOp(tuple(done), ops.inputs(done[0]))

    def _check_marked(self, step: Node, before: tuple[Node, ...]) -> None:
        """Refuse a convolution where the recipe's names suggest a norm.

        A sequence of convolutions has to be meant: `border` says what the later one sees beyond
        the image, `kernel` which kernel it must have.
        """
        if isinstance(step, Layer) and not {"border", "kernel"} & dict(step.attributes).keys():
            module = self.known.module(step)
            earlier = (self.known.module(x) for s in before for x in layers(s))
            if module.kind == "conv" and any(m.kind == "conv" for m in earlier):
                raise PlanError(
                    f"{module.path} is a convolution where a norm is expected. If a sequence of "
                    f"convolutions is meant, write {step.name}[border=…] in the recipe."
                )

    def _sum(self, terms: tuple[tuple[int, Node], ...], channels: int | None) -> Operation:
        channels = channels or self.known.inputs(Sum(terms))
        done = tuple((sign, self._any(t, channels)) for sign, t in terms)
        for what, count in (("inputs", ops.inputs), ("outputs", ops.outputs)):
            sizes = [count(op) for _, op in done]
            if len(set(sizes)) > 1:
                odd = next(i for i, size in enumerate(sizes) if size != sizes[0])
                names = [next((x.name for x in layers(t)), "id") for _, t in terms]
                raise PlanError(
                    f"{self.known.where}: branch {names[odd]!r} has {sizes[odd]} {what} but "
                    f"{names[0]!r} has {sizes[0]}. If the layer is grouped, write "
                    f"{names[odd]}[groups=…] in the recipe."
                )
        return ops.SumOp(done)

    def _layer(self, layer: Layer, channels: int | None) -> Operation:
        module = self.known.module(layer)
        match module.kind:
            case "conv":
                return self._conv(layer, module, channels)
            case "norm":
                return self._norm(layer, module, channels)
            case "scale":
                return self._vector(layer, module, channels)
            case "other":
                raise PlanError(
                    f"{module.path}: its tensors {sorted(module.tensors)} make neither a "
                    "convolution nor a batch norm with running_mean and running_var "
                    "(track_running_stats=False and layer norms cannot be fused)."
                )

    def _conv(self, layer: Layer, module: Module, channels: int | None) -> ops.ConvOp:
        shape = self.known.kernel(module)
        wanted = dict(layer.attributes)
        space = shape[2:]
        if "kernel" in wanted:
            self._check_kernel(module, wanted["kernel"], space)
        transposed = "transposed" in wanted
        groups = self.images if "window" in wanted else 1
        if "window" in wanted:
            channels = None
        elif "groups" in wanted:
            groups = self.known.axes("groups", wanted["groups"], 1)[0]
        elif channels is not None and not transposed and channels % shape[1] == 0:
            groups = channels // shape[1]
        takes = shape[0] if transposed else shape[1] * groups
        if channels not in (None, takes) or shape[0] % groups:
            raise PlanError(
                f"{self.known.where}: {module.tensors['weight']!r} of shape {list(shape)} takes "
                f"{takes} channels with {groups} groups but {channels} come in. "
                f"If the layer is grouped, write {layer.name}[groups=…] in the recipe."
            )
        dilation = self.known.axes("dilation", wanted.get("dilation", "1"), self.rank)
        origin = tuple(d * (k - 1) // 2 for d, k in zip(dilation, space, strict=True))
        if "origin" in wanted:
            origin = self.known.axes("origin", wanted["origin"], self.rank)
        borders: dict[str, Border] = {"zero": "zero", "image": "image", "valid": "valid"}
        border = borders.get(wanted.get("border", "zero"))
        if border is None:
            raise PlanError(
                f"{layer.name}: border={wanted['border']}: expected zero, image, valid."
            )
        op = ops.ConvOp(
            module.tensors["weight"],
            module.tensors.get("bias"),
            shape,
            groups,
            dilation,
            origin,
            transposed,
            border,
        )
        self.known.check_vector(op.bias, op.outputs)
        return op

    def _check_kernel(self, module: Module, wanted: str, space: tuple[int, ...]) -> None:
        """Refuse a kernel of another size than the recipe says."""
        seen = "x".join(map(str, space))
        if wanted == "odd":
            if not all(taps % 2 for taps in space):
                raise PlanError(f"{module.path}: kernel {seen}, expected odd sizes.")
        elif self.known.axes("kernel", wanted, self.rank) != space:
            raise PlanError(f"{module.path}: kernel {seen}, expected {wanted}.")

    def _norm(self, layer: Layer, module: Module, channels: int | None) -> ops.NormOp:
        tensors = module.tensors
        eps = self.eps
        if text := dict(layer.attributes).get("eps"):
            own = finite_eps(_number(text))
            if own is None:
                raise PlanError(
                    f"{module.path}: eps={text}: expected a finite number of at least 0."
                )
            eps = own
        size = self.index.shape(tensors["running_var"])
        if len(size) != 1 or channels not in (None, size[0]):
            hint = ""
            if channels is not None:
                hint = (
                    " A norm of another width does not follow that layer; it may stand before it "
                    "(a pre-activation net)."
                )
            raise PlanError(f"{module.path}: {list(size)} channels where {channels} come in.{hint}")
        for role in ("running_mean", "weight", "bias"):
            self.known.check_vector(tensors.get(role), size[0])
        self.known.check_dtype(tensors["running_var"])
        return ops.NormOp(
            tensors["running_mean"],
            tensors["running_var"],
            tensors.get("weight"),
            tensors.get("bias"),
            size[0],
            eps,
        )

    def _vector(
        self, layer: Layer, module: Module, channels: int | None
    ) -> ops.ScaleOp | ops.ShiftOp:
        shape = self.index.shape(module.path)
        self.known.check_dtype(module.path)
        size = 1
        for axis in shape:
            size *= axis
        if max(shape, default=1) != size:
            raise PlanError(f"{module.path}: shape {list(shape)}, expected a per-channel vector.")
        if size not in (1, channels or size):
            raise PlanError(f"{module.path}: {size} numbers where {channels} channels come in.")
        if size == 1 and channels is None:
            raise PlanError(f"{module.path}: no neighbour tells how many channels it has.")
        kind = ops.ShiftOp if "add" in dict(layer.attributes) else ops.ScaleOp
        return kind(module.path, channels or size, single=size == 1)


def _holds_window(node: Node) -> bool:
    return any("window" in dict(layer.attributes) for layer in layers(node))


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
