"""Running state dicts in models of PyTorch, in float64 on the CPU; torch is imported when asked to.

Loading is strict: a key that is missing or left over is refused.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from reparam.errors import RunError
from reparam_adapters.model_file import ModelFile, guarded
from reparam_adapters.run_outputs import flatten

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from reparam.checkpoint import Reader

DEFAULT_SHAPE = (1, 3, 64, 64)
FEW = 3


def open_runner(
    before: Reader, after: Reader, model: Path | None, input_size: tuple[int, ...] | None
) -> TorchRunner:
    """Import torch and read the user's file.

    Raises:
        RunError: torch is not installed, there is no file or it is of no use, or the checkpoints
            are no state dicts.
    """
    for reader in (before, after):
        if reader.layout != "torch":
            raise RunError(
                f"{reader.path}: the weights of a Keras model, which torch does not run. Choose "
                "--run keras."
            )
    if model is None:
        raise RunError(
            "a state dict does not say how its model computes. Give --model FILE.py, a Python file "
            "with a function train() that returns the model, and deploy() for AFTER."
        )
    try:
        torch = import_module("torch")
    except ImportError as error:
        raise RunError(
            f"--run torch needs PyTorch, which cannot be imported here ({error}). Install reparam "
            "where the model runs, or leave --run out: the weights are verified without it."
        ) from None
    return TorchRunner(torch, ModelFile(model), input_size)


class TorchRunner:
    """Two models, into which tensors are put and through which images are sent.

    Attributes:
        framework: Name and version.
        notes: What a user should know besides; nothing here.
        shapes: Shapes of the inputs.
    """

    def __init__(self, torch: Any, file: ModelFile, input_size: tuple[int, ...] | None) -> None:
        self._torch, self._file = torch, file
        self._models: dict[str, Any] = {}
        self.framework = f"torch {torch.__version__}"
        self.notes: tuple[str, ...] = ()
        shapes = file.shapes or [DEFAULT_SHAPE]
        if input_size is not None:
            if any(len(shape) != 2 + len(input_size) for shape in shapes):
                raise RunError(
                    f"{file.path}: --input-size has {len(input_size)} axes, the inputs have shapes "
                    f"{shapes}. Leave it out, or correct `shape`."
                )
            shapes = [(*shape[:2], *input_size) for shape in shapes]
        self.shapes = shapes

    def outputs(
        self, form: str, tensors: Mapping[str, NDArray[Any]], images: Sequence[NDArray[Any]]
    ) -> dict[str, NDArray[Any]]:
        """Put tensors into the train or the deploy model and run it.

        Args:
            form: `train` or `deploy`.
            tensors: The whole state dict; floats are float64.
            images: The inputs.

        Returns:
            Every output under a name that says where it lies in what the model returns.

        Raises:
            RunError: The model cannot be built, its keys or shapes are others, it raises, or it
                does not compute in float64.
        """
        torch, name = self._torch, f"{self._file.path}: {form}()"
        if form not in self._models:
            self._models[form] = self._build(form, name)
        model = self._models[form]
        self._load(model, tensors, name)
        inputs = [torch.from_numpy(np.ascontiguousarray(image)) for image in images]
        shapes = " and ".join(str(tuple(x.shape)) for x in inputs)
        with guarded(f"{name} on an input of {shapes}", self._file.path), torch.no_grad():
            result = model(*inputs)
        return flatten(result, name, self._array)

    def _build(self, form: str, name: str) -> Any:
        model = self._file.build(form)
        if not isinstance(model, self._torch.nn.Module):
            raise RunError(f"{name} returned a {type(model).__name__}, expected a torch.nn.Module.")
        with guarded(name, self._file.path):
            return model.to("cpu").double().eval()

    def _load(self, model: Any, tensors: Mapping[str, NDArray[Any]], name: str) -> None:
        torch = self._torch
        own: dict[str, Any] = model.state_dict()
        with guarded(name):
            state = {k: torch.from_numpy(np.array(v)) for k, v in tensors.items()}
        extra = [k for k in state if k not in own]
        wrong = [
            f"{k} {list(v.shape)}, the model's is {list(own[k].shape)}"
            for k, v in state.items()
            if k in own and own[k].shape != v.shape
        ]
        missing: list[str] = []
        if not wrong:
            with guarded(name):
                keys = model.load_state_dict(state, strict=False)
            # a tensor that the model has under two names need be in the file once
            loaded = {own[k].data_ptr() for k in state if k in own}
            missing = [k for k in keys.missing_keys if own[k].data_ptr() not in loaded]
        found = (
            ("lacks", missing),
            ("holds, unknown to the model,", extra),
            ("has other shapes:", wrong),
        )
        problems = [f"it {what} {_some(names)}" for what, names in found if names]
        if problems:
            raise RunError(
                f"{name}: the state dict does not load: {'; '.join(problems)}. The model has to be "
                "the one the file belongs to."
            )

    def _array(self, value: Any) -> NDArray[Any] | None:
        if not isinstance(value, self._torch.Tensor):
            return None
        if value.is_complex():
            value = self._torch.view_as_real(value)
        array: NDArray[Any] = value.detach().numpy()
        return array


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - FEW} more" if len(names) > FEW else ""
    return ", ".join(sorted(names)[:FEW]) + more
