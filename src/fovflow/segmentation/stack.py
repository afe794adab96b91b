"""Segmenters by name, and the segmentation of whole stacks."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial
from numbers import Integral
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from fovflow.config.methods import SEGMENTERS
from fovflow.errors import ConfigError, FovflowError
from fovflow.parallel import in_order
from fovflow.segmentation.frames import FrameSegmenter, FrameStats, Segmenter
from fovflow.segmentation.masks import Labels, number_objects


def get_segmenter(method: str, *, pixel_um: float | None, **params: Any) -> Segmenter:
    """Return a segmenter for the frames of one FOV.

    Parameters
    ----------
    method : str
        ``classic``, ``logstd``, ``threshold``, ``cellpose`` or a plug-in's name (entry point
        group ``fovflow.segmenters``; see docs/algorithms/segmentation.md).
    pixel_um : float or None
        Edge length of a pixel (µm); all methods but ``classic`` need it.
    **params
        The method's own parameters; see `fovflow.config.methods`.

    Raises
    ------
    ConfigError
        For unknown methods and parameters, for values out of range, for a missing pixel size.
    """
    segmenter: Segmenter = SEGMENTERS.make(method, params, pixel_um=pixel_um)
    return segmenter if method in SEGMENTERS else CheckedSegmenter(method, segmenter)


def segment_stack(
    stack: NDArray[Any],
    *,
    method: str = "logstd",
    pixel_um: float | None = None,
    missing: Collection[int] = (),
    threads: int = 1,
    **params: Any,
) -> NDArray[np.uint16]:
    """Segment a stack frame by frame.

    Parameters
    ----------
    stack : numpy.ndarray
        (T, Y, X) uint8, uint16 or float32.
    method : str
        See `get_segmenter`.
    pixel_um : float, optional
        Edge length of a pixel (µm); all methods but ``classic`` need it.
    missing : collection of int
        Frames that were never acquired; their labels are empty.
    threads : int
        See `segment_frames`.
    **params
        The method's parameters.

    Returns
    -------
    numpy.ndarray
        (T, Y, X) uint16: 0 = background; in each frame ids 1..n in raster order of the objects'
        first pixels.

    Raises
    ------
    ConfigError
        See `get_segmenter`.
    FovflowError
        If the stack is no such array; if a frame gives more than 65535 objects.

    Examples
    --------
    >>> import numpy as np
    >>> stack = np.random.default_rng(0).poisson(100, (2, 64, 64)).astype(np.uint16)
    >>> int(segment_stack(stack, pixel_um=0.65).max())
    0
    """
    if stack.ndim != 3:
        raise FovflowError(
            "a stack to segment must be a (T, Y, X) array",
            found=f"shape {stack.shape}",
            remedy="give frames along the first axis",
        )
    segmenter = get_segmenter(method, pixel_um=pixel_um, **params)
    labels = np.zeros(stack.shape, np.uint16)
    absent = [t in missing for t in range(len(stack))]
    t = 0
    try:
        for found, _ in segment_frames(segmenter, stack, absent, threads):
            labels[t] = found
            t += 1
    except FovflowError as error:
        raise type(error)(
            f"frame {t}: {error.message}", found=error.found, remedy=error.remedy
        ) from error
    return labels


def segment_frames(
    segmenter: Segmenter,
    images: Iterable[NDArray[Any]],
    missing: Iterable[bool],
    threads: int = 1,
) -> Iterator[tuple[Labels, FrameStats | None]]:
    """Segment frames one by one.

    Parameters
    ----------
    segmenter : Segmenter
    images : iterable of numpy.ndarray
        (Y, X) frames of one FOV, in their order.
    missing : iterable of bool
        Whether each was never acquired.
    threads : int
        How many frames are at work at once, with the same result; segmenters that take one frame
        at a time, as plug-ins do, need no more than one.

    Yields
    ------
    labels : numpy.ndarray
        (Y, X) uint16, empty for a missing frame.
    stats : FrameStats or None
        None for a missing frame.

    Raises
    ------
    ConfigError
        If `threads` is no whole number above 0.
    """
    if not isinstance(threads, Integral) or threads < 1:
        raise ConfigError(
            "segmentation: threads must be a whole number above 0",
            found=repr(threads),
            remedy="give 1, or as many as there are cores",
        )

    def tasks() -> Iterator[Callable[[], tuple[Labels, FrameStats | None]]]:
        for image, absent in zip(images, missing, strict=True):
            if absent:
                yield partial(_nothing, image.shape)
            else:
                yield partial(segmenter.next_frame() if takes_many(segmenter) else segmenter, image)

    return in_order(tasks(), threads if takes_many(segmenter) else 1)


def takes_many(segmenter: object) -> TypeGuard[FrameSegmenter]:
    """Tell whether a segmenter can be given several frames at once."""
    return isinstance(segmenter, FrameSegmenter) and segmenter.waits is not None


def _nothing(shape: tuple[int, int]) -> tuple[Labels, None]:
    return np.zeros(shape, np.uint16), None


class CheckedSegmenter:
    """A third party's segmenter whose labels are checked and numbered in raster order."""

    def __init__(self, method: str, segmenter: Segmenter):
        self.method = method
        self._segmenter = segmenter

    def __call__(self, image: NDArray[Any], *, missing: bool = False) -> tuple[Labels, FrameStats]:
        """Segment one (Y, X) frame."""
        if missing:
            return np.zeros(image.shape, np.uint16), FrameStats(flag="missing")
        labels, stats = self._segmenter(image)
        labels = np.asarray(labels)
        whole = labels.shape == image.shape and labels.dtype.kind in "biu"
        if not whole or (labels.size > 0 and int(labels.min()) < 0):
            raise FovflowError(
                f"the plug-in segmenter {self.method} did not return labels",
                found=f"shape {labels.shape}, dtype {labels.dtype} for a frame of {image.shape}",
                remedy="return whole numbers from 0, one per pixel of the frame",
            )
        if labels.dtype.kind == "b":
            labels = labels.astype(np.uint8)
        return number_objects(labels), stats
