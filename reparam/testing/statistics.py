"""Statistics of batch norms that are hard on whoever fuses them, and some that must be refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import strategies as st

from reparam.testing.layers import EPS, seeds, statistics

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from reparam.testing.layers import Draw

    Norm = dict[str, Any]
    Hostile = Callable[[np.random.Generator, int, float | None], Norm]

TENSORS = ("running_mean", "running_var", "weight", "bias")


@st.composite
def hostile_statistics(
    draw: Draw,
    channels: int,
    *,
    eps: float | None = None,
    legal: bool = True,
    kind: str | None = None,
) -> dict[str, Any]:
    """Operands of `reparam.fuse_conv_bn` with which mistakes and sloppy rounding show.

    Legal ones have finite scales and shifts below `2**100`, which float32 holds. Kinds of them:

    - `zero variance`: dead channels, saved only by eps;
    - `denormal variance`: down to `2**-149`, and no eps unless it is given;
    - `huge weight`, `tiny weight`: up to `2**90`, and subnormal; `negative weight`;
    - `cancelling`: the bias is what the mean becomes, so that only rounding errors are left;
    - `ties`: scales `2**-20` to `2**-50` of a unit beside the middle between two neighbours of
      float32, float16 or bfloat16, and on it; who rounds twice gets them wrong. In float64;
    - `float16`, `bfloat16`: stored in these (bfloat16 is that of ml_dtypes).

    Illegal ones have a channel that no tool may fuse silently: `nan` or `infinite` in any of the
    vectors, `negative variance`, also smaller than eps, and `no variance`, where `running_var` and
    eps are both zero.

    Args:
        draw: Given by Hypothesis.
        channels: Number of channels.
        eps: The constant, if it is given; then it must be 0 for `no variance`, and not for
            `zero variance`.
        legal: Whether to draw legal ones.
        kind: One of the above; drawn where None.

    Returns:
        A strategy for dicts as those of `batch_norms`.

    Raises:
        ValueError: `kind` is none of them, or cannot be with this `eps`.

    Example:
        >>> from hypothesis import given
        >>> import numpy as np, pytest, reparam
        >>> layer = reparam.Conv(np.eye(2))
        >>> @given(hostile_statistics(2), hostile_statistics(2, legal=False))
        ... def test(good, bad):
        ...     assert np.isfinite(reparam.fuse_conv_bn(layer, **good).kernel).all()
        ...     with pytest.raises(reparam.NumericError):
        ...         reparam.fuse_conv_bn(layer, **bad)
        >>> test()
    """
    kinds = dict(LEGAL if legal else ILLEGAL)
    if eps is not None:
        kinds.pop("no variance" if eps else "zero variance", None)
    if kind is not None and kind not in kinds:
        raise ValueError(f"kind={kind!r}, eps={eps}: expected one of {', '.join(kinds)}.")
    name = draw(st.sampled_from(sorted(kinds))) if kind is None else kind
    return kinds[name](draw(seeds), channels, eps)


def _some(rng: np.random.Generator, eps: float | None) -> float:
    return float(rng.choice(EPS)) if eps is None else eps


def _zero_variance(rng: np.random.Generator, channels: int, eps: float | None) -> Norm:
    eps = eps or 1e-5
    norm = statistics(rng, channels, eps)
    norm["running_var"] *= rng.integers(0, 2, channels)
    norm["running_var"][rng.integers(channels)] = 0
    return norm | {"eps": eps}


def _denormal_variance(rng: np.random.Generator, channels: int, eps: float | None) -> Norm:
    norm = statistics(rng, channels, 0.0)
    norm["running_var"] = np.ldexp(np.float32(1), rng.integers(-149, -126, channels))
    return norm | {"eps": eps or 0.0}


def _weight(exponents: tuple[int, int]) -> Hostile:
    def hostile(rng: np.random.Generator, channels: int, eps: float | None) -> Norm:
        eps = _some(rng, eps)
        norm = statistics(rng, channels, eps)
        norm["weight"] *= np.ldexp(np.float32(1), rng.integers(*exponents, channels))
        return norm | {"eps": eps}

    return hostile


def _negative_weight(rng: np.random.Generator, channels: int, eps: float | None) -> Norm:
    eps = _some(rng, eps)
    norm = statistics(rng, channels, eps)
    return norm | {"weight": -np.abs(norm["weight"]), "eps": eps}


def _cancelling(rng: np.random.Generator, channels: int, eps: float | None) -> Norm:
    norm = _spread(rng, channels, eps, np.float32)
    root = np.sqrt(norm["running_var"].astype(np.float64) + norm["eps"])
    shift = norm["running_mean"] * norm["weight"].astype(np.float64) / root
    return norm | {"bias": shift.astype(np.float32)}


_DIGITS = (24, 11, 8)  # of float32, float16 and bfloat16


def _ties(rng: np.random.Generator, channels: int, eps: float | None) -> Norm:
    eps = eps or 0.0
    digits = rng.choice(_DIGITS, channels)
    odd = 2 * rng.integers(2 ** (digits - 1), 2**digits) + 1
    # beside float32's ties, float64 has no digits left for the smallest
    beside = rng.choice([-1, 0, 1], channels) * 2.0 ** -rng.integers(
        20, np.where(digits == _DIGITS[0], 29, 51)
    )
    norm = {
        role: values.astype(np.float64) for role, values in statistics(rng, channels, 0.0).items()
    }
    scale = rng.choice([-1, 1], channels) * (odd + 2 * beside) * 2.0**-digits
    roots = np.sqrt(norm["running_var"])  # a power of two
    variances = norm["running_var"] - eps
    return norm | {"running_var": variances, "weight": scale * roots, "eps": eps}


def _spread(rng: np.random.Generator, channels: int, eps: float | None, dtype: type[Any]) -> Norm:
    """Statistics as a training leaves them, in no round numbers."""
    norm = {role: rng.normal(size=channels) for role in TENSORS}
    norm["running_var"] = np.exp(2 * norm["running_var"])
    return {role: values.astype(dtype) for role, values in norm.items()} | {
        "eps": 1e-5 if eps is None else eps
    }


def _float16(rng: np.random.Generator, channels: int, eps: float | None) -> Norm:
    return _spread(rng, channels, eps, np.float16)


def _bfloat16(rng: np.random.Generator, channels: int, eps: float | None) -> Norm:
    from ml_dtypes import bfloat16  # noqa: PLC0415  loaded where it is asked for

    return _spread(rng, channels, eps, bfloat16)


def _damaged(value: float) -> Hostile:
    def hostile(rng: np.random.Generator, channels: int, eps: float | None) -> Norm:
        eps = _some(rng, eps)
        norm = statistics(rng, channels, eps)
        _one(rng, norm[str(rng.choice(TENSORS))], value * rng.choice([-1, 1]))
        return norm | {"eps": eps}

    return hostile


def _negative_variance(rng: np.random.Generator, channels: int, eps: float | None) -> Norm:
    eps = _some(rng, eps)
    norm = statistics(rng, channels, eps)
    _one(rng, norm["running_var"], -rng.choice([1.0, 0.25, eps or 1.0, eps / 2 or 1.0, 1e-45]))
    return norm | {"eps": eps}


def _no_variance(rng: np.random.Generator, channels: int, _: float | None) -> Norm:
    norm = statistics(rng, channels, 0.0)
    _one(rng, norm["running_var"], 0.0)
    return norm | {"eps": 0.0}


def _one(rng: np.random.Generator, vector: NDArray[Any], value: float) -> None:
    vector[rng.integers(len(vector))] = value


LEGAL: dict[str, Hostile] = {
    "zero variance": _zero_variance,
    "denormal variance": _denormal_variance,
    "huge weight": _weight((60, 89)),
    "tiny weight": _weight((-149, -100)),
    "negative weight": _negative_weight,
    "cancelling": _cancelling,
    "ties": _ties,
    "float16": _float16,
    "bfloat16": _bfloat16,
}
"""What is hard, by name."""

ILLEGAL: dict[str, Hostile] = {
    "nan": _damaged(np.nan),
    "infinite": _damaged(np.inf),
    "negative variance": _negative_variance,
    "no variance": _no_variance,
}
"""What must be refused, by name."""
