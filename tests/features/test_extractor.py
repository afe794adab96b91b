"""The table: columns, types, order, options, errors."""

from __future__ import annotations

import gc
import inspect
import subprocess
import sys
import weakref

import numpy as np
import pytest

from fovflow.config.extract import ExtractConfig, FeaturesConfig
from fovflow.errors import ConfigError, FovflowError
from fovflow.features import (
    DEFAULT_FEATURES,
    FEATURES,
    Feature,
    extract_traces,
    find_features,
    get_extractor,
    measure_frames,
)

LEADING = [
    "fov",
    "cell",
    "frame",
    "time",
    "good",
    "position_x",
    "position_y",
    "bbox_x0",
    "bbox_y0",
    "bbox_x1",
    "bbox_y1",
]
TRAILING = ["position_x_um", "position_y_um", "area_um2", "flags"]


def movie(frames=3, size=40):
    labels = np.zeros((frames, size, size), np.uint16)
    for t in range(frames):
        labels[t, 5 + t : 15 + t, 20:30] = 60000
        labels[t, 25:30, 2 + t : 9 + t] = 3
    raw = np.random.default_rng(0).integers(100, 200, labels.shape).astype(np.uint16)
    return labels, raw


def test_columns_types_and_order():
    labels, raw = movie()
    chosen = {"pc": ["circularity", "area"], "fl": ["intensity_px", "intensity_total"]}
    extractor = get_extractor(
        fov=7, pc=0, fl=[2, 1], time=[0, 2.5, np.nan], features=chosen, pixel_um=0.5
    )
    for t in (2, 0, 1):
        extractor.add(t, labels[t], raw[t], {1: (raw[t], raw[t] - 90.0), 2: (raw[t], None)})
    table = extractor.finish()
    assert list(table) == [
        *LEADING,
        "circularity_ch_0", "area_ch_0", "intensity_px_ch_2", "intensity_total_ch_2",
        "intensity_px_ch_1", "intensity_total_ch_1",
        *TRAILING,
    ]  # fmt: skip
    assert table["cell"].tolist() == [3, 3, 3, 60000, 60000, 60000]
    assert table["frame"].tolist() == [0, 1, 2, 0, 1, 2]
    assert table["fov"].tolist() == [7] * 6
    assert table["time"][:2].tolist() == [0.0, 2.5]
    assert np.isnan(table["time"][2])
    assert table["position_y"].tolist() == [27, 27, 27, 9.5, 10.5, 11.5]
    assert table["position_y_um"].tolist() == [13.5, 13.5, 13.5, 4.75, 5.25, 5.75]
    assert table["area_um2"].tolist() == [8.75] * 3 + [25.0] * 3
    assert table["good"].all()
    assert set(table["flags"].tolist()) == {""}
    kinds = {name: values.dtype.kind for name, values in table.items()}
    assert {n for n, k in kinds.items() if k == "i"} == {
        "fov", "cell", "frame", "bbox_x0", "bbox_y0", "bbox_x1", "bbox_y1", "area_ch_0",
        "intensity_px_ch_1", "intensity_px_ch_2",
    }  # fmt: skip
    total = raw[0][labels[0] == 3].astype(float).sum()
    assert table["intensity_total_ch_2"][0] == total
    assert table["intensity_total_ch_1"][0] == pytest.approx(total - 90 * 35)


def test_no_cells_gives_all_columns_with_their_types():
    empty = get_extractor(fov=0, pc=0, fl=[1], time=[0, 1])
    empty.add(0, np.zeros((8, 8), np.uint32), np.zeros((8, 8)), {1: (np.zeros((8, 8)), None)})
    full = get_extractor(fov=0, pc=0, fl=[1], time=[0])
    full.add(0, np.ones((8, 8), np.uint32), np.ones((8, 8)), {1: (np.ones((8, 8)), None)})
    none, some = empty.finish(), full.finish()
    assert {n: v.dtype for n, v in none.items()} == {n: v.dtype for n, v in some.items()}
    assert all(v.size == 0 for v in none.values())
    assert np.isnan(some["area_um2"]).all()


def test_finish_can_be_asked_again_and_closes():
    labels, _ = movie(1)
    extractor = get_extractor(fov=0, pc=0, fl=[], time=[0, 1], features={"pc": ["area"]})
    extractor.add(0, labels[0])
    assert extractor.finish()["area_ch_0"].tolist() == extractor.finish()["area_ch_0"].tolist()
    with pytest.raises(RuntimeError, match="finished"):
        extractor.add(1, labels[0])


def test_without_phase_channel():
    labels, raw = movie(1)
    extractor = get_extractor(fov=0, pc=None, fl=[0], time=[0], features={"fl": ["raw_mean"]})
    extractor.add(0, labels[0], None, {0: (raw[0], None)})
    assert [n for n in extractor.finish() if "_ch_" in n] == ["raw_mean_ch_0"]


