"""The manifest: a Workflow Run RO-Crate of what was made of a dataset, by which jobs, from what.

RO-Crate 1.1 with the profiles Process, Workflow and Provenance Run Crate 0.5. This module makes the
content from what is known; `fovflow.runs.manifest_records` gathers that from records and writes it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fovflow.atomic import Digest
from fovflow.events import number_of
from fovflow.jobrecord import JobKey, JobRecord
from fovflow.layout import PLAN_NAME
from fovflow.runs.crate import (
    NPY_FORMAT,
    STATUS,
    Graph,
    file_id,
    quoted,
    ref,
    refs,
    size_of,
    timestamp,
    words_of,
)
from fovflow.stages import STAGES, position

JOB_LIMIT = 10_000
"""Up to this number of jobs each has an action of its own."""

ACTIONS = frozenset({"CreateAction", "OrganizeAction", "ControlAction"})
"""Types of what is done: a job or a run, the engine's run, the engine's control of a job."""

_WORKFLOW_RO_CRATE = "https://w3id.org/workflowhub/workflow-ro-crate/1.0"
_PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": ("Process Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/workflow/0.5": ("Workflow Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/provenance/0.5": ("Provenance Run Crate", "0.5"),
    _WORKFLOW_RO_CRATE: ("Workflow RO-Crate", "1.0"),
}
_SNAKEMAKE = "https://snakemake.github.io"
_SNAKEMAKE_LANGUAGE = "https://w3id.org/workflowhub/workflow-ro-crate#snakemake"
_USAGE = {"cpu_s": ("CPU time", "SEC"), "peak_mib": ("peak resident memory", "E63")}
_PACKAGES = (
    "numpy", "scipy", "opencv-python-headless", "scikit-image", "pandas", "nd2", "tifffile",
    "imagecodecs", "pylibczirw", "zarr", "pydantic", "pyyaml", "cellpose", "laptrack",
)  # fmt: skip
_UNRECORDED = "unrecorded"


@dataclass
class Manifest(Graph):
    """The manifest of a folder, and all that it is made from.

    The same records give the same content, entities in the same order.
    """

    dataset: str
    """Its name; empty for the folder of the analysis, which is of all datasets together."""
    published: str
    """When the manifest was made, ISO 8601."""
    version: str
    """Version of fovflow."""
    raw: Mapping[str, Any]
    """``name``, ``format``, ``bytes``, ``digest`` and perhaps ``sha256`` of the raw data; empty
    where no job reads any."""
    runs: tuple[Mapping[str, Any], ...]
    """Contents of ``run.json`` of the runs that made what is there, oldest first: the last one is
    the manifest's own."""
    jobs: tuple[JobRecord, ...]
    present: frozenset[str]
    """Names, relative to the dataset's folder, of recorded outputs that exist."""
    documents: Mapping[str, tuple[Digest | None, str]]
    """Further files that exist: digest and description."""
    workflow: Mapping[str, Digest]
    """Copies of the workflow's files in the dataset's folder, the Snakefile first."""
    scripts: Mapping[str, str]
    """The file in `workflow` that each step runs."""
    engine: tuple[str, str]
    """Name and version of the workflow engine."""
    environment: Mapping[str, Any] = field(default_factory=dict)
    """See `fovflow.runs.provenance.capture_environment`."""
    table: tuple[str, Digest] | None = None
    """The table of all jobs, where they are too many for an action each."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """What the configuration tells of the run: perhaps license, author, publisher."""

    def __post_init__(self) -> None:
        self.agent: Any = None
        self.engine_id = f"https://github.com/snakemake/snakemake/tree/v{self.engine[1]}"
        self.main = next(iter(self.workflow))

    def content(self) -> dict[str, Any]:
        """Return the content of ``ro-crate-metadata.json``."""
        files = [*self._add_documents(), *self._add_outputs(), *self.workflow]
        if self.raw:
            self._add_raw()
        steps = [
            *["plan"] * bool(self.raw),
            *sorted({job.step for job in self.jobs}, key=position),
        ]
        for number, step in enumerate(steps):
            keys = {"name": step, "position": str(number), "workExample": ref(self._tool(step))}
            self.add(f"#step/{step}", "HowToStep", **keys)
        actions = self._add_runs()
        self._add_software()
        self._add_workflow(steps)
        for ident, (name, version) in _PROFILES.items():
            self.add(ident, "CreativeWork", name=name, version=version)
        bad = sum(job.status != "completed" for job in self.jobs)
        jobs = f"{len(self.jobs)} jobs" + (f", {bad} of them not completed" if bad else "")
        subject = "samples of time-lapse microscopy datasets, which have manifests of their own"
        if self.dataset:
            subject = f"time-lapse microscopy dataset {self.dataset}"
        return self.whole(
            [_WORKFLOW_RO_CRATE],
            name=f"Results of {self.dataset}" if self.dataset else "Analysis of samples",
            description=f"What fovflow {self.version} made of the {subject}: {jobs}.",
            datePublished=timestamp(self.published),
            **self.people(self.metadata),
            conformsTo=refs(_PROFILES),
            mainEntity=ref(file_id(self.main)),
            hasPart=refs(map(file_id, sorted(set(files)))),
            mentions=refs(actions),
        )

    # ---- files

    def _add_documents(self) -> list[str]:
        entries = dict(self.documents)
        if self.table:
            name, digest = self.table
            entries[name] = (digest, "Every job, one JSON object per line")
        for path, (known, words) in sorted(entries.items()):
            self.add_file(path, known, words)
        return list(entries)

    def _add_outputs(self) -> list[str]:
        there = self.present - self.documents.keys()
        made = [path for job in self.jobs for path in job.outputs if path in there]
        last: dict[str, Digest | None] = {}  # a step may have had another name before
        for job in sorted(self.jobs, key=lambda job: job.ended or ""):
            last |= job.outputs
        for path in made:
            self.add_file(path, last[path])
        if any(path.endswith(".npy") for path in made):
            self.add(NPY_FORMAT, "WebPage", name="NumPy array file format")
        return list(dict.fromkeys(made))

    def _file_of_job(self, path: str, digest: Digest | None = None) -> str:
        """Return the id of a file; one that is not in the folder is described without being a part.

        Steps are added in the order of the work: who made a file tells its digest.
        """
        if path in self.present or path in self.documents:
            return file_id(path)
        where = "not of this folder" if path.startswith("..") else "no longer in this folder"
        return self.add(
            f"#elsewhere/{file_id(path.removeprefix('../'))}",
            "CreativeWork",
            name=path.rpartition("/")[2],
            description=f"{words_of(path) or 'file'}; {where}",
            **size_of(digest),
        )

    def _add_raw(self) -> None:
        """Add the raw data, which are no part of the folder."""
        raw = self.raw
        size = raw.get("bytes")
        self.add(
            "#raw",
            "CreativeWork",
            name=str(raw.get("name") or self.dataset),
            description="The raw data, which are no part of this folder. The identifier is a "
            "digest of their content, defined in fovflow.readers.fingerprint.",
            encodingFormat=str(raw.get("format") or "unknown"),
            identifier=raw.get("digest") or None,
            contentSize=None if size is None else str(size),
            sha256=raw.get("sha256") or None,
        )

    # ---- code

    def _tool(self, step: str) -> str:
        """Return the id of what runs a step: a script of the workflow, else a part of fovflow."""
        if step not in self.scripts:
            keys = {"name": f"fovflow {step}", "softwareVersion": self.version}
            return self.add(f"#tool/{step}", "SoftwareApplication", **keys)
        ident = file_id(self.scripts[step])
        self.graph.setdefault(ident, {"@id": ident})  # described with the workflow's other files
        return ident

    def _add_software(self) -> None:
        """Add the engine, Python and the packages."""
        name, version = self.engine
        keys = {"name": name, "softwareVersion": version, "url": _SNAKEMAKE}
        self.add(self.engine_id, "SoftwareApplication", **keys)
        for name, version in self._software():
            keys = {"name": name, "softwareVersion": version}
            self.add(f"#software/{name}", "SoftwareApplication", **keys)

    def _software(self) -> list[tuple[str, str]]:
        environment = self.environment
        packages = environment.get("packages") or {}
        python = environment.get("python")
        return [
            ("fovflow", self.version),
            *([("python", str(python))] if python else []),
            *((name, str(packages[name])) for name in _PACKAGES if name in packages),
        ]

    def _add_workflow(self, steps: list[str]) -> None:
        """Add the workflow's files and language."""
        about = (self.runs[-1].get("workflow") if self.runs else None) or {}
        self.add_file(
            self.main,
            self.workflow[self.main],
            "The workflow",
            kind=["File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"],
            name=str(about.get("name") or "fovflow"),
            version=self.version,
            programmingLanguage=ref(_SNAKEMAKE_LANGUAGE),
            hasPart=refs(map(self._tool, steps)),
            step=refs(f"#step/{step}" for step in steps),
            softwareRequirements=refs(
                [self.engine_id, *(f"#software/{name}" for name, _ in self._software())]
            ),
            codeRepository=about.get("repository") or None,
            identifier=about.get("commit") or None,
        )
        for path, digest in self.workflow.items():
            kind, words = ["File", "SoftwareSourceCode"], "Part of the workflow"
            self.add_file(path, digest, words, kind=kind, version=self.version)
        place = ref(_SNAKEMAKE)
        keys = {"name": "Snakemake", "identifier": place, "url": place}
        self.add(_SNAKEMAKE_LANGUAGE, "ComputerLanguage", **keys)
        self.add(_SNAKEMAKE, "WebSite", name="Snakemake")

    # ---- actions

    def _add_runs(self) -> list[str]:
        """Add all runs with their jobs; return the ids of all actions."""
        runs = {str(run.get("id") or _UNRECORDED): run for run in self.runs or [{}]}
        jobs: dict[str, list[JobRecord]] = {ident: [] for ident in runs}
        last = list(runs)[-1]
        for job in sorted(self.jobs, key=lambda job: (position(job.step), job.key)):
            jobs[job.run if job.run in runs else last].append(job)
        actions = []
        for ident, run in runs.items():
            self.agent = self.people(run.get("metadata") or {}).get("author")
            of_jobs = self._add_plan(ident) if ident == last and self.raw else []
            grouped = [job for job in jobs[ident] if self.table and job.status == "completed"]
            for job in jobs[ident]:
                if not self.table or job.status != "completed":
                    of_jobs += self._add_job(job, ident)
            for step in sorted({job.step for job in grouped}, key=position):
                of_jobs += self._add_group([job for job in grouped if job.step == step], ident)
            documents = self.documents if ident == last else ()
            actions += [*self._add_run(ident, run, jobs[ident], documents, of_jobs), *of_jobs]
        return actions

    def _add_run(
        self,
        ident: str,
        run: Mapping[str, Any],
        jobs: list[JobRecord],
        documents: Iterable[str],
        of_jobs: list[str],
    ) -> list[str]:
        """Add a run; return the ids of its action and of the engine's."""
        failed = sum(job.status != "completed" for job in jobs)
        status = str(run.get("status") or ("failed" if failed else "completed"))
        name = str(run.get("name") or ident)
        ending = {
            "startTime": timestamp(run.get("started")),
            "endTime": timestamp(run.get("ended")),
            "actionStatus": STATUS.get(status),
            "error": _run_error(run, failed) if _is_failed(status) else None,
        }
        environment = run.get("environment") or {}
        variables = [
            self.add(f"#run/{ident}/variable/{key}", "PropertyValue", name=key, value=str(value))
            for key, value in sorted((environment.get("variables") or {}).items())
        ]
        action = self.add(
            f"#run/{ident}",
            "CreateAction",
            name=f"Run {name}",
            description=str(run.get("description") or self._code_in_words(run)),
            instrument=ref(file_id(self.main)),
            object=refs([*["#raw"] * bool(self.raw), *self._add_parameters(jobs)]),
            result=refs(map(file_id, [*self._results(jobs), *sorted(documents)])),
            **ending,
            environment=refs(variables),
            agent=self.agent,
        )
        organizer = self.add(
            f"#engine/{ident}",
            "OrganizeAction",
            name=f"{self.engine[0]} runs the workflow ({name})",
            object=refs(item for item in of_jobs if item.startswith("#control/")),
            result=ref(action),
            **ending,
            instrument=ref(self.engine_id),
            agent=self.agent,
        )
        return [action, organizer]

    def _add_plan(self, run: str) -> list[str]:
        """Add the reading of the raw data's header."""
        return self._add_actions(
            f"{run}/plan",
            "plan",
            name="plan",
            description="Read the raw data's header, or find it unchanged",
            object=ref("#raw"),
            result=refs([file_id(PLAN_NAME)] if PLAN_NAME in self.documents else []),
            actionStatus=STATUS["completed"],
        )

    def _add_job(self, job: JobRecord, run: str) -> list[str]:
        where = [f"attempt {job.attempt}"] if job.attempt else []
        where += [f"on {job.host}"] if job.host else []
        inputs = [self._file_of_job(path) for path in job.inputs]
        if job.step in STAGES and STAGES[job.step].reads_raw:
            inputs.insert(0, "#raw")
        inputs += self._add_parameters([job])
        error = (job.error or "stopped before its end") if _is_failed(job.status) else None
        made = [self._file_of_job(path, known) for path, known in job.outputs.items()]
        return self._add_actions(
            quoted(job.key.name),
            job.step,
            name=job.key.words,
            description=" ".join(["job of run", run, *where]),
            object=refs(inputs),
            result=refs([*made, *self._add_metrics(job)]),
            startTime=timestamp(job.started),
            endTime=timestamp(job.ended),
            actionStatus=STATUS.get(job.status),
            error=error,
            resourceUsage=refs(self._add_usage(job)),
        )

    def _add_metrics(self, job: JobRecord) -> list[str]:
        return [
            self.add_metric(
                f"{job_id(job.key)}/metric/{quoted(name)}", name, number, job.units.get(name)
            )
            for name, value in job.logged.items()
            if (number := number_of(value)) is not None
        ]

    def _add_usage(self, job: JobRecord) -> list[str]:
        known = {key: words for key, words in _USAGE.items() if key in job.usage}
        return [
            self.add(
    f"{job_id(job.key)}/{key}", "PropertyValue", name=name, propertyID=key,
                unitCode=unit, value=job.usage[key],
            )
            for key, (name, unit) in known.items()
        ]  # fmt: skip

    def _add_group(self, jobs: list[JobRecord], run: str) -> list[str]:
        """Add one action for all jobs of a step that completed."""
        step = jobs[0].step
        assert self.table
        return self._add_actions(
            f"{run}/{step}",
            step,
            name=f"{step}, {len(jobs)} jobs",
            description=f"{len(jobs)} jobs of run {run}; {self.table[0]} has each",
            object=refs(self._add_parameters(jobs) or ["#raw"] * bool(self.raw)),
            result=refs(map(file_id, self._results(jobs))),
            startTime=min(filter(None, (timestamp(job.started) for job in jobs)), default=None),
            endTime=max(filter(None, (timestamp(job.ended) for job in jobs)), default=None),
            actionStatus=STATUS["completed"],
        )

    def _add_actions(
        self, ident: str, step: str, name: str, description: str, **keys: Any
    ) -> list[str]:
        """Add the action of a job, and the engine's control of it; return their ids."""
        about = {"name": name, "description": description, "instrument": ref(self._tool(step))}
        action = self.add(f"#job/{ident}", "CreateAction", **about, **keys, agent=self.agent)
        control = self.add(
            f"#control/{ident}",
            "ControlAction",
            name=f"control of {name}",
            instrument=ref(f"#step/{step}"),
            object=ref(action),
            actionStatus=keys["actionStatus"],
            error=keys.get("error"),
            agent=self.agent,
        )
        return [action, control]

    def _add_parameters(self, jobs: Iterable[JobRecord]) -> list[str]:
        """Add the parameters of jobs, named by their values; return the ids, each once."""
        found = {}
        for job in jobs:
            if job.options and job.step != "results":
                text = json.dumps(job.options, sort_keys=True, ensure_ascii=False)
                short = hashlib.sha256(text.encode()).hexdigest()[:12]
                keys = {"name": f"parameters of {job.step}", "value": text}
                ident = f"#parameters/{job.step}/{short}"
                found[self.add(ident, "PropertyValue", **keys)] = True
        return list(found)

    def _results(self, jobs: Iterable[JobRecord]) -> list[str]:
        return sorted({path for job in jobs for path in job.outputs if path in self.present})

    def _code_in_words(self, run: Mapping[str, Any]) -> str:
        about = run.get("workflow") or {}
        words = f"fovflow {about.get('version') or self.version}"
        if about.get("commit"):
            words += f", commit {about['commit']}"
        if about.get("dirty"):
            digest = about["diff_sha256"]
            words += f", with uncommitted changes (SHA-256 of the difference {digest})"
        return words


def _run_error(run: Mapping[str, Any], failed: int) -> str:
    history = run.get("history") or [{}]
    message = history[-1].get("message") if isinstance(history[-1], Mapping) else None
    if message:
        return str(message)
    status = str(run.get("status") or "failed")
    cause = "lost: the process was killed, or its machine stopped" if status == "lost" else status
    return f"{cause}; {failed} of the jobs that it began did not complete" if failed else cause


def _is_failed(status: str) -> bool:
    return STATUS.get(status) == STATUS["failed"]


def job_id(key: JobKey) -> str:
    """Return the id of the action of a job; names of samples may hold spaces."""
    return f"#job/{quoted(key.name)}"
