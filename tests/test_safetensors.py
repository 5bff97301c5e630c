"""The safetensors adapter: judged by the safetensors library, hostile files and failing disks."""

from __future__ import annotations

import errno
import json
import math
import os
import signal
import stat
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from itertools import count, pairwise
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import safetensors
import safetensors.numpy as library
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as stn

from reparam.checkpoint import Form, Hints, Reader, Rewrite, TensorInfo, Writer
from reparam.errors import CheckpointError
from reparam.file_formats import open_checkpoint
from reparam_adapters import safetensors as adapter
from reparam_adapters import safetensors_header
from reparam_adapters.atomic import AtomicFile
from reparam_adapters.strict_json import parse_object

BF16 = np.dtype(ml_dtypes.bfloat16)
FUSED = [np.dtype(name) for name in ("f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u1")]
EXAMPLES = settings(max_examples=60, deadline=None)

names = st.text(max_size=12).filter(lambda name: name != "__metadata__")
texts = st.dictionaries(st.text(max_size=8), st.text(max_size=20), max_size=4)


@st.composite
def arrays(draw):
    dtype = draw(st.sampled_from([*FUSED, BF16]))
    shape = draw(stn.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
    bits = draw(stn.arrays(np.uint8, int(np.prod(shape)) * dtype.itemsize))  # NaN payloads too
    return bits.view(dtype).reshape(shape)


checkpoints = st.dictionaries(names, arrays(), max_size=6)


def infos(tensors):
    return {name: TensorInfo(array.shape, array.dtype.name) for name, array in tensors.items()}


def save(path, tensors, metadata=None, **options):
    with adapter.open_writer(path, infos(tensors), metadata or {}, **options) as writer:
        assert isinstance(writer, Writer)
        for name, array in tensors.items():
            writer.write(name, array)
        writer.commit()


def load(path):
    with adapter.open_reader(path) as reader:
        assert isinstance(reader, Reader)
        return {name: reader.read(name) for name in reader.tensors}


def copy(source, target):
    with (
        adapter.open_reader(source) as reader,
        adapter.open_writer(target, reader.tensors, reader.metadata) as writer,
    ):
        for name in reader.tensors:
            writer.write_chunks(name, reader.chunks(name))
        writer.commit()


def same(left, right):
    """Bit for bit, so that NaN equals itself."""
    assert left.keys() == right.keys()
    for name, array in left.items():
        assert (array.dtype, array.shape) == (right[name].dtype, right[name].shape)
        assert array.tobytes() == right[name].tobytes()


def entry(dtype="F32", shape=(1,), offsets=(0, 4)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


def pack(header, data=b"", length=None):
    raw = header if isinstance(header, bytes) else header.encode()
    return (len(raw) if length is None else length).to_bytes(8, "little") + raw + data


def pack_json(data, **header):
    return pack(json.dumps(header), data)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "x.safetensors"


def litter(directory):
    return [file.name for file in directory.iterdir() if file.name.endswith(".tmp")]


# The library as oracle.


@EXAMPLES
@given(checkpoints, texts)
def test_files_of_the_library_are_read(tensors, metadata):
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "x")
        path.write_bytes(library.save(tensors, metadata or None))
        same(load(path), tensors)
        with open_checkpoint(path) as reader:
            assert list(reader.tensors) == sorted(tensors)
            assert reader.tensors == infos(tensors)
            assert reader.metadata == metadata
            assert reader.path == path
            for name, array in tensors.items():
                assert b"".join(reader.chunks(name)) == array.tobytes()


@EXAMPLES
@given(checkpoints, texts, st.randoms(use_true_random=False))
def test_files_are_those_of_the_library_whatever_the_order(tensors, metadata, shuffle):
    with tempfile.TemporaryDirectory() as directory:
        first, second = Path(directory, "1"), Path(directory, "2")
        save(first, tensors, metadata)
        order = shuffle.sample(list(tensors), len(tensors))
        texts = dict(reversed(metadata.items()))
        save(second, {name: tensors[name] for name in order}, texts)
        assert first.read_bytes() == second.read_bytes()
        same(library.load_file(first), tensors)
        with safetensors.safe_open(first, framework="np") as file:
            assert (file.metadata() or {}) == metadata
        if len(metadata) <= 1:  # the library stores more texts in random order
            assert first.read_bytes() == library.save(tensors, metadata or None)


@EXAMPLES
@given(st.data())
def test_rows_are_read_and_written_in_any_order(data):
    shape = data.draw(stn.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=6))
    array = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    cuts = data.draw(st.lists(st.integers(0, shape[0]), max_size=4))
    blocks = list(pairwise(sorted({0, *cuts, shape[0]})))
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "x")
        with adapter.open_writer(path, infos({"other": array, "x": array}), {}) as writer:
            writer.write("other", array)
            for start, stop in data.draw(st.permutations(blocks)):
                writer.write("x", array[start:stop], start)
            writer.commit()
        same(library.load_file(path), {"other": array, "x": array})
        with adapter.open_reader(path) as reader:
            for start, stop in [*blocks, (0, 0), (shape[0], shape[0])]:
                np.testing.assert_array_equal(reader.read("x", (start, stop)), array[start:stop])


