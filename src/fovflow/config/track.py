"""Parameters of the tracking methods."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, Tag

from fovflow.config.section import Plugin, Section, by_method


class ClassicTrack(Section):
    """Bounding boxes of consecutive frames; only the cells of the first frame are followed."""

    method: Literal["classic"] = Field("classic", description="Bounding-box tracking.")
    min_iou: float = Field(
        0.1, ge=0, le=1, description="Least IoU of two bounding boxes that may be linked (0 to 1)."
    )


class IouTrack(Section):
    """Overlap of the masks, with gaps, divisions and drift."""

    method: Literal["iou"] = Field("iou", description="Mask overlap tracking, the default.")
    min_iou: float = Field(
        0.1, gt=0, le=1, description="Least IoU of two masks that may be linked (0 to 1)."
    )
    max_gap: int = Field(
        3, ge=0, le=100, description="Most frames in a row in which a cell may be missed (frames)."
    )
    reach_um: float = Field(
        20.0,
        ge=0,
        description="Distance of a link without enough overlap where cells move little; where they "
        "move more, four typical steps (µm).",
    )
    max_distance_um: float = Field(
        60.0,
        ge=0,
        description="Largest distance of such a link in any case (µm); 0 for no such links.",
    )
    fragments: bool = Field(
        True, description="Whether pieces that come off a cell for a short time get its id."
    )
    divisions: bool = Field(True, description="Whether divisions are looked for.")
    drift: bool = Field(True, description="Whether a shift that most cells share is compensated.")
    max_drift_um: float = Field(
        50.0, ge=0, description="Largest shift per frame and axis that counts as drift (µm)."
    )


class LaptrackTrack(Section):
    """Centroids linked by the laptrack package; needs the extra ``laptrack``."""

    method: Literal["laptrack"] = Field("laptrack", description="Linear assignment by laptrack.")
    max_distance_um: float = Field(
        15.0, gt=0, description="Largest distance of centroids from frame to frame (µm)."
    )
    max_gap: int = Field(
        3, ge=0, le=100, description="Most frames in a row in which a cell may be missed (frames)."
    )
    gap_distance_um: float = Field(
        15.0, gt=0, description="Largest distance of centroids across a gap (µm)."
    )
    split_distance_um: float = Field(
        0.0, ge=0, description="Largest distance of a daughter from its parent (µm); 0 for none."
    )


class PluginTrack(Plugin):
    """A tracker that another package brings."""


_BUILTIN = ("classic", "iou", "laptrack")


TrackConfig = Annotated[
    Annotated[ClassicTrack, Tag("classic")]
    | Annotated[IouTrack, Tag("iou")]
    | Annotated[LaptrackTrack, Tag("laptrack")]
    | Annotated[PluginTrack, Tag("PluginTrack")],
    by_method(_BUILTIN, "iou", "PluginTrack"),
]
"""The ``track`` section: its ``method`` chooses the model."""
