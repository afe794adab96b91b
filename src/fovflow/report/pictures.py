"""Small pictures of frames with the outlines of their cells, as indexed PNG."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fovflow.overlay import colour_of, draw_overlay
from fovflow.report.summary import CellLabel, Picture

WIDTH = 480
"""Greatest width, and height, of a picture in pixels."""

_GREYS = 64


def picture(
    frame: int,
    image: NDArray[Any],
    labels: NDArray[Any],
    table: Mapping[str, NDArray[Any]] | None,
) -> Picture:
    """Return a frame made small, with outlines; ids and verdicts are those of the traces.

    Parameters
    ----------
    frame : int
    image : numpy.ndarray
        (Y, X), any numeric dtype; values that are not finite are shown black.
    labels : numpy.ndarray
        (Y, X) integer labels.
    table : mapping of str to numpy.ndarray, optional
        The FOV's traces, where the labels are the ids of its cells.
    """
    scale = min(1.0, WIDTH / max(image.shape))
    height, width = (max(1, round(n * scale)) for n in image.shape)
    small = np.nan_to_num(np.asarray(image, np.float32), posinf=0.0, neginf=0.0)
    if scale < 1:
        small = cv2.resize(small, (width, height), interpolation=cv2.INTER_AREA)
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(np.intp)
        for new, old in zip((height, width), image.shape, strict=True)
    )
    outlined = np.ascontiguousarray(labels[np.ix_(rows, columns)])
    drawn = draw_overlay(small, outlined, ids=False)
    return Picture(
        frame=frame,
        png=indexed_png(drawn, np.unique(outlined)),
        width=width,
        height=height,
        scale=scale,
        labels=() if table is None else _labels(frame, table),
    )


def _labels(frame: int, table: Mapping[str, NDArray[Any]]) -> tuple[CellLabel, ...]:
    here = np.flatnonzero(table["frame"] == frame)
    columns = [table[name][here].tolist() for name in ("cell", "position_x", "position_y")]
    columns += [table["good"][here].tolist(), table["flags"][here].tolist()]
    return tuple(
        CellLabel(int(cell), float(x), float(y), bool(good), str(flags))
        for cell, x, y, good, flags in zip(*columns, strict=True)
    )


def indexed_png(drawn: NDArray[np.uint8], labels: NDArray[Any]) -> bytes:
    """Encode a picture of grey levels and few colours: a third of the bytes of a colour PNG.

    Parameters
    ----------
    drawn : numpy.ndarray
        (Y, X, 3) uint8, blue, green, red: greys, and the colours of `labels`.
    labels : numpy.ndarray
        The labels whose colours may occur, at most 180 different ones.
    """
    grey = np.arange(_GREYS) * 255 // (_GREYS - 1)
    colours = sorted({colour_of(int(label)) for label in labels if label})[: 256 - _GREYS]
    palette = np.concatenate(
        [np.repeat(grey[:, None], 3, axis=1), np.array(colours, np.int64).reshape(-1, 3)[:, ::-1]]
    ).astype(np.uint8)
    index = ((drawn[..., 0].astype(np.int64) * (_GREYS - 1) + 127) // 255).astype(np.uint8)
    weights = np.array([1, 256, 65536])
    codes = drawn.astype(np.int64) @ weights
    coloured = (drawn[..., 0] != drawn[..., 1]) | (drawn[..., 1] != drawn[..., 2])
    if colours and coloured.any():
        known = np.array(colours, np.int64) @ weights
        order = np.argsort(known)
        found = np.searchsorted(known[order], codes[coloured]).clip(0, len(known) - 1)
        index[coloured] = (_GREYS + order[found]).astype(np.uint8)
    return _png(index, palette)


def _png(index: NDArray[np.uint8], palette: NDArray[np.uint8]) -> bytes:
    """Return an 8-bit indexed PNG (PNG specification, sections 5 and 11)."""
    height, width = index.shape
    lines = np.zeros((height, width + 1), np.uint8)  # each line begins with its filter: none
    lines[:, 1:] = index

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)

    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
            chunk(b"PLTE", palette.tobytes()),
            chunk(b"IDAT", zlib.compress(lines.tobytes(), 9)),
            chunk(b"IEND", b""),
        ]
    )
