"""A network that says of each pixel whether it is a cell, and where that cell's middle lies.

Networks are ONNX files with a description beside them (docs/algorithms/segmentation.md, *unet*).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from fovflow.errors import ConfigError
from fovflow.userfiles import open_regular, read_regular

Said = NDArray[np.float32]

BUILT_IN = Path(__file__).with_name("unet.onnx")
"""The network that the package brings."""

TILE = 1024
"""Side of the tiles in which a frame is given to the network, in pixels of the network."""

MARGIN = 112
"""What is seen around a tile, in pixels of the network; its answers there are not used."""

PIXELS_UM = (0.1, 20.0)
"""Least and greatest pixel size for which a network may be made (µm)."""

STEP = 16
"""Sides of what the network is given are multiples of this."""

EXTERNAL = b"\x0a\x08location"
"""How an ONNX file names another file in which weights lie."""

MOST_BYTES = 64 << 20
"""Size of a file above which it is not read as a network."""


@dataclass(frozen=True)
class Description:
    """What stands beside a network: how frames are made ready for it."""

    pixel_um: float
    surroundings_um: float
    """Side of the box over which the level of the surroundings is taken, twice."""


class Network:
    """A network, loaded once per job."""

    def __init__(self, path: Path):
        self.description = read_description(path.with_suffix(".json"))
        try:
            self._net = cv2.dnn.readNetFromONNX(np.frombuffer(_read(path), np.uint8))
            self._answer(np.zeros((STEP, STEP), np.float32))
        except (OSError, ValueError, cv2.error) as error:
            raise _refused(path, error) from error

    def __call__(self, contrast: NDArray[np.float32]) -> Said:
        """Return what the network says of a normalised frame.

        `contrast`: (Y, X) with the network's pixel size. Returns (3, Y, X): the logit of a cell,
        and the direction to its middle, y and x.
        """
        height, width = contrast.shape
        said = np.empty((3, height, width), np.float32)
        for top in range(0, height, TILE):
            for left in range(0, width, TILE):
                bottom, right = min(top + TILE, height), min(left + TILE, width)
                y0, x0 = max(top - MARGIN, 0), max(left - MARGIN, 0)
                seen = contrast[y0 : bottom + MARGIN, x0 : right + MARGIN]
                answer = self._answer(seen)
                said[:, top:bottom, left:right] = answer[
                    :, top - y0 : bottom - y0, left - x0 : right - x0
                ]
        return said

    def _answer(self, seen: NDArray[np.float32]) -> Said:
        height, width = seen.shape
        padding = ((0, -height % STEP), (0, -width % STEP))
        padded = np.pad(seen, padding, mode="symmetric" if min(seen.shape) >= STEP else "edge")
        rows, columns = padded.shape
        folded = padded.reshape(rows // 2, 2, columns // 2, 2).transpose(1, 3, 0, 2)
        self._net.setInput(np.ascontiguousarray(folded).reshape(1, 4, rows // 2, columns // 2))
        answer = self._net.forward()
        if answer.shape != (1, 16, rows // 2, columns // 2):
            raise ValueError(f"answers of the shape {answer.shape}")
        parts = answer.reshape(4, 2, 2, rows // 2, columns // 2)[[0, 2, 3]]  # without contacts
        whole = parts.transpose(0, 3, 1, 4, 2).reshape(3, rows, columns)
        return np.asarray(np.rint(whole[:, :height, :width] * 256) / 256, np.float32)


def _read(path: Path) -> bytes:
    with open_regular(path) as file:
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise ValueError(f"more than {MOST_BYTES >> 20} MiB")
    if EXTERNAL in data:
        raise ValueError("its weights lie in another file")
    return data


def read_description(path: Path) -> Description:
    """Read the description of a network; raises ConfigError if it is not there or not one."""
    try:
        found = json.loads(read_regular(path))
        about = Description(*(float(found[key]) for key in ("pixel_um", "surroundings_um")))
        if not (PIXELS_UM[0] <= about.pixel_um <= PIXELS_UM[1] and 0 < about.surroundings_um < 1e4):
            raise ValueError(f"lengths that no frame has: {about}")  # noqa: TRY301
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise _refused(path, error) from error
    return about


def _refused(path: Path, error: Exception) -> ConfigError:
    told = error.strerror if isinstance(error, OSError) else None
    found = told or f"{type(error).__name__}: {error}".splitlines()[0][:200]
    return ConfigError(
        f"segment: unet: {path} is not a network that fovflow can use",
        found=found,
        remedy="give an ONNX file made by fovflow train, with its JSON file beside it",
    )


def normalise(image: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Return the contrast of a frame against its surroundings, in units of what is usual in it.

    `image`: (Y, X). `side`: odd side of the box over which the surroundings are averaged, twice.
    """
    level = image
    for _ in range(2):
        level = cv2.blur(level, (side, side), borderType=cv2.BORDER_REFLECT)
    contrast = image / np.maximum(level, 1e-3) - 1
    sample = contrast[::4, ::4]
    scale = np.percentile(np.abs(sample - np.median(sample)), 95) + 1e-4
    return np.asarray(np.clip(contrast / (2 * scale), -3, 3), np.float32)


