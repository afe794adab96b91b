"""What every corrector must do, built in or plugged in."""

from __future__ import annotations

from importlib.metadata import EntryPoint, EntryPoints

import numpy as np
import pytest
from background.scenes import cells, photograph, shading

from fovflow import plugins
from fovflow.background import (
    BackgroundStats,
    correct_stack,
    get_corrector,
)
from fovflow.background.corrector import Estimate, SurfaceCorrector
from fovflow.background.preparation import Preparation
from fovflow.config.methods import CORRECTORS
from fovflow.errors import ConfigError, FovflowError

SHAPE = (300, 340)
TILE_PX = 100  # so that the classic method works at this size


class LowestCorrection(SurfaceCorrector):
    """The plug-in of another package: subtract the smallest free pixel."""

    def __init__(self, *, shape, pixel_um=None, margin=0.0, tile_px=0):
        super().__init__(Preparation(shape, pixel_um))
        self._margin = margin

    def _estimate(self, frame):
        level = float(frame.filled[frame.free.view(bool)].min()) - self._margin
        return Estimate(np.full(frame.values.shape, level, np.float32))


@pytest.fixture(params=[*CORRECTORS, "lowest"])
def method(request, monkeypatch):
    entry = EntryPoint("lowest", f"{__name__}:LowestCorrection", "fovflow.correctors")
    monkeypatch.setattr(EntryPoint, "load", lambda self: LowestCorrection)
    monkeypatch.setattr(plugins, "entry_points", lambda group: EntryPoints([entry]))
    return request.param


def make(method, shape=SHAPE, **params):
    if method in ("tiles", "classic", "lowest"):
        params["tile_px"] = TILE_PX
    return get_corrector(method, shape=shape, **params)


@pytest.fixture(scope="module")
def scene():
    labels = cells(SHAPE, 12)
    background = shading(SHAPE)
    return photograph(background, 90 * (labels > 0)), labels, background


def test_output_is_float32_of_the_frames_shape_and_input_stays(method, scene):
    image, labels, _ = scene
    before = image.copy(), labels.copy()
    corrected, stats = make(method)(image, labels)
    assert corrected.dtype == np.float32
    assert corrected.shape == SHAPE
    assert isinstance(stats, BackgroundStats)
    assert np.isfinite(corrected).all()
    assert np.array_equal(image, before[0])
    assert np.array_equal(labels, before[1])


def test_corrected_plus_background_is_the_frame(method, scene):
    image, labels, _ = scene
    corrector = make(method)
    corrected, _ = corrector(image, labels)
    assert corrector.background.dtype == np.float32
    assert corrector.background.shape == SHAPE
    np.testing.assert_allclose(corrected + corrector.background, image, atol=1e-3)
    with pytest.raises(ValueError, match="read-only"):
        corrector.background[0, 0] = 1


def test_same_input_gives_same_bytes_and_later_frames_change_nothing(method, scene):
    image, labels, _ = scene
    first = make(method)
    again = make(method)
    early, _ = first(image, labels)
    kept = early.copy()
    first(image // 2, np.ones_like(labels) * (np.arange(SHAPE[1]) < 200))
    assert early.tobytes() == kept.tobytes()
    assert again(image, labels)[0].tobytes() == kept.tobytes()


def test_out_is_filled_and_returned(method, scene):
    image, labels, _ = scene
    expected, _ = make(method)(image, labels)
    out = np.empty(SHAPE, np.float32)
    corrected, _ = make(method)(image, labels, out=out)
    assert corrected is out
    assert np.array_equal(out, expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.int32, np.float32, np.float64])
def test_dtypes_agree(method, scene, dtype):
    image, labels, _ = scene
    image = np.minimum(image // 4, 255)
    expected, _ = make(method)(image, labels)
    corrected, _ = make(method)(image.astype(dtype), labels)
    np.testing.assert_allclose(corrected, expected, atol=0.2)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.int64, bool])
