"""The command that trains the network for segment.method unet on a person's outlines: train."""

from __future__ import annotations

import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

from fovflow.cli.common import argument, command, flag
from fovflow.errors import ConfigError, FovflowError

if TYPE_CHECKING:
    from fovflow.training.frames import Outlined


@command(
    "fovflow train my_masks --pixel-um 0.65 --out own.onnx",
    argument("folder", help="frames with masks: see docs/tuning.md"),
    argument("--out", default="own.onnx", help="network to write (default: own.onnx)"),
    argument("--pixel-um", type=float, help="edge length of a pixel, where files do not say it"),
    argument("--steps", type=int, default=300, help="batches of eight crops (default: 300)"),
    argument("--crop", type=int, default=256, help="side of the crops (default: 256 px of 1.3 µm)"),
    argument("--model", help="network to start from (default: the package's own)"),
    flag("--from-scratch", help="start from no network"),
    argument("--leave-out", type=int, default=0, help="which fifth of the frames is only scored"),
    flag("--all", dest="whole", help="train on all frames; nothing is scored"),
    argument("--seed", type=int, default=0, help="the same seed draws the same crops"),
)
def train(
    folder: str,
    *,
    out: str,
    pixel_um: float | None,
    steps: int,
    crop: int,
    model: str | None,
    from_scratch: bool,
    leave_out: int,
    whole: bool,
    seed: int,
) -> int:
    """Train, write the network, and tell how it does on frames that it has not seen."""
    missing = [name for name in ("torch", "onnx") if find_spec(name) is None]
    if missing:
        raise FovflowError(
            f"training needs {' and '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} "
            "not installed",
            remedy='install what it needs: pip install "fovflow[train]"',
        )
    path = Path(out)
    if path.suffix != ".onnx" or steps < 1:
        what = f"--out {out}: the name must end in .onnx" if steps > 0 else f"--steps {steps}: none"
        raise ConfigError(what, remedy="such as --out own.onnx --steps 300")
    import cv2
    import torch

    from fovflow.progress import Progress
    from fovflow.segmentation.network import BUILT_IN, STEP, Network
    from fovflow.training.fit import export, fit
    from fovflow.training.frames import Crops, lessons, read_outlined, split
    from fovflow.training.network import read_network

    if crop not in range(64, 1025, STEP):
        raise ConfigError(
            f"--crop {crop}: no side of a crop", remedy=f"64 to 1024, a multiple of {STEP}"
        )
    begun = Path(model) if model else BUILT_IN
    start = None if from_scratch else read_network(begun)
    about = Network(begun).description
    path.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryFile(dir=path.parent):
        pass  # it can be written there: told before the work, not after it
    used, scored = split(read_outlined(Path(folder), pixel_um), None if whole else leave_out)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    began = time.monotonic()
    with Progress(len(used), "frames", unit="frame") as progress:
        shown = []
        for frame in used:
            shown.append(lessons(frame, about))
            progress.count()
    with Progress(steps, "training", unit="step") as progress:
        net = fit(Crops(shown, seed, crop), steps, seed, start, lambda _: progress.count())
    export(
        net,
        path,
        about,
        {
            "outputs": ["cell", "contact", "flow_y", "flow_x"],
            "frames": [frame.name for frame in used],
            "left_out": [frame.name for frame in scored],
            "begun_with": None if from_scratch else begun.name,
            "steps": steps,
            "seed": seed,
            "torch": torch.__version__,
        },
    )
    Network(path)
    if scored:
        before = [] if from_scratch else [("before", str(begun))]
        print("\n".join(_table(scored, [*before, ("after", out)])))
    print(f"{out}: trained on {len(used)} frames in {time.monotonic() - began:.0f} s")
    print(f"in the configuration: segment: {{method: unet, model: {out}}}")
    return 0


def _table(frames: Sequence[Outlined], networks: Sequence[tuple[str, str]]) -> list[str]:
    """Return how networks do on frames that were left out."""
    from fovflow.accuracy.scores import detection_counts, seg_score
    from fovflow.segmentation import get_segmenter

    truth = [frame.labels for frame in frames]
    places = {frame.place for frame in frames}
    lines = [
        f"on what was left out ({len(frames)} {'frame' if len(frames) == 1 else 'frames'}):",
        f"{'':8}{'SEG':>6}{'cells':>7}{'found':>7}{'missed':>8}{'extra':>7}{'merged':>8}{'split':>7}",
    ]
    for name, network in networks:
        found = []
        for frame in frames:
            segmenter = get_segmenter("unet", pixel_um=frame.pixel_um, model=network)
            found.append(segmenter(frame.image)[0])
        n = detection_counts(truth, found)
        lines.append(
            f"{name:8}{seg_score(truth, found):6.3f}{n['true']:7}{n['found']:7}{n['missed']:8}"
            f"{n['extra']:7}{n['merged']:8}{n['split']:7}"
        )
    if len(places) == 1 and len(frames) > 1:
        lines.append("All frames are of one place: others may be found less well.")
    return lines
