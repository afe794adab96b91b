"""The plan file is read again only when the raw file changed."""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from fovflow.config.model import DatasetConfig
from fovflow.errors import FovflowError
from fovflow.layout import Layout
from fovflow.planning import RawHeader, RawSource, find_source
from fovflow.planning.header import planned_header
from fovflow.planning.pipeline import Pipeline
from fovflow.planning.summary import summary
from fovflow.records import read_json
from fovflow.simulation import MovieParams, simulate, write_movie


def look(layout: Layout, path: Path, dataset: str = "a") -> RawSource:
    """Return the raw file as a plan sees it."""
    return find_source(layout, dataset, DatasetConfig(path=str(path)))


def refreshed(layout: Layout, dataset: str, path: Path) -> RawHeader:
    """Return the header, and write it as a run does once it has claimed the output folder."""
    source = look(layout, path, dataset)
    Path(layout.dataset(dataset)).mkdir(parents=True, exist_ok=True)
    source.write(layout, dataset)
    return source.header


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    path = tmp_path / "raw.nd2"
    write_movie(simulate(MovieParams(positions=2, frames=2, height=32, width=32, cells=0)), path)
    return path


def test_the_plan_holds_the_header_and_nothing_of_the_place(raw, tmp_path):
    layout = Layout(tmp_path / "out")
    header = refreshed(layout, "a", raw)
    assert (header.n_frames, len(header.positions), header.channels) == (2, 2, ("Phase", "GFP"))
    assert header.n_bytes == raw.stat().st_size
    plan = Path(layout.plan("a"))
    assert str(tmp_path) not in plan.read_text()
    assert RawHeader.from_json(read_json(plan), "plan") == header


def test_a_touched_file_leaves_the_plan_alone(raw, tmp_path):
    layout = Layout(tmp_path / "out")
    first = refreshed(layout, "a", raw)
    plan = Path(layout.plan("a"))
    os.utime(plan, (1, 1))
    os.utime(raw, (10, 10))
    assert refreshed(layout, "a", raw) == first
    assert plan.stat().st_mtime == 1
    raw.write_bytes(raw.read_bytes() + b"\0" * 0)
    with raw.open("r+b") as file:
        file.seek(20_000)
        byte = file.read(1)
        file.seek(20_000)
        file.write(bytes([byte[0] ^ 1]))
    second = refreshed(layout, "a", raw)
    assert second.fingerprint != first.fingerprint
    assert plan.stat().st_mtime > 1


def test_jobs_read_the_plan_and_never_the_raw_file(raw, tmp_path):
    layout = Layout(tmp_path / "out")
    header = refreshed(layout, "a", raw)
    raw.unlink()
    assert planned_header(layout, "a") == header
    assert refreshed(layout, "a", raw) == header
    with pytest.raises(FovflowError, match=r"raw\.nd2"):
        refreshed(layout, "b", raw)
    with pytest.raises(FovflowError, match=r"another\.nd2"):  # whose plan this is not
        refreshed(layout, "a", raw.with_name("another.nd2"))
    assert refreshed(layout, "a", raw) == header


def test_the_stamp_of_a_raw_file_that_is_away_stays(raw, tmp_path):
    layout = Layout(tmp_path / "out")
    refreshed(layout, "a", raw)
    mark = Path(layout.stamp("a"))
    before = mark.read_bytes()
    raw.unlink()
    refreshed(layout, "a", raw)
    assert mark.read_bytes() == before
    mark.write_text("{")  # damaged: where the file lies is noted again
    refreshed(layout, "a", raw)
    assert read_json(mark) == {"path": str(raw), "pattern": None, "files": None}


def test_what_the_configuration_answers_is_not_asked_for(tmp_path):
    for t in range(2):
        tifffile.imwrite(tmp_path / f"raw_t{t}.tif", np.zeros((32, 32), np.uint16))
    dataset = {"path": str(tmp_path / "*.tif")}
    config = {"datasets": {"a": dataset}, "outdir": str(tmp_path / "out")}
    asked = summary(Pipeline(config), problems=False)
    assert "give interval_s" in asked
    assert "give pixel_um" in asked
    dataset |= {"interval_s": 60, "pixel_um": 0.5}
    assert "give" not in summary(Pipeline(config), problems=False)


