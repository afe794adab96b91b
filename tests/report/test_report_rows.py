"""The table of FOVs of a dataset that has very many."""

from __future__ import annotations

from fovflow.report.fovs import MOST_ROWS, fov_table
from fovflow.report.summary import DatasetSummary, FovSummary


def summary(fovs: int, bad: tuple[int, ...] = ()) -> DatasetSummary:
    found = DatasetSummary("a")
    found.fovs = [FovSummary(i, "failed" if i in bad else "complete") for i in range(fovs)]
    return found


def test_up_to_the_limit_every_fov_has_a_row():
    text = str(fov_table(summary(MOST_ROWS)))
    assert text.count('class="status complete"') == MOST_ROWS
    assert "rows:" not in text


def test_beyond_the_limit_failed_fovs_stay_and_the_page_says_what_is_left_out():
    text = str(fov_table(summary(5 * MOST_ROWS, bad=(1, 4999, 9999))))
    assert text.count('class="status failed"') == 3
    assert text.count('class="status complete"') == MOST_ROWS - 3
    assert "2,000 of 10,000 rows" in text.replace("\u202f", ",").replace("\u2009", ",")
