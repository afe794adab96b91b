"""Files that users name: pipes wait for nobody, broken links and ``~`` are understood."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

import fovflow
from fovflow.atomic import digest_of, sha256_or_none
from fovflow.cli import main
from fovflow.config import load_config, parse_config
from fovflow.errors import ConfigError, FovflowError, reading
from fovflow.readers.fingerprint import fingerprint, raw_files
from fovflow.records import read_json, read_yaml
from fovflow.simulation.containers import write_ome_zarr
from fovflow.stacks import StackReader, read_image
from fovflow.tables import read_csv
from fovflow.userfiles import broken_link, is_left_by_system, open_regular, user_path

WAIT_S = 30


def ends(call: Callable[[], object]) -> BaseException | None:
    """Return what a call raises; fail where it waits for a pipe's other end."""
    raised: list[BaseException | None] = [None]

    def work() -> None:
        try:
            call()
        except BaseException as error:
            raised[0] = error

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(WAIT_S)
    assert not thread.is_alive(), "it waits for ever"
    return raised[0]


def pipe(path: Path) -> Path:
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    return path


def test_only_regular_files_are_opened(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"abc")
    (tmp_path / "link").symlink_to("a")
    with open_regular(tmp_path / "link") as file:
        assert file.read() == b"abc"
        assert os.get_blocking(file.fileno()) in (True, False)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s"))
        with pytest.raises(OSError, match="it is a socket, not a regular file"):
            open_regular(tmp_path / "s")
    with pytest.raises(OSError, match="it is a device, not a regular file"):
        open_regular("/dev/zero")
    with pytest.raises(OSError, match="it is a pipe, not a regular file"):
        open_regular(pipe(tmp_path / "p"))
    with pytest.raises(IsADirectoryError):
        open_regular(tmp_path)
    with pytest.raises(FileNotFoundError, match="No such file"):
        open_regular(tmp_path / "none")


