"""python training/export.py WEIGHTS.pt OUT.onnx: the network as ONNX, with its description."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))
from frames import PIXEL_UM
from network import Network

weights, out = sys.argv[1:]
kept = torch.load(weights)
net = Network(kept["widths"])
net.load_state_dict(kept["weights"])
net.eval()
net.forward = net.folded
axes = {2: "y", 3: "x"}
torch.onnx.export(
    net, (torch.zeros(1, 4, 128, 128),), out, dynamo=False, opset_version=17,
    input_names=["frame"], output_names=["said"], dynamic_axes={"frame": axes, "said": axes},
)
about = {"pixel_um": PIXEL_UM, "surroundings_um": 133.0}
Path(out).with_suffix(".json").write_text(json.dumps(about, indent=1) + "\n")
