"""Reference of the quality rules: row after row, cell after cell."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

Row = dict[str, float]
Flagged = set[int]
ORDER = (
    "min_frames", "border", "saturation", "invalid", "area_jump", "merge", "focus", "gap",
    "lineage",
)  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """Parameters with the names and defaults of the definition."""

    reject: tuple[str, ...] = ORDER[:6]
    note: tuple[str, ...] = ORDER[6:]
    verdict: str = "row"
    min_frames: int = 30
    min_frames_fraction: float | None = 0.5
    border_px: float = 2.0
    border_um: float | None = None
    border_measure: str = "box"
    max_saturated_fraction: float = 0.01
    max_invalid_fraction: float = 0.0
    area_jump_ratio: float = 1.5
    area_jump_window: int = 9
    merge_gain: float = 0.5
    focus_ratio: float = 0.5
    focus_window: int = 31


@dataclass(frozen=True)
class Movie:
    """A table as rows, and what the rules ask about the movie."""

    rows: list[Row]
    shape: tuple[int, int, int]
    pixel_um: float | None
    acquired: list[int]
    links: list[Row]

    def with_prefix(self, feature: str) -> list[str]:
        """Columns of a feature, over the channels."""
        return [name for name in (self.rows or [{}])[0] if name.startswith(f"{feature}_ch_")]

    def cells(self) -> dict[float, list[int]]:
        """Numbers of the rows of each cell, by frame."""
        cells: dict[float, list[int]] = {}
        for i in sorted(range(len(self.rows)), key=lambda i: self.rows[i]["frame"]):
            cells.setdefault(self.rows[i]["cell"], []).append(i)
        return cells


def border(movie: Movie, p: Settings) -> Flagged:
    """Rows near the frame's border."""
    _, height, width = movie.shape
    limit = p.border_px if p.border_um is None else p.border_um / movie.pixel_um
    flagged = set()
    for i, r in enumerate(movie.rows):
        if p.border_measure == "box":
            sides = r["bbox_x0"], r["bbox_y0"], width - r["bbox_x1"], height - r["bbox_y1"]
        else:
            x, y = r["position_x"], r["position_y"]
            sides = x, y, width - 1 - x, height - 1 - y
        if min(sides) < limit:
            flagged.add(i)
    return flagged


def saturation(movie: Movie, p: Settings) -> Flagged:
    """Rows with too many saturated pixels in any channel."""
    names = movie.with_prefix("saturated_fraction")
    limit = p.max_saturated_fraction
    return {i for i, r in enumerate(movie.rows) if any(r[name] > limit for name in names)}


def invalid(movie: Movie, p: Settings) -> Flagged:
    """Rows with too many pixels that are no numbers, or with none left, in any channel."""
    names = movie.with_prefix("invalid_fraction")
    return {
        i
        for i, r in enumerate(movie.rows)
        if any(math.isnan(r[name]) or r[name] > p.max_invalid_fraction for name in names)
    }


def area_jump(movie: Movie, p: Settings) -> Flagged:
    """Rows whose area differs from the median around."""
    names = movie.with_prefix("area")
    flagged = set()
    for rows in movie.cells().values() if names else ():
        areas = [movie.rows[i][names[0]] for i in rows]
        before = p.area_jump_window // 2
        for k, i in enumerate(rows):
            start = k - before
            m = np.median(areas[max(start, 0) : start + p.area_jump_window])
            if areas[k] > p.area_jump_ratio * m or areas[k] * p.area_jump_ratio < m:
                flagged.add(i)
    return flagged


def merge(movie: Movie, p: Settings) -> Flagged:
    """Rows of a cell that has swallowed another."""
    swallowed = {(r["cell"], r["frame"]) for r in movie.links if r.get("merged", 0) > 0}
    flagged = {i for i, r in enumerate(movie.rows) if (r["cell"], r["frame"]) in swallowed}
    names = movie.with_prefix("area")
    cells = movie.cells() if names else {}
    for lost, rows_b in cells.items():
        frames_b = [movie.rows[i]["frame"] for i in rows_b]
        for b, f in zip(rows_b, frames_b, strict=True):
            later = [t for t in movie.acquired if t > f]
            if not later or later[0] in frames_b:
                continue
            back = min((t for t in frames_b if t > f), default=math.inf)
            for cell, rows_a in cells.items():
                if cell != lost:
                    rows = [movie.rows[i] | {"row": i} for i in rows_a]
                    flagged |= grown(rows, movie.rows[b], later[0], back, names[0], p.merge_gain)
    return flagged


