"""What the report loads of one FOV when somebody looks at it: numbers, pictures and outlines.

Each is a script that hands plain data to the page, since a page that is opened from disk may load
scripts and nothing else. ``docs/report.md`` describes the form.
"""

from __future__ import annotations

import itertools
import json
import zlib
from base64 import b64encode
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fovflow.labels import contours, resampled
from fovflow.quality.rules import Rows
from fovflow.stacks import StackReader
from fovflow.units import spread

LEVELS = 255
"""Steps in which a cell's lowest to highest value are told; 0 stands for no value."""
_QUALITIES = ((80, 0.0), (65, 0.0), (50, 0.0), (40, 0.7), (30, 1.0))
"""JPEG qualities, and widths in pixels of a blur, of which the first that fits is taken."""
_BYTES_PER_PIXEL = 0.075
"""Of a picture, at most: noise costs most."""
_SAMPLED = 5
"""Frames that the range of grey levels is taken from."""
_WHOLE = (np.uint8, np.uint16)
"""Kinds of counts that are so few that each one's grey level is worked out once."""
_LONGEST_STEP = 127
_TOLERANCE_PX = 0.6
"""How far an outline may lie beside the cell's, in pixels of the picture."""


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel to show; `stack` is open."""

    index: int
    name: str
    kind: str
    stack: StackReader
    missing: frozenset[int] = frozenset()
    """Frames that it lacks: they are black."""


NEEDED = frozenset(
    ["cell", "frame", "good", "flags", "position_x", "position_y"]
    + [f"bbox_{axis}{end}" for axis in "xy" for end in (0, 1)]
)
"""Columns of traces that `numbers_script` looks at in any case."""


def numbers_script(
    dataset: str,
    fov: int,
    traces: Mapping[str, NDArray[Any]],
    links: Mapping[str, NDArray[Any]],
    *,
    columns: Sequence[str],
    about: Mapping[str, Any],
) -> str:
    """Return the script with the numbers of one FOV's cells.

    `links`: ``cell``, ``frame``, ``parent`` and ``confidence`` of its table of tracks. `columns`:
    those of `traces` to hand over; one that the table lacks is left out. `about`: what else the
    page is told: ``scale`` (pixels of a picture per pixel of a frame), ``shown`` (frames that have
    pictures), times, sizes.
    """
    shown = [name for name in columns if name in traces]
    rows, confidence = Rows(traces, (0, 0, 0)), _confidences(links)
    ids = rows.cell[rows.cells.start]
    known: dict[str, int] = {}  # few, though rows are many
    seen, sure = np.zeros(len(rows), np.uint32), np.zeros(len(rows), np.uint8)
    frames, verdict, *places = (_Packed() for _ in range(4))
    ranges = {name: [np.zeros((2, 0))] for name in shown}
    steps = {name: _Packed() for name in shown}
    for at, part in rows.parts():
        first, frame = part.cells.start, part.frame
        frames.add(frame, first)
        # Places in the frames that have pictures, and where each cell begins and ends.
        placed = np.isin(frame, about["shown"])
        placed[first] = placed[part.cells.stop - 1] = True
        of_cell = np.concatenate([[0], np.cumsum(placed)])[first]
        for axis, packed_places in zip("xy", places, strict=True):
            place = part.column(f"position_{axis}")[placed].astype(np.float64)
            packed_places.add(np.rint(place * about["scale"]).astype(np.int64), of_cell)
        judged = zip(part.column("good").astype(bool).tolist(), part.column("flags"), strict=True)
        texts = (f"{int(good)}{flags}" for good, flags in judged)
        seen[at] = [known.setdefault(text, len(known)) for text in texts]
        sure[at] = confidence(part)
        for name in shown:
            values = part.column(name).astype(np.float64)
            low, high, places_between = levels(values, first, part.cells.size)
            ranges[name].append(np.stack([low, high]))
            steps[name].add(places_between, first)
    verdicts = sorted(known)
    rank = np.argsort([known[text] for text in verdicts])
    for at, part in rows.parts():
        verdict.add(rank[seen[at]], part.cells.start)
    data = [
        ids.astype("<u4").tobytes(),
        rows.cells.size.astype("<u2").tobytes(),
        _parents(ids, links).astype("<u4").tobytes(),
        *(each.data() for each in (frames, *places, verdict)),
        sure.tobytes(),
    ]
    for name in shown:
        data += [each.astype("<f4").tobytes() for each in np.concatenate(ranges[name], axis=1)]
        data.append(steps[name].data())
    told = {
        **about,
        "reach": _reaches(rows, traces),
        "columns": shown,
        "verdicts": [[text[0] == "1", text[1:]] for text in verdicts],
        "cells": len(ids),
        "rows": len(rows),
        "data": b64encode(zlib.compress(b"".join(data), 9)).decode("ascii"),
    }
    return _script("numbers", dataset, fov, told)


def pictures_script(
    dataset: str,
    fov: int,
    channels: Sequence[Channel],
    labels: StackReader,
    *,
    frames: Sequence[int],
    size_px: int,
) -> str:
    """Return the script with pictures of frames, and the outlines of the cells in them.

    `labels`: (T, Y, X), ids over time. `frames`: those to show. `size_px`: greatest width or height
    of a picture. One frame of each stack is in memory at a time.
    """
    height, width = picture_size(labels.shape[1:], size_px)
    told = {
        "frames": list(frames),
        "width": width,
        "height": height,
        "channels": [_told_of(each, frames) for each in channels],
        "images": [_jpegs(each, frames, (height, width)) for each in channels],
        "outlines": [_outlines(resampled(labels.frame(t), height, width)) for t in frames],
    }
    return _script("pictures", dataset, fov, told)


def _told_of(channel: Channel, frames: Sequence[int]) -> dict[str, Any]:
    lacking = sorted(channel.missing.intersection(frames))
    told = {"index": channel.index, "name": channel.name, "kind": channel.kind}
    return {**told, "missing": lacking} if lacking else told


def picture_size(shape: Sequence[int], size_px: int) -> tuple[int, int]:
    """Return height and width of the pictures of frames of this shape."""
    scale = min(1.0, size_px / max(shape))
    height, width = (max(1, round(n * scale)) for n in shape)
    return height, width


def shown_frames(acquired: Sequence[int], most: int) -> list[int]:
    """Return at most so many frames, spread evenly, the last one among them."""
    chosen = spread(acquired, most)
    return [*chosen[:-1], acquired[-1]] if chosen else []


def _script(kind: str, dataset: str, fov: int, told: Mapping[str, Any]) -> str:
    """Return ``fovflow.KIND(dataset, fov, {…});``: ASCII, so that no name can end the script."""
    text = json.dumps([dataset, fov, told], separators=(",", ":"), allow_nan=False)
    return f"fovflow.{kind}({text[1:-1]});\n".replace("<", "\\u003c")


def _reaches(rows: Rows, traces: Collection[str]) -> list[int]:
    """Return how far each cell's box goes from its middle at most, in pixels of the frames."""
    sides = [(f"bbox_{axis}{end}", f"position_{axis}") for axis in "xy" for end in (0, 1)]
    if any(box not in traces for box, _ in sides):
        return []
    reaches: list[int] = []
    for _, part in rows.parts():
        far = [np.abs(part.column(box) - part.column(middle)) for box, middle in sides]
        reaches += map(int, np.ceil(part.cells.max(np.max(far, axis=0))))
    return reaches


