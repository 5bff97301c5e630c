"""Writing a changed Keras file of the same kind as its source."""

from __future__ import annotations

import json
import zipfile
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from reparam.checkpoint import Hints, config_beside
from reparam.errors import CheckpointError
from reparam.layouts import to_keras
from reparam_adapters.atomic import AtomicFile
from reparam_adapters.hdf5_output import Hdf5Output
from reparam_adapters.keras_config import parse_config
from reparam_adapters.keras_convert import legacy_from_tree
from reparam_adapters.keras_legacy import LegacyStore
from reparam_adapters.keras_legacy_layout import legacy_layout
from reparam_adapters.keras_order import frozen_layers, layer_ranks
from reparam_adapters.keras_reader import KerasReader
from reparam_adapters.keras_rewrite import choose_edits, dropped_layers, rewrite
from reparam_adapters.keras_sources import CONFIG, WEIGHTS
from reparam_adapters.keras_store import Change
from reparam_adapters.keras_target import for_keras3, unknown_operators
from reparam_adapters.keras_v3_layout import v3_layout
from reparam_adapters.zip_section import Archive

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from numpy.typing import NDArray

    from reparam.checkpoint import Form, Rewrite, TensorInfo
    from reparam_adapters.keras_store import Item, Layout

_TRAINING = "training_config"
FLOATS = ("float64", "float32", "float16", "bfloat16")


