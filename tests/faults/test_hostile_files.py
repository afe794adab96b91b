"""Hostile files do no harm: no absurd memory, no hanging, nothing read or written elsewhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from faults import hostile_files, hostile_packs, hostile_series
from faults.killing import HANGS_S

from fovflow.simulation import MovieParams, simulate, write_movie

MOST_MIB = 450
"""Peak memory of the process that reads all of them, its libraries included."""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What came of each file, told by a process of limited memory."""
    folder = tmp_path_factory.mktemp("hostile") / "files"
    folder.mkdir()
    hostile_files.write_tiffs(folder)
    hostile_files.write_omes(folder)
    hostile_files.write_zarrs(folder)
    hostile_files.write_arrays(folder)
    hostile_packs.write_packed(folder)
    hostile_series.write_series(folder)
    made = simulate(MovieParams(seed=1, positions=2, frames=2, height=24, width=24, cells=0))
    for kind in ("nd2", "czi"):
        good = folder.parent / f"good.{kind}"
        write_movie(made, good)
        name = f"damaged {{}}.{kind}"
        if kind == "nd2":
            hostile_series.write_nd2s(folder, good.read_bytes())
        hostile_files.write_damaged(folder, name, good.read_bytes(), copies=60, seed=4)
    before = everything(folder.parent)
    done = subprocess.run(
        [sys.executable, hostile_files.__file__, str(folder)],
        capture_output=True, text=True, timeout=HANGS_S, check=False, cwd=folder.parent,
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )  # fmt: skip
    told = [json.loads(line) for line in done.stdout.splitlines()]
    last = told[-1]["name"] if told else "none"
    assert done.returncode == 0, f"it ended after {last}: {done.returncode}\n{done.stderr[-2000:]}"
    assert everything(folder.parent) == before
    return {each["name"]: each for each in told}


def everything(folder: Path) -> set[str]:
    return {str(path) for path in folder.rglob("*")}


def test_no_file_makes_an_error_that_is_not_ours_or_tells_a_secret(outcomes):
    assert len(outcomes) == 225
    bad = {name: each["outcome"] for name, each in outcomes.items()
           if not each["outcome"].startswith(("read", "refused"))}  # fmt: skip
    assert not bad


def test_no_file_takes_absurd_memory(outcomes):
    peaks = {name: each["peak_mib"] for name, each in outcomes.items()}
    assert max(peaks.values()) < MOST_MIB, sorted(peaks.items(), key=lambda item: item[1])


@pytest.mark.parametrize(
    "name",
    ["ten terabytes.tif", "offset outside.tif", "endless strips.tif", "cycle.tif",
     "frames 1e13.ome.tif", "billion laughs.ome.tif", "quadratic.ome.tif",
     "elsewhere 0.ome.tif", "elsewhere 1.ome.tif", "elsewhere 2.ome.tif", "gzip bomb.zarr",
     "blosc header.zarr", "lz4 length.zarr", "shape 0.zarr", "shape 4.zarr", "shape 6.zarr",
     "path 0.zarr", "path 1.zarr", "header 0.npy", "pickled.npy", "zip.npy", "code.npy",
     *(f"{kind} {name}.zarr" for kind in ("packed", "shard") for name in hostile_packs.BOMBS),
     "packed twice.zarr", "packed raw.zarr", "loose chunk.zarr", "shard in shard.zarr",
     "shard short.zarr", "shard far.zarr", "series shapes", "series types", "series empty",
     "series loop", "series folder", "series pipe", "series diagonal", "chunk 0 name.nd2",
     f"chunk 1 of {2**63}.nd2", "map at -1.nd2", "entry at -1.nd2"],
)  # fmt: skip
def test_what_lies_is_refused_in_a_sentence(outcomes, name):
    told = outcomes[name]["outcome"]
    assert told.startswith("refused: "), told
    assert "; found: " in told or "; to do: " in told


@pytest.mark.parametrize("kind", ["dots", "line", "frames", "numbers"])
def test_series_with_odd_names_and_thousands_of_files_are_read(outcomes, kind):
    assert outcomes[f"series {kind}"]["outcome"] == "read"
