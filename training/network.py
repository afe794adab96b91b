"""The network: a small U-Net on pixels that are folded two by two."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

OUTPUTS = ("cell", "contact", "flow_y", "flow_x")


def block(inputs: int, outputs: int) -> nn.Sequential:
    """Two convolutions, each normalised."""
    layers: list[nn.Module] = []
    for n in (inputs, outputs):
        layers += [nn.Conv2d(n, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(True)]
    return nn.Sequential(*layers)


class Network(nn.Module):
    """(N, 1, Y, X) normalised frames to (N, 4, Y, X) logits and flow; Y and X divide by 16."""

    def __init__(self, widths: tuple[int, ...] = (16, 32, 64, 96)):
        super().__init__()
        self.down = nn.ModuleList(block(a, b) for a, b in zip((4, *widths), widths))
        self.up = nn.ModuleList(
            block(deep + same, same) for deep, same in zip(widths[:0:-1], widths[-2::-1])
        )
        self.head = nn.Conv2d(widths[0], 4 * len(OUTPUTS), 1)

    def forward(self, frame: Tensor) -> Tensor:
        """Return what the network says of each pixel."""
        return F.pixel_shuffle(self.folded(F.pixel_unshuffle(frame, 2)), 2)

    def folded(self, here: Tensor) -> Tensor:
        """The same on pixels folded two by two: (N, 4, Y/2, X/2) to (N, 16, Y/2, X/2)."""
        kept = []
        for number, part in enumerate(self.down):
            here = part(F.max_pool2d(here, 2) if number else here)
            kept.append(here)
        for part, same in zip(self.up, kept[-2::-1]):
            here = part(torch.cat([F.interpolate(here, scale_factor=2.0, mode="nearest"), same], 1))
        return self.head(here)
