"""What a manifest is made from, and its vocabulary: contexts, profiles, ids, times."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC
from typing import Any
from urllib.parse import quote, unquote

from fovflow.atomic import Digest
from fovflow.events import moment
from fovflow.jobrecord import JobRecord
from fovflow.layout import parse
from fovflow.stages import FILES, STACKS

NO_LICENSE = "No licence is stated: ask the owner of the data."


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
    jobs : tuple of JobRecord
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
    jobs: tuple[JobRecord, ...]
    present: frozenset[str]
    documents: Mapping[str, tuple[Digest | None, str]]
    workflow: Mapping[str, Digest]
    scripts: Mapping[str, str]
    engine: tuple[str, str]
    environment: Mapping[str, Any] = field(default_factory=dict)
    table: tuple[str, Digest] | None = None
    license: str = NO_LICENSE


FILE_NAME = "ro-crate-metadata.json"
RO_CRATE = "https://w3id.org/ro/crate/1.1"

_TERMS = "https://w3id.org/ro/terms/workflow-run#"
CONTEXT: list[Any] = [
    f"{RO_CRATE}/context",
    {
        "sha256": f"{_TERMS}sha256",
        "resourceUsage": f"{_TERMS}resourceUsage",
        "environment": f"{_TERMS}environment",
    },
]
"""The context of RO-Crate 1.1 and the few terms of the Workflow Run vocabulary that are used."""

WORKFLOW_RO_CRATE = "https://w3id.org/workflowhub/workflow-ro-crate/1.0"

PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": ("Process Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/workflow/0.5": ("Workflow Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/provenance/0.5": ("Provenance Run Crate", "0.5"),
    WORKFLOW_RO_CRATE: ("Workflow RO-Crate", "1.0"),
}
"""Profiles that the manifest conforms to."""

SNAKEMAKE_LANGUAGE = "https://w3id.org/workflowhub/workflow-ro-crate#snakemake"

STATUS = {
    "completed": "http://schema.org/CompletedActionStatus",
    "failed": "http://schema.org/FailedActionStatus",
    "terminated": "http://schema.org/FailedActionStatus",
    "lost": "http://schema.org/FailedActionStatus",
    "created": "http://schema.org/ActiveActionStatus",
    "running": "http://schema.org/ActiveActionStatus",
}
"""Statuses of runs and jobs in schema.org's words."""

NPY_FORMAT = "https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html"
_MEDIA = {
    ".npy": "application/octet-stream",
    ".csv": "text/csv",
    ".json": "application/json",
    ".jsonl": "application/jsonl",
    ".yaml": "application/yaml",
    ".html": "text/html",
    ".png": "image/png",
    ".py": "text/x-python",
    ".smk": "text/plain",
}


def reference(ident: str) -> dict[str, str]:
    """Return a reference to the entity `ident`."""
    return {"@id": ident}


def file_id(path: str) -> str:
    """Return the id of a file from its name relative to the crate.

    Examples
    --------
    >>> file_id("fov_000/plate 1_pc.npy")
    'fov_000/plate%201_pc.npy'
    """
    return quote(path)


def file_path(ident: str) -> str:
    """Return the name relative to the crate of the file with this id."""
    return unquote(ident)


def encoding_format(path: str) -> str:
    """Return a file's media type from the end of its name."""
    suffix = path[path.rfind(".") :] if "." in path else ""
    return _MEDIA.get(suffix, "text/plain" if not suffix else "application/octet-stream")


def kind_of(path: str) -> str | None:
    """Return what an output is, from its name; None for names of other origin."""
    found = parse(path)
    return FILES[found.kind].words if found else None


def kept_kind(path: str) -> str | None:
    """Return the kind of a bulky stack, which may be removed after its use; None for other files.

    Examples
    --------
    >>> kept_kind("fov_000/a_fov_000_fl_corrected_ch_1.npy")
    'fl_corrected'
    """
    found = parse(path)
    return found.kind if found and found.kind in STACKS else None


def timestamp(time: str | None) -> str | None:
    """Return a time in UTC with three decimals and ``+00:00``; None where it is no time.

    Examples
    --------
    >>> timestamp("2026-03-01T10:00:00.123456+00:00")
    '2026-03-01T10:00:00.123+00:00'
    """
    at = moment(time)
    return None if at is None else at.astimezone(UTC).isoformat(timespec="milliseconds")


def tidy(entity: Mapping[str, Any]) -> dict[str, Any]:
    """Return an entity without empty values, lists of one value as that value."""
    kept = {key: value for key, value in entity.items() if value is not None and value != []}
    return {
        key: value[0] if isinstance(value, list) and len(value) == 1 else value
        for key, value in kept.items()
    }


class Graph:
    """Entities by id, in the order in which they were added."""

    def __init__(self) -> None:
        self._entities: dict[str, dict[str, Any]] = {}

    def add(self, entity: dict[str, Any]) -> str:
        """Add an entity, as `tidy` makes it; return its id. Known ids stay as they are."""
        kept = tidy(entity)
        self._entities.setdefault(kept["@id"], kept)
        return str(kept["@id"])

    def __contains__(self, ident: str) -> bool:
        return ident in self._entities

    def __getitem__(self, ident: str) -> dict[str, Any]:
        return self._entities[ident]

    def get(self, ident: str) -> dict[str, Any] | None:
        """Return an entity, or None."""
        return self._entities.get(ident)

    def entities(self) -> Iterator[dict[str, Any]]:
        """Iterate over all entities."""
        return iter(self._entities.values())
