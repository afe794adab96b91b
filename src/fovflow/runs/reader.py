"""Follow the files of a run, while it writes them or afterwards."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from fovflow.errors import FovflowError
from fovflow.runs.eventfile import EventTail
from fovflow.runs.form import FINAL
from fovflow.runs.store import RunFolder, list_runs
from fovflow.runs.view import ENDS, RunView

Listener = Callable[[Mapping[str, Any], tuple[str, int] | None], None]


class RunReader:
    """A view of a run that is brought up to date from its files.

    Parameters
    ----------
    run : RunFolder
    view : RunView, optional
        The view to feed; a new one otherwise.
    listener : callable, optional
        Called with each new event of a job and whose it is: (job, attempt).
    """

    def __init__(
        self, run: RunFolder, view: RunView | None = None, listener: Listener | None = None
    ):
        self.run = run
        self.view = view or RunView()
        self._listener = listener
        self._own = [EventTail(run.path / name) for name in ("events.jsonl", "alerts.jsonl")]
        self._tails: dict[tuple[str, int], EventTail] = {}
        self._ended: set[tuple[str, int]] = set()
        self._folders: dict[str, float] = {}

    def poll(self) -> RunView:
        """Read everything that is new; return the view."""
        self.view.record = self.run.read_record()
        if not self.view.planned and isinstance(self.view.record.get("jobs"), dict):
            self.view.planned = dict(self.view.record["jobs"])
        self.view.record["status"] = self.run.status()
        for tail in self._own:
            for event in tail.read():
                self.view.feed(event)
        self.poll_jobs(self._changed_jobs())
        return self.view

    def poll_jobs(self, jobs: Iterable[str]) -> None:
        """Read what is new of these jobs, and of those whose files are open already."""
        for job in jobs:
            for attempt in self._attempts(job):
                if (job, attempt) not in self._ended:
                    self._tails.setdefault(
                        (job, attempt), EventTail(self.run.job_file(job, attempt))
                    )
        for key, tail in list(self._tails.items()):
            for event in tail.read():
                self.view.feed(event, key)
                if self._listener is not None:
                    self._listener(event, key)
                if event["type"] in ENDS:
                    self._ended.add(key)
            if key in self._ended:
                del self._tails[key]

    def _changed_jobs(self) -> list[str]:
        """Return the jobs whose folders have changed since the last call."""
        changed = []
        try:
            with os.scandir(self.run.path / "jobs") as entries:
                for entry in entries:
                    at = entry.stat().st_mtime
                    if self._folders.get(entry.name) != at:
                        self._folders[entry.name] = at
                        changed.append(entry.name)
        except OSError:
            return []
        return sorted(changed)

    def _attempts(self, job: str) -> list[int]:
        names = [path.name for path in (self.run.path / "jobs" / job).glob("attempt-*.jsonl")]
        found = (name.removeprefix("attempt-").removesuffix(".jsonl") for name in names)
        return sorted(int(number) for number in found if number.isdecimal())


def read_run(run: RunFolder) -> RunView:
    """Return all that is known of a run now."""
    return RunReader(run).poll()


def find_run(outdir: str | os.PathLike[str], wanted: str | None = None) -> RunFolder:
    """Return a run of an output folder.

    Parameters
    ----------
    outdir : path-like
    wanted : str, optional
        Its id, name, the first letters of either if no other run has them, the path of its
        folder, or another output folder. Where it is not given, or is an output folder: the run
        at work, else the last one.

    Raises
    ------
    FovflowError
        If there is no such run, or several.
    """
    if wanted and (Path(wanted) / "run.json").exists():
        return RunFolder(wanted)
    if wanted and (Path(wanted) / "runs").is_dir():
        return find_run(wanted)
    runs = list_runs(outdir)
    if not runs:
        raise FovflowError(
            f"no run is recorded in {os.fspath(outdir)}",
            remedy="give the output folder of a run, or run the pipeline first",
        )
    if not wanted:
        active = [run for run in runs if run.status() not in FINAL]
        return (active or runs)[-1]
    names = {run.id: str(run.read_record().get("name", "")) for run in runs}
    exact = [run for run in runs if wanted in (run.id, names[run.id])]
    found = exact or [
        run for run in runs if run.id.startswith(wanted) or names[run.id].startswith(wanted)
    ]
    if len(found) == 1:
        return found[0]
    raise FovflowError(
        f"{len(found) or 'no'} runs are called {wanted!r}",
        found=", ".join(run.id for run in (found or runs)[-10:]),
        remedy="give one of these ids",
    )
