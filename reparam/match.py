"""Finding a recipe's blocks in a checkpoint, by the names and shapes of its layers.

A spelling that is there only in part is not used at all: a net that resembles a family and differs
from it must never be fused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from reparam.expression import layers
from reparam.patterns import PLACEHOLDER, candidates, matching, path_regex
from reparam.trial import Found, settle, try_block

if TYPE_CHECKING:
    from reparam.expression import Node
    from reparam.modules import ModuleIndex
    from reparam.recipe import Block, Recipe, Spelling
    from reparam.trial import Trial


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
        never: Why nothing may be fused although the spelling is there.
    """

    recipe: Recipe
    spelling: Spelling
    found: list[Found] = field(default_factory=list[Found])
    fused: list[str] = field(default_factory=list[str])
    bare: list[str] = field(default_factory=list[str])
    keeps: dict[str, str] = field(default_factory=dict[str, str])
    beside: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    problems: list[str] = field(default_factory=list[str])
    never: str = ""

    @property
    def label(self) -> str:
        """Recipe and spelling, as messages name them."""
        return f"recipe {self.recipe.name} ({self.spelling.name})"

    @property
    def reads(self) -> set[str]:
        """Paths of all layers that its lines read."""
        return {path for found in self.found for path in found.reads}

    def add(self, trial: Trial) -> None:
        """Take a kind of block that fits into account."""
        self.found += trial.found
        self.fused += trial.fused
        self.bare += trial.bare
        self.keeps |= trial.keeps
        if trial.found and trial.block.at:  # below a root lies everything, so it owns nothing
            kept = (keep.norm for keep in trial.block.keep)
            self.beside[trial.path] = (*trial.block.beside, *kept)


@dataclass(frozen=True, slots=True)
class Near:
    """A spelling that is nearly there.

    Attributes:
        why: Why it is not used, with its label.
        layers: What it would have read.
    """

    why: str
    layers: frozenset[str] = frozenset()


def match_recipe(
    recipe: Recipe, index: ModuleIndex, taken: frozenset[str] = frozenset()
) -> tuple[list[Match], list[Near]]:
    """Look for every spelling of a recipe.

    Args:
        recipe: The family.
        index: The layers of the checkpoint.
        taken: Layers that belong to recipes which stand over this one.

    Returns:
        The spellings that are there, and those that nearly are.
    """
    matches: list[Match] = []
    near: list[Near] = []
    claimed: set[str] = set()
    for spelling in recipe.spellings:
        for root in _roots(spelling, index, near, f"{recipe.name} ({spelling.name})"):
            match, torn = _match_root(recipe, spelling, root, index, taken)
            if match.reads & claimed:
                continue  # an earlier, more specific spelling of the same family has them
            if match.problems:
                layers_seen = frozenset(match.reads | torn)
                near.append(Near(f"{match.label}: {match.problems[0]}", layers_seen))
            elif match.found or match.fused:
                claimed |= match.reads
                matches.append(match)
    return matches, near


def _match_root(
    recipe: Recipe, spelling: Spelling, root: str, index: ModuleIndex, taken: frozenset[str]
) -> tuple[Match, set[str]]:
    """Look for a spelling below one root; also return the layers of blocks that are not whole."""
    match = Match(recipe, spelling)
    chosen: list[Trial] = []
    torsos: list[Trial] = []
    norms = index.norms()
    apart: set[str] = set()
    for pattern in spelling.apart:
        apart |= matching(root, pattern, candidates(pattern, index)).difference(norms)
    for (prefix, _), kinds in _places(spelling, root, index).items():
        trials = [try_block(prefix, kind, index, apart) for kind in kinds]
        fitting = [t for t in trials if not t.problems]
        named = [t for t in trials if not t.problems or t.misfit]
        least = min(map(_unexplained, named), default=0)
        if not fitting or least < min(map(_unexplained, fitting)):
            torsos.append(_nearest(trials))
            torsos[-1].present |= {path for t in trials for path in t.present}
            continue
        best = next(t for t in fitting if _unexplained(t) == least)
        if odd := [t for t in fitting if _rivals(t, best)]:
            match.problems.append(
                f"{prefix}: two kinds of block of this spelling fit equally well, with "
                f"{_written(best)} and with {_written(odd[0])}"
            )
        chosen.append(best)
    for trial in chosen:
        trial.leave(taken)
    _settle_overlaps(match, chosen, spelling)
    for keep in spelling.keep:
        found = matching(root, keep.norm, norms)
        match.keeps |= dict.fromkeys(found - match.reads - match.keeps.keys() - taken, keep.why)
    accounted = match.reads | match.keeps.keys() | taken
    known = accounted | apart if match.found else accounted
    match.fused = [path for path in match.fused if path not in known]
    match.bare = [path for path in match.bare if path not in known]
    accounted |= apart.union(match.fused)
    match.problems += [t.problems[0] for t in torsos if not t.present or not t.present <= accounted]
    if match.found and match.bare:
        match.problems.append(
            f"{match.bare[0]!r} has a bias and no norm while other layers have theirs: the "
            "file is half fused, or of another family"
        )
    match.never = _never(spelling, root, index)
    torn = {path for trial in torsos for path in trial.present}
    if match.found and spelling.complete:
        left = [path for path in norms if path.startswith(root) and path not in accounted]
        match.problems += [f"has a norm {path!r} that no line reads" for path in left]
        torn |= set(left)
    return match, torn


