"""Plans as JSON: what a reviewer reads and may edit, and back.

Only the bindings, the header and the settings are read back; reads, writes, copies and reasons in
the file are there for the reader and are derived again.
"""

from __future__ import annotations

import json
import math
from typing import Any, cast

from reparam.binding import bind
from reparam.checkpoint import TensorInfo
from reparam.errors import PlanError, ReparamError
from reparam.expression import format_output
from reparam.parsing import parse
from reparam.plans import Binding, Plan, Settings, check_settings
from reparam.recipe import finite_eps

FORMAT = "reparam-plan/1"


def as_dict(plan: Plan) -> dict[str, Any]:
    """Return a plan as plain JSON values."""
    return {
        "format": FORMAT,
        "source": plan.source,
        "recipes": list(plan.recipes),
        "settings": {"batch_norm": plan.settings.batch_norm, "dtype": plan.settings.dtype},
        "assumed": list(plan.assumed),
        "notes": list(plan.notes),
        "skipped": [{"name": s.name, "reason": s.reason} for s in plan.skipped],
        "unclaimed": list(plan.unclaimed),
        "fusions": [
            {
                "block": f.binding.block,
                "expression": f.expression,
                "output": f.binding.line.output,
                "recipe": f.binding.recipe,
                "eps": f.binding.eps,
                "eps_source": f.binding.eps_source,
                "shared": list(f.binding.shared),
                "reads": list(f.reads),
                "writes": {
                    w.name: {"dtype": w.info.dtype, "shape": list(w.info.shape)} for w in f.writes
                },
            }
            for f in plan.fusions
        ],
        "copies": list(plan.copies),
        "assumes": list(plan.assumes),
        "keeps": dict(plan.keeps),
        "beside": {path: list(names) for path, names in plan.beside.items()},
        "metadata": dict(plan.metadata),
        "tensors": {
            name: {"dtype": info.dtype, "shape": list(info.shape)}
            for name, info in plan.tensors.items()
        },
    }


def dump(plan: Plan) -> str:
    """Write a plan as JSON text.

    Raises:
        PlanError: Its eps is not known yet.
    """
    if any(math.isnan(f.binding.eps) for f in plan.fusions):
        raise PlanError(f"{plan.source}: a preview, whose eps is unknown. Say it with eps=.")
    return json.dumps(as_dict(plan), indent=1) + "\n"


def load(text: str) -> Plan:
    """Read a plan from JSON text and derive it anew.

    Raises:
        PlanError: The text is not a plan, or does not fit its own header.
    """
    try:
        parsed: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PlanError(f"the plan is not valid JSON: {error}.") from None
    values = cast("dict[str, Any]", parsed) if isinstance(parsed, dict) else {}
    if values.get("format") != FORMAT:
        raise PlanError(
            f'the file is not a plan: expected "format": "{FORMAT}". '
            "'reparam inspect FILE --json' writes one."
        )
    settings: Settings | None = None
    try:
        settings = Settings(**values["settings"])
        tensors = {
            str(name): TensorInfo(tuple(map(int, t["shape"])), str(t["dtype"]))
            for name, t in values["tensors"].items()
        }
        bindings = [_binding(f) for f in values["fusions"]]
        texts = {k: tuple(map(str, values[k])) for k in ("recipes", "assumes", "notes")}
        keeps = {str(k): str(v) for k, v in values["keeps"].items()}
        beside = {str(k): tuple(map(str, v)) for k, v in values["beside"].items()}
        metadata = {str(k): str(v) for k, v in values["metadata"].items()}
        source = str(values["source"])
    except ReparamError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise PlanError(f"the plan is damaged near {error}. Write it again.") from None
    check_settings(settings)
    return bind(
        tensors,
        metadata,
        source,
        bindings,
        settings,
        recipes=texts["recipes"],
        assumes=texts["assumes"],
        notes=texts["notes"],
        keeps=keeps,
        beside=beside,
    )


def _binding(values: dict[str, Any]) -> Binding:
    eps = finite_eps(values["eps"])
    if eps is None:
        raise PlanError(f"the plan has eps={str(values['eps'])[:40]!r}, expected a number >= 0.")
    return Binding(
        block=str(values["block"]),
        line=parse(f"{values['expression']} -> {format_output(str(values['output']))}"),
        recipe=str(values["recipe"]),
        eps=eps,
        eps_source=str(values["eps_source"]),
        shared=tuple(map(str, values["shared"])),
    )
