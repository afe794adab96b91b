"""RO-Crates: entities by id, files, people, times, and the whole as JSON text.

What is made of a dataset is told by `fovflow.runs.manifest`, what a script did by
`fovflow.runs.script_crate`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC
from functools import partial
from typing import Any
from urllib.parse import quote, unquote

from fovflow.atomic import Digest
from fovflow.events import moment, writable
from fovflow.layout import parse
from fovflow.stages import FILES

FILE_NAME = "ro-crate-metadata.json"

NO_LICENSE = "No licence is stated: ask the owner of the data."
NO_CHECKSUM = "No checksum was recorded when it was made."

STATUS = {
    "completed": "http://schema.org/CompletedActionStatus",
    "failed": "http://schema.org/FailedActionStatus",
    "terminated": "http://schema.org/FailedActionStatus",
    "lost": "http://schema.org/FailedActionStatus",
    "created": "http://schema.org/ActiveActionStatus",
    "running": "http://schema.org/ActiveActionStatus",
}
"""Statuses of runs and jobs in schema.org's words."""

RO_CRATE = "https://w3id.org/ro/crate/1.1"
_TERMS = "https://w3id.org/ro/terms/workflow-run#"
CONTEXT: list[Any] = [
    f"{RO_CRATE}/context",
    {term: f"{_TERMS}{term}" for term in ("sha256", "resourceUsage", "environment")},
]
quoted = partial(quote, errors="replace")
"""Returns a text as a part of an id."""
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
    "": "text/plain",
}


@dataclass
class Graph:
    """Entities by id, in the order in which they are added."""

    graph: dict[str, dict[str, Any]] = field(default_factory=dict, init=False)

    def add(self, ident: str, kind: Any, **keys: Any) -> str:
        """Add an entity without its empty values; return its id. A known one stays as it is."""
        if self.graph.get(ident, {"@id": ident}) == {"@id": ident}:
            self.graph[ident] = tidy({"@id": ident, "@type": kind, **keys})
        return ident

    def add_file(
        self,
        path: str,
        digest: Digest | None,
        words: str | None = None,
        *,
        kind: Any = "File",
        name: str | None = None,
        **keys: Any,
    ) -> str:
        """Add a file in the folder; return its id."""
        parts = [words or words_of(path), None if digest else NO_CHECKSUM]
        own = path.rpartition("/")[2]
        suffix = own[own.rfind(".") :] if "." in own else ""
        return self.add(
            file_id(path),
            kind,
            name=name or own,
            encodingFormat=_MEDIA.get(suffix, "application/octet-stream"),
            conformsTo=ref(NPY_FORMAT) if suffix == ".npy" else None,
            description=". ".join(filter(None, parts)) or None,
            **size_of(digest),
            **keys,
        )

    def add_metric(self, ident: str, name: str, value: float, unit: str | None, **keys: Any) -> str:
        """Add a number that a script logged; as text, which may be ``inf`` or ``nan``."""
        number = f"{value:.15g}"
        return self.add(ident, "PropertyValue", name=name, value=number, unitText=unit, **keys)

    def people(self, metadata: Mapping[str, Any]) -> dict[str, Any]:
        """Add licence, author and publisher, as far as a run's metadata name them.

        Returns the keys of the root. An author or a publisher is a name, perhaps with an address in
        brackets, ``Ada Lovelace <https://orcid.org/…>``. A licence is the address of its text, an
        identifier of SPDX, or a sentence.
        """
        found: dict[str, Any] = {"license": str(metadata.get("license") or NO_LICENSE)}
        if re.fullmatch(r"\S+", found["license"]):
            url = found["license"]
            url = url if "://" in url else f"https://spdx.org/licenses/{quoted(url)}"
            found["license"] = ref(self.add(url, "CreativeWork", name=str(metadata["license"])))
        for role, kind in (("author", "Person"), ("publisher", "Organization")):
            if metadata.get(role):
                name, _, rest = str(metadata[role]).partition("<")
                ident, name = rest.strip(" >"), name.strip() or str(metadata[role])
                ident = ident if "://" in ident else f"#{role}/{quoted(name)}"
                url = ident if "://" in ident else None
                found[role] = ref(self.add(ident, kind, name=name, url=url))
        return found

    def whole(self, conforms_to: list[str], **root: Any) -> dict[str, Any]:
        """Return the crate; `root` are keys of its root."""
        descriptor = {
            "@id": FILE_NAME,
            "@type": "CreativeWork",
            "conformsTo": refs([RO_CRATE, *conforms_to]),
            "about": ref("./"),
        }
        first = tidy({"@id": "./", "@type": "Dataset", **root})
        return {"@context": CONTEXT, "@graph": [tidy(descriptor), first, *self.graph.values()]}


def to_text(manifest: Mapping[str, Any]) -> str:
    """Return a crate as JSON text, one entity per line."""
    context, graph = manifest["@context"], manifest["@graph"]
    entities = ",\n".join(map(_compact, graph))
    return writable(f'{{"@context": {_compact(context)},\n"@graph": [\n{entities}\n]}}\n')


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def file_id(path: str) -> str:
    """Return the id of a file from its name relative to the manifest's folder.

    Examples
    --------
    >>> file_id("fov_000/plate 1_pc.npy")
    'fov_000/plate%201_pc.npy'
    """
    return quoted(path)


def file_path(ident: str) -> str:
    """Return the name relative to the manifest's folder of the file with this id."""
    return unquote(ident)


def types_of(entity: Mapping[str, Any]) -> list[str]:
    """Return the types of an entity."""
    types = entity.get("@type")
    listed = types if isinstance(types, list) else [types]
    return [one for one in listed if isinstance(one, str)]


def entities_of(graph: Iterable[Any]) -> list[Mapping[str, Any]]:
    """Return what of a crate's graph is an entity: it has an id."""
    return [each for each in graph if isinstance(each, Mapping) and "@id" in each]


def references_of(entity: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield each key under which an entity refers to another, and that one's id."""
    for key, value in entity.items():
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, Mapping) and "@id" in item:
                yield key, str(item["@id"])


def timestamp(time: str | None) -> str | None:
    """Return a time in UTC with three decimals and ``+00:00``; None where it is no time.

    Examples
    --------
    >>> timestamp("2026-03-01T10:00:00.123456+00:00")
    '2026-03-01T10:00:00.123+00:00'
    """
    at = moment(time)
    return None if at is None else at.astimezone(UTC).isoformat(timespec="milliseconds")


def size_of(digest: Digest | None) -> dict[str, str]:
    """Return size and SHA-256 of a file, where they are known."""
    return {"contentSize": str(digest.bytes), "sha256": digest.sha256} if digest else {}


def ref(ident: str) -> dict[str, str]:
    """Return a reference to an entity."""
    return {"@id": ident}


def refs(idents: Iterable[str]) -> list[dict[str, str]]:
    """Return references to entities."""
    return [{"@id": ident} for ident in idents]


def tidy(entity: Mapping[str, Any]) -> dict[str, Any]:
    """Return an entity without empty values, lists of one value as that value."""
    kept = {key: value for key, value in entity.items() if value is not None and value != []}
    return {
        key: value[0] if isinstance(value, list) and len(value) == 1 else value
        for key, value in kept.items()
    }


def words_of(path: str) -> str | None:
    """Return what an output is, from its name; None for names of other origin."""
    found = parse(path)
    return FILES[found.kind].words if found else None