class KerasWriter:
    """A Keras file being written; see `reparam.checkpoint.Writer`."""

    def __init__(
        self,
        path: Path,
        tensors: Mapping[str, TensorInfo],
        change: Rewrite,
        *,
        overwrite: bool,
    ) -> None:
        source = change.source
        if not isinstance(source, KerasReader):
            raise CheckpointError(f"{path}: a Keras file is made of a Keras file only.")
        self._path, self._source, self._tensors = path, source, tensors
        self._notes: list[str] = []
        _check_form(path, source, change.form)
        edits = (
            []
            if source.model is None
            else choose_edits(source.edits, change.made, tensors, str(source.path))
        )
        _check_dtypes(path, source, tensors)
        before, frozen = layer_ranks(source.model), frozen_layers(source.model)
        dropped = dropped_layers(edits)
        if source.config is not None and source.model is not None:
            rewrite(source.config, edits, tensors)
            if change.form.target == "keras3":
                for_keras3(source.config, source.model)
        self._change = _change(
            source, tensors, change.made, dropped=dropped, before=before, frozen=frozen
        )
        layout = self._layout(change.form)
        self._config = None if source.config is None else json.dumps(source.config)
        if source.source.kind == "model":
            self._add_root(layout)
        self._items = {item.tensor: item for item in layout.items}
        self._homes = sorted({item.path.rpartition("/")[0] for item in layout.items})
        self._parts: dict[str, list[tuple[int, NDArray[Any]]]] = {}
        self._left = set(tensors)
        self._files: list[AtomicFile] = []
        self._inner: Path | None = None
        self._overwrite = overwrite
        try:
            self._start(layout, legacy=change.form.dialect == "legacy")
        except BaseException:
            self._discard()
            raise

    def write(self, name: str, rows: NDArray[Any], start: int = 0) -> None:
        """Store consecutive rows (axis 0) of one tensor, in PyTorch's axes.

        Rows lie scattered over a tensor of Keras, so they are kept until it is whole.
        """
        parts = self._parts.setdefault(name, [])
        parts.append((start, rows.copy()))
        if sum(len(p) for _, p in parts) == self._tensors[name].shape[0]:
            whole = np.concatenate([p for _, p in sorted(parts, key=lambda p: p[0])])
            del self._parts[name]
            self._put(name, whole)

    def write_chunks(self, name: str, chunks: Iterator[bytes]) -> None:
        """Take a tensor of the source over as it lies; the bytes are not asked for."""
        del chunks
        if self._output.waits_for(name):
            self._put(name, self._source.read(name))
        self._left.discard(name)

    def commit(self) -> tuple[str, ...]:
        """Close the file, read it back and compare it, and give it its name.

        Raises:
            CheckpointError: A tensor is incomplete, something reads back differently, or the
                operating system refuses.
        """
        if self._left:
            raise CheckpointError(
                f"{self._path}: {min(self._left)!r} was never written. Nothing was stored. Report "
                "this as a bug."
            )
        self._output.close()
        self._output.compare()
        if self._inner is not None:
            self._pack()
        elif self._indexed:
            self._write_index()
        for file in self._files[:-1]:
            file.commit()
        self._files[-1].commit(self._check)
        return tuple(self._notes)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._discard()

    def _layout(self, form: Form) -> Layout:
        source = self._source
        if isinstance(source.store, LegacyStore):
            base = "model_weights" if source.source.kind == "model" else ""
            return legacy_layout(source.store, source.named, self._change, base)
        if form.dialect == "legacy":
            homes = source.store.homes.items()
            lists = {p for p, g in homes if p and "vars" not in g.groups and not g.datasets}
            layout = legacy_from_tree(
                source.named, self._change, source.model, lists=lists, where=str(source.path)
            )
            order = ", ".join(cast("list[str]", layout.groups[""]["layer_names"]))
            self._notes.append(f"layers in the order in which Keras will load them: {order}")
            return layout
        return v3_layout(source.store, source.named, self._change)

    def _add_root(self, layout: Layout) -> None:
        root = self._source.source.root
        assert root is not None
        top: dict[str, object] = {k: v for k, v in root.attributes.items() if k != _TRAINING}
        layout.groups[""] = top | {"model_config": self._config}
        known = {"model_weights", "optimizer_weights"}
        odd = sorted({*root.groups, *root.datasets} - known)
        if odd:
            self._notes.append(f"not copied, as Keras knows nothing of it: {', '.join(odd)}")

    def _start(self, layout: Layout, *, legacy: bool) -> None:
        """Create the files: the one with the target's name last, as its rename is the commit."""
        kind = self._source.source.kind
        target = self._path
        beside = self._source.source.config is None and self._config is not None
        if beside:
            config = config_beside(target)
            given = self._source.given_config
            if given is not None and config.exists() and config.samefile(given):
                raise CheckpointError(
                    f"{config}: the config of the deploy form would replace the one that was "
                    "given. Choose another output name."
                )
            self._open(config).write_at(0, cast("str", self._config).encode())
            self._notes.append(f"wrote the config of the deploy form: {config}")
        self._indexed = kind == "shards" and not legacy
        if self._indexed:
            if not target.name.endswith(".weights.json"):
                raise CheckpointError(
                    f"{target}: an index of shards has to be called something.weights.json. "
                    "Choose such a name, or --dialect legacy."
                )
            hdf5 = self._open(self._shard).temporary
            self._notes.append(f"wrote all weights to one shard: {self._shard}")
            self._open(target)
        elif kind == "archive":
            if target.suffix != ".keras":
                self._notes.append(f"{target.name} is a zip: Keras loads it under a .keras name")
            packed = self._open(target).temporary
            hdf5 = self._inner = packed.with_name(packed.name + ".h5")
        else:
            if target.suffix == ".keras" and self._source.path.suffix != ".keras":
                self._notes.append(f"{target.name} is HDF5: Keras loads it under an .h5 name")
            hdf5 = self._open(target).temporary
        dtypes = {name: info.dtype for name, info in self._tensors.items()}
        old = kind in ("model", "legacy") or legacy
        self._output = Hdf5Output(hdf5, layout, dtypes, str(target), text_as_bytes=old)

    @property
    def _shard(self) -> Path:
        """The one shard that an index refers to."""
        stem = self._path.name.removesuffix(".weights.json")
        return self._path.with_name(f"{stem}_00000.weights.h5")

    def _open(self, path: Path) -> AtomicFile:
        file = AtomicFile(path, overwrite=self._overwrite)
        self._files.append(file)
        return file

    def _put(self, name: str, values: NDArray[Any]) -> None:
        item: Item = self._items[name]
        self._output.put(name, to_keras(item.kind, values, item.shape))
        self._left.discard(name)

    def _pack(self) -> None:
        """Put config and weights into a zip like the source's, nothing compressed."""
        archive = self._source.source.archive
        assert archive is not None
        assert self._inner is not None
        temporary = self._files[-1].temporary
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED, allowZip64=True) as packed:
            for name in archive.members:
                info = zipfile.ZipInfo(name, archive.info(name).date_time)
                info.external_attr = archive.info(name).external_attr
                if name == WEIGHTS:
                    info.file_size = self._inner.stat().st_size
                    with packed.open(info, "w") as out, self._inner.open("rb") as weights:
                        while piece := weights.read(1 << 20):
                            out.write(piece)
                elif name == CONFIG and self._config is not None:
                    packed.writestr(info, self._config)
                else:
                    with packed.open(info, "w") as out, archive.open(name) as member:
                        while piece := member.read(1 << 20):
                            out.write(piece)
        self._inner.unlink()

    def _write_index(self) -> None:
        """Write which shard holds which object: the one that there is."""
        size = sum(info.nbytes for info in self._tensors.values() if info.dtype in FLOATS)
        index = {
            "metadata": {"total_size": size},
            "weight_map": {f"/{group}": self._shard.name for group in self._homes},
        }
        self._files[-1].write_at(0, json.dumps(index, indent=4).encode())

    def _check(self, temporary: Path) -> None:
        """Let the reader have the last word on the finished file."""
        kind = self._source.source.kind
        if kind == "archive":
            with Archive(temporary) as archive:
                for name in archive.members:
                    if name != WEIGHTS:
                        archive.text(name)
        if kind in ("model", "archive"):
            with KerasReader(temporary, Hints()) as again:
                if dict(again.tensors) != dict(self._tensors):
                    raise CheckpointError(
                        f"{self._path}: the result reads back with other tensors. Nothing was "
                        "stored. Report this as a bug."
                    )
        elif self._config is not None:
            parse_config(self._config, str(self._path))

    def _discard(self) -> None:
        with suppress(AttributeError):
            self._output.close()
        if self._inner is not None:
            with suppress(OSError):
                self._inner.unlink()
        for file in self._files:
            file.discard()


