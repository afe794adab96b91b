"""Folders of runs: made, named, found, and read while they are written or afterwards."""

from __future__ import annotations

import fcntl
import os
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fovflow.errors import FovflowError
from fovflow.events import FINAL, RUN_STATUSES, VERSION, Clock, moment, plain_values, read_events
from fovflow.records import inside, read_json, write_json
from fovflow.userfiles import open_own, read_regular

ADJECTIVES = (
    "agile", "amber", "bold", "brave", "bright", "brisk", "calm", "clear", "clever", "cool",
    "crisp", "curious", "eager", "early", "even", "fair", "fine", "firm", "fleet", "fresh",
    "gentle", "glad", "golden", "grand", "green", "happy", "hardy", "honest", "humble",
    "jolly", "keen", "kind", "light", "lively", "loyal", "lucid", "lucky", "mellow", "merry",
    "mild", "modest", "neat", "nimble", "noble", "patient", "placid", "plain", "proud",
    "quick", "quiet", "rapid", "ready", "round", "sharp", "silent", "silver", "smart",
    "smooth", "snug", "solid", "steady", "still", "sturdy", "sunny", "swift", "tidy",
    "tranquil", "true", "vivid", "warm", "wise", "witty", "young", "zesty",
)  # fmt: skip
NOUNS = (
    "actin", "alga", "amoeba", "aster", "axon", "badger", "beaver", "birch", "brook",
    "calcium", "cedar", "centriole", "chromatin", "cilium", "clover", "condenser", "cortex",
    "crane", "curlew", "daphnia", "diatom", "dolphin", "enzyme", "euglena", "falcon", "fern",
    "fibre", "filter", "finch", "focus", "fox", "gecko", "heron", "histone", "hydra", "ibis",
    "iris", "kinase", "lark", "lens", "lily", "lotus", "lynx", "maple", "marten", "mica",
    "mirror", "mitosis", "moss", "myosin", "newt", "nucleus", "objective", "orchid", "osprey",
    "otter", "owl", "paramecium", "pine", "plover", "poppy", "prism", "quartz", "raven",
    "robin", "sequoia", "slide", "spindle", "spruce", "stentor", "swan", "tern", "thistle",
    "tubulin", "vacuole", "volvox", "willow", "wren", "yeast", "zebrafish",
)  # fmt: skip


BEAT_S = 5.0
"""Seconds between two heartbeats."""

LOST_AFTER_S = 60.0
"""Age of the last heartbeat, in seconds, from which a run that has not ended counts as lost."""

ENVIRONMENT = "FOVFLOW_RUN"
"""Environment variable that tells jobs the folder of the run that they belong to."""

JOB_EVENTS = "FOVFLOW_JOB_EVENTS"
"""Environment variable that tells code inside a job the file of that job's events; it is empty in
jobs that are not recorded."""

CURRENT = ".current"
"""File in ``runs/`` with the name of the run at work, for jobs on other machines."""

_STAMP = 16
"""Characters at the beginning of a run's id that tell when it was made."""

_IS_STAMP = re.compile(r"\d{8}T\d{6}Z-", re.ASCII)

STOP_SUFFIX = ".stop"
"""Beside an attempt's events, a file of this suffix asks the attempt to stop, and says why."""


