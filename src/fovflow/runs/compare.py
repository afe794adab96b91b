"""Differences between two runs, and between a run and today; how a run is done again."""

from __future__ import annotations

import hashlib
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fovflow.atomic import digest_of
from fovflow.errors import FovflowError
from fovflow.layout import REPORT_NAME, RESULTS_NAME
from fovflow.records import write_yaml
from fovflow.runs.assets import is_of_script, last_of
from fovflow.runs.datasets import members_of
from fovflow.runs.effects import Effects, effects_of
from fovflow.runs.manifest import kept_kind
from fovflow.runs.state import outdir_of, outputs_of, read_with_files
from fovflow.runs.store import RunFolder

SECTIONS = ("code", "config", "parameters", "environment", "inputs", "outputs")

_CODE = ("name", "version", "repository", "commit", "dirty", "diff_sha256")
_ENVIRONMENT = ("python", "implementation", "os", "machine")
_CONTENT = ("bytes", "files", "sha256", "digest", "fingerprint", "format")
_IDS = ("SLURM_JOB_ID", "SLURM_JOB_NODELIST")
_PLACES = ("run", "outdir")
_ABSENT = "nothing"
_CIRCUMSTANCES = {
    "ids": ("id", "name"),
    "times": ("created", "started", "ended"),
    "host": ("host", "pid"),
    "paths": ("working_directory", "outdir", "command", "configfiles"),
}
_MACHINE = ("host", "cpu", "memory_mib")

CONFIG_NAME = "config.yaml"
"""File in a run's folder with its recorded configuration, where the run's own file is gone."""


@dataclass(frozen=True, slots=True, order=True)
class Difference:
    """A thing that two runs do not share."""

    section: str
    key: str
    first: str
    second: str

    def __str__(self) -> str:
        return f"{self.section}: {self.key}: {self.first} | {self.second}"


@dataclass(slots=True)
class Comparison:
    """What two runs, named by their ids, do not share and what of it matters."""

    first: str
    second: str
    differences: list[Difference] = field(default_factory=list)
    circumstances: list[str] = field(default_factory=list)
    """Which of ids, times, host and paths differ; these do not matter."""
    outputs: int = 0
    """Number of outputs with equal SHA-256."""
    unknown: list[str] = field(default_factory=list)
    """Outputs of both whose content is not known, for want of a checksum."""
    effects: Effects = field(default_factory=Effects)
    """What they found in each FOV."""

    @property
    def same(self) -> bool:
        """Whether the runs differ in nothing that matters."""
        return not self.differences and not self.unknown

    def to_json(self) -> dict[str, Any]:
        """Return the comparison as plain values."""
        return {
            "first": self.first,
            "second": self.second,
            "same": self.same,
            "differences": [asdict(difference) for difference in self.differences],
            "circumstances": self.circumstances,
            "equal_outputs": self.outputs,
            "outputs_without_checksum": self.unknown,
            **({"found": found} if (found := self.effects.to_json()) else {}),
        }


def compare_runs(first: RunFolder, second: RunFolder) -> Comparison:
    """Compare two runs, of one output folder or of two."""
    records = first.read_record(), second.read_record()
    found = Comparison(first.id, second.id)
    found.differences = compare_records(*records)
    one, other = map(_circumstances, records)
    found.circumstances = [word for word in one if one[word] != other[word]]
    outputs = _contents(first, records[0]), _contents(second, records[1])
    for path in sorted({*outputs[0], *outputs[1]}):
        digests = [side.get(path) for side in outputs]
        if not all(path in side for side in outputs):
            words = ["made" if path in side else _ABSENT for side in outputs]
            found.differences.append(Difference("outputs", path, *words))
        elif None in digests:
            found.unknown.append(path)
        elif digests[0] != digests[1]:
            words = [f"SHA-256 {digest[:16]}…" for digest in digests if digest]
            found.differences.append(Difference("outputs", path, *words))
        else:
            found.outputs += 1
    if not found.same:
        found.effects = effects_of(first, second)
    return found


def _contents(run: RunFolder, record: Mapping[str, Any]) -> dict[str, str | None]:
    """Return the SHA-256 of what a run made: outputs of jobs, and what scripts made or kept."""
    made = {} if is_of_script(record) else outputs_of(run)
    found = {path: output.digest.sha256 if output.digest else None for path, output in made.items()}
    for asset in last_of(read_with_files(run).assets):
        if asset.category == "output":
            dataset = asset.types[:1] == ("dataset",)
            whole = dataset and not asset.misplaced(run.path)
            found[asset.key] = _members(run.path / asset.path) if whole else asset.sha256
    return found


def _members(record: Path) -> str:
    """Return a digest of the members of a dataset: its record names the run, too."""
    told = sorted(f"{Path(m['path']).name} {m.get('sha256')}" for m in members_of(record))
    return hashlib.sha256("\n".join(told).encode(errors="replace")).hexdigest()


