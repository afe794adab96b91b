"""From the records of a dataset's folder to its manifest and the files that stand beside it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fovflow
from fovflow.atomic import Digest, write_text
from fovflow.errors import FovflowError
from fovflow.events import now
from fovflow.jobrecord import JobRecord
from fovflow.layout import PLAN_NAME, RESULTS_NAME, STAMP_NAME
from fovflow.runs.jobs import read_jobs
from fovflow.runs.manifest import (
    FILE_NAME,
    JOB_LIMIT,
    NO_LICENSE,
    ManifestFacts,
    make_manifest,
    to_text,
)
from fovflow.runs.provenance import WORKFLOW_FILES, capture_environment
from fovflow.runs.store import RunFolder, list_runs
from fovflow.tables import read_json_object

FOLDER = "provenance"
"""Folder, in the dataset's, with copies of the workflow, the configuration and the environment."""

DOCUMENTS = {
    PLAN_NAME: "What the raw data's header says",
    RESULTS_NAME: "What was made of each FOV, with all parameters",
}
"""Small files of a dataset's folder that its manifest describes: what is in them, by name."""


def documents(folder: Path) -> dict[str, tuple[Digest | None, str]]:
    """Return the small files that the manifest describes and whose content it is made from."""
    return {
        name: (_digest((folder / name).read_bytes()), words)
        for name, words in DOCUMENTS.items()
        if (folder / name).exists()
    }


def snapshots(
    folder: Path, contents: Mapping[str, Mapping[str, Any]]
) -> dict[str, tuple[Digest | None, str]]:
    """Write the configuration and the environment; return their digests and descriptions."""
    words = {"config": "The resolved configuration", "environment": "The software environment"}
    found: dict[str, tuple[Digest | None, str]] = {}
    for name, content in contents.items():
        path = f"{FOLDER}/{name}.json"
        text = json.dumps(content, indent=2, ensure_ascii=False, default=str) + "\n"
        found[path] = (write_if_changed(folder / path, text), words[name])
    return found


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
    lines = [
        json.dumps(
            {
                "job": job.key.name,
                "status": job.status,
                "run": job.run,
                "attempt": job.attempt or None,
                "started": job.started,
                "ended": job.ended,
                "host": job.host or None,
                "error": job.error,
                "inputs": job.inputs,
                "outputs": {
                    path: None if digest is None else [digest.bytes, digest.sha256]
                    for path, digest in job.outputs.items()
                },
            },
            ensure_ascii=False,
        )
        for job in jobs
    ]
    return name, write_if_changed(folder / name, "\n".join(lines) + "\n")


def write_if_changed(path: Path, text: str) -> Digest:
    """Write a text, unless the file holds just that already; return its digest."""
    data = text.encode()
    if not path.exists() or path.read_bytes() != data:
        write_text(path, text)
    return _digest(data)


def _digest(data: bytes) -> Digest:
    return Digest(len(data), hashlib.sha256(data).hexdigest())


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What the records do not tell and the caller knows.

    Attributes
    ----------
    config : mapping
        The resolved configuration, plain values.
    workflow_folder : path-like
        Where Snakefile, rules and scripts lie.
    engine : tuple of str
        Name and version of the workflow engine.
    """

    config: Mapping[str, Any]
    workflow_folder: str | os.PathLike[str]
    engine: tuple[str, str]


def write_manifest(
    outdir: str | os.PathLike[str], dataset: str, circumstances: Circumstances
) -> Path:
    """Write a dataset's ``ro-crate-metadata.json`` from what is recorded now; safe to repeat.

    Beside it, in ``provenance/``, stand copies of the workflow's files, the resolved configuration
    and the environment. A file whose content would stay the same is not written again.

    Parameters
    ----------
    outdir : path-like
    dataset : str
    circumstances : Circumstances

    Returns
    -------
    pathlib.Path
        The manifest.
    """
    folder = Path(outdir) / dataset
    jobs = read_jobs(outdir, dataset)
    runs = _runs_of(outdir, jobs)
    environment = (runs[-1].get("environment") if runs else None) or capture_environment()
    workflow, scripts = copy_workflow(folder, circumstances.workflow_folder)
    recorded = {path for job in jobs for path in job.outputs}
    facts = ManifestFacts(
        dataset=dataset,
        published=_published(runs, jobs),
        version=fovflow.__version__,
        raw=_raw(folder, runs),
        runs=tuple(runs),
        jobs=tuple(jobs),
        present=frozenset(path for path in recorded - set(DOCUMENTS) if (folder / path).exists()),
        documents={
            **documents(folder),
            **snapshots(
                folder, {"config": _public(circumstances.config), "environment": environment}
            ),
        },
        workflow=workflow,
        scripts=scripts,
        engine=circumstances.engine,
        environment=environment,
        table=job_table(folder, jobs) if len(jobs) > JOB_LIMIT else None,
        license=_license(circumstances.config),
    )
    target = folder / FILE_NAME
    write_if_changed(target, to_text(make_manifest(facts)))
    return target


def _runs_of(outdir: str | os.PathLike[str], jobs: Iterable[JobRecord]) -> list[dict[str, Any]]:
    """Return the records of the runs that made what is there; else of the last run."""
    wanted = {job.run for job in jobs}
    folders = list_runs(outdir)
    chosen = [run for run in folders if run.id in wanted] or folders[-1:]
    return [_record_of(run) for run in chosen]


def _record_of(run: RunFolder) -> dict[str, Any]:
    content = run.read_record()
    return {**content, "id": run.id, "status": run.status()}


def _published(runs: list[dict[str, Any]], jobs: list[JobRecord]) -> str:
    times = [str(run.get("ended") or "") for run in runs]
    times += [job.ended or "" for job in jobs]
    return max(times, default="") or now()


def _raw(folder: Path, runs: list[dict[str, Any]]) -> dict[str, Any]:
    plan, stamp = read_json_object(folder / PLAN_NAME), read_json_object(folder / STAMP_NAME)
    path = str(stamp.get("path") or "")
    found = {
        "name": Path(path).name,
        "format": plan.get("format"),
        "bytes": plan.get("n_bytes"),
        "digest": plan.get("fingerprint"),
    }
    for item in (runs[-1].get("inputs") if runs else None) or []:
        if isinstance(item, Mapping) and item.get("path") == path and item.get("sha256"):
            found["sha256"] = item["sha256"]
    return found


def _public(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration without the mail server: addresses are nobody else's business."""
    run = config.get("run")
    if not isinstance(run, Mapping):
        return dict(config)
    return {**config, "run": {key: value for key, value in run.items() if key != "smtp"}}


def _license(config: Mapping[str, Any]) -> str:
    run = config.get("run")
    metadata = run.get("metadata") if isinstance(run, Mapping) else None
    named = metadata.get("license") if isinstance(metadata, Mapping) else None
    return str(named) if named else NO_LICENSE
