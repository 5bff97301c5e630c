"""Reading Keras files of every kind under the names and axes of this package."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from reparam.checkpoint import Closing, Hints, TensorInfo
from reparam.errors import CheckpointError
from reparam.layouts import to_torch
from reparam_adapters.keras_config import parse_config
from reparam_adapters.keras_graph import find_edits
from reparam_adapters.keras_legacy import LegacyStore, name_legacy, read_legacy
from reparam_adapters.keras_order import sort_all
from reparam_adapters.keras_shapes import with_input_size
from reparam_adapters.keras_sources import open_source
from reparam_adapters.keras_v3 import V3Store, name_v3, read_v3
from reparam_adapters.strict_json import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from reparam.checkpoint import Graph
    from reparam_adapters.hdf5_tree import Group
    from reparam_adapters.keras_config import Model
    from reparam_adapters.keras_json import Json
    from reparam_adapters.keras_scope import Edit
    from reparam_adapters.keras_sources import Source
    from reparam_adapters.keras_store import Stored


def _malformed(where: str, error: object) -> CheckpointError:
    """Return the error about a config; what is wrong in one is endless, and none is trusted."""
    if isinstance(error, CheckpointError):
        return error
    return CheckpointError(
        f"{where}: not the config of a Keras model: {shown(str(error))}. Save the model again with "
        "the Keras that made it."
    )


class KerasReader(Closing):
    """An open Keras file; see `reparam.checkpoint.Reader`.

    Attributes:
        source: The file's parts.
        store: Its weights in their dialect.
        named: Its variables by the names of this package.
        config: The parsed config, if there is one.
        model: The graph in it.
        edits: What can be fused in the graph.
    """

    def __init__(self, path: Path, hints: Hints | None = None) -> None:
        self._path = path
        self._hints = hints or Hints()
        self._last: tuple[str, NDArray[Any]] | None = None
        self.source: Source = open_source(path)
        self.config: Json | None = None
        self.model: Model | None = None
        self.edits: list[Edit] = []
        self._graph: Graph | None = None
        try:
            self._read_graph()
            self._read_weights()
        except BaseException:
            self.close()
            raise

    def _read_graph(self) -> None:
        text, where = self.source.config, f"{self._path}: config"
        hints = self._hints
        if hints.config is not None:
            if text is not None:
                raise CheckpointError(
                    f"{self._path}: the file holds its own config. Leave --config out."
                )
            text, where = hints.config.read_bytes(), str(hints.config)
        if text is None:
            return
        assumed: tuple[str, ...] = ()
        if hints.input_size is not None:
            size = "x".join(map(str, hints.input_size))
            assumed = (f"input of {size} pixels (--input-size)",)
        try:
            config, model = parse_config(text, where, subclassed=self.source.kind == "archive")
            if model is None:  # a subclassed model in a .keras file: weights only
                return
            sort_all(model)  # as Keras will list the layers, whatever order the config has
            sizes = with_input_size(model, hints.input_size, str(self._path))
            self._graph, self.edits = find_edits(model, sizes, assumed)
        except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as error:
            raise _malformed(where, error) from error
        except RecursionError as error:
            raise _malformed(where, "nested too deeply") from error
        self.config, self.model = config, model

    def _read_weights(self) -> None:
        base = self.source.base
        self.store: LegacyStore | V3Store
        if self.source.kind in ("model", "legacy"):
            self.store = read_legacy(cast("Group", base), str(self._path))  # shards have no lists
            self.named: dict[str, Stored] = name_legacy(self.store, self.model)
        else:
            self.store = read_v3(base, str(self._path))
            self.named = name_v3(self.store, self.model)
        self._tensors = MappingProxyType(
            {
                name: TensorInfo(self.named[name].shape, self.named[name].data.dtype)
                for name in sorted(self.named)
            }
        )

    @property
    def given_config(self) -> Path | None:
        """The file that the user gave for the graph."""
        return self._hints.config

    @property
    def path(self) -> Path:
        """The file that was opened."""
        return self._path

    @property
    def tensors(self) -> Mapping[str, TensorInfo]:
        """Every variable, in PyTorch's axes."""
        return self._tensors

    @property
    def metadata(self) -> Mapping[str, str]:
        """Keras files hold none that concerns the tensors."""
        return MappingProxyType({})

    @property
    def layout(self) -> str:
        """Keras' layer names."""
        return "keras"

    @property
    def graph(self) -> Graph | None:
        """What the config lets be fused."""
        return self._graph

    def read(self, name: str, rows: tuple[int, int] | None = None) -> NDArray[Any]:
        """Return one tensor in PyTorch's axes, or its rows `start:stop` along axis 0.

        The last tensor is kept, because rows of a kernel lie scattered over the whole of it.

        Raises:
            CheckpointError: There is no such tensor, it holds no numbers, or the file is damaged.
        """
        if self._last is None or self._last[0] != name:
            stored = self._find(name)
            values = np.ascontiguousarray(to_torch(stored.kind, stored.data.read()))
            values.flags.writeable = False
            self._last = name, values.reshape(stored.shape)
        values = self._last[1]
        return (values if rows is None else values[slice(*rows)]).copy()

    def chunks(self, name: str) -> Iterator[bytes]:
        """Yield the stored bytes of one tensor."""
        yield self._find(name).data.raw()

    def close(self) -> None:
        """Release the file."""
        self.source.stack.close()

    def _find(self, name: str) -> Stored:
        try:
            return self.named[name]
        except KeyError:
            raise CheckpointError(
                f"{self._path}: there is no tensor {shown(name)}. Name one the file lists."
            ) from None
