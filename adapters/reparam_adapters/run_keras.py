"""Running Keras files in Keras 3 or Keras 2, in float64; neither is imported until asked for.

Files that hold their model are loaded by the stock loader. Weights alone are loaded into what
`--config` or the user's file describes.
"""

from __future__ import annotations

import os
import warnings
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from reparam.errors import RunError
from reparam_adapters.keras_double import double_config, double_file, stored_values
from reparam_adapters.keras_reader import KerasReader
from reparam_adapters.model_file import ModelFile, guarded
from reparam_adapters.run_outputs import flatten

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from numpy.typing import NDArray

    from reparam.checkpoint import Reader

DEFAULT_SHAPE = (1, 64, 64, 3)
DEFAULT_SIZE = 64
SHOWN = 300
"""Characters of what a Keras that cannot load a file says about it."""

ENVIRONMENT = {"TF_CPP_MIN_LOG_LEVEL": "3", "JAX_ENABLE_X64": "1"}
"""Read when the frameworks are imported: no chatter, and float64 in JAX too."""


def open_runner(
    before: Reader, after: Reader, model: Path | None, input_size: tuple[int, ...] | None
) -> KerasRunner:
    """Load both files in the first Keras that can.

    Raises:
        RunError: No Keras is installed or none can load the files, or a model is missing.
    """
    readers: dict[str, KerasReader] = {}
    for form, reader in (("train", before), ("deploy", after)):
        if not isinstance(reader, KerasReader):
            raise RunError(
                f"{reader.path}: not a Keras file, which is all that Keras loads. Choose --run "
                "torch for a state dict of PyTorch."
            )
        if reader.config is None and model is None:
            raise RunError(
                f"{reader.path}: holds weights without their model. Give --model FILE.py, a Python "
                "file with a function train() that returns the model, and deploy() for AFTER; or "
                "--config, if it is a Functional or Sequential one."
            )
        readers[form] = reader
    problems: list[str] = []
    for name in ("keras", "tf_keras"):
        try:
            k = _imported(name)
        except ImportError as error:
            problems.append(f"{name} cannot be imported ({error})")
            continue
        framework = f"{name} {k.__version__}"
        try:
            runner = KerasRunner(k, framework, readers, model, input_size)
        except RunError as error:
            problems.append(f"{framework}: {str(error)[:SHOWN]}")
            continue
        runner.notes = tuple(f"not run by {problem}" for problem in problems)
        return runner
    raise RunError(
        f"--run keras: no Keras here runs these files. {'; '.join(problems)}. Install the one that "
        "wrote them, or leave --run out: the weights are verified without it."
    )


def _imported(name: str) -> Any:
    for key, value in ENVIRONMENT.items():
        os.environ.setdefault(key, value)
    with guarded(f"importing {name}"):
        try:
            return import_module(name)
        except ImportError as error:
            missing = error
    raise missing


