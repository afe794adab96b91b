"""What a format is, and what is exported of an FOV: images, labels, rows, links, times, pixel."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fovflow.config.features import FEATURES
from fovflow.corrected import CorrectedFrames
from fovflow.errors import FovflowError
from fovflow.layout import fov_name
from fovflow.records import REMAKE
from fovflow.results import FovResult, read_traces
from fovflow.stacks import StackReader
from fovflow.tables import read_csv
from fovflow.units import SECONDS_PER

Part = Literal["images", "labels", "traces", "tracks", "pixel_um"]
"""What an export can be made of."""


@dataclass(frozen=True, slots=True)
class Format:
    """A form in which another program reads results."""

    words: str
    """What it is, in a line of help."""
    write: Callable[[Sequence[Any], Path], None]
    """Writes FOVs (`ExportedFov`) into a new folder; what lies in it is what the export consists
    of."""
    suffixes: tuple[str, ...]
    """Ends of the names of what it makes, after ``{dataset}_fov_{fov}``, or ``{dataset}`` where
    all FOVs go into one file."""
    needs: tuple[Part, ...]
    """Without any of these an FOV is left out."""
    wants: tuple[Part, ...] = ()
    """It is told where these are absent."""
    per_fov: bool = True
    """Whether every FOV has files of its own."""
    package: str = ""
    """The package that it needs, an extra of ours."""
    extra: str = ""
    """Name of the extra."""
    forms: tuple[str, ...] = ()
    """Names of its forms, the default first, where it has several."""


_REMEDY = {
    "images": "let the configuration's key keep name pc and fl, and run the pipeline again",
    "labels": "let the configuration's key keep name seg_labeled, and run the pipeline again",
    "traces": "run the pipeline again",
    "tracks": "run the pipeline again",
    "pixel_um": "give it with --pixel-um, such as --pixel-um 0.65",
}
_WORDS = {
    "images": "no stacks of images were kept",
    "labels": "no stack of labelled cells was kept",
    "traces": "there are no traces",
    "tracks": "there is no table of tracks",
    "pixel_um": "the size of a pixel is not known",
}


@dataclass(frozen=True)
class ExportedFov:
    """An FOV as exports see it. Stacks are read frame by frame, tables when they are asked for."""

    fov: FovResult
    good_only: bool = False
    """Whether only good rows count."""
    given_pixel_um: float | None = None
    """Size of a pixel in place of the one that the results tell."""
    form: str = ""
    """Which form of the format is wanted."""

    def check(self, how: Format) -> None:
        """Raise a FovflowError where the FOV is not complete or lacks what the format needs."""
        status = self.fov.status
        if status not in ("complete", "unknown"):
            why = f" at {self.fov.step}: {self.fov.error}" if self.fov.step else ""
            raise FovflowError(
                f"{self.fov.name} is left out: it is {status}{why}",
                remedy="run the pipeline again; complete FOVs are exported",
            )
        for part in how.needs:
            if not self._has(part):
                raise FovflowError(
                    f"{self.fov.name} is left out: {_WORDS[part]}", remedy=_REMEDY[part]
                )
        if not how.per_fov:
            self._read_once(how)

    def _read_once(self, how: Format) -> None:
        """Read the tables, and the stacks' headers: one bad FOV must not cost the file of all."""
        if "traces" in how.needs:
            _ = replace(self).links  # nothing stays in memory
        elif "tracks" in how.needs:
            _ = self.mothers
        for paths in self.fov.stacks.values():
            for path in paths.values():
                StackReader(path).close()

    def notes(self, how: Format) -> Iterator[str]:
        """Yield what the export of this FOV lacks."""
        for part in how.wants:
            if not self._has(part):
                yield f"{self.fov.name}: {_WORDS[part]}; to do: {_REMEDY[part]}"
        if self.fov.stale_verdicts:
            why = self.fov.stale_verdicts
            yield f"{self.fov.name}: a person's verdicts are not used: {why}"

    def _has(self, part: Part) -> bool:
        if part == "images":
            return bool(self.images)
        if part == "labels":
            return "seg_labeled" in self.fov.stacks
        if part == "traces":
            return self.fov.traces_path is not None
        if part == "tracks":
            return self._file("tracks") is not None
        return self.known_pixel_um is not None

    def _file(self, kind: str) -> Path | None:
        """Return the FOV's one table of a kind."""
        found = self.fov.path.glob(f"*_fov_{fov_name(self.fov.index)}_{kind}.csv")
        return next(iter(sorted(found)), None)

    def _table(self, kind: str, *columns: str) -> Any:
        """Read that table as a pandas.DataFrame; an empty one where there is none.

        Raises FovflowError where it cannot be read, or lacks one of the columns.
        """
        import pandas as pd

        path = self._file(kind)
        if path is None:
            return pd.DataFrame(columns=columns)
        found = read_csv(path)
        if lacking := [name for name in columns if name not in found]:
            raise FovflowError(f"{path} has no column {lacking[0]}", remedy=REMAKE)
        return pd.DataFrame(found)

    @property
    def base(self) -> str:
        """What the names of its files begin with: ``plate1_fov_003``."""
        return f"{self.fov.dataset}_fov_{fov_name(self.fov.index)}"

    @property
    def known_pixel_um(self) -> float | None:
        """Edge length of a pixel (µm), where it is known."""
        found = self.given_pixel_um or self.fov.metadata.get("pixel_um")
        return float(found) if found else None

    @property
    def pixel_um(self) -> float:
        """Edge length of a pixel (µm), where the format needs it."""
        found = self.known_pixel_um
        assert found is not None
        return found

    @property
    def images(self) -> list[Image]:
        """The channels of images that were kept, phase contrast first."""
        return self._channels("pc", "fl")

    @property
    def corrected(self) -> list[Image]:
        """The background-corrected channels that were kept, or can be made again."""
        return self._channels("fl_corrected")

    def _channels(self, *kinds: str) -> list[Image]:
        return [
            Image(self._name(channel) or f"channel {channel}", kind, channel)
            for kind in kinds
            for channel in self.fov.channels_of(kind)
        ]

    def _name(self, channel: int) -> str:
        """Return a channel's name, what cannot be printed replaced; empty where it has none."""
        names = self.fov.metadata.get("channel_names") or {}
        name = str(names.get(channel, names.get(str(channel), "")))
        return "".join(letter if letter.isprintable() else "\ufffd" for letter in name)

    def pictures(self) -> Iterator[tuple[str, Frames, dict[str, Any]]]:
        """Yield images, then corrected ones, as far as they were kept, as OME files hold them.

        With the end of their file's name, and what `ome` tells of them; they are open meanwhile.
        """
        for images, end in ((self.images, ""), (self.corrected, "_corrected")):
            if images:
                with ExitStack() as opened:
                    stacks = []
                    for image in images:
                        stacks.append(self.fov.reader(image.kind, image.channel))
                        opened.callback(stacks[-1].close)
                    frames = Frames(stacks)
                    yield end, frames, self.ome([image.name for image in images], frames)

    @contextmanager
    def labels(self) -> Iterator[Labels]:
        """Open the stack of labelled cells; see `Labels`."""
        (path,) = self.fov.stacks["seg_labeled"].values()
        kept = None
        if self.good_only:
            rows = self.rows
            kept = {int(t): part["cell"].to_numpy() for t, part in rows.groupby("frame")}
        with StackReader(path) as stack:
            yield Labels(stack, kept)

    @cached_property
    def rows(self) -> Any:
        """The traces as a pandas.DataFrame by cell and frame; ``parent`` is the mother or 0.

        ``time_s`` is the time in seconds.
        """
        import pandas as pd

        assert self.fov.traces_path is not None
        table = read_traces(self.fov.channel_traces or self.fov.traces_path)
        if lacking := {"cell", "frame", "time", "position_x", "position_y"} - {*table}:
            raise FovflowError(
                f"{self.fov.name} is left out: its traces have no column {sorted(lacking)[0]}",
                found=", ".join(table),
            )
        found = pd.DataFrame({"fov": self.fov.index, **table})
        found["good"] = found["good"].astype(bool) if "good" in found else True
        if self.good_only:
            found = found[found["good"]]
        found = found.sort_values(["cell", "frame"], kind="stable", ignore_index=True)
        parent = found["cell"].map(self.mothers).fillna(0).astype(np.int64)
        return found.assign(parent=parent, time_s=self._seconds(found))

    def _seconds(self, rows: Any) -> Any:
        """Return the time of each row (s): that of its frame, or else that of the traces."""
        times = self.times_s
        if times is not None and rows["frame"].max() < len(times):
            return times[rows["frame"]]
        return rows["time"] * SECONDS_PER[self.fov.time_units]

    @cached_property
    def mothers(self) -> dict[int, int]:
        """The mother of each daughter; empty without a table of tracks."""
        table = self._table("tracks", "cell", "parent")
        born = table[table["parent"] > 0]
        return dict(zip(born["cell"].tolist(), born["parent"].tolist(), strict=True))

    @cached_property
    def links(self) -> Any:
        """The links as a pandas.DataFrame: ``source`` and ``target`` are row numbers of `rows`.

        ``division`` tells a daughter's first link. What the tracker measured of a link (``iou``,
        ``confidence``, ``distance_px``) is empty where rows between were left out.
        """
        import pandas as pd

        rows = self.rows
        cells, frames = rows["cell"].to_numpy(), rows["frame"].to_numpy()
        before = np.flatnonzero(cells[1:] == cells[:-1])
        first = np.flatnonzero(np.r_[True, cells[1:] != cells[:-1]][: len(cells)])
        last = {int(cells[i - 1]): int(i - 1) for i in [*first[1:].tolist(), len(cells)] if i}
        born = [
            (mother, i)
            for i in first.tolist()
            if (mother := last.get(self.mothers.get(int(cells[i]), 0), -1)) >= 0
            and frames[mother] < frames[i]
        ]
        pairs = [*zip(before.tolist(), (before + 1).tolist(), strict=True), *born]
        found = pd.DataFrame(pairs, columns=["source", "target"], dtype=np.int64)
        found["division"] = np.arange(len(pairs)) >= len(before)
        if not self._has("tracks"):
            return found.sort_values(["target", "source"], ignore_index=True)
        target = rows[["cell", "frame"]].iloc[found["target"]].reset_index(drop=True)
        told = target.merge(
            self._table("tracks", "cell", "frame", "previous_frame"),
            on=["cell", "frame"],
            how="left",
        )
        same = told["previous_frame"].to_numpy() == frames[found["source"]]
        for name in ("iou", "confidence", "distance_px"):
            if name in told:
                found[name] = told[name].where(same)
        return found.sort_values(["target", "source"], ignore_index=True)

    @cached_property
    def lineages(self) -> NDArray[np.int64]:
        """Number of the lineage, from 0, of each of the `rows`: those that links join have one."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        links, n = self.links, len(self.rows)
        joined = coo_array((np.ones(len(links)), (links["source"], links["target"])), (n, n))
        return np.asarray(connected_components(joined, directed=False)[1], np.int64)

    def features(self) -> list[Column]:
        """Return the columns of the `rows` that hold features, with what is known of each."""
        found = []
        for column in self.rows.columns:
            if match := re.fullmatch(r"(.+)_ch_(\d+)", column):
                feature, channel = match[1], int(match[2])
                known = FEATURES.get(feature)
                about = (known.unit, known.description) if known else ("", "")
                found.append(Column(column, feature, channel, self._name(channel), *about))
        return found

    @cached_property
    def times_s(self) -> NDArray[np.float64] | None:
        """Times of the frames (s); None where they are not known."""
        times = self._table("times", "time_s")["time_s"].to_numpy(np.float64)
        return times if times.size and np.isfinite(times).all() else None

    @property
    def interval_s(self) -> float:
        """Median time between frames (s), by the traces without a table of times; 0: not known."""
        times = self.times_s
        if times is not None:
            steps = np.diff(times)
        elif self._has("traces") and self.fov.metadata.get("time_units") in SECONDS_PER:
            rows = self.rows.drop_duplicates("frame").sort_values("frame")
            steps = np.diff(rows["time_s"]) / np.diff(rows["frame"])
        else:
            return 0.0
        return float(np.median(steps)) if steps.size else 0.0

    def ome(self, names: list[str], frames: Frames | Labels) -> dict[str, Any]:
        """Return what `fovflow.simulation.source.describe` is told of frames."""
        t, *_ = shape = frames.shape
        times = self.times_s
        return {
            "channels": names,
            "pixel_um": self.pixel_um,
            "shape": (t, 1, *shape[1:]),
            "times_s": times[:, None] if times is not None and times.size == t else None,
            "period_s": max(self.interval_s, 0.0),
        }


def named(table: Any, fov: FovResult) -> Any:
    """Return a table by FOV with the name of its position, such as a well, where there are any."""
    if fov.metadata.get("positions"):
        table.insert(table.columns.get_loc("fov") + 1, "position", fov.position)
    return table


class Image(NamedTuple):
    """A channel of images."""

    name: str
    kind: str
    channel: int


class Column(NamedTuple):
    """A column of traces that holds a feature."""

    name: str
    feature: str
    channel: int
    channel_name: str
    unit: str
    description: str


class Frames:
    """Frames of several channels, (C, Y, X) each, in the type that holds all."""

    def __init__(self, stacks: Sequence[StackReader | CorrectedFrames]):
        self._stacks = stacks
        shapes = {stack.shape for stack in stacks}
        if len(shapes) != 1:
            raise FovflowError(
                f"{stacks[0].path} and other channels differ in shape",
                found=", ".join(map(str, sorted(shapes))),
                remedy="run the pipeline again",
            )
        (t, y, x), self.dtype = shapes.pop(), np.result_type(*(s.dtype for s in stacks))
        self.shape = (t, len(stacks), y, x)
        """(T, C, Y, X)."""

    def __call__(self, p: int, t: int) -> NDArray[Any]:
        """Return one frame; `p` is 0."""
        return np.stack([stack.frame(t) for stack in self._stacks]).astype(self.dtype, copy=False)


class Labels:
    """Frames of labels, (1, Y, X) each, in the narrowest unsigned type that holds all.

    `kept`: the cells of each frame that stay; None for all.
    """

    def __init__(self, stack: StackReader, kept: dict[int, NDArray[Any]] | None):
        self._stack, self._kept = stack, kept
        self._highest = max((int(frame.max(initial=0)) for frame in stack), default=0)
        self.dtype = np.dtype(np.uint16 if self._highest < 2**16 else np.uint32)
        self.shape = (stack.shape[0], 1, *stack.shape[1:])
        """(T, 1, Y, X)."""

    def __call__(self, p: int, t: int) -> NDArray[Any]:
        """Return one frame; `p` is 0."""
        frame = self._stack.frame(t)
        if self._kept is not None:
            table = np.zeros(self._highest + 1, frame.dtype)
            cells = self._kept.get(t, np.zeros(0, np.int64))
            cells = cells[cells <= self._highest]
            table[cells] = cells
            frame = table[frame]
        return frame.astype(self.dtype, copy=False)[None]

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[NDArray[Any]]:
        """Iterate over the frames, (Y, X) each."""
        for t in range(self.shape[0]):
            yield self(0, t)[0]
