"""Members of zip archives: read in place, and refused when they are not what they seem."""

from __future__ import annotations

import os
import struct
import tempfile
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reparam.errors import CheckpointError
from reparam_adapters import zip_section
from reparam_adapters.zip_section import Archive

DATA = bytes(range(256)) * 40


def pack(path, members, method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return path


@pytest.fixture
def path(tmp_path):
    return tmp_path / "x.keras"


METHODS = pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])


@METHODS
def test_members_are_read(path, method):
    pack(path, [("a.json", b"{}"), ("assets/", b""), ("assets/b", DATA), ("empty", b"")], method)
    with Archive(path) as archive:
        assert archive.members == ("a.json", "assets/", "assets/b", "empty")
        assert archive.text("a.json") == b"{}"
        assert archive.info("assets/b").file_size == len(DATA)
        with archive.open("empty") as member:
            assert member.read() == b""
        with archive.open("assets/b") as member, archive.open("assets/b") as other:
            assert member.read() == DATA
            assert member.read(1) == b""
            assert member.seek(-10, os.SEEK_END) == len(DATA) - 10 == member.tell()
            assert member.read(100) == DATA[-10:]
            assert (member.seek(5), member.seek(7, os.SEEK_CUR)) == (5, 12)
            assert other.tell() == 0
            assert member.read(3) == DATA[12:15]
            assert member.seek(len(DATA) + 5) == len(DATA) + 5
            assert member.read(3) == b""


@METHODS
def test_h5py_opens_a_member(path, tmp_path, method):
    array = np.arange(1000, dtype=np.float32)
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file["layers/vars/0"] = array
    pack(path, [("other", b"x"), ("model.weights.h5", (tmp_path / "w.h5").read_bytes())], method)
    with (
        Archive(path) as archive,
        archive.open("model.weights.h5") as member,
        h5py.File(member, "r") as file,
    ):
        np.testing.assert_array_equal(file["layers/vars/0"], array)


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "\\x", "C:/x", "..", "../x", "a/../b", "a/..", "a\\..\\b"]
)
def test_names_outside_are_refused(path, name):
    with pytest.raises(CheckpointError, match="outside"):
        Archive(pack(path, [("ok", b""), (name, b"")]))


def test_extra_fields_lie_between_the_name_and_the_bytes(path):
    member = zipfile.ZipInfo("model.weights.h5")
    member.extra = struct.pack("<HH4x", 0x7875, 4)  # as Unix tools note the owner
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(member, DATA)
    with Archive(path) as archive, archive.open("model.weights.h5") as stored:
        assert stored.read() == DATA


def test_dots_inside_a_name_are_fine(path):
    with Archive(pack(path, [("a..b/..c", b"x")])) as archive:
        assert archive.text("a..b/..c") == b"x"


def test_duplicates_are_refused(path):
    with pytest.warns(UserWarning, match="Duplicate"):
        pack(path, [("config.json", b"1"), ("config.json", b"2")])
    with pytest.raises(CheckpointError, match="twice"):
        Archive(path)


def test_names_cut_at_a_nul_are_refused(path):
    pack(path, [("config.json", b"1"), ("config.jsonXevil", b"2")])
    path.write_bytes(path.read_bytes().replace(b"jsonX", b"json\0"))
    with pytest.raises(CheckpointError, match="twice"):
        Archive(path)


def test_many_members_are_refused(path, monkeypatch):
    monkeypatch.setattr(zip_section, "MAX_MEMBERS", 2)
    Archive(pack(path, [("a", b""), ("b", b"")])).close()
    with pytest.raises(CheckpointError, match="more than 2 members"):
        Archive(pack(path, [("a", b""), ("b", b""), ("c", b"")]))


def central(raw):
    return raw.index(b"PK\1\2")


def edit(path, offset, data):
    """Change the central directory's entry of the only member."""
    raw = bytearray(path.read_bytes())
    start = central(raw) + offset
    raw[start : start + len(data)] = data
    path.write_bytes(raw)


def test_encrypted_members_are_refused(path):
    pack(path, [("a", DATA)])
    edit(path, 8, b"\1")
    with pytest.raises(CheckpointError, match="encrypted"):
        Archive(path)


def test_other_compression_is_refused(path):
    with (
        Archive(pack(path, [("a", DATA)], zipfile.ZIP_BZIP2)) as archive,
        pytest.raises(CheckpointError, match="method 12"),
    ):
        archive.open("a")


def test_bombs_are_refused(path):
    pack(path, [("a", DATA)], zipfile.ZIP_DEFLATED)
    edit(path, 24, struct.pack("<I", 2**31))
    with Archive(path) as archive:
        for read in (archive.open, archive.text):
            with pytest.raises(CheckpointError, match="2147483648 bytes packed into"):
                read("a")


def test_texts_are_bounded(path, monkeypatch):
    monkeypatch.setattr(zip_section, "MAX_TEXT", 5)
    with Archive(pack(path, [("a", b"12345"), ("b", b"123456")])) as archive:
        assert archive.text("a") == b"12345"
        with pytest.raises(CheckpointError, match="expected at most 5"):
            archive.text("b")


@METHODS
def test_a_wrong_checksum_is_refused(path, method):
    pack(path, [("a", DATA)], method)
    edit(path, 16, b"\0\1\2\3")
    with Archive(path) as archive:
        with pytest.raises(CheckpointError, match="CRC"):
            archive.text("a")
        if method == zipfile.ZIP_DEFLATED:
            with pytest.raises(CheckpointError, match="CRC"):
                archive.open("a")


def test_a_stored_member_lies_inside_the_file(path):
    pack(path, [("a", DATA)])
    edit(path, 20, struct.pack("<II", 2**20, 2**20))
    with Archive(path) as archive, pytest.raises(CheckpointError, match="damaged"):
        archive.open("a")
    edit(path, 20, struct.pack("<II", 10, 20))
    with Archive(path) as archive, pytest.raises(CheckpointError, match="damaged"):
        archive.open("a")


def test_missing_members_are_named(path):
    with Archive(pack(path, [("a", b"")])) as archive:
        for read in (archive.open, archive.text, archive.info):
            with pytest.raises(CheckpointError, match="'b': there is no such member"):
                read("b")


def test_no_regular_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        Archive(tmp_path / "none")
    with pytest.raises(CheckpointError, match="not a regular file"):
        Archive(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CheckpointError, match="not a regular file"):
        Archive(tmp_path / "pipe")


def test_no_zip(path):
    for data in (b"", b"PK\3\4", b"\x89HDF\r\n\x1a\n" + DATA):
        path.write_bytes(data)
        with pytest.raises(CheckpointError, match="fetch it again"):
            Archive(path)


@settings(max_examples=200, deadline=None)
@given(st.data(), st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))
def test_damage_is_refused_or_read(data, method):
    with tempfile.TemporaryDirectory() as directory:
        path = pack(Path(directory, "x"), [("a", b"123" * 20), ("b", DATA[:300])], method)
        raw = bytearray(path.read_bytes())
        if data.draw(st.booleans()):
            del raw[data.draw(st.integers(0, len(raw) - 1)) :]
        else:
            for _ in range(data.draw(st.integers(1, 4))):
                raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
        path.write_bytes(raw)
        try:
            with Archive(path) as archive:
                for name in archive.members:
                    archive.text(name)
                    with archive.open(name) as member:
                        member.read()
        except CheckpointError as error:
            assert str(error).startswith(str(path))  # noqa: PT017  no error is fine, too
