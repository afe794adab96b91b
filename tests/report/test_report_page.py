"""The page: its numbers, its words, nothing but its own bytes, and never anyone else's HTML."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from html.parser import HTMLParser

import numpy as np
import pytest

from fovflow.atomic import write_text
from fovflow.errors import FovflowError
from fovflow.records import read_yaml
from fovflow.resultsform import results_paths, write_results
from fovflow.tables import read_csv, write_csv

ALLOWED = {
    "html", "head", "meta", "title", "style", "body", "header", "main", "footer", "nav", "aside",
    "section", "article", "div", "p", "h1", "h2", "h3", "h4", "span", "b", "i", "small", "code",
    "a", "ul", "li", "dl", "dt", "dd", "figure", "figcaption", "table", "thead", "tbody", "tr",
    "th", "td", "details", "summary", "svg", "g", "path", "line", "rect", "circle", "text",
    "image",
}  # fmt: skip


class Reader(HTMLParser):
    """Collect elements, attributes and text as a browser sees them."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags[tag] += 1
        self.attributes += attrs
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags[tag] += 1
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def check_safe(text: str) -> Reader:
    """Check that there are only our elements, no script, and nothing from elsewhere."""
    page = Reader(text)
    assert page.open == []
    assert set(page.tags) <= ALLOWED
    for name, value in page.attributes:
        assert not name.startswith("on")
        if name in ("href", "src"):
            assert value is not None
            assert value.startswith(("#dataset-", "data:image/png;base64,"))
    assert "url(" not in text
    assert "@import" not in text
    return page


def test_the_head_counts_datasets_fovs_cells_and_good_cells(folder):
    folder.add("a", fovs=2, cells=3)
    folder.add("b", fovs=1, cells=5, frames=1)
    page = check_safe(folder.write())
    assert "All fields of view are complete" in page.text
    assert "2 datasets 3 of 3 FOVs complete 11 cells detected" in page.text
    assert "8 good cells · 73" in page.text
    assert f"{2 * 2 * 6 + 4} good measurements" in page.text


def test_a_dataset_is_described_with_its_table_and_ledger(folder):
    folder.add(fovs=2, cells=3, frames=6)
    page = check_safe(folder.write())
    assert (
        "6 frames · 24 × 24 px, uint16 · 0.5 µm per px · channel 0: Phase, channel 1: Dye 1 · nd2"
        in page.text
    )
    assert page.text.count("complete 6 0 3 2 6 min_frames 1 border 1") == 2
    assert "cells 4 of 6 · 67" in page.text
    assert "measurements 24 of 36 · 67" in page.text
    assert re.search(
        r"Too few frames of the cell remain after the other rules 12 of 36 · 33\s% 2 cells",
        page.text,
    )
    assert re.search(r"border of the frame 12 of 36 · 33\s% 2 cells, first cause of 2", page.text)
    names = "bleaching, focus, invalid, ragged, shading"
    assert f"Not evaluated, as its feature is not extracted: {names}." in page.text
    assert "Dye 1: total intensity 4 good cells" in page.text
    assert "total intensity (counts)" in page.text
    assert "time (min)" in page.text
    assert "n_sigma 4.0 split yes" in page.text
    assert page.tags["image"] == 2 * 3
    titles = [f"plate, FOV {fov}, frame {t}" for fov in (0, 1) for t in (0, 3, 5)]
    assert [page.text.count(title) for title in titles] == [1] * 6


def test_without_fluorescence_the_area_is_plotted(folder):
    folder.add(fl=())
    page = check_safe(folder.write())
    assert "Area of cells" in page.text
    assert "area (µm²)" in page.text


def test_good_cells_without_a_value_of_what_is_plotted_are_told(folder):
    folder.add(fovs=1, cells=4)
    table = read_csv(path := folder.layout.file("traces", "plate", 0))
    some = table["cell"] == 2
    table["intensity_total_ch_1"] = np.where(some, np.nan, table["intensity_total_ch_1"])
    write_csv(path, table)
    assert "2 of 3 good cells with a value; thick: median" in check_safe(folder.write()).text


@pytest.mark.parametrize(
    ("bleach", "fl", "words"),
    [
        ("none", (1,), "not corrected for bleaching"),
        ("exponential", (1,), "corrected for bleaching"),
        (None, (1,), ""),
        ("none", (), ""),
    ],
)
def test_a_plot_of_light_says_whether_bleaching_is_corrected(folder, bleach, fl, words):
    folder.add(fl=fl)
    file = folder.layout.results("plate")
    content = read_yaml(file)
    if bleach:
        content["params"]["correct"] = {"arguments": {"method": "tiles", "bleach": bleach}}
    write_results(file, content)
    text = check_safe(folder.write()).text
    found = re.findall(r"middle half of the cells; ((?:not )?corrected for bleaching)", text)
    assert found == [words] * bool(words)


