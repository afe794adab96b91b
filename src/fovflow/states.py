"""What every job and every FOV stands at: the one place that decides it.

Commands and runs that know the configuration ask with the jobs that it wants; readers of a folder
alone ask with the jobs that the last run wanted, which lie beside the records of jobs.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from fovflow.atomic import Digest, digest_of, sha256_or_none, write_text
from fovflow.events import plain_values
from fovflow.jobrecord import BEFORE, JobRecord, read_record
from fovflow.layout import WANTED_NAME, inspected, kept_kind, parse
from fovflow.records import mapping_of, read_json_object
from fovflow.stages import FILES, STAGES

CONTENT = "content"
"""Among a job's options: digests of what a user gives, such as raw data, by name."""


COMPLETE = {"status": "complete"}
"""The state of what is all there, and as wanted; see `state_of`."""

_GIVEN = {
    "raw": "the raw file",
    "dark": "the dark frame",
    "flat_field": "the flat-field",
    "inspected": "a person's verdicts",
    "model": "the network's weights",
    "description": "what stands beside the network",
}


class Wanted(NamedTuple):
    """What a job should have been made with: digests of its parameters and of users' files."""

    parameters: str
    content: str

    @classmethod
    def of(cls, options: Any) -> Wanted:
        """Return it of a job's options."""
        return cls.of_plain(plain_values(options))

    @classmethod
    def of_plain(cls, options: Any) -> Wanted:
        """Return it of options as a record holds them."""
        if not isinstance(options, dict):
            return cls(_short_digest(options), _short_digest(None))
        rest = {key: value for key, value in options.items() if key != CONTENT}
        return cls(_short_digest(rest), _short_digest(options.get(CONTENT)))


def _short_digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class WantedJob:
    """A job whose outputs there should be."""

    step: str
    record: str
    """Its record, relative to the dataset's folder."""
    wanted: Wanted
    outputs: tuple[str, ...]
    """Files that stay, relative to the dataset's folder."""
    makes: tuple[str, ...] = ()
    """All files that it makes."""
    inputs: tuple[str, ...] = ()
    """Files of the folder that it reads, where its parameters do not imply them."""

    def lacks(self, folder: Folder) -> list[str]:
        """Return which of the files that stay are not there and should be."""
        gone = [name for name in self.outputs if not folder.has(name)]
        if gone and folder.made_with(self.record) is not None:
            record = folder.record(self.record)
            known = record.outputs if record else ()
            gone = [n for n in gone if n in known or not ((f := parse(n)) and FILES[f.kind].added)]
        return gone


class _Read(NamedTuple):
    """A record as it was read: of which file, its last attempt, and the last complete one."""

    file: tuple[int, ...] | None
    last: JobRecord | None
    record: JobRecord | None
    wanted: Wanted | None