def _check_dtypes(path: Path, source: KerasReader, tensors: Mapping[str, TensorInfo]) -> None:
    """Refuse a dtype that Keras, or the Keras of such files, would not load again."""
    held = {i.dtype for i in source.tensors.values()}
    fresh = {i.dtype for n, i in tensors.items() if source.tensors.get(n, i).dtype != i.dtype}
    fresh |= {i.dtype for i in tensors.values()} - held  # a result may have a name of its own
    if strange := sorted(fresh.difference(FLOATS, held)):
        raise CheckpointError(
            f"{path}: Keras files do not hold {strange[0]}, expected one of {', '.join(FLOATS)}."
        )
    if "bfloat16" in fresh and source.source.kind in ("model", "legacy"):
        raise CheckpointError(
            f"{path}: this kind of HDF5 cannot say that numbers are bfloat16, and Keras would not "
            "load it. Choose --dtype float16, or keep the dtype."
        )


def _change(
    source: KerasReader,
    tensors: Mapping[str, TensorInfo],
    made: Mapping[str, tuple[str, ...]],
    *,
    dropped: frozenset[str],
    before: Mapping[str, int],
    frozen: set[str],
) -> Change:
    touched = {*made, *(layer for layers in made.values() for layer in layers)}
    return Change(
        gone=frozenset(source.tensors.keys() - tensors.keys()),
        made={n: i.shape for n, i in tensors.items() if n.rpartition(".")[0] in touched},
        beside={
            new: layers[0] for new, layers in made.items() if f"{new}.weight" not in source.tensors
        },
        dropped=dropped,
        before=before,
        after=layer_ranks(source.model),
        frozen=frozen,
    )


def _check_form(path: Path, source: KerasReader, form: Form) -> None:
    kind = source.source.kind
    if form.dialect == "legacy" and kind in ("model", "archive"):
        raise CheckpointError(
            f"{path}: --dialect legacy is for files that hold weights only; {source.path} holds a "
            "config too and keeps its kind. Leave the option out."
        )
    if form.target == "keras3" and kind != "model":
        raise CheckpointError(
            f"{path}: --target keras3 is for models in HDF5 (.h5); {source.path} is none. Leave "
            "the option out."
        )
    if form.target == "keras3" and source.model is not None:
        operators = unknown_operators(source.model)
        if operators:
            raise CheckpointError(
                f"{path}: Keras 3 has no layer for the operator {operators[0]!r} of TensorFlow. "
                "Build the model with layers instead, or leave --target out."
            )
        odd = [name for name in source.model.layers if "/" in name]
        if odd:
            raise CheckpointError(
                f"{path}: Keras 3 loads no layer with a slash in its name, such as {odd[0]!r}. "
                "Rename it in Keras 2 (layer._name) and save again, or leave --target out."
            )
