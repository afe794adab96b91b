"""Segmentation: images to one id per cell and frame."""

from fovflow.segmentation.protocol import FrameStats, Segmenter
from fovflow.segmentation.registry import get_segmenter, segment_stack

__all__ = ["FrameStats", "Segmenter", "get_segmenter", "segment_stack"]
