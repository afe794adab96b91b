"""The RO-Crate of a script's run or of an execution: what it read, made and measured.

RO-Crate 1.1 with the profile Process Run Crate 0.5. It is made from what is recorded alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fovflow.atomic import write_text
from fovflow.events import now
from fovflow.records import mapping_of
from fovflow.runs.assets import Asset
from fovflow.runs.crate import (
    FILE_NAME,
    STATUS,
    Graph,
    quoted,
    ref,
    refs,
    timestamp,
    to_text,
)
from fovflow.runs.history import RecordedRun, recorded_run
from fovflow.runs.store import RunFolder

_PROFILE = "https://w3id.org/ro/wfrun/process/0.5"


def script_crate(run: RecordedRun) -> dict[str, Any]:
    """Return the content of ``ro-crate-metadata.json`` in a run's folder."""
    graph, record = Graph(), run.record
    people = graph.people(run.metadata)
    there = [
        asset
        for asset in run.assets
        if asset.mode != "reference"
        and not asset.misplaced(run.path)
        and (run.path / asset.path).is_file()
    ]
    made = [_file(graph, asset) for asset in there if asset.category == "output"]
    read = [_file(graph, asset) for asset in there if asset.category != "output"]
    inputs = [_input(graph, number, found) for number, found in enumerate(run.inputs)]
    parameters = [
        graph.add(
            f"#parameter/{quoted(name)}",
            "PropertyValue",
            name=name,
            value=json.dumps(value, ensure_ascii=False),
        )
        for name, value in run.parameters.items()
    ]
    status, history = run.status, record.get("history") or [{}]
    error = str(history[-1].get("message") or status) if STATUS.get(status, "") == _FAILED else None
    parents = [f"begun in the run {parent.name} ({parent.id})" for parent in run.parents]
    action = graph.add(
        "#action",
        "CreateAction",
        name=f"{run.kind} {run.name}",
        description="; ".join([str(record.get("description") or run.type), *parents]),
        instrument=ref(_script(graph, record)),
        agent=people.get("author"),
        object=refs([*inputs, *read, *parameters]),
        result=refs([*made, *_metrics(graph, run)]),
        startTime=timestamp(record.get("started")),
        endTime=timestamp(record.get("ended")),
        actionStatus=STATUS.get(status),
        error=error,
    )
    graph.add(_PROFILE, "CreativeWork", name="Process Run Crate", version="0.5")
    return graph.whole(
        [],
        name=f"{run.kind} {run.name}",
        description=str(record.get("description") or f"A run of type {run.type}, with its files."),
        datePublished=timestamp(record.get("ended") or record.get("created") or now()),
        **people,
        keywords=run.tags,
        conformsTo=ref(_PROFILE),
        hasPart=refs([*made, *read]),
        mentions=refs([action]),
    )


_FAILED = STATUS["failed"]


def _file(graph: Graph, asset: Asset) -> str:
    words = ", ".join(asset.types or (asset.category,))
    return graph.add_file(asset.path, asset.digest, words)


def _input(graph: Graph, number: int, found: Mapping[str, Any]) -> str:
    """Add an input, which is no part of the folder."""
    size = found.get("bytes")
    return graph.add(
        f"#input/{number}",
        "CreativeWork",
        name=str(found.get("name") or Path(str(found.get("path"))).name),
        description=f"{found.get('role') or 'input'} at {found.get('path')}; not of this folder",
        version=found.get("version"),
        identifier=found.get("digest"),
        contentSize=None if size is None else str(size),
        sha256=found.get("sha256"),
    )


def _script(graph: Graph, record: Mapping[str, Any]) -> str:
    """Add the script, and what it needs."""
    workflow, environment = record.get("workflow") or {}, record.get("environment") or {}
    needs = [("python", environment.get("python")), ("fovflow", workflow.get("fovflow"))]
    tools = [
        graph.add(f"#software/{name}", "SoftwareApplication", name=name, softwareVersion=version)
        for name, version in needs
        if version
    ]
    digests = list(mapping_of(workflow.get("files")).values())
    return graph.add(
        "#script",
        "SoftwareSourceCode",
        name=str(workflow.get("name") or "script"),
        version=workflow.get("version"),
        sha256=digests[0] if digests else None,
        codeRepository=workflow.get("repository"),
        identifier=workflow.get("commit"),
        softwareRequirements=refs(tools),
    )


def _metrics(graph: Graph, run: RecordedRun) -> list[str]:
    """Add the last value of each metric, in words with its range."""
    series: dict[str, list[float]] = {}
    for row in run.metric_rows():
        for name, value in row["metrics"].items():
            series.setdefault(name, []).append(value)
    units = run.units() if series else {}
    return [
        graph.add_metric(
            f"#metric/{quoted(name)}",
            name,
            values[-1],
            units.get(name),
            description=f"the last of {len(values)} values, {min(values):g} to {max(values):g}",
        )
        for name, values in series.items()
    ]


def write_script_crate(folder: RunFolder) -> Path:
    """Write the crate of a script's run into its folder; return its path."""
    path = folder.path / FILE_NAME
    write_text(path, to_text(script_crate(recorded_run(folder))))
    return path
