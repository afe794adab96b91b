"""The manifest as W3C PROV, read back by the community's own package."""

from __future__ import annotations

import json

import pytest
from prov.model import ProvActivity, ProvDerivation, ProvDocument, ProvEntity, ProvGeneration
from runs.recorded import DATASET, Recorded

from fovflow.cli import main
from fovflow.records import read_json
from fovflow.runs.prov import to_prov


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    return Recorded(tmp_path_factory.mktemp("prov"), failed=1)


def test_every_output_can_be_traced_to_the_raw_data(recorded, tmp_path):
    target = tmp_path / "prov.json"
    assert main(["runs", "export", str(recorded.folder), "--to", str(target)]) == 0
    document = ProvDocument.deserialize(str(target), format="json")
    sources: dict[str, set[str]] = {}
    for record in document.get_records(ProvDerivation):
        made, source = (str(value) for _, value in record.formal_attributes[:2])
        sources.setdefault(made, set()).add(source)
    made = {str(record.formal_attributes[0][1]) for record in document.get_records(ProvGeneration)}
    stacks = {name for name in made if name.endswith(".npy")}
    assert len(stacks) >= 4
    for name in stacks:
        reached, left = set(), {name}
        while left:
            reached |= left
            left = {source for one in left for source in sources.get(one, ())} - reached
        assert "crate:#raw" in reached, name
    assert not any("parameters" in source for found in sources.values() for source in found)


def test_jobs_have_status_times_run_and_error(recorded):
    manifest = read_json(recorded.folder / "ro-crate-metadata.json")
    text = json.dumps(to_prov(manifest, DATASET))
    document = ProvDocument.deserialize(content=text, format="json")
    jobs = {str(record.identifier): record for record in document.get_records(ProvActivity)}
    told = {e["@id"] for e in manifest["@graph"] if e["@type"] == "CreateAction"}
    assert set(jobs) == {f"crate:{ident}" for ident in told}
    failed = [
        job
        for job in jobs.values()
        if "FailedActionStatus" in job.get_attribute("schema:actionStatus")
    ]
    assert len(failed) == 2, "one job and its run"
    assert all(job.get_attribute("schema:error") for job in failed)
    for name, job in jobs.items():
        if "#job/segment" in name:
            assert job.get_startTime() <= job.get_endTime()
            (run,) = job.get_attribute("dcterms:isPartOf")
            assert str(run) in jobs
    digests = [e.get_attribute("schema:sha256") for e in document.get_records(ProvEntity)]
    assert sum(bool(found) for found in digests) >= 4


def test_a_folder_without_a_manifest_is_told(tmp_path, capsys):
    assert main(["runs", "export", str(tmp_path)]) != 0
    assert "there is no ro-crate-metadata.json" in capsys.readouterr().err
    (tmp_path / "ro-crate-metadata.json").write_text("[]")
    assert main(["runs", "export", str(tmp_path)]) != 0
    assert "no RO-Crate" in capsys.readouterr().err