def _parents(ids: NDArray[np.int64], links: Mapping[str, NDArray[Any]]) -> NDArray[np.int64]:
    """Return each cell's parent, 0 where it has none."""
    found = np.zeros(len(ids), np.int64)
    has = np.asarray(links["parent"], np.int64) > 0
    cells, parents = (np.asarray(links[name], np.int64)[has] for name in ("cell", "parent"))
    where = np.searchsorted(ids, cells).clip(0, max(len(ids) - 1, 0))
    if len(ids):
        known = ids[where] == cells
        found[where[known]] = parents[known]
    return found


def _confidences(links: Mapping[str, NDArray[Any]]) -> Callable[[Rows], NDArray[np.uint8]]:
    """Return what tells of rows the confidence of the link to the cell's frame before, in 20ths.

    255 stands for none.
    """
    keys = np.asarray(links["cell"], np.int64) << 32 | np.asarray(links["frame"], np.int64)
    value = np.asarray(links["confidence"], np.float64)
    sure = np.full(value.size, 255, np.uint8)
    known = np.isfinite(value)
    sure[known] = np.rint(value[known].clip(0, 1) * 20).astype(np.uint8)
    if np.any(keys[1:] < keys[:-1]):
        order = np.argsort(keys, kind="stable")
        keys, sure = keys[order], sure[order]

    def of(rows: Rows) -> NDArray[np.uint8]:
        wanted = rows.cell.astype(np.int64) << 32 | rows.frame
        where = np.searchsorted(keys, wanted).clip(0, max(keys.size - 1, 0))
        if not keys.size:
            return np.full(wanted.size, 255, np.uint8)
        return np.where(keys[where] == wanted, sure[where], np.uint8(255))

    return of


class _Packed:
    """Numbers of all rows as bytes, taken in parts of whole cells; see `packed`."""

    def __init__(self) -> None:
        self._lower, self._upper = bytearray(), bytearray()

    def add(self, whole: NDArray[np.integer[Any]], first: NDArray[np.integer[Any]]) -> None:
        data = packed(np.diff(whole, prepend=0), first, whole)
        self._lower += data[: whole.size]
        self._upper += data[whole.size :]

    def data(self) -> bytes:
        return bytes(self._lower + self._upper)


def packed(
    change: NDArray[np.integer[Any]],
    first: NDArray[np.integer[Any]],
    whole: NDArray[np.integer[Any]],
) -> bytes:
    """Return changes from row to row as bytes: at each cell's first row what it begins with.

    Signs go into the lowest bit, and lower bytes stand before upper ones: both compress well.
    """
    change = change.copy()
    change[first] = whole[first]
    unsigned = np.where(change < 0, -2 * change - 1, 2 * change).astype("<u2")
    return (unsigned & 255).astype(np.uint8).tobytes() + (unsigned >> 8).astype(np.uint8).tobytes()