_locked = threading.local()


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep others out of this folder's block, but for a signal's handler in the same thread."""
    held: set[Path] = _locked.__dict__.setdefault("folders", set())
    if folder in held:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        held.add(folder)
        with suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        held.discard(folder)
        with suppress(OSError):  # a forked child may have the descriptor, too
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


class RunFolder:
    """The folder of one run, ``{outdir}/runs/{id}``."""

    def __init__(self, path: str | os.PathLike[str]):
        self.path = Path(path)
        self.clock = Clock()

    @classmethod
    def create(
        cls, outdir: str | os.PathLike[str], *, name: str | None = None, **content: Any
    ) -> RunFolder:
        """Make a new run's folder and its ``run.json`` with status ``created``.

        Without a name it is an adjective and a noun. `content` are further keys of ``run.json``.
        """
        import secrets

        stamp, place = _place_after(list_runs(outdir))
        chosen = name or f"{secrets.choice(ADJECTIVES)}-{secrets.choice(NOUNS)}"
        letters = "".join(c if c.isalnum() or c in "-_." else "-" for c in chosen)
        slug = letters.encode(errors="replace")[:80].decode(errors="ignore").strip("-.") or "run"
        base = Path(outdir) / "runs"
        for number in range(1, 1000):
            ident = f"{stamp}-{slug}" + (f"-{number}" if number > 1 else "")
            try:
                (base / ident).mkdir(parents=True)
            except FileExistsError:
                continue
            folder = cls(base / ident)
            created = folder.clock.now()
            folder.write_record(
                {
                    "schema_version": VERSION,
                    "id": ident,
                    "name": chosen,
                    "status": "created",
                    "created": created,
                    "started": None,
                    "ended": None,
                    "history": [{"status": "created", "time": created}],
                    "host": socket.gethostname(),
                    "pid": os.getpid(),
                    **({"number": place} if place else {}),
                    **content,
                }
            )
            return folder
        raise FovflowError(f"cannot make a folder for the run {chosen} in {base}")

    @property
    def id(self) -> str:
        """The run's stable id: the folder's name."""
        return self.path.name

    @property
    def outdir(self) -> Path:
        """The output folder that the run belongs to."""
        return self.path.parent.parent

    def read_record(self) -> dict[str, Any]:
        """Return the content of ``run.json``; FovflowError where there is none."""
        file = self.path / "run.json"
        content = read_json(file)
        wrong = _wrong_part(content) if isinstance(content, dict) else "it is no JSON object"
        if wrong:
            raise FovflowError(
                f"{file} is no run record",
                found=wrong,
                remedy="other runs and the outputs are not touched by that; move its folder away",
            )
        return content  # type: ignore[no-any-return]

    def write_record(self, content: dict[str, Any]) -> None:
        """Replace ``run.json`` atomically; only the run's owner does."""
        write_json(self.path / "run.json", plain_values(content))

    def known(self) -> dict[str, Any]:
        """Return the record; an empty one where it cannot be read."""
        try:
            return self.read_record()
        except FovflowError:
            return {}

    def change(self, change: Callable[[dict[str, Any]], Mapping[str, Any]]) -> dict[str, Any]:
        """Replace what `change` returns of the record, alone of all threads and processes."""
        with alone_in(self.path):
            before = self.read_record()
            content = {**before, **change(before)}
            if content != before:
                self.write_record(content)
            return content

    def update(self, **keys: Any) -> dict[str, Any]:
        """Change keys of ``run.json``; return all of it."""
        return self.change(lambda _: keys)

    def set_status(
        self, status: str, message: str | None = None, *, after: str | None = None
    ) -> dict[str, Any]:
        """Set the status, with its time, in the record and its history.

        A final status stays: later calls change nothing. `after`: a time that it is not before, as
        it is not before the status that it follows, wherever the clock is set meanwhile.
        """

        def change(content: dict[str, Any]) -> dict[str, Any]:
            if content["status"] in FINAL or content["status"] == status:
                return {}
            at = self.clock.now(after, *(past["time"] for past in content["history"]))
            entry = {"status": status, "time": at, **({"message": message} if message else {})}
            new = {"history": [*content["history"], entry], "status": status}
            if status == "running":
                new["started"] = content["started"] or at
            return {**new, "ended": at} if status in FINAL else new

        return self.change(change)

    def status(self) -> str:
        """Return the status; ``lost`` where the owner has stopped beating without an end.

        So is a run whose record cannot be read. A run that waits (key ``waiting``) for a process to
        take it over has no owner to lose.
        """
        content = self.known()
        status = str(content.get("status", "lost"))
        if status in FINAL or content.get("waiting") or not self._silent(content):
            return status
        return "lost"

    def _silent(self, content: dict[str, Any]) -> bool:
        """Tell whether the owner is gone: its process on this host, else its heartbeat."""
        if content.get("host") == socket.gethostname() and content.get("pid"):
            try:
                os.kill(int(content["pid"]), 0)
            except ProcessLookupError:
                return True
            except (OSError, OverflowError, TypeError, ValueError):
                pass
        try:
            last = (self.path / "heartbeat").stat().st_mtime
        except OSError:
            last = (self.path / "run.json").stat().st_mtime
        return time.time() - last > LOST_AFTER_S

    def beat(self) -> None:
        """Touch the heartbeat."""
        with suppress(OSError), open_own(self.path / "heartbeat", "ab") as file:
            os.utime(file.fileno())

    def events(self) -> list[dict[str, Any]]:
        """Return the owner's events."""
        return read_events(self.path / "events.jsonl")

    def job_file(self, job: str, attempt: int) -> Path:
        """Return the name of the events of one attempt of a job."""
        return self.path / "jobs" / job / f"attempt-{attempt}.jsonl"

    def new_attempt(self, job: str, first: int = 1) -> tuple[int, Path]:
        """Take the next attempt's file of a job: safe against others that do the same.

        `first` is the attempt's number as the engine counts: on a cluster, a job may be part of an
        attempt at its whole field of view before which it never began.
        """
        for number in range(first, 10_000):
            path = self.job_file(job, number)
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                path.open("x").close()
            except FileExistsError:
                continue
            return number, path
        raise FovflowError(f"more than 9999 attempts of the job {job}")

    def ask_to_stop(self, job: str, attempt: int, reason: str) -> None:
        """Ask an attempt to stop; it looks at its next report of progress."""
        self.job_file(job, attempt).with_suffix(STOP_SUFFIX).write_text(reason, encoding="utf-8")

    def attempts_of(self, job: str) -> list[int]:
        """Return the numbers of the attempts of a job."""
        try:
            names = os.listdir(self.path / "jobs" / job)  # noqa: PTH208  (no paths are needed)
        except OSError:
            return []
        ours = (name for name in names if name.startswith("attempt-") and name.endswith(".jsonl"))
        numbers = (name.removeprefix("attempt-").removesuffix(".jsonl") for name in ours)
        return sorted(int(number) for number in numbers if number.isdecimal())


