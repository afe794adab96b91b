"""Each condition of a verification: what is a finding, what is a note, and what is neither."""

from __future__ import annotations

import json
import os

import pytest
from runs.recorded import DATASET, Recorded, at
from runs.test_verify import edit, one_flipped_bit

from fovflow.atomic import digest_of
from fovflow.jobrecord import record_text
from fovflow.records import read_yaml, write_yaml
from fovflow.runs.checks import Report, format_report
from fovflow.runs.crate import FILE_NAME
from fovflow.runs.manifest import MANIFEST_DIGEST
from fovflow.runs.verify import holds_records, is_dataset, verify
from fovflow.tables import read_csv, write_csv
from fovflow.verdicts import write_verdicts

RESULTS = "processing_results.yaml"


def told(report: Report) -> list[str]:
    return list(map(str, report.findings))


def notes(report: Report) -> list[str]:
    return list(map(str, report.notes))


def change_results(recorded, change) -> Report:
    """Change the results file, bring the manifest up to date, and verify."""
    path = recorded.folder / RESULTS
    content = read_yaml(path)
    content = change(content) or content
    write_yaml(path, content)
    recorded.write_manifest()
    return verify(recorded.folder)


# ---- files that nothing speaks of


@pytest.mark.parametrize("name", [".DS_Store", "Thumbs.db", "desktop.ini", "._a.npy"])
def test_what_file_managers_leave_is_no_orphan(recorded, name):
    for place in ("", "fov_000", "logs", "logs/fov_000"):
        (recorded.folder / place / name).write_bytes(b"\0")
    (recorded.folder / "logs" / "fov_000" / "._track.json").write_bytes(b"\0\xff")
    for folder in (recorded.folder, recorded.outdir):
        assert (told(verify(folder)), notes(verify(folder))) == ([], [])


@pytest.mark.parametrize(
    ("name", "orphan"),
    [
        (f"overlays/{DATASET}_fov_000_frame_0003.png", False),
        (f"overlays/{DATASET}_fov_000_frame_12345.png", False),
        ("overlays/mine.png", True),
        (f"overlays/{DATASET}_fov_000_ch_1.mp4", False),
        (f"exports/ome-zarr/{DATASET}_fov_000.ome.zarr/0/c/0/0", False),
        ("exports/mine.txt", True),
        (f"overlays/a/{DATASET}_fov_000_frame_0003.png", True),
        (f"fov_000/{DATASET}_fov_000_frame_0003.png", True),
        ("logs/a.log", False),
        ("logs/a.txt", True),
        ("other/a.log", True),
        ("dataset.json", False),
    ],
)
def test_which_files_are_orphans(recorded, name, orphan):
    path = recorded.folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        path.write_bytes(b"x")
    assert told(verify(recorded.folder)) == (
        [f"{name}: orphan: no record speaks of it"] if orphan else []
    )


def test_a_page_beside_the_datasets_is_a_note_and_inside_one_an_orphan(recorded):
    (recorded.outdir / "report.html").write_text("x")
    report = verify(recorded.outdir)
    assert told(report) == []
    assert notes(report) == ["report.html: not checked: it was made again by no job of a run"]
    (recorded.outdir / "mine.txt").write_text("x")
    assert told(verify(recorded.outdir)) == ["mine.txt: orphan: no record speaks of it"]
    (recorded.folder / "report.html").write_text("x")
    assert "report.html: orphan: no record speaks of it" in told(verify(recorded.folder))


def test_stale_verdicts_are_a_note(recorded):
    name = recorded.name(0, "traces.csv")
    traces = recorded.folder / name
    write_csv(traces, {"cell": [1, 2], "frame": [0, 0], "good": [True, True]})
    recorded.job("extract", 0, inputs=[], outputs=[recorded.name(0, "x.csv")])
    edit(
        recorded.record("extract", 0),
        lambda c: c["outputs"].update({name: None}) or c.update(run="older"),
    )
    recorded.write_manifest()
    path = write_verdicts(traces, read_csv(traces))
    write_verdicts(traces, read_csv(traces))
    report = verify(recorded.folder)
    assert told(report) == []
    assert notes(report) == [f"{name}: not checked: no checksum was recorded"]
    path.write_text("cell,good\n9,False\n")
    assert notes(verify(recorded.folder))[-1].endswith(
        "a person's verdicts are not used: made from other traces: these have no cell 9"
    )


