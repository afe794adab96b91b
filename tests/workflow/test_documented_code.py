"""The examples of docs/mapping.md and docs/steps.md work as they stand there."""

from __future__ import annotations

import numpy as np
import pytest
import yaml

from fovflow.tables import read_csv
from pages import Reader, blocks
from workflow_project import FRAMES, POSITIONS, Project

pytestmark = [pytest.mark.workflow, pytest.mark.slow]


def test_mapping(finished_project: Project):
    reader = Reader(finished_project.folder)
    outputs = reader.follow("docs/mapping.md")
    counts = {}
    for fov in range(POSITIONS):
        frames = np.bincount(read_csv(finished_project.file(fov, "traces.csv"))["cell"])
        counts[f"sim/fov_{fov:03d}"] = int((frames >= 3).sum())
    assert reader.names["counts"] == counts
    told = "".join(outputs.values()).splitlines()
    assert told == [f"{name} {count}" for name, count in counts.items()]
    assert list(reader.names["outcomes"]) == ["sim/fov_000", "sim/fov_002"]


def test_steps(project: Project):
    script, settings, look = blocks("docs/steps.md")
    (project.folder / "my_steps.py").write_text(script.text)
    project.config |= yaml.safe_load(settings.text)
    done = project.run()
    assert done.status == 0, done.text
    assert (done.jobs["bright"], done.jobs["largest"]) == (POSITIONS, POSITIONS)
    told = Reader(project.folder).run(look).split("\n\n")[:-1]
    for fov, line in enumerate(told):
        n_bright = len(read_csv(project.file(fov, "bright.csv"))["cell"])
        assert line == f"sim/fov_{fov:03d} {n_bright} bright cells in sim/fov_{fov:03d}"
        assert np.load(project.file(fov, "areas.npy"), allow_pickle=False).shape == (FRAMES,)
    assert len(told) == POSITIONS
