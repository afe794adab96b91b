"""What cannot be exported is told in a sentence, and the rest is exported."""

from __future__ import annotations

import shutil
import tracemalloc

import numpy as np
import pytest

from export.made_results import write
from fovflow.cli import main
from fovflow.errors import FovflowError
from fovflow.export import formats
from fovflow.export.fov import ExportedFov
from fovflow.results import load_results


def told(capsys, *arguments: str) -> tuple[int, str, str]:
    status = main(["export", *map(str, arguments)])
    said = capsys.readouterr()
    assert len(said.err.splitlines()) <= 1, said.err
    return status, said.out, said.err


def test_an_fov_that_failed_is_left_out_and_others_go_on(folder, capsys):
    status, out, err = told(capsys, "trackmate", folder)
    assert status == 1
    assert "plate/fov_003 is left out: it is failed at segment: no light" in err
    assert [line[-11:] for line in out.split()] == ["fov_000.xml", "fov_001.xml"]


@pytest.mark.parametrize(
    ("arguments", "words", "status"),
    [
        (("tiff",), "there is no format 'tiff' (did you mean ome-tiff?); found: anndata, ", 2),
        (("napari",), "napari needs no export", 2),
        (("ome-tiff", "--fovs", "0,7"), "plate has no FOV 7; found: 0, 1, 3", 2),
        (("ome-tiff", "--form", "old"), "ome-tiff has no form 'old'; found: one form alone", 2),
        (("pyama", "--form", "old"), "pyama has no form 'old'; found: 2025-11, 2025-10", 2),
        (("ome-tiff", "--pixel-um", "0"), "--pixel-um", 2),
    ],
)
def test_wrong_arguments(folder, capsys, arguments, words, status):
    name, *rest = arguments
    found, out, err = told(capsys, name, folder, *rest)
    assert (found, out) == (status, "")
    assert words in err
    assert not (folder / "exports").exists()


def test_without_a_folder_the_output_folder_is_exported(folder, capsys, monkeypatch):
    monkeypatch.chdir(folder.parents[1])
    status, out, _ = told(capsys, "ome-tiff", "--fovs", "0")
    assert (status, out.split()[0][-12:]) == (0, "_000.ome.tif")
    monkeypatch.chdir(folder)
    assert told(capsys, "ome-tiff") == (1, "", "fovflow: there is no folder results; to do: give a "
                                        "dataset's result folder\n")  # fmt: skip


@pytest.mark.parametrize("name", ["ome-tiff", "ome-zarr"])
def test_stacks_that_were_not_kept(layout, capsys, name):
    folder = write(layout, kept=frozenset({"seg_labeled"}))
    status, out, err = told(capsys, name, folder, "--fovs", "0")
    assert (status, out) == (1, "")
    assert "plate/fov_000 is left out: no stacks of images were kept; to do: let the" in err


@pytest.mark.parametrize("name", ["ome-tiff", "ome-zarr", "trackmate", "geff"])
def test_no_pixel_size(layout, capsys, name):
    folder = write(layout, pixel_um=None)
    status, out, err = told(capsys, name, folder, "--fovs", "0")
    assert (status, out) == (1, "")
    assert "the size of a pixel is not known; to do: give it with --pixel-um" in err
    assert main(["export", name, str(folder), "--fovs", "0", "--pixel-um", "0.5"]) == 0


@pytest.mark.parametrize("name", ["trackmate", "geff"])
def test_no_tracks(folder, capsys, name):
    (folder / "fov_000" / "plate_fov_000_tracks.csv").unlink()
    status, out, err = told(capsys, name, folder, "--fovs", "0")
    assert (status, out) == (1, "")
    assert "plate/fov_000 is left out: there is no table of tracks" in err


def test_a_library_that_is_not_installed(folder, capsys, monkeypatch):
    monkeypatch.setattr("fovflow.export.find_spec", lambda name: None)
    status, _, err = told(capsys, "geff", folder)
    assert status == 2
    assert 'needs the package geff, which is not installed; to do: install it: pip install "' in err


def test_napari_that_is_not_installed(folder, capsys, monkeypatch):
    monkeypatch.setattr("fovflow.cli.doors.find_spec", lambda name: None)
    assert main(["napari", str(folder)]) == 2
    assert (
        'napari is not installed; to do: pip install "fovflow[napari]"' in capsys.readouterr().err
    )


def test_nothing_to_show_in_napari(layout):
    from fovflow.export.napari import layers

    with pytest.raises(FovflowError, match="there is nothing to show; found: no stacks"):
        layers(write(layout), [3])


def test_what_is_there_stays_unless_forced(folder, capsys):
    arguments = ("trackmate", folder, "--fovs", "0")
    assert told(capsys, *arguments)[0] == 0
    made = folder / "exports" / "trackmate" / "plate_fov_000.xml"
    made.write_text("mine")
    status, out, err = told(capsys, "trackmate", folder, "--fovs", "0,1")
    assert (status, out) == (1, "")
    assert f"{made} is there already; to do: write it again with --force" in err
    assert made.read_text() == "mine"
    assert not made.with_name("plate_fov_001.xml").exists()
    assert told(capsys, *arguments, "--force")[0] == 0
    assert "TrackMate" in made.read_text()
    assert [path.name for path in made.parent.iterdir()] == [made.name]


