"""Reference of the quality rules: row after row, cell after cell."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from fovflow.config.findings import FRAME_FINDINGS

Row = dict[str, float]
Flagged = set[int]
ORDER = (
    "min_frames", "brief", "broken", "border", "saturation", "invalid", "area_jump", "merge",
    "frame", "focus", "size", "debris", "ragged", "low_confidence", "fast", "gap",
    "lineage", "bleaching", "decay", "shading", "dim", "light", "crowded",
)  # fmt: skip
REASONS = ORDER[1:3]


@dataclass(frozen=True)
class Settings:
    """Parameters with the names and defaults of the definition."""

    reject: tuple[str, ...] = (ORDER[0], *ORDER[3:15])
    note: tuple[str, ...] = ORDER[15:]
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
    rejoin_gap: int = 3
    foreground_jump: float = 1.5
    focus_ratio: float = 0.3
    size_ratio: float = 2.8
    debris_share: float = 0.15
    min_confidence: float = 0.5
    max_step_radii: float = 0.7
    max_shading: float = 0.12
    ragged_sharpness: float = 0.7
    ragged_solidity: float = 0.8


@dataclass(frozen=True)
class Movie:
    """A table as rows, and what the rules ask about the movie."""

    rows: list[Row]
    shape: tuple[int, int, int]
    pixel_um: float | None
    acquired: list[int]
    links: list[Row]
    frame_flags: Mapping[int, str]

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
    if any(math.isfinite(r.get("iou", 0.0)) for r in movie.links if "merged" in r):
        return flagged
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


def frame(movie: Movie, p: Settings) -> Flagged:
    """Rows of frames that are flagged, or in which the area of all cells jumps."""
    bad = {
        t for t, text in movie.frame_flags.items() if set(text.split("; ")) & set(FRAME_FINDINGS)
    }
    frames = sorted({r["frame"] for r in movie.rows})
    for name in movie.with_prefix("area"):
        total = [sum(r[name] for r in movie.rows if r["frame"] == t) for t in frames]
        for k, t in enumerate(frames):
            m = np.median(total[max(k - 4, 0) : k + 5])
            many = sum(r["frame"] == t for r in movie.rows) >= 5
            if many and (total[k] > p.foreground_jump * m or total[k] * p.foreground_jump < m):
                bad.add(t)
    return {i for i, r in enumerate(movie.rows) if r["frame"] in bad}


def by_frame(movie: Movie, name: str) -> dict[float, float]:
    """Median of a column over the rows of each frame."""
    found: dict[float, list[float]] = {}
    for r in movie.rows:
        found.setdefault(r["frame"], [])
        if not math.isnan(r[name]):
            found[r["frame"]].append(r[name])
    return {t: float(np.median(v)) if v else math.nan for t, v in sorted(found.items())}


def focus(movie: Movie, p: Settings) -> Flagged:
    """Rows of frames that are blurred."""
    bad = set()
    for name in movie.with_prefix("sharpness"):
        medians = by_frame(movie, name)
        known = [m for m in medians.values() if not math.isnan(m)]
        sharp = np.quantile(known, 0.9) if known else 0.0
        bad |= {t for t, m in medians.items() if m < p.focus_ratio * sharp}
    return {i for i, r in enumerate(movie.rows) if r["frame"] in bad}


def size(movie: Movie, p: Settings) -> Flagged:
    """Rows of objects of unusual area."""
    names = movie.with_prefix("area")
    if not names or len(movie.cells()) < 5:
        return set()
    m = np.median([r[names[0]] for r in movie.rows])
    areas = [r[names[0]] for r in movie.rows]
    return {i for i, a in enumerate(areas) if a > p.size_ratio * m or a * p.size_ratio < m}


def steps(movie: Movie) -> dict[int, list[tuple[int, int]]]:
    """Pairs of rows of one cell in neighbouring acquired frames, by the place of the later."""
    found: dict[int, list[tuple[int, int]]] = {}
    for rows in movie.cells().values():
        for i, j in pairwise(rows):
            place = movie.acquired.index(movie.rows[j]["frame"])
            if place - movie.acquired.index(movie.rows[i]["frame"]) == 1:
                found.setdefault(place, []).append((i, j))
    return found


def drift(movie: Movie) -> dict[int, np.ndarray]:
    """Median step of all cells, by the place of the frame; none for fewer than five."""
    moved = {}
    for place, pairs in steps(movie).items():
        each = [[movie.rows[j][f"position_{a}"] - movie.rows[i][f"position_{a}"] for a in "xy"]
                for i, j in pairs]  # fmt: skip
        moved[place] = np.median(each, axis=0) if len(each) >= 5 else np.zeros(2)
    return moved


def debris(movie: Movie, p: Settings) -> Flagged:
    """Rows of objects that neither move nor change."""
    names = movie.with_prefix("area")
    ways, changes, cells = {}, {}, movie.cells()
    for cell, rows in cells.items():
        t = np.array([movie.rows[i]["frame"] for i in rows], float)
        left = []
        for axis in "xy":
            at = np.array([movie.rows[i][f"position_{axis}"] for i in rows])
            line = np.polyfit(t, at, 1) if len(rows) > 1 else [0.0, at[0]]
            left.append((at - np.polyval(line, t)).std())
        ways[cell] = math.hypot(*left)
        areas = np.array([movie.rows[i][names[0]] for i in rows]) if names else np.ones(len(rows))
        changes[cell] = areas.std() / max(areas.mean(), 1)
    long = [cell for cell, rows in cells.items() if len(rows) >= 10]
    if not names or len(long) < 5:
        return set()
    usual = np.median([ways[cell] / math.sqrt(len(cells[cell])) for cell in long])
    still = [c for c in long if changes[c] < 0.1
             and ways[c] < p.debris_share * usual * math.sqrt(len(cells[c]))]  # fmt: skip
    return {i for cell in still for i in cells[cell]}


def ragged(movie: Movie, p: Settings) -> Flagged:
    """Rows of pale objects of low solidity, whose areas are not steady."""
    flagged, steady = set(), set()
    for change in area_changes(movie):
        usual = np.median([*change.values()])
        steady |= {i for i, c in change.items() if c <= 1.25 * usual}
    for name in movie.with_prefix("sharpness"):
        shape = name.replace("sharpness", "solidity")
        usual = np.nanmedian([r[name] for r in movie.rows])
        flagged |= {
            i
            for i, r in enumerate(movie.rows)
            if r[name] < p.ragged_sharpness * usual and r.get(shape, 1.0) < p.ragged_solidity
        }
    return flagged - steady


def area_changes(movie: Movie) -> list[dict[int, float]]:
    """Median change of ln(area) from row to row over the 15 rows around each."""
    found = []
    for name in movie.with_prefix("area"):
        usual = {}
        for rows in movie.cells().values():
            area = [math.log(movie.rows[i][name]) for i in rows]
            change = [math.nan, *(abs(b - a) for a, b in pairwise(area))]
            for place, i in enumerate(rows):
                around = [c for c in change[max(0, place - 7) : place + 8] if not math.isnan(c)]
                if around:
                    usual[i] = float(np.median(around))
        found += [usual] if usual else []
    return found


def low_confidence(movie: Movie, p: Settings) -> Flagged:
    """Rows that doubtful links tear from the longest piece of their cell."""
    weak = {(r["cell"], r["frame"]) for r in movie.links
            if r.get("confidence", math.nan) < p.min_confidence}  # fmt: skip
    flagged = set()
    for rows in movie.cells().values():
        pieces: list[list[int]] = [[]]
        for i in rows:
            if (movie.rows[i]["cell"], movie.rows[i]["frame"]) in weak and pieces[-1]:
                pieces.append([])
            pieces[-1].append(i)
        flagged |= set(rows) - set(max(pieces, key=len))
    return flagged


def fast(movie: Movie, p: Settings) -> Flagged:
    """All rows, where cells move by more than their size."""
    names, moved, found = movie.with_prefix("area"), drift(movie), []
    for place, pairs in steps(movie).items():
        for i, j in pairs if names else ():
            one, other = movie.rows[i], movie.rows[j]
            way = [other[f"position_{a}"] - one[f"position_{a}"] for a in "xy"] - moved[place]
            found.append(math.hypot(*way) / math.sqrt(one[names[0]] / math.pi))
    quick = len(found) >= 10 and np.median(found) > p.max_step_radii
    return set(range(len(movie.rows))) if quick else set()


def bleaching(movie: Movie, p: Settings) -> Flagged:
    """Rows of frames in which the background has faded."""
    bad = set()
    for name in movie.with_prefix("background_mean"):
        level = {t: m for t, m in by_frame(movie, name).items() if m > 0}
        if len(level) < 10:
            continue
        t, y = np.array(list(level)), np.log(list(level.values()))
        rate, start = np.polyfit(t, y, 1)
        frames = sorted({r["frame"] for r in movie.rows})
        if -rate * (frames[-1] - frames[0]) > 5 * (y - rate * t - start).std():
            bad |= {f for f in frames if rate * (f - frames[0]) < math.log(0.9)}
    return {i for i, r in enumerate(movie.rows) if r["frame"] in bad}


def decay(movie: Movie, p: Settings) -> Flagged:
    """Rows of frames by which most cells have lost a tenth of their light at one rate."""
    bad: Flagged = set()
    first = min((r["frame"] for r in movie.rows), default=0)
    for name in movie.with_prefix("intensity_total"):
        rates = []
        for rows in movie.cells().values():
            t = [movie.rows[i]["frame"] for i in rows]
            light = [movie.rows[i][name] for i in rows]
            if len(rows) >= 10 and min(light) > 0 and not any(map(math.isnan, light)):
                rates.append(np.polyfit(t, np.log(light), 1)[0])
        if len(rates) < 5:
            continue
        low, usual, high = np.percentile(rates, [25, 50, 75])
        if high - low < -0.5 * usual:
            lost = {i for i, r in enumerate(movie.rows)
                    if usual * (r["frame"] - first) < math.log(0.9)}  # fmt: skip
            bad |= lost
    return bad


def shading(movie: Movie, p: Settings) -> Flagged:
    """All rows, where the background depends on the distance from the centre."""
    _, height, width = movie.shape
    for name in movie.with_prefix("background_mean"):
        level, terms, shares = by_frame(movie, name), [], []
        for r in movie.rows:
            if level[r["frame"]] > 0 and math.isfinite(r[name]):
                x = 2 * r["position_x"] / (width - 1) - 1
                y = 2 * r["position_y"] / (height - 1) - 1
                terms.append([1, x, y, (x * x + y * y) / 2])
                shares.append(r[name] / level[r["frame"]])
        if len(shares) >= 50 and abs(np.linalg.lstsq(terms, shares)[0][3]) > p.max_shading:
            return set(range(len(movie.rows)))
    return set()


def dim(movie: Movie, p: Settings) -> Flagged:
    """Rows around which a cell's light is little more than noise."""
    flagged = set()
    for name in movie.with_prefix("intensity_total"):
        for rows in movie.cells().values():
            total = np.array([movie.rows[i][name] for i in rows], float)
            noise = []
            for k, value in enumerate(total):
                around = total[max(0, k - 4) : k + 5]
                known = around[~np.isnan(around)]
                level = abs(np.median(known)) if known.size else math.nan
                off = abs(value - np.median(known)) if known.size else math.nan
                noise.append(off / level if level else math.inf if off else math.nan)
            for k, i in enumerate(rows):
                around = [n for n in noise[max(0, k - 7) : k + 8] if not math.isnan(n)]
                if around and np.median(around) > 0.05:
                    flagged.add(i)
    return flagged


