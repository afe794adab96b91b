"""What the report loads of one FOV when somebody looks at it: numbers, pictures and outlines.

Each is a script that hands plain data to the page, since a page that is opened from disk may load
scripts and nothing else. ``docs/report.md`` describes the form.
"""

from __future__ import annotations

import itertools
import json
import zlib
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fovflow.labels import contours, resampled
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
    cell, frame = (np.asarray(traces[name], np.int64) for name in ("cell", "frame"))
    order = np.lexsort((frame, cell))
    cell, frame = cell[order], frame[order]
    ids, first, counts = np.unique(cell, return_index=True, return_counts=True)
    flags = np.asarray(traces["flags"], object)[order]
    good = np.asarray(traces["good"], bool)[order]
    known: dict[str, int] = {}  # few, though rows are many
    texts = (f"{int(g)}{text}" for g, text in zip(good.tolist(), flags.tolist(), strict=True))
    seen = np.fromiter((known.setdefault(text, len(known)) for text in texts), np.int64, len(cell))
    verdicts = sorted(known)
    code = np.argsort([known[text] for text in verdicts])[seen]
    parts = [
        ids.astype("<u4").tobytes(),
        counts.astype("<u2").tobytes(),
        _parents(ids, links).astype("<u4").tobytes(),
        packed(np.diff(frame, prepend=0), first, frame),
    ]
    # Places in the frames that have pictures, and where each cell begins and ends.
    placed = np.isin(frame, about["shown"])
    placed[first] = placed[first + counts - 1] = True
    of_cell = np.concatenate([[0], np.cumsum(placed)])[first]
    for axis in "xy":
        place = np.asarray(traces[f"position_{axis}"], np.float64)[order][placed]
        whole = np.rint(place * about["scale"]).astype(np.int64)
        parts.append(packed(np.diff(whole, prepend=0), of_cell, whole))
    parts += [
        packed(np.diff(code, prepend=0), first, code),
        _confidences(cell, frame, links).tobytes(),
    ]
    for name in shown:
        values = np.asarray(traces[name], np.float64)[order]
        low, high, steps = levels(values, first, counts)
        parts += [low.astype("<f4").tobytes(), high.astype("<f4").tobytes()]
        parts.append(packed(np.diff(steps, prepend=0), first, steps))
    told = {
        **about,
        "reach": _reaches(traces, order, first),
        "columns": shown,
        "verdicts": [[text[0] == "1", text[1:]] for text in verdicts],
        "cells": len(ids),
        "rows": len(cell),
        "data": b64encode(zlib.compress(b"".join(parts), 9)).decode("ascii"),
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


def _reaches(
    traces: Mapping[str, NDArray[Any]], order: NDArray[np.int64], first: NDArray[np.int64]
) -> list[int]:
    """Return how far each cell's box goes from its middle at most, in pixels of the frames."""
    sides = [(f"bbox_{axis}{end}", f"position_{axis}") for axis in "xy" for end in (0, 1)]
    if not len(first) or any(box not in traces for box, _ in sides):
        return []
    far = np.max([np.abs(traces[box] - traces[middle]) for box, middle in sides], axis=0)
    return [int(each) for each in np.ceil(np.maximum.reduceat(far[order], first))]


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


def _confidences(
    cell: NDArray[np.int64], frame: NDArray[np.int64], links: Mapping[str, NDArray[Any]]
) -> NDArray[np.uint8]:
    """Return for each row the confidence of the link to the cell's frame before, in 20ths.

    255 stands for none.
    """
    found = np.full(len(cell), 255, np.uint8)
    value = np.asarray(links["confidence"], np.float64)
    keys = np.asarray(links["cell"], np.int64) << 32 | np.asarray(links["frame"], np.int64)
    order = np.argsort(keys, kind="stable")
    where = np.searchsorted(keys[order], cell << 32 | frame).clip(0, max(len(keys) - 1, 0))
    if len(keys):
        rows = order[where]
        known = (keys[rows] == (cell << 32 | frame)) & np.isfinite(value[rows])
        found[known] = np.rint(value[rows[known]].clip(0, 1) * 20).astype(np.uint8)
    return found


def packed(change: NDArray[np.int64], first: NDArray[np.int64], whole: NDArray[np.int64]) -> bytes:
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
