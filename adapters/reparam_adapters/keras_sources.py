"""Which kind of Keras file a file is, told by its content, and its parts."""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from reparam.errors import CheckpointError
from reparam_adapters.hdf5_tree import is_hdf5, open_tree
from reparam_adapters.keras_json import is_list, is_object
from reparam_adapters.keras_v3 import CONTAINERS
from reparam_adapters.strict_json import shown
from reparam_adapters.zip_section import Archive

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reparam_adapters.hdf5_tree import Dataset, Group, Tree
    from reparam_adapters.keras_v3 import Node

Kind = Literal["model", "legacy", "v3", "archive", "shards"]

CONFIG, WEIGHTS = "config.json", "model.weights.h5"

_OLD = "Load it in Keras 2 (TensorFlow 2.15 or older) and save it again with model.save('x.h5')."


@dataclass(slots=True)
class Source:
    """An open file.

    Attributes:
        kind: `model` and `legacy` are HDF5 with lists of names, with and without a config; `v3` is
            a `.weights.h5` tree, `archive` a `.keras` zip, `shards` a `.weights.json` index.
        base: The group that holds the weights.
        config: The text of the model's config, where the file holds one.
        root: The root of an HDF5 file.
        archive: The open zip.
        stack: What has to be closed.
    """

    kind: Kind
    base: Group | Merged
    config: bytes | None
    root: Group | None = None
    archive: Archive | None = None
    stack: ExitStack = field(default_factory=ExitStack)


class Merged:
    """Groups of several shards read as one."""

    def __init__(self, parts: tuple[Node, ...]) -> None:
        self.parts = parts
        self._groups: dict[str, Node] | None = None

    @property
    def path(self) -> str:
        """Its place in every shard."""
        return self.parts[0].path

    @property
    def attributes(self) -> Mapping[str, Any]:
        """Those of all shards."""
        return {k: v for part in self.parts for k, v in part.attributes.items()}

    @property
    def groups(self) -> Mapping[str, Node]:
        """The groups of all shards, always the same objects."""
        if self._groups is None:
            names = sorted({name for part in self.parts for name in part.groups})
            self._groups = {
                n: Merged(tuple(p.groups[n] for p in self.parts if n in p.groups)) for n in names
            }
        return self._groups

    @property
    def datasets(self) -> Mapping[str, Dataset]:
        """The datasets of all shards; shards of one model never share one."""
        return {k: v for part in self.parts for k, v in part.datasets.items()}


def open_source(path: Path) -> Source:
    """Open a Keras file of any kind.

    Raises:
        CheckpointError: It is none that can be read, or not well formed.
        OSError: It is missing or may not be read.
    """
    with ExitStack() as stack:
        with path.open("rb") as file:
            head = file.read(16)
        if is_hdf5(head):
            source = _open_hdf5(path, stack)
        elif head.startswith(b"PK"):
            source = _open_archive(path, stack)
        else:
            source = _open_shards(path, stack)
        source.stack = stack.pop_all()
    return source


def _open_hdf5(path: Path, stack: ExitStack) -> Source:
    root = stack.enter_context(open_tree(path, str(path))).root
    attributes = root.attributes
    if "model_config" in attributes:
        base = root.groups.get("model_weights")
        if base is None:
            raise CheckpointError(
                f"{path}: has a model_config but no group model_weights. Saving it ended early: "
                "save it again."
            )
        _check_age(path, root, base)
        config = attributes["model_config"]
        return Source("model", base, str(config).encode(), root)
    if root.names("layer_names") is not None:
        _check_age(path, root, root)
        return Source("legacy", root, None, root)
    if "nb_layers" in attributes:
        raise CheckpointError(f"{path}: a Keras 1 file. {_OLD}")
    tree = {"vars", *CONTAINERS} & {*root.groups}
    if not tree and not any("vars" in g.groups for g in root.groups.values()):
        raise CheckpointError(
            f"{path}: an HDF5 file, but no Keras checkpoint: saw neither model_config nor "
            f"layer_names nor vars, but {shown([*root.groups, *root.datasets][:6])}. Name a file "
            "that model.save or model.save_weights wrote."
        )
    return Source("v3", root, None, root)


def _check_age(path: Path, root: Group, base: Group) -> None:
    """Refuse files of Keras 1, and kernels of Theano, which are stored flipped."""
    version = root.attributes.get("keras_version") or base.attributes.get("keras_version")
    if version is None or str(version).startswith("1."):
        raise CheckpointError(
            f"{path}: a Keras 1 file (keras_version {shown(version)}), expected 2 or later. {_OLD}"
        )
    backend = root.attributes.get("backend") or base.attributes.get("backend")
    if backend == "theano":
        raise CheckpointError(
            f"{path}: written with the Theano backend, whose kernels are flipped. Load it in Keras "
            "2 with the TensorFlow backend, convert the kernels and save it again."
        )


def _open_archive(path: Path, stack: ExitStack) -> Source:
    archive = stack.enter_context(Archive(path))
    missing = [name for name in (CONFIG, WEIGHTS) if name not in archive.members]
    if missing:
        raise CheckpointError(
            f"{path}: a zip archive without {missing[0]!r}, expected a .keras file. Save the model "
            "with model.save('x.keras') in one piece, not in shards."
        )
    weights = stack.enter_context(archive.open(WEIGHTS))
    tree = stack.enter_context(open_tree(weights, f"{path}: {WEIGHTS}"))
    return Source("archive", tree.root, archive.text(CONFIG), tree.root, archive)


def _open_shard(index: Path, name: str) -> Tree:
    try:
        return open_tree(index.with_name(name), f"{index}: {shown(name)}")
    except (OSError, ValueError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(
            f"{index}: the shard {shown(name)} cannot be opened: {error}. All shards have to lie "
            "beside the index."
        ) from error


def _open_shards(path: Path, stack: ExitStack) -> Source:
    try:
        index: Any = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: not valid JSON: {error}. Save it again.") from None
    table: Any = index.get("weight_map") if is_object(index) else None
    if not is_object(table):
        raise CheckpointError(f"{path}: no weight_map, expected an index of Keras shards.")
    names: dict[str, None] = {}
    for value in table.values():
        for name in value if is_list(value) else [value]:
            if not isinstance(name, str) or Path(name).name != name or name in ("", ".", ".."):
                raise CheckpointError(
                    f"{path}: the shard {shown(name)} is no plain file name. Save it again."
                )
            names[name] = None
    if not names:
        raise CheckpointError(f"{path}: weight_map names no shards. Save it again.")
    roots = [stack.enter_context(_open_shard(path, name)).root for name in names]
    return Source("shards", Merged(tuple(roots)), None)
