"""Samples in a run: what is made, what is made again, and what a failure costs."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time
from urllib.parse import unquote

import pandas as pd
import pytest

import fovflow
from fovflow.runs.verify import verify
from paths import ROOT
from workflow_project import Project, damage_in_secret

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

TABLE = "sample\tfovs\tcondition\treplicate\nfirst\t0-1\tcontrol\td1\nlast 1\t2\tdrug\td1\n"


@pytest.fixture
def sampled(project: Project) -> Project:
    """The finished project with two samples, which are not merged yet."""
    (project.folder / "config" / "samples.tsv").write_text(TABLE)
    project.config |= {"samples": "config/samples.tsv", "qc": {"min_frames": 2}}
    return project


def change_samples(project: Project, old: str, new: str) -> None:
    path = project.folder / "config" / "samples.tsv"
    path.write_text(path.read_text().replace(old, new))


def test_what_is_made_and_what_is_made_again(sampled):
    done = sampled.run()
    assert done.status == 0, done.text
    assert done.jobs["merge"] == 2
    assert done.jobs["merge_everything"] == 1
    assert "2 samples: results/analysis" in done.text
    folder = sampled.results.parent / "analysis"
    measures = ("area_um2_ch_0", "area_um2_ch_0_wide", "intensity_total_ch_1",
                "intensity_total_ch_1_wide")  # fmt: skip
    expected = [f"{name}_{end}.csv" for name in ("first", "last 1") for end in measures]
    tables = [*expected, "samples.csv", "traces.csv.gz", "traces.parquet"]
    about = ["provenance", "ro-crate-metadata.json"]
    assert {path.name for path in folder.iterdir()} == {*tables, *about}
    manifest = json.loads((folder / about[1]).read_text())
    files = {unquote(e["@id"]): e for e in manifest["@graph"] if e["@type"] == "File"}
    assert {*tables} < {*files}
    assert all(re.fullmatch("[0-9a-f]{64}", files[name]["sha256"]) for name in tables)
    results = fovflow.load_results(sampled.results)
    assert results.samples["condition"].to_list() == ["control", "drug"]
    assert len(results.merged()) == len(results.traces())
    made = (file := sampled.file(2, "traces.csv")).read_bytes()
    file.write_bytes(made + b" ")
    assert results.merged().empty, "it is of other traces"
    file.write_bytes(made)
    traces = results.fovs[2].traces().query("good")
    tidy = fovflow.read_analysis(folder / "last 1_intensity_total_ch_1.csv")
    assert tidy.value.to_list() == traces.intensity_total_ch_1.to_list()
    record = json.loads((folder.parent / "logs/analysis/first/merge.json").read_text())
    assert record["wildcards"] == {"sample": "first"}
    assert sorted(record["outputs"]) == [f"analysis/{name}" for name in expected[:4]]
    assert verify(folder.parent).ok

    assert sampled.run().jobs == {}
    change_samples(sampled, "drug", "poison")  # only the table of everything shows it
    assert sampled.run("--dry-run").jobs == {"merge_everything": 1, "report": 1}
    change_samples(sampled, "0-1", "0")
    assert sampled.run().jobs == {"merge": 1, "merge_everything": 1, "report": 1}
    verdicts = sampled.file(2, "traces_inspected.csv")
    first = int(traces.cell.iloc[0])
    verdicts.write_text(f"cell,good\n{first},False\n")
    assert sampled.run().jobs == {"merge": 1, "merge_everything": 1, "report": 1}
    tidy = fovflow.read_analysis(folder / "last 1_intensity_total_ch_1.csv")
    assert first not in tidy.cell.to_list()
    sampled.config["merge"] = {"features": ["intensity_mean"]}
    assert sampled.run().jobs == {"merge": 2}
    assert (folder / "first_intensity_mean_ch_1.csv").exists()


def test_a_failed_fov_costs_itself(sampled):
    sampled.config["statistics"] = {}
    damage_in_secret(sampled.file(1, "pc_ch_0.npy"))
    sampled.file(1, "seg_ch_0.npy").unlink()
    done = sampled.run("--keep-going")
    assert done.status == 1
    folder = sampled.results.parent / "analysis"
    tidy = fovflow.read_analysis(folder / "first_intensity_total_ch_1.csv")
    assert tidy.fov.unique().tolist() == [0]
    assert (folder / "last 1_intensity_total_ch_1.csv").exists()
    samples = pd.read_csv(folder / "samples.csv", keep_default_na=False)
    assert samples.fovs.to_list() == [1, 1]
    assert samples.left_out[0].startswith("FOV 1: segment failed: ")
    described = pd.read_csv(folder / "statistics.csv", keep_default_na=False)
    assert described.query("level == 'sample' and quantity == 'mean'").fovs.to_list() == [1] * 4
    assert "data:image/svg+xml" in (folder.parent / "report.html").read_text()

    sampled.file(1, "pc_ch_0.npy").unlink()
    again = sampled.run()
    assert again.status == 0, again.text
    assert again.jobs["merge"] == 1
    assert (again.jobs["merge_everything"], again.jobs["statistics"]) == (1, 1)
    tidy = fovflow.read_analysis(folder / "first_intensity_total_ch_1.csv")
    assert tidy.fov.unique().tolist() == [0, 1]
    assert verify(folder.parent).ok


def test_wrong_samples_run_nothing_and_are_named(sampled):
    change_samples(sampled, "\t2\t", "\t1-3\t")
    done = sampled.run()
    assert done.status == 1
    assert "the samples have 2 errors:" in done.text
    assert "sample last 1: FOV 3 of 3 that there are" in done.text
    assert "FOV 1 of sim in the samples first, last 1" in done.text
    assert "Traceback" not in done.text


def test_a_sample_without_cells_costs_itself(sampled):
    sampled.file(2, "traces_inspected.csv").write_text("fov,cell,frame,time,good\n")
    done = sampled.run("--keep-going")
    assert done.status == 1
    assert "sample last 1: merge failed: the sample last 1 has no good cells" in done.text
    folder = sampled.results.parent / "analysis"
    assert (folder / "first_intensity_total_ch_1.csv").exists()
    samples = pd.read_csv(folder / "samples.csv", keep_default_na=False)
    assert samples.left_out.to_list() == ["", "FOV 2: no cells"]


@pytest.mark.skipif(importlib.util.find_spec("fovflow.kinetics") is None, reason="no models yet")
def test_fits_are_made_again_for_what_changes_them(sampled):
    sampled.config["fit"] = {"model": "trivial"}
    done = sampled.run()
    assert done.status == 0, done.text
    assert done.jobs["fit"] == 2
    fits = fovflow.load_results(sampled.results).fits
    assert set(fits["sample"]) == {"first", "last 1"}
    assert set(fits.feature) == {"intensity_total"}
    sampled.config["fit"]["bounds"] = {"t0": [0, 4]}
    assert sampled.run().jobs == {"fit": 2, "report": 1}
    sampled.config["fit"]["fixed"] = {"speed": 1}
    done = sampled.run()
    assert done.status == 1
    assert "the model trivial has no parameter 'speed'" in done.text


@pytest.fixture
def compared(sampled: Project) -> Project:
    """The project with fits and statistics to be made."""
    sampled.config |= {"fit": {"model": "decay"}, "statistics": {"reference": "control"}}
    return sampled


def answers(project: Project) -> dict[str, bytes]:
    """Return all files of the analysis, by name, but those that tell of runs."""
    folder = project.results.parent / "analysis"
    files = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    records = ("provenance/", "ro-crate-metadata.json")
    return {name: content for name, content in files.items() if not name.startswith(records)}


def test_conditions_are_compared_and_what_changes_them_compares_again(compared):
    done = compared.run()
    assert done.status == 0, done.text
    assert (done.jobs["statistics"], done.jobs["report"]) == (1, 1)
    assert "comparisons: results/analysis/comparisons.csv" in done.text
    made = answers(compared)
    pictures = {name for name in made if name.startswith("pictures/")}
    expected = ("superplot_area_um2_ch_0_mean", "superplot_intensity_total_ch_1_decay_beta",
                "fits_first_intensity_total_ch_1_decay")  # fmt: skip
    assert {f"pictures/{name}.svg" for name in expected} <= pictures
    outdir = compared.results.parent
    record = json.loads((outdir / "logs/analysis/statistics.json").read_text())
    assert {f"analysis/{name}" for name in pictures} < {*record["outputs"]}
    assert verify(outdir).ok
    rows = fovflow.load_results(compared.results).comparisons
    assert set(rows.condition) == {"drug"}
    usable = rows[rows.replicates > 0]
    assert usable.note.str.startswith("no p-value: it needs 3 replicates a side").all()
    assert {"mean", "area_under_curve"} <= {*usable.quantity}
    page = (outdir / "report.html").read_text()
    assert "mean of area_um2_ch_0: drug against control: ratio" in page
    told = {name for name in pictures if b"no usable value" not in made[name]}
    shown = [name for name in told if name.startswith("pictures/superplot_")]
    assert 0 < page.count("data:image/svg+xml;base64,") == min(8, len(shown))
    assert compared.run().jobs == {}

    manifest = outdir / "analysis" / "ro-crate-metadata.json"
    whole = manifest.read_bytes()
    manifest.write_bytes(whole[:-1])
    assert "written again from the records" in fovflow_says(compared, "repair")
    assert manifest.read_bytes() == whole

    lost = outdir / "analysis" / "pictures" / "superplot_area_um2_ch_0_mean.svg"
    lost.unlink()
    assert "it is made of the samples: remove it, and fovflow run" in fovflow_says(
        compared, "repair"
    )
    assert compared.run("--dry-run").jobs == {"statistics": 1, "report": 1}
    compared.config["fit"]["bounds"] = {"beta": [1e-4, 1]}
    assert compared.run().jobs == {"fit": 2, "statistics": 1, "report": 1}
    change_samples(compared, "\td1\nlast", "\td2\nlast")
    again = compared.run("--dry-run").jobs
    assert again == {"merge_everything": 1, "statistics": 1, "report": 1}
    compared.config["statistics"]["reference"] = "contrl"
    assert "one of the samples' conditions as reference (control, drug)" in compared.run().text


def test_a_sample_that_fails_is_left_out_of_the_comparison(compared):
    compared.file(2, "traces_inspected.csv").write_text("fov,cell,frame,time,good\n")
    done = compared.run("--keep-going")
    assert done.status == 1
    folder = compared.results.parent / "analysis"
    described = pd.read_csv(folder / "statistics.csv", keep_default_na=False)
    notes = described[described["sample"] == "last 1"].note
    assert notes.unique().tolist() == ["the sample has no cells"]
    assert (described[described["sample"] == "first"].query("quantity == 'mean'").cells > 0).all()
    compared_rows = pd.read_csv(folder / "comparisons.csv", keep_default_na=False)
    assert compared_rows.note.str.contains("the condition has no usable value").all()
    assert not (folder / "pictures" / "fits_last 1_intensity_total_ch_1_decay.svg").exists()
    status = fovflow_says(compared, "status")
    assert "1 of 2 samples complete" in status
    assert "sample last 1: failed at merge: the sample last 1 has no good cells" in status
    compared.file(2, "traces_inspected.csv").unlink()
    done = compared.run()
    assert done.status == 0, done.text
    assert done.jobs["statistics"] == 1
    assert "2 of 2 samples complete" in fovflow_says(compared, "status")


def fovflow_says(project: Project, command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "fovflow", command],
        cwd=project.folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout


def test_a_fit_that_was_killed_is_made_again_with_the_same_bytes(compared, tmp_path):
    whole = compared.copy_to(tmp_path / "whole")
    assert whole.run().status == 0
    compared.write_config()
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"),
               "--cores", "2"]  # fmt: skip
    log = compared.results.parent / "logs/analysis/first/fit_intensity_total_ch_1.log"
    with subprocess.Popen(
        command, cwd=compared.folder, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        while not log.exists() and process.poll() is None:
            time.sleep(0.005)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    compared.run("--unlock")
    done = compared.run()
    assert done.status == 0, done.text
    assert answers(compared) == answers(whole)
