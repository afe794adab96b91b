"""Names in records lead nowhere but into the folder that the records are of."""

from __future__ import annotations

import json
import logging
import os
import shutil
from contextlib import suppress
from pathlib import Path

import pytest
from runs.recorded import DATASET, Recorded

import fovflow
from fovflow.adapter.job import open_log
from fovflow.cli import main
from fovflow.errors import FovflowError
from fovflow.events import EventFile
from fovflow.records import inside, leads_out, read_yaml, write_yaml
from fovflow.results import load_results
from fovflow.runs.arguments import safe_name
from fovflow.runs.claim import Claim
from fovflow.runs.publish import Place, publish
from fovflow.runs.state import RunState
from fovflow.runs.verify import verify

NAMES = [
    ("/etc/hostname", "lies outside the folder"),
    ("../x", "lies outside the folder"),
    ("fov_000/../../x", "lies outside the folder"),
    ("..\\x", "lies outside the folder"),
    ("a\nb", "holds control characters"),
    ("a\x1b[2Jb", "holds control characters"),
    ("a\u2028b", "holds control characters"),
    ("a\udcffb", "holds control characters"),
    ("a" * 256, "is too long"),
    ("é" * 128, "is too long"),
    ("a/" * 2000, "is too long"),
    ("", "is no name"),
    (None, "is no name"),
    (["a"], "is no name"),
    ("link/secret", "is reached through a link that leads out of the folder"),
    ("link", "is reached through a link that leads out of the folder"),
]


@pytest.fixture
def crafted(tmp_path: Path) -> Recorded:
    """Recorded results, beside which lies what nobody should get at."""
    (tmp_path / "secret").write_text("hush")
    return Recorded(tmp_path)


@pytest.mark.parametrize(("name", "problem"), NAMES, ids=lambda value: repr(value)[:20])
def test_a_name_that_leads_out_is_told(tmp_path, name, problem):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path)
    assert leads_out(folder, name) == problem
    with pytest.raises(FovflowError, match=problem):
        inside(folder, name)


def test_names_and_links_that_stay_inside_are_fine(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "link").symlink_to("a")
    (tmp_path / "loop").symlink_to("loop")
    for name in ("a/b", "link/b", "plate ü/x..npy", "a/./b", "new", "loop", "loop/b", "é" * 127):
        assert inside(tmp_path, name) == tmp_path / name
    (tmp_path / "far").symlink_to(tmp_path)  # the folder itself may be a link
    assert leads_out(tmp_path / "far", "a/b") == ""


def add_job(recorded: Recorded, *names: str, dataset: str = DATASET, job: str = "x") -> str:
    """Add the events of a job that says it made these files; return the name of its file."""
    path = recorded.run.job_file("x", 1)
    about = {"job": job, "rule": "evil", "wildcards": {"dataset": dataset}, "attempt": 1}
    events = EventFile(path)
    events.write("job_started", **about)
    events.write("job_finished", **about, status="completed", outputs=dict.fromkeys(names))
    events.close()
    return path.relative_to(recorded.outdir).as_posix()


@pytest.mark.parametrize(
    ("dataset", "name"),
    [
        (DATASET, "/etc/hostname"),
        (DATASET, "../../secret"),
        (DATASET, "link"),
        ("../", "secret"),
        ("..", "secret"),
        ("/etc", "hostname"),
    ],
)
def test_publish_reads_and_writes_nothing_outside_and_verify_tells(
    crafted, tmp_path, dataset, name
):
    (crafted.folder / "link").symlink_to(tmp_path / "secret")
    file = add_job(crafted, name, dataset=dataset)
    before = sorted(path for path in tmp_path.rglob("*") if "archive" not in path.parts)
    done = publish(crafted.run, str(tmp_path / "archive" / "deep" / "deep"))
    assert len(done.failed) == 1
    assert "folder" in next(iter(done.failed.values()))
    assert len(done.copied) > 30
    made = [path for path in (tmp_path / "archive").rglob("*") if path.is_file()]
    assert all(path.is_relative_to(tmp_path / "archive" / "deep" / "deep") for path in made)
    assert not [path for path in made if path.read_bytes() == b"hush" or path.name == "hostname"]
    state = next(crafted.run.path.glob("publish-*.jsonl"))
    after = sorted(path for path in tmp_path.rglob("*") if "archive" not in path.parts)
    assert after == sorted([*before, state])
    assert [f for f in verify(crafted.outdir).findings if f.file == file]


