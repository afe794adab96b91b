"""A damaged line or record costs what it told, is named, and disables nothing else."""

from __future__ import annotations

import json
import random
from contextlib import suppress

import pytest
import yaml
from runs.recorded import DATASET

import fovflow
from fovflow.cli import main
from fovflow.errors import FovflowError
from fovflow.events import EventFile, EventTail
from fovflow.records import MOST_MERGED, parse_yaml, read_yaml, write_yaml
from fovflow.results import load_results
from fovflow.runs.publish import publish
from fovflow.runs.state import read_jobs, read_run
from fovflow.runs.store import RunFolder, find_run
from fovflow.runs.verify import verify

TIME = "2026-03-01T10:00:00+00:00"
LINES = [
    "garbage",
    '{"v":1,"type":"job_started"}',
    '{"v":2}',
    "[]",
    "5",
    "9" * 5000,
    f'{{"v":2,"time":"{TIME}","type":"workflow","jobs":{{"a":"many"}}}}',
    f'{{"v":2,"time":"{TIME}","type":"workflow","jobs":5}}',
    f'{{"v":2,"time":"{TIME}","type":"job_started","job":["x"],"rule":"a","wildcards":{{}},'
    '"attempt":1}',
    f'{{"v":2,"time":"{TIME}","type":"job_started","job":"x","rule":"a","wildcards":[],'
    '"attempt":1}',
    f'{{"v":2,"time":"{TIME}","type":"job_started","job":"x","rule":"a","wildcards":{{}},'
    '"attempt":1e999}',
    f'{{"v":2,"time":"{TIME}","type":"job_finished","job":"x","rule":"a","wildcards":{{}},'
    '"attempt":1,"status":["completed"]}',
    f'{{"v":2,"time":"{TIME}","type":"cluster_job","id":5,"scheduler":"s","jobs":[["x"]],'
    '"attempt":1}',
    f'{{"v":2,"time":"{TIME}","type":"cluster_job","id":5,"scheduler":"s","jobs":["x"],'
    '"attempt":"1"}',
]