# ---- the results file


def test_a_results_file_that_is_gone_or_none(recorded):
    path, plan = recorded.folder / RESULTS, recorded.folder / "dataset.json"
    path.unlink()
    report = verify(recorded.folder)
    missing = f"{RESULTS}: missing; ro-crate-metadata.json says that it was made"
    assert [text for text in told(report) if text.startswith(f"{RESULTS}: missing")] == [missing]
    assert [damage.name for damage in report.damaged] == [RESULTS]
    content, crate = plan.read_bytes(), recorded.folder / "ro-crate-metadata.json"
    described = crate.read_bytes()
    crate.unlink()  # nothing tells of it
    report = verify(recorded.folder)
    assert f"{RESULTS}: missing; the run was stopped before it was written" in told(report)
    assert RESULTS in [damage.name for damage in report.damaged]
    plan.unlink()
    assert not [text for text in told(verify(recorded.folder)) if "was stopped" in text]
    plan.write_bytes(content)
    crate.write_bytes(described)
    for text, words in (("[1]\n", "is no results file"), ("a: [\n", "cannot be read: ")):
        path.write_text(text)
        report = verify(recorded.folder)
        assert [t for t in told(report) if t.startswith(f"{RESULTS}: {words}")], told(report)
        assert RESULTS in [damage.name for damage in report.damaged]


def test_a_results_file_that_names_what_is_not_there(recorded):
    def change(content):
        content["results_paths"]["0"]["steps"] = {"a": {"x": "fov_000/none.csv"}}

    assert told(change_results(recorded, change)) == [
        f"{RESULTS}: names fov_000/none.csv, which is not there"
    ]


@pytest.mark.parametrize("path", ["../x", "/etc/x", "a/../../x", "a\\b"])
def test_names_that_leave_the_folder(recorded, path):
    def change(content):
        content["results_paths"]["0"]["pc"] = [0, path]

    assert told(change_results(recorded, change)) == [
        f"{RESULTS}: names {path!r}, which lies outside the folder"
    ]


def test_statuses_of_fovs_against_the_records(recorded):
    def status(value):
        return lambda content: content["fovs"].update({"0": value})

    assert told(change_results(recorded, status({"status": "failed"}))) == [
        f"{RESULTS}: says that FOV 0 failed, but no job of it did"
    ]
    for word in ("incomplete", "outdated"):
        report = change_results(recorded, status({"status": word}))
        assert (told(report), notes(report)) == ([], [f"{RESULTS}: FOV 0 is {word}"])
    for wrong in (None, "complete", {"status": "unknown"}):
        report = change_results(recorded, status(wrong))
        assert [t for t in told(report) if "wrong status" in t and "of FOV 0" in t], wrong
    report = change_results(
        recorded, lambda c: c.update(fovs={"x": {"status": "complete"}}) or None
    )
    assert told(report) == [f"{RESULTS}: the FOV 'x' is no number"]
    assert told(change_results(recorded, lambda c: c.update(fovs=[1]) or None)) == []


def test_a_failed_fov_is_known_by_its_first_failed_job(tmp_path):
    recorded = Recorded(tmp_path, failed=0)
    report = verify(recorded.folder)
    assert report.ok
    assert f"{RESULTS}: FOV 0 is failed" in notes(report)
    assert f"{RESULTS}: FOV 1 is complete" not in notes(report)


# ---- records of jobs


def test_a_record_without_checksums_is_a_note(recorded):
    name = recorded.name(1, "tracks.csv")
    track = recorded.record("track", 1)
    edit(track, lambda c: c["outputs"].update({name: None}) or c.update(run="older"))
    recorded.write_manifest()
    assert notes(verify(recorded.folder)) == [f"{name}: not checked: no checksum was recorded"]
    edit(track, lambda c: c.pop("outputs"))
    assert "logs/fov_001/track.json: no checksums were recorded for this job's outputs" in notes(
        verify(recorded.folder)
    )


