"""The pictures of the documentation, from the demo's results: ``make pictures``.

``python docs/pictures/draw.py DEMO FOLDER`` writes ``steps.png``, ``cells.png`` and, with headless
Chromium, ``report.png``.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

import fovflow
from fovflow.drawing import colour_of, draw_overlay, stretch

FOV, FRAME = 0, 35
CUT = slice(100, 300), slice(290, 490)
PANEL, GAP, CAPTION = 360, 16, 34
INK, GREY, GREEN = (32, 38, 46), (107, 114, 128), (16, 133, 96)


def steps_picture(fov) -> Image.Image:
    """Return the steps of the pipeline side by side, as one FOV shows them."""
    phase, light = fov.stack("pc")[FRAME], fov.stack("fl")[FRAME]
    corrected = fov.stack("fl_corrected")
    tracked = fov.stack("seg_labeled")
    panels = [
        ("copy: phase contrast", grey(phase)),
        ("segment: the cells of each frame", outlined(phase, tracked[FRAME])),
        ("track: one id over time", trails(tracked)),
        ("copy: fluorescence", grey(light)),
        ("correct: less the background", grey(corrected[FRAME])),
        ("extract: one trace per cell", traces_panel(fov.traces())),
    ]
    width, height = 3 * PANEL + 2 * GAP, 2 * (PANEL + CAPTION) + GAP
    sheet = Image.new("RGB", (width, height), "white")
    pen = ImageDraw.Draw(sheet)
    for number, (caption, panel) in enumerate(panels):
        x = (number % 3) * (PANEL + GAP)
        y = (number // 3) * (PANEL + CAPTION + GAP)
        pen.text((x, y + 4), caption, INK, font(20))
        sheet.paste(panel, (x, y + CAPTION))
    return sheet


def cells_picture(fov) -> Image.Image:
    """Return the overlay of a part of the first, the middle and the last frame."""
    frames = (0, FRAME // 2 + 1, FRAME)
    sheet = Image.new("RGB", (3 * PANEL + 2 * GAP, PANEL + CAPTION), "white")
    pen = ImageDraw.Draw(sheet)
    minutes = fov.times()["time_s"] / 60
    for number, frame in enumerate(frames):
        image, labels = fov.stack("pc")[frame][CUT], fov.stack("seg_labeled")[frame][CUT]
        large = cv2.resize(image, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
        ids = cv2.resize(labels, None, fx=4, fy=4, interpolation=cv2.INTER_NEAREST)
        panel = panel_of(draw_overlay(large, ids, thickness=4))
        write_ids(panel, ids)
        x = number * (PANEL + GAP)
        pen.text((x, 4), f"frame {frame}, {minutes[frame]:.0f} min", INK, font(20))
        sheet.paste(panel, (x, CAPTION))
    return sheet


def write_ids(panel: Image.Image, labels: np.ndarray) -> None:
    """Write the id of each cell at its centre."""
    pen = ImageDraw.Draw(panel)
    for label in np.unique(labels)[1:]:
        y, x = np.nonzero(labels == label)
        place = (float(x.mean()) * PANEL / labels.shape[1], float(y.mean()) * PANEL / len(labels))
        pen.text(
            place, str(label), "white", font(18), anchor="mm", stroke_width=2, stroke_fill="black"
        )


def grey(image: np.ndarray) -> Image.Image:
    """Return an image in grey."""
    return panel_of(cv2.cvtColor(stretch(image), cv2.COLOR_GRAY2BGR))


def outlined(image: np.ndarray, labels: np.ndarray) -> Image.Image:
    """Return an image with the outlines of the cells."""
    return panel_of(draw_overlay(image, labels, thickness=2))


def panel_of(picture: np.ndarray, size: int = PANEL) -> Image.Image:
    """Return a picture (blue, green, red) in a panel's size."""
    sized = cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA)
    return Image.fromarray(cv2.cvtColor(sized, cv2.COLOR_BGR2RGB))


def trails(labels: np.ndarray) -> Image.Image:
    """Return the cells of the last frame, filled, with the ways that they came."""
    scale = 2 * PANEL / labels.shape[1]
    canvas = np.full((*labels.shape[1:], 3), 255, np.uint8)
    for label in np.unique(labels[FRAME])[1:]:
        colour = np.array(colour_of(int(label)), float)
        canvas[labels[FRAME] == label] = 0.45 * colour + 0.55 * 255
    panel = panel_of(canvas, 2 * PANEL)
    pen = ImageDraw.Draw(panel)
    for label in np.unique(labels[FRAME])[1:]:
        b, g, r = colour_of(int(label))
        shade = tuple(int(0.6 * value) for value in (r, g, b))
        points = []
        for frame in labels[: FRAME + 1]:
            y, x = np.nonzero(frame == label)
            if y.size:
                points.append((float(x.mean()) * scale, float(y.mean()) * scale))
        pen.line(points, shade, 4, joint="curve")
        pen.text((points[-1][0] + 8, points[-1][1] - 16), str(label), shade, font(28))
    return framed(panel)


