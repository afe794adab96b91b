"""Names and version ranges of the conda environments are those of pyproject.toml."""

from __future__ import annotations

import re
import tomllib
from itertools import takewhile

import pytest
import yaml

from building import build
from paths import ROOT

CONTAINERS = ("Dockerfile", "fovflow.def")
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
    extras = project["optional-dependencies"]
    for line in [*project["dependencies"], *extras["dev"], *extras["docs"]]:
        name = re.split(r"[<>=]", line)[0].lower()
        assert name in names, name


def test_each_rule_runs_in_the_one_environment():
    rules = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "rules").glob("*.smk"))
    scripts = re.findall(r'script:\n +"\.\./scripts/(\w+)\.py"', rules)
    assert sorted(scripts) == sorted(path.stem for path in (ROOT / "scripts").glob("*.py"))
    environments = re.findall(r'conda:\n +"(.*)"', rules)
    assert environments == ["../envs/fovflow.yaml"] * len(scripts)


def steps_of(name: str) -> list[str]:
    """Return the instructions of a container definition, continued lines joined."""
    text = (ROOT / "envs" / name).read_text(encoding="utf-8").replace("\\\n", " ")
    return [" ".join(line.split()) for line in text.splitlines() if line and line[0] != "#"]


@pytest.mark.parametrize("name", CONTAINERS)
def test_a_container_installs_the_wheel_with_the_pinned_versions(name):
    steps = steps_of(name)
    (install,) = [step for step in steps if "pip install" in step]
    words = install.split(" && ")[0].split(" pip install ")[1].split()
    czi = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (reader,) = (re.split(r"[<>=]", line)[0] for line in czi["czi"])
    assert words[:3] == ["--no-cache-dir", "-c", "/opt/build/constraints.txt"]
    assert words[3].endswith("/fovflow-*.whl")
    assert words[4:] == [reader]
    (base,) = [step for step in steps if step.upper().startswith("FROM")]
    pinned = re.search(r"\(Python (3\.\d+), Linux\)", (ROOT / "constraints.txt").read_text())
    assert pinned
    assert re.split(r":? ", base)[1] == f"python:{pinned[1]}-slim"


def test_the_container_definitions_have_only_instructions_that_exist():
    known = {"FROM", "COPY", "RUN", "ENV", "WORKDIR", "ENTRYPOINT", "CMD"}
    assert {step.split()[0] for step in steps_of("Dockerfile")} == known
    definition = steps_of("fovflow.def")
    header = list(takewhile(lambda step: not step.startswith("%"), definition))
    assert header == ["Bootstrap: docker", "From: python:3.11-slim"]
    sections = [step for step in definition if step.startswith("%")]
    assert sections == ["%files", "%post", "%environment", "%runscript", "%test", "%help"]


def test_what_the_containers_copy_is_there_once_the_wheel_is_built(tmp_path):
    built = build(ROOT, "wheel", tmp_path / "dist")
    assert built.match("dist/fovflow-*.whl")
    (copy,) = (step for step in steps_of("Dockerfile") if step.startswith("COPY"))
    assert copy.split()[1:] == ["constraints.txt", "dist/fovflow-*.whl", "/opt/build/"]
    assert (ROOT / "constraints.txt").is_file()
