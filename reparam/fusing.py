"""The verb `fuse`, from file to file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from reparam.blocks import fuse_block
from reparam.checkpoint import Form, Rewrite
from reparam.environment import check_environment
from reparam.errors import CheckpointError, PlanError, ReparamError, VerificationError
from reparam.file_formats import find_format
from reparam.planning import graph_lines, make_hints, plan_reader
from reparam.plans import MODEL_CONFIG, Settings
from reparam.report import FuseReport

if TYPE_CHECKING:
    from collections.abc import Callable
    from os import PathLike

    from reparam.blocks import Fused
    from reparam.checkpoint import Reader
    from reparam.library import Names
    from reparam.plans import Plan


def fuse(
    source: str | PathLike[str],
    output: str | PathLike[str] | None,
    *,
    recipe: Names = None,
    eps: float | None = None,
    batch_norm: str = "remove",
    dtype: str = "keep",
    plan: Plan | None = None,
    verify: bool = True,
    overwrite: bool = False,
    dry_run: bool = False,
    progress: Callable[[int, int], None] | None = None,
    input_size: tuple[int, ...] | None = None,
    config: str | PathLike[str] | None = None,
    dialect: str = "keep",
    target: str | None = None,
) -> FuseReport:
    """Fuse a train-form checkpoint into its deploy form.

    Reads the source's header, then a few channels of one block at a time; memory does not grow with
    the file. Every fused number is computed in float64 and rounded once. The output appears under
    its name only when everything, including the check of every block, succeeded.

    Args:
        source: The checkpoint in train form; it is only read.
        output: The file to write, in the format of the source; None for a dry run.
        recipe: Names of built-in recipes, paths of TOML files, or recipes; None tries all built-in
            ones.
        eps: The constant of every norm, overriding `config.json` and the recipe.
        batch_norm: `remove` norms and give convolutions a bias, or keep them `neutral`.
        dtype: dtype of fused tensors, kernels and biases: `keep` that of the kernel, or `float32`,
            `float16`, `bfloat16`, `float8_e4m3fn`, `float8_e5m2`.
        plan: A plan made for this file, for instance a reviewed one; replaces `recipe`, `eps`,
            `batch_norm` and `dtype`.
        verify: Whether to check every block against the reference before it is written.
        overwrite: Whether an existing output may be replaced.
        dry_run: Whether to stop before anything is read but the header or written.
        progress: Called with the number of finished and of all blocks.
        input_size: Pixels per spatial axis of the net's input, for Keras nets with strided `same`
            padding that do not state it.
        config: A file that `model.to_json()` of Keras wrote, for weights saved without their graph.
        dialect: For Keras weights: `keep` that of the source, or `legacy` for the HDF5 that every
            Keras loads.
        target: For Keras models in HDF5: `keras3` cleans the config up so that Keras 3 loads it.

    Returns:
        What was fused, copied, assumed and skipped, and the worst block.

    Raises:
        PlanError: Nothing is recognised, or something does not fit; see `plan`.
        RecipeError: A recipe is malformed or unknown.
        NumericError: A weight is not finite, a variance not positive, a result overflows, or the
            process does not compute as IEEE 754 says; see `check_environment`.
        VerificationError: A block failed its check.
        CheckpointError: A file is malformed, or the output may not be written.
        OSError: A file is missing, or may not be read or written.

    Example:
        >>> import reparam
        >>> report = reparam.fuse("repvgg.safetensors", "deploy.safetensors")  # doctest: +SKIP
        >>> report.fused  # doctest: +SKIP
        22
    """
    check_environment()
    file = Path(source)
    out = None if output is None else Path(output)
    form = _check_form(dialect, target)
    hints = make_hints(input_size, config)
    adapter = find_format(file)
    with adapter.open_reader(file, hints) as reader:
        if plan is None:
            settings = Settings(batch_norm, dtype)
            plan = plan_reader(reader, recipe=recipe, eps=eps, settings=settings, hints=hints)
        else:
            given = (
                recipe is not None or eps is not None or (batch_norm, dtype) != ("remove", "keep")
            )
            _check_plan(plan, file, reader, given=given)
        plan.check()
        if out is not None:
            _check_target(out, file, overwrite=overwrite)
        if out is None or dry_run:
            return _report(plan, None, [], verified=False)
        blocks: list[Fused] = []
        with adapter.open_writer(
            out,
            plan.outputs,
            reader.metadata,
            rewrite=Rewrite(reader, plan.made, form),
            overwrite=overwrite,
        ) as writer:
            for number, fusion in enumerate(plan.fusions):
                try:
                    blocks.append(fuse_block(fusion, reader.read, writer.write, verify=verify))
                except VerificationError:
                    raise
                except ReparamError as error:
                    raise type(error)(f"{file}: {fusion.name}: {error}") from None
                if progress is not None:
                    progress(number + 1, len(plan.fusions))
            for name in plan.copies:
                writer.write_chunks(name, reader.chunks(name))
            notes = writer.commit()
    return _report(plan, out, blocks, verified=verify, notes=notes)


def _check_form(dialect: str, target: str | None) -> Form:
    if dialect not in ("keep", "legacy"):
        raise CheckpointError(f"dialect={dialect!r}: expected keep or legacy.")
    if target not in (None, "keras3"):
        raise CheckpointError(f"target={target!r}: expected keras3, or none.")
    return Form(dialect, target)


def _check_plan(plan: Plan, file: Path, reader: Reader, *, given: bool) -> None:
    if given:
        raise PlanError(
            "a plan says recipe, eps, batch_norm and dtype already; leave out the others."
        )
    if dict(plan.tensors) != dict(reader.tensors):
        raise PlanError(
            f"{file}: the plan was made for {plan.source}, whose tensors differ. "
            "Plan this file anew with 'reparam inspect FILE --json'."
        )
    graph = reader.graph
    if graph is None:
        if MODEL_CONFIG in plan.recipes:
            raise PlanError(
                f"{file}: the plan follows a model's config, which the file does not hold. Give it "
                "again with --config."
            )
        return
    lines = {line.output: (line, eps) for line, eps in graph_lines(graph)}
    for fusion in plan.fusions:
        if (fusion.binding.line, fusion.binding.eps) != lines.get(fusion.name):
            raise PlanError(
                f"{file}: {fusion.name}: the plan's line or eps is not what the model's config "
                "says. Lines may be taken out of such a plan, not changed; plan the file anew with "
                "'reparam inspect FILE --json', with the same --input-size."
            )


def _check_target(target: Path, source: Path, *, overwrite: bool) -> None:
    """Refuse a target before any work is done; the writer looks again when it commits."""
    if not target.exists():
        return
    if target.samefile(source):
        raise CheckpointError(
            f"{target}: the output is the input. Sources are never changed; name another file."
        )
    if not overwrite:
        raise CheckpointError(
            f"{target}: the output exists already. Choose another path, or ask for it to be "
            "replaced (overwrite=True, --overwrite)."
        )


def _report(
    plan: Plan,
    target: Path | None,
    blocks: list[Fused],
    *,
    verified: bool,
    notes: tuple[str, ...] = (),
) -> FuseReport:
    return FuseReport(
        source=plan.source,
        output=None if target is None else str(target),
        plan=plan,
        verified=verified,
        notes=(*plan.notes, *notes),
        worst=max((b.check for b in blocks), key=lambda c: c.error, default=None)
        if verified
        else None,
        became_zero=sum(b.underflow.zero for b in blocks),
        became_subnormal=sum(b.underflow.subnormal for b in blocks),
    )
