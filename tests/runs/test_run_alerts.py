"""Alerts: when they fire, and who is told."""

from __future__ import annotations

import json
import os
import sys
import time

import pytest
from runs.alerting import NOW, stamp

from fovflow.config.alerts import Alert
from fovflow.errors import ConfigError
from fovflow.events import EventFile, moment, read_events
from fovflow.runs import notify
from fovflow.runs.alerts import AlertState, AlertWatcher
from fovflow.runs.store import RunFolder


@pytest.fixture
def folder(tmp_path):
    return RunFolder.create(tmp_path, name="test")


@pytest.fixture
def events(folder):
    file = EventFile(folder.path / "events.jsonl")
    yield file
    file.close()


@pytest.fixture
def watch(folder):
    made = []

    def make(alerts=(), **options):
        made.append(AlertWatcher(folder.path, alerts, **options))
        return made[-1]

    yield make
    for watcher in made:
        watcher.finish()


def log(file, values, at=0, metric="m"):
    for value in values:
        file.write("metrics", time=stamp(at), metrics={metric: value}, step=0)


def above(**keys):
    return {"name": "a", "metric": "m", "rule": "is above", "threshold": 10, **keys}


def values(firings):
    return [firing.value for firing in firings]


def test_it_fires_once_per_crossing_and_again_only_after_recovering(folder, events, watch):
    watcher = watch([above()])
    log(events, [5, 11, 12, 10, 13])
    assert values(watcher.poll(NOW)) == [11, 13]
    log(events, [14])
    assert values(watcher.poll(NOW + 100)) == []
    log(events, [0])
    log(events, [20])
    assert values(watcher.poll(NOW + 200)) == [20]
    watcher.finish()
    recorded = read_events(folder.path / "alerts.jsonl")
    assert [event["value"] for event in recorded] == [11, 13, 20]
    assert recorded[0]["message"] == "m = 11 is above 10"
    assert recorded[0]["action"] == "notify"


@pytest.mark.parametrize(
    ("rule", "limits", "fires", "quiet"),
    [
        ("is above", {"threshold": 0}, [1e-9], [0, -1]),
        ("is below", {"threshold": 0}, [-1e-9], [0, 1]),
        ("is outside range", {"range_low": 0, "range_high": 2}, [-1, 3], [0, 1, 2]),
        ("is inside range", {"range_low": 0, "range_high": 2}, [0, 1, 2], [-1, 3]),
    ],
)
def test_rules_and_their_limits(rule, limits, fires, quiet):
    alert = Alert(name="a", metric="m", rule=rule, **limits)
    assert [alert.holds(value) for value in fires] == [True] * len(fires)
    assert [alert.holds(value) for value in quiet] == [False] * len(quiet)


def test_nothing_is_evaluated_before_it_is_due_but_nothing_is_missed(folder, events, watch):
    watcher = watch([above(frequency_s=30)])
    watcher.poll(NOW)
    log(events, [11, 1])
    assert watcher.poll(NOW + 29) == []
    assert values(watcher.poll(NOW + 30)) == [11]


def test_a_clock_that_is_set_back_holds_no_alert_up(folder, events, watch):
    watcher = watch([above(frequency_s=30), {**above(window_s=60), "name": "together"}])
    log(events, [1000], at=3600)
    assert len(watcher.poll(NOW + 3600)) == 2
    log(events, [1], at=10)
    watcher.poll(NOW + 20)
    log(events, [11], at=45)
    assert sorted(values(watcher.poll(NOW + 51))) == [11]


def test_a_window_is_averaged_and_an_empty_one_is_no_data(folder, events, watch):
    watcher = watch([above(window_s=60, frequency_s=1)])
    assert watcher.poll(NOW) == []
    log(events, [0, 30], at=0)
    assert values(watcher.poll(NOW + 1)) == [15]
    assert watcher.poll(NOW + 70) == []  # empty: neither fires nor recovers
    log(events, [15], at=100)
    assert watcher.poll(NOW + 101) == []
    log(events, [-100], at=102)
    assert watcher.poll(NOW + 103) == []
    log(events, [200], at=104)
    assert values(watcher.poll(NOW + 105)) == [pytest.approx(115 / 3)]


