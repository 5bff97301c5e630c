"""HDF5 files as a read-only tree of groups, attributes and datasets.

Nothing outside the file is followed, and no more is allocated than the file can account for.
"""

from __future__ import annotations

import io
import math
import os
import stat
from collections.abc import Mapping
from contextlib import contextmanager
from functools import cached_property
from importlib import import_module
from itertools import count, takewhile
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np

from reparam.errors import CheckpointError
from reparam_adapters.hdf5_chunks import check_chunks
from reparam_adapters.strict_json import shown

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from typing import Self

    from numpy.typing import NDArray

MAX_OBJECTS, MAX_DEPTH, MAX_RANK, MAX_ATTRIBUTES = 200_000, 64, 8, 1000
MAX_DATASET, MAX_CHUNK, MAX_ATTRIBUTE = 2**36, 2**30, 2**28  # bytes
MAX_RATIO = 1100  # deflate reaches about 1030
FREE_SIZE = 2**24  # declared bytes that need no storage to show for them

_SAVE_AGAIN = "Save the model again with Keras."
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_CODES = "f4 f8 f2 i4 i8 i2 i1 u4 u8 u2 u1"
_FILTERS = {1, 2, 3, 32000}  # deflate, shuffle, fletcher32, lzf


def is_hdf5(head: bytes) -> bool:
    """Whether a file that begins so is meant as HDF5; it may still be malformed."""
    return head.startswith(_SIGNATURE)


