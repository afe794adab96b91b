"""What a simulated movie is made of, and the random streams that it is drawn from."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np

from fovflow.errors import ConfigError

MODELS = ("trivial", "maturation")
PARAMETERS = ("t0_h", "ktl", "delta", "beta", "km")
"""Onset (h), translation (counts/h), mRNA decay, protein decay and maturation rates (1/h)."""
_MAX_IDS = 65_535
_MAX_COVER = 0.75
_EXPERIMENT = ("conditions", "replicates", "effects", "day_spread", "fov_spread")
_LATER = (
    "processes", "flat", "rounded", "rounding", "colonies", "focus_drift_px", "thickness",
    "halo_um", "shade_off", "unevenness", "dirt", "scratches", "phase_bits", "phase_jpeg",
)  # fmt: skip
"""Settings that are written only where they differ from their defaults."""


@dataclass(frozen=True, kw_only=True)
class MovieParams:
    """Settings of a simulated movie.

    Counts of events (births, deaths, divisions) and of cells are per position; a death or division
    falls out if no cell is in view at its time. Frames, positions, channels and missing
    acquisitions are counted from 0; cell ids from 1.
    """

    seed: int = 0
    """Seed of all random numbers."""
    positions: int = 1
    """Number of fields of view."""
    frames: int = 30
    """Number of time points."""
    height: int = 512
    """Rows of a frame (px)."""
    width: int = 512
    """Columns of a frame (px)."""
    pixel_um: float = 0.65
    """Edge length of a pixel (µm)."""
    interval_s: float = 600.0
    """Time between two frames of a position (s)."""
    position_delay_s: float = 2.0
    """Time that the stage needs from one position to the next (s)."""
    time_jitter_s: float = 0.0
    """Standard deviation of the time stamps about their nominal times (s)."""
    channels: tuple[str, ...] = ("Phase", "GFP")
    """Names of the channels: phase contrast first, then any number of fluorescence channels."""

    cells: int = 30
    """Cells whose centre lies in view in frame 0, per position."""
    cell_radius_um: float = 9.5
    """Mean radius of the circle of a cell's area (µm)."""
    size_spread: float = 0.15
    """Standard deviation of the logarithm of the radius (1)."""
    elongation: float = 1.7
    """Median ratio of a cell's long to its short axis (1 = round)."""
    roughness: float = 0.10
    """Relative amplitude of bulges and processes of the outline (1; 0 = smooth ellipses)."""
    processes: float = 0.0
    """Length of long thin processes, up to three a cell, in radii (1; 0 = none)."""
    flat: float = 0.0
    """Fraction of the cells that are wide and thin, with faint granules (0 to 1)."""
    rounded: float = 0.0
    """Fraction of the cells that stay round, small and bright (0 to 1)."""
    rounding: float = 0.12
    """Part of its radius that a cell loses while it rounds up to divide (0 to 1)."""
    touching: float = 0.0
    """Fraction of cells placed in contact with a neighbour, in groups of two to four that stay
    together (0 to 1)."""
    colonies: int = 0
    """Mean number of cells in such a group beyond two (0 = groups of two to four)."""
    gap_um: float = 4.0
    """Distance that cells keep that are not in contact, where there is room (µm); masks of such
    cells are never closer than three pixels. Daughters touch for three frames after a
    division."""
    births: int = 0
    """Cells that enter from outside or settle within the view during the movie."""
    deaths: int = 0
    """Cells that round up and vanish during the movie."""
    divisions: int = 0
    """Cells that divide into two during the movie."""
    speed_um_h: float = 6.0
    """Root-mean-square speed of the persistent random walk (µm/h)."""
    persistence: float = 0.8
    """Correlation of a cell's velocity from one frame to the next (0 to 1)."""

    drift_px: tuple[float, float] = (0.0, 0.0)
    """Drift of the stage per frame, (x, y) (px). The view moves by the rounded sum."""
    drift_jitter_px: float = 0.0
    """Standard deviation of a random walk on top of the drift (px per frame and axis)."""
    defocus_px: float = 0.0
    """Largest additional blur as the focus comes and goes (standard deviation, px)."""
    focus_drift_px: float = 0.0
    """Blur that each frame adds as the focus is lost (standard deviation, px)."""
    missing: frozenset[tuple[int, int]] = frozenset()
    """(position, frame) pairs that were never acquired: their frames and masks are empty."""

    kinetics: str = "trivial"
    """Kinetic model of the fluorescence: ``trivial`` or ``maturation``."""
    expressing: float = 1.0
    """Fraction of the cells that fluoresce (0 to 1)."""
    brightness: float = 150_000.0
    """Median over the cells of the largest total intensity of a cell (counts)."""
    brightness_spread: float = 0.4
    """Standard deviation of the logarithm of that intensity over the cells (1)."""
    onset_h: tuple[float, float] = (0.2, 2.0)
    """Range of the onsets, uniform over the cells (h)."""
    conditions: tuple[str, ...] = ()
    """Conditions of an experiment: each has the same number of positions in each replicate."""
    replicates: int = 1
    """Days on which all conditions are seen."""
    effects: Mapping[str, Mapping[str, float]] = field(default_factory=dict, hash=False)
    """Factors on `PARAMETERS`, by condition: ``{"drug": {"ktl": 0.6}}`` (1)."""
    day_spread: float = 0.0
    """Standard deviation of the logarithm of a replicate's factor on each parameter (1)."""
    fov_spread: float = 0.0
    """The same of a position's factor (1)."""
    psf_px: float = 1.0
    """Standard deviation of the fluorescence point spread function (px)."""
    background_level: float = 200.0
    """Mean fluorescence background above the camera's offset (counts)."""
    background_gradient: float = 0.25
    """Relative amplitude of the background's unevenness over the view (1)."""
    background_drift: float = 0.1
    """Relative amplitude of the background's change in time (1)."""
    shading: float = 0.0
    """Fall-off of the fluorescence illumination from its brightest point to the farthest corner;
    it multiplies cells and background (0 to 1)."""
    bleaching: float = 0.0
    """Fraction of the cells' light lost with each frame (1)."""

    phase_level: float = 1600.0
    """Mean grey level of the phase-contrast background above the camera's offset (counts)."""
    phase_contrast: float = 1.0
    """Strength of the phase contrast of cells and debris (1 = as usual, 0 = invisible)."""
    thickness: float = 0.25
    """Median optical thickness of spread cells (rad)."""
    halo_um: float = 0.0
    """Width of the halo (µm; 0 = it grows with the cells)."""
    shade_off: float = 0.96
    """Part of its phase that the middle of a cell much larger than the halo loses to it: at 1 it is
    as bright as the background (1)."""
    vignetting: float = 0.12
    """Fall-off of the phase illumination from the centre to the corners (0 to 1)."""
    debris: float = 0.8
    """Specks of debris on the dish per 100 µm × 100 µm."""
    unevenness: float = 0.0
    """Relative standard deviation of further unevenness of the phase illumination (1)."""
    dirt: float = 0.0
    """Flakes of dirt, and rings of dirt out of focus, per 100 µm × 100 µm of the dish."""
    scratches: float = 0.0
    """Scratches per 100 µm × 100 µm of the dish."""
    grain: float = 0.006
    """Relative unevenness of the dish under phase contrast, fixed to the specimen (1)."""

    electrons_per_count: float = 4.0
    """Photo-electrons per count; shot noise has the variance counts / this."""
    shot_noise: bool = True
    """Whether there is shot noise."""
    read_noise: float = 1.5
    """Standard deviation of the camera's read noise (counts)."""
    camera_offset: float = 100.0
    """The camera's offset (counts)."""
    bit_depth: int = 12
    """Bits of the camera; counts are clipped at 2**bit_depth - 1 (8 to 16)."""
    phase_bits: int = 0
    """Bits that are kept of the phase frames, from the camera's highest on (0 = all)."""
    phase_jpeg: int = 0
    """Quality of the JPEG compression of the phase frames, of 8 bits then (1 to 100; 0 = none)."""

    def __post_init__(self) -> None:
        """Check the values; all faults are told at once."""
        object.__setattr__(self, "channels", tuple(self.channels))
        object.__setattr__(self, "drift_px", tuple(map(float, self.drift_px)))
        object.__setattr__(self, "onset_h", tuple(map(float, self.onset_h)))
        object.__setattr__(self, "conditions", tuple(map(str, self.conditions)))
        object.__setattr__(self, "missing", frozenset((int(p), int(t)) for p, t in self.missing))
        faults = [*self._out_of_bounds(), *self._contradictions()]
        if faults:
            raise ConfigError("simulation: " + "; ".join(faults), remedy="correct these settings")

    def _out_of_bounds(self) -> list[str]:
        least = dict.fromkeys(("positions", "frames", "replicates", "electrons_per_count"), 1)
        least |= dict.fromkeys(("height", "width"), 8)
        positive = ("pixel_um", "interval_s", "cell_radius_um", "brightness")
        shares = [
            *("touching", "expressing", "shading", "vignetting", "bleaching"),
            *("flat", "rounded", "rounding"),
        ]
        given = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        numbers = {name: value for name, value in given.items() if isinstance(value, int | float)}
        return [
            *(f"{name} is below {low}" for name, low in least.items() if not given[name] >= low),
            *(f"{name} is not above 0" for name in positive if not given[name] > 0),
            *(f"{name} is not within 0 to 1" for name in shares if not 0 <= given[name] <= 1),
            *(f"{name} is negative" for name, value in numbers.items() if not value >= 0),
        ]

    def _contradictions(self) -> list[str]:
        events = self.births + self.deaths + self.divisions
        room_um2 = _MAX_COVER * self.height * self.width * self.pixel_um**2
        faults = {
            "channels is empty": not self.channels,
            f"kinetics {self.kinetics!r} is none of {', '.join(MODELS)}": self.kinetics
            not in MODELS,
            "bit_depth is not within 8 to 16": not 8 <= self.bit_depth <= 16,
            "phase_bits is neither 0 nor within 4 to bit_depth": self.phase_bits != 0
            and not 4 <= self.phase_bits <= self.bit_depth,
            "phase_jpeg is not within 0 to 100": not 0 <= self.phase_jpeg <= 100,
            "rounding is not below 1": not self.rounding < 1,
            "persistence is not below 1": not self.persistence < 1,
            "elongation is below 1": not self.elongation >= 1,
            "onset_h is reversed": self.onset_h[0] > self.onset_h[1],
            "births, deaths and divisions need 2 frames": self.frames < 2 and events,
            "conditions are repeated": len({*self.conditions}) < len(self.conditions),
            f"{self.positions} positions are not the same number for each of "
            f"{len(self.conditions)} conditions × {self.replicates} replicates": self.positions
            % (max(len(self.conditions), 1) * max(self.replicates, 1)),
            "an effect is not above 0": any(
                not factor > 0 for effects in self.effects.values() for factor in effects.values()
            ),
            "deaths and divisions exceed cells": self.deaths + self.divisions > self.cells,
            f"more than {_MAX_IDS} cells": self.cells + self.births + 2 * self.divisions > _MAX_IDS,
            f"{self.cells} cells do not fit into {self.height} × {self.width} px": self.cells > 1
            and 3.1416 * self.cell_radius_um**2 * self.cells > room_um2,
        }
        unknown = [
            f"effects: no {kind} {name!r}"
            for condition, effects in self.effects.items()
            for kind, name, known in (
                ("condition", condition, self.conditions),
                *(("parameter", name, PARAMETERS) for name in effects),
            )
            if name not in known
        ]
        return (
            [fault for fault, wrong in faults.items() if wrong]
            + unknown
            + [
                f"missing ({p}, {t}) is outside the movie"
                for p, t in sorted(self.missing)
                if not (0 <= p < self.positions and 0 <= t < self.frames)
            ]
        )

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """Sizes of the movie: (T, P, C, Y, X)."""
        return (self.frames, self.positions, len(self.channels), self.height, self.width)

    @property
    def cell_radius_px(self) -> float:
        """Mean cell radius in pixels."""
        return self.cell_radius_um / self.pixel_um

    def group(self, p: int) -> tuple[str, int]:
        """Return the condition and the replicate (from 1) of a position.

        Positions of one condition and replicate follow each other; replicates come before
        conditions.
        """
        each = self.positions // (max(len(self.conditions), 1) * self.replicates)
        condition, replicate = divmod(p // each, self.replicates)
        return (self.conditions[condition] if self.conditions else ""), replicate + 1

    def factors(self, p: int) -> dict[str, float]:
        """Return what condition, day and position multiply each kinetic parameter with."""
        condition, replicate = self.group(p)
        effects = self.effects.get(condition, {})
        found = {name: float(effects.get(name, 1.0)) for name in PARAMETERS}
        spreads = (("day", self.day_spread, replicate), ("field", self.fov_spread, p))
        for purpose, spread, key in spreads:
            if spread:
                drawn = np.exp(spread * stream(self.seed, purpose, key).standard_normal(5))
                found = {name: found[name] * float(x) for name, x in zip(found, drawn, strict=True)}
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain values that JSON can carry."""
        values = asdict(self)
        values["missing"] = [list(pair) for pair in sorted(self.missing)]
        # Without experiment and later effects, settings are written as they always were.
        days = self.replicates > 1 or self.day_spread or self.fov_spread
        lasting = () if self.conditions or days else _EXPERIMENT
        for entry in fields(self):
            plain = entry.name in _LATER and values[entry.name] == entry.default
            if plain or entry.name in lasting:
                del values[entry.name]
        return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> MovieParams:
        """Make settings of what `to_dict` returned; unknown names are errors."""
        unknown = sorted(set(values) - {entry.name for entry in fields(cls)})
        if unknown:
            raise ConfigError(
                f"simulation: unknown settings {', '.join(unknown)}",
                remedy="see MovieParams for the names",
            )
        return cls(**values)


PRESETS: dict[str, dict[str, Any]] = {
    "realistic": {
        "pixel_um": 0.8708, "height": 768, "width": 768, "cells": 44, "cell_radius_um": 22.0,
        "size_spread": 0.35, "elongation": 2.4, "roughness": 0.2, "processes": 2.0, "flat": 0.3,
        "rounded": 0.06, "rounding": 0.45, "touching": 0.7, "colonies": 3, "gap_um": 2.0,
        "speed_um_h": 15.0, "divisions": 3, "thickness": 0.46, "halo_um": 1.6, "shade_off": 1.03,
        "phase_contrast": 1.55, "vignetting": 0.05, "unevenness": 0.01, "debris": 8.0, "dirt": 12.0,
        "scratches": 0.1, "grain": 0.008, "defocus_px": 0.5, "brightness": 600_000.0,
        "electrons_per_count": 8.0,
    },
}  # fmt: skip
"""Settings by name: ``realistic`` was set beside real frames of T98G cells."""


def stream(seed: int, purpose: str, *keys: int) -> np.random.Generator:
    """Return the generator of one purpose.

    Two streams with different purposes or keys are independent, so any frame can be rendered on
    its own, in any order, with the same result. `purpose`: what the numbers are for, such as
    ``"noise"``. `keys`: position, frame, cell, channel: whatever sets this stream apart (≥ 0).
    """
    entropy = [seed, zlib.crc32(purpose.encode()), *keys]
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy)))
