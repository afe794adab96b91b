"""What people see of a run: on its terminal, from another one, in lists."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import pytest

from fovflow.cli import main
from fovflow.events import EventFile, make_event, seconds_of
from fovflow.runs.screen import Screen, ScreenStream, render, summary
from fovflow.runs.state import RunReader, RunState, read_run
from fovflow.runs.store import RunFolder, find_run

START = "2026-01-01T10:00:00.000000+00:00"


def at(seconds: float) -> str:
    return f"2026-01-01T10:{int(seconds // 60):02d}:{seconds % 60:09.6f}+00:00"


def about(fov: int, attempt: int = 1, rule: str = "segment") -> dict:
    wildcards = {"dataset": "plate ü", "fov": f"{fov:03d}"}
    return {
        "job": f"{rule}.plate ü.fov_{fov:03d}", "rule": rule, "wildcards": wildcards,
        "attempt": attempt,
    }  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A run at work: one job done, one at work, one failed, two to come."""
    folder = RunFolder.create(tmp_path, name="brave-otter", jobs={"segment": 5})
    record = folder.set_status("running")
    folder.write_record({**record, "started": START})
    folder.beat()
    for fov in range(3):
        _, path = folder.new_attempt(about(fov)["job"])
        events = EventFile(path)
        events.write("job_started", time=at(0), **about(fov), host="h", pid=1)
        if fov == 0:
            events.write(
                "job_finished",
                time=at(20),
                **about(0),
                status="completed",
                seconds=20.0,
                peak_mib=80.5,
            )
        elif fov == 1:
            events.write("progress", time=at(15), step="segment", fov=1, t=30, T=120)
            events.write("metrics", time=at(15), metrics={"n_objects": 7.0}, step=29)
        else:
            events.write(
                "job_failed",
                time=at(5),
                **about(2),
                status="failed",
                error="no light",
                frame=3,
                log="l",
            )
        events.close()
    return folder


def test_a_view_counts_jobs_and_tells_what_is_left(run):
    state = read_run(run)
    assert {name: state.count(name) for name in ("completed", "running", "failed")} == {
        "completed": 1, "running": 1, "failed": 1
    }  # fmt: skip
    assert state.total == 5
    now = seconds_of(at(20))
    assert state.elapsed(now) == 20
    # three jobs of 20 s are left, of which the one at work has done 20 s; two ran at once
    assert state.remaining(now) == pytest.approx((3 * 20 - 20) / 2)
    (job,) = state.running
    assert (job.t, job.total, job.metrics) == (30, 120, {"n_objects": 7.0})
    assert job.where == "plate ü, FOV 1"


def test_a_new_attempt_takes_the_place_of_the_one_before():
    state = RunState({"jobs": {"segment": 1}})
    state.submitted("segment.plate ü.fov_000", 1, "segment", about(0)["wildcards"])
    assert state.count("submitted") == 1
    state.feed(make_event("job_started", time=at(0), **about(0)))
    state.feed(make_event("job_failed", time=at(1), **about(0), status="failed", error="x"))
    assert (state.count("failed"), state.count("submitted")) == (1, 0)
    state.feed(make_event("job_started", time=at(2), **about(0, attempt=2)))
    assert (state.count("failed"), state.count("running")) == (0, 1)
    state.feed(
        make_event(
            "job_failed",
            time=at(3),
            **about(0, attempt=2),
            status="terminated",
            error="x",
            exit=130,
        )
    )
    assert (state.count("failed"), state.count("terminated")) == (0, 1)
    assert len(state.last()) == 1
    assert len(state.jobs) == 2


def test_lines_for_a_terminal(run):
    lines = render(read_run(run), 100, now=seconds_of(at(20)))
    assert lines == [
        "brave-otter █████░░░░░░░░░░░░░░░░░░░░ 1/5 jobs, 20 s, about 20 s left, 1 FAILED",
        "  segment plate ü, FOV 1 ███░░░░░░░░░ frame 30 of 120 20 s",
    ]
    plain = render(read_run(run), 40, now=seconds_of(at(20)), plain=True)
    assert all(len(line) < 40 for line in plain)
    assert plain[0].startswith("brave-otter ##--------")
    assert summary(read_run(run), seconds_of(at(20))) == (
        "brave-otter: 1/5 jobs, 20 s, about 20 s left, 1 FAILED; "
        "now: segment plate ü, FOV 1 frame 30 of 120"
    )


def test_more_jobs_than_rows_are_counted():
    state = RunState({"jobs": {"segment": 40}})
    for fov in range(30):
        state.feed(make_event("job_started", time=at(0), **about(fov)))
    lines = render(state, 80, rows=10, now=seconds_of(at(1)))
    assert len(lines) == 1 + 6 + 1
    assert lines[-1] == "  and 24 more at work"


def test_a_reader_follows_files_as_they_grow(run):
    reader = RunReader(run)
    assert reader.poll().count("completed") == 1
    events = EventFile(run.job_file(about(1)["job"], 1))
    events.write("job_finished", time=at(30), **about(1), status="completed", seconds=30.0)
    events.close()
    number, path = run.new_attempt(about(2)["job"])
    again = EventFile(path)
    again.write("job_started", time=at(31), **about(2, attempt=number))
    again.close()
    state = reader.poll()
    assert (state.count("completed"), state.count("running"), state.count("failed")) == (2, 1, 0)


# ---- the terminal


