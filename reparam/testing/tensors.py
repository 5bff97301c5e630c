"""Tensors for the layers of a line, in shapes that compose; groups where a neighbour tells them."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from reparam.expression import Chain, Layer, Line, Node, Sum, layers
from reparam.keras_names import kernel_kind
from reparam.layouts import to_keras
from reparam.patterns import join
from reparam.testing.kinds import IMAGES, Widths, kinds
from reparam.testing.layers import statistics

if TYPE_CHECKING:
    from numpy.typing import NDArray

LINEAR = re.compile(r"(?:^|\.)(?:l|linear|q|k|v)$")
"""Layers without spatial axes."""

FREE = ((3, 3), (5, 5), (1, 3), (3, 1), (3, 5))
"""Kernels where a recipe leaves them open: no 1x1, which other kinds of block may be about."""


class Maker:
    """Writes the tensors of lines.

    Args:
        rng: What decides about everything that is not said.
        eps: Constant of the norms.
        keras: Whether names tell depthwise convolutions, and are numbered without gaps.
    """

    def __init__(self, rng: np.random.Generator, eps: float, *, keras: bool) -> None:
        self.rng, self.eps, self.keras = rng, eps, keras
        self.tensors: dict[str, NDArray[Any]] = {}
        self.outputs: dict[str, str] = {}
        self.path = ""
        self.kinds: dict[str, str] = {}
        self.widths = Widths(1, 1, 1, 1)
        self.rank = 2
        self.window = False

    def line(self, path: str, line: Line, widths: Widths) -> None:
        """Write the layers of a line.

        Args:
            path: The block they are in.
            line: Without placeholders and optional parts.
            widths: Its channels.
        """
        named = list(layers(line.tree))
        self.path, self.kinds, self.widths = path, kinds(line.tree), widths
        convs = [dict(x.attributes) | {"": x.name} for x in named if self.kinds[x.name] == "conv"]
        axes = [size.count("x") + 1 for x in convs if "x" in (size := x.get("kernel", ""))]
        self.rank = max(axes, default=2)
        if not axes and all(LINEAR.search(x[""]) for x in convs):
            self.rank = 0
        self.window = any("window" in x for x in convs)
        self._any(line.tree, widths.inputs, widths.outputs)
        if convs:
            self.outputs[join(path, line.output)] = join(path, convs[0][""])

    def _any(
        self, node: Node, inputs: int, outputs: int, *, bare: bool = False, point: bool = False
    ) -> None:
        """Write a part.

        Args:
            node: The part.
            inputs: Channels it takes.
            outputs: Channels it gives.
            bare: Whether its convolutions have no bias, since others follow.
            point: Whether its convolutions are 1x1, since something is added before.
        """
        match node:
            case Layer(name, attributes):
                path = join(self.path, name)
                match self.kinds[name]:
                    case "conv":
                        taps = dict(attributes)
                        if point:
                            taps.setdefault("kernel", "1")
                        self._conv(path, inputs, outputs, taps, bare=bare)
                    case "norm":
                        self.norm(path, IMAGES if self.window else outputs)
                    case _:
                        self._factor(path, outputs)
            case Chain(steps):
                self._chain(steps, inputs, outputs)
            case Sum(terms):
                for _, term in terms:
                    self._any(term, inputs, outputs, bare=bare, point=point)
            case _:
                pass

    def _chain(self, steps: tuple[Node, ...], inputs: int, outputs: int) -> None:
        convs = [
            number
            for number, step in enumerate(steps)
            if any(self.kinds[layer.name] == "conv" for layer in layers(step))
        ]
        width = inputs
        for number, step in enumerate(steps):
            if number not in convs:
                self._any(step, width, width)
                continue
            after = outputs if number == convs[-1] else self.widths.middle
            shifted = number == convs[0] and any(map(list, map(layers, steps[:number])))
            self._any(step, width, after, bare=number != convs[-1], point=shifted)
            width = after

    def _conv(
        self, path: str, inputs: int, outputs: int, said: dict[str, str], *, bare: bool
    ) -> None:
        if f"{path}.weight" in self.tensors:
            return
        if self.window and "window" not in said:
            inputs = outputs = IMAGES
        groups = int(said.get("groups", math.gcd(self.widths.groups, inputs, outputs)))
        if self.keras and kernel_kind(path) == "depthwise":
            groups = inputs
        ends = outputs, inputs // groups
        if "transposed" in said:
            ends = inputs, outputs // groups
        taps = self._taps("1" if "window" in said else said.get("kernel", ""))
        self.tensors[f"{path}.weight"] = self._whole(*ends, *taps)
        if not bare and self.rng.integers(2):
            self.tensors[f"{path}.bias"] = self._whole(outputs)

    def _taps(self, kernel: str) -> tuple[int, ...]:
        if "x" in kernel:
            return tuple(map(int, kernel.split("x")))
        if kernel.isdecimal():
            return (int(kernel),) * self.rank
        return (*FREE[self.rng.integers(len(FREE))], 3)[: self.rank]

    def norm(self, path: str, width: int) -> None:
        """Write a norm."""
        if f"{path}.running_var" in self.tensors:
            return
        tensors = statistics(self.rng, width, self.eps)
        if not self.rng.integers(6):
            del tensors["weight"], tensors["bias"]
        self.tensors |= {f"{path}.{role}": values for role, values in tensors.items()}
        if self.rng.integers(2) and not self.keras:
            self.tensors[f"{path}.num_batches_tracked"] = np.array(7)

    def _factor(self, path: str, width: int) -> None:
        shapes = (width,), (1, width, 1, 1), (width, 1, 1)
        factors = self.rng.choice([-0.5, 0.5, 1, 2, 3], shapes[self.rng.integers(len(shapes))])
        self.tensors[path] = factors.astype(np.float32)

    def other(self, path: str) -> None:
        """Write a layer that no line reads, if there is nothing yet."""
        if not any(name.startswith(f"{path}.") for name in self.tensors):
            self.tensors[f"{path}.weight"] = self._whole(2, 2, 1, 1)

    def _whole(self, *shape: int) -> NDArray[np.float32]:
        return self.rng.integers(-4, 5, shape).astype(np.float32)

    def fill_numbers(self) -> None:
        """Write what stands before `conv_2`, which Keras would else have called `conv`."""
        if not self.keras:
            return
        paths = {name.rpartition(".")[0] for name in self.tensors}
        for path in sorted(paths):
            parts = path.split(".")
            for depth, part in enumerate(parts):
                stem, _, number = part.rpartition("_")
                for less in range(int(number) if number.isdecimal() else 0):
                    earlier = ".".join((*parts[:depth], f"{stem}_{less}" if less else stem))
                    if not any(p == earlier or p.startswith(f"{earlier}.") for p in paths):
                        made = (p for p in self.outputs if p.startswith(f"{earlier}."))
                        added = next(made, ".".join((earlier, *parts[depth + 1 :])))
                        self._placeholder(added)
                        paths.add(added)

    def _placeholder(self, path: str) -> None:
        """Write a layer of that name; a result is like the first layer it is made of."""
        if path in self.outputs:
            like = self.tensors[f"{self.outputs[path]}.weight"]
            self.tensors[f"{path}.weight"] = self._whole(*like.shape)
            self.tensors[f"{path}.bias"] = self._whole(len(like))
        else:
            self.other(path)


KERAS = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
}
"""What Keras calls the vectors of a norm."""


def keras_names(tensors: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return tensors under Keras' names and in its axes."""
    turned: dict[str, NDArray[Any]] = {}
    for name, values in tensors.items():
        path, _, role = name.rpartition(".")
        where = path.replace(".", "/")
        if f"{path}.running_var" in tensors:
            turned[f"{where}/{KERAS[role]}"] = values
        elif role != "weight":
            turned[f"{where}/{role}"] = values
        else:
            kind = kernel_kind(path)
            out, each, *space = values.shape
            ends = (out, each) if kind == "depthwise" else (each, out)
            variable = "depthwise_kernel" if kind == "depthwise" else "kernel"
            turned[f"{where}/{variable}"] = to_keras(kind, values, (*space, *ends)).copy()
    return turned
