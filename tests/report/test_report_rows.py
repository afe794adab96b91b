"""The table of FOVs of a dataset that has very many."""

from __future__ import annotations

from fovflow.report.gather import FovSummary
from fovflow.report.page import MOST_ROWS, templates


def table(fovs: int, bad: tuple[int, ...] = ()) -> str:
    shown = [FovSummary(i, "failed" if i in bad else "complete") for i in range(fovs)]
    return templates().get_template("fovs.html.j2").module.fov_table(shown)


def test_up_to_the_limit_every_fov_has_a_row():
    text = table(MOST_ROWS)
    assert text.count('class="status complete"') == MOST_ROWS
    assert "rows:" not in text


def test_beyond_the_limit_failed_fovs_stay_and_the_page_says_what_is_left_out():
    text = table(5 * MOST_ROWS, bad=(1, 4999, 9999))
    assert text.count('class="status failed"') == 3
    assert text.count('class="status complete"') == MOST_ROWS - 3
    assert "2,000 of 10,000 rows" in text.replace("\u202f", ",").replace("\u2009", ",")
