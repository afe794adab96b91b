"""Publishing: complete after any interruption, nothing copied twice, damage found."""

from __future__ import annotations

import json
import os
import subprocess

import fsspec
import pytest
from runs.recorded import DATASET, Recorded, at, digest

from fovflow.atomic import temporary_name
from fovflow.cli import main
from fovflow.errors import FovflowError
from fovflow.events import EventFile
from fovflow.records import read_yaml, write_yaml
from fovflow.runs.publish import ATTEMPTS, Place, items_of, publish
from fovflow.runs.verify import verify


@pytest.fixture
def memory():
    system = fsspec.filesystem("memory")
    system.store.clear()
    yield system
    system.store.clear()


def pause(seconds):
    raise AssertionError(f"waited {seconds} s")


def test_a_published_run_can_be_verified_and_holds_every_output(recorded, tmp_path):
    destination = tmp_path / "archive" / "new"
    done = publish(recorded.run, str(destination), sleep=pause)
    assert done.failed == {}
    assert len(done.copied) == len(items_of(recorded.run)) > 30
    assert verify(destination).findings == []
    for fov in range(2):
        name = f"{DATASET}/{recorded.name(fov, 'seg_ch_0.npy')}"
        assert (destination / name).read_bytes() == (recorded.outdir / name).read_bytes()
    assert (destination / "runs" / recorded.run.id / "run.json").exists()


def test_a_second_time_copies_nothing(recorded, tmp_path, monkeypatch):
    destination = tmp_path / "archive"
    first = publish(recorded.run, str(destination))
    monkeypatch.setattr(Place, "copy", lambda *_: pytest.fail("copied"))
    again = publish(recorded.run, str(destination), sleep=pause)
    assert again.copied == []
    assert sorted(again.kept) == sorted(first.copied)


def test_an_interruption_costs_only_the_item_at_work(recorded, memory, monkeypatch):
    copy, copied = Place.copy, []

    def interrupted(self, source, path, expected):
        if len(copied) == 12:
            raise KeyboardInterrupt
        copied.append(path)
        return copy(self, source, path, expected)

    monkeypatch.setattr(Place, "copy", interrupted)
    with pytest.raises(KeyboardInterrupt):
        publish(recorded.run, "memory://archive", sleep=pause)
    monkeypatch.setattr(Place, "copy", copy)
    done = publish(recorded.run, "memory://archive", sleep=pause)
    assert sorted(done.kept) == sorted(copied)
    assert not set(done.copied) & set(copied)
    assert len(done.kept) + len(done.copied) == len(items_of(recorded.run))
    assert not [name for name in memory.find("/archive") if name.endswith(".part")]
    name = f"{DATASET}/{recorded.name(1, 'tracks.csv')}"
    assert memory.cat(f"/archive/{name}") == (recorded.outdir / name).read_bytes()


def test_each_item_has_a_state(recorded, tmp_path):
    done = publish(recorded.run, str(tmp_path / "a"))
    (file,) = recorded.run.path.glob("publish-*.jsonl")
    entries = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert [entry["path"] for entry in entries] == done.copied
    publish(recorded.run, str(tmp_path / "b"))
    assert len(list(recorded.run.path.glob("publish-*.jsonl"))) == 2


def test_a_state_that_was_cut_off_is_read_up_to_there(recorded, tmp_path):
    publish(recorded.run, str(tmp_path / "a"))
    (file,) = recorded.run.path.glob("publish-*.jsonl")
    file.write_bytes(file.read_bytes()[:-20])
    done = publish(recorded.run, str(tmp_path / "a"), sleep=pause)
    assert done.copied == []
    lines = file.read_text(encoding="utf-8").splitlines()
    assert json.loads(lines[-1])["path"] == done.kept[-1]


def test_a_damaged_copy_is_found_and_made_anew(recorded, memory):
    publish(recorded.run, "memory://archive")
    name = f"{DATASET}/{recorded.name(0, 'seg_ch_0.npy')}"
    data = bytearray(memory.cat(f"/archive/{name}"))
    data[150] ^= 1
    memory.pipe(f"/archive/{name}", bytes(data))
    memory.rm(f"/archive/{DATASET}/dataset.json")
    done = publish(recorded.run, "memory://archive", sleep=pause)
    assert sorted(done.copied) == sorted([name, f"{DATASET}/dataset.json"])
    assert sorted(done.repaired) == sorted(done.copied)
    assert memory.cat(f"/archive/{name}") == (recorded.outdir / name).read_bytes()


