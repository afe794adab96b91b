"""The manifest: valid by the community's own tool, true to the records, the same each time."""

from __future__ import annotations

import hashlib
import json
import re
from contextlib import closing

import pytest
from runs.crate_validator import issues
from runs.recorded import CONFIG, DATASET, ENGINE, Recorded, at, digest

from fovflow import records
from fovflow.events import EventFile
from fovflow.jobrecord import JobKey, JobRecord
from fovflow.runs.crate import file_id, file_path
from fovflow.runs.lineage import trace
from fovflow.runs.manifest import write_manifest
from fovflow.runs.state import join_attempts
from fovflow.runs.verify import verify
from paths import ROOT

COMPLETED = "http://schema.org/CompletedActionStatus"
FAILED = "http://schema.org/FailedActionStatus"


@pytest.fixture
def recorded(tmp_path):
    return Recorded(tmp_path)


def test_the_validator_finds_nothing(recorded, cache):
    assert issues(recorded.folder, cache) == []
    assert verify(recorded.outdir).findings == []


def test_the_manifest_of_a_failed_run_is_valid_and_says_what_failed(tmp_path, cache):
    recorded = Recorded(tmp_path, failed=1)
    assert issues(recorded.folder, cache) == []
    entities = recorded.entities()
    job = entities["#job/segment.fov_001.ch_0"]
    assert job["actionStatus"] == FAILED
    assert job["error"] == "no light at frame 2"
    assert "result" not in job
    assert entities[f"#run/{recorded.run.id}"]["actionStatus"] == FAILED
    assert entities["#job/copy.fov_001"]["actionStatus"] == COMPLETED
    assert "#job/track.fov_001" not in entities
    assert verify(recorded.outdir).findings == []


def test_a_run_that_made_nothing_has_a_valid_manifest(tmp_path, cache):
    recorded = Recorded(tmp_path, fovs=0)
    assert issues(recorded.folder, cache) == []


def test_a_folder_without_run_records_has_a_valid_manifest(recorded, cache):
    import shutil

    shutil.rmtree(recorded.outdir / "runs")
    recorded.write_manifest()
    assert issues(recorded.folder, cache) == []
    assert recorded.entities()["#run/unrecorded"]["actionStatus"] == COMPLETED


def test_what_scripts_logged_inside_jobs_reaches_the_manifest(recorded, cache, monkeypatch):
    name, before = recorded.name(0, "mine.csv"), recorded.manifest_file.read_text(encoding="utf-8")
    told = {"metrics": {"mean area": 12.25, "loss": "inf", "n": None}, "units": {"loss": "1"}}
    recorded.job("mine", 0, inputs=[recorded.name(0, "tracks.csv")], outputs=[name], **told)
    recorded.job("mine", 1, inputs=[], error="no light", metrics={"loss": 2})
    recorded.write_manifest()
    entities, of_job = recorded.entities(), "#job/mine.fov_000/metric/"
    assert entities["#job/mine.fov_000"]["result"] == [
        {"@id": file_id(name)}, {"@id": f"{of_job}mean%20area"}, {"@id": f"{of_job}loss"}
    ]  # fmt: skip
    area, loss = entities[f"{of_job}mean%20area"], entities[f"{of_job}loss"]
    assert (area["name"], area["value"]) == ("mean area", "12.25")
    assert (loss["value"], loss["unitText"]) == ("inf", "1")
    assert entities["#job/mine.fov_001"]["result"] == {"@id": "#job/mine.fov_001/metric/loss"}
    assert issues(recorded.folder, cache) == []
    assert "/metric/" not in before
    _, killed = recorded.run.new_attempt(f"mine.{DATASET}.fov_002")
    about = {"job": killed.parent.name, "rule": "mine", "attempt": 1}
    about["wildcards"] = {"dataset": DATASET, "fov": "002"}
    with closing(EventFile(killed)) as file:
        file.write("job_started", **about)
        file.write("metrics", metrics={"loss": 5.5}, step=0, elapsed_s=1.0)
        file.write("metrics", metrics={"own": 1.0}, step=0)
    with closing(EventFile(recorded.run.path / "events.jsonl")) as file:
        file.write("job_failed", **about, status="failed", error="it ended without a word")
    recorded.write_manifest()
    action = recorded.entities()["#job/mine.fov_002"]
    assert action["actionStatus"] == FAILED
    assert action["result"] == {"@id": "#job/mine.fov_002/metric/loss"}
    assert issues(recorded.folder, cache) == []
    for module in ("manifest",):
        monkeypatch.setattr(f"fovflow.runs.{module}.JOB_LIMIT", 4)
    recorded.write_manifest()
    table = (recorded.folder / "provenance" / "jobs.jsonl").read_text(encoding="utf-8")
    rows = [json.loads(line) for line in table.splitlines()]
    assert [row["metrics"] for row in rows if "metrics" in row] == [
        told["metrics"], {"loss": 2}, {"loss": 5.5}
    ]  # fmt: skip


