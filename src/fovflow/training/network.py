"""The network: a small U-Net (Ronneberger et al. 2015) on pixels that are folded two by two."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from fovflow.errors import ConfigError
from fovflow.segmentation.network import Network as SegmentNetwork

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


class UNet(nn.Module):
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

    def convolutions(self) -> list[tuple[nn.Conv2d, nn.BatchNorm2d | None]]:
        """Return all convolutions in the order of their work, each with what normalises it."""
        blocks = [layer for part in (*self.down, *self.up) for layer in (part[:2], part[3:5])]
        return [*((layer[0], layer[1]) for layer in blocks), (self.head, None)]


def read_network(path: Path) -> UNet:
    """Return a network that `segment.method: unet` can use, ready to be trained further.

    An ONNX file has weights only, the normalisations in them: these are the identity here. Raises
    ConfigError for files that are none, and for networks of another build.
    """
    import onnx

    SegmentNetwork(path)  # refuses what is no network
    refused = ConfigError(
        f"{path} is a network of another build than can be trained here",
        remedy="start from the package's own, or from one that fovflow train has made",
    )
    try:
        graph = onnx.load_model_from_string(path.read_bytes()).graph
        stored = {each.name: each for each in graph.initializer}
        nodes = [node for node in graph.node if node.op_type == "Conv"]
        weights = [
            [np.array(onnx.numpy_helper.to_array(stored[name])) for name in node.input[1:]]
            for node in nodes
        ]
        widths = tuple(len(weight) for weight, _ in weights[: (len(weights) + 1) // 2 : 2])
        found = [weight.shape for weight, _ in weights]
    except Exception as error:  # the parser of a format raises many kinds
        raise refused from error
    if found != _shapes(widths) or any(b.shape != w.shape[:1] for w, b in weights):
        raise refused
    net = UNet(widths)
    with torch.no_grad():
        for (layer, norm), (weight, bias) in zip(net.convolutions(), weights, strict=True):
            layer.weight.copy_(torch.from_numpy(weight))
            if norm is None:
                layer.bias.copy_(torch.from_numpy(bias))
            else:
                norm.bias.copy_(torch.from_numpy(bias))
                norm.running_var.fill_(1 - norm.eps)
    return net


def _shapes(widths: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Return the shapes of the weights of all convolutions."""
    down = [(a, b) for a, b in zip((4, *widths), widths, strict=False)]
    up = [(a + b, b) for a, b in zip(widths[:0:-1], widths[-2::-1], strict=True)]
    pairs = [pair for a, b in (*down, *up) for pair in ((b, a), (b, b))]
    return [*((b, a, 3, 3) for b, a in pairs), (4 * OUTPUTS, widths[0], 1, 1)] if widths else []


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
