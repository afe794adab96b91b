"""What every built-in corrector must do."""

from __future__ import annotations

import numpy as np
import pytest
from background.scenes import cells, photograph, shading

from fovflow.background import (
    correct_stack,
    get_corrector,
)
from fovflow.config.methods import CORRECTORS
from fovflow.errors import ConfigError, FovflowError
from fovflow.testing import CorrectorConformance

SHAPE = (300, 340)
TILE_PX = 100  # so that the classic method works at this size


def parameters_of(method):
    return {"tile_px": TILE_PX} if method in ("tiles", "classic") else {}


def make(method, shape=SHAPE, **params):
    return get_corrector(method, shape=shape, **params, **parameters_of(method))


@pytest.fixture(scope="module")
def scene():
    labels = cells(SHAPE, 12)
    background = shading(SHAPE)
    return photograph(background, 90 * (labels > 0)), labels, background


class TestCorrectors(CorrectorConformance):
    @pytest.fixture(params=[*CORRECTORS], autouse=True)
    def case(self, request):
        self.method, self.parameters = request.param, parameters_of(request.param)

    def test_unknown_parameter_is_told(self):
        with pytest.raises(ConfigError, match="no parameter 'tyle_px'"):
            get_corrector(self.method, shape=SHAPE, tyle_px=3)

    def test_empty_frames_are_refused(self):
        with pytest.raises(ConfigError, match="without pixels"):
            make(self.method, shape=(0, 5))

    def test_stack_is_its_frames(self, scene):
        image, labels, _ = scene
        stack, seg = np.stack([image, image + 5, image // 2]), np.stack([labels] * 3)
        corrected = correct_stack(stack, seg, method=self.method, **self.parameters)
        corrector = self.make()
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
