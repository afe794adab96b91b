"""fovflow train: which folders are refused, and what comes of few frames where PyTorch is there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile

from fovflow.accuracy.scores import seg_score
from fovflow.cli import main
from fovflow.errors import ConfigError, FovflowError
from fovflow.segmentation import get_segmenter
from fovflow.segmentation.network import BUILT_IN, Network, read_description
from fovflow.training.frames import Crops, lessons, read_outlined, split
from paths import ROOT, shared_data

PIXEL_UM = 0.65


@pytest.fixture
def torch():
    """PyTorch, which is an extra: `.ci/train` installs it."""
    if not (find_spec("torch") and find_spec("onnx")):
        pytest.skip("the extra train is absent here: .ci/train runs this test")
    import torch

    return torch


def frame_and_mask(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A noisy frame of six discs, two of which touch, and their mask."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:150, :170]
    mask = np.zeros((150, 170), np.uint8)
    places = [(30, 40), (30, 66), (80, 30), (100, 120), (60, 110), (120, 60)]
    for number, (cy, cx) in enumerate(places, 1):
        mask[np.hypot(y - cy, x - cx) < 13] = number
    frame = rng.normal(1000, 20, mask.shape) - 250 * cv2.GaussianBlur(
        np.float32(mask > 0), (0, 0), 1
    )
    return frame.astype(np.uint16), mask


@pytest.fixture
def folder(tmp_path) -> Path:
    for part in ("phase", "masks"):
        (tmp_path / "own" / part).mkdir(parents=True)
    for number in range(3):
        frame, mask = frame_and_mask(number)
        tifffile.imwrite(tmp_path / f"own/phase/{number}.tif", frame)
        cv2.imwrite(str(tmp_path / f"own/masks/{number}.png"), mask)
    return tmp_path / "own"


# ---- folders


def test_frames_are_read_with_their_masks(folder):
    frames = read_outlined(folder, PIXEL_UM)
    assert [frame.name for frame in frames] == ["phase/0.tif", "phase/1.tif", "phase/2.tif"]
    for number, frame in enumerate(frames):
        image, mask = frame_and_mask(number)
        assert (frame.image == image).all()
        assert (frame.labels == mask).all()


def test_folders_of_the_cell_tracking_challenge_are_read(tmp_path):
    for series in ("01", "02"):
        (tmp_path / f"{series}_GT/SEG").mkdir(parents=True)
        (tmp_path / series).mkdir()
        for t in range(3):
            frame, mask = frame_and_mask(t)
            tifffile.imwrite(tmp_path / series / f"t{t:03}.tif", frame)
            if t != 1:
                name = tmp_path / f"{series}_GT/SEG/man_seg{t:03}.tif"
                tifffile.imwrite(name, mask.astype(np.uint16) * 1000)
    frames = read_outlined(tmp_path, PIXEL_UM)
    assert [frame.place for frame in frames] == ["01", "01", "02", "02"]
    assert frames[0].labels.max() == 6
    used, scored = split(frames, 0)
    assert ({f.place for f in used}, {f.place for f in scored}) == ({"02"}, {"01"})


def test_results_are_read_with_masks_that_a_person_corrected(tmp_path, monkeypatch):
    stacks = {"pc": np.stack([frame_and_mask(t)[0] for t in range(100)])}
    stacks["seg_labeled"] = np.stack([frame_and_mask()[1]] * 100).astype(np.uint16)

    class Fov:
        def __init__(self):
            self.stacks = stacks

        def stack(self, kind):
            return stacks[kind]

    class Results:
        fovs, content = {3: Fov()}, {"pixel_um": 0.65}

    monkeypatch.setattr("fovflow.results.load_results", lambda _: Results)
    (tmp_path / "processing_results.yaml").touch()
    frames = read_outlined(tmp_path)
    assert (len(frames), frames[-1].name) == (40, "fov_3, frame 99")
    used, scored = split(frames, 0)
    assert (len(used), len(scored)) == (32, 8)
    assert scored[0].name > used[-1].name


def wrong_size(folder):
    cv2.imwrite(str(folder / "masks/1.png"), frame_and_mask()[1][:, 1:])


def rgb(folder):
    cv2.imwrite(str(folder / "masks/1.png"), np.dstack([frame_and_mask()[1]] * 3))


def floats(folder):
    (folder / "masks/1.png").unlink()
    tifffile.imwrite(folder / "masks/1.tif", frame_and_mask()[1].astype(np.float32))


def negative(folder):
    (folder / "masks/1.png").unlink()
    tifffile.imwrite(folder / "masks/1.tif", frame_and_mask()[1].astype(np.int16) - 1)


def no_mask(folder):
    (folder / "masks/1.png").unlink()


def no_image(folder):
    (folder / "masks/1.png").write_bytes(b"no picture")


def no_cells(folder):
    for path in (folder / "masks").iterdir():
        cv2.imwrite(str(path), np.zeros((150, 170), np.uint8))


def one_value(folder):
    for path in (folder / "masks").iterdir():
        cv2.imwrite(str(path), np.uint8(255) * (frame_and_mask()[1] > 0))


def movie(folder):
    tifffile.imwrite(folder / "phase/1.tif", np.zeros((3, 150, 170), np.uint16),
                     photometric="minisblack")  # fmt: skip


def wide_numbers(folder):
    tifffile.imwrite(folder / "phase/1.tif", frame_and_mask()[0].astype(np.uint32))


def empty(folder):
    shutil.rmtree(folder / "phase")


def absent(folder):
    shutil.rmtree(folder)


def cut_off(folder):
    path = folder / "phase/1.tif"
    path.write_bytes(path.read_bytes()[:200])


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (wrong_size, "phase/1.tif is of another size than the frame; found: 169 × 150 px"),
        (rgb, "phase/1.tif has several channels; found: an array of 150 × 170 × 3"),
        (floats, "phase/1.tif does not hold whole numbers from 0; found: float32"),
        (negative, "phase/1.tif does not hold whole numbers from 0; found: int16"),
        (no_mask, "masks/1.png is missing"),
        (no_image, "masks/1.png cannot be read"),
        (no_cells, "nothing to learn from; found: 3 frames, no cell in their masks"),
        (one_value, "the masks have one value for all cells"),
        (movie, "phase/1.tif: a single image of one channel is needed; found: 3 images"),
        (wide_numbers, "uint32"),
        (empty, "nothing to learn from; found: no frame with a mask; to do: needed: phase/NAME"),
        (absent, "there is no folder"),
        (cut_off, "phase/1.tif"),
    ],
)
def test_a_folder_that_cannot_be_learnt_from_is_refused(folder, spoil, words):
    spoil(folder)
    with pytest.raises(FovflowError) as caught:
        split(read_outlined(folder, PIXEL_UM), 0)
    assert words in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_the_size_of_a_pixel_must_be_known(folder):
    with pytest.raises(ConfigError, match="--pixel-um"):
        read_outlined(folder)
    for wrong in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="no length"):
            read_outlined(folder, wrong)
    about = read_description(BUILT_IN.with_suffix(".json"))
    for pixel_um, word in ((0.01, "too few"), (5000.0, "too many")):
        with pytest.raises(ConfigError, match=word):
            lessons(read_outlined(folder, pixel_um)[0], about)


def test_one_frame_is_too_little(folder):
    for number in (1, 2):
        (folder / f"phase/{number}.tif").unlink()
    frames = read_outlined(folder, PIXEL_UM)
    with pytest.raises(ConfigError, match="one frame only"):
        split(frames, 0)
    assert split(frames, None) == (frames, [])


def test_cells_are_needed_on_both_sides(folder):
    cv2.imwrite(str(folder / "masks/0.png"), np.zeros((150, 170), np.uint8))
    frames = read_outlined(folder, PIXEL_UM)
    with pytest.raises(ConfigError, match="no cell in the frames to score"):
        split(frames, 0)
    assert [f.name for f in split(frames, 1)[1]] == ["phase/1.tif"]


def test_crops_are_the_same_for_the_same_seed(folder):
    about = read_description(BUILT_IN.with_suffix(".json"))
    shown = [lessons(frame, about) for frame in read_outlined(folder, PIXEL_UM)]
    first, again, other = (Crops(shown, seed).batch() for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()
    assert first.shape == (8, 6, 256, 256)
    way = np.linalg.norm(first[:, 3:5], axis=1)[first[:, 1] > 0]
    assert np.median(way) == pytest.approx(1, abs=0.01)


# ---- the command


def test_without_pytorch_it_is_told_what_to_install(folder, monkeypatch, capsys):
    monkeypatch.setattr("fovflow.cli.training.find_spec", lambda _: None)
    assert main(["train", str(folder), "--pixel-um", "0.65"]) == 1
    told = capsys.readouterr().err
    assert "torch and onnx, which are not installed" in told
    assert 'pip install "fovflow[train]"' in told


def test_weights_are_read_back_as_they_are(torch):
    from fovflow.training.network import read_network

    net = read_network(BUILT_IN).eval()
    contrast = np.random.default_rng(0).normal(0, 1, (64, 96)).astype(np.float32)
    with torch.no_grad():
        folded = torch.nn.functional.pixel_unshuffle(torch.from_numpy(contrast)[None, None], 2)
        said = torch.nn.functional.pixel_shuffle(net(folded), 2)[0].numpy()
    assert np.abs(said[[0, 2, 3]] - Network(BUILT_IN)(contrast)).max() <= 1 / 128


def test_a_network_to_start_from_is_looked_at_as_one_to_be_used(torch, tmp_path):
    import onnx

    from fovflow.training.network import read_network

    path = tmp_path / "own.onnx"
    shutil.copy(BUILT_IN.with_suffix(".json"), tmp_path / "own.json")
    good = BUILT_IN.read_bytes()
    for content in (b"", b"text", good[:5000], good + b"\x0a\x08location"):
        path.write_bytes(content)
        with pytest.raises(ConfigError, match="not a network that fovflow can use"):
            read_network(path)
    with pytest.raises(ConfigError, match="not a network that fovflow can use"):
        read_network(tmp_path / "absent.onnx")
    model = onnx.load_model_from_string(good)
    extra = onnx.helper.make_node("Conv", ["said", "w", "b"], ["more"])
    for name, shape in (("w", (16, 16, 1, 1)), ("b", (16,))):
        zeros = np.zeros(shape, np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(zeros, name))
    model.graph.node.append(extra)
    model.graph.output[0].name = "more"
    path.write_bytes(model.SerializeToString())
    Network(path)
    with pytest.raises(ConfigError, match="of another build"):
        read_network(path)


def test_training_further_writes_a_network_that_can_be_used(torch, folder, tmp_path, capsys):
    out = tmp_path / "new" / "own.onnx"
    arguments = [str(folder), "--pixel-um", "0.65", "--steps", "2", "--out", str(out)]
    assert main(["train", *arguments]) == 0
    told = capsys.readouterr().out
    assert "on what was left out (1 frame)" in told
    assert [line.split()[0] for line in told.splitlines()[2:4]] == ["before", "after"]
    assert f"segment: {{method: unet, model: {out}}}" in told
    about = json.loads(out.with_suffix(".json").read_text())
    assert about["left_out"] == ["phase/0.tif"]
    assert about["frames"] == ["phase/1.tif", "phase/2.tif"]
    frame = frame_and_mask()[0]
    before, after = (
        get_segmenter("unet", pixel_um=PIXEL_UM, **given)(frame)[0]
        for given in ({}, {"model": str(out)})
    )
    assert (before != after).mean() < 0.2
    assert main(["train", *arguments, "--out", "/proc/fovflow/own.onnx"]) == 1
    assert "/proc/fovflow" in capsys.readouterr().err
    for wrong in (["--steps", "0"], ["--out", "own.pt"], ["--crop", "100"]):
        assert main(["train", *arguments, *wrong]) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.slow
def test_make_train_makes_a_network_that_finds_cells(torch, tmp_path):
    data = shared_data("t98g_manual")
    for part, end in (("phase", "tif"), ("masks", "png")):
        (tmp_path / part).mkdir()
        for name in ("01", "07", "13", "19", "25"):
            shutil.copy(data / part / f"{name}.{end}", tmp_path / part)
    out = tmp_path / "unet.onnx"
    given = [f"TRAIN={sys.prefix}", "TRAIN_READY=", "QUICK=1", f"DATA={tmp_path}", f"OUT={out}"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(["make", "-s", "-f", str(ROOT / "Makefile"), "train", *given],
                          cwd=ROOT, env={**os.environ, "PATH": path}, capture_output=True,
                          text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (left_out,) = json.loads(out.with_suffix(".json").read_text())["left_out"]
    image = tifffile.imread(tmp_path / left_out)
    mask = cv2.imread(str(tmp_path / "masks" / f"{Path(left_out).stem}.png"), cv2.IMREAD_UNCHANGED)
    found = get_segmenter("unet", pixel_um=0.8708, model=str(out))(image)[0]
    assert seg_score([mask], [found]) > 0.45
