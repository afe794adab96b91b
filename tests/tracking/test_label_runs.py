import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fovflow.errors import FovflowError
from fovflow.tracking.overlaps import encode, overlaps

frames = st.tuples(st.integers(1, 9), st.integers(1, 17)).flatmap(
    lambda shape: arrays(np.uint16, shape, elements=st.integers(0, 4))
)
pairs = st.tuples(st.integers(1, 9), st.integers(1, 12)).flatmap(
    lambda shape: st.tuples(*[arrays(np.uint16, shape, elements=st.integers(0, 3))] * 2)
)


@given(frames)
def test_runs_hold_every_pixel_and_every_object(labels):
    found = encode(labels)
    again = np.zeros_like(labels)
    for row, start, stop, owner in zip(
        found.row, found.start, found.stop, found.owner, strict=True
    ):
        assert 0 <= start < stop <= labels.shape[1]
        again[row, start:stop] = found.label[owner]
    np.testing.assert_array_equal(again, labels)
    first = [np.flatnonzero(labels.ravel() == k)[0] for k in found.label]
    assert first == sorted(first)
    for k, label in enumerate(found.label):
        y, x = np.nonzero(labels == label)
        assert found.area[k] == y.size
        assert found.y[k] == pytest.approx(y.mean())
        assert found.x[k] == pytest.approx(x.mean())


@given(pairs, st.integers(-4, 4), st.integers(-5, 5), st.data())
def test_overlaps_count_common_pixels(pair, dy, dx, data):
    a, b = encode(pair[0]), encode(pair[1])
    keep = np.array(data.draw(st.lists(st.booleans(), min_size=len(a), max_size=len(a))), bool)
    among = np.array(data.draw(st.lists(st.booleans(), min_size=len(b), max_size=len(b))), bool)
    found = overlaps(a, b, (dy, dx), keep, among)
    moved = np.zeros_like(pair[0])
    height, width = moved.shape
    for y, x in np.argwhere(pair[0]):
        if 0 <= y + dy < height and 0 <= x + dx < width:
            moved[y + dy, x + dx] = pair[0][y, x]
    expected = [
        (i, j, n)
        for i in np.flatnonzero(keep)
        for j in np.flatnonzero(among)
        if (n := np.count_nonzero((moved == a.label[i]) & (pair[1] == b.label[j])))
    ]
    assert list(zip(found.source, found.target, found.pixels, strict=True)) == expected
    visible = [np.count_nonzero(moved == label) for label in a.label]
    np.testing.assert_array_equal(found.source_area, np.where(keep, visible, 0))


def test_an_object_that_touches_both_sides_is_cut_at_the_border():
    labels = np.array([[0, 0, 5], [5, 0, 0]], np.uint16)
    found = encode(labels)
    assert found.row.tolist() == [0, 1]
    assert found.start.tolist() == [2, 0]
    assert len(found) == 1


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.int32, np.int64, np.uint32])
def test_every_integer_dtype_and_any_memory_layout(kind):
    labels = np.zeros((6, 10), kind)
    labels[1:3, 2:5], labels[4, 7] = 9, 3
    for view in (labels, np.asfortranarray(labels), labels[:, ::-1], labels[::2]):
        found = encode(view)
        assert sorted(found.label.tolist()) == sorted(set(view[view > 0].tolist()))
        assert found.area.sum() == np.count_nonzero(view)


@pytest.mark.parametrize(
    "labels",
    [
        np.zeros((2, 3, 4), np.uint16),
        np.zeros((3, 4), np.float32),
        np.full((3, 4), -1, np.int32),
        np.full((3, 4), 1 << 24, np.uint32),
    ],
)
def test_what_is_no_label_frame_is_refused(labels):
    with pytest.raises(FovflowError, match="label"):
        encode(labels)
