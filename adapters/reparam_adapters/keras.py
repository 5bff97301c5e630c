"""Keras and TensorFlow checkpoints: HDF5 in its dialects, `.keras` archives, sharded weights.

The kind of a file is told by its content. Neither Keras nor TensorFlow is needed, and no object is
ever built from a config.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reparam.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from reparam.checkpoint import Hints, Rewrite, TensorInfo
    from reparam_adapters.keras_reader import KerasReader
    from reparam_adapters.keras_writer import KerasWriter

_HDF5 = b"\x89HDF\r\n\x1a\n"
_MEMBERS = (b"metadata.json", b"config.json", b"model.weights.h5")


def recognises(head: bytes, size: int) -> bool:
    """Whether a file that begins so is meant as one of Keras'; it may still be malformed."""
    del size
    if head.startswith(b"PK\x03\x04"):  # the name of the first member follows the local header
        return head[30:].startswith(_MEMBERS)
    return head.startswith(_HDF5) or (head.lstrip().startswith(b"{") and b".weights.h5" in head)


def open_reader(path: Path, hints: Hints | None = None) -> KerasReader:
    """Open a file for reading.

    Raises:
        CheckpointError: It is not well formed, or contradicts the hints.
        OSError: It is missing or may not be read.
    """
    from reparam_adapters.keras_reader import KerasReader  # noqa: PLC0415  asking is cheap

    return KerasReader(path, hints)


def open_writer(
    path: Path,
    tensors: Mapping[str, TensorInfo],
    metadata: Mapping[str, str],
    *,
    rewrite: Rewrite | None = None,
    overwrite: bool = False,
) -> KerasWriter:
    """Start a file of the kind of the source, which will appear at `path` on `commit`.

    Raises:
        CheckpointError: The target exists and `overwrite` is false, or is not a regular file; there
            is no source; or the form asked for is not possible.
    """
    del metadata  # Keras files have none
    if rewrite is None:
        raise CheckpointError(
            f"{path}: a Keras file can only be made of another, whose layers and config it keeps."
        )
    from reparam_adapters.keras_writer import KerasWriter  # noqa: PLC0415  readers need it not

    return KerasWriter(path, tensors, rewrite, overwrite=overwrite)
