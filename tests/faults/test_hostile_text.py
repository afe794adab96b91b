"""YAML that multiplies, and text that is nested or long beyond reason."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from fovflow.errors import ConfigError, FovflowError
from fovflow.events import EventTail, from_line, read_events
from fovflow.records import MOST_MERGED, parse_yaml, read_json, read_yaml
from fovflow.runs.checks import Finding, Report, read_object

MEMORY = 1 << 30
"""Address space of the process that reads configurations, in bytes."""

MOST_MIB = 150
MOST_CPU_S = 30


def multiplied(start: str, more: str, levels: int) -> str:
    """Return YAML in which each anchor has the one before ten times."""
    lines = [f"a0: &a0 {start}"]
    for i in range(1, levels):
        lines.append(f"a{i}: &a{i} {more.format(', '.join([f'*a{i - 1}'] * 10))}")
    return "\n".join(lines) + "\n"


LAUGHS = multiplied("[x, x]", "[{}]", 14)
MERGES = multiplied("{x: 1}", "{{<<: [{}]}}", 12)
DATASET = "datasets: {a: {path: x}}\n"

HOSTILE = {
    "laughs": (LAUGHS + "datasets: *a13\n", "datasets: [[[[[[[...], [...]"),
    "laughs as many": (LAUGHS + DATASET + "fovs: *a13\nsteps: *a13\n", "fovs: [[[[[[[...]"),
    "merges": (MERGES + "datasets: *a11\n", f"found: more than {MOST_MERGED} keys"),
    "deep lists": ("datasets: " + "[" * 50_000 + "]" * 50_000, "recursion depth"),
    "deep mappings": ("datasets: " + "{a: " * 50_000 + "}" * 50_000, "recursion depth"),
    "itself": ("datasets: &a {a: *a}\n", "datasets.a.path: this key must be given"),
    "a number": (f"outdir: {'9' * 10**6}\n{DATASET}", "Exceeds the limit"),
}

READ_ALL = """
import json, resource, sys
from pathlib import Path
from fovflow.adapter.attempt import peak_memory_mib
from fovflow.config import load_config
from fovflow.errors import FovflowError
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[2]),) * 2)
resource.setrlimit(resource.RLIMIT_CPU, (int(sys.argv[3]),) * 2)
for path in sorted(Path(sys.argv[1]).iterdir()):
    try:
        load_config(path)
        said = "read"
    except FovflowError as error:
        said = str(error)
    print(json.dumps([path.stem, said, peak_memory_mib()]), flush=True)
"""


def test_hostile_configurations_are_refused_in_little_memory(tmp_path):
    for name, (text, _) in HOSTILE.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    done = subprocess.run(
        [sys.executable, "-c", READ_ALL, str(tmp_path), str(MEMORY), str(MOST_CPU_S)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-500:] + done.stderr[-1000:]
    told = {name: (said, peak) for name, said, peak in map(json.loads, done.stdout.splitlines())}
    assert set(told) == set(HOSTILE)
    for name, (_, expected) in HOSTILE.items():
        said, peak = told[name]
        assert expected in said, name
        assert len(said) < 10_000, name
        assert peak < MOST_MIB, name


def test_records_with_merges_without_end_are_refused(tmp_path):
    path = tmp_path / "record.yaml"
    path.write_text(MERGES)
    with pytest.raises(FovflowError, match=f"more than {MOST_MERGED} keys"):
        read_yaml(path)
    path.write_text("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\n")
    assert read_yaml(path)["b"] == parse_yaml(path.read_text())["b"] == {"x": 1, "y": 3}


READ_RECORD = """
import sys
from fovflow.errors import FovflowError
from fovflow.results import load_results
from fovflow.runs.verify import verify
try:
    load_results(sys.argv[1])
except FovflowError as error:
    print(error)
print(*verify(sys.argv[1]).findings, sep="\\n")
"""

HOSTILE_RECORDS = {
    "deep lists": ("results_paths: " + "[" * 10**6, "nested more than 100 deep"),
    "deep blocks": ("results_paths:\n" + "- " * 10**5 + "x", "nested more than 100 deep"),
    "deep mappings": ("results_paths: " + "{a: " * 10**5, "nested more than 100 deep"),
    "laughs": (LAUGHS + "results_paths: {0: {pc: *a13}}\n", "references that stand for more than"),
    "itself": ("results_paths: &a {0: *a}\n", "references that stand for more than"),
}


@pytest.mark.parametrize("name", HOSTILE_RECORDS)
def test_hostile_results_files_are_refused_by_a_sentence(tmp_path, name):
    text, expected = HOSTILE_RECORDS[name]
    (tmp_path / "processing_results.yaml").write_text(text)
    done = subprocess.run(
        [sys.executable, "-c", READ_RECORD, str(tmp_path)],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-500:]
    assert done.stdout.count(expected) == 2
    assert len(done.stdout) < 2000


@pytest.mark.parametrize("line", ["[" * 10**5, '{"v":1,"a":' * 10**5, f'{{"v": {"9" * 5000}}}'])
def test_lines_of_events_that_are_nested_or_long_are_left_out(tmp_path, line):
    assert from_line(line) is None
    good = '{"v": 1, "time": "t", "type": "event", "message": "here"}'
    path = tmp_path / "events.jsonl"
    path.write_text(f"{line}\n{good}\n")
    assert [event["message"] for event in read_events(path)] == ["here"]
    assert [event["message"] for event in EventTail(path).read()] == ["here"]
    with pytest.raises(FovflowError, match="is not a readable JSON file"):
        read_json(path)


def test_a_record_with_many_keys_is_read_in_time(tmp_path):
    path = tmp_path / "many.json"
    keys = ", ".join(f'"{i}": 0' for i in range(200_000))
    path.write_text(f'{{{keys}, "7": 1}}')
    before = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    report = Report()
    content = read_object(path, "many.json", report)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_utime - before < MOST_CPU_S
    assert content is not None
    assert len(content) == 200_000
    assert report.findings == [Finding("many.json", "the key '7' stands twice")]


@pytest.mark.parametrize("text", ["x" * 200_000, 'a\t"' + "x\n" * 100_000])
def test_hostile_tables_of_datasets_are_refused(tmp_path: Path, text: str):
    from fovflow.config.load import read_datasets

    path = tmp_path / "datasets.tsv"
    path.write_text(f"dataset\tpath\n{text}\n")
    with pytest.raises(ConfigError, match=r"datasets\.tsv"):
        read_datasets(path)
