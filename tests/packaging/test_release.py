"""One version everywhere, a citation that tools can read, a change log in its form."""

from __future__ import annotations

import re
import tomllib
from datetime import date
from importlib.metadata import version as installed_version

import pytest
import yaml
from packaging.version import Version

import fovflow
from fovflow.cli import main
from paths import ROOT

CITATION_KEYS = {
    "cff-version", "message", "title", "abstract", "type", "authors", "version", "license",
    "keywords", "date-released", "doi", "repository-code", "url", "identifiers",
}  # fmt: skip
"""Keys of the Citation File Format 1.2.0 that the project may use."""


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def citation() -> dict:
    return yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))


def released() -> list[tuple[str, str]]:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    return re.findall(r"^## \[(\d[^\]]*)\] - (\S+)$", text, re.MULTILINE)


def test_the_version_is_written_once_and_said_everywhere(capsys):
    assert project()["dynamic"] == ["version"]
    assert "version" not in project()
    assert str(Version(fovflow.__version__)) == fovflow.__version__
    assert installed_version("fovflow") == fovflow.__version__
    assert citation()["version"] == fovflow.__version__
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"fovflow {fovflow.__version__}\n"


def test_a_recorded_run_says_the_same_version(tmp_path):
    from fovflow.runs.provenance import capture_workflow

    assert capture_workflow(tmp_path)["version"] == fovflow.__version__


def test_the_citation_is_complete_and_names_no_invented_people():
    content = citation()
    assert set(content) <= CITATION_KEYS
    assert content["cff-version"] == "1.2.0"
    assert content["type"] == "software"
    assert content["authors"] == [{"name": "The fovflow developers"}]
    assert [entry["name"] for entry in project()["authors"]] == ["The fovflow developers"]
    assert content["license"] == project()["license"]
    assert content["keywords"] == project()["keywords"]
    for key in ("message", "title", "abstract"):
        assert content[key].strip()
    dates = [day for version, day in released() if version == fovflow.__version__]
    assert [str(content["date-released"])] == dates if dates else "date-released" not in content


def test_the_change_log_keeps_its_form():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert headings[0] == "[Unreleased]"
    assert len(headings) == 1 + len(released())
    sections = re.findall(r"^### (.*)$", text, re.MULTILINE)
    assert set(sections) <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    versions = [Version(version) for version, _ in released()]
    assert versions == sorted(set(versions), reverse=True)
    assert all(version <= Version(fovflow.__version__) for version in versions)
    for _, day in released():
        date.fromisoformat(day)


def test_the_catalog_finds_what_it_looks_for():
    content = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())
    assert set(content) == {"usage"}
    assert set(content["usage"]) == {"mandatory-flags", "software-stack-deployment", "report"}
    assert (ROOT / "workflow" / "Snakefile").is_file()
    assert (ROOT / "config" / "README.md").is_file()
    assert (ROOT / "LICENSE").is_file()
