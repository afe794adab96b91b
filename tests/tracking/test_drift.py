import numpy as np
import pytest
from tracking.scenes import boxes, disc

from fovflow.tracking import get_tracker
from fovflow.tracking.iou import estimate
from fovflow.tracking.overlaps import encode


def scattered(rng, n, shift=(0, 0), spread=0.0, shape=(300, 300)):
    labels = np.zeros(shape, np.uint16)
    grid = [(y, x) for y in range(40, 280, 48) for x in range(40, 280, 48)]
    radii = rng.uniform(7, 12, len(grid))
    jitter = rng.uniform(-10, 10, (len(grid), 2))
    move = rng.normal(0, 1, (len(grid), 2)) * spread + shift
    for k in range(n):
        y, x = np.array(grid[k]) + jitter[k] + move[k]
        disc(labels, y, x, radii[k], k + 1)
    return labels


@pytest.mark.parametrize("shift", [(0, 0), (30, 0), (-17, 22), (3, -30)])
def test_a_common_shift_is_found(shift):
    before = encode(scattered(np.random.default_rng(1), 20))
    after = encode(scattered(np.random.default_rng(1), 20, shift))
    assert estimate(before, after, 40.0) == shift


def test_cells_that_move_on_their_own_add_no_drift():
    before = encode(scattered(np.random.default_rng(2), 25))
    after = encode(scattered(np.random.default_rng(2), 25, spread=2.0))
    assert max(map(abs, estimate(before, after, 40.0))) <= 1


def test_missed_and_new_cells_do_not_disturb_it():
    before = scattered(np.random.default_rng(3), 24)
    after = scattered(np.random.default_rng(3), 24, (30, -12), spread=1.0)
    before[np.isin(before, [1, 5, 9])] = 0
    after[np.isin(after, [2, 6])] = 0
    dy, dx = estimate(encode(before), encode(after), 40.0)
    assert abs(dy - 30) <= 1
    assert abs(dx + 12) <= 1


def test_a_regular_array_does_not_jump_by_one_place():
    before, after = np.zeros((2, 240, 240), np.uint16)
    places = [(y, x) for y in range(20, 240, 40) for x in range(20, 240, 40)]
    for k, (y, x) in enumerate(places, start=1):
        if k % 7:
            disc(before, y, x, 9, k)
        if k % 5:
            disc(after, y, x + 1, 9, k)
    assert estimate(encode(before), encode(after), 45.0) == (0, 1)


def test_too_few_cells_too_far_or_nothing_in_common_give_no_drift():
    two = boxes({1: (5, 5, 9, 9), 2: (40, 40, 9, 9)}, {1: (25, 5, 9, 9), 2: (60, 40, 9, 9)})
    assert estimate(encode(two[0]), encode(two[1]), 40.0) == (0, 0)
    before = encode(scattered(np.random.default_rng(1), 20))
    after = encode(scattered(np.random.default_rng(1), 20, (30, 0)))
    assert estimate(before, after, 20.0) == (0, 0)
    assert estimate(before, after, 0.0) == (0, 0)


def squares(places, others=()):
    """Return the objects of a frame: squares at places (y, x), and others of another area."""
    cells = [(y, x, 9, 9) for y, x in places] + [(y, x, 20, 20) for y, x in others]
    return encode(boxes(dict(enumerate(cells, start=1)), shape=(300, 300))[0])


@pytest.mark.parametrize(
    ("together", "count", "shift"),
    [(3, 3, (18, 5)), (3, 6, (18, 5)), (3, 8, (0, 0)), (2, 2, (0, 0)), (2, 6, (0, 0))],
)
def test_three_objects_and_half_of_all_make_a_drift(together, count, shift):
    places = [(20, 20), (20, 99), (99, 30), (200, 60), (200, 160), (99, 200), (60, 250), (5, 200)]
    before = places[:count]
    after = [(y + 18, x + 5) for y, x in before[:together]]
    others = [(260, 10 + 40 * k) for k in range(count - together)]
    assert estimate(squares(before), squares(after, others), 40.0) == shift


@pytest.mark.parametrize("shift", [(18, 0), (-18, 0), (0, 18), (0, -18)])
def test_of_two_drifts_with_as_many_votes_the_smaller_one_is_taken(shift):
    rows = [(y, x) for y in range(60, 240, 40) for x in range(60, 240, 40)]
    after = [(y + shift[0], x + shift[1]) for y, x in rows]
    back = [(y + shift[0] - np.sign(shift[0]) * 40, x + shift[1] - np.sign(shift[1]) * 40)
            for y, x in rows]  # fmt: skip
    both = sorted(set(after) & set(back))
    assert len(both) == 20
    assert estimate(squares(rows), squares(both), 45.0) == shift


def test_a_drift_of_thirty_pixels_per_frame_is_followed_and_reported():
    rng = np.random.default_rng
    stack = [scattered(rng(5), 12, (30 * t, 0), shape=(420, 300)) for t in range(4)]
    tracker = get_tracker("iou", pixel_um=1.0)
    for t, labels in enumerate(stack):
        tracker.add(t, labels)
    lineage = tracker.finish()
    assert lineage.n_cells == 12
    assert lineage.drift["y"].tolist() == [0, 30, 60, 90]
    assert lineage.drift["x"].tolist() == [0, 0, 0, 0]
    assert np.nanmin(lineage.links["iou"]) > 0.9
    assert np.nanmax(lineage.links["distance_px"]) < 0.2


def test_a_cell_missed_during_a_drift_is_found_where_it_should_be():
    rng = np.random.default_rng
    stack = [scattered(rng(5), 12, (30 * t, 0), shape=(420, 300)) for t in range(4)]
    stack[1][stack[1] == 3] = 0
    stack[2][stack[2] == 3] = 0
    tracker = get_tracker("iou", pixel_um=1.0)
    for t, labels in enumerate(stack):
        tracker.add(t, labels)
    links = tracker.finish().links
    assert links["cell"].max() == 12
    assert sorted(links["gap"].tolist())[-2:] == [0, 2]
