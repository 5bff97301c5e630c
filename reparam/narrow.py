"""Weights that went through float16 or bfloat16 on their way, although they are stored wider."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from reparam import operations as ops
from reparam.bounds import OURS, THEIRS, UNIT, magnitudes, positive, roundings
from reparam.edits import edit
from reparam.errors import NumericError
from reparam.fold import Folder, outputs_first
from reparam.layer_mistakes import in_norms
from reparam.rounding import FORMATS, half_unit, round_to
from reparam.slabs import slabs
from reparam.stored import Stored

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reparam.edits import Leaf, Made
    from reparam.linear import Array
    from reparam.operations import Operation, Read, Rows

NARROW = ("bfloat16", "float16")  # fewer digits first: float16 holds most of bfloat16's numbers

INPUTS = 4
"""Roundings of what a number is made of: kernel, gamma, variance and mean."""


EVEN = 0.2
"""Least share of the rarer sign; random ones have half."""

TYPICAL = 0.06
"""Least median difference in units; rounding once has about a quarter, a narrower dtype more."""


def narrower(dtype: str) -> list[str]:
    """Return the dtypes with fewer digits than one."""
    return [n for n in NARROW if dtype in FORMATS and FORMATS[n].digits < FORMATS[dtype].digits]


@np.errstate(all="ignore")  # huge numbers in AFTER fit in no narrow dtype
def narrowing(op: Operation, before: Read, after_op: Operation, after: Read) -> list[str]:
    """Say how a block went through a narrower dtype, if it did.

    All its numbers must be ones of the narrow dtype, most must differ from the exact fold, and all
    differences must be what rounding explains: that of the result, or that of every step.

    Args:
        op: The block of BEFORE.
        before: Gives its tensors.
        after_op: The block of AFTER.
        after: Gives its tensors.

    Returns:
        At most one text, which completes "AFTER was fused".
    """
    stored = Stored(after_op, after)
    if not stored.plain:
        return []
    for dtype in narrower(stored.dtypes[0]):
        found = (stored.rows(rows) for rows in slabs(op, after_op))
        if all(_fits(kernel, dtype) and _fits(bias, dtype) for kernel, bias in found):
            steps = _steps(op, before, after_op, stored, dtype)
            if steps <= 1:
                return [f"and then rounded to {dtype}"]
            if steps <= roundings(op, THEIRS) + INPUTS:
                return [f"in {dtype} arithmetic"]
    return []


@np.errstate(all="ignore")
def through(op: Operation, before: Read, after_op: Operation, after: Read) -> tuple[str, ...]:
    """Say whether something on the way went through a narrower dtype, whatever it was.

    All differences must be what a few roundings of every step explain, most numbers must have one
    of typical size, and it must be up as often as down: what a wrong formula changes has one sign
    in a channel.

    Args:
        op: The block of BEFORE.
        before: Gives its tensors.
        after_op: The block of AFTER.
        after: Gives its tensors.

    Returns:
        At most one text, which completes "AFTER was fused", for the widest such dtype.
    """
    stored = Stored(after_op, after)
    if not stored.plain:
        return ()
    folder, sizes = Folder(op, before), Folder(positive(op), magnitudes(op, before))
    most = roundings(op, THEIRS) + INPUTS + 1
    for dtype in reversed(narrower(stored.dtypes[0])):
        shares: list[float] = []
        middles: list[float] = []
        for rows in slabs(op, after_op):
            conv, size = folder.conv(rows), sizes.conv(rows)
            found = stored.rows(rows)[0].astype(np.float64)
            unit = FORMATS[dtype].epsilon / 2 * size.kernel + FORMATS[dtype].smallest
            gap = (found - conv.kernel) / unit
            if not (np.abs(gap) <= most).all():
                break
            channels = outputs_first(gap * np.sign(conv.kernel), conv).reshape(len(conv.bias), -1)
            up = (channels > 0).mean(axis=1)
            shares.append(float(np.minimum(up, (channels < 0).mean(axis=1)).mean()))
            middles.append(float(np.median(np.abs(gap))))
        else:
            if min(shares) >= EVEN and min(middles) >= TYPICAL:
                return (f"with {dtype} somewhere on the way",)
    return ()


def narrow_mistakes(op: Operation, made: Made, dtype: str) -> Iterator[tuple[str, Operation]]:
    """Yield a block with what goes into it rounded to a narrower dtype."""
    every = list(ops.leaves(op))
    kernels = [leaf for leaf in every if isinstance(leaf, ops.ConvOp)]
    yield f"with its inputs rounded to {dtype}", _rounded(op, every, made, dtype)
    yield f"with its kernels rounded to {dtype}", _rounded(op, kernels, made, dtype)
    for computed in (np.float64, np.float32):

        def scales(
            norm: ops.NormOp, made: Made, computed: type[np.floating[Any]] = computed
        ) -> tuple[Operation, ...]:
            return (_rounded_scale(norm, made, dtype, computed),)

        text = f"with the scale of its norms rounded to {dtype}"
        yield text, edit(op, in_norms(scales, made))


def _rounded(op: Operation, leaves: Sequence[Leaf], made: Made, dtype: str) -> Operation:
    """Return an operation with the tensors of some layers rounded."""

    def rounded(name: str) -> str:
        def make(rows: Rows | None) -> Array:
            values = made(name) if rows is None else made(name, rows)
            return round_to(values.astype(np.float64), dtype, name).astype(np.float64)

        return made.tensor(f"{name} in {dtype}", make)

    def maybe(name: str | None) -> str | None:
        return None if name is None else rounded(name)

    def change(leaf: Leaf) -> tuple[Operation, ...] | None:
        if leaf not in leaves:
            return None
        match leaf:
            case ops.NormOp():
                weight, bias = maybe(leaf.weight), maybe(leaf.bias)
                new = replace(leaf, mean=rounded(leaf.mean), var=rounded(leaf.var))
                return (replace(new, weight=weight, bias=bias),)
            case ops.ConvOp():
                return (replace(leaf, weight=rounded(leaf.weight), bias=maybe(leaf.bias)),)
            case _:
                return (replace(leaf, tensor=rounded(leaf.tensor)),)

    return edit(op, change)


def _rounded_scale(
    norm: ops.NormOp, made: Made, dtype: str, computed: type[np.floating[Any]]
) -> ops.NormOp:
    """Return a norm of variance 1 whose gamma is the rounded scale.

    Args:
        norm: The norm.
        made: Gives its tensors and takes new ones.
        dtype: What the scale is rounded to.
        computed: What it is computed in before; that decides what is near a tie.
    """

    def scale() -> Array:
        var, eps = made.float64(norm.var).astype(computed), computed(norm.eps)
        gamma = made.float64(norm.weight).astype(computed) if norm.weight else np.ones_like(var)
        values = np.asarray(gamma / np.sqrt(var + eps), dtype=np.float64)
        return round_to(values, dtype, norm.var).astype(np.float64)

    kind = f"scale in {dtype} from {computed.__name__}"
    weight = made.vector(f"{norm.var} {kind}", scale)
    ones = made.vector(f"{norm.var} one", lambda: np.ones_like(made.float64(norm.var)))
    return replace(norm, var=ones, weight=weight, eps=0.0)


def _fits(values: Array, dtype: str) -> bool:
    wide = values.astype(np.float64)
    try:
        return np.array_equal(round_to(wide, dtype).astype(np.float64), wide)
    except NumericError:
        return False


def _steps(op: Operation, before: Read, after_op: Operation, stored: Stored, dtype: str) -> float:
    """Return how many roundings to `dtype` explain AFTER; infinity where most were not rounded."""
    narrow, wide = FORMATS[dtype], FORMATS[stored.dtypes[0]]
    folder, sizes = Folder(op, before), Folder(positive(op), magnitudes(op, before))
    # before the one rounding, the tool may have computed in float32
    computed = roundings(op, THEIRS) * max(wide.epsilon, FORMATS["float32"].epsilon) / 2
    computed = max(computed, roundings(op, OURS) * UNIT)
    most, touched, total = 0.0, 0, 0
    for rows in slabs(op, after_op):
        conv, size = folder.conv(rows), sizes.conv(rows)
        pairs = [(conv.kernel, size.kernel), (conv.bias, size.bias)]
        for found, (exact, amount) in zip(stored.rows(rows), pairs, strict=True):
            got = found.astype(np.float64)
            gap = np.abs(got - exact)
            some = amount > 0
            total += int(some.sum())
            touched += int((gap > wide.epsilon * np.abs(exact))[some].sum())
            once = gap <= half_unit(got, narrow) * (1 + 2.0**-20) + computed * amount
            unit = narrow.epsilon / 2 * amount + narrow.smallest
            need = np.where(once, 1.0, np.maximum(gap / unit, 1.5))
            most = max(most, float(need.max(initial=0.0)))
    return most if 2 * touched > total else np.inf