def test_outputs_of_a_failed_job_may_be_gone(recorded):
    name = recorded.name(1, "tracks.csv")
    (recorded.folder / name).unlink()
    report = verify(recorded.folder)
    assert told(report) == [f"{name}: missing; {FILE_NAME} says that it was made"]
    assert [(d.name, d.found) for d in report.damaged] == [(name, None)]
    edit(recorded.record("track", 1), lambda c: c.update(status="failed", error="x", run="older"))
    assert name not in [finding.file for finding in verify(recorded.folder).findings]


@pytest.mark.parametrize("dated", [True, False])
def test_what_a_failed_attempt_may_have_touched_is_checked_while_it_has_its_old_time(
    recorded, dated
):
    name = recorded.name(1, "tracks.csv")
    path = recorded.folder / name
    time = path.stat().st_mtime_ns

    def fail(content):
        before = {**content, "times": {name: time}, "run": "older"}
        content.update(before=before, status="failed", error="x", run="older", outputs={})

    edit(recorded.record("track", 1), fail)
    (recorded.folder / FILE_NAME).unlink()
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    os.utime(path, ns=(time, time + (not dated)))
    report = verify(recorded.folder)
    found = [f.problem for f in report.findings if f.file == name]
    noted = [n.problem for n in report.notes if n.file == name]
    assert ["content was changed" in each for each in found] == [True] * dated
    assert noted == ["not checked: no checksum was recorded"] * (not dated)


def test_a_file_that_cannot_be_read_is_damaged(recorded, monkeypatch):
    name = recorded.name(1, "tracks.csv")

    def refuse(file, **keys):
        if str(file).endswith(name):
            raise PermissionError(13, "Permission denied")
        return digest_of(file, **keys)

    monkeypatch.setattr("fovflow.runs.verify.digest_of", refuse)
    report = verify(recorded.folder)
    assert told(report) == [f"{name}: cannot be read: Permission denied"]
    assert [damage.name for damage in report.damaged] == [name]


def test_a_folder_with_records_of_jobs_is_one_to_verify(tmp_path):
    assert not holds_records(tmp_path)
    (tmp_path / "logs" / "fov_000").mkdir(parents=True)
    (tmp_path / "logs" / "fov_000" / "track.json").write_text("{}")
    assert holds_records(tmp_path)
    assert not is_dataset(tmp_path)


@pytest.mark.parametrize("change", [{"seconds": 9.0}, {"options": {}}, {"threads": 3}])
def test_a_record_must_be_what_its_run_recorded(recorded, change):
    path = recorded.record("track", 1)
    text = path.read_text(encoding="utf-8")
    edit(path, lambda c: c.update(change))
    (key,) = change
    for folder, prefix in ((recorded.folder, ""), (recorded.outdir, f"{DATASET}/")):
        report = verify(folder)
        name = f"{prefix}logs/fov_001/track.json"
        assert told(report) == [f"{name}: differs from what {recorded.run.id} recorded: {key}"]
        (damage,) = report.damaged
        assert (damage.name, damage.dataset) == (name, DATASET)
        assert json.loads(damage.text) == json.loads(text)
    path.write_text(json.dumps(json.loads(text)), encoding="utf-8")
    assert told(verify(recorded.folder)) == [], "white space has no meaning"


def test_a_record_of_another_run_that_is_gone_is_not_compared(recorded):
    path = recorded.record("track", 1)
    edit(path, lambda c: c.update(seconds=9.0, run="older"))
    assert told(verify(recorded.folder)) == []
    edit(path, lambda c: c.update(run=""))
    assert verify(recorded.folder).damaged
    path.unlink()
    assert not [d for d in verify(recorded.folder).damaged if d.text is not None]


