"""The report in a real browser: every action by clicks and keys, from disk, without a network."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from chromium import Seen, centre

from fovflow.report import write_report
from fovflow.tables import read_csv, write_csv

pytestmark = pytest.mark.slow


def test_the_first_screen_is_the_report_and_leads_to_the_fields(seen):
    assert seen.page.is_visible("h1")
    seen.page.click("text=Look at the cells")
    assert seen.page.is_hidden("h1")
    tiles = seen.page.locator("#browser .grid a")
    assert tiles.count() == 2
    assert "4" in tiles.first.inner_text()
    seen.page.select_option("#browser select", "good cells")
    assert "3" in tiles.first.inner_text()
    seen.page.select_option("#browser select", "median background, Dye 1 (counts)")
    assert tiles.first.inner_text().split() == ["0", "103"]
    tiles.nth(1).click()
    seen.page.wait_for_selector("text=plate · FOV 1")
    seen.page.click("text=‹ Report")
    seen.page.wait_for_selector("h1")


def test_a_click_on_a_cell_shows_its_traces_pictures_and_flags(seen):
    seen.go("fov/plate/0", ".listed table")
    seen.page.wait_for_timeout(300)
    seen.page.locator(".stage").click(position=centre(seen, 4))
    seen.page.wait_for_selector("h3:has-text('Cell 4')")
    card = seen.page.locator(".card")
    assert card.locator("svg.chart").count() == 2
    assert "400 to 405" in card.locator("svg.chart title").nth(1).text_content()
    assert card.locator("svg circle.bad").count() == 12  # six frames in two charts
    seen.page.wait_for_selector(".thumbs button >> nth=2")
    facts = card.locator(".facts").inner_text()
    assert "min_frames" in facts
    assert "The cell is at the border of the frame (6 frames)" in facts
    assert "90 %, before frame" in facts
    assert "most alike\ncell 3, cell 2, cell 1" in facts
    seen.page.locator(".stage").click(position={"x": 5, "y": 300})
    seen.page.wait_for_selector(".card h3:has-text('4 cells')")


def test_arrows_change_frame_and_cell_and_space_plays(seen):
    seen.go("fov/plate/0", ".listed table")
    assert seen.page.inner_text(".clock") == "frame 0 · 0 min"
    seen.page.keyboard.press("ArrowRight")
    assert seen.page.inner_text(".clock") == "frame 2 · 20 min"
    seen.page.keyboard.press("ArrowDown")
    seen.page.wait_for_selector("h3:has-text('Cell 1')")
    seen.page.keyboard.press("ArrowUp")
    seen.page.wait_for_selector("h3:has-text('Cell 4')")
    seen.page.keyboard.press(" ")
    seen.page.wait_for_selector(".clock:has-text('frame 5')")
    seen.page.keyboard.press(" ")
    seen.page.keyboard.press("Escape")
    seen.page.wait_for_selector(".card h3:has-text('4 cells')")


def test_phase_and_fluorescence_lie_side_by_side_and_a_click_in_either_chooses(seen):
    seen.go("fov/plate/0", ".listed table")
    stages = seen.page.locator(".stage")
    assert stages.count() == 1
    seen.page.get_by_role("button", name="Side by side").click()
    seen.page.wait_for_selector(".stage >> nth=1")
    seen.page.wait_for_timeout(400)
    left, right = (stages.nth(k).bounding_box() for k in (0, 1))
    assert (left["y"], left["width"]) == (right["y"], pytest.approx(right["width"], abs=1))
    assert right["x"] > left["x"] + left["width"]
    scale = right["width"] / 64
    stages.nth(1).click(position={"x": (4.5 + 3 * 3) * scale, "y": 6.5 * scale})
    seen.page.wait_for_selector("h3:has-text('Cell 3')")
    seen.page.get_by_role("button", name="Phase", exact=True).click()
    seen.page.wait_for_function("document.querySelectorAll('.stage').length === 1")


def test_a_cell_stays_beside_the_next_ones(seen):
    seen.go("fov/plate/0/2", "h3:has-text('Cell 2')")
    seen.page.keyboard.press("b")
    assert seen.said() == "Cell 2 stays beside the next cells."
    assert seen.page.locator("svg.chart .other").count() == 0
    seen.page.keyboard.press("ArrowDown")
    seen.page.wait_for_selector("h3:has-text('Cell 3')")
    assert seen.page.locator("svg.chart .other").count() == 2
    assert "cell 2, frames 0 to 5, good in 6" in seen.page.inner_text(".pinned")
    assert seen.page.locator(".thumbs").count() == 2
    seen.page.get_by_role("button", name="let go").click()
    assert seen.page.locator("svg.chart .other").count() == 0
    assert seen.page.locator(".thumbs").count() == 1


def test_fields_are_coloured_by_focus_and_drift(browser, folder):
    folder.add(fovs=2, cells=6, frames=6)
    path = folder.layout.file("traces", "plate", 1)
    table = read_csv(path)
    table["position_x"] = table["position_x"] + 2.5 * table["frame"]
    write_csv(path, table | {"sharpness_ch_0": 0.5 + 0.0 * table["cell"]})
    folder.let_browse()
    folder.write()
    seen = Seen(browser, folder.path / "report.html")
    seen.go("fields", "#browser .grid a")
    told = seen.page.locator("#browser .grid span")
    for number, shown in (
        ("drift of all cells (pixels)", ["0", "12.5"]),
        ("median sharpness of cells (focus)", ["complete", "0.5"]),
    ):
        seen.page.select_option("#browser select", number)
        assert told.all_inner_texts() == shown
    seen.context.close()
    assert seen.wrong == []


def test_a_family_is_drawn_over_time_and_leads_to_its_cells(browser, folder):
    folder.add(fovs=1, cells=6, frames=6, size=64)
    folder.let_browse(parents={2: 1, 3: 1, 4: 3, 5: 3, 6: 6})  # one claims to come of itself
    folder.write()
    seen = Seen(browser, folder.path / "report.html")
    seen.go("fov/plate/0/4", "svg.family")
    members = seen.page.locator("svg.family .member")
    assert sorted(members.locator("text").all_text_contents()) == ["1", "2", "3", "4", "5"]
    assert seen.page.text_content("svg.family .chosen") == "4"
    seen.page.locator("svg.family [aria-label='cell 2']").press("Enter")
    assert seen.page.inner_text(".card h3") == "Cell 2"
    members.nth(3).locator("text").click()
    assert seen.page.inner_text(".card h3") == "Cell 3"  # mothers stand between their daughters
    seen.go("fov/plate/0/6", ".card h3")
    seen.page.wait_for_selector("h3:has-text('Cell 6')")
    assert members.count() == 0
    seen.context.close()
    assert seen.wrong == []


def test_outlines_change_what_is_drawn_and_nothing_else_does(seen):
    seen.go("fov/plate/0", ".listed table")
    seen.page.wait_for_timeout(400)

    def inked() -> int:
        return seen.page.evaluate(
            "(() => { const c = document.querySelector('canvas.lines'); "
            "const d = c.getContext('2d').getImageData(0, 0, c.width, c.height >> 1).data; "
            "let n = 0; "
            "for (let i = 3; i < d.length; i += 4) n += d[i] > 0; return n; })()"
        )

    with_outlines = inked()
    seen.page.keyboard.press("o")
    seen.page.wait_for_timeout(200)
    assert with_outlines > 500
    assert inked() == 0
    seen.page.keyboard.press("i")
    seen.page.wait_for_timeout(200)
    assert inked() > 50


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


def test_rows_of_long_lists_are_made_as_they_come_into_sight(browser, folder):
    folder.add(fovs=2, cells=90, frames=3, size=300)
    folder.let_browse()
    folder.write()
    seen = Seen(browser, folder.path / "report.html", viewport={"width": 1200, "height": 700})
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
    seen.context.close()
    assert seen.wrong == []


def test_the_review_list_begins_with_the_most_doubtful_and_shows_progress(browser, folder):
    folder.add(fovs=1, cells=4, frames=6, size=64)
    path = folder.layout.file("traces", "plate", 0)
    table = read_csv(path)
    half = (table["cell"] == 2) & (table["frame"] < 3)
    table["good"] = np.where(half, False, table["good"])
    write_csv(path, table)
    folder.let_browse()
    folder.write()
    seen = Seen(browser, folder.path / "report.html")
    seen.go("review", ".review li")
    first = seen.page.locator(".review li").first.inner_text()
    assert "cell 2" in first
    assert "good in 50 % of its frames" in first
    seen.page.keyboard.press("n")
    seen.page.wait_for_selector("h3:has-text('Cell 2')")
    seen.page.keyboard.press("a")
    seen.go("review", ".review li.done")
    assert "1 of" in seen.page.inner_text("#view")
    seen.context.close()
    assert seen.wrong == []


def test_a_page_without_its_files_says_what_to_do(seen, folder):
    Path(folder.layout.file("browse_numbers", "plate", 0)).unlink()
    seen.go("fov/plate/0", "[role=alert]")
    assert "Copy the whole output folder" in seen.page.inner_text("[role=alert]")
    seen.go("fov/plate/9", "[role=alert]")
    assert "not in this report" in seen.page.inner_text("[role=alert]")
    assert all("ERR_FILE_NOT_FOUND" in each for each in seen.wrong)
    seen.wrong.clear()


def test_fits_are_drawn_over_the_traces_and_told_in_words(seen, folder):
    folder.analyse()
    (table,) = (folder.path / "analysis").glob("day*fitted*")
    lines = table.read_text("utf-8").replace("\n0,1,decay,TRUE,0.99,100", "\n0,1,decay,TRUE,0.99,")
    table.write_text(lines.replace("hit: beta <b>", "hit: beta;ill-conditioned"), "utf-8")
    folder.write()
    seen.page.reload()
    seen.go("fov/plate/1/2", ".fit")
    chart = seen.page.locator("svg.chart").nth(1)
    curve = [part.split() for part in chart.locator(".curve").get_attribute("d")[1:].split("L")]
    assert len(curve) == 96
    assert [float(curve[0][0]), float(curve[-1][0])] == [52, 412]
    heights = [float(y) for _, y in curve]
    assert heights == sorted(heights)  # it decays
    assert chart.locator(".left").get_attribute("d").count("M") == 6  # one for each good row
    facts = seen.page.locator(".fit .facts").inner_text().split("\n")
    assert facts[:4] == ["G0", "200 a.u. (180 to 220)", "beta", "0.5 1/h (0.4 to 0.6)"]
    assert "10 a.u. (held)" in facts
    seen.go("fov/plate/1/3", "h3:has-text('Cell 3')")
    assert seen.page.inner_text(".fit .badge.bad") == "bound hit: beta <b>"
    seen.go("fov/plate/0/3", "h3:has-text('Cell 3')")
    assert seen.page.inner_text(".fit .badge.bad") == "bound hit: beta; ill-conditioned"
    seen.go("fov/plate/0/1", "h3:has-text('Cell 1')")  # G0 and its curve are not known
    assert "No curve is drawn" in seen.page.inner_text(".fit")
    assert seen.page.locator(".curve, .left, .own.under").count() == 0
    seen.go("fov/plate/1/4", "h3:has-text('Cell 4')")  # of no fit
    assert seen.page.locator(".fit").count() == 0


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


def test_a_single_file_holds_the_cells_and_asks_for_no_other(
    browser, make_folder, tmp_path, monkeypatch
):
    folder = make_folder("</script><b>")
    folder.add("plate é+1", fovs=3, cells=4, frames=6, size=64)
    folder.let_browse("plate é+1")
    page = tmp_path / "mailed" / "one.html"
    page.parent.mkdir()
    write_report(page, folder.path, single=True)
    seen = Seen(browser, page)
    seen.go("fov/plate é+1/2/2", "h3:has-text('Cell 2')")
    seen.page.wait_for_selector(".thumbs button >> nth=2")
    assert seen.page.locator("svg.chart .own").count() == 2
    seen.go("cells", "canvas.scatter")
    seen.page.wait_for_selector("p:has-text('Loading')", state="detached")
    assert seen.page.locator("#browser tbody tr").count() == 12
    assert seen.wrong == []
    size = Path(folder.layout.file("browse_pictures", "plate é+1", 0)).stat().st_size
    monkeypatch.setattr("fovflow.report.gather.MOST_EMBEDDED", 3 * size)
    write_report(page, folder.path, single=True)
    assert "lacks the pictures of 1 of 3 FOVs" in page.read_text("utf-8")
    seen.page.reload()
    seen.go("fov/plate é+1/1/2", "h3:has-text('Cell 2')")
    assert "has no pictures of this FOV" in seen.page.inner_text(".trouble")
    assert seen.wrong == []
    seen.context.close()


def test_frames_far_from_the_rest_are_named(browser, folder):
    folder.add(fovs=2, cells=30, frames=8, size=120)
    path = folder.layout.file("segment_frames", "plate", 1, 0)
    table = read_csv(path)
    table["n_objects"][5] = 2
    write_csv(path, table)
    folder.let_browse()
    folder.write()
    seen = Seen(browser, folder.path / "report.html")
    seen.go("fields", "canvas.heat")
    assert "FOV 1, frame 5: 2 cells (median 30)." in seen.page.inner_text("#view")
    seen.page.click("text=FOV 1, frame 5")
    seen.page.wait_for_selector("text=plate · FOV 1")
    seen.context.close()
    assert seen.wrong == []


def test_names_of_all_kinds_are_text(browser, make_folder):
    folder = make_folder("</script><b>ä & #1")
    name = "plate é+1"
    folder.add(name, fovs=1, names={0: "<img src=x onerror=alert(1)>", 1: "</script><b>&amp;"},
               positions={"0": "<script>alert(1)</script>"})  # fmt: skip
    folder.let_browse(name)
    folder.write()
    seen = Seen(browser, folder.path / "report.html")
    seen.page.click("text=Look at the cells")
    seen.page.locator("#browser .grid a").first.click()
    seen.page.wait_for_selector(f"text={name} · FOV 0")
    assert "<script>alert(1)</script>" in seen.page.inner_text(".title")
    assert seen.page.locator("#browser b", has_text="&").count() == 0
    assert seen.page.locator("#browser img").count() == 0
    seen.context.close()
    assert seen.wrong == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    "place", ["", "fields", "fov/plate/0/2", "conditions", "cells", "review", "corrections"]
)
def test_nothing_keeps_people_out(browser, folder, place, scheme):
    folder.add(fovs=2, cells=4, frames=6, size=64)
    folder.let_browse(parents={2: 1, 3: 1})
    folder.analyse()
    folder.write()
    seen = Seen(browser, folder.path / "report.html", color_scheme=scheme, bypass_csp=True)
    seen.go(place, "#view > *" if place else "h1")
    seen.page.wait_for_timeout(500)
    assert seen.barriers() == []
    seen.context.close()


def test_on_a_phone_nothing_is_wider_than_the_screen(browser, folder):
    folder.add(fovs=2, cells=4, frames=6, size=64)
    folder.let_browse(parents={2: 1, 3: 1})
    folder.analyse()
    folder.write()
    seen = Seen(browser, folder.path / "report.html", viewport={"width": 390, "height": 844})
    for place in ("fields", "fov/plate/0/2", "conditions", "cells", "review", "corrections"):
        seen.go(place, "#view > *")
        seen.page.wait_for_timeout(300)
        assert seen.page.evaluate("document.documentElement.scrollWidth") <= 390, place
    seen.context.close()
    assert seen.wrong == []


def test_ids_and_counts_are_told_to_the_last_digit(browser, folder):
    folder.add(fovs=1, cells=4, frames=3, size=64)
    path = folder.layout.file("traces", "plate", 0)
    write_csv(path, (table := read_csv(path)) | {"cell": table["cell"] + 12340})
    path = folder.layout.file("segment_frames", "plate", 0, 0)
    write_csv(path, (table := read_csv(path)) | {"n_objects": table["frame"] + 12344})
    folder.let_browse()
    folder.write()
    seen = Seen(browser, folder.path / "report.html")
    seen.go("fov/plate/0", ".listed table")
    first = seen.page.locator("#browser tbody td").first
    assert first.inner_text() == "12341"
    seen.go("fields", ".heat")
    assert "at most 12346" in (seen.page.get_attribute(".heat", "aria-label") or "")
    seen.context.close()
    assert seen.wrong == []


def test_the_number_of_a_cell_is_that_of_its_good_measurements(browser, folder):
    folder.add(fovs=1, cells=3, frames=5, size=64)
    path = folder.layout.file("traces", "plate", 0)
    table = read_csv(path)
    bad = (table["cell"] == 2) & (table["frame"] < 4)
    write_csv(path, table | {"good": table["good"] & ~bad})
    folder.let_browse()
    folder.write()
    seen = Seen(browser, folder.path / "report.html")
    seen.go("fov/plate/0", ".listed table")
    place = (
        seen.page.locator("#browser th").all_inner_texts().index("GFP: intensity total (counts)")
    )
    rows = seen.page.locator("#browser tbody tr").all_inner_texts()
    assert [row.split("\t")[place] for row in rows] == ["102", "204", "302"]
    seen.context.close()
    assert seen.wrong == []


def test_a_field_without_cells_has_none_to_go_to(browser, folder):
    folder.add(fovs=1, cells=3, frames=3, size=64)
    path = folder.layout.file("traces", "plate", 0)
    write_csv(path, {name: column[:0] for name, column in read_csv(path).items()})
    folder.let_browse()
    folder.write()
    seen = Seen(browser, folder.path / "report.html")
    seen.go("fov/plate/0", ".listed table")
    for key in ("ArrowDown", "ArrowUp", "a"):
        seen.page.keyboard.press(key)
    assert seen.page.inner_text(".card h3") == "0 cells"
    assert seen.page.url.endswith("#fov/plate/0")
    seen.context.close()
    assert seen.wrong == []


def test_fields_of_a_large_project_are_shown(browser, folder):
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
    seen = Seen(browser, page)
    seen.go("fields", ".heat")
    assert "dark: 7 cells, bright: 9" in seen.page.inner_text("#view")
    seen.context.close()
    assert seen.wrong == []


def test_a_channel_keeps_its_name_where_datasets_have_it_at_other_places(
    browser, folder, monkeypatch
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
    seen = Seen(browser, folder.path / "report.html")
    seen.go("cells", "#browser tbody tr >> nth=5")
    heads = seen.page.locator("#browser th").all_inner_texts()
    rows = [row.split("\t") for row in seen.page.locator("#browser tbody tr").all_inner_texts()]
    green, red = (heads.index(f"{name}: intensity total (counts)") for name in ("GFP", "RFP"))
    told = {(row[0], row[2]): (row[green], row[red]) for row in rows}
    assert told["one", "1"] == ("102", "–")
    assert told["two", "1"] == ("90000", "102")
    options = seen.page.locator("label:has-text('across') option").all_inner_texts()
    assert options.count("GFP: intensity total (counts)") == 1
    seen.context.close()
    assert seen.wrong == []


def test_fields_without_numbers_count_in_none(browser, folder):
    failed = {"status": "failed", "step": "segment", "error": "disk full"}
    folder.add(fovs=2, cells=4, size=64, statuses=dict.fromkeys(range(2, 7), failed))
    folder.let_browse()
    folder.write()
    seen = Seen(browser, folder.path / "report.html")
    seen.go("fields", "#browser .grid a")
    assert seen.page.inner_text("#view .hint >> nth=0") == "4 to 4, median 4."
    seen.page.select_option("#browser select", "median frames of a cell")
    assert seen.page.inner_text("#view .hint >> nth=0") == "6 to 6, median 6."
    seen.context.close()
    assert seen.wrong == []


@pytest.mark.parametrize("lost", ["good", "values"])
def test_cells_are_doubted_without_good_rows_and_without_values(browser, folder, lost):
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
    seen = Seen(browser, folder.path / "report.html")
    seen.go("review", ".review li")
    assert "begins in frame 3" in seen.page.inner_text(".review li:has-text('cell 2')")
    seen.context.close()
    assert seen.wrong == []


def test_n_goes_on_to_the_next_doubtful_cell_that_nothing_was_said_of(browser, folder):
    folder.add(fovs=1, cells=5, frames=6, size=64)
    path = folder.layout.file("traces", "plate", 0)
    table = read_csv(path)
    table["good"] = table["frame"] >= table["cell"]  # all are doubtful
    write_csv(path, table)
    folder.let_browse()
    folder.write()
    seen = Seen(browser, folder.path / "report.html")
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
    seen.context.close()
    assert seen.wrong == []


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


@pytest.mark.parametrize("every", [1, 3])
def test_a_value_alone_is_seen_and_a_channel_of_every_third_frame_is_a_line(browser, folder, every):
    folder.add(fovs=1, cells=4, frames=1 if every == 1 else 7, size=64)
    path = folder.layout.file("traces", "plate", 0)
    table = read_csv(path)
    lost = table["frame"] % every > 0
    table["intensity_total_ch_1"] = np.where(lost, np.nan, table["intensity_total_ch_1"])
    write_csv(path, table)
    folder.let_browse()
    folder.write()
    seen = Seen(browser, folder.path / "report.html")
    seen.go("fov/plate/0/2", "h3:has-text('Cell 2')")
    own = seen.page.locator("svg.chart .own").nth(1)
    assert own.get_attribute("d").count("L") == (0 if every == 1 else 2)
    assert own.evaluate("(line) => line.isPointInStroke(line.getPointAtLength(0))")
    seen.context.close()
    assert seen.wrong == []


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


def test_what_is_seen_is_what_is_printed(seen):
    seen.go("fov/plate/0/2", "h3:has-text('Cell 2')")
    seen.page.emulate_media(media="print")
    assert seen.page.is_visible("h3:has-text('Cell 2')")
    assert seen.page.is_visible("svg.chart >> nth=0")
    assert seen.page.is_visible(".thumbs canvas >> nth=0")
    assert seen.page.is_visible(".clock")
    assert not seen.page.is_visible(".judge")
    seen.page.emulate_media(media="screen")


def test_space_ticks_a_box_that_has_the_focus_and_plays_after_a_click(seen):
    seen.go("fov/plate/0/2", "h3:has-text('Cell 2')")
    box, play = seen.page.get_by_label("ids"), seen.page.get_by_label("Play")
    box.focus()
    seen.page.keyboard.press("Space")
    assert (box.is_checked(), play.inner_text()) == (True, "▶")
    box.click()
    seen.page.keyboard.press("Space")
    assert (box.is_checked(), play.inner_text()) == (False, "❚❚")


def test_equal_numbers_of_cells_are_told_as_they_are(seen):
    seen.go("fields", "#browser .heat")
    assert "4 cells in each" in seen.page.inner_text("#view .hint:has-text('One row')")


def test_one_time_is_told_once_and_its_value_is_a_dot(browser, folder):
    folder.add(fovs=1, cells=2, frames=1, size=64)
    folder.let_browse()
    folder.write()
    seen = Seen(browser, folder.path / "report.html")
    seen.go("fov/plate/0/1", "svg.chart .alone")
    chart = seen.page.locator("svg.chart").first
    assert chart.locator("text").all_text_contents()[3:] == ["0 min"]
    dot, now = chart.locator(".alone"), chart.locator(".now")
    assert float(dot.get_attribute("cx")) == float(now.get_attribute("x1")) == 232
    seen.context.close()
    assert seen.wrong == []


def test_cells_of_all_frames_that_were_acquired_are_in_no_doubt(browser, folder):
    folder.add(fovs=1, cells=4, frames=6, size=64, flags={0: "missing", 5: "missing"})
    path = folder.layout.file("traces", "plate", 0)
    table = read_csv(path)
    there = np.isin(table["frame"], [1, 2, 3, 4])
    write_csv(path, {name: column[there] for name, column in table.items()})
    folder.let_browse()
    folder.write()
    seen = Seen(browser, folder.path / "report.html")
    seen.go("review", "#view h2:has-text('No cell is in doubt')")
    seen.context.close()
    assert seen.wrong == []


def test_an_address_that_is_none_shows_the_report(browser, folder):
    folder.add(fovs=1, cells=2, size=64)
    folder.let_browse()
    folder.write()
    seen = Seen(browser, folder.path / "report.html")
    for place in ("100%", "toString", "fov/%E0%A4%A/0"):
        seen.page.goto(f"{seen.url}#{place}")
        seen.page.reload()
    assert "it is not in this report" in seen.page.inner_text("[role=alert]")
    seen.go("fov/plate/0/1", ".card h3:text-is('Cell 1')")
    seen.context.close()
    assert seen.wrong == []


def test_a_field_that_differs_from_equal_ones_is_named(browser, folder):
    folder.add(fovs=5, cells=4, size=64)
    table = read_csv(path := folder.layout.file("traces", "plate", 3))
    one = table["cell"] == 1
    write_csv(path, {name: column[one] for name, column in table.items()})
    folder.let_browse()
    folder.write()
    seen = Seen(browser, folder.path / "report.html")
    seen.go("fields", "#browser .grid a.odd")
    words = seen.page.inner_text("#view .hint >> nth=0")
    assert words == "1 to 4, median 4. Far from the others: FOV 3."
    seen.context.close()
    assert seen.wrong == []
