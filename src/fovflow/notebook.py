"""What a notebook shows of results and runs: a small table and a picture, as HTML."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Sequence
from contextlib import suppress
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from fovflow.errors import FovflowError

MOST_ROWS = 10
"""FOVs that are shown, and whose tables are read to count cells."""
_MOST_BYTES = 1_000_000
_COUNTED = frozenset({"cell", "frame", "good"})
_SIDE = 260
"""Greatest width and height of a picture, in pixels."""
_CELL = "padding:0.15em 0.8em 0.15em 0;text-align:left"


def card(
    title: str, heads: Sequence[str], rows: Iterable[Sequence[object]], *, note: str = "",
    picture: str = "",
) -> str:  # fmt: skip
    """Return a title, a table and a picture (an address) side by side; all text is escaped."""
    line = "".join(f"<th style='{_CELL}'>{escape(each)}</th>" for each in heads)
    body = "".join(
        "<tr>" + "".join(f"<td style='{_CELL}'>{escape(str(each))}</td>" for each in row) + "</tr>"
        for row in rows
    )
    table = f"<table><thead><tr>{line}</tr></thead><tbody>{body}</tbody></table>"
    image = (
        f"<img alt='cells and their outlines' style='max-width:{_SIDE}px' src='{escape(picture)}'>"
    )
    told = f"<p>{escape(note)}</p>" if note else ""
    return (
        "<div style='display:flex;gap:1.5em;flex-wrap:wrap;align-items:flex-start'>"
        f"<div><b>{escape(title)}</b>{table}{told}</div>{image if picture else ''}</div>"
    )


def results_card(results: Any) -> str:
    """Return what a notebook shows of a dataset: its FOVs, and the cells of one of them."""
    fovs = list(results.fovs.values())
    complete = [fov for fov in fovs if fov.status == "complete"]
    shown = sorted(fovs, key=lambda fov: (fov.status == "complete", fov.index))[:MOST_ROWS]
    counts = {fov.index: _counts(fov) for fov in shown if fov.status == "complete"}
    rows = [
        (
            f"{fov.index} {fov.position}".strip(),
            fov.status,
            *counts.get(fov.index, ("–", "–")),
            f"{fov.step} {fov.error}".strip(),
        )
        for fov in shown
    ]
    known = [pair for pair in counts.values() if pair[0] != "–"]
    known = known if len(known) == len(complete) else []
    cells = (
        f", {sum(n for n, _ in known)} cells, {sum(n for _, n in known)} of them good"
        if known
        else ""
    )
    more = len(fovs) - len(shown)
    return card(
        f"{results.dataset}: {len(complete)} of {len(fovs)} FOVs complete{cells}",
        ("FOV", "status", "cells", "good", ""),
        rows,
        note=f"and {more} more" if more else "",
        picture=next(filter(None, map(picture_of, complete[:1])), ""),
    )


def _counts(fov: Any) -> tuple[Any, Any]:
    """Return how many cells an FOV has, and how many are good; dashes where it cannot be read."""
    from fovflow.verdicts import read_traces

    with suppress(FovflowError, KeyError):
        if fov.traces_path is not None:
            table = read_traces(fov.traces_path, columns=_COUNTED.__contains__)
            cell, good = table["cell"], np.asarray(table["good"], bool)
            return np.unique(cell).size, np.unique(cell[good]).size
    return "–", "–"


def picture_of(fov: Any) -> str:
    """Return the middle frame of an FOV with outlines as an address; empty where there is none."""
    if not fov.to_draw:
        return ""
    import cv2

    from fovflow.drawing import draw_overlay
    from fovflow.labels import resampled
    from fovflow.stacks import StackReader

    with suppress(FovflowError, OSError, ValueError), StackReader(fov.to_draw[0]) as images:
        with StackReader(fov.to_draw[1]) as labels:
            t = len(images) // 2
            image, outlined = images.frame(t), labels.frame(t)
        scale = _SIDE / max(image.shape)
        size = [max(1, round(n * scale)) for n in image.shape]
        small = cv2.resize(np.asarray(image, np.float32), size[::-1], interpolation=cv2.INTER_AREA)
        drawn = draw_overlay(small, resampled(outlined, *size))
        _, data = cv2.imencode(".png", drawn)
        return f"data:image/png;base64,{b64encode(data.tobytes()).decode('ascii')}"
    return ""


def picture_file(path: Path) -> str:
    """Return a small PNG or SVG file as an address; empty for any other."""
    kind = {".png": "png", ".svg": "svg+xml"}.get(path.suffix)
    with suppress(OSError):
        if kind and path.is_file() and path.stat().st_size <= _MOST_BYTES:
            return f"data:image/{kind};base64,{b64encode(path.read_bytes()).decode('ascii')}"
    return ""
