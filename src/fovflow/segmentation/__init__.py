"""Segmentation: images to one id per cell and frame."""

from fovflow.segmentation.protocol import FrameStats, Segmenter
from fovflow.segmentation.registry import (
    ALGORITHM_REVISION,
    BUILTIN,
    NEEDS_PIXEL_SIZE,
    get_segmenter,
    segment_frames,
    segment_stack,
)

__all__ = [
    "ALGORITHM_REVISION",
    "BUILTIN",
    "FrameStats",
    "NEEDS_PIXEL_SIZE",
    "Segmenter",
    "get_segmenter",
    "segment_frames",
    "segment_stack",
]
