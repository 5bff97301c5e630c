"""Mistakes with the layers of a block: left out, exchanged, at the wrong place."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from reparam import operations as ops
from reparam.edits import (
    edit,
    edit_pairs,
    identity,
    label,
    moved,
    path,
    silenced,
    sums,
    with_terms,
)
from reparam.frames import frame, kernel_shape
from reparam.layer_mistakes import everywhere

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reparam.edits import Leaf, Made
    from reparam.linear import Array
    from reparam.operations import Axes, Operation, Rows
    from reparam.plans import Fusion

    Edits = Iterator[tuple[str, Operation]]

MOST_NEIGHBOURS = 8
"""Other norms, and other blocks, that are tried in place of the right ones."""

MOST_PLACES = 49
"""Positions of a small kernel in a large one that are all tried; 7x7 is the largest."""


def bias_mistakes(op: Operation, *, single: bool) -> Edits:
    """Yield the block with biases of convolutions dropped, or added behind the norm."""

    def without(leaf: Leaf) -> tuple[Operation, ...] | None:
        return (replace(leaf, bias=None),) if isinstance(leaf, ops.ConvOp) and leaf.bias else None

    texts = "without the biases of its convolutions", "without the bias of conv '{}'"
    yield from everywhere(op, without, *texts, single=single)
    biased = [leaf for leaf in ops.leaves(op) if isinstance(leaf, ops.ConvOp) and leaf.bias]
    for chosen in [[conv] for conv in biased] if single else [biased]:

        def unscaled(
            conv: ops.ConvOp, norm: ops.NormOp, chosen: list[ops.ConvOp] = chosen
        ) -> tuple[Operation, ...] | None:
            if conv.bias is None or conv not in chosen:
                return None
            return replace(conv, bias=None), norm, ops.ShiftOp(conv.bias, norm.channels)

        said = "the biases of its convolutions"
        if len(chosen) == 1:
            said = f"the bias of conv {path(chosen[0])!r}"
        yield f"with {said} not scaled by the norm", edit_pairs(op, unscaled)


def left_out(op: Operation) -> Edits:
    """Yield the block without one of its branches, or without its scales."""
    for total, put in sums(op):
        for place, (_, branch) in enumerate(total.terms):
            text = f"without {label(branch, total)}"
            yield text, put(with_terms(total, {place: silenced(branch)}))

    def without(leaf: Leaf) -> tuple[Operation, ...] | None:
        return () if isinstance(leaf, ops.ScaleOp | ops.ShiftOp) else None

    for single in (False, True):
        texts = "without its scales", "without '{}'"
        yield from everywhere(op, without, *texts, single=single)


def exchanged_norms(op: Operation) -> Edits:
    """Yield the block with two of its norms in each other's place."""
    for one, two in itertools.combinations(_norm_list(op)[:MOST_NEIGHBOURS], 2):
        if (one.channels, one.repeat) == (two.channels, two.repeat):
            text = f"with the norms {path(one)!r} and {path(two)!r} exchanged"
            yield text, _with_norms(op, {one: two, two: one})


def _with_norms(op: Operation, new: dict[ops.NormOp, ops.NormOp]) -> Operation:
    def change(leaf: Leaf) -> tuple[Operation, ...] | None:
        return (new[leaf],) if isinstance(leaf, ops.NormOp) and leaf in new else None

    return edit(op, change)


