"""Writing an HDF5 file from a layout: what is kept is copied as it lies, what is new filled in."""

from __future__ import annotations

import hashlib
from importlib import import_module
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from reparam.errors import CheckpointError
from reparam_adapters.hdf5_tree import open_tree
from reparam_adapters.strict_json import shown

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from reparam_adapters.keras_store import Item, Layout

ATTRIBUTE_BYTES = 64512
"""What an attribute may hold; Keras cuts longer lists of names into numbered pieces."""


class Hdf5Output:
    """An HDF5 file under construction.

    Args:
        path: The file, empty so far.
        layout: What it shall hold.
        dtypes: dtype of every tensor whose values are new.
        where: The output's name, for messages.
        text_as_bytes: Whether texts are written as bytes, which is what Keras 2 expects.
    """

    def __init__(
        self,
        path: Path,
        layout: Layout,
        dtypes: Mapping[str, str],
        where: str,
        *,
        text_as_bytes: bool,
    ) -> None:
        # costs 80 ms that readers of other formats need not pay
        self._h5: Any = import_module("h5py")
        self._where = where
        self._path = path
        self._text_as_bytes = text_as_bytes
        self._digests: dict[str, bytes] = {}
        self._copies: list[Item] = []
        self._empty = {item.tensor: item for item in layout.items if not item.copied}
        self._file: Any = self._h5.File(path, "w", locking=False)
        try:
            for name, attributes in layout.groups.items():
                group = self._file.require_group(name or "/")
                for key, value in attributes.items():
                    self._set_attribute(group.attrs, key, value)
            for item in layout.items:
                self._add(item, dtypes)
        except BaseException:
            self._file.close()
            raise

    def put(self, tensor: str, values: NDArray[Any]) -> None:
        """Fill in a tensor whose values are new; `values` lie as Keras stores them."""
        item = self._empty.pop(tensor)
        little = np.ascontiguousarray(values.astype(values.dtype.newbyteorder("<"), copy=False))
        raw: Any = little.view("V2") if little.dtype.name == "bfloat16" else little
        self._digests[item.path] = hashlib.blake2b(little.tobytes()).digest()
        dataset = self._file[item.path]
        dataset.id.write(self._h5.h5s.ALL, self._h5.h5s.ALL, raw, mtype=self._type_of(raw, dataset))

    def waits_for(self, tensor: str) -> bool:
        """Whether a tensor is new and not filled in yet."""
        return tensor in self._empty

    def close(self) -> None:
        """Close the file; what it holds is on the disk then."""
        self._file.close()

    def compare(self) -> None:
        """Read the closed file back and compare every dataset with what was meant to be there.

        Raises:
            CheckpointError: Something is missing, too much, or different.
        """
        if self._empty:
            raise self._wrong(f"{shown(next(iter(self._empty)))} was never written")
        expected = {item.path: item for item in self._copies}
        with open_tree(self._path, self._where) as tree:
            found = {dataset.path: dataset for dataset in tree.root.walk()}
            if found.keys() != expected.keys() | self._digests.keys():
                odd = found.keys() ^ (expected.keys() | self._digests.keys())
                raise self._wrong(f"{shown(min(odd))} is missing or too much")
            for path, dataset in found.items():
                if path in expected:
                    same = dataset.raw() == expected[path].like.raw()
                else:
                    same = hashlib.blake2b(dataset.raw()).digest() == self._digests[path]
                if not same:
                    raise self._wrong(f"{shown(path)} reads back differently")

    def _wrong(self, what: str) -> CheckpointError:
        return CheckpointError(
            f"{self._where}: {what}. Nothing was stored. Check the disk; report this as a bug."
        )

    def _set_attribute(self, attributes: Any, key: str, value: Any) -> None:
        if isinstance(value, list):
            self._set_names(attributes, key, cast("list[str]", value))
        elif isinstance(value, str) and self._text_as_bytes:
            attributes[key] = value.encode()
        else:
            attributes[key] = value

    def _set_names(self, attributes: Any, key: str, names: list[str]) -> None:
        """Write a list of names, cut as Keras cuts it: equal parts, as few as fit."""
        if not names:
            attributes[key] = np.zeros(0)  # what h5py makes of an empty list
            return
        table = np.array([name.encode() for name in names])
        parts = 1
        while max(p.nbytes for p in np.array_split(table, parts)) > ATTRIBUTE_BYTES:
            parts += 1
            if parts > len(names):
                raise CheckpointError(
                    f"{self._where}: a name of {key} is too long for an HDF5 attribute. Rename the "
                    "layer."
                )
        if parts == 1:
            attributes[key] = table
            return
        for number, part in enumerate(np.array_split(table, parts)):
            attributes[f"{key}{number}"] = part

    def _add(self, item: Item, dtypes: Mapping[str, str]) -> None:
        parent = self._file.require_group(str(PurePosixPath("/", item.path).parent))
        name = PurePosixPath(item.path).name
        if item.copied:
            self._h5.h5o.copy(item.like.handle, b".", parent.id, name.encode())
            self._copies.append(item)
            return
        dtype = dtypes[item.tensor]
        properties = self._properties(item)
        if dtype == item.like.dtype:
            kind = item.like.handle.get_type()
        else:
            kind = self._h5.h5t.py_create(
                np.dtype("V2" if dtype == "bfloat16" else f"<{np.dtype(dtype).str[1:]}")
            )
        space = self._h5.h5s.create_simple(item.shape)
        self._h5.h5d.create(parent.id, name.encode(), kind, space, dcpl=properties)
        for key, value in item.like.attributes.items():
            if key != "dtype" or dtype == item.like.dtype:
                self._set_attribute(parent[name].attrs, key, value)
        if dtype == "bfloat16" != item.like.dtype and not self._text_as_bytes:
            parent[name].attrs["dtype"] = dtype  # how Keras 3 tells it from other pairs of bytes

    def _properties(self, item: Item) -> Any:
        """Return how a new dataset is stored: as the one it takes after."""
        properties = item.like.handle.get_create_plist()
        if properties.get_layout() == self._h5.h5d.CHUNKED:
            if item.shape != item.like.shape:
                properties.set_chunk(item.shape)
        elif item.shape != item.like.shape:
            properties = self._h5.h5p.create(self._h5.h5p.DATASET_CREATE)
        properties.set_obj_track_times(False)
        return properties

    def _type_of(self, raw: NDArray[Any], dataset: Any) -> Any:
        """Return the type in memory: that of the file where it is the same bytes."""
        stored = dataset.id.get_type()
        if raw.dtype.kind == "V":
            return stored
        return self._h5.h5t.py_create(raw.dtype)
