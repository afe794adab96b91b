"""Verdicts and corrections in a real browser, by clicks and keys: kept, saved, loaded again."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from chromium import Seen, centre

from fovflow.corrections import read_corrections, with_verdicts
from fovflow.tables import read_csv, write_csv

pytestmark = pytest.mark.slow


def kept(seen: Seen) -> list[dict[str, object]]:
    """Return the corrections that the page holds."""
    store = seen.page.evaluate("Object.values(localStorage)[0]")
    return json.loads(store)["corrections"] if store else []


def saved(seen: Seen, path: Path) -> list[dict[str, str]]:
    """Save the corrections by the button; return the lines of the file."""
    with seen.page.expect_download() as waiting:
        seen.page.get_by_role("button", name="Save", exact=True).click()
    waiting.value.save_as(path)
    return list(csv.DictReader(io.StringIO(path.read_text("utf-8"))))


@pytest.mark.parametrize(("key", "action"), [("a", "accept"), ("r", "reject")])
def test_verdicts_are_kept_saved_and_taken_up(seen, folder, tmp_path, key, action):
    seen.go("fov/plate/1/4", "h3:has-text('Cell 4')")
    seen.page.keyboard.press(key)
    assert seen.said() == f"Cell 4: {action}ed."
    assert seen.page.get_attribute(f".judge .{action}", "aria-pressed") == "true"
    seen.page.reload()
    seen.page.wait_for_selector(f".judge .{action}[aria-pressed=true]")
    (line,) = saved(seen, tmp_path / "corrections.csv")
    assert (line["dataset"], line["fov"], line["action"]) == ("plate", "1", action)
    lines = read_corrections(tmp_path / "corrections.csv")["plate", 1]
    table = read_csv(folder.layout.file("traces", "plate", 1))
    box = {f"bbox_{a}{k}": table[f"position_{a}"] + (2 * k - 1) * 1.5 for a in "xy" for k in (0, 1)}
    judged, wrong = with_verdicts({**table, **box}, lines)
    assert wrong == []
    assert set(judged["good"][table["cell"] == 4].tolist()) == {action == "accept"}
    assert (judged["good"] == table["good"])[table["cell"] != 4].all()


def test_the_last_verdict_on_a_cell_counts_and_undo_takes_it_back(seen):
    seen.go("fov/plate/0/2", "h3:has-text('Cell 2')")
    for key in "ara":
        seen.page.keyboard.press(key)
    assert [each["action"] for each in kept(seen)] == ["accept"]
    seen.page.keyboard.press("u")
    assert kept(seen) == []
    assert seen.said() == "Undone: accepted."
    seen.page.keyboard.press("u")
    assert seen.said() == "There is nothing to undo in this FOV."


def test_a_cut_is_made_in_the_frame_that_is_shown_and_not_in_the_first(seen):
    seen.go("fov/plate/0/2", "h3:has-text('Cell 2')")
    seen.page.locator("input[type=range][aria-label=Frame]").fill("0")
    seen.page.get_by_role("button", name="Cut").click()
    assert seen.said().startswith("Go to the frame")
    seen.page.keyboard.press("Escape")
    seen.go("fov/plate/0/2", "h3:has-text('Cell 2')")
    seen.page.locator(".thumbs button").nth(1).click()
    seen.page.keyboard.press("x")
    (cut,) = kept(seen)
    assert (cut["action"], cut["frame"], cut["x"], cut["y"]) == ("cut", 2, 10, 6)


def test_two_cells_of_one_frame_are_merged_and_cannot_be_linked(seen):
    seen.go("fov/plate/0/1", "h3:has-text('Cell 1')")
    seen.page.wait_for_timeout(300)
    seen.page.keyboard.press("l")
    assert "click the other cell" in seen.said()
    seen.page.locator(".stage").click(position=centre(seen, 3))
    seen.page.wait_for_selector("#said:has-text('Both are there')")
    seen.page.keyboard.press("m")
    seen.page.locator(".stage").click(position=centre(seen, 3))
    seen.page.wait_for_selector("#said:has-text('one cell')")
    (merge,) = kept(seen)
    place = [merge[name] for name in ("frame", "x", "target_frame", "target_x")]
    assert (merge["action"], *place) == ("merge", 0, 7, 0, 13)
    seen.page.keyboard.press("s")
    seen.page.keyboard.press("Escape")
    assert seen.page.is_visible("h3:has-text('Cell 1')")


def test_links_and_divisions_name_both_cells(opened, folder):
    folder.add(fovs=1, cells=4, frames=6, size=64)
    path = folder.layout.file("traces", "plate", 0)
    table = read_csv(path)
    early = (table["cell"] == 1) & (table["frame"] > 2)
    late = (table["cell"] > 1) & (table["frame"] < 4)
    write_csv(path, {name: column[~(early | late)] for name, column in table.items()})
    labels = np.load(stack := folder.layout.file("seg_labeled", "plate", 0, 0))
    labels[3:][labels[3:] == 1] = 0
    labels[:4][labels[:4] > 1] = 0
    np.save(stack, labels)
    folder.let_browse(pictures=6)
    folder.write()
    seen = opened(folder.path / "report.html", viewport={"width": 1400, "height": 900})
    seen.go("fov/plate/0/1", "h3:has-text('Cell 1')")
    for key, cell in (("l", 2), ("s", 3)):
        seen.page.locator("input[type=range][aria-label=Frame]").fill("4")
        seen.page.wait_for_timeout(300)
        seen.page.keyboard.press(key)
        seen.page.locator(".stage").click(position=centre(seen, cell))
        seen.page.wait_for_selector(f"#said:has-text('cell {cell}.')")
    link, split = kept(seen)
    assert [link[name] for name in ("action", "frame", "x", "target_frame", "target_x")] == [
        "link", 2, 7, 4, 10,
    ]  # fmt: skip
    assert [split[name] for name in ("action", "target_frame", "target_x")] == ["split", 4, 13]


def test_everything_is_done_without_a_mouse(seen):
    page = seen.page
    seen.go("fields", "#browser .grid a")
    page.locator("#browser .grid a").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector(".listed table")
    for key in ("ArrowDown", "m", "ArrowDown", "ArrowDown", "ArrowUp"):
        page.keyboard.press(key)
    assert seen.said().startswith("Cell 1 is one cell with cell 2? Enter takes it")
    page.keyboard.press("Escape")
    page.keyboard.press("Enter")  # nothing waits for it
    assert kept(seen) == []
    for key in ("m", "ArrowUp", "Enter"):
        page.keyboard.press(key)
    assert seen.said() == "Cell 1 is one cell with cell 4."
    (merge,) = kept(seen)
    assert [merge[name] for name in ("action", "x", "target_x")] == ["merge", 7, 16]
    for key in ("l", "ArrowDown", "Enter"):
        page.keyboard.press(key)
    assert "Both are there at the same time" in seen.said()
    for key in ("ArrowRight", "x", "r"):
        page.keyboard.press(key)
    page.get_by_role("button", name="Divides").focus()
    for key in ("Enter", "ArrowDown", "Enter"):
        page.keyboard.press(key)
    assert seen.said() == "A daughter begins after its mother."
    assert [each["action"] for each in kept(seen)] == ["merge", "cut", "reject"]
    inked = (
        "() => { const c = document.querySelector('canvas.lines'), n = c.width, k = []; "
        "const d = c.getContext('2d').getImageData(0, 0, n, c.height >> 1).data; "
        "for (let i = 3; i < d.length; i += 4) if (d[i]) k.push((i >> 2) % n); "
        "return k.reduce((a, b) => Math.max(a, b)) - k.reduce((a, b) => Math.min(a, b)); }"
    )
    wide = page.evaluate(inked)
    page.keyboard.press("+")
    page.keyboard.press("+")
    page.wait_for_timeout(300)
    assert page.evaluate(inked) > 1.3 * wide
    for key in "---":
        page.keyboard.press(key)
    page.wait_for_timeout(300)
    assert page.evaluate(inked) == wide


def test_comments_are_kept_and_hostile_ones_are_text(seen, tmp_path):
    seen.go("fov/plate/0/1", "h3:has-text('Cell 1')")
    seen.page.keyboard.press("c")
    seen.page.get_by_label("Comment").fill('<img src=x onerror=alert(1)>, "x"')
    seen.page.keyboard.press("Enter")
    seen.page.wait_for_selector(".told:has-text('<img src=x')")
    assert seen.page.locator(".told img").count() == 0
    (line,) = saved(seen, tmp_path / "corrections.csv")
    assert line["reason"] == '<img src=x onerror=alert(1)>, "x"'


def test_a_saved_file_is_loaded_again_once_and_strange_ones_are_told(seen, tmp_path):
    seen.go("fov/plate/0/1", "h3:has-text('Cell 1')")
    seen.page.keyboard.press("r")
    saved(seen, path := tmp_path / "corrections.csv")
    seen.page.evaluate("localStorage.clear()")
    seen.page.reload()
    seen.go("corrections", "text=0 corrections")
    seen.page.set_input_files("input[type=file]", path)
    seen.page.wait_for_selector("h2:has-text('1 correction')")
    assert seen.said().startswith("1 correction read")
    seen.page.set_input_files("input[type=file]", path)
    seen.page.wait_for_selector("#said:has-text('1 known')")
    other = tmp_path / "other.csv"
    other.write_text(path.read_text("utf-8").replace("plate,0", "other,7"), "utf-8")
    seen.page.set_input_files("input[type=file]", other)
    seen.page.wait_for_selector("#said:has-text('left out')")
    other.write_text("a,b\n1,2\n", "utf-8")
    seen.page.set_input_files("input[type=file]", other)
    seen.page.wait_for_selector("#said:has-text('no column')")
    seen.page.get_by_role("button", name="remove").click()
    seen.page.wait_for_selector("text=0 corrections")


def test_two_windows_of_one_page_keep_what_is_said_in_both(seen, folder):
    seen.go("fov/plate/0/1", "h3:has-text('Cell 1')")
    other = seen.context.new_page()
    other.goto(f"{seen.url}#fov/plate/1/2")
    other.wait_for_selector("h3:has-text('Cell 2')")
    seen.page.keyboard.press("r")
    other.wait_for_selector("#count:has-text('1 correction')")
    other.keyboard.press("a")
    seen.page.wait_for_selector("#count:has-text('2 corrections')")
    seen.page.keyboard.press("ArrowDown")
    seen.page.keyboard.press("r")
    seen.go("fields", "#browser .grid a")
    other.wait_for_selector("#count:has-text('3 corrections')")
    other.keyboard.press("u")
    seen.page.wait_for_selector("#count:has-text('2 corrections')")
    assert [(each["fov"], each["action"]) for each in kept(seen)] == [(0, "reject")] * 2
    other.goto(f"{seen.url}#corrections")
    other.get_by_role("button", name="remove").first.click()
    other.wait_for_selector("h2:has-text('1 correction')")
    seen.page.wait_for_selector("#count:has-text('1 correction')")
    assert len(kept(seen)) == 1


def test_a_further_dataset_takes_nothing_away(seen, folder):
    seen.go("fov/plate/0/1", "h3:has-text('Cell 1')")
    seen.page.keyboard.press("r")
    folder.add("another", fovs=1, size=64)
    folder.let_browse("another")
    folder.write()
    seen.page.reload()
    seen.go("fov/plate/0/1", ".judge .reject[aria-pressed=true]")
    assert seen.page.inner_text("#count") == "1 correction"


def test_nothing_is_said_of_a_cell_that_is_no_longer_chosen(seen):
    page = seen.page
    seen.go("fov/plate/0/2", "h3:has-text('Cell 2')")
    page.wait_for_timeout(300)
    page.keyboard.press("m")
    page.locator(".stage").click(position=centre(seen, 2, row=40))  # there is no cell
    assert page.is_visible("h3:has-text('Cell 2')")
    page.locator("button.close").click()
    page.wait_for_selector(".listed table")
    page.locator(".stage").click(position=centre(seen, 3))
    page.wait_for_selector("h3:has-text('Cell 3')")
    assert kept(seen) == []
    page.keyboard.press("m")
    page.locator(".facts .as-text").first.click()  # one that is most alike
    page.wait_for_selector(".card h3:not(:has-text('Cell 3'))")
    page.locator(".stage").click(position=centre(seen, 1))
    page.wait_for_selector("h3:has-text('Cell 1')")
    assert kept(seen) == []


def test_cells_are_merged_without_pictures_and_a_cut_is_said_once(seen, folder):
    seen.go("fov/plate/1/1", "h3:has-text('Cell 1')")
    seen.page.locator(".thumbs button").nth(1).click()
    seen.page.keyboard.press("x")
    seen.page.keyboard.press("x")
    assert [each["action"] for each in kept(seen)] == ["cut"]
    Path(folder.layout.file("browse_pictures", "plate", 0)).unlink()
    seen.go("fov/plate/0/1", "h3:has-text('Cell 1')")
    for key in ("m", "ArrowDown", "Enter"):
        seen.page.keyboard.press(key)
    assert seen.said() == "Cell 1 is one cell with cell 2."
    assert [each["action"] for each in kept(seen)] == ["cut", "merge"]
    assert all("ERR_FILE_NOT_FOUND" in each for each in seen.wrong)
    seen.wrong.clear()


def test_actions_are_read_as_the_pipeline_reads_them(seen, tmp_path):
    path = tmp_path / "corrections.csv"
    path.write_text("dataset,fov,frame,x,y,action\nplate,1.0,2,10,6, Reject\n", "utf-8")
    (line,) = read_corrections(path)["plate", 1]
    seen.go("corrections", "text=0 corrections")
    seen.page.set_input_files("input[type=file]", path)
    seen.page.wait_for_selector("h2:has-text('1 correction')")
    seen.go("fov/plate/1/2", ".judge .reject[aria-pressed=true]")
    assert line.action == "reject"


def test_a_browser_that_keeps_nothing_is_told(opened, folder):
    folder.add(fovs=1, cells=2, frames=3, size=64)
    folder.let_browse()
    folder.write()
    seen = opened(folder.path / "report.html")
    seen.page.add_init_script("Storage.prototype.setItem = () => { throw new Error('full'); };")
    seen.page.reload()
    seen.go("fov/plate/0/1", "h3:has-text('Cell 1')")
    seen.page.keyboard.press("r")
    seen.page.keyboard.press("ArrowDown")
    seen.page.keyboard.press("r")
    assert seen.page.inner_text("#count").startswith("2 corrections: this browser does not keep")
