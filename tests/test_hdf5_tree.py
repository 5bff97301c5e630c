"""The HDF5 reader: judged by h5py, and by files that are not what they seem."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

import h5py
import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reparam.errors import CheckpointError
from reparam_adapters import hdf5_tree
from reparam_adapters.hdf5_chunks import check_chunks
from reparam_adapters.hdf5_tree import Dataset, Group, is_hdf5, open_tree

ROOT = Path(__file__).parents[1]
ARRAY = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
DTYPES = [
    order + code
    for code in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8")
    for order in "<>"
]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "x.h5"


@pytest.fixture
def file(path):
    """A file to be filled by the test, which closes it."""
    with h5py.File(path, "w") as opened:
        yield opened


def everything(tree):
    """Read all there is."""
    for dataset in tree.root.walk():
        dict(dataset.attributes)
        if dataset.dtype != "other":
            dataset.read()
    stack = [tree.root]
    while stack:
        group = stack.pop()
        dict(group.attributes)
        stack += group.groups.values()


def refused(path, match, name="x"):
    with open_tree(path, "model.h5") as tree, pytest.raises(CheckpointError, match=match) as caught:
        everything(tree)
    assert str(caught.value).startswith("model.h5: ")
    assert name in str(caught.value)
    assert str(caught.value).endswith(".")


# What is read.


def test_the_tree_is_that_of_the_file(path, file):
    file["b/kernel"] = ARRAY
    file["b/a/bias"] = ARRAY[0]
    file["a/kernel:0"] = ARRAY[1]
    file["top"] = 3.0
    file.create_group("empty/vars")
    file.close()
    with open_tree(path, "x.h5") as tree:
        root = tree.root
        assert (root.path, list(root.groups), list(root.datasets)) == (
            "",
            ["a", "b", "empty"],
            ["top"],
        )
        paths = ["top", "a/kernel:0", "b/kernel", "b/a/bias"]
        assert [dataset.path for dataset in root.walk()] == paths
        found = root.find("b/a/bias")
        assert isinstance(found, Dataset)
        assert (found.shape, found.dtype) == ((3, 4), "float32")
        np.testing.assert_array_equal(found.read(), ARRAY[0])
        assert found.raw() == ARRAY[0].tobytes()
        group = root.groups["b"]
        assert isinstance(group.find("a"), Group)
        assert group.groups["a"].path == "b/a"
        assert group.find("a/bias") is found
        assert group.find("none") is group.find("none/bias") is group.find("kernel/bias") is None
        assert isinstance(tree.handle, h5py.File)
        for name in ("", "/b", "b/", "b//a", "./b", "b/../a", ".."):
            with pytest.raises(CheckpointError, match="single slashes"):
                root.find(name)


@pytest.mark.parametrize("options", [{}, {"libver": "latest"}, {"track_order": True}])
def test_every_layout_is_read(path, options):
    wide = np.arange(3000, dtype=np.int32).reshape(60, 50)
    with h5py.File(path, "w", **options) as file:
        file["plain"] = wide
        for number, filters in enumerate(
            [
                {"compression": "gzip"},
                {"compression": "gzip", "shuffle": True, "fletcher32": True},
                {"compression": "lzf", "shuffle": True},
                {"fletcher32": True},
                {"maxshape": (None, 50)},
            ]
        ):
            file.create_dataset(f"d{number}", data=wide, chunks=(7, 11), **filters)
        file["empty"] = np.zeros((0, 2**40), np.float32)
        file["scalar"] = np.float64(2)
        file.attrs["many"] = ["x" * 100] * 10
    with open_tree(path, "x.h5") as tree:
        for dataset in tree.root.walk():
            if dataset.path not in {"empty", "scalar"}:
                np.testing.assert_array_equal(dataset.read(), wide)
                assert dataset.raw() == wide.tobytes()
        assert tree.root.datasets["empty"].read().shape == (0, 2**40)
        assert tree.root.datasets["scalar"].read()[()] == 2
        assert tree.root.attributes["many"] == ["x" * 100] * 10


@pytest.mark.parametrize("code", DTYPES)
def test_numbers_of_any_byte_order(path, file, code):
    array = np.array([0, 1, 2, 100]).astype(code)
    file["x"] = array
    file.close()
    with open_tree(path, "x.h5") as tree:
        dataset = tree.root.datasets["x"]
        read = dataset.read()
        assert dataset.dtype == read.dtype.name == array.dtype.name
        assert read.dtype.isnative
        assert read.flags.c_contiguous
        np.testing.assert_array_equal(read, array)
        read[:] = 0  # a new array each time
        np.testing.assert_array_equal(dataset.read(), array)
        assert dataset.raw() == array.astype(array.dtype.newbyteorder("<")).tobytes()


@pytest.mark.parametrize("order", ["<", ">"])
def test_bfloat16_as_a_float(path, file, order):
    array = np.array([1, 3, -0.5]).astype(ml_dtypes.bfloat16)
    kind = h5py.h5t.py_create(np.dtype(order + "f2"))
    kind.set_fields(15, 7, 8, 0, 7)
    kind.set_ebias(127)
    dataset = h5py.h5d.create(file.id, b"x", kind, h5py.h5s.create_simple((3,)))
    stored = array.view("u2").astype(order + "u2")
    dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, stored, mtype=kind)
    file.close()
    same_bfloat16(path, array)


def test_bfloat16_as_keras_stores_it(path, file):
    array = np.array([1, 3, -0.5]).astype(ml_dtypes.bfloat16)
    file["x"] = array.view("V2")
    file.close()
    same_bfloat16(path, array)


def same_bfloat16(path, array):
    with open_tree(path, "x.h5") as tree:
        dataset = tree.root.datasets["x"]
        assert dataset.dtype == "bfloat16"
        assert dataset.read().dtype == ml_dtypes.bfloat16
        assert dataset.read().tobytes() == dataset.raw() == array.tobytes()


@pytest.mark.parametrize(
    "value",
    [
        np.array([b"a", b"bc"]),
        np.array([True]),
        np.array([1 + 2j]),
        np.zeros(2, [("a", "f4"), ("b", "i2")]),
        np.zeros(2, "V4"),
        np.zeros(2, ml_dtypes.float8_e5m2).view("V1"),
    ],
    ids=str,
)
def test_other_dtypes_are_bytes(path, file, value):
    file["x"] = value
    file.close()
    with open_tree(path, "x.h5") as tree:
        dataset = tree.root.datasets["x"]
        assert dataset.dtype == "other"
        assert dataset.raw() == value.tobytes()
        with pytest.raises(CheckpointError, match="dataset 'x': neither integers nor floats"):
            dataset.read()


def test_elements_of_varying_length_are_refused(path, file):
    file.create_dataset("x", data=["a", "b"], dtype=h5py.string_dtype())
    file["g/r"] = np.array([file.ref], dtype=h5py.ref_dtype)
    file.close()
    with open_tree(path, "x.h5") as tree:
        for dataset in tree.root.walk():
            assert dataset.dtype == "other"
            with pytest.raises(CheckpointError, match="vary in length"):
                dataset.raw()


def test_attributes_become_python_values(path, file):
    group = file.create_group("g")
    group.attrs["text"] = "größe"
    group.attrs["bytes"] = b"abc"
    group.attrs["fixed"] = np.bytes_("fixed")
    group.attrs["names"] = ["ä", "", "c"]
    group.attrs["fixed_names"] = np.array([b"a", b"bcd"])
    group.attrs["no_names"] = np.array([], "S3")
    group.attrs["empty"] = []
    group.attrs["number"] = np.int32(3)
    group.attrs["numbers"] = np.arange(3)
    file.close()
    with open_tree(path, "x.h5") as tree:
        found = tree.root.groups["g"].attributes
        texts = {key: value for key, value in found.items() if isinstance(value, (str, list))}
        assert texts == {
            "text": "größe",
            "bytes": "abc",
            "fixed": "fixed",
            "names": ["ä", "", "c"],
            "fixed_names": ["a", "bcd"],
            "no_names": [],
        }
        assert len(found) == 9
        assert found["number"] == 3
        assert found["number"].dtype == np.int32
        np.testing.assert_array_equal(found["numbers"], np.arange(3))
        assert found["names"] is found["names"]
        assert "none" not in found
        assert found.get("none") is None
        with pytest.raises(KeyError):
            found["none"]


def test_names_are_joined(path, file):
    file.attrs["whole"] = [b"a", b"b"]
    file.attrs["none"] = []
    file.attrs["parts0"] = np.array([b"a", b"b"])
    file.attrs["parts1"] = ["c"]
    file.attrs["parts3"] = ["not reached"]
    file.attrs["number"] = 3
    file.attrs["text"] = "abc"
    file.attrs["floats"] = [1.0]
    file.close()
    with open_tree(path, "x.h5") as tree:
        names = tree.root.names
        assert names("whole") == ("a", "b")
        assert names("none") == ()
        assert names("parts") == ("a", "b", "c")
        assert names("absent") is None
        for key in ("number", "text", "floats"):
            with pytest.raises(CheckpointError, match=f"'{key}' of '': .*a list of names"):
                names(key)


def test_files_of_python_are_read_and_left_open(path, file):
    file["x"] = ARRAY
    file.close()
    for source in (io.BytesIO(path.read_bytes()), path.open("rb")):
        with source, open_tree(source, "x.h5") as tree:
            np.testing.assert_array_equal(tree.root.datasets["x"].read(), ARRAY)
            tree.close()
            tree.close()
            assert not source.closed


def test_a_read_only_file_has_many_readers(path, file):
    file["x"] = ARRAY
    file.close()
    path.chmod(0o444)
    before = path.read_bytes()
    with h5py.File(path), open_tree(path, "a") as first, open_tree(path, "b") as second:
        everything(first)
        everything(second)
    assert path.read_bytes() == before


def test_objects_are_copied_through_the_handle(path, tmp_path, file):
    file["g/x"] = ARRAY
    file["g"].attrs["names"] = ["a", "b"]
    file.close()
    with open_tree(path, "x") as tree, h5py.File(tmp_path / "copy", "w") as target:
        tree.handle.copy(tree.handle["g"], target, "g")
        assert list(target["g"].attrs["names"]) == ["a", "b"]
        np.testing.assert_array_equal(target["g/x"], ARRAY)


def test_the_import_alone_loads_no_h5py():
    code = (
        "import sys, reparam_adapters.hdf5_tree as tree\n"
        "assert not {'h5py', 'ml_dtypes'} & sys.modules.keys()\n"
        "assert tree.is_hdf5(b'\\x89HDF\\r\\n\\x1a\\n...')\n"
    )
    search = os.pathsep.join([str(ROOT), str(ROOT / "adapters")])
    subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": search}, check=True)


def test_the_signature_is_recognised(path, file):
    file["x"] = ARRAY
    file.close()
    assert is_hdf5(path.read_bytes()[:8])
    assert not is_hdf5(path.read_bytes()[:7])
    assert not is_hdf5(b"PK\3\4")


# What is refused.


def test_what_is_no_file(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError):
        open_tree(tmp_path / "none", "none")
    with pytest.raises(CheckpointError, match="not a regular file"):
        open_tree(tmp_path, "directory")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CheckpointError, match="not a regular file"):
        open_tree(tmp_path / "pipe", "pipe")

    def denied(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", denied)
    with pytest.raises(PermissionError):
        open_tree(tmp_path / "x", "x")


@pytest.mark.parametrize("data", [b"", b"PK\3\4" * 500, b"\x89HDF\r\n\x1a\n"])
def test_what_is_no_hdf5(path, data):
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"m\.h5: the HDF5 file: .*fetch the file again"):
        open_tree(path, "m.h5")


def test_links_are_refused(path, tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["secret"] = ARRAY
    links = [
        h5py.SoftLink("/y"),
        h5py.SoftLink("/none"),
        h5py.ExternalLink("other.h5", "secret"),
    ]
    for link in links:
        with h5py.File(path, "w") as file:
            file["y"] = ARRAY
            file["g/x"] = link
        refused(path, "soft or external link", "'g/x'")


def test_second_names_are_refused(path):
    for first, second in (("y", "x"), ("y", "g/x"), ("g/h", "g/h/x"), ("/", "g/x")):
        with h5py.File(path, "w") as file:
            file["y"] = ARRAY
            file.create_group("g/h")
            file[second] = file[first]
        refused(path, "the same as", "'y'" if second == "x" else "x")


def test_stored_types_are_refused(path, file):
    file["x"] = np.dtype("f4")
    file.close()
    refused(path, "a stored type")


def test_values_in_other_files_are_refused(path, tmp_path):
    (tmp_path / "secret").write_bytes(b"0123456789abcdef")
    with h5py.File(path, "w") as file:
        secret = (str(tmp_path / "secret"), 0, 16)
        file.create_dataset("x", (4,), "f4", external=[secret])
    refused(path, "in another file")
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["secret"] = ARRAY
    layout = h5py.VirtualLayout(ARRAY.shape, "f4")
    layout[:] = h5py.VirtualSource(tmp_path / "other.h5", "secret", ARRAY.shape)
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("x", layout)
    refused(path, "in another file")


@pytest.mark.parametrize(
    "options", [{"scaleoffset": 3}, {"compression": 32015, "allow_unknown_filter": True}]
)
def test_other_filters_are_refused(path, file, options):
    file.create_dataset("x", (100,), "i4", chunks=(10,), **options)
    file.close()
    refused(path, "expected at most gzip or lzf")


def test_packing_twice_is_refused(path, file):
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_chunk((10,))
    properties.set_deflate(9)
    properties.set_deflate(9)
    space = h5py.h5s.create_simple((10,))
    h5py.h5d.create(file.id, b"x", h5py.h5t.IEEE_F32LE, space, properties)
    file.close()
    refused(path, r"filters \[1, 1\]")


@pytest.mark.parametrize(
    ("shape", "chunks"),
    [
        ((10,), None),  # never written
        ((10,), (5,)),
        ((2**33,), (1024,)),
        ((2**62,), (1024,)),
    ],
)
def test_values_that_are_not_there_are_refused(path, file, shape, chunks):
    dataset = file.create_dataset("x", shape, "f4", chunks=chunks)
    if shape[0] > 10:
        dataset[:100] = 1
    file.close()
    refused(path, "bytes declared, [0-9]+ stored")


def test_a_little_storage_for_a_lot_is_refused(path, file):
    zeros = np.zeros(2**23, np.float32)
    file.create_dataset("x", data=zeros, chunks=(2**21,), compression="gzip")
    file.close()
    with open_tree(path, "x") as tree:  # as dense as deflate gets
        assert not tree.root.datasets["x"].read().any()
    with h5py.File(path, "r+") as again:
        again.create_dataset("y", (2**25,), "f4", chunks=(2**21,), compression="gzip")
        again["y"][: 2**21] = 0
    refused(path, "stored", "'y'")


def test_large_chunks_are_refused(path, file):
    file.create_dataset("x", (4,), "f4", chunks=(2**29,), maxshape=(None,))
    file.close()
    refused(path, "a chunk of more than")


FILTERS = [
    {"shuffle": shuffle, "fletcher32": checksum, "compression": compression}
    for compression in (None, "gzip", "lzf")
    for shuffle in (False, True)
    for checksum in (False, True)
]


@pytest.mark.parametrize("filters", FILTERS, ids=str)
@pytest.mark.parametrize("chunks", [(60, 50), (7, 11)], ids=str)
def test_whole_chunks_are_read(path, file, filters, chunks):
    rng = np.random.default_rng(0)
    arrays = {
        "noise": rng.normal(size=(60, 50)),
        "zeros": np.zeros((60, 50), "f4"),
        "count": np.arange(3000, dtype="i4").reshape(60, 50),
        "rows": np.repeat(rng.integers(0, 255, (60, 1)).astype("u1"), 50, 1),
        "none": np.zeros((0, 50), "f4"),
    }
    for name, values in arrays.items():
        file.create_dataset(name, data=values, chunks=chunks, maxshape=(None, None), **filters)
    file.close()
    with open_tree(path, "x") as tree:
        for name, values in arrays.items():
            assert np.array_equal(tree.root.datasets[name].read(), values)


SHORT = b"\0" * 16
LITERALS = bytes([31, *range(32)])
NOISE = np.random.default_rng(0).bytes(4096)
LONG = bytes([31, *range(32), 7 << 5, 255, 0])


@pytest.mark.parametrize(
    ("filters", "packed", "mask", "found"),
    [
        ({"compression": "gzip"}, zlib.compress(SHORT), 0, 16),
        ({"compression": "gzip"}, zlib.compress(b"\0" * 2**20), 0, 4097),
        ({"compression": "gzip"}, zlib.compress(NOISE)[:1000], 0, "9.."),
        ({"compression": "gzip"}, SHORT, 1, 16),
        ({"compression": "gzip", "shuffle": True}, zlib.compress(SHORT), 0, 16),
        ({"compression": "lzf"}, LITERALS, 0, 32),
        ({"compression": "lzf"}, LONG, 0, 296),
        ({"compression": "lzf"}, LONG[:-1], 0, 0),
        ({"compression": "lzf"}, LITERALS[:-1], 0, 0),
        ({"compression": "lzf"}, bytes(4095), 1, 4095),
        ({"shuffle": True}, SHORT, 0, 16),
        ({"fletcher32": True}, SHORT, 0, 12),
        ({"fletcher32": True}, SHORT, 1, 16),
    ],
)
def test_chunks_that_unpack_short_are_refused(path, file, filters, packed, mask, found):
    """HDF5 would hand out whatever follows in its memory."""
    dataset = file.create_dataset("x", data=np.ones(1024, "f4"), chunks=(1024,), **filters)
    dataset.id.write_direct_chunk((0,), packed, filter_mask=mask)
    file.close()
    refused(path, rf"chunk at \(0,\) unpacks to {found} bytes, expected 4096")


def test_a_chunk_that_was_never_written_is_refused(path, file):
    file.create_dataset("x", (100, 10), "f4", chunks=(10, 10), compression="gzip")[:10] = 1
    file.close()
    refused(path, "1 chunks, expected 10")


def test_filters_in_another_order_are_refused(path, file):
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_chunk((10,))
    properties.set_deflate(1)
    properties.set_shuffle()
    space = h5py.h5s.create_simple((10,))
    made = h5py.h5d.create(file.id, b"x", h5py.h5t.IEEE_F32LE, space, dcpl=properties)
    h5py.Dataset(made)[:] = 1
    file.close()
    refused(path, r"filters \[1, 2\], expected shuffle, gzip or lzf, fletcher32 in this order")


def test_chunks_are_never_asked_for_one_by_one(path, file):
    """Each such question walks the tree of chunks: all of them take quadratic time."""
    file.create_dataset("x", data=np.ones(20, "f4"), chunks=(1,))
    file.close()

    class Watched:
        def __init__(self, handle):
            self.handle = handle

        def __getattr__(self, name):
            assert name not in {"get_chunk_info", "get_chunk_info_by_coord", "get_num_chunks"}
            return getattr(self.handle, name)

    with h5py.File(path) as opened:
        check_chunks(Watched(opened["x"].id))


def test_many_dimensions_are_refused(path, file):
    file["x"] = np.zeros((1,) * 9)
    file.close()
    refused(path, "more than 8 dimensions")


def test_objects_without_a_value_are_refused(path):
    with h5py.File(path, "w") as file:
        file["x"] = h5py.Empty("f4")
    refused(path, "no value")
    with h5py.File(path, "w") as file:
        file.attrs["x"] = h5py.Empty("f4")
    refused(path, "no value")


@pytest.mark.parametrize("depth", [64, 65])
def test_depth_is_bounded(path, file, depth):
    file["/".join("x" * (depth - 1) + "y")] = ARRAY
    file.close()
    if depth == 64:
        with open_tree(path, "x") as tree:
            everything(tree)
    else:
        refused(path, "more than 64 deep", "the HDF5 file")


def test_counts_are_bounded(path, file, monkeypatch):
    monkeypatch.setattr(hdf5_tree, "MAX_OBJECTS", 12)
    for number in range(9):
        file[f"g{number % 3}/{number}"] = 1.0
    for number in range(4):
        file["g0/0"].attrs[str(number)] = 1
    file.attrs["x"] = [0.0] * 13
    file.close()
    refused(path, "more than 12 objects", "the HDF5 file")
    monkeypatch.setattr(hdf5_tree, "MAX_OBJECTS", 13)
    with open_tree(path, "x") as tree:
        everything(tree)
    monkeypatch.setattr(hdf5_tree, "MAX_ATTRIBUTES", 3)
    refused(path, "more than 3 attributes", "'g0/0'")
    monkeypatch.setattr(hdf5_tree, "MAX_ATTRIBUTES", 4)
    monkeypatch.setattr(hdf5_tree, "MAX_ATTRIBUTE", 100)
    refused(path, "more than 100 bytes", "attribute 'x' of ''")


def test_attributes_that_refer_are_refused(path, file):
    file.attrs["x"] = file.ref
    file.close()
    refused(path, "neither text nor numbers")


def test_names_are_utf8(path):
    with h5py.File(path, "w") as file:
        file[b"x\xff"] = ARRAY
    refused(path, "codec")
    with h5py.File(path, "w") as file:
        file.attrs[b"x\xff"] = 1
    refused(path, "codec", "object ''")
    with h5py.File(path, "w") as file:
        file.attrs["x"] = np.bytes_(b"\xff")
    refused(path, "codec")


def test_a_damaged_chunk_is_refused(path, file):
    file.create_dataset("x", data=ARRAY, fletcher32=True)
    file.close()
    raw = path.read_bytes()
    path.write_bytes(raw.replace(ARRAY.tobytes(), ARRAY[::-1].tobytes()))
    refused(path, "fetch the file again")


def test_memory_that_does_not_suffice(path, file, monkeypatch):
    file["x"] = ARRAY
    file.close()

    def full(*_):
        raise MemoryError

    with open_tree(path, "m.h5") as tree:
        dataset = tree.root.datasets["x"]
        monkeypatch.setattr(np, "empty", full)
        with pytest.raises(CheckpointError, match="dataset 'x': too large for the memory"):
            dataset.read()


def test_a_file_cut_while_open_is_refused(path, file):
    file["x"] = np.ones(100_000)
    file.close()
    with open_tree(path, "m.h5") as tree:
        dataset = tree.root.datasets["x"]
        os.truncate(path, 10_000)
        with pytest.raises(CheckpointError, match="truncated"):
            dataset.read()


def small():
    """A file without text of varying length, as Keras for TensorFlow 2.3 wrote them."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file["conv/conv/kernel:0"] = ARRAY
        file.create_dataset("bn/gamma", data=ARRAY, compression="gzip", fletcher32=True)
        file["conv"].attrs["weight_names"] = np.array([b"conv/kernel:0"])
        file.attrs["layer_names"] = np.array([b"conv", b"bn"])
        file.attrs["backend"] = np.bytes_("tensorflow")
    return buffer.getvalue()


SMALL = small()


def test_every_truncation_is_refused(path):
    for size in range(0, len(SMALL), 7):
        path.write_bytes(SMALL[:size])
        with pytest.raises(CheckpointError, match="truncated"):
            open_tree(path, "m.h5")


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, len(SMALL) - 1), st.integers(0, 255)), min_size=1, max_size=4)
)
def test_damage_is_refused_or_read(changes):
    raw = bytearray(SMALL)
    for offset, value in changes:
        raw[offset] = value
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "x.h5")
        path.write_bytes(raw)
        try:
            with open_tree(path, "m.h5") as tree:
                everything(tree)
        except CheckpointError as error:
            assert str(error).startswith("m.h5: ")  # noqa: PT017  no error is fine, too