def test_what_is_said_stands_above_the_lines():
    out = io.StringIO()
    screen = Screen(out)
    screen.draw(["bar", "job"])
    screen.say("a sentence")
    assert out.getvalue() == (
        "\r\x1b[Jbar\njob\n\x1b[2A" "\r\x1b[Ja sentence\nbar\njob\n\x1b[2A"
    )  # fmt: skip
    screen.close()
    screen.say("after")
    screen.draw(["never"])
    assert out.getvalue().endswith("\r\x1b[Jafter\n")


def test_a_logging_stream_shows_whole_lines():
    out = io.StringIO()
    stream = ScreenStream(Screen(out))
    stream.write("half")
    assert out.getvalue() == ""
    stream.write(" a line\n")
    assert out.getvalue() == "\r\x1b[Jhalf a line\n"
    stream.flush()
    assert out.getvalue() == "\r\x1b[Jhalf a line\n"


def test_a_terminal_that_is_gone_does_no_harm():
    tried = []

    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            tried.append(text)
            raise OSError(5, "Input/output error")

    screen = Screen(Gone())
    screen.draw(["bar"])
    screen.say("a sentence")
    screen.close()
    assert "bar" in tried[0]
    assert "a sentence" in "".join(tried)


# ---- the commands


def test_watch_once_shows_the_run_as_it_is(run, capsys):
    outdir = str(run.path.parents[1])
    assert main(["watch", outdir, "--once"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("brave-otter ")
    assert "1/5 jobs" in lines[0]
    assert "frame 30 of 120" in lines[1]
    assert lines[2] == "plate ü, FOV 2: segment failed at frame 3: no light"
    assert lines[3] == "  log: l"


def test_watch_follows_until_the_end(run, capsys):
    run.set_status("failed", "of 5 jobs 1 failed")
    assert main(["watch", str(run.path.parents[1])]) == 1
    text = capsys.readouterr().out
    assert "plate ü, FOV 2: segment failed at frame 3: no light" in text
    assert text.splitlines()[-1] == "failed: of 5 jobs 1 failed"


def test_watch_tells_that_a_run_is_lost(run, capsys):
    run.update(pid=2**22 + 1, host=os.uname().nodename)
    assert main(["watch", str(run.path.parents[1]), "--once"]) == 1
    assert "lost: the process was killed" in capsys.readouterr().out


def test_runs_list(run, tmp_path, capsys):
    done = RunFolder.create(tmp_path, name="calm-fox")
    done.set_status("running")
    done.set_status("completed")
    (tmp_path / "runs" / "damaged").mkdir()
    (tmp_path / "runs" / "damaged" / "run.json").write_text("{")
    assert main(["runs", "list", str(tmp_path), "--json"]) == 0
    found = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert set(found) == {"brave-otter", "calm-fox"}
    assert found["brave-otter"]["status"] == "running"
    assert found["brave-otter"]["started"] == START
    assert found["brave-otter"]["ended"] is None
    assert found["calm-fox"]["status"] == "completed"
    assert found["calm-fox"]["id"] == done.id
    assert main(["runs", "list", str(tmp_path)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
    (tmp_path / "empty").mkdir()
    assert main(["runs", "list", str(tmp_path / "empty")]) == 0
    assert capsys.readouterr().out == "no runs are recorded here\n"


def test_runs_show(run, tmp_path, capsys):
    own = EventFile(run.path / "events.jsonl")
    own.write("message", message="the run is stopped: alert dark")
    own.close()
    alerts = EventFile(run.path / "alerts.jsonl")
    alerts.write("alert", name="dark", source="metrics", action="stop_run", message="n: 0")
    alerts.close()
    assert main(["runs", "show", "brave", "--outdir", str(tmp_path), "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["id"] == run.id
    assert content["counts"] == {
        "total": 5, "completed": 1, "failed": 1, "terminated": 0, "running": 1
    }  # fmt: skip
    assert [job["error"] for job in content["failures"]] == ["no light"]
    assert content["slowest"][0]["job"] == "segment.plate ü.fov_000"
    assert content["rules"] == {"segment": {"jobs": 2, "seconds": 25.0, "peak_mib": 80.5}}
    assert main(["runs", "show", "--outdir", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert "segment plate ü, FOV 2 at frame 3: no light" in text
    assert "dark: n: 0 (stop_run)" in text
    assert "the run is stopped: alert dark" in text


def test_a_lost_run_tells_what_it_had_done(run, tmp_path, capsys):
    run.update(pid=2**22 + 1, host=os.uname().nodename)
    assert main(["runs", "list", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[:2] == ["brave-otter", "lost"]
    assert main(["runs", "list", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["counts"] == {
        "total": 5, "completed": 1, "failed": 1, "terminated": 0, "not_done": 3
    }  # fmt: skip
    assert main(["runs", "show", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert "5 planned, 1 completed, 1 failed, 0 terminated, 1 under way when it was lost" in text


def test_a_run_is_found_by_name_or_first_letters(run, tmp_path, capsys):
    other = RunFolder.create(tmp_path, name="brave-fox")
    other.set_status("running")
    other.set_status("completed")
    assert find_run(tmp_path, "brave-fox").id == other.id
    assert find_run(tmp_path, "brave-o").id == run.id
    assert find_run(tmp_path, str(run.path)).id == run.id
    assert find_run(tmp_path).id == run.id, "the one at work, although it is older"
    assert main(["runs", "show", "brave", "--outdir", str(tmp_path)]) == 1
    assert "2 runs are called 'brave'" in capsys.readouterr().err
    assert main(["runs", "show", "absent", "--outdir", str(tmp_path)]) == 1
    assert "no runs are called 'absent'" in capsys.readouterr().err
    (tmp_path / "nothing").mkdir()
    assert main(["watch", str(tmp_path / "nothing")]) == 1
    assert "no run is recorded in" in capsys.readouterr().err