def light(movie: Movie, p: Settings) -> Flagged:
    """Rows of frames in which three of four cells jump in light, and are back soon."""
    flagged: Flagged = set()
    for name in movie.with_prefix("intensity_total"):
        told: dict[float, list[int]] = {}
        for rows in movie.cells().values():
            total = [movie.rows[i][name] for i in rows]
            for k, i in enumerate(rows):
                sides = [total[max(0, k - 4) : k], total[k + 1 : k + 5]]
                sides = [[v for v in side if not math.isnan(v)] for side in sides]
                if math.isnan(total[k]) or not all(sides):
                    continue
                before, after = (float(np.median(side)) for side in sides)
                if min(before, after) > 0:
                    up = bool(total[k] > 1.5 * max(before, after))
                    down = bool(1.5 * total[k] < min(before, after))
                    told.setdefault(movie.rows[i]["frame"], []).append(up - down)
        for frame, jumps in told.items():
            if len(jumps) >= 5 and max(jumps.count(1), jumps.count(-1)) >= 0.75 * len(jumps):
                flagged |= {i for i, r in enumerate(movie.rows) if r["frame"] == frame}
    return flagged


def crowded(movie: Movie, p: Settings) -> Flagged:
    """All rows, where most cells nearly touch another."""
    names, near = movie.with_prefix("area"), []
    if not names or len(movie.cells()) < 5:
        return set()
    for r in movie.rows:
        others = [math.inf]
        for q in movie.rows:
            if q is not r and q["frame"] == r["frame"]:
                way = math.dist(*((s["position_x"], s["position_y"]) for s in (r, q)))
                radii = sum(math.sqrt(s[names[0]] / math.pi) for s in (r, q))
                others.append(way / radii)
        near.append(min(others))
    return set(range(len(near))) if np.median(near) < 1.25 else set()


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


