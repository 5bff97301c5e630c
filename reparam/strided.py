"""Blocks whose convolutions pad `same`: where their taps lie follows from the size of the image.

Only blocks that change the size ask for it; each block hands its size on to the next.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from reparam.errors import PlanError
from reparam.expression import Chain, Layer, Line, Maybe, Node, Sum, layers
from reparam.padding import same_padding
from reparam.patterns import join, natural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reparam.modules import ModuleIndex
    from reparam.trial import Found

    Axes = tuple[int, ...]


def place_taps(
    found: Sequence[Found], index: ModuleIndex, size: Axes | None, source: str
) -> tuple[list[Found], list[str]]:
    """Give the convolutions of strided blocks the `origin` they have at their place in the net.

    Args:
        found: The lines of one spelling.
        index: The layers of the checkpoint.
        size: Pixels per spatial axis of the net's input, if the user said it.
        source: The file's name, for messages.

    Returns:
        The lines, and what was assumed.

    Raises:
        PlanError: A strided block needs a size that nobody said.
    """
    done: list[Found] = []
    strided: list[str] = []
    start = size
    for item in sorted(found, key=lambda f: natural(join(f.block, f.line.output))):
        names = [layer.name for layer in layers(item.line.tree)]
        if item.same is None or item.same.unless in names or item.same.stride == 1:
            done.append(item)
            continue
        strided.append(item.block)
        if size is not None:
            kernels = [n for n in names if _taps(item, n, index)]
            rank = len(_taps(item, kernels[0], index))
            if len(size) != rank:
                raise PlanError(f"{source}: the input size has {len(size)} axes, expected {rank}.")
            stride = item.same.stride
            tree = item.line.tree
            for name in kernels:
                taps = _taps(item, name, index)
                pairs = zip(size, taps, strict=True)
                origin = [same_padding(n, k, stride)[0] for n, k in pairs]
                tree = _attach(tree, name, "x".join(map(str, origin)))
            done.append(replace(item, line=Line(tree, item.line.output)))
            size = tuple(-(-n // stride) for n in size)
    if strided and start is None:
        raise PlanError(
            f"{source}: {len(strided)} blocks pad 'same' with a stride ({', '.join(strided[:5])}"
            f"{', …' if len(strided) > 5 else ''}): where their small kernels belong depends on "  # noqa: PLR2004  as many as are named
            "the size of the images, and weights do not tell it. Say it with --input-size, for "
            "instance --input-size 224x224."
        )
    if not strided or start is None:
        return done, []
    first = next(f.same for f in found if f.same)
    assumed = (
        f"input of {'x'.join(map(str, start))} pixels (--input-size); blocks follow each other in "
        f"the order of their names, and those without {first.unless} have stride {first.stride}"
    )
    return done, [assumed]


def _taps(item: Found, name: str, index: ModuleIndex) -> Axes:
    """Return the kernel size of a layer; empty for norms."""
    module = index.get(join(item.block, name))
    if module is None or module.kind != "conv":
        return ()
    return index.shape(module.tensors["weight"])[2:]


def _attach(node: Node, name: str, origin: str) -> Node:
    match node:
        case Layer():
            if node.name != name:
                return node
            return Layer(name, (*node.attributes, ("origin", origin)))
        case Maybe(part):
            return Maybe(_attach(part, name, origin))
        case Chain(steps):
            return Chain(tuple(_attach(s, name, origin) for s in steps))
        case Sum(terms):
            return Sum(tuple((sign, _attach(t, name, origin)) for sign, t in terms))
        case _:
            return node
