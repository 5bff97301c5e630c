"""Which adapter reads and writes a file: decided by its content, never by its suffix."""

from __future__ import annotations

import os
import stat
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from reparam.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from reparam.checkpoint import Hints, Reader, Rewrite, TensorInfo, Writer

SNIFFED_BYTES = 4096
"""How many leading bytes an adapter sees when asked whether a file is its own."""

_TORCH = "Save the state dict with safetensors.torch.save_file in the environment that made it."

_TENSORFLOW = "Load it in TensorFlow and save the weights with model.save_weights('x.weights.h5')."

_BUILT_IN = {
    "safetensors": "reparam_adapters.safetensors",
    "keras": "reparam_adapters.keras",
}

_NOT_HERE = (
    (b"PK\x03\x04", "a zip archive (a PyTorch .pt/.pth file?)", _TORCH),
    (b"\x80", "a pickle (an old PyTorch .pth file)", _TORCH),
    (
        b"{",
        "JSON text (an index of shards, perhaps)",
        "Name the shards' .safetensors files one by one.",
    ),
)


class Format(Protocol):
    """The module-level functions an adapter module provides."""

    def recognises(self, head: bytes, size: int) -> bool:
        """Whether a file of `size` bytes that begins with `head` is of this format."""
        ...

    def open_reader(self, path: Path, hints: Hints | None = None) -> Reader:
        """Open a file for reading.

        Raises:
            CheckpointError: It is not well formed, or has no use for the hints.
        """
        ...

    def open_writer(
        self,
        path: Path,
        tensors: Mapping[str, TensorInfo],
        metadata: Mapping[str, str],
        *,
        rewrite: Rewrite | None = None,
        overwrite: bool = False,
    ) -> Writer:
        """Start a file that will appear at `path` on `commit`.

        Raises:
            CheckpointError: The target exists and `overwrite` is false, is not a regular file, or
                cannot have the form asked for.
        """
        ...


def find_format(path: Path) -> Format:
    """Return the adapter whose format the file at `path` has, decided by its first bytes.

    Raises:
        CheckpointError: No adapter knows the content, or it is not a regular file.
        OSError: The file is missing or may not be read.
    """
    _refuse_tensorflow(path)
    # O_NONBLOCK: opening a FIFO must not wait for a writer that never comes.
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise CheckpointError(f"{path}: not a regular file. Name a checkpoint file.")
        head = os.read(handle, SNIFFED_BYTES)
    finally:
        os.close(handle)
    for module in _BUILT_IN.values():
        adapter: Any = import_module(module)
        if adapter.recognises(head, status.st_size):
            return adapter  # type: ignore[no-any-return]
    return _installed_format(path, head, status.st_size)


def open_checkpoint(path: Path, hints: Hints | None = None) -> Reader:
    """Open a checkpoint of any known format for reading.

    Args:
        path: The file.
        hints: What the user adds to it.

    Raises:
        CheckpointError: The file is of no known format or not well formed.
        OSError: The file is missing or may not be read.
    """
    return find_format(path).open_reader(path, hints)


def _installed_format(path: Path, head: bytes, size: int) -> Format:
    """Ask the adapters that other packages register; imported late because it costs 80 ms."""
    from importlib.metadata import entry_points  # noqa: PLC0415

    for entry in entry_points(group="reparam.formats"):
        if entry.name not in _BUILT_IN:
            adapter: Any = entry.load()
            if adapter.recognises(head, size):
                return adapter  # type: ignore[no-any-return]
    unknown = b"", "unknown content", "Is it empty, truncated, or of another program?"
    _, seen, advice = next((n for n in _NOT_HERE if head.startswith(n[0])), unknown)
    raise CheckpointError(f"{path}: expected a safetensors or Keras file, saw {seen}. {advice}")


def _refuse_tensorflow(path: Path) -> None:
    """Refuse what TensorFlow saves without Keras' own formats, by name."""
    if path.is_dir() and (path / "saved_model.pb").is_file():
        raise CheckpointError(f"{path}: a TensorFlow SavedModel, not a Keras file. {_TENSORFLOW}")
    stem = path.name.removesuffix(".index").partition(".data-")[0]
    if (
        stem
        and path.with_name(stem + ".index").is_file()
        and any(name.startswith(stem + ".data-") for name in os.listdir(path.parent))  # noqa: PTH208  names are enough
    ):
        raise CheckpointError(f"{path}: a TensorFlow checkpoint, not a Keras file. {_TENSORFLOW}")
