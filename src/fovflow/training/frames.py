"""Frames in which people outlined cells: what the network sees, and what it shall say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fovflow.errors import ConfigError, explained
from fovflow.segmentation.frames import check_frame
from fovflow.segmentation.masks import odd_side
from fovflow.segmentation.network import STEP, Description, normalise

FORMS = (
    "phase/NAME.tif with masks/NAME.png or .tif (a number per cell, 0 for background); or, as in "
    "the Cell Tracking Challenge, 01/tNNN.tif with 01_GT/SEG/man_segNNN.tif; or the folder of a "
    "dataset's results with the stacks pc and seg_labeled"
)
MOST_SIDE = 8192
"""Longest side of a frame to train on, in pixels of the network."""

MOST_OF_A_STACK = 40
"""Frames of one FOV that are taken, spread evenly: neighbours in time hardly differ."""


@dataclass(frozen=True)
class Outlined:
    """A frame and what people outlined in it."""

    name: str
    place: str
    """Frames of one place show the same cells: they are never both trained on and scored."""
    image: NDArray[Any]
    """(Y, X) uint8, uint16 or float32."""
    labels: NDArray[np.int32]
    """(Y, X), a number per cell, 0 = background."""
    pixel_um: float | None


def read_outlined(folder: Path, pixel_um: float | None = None) -> list[Outlined]:
    """Read all frames of a folder of one of the `FORMS`, in the order of their names.

    `pixel_um`: in place of what the files say. Raises ConfigError, which names the file, for masks
    that are absent, of another size, of several channels or not whole numbers, for frames that
    cannot be segmented, where there is no cell, and where the size of a pixel is not known.
    """
    frames = [checked(frame, pixel_um) for frame in _found(folder)]
    if not any(frame.labels.any() for frame in frames):
        what = f"{len(frames)} frames, no cell in their masks" if frames else "no frame with a mask"
        raise ConfigError(
            f"{folder}: there is nothing to learn from", found=what, remedy=f"needed: {FORMS}"
        )
    if all(frame.labels.max() <= 1 for frame in frames) and any(map(_several, frames)):
        raise ConfigError(
            f"{folder}: the masks have one value for all cells",
            remedy="number the cells of each frame, so that touching ones can be told apart",
        )
    return frames


def _several(frame: Outlined) -> bool:
    return cv2.connectedComponents((frame.labels > 0).astype(np.uint8))[0] > 2


def _found(folder: Path) -> Iterator[Outlined]:
    if not folder.is_dir():
        raise ConfigError(f"there is no folder {folder}", remedy=f"needed: {FORMS}")
    if (folder / "phase").is_dir():
        for path in sorted((folder / "phase").glob("*.tif*")):
            masks = [folder / "masks" / f"{path.stem}{end}" for end in (".png", ".tif", ".tiff")]
            yield _read(path, next((m for m in masks if m.exists()), masks[0]), path.stem)
    for truth in sorted(folder.glob("[0-9]*_GT/SEG")):
        series = folder / truth.parent.name.removesuffix("_GT")
        for mask in sorted(truth.glob("man_seg*.tif")):
            number = re.fullmatch(r"man_seg_?(\d+)", mask.stem)
            if number is None:
                raise ConfigError(f"{mask}: a mask of one plane of a 3D frame cannot be used")
            yield _read(series / f"t{number[1]}.tif", mask, series.name)
    if (folder / "processing_results.yaml").is_file():
        yield from _of_results(folder)


def _of_results(folder: Path) -> Iterator[Outlined]:
    from fovflow.results import load_results

    results = load_results(folder)
    for index, fov in results.fovs.items():
        if {"pc", "seg_labeled"} <= {*fov.stacks}:
            images, labels = fov.stack("pc"), fov.stack("seg_labeled")
            chosen = np.linspace(0, len(labels) - 1, min(len(labels), MOST_OF_A_STACK))
            for t in sorted({round(float(t)) for t in chosen}):
                place = f"fov_{index}"
                yield Outlined(f"{place}, frame {t}", place, images[t], labels[t],
                               results.content.get("pixel_um"))  # fmt: skip


def _read(path: Path, mask: Path, place: str) -> Outlined:
    from fovflow.readers import open_raw

    for file in (path, mask):
        if not file.is_file():
            raise ConfigError(f"{file} is missing", remedy="each mask needs its frame, and back")
    with open_raw(path) as raw:
        info = raw.info
        n_images = info.n_frames * len(info.channels) * info.n_z * len(info.positions)
        if n_images != 1:
            raise ConfigError(
                f"{path}: a single image of one channel is needed", found=f"{n_images} images"
            )
        image = raw.read(0, 0, 0)
    with explained(f"{mask} cannot be read", remedy="save it as PNG or TIFF"):
        labels = _mask(mask)
    return Outlined(f"{path.parent.name}/{path.name}", place, image, labels, info.pixel_um)


def _mask(path: Path) -> NDArray[Any]:
    if path.suffix == ".png":
        found = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
        if found is None:
            raise ValueError("not a PNG image")
        return np.asarray(found)
    import tifffile

    return np.asarray(tifffile.imread(path))


def checked(frame: Outlined, pixel_um: float | None) -> Outlined:
    """Return a frame as it can be trained on, its cells numbered anew; raises ConfigError."""
    labels, where = frame.labels, f"the mask of {frame.name}"
    if labels.ndim != 2:
        raise ConfigError(
            f"{where} has several channels",
            found=f"an array of {' × '.join(map(str, labels.shape))}",
            remedy="save one number per cell in a single channel, 0 for background",
        )
    if labels.shape != frame.image.shape:
        raise ConfigError(
            f"{where} is of another size than the frame",
            found=f"{labels.shape[1]} × {labels.shape[0]} px for a frame of "
            f"{frame.image.shape[1]} × {frame.image.shape[0]} px",
            remedy="outline the cells in the frame itself, without scaling or cropping",
        )
    if labels.dtype.kind not in "iub" or (labels.size and int(labels.min()) < 0):
        raise ConfigError(
            f"{where} does not hold whole numbers from 0", found=str(labels.dtype),
            remedy="save one whole number per cell, 0 for background",
        )  # fmt: skip
    size = pixel_um or frame.pixel_um
    if size is None:
        raise ConfigError(
            f"{frame.name} does not say how large a pixel is",
            remedy="say it with --pixel-um, in µm",
        )
    if not 0 < size < 1e4:
        raise ConfigError(f"--pixel-um {size:g}: no length", remedy="give it in µm, above 0")
    values, numbers = np.unique(labels, return_inverse=True)
    numbers = numbers.reshape(labels.shape) + (values[0] != 0)
    image = check_frame(frame.image).image
    return replace(frame, image=image, labels=numbers.astype(np.int32), pixel_um=size)


def split(frames: list[Outlined], fold: int | None) -> tuple[list[Outlined], list[Outlined]]:
    """Return frames to train on, and those to score.

    Every fifth place is left out, from the `fold`-th on; of a single place the last fifth of its
    frames. None leaves out nothing. Raises ConfigError where no cell is left on either side.
    """
    if fold is None:
        return frames, []
    if len(frames) == 1:
        raise ConfigError(
            "one frame only: there is none to tell whether the training helped",
            remedy="outline cells in two frames at least, or train on all with --all",
        )
    places = list(dict.fromkeys(frame.place for frame in frames))
    if len(places) > 1:
        step = min(5, len(places))
        left = {place for n, place in enumerate(places) if n % step == fold % step}
        scored = [frame for frame in frames if frame.place in left]
    else:
        scored = frames[-max(1, len(frames) // 5) :]
    used = [frame for frame in frames if all(frame is not other for other in scored)]
    for what, part in (("to train on", used), ("to score", scored)):
        if not any(frame.labels.any() for frame in part):
            raise ConfigError(
                f"there is no cell in the frames {what}",
                found=", ".join(frame.name for frame in part)[:200],
                remedy="outline cells in more frames, or leave others out with --leave-out",
            )
    return used, scored


def lessons(frame: Outlined, about: Description) -> NDArray[np.float32]:
    """Return (5, Y, X) in the network's pixels: contrast, cell, contact, flow y, flow x."""
    assert frame.pixel_um is not None
    factor = frame.pixel_um / about.pixel_um
    height, width = (round(n * factor) for n in frame.image.shape)
    if min(height, width) < STEP or max(height, width) > MOST_SIDE:
        raise ConfigError(
            f"{frame.name}: {width} × {height} pixels of {about.pixel_um:g} µm are "
            f"{'too few' if min(height, width) < STEP else 'too many'} to train on",
            remedy="correct --pixel-um, or leave this frame out",
        )
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    image = cv2.resize(frame.image.astype(np.float32), (width, height), interpolation=how)
    names = frame.labels.astype(np.float32)
    labels = cv2.resize(names, (width, height), interpolation=cv2.INTER_NEAREST).astype(np.int32)
    side = odd_side(about.surroundings_um / about.pixel_um)
    seen, cell = normalise(image, side), (labels > 0).astype(np.float32)
    return np.stack([seen, cell, contacts(labels), *flow(labels)])


