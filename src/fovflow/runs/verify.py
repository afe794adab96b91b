"""Check what is there against what was recorded: content, completeness, order, references."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

from fovflow.atomic import Digest, digest_of, is_temporary, sha256_or_none
from fovflow.errors import FovflowError
from fovflow.events import ENDED, read_events, upgrade
from fovflow.jobrecord import BEFORE, ENDS, JobRecord, read_records, record_text
from fovflow.layout import (
    ANALYSIS,
    DRAWN,
    LOGS,
    PLAN_NAME,
    REPORT_NAME,
    RESULTS_NAME,
    STAMP_NAME,
    WANTED_NAME,
    kept_kind,
    made_by_hand,
)
from fovflow.records import leads_out, mapping_of, read_json_object, read_yaml
from fovflow.runs.checks import (
    Damage,
    Report,
    check_run,
    listed_paths,
    out_of_order,
    read_object,
)
from fovflow.runs.checksums import read_list
from fovflow.runs.crate import FILE_NAME, STATUS, entities_of, file_path, references_of, types_of
from fovflow.runs.manifest import ACTIONS, MANIFEST_DIGEST, job_id
from fovflow.runs.provenance import FOLDER
from fovflow.runs.rawcheck import check_raw
from fovflow.runs.store import RunFolder, list_runs
from fovflow.stages import STACKS, step_of_rule
from fovflow.states import states_of_folder
from fovflow.userfiles import is_left_by_system, read_regular
from fovflow.verdicts import find_verdicts

FOV_STATUSES = ("complete", "failed", "incomplete", "outdated")
_UNRECORDED = frozenset(
    {FILE_NAME, STAMP_NAME, RESULTS_NAME, PLAN_NAME, MANIFEST_DIGEST, WANTED_NAME}
)
_LOG_SUFFIXES = (".log", ".tsv", ".json", ".jsonl")
_INSPECTED = re.compile(r"(.+)_inspected(?:_\d+)?\.csv")


def verify(
    folder: str | os.PathLike[str],
    *,
    advance: Callable[[int, int], object] | None = None,
    raw: bool = False,
) -> Report:
    """Check a dataset's folder, or an output folder with all its datasets and runs.

    Every output is read and compared with the size and SHA-256 that were recorded when it was
    made. Files that nothing speaks of, files that are missing, statuses and times that contradict
    each other, references that lead nowhere and names that leave the folder are findings. A job
    that failed and says so is none: the records hold.

    `advance`: called with the bytes read since the last call and the total of bytes to read. `raw`:
    whether the raw data are read in full, too, and compared with the pixels that were copied.
    Raises FovflowError if there are no results.
    """
    base = Path(folder)
    if not base.is_dir():
        raise FovflowError(f"there is no folder {base}", remedy="give a folder of results")
    report = Report()
    folders = [base] if holds_records(base) or (base / REPORT_NAME).exists() else []
    runs: list[RunFolder] = []
    if not is_dataset(base):
        inside = [path for path in base.iterdir() if path.name not in ("runs", LOGS, ANALYSIS)]
        folders += sorted(path for path in inside if path.is_dir() and holds_records(path))
        runs = list_runs(base)
    if not folders and not runs:
        raise FovflowError(
            f"{base} holds no results",
            found="neither records of jobs nor of runs",
            remedy="give a dataset's folder, or the output folder",
        )
    prefixes = {folder: "" if folder == base else f"{folder.name}/" for folder in folders}
    places = [_Place(folder, prefix, report) for folder, prefix in prefixes.items()]
    for place in places:
        place.check()
    _check_against_runs(places, runs or list_runs(base.parent))
    for run in runs:
        check_run(run, base, report)
    _compare(places, report, advance)
    if raw:
        for dataset in filter(is_dataset, folders):
            report.bytes += check_raw(dataset, report.find)
    report.findings.sort()
    report.notes.sort()
    return report


def is_dataset(folder: Path) -> bool:
    """Tell whether a folder is one of a dataset, or has a manifest as they do."""
    names = (PLAN_NAME, RESULTS_NAME, FILE_NAME)
    return any((folder / name).exists() for name in names) or any(folder.glob("fov_*"))


def holds_records(folder: Path) -> bool:
    """Tell whether a folder is one of a dataset, or another with records of jobs."""
    about = is_dataset(folder) or (folder / ANALYSIS / FILE_NAME).exists()
    return about or any(folder.glob(f"{LOGS}/**/*.json"))


class _Place:
    """A dataset's folder, or the output folder with what is of no dataset.

    `prefix` is what its files' names begin with in the report, `about` what those do that the
    manifest is about: that of an output folder lies in the folder of the analysis. `expected` holds
    the files that should be there, each with the digests and the records that say so; those in
    `optional` need not be.
    """

    def __init__(self, folder: Path, prefix: str, report: Report):
        self.folder, self.prefix, self.report = folder, prefix, report
        self.about = "" if is_dataset(folder) else f"{ANALYSIS}/"
        self.manifest = f"{self.about}{FILE_NAME}"
        self.manifest_digest = f"{self.about}{MANIFEST_DIGEST}"
        self.records = read_records(folder)
        self.expected: dict[str, list[tuple[str, Digest]]] = {}
        self.optional: set[str] = set()
        self._broken: set[str] = set()

    def check(self) -> None:
        """Check the records; find out what the files should be, and which nothing speaks of."""
        self._check_records()
        results = self._check_results()
        fovs, kept = results.get("fovs"), results.get("kept")
        if not isinstance(kept, list):  # there is no results file, or a damaged one
            kept = read_json_object(self.folder / FOLDER / "config.json").get("keep")
        self._check_fovs(mapping_of(fovs))
        described = self._check_manifest()
        for path, digest in described.items():
            self._expect(path, self.manifest, digest)
        for last in self.records:
            record = last.complete or last
            for path, digest in record.outputs.items():
                if path == RESULTS_NAME and path in described:
                    continue  # it may be newer than the job that made it first
                removed = isinstance(kept, list) and kept_kind(path) not in (None, *kept)
                if removed or last.status != "completed":
                    self.optional.add(path)
                unsure = last is not record and not _is_dated(self.folder, path, record)
                self._expect(path, record.file, None if unsure else digest)
        told = RESULTS_NAME in self.expected and RESULTS_NAME not in self.optional
        if not told and not (self.folder / RESULTS_NAME).exists() and RESULTS_NAME in self._broken:
            self._find(RESULTS_NAME, "missing; the run was stopped before it was written")
        self._expect_manifest()
        self._check_drawn()
        for path in sorted(self._broken - {p for p, known in self.expected.items() if known}):
            self.report.damaged.append(self.damage(path))
        self._find_orphans(kept if isinstance(kept, list) else [*STACKS])

    def _expect_manifest(self) -> None:
        """Take the digest of the manifest, which stands in a file of its own."""
        try:
            listed = read_list(self.folder / self.manifest_digest)
        except FovflowError as error:
            if os.path.lexists(self.folder / self.manifest_digest):
                self._break(self.manifest_digest, f"cannot be read: {error.found or error}")
            return
        for item in listed:
            self._expect(self.manifest, self.manifest_digest, Digest(item.bytes or 0, item.sha256))

    def _check_drawn(self) -> None:
        """Take what is recorded of pictures of the cells; note those that show other cells."""
        known = {name: d for record in self.records for name, d in record.outputs.items()}
        for path, about in read_json_object(self.folder / DRAWN).items():
            if not (made_by_hand().fullmatch(path) and (self.folder / path).is_file()):
                continue
            try:
                self._expect(path, DRAWN, Digest(int(about["bytes"]), str(about["sha256"])))
                sources = dict(about["made_from"])
            except (KeyError, TypeError, ValueError):
                self._find(DRAWN, f"tells nothing of {path}")
                continue
            for name, sha256 in sources.items():
                if leads_out(self.folder, name):
                    self._find(DRAWN, f"names {name!r}, which {leads_out(self.folder, name)}")
                    continue
                digest = known.get(name)
                now = digest.sha256 if digest else sha256_or_none(self.folder / name)
                if now != sha256:
                    words = (
                        "drawn of other results than there are now: fovflow overlay draws it again"
                    )
                    self._note(path, words)
                    break

    def _find(self, file: str, problem: str) -> None:
        self.report.find(f"{self.prefix}{file}", problem)

    def _break(self, file: str, problem: str) -> None:
        """Find that a file is damaged, whatever it should hold."""
        self._find(file, problem)
        self._broken.add(file)

    def _note(self, file: str, text: str) -> None:
        self.report.note(f"{self.prefix}{file}", text)

    def damage(self, path: str, found: Digest | None = None, text: str | None = None) -> Damage:
        """Return a file of the folder as one that is damaged."""
        expected = tuple(dict.fromkeys(digest for _, digest in self.expected.get(path, ())))
        dataset = self.folder.name if is_dataset(self.folder) else ""
        name = f"{self.prefix}{path}"
        return Damage(self.folder / path, name, dataset, expected, found, text)

    def _expect(self, path: str, source: str, digest: Digest | None) -> None:
        if problem := leads_out(self.folder, path):
            self._find(source, f"names {path!r}, which {problem}")
            return
        recorded = self.expected.setdefault(path, [])
        if digest is not None:
            recorded.append((source, digest))

    def _check_records(self) -> None:
        """Check the form of the records of jobs; note jobs that failed."""
        for path in sorted((self.folder / LOGS).rglob("*.json")):
            if is_left_by_system(path.name):
                continue
            file = path.relative_to(self.folder).as_posix()
            content = read_object(path, f"{self.prefix}{file}", self.report)
            if content is None:
                continue
            if "v" not in content:
                content = upgrade(content)
            status = content.get("status")
            if status not in ENDED:
                self._find(file, f"wrong status {status!r}; a job is {' or '.join(ENDED)}")
            elif status != "completed":
                self._note(
                    file, f"the job {status}: {content.get('error') or 'no error is recorded'}"
                )
            elif "outputs" not in content:
                self._note(file, "no checksums were recorded for this job's outputs")

    def check_record(
        self,
        file: str,
        attempts: list[tuple[dict[str, Any], str]],
        runs: Collection[str],
        unended: Collection[str],
    ) -> None:
        """Compare the record of a job with the attempts that its runs tell of, the oldest first.

        `unended`: runs in which it began and tells of no end: it was killed before it could, and
        may have written its record.
        """
        if problem := leads_out(self.folder, file):
            self._find(LOGS, f"an event names {file!r}, which {problem}")
            return
        try:
            content = json.loads(read_regular(self.folder / file))
        except FileNotFoundError:
            return
        except (OSError, ValueError, RecursionError):
            content = None
        if any(content == attempt for attempt, _ in attempts):
            return
        run = content.get("run") if isinstance(content, dict) else None
        if run and isinstance(run, str) and (run not in runs or run in unended):
            return  # of a run whose records are gone, or lack the end of the job
        outputs = content.get("outputs") if isinstance(content, dict) else None
        if isinstance(outputs, list) or (isinstance(outputs, dict) and None in outputs.values()):
            return  # of a version that recorded no checksums
        if isinstance(content, dict) and not {"v", "type"} & content.keys():
            return  # of version 1, whose records were not made from events
        latest, text = attempts[-1]
        if isinstance(content, dict):
            keys = [key for key in {**latest, **content} if latest.get(key) != content.get(key)]
            self._find(file, f"differs from what {latest.get('run')} recorded: {', '.join(keys)}")
        self.report.damaged.append(self.damage(file, text=text))

    def _check_results(self) -> dict[str, Any]:
        """Check the results file; return its content."""
        file = self.folder / RESULTS_NAME
        if not file.exists():
            if (self.folder / PLAN_NAME).exists():
                self._broken.add(RESULTS_NAME)
            return {}
        try:
            content = read_yaml(file)
        except FovflowError as error:
            self._break(RESULTS_NAME, f"cannot be read: {error.found or error}")
            return {}
        if not isinstance(content, dict):
            self._break(RESULTS_NAME, "is no results file")
            return {}
        for path in listed_paths(content.get("results_paths")):
            if problem := leads_out(self.folder, path):
                self._find(RESULTS_NAME, f"names {path!r}, which {problem}")
            elif not (self.folder / path).exists():
                self._find(RESULTS_NAME, f"names {path}, which is not there")
        return content

    def _check_fovs(self, entries: Mapping[str, Any]) -> None:
        """Check each FOV's status against the records of its jobs."""
        failures = {job.key.fov: job for job in reversed(self.records) if job.status == "failed"}
        states = states_of_folder(self.folder)
        told = {str(fov): entry for fov, entry in [*states.items(), *entries.items()]}
        for fov, entry in told.items():
            status = entry.get("status") if isinstance(entry, dict) else None
            if status not in FOV_STATUSES:
                self._find(RESULTS_NAME, f"wrong status {status!r} of FOV {fov}")
                continue
            if not (fov.isdecimal() and len(fov) < 10):
                self._find(RESULTS_NAME, f"the FOV {fov!r} is no number")
                continue
            failed = failures.get(f"{int(fov):03d}")
            if failed and not failed.before and status == "complete":
                problem = f"says that FOV {fov} is complete, but {failed.file} failed"
                self._find(RESULTS_NAME, problem)
            elif status == "failed" and not failed:
                self._find(RESULTS_NAME, f"says that FOV {fov} failed, but no job of it did")
            elif (now := states.get(int(fov), entry)["status"]) != "complete":
                self._note(RESULTS_NAME, f"FOV {fov} is {now}")

    def _check_manifest(self) -> dict[str, Digest | None]:
        """Check ``ro-crate-metadata.json``; return the digests of the files that it describes."""
        if not (self.folder / self.manifest).exists():
            if (self.folder / PLAN_NAME).exists():
                self._note(self.manifest, "there is no manifest")
            return {}
        name = f"{self.prefix}{self.manifest}"
        content = read_object(self.folder / self.manifest, name, self.report)
        if content is None:
            self._broken.add(self.manifest)
            return {}
        graph = content.get("@graph")
        if not isinstance(graph, list):
            self._break(self.manifest, "has no @graph")
            return {}
        entities = entities_of(graph)
        if len(entities) != len(graph):
            self._find(self.manifest, f"{len(graph) - len(entities)} entities have no @id")
        counts = Counter(str(entity["@id"]) for entity in entities)
        for ident, count in counts.items():
            if count > 1:
                self._find(self.manifest, f"duplicate id {ident!r}")
        described: dict[str, Digest | None] = {}
        for entity in entities:
            ident, types = str(entity["@id"]), types_of(entity)
            for key, target in references_of(entity):
                if target not in counts and "://" not in target:
                    self._find(
                        self.manifest, f"dangling reference {target!r} in {key} of {ident!r}"
                    )
            if ACTIONS & set(types):
                self._check_action(entity)
            if "File" in types and not ident.startswith("#") and "://" not in ident:
                size, sha256 = str(entity.get("contentSize")), entity.get("sha256")
                whole = isinstance(sha256, str) and size.isdecimal() and len(size) < 20
                described[f"{self.about}{file_path(ident)}"] = (
                    Digest(int(size), str(sha256)) if whole else None
                )
        self._check_actions_of_jobs({str(entity["@id"]): entity for entity in entities})
        return described

    def _check_action(self, entity: Mapping[str, Any]) -> None:
        ident, status = entity["@id"], entity.get("actionStatus")
        if status not in STATUS.values():
            self._find(self.manifest, f"wrong status {status!r} of {ident!r}")
        if entity.get("error") and status == STATUS["completed"]:
            self._find(self.manifest, f"{ident!r} is completed and has an error")
        if out_of_order(entity.get("startTime"), entity.get("endTime")):
            self._find(self.manifest, f"times out of order: {ident!r} ends before it starts")

    def _check_actions_of_jobs(self, entities: Mapping[str, Mapping[str, Any]]) -> None:
        """Compare the status of each job's action with the job's own record."""
        for record in self.records:
            action = entities.get(job_id(record.key))
            if action is None or record.step == "results":  # recorded after the manifest
                continue
            failed = action.get("actionStatus") == STATUS["failed"]
            job, file = record.key.name, record.file
            if not failed and record.status == "failed":
                self._find(self.manifest, f"{job} is not failed, but {file} says so")
            made = [i for k, i in references_of(action) if k == "result" and i[:5] != "#job/"]
            if failed and record.status == "completed" and made:
                self._find(self.manifest, f"{job} is failed, but {file} says completed")

    def _find_orphans(self, kept: list[Any]) -> None:
        own = is_dataset(self.folder)
        for path in sorted(self._files(own)):
            name = path.relative_to(self.folder).as_posix()
            is_log = name.startswith(f"{LOGS}/") and path.suffix in _LOG_SUFFIXES
            by_hand = own and made_by_hand().fullmatch(name)
            known = name in self.expected or name in _UNRECORDED or is_log or by_hand
            if known or is_left_by_system(path.name):
                continue
            judged = _INSPECTED.fullmatch(name)
            if judged and f"{judged[1]}.csv" in self.expected:
                _, stale = find_verdicts(self.folder / f"{judged[1]}.csv")
                if stale and name.endswith("_inspected.csv"):
                    self._note(name, f"a person's verdicts are not used: {stale}")
                continue
            if name == REPORT_NAME and not own:
                self.report.note(name, "not checked: it was made again by no job of a run")
                continue
            if any(map(is_temporary, PurePosixPath(name).parts)):
                self.report.note(name, "not checked: half written, by a writer at work or dead")
                continue
            if kept_kind(name) not in (None, *kept):
                self._note(name, "not checked: no record speaks of it any more; it is not kept")
                continue
            self._find(name, "orphan: no record speaks of it")

    def _files(self, own: bool) -> Iterator[Path]:
        """Yield the files of the folder; of an output folder only those outside its datasets."""
        for where, folders, names in os.walk(self.folder):
            if not own and Path(where) == self.folder:
                folders[:] = [name for name in folders if name == LOGS]
            for name in names:
                yield Path(where) / name


