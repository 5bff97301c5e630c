"""The verb `verify`: whether two checkpoints compute the same function, weight by weight.

BEFORE is folded, AFTER is found by name or by value, and every number is compared with the exact
one. The fold itself is checked too: the reference, which shares no code with it, runs the train
form and the fold on the same input.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from reparam.arrays import ArrayReader
from reparam.binding import bind
from reparam.checkpoint import Hints, hints_after
from reparam.comparison import Comparison
from reparam.environment import check_environment
from reparam.errors import DeployFormError, PlanError
from reparam.file_formats import open_checkpoint
from reparam.pairing import pair_up
from reparam.planning import make_hints, plan_reader
from reparam.plans import Plan, Settings
from reparam.prefix import PrefixReader, find_prefix
from reparam.recipe_plan import plan_tensors
from reparam.tensor_bytes import file_digest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from os import PathLike

    from numpy.typing import NDArray

    from reparam.checkpoint import Reader
    from reparam.library import Names
    from reparam.verify_report import VerifyReport

    Source = str | PathLike[str] | Mapping[str, NDArray[Any]]


def verify(
    before: Source,
    after: Source,
    *,
    recipe: Names = None,
    eps: float | None = None,
    input_size: tuple[int, ...] | None = None,
    config: str | PathLike[str] | None = None,
    max_rho: float | None = None,
) -> VerifyReport:
    """Decide whether two checkpoints compute the same function, weight by weight.

    Whoever wrote AFTER: its norms may be gone or neutral, its blocks in train form, its names those
    of another spelling or framework, its dtype another one. Every tensor of both files is accounted
    for: compared with the exact fold of BEFORE, equal byte for byte, or reported. BEFORE may be in
    deploy form too; the layers are then compared as they are.

    Args:
        before: The train form: a file, or NumPy arrays by name.
        after: The deploy form, likewise.
        recipe: As for `fuse`.
        eps: As for `fuse`.
        input_size: As for `fuse`.
        config: The graph of BEFORE, as for `fuse`; that of AFTER is looked for beside it, where
            `fuse` puts it.
        max_rho: The largest rho to accept of blocks that are equal up to arithmetic in their own
            dtype, as the fusions of other tools are; None accepts none.

    Returns:
        The report; `report.ok` is the answer, `report.blocks` holds a certificate per block.

    Raises:
        PlanError: BEFORE cannot be planned, see `plan`; or `max_rho` is no number of at least 0.
        RecipeError: A recipe is malformed or unknown.
        NumericError: BEFORE holds values that cannot be fused, or floats are not computed as IEEE
            754 says.
        CheckpointError: A file is malformed.
        OSError: A file is missing or may not be read.
        VerificationError: The fold of a block contradicts the reference.

    Example:
        >>> import numpy as np, reparam
        >>> before = {"conv.weight": np.ones((2, 3, 1, 1), np.float32)} | {
        ...     f"bn.{role}": np.ones(2, np.float32)
        ...     for role in ("running_mean", "running_var", "weight", "bias")
        ... }
        >>> after = reparam.fuse_state_dict(before, recipe="conv-bn", eps=1e-5)
        >>> report = reparam.verify(before, after, recipe="conv-bn", eps=1e-5)
        >>> report.ok, str(report.blocks[0].grade)
        (True, 'identical')
        >>> wrong = reparam.fuse_state_dict(before, recipe="conv-bn", eps=1e-3)
        >>> reparam.verify(before, wrong, recipe="conv-bn", eps=1e-5).causes
        {'with eps=0.001': ['conv']}
    """
    check_environment()
    if max_rho is not None and not (_is_number(max_rho) and 0 <= max_rho < math.inf):
        raise PlanError(f"max_rho={max_rho!r}: expected a finite number of at least 0.")
    hints = make_hints(input_size, config)
    theirs = Hints() if _in_memory(after) else hints_after(hints, Path(cast("str", after)))
    labels = _label(before, "BEFORE"), _label(after, "AFTER")
    with _open(before, labels[0], hints) as old, _open(after, labels[1], theirs) as opened:
        new = opened
        if not (old.tensors or new.tensors):
            raise PlanError(f"{labels[0]} and {labels[1]}: no tensors, so nothing to compare.")

        def plan_after() -> Plan:
            own = new.graph is not None  # a graph says all that a user can
            known = (None, None) if own else (recipe, eps)
            return _plan(new, *known, theirs, in_memory=_in_memory(after))

        try:
            plan = _plan(old, recipe, eps, hints, in_memory=_in_memory(before))
        except PlanError as error:
            plan = _without_fusions(old, new, plan_after, error)
        plan.check()
        prefix = None if new.graph else find_prefix({*plan.outputs, *old.tensors}, new.tensors)
        if prefix is not None:
            new = PrefixReader(opened, prefix)
        pairing = pair_up(plan, old, new, plan_after)
        comparison = Comparison(plan, old, new)
        if prefix is not None:
            what = f"without {prefix[0]!r}" if prefix[0] else f"with {prefix[1]!r} in front"
            comparison.notes.append(f"the names of {labels[1]} were taken {what}")
        comparison.compare(pairing)
        files = {"before": before, "after": after}
        digests = {
            side: file_digest(Path(cast("str", source)))
            for side, source in files.items()
            if not _in_memory(source)
        }
        return comparison.report(pairing, *labels, digests, max_rho)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _in_memory(source: Source) -> bool:
    return hasattr(source, "keys")


def _open(source: Source, label: str, hints: Hints) -> Reader:
    if _in_memory(source):
        return ArrayReader(cast("Mapping[str, NDArray[Any]]", source), label)
    return open_checkpoint(Path(cast("str", source)), hints)


def _label(source: Source, side: str) -> str:
    return side if _in_memory(source) else str(source)


def _plan(
    reader: Reader, recipe: Names, eps: float | None, hints: Hints, *, in_memory: bool
) -> Plan:
    if not in_memory:
        return plan_reader(reader, recipe=recipe, eps=eps, settings=Settings(), hints=hints)
    source = str(reader.path)
    return plan_tensors(
        reader.tensors, {}, source, recipe=recipe, eps=eps, settings=Settings()
    )  # a state dict has no config.json beside it


def _without_fusions(
    old: Reader, new: Reader, plan_after: Callable[[], Plan], error: PlanError
) -> Plan:
    """Return a plan that copies everything, for a BEFORE in which nothing can be fused."""
    deployed = isinstance(error, DeployFormError)
    try:
        theirs = plan_after()
    except PlanError:
        theirs = None
    if theirs is not None and (deployed or theirs.outputs.keys() == old.tensors.keys()):
        raise PlanError(f"{error} The other file is in train form: name that one first.") from None
    if not deployed and old.tensors.keys() != new.tensors.keys():
        raise error
    reason = str(error).partition("\n")[0].removeprefix(f"{old.path}: ")
    return bind(
        old.tensors,
        old.metadata,
        str(old.path),
        [],
        Settings(),
        recipes=(),
        assumes=(),
        notes=(f"compared layer by layer, as nothing can be fused: {reason}",),
        keeps={},
        beside={},
    )