class KerasRunner:
    """Two models, into which weights are loaded from files and through which images are sent.

    Attributes:
        framework: Name and version.
        notes: Why it is this one.
        shapes: Shapes of the inputs.
    """

    def __init__(
        self,
        k: Any,
        framework: str,
        readers: Mapping[str, KerasReader],
        model: Path | None,
        input_size: tuple[int, ...] | None,
    ) -> None:
        self._k, self._readers = k, readers
        self.framework = framework
        self.notes: tuple[str, ...] = ()
        with _double(k):
            # also read if both files hold their models: it may register layers
            self._file = None if model is None else ModelFile(model)
            self._models: dict[str, Any] = {}
            shapes = self._file.shapes if self._file is not None else None
            self.shapes: list[tuple[int, ...]] = shapes or [DEFAULT_SHAPE]
            if shapes and input_size is not None:
                if any(len(shape) != 2 + len(input_size) for shape in shapes):
                    raise RunError(
                        f"{model}: --input-size has {len(input_size)} axes, the inputs have shapes "
                        f"{shapes}. Leave it out, or correct `shape`."
                    )
                self.shapes = [(s[0], *input_size, s[-1]) for s in shapes]
            elif input_size is not None:
                self.shapes = [(1, *input_size, 3)]
            for form in ("train", "deploy"):
                self._models[form] = self._build(form)
            if not shapes and hasattr(self._models["train"], "inputs"):
                known: Any = self._models["train"].inputs
                self.shapes = [_filled(x.shape, input_size) for x in known or ()] or self.shapes

    def outputs(
        self, form: str, tensors: Mapping[str, NDArray[Any]], images: Sequence[NDArray[Any]]
    ) -> dict[str, NDArray[Any]]:
        """Load tensors into the train or the deploy model and run it.

        Args:
            form: `train` or `deploy`.
            tensors: All of the file's, floats in float64, in PyTorch's axes.
            images: The inputs.

        Returns:
            Every output under a name that says where it lies in what the model returns.

        Raises:
            RunError: The weights do not load, the model raises, or it does not compute in float64.
        """
        reader, model = self._readers[form], self._models[form]
        with _double(self._k):
            with TemporaryDirectory() as folder:
                path = double_file(reader, tensors, Path(folder))
                with guarded(f"{reader.path}: {self.framework}, loading the weights"):
                    model.load_weights(str(path))
            self._check(form, tensors)
            return flatten(self._call(model, images, reader), str(reader.path), self._array)

    def _build(self, form: str) -> Any:
        """Return the model of a file, by its own config or by the user's Python."""
        reader = self._readers[form]
        what = f"{reader.path}: {self.framework}, loading the model"
        if reader.config is None:
            assert self._file is not None
            model = self._file.build(form)
            if not isinstance(model, self._k.Model):
                raise RunError(
                    f"{self._file.path}: {form}() returned a {type(model).__name__}, expected a "
                    f"{self._k.__name__}.Model."
                )
            # variables of a subclassed model are made when it is first called
            self._call(model, [np.zeros(s) for s in self.shapes], reader)
            return model
        if reader.source.config is None:
            assert reader.given_config is not None
            config = double_config(reader.given_config.read_bytes())
            with guarded(what):
                return self._k.models.model_from_json(config)
        with TemporaryDirectory() as folder:
            values = {n: reader.read(n) for n in reader.tensors}
            wide = {n: v.astype(np.float64) for n, v in values.items() if v.dtype.kind not in "biu"}
            path = double_file(reader, wide, Path(folder))
            with guarded(what):
                return self._k.models.load_model(str(path), compile=False)

    def _call(self, model: Any, images: Sequence[NDArray[Any]], reader: KerasReader) -> Any:
        shapes = " and ".join(str(image.shape) for image in images)
        path = None if self._file is None else self._file.path
        with guarded(f"{reader.path}: the model on an input of {shapes}", path):
            return model(images[0] if len(images) == 1 else list(images), training=False)

    def _check(self, form: str, tensors: Mapping[str, NDArray[Any]]) -> None:
        """Refuse a model that did not take every number of the file, or has others besides."""
        reader = self._readers[form]
        wanted = {(v.shape, v.tobytes()): place for place, v in stored_values(reader, tensors)}
        weights = [(w.name, np.asarray(w)) for w in self._models[form].weights]
        held = {(v.shape, v.tobytes()): n for n, v in weights if v.dtype.kind not in "biu"}
        left = [wanted[key] for key in wanted.keys() - held.keys()]
        odd = [held[key] for key in held.keys() - wanted.keys()]
        if left or odd:
            first = f"{min(left)} of the file" if left else f"{min(odd)} of the model"
            raise RunError(
                f"{reader.path}: {self.framework} loaded the file, but {first} has no counterpart. "
                "The model has to be the one the file belongs to, with all its layers in float64."
            )

    def _array(self, value: Any) -> NDArray[Any] | None:
        if isinstance(value, np.ndarray):
            return cast("NDArray[Any]", value)
        if not (hasattr(value, "shape") and hasattr(value, "dtype")):
            return None
        ops = getattr(self._k, "ops", None)
        array: NDArray[Any] = ops.convert_to_numpy(value) if ops else np.asarray(value)
        return array


@contextmanager
def _double(k: Any) -> Generator[None]:
    """Let layers that are made within compute in float64, on the CPU."""
    new = hasattr(k, "config")
    get, put = (
        (k.config.dtype_policy, k.config.set_dtype_policy)
        if new
        else (k.mixed_precision.global_policy, k.mixed_precision.set_global_policy)
    )
    policy, floats = get(), k.backend.floatx()
    put("float64")
    k.backend.set_floatx("float64")
    device = k.device("cpu:0") if new else import_module("tensorflow").device("CPU:0")
    try:
        with device, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the age and the inputs of files, to all users
            yield
    finally:
        put(policy)
        k.backend.set_floatx(floats)


def _filled(shape: Any, input_size: tuple[int, ...] | None) -> tuple[int, ...]:
    """Return an input's shape with numbers for the axes that the model leaves open."""
    _, *axes = shape
    left = iter(input_size or ())
    return (1, *(n or next(left, DEFAULT_SIZE) for n in axes))
