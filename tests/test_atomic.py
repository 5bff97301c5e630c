"""The temporary file behind every output, as far as no format is needed to see it."""

from __future__ import annotations

import os
import stat

import pytest

from reparam.errors import CheckpointError
from reparam_adapters.atomic import AtomicFile


@pytest.fixture
def path(tmp_path):
    return tmp_path / "x"


def test_what_will_replace_a_private_file_is_private_from_the_start(path):
    path.write_bytes(b"old")
    path.chmod(0o600)
    with AtomicFile(path, overwrite=True) as file:
        assert stat.S_IMODE(file.temporary.stat().st_mode) == 0o600


def test_an_existing_file_is_refused_before_there_is_a_temporary_one(path):
    path.write_bytes(b"old")
    with pytest.raises(CheckpointError, match="exists already"):
        AtomicFile(path)
    assert [entry.name for entry in path.parent.iterdir()] == ["x"]


def test_the_bytes_are_on_the_disk_before_the_name_is(path, monkeypatch):
    flushed, seen = os.fsync, []

    def spy(handle):
        seen.append((stat.S_ISDIR(os.fstat(handle).st_mode), path.exists()))
        flushed(handle)

    monkeypatch.setattr(os, "fsync", spy)
    with AtomicFile(path) as file:
        file.write_at(0, b"new")
        file.commit()
    assert seen == [(False, False), (True, True)]  # the file, then the directory


def test_a_second_discard_does_not_close_what_somebody_else_has_opened(path):
    file = AtomicFile(path)
    file.discard()
    others = [os.open(os.devnull, os.O_RDONLY) for _ in range(8)]
    file.discard()
    for handle in others:
        os.close(handle)  # fails if it is closed already