def flow(labels: NDArray[np.int32]) -> NDArray[np.float32]:
    """Return (2, Y, X): unit vectors (y, x) that lead each pixel of a cell to its middle.

    They are the gradient of heat that spreads from the middle and stays within the cell
    (Stringer et al. 2021).
    """
    field = np.zeros((2, *labels.shape), np.float32)
    for cell in np.unique(labels[labels > 0]):
        ys, xs = np.nonzero(labels == cell)
        y0, x0 = ys.min() - 1, xs.min() - 1
        ys, xs = ys - y0, xs - x0
        inside = np.zeros((ys.max() + 2, xs.max() + 2), np.float32)
        inside[ys, xs] = 1
        middle = np.argmin((ys - np.median(ys)) ** 2 + (xs - np.median(xs)) ** 2)
        heat = np.zeros_like(inside)
        for _ in range(2 * sum(inside.shape)):
            heat[ys[middle], xs[middle]] += 1
            heat = cv2.blur(heat, (3, 3), borderType=cv2.BORDER_CONSTANT) * inside
        slope = np.asarray(np.gradient(np.log1p(heat)), np.float32)
        slope /= np.linalg.norm(slope, axis=0) + 1e-12
        field[:, ys + y0, xs + x0] = slope[:, ys, xs]
    return field


