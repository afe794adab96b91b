"""Parts of the report: templates, scales, samples, charts and pictures."""

from __future__ import annotations

import html
import re
import tracemalloc
from importlib.resources import files

import cv2
import jinja2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fovflow.drawing import colour_of, draw_overlay
from fovflow.report import charts
from fovflow.report.gather import FrameSeries, without_folders
from fovflow.report.page import templates
from fovflow.report.pictures import PictureBudget, indexed_png, picture
from fovflow.report.traces import TracePlot, TraceSample, plots_of
from fovflow.units import ticks


@given(st.text())
def test_any_text_is_escaped_and_comes_back(words):
    escaped = templates().from_string("{{ words }}").render(words=words)
    assert not re.search(r"[<>\"']", escaped)
    expected = words.encode("utf-8", "replace").decode("utf-8")
    expected = re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", "\ufffd", expected)
    assert html.unescape(escaped) == html.unescape(html.escape(expected))
    escaped.encode("utf-8")


def test_templates_escape_text_and_attributes_but_not_what_macros_made():
    source = """
      {% macro made(words) %}<br/>{{ words }}{% endmacro %}
      <p class="{{ words }}">{{ words }}{{ made(words) }}{{ number }}</p>"""
    page = templates().from_string(source).render(words='<"&', number=1)
    escaped = "&lt;&quot;&amp;"
    assert page.strip() == f'<p class="{escaped}">{escaped}<br/>{escaped}1</p>'


def test_a_value_that_a_template_is_not_given_is_an_error():
    with pytest.raises(jinja2.UndefinedError):
        templates().from_string("{{ absent }}").render()


def test_no_template_lets_markup_through_unescaped():
    names = [file.name for file in (files("fovflow.report") / "templates").iterdir()]
    assert "page.html.j2" in names
    for name in names:
        source = (files("fovflow.report") / "templates" / name).read_text("utf-8")
        assert "safe" not in source
        assert "autoescape" not in source
        assert templates().get_template(name)


def drawn_by(template: str, macro: str, *given) -> str:
    """Return what a macro of a template draws."""
    return getattr(templates().get_template(f"{template}.html.j2").module, macro)(*given)


@pytest.mark.parametrize(
    ("sentence", "short"),
    [
        ("/a/b/c.nd2 is cut", "…/c.nd2 is cut"),
        ("(/home/x/y.tif)", "(…/y.tif)"),
        ("results/plate/a.npy", "results/plate/a.npy"),
        ("1/2 of /tmp", "1/2 of /tmp"),
        ("found: '/a b/c d/e.nd2'", "found: '/a b/c d/e.nd2'"),
    ],
)
def test_folders_of_absolute_paths_are_left_out(sentence, short):
    assert without_folders(sentence) == short


@given(
    st.floats(-1e9, 1e9, allow_subnormal=False),
    st.floats(1e-3, 1e9),
    st.integers(2, 9),
)
def test_ticks_are_round_few_and_inside(low, span, wanted):
    high = low + span
    found = ticks(low, high, wanted)
    if high - low <= 1e-6 * abs(low):
        return
    assert 1 <= len(found) <= wanted + 2
    slack = 1e-6 * (high - low)
    assert all(low - slack <= value <= high + slack for value in found)


def test_ranges_hold_zero_and_cut_rare_extremes_only():
    assert charts.value_range(np.array([])) == (0.0, 1.0)
    assert charts.value_range(np.array([0.0, 0.0])) == (0.0, 1.0)
    assert charts.value_range(np.array([10.0, 100.0])) == pytest.approx((0.0, 105.0))
    values = np.append(np.linspace(0, 100, 1000), 1e6)
    low, high = charts.value_range(values)
    assert low == 0
    assert 100 < high < 130


def test_lines_in_steps_come_back_exactly():
    x, y = np.array([3, 10, 12, 12]), np.array([50, 40, 40, 47])
    data = charts.path(x, y)
    assert data == "M3 50l7-10 2 0 0 7"
    numbers = [int(n) for n in re.findall(r"-?\d+", data)]
    steps = np.array(numbers).reshape(-1, 2).cumsum(axis=0)
    np.testing.assert_array_equal(steps, np.stack([x, y], axis=1))


def table(cells: int, frames: int, first: int = 0) -> dict[str, np.ndarray]:
    cell = np.repeat(np.arange(first, first + cells), frames)
    frame = np.tile(np.arange(frames), cells)
    return {
        "cell": cell,
        "frame": frame,
        "time": frame * 2.0,
        "good": np.ones(cell.size, bool),
        "value": cell + frame / 10,
    }


def test_quartiles_are_those_of_all_good_cells():
    sample = TraceSample()
    first, second = table(5, 4), table(6, 4, first=5)
    second["good"] = second["cell"] != 10
    second["value"][0] = np.nan
    for part in (first, second):
        sample.add(part, "value")
    assert sample.cells == 10
    assert sample.every == 1
    summary = sample.summary()
    np.testing.assert_array_equal(summary.time, [0, 2, 4, 6])
    values = np.array([*range(5), *range(6, 10)], float)  # cell 5 has no value in frame 0
    assert summary.median[0] == np.median(values)
    np.testing.assert_allclose(summary.median[1:], 4.5 + np.array([1, 2, 3]) / 10, rtol=1e-6)
    assert summary.lower[0], summary.upper[0] == tuple(np.percentile(values, [25, 75]))


