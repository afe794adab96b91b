"""The manifest's job actions: what each job of a run made, from what, with which parameters."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from fovflow.atomic import Digest
from fovflow.runs.crate import Crate, CrateJob
from fovflow.runs.manifest_terms import STATUS, Graph, file_id, kind_of, reference, timestamp

STEPS = ("plan", "copy", "flat_field", "segment", "correct", "track", "extract")
_USAGE = {"cpu_s": ("CPU time", "SEC"), "peak_mib": ("peak resident memory", "E63")}


def position(step: str) -> tuple[int, str]:
    """Return where a step stands in the order of the work."""
    if step in STEPS:
        return STEPS.index(step), step
    return (len(STEPS) + (step == "results"), step)


def is_failed(status: str) -> bool:
    """Tell whether schema.org's words for a status are a failure."""
    return STATUS.get(status) == STATUS["failed"]


def tool_of(graph: Graph, crate: Crate, step: str) -> str:
    """Return the id of what runs a step: a script in the crate, else a part of fovflow."""
    if step in crate.scripts:
        # Its file's properties are added with the workflow's other files.
        return graph.add({"@id": file_id(crate.scripts[step])})
    return graph.add(
        {
            "@id": f"#tool/{step}",
            "@type": "SoftwareApplication",
            "name": f"fovflow {step}",
            "softwareVersion": crate.version,
        }
    )


def add_parameters_of(graph: Graph, jobs: Iterable[CrateJob]) -> list[str]:
    """Add the parameters of jobs, each set of values once; return their ids."""
    return list(
        dict.fromkeys(
            add_parameters(graph, job.key.step, job.options)
            for job in jobs
            if job.options and job.key.step != "results"
        )
    )


def add_parameters(graph: Graph, step: str, options: Any) -> str:
    """Add the parameters of a step under a name made of their values; return the id."""
    text = json.dumps(options, sort_keys=True, ensure_ascii=False)
    short = hashlib.sha256(text.encode()).hexdigest()[:12]
    return graph.add(
        {
            "@id": f"#parameters/{step}/{short}",
            "@type": "PropertyValue",
            "name": f"parameters of {step}",
            "value": text,
        }
    )


def _control(graph: Graph, action: str, step: str) -> str:
    """Add the engine's control of a job, which ends as the job does."""
    job = graph[action]
    return graph.add(
        {
            "@id": action.replace("#job/", "#control/", 1),
            "@type": "ControlAction",
            "name": f"control of {job['name']}",
            "instrument": reference(f"#step/{step}"),
            "object": reference(action),
            "actionStatus": job.get("actionStatus"),
            "error": job.get("error"),
        }
    )


def add_plan(graph: Graph, crate: Crate, run: str, raw: str) -> tuple[str, str]:
    """Add the reading of the raw data's header; return the ids of action and control."""
    plan = [path for path in crate.documents if path == "dataset.json"]
    action = graph.add(
        {
            "@id": f"#job/{run}/plan",
            "@type": "CreateAction",
            "name": "plan",
            "description": "Read the raw data's header, or find it unchanged",
            "instrument": reference(tool_of(graph, crate, "plan")),
            "object": [reference(raw)],
            "result": [reference(file_id(path)) for path in plan],
            "actionStatus": STATUS["completed"],
        }
    )
    return action, _control(graph, action, "plan")


def add_job(graph: Graph, crate: Crate, job: CrateJob, run: str, raw: str) -> tuple[str, str]:
    """Add one job; return the ids of its action and control."""
    ident = job.key.name
    status = job.status
    where = [f"attempt {job.attempt}" if job.attempt else "", f"on {job.host}" if job.host else ""]
    inputs = [_file(graph, crate, path) for path in job.inputs]
    if job.key.step in ("copy", "flat_field"):
        inputs.insert(0, raw)
    if job.options and job.key.step != "results":
        inputs.append(add_parameters(graph, job.key.step, job.options))
    error = (job.error or "stopped before its end") if is_failed(status) else ""
    action = graph.add(
        {
            "@id": f"#job/{ident}",
            "@type": "CreateAction",
            "name": job.key.words,
            "description": " ".join(["job of run", run, *filter(None, where)]),
            "instrument": reference(tool_of(graph, crate, job.key.step)),
            "object": [reference(item) for item in inputs] or None,
            "result": [
                reference(_file(graph, crate, path, digest)) for path, digest in job.outputs.items()
            ],
            "startTime": timestamp(job.started),
            "endTime": timestamp(job.ended),
            "actionStatus": STATUS.get(status),
            "error": error or None,
            "resourceUsage": [reference(i) for i in _usage(graph, ident, job.usage)] or None,
        }
    )
    return action, _control(graph, action, job.key.step)


def _usage(graph: Graph, ident: str, usage: Mapping[str, float]) -> list[str]:
    return [
        graph.add(
            {
                "@id": f"#job/{ident}/{key}",
                "@type": "PropertyValue",
                "name": name,
                "propertyID": key,
                "unitCode": unit,
                "value": usage[key],
            }
        )
        for key, (name, unit) in _USAGE.items()
        if key in usage
    ]


def _file(graph: Graph, crate: Crate, path: str, digest: Digest | None = None) -> str:
    """Return the id of a file; one that is not in the crate is described without being a part.

    Steps are added in the order of the work: who made a file tells its digest.
    """
    if path in crate.present or path in crate.documents:
        return file_id(path)
    inside = not path.startswith("..")
    return graph.add(
        {
            "@id": f"#elsewhere/{file_id(path.removeprefix('../'))}",
            "@type": "CreativeWork",
            "name": path.rpartition("/")[2],
            "description": f"{kind_of(path) or 'file'}; "
            + ("no longer in this folder" if inside else "not of this dataset"),
            "contentSize": None if digest is None else str(digest.bytes),
            "sha256": None if digest is None else digest.sha256,
        }
    )


def add_groups(
    graph: Graph, crate: Crate, jobs: list[CrateJob], run: str, raw: str
) -> list[tuple[str, str]]:
    """Add one action per step, and one for each job that did not complete."""
    pairs = [add_job(graph, crate, job, run, raw) for job in jobs if job.status != "completed"]
    for step in sorted({job.key.step for job in jobs}, key=position):
        done = [job for job in jobs if job.key.step == step and job.status == "completed"]
        if not done:
            continue
        starts = [time for job in done if (time := timestamp(job.started))]
        ends = [time for job in done if (time := timestamp(job.ended))]
        results = sorted({path for job in done for path in job.outputs if path in crate.present})
        assert crate.table
        ident = f"{run}/{step}"
        action = graph.add(
            {
                "@id": f"#job/{ident}",
                "@type": "CreateAction",
                "name": f"{step}, {len(done)} jobs",
                "description": f"{len(done)} jobs of run {run}; {crate.table[0]} has each",
                "instrument": reference(tool_of(graph, crate, step)),
                "object": [reference(i) for i in add_parameters_of(graph, done)]
                or [reference(raw)],
                "result": [reference(file_id(path)) for path in results],
                "startTime": min(starts, default=None),
                "endTime": max(ends, default=None),
                "actionStatus": STATUS["completed"],
            }
        )
        pairs.append((action, _control(graph, action, step)))
    return pairs
