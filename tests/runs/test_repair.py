"""`fovflow repair`: what is damaged is made again byte for byte, all else stays as it is."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from fovflow.cli import main
from fovflow.repair import HOLD, repair, where_different
from fovflow.runs.verify import verify
from workflow_project import Project

pytestmark = pytest.mark.workflow


@pytest.fixture
def project(finished_project: Project, tmp_path: Path, monkeypatch) -> Project:
    """A copy of a project after one good run, and the working folder in it."""
    made = finished_project.copy_to(tmp_path / "p")
    monkeypatch.chdir(made.folder)
    assert verify("results").findings == []
    return made


def flip(path: Path, place: int = -20) -> None:
    """Flip one bit; the file keeps its time."""
    times = path.stat()
    data = bytearray(path.read_bytes())
    data[place] ^= 4
    path.write_bytes(data)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def files(project: Project) -> dict[str, tuple[bytes, int, int]]:
    """Content, inode and time of every output and record of a dataset."""
    return {
        path.relative_to(project.results).as_posix(): (
            path.read_bytes(),
            path.stat().st_ino,
            path.stat().st_mtime_ns,
        )
        for path in sorted(project.results.rglob("*"))
        if path.is_file() and path.suffix not in (".log", ".tsv") and path.name[0] != "."
    }


def records(name: str) -> bool:
    return name.startswith("logs/") or "ro-crate" in name


def test_damaged_outputs_of_every_kind_are_made_again_and_all_others_stay(project, capsys):
    before = files(project)
    damaged = {
        "seg_ch_0.npy": lambda p: flip(p, 200),
        "fl_corrected_ch_1.npy": lambda p: p.write_bytes(p.read_bytes()[:-100]),
        "traces.csv": lambda p: flip(p, 300),
        "tracks.csv": Path.unlink,
    }
    for name, damage in damaged.items():
        damage(project.file(0, name))
    one, other = project.file(0, "pc_ch_0.npy"), project.file(1, "pc_ch_0.npy")
    one.rename("x")
    other.rename(one)
    Path("x").rename(other)
    names = {f"fov_000/sim_fov_000_{name}" for name in damaged}
    names |= {f"fov_00{i}/sim_fov_00{i}_pc_ch_0.npy" for i in (0, 1)}

    assert main(["repair", "--dry-run"]) == 1
    told = capsys.readouterr().out
    assert len(told.splitlines()) == 6
    assert "seg_ch_0.npy: would be: found" in told
    assert main(["repair", "results", "--cores", "2"]) == 0
    told = capsys.readouterr().out
    assert "sim_fov_000_seg_ch_0.npy: found " in told
    assert "made again by copy, segment; byte 200 differed" in told, "its input is damaged, too"
    assert "tracks.csv: it is gone or cannot be read; made again by copy, segment, track" in told
    assert told.splitlines()[-1] == "6 files made again: everything holds"
    after = files(project)
    assert after.keys() == before.keys()
    assert [n for n in before if not records(n) and after[n][0] != before[n][0]] == []
    touched = {n for n in before if not records(n) and after[n] != before[n]}
    assert touched == names, "others keep their inode and time"
    assert not Path("results", HOLD).exists()
    assert project.run("--dry-run").jobs == {}, "what was made of these files is up to date"


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("logs/fov_000/segment_ch_0.json", 30),
        ("logs/results.json", -3),
        ("processing_results.yaml", -40),
        ("processing_results.yaml", 3),
        ("ro-crate-metadata.json", -500),
        ("ro-crate-metadata.json", 0),
        ("provenance/ro-crate-metadata.json.sha256", 15),
        ("provenance/config.json", 40),
        ("provenance/workflow/Snakefile", 40),
    ],
)
def test_a_flipped_bit_in_a_record_is_named_and_mended_without_a_run(project, name, place, capsys):
    before = files(project)
    flip(project.results / name, place)
    found = verify("results")
    suspects = {f"sim/{name}"}
    if name.endswith(".sha256"):  # another digit may be the list's fault or the manifest's
        suspects.add("sim/ro-crate-metadata.json")
    assert suspects & {damage.name for damage in found.damaged}, found.findings
    assert main(["repair"]) == 0, capsys.readouterr().out
    assert "everything holds" in capsys.readouterr().out
    after = files(project)
    assert {n: c[0] for n, c in after.items()} == {n: c[0] for n, c in before.items()}
    assert len(list(Path("results/runs").glob("*/run.json"))) == 1


def test_a_flipped_bit_in_each_place_of_a_record_is_noticed(project):
    path = project.results / "logs" / "fov_001" / "track.json"
    text = path.read_bytes()
    noticed = 0
    for place in range(0, len(text), 37):
        flip(path, place)
        noticed += bool(verify(project.results).damaged)
        path.write_bytes(text)
    assert noticed >= len(range(0, len(text), 37)) - 1, "white space may change without a meaning"


def test_what_cannot_be_made_again_stays_and_is_told(project, capsys):
    for fov, rest in ((0, "pc_ch_0.npy"), (1, "seg_ch_0.npy")):
        flip(project.file(fov, rest), 200)
    raw = project.folder / "raw" / "sim.nd2"
    raw.rename(project.folder / "gone.nd2")
    before = files(project)
    assert main(["repair"]) == 1
    told = capsys.readouterr().out
    assert "sim_fov_000_pc_ch_0.npy: cannot be made again: the raw data cannot be read" in told
    assert "sim_fov_001_seg_ch_0.npy: found" in told
    after = files(project)
    changed = {n for n in before if after[n][:1] != before[n][:1] and not records(n)}
    assert changed == {"fov_001/sim_fov_001_seg_ch_0.npy"}
    flip(project.file(0, "pc_ch_0.npy"), 200)
    assert verify("results").findings == []


def test_other_parameters_and_other_raw_data_are_refused(project):
    flip(project.file(0, "traces.csv"), 300)
    config = {**project.config, "qc": {"min_frames": 2}}
    done = repair(config)
    assert "extract had other parameters" in done.refused["sim/fov_000/sim_fov_000_traces.csv"]
    assert done.made == {}
    flip(project.file(0, "pc_ch_0.npy"), 300)
    before = files(project)
    (project.folder / "raw" / "other.nd2").write_bytes(b"x")
    config["datasets"] = {"sim": {"path": "raw/other.nd2"}}
    done = repair(config)
    assert "cannot be read" in done.refused["sim/fov_000/sim_fov_000_pc_ch_0.npy"]
    assert done.made == {}
    assert done.report is not None
    assert len(done.report.findings) == 2
    done = repair({**config, "datasets": {"b": {"path": "raw/sim.nd2"}}})
    assert "not in the configuration" in done.refused["sim/fov_000/sim_fov_000_pc_ch_0.npy"]
    done = repair({**project.config, "fovs": "1"})
    assert "FOV 0 is not among" in done.refused["sim/fov_000/sim_fov_000_pc_ch_0.npy"]
    assert files(project) == before


def test_a_repair_that_was_killed_is_taken_up(project):
    stack, held = project.file(0, "fl_ch_1.npy"), Path("results", HOLD, "sim", "fov_000")
    content = stack.read_bytes()
    held.mkdir(parents=True)
    stack.rename(held / stack.name)
    (held / "sim_fov_000_tracks.csv").write_text("older than the one that is there")
    done = repair(project.config)
    assert (done.made, done.refused) == ({}, {})
    assert stack.read_bytes() == content
    assert not Path("results", HOLD).exists()


def test_another_configuration_and_a_run_at_work_are_errors(project, capsys):
    assert main(["repair", "elsewhere"]) == 2
    assert "is of another output folder than elsewhere" in capsys.readouterr().err
    run = next(Path("results/runs").glob("*/run.json"))
    content = json.loads(run.read_text())
    content |= {"status": "running", "pid": os.getpid()}
    run.write_text(json.dumps(content))
    (run.parent.parent / ".current").write_text(run.parent.name)
    (run.parent / "heartbeat").touch()
    assert main(["repair"]) == 1
    assert "a run is at work on results" in capsys.readouterr().err


def test_the_plan_is_made_again_from_the_raw_data(project):
    plan = project.results / "dataset.json"
    content = plan.read_bytes()
    flip(plan, 40)
    done = repair(project.config, cores=2)
    assert list(done.made) == ["sim/dataset.json"], done.refused
    assert plan.read_bytes() == content
    assert done.report is not None
    assert done.report.findings == []
    assert project.run("--dry-run").jobs == {}


def test_different_bytes_are_counted(tmp_path):
    one, other = tmp_path / "a", tmp_path / "b"
    one.write_bytes(b"0123456789")
    for content, words in (
        (b"0123456789", "no byte of it differed"),
        (b"0123x56789", "byte 4 differed"),
        (b"01x34x6789", "bytes 2 to 5: 2 differed"),
        (b"01234567", "bytes 8 to 9: 2 differed"),
        (b"0123456789a", "byte 10 differed"),
    ):
        other.write_bytes(content)
        assert where_different(one, other) == words
    shutil.copyfile(one, other)
