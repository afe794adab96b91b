import numpy as np
import pytest
from tracking.scenes import boxes, drop, ids_at, rows_of

from fovflow.accuracy import complete_tracks, division_f1
from fovflow.simulation import MovieParams, simulate
from fovflow.tracking import divisions, track_stack
from fovflow.tracking.divisions import Chains, Division, decide

MOTHER = (30, 30, 16, 24)
ONE, OTHER = (30, 26, 15, 13), (31, 44, 15, 12)


def track(stack, **params):
    return track_stack(stack, method="iou", pixel_um=1.0, **params)


def before(n):
    return [{1: MOTHER}] * n


def after(n):
    return [{1: ONE, 2: OTHER}] * n


def test_a_division_ends_the_parent_and_starts_two_daughters():
    labeled, links = track(boxes(*before(3), *after(3)))
    assert ids_at(labeled, (2, 35, 35), (3, 35, 30), (3, 35, 50)) == [1, 2, 3]
    assert rows_of(links, 1)["frame"] == [0, 1, 2]
    for daughter in (2, 3):
        rows = rows_of(links, daughter)
        assert rows["frame"] == [3, 4, 5]
        assert rows["parent"] == [1, 0, 0]
        assert rows["previous_frame"] == [2, 3, 4]
    # Columns 26..38 and 44..55 of the mother's 30..53; rows 30..44 and 31..45 of its 30..45.
    one, other = 15 * 9, 15 * 10
    sizes = 16 * 24, 15 * 13, 15 * 12
    assert links["iou"][links["parent"] == 1] == pytest.approx(
        [one / (sizes[0] + sizes[1] - one), other / (sizes[0] + sizes[2] - other)]
    )
    said = links["confidence"][links["parent"] == 1]
    assert said[0] == said[1]
    assert 0.9 < said[0] < 1


def test_without_divisions_one_daughter_goes_on_as_the_parent():
    _, links = track(boxes(*before(3), *after(3)), divisions=False)
    assert (links["parent"] == 0).all()
    assert sorted(len(rows_of(links, cell)["frame"]) for cell in (1, 2)) == [3, 6]


@pytest.mark.parametrize("late", [1, 2, 3])
@pytest.mark.parametrize("which", [ONE, OTHER])
def test_a_daughter_that_is_missed_at_first_is_still_a_daughter(late, which):
    _, links = track(boxes(*before(3), *[{1: which}] * late, *after(3)))
    assert sorted(links["parent"][links["parent"] > 0].tolist()) == [1, 1]
    firsts = links["frame"][links["parent"] > 0]
    assert sorted(firsts.tolist()) == [3, 3 + late]


def test_a_parent_that_is_missed_before_the_division():
    _, links = track(boxes(*before(3), {}, *after(3)))
    assert links["parent"][links["frame"] == 4].tolist() == [1, 1]
    assert links["gap"][links["frame"] == 4].tolist() == [1, 1]


def test_daughters_in_the_last_frame_count():
    _, links = track(boxes(*before(3), *after(1)))
    assert links["parent"].tolist() == [0, 0, 0, 1, 1]


def test_two_generations():
    left, right = (30, 25, 8, 11), (39, 27, 8, 11)
    stack = boxes(*before(2), *after(3), *[{1: left, 2: right, 3: OTHER}] * 2)
    labeled, links = track(stack)
    children = {int(c): int(p) for c, p in zip(links["cell"], links["parent"], strict=True) if p}
    assert children == {2: 1, 3: 1, 4: 2, 5: 2}
    assert ids_at(labeled, (6, 32, 28), (6, 42, 30), (6, 40, 50)) == [4, 5, 3]


@pytest.mark.parametrize(
    ("newcomer", "why"),
    [
        ({1: MOTHER, 2: (30, 56, 16, 22)}, "the old cell keeps its size"),
        ({1: (30, 30, 16, 20), 2: (30, 51, 5, 5)}, "a small piece"),
        ({1: (31, 37, 14, 12), 2: (30, 58, 14, 12)}, "the new one lies to one side"),
        ({1: (30, 30, 7, 24), 2: (38, 30, 4, 23)}, "too little of the area is left"),
    ],
)
def test_what_is_no_division(newcomer, why):
    _, links = track(boxes(*before(3), *[newcomer] * 3))
    assert (links["parent"] == 0).all(), why


