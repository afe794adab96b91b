"""Check what is there against what was recorded: content, completeness, order, references."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any

from fovflow.atomic import Digest, digest_of
from fovflow.errors import FovflowError
from fovflow.events import FINAL, RUN_STATUSES, Status, moment, upgrade
from fovflow.jobrecord import JobRecord, read_records
from fovflow.layout import LOGS, PLAN_NAME, REPORT_NAME, RESULTS_NAME, STAMP_NAME
from fovflow.runs.manifest import FILE_NAME, STATUS, file_path, kept_kind
from fovflow.runs.state import read_attempts
from fovflow.runs.store import RunFolder, list_runs
from fovflow.tables import read_yaml

CLOCK_TOLERANCE_S = 1.0
"""Seconds by which two recorded times may contradict each other."""


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One thing that does not hold: the file that it is about, and a sentence."""

    file: str
    problem: str

    def __str__(self) -> str:
        return f"{self.file}: {self.problem}"


@dataclass(slots=True)
class Report:
    """What a verification found.

    Attributes
    ----------
    findings : list of Finding
        What does not hold.
    notes : list of Finding
        What a reader should know and is no fault: failed jobs, outputs without a checksum.
    files, bytes : int
        How much was read and compared.
    """

    findings: list[Finding] = field(default_factory=list)
    notes: list[Finding] = field(default_factory=list)
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


def climbs_out(path: str) -> bool:
    """Tell whether a recorded name leaves the folder that it is relative to.

    Examples
    --------
    >>> climbs_out("fov_000/a.npy"), climbs_out("../a.npy"), climbs_out("/a.npy")
    (False, True, True)
    """
    return PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts or "\\" in path


def seconds_between(first: Any, second: Any) -> float | None:
    """Return how many seconds `second` lies after `first`; None where either is no time."""
    moments = moment(first), moment(second)
    if moments[0] is None or moments[1] is None:
        return None
    return (moments[1] - moments[0]).total_seconds()


def out_of_order(first: Any, second: Any) -> bool:
    """Tell whether two times are known and the second lies before the first."""
    if not first or not second:
        return False
    seconds = seconds_between(first, second)
    return seconds is None or seconds < -CLOCK_TOLERANCE_S


def read_object(path: Path) -> tuple[dict[str, Any] | None, str, list[str]]:
    """Read a JSON object.

    Returns
    -------
    (dict or None, str, list of str)
        The object, what is wrong with the file, and keys that stand twice in one object.
    """
    twice: list[str] = []

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        counts = Counter(key for key, _ in items)
        twice.extend(sorted(key for key, count in counts.items() if count > 1))
        return dict(items)

    try:
        content = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=pairs)
    except OSError as error:
        return None, f"cannot be read: {error.strerror or error}", []
    except (ValueError, RecursionError) as error:
        return None, f"is not JSON: {error}", []
    if not isinstance(content, Mapping):
        return None, "is no JSON object", []
    return dict(content), "", twice


_ACTIONS = frozenset({"CreateAction", "OrganizeAction", "ControlAction"})


def check_manifest(
    place: Path, prefix: str, records: list[JobRecord], report: Report
) -> dict[str, Digest | None]:
    """Check ``ro-crate-metadata.json``; return the digests of the files that it describes."""
    name = f"{prefix}{FILE_NAME}"
    if not (place / FILE_NAME).exists():
        if (place / PLAN_NAME).exists():
            report.note(name, "there is no manifest")
        return {}
    content, problem, twice = read_object(place / FILE_NAME)
    graph = content.get("@graph") if content else None
    if content is None or not isinstance(graph, list):
        report.find(name, problem or "has no @graph")
        return {}
    for key in twice:
        report.find(name, f"the key {key!r} stands twice")
    entities = [entity for entity in graph if isinstance(entity, Mapping) and "@id" in entity]
    if len(entities) != len(graph):
        report.find(name, f"{len(graph) - len(entities)} entities have no @id")
    for ident, count in Counter(str(entity["@id"]) for entity in entities).items():
        if count > 1:
            report.find(name, f"duplicate id {ident!r}")
    known = {str(entity["@id"]) for entity in entities}
    for entity in entities:
        for key, ident in _references(entity):
            if ident not in known and "://" not in ident:
                report.find(name, f"dangling reference {ident!r} in {key} of {entity['@id']!r}")
        if _ACTIONS & set(_types(entity)):
            _check_action(entity, name, report)
    _check_statuses(entities, records, name, report)
    return _check_files(entities)


def _types(entity: Mapping[str, Any]) -> list[str]:
    types = entity.get("@type")
    return [types] if isinstance(types, str) else list(types or [])


def _references(entity: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key, value in entity.items():
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, Mapping) and "@id" in item:
                yield key, str(item["@id"])