def test_a_link_in_the_runs_own_folder_is_not_followed_out(crafted, tmp_path):
    (crafted.run.path / "artifact.txt").symlink_to(tmp_path / "secret")
    done = publish(crafted.run, str(tmp_path / "archive"))
    name = f"runs/{crafted.run.id}/artifact.txt"
    assert list(done.failed) == [name]
    assert not (tmp_path / "archive" / name).exists()


@pytest.mark.parametrize("job", ["../../../../secret", "/etc/x", "a/b", "a\nb", "x" * 300])
def test_a_name_of_a_job_is_no_path(crafted, job):
    add_job(crafted, job=job)
    problems = [note for note in verify(crafted.outdir).notes if "no events" in note.problem]
    assert [note.problem.split(",")[0] for note in problems] == ["has 2 lines that are no events"]


@pytest.mark.parametrize("dataset", ["../../../outside/x", "/tmp/x", "a/b", "a\x1b[2J", ".."])
def test_overlay_and_report_write_nothing_outside(crafted, tmp_path, dataset, capsys):
    file = crafted.folder / "processing_results.yaml"
    write_yaml(file, {**read_yaml(file), "dataset": dataset})
    (tmp_path / "outside").mkdir()
    assert main(["overlay", str(crafted.folder)]) != 0
    assert "is no results file; found: dataset is" in capsys.readouterr().err
    assert not list((tmp_path / "outside").iterdir())
    assert main(["report", str(crafted.outdir)]) == 0


def test_results_do_not_follow_links_out_of_the_folder(crafted, tmp_path):
    stack = crafted.folder / crafted.name(0, "pc_ch_0.npy")
    stack.rename(tmp_path / "away.npy")
    stack.symlink_to(tmp_path / "away.npy")
    results = load_results(crafted.folder)
    assert results.missing == (stack,)


def test_a_run_at_work_is_none_outside(crafted, tmp_path):
    from fovflow.runs.store import CURRENT, run_at_work

    for name in ("..", "../..", str(crafted.run.path), "a\nb"):
        (crafted.outdir / "runs" / CURRENT).write_text(name)
        (crafted.outdir / "run.json").write_text("{}")
        assert run_at_work(crafted.outdir) is None


