"""The manifest: a Workflow Run RO-Crate of what was made of a dataset, by which jobs, from what.

RO-Crate 1.1 with the profiles Process, Workflow and Provenance Run Crate 0.5. `Manifest` makes the
content from what is known; `write_manifest` gathers that from records, and writes it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import fovflow
from fovflow.atomic import Digest, digest_of, sha256_or_none
from fovflow.events import now, number_of
from fovflow.jobrecord import JobKey, JobRecord
from fovflow.layout import ANALYSIS, PLAN_NAME, RESULTS_NAME, STAMP_NAME
from fovflow.records import leads_out, public, read_json_object, write_if_changed
from fovflow.runs.crate import (
    FILE_NAME,
    NPY_FORMAT,
    STATUS,
    Graph,
    file_id,
    quoted,
    ref,
    refs,
    size_of,
    timestamp,
    to_text,
    words_of,
)
from fovflow.runs.provenance import FOLDER, capture_environment, copy_workflow
from fovflow.runs.state import read_jobs
from fovflow.runs.store import list_runs
from fovflow.stages import STAGES, position

JOB_LIMIT = 10_000
"""Up to this number of jobs each has an action of its own."""

ACTIONS = frozenset({"CreateAction", "OrganizeAction", "ControlAction"})
"""Types of what is done: a job or a run, the engine's run, the engine's control of a job."""

MANIFEST_DIGEST = f"{FOLDER}/{FILE_NAME}.sha256"
"""The SHA-256 of the manifest, as ``sha256sum -c`` takes it."""

DOCUMENTS = {
    PLAN_NAME: "What the raw data's header says",
    RESULTS_NAME: "What was made of each FOV, with all parameters",
}
"""Small files of a dataset's folder that its manifest describes: what is in them, by name."""

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
        self._add_workflow(steps, self._add_software())
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

    def _add_software(self) -> list[str]:
        """Add the engine, Python and the packages; return the ids."""
        name, version = self.engine
        about = {"name": name, "softwareVersion": version, "url": _SNAKEMAKE}
        self.add(self.engine_id, "SoftwareApplication", **about)
        packages = self.environment.get("packages") or {}
        python = self.environment.get("python")
        known = {"fovflow": self.version, **({"python": python} if python else {})}
        known |= {name: packages[name] for name in _PACKAGES if name in packages}
        found = [
            self.add(f"#software/{n}", "SoftwareApplication", name=n, softwareVersion=str(version))
            for n, version in known.items()
        ]
        return [self.engine_id, *found]

    def _add_workflow(self, steps: list[str], software: list[str]) -> None:
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
            softwareRequirements=refs(software),
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
    message = (run.get("history") or [{}])[-1].get("message")
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


# ---- from the records of a folder


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
        name: (digest_of(folder / name), words)
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
    if sha256_or_none(path) != hashlib.sha256(text.encode()).hexdigest():
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