def _check_action(entity: Mapping[str, Any], name: str, report: Report) -> None:
    ident, status = entity["@id"], entity.get("actionStatus")
    if status not in STATUS.values():
        report.find(name, f"wrong status {status!r} of {ident!r}")
    if entity.get("error") and status == STATUS["completed"]:
        report.find(name, f"{ident!r} is completed and has an error")
    if out_of_order(entity.get("startTime"), entity.get("endTime")):
        report.find(name, f"times out of order: {ident!r} ends before it starts")


def _check_statuses(
    entities: list[Mapping[str, Any]], records: list[JobRecord], name: str, report: Report
) -> None:
    """Compare the status of each job's action with the job's own record."""
    actions = {str(entity["@id"]): entity for entity in entities}
    for record in records:
        action = actions.get(f"#job/{record.key.name}")
        if action is None or record.key.step == "results":  # recorded after the manifest
            continue
        failed = action.get("actionStatus") == STATUS["failed"]
        if not failed and record.status == "failed":
            report.find(name, f"{record.key.name} is not failed, but {record.file} says so")
        if failed and record.status == "completed" and action.get("result"):
            report.find(name, f"{record.key.name} is failed, but {record.file} says completed")


def _check_files(entities: list[Mapping[str, Any]]) -> dict[str, Digest | None]:
    found: dict[str, Digest | None] = {}
    for entity in entities:
        ident = str(entity["@id"])
        if "File" not in _types(entity) or ident.startswith("#") or "://" in ident:
            continue
        size, sha256 = entity.get("contentSize"), entity.get("sha256")
        whole = isinstance(sha256, str) and str(size).isdecimal()
        found[file_path(ident)] = Digest(int(str(size)), str(sha256)) if whole else None
    return found


JOB_STATUSES: tuple[Status, ...] = ("completed", "failed")
FOV_STATUSES = ("complete", "failed", "incomplete", "outdated")


def check_records(place: Path, prefix: str, report: Report) -> None:
    """Check the form of the status records of a folder; note jobs that failed."""
    for path in sorted((place / LOGS).rglob("*.json")):
        name = f"{prefix}{path.relative_to(place).as_posix()}"
        content, problem, twice = read_object(path)
        if content is None:
            report.find(name, problem)
            continue
        for key in twice:
            report.find(name, f"the key {key!r} stands twice")
        if "v" not in content:
            content = upgrade(content)
        status = content.get("status")
        if status not in JOB_STATUSES:
            report.find(name, f"wrong status {status!r}; a job is {' or '.join(JOB_STATUSES)}")
        elif status == "failed":
            report.note(name, f"the job failed: {content.get('error') or 'no error is recorded'}")
        elif "outputs" not in content:
            report.note(name, "no checksums were recorded for this job's outputs")


def check_results(
    place: Path, prefix: str, records: list[JobRecord], report: Report
) -> dict[str, Any]:
    """Check the results file; return its content."""
    file = place / RESULTS_NAME
    name = f"{prefix}{RESULTS_NAME}"
    if not file.exists():
        if (place / PLAN_NAME).exists():
            report.find(name, "missing; the run was stopped before it was written")
        return {}
    try:
        content = read_yaml(file)
    except FovflowError as error:
        report.find(name, f"cannot be read: {error.found or error}")
        return {}
    if not isinstance(content, dict):
        report.find(name, "is no results file")
        return {}
    for path in _paths(content.get("results_paths")):
        if climbs_out(path):
            report.find(name, f"names {path!r}, which lies outside the folder")
        elif not (place / path).exists():
            report.find(name, f"names {path}, which is not there")
    _check_fovs(content.get("fovs"), records, name, report)
    return content


def _check_fovs(statuses: Any, records: list[JobRecord], name: str, report: Report) -> None:
    """Check each FOV's status against the records of its jobs."""
    failures: dict[str, list[JobRecord]] = {}
    for record in records:
        if record.status == "failed":
            failures.setdefault(record.key.fov, []).append(record)
    for fov, entry in statuses.items() if isinstance(statuses, dict) else ():
        status = entry.get("status") if isinstance(entry, dict) else None
        if status not in FOV_STATUSES:
            report.find(name, f"wrong status {status!r} of FOV {fov}")
            continue
        failed = failures.get(f"{int(fov):03d}", [])
        if failed and status == "complete":
            report.find(name, f"says that FOV {fov} is complete, but {failed[0].file} failed")
        elif status == "failed" and not failed:
            report.find(name, f"says that FOV {fov} failed, but no job of it did")
        elif status != "complete":
            report.note(name, f"FOV {fov} is {status}")


