"""Check what is there against what was recorded: content, completeness, order, references."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fovflow.atomic import Digest
from fovflow.errors import FovflowError
from fovflow.layout import STAMP_NAME
from fovflow.results import FILE_NAME as RESULTS_NAME
from fovflow.runs.findings import Report, climbs_out
from fovflow.runs.jobrecords import LOGS, read_job_records
from fovflow.runs.manifest_terms import FILE_NAME, kept_kind
from fovflow.runs.pieces import digest_of_pieces, pieces_of
from fovflow.runs.store import list_runs
from fovflow.runs.verify_manifest import check_manifest
from fovflow.runs.verify_records import check_records, check_results, check_run

REPORT = "report.html"
_UNRECORDED = frozenset({FILE_NAME, STAMP_NAME, RESULTS_NAME, "dataset.json"})
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
    places = [base] if holds_records(base) or (base / REPORT).exists() else []
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
    names = ("dataset.json", RESULTS_NAME, FILE_NAME)
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
    records = read_job_records(place)
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
            expect(path, record.file, digest, optional=gone or record.status != "complete")
    _find_orphans(place, prefix, expected, report)
    return expected


def _find_orphans(place: Path, prefix: str, expected: dict[str, Expected], report: Report) -> None:
    for path in sorted(_files(place)):
        name = path.relative_to(place).as_posix()
        if name in expected or name in _UNRECORDED:
            continue
        if name == REPORT and not is_dataset(place):
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
        digest = digest_of_pieces(pieces_of(path), each=lambda piece: advance(len(piece)))
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