def test_a_job_that_was_killed_after_its_record_and_before_its_last_event_is_no_damage(recorded):
    (attempt,) = recorded.run.path.glob("jobs/track*fov_001*/attempt-1.jsonl")
    lines = attempt.read_text(encoding="utf-8").splitlines(keepends=True)
    (begun,) = (line for line in lines if '"job_started"' in line)
    edit(recorded.record("track", 1), lambda c: c.update(seconds=9.0))
    assert verify(recorded.folder).damaged
    again = attempt.with_name("attempt-2.jsonl")
    again.write_text(begun, encoding="utf-8")
    assert told(verify(recorded.folder)) == []
    again.write_text("".join(lines), encoding="utf-8")
    assert verify(recorded.folder).damaged


def test_a_record_that_cannot_be_read_is_known_from_its_run(recorded):
    path = recorded.record("segment", 0, "_ch_0")
    text = path.read_text(encoding="utf-8")
    path.write_text(text[:100], encoding="utf-8")
    report = verify(recorded.folder)
    assert [d.name for d in report.damaged if d.text] == ["logs/fov_000/segment_ch_0.json"]
    assert report.findings[0].problem.startswith("is not JSON")


def test_of_several_attempts_any_may_be_the_record_and_the_last_is_the_right_one(recorded):
    first = recorded.record("track", 1).read_bytes()
    recorded.job(
        "track", 1, inputs=[], outputs=[recorded.name(1, n) for n in ("seg_labeled_ch_0.npy",)]
    )
    second = recorded.record("track", 1).read_bytes()
    for content in (first, second):
        recorded.record("track", 1).write_bytes(content)
        assert not [d for d in verify(recorded.folder).damaged if d.text]
    recorded.record("track", 1).write_bytes(b"{")
    (damage,) = [d for d in verify(recorded.folder).damaged if d.text]
    assert json.loads(damage.text) == json.loads(second)


def test_attempts_that_wrote_no_record_are_not_compared(recorded):
    attempt = recorded.run.job_file(f"track.{DATASET}.fov_001", 1)
    begun, ended = map(json.loads, attempt.read_text(encoding="utf-8").splitlines())
    path = recorded.record("track", 1)
    edit(path, lambda c: c.update(seconds=9.0))
    assert verify(recorded.folder).damaged
    for lines in ([begun], [begun, {**ended, "outputs": None, "kind": None}]):
        for event in lines:
            for key in ("outputs", "kind"):
                if event.get(key, 0) is None:
                    del event[key]
        attempt.write_text("\n".join(map(json.dumps, lines)) + "\n", encoding="utf-8")
        assert told(verify(recorded.folder)) == []
    failed = {**ended, "type": "job_failed", "status": "failed", "error": "x", "kind": "OSError"}
    del failed["outputs"]
    attempt.write_text("\n".join(map(json.dumps, [begun, failed])) + "\n", encoding="utf-8")
    assert json.loads(verify(recorded.folder).damaged[0].text) == json.loads(
        record_text(begun, failed)
    )


def test_an_event_that_names_a_file_outside_the_folder(recorded):
    attempt = recorded.run.job_file(f"track.{DATASET}.fov_001", 1)
    text = attempt.read_text(encoding="utf-8").replace('"fov":"001"', '"fov":"001/../../../x"')
    attempt.write_text(text, encoding="utf-8")
    (recorded.outdir / "x").mkdir()
    (recorded.outdir / "x" / "track.json").write_text("{}")
    report = verify(recorded.folder)
    assert report.damaged == []
    assert told(report) == [
        "logs: an event names 'logs/fov_001/../../../x/track.json', which lies outside the folder"
    ]


# ---- the manifest


def test_the_digest_of_the_manifest(recorded):
    path, beside = recorded.manifest_file, recorded.folder / MANIFEST_DIGEST
    path.write_text(path.read_text(encoding="utf-8") + " ", encoding="utf-8")
    report = verify(recorded.folder)
    assert len(told(report)) == 1
    assert f"{FILE_NAME}: has " in told(report)[0]
    assert [damage.name for damage in report.damaged] == [FILE_NAME]
    beside.write_text("x\n")
    report = verify(recorded.folder)
    assert told(report) == [f"{MANIFEST_DIGEST}: cannot be read: the columns x"]
    assert [damage.name for damage in report.damaged] == [MANIFEST_DIGEST]
    beside.unlink()
    report = verify(recorded.folder)
    assert (told(report), report.damaged) == ([], [])