def test_a_source_that_was_changed_is_not_published(recorded, tmp_path):
    name = f"{DATASET}/{recorded.name(0, 'seg_ch_0.npy')}"
    path = recorded.outdir / name
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    done = publish(recorded.run, str(tmp_path / "archive"), sleep=pause)
    assert list(done.failed) == [name]
    assert "it was changed since it was made" in done.failed[name]
    assert not (tmp_path / "archive" / name).exists()
    assert not list((tmp_path / "archive").rglob("*.part"))


def test_an_output_that_is_gone_is_told(recorded, tmp_path, capsys):
    name = f"{DATASET}/{recorded.name(0, 'tracks.csv')}"
    results = recorded.folder / "processing_results.yaml"
    write_yaml(
        results, read_yaml(results) | {"results_paths": {"0": {"tracks": [name.partition("/")[2]]}}}
    )
    assert publish(recorded.run, str(tmp_path / "whole"), sleep=pause).failed == {}
    (recorded.outdir / name).unlink()
    done = publish(recorded.run, str(tmp_path / "archive"), sleep=pause)
    assert done.failed == {name: "it is not there"}
    words = ["publish", "calm-otter", str(tmp_path / "b"), "--outdir", str(recorded.outdir)]
    assert main(words) == 1
    assert f"{name}: it is not there" in capsys.readouterr().err


def test_two_publishers_of_one_place_do_not_meet(recorded, tmp_path):
    source, other = tmp_path / "source", tmp_path / "other"
    source.write_bytes(b"a" * 1000)
    other.write_bytes(b"b" * 1000)
    first, second = Place(str(tmp_path / "archive")), Place(str(tmp_path / "archive"))
    open_file, met = first._system.open, []

    def meeting(path, mode="rb", **keys):
        if "w" in mode and not met:
            met.append(path)
            file = open_file(path, mode, **keys)
            second.copy(other, "x/item", None)
            return file
        return open_file(path, mode, **keys)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(first._system, "open", meeting)
        first.copy(source, "x/item", None)
    assert met
    assert (tmp_path / "archive" / "x" / "item").read_bytes() == b"a" * 1000
    assert [path.name for path in (tmp_path / "archive" / "x").iterdir()] == ["item"]


def test_what_dead_publishers_left_is_removed_and_nothing_else(recorded, tmp_path):
    folder = tmp_path / "archive" / DATASET
    folder.mkdir(parents=True)
    dead = subprocess.Popen(["true"])
    dead.wait()
    pid, name = os.getpid(), temporary_name("dataset.json")
    left = folder / name.replace(f"-{pid}-", f"-{dead.pid}-")
    at_work, others = folder / name, folder / ".download.part"
    for path in (left, at_work, others):
        path.write_bytes(b"half")
        os.utime(path, (1e9, 1e9))
    done = publish(recorded.run, str(tmp_path / "archive"), sleep=pause)
    assert done.failed == {}
    assert [path.exists() for path in (left, at_work, others)] == [False, True, True]


def test_failures_are_tried_again_with_growing_pauses(recorded, memory, monkeypatch):
    copy, pauses = Place.copy, []
    failing = f"{DATASET}/{recorded.name(0, 'tracks.csv')}"
    left = {failing: 3, f"{DATASET}/dataset.json": 99}

    def shaky(self, source, path, expected):
        if left.get(path, 0):
            left[path] -= 1
            raise OSError("connection lost")
        return copy(self, source, path, expected)

    monkeypatch.setattr(Place, "copy", shaky)
    done = publish(recorded.run, "memory://archive", sleep=pauses.append)
    assert done.failed == {f"{DATASET}/dataset.json": f"connection lost ({ATTEMPTS} attempts)"}
    assert failing in done.copied
    assert sorted(pauses) == sorted([0.5, 1.0, 2.0, 4.0, 0.5, 1.0, 2.0])


