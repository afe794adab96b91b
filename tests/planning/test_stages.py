"""The table of steps: names that are written are read back, and every row is whole."""

from __future__ import annotations

import dataclasses
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fovflow.config.model import Config
from fovflow.layout import FileName, Layout, fov_name, parse, parse_record
from fovflow.planning import DatasetPlan
from fovflow.planning.resources import disk_mb, memory_mb, runtime_min
from fovflow.stages import FILES, STACKS, STAGES, TABLES, position, step_of_rule
from paths import ROOT

PLAN = DatasetPlan("a", pc=0, fl=(1, 2), frames=(0, 99, 1), height=2048, width=1024)
NAMES = st.from_regex(r"\w([\w .+-]{0,12}[\w+-])?", fullmatch=True).filter(lambda n: ".." not in n)


@given(st.sampled_from(sorted(FILES)), NAMES, st.integers(0, 20_000), st.integers(0, 30))
def test_every_name_that_is_written_is_read_back(kind, dataset, fov, channel):
    path = Layout("results").file(kind, dataset, fov, channel)
    has_fov, has_channel = (f"{{{part}}}" in FILES[kind].path for part in ("fov", "channel"))
    assert parse(path) == FileName(
        kind, dataset, fov_name(fov) if has_fov else "", str(channel) if has_channel else ""
    )


@given(
    st.sampled_from([*STAGES, "results"]),
    NAMES,
    st.none() | st.integers(0, 20_000),
    st.integers(-1, 30),
)
def test_records_are_read_back(step, dataset, fov, channel):
    rest = "" if channel < 0 else f"_ch_{channel}"
    path = Layout("some/where").record(step, dataset, fov, rest)
    expected = (step, "" if fov is None else fov_name(fov), rest.removeprefix("_ch_"))
    assert parse_record(path) == expected


@pytest.mark.parametrize(
    "name",
    [
        "plate_fov_000_pc_ch_0.tif",
        "plate_fov_00_times.csv",
        "plate_fov_000_traces_inspected.csv",
        "plate_fov_000_nuclei.csv",
        "plate_fov_000_pc_ch_.npy",
        "dataset.json",
        "",
    ],
)
def test_other_names_are_no_files_of_steps(name):
    assert parse(name) is None


@pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES)
def test_a_row_has_a_script_a_rule_and_settings(stage):
    assert (ROOT / "scripts" / f"{stage.name}.py").is_file()
    rules = "\n".join(path.read_text() for path in (ROOT / "rules").glob("*.smk"))
    assert f'"../scripts/{stage.name}.py"' in rules
    assert len(re.findall(rf'resources_of\("{stage.name}"\)', rules)) == 1
    for file in stage.files:
        # Copies differ between datasets, so that their kinds are a variable of the rule.
        made = {"pc": "kind", "fl": "kind"}.get(file.kind, f'"{file.kind}"')
        assert f"output_of({made}" in rules
        assert file.words
    known = {field.alias or name for name, field in Config.model_fields.items()}
    assert stage.settings
    assert set(stage.settings) <= known


def test_kinds_and_their_order():
    assert STACKS == ("pc", "fl", "seg", "fl_corrected", "seg_labeled")
    assert TABLES == ("traces", "tracks", "times")
    steps = ["results", "mine", "track", "plan", "another", "flat_field", "copy"]
    expected = ["plan", "copy", "flat_field", "track", "another", "mine", "results"]
    assert sorted(steps, key=position) == expected
    assert step_of_rule("segment_1") == "segment_1"  # a step of the user's own may be called so


@pytest.mark.parametrize(
    ("row", "memory", "disk"),
    [
        ("| copy | P | 220 + F · (6 + C) | C · T · F / 2 |", 220 + 8 * (6 + 3), 3 * 100 * 8 // 2),
        ("| segment | P | 220 + 15 F | T · F / 2 |", 220 + 15 * 8, 100 * 8 // 2),
        ("| correct | P · (C − 1) | 220 + 13 F | tables only |", 220 + 13 * 8, 1),
        ("| corrected | P · (C − 1) | 220 + 6 F | T · F |", 220 + 6 * 8, 100 * 8),
        ("| track | P | 220 + 9 F | T · F |", 220 + 9 * 8, 100 * 8),
        ("| extract | P | 220 + F · (10 + C) | tables only |", 220 + 8 * (10 + 3), 1),
    ],
)
def test_needs_are_those_of_the_documentation(row, memory, disk):
    """Frames of F = 8 MB, C = 3 channels, T = 100 frames."""
    assert row in (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
    stage = STAGES[row.split()[1]]
    assert (memory_mb(stage, PLAN), disk_mb(stage, PLAN)) == (memory, disk)
    frames, most = (memory - 220), stage.most_threads
    assert memory_mb(stage, PLAN, threads=3) == 220 + frames * min(most, 3)
    assert memory_mb(stage, PLAN, threads=99) == 220 + frames * most


def test_time_limits_grow_with_pixels_that_are_read():
    found = {name: runtime_min(stage, PLAN) for name, stage in STAGES.items()}
    # 100 frames of 2.1 megapixels, half a second each: 105 s; three times that for all channels.
    assert found == {
        "copy": 5 + 6, "flat_field": 5 + 6, "segment": 1 + 2, "correct": 1 + 2,
        "corrected": 1 + 2, "track": 1 + 2, "extract": 1 + 6, "browse": 1 + 6,
    }  # fmt: skip
    longer = dataclasses.replace(PLAN, frames=(0, 9_999, 1))
    assert runtime_min(STAGES["flat_field"], longer) == found["flat_field"]
