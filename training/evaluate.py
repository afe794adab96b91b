"""Score methods on frames that people outlined: SEG, F1, merges, splits, missed, false.

    python training/evaluate.py FOLDER [--model FILE.onnx] [--leave-out K] [--methods unet,logstd]

With `--leave-out K` only the frames that `fovflow train --leave-out K` has not seen.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import cv2

from fovflow.accuracy.scores import detection_counts, f1_score, seg_score
from fovflow.segmentation import get_segmenter
from fovflow.training.frames import read_outlined, split


def main() -> None:
    """Print a line per method."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="holds phase/NAME.tif and masks/NAME.png")
    parser.add_argument("--model", help="a network; the package's own otherwise")
    parser.add_argument("--pixel-um", type=float, default=0.8708, help="of these frames (µm)")
    parser.add_argument("--leave-out", type=int, help="a fifth of the frames, 0 to 4")
    parser.add_argument("--methods", default="unet,logstd,classic")
    given = parser.parse_args()
    cv2.setNumThreads(1)
    frames = read_outlined(given.folder, given.pixel_um)
    if given.leave_out is not None:
        frames = split(frames, given.leave_out)[1]
    truth = [frame.labels for frame in frames]
    for method in given.methods.split(","):
        params = {"model": given.model} if method == "unet" and given.model else {}
        begun, found = time.process_time(), []
        for frame in frames:  # each of another place: nothing is remembered
            segmenter = get_segmenter(method, pixel_um=given.pixel_um, **params)
            found.append(segmenter(frame.image)[0])
        spent = (time.process_time() - begun) / len(frames)
        counts = detection_counts(truth, found)
        words = ", ".join(f"{key} {value}" for key, value in counts.items())
        scores = f"SEG {seg_score(truth, found):.3f}, F1 {f1_score(truth, found):.3f}"
        print(f"{method}: {scores}, {words}, {spent:.2f} s per frame")


if __name__ == "__main__":
    main()
