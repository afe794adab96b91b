"""The manifest: a Workflow Run RO-Crate of what was made of a dataset, by which jobs, from what."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fovflow.atomic import Digest
from fovflow.jobrecord import JobRecord
from fovflow.layout import PLAN_NAME
from fovflow.runs.crate import (
    CONTEXT,
    FILE_NAME,
    NPY_FORMAT,
    PROFILES,
    RO_CRATE,
    SNAKEMAKE_LANGUAGE,
    STATUS,
    WORKFLOW_RO_CRATE,
    Crate,
    Graph,
    encoding_format,
    file_id,
    kind_of,
    reference,
    tidy,
    timestamp,
)
from fovflow.stages import STAGES, position

_USAGE = {"cpu_s": ("CPU time", "SEC"), "peak_mib": ("peak resident memory", "E63")}


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


def add_parameters_of(graph: Graph, jobs: Iterable[JobRecord]) -> list[str]:
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
    plan = [path for path in crate.documents if path == PLAN_NAME]
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


def add_job(graph: Graph, crate: Crate, job: JobRecord, run: str, raw: str) -> tuple[str, str]:
    """Add one job; return the ids of its action and control."""
    ident = job.key.name
    status = job.status
    where = [f"attempt {job.attempt}" if job.attempt else "", f"on {job.host}" if job.host else ""]
    inputs = [_file(graph, crate, path) for path in job.inputs]
    if job.key.step in STAGES and STAGES[job.key.step].reads_raw:
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
    graph: Graph, crate: Crate, jobs: list[JobRecord], run: str, raw: str
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
    by_run: dict[str, list[JobRecord]] = {_run_id(run): [] for run in runs}
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
    graph: Graph, crate: Crate, run: Mapping[str, Any], jobs: list[JobRecord], ends: tuple[str, str]
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


NO_CHECKSUM = "No checksum was recorded when it was made."


def make_manifest(crate: Crate) -> dict[str, Any]:
    """Return the content of ``ro-crate-metadata.json``.

    The same records give the same content, entities in the same order.
    """
    graph = Graph()
    files = [*_add_documents(graph, crate), *_add_outputs(graph, crate)]
    main = next(iter(crate.workflow))
    raw = _add_raw(graph, crate)
    actions = add_actions(graph, crate, main=file_id(main), raw=raw)
    engine = _add_software(graph, crate)
    for action in actions.organizers:
        graph[action]["instrument"] = reference(engine)
    files += _add_workflow(graph, crate, actions.tools, actions.steps, engine)
    root = {
        "@id": "./",
        "@type": "Dataset",
        "name": f"Results of {crate.dataset}",
        "description": f"What fovflow {crate.version} made of the time-lapse microscopy dataset "
        f"{crate.dataset}: {_counts(crate.jobs)}.",
        "datePublished": timestamp(crate.published),
        "license": crate.license,
        "conformsTo": [reference(ident) for ident in PROFILES],
        "mainEntity": reference(file_id(main)),
        "hasPart": [reference(file_id(path)) for path in sorted(set(files))],
        "mentions": [reference(ident) for ident in actions.all],
    }
    descriptor = {
        "@id": FILE_NAME,
        "@type": "CreativeWork",
        "conformsTo": [reference(RO_CRATE), reference(WORKFLOW_RO_CRATE)],
        "about": reference("./"),
    }
    for ident, (name, version) in PROFILES.items():
        graph.add({"@id": ident, "@type": "CreativeWork", "name": name, "version": version})
    return {"@context": CONTEXT, "@graph": [descriptor, tidy(root), *graph.entities()]}


def _counts(jobs: Iterable[JobRecord]) -> str:
    statuses = [job.status for job in jobs]
    bad = sum(status != "completed" for status in statuses)
    return f"{len(statuses)} jobs" + (f", {bad} of them not completed" if bad else "")


def file_entity(path: str, digest: Digest | None, description: str | None = None) -> dict[str, Any]:
    """Return the entity of a file in the crate."""
    words = [description or kind_of(path), None if digest else NO_CHECKSUM]
    entity: dict[str, Any] = {
        "@id": file_id(path),
        "@type": "File",
        "name": path.rpartition("/")[2],
        "encodingFormat": encoding_format(path),
    }
    if path.endswith(".npy"):
        entity["conformsTo"] = reference(NPY_FORMAT)
    if any(words):
        entity["description"] = ". ".join(filter(None, words))
    if digest:
        entity["contentSize"] = str(digest.bytes)
        entity["sha256"] = digest.sha256
    return entity


def _add_documents(graph: Graph, crate: Crate) -> list[str]:
    entries = dict(crate.documents)
    if crate.table:
        entries[crate.table[0]] = (crate.table[1], "Every job, one JSON object per line")
    for path, (digest, description) in sorted(entries.items()):
        graph.add(file_entity(path, digest, description))
    return list(entries)


def _add_outputs(graph: Graph, crate: Crate) -> list[str]:
    made = []
    for job in crate.jobs:
        for path, digest in job.outputs.items():
            if path in crate.present and file_id(path) not in graph:
                graph.add(file_entity(path, digest))
                made.append(path)
    if any(path.endswith(".npy") for path in made):
        name = "NumPy array file format"
        graph.add({"@id": NPY_FORMAT, "@type": "WebPage", "name": name})
    return made


def _add_raw(graph: Graph, crate: Crate) -> str:
    """Add the raw data, which are no part of the crate; return their id."""
    raw = crate.raw
    entity: dict[str, Any] = {
        "@id": "#raw",
        "@type": "CreativeWork",
        "name": str(raw.get("name") or crate.dataset),
        "description": "The raw data, which are no part of this folder. The identifier is a "
        "digest of their content, defined in fovflow.readers.fingerprint.",
        "encodingFormat": str(raw.get("format") or "unknown"),
    }
    if raw.get("digest"):
        entity["identifier"] = str(raw["digest"])
    if raw.get("bytes") is not None:
        entity["contentSize"] = str(raw["bytes"])
    if raw.get("sha256"):
        entity["sha256"] = str(raw["sha256"])
    graph.add(entity)
    return "#raw"


def _add_software(graph: Graph, crate: Crate) -> str:
    """Add the engine, Python and the packages; return the engine's id."""
    name, version = crate.engine
    engine = f"https://github.com/snakemake/snakemake/tree/v{version}"
    graph.add(
        {
            "@id": engine,
            "@type": "SoftwareApplication",
            "name": name,
            "softwareVersion": version,
            "url": "https://snakemake.github.io",
        }
    )
    for package, its_version in _software(crate):
        graph.add(
            {
                "@id": f"#software/{package}",
                "@type": "SoftwareApplication",
                "name": package,
                "softwareVersion": its_version,
            }
        )
    return engine


