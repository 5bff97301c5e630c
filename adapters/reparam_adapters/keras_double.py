"""A copy of a Keras file whose numbers and layers are float64, for stock Keras to load.

So other values get into a model without guessing which of its variables a name stands for: the
framework's own loader decides.
"""

from __future__ import annotations

import json
import re
import shutil
import zipfile
from contextlib import ExitStack
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from reparam.errors import CheckpointError
from reparam.layouts import to_keras
from reparam_adapters.keras_json import is_list, is_object
from reparam_adapters.keras_sources import CONFIG, WEIGHTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from reparam_adapters.keras_reader import KerasReader

_FLOAT = re.compile(r"(?:mixed_)?b?float\d+")

_NAMES = {
    "model": "model.h5",
    "legacy": "weights.h5",
    "v3": "model.weights.h5",
    "archive": "model.keras",
}
"""What to call a file of each kind, since Keras goes by the name; an index keeps its own."""


def double_config(text: bytes) -> str:
    """Return a model's config with float64 for every float dtype that a layer states."""
    config: Any = json.loads(text)
    _double(config)
    return json.dumps(config)


def _double(node: Any) -> None:
    if is_object(node):
        for key, value in node.items():
            if key == "dtype" or (key == "name" and "Policy" in str(node.get("class_name"))):
                node[key] = _dtype(value)
            _double(node[key])
        if "Policy" in str(node.get("class_name")) and is_object(node.get("config")):
            inner = cast("dict[str, Any]", node["config"])
            inner["name"] = _dtype(inner.get("name"))
    elif is_list(node):
        for item in node:
            _double(item)


def _dtype(value: Any) -> Any:
    return "float64" if isinstance(value, str) and _FLOAT.fullmatch(value) else value


def double_file(reader: KerasReader, tensors: Mapping[str, NDArray[Any]], folder: Path) -> Path:
    """Write a file of the reader's kind, and its config if it holds one, into an empty folder.

    Args:
        reader: The open file.
        tensors: Values in PyTorch's axes for every float of it.
        folder: Where to write.

    Returns:
        The file to be loaded.
    """
    source, path = reader.source, folder / _NAMES.get(reader.source.kind, reader.path.name)
    match source.kind:
        case "archive":
            with zipfile.ZipFile(reader.path) as archive:
                archive.extractall(folder)
            weights = [folder / WEIGHTS]
        case "shards":
            shutil.copy(reader.path, path)
            table: dict[str, Any] = json.loads(path.read_bytes())["weight_map"]
            names = {n for v in table.values() for n in (v if is_list(v) else [v])}
            weights = [folder / cast("str", name) for name in sorted(names)]
            for shard in weights:
                shutil.copy(reader.path.with_name(shard.name), shard)
        case _:
            shutil.copy(reader.path, path)
            weights = [path]
    config = None if source.config is None else double_config(source.config)
    _fill(reader, tensors, weights, config if source.kind == "model" else None)
    if source.kind == "archive":
        (folder / CONFIG).write_text(cast("str", config), encoding="utf-8")
        with zipfile.ZipFile(path, "w") as packed:
            for name in zipfile.ZipFile(reader.path).namelist():
                packed.write(folder / name, name)
    return path


def _fill(
    reader: KerasReader,
    tensors: Mapping[str, NDArray[Any]],
    weights: Sequence[Path],
    config: str | None,
) -> None:
    """Replace the datasets of the copies."""
    h5py: Any = import_module("h5py")
    with ExitStack() as stack:
        files = [stack.enter_context(h5py.File(path, "r+")) for path in weights]
        for place, values in stored_values(reader, tensors):
            held = [file for file in files if place in file]
            if len(held) != 1:
                raise CheckpointError(f"{reader.path}: {place} is in {len(held)} of its files.")
            del held[0][place]
            held[0].create_dataset(place, data=values)
        if config is not None:
            files[0].attrs["model_config"] = config


def stored_values(
    reader: KerasReader, tensors: Mapping[str, NDArray[Any]]
) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield the place of every float of a file, with its value in Keras' axes."""
    for name, stored in reader.named.items():
        if "float" in stored.data.dtype:
            values = to_keras(stored.kind, tensors[name], stored.data.shape)
            yield stored.data.path, values.reshape(stored.data.shape)