def test_a_manifest_that_is_gone_or_none(recorded):
    (recorded.folder / MANIFEST_DIGEST).unlink()
    for text, words in (("{}", "has no @graph"), ("[]", "is no JSON object"), ("{", "is not JSON")):
        recorded.manifest_file.write_text(text)
        report = verify(recorded.folder)
        assert [t for t in told(report) if t.startswith(f"{FILE_NAME}: {words}")], told(report)
        assert [damage.name for damage in report.damaged] == [FILE_NAME]
    recorded.manifest_file.unlink()
    assert f"{FILE_NAME}: there is no manifest" in notes(verify(recorded.folder))
    (recorded.folder / "dataset.json").unlink()
    assert f"{FILE_NAME}: there is no manifest" not in notes(verify(recorded.folder))


def entities(recorded, change) -> list[str]:
    content = recorded.manifest()
    change(content["@graph"])
    recorded.manifest_file.write_text(json.dumps(content), encoding="utf-8")
    (recorded.folder / MANIFEST_DIGEST).unlink(missing_ok=True)
    return told(verify(recorded.folder))


def test_entities_without_id_links_to_the_web_and_files_without_a_digest(recorded):
    assert entities(recorded, lambda g: g.append({"name": "x"})) == [
        f"{FILE_NAME}: 1 entities have no @id"
    ]
    recorded.write_manifest()
    web = {"@id": "https://a.org/x", "@type": "File", "about": {"@id": "https://b.org"}}
    assert entities(recorded, lambda g: g.append(web)) == []
    inner = {"@id": "#x", "@type": "File", "sha256": "0" * 64, "contentSize": "1"}
    assert entities(recorded, lambda g: g.append(inner)) == []
    thing = {"@id": "no such file", "@type": "Thing"}
    assert entities(recorded, lambda g: g.append(thing)) == []
    for keys in ({"sha256": "0" * 64}, {"contentSize": "3"}, {"contentSize": "-1", "sha256": "0"}):
        recorded.write_manifest()
        file = {"@id": "gone.csv", "@type": ["File", "Thing"], **keys}
        assert entities(recorded, lambda g, f=file: g.append(f)) == [
            "gone.csv: missing; a record says that it was made"
        ]


def test_actions_that_contradict_themselves_or_the_records(recorded):
    def action(keys):
        recorded.write_manifest()
        recorded.change_manifest("#job/track.fov_001", **keys)
        (recorded.folder / MANIFEST_DIGEST).unlink()
        return told(verify(recorded.folder))

    failed = "http://schema.org/FailedActionStatus"
    assert action({"error": "x"}) == [
        f"{FILE_NAME}: '#job/track.fov_001' is completed and has an error"
    ]
    assert action({"actionStatus": failed}) == [
        f"{FILE_NAME}: track.fov_001 is failed, but logs/fov_001/track.json says completed"
    ]
    assert action({"actionStatus": failed, "error": "x", "result": None}) == []
    recorded.write_manifest()
    edit(
        recorded.record("track", 1),
        lambda c: c.update(status="failed", error="x", run="older", outputs={}),
    )
    assert f"{FILE_NAME}: track.fov_001 is not failed, but logs/fov_001/track.json says so" in told(
        verify(recorded.folder)
    )


# ---- runs


def run_says(recorded, **keys) -> Report:
    content = recorded.run.read_record()
    recorded.edit_run(**keys)
    report = verify(recorded.outdir)
    recorded.run.write_record(content)
    return report


def test_a_run_that_has_not_ended_is_a_note(recorded):
    history = recorded.run.read_record()["history"][:-1]
    report = run_says(recorded, status="running", history=history, ended=None, pid=os.getpid())
    assert told(report) == []
    words = "running: what it makes again may be told as changed or missing", "lost"
    file = f"runs/{recorded.run.id}/run.json"
    assert notes(report) in [[f"{file}: the run is {said}"] for said in words]
    assert notes(run_says(recorded)) == []