@dataclass(slots=True)
class Folder:
    """A dataset's folder, looked at once: records, files, and times of files that were compared.

    `read`: records that were read when it was looked at before; they are read again where their
    files are others now. `seg`: the channel in which cells are found, where it is known.
    """

    path: str
    read: dict[str, _Read] = field(default_factory=dict)
    seg: str = ""
    _known: dict[str, list[Any]] | None = None
    _reasons: dict[WantedJob, str] = field(default_factory=dict)
    _records: dict[str, _Read] = field(default_factory=dict)
    _listed: dict[str, dict[str, os.stat_result]] = field(default_factory=dict)
    _digests: dict[str, Digest | None] = field(default_factory=dict)
    _times: dict[tuple[str, Digest | None], Any] = field(default_factory=dict)

    def record(self, name: str) -> JobRecord | None:
        """Return the record of a job: of the last attempt that was complete, if one was."""
        return self._read(name).record

    def last(self, name: str) -> JobRecord | None:
        """Return the record of a job's last attempt; None without."""
        return self._read(name).last

    def made_with(self, name: str) -> Wanted | None:
        """Return what a job was made with, by its record; None where it is not complete."""
        return self._read(name).wanted

    def _read(self, name: str) -> _Read:
        if name not in self._records:
            state = self._stat(name)
            if state is None and _CORRECTED in name:  # in an earlier version, step correct made it
                found = self._read(name.replace(_CORRECTED, "/correct_ch_"))
                if found.record is not None and any(map(kept_kind, found.record.outputs)):
                    self._records[name] = found
                    return found
            file = state and (state.st_ino, state.st_mtime_ns, state.st_size)
            if name not in self.read or self.read[name].file != file:
                last = read_record(f"{self.path}/{name}") if file else None
                known = last and last.complete
                wanted = Wanted.of_plain(known.options) if known else None
                self.read[name] = _Read(file, last, known or last, wanted)
            found = self._records[name] = self.read[name]
            if found.record is not None and found.wanted is not None:
                self._digests.update(found.record.outputs)
                times = found.record.times
                self._times |= {each: times.get(each[0]) for each in found.record.outputs.items()}
        return self._records[name]

    @property
    def known(self) -> dict[str, list[Any]]:
        """``[time in ns, SHA-256]`` of files by name, from when they were compared last."""
        if self._known is None:
            known = read_json_object(f"{self.path}/{WANTED_NAME}")
            self._known = dict(mapping_of(known.get("compared")))
        return self._known

    def reason(self, job: WantedJob) -> str:
        """Return why a job has to be done again; see `reason_to_run`."""
        if job not in self._reasons:
            self._reasons[job] = reason_to_run(job, self)
        return self._reasons[job]

    def restore(self, job: WantedJob) -> None:
        """Write the record of a job's complete attempt again, where what it made is as wanted."""
        record, last = self.record(job.record), self.last(job.record)
        if record is not last and not self.reason(job):
            path = f"{self.path}/{job.record}"
            before = read_json_object(path)[BEFORE]
            write_text(path, json.dumps(before, ensure_ascii=False, indent=2) + "\n")

    def know(self, other: Folder, prefix: str) -> None:
        """Take what the records of a folder inside this one say of its files."""
        self._digests |= {f"{prefix}/{name}": digest for name, digest in other._digests.items()}

    def is_from(self, name: str, sha256: str) -> bool:
        """Tell whether a file that was read is still the one with that SHA-256."""
        if name not in self._digests:  # of no record that was read
            try:
                self._digests[name] = digest_of(f"{self.path}/{name}")
            except OSError:
                return False
        digest = self._digests[name]
        return digest is None or digest.sha256 == sha256

    def has(self, name: str) -> bool:
        """Tell whether a file is there."""
        return self._stat(name) is not None

    def size(self, name: str) -> int:
        """Return the bytes of a file; 0 where it is not there."""
        state = self._stat(name)
        return state.st_size if state else 0

    def holds(self, name: str, digest: Digest | None) -> bool:
        """Tell whether a file that is there is as recorded.

        Its content is read where its time is not that of its record, or of the last comparison.
        """
        state = self._stat(name)
        if state is None or digest is None:
            return True
        if state.st_size != digest.bytes:
            return False
        now = [state.st_mtime_ns, digest.sha256]
        made = self._times.get((name, digest))
        if made != state.st_mtime_ns and self.known.get(name) != now:
            try:
                if digest_of(f"{self.path}/{name}") != digest:
                    return False
            except OSError:
                return False
            self.known[name] = now
        return True

    def _stat(self, name: str) -> os.stat_result | None:
        folder, _, last = name.rpartition("/")
        if folder not in self._listed:
            found = self._listed[folder] = {}
            with suppress(OSError), os.scandir(f"{self.path}/{folder}") as entries:
                for entry in entries:
                    with suppress(OSError):
                        if entry.is_file():
                            found[entry.name] = entry.stat()
        return self._listed[folder].get(last)


def reason_to_run(job: WantedJob, folder: Folder) -> str:
    """Return why a job has to be done again, in words; empty where what it made is as wanted."""
    return next(_reasons(job, folder), "")


