"""A published movie: most of its published links are found again."""

import csv
from itertools import pairwise

import cv2
import numpy as np
import pytest

from fovflow.tracking import track_stack
from paths import shared_data


@pytest.mark.data
def test_links_of_the_t98g_movie():
    folder = shared_data("t98g/published_masks")
    files = sorted(folder.glob("*.png"))
    stack = np.stack([cv2.imread(str(file), cv2.IMREAD_UNCHANGED) for file in files])
    particles: dict[str, list[tuple[int, int]]] = {}
    with (folder.parent / "published_tracks.csv").open(encoding="utf-8") as rows:
        for row in csv.DictReader(rows):  # the mean "intensity" of a mask is its label
            seen = round(float(row["frame"])), round(float(row["mean_intensity"]))
            particles.setdefault(row["particle"], []).append(seen)
    published = {pair for seen in particles.values() for pair in pairwise(sorted(seen))}
    _, links = track_stack(stack, pixel_um=0.8708)
    place = list(zip(links["frame"].tolist(), links["label"].tolist(), strict=True))
    same = np.flatnonzero(links["cell"][1:] == links["cell"][:-1])
    found = {(place[k], place[k + 1]) for k in same}
    assert len(published) == 2536
    assert len(found & published) >= 0.98 * len(published)
    assert len(found & published) >= 0.98 * len(found)
    assert 8 <= np.count_nonzero(links["parent"]) <= 24
