"""What a notebook shows of results, outcomes and runs: small, escaped, without paths."""

from __future__ import annotations

import re
from base64 import b64decode
from html.parser import HTMLParser

import cv2
import numpy as np

import fovflow
from fovflow.driver import RunOutcome
from fovflow.results import load_results


class Words(HTMLParser):
    """The texts of a page, and its tags."""

    def __init__(self, page: str):
        super().__init__()
        self.texts: list[str] = []
        self.tags: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_results_show_a_table_of_fovs_and_cells_with_outlines(folder):
    failed = {"status": "failed", "step": "segment", "error": "<b>no</b> light"}
    folder.add("<i>p", fovs=3, cells=4, size=64, statuses={2: failed})
    shown = load_results(folder.path / "<i>p")._repr_html_()
    found = Words(shown)
    assert found.texts[0] == "<i>p: 2 of 3 FOVs complete, 8 cells, 6 of them good"
    rows = " ".join(found.texts)
    assert "2 failed – – segment <b>no</b> light 0 complete 4 3 1 complete 4 3" in rows
    assert found.tags == {"div", "b", "table", "thead", "tbody", "tr", "th", "td", "img"}
    assert str(folder.path) not in shown
    data = np.frombuffer(b64decode(re.search("base64,([^']+)", shown)[1]), np.uint8)
    picture = cv2.imdecode(data, cv2.IMREAD_COLOR).astype(int)
    assert picture.shape == (260, 260, 3)
    assert np.ptp(picture, axis=2).max() > 100  # outlines have colours
    assert len(shown) < 200_000


def test_many_fovs_and_lost_stacks_keep_it_small(folder):
    folder.add(fovs=30, kept=frozenset())
    shown = load_results(folder.path / "plate")._repr_html_()
    assert shown.count("<tr>") == 11
    assert "and 20 more" in shown
    assert "<img" not in shown


def test_an_outcome_tells_what_went_wrong(folder):
    failed = {"status": "failed", "step": "segment", "error": "<b>no</b> light"}
    folder.add(fovs=2, statuses={1: failed})
    results = load_results(folder.path / "plate")
    outcome = RunOutcome(
        False, {"plate": results}, {"plate": [results.fovs[1]]}, {"other": ["no <i>file"]}, 1
    )
    texts = Words(outcome._repr_html_()).texts
    assert texts[:7] == [
        "not everything was made", "dataset", "what went wrong", "other", "no <i>file", "plate",
        "FOV 1: segment <b>no</b> light",
    ]  # fmt: skip
    assert Words(RunOutcome(True)._repr_html_()).texts == ["everything was made"]


def test_a_run_shows_its_last_numbers_and_its_last_picture(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((4, 4), np.uint8))
    with fovflow.Run(outdir=tmp_path / "results") as run:
        run.init("<b>n", tags=["docs"])
        run.log_metrics({"loss": 0.5})
        run.log_metrics({"loss": 0.25})
        run.update_metadata({"dose": "<i>2</i>"})
        run.save(str(tmp_path / "a.png"), "output")
        shown = run._repr_html_()
        (recorded,) = fovflow.runs(tmp_path / "results")
        assert recorded._repr_html_() == shown
    texts = Words(shown).texts
    assert texts[0] == "script <b>n"
    for name, value in (("status", "running"), ("dose", "<i>2</i>"), ("loss", "0.25")):
        assert texts[texts.index(name) + 1] == value
    assert shown.count("data:image/png;base64") == 1
    assert str(tmp_path) not in shown
    assert "no run" in fovflow.Run(mode="disabled")._repr_html_()
