"""The verb `plan`: what would be fused in a checkpoint, from names, shapes and dtypes alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from reparam.binding import bind
from reparam.checkpoint import Hints
from reparam.errors import DeployFormError, PlanError
from reparam.file_formats import open_checkpoint
from reparam.parsing import parse
from reparam.plans import MODEL_CONFIG, Binding, Plan, Settings, check_settings
from reparam.recipe_plan import plan_tensors

if TYPE_CHECKING:
    from os import PathLike

    from reparam.checkpoint import Graph, Reader
    from reparam.expression import Line
    from reparam.library import Names

LARGEST = 1 << 20
"""Pixels per axis of an image; no net comes near."""


def plan(
    path: str | PathLike[str],
    *,
    recipe: Names = None,
    eps: float | None = None,
    batch_norm: str = "remove",
    dtype: str = "keep",
    input_size: tuple[int, ...] | None = None,
    config: str | PathLike[str] | None = None,
    preview: bool = False,
) -> Plan:
    """Say what `fuse` would do with a checkpoint; reads its header only.

    Args:
        path: A checkpoint in train form.
        recipe: Names of built-in recipes, paths of TOML files, or recipes; None tries all built-in
            ones.
        eps: The constant of every norm; overrides `batch_norm_eps` of an adjacent `config.json`,
            which overrides the recipe.
        batch_norm: `remove` gives convolutions a bias and drops their norms; `neutral` keeps the
            norms as carriers of the bias, so that the unmodified model loads the result.
        dtype: dtype of fused tensors: `keep` for that of the kernel, or `float32`, `float16`,
            `bfloat16`, `float8_e4m3fn`, `float8_e5m2`.
        input_size: Pixels per spatial axis of the net's input, for Keras nets with strided `same`
            padding that do not state it.
        config: A file that `model.to_json()` of Keras wrote, for weights saved without their graph.
        preview: Whether the plan is for reading only. Where a family cannot know eps and the user
            did not say it, it is NaN then, and the plan says so.

    Returns:
        The plan. Print it to read it.

    Raises:
        PlanError: No recipe claims the file, it is already fused, or shapes do not compose.
        CheckpointError: The file is not a well-formed checkpoint.
        RecipeError: A recipe is unknown or malformed.
    """
    file = Path(path)
    hints = make_hints(input_size, config)
    with open_checkpoint(file, hints) as reader:
        return plan_reader(
            reader,
            recipe=recipe,
            eps=eps,
            settings=Settings(batch_norm, dtype),
            hints=hints,
            preview=preview,
        )


def make_hints(input_size: tuple[int, ...] | None, config: str | PathLike[str] | None) -> Hints:
    """Return what the user adds to a file.

    Raises:
        PlanError: The size is not one.
    """
    if input_size is not None:
        given: Any = input_size  # from callers without a type checker
        input_size = tuple(given) if hasattr(given, "__iter__") else ()
        if not input_size or any(type(n) is not int or not 0 < n <= LARGEST for n in input_size):
            raise PlanError(
                f"input_size={input_size}: expected pixels per axis, from 1 to {LARGEST}."
            )
    return Hints(input_size, None if config is None else Path(config))


def plan_reader(
    reader: Reader,
    *,
    recipe: Names,
    eps: float | None,
    settings: Settings,
    hints: Hints,
    preview: bool = False,
) -> Plan:
    """Plan an open checkpoint: by its own graph where it has one, else by recipes; see `plan`."""
    if reader.graph is None:
        return plan_tensors(
            reader.tensors,
            reader.metadata,
            str(reader.path),
            recipe=recipe,
            eps=eps,
            settings=settings,
            config=reader.path.parent / "config.json" if reader.layout == "torch" else None,
            layout=reader.layout,
            input_size=hints.input_size,
            preview=preview,
        )
    if recipe is not None or eps is not None:
        raise PlanError(
            f"{reader.path}: the model's config says what follows what and with which eps. "
            "Leave out --recipe and --eps."
        )
    return _plan_graph(reader, reader.graph, settings)


def graph_lines(graph: Graph) -> list[tuple[Line, float]]:
    """Return what a graph lets be fused, as lines with the constant of their norms."""
    return [(parse(line.text), line.eps) for line in graph.lines]


def _plan_graph(reader: Reader, graph: Graph, settings: Settings) -> Plan:
    check_settings(settings)
    source = str(reader.path)
    if not graph.lines:
        reasons = [f"  {name}: {why}" for name, why in graph.stays.items()]
        what = "nothing can be fused" if reasons else "there is no batch norm and nothing to fuse"
        kind = PlanError if reasons else DeployFormError
        raise kind("\n".join([f"{source}: {what}.", *reasons, *graph.notes]))
    bindings = [
        Binding(
            block="",
            line=line,
            recipe=MODEL_CONFIG,
            eps=eps,
            eps_source=MODEL_CONFIG,
            shared=known.shared,
        )
        for known, (line, eps) in zip(graph.lines, graph_lines(graph), strict=True)
    ]
    return bind(
        reader.tensors,
        reader.metadata,
        source,
        bindings,
        settings,
        recipes=(MODEL_CONFIG,),
        assumes=graph.assumed,
        notes=graph.notes,
        keeps=graph.stays,
        beside={},
    )
