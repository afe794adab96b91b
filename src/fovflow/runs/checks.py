"""What checks of records find, the small questions that all ask, and the check of a run."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from fovflow.atomic import Digest, is_temporary
from fovflow.events import FINAL, RUN_STATUSES, moment
from fovflow.jobrecord import JobRecord
from fovflow.records import leads_out
from fovflow.runs.assets import last_of, problems
from fovflow.runs.datasets import FOLDER as DATASETS
from fovflow.runs.datasets import dataset_problems
from fovflow.runs.state import RunState, read_with_files
from fovflow.runs.store import RunFolder
from fovflow.terminal import printable
from fovflow.userfiles import is_left_by_system, read_regular

CLOCK_TOLERANCE_S = 1.0
"""Seconds by which two recorded times may contradict each other."""


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One thing that does not hold: the file that it is about, and a sentence."""

    file: str
    problem: str

    def __str__(self) -> str:
        return printable(f"{self.file}: {self.problem}", one_line=True)


@dataclass(frozen=True, slots=True)
class Damage:
    """A file that is gone, or whose content is none of those that are recorded."""

    path: Path
    name: str
    """As in the report."""
    dataset: str
    """The dataset's folder; empty for a file of none."""
    expected: tuple[Digest, ...]
    """What records say of it; none where they tell of no content."""
    found: Digest | None = None
    """None where it is gone or cannot be read."""
    text: str | None = None
    """What the file should hold, where it is known."""


@dataclass(slots=True)
class Report:
    """What a verification found, and how much was read and compared."""

    findings: list[Finding] = field(default_factory=list)
    notes: list[Finding] = field(default_factory=list)
    """What a reader should know and is no fault: failed jobs, outputs without a checksum."""
    damaged: list[Damage] = field(default_factory=list)
    """Each has a finding, too."""
    files: int = 0
    bytes: int = 0

    @property
    def ok(self) -> bool:
        """Whether everything holds."""
        return not self.findings

    def find(self, file: str | Path, problem: str) -> None:
        """Add a finding."""
        self.findings.append(Finding(str(file), problem))

    def note(self, file: str | Path, text: str) -> None:
        """Add a note."""
        self.notes.append(Finding(str(file), text))

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain values."""
        return {
            "ok": self.ok,
            "files": self.files,
            "bytes": self.bytes,
            "findings": [{"file": f.file, "problem": f.problem} for f in self.findings],
            "notes": [{"file": f.file, "note": f.problem} for f in self.notes],
        }


def read_object(path: Path, name: str, report: Report) -> dict[str, Any] | None:
    """Return a JSON object; what is wrong with it, and keys that stand twice, are findings."""
    twice: list[str] = []

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        counts = Counter(key for key, _ in items)
        twice.extend(sorted(key for key, count in counts.items() if count > 1))
        return dict(items)

    try:
        content = json.loads(read_regular(path), object_pairs_hook=pairs)
    except OSError as error:
        report.find(name, f"cannot be read: {error.strerror or error}")
        return None
    except (ValueError, RecursionError) as error:
        report.find(name, f"is not JSON: {error}")
        return None
    if not isinstance(content, dict):
        report.find(name, "is no JSON object")
        return None
    for key in twice:
        report.find(name, f"the key {key!r} stands twice")
    return content


def out_of_order(first: Any, second: Any) -> bool:
    """Tell whether two times are known and the second lies before the first, or is no time."""
    if not first or not second:
        return False
    before, after = moment(first), moment(second)
    if before is None or after is None:
        return True
    return (after - before).total_seconds() < -CLOCK_TOLERANCE_S


def format_report(report: Report, *, notes: bool = True) -> Iterable[str]:
    """Yield a report's lines for people: findings, notes, and a summary."""
    yield from map(str, report.findings)
    if notes:
        yield from (f"note: {note}" for note in report.notes)
    words = "everything holds" if report.ok else f"{len(report.findings)} findings"
    yield f"{report.files} files, {report.bytes / 1e6:.1f} MB compared: {words}"


def listed_paths(value: Any) -> list[str]:
    """Return all file names in the nested lists and mappings of ``results_paths``."""
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [path for item in inner for path in listed_paths(item)]


# ---- a run


