"""`fovflow verify --raw`: the raw data are read in full and compared with what was copied."""

from __future__ import annotations

import numpy as np
import pytest

from fovflow.atomic import digest_of
from fovflow.cli import main
from fovflow.jobrecord import read_record
from fovflow.layout import STAMP_NAME
from fovflow.records import read_json, read_yaml, write_json
from fovflow.runs.rawcheck import pixels_of
from fovflow.runs.verify import verify
from fovflow.stacks import StackDigest, StackWriter
from workflow_project import Project


@pytest.fixture
def project(finished_project: Project, tmp_path, monkeypatch) -> Project:
    made = finished_project.copy_to(tmp_path / "p")
    monkeypatch.chdir(made.folder)
    return made


def other_pixel(project: Project, fov: int, channel: int, frame: int) -> None:
    """Change a pixel of the raw file in place: its name, size and time stay."""
    import mmap
    import os

    raw = project.folder / "raw" / "sim.nd2"
    kind = "pc" if channel == 0 else "fl"
    plane = np.load(project.file(fov, f"{kind}_ch_{channel}.npy"))[frame]
    times = raw.stat()
    with raw.open("r+b") as file, mmap.mmap(file.fileno(), 0) as data:
        # channels of a frame stand beside each other, pixel by pixel
        other = np.load(project.file(fov, f"{'fl' if kind == 'pc' else 'pc'}_ch_{1 - channel}.npy"))
        row = np.stack([plane[40], other[frame][40]][:: 1 if channel == 0 else -1], axis=-1)
        place = data.find(row.tobytes())
        assert place > 0
        data[place + 2 * channel] ^= 1
    os.utime(raw, ns=(times.st_atime_ns, times.st_mtime_ns))


@pytest.mark.workflow
def test_what_was_copied_is_read_again_and_compared(project, capsys):
    assert main(["verify", "--raw"]) == 0
    told = capsys.readouterr().out
    assert "everything holds" in told
    for fov in (0, 1):
        known = pixels_of(read_record(project.results / "logs" / f"fov_00{fov}" / "copy.json"))
        stacks = {0: project.file(fov, "pc_ch_0.npy"), 1: project.file(fov, "fl_ch_1.npy")}
        assert known == {channel: digest_of(path).sha256 for channel, path in stacks.items()}
        assert read_yaml(project.results / "processing_results.yaml")["pixels"][str(fov)] == known
    less = verify("results").bytes
    assert verify("results", raw=True).bytes == less + 4 * stacks[0].stat().st_size


@pytest.mark.workflow
def test_one_other_pixel_is_named_by_fov_channel_and_frame(project, capsys):
    other_pixel(project, 1, 1, 2)
    assert main(["verify"]) == 0
    capsys.readouterr()
    assert main(["verify", "--raw"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(
        "sim: raw data of FOV 1, channel 1: other pixels than were copied: SHA-256 "
    )
    assert lines[0].endswith("; first at frame 2 of the raw file")
    project.file(1, "fl_ch_1.npy").unlink()
    found = [f for f in verify("results", raw=True).findings if "raw data" in f.file]
    assert [f.problem.endswith("…") for f in found] == [True], "without the stack no frame is known"


@pytest.mark.workflow
def test_raw_data_that_are_gone_or_other_are_findings(project):
    raw = project.folder / "raw" / "sim.nd2"
    raw.rename(raw.with_name("moved.nd2"))
    (found,) = verify("results", raw=True).findings
    assert found.file == "sim: raw data"
    assert "there is no raw/sim.nd2" in found.problem
    stamp = project.results / STAMP_NAME
    write_json(stamp, {**read_json(stamp), "path": "raw/moved.nd2"})
    assert verify("results", raw=True).findings == []
    record = project.results / "logs" / "fov_000" / "copy.json"
    content = read_json(record)
    content["options"]["frames"] = [0, 99, 1]
    write_json(record, content)
    found = [f for f in verify("results", raw=True).findings if "raw data" in f.file]
    assert ["cannot be compared" in f.problem for f in found] == [True, True]
    write_json(record, {**content, "status": "failed"})
    assert not [f for f in verify("results", raw=True).findings if "raw data" in f.file]
    assert pixels_of(read_record(record)) == {}
    assert pixels_of(read_record(record.with_name("none.json"))) == {}


def test_the_digest_of_a_stack_is_that_of_its_file(tmp_path):
    stack = np.arange(60, dtype=np.uint16).reshape(3, 4, 5)
    digest = StackDigest(stack.shape, stack.dtype)
    with StackWriter(tmp_path / "a.npy", (3, 4, 5), np.uint16) as out:
        for frame in stack:
            out.append(frame)
            digest.append(frame)
    assert digest.sha256() == digest_of(tmp_path / "a.npy").sha256
