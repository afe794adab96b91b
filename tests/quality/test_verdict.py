"""Verdicts as a whole: presets, order of rows, ledger, config."""

from __future__ import annotations

import inspect
from typing import get_args

import numpy as np
import pytest

from fovflow.config.extract import QcConfig, Rule
from fovflow.errors import ConfigError, FovflowError
from fovflow.quality import NOTE, REASONS, RULES, judge, ledger
from fovflow.quality.verdict import telling_links

SHAPE = (60, 400, 400)
CLASSIC = QcConfig(preset="classic").arguments()


def random_table(seed=0, cells=30):
    rng = np.random.default_rng(seed)
    frames = [np.flatnonzero(rng.random(60) < p) for p in rng.random(cells)]
    cell = np.repeat(np.arange(1, cells + 1), [f.size for f in frames])
    frame = np.concatenate(frames)
    n = cell.size
    x = np.repeat(rng.uniform(30, 370, cells), [f.size for f in frames]) + rng.normal(0, 3, n)
    y = np.repeat(rng.uniform(30, 370, cells), [f.size for f in frames]) + rng.normal(0, 3, n)
    half = rng.integers(9, 13, n)
    return {
        "fov": np.zeros(n, int), "cell": cell, "frame": frame, "time": frame * 1.0,
        "good": np.ones(n, bool), "position_x": x, "position_y": y,
        "bbox_x0": (x - half).astype(int), "bbox_y0": (y - half).astype(int),
        "bbox_x1": (x + half).astype(int), "bbox_y1": (y + half).astype(int),
        "area_ch_0": 4 * half**2, "sharpness_ch_0": rng.random(n),
        "saturated_fraction_ch_1": rng.random(n) * 0.0105,
        "invalid_fraction_ch_1": np.zeros(n), "flags": np.full(n, "", object),
    }  # fmt: skip


@pytest.mark.parametrize("seed", range(5))
def test_classic_is_thirty_frames_and_fifty_pixels_per_cell(seed):
    table = random_table(seed)
    judged = judge(table, shape=SHAPE, **CLASSIC)
    for cell in np.unique(table["cell"]):
        own = table["cell"] == cell
        x, y = table["position_x"][own], table["position_y"][own]
        nearest = np.min([x, y, 399 - x, 399 - y])
        good = bool(own.sum() >= 30 and nearest >= 50)
        assert judged["good"][own].tolist() == [good] * own.sum()
        reasons = ["min_frames"] * int(own.sum() < 30) + ["border"] * int(nearest < 50)
        assert set(judged["flags"][own]) == {";".join(reasons)}


def test_rows_are_never_removed_and_other_columns_stay():
    table = random_table()
    judged = judge(table, shape=SHAPE)
    assert list(judged) == list(table)
    for name in set(table) - {"good", "flags"}:
        assert judged[name].tolist() == table[name].tolist()
    assert 0 < judged["good"].sum() < judged["good"].size
    assert table["good"].all()  # the input is left as it was


def test_flags_stand_in_the_order_of_the_rules_and_explain_every_bad_row():
    judged = judge(random_table(), shape=SHAPE)
    order = ["min_frames", *REASONS, *list(RULES)[1:]]
    assert sum(";" in text for text in judged["flags"]) > 10
    for text, good in zip(judged["flags"], judged["good"], strict=True):
        names = text.split(";") if text else []
        assert names == sorted(names, key=order.index)
        assert good == (not set(names) - {*NOTE, *REASONS})


def test_verdicts_do_not_depend_on_the_order_of_rows():
    table = random_table()
    shuffled = np.random.default_rng(1).permutation(table["cell"].size)
    judged = judge(table, shape=SHAPE)
    other = judge({n: v[shuffled] for n, v in table.items()}, shape=SHAPE)
    assert other["good"].tolist() == judged["good"][shuffled].tolist()
    assert other["flags"].tolist() == judged["flags"][shuffled].tolist()


@pytest.mark.parametrize("missing", [(), ("iou",), ("merged",), ("confidence",), ("parent",)])
@pytest.mark.parametrize("compared", [True, False])
def test_links_that_tell_nothing_change_no_verdict(missing, compared):
    table, rng = random_table(), np.random.default_rng(2)
    n = table["cell"].size
    links = {
        "cell": table["cell"], "frame": table["frame"],
        "parent": np.where(rng.random(n) < 0.01, rng.integers(1, 30, n), 0),
        "merged": np.where(rng.random(n) < 0.02, rng.integers(1, 4, n), 0),
        "confidence": np.where(rng.random(n) < 0.3, np.nan, rng.random(n) ** 0.1),
        "iou": np.full(n, np.nan),
    }  # fmt: skip
    plain = (links["parent"] == 0) & (links["merged"] == 0) & ~(links["confidence"] < 0.6)
    links["iou"][plain] = rng.random(plain.sum()) if compared else np.nan
    links = {name: values for name, values in links.items() if name not in missing}
    few = telling_links(links, 0.6)
    assert list(few) == list(links)
    assert len(few["cell"]) < 0.1 * n
    options = {"shape": SHAPE, "min_confidence": 0.6}
    whole, told, none = (judge(table, links=links_, **options) for links_ in (links, few, None))
    for name in ("good", "flags"):
        assert told[name].tolist() == whole[name].tolist()
    assert none["flags"].tolist() != whole["flags"].tolist()


