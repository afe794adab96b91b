"""Checks of a manifest: its own form, and against files and records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fovflow.atomic import Digest
from fovflow.runs.findings import Report, out_of_order, read_object
from fovflow.runs.jobrecords import JobRecord
from fovflow.runs.manifest_terms import FILE_NAME, STATUS, file_path

_ACTIONS = frozenset({"CreateAction", "OrganizeAction", "ControlAction"})


def check_manifest(
    place: Path, prefix: str, records: list[JobRecord], report: Report
) -> dict[str, Digest | None]:
    """Check ``ro-crate-metadata.json``; return the digests of the files that it describes."""
    name = f"{prefix}{FILE_NAME}"
    if not (place / FILE_NAME).exists():
        if (place / "dataset.json").exists():
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
    return _files(entities)


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
        if failed and record.status == "complete" and action.get("result"):
            report.find(name, f"{record.key.name} is failed, but {record.file} says complete")


def _files(entities: list[Mapping[str, Any]]) -> dict[str, Digest | None]:
    found: dict[str, Digest | None] = {}
    for entity in entities:
        ident = str(entity["@id"])
        if "File" not in _types(entity) or ident.startswith("#") or "://" in ident:
            continue
        size, sha256 = entity.get("contentSize"), entity.get("sha256")
        whole = isinstance(sha256, str) and str(size).isdecimal()
        found[file_path(ident)] = Digest(int(str(size)), str(sha256)) if whole else None
    return found