def _reasons(job: WantedJob, folder: Folder) -> Iterator[str]:
    record = folder.record(job.record)
    gone = [name.rpartition("/")[2] for name in job.lacks(folder)]
    if gone:
        more = f" and {len(gone) - 3} more" if len(gone) > 3 else ""
        yield f"missing: {', '.join(gone[:3])}{more}"
    now = folder.made_with(job.record)
    if record is None or now is None:
        yield "no record says what it was made with"
        return
    if now.parameters != job.wanted.parameters:
        yield "its parameters changed"
    if record.made_from is None:  # a record of an earlier version tells no more
        return
    if now.content != job.wanted.content or _is_judged_anew(job, record, folder):
        names = [_GIVEN.get(name, name) for name in given_to(record)]
        yield f"the content of {' or '.join(names) or 'a file that it reads'} changed"
    for name, sha256 in record.made_from.items():
        if not folder.is_from(name, sha256):
            yield f"made from another {name.rpartition('/')[2]}"
    of_cells = [name for name in record.made_from if "_seg_" in name] if folder.seg else []
    found = [f for f in map(parse, of_cells) if f and FILES[f.kind].role == "seg"]
    other = any(each.channel != folder.seg for each in found)
    if other or (job.inputs and {*job.inputs} != {*record.made_from}):
        yield "its set of inputs changed"
    for name in job.outputs:  # what it made when other channels were asked for
        if name not in record.outputs and folder.has(name):
            yield f"its record does not tell of {name.rpartition('/')[2]}"
    for name, digest in record.outputs.items():
        if not folder.holds(name, digest):
            yield f"its content was changed: {name.rpartition('/')[2]}"


def given_to(record: JobRecord) -> Mapping[str, Any]:
    """Return the digests of what a user gave a job, by name."""
    return mapping_of(mapping_of(record.options).get(CONTENT))


def _is_judged_anew(job: WantedJob, record: JobRecord, folder: Folder) -> bool:
    """Tell whether a user's step has read other verdicts than lie beside the traces now."""
    if job.step in STAGES or "/fov_" not in job.record:
        return False
    read = [name for name in record.made_from or () if name.endswith("_traces.csv")]
    known = given_to(record).get("inspected")
    return any(sha256_or_none(f"{folder.path}/{inspected(name)}") != known for name in read)


def differs_only_in(keys: Collection[str], record: JobRecord | None, options: Any) -> bool:
    """Tell whether a job is complete, and its options are these but for some of the keys."""
    if record is None or record.status != "completed" or not isinstance(record.options, Mapping):
        return False
    then, now = record.options, plain_values(options)
    changed = {key for key in {**then, **now} if then.get(key) != now.get(key)}
    return bool(changed) and changed <= {*keys}


def state_of(jobs: Sequence[WantedJob], folder: Folder) -> dict[str, Any]:
    """Return the state of an FOV, or of what else these jobs make together.

    `jobs`: in the order of the steps.

    Returns
    -------
    dict
        ``status`` is ``complete``; ``failed`` with ``step``, ``error`` and perhaps ``frame``;
        ``outdated`` with ``step``, where files were made with other parameters or from other
        files; or ``incomplete`` with the first ``step`` whose files are missing and that has left
        no error (not run yet, or killed).
    """
    for job in jobs:  # on a cluster, a failed step takes the files of those before with it
        record = folder.last(job.record)
        if record is not None and record.status == "failed" and folder.reason(job):
            error: dict[str, Any] = {"status": "failed", "step": job.step, "error": record.error}
            return error if record.frame is None else {**error, "frame": record.frame}
    for job in jobs:
        reason = folder.reason(job)
        if reason:
            bare = reason.startswith(("missing", "no record"))
            return {"status": "incomplete" if bare else "outdated", "step": job.step}
    return dict(COMPLETE)


