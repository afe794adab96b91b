"""What code logs into a run while it works, and where it is written."""

from __future__ import annotations

import functools
import os
import sys
import threading
import time
import time as clock
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from fovflow.errors import FovflowError
from fovflow.events import Journal
from fovflow.runs.arguments import (
    check_metadata,
    check_metrics,
    check_tags,
    check_text,
    check_timestamp,
    safe_name,
)
from fovflow.runs.artifacts import (
    Cabinet,
    check_category,
    check_file,
    check_filetype,
    files_below,
    object_name,
    stored_name,
)
from fovflow.runs.store import ENVIRONMENT, JOB_EVENTS, RunFolder, list_runs

CLAIM = ".owner"
"""File that the process which takes a waiting run makes, so that only one does."""


@dataclass(slots=True)
class Session:
    """An open run.

    Attributes
    ----------
    folder : RunFolder
    journal : Journal
    cabinet : Cabinet
    owner : bool
        Whether the run is ours; else we write into the file of a job of it.
    started : float
        `time.monotonic` when it was opened.
    """

    folder: RunFolder
    journal: Journal
    cabinet: Cabinet
    owner: bool
    started: float = field(default_factory=time.monotonic)


def new_session(
    outdir: str | os.PathLike[str], name: str | None, queue: dict[str, Any], **content: Any
) -> Session:
    """Make a run of our own."""
    return own_session(RunFolder.create(outdir, name=name, **content), queue)


def own_session(folder: RunFolder, queue: dict[str, Any]) -> Session:
    """Open a run as its owner."""
    journal = Journal(folder.path / "events.jsonl", **queue)
    return Session(folder, journal, Cabinet(folder.path / "artifacts", folder.path), owner=True)


def inside_job() -> bool:
    """Tell whether this process belongs to a job or run of the pipeline, recorded or not."""
    return JOB_EVENTS in os.environ or ENVIRONMENT in os.environ


def join_job(queue: dict[str, Any]) -> Session | None:
    """Open the file of the job that this process belongs to; None where there is none."""
    named = os.environ.get(JOB_EVENTS)
    if not named:
        return None
    path = Path(named)
    if not path.parent.is_dir():
        return None
    folder = RunFolder(path.parents[2])
    return _inside(folder, path, queue)


def join_run(queue: dict[str, Any]) -> Session | None:
    """Open a file of our own in the run that the environment names; None where none is at work."""
    named = os.environ.get(ENVIRONMENT)
    if not named:
        return None
    folder = RunFolder(named)
    try:
        if folder.status() not in ("created", "running"):
            return None
    except FovflowError:
        return None
    script = Path(sys.argv[0] if sys.argv else "").stem or "python"
    _, path = folder.new_attempt(f"script.{script}")
    return _inside(folder, path, queue)


def take_over(outdir: str | os.PathLike[str], name: str, queue: dict[str, Any]) -> Session:
    """Open a run that waits in the state ``created``, by its name or id, the newest first.

    Raises
    ------
    FovflowError
        If there is none of that name, it is in another state, or someone else has it.
    """
    named = [run for run in list_runs(outdir) if name in (run.id, run.read_record()["name"])]
    if not named:
        known = [run.id for run in list_runs(outdir)]
        raise FovflowError(
            f"there is no run {name!r} in {Path(outdir) / 'runs'}",
            found=", ".join(known[-5:]) or "no runs",
            remedy="give the name or id of a run that was made with init(running=False)",
        )
    folder = named[-1]
    status = folder.read_record()["status"]
    if status != "created" or not claim(folder):
        raise FovflowError(
            f"the run {folder.id} does not wait for a process to take it over",
            found=f"status {status}" if status != "created" else "another process has it",
            remedy="only runs that were made with init(running=False) can be taken, once",
        )
    return own_session(folder, queue)


def claim(folder: RunFolder) -> bool:
    """Take a waiting run; False where another process did."""
    try:
        (folder.path / CLAIM).open("x").close()
    except FileExistsError:
        return False
    return True


def _inside(folder: RunFolder, path: Path, queue: dict[str, Any]) -> Session:
    cabinet = Cabinet(path.with_suffix(""), folder.path)
    return Session(folder, Journal(path, **queue), cabinet, owner=False)


