"""Order, failures, arguments, and workers that die."""

from __future__ import annotations

import logging
import pickle
import threading
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from mapping.callbacks import (
    awkward,
    begin_slowly,
    count_rows,
    die,
    killed_while_sending,
    large_or_die,
    make_results,
    odd_fails,
    slow_first,
)

import fovflow
from fovflow.errors import ConfigError, FovflowError
from fovflow.mapping import Outcome, Outcomes, map_fovs

BOTH = pytest.mark.parametrize("parallelism", ["thread", "process"])


@pytest.fixture(scope="module")
def outdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three FOVs of ``a`` and two of ``b``."""
    folder = tmp_path_factory.mktemp("results")
    make_results(folder, "a", 3)
    make_results(folder, "b", 2)
    (folder / "runs").mkdir()
    return folder


@pytest.fixture(scope="module")
def plate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of 200 FOVs."""
    return make_results(tmp_path_factory.mktemp("many"), "plate", 200)


@BOTH
def test_two_hundred_fovs_come_in_the_order_given(plate, parallelism):
    order = list(reversed(range(200)))
    outcomes = map_fovs(
        count_rows,
        plate,
        order,
        workers=2 if parallelism == "process" else 8,
        parallelism=parallelism,
        fov_args=({"factor": i + 1} for i in order),
    )
    assert list(outcomes) == [f"plate/fov_{i:03d}" for i in order]
    assert outcomes.values_only() == {f"plate/fov_{i:03d}": i * (i + 1) for i in order}
    assert not outcomes.failures()
    assert all(outcome.seconds > 0 for outcome in outcomes.values())


@BOTH
def test_failures_are_told_from_none_counted_and_logged(plate, parallelism, caplog):
    with caplog.at_level(logging.ERROR, "fovflow.mapping"):
        outcomes = map_fovs(odd_fails, plate, range(6), workers=2, parallelism=parallelism)
    assert [outcome.ok for outcome in outcomes.values()] == [True, False] * 3
    assert outcomes[2] == Outcome(True, None, None, None, outcomes[2].seconds)
    bad = outcomes[3]
    assert isinstance(bad.error, ValueError)
    assert str(bad.error) == "odd 3"
    assert bad.error.__traceback__ is None, "no frame is kept alive"
    assert 'raise ValueError(f"odd {fov.index}")' in bad.traceback
    assert list(outcomes.failures()) == ["plate/fov_001", "plate/fov_003", "plate/fov_005"]
    assert list(outcomes.ok().values_only().values()) == [None] * 3
    assert len(caplog.records) == 3
    assert "odd_fails: plate/fov_001 failed\nTraceback" in "".join(
        r.message for r in caplog.records
    )
    with pytest.raises(ValueError, match="odd 1") as caught:
        outcomes.raise_first()
    assert caught.value.__notes__[0] == "in FOV plate/fov_001"
    assert outcomes.ok().raise_first() == outcomes.ok()


@BOTH
def test_on_error_raise_names_the_fov_and_stops_soon(plate, parallelism, tmp_path):
    with pytest.raises(KeyError, match="first") as caught:
        map_fovs(
            begin_slowly,
            plate,
            workers=2,
            parallelism=parallelism,
            on_error="raise",
            folder=tmp_path,
        )
    assert "in FOV plate/fov_000" in caught.value.__notes__
    assert len(list(tmp_path.iterdir())) < 10
    assert not [t for t in threading.enumerate() if t.name.startswith("map_fovs")]


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("exit", "the worker process ended; found: exit status 3"),
        ("kill", "the worker process was killed; found: signal SIGKILL"),
        ("quit", "7"),
    ],
)
def test_a_worker_that_dies_costs_its_own_fov_only(plate, how, message):
    fov_args = [{"how": how if i in (1, 4) else ""} for i in range(7)]
    outcomes = map_fovs(die, plate, range(7), workers=2, parallelism="process", fov_args=fov_args)
    assert [outcome.ok for outcome in outcomes.values()] == [i not in (1, 4) for i in range(7)]
    assert str(outcomes[1].error).startswith(message)
    assert outcomes[4].traceback