def to_run(
    jobs: Sequence[WantedJob], folder: Folder, restored: set[str] | None = None
) -> dict[str, str]:
    """Return the jobs that have to be done, by record, with the reason of each.

    Among them are those whose files were removed after use and are needed again. Such jobs, and
    those that only make stacks again, are added to `restored`: what they make has the content that
    their records tell, so that it is no reason for others to run.
    """
    found = {job.record: reason for job in jobs if (reason := folder.reason(job))}
    maker = {name: job for job in jobs for name in job.makes}
    needed = [job for job in jobs if job.record in found]
    restored = set() if restored is None else restored
    restored |= {job.record for job in needed if _only_restores(job, folder)}
    by_input: dict[str, list[WantedJob]] = {}
    reads: dict[str, tuple[str, ...]] = {}
    earlier: list[str] = []
    for job in jobs:
        record = folder.record(job.record)
        known = None if record is None else record.made_from
        names = earlier if known is None else [*known, *_models_of(known)]
        reads[job.record] = job.inputs or tuple(names)
        earlier += job.makes
        for name in reads[job.record]:
            by_input.setdefault(name, []).append(job)
    while needed:
        job = needed.pop()
        record = folder.record(job.record)
        for name in () if record is None else record.outputs:
            other = maker.get(name, job)  # an earlier version made it in this step
            if other.record not in found:
                found[other.record] = "an earlier step runs again"
                restored.add(other.record)
                needed.append(other)
        for name in reads[job.record]:
            if name in maker and not folder.has(name) and maker[name].record not in found:
                found[maker[name].record] = "needed"
                restored.add(maker[name].record)
                needed.append(maker[name])
        for other in (user for name in job.makes for user in by_input.get(name, ())):
            if job.record not in restored and (
                other.record not in found or other.record in restored
            ):
                found.setdefault(other.record, "an earlier step runs again")
                restored.discard(other.record)
                needed.append(other)
    return found


def _only_restores(job: WantedJob, folder: Folder) -> bool:
    """Tell whether nothing but stacks is missing that a job has made before."""
    record, gone = folder.record(job.record), job.lacks(folder)
    known = record is not None and all(kept_kind(n) and n in record.outputs for n in gone)
    return bool(gone) and known and len(list(_reasons(job, folder))) == 1


_CORRECTED = "/corrected_ch_"


def _models_of(names: Iterable[str]) -> list[str]:
    """Return what is read in place of the corrected frames that an earlier version read."""
    return [
        name.replace("_fl_corrected_", "_fl_background_").replace(".npy", ".npz")
        for name in names
        if "_fl_corrected_" in name
    ]


# ---- what the last run wanted, for readers of the folder alone


def write_wanted(jobs: Mapping[int, Collection[WantedJob]], folder: Folder) -> None:
    """Write what a run wants of each FOV, and the times of the files that were compared."""
    fovs = {
        str(fov): {job.record: [job.step, *job.wanted, *job.outputs] for job in wanted}
        for fov, wanted in jobs.items()
    }
    inputs = {job.record: job.inputs for wanted in jobs.values() for job in wanted if job.inputs}
    content = {"fovs": fovs, "compared": folder.known, "seg": folder.seg, "inputs": inputs}
    text = json.dumps(content, ensure_ascii=False)
    write_text(f"{folder.path}/{WANTED_NAME}", text + "\n")


def seg_of_folder(path: str | Path) -> int | None:
    """Return the channel in which the last run found cells; None where that is not known."""
    seg = read_json_object(f"{path}/{WANTED_NAME}").get("seg")
    return int(seg) if isinstance(seg, str) and seg.isdecimal() and len(seg) < 10 else None


def states_of_folder(path: str | Path) -> dict[int, dict[str, Any]]:
    """Return the state of each FOV that the last run wanted; empty where that is not known."""
    known = read_json_object(f"{path}/{WANTED_NAME}")
    folder, states = Folder(str(path), seg=str(known.get("seg", ""))), {}
    try:
        for fov, entries in (known.get("fovs") or {}).items():
            jobs = [
                WantedJob(
                    step, record, Wanted(parameters, content), tuple(outputs),
                    inputs=tuple(known.get("inputs", {}).get(record, ())),
                )
                for record, (step, parameters, content, *outputs) in entries.items()
            ]  # fmt: skip
            states[int(fov)] = state_of(jobs, folder)
    except (AttributeError, TypeError, ValueError):
        return {}
    return states
