"""Where the taps of convolutions that run side by side lie, one axis at a time."""

from __future__ import annotations

from dataclasses import dataclass

from reparam.padding import same_padding

_TRIED_SIZES = range(1, 130)
"""Sizes to try where none is known: more than the period of any stride that nets have."""


@dataclass(frozen=True, slots=True)
class Window:
    """The taps of a convolution along one axis."""

    taps: int
    stride: int
    dilation: int
    padding: str
    pads: tuple[int, int]

    @property
    def excess(self) -> int:
        """Padding minus extent: convolutions that agree in it give images of one size."""
        total = sum(self.pads)
        return total - (1 if self.padding != "valid" else (self.taps - 1) * self.dilation + 1)

    def before(self, size: int) -> int:
        """Return the pixels in front of an image of `size` pixels."""
        first = self.pads[0]
        if self.padding == "causal":
            return first + (self.taps - 1) * self.dilation
        if self.padding == "same":
            return (
                first
                + same_padding(size + sum(self.pads), self.taps, self.stride, self.dilation)[0]
            )
        return first


def area(windows: tuple[Window, ...]) -> int:
    """Return how many pixels a kernel covers."""
    total = 1
    for w in windows:
        total *= (w.taps - 1) * w.dilation + 1
    return total


def find_spots(
    main: tuple[Window, ...], other: tuple[Window, ...], sizes: list[int | None]
) -> list[int] | str:
    """Return, per axis, how many pixels behind the first tap of `main` that of `other` lies.

    Returns:
        The offsets; or `size` if they depend on a size that is not known, `outside` if they do not
        fit.
    """
    spots: list[int] = []
    for m, o, size in zip(main, other, sizes, strict=True):
        tried = [size] if size is not None else _TRIED_SIZES
        found = {m.before(n) - o.before(n) for n in tried}
        if len(found) > 1:
            return "size"
        spot = found.pop()
        last = spot + (o.taps - 1) * o.dilation
        on_grid = spot % m.dilation == 0 and (o.taps == 1 or o.dilation % m.dilation == 0)
        if spot < 0 or last > (m.taps - 1) * m.dilation or not on_grid:
            return "outside"
        spots.append(spot)
    return spots