def levels(
    values: NDArray[np.float64], first: NDArray[np.int64], counts: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Return each cell's lowest and highest value, and each row's place between them."""
    if not len(first):
        return np.zeros(0), np.zeros(0), np.zeros(0, np.int64)
    finite = np.isfinite(values)
    low = np.minimum.reduceat(np.where(finite, values, np.inf), first)
    high = np.maximum.reduceat(np.where(finite, values, -np.inf), first)
    none = ~np.isfinite(low)
    low, high = np.where(none, 0, low), np.where(none, 0, high)
    low, high = (each.astype(np.float32).astype(np.float64) for each in (low, high))
    start, span = np.repeat(low, counts), np.repeat(high - low, counts)
    part = np.divide(values - start, span, out=np.zeros_like(values), where=finite & (span > 0))
    steps = 1 + np.rint(part.clip(0, 1) * (LEVELS - 1)).astype(np.int64)
    return low, high, np.where(finite, steps, 0)


def _jpegs(channel: Channel, frames: Sequence[int], size: tuple[int, int]) -> list[str]:
    """Return grey JPEG pictures as base64: all of a channel with the same range of counts."""

    def picture(t: int) -> NDArray[Any]:
        return _resized(channel.stack.frame(t), size)

    there = [t for t in frames if t not in channel.missing] or frames
    some = {t: picture(t) for t in spread(there, _SAMPLED)}
    counts = [image.astype(np.float32).ravel() for image in some.values()]
    between = (0.3, 99.8) if channel.kind == "pc" else (50, 99.95)
    low, high = np.percentile(np.concatenate(counts), between) if counts else (0.0, 1.0)

    def grey(image: NDArray[Any]) -> NDArray[np.uint8]:
        part = ((image.astype(np.float32) - low) / max(high - low, 1e-6)).clip(0, 1)
        if channel.kind != "pc":
            part **= 0.7  # dim cells keep steps enough to be made brighter on the page
        return np.asarray(np.rint(part * 255).astype(np.uint8))

    whole = channel.stack.dtype in _WHOLE
    table = grey(np.arange(np.iinfo(channel.stack.dtype).max + 1)) if whole else None

    def shown(t: int) -> NDArray[np.uint8]:
        image = some[t] if t in some else picture(t)
        return grey(image) if table is None else table[image]

    def encoded(image: NDArray[np.uint8], quality: int, blur: float) -> bytes:
        if blur:
            image = np.asarray(cv2.GaussianBlur(image, (0, 0), blur))
        _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
        return bytes(data.tobytes())

    most, kind = _BYTES_PER_PIXEL * size[0] * size[1] + 2000, _QUALITIES[-1]
    if frames:
        middle = shown(there[len(there) // 2])
        fits = (kind for kind in _QUALITIES if len(encoded(middle, *kind)) <= most)
        kind = next(fits, kind)
    return [b64encode(encoded(shown(t), *kind)).decode("ascii") for t in frames]


def _resized(image: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    plain = np.asarray(image, None if image.dtype in _WHOLE else np.float32)
    if plain.dtype == np.float32:
        plain = np.nan_to_num(plain, posinf=0.0, neginf=0.0)
    if plain.shape != size:
        plain = np.asarray(cv2.resize(plain, size[::-1], interpolation=cv2.INTER_AREA))
    return plain


def _outlines(labels: NDArray[Any]) -> str:
    """Return the cells' outlines in a picture, deflated and as base64.

    For each outline five numbers of 16 bits: id (lower and upper half), number of points, x and y
    of the first; then the steps to the others, two signed bytes each.
    """
    parts: list[bytes] = []
    for label, points in _polygons(labels):
        steps = np.diff(points, axis=0).astype(np.int8)
        head = [label & 0xFFFF, label >> 16, len(points), *points[0].tolist()]
        parts += [np.array(head, "<u2").tobytes(), steps.tobytes()]
    return b64encode(zlib.compress(b"".join(parts), 9)).decode("ascii")


def _polygons(labels: NDArray[Any]) -> Iterator[tuple[int, NDArray[np.int32]]]:
    """Yield id and corners, (n, 2) x and y, of each piece of each cell of a picture."""
    for label, outlines in contours(labels):
        for outline in outlines:
            corners = cv2.approxPolyDP(outline, _TOLERANCE_PX, True).reshape(-1, 2)
            yield label, _short_steps(np.asarray(corners, np.int32))


def _short_steps(corners: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return corners with further ones between those that lie farther apart."""
    if max(cv2.boundingRect(corners)[2:]) <= _LONGEST_STEP + 1:
        return corners
    pieces = [corners[:1]]
    for a, b in itertools.pairwise(corners):
        many = int(np.abs(b - a).max() // (_LONGEST_STEP + 1)) + 1
        steps = np.arange(1, many + 1)[:, None] / many
        pieces.append(np.rint(a + (b - a) * steps).astype(np.int32))
    return np.concatenate(pieces)
