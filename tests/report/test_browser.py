"""The report in a real browser, by clicks and keys, from disk: its page, and a field with cells."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from chromium import centre

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


def test_a_family_is_drawn_over_time_and_leads_to_its_cells(opened, folder):
    folder.add(fovs=1, cells=6, frames=6, size=64)
    folder.let_browse(parents={2: 1, 3: 1, 4: 3, 5: 3, 6: 6})  # one claims to come of itself
    folder.write()
    seen = opened(folder.path / "report.html")
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


def test_a_single_file_holds_the_cells_and_asks_for_no_other(
    opened, make_folder, tmp_path, monkeypatch
):
    folder = make_folder("</script><b>")
    folder.add("plate é+1", fovs=3, cells=4, frames=6, size=64)
    folder.let_browse("plate é+1")
    page = tmp_path / "mailed" / "one.html"
    page.parent.mkdir()
    write_report(page, folder.path, single=True)
    seen = opened(page)
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


def test_names_of_all_kinds_are_text(opened, make_folder):
    folder = make_folder("</script><b>ä & #1")
    name = "plate é+1"
    folder.add(name, fovs=1, names={0: "<img src=x onerror=alert(1)>", 1: "</script><b>&amp;"},
               positions={"0": "<script>alert(1)</script>"})  # fmt: skip
    folder.let_browse(name)
    folder.write()
    seen = opened(folder.path / "report.html")
    seen.page.click("text=Look at the cells")
    seen.page.locator("#browser .grid a").first.click()
    seen.page.wait_for_selector(f"text={name} · FOV 0")
    assert "<script>alert(1)</script>" in seen.page.inner_text(".title")
    assert seen.page.locator("#browser b", has_text="&").count() == 0
    assert seen.page.locator("#browser img").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    "place", ["", "fields", "fov/plate/0/2", "conditions", "cells", "review", "corrections"]
)
def test_nothing_keeps_people_out(opened, folder, place, scheme):
    folder.add(fovs=2, cells=4, frames=6, size=64)
    folder.let_browse(parents={2: 1, 3: 1})
    folder.analyse()
    folder.write()
    seen = opened(folder.path / "report.html", color_scheme=scheme, bypass_csp=True)
    seen.go(place, "#view > *" if place else "h1")
    seen.page.wait_for_timeout(500)
    assert seen.barriers() == []


def test_on_a_phone_nothing_is_wider_than_the_screen(opened, folder):
    folder.add(fovs=2, cells=4, frames=6, size=64)
    folder.let_browse(parents={2: 1, 3: 1})
    folder.analyse()
    folder.write()
    seen = opened(folder.path / "report.html", viewport={"width": 390, "height": 844})
    for place in ("fields", "fov/plate/0/2", "conditions", "cells", "review", "corrections"):
        seen.go(place, "#view > *")
        seen.page.wait_for_timeout(300)
        assert seen.page.evaluate("document.documentElement.scrollWidth") <= 390, place


@pytest.mark.parametrize("every", [1, 3])
def test_a_value_alone_is_seen_and_a_channel_of_every_third_frame_is_a_line(opened, folder, every):
    folder.add(fovs=1, cells=4, frames=1 if every == 1 else 7, size=64)
    path = folder.layout.file("traces", "plate", 0)
    table = read_csv(path)
    lost = table["frame"] % every > 0
    table["intensity_total_ch_1"] = np.where(lost, np.nan, table["intensity_total_ch_1"])
    write_csv(path, table)
    folder.let_browse()
    folder.write()
    seen = opened(folder.path / "report.html")
    seen.go("fov/plate/0/2", "h3:has-text('Cell 2')")
    own = seen.page.locator("svg.chart .own").nth(1)
    assert own.get_attribute("d").count("L") == (0 if every == 1 else 2)
    assert own.evaluate("(line) => line.isPointInStroke(line.getPointAtLength(0))")


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


def test_one_time_is_told_once_and_its_value_is_a_dot(opened, folder):
    folder.add(fovs=1, cells=2, frames=1, size=64)
    folder.let_browse()
    folder.write()
    seen = opened(folder.path / "report.html")
    seen.go("fov/plate/0/1", "svg.chart .alone")
    chart = seen.page.locator("svg.chart").first
    assert chart.locator("text").all_text_contents()[3:] == ["0 min"]
    dot, now = chart.locator(".alone"), chart.locator(".now")
    assert float(dot.get_attribute("cx")) == float(now.get_attribute("x1")) == 232


def test_an_address_that_is_none_shows_the_report(opened, folder):
    folder.add(fovs=1, cells=2, size=64)
    folder.let_browse()
    folder.write()
    seen = opened(folder.path / "report.html")
    for place in ("100%", "toString", "fov/%E0%A4%A/0"):
        seen.page.goto(f"{seen.url}#{place}")
        seen.page.reload()
    assert "it is not in this report" in seen.page.inner_text("[role=alert]")
    seen.go("fov/plate/0/1", ".card h3:text-is('Cell 1')")