def between(place: float) -> list[Division]:
    """Return the divisions of a new cell at `place` between two parents, at 0 and at 8."""
    #        two parents, the cells that they go on as, the new one between them
    x = np.array([0.0, 8.0, -3.0, 11.0, place])
    chains = Chains(
        previous=np.array([-1, -1, 0, 1, -1]), following=np.array([2, 3, -1, -1, -1]),
        head=np.array([0, 1, 0, 1, 4]), frame=np.array([0, 0, 1, 1, 1]),
        area=np.array([100, 100, 50, 50, 50]), y=np.zeros(5), x=x,
    )  # fmt: skip
    return decide(chains, [], np.arange(5), 3)


def test_a_new_cell_is_the_daughter_of_the_parent_that_fits_best():
    (left,), (right,) = between(3.0), between(5.0)
    assert (left.parent, left.daughters) == (0, (2, 4))
    assert (right.parent, right.daughters) == (1, (3, 4))
    assert left.probability == pytest.approx(right.probability)


def ellipse(frame, label, y, x, height, width):
    """Draw an ellipse of these full axes."""
    rows, columns = np.ogrid[: frame.shape[0], : frame.shape[1]]
    frame[((rows - y) / height) ** 2 + ((columns - x) / width) ** 2 <= 0.25] = label


def mitosis(*frames):
    """Draw frames, each a list of ellipses (y, x, height, width)."""
    stack = np.zeros((len(frames), 120, 120), np.uint16)
    for frame, cells in zip(stack, frames, strict=True):
        for label, cell in enumerate(cells, start=1):
            ellipse(frame, label, *cell)
    return stack


NUCLEUS, PLATE = (60, 60, 26, 24), (60, 60, 24, 10)
NEAR_ONE, FAR_ONE = (58, 50, 18, 12), (62, 75, 18, 12)


@pytest.mark.parametrize(
    ("frames", "when"),
    [
        ([[NUCLEUS]] * 4 + [[PLATE]] + [[NEAR_ONE, FAR_ONE]] * 3, 5),
        ([[NUCLEUS]] * 4 + [[(60, 46, 18, 12), (60, 74, 18, 12)]] * 3, 4),
        ([[NUCLEUS]] * 4 + [[(60, 41, 18, 12), (60, 79, 18, 12)]] * 3, 4),
        ([[NUCLEUS]] * 4 + [[PLATE], []] + [[NEAR_ONE, FAR_ONE]] * 3, 6),
        ([[NUCLEUS]] * 4 + [[(60, 60, 15, 12)]] + [[(54, 52, 12, 10), (66, 70, 12, 10)]] * 3, 5),
    ],
    ids=["plate", "beside", "without overlap", "missed", "shrunk"],
)
def test_daughters_that_lie_off_a_cell_that_shrank_before(frames, when):
    _, links = track(mitosis(*frames))
    born = links["parent"] > 0
    assert links["parent"][born].tolist() == [1, 1]
    assert links["frame"][born].tolist() == [when, when]


def test_two_cells_that_come_in_beside_one_that_stays_are_no_daughters():
    stays = [NUCLEUS, (60, 84, 18, 12)]
    _, links = track(mitosis(*[[NUCLEUS]] * 4, *[stays] * 3, *[[*stays, (60, 36, 18, 12)]] * 3))
    assert not links["parent"].any()


def test_each_new_piece_counts_where_no_division_is_accepted():
    stack = boxes(*before(3), *[{1: (30, 30, 15, 8), 2: (30, 39, 15, 5), 3: (30, 45, 15, 9)}] * 3)
    _, links = track(stack, divisions=False, fragments=False)
    assert links["split"][links["frame"] == 3].max() == 2
    assert links["split"].sum() == 2


@pytest.fixture(scope="module")
def movie():
    """Simulate a crowded field with divisions, births, deaths, contacts and a shaking stage."""
    params = MovieParams(
        seed=6, frames=36, height=480, width=480, cells=26, divisions=8, births=4, deaths=3,
        touching=0.3, drift_px=(2.0, -1.0), drift_jitter_px=1.0,
    )  # fmt: skip
    simulated = simulate(params)
    masks = np.stack([simulated.masks(0, t) for t in range(params.frames)])
    lineage = simulated.lineage(0)
    held = lineage["parent"] > 0
    parents = dict(
        zip(lineage["cell"][held].tolist(), lineage["parent"][held].tolist(), strict=True)
    )
    return masks, parents