def test_too_many_jobs_are_told_by_step_with_a_table(tmp_path, cache, monkeypatch):
    for module in ("manifest",):
        monkeypatch.setattr(f"fovflow.runs.{module}.JOB_LIMIT", 4)
    recorded = Recorded(tmp_path, failed=1)
    assert issues(recorded.folder, cache) == []
    entities = recorded.entities()
    run = recorded.run.id
    assert entities[f"#job/{run}/copy"]["startTime"] == "2026-03-01T10:00:01.123+00:00"
    assert len(entities[f"#job/{run}/copy"]["result"]) == 4
    assert entities["#job/segment.fov_001.ch_0"]["error"] == "no light at frame 2"
    assert "#job/copy.fov_000" not in entities
    table = recorded.folder / "provenance" / "jobs.jsonl"
    assert entities["provenance/jobs.jsonl"]["sha256"] == digest(table)["sha256"]
    jobs = [json.loads(line) for line in table.read_text(encoding="utf-8").splitlines()]
    assert [job["job"] for job in jobs][:2] == ["copy.fov_000", "copy.fov_001"]
    assert verify(recorded.outdir).findings == []


def test_a_job_is_told_with_times_inputs_parameters_and_outputs(recorded):
    entities = recorded.entities()
    job = entities["#job/segment.fov_001.ch_0"]
    assert (job["startTime"], job["endTime"]) == (
        "2026-03-01T10:00:11.123+00:00",
        "2026-03-01T10:00:13.623+00:00",
    )
    assert job["instrument"] == {"@id": "provenance/workflow/scripts/segment.py"}
    inputs = [file_path(item["@id"]) for item in job["object"]]
    assert inputs[:2] == [recorded.name(1, "pc_ch_0.npy"), recorded.name(1, "times.csv")]
    assert json.loads(entities[inputs[2]]["value"]) == {"method": "otsu", "of": "segment"}
    output = entities[job["result"]["@id"]]
    path = recorded.folder / recorded.name(1, "seg_ch_0.npy")
    assert output["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert output["contentSize"] == str(path.stat().st_size)
    assert entities["#job/segment.fov_001.ch_0/peak_mib"]["value"] == 101.5
    assert entities["#raw"]["identifier"] == "sampled-sha256-1:" + "b" * 64
    assert entities["#raw"]["sha256"] == "c" * 64
    control = entities["#control/segment.fov_001.ch_0"]
    assert control["object"] == {"@id": "#job/segment.fov_001.ch_0"}
    assert control["instrument"] == {"@id": "#step/segment"}


def test_times_have_an_offset_and_three_decimals(recorded):
    times = re.findall(
        r'"(?:startTime|endTime|datePublished)": "([^"]+)"', json.dumps(recorded.manifest())
    )
    assert len(times) > 10
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", t) for t in times)


def test_the_same_records_give_the_same_bytes(recorded):
    before = recorded.manifest_file.read_bytes()
    time = recorded.manifest_file.stat().st_mtime_ns
    recorded.write_manifest()
    assert recorded.manifest_file.read_bytes() == before
    assert recorded.manifest_file.stat().st_mtime_ns == time


def test_the_mail_server_stays_out_and_the_licence_comes_in(recorded):
    config = (recorded.folder / "provenance" / "config.json").read_text(encoding="utf-8")
    assert "smtp" not in config
    entities = recorded.entities()
    assert entities["./"]["license"] == {"@id": "https://spdx.org/licenses/CC-BY-4.0"}
    assert entities["https://spdx.org/licenses/CC-BY-4.0"]["name"] == "CC-BY-4.0"


def test_a_stack_that_was_removed_after_use_is_described_and_no_part(recorded):
    name = recorded.name(0, "seg_ch_0.npy")
    made = digest(recorded.folder / name)
    (recorded.folder / name).unlink()
    recorded.write_manifest()
    entities = recorded.entities()
    (gone,) = (e for i, e in entities.items() if i.startswith("#elsewhere/"))
    assert gone["sha256"] == made["sha256"]
    assert gone["@type"] == "CreativeWork"
    assert entities["#job/track.fov_000"]["object"][0] == {"@id": gone["@id"]}


def test_an_output_without_a_checksum_is_said_to_have_none(recorded):
    record = recorded.record("track", 0)
    content = json.loads(record.read_text(encoding="utf-8"))
    content["outputs"][recorded.name(0, "tracks.csv")] = None
    record.write_text(json.dumps(content), encoding="utf-8")
    recorded.write_manifest()
    path = recorded.name(0, "tracks.csv")
    entity = next(e for i, e in recorded.entities().items() if file_path(i) == path)
    assert "No checksum was recorded" in entity["description"]
    assert "sha256" not in entity
    report = verify(recorded.folder)
    assert report.ok
    assert [note.file for note in report.notes] == [path]


def test_files_of_an_older_workflow_leave_the_folder(recorded):
    old = recorded.folder / "provenance" / "workflow" / "rules" / "old.smk"
    old.write_text("rule old:\n")
    recorded.write_manifest()
    assert not old.exists()


def test_a_job_without_an_end_in_a_run_that_is_over_was_stopped():
    key = JobKey("segment", "003", "0")
    about = {"step": "segment", "wildcards": {"fov": "003", "channel": "0"}}
    attempt = JobRecord("segment", 1, **about, run="r1", status="running", started=at(0))
    record = JobRecord(**about, status="completed", outputs={"a.npy": None})
    assert record.key == key
    (job,) = join_attempts([record], {key: attempt}, frozenset({"r1"}))
    assert (job.status, job.outputs) == ("terminated", {})
    (job,) = join_attempts([record], {key: attempt}, frozenset())
    assert job.status == "completed"
    (job,) = join_attempts([], {key: attempt}, frozenset({"r1"}))
    assert job.status == "terminated"


def test_a_later_attempt_that_was_killed_is_told_as_it_ended(recorded, cache):
    from fovflow.runs.store import RunFolder

    name, first = recorded.name(1, "tracks.csv"), recorded.run
    recorded.run = RunFolder.create(recorded.outdir, name="late-lark")
    _, path = recorded.run.new_attempt(f"track.{DATASET}.fov_001")
    about = {"job": path.parent.name, "rule": "track", "attempt": 1}
    about["wildcards"] = {"dataset": DATASET, "fov": "001"}
    with closing(EventFile(path)) as file:
        file.write("job_started", time=at(1000.0), **about)
        file.write("metrics", time=at(1001.0), metrics={"loss": 5.5}, step=0, elapsed_s=1.0)
    times = {"created": at(999.0), "started": at(999.0), "ended": at(1003.0)}
    recorded.edit_run(status="terminated", **times)
    recorded.write_manifest()  # the engine was killed as well
    action = recorded.entities()["#job/track.fov_001"]
    assert (action["actionStatus"], action["error"]) == (FAILED, "stopped before its end")
    assert action["result"] == {"@id": "#job/track.fov_001/metric/loss"}
    with closing(EventFile(recorded.run.path / "events.jsonl")) as file:
        file.write("job_failed", time=at(1002.0), **about, status="failed", error="killed")
    recorded.write_manifest()
    action = recorded.entities()["#job/track.fov_001"]
    assert (action["actionStatus"], action["error"]) == (FAILED, "killed")
    assert recorded.run.id in action["description"]
    assert action["result"] == {"@id": "#job/track.fov_001/metric/loss"}
    assert issues(recorded.folder, cache) == []
    assert [f for f in verify(recorded.outdir).findings if "ro-crate" in f.file] == []
    (maker, *_) = trace(recorded.folder / name).back  # the file itself is as it was made before
    assert maker.record.run == first.id


def test_two_runs_that_made_what_is_there_are_both_told(recorded, cache):
    from fovflow.runs.store import RunFolder

    first = recorded.run
    recorded.run = RunFolder.create(recorded.outdir, name="late-lark")
    recorded.clock = 1000.0
    recorded.job("track", 1, inputs=[], outputs=[recorded.name(1, "tracks.csv")])
    recorded.run.set_status("completed")
    recorded.write_manifest()
    assert issues(recorded.folder, cache) == []
    entities = recorded.entities()
    controls = [item["@id"] for item in entities[f"#engine/{first.id}"]["object"]]
    assert "#control/track.fov_000" in controls
    assert "#control/track.fov_001" not in controls
    later = [item["@id"] for item in entities[f"#engine/{recorded.run.id}"]["object"]]
    assert "#control/track.fov_001" in later


# ---- the folder of the analysis


def of_analysis(recorded: Recorded) -> dict:
    text = (recorded.outdir / "analysis" / "ro-crate-metadata.json").read_text(encoding="utf-8")
    return {entity["@id"]: entity for entity in json.loads(text)["@graph"]}


@pytest.mark.parametrize("error", ["", "no bound is right"])
def test_the_analysis_has_a_valid_manifest_of_its_own(recorded, cache, error):
    recorded.analyse(error)
    folder = recorded.outdir / "analysis"
    assert issues(folder, cache) == []
    entities = of_analysis(recorded)
    merge, fit = entities["#job/merge.s%201"], entities["#job/fit.s%201.area.ch_0"]
    tidy = entities["s%201_area_ch_0.csv"]
    assert tidy["sha256"] == digest(folder / "s 1_area_ch_0.csv")["sha256"]
    assert tidy["@id"] in [part["@id"] for part in entities["./"]["hasPart"]]
    assert merge["result"] == fit["object"][0] == {"@id": tidy["@id"]}
    traces = entities[merge["object"][0]["@id"]]
    assert traces["@type"] == "CreativeWork"
    assert traces["@id"].startswith("#elsewhere/plate")
    assert fit["actionStatus"] == (FAILED if error else COMPLETED)
    assert fit.get("error") == (error or None)
    assert "#raw" not in entities
    assert verify(recorded.outdir).findings == []
    assert verify(folder).findings == []


def test_the_manifest_of_the_analysis_is_held_to(recorded):
    recorded.analyse()
    fitted = recorded.outdir / "analysis" / "s 1_area_ch_0_fitted_decay.csv"
    fitted.write_text("# analysis/s 1_area_ch_0_fitted_decoy.csv\n", encoding="utf-8")
    (found,) = verify(recorded.outdir).findings
    assert found.file == "analysis/s 1_area_ch_0_fitted_decay.csv"
    assert "its content was changed" in found.problem
    assert len(verify(fitted.parent).findings) == 1  # also of the folder alone
    recorded.analyse()
    fitted.unlink()
    (found,) = verify(recorded.outdir).findings
    assert "missing" in found.problem
    recorded.analyse()
    manifest = fitted.parent / "ro-crate-metadata.json"
    manifest.write_text(manifest.read_text().replace("Analysis of samples", "Anything"))
    assert "analysis/ro-crate-metadata.json" in {f.file for f in verify(recorded.outdir).findings}


def test_what_was_made_when_the_run_had_ended_is_no_jobs_output(recorded):
    recorded.analyse()
    record = recorded.outdir / "logs" / "analysis" / "s 1" / "fit_area_ch_0.json"
    record.unlink()
    fitted = recorded.outdir / "analysis" / "s 1_area_ch_0_fitted_decay.csv"
    fitted.write_text("of the FOVs that there were\n", encoding="utf-8")
    write_manifest(recorded.outdir, "", CONFIG, ROOT, ENGINE)
    assert "#job/fit.s%201.area.ch_0" not in of_analysis(recorded)
    assert verify(recorded.outdir).findings == []


def test_a_digest_that_cannot_be_written_is_not_that_of_an_earlier_manifest(recorded, monkeypatch):
    def fail(path, text):
        if path.name.endswith(".sha256"):
            raise OSError(5, "no more of this disk")
        write(path, text)

    write = records.write_text
    recorded.edit_run(name="another-otter")
    monkeypatch.setattr(records, "write_text", fail)
    with pytest.raises(OSError, match="no more"):
        recorded.write_manifest()
    assert verify(recorded.outdir).findings == []