def test_every_dtype_is_copied_byte_for_byte_with_its_metadata(tmp_path):
    rng = np.random.default_rng(0)
    header, data = {"__metadata__": {"b": '{"json": [1]}', "ü": "\u2028\x00"}}, b""
    for code, (_, bits) in reversed(safetensors_header._BITS.items()):
        piece = rng.bytes(bits)  # eight elements
        header[f"t.{code}"] = entry(code, (2, 4), (len(data), len(data) + bits))
        data += piece
    raw = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(pack(raw + b" " * (-len(raw) % 8), data))
    copy(source, target)
    assert target.read_bytes() == source.read_bytes()


def test_large_tensors_come_in_bounded_chunks(path):
    array = np.random.default_rng(0).integers(0, 255, 2**21 + 7, np.uint8)
    path.write_bytes(library.save({"x": array}))
    with adapter.open_reader(path) as reader:
        chunks = list(reader.chunks("x"))
    assert [len(chunk) for chunk in chunks] == [2**20, 2**20, 7]
    assert b"".join(chunks) == array.tobytes()


# Traps of the format and of NumPy.


VIEWS = {
    "transposed": lambda a: a.transpose(2, 0, 1),
    "fortran": np.asfortranarray,
    "strided": lambda a: a[::2, 1:],
    "reversed": lambda a: a[:, ::-1],
    "broadcast": lambda a: np.broadcast_to(a[:1], (3, *a.shape[1:])),
    "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
    "read-only": lambda a: np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape),
}


@pytest.mark.parametrize("dtype", [np.dtype("f4"), np.dtype("i8"), BF16], ids=str)
@pytest.mark.parametrize("view", VIEWS)
def test_any_memory_layout_is_written_in_c_order_little_endian(path, view, dtype):
    array = VIEWS[view](np.arange(60).reshape(3, 4, 5).astype(dtype))
    save(path, {"x": array})
    np.testing.assert_array_equal(library.load_file(path)["x"], array.astype(dtype))