def test_names_and_errors_that_look_like_html_are_text(folder):
    bad = "<script>alert('1')</script>\"&<img src=x onerror=y>"
    folder.add(
        "<script>x",
        names={0: bad, 1: bad + "\x00\x1b"},
        flags={2: "<b>saturated"},
        statuses={1: {"status": "failed", "step": "<i>", "error": bad}},
        problems=(f"{bad} in a problem",),
    )
    table = folder.layout.file("traces", "<script>x", 0)
    columns = read_csv(table)
    columns["flags"] = np.full(columns["cell"].size, "<script>flag</script>", object)
    write_csv(table, columns)
    text = folder.write()
    page = check_safe(text)
    assert "<script" not in text.lower()
    assert f"{bad}: total intensity" not in text
    assert bad in page.text
    assert f"{bad} in a problem" in page.text
    assert "<b>saturated" in page.text
    assert any(value and "<script>flag" in value for _, value in page.attributes) or (
        "<script>flag" in page.text
    )


def test_the_same_results_elsewhere_give_the_same_bytes(make_folder):
    error = "cannot open {}/plate/fov_001/plate_fov_001_pc_ch_0.npy; found: nothing"
    pages = []
    for name in ("one", "deep/er/two"):
        folder = make_folder(name)
        failed = {"status": "failed", "step": "segment", "error": error.format(folder.path)}
        folder.add(statuses={1: failed})
        text = folder.write()
        assert str(folder.path) not in text
        assert "cannot open …/plate_fov_001_pc_ch_0.npy; found: nothing" in text
        pages.append(text)
        assert folder.write() == text
    assert pages[0] == pages[1]


def test_a_failed_fov_is_told_in_words_and_its_old_traces_do_not_count(folder):
    folder.add(
        fovs=3,
        statuses={
            1: {"status": "failed", "step": "segment", "error": "no light", "frame": 4},
            2: {"status": "outdated", "step": "track"},
        },
    )
    page = check_safe(folder.write())
    assert "1 of 3 fields of view failed" in page.text
    assert "1 of 3 FOVs complete 1 failed 3 cells detected" in page.text
    words = "failed while finding the cells (step segment, at frame 4): no light"
    assert page.text.count(words) == 2
    assert "FOV 2 made with other parameters from the step track on; run again" in page.text
    assert "Dye 1: total intensity 2 good cells" in page.text


def test_the_small_line_in_the_table_is_never_that_of_the_background(folder):
    failed = {"status": "failed", "step": "segment", "error": "no light"}
    folder.add(fovs=1, statuses={0: failed})
    assert folder.write().count('class="spark"') == 1
    (folder.path / "plate" / "fov_000" / "plate_fov_000_seg_ch_0_frames.csv").unlink()
    assert folder.write().count('class="spark"') == 0


def test_a_dataset_that_could_not_be_processed_is_named(folder):
    folder.add("a")
    record = folder.path / "b" / "logs" / "problem.json"
    write_text(record, json.dumps({"status": "failed", "error": "there is no b.nd2"}))
    page = check_safe(folder.write())
    assert "1 dataset has a problem" in page.text
    assert "b there is no b.nd2" in page.text
    given = check_safe(folder.write(names=["b"], problems={"b": ["no channel 'GFP'"]}))
    assert "Nothing could be processed" in given.text
    assert "b no channel 'GFP'" in given.text


def test_stacks_that_were_not_kept_are_told(folder):
    folder.add(kept=frozenset())
    page = check_safe(folder.write())
    assert "No pictures: the stacks were not kept after the run." in page.text
    assert page.tags["image"] == 0
    assert "cells per frame" in page.text


def test_no_cells_at_all(folder):
    folder.add(cells=0, frames=3)
    page = check_safe(folder.write())
    assert "No cell was found." in page.text
    assert "No good cell has a value here." in page.text
    assert "complete 3 0 0 0 –" in page.text


def test_one_frame(folder):
    folder.add(fovs=1, cells=2, frames=1)
    page = check_safe(folder.write())
    assert page.tags["image"] == 1
    assert page.tags["circle"] >= 3


def test_frames_with_flags_are_marked_and_missing_ones_counted(folder):
    folder.add(fovs=1, flags={0: "missing", 1: "missing", 4: "saturated"})
    text = folder.write()
    page = check_safe(text)
    assert page.text.count("frames 0 to 1: missing") == 3
    assert page.text.count("frame 4: saturated") == 3
    assert text.count('class="missing"') == text.count('class="flagged"') == 3
    assert "complete 6 2 3 2 6 min_frames 1 border 1 saturated 1" in page.text  # one frame
    assert [f"plate, FOV 0, frame {t}" in text for t in (0, 2, 4, 5)] == [False, True, True, True]


