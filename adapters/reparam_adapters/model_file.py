"""The user's Python file that builds the models of `verify --run`, and what may go wrong in it.

def train(): ...    # the train form, its weights of no meaning
def deploy(): ...   # the deploy form; left out, it is the train form, as for neutral norms
shape = (1, 3, 64, 64)  # of the input, batch included; a list of shapes for several inputs
"""

from __future__ import annotations

import sys
import traceback
from contextlib import contextmanager, redirect_stdout
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

from reparam.errors import ReparamError, RunError

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

LONGEST = 500
"""Characters of a framework's message that are shown."""


class ModelFile:
    """A loaded file.

    Attributes:
        path: The file.
        shapes: Shapes of the inputs, if it states any.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._module = _load(path)
        self.shapes = _shapes(path, getattr(self._module, "shape", None))

    def build(self, form: str) -> Any:
        """Return a new model: what `train()` or `deploy()` gives.

        Raises:
            RunError: There is no such function, or it raises.
        """
        make = getattr(self._module, form, None)
        if form == "deploy" and make is None:
            form, make = "train", getattr(self._module, "train", None)
        if not callable(make):
            raise RunError(
                f"{self.path}: no function {form}(). Define train(), which returns the model that "
                "BEFORE belongs to, and deploy() for AFTER."
            )
        with guarded(f"{self.path}: {form}()", self.path):
            model = make()
        if model is None:
            raise RunError(f"{self.path}: {form}() returned nothing, expected a model.")
        return model


@contextmanager
def guarded(what: str, path: Path | None = None) -> Generator[None]:
    """Turn whatever other people's code raises into a `RunError`; what it prints goes to stderr.

    Args:
        what: Begins the message.
        path: The user's file, whose line is named, and beside which modules are found.
    """
    beside = [] if path is None else [str(path.resolve().parent)]
    sys.path[:0] = beside
    try:
        with redirect_stdout(sys.stderr):
            yield
    except (ReparamError, MemoryError):
        raise
    except (Exception, SystemExit) as error:
        lines = [
            frame.lineno
            for frame in traceback.extract_tb(error.__traceback__)
            if path is not None and frame.filename == str(path)
        ]
        where = f" (line {lines[-1]})" if lines else ""
        raise RunError(f"{what} raised {described(error)}{where}") from error
    finally:
        for folder in beside:
            sys.path.remove(folder)


def described(error: BaseException) -> str:
    """Return kind and text of an error, cut short."""
    text = " ".join(str(error).split())
    short = text[:LONGEST] + (" …" if len(text) > LONGEST else "")
    return f"{type(error).__name__}: {short}" if short else type(error).__name__


def _load(path: Path) -> Any:
    """Run the file as a module of its own."""
    try:
        source = path.read_bytes()
    except OSError as error:
        raise RunError(
            f"{path}: {error.strerror}, expected a Python file that defines train()."
        ) from None
    module = ModuleType("reparam_model_file")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # dataclasses look their module up
    with guarded(str(path), path):
        exec(compile(source, str(path), "exec"), module.__dict__)  # noqa: S102  the user asks for it
    return module


def _shapes(path: Path, given: Any) -> list[tuple[int, ...]] | None:
    """Read `shape`: one shape, or a list of them."""
    if given is None:
        return None
    listed = _items(given)
    if listed and all(type(n) is int for n in listed):
        listed = [listed]
    found = [tuple(_items(one)) for one in listed]
    if not found or any(not one or any(type(n) is not int or n < 1 for n in one) for one in found):
        raise RunError(
            f"{path}: shape = {str(given)[:100]}, expected the input's, batch included, such as "
            "(1, 3, 64, 64), or a list of them."
        )
    return found


def _items(value: Any) -> list[Any]:
    return list(cast("list[Any]", value)) if isinstance(value, list | tuple) else []
