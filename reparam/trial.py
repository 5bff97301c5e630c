"""Trying one kind of block at one place of a checkpoint: are its layers there, do they compose?"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from reparam.errors import PlanError
from reparam.expression import Chain, Layer, Line, Maybe, Node, Sum, layers, rename
from reparam.patterns import PLACEHOLDER, fill, join, matching, numbers_for, path_regex
from reparam.resolve import resolve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from reparam.modules import ModuleIndex
    from reparam.recipe import Block, Same


@dataclass(frozen=True, slots=True)
class Found:
    """One line of a recipe with the block it was found in.

    Attributes:
        block: Path the names are relative to, empty for the whole file.
        line: The expression without placeholders or absent parts, and its output.
        shared: Layers, relative to the block, that other lines may read too.
        same: How the block pads, if that depends on the image.
    """

    block: str
    line: Line
    shared: tuple[str, ...]
    same: Same | None

    @property
    def reads(self) -> set[str]:
        """Paths of all layers it reads."""
        return {join(self.block, layer.name) for layer in layers(self.line.tree)}


@dataclass(slots=True)
class Trial:
    """One kind of block tried at one place.

    Attributes:
        block: The kind.
        path: The place.
        found: Lines that are there.
        fused: Layers that are in deploy form already.
        bare: Those of them that kept their name, so that only a bias and a missing norm tell.
        keeps: Norms that the kind leaves alone, with reasons.
        problems: Why the kind does not fit.
        misfit: Whether that is because of shapes, all its layers being there.
        present: Paths of the layers that are there although their line is not whole.
        unread: Tensors of the place that no line reads.
    """

    block: Block
    path: str
    found: list[Found] = field(default_factory=list[Found])
    fused: list[str] = field(default_factory=list[str])
    bare: list[str] = field(default_factory=list[str])
    keeps: dict[str, str] = field(default_factory=dict[str, str])
    problems: list[str] = field(default_factory=list[str])
    misfit: bool = False
    present: set[str] = field(default_factory=set[str])
    unread: list[str] = field(default_factory=list[str])

    @property
    def reads(self) -> set[str]:
        """Paths of all layers that its lines read."""
        return {path for found in self.found for path in found.reads}

    def leave(self, taken: frozenset[str]) -> None:
        """Leave the lines that read any of these layers to the recipe that has them."""
        self.found = [found for found in self.found if taken.isdisjoint(found.reads)]
        self.keeps = {path: why for path, why in self.keeps.items() if path not in taken}
        if not self.found:
            self.keeps = {}


def try_block(prefix: str, block: Block, index: ModuleIndex, apart: set[str]) -> Trial:
    """Try a kind of block at a place.

    Args:
        prefix: The place, with the dot that ends it.
        block: The kind.
        index: The layers of the checkpoint.
        apart: Paths of layers that may stand alone although they are named like part of a block.
    """
    path = prefix.removesuffix(".")
    trial = Trial(block, path)
    for line in (*block.fuse, *block.maybe):
        seen = False
        for bound in _bindings(line, prefix, index):
            seen |= _try_line(trial, bound, index, apart)
        if not seen and line in block.fuse:
            names = [layer.name for layer in layers(line.tree)]
            trial.present |= trial.reads
            trial.problems.append(f"{path or 'the root'}: none of {', '.join(names)}")
    if not trial.problems:
        _check_shapes(trial, index)
    for keep in block.keep:
        trial.keeps |= dict.fromkeys(_kept(prefix, keep.norm, index), keep.why)
    if block.at:
        exempt = (*block.beside, *(k.norm for k in block.keep))
        trial.unread = unread_tensors(path, trial.reads, exempt, index)
        if block.alone and trial.found and trial.unread and not trial.problems:
            trial.problems.append(f"{path or 'the root'}: {trial.unread[0]!r} stands beside")
            trial.present |= trial.reads
    return trial


def unread_tensors(
    path: str, read: set[str], beside: tuple[str, ...], index: ModuleIndex
) -> list[str]:
    """Return the tensors of a block that no line reads and the recipe does not expect.

    Args:
        path: The block.
        read: Paths of the layers that are read.
        beside: Layers, relative to the block, that may stand beside, or patterns of them.
        index: The layers of the checkpoint.
    """
    start = re.escape(f"{path}." if path else "")
    known = [re.compile(start + path_regex(k) + r"(?:\..+)?") for k in beside]
    return [
        name
        for name in index.under(path)
        if name.rpartition(".")[0] not in read
        and name not in read
        and not any(regex.fullmatch(name) for regex in known)
    ]


def _check_shapes(trial: Trial, index: ModuleIndex) -> None:
    """Note how the shapes of the layers found contradict the kind, if they do."""
    try:
        for item in trial.found:
            resolve(item.line.tree, index, item.block, eps=0.0)
    except PlanError as error:
        trial.problems.append(str(error))
        trial.present |= trial.reads
        trial.misfit = True


def _kept(prefix: str, norm: str, index: ModuleIndex) -> set[str]:
    if not PLACEHOLDER.search(norm) and "*" not in norm:
        return {prefix + norm}  # the usual case, without a look at all norms for every block
    return matching(prefix, norm, index.norms())


def _try_line(trial: Trial, line: Line, index: ModuleIndex, apart: set[str]) -> bool:
    """Bind one line without placeholders; return whether anything of it is there."""
    path = trial.path

    def there(name: str) -> bool:
        return index.get(join(path, name)) is not None

    tree = settle(line.tree, there)
    names = [layer.name for layer in layers(tree)]
    missing = [name for name in names if not there(name)]
    present = [name for name in names if name not in missing]
    if _hollow(tree) or not names:
        missing.append("a branch of it")
    if not missing:
        shared = tuple(n for n in names if n in trial.block.shared)
        trial.found.append(Found(path, Line(tree, line.output), shared, trial.block.same))
        return True
    output = index.get(join(path, line.output))
    deployed = output is not None and output.kind == "conv" and "bias" in output.tensors
    if deployed and present in ([], [line.output]):
        trial.fused.append(join(path, line.output))
        if present:
            trial.bare.append(join(path, line.output))
        return True
    here = {join(path, name) for name in present}
    trial.present |= here
    if here <= apart:
        return False
    if present:
        trial.problems.append(
            f"{path or 'the root'}: has {present[0]!r} but no {missing[0]!r}"
            + (f", though {line.output!r} is there" if deployed else "")
        )
    return bool(present)


def settle(node: Node, there: Callable[[str], bool]) -> Node:
    """Drop the optional parts of which nothing is there.

    Args:
        node: An expression without placeholders.
        there: Whether a layer is there.
    """
    match node:
        case Maybe(part):
            return settle(part, there)
        case Chain(steps):
            kept = tuple(settle(s, there) for s in steps if _wanted(s, there))
            return kept[0] if len(kept) == 1 else Chain(kept)
        case Sum(terms):
            kept_terms = tuple((sign, settle(t, there)) for sign, t in terms if _wanted(t, there))
            if len(kept_terms) == 1 and kept_terms[0][0] > 0:
                return kept_terms[0][1]
            return Sum(kept_terms)
        case _:
            return node


def _wanted(node: Node, there: Callable[[str], bool]) -> bool:
    return not isinstance(node, Maybe) or any(there(x.name) for x in layers(node))


def _hollow(node: Node) -> bool:
    """Whether a sum or a chain is left with nothing in it."""
    match node:
        case Chain(steps):
            return not steps or any(map(_hollow, steps))
        case Sum(terms):
            return not terms or any(_hollow(t) for _, t in terms)
        case _:
            return False


def _bindings(line: Line, prefix: str, index: ModuleIndex) -> Iterator[Line]:
    """Yield the line once for every set of numbers that its placeholders can stand for.

    A placeholder in the output makes one line per binding; elsewhere the branch it stands in is
    summed over its bindings.
    """
    if not PLACEHOLDER.search(line.output):
        yield Line(_expand(line.tree, prefix, index), line.output)
        return
    anchor = next(layers(line.tree)).name
    for numbers in numbers_for(anchor, prefix, index):
        module = index.get(prefix + fill(anchor, numbers))
        if module is None or (anchor == line.output and module.kind != "conv"):
            continue  # a result can take the place of a convolution only
        tree = rename(line.tree, partial(fill, numbers=numbers))
        yield Line(_expand(tree, prefix, index), fill(line.output, numbers))


def _expand(node: Node, prefix: str, index: ModuleIndex) -> Node:
    """Replace every branch that holds a placeholder by the sum over its bindings."""
    anchor = _anchor(node)
    if anchor is not None:
        return Sum(
            tuple(
                (1, _expand(rename(node, partial(fill, numbers=numbers)), prefix, index))
                for numbers in numbers_for(anchor, prefix, index)
            )
        )
    match node:
        case Maybe(part):
            return Maybe(_expand(part, prefix, index))
        case Chain(steps):
            return Chain(tuple(_expand(s, prefix, index) for s in steps))
        case Sum(terms):
            done: list[tuple[int, Node]] = []
            for sign, term in terms:
                wide = _expand(term, prefix, index)
                if _anchor(term) is not None and isinstance(wide, Sum):
                    done += [(sign * s, t) for s, t in wide.terms]
                else:
                    done.append((sign, wide))
            return Sum(tuple(done))
        case _:
            return node


def _anchor(branch: Node) -> str | None:
    """The first name with a placeholder among a branch's own layers, not those of sums in it."""
    steps = branch.steps if isinstance(branch, Chain) else (branch,)
    for step in steps:
        layer = step.part if isinstance(step, Maybe) else step
        if isinstance(layer, Layer) and PLACEHOLDER.search(layer.name):
            return layer.name
    return None
