"""What a manifest is made from: the crate and its jobs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fovflow.atomic import Digest
from fovflow.runs.jobrecords import JobKey

NO_LICENSE = "No licence is stated: ask the owner of the data."


@dataclass(frozen=True, slots=True)
class CrateJob:
    """One job, as the manifest tells it; see `fovflow.runs.jobrecords` for the attributes."""

    key: JobKey
    status: str
    run: str = ""
    started: str | None = None
    ended: str | None = None
    host: str | None = None
    attempt: int | None = None
    error: str = ""
    options: Any = None
    inputs: tuple[str, ...] = ()
    outputs: Mapping[str, Digest | None] = field(default_factory=dict)
    usage: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Crate:
    """All that a manifest is made from.

    Attributes
    ----------
    dataset : str
    published : str
        When the manifest was made, ISO 8601.
    version : str
        Version of fovflow.
    raw : mapping
        ``name``, ``format``, ``bytes``, ``digest`` and perhaps ``sha256`` of the raw data.
    runs : tuple of mapping
        Contents of ``run.json``, oldest first: the runs that made what is there. The last one is
        the crate's own; empty where none was recorded.
    jobs : tuple of CrateJob
    present : frozenset of str
        Names, relative to the dataset's folder, of recorded outputs that exist.
    documents : mapping of str to (Digest or None, str)
        Further files that exist: digest and description.
    workflow : mapping of str to Digest
        Copies of the workflow's files in the dataset's folder, the Snakefile first.
    scripts : mapping of str to str
        The file in `workflow` that each step runs.
    engine : tuple of str
        Name and version of the workflow engine.
    environment : mapping
        See `fovflow.runs.provenance.capture_environment`.
    table : tuple of str and Digest, optional
        The table of all jobs, where they are too many for an action each.
    license : str
    """

    dataset: str
    published: str
    version: str
    raw: Mapping[str, Any]
    runs: tuple[Mapping[str, Any], ...]
    jobs: tuple[CrateJob, ...]
    present: frozenset[str]
    documents: Mapping[str, tuple[Digest | None, str]]
    workflow: Mapping[str, Digest]
    scripts: Mapping[str, str]
    engine: tuple[str, str]
    environment: Mapping[str, Any] = field(default_factory=dict)
    table: tuple[str, Digest] | None = None
    license: str = NO_LICENSE
