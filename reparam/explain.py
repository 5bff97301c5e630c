"""Which known mistake explains a block of AFTER that is not the fold of BEFORE.

A mistake is named only if folding it gives AFTER: bitwise, within rounding, or within what float32
arithmetic explains, and in a better grade than the right fold. What explains AFTER equally well is
named beside it, because the numbers cannot tell.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from reparam import operations as ops
from reparam.certificate import certify
from reparam.grades import Certificate, Grade
from reparam.mistakes import candidates, fitted_candidates
from reparam.narrow import through
from reparam.screen import Screen, proved
from reparam.slabs import BlockReader

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable, Mapping, Sequence

    from reparam.mistakes import Candidate
    from reparam.operations import Operation, Read
    from reparam.plans import Fusion

Key = TypeVar("Key", bound="Hashable")

ALIKE = 4
"""Certificates of float32 arithmetic that differ by less say nothing about which is right."""

FAR = 32
"""One that is so much larger belongs to no explanation, whatever the other blocks say."""

VARIED = 4
"""Channels with scales of their own that it takes to tell a constant from a rounding."""

WORK = 1 << 16
"""Products of channels that trying candidates may take; wide sequences have many in a fold."""

LEAST = 40
"""Candidates that are tried in any case: those in all layers of a block alike come first."""

TINY = 2.0**-1074
"""What stands for a certificate of 0 where its logarithm is needed."""

MOST_NAMES = 3
"""Mistakes that are named at most, where they explain AFTER equally well."""


@np.errstate(all="ignore")  # a mistake may well overflow, and AFTER hold anything
def explain(
    fusion: Fusion,
    fusions: Sequence[Fusion],
    before: Read,
    after: Read,
    *,
    after_op: Operation | None = None,
    right: Certificate | None = None,
    likely: Collection[str] = (),
    enough: bool = False,
) -> dict[str, float]:
    """Find the known mistakes that explain AFTER; `settle` says which are meant.

    Args:
        fusion: The block.
        fusions: All blocks of the plan.
        before: Gives the tensors of BEFORE.
        after: Gives the tensors of AFTER.
        after_op: The block of AFTER, if it is not what the plan would have written.
        right: The certificate of the right fold, if it is known already.
        likely: What explains other blocks, with names as `relative` gives them; tried first.
        enough: Whether nothing else has to be tried if one of them fits; else only if one gives
            AFTER to its last bits.

    Returns:
        By what completes "AFTER was fused", e.g. `with eps=0.001`, what is left of C if that was
        done, 0 if AFTER is reproduced to its last bits; the usual mistakes first. Nothing where no
        mistake fits, or the right fold fits as well.

    Raises:
        NumericError: BEFORE holds values that cannot be fused.
    """
    before, after = BlockReader(before), BlockReader(after)
    target = after_op or fusion.after
    right = right or certify(fusion.name, fusion.op, before, target, after)
    within, varied = right.grade == Grade.WITHIN, scales(fusion.op, before) >= VARIED
    if right.grade <= Grade.ROUNDING or right.reason or (within and not varied):
        return {}
    screen = Screen(fusion, target, after, right)
    every = candidates(fusion, fusions, before, after, target)
    tried = list(itertools.islice(every, max(WORK // work(fusion.op), LEAST)))
    known = screen.fitting(c for c in tried if relative(c.text, fusion) in likely)
    if known and (enough or (varied and _any_proved(known))):
        return _named(known)
    found = screen.fitting(tried)
    if not found or (varied and not known and not _any_proved(found)):
        exact = bool(found) or within
        found += screen.fitting(fitted_candidates(fusion, before, after, target, exact=exact))
    if found or within:
        return _named(found)
    return dict.fromkeys(through(fusion.op, before, target, after), math.inf)


def settle(found: Mapping[Key, Mapping[str, float]]) -> dict[Key, str]:
    """Choose what to say of each block, when all are known.

    What explains most blocks is meant in each of them. If several explain as many, those whose
    certificates are alike on the whole: of n blocks, by a factor of `ALIKE**sqrt(n)`, as chance
    alone makes each of them smaller or larger.

    Args:
        found: What `explain` returned for each block, with names as `relative` gives them.

    Returns:
        What completes "AFTER was fused"; empty where nothing explains a block.

    Example:
        >>> settle({"a": {"with eps=0": 3e-7, "with eps=1e-8": 4e-7}, "b": {"with eps=0": 2e-7}})
        {'a': 'with eps=0', 'b': 'with eps=0'}
    """
    counts = Counter(text for texts in found.values() for text in texts)
    scores: defaultdict[str, float] = defaultdict(float)
    for texts in found.values():
        for text, bound in texts.items():
            scores[text] += math.log(max(bound, TINY))
    chosen: dict[Key, str] = {}
    for key, texts in found.items():
        most = max((counts[text] for text in texts), default=0)
        common = [text for text in texts if counts[text] == most]
        least = min((scores[text] for text in common), default=0)
        room = math.log(ALIKE) * math.sqrt(most)
        chosen[key] = _in_words([text for text in common if scores[text] <= least + room])
    return chosen


def scales(op: Operation, before: Read) -> int:
    """Return how many of a block's channels are scaled by numbers of their own.

    One rounding of a scale that all channels share looks like another eps; many have to agree by
    chance. Without norms there is nothing to mistake for a rounding.
    """
    counts: list[int] = []
    for norm in ops.leaves(op):
        if isinstance(norm, ops.NormOp):
            var = before(norm.var).astype(np.float64)
            gamma = before(norm.weight or norm.var).astype(np.float64)
            counts.append(np.unique([var[gamma != 0], gamma[gamma != 0]], axis=1).shape[1])
    return max(counts, default=VARIED)


def _in_words(texts: Sequence[str]) -> str:
    """Join what explains AFTER equally well."""
    more = [f"in {len(texts) - MOST_NAMES} other ways"] if len(texts) > MOST_NAMES else []
    return " or ".join([*texts[:MOST_NAMES], *more])


def relative(text: str, fusion: Fusion) -> str:
    """Return a text with names seen from the block, so that blocks of one cause share it."""
    return text.replace(f"'{fusion.binding.block}.", "'")


def work(op: Operation) -> int:
    """Return how many products of channels a fold adds up one after the other, at least 1."""
    match op:
        case ops.ChainOp(steps):
            own = sum(math.prod(s.shape[1:]) for s in steps[1:] if isinstance(s, ops.ConvOp))
            return max(own + sum(map(work, steps)), 1)
        case ops.SumOp(terms):
            return sum(work(term) for _, term in terms)
        case _:
            return 1


def _any_proved(found: list[tuple[Certificate, Candidate]]) -> bool:
    return any(proved(certificate) for certificate, _ in found)


def _named(found: list[tuple[Certificate, Candidate]]) -> dict[str, float]:
    """Return the best of what explains AFTER, and what explains it as well.

    What is fitted to AFTER is only said where nothing else explains it as well: a number can follow
    a rounding by chance.
    """
    fixed = [pair for pair in found if not pair[1].fitted]
    if fixed and _least(fixed) <= ALIKE * _least(found):
        found = fixed
    if _any_proved(found):
        return {candidate.text: 0.0 for certificate, candidate in found if proved(certificate)}
    bound = FAR * _least(found) if found else 0.0
    return {
        candidate.text: certificate.bound
        for certificate, candidate in found
        if certificate.bound <= bound
    }


def _least(found: list[tuple[Certificate, Candidate]]) -> float:
    return min(certificate.bound for certificate, _ in found)
