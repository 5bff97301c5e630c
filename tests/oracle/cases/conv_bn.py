"""The net of usual names."""

import copy

import torch
from oracle import nets
from oracle.cases.case import Case, Pair
from oracle.modules.conv_bn import UsualNames
from torch import nn


def usual_names():
    torch.manual_seed(0)
    net = nets.randomise(nets.lively(UsualNames()))
    deploy = copy.deepcopy(net)
    layers = [m for m in deploy.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    for name, norm in list(deploy.named_modules()):
        if isinstance(norm, nets.NORMS):
            nets.set_module(deploy, name, nn.Identity())
    for layer in layers:  # the last ones have a bias already
        if layer.bias is None:
            layer.bias = nn.Parameter(layer.weight.new_zeros(len(layer.weight)))
    return Pair(net, deploy, nets.image(3, 28, 36))


CASES = [
    Case(
        "conv-bn",
        "side by side",
        "a net of all usual names",
        usual_names,
        {"eps": 1e-5, "recipe": "conv-bn"},
    )
]
