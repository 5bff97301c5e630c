"""The verb `fuse_state_dict`, from arrays to arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from reparam import operations as ops
from reparam.arrays import ArrayReader
from reparam.blocks import fuse_block
from reparam.environment import check_environment
from reparam.errors import PlanError
from reparam.keras_names import from_keras
from reparam.planning import make_hints
from reparam.plans import Settings
from reparam.recipe_plan import plan_tensors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from reparam.library import Names
    from reparam.plans import Plan


def fuse_state_dict(
    arrays: Mapping[str, NDArray[Any]],
    *,
    recipe: Names = None,
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
            and float8 arrays are those of ml_dtypes. Not modified.
        recipe: See `reparam.fuse`.
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
        NumericError: A weight is not finite, a variance not positive, a result overflows, or the
            process does not compute as IEEE 754 says.
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
    check_environment()
    if layout not in ("torch", "keras"):
        raise PlanError(f"layout={layout!r}: expected torch or keras.")
    held = {name: np.asarray(values) for name, values in arrays.items()}
    keras = from_keras(held) if layout == "keras" else None
    held = keras.arrays if keras else held
    reader = ArrayReader(held)
    plan = plan_tensors(
        reader.tensors,
        reader.metadata,
        str(reader.path),
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

    def write(name: str, rows: NDArray[Any], start: int = 0) -> None:
        if name not in made:
            made[name] = np.empty(outputs[name].shape, rows.dtype)
        made[name][start : start + len(rows)] = rows

    for fusion in plan.fusions:
        fuse_block(fusion, reader.read, write, verify=verify)
    copies: dict[object, NDArray[Any]] = {}
    for name in plan.copies:
        made[name] = copies.setdefault(_place(held[name]), np.array(held[name]))
    return keras.restore(made, plan.made) if keras else dict(sorted(made.items()))


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
