"""Statistics over replicates: their level, their intervals, and what they say of bad data."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from benchmarks import comparisons as bench
from fovflow.analysis.statistics import (
    Settings,
    adjusted,
    bootstrap_medians,
    compare,
    describe,
    nested_draws,
    sentence,
    variance_parts,
)
from fovflow.errors import ConfigError, FovflowError

QUICK = Settings(draws=300)


def table(
    conditions: dict[str, float],
    *,
    replicates: int = 3,
    fovs: int = 3,
    cells: int = 20,
    day: float = 0.3,
    fov: float = 0.2,
    seed: int = 1,
    names: str = "day{}",
) -> pd.DataFrame:
    """Return cells with a mean of 10 plus the condition's effect; days are shared."""
    rng = np.random.default_rng(seed)
    days = rng.normal(0, day, replicates)
    rows = []
    for condition, effect in conditions.items():
        for r in range(replicates):
            for f in range(fovs):
                level = 10 + effect + days[r] + rng.normal(0, fov)
                values = level + rng.standard_normal(cells)
                rows += [
                    {"sample": f"{condition}{r}", "condition": condition, "fov": f, "cell": c,
                     "replicate": names.format(r), "value": v, "good": True, "verdict": "ok"}
                    for c, v in enumerate(values)
                ]  # fmt: skip
    found = pd.DataFrame(rows)
    return found.assign(feature="area_ch_0", model="", quantity="mean", unit="px")


def test_a_comparison_uses_one_number_per_replicate() -> None:
    cells = table({"a": 0.0, "b": 2.0})
    row = compare(cells, QUICK).iloc[0]
    medians = cells.groupby(["condition", "replicate"])["value"].median().unstack()
    known = stats.ttest_rel(medians.loc["b"], medians.loc["a"])
    assert (row["condition"], row["reference"], row["test"]) == ("b", "a", "paired t")
    assert row["p"] == pytest.approx(known.pvalue, rel=1e-9)
    assert row["difference"] == pytest.approx((medians.loc["b"] - medians.loc["a"]).mean())
    low, high = known.confidence_interval()
    assert row["difference_low"] == pytest.approx(low, abs=0.15)
    assert row["difference_high"] == pytest.approx(high, abs=0.15)
    assert (row["replicates"], row["replicates_reference"], row["cells"]) == (3, 3, 180)
    assert row["ratio"] == pytest.approx(np.exp(np.log(medians).diff().loc["b"].mean()))
    assert row["ratio_low"] < row["ratio"] < row["ratio_high"]
    assert row["note"] == ""


def test_replicates_of_their_own_are_compared_by_welch() -> None:
    a, b = table({"a": 0.0}, names="a{}"), table({"b": 0.5}, names="b{}", replicates=4, seed=2)
    row = compare(pd.concat([a, b]), QUICK).iloc[0]
    sides = [own.groupby("replicate")["value"].median() for own in (b, a)]
    assert row["test"] == "Welch t"
    assert row["p"] == pytest.approx(stats.ttest_ind(*sides, equal_var=False).pvalue, rel=1e-9)
    shared = table({"a": 0.0, "b": 0.5})
    assert compare(shared, Settings(draws=300, paired=False)).iloc[0]["test"] == "Welch t"


def test_pairs_that_are_asked_for_and_are_not_there_are_told() -> None:
    a, b = table({"a": 0.0}, names="a{}"), table({"b": 0.5}, names="b{}", seed=2)
    row = compare(pd.concat([a, b]), Settings(draws=300, paired=True)).iloc[0]
    assert row["test"] == "Welch t"
    told = "not paired: no replicate has the same name on both sides"
    assert row["note"] == told
    assert told in sentence(row)


def test_conditions_whose_cells_are_seen_for_unequally_long_say_so() -> None:
    cells = table({"a": 0.0, "b": 0.5}, replicates=3)
    for hours, told in (({"a": 28.0, "b": 27.0}, False), ({"a": 28.0, "b": 16.0}, True)):
        row = compare(cells.assign(hours=cells["condition"].map(hours)), QUICK).iloc[0]
        words = "the cells were not seen for equally long: 16 h against 28 h (medians)"
        assert (words in row["note"], words in sentence(row)) == (told, told)


@pytest.mark.parametrize("replicates", [1, 2])
def test_few_replicates_have_a_sentence_in_place_of_a_p_value(replicates: int) -> None:
    row = compare(table({"a": 0.0, "b": 5.0}, replicates=replicates, cells=200), QUICK).iloc[0]
    assert np.isnan(row["p"])
    assert np.isnan(row["p_adjusted"])
    assert row["test"] == ""
    assert f"3 replicates a side, and there are {replicates} and {replicates}" in row["note"]
    assert np.isfinite([row["difference"], row["difference_low"], row["difference_high"]]).all()
    assert ("whether it repeats" in row["note"]) == (replicates == 1)


