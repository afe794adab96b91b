"""The manifest: a Workflow Run RO-Crate of what was made of a dataset, by which jobs, from what.

It conforms to RO-Crate 1.1 and Provenance Run Crate 0.5 (https://w3id.org/ro/wfrun/provenance/0.5).
This module is pure: records in, JSON-LD out. See `fovflow.runs.manifest_records` for the records.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from fovflow.atomic import Digest
from fovflow.runs.crate import Crate, CrateJob
from fovflow.runs.manifest_actions import add_actions
from fovflow.runs.manifest_terms import (
    CONTEXT,
    FILE_NAME,
    NPY_FORMAT,
    PROFILES,
    RO_CRATE,
    SNAKEMAKE_LANGUAGE,
    WORKFLOW_RO_CRATE,
    Graph,
    encoding_format,
    file_id,
    kind_of,
    reference,
    tidy,
    timestamp,
)

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


def _counts(jobs: Iterable[CrateJob]) -> str:
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
