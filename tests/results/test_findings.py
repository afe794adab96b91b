"""Sentences about datasets of which most frames carry the same finding."""

from __future__ import annotations

from fovflow.config.findings import FRAME_FINDINGS
from fovflow.resultsform import findings_of
from fovflow.tables import write_csv


def table(path, flags):
    write_csv(path, {"frame": list(range(len(flags))), "domain": [0.5] * len(flags), "flag": flags})
    return path


def test_most_frames_of_all_fovs_together_make_a_finding(tmp_path):
    one = table(tmp_path / "one.csv", ["unfamiliar", "coarse levels; unfamiliar", "faint"])
    two = table(tmp_path / "two.csv", ["", "unfamiliar", "missing"])
    assert findings_of([one]) == [
        "2 of 3 frames are flagged 'unfamiliar', and their rows are not good: "
        + FRAME_FINDINGS["unfamiliar"]
    ]
    assert findings_of([one, two]) == []  # half is not most
    assert findings_of([tmp_path / "absent.csv"]) == []
    assert findings_of([]) == []


def test_no_word_is_part_of_another():
    words = list(FRAME_FINDINGS)
    assert not [(a, b) for a in words for b in words if a != b and a in b]
