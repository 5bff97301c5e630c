"""Recipes: what is known about a family of networks, as data.

A recipe is a TOML file: its expressions, the spellings of its key names in public implementations,
and what weights cannot say (eps, parameter-free branches), each with its source. The records only;
`reparam.recipe_toml` reads them and `reparam.library` finds them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from reparam.expression import format_line, format_output, format_tree, layers

if TYPE_CHECKING:
    from reparam.expression import Line


@dataclass(frozen=True, slots=True)
class Eps:
    """The constant of a family's norms and where it is written down.

    Attributes:
        value: The constant, or None when the file's names do not decide it.
        source: Where the value comes from.
        ask: Why the user must say it, when `value` is None or one of `unless` is there.
        unless: Patterns of layers of nets whose code sets another constant.
    """

    value: float | None
    source: str
    ask: str = ""
    unless: tuple[str, ...] = ()

    def text(self) -> str:
        """Return the constant and its source for a person."""
        if self.value is None:
            return f"eps must be given: {self.ask} ({self.source})"
        doubt = f"; beside {' or '.join(self.unless)} it must be given" if self.unless else ""
        return f"eps {self.value:g} ({self.source}){doubt}"


def finite_eps(value: object) -> float | None:
    """Return a value as eps, or None if it is not a finite number of at least 0."""
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not 0 <= value <= LARGEST_EPS
    ):
        return None
    return float(value)


LARGEST_EPS = 1e300
"""Beyond it nothing is a constant that stabilises a division; integers of any size stay finite."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """A net that names and shapes cannot tell from another family.

    Attributes:
        why: What it may be instead, while no convolution changes the width of its input.
    """

    why: str


@dataclass(frozen=True, slots=True)
class Keep:
    """A norm that stays, and why."""

    norm: str
    why: str


@dataclass(frozen=True, slots=True)
class Never:
    """A layer with which a net computes something that cannot be fused, and why."""

    layer: str
    why: str


@dataclass(frozen=True, slots=True)
class Same:
    """Blocks whose convolutions all pad `same`, so that strided ones depend on the input's size.

    The blocks follow one another in the natural order of their paths.

    Attributes:
        stride: Their stride.
        unless: A layer that only blocks of stride 1 have.
    """

    stride: int
    unless: str


@dataclass(frozen=True, slots=True)
class Block:
    """One kind of block of a spelling.

    Attributes:
        at: Path of the block below the root: `{n}` is a number, `{n+1}` one of at least 1, `*` one
            name, `**` any path; empty for the root itself.
        fuse: Lines that must all be there.
        maybe: Lines that may be absent as a whole.
        keep: Norms that no line reads, each with its reason.
        beside: Layers of the block that are copied, or patterns of their names.
        shared: Norms that more than one line may read.
        same: How its convolutions pad, if that depends on the image.
        alone: Whether nothing else may stand below it, not even what other blocks account for.
    """

    at: str
    fuse: tuple[Line, ...]
    maybe: tuple[Line, ...]
    keep: tuple[Keep, ...]
    beside: tuple[str, ...]
    shared: tuple[str, ...]
    same: Same | None = None
    alone: bool = False

    def texts(self) -> list[str]:
        """Return the block as lines for a person."""
        lines = [format_line(x) for x in self.fuse]
        lines += [f"({format_tree(x.tree)})? -> {format_output(x.output)}" for x in self.maybe]
        lines += [f"{keep.norm} stays: {keep.why}" for keep in self.keep]
        if self.shared:
            lines.append(f"read by more than one line: {', '.join(self.shared)}")
        if self.beside:
            lines.append(f"copied: {', '.join(self.beside)}")
        if self.same:
            lines.append(f"pads same; stride {self.same.stride} without {self.same.unless}")
        return lines


@dataclass(frozen=True, slots=True)
class Spelling:
    """The key names of one implementation.

    Attributes:
        name: Whose names they are.
        needs: Layers that must exist below one root for this spelling to apply.
        blocks: Kinds of blocks.
        eps: The recipe's, unless the spelling states its own.
        doubt: When the spelling may only be used if the user names the recipe.
        complete: Whether every norm below the root must be read or kept.
        apart: Patterns of layers, other than norms, that may stand alone although they are named
            like part of a block.
        keep: Norms anywhere below the root that no line reads, each with its reason.
        never: Patterns of layers with which fusing would be wrong, each with its reason.
    """

    name: str
    needs: tuple[str, ...]
    blocks: tuple[Block, ...]
    eps: Eps
    doubt: Doubt | None
    complete: bool = False
    apart: tuple[str, ...] = ()
    keep: tuple[Keep, ...] = ()
    never: tuple[Never, ...] = ()

    def texts(self) -> list[str]:
        """Return the blocks as lines for a person."""
        lines: list[str] = []
        for block in self.blocks:
            lines.append(f"at {block.at or 'the root'}:")
            lines += [f"  {line}" for line in block.texts()]
        return lines


@dataclass(frozen=True, slots=True)
class Recipe:
    """One family of networks.

    Attributes:
        name: Short name, as `--recipe` takes it.
        title: The networks it covers.
        paper: Where the family was published.
        notes: What a user should know.
        assumes: Facts taken for granted that no weight shows; printed with every plan.
        spellings: Most specific first: within a recipe, the first to claim a tensor keeps it.
        eps: The constant, unless a spelling states its own.
        source: The file it was read from.
        layout: Whose names these are: `torch`, `keras`, or `any`.
        by_name: Why it is used only where the user names it; empty where it is found by itself.
        over: Recipes whose blocks it takes where both find them.
    """

    name: str
    title: str
    paper: str
    notes: tuple[str, ...]
    assumes: tuple[str, ...]
    spellings: tuple[Spelling, ...]
    eps: Eps
    source: str
    layout: str = "any"
    by_name: str = ""
    over: tuple[str, ...] = ()

    def anchors(self) -> list[str]:
        """Return, per spelling, the layer by which it is looked for."""
        return [
            s.needs[-1] if s.needs else next(layers(s.blocks[0].fuse[0].tree)).name
            for s in self.spellings
        ]
