"""`verify --run`: both checkpoints in the models they belong to, run in float64 by a framework.

The weights decide whether two checkpoints compute the same; this is a smoke test of what weights
do not show, that the models do with them what the plan takes for granted. Three checks:

- dyadic: the tensors of BEFORE are replaced by numbers on which float64 does not round (see
  `reparam.dyadic`) and fused; both models must then give equal numbers, bit for bit. A net with
  layers that round in any case, such as SiLU, may differ by `BOUND`.
- float64: the tensors of BEFORE, fused and not rounded to what they are stored in.
- as stored: AFTER as it is.

The frameworks are reached through adapters, by name and when asked for.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from reparam.bounds import UNIT
from reparam.checkpoint import hints_after
from reparam.deploy_form import DeployForm
from reparam.dyadic import dyadic_tensors
from reparam.dyadic_numbers import draw, dyadic_image
from reparam.errors import RunError
from reparam.file_formats import open_checkpoint
from reparam.planning import make_hints
from reparam.rounding import FORMATS
from reparam.run_report import Check, RunReport

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from os import PathLike

    from numpy.typing import NDArray

    from reparam.checkpoint import Reader
    from reparam.linear import Array
    from reparam.plans import Plan

    Tensors = Mapping[str, NDArray[Any]]

BOUND = 1e-12
"""Relative difference that float64 may make: some ten thousand roundings, each to full effect."""

GROSS = 1024
"""How many times what rounding explains an output of AFTER may be away before it counts."""

_ADAPTERS = {"torch": "reparam_adapters.run_torch", "keras": "reparam_adapters.run_keras"}

_THIN = (1, 2, 4)
"""Nets that add up many blocks outgrow float64 unless few outputs of each carry a signal."""


class Runner(Protocol):
    """What an adapter gives: two models of one framework."""

    @property
    def framework(self) -> str:
        """Name and version."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know of the choice."""
        ...

    @property
    def shapes(self) -> Sequence[tuple[int, ...]]:
        """Shapes of the inputs, batch included."""
        ...

    def outputs(
        self, form: str, tensors: Tensors, images: Sequence[NDArray[Any]]
    ) -> dict[str, NDArray[Any]]:
        """Put tensors into the `train` or the `deploy` model, all of them, and run it."""
        ...


def run(
    before: str | PathLike[str],
    after: str | PathLike[str],
    plan: Plan,
    *,
    framework: str,
    model: str | PathLike[str] | None = None,
    input_size: tuple[int, ...] | None = None,
    config: str | PathLike[str] | None = None,
    renamed: Mapping[str, str] | None = None,
) -> RunReport:
    """Run both checkpoints in a framework, in float64, and compare what comes out.

    Args:
        before: The train form.
        after: The deploy form.
        plan: What `verify` compared by, `VerifyReport.plan`.
        framework: `torch` or `keras`.
        model: A Python file that defines `train()`, `deploy()` and `shape`; it is run. Keras files
            that hold their model need none.
        input_size: Pixels per spatial axis of the input, overriding the file's `shape`.
        config: The graph of BEFORE, as for `verify`.
        renamed: Layers with another name in AFTER, `VerifyReport.renamed`.

    Returns:
        The report; `report.ok` is the answer.

    Raises:
        RunError: The framework is missing, or a model cannot be built, loaded or run.
        PlanError: `input_size` is no size.
        CheckpointError: A file is malformed, or holds tensors that cannot be read as numbers.
    """
    if framework not in _ADAPTERS:
        raise RunError(f"framework={framework!r}: expected {' or '.join(_ADAPTERS)}.")
    adapter: Any = import_module(_ADAPTERS[framework])
    hints = make_hints(input_size if framework == "keras" else None, config)
    file = None if model is None else Path(model)
    with (
        open_checkpoint(Path(before), hints) as old,
        open_checkpoint(Path(after), hints_after(hints, Path(after))) as new,
    ):
        runner: Runner = adapter.open_runner(old, new, file, input_size)
        form = DeployForm(plan, old, new, renamed or {})
        checks = (_dyadic(runner, plan, old, form), *_real(runner, old, new, form))
    return RunReport(runner.framework, None if file is None else str(file), checks, runner.notes)


