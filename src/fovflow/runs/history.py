"""Runs read back: found by what is recorded of them, their numbers as tables."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from fovflow.errors import ConfigError
from fovflow.events import RUN_STATUSES, moment, number_of, read_events
from fovflow.records import leads_out, mapping_of
from fovflow.runs.arguments import check_choice
from fovflow.runs.assets import Asset, is_of_script, last_of
from fovflow.runs.state import outputs_of, read_with_files
from fovflow.runs.store import RunFolder, list_runs, no_runs

_AGO = re.compile(r"(\d{1,6})([mhd])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_POINTS = "▁▂▃▄▅▆▇█"
WIDTH = 40
"""Most characters of the line of a metric."""


@dataclass(frozen=True, slots=True)
class RecordedRun:
    """A run as it is recorded: of the pipeline, of a script, or an execution."""

    path: Path
    """Its folder."""
    record: Mapping[str, Any] = field(repr=False)
    """The content of its ``run.json``."""
    status: str
    """``created``, ``running``, ``completed``, ``failed``, ``terminated`` or ``lost``, as of
    now."""

    @property
    def id(self) -> str:
        """Its id, the name of its folder."""
        return self.path.name

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.record.get("name") or "")

    @property
    def kind(self) -> str:
        """``pipeline``, ``script`` or ``execution``."""
        return str(self.record.get("kind") or "pipeline")

    @property
    def type(self) -> str:
        """The workflow type of an execution; else the kind."""
        return str(self.record.get("workflow_type") or self.kind)

    @property
    def tags(self) -> list[str]:
        """Its tags."""
        return list(self.record.get("tags") or [])

    @property
    def metadata(self) -> dict[str, Any]:
        """Names and values that were given."""
        return dict(self.record.get("metadata") or {})

    @property
    def parameters(self) -> dict[str, Any]:
        """Parameters of an execution, or the configuration of a run of the pipeline."""
        return dict(self.record.get("parameters") or self.record.get("config") or {})

    @property
    def folder(self) -> dict[str, Any]:
        """Name and details of the group of runs that it belongs to; empty where it is in none.

        The details are what all runs in the output folder have said of that group, the last word
        on each counts.
        """
        name = self.record.get("folder")
        if not name:
            return {}
        found: dict[str, Any] = {"name": name, "metadata": {}, "tags": []}
        for run in list_runs(self.path.parents[1]):
            found = joined(found, mapping_of((run.known().get("folders") or {}).get(name)))
        return found

    @property
    def inputs(self) -> list[dict[str, Any]]:
        """Inputs with path, size and digest."""
        return [dict(item) for item in self.record.get("inputs") or [] if isinstance(item, Mapping)]

    @property
    def parents(self) -> list[RecordedRun]:
        """The run that it was begun in, as a list: of one, or none."""
        name = str(self.record.get("parent") or "-")
        place = self.path.parent / name
        inside = not leads_out(None, name) and "/" not in name and (place / "run.json").exists()
        return [recorded_run(RunFolder(place))] if inside else []

    @property
    def assets(self) -> list[Asset]:
        """Files that scripts made, kept or linked."""
        return last_of(read_with_files(RunFolder(self.path)).assets)

    @property
    def outputs(self) -> dict[str, str | None]:
        """SHA-256 of what it made, by the name relative to the output folder."""
        made = {} if is_of_script(self.record) else outputs_of(RunFolder(self.path))
        found = {name: one.digest.sha256 if one.digest else None for name, one in made.items()}
        own = [asset for asset in self.assets if asset.category == "output"]
        return found | {f"runs/{self.id}/{asset.path}": asset.sha256 for asset in own}

    def events(self) -> list[dict[str, Any]]:
        """Return all events in the order of their times; those of a job have its name (``job``)."""
        found = read_events(self.path / "events.jsonl")
        for file in sorted((self.path / "jobs").glob("*/attempt-*.jsonl")):
            found += [{"job": file.parent.name, **event} for event in read_events(file)]
        return sorted(found, key=lambda event: str(event.get("time")))

    def _repr_html_(self) -> str:
        from fovflow.notebook import card, picture_file

        files = [asset for asset in self.assets if not asset.misplaced(self.path)]
        about = {"status": self.status, "started": self.record.get("started")}
        about |= {"tags": ", ".join(map(str, self.tags)), **self.metadata}
        for row in self.metric_rows():
            about |= {name: f"{value:g}" for name, value in row["metrics"].items()}
        about |= {"files": ", ".join(asset.name for asset in files)}
        rows = [(name, str(value)[:200]) for name, value in about.items() if value]
        drawn = (picture_file(self.path / asset.path) for asset in reversed(files))
        picture = next(filter(None, drawn), "")
        return card(f"{self.kind} {self.name}", (), rows, picture=picture)

    def metrics(self) -> Any:
        """Return what was logged as a pandas.DataFrame, a row for each call.

        Its columns are ``time`` (UTC), ``step``, ``elapsed_s``, ``job`` (empty for a script's own
        run) and one for each metric, NaN where a call did not give it. ``attrs["units"]`` has the
        units that were given, by name.
        """
        import pandas as pd

        rows = self.metric_rows()
        names = sorted({name for row in rows for name in row["metrics"]})
        table = {
            "time": pd.to_datetime(
                [str(moment(row["time"])) for row in rows], utc=True, format="ISO8601"
            ),
            **{key: [row[key] for row in rows] for key in ("step", "elapsed_s", "job")},
        }
        for name in names:
            column = f"{name} (metric)" if name in table else name
            table[column] = [row["metrics"].get(name, float("nan")) for row in rows]
        found = pd.DataFrame(table)
        found.attrs["units"] = self.units()
        return found

    def units(self) -> dict[str, str]:
        """Return the units of metrics that were given, by name."""
        told = (event.get("units") for event in self.events() if event["type"] == "metrics")
        return {str(k): str(v) for one in told if isinstance(one, Mapping) for k, v in one.items()}

    def metric_rows(self) -> list[dict[str, Any]]:
        """Return what `metrics` does as plain values: ``metrics`` has the numbers by name."""
        found = []
        for event in self.events():
            values = event.get("metrics")
            if event["type"] != "metrics" or not isinstance(values, Mapping):
                continue
            numbers = {str(name): number_of(value) for name, value in values.items()}
            known = {name: number for name, number in numbers.items() if number is not None}
            about = {key: event.get(key) for key in ("time", "step", "elapsed_s")}
            found.append({**about, "job": str(event.get("job") or ""), "metrics": known})
        return found


def joined(known: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return details of a folder of runs with further ones: the last word on each counts."""
    found = {**known, **{key: value for key, value in given.items() if value}}
    metadata, tags = dict[str, Any](), list[str]()
    for one in (known, given):
        listed = one.get("tags")
        metadata |= mapping_of(one.get("metadata"))
        tags += [str(tag) for tag in listed] if isinstance(listed, list) else []
    return {**found, "metadata": metadata, "tags": list(dict.fromkeys(tags))}