def _never(spelling: Spelling, root: str, index: ModuleIndex) -> str:
    """Why fusing would be wrong, if such a layer is there."""
    for never in spelling.never:
        for path in sorted(matching(root, never.layer, candidates(never.layer, index))):
            return f"{path}: {never.why}"
    return ""


def _nearest(trials: list[Trial]) -> Trial:
    """The kind of block whose problem says most: wrong shapes, then missing layers."""
    return max(trials, key=lambda t: (len(t.present), -trials.index(t)))


def _rivals(trial: Trial, best: Trial) -> bool:
    """Whether two kinds fit alike and read different layers.

    Of kinds that read the same layers, and differ in an identity or a pool, the first is taken.
    """
    return _unexplained(trial) == _unexplained(best) and trial.reads != best.reads


def _unexplained(trial: Trial) -> int:
    """How little a kind accounts for: what it leaves unread, or at the root what it reads."""
    return len(trial.unread) if trial.block.at else -len(trial.reads)


def _written(trial: Trial) -> str:
    return " and ".join(f.line.output or f.block for f in trial.found) or "nothing"


def _settle_overlaps(match: Match, chosen: list[Trial], spelling: Spelling) -> None:
    """Add what was chosen, the kinds that are listed first before the others.

    What an earlier kind reads, a later one leaves alone.
    """
    taken: dict[str, int] = {}
    rank = {id(block): position for position, block in enumerate(spelling.blocks)}
    for trial in sorted(chosen, key=lambda t: rank[id(t.block)]):
        mine = rank[id(trial.block)]
        kept: list[Found] = []
        for found in trial.found:
            earlier = {path for path in found.reads if taken.get(path, mine) < mine}
            if earlier and earlier != found.reads:
                match.problems.append(
                    f"{trial.path or 'the root'}: {min(earlier)!r} is read by two kinds of block"
                )
            if not earlier:
                kept.append(found)
        trial.found = kept
        taken |= {path: taken.get(path, mine) for path in trial.reads}
        match.add(trial)


def _roots(spelling: Spelling, index: ModuleIndex, near: list[Near], label: str) -> list[str]:
    """Every prefix below which the layers that a spelling needs exist."""
    first = next((n for n in spelling.needs if not n.startswith("**")), None)
    rest = [n for n in spelling.needs if n != first]
    if first is None:
        return [""] if all(exists("", n, index) for n in rest) else []
    regex = re.compile(rf"(?P<root>(?:.+\.)?){path_regex(first)}")
    roots: list[str] = []
    for path in candidates(first, index):
        if found := regex.fullmatch(path):
            root = found["root"]
            missing = [n for n in rest if not exists(root, n, index)]
            if not missing:
                roots.append(root)
            elif len(missing) < len(rest):
                text = f"recipe {label}: has {root + first!r} but no {root + missing[0]!r}"
                near.append(Near(text))
    return sorted(set(roots))


def exists(root: str, pattern: str, index: ModuleIndex) -> bool:
    """Whether a checkpoint has a layer that a pattern describes, below a root."""
    if not PLACEHOLDER.search(pattern) and "*" not in pattern:
        return index.get(root + pattern) is not None
    return bool(matching(root, pattern, candidates(pattern, index)))


def _places(
    spelling: Spelling, root: str, index: ModuleIndex
) -> dict[tuple[str, bool], list[Block]]:
    """Prefixes of blocks, each with the kinds of block that may be there.

    Those that own nothing, because everything lies below them, do not compete with the others.
    """
    places: dict[tuple[str, bool], list[Block]] = {}
    for block in spelling.blocks:
        at = path_regex(block.at)
        at = at if not at or block.at.endswith("**") else at + r"\."
        # every layer that must be there leads to its block, so that a torso is found and refused
        starts = {name for line in block.fuse for name in (*_required(line.tree), line.output)}
        for name in sorted(starts - {""}):
            regex = re.compile(rf"(?P<block>{re.escape(root)}{at}){path_regex(name)}")
            for path in candidates(name, index):
                if found := regex.fullmatch(path):
                    blocks = places.setdefault((found["block"], bool(block.at)), [])
                    if block not in blocks:
                        blocks.append(block)
    return dict(sorted(places.items()))


def _required(node: Node) -> list[str]:
    """Names of the layers that must be there; of all, where each of them is optional."""
    needed = [layer.name for layer in layers(settle(node, lambda _: False))]
    return needed or [layer.name for layer in layers(node)]
