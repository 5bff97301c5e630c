"""Finding the blocks of a recipe in a file."""

from mutants.record import edits

MATCH = "tests/test_match.py"
LINES = "tests/test_lines.py"
CHOICE = "tests/test_recipe_choice.py"

KINDS = edits(
    "reparam/match.py",
    MATCH,
    (
        "most unread taken",
        "return len(trial.unread) if trial.block.at else",
        "return -len(trial.unread) if trial.block.at else",
    ),
    (
        "fewest read at the root",
        "if trial.block.at else -len(trial.reads)",
        "if trial.block.at else len(trial.reads)",
    ),
    (
        "wrong shapes never reported",
        "named = [t for t in trials if not t.problems or t.misfit]",
        "named = fitting",
    ),
    (
        "wrong shapes always reported",
        "if not fitting or least < min(map(_unexplained, fitting)):",
        "if not fitting or len(named) > len(fitting):",
    ),
    (
        "last of equal kinds",
        "best = next(t for t in fitting if _unexplained(t) == least)",
        "best = [t for t in fitting if _unexplained(t) == least][-1]",
    ),
    (
        "first kind that fits",
        "best = next(t for t in fitting if _unexplained(t) == least)",
        "best = fitting[0]",
    ),
    (
        "rivals accepted",
        "if odd := [t for t in fitting if _rivals(t, best)]:",
        "if odd := [t for t in fitting if False]:",
    ),
    ("rivals that read the same layers", "and trial.reads != best.reads", "and trial is not best"),
    (
        "least of a torso named",
        "key=lambda t: (len(t.present), -trials.index(t))",
        "key=lambda t: (-len(t.present), -trials.index(t))",
    ),
    (
        "last of equal torsos named",
        "key=lambda t: (len(t.present), -trials.index(t))",
        "key=lambda t: (len(t.present), trials.index(t))",
    ),
    (
        "later kinds before earlier ones",
        "sorted(chosen, key=lambda t: rank[id(t.block)])",
        "sorted(chosen, key=lambda t: -rank[id(t.block)])",
    ),
    (
        "layers read again",
        "            if not earlier:\n                kept.append(found)",
        "            kept.append(found)",
    ),
    ("layers read in part", "if earlier and earlier != found.reads:", "if False:"),
    (
        "a kind loses all its lines",
        "        trial.found = kept\n",
        "        trial.found = kept if len(kept) == len(trial.found) else []\n",
    ),
) + edits(
    "reparam/resolve.py",
    MATCH,
    ("odd sizes of some axis", "if not all(taps % 2 for", "if not any(taps % 2 for"),
    ("odd sizes of any number", "if not all(taps % 2 for", "if not all(taps % 2 or taps for"),
)

TORSOS = edits(
    "reparam/match.py",
    MATCH,
    ("torsos never tolerated", "if not t.present or not t.present <= accounted]", "]"),
    (
        "torsos always tolerated",
        "if not t.present or not t.present <= accounted]",
        "if not t.present]",
    ),
    (
        "torsos of nothing tolerated",
        "if not t.present or not t.present <= accounted]",
        "if not t.present <= accounted]",
    ),
    (
        "torsos of which a part is read",
        "if not t.present or not t.present <= accounted]",
        "if t.present.isdisjoint(accounted)]",
    ),
    (
        "layers of one kind of torso",
        "torsos[-1].present |= {path for t in trials for path in t.present}",
        "pass",
    ),
    (
        "norms that stay make torsos",
        "accounted = match.reads | match.keeps.keys() | taken",
        "accounted = match.reads | taken",
    ),
    ("apart ignored", "    for pattern in spelling.apart:\n", "    for pattern in ():\n"),
    (
        "apart from anywhere",
        "apart |= matching(root, pattern, candidates(pattern, index))",
        'apart |= matching("", "**." + pattern, candidates(pattern, index))',
    ),
    ("norms apart", "candidates(pattern, index)).difference(norms)", "candidates(pattern, index))"),
    (
        "layers apart half fused",
        "known = accounted | apart if match.found else accounted",
        "known = accounted",
    ),
    (
        "layers apart never fused",
        "known = accounted | apart if match.found else accounted",
        "known = accounted | apart",
    ),
    (
        "layers fused already make torsos",
        "accounted |= apart.union(match.fused)",
        "accounted |= apart",
    ),
    ("norms of a spelling ignored", "    for keep in spelling.keep:\n", "    for keep in ():\n"),
    (
        "norms of a spelling from anywhere",
        "found = matching(root, keep.norm, norms)",
        'found = matching("", "**." + keep.norm, norms)',
    ),
    (
        "norms of a spelling though read",
        "found - match.reads - match.keeps.keys() - taken",
        "found - match.keeps.keys() - taken",
    ),
    (
        "norms of a spelling before those of a block",
        "found - match.reads - match.keeps.keys() - taken",
        "found - match.reads - taken",
    ),
    ("half fused accepted", "if match.found and match.bare:", "if False:"),
    ("fused taken for half fused", "if match.found and match.bare:", "if match.bare:"),
    (
        "layers of others half fused",
        "match.bare = [path for path in match.bare if path not in known]",
        "pass",
    ),
    ("complete ignored", "if match.found and spelling.complete:", "if False:"),
    ("complete always", "if match.found and spelling.complete:", "if match.found:"),
    (
        "complete beyond the root",
        "if path.startswith(root) and path not in accounted",
        "if path not in accounted",
    ),
) + edits(
    "reparam/match.py",
    CHOICE,
    (
        "layers of recipes above make torsos",
        "accounted = match.reads | match.keeps.keys() | taken",
        "accounted = match.reads | match.keeps.keys()",
    ),
    (
        "norms of recipes above stay",
        "found - match.reads - match.keeps.keys() - taken",
        "found - match.reads - match.keeps.keys()",
    ),
)

