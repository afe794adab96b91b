"""One function decides what jobs and FOVs stand at; readers of a folder alone agree with it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fovflow.atomic import digest_of, write_text
from fovflow.states import (
    Folder,
    Wanted,
    WantedJob,
    reason_to_run,
    state_of,
    states_of_folder,
    to_run,
    write_wanted,
)

OPTIONS: dict[str, dict[str, Any]] = {
    "copy": {"z": (1, 2), "content": {"raw": "a"}},
    "segment": {"k": 3},
    "extract": {"n": 2.5},
}
FILES = {"copy": ("fov_000/pc.npy", "fov_000/times.csv"), "segment": ("fov_000/seg.npy",)}
FILES |= {"extract": ("fov_000/traces.csv",)}
INPUTS = {"copy": (), "segment": FILES["copy"], "extract": (*FILES["segment"], "fov_000/times.csv")}
STEPS = tuple(OPTIONS)


def wanted(changed: str = "", kept: bool = True, **content: str) -> list[WantedJob]:
    """Return the jobs of an FOV; one has other parameters, or other content."""
    jobs = []
    for step, options in OPTIONS.items():
        own = {**options, "new": 1} if step == changed else options
        own = {**own, "content": content} if step == "copy" and content else own
        stay = FILES[step] if kept else tuple(n for n in FILES[step] if not n.endswith(".npy"))
        record = f"logs/fov_000/{step}.json"
        jobs.append(WantedJob(step, record, Wanted.of(own), stay, FILES[step], INPUTS[step]))
    return jobs


def make(folder: Path, step: str, text: str = "x") -> None:
    """Make what a job makes: its files, and its record."""
    for name in FILES[step]:
        write_text(folder / name, f"{text} {name}")
    outputs = {name: digest_of(folder / name) for name in FILES[step]}
    record = {
        "v": 2, "type": "job_finished", "time": "2024-01-01T00:00:00+00:00", "status": "completed",
        "job": step, "rule": step, "wildcards": {"fov": "000"}, "attempt": 1, "step": step,
        "options": OPTIONS[step],
        "made_from": {name: digest_of(folder / name).sha256 for name in INPUTS[step]},
        "outputs": {n: {"bytes": d.bytes, "sha256": d.sha256} for n, d in outputs.items()},
    }  # fmt: skip
    write_text(folder / f"logs/fov_000/{step}.json", json.dumps(record))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a dataset with one complete FOV."""
    (tmp_path / "fov_000").mkdir()
    (tmp_path / "logs" / "fov_000").mkdir(parents=True)
    for step in STEPS:
        make(tmp_path, step)
    return tmp_path


def state(folder: Path, jobs: list[WantedJob] | None = None) -> dict[str, Any]:
    return state_of(jobs or wanted(), Folder(str(folder)))


def test_what_is_as_wanted_is_complete(folder):
    assert state(folder) == {"status": "complete"}
    assert to_run(wanted(), Folder(str(folder))) == {}


@pytest.mark.parametrize("step", STEPS)
def test_other_parameters_are_outdated_from_their_step_on(folder, step):
    assert state(folder, wanted(step)) == {"status": "outdated", "step": step}
    job = wanted(step)[STEPS.index(step)]
    assert reason_to_run(job, Folder(str(folder))) == "its parameters changed"


def test_other_content_of_what_a_user_gives_is_outdated(folder):
    jobs = wanted(raw="b")
    assert state(folder, jobs) == {"status": "outdated", "step": "copy"}
    assert reason_to_run(jobs[0], Folder(str(folder))) == "the content of the raw file changed"


def test_a_file_that_is_gone_and_a_record_that_is_gone_are_incomplete(folder):
    (folder / "fov_000" / "seg.npy").unlink()
    assert state(folder) == {"status": "incomplete", "step": "segment"}
    assert reason_to_run(wanted()[1], Folder(str(folder))) == "missing: seg.npy"
    make(folder, "segment")
    assert state(folder) == {"status": "complete"}
    (folder / "logs" / "fov_000" / "segment.json").unlink()
    assert state(folder) == {"status": "incomplete", "step": "segment"}


