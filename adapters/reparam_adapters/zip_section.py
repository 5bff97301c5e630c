"""Members of a zip archive, such as a `.keras` file; a stored one is read in place."""

from __future__ import annotations

import io
import os
import re
import shutil
import stat
import struct
import tempfile
import zipfile
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from reparam.errors import CheckpointError
from reparam_adapters.strict_json import shown

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path
    from typing import Self

MAX_MEMBERS, MAX_TEXT = 10_000, 2**28
MAX_RATIO = 1100  # deflate reaches about 1030
_HEADER = struct.Struct("<4s22xHH")
_OUTSIDE = re.compile(r"[/\\]|[A-Za-z]:|(.*[/\\])?\.\.([/\\]|$)", re.DOTALL)


class Archive:
    """An open zip archive; every method refuses what is wrong with a `CheckpointError`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # O_NONBLOCK: opening a FIFO must not wait for a writer that never comes.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise CheckpointError(f"{path}: not a regular file. Name a checkpoint file.")
        with ExitStack() as stack:
            self._file = stack.enter_context(io.FileIO(handle, "rb"))
            with self._guard("the archive"):
                self._zip = zipfile.ZipFile(cast("BinaryIO", self._file))
            self.members = self._checked_names()
            stack.pop_all()

    def info(self, name: str) -> zipfile.ZipInfo:
        """Return what the archive's directory says about a member, or refuse its absence."""
        if name not in self._zip.NameToInfo:
            raise self._refusal(name, "there is no such member")
        return self._zip.getinfo(name)

    def text(self, name: str) -> bytes:
        """Return a whole member of at most 256 MiB; `CheckpointError` if it is damaged."""
        info = self._checked(name)
        if info.file_size > MAX_TEXT:
            raise self._refusal(name, f"{info.file_size} bytes, expected at most {MAX_TEXT}")
        with self._guard(f"member {shown(name)}"):
            return self._zip.read(info)

    def open(self, name: str) -> BinaryIO:
        """Return a member as a seekable file, usable until the archive is closed.

        The checksum of a stored member is not checked: it may be read in any order or in part.
        """
        info = self._checked(name)
        with ExitStack() as stack, self._guard(f"member {shown(name)}"):
            if info.compress_type == zipfile.ZIP_STORED:
                return cast("BinaryIO", io.BufferedReader(_Window(self._file, info)))
            unpacked = stack.enter_context(tempfile.TemporaryFile())
            with self._zip.open(info) as packed:
                shutil.copyfileobj(packed, unpacked, 2**20)
            unpacked.seek(0)
            stack.pop_all()
            return cast("BinaryIO", unpacked)

    def close(self) -> None:
        """Release the file."""
        self._zip.close()
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _checked_names(self) -> tuple[str, ...]:
        names: dict[str, None] = {}
        for info in self._zip.infolist():
            name = info.orig_filename  # zipfile cuts `filename` at a NUL
            if name in names or info.filename != name or _OUTSIDE.match(name):
                raise self._refusal(name, "twice in the archive, or outside of it")
            if info.flag_bits & 1 or len(names) == MAX_MEMBERS:
                raise self._refusal(name, f"encrypted, or one of more than {MAX_MEMBERS} members")
            names[name] = None
        return tuple(names)

    def _checked(self, name: str) -> zipfile.ZipInfo:
        info = self.info(name)
        if info.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
            raise self._refusal(name, f"compression method {info.compress_type}, expected deflate")
        if info.file_size > MAX_RATIO * info.compress_size + 2**20:
            raise self._refusal(name, f"{info.file_size} bytes packed into {info.compress_size}")
        return info

    def _refusal(self, name: str, saw: str) -> CheckpointError:
        what = f"member {shown(name)}: {saw}"
        return CheckpointError(f"{self._path}: {what}. Save the model again with Keras.")

    @contextmanager
    def _guard(self, what: str) -> Generator[None]:
        try:
            yield
        except Exception as error:  # noqa: BLE001  # nearly anything
            saw, advice = shown(str(error)), "It is damaged or truncated: fetch it again."
            raise CheckpointError(f"{self._path}: {what}: {saw}. {advice}") from None


class _Window(io.RawIOBase):
    """The bytes of a stored member, with a position of its own."""

    def __init__(self, file: io.FileIO, info: zipfile.ZipInfo) -> None:
        head = os.pread(file.fileno(), _HEADER.size, info.header_offset)
        magic, name, extra = _HEADER.unpack(head)
        self._file, self._size, self._at = file, info.file_size, 0
        self._start = info.header_offset + _HEADER.size + name + extra
        end = self._start + self._size
        if (
            magic != b"PK\3\4"
            or info.compress_size != self._size
            or end > os.fstat(file.fileno()).st_size
        ):
            raise zipfile.BadZipFile("its header is damaged, or the file truncated")

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)[: max(self._size - self._at, 0)]
        count = os.preadv(self._file.fileno(), [view], self._start + self._at)
        self._at += count
        return count

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = max(offset + (0, self._at, self._size)[whence], 0)
        return self._at
