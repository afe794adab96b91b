"""The manifest's actions: runs, and the engine's work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fovflow.runs.crate import Crate, CrateJob
from fovflow.runs.manifest_jobs import (
    add_groups,
    add_job,
    add_parameters_of,
    add_plan,
    is_failed,
    position,
    tool_of,
)
from fovflow.runs.manifest_terms import STATUS, Graph, file_id, reference, timestamp

JOB_LIMIT = 10_000
"""Up to this number of jobs each has an action of its own."""

_UNRECORDED = "unrecorded"


@dataclass(slots=True)
class Actions:
    """Ids of what was added."""

    all: list[str] = field(default_factory=list)
    organizers: list[str] = field(default_factory=list)
    tools: list[str] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)


def add_actions(graph: Graph, crate: Crate, *, main: str, raw: str) -> Actions:
    """Add the actions of all runs, with their steps and tools.

    Parameters
    ----------
    graph : Graph
        Holds the files.
    crate : Crate
    main, raw : str
        Ids of the workflow and of the raw data.
    """
    runs = list(crate.runs) or [{}]
    known = {str(run.get("id")) for run in crate.runs}
    last = _run_id(runs[-1])
    by_run: dict[str, list[CrateJob]] = {_run_id(run): [] for run in runs}
    for job in sorted(crate.jobs, key=lambda job: (position(job.key.step), job.key)):
        by_run[job.run if job.run in known else last].append(job)
    added = Actions()
    used = sorted({job.key.step for job in crate.jobs}, key=position)
    for number, step in enumerate(["plan", *used]):
        tool = tool_of(graph, crate, step)
        added.tools.append(tool)
        added.steps.append(
            graph.add(
                {
                    "@id": f"#step/{step}",
                    "@type": "HowToStep",
                    "name": step,
                    "position": str(number),
                    "workExample": reference(tool),
                }
            )
        )
    for run in runs:
        action, organizer, pairs = _add_run(graph, crate, run, by_run[_run_id(run)], (main, raw))
        added.organizers.append(organizer)
        added.all += [action, organizer, *(item for pair in pairs for item in pair)]
    return added


def _run_id(run: Mapping[str, Any]) -> str:
    return str(run.get("id") or _UNRECORDED)


def _add_run(
    graph: Graph, crate: Crate, run: Mapping[str, Any], jobs: list[CrateJob], ends: tuple[str, str]
) -> tuple[str, str, list[tuple[str, str]]]:
    """Add a run; return the ids of its action, of the engine's, and of its jobs' in pairs."""
    ident, (main, raw) = _run_id(run), ends
    is_last = not crate.runs or run is crate.runs[-1]
    pairs = [add_plan(graph, crate, ident, raw)] if is_last else []
    if len(crate.jobs) <= JOB_LIMIT:
        pairs += [add_job(graph, crate, job, ident, raw) for job in jobs]
    else:
        pairs += add_groups(graph, crate, jobs, ident, raw)
    results = sorted({path for job in jobs for path in job.outputs if path in crate.present})
    documents = sorted(path for path in crate.documents if is_last)
    failed = sum(job.status != "completed" for job in jobs)
    status = str(run.get("status") or ("failed" if failed else "completed"))
    start, end = timestamp(run.get("started")), timestamp(run.get("ended"))
    name = str(run.get("name") or ident)
    action = graph.add(
        {
            "@id": f"#run/{ident}",
            "@type": "CreateAction",
            "name": f"Run {name}",
            "description": str(run.get("description") or _code(run, crate)),
            "instrument": reference(main),
            "object": [reference(raw), *(reference(i) for i in add_parameters_of(graph, jobs))],
            "result": [reference(file_id(path)) for path in [*results, *documents]],
            "startTime": start,
            "endTime": end,
            "actionStatus": STATUS.get(status),
            "error": _run_error(run, failed) if is_failed(status) else None,
            "environment": [reference(i) for i in _variables(graph, run, ident)] or None,
        }
    )
    organizer = graph.add(
        {
            "@id": f"#engine/{ident}",
            "@type": "OrganizeAction",
            "name": f"{crate.engine[0]} runs the workflow ({name})",
            "instrument": None,
            "object": [reference(control) for _, control in pairs],
            "result": reference(action),
            "startTime": start,
            "endTime": end,
            "actionStatus": STATUS.get(status),
            "error": _run_error(run, failed) if is_failed(status) else None,
        }
    )
    return action, organizer, pairs


def _run_error(run: Mapping[str, Any], failed: int) -> str:
    history = run.get("history") or [{}]
    message = history[-1].get("message") if isinstance(history[-1], Mapping) else None
    if message:
        return str(message)
    status = str(run.get("status") or "failed")
    cause = "lost: the process was killed, or its machine stopped" if status == "lost" else status
    return f"{cause}; {failed} of the jobs that it began did not complete" if failed else cause


def _code(run: Mapping[str, Any], crate: Crate) -> str:
    about = run.get("workflow") or {}
    words = f"fovflow {about.get('version') or crate.version}"
    if about.get("commit"):
        words += f", commit {about['commit']}"
    if about.get("dirty"):
        words += f", with uncommitted changes (SHA-256 of the difference {about['diff_sha256']})"
    return words


def _variables(graph: Graph, run: Mapping[str, Any], ident: str) -> list[str]:
    environment = run.get("environment") or {}
    return [
        graph.add(
            {
                "@id": f"#run/{ident}/variable/{name}",
                "@type": "PropertyValue",
                "name": name,
                "value": str(value),
            }
        )
        for name, value in sorted((environment.get("variables") or {}).items())
    ]