def test_memory_is_bounded_and_the_choice_does_not_depend_on_how_cells_come():
    kept = []
    for size in (1, 7, 100):
        sample = TraceSample(capacity=64)
        for first in range(0, 100, size):
            sample.add(table(min(size, 100 - first), 5, first=first), "value")
        assert sample.cells == 100
        assert sample.every == 16
        kept.append([float(line.value[0]) for line in sample.lines(1000)])
    assert kept[0] == kept[1] == kept[2] == [float(i) for i in range(0, 100, 16)]
    tracemalloc.start()
    sample = TraceSample(capacity=10_000)
    for first in range(0, 20_000, 1000):
        sample.add(table(1000, 20, first=first), "value")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8_000_000


def test_lines_are_broken_where_a_cell_has_no_good_row():
    sample = TraceSample()
    part = table(1, 7)
    part["good"] = ~np.isin(part["frame"], [3, 5])
    sample.add(part, "value")
    drawn = drawn_by("charts", "traces", TracePlot("value", "v", "v", sample), "min", 0)
    cells = drawn.split('class="cells">')[1].split("</g>")[0]
    assert cells.count("<path") == 1
    assert cells.count("<circle") == 2
    assert "time (min)" in drawn


def test_a_channel_of_every_third_frame_has_whole_lines():
    sample = TraceSample()
    part = table(1, 10)
    part["value"] = np.where(part["frame"] % 3, np.nan, part["value"])
    sample.add(part, "value")
    (line,) = charts.trace_chart(sample).cells
    assert len(re.findall(r"-?\d+", line)) == 2 * 4
    part["good"] = part["frame"] != 3
    sample = TraceSample()
    sample.add(part, "value")
    assert [type(each) for each in charts.trace_chart(sample).cells] == [tuple, str]


def test_small_charts_break_at_missing_frames():
    values = np.array([1.0, 2.0, np.nan, 4.0, np.nan, 5.0, 6.0])
    series = FrameSeries("cells", values, {2: "missing", 4: "missing", 5: "saturated"})
    drawn = drawn_by("charts", "sparkline", series)
    line = drawn.split('class="line">')[1]
    assert (line.count("<path"), line.count("<circle")) == (2, 1)
    assert "cells: 1 to 6" in drawn
    assert drawn.count('class="missing"') == 2
    assert "frame 5: saturated" in drawn
    without = FrameSeries("x", np.full(3, np.nan), {})
    assert drawn_by("charts", "sparkline", without) == ""
    assert "no frame has a value" in drawn_by("charts", "frames", FrameSeries("x", np.empty(0), {}))


def test_an_indexed_png_has_the_outlines_colours_and_the_greys():
    labels = np.zeros((40, 60), np.uint16)
    for i in range(6):
        labels[4 + 5 * i : 8 + 5 * i, 10:30] = 7 + 90 * i
    image = np.random.default_rng(1).normal(100, 5, labels.shape).astype(np.float32)
    drawn = draw_overlay(image, labels)
    data = indexed_png(drawn, np.unique(labels))
    back = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    coloured = (drawn[..., 0] != drawn[..., 1]) | (drawn[..., 1] != drawn[..., 2])
    assert coloured.sum() > 100
    np.testing.assert_array_equal(back[coloured], drawn[coloured])
    assert {tuple(c) for c in back[coloured].tolist()} == {
        colour_of(int(label)) for label in np.unique(labels) if label
    }
    difference = back[~coloured].astype(int) - drawn[~coloured].astype(int)
    assert np.abs(difference).max() <= 3


def test_any_number_of_labels_fits_the_palette():
    labels = np.arange(1, 1601, dtype=np.uint16).reshape(40, 40)
    drawn = draw_overlay(np.zeros((40, 40), np.uint16), labels)
    data = indexed_png(drawn, np.unique(labels))
    back = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(back, drawn)


@pytest.mark.parametrize(("shape", "size"), [((2048, 1024), (480, 240)), ((8, 5), (8, 5))])
def test_pictures_are_small_and_keep_their_shape(shape, size):
    image = np.full(shape, np.nan, np.float32)
    image[: shape[0] // 2] = 7
    made = picture(3, image, np.zeros(shape, np.uint32), None)
    assert (made.height, made.width) == size
    back = cv2.imdecode(np.frombuffer(made.png, np.uint8), cv2.IMREAD_COLOR)
    assert back.shape == (*size, 3)
    assert made.labels == ()
    assert made.frame == 3


def test_the_budget_of_pictures_is_shared_by_datasets():
    assert [PictureBudget(n).fovs for n in (0, 1, 4, 6, 48, 500)] == [12, 12, 12, 8, 1, 1]


def test_the_plotted_feature_is_the_total_intensity_or_the_first_there_is():
    content = {"channels": {"pc": 0, "fl": [1, 4]}, "channel_names": {1: "GFP"}}
    assert [plot.column for plot in plots_of(content)] == [
        "intensity_total_ch_1",
        "intensity_total_ch_4",
    ]
    assert [plot.title for plot in plots_of(content)] == [
        "GFP: total intensity",
        "channel 4: total intensity",
    ]
    arguments = {"features": {"pc": ["area"], "fl": ["background_mean", "raw_mean"]}}
    content["params"] = {"extract": {"arguments": arguments}}
    assert next((p.column, p.axis) for p in plots_of(content)) == (
        "raw_mean_ch_1",
        "raw mean (counts)",
    )
    arguments["features"]["fl"] = []
    content["channels"] = {"pc": 2, "fl": []}
    assert [(p.column, p.axis) for p in plots_of(content)] == [("area_ch_2", "area (px)")]
    arguments["features"]["pc"] = ["solidity"]
    assert plots_of(content) == []
