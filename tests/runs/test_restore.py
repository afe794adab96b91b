"""Doing a run again: each change since is named; an unchanged one gives the same bytes."""

from __future__ import annotations

import json
import shlex
import shutil
import sys

import pytest

from fovflow.adapter.recording import describe_now
from fovflow.cli import main
from fovflow.errors import FovflowError
from fovflow.records import read_yaml
from fovflow.runs.restore import check_reproduction, relocated, restoration
from fovflow.runs.store import find_run
from workflow_project import make_project


@pytest.fixture
def recorded(whole, tmp_path):
    recorded = whole.copy_to(tmp_path)
    script = f"import pathlib; pathlib.Path({str(tmp_path / 'ran')!r}).touch()"
    recorded.edit_run(
        command=shlex.join([sys.executable, "-c", script]),
        working_directory=str(tmp_path),
        configfiles=[],
    )
    return recorded


def test_nothing_changed(recorded):
    found = restoration(recorded.run, recorded.run.read_record())
    assert (found.drift, found.notes) == ((), ())
    assert found.line.startswith(f"cd {found.directory} && {sys.executable} -c ")


def test_each_change_is_named(recorded):
    record = recorded.run.read_record()
    today = {
        **record,
        "workflow": {**record["workflow"], "commit": "d" * 40},
        "environment": {**record["environment"], "python": "3.12.0"},
        "inputs": [{**record["inputs"][0], "sha256": "e" * 64}],
        "config": {**record["config"], "fovs": "0-3"},
    }
    found = restoration(recorded.run, today)
    assert [(d.section, d.key, d.second) for d in found.drift] == [
        ("code", "commit", "d" * 40),
        ("config", "fovs", "0-3"),
        ("environment", "python", "3.12.0"),
        ("inputs", "input 1 sha256", "e" * 64),
    ]


def test_a_configuration_that_is_gone_is_replaced_by_the_recorded_one(recorded):
    record = recorded.run.read_record()
    command = "snakemake --configfile gone.yaml --cores 1"
    recorded.edit_run(configfiles=["gone.yaml"], command=command)
    found = restoration(recorded.run, record)
    saved = recorded.run.path.absolute() / "config.yaml"
    assert found.command == ("snakemake", "--configfile", str(saved), "--cores", "1")
    assert read_yaml(saved) == record["config"]
    assert found.notes == ("gone.yaml is gone: the recorded configuration takes its place",)


def test_a_run_without_a_command_cannot_be_done_again(recorded):
    recorded.edit_run(command=None)
    with pytest.raises(FovflowError, match="no command in its record"):
        restoration(recorded.run, {})


def test_outputs_are_compared_with_the_record(recorded):
    assert len(check_reproduction(recorded.run).equal) == 10
    path = recorded.folder / recorded.name(0, "tracks.csv")
    path.write_text("other")
    (recorded.folder / recorded.name(1, "times.csv")).unlink()
    found = check_reproduction(recorded.run)
    assert (len(found.equal), len(found.different), len(found.missing)) == (8, 1, 1)
    assert not found.ok


def test_the_command_prints_and_runs(recorded, capfd, tmp_path):
    arguments = ["restore", "calm-otter", "--outdir", str(recorded.outdir)]
    assert main(arguments) == 0
    out = capfd.readouterr().out
    assert "changed: environment: package pandas: then nothing, today" in out
    assert out.splitlines()[-1].startswith(f"cd {tmp_path} && ")
    assert not (tmp_path / "ran").exists()
    assert main([*arguments, "--run"]) == 0
    assert (tmp_path / "ran").exists()
    told = capfd.readouterr().out
    assert "10 of 10 outputs are byte for byte those of" in told
    assert "0 were made again, 10 were found intact" in told


def in_a_copy(recorded, tmp_path, name="results", **keys):
    """Return the record of the run for a copy of its folder, in another project."""
    recorded.edit_run(**keys)
    copy = tmp_path / "copy" / name
    shutil.copytree(recorded.outdir, copy)
    run = find_run(copy)
    return run, relocated(run)


def test_a_copied_run_is_done_again_in_its_copy(recorded, tmp_path, capfd):
    script = "import pathlib; pathlib.Path('ran').touch()"
    words = [sys.executable, "-c", script]
    run, found = in_a_copy(recorded, tmp_path, command=shlex.join(words))
    assert found["working_directory"] == str(tmp_path / "copy")
    assert main(["restore", str(run.path), "--run"]) == 0
    assert (tmp_path / "copy" / "ran").exists()
    assert not (tmp_path / "ran").exists()
    out = capfd.readouterr().out
    assert f"note: the run was made in {recorded.outdir}: it is done again here" in out
    assert "10 of 10 outputs are byte for byte" in out