def ends(movie: Movie) -> dict[float, tuple[bool, bool]]:
    """Whether each id begins and ends amid field and movie."""
    names, (_, height, width) = movie.with_prefix("area"), movie.shape

    def amid(r: Row) -> bool:
        x, y, area = r["position_x"], r["position_y"], r[names[0]] if names else 0.0
        return min(x, width - 1 - x, y, height - 1 - y) > 2 * math.sqrt(area / math.pi)

    found = {}
    for cell, rows in movie.cells().items():
        first, last = movie.rows[rows[0]], movie.rows[rows[-1]]
        found[cell] = (amid(first) and first["frame"] > movie.acquired[0],
                       amid(last) and last["frame"] < movie.acquired[-1])  # fmt: skip
    return found


def min_frames(movie: Movie, p: Settings, bad: Flagged) -> dict[str, Flagged]:
    """Rows of cells with too few rows that count, broken ids together, and why."""
    least = p.min_frames
    if p.min_frames_fraction is not None:
        least = min(least, max(1, math.ceil(p.min_frames_fraction * len(movie.acquired))))
    cells, by_row = movie.cells(), p.verdict == "row"
    counted = {c: len([i for i in rows if not (by_row and i in bad)]) for c, rows in cells.items()}
    chain = chains(movie, p) if by_row else {cell: cell for cell in cells}
    flagged: dict[str, Flagged] = {"min_frames": set(), "brief": set(), "broken": set()}
    for cell, rows in cells.items():
        if sum(counted[c] for c in cells if chain[c] == chain[cell]) < least:
            flagged["min_frames"] |= set(rows)
            if by_row and len(rows) < least:
                flagged["broken" if any(ends(movie)[cell]) else "brief"] |= set(rows)
    return flagged


