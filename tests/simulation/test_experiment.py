"""Conditions, days and positions of simulated experiments."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from fovflow.cli import main
from fovflow.errors import ConfigError
from fovflow.simulation import MovieParams, load_truth, simulate, simulate_traces, write_truth
from fovflow.simulation.experiment import samples

PARAMS = MovieParams(
    seed=3, positions=12, frames=3, height=64, width=64, cells=1, conditions=("a", "b"),
    replicates=3, effects={"b": {"ktl": 0.5, "t0_h": 2.0}},
)  # fmt: skip


def test_positions_are_dealt_to_conditions_and_replicates() -> None:
    assert [PARAMS.group(p) for p in (0, 1, 2, 5, 6, 11)] == [
        ("a", 1), ("a", 1), ("a", 2), ("a", 3), ("b", 1), ("b", 3),
    ]  # fmt: skip
    assert samples(PARAMS)[3] == {
        "sample": "b_1", "fovs": "6-7", "condition": "b", "replicate": "1",
    }  # fmt: skip


def test_an_effect_is_a_factor_on_each_cells_parameters() -> None:
    plain = MovieParams(**{**PARAMS.to_dict(), "effects": {}, "missing": frozenset()})
    for p in (0, 7):
        with_effect, without = (simulate(q).kinetics(p) for q in (PARAMS, plain))
        ratio = {name: with_effect[name][0] / without[name][0] for name in ("ktl", "t0_h", "beta")}
        assert ratio == pytest.approx({"ktl": 0.5 if p else 1, "t0_h": 2 if p else 1, "beta": 1})


def test_days_are_shared_by_conditions_and_positions_are_not() -> None:
    days = MovieParams(**{**PARAMS.to_dict(), "effects": {}, "day_spread": 0.3})
    assert days.factors(0) == days.factors(1) == days.factors(6)
    assert days.factors(0) != days.factors(2)
    fields = MovieParams(**{**PARAMS.to_dict(), "effects": {}, "fov_spread": 0.3})
    assert len({fields.factors(p)["ktl"] for p in range(12)}) == 12
    many = MovieParams(positions=400, replicates=400, day_spread=0.3)
    assert np.std(np.log([many.factors(p)["ktl"] for p in range(400)])) == pytest.approx(
        0.3, rel=0.1
    )


def test_traces_follow_the_kinetics_of_the_movie() -> None:
    table = simulate_traces(PARAMS, noise=0.0)
    kinetics = simulate(PARAMS).kinetics(7)
    own = (table["fov"] == 7) & (table["cell"] == 1)
    assert table["ktl"][own].tolist() == [kinetics["ktl"][0]] * 3
    assert table["time"][own] == pytest.approx((np.arange(3) * 600 + 14) / 3600)
    noisy = simulate_traces(MovieParams(frames=200, cells=5, seed=1), noise=0.1)
    clean = simulate_traces(MovieParams(frames=200, cells=5, seed=1), noise=0.0)
    first = noisy["cell"] == 1
    rest = (noisy["value"] - clean["value"])[first] / clean["value"][first].max()
    assert rest.std() == pytest.approx(0.1, rel=0.2)


def test_the_truth_tells_the_experiment(tmp_path: Path) -> None:
    write_truth(simulate(PARAMS), tmp_path)
    assert (tmp_path / "samples.tsv").read_text().splitlines()[:2] == [
        "sample\tfovs\tcondition\treplicate",
        "a_1\t0-1\ta\t1",
    ]
    assert load_truth(tmp_path).params == PARAMS
    plain = MovieParams(frames=1, height=64, width=64, cells=1)
    assert not {"conditions", "replicates", "effects", "day_spread"} & plain.to_dict().keys()


def test_the_command_writes_the_samples(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    experiment = "--conditions ctrl drug --replicates 2 --effect drug:ktl=0.5 --day-spread 0.1"
    small = "--positions 4 --frames 1 --cells 1 --height 64 --width 64"
    files = ["--samples", str(tmp_path / "samples.tsv"), "--truth", str(tmp_path / "t")]
    words = ["simulate", str(tmp_path / "m.ome.tif"), *f"{experiment} {small}".split(), *files]
    assert main(words) == 0
    assert "samples:" in capsys.readouterr().out
    assert len((tmp_path / "samples.tsv").read_text().splitlines()) == 5
    assert json.loads((tmp_path / "t" / "params.json").read_text())["effects"] == {
        "drug": {"ktl": 0.5}
    }
    assert main([*words, "--effect", "drug ktl"]) == 2
    assert main([*words, "--effect", "drug:speed=2"]) == 2


def test_contradictions_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as error:
        MovieParams(positions=5, conditions=("a", "b"), replicates=2, effects={"c": {"kt": -1.0}})
    for words in ("5 positions", "no condition 'c'", "no parameter 'kt'", "effect is not above 0"):
        assert words in str(error.value)