def test_bytes_do_not_depend_on_layout_or_dtype_of_labels():
    labels, raw = movie(1)
    tables = []
    for variant in (
        labels[0],
        labels[0].astype(np.uint32),
        np.asfortranarray(labels[0].astype(int)),
    ):
        extractor = get_extractor(fov=0, pc=0, fl=[1], time=[0])
        extractor.add(0, variant, raw[0], {1: (raw[0], np.asfortranarray(raw[0] - 50.0))})
        tables.append({n: v.tobytes() for n, v in extractor.finish().items() if n != "flags"})
    assert tables[0] == tables[1] == tables[2]


def test_whole_arrays():
    labels, raw = movie()
    frame = extract_traces(
        labels, raw, {1: raw}, {1: raw - 90.0}, time=[0, 5, 10], missing={1}, pixel_um=2.0
    )
    assert frame["frame"].tolist() == [0, 2, 0, 2]
    assert frame["time"].tolist() == [0, 10, 0, 10]
    assert frame["area_um2"].tolist() == [140.0, 140.0, 400.0, 400.0]
    assert len([n for n in frame if n.endswith("_ch_0")]) == len(DEFAULT_FEATURES["pc"])
    alone = extract_traces(labels)
    assert "area_ch_0" in alone
    assert "sharpness_ch_0" not in alone
    assert np.isnan(alone["time"]).all()


def broken(cell):
    raise ZeroDivisionError("no light")


@pytest.mark.parametrize(
    ("feature", "words"),
    [
        (
            Feature("bad", "fl", "1", "-", broken, per_cell=True),
            "frame 0: the feature 'bad' failed",
        ),
        (Feature("bad", "fl", "1", "-", lambda cells: np.zeros(5)), "shape"),
        (Feature("bad", "fl", "1", "-", lambda cells: np.zeros(2), integer=True), "integers"),
        (Feature("bad", "fl", "1", "-", lambda cells: ["a", "b"]), "numbers"),
    ],
)
def test_failing_features_are_named(monkeypatch, feature, words):
    monkeypatch.setitem(FEATURES, "bad", feature)
    labels, raw = movie(1)
    extractor = get_extractor(fov=3, pc=None, fl=[1], time=[0], features={"fl": ["bad"]})
    with pytest.raises(FovflowError, match=words):
        extractor.add(0, labels[0], None, {1: (raw[0], None)})


def test_wrong_frames_are_refused():
    labels, raw = movie(1)
    good = {1: (raw[0], None)}
    for t, label, phase, channels, words in [
        (1, labels[0], None, good, "frame 1"),
        (0, labels[0], raw[0][1:], good, "phase does not fit"),
        (0, labels[0], None, {1: (raw[0], raw[0][:, 1:])}, "channel 1, corrected"),
        (0, labels[0], None, {2: (raw[0], None)}, "channel 1 is not given"),
        (0, labels[0].astype(float), None, good, "arrays of integers"),
        (0, labels[0].astype(int) - 1, None, good, "negative"),
        (0, labels[0] > 0, None, good, "arrays of integers"),
    ]:
        extractor = get_extractor(fov=0, pc=0, fl=[1], time=[0], features={"pc": ["area"]})
        with pytest.raises(FovflowError, match=words):
            extractor.add(t, label, phase, channels)
    extractor = get_extractor(fov=0, pc=0, fl=[1], time=[0], features={"pc": ["area"]})
    extractor.add(0, labels[0], None, good)
    with pytest.raises(FovflowError, match="added before"):
        extractor.add(0, labels[0], None, good)
    needs = get_extractor(fov=0, pc=0, fl=[], time=[0], features={"pc": ["phase_mean"]})
    with pytest.raises(FovflowError, match="phase-contrast frame"):
        needs.add(0, labels[0])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"features": {"pc": ["aera"]}}, "aera"),
        ({"features": {"pc": ["intensity_total"]}}, "other channel kind"),
        ({"features": {"pc": ["area", "area"]}}, "stands twice"),
        ({"features": {"dic": ["area"]}}, "'dic'"),
        ({"erosion_px": -1}, "erosion_px"),
        ({"erosion_px": 1.5}, "erosion_px"),
        ({"background_weight": 1.1}, "background_weight"),
        ({"background_weight": float("nan")}, "background_weight"),
        ({"pixel_um": 0}, "pixel_um"),
        ({"fl": [1, 1]}, "fl"),
        ({"time": 5}, "time"),
    ],
)
def test_wrong_options_are_named(options, words):
    with pytest.raises(ConfigError, match=words):
        get_extractor(**{"fov": 0, "pc": 0, "fl": [1], "time": [0], **options})


