"""``processing_results.yaml``: what was made of a dataset, written and read.

Paths in it are relative to its own folder, so that a result that was moved or copied still opens.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fovflow
from fovflow.errors import FovflowError
from fovflow.layout import STACKS, Layout, fov_name
from fovflow.tables import read_json, read_yaml, write_yaml

FILE_NAME = "processing_results.yaml"
SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Made:
    """A file that a run makes: the step, the record of its job, and its name."""

    step: str
    record: str
    path: str


def fov_status(made: list[Made], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the status of one FOV.

    Parameters
    ----------
    made : list of Made
        Every file that stays, in the order of the steps.
    options : mapping of str to object
        Today's parameters of each step.

    Returns
    -------
    dict
        ``status`` is ``complete``; ``failed`` with ``step`` and ``error``; ``outdated`` with
        ``step``, where files were made with other parameters; or ``incomplete`` with the first
        ``step`` whose files are missing and that has left no error (not run yet, or killed).
    """
    records: dict[str, Any] = {}
    for item in made:
        if item.record not in records:
            records[item.record] = _read_record(item.record)
        record = records[item.record]
        if record.get("status") == "failed":
            error = {"status": "failed", "step": item.step, "error": record.get("error", "")}
            if record.get("frame") is not None:
                error["frame"] = record["frame"]
            return error
        if not Path(item.path).exists():
            return {"status": "incomplete", "step": item.step}
        if "options" in record and record["options"] != _plain(options.get(item.step)):
            return {"status": "outdated", "step": item.step}
    return {"status": "complete"}


def _read_record(name: str) -> dict[str, Any]:
    try:
        content = read_json(name)
    except FovflowError:
        return {}
    return content if isinstance(content, dict) else {}


def _plain(value: Any) -> Any:
    """Return `value` as it comes back from JSON."""
    return json.loads(json.dumps(value))


def results_paths(
    layout: Layout, dataset: str, fov: int, channels: Mapping[str, Any], kept: frozenset[str]
) -> dict[str, Any]:
    """Return one FOV's entry of ``results_paths``: existing files, relative to the dataset.

    Parameters
    ----------
    layout : Layout
    dataset : str
    fov : int
    channels : mapping
        ``pc`` and ``seg`` (index or None) and ``fl`` (list of indices).
    kept : frozenset of str
        Kinds of stacks that stay after the run.
    """
    folder = layout.dataset(dataset)
    number = fov_name(fov)

    def entry(kind: str, channel: int) -> list[Any] | None:
        name = layout.stack(kind, dataset, number, channel)
        if kind not in kept or not Path(name).exists():
            return None
        return [channel, os.path.relpath(name, folder)]

    paths: dict[str, Any] = {}
    for kind in STACKS:
        if kind in ("fl", "fl_corrected"):
            found = [entry(kind, channel) for channel in channels["fl"]]
            paths[kind] = [item for item in found if item]
        else:
            channel = channels["pc"] if kind == "pc" else channels["seg"]
            found_one = None if channel is None else entry(kind, channel)
            if found_one:
                paths[kind] = found_one
    traces = layout.traces(dataset, number)
    if Path(traces).exists():
        name = os.path.relpath(traces, folder)
        paths["traces_csv"] = [[channel, name] for channel in channels["fl"] or [channels["seg"]]]
    return paths


def write_results(path: str | os.PathLike[str], content: Mapping[str, Any]) -> None:
    """Write a dataset's ``processing_results.yaml`` atomically, keys in their fixed order."""
    write_yaml(
        path,
        {"schema_version": SCHEMA_VERSION, "fovflow_version": fovflow.__version__, **content},
    )


@dataclass(frozen=True, slots=True)
class FovResult:
    """The files of one FOV.

    Attributes
    ----------
    index : int
    status : str
        ``complete``, ``failed``, ``outdated``, ``incomplete``, or ``unknown`` where no results file
        tells.
    step, error : str
        Where and why it failed.
    stacks : dict of str to dict of int to pathlib.Path
        Existing stacks by kind (``pc``, ``fl``, ``seg``, ``fl_corrected``, ``seg_labeled``) and
        channel.
    traces_path : pathlib.Path or None
        The traces; a person's verdicts (``…_inspected.csv``) take precedence.
    """

    index: int
    status: str
    step: str = ""
    error: str = ""
    stacks: dict[str, dict[int, Path]] = field(default_factory=dict)
    traces_path: Path | None = None

    def stack(self, kind: str, channel: int | None = None) -> Any:
        """Open a stack as a read-only memory map of shape (T, Y, X).

        Parameters
        ----------
        kind : str
        channel : int, optional
            Needed where there are several.
        """
        import numpy as np

        found = self.stacks.get(kind, {})
        if channel is None and len(found) == 1:
            channel = next(iter(found))
        if channel is None or channel not in found:
            raise FovflowError(
                f"FOV {self.index} has no stack {kind!r} of channel {channel}",
                found=", ".join(f"{k} {c}" for k, cs in self.stacks.items() for c in cs) or "none",
                remedy="name one of these; stacks that `keep` leaves out are removed after a run",
            )
        return np.load(found[channel], mmap_mode="r", allow_pickle=False)

    def traces(self) -> Any:
        """Return the traces as a pandas.DataFrame; see `fovflow.features` for the columns."""
        import pandas as pd

        if self.traces_path is None:
            raise FovflowError(
                f"FOV {self.index} has no traces",
                found=f"status {self.status} {self.error}".rstrip(),
                remedy="run the pipeline again",
            )
        return pd.read_csv(self.traces_path)


