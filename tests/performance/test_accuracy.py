import shutil
import subprocess
import sys

import pytest

from benchmarks import accuracy
from paths import ROOT


@pytest.mark.slow
def test_the_page_has_the_figures_that_are_measured_now(tmp_path):
    page = ROOT / "docs" / "accuracy.md"
    copy = shutil.copyfile(page, tmp_path / "accuracy.md")
    subprocess.run(
        [sys.executable, "benchmarks/accuracy.py", "--only", "touching", "--page", copy],
        cwd=ROOT, check=True, capture_output=True, timeout=600,
    )  # fmt: skip
    made = copy.read_text(encoding="utf-8")
    assert made.count("| SEG | 0.") == 2
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
