"""From the records of a dataset's folder to its manifest and the files that stand beside it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import fovflow
from fovflow.atomic import Digest, remove_leftovers, sha256_or_none, write_text
from fovflow.errors import FovflowError
from fovflow.events import now, writable
from fovflow.jobrecord import JobRecord
from fovflow.layout import ANALYSIS, PLAN_NAME, RESULTS_NAME, STAMP_NAME
from fovflow.records import leads_out, public, read_json_object
from fovflow.runs.crate import FILE_NAME, to_text
from fovflow.runs.manifest import JOB_LIMIT, Manifest
from fovflow.runs.provenance import WORKFLOW_FILES, capture_environment
from fovflow.runs.state import read_jobs
from fovflow.runs.store import list_runs

FOLDER = "provenance"
"""Folder, in the dataset's, with copies of the workflow, the configuration and the environment."""

MANIFEST_DIGEST = f"{FOLDER}/{FILE_NAME}.sha256"
"""The SHA-256 of the manifest, as ``sha256sum -c`` takes it."""

DOCUMENTS = {
    PLAN_NAME: "What the raw data's header says",
    RESULTS_NAME: "What was made of each FOV, with all parameters",
}
"""Small files of a dataset's folder that its manifest describes: what is in them, by name."""


def copy_workflow(
    folder: Path, source: str | os.PathLike[str]
) -> tuple[dict[str, Digest], dict[str, str]]:
    """Copy the workflow's files; return their digests, and the script of each step."""
    root = Path(source)
    digests: dict[str, Digest] = {}
    scripts: dict[str, str] = {}
    for pattern in WORKFLOW_FILES:
        for path in sorted(root.glob(pattern)):
            name = f"{FOLDER}/workflow/{path.relative_to(root).as_posix()}"
            text = path.read_text(encoding="utf-8")
            digests[name] = write_if_changed(folder / name, text)
            if path.suffix == ".py":
                scripts[path.stem] = name
    if not digests:
        raise FovflowError(f"there is no workflow in {root}", found="no Snakefile")
    for old in (folder / FOLDER / "workflow").rglob("*"):  # of another version
        if old.is_file() and old.relative_to(folder).as_posix() not in digests:
            old.unlink()
    return digests, scripts


def job_table(folder: Path, jobs: list[JobRecord]) -> tuple[str, Digest]:
    """Write the table of all jobs, one JSON object per line; return its name and digest."""
    name = f"{FOLDER}/jobs.jsonl"
    lines = []
    for job in jobs:
        outputs = {name: made and [made.bytes, made.sha256] for name, made in job.outputs.items()}
        row = {
            "job": job.key.name,
            "status": job.status,
            "run": job.run,
            "attempt": job.attempt or None,
            "started": job.started,
            "ended": job.ended,
            "host": job.host or None,
            "error": job.error,
            "inputs": job.inputs,
            "outputs": outputs,
            **({"metrics": job.logged} if job.logged else {}),
        }
        lines.append(json.dumps(row, ensure_ascii=False) + "\n")
    return name, write_if_changed(folder / name, "".join(lines))


def write_if_changed(path: Path, text: str) -> Digest:
    """Write a text, unless the file holds just that already; return its digest."""
    data = writable(text).encode()
    if not path.exists() or path.read_bytes() != data:
        write_text(path, data.decode())
    else:
        remove_leftovers(path)
    return _digest(data)


def _digest(data: bytes) -> Digest:
    return Digest(len(data), hashlib.sha256(data).hexdigest())


