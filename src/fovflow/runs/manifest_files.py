"""The files that stand beside a manifest: workflow, configuration, environment, table of jobs."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fovflow.atomic import Digest, write_text
from fovflow.errors import FovflowError
from fovflow.results import FILE_NAME as RESULTS_NAME
from fovflow.runs.crate import CrateJob
from fovflow.runs.provenance import WORKFLOW_FILES

FOLDER = "provenance"
"""Folder, in the dataset's, with copies of the workflow, the configuration and the environment."""

DOCUMENTS = {
    "dataset.json": "What the raw data's header says",
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


def job_table(folder: Path, jobs: list[CrateJob]) -> tuple[str, Digest]:
    """Write the table of all jobs, one JSON object per line; return its name and digest."""
    name = f"{FOLDER}/jobs.jsonl"
    lines = [
        json.dumps(
            {
                "job": job.key.name,
                "status": job.status,
                "run": job.run,
                "attempt": job.attempt,
                "started": job.started,
                "ended": job.ended,
                "host": job.host,
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
