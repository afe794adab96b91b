"""processing_results.yaml: true, relative, and readable after a move."""

from __future__ import annotations

import dataclasses
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

import fovflow
from fovflow.atomic import write_text
from fovflow.errors import FovflowError
from fovflow.layout import Layout
from fovflow.records import read_yaml, write_yaml
from fovflow.results import FovResult, Results, load_results
from fovflow.resultsform import results_paths, write_results

CHANNELS = {"pc": 0, "fl": [1, 2], "seg": 0}
KEPT = frozenset({"pc", "fl", "seg", "fl_corrected", "seg_labeled"})


def make_fov(layout: Layout, fov: int) -> None:
    """Write small files as a run leaves them."""
    for kind, channels in (("pc", [0]), ("fl", [1, 2]), ("seg", [0]), ("seg_labeled", [0])):
        for channel in channels:
            path = Path(layout.file(kind, "plate", fov, channel))
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, np.full((2, 3, 4), fov, np.uint16))
    write_text(layout.file("traces", "plate", fov), f"fov,cell,frame\n{fov},1,0\n{fov},1,1\n")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A dataset of FOVs 0 (complete) and 3 (failed)."""
    layout = Layout(tmp_path / "results")
    make_fov(layout, 0)
    write_results(
        layout.results("plate"),
        {
            "dataset": "plate",
            "output_dir": ".",
            "channels": {"pc": 0, "fl": [1, 2]},
            "time_units": "min",
            "results_paths": {
                "0": results_paths(layout, "plate", 0, CHANNELS, KEPT),
                "3": results_paths(layout, "plate", 3, CHANNELS, KEPT),
            },
            "fovs": {
                "0": {"status": "complete"},
                "3": {"status": "failed", "step": "segment", "error": "no light"},
            },
        },
    )
    return Path(layout.dataset("plate"))


def test_a_kind_of_table_that_there_is_not_is_told(tmp_path):
    fov = FovResult(index=0, status="complete", path=tmp_path)
    with pytest.raises(FovflowError, match="FOV 0 has no table of nope"):
        fov.table("nope")


def test_the_file_has_the_form_that_viewers_read(folder):
    content = read_yaml(folder / "processing_results.yaml")
    assert content["output_dir"] == "."
    assert content["channels"] == {"pc": 0, "fl": [1, 2]}
    paths = content["results_paths"]["0"]
    assert paths["pc"] == [0, "fov_000/plate_fov_000_pc_ch_0.npy"]
    assert paths["fl"] == [
        [1, "fov_000/plate_fov_000_fl_ch_1.npy"],
        [2, "fov_000/plate_fov_000_fl_ch_2.npy"],
    ]
    assert paths["seg_labeled"] == [0, "fov_000/plate_fov_000_seg_labeled_ch_0.npy"]
    assert paths["traces_csv"] == [
        [1, "fov_000/plate_fov_000_traces.csv"],
        [2, "fov_000/plate_fov_000_traces.csv"],
    ]
    assert content["results_paths"]["3"] == {"fl": [], "fl_corrected": []}
    assert content["fovs"]["3"] == {"status": "failed", "step": "segment", "error": "no light"}


def test_results_are_read_back(folder):
    results = fovflow.load_results(folder)
    assert results.dataset == "plate"
    assert results.time_units == "min"
    assert sorted(results.fovs) == [0, 3]
    assert results.missing == ()
    assert results.fovs[3].error == "no light"
    assert results.fovs[3].traces_path is None
    assert results.fovs[0].stack("pc").shape == (2, 3, 4)
    assert results.fovs[0].stack("fl", 2)[0, 0, 0] == 0
    assert results.traces()["frame"].tolist() == [0, 1]
    with pytest.raises(
        FovflowError, match="no stack 'fl' of channel None; found: pc 0, fl 1, fl 2"
    ):
        results.fovs[0].stack("fl")
    with pytest.raises(FovflowError, match="FOV 3 has no traces; found: status failed no light"):
        results.fovs[3].traces()


def test_a_moved_folder_opens_and_missing_files_are_listed(folder, tmp_path):
    moved = tmp_path / "else where" / "copied µ"
    shutil.copytree(folder, moved)
    (moved / "fov_000" / "plate_fov_000_seg_ch_0.npy").unlink()
    results = load_results(moved / "processing_results.yaml")
    assert [path.name for path in results.missing] == ["plate_fov_000_seg_ch_0.npy"]
    assert results.fovs[0].stacks["pc"][0].parent == moved / "fov_000"
    assert "seg" not in results.fovs[0].stacks


def test_paths_of_another_machine_are_found_by_their_last_two_parts(folder):
    file = folder / "processing_results.yaml"
    file.write_text(file.read_text().replace("fov_000/plate", "/old/place/fov_000/plate"))
    results = load_results(folder)
    assert results.missing == ()
    assert results.fovs[0].stack("pc").shape == (2, 3, 4)


def test_a_path_cannot_climb_out_of_the_folder(folder):
    secret = folder.parent / "secret.npy"
    np.save(secret, np.zeros((1, 1, 1)))
    file = folder / "processing_results.yaml"
    file.write_text(file.read_text().replace("fov_000/plate_fov_000_pc_ch_0.npy", "../secret.npy"))
    results = load_results(folder)
    assert "pc" not in results.fovs[0].stacks
    assert len(results.missing) == 1


def test_without_a_results_file_fovs_are_discovered(folder):
    (folder / "processing_results.yaml").unlink()
    results = load_results(folder.parent)  # an output folder with a single dataset
    assert sorted(results.fovs) == [0]
    assert results.fovs[0].status == "unknown"
    assert results.channels == {"pc": 0, "fl": [1, 2]}
    assert sorted(results.fovs[0].stacks) == ["fl", "pc", "seg", "seg_labeled"]
    assert len(results.traces()) == 2


def test_verdicts_of_a_person_take_precedence(folder):
    inspected = folder / "fov_000" / "plate_fov_000_traces_inspected.csv"
    inspected.write_text("fov,cell,frame\n0,9,0\n")
    with pytest.warns(UserWarning, match="these have no cell 9 in frame 0"):
        assert 9 not in load_results(folder).traces()["cell"].tolist(), "they are of other traces"
    inspected.write_text("cell,good\n1,False\n")
    found = load_results(folder).traces()
    assert found["cell"].tolist() == [1, 1]
    assert not found["good"].any()


def test_absent_and_ambiguous_folders_are_named(folder):
    with pytest.raises(FovflowError, match="there is no folder"):
        load_results(folder / "absent")
    (folder.parent / "other" / "fov_000").mkdir(parents=True)
    with pytest.raises(FovflowError, match="several datasets; found: other, plate"):
        load_results(folder.parent)
    (folder / "processing_results.yaml").write_text("- 1\n")
    with pytest.raises(FovflowError, match="is no results file"):
        load_results(folder)


def test_other_files_and_folders_are_not_taken_for_results(folder):
    (folder / "processing_results.yaml").unlink()
    for name in ("fov_old", "fov_", "fov_000x"):
        (folder / name).mkdir()
        np.save(folder / name / "plate_fov_000_pc_ch_0.npy", np.zeros((1, 1, 1)))
    for name in ("notes.txt", "plate_fov_000_times.csv", "plate_fov_000_pc_ch_0.npy.bak"):
        (folder / "fov_000" / name).write_text("x")
    results = load_results(folder)
    assert sorted(results.fovs) == [0]
    assert sorted(results.fovs[0].stacks) == ["fl", "pc", "seg", "seg_labeled"]
    assert list(results.fovs[0].stacks["pc"]) == [0]


def test_a_result_says_where_it_belongs_and_holds_no_pixels(folder):
    file = folder / "processing_results.yaml"
    content = read_yaml(file)
    (folder / "fov_000" / "plate_fov_000_n.csv").write_text("n\n1\n")
    content["results_paths"]["0"]["steps"] = {"count": {"n.csv": "fov_000/plate_fov_000_n.csv"}}
    write_yaml(file, content)
    fov = load_results(folder).fovs[0]
    assert (fov.dataset, fov.index, fov.status) == ("plate", 0, "complete")
    assert fov.output("count") == fov.output("count", "n.csv") == fov.path / "plate_fov_000_n.csv"
    assert isinstance(fov.stack("pc"), np.memmap)
    with pytest.raises(dataclasses.FrozenInstanceError):
        fov.index = 1
    with pytest.raises((AttributeError, TypeError)):
        object.__setattr__(fov, "other", 1)  # slots: thousands of them are light


def test_traces_of_several_fovs_are_one_table_with_one_index(folder):
    layout = Layout(folder.parent)
    make_fov(layout, 3)
    (folder / "processing_results.yaml").unlink()
    traces = load_results(folder).traces()
    assert traces["fov"].tolist() == [0, 0, 3, 3]
    assert traces.index.tolist() == [0, 1, 2, 3]


def foreign(folder, **changes):
    """Rewrite a results file as another program lists files: by FOV, with the paths of Windows."""
    file = folder / "processing_results.yaml"
    own = read_yaml(file)["results_paths"]
    table = sorted((folder / "fov_000").glob("*traces.csv"))[0]
    stack = sorted((folder / "fov_000").glob("*_pc_ch_0.npy"))[0]
    listed = {
        0: {
            "traces": f"C:\\runs\\plate\\fov_000\\{table.name}",
            "pc": [0, f"C:\\runs\\plate\\fov_000\\{stack.name}"],
        },
        **changes.pop("results", {}),
    }
    assert own
    content = {"channels": {"pc": [0, "Phase"], "fl": [[1, "GFP"]]}, "results": listed, **changes}
    write_yaml(file, content)
    return load_results(folder)


def test_paths_of_windows_in_a_results_file_of_another_program(folder):
    results = foreign(folder)
    assert results.missing == results.skipped == ()
    assert results.fovs[0].stack("pc").shape == (2, 3, 4)
    assert results.fovs[0].traces_path.parent == folder / "fov_000"


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        ({1: None}, "FOV '1' is skipped: it lists no files"),
        ({"summary": {"traces": "x.csv"}}, "FOV 'summary' is skipped: it is no number of an FOV"),
        ({1: {"traces": 7}}, "FOV 1: traces is skipped: it is no name of a file"),
        ({1: {"traces": "fov_001\\t.csv", "pc": "fov_001\\a.npy"}}, "FOV 1: pc is skipped"),
        ({1: ["a", "b"]}, "FOV '1' is skipped"),
    ],
)
def test_what_cannot_be_read_of_another_program_is_told_and_the_rest_read(folder, odd, said):
    with pytest.warns(UserWarning, match=re.escape(said)):
        results = foreign(folder, results=odd)
    assert len(results.skipped) == 1
    assert results.fovs[0].stack("pc").shape == (2, 3, 4)
    assert results.fovs[0].traces_path is not None


def test_another_program_may_leave_channels_out(folder):
    results = foreign(folder, channels={"pc": None, "fl": None})
    assert results.channels == {"pc": 0, "fl": []}
    assert results.fovs[0].traces_path is not None


def test_results_are_a_line_at_a_prompt(tmp_path):
    fovs = {
        0: FovResult(index=0, status="complete", dataset="plate"),
        3: FovResult(index=3, status="failed", step="track", dataset="plate"),
    }
    results = Results(tmp_path, "plate", {}, "min", fovs, (), {})
    assert repr(results) == f"<Results 'plate': 1 of 2 FOVs complete, in '{tmp_path}'>"
    assert repr(fovs[3]) == "<FovResult 'plate/fov_003': failed at track>"