def test_values_that_are_no_numbers_are_no_data(folder, events, watch):
    watcher = watch([above(threshold=0, rule="is below")])
    log(events, [-1, float("nan"), None, "x", True, float("-inf"), -2])
    assert values(watcher.poll(NOW)) == [-1]


def test_resources_and_other_sources_do_not_mix(folder, events, watch):
    memory = {"name": "r", "source": "resources", "metric": "rss_mib"}
    watcher = watch([{**memory, "rule": "is above", "threshold": 100}])
    log(events, [500], metric="rss_mib")
    events.write("resources", cpu_percent=1, rss_mib=50)
    assert watcher.poll(NOW) == []
    events.write("resources", cpu_percent=1, rss_mib=150)
    assert values(watcher.poll(NOW + 100)) == [150]


def test_each_job_is_looked_at_by_itself(folder, watch):
    watcher = watch([above(on_alert="stop_job")])
    assert watcher.poll(NOW) == []
    files = {}
    for job in ("segment.a", "segment.b"):
        _, path = folder.new_attempt(job)
        files[job] = EventFile(path)
        log(files[job], [11])
    assert sorted(firing.job for firing in watcher.poll(NOW)) == ["segment.a", "segment.b"]
    log(files["segment.a"], [1, 12])
    files["segment.a"].write(
        "job_failed", job="segment.a", rule="s", wildcards={}, attempt=1, status="failed"
    )
    # a job that ended is evaluated at once, whatever is due
    assert [firing.job for firing in watcher.poll(NOW + 1)] == ["segment.a"]
    _, path = folder.new_attempt("segment.a")
    again = EventFile(path)
    log(again, [12])
    assert [firing.job for firing in watcher.poll(NOW + 2)] == ["segment.a"]
    assert len(watcher._files.tails) == 3
    for file in (*files.values(), again):
        file.close()
    watcher.finish()


def test_a_job_of_long_ago_is_found_when_it_has_another_attempt(folder, watch):
    watcher = watch([above()])
    _, path = folder.new_attempt("x")
    os.utime(path.parent, (time.time() - 1000, time.time() - 1000))
    watcher.poll(NOW)
    assert watcher._files.settled
    _, path = folder.new_attempt("x")
    file = EventFile(path)
    log(file, [11])
    assert values(watcher.poll(NOW)) == [11]
    file.close()


def test_events_by_pattern(folder, events, watch):
    alert = {"name": "e", "source": "events", "pattern": "frame .* lost"}
    watcher = watch([alert])
    events.write("message", message="frame 3 was lost")
    events.write("message", message="frame 4 was lost")
    events.write("message", message="frame 5 was found")
    events.write("alert", name="e", source="events", message="frame 6 was lost")
    events.write("status", status="failed", message="frame 7 was lost")
    firings = watcher.poll(NOW)
    assert [firing.message for firing in firings] == ["frame 3 was lost", "frame 7 was lost"]
    assert values(firings) == [None, None]
    watcher.finish()


def test_a_pattern_that_could_take_exponential_time_holds_nothing_up(folder, events, capfd, watch):
    slow = {"name": "slow", "source": "events", "pattern": "(a|a)*b"}
    watcher = watch([slow, {**slow, "name": "quick", "pattern": "aa+$"}])
    events.write("message", message="a" * 60)
    assert [firing.name for firing in watcher.poll(NOW)] == ["quick"]
    events.write("message", message="a" * 60 + "b")
    assert [firing.name for firing in watcher.poll(NOW + 100)] == ["slow"]
    assert capfd.readouterr().err == ""
    assert list(watcher.alerts) == ["slow", "quick"]
    watcher.finish()


def test_an_alert_defined_twice_is_one_alert(folder, watch):
    watcher = watch([above()])
    assert watcher.add(Alert.of(above())) is False
    assert len(watcher.alerts) == 1
    with pytest.raises(ConfigError, match="another alert 'a'"):
        watcher.add(above(threshold=11))
    with pytest.raises(ConfigError, match="unknown key colour"):
        watcher.add(above(colour=1))


