"""Three hundred fields of view, and a configuration that means harm, through the real workflow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from faults.odd_inputs import UNITS

from workflow_project import Project

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

FOVS = 300


@pytest.fixture
def many(tmp_path: Path) -> Project:
    """A project with one file of 300 tiny fields of view."""
    (tmp_path / "raw").mkdir()
    rng = np.random.default_rng(3)
    with tifffile.TiffWriter(tmp_path / "raw" / "many.ome.tif", ome=True) as writer:
        for _ in range(FOVS):
            pixels = rng.integers(90, 110, (1, 2, 8, 8)).astype(np.uint16)
            writer.write(pixels, photometric="minisblack", metadata={"axes": "TCYX"})
    return Project(tmp_path, datasets={"many": {"path": "raw/many.ome.tif", **UNITS}})


def test_all_of_them_are_planned_and_the_last_one_is_read(many: Project):
    planned = many.run("--dry-run", "--quiet", "rules")
    assert planned.status == 0, planned.text
    steps = dict.fromkeys(("copy", "segment", "correct", "track", "extract", "browse"), FOVS)
    assert planned.jobs == steps | {"results": 1, "report": 1}
    many.config["fovs"] = "299"
    done = many.run("--until", "copy")
    assert done.status == 0, done.text
    (stack,) = (many.folder / "results" / "many").rglob("*_pc_ch_0.npy")
    assert stack.parent.name == "fov_299"
    raw = tifffile.imread(many.folder / "raw" / "many.ome.tif", series=299)
    np.testing.assert_array_equal(np.load(stack), raw.reshape(1, 2, 8, 8)[:, 0])


@pytest.mark.slow_kills
def test_all_of_them_are_processed(many: Project):
    done = many.run_program(timeout=3600)
    assert done.status == 0, done.text
    assert f"many: {FOVS} of {FOVS} FOVs complete" in done.text


def test_tags_in_the_configuration_run_nothing(tmp_path: Path):
    project = Project(tmp_path)
    project.run("--version")  # writes the configuration
    file = tmp_path / "config" / "config.yaml"
    tag = "!!python/object/apply:pathlib.Path.touch ['pwned']"
    file.write_text(file.read_text() + f"run: {{description: {tag}}}\n")
    project.write_config = lambda: None  # type: ignore[method-assign]
    done = project.run()
    assert done.status == 1
    assert "Config file is not valid JSON or YAML" in done.text
    assert "Traceback" not in done.text
    assert not list(tmp_path.rglob("pwned"))