def test_bfloat16_is_read_without_ml_dtypes_preloaded(path):
    save(path, {"half": np.arange(3).astype(BF16), "full": np.ones(2, np.float32)})
    code = """if True:
        import sys
        from pathlib import Path
        from reparam.file_formats import open_checkpoint
        with open_checkpoint(Path(sys.argv[1])) as reader:
            reader.read("full")
            assert "ml_dtypes" not in sys.modules
            array = reader.read("half")
        assert array.dtype.name == "bfloat16"
        assert array.astype(float).tolist() == [0, 1, 2]
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code, path], check=True, env=environment)


def float8(code, exponent_bits, bias):
    """Decode one byte as the OCP specification of 8-bit floating point has it."""
    mantissa_bits = 7 - exponent_bits
    exponent, mantissa = (code & 127) >> mantissa_bits, code & (2**mantissa_bits - 1)
    if exponent_bits == 4 and code & 127 == 127:
        return math.nan
    if exponent_bits == 5 and exponent == 31:
        return math.nan if mantissa else math.copysign(math.inf, 128 - code - 0.5)
    size = mantissa / 2**mantissa_bits + (exponent > 0)
    return math.copysign(size * 2.0 ** (max(exponent, 1) - bias), 127.5 - code)


@pytest.mark.parametrize(
    ("code", "dtype", "fields"),
    [("F8_E4M3", "float8_e4m3fn", (4, 7)), ("F8_E5M2", "float8_e5m2", (5, 15))],
)
def test_every_byte_of_a_float8_is_read_and_written(path, code, dtype, fields):
    raw = bytes(range(256))
    path.write_bytes(pack_json(raw, x=entry(code, (16, 16), (0, 256))))
    array = load(path)["x"]
    assert array.dtype.name == dtype
    expected = np.array([float8(byte, *fields) for byte in raw]).reshape(16, 16)
    np.testing.assert_array_equal(array.astype(np.float64), expected)
    assert (np.signbit(array.astype(np.float64)) == np.signbit(expected))[~np.isnan(expected)].all()
    with adapter.open_reader(path) as reader:
        assert reader.read("x", (3, 5)).tobytes() == raw[48:80]
    target = path.with_name("y.safetensors")
    save(target, {"x": array.T.copy().T})
    assert target.read_bytes()[-256:] == raw


def test_arrays_are_writable_native_and_not_shared(path):
    save(
        path, {"x": np.zeros((2, 3), np.float32), "scalar": np.array(1.5), "none": np.ones((0, 4))}
    )
    with adapter.open_reader(path) as reader:
        first, second = reader.read("x"), reader.read("x")
        first[:] = 1
        assert not second.any()
        assert first.dtype.isnative
        assert reader.read("scalar").shape == ()
        assert reader.read("none", (0, 0)).shape == (0, 4)


@pytest.mark.parametrize("code", ["BOOL", "C64", "F8_E4M3FNUZ", "F4", "F8_E8M0"])
def test_dtypes_without_arithmetic_are_not_read_but_listed(path, code):
    name, bits = safetensors_header._BITS[code]
    path.write_bytes(pack_json(bytes(bits), **{"odd\x1b": entry(code, (8,), (0, bits))}))
    with adapter.open_reader(path) as reader:
        assert reader.tensors["odd\x1b"].dtype == name
        with pytest.raises(CheckpointError, match=rf"'odd\\x1b' is {name}, expected one of"):
            reader.read("odd\x1b")


@pytest.mark.parametrize("rows", [(-1, 1), (2, 1), (0, 4), (4, 4)])
def test_rows_that_do_not_exist_are_refused(path, rows):
    save(path, {"x": np.zeros((3, 2)), "scalar": np.array(1.0)})
    with adapter.open_reader(path) as reader:
        for name in ("x", "scalar"):
            with pytest.raises(CheckpointError, match="has no rows"):
                reader.read(name, rows)
        with pytest.raises(CheckpointError, match="there is no tensor 'y'"):
            reader.read("y")


# Hostile files.


ONE = bytes(4)
DEEP = "[" * 100_000 + "]" * 100_000
F32 = json.dumps(entry())
MALFORMED = {
    "empty": b"",
    "seven-bytes": bytes(7),
    "zero-length": bytes(8),
    "length-beyond-end": pack("{}", length=3),
    "length-2^63": pack("{}", length=2**63),
    "length-2^64-1": pack("{}", length=2**64 - 1),
    "leading-space": pack(" {}"),
    "newline-padding": pack("{}\n"),
    "nul-padding": pack("{}\0"),
    "second-object": pack("{}{}"),
    "bom": pack("\ufeff{}"),
    "not-utf8": pack(b'{"\xff": 1}'),
    "utf8-surrogate": pack(b'{"\xed\xa0\x80": 1}'),
    "list": pack("[]"),
    "number": pack("1"),
    "unfinished": pack('{"x":'),
    "control-character": pack('{"\n":' + F32 + "}", ONE),
    "duplicate-tensor": pack(f'{{"x":{F32},"x":{F32}}}', ONE),
    "duplicate-escaped": pack(f'{{"x":{F32},"\\u0078":{F32}}}', ONE),
    "duplicate-member": pack('{"x":{"dtype":"F32",' + F32[1:] + "}", ONE),
    "duplicate-metadata": pack('{"__metadata__":{},"__metadata__":{}}'),
    "duplicate-metadata-key": pack('{"__metadata__":{"a":"1","a":"1"}}'),
    "unknown-member": pack_json(ONE, x={**entry(), "extra": 1}),
    "missing-member": pack_json(ONE, x={"dtype": "F32", "shape": [1]}),
    "entry-null": pack_json(ONE, x=None),
    "entry-list": pack_json(ONE, x=["F32", [1], [0, 4]]),
    "metadata-null": pack_json(b"", __metadata__=None),
    "metadata-number": pack_json(b"", __metadata__={"a": 1}),
    "metadata-nested": pack_json(b"", __metadata__={"a": {}}),
    "dtype-unknown": pack_json(ONE, x=entry("F31")),
    "dtype-lower-case": pack_json(ONE, x=entry("f32")),
    "dtype-list": pack_json(ONE, x=entry(["F32"])),
    "shape-true": pack_json(ONE, x=entry(shape=(True,))),
    "shape-float": pack_json(ONE, x=entry(shape=(1.0,))),
    "shape-negative": pack_json(ONE, x=entry(shape=(-1, -1))),
    "shape-minus-zero": pack(f'{{"x":{json.dumps(entry(offsets=(0, 0)))}}}'.replace("[1]", "[-0]")),
    "shape-text": pack_json(ONE, x={**entry(), "shape": "1"}),
    "shape-null": pack_json(ONE, x={**entry(), "shape": None}),
    "shape-product-overflow": pack_json(ONE, x=entry(shape=(2**32, 2**32, 1))),
    "rank-9": pack_json(ONE, x=entry(shape=(1,) * 9)),
    "axis-too-long": pack_json(b"", x=entry(shape=(0, 2**40 + 1), offsets=(0, 0))),
    "empty-but-endless": pack_json(b"", x=entry(shape=(0, 2**40, 2**40), offsets=(0, 0))),
    "offsets-three": pack_json(ONE, x=entry(offsets=(0, 4, 4))),
    "offsets-true": pack_json(b"\0", x=entry("U8", offsets=(0, True))),
    "offsets-reversed": pack_json(ONE, x=entry(offsets=(4, 0))),
    "offsets-negative": pack_json(ONE, x=entry(offsets=(-4, 0))),
    "offsets-too-far": pack_json(ONE, x=entry(offsets=(2**63, 2**63 + 4))),
    "hole-first": pack_json(bytes(8), x=entry(offsets=(4, 8))),
    "hole-between": pack_json(bytes(12), x=entry(), y=entry(offsets=(8, 12))),
    "overlap": pack_json(bytes(6), x=entry(), y=entry(offsets=(2, 6))),
    "shared": pack_json(ONE, x=entry(), y=entry("I32")),
    "trailing-byte": pack_json(bytes(5), x=entry()),
    "missing-byte": pack_json(bytes(3), x=entry()),
    "wrong-size": pack_json(bytes(8), x=entry(offsets=(0, 8))),
    "half-a-byte": pack_json(b"\0", x=entry("F4", (3,), (0, 1))),
    "nan": pack('{"x":NaN}'),
    "infinity": pack('{"__metadata__":-Infinity}'),
    "surrogate-in-name": pack('{"\\ud800":' + F32 + "}", ONE),
    "surrogate-in-key": pack('{"__metadata__":{"\\udc00":""}}'),
    "surrogate-in-text": pack('{"__metadata__":{"":"\\udc00\\ud800"}}'),
    "deep": pack('{"x":' + DEEP + "}"),
    "digits": pack('{"x":' + "1" * 5000 + "}"),
    "long-name": pack_json(b"", **{"\x1b" * 100_000: 1}),
    "pickle": b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.",
    "zip": b"PK\x03\x04" + bytes(40),
    "hdf5": b"\x89HDF\r\n\x1a\n" + bytes(40),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_files_are_refused_in_a_short_printable_message(path, case):
    path.write_bytes(MALFORMED[case])
    with pytest.raises(CheckpointError) as caught:
        adapter.open_reader(path)
    message = str(caught.value).removeprefix(str(path))
    assert message.isprintable()
    assert len(message) < 600
    with pytest.raises(CheckpointError):
        open_checkpoint(path)


@pytest.mark.parametrize("name", ["", "a\0b", "../../etc/passwd", "\u202e", "é", "e\u0301", "😀"])
def test_strange_names_are_only_names(path, name):
    path.write_bytes(pack_json(ONE, **{name: entry(), "__metadata__": {name: name}}))
    assert list(load(path)) == [name]


def test_caps_on_header_size_and_tensor_count(path, monkeypatch):
    path.write_bytes(pack("", length=safetensors_header.MAX_HEADER + 1))
    os.truncate(path, safetensors_header.MAX_HEADER + 100)  # sparse, so this is fast
    with pytest.raises(CheckpointError, match="the header has 33554433 bytes"):
        adapter.open_reader(path)
    save(path, dict.fromkeys("abc", np.ones(1)), overwrite=True)
    monkeypatch.setattr(safetensors_header, "MAX_TENSORS", 2)
    with pytest.raises(CheckpointError, match="saw 3 tensors, expected at most 2"):
        adapter.open_reader(path)


def small_file():
    tensors = {"a": np.arange(3, dtype="f4"), "b": np.ones((2, 1), "i8"), "é": np.array(1, BF16)}
    return library.save(tensors, {"key": "text, the part of a header that may change freely" * 3})


def test_every_truncation_is_refused(path):
    whole = small_file()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError):
            adapter.open_reader(path)
        with pytest.raises(CheckpointError):
            open_checkpoint(path)


def mutate(whole, rng):
    """Change some bytes; half of the time correct the header's length, to get past its check."""
    stop = 8 + int.from_bytes(whole[:8], "little")
    length, header, data = whole[:8], bytearray(whole[8:stop]), whole[stop:]
    for _ in range(rng.integers(1, 5)):
        at = rng.integers(len(header))
        match rng.integers(4):
            case 0:
                header[at] = rng.integers(256)
            case 1:
                header[at] = rng.choice(list(b'0123456789{}[]":,-.e \\uxy'))
            case 2:
                del header[at : at + rng.integers(1, 4)]
            case _:
                header[at:at] = header[at : at + rng.integers(1, 9)]
    if rng.random() < 0.5:
        length = len(header).to_bytes(8, "little")
    raw = bytearray(length + header + data)
    if rng.random() < 0.2:
        raw[rng.integers(len(raw))] ^= 1 << rng.integers(8)
    return bytes(raw)