@dataclass(frozen=True, slots=True)
class Results:
    """A dataset's results; see `load_results`.

    Attributes
    ----------
    folder : pathlib.Path
    dataset : str
    channels : dict
        ``pc`` index, ``fl`` indices.
    time_units : str
    fovs : dict of int to FovResult
    missing : tuple of pathlib.Path
        Files that the results file names and that are not there.
    content : dict
        The whole results file.
    """

    folder: Path
    dataset: str
    channels: dict[str, Any]
    time_units: str
    fovs: dict[int, FovResult]
    missing: tuple[Path, ...]
    content: dict[str, Any]

    def traces(self) -> Any:
        """Return the traces of all FOVs that have any, as one pandas.DataFrame."""
        import pandas as pd

        tables = [fov.traces() for fov in self.fovs.values() if fov.traces_path is not None]
        tables = [table for table in tables if len(table)] or tables[:1]
        if not tables:
            return pd.DataFrame()
        return pd.concat(tables, ignore_index=True)


def load_results(folder: str | os.PathLike[str]) -> Results:
    """Read a dataset's results, also after its folder was moved or copied.

    Parameters
    ----------
    folder : path-like
        The dataset's folder, its ``processing_results.yaml``, or an output folder that holds a
        single dataset. Without a results file the FOVs are discovered from ``fov_*`` folders.

    Raises
    ------
    FovflowError
        If there are no results, or those of several datasets.

    Examples
    --------
    >>> results = fovflow.load_results("results/plate1")  # doctest: +SKIP
    >>> results.traces().query("good").groupby("cell").size()  # doctest: +SKIP
    """
    place = _find_dataset(Path(folder))
    file = place / FILE_NAME
    content = read_yaml(file) if file.exists() else _discover(place)
    if not isinstance(content, dict) or not isinstance(content.get("results_paths"), dict):
        raise FovflowError(
            f"{file} is no results file",
            found=type(content).__name__,
            remedy="run the pipeline again",
        )
    missing: list[Path] = []
    statuses = content.get("fovs") or {}
    fovs = {}
    for key in sorted({*content["results_paths"], *statuses}, key=int):
        status = statuses.get(key, {"status": "unknown"})
        paths = content["results_paths"].get(key, {})
        fovs[int(key)] = _fov_result(place, int(key), status, paths, missing)
    return Results(
        folder=place,
        dataset=str(content.get("dataset", place.name)),
        channels=dict(content.get("channels") or {}),
        time_units=str(content.get("time_units", "")),
        fovs=fovs,
        missing=tuple(missing),
        content=content,
    )


def _find_dataset(folder: Path) -> Path:
    if folder.name == FILE_NAME:
        return folder.parent
    if not folder.is_dir():
        raise FovflowError(f"there is no folder {folder}", remedy="give a dataset's result folder")
    if (folder / FILE_NAME).exists() or any(folder.glob("fov_*")):
        return folder
    inside = sorted(
        path for path in folder.iterdir() if (path / FILE_NAME).exists() or any(path.glob("fov_*"))
    )
    if len(inside) == 1:
        return inside[0]
    raise FovflowError(
        f"{folder} holds {'several datasets' if inside else 'no results'}",
        found=", ".join(path.name for path in inside) or "no fov_* folders",
        remedy="give one dataset's folder",
    )


def _fov_result(
    place: Path,
    index: int,
    status: Mapping[str, Any],
    paths: Mapping[str, Any],
    missing: list[Path],
) -> FovResult:
    stacks: dict[str, dict[int, Path]] = {}
    for kind in STACKS:
        entries = paths.get(kind) or []
        for channel, name in [entries] if entries and not isinstance(entries[0], list) else entries:
            found = _locate(place, name, missing)
            if found:
                stacks.setdefault(kind, {})[int(channel)] = found
    traces = None
    if paths.get("traces_csv"):
        traces = _locate(place, paths["traces_csv"][0][1], missing)
    if traces:
        inspected = traces.with_name(f"{traces.stem}_inspected.csv")
        traces = inspected if inspected.exists() else traces
    return FovResult(
        index=index,
        status=str(status.get("status", "unknown")),
        step=str(status.get("step", "")),
        error=str(status.get("error", "")),
        stacks=stacks,
        traces_path=traces,
    )


def _locate(place: Path, name: str, missing: list[Path]) -> Path | None:
    """Find a file by its last two parts below the folder; note it where it is missing."""
    path = place.joinpath(*Path(name).parts[-2:])
    if ".." not in Path(name).parts[-2:] and path.exists():
        return path
    missing.append(path)
    return None


_FILE = re.compile(r"_(?P<kind>pc|fl|seg|fl_corrected|seg_labeled)_ch_(?P<channel>\d+)\.npy$")


def _discover(place: Path) -> dict[str, Any]:
    """Make the content of a results file from the ``fov_*`` folders that there are."""
    fovs: dict[str, Any] = {}
    channels: dict[str, Any] = {"pc": None, "fl": []}
    for folder in sorted(place.glob("fov_*")):
        number = folder.name.removeprefix("fov_")
        if not number.isdecimal():
            continue
        paths: dict[str, Any] = {}
        for file in sorted(folder.iterdir()):
            name = f"{folder.name}/{file.name}"
            match = _FILE.search(file.name)
            if match:
                kind, channel = match["kind"], int(match["channel"])
                if kind in ("fl", "fl_corrected"):
                    paths.setdefault(kind, []).append([channel, name])
                    channels["fl"] = sorted({*channels["fl"], channel})
                else:
                    paths[kind] = [channel, name]
                    channels["pc"] = channel if kind == "pc" else channels["pc"]
            elif file.name.endswith("_traces.csv"):
                paths["traces_csv"] = [[0, name]]
        fovs[str(int(number))] = paths
    return {"dataset": place.name, "channels": channels, "time_units": "", "results_paths": fovs}
