"""The default method against its plain reference, on stacks where much goes wrong."""

import numpy as np
import pytest
from tracking.scenes import drop, shuffle_labels, walking_discs

from fovflow.tracking import track_stack
from reference import tracking as reference


def damaged(seed, step=2.0):
    """Return walking discs with drift, missed detections, merges and fragments."""
    rng = np.random.default_rng(seed)
    stack = walking_discs(rng, frames=14, per_side=4, pitch=25, step=step)
    stack = drop(stack, 0.06, rng)
    for t, frame in enumerate(stack):
        frame[:] = np.roll(frame, (3 * t * (seed % 2), -2 * t * (seed % 2)), (0, 1))
        ids = np.unique(frame[frame > 0])
        first, second = rng.choice(ids, 2, replace=False)
        if t % 3 == 1:
            frame[frame == first] = second
        whole = np.argwhere(frame == ids[-1])
        if t > 6 and whole.size:
            half = whole[whole[:, 1] > np.median(whole[:, 1])]
            frame[tuple(half.T)] = 900
            frame[tuple(whole[whole[:, 1] == np.median(whole[:, 1]).round()].T)] = 0
    return shuffle_labels(stack, rng)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("params", [{}, {"divisions": False, "drift": False, "max_gap": 1}])
def test_the_same_links_as_the_reference(seed, params):
    stack = damaged(seed, step=1.5 + seed % 3)
    options = {"pixel_um": 1.0, "max_distance_um": 14.0, "max_drift_um": 12.0, **params}
    labeled, links = track_stack(stack, **options)
    expected, rows = reference.track_stack(stack, **options)
    np.testing.assert_array_equal(labeled, expected)
    for name, column in rows.items():
        np.testing.assert_allclose(links[name], column, rtol=1e-9, atol=1e-9, err_msg=name)
