"""What people say of cells: reading the file, and finding the cells that it means."""

from __future__ import annotations

import numpy as np
import pytest

from fovflow.corrections import (
    REACH_PX,
    Correction,
    briefly,
    cell_at,
    in_lines,
    label_near,
    read_corrections,
    with_verdicts,
)
from fovflow.errors import ConfigError

HEAD = "dataset,fov,frame,x,y,action,target_frame,target_x,target_y,reason,who,when\n"


def traces() -> dict[str, np.ndarray]:
    """Three cells at x 20, 50 and 80 over four frames, 10 px wide; the last is not good."""
    cell, frame = np.repeat([1, 2, 3], 4), np.tile(np.arange(4), 3)
    x, y = 30.0 * cell - 10, np.full(12, 40.0)
    box = {"bbox_x0": x - 5, "bbox_x1": x + 5, "bbox_y0": y - 5, "bbox_y1": y + 5}
    flags = np.where(cell == 3, "border", "").astype(object)
    return {
        "cell": cell, "frame": frame, "position_x": x, "position_y": y, **box,
        "good": cell < 3, "flags": flags,
    }  # fmt: skip


def said(action: str, frame: int, x: float, y: float = 40, *target: float, line: int = 2):
    """Return a correction."""
    to = (int(target[0]), target[1], target[2]) if target else None
    return Correction(line, frame, x, y, action, to)


def written(tmp_path, *lines: str, head: str = HEAD):
    """Return a file with these lines."""
    path = tmp_path / "corrections.csv"
    path.write_text(head + "".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def test_lines_are_read_by_fov_and_comments_are_left_out(tmp_path):
    path = written(
        tmp_path,
        "a,0,3,10.5,20,reject,,,,dust,Ada,2026-01-01T00:00:00Z",
        "a,2,1,5,5,link,4,6,7,,,",
        'a,0,3,1,1,comment,,,,"two, or one?",,',
        "b,0.0,0,1,2,accept,,,,,,",  # as spreadsheets and pandas may write whole numbers
    )
    found = read_corrections(path)
    assert found["a", 0] == [Correction(2, 3, 10.5, 20.0, "reject")]
    assert found["a", 2] == [Correction(3, 1, 5.0, 5.0, "link", (4, 6.0, 7.0))]
    assert list(found) == [("a", 0), ("a", 2), ("b", 0)]
    for each in (*found["a", 0], *found["a", 2]):
        assert Correction.from_json(each.to_json(), each.line) == each


def test_all_wrong_lines_are_told_at_once(tmp_path):
    path = written(
        tmp_path,
        "a,0,3,1,1,rejekt,,,,,,",
        "a,0,3,x,1,reject,,,,,,",
        "a,-1,3,1,1,reject,,,,,,",
        "a,0,3,1,1,link,,,,,,",
        "a,0,1.5,1,1,cut,,,,,,",
        "a,0",
    )
    with pytest.raises(ConfigError) as caught:
        read_corrections(path)
    text = str(caught.value)
    assert "6 lines cannot be read" in text
    assert "line 2: the action 'rejekt'" in text
    assert "did you mean reject?" in text
    assert "line 3: x is no number: 'x'" in text
    assert "line 5: target_frame is no number" in text
    assert "line 6: frame is no number from 0 on: '1.5'" in text


def test_of_thousands_of_wrong_lines_ten_are_told(tmp_path):
    path = written(tmp_path, *["a,0,0,1,1,dance,,,,,,"] * 5000)
    with pytest.raises(ConfigError, match="and 4990 more") as caught:
        read_corrections(path)
    assert len(str(caught.value)) < 2500


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"cell,good\n1,True\n", "no column dataset, fov, frame, x, y, action"),
        (b"fov,cell,frame,good\n0,1,2,True\n", "beside the traces as …_traces_inspected.csv"),
        (b"", "no column dataset"),
        (b"\xff\xfe\x00", "no text in UTF-8"),
        (HEAD.encode() + b'a,0,0,1,1,"' + b"x" * 200_000 + b'",,,,,,\n', "cannot be read after"),
    ],
)
def test_what_is_no_such_table_is_said(tmp_path, content, words):
    path = tmp_path / "corrections.csv"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=words):
        read_corrections(path)


def test_a_file_that_is_not_there_and_a_folder_are_named(tmp_path):
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(ConfigError, match="corrections: cannot read"):
            read_corrections(path)


