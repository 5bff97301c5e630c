"""Structural re-parameterization on weights alone.

    import reparam

    reparam.fuse("repvgg.safetensors", "deploy.safetensors")
    reparam.verify("repvgg.safetensors", "deploy.safetensors").ok

Names are loaded when they are first used: the command line answers `--help` without NumPy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reparam.algebra import concat_branches, merge_sequential, sum_branches
    from reparam.errors import (
        BorderError,
        CheckpointError,
        DeployFormError,
        ExpressionError,
        NumericError,
        PlanError,
        RecipeError,
        ReparamError,
        RunError,
        ShapeError,
        VerificationError,
    )
    from reparam.file_formats import open_checkpoint
    from reparam.fusing import fuse
    from reparam.geometry import dilate_kernel, pad_kernel
    from reparam.layers import average_pool, channel_scale, fuse_conv_bn, identity_kernel
    from reparam.linear import Conv
    from reparam.padding import same_padding
    from reparam.planning import plan
    from reparam.plans import Plan
    from reparam.rounding import round_to
    from reparam.state_dict import fuse_state_dict
    from reparam.verifying import verify
    from reparam.windows import conv_to_linear

__version__ = "0.1.0"

_HOMES = {
    "algebra": ("concat_branches", "merge_sequential", "sum_branches"),
    "errors": (
        "BorderError",
        "CheckpointError",
        "DeployFormError",
        "ExpressionError",
        "NumericError",
        "PlanError",
        "RecipeError",
        "ReparamError",
        "RunError",
        "ShapeError",
        "VerificationError",
    ),
    "file_formats": ("open_checkpoint",),
    "fusing": ("fuse",),
    "geometry": ("dilate_kernel", "pad_kernel"),
    "layers": ("average_pool", "channel_scale", "fuse_conv_bn", "identity_kernel"),
    "linear": ("Conv",),
    "padding": ("same_padding",),
    "plans": ("Plan",),
    "planning": ("plan",),
    "rounding": ("round_to",),
    "state_dict": ("fuse_state_dict",),
    "verifying": ("verify",),
    "windows": ("conv_to_linear",),
}

_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [  # noqa: RUF022  grouped by what a reader looks for
    "fuse",
    "fuse_state_dict",
    "plan",
    "verify",
    "open_checkpoint",
    "Conv",
    "Plan",
    "fuse_conv_bn",
    "pad_kernel",
    "identity_kernel",
    "sum_branches",
    "merge_sequential",
    "dilate_kernel",
    "concat_branches",
    "conv_to_linear",
    "average_pool",
    "channel_scale",
    "same_padding",
    "round_to",
    "ReparamError",
    "BorderError",
    "CheckpointError",
    "DeployFormError",
    "ExpressionError",
    "NumericError",
    "PlanError",
    "RecipeError",
    "RunError",
    "ShapeError",
    "VerificationError",
]


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
