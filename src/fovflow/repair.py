"""Make outputs again that are damaged or gone, byte for byte, and leave all others as they are."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fovflow.adapter.outcome import report_options, update_manifest, write_dataset_results
from fovflow.atomic import Digest, digest_of, write_text
from fovflow.driver import run
from fovflow.errors import FovflowError
from fovflow.events import FINAL, plain_values
from fovflow.jobrecord import JobRecord, read_record, read_records
from fovflow.layout import PLAN_NAME, REPORT_NAME, RESULTS_NAME
from fovflow.planning.header import RawHeader
from fovflow.planning.pipeline import Pipeline
from fovflow.records import read_json_object
from fovflow.runs.checks import Damage, Report
from fovflow.runs.crate import FILE_NAME
from fovflow.runs.provenance import FOLDER
from fovflow.runs.store import run_at_work
from fovflow.runs.verify import verify
from fovflow.stages import STAGES, position

HOLD = ".repair.part"
"""Folder in the output folder that holds files meanwhile. A repair that was killed leaves it."""

_NO_DATASET = "its dataset is not in the configuration"
_OF_SAMPLES = "it is made of the samples: remove it, and fovflow run makes it"


@dataclass(slots=True)
class Repair:
    """What became of damaged files, by name: in words, and whether they are whole now."""

    made: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    report: Report | None = None
    """What `fovflow.runs.verify.verify` says now; None where nothing was to be touched."""


def repair(config: Mapping[str, Any], *, dry_run: bool = False, cores: int | str = "all") -> Repair:
    """Make the damaged and missing outputs of a configuration again.

    A damaged file is set aside, made again by the pipeline, and let go of once the new one has the
    recorded digest; else it is put back. Of files that jobs write besides, the old ones stay.

    Parameters
    ----------
    config : mapping
        The configuration that the outputs were made with.
    dry_run : bool
        Only tell what would be done.
    cores : int or str
        As for `fovflow.driver.run`.

    Raises
    ------
    FovflowError
        If there are no results, or a run is at work on them.
    """
    pipeline = Pipeline(config, is_main=False)
    outdir, done = Path(pipeline.config.outdir), Repair()
    _check_alone(outdir)
    hold = _Hold(outdir)
    if not dry_run:
        hold.put_back(replace=False)
    records = [damage for damage in verify(outdir).damaged if damage.text is not None]
    for damage in records:
        done.made[damage.name] = "a job's record; written again from the events of its run"
        if not dry_run and damage.text is not None:
            write_text(damage.path, damage.text)
    damaged = [damage for damage in verify(outdir).damaged if damage.text is None]
    jobs = _Jobs(pipeline, damaged, done)
    if not dry_run and jobs.targets:
        for job in jobs.needed.values():
            hold.take(job, {damage.path for damage in jobs.targets.values()})
        hold.set_aside(damage.path for damage in jobs.targets.values())
        try:
            targets = sorted(jobs.targets)
            options = ["--rerun-triggers", "mtime", "--keep-going"]
            run(config, targets=targets, cores=cores, quiet=True, options=options)
        finally:
            _settle(jobs, hold, done)
    _remake_records(pipeline, jobs.others, done, dry_run=dry_run)
    if not dry_run:
        done.report = verify(outdir)
    return done


def _check_alone(outdir: Path) -> None:
    at_work = run_at_work(outdir)
    if at_work is not None and at_work.status() not in FINAL:
        raise FovflowError(
            f"a run is at work on {outdir}", found=at_work.id, remedy="wait until it has ended"
        )


class _Job:
    """A job that has to be done again: its record, and its dataset's folder."""

    def __init__(self, folder: Path, record: JobRecord):
        self.folder, self.record, self.file = folder, record, folder / record.file
        self.paths = [folder / name for name in record.outputs]

    def reproduced(self) -> bool:
        """Tell whether the job has been done again and its outputs have the same digests."""
        new = read_record(self.file, self.folder)
        return (
            new is not None
            and new.status == "completed"
            and (new.run, new.started) != (self.record.run, self.record.started)
            and new.outputs == self.record.outputs
        )


