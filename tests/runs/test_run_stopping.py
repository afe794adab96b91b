"""Alerts of a `Run`: evaluated while it goes on, and stopping what goes wrong, cleanly."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time

import pytest

from fovflow import Run
from fovflow.errors import ConfigError
from fovflow.events import read_events
from fovflow.runs import session
from fovflow.runs.store import JOB_EVENTS, RunFolder, list_runs


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setattr(session, "ALERTS_S", 0.01)
    made = Run(outdir=tmp_path)
    made.config(suppress_errors=False, disable_resources_metrics=True)
    yield made
    made.close()


def wait_for(condition):
    deadline = time.monotonic() + 300
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


def alerts(run):
    return read_events(f"{run.path}/alerts.jsonl")


def test_an_alert_fires_while_the_run_goes_on(run):
    assert run.add_alert("before", metric="loss", rule="is above", threshold=0) is True
    run.init()
    again = {"metric": "loss", "rule": "is above", "threshold": 0}
    assert run.add_alert("before", **again) is False
    run.add_alert("text", source="events", pattern="diverge", frequency_s=0.01)
    run.log_metrics({"loss": 0.5})
    run.log_event("it will diverge")
    assert wait_for(lambda: len(alerts(run)) == 2)
    assert {alert["name"] for alert in alerts(run)} == {"before", "text"}
    defined = [e for e in RunFolder(run.path).events() if e["type"] == "alert_defined"]
    assert [event["alert"]["name"] for event in defined] == ["before", "text"]
    assert wait_for(
        lambda: sum(e.get("level") == "alert" for e in RunFolder(run.path).events()) == 2
    )


def test_what_is_logged_last_is_looked_at_too(run):
    run.init()
    run.add_alert("late", metric="loss", rule="is below", threshold=0, frequency=60)
    time.sleep(0.05)
    run.log_metrics({"loss": -1})
    run.close()
    assert [alert["value"] for alert in alerts(run)] == [-1]


def test_definitions_are_checked_at_once(run):
    above = {"metric": "m", "rule": "is above", "threshold": 0}
    assert run.add_alert("minutes", **above, window=2, frequency=1) is True
    assert run._alerts["minutes"].window_s == 120
    assert run._alerts["minutes"].frequency_s == 60
    for wrong, message in (
        ({**above, "window": 1, "window_s": 1}, "both window_s and window"),
        ({**above, "frequency": 0}, "frequency .minutes. is a positive number"),
        ({**above, "source": "metric"}, "source is 'metric'"),
        ({**above, "threshold": None}, "needs threshold"),
        ({**above, "notification": "email"}, "no mail server"),
        ({**above, "notification": "apprise"}, "no addresses for apprise"),
        ({"source": "events", "pattern": "("}, "no regular expression"),
    ):
        with pytest.raises(ConfigError, match=message):
            run.add_alert("wrong", **wrong)
    with pytest.raises(ConfigError, match="another alert 'minutes'"):
        run.add_alert("minutes", **above)


def script(code, tmp_path, **environment):
    head = """
        import os, time
        from fovflow import Run
        import fovflow.runs.run as watch
        watch.ALERTS_S = 0.01
    """
    program = textwrap.dedent(head) + textwrap.dedent(code)
    return subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        check=False,
        capture_output=True,
        text=True,
        env={**__import__("os").environ, **environment},
        timeout=600,
    )


def test_an_alert_may_stop_the_run_cleanly(tmp_path):
    done = script(
        """
        import sys
        with Run(outdir=sys.argv[1]) as run:
            run.add_alert("bad", metric="m", rule="is above", threshold=1, on_alert="stop_run")
            run.init()
            run.log_metrics({"m": 2})
            time.sleep(600)
            run.log_event("never")
        """,
        tmp_path,
    )
    assert "KeyboardInterrupt" in done.stderr
    (folder,) = list_runs(tmp_path)
    record = folder.read_record()
    assert record["status"] == "terminated"
    assert record["history"][-1]["message"] == "alert bad: m = 2 is above 1"
    (alert,) = read_events(folder.path / "alerts.jsonl")
    assert alert["action"] == "stop_run"
    assert "never" not in [event.get("message") for event in folder.events()]


def test_an_alert_may_stop_another_process(run):
    run.init()
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    run.set_pid(child.pid)
    run.add_alert("bad", metric="m", rule="is above", threshold=1, on_alert="stop_job")
    run.log_metrics({"m": 2})
    assert child.wait(30) == -15
    assert wait_for(lambda: run.status == "terminated")


def test_an_alert_of_a_job_stops_the_job_and_is_in_its_records(tmp_path):
    folder = RunFolder.create(tmp_path)
    _, path = folder.new_attempt("segment.a")
    done = script(
        """
        run = Run()
        run.add_alert("bad", metric="m", rule="is below", threshold=0, on_alert="stop_job")
        run.log_metrics({"m": -1})
        try:
            time.sleep(600)
        except KeyboardInterrupt:
            print("stopped")
        """,
        tmp_path,
        **{JOB_EVENTS: str(path)},
    )
    assert done.stdout == "stopped\n"
    kinds = [event["type"] for event in read_events(path)]
    assert kinds == ["alert_defined", "metrics", "alert"]
    assert not (folder.path / "alerts.jsonl").exists()
    assert folder.read_record()["status"] == "created"


def test_a_script_sets_an_alert_and_its_end_is_told(run, tmp_path):
    run.add_alert("done", source="end")
    run.add_alert("numbers", metric="m", rule="is above", threshold=0)
    run.init()
    run.log_alert("odd", message="the fit is odd")
    with pytest.raises(ConfigError, match="not of the source user"):
        run.log_alert("numbers")
    run.set_status("failed")
    run.close()
    assert [(one["name"], one["message"]) for one in alerts(run)] == (
        [("odd", "the fit is odd"), ("done", "failed")]
    )