def accepts(path, raw):
    """Whether the file is accepted; if so, it must say what the library says."""
    path.write_bytes(raw)
    try:
        reader = adapter.open_reader(path)
    except CheckpointError:
        return False
    with reader:
        ours = {
            name: (list(info.shape), b"".join(reader.chunks(name)))
            for name, info in reader.tensors.items()
        }
    theirs = dict(safetensors.deserialize(raw))
    assert ours == {name: (one["shape"], bytes(one["data"])) for name, one in theirs.items()}
    return True


def test_mutants_are_refused_or_read_as_the_library_reads_them(path):
    rng = np.random.default_rng(0)
    whole = small_file()
    accepted = sum(accepts(path, mutate(whole, rng)) for _ in range(3000))
    assert 100 < accepted < 1500


# Files that are not files, or change.


@contextmanager
def alarm(seconds=5):
    def late(*_):
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def test_a_fifo_neither_hangs_the_reader_nor_the_writer(path):
    os.mkfifo(path)
    with alarm():
        for call in (adapter.open_reader, open_checkpoint):
            with pytest.raises(CheckpointError, match="not a regular file"):
                call(path)
        with pytest.raises(CheckpointError, match="not a regular file"):
            save(path, {}, overwrite=True)
    assert stat.S_ISFIFO(path.stat().st_mode)


