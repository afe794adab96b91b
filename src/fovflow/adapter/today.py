"""What a recorded run of the pipeline would be like today: code, configuration, inputs."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from fovflow.adapter.starting import workflow_folder
from fovflow.config import parse_config
from fovflow.errors import FovflowError
from fovflow.readers.fingerprint import fingerprint, raw_files
from fovflow.runs.provenance import capture_environment, capture_workflow
from fovflow.tables import read_yaml


def describe_today(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``workflow``, ``environment``, ``config`` and ``inputs`` as they are now.

    Parameters
    ----------
    record : mapping
        ``run.json`` of the run: which files and folders to look at.
    """
    directory = Path(str(record.get("working_directory") or Path.cwd()))
    inputs = [item for item in record.get("inputs") or [] if isinstance(item, Mapping)]
    return {
        "workflow": capture_workflow(workflow_folder()),
        "environment": capture_environment(),
        "config": _config(record, directory),
        "inputs": [_input(item, directory) for item in inputs],
    }


def _config(record: Mapping[str, Any], directory: Path) -> Any:
    """Return today's configuration, resolved; the recorded one where its files are gone."""
    names = [directory / name for name in record.get("configfiles") or []]
    if not names or not all(name.exists() for name in names):
        return record.get("config")
    merged: dict[str, Any] = {}
    for name in names:
        content = read_yaml(name)
        _merge(merged, content if isinstance(content, Mapping) else {})
    _merge(merged, _overrides(shlex.split(str(record.get("command") or ""))))
    try:
        return parse_config(merged).model_dump(mode="json", by_alias=True)
    except FovflowError as error:
        return {"error": str(error)}


def _merge(into: dict[str, Any], more: Mapping[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = dict(value) if isinstance(value, Mapping) else value


def _overrides(words: Sequence[str]) -> dict[str, str]:
    """Return the values of ``--config key=value …`` in a command."""
    found: dict[str, str] = {}
    taking = False
    for word in words:
        if word.startswith("-"):
            taking = word in ("--config", "-C")
        elif taking and "=" in word:
            key, _, value = word.partition("=")
            found[key] = value
    return found


def _input(item: Mapping[str, Any], directory: Path) -> dict[str, Any]:
    """Return an input as it is now; a file that is gone has no digest."""
    now = {key: value for key, value in item.items() if key not in ("bytes", "fingerprint")}
    pattern = item.get("pattern")
    with suppress(FovflowError, OSError):
        place = directory / str(item.get("path"))
        now["bytes"] = sum(file.stat().st_size for file in raw_files(place, pattern))
        now["fingerprint"] = fingerprint(place, pattern)
    return now
