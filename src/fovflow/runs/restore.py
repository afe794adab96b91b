"""Do a run again: what has changed since, and the command."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fovflow.atomic import digest_of
from fovflow.errors import FovflowError
from fovflow.layout import REPORT_NAME, RESULTS_NAME
from fovflow.runs.compare import Difference, compare_records
from fovflow.runs.jobs import outdir_of, outputs_of
from fovflow.runs.manifest import kept_kind
from fovflow.runs.store import RunFolder
from fovflow.tables import write_yaml

CONFIG_NAME = "config.yaml"


@dataclass(frozen=True, slots=True)
class Restoration:
    """How a run is done again.

    Attributes
    ----------
    run : str
        Its id.
    directory : pathlib.Path
        Where the command is to be given.
    command : tuple of str
    drift : tuple of Difference
        What differs between the run (first) and today (second).
    notes : tuple of str
        What else a reader should know.
    """

    run: str
    directory: Path
    command: tuple[str, ...]
    drift: tuple[Difference, ...] = ()
    notes: tuple[str, ...] = ()

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


def restoration(run: RunFolder, today: Mapping[str, Any]) -> Restoration:
    """Return how a run is done again, and what has changed since.

    Where a configuration file of the run is gone, the recorded configuration is written into the
    run's folder and takes its place.

    Parameters
    ----------
    run : RunFolder
    today : mapping
        ``workflow``, ``environment``, ``config`` and ``inputs`` as ``run.json`` would have them
        now.

    Raises
    ------
    FovflowError
        If the run has no recorded command.
    """
    record = run.read_record()
    words = shlex.split(str(record.get("command") or ""))
    if not words:
        raise FovflowError(
            f"the run {run.id} cannot be done again",
            found="no command in its record",
            remedy="runs of the pipeline have one; runs of one's own scripts are repeated by hand",
        )
    directory = Path(str(record.get("working_directory") or Path.cwd()))
    notes = []
    for name in record.get("configfiles") or []:
        if not (directory / name).exists():
            saved = run.path / CONFIG_NAME
            write_yaml(saved, record.get("config") or {})
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

    Parameters
    ----------
    run : RunFolder
    then : mapping of str to Output, optional
        The recorded outputs; those of `run` otherwise. Only outputs that were still there when
        the mapping was made should be in it.
    """
    found = Reproduction()
    record = run.read_record()
    for path, output in (outputs_of(run) if then is None else then).items():
        if not _stays(path, record):
            continue
        file = outdir_of(run) / path
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
