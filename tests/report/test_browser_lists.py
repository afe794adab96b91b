"""Lists of the report in a real browser: fields, cells, conditions, and what is in doubt."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from fovflow.tables import read_csv, write_csv

pytestmark = pytest.mark.slow


def test_fields_are_coloured_by_focus_and_drift(opened, folder):
    folder.add(fovs=2, cells=6, frames=6)
    path = folder.layout.file("traces", "plate", 1)
    table = read_csv(path)
    table["position_x"] = table["position_x"] + 2.5 * table["frame"]
    write_csv(path, table | {"sharpness_ch_0": 0.5 + 0.0 * table["cell"]})
    folder.let_browse()
    folder.write()
    seen = opened(folder.path / "report.html")
    seen.go("fields", "#browser .grid a")
    told = seen.page.locator("#browser .grid span")
    for number, shown in (
        ("drift of all cells (pixels)", ["0", "12.5"]),
        ("median sharpness of cells (focus)", ["complete", "0.5"]),
    ):
        seen.page.select_option("#browser select", number)
        assert told.all_inner_texts() == shown


def test_cells_are_filtered_sorted_and_caught_with_a_lasso(seen):
    seen.go("cells", "canvas.scatter")
    rows = seen.page.locator("#browser tbody tr")
    assert rows.count() == 8
    seen.page.select_option("label:has-text('show') select", "without a good frame")
    assert rows.count() == 2
    seen.page.select_option("label:has-text('show') select", "all cells")
    seen.page.get_by_role("button", name="GFP: intensity total (counts)").click()
    seen.page.get_by_role("button", name="GFP: intensity total (counts)").click()
    assert rows.first.inner_text().split()[:2] == ["0", "4"]
    seen.page.select_option("label:has-text('across') select", "x")
    box = seen.page.locator("canvas.scatter").bounding_box()
    width, height = box["width"], box["height"]
    corners = [(0.1, 0.4), (0.5, 0.4), (0.5, 0.97), (0.1, 0.97), (0.1, 0.4)]
    seen.page.mouse.move(box["x"] + corners[0][0] * width, box["y"] + corners[0][1] * height)
    seen.page.mouse.down()
    for x, y in corners[1:]:
        seen.page.mouse.move(box["x"] + x * width, box["y"] + y * height, steps=4)
    seen.page.mouse.up()
    seen.page.wait_for_selector("text=in the lasso")
    assert {row.split()[1] for row in rows.all_inner_texts()} == {"1", "2"}
    rows.first.click()
    seen.page.wait_for_selector(".judge")


def test_rows_of_long_lists_are_made_as_they_come_into_sight(opened, folder):
    folder.add(fovs=2, cells=90, frames=3, size=300)
    folder.let_browse()
    folder.write()
    seen = opened(folder.path / "report.html", viewport={"width": 1200, "height": 700})
    seen.go("cells", "canvas.scatter")
    seen.page.wait_for_selector("p:has-text('Loading')", state="detached")
    rows = seen.page.locator("#browser tbody tr")
    made = [rows.count()]
    while len(made) < 20 and made[-1] < 180:
        seen.page.locator(".scroll").evaluate("(each) => { each.scrollTop = each.scrollHeight; }")
        seen.page.wait_for_timeout(50)
        made.append(rows.count())
    assert made[0] < 100
    assert made[-1] == 180
    for _ in "ud":
        seen.page.locator("th button").nth(1).click()
    assert [row.split()[1] for row in rows.all_inner_texts()[:3]] == ["90", "90", "89"]


def test_the_review_list_begins_with_the_most_doubtful_and_shows_progress(opened, folder):
    folder.add(fovs=1, cells=4, frames=6, size=64)
    path = folder.layout.file("traces", "plate", 0)
    table = read_csv(path)
    half = (table["cell"] == 2) & (table["frame"] < 3)
    table["good"] = np.where(half, False, table["good"])
    write_csv(path, table)
    folder.let_browse()
    folder.write()
    seen = opened(folder.path / "report.html")
    seen.go("review", ".review li")
    first = seen.page.locator(".review li").first.inner_text()
    assert "cell 2" in first
    assert "good in 50 % of its frames" in first
    seen.page.keyboard.press("n")
    seen.page.wait_for_selector("h3:has-text('Cell 2')")
    seen.page.keyboard.press("a")
    seen.go("review", ".review li.done")
    assert "1 of" in seen.page.inner_text("#view")


def test_conditions_lead_to_replicates_and_to_cells(seen, folder):
    folder.analyse()
    folder.write()
    seen.page.reload()
    seen.go("fields", "#browser .grid a")
    seen.page.select_option("#browser select", "condition")
    tiles = seen.page.locator("#browser .grid a")
    assert [text.split()[1] for text in tiles.all_inner_texts()] == ["control", "drug"]
    seen.go("conditions", "#view details")
    words = seen.page.locator("#view details").all_inner_texts()
    assert words[0].startswith("control: 1 replicate, 3 good cells; median of the replicates 203")
    assert "<b>drug<∕b>, replicate d2: median 203" in words[1]
    seen.page.select_option("#view select", "G0 (a.u.), decay of GFP: intensity total (counts)")
    words = seen.page.locator("#view details").all_inner_texts()
    assert words[1].startswith("drug: 1 replicate, 3 good cells; median of the replicates 150")
    box = seen.page.locator("canvas.scatter").bounding_box()
    found = False
    for x in range(0, int(box["width"]), 4):  # the cell with the greatest value is at the top
        seen.page.mouse.move(box["x"] + x, box["y"] + box["height"] * 30 / 620)
        found = found or ", cell 2: 200" in seen.page.inner_text("#view .hint")
    assert found
    seen.page.locator("#view details a").first.click()
    seen.page.wait_for_selector("p:has-text('Loading')", state="detached")
    assert seen.page.locator("#browser tbody tr").count() == 4
    seen.go("conditions", "#view details")
    seen.page.locator("#view details").nth(1).get_by_role("link", name="1", exact=True).click()
    seen.page.wait_for_selector("text=plate · FOV 1")


def test_frames_far_from_the_rest_are_named(opened, folder):
    folder.add(fovs=2, cells=30, frames=8, size=120)
    path = folder.layout.file("segment_frames", "plate", 1, 0)
    table = read_csv(path)
    table["n_objects"][5] = 2
    write_csv(path, table)
    folder.let_browse()
    folder.write()
    seen = opened(folder.path / "report.html")
    seen.go("fields", "canvas.heat")
    assert "FOV 1, frame 5: 2 cells (median 30)." in seen.page.inner_text("#view")
    seen.page.click("text=FOV 1, frame 5")
    seen.page.wait_for_selector("text=plate · FOV 1")


def test_ids_and_counts_are_told_to_the_last_digit(opened, folder):
    folder.add(fovs=1, cells=4, frames=3, size=64)
    path = folder.layout.file("traces", "plate", 0)
    write_csv(path, (table := read_csv(path)) | {"cell": table["cell"] + 12340})
    path = folder.layout.file("segment_frames", "plate", 0, 0)
    write_csv(path, (table := read_csv(path)) | {"n_objects": table["frame"] + 12344})
    folder.let_browse()
    folder.write()
    seen = opened(folder.path / "report.html")
    seen.go("fov/plate/0", ".listed table")
    first = seen.page.locator("#browser tbody td").first
    assert first.inner_text() == "12341"
    seen.go("fields", ".heat")
    assert "at most 12346" in (seen.page.get_attribute(".heat", "aria-label") or "")


def test_the_number_of_a_cell_is_that_of_its_good_measurements(opened, folder):
    folder.add(fovs=1, cells=3, frames=5, size=64)
    path = folder.layout.file("traces", "plate", 0)
    table = read_csv(path)
    bad = (table["cell"] == 2) & (table["frame"] < 4)
    write_csv(path, table | {"good": table["good"] & ~bad})
    folder.let_browse()
    folder.write()
    seen = opened(folder.path / "report.html")
    seen.go("fov/plate/0", ".listed table")
    place = (
        seen.page.locator("#browser th").all_inner_texts().index("GFP: intensity total (counts)")
    )
    rows = seen.page.locator("#browser tbody tr").all_inner_texts()
    assert [row.split("\t")[place] for row in rows] == ["102", "204", "302"]


def test_a_field_without_cells_has_none_to_go_to(opened, folder):
    folder.add(fovs=1, cells=3, frames=3, size=64)
    path = folder.layout.file("traces", "plate", 0)
    write_csv(path, {name: column[:0] for name, column in read_csv(path).items()})
    folder.let_browse()
    folder.write()
    seen = opened(folder.path / "report.html")
    seen.go("fov/plate/0", ".listed table")
    for key in ("ArrowDown", "ArrowUp", "a"):
        seen.page.keyboard.press(key)
    assert seen.page.inner_text(".card h3") == "0 cells"
    assert seen.page.url.endswith("#fov/plate/0")


def test_fields_of_a_large_project_are_shown(opened, folder):
    """More counts of cells than a function can take as arguments."""
    folder.add(fovs=1, cells=4, frames=3, size=64)
    folder.let_browse()
    text = folder.write()
    start = text.index('id="browse-index"')
    start = text.index("{", start)
    index = json.loads(text[start : text.index("</script>", start)])
    (fov,) = index["datasets"][0]["fovs"]
    fov["objects"] = [None, *([7.0] * 300_000), 9.0]
    page = folder.path / "large.html"
    end = text.index("</script>", start)
    page.write_text(text[:start] + json.dumps(index) + text[end:], "utf-8")
    seen = opened(page)
    seen.go("fields", ".heat")
    assert "dark: 7 cells, bright: 9" in seen.page.inner_text("#view")


def test_a_channel_keeps_its_name_where_datasets_have_it_at_other_places(
    opened, folder, monkeypatch
):
    params = sys.modules[type(folder).__module__].PARAMS
    monkeypatch.setitem(
        params, "browse", {"columns": ["intensity_total_ch_1"], "channels": {1: "GFP"}}
    )
    folder.add("one", fovs=1, cells=3, frames=5, size=64)
    folder.let_browse("one")
    browse = {
        "columns": ["intensity_total_ch_1", "intensity_total_ch_2"],
        "channels": {1: "RFP", 2: "GFP"},
    }
    monkeypatch.setitem(params, "browse", browse)
    folder.add("two", fovs=1, cells=3, frames=5, fl=(1, 2), size=64)
    path = folder.layout.file("traces", "two", 0)
    write_csv(
        path, (table := read_csv(path)) | {"intensity_total_ch_2": 9e4 + 0.5 + 0.0 * table["cell"]}
    )
    folder.let_browse("two")
    folder.write()
    seen = opened(folder.path / "report.html")
    seen.go("cells", "#browser tbody tr >> nth=5")
    heads = seen.page.locator("#browser th").all_inner_texts()
    rows = [row.split("\t") for row in seen.page.locator("#browser tbody tr").all_inner_texts()]
    green, red = (heads.index(f"{name}: intensity total (counts)") for name in ("GFP", "RFP"))
    told = {(row[0], row[2]): (row[green], row[red]) for row in rows}
    assert told["one", "1"] == ("102", "–")
    assert told["two", "1"] == ("90000", "102")
    options = seen.page.locator("label:has-text('across') option").all_inner_texts()
    assert options.count("GFP: intensity total (counts)") == 1


def test_fields_without_numbers_count_in_none(opened, folder):
    failed = {"status": "failed", "step": "segment", "error": "disk full"}
    folder.add(fovs=2, cells=4, size=64, statuses=dict.fromkeys(range(2, 7), failed))
    folder.let_browse()
    folder.write()
    seen = opened(folder.path / "report.html")
    seen.go("fields", "#browser .grid a")
    assert seen.page.inner_text("#view .hint >> nth=0") == "4 to 4, median 4."
    seen.page.select_option("#browser select", "median frames of a cell")
    assert seen.page.inner_text("#view .hint >> nth=0") == "6 to 6, median 6."


@pytest.mark.parametrize("lost", ["good", "values"])
def test_cells_are_doubted_without_good_rows_and_without_values(opened, folder, lost):
    folder.add(fovs=1, cells=4, frames=6, size=64)
    path = folder.layout.file("traces", "plate", 0)
    table = read_csv(path)
    late = (table["cell"] == 2) & (table["frame"] < 3)
    table = {name: column[~late] for name, column in table.items()}
    if lost == "good":
        table["good"] = np.zeros(len(table["cell"]), bool)
    else:
        some = np.isin(table["cell"], [2, 3])
        table["intensity_total_ch_1"] = np.where(some, np.nan, table["intensity_total_ch_1"])
    write_csv(path, table)
    folder.let_browse()
    folder.write()
    seen = opened(folder.path / "report.html")
    seen.go("review", ".review li")
    assert "begins in frame 3" in seen.page.inner_text(".review li:has-text('cell 2')")


def test_n_goes_on_to_the_next_doubtful_cell_that_nothing_was_said_of(opened, folder):
    folder.add(fovs=1, cells=5, frames=6, size=64)
    path = folder.layout.file("traces", "plate", 0)
    table = read_csv(path)
    table["good"] = table["frame"] >= table["cell"]  # all are doubtful
    write_csv(path, table)
    folder.let_browse()
    folder.write()
    seen = opened(folder.path / "report.html")
    seen.go("review", ".review li")
    order = [
        text.split("\n")[0].split()[-1]
        for text in seen.page.locator(".review li").all_inner_texts()
    ]
    seen.page.keyboard.press("n")
    for cell in (*order, *order[:2]):
        seen.page.wait_for_selector(f"h3:has-text('Cell {cell}')")
        seen.page.keyboard.press("n")
    seen.page.wait_for_selector(f"h3:has-text('Cell {order[2]}')")
    seen.page.keyboard.press("c")
    seen.page.get_by_label("Comment").fill("looks fine")
    seen.page.keyboard.press("Enter")
    seen.go(f"fov/plate/0/{order[1]}", f"h3:has-text('Cell {order[1]}')")
    seen.page.keyboard.press("n")
    seen.page.wait_for_selector(f"h3:has-text('Cell {order[3]}')")


def test_samples_of_one_replicate_are_one_replicate(seen, folder):
    folder.analyse()
    table = folder.path / "analysis" / "samples.csv"
    table.write_text(table.read_text("utf-8").replace(",drug,d2,", ",control,d1,"), "utf-8")
    folder.write()
    seen.page.reload()
    seen.go("conditions", "#view details")
    words = seen.page.inner_text("#view details")
    assert words.startswith("control: 1 replicate of 2 samples, 6 good cells; median of the")
    seen.page.select_option("#view select", "G0 (a.u.), decay of GFP: intensity total (counts)")
    assert "day 1, replicate d1: median 150 of 2 cells, 1 without a value" in seen.page.inner_text(
        "#view details"
    )
    table.write_text(table.read_text("utf-8").replace(",control,d1,", ",control,,"), "utf-8")
    folder.write()
    seen.page.reload()
    seen.go("conditions", "#view details")
    assert "no replicates are named" in seen.page.inner_text("#view details")


def test_cells_without_a_value_come_last_in_either_order(seen, folder):
    path = folder.layout.file("traces", "plate", 0)
    table = read_csv(path)
    some = table["cell"] == 2
    table["intensity_total_ch_1"] = np.where(some, np.nan, table["intensity_total_ch_1"])
    write_csv(path, table)
    folder.let_browse()
    folder.write()
    seen.page.reload()
    seen.go("fov/plate/0", ".listed table")
    for first in ("1", "4"):
        seen.page.get_by_role("button", name="GFP: intensity total (counts)").click()
        rows = [
            text.split("\t")[0] for text in seen.page.locator("#browser tbody tr").all_inner_texts()
        ]
        assert (rows[0], rows[-1]) == (first, "2")


def test_equal_numbers_of_cells_are_told_as_they_are(seen):
    seen.go("fields", "#browser .heat")
    assert "4 cells in each" in seen.page.inner_text("#view .hint:has-text('One row')")


def test_cells_of_all_frames_that_were_acquired_are_in_no_doubt(opened, folder):
    folder.add(fovs=1, cells=4, frames=6, size=64, flags={0: "missing", 5: "missing"})
    path = folder.layout.file("traces", "plate", 0)
    table = read_csv(path)
    there = np.isin(table["frame"], [1, 2, 3, 4])
    write_csv(path, {name: column[there] for name, column in table.items()})
    folder.let_browse()
    folder.write()
    seen = opened(folder.path / "report.html")
    seen.go("review", "#view h2:has-text('No cell is in doubt')")


def test_a_field_that_differs_from_equal_ones_is_named(opened, folder):
    folder.add(fovs=5, cells=4, size=64)
    table = read_csv(path := folder.layout.file("traces", "plate", 3))
    one = table["cell"] == 1
    write_csv(path, {name: column[one] for name, column in table.items()})
    folder.let_browse()
    folder.write()
    seen = opened(folder.path / "report.html")
    seen.go("fields", "#browser .grid a.odd")
    words = seen.page.inner_text("#view .hint >> nth=0")
    assert words == "1 to 4, median 4. Far from the others: FOV 3."
