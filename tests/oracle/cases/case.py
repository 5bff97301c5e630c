"""What a case consists of."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from oracle import nets

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from torch import nn


class Pair(NamedTuple):
    """A net in train form, the net that loads its deploy form, and an image for both."""

    train: nn.Module
    deploy: nn.Module
    x: torch.Tensor


@dataclass(frozen=True)
class Case:
    """One spelling of one recipe, and the net that judges it.

    Attributes:
        recipe: Name of the recipe.
        spelling: Name of the spelling.
        oracle: What the net is, for the table in the docs: `timm mobileone_s0`, or `module with
            the official key names`.
        build: Makes the nets. The train form has statistics that are not fresh; the deploy form has
            random weights, all of which the file must replace.
        options: What the user has to say: `eps`, `recipe`.
    """

    recipe: str
    spelling: str
    oracle: str
    build: Callable[[], Pair]
    options: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.recipe} / {self.spelling}"


def stock(net: nn.Module, x: torch.Tensor) -> Pair:
    """A net whose norms directly follow its convolutions; its deploy form has none of them."""
    nets.randomise(net)
    return Pair(net, nets.without_norms(net, nets.pairs(net, x)), x)


def reparameterized(net: nn.Module, x: torch.Tensor) -> Pair:
    """A net of timm, and what timm makes of it."""
    from timm.utils.model import reparameterize_model  # noqa: PLC0415  few cases need it

    nets.randomise(net)
    return Pair(net, reparameterize_model(copy.deepcopy(net)), x)
