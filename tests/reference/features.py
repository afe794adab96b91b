"""Reference features: one cell after the other, every pixel by its coordinates, in float64."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from scipy import ndimage
from scipy.spatial import ConvexHull

PC_FEATURES = (
    "area", "perimeter", "circularity", "aspect_ratio", "eccentricity", "orientation",
    "major_axis", "minor_axis", "equivalent_diameter", "extent", "convex_area", "solidity",
    "phase_mean", "phase_std", "sharpness",
)  # fmt: skip
FL_FEATURES = (
    "intensity_total", "intensity_mean", "intensity_median", "intensity_min", "intensity_max",
    "intensity_std", "raw_total", "raw_mean", "background_mean", "saturated_fraction",
    "invalid_fraction", "intensity_px",
)  # fmt: skip
NAN = math.nan


def belongs(labels: np.ndarray, cell: int, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Whether pixels have the cell's id; those outside the image have not."""
    inside = (y >= 0) & (y < labels.shape[0]) & (x >= 0) & (x < labels.shape[1])
    result = np.zeros(y.shape, dtype=bool)
    result[inside] = labels[y[inside], x[inside]] == cell
    return result


def second_moments(y: np.ndarray, x: np.ndarray) -> tuple[float, float, float]:
    """Central moments mu_xx, mu_yy, mu_xy of pixels that are unit squares; integers until last."""
    area = len(x)
    sx, sy = int(x.sum()), int(y.sum())
    sxx, syy, sxy = (int((a * b).sum()) for a, b in ((x, x), (y, y), (x, y)))
    return (
        (area * sxx - sx * sx) / area**2 + 1 / 12,
        (area * syy - sy * sy) / area**2 + 1 / 12,
        (area * sxy - sx * sy) / area**2,
    )


def perimeter(labels: np.ndarray, cell: int, y: np.ndarray, x: np.ndarray) -> float:
    """Crofton estimate in four directions (dx, dy)."""
    left = {
        (dx, dy): int((~belongs(labels, cell, y + dy, x + dx)).sum())
        for dx, dy in ((1, 0), (0, 1), (1, 1), (-1, 1))
    }
    straight = left[1, 0] + left[0, 1]
    return math.pi / 4 * (straight + (left[1, 1] + left[-1, 1]) / math.sqrt(2))


def hull_area(y: np.ndarray, x: np.ndarray) -> float:
    """Area of the convex hull of all corners of all pixels."""
    corners = [np.column_stack([x + dx, y + dy]) for dx in (-0.5, 0.5) for dy in (-0.5, 0.5)]
    return float(ConvexHull(np.concatenate(corners)).volume)


def sharpness(image: np.ndarray, y: np.ndarray, x: np.ndarray, mean: float) -> float:
    """Mean squared difference to the right and lower neighbour over the squared mean."""
    squares = []
    for dy, dx in ((0, 1), (1, 0)):
        inside = (y + dy < image.shape[0]) & (x + dx < image.shape[1])
        here = image[y[inside], x[inside]]
        there = image[y[inside] + dy, x[inside] + dx]
        finite = np.isfinite(here) & np.isfinite(there)
        squares.append((there[finite] - here[finite]) ** 2)
    pairs = np.concatenate(squares)
    return float(pairs.mean() / mean**2) if pairs.size and mean else NAN


def shape_features(
    labels: np.ndarray, cell: int, y: np.ndarray, x: np.ndarray
) -> dict[str, float | int]:
    """Features of the outline alone."""
    area = len(x)
    xx, yy, xy = second_moments(y, x)
    half_gap = 0.5 * math.sqrt((xx - yy) ** 2 + 4 * xy**2)
    major, minor = (xx + yy) / 2 + half_gap, (xx + yy) / 2 - half_gap
    outline = perimeter(labels, cell, y, x)
    hull = hull_area(y, x)
    box = (int(x.max()) + 1 - int(x.min())) * (int(y.max()) + 1 - int(y.min()))
    return {
        "area": area,
        "perimeter": outline,
        "circularity": min(1.0, 4 * math.pi * area / outline**2),
        "aspect_ratio": math.sqrt(major / minor),
        "eccentricity": math.sqrt((major - minor) / major),
        "orientation": math.degrees(0.5 * math.atan2(2 * xy, xx - yy)),
        "major_axis": 4 * math.sqrt(major),
        "minor_axis": 4 * math.sqrt(minor),
        "equivalent_diameter": math.sqrt(4 * area / math.pi),
        "extent": area / box,
        "convex_area": hull,
        "solidity": area / hull,
    }