def chains(movie: Movie, p: Settings) -> dict[float, float]:
    """The first id of the chain of broken ids that each id belongs to."""
    cells, amid, names = movie.cells(), ends(movie), movie.with_prefix("area")
    chain, taken = {cell: cell for cell in cells}, set()
    for cell in sorted(cells) if names else ():
        if not amid[cell][0]:
            continue
        one = movie.rows[cells[cell][0]]
        near = []
        for other in cells:
            last = movie.rows[cells[other][-1]]
            wait = movie.acquired.index(one["frame"]) - movie.acquired.index(last["frame"])
            if amid[other][1] and other not in taken and 0 < wait <= p.rejoin_gap + 1:
                far = math.hypot(*(one[f"position_{a}"] - last[f"position_{a}"] for a in "xy"))
                near.append((far, -wait, other, 2 * math.sqrt(last[names[0]] / math.pi)))
        if near and min(near)[0] <= min(near)[3]:
            other = min(near)[2]
            taken.add(other)
            chain[cell] = chain[other]
    return chain


RULES = {rule.__name__: rule for rule in (
    border, saturation, invalid, area_jump, merge, frame, focus, size, debris, ragged,
    low_confidence, fast, gap, lineage, bleaching, decay, shading, dim, light, crowded,
)}  # fmt: skip


def judge(
    columns: Mapping[str, np.ndarray],
    *,
    shape: tuple[int, int, int],
    pixel_um: float | None = None,
    missing: tuple[int, ...] = (),
    links: Mapping[str, np.ndarray] | None = None,
    frame_flags: Mapping[int, str] | None = None,
    **params: object,
) -> tuple[np.ndarray, np.ndarray]:
    """Verdict and flags of every row."""
    p = Settings(**params)
    acquired = [t for t in range(shape[0]) if t not in missing]
    movie = Movie(
        rows_of(columns), shape, pixel_um, acquired, rows_of(links or {}), frame_flags or {}
    )
    flags = {name: RULES[name](movie, p) for name in (*p.reject, *p.note) if name in RULES}
    if p.verdict == "cell":
        for name in set(p.reject) & set(flags):
            flags[name] = whole_cells(movie, flags[name])
    bad = set().union(*(flags[name] for name in p.reject if name in flags))
    if "min_frames" in (*p.reject, *p.note):
        flags |= min_frames(movie, p, bad)
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
