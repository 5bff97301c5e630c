"""Recognising quantised layers by the names of what stands beside their weights.

What a quantised checkpoint stores as a weight is a code. The weight is that code times a scale
stored beside it, so fusing the code as if it were the weight would give a wrong net without a sign
of it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_MARKS = re.compile(
    r"(?:.+\.)?(?:"
    r"(?:weight|kernel|inputs?|outputs?|act|bias)_(?:global_)?(?:scale|zero_?point)(?:_inv|_\d)?"
    r"|scale_(?:weight|input)|scaled_fp8"  # float8, scaled per tensor
    r"|weight_packed|weight_shape|qweight|qzeros"  # integers of a few bits, packed
    r"|(?:SCB|weight_format)"  # 8 bits by bitsandbytes
    r"|weight\.(?:scale|absmax|quant_map|nested_\w+|quant_state\.\w+)"  # 4 bits by it
    r"|_packed_params(?:\.\w+)*"  # PyTorch's own
    r")"
)


def find_mark(names: Iterable[str]) -> str | None:
    """Return the first name that only a quantised layer has beside its weight.

    Args:
        names: Full names of tensors.

    Example:
        >>> find_mark(["conv.weight", "conv.weight_scale"])
        'conv.weight_scale'
    """
    return next((name for name in names if _MARKS.fullmatch(name)), None)