def test_an_end_and_a_history(recorded):
    name = f"runs/{recorded.run.id}/run.json"
    assert told(run_says(recorded, ended=None)) == [f"{name}: the run is completed without an end"]
    for history in ([], None, [1], [{"status": "running"}]):
        assert told(run_says(recorded, history=history)) == [
            f"{name}: its history does not end with its status 'completed'"
        ]
    words = told(run_says(recorded, created="yesterday"))
    assert [text for text in words if text.startswith(f"{name}: times out of order: ")]
    assert told(run_says(recorded, started=at(1000), ended=at(1001))) == []


def test_times_of_attempts_and_clocks(recorded):
    file = f"runs/{recorded.run.id}/jobs/copy.{DATASET}.fov_000/attempt-1.jsonl"
    first = at(1)
    report = run_says(recorded, created=at(2.5), started=at(2.5), history=[{"status": "completed"}])
    assert told(report)[0] == f"{file}: times out of order: it started {first}, before its run"
    near = run_says(recorded, created=at(1.9), started=at(1.9), history=[{"status": "completed"}])
    assert told(near) == [], "less than a second apart"
    elsewhere = run_says(
        recorded, created=at(9), started=at(9), history=[{"status": "completed"}], host="there"
    )
    assert told(elsewhere) == [], "clocks of two machines"
    early = {"ended": at(5), "history": [{"status": "completed", "time": at(5)}]}
    assert len(told(run_says(recorded, **early))) == 4, "four of six jobs ended later"
    late = {"ended": at(5), "history": [{"status": "failed", "time": at(5)}], "status": "failed"}
    assert told(run_says(recorded, **late)) == [], "a run that failed may end before its jobs"


def test_only_the_last_attempt_of_a_job_counts(recorded):
    path = recorded.run.job_file(f"track.{DATASET}.fov_001", 1)
    text = path.read_text(encoding="utf-8")
    failed = text.replace('"status":"completed"', '"status":"failed"')
    path.write_text(failed, encoding="utf-8")
    name = f"runs/{recorded.run.id}/run.json: wrong status completed: 1 of its jobs failed"
    assert name in told(verify(recorded.outdir))
    again = recorded.run.job_file(f"track.{DATASET}.fov_001", 2)
    again.write_text(text.replace('"attempt":1', '"attempt":2'), encoding="utf-8")
    assert name not in told(verify(recorded.outdir))


# ---- the report


def test_a_file_that_matches_one_of_two_records_is_not_damaged_itself(recorded):
    name = recorded.name(0, "seg_ch_0.npy")
    edit(
        recorded.record("segment", 0, "_ch_0"),
        lambda c: c["outputs"][name].update(sha256="0" * 64) or c.update(run="older"),
    )
    report = verify(recorded.folder)
    assert [finding.file for finding in report.findings] == [name]
    assert report.damaged == []


def test_what_is_said_of_a_changed_file(recorded):
    file, _ = one_flipped_bit(recorded)
    report = verify(recorded.folder)
    (damage,) = report.damaged
    assert (damage.name, damage.dataset, len(damage.expected)) == (file, DATASET, 1)
    assert damage.found is not None
    assert damage.found.bytes == damage.expected[0].bytes
    assert damage.found.sha256 != damage.expected[0].sha256
    lines = list(format_report(report))
    assert lines[-1].endswith("1 findings")
    report.note("a", "b")
    assert list(format_report(report))[1] == "note: a: b"
    assert len(list(format_report(report, notes=False))) == 2
    assert report.to_json()["notes"] == [{"file": "a", "note": "b"}]


def test_a_folder_in_the_place_of_a_file_is_a_missing_file(recorded):
    path = recorded.folder / recorded.name(0, "tracks.csv")
    path.unlink()
    path.mkdir()
    assert told(verify(recorded.folder)) == [
        f"{recorded.name(0, 'tracks.csv')}: missing; {FILE_NAME} says that it was made"
    ]