P = ParamSpec("P")
L = TypeVar("L", bound="RunLog")


@dataclass(slots=True)
class Settings:
    """See `fovflow.Run.config`."""

    suppress_errors: bool = True
    queue_blocking: bool = False
    queue_size: int = 10_000
    disable_resources_metrics: bool = False
    resources_metrics_interval: float = 30.0
    smtp: Mapping[str, Any] | None = None

    def queue(self) -> dict[str, Any]:
        """Return what a `Journal` is made with."""
        return {"size": self.queue_size, "blocking": self.queue_blocking}


def recorded(
    method: Callable[Concatenate[L, P], object],
) -> Callable[Concatenate[L, P], bool]:
    """Turn a method into one that does nothing without an active run, and honours the settings.

    It returns whether something was recorded.
    """

    def call(self: L, /, *args: P.args, **kwargs: P.kwargs) -> bool:
        if not self._is_active():
            return False
        try:
            method(self, *args, **kwargs)
        except (FovflowError, OSError) as error:
            self._report(method.__name__, error)
            return False
        return True

    functools.update_wrapper(call, method)
    return call


class RunLog:
    """Log metrics, events, metadata, tags and files."""

    def __init__(self) -> None:
        self._settings = Settings()
        self._session: Session | None = None
        self._enabled = True
        self._joins = True
        self._closed = False
        self._steps = 0
        self._tags: list[str] = []
        self._said: set[str] = set()
        self._lock = threading.RLock()

    @recorded
    def log_metrics(
        self,
        metrics: Mapping[str, Any],
        step: int | None = None,
        time: float | None = None,
        timestamp: Any = None,
    ) -> None:
        """Record numbers by name.

        Parameters
        ----------
        metrics : mapping of str to int or float
            Infinities and NaN are recorded as null.
        step : int, optional
            By default the number of earlier calls: 0, 1, 2, ….
        time : float, optional
            Seconds since `init`; measured by default.
        timestamp : str or datetime, optional
            ``YYYY-MM-DD hh:mm:ss.ffffff`` in UTC; now by default.
        """
        numbers = check_metrics(metrics)
        at = check_timestamp(timestamp)
        given = {} if step is None else check_metrics({"step": step})
        elapsed = self._elapsed() if time is None else check_metrics({"time": time})["time"]
        with self._lock:
            count, self._steps = self._steps, self._steps + 1
        self._write(
            "metrics", time=at, metrics=numbers, step=given.get("step", count), elapsed_s=elapsed
        )

    @recorded
    def log_event(self, message: str, timestamp: Any = None) -> None:
        """Record something that a person should read, with a time stamp as for `log_metrics`."""
        text = check_text("message", message)
        self._write("message", time=check_timestamp(timestamp), message=text)

    @recorded
    def update_metadata(self, metadata: Mapping[str, Any]) -> None:
        """Add or change names and values: text, numbers, booleans or None."""
        checked = check_metadata(metadata)
        session = self._open_session()
        if not session.owner:
            self._write("metadata", metadata=checked)
            return
        with self._lock:
            before = session.folder.read_record().get("metadata") or {}
            session.folder.update(metadata={**before, **checked})

    @recorded
    def update_tags(self, tags: Iterable[str]) -> None:
        """Add tags; each stands once."""
        new = check_tags(tags)
        session = self._open_session()
        with self._lock:
            self._tags = list(dict.fromkeys([*self._tags, *new]))
            if session.owner:
                session.folder.update(tags=self._tags)
        if not session.owner:
            self._write("tags", tags=self._tags)

    @recorded
    def save(  # noqa: PLR0917  (the order that other trackers have)
        self,
        thing: Any,
        category: str = "output",
        filetype: str | None = None,
        preserve_path: bool = False,
        name: str | None = None,
        allow_pickle: bool = False,
    ) -> None:
        """Keep a file or a Python object with the run.

        Parameters
        ----------
        thing : path-like or object
            Text and paths name a file, which is copied; an input of 256 MiB or more is recorded
            by path and digest only. NumPy arrays become npy, tables csv, dicts, lists and numbers
            json, figures png; anything else is a pickle, if that is allowed.
        category : {"input", "output", "code"}
        filetype : str, optional
            MIME type; told from the name or kind by default.
        preserve_path : bool
            Keep a file under its path as given, made relative, and not under its name alone.
        name : str, optional
            Name to keep it under; objects need one. Other content under a name that is taken gets
            a number: ``loss-2.json``.
        allow_pickle : bool
            Allow pickles to be written; they are never read.
        """
        check_category(category)
        check_filetype(filetype)
        if isinstance(thing, str | os.PathLike):
            path = check_file(thing)
            own = stored_name(path, preserve_path=preserve_path)
            kept = safe_name("name", name) if name else own
            self._keep_file(path, category, filetype, kept)
            return
        cabinet = self._open_session().cabinet
        with self._lock:
            about = cabinet.keep_object(
                thing,
                category,
                filetype=filetype,
                name=object_name(thing, name),
                allow_pickle=allow_pickle,
            )
        self._write("artifact", **about)

    @recorded
    def save_directory(
        self,
        directory: str | os.PathLike[str],
        category: str = "output",
        filetype: str | None = None,
        preserve_path: bool = False,
    ) -> None:
        """Keep all files of a folder and its folders, under their names below it; see `save`."""
        check_category(category)
        check_filetype(filetype)
        root = Path(directory)
        if not root.is_dir():
            raise FovflowError(f"there is no folder {root}", remedy="save a folder that is there")
        for path in list(files_below(root, self._open_session().folder.path)):
            name = stored_name(path, preserve_path=preserve_path, root=root)
            self._keep_file(check_file(path), category, filetype, name)

    @recorded
    def save_all(
        self,
        items: Iterable[str | os.PathLike[str]],
        category: str = "output",
        filetype: str | None = None,
        preserve_path: bool = False,
    ) -> None:
        """Keep files and folders; see `save` and `save_directory`."""
        for item in [items] if isinstance(items, str | os.PathLike) else list(items):
            if Path(item).is_dir():
                self.save_directory(item, category, filetype, preserve_path)
            else:
                self.save(os.fspath(item), category, filetype, preserve_path)

    @recorded
    def set_folder_details(
        self,
        path: str,
        metadata: Mapping[str, Any] | None = None,
        tags: Iterable[str] | None = None,
        description: str | None = None,
    ) -> None:
        """Describe a group of runs, as named by ``folder`` of `init`; kept in this run's record."""
        given = {
            "metadata": check_metadata(metadata),
            "tags": check_tags(tags),
            "description": None if description is None else check_text("description", description),
        }
        key = check_text("path", path, empty=False)
        session = self._open_session()
        if not session.owner:
            self._write("metadata", metadata={f"folder {key}": given})
            return
        with self._lock:
            known = session.folder.read_record().get("folders") or {}
            details = {**known.get(key, {}), **{k: v for k, v in given.items() if v}}
            session.folder.update(folders={**known, key: details})

    def _keep_file(self, path: Path, category: str, filetype: str | None, name: str) -> None:
        cabinet = self._open_session().cabinet
        with self._lock:
            about = cabinet.keep_file(path, category, filetype=filetype, name=name)
        self._write("artifact", **about)

    def _is_active(self) -> bool:
        """Tell whether there is a run to write to; inside a job that is the job's."""
        if self._session is None and self._enabled and self._joins and not self._closed:
            with self._lock, suppress(OSError):
                self._session = self._session or join_job(self._settings.queue())
        return self._session is not None

    def _open_session(self) -> Session:
        if self._session is None or self._closed:
            raise FovflowError("the run is closed", remedy="log before close()")
        return self._session

    def _elapsed(self) -> float:
        return round(clock.monotonic() - self._open_session().started, 6)

    def _write(self, kind: str, **keys: Any) -> None:
        self._open_session().journal.write(kind, **keys)

    def _report(self, what: str, error: Exception) -> None:
        """Raise an error, or say and record it, once for each."""
        if not self._settings.suppress_errors:
            raise error
        text = f"{what}: {error}"
        if text in self._said:
            return
        self._said.add(text)
        with suppress(OSError, ValueError):
            print(f"fovflow.Run: {text}", file=sys.stderr, flush=True)
        if self._session is not None and not self._closed:
            with suppress(OSError, ValueError):
                self._session.journal.write("message", message=text, level="error")