def check_run(run: RunFolder, base: Path, report: Report) -> None:
    """Check a run's record and those of its jobs: statuses and times."""
    place = run.path.relative_to(base).as_posix()
    name = f"{place}/run.json"
    content = read_object(run.path / "run.json", name, report)
    if content is None:
        return
    if content.get("id") != run.id:
        report.find(name, f"is the record of {content.get('id')!r}, in the folder of {run.id}")
    _check_history(content, name, report)
    if content.get("status") in RUN_STATUSES and content["status"] not in FINAL:
        status = run.status()
        meanwhile = ": what it makes again may be told as changed or missing" * (status != "lost")
        report.note(name, f"the run is {status}{meanwhile}")
    state = read_with_files(run)
    for file, count in sorted(state.malformed.items()):
        lines = "line that is no event" if count == 1 else "lines that are no events"
        words = f"has {count} {lines}, as a crash or a full disk leaves them"
        report.note(f"{place}/{file}", words)
    for file, problem in [*state.unreadable.items(), *problems(run.path, state.assets)]:
        report.find(f"{place}/{file}", problem)
    for file, problem, is_fault in dataset_problems(run.path):
        say = report.find if is_fault else report.note
        say(f"{place}/{file}", problem)
    for told in state.announced if run.status() in FINAL else ():
        if not leads_out(run.path, told) and (run.path / told).exists():
            words = "announced and never recorded: fovflow.resume or fovflow runs abandon does"
            report.note(f"{place}/{told}", words)
    for stray in sorted(_strays(run.path, state)) if run.status() in FINAL else ():
        say = report.note if run.status() == "lost" else report.find
        say(f"{place}/{stray}", "orphan: no record speaks of it")
    found = [asset for asset in last_of(state.assets) if asset.mode != "reference"]
    report.files += len(found)
    report.bytes += sum(asset.bytes or 0 for asset in found)
    _check_jobs(run, state, content, base, report)


def _check_jobs(
    run: RunFolder, state: RunState, content: dict[str, Any], base: Path, report: Report
) -> None:
    failed, name = 0, (run.path / "run.json").relative_to(base).as_posix()
    for job in (job for _, job in sorted(state.jobs.items()) if job.rule):
        file = run.job_file(job.job, job.attempt).relative_to(base).as_posix()
        _check_attempt(job, content, file, report)
        folder = base / job.dataset
        for told, where in [(job.dataset or ".", base), *((path, folder) for path in job.outputs)]:
            if problem := leads_out(where, told):
                report.find(file, f"names {told!r}, which {problem}")
        newest = not run.job_file(job.job, job.attempt + 1).exists()
        failed += newest and job.status == "failed"
    if why := content.get("recording_failed"):
        report.note(name, f"what came after a failure to write stands in no event: {why}")
    unknown = why or state.malformed or state.unreadable
    counts = None if unknown else content.get("counts")
    ended = counts.get("completed") if isinstance(counts, dict) else None
    if isinstance(ended, int) and ended > (there := state.count("completed")):
        report.find(name, f"counts {ended} completed jobs; the files in jobs/ tell of {there}")
    if failed and content.get("status") == "completed":
        report.find(name, f"wrong status completed: {failed} of its jobs failed")


def _strays(run: Path, state: RunState) -> Iterator[str]:
    """Yield the files in the places of a script's files that no event tells of."""
    known = {*state.announced, *(asset.path for asset in state.assets)}
    places = [run / name for name in ("outputs", "artifacts", DATASETS)]
    for place in (*places, *(run / "jobs").glob("*/attempt-*/")):
        for path in place.rglob("*"):
            name = path.relative_to(run)
            half = is_temporary(path.name) or path.suffix == ".draft"
            if path.is_dir() or half or is_left_by_system(path.name):
                continue
            if known.isdisjoint(each.as_posix() for each in (name, *name.parents)):
                yield name.as_posix()


def _check_history(content: dict[str, Any], name: str, report: Report) -> None:
    status = content.get("status")
    if status not in RUN_STATUSES:
        report.find(name, f"wrong status {status!r}")
    history = content.get("history")
    entries = [e for e in history if isinstance(e, dict)] if isinstance(history, list) else []
    if not entries or entries[-1].get("status") != status:
        report.find(name, f"its history does not end with its status {status!r}")
    times = [content.get("created"), *(entry.get("time") for entry in entries)]
    for first, second in [*pairwise(times), (content.get("started"), content.get("ended"))]:
        if out_of_order(first, second):
            report.find(name, f"times out of order: {second} stands after {first}")
    if isinstance(status, str) and status in FINAL and not content.get("ended"):
        report.find(name, f"the run is {status} without an end")


def _check_attempt(job: JobRecord, run: dict[str, Any], file: str, report: Report) -> None:
    if out_of_order(job.started, job.ended):
        report.find(file, f"times out of order: it ended {job.ended}, before it started")
    if job.host and job.host != run.get("host"):
        return  # clocks of two machines
    if out_of_order(run.get("created"), job.started):
        report.find(file, f"times out of order: it started {job.started}, before its run")
    if run.get("status") == "completed" and out_of_order(job.ended, run.get("ended")):
        report.find(file, f"times out of order: it ended {job.ended}, after its run")