def test_an_earlier_step_that_made_something_else_is_noticed(folder):
    """As after a kill between the two, or a run that asked for the earlier file only."""
    make(folder, "segment", "another")
    assert state(folder) == {"status": "outdated", "step": "extract"}
    assert reason_to_run(wanted()[2], Folder(str(folder))) == "made from another seg.npy"


@pytest.mark.parametrize("same_size", [True, False])
def test_a_file_that_was_changed_is_noticed(folder, same_size):
    path = folder / "fov_000" / "seg.npy"
    path.write_text(path.read_text().upper() + ("" if same_size else "more"))
    assert state(folder) == {"status": "outdated", "step": "segment"}


def test_times_of_files_are_no_reason(folder):
    for path in folder.rglob("*.npy"):
        os.utime(path, (2e9, 2e9))
    assert state(folder) == {"status": "complete"}


def test_files_are_read_once_and_then_known_by_their_times(folder, monkeypatch):
    jobs, first = wanted(), Folder(str(folder))
    assert state_of(jobs, first)["status"] == "complete"
    write_wanted({0: jobs}, first)
    monkeypatch.setattr("fovflow.states.digest_of", lambda _: pytest.fail("read again"))
    assert state(folder) == {"status": "complete"}


def test_stacks_that_do_not_stay_are_missed_only_where_they_are_needed(folder):
    (folder / "fov_000" / "pc.npy").unlink()
    (folder / "fov_000" / "seg.npy").unlink()
    assert state(folder, wanted(kept=False)) == {"status": "complete"}
    found = to_run(wanted("extract", kept=False), Folder(str(folder)))
    assert found == {
        "logs/fov_000/extract.json": "its parameters changed",
        "logs/fov_000/segment.json": "needed",
        "logs/fov_000/copy.json": "needed",
    }


def test_a_failure_is_told_with_its_frame(folder):
    record = {"status": "failed", "error": "disk full", "frame": 7}
    write_text(folder / "logs/fov_000/copy.json", json.dumps(record))
    failed = {"status": "failed", "step": "copy", "error": "disk full", "frame": 7}
    assert state(folder) == failed


def test_records_of_an_earlier_version_are_believed_but_for_their_parameters(folder):
    for step in STEPS:
        options = {key: value for key, value in OPTIONS[step].items() if key != "content"}
        write_text(
            folder / f"logs/fov_000/{step}.json",
            json.dumps({"status": "complete", "step": step, "options": options}),
        )
    assert state(folder) == {"status": "complete"}
    assert state(folder, wanted("segment")) == {"status": "outdated", "step": "segment"}


EDITS = st.lists(
    st.tuples(st.sampled_from(("make", "other", "remove", "touch", "flip", "forget")),
              st.sampled_from(STEPS)),
    max_size=8,
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(edits=EDITS, changed=st.sampled_from(("", *STEPS)))
def test_readers_of_the_folder_and_of_the_configuration_agree(tmp_path_factory, edits, changed):
    folder = tmp_path_factory.mktemp("agree")
    (folder / "fov_000").mkdir()
    (folder / "logs" / "fov_000").mkdir(parents=True)
    for step in STEPS:
        make(folder, step)
    jobs = wanted(changed)
    write_wanted({0: jobs}, Folder(str(folder)))
    for edit, step in edits:
        path = folder / FILES[step][0]
        record = folder / f"logs/fov_000/{step}.json"
        if edit in ("make", "other"):
            if all((folder / name).exists() for name in INPUTS[step]):
                make(folder, step, "x" if edit == "make" else "other")
        elif edit == "remove":
            path.unlink(missing_ok=True)
        elif edit == "forget":
            record.unlink(missing_ok=True)
        elif path.exists():
            path.write_text(path.read_text().swapcase() if edit == "flip" else path.read_text())
    found = state(folder, jobs)
    assert states_of_folder(folder) == {0: found}
    assert (found["status"] == "complete") == (not to_run(jobs, Folder(str(folder))))