def runs(
    outdir: str | os.PathLike[str] = "results",
    *,
    tags: str | Iterable[str] = (),
    status: str | None = None,
    type: str | None = None,
    since: str | datetime | None = None,
    name: str | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> list[RecordedRun]:
    """Return the runs of an output folder that have all that is asked for, the oldest first.

    Parameters
    ----------
    outdir : path-like
    tags : str or iterable of str
        Tags that a run has.
    status : str, optional
        ``completed``, ``failed``, ….
    type : str, optional
        Workflow type of an execution, or the kind of run: ``pipeline``, ``script``,
        ``execution``.
    since : str or datetime, optional
        It was made at that time or later: ``2026-03-01``, ``2026-03-01T10:00`` (UTC unless it
        names an offset), or ``90m``, ``12h``, ``7d`` ago.
    name : str, optional
        Its name or id, or the first letters of one.
    metadata : mapping, optional
        Names and values that it has; values are compared as text.

    Raises
    ------
    ConfigError
        If `since` is no time, or `status` none of those.
    FovflowError
        If there is no such folder.

    Examples
    --------
    >>> for run in fovflow.runs("results", tags="demo", since="7d"):  # doctest: +SKIP
    ...     print(run.name, run.metrics()["loss"].min())
    """
    wanted, begin = {tags} if isinstance(tags, str) else {*tags}, since_when(since)
    if status is not None:
        check_choice("status", status, RUN_STATUSES)

    def chosen(run: RecordedRun) -> bool:
        made = moment(run.record.get("created"))
        return (
            wanted <= {*run.tags}
            and status in (None, run.status)
            and type in (None, run.type, run.kind)
            and (begin is None or (made is not None and made >= begin))
            and (name is None or run.name.startswith(name) or run.id.startswith(name))
            and all(str(run.metadata.get(k)) == str(v) for k, v in (metadata or {}).items())
        )

    if not Path(outdir).is_dir():
        raise no_runs(outdir)
    return [run for run in map(recorded_run, list_runs(outdir)) if chosen(run)]


def recorded_run(run: RunFolder) -> RecordedRun:
    """Return what is recorded of a run."""
    return RecordedRun(run.path, run.known(), run.status())


def since_when(given: str | datetime | None) -> datetime | None:
    """Return the time that is meant; ConfigError for no time."""
    if given is None:
        return None
    if isinstance(given, str) and (ago := _AGO.fullmatch(given)):
        return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    found = moment(given.isoformat() if isinstance(given, datetime) else given)
    if found is None:
        raise ConfigError(
            f"since: {given!r} is no time", remedy="give 2026-03-01, 2026-03-01T10:00 or 7d, 12h"
        )
    return found


def small_line(values: list[float]) -> str:
    """Return a curve in one line of text, of the least to the largest value.

    Of many values the last of each stretch is drawn; NaN and infinities are ``?``.

    Examples
    --------
    >>> small_line([0.0, 1.0, float("nan"), 2.0])
    '▁▄?█'
    """
    count = min(len(values), WIDTH)
    drawn = [values[(place + 1) * len(values) // count - 1] for place in range(count)]
    finite = [value for value in drawn if abs(value) < float("inf")]
    low, high = min(finite, default=0.0), max(finite, default=0.0)
    scale = (len(_POINTS) - 1) / (high - low) if high > low else 0.0
    return "".join(
        _POINTS[round((value - low) * scale - 1e-9)] if value in finite else "?" for value in drawn
    )
