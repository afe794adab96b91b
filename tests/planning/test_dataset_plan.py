"""What the configuration wants against what the raw file holds."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from fovflow.config import parse_config
from fovflow.errors import ConfigError
from fovflow.planning import DatasetPlan, RawHeader, plan_dataset
from fovflow.planning.dataset import find_channel

HEADER = RawHeader(
    format="nd2",
    axes="PTCYX",
    n_frames=40,
    n_z=1,
    height=100,
    width=120,
    dtype="uint16",
    positions=("A1", None, "B1"),
    channels=("Phase", "GFP", "RFP"),
    pixel_um=0.65,
    time_source="measured",
    missing=(),
    warnings=(),
    n_bytes=1,
    fingerprint="x",
)


def plan(
    header: RawHeader = HEADER, dataset: dict[str, Any] | None = None, **config: Any
) -> DatasetPlan:
    content = {"datasets": {"a": {"path": "a.nd2", **(dataset or {})}}, **config}
    return plan_dataset("a", parse_config(content), header, needs_pixel_size=True)


def test_defaults_take_everything():
    found = plan()
    assert found.problems == ()
    assert (found.pc, found.fl, found.seg) == (0, (1, 2), 0)
    assert found.fovs == (0, 1, 2)
    assert found.frames == (0, 39, 1)
    assert found.n_frames == 40
    assert found.channels == (("pc", 0), ("fl", 1), ("fl", 2))


@pytest.mark.parametrize(
    ("channels", "expected"),
    [
        ({"pc": "Phase", "fl": ["RFP", 1]}, (0, (2, 1), 0)),
        ({"pc": "phase", "fl": "GFP"}, (0, (1,), 0)),
        ({"pc": "0", "fl": ["2"]}, (0, (2,), 0)),
        ({"pc": 0, "fl": []}, (0, (), 0)),
        ({"pc": None, "fl": ["GFP"], "seg": "GFP"}, (None, (1,), 1)),
        ({"fl": "all", "seg": "RFP"}, (0, (1, 2), 2)),
    ],
)
def test_channels_by_name_and_index(channels, expected):
    found = plan(channels=channels)
    assert found.problems == ()
    assert (found.pc, found.fl, found.seg) == expected


@pytest.mark.parametrize(
    ("channels", "message"),
    [
        (
            {"pc": "DIC"},
            "channels.pc: the channel 'DIC' is not in the file; found: 0 = Phase, 1 = GFP",
        ),
        ({"fl": [7]}, "channels.fl: the channel 7 is not in the file"),
        ({"pc": 1, "fl": ["GFP"]}, "a channel is named twice"),
        ({"fl": ["GFP", 1]}, "a channel is named twice"),
        ({"pc": None, "fl": []}, "no channel to find cells in"),
        ({"fl": ["GFP"], "seg": "RFP"}, "channels.seg: 'RFP' is neither pc nor one of fl"),
    ],
)
def test_wrong_channels_are_one_sentence(channels, message):
    found = plan(channels=channels)
    assert len(found.problems) == 1
    assert message in found.problems[0]
    assert found.fovs == ()


def test_a_name_that_fits_several_channels_is_refused():
    with pytest.raises(ConfigError, match="fits several"):
        find_channel("GFP", ("GFP", "GFP"), "channels.fl")
    assert find_channel("gfp", ("GFP", "RFP"), "channels.fl") == 0
    assert find_channel("1", ("0", "1x"), "channels.fl") == 1
    assert find_channel("0", ("x", "0"), "channels.fl") == 1, "names come before indices"


def test_a_dataset_has_channels_fovs_and_frames_of_its_own():
    found = plan(
        dataset={"channels": {"pc": 1, "fl": []}, "fovs": "1", "frames": "5-14:3"},
        channels={"pc": 0},
        fovs="0",
        frames="0-3",
    )
    assert (found.pc, found.fl, found.fovs, found.frames, found.n_frames) == (
        1, (), (1,), (5, 14, 3), 4,
    )  # fmt: skip


def test_fovs_outside_are_a_problem_and_the_others_stay():
    found = plan(fovs="0, 2-4")
    assert found.fovs == (0, 2)
    assert found.problems == (
        "fovs: 3-4 asked for; found: 3 FOVs in the file, counted from 0; to do: correct the range "
        "fovs",
    )


def test_all_problems_of_a_dataset_are_told():
    header = dataclasses.replace(HEADER, pixel_um=None, time_source="unknown")
    found = plan(
        header,
        channels={"pc": "DIC"},
        frames="0-40",
        copy={"crop": {"y1": 101, "x1": 10}, "z": {"Phase": 3, "DAPI": "max"}},
    )
    text = "\n".join(found.problems)
    for part in (
        "channels.pc",
        "frames: 0-40 asked for; found: 40 frames",
        "copy.crop: y1 101, x1 10 asked for; found: frames of 100 rows and 120 columns",
        "add pixel_um to the dataset",
        "add interval_s",
        "copy.z.Phase: plane 3 asked for; found: 1 planes",
        "copy.z.DAPI: the channel 'DAPI' is not in the file",
    ):
        assert part in text
    assert found.fovs == ()


def test_what_the_file_lacks_can_be_given():
    header = dataclasses.replace(HEADER, pixel_um=None, time_source="unknown")
    found = plan(header, dataset={"pixel_um": "0.5", "interval_s": 60})
    assert found.problems == ()
    assert found.pixel_um == 0.5


def test_a_crop_sets_the_size():
    found = plan(copy={"crop": {"y0": 10, "y1": 90, "x0": 5, "x1": 120}})
    assert (found.height, found.width) == (80, 115)
