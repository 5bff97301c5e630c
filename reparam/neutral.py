"""Neutral norms: batch norms that compute the identity plus a bias, so that a stock model loads.

`weight = 1`, `running_mean = 0`, `running_var = 1 - eps`. Rounding `1 - eps` to the stored dtype
leaves a factor within a quarter unit in the last place of 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from reparam import operations as ops
from reparam.checkpoint import TensorInfo
from reparam.plans import Write
from reparam.rounding import FORMATS, round_to

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from reparam.operations import NormOp, Read
    from reparam.plans import Fusion, Role


def constant(write: Write, eps: float) -> NDArray[Any]:
    """Return what a tensor holds that is not computed: a neutral norm, or a bias to be filled."""
    value = {"ones": 1.0, "variance": 1.0 - eps}.get(write.role, 0.0)
    return round_to(np.full(write.info.shape, value), write.info.dtype, write.name)


def neutral_norm(fusion: Fusion) -> dict[str, NDArray[Any]]:
    """Return the tensors of the norm that stays behind a convolution in neutral mode."""
    pair = ops.conv_norm_pair(fusion.after)
    assert pair is not None
    norm = pair[1]
    like = TensorInfo((norm.channels,), fusion.dtypes[1])
    roles: dict[str | None, Role] = {
        norm.mean: "zeros",
        norm.var: "variance",
        norm.weight: "ones",
        norm.bias: "zeros",
    }
    return {n: constant(Write(n, like, role), norm.eps) for n, role in roles.items() if n}


def not_neutral(norm: NormOp, read: Read) -> list[str]:
    """Return the tensors of a norm that keep it from computing the identity plus its bias."""
    var = read(norm.var)
    wanted = {norm.mean: 0.0, norm.var: 1.0 - norm.eps}
    wanted |= {} if norm.weight is None else {norm.weight: 1.0}
    if var.dtype.name not in FORMATS:
        return [norm.var]
    neutral = {
        name: round_to(np.full(var.shape, value), var.dtype.name) for name, value in wanted.items()
    }
    return [name for name, values in neutral.items() if not np.array_equal(read(name), values)]