_TEXTS = (
    "id", "name", "kind", "workflow_type", "description", "folder", "parent", "created", "started",
    "ended", "host", "command", "working_directory", "recording_failed",
)  # fmt: skip
_OBJECTS = (
    "metadata",
    "folders",
    "parameters",
    "counts",
    "jobs",
    "config",
    "workflow",
    "environment",
    "versions",
    "cluster",
)
_PARTS: dict[str, type] = {
    **dict.fromkeys(_TEXTS, str),
    **dict.fromkeys(_OBJECTS, dict),
    **dict.fromkeys(("history", "tags", "inputs", "configfiles"), list),
    "number": int,
}
"""Type of the values in a run's record, where they are not null."""


def _wrong_part(record: dict[str, Any]) -> str:
    """Return which value of a run's record is of another kind than it should be, if any."""
    if record.get("status") not in RUN_STATUSES:
        return f"the status {record.get('status')!r}"[:200]
    for key, kind in _PARTS.items():
        if not isinstance(record.get(key), kind | None):
            return f"{key} is {type(record[key]).__name__}, not {kind.__name__}"
    for key, value in record.items():
        if key in ("created", "started", "ended") and value is not None and moment(value) is None:
            return f"{key} is {value!r}, which is no time"[:200]
    for entry in record.get("history") or []:
        if not (isinstance(entry, dict) and moment(entry.get("time")) and "status" in entry):
            return "an entry of history without time or status"
    wrong = [tag for tag in record.get("tags") or [] if not isinstance(tag, str)]
    return f"the tag {wrong[0]!r}"[:200] if wrong else ""