def test_the_report_of_publish_can_be_read_by_machines(crafted, tmp_path, capsys):
    add_job(crafted, "../../secret")
    arguments = ["publish", crafted.run.id, str(tmp_path / "a"), "--outdir", str(crafted.outdir)]
    assert main([*arguments, "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert list(told["failed"]) == [f"{DATASET}/../../secret"]
    assert main(arguments) == 1
    assert "1 failed" in capsys.readouterr().out
    assert any((tmp_path / "a").iterdir())


def test_links_of_the_working_directory_have_no_part_in_names(tmp_path, monkeypatch):
    (tmp_path / "outputs").symlink_to("/")
    monkeypatch.chdir(tmp_path)
    state = RunState()
    about = {"v": 2, "time": "2026-01-01T00:00:00+00:00", "type": "announced"}
    assert state.feed({**about, "path": "outputs/Table/a.csv"})
    assert list(state.announced) == ["outputs/Table/a.csv"]
    assert safe_name("name", "outputs/a") == "outputs/a"


@pytest.mark.parametrize("name", ["events.jsonl", "heartbeat", "publish", "lock", "log"])
def test_nothing_is_written_through_a_link_that_lies_in_a_folder_of_results(crafted, name):
    target = crafted.outdir.parent / "secret"
    outdir = ["--outdir", str(crafted.outdir)]
    with fovflow.execution(outdir=crafted.outdir, name="fit") as exe:
        pass
    if name == "publish":
        to = str(crafted.outdir.parent / "to")
        file = crafted.run.path / f"publish-{Place(to).slug}.jsonl"
        file.symlink_to(target)
        with suppress(OSError):
            main(["publish", "calm-otter", to, *outdir])
    elif name == "lock":
        (crafted.outdir / "runs" / ".lock").symlink_to(target)
        with suppress(FovflowError, OSError):
            Claim(crafted.outdir).take()
    elif name == "log":
        file = crafted.folder / "logs" / "x.log"
        file.symlink_to(target)
        open_log(file)
        logging.getLogger("fovflow").error("said")
        logging.basicConfig(force=True)
        logging.captureWarnings(capture=False)
        assert "said" in file.read_text()
        assert not file.is_symlink()
    else:
        file = exe.folder / name
        file.unlink()
        file.symlink_to(target)
        before = target.stat().st_mtime_ns
        main(["runs", "abandon", "fit", *outdir])
        assert target.stat().st_mtime_ns == before
    assert target.read_text() == "hush"


def test_a_parent_is_another_run_of_the_folder_and_nothing_else(crafted):
    (crafted.outdir / "run.json").write_text((crafted.run.path / "run.json").read_text())
    for parent in ("..", ".", "../runs/" + crafted.run.id, "a\0b", "a" * 300):
        crafted.edit_run(parent=parent)
        (run,) = fovflow.runs(crafted.outdir)
        assert run.parents == []


HOW = {
    "pipe": os.mkfifo,
    "folder": os.mkdir,
    "loop": lambda file: file.symlink_to(file.name),
    "endless": lambda file: file.symlink_to("/dev/zero"),
}
RECORDS = [
    "runs/*-calm-otter/run.json", "runs/*-calm-otter/events.jsonl", "runs/.current",
    "runs/*-fit/run.json", "runs/*-fit/events.jsonl", "runs/*-fit/datasets/fit-1.0.0.json",
    "runs/*-fit/outputs/Table/a.csv", "runs/*-fit/ro-crate-metadata.json",
    f"{DATASET}/dataset.json", f"{DATASET}/processing_results.yaml",
    f"{DATASET}/ro-crate-metadata.json", f"{DATASET}/provenance/ro-crate-metadata.json.sha256",
    f"{DATASET}/logs/fov_000/copy.json", "runs/*-calm-otter/jobs/copy.*.fov_000/attempt-1.jsonl",
]  # fmt: skip
UNCHECKED = ("runs/.current", "runs/*-fit/ro-crate-metadata.json")


@pytest.mark.parametrize("how", HOW)
def test_what_is_no_regular_file_holds_no_command_up(tmp_path, how, capsys):
    recorded = Recorded(tmp_path / "whole")
    with fovflow.execution(outdir=recorded.outdir, name="fit") as exe:
        table = exe.output_path("Table", "a.csv")
        table.write_text("a")
        exe.create_dataset([table], version="1.0.0")
    for number, record in enumerate(RECORDS):
        outdir = tmp_path / str(number)
        shutil.copytree(recorded.outdir, outdir)
        folder, _, name = record.rpartition("/")
        file = next(outdir.glob(folder)) / name
        file.unlink(missing_ok=True)
        HOW[how](file)
        at = ["--outdir", str(outdir)]
        made = str(outdir / table.relative_to(recorded.outdir))
        commands = [["verify", str(outdir)], ["runs", "show", "fit", *at],
                    ["runs", "show", "calm-otter", *at], ["runs", "lineage", made],
                    ["runs", "compare", "fit", "calm-otter", *at], ["runs", "export", "fit", *at],
                    ["publish", "fit", str(tmp_path / f"{number}-fit"), *at],
                    ["runs", "abandon", "fit", *at]]  # fmt: skip
        for command in commands:
            status = main(command)
            assert "unexpected" not in capsys.readouterr().err, (record, command)
            assert status or command[0] != "verify" or record in UNCHECKED, record