def test_actions_are_asked_for_and_their_failure_disturbs_nothing(folder, events, capfd, watch):
    asked = []

    def act(action, firing):
        asked.append((action, firing.job))
        raise RuntimeError("no such job")

    watcher = watch([above(on_alert="stop_run")], on_action=act)
    log(events, [11])
    assert len(watcher.poll(NOW)) == 1
    assert asked == [("stop_run", "")]
    assert "could not stop_run: no such job" in capfd.readouterr().err


def test_a_jobs_own_alert_that_stops_the_run_is_passed_on_and_not_recorded_again(folder, watch):
    asked = []
    watcher = watch(on_action=lambda action, firing: asked.append((action, firing)))
    _, path = folder.new_attempt("segment.a")
    file = EventFile(path)
    file.write("alert", name="own", source="metrics", action="notify")
    file.write("alert", name="own", source="metrics", action="stop_run", message="m")
    assert watcher.poll(NOW) == []
    assert [(action, firing.job, firing.name) for action, firing in asked] == [
        ("stop_run", "segment.a", "own")
    ]
    assert not (folder.path / "alerts.jsonl").exists()
    file.close()


def test_a_record_that_cannot_be_written_is_said_once(folder, events, capfd, watch):
    (folder.path / "alerts.jsonl").mkdir()
    watcher = watch([above()])
    log(events, [11, 1, 11])
    assert len(watcher.poll(NOW)) == 2
    assert capfd.readouterr().err.count("is not recorded") == 1


def test_a_file_and_a_command_are_told(folder, events, tmp_path, watch):
    target, seen = tmp_path / "sub" / "alerts.txt", tmp_path / "seen.json"
    program = "import json, sys; open(sys.argv[1], 'a').write(json.dumps(sys.argv[2:]) + '\\n')"
    alert = above(
        notification=["file", "command"],
        file=str(target),
        command=[sys.executable, "-c", program, str(seen), "{name}", "v={value};$(ls)", "{run}"],
    )
    watcher = watch([alert])
    log(events, [11, 1, 12])
    watcher.poll(NOW)
    watcher.finish()
    lines = [json.loads(line) for line in target.read_text().splitlines()]
    assert [line["value"] for line in lines] == [11, 12]
    assert lines[0]["run"] == folder.id
    # the second one came within a minute and was held back to the end
    told = sorted(json.loads(line) for line in seen.read_text().splitlines())
    assert told == [["a", f"v={value};$(ls)", folder.id] for value in (11, 12)]


def test_a_storm_of_alerts_gives_few_commands(folder, events, tmp_path, monkeypatch, watch):
    started = []
    monkeypatch.setattr(
        notify.Notifier, "_start", lambda self, command, given: started.append(command)
    )
    alert = above(notification=["command"], command=["say", "{message}"])
    watcher = watch([alert])
    log(events, [11, 1] * 100)
    assert len(watcher.poll(NOW)) == 100
    assert started == [["say", "m = 11 is above 10"]]
    watcher.finish()
    assert started[1:] == [["say", "m = 11 is above 10 (and 98 more)"]]


def test_a_command_that_is_absent_or_hangs_disturbs_nothing(
    folder, events, monkeypatch, capfd, watch
):
    monkeypatch.setattr(notify, "PATIENCE_S", 0.0)
    absent = above(notification=("command",), command=("/nonexistent/x",))
    hangs = above(
        name="b",
        notification=("command",),
        command=(sys.executable, "-c", "import time; time.sleep(60)"),
    )
    watcher = watch([absent, hangs])
    log(events, [11])
    assert len(watcher.poll(NOW)) == 2
    time.sleep(0.01)
    watcher.poll(NOW)
    watcher.finish()
    text = capfd.readouterr().err
    assert "cannot start /nonexistent/x" in text
    assert "took longer" in text


