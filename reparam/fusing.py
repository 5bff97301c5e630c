"""The verbs `fuse`, from file to file, and `fuse_state_dict`, from arrays to arrays."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reparam import operations as ops
from reparam.checkpoint import Form, Rewrite, TensorInfo, find_format
from reparam.errors import CheckpointError, PlanError, ReparamError, VerificationError
from reparam.fold import Folder
from reparam.keras_names import from_keras
from reparam.neutral import constant, neutral_norm
from reparam.planning import make_hints, plan_reader
from reparam.plans import Settings
from reparam.proof import BlockCheck, block_error, probe
from reparam.recipe_plan import plan_tensors
from reparam.report import FuseReport
from reparam.slabs import BlockReader, slabs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from os import PathLike

    from numpy.typing import NDArray

    from reparam.operations import Read, Rows
    from reparam.plans import Fusion, Plan

    Write = Callable[[str, NDArray[Any], int], None]


def fuse(
    source: str | PathLike[str],
    output: str | PathLike[str] | None,
    *,
    recipe: str | PathLike[str] | Iterable[str | PathLike[str]] | None = None,
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
        recipe: Names of built-in recipes or paths of TOML files; None tries all built-in ones.
        eps: The constant of every norm, overriding `config.json` and the recipe.
        batch_norm: `remove` norms and give convolutions a bias, or keep them `neutral`.
        dtype: dtype of fused tensors: `keep`, `float32`, `float16` or `bfloat16`.
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
        NumericError: A weight is not finite, a variance not positive, or a result overflows.
        VerificationError: A block failed its check.
        CheckpointError: A file is malformed, or the output may not be written.

    Example:
        >>> import reparam
        >>> report = reparam.fuse("repvgg.safetensors", "deploy.safetensors")  # doctest: +SKIP
        >>> report.fused  # doctest: +SKIP
        22
    """
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
            _check_plan(plan, file, reader.tensors, given=given)
        plan.check()
        if out is not None:
            _check_target(out, file, overwrite=overwrite)
        if out is None or dry_run:
            return _report(plan, None, [], verified=False)
        checks: list[BlockCheck] = []
        with adapter.open_writer(
            out,
            plan.outputs,
            reader.metadata,
            rewrite=Rewrite(reader, plan.made, form),
            overwrite=overwrite,
        ) as writer:
            for number, fusion in enumerate(plan.fusions):
                try:
                    checks.append(_fuse_block(fusion, reader.read, writer.write, verify=verify))
                except VerificationError:
                    raise
                except ReparamError as error:
                    raise type(error)(f"{file}: {fusion.name}: {error}") from None
                if progress is not None:
                    progress(number + 1, len(plan.fusions))
            for name in plan.copies:
                writer.write_chunks(name, reader.chunks(name))
            notes = writer.commit()
    return _report(plan, out, checks, verified=verify, notes=notes)


def fuse_state_dict(
    arrays: Mapping[str, NDArray[Any]],
    *,
    recipe: str | PathLike[str] | Iterable[str | PathLike[str]] | None = None,
    eps: float | None = None,
    batch_norm: str = "remove",
    dtype: str = "keep",
    verify: bool = True,
    layout: str = "torch",
    input_size: tuple[int, ...] | None = None,
) -> dict[str, NDArray[Any]]:
    """Fuse a state dict of NumPy arrays.

    Args:
        arrays: Tensors by name, kernels `(out, in // groups, *space)`; any memory layout. bfloat16
            arrays are those of ml_dtypes. Not modified.
        recipe: See `fuse`.
        eps: See `fuse`.
        batch_norm: See `fuse`.
        dtype: See `fuse`.
        verify: See `fuse`.
        layout: `torch`, or `keras` for names such as `block/conv2d/kernel` (`:0` behind them or
            not) and kernels `(*space, in // groups, out)`; the result then has Keras' names and
            axes too.
        input_size: See `fuse`.

    Returns:
        The deploy form: fused tensors, and copies of all others. Tensors that were one object under
        two names are one object again.

    Raises:
        PlanError: Nothing is recognised, something does not fit, or a layer to be fused is tied to
            another.
        NumericError: A weight is not finite, a variance not positive, or a result overflows.
        VerificationError: A block failed its check.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> norm = {"weight": 1, "bias": 0, "running_mean": 0, "running_var": 1}
        >>> arrays = {"b.rbr_dense.conv.weight": rng.normal(size=(4, 2, 3, 3)),
        ...           "b.rbr_1x1.conv.weight": rng.normal(size=(4, 2, 1, 1))}
        >>> for branch in ("rbr_dense", "rbr_1x1"):
        ...     for role, value in norm.items():
        ...         arrays[f"b.{branch}.bn.{role}"] = np.full(4, float(value))
        >>> {k: v.shape for k, v in fuse_state_dict(arrays).items()}
        {'b.rbr_reparam.bias': (4,), 'b.rbr_reparam.weight': (4, 2, 3, 3)}
    """
    if layout not in ("torch", "keras"):
        raise PlanError(f"layout={layout!r}: expected torch or keras.")
    held = {name: np.asarray(values) for name, values in arrays.items()}
    keras = from_keras(held) if layout == "keras" else None
    held = keras.arrays if keras else held
    tensors = {name: TensorInfo(a.shape, a.dtype.name) for name, a in held.items()}
    plan = plan_tensors(
        tensors,
        {},
        "state dict",
        recipe=recipe,
        eps=eps,
        settings=Settings(batch_norm, dtype),
        layout=layout,
        input_size=make_hints(input_size, None).input_size,
    )
    plan.check()
    _check_tied(plan, held)
    made: dict[str, NDArray[Any]] = {}
    outputs = plan.outputs

    def read(name: str, rows: Rows | None = None) -> NDArray[Any]:
        values = held[name]
        return values if rows is None else values[slice(*rows)]

    def write(name: str, rows: NDArray[Any], start: int = 0) -> None:
        if name not in made:
            made[name] = np.empty(outputs[name].shape, rows.dtype)
        made[name][start : start + len(rows)] = rows

    for fusion in plan.fusions:
        _fuse_block(fusion, read, write, verify=verify)
    copies: dict[object, NDArray[Any]] = {}
    for name in plan.copies:
        made[name] = copies.setdefault(_place(held[name]), np.array(held[name]))
    return keras.restore(made, plan.made) if keras else dict(sorted(made.items()))


