"""Planning by recipes: which families claim a checkpoint, from names, shapes and dtypes alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reparam.binding import bind
from reparam.diagnose import explain_file
from reparam.eps import choose_eps, eps_said
from reparam.errors import DeployFormError, PlanError
from reparam.modules import ModuleIndex
from reparam.patterns import join
from reparam.plans import Binding, Plan, Settings, check_settings
from reparam.search import claim
from reparam.strided import place_taps

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from reparam.checkpoint import TensorInfo
    from reparam.library import Names
    from reparam.match import Match
    from reparam.search import Claims


def plan_tensors(
    tensors: Mapping[str, TensorInfo],
    metadata: Mapping[str, str],
    source: str,
    *,
    recipe: Names,
    eps: float | None,
    settings: Settings,
    config: Path | None = None,
    layout: str = "torch",
    input_size: tuple[int, ...] | None = None,
    preview: bool = False,
) -> Plan:
    """Plan from a header by recipes; see `reparam.plan`.

    Args:
        tensors: Every tensor of the checkpoint.
        metadata: Its metadata; safetensors files name tied tensors there.
        source: The file's name, for messages.
        recipe: See `reparam.plan`.
        eps: See `reparam.plan`.
        settings: What the output shall look like.
        config: The `config.json` beside the file, which may state `batch_norm_eps`.
        layout: Whose layer names these are.
        input_size: See `reparam.plan`.
        preview: See `reparam.plan`.
    """
    check_settings(settings)
    said, notes = eps_said(eps, config)
    index = ModuleIndex(tensors)
    claims = claim(recipe, index, layout, source)
    found = claims.found
    if not found:
        raise _nothing(source, claims, index)
    if claims.norms_left(index):
        notes += [f"not used: {miss}" for miss in claims.near]
    if layout == "torch":
        _check_affine(found, index, source)
    bindings: list[Binding] = []
    taken: list[str] = []
    chosen_eps = choose_eps(found, said, index, source, preview=preview)
    for match, chosen in zip(found, chosen_eps, strict=True):
        lines, assumed = place_taps(match.found, index, input_size, source)
        taken += assumed
        bindings += [
            Binding(
                block=item.block,
                line=item.line,
                recipe=match.recipe.name,
                eps=chosen.value,
                eps_source=chosen.source,
                shared=item.shared,
            )
            for item in lines
        ]
    notes += _half_fused((*found, *claims.fused), bindings)
    return bind(
        tensors,
        metadata,
        source,
        bindings,
        settings,
        recipes=tuple(dict.fromkeys(m.label.removeprefix("recipe ") for m in found)),
        assumes=tuple(
            f"{text} (recipe {m.recipe.name})"
            for m in {m.recipe.name: m for m in found}.values()
            for text in m.recipe.assumes
        )
        + tuple(taken),
        notes=tuple(notes),
        keeps={path: why for m in found for path, why in m.keeps.items()},
        beside={path: names for m in found for path, names in m.beside.items()},
    )


def _half_fused(matches: Iterable[Match], bindings: list[Binding]) -> list[str]:
    """Say what is in deploy form already, apart from placeholders that are made anew."""
    made = {join(b.block, b.line.output) for b in bindings}
    rest = [
        # a bias alone tells nothing where nothing of the family was found
        [p for p in match.fused if p not in made and (match.found or p not in match.bare)]
        for match in matches
    ]
    return [
        f"half fused: {len(paths)} blocks are in deploy form already ({paths[0]}, …) and are "
        "copied as they are"
        for paths in rest
        if paths
    ]


def _nothing(source: str, claims: Claims, index: ModuleIndex) -> PlanError:
    """Say why there is nothing to fuse: fused already, or claimed by no recipe."""
    fused = claims.fused
    stay = {path for m in fused for path in m.keeps}
    left = [path for path in index.norms() if path not in stay]
    # with norms left, a bias alone tells nothing; a name that only deploy forms have does
    sure = [m for m in fused if not left or len(m.fused) > len(m.bare)]
    if sure:
        done = list(dict.fromkeys(path for m in sure for path in m.fused))
        labels = ", ".join(dict.fromkeys(m.label for m in sure))
        rest = f" The {len(left)} norms left are none that it fuses." if left else ""
        return DeployFormError(
            f"{source}: already in deploy form: {len(done)} layers of {labels} have a bias and no "
            f"branches or norms beside them ({done[0]}, …), or the net never had norms. There is "
            f"nothing to fuse.{rest}"
        )
    lines = [f"{source}: no recipe claims this file, so nothing was fused."]
    lines += [f"  saw: {hint}" for hint in explain_file(index)]
    lines += [f"  near miss: {miss}" for miss in dict.fromkeys(claims.near)]
    looked = ", ".join(f"{r.name} ({' | '.join(r.anchors())})" for r in claims.named)
    lines.append(f"  looked for: {looked or _ALL}")
    lines.append("Name a recipe with --recipe, or write one: see docs/recipes.md.")
    kind = PlanError if index.norms() else DeployFormError
    return kind("\n".join(lines))


_ALL = "every family that 'reparam recipes' lists"


def _check_affine(found: list[Match], index: ModuleIndex, source: str) -> None:
    """Refuse norms with only one of weight and bias: PyTorch's have both or none."""
    norms = {path for match in found for path in match.reads}.intersection(index.norms())
    for path in sorted(norms):
        module = index.get(path)
        there = {"weight", "bias"} & set(module.tensors if module else ())
        if len(there) == 1:
            (has,) = there
            raise PlanError(
                f"{source}: the norm {path!r} has a {has} and nothing else to scale or shift with, "
                "expected weight and bias or neither. The file is damaged: restore the tensor, or "
                "write the missing one (ones for weight, zeros for bias)."
            )