@pytest.mark.parametrize("arguments", [{}, CLASSIC], ids=["default", "classic"])
def test_empty_table(arguments):
    table = {name: values[:0] for name, values in random_table().items()}
    judged = judge(table, shape=SHAPE, **arguments)
    assert judged["good"].dtype == bool
    assert judged["flags"].dtype == object
    assert ledger(judged)["cells"] == {"detected": 0, "kept": 0, "rejected": 0}
    judge(table, shape=(0, 8, 8), **arguments)


def test_data_frame_is_accepted():
    pandas = pytest.importorskip("pandas")
    table = random_table()
    judged = judge(pandas.DataFrame(table), shape=SHAPE)
    assert judged["flags"].tolist() == judge(table, shape=SHAPE)["flags"].tolist()


def test_ledger_counts():
    table = {
        "cell": np.array([1, 1, 2, 2, 3]),
        "good": np.array([True, False, False, False, False]),
        "flags": np.array(["", "border;gap", "border", "gap;border", ""], object),
        "area_ch_0": np.ones(5),
    }
    assert ledger(table) == {
        "cells": {"detected": 3, "kept": 1, "rejected": 2},
        "rows": {"detected": 5, "kept": 1, "rejected": 4},
        "reasons": {"border": {"cells": 2, "rows": 3}, "gap": {"cells": 2, "rows": 2}},
        "causes": {},
        "unexplained": 1,
        "not_evaluated": [
            "saturation",
            "invalid",
            "focus",
            "ragged",
            "bleaching",
            "shading",
            "dim",
            "decay",
            "light",
        ],
    }


def test_each_lost_cell_has_one_first_cause():
    flags = {
        1: ["min_frames;border", "min_frames;border", "min_frames"],
        2: ["min_frames;broken;gap", "min_frames;broken", "min_frames;broken"],
        3: ["", "border", ""],
        4: ["rejected;border", "rejected;border", "rejected"],
        5: ["min_frames;size", "min_frames;size;border", "min_frames"],
        6: ["gap", "gap", ""],
    }
    table = {
        "cell": np.repeat(list(flags), 3),
        "good": np.repeat([cell == 3 for cell in flags], 3),
        "flags": np.array([text for texts in flags.values() for text in texts], object),
    }
    causes = ledger(table, ["min_frames", "border", "size"])["causes"]
    assert causes == {"border": 1, "min_frames": 1, "rejected": 1, "size": 1}


def test_ledger_explains_bad_rows_only():
    good, bad = (np.array([which] * 3) for which in (True, False))
    table = {"cell": np.arange(3), "flags": np.full(3, "", object)}
    assert ledger(table | {"good": good})["unexplained"] == 0
    assert ledger(table | {"good": bad})["unexplained"] == 3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"reject": ("borders",)}, "no rule 'borders'"),
        ({"reject": ("border",), "note": ("border",)}, "stands twice"),
        ({"border_um": 3.0}, "border_um needs the size of a pixel"),
    ],
)
def test_wrong_options(options, words):
    with pytest.raises(ConfigError, match=words):
        judge(random_table(), shape=SHAPE, **options)


def test_missing_column():
    table = random_table()
    del table["position_x"]
    with pytest.raises(FovflowError, match="position_x"):
        judge(table, shape=SHAPE)


def test_config_agrees_with_the_function():
    parameters = inspect.signature(judge).parameters
    data = {"columns", "shape", "pixel_um", "missing", "unrecorded", "links", "frame_flags"}
    assert set(QcConfig.model_fields) - {"preset"} == set(parameters) - data
    for name, field in QcConfig.model_fields.items():
        if name != "preset":
            assert field.default == parameters[name].default, name
            assert field.description
    assert get_args(Rule) == tuple(RULES)


def test_config_presets():
    assert QcConfig().arguments() == {
        n: p.default
        for n, p in inspect.signature(judge).parameters.items()
        if n in QcConfig.model_fields
    }
    assert {
        **QcConfig().arguments(),
        "reject": ("min_frames", "border"),
        "note": (),
        "verdict": "cell",
        "min_frames": 30,
        "min_frames_fraction": None,
        "border_px": 50.0,
        "border_um": None,
        "border_measure": "centroid",
        "rejoin_gap": 0,
    } == CLASSIC
    own = QcConfig(preset="classic", border_px=10)
    assert (own.border_px, own.verdict) == (10, "cell")
    with pytest.raises(ValueError, match="border stands twice"):
        QcConfig(reject=["border"], note=["border"])
    with pytest.raises(ValueError, match="min_frame"):
        QcConfig(min_frame=3)
    assert judge(random_table(), shape=SHAPE, **CLASSIC)["good"].any()


@pytest.mark.parametrize("verdict", ["row", "cell"])
def test_a_channel_that_was_recorded_in_some_frames_rejects_no_cell(verdict):
    table = random_table()
    sparse = np.where(table["frame"] % 3 == 0, 0.0, np.nan)
    whole = judge(table, shape=SHAPE, verdict=verdict)
    unrecorded = {1: [t for t in range(60) if t % 3]}
    part = table | {"invalid_fraction_ch_1": sparse}
    judged = judge(part, shape=SHAPE, verdict=verdict, unrecorded=unrecorded)
    assert judged["flags"].tolist() == whole["flags"].tolist()
    other = judge(part, shape=SHAPE, verdict=verdict, unrecorded={2: unrecorded[1]})
    assert "invalid" in ";".join(other["flags"])
    assert judged["good"].tolist() == whole["good"].tolist()