def test_label_dtypes_agree(method, scene, dtype):
    image, labels, _ = scene
    expected, _ = make(method)(image, labels > 0)
    assert np.array_equal(make(method)(image, labels.astype(dtype))[0], expected)


def test_no_labels_means_no_cells(method, scene):
    image, labels, _ = scene
    expected, stats = make(method)(image, np.zeros_like(labels))
    assert np.array_equal(make(method)(image)[0], expected)
    assert stats.excluded_fraction == 0


def test_non_contiguous_frames_agree(method, scene):
    image, labels, _ = scene
    wide = np.zeros((SHAPE[0], SHAPE[1] * 2), image.dtype)
    wide[:, ::2] = image
    expected, _ = make(method)(image, labels)
    np.testing.assert_array_equal(
        make(method)(wide[:, ::2], np.asfortranarray(labels))[0], expected
    )


def test_only_pixels_that_were_not_finite_stay_so(method, scene):
    image, labels, _ = scene
    holes = image.astype(np.float32)
    holes[40:60, 70:75] = np.nan
    holes[100, 100], holes[101, 100] = np.inf, -np.inf
    whole, _ = make(method)(image.astype(np.float32), labels)
    corrected, stats = make(method)(holes, labels)
    assert stats.flag == "nan"
    assert np.array_equal(np.isfinite(corrected), np.isfinite(holes))
    seen = np.isfinite(holes)
    assert np.abs(corrected[seen] - whole[seen]).max() < 1.5


def test_statistics(method, scene):
    image, labels, _ = scene
    corrector = make(method)
    corrected, stats = corrector(image, labels)
    assert stats.flag == ""
    assert 0 < stats.excluded_fraction < 0.5
    assert stats.n_empty_tiles == 0
    assert stats.background_level == pytest.approx(np.median(corrector.background), abs=0.5)
    free = make("none")._prepare(image, labels).free.view(bool)
    rest = corrected[free]
    spread = 1.4826 * np.median(np.abs(rest - np.median(rest)))
    assert stats.noise_sigma == pytest.approx(spread, rel=0.05)


@pytest.mark.parametrize("bad", ["image", "labels"])
def test_wrong_shape_is_told(method, scene, bad):
    image, labels, _ = scene
    given = {"image": image, "labels": labels}
    given[bad] = given[bad][1:]
    with pytest.raises(FovflowError, match="another shape"):
        make(method)(**given)


def test_unknown_parameter_is_told(method):
    with pytest.raises(ConfigError, match="no parameter 'tyle_px'"):
        get_corrector(method, shape=SHAPE, tyle_px=3)


def test_empty_frames_are_refused(method):
    with pytest.raises(ConfigError, match="without pixels"):
        make(method, shape=(0, 5))


def test_stack_is_its_frames(method, scene):
    image, labels, _ = scene
    stack, seg = np.stack([image, image + 5, image // 2]), np.stack([labels] * 3)
    params = {"tile_px": TILE_PX} if method in ("tiles", "classic", "lowest") else {}
    corrected = correct_stack(stack, seg, method=method, **params)
    corrector = make(method)
    for t in range(3):
        assert np.array_equal(corrected[t], corrector(stack[t], seg[t])[0])


@pytest.mark.parametrize("name", CORRECTORS)
def test_dark_and_flat_field_undo_the_camera(name, scene):
    """Counts = dark + flat × scene, so that the scene's correction must come out."""
    _, labels, _ = scene
    world = (shading(SHAPE, 400, 0.1) + 90 * (labels > 0)).astype(np.float32)
    flat = shading(SHAPE, 1, 0.4)
    flat /= flat.mean()
    dark = np.tile(100 + np.arange(SHAPE[1]) % 2, (SHAPE[0], 1))
    image = dark + flat * world
    expected, reference = make(name)(world, labels)
    corrected, stats = make(name, dark=dark, flat_field=7 * flat)(image, labels)
    np.testing.assert_allclose(corrected, expected, atol=2e-3)
    assert stats.background_level == pytest.approx(reference.background_level, abs=1e-2)


@pytest.mark.parametrize("name", CORRECTORS)
@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"dark": np.zeros((3, 3))}, "dark frame does not fit"),
        ({"dark": np.nan}, "dark frame holds NaN"),
        ({"flat_field": np.ones((3, 3))}, "flat-field does not fit"),
        ({"flat_field": np.zeros(SHAPE)}, "flat-field must be positive"),
        ({"flat_field": np.full(SHAPE, np.nan)}, "flat-field must be positive"),
        ({"dilation_um": 3.0}, "pixel size is not known"),
        ({"dilation_um": -3.0, "pixel_um": 1.0}, "must not be negative"),
        ({"dilation_um": 3.0, "pixel_um": 0.0}, "must be a positive number"),
    ],
)
def test_wrong_parameters_are_told(name, params, message):
    with pytest.raises(FovflowError, match=message):
        make(name, **params)


