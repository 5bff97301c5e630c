"""The assertion: two checkpoints compute the same function."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reparam.recipe_toml import recipe_of_lines
from reparam.verifying import verify

if TYPE_CHECKING:
    from collections.abc import Iterable
    from os import PathLike

    from numpy.typing import NDArray

    from reparam.recipe import Recipe

    Checkpoint = str | PathLike[str] | Mapping[str, Any]


def assert_equivalent(
    before: Checkpoint,
    after: Checkpoint,
    *,
    recipe: str | PathLike[str] | Recipe | Iterable[str | PathLike[str] | Recipe] | None = None,
    lines: str | Iterable[str] | None = None,
    eps: float | None = None,
    max_rho: float | None = None,
) -> None:
    """Assert that AFTER computes what BEFORE computes, on every input.

    Weights are compared, by `reparam.verify`, not outputs: see `verify` for what is proved. Norms
    are taken as in inference.

    Args:
        before: The train form: a path, or tensors by name. Tensors are NumPy arrays or what NumPy
            can read, such as those of PyTorch on any device, also in bfloat16.
        after: The deploy form, alike.
        recipe: Which recipe says what is fused: a name, the path of a TOML file, or several; None
            tries all that are built in.
        lines: Instead of a recipe, the expressions of one block that none knows, as a recipe would
            say them: `conv bn + point[kernel=1] point_bn + identity? -> fused`. Names are relative
            to the block, which may be the whole file or anywhere in it, any number of times.
        eps: The constant of the norms. With `lines` it must be given if there are norms.
        max_rho: Also accept what was fused in lower precision, such as float32, when no output is
            farther off than this, relative to the range of a block.

    Raises:
        AssertionError: They do not; with the report of `reparam.verify`. Or they are equal, but
            there is nothing in BEFORE that `recipe` or `lines` would fuse.
        ReparamError: BEFORE is not understood, or `lines` cannot be read.
        TypeError: `before` or `after` is neither a path nor holds arrays, or both `recipe` and
            `lines` are given.

    Example:
        >>> import numpy as np
        >>> train = {"conv.weight": np.ones((2, 1, 3, 3)), "conv.bias": np.ones(2),
        ...          "point.weight": np.ones((2, 1, 1, 1))}
        >>> kernel = train["conv.weight"].copy()
        >>> kernel[:, :, 1, 1] += 1
        >>> deploy = {"fused.weight": kernel, "fused.bias": np.ones(2)}
        >>> assert_equivalent(train, deploy, lines="conv + point[kernel=1] -> fused")
    """
    __tracebackhide__ = True
    chosen = recipe
    if lines is not None:
        if recipe is not None:
            raise TypeError("recipe and lines both say what is fused: give one of them.")
        if eps is None and isinstance(before, Mapping) and not _norms(before):
            eps = 0.0
        chosen = recipe_of_lines([lines] if isinstance(lines, str) else lines, eps)
    old, new = _readable(before), _readable(after)
    report = verify(old, new, recipe=chosen, eps=eps, max_rho=max_rho)
    if not report.ok:
        raise AssertionError(f"the two do not compute the same function.\n{report}")
    if chosen is not None and not report.plan.fusions:
        what = "the recipe" if lines is None else "lines"
        raise AssertionError(
            f"the two are equal, but {what} would fuse nothing in BEFORE: it is fused already, "
            f"or its names are others. Without {what}, two deploy forms are compared as they are."
        )


def _norms(tensors: Mapping[str, Any]) -> bool:
    return any(str(name).endswith("running_var") for name in tensors)


def _readable(checkpoint: Checkpoint) -> Path | dict[str, NDArray[Any]]:
    if isinstance(checkpoint, Mapping):
        return {str(name): as_array(values, str(name)) for name, values in checkpoint.items()}
    try:
        return Path(checkpoint)
    except TypeError:
        raise TypeError(
            f"{type(checkpoint).__name__}: expected a path or a mapping from names to arrays, such "
            "as model.state_dict()."
        ) from None


def as_array(values: Any, name: str) -> NDArray[Any]:
    """Return a tensor of any framework as a NumPy array.

    Args:
        values: An array, or what NumPy can make one of; PyTorch's may require gradients.
        name: For messages.

    Raises:
        TypeError: It is no array of numbers.
    """
    for method in ("detach", "cpu"):
        values = getattr(values, method, lambda same=values: same)()
    if str(getattr(values, "dtype", "")) == "torch.bfloat16":  # which NumPy does not know
        from ml_dtypes import bfloat16  # noqa: PLC0415  where it is needed

        array: NDArray[Any] = values.view(sys.modules["torch"].int16).numpy().view(bfloat16)
        return array
    try:
        array = np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"{name}: no array, a {type(values).__name__}: {error}") from None
    if array.dtype.hasobject or array.dtype.kind in "US":
        raise TypeError(f"{name}: no array of numbers, a {type(values).__name__}.")
    return array