def compare_records(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[Difference]:
    """Return the differences of two ``run.json`` in code, configuration, environment and inputs."""
    found = []
    for section, values_of in _VALUES.items():
        one, other = values_of(first), values_of(second)
        for key in sorted({*one, *other}):
            values = one.get(key), other.get(key)
            if values[0] != values[1] or len({isinstance(value, bool) for value in values}) > 1:
                words = [_ABSENT if value is None else str(value) for value in values]
                found.append(Difference(section, key, *words))
    return found


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _code(record: Mapping[str, Any]) -> dict[str, Any]:
    workflow = _mapping(record.get("workflow"))
    files = _mapping(workflow.get("files"))
    return {
        **{key: workflow.get(key) for key in _CODE},
        "workflow_type": record.get("workflow_type"),
        **{f"file {name}": digest for name, digest in files.items()},
    }


def _config(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration in single values, without names and places."""
    config = {k: v for k, v in _mapping(record.get("config")).items() if k not in _PLACES}
    return {
        key: value
        for key, value in _flat("", config)
        if not (key.startswith("datasets.") and key.endswith(".path"))
    }


def _flat(prefix: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _flat(f"{prefix}.{key}" if prefix else str(key), item)
    elif prefix:
        yield prefix, value


def _environment(record: Mapping[str, Any]) -> dict[str, Any]:
    environment = _mapping(record.get("environment"))
    packages = _mapping(environment.get("packages"))
    variables = _mapping(environment.get("variables"))
    return {
        **{key: environment.get(key) for key in _ENVIRONMENT},
        **{f"package {name}": version for name, version in packages.items()},
        **{f"variable {name}": value for name, value in variables.items() if name not in _IDS},
    }


def _inputs(record: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for number, item in enumerate(_input_records(record)):
        name = item.get("dataset") or item.get("name") or f"input {number + 1}"
        found |= {f"{name} {key}": item[key] for key in _CONTENT if item.get(key) is not None}
    return found


def _input_records(record: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [_mapping(item) for item in record.get("inputs") or []]


def _parameters(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of an execution in single values."""
    return dict(_flat("", _mapping(record.get("parameters"))))


_VALUES = {
    "code": _code,
    "config": _config,
    "parameters": _parameters,
    "environment": _environment,
    "inputs": _inputs,
}
"""What of a record is compared in each section but ``outputs``, by key."""


def _circumstances(record: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return the values of a record that have no part in the results, by what they tell."""
    environment = _mapping(record.get("environment"))
    found = {word: [record.get(key) for key in keys] for word, keys in _CIRCUMSTANCES.items()}
    found["host"] += [environment.get(key) for key in _MACHINE]
    found["paths"] += [item.get("path") for item in _input_records(record)]
    return found


MOST_OUTPUTS = 10
"""Outputs that are named one by one, at most."""


def format_comparison(found: Comparison) -> list[str]:
    """Return the comparison as lines for people."""
    lines = [str(each) for each in found.differences if each.section != "outputs"]
    outputs = [str(each) for each in found.differences if each.section == "outputs"]
    outputs += [f"outputs: {path}: no checksum was recorded" for path in found.unknown]
    lines += outputs[:MOST_OUTPUTS]
    if len(outputs) > MOST_OUTPUTS:
        lines.append(f"outputs: and {len(outputs) - MOST_OUTPUTS} more, in --json")
    equal = f"{found.outputs} outputs have equal hashes"
    if found.same:
        what = ", ".join(found.circumstances) or "nothing"
        return [f"The runs differ only in {what}; all {equal}."]
    counts = Counter(difference.section for difference in found.differences)
    told = ", ".join(f"{counts[section]} in {section}" for section in SECTIONS if counts[section])
    last = f"{found.first} | {found.second}: {told or 'no'} differences; {equal}."
    return [*lines, *found.effects.lines(), last]


@dataclass(frozen=True, slots=True)
class Restoration:
    """How a run is done again: which command is to be given in which directory."""

    run: str
    directory: Path
    command: tuple[str, ...]
    drift: tuple[Difference, ...] = ()
    """What differs between the run (first) and today (second)."""
    notes: tuple[str, ...] = ()
    """What else a reader should know."""

    @property
    def line(self) -> str:
        """The command as it can be given to a shell."""
        return f"cd {shlex.quote(str(self.directory))} && {shlex.join(self.command)}"

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "run": self.run,
            "directory": str(self.directory),
            "command": list(self.command),
            "line": self.line,
            "unchanged": not self.drift,
            "drift": [
                {"section": d.section, "key": d.key, "then": d.first, "today": d.second}
                for d in self.drift
            ],
            "notes": list(self.notes),
        }


def relocated(run: RunFolder) -> dict[str, Any]:
    """Return a run's record with the command for the folder that the run lies in now.

    A copied or moved run is done again there and never in the original: in the folder around it
    that the original's working directory was, with ``outdir`` where the folder has another name.
    """
    record = run.read_record()
    outdir = outdir_of(run).absolute()
    told = Path(str(_mapping(record.get("config")).get("outdir") or outdir.name))
    worked = Path(str(record.get("working_directory") or Path.cwd()))
    if (worked / told).resolve() == outdir.resolve():
        return record
    below = not told.is_absolute() and ".." not in told.parts and len(told.parts) > 0
    directory = outdir.parents[len(told.parts) - 1 if below else 0]

    def moved(name: str) -> str:
        """Return the name in the folder of the copy, where the file lies there."""
        path = Path(name)
        if not (path.is_absolute() and path.is_relative_to(worked)):
            return name
        there = directory / path.relative_to(worked)
        return str(there) if there.exists() else name

    program, *given = shlex.split(str(record.get("command") or "")) or [""]
    words: list[str] = []
    for word, before in zip(given, ["", *given], strict=False):
        option = word.partition("=")[0]
        if option not in ("--directory", "-d") and before not in ("--directory", "-d"):
            words.append(moved(word))
    if directory / told != outdir:
        place = f"outdir={outdir.relative_to(directory)}"
        words = [word for word in words if not word.startswith("outdir=")]
        names = [number for number, word in enumerate(words) if word in ("--config", "-C")]
        if names:
            words.insert(names[0] + 1, place)
        else:
            words += ["--config", place]
    return {
        **record,
        "command": shlex.join([program, *words]) if program else "",
        "working_directory": str(directory),
        "configfiles": [moved(str(name)) for name in record.get("configfiles") or []],
        "moved_from": str(worked / told),
    }


def restoration(run: RunFolder, today: Mapping[str, Any]) -> Restoration:
    """Return how a run is done again, and what has changed since.

    Where a configuration file of the run is gone, the recorded configuration is written into the
    run's folder and takes its place.

    `today`: ``workflow``, ``environment``, ``config`` and ``inputs`` as ``run.json`` would have
    them now. Raises FovflowError if the run has no recorded command.
    """
    record = relocated(run)
    words = shlex.split(str(record.get("command") or ""))
    if not words:
        raise FovflowError(
            f"the run {run.id} cannot be done again",
            found="no command in its record",
            remedy="runs of the pipeline have one; runs of one's own scripts are repeated by hand",
        )
    directory = Path(str(record.get("working_directory") or Path.cwd()))
    notes = []
    if "moved_from" in record:
        notes.append(
            f"the run was made in {record['moved_from']}: it is done again here, in this copy"
        )
    for name in record.get("configfiles") or []:
        if not (directory / name).exists():
            saved = run.path / CONFIG_NAME
            write_yaml(saved, _without_notification(record.get("config") or {}))
            words = [str(saved.absolute()) if word == name else word for word in words]
            notes.append(f"{name} is gone: the recorded configuration takes its place")
    if record.get("module_of"):
        notes.append(
            f"the run was part of {record['module_of']}: its configuration is not compared"
        )
    if not directory.is_dir():
        notes.append(f"the folder {directory} is gone")
    return Restoration(
        run=run.id,
        directory=directory,
        command=tuple(words),
        drift=tuple(compare_records(record, today)),
        notes=tuple(notes),
    )


def _without_notification(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recorded configuration without what alerts need of what is in no record."""
    run = dict(_mapping(config.get("run")))
    if run.get("alerts"):
        run["alerts"] = [
            {
                **alert,
                "command": None,
                "notification": [
                    way for way in alert.get("notification") or () if way in ("none", "log", "file")
                ],
            }
            for alert in run["alerts"]
        ]
    return {**config, **({"run": run} if run else {})}


def recorded_config(run: RunFolder) -> dict[str, Any]:
    """Return the configuration that a run of the pipeline was made with; FovflowError without."""
    config = run.read_record().get("config")
    if not isinstance(config, dict) or not config:
        raise FovflowError(
            f"the run {run.id} has no recorded configuration",
            remedy="runs of the pipeline have one; parameters of scripts: fovflow runs show",
        )
    return config


@dataclass(slots=True)
class Reproduction:
    """How the outputs on disk compare with those that the run recorded."""

    equal: list[str] = field(default_factory=list)
    different: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether every output whose content is known was made again byte for byte."""
        return not self.different and not self.missing


def check_reproduction(run: RunFolder, *, then: Mapping[str, Any] | None = None) -> Reproduction:
    """Compare what is on disk now with the outputs that a run recorded.

    `then`: the recorded outputs; those of `run` otherwise. Only outputs that were still there when
    the mapping was made should be in it.
    """
    found = Reproduction()
    record = run.read_record()
    for path, output in (outputs_of(run) if then is None else then).items():
        if not _stays(path, record):
            continue
        file = output.file(outdir_of(run))
        if output.digest is None:
            found.unknown.append(path)
        elif not file.is_file():
            found.missing.append(path)
        elif digest_of(file) == output.digest:
            found.equal.append(path)
        else:
            found.different.append(path)
    return found


def _stays(path: str, record: Mapping[str, Any]) -> bool:
    """Tell whether an output is still there, and as its job made it, when a run has ended."""
    keep = (record.get("config") or {}).get("keep", "all")
    kind = kept_kind(path)
    if kind is not None and isinstance(keep, list) and kind not in keep:
        return False
    # After a failure these two are written again, with what failed.
    return record.get("status") == "completed" or not path.endswith((RESULTS_NAME, REPORT_NAME))
