"""Every kind of damage is found and named, by `fovflow verify` or by the crate validator."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from runs.crate_validator import fill_cache, issues
from runs.recorded import CONFIG, DATASET, ENGINE, Recorded

from fovflow.cli import main
from fovflow.errors import FovflowError
from fovflow.layout import RESULTS_NAME, WANTED_NAME
from fovflow.runs.checks import Finding, Report, out_of_order
from fovflow.runs.crate import file_id
from fovflow.runs.manifest import write_manifest
from fovflow.runs.verify import verify
from paths import ROOT


def edit(path, change):
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")


def one_flipped_bit(r):
    path = r.folder / r.name(1, "seg_ch_0.npy")
    data = bytearray(path.read_bytes())
    data[200] ^= 4
    path.write_bytes(data)
    assert np.load(path).shape == (3, 8, 9)
    return r.name(1, "seg_ch_0.npy"), "its content was changed"


def wrong_size(r):
    path = r.folder / r.name(0, "tracks.csv")
    path.write_text(path.read_text() + "1,1\n")
    return r.name(0, "tracks.csv"), "bytes where"


def missing_file(r):
    (r.folder / r.name(0, "times.csv")).unlink()
    return r.name(0, "times.csv"), "missing"


def orphan_file(r):
    (r.folder / "fov_000" / "new.npy").write_bytes(b"x")
    return "fov_000/new.npy", "orphan"


def wrong_hash_in_a_record(r):
    name = r.name(0, "seg_ch_0.npy")
    edit(
        r.record("segment", 0, "_ch_0"),
        lambda c: c["outputs"][name].update(sha256="0" * 64),
    )
    return name, "SHA-256"


def wrong_hash_in_the_manifest(r):
    name = r.name(0, "seg_ch_0.npy")
    r.change_manifest(file_id(name), sha256="0" * 64)
    return name, "ro-crate-metadata.json says 000"


def dropped_status_of_a_job(r):
    edit(r.record("track", 1), lambda c: c.pop("status"))
    return "logs/fov_001/track.json", "wrong status None"


def dropped_status_in_the_manifest(r):
    r.change_manifest("#job/track.fov_001", actionStatus=None)
    return "ro-crate-metadata.json", "wrong status None of '#job/track.fov_001'"


def failed_job_told_as_complete(r):
    edit(
        r.record("track", 1),
        lambda c: c.update(status="failed", error="x", outputs={}),
    )
    return "processing_results.yaml", "says that FOV 1 is complete"


def times_out_of_order_in_the_manifest(r):
    r.change_manifest("#job/track.fov_001", endTime="2020-01-01T00:00:00.000+00:00")
    return "ro-crate-metadata.json", "times out of order: '#job/track.fov_001'"


def dangling_reference(r):
    r.change_manifest("#job/track.fov_001", object={"@id": "#nothing"})
    return "ro-crate-metadata.json", "dangling reference '#nothing'"


def duplicate_id(r):
    content = r.manifest()
    content["@graph"].append(content["@graph"][-1])
    r.manifest_file.write_text(json.dumps(content), encoding="utf-8")
    return "ro-crate-metadata.json", "duplicate id"


def duplicate_key(r):
    text = r.manifest_file.read_text(encoding="utf-8")
    text = text.replace('"@type": "ControlAction"', '"@type": "A", "@type": "ControlAction"', 1)
    r.manifest_file.write_text(text, encoding="utf-8")
    return "ro-crate-metadata.json", "the key '@type' stands twice"


def path_climbing_out_of_a_record(r):
    (r.outdir / "secret").write_text("x")
    edit(
        r.record("track", 1),
        lambda c: c["outputs"].update({"../secret": {"bytes": 1, "sha256": "0" * 64}}),
    )
    return "logs/fov_001/track.json", "'../secret', which lies outside"


def path_climbing_out_of_the_manifest(r):
    content = r.manifest()
    content["@graph"].append({"@id": "../secret", "@type": "File"})
    r.manifest_file.write_text(json.dumps(content), encoding="utf-8")
    return "ro-crate-metadata.json", "'../secret', which lies outside"


def path_climbing_out_of_the_results(r):
    path = r.folder / "processing_results.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("fov_000/", "/etc/fov_000/", 1))
    return "processing_results.yaml", "which lies outside the folder"


def truncated_manifest(r):
    r.manifest_file.write_bytes(r.manifest_file.read_bytes()[:900])
    return "ro-crate-metadata.json", "is not JSON"


def wrong_status_of_the_results(r):
    path = r.folder / "processing_results.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("complete", "fine", 1))
    return "processing_results.yaml", "wrong status 'fine' of FOV 0"


DAMAGE = [
    one_flipped_bit, wrong_size, missing_file, orphan_file, wrong_hash_in_a_record,
    wrong_hash_in_the_manifest, dropped_status_of_a_job, dropped_status_in_the_manifest,
    failed_job_told_as_complete, times_out_of_order_in_the_manifest, dangling_reference,
    duplicate_id, duplicate_key, path_climbing_out_of_a_record, path_climbing_out_of_the_manifest,
    path_climbing_out_of_the_results, truncated_manifest, wrong_status_of_the_results,
]  # fmt: skip


@pytest.mark.parametrize(
    ("second", "wrong"),
    [("10:00:00", False), ("09:59:59.5", False), ("09:59:58.5", True), ("soon", True)],
)
def test_a_time_may_lie_a_second_before_the_one_that_it_follows(second, wrong):
    first, second = "2026-05-04T10:00:00+00:00", f"2026-05-04T{second}+00:00"
    assert out_of_order(first, second) is wrong
    assert not out_of_order(None, second)
    assert not out_of_order(first, "")


def test_a_finding_is_one_line():
    assert str(Finding("a\nb", "c\nd")) == "a\\nb: c\\nd"
    assert (Report().files, Report().bytes) == (0, 0)


def test_what_is_half_written_is_no_output_and_no_orphan(recorded):
    for name in (".a.npy.0123.part", ".step_a.0123.part/a.npy"):
        left = recorded.folder / "fov_000" / name
        left.parent.mkdir(exist_ok=True)
        left.write_bytes(b"x")
    report = verify(recorded.folder)
    assert report.findings == []
    assert [note.file for note in report.notes if "half written" in note.problem] == [
        "fov_000/.a.npy.0123.part",
        "fov_000/.step_a.0123.part/a.npy",
    ]


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda d: d.__name__)
def test_damage_in_a_datasets_folder_is_found_and_named(recorded, damage):
    file, words = damage(recorded)
    report = verify(recorded.folder)
    assert [f for f in report.findings if f.file == file and words in f.problem], report.findings
    inside = verify(recorded.outdir)
    assert [f for f in inside.findings if f.file == f"{DATASET}/{file}" and words in f.problem]


def times_of_a_run(r):
    edit(r.run.path / "run.json", lambda c: c.update(ended="2020-01-01T00:00:00+00:00"))
    return "run.json", "times out of order"


def status_of_a_run(r):
    edit(r.run.path / "run.json", lambda c: c.update(status="failed"))
    return "run.json", "its history does not end with its status 'failed'"


def dropped_status_of_a_run(r):
    edit(r.run.path / "run.json", lambda c: c.pop("status"))
    return "run.json", "wrong status None"


def moved_record_of_a_run(r):
    edit(r.run.path / "run.json", lambda c: c.update(id="other"))
    return "run.json", "is the record of 'other'"


def times_of_an_attempt(r):
    path = r.run.job_file(f"track.{DATASET}.fov_001", 1)
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace('"time":"2026-03', '"time":"2026-04', 1), encoding="utf-8")
    return f"jobs/track.{DATASET}.fov_001/attempt-1.jsonl", "times out of order"


def failed_attempt_in_a_completed_run(r):
    path = r.run.job_file(f"track.{DATASET}.fov_001", 1)
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace('"status":"completed"', '"status":"failed"'), encoding="utf-8")
    return "run.json", "wrong status completed: 1 of its jobs failed"


RUN_DAMAGE = [
    times_of_a_run, status_of_a_run, dropped_status_of_a_run, moved_record_of_a_run,
    times_of_an_attempt, failed_attempt_in_a_completed_run,
]  # fmt: skip


@pytest.mark.parametrize("damage", RUN_DAMAGE, ids=lambda d: d.__name__)
def test_damage_in_a_run_is_found_and_named(recorded, damage):
    file, words = damage(recorded)
    name = f"runs/{recorded.run.id}/{file}"
    found = verify(recorded.outdir).findings
    assert [f for f in found if f.file == name and words in f.problem], found


@pytest.mark.parametrize(
    "keys",
    [
        {"instrument": None},
        {"@type": "Thing", "instrument": {"@id": "#nothing"}},
    ],
    ids=["no instrument", "no action"],
)
def test_the_validator_finds_broken_actions(recorded, tmp_path, keys):
    fill_cache(tmp_path / "http")
    recorded.change_manifest(f"#run/{recorded.run.id}", **keys)
    assert issues(recorded.folder, tmp_path / "http")


def test_nothing_is_found_in_an_undamaged_folder_wherever_it_lies(recorded, tmp_path):
    moved = tmp_path / "elsewhere" / "copy"
    shutil.copytree(recorded.folder, moved)
    for folder in (recorded.outdir, recorded.folder, moved):
        report = verify(folder)
        assert (report.findings, report.notes) == ([], [])
        assert report.files > 20


def test_stacks_that_are_not_kept_may_be_gone(recorded):
    name = recorded.name(0, "seg_ch_0.npy")
    path = recorded.folder / "processing_results.yaml"
    (recorded.folder / name).unlink()
    assert not verify(recorded.folder).ok
    path.write_text(path.read_text(encoding="utf-8").replace("- seg\n", ""), encoding="utf-8")
    recorded.write_manifest()
    assert verify(recorded.folder).findings == []


@pytest.mark.parametrize("damage", [lambda path: path.write_text("[]"), lambda path: path.unlink()])
def test_a_damaged_results_file_makes_no_stack_missing(recorded, damage):
    name, path = recorded.name(0, "seg_ch_0.npy"), recorded.folder / "processing_results.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("- seg\n", ""), encoding="utf-8")
    keep = {**CONFIG, "keep": ["pc", "seg_labeled"]}
    write_manifest(recorded.outdir, DATASET, keep, ROOT, ENGINE)
    (recorded.folder / name).unlink()
    damage(path)
    found = verify(recorded.folder).findings
    assert {finding.file for finding in found} == {path.name}


def test_a_persons_verdicts_are_no_orphan(recorded):
    (recorded.folder / recorded.name(0, "tracks_inspected.csv")).write_text("x")
    assert verify(recorded.folder).ok
    (recorded.folder / recorded.name(0, "other_inspected.csv")).write_text("x")
    assert not verify(recorded.folder).ok


def test_a_failed_job_is_a_note(tmp_path):
    report = verify(Recorded(tmp_path, failed=0).folder)
    assert report.ok
    assert "the job failed: no light at frame 2" in " ".join(map(str, report.notes))


def test_progress_counts_every_byte(recorded):
    calls = []
    report = verify(recorded.folder, advance=lambda step, total: calls.append((step, total)))
    assert sum(step for step, _ in calls) == report.bytes == calls[0][1]


def test_a_folder_without_results_is_an_error(tmp_path):
    with pytest.raises(FovflowError, match="holds no results"):
        verify(tmp_path)
    with pytest.raises(FovflowError, match="there is no folder"):
        verify(tmp_path / "absent")


def test_the_command_prints_one_line_per_finding_and_exits_with_1(recorded, capsys):
    assert main(["verify", str(recorded.outdir)]) == 0
    assert "everything holds" in capsys.readouterr().out
    file, _ = one_flipped_bit(recorded)
    assert main(["verify", str(recorded.outdir)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{DATASET}/{file}: its content was changed: SHA-256 ")
    assert len(lines) == 2
    assert main(["verify", str(recorded.outdir), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["ok"] is False
    assert told["findings"][0]["file"] == f"{DATASET}/{file}"
    assert main(["verify", str(recorded.outdir / "absent")]) == 1


def test_fovs_that_are_not_made_are_noted_without_a_results_file_too(recorded):
    job = ["track", "a", "b", "fov_001/absent.csv"]
    wanted = {"fovs": {"1": {"logs/fov_001/absent.json": job}}}
    (recorded.folder / WANTED_NAME).write_text(json.dumps(wanted))
    for _ in range(2):
        notes = [str(note) for note in verify(recorded.outdir).notes]
        assert f"{DATASET}/{RESULTS_NAME}: FOV 1 is incomplete" in notes
        (recorded.folder / RESULTS_NAME).unlink(missing_ok=True)


def test_a_results_file_that_is_gone_is_damage_also_without_a_manifest(recorded):
    for name in (
        RESULTS_NAME,
        "ro-crate-metadata.json",
        "provenance/ro-crate-metadata.json.sha256",
    ):
        (recorded.folder / name).unlink()
    assert f"{DATASET}/{RESULTS_NAME}" in {one.name for one in verify(recorded.outdir).damaged}
