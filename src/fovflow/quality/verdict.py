"""Verdicts: which rows of a table are good, and why the others are not."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Literal, TypeGuard

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fovflow.config.findings import NOTE, REJECT
from fovflow.errors import ConfigError
from fovflow.labels import BoolArray, IntArray
from fovflow.quality import movie, rules
from fovflow.quality.rules import Rows, as_column, merged, swallowed

RULES: dict[str, str] = {
    "min_frames": "Too few frames of the cell remain after the other rules.",
    "border": "The cell is at the border of the frame.",
    "saturation": "Pixels of the cell are saturated.",
    "invalid": "Pixels of the cell are not finite, or none is left to measure.",
    "area_jump": "The area differs abruptly from that in the frames around.",
    "merge": "The mask has probably swallowed a neighbour.",
    "frame": "The segmentation of the frame is not reliable.",
    "focus": "The frame is out of focus, compared with the sharpest ones.",
    "size": "The object is much larger or smaller than the movie's other ones.",
    "debris": "The object neither moves nor changes, unlike the movie's other ones.",
    "ragged": "The object is pale and ragged: probably found in part, or with what lies beside.",
    "low_confidence": "The row hangs on the rest of its cell by a doubtful link.",
    "fast": "Cells move by about their own size from frame to frame.",
    "gap": "The cell was not found in the frame before, though earlier.",
    "lineage": "The cell has a parent or daughters.",
    "bleaching": "The background has faded since the first frame.",
    "decay": "Most cells' light falls at one rate: bleaching, or a decay that all cells have.",
    "shading": "The background differs from the centre of the frame to its corners.",
    "dim": "The fluorescence of a channel is little more than noise.",
    "light": "The light of most cells jumps in this frame only: the lamp, or the exposure.",
    "crowded": "Most cells of the movie nearly touch another: outlines between them are uncertain.",
}
"""All rules, in the order in which their names stand in `flags`."""

PEOPLE: dict[str, str] = {
    "accepted": "A person accepted the cell.",
    "rejected": "A person rejected the cell.",
}
"""What stands in `flags` of cells that people have judged."""

REASONS: dict[str, str] = {
    "brief": "Found in few frames, since it came or went over the border or an end of the movie.",
    "broken": "Found in few frames, since its id begins or ends amid the field.",
}
"""What stands in `flags` after ``min_frames``; where neither does, other rules took the rows."""

NEEDS: dict[str, str] = {
    "saturation": "saturated_fraction", "invalid": "invalid_fraction", "area_jump": "area",
    "merge": "area", "focus": "sharpness", "size": "area", "ragged": "solidity", "debris": "area",
    "fast": "area",
    "bleaching": "background_mean", "shading": "background_mean", "crowded": "area",
    "dim": "intensity_total", "decay": "intensity_total", "light": "intensity_total",
}  # fmt: skip
"""Features without which a rule flags nothing."""

_WORDS = ("min_frames", *REASONS, *list(RULES)[1:])

Columns = dict[str, Any]
_PART = 1 << 15


def judge(
    columns: Mapping[str, ArrayLike],
    *,
    shape: tuple[int, int, int],
    pixel_um: float | None = None,
    missing: Collection[int] = (),
    unrecorded: Mapping[int, Collection[int]] | None = None,
    links: Mapping[str, ArrayLike] | None = None,
    frame_flags: Mapping[int, str] | None = None,
    reject: Sequence[str] = REJECT,
    note: Sequence[str] = NOTE,
    verdict: Literal["row", "cell"] = "row",
    min_frames: int = 30,
    min_frames_fraction: float | None = 0.5,
    border_px: float = 2.0,
    border_um: float | None = None,
    border_measure: rules.BorderMeasure = "box",
    max_saturated_fraction: float = 0.01,
    max_invalid_fraction: float = 0.0,
    area_jump_ratio: float = 1.5,
    area_jump_window: int = 9,
    merge_gain: float = 0.5,
    rejoin_gap: int = 3,
    foreground_jump: float = 1.5,
    focus_ratio: float = 0.3,
    size_ratio: float = 2.8,
    debris_share: float = 0.15,
    min_confidence: float = 0.5,
    max_step_radii: float = 0.7,
    max_shading: float = 0.12,
    ragged_sharpness: float = 0.7,
    ragged_solidity: float = 0.8,
) -> Columns:
    """Fill the columns `good` and `flags` of one FOV's traces; no row is removed.

    Parameters
    ----------
    columns : mapping of str to array-like
        The table, such as `Extractor.finish` returns it, or a pandas.DataFrame.
    shape : tuple of int
        (T, Y, X) of the movie.
    pixel_um : float, optional
        Edge length of a pixel in µm, for `border_um`.
    missing : collection of int
        Frames that were not acquired.
    unrecorded : mapping of int to collection of int, optional
        Frames in which a channel was not recorded: that its values are empty flags no row.
    links : mapping of str to array-like, optional
        The tracker's table of links: `cell`, `frame`, and where there are such columns `parent`
        for the rule ``lineage``, `merged` for ``merge`` and `confidence` for ``low_confidence``.
    frame_flags : mapping of int to str, optional
        What the segmentation flagged frames with, for the rule ``frame``.
    reject, note, verdict, min_frames, …
        As in the section ``qc`` of the configuration (``config/README.md``), which has the same
        names and defaults. `border_um` wins over `border_px`; without `min_frames_fraction` (None)
        `min_frames` holds in short movies, too.

    Returns
    -------
    dict of str to array-like
        All columns in their order, as they were given; new are the arrays `good`, bool, and
        `flags`, text (names joined by ``;`` in the order of `RULES`).

    Raises
    ------
    ConfigError
        If a rule is unknown or stands twice, or `border_um` is given without `pixel_um`.

    Notes
    -----
    The rules are defined in ``docs/algorithms/quality.md``.
    """
    _check(reject, note)
    rows = Rows(columns, shape, frozenset(missing))
    evaluations: dict[str, Callable[[], BoolArray]] = {
        "border": lambda: rules.near_border(
            rows, _border_px(border_px, border_um, pixel_um), border_measure
        ),
        "saturation": lambda: rules.saturated(rows, max_saturated_fraction),
        "invalid": lambda: rules.invalid(rows, max_invalid_fraction, unrecorded or {}),
        "area_jump": lambda: rules.area_jump(rows, area_jump_ratio, area_jump_window),
        "merge": lambda: (
            swallowed(rows, links) if _masks_compared(links) else merged(rows, merge_gain)
        ),
        "frame": lambda: movie.unreliable_frame(rows, frame_flags or {}, foreground_jump),
        "focus": lambda: movie.out_of_focus(rows, focus_ratio),
        "size": lambda: movie.unusual_size(rows, size_ratio),
        "debris": lambda: movie.at_rest(rows, debris_share),
        "ragged": lambda: movie.pale_and_ragged(rows, ragged_sharpness, ragged_solidity),
        "low_confidence": lambda: movie.doubtful_links(rows, links or {}, min_confidence),
        "fast": lambda: movie.too_fast(rows, max_step_radii),
        "gap": lambda: rules.after_gap(rows),
        "lineage": lambda: rules.in_lineage(rows, links or {}),
        "bleaching": lambda: movie.fading(rows),
        "decay": lambda: movie.decaying(rows),
        "shading": lambda: movie.uneven_background(rows, max_shading),
        "dim": lambda: movie.dim(rows),
        "light": lambda: movie.light_jumps(rows),
        "crowded": lambda: movie.crowded(rows),
    }
    wanted = {*reject, *note}
    code = np.zeros(len(rows), np.uint32)  # a bit for each name in `_WORDS`
    for name, evaluate in evaluations.items():
        if name in wanted:
            flag = evaluate()
            if verdict == "cell" and name in reject:
                flag = rows.whole_cells(flag)
            code |= flag * _bits([name])
    if "min_frames" in wanted:
        needed = rules.frames_needed(rows.acquired.size, min_frames, min_frames_fraction)
        if verdict == "cell":
            few = {"min_frames": rules.too_few_frames(rows, np.ones(len(rows), bool), needed)}
        else:
            few = _too_few_frames(rows, code & _bits(reject) == 0, needed, rejoin_gap)
        for name, flag in few.items():
            code |= flag * _bits([name])
    return _filled(columns, rows, code, code & _bits(reject) == 0)


def _bits(names: Iterable[str]) -> np.uint32:
    return np.uint32(sum(1 << _WORDS.index(name) for name in names))


def telling_links(links: Mapping[str, ArrayLike], min_confidence: float = 0.5) -> Columns:
    """Return those of the tracker's links that `judge` learns anything from; most tell nothing.

    They are those with a parent, with a merge, or with a confidence below `min_confidence`, and one
    whose masks were compared. Verdicts are the same with them as with all.
    """
    known = {name: np.asarray(values) for name, values in links.items()}
    tells = np.zeros(len(known["cell"]), bool)
    for name in ("parent", "merged"):
        tells |= known.get(name, np.zeros(1)) > 0
    tells |= known.get("confidence", np.ones(1)) < min_confidence
    tells[np.flatnonzero(np.isfinite(known.get("iou", np.zeros(0))))[:1]] = True
    return {name: values[tells] for name, values in known.items()}


def _masks_compared(links: Mapping[str, ArrayLike] | None) -> TypeGuard[Mapping[str, ArrayLike]]:
    """Tell whether the tracker has looked for merges in the masks."""
    if not links or "merged" not in links:
        return False
    return bool(np.isfinite(np.asarray(links.get("iou", [0.0]), np.float64)).any())


def _too_few_frames(
    rows: Rows, good: BoolArray, needed: int, rejoin_gap: int
) -> dict[str, BoolArray]:
    """Return the flags of ``min_frames``, for chains of broken ids together, and its reasons."""
    chain = movie.chains(rows, rejoin_gap)
    counted = np.bincount(chain, rows.cells.count(good), minlength=chain.size)[chain]
    few, short = counted < needed, rows.cells.size < needed
    broken = np.logical_or(*movie.amid(rows))
    found = {"min_frames": few, "brief": few & short & ~broken, "broken": few & short & broken}
    return {name: np.asarray(rows.cells.spread(flag)) for name, flag in found.items()}


def _check(reject: Sequence[str], note: Sequence[str]) -> None:
    named = [*reject, *note]
    for name in named:
        if name not in RULES:
            raise ConfigError(
                f"qc: there is no rule {name!r}", found=", ".join(RULES), remedy="name one of these"
            )
        if named.count(name) > 1:
            raise ConfigError(
                f"qc: the rule {name!r} stands twice", remedy="name it once, in reject or in note"
            )


def _border_px(border_px: float, border_um: float | None, pixel_um: float | None) -> float:
    if border_um is None:
        return border_px
    if pixel_um is None:
        raise ConfigError(
            "qc: border_um needs the size of a pixel, which is not known",
            remedy="give the dataset's pixel_um, or use border_px",
        )
    return border_um / pixel_um


def _filled(
    columns: Mapping[str, ArrayLike], rows: Rows, code: NDArray[np.uint32], good: BoolArray
) -> Columns:
    values = np.unique(code)
    texts = np.array(
        [";".join(n for n in _WORDS if value & _bits([n])) for value in values], object
    )
    good_as_given, flags = np.empty(len(rows), bool), np.empty(len(rows), object)
    good_as_given[rows.order] = good
    flags[rows.order] = texts[np.searchsorted(values, code)]
    return {**{name: columns[name] for name in columns}, "good": good_as_given, "flags": flags}


def ledger(columns: Mapping[str, ArrayLike], reject: Sequence[str] = ()) -> dict[str, Any]:
    """Count what was detected and what was kept, and how often each reason stands.

    Parameters
    ----------
    columns : mapping of str to array-like
        A table with the columns `cell`, `good` and `flags`.
    reject : sequence of str
        The rules that make rows bad.

    Returns
    -------
    dict
        ``cells`` and ``rows``, each with ``detected``, ``kept`` (a cell is kept with any good row)
        and ``rejected``; ``reasons``: per rule the number of cells and of rows that carry its flag
        (a row may carry several); ``causes``: per rule of `reject` the cells that are lost first of
        all by it, each once: by what most of their rows carry, and by ``min_frames`` only where
        that is nothing else; ``unexplained``: bad rows without a flag, such as a person's
        verdicts; ``not_evaluated``: rules whose feature the table does not have.
    """
    # Cells, flags and verdicts that go together, and in how many rows they do: a short table.
    given = {name: as_column(columns[name]) for name in ("cell", "flags", "good")}
    known: dict[str, int] = {}
    groups, size = np.zeros(0, np.int64), np.zeros(0, np.int64)
    for start in range(0, given["cell"].size, _PART):
        part = {name: values[start : start + _PART] for name, values in given.items()}
        codes = [known.setdefault(str(text), len(known)) for text in part["flags"].tolist()]
        found = part["cell"].astype(np.int64) << 20 | np.array(codes, np.int64) << 1
        groups = np.append(groups, found | part["good"].astype(bool))
        size = np.append(size, np.ones(found.size, np.int64))
        groups, at = np.unique(groups, return_inverse=True)
        size = np.bincount(at, size).astype(np.int64)
    cell, good = groups >> 20, (groups & 1) > 0
    which = groups >> 1 & (1 << 19) - 1
    carriers = {
        name: np.array([name in text.split(";") for text in known], bool)[which]
        for name in (*_WORDS, *PEOPLE)
    }
    carriers = {name: carries for name, carries in carriers.items() if carries.any()}
    unflagged = np.array([not text for text in known], bool)[which]
    cells, kept = int(np.unique(cell).size), int(np.unique(cell[good]).size)
    rows, good_rows = int(size.sum()), int(size[good].sum())
    return {
        "cells": {"detected": cells, "kept": kept, "rejected": cells - kept},
        "rows": {"detected": rows, "kept": good_rows, "rejected": rows - good_rows},
        "reasons": {
            name: {"cells": int(np.unique(cell[carries]).size), "rows": int(size[carries].sum())}
            for name, carries in carriers.items()
        },
        "causes": _causes(cell, good * size, {n: c * size for n, c in carriers.items()}, reject),
        "unexplained": int(size[unflagged & ~good].sum()),
        "not_evaluated": [
            rule
            for rule, feature in NEEDS.items()
            if not any(column.startswith(f"{feature}_ch_") for column in columns)
        ],
    }


def _causes(
    cell: IntArray, good: IntArray, carriers: Mapping[str, IntArray], reject: Sequence[str]
) -> dict[str, int]:
    """Return how many cells without a good row each rule has made so first of all.

    `good`, `carriers`: how many rows of a cell are good, and carry a flag; a cell may stand twice.
    """
    names = [name for name in ("rejected", *reject) if name in carriers]
    if not names:
        return {}
    _, of = np.unique(cell, return_inverse=True)
    rows = [
        np.minimum(np.bincount(of, carriers[name]), 0.5 if name == "min_frames" else np.inf)
        for name in names
    ]
    explained = (np.bincount(of, good) == 0) & (np.max(rows, axis=0) > 0)
    first = np.argmax(rows, axis=0)[explained]
    return {names[k]: int(n) for k, n in enumerate(np.bincount(first)) if n}