_PACKAGES = (
    "numpy", "scipy", "opencv-python-headless", "scikit-image", "pandas", "nd2", "tifffile",
    "imagecodecs", "pylibczirw", "zarr", "pydantic", "pyyaml", "cellpose", "laptrack",
)  # fmt: skip


def _software(crate: Crate) -> list[tuple[str, str]]:
    packages = crate.environment.get("packages") or {}
    found = [("fovflow", crate.version)]
    if crate.environment.get("python"):
        found.append(("python", str(crate.environment["python"])))
    return found + [(name, str(packages[name])) for name in _PACKAGES if name in packages]


def _add_workflow(
    graph: Graph, crate: Crate, tools: list[str], steps: list[str], engine: str
) -> list[str]:
    """Add the workflow's files and language; return their names."""
    main, *others = crate.workflow
    about = (crate.runs[-1].get("workflow") if crate.runs else None) or {}
    entity: dict[str, Any] = {
        **file_entity(main, crate.workflow[main], "The workflow"),
        "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"],
        "name": str(about.get("name") or "fovflow"),
        "version": crate.version,
        "programmingLanguage": reference(SNAKEMAKE_LANGUAGE),
        "hasPart": [reference(tool) for tool in tools],
        "step": [reference(step) for step in steps],
        "softwareRequirements": [
            reference(engine),
            *(reference(f"#software/{name}") for name, _ in _software(crate)),
        ],
    }
    if about.get("repository"):
        entity["codeRepository"] = str(about["repository"])
    if about.get("commit"):
        entity["identifier"] = str(about["commit"])
    graph.add(entity)
    for path in others:
        known = graph.get(file_id(path))
        code = file_entity(path, crate.workflow[path], "Part of the workflow")
        code |= {"@type": ["File", "SoftwareSourceCode"], "version": crate.version}
        if known is None:
            graph.add(code)
        else:
            known.update(code)
    graph.add(
        {
            "@id": SNAKEMAKE_LANGUAGE,
            "@type": "ComputerLanguage",
            "name": "Snakemake",
            "identifier": reference("https://snakemake.github.io"),
            "url": reference("https://snakemake.github.io"),
        }
    )
    graph.add({"@id": "https://snakemake.github.io", "@type": "WebSite", "name": "Snakemake"})
    return list(crate.workflow)


def to_text(manifest: Mapping[str, Any]) -> str:
    """Return a manifest as JSON text, one entity per line."""
    context, graph = manifest["@context"], manifest["@graph"]
    entities = ",\n".join(map(_compact, graph))
    return f'{{"@context": {_compact(context)},\n"@graph": [\n{entities}\n]}}\n'


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
