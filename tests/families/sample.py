"""What a sample states about itself, and how one is written."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

State = dict[str, np.ndarray]


class Sample(NamedTuple):
    """A checkpoint in train form, and the deploy form that its recipe must make of it.

    Attributes:
        state: The train form.
        makes: Every layer that is made, by its path in the deploy form; each has weight and bias.
        stays: Beginnings of the names of all other tensors of the deploy form.
        eps: The recipe's constant, or what the user has to say where `said` is true.
        said: Whether eps is asked for.
        named: Whether the recipe has to be named.
    """

    state: State
    makes: tuple[str, ...]
    stays: tuple[str, ...] = ()
    eps: float = 1e-5
    said: bool = False
    named: bool = False

    @property
    def deploy_keys(self) -> set[str]:
        """Names of all tensors of the deploy form."""
        made = {f"{path}.{role}" for path in self.makes for role in ("weight", "bias")}
        return made | {name for name in self.state if name.startswith(self.stays)}


class Maker:
    """Adds layers with random weights, and norms with statistics that are anything but fresh."""

    def __init__(self, seed: int = 0, dtype: type = np.float32) -> None:
        self.state: State = {}
        self.rng = np.random.default_rng(seed)
        self.dtype = dtype

    def conv(self, name: str, out: int, into: int, *space: int, bias: bool = False) -> None:
        self.add(f"{name}.weight", self.rng.normal(size=(out, into, *space)))
        if bias:
            self.add(f"{name}.bias", self.rng.normal(size=out))

    def norm(self, name: str, width: int) -> None:
        self.add(f"{name}.weight", self.rng.normal(1, 0.5, size=width))
        self.add(f"{name}.bias", self.rng.normal(size=width))
        self.add(f"{name}.running_mean", self.rng.normal(size=width))
        self.add(f"{name}.running_var", self.rng.uniform(0.1, 2, size=width))
        self.state[f"{name}.num_batches_tracked"] = np.array(7)

    def vector(self, name: str, *shape: int) -> None:
        """Add a bare tensor: a factor or a shift per channel."""
        self.add(name, self.rng.normal(1, 0.5, size=shape))

    def add(self, name: str, values: np.ndarray) -> None:
        self.state[name] = values.astype(self.dtype)