class _Jobs:
    """Which jobs make the damaged files again, and which files cannot be made again.

    Attributes
    ----------
    targets : dict of str to Damage
        By the name that the workflow knows.
    needed : dict of Path to _Job
        Jobs by their records.
    others : list of Damage
        Files that are written from the records, without a job.
    """

    def __init__(self, pipeline: Pipeline, damaged: list[Damage], done: Repair):
        self.pipeline = pipeline
        self.targets: dict[str, Damage] = {}
        self.needed: dict[Path, _Job] = {}
        self.others: list[Damage] = []
        self._gone = {damage.path for damage in damaged}
        self._raw: dict[str, str] = {}
        self._makers: dict[str, dict[Path, _Job]] = {}
        for damage in damaged:
            written = damage.path.name in (RESULTS_NAME, FILE_NAME, REPORT_NAME)
            if written or FOLDER in damage.path.relative_to(pipeline.layout.outdir).parts[1:-1]:
                self.others.append(damage)
                continue
            needed: dict[Path, _Job] = {}
            reason = self._refusal(damage.dataset, damage.path, needed)
            if reason:
                done.refused[damage.name] = f"cannot be made again: {reason}"
                continue
            self.needed |= needed
            folder = pipeline.layout.dataset(damage.dataset)
            place = damage.path.relative_to(folder).as_posix()
            self.targets[f"{folder}/{place}"] = damage
            steps = sorted({job.record.step for job in needed.values()}, key=position)
            by = ", ".join(steps) or "planning"
            done.made[damage.name] = f"{_in_words(damage)}; made again by {by}"

    def _refusal(self, dataset: str, path: Path, needed: dict[Path, _Job]) -> str:
        """Return why a file cannot be made again; collect the jobs that it takes."""
        job = self._maker(dataset, path)
        if dataset not in self.pipeline.datasets or path.name == PLAN_NAME:
            return self._raw_refusal(dataset)
        if job is None or job.file in needed:
            return "no record tells which job made it" if job is None else ""
        needed[job.file] = job
        if reason := self._change(dataset, job.record):
            return reason
        if job.record.step in STAGES and STAGES[job.record.step].reads_raw:
            return self._raw_refusal(dataset)
        sources = [Path(os.path.normpath(job.folder / name)) for name in job.record.inputs]
        for source in sources:
            absent = source in self._gone or not source.exists()
            if absent and (reason := self._refusal(dataset, source, needed)):
                return f"{source.name} is needed, and {reason}"
        return ""

    def _change(self, dataset: str, record: JobRecord) -> str:
        """Return what the configuration has today that is not as it was when the job was done."""
        fov = int(record.key.fov) if record.key.fov else None
        if fov is not None and fov not in self.pipeline.datasets[dataset].fovs:
            return f"FOV {fov} is not among those of the configuration"
        if record.step not in self.pipeline.stages:
            return f"the configuration has no step {record.step}"
        today = plain_values(self.pipeline.parameters(record.step, dataset, fov))
        same = record.options == today
        return "" if same else f"{record.step} had other parameters than the configuration has"

    def _maker(self, dataset: str, path: Path) -> _Job | None:
        if dataset not in self._makers:
            folder = Path(self.pipeline.layout.dataset(dataset))
            jobs = [_Job(folder, record) for record in read_records(folder, complete=True)]
            self._makers[dataset] = {made: job for job in jobs for made in job.paths}
        return self._makers[dataset].get(path)

    def _raw_refusal(self, dataset: str) -> str:
        """Return why the raw data are of no use: gone, or changed since they were copied."""
        if dataset not in self.pipeline.datasets:
            return _NO_DATASET if dataset else _OF_SAMPLES
        if dataset not in self._raw:
            raw = self.pipeline.config.dataset(dataset)
            plan = read_json_object(self.pipeline.layout.plan(dataset))
            self._raw[dataset] = ""
            try:
                header = RawHeader.read(raw.path, raw.pattern, raw.axes)
            except FovflowError as error:
                self._raw[dataset] = f"the raw data cannot be read: {error}"
            else:
                known = plan.get("fingerprint", header.fingerprint)
                intact = Path(self.pipeline.layout.plan(dataset)) not in self._gone
                if intact and known != header.fingerprint:
                    self._raw[dataset] = "the raw data have changed since they were copied"
        return self._raw[dataset]


def _in_words(damage: Damage) -> str:
    """Return what is wrong with a file, by the digests."""
    if damage.found is None or not damage.expected:
        return "it is gone or cannot be read"
    now, then = damage.found, damage.expected[0]
    return (
        f"found {now.bytes} bytes, SHA-256 {now.sha256[:16]}…; recorded {then.bytes} bytes, "
        f"{then.sha256[:16]}…"
    )


