"""The suites fail where a part is faulty: each fault fails the checks that are meant for it."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import broken
import pytest
from plugin_example.conftest import HERE, register

_BYTES = "same_input_gives_same_bytes_and_later_frames_change_nothing"
_CELLS = "the_same_stack_gives_the_same_bytes_and_permuted_labels_the_same_cells"
FAULTS = {
    "LeakingReader": {"closing"},
    "SharingReader": {"planes_are_plain_arrays_of_their_own"},
    "TurnedReader": {"pixels_are_the_same_bytes_in_any_order", "threads_may_read_at_once"},
    "HastyReader": {"indices_outside_the_file", "what_the_file_says"},
    "EagerSegmenter": {
        "background_alone_gives_hardly_anything",
        "a_constant_frame_has_no_objects",
    },
    "AlteringSegmenter": {"frames_are_not_altered_and_may_be_read_only_or_views"},
    "CountingSegmenter": {
        "a_constant_frame_has_no_objects",
        "pixels_that_are_not_finite",
        "same_input_same_labels_whatever_the_threads",
        "frames_are_not_altered_and_may_be_read_only_or_views",
    },
    "DoubleCorrector": {_BYTES, "a_frame_is_corrected_plus_background"},
    "ReusingCorrector": {_BYTES},
    "FillingCorrector": {"only_pixels_that_were_not_finite_stay_so"},
    "BlindCorrector": {"statistics", "frames_and_labels_of_another_shape_are_refused"},
    "GappyTracker": {
        _CELLS,
        "any_stack_gives_a_consistent_lineage",
        "one_frame_frames_without_cells_and_no_frame",
        "a_missing_acquisition_is_left_out",
    },
    "LabelTracker": {_CELLS},
    "PatientTracker": {"mistakes_are_told"},
    "OfIds": {"ids_and_other_cells_do_not_change_values"},
    "OfContrast": {
        "cells_at_the_edge_have_a_finite_number",
        "constant_frames_are_no_trouble",
    },
    "SaysLittle": {"it_says_what_it_is"},
    "OfTheFrame": {"ids_and_other_cells_do_not_change_values"},
}


@pytest.mark.slow
def test_each_fault_fails_the_checks_that_are_meant_for_it(tmp_path):
    entry_points: dict[str, dict[str, str]] = {}
    for name, value in vars(broken).items():
        for kind in ("Reader", "Segmenter", "Corrector", "Tracker"):
            if name.endswith(kind) and name in FAULTS:
                entry_points.setdefault(f"fovflow.{kind.lower()}s", {})[name] = f"broken:{name}"
        if name.isupper() and isinstance(value, broken.Feature):
            entry_points.setdefault("fovflow.features", {})[value.name] = f"broken:{name}"
    register(tmp_path, "fovflow_broken", entry_points)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", str(HERE / "broken.py"), "-q", "--tb=no", "-rfE",
         "-p", "no:cacheprovider", "-c", os.devnull, f"--rootdir={tmp_path}"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), str(tmp_path)])},
    )  # fmt: skip
    found: dict[str, set[str]] = {}
    for part, check in re.findall(r"FAILED .*::Test(\w+)::test_(\w+)", done.stdout):
        found.setdefault(part, set()).add(check)
    assert found == FAULTS, done.stdout + done.stderr
