"""A branch expression bound to a checkpoint: tensor names and explicit geometry, no arrays.

`reparam.resolve` makes these trees from an expression and a header. They have two readings,
`reparam.fold` (one convolution) and `reparam.reference` (run it on an image), and both may ask for
a slab of output channels, so that a block is never in memory as a whole. What both need to know
about channels is here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

Axes = tuple[int, ...]
Border = Literal["zero", "image", "valid"]
"""What a convolution in a sequence sees beyond the image, see `reparam.merge_sequential`."""
Rows = tuple[int, int]
"""A half-open range of channels."""


class Read(Protocol):
    """Gives a tensor by name in its stored dtype, or some of its rows."""

    def __call__(self, name: str, rows: Rows | None = None, /) -> NDArray[Any]:
        """Return the tensor, or its rows `start:stop` along axis 0."""
        ...


@dataclass(frozen=True, slots=True)
class ConvOp:
    """A convolution or linear layer: `weight` has shape `(out, in // groups, *space)`."""

    weight: str
    bias: str | None
    shape: Axes
    groups: int
    dilation: Axes
    origin: Axes
    transposed: bool = False
    border: Border = "zero"

    @property
    def outputs(self) -> int:
        """Number of output channels."""
        return self.shape[1] * self.groups if self.transposed else self.shape[0]

    @property
    def inputs(self) -> int:
        """Number of input channels."""
        return self.shape[0] if self.transposed else self.shape[1] * self.groups


@dataclass(frozen=True, slots=True)
class NormOp:
    """A batch normalization with its statistics; `weight` and `bias` may be absent.

    Each entry of its vectors stands for `repeat` channels in a row.
    """

    mean: str
    var: str
    weight: str | None
    bias: str | None
    channels: int
    eps: float
    repeat: int = 1


@dataclass(frozen=True, slots=True)
class ScaleOp:
    """Multiplication by a stored vector, or by a stored number where `single`."""

    tensor: str
    channels: int
    single: bool = False


@dataclass(frozen=True, slots=True)
class ShiftOp:
    """Addition of a stored vector, or of a stored number where `single`."""

    tensor: str
    channels: int
    single: bool = False


@dataclass(frozen=True, slots=True)
class NumberOp:
    """Multiplication by a constant of the recipe."""

    value: float
    channels: int


@dataclass(frozen=True, slots=True)
class AverageOp:
    """An average pool at stride 1 that counts its zero padding."""

    size: Axes
    channels: int


@dataclass(frozen=True, slots=True)
class ChainOp:
    """Operations one after the other; with none, the identity."""

    steps: tuple[Operation, ...]
    channels: int


@dataclass(frozen=True, slots=True)
class SumOp:
    """Parallel branches with their signs."""

    terms: tuple[tuple[int, Operation], ...]


@dataclass(frozen=True, slots=True)
class WindowOp:
    """An operation on windows of `size` pixels, whose channels are given pixel by pixel."""

    inner: Operation
    size: Axes

    @property
    def pixels(self) -> int:
        """Pixels of a window."""
        return math.prod(self.size)


Operation = ConvOp | NormOp | ScaleOp | ShiftOp | NumberOp | AverageOp | ChainOp | SumOp | WindowOp


def outputs(op: Operation) -> int:
    """Return the number of output channels."""
    match op:
        case ConvOp():
            return op.outputs
        case WindowOp(inner):
            return outputs(inner) * op.pixels
        case ChainOp(steps):
            return outputs(steps[-1]) if steps else op.channels
        case SumOp(terms):
            return outputs(terms[0][1])
        case _:
            return op.channels


def inputs(op: Operation) -> int:
    """Return the number of input channels."""
    match op:
        case ConvOp():
            return op.inputs
        case WindowOp(inner):
            return inputs(inner) * op.pixels
        case ChainOp(steps):
            return inputs(steps[0]) if steps else op.channels
        case SumOp(terms):
            return inputs(terms[0][1])
        case _:
            return op.channels


def reach(op: Operation, rows: Rows) -> Rows:
    """Return the range of input channels that the output channels `rows` depend on.

    Args:
        op: Any operation.
        rows: Output channels; whole groups of every grouped convolution in it.
    """
    match op:
        case ConvOp():
            if op.groups == 1 or op.transposed:
                return 0, op.inputs
            per_group = op.outputs // op.groups
            first, last = rows[0] // per_group, -(-rows[1] // per_group)
            return first * op.shape[1], last * op.shape[1]
        case ChainOp(steps):
            for step in reversed(steps):
                rows = reach(step, rows)
            return rows
        case SumOp(terms):
            ranges = [reach(term, rows) for _, term in terms]
            return min(r[0] for r in ranges), max(r[1] for r in ranges)
        case WindowOp(inner):
            first, last = reach(inner, (rows[0] // op.pixels, -(-rows[1] // op.pixels)))
            return first * op.pixels, last * op.pixels
        case _:
            return rows


def row_unit(op: Operation) -> int:
    """Return how many consecutive output channels may not be separated."""
    match op:
        case ConvOp():
            if op.transposed:
                return op.outputs
            return op.outputs // op.groups if op.groups > 1 else 1
        case ChainOp(steps):
            unit = 1
            for position, step in enumerate(steps):
                last = all(
                    not isinstance(s, ConvOp | SumOp | ChainOp) for s in steps[position + 1 :]
                )
                if last or row_unit(step) == outputs(step):
                    unit = math.lcm(unit, row_unit(step))
                elif row_unit(step) > 1:
                    return outputs(op)  # grouped, then something else: keep it simple
            return min(unit, outputs(op))
        case SumOp(terms):
            return min(math.lcm(*(row_unit(t) for _, t in terms)), outputs(op))
        case WindowOp(inner):
            return row_unit(inner) * op.pixels
        case _:
            return 1


def leaves(op: Operation) -> Iterator[ConvOp | NormOp | ScaleOp | ShiftOp]:
    """Yield every operation that reads tensors."""
    match op:
        case ConvOp() | NormOp() | ScaleOp() | ShiftOp():
            yield op
        case ChainOp(steps):
            for step in steps:
                yield from leaves(step)
        case SumOp(terms):
            for _, term in terms:
                yield from leaves(term)
        case WindowOp(inner):
            yield from leaves(inner)
        case _:
            return


def tensor_names(op: Operation) -> Iterator[str]:
    """Yield the name of every tensor the operation reads."""
    for leaf in leaves(op):
        names: tuple[str | None, ...]
        match leaf:
            case ConvOp():
                names = (leaf.weight, leaf.bias)
            case NormOp():
                names = (leaf.mean, leaf.var, leaf.weight, leaf.bias)
            case ScaleOp() | ShiftOp():
                names = (leaf.tensor,)
        yield from (name for name in names if name is not None)


def shifts(op: Operation) -> bool:
    """Return whether the operation adds a constant, so that its convolution needs a bias."""
    return any(
        isinstance(x, NormOp | ShiftOp) or (isinstance(x, ConvOp) and x.bias) for x in leaves(op)
    )


def conv_norm_pair(op: Operation) -> tuple[ConvOp, NormOp] | None:
    """Return the two layers if the operation is a convolution followed by a norm, no more."""
    match op:
        case ChainOp((ConvOp() as conv, NormOp() as norm)):
            return conv, norm
        case _:
            return None
