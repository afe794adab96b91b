"""Segmenters by name, and the segmentation of whole stacks."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fovflow.errors import ConfigError, FovflowError
from fovflow.plugins import find
from fovflow.segmentation.cellpose import CellposeSegmenter
from fovflow.segmentation.classic import ClassicSegmenter
from fovflow.segmentation.logstd import LogStdSegmenter
from fovflow.segmentation.objects import Labels, number_objects
from fovflow.segmentation.protocol import FrameStats, Segmenter
from fovflow.segmentation.threshold import ThresholdSegmenter

BUILTIN: dict[str, Any] = {
    "classic": ClassicSegmenter,
    "logstd": LogStdSegmenter,
    "threshold": ThresholdSegmenter,
    "cellpose": CellposeSegmenter,
}
"""The methods that the package brings."""

NEEDS_PIXEL_SIZE: dict[str, bool] = {
    "classic": False,
    "logstd": True,
    "threshold": True,
    "cellpose": True,
}
"""Whether a built-in method needs `pixel_um`."""

ALGORITHM_REVISION: dict[str, int] = {"classic": 1, "logstd": 3, "threshold": 1, "cellpose": 1}
"""Rises whenever a method's output changes for the same input; a trigger for running again."""


def get_segmenter(method: str, *, pixel_um: float | None, **params: Any) -> Segmenter:
    """Return a segmenter for the frames of one FOV.

    Parameters
    ----------
    method : str
        ``classic``, ``logstd``, ``threshold``, ``cellpose`` or a plug-in's name (entry point
        group ``fovflow.segmenters``: a callable that takes `pixel_um` and its own parameters as
        keywords and returns a segmenter).
    pixel_um : float or None
        Edge length of a pixel (µm); see `NEEDS_PIXEL_SIZE`.
    **params
        The method's own parameters.

    Raises
    ------
    ConfigError
        For unknown methods and parameters, for values out of range, for a missing pixel size.
    """
    factory = find("segmenters", method, BUILTIN)
    if method not in BUILTIN:
        return CheckedSegmenter(method, factory(pixel_um=pixel_um, **params))
    known = _parameters(factory)
    unknown = sorted(set(params) - known)
    if unknown:
        raise ConfigError(
            f"segment: method {method} has no parameter {', '.join(unknown)}",
            found=", ".join(sorted(known)) or "none",
            remedy="use these parameters, or choose another method",
        )
    segmenter: Segmenter = (
        factory(pixel_um=pixel_um, **params) if NEEDS_PIXEL_SIZE[method] else factory(**params)
    )
    return segmenter


def segment_stack(
    stack: NDArray[Any],
    *,
    method: str = "logstd",
    pixel_um: float | None = None,
    missing: Collection[int] = (),
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
        for found, _ in segment_frames(segmenter, stack, absent):
            labels[t] = found
            t += 1
    except FovflowError as error:
        raise type(error)(
            f"frame {t}: {error.message}", found=error.found, remedy=error.remedy
        ) from error
    return labels


def segment_frames(
    segmenter: Segmenter, images: Iterable[NDArray[Any]], missing: Iterable[bool]
) -> Iterator[tuple[Labels, FrameStats | None]]:
    """Segment frames one by one.

    Parameters
    ----------
    segmenter : Segmenter
    images : iterable of numpy.ndarray
        (Y, X) frames of one FOV, in their order.
    missing : iterable of bool
        Whether each was never acquired.

    Yields
    ------
    labels : numpy.ndarray
        (Y, X) uint16, empty for a missing frame.
    stats : FrameStats or None
        None for a missing frame.
    """
    for image, absent in zip(images, missing, strict=True):
        yield (np.zeros(image.shape, np.uint16), None) if absent else segmenter(image)


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


def _parameters(factory: Any) -> set[str]:
    code = factory.__init__.__code__
    names = code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount]
    return set(names) - {"pixel_um"}
