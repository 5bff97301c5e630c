"""Weights on which float64 does not round, for any plan: the exact network of `verify --run`.

All values are small multiples of a power of two, so sums and products are exact and two ways to
compute the same function give numbers that are equal with `==`. That needs three things.

- Roots: `running_var = 4**j - eps` for the eps of the plan, with j such that the difference is a
  float64. A model that adds another eps gets a root that is far off, because 4**j is not much
  larger than eps.
- Growth: a float64 has room for 2**53 units. Each output of a block is one pixel of one input
  channel, times 1 or -1, plus a constant; in a sum of branches one of them carries the pixel and
  the others their constants. So a block adds a few units to the largest value and nothing more.
  Where a net itself adds blocks up, values double; `thin` leaves most outputs of a block constant.
- Life: neighbouring outputs take neighbouring channels, so that none is lost from block to block,
  and what is negated is lifted by 4, so that a ReLU leaves it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from reparam import operations as ops
from reparam.dyadic_numbers import draw, quarters, variances

if TYPE_CHECKING:
    from reparam.linear import Array
    from reparam.operations import Operation
    from reparam.plans import Plan

LIFT = 4.0
"""What is added to a negated channel: as much as an image spans, and less than ReLU6 cuts off."""

NEGATED, AVERAGED, BESIDE = 8, 16, 4
"""One output in so many is negated, takes an average pool, takes a layer beside a bare identity."""


def dyadic_tensors(plan: Plan, thin: int = 1) -> dict[str, Array]:
    """Return dyadic values for every float tensor of a train form, copied ones included.

    Args:
        plan: Names, shapes and eps.
        thin: One output of a block in so many depends on its input.

    Returns:
        float64 arrays under the names and of the shapes of the plan's header. Tensors of other
        dtypes, indices and counters, are left out.
    """
    filler = _Filler(plan, thin)
    for fusion in plan.fusions:
        count = ops.outputs(fusion.op)
        live = draw(f"{fusion.name} live", count, thin) == 0
        negated = draw(f"{fusion.name} sign", count, NEGATED) == 0
        small = quarters(fusion.name, count) * draw(f"{fusion.name} shift", count, 2)
        filler.fill(
            fusion.op,
            np.where(negated, -1.0, 1.0) * live,
            np.where(negated, LIFT + small, small),
        )
    eps = next((f.binding.eps for f in plan.fusions), 0.0)
    for name, info in plan.tensors.items():
        if "float" in info.dtype and name not in filler.made:
            filler.made[name] = _copied(name, info.shape, plan, eps)
    return filler.made


class _Filler:
    """Fills tensors so that an operation computes `gain * pixel + shift` for every output."""

    def __init__(self, plan: Plan, thin: int) -> None:
        self.tensors = plan.tensors
        self.thin = thin
        self.made: dict[str, Array] = {}

    def put(self, name: str | None, values: Array) -> None:
        """Store a tensor, unless another block that shares it has."""
        if name is not None and name not in self.made:
            self.made[name] = values.reshape(self.tensors[name].shape)

    def fill(self, op: Operation, gain: Array, shift: Array) -> None:
        """Fill the tensors of an operation.

        Args:
            op: The operation.
            gain: `(outputs,)`, what the pixel of every output is multiplied by; 0 for none.
            shift: `(outputs,)`, what is added, where the operation can.
        """
        match op:
            case ops.ConvOp():
                self.put(op.weight, _one_tap_each(op, gain))
                self.put(op.bias, shift)
            case ops.NormOp():
                self._norm(op, gain[:: op.repeat], shift[:: op.repeat])
            case ops.ScaleOp(tensor, _, single):
                self.put(tensor, np.ones(1) if single else gain)
            case ops.ShiftOp(tensor, _, single):
                self.put(tensor, np.full(1, 0.25) if single else shift)
            case ops.ChainOp(steps):
                self._chain(steps, gain, shift)
            case ops.SumOp():
                self._sum(op, gain, shift)
            case ops.WindowOp(inner):
                self.fill(inner, gain[:: op.pixels], shift[:: op.pixels])
            case _:
                return

    def _norm(self, op: ops.NormOp, gain: Array, shift: Array) -> None:
        choices = np.array(variances(op.eps))
        if op.weight is None:  # the root alone scales: keep what it is near 1
            choices = np.array([(1 - op.eps, 1.0)]) if op.eps < 1 else choices[:1]
        chosen = choices[draw(f"{op.var} root", len(gain), len(choices)).astype(int)]
        var, root = chosen[:, 0], chosen[:, 1]
        self.put(op.var, var)
        self.put(op.weight, gain * root)
        # means that the scale turns into quarters again
        unit = np.where((gain != 0) & (np.abs(gain) < 1), np.abs(gain), 1.0)
        mean = quarters(f"{op.mean} mean", len(gain)) / unit
        if op.bias is None:
            mean = np.where(np.abs(np.frexp(gain)[0]) == 0.5, -shift / np.where(gain, gain, 1), 0.0)  # noqa: PLR2004  a power of two
        elif op.weight is None:
            mean = 0 * mean  # 1 - eps is rounded, which a difference would bring to light
        self.put(op.mean, mean)
        self.put(op.bias, shift + gain * mean)

    def _chain(self, steps: tuple[Operation, ...], gain: Array, shift: Array) -> None:
        """Let the last step that mixes channels choose the pixel and the steps behind it scale it.

        A norm or scale behind it takes back a power of two that the kernel brings in.
        """
        mixing = [i for i, step in enumerate(steps) if _mixes(step)]
        pivot = mixing[-1] if mixing else -1
        tail = range(pivot + 1, len(steps))
        gains = [np.ones(ops.outputs(s)) for s in steps]
        shifts = [
            quarters(f"{_name(s)} step", ops.outputs(s)) * (i < pivot) for i, s in enumerate(steps)
        ]
        payer = next((i for i in tail if _scales(steps[i])), None)
        if pivot >= 0:
            gains[pivot] = gain
        elif payer is not None:
            gains[payer] = gain
        if pivot >= 0 and payer is not None:
            name = _name(steps[payer])
            pay = 0.5 ** draw(f"{name} size", len(gain), 3)
            pay = pay * (1 - 2 * draw(f"{name} sign", len(gain), 2))
            gains[pivot], gains[payer] = gain / pay, pay
        takers = [i for i in range(max(pivot, 0), len(steps)) if ops.shifts(steps[i])]
        if takers:
            early = payer is not None and pivot >= 0 and takers[-1] < payer
            shifts[takers[-1]] = shift / gains[payer] if early and payer is not None else shift
        for i, step in enumerate(steps):
            near = i - 1 if i else 1  # the step whose numbers make up for a division
            if 0 <= near < len(steps) and isinstance(step, ops.AverageOp | ops.NumberOp):
                factor = _undone(step)
                gains[near] = gains[near] * factor
                shifts[near] = shifts[near] * (factor if near < i else 1)
        for step, each, constant in zip(steps, gains, shifts, strict=True):
            self.fill(step, each, constant)

    def _sum(self, op: ops.SumOp, gain: Array, shift: Array) -> None:
        """Let one branch of every output carry the pixel."""
        name, terms = _name(op), [term for _, term in op.terms]
        bare = [not _may_vanish(term) for term in terms]
        plain = [i for i, t in enumerate(terms) if not bare[i] and not _averages(t)]
        pools = [i for i, t in enumerate(terms) if not bare[i] and _averages(t)]
        chosen = np.full(len(gain), -1.0)
        if plain:
            chosen = np.array(plain)[draw(f"{name} branch", len(gain), len(plain)).astype(int)]
            if any(bare):
                chosen = np.where(draw(f"{name} beside", len(gain), BESIDE) == 0, chosen, -1)
        if pools and self.thin == 1:
            pool = np.array(pools)[draw(f"{name} pool", len(gain), len(pools)).astype(int)]
            chosen = np.where(draw(f"{name} pooled", len(gain), AVERAGED) == 0, pool, chosen)
        rest = shift
        for i, (sign, term) in reversed([*enumerate(op.terms)]):
            own = quarters(f"{name} {i}", len(gain)) * ops.shifts(term) if i else rest
            rest = rest - own
            self.fill(term, np.where(chosen == i, sign * gain, 0.0), sign * own)


def _one_tap_each(op: ops.ConvOp, gain: Array) -> Array:
    """Return a kernel with one tap per output: neighbouring inputs, taps at random."""
    count, taps = len(gain), math.prod(op.shape[2:])
    group, row = np.divmod(np.arange(count), count // op.groups)
    first = draw(op.weight, 1, 1 << 16)[0]
    tap = draw(f"{op.weight} tap", count, taps).astype(int)
    # near the end of a net images are hardly larger than kernels: not all may look beside them
    tap[draw(f"{op.weight} centred", count, 2) == 0] = _centre(op)
    if op.transposed:  # (in, out // groups, *space)
        width = op.inputs // op.groups
        kernel = np.zeros((op.inputs, op.shape[1], taps))
        kernel[group * width + ((row + first) % width).astype(int), row, tap] = gain
    else:
        kernel = np.zeros((count, op.shape[1], taps))
        kernel[np.arange(count), ((row + first) % op.shape[1]).astype(int), tap] = gain
    return kernel.reshape(op.shape)


def _centre(op: ops.ConvOp) -> int:
    """Return the tap that meets the output position, or the one next to it."""
    index = 0
    for size, origin, step in zip(op.shape[2:], op.origin, op.dilation, strict=True):
        index = index * size + min(origin // step, size - 1)
    return index


def _copied(name: str, shape: tuple[int, ...], plan: Plan, eps: float) -> Array:
    """Return values for a tensor no fusion reads; what it is for, only its name can tell."""
    count = math.prod(shape)
    path, _, role = name.rpartition(".")
    var, root = variances(eps)[0]
    if len(shape) > 1:
        rows, width = shape[0], count // max(shape[0], 1)
        taps = np.zeros((rows, width))
        if count:
            first = int(draw(name, 1, 1 << 16)[0])
            # a head reads all of its inputs, each once; a convolution one per output, as others do
            each = max(rows, width) if len(shape) == 2 else rows  # noqa: PLR2004  a linear layer
            taps[np.arange(each) % rows, (np.arange(each) + first) % width] = 1.0
        return taps.reshape(shape)
    if role == "running_var":
        return np.full(shape, var)
    if role == "running_mean" or "bias" in role or role == "beta":
        return quarters(name, count).reshape(shape)
    return np.full(shape, root if f"{path}.running_var" in plan.tensors else 1.0)


def _name(op: Operation) -> str:
    return next(ops.tensor_names(op), "nothing")


def _mixes(op: Operation) -> bool:
    return isinstance(op, ops.ConvOp | ops.SumOp | ops.ChainOp | ops.WindowOp)


def _scales(op: Operation) -> bool:
    """Whether a step can multiply every channel by a number of its own."""
    match op:
        case ops.NormOp(weight=weight):
            return weight is not None
        case ops.ScaleOp(single=single):
            return not single
        case _:
            return False


def _may_vanish(op: Operation) -> bool:
    """Whether a branch can be made to ignore its input."""
    match op:
        case ops.ConvOp():
            return True
        case ops.ChainOp(steps):
            return any(map(_may_vanish, steps))
        case ops.SumOp(terms):
            return all(_may_vanish(term) for _, term in terms)
        case ops.WindowOp(inner):
            return _may_vanish(inner)
        case _:
            return _scales(op)


def _averages(op: Operation) -> bool:
    match op:
        case ops.AverageOp():
            return True
        case ops.ChainOp(steps):
            return any(map(_averages, steps))
        case ops.SumOp(terms):
            return any(_averages(term) for _, term in terms)
        case _:
            return False


def _undone(op: ops.AverageOp | ops.NumberOp) -> float:
    """Return the factor that makes up for a pool's division or a recipe's constant, if exact."""
    if isinstance(op, ops.AverageOp):
        return float(math.prod(op.size))
    exact = op.value != 0 and abs(math.frexp(op.value)[0]) == 0.5  # noqa: PLR2004  power of two
    return 1 / op.value if exact else 1.0