def traces_panel(traces) -> Image.Image:
    """Return the total intensity of the good cells over time."""
    good = traces[traces["good"]]
    panel = Image.new("RGB", (2 * PANEL, 2 * PANEL), "white")
    pen = ImageDraw.Draw(panel)
    left, right, top, bottom = 130, 2 * PANEL - 30, 40, 2 * PANEL - 100
    last, highest = good["time"].max(), good["intensity_total_ch_1"].max()

    def place(time: float, value: float) -> tuple[float, float]:
        return (
            left + (right - left) * time / last,
            bottom - (bottom - top) * max(value, 0) / highest,
        )

    for value in range(0, int(highest), 50_000):
        _, y = place(0, value)
        pen.line((left, y, right, y), (229, 231, 235), 2)
        pen.text((left - 12, y), f"{value // 1000}k", GREY, font(30), anchor="rm")
    for time in range(0, int(last) + 1, 100):
        pen.text((place(time, 0)[0], bottom + 12), str(time), GREY, font(30), anchor="mt")
    for _, cell in good.groupby("cell"):
        points = [place(*row) for row in cell[["time", "intensity_total_ch_1"]].to_numpy()]
        pen.line(points, (142, 199, 180), 3)
    median = good.groupby("time")["intensity_total_ch_1"].median()
    pen.line([place(*row) for row in median.items()], GREEN, 9, joint="curve")
    pen.text((left + 8, 4), "total GFP (counts)", INK, font(30))
    pen.text((right, bottom + 50), "time (min)", INK, font(30), anchor="rt")
    return framed(panel)


def framed(panel: Image.Image) -> Image.Image:
    """Return a panel that was drawn at double size, with a frame."""
    edge = (0, 0, 2 * PANEL - 1, 2 * PANEL - 1)
    ImageDraw.Draw(panel).rectangle(edge, outline=(209, 213, 219), width=2)
    return panel.resize((PANEL, PANEL), Image.Resampling.LANCZOS)


def report_picture(page: Path) -> Image.Image:
    """Return the top of the report as a browser shows it."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), "")
    if not browser:
        raise SystemExit("report.png needs Chromium: install it and run this again")
    with tempfile.TemporaryDirectory() as folder:
        shot = Path(folder) / "shot.png"
        subprocess.run(
            [
                browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
                "--disable-background-networking", "--disable-component-update", "--disable-sync",
                "--hide-scrollbars", f"--user-data-dir={folder}/profile",
                "--window-size=1120,1360", f"--screenshot={shot}", page.resolve().as_uri(),
            ],
            check=True,
            capture_output=True,
            timeout=120,
        )  # fmt: skip
        with Image.open(shot) as picture:
            return picture.convert("RGB")


def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return Pillow's own font."""
    return ImageFont.load_default(size)


def save(picture: Image.Image, path: Path) -> None:
    """Write a picture with a palette: 80 greys, and 176 colours that suit it."""
    pixels = np.asarray(picture).reshape(-1, 3)
    coloured = pixels[np.ptp(pixels.astype(int), axis=1) > 16]
    chosen = Image.fromarray(coloured[None]).quantize(176).getpalette()[: 3 * 176]
    greys = np.linspace(0, 255, 80).astype(int).repeat(3).tolist()
    palette = Image.new("P", (1, 1))
    palette.putpalette(greys + chosen)
    indexed = np.array(picture.quantize(palette=palette, dither=Image.Dither.NONE))
    indexed[(np.asarray(picture) == 255).all(axis=2)] = 79
    sheet = Image.fromarray(indexed).convert("P")
    sheet.putpalette(greys + chosen)
    sheet.save(path, optimize=True)
    print(f"{path}: {path.stat().st_size // 1000} kB")


def main(demo: str, folder: str) -> None:
    """Draw all pictures."""
    fov = fovflow.load_results(Path(demo) / "results" / "demo").fovs[FOV]
    save(steps_picture(fov), Path(folder) / "steps.png")
    save(cells_picture(fov), Path(folder) / "cells.png")
    save(report_picture(Path(demo) / "results" / "report.html"), Path(folder) / "report.png")
    drawn = Path(demo) / "results" / "analysis" / "pictures"
    for name, source in (("superplot", "superplot_intensity_total_ch_1_trivial_ktl"),
                         ("fits", "fits_drug_1_intensity_total_ch_1_trivial")):  # fmt: skip
        shutil.copyfile(drawn / f"{source}.svg", Path(folder) / f"{name}.svg")


if __name__ == "__main__":
    main(*sys.argv[1:])
