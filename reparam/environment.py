"""Whether this process does arithmetic as IEEE 754 says, on which every promise here rests.

Two settings of the processor, per thread, change what `+` and `*` mean: the direction of rounding,
and the flushing of subnormal numbers to zero (FTZ and DAZ on x86). A library that was built with
`-ffast-math` may switch the second one when it is loaded, and PyTorch has a function for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from reparam.errors import NumericError
from reparam.rounding import FORMATS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from reparam.rounding import FloatFormat


def check_environment() -> None:
    """Refuse to compute where float32 or float64 arithmetic is not that of IEEE 754.

    Takes a tenth of a millisecond. The settings belong to a thread, so the one that computes calls.

    Raises:
        NumericError: Subnormal numbers are flushed to zero, or results are not rounded to nearest.

    Example:
        >>> check_environment()
    """
    with np.errstate(all="ignore"):  # NumPy 1 would raise what the user set traps for
        faults = [f"{k.__name__}: {what}" for k, form in _KINDS for what in _faults(k, form)]
    if faults:
        raise NumericError(
            "arithmetic in this process is not that of IEEE 754, so no result could be trusted: "
            f"{'; '.join(faults)}. Another library has switched the processor "
            "(torch.set_flush_denormal(True), or code built with -ffast-math). Switch it back, or "
            "run reparam in a process of its own (the command 'reparam')."
        )


def _faults(kind: type[np.floating[Any]], form: FloatFormat) -> Iterator[str]:
    """Yield what is wrong with one type of numbers; in arrays, as all results are computed so."""

    def many(number: float) -> NDArray[Any]:
        return np.full(_MANY, number, kind)

    one, half = many(1.0), many(form.epsilon / 2)
    if not (many(form.smallest) * one != 0).all():
        yield "subnormal numbers become zero"
    tie = one + half
    # not to be rounded down, nor to more digits first, as x87 does: then it looks like the tie
    beside = one + half * kind(1 + 2.0**-11)
    if not ((tie == one).all() and (beside == one + 2 * half).all()):
        yield "sums are not rounded to the nearest number"


_KINDS = ((np.float32, FORMATS["float32"]), (np.float64, FORMATS["float64"]))
_MANY = 32
"""More numbers than a vector register holds."""
