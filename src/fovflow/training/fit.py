"""Training: batches of crops go through the network; it is written as ONNX with a description."""

from __future__ import annotations

import io
import json
import math
import warnings
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from fovflow.atomic import atomic_open, write_text
from fovflow.segmentation.network import Description
from fovflow.training.frames import Crops
from fovflow.training.network import UNet, loss_of

WIDTHS = (8, 24, 64, 96)
RATE, FINE_RATE, WARM_UP, KEEP = 2e-3, 5e-4, 100, 0.997


def fit(
    crops: Crops, steps: int, seed: int, start: UNet | None, note: Callable[[float], object]
) -> UNet:
    """Return a network with the running mean of its weights.

    `start`: a network to train further; its normalisations stay as they are. `note` is called after
    each step with its loss.
    """
    torch.manual_seed(seed)
    net: UNet = (start or UNet(WIDTHS)).to(memory_format=torch.channels_last).train()
    if start is not None:
        for _, norm in net.convolutions():
            if norm is not None:
                norm.eval()
    highest = RATE if start is None else FINE_RATE
    warm_up = max(1, min(WARM_UP, steps // 8))
    trainer = torch.optim.AdamW(net.parameters(), highest, weight_decay=1e-3)
    mean = {name: value.clone() for name, value in net.state_dict().items()}
    for step in range(1, steps + 1):
        for group in trainer.param_groups:
            falling = 0.5 * (1 + math.cos(math.pi * step / steps))
            group["lr"] = highest * min(1, step / warm_up) * falling + 1e-6
        batch = torch.from_numpy(crops.batch())
        folded = functional.pixel_unshuffle(batch[:, :1], 2)
        with torch.autocast("cpu", torch.bfloat16):
            said = net(folded.contiguous(memory_format=torch.channels_last))
        loss = loss_of(functional.pixel_shuffle(said.float(), 2), batch[:, 1:])
        trainer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        trainer.step()
        keep = min(KEEP, step / (step + 20))
        for name, value in net.state_dict().items():
            if value.dtype.is_floating_point:
                mean[name].mul_(keep).add_(value, alpha=1 - keep)
            else:
                mean[name] = value.clone()
        note(loss.item())
    net.load_state_dict(mean)
    net.eval()
    return net


def export(net: UNet, out: Path, about: Description, more: dict[str, Any]) -> None:
    """Write the network and, beside it, what it is and how frames are made ready for it."""
    axes = {2: "y", 3: "x"}
    data = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the newer one needs more packages
        torch.onnx.export(
            net,
            (torch.zeros(1, 4, 64, 64),),
            data,
            dynamo=False,
            opset_version=17,
            input_names=["frame"],
            output_names=["said"],
            dynamic_axes={"frame": axes, "said": axes},
        )
    with atomic_open(out, "wb") as file:
        file.write(data.getvalue())
    write_text(out.with_suffix(".json"), json.dumps(asdict(about) | more, indent=1) + "\n")
