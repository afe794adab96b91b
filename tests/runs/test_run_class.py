"""`fovflow.Run`: every method, alone and inside a job; and that nothing is lost."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from runs.ownrecords import events_of

import fovflow
from fovflow import Run
from fovflow.cli import main
from fovflow.errors import ConfigError, FovflowError
from fovflow.runs.store import RunFolder, find_run, list_runs, runs_until
from fovflow.runs.verify import verify

NO_NUMBERS = (float("nan"), float("inf"), 10**400, True, "1", [1], np.array([1.0]))


def test_a_whole_run(tmp_path):
    with Run(outdir=tmp_path) as run:
        assert run.init(
            metadata={"lr": 0.1}, tags=["a"], description="why", folder="/tests", running=True
        )
        adjective, _, noun = run.name.partition("-")
        assert adjective
        assert noun
        assert run.status == "running"
        run.log_metrics({"loss": 0.5})
    found = RunFolder(run.path).read_record()
    assert found["status"] == run.status == "completed"
    assert [entry["status"] for entry in found["history"]] == ["created", "running", "completed"]
    assert (found["metadata"], found["tags"]) == ({"lr": 0.1}, ["a"])
    assert (found["description"], found["folder"], found["kind"]) == ("why", "/tests", "script")
    assert found["started"] <= found["ended"]
    assert RunFolder(run.path).path.parent == tmp_path / "runs"
    assert (RunFolder(run.path).path / "heartbeat").exists()
    assert len(events_of(run.path, "resources")) == 1  # one at the end, however short the run


def test_modes(tmp_path):
    with pytest.raises(ConfigError, match="tracking server"):
        Run(mode="online")
    with pytest.raises(ConfigError, match=r"did you mean offline\?"):
        Run(mode="offlin")
    with Run(mode="disabled", outdir=tmp_path) as run:
        assert run.init("x") is False
        assert run.log_metrics({"a": 1}) is False
        assert run.save("no such file") is False
        assert run.add_alert("a", metric="m", rule="is above", threshold=0) is True
        run.set_pid(1)
        run.set_status("failed")
        assert (run.name, run.id, run.path, run.status) == ("", "", "", "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "call",
    [
        lambda run: run.save_all(5),
        lambda run: run.save_all([5]),
        lambda run: run.save_directory(5),
        lambda run: run.save([1], name=5),
        lambda run: run.log_metrics(),
        lambda run: run.log_metrics({"a": 1}, units=5),
        lambda run: run.add_process("n", 5),
        lambda run: run.add_process("n", ["true"], env={"A": 5}),
        lambda run: run.log_event("x", datetime(2026, 3, 1)),
    ],
)
def test_a_mistake_in_a_call_that_logs_does_not_end_the_work(tmp_path, call, capfd):
    with Run(outdir=tmp_path) as run:
        run.init("x")
        assert call(run) is False
    assert run.status == "completed"
    (said,) = [e for e in events_of(run.path, "message") if e.get("level") == "error"]
    assert capfd.readouterr().err.startswith(f"fovflow.Run: {said['message']}")
    with pytest.raises((TypeError, AttributeError, FovflowError)), Run(outdir=tmp_path) as run:
        run.config(suppress_errors=False)
        run.init("y")
        call(run)


def test_a_script_may_change_its_folder(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.csv").write_text("a")
    with (
        Run(outdir="results") as run,
        fovflow.execution(outdir="results", datasets=["in.csv"]) as exe,
    ):
        run.init("x")
        monkeypatch.chdir("elsewhere")
        assert run.update_metadata({"a": 1})
        assert run.save([1], name="list")
        exe.output_path("Table", "a.csv").write_text("a")
    assert (run.status, exe.status) == ("completed", "completed")
    assert not list((tmp_path / "elsewhere").iterdir())
    assert events_of(exe.folder, "message") == []
    assert verify(tmp_path / "results").findings == []


def test_runs_of_one_second_are_in_the_order_in_which_they_were_made(tmp_path):
    names = ["zebra", "ant", "mole", "ant", "ant"]
    for name in names:
        made = RunFolder.create(tmp_path, name=name)
        made.write_record({**made.read_record(), "status": "completed"})
    assert [run.name for run in fovflow.runs(tmp_path)] == names
    assert find_run(tmp_path).path == made.path
    before, after = runs_until(list_runs(tmp_path)[2])
    assert [run.known()["name"] for run in before] == names[:3]
    assert after == {run.id for run in list_runs(tmp_path)[3:]}


def test_booleans_are_numbers_that_can_be_read_back(run, tmp_path):
    run.init()
    run.log_metrics({"converged": True, "of_numpy": np.bool_(0)})
    (found,) = fovflow.runs(tmp_path)
    assert found.metrics()[["converged", "of_numpy"]].to_numpy().tolist() == [[1, 0]]


def test_of_runs_of_one_name_the_one_that_waits_is_taken_over(tmp_path):
    for running in (False, True):
        waiting = Run(outdir=tmp_path)
        waiting.init("same", running=running)
        waiting.close()
    taken = Run(outdir=tmp_path)
    assert taken.reconnect("same")
    taken.close()
    assert [run.status for run in fovflow.runs(tmp_path)] == ["completed", "completed"]


def test_a_run_whose_folder_is_gone_tells_no_status(tmp_path, capfd):
    with Run(outdir=tmp_path / "o") as run:
        run.init("x")
        shutil.rmtree(tmp_path / "o")
        assert (run.name, run.status) == ("", "")
    assert "close: [Errno 2] No such file" in capfd.readouterr().err


def test_an_error_without_a_text_ends_the_run_and_goes_on(tmp_path):
    class MuteError(Exception):
        def __str__(self):
            raise RuntimeError("no text")

    with pytest.raises(MuteError), Run(outdir=tmp_path) as run:
        run.init()
        raise MuteError
    assert RunFolder(run.path).read_record()["history"][-1]["message"] == "MuteError"


def test_without_a_run_nothing_happens(tmp_path, capfd):
    run = Run(outdir=tmp_path)
    run.log_event("x")
    run.update_tags(["a"])
    run.close()
    run.close()
    assert list(tmp_path.iterdir()) == []
    told = "fovflow.Run: log_event() before init() records nothing\n"
    assert capfd.readouterr() == ("", told)  # once
    Run("disabled", outdir=tmp_path).log_event("x")
    assert capfd.readouterr() == ("", "")


def test_metrics_have_a_step_a_time_and_a_time_stamp(run):
    run.init()
    assert run.log_metrics({"a": 1, "b": np.float32(0.5)}) is True
    run.log_metrics({"a": 2}, step=10, time=99.5, timestamp="2026-03-01 12:00:00.25")
    run.log_metrics({"a": np.array(3)})
    first, second, third = events_of(run.path, "metrics")
    assert [event["step"] for event in (first, second, third)] == [0, 10, 2]
    assert first["metrics"] == {"a": 1, "b": 0.5}
    assert 0 <= first["elapsed_s"] < 60
    assert second["elapsed_s"] == 99.5
    assert second["time"] == "2026-03-01T12:00:00.250000+00:00"
    age = datetime.now(UTC) - datetime.fromisoformat(third["time"])
    assert age < timedelta(minutes=1)
    assert third["metrics"] == {"a": 3}


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        *(({"step": value}, "step is a finite number") for value in NO_NUMBERS),
        *(({"time": value}, "time is a finite number") for value in NO_NUMBERS),
        ({"units": ["m"]}, "units are a mapping of names to text"),
        ({"units": {3: "m"}}, "names of units are text"),
        ({"units": {"a": None}}, "the unit of 'a' is text"),
    ],
)
def test_what_belongs_to_a_metric_is_checked_before_it_is_recorded(run, wrong, words):
    run.init()
    with pytest.raises(ConfigError, match=words):
        run.log_metrics({"a": 1}, **wrong)
    with pytest.raises(ConfigError, match="names of metrics are text"):
        run.log_metrics({" ": 1})
    run.log_metrics({"a": 1}, step=np.int64(3), time=np.float32(-0.5))
    (event,) = events_of(run.path, "metrics")
    assert (event["step"], event["elapsed_s"]) == (3, -0.5)


@pytest.mark.parametrize(
    ("stamp", "expected"),
    [
        ("2026-03-01 12:00:00", "2026-03-01T12:00:00.000000+00:00"),
        ("2026-03-01 12:00:00.1", "2026-03-01T12:00:00.100000+00:00"),
        ("2026-03-01 12:00:00.123456", "2026-03-01T12:00:00.123456+00:00"),
        ("2026-03-01T14:00:00.5+02:00", "2026-03-01T12:00:00.500000+00:00"),
        (datetime(2026, 3, 1, 12, tzinfo=UTC), "2026-03-01T12:00:00.000000+00:00"),
    ],
)
def test_time_stamps(run, stamp, expected):
    run.init()
    run.log_event("x", stamp)
    assert events_of(run.path, "message")[0]["time"] == expected


@pytest.mark.parametrize("stamp", ["yesterday", "12:00", 5, "2026-13-01 00:00:00", "1.2.3", ""])
def test_wrong_time_stamps_are_told(run, stamp):
    run.init()
    with pytest.raises(ConfigError, match="a time stamp is text"):
        run.log_event("x", stamp)


@pytest.mark.parametrize("metrics", [{}, {"a": "x"}, {1: 2}, [1], {"a": None}, {"a": [1]}])
def test_wrong_metrics_are_told(run, metrics):
    run.init()
    with pytest.raises(ConfigError, match="metric"):
        run.log_metrics(metrics)


def test_errors_are_said_once_and_recorded_where_they_are_suppressed(tmp_path, capfd):
    run = Run(outdir=tmp_path)
    run.config(disable_resources_metrics=True)
    run.init()
    for _ in range(3):
        assert run.log_metrics({"a": "x"}) is False
    run.close()
    assert capfd.readouterr().err.count("the metric 'a' is no number") == 1
    (event,) = events_of(run.path, "message")
    assert event["level"] == "error"
    assert run.log_event("too late") is False
    assert "the run is closed" in capfd.readouterr().err


def test_metadata_and_tags_grow(run):
    run.init(metadata={"a": 1}, tags=["x"])
    run.update_metadata({"b": np.int64(2), "a": None})
    run.update_tags(["y", "x"])
    assert RunFolder(run.path).read_record()["metadata"] == {"a": None, "b": 2}
    assert RunFolder(run.path).read_record()["tags"] == ["x", "y"]
    for wrong in ({"a": [1]}, {"": 1}, [1], {"a": float("nan")}):
        with pytest.raises(ConfigError):
            run.update_metadata(wrong)
    for wrong in ("x", [1], [""], 5):
        with pytest.raises(ConfigError, match="tags"):
            run.update_tags(wrong)


def test_the_status_is_one_of_few_and_the_last_one_stays(run):
    run.init()
    with pytest.raises(ConfigError, match="did you mean completed"):
        run.set_status("complete")
    run.set_status("failed")
    with pytest.raises(FovflowError, match="ended already: failed"):
        run.set_status("completed")
    run.log_event("still recorded")
    run.close()
    assert run.status == "failed"


def test_folders_have_details(run):
    run.init(folder="/a")
    run.set_folder_details("/a", metadata={"n": 1}, tags=["t"])
    run.set_folder_details("/a", description="all of a")
    assert RunFolder(run.path).read_record()["folders"] == {
        "/a": {"metadata": {"n": 1}, "tags": ["t"], "description": "all of a"}
    }


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (ValueError("no cells"), "failed", "ValueError: no cells"),
        (KeyboardInterrupt(), "terminated", "KeyboardInterrupt"),
        (SystemExit(3), "failed", "SystemExit: 3"),
        (SystemExit(0), "completed", None),
        (SystemExit(), "completed", None),
    ],
)
def test_how_the_block_ends_is_the_status(tmp_path, error, status, message):
    with pytest.raises(type(error)), Run(outdir=tmp_path) as run:
        run.init()
        run.log_metrics({"a": 1})
        raise error
    assert run.status == status
    assert len(events_of(run.path, "metrics")) == 1
    found = [event["message"] for event in events_of(run.path, "message")]
    if message is None:
        assert found == []
    else:
        assert found[0].startswith(message)
        assert "Traceback" in found[0]
        assert RunFolder(run.path).read_record()["history"][-1]["message"] == message


def test_config_is_checked_and_comes_first(tmp_path):
    run = Run(outdir=tmp_path)
    for wrong in (
        {"queue_size": 0},
        {"queue_size": 1.5},
        {"resources_metrics_interval": 0},
        {"smtp": {"host": "x"}},
        {"smtp": {"host": "x", "sender": "a@b", "to": "c@d", "password": "hush"}},
    ):
        with pytest.raises(ConfigError, match=next(iter(wrong))) as caught:
            run.config(**wrong)
        assert "hush" not in str(caught.value)
    run.config(disable_resources_metrics=True)
    run.init()
    with pytest.raises(ConfigError, match="before init"):
        run.config()
    with pytest.raises(ConfigError, match="once"):
        run.init()
    run.close()
    for wrong in ({"name": ""}, {"tags": "x"}, {"metadata": 3}, {"folder": " "}):
        with pytest.raises(ConfigError):
            Run(outdir=tmp_path).init(**wrong)
    assert len(list_runs(tmp_path)) == 1


def test_a_folder_that_cannot_be_written(tmp_path, capfd):
    (tmp_path / "runs").write_text("a file")
    run = Run(outdir=tmp_path)
    assert run.init() is False
    run.log_event("x")
    run.close()
    assert "fovflow.Run: init:" in capfd.readouterr().err
    strict = Run(outdir=tmp_path)
    strict.config(suppress_errors=False)
    with pytest.raises(OSError):
        strict.init()


def test_a_run_that_waits_is_taken_over_once(tmp_path):
    first = Run(outdir=tmp_path)
    first.init("later", running=False, tags=["a"])
    first.log_metrics({"a": 1})
    first.close()
    assert first.status == "created"
    assert RunFolder(first.path).status() == "created"
    second, third = Run(outdir=tmp_path), Run(outdir=tmp_path)
    second.config(disable_resources_metrics=True)
    assert second.reconnect("later") is True
    assert second.status == "running"
    with pytest.raises(FovflowError, match="does not wait"):
        third.reconnect(first.id)
    with pytest.raises(FovflowError, match="there is no run 'other'"):
        third.reconnect("other")
    second.log_metrics({"a": 2})
    second.update_tags(["b"])
    second.close()
    assert RunFolder(second.path).read_record()["tags"] == ["a", "b"]
    assert [event["step"] for event in events_of(second.path, "metrics")] == [0, 1]
    assert [entry["status"] for entry in RunFolder(second.path).read_record()["history"]] == [
        "created", "running", "completed",
    ]  # fmt: skip


def test_a_run_that_waits_may_begin_by_itself(run):
    run.init(running=False)
    run.set_status("running")
    assert RunFolder(run.path).read_record()["waiting"] is False
    run.close()
    assert run.status == "completed"


# ---- nothing is lost


def test_it_is_a_public_name():
    assert fovflow.Run is Run


def test_metrics_have_units(tmp_path):
    with Run(outdir=tmp_path) as run:
        run.init("units")
        for area in (1.0, 2.0):
            run.log_metrics({"area": area, "n": 3}, units={"area": "µm²"})
        assert run.log_metrics({"area": 1.0}, units={"area": 3}) is False
    told = [event.get("units") for event in events_of(run.path, "metrics")]
    assert told == [{"area": "µm²"}, None]  # once is enough
    (found,) = fovflow.runs(tmp_path)
    assert found.units() == found.metrics().attrs["units"] == {"area": "µm²"}


def test_events_have_a_level(tmp_path, capsys):
    with Run(outdir=tmp_path) as run:
        run.init("levels")
        run.log_event("as always")
        run.log_event("hm", level="warning")
        assert run.log_event("hm", level="loud") is False
    told = [(event["message"], event.get("level")) for event in events_of(run.path, "message")]
    assert told[:2] == [("as always", None), ("hm", "warning")]
    main(["runs", "show", "levels", "--outdir", str(tmp_path)])
    assert "  warning: hm\n" in capsys.readouterr().out


def test_details_of_a_folder_are_shared_by_its_runs(tmp_path, capsys):
    for name, details in [("one", {"tags": ["a"], "metadata": {"lab": "x"}}),
                          ("two", {"tags": ["b"], "description": "all fits"})]:  # fmt: skip
        with Run(outdir=tmp_path) as run:
            run.init(name, folder="/fits")
            run.set_folder_details("/fits", tags=["all"], metadata={"lab": "y", "n": 1})
            run.set_folder_details("/fits", **details)
    with Run(outdir=tmp_path) as run:
        run.init("elsewhere")
    one, two, other = sorted(fovflow.runs(tmp_path), key=lambda found: found.name != "one")
    two, other = (two, other) if two.name == "two" else (other, two)
    shared = {"name": "/fits", "metadata": {"lab": "y", "n": 1}, "tags": ["all", "a", "b"]}
    assert one.folder == two.folder == shared | {"description": "all fits"}
    assert other.folder == {}
    main(["runs", "show", "one", "--outdir", str(tmp_path)])
    assert "description: all fits" in capsys.readouterr().out
