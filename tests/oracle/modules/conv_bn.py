"""A net of layers with norms behind them under the usual names, and its deploy twin."""

import torch
from oracle import nets
from torch import nn


class Pair(nn.Module):
    """A layer and a norm, under any two names."""

    def __init__(self, layer, width, names, *, dims=2):
        super().__init__()
        self.names = names
        norm = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d}[dims](width)
        for name, module in zip(names, (layer, norm), strict=True):
            self.add_module(name, module)

    def forward(self, x):
        for name in self.names:
            x = self.get_submodule(name)(x)
        return x.relu()


class UsualNames(nn.Module):
    """Convolutions and linear layers, with and without norms, of equal widths and of others."""

    def __init__(self):
        super().__init__()
        conv = nn.Conv2d
        self.stem = Pair(conv(3, 8, 3, 2, 1, bias=False), 8, ("conv", "bn"))
        self.layers = nn.ModuleList(
            [
                Pair(conv(8, 8, 5, 1, 2, groups=8, bias=False), 8, ("conv", "norm")),
                Pair(conv(8, 8, (1, 7), 1, (0, 3)), 8, ("convolution", "normalization")),
                Pair(conv(8, 4, 1, bias=False), 4, ("c", "bn")),
            ]
        )
        self.gate = nets.named(conv=conv(4, 4, 1))  # no norm of its own
        self.down = nn.Sequential(
            conv(4, 12, 3, 2, bias=False),
            nn.BatchNorm2d(12),
            nn.ReLU(),
            conv(12, 12, 3, 1, 2, dilation=2, groups=3),
            nn.BatchNorm2d(12, affine=False),
            nn.Hardswish(),
            conv(12, 6, 1),
        )
        self.project = Pair(nn.Linear(6, 6, bias=False), 6, ("linear", "norm"), dims=1)
        self.classify = nn.Sequential(
            nn.Linear(6, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3)
        )

    def forward(self, x):
        x = self.stem(x)
        for layer in self.layers:
            x = layer(x)
        x = self.down(x * self.gate(x).sigmoid()).mean((2, 3))
        return torch.cat((self.project(x), self.classify(x)), 1)