@pytest.mark.parametrize(
    "read",
    [
        load_config, read_yaml, read_json, read_csv, fingerprint, StackReader, fovflow.open_raw,
        lambda path: fovflow.open_raw(path, format="nd2"),
        lambda path: fovflow.open_raw(path, format="tiff"),
        lambda path: read_image(str(path), (4, 4)),
        lambda path: parse_config({"datasets": str(path)}),
        lambda path: parse_config(
            {"datasets": {"a": {"path": "a.nd2"}}, "correct": {"dark": str(path)}}
        ),
        lambda path: parse_config(
            {"datasets": {"a": {"path": "a.nd2"}}, "correct": {"flat_field": str(path)}}
        ),
        lambda path: parse_config(
            {
                "datasets": {"a": {"path": "a.nd2"}},
                "steps": [{"name": "x", "script": str(path), "function": "f", "outputs": ["a"]}],
            }
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["p.npy", "p.tif"])
def test_no_reader_waits_for_a_pipe(read, name, tmp_path: Path):
    error = ends(lambda: read(pipe(tmp_path / name)))
    assert isinstance(error, FovflowError)
    assert "it is a pipe, not a regular file" in str(error)


def test_digests_do_not_wait_for_a_pipe(tmp_path: Path):
    assert isinstance(ends(lambda: digest_of(pipe(tmp_path / "p"))), OSError)
    assert sha256_or_none(tmp_path / "p") is None


def zarr_folder(folder: Path) -> Path:
    pixels = np.random.default_rng(0).integers(1, 99, (2, 1, 1, 8, 8), dtype=np.uint16)
    write_ome_zarr(folder, pixels, channels=["a"], pixel_um=1.0)
    return folder


@pytest.mark.parametrize("what", ["chunk", "zarr.json", ".zattrs", ".zarray", "other"])
def test_a_pipe_in_a_zarr_folder_is_told(what: str, tmp_path: Path):
    folder = zarr_folder(tmp_path / "a.ome.zarr")
    arrays = [p.parent for p in folder.rglob("*") if p.name in (".zarray", "zarr.json")]
    array = max(arrays, key=lambda path: len(path.parts))
    chunks = [p for p in array.rglob("*") if p.is_file() and not p.name.startswith((".z", "zarr"))]
    path = {"chunk": sorted(chunks)[0], "other": folder / "other"}.get(what, array / what)
    pipe(path)

    def read() -> None:
        with fovflow.open_raw(folder) as raw:
            for t in range(raw.info.n_frames):
                raw.read(0, t, 0)

    error = ends(read)
    assert what == "other" or isinstance(error, FovflowError)
    assert "a pipe" in str(ends(lambda: fingerprint(folder)))


def test_pipes_of_a_series_are_no_files_of_it(tmp_path: Path):
    for t in range(2):
        tifffile.imwrite(tmp_path / f"a_t{t}.tif", np.ones((8, 8), np.uint16))
    pipe(tmp_path / "a_t2.tif")
    for path in (tmp_path, tmp_path / "*.tif"):
        assert ends(lambda path=path: fingerprint(path)) is None
        assert len(raw_files(path)) == 2
    pipe(tmp_path / "a_t0.tif")
    pipe(tmp_path / "a_t1.tif")
    assert isinstance(ends(lambda: fovflow.open_raw(tmp_path / "*.tif")), FovflowError)


def test_a_broken_link_is_told_with_where_it_leads(tmp_path: Path):
    (tmp_path / "file.nd2").symlink_to("/nowhere/at/all.nd2")
    (tmp_path / "data").symlink_to("/nowhere/disk")
    for name, link in {"file.nd2": "file.nd2", "data/a.nd2": "data", "data/*.tif": "data"}.items():
        with pytest.raises(FovflowError, match="is a broken link: it leads to /nowhere") as caught:
            fovflow.open_raw(tmp_path / name)
        assert f"found: {tmp_path / link} is a broken link" in str(caught.value)
    assert broken_link(tmp_path / "none") == broken_link(tmp_path) == ""
    with pytest.raises(ConfigError, match=r"file\.nd2 is a broken link"):
        load_config(tmp_path / "file.nd2")
    with (
        pytest.raises(FovflowError, match=r"cannot read .*file\.nd2; found: .* is a broken link"),
        reading(tmp_path),
    ):
        (tmp_path / "file.nd2").read_bytes()


def test_a_broken_link_in_a_series_is_no_missing_frame(tmp_path: Path):
    for t in (0, 2):
        tifffile.imwrite(tmp_path / f"a_t{t}.tif", np.ones((8, 8), np.uint16))
    (tmp_path / "a_t1.tif").symlink_to("/nowhere/a_t1.tif")
    for path in (tmp_path, tmp_path / "a_*.tif"):
        with pytest.raises(FovflowError, match="broken link: it leads to /nowhere"):
            fovflow.open_raw(path)


def test_a_broken_link_in_a_zarr_folder_is_no_missing_frame(tmp_path: Path):
    folder = zarr_folder(tmp_path / "a.ome.zarr")
    chunk = max(folder.rglob("0"), key=lambda path: (path.is_file(), len(path.parts)))
    assert chunk.is_file()
    chunk.unlink()
    chunk.symlink_to("/nowhere/chunk")
    with fovflow.open_raw(folder) as raw, pytest.raises(FovflowError, match="broken link"):
        raw.read(0, 0, 0)


JUNK = (".DS_Store", "Thumbs.db", "desktop.ini", "._a_t0.tif", ".localized")


def test_what_systems_leave_in_folders_is_no_raw_data(tmp_path: Path):
    assert all(map(is_left_by_system, JUNK))
    assert not any(map(is_left_by_system, ("a.tif", "thumbs.tif", ".zattrs", "0.0.0")))
    folder = zarr_folder(tmp_path / "a.ome.zarr")
    series = tmp_path / "series"
    series.mkdir()
    for t in range(3):
        tifffile.imwrite(series / f"a_t{t}.tif", np.full((8, 8), t, np.uint16))
    before = fingerprint(folder), fingerprint(series), fingerprint(series / "*")
    for name in JUNK:
        for place in (folder, folder / "0", series):
            (place / name).write_bytes(b"x")
    assert (fingerprint(folder), fingerprint(series), fingerprint(series / "*")) == before
    with fovflow.open_raw(series / "*") as raw:
        assert raw.info.n_frames == 3
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / ".DS_Store").touch()
    with pytest.raises(FovflowError, match="holds no images; found: nothing"):
        fovflow.open_raw(empty)


def test_home_folders_are_found(tmp_path: Path, monkeypatch, capsys):
    home = tmp_path / "home"
    home.mkdir()
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(work)
    assert user_path("~/a b") == f"{home}/a b"
    assert user_path("a~b/~c") == "a~b/~c"
    with pytest.raises(ValueError, match="no home folder of that name"):
        user_path("~nobody-of-that-name/x")
    config = parse_config(
        {
            "datasets": {"a": {"path": "~/a.nd2"}},
            "outdir": "~/out",
            "container": "~/i.sif",
            "correct": {"dark": "~/dark.tif", "flat_field": "~/flat.tif"},
            "segment": {"method": "cellpose", "model": "~/model"},
            "steps": [{"name": "x", "script": "~/s.py", "function": "f", "outputs": ["a"]}],
        }
    )
    assert config.outdir == f"{home}/out"
    assert config.container == f"{home}/i.sif"
    assert (config.correct.dark, config.correct.flat_field) == (
        f"{home}/dark.tif", f"{home}/flat.tif"
    )  # fmt: skip
    assert config.segment.model == f"{home}/model"
    assert config.steps[0].script == f"{home}/s.py"
    (home / "table.tsv").write_text("dataset\tpath\nb\tb.nd2\n")
    assert list(parse_config({"datasets": "~/table.tsv"}).datasets) == ["b"]
    with fovflow.Run(outdir="~/runs_of_mine") as run:
        run.init("here")
    assert (home / "runs_of_mine" / "runs").is_dir()
    assert main(["runs", "list", "~/runs_of_mine"]) == 0
    assert "completed" in capsys.readouterr().out
    with pytest.raises(FovflowError, match=str(home)):
        fovflow.load_results("~/none")
    assert main(["init", "~/project"]) == 0
    assert (home / "project" / "config" / "config.yaml").is_file()
    assert list(work.iterdir()) == []
