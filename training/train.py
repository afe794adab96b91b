"""Train the network of `segment.method: unet`, and write it as ONNX with its description.

    python training/train.py OUT.onnx --data FOLDER [--steps N] [--leave-out K]

FOLDER holds `phase/NAME.tif` and `masks/NAME.png`. `--leave-out K` keeps every fifth frame, from
the K-th on, out of the training: `evaluate.py` scores what was trained so on those frames.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path

import cv2
import torch
from frames import PIXEL_UM, SURROUNDINGS_UM, Crops, lessons, read_outlined
from network import OUTPUTS, Network, loss_of
from torch.nn import functional

WIDTHS = (8, 24, 64, 96)
RATE, WARM_UP, KEEP = 2e-3, 100, 0.997


def train(crops: Crops, steps: int, seed: int) -> Network:
    """Return a network with the running mean of its weights."""
    torch.manual_seed(seed)
    net = Network(WIDTHS).to(memory_format=torch.channels_last)
    fit = torch.optim.AdamW(net.parameters(), RATE, weight_decay=1e-3)
    mean = {name: value.clone() for name, value in net.state_dict().items()}
    begun, loss_sum = time.process_time(), 0.0
    for step in range(1, steps + 1):
        for group in fit.param_groups:
            falling = 0.5 * (1 + math.cos(math.pi * step / steps))
            group["lr"] = RATE * min(1, step / WARM_UP) * falling + 1e-6
        batch = torch.from_numpy(crops.batch())
        folded = functional.pixel_unshuffle(batch[:, :1], 2)
        with torch.autocast("cpu", torch.bfloat16):
            said = net(folded.contiguous(memory_format=torch.channels_last))
        loss = loss_of(functional.pixel_shuffle(said.float(), 2), batch[:, 1:])
        fit.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        fit.step()
        keep = min(KEEP, step / (step + 20))
        for name, value in net.state_dict().items():
            if value.dtype.is_floating_point:
                mean[name].mul_(keep).add_(value, alpha=1 - keep)
            else:
                mean[name] = value.clone()
        loss_sum += loss.item()
        if step % 100 == 0 or step == steps:
            spent = time.process_time() - begun
            n = step % 100 or 100
            print(f"step {step} of {steps}, {spent:.0f} s CPU, loss {loss_sum / n:.4f}", flush=True)
            loss_sum = 0.0
    net.load_state_dict(mean)
    return net.eval()


def export(net: Network, out: Path, about: dict[str, object]) -> None:
    """Write the network and, beside it, what it is and how frames are made ready for it."""
    axes = {2: "y", 3: "x"}
    torch.onnx.export(
        net,
        (torch.zeros(1, 4, 64, 64),),
        str(out),
        dynamo=False,
        opset_version=17,
        input_names=["frame"],
        output_names=["said"],
        dynamic_axes={"frame": axes, "said": axes},
    )
    text = json.dumps({"pixel_um": PIXEL_UM, "surroundings_um": SURROUNDINGS_UM, **about}, indent=1)
    out.with_suffix(".json").write_text(text + "\n", encoding="utf-8")


def main() -> None:
    """Train and write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("out", type=Path, help="the ONNX file to write")
    parser.add_argument("--data", type=Path, required=True, help="folder of frames and masks")
    parser.add_argument("--pixel-um", type=float, default=0.8708, help="of these frames (µm)")
    parser.add_argument("--steps", type=int, default=4000, help="batches of eight crops")
    parser.add_argument("--leave-out", type=int, help="a fifth of the frames, 0 to 4")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    outlined = read_outlined(given.data)
    used = [
        f for n, f in enumerate(outlined) if given.leave_out is None or n % 5 != given.leave_out
    ]
    net = train(
        Crops([lessons(f, given.pixel_um) for f in used], given.seed), given.steps, given.seed
    )
    about = {
        "outputs": ["cell", "contact", "flow_y", "flow_x"][:OUTPUTS],
        "frames": [f.name for f in used],
        "steps": given.steps,
        "seed": given.seed,
        "torch": torch.__version__,
    }
    export(net, given.out, about)


if __name__ == "__main__":
    main()
