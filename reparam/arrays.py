"""Arrays in memory as a checkpoint: the reader behind state dicts."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from reparam.checkpoint import Closing, TensorInfo
from reparam.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray


class ArrayReader(Closing):
    """NumPy arrays by name, with PyTorch's names and axes; see `reparam.checkpoint.Reader`.

    Args:
        arrays: The tensors.
        label: What messages call them; the reader's `path`, although there is no such file.

    Raises:
        CheckpointError: A name is no text.
    """

    layout = "torch"
    graph = None

    def __init__(self, arrays: Mapping[str, NDArray[Any]], label: str = "state dict") -> None:
        self.path = Path(label)
        given: Mapping[Any, Any] = arrays  # from callers without a type checker
        for name in given:
            if not isinstance(name, str):
                raise CheckpointError(
                    f"{self.path}: a tensor is called {name!r}, of type {type(name).__name__}. "
                    "Expected names; use those of the model's state_dict()."
                )
        self._arrays = {name: np.asarray(values) for name, values in arrays.items()}
        self.tensors: Mapping[str, TensorInfo] = MappingProxyType(
            {name: TensorInfo(a.shape, a.dtype.name) for name, a in self._arrays.items()}
        )
        self.metadata: Mapping[str, str] = MappingProxyType({})

    def read(self, name: str, rows: tuple[int, int] | None = None) -> NDArray[Any]:
        """Return an array, or its rows `start:stop`; callers must not change it."""
        values = self._arrays[name]
        return values if rows is None else values[slice(*rows)]

    def chunks(self, name: str) -> Iterator[bytes]:
        """Yield the bytes of one array in C order, native byte order."""
        values = self._arrays[name]
        yield np.ascontiguousarray(values, values.dtype.newbyteorder("=")).tobytes()

    def close(self) -> None:
        """Do nothing: there is no file."""