def test_a_place_names_the_nearest_cell_whose_box_reaches_it():
    table = traces()
    assert cell_at(table, 0, 22, 41) == 1
    assert cell_at(table, 0, 34, 40) == 1  # nearer to 1 than to 2
    assert cell_at(table, 0, 36, 40) == 2
    assert cell_at(table, 0, 20, 40 + 5 + REACH_PX) == 1
    assert cell_at(table, 0, 20, 40 + 6 + REACH_PX) is None
    assert cell_at(table, 9, 20, 40) is None


def test_a_verdict_is_of_no_cell_that_only_its_box_brings_near():
    labels = np.zeros((120, 120), np.uint16)
    for k in range(100):  # a long cell from corner to corner, and nothing else
        labels[10 + k, max(8, 6 + k) : 14 + k] = 4
    y, x = np.nonzero(labels)
    table = {
        "cell": np.array([4]), "frame": np.array([0]), "good": np.array([True]),
        "position_x": np.array([x.mean()]), "position_y": np.array([y.mean()]),
        "bbox_x0": np.array([x.min()]), "bbox_x1": np.array([x.max() + 1]),
        "bbox_y0": np.array([y.min()]), "bbox_y1": np.array([y.max() + 1]),
        "flags": np.array([""], object),
    }  # fmt: skip
    made, told = with_verdicts(table, [said("reject", 0, 95, 25)], lambda _: labels)
    assert made["good"].tolist() == [True]
    assert told == ["line 2: reject at x 95, y 25 in frame 0: there is no cell"]
    for at in ((15, 15), (95, 100), (x.mean(), y.mean())):
        made, told = with_verdicts(table, [said("reject", 0, *at)], lambda _: labels)
        assert (made["good"].tolist(), told) == ([False], [])


def test_verdicts_hold_for_all_rows_of_a_cell_and_stand_before_its_flags():
    made, told = with_verdicts(traces(), [said("reject", 1, 20), said("accept", 2, 80)])
    assert told == []
    assert made["good"].tolist() == [False] * 4 + [True] * 8
    assert made["flags"].tolist() == ["rejected"] * 4 + [""] * 4 + ["accepted;border"] * 4


def test_of_contradictory_lines_the_later_counts_and_the_other_is_told():
    lines = [said("reject", 1, 20, line=2), said("accept", 3, 21, line=7)]
    made, told = with_verdicts(traces(), lines)
    assert made["good"][:4].all()
    assert len(told) == 1
    assert told[0].startswith("line 2: reject")
    assert "line 7: accept" in told[0]


def test_a_place_without_a_cell_changes_nothing_and_is_told():
    made, told = with_verdicts(traces(), [said("reject", 1, 500)])
    assert made["good"].tolist() == traces()["good"].tolist()
    assert told == ["line 2: reject at x 500, y 40 in frame 1: there is no cell"]


def test_labels_are_found_within_reach_and_not_beyond():
    labels = np.zeros((60, 60), np.uint16)
    labels[10:20, 10:20] = 7
    labels[10:20, 26:40] = 9
    assert label_near(labels, 15, 15) == 7
    assert label_near(labels, 22, 15) == 7
    assert label_near(labels, 24, 15) == 9
    assert label_near(labels, 15, 20 + REACH_PX - 1) == 7
    assert label_near(labels, 15, 45) == 0
    assert label_near(labels, 9 - REACH_PX, 15) == 0
    assert label_near(labels, 1, 1) == 0  # 12.7 px from its corner
    assert label_near(labels, -500, -500) == 0
    assert label_near(labels, 500, 500) == 0


def test_of_thousands_of_conflicts_the_first_are_told():
    assert briefly(["a", "b"], 2) == ["a", "b"]
    told = briefly([f"line {n}" for n in range(5000)])
    assert told[9:] == ["line 9", "and 4990 more, in processing_results.yaml"]


def test_what_a_job_tells_of_its_lines_is_told_with_those_of_the_file():
    said = [Correction(7, 0, 1, 1, "accept"), Correction(19, 0, 2, 2, "reject")]
    told = "line 1: accept at x 1, y 1 in frame 0: line 2: reject at x 2 says otherwise"
    assert in_lines(told, said) == (
        "line 7: accept at x 1, y 1 in frame 0: line 19: reject at x 2 says otherwise"
    )
