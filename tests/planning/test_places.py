"""Where FOVs lie on the plate: known from the raw file, told by the statistics of a run."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from planning.test_dataset_plan import HEADER
from readers.nd2_files import STAGE as NAMED
from readers.nd2_files import save

from fovflow.analysis.merge import Measure
from fovflow.analysis.samples import place_of_well
from fovflow.config import parse_config
from fovflow.layout import Layout
from fovflow.planning import DatasetPlan, RawHeader
from fovflow.planning.analysis import AnalysisPlan
from fovflow.planning.header import _stage

WELLS = tuple(f"{row}{column:02d}_0001" for row in "BC" for column in (2, 3, 4, 5))
STAGE = tuple((1000.0 * (i % 4), 1000.0 * (i // 4)) for i in range(8))


def planned(*headers: RawHeader | None) -> AnalysisPlan:
    """Return the plan of datasets, each a sample."""
    names = "ab"[: len(headers)]
    content = {
        "datasets": {name: {"path": f"{name}.nd2"} for name in names},
        "outdir": "results",
        "samples": [
            {"name": f"s_{name}", "dataset": name, "fovs": "all", "condition": "c"}
            for name in names
        ],
        "statistics": {"draws": 100},
        "merge": {"features": ["area"]},
    }
    fovs = [tuple(range(len(header.positions))) if header else () for header in headers]
    plans = {
        name: DatasetPlan(name, header, pc=0, fl=(1,), fovs=own)
        for name, header, own in zip(names, headers, fovs, strict=True)
    }
    return AnalysisPlan(parse_config(content), Layout("results"), plans)


def header(positions=WELLS, stage=()) -> RawHeader:
    return dataclasses.replace(HEADER, positions=positions, stage_um=stage)


def test_the_stage_tells_before_the_wells_do():
    assert planned(header(stage=STAGE)).places()[5] == ("s_a", 5, 1000.0, 1000.0)
    assert planned(header()).places()[5] == ("s_a", 5, 3.0, 3.0)
    assert planned(header(positions=(None,) * 8)).places() == []
    mixed = planned(header(stage=STAGE), header()).places()
    assert len(mixed) == 16
    assert mixed[5] == ("s_a", 5, 3.0, 3.0)  # micrometres and wells are not put in one plane
    assert "places" not in planned(header(positions=(None,) * 8)).statistics_options()
    assert planned(None).places() == []


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        ([(1.0, 2.0), (3.0, 2.0)], ((1.0, 2.0), (3.0, 2.0))),
        ([(1.0, 2.0), (None, 2.0)], ()),
        ([(1.0, 2.0), (float("nan"), 2.0)], ()),
        ([(0.0, 0.0), (0.0, 0.0)], ()),
        ([(5.0, 6.0)], ((5.0, 6.0),)),
    ],
)
def test_places_that_the_file_does_not_tell_are_none(places, expected):
    assert _stage(places) == expected


def test_the_header_of_a_raw_file_tells_the_stage(tmp_path):
    path = save(tmp_path, np.zeros((2, 3, 2, 12, 10), np.uint16), positions=NAMED)
    assert RawHeader.read(str(path)).stage_um == ((10.0, 5.0), (20.0, 5.0), (30.0, 5.0))
    path = save(tmp_path, np.zeros((2, 3, 2, 12, 10), np.uint16))
    assert RawHeader.read(str(path)).stage_um == ()


@pytest.mark.parametrize(
    ("name", "place"), [("B03", (3, 2)), ("h12_7", (12, 8)), ("AA1", (1, 27)), ("left", None)]
)
def test_wells_are_columns_and_rows(name, place):
    assert place_of_well(name) == place


def test_a_plan_keeps_the_stage_and_one_of_before_has_none():
    content = header(stage=STAGE).to_json()
    assert RawHeader.from_json(content, "plan").stage_um == STAGE
    del content["stage_um"]
    assert RawHeader.from_json(content, "plan") == header()
    assert header().to_json() == content


def test_statistics_tell_the_effect_of_the_place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = {}
    for name, stage in (("known", STAGE), ("unknown", ())):
        plan = planned(header(positions=(None,) * 8, stage=stage))
        assert plan.measures["s_a"] == (Measure("area", 0, "area_ch_0"),)
        rows = [
            (time, fov, cell, 100 + STAGE[fov][0] / 100 + cell)
            for fov in range(8)
            for cell in range(5)
            for time in (0, 1)
        ]
        table = Path(plan.tables("s_a", "area_ch_0")[0])
        table.parent.mkdir(parents=True, exist_ok=True)
        table.write_text(
            "# Time units: h\n"
            + pd.DataFrame(rows, columns=["time", "fov", "cell", "value"]).to_csv(index=False)
        )
        plan.compare()
        found[name] = pd.read_csv("results/analysis/statistics.csv")["part_position"]
    assert found["known"].to_list() == pytest.approx([1.0, 1.0])
    assert found["unknown"].isna().all()
