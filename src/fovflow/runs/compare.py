"""Differences between two runs: code, configuration, environment, inputs, outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fovflow.runs.jobs import outputs_of
from fovflow.runs.store import RunFolder

SECTIONS = ("code", "config", "environment", "inputs", "outputs")

_CODE = ("version", "repository", "commit", "dirty", "diff_sha256")
_ENVIRONMENT = ("python", "implementation", "os", "machine")
_CONTENT = ("bytes", "files", "sha256", "digest", "fingerprint", "format")
_IDS = ("SLURM_JOB_ID", "SLURM_JOB_NODELIST")
_ABSENT = "nothing"


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
    """What two runs do not share.

    Attributes
    ----------
    first, second : str
        Ids of the runs.
    differences : list of Difference
        Those that matter for the results.
    circumstances : list of str
        Which of ids, times, host and paths differ; these do not matter.
    outputs : int
        Number of outputs with equal SHA-256.
    unknown : list of str
        Outputs of both whose content is not known, for want of a checksum.
    """

    first: str
    second: str
    differences: list[Difference] = field(default_factory=list)
    circumstances: list[str] = field(default_factory=list)
    outputs: int = 0
    unknown: list[str] = field(default_factory=list)

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
            "differences": [
                {"section": d.section, "key": d.key, "first": d.first, "second": d.second}
                for d in self.differences
            ],
            "circumstances": self.circumstances,
            "equal_outputs": self.outputs,
            "outputs_without_checksum": self.unknown,
        }


def compare_runs(first: RunFolder, second: RunFolder) -> Comparison:
    """Compare two runs, of one output folder or of two."""
    records = first.read_record(), second.read_record()
    found = Comparison(first.id, second.id)
    found.differences = compare_records(*records)
    found.circumstances = _circumstances(*records)
    outputs = outputs_of(first), outputs_of(second)
    for path in sorted({*outputs[0], *outputs[1]}):
        sides = [side[path].digest if path in side else None for side in outputs]
        if not all(path in side for side in outputs):
            words = ["made" if path in side else _ABSENT for side in outputs]
            found.differences.append(Difference("outputs", path, *words))
        elif None in sides:
            found.unknown.append(path)
        elif sides[0] != sides[1]:
            words = [f"SHA-256 {side.sha256[:16]}…" for side in sides if side]
            found.differences.append(Difference("outputs", path, *words))
        else:
            found.outputs += 1
    return found


def compare_records(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[Difference]:
    """Return the differences of two ``run.json`` in code, configuration, environment and inputs."""
    return [
        *_differences("code", _code(first), _code(second)),
        *_differences("config", _config(first), _config(second)),
        *_differences("environment", _environment(first), _environment(second)),
        *_differences("inputs", _inputs(first), _inputs(second)),
    ]


def _differences(
    section: str, first: Mapping[str, Any], second: Mapping[str, Any]
) -> list[Difference]:
    return [
        Difference(section, key, _words(first, key), _words(second, key))
        for key in sorted({*first, *second})
        if first.get(key) != second.get(key)
    ]


def _words(values: Mapping[str, Any], key: str) -> str:
    value = values.get(key)
    return _ABSENT if value is None else str(value)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _code(record: Mapping[str, Any]) -> dict[str, Any]:
    workflow = _mapping(record.get("workflow"))
    files = _mapping(workflow.get("files"))
    return {
        **{key: workflow.get(key) for key in _CODE},
        **{f"file {name}": digest for name, digest in files.items()},
    }


def _config(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration in single values, without names and places."""
    found: dict[str, Any] = {}
    _flatten("", {k: v for k, v in _mapping(record.get("config")).items() if k != "run"}, found)
    return {
        key: value
        for key, value in found.items()
        if key != "outdir" and not (key.startswith("datasets.") and key.endswith(".path"))
    }


def _flatten(prefix: str, value: Any, into: dict[str, Any]) -> None:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            _flatten(f"{prefix}.{key}" if prefix else str(key), item, into)
    else:
        into[prefix] = value


def _environment(record: Mapping[str, Any]) -> dict[str, Any]:
    environment = _mapping(record.get("environment"))
    variables = _mapping(environment.get("variables"))
    return {
        **{key: environment.get(key) for key in _ENVIRONMENT},
        **{
            f"package {name}": version
            for name, version in _mapping(environment.get("packages")).items()
        },
        **{f"variable {k}": value for k, value in variables.items() if k not in _IDS},
    }


def _inputs(record: Mapping[str, Any]) -> dict[str, Any]:
    found = {}
    for number, item in enumerate(record.get("inputs") or []):
        if isinstance(item, Mapping):
            name = item.get("dataset") or item.get("name") or f"input {number + 1}"
            for key in _CONTENT:
                if item.get(key) is not None:
                    found[f"{name} {key}"] = item[key]
    return found


def _circumstances(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    """Return which of the things differ that have no part in the results."""
    keys = {
        "ids": ("id", "name"),
        "times": ("created", "started", "ended"),
        "host": ("host", "pid"),
        "paths": ("working_directory", "outdir", "command", "configfiles"),
    }
    found = [
        words
        for words, names in keys.items()
        if any(first.get(name) != second.get(name) for name in names)
    ]
    machine = [_mapping(record.get("environment")) for record in (first, second)]
    if "host" not in found and any(
        machine[0].get(key) != machine[1].get(key) for key in ("host", "cpu", "memory_mib")
    ):
        found.insert(2, "host")
    paths = [
        [item.get("path") for item in record.get("inputs") or [] if isinstance(item, Mapping)]
        for record in (first, second)
    ]
    if "paths" not in found and paths[0] != paths[1]:
        found.append("paths")
    return found


def format_comparison(found: Comparison) -> list[str]:
    """Return the comparison as lines for people."""
    lines = [str(difference) for difference in found.differences]
    lines += [f"outputs: {path}: no checksum was recorded" for path in found.unknown]
    equal = f"{found.outputs} outputs have equal hashes"
    if found.same:
        what = ", ".join(found.circumstances) or "nothing"
        return [f"The runs differ only in {what}; all {equal}."]
    counts = dict.fromkeys(SECTIONS, 0)
    for difference in found.differences:
        counts[difference.section] += 1
    told = ", ".join(f"{count} in {section}" for section, count in counts.items() if count)
    return [*lines, f"{found.first} | {found.second}: {told or 'no'} differences; {equal}."]