def test_parameters_agree_with_the_config_model():
    parameters = inspect.signature(get_extractor).parameters
    data = {"fov", "pc", "fl", "time", "pixel_um", "rows"}
    assert set(ExtractConfig.model_fields) == set(parameters) - data
    for name in ("erosion_px", "background_weight", "saturation"):
        assert ExtractConfig.model_fields[name].default == parameters[name].default
    assert FeaturesConfig().model_dump() == DEFAULT_FEATURES
    table = get_extractor(fov=0, pc=0, fl=[1], time=[], **ExtractConfig().model_dump()).finish()
    assert [n for n in table if n.endswith("_ch_1")] == [
        f"{n}_ch_1" for n in DEFAULT_FEATURES["fl"]
    ]


def test_config_names_unknown_features_and_lists_the_known():
    with pytest.raises(ValueError, match=r"aera.*known: .*area") as caught:
        ExtractConfig(features={"pc": ["aera"]})
    assert "intensity_total" in str(caught.value)
    chosen = ExtractConfig(features={"fl": ["raw_mean"]}).features
    assert chosen.fl == ("raw_mean",)
    assert chosen.pc == DEFAULT_FEATURES["pc"]


def test_config_describes_every_feature():
    for kind in ("pc", "fl"):
        text = FeaturesConfig.model_fields[kind].description
        for name, feature in FEATURES.items():
            assert (f" {name}" in text) == (feature.kind == kind), name


def test_plugins_are_found_and_checked(monkeypatch):
    plugin = Feature("p90", "fl", "counts", "-", lambda c: np.percentile(c.values, 90), True)
    monkeypatch.setattr("fovflow.config.features.find", lambda kind, name, builtin: plugin)
    assert find_features("fl", ["p90"]) == (plugin,)
    with pytest.raises(ConfigError, match="other channel kind"):
        find_features("pc", ["p90"])
    with pytest.raises(ConfigError, match="no feature of that name"):
        find_features("fl", ["p95"])


def test_importing_features_brings_no_heavy_package():
    heavy = ["scipy", "skimage", "pandas", "pydantic", "cv2", "yaml"]
    code = (
        "import sys, fovflow.features, fovflow.quality, fovflow.tables;"
        f"print([m for m in {heavy} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_channel_that_was_not_recorded_in_a_frame_has_empty_features():
    labels = np.zeros((20, 20), np.uint16)
    labels[5:12, 5:12] = 3
    light = np.full((20, 20), 7.0, np.float32)
    extractor = get_extractor(fov=0, pc=0, fl=[1], pixel_um=None, time=[0.0, 1.0])
    for t, pair in enumerate([(light, light), None]):
        extractor.add(t, labels, light, {1: pair})
    table = extractor.finish()
    for name in (n for n in table if n.endswith("_ch_1")):
        second = table[name][1]
        assert np.isnan(second) or second == 0, name
    assert table["intensity_total_ch_1"][0] == 49 * 7
    assert table["area_ch_0"].tolist() == [49, 49]


def test_a_frame_is_gone_before_the_next_one_is_read():
    labels, raw = movie()
    extractor = get_extractor(fov=0, pc=0, fl=[1], time=[0.0, 1.0, 2.0], features={}, pixel_um=1.0)
    alive = []

    def read(t):
        assert [ref() is None for ref in alive] == [True] * t
        own = labels[t].copy()
        alive.append(weakref.ref(own))
        return own, raw[t], {1: (raw[t], raw[t].astype(np.float32))}

    frames = (read(t) for t in range(3))
    gc.disable()
    try:
        measure_frames(extractor, frames, [False, True, False])
    finally:
        gc.enable()
    assert len(alive) == 3


@pytest.mark.parametrize("missing", [[False], [False] * 3])
def test_each_frame_says_whether_it_is_missing(missing):
    labels, raw = movie()
    extractor = get_extractor(fov=0, pc=0, fl=[1], time=[0.0, 1.0, 2.0], features={}, pixel_um=1.0)
    views = [(labels[t], raw[t], {1: (raw[t], raw[t].astype(np.float32))}) for t in range(2)]
    with pytest.raises(ValueError, match="2 frames, but"):
        measure_frames(extractor, views, missing)


def test_a_measured_frame_is_not_kept():
    labels, raw = movie()
    extractor = get_extractor(fov=0, pc=0, fl=[1], time=[0.0, 1.0, 2.0], features={}, pixel_um=1.0)
    frames = (labels[0].copy(), raw[0].copy(), raw[0].copy(), raw[0].astype(np.float32))
    alive = [weakref.ref(frame) for frame in frames]
    gc.disable()
    try:
        extractor.add(0, frames[0], frames[1], {1: frames[2:]})
        del frames
        assert [ref() is None for ref in alive] == [True] * 4
    finally:
        gc.enable()
