"""Corrected frames made of the raw ones and the model have the bytes of their first time."""

from __future__ import annotations

import io
import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from background.scenes import cells, photograph, shading

from fovflow.background import correct_frames, get_corrector
from fovflow.background.corrector import Estimate, SurfaceCorrector
from fovflow.background.preparation import Preparation
from fovflow.config.methods import CORRECTORS
from fovflow.corrected import CorrectedFrames, model_writer
from fovflow.errors import FovflowError
from fovflow.features import extract_traces, get_extractor, measure_frames
from fovflow.readers import open_raw
from fovflow.stacks import StackWriter
from paths import shared_data

SHAPE = (300, 340)
MISSING = np.array([False, False, True, False, False])


class Lowest(SurfaceCorrector):
    """A plug-in that gives no model."""

    def __init__(self, *, shape, pixel_um=None, dark=0.0, flat_field=None):
        super().__init__(Preparation(shape, pixel_um, dark=dark, flat_field=flat_field))

    def _estimate(self, frame):
        return Estimate(np.full(frame.values.shape, frame.filled.min(), np.float32))


@pytest.fixture(scope="module")
def scene():
    """Raw frames of which one is covered by cells and one is missing, and their labels."""
    labels = np.stack([cells(SHAPE, 12)] * 5)
    labels[3] = 1
    frames = [photograph(shading(SHAPE), 90.0 * (each > 0)) for each in labels]
    stack = np.stack(frames).astype(np.uint16)
    stack[2] = 0
    return stack, labels.astype(np.uint16)


def save(path, stack):
    with StackWriter(path, stack.shape, stack.dtype) as out:
        for frame in stack:
            out.append(frame)
    return path


def write(folder, method, stack, labels, factors, images, monkeypatch, missing=MISSING):
    """Write raw stack, images and model; return the corrected frames, and what opens them again."""
    if method == "lowest":
        monkeypatch.setattr(
            "fovflow.background.stack.CORRECTORS.make",
            lambda _name, parameters, **given: Lowest(**given, **parameters),
        )
    arguments = {"method": method, "pixel_um": None}
    arguments |= {"tile_px": 100} if method in ("tiles", "classic") else {}
    corrector = get_corrector(shape=SHAPE, **arguments, **images)
    raw, model = save(folder / "raw.npy", stack), folder / "model.npz"
    expected = np.empty(stack.shape, np.float32)
    with model_writer(
        model,
        stack.shape,
        corrector,
        factors=factors,
        missing=missing,
        arguments=arguments | images,
    ) as append:
        made = correct_frames(corrector, stack, labels, missing, factors)
        for t, (frame, _) in enumerate(made):
            append(frame)
            expected[t] = frame
    return expected, lambda: CorrectedFrames(model, raw)


