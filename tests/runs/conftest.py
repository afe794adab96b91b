"""Tests of records belong to no run, whatever started them or ran before in this process."""

from __future__ import annotations

import pytest
from runs.recorded import Recorded

from fovflow.runs.store import ENVIRONMENT, JOB_EVENTS


@pytest.fixture(autouse=True)
def _outside_of_jobs(monkeypatch):
    for variable in (ENVIRONMENT, JOB_EVENTS):
        monkeypatch.setenv(variable, "")  # so that it is taken back, whoever sets it meanwhile
        monkeypatch.delenv(variable)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Results with all records, which tests only read."""
    return Recorded(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def recorded(whole, tmp_path):
    """A copy of them, which a test may change."""
    return whole.copy_to(tmp_path)
