"""Traces of one FOV: frame by frame, and of whole arrays for notebooks and scripts."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from fovflow.config.features import (
    DEFAULT_FEATURES,
    Feature,
    Kind,
    check_ratios,
    choose_features,
    ratio_name,
)
from fovflow.errors import ConfigError, FovflowError
from fovflow.features.cells import CellFinder, Cells
from fovflow.features.views import FluorescenceCells, PhaseCells, Pixels, Region, evaluate

if TYPE_CHECKING:
    import pandas as pd

Columns = dict[str, Any]
"""Columns of one length: arrays, or what gives parts of one as slices."""


class RowStore(Protocol):
    """Takes rows frame by frame and gives them back by column, sorted by cell, then frame."""

    def append(self, part: Mapping[str, NDArray[Any]]) -> None:
        """Take the rows of a frame: always the same columns, with `cell` and `frame`."""
        ...

    def columns(self, dtypes: Mapping[str, DTypeLike]) -> Columns:
        """Return the columns named, of these dtypes; no row is appended afterwards."""
        ...


class MemoryRows:
    """Keeps rows in memory."""

    def __init__(self) -> None:
        self._parts: list[dict[str, NDArray[Any]]] = []

    def append(self, part: Mapping[str, NDArray[Any]]) -> None:
        """Take the rows of a frame."""
        self._parts.append(dict(part))

    def columns(self, dtypes: Mapping[str, DTypeLike]) -> Columns:
        """Return the columns as arrays; all rows are let go of."""
        # Column by column, and each is let go of: the table stands in memory only once.
        parts, self._parts = self._parts, []
        keys = [_joined([part[name] for part in parts], np.int64) for name in ("frame", "cell")]
        order = np.lexsort(keys)
        return {
            name: _joined([part.pop(name) for part in parts], dtype)[order]
            for name, dtype in dtypes.items()
        }


def _joined(parts: list[NDArray[Any]], dtype: DTypeLike) -> NDArray[Any]:
    return np.concatenate([np.zeros(0, dtype), *parts])


Saturation = float | Mapping[int, float] | None
Channels = Mapping[int, tuple[NDArray[Any], NDArray[Any] | Pixels | None] | None]
"""The raw and the corrected frame of each fluorescence channel; None where it was not recorded."""

_LEADING: dict[str, type] = {
    "fov": np.int64, "cell": np.int64, "frame": np.int64, "time": np.float64, "good": np.bool_,
    "position_x": np.float64, "position_y": np.float64,
    "bbox_x0": np.int64, "bbox_y0": np.int64, "bbox_x1": np.int64, "bbox_y1": np.int64,
}  # fmt: skip
_TRAILING: dict[str, type] = {
    "position_x_um": np.float64, "position_y_um": np.float64, "area_um2": np.float64,
    "flags": np.object_,
}  # fmt: skip


@dataclass(kw_only=True, eq=False, repr=False)
class Extractor:
    """Turns the frames of one FOV into its table of traces; made by `get_extractor`."""

    fov: int
    pc: int | None
    fl: tuple[int, ...]
    features: dict[Kind, tuple[Feature, ...]]
    time: NDArray[np.float64]
    pixel_um: float
    erosion_px: int
    background_weight: float
    saturation: Saturation
    rows: RowStore

    def __post_init__(self) -> None:
        self._find = CellFinder()
        self._frames: set[int] = set()
        self._table: Columns | None = None

    def add(
        self,
        t: int,
        labeled: NDArray[Any],
        phase: NDArray[Any] | None = None,
        channels: Channels | None = None,
    ) -> None:
        """Add one frame; a missing frame is left out.

        Parameters
        ----------
        t : int
            Index of the frame, each at most once, in any order.
        labeled : numpy.ndarray
            (Y, X) of an integer dtype: ids of the cells over time, 0 = background.
        phase : numpy.ndarray, optional
            (Y, X) phase-contrast frame of any real dtype; only shapes without it.
        channels : mapping of int to (raw, corrected)
            For each fluorescence channel the raw frame, (Y, X) of any real dtype, and the
            corrected one, (Y, X) of a float dtype, or what gives the corrected counts of pixels
            from their raw ones and their indices in the flattened frame, or None; None for both if
            the channel was not recorded in this frame: its features are empty then (NaN, counts 0).

        Raises
        ------
        FovflowError
            If frames do not fit each other, if a channel is not given, or if a feature fails.
        """
        if self._table is not None:
            raise RuntimeError("a frame is added to an extractor that has finished")
        if not 0 <= t < self.time.size or t in self._frames:
            raise FovflowError(
                f"frame {t} was added before, or is none of the {self.time.size} frames",
                remedy="add each frame once, and give a time for each frame",
            )
        channels = {} if channels is None else channels
        self._check(t, labeled, phase, channels)
        self._frames.add(t)
        cells = self._find(labeled)
        if len(cells):
            try:
                self.rows.append(self._measure(t, cells, phase, channels))
            except FovflowError as error:
                place = f"FOV {self.fov}, frame {t}: {error.message}"
                raise type(error)(place, found=error.found, remedy=error.remedy) from error

    def finish(self) -> Columns:
        """Return the table: columns of one length, sorted by cell, then frame.

        Columns are arrays, or what the store of the rows gives in their place. No frame can be
        added afterwards.
        """
        if self._table is None:
            dtypes = self._dtypes()
            of_all = {"fov": self.fov, "good": True, "flags": ""}
            rows = self.rows.columns({n: d for n, d in dtypes.items() if n not in of_all})
            for name, value in of_all.items():  # the same for all rows: no memory for each
                rows[name] = np.broadcast_to(np.array(value, dtypes[name]), len(rows["cell"]))
            self._table = {name: rows[name] for name in dtypes}
        return self._table

    def _dtypes(self) -> dict[str, type]:
        measured: dict[str, type] = {}
        for kind, channel in self._channels():
            for feature in self._of_channel(kind, channel):
                measured[f"{feature.name}_ch_{channel}"] = feature.dtype
        return {**_LEADING, **measured, **_TRAILING}

    def _channels(self) -> list[tuple[Kind, int]]:
        phase: list[tuple[Kind, int]] = [] if self.pc is None else [("pc", self.pc)]
        return [*phase, *(("fl", channel) for channel in self.fl)]

    def _of_channel(self, kind: Kind, channel: int) -> list[Feature]:
        """Return the features of a channel: it has no ratio to itself."""
        return [each for each in self.features[kind] if each.name != ratio_name(channel)]

    def _check(
        self,
        t: int,
        labeled: NDArray[Any],
        phase: NDArray[Any] | None,
        channels: Channels,
    ) -> None:
        missing = [channel for channel in self.fl if channel not in channels]
        if missing:
            raise FovflowError(
                f"frame {t}: fluorescence channel {missing[0]} is not given",
                found=", ".join(map(str, channels)) or "none",
            )
        frames: dict[str, NDArray[Any] | Pixels | None] = {"phase": phase}
        for channel in self.fl:
            pair = channels[channel] or (None, None)
            frames[f"channel {channel}, raw"], frames[f"channel {channel}, corrected"] = pair
        for name, frame in frames.items():
            if frame is None or callable(frame):
                continue
            if frame.shape != labeled.shape or frame.dtype.kind not in "uif":
                raise FovflowError(
                    f"frame {t}: {name} does not fit the labels",
                    found=f"{frame.shape} of {frame.dtype}, labels {labeled.shape}",
                    remedy="give stacks of one FOV and of the same crop",
                )

    def _measure(
        self, t: int, cells: Cells, phase: NDArray[Any] | None, channels: Channels
    ) -> Columns:
        n = len(cells)
        x, y = cells.centroid
        rows: Columns = {
            "cell": cells.ids, "frame": np.full(n, t), "time": np.full(n, self.time[t]),
            "position_x": x, "position_y": y,
            **dict(zip(("bbox_x0", "bbox_y0", "bbox_x1", "bbox_y1"), cells.box, strict=True)),
            "position_x_um": x * self.pixel_um, "position_y_um": y * self.pixel_um,
            "area_um2": cells.area * self.pixel_um**2,
        }  # fmt: skip
        views: dict[int, FluorescenceCells] = {}
        region = Region(cells, self.erosion_px) if self.fl else None
        for channel in self.fl:
            pair, level = channels[channel], self.saturation
            if isinstance(level, Mapping):
                level = level.get(channel)
            if region is not None and pair is not None:
                view = FluorescenceCells(region, *pair, self.background_weight, level)
                views[channel], view.beside = view, views
        for feature in self.features["pc"] if self.pc is not None else ():
            rows[f"{feature.name}_ch_{self.pc}"] = evaluate(feature, PhaseCells(cells, phase))
        for channel in self.fl:
            for feature in self._of_channel("fl", channel):
                name = f"{feature.name}_ch_{channel}"
                if channel in views:
                    rows[name] = evaluate(feature, views[channel])
                else:
                    empty = np.nan if feature.dtype is np.float64 else 0
                    rows[name] = np.full(n, empty, feature.dtype)
        views.clear()  # they hold one another, and with them the frames
        return rows


def get_extractor(
    *,
    fov: int,
    pc: int | None,
    fl: Sequence[int],
    time: ArrayLike,
    features: Mapping[str, Sequence[str]] = DEFAULT_FEATURES,
    pixel_um: float | None = None,
    erosion_px: int = 0,
    background_weight: float = 1.0,
    saturation: Saturation = None,
    rows: RowStore | None = None,
) -> Extractor:
    """Make an extractor for the frames of one FOV.

    Parameters
    ----------
    fov : int
        Index of the FOV, for the column of that name.
    pc : int or None
        Index of the phase-contrast channel; None where there is none: then there are no features
        of kind ``pc``.
    fl : sequence of int
        Indices of the fluorescence channels, in the order of their columns.
    time : array-like
        (T,) acquisition time of each frame in the unit of the table, NaN where unknown.
    features : mapping
        Names of features under ``pc`` and ``fl``; a kind left out has its defaults.
    pixel_um : float, optional
        Edge length of a pixel in µm; without it the columns in µm are NaN.
    erosion_px : int
        Distance in pixels from the cell's outline within which pixels are left out of
        intensities; shapes are not affected.
    background_weight : float
        0 to 1: intensity = raw − weight · (raw − corrected).
    saturation : float or mapping of int to float, optional
        Counts from which a pixel is saturated, for all channels or per channel index; the
        default is the greatest value of an integer raw dtype.
    rows : RowStore, optional
        Where the rows are kept until the end, such as a `fovflow.rowfile.RowFile`; in memory by
        default.

    Raises
    ------
    ConfigError
        If a feature is unknown or a value out of its range.

    Notes
    -----
    The columns are defined in ``docs/algorithms/features.md``.

    Examples
    --------
    >>> import numpy as np
    >>> labels = np.zeros((4, 6), np.uint16)
    >>> labels[1:3, 2:4] = 7
    >>> raw = np.full((4, 6), 30, np.uint16)
    >>> extractor = get_extractor(
    ...     fov=0, pc=0, fl=[1], time=[0.0], features={"pc": ["area"], "fl": ["intensity_total"]}
    ... )
    >>> extractor.add(0, labels, None, {1: (raw, raw - 10.0)})
    >>> table = extractor.finish()
    >>> table["cell"].tolist(), table["area_ch_0"].tolist(), table["intensity_total_ch_1"].tolist()
    ([7], [4], [80.0])
    """
    seconds = np.asarray(time, np.float64)
    channels = tuple(int(channel) for channel in fl)
    for key, right, allowed in (
        ("time", seconds.ndim == 1, "one number per frame"),
        ("fl", len(set(channels)) == len(channels), "distinct channels"),
        ("pixel_um", pixel_um is None or 0 < pixel_um < np.inf, "a length above 0"),
        ("erosion_px", erosion_px == int(erosion_px) and 0 <= erosion_px <= 1000,
         "a whole number from 0 to 1000"),
        ("background_weight", 0 <= background_weight <= 1, "a number from 0 to 1"),
    ):  # fmt: skip
        if not right:
            raise ConfigError(f"extract: {key} is out of its range", remedy=f"give {allowed}")
    chosen = choose_features(features)
    check_ratios([feature.name for feature in chosen["fl"]], channels)
    return Extractor(
        fov=int(fov),
        pc=pc,
        fl=channels,
        features=chosen,
        time=seconds,
        pixel_um=np.nan if pixel_um is None else pixel_um,
        erosion_px=int(erosion_px),
        background_weight=float(background_weight),
        saturation=saturation,
        rows=MemoryRows() if rows is None else rows,
    )


def extract_traces(
    labeled: NDArray[Any],
    phase: NDArray[Any] | None = None,
    raw: Mapping[int, NDArray[Any]] | None = None,
    corrected: Mapping[int, NDArray[Any]] | None = None,
    *,
    pc: int = 0,
    fov: int = 0,
    time: ArrayLike | None = None,
    missing: Collection[int] = (),
    features: Mapping[str, Sequence[str]] = DEFAULT_FEATURES,
    pixel_um: float | None = None,
    erosion_px: int = 0,
    background_weight: float = 1.0,
    saturation: Saturation = None,
) -> pd.DataFrame:
    """Measure all cells of one FOV.

    Parameters
    ----------
    labeled : numpy.ndarray
        (T, Y, X) of an integer dtype: one id per cell over time, 0 = background.
    phase : numpy.ndarray, optional
        (T, Y, X) phase-contrast stack. Without it `sharpness` and the like are left out of the
        default features.
    raw, corrected : mapping of int to numpy.ndarray, optional
        (T, Y, X) raw and background-corrected stacks by channel index; a channel without a
        corrected stack has its raw counts as intensities.
    pc : int
        Index of the phase-contrast channel, for the names of columns.
    fov : int
        Index of the FOV.
    time : array-like, optional
        (T,) time of each frame, in the unit that the table shall have.
    missing : collection of int
        Frames that were not acquired; they give no rows.
    features, pixel_um, erosion_px, background_weight, saturation
        See `get_extractor`.

    Returns
    -------
    pandas.DataFrame
        One row per cell and frame, sorted by cell, then frame; columns as in
        ``docs/algorithms/features.md``. `fovflow.quality.judge` fills `good` and `flags`.

    Raises
    ------
    FovflowError
        If stacks do not fit each other, or a feature is unknown or fails.
    """
    import pandas as pd

    raw, corrected = raw or {}, corrected or {}
    _check_stacks(labeled, phase, raw, corrected)
    if phase is None and features is DEFAULT_FEATURES:
        shapes = [name for name in features["pc"] if name != "sharpness"]
        features = {**features, "pc": shapes}
    frames = labeled.shape[0]
    extractor = get_extractor(
        fov=fov,
        pc=pc,
        fl=list(raw),
        time=np.full(frames, np.nan) if time is None else time,
        features=features,
        pixel_um=pixel_um,
        erosion_px=erosion_px,
        background_weight=background_weight,
        saturation=saturation,
    )
    views = (
        (
            labeled[t],
            None if phase is None else phase[t],
            {c: (raw[c][t], corrected[c][t] if c in corrected else None) for c in raw},
        )
        for t in range(frames)
    )
    return pd.DataFrame(measure_frames(extractor, views, [t in missing for t in range(frames)]))


def measure_frames(
    extractor: Extractor,
    frames: Iterable[tuple[NDArray[Any], NDArray[Any] | None, Channels]],
    missing: Iterable[bool],
) -> dict[str, Any]:
    """Measure the cells of frames one by one, and return the table; see `Extractor`.

    Parameters
    ----------
    extractor : Extractor
    frames : iterable of tuple
        Labels, phase contrast and (raw, corrected) by channel of each frame, in their order.
    missing : iterable of bool
        Whether each frame was never acquired: it gives no rows.
    """
    absent, t = list(missing), 0
    for views in frames:
        if t < len(absent) and not absent[t]:
            extractor.add(t, *views)
        t += 1
        del views  # before the next frame is read, which zip and enumerate would not
    if t != len(absent):
        raise ValueError(f"{t} frames, but {len(absent)} say whether they are missing")
    return extractor.finish()


def _check_stacks(
    labeled: NDArray[Any],
    phase: NDArray[Any] | None,
    raw: Mapping[int, NDArray[Any]],
    corrected: Mapping[int, NDArray[Any]],
) -> None:
    alone = sorted(set(corrected) - set(raw))
    if alone:
        raise ConfigError(
            f"channel {alone[0]} has a corrected stack but no raw one", remedy="give both stacks"
        )
    for name, stack in [("phase", phase), *raw.items(), *corrected.items()]:
        if stack is not None and (stack.ndim != 3 or stack.shape != labeled.shape):
            raise ConfigError(
                f"stack {name} does not fit the labels",
                found=f"{stack.shape}, labels {labeled.shape}",
                remedy="give (T, Y, X) stacks of one FOV",
            )
