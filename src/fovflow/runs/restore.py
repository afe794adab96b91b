"""How a run is done again, and whether the same came out."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fovflow.atomic import digest_of
from fovflow.errors import FovflowError
from fovflow.layout import REPORT_NAME, RESULTS_NAME, kept_kind
from fovflow.records import mapping_of, write_yaml
from fovflow.runs.compare import Difference, compare_records
from fovflow.runs.state import outputs_of
from fovflow.runs.store import RunFolder

CONFIG_NAME = "config.yaml"
"""File in a run's folder with its recorded configuration, where the run's own file is gone."""


@dataclass(frozen=True, slots=True)
class Restoration:
    """How a run is done again: which command is to be given in which directory."""

    run: str
    directory: Path
    command: tuple[str, ...]
    drift: tuple[Difference, ...] = ()
    """What differs between the run (first) and today (second)."""
    notes: tuple[str, ...] = ()
    """What else a reader should know."""

    @property
    def line(self) -> str:
        """The command as it can be given to a shell."""
        return f"cd {shlex.quote(str(self.directory))} && {shlex.join(self.command)}"

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "run": self.run,
            "directory": str(self.directory),
            "command": list(self.command),
            "line": self.line,
            "unchanged": not self.drift,
            "drift": [
                {"section": d.section, "key": d.key, "then": d.first, "today": d.second}
                for d in self.drift
            ],
            "notes": list(self.notes),
        }


def relocated(run: RunFolder) -> dict[str, Any]:
    """Return a run's record with the command for the folder that the run lies in now.

    A copied or moved run is done again there and never in the original: in the folder around it
    that the original's working directory was, with ``outdir`` where the folder has another name.
    """
    record = run.read_record()
    outdir = run.outdir.absolute()
    told = Path(str((record.get("config") or {}).get("outdir") or outdir.name))
    worked = Path(str(record.get("working_directory") or Path.cwd()))
    if (worked / told).resolve() == outdir.resolve():
        return record
    below = not told.is_absolute() and ".." not in told.parts and len(told.parts) > 0
    directory = outdir.parents[len(told.parts) - 1 if below else 0]

    def moved(name: str) -> str:
        """Return the name in the folder of the copy, where the file lies there."""
        path = Path(name)
        if not (path.is_absolute() and path.is_relative_to(worked)):
            return name
        there = directory / path.relative_to(worked)
        return str(there) if there.exists() else name

    program, *given = shlex.split(str(record.get("command") or "")) or [""]
    words: list[str] = []
    for word, before in zip(given, ["", *given], strict=False):
        option = word.partition("=")[0]
        if option not in ("--directory", "-d") and before not in ("--directory", "-d"):
            words.append(moved(word))
    if directory / told != outdir:
        place = f"outdir={outdir.relative_to(directory)}"
        words = [word for word in words if not word.startswith("outdir=")]
        names = [number for number, word in enumerate(words) if word in ("--config", "-C")]
        if names:
            words.insert(names[0] + 1, place)
        else:
            words += ["--config", place]
    return {
        **record,
        "command": shlex.join([program, *words]) if program else "",
        "working_directory": str(directory),
        "configfiles": [moved(str(name)) for name in record.get("configfiles") or []],
        "moved_from": str(worked / told),
    }


def restoration(run: RunFolder, today: Mapping[str, Any]) -> Restoration:
    """Return how a run is done again, and what has changed since.

    Where a configuration file of the run is gone, the recorded configuration is written into the
    run's folder and takes its place.

    `today`: ``workflow``, ``environment``, ``config`` and ``inputs`` as ``run.json`` would have
    them now. Raises FovflowError if the run has no recorded command.
    """
    record = relocated(run)
    words = shlex.split(str(record.get("command") or ""))
    if not words:
        raise FovflowError(
            f"the run {run.id} cannot be done again",
            found="no command in its record",
            remedy="runs of the pipeline have one; runs of one's own scripts are repeated by hand",
        )
    directory = Path(str(record.get("working_directory") or Path.cwd()))
    notes = []
    if "moved_from" in record:
        notes.append(
            f"the run was made in {record['moved_from']}: it is done again here, in this copy"
        )
    for name in record.get("configfiles") or []:
        if not (directory / name).exists():
            saved = run.path / CONFIG_NAME
            write_yaml(saved, _without_notification(record.get("config") or {}))
            words = [str(saved.absolute()) if word == name else word for word in words]
            notes.append(f"{name} is gone: the recorded configuration takes its place")
    if record.get("module_of"):
        notes.append(
            f"the run was part of {record['module_of']}: its configuration is not compared"
        )
    if not directory.is_dir():
        notes.append(f"the folder {directory} is gone")
    return Restoration(
        run=run.id,
        directory=directory,
        command=tuple(words),
        drift=tuple(compare_records(record, today)),
        notes=tuple(notes),
    )


def _without_notification(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recorded configuration without what alerts need of what is in no record."""
    run = dict(mapping_of(config.get("run")))
    if run.get("alerts"):
        run["alerts"] = [
            {
                **alert,
                "command": None,
                "notification": [
                    way for way in alert.get("notification") or () if way in ("none", "log", "file")
                ],
            }
            for alert in run["alerts"]
        ]
    return {**config, **({"run": run} if run else {})}


def recorded_config(run: RunFolder) -> dict[str, Any]:
    """Return the configuration that a run of the pipeline was made with; FovflowError without."""
    config = run.read_record().get("config")
    if not isinstance(config, dict) or not config:
        raise FovflowError(
            f"the run {run.id} has no recorded configuration",
            remedy="runs of the pipeline have one; parameters of scripts: fovflow runs show",
        )
    return config


@dataclass(slots=True)
class Reproduction:
    """How the outputs on disk compare with those that the run recorded."""

    equal: list[str] = field(default_factory=list)
    different: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether every output whose content is known was made again byte for byte."""
        return not self.different and not self.missing


def check_reproduction(run: RunFolder, *, then: Mapping[str, Any] | None = None) -> Reproduction:
    """Compare what is on disk now with the outputs that a run recorded.

    `then`: the recorded outputs; those of `run` otherwise. Only outputs that were still there when
    the mapping was made should be in it.
    """
    found = Reproduction()
    record = run.read_record()
    for path, output in (outputs_of(run) if then is None else then).items():
        if not _stays(path, record):
            continue
        file = output.file(run.outdir)
        if output.digest is None:
            found.unknown.append(path)
        elif not file.is_file():
            found.missing.append(path)
        elif digest_of(file) == output.digest:
            found.equal.append(path)
        else:
            found.different.append(path)
    return found


def _stays(path: str, record: Mapping[str, Any]) -> bool:
    """Tell whether an output is still there, and as its job made it, when a run has ended."""
    keep = (record.get("config") or {}).get("keep", "all")
    kind = kept_kind(path)
    if kind is not None and isinstance(keep, list) and kind not in keep:
        return False
    # After a failure these two are written again, with what failed.
    return record.get("status") == "completed" or not path.endswith((RESULTS_NAME, REPORT_NAME))