def phase_features(image: np.ndarray, y: np.ndarray, x: np.ndarray) -> dict[str, float]:
    """Features of the phase-contrast frame within the cell."""
    values = image[y, x]
    values = values[np.isfinite(values)]
    if not values.size:
        return {"phase_mean": NAN, "phase_std": NAN, "sharpness": NAN}
    mean = math.fsum(values) / values.size
    return {
        "phase_mean": mean,
        "phase_std": math.sqrt(math.fsum((values - mean) ** 2) / values.size),
        "sharpness": sharpness(image, y, x, mean),
    }


def eroded(
    labels: np.ndarray, cell: int, y: np.ndarray, x: np.ndarray, radius: int
) -> tuple[np.ndarray, np.ndarray]:
    """Pixels whose whole disk, as far as it lies inside the image, belongs to the cell."""
    keep = np.ones(len(y), dtype=bool)
    for dy in range(-radius, radius + 1):
        for dx in range(-radius, radius + 1):
            if dx * dx + dy * dy > radius * radius:
                continue
            near_y, near_x = y + dy, x + dx
            outside = (near_y < 0) | (near_y >= labels.shape[0])
            outside |= (near_x < 0) | (near_x >= labels.shape[1])
            keep &= outside | belongs(labels, cell, near_y, near_x)
    return y[keep], x[keep]


def intensity_features(
    raw: np.ndarray,
    corrected: np.ndarray | None,
    y: np.ndarray,
    x: np.ndarray,
    weight: float,
    saturation: float | None,
) -> dict[str, float | int]:
    """Features of a fluorescence channel over the pixels (y, x)."""
    result: dict[str, float | int] = dict.fromkeys(FL_FEATURES, NAN)
    result["intensity_px"] = 0
    if not len(y):
        return result
    if saturation is None and np.issubdtype(raw.dtype, np.integer):
        saturation = float(np.iinfo(raw.dtype).max)
    r = raw[y, x].astype(np.float64)
    c = r if corrected is None else corrected[y, x].astype(np.float64)
    valid = np.isfinite(r) & np.isfinite(c)
    r, c, n = r[valid], c[valid], int(valid.sum())
    result["invalid_fraction"] = 1 - n / len(y)
    if not n:
        return result
    if corrected is None or weight == 0:
        values = r
    elif weight == 1:
        values = c
    else:
        values = r - weight * (r - c)
    total, raw_total = math.fsum(values), math.fsum(r)
    return result | {
        "intensity_total": total,
        "intensity_mean": total / n,
        "intensity_median": float(np.median(values)),
        "intensity_min": float(values.min()),
        "intensity_max": float(values.max()),
        "intensity_std": math.sqrt(math.fsum((values - total / n) ** 2) / n),
        "raw_total": raw_total,
        "raw_mean": raw_total / n,
        "background_mean": NAN if corrected is None else (raw_total - math.fsum(c)) / n,
        "saturated_fraction": NAN if saturation is None else float((r >= saturation).mean()),
        "intensity_px": n,
    }


