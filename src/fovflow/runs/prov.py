"""A manifest in the words of W3C PROV, as PROV-JSON (https://www.w3.org/submissions/prov-json/).

Files and parameters are entities, jobs and runs are activities, the workflow engine is the agent
that carries them out, and the script of a step is its plan. This module is pure: it takes the
content of ``ro-crate-metadata.json`` and reads nothing else; a script's run is an activity, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

from fovflow.runs.crate import entities_of, references_of, types_of

_PREFIXES = {
    "schema": "http://schema.org/",
    "dcterms": "http://purl.org/dc/terms/",
}
_PLAIN = ("contentSize", "sha256", "encodingFormat", "identifier", "value", "description", "error")
_JOB, _ENGINE = "CreateAction", "OrganizeAction"

Entity = Mapping[str, Any]
Records = dict[str, dict[str, dict[str, Any]]]


def to_prov(manifest: Mapping[str, Any], dataset: str) -> dict[str, Any]:
    """Return a manifest as a PROV-JSON document.

    `manifest`: content of ``ro-crate-metadata.json``. `dataset`: name of the dataset; names in the
    document begin with ``arcp://name,{dataset}/``. The order depends on the manifest alone.
    """
    graph = {str(entity["@id"]): entity for entity in entities_of(manifest["@graph"])}
    found = _Document(graph)
    for entity in graph.values():
        kinds = types_of(entity)
        if _ENGINE in kinds:
            found.add_engine(entity)
    for entity in graph.values():
        if _JOB in types_of(entity):
            found.add_activity(entity)
    prefix = {"crate": f"arcp://name,{quote(dataset, safe='')}/", **_PREFIXES}
    return {"prefix": prefix, **{kind: items for kind, items in found.records.items() if items}}


class _Document:
    """The records of a document, while it is made."""

    def __init__(self, graph: Mapping[str, Entity]):
        self.records: Records = {
            kind: {}
            for kind in (
                "entity", "activity", "agent",
                "used", "wasGeneratedBy", "wasDerivedFrom", "wasAssociatedWith",
            )
        }  # fmt: skip
        self._graph = graph
        self._engine_of: dict[str, str] = {}
        self._run_of: dict[str, str] = {}

    def add_engine(self, action: Entity) -> None:
        """Add the agent behind a run; remember which jobs it carried out."""
        run = next(iter(_ids(action, "result")), "")
        for engine in _ids(action, "instrument"):
            agent = {"prov:type": _name_of("prov:SoftwareAgent")}
            self.records["agent"][_name(engine)] = agent | _about(self._graph.get(engine, {}))
            self._engine_of[run] = engine
            for control in _ids(action, "object"):
                for job in _ids(self._graph.get(control, {}), "object"):
                    self._engine_of[job] = engine
                    self._run_of[job] = run

    def add_activity(self, action: Entity) -> None:
        """Add a job or a run with all that it used and made."""
        ident = str(action["@id"])
        times = {
            f"prov:{key}": str(action[key]) for key in ("startTime", "endTime") if key in action
        }
        status = str(action.get("actionStatus", "")).rpartition("/")[2]
        about: dict[str, Any] = {"schema:actionStatus": status} if status else {}
        inputs, outputs = _ids(action, "object"), _ids(action, "result")
        if ident in self._run_of:
            about["dcterms:isPartOf"] = _name_of(_name(self._run_of[ident]))
        if ident in self._run_of or not self._engine_of:  # else its jobs tell that
            self._relate(ident, inputs, outputs)
        self.records["activity"][_name(ident)] = {**times, **about, **_about(action)}
        for agent in _ids(action, "agent"):
            person = {"prov:type": _name_of("prov:Person")}
            self.records["agent"][_name(agent)] = person | _about(self._graph.get(agent, {}))
        self._associate(ident, _ids(action, "instrument"), _ids(action, "agent"))

    def _relate(self, job: str, inputs: list[str], outputs: list[str]) -> None:
        activity = _name(job)
        used, made = list(self._entities(inputs)), list(self._entities(outputs))
        data = [_name(i) for i in inputs if "PropertyValue" not in types_of(self._graph.get(i, {}))]
        for name in used:
            self._add("used", activity=activity, entity=name)
        for name in made:
            self._add("wasGeneratedBy", entity=name, activity=activity)
            for source in data:
                self._add(
                    "wasDerivedFrom", generatedEntity=name, usedEntity=source, activity=activity
                )

    def _associate(self, ident: str, plans: Iterable[str], people: list[str]) -> None:
        engine = [self._engine_of[ident]] if ident in self._engine_of else people[:1]
        agent = {"agent": _name(engine[0])} if engine else {}
        for plan in self._entities(plans, {"prov:type": _name_of("prov:Plan")}):
            self._add("wasAssociatedWith", activity=_name(ident), **agent, plan=plan)

    def _entities(self, idents: Iterable[str], kind: Mapping[str, Any] = {}) -> Iterator[str]:
        for ident in idents:
            about = {**kind, **_about(self._graph.get(ident, {}))}
            self.records["entity"].setdefault(_name(ident), about)
            yield _name(ident)

    def _add(self, kind: str, **content: str) -> None:
        of_kind = self.records[kind]
        of_kind[f"_:{kind}{len(of_kind) + 1}"] = {f"prov:{k}": v for k, v in content.items()}


def _ids(entity: Entity, key: str) -> list[str]:
    """Return what an entity refers to under a key, in order."""
    return [ident for name, ident in references_of(entity) if name == key]


def _about(entity: Entity) -> dict[str, Any]:
    label = {"prov:label": str(entity["name"])} if "name" in entity else {}
    return label | {f"schema:{key}": str(entity[key]) for key in _PLAIN if key in entity}


def _name(ident: str) -> str:
    return f"crate:{ident}"


def _name_of(name: str) -> dict[str, str]:
    return {"$": name, "type": "prov:QUALIFIED_NAME"}
