"""Parameters of the tracking methods."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ClassicTrack(_Model):
    """Bounding boxes of consecutive frames; only the cells of the first frame are followed."""

    method: Literal["classic"] = Field("classic", description="Bounding-box tracking.")
    min_iou: float = Field(
        0.1, ge=0, le=1, description="Least IoU of two bounding boxes that may be linked (0 to 1)."
    )


class IouTrack(_Model):
    """Overlap of the masks, with gaps, divisions and drift."""

    method: Literal["iou"] = Field("iou", description="Mask overlap tracking, the default.")
    min_iou: float = Field(
        0.1, gt=0, le=1, description="Least IoU of two masks that may be linked (0 to 1)."
    )
    max_gap: int = Field(
        3, ge=0, le=100, description="Most frames in a row in which a cell may be missed (frames)."
    )
    max_distance_um: float = Field(
        20.0,
        ge=0,
        description="Largest distance of a link without enough overlap (µm); 0 for no such links.",
    )
    divisions: bool = Field(True, description="Whether divisions are looked for.")
    drift: bool = Field(True, description="Whether a shift that most cells share is compensated.")
    max_drift_um: float = Field(
        50.0, ge=0, description="Largest shift per frame and axis that counts as drift (µm)."
    )


class LaptrackTrack(_Model):
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


class PluginTrack(_Model):
    """A tracker that another package brings."""

    method: str = Field(min_length=1, description="Name of the plug-in.")
    options: dict[str, Any] = Field(
        default_factory=dict, description="The plug-in's own parameters."
    )


_BUILTIN = ("classic", "iou", "laptrack")


def _branch(value: Any) -> str:
    """Return which model a method belongs to; no method means the default."""
    given = (
        value.get("method", "iou") if isinstance(value, Mapping) else getattr(value, "method", 0)
    )
    return str(given) if given in _BUILTIN else "PluginTrack"


TrackConfig = Annotated[
    Annotated[ClassicTrack, Tag("classic")]
    | Annotated[IouTrack, Tag("iou")]
    | Annotated[LaptrackTrack, Tag("laptrack")]
    | Annotated[PluginTrack, Tag("PluginTrack")],
    Discriminator(_branch),
]
"""The ``track`` section: its ``method`` chooses the model."""