def test_a_worker_that_is_killed_while_it_sends_costs_its_own_fov_only(plate):
    outcomes = map_fovs(killed_while_sending, plate, range(5), workers=2, parallelism="process")
    assert [i for i in range(5) if not outcomes[i].ok] == [1]
    assert str(outcomes[1].error).startswith("the worker process was killed")
    assert [outcomes[i].value for i in (0, 2, 3, 4)] == [0, 2, 3, 4]


def test_a_worker_that_dies_while_others_send_large_values_costs_its_own_fov_only(plate):
    outcomes = map_fovs(large_or_die, plate, range(6), workers=2, parallelism="process")
    assert [i for i in range(6) if not outcomes[i].ok] == [2, 5]
    assert {len(value) for value in outcomes.values_only().values()} == {30_000_000}


def test_values_and_errors_that_cannot_travel_are_failures_of_their_fov(plate):
    outcomes = map_fovs(awkward, plate, range(3), workers=1, parallelism="process")
    assert "the function returned a lock, which cannot be pickled" in str(outcomes[0].error)
    assert str(outcomes[1].error) == "StubbornError: first"
    assert "raise StubbornError" in outcomes[1].traceback
    assert outcomes[2].value == (0.65, "fov_002", "plate")


def test_an_early_fov_that_is_slow_keeps_its_place(plate):
    assert list(map_fovs(slow_first, plate, range(4), workers=4).values_only().values()) == [
        0, 1, 2, 3,
    ]  # fmt: skip


def test_threads_take_one_fov_at_a_time(plate):
    at_work, most, lock = [0], [0], threading.Lock()

    def busy(fov):
        with lock:
            at_work[0] += 1
            most[0] = max(most[0], at_work[0])
        time.sleep(0.002)
        with lock:
            at_work[0] -= 1

    assert len(map_fovs(busy, plate, workers=3)) == 200
    assert most == [3]


def test_names_numbers_and_objects_may_be_mixed(outdir):
    results = fovflow.load_results(outdir / "a")
    names = ["a/fov_002", 0, results.fovs[1]]
    assert list(map_fovs(count_rows, results, iter(names)).values_only().values()) == [2, 0, 1]
    for one in ("fov_002", "2", "a/2", np.int64(2), results.fovs[2]):
        assert list(map_fovs(count_rows, outdir / "a", [one])) == ["a/fov_002"]
    assert list(map_fovs(count_rows, results, "0, 1-2")) == [f"a/fov_00{i}" for i in range(3)]
    assert list(map_fovs(count_rows, results, 2)) == ["a/fov_002"]
    assert map_fovs(count_rows, results, []) == {}


def test_several_datasets(outdir):
    expected = ["a/fov_000", "a/fov_001", "a/fov_002", "b/fov_000", "b/fov_001"]
    a, b = fovflow.load_results(outdir / "a"), str(outdir / "b")
    assert list(map_fovs(count_rows, outdir)) == expected
    assert list(map_fovs(count_rows, [a, b])) == expected
    outcomes = map_fovs(count_rows, {"x": a, "y": b}, ["y/1", "x/fov_002", a.fovs[0], 2][:3])
    assert outcomes.values_only() == {"y/fov_001": 1, "x/fov_002": 2, "x/fov_000": 0}
    outcomes = map_fovs(
        count_rows, outdir, ["b/1", 2], fov_args={2: {"factor": 5}, "b/fov_001": {"factor": 7}}
    )
    assert outcomes.values_only() == {"b/fov_001": 7, "a/fov_002": 10}
    with pytest.raises(ConfigError, match="fovs: 1 is in several datasets; found: a/fov_001, b/"):
        map_fovs(count_rows, outdir, [1])
    with pytest.raises(ConfigError, match="two datasets are called 'a'"):
        map_fovs(count_rows, [a, outdir])
    with pytest.raises(ConfigError, match="'x' stands for 2 datasets"):
        map_fovs(count_rows, {"x": outdir})
    with pytest.raises(FovflowError, match="there is no folder"):
        map_fovs(count_rows, outdir / "absent")
    with pytest.raises(ConfigError, match="results: neither results nor a folder; found: int"):
        map_fovs(count_rows, 5)


def test_outcomes_are_found_under_every_name(outdir):
    outcomes = map_fovs(count_rows, outdir)
    fov = fovflow.load_results(outdir / "a").fovs[2]
    for key in (2, "2", "fov_002", "a/2", "a/fov_002", fov):
        assert outcomes[key].value == 2
        assert key in outcomes
    assert outcomes.get("b/7") is None
    assert "nothing" not in outcomes
    assert 3.5 not in outcomes
    with pytest.raises(KeyError, match="b/fov_001"):
        outcomes[1]
    assert pickle.loads(pickle.dumps(outcomes)) == outcomes
    assert isinstance(outcomes, Outcomes)