def list_runs(outdir: str | os.PathLike[str]) -> list[RunFolder]:
    """Return all runs of an output folder, oldest first; also one whose record is gone."""
    places, records = (Path(outdir) / "runs").glob("*"), ("run.json", "events.jsonl")
    found = [
        RunFolder(place)
        for place in places
        if any(os.path.lexists(place / name) for name in records)
    ]
    same = Counter(run.id[:_STAMP] for run in found)

    def when(run: RunFolder) -> tuple[str, int, str, str]:
        known = run.known() if same[run.id[:_STAMP]] > 1 else {}
        return run.id[:_STAMP], known.get("number") or 0, str(known.get("created")), run.id

    return sorted(found, key=when)


def _place_after(runs: list[RunFolder]) -> tuple[str, int]:
    """Return the stamp of a new run's id, and its number among those of that stamp.

    It is the latest of `runs`, wherever the clock was set before or is set now: where that is
    behind the last one's stamp, it takes the same stamp, and the next number.
    """
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")  # `_STAMP` characters
    if not runs or not _IS_STAMP.match(runs[-1].id) or runs[-1].id[:_STAMP] < stamp:
        return stamp, 0
    return runs[-1].id[:_STAMP], (runs[-1].known().get("number") or 0) + 1


def no_runs(outdir: str | os.PathLike[str], wanted: str | None = None) -> FovflowError:
    """Return the error of a folder that is not there or has no runs; see `find_run`."""
    there = "no run is recorded in" if Path(outdir).is_dir() else "there is no folder"
    return FovflowError(
        f"{there} {os.fspath(outdir)}",
        found=f"{wanted!r} is no folder of a run, nor one with runs" if wanted else None,
        remedy="give the output folder of a run, or run the pipeline first",
    )


def runs_until(run: RunFolder) -> tuple[list[RunFolder], set[str]]:
    """Return a run and those before it in its output folder, and the ids of those after it."""
    runs = list_runs(run.outdir)
    place = 1 + next((n for n, other in enumerate(runs) if other.id == run.id), len(runs))
    return runs[:place], {other.id for other in runs[place:]}


def run_at_work(outdir: str | os.PathLike[str]) -> RunFolder | None:
    """Return the run that is at work on an output folder, or was when it was killed."""
    base = Path(outdir) / "runs"
    with suppress(OSError, ValueError, FovflowError):
        ident = read_regular(base / CURRENT).strip()
        if (inside(base, ident) / "run.json").exists() and Path(ident).name == ident:
            return RunFolder(base / ident)
    return None


def find_run(outdir: str | os.PathLike[str], wanted: str | None = None) -> RunFolder:
    """Return a run of an output folder.

    `wanted`: its id, name, the first letters of either if no other run has them, the path of its
    folder, or another output folder. Where it is not given, or is an output folder: the run at
    work, else the last one. Raises FovflowError if there is no such run, or several.
    """
    if wanted and (Path(wanted) / "run.json").exists():
        return RunFolder(wanted)
    if wanted and (Path(wanted) / "runs").is_dir():
        return find_run(wanted)
    runs = list_runs(outdir)
    if not runs:
        raise no_runs(outdir, wanted)
    if not wanted:
        active = [run for run in runs if run.status() not in FINAL]
        return (active or runs)[-1]
    names = {run: (run.id, str(run.known().get("name", ""))) for run in runs}
    exact = [run for run in runs if wanted in names[run]]
    found = exact or [run for run in runs if any(name.startswith(wanted) for name in names[run])]
    if len(found) == 1:
        return found[0]
    raise FovflowError(
        f"{len(found) or 'no'} runs are called {wanted!r}",
        found=", ".join(run.id for run in (found or runs)[-10:]),
        remedy="give one of these ids",
    )
