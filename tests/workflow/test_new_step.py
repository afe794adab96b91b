"""A new built-in step: a row in the table, a rule, a script, a function and its settings."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fovflow.records import read_yaml
from fovflow.tables import read_csv
from paths import ROOT
from workflow_project import FRAMES, POSITIONS, Finished, Project

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

ROW = """\
    Stage(
        name="confluence",
        words="measuring the confluence",
        files=(
            StageFile(
                "confluence",
                of_fov("cover_ch_{channel}_frames.csv"),
                "share of the frame that cells cover",
                "seg",
                listed="confluence_csv",
            ),
            stack("cover", "seg", 1, "where cells are"),
        ),
        role="seg",
        settings=("confluence",),
        revision=7,
        frames_in_memory=2,
    ),
"""
SETTINGS = '''\
class ConfluenceConfig(Section):
    """How confluence is measured."""

    most: float = Field(1.0, ge=0, le=1, description="Confluence above which an FOV fails.")


'''
FIELD = """\
    confluence: ConfluenceConfig = Field(ConfluenceConfig(), description="Confluence.")
"""
FUNCTION = '''\
"""Confluence: the share of a frame that cells cover."""

import numpy as np

from fovflow.errors import FovflowError
from fovflow.stacks import StackReader, StackWriter
from fovflow.tables import write_csv


def confluence(job):
    """Write the confluence of each frame, and where cells are."""
    most = job.options["arguments"]["most"]
    shares = []
    with (
        StackReader(job.input.seg_labeled) as labels,
        StackWriter(job.output.cover, labels.shape, np.uint8) as out,
    ):
        for t in job.frames(len(labels)):
            covered = (labels.frame(t) > 0).astype(np.uint8)
            shares.append(covered.mean())
            out.append(covered)
    if max(shares) > most:
        raise FovflowError("cells cover too much of the frame")
    write_csv(job.output.table, {"frame": np.arange(len(shares)), "confluence": np.array(shares)})
'''
SCRIPT = '''\
"""Measure the confluence of one FOV."""

from fovflow.adapter.job import run
from fovflow.confluence import confluence

run(snakemake, confluence)
'''
RULE = """\
rule confluence:
    input:
        unpack(PIPELINE.inputs("seg_labeled")),
    output:
        table=output_of("confluence"),
        cover=output_of("cover"),
    log:
        log_of("confluence"),
    benchmark:
        benchmark_of("confluence")
    group:
        fov_group
    conda:
        "../envs/fovflow.yaml"
    resources:
        **resources_of("confluence"),
    params:
        options=parameters("confluence"),
    message:
        "{wildcards.dataset}, FOV {wildcards.fov}: measure confluence"
    script:
        "../scripts/confluence.py"
