"""Quality verdicts against their reference, on tables of hard movies."""

import numpy as np
import pytest
from agreement.movies import blobs

from fovflow.config.extract import QcConfig
from fovflow.quality import judge
from reference import features, quality, tracking

MISSING = (5,)


def movie(seed):
    """Table, links and shape of a movie with blurred, saturated, dark and missing frames."""
    rng = np.random.default_rng(seed)
    seg = np.delete(blobs(seed, frames=12), MISSING, axis=0)
    labeled, links = tracking.track_stack(seg, pixel_um=1.0)
    labeled = np.insert(labeled, MISSING, 0, axis=0)
    for name in ("frame", "previous_frame"):
        links[name] = links[name] + (links[name] >= MISSING[0])
    blur = rng.choice([1.0, 30.0], len(labeled))[:, None, None]
    phase = 500 + blur * rng.normal(0, 3, labeled.shape)
    raw = rng.normal(900, 45, labeled.shape).clip(0, 1023).astype(np.float32)
    raw[rng.random(raw.shape) < 0.001] = np.nan
    table = features.extract_traces(
        labeled, phase, {1: raw}, pixel_um=1.0, saturation=1010.0, erosion_px=1
    )
    light = rng.choice([1.0, 1.0, 1.0, 2.0, 0.3], len(labeled))
    table["intensity_total_ch_1"] = table["intensity_total_ch_1"] * light[table["frame"]]
    return table, links, labeled.shape


def compare(seed, **params):
    """Assert the same verdicts and flags; return the flags."""
    table, links, shape = movie(seed)
    options = {"shape": shape, "pixel_um": 1.0, "missing": MISSING, "links": links} | params
    options = {"frame_flags": {3: "nan; faint", 4: "threshold reset"}} | options
    fast = judge(table, **options)
    good, flags = quality.judge(table, **options)
    np.testing.assert_array_equal(fast["good"], good)
    assert fast["flags"].astype(str).tolist() == flags.tolist()
    return flags


EAGER = {
    "debris_share": 1.0, "max_step_radii": 0.05, "max_shading": 0.001, "size_ratio": 1.3,
    "ragged_sharpness": 1.0, "ragged_solidity": 0.95, "min_confidence": 0.9,
}  # fmt: skip


def test_every_rule_speaks():
    said = {
        name for seed in range(8) for text in compare(seed, **EAGER) for name in text.split(";")
    }
    assert said >= set(quality.ORDER) - {"bleaching", "decay", "shading"}


@pytest.mark.parametrize(
    "params",
    [
        QcConfig(preset="classic").arguments(),
        {"min_frames": 4, "min_frames_fraction": None},
        {"verdict": "cell"},
        {"border_um": 8.0, "border_measure": "centroid"},
        {"area_jump_ratio": 1.1, "area_jump_window": 4},
        {"merge_gain": 0.1, "links": None},
        {"merge_gain": 0.0, "area_jump_window": 1, "links": None},
        {"focus_ratio": 0.9, "foreground_jump": 1.05, "size_ratio": 1.3},
        {"debris_share": 1.0, "max_step_radii": 0.05, "max_shading": 0.001},
        {"ragged_sharpness": 1.0, "ragged_solidity": 0.95, "min_confidence": 0.9},
        {"rejoin_gap": 0},
        {"max_saturated_fraction": 0.0, "max_invalid_fraction": 0.02},
        {"reject": ("border", "gap", "lineage"), "note": ("min_frames", "merge")},
        {"reject": (), "note": ()},
    ],
)
def test_parameters(params):
    for seed in range(20, 25):
        compare(seed, **params)
