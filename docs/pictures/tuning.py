"""The pictures of docs/tuning.md, from frames of the T98G movie that the network has not seen.

``python docs/pictures/tuning.py PHASE FOLDER``: PHASE holds the 37 frames of the series (T98G,
oist/Usiigaci, MIT licence), FOLDER gets one WebP per symptom.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import tifffile
from draw import CAPTION, GAP, INK, font
from PIL import Image, ImageDraw

from fovflow.drawing import colour_of, stretch
from fovflow.segmentation import segment_stack
from fovflow.tracking import track_stack

PIXEL_UM, SIDE, PANEL = 0.8708, 190, 330
BLUE = (255, 208, 63)
MOST_BYTES = 60_000

SYMPTOMS = {
    "merged": (11, 574, 562, {"neck_ratio": 0.85}),
    "pieces": (11, 426, 310, {"neck_ratio": 0.35}),
    "rims": (20, 41, 106, {"halo_um": 6.0}),
    "dirt": (29, 588, 695, {"min_contrast": 3.0, "faint_area_um2": 1000.0}),
    "missed": (29, 832, 660, {"min_contrast": 1.0}),
}
"""What is seen: frame, first row and column of the part that is shown, and what is turned."""

TRACKED = range(16, 19), 480, 560
"""Frames, first row and column of the picture of ids."""


def symptom(image: np.ndarray, y: int, x: int, turned: dict[str, float]) -> Image.Image:
    """Return the default, what is turned and the network, side by side."""
    ways = {
        "logstd, the defaults": {"method": "logstd"},
        ", ".join(f"{k}: {v:g}" for k, v in turned.items()): {"method": "logstd", **turned},
        "method: unet": {"method": "unet"},
    }
    panels = []
    for given in ways.values():
        labels = segment_stack(image[None], pixel_um=PIXEL_UM, **given)[0]
        panels.append(outlined(image, labels, y, x, lambda _: BLUE))
    return sheet([*ways], [panels])


def ids(images: np.ndarray, frames: range, y: int, x: int) -> Image.Image:
    """Return the cells of three frames in a row with the colours of their ids, by two methods."""
    rows = []
    first = max(frames[0] - 5, 0)
    for method in ("logstd", "unet"):
        part = images[first : frames[-1] + 1]
        labels = segment_stack(part, method=method, pixel_um=PIXEL_UM)
        tracked = track_stack(labels, method="iou", pixel_um=PIXEL_UM)[0]
        rows.append(
            [outlined(images[t], tracked[t - first], y, x, colour_of, named=True) for t in frames]
        )
    return sheet([f"frame {t}: above logstd, below unet" for t in frames], rows)


def outlined(image, labels, y, x, colour, *, named=False) -> Image.Image:
    """Return a part of a frame, enlarged, with outlines."""
    part = stretch(image)[y : y + SIDE, x : x + SIDE]
    grey = cv2.resize(part, (PANEL, PANEL), interpolation=cv2.INTER_CUBIC)
    canvas = cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)
    cut = labels[y : y + SIDE, x : x + SIDE]
    large = cv2.resize(cut, (PANEL, PANEL), interpolation=cv2.INTER_NEAREST)
    for label in np.unique(large)[1:]:
        mask = cv2.GaussianBlur((large == label).astype(np.float32), (0, 0), 1.5) > 0.5
        edges, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(canvas, edges, -1, colour(int(label)), 2, cv2.LINE_AA)
    panel = Image.fromarray(cv2.cvtColor(canvas, cv2.COLOR_BGR2RGB))
    if named:
        pen = ImageDraw.Draw(panel)
        for label in np.unique(large)[1:]:
            rows, columns = np.nonzero(large == label)
            if rows.size > 900:
                place = (float(columns.mean()), float(rows.mean()))
                pen.text(place, str(label), "white", font(15), anchor="mm",
                         stroke_width=2, stroke_fill="black")  # fmt: skip
    return panel


def sheet(captions: list[str], rows: list[list[Image.Image]]) -> Image.Image:
    """Return panels in rows under their captions."""
    width = len(captions) * (PANEL + GAP) - GAP
    whole = Image.new("RGB", (width, CAPTION + len(rows) * (PANEL + GAP) - GAP), "white")
    pen = ImageDraw.Draw(whole)
    for column, caption in enumerate(captions):
        pen.text((column * (PANEL + GAP), 8), caption, INK, font(15))
        for row, panels in enumerate(rows):
            place = (column * (PANEL + GAP), CAPTION + row * (PANEL + GAP))
            whole.paste(panels[column], place)
    return whole


def main(phase: str, folder: str) -> None:
    """Write the pictures."""
    images = np.stack([tifffile.imread(path) for path in sorted(Path(phase).glob("*.tif"))])
    made = {name: symptom(images[t], *rest) for name, (t, *rest) in SYMPTOMS.items()}
    made["ids"] = ids(images, *TRACKED)
    for name, picture in made.items():
        path = Path(folder) / f"tuning-{name}.webp"
        for quality in (70, 60, 50, 40):
            picture.save(path, quality=quality, method=6)
            if path.stat().st_size <= MOST_BYTES:
                break
        print(path, f"{path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main(*sys.argv[1:])