def _dyadic(runner: Runner, plan: Plan, old: Reader, form: DeployForm) -> Check:
    """Compare both forms on numbers that do not round."""
    rest = {n: old.read(n) for n, info in plan.tensors.items() if "float" not in info.dtype}
    images = [dyadic_image(shape, f"image {i}") for i, shape in enumerate(runner.shapes)]
    blank = [np.zeros_like(image) for image in images]
    best: Check | None = None
    for thin in _THIN:
        tensors = rest | dyadic_tensors(plan, thin)
        wanted = runner.outputs("train", tensors, images)
        unlit = runner.outputs("train", tensors, blank)
        alive = sum(int((y != unlit.get(name)).sum()) for name, y in wanted.items())
        if not all(np.isfinite(y).all() for y in wanted.values()):
            made = Check("dyadic", 0.0, BOUND, "nothing shown", "BEFORE gives NaN or infinity")
        else:
            found = runner.outputs("deploy", form.fuse(tensors), images)
            made = _judged(wanted, found, alive)
        if made.verdict == "equal" or not made.ok:
            return made
        best = best or made
    assert best is not None
    return best


def _judged(wanted: Tensors, found: Tensors, alive: int) -> Check:
    """Say what equal or unequal outputs mean, `alive` of which depend on the image."""
    value, where = difference(wanted, found)
    numbers = sum(y.size for y in wanted.values())
    if not value <= BOUND:
        return Check("dyadic", value, BOUND, "DIFFERENT", where)
    if value:
        return Check("dyadic", value, BOUND, "rounds", where)
    if not alive:
        return Check(
            "dyadic", value, BOUND, "nothing shown", "the outputs do not depend on the image"
        )
    return Check("dyadic", value, BOUND, "equal", f"{alive} of {numbers} outputs follow the image")


def _real(runner: Runner, old: Reader, new: Reader, form: DeployForm) -> tuple[Check, Check]:
    """Compare both forms with the weights of BEFORE, and AFTER as it is."""
    images = [noise(shape, f"image {i}") for i, shape in enumerate(runner.shapes)]
    tensors = {name: widened(old.read(name)) for name in old.tensors}
    wanted = runner.outputs("train", tensors, images)
    exact, where = difference(wanted, runner.outputs("deploy", form.fuse(tensors), images))
    stored = {name: widened(new.read(name)) for name in new.tensors}
    value, place = difference(wanted, runner.outputs("deploy", stored, images))
    dtype = _coarsest(new)
    # as sensitive to rounding as it has just shown, to fewer digits
    noise_seen = exact if UNIT < exact <= BOUND else UNIT
    explained = noise_seen * FORMATS[dtype].epsilon / FORMATS["float64"].epsilon
    return (
        Check("float64", exact, BOUND, "within" if exact <= BOUND else "DIFFERENT", where),
        Check(
            "as stored",
            value,
            GROSS * explained,
            "within" if value <= GROSS * explained else "DIFFERENT",
            f"{place}; rounding to {dtype} explains about {explained:.1g}",
        ),
    )


def _coarsest(reader: Reader) -> str:
    """Return the dtype with the fewest digits among a file's tensors."""
    dtypes = {info.dtype for info in reader.tensors.values()} & FORMATS.keys()
    return min(dtypes, key=lambda d: FORMATS[d].digits, default="float64")


def difference(wanted: Tensors, found: Tensors) -> tuple[float, str]:
    """Return the largest difference of two runs, relative to the largest number of that output.

    Args:
        wanted: Outputs by name.
        found: Those to be compared; other names, shapes or numbers that are not finite make the
            difference infinite.

    Returns:
        The difference, and where it is.
    """
    if wanted.keys() != found.keys():
        odd = sorted(wanted.keys() ^ found.keys())
        return np.inf, f"only one form returns {odd[0]}"
    worst, where = 0.0, next(iter(wanted))
    for name, first in wanted.items():
        if first.shape != found[name].shape:
            return np.inf, f"{name} has shape {first.shape} and {found[name].shape}"
        y, z = (np.asarray(v, dtype=np.float64) for v in (first, found[name]))
        if not (np.isfinite(y).all() and np.isfinite(z).all()):
            return np.inf, f"{name} holds NaN or infinity"
        gap = float(np.abs(y - z).max(initial=0.0))
        size = float(np.abs(y).max(initial=0.0))
        relative = gap / size if size else (np.inf if gap else 0.0)
        if relative > worst:
            worst, where = relative, name
    return worst, where


def noise(shape: tuple[int, ...], name: str) -> Array:
    """Return an image of numbers from -1 to 1, the same ones for a name."""
    count = int(np.prod(shape))
    return (draw(name, count, 1 << 31) / 2.0**30 - 1).reshape(shape)


def widened(values: NDArray[Any]) -> NDArray[Any]:
    """Return floats as float64, exactly, and all else as it is."""
    return values if values.dtype.kind in "biuOSU" else values.astype(np.float64)