def test_a_directory_is_no_checkpoint(tmp_path):
    for call in (adapter.open_reader, open_checkpoint, lambda path: save(path, {}, overwrite=True)):
        with pytest.raises(CheckpointError, match="not a regular file"):
            call(tmp_path)


def test_text_is_not_taken_for_a_file_of_this_format():
    assert adapter.recognises(bytes([9, *bytes(7)]) + b"{", 17)
    assert not adapter.recognises(b"settings{", 9)


def test_what_concerns_keras_files_only_is_refused(path):
    library.save_file({"x": ROWS}, path)
    with pytest.raises(CheckpointError, match="Keras files only"):
        adapter.open_reader(path, Hints(input_size=(224, 224)))
    change = Rewrite(None, {}, Form(dialect="legacy"))
    with pytest.raises(CheckpointError, match="Keras files only"):
        adapter.open_writer(path.with_name("y"), {}, {}, rewrite=change)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
def test_constants_that_are_not_json_are_refused(word):
    with pytest.raises(CheckpointError, match=f"{word} is not JSON"):
        parse_object("x: header", f'{{"a": {word}}}'.encode(), "Fetch it again.")


def test_a_missing_file_keeps_its_error(path):
    with pytest.raises(FileNotFoundError):
        adapter.open_reader(path)


