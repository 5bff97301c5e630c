"""A line of a recipe, made definite: which numbers its placeholders are, which parts are there."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from reparam.expression import Chain, Layer, Line, Maybe, Node, Sum, layers, rename
from reparam.patterns import PLACEHOLDER, Found, fill

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

    from reparam.testing.places import Place


def bound_lines(line: Line, place: Place, rng: np.random.Generator) -> Iterator[Line]:
    """Yield a line without placeholders or optional parts, once for each result it has.

    Args:
        line: Of a recipe.
        place: Where, and what of it must be there.
        rng: What decides where nothing else does.
    """
    holes = [numbers for layer in layers(line.tree) for numbers in place.holes(layer.name)]
    results: list[Found] = [{}]
    if PLACEHOLDER.search(line.output):
        anchor = next(layers(line.tree)).name
        results = _wanted(anchor, holes) or [_numbers(anchor, line.tree, 0)]
    for numbers in results:
        fixed = partial(fill, numbers=numbers)
        tree = _expand(rename(line.tree, fixed), holes, rng)
        yield Line(_settle(tree, place.plain, rng) or tree, fixed(line.output))


def _wanted(name: str, holes: list[Found]) -> list[Found]:
    """Return what of the numbers wanted concerns a layer's name, each once."""
    keys = {hole[1] for hole in PLACEHOLDER.finditer(name)}
    found = [{k: v for k, v in numbers.items() if k in keys} for numbers in holes]
    return [x for n, x in enumerate(found) if x.keys() == keys and x not in found[:n]]


def _numbers(name: str, branch: Node, count: int) -> Found:
    """Return numbers, or texts, for the placeholders of a name; those of kernels are odd."""
    kernels = {
        hole[1]
        for layer in layers(branch)
        for key, value in layer.attributes
        for hole in PLACEHOLDER.finditer(value)
        if key in ("kernel", "dilation")
    }
    return {
        hole[1]: "a" * (count + 1) if hole[2] else 2 * count + 1 if hole[1] in kernels else count
        for hole in PLACEHOLDER.finditer(name)
    }


def _expand(node: Node, holes: list[Found], rng: np.random.Generator, least: int = 1) -> Node:
    """Replace every branch with placeholders by a sum over some numbers, up to three."""
    if anchor := _anchor(node):
        numbers = _wanted(anchor, holes)
        for count in range(int(rng.integers(least, 4))):
            numbers += [x for x in (_numbers(anchor, node, count),) if x not in numbers]
        copies = (rename(node, partial(fill, numbers=x)) for x in numbers)
        return Sum(tuple((1, _expand(copy, holes, rng)) for copy in copies))
    match node:
        case Maybe(part):
            return Maybe(_expand(part, holes, rng))
        case Chain(steps):
            return Chain(tuple(_expand(step, holes, rng) for step in steps))
        case Sum(terms):
            done: list[tuple[int, Node]] = []
            # with other branches beside them, there may be none
            least = 0 if any(not (_anchor(t) or isinstance(t, Maybe)) for _, t in terms) else 1
            for sign, term in terms:
                wide = _expand(term, holes, rng, least)
                if isinstance(wide, Sum) and _anchor(term):
                    done += [(sign, copy) for _, copy in wide.terms]
                else:
                    done.append((sign, wide))
            return Sum(tuple(done))
        case _:
            return node


def _anchor(branch: Node) -> str:
    """Return the first name with a placeholder among a branch's own layers."""
    for step in branch.steps if isinstance(branch, Chain) else (branch,):
        layer = step.part if isinstance(step, Maybe) else step
        if isinstance(layer, Layer) and PLACEHOLDER.search(layer.name):
            return layer.name
    return ""


def _settle(node: Node, names: frozenset[str], rng: np.random.Generator | None) -> Node | None:
    """Keep or drop optional parts; None if nothing is left.

    Args:
        node: Without placeholders.
        names: Layers that must stay.
        rng: What decides; None to keep all.
    """
    match node:
        case Maybe(part):
            must = rng is None or any(layer.name in names for layer in layers(part))
            return _settle(part, names, rng) if must or _either(rng) else None
        case Chain(steps):
            kept = [
                # what is not optional must not become empty
                _settle(s, names, rng)
                or (None if isinstance(s, Maybe) else _settle(s, names, None))
                for s in steps
            ]
            there = tuple(step for step in kept if step is not None)
            return there[0] if len(there) == 1 else Chain(there)
        case Sum(terms):
            settled = [(sign, _settle(term, names, rng)) for sign, term in terms]
            left = tuple((sign, term) for sign, term in settled if term is not None)
            if len(left) == 1 and left[0][0] > 0:
                return left[0][1]
            return Sum(left) if left else None
        case _:
            return node


def _either(rng: np.random.Generator | None) -> bool:
    return rng is None or bool(rng.integers(2))