def test_a_copy_that_arrives_damaged_is_tried_again(recorded, memory, monkeypatch):
    name = f"{DATASET}/{recorded.name(0, 'tracks.csv')}"
    open_file, spoiled, pauses = memory.open, [], []

    def spoiling(path, mode="rb", **keys):
        file = open_file(path, mode, **keys)
        if "w" in mode and "fov_000_tracks.csv" in path and not spoiled:
            spoiled.append(path)
            write = file.write
            file.write = lambda data: write(b"?" + data[1:])
        return file

    monkeypatch.setattr(memory, "open", spoiling)
    done = publish(recorded.run, "memory://archive", sleep=pauses.append)
    assert done.failed == {}
    assert (len(spoiled), pauses) == (1, [0.5])
    assert memory.cat(f"/archive/{name}") == (recorded.outdir / name).read_bytes()


def test_what_a_failed_run_made_is_published_too(tmp_path):
    recorded = Recorded(tmp_path, failed=1)
    done = publish(recorded.run, str(tmp_path / "archive"))
    assert done.failed == {}
    assert f"{DATASET}/{recorded.name(0, 'tracks.csv')}" in done.copied
    assert f"{DATASET}/{recorded.name(1, 'pc_ch_0.npy')}" in done.copied
    report = verify(tmp_path / "archive")
    assert report.findings == []
    assert "no light at frame 2" in str(report.notes[-1]) + str(report.notes[0])


def test_wrong_places_and_running_runs_are_refused(recorded):
    for place in (recorded.outdir, recorded.run.path, recorded.folder / "archive"):
        with pytest.raises(FovflowError, match="lies in the output folder itself"):
            publish(recorded.run, str(place))
    with pytest.raises(FovflowError, match="cannot open"):
        publish(recorded.run, "nonsense://x")
    recorded.edit_run(status="running", pid=None)
    with pytest.raises(FovflowError, match="is at work"):
        publish(recorded.run, "memory://archive")


def test_other_results_are_not_replaced(recorded, tmp_path):
    archive, other = tmp_path / "archive", Recorded(tmp_path / "other", fovs=1)
    publish(other.run, str(archive))
    before = {path: path.read_bytes() for path in archive.rglob("*") if path.is_file()}
    with pytest.raises(FovflowError, match=f"other results; found: another {DATASET}/"):
        publish(recorded.run, str(archive))
    assert before == {path: path.read_bytes() for path in archive.rglob("*") if path.is_file()}
    with (other.folder / "processing_results.yaml").open("a") as file:
        file.write("# later")  # the same folder goes on
    assert publish(other.run, str(archive)).copied == [f"{DATASET}/processing_results.yaml"]


def test_the_command(recorded, tmp_path, capsys):
    outdir = str(recorded.outdir)
    arguments = ["publish", "calm-otter", str(tmp_path / "to"), "--outdir", outdir]
    assert main([*arguments, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["run"] == recorded.run.id
    assert main(arguments) == 0
    assert "0 files copied" in capsys.readouterr().out


def test_a_report_that_was_made_again_by_no_job_is_published_as_it_is(recorded, tmp_path):
    page, logs = recorded.outdir / "report.html", recorded.outdir / "logs"
    page.write_text("first")
    logs.mkdir()
    events = EventFile(recorded.run.job_file("report", 1))
    about = {"job": "report", "rule": "report", "wildcards": {}, "attempt": 1}
    about |= {"status": "completed", "outputs": {"report.html": digest(page)}}
    record = events.write("job_finished", time=at(800), **about)
    events.close()
    (logs / "report.json").write_text(json.dumps(record))
    assert verify(recorded.outdir).findings == []
    page.write_text("second")
    assert [f.file for f in verify(recorded.outdir).findings] == ["report.html"]
    assert list(publish(recorded.run, str(tmp_path / "a")).failed) == ["report.html"]
    (logs / "report.json").unlink()
    report = verify(recorded.outdir)
    assert (report.ok, [note.file for note in report.notes]) == (True, ["report.html"])
    assert publish(recorded.run, str(tmp_path / "b")).failed == {}
    assert (tmp_path / "b" / "report.html").read_text() == "second"


def test_an_empty_destination_is_not_the_working_directory(recorded, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(FovflowError, match="destination is empty"):
        publish(recorded.run, " ")
    assert sorted(tmp_path.iterdir()) == before
