"""The benchmarks run, measure what their tables say, and the page agrees with its figures."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pytest

from benchmarks import page, plan, reaches, rendering, tables
from benchmarks.charts import Axis
from benchmarks.measuring import Sample, in_turn, run_measured
from paths import ROOT

STEPS = ["copy", "segment", "correct", "track", "extract"]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, str]:
    """Figures of a run over next to nothing, and what it printed."""
    file = tmp_path_factory.mktemp("bench") / "figures.json"
    command = [sys.executable, "-m", "benchmarks", "--plan", "tiny", "--json", str(file)]
    command += ["--folder", str(file.parent)]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert [path.name for path in file.parent.iterdir()] == [file.name], "nothing else stays"
    return json.loads(file.read_text(encoding="utf-8")), done.stdout


def committed() -> dict:
    return json.loads((ROOT / "docs" / "performance.json").read_text(encoding="utf-8"))


@pytest.mark.slow
@pytest.mark.workflow
def test_every_step_and_run_is_measured(tiny):
    found, text = tiny
    assert [row["step"] for row in found["jobs"]] == STEPS
    assert list(reaches.default_arrays(found)) == STEPS
    for row in found["jobs"]:
        assert 20 < row["peak_mib"] < 2000
        assert 20 < row["peak_mib_few"] < 2000
        assert row["moving_ms"]["rounds"] == row["job_ms"]["rounds"]
    run = found["run"]
    assert run["jobs"] == 8, "six steps, results, report"
    assert run["wall_s"] == pytest.approx(run["work_s"] + run["overhead_s"])
    assert run["output_bytes"] > run["raw_bytes"] > 0
    assert run["times_floor"] == pytest.approx(run["walls"]["least"] / run["floor"]["least"])
    assert found["recording"]["events"] > 10
    for title, make in tables.TABLES.values():
        assert f"{title}\n\n{make(found)}" in text


@pytest.mark.slow
@pytest.mark.workflow
def test_ratios_are_of_measured_numbers(tiny):
    found, _ = tiny
    with_plain = [row for row in found["arrays"] if row["reference_ms"]]
    assert {row["step"] for row in with_plain} == set(STEPS) - {"copy"}
    for row in found["arrays"]:
        own = row["arrays_ms"]["least"]
        assert 0 < own <= row["arrays_ms"]["median"]
        assert row["times_copy"] == pytest.approx(own / row["copy_ms"]["least"])
    for row in with_plain:
        ratio = row["reference_ms"]["least"] / row["arrays_ms"]["least"]
        assert row["faster_than_reference"] == pytest.approx(ratio)


def test_calls_are_measured_in_turn_on_frames_of_their_own():
    order, frames = [], [{"a": np.arange(4)}]

    def call(name, seen):
        order.append(name)
        assert seen[0]["a"].tolist() == [0, 1, 2, 3]
        seen[0]["a"][:] = 9

    calls = {name: lambda seen, name=name: call(name, seen) for name in ("own", "plain")}
    spent = in_turn(calls, frames, 3, once=("plain",))
    assert order == ["own", "own", "plain", "own", "own", "plain"]
    assert (spent["own"].rounds, spent["plain"].rounds) == (3, 2)


def test_a_process_is_measured_with_its_children(tmp_path):
    burn = "import time\nwhile time.process_time() < 0.3: pass"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {burn!r}])"
    code += "; open('x', 'wb').write(bytes(3_000_000))"
    cost = run_measured([sys.executable, "-c", code], tmp_path)
    assert 0.3 <= cost.cpu_s <= 10
    assert cost.written_bytes is None or 3_000_000 <= cost.written_bytes < 4_000_000
    with pytest.raises(SystemExit, match="oh no"):
        run_measured([sys.executable, "-c", "raise SystemExit('oh no')"], tmp_path)


def test_samples_are_least_and_median():
    assert Sample.of([3.0, 1.0, 2.0, 9.0]).times(10) == {
        "least": 10.0, "median": 25.0, "rounds": 4,
    }  # fmt: skip


def test_a_long_movie_shows_its_frames_back_and_forth(tmp_path):
    scene = rendering.Scene(64, 3, 4, fovs=2)
    phase, light = rendering.stacks(scene)
    assert phase.shape == light.shape == (4, 64, 64)
    rendering.write_raw(scene, tmp_path / "raw.nd2")
    assert (tmp_path / "raw.nd2").stat().st_size > scene.raw_bytes
    shown = [rendering.back_and_forth(t, rendering.RENDERED) for t in range(1000)]
    assert set(np.abs(np.diff(shown))) == {1}


@pytest.mark.parametrize(
    ("aim", "measured", "at_least", "words"),
    [
        (100.0, 80.0, False, "met"),
        (100.0, 250.0, False, "missed: 2.5 × as much"),
        (15.0, 15.0, True, "met"),
        (20.0, 5.0, True, "missed: 25% of it"),
    ],
)
def test_a_reach_says_by_how_much_it_is_missed(aim, measured, at_least, words):
    assert reaches.Reach("x", aim, measured, "{:.0f}", at_least).verdict == words


def test_a_logarithmic_axis():
    axis = Axis(1, 100, 0, 200, log=True)
    assert [axis(value) for value in (0.1, 1, 10, 100)] == [0, 0, 100, 200]
    assert axis.marks() == [1, 10, 100]


def test_the_full_plan_grows_everything_to_its_end():
    grown = {what: [scene for scene, _ in points] for what, points in plan.FULL.growth.items()}
    assert set(grown) == set(plan.GROWTH)
    assert [scene.size for scene in grown["size"]] == [512, 1024, 2048, 4096]
    assert grown["frames"][-1].frames == 2000
    assert [grown["cells"][i].cells for i in (0, -1)] == [10, 3000]
    assert [(scene.fovs, scene.frames) for scene in grown["fovs"]][-1] == (100, 100)
    cores = [(scene.fovs, cores) for scene, cores in plan.FULL.growth["cores"]]
    assert cores == [(4, 1), (4, 2), (1, 1), (1, 2)]


def test_the_page_agrees_with_its_figures():
    found = committed()
    text = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    assert set(re.findall(r"<!-- table: (\w+) -->", text)) == set(tables.TABLES)
    assert found["plan"] == "full"
    assert page.fill(text, found) == text, "run `make performance`"
    figure = (ROOT / "docs" / "performance.svg").read_text(encoding="utf-8")
    assert figure == page.draw(found), "run `make performance`"
    drawn = "".join(ElementTree.fromstring(figure).itertext())
    for row in found["jobs"]:
        assert f"| {row['step']} | {row['job_ms']['least']:.1f} " in text
        assert f"{row['job_ms']['least']:.0f}" in drawn


def test_a_changed_figure_changes_the_page():
    found = committed()
    text = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    found["jobs"][0]["job_ms"]["least"] += 1000
    assert page.fill(text, found) != text


@pytest.mark.slow
@pytest.mark.workflow
def test_the_parts_of_a_run_add_up_to_it(tmp_path):
    command = [sys.executable, "-m", "benchmarks.breakdown", "--folder", str(tmp_path)]
    command += ["--size", "96", "--frames", "2", "--fovs", "2", "--rounds", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = [line.strip("| ").split(" | ") for line in done.stdout.splitlines() if " | " in line]
    steps = {row[0]: [float(cell) for cell in row[1:-2]] for row in rows if row[0] in STEPS}
    assert list(steps) == STEPS
    for whole, *parts in steps.values():
        assert 0 < sum(parts) < 1.05 * whole
    told = [row for row in rows if len(row) == 4][2:]  # without head and rule
    parts = {name: float(cpu) for name, _, cpu, _ in told}
    whole = parts.pop("whole run")
    assert abs(parts.pop("unexplained")) < whole / 2
    assert min(parts[name] for name in ("engine", "start", "kernel", "browse")) > 0
    assert {"report", "results"} < {*parts}
    assert not list(tmp_path.iterdir())
