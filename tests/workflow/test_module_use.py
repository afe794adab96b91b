"""Another workflow takes the pipeline as a module: same files, records and messages."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from fovflow.adapter.entry import check_interpreter
from fovflow.adapter.recording import describe_now
from fovflow.errors import FovflowError
from fovflow.records import read_yaml
from fovflow.runs.restore import restoration
from fovflow.runs.store import list_runs
from fovflow.runs.verify import verify
from fovflow.tables import read_csv
from pages import blocks
from paths import ROOT
from workflow_project import POSITIONS, Finished, Project, damage_in_secret

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

CONFIG = "config/fovflow.yaml"


def documented() -> tuple[str, str]:
    """Return the Snakefile and the script of docs/reuse.md."""
    snakefile, script = (b for b in blocks("docs/reuse.md") if b.language == "python")
    return snakefile.text, script.text


class Study(Project):
    """A folder whose own Snakefile takes the pipeline as a module."""

    def write_config(self) -> None:
        super().write_config()
        (self.folder / "config" / "config.yaml").rename(self.folder / CONFIG)

    def lay_out(self) -> None:
        snakefile, script = documented()
        (self.folder / "scripts").mkdir(parents=True)
        (self.folder / "Snakefile").write_text(snakefile)
        (self.folder / "scripts" / "count.py").write_text(script)
        shutil.copytree(ROOT / "profiles", self.folder / "profiles")

    def make(self, *options: str) -> Finished:
        return self.run("--snakefile", "Snakefile", *options)


@pytest.fixture(scope="module")
def finished_study(finished_project: Project, tmp_path_factory: pytest.TempPathFactory) -> Study:
    study = Study(tmp_path_factory.mktemp("study"), keep="all")
    shutil.copytree(finished_project.folder / "raw", study.folder / "raw")
    study.lay_out()
    done = study.make()
    assert done.status == 0, done.text
    assert "sim: 3 FOVs, 8 frames of 160 × 176, channels pc 0, fl 1" in done.text
    assert "sim: 3 of 3 FOVs complete" in done.text
    expected = ("copy", "segment", "correct", "track", "extract", "browse", "corrected")
    assert done.jobs == {
        **{f"cells_{step}": POSITIONS for step in expected},
        "cells_results": 1,
        "cells_report": 1,
        "count": 1,
    }
    return study


@pytest.fixture
def study(finished_study: Study, tmp_path: Path) -> Study:
    shutil.copytree(finished_study.folder, tmp_path / "study")
    return Study(tmp_path / "study", **finished_study.config)


def test_a_module_makes_the_same_files_and_records(finished_study, finished_project):
    assert finished_study.outputs() == finished_project.outputs()
    counts = read_csv(finished_study.folder / "tables" / "cells.csv")
    traces = [read_csv(finished_study.file(fov, "traces.csv")) for fov in range(POSITIONS)]
    assert list(counts["cell"]) == [len(set(table["cell"])) for table in traces]
    (run,) = list_runs(finished_study.folder / "results")
    assert run.status() == "completed"
    record = run.read_record()
    assert record["jobs"]["count"] == 1
    assert record["configfiles"] == []
    assert "Snakefile" in record["workflow"]["files"]
    assert "rules/copy.smk" in record["workflow"]["files"]
    assert verify(finished_study.folder / "results").findings == []
    again = restoration(run, describe_now(record))
    assert again.drift == ()
    assert again.notes == ("the run was part of Snakefile: its configuration is not compared",)


def test_a_module_runs_again_only_what_a_change_affects(study):
    assert study.make().jobs == {}
    study.config["qc"] = {"border_px": 4.0}
    jobs = study.make().jobs
    expected = {
        "cells_extract": POSITIONS,
        "cells_browse": POSITIONS,
        "cells_results": 1,
        "cells_report": 1,
        "count": 1,
    }
    assert jobs == expected
    assert len(list_runs(study.folder / "results")) == 2


def test_a_failure_in_a_module_is_told_recorded_and_mended(study):
    good = study.outputs()
    stack = study.file(1, "pc_ch_0.npy")
    damage_in_secret(stack)
    for fov in range(POSITIONS):
        study.file(fov, "seg_ch_0.npy").unlink()
    done = study.make()
    assert done.status == 1
    assert "sim: 2 of 3 FOVs complete" in done.text
    assert "FOV 1: segment failed" in done.text
    content = read_yaml(study.results / "processing_results.yaml")
    assert {fov: entry["status"] for fov, entry in content["fovs"].items()} == {
        "0": "complete",
        "1": "failed",
        "2": "complete",
    }
    assert "does not hold what its header announces" in content["fovs"]["1"]["error"]
    runs = {run.status() for run in list_runs(study.folder / "results")}
    assert runs == {"completed", "failed"}
    findings = verify(study.folder / "results").findings
    assert [finding.file for finding in findings] == ["sim/fov_001/sim_fov_001_pc_ch_0.npy"]

    stack.unlink()
    again = study.make()
    assert again.status == 0, again.text
    assert study.outputs() == good


@pytest.mark.parametrize(
    "line", ['prefix:\n        "cells/"', 'replace_prefix:\n        {"results": "a"}']
)
def test_a_prefix_is_refused(study, line):
    file = study.folder / "Snakefile"
    file.write_text(file.read_text().replace("        CELLS\n", f"        CELLS\n    {line}\n"))
    done = study.make("-n")
    assert done.status == 1
    assert "fovflow is used as a module with prefix or replace_prefix" in done.text
    assert "to do: leave it out" in done.text


def test_a_python_in_a_folder_with_a_space_is_refused():
    check_interpreter("/opt/environment/bin/python")
    with pytest.raises(FovflowError, match="found: /opt/my environment/bin/python; to do: make"):
        check_interpreter("/opt/my environment/bin/python")


def test_two_configurations_in_one_workflow_are_refused(study):
    file = study.folder / "Snakefile"
    file.write_text(
        file.read_text()
        + f'\n\nmodule more:\n    snakefile:\n        "{ROOT}/Snakefile"\n    config:\n'
        '        CELLS | {"outdir": "more"}\n\n\nuse rule * from more as more_*\n'
    )
    done = study.make("-n")
    assert done.status == 1
    assert "used as a module twice, with two configurations" in done.text
    assert "the output folders results and more" in done.text


def test_no_hooks_means_none_of_a_module_either(study):
    study.file(0, "traces.csv").unlink()
    done = study.make("--no-hooks")
    assert done.status == 0, done.text
    assert done.jobs["cells_extract"] == 1
    assert "FOVs complete" not in done.text
    assert {run.status() for run in list_runs(study.folder / "results")} == {"completed"}


def test_a_rule_of_the_module_may_be_changed(study):
    file = study.folder / "Snakefile"
    file.write_text(
        file.read_text()
        + "\n\nuse rule segment from fovflow as cells_segment with:\n    threads: 1\n"
    )
    done = study.make()
    assert done.status == 0, done.text
    assert done.jobs == {}


def test_the_snakefile_where_catalogs_look_runs_the_same(project, finished_project):
    shim = ("--snakefile", str(ROOT / "workflow" / "Snakefile"))
    shutil.rmtree(project.folder / "results")
    shutil.rmtree(project.folder / ".snakemake")
    planned = project.run(*shim, "-n")
    assert planned.status == 0, planned.text
    assert planned.jobs["extract"] == POSITIONS
    done = project.run(*shim)
    assert done.status == 0, done.text
    assert done.jobs["everything"] == 1
    assert "sim: 3 of 3 FOVs complete" in done.text
    assert project.outputs() == finished_project.outputs()
    assert project.run(*shim).jobs == {}
