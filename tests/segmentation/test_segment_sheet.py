import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fovflow.segmentation.masks import disc, grow_within
from fovflow.segmentation.sheet import Sheet, separate_windows
from reference import morphology

BLOB = st.tuples(
    st.integers(0, 89), st.integers(0, 69), st.integers(1, 12), st.integers(1, 12), st.booleans()
)
FRAME = (90, 70)


def mask_of(blobs):
    """Rectangles, and those with a notch, in a frame of 90 × 70 pixels."""
    mask = np.zeros(FRAME, np.uint8)
    for y, x, height, width, notched in blobs:
        mask[y : y + height, x : x + width] = 1
        if notched:
            mask[y + height // 3 : y + height // 2, x : x + width // 2] = 0
    return mask


def back(sheet, laid):
    """What lies on the sheet, in the frame; pixels that no window shows are 0."""
    frame = np.zeros(FRAME, laid.dtype)
    for window, place in zip(sheet.windows, sheet.places, strict=True):
        frame[window] = laid[place]
    return frame


@settings(max_examples=150, deadline=None)
@given(st.lists(BLOB, max_size=6), st.integers(0, 4), st.integers(0, 3))
def test_filters_on_the_sheet_are_those_of_the_frame(blobs, radius, slack):
    mask, element = mask_of(blobs), disc(radius)
    sheet = Sheet.around(mask, radius + 1, radius + slack)
    laid = sheet.gather(mask)
    assert np.array_equal(back(sheet, laid), mask)
    wanted = mask > 0
    eroded = morphology.erode(wanted, element)
    assert np.array_equal(back(sheet, sheet.erode(laid, element)), eroded)
    opened = morphology.opened(wanted, element)
    assert np.array_equal(back(sheet, sheet.open(laid, element)), opened)
    grown = morphology.grow(eroded, wanted, 3)
    assert np.array_equal(back(sheet, grow_within(sheet.erode(laid, element), laid, 3)), grown)
    closed = sheet.close(laid, element)
    for window, place in zip(sheet.windows, sheet.places, strict=True):
        own = np.zeros(FRAME, bool)
        own[window] = wanted[window]
        assert np.array_equal(closed[place], morphology.closed(own, element)[window])


@settings(max_examples=150, deadline=None)
@given(st.lists(BLOB, min_size=1, max_size=9), st.integers(1, 5))
def test_windows_are_separate_hold_all_boxes_and_begin_at_even_pixels(blobs, margin):
    boxes = np.array([(x, y, min(x + w, 70), min(y + h, 90)) for y, x, h, w, _ in blobs])
    windows = separate_windows(boxes, margin, FRAME)
    assert (windows[:, :2] % 2 == 0).all()
    seen = np.zeros(len(boxes), np.int64)
    for x0, y0, x1, y1 in windows:
        assert 0 <= x0 < x1 <= 70
        assert 0 <= y0 < y1 <= 90
        inside = (boxes[:, :2] >= [x0, y0]).all(1) & (boxes[:, 2:] <= [x1, y1]).all(1)
        meets = (boxes[:, :2] < [x1, y1]).all(1) & (boxes[:, 2:] > [x0, y0]).all(1)
        assert (inside == meets).all()
        seen += inside
    assert (seen == 1).all()


@pytest.mark.parametrize("other", [(30, 10, 38, 18), (10, 30, 18, 38), (30, 30, 38, 38)])
def test_boxes_that_lie_apart_have_windows_of_their_own(other):
    boxes = np.array([(10, 10, 18, 18), other])
    assert len(separate_windows(boxes, 2, FRAME)) == 2
    assert len(separate_windows(boxes, 12, FRAME)) == 2  # ends at 30, where the other begins
    assert len(separate_windows(boxes, 13, FRAME)) == 1


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 30), st.integers(1, 30)), min_size=1, max_size=40))
def test_pixels_of_a_sheet_lead_back_to_the_frame(sizes):
    windows = [(slice(7 * i, 7 * i + h), slice(3 * i, 3 * i + w)) for i, (h, w) in enumerate(sizes)]
    sheet = Sheet(windows, (400, 400), 3)
    for i, (place, window) in enumerate(zip(sheet.places, windows, strict=True)):
        y = np.array([place[0].start, place[0].stop - 1])
        x = np.array([place[1].start, place[1].stop - 1])
        assert sheet.find(y, x).tolist() == [i, i]
        assert (y + sheet.shift(y, x)[:, 0]).tolist() == [window[0].start, window[0].stop - 1]
        assert (x + sheet.shift(y, x)[:, 1]).tolist() == [window[1].start, window[1].stop - 1]
    taken = sheet.lay([np.ones(size, np.uint8) for size in sizes])
    assert taken.sum() == sum(height * width for height, width in sizes)  # none lies on another


@pytest.mark.parametrize("filled", [0.3, 0.9])
def test_a_crowded_frame_is_its_own_sheet(filled):
    mask = np.zeros((80, 80), np.uint8)
    mask[: int(80 * filled)] = 1
    sheet = Sheet.around(mask, 2, 2)
    assert (sheet.gather(mask) is mask) == (filled > 0.5)