def test_a_file_truncated_while_open_is_refused(path):
    save(path, {"x": np.ones(10), "y": np.ones(10)})
    with adapter.open_reader(path) as reader:
        os.truncate(path, path.stat().st_size - 8)
        assert reader.read("x").sum() == 10
        for call in (reader.read, lambda name: list(reader.chunks(name))):
            with pytest.raises(CheckpointError, match="'y' ends early"):
                call("y")


def test_links_are_followed_for_input_and_output(tmp_path, path):
    link = tmp_path / "link"
    link.symlink_to(path)
    save(link, {"x": np.ones(1)})
    save(link, {"x": np.ones(2)}, overwrite=True)
    assert link.is_symlink()
    assert load(link)["x"].shape == load(path)["x"].shape == (2,)


# Writing.


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_a_new_file_has_the_mode_of_the_umask(path, umask, mode):
    before = os.umask(umask)
    try:
        save(path, {})
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == mode


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444])
def test_an_overwritten_file_keeps_its_mode(path, mode):
    path.write_bytes(b"old")
    path.chmod(mode)
    save(path, {}, overwrite=True)
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_an_existing_file_is_refused_before_anything_is_written(path):
    path.write_bytes(b"old")
    with pytest.raises(CheckpointError, match="exists already"):
        save(path, {})
    assert path.read_bytes() == b"old"
    assert not litter(path.parent)


@pytest.mark.parametrize("links", [True, False])
def test_a_file_that_appeared_meanwhile_survives(path, monkeypatch, links):
    if not links:  # as on FAT
        monkeypatch.setattr(os, "link", failing(errno.EPERM))
    with adapter.open_writer(path, {}, {}) as writer:
        path.write_bytes(b"theirs")
        with pytest.raises(CheckpointError, match="exists already"):
            writer.commit()
    assert path.read_bytes() == b"theirs"
    assert not litter(path.parent)


def test_file_systems_without_hard_links_will_do(path, monkeypatch):
    monkeypatch.setattr(os, "link", failing(errno.EPERM))
    save(path, {"x": np.ones(3)})
    assert load(path)["x"].sum() == 3
    assert not litter(path.parent)


def test_a_missing_directory_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"no directory .*nowhere\. Create it"):
        save(tmp_path / "nowhere" / "x", {})


def test_the_longest_file_name_will_do(tmp_path):
    save(tmp_path / ("é" * 127), {})


def test_the_temporary_file_can_be_read_before_commit(path):
    with adapter.open_writer(path, infos({"x": np.ones(3)}), {}) as writer:
        writer.write("x", np.ones(3))
        assert load(writer.temporary)["x"].sum() == 3
        assert not path.exists()
    assert not list(path.parent.iterdir())


