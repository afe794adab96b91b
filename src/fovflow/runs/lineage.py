"""Where a file comes from, and what was made from it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fovflow.errors import FovflowError
from fovflow.jobrecord import JobRecord, read_records
from fovflow.layout import LOGS, PLAN_NAME, STAMP_NAME
from fovflow.records import read_json_object
from fovflow.runs.state import join_attempts, last_attempts


@dataclass(slots=True)
class Step:
    """One job on the way to or from a file."""

    job: str
    """Its step, FOV and channel in words; ``raw data`` for the start."""
    depth: int
    """Number of jobs between it and the file."""
    record: JobRecord | None = None
    outputs: dict[str, str | None] = field(default_factory=dict)
    """SHA-256 by name relative to the dataset's folder, where it is known, as in `inputs`."""
    inputs: dict[str, str | None] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the step as plain values."""
        record = self.record
        return {
            "job": self.job,
            "depth": self.depth,
            "status": record and record.status,
            "parameters": record and record.options,
            "run": (record and record.run) or None,
            "attempt": (record and record.attempt) or None,
            "host": (record and record.host) or None,
            "started": record and record.started,
            "ended": record and record.ended,
            "inputs": self.inputs,
            "outputs": self.outputs,
        }


@dataclass(slots=True)
class Lineage:
    """A file's origin and use: `back` ends at the raw data, `forward` at what nothing uses."""

    file: str
    dataset: str
    sha256: str | None
    back: list[Step]
    forward: list[Step]

    def to_json(self) -> dict[str, Any]:
        """Return the lineage as plain values."""
        return {
            "file": self.file,
            "dataset": self.dataset,
            "sha256": self.sha256,
            "back": [step.to_json() for step in self.back],
            "forward": [step.to_json() for step in self.forward],
        }


class Records:
    """All records of one dataset's folder, by file."""

    def __init__(self, folder: Path):
        self.folder = folder
        attempts = last_attempts(folder.parent, folder.name)
        found = join_attempts(read_records(folder), attempts)
        self.records = [record for record in found if record.file]
        self.maker: dict[str, JobRecord] = {}
        self.users: dict[str, list[JobRecord]] = {}
        for record in self.records:
            for path in record.outputs:
                self.maker[path] = record
            for path in record.inputs:
                self.users.setdefault(path, []).append(record)

    def sha256(self, path: str) -> str | None:
        """Return the recorded SHA-256 of a file."""
        record = self.maker.get(path)
        digest = record.outputs[path] if record else None
        return digest.sha256 if digest else None

    def step(self, record: JobRecord, depth: int) -> Step:
        """Return a job as a step of a lineage."""
        return Step(
            job=record.key.words,
            depth=depth,
            record=record,
            outputs={path: d.sha256 if d else None for path, d in record.outputs.items()},
            inputs={path: self.sha256(path) for path in record.inputs},
        )

    def raw(self, depth: int) -> Step:
        """Return the raw data as the first step."""
        stamp, plan = (read_json_object(self.folder / name) for name in (STAMP_NAME, PLAN_NAME))
        return Step("raw data", depth, outputs={str(stamp.get("path")): plan.get("fingerprint")})


def trace(file: str | os.PathLike[str]) -> Lineage:
    """Return where a file of a dataset's folder comes from and what was made from it.

    It need not exist any more. Raises FovflowError if it lies in no such folder, or no job made or
    used it.
    """
    folder, path = _folder_of(Path(file))
    known = Records(folder)
    if path not in known.maker and path not in known.users and path != PLAN_NAME:
        raise FovflowError(
            f"no job made or used {file}",
            found=f"{len(known.maker)} files in the records of {folder}",
            remedy="name an output of the pipeline; outputs of old versions have no records",
        )
    return Lineage(
        file=path,
        dataset=folder.name,
        sha256=known.sha256(path),
        back=list(_back(known, path)),
        forward=list(_walk(known, path, 1, known.users, lambda record: record.outputs)),
    )


def _folder_of(file: Path) -> tuple[Path, str]:
    absolute = Path(os.path.abspath(file))  # noqa: PTH100  (links are kept)
    for parent in absolute.parents:
        if (parent / LOGS).is_dir() and any((parent / LOGS).rglob("*.json")):
            return parent, absolute.relative_to(parent).as_posix()
    raise FovflowError(
        f"{file} lies in no folder of results",
        found="no records of jobs in the folders above it",
        remedy="give a file of a dataset's folder",
    )


def _back(known: Records, path: str) -> Iterator[Step]:
    """Yield the jobs that the file comes from, nearest first, and the raw data."""

    def sources(record: JobRecord) -> Iterable[str]:
        if record.inputs or record.key.step != "results":
            return record.inputs
        return [name for name, maker in known.maker.items() if maker is not record]

    makers = {name: [record] for name, record in known.maker.items()}
    depth = yield from _walk(known, path, 0, makers, sources)
    if path in known.maker or path == PLAN_NAME:
        yield known.raw(depth)


def _walk(
    known: Records,
    path: str,
    depth: int,
    jobs: Mapping[str, list[JobRecord]],
    files: Callable[[JobRecord], Iterable[str]],
) -> Generator[Step, None, int]:
    """Yield the jobs of a file and of the files of these jobs, nearest first, each once.

    Returns the depth beyond the last ones.
    """
    seen: set[str] = set()
    front = [path]
    while front:
        following: list[str] = []
        for record in (record for name in front for record in jobs.get(name, ())):
            if record.file not in seen:
                seen.add(record.file)
                yield known.step(record, depth)
                following += files(record)
        front, depth = following, depth + 1
    return depth


def format_lineage(lineage: Lineage) -> list[str]:
    """Return the lineage as lines for people."""
    lines = [f"{lineage.dataset}/{lineage.file}", f"  SHA-256 {lineage.sha256 or 'not recorded'}"]
    lines += ["comes from:"] if lineage.back else ["comes from: nothing that is recorded"]
    for step in lineage.back:
        lines += _step_lines(step)
    if lineage.forward:
        lines.append("used by:")
        for step in lineage.forward:
            lines.append(f"  {step.job} → {', '.join(_names(step.outputs)) or 'nothing'}")
    return lines


def _step_lines(step: Step) -> Iterator[str]:
    if step.record is None:
        ((path, digest),) = step.outputs.items()
        yield f"  {step.job}: {path}"
        yield f"    digest {digest or 'not recorded'}"
        return
    yield f"  {step.job}{_when(step.record)}"
    if step.record.options:
        yield f"    parameters {json.dumps(step.record.options, ensure_ascii=False)}"
    if step.inputs:
        yield f"    from {', '.join(_names(step.inputs))}"


def _when(record: JobRecord) -> str:
    if not record.run:
        return ""
    at = f", {record.ended}" if record.ended else ""
    host = f" on {record.host}" if record.host else ""
    return f": run {record.run}, attempt {record.attempt}{at}{host}"


def _names(files: dict[str, str | None]) -> list[str]:
    names = [path.rpartition("/")[2] for path in files]
    return names if len(names) <= 10 else [*names[:10], f"{len(names) - 10} more"]
