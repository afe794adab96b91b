"""``processing_results.yaml``: what was made of a dataset, written and read.

Paths in it are relative to its own folder, so that a result that was moved or copied still opens.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fovflow
from fovflow.discovery import discover
from fovflow.errors import FovflowError
from fovflow.fovresult import FovResult
from fovflow.layout import STACKS, Layout, fov_name
from fovflow.tables import read_yaml, write_yaml

FILE_NAME = "processing_results.yaml"
SCHEMA_VERSION = 1
_NOT_METADATA = frozenset({"results_paths", "fovs", "counts", "problems", "output_dir"})


def results_paths(
    layout: Layout,
    dataset: str,
    fov: int,
    channels: Mapping[str, Any],
    kept: frozenset[str],
    *,
    steps: Mapping[str, Sequence[str]] | None = None,
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
    steps : mapping of str to sequence of str, optional
        Names of the outputs of each user step.
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
    for step, names in (steps or {}).items():
        files = {name: Path(layout.output(dataset, number, name)) for name in names}
        paths.setdefault("steps", {})[step] = {
            name: os.path.relpath(file, folder) for name, file in files.items() if file.exists()
        }
    return paths


def write_results(path: str | os.PathLike[str], content: Mapping[str, Any]) -> None:
    """Write a dataset's ``processing_results.yaml`` atomically, keys in their fixed order."""
    write_yaml(
        path,
        {"schema_version": SCHEMA_VERSION, "fovflow_version": fovflow.__version__, **content},
    )


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
    inside = _find_datasets(Path(folder))
    if len(inside) != 1:
        raise FovflowError(
            f"{folder} holds several datasets",
            found=", ".join(path.name for path in inside),
            remedy="give one dataset's folder",
        )
    return _load_dataset(inside[0])


def load_datasets(folder: str | os.PathLike[str]) -> dict[str, Results]:
    """Read the results of every dataset of an output folder, by name.

    Parameters
    ----------
    folder : path-like
        As for `load_results`, or an output folder that holds several datasets.

    Raises
    ------
    FovflowError
        If there are no results.
    """
    found = [_load_dataset(place) for place in _find_datasets(Path(folder))]
    return {results.dataset: results for results in found}


def _load_dataset(place: Path) -> Results:
    file = place / FILE_NAME
    content = read_yaml(file) if file.exists() else discover(place)
    if not isinstance(content, dict) or not isinstance(content.get("results_paths"), dict):
        raise FovflowError(
            f"{file} is no results file",
            found=type(content).__name__,
            remedy="run the pipeline again",
        )
    missing: list[Path] = []
    metadata = {"dataset": place.name}
    metadata |= {key: value for key, value in content.items() if key not in _NOT_METADATA}
    keys = sorted({*content["results_paths"], *(content.get("fovs") or {})}, key=int)
    return Results(
        folder=place,
        dataset=str(metadata["dataset"]),
        channels=dict(content.get("channels") or {}),
        time_units=str(content.get("time_units", "")),
        fovs={int(key): _fov_result(place, key, content, metadata, missing) for key in keys},
        missing=tuple(missing),
        content=content,
    )


def _find_datasets(folder: Path) -> list[Path]:
    if folder.name == FILE_NAME:
        return [folder.parent]
    if not folder.is_dir():
        raise FovflowError(f"there is no folder {folder}", remedy="give a dataset's result folder")
    found = [folder] if _is_dataset(folder) else sorted(filter(_is_dataset, folder.iterdir()))
    if not found:
        raise FovflowError(
            f"{folder} holds no results",
            found="no fov_* folders",
            remedy="give one dataset's folder",
        )
    return found


def _is_dataset(folder: Path) -> bool:
    return (folder / FILE_NAME).exists() or any(folder.glob("fov_*"))


def _fov_result(
    place: Path,
    key: str,
    content: Mapping[str, Any],
    metadata: Mapping[str, Any],
    missing: list[Path],
) -> FovResult:
    index = int(key)
    status = (content.get("fovs") or {}).get(key, {"status": "unknown"})
    paths = content["results_paths"].get(key, {})
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
    outputs = {
        step: {str(n): path for n, rel in files.items() if (path := _locate(place, rel, missing))}
        for step, files in (paths.get("steps") or {}).items()
    }
    return FovResult(
        index=index,
        status=str(status.get("status", "unknown")),
        step=str(status.get("step", "")),
        error=str(status.get("error", "")),
        stacks=stacks,
        traces_path=traces,
        dataset=str(metadata["dataset"]),
        path=place / f"fov_{fov_name(index)}",
        outputs=outputs,
        metadata=metadata,
    )


def _locate(place: Path, name: str, missing: list[Path]) -> Path | None:
    """Find a file by its last two parts below the folder; note it where it is missing."""
    path = place.joinpath(*Path(name).parts[-2:])
    if ".." not in Path(name).parts[-2:] and path.exists():
        return path
    missing.append(path)
    return None
