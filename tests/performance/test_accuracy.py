import shutil
import subprocess
import sys

import numpy as np
import pytest

from benchmarks import accuracy
from fovflow.simulation import MovieParams
from paths import ROOT


@pytest.mark.slow
def test_the_page_has_the_figures_that_are_measured_now(tmp_path):
    page = ROOT / "docs" / "accuracy.md"
    copy = shutil.copyfile(page, tmp_path / "accuracy.md")
    subprocess.run(
        [sys.executable, "-m", "fovflow", "bench", "accuracy", "--only", "touching",
         "--page", copy],
        cwd=ROOT, check=True, capture_output=True, timeout=600,
    )  # fmt: skip
    made = copy.read_text(encoding="utf-8")
    assert made.count("| SEG | 0.") >= 5
    assert made == page.read_text(encoding="utf-8")


def test_a_table_has_a_column_for_each_set_of_methods():
    figures = {"default": {"SEG": 0.93456, "ids": 1234}, "classic": {"SEG": 0.5, "ids": 7}}
    made = accuracy.table(figures)
    assert made.splitlines() == [
        "|  | default | classic |",
        "| --- | --- | --- |",
        "| SEG | 0.9346 | 0.5 |",
        "| ids | 1234 | 7 |",
    ]
    places = (
        "a\n<!-- accuracy: one -->\n<!-- end -->\nb\n<!-- accuracy: two -->\nold\n<!-- end -->\n"
    )
    filled = accuracy.fill(places, {"one": made})
    assert filled == places.replace("one -->\n", f"one -->\n{made}\n")
    assert accuracy.fill(filled, {"one": "new"}) == places.replace("one -->\n", "one -->\nnew\n")
    with pytest.raises(ValueError, match="0 places for the table 'three'"):
        accuracy.fill(places, {"three": made})


def test_parameters_are_read_by_step():
    options = accuracy.read_options(["segment.split=false", 'track.method="classic"'])
    assert options == {"segment": {"split": False}, "track": {"method": "classic"}}


def test_a_value_that_is_not_known_is_a_dash():
    assert accuracy.table({"unet": {"F1": float("nan")}}).endswith("| F1 | – |")


def test_a_network_is_not_scored_on_what_it_has_seen(tmp_path, monkeypatch):
    frame = np.zeros((32, 32), np.uint8)
    monkeypatch.setattr(
        accuracy, "outlined_frames", lambda: [(str(n), frame, frame) for n in range(10)]
    )
    (tmp_path / "fold0.onnx").write_bytes(b"")
    (tmp_path / "fold0.json").write_text('{"frames": ["1", "phase/5.tif"]}')
    with pytest.raises(SystemExit, match="has seen frames of fifth 0"):
        accuracy.unseen(tmp_path)
    accuracy.unseen.cache_clear()


def test_the_light_of_cells_is_followed_step_by_step():
    params = MovieParams(seed=2, frames=21, height=256, width=256, cells=10)
    found = accuracy.bias(params, {"method": "logstd"})
    assert found["light within the true outline %"] == pytest.approx(-1.3, abs=0.4)
    assert found["light within the outline found %"] < found["light within the true outline %"]
    assert abs(found["light within the outline grown by 2 px %"]) < 0.3
