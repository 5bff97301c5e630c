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
    roles = _roles(norm)
    if norm.bias:
        roles[norm.bias] = "zeros"
    return {n: constant(Write(n, like, role), norm.eps) for n, role in roles.items()}


def not_neutral(norm: NormOp, read: Read) -> list[str]:
    """Return the tensors of a norm that keep it from computing the identity plus its bias."""
    return [name for name, role in _roles(norm).items() if not _holds(read(name), role, norm.eps)]


def _roles(norm: NormOp) -> dict[str, Role]:
    """Return what the tensors of a neutral norm hold; its bias is its own."""
    roles: dict[str, Role] = {norm.mean: "zeros", norm.var: "variance"}
    if norm.weight:
        roles[norm.weight] = "ones"
    return roles


def _holds(values: NDArray[Any], role: Role, eps: float) -> bool:
    if values.dtype.name not in FORMATS:
        return False
    like = TensorInfo(values.shape, values.dtype.name)
    return np.array_equal(values, constant(Write("", like, role), eps))
