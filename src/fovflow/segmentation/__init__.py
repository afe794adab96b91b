"""Segmentation: images to one id per cell and frame."""

from fovflow.segmentation.frames import FrameStats, Segmenter
from fovflow.segmentation.stack import get_segmenter, segment_frames, segment_stack

__all__ = ["FrameStats", "Segmenter", "get_segmenter", "segment_frames", "segment_stack"]