ROWS = np.ones((4, 2), np.float32)
MISUSES = {
    "nothing written": lambda _: None,
    "a row missing": lambda w: w.write("x", ROWS[:3]),
    "a hole": lambda w: [w.write("x", ROWS[:1], 0), w.write("x", ROWS[:2], 2)],
    "twice": lambda w: [w.write("x", ROWS), w.write("x", ROWS)],
    "a row twice, one never": lambda w: [w.write("x", ROWS[:2]), w.write("x", ROWS[:2], 1)],
    "too few bytes": lambda w: w.write_chunks("x", iter([bytes(31)])),
    "too many bytes": lambda w: w.write_chunks("x", iter([bytes(31), bytes(2)])),
    "other dtype": lambda w: w.write("x", ROWS.astype(np.float64)),
    "other dtype of one size": lambda w: w.write("x", ROWS.view(np.int32)),
    "other width": lambda w: w.write("x", ROWS[:, :1]),
    "transposed": lambda w: w.write("x", ROWS.T),
    "a scalar": lambda w: w.write("x", ROWS[0, 0]),
    "rows beyond": lambda w: w.write("x", ROWS, 1),
    "negative start": lambda w: w.write("x", ROWS[:1], -1),
    "unknown name": lambda w: w.write("y", ROWS),
}


@pytest.mark.parametrize("misuse", MISUSES)
def test_an_incomplete_or_doubly_written_file_is_never_committed(path, misuse):
    def attempt():
        with adapter.open_writer(path, infos({"x": ROWS}), {}) as writer:
            MISUSES[misuse](writer)
            writer.commit()

    with pytest.raises(CheckpointError, match=r"tensor '[xy]'"):
        attempt()
    assert not list(path.parent.iterdir())


def test_chunks_never_reach_into_the_next_tensor(path):
    with adapter.open_writer(path, infos({"x": ROWS, "y": ROWS}), {}) as writer:
        writer.write("y", ROWS)
        with pytest.raises(CheckpointError, match="'x' has 32 bytes, saw more"):
            writer.write_chunks("x", iter([bytes(31), bytes(2)]))
        assert load(writer.temporary)["y"].all()


@pytest.mark.parametrize(
    ("tensors", "metadata"),
    [
        ({"x": TensorInfo((1,), "float31")}, {}),
        ({"x": TensorInfo((1,) * 9, "float32")}, {}),
        ({"x": TensorInfo((0, 2**41), "float32")}, {}),
        ({"x": TensorInfo((3,), "f4")}, {}),
        ({"\ud800": TensorInfo((1,), "float32")}, {}),
        ({"__metadata__": TensorInfo((1,), "float32")}, {}),
        ({}, {"key": "\udc80"}),
        ({}, {"key": 1}),
        ({}, {"key": " " * safetensors_header.MAX_HEADER}),
    ],
    ids=["dtype", "rank", "axis", "half-byte", "name", "reserved", "text", "number", "long"],
)
def test_what_could_not_be_read_again_is_not_written(path, tensors, metadata):
    with pytest.raises(CheckpointError):
        adapter.open_writer(path, tensors, metadata)
    assert not list(path.parent.iterdir())


def test_a_committed_writer_is_closed(path):
    with adapter.open_writer(path, infos({"x": ROWS}), {}) as writer:
        writer.write("x", ROWS)
        writer.commit()
        for call in (writer.commit, lambda: writer.write("x", ROWS)):
            with pytest.raises(CheckpointError, match="already committed or discarded"):
                call()
    np.testing.assert_array_equal(load(path)["x"], ROWS)


def test_the_library_can_veto_unless_it_is_too_old_for_a_dtype(tmp_path, path, monkeypatch):
    def veto(*_, **__):
        raise safetensors.SafetensorError("no")

    shorter = tmp_path / "shorter"
    save(shorter, {})
    with monkeypatch.context() as patch:
        opened = safetensors.safe_open
        patch.setattr(safetensors, "safe_open", lambda _, **options: opened(shorter, **options))
        with pytest.raises(CheckpointError, match="library sees 0 tensors, expected 1"):
            save(path, {"x": ROWS})
    shorter.unlink()
    monkeypatch.setattr(safetensors, "safe_open", veto)
    with pytest.raises(CheckpointError, match="the safetensors library does not open the result"):
        save(path, {"x": ROWS})
    assert not list(path.parent.iterdir())
    with adapter.open_writer(path, {"x": TensorInfo((2,), "float8_e8m0fnu")}, {}) as writer:
        writer.write_chunks("x", iter([b"ab"]))
        writer.commit()
    assert path.exists()