def test_a_condition_in_one_sample_only() -> None:
    cells = table({"a": 0.0, "b": 1.0})
    cells = cells[~cells["sample"].isin(["b1", "b2"])]
    row = compare(cells, QUICK).iloc[0]
    assert np.isnan(row["p"])
    assert "there are 1 and 3" in row["note"]
    described = describe(cells, QUICK)
    lone = described[(described["level"] == "condition") & (described["condition"] == "b")].iloc[0]
    assert lone["replicates"] == 1
    assert "one replicate" in lone["note"]
    assert np.isnan(lone["part_replicate"])


def test_unnamed_replicates_count_as_one() -> None:
    cells = table({"a": 0.0, "b": 1.0}, names="")
    assert "there are 1 and 1" in compare(cells, QUICK).iloc[0]["note"]
    note = describe(cells, QUICK).query("level == 'condition'").iloc[0]["note"]
    assert note.startswith("no replicates are named: everything counts as one")


def test_values_that_are_flagged_or_missing_are_counted_and_not_used() -> None:
    cells = table({"a": 0.0, "b": 1.0})
    cells.loc[0, ["value", "good", "verdict"]] = [1e9, False, "bound hit;wide interval"]
    cells.loc[1, ["value", "good", "verdict"]] = [1e9, False, "bound hit"]
    cells.loc[2, "value"] = np.nan
    cells.loc[3, "verdict"] = "residuals autocorrelated"
    row = describe(cells, QUICK).query("level == 'sample' and sample == 'a0'").iloc[0]
    assert (row["cells"], row["cells_left_out"], row["cells_flagged"]) == (57, 3, 3)
    assert row["share_flagged"] == pytest.approx(3 / 60)
    assert row["reasons"].startswith("bound hit: 2; ")
    used = cells[(cells["sample"] == "a0") & cells["good"] & cells["value"].notna()]["value"]
    assert row["median"] == pytest.approx(used.median())
    assert row["lower_quartile"] == pytest.approx(used.quantile(0.25))
    assert row["estimate_low"] < row["median"] < row["estimate_high"]


def test_a_replicate_without_usable_values_is_named() -> None:
    cells = table({"a": 0.0, "b": 1.0}, replicates=4)
    cells.loc[cells["sample"] == "b2", "good"] = False
    row = compare(cells, QUICK).iloc[0]
    assert (row["replicates"], row["replicates_reference"]) == (3, 4)
    assert "the condition: no usable value in replicate day2" in row["note"]
    assert "without a partner, and left out of the test: replicate day2" in row["note"]
    cells.loc[cells["condition"] == "b", "good"] = False
    row = compare(cells, QUICK).iloc[0]
    assert row["note"] == "the condition has no usable value; nothing to compare"
    assert describe(cells, QUICK).query("condition == 'b'")["note"].unique().tolist() == [
        "no cell has a usable value"
    ]


def test_one_cell_is_described() -> None:
    row = describe(table({"a": 0.0}, replicates=1, fovs=1, cells=1), QUICK).iloc[-1]
    assert (row["cells"], row["fovs"]) == (1, 1)
    assert row["estimate"] == row["median"]
    assert np.isnan([row["estimate_low"], row["estimate_high"]]).all()
    assert row["note"] == "one cell: there is no interval"


@pytest.mark.parametrize("cells", [1, 20])
def test_one_cell_on_a_side_has_no_interval(cells: int) -> None:
    lone = table({"a": 0.0}, replicates=1, fovs=1, cells=1)
    row = compare(pd.concat([lone, table({"b": 1.0}, cells=cells)]), QUICK).iloc[0]
    assert np.isfinite([row["difference"], row["ratio"]]).all()
    assert np.isnan(
        [row[f"{n}_{end}"] for n in ("difference", "ratio") for end in ("low", "high")]
    ).all()
    assert row["note"].endswith("no interval: there is one cell on a side")


def test_a_sentence_tells_the_interval_that_agrees_with_its_p_value() -> None:
    row = {"condition": "b", "reference": "a", "p": 0.04, "p_adjusted": 0.04, "test": "paired t"}
    row |= {"difference": -5.0, "difference_low": -9.0, "difference_high": -1.0, "note": ""}
    row |= {"ratio": 0.4, "ratio_low": 0.1, "ratio_high": 1.4}
    assert sentence(row).startswith("b against a: difference -5 [-9, -1], p = 0.04")
    assert sentence(row | {"ratio_high": 0.9}).startswith("b against a: ratio 0.4 [0.1, 0.9]")
    assert sentence(row | {"p": 0.06}).startswith("b against a: ratio 0.4 [0.1, 1.4]")


def test_why_there_is_no_p_value_is_in_the_sentence_whatever_else_is_noted() -> None:
    cells = table({"a": 0.0, "b": 1.0})
    cells.loc[cells["sample"] == "b2", "good"] = False
    (row,) = compare(cells, QUICK).to_dict("records")
    assert row["note"].startswith("the condition: no usable value in replicate day2; no p-value")
    assert "; no p-value: it needs 3 replicates a side, and there are 2 and 3" in sentence(row)