"""


class Extended:
    """A copy of the pipeline with one more step, and a project that it runs on."""

    def __init__(self, folder: Path, project: Project):
        self.tree, self.project = folder, project
        for name in ("Snakefile", "rules", "scripts", "envs", "src"):
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copyfile
            copy(ROOT / name, folder / name)
        source = folder / "src" / "fovflow"
        insert(source / "stages.py", ")\n\nSTAGES = {", ROW)
        insert(source / "config" / "model.py", "class Config(Section):", SETTINGS)
        insert(
            source / "config" / "model.py",
            "    steps: Annotated[tuple[StepConfig, ...], AfterValidator(check_steps)] = Field(",
            FIELD,
        )
        insert(
            folder / "Snakefile", 'include: "rules/steps.smk"', 'include: "rules/confluence.smk"\n'
        )
        (source / "confluence.py").write_text(FUNCTION, encoding="utf-8")
        (folder / "scripts" / "confluence.py").write_text(SCRIPT, encoding="utf-8")
        (folder / "rules" / "confluence.smk").write_text(RULE, encoding="utf-8")

    def run(self, *arguments: str, module: str = "snakemake") -> Finished:
        """Run the pipeline, or a command, with the package of the copy."""
        self.project.write_config()
        own = {"PYTHONPATH": str(self.tree / "src"), "PYTHONWARNINGS": "default"}
        if module == "snakemake":
            arguments = ("--snakefile", str(self.tree / "Snakefile"), "--cores", "2", *arguments)
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments],
            cwd=self.project.folder,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, **own},
            timeout=600,
        )
        return Finished(done.returncode, f"{done.stdout}\n{done.stderr}")


def insert(file: Path, before: str, text: str) -> None:
    content = file.read_text(encoding="utf-8")
    assert content.count(before) == 1, file
    file.write_text(content.replace(before, text + before), encoding="utf-8")


@pytest.fixture
def extended(tmp_path: Path, project: Project) -> Extended:
    (tmp_path / "tree").mkdir()
    return Extended(tmp_path / "tree", project)


def test_a_row_a_rule_a_script_and_a_function_are_a_step(extended):
    project = extended.project
    done = extended.run("--nocolor")
    assert done.status == 0, done.text
    assert done.jobs == {"confluence": POSITIONS, "results": 1, "report": 1}
    for fov in range(POSITIONS):
        labels = np.load(project.file(fov, "seg_labeled_ch_0.npy"))
        table = read_csv(project.file(fov, "cover_ch_0_frames.csv"))
        assert table["confluence"].tolist() == pytest.approx((labels > 0).mean(axis=(1, 2)))
        assert np.array_equal(np.load(project.file(fov, "cover_ch_0.npy")), labels > 0)
    assert (project.results / "logs" / "fov_002" / "confluence_ch_0.log").exists()

    content = read_yaml(project.results / "processing_results.yaml")
    assert content["params"]["confluence"] == {
        "arguments": {"most": 1.0, "pixel_um": None},
        "revision": 7,
    }
    paths = content["results_paths"]["1"]
    assert paths["confluence_csv"] == [
        0,
        "fov_001/sim_fov_001_cover_ch_0_frames.csv",
    ]
    assert paths["cover"] == [0, "fov_001/sim_fov_001_cover_ch_0.npy"]
    assert list(content["fovs"].values()) == [{"status": "complete"}] * POSITIONS

    graph = json.loads((project.results / "ro-crate-metadata.json").read_text())["@graph"]
    known = {entity["@id"]: entity for entity in graph}
    table, cover = (
        known[f"fov_000/sim_fov_000_{n}"] for n in ("cover_ch_0_frames.csv", "cover_ch_0.npy")
    )
    assert table["description"] == "share of the frame that cells cover"
    assert cover["description"] == "where cells are, (T, Y, X)"
    job = known["#job/confluence.fov_000.ch_0"]
    assert job["instrument"] == {"@id": "provenance/workflow/scripts/confluence.py"}
    positions = {e["name"]: int(e["position"]) for e in graph if e["@type"] == "HowToStep"}
    assert positions["extract"] < positions["confluence"]

    for command in (["verify", "results"], ["status", "results"]):
        done = extended.run(*command, module="fovflow")
        assert done.status == 0, done.text
    # What the copy's package reads by kind, this one's reads as far as it knows the kinds.
    code = "import fovflow; f = fovflow.load_results('results/sim').fovs[0]; "
    code += f"assert f.stack('cover').shape[0] == len(f.table('confluence')) == {FRAMES}"
    env = {**os.environ, "PYTHONPATH": str(extended.tree / "src")}
    subprocess.run([sys.executable, "-c", code], cwd=project.folder, check=True, env=env)


def test_the_new_step_resumes_reruns_and_fails_like_the_others(extended):
    project = extended.project
    project.config["keep"] = ["pc", "fl", "seg", "fl_corrected", "seg_labeled"]
    done = extended.run("--nocolor")
    assert done.status == 0, done.text
    assert not project.file(0, "cover_ch_0.npy").exists()  # not kept

    assert extended.run("--nocolor").jobs == {}
    project.file(1, "cover_ch_0_frames.csv").unlink()
    assert extended.run("--nocolor").jobs == {"confluence": 1, "results": 1, "report": 1}

    project.config["confluence"] = {"most": 0.0}
    done = extended.run("why", module="fovflow")
    words = f"sim, FOVs 0-{POSITIONS - 1}: measure confluence: its parameters changed"
    assert words in extended.run("why", module="fovflow").text
    done = extended.run("--nocolor", "--keep-going")
    assert done.status == 1
    assert "confluence failed: cells cover too much of the frame" in done.text
    found = json.loads(extended.run("status", "--json", module="fovflow").text)
    failed = {
        "status": "failed",
        "step": "confluence",
        "error": "cells cover too much of the frame",
    }
    assert found[0]["fovs"]["0"] == failed
    page = (project.folder / "results" / "report.html").read_text(encoding="utf-8")
    assert "failed while measuring the confluence" in page
