"""What the graph of a Keras model lets be fused: norms after convolutions, and sums of branches.

Whatever is found is written down as lines in the notation of recipes, together with the layers that
become superfluous and where references to them go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reparam.checkpoint import Graph
from reparam_adapters.keras_branches import sum_of_branches
from reparam_adapters.keras_layers import NORMS
from reparam_adapters.keras_pairs import find_pair, pair_edit
from reparam_adapters.keras_scope import Edit, Scope, uses_of

if TYPE_CHECKING:
    from reparam_adapters.keras_config import Model
    from reparam_adapters.keras_shapes import Sizes


def find_edits(model: Model, sizes: Sizes, assumed: tuple[str, ...]) -> tuple[Graph, list[Edit]]:
    """Return what can be fused in a model and all models within it.

    Args:
        model: The outermost model.
        sizes: Shapes of its tensors.
        assumed: What had to be taken from the user.
    """
    edits: list[Edit] = []
    stays: dict[str, str] = {}
    notes: list[str] = []
    _descend(model, "", sizes, training=False, edits=edits, stays=stays, notes=notes)
    lines = tuple(line for edit in edits for line in edit.lines)
    return Graph(lines, stays, tuple(notes), assumed), edits


def _descend(
    model: Model,
    prefix: str,
    sizes: Sizes,
    *,
    training: bool,
    edits: list[Edit],
    stays: dict[str, str],
    notes: list[str],
) -> None:
    scope = Scope(model, prefix, sizes, training, uses_of(model))
    for layer in model.layers.values():
        if layer.class_name in NORMS and (reason := find_pair(scope, layer)):
            scope.stays[layer.name] = reason
    gone: set[str] = set()
    for layer in reversed(model.layers.values()):  # the last sum of a + b + c holds the others
        edit = None if layer.name in gone else sum_of_branches(scope, layer)
        if edit is not None and not gone & {*edit.removed}:
            gone |= {*edit.removed}
            edits.append(edit)
    edits += [pair_edit(scope, n, convs) for n, convs in scope.pairs.items() if n not in gone]
    stays |= {scope.path(n): why for n, why in scope.stays.items() if n not in gone}
    notes += scope.notes
    for layer in model.layers.values():
        if layer.model is not None:
            _descend(
                layer.model,
                f"{prefix}{layer.name}.",
                sizes.nested(layer),
                training=training or any(call.training for call in layer.calls),
                edits=edits,
                stays=stays,
                notes=notes,
            )
