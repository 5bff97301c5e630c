"""Rewriting the config of a Keras model for its deploy form, in place, edit by edit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reparam.errors import CheckpointError
from reparam_adapters.keras_config import Model, all_references
from reparam_adapters.keras_order import sort_layers

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from reparam.checkpoint import TensorInfo
    from reparam_adapters.keras_json import Json
    from reparam_adapters.keras_scope import Edit

    Key = tuple[str, int, int]


def choose_edits(
    edits: Iterable[Edit],
    made: Mapping[str, tuple[str, ...]],
    outputs: Mapping[str, TensorInfo],
    where: str,
) -> list[Edit]:
    """Return the edits of the graph that a plan carries out.

    An edit whose norms stay as carriers of the bias changes no graph.

    Raises:
        CheckpointError: The plan fuses something else than the graph allows.
    """
    kept = {name.rpartition(".")[0] for name in outputs}
    chosen: list[Edit] = []
    allowed: set[str] = set()
    for edit in edits:
        wanted = [
            output in made and set(made[output]) == set(reads)
            for output, reads in zip(edit.outputs, edit.reads, strict=True)
        ]
        allowed |= {o for o, w in zip(edit.outputs, wanted, strict=True) if w}
        layers = {layer for reads in edit.reads for layer in reads} - set(edit.outputs)
        stay = [p for p in layers if p in kept]
        if any(wanted) and not stay:
            if not all(wanted):
                raise CheckpointError(
                    f"{where}: the plan fuses only part of what {', '.join(sorted(layers))} goes "
                    f"into ({', '.join(edit.outputs)}). Take all of these lines or none."
                )
            chosen.append(edit)
    odd = sorted(made.keys() - allowed)
    if odd:
        raise CheckpointError(
            f"{where}: the plan's line for {odd[0]!r} does not read what the model's config allows "
            "to be fused into it. Make a new plan with 'reparam inspect FILE --json'; lines may "
            "be taken out, not changed."
        )
    return chosen


def dropped_layers(edits: Iterable[Edit]) -> frozenset[str]:
    """Return the paths of all layers that edits take out of the graph."""
    return frozenset(edit.prefix + name for edit in edits for name in edit.removed)


def rewrite(root: Json, edits: Sequence[Edit], outputs: Mapping[str, TensorInfo]) -> None:
    """Carry edits out in a config: layers go, references move, convolutions get their bias.

    Args:
        root: The parsed config, changed in place.
        edits: What to change; their models point into `root`.
        outputs: The tensors of the deploy form.
    """
    root.pop("compile_config", None)
    models: dict[int, tuple[Model, dict[Key, Key], set[str]]] = {}
    for edit in edits:
        _, moved, removed = models.setdefault(id(edit.model), (edit.model, {}, set()))
        moved |= edit.moved
        removed |= {*edit.removed}
        for path in edit.outputs:
            if f"{path}.bias" in outputs:
                name = path.removeprefix(edit.prefix)
                layer = (
                    edit.model.layers.get(name)
                    or edit.model.layers[name.removesuffix(".pointwise")]
                )
                layer.config["use_bias"] = True
    for model, moved, removed in models.values():
        gone = {id(model.layers[name].raw) for name in removed}
        _move(model, moved, removed)
        model.layers = {n: layer for n, layer in model.layers.items() if n not in removed}
        model.raw[:] = [item for item in model.raw if id(item) not in gone]
        sort_layers(model)


def _move(model: Model, moved: Mapping[Key, Key], removed: set[str]) -> None:
    for ref in all_references(model):
        key = ref.key
        if key[0] in removed:
            for _ in moved:  # from one removed layer to the next, as often as there can be one
                key = moved.get(key, key)
            ref.place[:3] = key
