"""Binding an expression to a checkpoint's header: which tensors, how many groups, which geometry.

Works on names and shapes only. Groups are not stored in checkpoints; a kernel `(out, in // groups,
…)` tells them as soon as the number of inputs is known from a neighbour: the layer before, or an
identity branch beside.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reparam import operations as ops
from reparam.errors import PlanError
from reparam.expression import Average, Chain, Identity, Layer, Maybe, Node, Number, Sum, layers
from reparam.recipe import finite_eps

if TYPE_CHECKING:
    from reparam.modules import Module, ModuleIndex
    from reparam.operations import Axes, Border, Operation

_LARGEST = 4096  # of a kernel size, dilation or group count in a recipe; no net comes near

FUSIBLE_DTYPES = ("float64", "float32", "float16", "bfloat16")


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
        self.block = block
        self.eps = eps
        modules = [self._module(layer) for layer in layers(tree)]
        ranks = {len(self._weight_shape(m)) - 2 for m in modules if m.kind == "conv"}
        if len(ranks) > 1:
            raise PlanError(f"{self._where()}: layers of {sorted(ranks)} spatial axes are mixed.")
        if all(m.kind != "conv" for m in modules):
            raise PlanError(f"{self._where()}: no convolution or linear layer to fuse into.")
        self.rank = ranks.pop() if ranks else 0
        self.result = self._any(tree, None)

    def _any(self, node: Node, channels: int | None) -> Operation:
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
                f"{self._where()}: the number of channels of an identity or pool is not known "
                "from a layer before or beside it."
            )
        match node:
            case Identity():
                return ops.ChainOp((), channels)
            case Number(value):
                return ops.NumberOp(value, channels)
            case Average(size):
                return ops.AverageOp(self._axes("avg", size), channels)

    def _chain(self, steps: tuple[Node, ...], channels: int | None) -> Operation:
        done: list[Operation] = []
        known = channels or self._inputs(steps[0])
        if known is None and _copies(steps[0]):  # a number or pool in front of the first layer
            after = next((s for s in steps if not _copies(s)), steps[0])
            known = self._inputs(after) or self._fan_in(after)
        for step in steps:
            if any(isinstance(s, Layer) for s in steps[: len(done)]):
                self._check_marked(step)
            done.append(self._any(step, known))
            known = ops.outputs(done[-1])
        return ops.ChainOp(tuple(done), ops.inputs(done[0]))

    def _check_marked(self, step: Node) -> None:
        """Refuse a convolution where the recipe's names suggest a norm.

        A sequence of convolutions has to be meant: `border` says what the later one sees beyond
        the image, `kernel` which kernel it must have.
        """
        if isinstance(step, Layer) and not {"border", "kernel"} & dict(step.attributes).keys():
            module = self._module(step)
            if module.kind == "conv":
                raise PlanError(
                    f"{module.path} is a convolution where a norm is expected. If a sequence of "
                    f"convolutions is meant, write {step.name}[border=…] in the recipe."
                )

    def _sum(self, terms: tuple[tuple[int, Node], ...], channels: int | None) -> Operation:
        if channels is None:
            channels = next(filter(None, (self._inputs(t) for _, t in terms)), None)
        if channels is None and any(_copies(t) for _, t in terms):
            # a parameter-free branch has as many inputs as the sum has outputs
            channels = next(filter(None, (self._outputs(t) for _, t in terms)), None)
        done = tuple((sign, self._any(t, channels)) for sign, t in terms)
        for what, count in (("inputs", ops.inputs), ("outputs", ops.outputs)):
            sizes = [count(op) for _, op in done]
            if len(set(sizes)) > 1:
                odd = next(i for i, size in enumerate(sizes) if size != sizes[0])
                names = [next((x.name for x in layers(t)), "id") for _, t in terms]
                raise PlanError(
                    f"{self._where()}: branch {names[odd]!r} has {sizes[odd]} {what} but "
                    f"{names[0]!r} has {sizes[0]}. If the layer is grouped, write "
                    f"{names[odd]}[groups=…] in the recipe."
                )
        return ops.SumOp(done)

    def _layer(self, layer: Layer, channels: int | None) -> Operation:
        module = self._module(layer)
        match module.kind:
            case "conv":
                return self._conv(layer, module, channels)
            case "norm":
                return self._norm(layer, module, channels)
            case "scale":
                return self._scale(module, channels)
            case "other":
                raise PlanError(
                    f"{module.path}: its tensors {sorted(module.tensors)} make neither a "
                    "convolution nor a batch norm with running_mean and running_var "
                    "(track_running_stats=False and layer norms cannot be fused)."
                )

    def _conv(self, layer: Layer, module: Module, channels: int | None) -> ops.ConvOp:
        shape = self._weight_shape(module)
        wanted = dict(layer.attributes)
        space = shape[2:]
        if "kernel" in wanted and self._axes("kernel", wanted["kernel"]) != space:
            raise PlanError(
                f"{module.path}: kernel {'x'.join(map(str, space))}, expected {wanted['kernel']}."
            )
        transposed = "transposed" in wanted
        groups = 1
        if "groups" in wanted:
            groups = self._axes("groups", wanted["groups"], rank=1)[0]
        elif channels is not None and not transposed and channels % shape[1] == 0:
            groups = channels // shape[1]
        takes = shape[0] if transposed else shape[1] * groups
        if channels not in (None, takes) or shape[0] % groups:
            raise PlanError(
                f"{self._where()}: {module.tensors['weight']!r} of shape {list(shape)} takes "
                f"{takes} channels with {groups} groups but {channels} come in. "
                f"If the layer is grouped, write {layer.name}[groups=…] in the recipe."
            )
        dilation = self._axes("dilation", wanted.get("dilation", "1"))
        origin = tuple(d * (k - 1) // 2 for d, k in zip(dilation, space, strict=True))
        if "origin" in wanted:
            origin = self._axes("origin", wanted["origin"])
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
        self._check_vector(op.bias, op.outputs)
        return op

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
            self._check_vector(tensors.get(role), size[0])
        self._check_dtype(tensors["running_var"])
        return ops.NormOp(
            tensors["running_mean"],
            tensors["running_var"],
            tensors.get("weight"),
            tensors.get("bias"),
            size[0],
            eps,
        )

    def _scale(self, module: Module, channels: int | None) -> ops.ScaleOp:
        shape = self.index.shape(module.path)
        self._check_dtype(module.path)
        size = 1
        for axis in shape:
            size *= axis
        if max(shape, default=1) != size:
            raise PlanError(f"{module.path}: shape {list(shape)}, expected a per-channel vector.")
        if size not in (1, channels or size):
            raise PlanError(f"{module.path}: {size} factors where {channels} channels come in.")
        if size == 1 and channels is None:
            raise PlanError(f"{module.path}: no neighbour tells how many channels it scales.")
        return ops.ScaleOp(module.path, channels or size, single=size == 1)

    def _inputs(self, node: Node) -> int | None:
        """Inputs of a branch as far as its own tensors tell."""
        match node:
            case Layer(_, attributes):
                module = self._module(node)
                if module.kind == "norm":
                    return self._width(module)
                if module.kind == "conv" and "transposed" in dict(attributes):
                    return self._weight_shape(module)[0]
                if module.kind == "conv" and (found := dict(attributes).get("groups")):
                    groups = self._axes("groups", found, rank=1)[0]
                    return self._weight_shape(module)[1] * groups
                return None
            case Chain(steps):
                return self._inputs(steps[0])
            case Sum(terms):
                return next(filter(None, (self._inputs(t) for _, t in terms)), None)
            case _:
                return None

    def _outputs(self, node: Node) -> int | None:
        """Outputs of a branch as far as its own tensors tell."""
        match node:
            case Layer(_, attributes):
                module = self._module(node)
                if module.kind == "norm":
                    return self._width(module)
                if module.kind == "conv" and "transposed" not in dict(attributes):
                    return self._weight_shape(module)[0]
                return None
            case Chain(steps):
                return next(filter(None, (self._outputs(s) for s in reversed(steps))), None)
            case Sum(terms):
                return next(filter(None, (self._outputs(t) for _, t in terms)), None)
            case _:
                return None

    def _fan_in(self, node: Node) -> int | None:
        """Inputs of a convolution, taken for ungrouped."""
        if not isinstance(node, Layer) or self._module(node).kind != "conv":
            return None
        return self._weight_shape(self._module(node))[1]

    def _width(self, norm: Module) -> int:
        shape = self.index.shape(norm.tensors["running_var"])
        if len(shape) != 1:
            raise PlanError(f"{norm.path}: running_var of shape {list(shape)}, expected one axis.")
        return shape[0]

    def _module(self, layer: Layer) -> Module:
        path = f"{self.block}.{layer.name}" if self.block else layer.name
        module = self.index.get(path)
        if module is None:
            raise PlanError(f"{path}: no such layer in the checkpoint.")
        return module

    def _weight_shape(self, module: Module) -> Axes:
        name = module.tensors["weight"]
        self._check_dtype(name)
        shape = self.index.shape(name)
        if 0 in shape:
            raise PlanError(f"{name}: empty, shape {list(shape)}.")
        return shape

    def _check_vector(self, name: str | None, size: int) -> None:
        if name is None:
            return
        self._check_dtype(name)
        if self.index.shape(name) != (size,):
            raise PlanError(f"{name}: shape {list(self.index.shape(name))}, expected [{size}].")

    def _check_dtype(self, name: str) -> None:
        dtype = self.index.tensors[name].dtype
        if dtype not in FUSIBLE_DTYPES:
            raise PlanError(
                f"{name}: dtype {dtype} cannot be fused, expected {', '.join(FUSIBLE_DTYPES)}. "
                "Dequantise the checkpoint first."
            )

    def _axes(self, what: str, text: str, rank: int | None = None) -> Axes:
        """Read `3` or `1x3` as one number per axis."""
        rank = self.rank if rank is None else rank
        parts = text.split("x")
        least = 0 if what == "origin" else 1
        fits = all(p.isdecimal() and len(p) < 6 and least <= int(p) <= _LARGEST for p in parts)  # noqa: PLR2004
        if not fits or len(parts) not in (1, rank):
            raise PlanError(
                f"{self._where()}: {what}={text}: expected {rank} whole numbers from {least} to "
                f"{_LARGEST}."
            )
        return tuple(map(int, parts)) if len(parts) == rank else (int(text),) * rank

    def _where(self) -> str:
        return self.block or "the checkpoint"


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _copies(node: Node) -> bool:
    """Whether a branch passes its input on without a layer that fixes the channels."""
    match node:
        case Identity() | Average() | Number():
            return True
        case Chain(steps):
            return all(_copies(s) for s in steps)
        case _:
            return False
