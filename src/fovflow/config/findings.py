"""What may be wrong with frames and movies: the word that flags it, and a sentence with a remedy.

Segmenters flag frames by these words, the quality rules flag rows; reports say the sentences.
"""

from __future__ import annotations

from typing import Final

FRAME_FINDINGS: dict[str, str] = {
    "saturated": "the phase contrast is saturated; expose it shorter",
    "all foreground": "the whole frame counts as cells; choose another method for segment",
    "no clear background": "cells cover nearly the whole frame, so that logstd knows no "
    "background; try method unet (fovflow try)",
    "coarse levels": "many pixels equal all their neighbours, as in frames with too few grey "
    "levels; record with more bits, and without lossy compression",
    "compressed": "the frames show blocks of lossy compression (JPEG); take the original frames",
    "faint": "the contrast of the cells is too low for the noise; expose longer, or try method "
    "unet (fovflow try)",
    "bright halos": "the halos are stronger than the cells are dark, as those of flat cells, of "
    "which logstd finds pieces; try method unet (fovflow try)",
    "small cells": "the objects are too small for logstd to outline; check pixel_um, set a smaller "
    "window_um, or segment with another method",
    "large cells": "the objects are too large for logstd to outline as wholes; check pixel_um, set "
    "a larger bright_um, or try method unet (fovflow try)",
    "spread cells": "the texture beside the outlines is still that of cells, as around spread "
    "ones, of which logstd finds the middle; try method unet (fovflow try)",
    "unfamiliar": "the network is unsure of much of what it sees, so that these are probably no "
    "cells of the kind that it was trained on; look at the outlines, check pixel_um and the "
    "channel, or segment with another method",
    "nothing recognised": "the network recognises no cells; where there are any, check pixel_um "
    "and the channel, or segment with another method",
}
"""Flags of frames in the segmentation's table whose rows are not good, by rule ``frame``."""

FRAME_NOTES: dict[str, str] = {
    "weak contrast": "the contrast of the cells is low for the noise: 2 to 7 % of the areas are "
    "more than 20 % off; look at the outlines, expose longer, or try method unet (fovflow try)",
    "wide cells": "the objects are nearly too large for logstd, which outlines them 10 % too small "
    "and some in part; set a larger bright_um, or try method unet (fovflow try)",
    "rough outlines": "the network is unsure where cells end: a quarter to a half of the areas are "
    "then more than 20 % off, and one in ten of the intensities; look at the outlines, and train "
    "the network further on some that you correct (fovflow train)",
}
"""Flags of frames whose rows may be good all the same."""

METHOD_NOTES: dict[str, str] = {
    "classic": "segmented by method classic, which is there to repeat older analyses: it outlines "
    "cells with their halo and joins those that are near one another, so that most areas are more "
    "than 20 % too large; for areas and counts try another method (fovflow try)",
}
"""What holds for every frame of a method of segmentation, see docs/accuracy.md."""

REJECT: Final = (
    "min_frames", "border", "saturation", "invalid", "area_jump", "merge", "frame", "focus", "size",
    "debris", "ragged", "low_confidence", "fast",
)  # fmt: skip
"""Quality rules that make rows bad by default."""

NOTE: Final = ("gap", "lineage", "bleaching", "decay", "shading", "dim", "light", "crowded")
"""Quality rules that are only noted by default."""