@pytest.mark.parametrize("method", [*CORRECTORS, "lowest"])
@pytest.mark.parametrize("bleach", [False, True])
@pytest.mark.parametrize("given", [(), ("dark",), ("flat_field",), ("dark", "flat_field")])
@pytest.mark.parametrize("dtype", [np.uint16, np.uint8, np.float32])
def test_frames_and_traces_are_the_same_bytes(
    method, bleach, given, dtype, scene, tmp_path, monkeypatch
):
    stack, labels = scene
    stack = np.minimum(stack // 4, 255).astype(dtype)
    factors = np.exp(0.01 * np.arange(5)) if bleach else np.ones(5)
    flat = shading(SHAPE, 1, 0.4).astype(np.float32)
    images = {"dark": np.full(SHAPE, 7.5, np.float32), "flat_field": flat}
    images = {name: images[name] for name in given}
    expected, reopen = write(tmp_path, method, stack, labels, factors, images, monkeypatch)
    with reopen() as frames:
        assert np.asarray(frames).tobytes() == expected.tobytes()
        assert frames[-1].tobytes() == expected[-1].tobytes()
        assert frames[1:3, 5].tobytes() == expected[1:3, 5].tobytes()
        out = np.empty(SHAPE, np.float32)
        assert frames.frame(0, out) is out or method == "lowest"
        extractor = get_extractor(
            fov=0, pc=0, fl=[1], time=np.full(5, np.nan), features={"pc": ["area"]}
        )
        views = ((labels[t], None, {1: (stack[t], frames.pixels(t))}) for t in range(5))
        found = measure_frames(extractor, views, MISSING)
    whole = extract_traces(
        labels, None, {1: stack}, {1: expected}, missing=[2], features={"pc": ["area"]}
    )
    if method != "lowest" and (bleach or "flat_field" in given):  # raw less corrected is more
        del whole["background_mean_ch_1"]
    for name, column in whole.items():
        assert np.array_equal(column, found[name], equal_nan=column.dtype.kind == "f"), name


@pytest.mark.parametrize("dark", [0.0, 7.5, np.full(SHAPE, 7.5, np.float32)], ids=["0", "1", "2"])
@pytest.mark.parametrize("shaded", [False, True])
@pytest.mark.parametrize("bleach", [False, True])
def test_the_background_of_a_cell_holds_none_of_its_light(
    dark, shaded, bleach, tmp_path, monkeypatch
):
    labels = np.stack([cells(SHAPE, 12)] * 3).astype(np.uint16)
    flat = shading(SHAPE, 1, 0.4).astype(np.float32) if shaded else np.ones(SHAPE, np.float32)
    flat /= flat.mean()
    factors = np.exp(0.5 * np.arange(3)) if bleach else np.ones(3)
    light = [(40 + 300.0 * (each > 0)) / f for each, f in zip(labels, factors, strict=True)]
    stack = (dark + np.stack(light) * flat).astype(np.float32)
    images = {"dark": dark} | ({"flat_field": flat} if shaded else {})
    given = stack, labels, factors, images, monkeypatch, np.zeros(3, bool)
    _, reopen = write(tmp_path, "tiles", *given)
    features = {"pc": ["area"], "fl": ["intensity_mean", "background_mean"]}
    with reopen() as frames:
        extractor = get_extractor(fov=0, pc=0, fl=[1], time=np.zeros(3), features=features)
        views = ((labels[t], None, {1: (stack[t], frames.pixels(t))}) for t in range(3))
        found = measure_frames(extractor, views, [False] * 3)
    np.testing.assert_allclose(found["intensity_mean_ch_1"], 300, rtol=1e-3)
    level = np.max(dark) + 40 / factors[found["frame"]]
    np.testing.assert_allclose(found["background_mean_ch_1"], level, rtol=1e-3)


def test_a_model_is_small_and_a_method_without_one_keeps_its_frames(scene, tmp_path, monkeypatch):
    stack, labels = scene
    sizes = {}
    for method in ("tiles", "lowest"):
        folder = tmp_path / method
        folder.mkdir()
        write(folder, method, stack, labels, np.ones(5), {}, monkeypatch)
        sizes[method] = (folder / "model.npz").stat().st_size
    assert sizes["tiles"] < 5000
    assert 0 <= sizes["lowest"] - 4 * stack.size < 3000


def test_frames_of_which_all_are_missing(scene, tmp_path, monkeypatch):
    none = np.ones(5, bool)
    expected, reopen = write(tmp_path, "tiles", *scene, np.ones(5), {}, monkeypatch, none)
    with reopen() as frames:
        assert not expected.any()
        assert np.array_equal(np.asarray(frames), expected)


def repacked(path, **changed):
    """Write the archive again with other members; None leaves one out."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()} | changed
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            if content is not None:
                archive.writestr(name, content)


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-40]),
        lambda path: path.write_bytes(b"\x93NUMPY"),
        lambda path: repacked(path, **{"numbers.npy": None}),
        lambda path: repacked(path, **{"numbers.npy": npy(np.zeros((4, 3)))}),
        lambda path: repacked(path, **{"numbers.npy": npy(np.zeros((5, 36)))[:-1]}),
        lambda path: repacked(path, **{"numbers.npy": npy(np.zeros((5, 3)))}),
        lambda path: repacked(path, **{"settings.npy": npy(np.array("[]"))}),
        lambda path: repacked(path, **{"settings.npy": npy(np.array("{"))}),
        lambda path: repacked(path, **{"settings.npy": npy(np.array([{}], object))}),
        lambda path: repacked(path, **{"factors.npy": npy(np.zeros(2**20))}),
    ],
)
def test_damaged_models_are_told_in_a_sentence(damage, scene, tmp_path, monkeypatch):
    _, reopen = write(tmp_path, "tiles", *scene, np.ones(5), {}, monkeypatch)
    damage(tmp_path / "model.npz")
    with pytest.raises(FovflowError, match="is no model of a background"):
        reopen().frame(0)


@pytest.mark.data
@pytest.mark.parametrize("method", CORRECTORS)
@pytest.mark.parametrize("kind", ["tif", "nd2"])
def test_real_frames_are_made_again(kind, method, tmp_path):
    path = shared_data("nd2/incucyte_2fov_pgr.nd2")
    if kind == "tif":
        path = sorted(shared_data("t98g/phase").glob("*.tif"))[0]
    with open_raw(path) as raw:
        image = np.ascontiguousarray(raw.read(0, 0, raw.info.channels[-1].index)[:640, :600])
    labels = np.zeros(image.shape, np.uint16)
    labels[40:90, 60:120] = 1
    stack, settings = np.stack([image, image[::-1]]), {"method": method, "pixel_um": None}
    settings |= {"tile_px": 64} if method in ("tiles", "classic") else {}
    corrector, factors = get_corrector(shape=image.shape, **settings), np.array([1, 1.03])
    raw_stack, none, expected = save(tmp_path / "raw.npy", stack), np.zeros(2, bool), []
    with model_writer(
        tmp_path / "m.npz", stack.shape, corrector, factors=factors, missing=none,
        arguments=settings,
    ) as append:  # fmt: skip
        for frame, _ in correct_frames(corrector, stack, [labels] * 2, none, factors):
            append(frame)
            expected.append(frame.copy())
    with CorrectedFrames(tmp_path / "m.npz", raw_stack) as frames:
        assert [frame.tobytes() for frame in frames] == [frame.tobytes() for frame in expected]


def test_threads_that_ask_at_once_get_their_own_frames(scene, tmp_path, monkeypatch):
    stack, labels = scene
    expected, reopen = write(tmp_path, "tiles", stack, labels, np.arange(1, 6) / 3, {}, monkeypatch)
    wanted = [0, 1, 2, 3, 4] * 20
    with reopen() as frames, ThreadPoolExecutor(4) as pool:
        for t, frame in zip(wanted, pool.map(frames.frame, wanted), strict=True):
            assert frame.tobytes() == expected[t].tobytes()