def never(fov, factor=1):
    raise AssertionError("this must not run")


@BOTH
@pytest.mark.parametrize(
    ("fovs", "options", "message"),
    [
        ([0, 7], {}, r"fovs: there is no FOV 7; found: a/fov_000, a/fov_001, a/fov_002"),
        (["b/0"], {}, r"fovs: there is no FOV b/0"),
        ([0, "fov_000"], {}, r"fovs: named twice; found: a/fov_000"),
        (["first"], {}, r"'first' does not name an FOV"),
        (["a/0-1"], {}, r"'a/0-1' does not name an FOV"),
        (["0, 2"], {}, r"'0, 2' does not name an FOV"),
        (["fov_001_traces"], {}, r"'fov_001_traces' does not name an FOV"),
        ([-1], {}, r"-1 does not name an FOV"),
        ([True], {}, r"True does not name an FOV"),
        (2.5, {}, r"fovs: no list of FOVs; found: float"),
        (None, {"workers": 0}, r"workers: 0 is not allowed; to do: give a whole number from 1"),
        (None, {"workers": 2.0}, r"workers: 2\.0 is not allowed"),
        (None, {"workers": True}, r"workers: True is not allowed"),
        (None, {"parallelism": "fork"}, r"parallelism: 'fork' is not allowed; .* thread, process"),
        (None, {"on_error": "ignore"}, r"on_error: 'ignore' is not allowed"),
        (None, {"fov_args": [{}]}, r"fov_args: 1 for 3 FOVs"),
        ([0, 1], {"fov_args": {0: {}}}, r"fov_args: 1 for 2 FOVs: they lack a/fov_001"),
        ([0], {"fov_args": {0: {}, 2: {}}}, r"they name a/fov_002, which is not chosen"),
        ([0], {"fov_args": {0: {}, "0": {}}}, r"fov_args: a/fov_000 is named twice"),
        ([0], {"fov_args": {9: {}}}, r"there is no FOV 9"),
        ([0], {"fov_args": "ab"}, r"fov_args: neither a list nor a dict"),
        ([0], {"fov_args": [3]}, r"fov_args: those of a/fov_000 are no mapping"),
        ([0], {"fov_args": [{"factor": 1}], "factor": 2}, r"fov_args: factor of a/fov_000 is giv"),
        ([0], {"fctor": 2}, r"never does not take the arguments of a/fov_000; .*'fctor'"),
    ],
)
def test_wrong_arguments_are_told_before_anything_runs(outdir, parallelism, fovs, options, message):
    with pytest.raises(ConfigError, match=message):
        map_fovs(never, outdir / "a", fovs, **{"parallelism": parallelism, **options})


def test_what_cannot_be_pickled_is_named(outdir):
    run = partial(map_fovs, results=outdir / "a", parallelism="process")
    with pytest.raises(ConfigError, match=r"callback: \S*<lambda> cannot be pickled .* at the top"):
        run(lambda fov: None)
    with pytest.raises(ConfigError, match="factor: this argument cannot be pickled"):
        run(never, factor=threading.Lock())
    with pytest.raises(ConfigError, match="fov_args: factor of a/fov_001 cannot be pickled"):
        run(never, fov_args=[{}, {"factor": threading.Lock()}, {}])
    with pytest.raises(ConfigError, match="callback: no function; found: int"):
        run(5)


def test_an_fov_opens_its_files_when_asked(outdir):
    def look(fov):
        return len(fov.traces()), fov.name, fov.metadata["channels"], fov.metadata["time_units"]

    outcomes = map_fovs(look, outdir, ["a/2"])
    assert outcomes[2].value == (2, "a/fov_002", {"pc": 0, "fl": [1]}, "min")
    fov = fovflow.load_results(outdir / "a").fovs[2]
    with pytest.raises(FovflowError, match="FOV 2 has no table of times"):
        fov.times()
    (fov.path / "a_fov_002_times.csv").write_text("frame,time_s\n0,1.5\n")
    assert fov.times()["time_s"].tolist() == [1.5]
