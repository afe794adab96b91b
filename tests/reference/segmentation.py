"""Reference segmentation: phase contrast to one id per cell and frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy import ndimage

from reference.contrast import SteadyOffset
from reference.segmentation_logstd import LogStd, segment_frame

CROSS = ndimage.generate_binary_structure(2, 1)


@dataclass(frozen=True)
class Threshold:
    """What the histogram of the log standard deviation says about one frame."""

    mode: float
    sigma: float
    threshold: float


def local_variance(image: np.ndarray, size: int = 3) -> np.ndarray:
    """Population variance in a size x size window, the border mirrored about the pixel edge."""
    half = size // 2
    padded = np.pad(np.asarray(image, dtype=np.float64), half, mode="symmetric")
    windows = sliding_window_view(padded, (size, size))
    mean = windows.mean(axis=(-2, -1), keepdims=True)
    return ((windows - mean) ** 2).mean(axis=(-2, -1))


def log_std(image: np.ndarray, size: int = 3) -> np.ndarray:
    """Half the logarithm of the local variance, 0 where there is no variance."""
    variance = local_variance(image, size)
    result = np.zeros_like(variance)
    positive = variance > 0
    result[positive] = 0.5 * np.log(variance[positive])
    return result


def histogram_threshold(values: np.ndarray, bins: int = 200, n_sigma: float = 3.0) -> Threshold:
    """Mode + n sigma, sigma being the standard deviation of all values up to the mode."""
    counts, edges = np.histogram(values, bins=bins)
    first = int(np.argmax(counts))
    mode = 0.5 * (edges[first] + edges[first + 1])
    sigma = float(np.std(values[values <= mode])) if (values <= mode).any() else 0.0
    return Threshold(float(mode), sigma, float(mode + n_sigma * sigma))


def raster_labels(mask: np.ndarray, structure: np.ndarray = CROSS) -> np.ndarray:
    """Connected components numbered 1..n by their first pixel in raster order, uint16."""
    return relabel(ndimage.label(mask, structure=structure)[0])


def relabel(labels: np.ndarray) -> np.ndarray:
    """Renumber ids as 1..n in raster order of each id's first pixel, uint16."""
    ids, first = np.unique(labels, return_index=True)
    ids = ids[np.argsort(first)]
    ids = ids[ids != 0]
    new = np.zeros(int(labels.max()) + 1, dtype=np.uint16)
    new[ids] = np.arange(1, len(ids) + 1)
    return new[labels]


def classic_mask(image: np.ndarray) -> tuple[np.ndarray, Threshold]:
    """Foreground of one frame as the classic definition has it."""
    values = log_std(image)
    limit = histogram_threshold(values)
    mask = ndimage.binary_fill_holes(values > limit.threshold)
    return open_close(mask), limit


def open_close(mask: np.ndarray) -> np.ndarray:
    """Open, then close with three iterations of a 7 x 7 square, outside the frame background."""
    square = np.ones((7, 7), dtype=bool)
    erode, dilate = ndimage.binary_erosion, ndimage.binary_dilation
    # One by one: SciPy's own iterations write out of bounds where a frame is less than the square.
    for step in (*[erode] * 3, *[dilate] * 3, *[dilate] * 3, *[erode] * 3):
        mask = step(mask, structure=square)
    return mask


def segment_classic(stack: np.ndarray) -> tuple[np.ndarray, list[Threshold]]:
    """Segment (T, Y, X) frame by frame: labels (T, Y, X) uint16 and each frame's threshold."""
    frames = [classic_mask(image) for image in stack]
    labels = np.stack([raster_labels(mask) for mask, _ in frames])
    return labels, [limit for _, limit in frames]


def segment_logstd(
    stack: np.ndarray, *, pixel_um: float, **params: float | bool | None
) -> tuple[np.ndarray, list[dict[str, float]]]:
    """Segment (T, Y, X) in frame order: labels (T, Y, X) uint16 and each frame's threshold."""
    parameters = LogStd(pixel_um, **params)
    offset = SteadyOffset(parameters.memory)
    result = np.zeros(stack.shape, dtype=np.uint16)
    before = np.zeros(stack.shape[1:], dtype=np.uint16)
    numbers = []
    for t, image in enumerate(stack):
        labels, stats = segment_frame(image, parameters, offset, before)
        result[t] = relabel(labels)
        numbers.append(stats)
        if stats:
            before = result[t]
    return result, numbers


def segment_stack(
    stack: np.ndarray,
    *,
    method: str = "logstd",
    pixel_um: float | None = None,
    **params: float | bool | None,
) -> np.ndarray:
    """Labels (T, Y, X) uint16, with the signature of the fast function."""
    if method == "classic":
        return segment_classic(stack)[0]
    return segment_logstd(stack, pixel_um=pixel_um, **params)[0]