class _Hold:
    """Files that are kept meanwhile in a folder of their own, under their names in `outdir`."""

    def __init__(self, outdir: Path):
        self.outdir, self.folder = outdir, outdir / HOLD

    def of(self, path: Path) -> Path:
        """Return where a file is held."""
        return self.folder / path.relative_to(self.outdir)

    def take(self, job: _Job, damaged: Iterable[Path]) -> None:
        """Keep the other outputs of a job and its record: the engine removes them first."""
        for path in (*job.paths, job.file):
            if path not in damaged and path.exists() and not self.of(path).exists():
                self.of(path).parent.mkdir(parents=True, exist_ok=True)
                try:
                    os.link(path, self.of(path))
                except OSError:  # a file system without hard links
                    shutil.copy2(path, self.of(path))

    def set_aside(self, paths: Iterable[Path]) -> None:
        """Move damaged files here."""
        for path in paths:
            if path.exists():
                self.of(path).parent.mkdir(parents=True, exist_ok=True)
                path.replace(self.of(path))

    def put_back(self, *, replace: bool = True) -> None:
        """Put every file that is still held back where it was; the folder goes.

        `replace`: whether also where there is one: after a repair that was killed, it is newer.
        """
        for held in sorted(self.folder.rglob("*")) if self.folder.exists() else ():
            path = self.outdir / held.relative_to(self.folder)
            if held.is_file() and (replace or not path.exists()):
                path.parent.mkdir(parents=True, exist_ok=True)
                held.replace(path)
        shutil.rmtree(self.folder, ignore_errors=True)


def _settle(jobs: _Jobs, hold: _Hold, done: Repair) -> None:
    """Let go of damaged files that were made again, and put all others back."""
    again = {file: job for file, job in jobs.needed.items() if job.reproduced()}
    whole = {path for job in again.values() for path in job.paths}
    for damage in jobs.targets.values():
        held, plan = hold.of(damage.path), damage.path.name == PLAN_NAME
        if damage.path in whole or (plan and _digest(damage.path) in damage.expected):
            if held.exists():
                done.made[damage.name] += f"; {where_different(held, damage.path)}"
                held.unlink()
            _date(damage.path, jobs)
        else:
            done.refused[damage.name] = (
                f"{done.made.pop(damage.name)}; it did not come out as it was recorded, and is as "
                "before: fovflow status and the logs of these jobs tell more"
            )
    for file in again:
        hold.of(file).unlink(missing_ok=True)  # the new record stays
    hold.put_back()


def _digest(path: Path) -> Digest | None:
    try:
        return digest_of(path)
    except OSError:
        return None


def _date(path: Path, jobs: _Jobs) -> None:
    """Date a file like the newest that it was made from, so that what was made of it is newer."""
    makers = [job for job in jobs.needed.values() if path in job.paths]
    times = [
        source.stat().st_mtime_ns
        for job in makers
        for name in job.record.inputs
        if (source := job.folder / name).exists()
    ]
    if not makers:
        outputs = path.parent.glob("fov_*/*")
        times = [min((p.stat().st_mtime_ns for p in outputs), default=path.stat().st_mtime_ns)]
    if times:
        os.utime(path, ns=(max(times), max(times)))


def where_different(first: Path, second: Path) -> str:
    """Return in words which bytes of two files differ."""
    import numpy as np

    low, high, count, start = -1, -1, 0, 0
    with first.open("rb") as one, second.open("rb") as other:
        while (pieces := sorted([one.read(1 << 20), other.read(1 << 20)], key=len))[1]:
            a, b = (np.frombuffer(piece, np.uint8) for piece in pieces)
            differ = np.append(a != b[: a.size], np.ones(b.size - a.size, bool))
            if (places := np.flatnonzero(differ)).size:
                low = low if count else start + int(places[0])
                high, count = start + int(places[-1]), count + places.size
            start += b.size
    if not count:
        return "no byte of it differed"
    return f"byte {low} differed" if count == 1 else f"bytes {low} to {high}: {count} differed"


def _remake_records(
    pipeline: Pipeline, damaged: list[Damage], done: Repair, *, dry_run: bool
) -> None:
    """Write results files, manifests and the report again, from the records."""
    for damage in sorted(damaged, key=lambda one: one.path.name != RESULTS_NAME):
        words = f"{_in_words(damage)}; written again from the records"
        of_all = Path(pipeline.layout.analysis("")) in damage.path.parents
        known = of_all or damage.dataset in pipeline.datasets
        if not known and damage.path.name != REPORT_NAME:
            done.refused[damage.name] = _NO_DATASET
            continue
        if not dry_run:
            _write_again(pipeline, damage)
            now = _digest(damage.path)
            if damage.expected and now not in damage.expected:
                words += ", not byte for byte: what it tells has changed since"
        done.made[damage.name] = words


def _write_again(pipeline: Pipeline, damage: Damage) -> None:
    if damage.path.name == RESULTS_NAME:
        write_dataset_results(pipeline, damage.dataset)
    elif damage.path.name == REPORT_NAME:
        from fovflow.report import write_report

        options = report_options(pipeline)
        page = Path(pipeline.layout.report())
        write_report(page, page.parent, options["datasets"], options["problems"])
    else:
        with suppress(FileNotFoundError):
            damage.path.unlink()
        update_manifest(pipeline, damage.dataset)
