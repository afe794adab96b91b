"""Morphology of masks against the reference, at every small size."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fovflow.segmentation.masks import disc, fill_small_holes, grow_within
from fovflow.segmentation.sheet import Sheet
from reference import morphology

shapes = st.tuples(st.integers(1, 30), st.integers(1, 30))
masks = shapes.flatmap(lambda shape: arrays(np.uint8, shape, elements=st.integers(0, 1)))
pairs = shapes.flatmap(
    lambda shape: st.tuples(*[arrays(np.uint8, shape, elements=st.integers(0, 1))] * 2)
)


@settings(max_examples=100, deadline=None)
@given(masks, st.floats(0, 6))
def test_opening_and_closing(mask, radius):
    element = disc(radius)
    assert np.array_equal(element, morphology.disc(radius))
    wanted, frame = mask > 0, Sheet.of_frame(mask.shape)
    assert np.array_equal(frame.open(mask, element), morphology.opened(wanted, element))
    assert np.array_equal(frame.close(mask, element), morphology.closed(wanted, element))


@settings(max_examples=100, deadline=None)
@given(masks, st.floats(0, 60))
def test_filling_small_holes(mask, limit):
    before = mask.copy()
    assert np.array_equal(
        fill_small_holes(mask, limit), morphology.fill_small_holes(mask > 0, limit)
    )
    assert np.array_equal(mask, before)


@settings(max_examples=100, deadline=None)
@given(pairs, st.integers(0, 8))
def test_growing_within(pair, steps):
    allowed, other = pair
    seed = allowed & other
    grown = morphology.grow(seed > 0, allowed > 0, steps)
    assert np.array_equal(grow_within(seed, allowed, steps), grown)
