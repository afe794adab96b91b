"""Where a file comes from, and what was made from it: by jobs, scripts and executions."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from fovflow.atomic import sha256_or_none
from fovflow.errors import FovflowError
from fovflow.events import read_events
from fovflow.jobrecord import JobRecord, read_records
from fovflow.layout import LOGS, PLAN_NAME, STAMP_NAME
from fovflow.records import mapping_of, read_json_object
from fovflow.runs.assets import is_of_script
from fovflow.runs.datasets import FOLDER, told_files
from fovflow.runs.history import RecordedRun, recorded_run
from fovflow.runs.state import RunState, join_attempts, last_attempts
from fovflow.runs.store import list_runs
from fovflow.stages import STAGES
from fovflow.states import given_to

_SHOWN = ("status", "parameters", "run", "attempt", "host", "started", "ended")


@dataclass(slots=True)
class Step:
    """One job, or a script's run, on the way to or from a file."""

    job: str
    """Its step, FOV and channel in words; kind and name of a script's run; ``raw data`` for the
    start."""
    depth: int
    """Number of jobs between it and the file."""
    record: JobRecord | None = None
    script: RecordedRun | None = None
    outputs: dict[str, str | None] = field(default_factory=dict)
    """SHA-256 by name relative to the dataset's folder, where it is known, as in `inputs`."""
    inputs: dict[str, str | None] = field(default_factory=dict)

    @property
    def parameters(self) -> Any:
        """What it did its work with; None where that is not known."""
        return self.script.parameters if self.script else self.record and self.record.options

    def to_json(self) -> dict[str, Any]:
        """Return the step as plain values."""
        known: dict[str, Any] = {}
        if script := self.script:
            known = {**script.record, "status": script.status, "run": script.id, "attempt": None}
        elif record := self.record:
            known = {key: getattr(record, key) for key in _SHOWN if key != "parameters"}
        known["parameters"] = self.parameters
        return {
            "job": self.job,
            "depth": self.depth,
            **{key: known.get(key) for key in _SHOWN},
            **{key: known.get(key) or None for key in ("run", "attempt", "host")},
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
        told = read_records(folder, complete=True)
        found = {record.file: record for record in (*told, *join_attempts(told, attempts))}
        self.records = [record for file, record in found.items() if file]
        self.maker: dict[str, JobRecord] = {}
        self.users: dict[str, list[JobRecord]] = {}
        for record in self.records:
            for path in record.outputs:
                self.maker[path] = record
            for path in record.inputs:
                self.users.setdefault(path, []).append(record)
        self._take_kept(folder.parent)

    def _take_kept(self, outdir: Path) -> None:
        """Take what `fovflow.Run` kept inside of jobs for outputs of them, also of earlier runs."""
        own = {(record.run, record.job, record.attempt): record for record in self.records}
        for place in sorted(outdir.glob("runs/*/jobs/*/attempt-*/")):
            run, (_, number) = place.parents[2], place.name.split("-", 1)
            job = place.parent.name, int(number) if number.isdecimal() else 0
            state = RunState(files=True)
            for event in read_events(place.with_suffix(".jsonl")):
                state.feed(event, job)
            found = state.jobs.get(job)
            if found is None or found.dataset != self.folder.name:
                continue
            found.run, found.file = run.name, os.fspath(place)
            record = own.get((run.name, *job), found)
            for asset in state.assets:
                if asset.category == "output" and not asset.misplaced(run):
                    name = f"../runs/{run.name}/{asset.path}"
                    record.outputs[name], self.maker[name] = asset.digest, record

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


class Scripts:
    """The runs of scripts in an output folder, with the files that they read and made.

    Files have names relative to that folder, others their absolute path.
    """

    def __init__(self, outdir: Path):
        self.outdir = outdir
        runs = map(recorded_run, list_runs(outdir))
        self.runs = {run.id: run for run in runs if is_of_script(run.record)}
        self.makes = {ident: self._outputs(run) for ident, run in self.runs.items()}
        self.reads = {
            ident: self._inputs(run) | self._members(run) for ident, run in self.runs.items()
        }

    def name(self, path: Path) -> str:
        """Return the name of a file."""
        real, base = _real(path), _real(self.outdir)
        return real.relative_to(base).as_posix() if real.is_relative_to(base) else os.fspath(real)

    def _inputs(self, run: RecordedRun) -> dict[str, str | None]:
        worked = Path(str(run.record.get("working_directory") or "."))
        found = {
            self.name(worked / str(item.get("path"))): item.get("sha256") or item.get("digest")
            for item in run.inputs
        }
        code = mapping_of((run.record.get("workflow") or {}).get("files"))
        for file, digest in code.items():
            found[self.name(worked / str(file))] = digest
        return {name: sha if isinstance(sha, str) else None for name, sha in found.items()}

    def _members(self, run: RecordedRun) -> dict[str, str | None]:
        """Return files of datasets that a run was given, and of others of which it made some."""
        worked = Path(str(run.record.get("working_directory") or "."))
        given = (worked / str(item.get("path")) for item in run.inputs if item.get("dataset"))
        found = {self.name(path): sha for record in given for path, sha in told_files(record)}
        made = (run.path / FOLDER).glob("*.json")
        others = {self.name(path): sha for record in made for path, sha in told_files(record)}
        return found | {n: sha for n, sha in others.items() if n not in self.makes[run.id]}

    def _outputs(self, run: RecordedRun) -> dict[str, str | None]:
        found = dict[str, str | None]()
        for asset in run.assets:
            if asset.category == "output":
                found[f"runs/{run.id}/{asset.path}"] = asset.sha256
                if asset.mode == "link":
                    found[self.name(run.path / asset.path)] = asset.sha256
        return found

    def step(self, ident: str, depth: int) -> Step:
        """Return a run as a step of a lineage."""
        run = self.runs[ident]
        inputs, outputs = self.reads[ident], self.makes[ident]
        words = f"{run.kind} {run.name}"
        return Step(words, depth, script=run, inputs=inputs, outputs=outputs)

    def forward(self, files: Mapping[str, str | None], depth: int) -> Iterator[Step]:
        """Yield the runs that read the files, or what was made of them by other runs."""
        seen = set[str]()
        while found := [ident for ident in _with(files, self.reads) if ident not in seen]:
            seen.update(found)
            files = {name: sha for ident in found for name, sha in self.makes[ident].items()}
            yield from (self.step(ident, depth) for ident in found)
            depth += 1

    def back(self, files: Mapping[str, str | None], depth: int) -> Iterator[Step]:
        """Yield the runs that made the files and what they read, and the jobs before them."""
        seen = set[str]()
        yield from self._jobs(files, depth)
        while found := [ident for ident in _with(files, self.makes) if ident not in seen]:
            seen.update(found)
            yield from (self.step(ident, depth) for ident in found)
            files = {name: sha for ident in found for name, sha in self.reads[ident].items()}
            depth += 1
            yield from self._jobs(files, depth)

    @cached_property
    def datasets(self) -> list[Records]:
        """The folders of the output folder that have records of jobs."""
        return [Records(path.parent) for path in sorted(self.outdir.glob(f"*/{LOGS}"))]

    def _jobs(self, files: Mapping[str, str | None], depth: int) -> Iterator[Step]:
        """Yield the jobs of datasets that made the files, and those before them."""
        for known in self.datasets:
            place = f"{known.folder.name}/"
            for name in files:
                path = name.removeprefix(place) if name.startswith(place) else f"../{name}"
                if path in known.maker:
                    for step in _back(known, path):
                        step.depth += depth
                        yield step


def _real(path: str | os.PathLike[str]) -> Path:
    """Return a path without links, whatever a record has for one."""
    return Path(os.path.realpath(os.fspath(path).replace("\0", "")))


def _with(files: Mapping[str, str | None], of_runs: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the runs with one of the files: by its name, else, as it was moved, by content."""
    named, moved = dict[str, list[str]](), dict[tuple[str, str], list[str]]()
    for ident, some in of_runs.items():
        for name, sha in some.items():
            named.setdefault(name, []).append(ident)
            if sha:
                moved.setdefault((name.rpartition("/")[2], sha), []).append(ident)
    found = set[str]()
    for name, sha in files.items():
        found.update(named.get(name) or moved.get((name.rpartition("/")[2], sha or "")) or [])
    return [ident for ident in of_runs if ident in found]


def trace(file: str | os.PathLike[str], outdir: str | os.PathLike[str] = "results") -> Lineage:
    """Return where a file comes from and what was made from it.

    It is an output of a job, of an execution or of a script's run, or what they were given: raw
    data, a dark frame, a script. It need not exist any more.

    `outdir`: the output folder in which it is looked for, where it does not lie in one. Raises
    FovflowError if no job and no script made or used it.
    """
    path = Path(os.path.abspath(file))  # noqa: PTH100  (links are kept)
    found = (parent for parent in path.parents if _has_records(parent))
    folder = next((at for at in found if path.relative_to(at).parts[0] != "runs"), None)
    if folder is not None:
        return _trace_output(folder, path.relative_to(folder).as_posix())
    runs = [parent.parent for parent in path.parents if parent.name == "runs"]
    scripts = Scripts(runs[0] if runs else Path(outdir))
    files = {os.fspath(_real(path)): None, scripts.name(path): sha256_or_none(path)}
    back, forward = list(scripts.back(files, 0)), list(_users_of_given(path, files, scripts))
    if not (back or forward):
        raise FovflowError(
            f"no job and no script in {scripts.outdir} made or used {file}",
            found="no records of it" if scripts.outdir.is_dir() else "there is no such folder",
            remedy="give a file of a dataset's folder, an output of an execution, raw data or a "
            "script; and the output folder with --outdir",
        )
    sha256 = next((sha for sha in files.values() if sha), None)
    return Lineage(os.fspath(file), "", sha256, back, forward)


def _trace_output(folder: Path, path: str) -> Lineage:
    """Return the lineage of a file in a dataset's folder."""
    known, scripts = Records(folder), Scripts(folder.parent)
    sha256 = known.sha256(path)
    file = {f"{folder.name}/{path}": sha256}
    users = list(_walk(known, path, 1, known.users, lambda record: record.outputs))
    made = _made(folder, users)
    forward = [*users, *scripts.forward(file | made, 1 + max((s.depth for s in users), default=0))]
    if path not in known.maker and not forward and path != PLAN_NAME:
        raise FovflowError(
            f"no job made or used {folder / path}",
            found=f"{len(known.maker)} files in the records of {folder}",
            remedy="name an output of the pipeline; outputs of old versions have no records",
        )
    return Lineage(path, folder.name, sha256, list(_back(known, path)), forward)


def _made(folder: Path, steps: Iterable[Step]) -> dict[str, str | None]:
    """Return what jobs of a dataset made, by name relative to the output folder."""
    named = ((name, sha) for step in steps for name, sha in step.outputs.items())
    return {os.path.normpath(f"{folder.name}/{name}"): sha for name, sha in named}


def _users_of_given(
    path: Path, files: Mapping[str, str | None], scripts: Scripts
) -> Iterator[Step]:
    """Yield what used a file that no job made: jobs that were given it, and scripts."""
    digests, made = {sha for sha in files.values() if sha}, dict(files)
    for known in scripts.datasets:
        folder = known.folder
        stamp = read_json_object(folder / STAMP_NAME).get("path")
        is_raw = isinstance(stamp, str) and _real(stamp) == _real(path)
        first = [r for r in known.records if _was_given(r, path, digests, is_raw=is_raw)]
        users = {"": first, **known.users}
        for step in _walk(known, "", 1, users, lambda record: record.outputs):
            step.job = f"{folder.name}: {step.job}"
            made |= _made(folder, [step])
            yield step
    yield from scripts.forward(made, 1)


def _was_given(record: JobRecord, path: Path, digests: set[str], *, is_raw: bool) -> bool:
    """Tell whether a job read a file of the user's: raw data, a script, or another by content."""
    stage, options = STAGES.get(record.step), record.options
    if is_raw and stage is not None and stage.reads_raw:
        return True
    if not isinstance(options, Mapping):
        return False
    known = [options.get("sha256"), *given_to(record).values()]
    script = options.get("script")
    return any(isinstance(one, str) and one in digests for one in known) or (
        isinstance(script, str) and _real(script) == _real(path)
    )


def _has_records(folder: Path) -> bool:
    """Tell whether a folder is one of a dataset with records of jobs, or has such of its own."""
    return (folder / LOGS).is_dir() and any((folder / LOGS).rglob("*.json"))


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
    name = f"{lineage.dataset}/{lineage.file}" if lineage.dataset else lineage.file
    lines = [name, f"  SHA-256 {lineage.sha256 or 'not recorded'}"]
    lines += ["comes from:"] if lineage.back else ["comes from: nothing that is recorded"]
    for step in lineage.back:
        lines += _step_lines(step)
    if lineage.forward:
        lines.append("used by:")
        for step in lineage.forward:
            lines.append(f"  {step.job} → {', '.join(_names(step.outputs)) or 'nothing'}")
    return lines


def _step_lines(step: Step) -> Iterator[str]:
    if run := step.script:
        yield f"  {step.job}: run {run.id}, {run.record.get('ended') or run.status}"
    elif step.record:
        yield f"  {step.job}{_when(step.record)}"
    else:
        ((path, digest),) = step.outputs.items()
        yield f"  {step.job}: {path}"
        yield f"    digest {digest or 'not recorded'}"
    if step.parameters:
        yield f"    parameters {json.dumps(step.parameters, ensure_ascii=False)}"
    if step.inputs:
        yield f"    from {', '.join(_names(step.inputs))}"


def _when(record: JobRecord) -> str:
    if not record.run:
        return ""
    at = f", {record.ended}" if record.ended else ""
    host = f" on {record.host}" if record.host else ""
    return f": run {record.run}, attempt {record.attempt}{at}{host}"


def _names(files: dict[str, str | None]) -> list[str]:
    names = list(dict.fromkeys(path.rpartition("/")[2] for path in files))
    return names if len(names) <= 10 else [*names[:10], f"{len(names) - 10} more"]
