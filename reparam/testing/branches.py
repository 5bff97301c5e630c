"""Whole blocks: sums and sequences of branches that have one convolution as their exact equal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import strategies as st

from reparam import operations as ops
from reparam import reference
from reparam.checkpoint import TensorInfo
from reparam.expression import (
    Average,
    Chain,
    Identity,
    Layer,
    Line,
    Node,
    Number,
    Sum,
    format_line,
)
from reparam.fold import fold
from reparam.modules import ModuleIndex
from reparam.resolve import resolve
from reparam.testing.layers import (
    StateDict,
    batch_norms,
    channel_counts,
    convs,
    integers,
    ranks,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from reparam.linear import Conv
    from reparam.operations import Operation, Rows
    from reparam.testing.layers import Draw


@dataclass(frozen=True, slots=True, repr=False)
class BranchTree:
    """A block in train form: an expression, and tensors under the names in it.

    Attributes:
        line: The expression, as a recipe would say it; what it makes is called `fused`.
        tensors: The tensors of its layers by name, as a state dict of the block holds them.
        op: What the expression stands for.
        rank: Number of spatial axes.
    """

    line: str
    tensors: StateDict
    op: Operation
    rank: int

    def __repr__(self) -> str:
        return f"BranchTree({self.line!r}, {self.tensors})"

    @property
    def inputs(self) -> int:
        """Number of input channels."""
        return ops.inputs(self.op)

    @property
    def outputs(self) -> int:
        """Number of output channels."""
        return ops.outputs(self.op)

    def read(self, name: str, rows: Rows | None = None, /) -> NDArray[Any]:
        """Return a tensor, or some of its rows."""
        return self.tensors[name] if rows is None else self.tensors[name][slice(*rows)]

    def run(self, x: NDArray[Any]) -> NDArray[Any]:
        """Run the layers one by one, by their definitions; this shares no code with `fold`.

        Args:
            x: `(batch, inputs, *space)`, of any size; its dtype is the one all is computed in.

        Returns:
            `(batch, outputs, *space)`.
        """
        return reference.run(self.op, self.read, x)

    def fold(self) -> Conv:
        """Return the one convolution that computes the same, in float64."""
        return fold(self.op, self.read)


class _Builder:
    """Draws layers and keeps their tensors."""

    def __init__(self, draw: Draw, rank: int) -> None:
        self.draw, self.rank = draw, rank
        self.tensors = StateDict()
        self.count = 0

    def layer(self, tensors: dict[str, NDArray[Any] | None], **attributes: str) -> Layer:
        """Name a layer; the tensor of no role is the layer."""
        name, self.count = f"layer{self.count}", self.count + 1
        for role, values in tensors.items():
            if values is not None:
                self.tensors[f"{name}.{role}" if role else name] = values
        return Layer(name, tuple(attributes.items()))

    def conv(
        self,
        inputs: int,
        outputs: int,
        *,
        bias: bool | None = None,
        border: str = "zero",
        point: bool = False,
        transposed: bool = False,
    ) -> Layer:
        fixed: dict[str, Any] = {"kernel_size": 1, "origin": 0} if point else {}
        drawn: Conv = self.draw(
            convs(self.rank, inputs, outputs, stride=1, bias=bias, transposed=transposed, **fixed)
        )
        wanted = drawn.bias.any() if bias is None else bias
        added = drawn.bias.astype(np.float32) if wanted else None
        # with a border, a convolution may follow another one
        attributes = {"groups": str(drawn.groups), "border": border}
        if self.rank:
            geometry = {"dilation": drawn.dilation, "origin": drawn.origin}
            attributes |= {key: "x".join(map(str, axes)) for key, axes in geometry.items()}
        tensors = {"weight": drawn.kernel.astype(np.float32), "bias": added}
        return self.layer(tensors, **attributes, **({"transposed": ""} if transposed else {}))

    def norm(self, channels: int) -> Layer:
        # weight and bias or neither, as in every framework but Keras
        norm = self.draw(batch_norms(channels, affine=self.draw(st.booleans())))
        eps = norm.pop("eps")
        return self.layer(norm, eps=repr(eps))

    def scale(self, channels: int) -> Layer:
        single = self.draw(st.booleans())
        return self.layer({"": self.draw(integers((1 if single else channels,)))})

    def number(self) -> Number:
        return Number(self.draw(st.sampled_from([2.0, 0.5, 3.0])))

    def average(self) -> Average:
        size = [1] * self.rank
        size[self.draw(st.integers(0, self.rank - 1))] = self.draw(st.sampled_from([2, 4]))
        return Average("x".join(map(str, size)))

    def plain(self, inputs: int, outputs: int) -> list[Node]:
        return [self.conv(inputs, outputs), self.norm(outputs)]

    def scaled(self, inputs: int, outputs: int) -> list[Node]:
        return [self.conv(inputs, outputs), self.scale(outputs), self.number()]

    def channelwise(self, inputs: int, _: int) -> list[Node]:
        count = self.draw(st.integers(0, 3))
        steps: list[Node] = [self.norm(inputs)] if count > 0 else []
        steps += [self.scale(inputs)] if count > 1 else []
        return [*steps, self.number()] if count == 3 else steps or [Identity()]  # noqa: PLR2004  a third part

    def padded(self, inputs: int, outputs: int) -> list[Node]:
        """A zero-padded convolution behind a layer that maps zero to zero."""
        return [self.conv(inputs, outputs, point=True, bias=False), self.conv(outputs, outputs)]

    def imaged(self, inputs: int, outputs: int) -> list[Node]:
        """A convolution that sees beyond the border what the layer before makes of zeros."""
        first = [self.conv(inputs, outputs, point=True, bias=True), self.norm(outputs)]
        return [*first, self.conv(outputs, outputs, border="image"), self.norm(outputs)]

    def valid(self, inputs: int, outputs: int) -> list[Node]:
        """Two padded convolutions of which only the first sees a padded image."""
        first = [self.conv(inputs, outputs), self.norm(outputs)]
        return [*first, self.conv(outputs, outputs, border="valid")]

    def pooled(self, inputs: int, outputs: int) -> list[Node]:
        first = self.conv(inputs, outputs, point=True, bias=False)
        return [first, self.average(), self.norm(outputs)]

    def nested(self, inputs: int, outputs: int) -> list[Node]:
        """A sum of branches behind a layer that maps zero to zero."""
        terms = ((1, self.conv(outputs, outputs)), (-1, Identity()))
        return [self.conv(inputs, outputs, point=True, bias=False), Sum(terms)]

    def transposed(self, inputs: int, outputs: int) -> list[Node]:
        """A transposed convolution with its norm."""
        return [self.conv(inputs, outputs, transposed=True), self.norm(outputs)]


KINDS: dict[str, Callable[[_Builder, int, int], list[Node]]] = {
    "plain": _Builder.plain,
    "scaled": _Builder.scaled,
    "channelwise": _Builder.channelwise,
    "padded": _Builder.padded,
    "imaged": _Builder.imaged,
    "valid": _Builder.valid,
    "pooled": _Builder.pooled,
    "nested": _Builder.nested,
}
"""Branches that have one convolution as their exact equal, by name."""

TRANSPOSED = "transposed"
"""The kind of block that is one branch only."""


@st.composite
def branch_trees(draw: Draw, kind: str | None = None) -> BranchTree:
    """Blocks of dyadic numbers that fold exactly: one to three branches with signs.

    Args:
        draw: Given by Hypothesis.
        kind: What the first branch is. `plain` is a convolution with its norm, `scaled` one with
            factors; `channelwise` has no kernel, down to the identity. Of sequences, `padded` has
            a zero-padded convolution behind a 1x1 without bias, `imaged` one that sees beyond the
            border what the 1x1 before makes of zeros, and `valid` one that sees no border; `pooled`
            ends with an average pool, and `nested` with a sum. `transposed` is a single transposed
            convolution with its norm. None for any but that.

    Returns:
        A strategy for `BranchTree`.

    Raises:
        ValueError: `kind` is none of them.

    Example:
        >>> from hypothesis import given
        >>> import numpy as np
        >>> @given(branch_trees())
        ... def test(tree):
        ...     conv = tree.fold()
        ...     nothing = np.zeros((1, tree.inputs, *[4] * tree.rank))
        ...     bias = conv.bias.reshape(-1, *[1] * tree.rank)
        ...     assert (tree.run(nothing)[0] == bias).all()  # also at the borders
        >>> test()
    """
    if kind not in (None, TRANSPOSED, *KINDS):
        raise ValueError(f"kind={kind!r}: expected one of {', '.join((*KINDS, TRANSPOSED))}.")
    first: str = kind or draw(st.sampled_from(sorted(KINDS)))
    rank = draw(st.integers(1, 3)) if first in ("valid", "pooled") else draw(ranks)
    builder = _Builder(draw, rank)
    inputs = draw(channel_counts)
    square = first == "channelwise" or draw(st.booleans())
    outputs = inputs if square else draw(channel_counts)
    terms: list[tuple[int, Node]]
    if first == TRANSPOSED:
        terms = [(1, Chain(tuple(builder.transposed(inputs, outputs))))]
    else:
        others = [k for k in KINDS if (square or k != "channelwise") and (rank or k != "pooled")]
        kinds = [first, *draw(st.lists(st.sampled_from(others), max_size=2))]
        kinds += ["plain"] if set(kinds) == {"channelwise"} else []
        drawn = [
            (draw(st.sampled_from([1, -1])), KINDS[k](builder, inputs, outputs)) for k in kinds
        ]
        terms = [(sign, _chain(steps)) for sign, steps in drawn]
    tree = terms[0][1] if len(terms) == 1 and terms[0][0] > 0 else Sum(tuple(terms))
    header = {k: TensorInfo(v.shape, v.dtype.name) for k, v in builder.tensors.items()}
    op = resolve(tree, ModuleIndex(header), "", eps=0.0)
    return BranchTree(format_line(Line(tree, "fused")), builder.tensors, op, rank)


def _chain(steps: list[Node]) -> Node:
    return steps[0] if len(steps) == 1 else Chain(tuple(steps))
