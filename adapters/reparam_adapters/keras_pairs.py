"""Norms that directly follow a convolution, and why others do not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reparam.checkpoint import GraphLine
from reparam_adapters.keras_layers import LINEAR, is_linear, shown_activation
from reparam_adapters.keras_scope import (
    Edit,
    Scope,
    attributes,
    back,
    channel_axis,
    eps_of,
    norm_axis_fits,
    written,
)
from reparam_adapters.strict_json import shown

if TYPE_CHECKING:
    from reparam_adapters.keras_config import Layer


def find_pair(scope: Scope, norm: Layer) -> str | None:
    """Note the convolutions that a norm follows, or return why it stays."""
    if reason := own_reason(scope, norm):
        return reason
    convs: list[str] = []
    for call in norm.calls:
        start, _, blocked = back(scope, call.inputs[0])
        if blocked:
            return blocked
        before = scope.model.layers[start.key[0]]
        if before.class_name not in LINEAR:
            return _no_conv(scope, norm, before)
        if reason := _conv_reason(scope, before, norm):
            return reason
        convs.append(before.name)
    for name in dict.fromkeys(convs):
        conv = scope.model.layers[name]
        if convs.count(name) != len(conv.calls):
            return (
                f"{name!r} is called {len(conv.calls)} times, and not always with a norm after it"
            )
    scope.pairs[norm.name] = list(dict.fromkeys(convs))
    return None


def own_reason(scope: Scope, norm: Layer) -> str | None:
    """Return why a norm stays, whatever it follows."""
    if scope.training or any(call.training for call in norm.calls):
        return "called with training=True: it takes the statistics of the batch at inference"
    if not norm.calls:
        return "never called"
    if norm.twice:
        return "it is a layer of another model too"
    if eps_of(norm) is None:
        return f"epsilon is {shown(norm.config.get('epsilon'))}, expected a number of at least 0"
    if not all(call.inputs for call in norm.calls):
        return "it is the first layer of the model"
    if any(len(call.inputs) != 1 for call in norm.calls):
        return "called with something besides one input (a mask?)"
    return None


def _no_conv(scope: Scope, norm: Layer, before: Layer) -> str:
    """Say what a norm follows if it is no convolution, and what follows it if that is one."""
    after = [
        scope.model.layers[name]
        for name, _ in scope.uses.get((norm.name, 0, 0), [])
        if name and scope.model.layers[name].class_name in LINEAR
    ]
    what = f"its input is {before.name!r} ({before.class_name}), not a convolution"
    if before.class_name in ("Activation", "ReLU", "LeakyReLU", "ELU", "PReLU"):
        what = f"an activation, {before.name!r}, stands between it and what comes before"
    if after:
        padding = after[0].config.get("padding", "valid")
        what += f"; it stands before {after[0].name!r}"
        if padding != "valid":
            what += f", which pads its output with zeros (padding {padding!r})"
    return what


def _conv_reason(scope: Scope, conv: Layer, norm: Layer) -> str | None:
    """Return why a norm cannot be fused into the linear layer before it."""
    if conv.twice:
        return f"{conv.name!r} is a layer of another model too"
    groups = conv.config.get("groups", 1)
    if type(groups) is not int or groups < 1:
        return f"groups of {conv.name!r} is {shown(groups)}, expected a number of at least 1"
    activation = conv.config.get("activation")
    if not is_linear(activation):
        return f"{conv.name!r} has an activation of its own ({shown_activation(activation)})"
    for number in range(len(conv.calls)):
        key = conv.name, number, 0
        users = scope.uses.get(key, [])
        if any(not name for name, _ in users):
            return f"the output of {conv.name!r} is an output of the model too"
        if len(users) != 1:
            also = ", ".join(repr(n) for n, _ in users if n != norm.name)
            return f"the output of {conv.name!r} has another consumer: {also or 'itself'}"
    if not norm_axis_fits(scope, conv, norm):
        axis = norm.config.get("axis", -1)
        dense = LINEAR[conv.class_name][0] == "dense"
        if dense and channel_axis(scope, conv, norm) is None:
            return (
                f"how many axes {conv.name!r} gives is not known, so its axis {axis} may not be "
                "that of the channels"
            )
        return f"its axis {axis} is not the channel axis of {conv.name!r}"
    return None


def pair_edit(scope: Scope, norm: str, convs: list[str]) -> Edit:
    """Fuse a norm into every convolution it follows."""
    layer = scope.model.layers[norm]
    path = scope.path(norm)
    eps = eps_of(layer)
    assert eps is not None
    shared = (path,) if len(convs) > 1 else ()
    targets = [scope.target(scope.model.layers[c]) for c in convs]
    lines = tuple(
        GraphLine(
            f"{written(t, attributes(scope.model.layers[c]))} {written(path)} -> {written(t)}",
            eps,
            shared,
        )
        for t, c in zip(targets, convs, strict=True)
    )
    moved = {(norm, i, 0): call.inputs[0].key for i, call in enumerate(layer.calls)}
    reads = tuple((t, path) for t in targets)
    return Edit(scope.model, scope.prefix, lines, reads, tuple(targets), (norm,), moved)
