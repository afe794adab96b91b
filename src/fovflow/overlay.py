"""Pictures and movies of what was found: outlines and ids of cells over the image."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fovflow.atomic import atomic_open, digest_of, sha256_or_none, write_text
from fovflow.copying import missing_frames
from fovflow.drawing import colour_of, contrast, draw_overlay
from fovflow.errors import FovflowError
from fovflow.jobrecord import read_records
from fovflow.labels import boxes
from fovflow.layout import DRAWN
from fovflow.records import read_json_object
from fovflow.results import FovResult, read_traces
from fovflow.units import SECONDS_PER, first_middle_last


@dataclass(frozen=True)
class Overlays:
    """Pictures of the cells of an FOV, all with one contrast and one scale.

    Attributes
    ----------
    fov : fovflow.results.FovResult
    channel : int or None
        Index of the channel to draw on; None for phase contrast, or else the first.
    """

    fov: FovResult
    channel: int | None = None

    @property
    def files(self) -> list[Path]:
        """The files that are drawn from."""
        labels = self.fov.stacks.get("seg_labeled") or self.fov.stacks.get("seg") or {}
        kind, channel = self._source
        found = [self.fov.stacks[kind][channel], *labels.values(), self.fov.traces_path]
        return [path for path in found if path is not None]

    @cached_property
    def images(self) -> Any:
        """The stack that is drawn on, (T, Y, X).

        Raises FovflowError where there is none.
        """
        return self.fov.stack(*self._source)

    @cached_property
    def _source(self) -> tuple[str, int]:
        for kind in ("pc", "fl"):
            found = self.fov.stacks.get(kind, {})
            chosen = next(iter(found), None) if self.channel is None else self.channel
            if chosen is not None and chosen in found:
                return kind, chosen
        which = "" if self.channel is None else f" of channel {self.channel}"
        raise FovflowError(
            f"FOV {self.fov.index} has no image stack{which}",
            remedy="keep the pc or fl stacks (config: keep), or choose another --channel",
        )

    @cached_property
    def labels(self) -> Any:
        """The stack of the cells, (T, Y, X)."""
        found = self.fov.stack("seg_labeled" if "seg_labeled" in self.fov.stacks else "seg")
        if found.shape != self.images.shape:
            raise FovflowError(
                f"FOV {self.fov.index}: image and labels differ in shape",
                found=f"{self.images.shape} and {found.shape}",
                remedy="run the pipeline again",
            )
        return found

    @cached_property
    def _limits(self) -> tuple[float, float]:
        frames = range(len(self.images))
        some = first_middle_last([t for t in frames if t not in self._missing] or frames)
        return contrast(np.stack([self.images[t] for t in some]))

    @cached_property
    def _missing(self) -> frozenset[int]:
        """Frames that were not acquired: they are black."""
        try:
            times = self.fov.times().to_dict("series")
        except FovflowError:
            return frozenset()
        return frozenset(np.flatnonzero(missing_frames(times, self._source[1])).tolist())

    @cached_property
    def _rejected(self) -> frozenset[tuple[int, int]]:
        """Frame and cell of rows that are not good, where the labels are those of the traces."""
        if self.fov.traces_path is None or "seg_labeled" not in self.fov.stacks:
            return frozenset()
        rows = read_traces(self.fov.traces_path, lambda name: name in ("frame", "good"))
        bad = ~rows.get("good", np.ones(len(rows["cell"]), bool)).astype(bool)
        return frozenset(zip(rows["frame"][bad].tolist(), rows["cell"][bad].tolist(), strict=True))

    @cached_property
    def _times(self) -> list[str]:
        unit = str(self.fov.metadata.get("time_units") or "s")
        try:
            times = self.fov.times()["time_s"].to_numpy() / SECONDS_PER[unit]
        except FovflowError:
            return []
        step = float(np.nanmedian(np.diff(times))) if len(times) > 1 else 1.0
        digits = 0 if not 0 < step < 1 else 1 - math.floor(math.log10(step))
        return [f"{time:.{digits}f} {unit}" if np.isfinite(time) else "" for time in times]

    def draw(self, t: int, side: int | None = None) -> NDArray[np.uint8]:
        """Return frame `t` with outlines, ids, time and scale bar.

        The ids of cells that are not good in that frame are orange, as in the report. Small frames
        are enlarged. `side`: greatest width and height, in pixels. The picture is (Y, X, 3) uint8,
        red, green, blue.
        """
        from PIL import Image, ImageDraw

        image, labels = self.images[t], self.labels[t]
        scale: float = max(1, round(_WELL_SEEN_PX / max(image.shape)))
        scale = min(scale, (side or math.inf) / max(image.shape))
        height, width = (max(1, round(n * scale)) for n in image.shape)
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        large = cv2.resize(np.asarray(image, np.float32), (width, height), interpolation=how)
        rows, columns = ((np.arange(n) / scale).astype(np.intp) for n in (height, width))
        outlined = labels[np.ix_(rows.clip(0, len(image) - 1), columns.clip(0, len(image[0]) - 1))]
        drawn = draw_overlay(
            large, outlined, limits=self._limits, thickness=1 + (min(height, width) >= 600)
        )
        picture = Image.fromarray(cv2.cvtColor(drawn, cv2.COLOR_BGR2RGB))
        pen, size = ImageDraw.Draw(picture), max(9, min(width, height) // 42)
        for label, (above, aside) in boxes(outlined):
            colour = _REJECTED if (t, label) in self._rejected else "white"
            half = 0.35 * size * len(str(label)), 0.6 * size
            x, y = (aside.start + aside.stop) / 2, (above.start + above.stop) / 2
            if aside.stop - aside.start < 2 * half[0] or above.stop - above.start < size:
                y = above.start - half[1]  # above a cell that it would cover
            x, y = (
                min(max(at, least), most - least)
                for at, least, most in zip((x, y), half, (width, height), strict=True)
            )
            _write(pen, (x, y), str(label), size, anchor="mm", fill=colour)
        margin = max(6, size // 2)
        told = f"{self._times[t]}   " if t < len(self._times) and self._times[t] else ""
        lacking = ", not acquired" if t in self._missing else ""
        _write(pen, (margin, margin), f"{told}frame {t}{lacking}", 3 * size // 2, anchor="la")
        pixel_um = self.fov.metadata.get("pixel_um")
        if pixel_um:
            _scale_bar(pen, (width - margin, height - margin), width, scale / pixel_um, size)
        return np.asarray(picture)


_WELL_SEEN_PX = 1000
"""Frames are enlarged, by a whole number, to about this width or height."""
_REJECTED = (255, 171, 74)


def _write(pen: Any, place: tuple[float, float], text: str, size: int, **how: Any) -> None:
    from PIL import ImageFont

    about = {"fill": "white", "stroke_fill": "black", "stroke_width": max(1, size // 8), **how}
    pen.text(place, text, font=ImageFont.load_default(size), **about)


def _scale_bar(
    pen: Any, corner: tuple[float, float], width: int, px_per_um: float, size: int
) -> None:
    """Draw a bar of a round length, at most a fifth of the width, up to the lower right corner."""
    from PIL import ImageFont

    most = width / px_per_um / 5
    decade = 10.0 ** math.floor(math.log10(most))
    length = max(n * decade for n in (1, 2, 5) if n * decade <= most)
    right, bottom = corner
    left, top = right - length * px_per_um, bottom - max(3, size // 4)
    pen.rectangle((left - 1, top - 1, right + 1, bottom + 1), fill="black")
    pen.rectangle((left, top, right, bottom), fill="white")
    size = 5 * size // 4
    before = f"{length:g} "
    aside, whole = (
        ImageFont.load_default(size).getlength(text) for text in (before, f"{before}um")
    )
    place = ((left + right - whole) / 2, top - size // 2)
    # Pillow's own font has no µ: it is a u with a stem.
    stem = place[0] + aside + size / 8, place[1] - size / 3
    for colour, wide in (("black", size // 4), ("white", size // 9)):
        _write(pen, place, f"{before}um", size, anchor="ls", fill=colour)
        edge = wide / 2
        pen.rectangle(
            (stem[0] - edge, stem[1], stem[0] + edge, place[1] + size / 5 + edge), fill=colour
        )


def write_png(path: str | os.PathLike[str], picture: NDArray[np.uint8]) -> None:
    """Write a picture (red, green, blue) as a PNG file, atomically."""
    fine, data = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    if not fine:
        raise FovflowError(f"a picture of shape {picture.shape} cannot be encoded as PNG")
    with atomic_open(path, "wb") as file:
        file.write(data.tobytes())


def note_drawn(folder: Path, drawn: Mapping[Path, Sequence[Path]]) -> None:
    """Record pictures in a dataset's folder: their content, and of which files they were drawn.

    `drawn`: the files by picture. `fovflow verify` compares them.
    """
    records = read_records(folder, complete=True)
    known = {name: digest for record in records for name, digest in record.outputs.items()}

    def sha256(path: Path) -> str | None:
        digest = known.get(path.relative_to(folder).as_posix())
        return digest.sha256 if digest else sha256_or_none(path)

    content = read_json_object(folder / DRAWN)
    for picture, sources in drawn.items():
        made_from = {path.relative_to(folder).as_posix(): sha256(path) for path in sources}
        about = {**asdict(digest_of(picture)), "made_from": made_from}
        content[picture.relative_to(folder).as_posix()] = about
    write_text(folder / DRAWN, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


MOVIES = {"mp4": 1080, "gif": 640}
"""Kinds of movies, and the greatest width and height of their frames in pixels."""


def write_movie(
    path: str | os.PathLike[str], pictures: Iterable[NDArray[np.uint8]], fps: float
) -> None:
    """Write pictures (red, green, blue), one after the other, as MP4 (H.264) or GIF, atomically.

    The end of the name tells which. Raises FovflowError where PyAV, which MP4 needs, is absent.
    """
    write = _write_mp4 if os.fspath(path).endswith(".mp4") else _write_gif
    with atomic_open(path, "wb") as file:
        write(file, iter(pictures), fps)


def _write_mp4(file: Any, pictures: Iterator[NDArray[np.uint8]], fps: float) -> None:
    try:
        import av
    except ImportError as error:
        raise FovflowError(
            "an MP4 needs the package av, which is not installed",
            remedy='install it: pip install "fovflow[movies]", or make a GIF: --movie gif',
        ) from error
    first = next(pictures)
    height, width = (n - n % 2 for n in first.shape[:2])  # H.264 takes even sizes
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1000))
        stream.height, stream.width = height, width
        stream.pix_fmt, stream.options = "yuv420p", {"crf": "23"}
        for picture in chain([first], pictures):
            frame = av.VideoFrame.from_ndarray(picture[:height, :width].copy(), "rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def _write_gif(file: Any, pictures: Iterator[NDArray[np.uint8]], fps: float) -> None:
    from PIL import Image

    greys = [(value, value, value) for value in range(0, 256, 4)]
    colours = [colour_of(label)[::-1] for label in range(1, 256 - len(greys))]
    palette = Image.new("P", (1, 1))
    palette.putpalette([part for colour in (*greys, *colours, _REJECTED) for part in colour])
    how = {"palette": palette, "dither": Image.Dither.NONE}
    frames = (Image.fromarray(picture).quantize(**how) for picture in pictures)
    next(frames).save(
        file, "GIF", save_all=True, append_images=frames, duration=round(1000 / fps), loop=0
    )
