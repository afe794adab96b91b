"""The examples of docs/mapping.md and docs/steps.md work as they stand there."""

from __future__ import annotations

import re

import numpy as np
import pytest
import yaml

from fovflow.tables import read_csv
from paths import ROOT
from workflow_project import FRAMES, POSITIONS, Project

pytestmark = [pytest.mark.workflow, pytest.mark.slow]


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def test_mapping(finished_project: Project, monkeypatch, capsys):
    monkeypatch.chdir(finished_project.folder)
    space: dict = {}
    for block in blocks("mapping.md", "python"):
        exec(compile(block, "mapping.md", "exec"), space)
    counts = {}
    for fov in range(POSITIONS):
        frames = np.bincount(read_csv(finished_project.file(fov, "traces.csv"))["cell"])
        counts[f"sim/fov_{fov:03d}"] = int((frames >= 3).sum())
    assert space["counts"] == counts
    told = capsys.readouterr().out.splitlines()
    assert told == [f"{name} {count}" for name, count in counts.items()]
    assert list(space["outcomes"]) == ["sim/fov_000", "sim/fov_002"]


def test_steps(project: Project, monkeypatch, capsys):
    script, look = blocks("steps.md", "python")
    (project.folder / "my_steps.py").write_text(script)
    project.config |= yaml.safe_load(blocks("steps.md", "yaml")[0])
    done = project.run()
    assert done.status == 0, done.text
    assert (done.jobs["bright"], done.jobs["largest"]) == (POSITIONS, POSITIONS)
    monkeypatch.chdir(project.folder)
    exec(compile(look, "steps.md", "exec"), {})
    told = capsys.readouterr().out.split("\n\n")[:-1]
    for fov, line in enumerate(told):
        n_bright = len(read_csv(project.file(fov, "bright.csv"))["cell"])
        assert line == f"sim/fov_{fov:03d} {n_bright} bright cells in sim/fov_{fov:03d}"
        assert np.load(project.file(fov, "areas.npy"), allow_pickle=False).shape == (FRAMES,)
    assert len(told) == POSITIONS
