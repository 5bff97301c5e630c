"""A plan: lines of recipes bound to one checkpoint's header, and everything that follows from it.

The records only; `reparam.binding` derives them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from reparam.errors import PlanError
from reparam.expression import format_tree, layers
from reparam.patterns import join
from reparam.quantised import find_mark

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reparam.checkpoint import TensorInfo
    from reparam.expression import Line
    from reparam.operations import Operation

Role = Literal["kernel", "bias", "zeros", "ones", "variance"]

DTYPES = ("keep", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2")
"""What a user may ask for: the dtype of the kernel that is fused, or one for all."""

MODEL_CONFIG = "model config"
"""Stands for a recipe where the checkpoint holds its own graph; nothing has to be assumed then."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the output shall look like.

    Attributes:
        batch_norm: `remove` or `neutral`.
        dtype: One of `DTYPES`; that of fused tensors, kernels and biases.
    """

    batch_norm: str = "remove"
    dtype: str = "keep"


@dataclass(frozen=True, slots=True)
class Binding:
    """One line of a recipe in one block of a checkpoint.

    Attributes:
        block: Path the names are relative to, empty for the whole file.
        line: Expression without placeholders, and the name of its output.
        recipe: Where the line comes from.
        eps: Constant of the norms it reads.
        eps_source: Who said so.
        shared: Layers that other lines may read too.
    """

    block: str
    line: Line
    recipe: str
    eps: float
    eps_source: str
    shared: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Write:
    """One tensor that a fusion writes, and what goes into it."""

    name: str
    info: TensorInfo
    role: Role


@dataclass(frozen=True, slots=True)
class Fusion:
    """One convolution to be made.

    Attributes:
        binding: The line it comes from.
        op: The line bound to tensors.
        reads: Names of all tensors that disappear into it.
        writes: What it writes, the kernel first.
        after: What the deploy form computes in its place.
    """

    binding: Binding
    op: Operation
    reads: tuple[str, ...]
    writes: tuple[Write, ...]
    after: Operation

    @property
    def name(self) -> str:
        """Path of the layer it makes."""
        return join(self.binding.block, self.binding.line.output)

    @property
    def expression(self) -> str:
        """The line it comes from, without its output."""
        return format_tree(self.binding.line.tree)

    @property
    def kernel(self) -> Write:
        """The tensor that holds the fused kernel."""
        return self.writes[0]

    @property
    def bias(self) -> Write | None:
        """The tensor that holds the fused bias: the layer's own, or its neutral norm's.

        None where nothing that was fused adds a constant.
        """
        return next((w for w in self.writes if w.role == "bias"), None)

    @property
    def dtypes(self) -> tuple[str, str]:
        """Those of kernel and bias."""
        return self.kernel.info.dtype, (self.bias or self.kernel).info.dtype


@dataclass(frozen=True, slots=True)
class Skipped:
    """A norm that stays, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What will be fused, copied and left alone.

    Attributes:
        source: The checkpoint it was made for.
        tensors: Its header.
        metadata: Its metadata.
        settings: What the output shall look like.
        recipes: Recipe and spelling of every family found.
        fusions: The convolutions to be made.
        copies: Names of tensors passed through byte for byte.
        skipped: Norms that stay, each with its reason.
        assumed: What was taken for granted, each with its source.
        unclaimed: Tensors inside fused blocks that the recipe does not know; `fuse` refuses them.
        notes: What else a user should know.
        keeps: Norms a recipe leaves alone, with its reasons.
        beside: Per block, the layers that may stand beside what is fused.
    """

    source: str
    tensors: Mapping[str, TensorInfo]
    metadata: Mapping[str, str]
    settings: Settings
    recipes: tuple[str, ...]
    fusions: tuple[Fusion, ...]
    copies: tuple[str, ...]
    skipped: tuple[Skipped, ...]
    assumed: tuple[str, ...]
    unclaimed: tuple[str, ...]
    notes: tuple[str, ...]
    assumes: tuple[str, ...] = ()
    keeps: Mapping[str, str] = field(default_factory=dict[str, str])
    beside: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])

    @property
    def outputs(self) -> dict[str, TensorInfo]:
        """Header of the checkpoint that `fuse` writes."""
        made = {w.name: w.info for f in self.fusions for w in f.writes}
        return {name: self.tensors[name] for name in self.copies} | made

    @property
    def made(self) -> dict[str, tuple[str, ...]]:
        """Every fused layer with the layers that go into it."""
        return {
            f.name: tuple(join(f.binding.block, x.name) for x in layers(f.binding.line.tree))
            for f in self.fusions
        }

    def check(self) -> None:
        """Refuse a plan that would lose tensors.

        Raises:
            PlanError: A fused block is quantised or holds other tensors that the recipe does not
                know, or the plan is a preview with an unknown eps.
        """
        if any(math.isnan(fusion.binding.eps) for fusion in self.fusions):
            raise PlanError(f"{self.source}: a preview, whose eps is unknown. Say it with eps=.")
        if mark := find_mark(self.unclaimed):
            raise PlanError(
                f"{self.source}: {mark!r} stands beside a kernel to be fused, so the checkpoint is "
                "quantised and what it stores is not the weight. Dequantise it first: store weight "
                "times scale as float32 or bfloat16, without the scales."
            )
        if self.unclaimed:
            shown = ", ".join(map(repr, self.unclaimed[:5]))
            more = f" and {len(self.unclaimed) - 5} more" if len(self.unclaimed) > 5 else ""  # noqa: PLR2004
            raise PlanError(
                f"{self.source}: a block to be fused holds tensors its recipe does not know: "
                f"{shown}{more}. The block may compute something else than the recipe says "
                f"({self._advice()}). If these layers only stand beside the branches, list them "
                "under 'beside' in a recipe of your own and pass it with --recipe."
            )

    def _advice(self) -> str:
        names = dict.fromkeys(fusion.binding.recipe for fusion in self.fusions)
        return " and ".join(f"see 'reparam recipes {name}'" for name in names)

    def __str__(self) -> str:
        """Return the table that `reparam inspect` shows."""
        from reparam.report import plan_text  # noqa: PLC0415  texts are a layer above

        return plan_text(self)

    def to_json(self) -> str:
        """Write the plan as JSON, for review; `from_json` reads it back."""
        from reparam.plan_json import dump  # noqa: PLC0415  costs an import few callers need

        return dump(self)

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """Read a plan, edited or not, and derive everything that follows from its bindings.

        Raises:
            PlanError: The text is not a plan, or what it says does not fit its own header.
        """
        from reparam.plan_json import load  # noqa: PLC0415  costs an import few callers need

        return load(text)


def check_settings(settings: Settings) -> None:
    """Refuse settings that do not exist.

    Raises:
        PlanError: Naming the value and the choices.
    """
    if settings.batch_norm not in ("remove", "neutral"):
        raise PlanError(f"batch_norm={settings.batch_norm!r}: expected remove or neutral.")
    if settings.dtype not in DTYPES:
        raise PlanError(
            f"dtype={settings.dtype!r}: expected {', '.join(DTYPES[:-1])} or {DTYPES[-1]}."
        )
