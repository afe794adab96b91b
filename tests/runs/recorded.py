"""An output folder as a small run leaves it, records and all, without running anything."""

from __future__ import annotations

import hashlib
import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from fovflow.events import EventFile
from fovflow.jobrecord import JobKey, job_name, job_record
from fovflow.records import read_json, write_json, write_yaml
from fovflow.runs.manifest import write_manifest
from fovflow.runs.store import RunFolder
from paths import ROOT

DATASET = "plate ü"
ENGINE = ("Snakemake", "9.27.1")
CONFIG: dict[str, Any] = {
    "outdir": "results",
    "datasets": {DATASET: {"path": "raw/plate.nd2"}},
    "run": {"smtp": {"host": "mail.example.org"}, "metadata": {"license": "CC-BY-4.0"}},
}
START = datetime(2026, 3, 1, 10, 0, 0, 123456, tzinfo=UTC)


def at(seconds: float) -> str:
    """Return a time after the start of the run."""
    return (START + timedelta(seconds=seconds)).isoformat(timespec="microseconds")


def digest(path: Path) -> dict[str, Any]:
    """Return what a job records of an output."""
    data = path.read_bytes()
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


class Recorded:
    """One dataset of `fovs` FOVs with the steps copy, segment and track, in one run."""

    def __init__(self, base: Path, *, fovs: int = 2, failed: int | None = None):
        self.outdir = base / "results"
        self.folder = self.outdir / DATASET
        self.clock = 1.0
        self.run = RunFolder.create(self.outdir, name="calm-otter")
        EventFile(self.run.path / "events.jsonl").close()
        self.edit_run(
            status="running",
            created=at(0),
            started=at(0.5),
            host="here",
            history=[
                {"status": "created", "time": at(0)},
                {"status": "running", "time": at(0.5)},
            ],
            workflow={"name": "fovflow", "version": "0.1.0", "commit": "a" * 40, "dirty": False},
            environment={
                "python": "3.11.7",
                "packages": {"numpy": "2.4.6"},
                "variables": {"OMP_NUM_THREADS": "1"},
            },
            inputs=[{"path": "raw/plate.nd2", "bytes": 5000, "sha256": "c" * 64}],
            config=CONFIG,
        )
        self._write_plan()
        self.failed = failed
        for fov in range(fovs):
            self._process(fov)
        self._write_results(fovs)
        self.end("completed" if failed is None else "failed")
        self.write_manifest()

    def copy_to(self, base: Path) -> Recorded:
        """Return a copy of all files below another folder."""
        shutil.copytree(self.outdir, base / "results")
        twin = object.__new__(Recorded)
        twin.__dict__.update(self.__dict__)
        twin.outdir = base / "results"
        twin.folder = twin.outdir / DATASET
        twin.run = RunFolder(twin.outdir / "runs" / self.run.id)
        return twin

    def name(self, fov: int, rest: str) -> str:
        """Return the name of a file of an FOV, relative to the dataset."""
        return f"fov_{fov:03d}/{DATASET}_fov_{fov:03d}_{rest}"

    def edit_run(self, **keys: Any) -> None:
        """Change keys of the run's record."""
        self.run.write_record({**self.run.read_record(), **keys})

    def end(self, status: str) -> None:
        """End the run."""
        history = [*self.run.read_record()["history"], {"status": status, "time": at(900)}]
        self.edit_run(status=status, ended=at(900), history=history)

    def _write_plan(self) -> None:
        plan = {"format": "nd2", "n_bytes": 5000, "fingerprint": "sampled-sha256-1:" + "b" * 64}
        write_json(self.folder / "dataset.json", plan)
        write_json(self.folder / ".raw_stamp.json", {"path": "raw/plate.nd2", "files": {}})

    def _process(self, fov: int) -> None:
        pc, times = self.name(fov, "pc_ch_0.npy"), self.name(fov, "times.csv")
        seg, labeled = self.name(fov, "seg_ch_0.npy"), self.name(fov, "seg_labeled_ch_0.npy")
        tracks = self.name(fov, "tracks.csv")
        self.job("copy", fov, inputs=["dataset.json"], outputs=[pc, times])
        if fov == self.failed:
            self.job("segment", fov, channel=0, inputs=[pc, times], error="no light at frame 2")
            return
        self.job("segment", fov, channel=0, inputs=[pc, times], outputs=[seg])
        self.job("track", fov, inputs=[seg, times], outputs=[labeled, tracks])

    def job(
        self,
        rule: str,
        fov: int,
        *,
        channel: int | None = None,
        inputs: list[str],
        outputs: list[str] | None = None,
        error: str = "",
        **logged: Any,
    ) -> None:
        """Make outputs of a dataset, and record the job as it does itself."""
        for number, name in enumerate(outputs or []):
            self._write_output(name, seed=10 * fov + number)
        made = {name: digest(self.folder / name) for name in outputs or []}
        wildcards = {"dataset": DATASET, "fov": f"{fov:03d}"}
        if channel is not None:
            wildcards["channel"] = str(channel)
        rest = "" if channel is None else f"_ch_{channel}"
        self._record(self.record(rule, fov, rest), rule, wildcards, inputs, made, error, **logged)

    def analyse(self, error: str = "") -> None:
        """Merge a sample, fit it unless there is an `error`, and write the manifest of that."""
        traces = f"{DATASET}/{self.name(0, 'tracks.csv')}"
        tidy, fitted = (f"analysis/s 1_area_ch_0{end}.csv" for end in ("", "_fitted_decay"))
        for name in (tidy, *[fitted] * (not error)):
            (self.outdir / name).parent.mkdir(exist_ok=True)
            (self.outdir / name).write_text(f"# {name}\n", encoding="utf-8")
        logs, sample = self.outdir / "logs" / "analysis" / "s 1", {"sample": "s 1"}
        made = {tidy: digest(self.outdir / tidy)}
        self._record(logs / "merge.json", "merge", sample, [traces], made, "")
        of = {**sample, "feature": "area", "channel": "0"}
        made = {} if error else {fitted: digest(self.outdir / fitted)}
        self._record(logs / "fit_area_ch_0.json", "fit", of, [tidy], made, error)
        if error:
            self.end("failed")
        write_manifest(self.outdir, "", CONFIG, ROOT, ENGINE)

    def _record(
        self,
        record: Path,
        rule: str,
        wildcards: dict[str, str],
        inputs: list[str],
        made: dict[str, Any],
        error: str,
        **logged: Any,
    ) -> None:
        about = {"job": job_name(rule, wildcards), "rule": rule, "wildcards": wildcards}
        attempt, path = self.run.new_attempt(about["job"])
        events = EventFile(path)
        about |= {"attempt": attempt, "host": "here"}
        begun = events.write(
            "job_started", time=at(self.clock), **about, run=self.run.id, step=rule,
            options={"method": "otsu", "of": rule}, inputs=inputs,
        )  # fmt: skip
        self.clock += 2.5
        keys: dict[str, Any] = {"seconds": 2.5, "cpu_s": 2.25, "peak_mib": 101.5, **logged}
        if error:
            keys |= {"status": "failed", "error": error, "frame": 2}
        else:
            keys |= {"status": "completed", "outputs": made}
        kind = "job_failed" if error else "job_finished"
        ended = events.write(kind, time=at(self.clock), **about, **keys)
        events.close()
        write_json(record, job_record(begun, ended))

    def record(self, rule: str, fov: int, rest: str = "") -> Path:
        """Return the name of a job's status record."""
        return self.folder / "logs" / f"fov_{fov:03d}" / f"{rule}{rest}.json"

    def _write_output(self, name: str, seed: int) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".npy"):
            stack = np.random.default_rng(seed).integers(0, 900, (3, 8, 9), dtype=np.uint16)
            np.save(path, stack)
        else:
            path.write_text(f"frame,value\n0,{seed}\n", encoding="utf-8")

    def _write_results(self, fovs: int) -> None:
        content = {
            "kept": ["pc", "seg", "seg_labeled"],
            "results_paths": {
                str(fov): {"pc": [0, self.name(fov, "pc_ch_0.npy")]} for fov in range(fovs)
            },
            "fovs": {
                str(fov): {"status": "failed", "step": "segment", "error": "no light at frame 2"}
                if fov == self.failed
                else {"status": "complete"}
                for fov in range(fovs)
            },
        }
        write_yaml(self.folder / "processing_results.yaml", content)

    def write_manifest(self) -> None:
        """Bring the manifest up to date."""
        write_manifest(self.outdir, DATASET, CONFIG, ROOT, ENGINE)

    @property
    def manifest_file(self) -> Path:
        """The manifest."""
        return self.folder / "ro-crate-metadata.json"

    def manifest(self) -> dict[str, Any]:
        """Return the manifest's content."""
        content = read_json(self.manifest_file)
        assert isinstance(content, dict)
        return content

    def entities(self) -> dict[str, dict[str, Any]]:
        """Return the manifest's entities by id."""
        return {entity["@id"]: entity for entity in self.manifest()["@graph"]}

    def change_manifest(self, ident: str, **keys: Any) -> None:
        """Change an entity of the manifest; None removes a key."""
        content = self.manifest()
        entity = next(e for e in content["@graph"] if e["@id"] == ident)
        entity.update(keys)
        for key in [key for key, value in keys.items() if value is None]:
            del entity[key]
        self.manifest_file.write_text(json.dumps(content), encoding="utf-8")


__all__ = ["DATASET", "ENGINE", "JobKey", "Recorded", "at", "digest"]
