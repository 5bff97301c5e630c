"""What models return, as named arrays: tensors in tuples, lists, dicts and records of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from reparam.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    Array = NDArray[Any]


def flatten(result: Any, name: str, array: Callable[[Any], Array | None]) -> dict[str, Array]:
    """Return every tensor of a result under its place: `output`, `output[1]`, `output['aux']`.

    Args:
        result: What the model returned.
        name: The model, for messages.
        array: Gives the array of one of the framework's tensors; None for anything else.

    Raises:
        RunError: There is something else in it, nothing at all, or numbers of less than float64.
    """
    found: dict[str, Array] = {}
    for place, leaf in _leaves(result, "output", array):
        if not isinstance(leaf, np.ndarray):
            raise RunError(
                f"{name}: {place} is a {type(leaf).__name__}, expected tensors, or tuples, lists "
                "or dicts of them. Wrap the model so that it returns some."
            )
        value = cast("Array", leaf)
        if value.dtype.kind not in "biu" and value.dtype != np.float64:
            raise RunError(
                f"{name}: {place} is {value.dtype}, expected float64: the model converts what it "
                "computes. Leave the conversion out."
            )
        found[place] = np.array(value)
    if not found:
        raise RunError(f"{name}: the model returns no tensor.")
    return found


def _leaves(
    value: Any, place: str, array: Callable[[Any], Array | None]
) -> Iterator[tuple[str, Any]]:
    held = array(value)
    if held is not None:
        yield place, held
    elif isinstance(value, bool | int | float):
        yield place, np.array(value)
    elif isinstance(value, Mapping):
        for key, item in cast("Any", value).items():
            yield from _leaves(item, f"{place}[{key!r}]", array)
    elif isinstance(value, list | tuple):
        for i, item in enumerate(cast("list[Any]", value)):
            yield from _leaves(item, f"{place}[{i}]", array)
    elif is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            yield from _leaves(getattr(value, field.name), f"{place}.{field.name}", array)
    elif value is not None:
        yield place, value