@pytest.mark.parametrize("name", ["tiles", "classic"])
@pytest.mark.parametrize("params", [{"tile_px": 7}, {"tile_um": 2.0, "pixel_um": 1.0}])
def test_tiles_that_are_too_small_are_told(name, params):
    with pytest.raises(ConfigError, match="too small"):
        get_corrector(name, shape=SHAPE, **params)


@pytest.mark.parametrize("name", ["tiles", "classic"])
def test_lengths_in_um(name, scene):
    image, labels, _ = scene
    expected, _ = get_corrector(name, shape=SHAPE, tile_px=100)(image, labels)
    corrected, _ = get_corrector(
        name, shape=SHAPE, pixel_um=0.5, tile_um=50.0, dilation_um=5.0, tile_px=8
    )(image, labels)
    assert np.array_equal(corrected, expected)


@pytest.mark.parametrize("name", CORRECTORS)
def test_dilation_excludes_a_square_around_cells(name):
    labels = np.zeros(SHAPE, np.uint16)
    labels[0, 0] = labels[150, 170] = 1
    image = np.full(SHAPE, 100, np.uint16)
    _, stats = make(name)(image, labels)
    assert round(stats.excluded_fraction * image.size) == 21 * 21 + 11 * 11
    _, stats = make(name, dilation_um=0.0, pixel_um=1.0)(image, labels)
    assert round(stats.excluded_fraction * image.size) == 2


@pytest.mark.parametrize("name", ["tiles", "classic", "constant"])
@pytest.mark.parametrize("value", [0, 1, 65535])
def test_constant_frames_become_zero(name, value):
    corrected, stats = make(name)(np.full(SHAPE, value, np.uint16), cells(SHAPE, 5))
    assert np.abs(corrected).max() < 0.02  # float32 near 65535
    assert stats.background_level == pytest.approx(value, abs=0.02)
    assert stats.flag == ("saturated" if value == 65535 else "")


@pytest.mark.parametrize("name", CORRECTORS)
def test_frames_that_are_all_nan(name):
    corrected, stats = make(name)(np.full(SHAPE, np.nan, np.float32))
    assert np.isnan(corrected).all()
    assert "nan" in stats.flag
    assert np.isnan(stats.noise_sigma)


def test_stacks_that_do_not_fit_are_told():
    with pytest.raises(FovflowError, match="must both be"):
        correct_stack(np.zeros((2, 8, 8)), np.zeros((1, 8, 8)))
    with pytest.raises(FovflowError, match="must both be"):
        correct_stack(np.zeros((8, 8)), None)


def test_every_method_has_a_revision():
    assert {name: CORRECTORS[name].revision for name in CORRECTORS} == dict.fromkeys(
        ("tiles", "classic", "constant", "none"), 1
    )


def test_unknown_method_names_those_that_there_are():
    with pytest.raises(ConfigError, match="classic, constant, none, tiles"):
        get_corrector("rolling", shape=SHAPE)