def test_a_definition_in_records_holds_no_arguments_of_commands():
    alert = Alert.of(above(notification=["command"], command=["curl", "--token=s3cret"]))
    assert alert.plain()["command"] == ["curl"]
    assert "threshold" in alert.plain()
    assert "window_s" not in alert.plain()


def test_an_average_of_numbers_whose_sum_overflows(folder, events, watch):
    watcher = watch([above(window_s=100, frequency_s=1)])
    log(events, [1e308, 1e308, 1e308])
    assert values(watcher.poll(NOW + 1)) == [1e308]


def test_an_integer_that_no_float_can_hold_is_no_value(folder, events, watch):
    watcher = watch([above()])
    line = '{"v":2,"time":"%s","type":"metrics","metrics":{"m":%s},"step":0}'
    for number in (10**400, 10**4000):
        events.append(line % (stamp(0), number) + "\n")
    log(events, [11])
    assert values(watcher.poll(NOW + 1)) == [11]


def test_an_alert_that_cannot_be_evaluated_keeps_no_other_from_firing(
    folder, events, watch, monkeypatch, capsys
):
    evaluate = AlertState.evaluate

    def broken(self, *args, **keys):
        if self.alert.name == "broken":
            raise OverflowError("too large")
        return evaluate(self, *args, **keys)

    monkeypatch.setattr(AlertState, "evaluate", broken)
    watcher = watch([above(name="broken"), above(name="fine")])
    log(events, [11])
    assert [firing.name for firing in watcher.poll(NOW + 1)] == ["fine"]
    watcher.finish()
    assert capsys.readouterr().err.count("'broken' could not be evaluated") == 1


def test_times_beyond_the_calendar_are_none():
    assert moment("0001-01-01T00:00:00+14:00") is None
    assert moment("9999-12-31T23:59:59-14:00") is None
    assert moment("2026-03-01T12:00:00+02:00").isoformat() == "2026-03-01T10:00:00+00:00"


@pytest.mark.parametrize(
    ("aggregation", "logged", "told"),
    [
        ("average", [5, 20], "m = 12.5 on average is above 10"),
        ("average", [5, 10], None),
        ("sum", [5, 6], "m = 11 in sum is above 10"),
        ("sum", [5, 5], None),
        ("at least one", [5, 20, 1], "m = 20 once is above 10"),
        ("at least one", [5, 9], None),
        ("all", [11, 12], "m = 12 always is above 10"),
        ("all", [11, 9, 12], None),
        ("sum", [1e308, 1e308], "m = inf in sum is above 10"),
    ],
)
def test_values_of_a_window_count_together(events, watch, aggregation, logged, told):
    log(events, logged)
    fired = watch([above(window_s=60, aggregation=aggregation)]).poll(NOW)
    assert [firing.message for firing in fired] == ([told] if told else [])


def test_a_script_sets_an_alert_itself(events, watch):
    watcher = watch([{"name": "mine", "source": "user"}, {"name": "other", "source": "user"}])
    for critical, text in [(True, "odd"), (True, "still"), (False, "fine"), (True, "again")]:
        events.write("user_alert", name="mine", critical=critical, message=text)
    assert [(one.name, one.message, one.value) for one in watcher.poll(NOW)] == (
        [("mine", "odd", None), ("mine", "again", None)]
    )


def test_the_end_of_a_run_is_told(watch, tmp_path):
    file = tmp_path / "ends.jsonl"
    told = {"source": "end", "notification": ["file"], "file": str(file)}
    alerts = [{"name": "any", **told}, {"name": "bad", "pattern": "^(failed|terminated)", **told}]
    assert watch(alerts).poll(NOW) == []
    assert [one.name for one in watch(alerts).finish(lambda: "completed")] == ["any"]
    assert [one.name for one in watch(alerts).finish(lambda: "failed: no light")] == ["any", "bad"]
    assert watch(alerts).finish() == []
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [(line["name"], line["message"]) for line in lines] == (
        [("any", "completed"), ("any", "failed: no light"), ("bad", "failed: no light")]
    )
