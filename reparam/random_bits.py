"""Random numbers that are the same under every NumPy, fixed by a name.

NumPy's own generators may change with its version, and cost 20 ms to import.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def random_bits(name: str, count: int) -> NDArray[np.uint64]:
    """Return 64 random bits each, `(count,)`.

    SplitMix64 (Steele, Lea & Flood, 2014, "Fast splittable pseudorandom number generators").

    Example:
        >>> random_bits("conv", 2) >> np.uint64(60)
        array([13,  7], dtype=uint64)
    """
    counter = np.arange(1, count + 1, dtype=np.uint64)
    bits = counter * np.uint64(0x9E3779B97F4A7C15) + np.uint64(zlib.crc32(name.encode()))
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    bits ^= bits >> np.uint64(31)
    return bits