def _paths(value: Any) -> list[str]:
    """Return all file names in the nested lists and mappings of ``results_paths``."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [path for item in value.values() for path in _paths(item)]
    if isinstance(value, list):
        return [path for item in value for path in _paths(item)]
    return []


def check_run(run: RunFolder, base: Path, report: Report) -> None:
    """Check a run's record and those of its jobs: statuses and times."""
    name = (run.path / "run.json").relative_to(base).as_posix()
    content, problem, twice = read_object(run.path / "run.json")
    if content is None:
        report.find(name, problem)
        return
    for key in twice:
        report.find(name, f"the key {key!r} stands twice")
    if content.get("id") != run.id:
        report.find(name, f"is the record of {content.get('id')!r}, in the folder of {run.id}")
    _check_history(content, name, report)
    if content.get("status") in RUN_STATUSES and content["status"] not in FINAL:
        report.note(name, f"the run is {run.status()}")
    failed = 0
    for attempt in read_attempts(run):
        file = run.job_file(attempt.job, attempt.attempt).relative_to(base).as_posix()
        _check_attempt(attempt, content, file, report)
        newest = not run.job_file(attempt.job, attempt.attempt + 1).exists()
        failed += newest and attempt.status == "failed"
    if failed and content.get("status") == "completed":
        report.find(name, f"wrong status completed: {failed} of its jobs failed")


def _check_history(content: dict[str, Any], name: str, report: Report) -> None:
    status = content.get("status")
    if status not in RUN_STATUSES:
        report.find(name, f"wrong status {status!r}")
    history = content.get("history")
    entries = [e for e in history if isinstance(e, dict)] if isinstance(history, list) else []
    if not entries or entries[-1].get("status") != status:
        report.find(name, f"its history does not end with its status {status!r}")
    times = [entry.get("time") for entry in entries]
    times = [content.get("created"), *times]
    pairs = [*pairwise(times), (content.get("started"), content.get("ended"))]
    for first, second in pairs:
        if out_of_order(first, second):
            report.find(name, f"times out of order: {second} stands after {first}")
    if status in FINAL and not content.get("ended"):
        report.find(name, f"the run is {status} without an end")


def _check_attempt(attempt: JobRecord, run: dict[str, Any], file: str, report: Report) -> None:
    if out_of_order(attempt.started, attempt.ended):
        report.find(file, f"times out of order: it ended {attempt.ended}, before it started")
    if attempt.host and attempt.host != run.get("host"):
        return  # clocks of two machines
    if out_of_order(run.get("created"), attempt.started):
        report.find(file, f"times out of order: it started {attempt.started}, before its run")
    if run.get("status") == "completed" and out_of_order(attempt.ended, run.get("ended")):
        report.find(file, f"times out of order: it ended {attempt.ended}, after its run")


_UNRECORDED = frozenset({FILE_NAME, STAMP_NAME, RESULTS_NAME, PLAN_NAME})
_LOG_SUFFIXES = (".log", ".tsv", ".json", ".jsonl")


@dataclass(slots=True)
class Expected:
    """What a file should be: digests with the record that says so."""

    said: list[tuple[str, Digest]] = field(default_factory=list)
    optional: bool = False


def verify(
    folder: str | os.PathLike[str], *, advance: Callable[[int, int], object] | None = None
) -> Report:
    """Check a dataset's folder, or an output folder with all its datasets and runs.

    Every output is read and compared with the size and SHA-256 that were recorded when it was
    made. Files that nothing speaks of, files that are missing, statuses and times that contradict
    each other, references that lead nowhere and names that leave the folder are findings. A job
    that failed and says so is none: the records hold.

    Parameters
    ----------
    folder : path-like
    advance : callable, optional
        Called with the bytes read since the last call and the total of bytes to read.

    Returns
    -------
    Report

    Raises
    ------
    FovflowError
        If there are no results.
    """
    base = Path(folder)
    if not base.is_dir():
        raise FovflowError(f"there is no folder {base}", remedy="give a folder of results")
    report = Report()
    alone = is_dataset(base)
    places = [base] if holds_records(base) or (base / REPORT_NAME).exists() else []
    if not alone:
        places += sorted(filter(holds_records, _folders(base)))
    runs = [] if alone else list_runs(base)
    if not places and not runs:
        raise FovflowError(
            f"{base} holds no results",
            found="neither records of jobs nor of runs",
            remedy="give a dataset's folder, or the output folder",
        )
    expected = {place: _check_place(place, _prefix(base, place), report) for place in places}
    for run in runs:
        check_run(run, base, report)
    _compare(expected, base, report, advance)
    report.findings.sort()
    report.notes.sort()
    return report


def is_dataset(folder: Path) -> bool:
    """Tell whether a folder is one of a dataset."""
    names = (PLAN_NAME, RESULTS_NAME, FILE_NAME)
    return any((folder / name).exists() for name in names) or any(folder.glob("fov_*"))