# Failing disks.


CALLS = ("write", "pwrite", "fchmod", "fsync", "link", "replace", "unlink")


def failing(code):
    def call(*_, **__):
        raise OSError(code, os.strerror(code))

    return call


@contextmanager
def fault(at, error, *, after):
    """Raise `error` before or after the `at`-th system call that changes a file."""
    calls = count()

    def wrap(call):
        def wrapped(*args, **options):
            hit = next(calls) == at
            if hit and not after:
                raise error
            result = call(*args, **options)
            if hit:
                raise error
            return result

        return wrapped

    with pytest.MonkeyPatch.context() as patch:
        for name in CALLS:
            patch.setattr(os, name, wrap(getattr(os, name)))
        yield calls


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(
    ("error", "after"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), False),
        (OSError(errno.EIO, "Input/output error"), False),
        (KeyboardInterrupt(), False),
        (KeyboardInterrupt(), True),
    ],
    ids=["full", "broken", "interrupted", "interrupted-after"],
)
def test_whatever_fails_leaves_the_old_file_or_the_new_one(path, overwrite, error, after):
    old = b"old" if overwrite else None
    tensors = {"x": ROWS, "y": np.arange(5)}
    save(path, tensors)
    new = path.read_bytes()
    outcomes = []
    for at in count():
        path.unlink(missing_ok=True)
        if old is not None:
            path.write_bytes(old)
        message = None
        with fault(at, error, after=after) as calls:
            try:
                save(path, tensors, overwrite=overwrite)
            except (CheckpointError, KeyboardInterrupt) as caught:
                message = str(caught)
            total = next(calls)
        content = path.read_bytes() if path.exists() else None
        assert content in (old, new)
        if message is None:
            assert content == new
        elif isinstance(error, OSError):
            assert content == old
            assert error.strerror in message
        if litter(path.parent):  # only if the removal itself was what failed
            assert content == new
            for name in litter(path.parent):
                (path.parent / name).unlink()
        outcomes.append((message is not None, content == new))
        if total <= at:
            break
    assert outcomes[0] == (True, False)
    assert outcomes[-1] == (False, True)
    assert len(outcomes) > 6


@pytest.mark.parametrize("start", [lambda path: adapter.open_writer(path, {}, {}), AtomicFile])
def test_an_exception_of_the_caller_leaves_nothing(path, start):
    def attempt():
        with start(path):
            assert len(litter(path.parent)) == 1
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        attempt()
    assert not list(path.parent.iterdir())


def test_a_directory_that_takes_no_files_is_named_with_the_reason(path, monkeypatch):
    monkeypatch.setattr(os, "open", failing(errno.EROFS))
    with pytest.raises(CheckpointError, match="cannot write: Read-only file system"):
        save(path, {})


def test_reads_and_writes_go_on_where_a_call_stopped(path, monkeypatch):
    monkeypatch.setattr(os, "pwrite", lambda *a, call=os.pwrite: call(a[0], a[1][:5], a[2]))
    save(path, {"x": ROWS})
    monkeypatch.setattr(os, "preadv", lambda *a, call=os.preadv: call(a[0], [a[1][0][:5]], a[2]))
    monkeypatch.setattr(os, "pread", lambda *a, call=os.pread: call(a[0], min(a[1], 9), a[2]))
    same(load(path), {"x": ROWS})
    with adapter.open_reader(path) as reader:
        assert b"".join(reader.chunks("x")) == ROWS.tobytes()


def test_a_tensor_larger_than_memory_is_refused(path, monkeypatch):
    def exhausted(*_):
        raise MemoryError

    save(path, {"x": ROWS})
    monkeypatch.setattr(np, "empty", exhausted)
    with adapter.open_reader(path) as reader, pytest.raises(CheckpointError, match="into memory"):
        reader.read("x")