def follow(flow: NDArray[np.float32], places: NDArray[np.int64], doublings: int = 7) -> Said:
    """Return (n, 2), the x and y at which the ways of n pixels end: 2**doublings steps.

    `flow`: (Y, X, 2), the first step of each pixel, in x and y, 0 where none of `places`, flat
    indices, lies. Where k steps lead is known of each pixel; a way of 2 k steps is that of k from
    there.
    """
    height, width = flow.shape[:2]
    moved = np.array(flow, np.float32, order="C")
    pairs = moved.view(np.complex64).ravel()  # x and y of a pixel are gathered as one number
    here = np.empty(places.size, np.complex64)
    here.imag, here.real = np.divmod(places, width)
    way = pairs[places]
    rows = -(-places.size // _ROW)
    at = np.zeros(rows * _ROW, np.complex64)
    ends = at.view(np.float32).reshape(rows, _ROW, 2)
    for _ in range(doublings if rows else 0):
        np.add(here, way, out=at[: places.size])
        further = cv2.remap(moved, ends, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        way += further.view(np.complex64).ravel()[: places.size]
        pairs[places] = way
    reached = (here + way).view(np.float32).reshape(-1, 2)
    return np.asarray(np.clip(reached, 0, np.array([width - 1, height - 1], np.float32)))


_ROW = 1024
"""Length of the rows in which OpenCV is given the ways of pixels."""


def find_instances(said: Said, level: float) -> NDArray[np.int32]:
    """Return one number per cell, (Y, X): the pixels whose ways along the flow end together.

    `said`: see `Network`. `level`: logit above which a pixel is one of a cell. The ends of all ways
    are heaped up; each heap's surroundings that flow to the same top are one cell.
    """
    cell = said[0] > level
    strength = np.maximum(cv2.magnitude(said[1], said[2]), 1e-6)
    step = np.minimum(0.2, 1 / strength) * cell
    flow = np.dstack([said[2] * step, said[1] * step])
    ends = np.rint(follow(flow, np.flatnonzero(cell))).astype(np.int64)
    reached = ends[:, 1] * cell.shape[1] + ends[:, 0]
    heaps = np.bincount(reached, minlength=cell.size)
    places = np.flatnonzero(heaps)
    smooth = cv2.GaussianBlur(heaps.reshape(cell.shape).astype(np.float32), (0, 0), BLUR)
    tops = climb(smooth, places)
    marked = np.zeros(cell.size, np.uint8)
    marked[tops] = 1
    _, names = cv2.connectedComponents(cv2.dilate(marked.reshape(cell.shape), NEAR))
    name_of = np.zeros(cell.size, np.int32)
    name_of[places] = names.ravel()[tops]
    found = np.zeros(cell.shape, np.int32)
    found[cell] = name_of[reached]
    return found


BLUR = 1.5
"""Standard deviation over which the ends of ways are heaped up (pixels of the network)."""

NEAR = np.ones((5, 5), np.uint8)
"""Heaps whose tops lie within this of each other are one."""


def climb(height: NDArray[np.float32], places: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the top that lies uphill of each place, going to the highest of eight neighbours.

    `height`: (Y, X). `places`: indices into it, flat. Equal heights are not climbed.
    """
    padded = np.pad(height, 1, constant_values=-1).ravel()
    row = height.shape[1] + 2
    around = np.array([0, -row - 1, -row, -row + 1, -1, 1, row - 1, row, row + 1])
    y, x = np.divmod(places, height.shape[1])
    at = (y + 1) * row + x + 1
    open_ = np.arange(at.size)
    while open_.size:
        step = at[open_, None] + around
        best = step[np.arange(open_.size), padded[step].argmax(1)]
        moving = best != at[open_]
        at[open_] = best
        open_ = open_[moving]
    y, x = np.divmod(at, row)
    return np.asarray((y - 1) * height.shape[1] + x - 1)