@pytest.mark.parametrize(("share", "complete"), [(0.0, 0.97), (0.02, 0.95), (0.05, 0.85)])
def test_simulated_tracks_and_divisions(movie, share, complete):
    truth, parents = movie
    given = drop(truth, share, np.random.default_rng(8))
    labeled, links = track_stack(given, pixel_um=0.65)
    found = {int(c): int(p) for c, p in zip(links["cell"], links["parent"], strict=True) if p}
    assert complete_tracks(given, labeled).fraction >= complete
    f1 = division_f1(given, labeled, truth_parents=parents, found_parents=found, tolerance=3)
    assert f1 >= 0.9


def chains_of(*rows):
    """Return chains of detections (frame, previous, area, x), in the order of frames."""
    frame, previous, area, x = (np.array(column) for column in zip(*rows, strict=True))
    following, head = np.full(len(rows), -1), np.arange(len(rows))
    for k, before in enumerate(previous.tolist()):
        if before >= 0:
            following[before], head[k] = k, head[before]
    return Chains(previous, following, head, frame, area, np.zeros(len(rows)), x.astype(float))


def divided(chains, swallowed=(), owner=None):
    """Return parent and daughters of each division."""
    owner = np.arange(chains.head.size) if owner is None else np.array(owner)
    return [(d.parent, *d.daughters) for d in decide(chains, swallowed, owner, 3)]


def test_daughters_that_are_together_smaller_than_the_parent_are_less_likely():
    likely = {
        area: decide(
            chains_of((0, -1, 100, 0), (1, 0, area, -5), (1, -1, area, 5)), [], np.arange(3), 3
        )[0].probability
        for area in (50, 25)
    }
    assert likely[25] < likely[50]


def test_a_cell_that_goes_on_beside_another_that_shrinks_is_no_daughter():
    there = chains_of((0, -1, 50, -6), (0, -1, 100, 4), (1, 0, 50, 0), (1, 1, 50, 8))
    new = chains_of((0, -1, 50, -60), (0, -1, 100, 4), (1, -1, 50, 0), (1, 1, 50, 8))
    assert (divided(there), divided(new)) == ([], [(1, 3, 2)])


def test_a_piece_is_no_parent():
    chains = chains_of((0, -1, 100, 0), (0, -1, 400, 90), (1, 0, 50, -5), (1, -1, 50, 5))
    assert divided(chains) == [(0, 2, 3)]
    assert divided(chains, owner=[1, 1, 2, 3]) == []


def test_a_cell_of_the_parents_own_frame_is_no_daughter():
    beside, later = [(0, -1, 50, -5), (0, -1, 100, 0)], [(1, -1, 50, 5), (1, 0, 50, -5)]
    assert divided(chains_of(*beside, *later)) == []
    assert divided(chains_of((0, -1, 100, 0), (1, -1, 50, -5), (1, -1, 50, 5))) == [(0, 1, 2)]


def test_a_cell_with_a_history_that_was_swallowed_before_explains_a_new_one():
    def found(history, goes_on=False):
        """A cell of some detections goes into another one, which falls in two later."""
        rows = [(t, t - 1, 50, 20) for t in range(history)]
        rows += [(history, -1, 100, 0), (history + 1, history, 100, 0)]
        end = history + 2
        rows += [(history + 2, end - 1, 50, -5), (history + 2, -1, 50, 5)]
        if goes_on:
            rows.append((history + 2, history - 1, 50, 60))
        return divided(chains_of(*rows), swallowed=[(history - 1, end - 1)])

    assert found(3) == []
    assert found(4) == []
    assert len(found(2)) == 1  # too short to count
    assert len(found(3, goes_on=True)) == 1  # it was not lost


def test_the_usual_area_is_the_median_of_the_last_detections(monkeypatch):
    monkeypatch.setattr(divisions, "_TOGETHER", 4)
    rng = np.random.default_rng(3)
    previous = [-1, -1, 0, 1, 2, 3, 4, -1, 6, 7, 8]
    area = rng.integers(20, 200, len(previous))
    chains = chains_of(*zip(np.arange(len(area)) // 2, previous, area, 0 * area, strict=True))
    for k, usual in enumerate(divisions.usual_area(chains)):
        recent, at = [], k
        while at >= 0 and len(recent) < divisions.RECENT:
            recent.append(area[at])
            at = previous[at]
        assert usual == np.median(recent)