def neighbours(fusion: Fusion, fusions: Sequence[Fusion]) -> Edits:
    """Yield the block with norms of other blocks, and other blocks in its place, nearest first.

    Args:
        fusion: The block.
        fusions: All blocks of the plan, in order.
    """
    here = next((i for i, f in enumerate(fusions) if f.name == fusion.name), 0)
    others = sorted(
        (i for i, f in enumerate(fusions) if f.name != fusion.name),
        key=lambda i: (abs(i - here), i),
    )
    mine = _norm_list(fusion.op)
    blocks = [(fusions[i].name, fusions[i].op) for i in others]
    block, bare = fusion.binding.block, _bare_norms(fusion.op)
    counterparts = [
        (i, _counterparts(mine, block, _norm_list(fusions[i].op), fusions[i].binding.block))
        for i in others
    ]
    for i, new in [(i, new) for i, new in counterparts if len(new) > 1][:MOST_NEIGHBOURS]:
        text = f"with the norms of block {fusions[i].name!r}"
        yield text, _with_norms(fusion.op, new)
        behind = {norm: other for norm, other in new.items() if norm not in bare}
        if behind and len(behind) < len(new):
            yield f"{text} behind its convolutions", _with_norms(fusion.op, behind)
    for place, norm in enumerate(mine[:MOST_NEIGHBOURS]):
        there = [
            (other, i != place)
            for _, op in blocks
            for i, other in enumerate(_norm_list(op))
            if _width(other) == _width(norm)
        ]
        there.sort(key=lambda pair: pair[1])
        for other, _ in there[:MOST_NEIGHBOURS]:
            text = f"with norm {path(other)!r} in place of {path(norm)!r}"
            yield text, _with_norms(fusion.op, {norm: other})
    shape = kernel_shape(fusion.op)
    equal = [(name, op) for name, op in blocks if kernel_shape(op) == shape]
    for name, op in equal[:MOST_NEIGHBOURS]:
        yield f"from the tensors of block {name!r}", op


def _counterparts(
    mine: list[ops.NormOp], block: str, theirs: list[ops.NormOp], other: str
) -> dict[ops.NormOp, ops.NormOp]:
    """Return the norms of another block that have the same names in it, or all in order.

    Branches that the other block lacks, such as the identity where channels change, keep theirs.
    """
    widths = [_width(norm) for norm in mine]
    if [_width(norm) for norm in theirs] == widths:
        return dict(zip(mine, theirs, strict=True))
    names = {path(norm).removeprefix(f"{other}."): norm for norm in theirs}
    pairs = ((norm, names.get(path(norm).removeprefix(f"{block}."))) for norm in mine)
    return {norm: new for norm, new in pairs if new is not None and _width(new) == _width(norm)}


def _bare_norms(op: Operation) -> set[ops.NormOp]:
    """Return the norms of branches without a convolution: of identities."""
    return {
        leaf
        for total, _ in sums(op)
        for _, branch in total.terms
        if not any(isinstance(leaf, ops.ConvOp) for leaf in ops.leaves(branch))
        for leaf in ops.leaves(branch)
        if isinstance(leaf, ops.NormOp)
    }


def _norm_list(op: Operation) -> list[ops.NormOp]:
    return list(dict.fromkeys(leaf for leaf in ops.leaves(op) if isinstance(leaf, ops.NormOp)))


def _width(norm: ops.NormOp) -> Axes:
    return norm.channels, norm.repeat


def places(op: Operation, made: Made) -> Edits:
    """Yield the block with its small kernels elsewhere in the large one."""
    for total, put in sums(op):
        whole = frame(total)
        small: dict[tuple[Axes, Axes], list[int]] = {}
        for place, (_, branch) in enumerate(total.terms):
            shape = frame(branch)
            span = shape.span or (1,) * len(whole.span)
            origin = shape.origin or (0,) * len(whole.span)
            if span != whole.span and set(whole.dilation) == {1}:
                small.setdefault((span, origin), []).append(place)
        for (span, origin), alike in small.items():
            right = tuple(w - o for w, o in zip(whole.origin, origin, strict=True))
            groups = [alike, *([place] for place in alike)] if len(alike) > 1 else [alike]
            for group in groups:
                for tap in _taps(right, whole.span, span):
                    for text, new in _moved(total, group, right, tap, made):
                        yield text, put(new)