@pytest.mark.parametrize("line", LINES)
def test_a_line_that_is_no_event_is_left_out_and_counted(recorded, line, capsys):
    before = read_run(recorded.run)
    with (recorded.run.path / "events.jsonl").open("a") as file:
        file.write(line + "\n")
    state = read_run(recorded.run)
    assert state.malformed == {"events.jsonl": 1}
    assert len(state.jobs) - len(before.jobs) in (0, 1)
    outdir = ["--outdir", str(recorded.outdir)]
    assert main(["runs", "show", recorded.run.id, *outdir]) == 0
    assert "events.jsonl: 1 line is no event, left out" in capsys.readouterr().out
    assert main(["runs", "show", recorded.run.id, *outdir, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["malformed"] == {"events.jsonl": 1}
    assert verify(recorded.outdir).findings == []
    assert [n.problem for n in verify(recorded.outdir).notes if "no event" in n.problem]
    assert main(["watch", "--once", str(recorded.outdir)]) == 0
    assert main(["runs", "list", str(recorded.outdir)]) == 0


def test_numbers_that_no_job_can_have_break_nothing(recorded, capsys):
    path = recorded.run.job_file(f"track.{DATASET}.fov_001", 1)
    text = path.read_text(encoding="utf-8")
    for wrong in ("Infinity", "1e400", "NaN", "9" * 400, '"x"', "[]"):
        path.write_text(text.replace('"seconds":2.5', f'"seconds":{wrong}'), encoding="utf-8")
        assert main(["runs", "show", recorded.run.id, "--outdir", str(recorded.outdir)]) == 0
        assert "Traceback" not in capsys.readouterr().err


def test_empty_lines_are_no_damage(tmp_path):
    (tmp_path / "e.jsonl").write_text("\n\n")
    tail = EventTail(tmp_path / "e.jsonl")
    assert (tail.read(), tail.malformed) == ([], 0)


RECORDS = ["", "5", "{", "[]", "{}", '{"status": "completed", "history": 5}', '{"status": []}']
RECORDS += ['{"status": "running", "pid": 1e300, "history": []}']
RECORDS += ['{"status": "completed", "started": 5}', '{"status": "lost", "history": [5]}']


@pytest.mark.parametrize("content", RECORDS)
def test_a_damaged_record_of_a_run_costs_that_run_only(recorded, content, tmp_path, capsys):
    for stamp in ("20200101T000000Z-old-owl", "20300101T000000Z-new-newt"):
        folder = recorded.outdir / "runs" / stamp
        folder.mkdir()
        (folder / "run.json").write_text(content)
        (folder / "events.jsonl").touch()
    recorded.edit_run(command="snakemake --cores 1", configfiles=[])
    outdir = ["--outdir", str(recorded.outdir)]
    assert find_run(recorded.outdir, "calm-otter").id == recorded.run.id
    assert main(["runs", "show", "calm-otter", *outdir]) == 0
    assert main(["runs", "list", str(recorded.outdir)]) == 0
    assert "calm-otter" in capsys.readouterr().out
    assert main(["restore", "calm-otter", *outdir]) == 0
    assert main(["publish", "calm-otter", str(tmp_path / "to"), *outdir]) == 0
    assert len(read_jobs(recorded.outdir, DATASET)) > 5
    recorded.write_manifest()
    capsys.readouterr()
    if content not in RECORDS[-3:-2]:
        assert main(["runs", "show", "new-newt", *outdir]) != 0
        assert main(["runs", "show", "20300101T000000Z-new-newt", *outdir]) != 0
        assert "run.json is no" in capsys.readouterr().err


def test_one_damaged_line_costs_publishing_no_output(recorded, tmp_path):
    whole = publish(recorded.run, str(tmp_path / "whole"))
    path = recorded.run.job_file(f"track.{DATASET}.fov_001", 1)
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join([*lines[:-1], lines[-1][:50] + "\n"]), encoding="utf-8")
    done = publish(recorded.run, str(tmp_path / "to"))
    name = path.relative_to(recorded.outdir).as_posix()
    assert done.failed == {name: "damaged: 1 line is no event"}
    assert sorted(done.copied) == sorted(whole.copied)


@pytest.mark.parametrize("content", ["", "{", "5", "[]", '{"status": "x"}'])
@pytest.mark.parametrize("what", ["record", "plan", "manifest", "results"])
def test_each_damaged_record_is_a_named_failure(recorded, tmp_path, what, content, capsys):
    file = {
        "record": recorded.record("track", 1),
        "plan": recorded.folder / "dataset.json",
        "manifest": recorded.manifest_file,
        "results": recorded.folder / "processing_results.yaml",
    }[what]
    if what != "record" and content in ('{"status": "x"}', "5", "[]", ""):
        content = "{: :"
    whole = publish(recorded.run, str(tmp_path / "whole"))
    file.write_text(content)
    arguments = ["publish", "calm-otter", str(tmp_path / "to"), "--outdir", str(recorded.outdir)]
    assert main([*arguments, "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert list(told["failed"]) == [file.relative_to(recorded.outdir).as_posix()]
    assert sorted(told["copied"]) == sorted(whole.copied)


def test_a_run_whose_own_record_is_empty_is_published_and_says_so(recorded, tmp_path):
    (recorded.run.path / "run.json").write_text("")
    done = publish(recorded.run, str(tmp_path / "to"))
    assert list(done.failed) == [f"runs/{recorded.run.id}/run.json"]
    assert len(done.copied) > 30


WRONG = [None, 5, "text", [5], {"a": 5}, True, [["a", 5]]]


def places(value, place=()):
    """Yield the places of a results file, keys of mappings and items of lists."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        yield (*place, key)
        if isinstance(item, dict | list):
            yield from places(item, (*place, key))


def test_every_wrong_value_in_a_results_file_gives_a_sentence_or_is_read(recorded, capsys):
    file = recorded.folder / "processing_results.yaml"
    good = {
        **read_yaml(file),
        "dataset": DATASET,
        "channels": {"pc": 0, "fl": [1]},
        "channel_names": {0: "Phase", 1: "GFP"},
        "problems": [],
        "pixel_um": 0.65,
        "params": {"extract": {"arguments": {"features": {"pc": ["area"], "fl": []}}, "qc": {}}},
    }
    good["results_paths"]["0"]["steps"] = {"own": {"table": "fov_000/own.csv"}}
    refused = 0
    for place in places(good):
        for wrong in WRONG:
            changed = json.loads(json.dumps(good))
            inner = changed
            for key in place[:-1]:
                inner = inner[key if isinstance(inner, list) else str(key)]
            inner[place[-1] if isinstance(inner, list) else str(place[-1])] = wrong
            write_yaml(file, changed)
            with suppress(FovflowError):
                results = load_results(recorded.folder)
                assert all(isinstance(fov.status, str) for fov in results.fovs.values())
            capsys.readouterr()
            assert main(["status", str(recorded.folder)]) in (0, 1)
            refused += "is no results file; found: " in capsys.readouterr().err
        verify(recorded.outdir)
    assert refused > 100


@pytest.mark.parametrize(
    ("key", "value", "found"),
    [
        ("results_paths", [], "results_paths is a list, not a mapping"),
        ("results_paths", {"x": {}}, "results_paths has 'x', which is no number of an FOV"),
        ("results_paths", {"0": 5}, "results_paths.0 is a whole number, not a mapping"),
        ("results_paths", {"0": {"pc": [0]}}, "results_paths.0.pc has [0], not channel and name"),
        ("fovs", {"0": "complete"}, "fovs.0 is text, not a mapping"),
        ("fovs", {"0": {"status": 5}}, "fovs.0.status is a whole number, not text"),
        ("channels", {"fl": 1}, "channels.fl is a whole number, not a list"),
        ("problems", "none", "problems is text, not a list"),
    ],
)
def test_the_place_of_a_wrong_value_is_named(recorded, key, value, found):
    file = recorded.folder / "processing_results.yaml"
    write_yaml(file, {**read_yaml(file), key: value})
    with pytest.raises(FovflowError) as caught:
        load_results(recorded.folder)
    assert caught.value.found == found


def test_more_fovs_than_keys_may_be_merged_are_read(tmp_path):
    number = MOST_MERGED + 500
    fovs = {str(fov): {"status": "complete"} for fov in range(number)}
    folder = tmp_path / "plate"
    folder.mkdir()
    text = yaml.dump({"results_paths": {}, "fovs": fovs}, Dumper=yaml.CSafeDumper)
    (folder / "processing_results.yaml").write_text(text)
    assert len(load_results(folder).fovs) == number


def test_merged_keys_stay_bounded():
    lines = ["a0: &a0 {" + ", ".join(f"k{i}: 1" for i in range(MOST_MERGED)) + "}"]
    lines.append("a1: {<<: *a0, more: 1}")
    with pytest.raises(yaml.YAMLError, match="more than"):
        parse_yaml("\n".join(lines))


def test_a_run_that_cannot_be_read_is_lost(tmp_path):
    folder = RunFolder(tmp_path / "runs" / "x")
    folder.path.mkdir(parents=True)
    (folder.path / "run.json").write_text("")
    assert (folder.status(), folder.known()) == ("lost", {})


DAMAGES = 40


def damaged(data: bytes, chance: random.Random) -> bytes:
    """Return a file with a cut, a value of another kind, a key that is gone, or junk in it."""
    lines = data.split(b"\n")
    at = chance.randrange(len(lines))
    kind = chance.randrange(4)
    if kind == 0:
        lines[at] = lines[at][: chance.randrange(len(lines[at]) + 1)]
    elif kind == 1:
        lines[at] = chance.randbytes(40)
    else:
        with suppress(ValueError):
            content = json.loads(lines[at])
            key = chance.choice(list(content))
            del content[key]
            if kind == 3:
                content[key] = chance.choice([None, 3, "x", [], {}, [[1]], 1e300, True, {"a": []}])
            lines[at] = json.dumps(content).encode()
    return b"\n".join(lines)


def test_records_of_scripts_that_are_damaged_in_any_way_give_no_traceback(tmp_path, capsys):
    outdir = tmp_path / "out"
    (tmp_path / "in.csv").write_text("a")
    with fovflow.execution(
        outdir=outdir, name="fit", datasets=[tmp_path / "in.csv"], parameters={"lr": 1}
    ) as exe:
        table = exe.output_path("Table", "a.csv")
        table.write_text("a")
        exe.run.log_metrics({"m": 1.0, "n": float("nan")})
        exe.run.log_event("half way")
        exe.create_dataset([table], version="1.0.0")
    place = RunFolder(exe.folder).path
    files = [place / "events.jsonl", place / "run.json", place / "datasets" / "fit-1.0.0.json"]
    (run_json,) = [json.loads(files[1].read_text())]
    files[1].write_text(json.dumps(run_json))  # on one line, as the others are
    files[2].write_text(json.dumps(json.loads(files[2].read_text())))
    whole = {file: file.read_bytes() for file in files}
    chance = random.Random(14)
    commands = [["runs", "list", str(outdir)], ["runs", "show", "fit", "--outdir", str(outdir)],
                ["runs", "show", str(place), "--json"], ["verify", str(outdir)],
                ["watch", "--once", str(outdir)], ["runs", "lineage", str(table)],
                ["runs", "compare", str(place), str(place)],
                ["publish", str(place), str(tmp_path / "archive")]]  # fmt: skip
    for _ in range(DAMAGES):
        file = chance.choice(files)
        file.write_bytes(damaged(whole[file], chance))
        for command in commands:
            main(command)
            told = capsys.readouterr()
            assert "Traceback" not in told.err + told.out, (command, file.read_bytes())
            assert "unexpected" not in told.err, (command, file.read_bytes(), told.err)
        for run in fovflow.runs(outdir):
            run.metrics()
            assert run.outputs is not None
        file.write_bytes(whole[file])


DAMAGED_RUNS = [
    {"command": "snakemake 'a"},
    {"config": {"outdir": "a/" * 30}},
    {"config": {"outdir": "a\0b"}},
    {"config": {"run": {"alerts": [5]}}},
    {"working_directory": "a\0b"},
    {"workflow": {"commit": 5}},
    {"inputs": [5, {"path": "a\0b", "problems": 5}]},
    {"folder": "g", "folders": {"g": {"tags": [[1]], "metadata": [1]}}},
    {"history": [{"time": TIME, "status": "running", "message": 5}]},
    {"assets": [5], "metrics": 5, "units": 5, "damages": 5, "unrecorded": 5, "folder_details": 5},
]


@pytest.mark.parametrize("keys", DAMAGED_RUNS, ids=str)
def test_a_record_of_a_run_with_odd_values_gives_sentences(recorded, keys, tmp_path, capsys):
    recorded.edit_run(**{"command": "snakemake", "configfiles": ["gone.yaml"], **keys})
    outdir = ["--outdir", str(recorded.outdir)]
    tracks = str(recorded.folder / recorded.name(0, "tracks.csv"))
    for command in (["runs", "show", "calm-otter", *outdir], ["restore", "calm-otter", *outdir],
                    ["verify", str(recorded.outdir)], ["runs", "list", str(recorded.outdir)],
                    ["runs", "lineage", tracks], ["publish", "calm-otter", str(tmp_path), *outdir],
                    ):  # fmt: skip
        main(command)
        assert "unexpected" not in capsys.readouterr().err
    (run,) = fovflow.runs(recorded.outdir)
    assert isinstance(run.folder, dict)


JOB_KEYS = [
    {"wildcards": ["fov"]}, {"wildcards": ["channel", "sample"]}, {"run": ["x"]},
    {"wildcards": {"dataset": DATASET, "fov": "9" * 5000}}, {"job": "\ud800"},
    {"options": {"sha256": ["x"], "script": "a\0b"}}, {"options": {"content": {"a": [1]}}},
]  # fmt: skip


@pytest.mark.parametrize("keys", JOB_KEYS, ids=lambda keys: str(keys)[:40])
def test_a_record_of_a_job_with_odd_values_gives_sentences(recorded, keys, capsys):
    raw = recorded.outdir / "raw.nd2"
    raw.write_text("raw")
    record = recorded.record("track", 1)
    content = {**json.loads(record.read_text(encoding="utf-8")), **keys}
    record.write_text(json.dumps(content), encoding="utf-8")
    attempt = recorded.run.job_file(f"track.{DATASET}.fov_001", 1)
    lines = [json.dumps({**json.loads(line), **keys}) for line in attempt.read_text().splitlines()]
    attempt.write_text("\n".join(lines) + "\n")
    for command in (["verify", str(recorded.outdir)], ["status", str(recorded.outdir)],
                    ["runs", "show", str(recorded.run.path)], ["runs", "lineage", str(raw)],
                    ["runs", "compare", str(recorded.run.path), str(recorded.run.path)],
                    ):  # fmt: skip
        main([*command, *(["--outdir", str(recorded.outdir)] if "lineage" in command else [])])
        assert "unexpected" not in capsys.readouterr().err


@pytest.mark.parametrize("entity", [5, "x", ["x"], {}, {"@id": "#x", "@type": 5},
                                    {"@id": "#y", "@type": "OrganizeAction"},
                                    {"@id": "a.npy", "@type": "File", "contentSize": "9" * 5000,
                                     "sha256": "0"}], ids=lambda e: str(e)[:30])  # fmt: skip
def test_a_manifest_with_odd_entities_is_exported_and_verified(recorded, entity, capsys):
    content = json.loads(recorded.manifest_file.read_text(encoding="utf-8"))
    content["@graph"].append(entity)
    recorded.manifest_file.write_text(json.dumps(content), encoding="utf-8")
    assert main(["verify", str(recorded.outdir)]) == 1
    assert main(["runs", "export", str(recorded.folder)]) == 0
    assert "wasGeneratedBy" in capsys.readouterr().out


def not_json(data: bytes) -> int:
    """Return how many lines hold no JSON object, and are not empty."""
    bad = 0
    for line in data.decode("utf-8", "replace").split("\n"):
        content = None
        with suppress(ValueError, RecursionError):
            content = json.loads(line)
        bad += bool(line.strip()) and not isinstance(content, dict)
    return bad


DAMAGED_FILES = 200


def test_damaged_files_of_events_leave_every_view_and_the_number_of_lines_left_out(
    whole, tmp_path, capsys
):
    recorded = whole.copy_to(tmp_path)
    own = EventFile(recorded.run.path / "events.jsonl")
    for number in range(5):
        own.write("message", message=f"message {number}")
    own.close()
    files = sorted(recorded.run.path.rglob("*.jsonl"))
    original = {file: file.read_bytes() for file in files}
    where = str(recorded.outdir)
    commands = [["runs", "list", where], ["watch", "--once", where], ["verify", where],
                ["status", where], ["runs", "show", where, "--json"]]  # fmt: skip
    chance, number = random.Random(2), 0
    while number < DAMAGED_FILES:
        for file in files:
            data = original[file]
            for _ in range(chance.randint(1, 3)):
                data = damaged(data, chance)
            file.write_bytes(data)
        number += len(files)
        for command in commands:
            main(command)
            told = capsys.readouterr()
            assert "Traceback" not in told.err + told.out, command
            assert "unexpected" not in told.err, (command, told.err)
        shown = json.loads(told.out)
        for file in files:
            bad = not_json(file.read_bytes().rpartition(b"\n")[0])  # the last one may be growing
            name = file.relative_to(recorded.run.path).as_posix()
            assert shown.get("malformed", {}).get(name, 0) >= bad, name
