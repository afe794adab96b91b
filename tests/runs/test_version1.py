"""Records of version 1, as fovflow 0.1.0 wrote them, are read as if they were of today's form."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from fovflow.cli import main
from fovflow.events import VERSION, check_event, from_line, read_events
from fovflow.jobrecord import JobKey, read_record, read_records
from fovflow.runs.manifest import write_manifest
from fovflow.runs.publish import publish
from fovflow.runs.restore import check_reproduction
from fovflow.runs.state import outputs_of, read_jobs, read_run
from fovflow.runs.store import list_runs
from fovflow.runs.verify import verify
from fovflow.states import Folder, Wanted, WantedJob, state_of

KEPT = Path(__file__).parent / "version1"
PRINTED = json.loads((KEPT / "printed.json").read_text(encoding="utf-8"))
STEPS = ("copy", "segment", "correct", "track", "extract")


@pytest.fixture
def results(tmp_path, monkeypatch):
    shutil.copytree(KEPT / "results", tmp_path / "results")
    monkeypatch.chdir(tmp_path)
    return Path("results")


@pytest.mark.parametrize("command", PRINTED)
def test_the_commands_print_what_they_printed(results, command, capsys):
    main(command.split())
    printed = json.loads(capsys.readouterr().out)
    for key in ("config", "environment", "workflow"):
        printed.pop(key, None) if "show" in command else None
    if "compare" in command:  # what each found in its FOVs is told since
        assert printed.pop("found")["sim/0"]["first"]["ids"] == 2
    assert printed == PRINTED[command]


def test_the_manifest_keeps_its_bytes(results):
    folder = results / "sim"
    manifest = folder / "ro-crate-metadata.json"
    before = manifest.read_bytes()
    manifest.unlink()
    config = json.loads((folder / "provenance" / "config.json").read_text(encoding="utf-8"))
    workflow = folder / "provenance" / "workflow"
    write_manifest(results, "sim", config, workflow, ("Snakemake", "9.27.1"))
    assert manifest.read_bytes() == before


def test_events_come_in_todays_form(results):
    finished, failed = list_runs(results)
    for path in results.rglob("*.jsonl"):
        for event in read_events(path):
            check_event(event)
            assert event["v"] == VERSION
    events = read_events(finished.job_file("segment.sim.fov_000.ch_0", 1))
    assert events[0]["options"]["arguments"]["method"] == "logstd"
    assert events[-1]["status"] == "completed"
    assert read_events(failed.job_file("count.sim.fov_000", 1))[-1]["status"] == "failed"
    stopped = '{"v":1,"time":"2026-01-01T00:00:00+00:00","type":"job_failed","job":"a","exit":130,'
    event = from_line(stopped + '"rule":"a","wildcards":{},"attempt":1}')
    assert event is not None
    assert event["status"] == "terminated"


def test_records_come_in_todays_form(results):
    found = {record.key: record for record in read_records(results / "sim")}
    assert {key.name: record.status for key, record in found.items()} == {
        "copy.fov_000": "completed",
        "correct.fov_000.ch_1": "completed",
        "count.fov_000": "failed",
        "extract.fov_000": "completed",
        "results": "completed",
        "segment.fov_000.ch_0": "completed",
        "track.fov_000": "completed",
    }
    segment, count = found[JobKey("segment", "000", "0")], found[JobKey("count", "000")]
    assert segment.options["revision"] == 3
    assert segment.outputs["fov_000/sim_fov_000_seg_ch_0.npy"] is not None
    assert (segment.run, segment.started, segment.attempt) == ("", None, 0)
    assert "no cells to count" in count.error
    assert (count.transient, count.frame) == (False, None)
    assert count.run == list_runs(results)[1].id
    joined = {job.key: job for job in read_jobs(results, "sim")}[segment.key]
    assert joined.run == list_runs(results)[0].id
    assert joined.usage["peak_mib"] > 0
    assert joined.started is not None
    assert joined.ended is not None
    assert joined.started < joined.ended


def test_a_fov_is_complete_with_the_options_that_were_recorded(results):
    sim, logs = results / "sim", "logs/fov_000"
    names = {"segment": "segment_ch_0", "correct": "correct_ch_1"}
    made = {step: f"{logs}/{names.get(step, step)}.json" for step in STEPS}
    file = next((sim / "fov_000").glob("*.csv")).relative_to(sim).as_posix()
    records = {step: read_record(sim / name) for step, name in made.items()}
    options = {step: record.options for step, record in records.items() if record}
    assert set(options) == set(STEPS)

    def state(wanted):
        jobs = [WantedJob(s, made[s], Wanted.of(wanted[s]), outputs=(file,)) for s in STEPS]
        return state_of(jobs, Folder(str(sim)))

    assert state(options) == {"status": "complete"}
    assert state({**options, "track": {}}) == {"status": "outdated", "step": "track"}


def test_runs_are_read_published_and_reproduced(results, tmp_path):
    finished, failed = list_runs(results)
    assert read_run(finished).count("completed") == 8
    (job,) = read_run(failed).failed
    assert job.where == "sim, FOV 0"
    assert len(outputs_of(failed)) == 12
    reproduction = check_reproduction(failed)
    assert (reproduction.different, reproduction.missing) == ([], [])
    assert len(reproduction.equal) == 5
    copied = publish(failed, str(tmp_path / "archive"))
    assert copied.failed == {}
    assert verify(tmp_path / "archive").findings == []