def _moved(total: ops.SumOp, group: list[int], right: Axes, tap: Axes, made: Made) -> Edits:
    by = tuple(t - r for t, r in zip(tap, right, strict=True))
    new = {place: moved(total.terms[place][1], by, made) for place in group}
    terms = {place: branch for place, branch in new.items() if branch is not None}
    if len(terms) == len(group):
        names = " and ".join(label(total.terms[place][1], total) for place in group)
        yield f"with {names} at tap {list(tap)}, not {list(right)}", with_terms(total, terms)


def _taps(right: Axes, whole: Axes, span: Axes) -> list[Axes]:
    """Return the wrong positions of a small kernel: all, or in a very large one the likely ones."""
    room = [w - s + 1 for w, s in zip(whole, span, strict=True)]
    every = list(itertools.product(*map(range, room)))
    if len(every) > MOST_PLACES:
        every = [
            tap
            for tap in every
            if all(t in (0, r - 1) for t, r in zip(tap, room, strict=True))
            or max(abs(t - r) for t, r in zip(tap, right, strict=True)) == 1
        ]
    return [tap for tap in every if tap != right]


def numbering(op: Operation, made: Made) -> Edits:
    """Yield the block with the identity of a grouped convolution numbered wrongly."""
    for total, put in sums(op):
        whole = frame(total)
        for place, (_, branch) in enumerate(total.terms):
            channels = ops.outputs(branch)
            width, count = channels // whole.groups, np.arange(channels)
            if list(_maps(branch)) or whole.groups == 1 or width == 1:
                continue
            steps = branch.steps if isinstance(branch, ops.ChainOp) else (branch,)
            for how, copies in (
                ("i % groups", count % whole.groups),
                ("i // groups", count // whole.groups),
                ("i // (channels // groups)", count // width),
            ):
                if (copies < width).all():
                    conv = identity(channels, width, (0,) * len(whole.size), made, copies)
                    new = ops.ChainOp((conv, *steps), channels)
                    text = f"with {label(branch, total)} numbered {how} within its groups"
                    yield text, put(with_terms(total, {place: new}))


def _maps(op: Operation) -> Iterator[Operation]:
    """Yield what makes a branch more than an identity with factors."""
    match op:
        case ops.ChainOp(steps):
            for step in steps:
                yield from _maps(step)
        case ops.ConvOp() | ops.AverageOp() | ops.WindowOp() | ops.SumOp():
            yield op
        case _:
            return


def wrong_axis(op: Operation, made: Made) -> Edits:
    """Yield the block with its norms' scales on the input channels of square kernels."""

    def change(conv: ops.ConvOp, norm: ops.NormOp) -> tuple[Operation, ...] | None:
        axis = 0 if conv.transposed else 1
        if conv.shape[axis] != norm.channels or conv.outputs != norm.channels or norm.repeat > 1:
            return None

        def scale() -> Array:
            gamma = made.float64(norm.weight) if norm.weight else 1.0
            return gamma / np.sqrt(made.float64(norm.var) + norm.eps)

        def kernel(rows: Rows | None) -> Array:
            values = (
                made(conv.weight) if rows is None or conv.transposed else made(conv.weight, rows)
            )
            shape = (-1, *(1,) * (values.ndim - 1 - axis))
            return values.astype(np.float64) * scale().reshape(shape)

        def centred() -> Array:
            bias = made.float64(conv.bias) if conv.bias else 0.0
            return (bias - made.float64(norm.mean)) * scale()

        weight = made.tensor(f"{conv.weight} by inputs", kernel)
        shift = made.vector(f"{norm.mean} scaled", centred)
        steps: tuple[Operation, ...] = (
            replace(conv, weight=weight, bias=None),
            ops.NumberOp(1.0, norm.channels),  # one more rounding: the scale has several
            ops.ShiftOp(shift, norm.channels),
        )
        return steps if norm.bias is None else (*steps, ops.ShiftOp(norm.bias, norm.channels))

    yield "with the scale on the input channels of its kernels", edit_pairs(op, change)
