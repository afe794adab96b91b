"""Pictures and movies of the cells: colours, contrast, time and scale bar."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from export.made_results import FRAMES, SIZE, labels_of, write
from fovflow.atomic import digest_of
from fovflow.cli import main
from fovflow.drawing import colour_of, draw_overlay, stretch
from fovflow.layout import DRAWN, made_by_hand
from fovflow.overlay import Overlays
from fovflow.records import read_json
from fovflow.results import load_results
from fovflow.runs.verify import verify
from fovflow.tables import read_csv, write_csv


def draw(folder, *arguments: str) -> int:
    return main(["overlay", str(folder), *arguments])


def has(picture: np.ndarray, colour: tuple[int, int, int]) -> bool:
    return bool((picture == colour).all(axis=2).any())


def names(folder) -> list[str]:
    place = folder / "overlays"
    return sorted(path.name for path in place.iterdir() if path != folder / DRAWN)


def test_outlines_are_those_of_whole_masks():
    labels = labels_of(0)[1].astype(np.int32)
    labels[30:, 40:] = 70_001
    labels[0, 0] = 5
    image = np.arange(labels.size, dtype=np.uint16).reshape(labels.shape)
    expected = cv2.cvtColor(stretch(image), cv2.COLOR_GRAY2BGR)
    for label in np.unique(labels)[1:].tolist():
        mask = (labels == label).astype(np.uint8)
        contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(expected, contours, -1, colour_of(label), 1)
    assert np.array_equal(draw_overlay(image, labels), expected)


def test_all_frames_of_all_fovs(folder, capsys):
    assert draw(folder, "--frames", "all", "--fovs", "0-1") == 0
    assert names(folder) == [
        f"plate_fov_{fov:03d}_frame_{t:04d}.png" for fov in (0, 1) for t in range(FRAMES)
    ]
    picture = cv2.imread(str(folder / "overlays" / "plate_fov_000_frame_0000.png"))
    scale = round(1000 / max(SIZE))
    assert picture.shape == (SIZE[0] * scale, SIZE[1] * scale, 3)
    assert has(picture, colour_of(1))
    assert has(picture, colour_of(2))
    assert not has(picture, colour_of(3))


def test_a_channel_by_name_is_that_of_its_index(folder):
    assert draw(folder, "--frames", "0", "--channel", "GFP") == 0
    by_name = (folder / "overlays" / "plate_fov_000_ch_1_frame_0000.png").read_bytes()
    assert draw(folder, "--frames", "0", "--channel", "1", "--out", str(folder / "x")) == 0
    assert (folder / "x" / "plate_fov_000_ch_1_frame_0000.png").read_bytes() == by_name
    assert draw(folder, "--frames", "0") == 0
    assert (folder / "overlays" / "plate_fov_000_frame_0000.png").read_bytes() != by_name
    files = [f"overlays/{name}" for name in names(folder)]
    assert all(made_by_hand().fullmatch(name) for name in files)


def test_pictures_are_on_record_and_so_is_what_they_show(folder):
    assert draw(folder, "--frames", "0") == 0
    assert draw(folder, "--frames", "1") == 0
    first, second = read_json(folder / DRAWN).items()
    assert first[0] == "overlays/plate_fov_000_frame_0000.png"
    assert first[1]["sha256"] == digest_of(folder / first[0]).sha256
    assert {name.rpartition("_fov_000_")[2] for name in first[1]["made_from"]} == {
        "pc_ch_0.npy", "seg_labeled_ch_0.npy", "traces.csv",
    }  # fmt: skip
    (traces,) = (name for name in second[1]["made_from"] if name.endswith("traces.csv"))

    def told() -> list[str]:
        found = verify(folder)
        return [str(each) for each in found.findings + found.notes if "_frame_" in each.file]

    assert told() == []
    about = json.loads((folder / DRAWN).read_text("utf-8"))
    climbs = {first[0]: {**first[1], "made_from": {"../../x.csv": "0" * 64}}}
    (folder / DRAWN).write_text(json.dumps({**about, **climbs}), "utf-8")
    (problem,) = (each for each in verify(folder).findings if DRAWN in each.file)
    assert str(problem).startswith(f"{DRAWN}: names '../../x.csv', which ")
    (folder / DRAWN).write_text(json.dumps(about), "utf-8")
    text = (folder / traces).read_text("utf-8")
    (folder / traces).write_text(text.replace("True", "False"), "utf-8")
    words = "drawn of other results than there are now: fovflow overlay draws it again"
    assert told() == [f"{name}: {words}" for name in (first[0], second[0])]
    assert draw(folder, "--frames", "0") == 0
    assert told() == [f"{second[0]}: {words}"]
    (folder / second[0]).write_bytes(b"other")
    assert f"has 5 bytes where {DRAWN} says" in told()[0]
    (folder / second[0]).unlink()  # one may throw them away
    assert told() == []
    (folder / DRAWN).write_text('{"overlays/plate_fov_000_frame_0000.png": 1, "../x": {}}', "utf-8")
    assert [str(each) for each in verify(folder).findings if DRAWN in each.file] == [
        f"{DRAWN}: tells nothing of overlays/plate_fov_000_frame_0000.png"
    ]


@pytest.mark.parametrize(
    ("arguments", "words", "status"),
    [
        (("--channel", "YFP"), "there is no channel 'YFP'; found: 0 Phase, 1 GFP, 2 mCh", 2),
        (("--channel", "7"), "there is no channel '7'", 2),
        (("--frames", "6"), "no frame 6; found: 6 frames", 2),
        (("--fovs", "2"), "there is no FOV 2; found: 0, 1, 3", 2),
        (("--movie", "gif", "--fps", "0"), "a movie has 0.1 to 120 frames per second", 2),
        (("--fovs", "3"), "FOV 3 has no stack", 1),
    ],
)
def test_wrong_arguments(folder, capsys, arguments, words, status):
    assert draw(folder, *arguments) == status
    said = capsys.readouterr()
    assert said.out == ""
    assert words in said.err
    assert not (folder / "overlays").exists()


def test_frames_have_one_contrast(layout):
    path = layout.file("fl", "plate", 0, 1)
    stack = np.full((FRAMES, *SIZE), 1000, np.uint16)
    stack[:, :, 24:] = (np.arange(FRAMES) * 1000 + 2000).reshape(-1, 1, 1)
    np.save(path, stack)
    np.save(layout.file("seg_labeled", "plate", 0, 0), np.zeros_like(stack))
    drawn = Overlays(load_results(write(layout)).fovs[0], 1)
    first, last = (drawn.draw(t) for t in (0, FRAMES - 1))
    row, left, right = first.shape[0] // 2, 10, first.shape[1] - 10
    assert first[row, left].tolist() == last[row, left].tolist() == [0, 0, 0]
    assert last[row, right].tolist() == [255, 255, 255]
    assert 30 < first[row, right][0] < 120


def test_frames_that_were_not_acquired_do_not_set_the_contrast(layout):
    folder = write(layout)
    times = read_csv(path := layout.file("times", "plate", 0))
    times["missing"] = np.arange(FRAMES) == FRAMES - 1
    lacking = ["ch_1;ch_2" if t == FRAMES // 2 else "" for t in range(FRAMES)]
    write_csv(path, {**times, "missing_channels": np.array(lacking, object)})
    stack = np.full((FRAMES, *SIZE), 8000, np.uint16)
    stack[:, :, 24:] = 9000
    stack[[FRAMES // 2, FRAMES - 1]] = 0
    np.save(layout.file("fl", "plate", 0, 1), stack)
    drawn = Overlays(load_results(folder).fovs[0], 1).draw(0)
    row, left, right = drawn.shape[0] // 2, 10, drawn.shape[1] - 10
    assert drawn[row, left].tolist() == [0, 0, 0]
    assert drawn[row, right].tolist() == [255, 255, 255]


def test_an_fov_that_cannot_be_drawn_costs_itself(folder, capsys):
    assert draw(folder, "--fovs", "all", "--frames", "0") == 1
    assert names(folder) == [f"plate_fov_{fov:03d}_frame_0000.png" for fov in (0, 1)]
    assert "FOV 3 has no" in capsys.readouterr().err
    assert (folder / DRAWN).is_file()


def test_the_scale_bar_has_a_round_length(folder):
    drawn = Overlays(load_results(folder).fovs[0]).draw(0)
    scale = round(1000 / max(SIZE))
    width = 5 / 0.65 * scale  # 5 µm: a fifth of the width is 6.2 µm
    margin = max(6, min(drawn.shape[:2]) // 42 // 2)
    line = (drawn[-margin - 1] == 255).all(axis=1)
    assert int(line[-int(width) - 2 * margin :].sum()) == pytest.approx(width, abs=2)


def test_without_pixel_size_there_is_no_bar(layout):
    def longest_white(folder) -> int:
        drawn = Overlays(load_results(folder).fovs[0]).draw(0)
        line = (drawn[-max(6, min(drawn.shape[:2]) // 42 // 2) - 1] == 255).all(axis=1)
        return max(map(len, "".join("x" if white else " " for white in line).split()), default=0)

    assert longest_white(write(layout)) > 100
    (folder := write(layout, pixel_um=None)).joinpath("fov_000", "plate_fov_000_times.csv").unlink()
    assert longest_white(folder) < 50


def test_a_gif_has_every_frame(folder):
    image = pytest.importorskip("PIL.Image")
    assert draw(folder, "--movie", "gif", "--fps", "5") == 0
    with image.open(folder / "overlays" / "plate_fov_000.gif") as movie:
        assert movie.n_frames == FRAMES
        assert movie.info["duration"] == 200
        assert max(movie.size) == 640
        movie.seek(0)
        found = np.asarray(movie.convert("RGB"))
    assert all(has(found, colour_of(cell)[::-1]) for cell in (1, 2))


def test_an_mp4_has_every_frame(folder):
    av = pytest.importorskip("av", reason='av is not installed: pip install "fovflow[movies]"')
    assert draw(folder, "--movie", "mp4", "--fps", "5", "--channel", "GFP") == 0
    with av.open(str(folder / "overlays" / "plate_fov_000_ch_1.mp4")) as movie:
        (stream,) = movie.streams.video
        assert stream.codec_context.name == "h264"
        assert stream.average_rate == 5
        frames = [frame.to_ndarray(format="rgb24") for frame in movie.decode(stream)]
    assert len(frames) == FRAMES
    expected = Overlays(load_results(folder).fovs[0], 1).draw(3, 1080)
    difference = np.abs(frames[3].astype(int) - expected[: len(frames[3])])
    assert difference.mean() < 12


def test_an_mp4_needs_its_library(folder, monkeypatch, capsys):
    import sys

    monkeypatch.setitem(sys.modules, "av", None)
    assert draw(folder, "--movie", "mp4") == 1
    assert "an MP4 needs the package av, which is not installed" in capsys.readouterr().err
    assert names(folder) == []
