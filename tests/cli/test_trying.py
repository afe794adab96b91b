"""fovflow try: settings side by side, the page in a browser, and one line of the configuration."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
import yaml
from chromium import Seen, chromium

from fovflow.cli import main
from fovflow.config import load_config, parse_config
from fovflow.config.edit import replace_section, section_line
from fovflow.errors import ConfigError
from fovflow.planning.trials import choose_settings, parse_sets
from fovflow.report.trial import _compared, _paths
from fovflow.segmentation import get_segmenter
from fovflow.segmentation.network import BUILT_IN
from fovflow.simulation import MovieParams, simulate, write_movie
from paths import ROOT, shared_data

DATASETS = {"datasets": {"plate": {"path": "plate.nd2"}}}


@pytest.fixture(scope="module")
def movie(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("movie") / "plate.nd2"
    params = MovieParams(positions=2, frames=5, height=128, width=160, cells=4, seed=3)
    write_movie(simulate(params), path)
    return path


@pytest.fixture
def project(movie, tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    shutil.copy(movie, tmp_path)
    assert main(["init", ".", "--raw", "plate.nd2"]) == 0
    return tmp_path


def tried(capsys, *arguments: str) -> dict:
    capsys.readouterr()
    assert main(["try", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def refused(capsys, *arguments: str) -> str:
    capsys.readouterr()
    assert main(["try", *arguments]) in (1, 2)
    streams = capsys.readouterr()
    assert streams.out == ""
    assert streams.err.startswith("fovflow: ")
    assert len(streams.err.splitlines()) == 1
    assert not Path("try.html").exists()
    return streams.err


# ---- what is tried


def test_without_options_both_methods_are_tried_on_three_frames(project, capsys):
    found = tried(capsys)
    lines = [setting["line"] for setting in found["settings"]]
    assert lines == ["segment: {method: logstd}", "segment: {method: unet}"]
    assert [each["frame"] for each in found["settings"][0]["frames"]] == [0, 2, 4]
    assert Path("try.html").exists()
    assert not Path("results").exists()


def test_each_frame_is_segmented_as_the_pipeline_does_its_first(project, capsys):
    from fovflow.readers import open_raw

    found = tried(capsys, "--fov", "1", "--frames", "3", "--set", "segment.n_sigma=3,6")
    with open_raw("plate.nd2") as raw:
        frame, pixel_um = raw.read(1, 3, 0), raw.info.pixel_um
    for setting, n_sigma in zip(found["settings"], (3.0, 6.0), strict=True):
        labels, _ = get_segmenter("logstd", pixel_um=pixel_um, n_sigma=n_sigma)(frame)
        areas = np.bincount(labels.ravel())[1:] * pixel_um**2
        (told,) = setting["frames"]
        assert told["cells"] == labels.max() > 0
        assert told["median_area_um2"] == pytest.approx(np.median(areas), abs=0.01)
        assert told["seconds"] > 0


@pytest.mark.parametrize(
    ("methods", "sets", "expected"),
    [
        ([], ["segment.n_sigma=3,4"], ["logstd n_sigma 3", "logstd n_sigma 4"]),
        ([], ["segment.probability=0.3,0.7"], ["unet probability 0.3", "unet probability 0.7"]),
        (["logstd", "unet"], ["segment.n_sigma=3,4"],
         ["logstd n_sigma 3", "logstd n_sigma 4", "unet"]),
        ([], ["segment.n_sigma=3,4", "segment.split=true,false"],
         ["logstd n_sigma 3 split true", "logstd n_sigma 3 split false",
          "logstd n_sigma 4 split true", "logstd n_sigma 4 split false"]),
        ([], ["segment.method=classic,logstd"], ["classic", "logstd"]),
        ([], ["segment.max_area_um2=null,900"],
         ["logstd max_area_um2 null", "logstd max_area_um2 900"]),
        ([], ["segment.n_sigma=3,3", "segment.n_sigma=5"],
         ["logstd n_sigma 3", "logstd n_sigma 5"]),
    ],
)  # fmt: skip
def test_settings_are_the_combinations_that_methods_know(methods, sets, expected):
    found = choose_settings(DATASETS, methods, parse_sets(sets))
    assert [setting.name.replace(",", "") for setting in found] == expected
    assert [setting.number for setting in found] == [*range(1, len(found) + 1)]
    for setting in found:
        assert parse_config({**DATASETS, "segment": setting.section}) == setting.config


def test_what_the_configuration_says_of_a_method_holds():
    content = {**DATASETS, "segment": {"method": "logstd", "min_area_um2": 80, "open_um": 1.5}}
    logstd, unet = choose_settings(content)
    assert logstd.section == {"method": "logstd", "min_area_um2": 80}
    assert unet.section == {"method": "unet"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--set", "segment.nsigma=3"], "did you mean n_sigma?"),
        (["--set", "segment.n_sigma=1000"], "segment.n_sigma: 1000 is not allowed"),
        (["--set", "segment.n_sigma=many"], "segment.n_sigma: 'many' is not allowed"),
        (["--set", "segment.min_area_um2=.inf"], "too large"),
        (["--set", "n_sigma=3"], "write it as segment.n_sigma=3,4,5"),
        (["--set", "correct.tile_px=64"], "no parameter of segment"),
        (["--set", "segment.n_sigma=3,,4"], "no parameter of segment with its values"),
        (["--set", "segment.n_sigma="], "no parameter of segment with its values"),
        (["--set", "segment.n_sigma=[3"], "no value"),
        (["--set", "segment.n_sigma=" + ",".join(map(str, range(30)))], "24 settings at most"),
        (["--methods", "otsu"], "no 'otsu' among the segmenters"),
        (["--methods", ""], "no '' among the segmenters"),
        (["--methods", "unet", "--set", "segment.n_sigma=3"], "unet has no parameter 'n_sigma'"),
        (["--frames", "99"], "no frame 99; found: 5 frames"),
        (["--frames", "-1"], "--frames"),
        (["--fov", "2"], "no FOV 2; found: 2"),
        (["--fov", "-1"], "no FOV -1"),
        (["--dataset", "other"], "no dataset 'other'; found: plate"),
        (["--set", "segment.n_sigma=3,4", "--write"], "which setting?; found: 1 = logstd, n_sigma"),
        (["--write", "7"], "no setting 7"),
        (["--channel", "GFP"], "only for a raw file"),
        (["config/absent.yaml"], "no config file"),
        (["config/config.yaml", "plate.nd2"], "one configuration"),
        (["absent.nd2"], "absent.nd2"),
        (["plate.nd2", "--write", "1"], "no configuration to write into"),
        (["plate.nd2", "--channel", "RFP"], "'RFP' is not in the file"),
        (["plate.nd2", "--pixel-um", "-1"], "--pixel-um -1"),
        (["plate.nd2", "--pixel-um", "nan"], "--pixel-um nan"),
    ],
)  # fmt: skip
def test_what_cannot_be_tried_is_told_in_one_sentence(project, capsys, arguments, words):
    before = Path("config/config.yaml").read_bytes()
    arguments = [f"--frames={arguments[1]}"] if arguments == ["--frames", "-1"] else arguments
    assert words in refused(capsys, *arguments)
    assert Path("config/config.yaml").read_bytes() == before


def test_a_raw_file_is_tried_as_init_guesses_it(movie, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    found = tried(capsys, str(movie), "--frames", "0", "--methods", "logstd", "--out", "a/b.html")
    assert found["dataset"] == "plate"
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["b.html"]


def test_a_channel_that_is_phase_contrast_must_be_known(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    frames = np.random.default_rng(0).poisson(200, (2, 3, 64, 64)).astype(np.uint16)
    tifffile.imwrite("two.ome.tif", frames, metadata={"axes": "CTYX", "PhysicalSizeX": 0.65,
                     "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 0.65,
                     "PhysicalSizeYUnit": "µm"})  # fmt: skip
    assert "name it with --channel" in refused(capsys, "two.ome.tif")
    assert tried(capsys, "two.ome.tif", "--channel", "1", "--methods", "logstd")
    Path("try.html").unlink()
    tifffile.imwrite("bare.tif", frames[0], metadata={"axes": "TYX"}, photometric="minisblack")
    assert "--pixel-um" in refused(capsys, "bare.tif")
    assert tried(capsys, "bare.tif", "--pixel-um", "0.65", "--methods", "logstd")


def test_a_configuration_of_several_datasets_needs_one_named(project, capsys):
    config = Path("config/config.yaml")
    config.write_text("datasets: {a: {path: plate.nd2}, b: {path: plate.nd2}}\n")
    assert "found: a, b; to do: name one of them with --dataset" in refused(capsys)
    assert tried(capsys, "--dataset", "b", "--methods", "logstd")["dataset"] == "b"


def test_no_channel_to_find_cells_in_is_told(project, capsys):
    Path("config/config.yaml").write_text(
        "datasets: {a: {path: plate.nd2}}\nchannels: {pc: null}\n"
    )
    assert "no channel to find cells in" in refused(capsys)


def test_a_frame_that_cannot_be_read_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    frame = np.random.default_rng(0).poisson(200, (64, 64)).astype(np.uint16)
    for t in range(3):
        tifffile.imwrite(f"cells_t{t}.tif", frame)
    Path("cells_t1.tif").write_bytes(Path("cells_t1.tif").read_bytes()[:900])
    assert "cells_t1.tif" in refused(capsys, *sorted(map(str, Path().glob("*.tif"))),
                                     "--pixel-um", "0.65")  # fmt: skip


def test_frames_are_counted_as_the_configuration_takes_them(project, capsys):
    with Path("config/config.yaml").open("a") as file:
        file.write('frames: "1-4:3"\n')
    found = tried(capsys, "--methods", "logstd")
    assert [each["frame"] for each in found["settings"][0]["frames"]] == [0, 1]
    assert "found: 2 frames" in capsys.readouterr().err or main(["try", "--frames", "2"]) == 2


@pytest.mark.parametrize("out", [".", "taken", "/proc/fovflow/try.html"])
def test_a_page_that_cannot_be_written_is_told(project, capsys, out):
    Path("taken").mkdir()
    assert "fovflow: " in refused(capsys, "--frames", "0", "--methods", "logstd", "--out", out)
    assert [*Path("taken").iterdir()] == []


def test_where_there_is_nothing_to_try_on_it_is_told(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert "name a configuration or a raw file" in refused(capsys)


def test_the_table_tells_settings_counts_and_lines(project, capsys):
    capsys.readouterr()
    assert main(["try", "--set", "segment.n_sigma=3,4", "--frames", "0,4"]) == 0
    out = capsys.readouterr().out
    assert re.search(
        r"^1  logstd, n_sigma 3 +\d+ \([\d.]+ µm²\) +\d+ \(.* µm²\) +\d\.\d\d", out, re.M
    )
    assert "2  segment: {method: logstd, n_sigma: 4}" in out
    assert "page: try.html" in out
    assert "with --write NUMBER" in out


# ---- the configuration


def changed_lines(before: str, after: str) -> list[tuple[str, str]]:
    old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    assert len(old) == len(new)
    return [(a, b) for a, b in zip(old, new, strict=True) if a != b]


def test_write_without_a_number_takes_the_better_method_and_says_why(project, capsys):
    config = Path("config/config.yaml")
    text = config.read_text().replace("{method: logstd}", "{method: unet}")
    config.write_text(text)
    found = tried(capsys, "--write")
    assert found["better"] == 2
    assert found["settings"][1]["line"] == "segment: {method: logstd}"
    changed = config.read_text()
    line = next(line for line in changed.splitlines() if line.startswith("segment"))
    assert line.startswith("segment: {method: logstd}  # or classic, ")
    assert "; tried on 3 frames: logstd 4 cells, none flagged; unet" in line
    assert line.count("tried on") == 1
    assert len(changed.splitlines()) == len(text.splitlines())
    assert "Better: 2, logstd: tried on 3 frames" in Path("try.html").read_text()
    tried(capsys, "--methods", "unet", "--write")
    assert "\nsegment: {method: unet}  # or classic, " in config.read_text()
    assert "tried on" not in config.read_text()


def test_of_frames_that_suit_neither_method_none_is_written(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    tifffile.imwrite("flat.ome.tif", np.full((2, 90, 90), 700, np.uint16),
                     metadata={"axes": "TYX", "PhysicalSizeX": 0.65, "PhysicalSizeY": 0.65,
                               "TimeIncrement": 60.0, "TimeIncrementUnit": "s"})  # fmt: skip
    assert main(["init", "--raw", "flat.ome.tif"]) == 0
    config = Path("config/config.yaml")
    text = config.read_text().replace("pc: FILL_IN", "pc: 0")
    config.write_text(text)
    assert "segment: {method: logstd}  # or classic" in text
    assert "; neither suits, tried on 2 frames" in text
    capsys.readouterr()
    assert main(["try", "--write"]) in (1, 2)
    assert "which setting?" in capsys.readouterr().err
    assert config.read_text() == text


def test_write_changes_one_line_and_keeps_its_comment(project, capsys):
    config = Path("config/config.yaml")
    config.chmod(0o640)
    before = config.read_text()
    assert main(["try", "--set", "segment.n_sigma=3,5", "--frames", "0", "--write", "2"]) == 0
    ((_, new),) = changed_lines(before, config.read_text())
    assert new.startswith("segment: {method: logstd, n_sigma: 5}  # or classic")
    assert load_config(config).segment.n_sigma == 5
    assert config.stat().st_mode & 0o777 == 0o640
    assert main(["try", "--methods", "unet", "--frames", "0", "--write"]) == 0
    ((_, new),) = changed_lines(before, config.read_text())
    assert new.startswith("segment: {method: unet}  # or classic")


def test_a_link_to_the_configuration_stays_one(project):
    config = Path("config/config.yaml")
    config.rename("shared.yaml")
    config.symlink_to("../shared.yaml")
    assert main(["try", "--methods", "unet", "--frames", "0", "--write"]) == 0
    assert config.is_symlink()
    assert load_config("shared.yaml").segment.method == "unet"


def test_in_a_configuration_with_a_line_per_key_one_value_changes():
    text = (ROOT / "config" / "config.yaml").read_text(encoding="utf-8")
    (setting,) = choose_settings(yaml.safe_load(text), (), {"n_sigma": [5]})
    after = replace_section(text, "segment", setting.section, defaults("logstd"))
    assert changed_lines(text, after) == [("  n_sigma: 4.0\n", "  n_sigma: 5\n")]


def test_keys_of_another_method_become_comments():
    text = (ROOT / "config" / "config.yaml").read_text(encoding="utf-8")
    (setting,) = choose_settings(yaml.safe_load(text), ["unet"], {"probability": [0.4]})
    after = replace_section(text, "segment", setting.section, defaults("unet"))
    config = parse_config(yaml.safe_load(after))
    assert (config.segment.method, config.segment.probability) == ("unet", 0.4)
    assert config.segment.min_area_um2 == 100.0
    assert "  # n_sigma: 4.0\n" in after
    kept = [line for line in after.splitlines() if line not in ("  probability: 0.4",)]
    assert len(kept) == len(text.splitlines())
    assert [line for line in text.splitlines() if line.lstrip().startswith("#")] == [
        line for line in kept if line in text.splitlines() and line.lstrip().startswith("#")
    ]


def defaults(method: str) -> dict:
    import dataclasses

    from fovflow.config.methods import SEGMENTERS

    return {f.name: f.default for f in dataclasses.fields(SEGMENTERS[method].settings)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\n", "a: 1\nsegment: {method: logstd, n_sigma: 3}\n"),
        ("a: 1", "a: 1\nsegment: {method: logstd, n_sigma: 3}\n"),
        ("a: 1\r\n", "a: 1\r\nsegment: {method: logstd, n_sigma: 3}\r\n"),
        ("\ufeffsegment: {}\r\na: µ # x\r\n",
         "\ufeffsegment: {method: logstd, n_sigma: 3}\r\na: µ # x\r\n"),
        ("segment: {method: unet}   # my choice\na: 1",
         "segment: {method: logstd, n_sigma: 3}   # my choice\na: 1"),
        ('"segment" : { "n_sigma": 4, method: "logstd" }\na: 1\n',
         '"segment" : {method: logstd, n_sigma: 3}\na: 1\n'),
        ("segment:\n  # why\n  n_sigma: 4.0  # mine\n  method: logstd\na: 1\n",
         "segment:\n  # why\n  n_sigma: 3  # mine\n  method: logstd\na: 1\n"),
        ("segment:\r\n    method: unet # u\r\n    model: a.onnx\r\n    probability: 0.4\r\n",
         "segment:\r\n    method: logstd # u\r\n    n_sigma: 3\r\n    # model: a.onnx\r\n"
         "    # probability: 0.4\r\n"),
        ("a: 1\nsegment:\n  method: logstd",
         "a: 1\nsegment:\n  method: logstd\n  n_sigma: 3\n"),
    ],
)  # fmt: skip
def test_only_the_section_changes(text, expected):
    section = {"method": "logstd", "n_sigma": 3}
    assert replace_section(text, "segment", section, defaults("logstd")) == expected


@pytest.mark.parametrize(
    "text",
    [
        "x: &s {method: unet}\nsegment: *s\n",
        "segment: {method: unet,\n  # why\n  probability: 0.4}\n",
        "{a: 1}\n",
        "a: 1\n...\n",
        "a: 1\n---\nb: 2\n",
        "segment: &s {method: unet}\nother: *s\n",
        "- a\n",
        "a: |\n  text",
        "segment:\n",
    ],
)
def test_what_cannot_be_changed_by_itself_is_left_to_a_person(text):
    section = {"method": "logstd", "n_sigma": 3}
    with pytest.raises(ConfigError, match="put this line there with an editor"):
        replace_section(text, "segment", section, defaults("logstd"))


def test_a_line_is_yaml_whatever_it_holds():
    section = {"method": "unet", "model": "a: {b}, # 'c'\u2028é" + "x" * 300, "max_area_um2": None}
    line = section_line("segment", section)
    assert "\n" not in line
    assert yaml.safe_load(line) == {"segment": section}


# ---- the page


def test_cells_are_compared_with_those_of_the_first_setting():
    first, second = np.zeros((2, 20, 30), np.uint16)
    first[2:8, 2:8], first[10:18, 2:8], first[2:8, 12:28] = 1, 2, 3
    second[2:8, 2:9], second[2:8, 12:20], second[2:8, 20:28], second[12:18, 20:26] = 4, 1, 2, 3
    found = _compared(first, _paths(first), second, _paths(second))
    assert (found.n_other, found.n_lost) == (3, 2)
    assert found.same == _paths(second)[4]


def test_an_outline_goes_through_the_border_pixels():
    labels = np.zeros((9, 9), np.uint16)
    labels[2:6, 3:8] = 5
    assert _paths(labels) == {5: "M3.5,2.5l0,3 4,0 0,-3z"}


def test_names_are_shown_and_not_believed(project, capsys):
    name = "<img src=x onerror=alert(1)>&{{ 1 }}"
    for suffix in ("onnx", "json"):
        shutil.copy(BUILT_IN.with_suffix(f".{suffix}"), f"{name}.{suffix}")
    tried(capsys, "--frames", "0", "--methods", "unet", "--set", f"segment.model={name}.onnx")
    page = Path("try.html").read_text(encoding="utf-8")
    assert "&lt;img src=x onerror=alert(1)&gt;&amp;{{ 1 }}.onnx" in page
    assert "<img" not in page
    assert page.count("<script>") == 1


@pytest.fixture(scope="module")
def started():
    with chromium() as browser:
        yield browser


@pytest.mark.parametrize(("width", "scheme"), [(1400, "light"), (390, "dark")])
def test_pictures_are_enlarged_by_clicks_and_keys(started, project, capsys, width, scheme):
    found = tried(capsys, "--set", "segment.n_sigma=3,30")
    size = {"width": width, "height": 900}
    seen = Seen(started, Path("try.html"), viewport=size, color_scheme=scheme)
    page = seen.page
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    counts = " · ".join(str(frame["cells"]) for frame in found["settings"][0]["frames"])
    assert page.locator(".setting dd").first.inner_text() == counts
    title = page.locator("dialog p")
    page.locator(".frame").nth(1).click()
    assert "n_sigma 3" in title.inner_text().splitlines()[0]
    assert "frame 2" in title.text_content()
    assert page.locator("dialog path").count() == 3
    for key in ("ArrowDown", "ArrowRight", "ArrowRight"):
        page.keyboard.press(key)
    assert "n_sigma 30" in title.inner_text()
    assert "frame 4" in title.text_content()
    outlines = page.locator("dialog g")
    page.keyboard.press("o")
    assert outlines.evaluate("each => getComputedStyle(each).visibility") == "hidden"
    page.keyboard.press("o")
    assert outlines.evaluate("each => getComputedStyle(each).visibility") == "visible"
    whole = "0 0 160 128"
    picture = page.locator("dialog svg")
    page.keyboard.press("c")
    assert picture.get_attribute("viewBox") != whole
    page.keyboard.press("c")
    assert picture.get_attribute("viewBox") == whole
    page.keyboard.press("Escape")
    assert page.locator("dialog").is_hidden()
    focus = "document.activeElement.dataset.setting + document.activeElement.dataset.frame"
    assert page.evaluate(focus) == "12"
    page.keyboard.press("ArrowUp")
    assert page.evaluate(focus) == "02"
    page.keyboard.press("Enter")
    assert page.locator("dialog").is_visible()
    page.locator("dialog button").click()
    assert page.locator("dialog").is_hidden()
    page.locator(".tools button").nth(1).click()
    assert page.locator(".frame svg").nth(2).get_attribute("viewBox") != whole
    seen.context.close()
    assert seen.wrong == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_keeps_people_out(started, project, capsys, scheme):
    tried(capsys, "--set", "segment.n_sigma=3,30")
    seen = Seen(started, Path("try.html"), color_scheme=scheme, bypass_csp=True)
    assert seen.barriers() == []
    seen.page.locator(".frame").first.click()
    assert seen.barriers() == []
    seen.context.close()


def test_init_names_the_command_ready_to_paste(movie, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["init", "my project", "--raw", str(movie)]) == 0
    assert capsys.readouterr().out.endswith("cd 'my project' && fovflow try\n")
    assert main(["init", "two", "--raw", str(movie), str(movie)]) == 0
    assert capsys.readouterr().out.endswith("cd two && fovflow try --dataset plate\n")
    assert main(["init", "none"]) == 0
    assert "fovflow try" not in capsys.readouterr().out


def test_real_frames_are_tried_as_they_lie(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    found = tried(capsys, str(shared_data("t98g/phase")), "--frames", "0,18")
    assert [s["line"] for s in found["settings"]] == [
        "segment: {method: logstd}",
        "segment: {method: unet}",
    ]
    assert all(40 < frame["cells"] < 250 for s in found["settings"] for frame in s["frames"])
