"""Executions and scripts as RO-Crate and as PROV, and what the validator recommends besides."""

from __future__ import annotations

import json
import re
from contextlib import suppress

import pytest
from prov.model import ProvDerivation, ProvDocument
from runs.crate_validator import issues
from runs.recorded import Recorded

import fovflow
from fovflow.cli import main
from fovflow.runs.store import RunFolder
from fovflow.runs.verify import verify
from paths import ROOT

PEOPLE = {
    "author": "Ada Lovelace <https://orcid.org/0000-0000>",
    "publisher": "An institute",
    "license": "CC-BY-4.0",
}


def make(tmp_path, *, fail=False, **keys):
    source = tmp_path / "in.csv"
    source.write_text("a")
    exe = fovflow.execution(
        outdir=tmp_path / "out", name="fit", datasets=[source], parameters={"rate": [1, 2]}, **keys
    )
    with suppress(ValueError), exe:
        table = exe.output_path(["Table", "Derived"], "a b.csv")
        table.write_text("b")
        exe.register(source, "Copy", mode="copy")
        exe.create_dataset([table], "1.0.0")
        exe.run.log_metrics({"chi2": 3}, units={"chi2": "1"})
        exe.run.log_metrics({"chi2": 1.5})
        if fail:
            raise ValueError("no light")
    return exe


def entities(folder):
    crate = json.loads((RunFolder(folder).path / "ro-crate-metadata.json").read_text("utf-8"))
    return {entity["@id"]: entity for entity in crate["@graph"]}


@pytest.mark.parametrize("fail", [False, True])
def test_the_crate_of_an_execution_is_valid(tmp_path, cache, fail):
    exe = make(tmp_path, fail=fail)
    assert issues(exe.folder, cache, "process-run-crate") == []
    assert verify(tmp_path / "out").findings == []


def test_the_crate_tells_what_was_read_made_and_measured(tmp_path):
    exe = make(tmp_path, tags=["x"], metadata=PEOPLE, description="rates")
    found = entities(exe.folder)
    action = found["#action"]
    assert action["actionStatus"] == "http://schema.org/CompletedActionStatus"
    assert action["agent"] == {"@id": "https://orcid.org/0000-0000"}
    assert found["https://orcid.org/0000-0000"]["name"] == "Ada Lovelace"
    assert found["./"]["license"] == {"@id": "https://spdx.org/licenses/CC-BY-4.0"}
    assert found[found["./"]["publisher"]["@id"]]["name"] == "An institute"
    assert [one["@id"] for one in action["object"]] == ["#input/0", "#parameter/rate"]
    assert found["#parameter/rate"]["value"] == "[1, 2]"
    assert found["#input/0"]["contentSize"] == "1"
    results = [one["@id"] for one in action["result"]]
    assert set(results) == {
        "outputs/Table/a%20b.csv", "outputs/Copy/in.csv", "datasets/fit-1.0.0.json", "#metric/chi2"
    }  # fmt: skip
    assert found["outputs/Table/a%20b.csv"]["description"] == "Table, Derived"
    metric = found["#metric/chi2"]
    assert (metric["value"], metric["unitText"]) == ("1.5", "1")
    assert metric["description"] == "the last of 2 values, 1.5 to 3"
    failed = make(tmp_path / "out", fail=True)
    assert entities(failed.folder)["#action"]["error"] == "ValueError: no light"


def test_further_outputs_come_into_the_crate(tmp_path):
    exe = make(tmp_path)
    with fovflow.resume(exe.id, tmp_path / "out") as again:
        again.output_path("Table", "more.csv").write_text("c")
    assert "outputs/Table/more.csv" in entities(exe.folder)


def test_executions_and_scripts_are_exported(tmp_path, capsys):
    exe = make(tmp_path, metadata=PEOPLE)
    target = tmp_path / "prov.json"
    where = ["--outdir", str(tmp_path / "out"), "--to", str(target)]
    assert main(["runs", "export", "fit", *where]) == 0
    document = ProvDocument.deserialize(str(target), format="json")
    derived = {
        tuple(str(value) for _, value in record.formal_attributes[:2])
        for record in document.get_records(ProvDerivation)
    }
    assert ("crate:outputs/Table/a%20b.csv", "crate:#input/0") in derived
    told = json.loads(target.read_text("utf-8"))
    (link,) = told["wasAssociatedWith"].values()
    assert (link["prov:plan"], link["prov:agent"]) == (
        "crate:#script", "crate:https://orcid.org/0000-0000"
    )  # fmt: skip
    with fovflow.Run(outdir=tmp_path / "out") as run:
        run.init("by hand")
        run.save({"a": 1}, name="numbers")
    assert main(["runs", "export", "by hand", "--format", "ro-crate", *where]) == 0
    crate = json.loads(target.read_text("utf-8"))
    assert any(one["@id"] == "artifacts/output/numbers.json" for one in crate["@graph"])
    assert main(["runs", "export", str(exe.folder)]) == 0
    assert '"crate:#action"' in capsys.readouterr().out
    assert main(["runs", "export", str(tmp_path)]) == 1
    assert "or an execution" in capsys.readouterr().err


def test_what_the_validator_recommends_besides_is_listed_with_its_reason(tmp_path, cache):
    text = (ROOT / "docs" / "provenance.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| `([\w.-]+_\d+\.\d+)` ", text, re.MULTILINE))
    (tmp_path / "run").mkdir()
    recorded = Recorded(tmp_path / "run", failed=1)
    execution = make(tmp_path)
    found = {
        issue.partition(":")[0]
        for folder, profile in [(recorded.folder, "provenance-run-crate"),
                                (execution.folder, "process-run-crate")]
        for issue in issues(folder, cache, profile, "RECOMMENDED")
    }  # fmt: skip
    with_people = make(tmp_path / "out", metadata=PEOPLE)
    known = {
        issue.partition(":")[0]
        for issue in issues(with_people.folder, cache, "process-run-crate", "RECOMMENDED")
    }
    assert found | known == listed
    assert not known & {"process-run-crate-0.5_8.6", "ro-crate-1.1_22.1", "ro-crate-1.1_22.2"}