def test_replicates_that_do_not_differ_have_no_p_value() -> None:
    cells = table({"a": 0.0, "b": 1.0}).assign(value=0.0)
    row = compare(cells, QUICK).iloc[0]
    assert np.isnan(row["p"])
    assert "do not differ from each other at all" in row["note"]
    assert "no ratio: not all medians are above zero" in row["note"]


def test_the_reference_is_that_of_the_settings() -> None:
    cells = table({"0": 0.0, "2": 0.0, "10": 0.0})
    pairs = compare(cells, Settings(reference="2", draws=300))[["condition", "reference"]]
    assert pairs.to_numpy().tolist() == [["0", "2"], ["10", "2"]]
    every = compare(cells, QUICK)[["condition", "reference"]]
    assert every.to_numpy().tolist() == [["2", "0"], ["10", "0"], ["10", "2"]]
    with pytest.raises(ConfigError, match=r"no sample has the condition 'ctrl'"):
        compare(cells, Settings(reference="ctrl"))


def test_bad_settings_and_tables_are_told() -> None:
    with pytest.raises(ConfigError, match="correction"):
        Settings(correction="fdr")
    with pytest.raises(FovflowError, match="lacks good"):
        describe(table({"a": 0.0}).drop(columns="good"))
    empty = table({"a": 0.0}).assign(condition="")
    assert compare(empty, QUICK).empty


def test_corrections() -> None:
    p = np.array([0.01, 0.04, np.nan, 0.03, 0.5])
    assert adjusted(p, "holm")[[0, 1, 3, 4]] == pytest.approx([0.04, 0.09, 0.09, 0.5])
    known = stats.false_discovery_control(p[[0, 1, 3, 4]])
    assert adjusted(p, "bh")[[0, 1, 3, 4]] == pytest.approx(known)
    assert np.isnan(adjusted(p, "bh")[2])
    assert adjusted(p, "none")[1] == 0.04


def test_bootstrapped_medians_vary_with_fovs_and_cells() -> None:
    rng = np.random.default_rng(0)
    fovs = np.repeat(np.arange(6), [5, 10, 40, 20, 30, 7])
    flat = rng.standard_normal(fovs.size)
    spread = bootstrap_medians(flat, fovs, 1000, rng).std()
    # Without any difference of the FOVs what the cells contribute counts twice.
    assert spread == pytest.approx(np.sqrt(2) * 1.2533 / np.sqrt(fovs.size), rel=0.3)
    assert bootstrap_medians(flat + 10 * fovs, fovs, 1000, rng).std() > 4
    assert (bootstrap_medians(np.array([3.0]), np.array([0]), 10, rng) == 3).all()


def test_the_nested_bootstrap_has_the_variance_of_a_mean_of_replicates() -> None:
    rng = np.random.default_rng(0)
    for scale in (0.05, 0.4, 5.0):  # of the draws: less, about as much and more than between
        centres = np.array([1.0, 2.0, 4.0])
        draws = centres + scale * rng.standard_normal((20_000, 3))
        found = nested_draws(centres, draws, rng)
        assert found.std() == pytest.approx(centres.std(ddof=1) / np.sqrt(3), rel=0.03)
        assert found.mean() == pytest.approx(centres.mean(), abs=0.05)


def test_variance_parts_are_those_of_the_simulation() -> None:
    found = [
        variance_parts(table({"a": 0.0}, replicates=20, fovs=5, day=1.0, fov=0.5, seed=seed))
        for seed in range(4)
    ]
    mean = pd.DataFrame(found).mean()
    whole = 1 + 0.25 + 1
    assert mean["part_replicate"] == pytest.approx(1 / whole, abs=0.1)
    assert mean["part_fov"] == pytest.approx(0.25 / whole, abs=0.04)
    assert mean["part_cell"] == pytest.approx(1 / whole, abs=0.1)
    assert np.isnan(mean["part_position"])


def test_a_gradient_over_the_plate_is_seen() -> None:
    cells = table({"a": 0.0}, replicates=2, fovs=9, fov=0.0)
    cells = cells.assign(x=cells["fov"] % 3, y=cells["fov"] // 3)
    level = variance_parts(cells)["part_position"]
    tilted = variance_parts(cells.assign(value=cells["value"] + cells["x"]))["part_position"]
    assert level < 0.4
    assert tilted > 0.8


def test_without_an_effect_one_comparison_in_twenty_is_positive() -> None:
    for design in (bench.Design(3, True), bench.Design(4, False), bench.Design(6, True)):
        found = bench.rates(design, 0.0, 1000, seed=7)
        assert 0.03 <= found["replicates"] <= 0.07
        assert found["cells"] > 0.45
    assert bench.rates(bench.Design(6, True), 1.0, 200, seed=7)["replicates"] > 0.9


def test_intervals_hold_the_truth() -> None:
    found = bench.coverage(bench.Design(4, True), 150, seed=3)
    assert found["difference"] >= 0.9
    assert found["condition"] >= 0.9