def frame_rows(
    labels: np.ndarray,
    phase: np.ndarray | None,
    fluorescence: Mapping[int, tuple[np.ndarray, np.ndarray | None]],
    *,
    pc: int = 0,
    erosion_px: int = 0,
    background_weight: float = 1.0,
    saturation: float | Mapping[int, float] | None = None,
) -> list[dict[str, float | int]]:
    """One row per id of a frame, ids ascending."""
    rows = []
    image = None if phase is None else np.asarray(phase, dtype=np.float64)
    for cell, box in enumerate(ndimage.find_objects(labels.astype(np.int64)), start=1):
        if box is None:
            continue
        y, x = np.nonzero(labels[box] == cell)
        y, x = y + box[0].start, x + box[1].start
        row: dict[str, float | int] = {
            "cell": cell,
            "position_x": float(x.sum()) / len(x),
            "position_y": float(y.sum()) / len(y),
            "bbox_x0": int(x.min()),
            "bbox_y0": int(y.min()),
            "bbox_x1": int(x.max()) + 1,
            "bbox_y1": int(y.max()) + 1,
        }
        values = shape_features(labels, cell, y, x)
        if image is not None:
            values |= phase_features(image, y, x)
        row |= {f"{name}_ch_{pc}": value for name, value in values.items()}
        inner = eroded(labels, cell, y, x, erosion_px)
        for channel, (raw, corrected) in fluorescence.items():
            level = saturation.get(channel) if isinstance(saturation, Mapping) else saturation
            values = intensity_features(raw, corrected, *inner, background_weight, level)
            row |= {f"{name}_ch_{channel}": value for name, value in values.items()}
        rows.append(row)
    return rows


def extract_reference(
    labeled: np.ndarray,
    phase: np.ndarray | None = None,
    fluorescence: Mapping[int, tuple[np.ndarray, np.ndarray | None]] | None = None,
    **options: float | Mapping[int, float] | None,
) -> dict[str, np.ndarray]:
    """All rows of a movie as columns, sorted by cell, then frame; stacks are (T, Y, X)."""
    rows = []
    for t, labels in enumerate(labeled):
        channels = {
            c: (raw[t], None if corrected is None else corrected[t])
            for c, (raw, corrected) in (fluorescence or {}).items()
        }
        image = None if phase is None else phase[t]
        rows += [{"frame": t} | row for row in frame_rows(labels, image, channels, **options)]
    rows.sort(key=lambda row: (row["cell"], row["frame"]))
    return {name: np.array([row[name] for row in rows]) for name in (rows[0] if rows else ())}


def extract_traces(
    labeled: np.ndarray,
    phase: np.ndarray | None = None,
    raw: Mapping[int, np.ndarray] | None = None,
    corrected: Mapping[int, np.ndarray] | None = None,
    *,
    pc: int = 0,
    fov: int = 0,
    time: np.ndarray | None = None,
    features: Mapping[str, tuple[str, ...]] | None = None,
    pixel_um: float | None = None,
    **options: float | Mapping[int, float] | None,
) -> dict[str, np.ndarray]:
    """The whole table in the order of its columns, with the signature of the fast function."""
    channels = {c: (stack, (corrected or {}).get(c)) for c, stack in (raw or {}).items()}
    columns = extract_reference(labeled, phase, channels, pc=pc, **options)
    cells = len(columns.get("cell", ()))
    times = np.full(len(labeled), NAN) if time is None else np.asarray(time, dtype=np.float64)
    length = NAN if pixel_um is None else pixel_um
    wanted = {"pc": PC_FEATURES, "fl": FL_FEATURES} if features is None else features
    names = [f"{name}_ch_{pc}" for name in wanted["pc"]]
    names += [f"{name}_ch_{c}" for c in channels for name in wanted["fl"]]
    place = ("position_x", "position_y", "bbox_x0", "bbox_y0", "bbox_x1", "bbox_y1")
    empty = np.zeros(0)
    table = {
        "fov": np.full(cells, fov),
        "cell": columns.get("cell", empty),
        "frame": columns.get("frame", empty),
        "time": times[columns["frame"]] if cells else empty,
        "good": np.ones(cells, dtype=bool),
    }
    table |= {name: columns.get(name, empty) for name in (*place, *names)}
    return table | {
        "position_x_um": table["position_x"] * length,
        "position_y_um": table["position_y"] * length,
        "area_um2": columns.get(f"area_ch_{pc}", empty) * length**2,
        "flags": np.full(cells, ""),
    }