def open_tree(source: Path | BinaryIO, where: str) -> Tree:
    """Open a path, or a seekable binary file that stays the caller's to close, called `where`.

    What is malformed is a `CheckpointError`, here and in every method.
    """
    if not isinstance(source, Path):
        return Tree(_Source(source), where)
    # O_NONBLOCK: opening a FIFO must not wait for a writer that never comes.
    handle = os.open(source, os.O_RDONLY | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise CheckpointError(f"{where}: not a regular file. Name a checkpoint file.")
    file = cast("BinaryIO", io.FileIO(handle, "rb"))
    try:
        return Tree(_Source(file), where, file)
    except BaseException:
        file.close()
        raise


class Tree:
    """An open HDF5 file; `handle` is the `h5py.File`, for writers that copy whole objects."""

    def __init__(self, source: _Source, where: str, own: BinaryIO | None = None) -> None:
        self.h5: Any = import_module("h5py")  # other formats need not pay 80 ms for it
        self.size = source.seek(0, os.SEEK_END)
        self.paths: dict[int, str] = {}  # of the objects seen, by address
        self._where, self._own = where, own
        with self.guard("the HDF5 file"):
            # On a Python file HDF5 takes no lock: read-only disks and second readers do no harm.
            self.handle: Any = self.h5.File(source, "r")
            top: Any = self.h5.h5o.open(self.handle.id, b"/")
            self.paths[self.h5.h5o.get_info(top).addr] = ""
        self.root = Group(self, top, "")

    def close(self) -> None:
        """Release the file."""
        self.handle.close()
        if self._own is not None:
            self._own.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def refusal(self, what: str, saw: str, advice: str = _SAVE_AGAIN) -> CheckpointError:
        """Build the error about one object."""
        return CheckpointError(f"{self._where}: {what}: {saw}. {advice}")

    def shape(self, what: str, space: Any) -> tuple[int, ...]:
        """Return the shape of a dataset or an attribute."""
        if space.get_simple_extent_type() == self.h5.h5s.NULL:
            raise self.refusal(what, "it has no value")
        if space.get_simple_extent_ndims() > MAX_RANK:
            raise self.refusal(what, f"more than {MAX_RANK} dimensions")
        return tuple(map(int, space.get_simple_extent_dims()))

    @cached_property
    def types(self) -> list[tuple[str, str, Any]]:
        """Names of the types of numbers, those of the arrays to read them into, HDF5's own."""
        codes = (order + code for code in _CODES.split() for order in "<>")
        create = self.h5.h5t.py_create
        found = [(np.dtype(code).name, code, create(np.dtype(code))) for code in codes]
        for code in ("<f2", ">f2"):
            bfloat16 = create(np.dtype(code))
            bfloat16.set_fields(15, 7, 8, 0, 7)
            bfloat16.set_ebias(127)
            found.append(("bfloat16", code.replace("f", "u"), bfloat16))
        return [*found, ("bfloat16", "<u2", create(np.dtype("V2")))]  # as Keras stores it

    @contextmanager
    def guard(self, what: str) -> Generator[None]:
        """Turn whatever h5py raises into a `CheckpointError` about one object."""
        try:
            yield
        except CheckpointError:
            raise
        except MemoryError:
            raise self.refusal(what, "too large for the memory", "Use another machine.") from None
        except Exception as error:  # noqa: BLE001  # h5py raises nearly anything
            saw = shown(str(error) or type(error).__name__)
            advice = "It is damaged or truncated: fetch the file again."
            raise self.refusal(what, saw, advice) from None


class Group:
    """A group, whose children are listed and checked when they are first asked for."""

    def __init__(self, tree: Tree, handle: Any, path: str) -> None:
        self.path = path
        self.attributes: Mapping[str, Any] = _Attributes(tree, handle, path)
        self._tree, self._handle = tree, handle

    @property
    def groups(self) -> Mapping[str, Group]:
        """The groups in this one, in the order of their names."""
        return self._children[0]

    @property
    def datasets(self) -> Mapping[str, Dataset]:
        """The datasets in this group, in the order of their names."""
        return self._children[1]

    def find(self, path: str) -> Group | Dataset | None:
        """Return the object at a path relative to this group, None if there is none."""
        *parents, last = parts = path.split("/")
        if not {"", ".", ".."}.isdisjoint(parts):
            saw = f"refers to {shown(path)}, expected names joined by single slashes"
            raise self._tree.refusal(f"group {shown(self.path)}", saw)
        group: Group | None = self
        for part in parents:
            group = group.groups.get(part) if group else None
        return (group.groups.get(last) or group.datasets.get(last)) if group else None

    def names(self, attribute: str) -> tuple[str, ...] | None:
        """Return a list of names, in one attribute or in numbered parts, as Keras stores it."""
        keys = [attribute] if attribute in self.attributes else []
        parts = (f"{attribute}{number}" for number in count())
        keys = keys or list(takewhile(self.attributes.__contains__, parts))
        found: list[str] = []
        for key in keys:
            value = self.attributes[key]
            if isinstance(value, list):
                found += cast("list[str]", value)
            elif getattr(value, "shape", None) != (0,):  # an empty list is one of floats
                what = f"attribute {shown(key)} of {shown(self.path)}"
                raise self._tree.refusal(what, f"{shown(value)}, expected a list of names")
        return tuple(found) if keys else None

    def walk(self) -> Iterator[Dataset]:
        """Yield every dataset below this group."""
        stack: list[Group] = [self]
        while stack:
            group = stack.pop()
            yield from group.datasets.values()
            stack += [*group.groups.values()][::-1]

    @cached_property
    def _children(self) -> tuple[Mapping[str, Group], Mapping[str, Dataset]]:
        tree, h5o = self._tree, self._tree.h5.h5o
        groups: dict[str, Group] = {}
        datasets: dict[str, Dataset] = {}
        links: list[tuple[bytes, int]] = []

        def collect(name: bytes, info: Any) -> bool | None:
            links.append((name, info.type))
            return len(links) + len(tree.paths) > MAX_OBJECTS or None  # h5py goes on for None only

        with tree.guard(f"group {shown(self.path)}"):
            self._handle.links.iterate(collect, info=True)
            if len(links) + len(tree.paths) > MAX_OBJECTS:
                raise tree.refusal("the HDF5 file", f"more than {MAX_OBJECTS} objects")
            if links and self.path.count("/") >= MAX_DEPTH - 1:
                raise tree.refusal("the HDF5 file", f"groups nested more than {MAX_DEPTH} deep")
            for raw, kind in links:
                name = raw.decode()
                path = f"{self.path}/{name}" if self.path else name
                what = f"object {shown(path)}"
                if kind != tree.h5.h5l.TYPE_HARD:
                    raise tree.refusal(what, "a soft or external link, expected an object")
                info = h5o.get_info(self._handle, raw)
                if tree.paths.setdefault(info.addr, path) is not path:
                    raise tree.refusal(what, f"the same as {shown(tree.paths[info.addr])}")
                if info.type == h5o.TYPE_GROUP:
                    groups[name] = Group(tree, h5o.open(self._handle, raw), path)
                elif info.type == h5o.TYPE_DATASET:
                    datasets[name] = Dataset(tree, h5o.open(self._handle, raw), path)
                else:
                    raise tree.refusal(what, "a stored type, expected a group or a dataset")
        return MappingProxyType(groups), MappingProxyType(datasets)


class Dataset:
    """A dataset; `dtype` is the NumPy name of a number type, `bfloat16` or `other`."""

    def __init__(self, tree: Tree, handle: Any, path: str) -> None:
        self.path = path
        self.attributes: Mapping[str, Any] = _Attributes(tree, handle, path)
        self._tree, self.handle, self._what = tree, handle, f"dataset {shown(path)}"
        with tree.guard(self._what):
            self._check(handle.get_create_plist(), tree.h5.h5d)

    def read(self) -> NDArray[Any]:
        """Return the values as a new array in native byte order."""
        if self.dtype == "other":
            raise self._tree.refusal(self._what, "neither integers nor floats")
        array = self._load()
        if self.dtype == "bfloat16":
            import ml_dtypes  # noqa: PLC0415  # only files that hold bfloat16 pay for it

            return array.astype("=u2", copy=False).view(ml_dtypes.bfloat16)
        return array.astype(array.dtype.newbyteorder("="), copy=False)

    def raw(self) -> bytes:
        """Return the stored bytes in C order, those of numbers in little-endian order."""
        array = self._load()
        return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()

    def _check(self, properties: Any, h5d: Any) -> None:
        """Note what the header says, unless the storage cannot account for it."""
        tree, handle, layout = self._tree, self.handle, properties.get_layout()
        # Before anything else: asking a virtual dataset for its shape may open other files.
        if layout == h5d.VIRTUAL or properties.get_external_count():
            raise tree.refusal(self._what, "its values are in another file")
        filters = [properties.get_filter(i)[0] for i in range(properties.get_nfilters())]
        if not _FILTERS.issuperset(filters) or len(filters) != len({*filters}):
            raise tree.refusal(self._what, f"filters {filters}, expected at most gzip or lzf")
        self.shape = tree.shape(self._what, handle.get_space())
        self._type = handle.get_type()
        item, stored = self._type.get_size(), handle.get_storage_size()
        same = (row[:2] for row in tree.types if row[2] == self._type)
        self.dtype, self._code = next(same, ("other", f"V{item}"))
        size = least = math.prod(self.shape) * item
        if layout == h5d.CHUNKED:
            least = size // MAX_RATIO if size > FREE_SIZE else min(size, 1)
            if math.prod(properties.get_chunk()) * item > MAX_CHUNK:
                raise tree.refusal(self._what, f"a chunk of more than {MAX_CHUNK} bytes")
        if not least <= stored <= tree.size or size > MAX_DATASET:
            raise tree.refusal(self._what, f"{size} bytes declared, {stored} stored")

    def _load(self) -> NDArray[Any]:
        tree, everything = self._tree, self._tree.h5.h5s.ALL
        with tree.guard(self._what):
            if self.dtype == "other" and self._type.dtype.hasobject:
                raise tree.refusal(self._what, "its elements vary in length, or refer to others")
            check_chunks(self.handle)
            array = np.empty(self.shape, self._code)
            # The type in memory is that in the file: nothing is converted.
            self.handle.read(everything, everything, array, mtype=self._type)
        return array


class _Attributes(Mapping[str, Any]):
    """The attributes of one object, each read once, when it is first asked for."""

    def __init__(self, tree: Tree, handle: Any, path: str) -> None:
        self._tree, self._handle, self._path = tree, handle, path
        self._values: dict[str, Any] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __getitem__(self, name: str) -> Any:
        if name not in self._values:
            self._names[name]
            what = f"attribute {shown(name)} of {shown(self._path)}"
            with self._tree.guard(what):
                self._values[name] = self._read(name, what)
        return self._values[name]

    @cached_property
    def _names(self) -> dict[str, None]:
        names: list[bytes] = []
        h5a, what = self._tree.h5.h5a, f"object {shown(self._path)}"
        with self._tree.guard(what):
            if h5a.get_num_attrs(self._handle) > MAX_ATTRIBUTES:
                raise self._tree.refusal(what, f"more than {MAX_ATTRIBUTES} attributes")
            h5a.iterate(self._handle, names.append)
            return {name.decode(): None for name in names}

    def _read(self, name: str, what: str) -> Any:
        tree = self._tree
        attribute = tree.h5.h5a.open(self._handle, name.encode())
        shape, kind = tree.shape(what, attribute.get_space()), attribute.get_type()
        if math.prod(shape) * kind.get_size() > MAX_ATTRIBUTE:
            raise tree.refusal(what, f"more than {MAX_ATTRIBUTE} bytes")
        text = kind.get_class() == tree.h5.h5t.STRING
        if attribute.dtype.hasobject and not text:
            raise tree.refusal(what, "neither text nor numbers")
        array: NDArray[Any] = np.zeros(shape, attribute.dtype)
        attribute.read(array)
        if not text:
            return array[()]
        words = [word.decode() if isinstance(word, bytes) else str(word) for word in array.flat]
        return words if shape else words[0]


class _Source(io.RawIOBase):
    """A file for h5py, which would not notice a read that ends early."""

    def __init__(self, file: BinaryIO) -> None:
        self._file: Any = file

    def seek(self, offset: int, whence: int = 0) -> int:
        return cast("int", self._file.seek(offset, whence))

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)
        while view:
            done = self._file.readinto(view)
            if not done:
                raise OSError("truncated")
            view = view[done:]
        return len(buffer)
