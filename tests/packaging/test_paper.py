"""A paper's folder gives the same bytes to another user, elsewhere, with other settings."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fovflow.cli import main
from fovflow.runs.checksums import read_list
from fovflow.simulation import MovieParams, simulate, write_movie
from fovflow.tables import read_csv
from paths import ROOT

pytestmark = [pytest.mark.workflow, pytest.mark.slow]


def sums(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of everything that must not differ between machines."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for place in ("results", "tables")
        for path in sorted((folder / place).rglob("*"))
        if path.is_file()
        and not {"runs", "logs", "provenance"} & set(path.parts)
        and path.name not in (".raw_stamp.json", "ro-crate-metadata.json")
    }


def good_areas(folder: Path, frame: int) -> np.ndarray:
    """Return the areas of a frame's good rows, from the traces themselves."""
    tables = [read_csv(path) for path in (folder / "results").rglob("*_traces.csv")]
    return np.concatenate(
        [table["area_um2"][table["good"] & (table["frame"] == frame)] for table in tables]
    )


def make(
    folder: Path, *arguments: str, become: list[str], fovflow: Path, python: Path, **env: str
) -> subprocess.CompletedProcess[str]:
    kept = {key: os.environ[key] for key in ("PATH",)}
    home = folder / ".home"
    return subprocess.run(
        [*become, "make", *arguments, f"FOVFLOW={fovflow}", f"PYTHON={python}"],
        cwd=folder,
        env={**kept, "HOME": str(home), "XDG_CACHE_HOME": str(home), **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The authors' folder, made by this checkout on two cores."""
    if shutil.which("make") is None:
        pytest.skip("there is no make")
    folder = tmp_path_factory.mktemp("authors") / "a paper (1) é"
    raw = folder / "raw" / "plate.nd2"
    raw.parent.mkdir(parents=True)
    settings = MovieParams(seed=3, positions=2, frames=6, height=160, width=176, cells=4)
    write_movie(simulate(settings), raw)
    assert main(["init", str(folder), "--paper", "--raw", str(raw)]) == 0
    config = folder / "config" / "config.yaml"
    config.write_text(config.read_text().replace(str(folder) + "/", ""))
    done = make(
        folder, "record", "CORES=2", become=[], python=Path(sys.executable),
        fovflow=Path(sys.executable).with_name("fovflow"), LC_ALL="C.UTF-8", TZ="UTC",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_the_lists_and_the_table_hold_what_they_say(paper):
    (raw,) = read_list(paper / "raw_data.sha256")
    data = (paper / "raw" / "plate.nd2").read_bytes()
    assert (raw.file, raw.used_by) == ("raw/plate.nd2", "plate")
    assert (raw.bytes, raw.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    listed = {item.file: item.sha256 for item in read_list(paper / "outputs.sha256")}
    assert listed == sums(paper)
    kinds = {Path(name).suffix for name in listed}
    assert kinds == {".npy", ".npz", ".csv", ".yaml", ".json", ".html", ".js"}
    table = read_csv(paper / "tables" / "figure_1.csv")
    assert table["frame"].tolist() == list(range(6))
    assert table["cells"].tolist() == [len(good_areas(paper, frame)) for frame in range(6)]
    assert sum(table["cells"]) >= 12
    assert table["area_um2"].tolist() == [np.median(good_areas(paper, frame)) for frame in range(6)]
    assert 100 < table["area_um2"].min() < table["area_um2"].max() < 2000
    readme = (paper / "README.md").read_text()
    assert re.search(r"Made with fovflow \d+\.\d+\.\d+\.", readme)


def test_another_user_gets_the_same_bytes_from_the_wheel(paper, reviewer, public_folder):
    """Another user, folder, installation, number of cores, locale, time zone and umask."""
    copy = public_folder / "review"
    ignored = shutil.ignore_patterns("results", "tables", ".snakemake", ".home")
    shutil.copytree(paper, copy, ignore=ignored)
    for path in [copy, *copy.rglob("*")]:
        os.chown(path, reviewer.uid, -1)
    done = make(
        copy, "CORES=1", become=[*reviewer.become, "sh", "-c", 'umask 077; exec "$@"', "sh"],
        fovflow=reviewer.installed.command, python=reviewer.installed.folder / "bin" / "python",
        LC_ALL="C", TZ="Asia/Kolkata", PYTHONDONTWRITEBYTECODE="1", PYTHONHASHSEED="17",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "everything holds" in done.stdout
    assert re.search(r"outputs\.sha256: \d+ files, .* as listed", done.stdout)
    assert sums(copy) == sums(paper)
    assert {path.stat().st_uid for path in (copy / "results").rglob("*")} == {reviewer.uid}
    if not reviewer.become:
        pytest.skip("all bytes are equal, but it was the same user: no other can run a Python")


def test_changed_raw_data_stop_everything_and_a_changed_output_is_named(paper, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(paper, copy)
    tools = {"become": [], "python": Path(sys.executable), "LC_ALL": "C.UTF-8"}
    tools["fovflow"] = Path(sys.executable).with_name("fovflow")
    table = copy / "outputs.sha256"
    first = read_list(table)[0]
    table.write_text(table.read_text().replace(first.sha256, "0" * 64))
    done = make(copy, "check", **tools)
    assert done.returncode == 2
    assert f"{first.file}: other content: SHA-256 {first.sha256[:12]}" in done.stdout

    raw = copy / "raw" / "plate.nd2"
    raw.write_bytes(raw.read_bytes()[:-1] + b"!")
    done = make(copy, **tools)
    assert done.returncode == 2
    assert "raw/plate.nd2: other content" in done.stdout
    assert " run --cores" not in done.stdout


def test_the_documented_example_is_the_folder_that_init_makes(tmp_path, capsys):
    text = (ROOT / "docs" / "papers.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```text\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    documented = {line.split()[0].rstrip("/") for line in block.splitlines()}
    assert main(["init", str(tmp_path / "paper"), "--paper"]) == 0
    made = {path.relative_to(tmp_path / "paper").as_posix() for path in _files(tmp_path / "paper")}
    assert {
        name for name in documented if name not in ("raw_data.sha256", "outputs.sha256")
    } == made
    assert "make record" in capsys.readouterr().out


def test_files_of_one_s_own_are_left_alone(tmp_path):
    (tmp_path / "Makefile").write_text("mine\n")
    assert main(["init", str(tmp_path), "--paper"]) == 0
    assert (tmp_path / "Makefile").read_text() == "mine\n"
    assert (tmp_path / "figures" / "figure_1.py").is_file()


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]
