"""The examples of docs/run-class.md and docs/executions.md work as they stand there."""

from __future__ import annotations

import inspect
import json
import re

import pytest

from fovflow import Run
from fovflow.config.execution import ExecutionConfig
from fovflow.events import read_events
from fovflow.runs.store import list_runs
from pages import Reader
from paths import ROOT


def page(name):
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


@pytest.fixture
def reader(monkeypatch, tmp_path):
    for variable in ("FOVFLOW_RUN", "FOVFLOW_JOB_EVENTS"):
        monkeypatch.delenv(variable, raising=False)
    return Reader(tmp_path)


def test_run_class(reader, tmp_path):
    told = "".join(reader.follow("docs/run-class.md").values())
    first, second = sorted(
        list_runs(tmp_path / "results"), key=lambda run: "first-fit" not in run.id
    )
    assert told == f"completed {first.path}\n"
    metrics = [event for event in first.events() if event["type"] == "metrics"]
    assert [(event["step"], event["metrics"]["loss"]) for event in metrics] == [
        (0, 1.0), (1, 0.5), (2, 1 / 3),
    ]  # fmt: skip
    kept = sorted(path.name for path in (first.path / "artifacts" / "output").iterdir())
    assert kept == ["parameters.npy", "summary.json"]
    assert [alert["name"] for alert in read_events(second.path / "alerts.jsonl")] == ["lost"]


def test_executions(reader, tmp_path):
    told = "".join(reader.follow("docs/executions.md").values())
    (run,) = list_runs(tmp_path / "results")
    first, second, *shown = told.splitlines()
    assert first == f"completed {run.id}"
    assert second == "mean-area completed {'column': 'area'} 250.0"
    assert any(line.startswith("  mean_area  ▁  last 250") for line in shown)
    assert (run.path / "outputs" / "Table" / "median.csv").is_file()
    assert (run.path / "outputs" / "Table" / "mean.csv").read_text() == "mean\n250.0\n"
    assert (run.path / "outputs" / "Input copy" / "traces used.csv").is_file()
    dataset = json.loads((run.path / "datasets" / "mean-area-1.0.0.json").read_text())
    assert dataset["members"][0]["path"] == "outputs/Table/mean.csv"
    assert not (tmp_path / "nowhere").exists()


def test_every_method_and_parameter_is_documented():
    text = page("run-class.md")
    for name, method in inspect.getmembers(Run, inspect.isfunction):
        if name.startswith("_"):
            continue
        assert f"`{name}(" in text, name
        for parameter in inspect.signature(method).parameters:
            if parameter not in (
                "self",
                "thing",
                "directory",
                "items",
                "status",
                "message",
                "name",
            ):
                assert re.search(rf"\b{parameter}\b", text), (name, parameter)


@pytest.mark.parametrize("key", ExecutionConfig.model_fields)
def test_every_key_of_executions_is_documented(key):
    assert f"`{key}`" in page("executions.md")
