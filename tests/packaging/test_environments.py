"""Names and version ranges of the conda environments are those of pyproject.toml."""

from __future__ import annotations

import re
import tomllib

import pytest
import yaml

from paths import ROOT

CONDA_NAMES = {"opencv-python-headless": "py-opencv", "snakemake": "snakemake-minimal"}


def requirements() -> dict[str, str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found = {"python": project["requires-python"]}
    for line in project["dependencies"]:
        match = re.fullmatch(r"([A-Za-z0-9_.-]+)(.*)", line)
        assert match
        found[CONDA_NAMES.get(match[1], match[1])] = match[2]
    return found


@pytest.mark.parametrize("path", sorted((ROOT / "envs").glob("*.yaml")), ids=lambda p: p.name)
def test_a_conda_environment_agrees_with_the_project(path):
    listed = yaml.safe_load(path.read_text(encoding="utf-8"))["dependencies"]
    found = {}
    for line in listed:
        name, _, version = line.partition(" ")
        found[name] = version.replace(" ", "")
    assert found == requirements()


def test_pins_lie_within_the_ranges_and_name_no_host():
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    pins = dict(line.split("==") for line in text.splitlines() if line and not line.startswith("#"))
    assert "://" not in text
    names = {name.lower().replace("_", "-") for name in pins}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for line in [*project["dependencies"], *project["optional-dependencies"]["dev"]]:
        name = re.split(r"[<>=]", line)[0].lower()
        assert name in names, name
