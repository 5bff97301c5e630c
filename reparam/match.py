"""Finding a recipe's blocks in a checkpoint, by the names of its layers.

Names decide which lines of a recipe are there; shapes decide later, in `reparam.resolve`, whether
they compose. A spelling that is there only in part is not used at all: a net that resembles a
family and differs from it must never be fused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from reparam.expression import Chain, Line, Maybe, Node, Sum, layers, rename
from reparam.patterns import PLACEHOLDER, candidates, fill, join, numbers_for, path_regex

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from reparam.modules import ModuleIndex
    from reparam.recipe import Block, Recipe, Same, Spelling


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


@dataclass(slots=True)
class Match:
    """What one spelling of one recipe found below one root.

    Attributes:
        recipe: The family.
        spelling: Whose names.
        found: Lines that are there.
        fused: Layers that are in deploy form already.
        bare: Those of them that kept their name, so that only a bias and a missing norm tell.
        keeps: Norms that the recipe leaves alone, with reasons.
        beside: Per block, layers that may stand beside its lines.
        problems: Why the spelling is not to be used.
    """

    recipe: Recipe
    spelling: Spelling
    found: list[Found] = field(default_factory=list[Found])
    fused: list[str] = field(default_factory=list[str])
    bare: list[str] = field(default_factory=list[str])
    keeps: dict[str, str] = field(default_factory=dict[str, str])
    beside: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    problems: list[str] = field(default_factory=list[str])

    @property
    def label(self) -> str:
        """Recipe and spelling, as messages name them."""
        return f"recipe {self.recipe.name} ({self.spelling.name})"

    @property
    def reads(self) -> set[str]:
        """Paths of all layers that its lines read."""
        return {join(f.block, layer.name) for f in self.found for layer in layers(f.line.tree)}


def match_recipe(recipe: Recipe, index: ModuleIndex) -> tuple[list[Match], list[str]]:
    """Look for every spelling of a recipe.

    Args:
        recipe: The family.
        index: The layers of the checkpoint.

    Returns:
        The spellings that are there, and for those that nearly are, why they are not used.
    """
    matches: list[Match] = []
    near: list[str] = []
    claimed: set[str] = set()
    for spelling in recipe.spellings:
        for root in _roots(spelling, index, near, f"{recipe.name} ({spelling.name})"):
            match = Match(recipe, spelling)
            for prefix, blocks in _places(spelling, root, index).items():
                _match_place(match, prefix, blocks, index)
            if match.reads & claimed:
                continue  # an earlier, more specific spelling of the same family has them
            if match.found and match.bare:
                match.problems.append(
                    f"{match.bare[0]!r} has a bias and no norm while other layers have theirs: the "
                    "file is half fused, or of another family"
                )
            if match.problems:
                near.append(f"{match.label}: {match.problems[0]}")
            elif match.found or match.fused:
                claimed |= match.reads
                matches.append(match)
    return matches, near


def _roots(spelling: Spelling, index: ModuleIndex, near: list[str], label: str) -> list[str]:
    """Every prefix below which the layers that a spelling needs exist."""
    if not spelling.needs:
        return [""]
    first, *rest = spelling.needs
    regex = re.compile(rf"(?P<root>(?:.+\.)?){path_regex(first)}")
    roots: list[str] = []
    for path in candidates(first, index):
        if found := regex.fullmatch(path):
            root = found["root"]
            missing = [n for n in rest if not _exists(root, n, index)]
            if not missing:
                roots.append(root)
            elif len(missing) < len(rest):
                near.append(f"recipe {label}: has {root + first!r} but no {root + missing[0]!r}")
    return sorted(set(roots))


def _exists(root: str, pattern: str, index: ModuleIndex) -> bool:
    if not PLACEHOLDER.search(pattern) and "*" not in pattern:
        return index.get(root + pattern) is not None
    regex = re.compile(re.escape(root) + path_regex(pattern))
    return any(regex.fullmatch(path) for path in candidates(pattern, index))


def _places(spelling: Spelling, root: str, index: ModuleIndex) -> dict[str, list[Block]]:
    """Prefixes of blocks, each with the kinds of block that may be there."""
    places: dict[str, list[Block]] = {}
    for block in spelling.blocks:
        at = "" if not block.at else path_regex(block.at)
        at = at if block.at in ("", "**") else at + r"\."
        # every layer that must be there leads to its block, so that a torso is found and refused
        starts = {
            name
            for line in block.fuse
            for name in (*(x.name for x in layers(_required(line.tree))), line.output)
        }
        for name in sorted(starts):
            regex = re.compile(rf"(?P<block>{re.escape(root)}{at}){path_regex(name)}")
            for path in candidates(name, index):
                if found := regex.fullmatch(path):
                    blocks = places.setdefault(found["block"], [])
                    if block not in blocks:
                        blocks.append(block)
    return dict(sorted(places.items()))


def _match_place(match: Match, prefix: str, blocks: list[Block], index: ModuleIndex) -> None:
    """Choose the one kind of block that accounts for everything at a place."""
    results = [_match_block(prefix, block, index) for block in blocks]
    whole = [r for r in results if not r.problems]
    if not whole:
        match.problems += results[0].problems
        return
    best = min(whole, key=lambda r: len(r.unread))
    if any(len(r.unread) == len(best.unread) and r.found != best.found for r in whole):
        match.problems.append(f"{prefix}: two kinds of block of this spelling fit equally well")
    path = prefix.removesuffix(".")
    match.found += best.found
    match.fused += best.fused
    match.bare += best.bare
    for keep in best.block.keep:
        match.keeps[join(path, keep.norm)] = keep.why
    if best.found and best.block.at:  # everything lies below a root, so a root owns nothing
        match.beside[path] = (*best.block.beside, *(k.norm for k in best.block.keep))


@dataclass(slots=True)
class _Result:
    """One kind of block tried at one place."""

    block: Block
    found: list[Found] = field(default_factory=list[Found])
    fused: list[str] = field(default_factory=list[str])
    bare: list[str] = field(default_factory=list[str])
    problems: list[str] = field(default_factory=list[str])
    unread: list[str] = field(default_factory=list[str])


def _match_block(prefix: str, block: Block, index: ModuleIndex) -> _Result:
    path = prefix.removesuffix(".")
    result = _Result(block)
    for line in (*block.fuse, *block.maybe):
        lines = list(_bindings(line, prefix, index))
        seen = False
        for bound in lines:
            seen |= _match_line(result, path, bound, index)
        if not seen and line in block.fuse:
            names = [layer.name for layer in layers(line.tree)]
            result.problems.append(f"{path or 'the root'}: none of {', '.join(names)}")
    read = {join(path, layer.name) for f in result.found for layer in layers(f.line.tree)}
    exempt = (*block.beside, *(k.norm for k in block.keep))
    result.unread = unread_tensors(path, read, exempt, index) if block.at else []
    return result


def unread_tensors(
    path: str, read: set[str], beside: tuple[str, ...], index: ModuleIndex
) -> list[str]:
    """Return the tensors of a block that no line reads and the recipe does not expect.

    Args:
        path: The block.
        read: Paths of the layers that are read.
        beside: Layers, relative to the block, that may stand beside.
        index: The layers of the checkpoint.
    """
    return [
        name
        for name in index.under(path)
        if name.rpartition(".")[0] not in read
        and name not in read
        and not any(_below(name, join(path, known)) for known in beside)
    ]


def _below(name: str, path: str) -> bool:
    return name == path or name.startswith(path + ".")


def _match_line(result: _Result, path: str, line: Line, index: ModuleIndex) -> bool:
    """Bind one line without placeholders; return whether anything of it is there."""

    def there(name: str) -> bool:
        return index.get(join(path, name)) is not None

    tree = _settle(line.tree, there)
    names = [layer.name for layer in layers(tree)]
    missing = [name for name in names if not there(name)]
    output = index.get(join(path, line.output))
    if not missing:
        shared = tuple(n for n in names if n in result.block.shared)
        result.found.append(Found(path, Line(tree, line.output), shared, result.block.same))
        return True
    present = [name for name in names if name not in missing]
    deployed = output is not None and output.kind == "conv" and "bias" in output.tensors
    if deployed and present in ([], [line.output]):
        result.fused.append(join(path, line.output))
        if present:
            result.bare.append(join(path, line.output))
        return True
    if present:
        result.problems.append(
            f"{path or 'the root'}: has {present[0]!r} but no {missing[0]!r}"
            + (f", though {line.output!r} is there" if deployed else "")
        )
    return bool(present)


def _settle(node: Node, there: Callable[[str], bool]) -> Node:
    """Drop the optional parts of which nothing is there."""
    match node:
        case Maybe(part):
            return _settle(part, there)
        case Chain(steps):
            kept = tuple(_settle(s, there) for s in steps if _wanted(s, there))
            return kept[0] if len(kept) == 1 else Chain(kept)
        case Sum(terms):
            kept_terms = tuple((sign, _settle(t, there)) for sign, t in terms if _wanted(t, there))
            if len(kept_terms) == 1 and kept_terms[0][0] > 0:
                return kept_terms[0][1]
            return Sum(kept_terms)
        case _:
            return node


def _required(node: Node) -> Node:
    """Drop all optional parts."""
    return _settle(node, lambda _: False)


def _wanted(node: Node, there: Callable[[str], bool]) -> bool:
    return not isinstance(node, Maybe) or any(there(x.name) for x in layers(node))


def _bindings(line: Line, prefix: str, index: ModuleIndex) -> Iterator[Line]:
    """Yield the line once for every set of numbers that its placeholders can stand for.

    A placeholder in the output makes one line per binding; elsewhere the branch it stands in is
    summed over its bindings.
    """
    if not PLACEHOLDER.search(line.output):
        yield Line(_expand(line.tree, prefix, index), line.output)
        return
    anchor = _anchor(line)
    for numbers in numbers_for(anchor, prefix, index):
        module = index.get(prefix + fill(anchor, numbers))
        if module is None or (anchor == line.output and module.kind != "conv"):
            continue  # a result can take the place of a convolution only
        tree = rename(line.tree, partial(fill, numbers=numbers))
        yield Line(_expand(tree, prefix, index), fill(line.output, numbers))


def _expand(node: Node, prefix: str, index: ModuleIndex) -> Node:
    """Replace every branch that holds a placeholder by the sum over its bindings."""
    if not any(PLACEHOLDER.search(layer.name) for layer in layers(node)):
        return node
    terms = node.terms if isinstance(node, Sum) else ((1, node),)
    done: list[tuple[int, Node]] = []
    for sign, term in terms:
        anchor = next((x.name for x in layers(term) if PLACEHOLDER.search(x.name)), None)
        if anchor is None:
            done.append((sign, term))
            continue
        done += [
            (sign, rename(term, partial(fill, numbers=numbers)))
            for numbers in numbers_for(anchor, prefix, index)
        ]
    return done[0][1] if len(done) == 1 and done[0][0] > 0 else Sum(tuple(done))


def _anchor(line: Line) -> str:
    return next(layers(line.tree)).name
