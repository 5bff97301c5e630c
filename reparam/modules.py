"""The layers of a checkpoint, read off the names and shapes of its tensors.

What a layer *is* follows from its tensors: `running_mean` and `running_var` make a norm, a `weight`
of three or more axes a convolution, of two a linear layer; a tensor that carries the layer's own
name is a per-channel scale.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reparam.checkpoint import TensorInfo

Kind = Literal["conv", "norm", "scale", "other"]

NORM_TRAINING = ("num_batches_tracked", "renorm_mean", "renorm_stddev", "moving_stddev")
"""What a norm stores for its training only; `renorm=True` of Keras, and PyTorch's counter."""

NORM_ROLES = ("weight", "bias", "running_mean", "running_var", *NORM_TRAINING)
CONV_ROLES = ("weight", "bias")


def only_for_training(name: str) -> bool:
    """Whether a tensor, by its name, changes nothing of what the network computes."""
    return name.rpartition(".")[2] in NORM_TRAINING


@dataclass(frozen=True, slots=True)
class Module:
    """A layer: its path and its tensors by role.

    Attributes:
        path: Dotted path in the checkpoint.
        tensors: Role (`weight`, `running_var`, …) to full tensor name; the role of a bare tensor
            is the empty string.
        kind: What the tensors say it is; `other` covers layers that cannot be fused.
    """

    path: str
    tensors: Mapping[str, str]
    kind: Kind

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles a layer of this kind consumes."""
        return {"norm": NORM_ROLES, "conv": CONV_ROLES, "scale": ("",), "other": ()}[self.kind]


class ModuleIndex:
    """Every layer of a checkpoint by path, built from the header in one pass."""

    def __init__(self, tensors: Mapping[str, TensorInfo]) -> None:
        self.tensors = tensors
        self._sorted = sorted(tensors)
        self._roles: dict[str, dict[str, str]] = {}
        for name in tensors:
            path, _, role = name.rpartition(".")
            self._roles.setdefault(path, {})[role] = name
        self._modules: dict[str, Module] = {}
        self.by_tail: dict[str, list[str]] = {}
        for path in (*self._roles, *(n for n in tensors if n not in self._roles)):
            tail = path.rpartition(".")[2]
            self.by_tail.setdefault("0" if tail.isdecimal() else tail, []).append(path)

    def get(self, path: str) -> Module | None:
        """Return the layer at a path, or None if the checkpoint has none there."""
        if path in self._modules:
            return self._modules[path]
        if path in self._roles and path:
            roles = self._roles[path]
            module = Module(path, roles, self._kind(roles))
        elif path in self.tensors:
            module = Module(path, {"": path}, "scale")
        else:
            return None
        self._modules[path] = module
        return module

    def norms(self) -> list[str]:
        """Return the path of every layer with running statistics, sorted."""
        return sorted(p for p, roles in self._roles.items() if _STATISTICS & roles.keys())

    def under(self, path: str) -> list[str]:
        """Return the names of all tensors below a path; below the empty one lies everything."""
        if not path:
            return self._sorted
        first = bisect_left(self._sorted, path + ".")
        last = bisect_left(self._sorted, path + "/", lo=first)  # "/" is what follows "." in Unicode
        return self._sorted[first:last]

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a tensor."""
        return self.tensors[name].shape

    def _kind(self, roles: Mapping[str, str]) -> Kind:
        if _STATISTICS & roles.keys():
            return "norm" if roles.keys() >= _STATISTICS else "other"
        weight = roles.get("weight")
        return "conv" if weight and len(self.shape(weight)) > 1 else "other"


_STATISTICS = {"running_mean", "running_var"}
