"""Mistakes with the tensors of one layer, made in all layers of a block alike or in one of them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from reparam import operations as ops
from reparam.edits import edit, path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from reparam.edits import Change, Leaf, Made
    from reparam.linear import Array
    from reparam.operations import ConvOp, NormOp, Operation, Rows

    Norms = Callable[[NormOp, Made], tuple[Operation, ...] | None]
    Kernels = Callable[[ConvOp, Made], ConvOp | None]

EPS = (1e-5, 1e-3, 1.001e-5, 1e-6, 0.0, 1e-4, 1e-2, 1e-7, 1e-8, 1e-12)
"""Constants in use, the usual ones first; 1.001e-5 is Caffe2's and cuDNN's guard against 1e-5."""

MOST_LAYERS = 8
"""Layers of a block that are tried one by one."""


def eps_text(eps: float) -> str:
    """Return what is said about a constant."""
    return f"with eps={eps!r}" if eps else "without eps (eps=0)"


def with_eps(eps: float) -> Change:
    """Return the change of the constant of all norms that have another."""

    def change(leaf: Leaf) -> tuple[Operation, ...] | None:
        if not isinstance(leaf, ops.NormOp) or leaf.eps == eps:
            return None
        return (replace(leaf, eps=eps),)

    return change


def eps_mistakes(op: Operation, *, single: bool) -> Iterator[tuple[str, Operation]]:
    """Yield the block with every other constant in use."""
    for eps in EPS:
        yield from everywhere(op, with_eps(eps), eps_text(eps), single=single)


def eps_in_float32(op: Operation) -> Iterator[tuple[str, Operation]]:
    """Yield the block with its constant as float32 holds it."""
    for eps in dict.fromkeys(x.eps for x in ops.leaves(op) if isinstance(x, ops.NormOp)):
        near = float(np.float32(eps))
        text = f"with eps={eps!r} in float32 ({near!r})"
        yield from everywhere(op, with_eps(near), text, single=False)


def norm_mistakes(op: Operation, made: Made, *, single: bool) -> Iterator[tuple[str, Operation]]:
    """Yield the block with its norms taken wrongly, the likely ways first."""
    for text, change in _NORMS:
        yield from everywhere(op, in_norms(change, made), text, single=single)


def kernel_mistakes(op: Operation, made: Made, *, single: bool) -> Iterator[tuple[str, Operation]]:
    """Yield the block with its kernels turned some other way."""
    for text, one, change in _KERNELS:
        yield from everywhere(op, _kernels(change, made), text, one, single=single)


def everywhere(
    op: Operation, change: Change, text: str, one: str = "", *, single: bool
) -> Iterator[tuple[str, Operation]]:
    """Yield an operation with all leaves changed, or with one of them, which the text names.

    Args:
        op: A block.
        change: Gives None for leaves it leaves alone.
        text: What is said about a change in all of them.
        one: What is said about a change in one, `{}` being the layer.
        single: Whether to change them one by one, if there are several.
    """
    leaves = [leaf for leaf in dict.fromkeys(ops.leaves(op)) if change(leaf) is not None]
    if leaves and not single:
        alone = len(leaves) == 1 and one
        yield one.format(path(leaves[0])) if alone else text, edit(op, change)
    for leaf in leaves[:MOST_LAYERS] if single and len(leaves) > 1 else ():
        said = one or f"{text} in norm '{{}}'"
        yield said.format(path(leaf)), edit(op, _only(leaf, change))


def _only(leaf: Leaf, change: Change) -> Change:
    return lambda other: change(other) if other == leaf else None


def in_norms(change: Norms, made: Made) -> Change:
    """Return the change, made in norms only."""
    return lambda leaf: change(leaf, made) if isinstance(leaf, ops.NormOp) else None


def _deviation(norm: NormOp, made: Made, how: str, root: Callable[[Array, float], Array]) -> str:
    """Name the variance that gives a norm with eps=0 the divisor `root(var, eps)`."""
    return made.vector(f"{norm.var} {how}", lambda: root(made.float64(norm.var), norm.eps) ** 2)


def _outside(norm: NormOp, made: Made) -> tuple[Operation, ...] | None:
    var = _deviation(norm, made, "with eps outside", lambda v, eps: np.sqrt(v) + eps)
    return (replace(norm, var=var, eps=0.0),) if norm.eps else None


def _unrooted(norm: NormOp, made: Made) -> tuple[Operation, ...]:
    var = _deviation(norm, made, "as deviation", lambda v, eps: v + eps)
    return (replace(norm, var=var, eps=0.0),)


def _exchanged(norm: NormOp, _: Made) -> tuple[Operation, ...] | None:
    if norm.weight is None or norm.bias is None:
        return None
    return (replace(norm, weight=norm.bias, bias=norm.weight),)


def _added_mean(norm: NormOp, made: Made) -> tuple[Operation, ...]:
    mean = made.vector(f"{norm.mean} negative", lambda: -made.float64(norm.mean))
    return (replace(norm, mean=mean),)


def _no_mean(norm: NormOp, made: Made) -> tuple[Operation, ...]:
    mean = made.vector(f"{norm.mean} zero", lambda: 0 * made.float64(norm.mean))
    return (replace(norm, mean=mean),)


def _no_gamma(norm: NormOp, _: Made) -> tuple[Operation, ...] | None:
    return (replace(norm, weight=None),) if norm.weight else None


def _no_beta(norm: NormOp, _: Made) -> tuple[Operation, ...] | None:
    return (replace(norm, bias=None),) if norm.bias else None


def _twice(norm: NormOp, _: Made) -> tuple[Operation, ...]:
    return norm, norm


def _nothing(_: NormOp, __: Made) -> tuple[Operation, ...]:
    return ()


_NORMS: tuple[tuple[str, Norms], ...] = (
    ("with eps outside the root", _outside),
    ("with gamma and beta exchanged", _exchanged),
    ("with the running variance as standard deviation", _unrooted),
    ("with the running mean added, not subtracted", _added_mean),
    ("without the running mean", _no_mean),
    ("without gamma", _no_gamma),
    ("without beta", _no_beta),
    ("with the norm applied twice", _twice),
    ("with the norm left out", _nothing),
)


def _kernels(change: Kernels, made: Made) -> Change:
    def changed(leaf: Leaf) -> tuple[Operation, ...] | None:
        conv = change(leaf, made) if isinstance(leaf, ops.ConvOp) else None
        return None if conv is None else (conv,)

    return changed


def _flipped(conv: ConvOp, made: Made) -> ConvOp | None:
    if max(conv.shape[2:], default=1) == 1:
        return None
    back: tuple[Any, ...] = (..., *(slice(None, None, -1) for _ in conv.shape[2:]))

    def make(rows: Rows | None) -> NDArray[Any]:
        kernel = made(conv.weight) if rows is None else made(conv.weight, rows)
        turned: NDArray[Any] = kernel[back]
        return turned

    return replace(conv, weight=made.tensor(f"{conv.weight} flipped", make))


def _transposed(conv: ConvOp, made: Made) -> ConvOp | None:
    if conv.shape[0] != conv.shape[1] or conv.shape[0] == 1:
        return None
    name = f"{conv.weight} transposed"
    return replace(conv, weight=made.vector(name, lambda: made(conv.weight).swapaxes(0, 1)))


def _turned(conv: ConvOp, made: Made) -> ConvOp | None:
    if len(conv.shape) != 4 or max(conv.shape[2:]) == 1:  # noqa: PLR2004  two spatial axes
        return None

    def make(rows: Rows | None) -> NDArray[Any]:
        kernel = made(conv.weight) if rows is None else made(conv.weight, rows)
        return kernel.swapaxes(2, 3)

    return replace(
        conv,
        weight=made.tensor(f"{conv.weight} turned", make),
        shape=(*conv.shape[:2], *conv.shape[:1:-1]),
        dilation=conv.dilation[::-1],
        origin=conv.origin[::-1],
    )


_KERNELS: tuple[tuple[str, str, Kernels], ...] = (
    ("with flipped kernels", "with the kernel of '{}' flipped", _flipped),
    (
        "with inputs and outputs of its kernels exchanged",
        "with inputs and outputs of the kernel of '{}' exchanged",
        _transposed,
    ),
    (
        "with height and width of its kernels exchanged",
        "with height and width of the kernel of '{}' exchanged",
        _turned,
    ),
)