def _check_against_runs(places: list[_Place], runs: list[RunFolder]) -> None:
    """Compare the records of jobs with what the jobs told their runs: they are made from that."""
    told: dict[tuple[str, str], list[tuple[dict[str, Any], str]]] = {}
    unended: dict[tuple[str, str], set[str]] = {}
    for run in runs:
        for path in sorted((run.path / "jobs").glob("*/attempt-*.jsonl")):
            events = read_events(path)
            begun = next((e for e in events if e["type"] == "job_started"), dict[str, Any]())
            ended = next((e for e in reversed(events) if e["type"] in ENDS), dict[str, Any]())
            if begun and not ended:
                key, dataset = _record_of(begun)
                unended.setdefault((dataset, key), set()).add(run.id)
            if not {"outputs", "kind", BEFORE} & ended.keys():
                continue  # killed, stopped, or not tried again: nothing was written
            text = record_text(begun, ended)
            key, dataset = _record_of(begun)
            told.setdefault((dataset, key), []).append((json.loads(text), text))
    known = {run.id for run in runs}
    for place in places:
        for (dataset, file), attempts in sorted(told.items()):
            if dataset == (place.folder.name if is_dataset(place.folder) else ""):
                place.check_record(file, attempts, known, unended.get((dataset, file), ()))