def test_folders_are_replaced_whole(folder, capsys):
    arguments = ("ome-zarr", folder, "--fovs", "0", "--force")
    assert told(capsys, *arguments)[0] == 0
    made = folder / "exports" / "ome-zarr" / "plate_fov_000.ome.zarr"
    (made / "left_over").write_text("old")
    assert told(capsys, *arguments)[0] == 0
    assert (made / "zarr.json").exists()
    assert not (made / "left_over").exists()


def test_an_export_that_fails_leaves_nothing(folder, capsys, monkeypatch):
    broken = folder / "fov_000" / "plate_fov_000_fl_ch_1.npy"
    broken.write_bytes(broken.read_bytes()[:-5])
    status, _, err = told(capsys, "ome-tiff", folder, "--fovs", "0,1")
    assert status == 1
    assert "does not hold what its header announces" in err
    made = folder / "exports" / "ome-tiff"
    names = sorted(path.name for path in made.iterdir())
    assert [name[:13] for name in names] == ["plate_fov_001"] * 3


@pytest.mark.parametrize("name", ["parquet", "pyama", "ctc"])
@pytest.mark.parametrize("what", ["stack", "table"])
def test_a_damaged_fov_does_not_cost_the_file_of_all(folder, capsys, name, what):
    inside = folder / "fov_000"
    if what == "stack":
        broken = inside / "plate_fov_000_seg_labeled_ch_0.npy"
        broken.write_bytes(broken.read_bytes()[:-5])
    else:
        kind = "tracks" if name == "ctc" else "traces"
        (inside / f"plate_fov_000_{kind}.csv").write_text("fov,cell\n0,1,2\n")
    status, out, err = told(capsys, name, folder, "--fovs", "0,1")
    assert status == 1
    assert "plate_fov_000_" in err
    assert out


def test_stacks_of_different_shapes(folder, capsys):
    path = folder / "fov_000" / "plate_fov_000_fl_ch_1.npy"
    np.save(path, np.load(path)[:, 1:])
    status, _, err = told(capsys, "ome-tiff", folder, "--fovs", "0")
    assert status == 1
    assert "differ in shape" in err


@pytest.mark.parametrize("name", ["geff", "trackmate", "parquet", "anndata", "pyama", "ctc"])
def test_an_fov_without_cells(folder, name, capsys):
    module = {"parquet": "pyarrow"}.get(name, name)
    if name in ("geff", "parquet", "anndata"):
        pytest.importorskip(module)
    for kind in ("traces", "tracks"):
        path = folder / "fov_000" / f"plate_fov_000_{kind}.csv"
        path.write_text(path.read_text().splitlines()[0] + "\n")
    status, _, err = told(capsys, name, folder, "--fovs", "0,1")
    assert (status, err) == (0, "")


def test_an_export_is_no_orphan_and_no_output(folder, tmp_path):
    from fovflow.layout import made_by_hand

    assert main(["export", "ome-zarr", str(folder), "--fovs", "0"]) == 0
    files = [p for p in (folder / "exports").rglob("*") if p.is_file()]
    names = [path.relative_to(folder).as_posix() for path in files]
    assert names
    assert all(made_by_hand().fullmatch(name) for name in names)


def test_nothing_is_written_before_all_datasets_hold(folder, capsys):
    shutil.copytree(folder, folder.with_name("other"))
    text = (folder / "processing_results.yaml").read_text().replace("dataset: plate", "dataset: b")
    other = folder.with_name("other")
    (other / "processing_results.yaml").write_text(text)
    shutil.rmtree(other / "fov_001")
    (other / "exports" / "trackmate").mkdir(parents=True)
    (other / "exports" / "trackmate" / "b_fov_000.xml").write_text("mine")
    status, out, err = told(capsys, "trackmate", folder.parent, "--fovs", "0")
    assert (status, out) == (1, "")
    assert "b_fov_000.xml is there already" in err
    assert not (folder / "exports").exists()


def test_a_place_that_cannot_be_written_to(folder, capsys):
    (folder / "exports").write_text("a file")
    status, out, err = told(capsys, "trackmate", folder, "--fovs", "0")
    assert (status, out) == (1, "")
    assert "to do: move away what is in the way" in err


def test_several_datasets_and_a_moved_folder(folder, tmp_path, capsys):
    shutil.copytree(folder, tmp_path / "moved")
    shutil.copytree(folder, folder.with_name("other"))
    assert main(["export", "trackmate", str(tmp_path / "moved"), "--fovs", "0"]) == 0
    assert (tmp_path / "moved" / "exports" / "trackmate" / "plate_fov_000.xml").exists()


@pytest.mark.parametrize("name", ["ome_tiff", "trackmate", "pyama"])
def test_memory_is_that_of_a_few_frames(tmp_path, layout, name):
    """Sixty frames of each stack, thirty times the room that is allowed."""
    shape = (60, 160, 160)
    kinds = {"pc": [0], "fl": [1, 2], "fl_corrected": [1, 2], "seg_labeled": [0]}
    for kind, channel in ((k, channel) for k, every in kinds.items() for channel in every):
        dtype = np.float32 if kind == "fl_corrected" else np.uint16
        np.save(layout.file(kind, "plate", 0, channel), np.zeros(shape, dtype))
    fov = ExportedFov(load_results(write(layout)).fovs[0], form="2025-11")
    how = __import__(f"{formats.__name__}.{name}", fromlist=["FORMAT"]).FORMAT
    how.write([fov], _made(tmp_path / "warm"))
    tracemalloc.start()
    how.write([fov], _made(tmp_path / "cold"))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2_000_000  # one stack has 3 MB


def _made(folder):
    folder.mkdir()
    return folder
