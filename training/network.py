"""The network: a small U-Net (Ronneberger et al. 2015) on pixels that are folded two by two."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

OUTPUTS = 4
"""Logit of a cell, logit of a contact, flow y, flow x."""


def block(inputs: int, outputs: int) -> nn.Sequential:
    """Return two convolutions, each normalised."""
    layers: list[nn.Module] = []
    for n in (inputs, outputs):
        layers += [
            nn.Conv2d(n, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


class Network(nn.Module):
    """From (N, 4, Y/2, X/2), folded frames, to (N, 16, Y/2, X/2), folded answers.

    Y and X are multiples of 16. `widths`: channels of the four levels, finest first.
    """

    def __init__(self, widths: tuple[int, ...]):
        super().__init__()
        self.down = nn.ModuleList(block(a, b) for a, b in zip((4, *widths), widths, strict=False))
        pairs = zip(widths[:0:-1], widths[-2::-1], strict=True)
        self.up = nn.ModuleList(block(deep + same, same) for deep, same in pairs)
        self.head = nn.Conv2d(widths[0], 4 * OUTPUTS, 1)

    def forward(self, here: Tensor) -> Tensor:
        """Return what the network says of each pixel."""
        kept = []
        for number, part in enumerate(self.down):
            here = part(functional.max_pool2d(here, 2) if number else here)
            kept.append(here)
        for part, same in zip(self.up, kept[-2::-1], strict=True):
            wide = functional.interpolate(here, scale_factor=2.0, mode="nearest")
            here = part(torch.cat([wide, same], 1))
        return self.head(here)


def loss_of(said: Tensor, wanted: Tensor) -> Tensor:
    """Return how wrong the answers (N, 4, Y, X) are; `wanted`: (N, 5, Y, X), without the image."""
    cell, contact, flow, known = wanted[:, :1], wanted[:, 1:2], wanted[:, 2:4], wanted[:, 4:]
    logits = functional.binary_cross_entropy_with_logits
    entropy = (logits(said[:, :1], cell, reduction="none") * known * (1 + 2 * contact)).mean()
    likely = torch.sigmoid(said[:, :1]) * known
    dice = 1 - (2 * (likely * cell).sum() + 1) / ((likely + cell * known).sum() + 1)
    often = torch.tensor(3.0)
    touch = (logits(said[:, 1:2], contact, reduction="none", pos_weight=often) * known).mean()
    way = ((said[:, 2:] - 5 * flow).square() * known * (cell + 0.05)).mean()
    return entropy + 0.3 * dice + 0.3 * touch + 0.25 * way
