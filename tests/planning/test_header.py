"""The plan file is read again only when the raw file changed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from fovflow.errors import FovflowError
from fovflow.layout import Layout
from fovflow.planning import RawHeader, refresh_header
from fovflow.records import read_json
from fovflow.simulation import MovieParams, simulate, write_movie


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    path = tmp_path / "raw.nd2"
    write_movie(simulate(MovieParams(positions=2, frames=2, height=32, width=32, cells=0)), path)
    return path


def test_the_plan_holds_the_header_and_nothing_of_the_place(raw, tmp_path):
    layout = Layout(tmp_path / "out")
    header = refresh_header(layout, "a", str(raw), None, write=True)
    assert (header.n_frames, len(header.positions), header.channels) == (2, 2, ("Phase", "GFP"))
    assert header.n_bytes == raw.stat().st_size
    plan = Path(layout.plan("a"))
    assert str(tmp_path) not in plan.read_text()
    assert RawHeader.from_json(read_json(plan), "plan") == header


def test_a_touched_file_leaves_the_plan_alone(raw, tmp_path):
    layout = Layout(tmp_path / "out")
    first = refresh_header(layout, "a", str(raw), None, write=True)
    plan = Path(layout.plan("a"))
    os.utime(plan, (1, 1))
    os.utime(raw, (10, 10))
    assert refresh_header(layout, "a", str(raw), None, write=True) == first
    assert plan.stat().st_mtime == 1
    raw.write_bytes(raw.read_bytes() + b"\0" * 0)
    with raw.open("r+b") as file:
        file.seek(20_000)
        byte = file.read(1)
        file.seek(20_000)
        file.write(bytes([byte[0] ^ 1]))
    second = refresh_header(layout, "a", str(raw), None, write=True)
    assert second.fingerprint != first.fingerprint
    assert plan.stat().st_mtime > 1


def test_jobs_read_the_plan_and_never_the_raw_file(raw, tmp_path):
    layout = Layout(tmp_path / "out")
    header = refresh_header(layout, "a", str(raw), None, write=True)
    raw.unlink()
    assert refresh_header(layout, "a", str(raw), None, write=False) == header
    assert refresh_header(layout, "a", str(raw), None, write=True) == header
    with pytest.raises(FovflowError, match=r"raw\.nd2"):
        refresh_header(layout, "b", str(raw), None, write=True)
    with pytest.raises(FovflowError, match=r"another\.nd2"):  # whose plan this is not
        refresh_header(layout, "a", str(raw.with_name("another.nd2")), None, write=True)
    assert refresh_header(layout, "a", str(raw), None, write=True) == header


def test_a_damaged_plan_is_made_again(raw, tmp_path):
    layout = Layout(tmp_path / "out")
    header = refresh_header(layout, "a", str(raw), None, write=True)
    plan = Path(layout.plan("a"))
    for text in ("", "{}", json.dumps({"schema_version": 99}), "[1]"):
        plan.write_text(text)
        assert refresh_header(layout, "a", str(raw), None, write=True) == header
        assert read_json(plan) == json.loads(json.dumps(header.to_json()))
