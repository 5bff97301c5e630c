"""Which recipe a file is, and which eps."""

from mutants.record import edits

MATCH = "tests/test_match.py"
CHOICE = "tests/test_recipe_choice.py"
LIBRARY = "tests/test_library.py"

CHOICES = (
    edits(
        "reparam/search.py",
        CHOICE,
        (
            "over reversed",
            "for r in recipes if recipe.name in r.over and r.name in held]",
            "for r in recipes if r.name in recipe.over and r.name in held]",
        ),
        (
            "over ignored",
            "for r in recipes if recipe.name in r.over and r.name in held]",
            "for r in recipes if False]",
        ),
        (
            "over in the order of the list",
            "sorted(recipes, key=lambda r: _depth(r, recipes))",
            "recipes",
        ),
        (
            "over of two levels only",
            "    while above and depth <= len(recipes):\n",
            "    while above and depth <= 1:\n",
        ),
        (
            "recipes not used hold their layers",
            '{why}", frozenset(match.reads)))',
            '{why}", frozenset(match.reads))); mine |= match.reads',
        ),
        (
            "recipes in the order they are looked for",
            "    found.sort(key=lambda match: recipes.index(match.recipe))\n",
            "",
        ),
        ("misses that others explain", "if not n.layers or not n.layers <= read]", "]"),
        (
            "misses of which others read a part",
            "if not n.layers or not n.layers <= read]",
            "if not n.layers & read]",
        ),
        (
            "misses of recipes that nobody named",
            "        if named or not recipe.by_name:\n",
            "        if True:\n",
        ),
        ("by_name ignored", "if match.recipe.by_name and not named:", "if False:"),
        (
            "by_name though named",
            "if match.recipe.by_name and not named:",
            "if match.recipe.by_name:",
        ),
        (
            "doubt waived by a name that has to be said",
            "return None if named and not match.recipe.by_name else",
            "return None if named else",
        ),
        (
            "doubt though named",
            "return None if named and not match.recipe.by_name else _doubt",
            "return _doubt",
        ),
        (
            "doubt waived",
            "return None if named and not match.recipe.by_name else _doubt(match, index)",
            "return None",
        ),
        ("any width settles", "return width > out or (", "return width != out or ("),
        ("grouped 1x1 settles nothing", "(width != out and all(k == 1 for k in space))", "False"),
        ("a grouped 1x1 settles all", "if strict and out % width == 0:", "if False:"),
        ("strict with every recipe", "if strict and out % width == 0:", "if out % width == 0:"),
        (
            "installed recipes always asked",
            "if names is None and (not claims.found or claims.norms_left(index)):",
            "if names is None:",
        ),
        (
            "installed recipes asked though one is named",
            "if names is None and (not claims.found or claims.norms_left(index)):",
            "if not claims.found or claims.norms_left(index):",
        ),
        (
            "installed recipes never asked",
            "if names is None and (not claims.found or claims.norms_left(index)):",
            "if False:",
        ),
        (
            "installed recipes for files without others",
            "if names is None and (not claims.found or claims.norms_left(index)):",
            "if names is None and not claims.found:",
        ),
        (
            "installed recipes instead of the others",
            "_search((*recipes, *more), index, source, named=False)",
            "_search((*more,), index, source, named=False)",
        ),
        (
            "installed recipes taken for named",
            "_search((*recipes, *more), index, source, named=False)",
            "_search((*recipes, *more), index, source, named=True)",
        ),
        (
            "norms that stay are left",
            "for path in (*match.reads, *match.keeps)}",
            "for path in match.reads}",
        ),
        (
            "two recipes on one layer",
            "if path in owner and owner[path].recipe is not match.recipe:",
            "if False:",
        ),
    )
    + edits(
        "reparam/recipe_plan.py",
        CHOICE,
        (
            "near misses always told",
            "    if claims.norms_left(index):\n        notes",
            "    if True:\n        notes",
        ),
        (
            "near misses never told",
            "    if claims.norms_left(index):\n        notes",
            "    if False:\n        notes",
        ),
        ("half of the parameters", "if len(there) == 1:", "if False:"),
        ("norms without parameters", "if len(there) == 1:", "if len(there) < 2:"),
        (
            "parameters of norms that stay",
            "{path for match in found for path in match.reads}.intersection(index.norms())",
            "set(index.norms())",
        ),
    )
    + edits(
        "reparam/search.py",
        CHOICE,
        ("never ignored", "        if match.never:\n", "        if False:\n"),
    )
    + edits(
        "reparam/match.py",
        CHOICE,
        (
            "never from anywhere",
            "matching(root, never.layer, candidates(never.layer, index))",
            'matching("", "**." + never.layer, candidates(never.layer, index))',
        ),
    )
    + edits(
        "reparam/eps.py",
        CHOICE,
        ("two eps", "if len(stated) > 1 and not preview:", "if False:"),
        (
            "eps of recipes without norms",
            "        if not match.reads.isdisjoint(index.norms())\n",
            "",
        ),
        (
            "eps of the first recipe for all",
            "    return chosen\n\n\ndef _of_recipe",
            "    return chosen[:1] * len(chosen)\n\n\ndef _of_recipe",
        ),
        (
            "eps never asked beside layers",
            'or any(exists("", f"**.{layer}", index) for layer in eps.unless):',
            "or False:",
        ),
        (
            "eps asked beside layers at the top only",
            'exists("", f"**.{layer}", index)',
            'exists("", layer, index)',
        ),
        ("eps of the recipe though said", "    if said is not None:\n", "    if False:\n"),
    )
    + edits(
        "reparam/recipe_plan.py",
        MATCH,
        (
            "what is made anew is half fused",
            "made = {join(b.block, b.line.output) for b in bindings}",
            "made: set[str] = set()",
        ),
    )
    + edits(
        "reparam/library.py",
        LIBRARY,
        (
            "name of a built-in recipe",
            "if name in recipes or name in built_in_names():",
            "if name in recipes:",
            "test_two_recipes_of_one_name_are_an_error",
        ),
        (
            "packages without recipes",
            "if found == len(recipes):",
            "if False:",
            "test_a_package_without_recipes_is_named",
        ),
        ("other packages not asked", "    if name in _installed():\n", "    if False:\n"),
    )
    + edits(
        "reparam/library.py",
        CHOICE,
        ("recipes without needs left out", '< text.count("[[spelling]]"):', "< 0:"),
        ("any word of a need", "if set(parts) <= words:", "if set(parts) & words:"),
        (
            "needs of any place first",
            'next((n for n in names if not n.startswith("**")), ".".join(names))',
            "names[0]",
        ),
        (
            "first need of any place",
            'n.startswith("**")), ".".join(names))',
            'n.startswith("**")), names[0])',
        ),
        ("patterns are words", "if not _PATTERN.search(part))", ")"),
        (
            "first spelling decides",
            "            return True\n    return False",
            "            return True\n        return False\n    return False",
        ),
    )
)

MUTANTS = [*CHOICES]