def contacts(labels: NDArray[np.int32]) -> NDArray[np.float32]:
    """Return which pixels of cells are within two pixels of another cell."""
    square = np.ones((5, 5), np.uint8)
    high = cv2.dilate(labels.astype(np.float32), square)
    low = cv2.erode(np.where(labels > 0, labels, 1 << 20).astype(np.float32), square)
    return np.asarray((labels > 0) & ((high != labels) | (low != labels)), np.float32)


class Crops:
    """Random crops of frames: turned, mirrored, sheared, scaled, blurred, noisy, unevenly lit."""

    BATCH = 8

    def __init__(self, frames: list[NDArray[np.float32]], seed: int, side: int = 256):
        self._frames, self._rng, self._side = frames, np.random.default_rng(seed), side

    def batch(self) -> NDArray[np.float32]:
        """Return (N, 6, Y, X): what `lessons` has, and which pixels lie in the frame."""
        return np.stack([self._crop() for _ in range(self.BATCH)])

    def _crop(self) -> NDArray[np.float32]:
        rng, side = self._rng, self._side
        frame = self._frames[rng.integers(len(self._frames))]
        height, width = frame.shape[1:]
        for _ in range(6):  # three in four of them around a pixel of a cell
            y, x = rng.uniform(0, height), rng.uniform(0, width)
            if frame[1, int(y), int(x)] or rng.random() < 0.25:
                break
        scale, angle = np.exp(rng.uniform(np.log(0.65), np.log(1.5))), rng.uniform(0, 2 * np.pi)
        cos, sin = np.cos(angle), np.sin(angle)
        turn = np.array([[cos, -sin], [sin, cos]]) / scale @ np.diag([rng.choice([-1, 1]), 1])
        turn = turn @ (np.eye(2) + rng.normal(0, 0.08, (2, 2)))
        move = np.c_[turn, np.array([x, y]) - turn @ np.full(2, side / 2)]

        def cut(plane: NDArray[np.float32], how: int, beyond: int) -> NDArray[np.float32]:
            flags = how | cv2.WARP_INVERSE_MAP
            cut = cv2.warpAffine(plane, move, (side, side), flags=flags, borderMode=beyond)
            return np.asarray(cut, np.float32)

        known = cut(np.ones((height, width), np.float32), cv2.INTER_NEAREST, cv2.BORDER_CONSTANT)
        image = cut(frame[0], cv2.INTER_LINEAR, cv2.BORDER_REFLECT)
        truth = [cut(plane, cv2.INTER_NEAREST, cv2.BORDER_CONSTANT) for plane in frame[1:3]]
        planes = [cut(plane, cv2.INTER_LINEAR, cv2.BORDER_CONSTANT) for plane in frame[3:]]
        back = np.linalg.inv(turn)[::-1, ::-1]  # of (y, x)
        way = np.tensordot(back, np.stack(planes), 1)
        way /= np.linalg.norm(way, axis=0) + 1e-6
        return np.stack([self._spoil(image), *truth, *way, known]).astype(np.float32)

    def _spoil(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        rng = self._rng
        if rng.random() < 0.3:
            image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.2))
        image = image * np.exp(rng.uniform(-0.4, 0.4)) + rng.uniform(-0.1, 0.1)
        image = image + rng.normal(0, rng.uniform(0, 0.1), image.shape).astype(np.float32)
        if rng.random() < 0.3:
            coarse = rng.normal(0, 0.2, (4, 4)).astype(np.float32)
            image = image + cv2.resize(coarse, image.shape[::-1], interpolation=cv2.INTER_CUBIC)
        return np.asarray(np.clip(image, -3, 3), np.float32)