def write_manifest(
    outdir: str | os.PathLike[str],
    dataset: str,
    config: Mapping[str, Any],
    workflow_folder: str | os.PathLike[str],
    engine: tuple[str, str],
) -> Path:
    """Write a dataset's ``ro-crate-metadata.json`` from what is recorded now; safe to repeat.

    Without a name of a dataset it is that of the folder of the analysis: its files may be made of
    several datasets, whose folders can be moved without it.

    Beside it, in ``provenance/``, stand copies of the workflow's files, the resolved configuration
    and the environment. A file whose content would stay the same is not written again.

    `config`: the resolved configuration, plain values. `workflow_folder`: where Snakefile, rules
    and scripts lie. `engine`: name and version of the workflow engine.

    Returns
    -------
    pathlib.Path
        The manifest.
    """
    folder = Path(outdir) / (dataset or ANALYSIS)
    jobs = read_jobs(outdir, dataset)
    if not dataset:
        # What is made when a run has ended replaces the outputs of jobs, whose records are removed.
        told = (job for job in jobs if job.file or job.status != "completed")
        jobs = [_in_analysis(job) for job in told if job.step != "report"]
    made_by = {job.run for job in jobs}
    found = list_runs(outdir)
    chosen = [run for run in found if run.id in made_by] or found[-1:]
    runs = [{**run.known(), "id": run.id, "status": run.status()} for run in chosen]
    last: Mapping[str, Any] = runs[-1] if runs else {}
    environment = last.get("environment") or capture_environment()
    workflow, scripts = copy_workflow(folder, workflow_folder)
    settings = config.get("run") or {}
    documents: dict[str, tuple[Digest | None, str]] = {
        name: (_digest((folder / name).read_bytes()), words)
        for name, words in DOCUMENTS.items()
        if (folder / name).exists()
    }
    for name, words, content in (
        ("config", "The resolved configuration", public(config)),
        ("environment", "The software environment", environment),
    ):
        place = f"{FOLDER}/{name}.json"
        text = json.dumps(content, indent=2, ensure_ascii=False, default=str) + "\n"
        documents[place] = (write_if_changed(folder / place, text), words)
    recorded = {path for job in jobs for path in job.outputs}
    times = [str(run.get("ended") or "") for run in runs] + [job.ended or "" for job in jobs]
    manifest = Manifest(
        dataset=dataset,
        published=max(times, default="") or now(),
        version=fovflow.__version__,
        raw=_raw(folder, last) if dataset else {},
        runs=tuple(runs),
        jobs=tuple(jobs),
        present=frozenset(
            path
            for path in recorded - set(DOCUMENTS)
            if not leads_out(folder, path) and (folder / path).exists()
        ),
        documents=documents,
        workflow=workflow,
        scripts=scripts,
        engine=engine,
        environment=environment,
        table=job_table(folder, jobs) if len(jobs) > JOB_LIMIT else None,
        metadata=settings.get("metadata") or {},
    )
    text, path = to_text(manifest.content()), folder / FILE_NAME
    if sha256_or_none(path) != _digest(text.encode()).sha256:
        # Where the new digest cannot be written there is none.
        (folder / MANIFEST_DIGEST).unlink(missing_ok=True)
    digest = write_if_changed(path, text)
    line = f"# {digest.bytes} bytes\n{digest.sha256}  ../{FILE_NAME}\n"
    write_if_changed(folder / MANIFEST_DIGEST, line)
    return path


def _in_analysis(job: JobRecord) -> JobRecord:
    """Return a job of the output folder with names of files relative to that of the analysis."""
    inputs = tuple(map(_from_analysis, job.inputs))
    outputs = {_from_analysis(path): digest for path, digest in job.outputs.items()}
    return replace(job, inputs=inputs, outputs=outputs)


def _from_analysis(path: str) -> str:
    inner = path.removeprefix(f"{ANALYSIS}/")
    return f"../{path}" if inner == path else inner


def _raw(folder: Path, run: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is known of the raw data, from plan and stamp and the run's inputs."""
    plan, stamp = read_json_object(folder / PLAN_NAME), read_json_object(folder / STAMP_NAME)
    path = str(stamp.get("path") or "")
    inputs = [item for item in run.get("inputs") or [] if isinstance(item, Mapping)]
    known = (item.get("sha256") for item in inputs if item.get("path") == path)
    return {
        "name": Path(path).name,
        "format": plan.get("format"),
        "bytes": plan.get("n_bytes"),
        "digest": plan.get("fingerprint"),
        "sha256": next(filter(None, known), None),
    }
