"""Blocks of several branches in a Keras graph: convolutions and norms of one tensor, added up.

A branch is a convolution with or without a norm, a norm alone, or the tensor itself. One of the
convolutions stays and takes everything in: the one whose kernel covers the taps of all others.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from reparam.checkpoint import GraphLine
from reparam_adapters.keras_calls import Ref
from reparam_adapters.keras_layer_shapes import zero_padding
from reparam_adapters.keras_layers import LINEAR, NORMS, axes, channels_first, is_linear
from reparam_adapters.keras_pairs import own_reason
from reparam_adapters.keras_scope import (
    Edit,
    Scope,
    attributes,
    back,
    eps_of,
    norm_axis_fits,
    origin,
    written,
)
from reparam_adapters.keras_sums import signs_of
from reparam_adapters.keras_taps import Window, area, find_spots

if TYPE_CHECKING:
    from reparam_adapters.keras_config import Layer

    Key = tuple[str, int, int]
    Places = dict[str, dict[str, str]]
    """Per convolution, the attributes that say where its taps lie."""


@dataclass(slots=True, eq=False)
class Branch:
    """One term of a sum.

    Attributes:
        sign: 1 or -1.
        end: The tensor that is added.
        source: The tensor it starts from.
        conv: Its convolution, if it has one.
        norm: Its norm, if it has one.
        pads: Pixels that a ZeroPadding layer before the convolution adds.
        inner: Layers that only this branch uses, its convolution and norm left out.
    """

    sign: int
    end: Key
    source: Key = ("", 0, 0)
    conv: Layer | None = None
    norm: Layer | None = None
    pads: tuple[tuple[int, int], ...] | None = None
    inner: list[str] = field(default_factory=list[str])


def sum_of_branches(scope: Scope, layer: Layer) -> Edit | None:
    """Return how the branches that a layer adds up become one convolution, if they can."""
    signs = signs_of(layer)
    if signs is None:
        return None
    branches: list[Branch] = []
    sums: list[str] = [layer.name]
    _flatten(scope, layer, branches, sums, signs=signs)
    convs = [b for b in branches if b.conv is not None]
    if len(branches) < 2 or not convs or len({b.source for b in branches}) > 1:  # noqa: PLR2004  a sum has two terms
        return None
    placed = _place(scope, branches, convs)
    if isinstance(placed, str):
        names = " + ".join(_shown(b) for b in branches)
        scope.notes.append(f"{scope.path(layer.name)}: {names} are not summed: {placed}")
        return None
    main, extras = placed
    return _edit(scope, main, extras, [main, *(b for b in branches if b is not main)], sums)


def _shown(branch: Branch) -> str:
    layer = branch.conv or branch.norm
    return repr(layer.name) if layer else "its input"


def _flatten(
    scope: Scope,
    layer: Layer,
    branches: list[Branch],
    sums: list[str],
    *,
    signs: list[int],
    sign: int = 1,
) -> None:
    """Collect the branches of a sum, those of sums within it included."""
    for ref, own in zip(layer.calls[0].inputs, signs, strict=True):
        start, passed, blocked = back(scope, ref)
        inner = scope.model.layers[start.key[0]]
        below = signs_of(inner)
        free = blocked is None and scope.only_use(start.key)
        if below is not None and free and len(sums) < len(scope.model.layers):
            sums += [*passed, inner.name]
            _flatten(scope, inner, branches, sums, signs=below, sign=sign * own)
        else:
            branches.append(_branch(scope, ref, sign * own))


def _branch(scope: Scope, ref: Ref, sign: int) -> Branch:
    """Read the branch that ends in a tensor."""
    branch = Branch(sign, ref.key, origin(scope, ref))
    start, passed, blocked = back(scope, ref)
    layer = scope.model.layers[start.key[0]]
    branch.inner = [] if blocked else passed
    if blocked or not scope.only_use(start.key) or len(layer.calls) != 1 or layer.twice:
        return branch
    if layer.class_name in NORMS:
        if own_reason(scope, layer):
            return branch
        taken = layer.calls[0].inputs[0]
        branch.norm, branch.source = layer, origin(scope, taken)
        before, passed, blocked = back(scope, taken)
        branch.inner += [] if blocked else passed
        layer = scope.model.layers[before.key[0]]
        if scope.pairs.get(branch.norm.name) != [layer.name] or len(layer.calls) != 1:
            return branch
    elif layer.class_name not in LINEAR or not is_linear(layer.config.get("activation")):
        return branch
    if not layer.calls[0].inputs:
        return branch
    branch.conv = layer
    _step_over_padding(scope, branch, layer.calls[0].inputs[0], LINEAR[layer.class_name][1])
    return branch


def _step_over_padding(scope: Scope, branch: Branch, ref: Ref, rank: int) -> None:
    branch.source = origin(scope, ref)
    start, passed, blocked = back(scope, ref)
    layer = scope.model.layers[start.key[0]]
    if blocked or layer.class_name != f"ZeroPadding{rank}D" or not scope.only_use(start.key):
        return
    assert branch.conv is not None
    pads = zero_padding(layer.config.get("padding"), rank)
    alike = channels_first(layer.config) == channels_first(branch.conv.config)
    if pads is not None and len(layer.calls) == 1 and (alike or rank == 1):
        branch.pads = pads
        branch.inner += [*passed, layer.name]
        branch.source = origin(scope, layer.calls[0].inputs[0])


def _place(
    scope: Scope, branches: list[Branch], convs: list[Branch]
) -> tuple[Branch, Places] | str:
    """Find the convolution that can hold all branches, and say where their taps lie.

    Returns:
        That branch and, per convolution, the attributes of its place; or the reason why none can.
    """
    layers = [b.conv for b in convs if b.conv is not None]
    families = {LINEAR[c.class_name] for c in layers}
    if any(f in ("transposed", "separable") for f, _ in families):
        return "transposed and separable convolutions have no common kernel"
    if len({rank for _, rank in families}) > 1:
        return "they have different numbers of axes"
    if len({channels_first(c.config) for c in layers}) > 1:
        return "their data formats differ"
    if any(b.norm and not norm_axis_fits(scope, layers[0], b.norm) for b in branches):
        return "a norm does not work on the channel axis"
    shapes = [scope.sizes.of(Ref([*b.end])) for b in branches]
    if _differ([s for s in shapes if s is not None]):
        return "their outputs have different shapes"
    if len({str(c.config["filters"]) for c in layers if "filters" in c.config}) > 1:
        return "they give different numbers of channels"
    rank = next(iter(families))[1]
    windows = [_windows(b, rank) for b in branches]
    if any(w is None for w in windows):
        return "a setting of theirs is not understood"
    known = [w for w in windows if w is not None]
    for axis in range(rank):
        if len({w[axis].stride for w in known}) > 1 or len({w[axis].excess for w in known}) > 1:
            return "their outputs have different sizes"
    return _choose(scope, branches, known, rank)


def _differ(shapes: list[tuple[int | None, ...]]) -> bool:
    """Whether shapes are known to differ, so that adding them would broadcast."""
    if len({len(s) for s in shapes}) > 1:
        return True
    return any(len({n for n in axis if n is not None}) > 1 for axis in zip(*shapes, strict=True))


def _choose(
    scope: Scope, branches: list[Branch], windows: list[tuple[Window, ...]], rank: int
) -> tuple[Branch, Places] | str:
    sizes = _source_size(scope, branches, rank)
    why = "no kernel among them covers the taps of all"
    order = sorted(range(len(branches)), key=lambda i: (-branches[i].sign, -area(windows[i])))
    for i in order:
        main = branches[i]
        if main.conv is None:
            continue
        if not all(_groups_hold(main.conv, b) for b in branches):
            why = "the convolution with the largest kernel has more groups than the others"
            continue
        spots = [find_spots(windows[i], w, sizes) for w in windows]
        if any(s == "size" for s in spots):
            return (
                "with padding 'same' and a stride, the place of the smaller kernels depends on the "
                "size of the images, which the config leaves open. Say it with --input-size, for "
                "instance --input-size 224x224"
            )
        if all(type(s) is list for s in spots):
            offsets = [cast("list[int]", s) for s in spots]
            return main, _attributes(branches, windows, offsets, windows[i])
    return why


def _windows(branch: Branch, rank: int) -> tuple[Window, ...] | None:
    if branch.conv is None:
        return (Window(1, 1, 1, "valid", (0, 0)),) * rank
    config = branch.conv.config
    kernel = axes(config.get("kernel_size"), rank) if rank else ()
    strides, dilation = axes(config.get("strides"), rank), axes(config.get("dilation_rate"), rank)
    groups = config.get("groups", 1)
    padding = config.get("padding", "valid")
    if kernel is None or strides is None or dilation is None:
        return None
    if padding not in ("valid", "same", "causal") or type(groups) is not int or groups < 1:
        return None
    pads = branch.pads or ((0, 0),) * rank
    parts = zip(kernel, strides, dilation, pads, strict=True)
    return tuple(Window(k, s, d, padding, p) for k, s, d, p in parts)


def _source_size(scope: Scope, branches: list[Branch], rank: int) -> list[int | None]:
    shape = scope.sizes.of(Ref([*branches[0].source]))
    if shape is None or len(shape) != rank + 1:
        return [None] * rank
    first = any(channels_first(b.conv.config) for b in branches if b.conv)
    return list(shape[1:] if first else shape[:-1])


def _groups_hold(main: Layer, branch: Branch) -> bool:
    """Whether a branch can be written with the groups of the convolution that shall hold it."""
    if LINEAR[main.class_name][0] != "depthwise":
        mine = main.config.get("groups", 1)
        if branch.conv is None or LINEAR[branch.conv.class_name][0] == "depthwise":
            return True
        other = branch.conv.config.get("groups", 1)
        return type(mine) is int and type(other) is int and mine > 0 and other % mine == 0
    return branch.conv is None or LINEAR[branch.conv.class_name][0] == "depthwise"


def _attributes(
    branches: list[Branch],
    windows: list[tuple[Window, ...]],
    spots: list[list[int]],
    main: tuple[Window, ...],
) -> Places:
    """Write the places of the taps as `origin` and `dilation`, on the grid of the main kernel.

    A tensor that is added as it is has origin 0, which fixes that of all others.
    """
    rank = len(main)
    centre: list[int] = []
    for axis in range(rank):
        grid = main[axis].dilation
        bare = [s[axis] for b, s in zip(branches, spots, strict=True) if b.conv is None]
        centre.append((bare[0] if bare else max(s[axis] for s in spots)) // grid)
    extras: Places = {}
    depthwise = any(b.conv and LINEAR[b.conv.class_name][0] == "depthwise" for b in branches)
    for branch, window, spot in zip(branches, windows, spots, strict=True):
        if branch.conv is None:
            continue
        grids = [m.dilation for m in main]
        place = [c - s // g for c, s, g in zip(centre, spot, grids, strict=True)]
        dilation = [
            w.dilation // g if w.taps > 1 else 1 for w, g in zip(window, grids, strict=True)
        ]
        usual = [d * (w.taps - 1) // 2 for d, w in zip(dilation, window, strict=True)]
        extra = attributes(branch.conv)
        if depthwise and LINEAR[branch.conv.class_name][0] == "conv":
            extra.setdefault("groups", "1")  # tells how many channels the depthwise ones take
        if any(d != 1 for d in dilation):
            extra["dilation"] = "x".join(map(str, dilation))
        if place != usual:
            extra["origin"] = "x".join(map(str, place))
        extras[branch.conv.name] = extra
    return extras


def _edit(
    scope: Scope,
    main: Branch,
    extras: Places,
    branches: list[Branch],
    sums: list[str],
) -> Edit:
    norms = [b.norm for b in branches if b.norm is not None]
    eps = {e for n in norms if (e := eps_of(n)) is not None}
    text = ""
    reads: list[str] = []
    for branch in branches:
        steps: list[str] = []
        if branch.conv is not None:
            reads.append(scope.target(branch.conv))
            steps.append(written(reads[-1], extras[branch.conv.name]))
        if branch.norm is not None:
            reads.append(scope.path(branch.norm.name))
            own = {"eps": repr(eps_of(branch.norm))} if len(eps) > 1 else None
            steps.append(written(reads[-1], own))
        sign = "-" if branch.sign < 0 else "+" if text else ""
        text += f" {sign} {' '.join(steps) or 'id'}"
    assert main.conv is not None
    output = scope.target(main.conv)
    line = GraphLine(f"{text.strip()} -> {written(output)}", next(iter(eps), 0.0))
    removed = [*sums, *(n.name for n in norms)]
    for branch in branches:
        if branch is not main:
            removed += [*branch.inner, *([branch.conv.name] if branch.conv else [])]
    moved = {(name, 0, 0): main.end for name in sums}
    if main.norm is not None:
        moved[main.norm.name, 0, 0] = main.norm.calls[0].inputs[0].key
    return Edit(
        scope.model,
        scope.prefix,
        (line,),
        (tuple(reads),),
        (output,),
        tuple(dict.fromkeys(removed)),
        moved,
    )
