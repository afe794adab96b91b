"""What to turn: hints name keys that there are, where flags are frequent."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from fovflow.config import Config
from fovflow.config.extract import QcConfig
from fovflow.quality import RULES
from fovflow.report.gather import DatasetSummary, FovSummary, Ledger
from fovflow.report.page import HINTS, hints

DEFINED = Config.model_json_schema()["$defs"]
FIELDS = {
    section: {
        key
        for name, defined in DEFINED.items()
        if name.endswith(section.title()) or (section == "qc" and name == QcConfig.__name__)
        for key in defined.get("properties", ())
    }
    for section in ("segment", "track", "qc")
}


@pytest.mark.parametrize("rule", HINTS)
def test_each_hint_is_of_a_rule_and_names_keys_that_there_are(rule):
    assert rule in RULES
    for section, key in re.findall(r"\b(qc|segment|track)\.(\w+)", HINTS[rule]):
        assert key in FIELDS[section], (section, key)


def test_rules_that_reject_by_default_have_hints():
    assert {*QcConfig().reject} == {*HINTS}


def test_frequent_flags_are_told_with_the_fovs_where_they_are():
    ledger = Ledger(rows=100, reason_rows=Counter(border=30, size=10, gap=90, focus=2))
    fovs = [
        FovSummary(0, "complete", cells=10, reasons={"border": 5, "size": 1}),
        FovSummary(1, "complete", cells=10, reasons={"border": 2, "size": 1}),
        FovSummary(2, "complete", cells=10, reasons={"focus": 4}),
        FovSummary(3, "failed"),
    ]
    found = hints(DatasetSummary("p", fovs=fovs, ledger=ledger))
    assert [(each.rule, each.share, each.where) for each in found] == [
        ("border", 0.3, "FOVs 0-1"), ("focus", 0.02, "FOV 2"),
    ]  # fmt: skip
    assert hints(DatasetSummary("p")) == []


def test_short_tracks_are_told_where_nothing_else_is_the_first_cause():
    ledger = Ledger(cells=10, rows=100, reason_rows=Counter(min_frames=40, border=40))
    fovs = [FovSummary(0, "complete", cells=10, reasons={"min_frames": 4, "border": 4})]
    for causes, rules in (
        (Counter(border=4), ["border"]),
        (Counter(min_frames=4), ["min_frames", "border"]),
    ):
        ledger.causes = causes
        found = hints(DatasetSummary("p", fovs=fovs, ledger=ledger))
        assert {each.rule for each in found} == {*rules}


def test_the_page_says_them(folder):
    folder.add(fovs=2, cells=3)
    page = folder.write()
    assert "<h3>What to turn</h3>" in page
    assert "<code>border</code> 33" in page
    assert "lower qc.border_px." in page
