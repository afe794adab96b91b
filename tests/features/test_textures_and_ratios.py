"""Texture, edges, and ratios of channels, against their definitions."""

import numpy as np
import pytest

from fovflow.config.features import plotted_intensity, ratio_channel
from fovflow.errors import ConfigError
from fovflow.features import get_extractor

LABELS = np.zeros((30, 40), np.uint16)
LABELS[2:12, 5:15] = 1
LABELS[15:27, 20:31] = 2


def measure(images, names, labels=LABELS, corrected=None, **options):
    """Return the table of one frame with a fluorescence channel per image, from 1 on."""
    channels = dict(enumerate(images, start=1))
    extractor = get_extractor(
        fov=0, pc=0, fl=list(channels), time=[0.0], features={"pc": names[0], "fl": names[1]},
        **options,
    )  # fmt: skip
    corrected = corrected or {}
    extractor.add(0, labels, images[0], {c: (f, corrected.get(c, f)) for c, f in channels.items()})
    return extractor.finish()


def noise(seed=0, shape=LABELS.shape):
    return np.random.default_rng(seed).gamma(2.0, 50.0, shape)


def test_texture_and_edges_of_known_values():
    image = noise()
    table = measure(
        [image],
        [
            ["edge_distance", "phase_gradient", "phase_entropy"],
            ["intensity_cv", "intensity_skewness", "intensity_entropy", "rim_ratio"],
        ],
    )
    assert table["edge_distance_ch_0"].tolist() == [2, 3]
    for row, cell in enumerate((1, 2)):
        mask = cell == LABELS
        values = image[mask]
        right, down = image[:, 1:] - image[:, :-1], image[1:] - image[:-1]
        gradient = np.hypot(right[:-1], down[:, :-1])[mask[:-1, :-1]]
        assert table["phase_gradient_ch_0"][row] == pytest.approx(gradient.mean())
        share = np.histogram(values, 32)[0] / values.size
        entropy = -sum(p * np.log2(p) for p in share if p)
        assert table["phase_entropy_ch_0"][row] == pytest.approx(entropy)
        assert table["intensity_entropy_ch_1"][row] == pytest.approx(entropy)
        assert table["intensity_cv_ch_1"][row] == pytest.approx(values.std() / values.mean())
        third = ((values - values.mean()) ** 3).mean() / values.std() ** 3
        assert table["intensity_skewness_ch_1"][row] == pytest.approx(third)
        y, x = np.nonzero(mask)
        box = image[y.min() : y.max() + 1, x.min() : x.max() + 1]
        rim = box.sum() - box[1:-1, 1:-1].sum()
        count = box.size - box[1:-1, 1:-1].size
        assert table["rim_ratio_ch_1"][row] == pytest.approx(rim / count / values.mean())


def test_a_ratio_is_of_what_lies_above_the_background():
    """Donor 300 and acceptor 900 above backgrounds of 200 and 500 have the ratio 3."""
    donor, acceptor = np.full(LABELS.shape, 200.0), np.full(LABELS.shape, 500.0)
    donor[LABELS > 0] += 300
    acceptor[LABELS > 0] += 900
    names = [[], ["ratio_to_1"]]
    table = measure([donor, acceptor], names, corrected={1: donor - 200, 2: acceptor - 500})
    assert "ratio_to_1_ch_1" not in table
    assert table["ratio_to_1_ch_2"].tolist() == [3.0, 3.0]


def test_a_ratio_takes_pixels_that_are_valid_in_both_and_none_of_background_alone():
    donor, acceptor = noise(1), noise(2)
    acceptor[3, 6], donor[4, 7] = np.nan, np.inf
    donor[LABELS == 2] = -1.0
    table = measure([donor, acceptor], [[], ["ratio_to_1"]])
    both = (LABELS == 1) & np.isfinite(donor) & np.isfinite(acceptor)
    first, second = table["ratio_to_1_ch_2"]
    assert first == pytest.approx(acceptor[both].sum() / donor[both].sum())
    assert np.isnan(second)


def test_a_ratio_to_a_channel_that_was_not_recorded_is_empty():
    extractor = get_extractor(
        fov=0, pc=None, fl=[1, 2], time=[0.0], features={"fl": ["ratio_to_1"]}
    )
    extractor.add(0, LABELS, None, {1: None, 2: (noise(), None)})
    assert np.isnan(extractor.finish()["ratio_to_1_ch_2"]).all()


def test_a_ratio_to_a_channel_that_is_not_extracted_is_refused():
    with pytest.raises(ConfigError, match=r"ratio_to_3 needs the fluorescence channel 3"):
        measure([noise()], [[], ["ratio_to_3"]])
    assert [ratio_channel(n) for n in ("ratio_to_3", "ratio_to_", "ratio_to_03", "area")] == [
        3, None, None, None,
    ]  # fmt: skip


def test_a_ratio_is_no_intensity_to_plot():
    assert plotted_intensity(["ratio_to_1", "intensity_cv"]) is None
    assert plotted_intensity(["ratio_to_1", "intensity_median"]) == "intensity_median"