def _check_form(dialect: str, target: str | None) -> Form:
    if dialect not in ("keep", "legacy"):
        raise CheckpointError(f"dialect={dialect!r}: expected keep or legacy.")
    if target not in (None, "keras3"):
        raise CheckpointError(f"target={target!r}: expected keras3, or none.")
    return Form(dialect, target)


def _check_plan(plan: Plan, file: Path, tensors: Mapping[str, TensorInfo], *, given: bool) -> None:
    if given:
        raise PlanError(
            "a plan says recipe, eps, batch_norm and dtype already; leave out the others."
        )
    if dict(plan.tensors) != dict(tensors):
        raise PlanError(
            f"{file}: the plan was made for {plan.source}, whose tensors differ. "
            "Plan this file anew with 'reparam inspect FILE --json'."
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


def _fuse_block(fusion: Fusion, read: Read, write: Write, *, verify: bool) -> BlockCheck:
    """Fold, check and write one block, a slab of output channels at a time.

    Raises:
        VerificationError: An output differs by more than rounding can explain.
    """
    before = BlockReader(read)
    made = {w.name: constant(w, fusion.binding.eps) for w in fusion.writes[1:]}
    if isinstance(fusion.after, ops.ChainOp):
        made = neutral_norm(fusion) | made  # where norms are shared, others may write its tensors
    kernel, bias = fusion.kernel, fusion.bias
    folder = Folder(fusion.op, before)
    x = probe(fusion) if verify else None
    worst = 0.0
    for rows in slabs(fusion.op):
        values, shift = folder.rounded(fusion.dtypes, rows)
        if bias is not None:
            made[bias.name][slice(*rows)] = shift
        if x is not None:
            after = _Made(kernel.name, values, made)
            worst = max(worst, block_error(fusion, before, after, x, rows))
        write(kernel.name, values, 0 if len(values) == kernel.info.shape[0] else rows[0])
    if not worst <= 1:
        raise VerificationError(
            f"{fusion.name}: an output of the fused block is {worst:.3g} times its rounding bound "
            "away from the train form. Nothing was written. Please report this with the plan "
            "('reparam inspect FILE --json')."
        )
    for name in (w.name for w in fusion.writes[1:]):
        write(name, made[name], 0)
    return BlockCheck(fusion.name, worst)


class _Made:
    """Gives the tensors of the deploy form while they are being made."""

    def __init__(self, kernel: str, rows: NDArray[Any], rest: Mapping[str, NDArray[Any]]) -> None:
        self.kernel, self.rows, self.rest = kernel, rows, rest

    def __call__(self, name: str, rows: Rows | None = None, /) -> NDArray[Any]:
        if name == self.kernel:
            return self.rows
        values = self.rest[name]
        return values if rows is None else values[slice(*rows)]


def _place(values: NDArray[Any]) -> object:
    """Where an array lies: views that a framework makes of one tensor are different objects."""
    if not values.size:
        return id(values)
    return values.__array_interface__["data"][0], values.shape, values.strides, values.dtype


def _check_tied(plan: Plan, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Refuse to fuse a kernel that stands in the state dict under another name too."""
    names: dict[object, str] = {}
    for name, values in arrays.items():
        names.setdefault(_place(values), name)
    kernels = {
        leaf.weight
        for f in plan.fusions
        for leaf in ops.leaves(f.op)
        if isinstance(leaf, ops.ConvOp)
    }
    for name, values in arrays.items():
        first = names[_place(values)]
        if first != name and {first, name} & kernels:
            raise PlanError(
                f"{first!r} and {name!r} are one array: a layer used twice cannot be fused with "
                "two norms. Copy one of them if they are not tied in the model."
            )


def _report(
    plan: Plan,
    target: Path | None,
    checks: list[BlockCheck],
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
        worst=max(checks, key=lambda c: c.error, default=None) if verified else None,
    )
