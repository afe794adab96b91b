"""A simulated movie: frames rendered on demand, with everything about them known."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fovflow.simulation import optics
from fovflow.simulation.optics import Scene, draw_scene, expose, texture_tile
from fovflow.simulation.params import PARAMETERS, MovieParams, stream
from fovflow.simulation.population import Population, amount, draw_parameters

Float = NDArray[np.float64]
Table = dict[str, NDArray[np.generic]]


class Movie:
    """A simulated movie; nothing but the cells' paths is kept in memory.

    Every frame can be rendered on its own, in any order and in any process, with the same bytes.
    For every channel, the mean of a frame over the noise is ``background + signal`` (clipped to
    the camera's range), before the phase frames are stored with fewer bits or compressed.

    Parameters
    ----------
    params : MovieParams
    """

    def __init__(self, params: MovieParams):
        self.params = params
        self.shape = params.shape
        self.channels = params.channels
        self._populations: dict[int, Population] = {}
        self._drawn: tuple[tuple[int, int], Scene] | None = None
        self._kinetics: dict[int, dict[int, list[dict[str, float]]]] = {}
        self._tile = texture_tile(params.seed)

    # Frames -------------------------------------------------------------------------------

    def frame(self, p: int, t: int) -> NDArray[np.uint16]:
        """Return the camera's frame, (C, Y, X) uint16; zeros where the acquisition is missing."""
        self._check(p, t)
        q = self.params
        image = np.zeros((len(q.channels), q.height, q.width), np.uint16)
        if (p, t) in q.missing:
            return image
        for c in range(len(q.channels)):
            expected = optics.background(q, p, t, c)
            expected += self.signal(p, t, c)
            image[c] = expose(q, expected, stream(q.seed, "noise", p, t, c))
        image[0] = optics.stored(q, image[0])
        return image

    def masks(self, p: int, t: int) -> NDArray[np.uint16]:
        """Return the true cell ids, (Y, X) uint16; 0 is background, missing frames are empty.

        Ids are unique over time within a position. Each cell is one 4-connected region; a cell
        with fewer than `optics.LEAST_VISIBLE_PX` pixels in view is left out.
        """
        self._check(p, t)
        if (p, t) in self.params.missing:
            return np.zeros((self.params.height, self.params.width), np.uint16)
        return self._scene(p, t).masks()

    def signal(self, p: int, t: int, c: int) -> Float:
        """Return what the cells add to the background, noise-free, (Y, X) float64 counts.

        In fluorescence channels it includes blur, shading and bleaching; in phase contrast it is
        the difference that cells, debris and grain make, of either sign.
        """
        self._check(p, t, c)
        q = self.params
        light = optics.illumination(q, c)
        if c == 0:
            relative = optics.phase_contrast(q, p, t, self._scene(p, t), self._origin(p, t))
            return np.asarray((relative - 1.0) * (q.phase_level * light), np.float64)
        cells = optics.fluorescence(q, p, t, self._scene(p, t), self._amounts(p, t, c))
        return np.asarray(cells * (light * (1.0 - q.bleaching) ** t), np.float64)

    def background(self, p: int, t: int, c: int) -> Float:
        """Return the true background, camera offset included, (Y, X) float64 counts."""
        self._check(p, t, c)
        return optics.background(self.params, p, t, c)

    # Truth --------------------------------------------------------------------------------

    def times(self, p: int) -> Float:
        """Return the times of a position's frames, (T,) s since the movie's start."""
        self._check(p, 0)
        q = self.params
        times = np.arange(q.frames) * q.interval_s + p * q.position_delay_s
        if q.time_jitter_s > 0:
            noise = q.time_jitter_s * stream(q.seed, "jitter", p).standard_normal(q.frames)
            noise[0] = abs(noise[0])
            times += np.clip(noise, -0.3 * q.interval_s, 0.3 * q.interval_s)
        return np.asarray(times, np.float64)

    def drift(self, p: int) -> NDArray[np.int64]:
        """Return where the view's first pixel lies on the dish, (T, 2) whole px, x and y."""
        self._check(p, 0)
        q = self.params
        steps = np.tile(np.asarray(q.drift_px, float), (q.frames, 1))
        if q.drift_jitter_px > 0:
            rng = stream(q.seed, "drift", p)
            steps += q.drift_jitter_px * rng.standard_normal(steps.shape)
        steps[0] = 0.0
        return np.asarray(np.rint(np.cumsum(steps, axis=0)), np.int64)

    def positions(self) -> list[tuple[float, float, str]]:
        """Return x and y (µm) and the name of each stage position, on a meandering grid."""
        q = self.params
        columns = int(np.ceil(np.sqrt(q.positions)))
        found = []
        for p in range(q.positions):
            row, column = divmod(p, columns)
            column = column if row % 2 == 0 else columns - 1 - column
            x, y = 1.2 * q.width * q.pixel_um * column, 1.2 * q.height * q.pixel_um * row
            found.append((round(x, 3), round(y, 3), f"{_letters(row)}{column + 1}"))
        return found

    def cell_rows(self, p: int, t: int) -> Table:
        """Return what is true of each cell in view in one frame; see `cells`."""
        masks = self.masks(p, t)
        flat = masks.ravel()
        counts = np.bincount(flat, minlength=1)
        ids = 1 + np.flatnonzero(counts[1:])
        area = counts[ids]
        x, y = np.arange(masks.shape[1], dtype=float), np.arange(masks.shape[0], dtype=float)
        sum_x = np.bincount(flat, np.broadcast_to(x, masks.shape).ravel(), counts.size)
        sum_y = np.bincount(flat, np.broadcast_to(y[:, None], masks.shape).ravel(), counts.size)
        table: Table = {
            "cell": ids.astype(np.int64),
            "frame": np.full(ids.size, t, np.int64),
            "time_s": np.full(ids.size, self.times(p)[t]),
            "x": sum_x[ids] / area,
            "y": sum_y[ids] / area,
            "area": area.astype(np.int64),
        }
        scene = self._scene(p, t)
        share = scene.view(scene.share).ravel()
        table["visible"] = visible = np.minimum(np.bincount(flat, share, counts.size)[ids], 1.0)
        for c in range(1, len(self.channels)):
            table[f"total_ch_{c}"] = self._amounts(p, t, c)[ids] * visible
        return table

    def cells(self, p: int) -> Table:
        """Return what is true of each cell in each frame in which it is in view.

        Returns
        -------
        dict of numpy.ndarray
            Columns ``cell, frame, time_s, x, y`` (centroid of the mask, px), ``area`` (px),
            ``visible`` (the share of the cell's light that lies in its mask), and for each
            fluorescence channel ``total_ch_{c}``: the light of its mask (counts) before blur,
            shading and bleaching. Rows are sorted by cell, then frame.
        """
        return join_rows([self.cell_rows(p, t) for t in range(self.params.frames)])

    def lineage(self, p: int) -> Table:
        """Return the life of every cell that exists in a position, in view or not.

        Returns
        -------
        dict of numpy.ndarray
            ``cell``, ``parent`` (0: none), ``first_frame``, ``last_frame`` (inclusive),
            ``origin`` (``start``, ``entered``, ``settled``, ``divided``) and ``end``
            (``end`` of the movie, ``divided``, ``died``).
        """
        cells = list(self._population(p).cells.values())
        return {
            "cell": np.array([c.id for c in cells], np.int64),
            "parent": np.array([c.parent for c in cells], np.int64),
            "first_frame": np.array([c.first for c in cells], np.int64),
            "last_frame": np.array([c.last for c in cells], np.int64),
            "origin": np.array([c.origin for c in cells], np.str_),
            "end": np.array([c.fate for c in cells], np.str_),
        }

    def kinetics(self, p: int) -> Table:
        """Return each cell's kinetic parameters.

        Returns
        -------
        dict of numpy.ndarray
            ``cell, channel``, the columns of `params.PARAMETERS`, and ``share``: a daughter's
            part of its founder's curve, so a cell's whole light is share · model(time).
        """
        cells = self._population(p).cells
        rows = [
            (i, c, *(values[name] for name in PARAMETERS), cells[i].share)
            for i, channels in self._parameters(p).items()
            for c, values in enumerate(channels, 1)
        ]
        names = ("cell", "channel", *PARAMETERS, "share")
        columns = list(zip(*rows, strict=True)) or [()] * len(names)
        return {
            name: np.array(values, np.int64 if name in ("cell", "channel") else np.float64)
            for name, values in zip(names, columns, strict=True)
        }

    # Inside -------------------------------------------------------------------------------

    def _check(self, p: int, t: int, c: int = 0) -> None:
        frames, positions, channels = self.shape[:3]
        if not (0 <= p < positions and 0 <= t < frames and 0 <= c < channels):
            raise IndexError(f"position {p}, frame {t}, channel {c} of a movie of {self.shape[:3]}")

    def _population(self, p: int) -> Population:
        if p not in self._populations:
            self._populations[p] = Population(self.params, p, self.drift(p).astype(float))
        return self._populations[p]

    def _origin(self, p: int, t: int) -> Float:
        return np.asarray(self.drift(p)[t], np.float64)

    def _scene(self, p: int, t: int) -> Scene:
        """Return the last scene again where it is asked for: a frame needs it several times."""
        if self._drawn is None or self._drawn[0] != (p, t):
            snapshot = self._population(p).snapshot(t)
            scene = draw_scene(self.params, snapshot, self._origin(p, t), self._tile)
            self._drawn = (p, t), scene
        return self._drawn[1]

    def _parameters(self, p: int) -> dict[int, list[dict[str, float]]]:
        if p not in self._kinetics:
            channels = range(1, len(self.channels))
            self._kinetics[p] = {
                i: [draw_parameters(self.params, p, cell.founder, c) for c in channels]
                for i, cell in self._population(p).cells.items()
            }
        return self._kinetics[p]

    def _amounts(self, p: int, t: int, c: int) -> Float:
        """Return the whole light of each cell by id (counts); index 0 is 0."""
        parameters = self._parameters(p)
        amounts = np.zeros(max(parameters, default=0) + 1)
        ids = np.fromiter(parameters, np.int64)
        columns = {n: np.array([parameters[i][c - 1][n] for i in parameters]) for n in PARAMETERS}
        hours = np.asarray(self.times(p)[t] / 3600.0)
        share = np.array([self._population(p).cells[i].share for i in parameters])
        amounts[ids] = share * amount(self.params.kinetics, hours, **columns)
        return amounts


def simulate(params: MovieParams) -> Movie:
    """Return the movie of these settings; frames are rendered when asked for.

    Examples
    --------
    >>> movie = simulate(MovieParams(frames=2, height=64, width=96, cells=2, seed=1))
    >>> movie.frame(0, 1).shape, movie.masks(0, 1).dtype
    ((2, 64, 96), dtype('uint16'))
    """
    return Movie(params)


def join_rows(parts: list[Table]) -> Table:
    """Join tables of the same columns; rows are sorted by cell, then frame."""
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    order = np.lexsort((joined["frame"], joined["cell"]))
    return {name: values[order] for name, values in joined.items()}


def _letters(row: int) -> str:
    """Return A to Z, AA, AB, … as on well plates."""
    text = ""
    row += 1
    while row:
        row, digit = divmod(row - 1, 26)
        text = chr(65 + digit) + text
    return text
