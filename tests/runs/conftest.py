"""Tests of records belong to no run, whatever started them or ran before in this process."""

from __future__ import annotations

import pytest

from fovflow.runs.store import ENVIRONMENT, JOB_EVENTS


@pytest.fixture(autouse=True)
def _outside_of_jobs(monkeypatch):
    for variable in (ENVIRONMENT, JOB_EVENTS):
        monkeypatch.setenv(variable, "")  # so that it is taken back, whoever sets it meanwhile
        monkeypatch.delenv(variable)