def grown(rows: list[Row], lost: Row, since: int, back: float, area: str, gain: float) -> Flagged:
    """Rows of one cell from its growth by the lost one, until it shrinks or that comes back."""
    before = [r for r in rows if r["frame"] == lost["frame"]]
    after = [r for r in rows if r["frame"] == since]
    if not before or not after:
        return set()
    x, y = lost["position_x"] + 0.5, lost["position_y"] + 0.5
    box = after[0]
    if not (box["bbox_x0"] <= x < box["bbox_x1"] and box["bbox_y0"] <= y < box["bbox_y1"]):
        return set()
    flagged = set()
    for r in rows:
        if r["frame"] < since:
            continue
        if r["frame"] >= back or r[area] < before[0][area] + gain * lost[area]:
            break
        flagged.add(r["row"])
    return flagged


def focus(movie: Movie, p: Settings) -> Flagged:
    """Rows of frames that are blurred."""
    names = movie.with_prefix("sharpness")
    by_frame: dict[float, list[float]] = {}
    for r in movie.rows if names else ():
        if not math.isnan(r[names[0]]):
            by_frame.setdefault(r["frame"], []).append(r[names[0]])
    frames = sorted(by_frame)
    medians = [float(np.median(by_frame[t])) for t in frames]
    bad = set()
    for k, t in enumerate(frames):
        start = k - p.focus_window // 2
        around = np.median(medians[max(start, 0) : start + p.focus_window])
        if medians[k] < p.focus_ratio * around:
            bad.add(t)
    return {i for i, r in enumerate(movie.rows) if r["frame"] in bad}


def gap(movie: Movie, p: Settings) -> Flagged:
    """Rows after frames in which the cell was missed."""
    flagged = set()
    for rows in movie.cells().values():
        frames = [movie.rows[i]["frame"] for i in rows]
        for k, i in enumerate(rows[1:], start=1):
            if movie.acquired.index(frames[k]) - movie.acquired.index(frames[k - 1]) > 1:
                flagged.add(i)
    return flagged


def lineage(movie: Movie, p: Settings) -> Flagged:
    """Rows of cells with a parent or daughters."""
    related = set()
    for r in movie.links:
        if r.get("parent", 0) > 0:
            related |= {r["cell"], r["parent"]}
    return {i for i, r in enumerate(movie.rows) if r["cell"] in related}


def min_frames(movie: Movie, p: Settings, bad: Flagged) -> Flagged:
    """Rows of cells with too few rows that count."""
    least = p.min_frames
    if p.min_frames_fraction is not None:
        least = min(least, max(1, math.ceil(p.min_frames_fraction * len(movie.acquired))))
    flagged = set()
    for rows in movie.cells().values():
        counted = rows if p.verdict == "cell" else [i for i in rows if i not in bad]
        if len(counted) < least:
            flagged |= set(rows)
    return flagged


RULES = {rule.__name__: rule for rule in (
    border, saturation, invalid, area_jump, merge, focus, gap, lineage,
)}  # fmt: skip


def judge(
    columns: Mapping[str, np.ndarray],
    *,
    shape: tuple[int, int, int],
    pixel_um: float | None = None,
    missing: tuple[int, ...] = (),
    links: Mapping[str, np.ndarray] | None = None,
    **params: object,
) -> tuple[np.ndarray, np.ndarray]:
    """Verdict and flags of every row."""
    p = Settings(**params)
    acquired = [t for t in range(shape[0]) if t not in missing]
    movie = Movie(rows_of(columns), shape, pixel_um, acquired, rows_of(links or {}))
    flags = {name: RULES[name](movie, p) for name in (*p.reject, *p.note) if name in RULES}
    if p.verdict == "cell":
        for name in set(p.reject) & set(flags):
            flags[name] = whole_cells(movie, flags[name])
    bad = set().union(*(flags[name] for name in p.reject if name in flags))
    if "min_frames" in (*p.reject, *p.note):
        flags["min_frames"] = min_frames(movie, p, bad)
        bad |= flags["min_frames"] if "min_frames" in p.reject else set()
    n = len(movie.rows)
    texts = [";".join(name for name in ORDER if i in flags.get(name, ())) for i in range(n)]
    return np.array([i not in bad for i in range(n)], dtype=bool), np.array(texts, dtype=str)


def whole_cells(movie: Movie, flagged: Flagged) -> Flagged:
    """All rows of the cells of which any row is flagged."""
    cells = {movie.rows[i]["cell"] for i in flagged}
    return {i for i, r in enumerate(movie.rows) if r["cell"] in cells}


def rows_of(columns: Mapping[str, np.ndarray]) -> list[Row]:
    """A table as a list of rows."""
    n = len(next(iter(columns.values()), ()))
    return [{name: column[i] for name, column in columns.items()} for i in range(n)]