def holds_records(folder: Path) -> bool:
    """Tell whether a folder is one of a dataset, or another with records of jobs."""
    return is_dataset(folder) or any(folder.glob(f"{LOGS}/**/*.json"))


def _folders(base: Path) -> list[Path]:
    return [path for path in base.iterdir() if path.is_dir() and path.name not in ("runs", LOGS)]


def _prefix(base: Path, place: Path) -> str:
    return "" if place == base else f"{place.name}/"


def _check_place(place: Path, prefix: str, report: Report) -> dict[str, Expected]:
    """Check a folder's records; return what its files should be."""
    records = read_records(place)
    check_records(place, prefix, report)
    results = check_results(place, prefix, records, report)
    kept = results.get("kept")
    expected: dict[str, Expected] = {}

    def expect(path: str, source: str, digest: Digest | None, optional: bool = False) -> None:
        if climbs_out(path):
            report.find(f"{prefix}{source}", f"names {path!r}, which lies outside the folder")
            return
        entry = expected.setdefault(path, Expected())
        entry.optional |= optional
        if digest is not None:
            entry.said.append((source, digest))

    told = check_manifest(place, prefix, records, report)
    for path, digest in told.items():
        expect(path, FILE_NAME, digest)
    for record in records:
        for path, digest in record.outputs.items():
            if path == RESULTS_NAME and path in told:
                continue  # it may be newer than the job that made it first: the manifest tells
            gone = isinstance(kept, list) and kept_kind(path) not in (None, *kept)
            expect(path, record.file, digest, optional=gone or record.status != "completed")
    _find_orphans(place, prefix, expected, report)
    return expected


def _find_orphans(place: Path, prefix: str, expected: dict[str, Expected], report: Report) -> None:
    for path in sorted(_files(place)):
        name = path.relative_to(place).as_posix()
        if name in expected or name in _UNRECORDED:
            continue
        if name == REPORT_NAME and not is_dataset(place):
            report.note(name, "not checked: it was made again by no job of a run")
            continue
        if path.parts[len(place.parts)] == LOGS and path.suffix in _LOG_SUFFIXES:
            continue
        base = name.removesuffix("_inspected.csv") + ".csv"
        if name.endswith("_inspected.csv") and base in expected:
            continue
        what = "left by a killed writer" if name.endswith(".part") else "no record speaks of it"
        report.find(f"{prefix}{name}", f"orphan: {what}")


def _files(place: Path) -> Iterator[Path]:
    """Yield the files of a folder; of an output folder only those outside its datasets."""
    own = is_dataset(place)
    for where, folders, names in os.walk(place):
        if not own and Path(where) == place:
            folders[:] = [name for name in folders if name == LOGS]
        for name in names:
            yield Path(where) / name


def _compare(
    expected: dict[Path, dict[str, Expected]],
    base: Path,
    report: Report,
    advance: Callable[[int, int], object] | None,
) -> None:
    todo: list[tuple[Path, str, Expected]] = []
    for place, files in expected.items():
        for path, entry in sorted(files.items()):
            name = f"{_prefix(base, place)}{path}"
            if not (place / path).is_file():
                if not entry.optional:
                    by = entry.said[0][0] if entry.said else "a record"
                    report.find(name, f"missing; {by} says that it was made")
            elif entry.said:
                todo.append((place / path, name, entry))
            else:
                report.note(name, "not checked: no checksum was recorded")
    total = sum(file.stat().st_size for file, _, _ in todo)
    for file, name, entry in todo:
        _compare_file(file, name, entry, report, lambda n: advance and advance(n, total))


def _compare_file(
    path: Path, name: str, entry: Expected, report: Report, advance: Callable[[int], Any]
) -> None:
    try:
        digest = digest_of(path, each=lambda piece: advance(len(piece)))
    except OSError as error:
        report.find(name, f"cannot be read: {error.strerror or error}")
        return
    report.files += 1
    report.bytes += digest.bytes
    for source, said in entry.said:
        if said.bytes != digest.bytes:
            report.find(name, f"has {digest.bytes} bytes where {source} says {said.bytes}")
        elif said.sha256 != digest.sha256:
            report.find(
                name,
                f"its content was changed: SHA-256 {digest.sha256[:16]}… where {source} says "
                f"{said.sha256[:16]}…",
            )
        else:
            continue
        return


def format_report(report: Report, *, notes: bool = True) -> Iterable[str]:
    """Yield a report's lines for people: findings, notes, and a summary."""
    yield from map(str, report.findings)
    if notes:
        yield from (f"note: {note}" for note in report.notes)
    words = "everything holds" if report.ok else f"{len(report.findings)} findings"
    yield f"{report.files} files, {report.bytes / 1e6:.1f} MB compared: {words}"