def test_a_frame_with_several_flags_is_one_flagged_frame(folder):
    folder.add(fovs=1, cells=3, frames=6, fl=(1, 2), flags={4: "saturated; crowded", 5: "crowded"})
    assert "crowded 2 saturated 1" in check_safe(folder.write()).text
    folder.let_browse()
    assert '"flagged":2,' in folder.write()


def test_traces_of_another_program_that_lack_columns_are_told(folder):
    folder.add(fovs=2, cells=3, frames=6)
    path = folder.layout.file("traces", "plate", 1)
    table = read_csv(path)
    write_csv(path, {name: table[name] for name in table if name not in ("flags", "good")})
    page = check_safe(folder.write())
    assert "the traces have no column flags, good: nothing is told of them" in page.text
    assert "complete 6 0 3 2 6" in page.text


def test_what_was_found_of_movies_like_this_one_is_shown(folder):
    folder.add("plate1")
    file = folder.path / "plate1" / "accuracy.json"
    assert "movies like this one" not in folder.write()
    figures = dict.fromkeys(
        ("SEG", "F1", "TRA", "tracks complete", "tracks", "divisions", "divisions found",
         "divisions matched", "good rows %", "frames", "frames flagged"), 2.0
    )  # fmt: skip
    looks = {"measured": {"halo": 1.5}, "simulated": {"halo": 1.4}}
    content = {"cells": {"<b>radius": 9.0}, "looks": looks, "settings": {"frames": 2}}
    write_text(file, json.dumps(content | {"figures": figures}))
    words = "".join(Reader(folder.write()).words)
    assert "<b>radius" in words
    assert "complete tracks           2 of 2" in words
    write_text(file, "[1]")
    assert "accuracy.json is not what" in folder.write()


def test_damaged_files_cost_their_part_only(folder):
    folder.add(fovs=2)
    write_text(folder.layout.file("traces", "plate", 0), "fov,cell\n1\n")
    stack = folder.path / "plate" / "fov_001" / "plate_fov_001_pc_ch_0.npy"
    stack.write_bytes(stack.read_bytes()[:-10])
    page = check_safe(folder.write())
    assert "plate_fov_000_traces.csv, line 2: not as many fields as the header" in page.text
    assert "no pictures: …/plate_fov_001_pc_ch_0.npy does not hold" in page.text
    assert "3 cells detected 2 good cells" in page.text
    write_text(folder.layout.results("plate"), "[1, 2]\n")
    assert "is no results file" in check_safe(folder.write()).text


def test_a_persons_verdicts_win(folder):
    folder.add(fovs=1)
    table = folder.layout.file("traces", "plate", 0)
    columns = read_csv(table)
    columns["good"] = columns["cell"] == 1
    write_csv(table.replace(".csv", "_inspected.csv"), columns)
    page = check_safe(folder.write())
    assert "3 cells detected 1 good cells" in page.text
    assert "Rejected by a person, or without a flag 6 of 18" in page.text


def test_a_folder_without_results_is_named(folder, tmp_path):
    for place in (folder.path, tmp_path / "absent"):
        with pytest.raises(FovflowError, match="holds no results"):
            folder.path = place
            folder.write()


def test_many_fovs_stay_small(folder):
    folder.add(fovs=1, cells=40, frames=30, size=64, kept=frozenset({"pc", "seg_labeled"}))
    first = folder.path / "plate" / "fov_000"
    entry = {str(i): {"status": "complete"} for i in range(200)}
    for i in range(1, 200):
        place = folder.path / "plate" / f"fov_{i:03d}"
        place.mkdir()
        for file in first.iterdir():
            shutil.copyfile(file, place / file.name.replace("fov_000", f"fov_{i:03d}"))
    content = read_yaml(folder.layout.results("plate"))
    channels = {"pc": 0, "fl": [1], "seg": 0}
    paths = {
        str(i): results_paths(folder.layout, "plate", i, channels, frozenset({"pc", "seg_labeled"}))
        for i in range(200)
    }
    write_results(
        folder.layout.results("plate"), {**content, "results_paths": paths, "fovs": entry}
    )
    text = folder.write()
    page = check_safe(text)
    assert len(text) < 3_000_000
    assert page.tags["image"] == 12 * 3
    assert "12 of 200 complete FOVs are shown, spread evenly: 0, 16, 33, 50" in page.text
    assert "7 800 good cells, 200 of them drawn" in page.text
    assert page.text.count("complete 30 0 40 39 30") == 200
