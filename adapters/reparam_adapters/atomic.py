"""A file that appears under its name complete or not at all.

Everything goes into a temporary file beside the target. `commit` flushes it to the disk and renames
it; whatever ends earlier (an exception, a full disk, a kill) leaves the target as it was.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from reparam.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)

_NAME_SHARE = 50
"""Characters of the target's name in the temporary one: 4 bytes each, names end at 255 bytes."""


class AtomicFile:
    """A new file, written under a temporary name until `commit`.

    Use it in a `with` block: leaving the block without `commit` removes the temporary file.

    Args:
        path: The target. A symbolic link is followed, so the file it names is what changes.
        overwrite: Whether the target may exist already; its permissions are then kept.

    Raises:
        CheckpointError: The target exists and `overwrite` is false, it is not a regular file, its
            directory is missing, or the temporary file cannot be created.
    """

    def __init__(self, path: Path, *, overwrite: bool = False) -> None:
        self._path = path
        self._overwrite = overwrite
        self._target = Path(os.path.realpath(path))
        self._old_mode = self._check_target()
        # A file about to replace a private one stays private until it has that one's mode. A new
        # one gets what the umask leaves, as from any other program: temporary files of the tempfile
        # module would stay at 0600.
        mode = 0o666 if self._old_mode is None else 0o600
        name = f".{self._target.name[:_NAME_SHARE]}.{os.urandom(8).hex()}.tmp"
        self._temporary = self._target.parent / name
        try:
            self._handle: int | None = os.open(self._temporary, _CREATE, mode)
        except OSError as error:
            raise self._failure(error) from error

    @property
    def temporary(self) -> Path:
        """Where the bytes are until `commit`; may be opened again to verify them."""
        return self._temporary

    def write_at(self, offset: int, data: bytes | memoryview) -> None:
        """Write all of `data` at `offset`; on failure the temporary file is removed.

        Raises:
            CheckpointError: The file is closed already, or the operating system refuses.
        """
        handle = self._opened()
        rest = memoryview(data)
        try:
            while rest:  # one call may write less: 2 GiB at most on Linux
                count = os.pwrite(handle, rest, offset)
                offset += count
                rest = rest[count:]
        except OSError as error:
            self.discard()
            raise self._failure(error) from error

    def commit(self, check: Callable[[Path], None] | None = None) -> None:
        """Flush the file and give it its name; on any failure remove it.

        Args:
            check: Called with the flushed, closed temporary file; what it raises stops the commit.

        Raises:
            CheckpointError: The operating system refuses, or a file appeared at the target
                meanwhile and `overwrite` is false.
        """
        handle = self._opened()
        try:
            if self._old_mode is not None:
                os.fchmod(handle, self._old_mode)
            os.fsync(handle)
            self._handle = None
            os.close(handle)
            if check is not None:
                check(self._temporary)
            self._rename()
        except OSError as error:
            self.discard()
            raise self._failure(error) from error
        except BaseException:
            self.discard()
            raise
        # The file is whole and has its name. If only the directory cannot be flushed (some file
        # systems know no such thing), a power cut may bring back the old state, never half a file.
        with suppress(OSError):
            _flush_directory(self._target.parent)

    def discard(self) -> None:
        """Remove the temporary file; after `commit` or a second time this does nothing."""
        handle, self._handle = self._handle, None
        if handle is not None:
            with suppress(OSError):
                os.close(handle)
        with suppress(OSError):
            self._temporary.unlink()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.discard()

    def _check_target(self) -> int | None:
        """Return the permissions of the file to be replaced, or None if there is none."""
        try:
            # Not the exception of stat: a missing directory and a missing file look alike there.
            if not self._target.parent.is_dir():
                raise CheckpointError(
                    f"{self._path}: there is no directory {self._target.parent}. "
                    "Create it, or choose another output path."
                )
            status = self._target.stat()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._failure(error) from error
        if not stat.S_ISREG(status.st_mode):
            raise CheckpointError(
                f"{self._path}: the output exists and is not a regular file. "
                "Name a file to be written."
            )
        if not self._overwrite:
            raise self._exists()
        return stat.S_IMODE(status.st_mode) & 0o777

    def _rename(self) -> None:
        if self._overwrite:
            self._temporary.replace(self._target)
            return
        try:
            # Unlike a rename, a link never takes the place of a file that appeared meanwhile.
            self._target.hardlink_to(self._temporary)
        except FileExistsError:
            raise self._exists() from None
        except OSError:  # a file system without hard links, such as FAT
            if os.path.lexists(self._target):
                raise self._exists() from None
            self._temporary.replace(self._target)
        else:
            with suppress(OSError):
                self._temporary.unlink()

    def _opened(self) -> int:
        if self._handle is None:
            raise CheckpointError(
                f"{self._path}: the output is already committed or discarded. Open it anew."
            )
        return self._handle

    def _exists(self) -> CheckpointError:
        return CheckpointError(
            f"{self._path}: the output exists already. "
            "Choose another path, or ask for it to be replaced (overwrite=True, --overwrite)."
        )

    def _failure(self, error: OSError) -> CheckpointError:
        return CheckpointError(
            f"{self._path}: cannot write: {error.strerror or error}. The output path is as it was. "
            "Check free space and permissions of its directory, or choose another."
        )


def _flush_directory(directory: Path) -> None:
    """Make a rename survive a power cut."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
