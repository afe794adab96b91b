"""The section `run:` of the configuration."""

from __future__ import annotations

import inspect
from typing import get_args

import pytest

from fovflow import Run
from fovflow.config import parse_config
from fovflow.config.alerts import PATTERN_LENGTH, RESOURCES, RULES, Alert
from fovflow.config.run import WORKFLOW_TYPES, RunConfig
from fovflow.errors import ConfigError

DATA = {"datasets": {"a": {"path": "a.nd2"}}}


def parse(**run):
    return parse_config({**DATA, "run": run}).run


def test_the_configuration_and_calls_have_one_definition_of_an_alert():
    (item,) = get_args(RunConfig.model_fields["alerts"].annotation)[:1]
    assert item is Alert
    given = set(inspect.signature(Run.add_alert).parameters) - {"self", "frequency", "window"}
    assert given == set(Alert.model_fields)
    assert str(PATTERN_LENGTH) in str(Alert.model_fields["pattern"].metadata)
    described = Alert.model_fields["metric"].description.replace("\n", " ")
    assert all(name in described for name in RESOURCES)
    assert get_args(get_args(Alert.model_fields["rule"].annotation)[0]) == RULES


def test_a_whole_section():
    run = parse(
        name="first try",
        tags="a, b",
        metadata={"dose": 2.5, "line": "HeLa"},
        workflow_type="screen",
        vocabulary=["screen"],
        progress_every="10",
        alerts=[
            {"name": "dim", "metric": "cells", "rule": "is below", "threshold": 0},
            {"name": "lost", "source": "events", "pattern": "frame .* lost"},
        ],
    )
    assert run.tags == ("a", "b")
    assert run.metadata == {"dose": 2.5, "line": "HeLa"}
    assert run.progress_every == 10
    assert Alert.of(run.alerts[0]).threshold == 0
    assert Alert.of(run.alerts[1].model_dump()).pattern == "frame .* lost"


def test_an_unknown_workflow_type_is_an_error_that_lists_the_known_ones():
    with pytest.raises(ConfigError) as caught:
        parse(workflow_type="trackin", vocabulary=["screen"])
    text = str(caught.value)
    assert "run.workflow_type: 'trackin' is not allowed" in text
    assert "did you mean tracking?" in text
    for term in (*WORKFLOW_TYPES, "screen"):
        assert term in text


VALUE = {"name": "x", "metric": "m", "rule": "is above", "threshold": 1}


@pytest.mark.parametrize(
    ("alert", "message"),
    [
        ({"name": "x"}, "metric must name"),
        ({**VALUE, "rule": None}, "rule is None; allowed: is above"),
        ({**VALUE, "threshold": None}, "needs threshold"),
        ({**VALUE, "range_low": 0}, "has no range_low"),
        ({**VALUE, "threshold": float("nan")}, "finite"),
        ({**VALUE, "pattern": "a"}, "end only"),
        ({**VALUE, "source": "resources"}, "cpu_percent"),
        (
            {
                "name": "x",
                "metric": "m",
                "rule": "is inside range",
                "range_low": 2,
                "range_high": 1,
            },
            "range_low is greater",
        ),
        ({"name": "x", "source": "events"}, "needs a pattern"),
        ({"name": "x", "source": "events", "pattern": "("}, "no regular expression"),
        ({"name": "x", "source": "events", "pattern": "a", "metric": "m"}, "does not go with"),
        ({**VALUE, "window_s": 0}, "greater than 0"),
        ({**VALUE, "window": 3}, "unknown key"),
        ({**VALUE, "notification": "file"}, "go together"),
        ({**VALUE, "command": ["ls"]}, "go together"),
        (
            {**VALUE, "notification": "pigeon"},
            "'none', 'log', 'file', 'command', 'email' or 'apprise'",
        ),
        ({**VALUE, "notification": "email"}, "smtp"),
        ({**VALUE, "notification": "apprise"}, "apprise only together with apprise_env"),
        ({**VALUE, "aggregation": "sum"}, "needs window_s"),
        ({**VALUE, "aggregation": "most", "window_s": 1}, "'average', 'sum', 'at least one'"),
        ({"name": "x", "source": "user", "pattern": "a"}, "end only"),
        ({"name": "x", "source": "user", "window_s": 1}, "window_s does not go with"),
        ({"name": "x", "source": "end", "on_alert": "stop_run"}, "nothing to stop"),
        ({"name": "x", "source": "end", "pattern": "("}, "no regular expression"),
        ({**VALUE, "on_alert": "explode"}, "'notify', 'stop_job' or 'stop_run'"),
    ],
)
def test_wrong_alerts_are_told(alert, message):
    with pytest.raises(ConfigError, match="run") as caught:
        parse(alerts=[alert])
    assert message in str(caught.value)


def test_each_name_of_an_alert_stands_once():
    with pytest.raises(ConfigError, match="'x' stands twice"):
        parse(alerts=[VALUE, VALUE])


def test_a_password_can_not_be_given():
    smtp = {"host": "mail.example.org", "sender": "a@example.org", "to": "b@example.org"}
    assert parse(smtp=smtp).smtp.to == ("b@example.org",)
    with pytest.raises(ConfigError, match=r"run\.smtp\.password: unknown key"):
        parse(smtp={**smtp, "password": "hush"})
    with pytest.raises(ConfigError, match="addresses of one line"):
        parse(smtp={**smtp, "sender": "a@example.org\nBcc: c@example.org"})


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"rule": "is abov"}, "rule is 'is abov'; allowed: is above, is below, is outside range, "),
        ({"notification": ("pigeon",)}, "notification is 'pigeon'; allowed: none, log, file, com"),
        ({"frequency_s": 0}, "frequency_s and window_s are positive numbers of seconds"),
        ({"window_s": float("inf")}, "frequency_s and window_s are positive numbers of seconds"),
        ({"threshold": True}, "threshold is True, which is no finite number"),
        ({"threshold": "5"}, "threshold is '5', which is no finite number"),
        ({"threshold": float("nan")}, "threshold is nan, which is no finite number"),
        ({"colour": 1}, "unknown key colour; known: name, source, metric, "),
        ({"range_low": 0}, "the rule 'is above' has no range_low"),
    ],
)
def test_a_wrong_alert_of_a_call_is_told_in_one_sentence(change, sentence):
    with pytest.raises(ConfigError) as caught:
        Alert.of({**VALUE, **change})
    assert str(caught.value).startswith(f"alert 'x': {sentence}")