@pytest.mark.parametrize("left", [0, 0.5])
def test_a_file_that_is_cut_off_after_it_was_copied_is_not_taken_to_be_gone(tmp_path, left):
    layout, path = Layout(tmp_path / "out"), tmp_path / "raw.ome.tif"
    write_movie(simulate(MovieParams(positions=1, frames=2, height=32, width=32, cells=0)), path)
    refreshed(layout, "a", path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(left * len(whole))])
    with pytest.raises(FovflowError, match=r"cut off|is empty"):
        look(layout, path)
    path.unlink()
    assert look(layout, path).files is None


def test_a_damaged_plan_is_made_again(raw, tmp_path):
    layout = Layout(tmp_path / "out")
    header = refreshed(layout, "a", raw)
    plan = Path(layout.plan("a"))
    for text in ("", "{}", json.dumps({"schema_version": 99}), "[1]"):
        plan.write_text(text)
        assert refreshed(layout, "a", raw) == header
        assert read_json(plan) == json.loads(json.dumps(header.to_json()))


READER = """
import numpy as np
from fovflow.readers import Channel, Position, RawInfo
from fovflow.readers.base import PlaneReader
from fovflow.readers.times import regular_times


class Reader(PlaneReader):
    CHANNELS = 2

    def __init__(self, location, given, pattern):
        channels = tuple(map(Channel, range(self.CHANNELS)))
        info = RawInfo("text", "CYX", 1, 1, 8, 8, "uint16", (Position(0),), channels)
        super().__init__(location.root, info, [regular_times(1, 1.0, "nominal")], given)

    @staticmethod
    def accepts(path, head):
        return head.startswith(b"# pixels")

    def _plane(self, p, t, c, z):
        return np.full((8, 8), c, np.uint16)
"""


def test_a_file_is_read_again_with_other_code_of_the_plugin_that_reads_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = tmp_path / "labreader.py"
    code.write_text(READER)
    (tmp_path / "raw.txt").write_text("# pixels")
    info = tmp_path / "lab-1.0.dist-info"
    info.mkdir()
    info.joinpath("METADATA").write_text("Metadata-Version: 2.1\nName: lab\nVersion: 1.0\n")
    entry = "[fovflow.readers]\nlabtext = labreader:Reader\n"
    info.joinpath("entry_points.txt").write_text(entry)
    monkeypatch.syspath_prepend(str(tmp_path))
    config = {"datasets": {"a": {"path": "raw.txt"}}, "channels": {"pc": 0, "fl": [1]}}

    def wanted() -> dict[str, object]:
        return {job.step: job.wanted for job in Pipeline(config).jobs("a", 0)}

    layout = Layout(tmp_path / "results")
    header = refreshed(layout, "a", Path("raw.txt"))
    assert (header.reader, header.channels) == ("labtext", ("", ""))
    assert read_json(layout.plan("a"))["reader"] == "labtext"
    first = wanted()
    assert wanted() == first
    code.write_text(READER.replace("CHANNELS = 2", "CHANNELS = 3"))
    del sys.modules["labreader"]  # as in the next process
    importlib.invalidate_caches()
    assert len(refreshed(layout, "a", Path("raw.txt")).channels) == 3
    again = wanted()
    assert [step for step in first if first[step] != again[step]] == ["copy"]
    (tmp_path / "raw.txt").unlink()
    assert look(layout, Path("raw.txt")).header.reader == "labtext"


def test_looking_writes_nothing(raw, tmp_path):
    layout = Layout(tmp_path / "out")
    look(layout, raw)
    assert not (tmp_path / "out").exists()


def test_another_time_or_inode_has_the_content_looked_at(raw, tmp_path):
    layout = Layout(tmp_path / "out")
    header = refreshed(layout, "a", raw)
    state = raw.stat()
    other = bytearray(raw.read_bytes())
    other[20_000] ^= 1
    raw.write_bytes(other)
    os.utime(raw, ns=(state.st_atime_ns, state.st_mtime_ns))  # as `cp -p` of an older file
    assert look(layout, raw).header.fingerprint != header.fingerprint