ROOTS = (
    edits(
        "reparam/match.py",
        MATCH,
        (
            "root of the first need",
            'next((n for n in spelling.needs if not n.startswith("**")), None)',
            "next(iter(spelling.needs), None)",
        ),
        (
            "needs without a root ignored",
            'return [""] if all(exists("", n, index) for n in rest) else []',
            'return [""]',
        ),
        (
            "other needs ignored",
            "missing = [n for n in rest if not exists(root, n, index)]",
            "missing = []",
        ),
        ("needs of which none is there", "elif len(missing) < len(rest):", "else:"),
        ("one root", "return sorted(set(roots))", "return roots[:1]"),
        ("needs at the top", "return index.get(root + pattern)", "return index.get(pattern)"),
        (
            "result alone not found",
            "for name in (*_required(line.tree), line.output)}",
            "for name in _required(line.tree)}",
        ),
        (
            "blocks found by their first layer",
            "for name in (*_required(line.tree), line.output)}",
            "for name in (_required(line.tree)[0], line.output)}",
        ),
        (
            "kinds at the root compete",
            '(found["block"], bool(block.at))',
            '(found["block"], False)',
        ),
        (
            "any path in the middle only",
            'if not at or block.at.endswith("**") else',
            'if block.at in ("", "**") else',
        ),
        ("spellings compete", "if match.reads & claimed:", "if False:"),
        (
            "a refused spelling keeps its layers",
            "                layers_seen = frozenset(match.reads | torn)\n",
            (
                "                layers_seen = frozenset(match.reads | torn)\n"
                "                claimed |= match.reads\n"
            ),
        ),
        ("norms that stay are unknown", "(*trial.block.beside, *kept)", "trial.block.beside"),
    )
    + edits(
        "reparam/match.py",
        LINES,
        ("lines of which all may be absent", "return needed or [", "return needed and ["),
    )
    + edits(
        "reparam/match.py",
        CHOICE,
        (
            "misses of what others read",
            "layers_seen = frozenset(match.reads | torn)",
            "layers_seen = frozenset[str]()",
        ),
        (
            "misses of blocks that are not whole",
            "layers_seen = frozenset(match.reads | torn)",
            "layers_seen = frozenset(match.reads)",
        ),
        ("misses of norms that no line reads", "        torn |= set(left)\n", ""),
        (
            "layers of recipes above read",
            "    for trial in chosen:\n        trial.leave(taken)\n",
            "",
        ),
    )
    + edits(
        "reparam/patterns.py",
        MATCH,
        ("any number", "if not 0 < least <= _LARGEST_DIGIT:", "if True:"),
        ("numbers of one digit", "(?:[{least}-9]|[1-9]\\d{{1,8}})", "[{least}-9]"),
        ("names of any depth", 'parts.append(r"[^.]+")', 'parts.append(r".+")'),
    )
    + edits(
        "reparam/patterns.py",
        LINES,
        ("number one too large", "int(v) - int(holes[k][3] or 0)", "int(v)"),
        ("number one too small", "str(value + int(found[3] or 0) if", "str(value if"),
    )
)

MUTANTS = [*KINDS, *TORSOS, *ROOTS]