def _record_of(begun: Mapping[str, Any]) -> tuple[str, str]:
    """Return the name of a job's record relative to the dataset's folder, and the dataset."""
    named = mapping_of(begun.get("wildcards"))
    channel = f"_ch_{named['channel']}" if "channel" in named else ""
    step = str(begun.get("step") or step_of_rule(str(begun.get("rule"))))
    feature = f"_{named['feature']}" if "feature" in named else ""
    folder = f"{LOGS}/fov_{named['fov']}" if "fov" in named else LOGS
    if "sample" in named:
        folder = f"{LOGS}/{ANALYSIS}/{named['sample']}"
    return f"{folder}/{step}{feature}{channel}.json", str(named.get("dataset", ""))


def _compare(
    places: list[_Place], report: Report, advance: Callable[[int, int], object] | None
) -> None:
    """Compare the files of all places with what they should be."""
    todo: list[tuple[_Place, str, Path, str, list[tuple[str, Digest]]]] = []
    for place in places:
        for path, recorded in sorted(place.expected.items()):
            file, name = place.folder / path, f"{place.prefix}{path}"
            if file.is_file() and recorded:
                todo.append((place, path, file, name, recorded))
            elif file.is_file():
                report.note(name, "not checked: no checksum was recorded")
            elif path not in place.optional:
                source = recorded[0][0] if recorded else "a record"
                report.find(name, f"missing; {source} says that it was made")
                report.damaged.append(place.damage(path))
    total = sum(file.stat().st_size for _, _, file, _, _ in todo)
    for place, path, file, name, recorded in todo:
        try:
            digest = digest_of(file, each=lambda piece: advance and advance(len(piece), total))
        except OSError as error:
            report.find(name, f"cannot be read: {error.strerror or error}")
            report.damaged.append(place.damage(path))
            continue
        report.files += 1
        report.bytes += digest.bytes
        if digest not in (known for _, known in recorded):
            report.damaged.append(place.damage(path, digest))
        source, known = next((pair for pair in recorded if pair[1] != digest), ("", digest))
        if known.bytes != digest.bytes:
            report.find(name, f"has {digest.bytes} bytes where {source} says {known.bytes}")
        elif known != digest:
            now, then = f"SHA-256 {digest.sha256[:16]}…", f"{known.sha256[:16]}…"
            report.find(name, f"its content was changed: {now} where {source} says {then}")


def _is_dated(folder: Path, path: str, record: JobRecord) -> bool:
    """Tell whether an output has the time that its record tells."""
    with suppress(OSError, ValueError):
        return (folder / path).stat().st_mtime_ns == record.times.get(path)
    return False