def test_equality_is_claimed_of_the_copy_only(recorded, tmp_path, capfd):
    run, _ = in_a_copy(recorded, tmp_path, command=shlex.join([sys.executable, "-c", ""]))
    path = run.path.parents[1] / recorded.folder.name / recorded.name(0, "tracks.csv")
    path.write_text("other")
    assert main(["restore", str(run.path), "--run"]) == 1
    assert "9 of 10 outputs" in capfd.readouterr().out


def test_a_command_that_fails_is_told(recorded, tmp_path, capfd):
    code = "import sys; sys.exit(3)"
    run, _ = in_a_copy(recorded, tmp_path, command=shlex.join([sys.executable, "-c", code]))
    assert main(["restore", str(run.path), "--run"]) == 1
    assert "the command ended with status 3" in capfd.readouterr().err


def test_where_no_record_tells_of_outputs_nothing_is_claimed(recorded, capfd):
    shutil.rmtree(recorded.run.path / "jobs")
    assert main(["restore", str(recorded.run.path), "--run"]) == 1
    told = capfd.readouterr()
    assert "nothing is compared" in told.err
    assert "byte for byte" not in told.out


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("s --cores 1", "s --cores 1 --config outdir=other"),
        ("s --config a=1 --cores 1", "s --config outdir=other a=1 --cores 1"),
        ("s -C outdir=results a=1", "s -C outdir=other a=1"),
        ("s --directory {old} --cores 1", "s --cores 1 --config outdir=other"),
        ("s -d {old}", "s --config outdir=other"),
        ("s --directory={old}", "s --config outdir=other"),
        ("s --configfile {old}/c.yaml", "s --configfile {new}/c.yaml --config outdir=other"),
        ("s --configfile /far/c.yaml", "s --configfile /far/c.yaml --config outdir=other"),
    ],
)
def test_a_renamed_copy_is_named_and_nothing_leads_back(recorded, tmp_path, command, expected):
    new = tmp_path / "copy"
    new.mkdir()
    (new / "c.yaml").write_text("{}")
    names = {"old": tmp_path, "new": new}
    _, found = in_a_copy(recorded, tmp_path, "other", command=command.format(**names))
    assert found["command"] == expected.format(**names)
    assert found["working_directory"] == str(new)


@pytest.mark.parametrize("outdir", ["/abs/results", "../results", "a/b/results", "results"])
def test_wherever_the_original_wrote_a_copy_stays_where_it_is(recorded, tmp_path, outdir):
    run, found = in_a_copy(
        recorded, tmp_path, command="s", config={"outdir": outdir}, working_directory="/gone"
    )
    place = run.path.parents[1]
    given = found["command"].partition("outdir=")[2] or outdir
    directory = found["working_directory"]
    assert (tmp_path / directory / given).resolve() == place


def test_a_run_that_lies_where_it_was_made_is_done_again_as_it_was(recorded):
    assert relocated(recorded.run) == recorded.run.read_record()


@pytest.mark.workflow
@pytest.mark.slow
def test_an_unchanged_run_of_the_pipeline_is_reproduced_byte_for_byte(tmp_path, capfd):
    project = make_project(tmp_path / "p", positions=1, frames=3, height=64, width=64, cells=2)
    project.config["keep"] = ["seg_labeled"]
    done = project.run_program()
    assert done.status == 0, done.text
    run = find_run(project.folder / "results")
    before = project.outputs()
    found = restoration(run, describe_now(run.read_record()))
    assert [str(d) for d in found.drift if d.section != "code"] == []
    for folder in project.results.glob("fov_*"):
        shutil.rmtree(folder)
    status = main(["restore", str(run.path), "--run"])
    told = capfd.readouterr().out
    assert status == 0, told
    assert project.outputs() == before
    assert "outputs are byte for byte those of" in told
    assert main(["verify", str(project.folder / "results"), "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["findings"] == []
    assert runs_differ_only_in_circumstances(run, find_run(project.folder / "results"))


def runs_differ_only_in_circumstances(first, second):
    from fovflow.runs.compare import compare_runs

    assert first.id != second.id
    found = compare_runs(first, second)
    return [d for d in found.differences if d.section != "code"] == [] and found.outputs > 5


def test_the_configuration_of_a_run_is_given_back(recorded, tmp_path, capsys):
    given = ["restore", str(recorded.outdir), "--config-only"]
    assert main(given) == 0
    (tmp_path / "printed.yaml").write_text(capsys.readouterr().out, encoding="utf-8")
    file = tmp_path / "back.yaml"
    assert main([*given, "--to", str(file)]) == 0
    config = recorded.run.read_record()["config"]
    assert read_yaml(file) == read_yaml(tmp_path / "printed.yaml") == config
    assert main([*given, "--to", str(file)]) == 2
    recorded.edit_run(config={**config, "api_key": "(secret)"})
    assert main([*given, "--to", str(tmp_path / "other.yaml")]) == 0
    assert "fill in what is (secret)" in capsys.readouterr().err
    recorded.edit_run(config={})
    assert main(given) == 1
    assert not (tmp_path / "ran").exists()
