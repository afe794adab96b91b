"""Parameters of the segmentation methods."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field, Tag, model_validator

from fovflow.config.section import Plugin, Section, by_method


class ClassicSegment(Section):
    """Log-STD with fixed constants, for results comparable with earlier ones."""

    method: Literal["classic"] = Field("classic", description="Classic log-STD.")


class LogStdSegment(Section):
    """Log-STD of phase contrast, halos taken off, touching cells split."""

    method: Literal["logstd"] = Field("logstd", description="Log-STD, the default.")
    n_sigma: float = Field(
        4.0, ge=0, le=100, description="Threshold above the background's mode (its spreads)."
    )
    window_um: float = Field(
        2.0, ge=0, le=100, description="Window over which the log-STD is averaged (µm)."
    )
    close_um: float = Field(2.0, ge=0, le=100, description="Radius of the closing (µm).")
    open_um: float = Field(1.5, ge=0, le=100, description="Radius of the opening (µm).")
    halo_fraction: float = Field(
        0.3, ge=0, le=1, description="Brightness of a halo relative to the brightest ones (0 to 1)."
    )
    halo_um: float = Field(3.0, ge=0, le=100, description="Greatest width of a halo's foot (µm).")
    bright_um: float = Field(
        10.0,
        ge=0,
        le=1000,
        description="Bright regions that a square of this side fits into are cells (µm).",
    )
    background_um: float = Field(
        5.0, ge=0, le=1000, description="Blocks from which the surroundings' level is made (µm)."
    )
    outline_um: float = Field(
        2.0, ge=0, le=100, description="Growing back and smoothing of the outline (µm)."
    )
    min_contrast: float = Field(
        2.0,
        ge=0,
        le=100,
        description="Small objects fainter than this are debris (halo brightnesses).",
    )
    faint_area_um2: float = Field(
        500.0, ge=0, description="Area up to which faint objects are debris (µm²)."
    )
    min_area_um2: float = Field(50.0, ge=0, description="Least area of an object (µm²).")
    min_cut_area_um2: float = Field(
        12.0, ge=0, description="Least area of an object that the frame's border cuts (µm²)."
    )
    max_area_um2: float | None = Field(
        None, gt=0, description="Greatest area of an object (µm²); null for no limit."
    )
    max_hole_um2: float = Field(200.0, ge=0, description="Greatest hole that is filled (µm²).")
    split: bool = Field(True, description="Whether touching cells are split.")
    neck_ratio: float = Field(
        0.55, gt=0, le=1, description="Split where a neck is narrower than this part of both sides."
    )
    kept_neck_ratio: float = Field(
        0.9, gt=0, le=1, description="The same for what was apart in the frame before, if greater."
    )
    new_neck_ratio: float = Field(
        0.3, gt=0, le=1, description="The same for what was one in the frame before, if less."
    )
    min_radius_um: float = Field(
        6.0, ge=0, le=1000, description="Least inscribed radius of a part (µm)."
    )
    max_solidity: float = Field(
        0.92, ge=0, le=1, description="Objects more convex than this are left whole (0 to 1)."
    )
    memory: int = Field(
        5, ge=1, le=1000, description="Frames that steady the threshold; 1 for none (frames)."
    )


class ThresholdSegment(Section):
    """A grey-level threshold, for nuclear markers and other bright objects."""

    method: Literal["threshold"] = Field("threshold", description="Grey-level threshold.")
    rule: Literal["otsu", "li", "fixed"] = Field("otsu", description="How the threshold is found.")
    level: float | None = Field(
        None, allow_inf_nan=False, description="Threshold of the rule fixed (counts); else null."
    )
    dark: bool = Field(False, description="Whether objects are darker than the threshold.")
    smooth_um: float = Field(
        1.0, ge=0, le=100, description="Standard deviation of the Gaussian filter before it (µm)."
    )
    min_area_um2: float = Field(20.0, ge=0, description="Least area of an object (µm²).")
    min_cut_area_um2: float = Field(
        5.0, ge=0, description="Least area of an object that the frame's border cuts (µm²)."
    )
    max_area_um2: float | None = Field(
        None, gt=0, description="Greatest area of an object (µm²); null for no limit."
    )
    max_hole_um2: float = Field(100.0, ge=0, description="Greatest hole that is filled (µm²).")
    split: bool = Field(True, description="Whether touching objects are split.")
    neck_ratio: float = Field(
        0.75, gt=0, le=1, description="Split where a neck is narrower than this part of both sides."
    )
    kept_neck_ratio: float = Field(
        0.9, gt=0, le=1, description="The same for what was apart in the frame before, if greater."
    )
    min_radius_um: float = Field(
        2.0, ge=0, le=1000, description="Least inscribed radius of a part (µm)."
    )
    max_solidity: float = Field(
        0.97, ge=0, le=1, description="Objects more convex than this are left whole (0 to 1)."
    )

    @model_validator(mode="after")
    def _level_fits_rule(self) -> ThresholdSegment:
        if (self.rule == "fixed") != (self.level is not None):
            raise ValueError("rule fixed needs level, and no other rule takes one")
        return self


class CellposeSegment(Section):
    """A Cellpose network; needs the extra ``cellpose`` and its weights."""

    method: Literal["cellpose"] = Field("cellpose", description="Cellpose network.")
    model: str = Field("cyto3", min_length=1, description="Name of a model or path of its weights.")
    diameter_um: float | None = Field(
        None, gt=0, description="Mean diameter of a cell (µm); null for the network's estimate."
    )
    flow_threshold: float = Field(0.4, ge=0, description="The network's flow threshold.")
    cellprob_threshold: float = Field(0.0, description="The network's cell probability threshold.")
    min_area_um2: float = Field(100.0, ge=0, description="Least area of an object (µm²).")
    max_area_um2: float | None = Field(
        None, gt=0, description="Greatest area of an object (µm²); null for no limit."
    )
    use_gpu: bool = Field(False, description="Whether a graphics processor is used.")
    allow_download: bool = Field(False, description="Whether missing weights may be downloaded.")


class PluginSegment(Plugin):
    """A segmenter that another package brings."""


BUILTIN: dict[str, type[BaseModel]] = {
    "classic": ClassicSegment,
    "logstd": LogStdSegment,
    "threshold": ThresholdSegment,
    "cellpose": CellposeSegment,
}
"""The model of each method that the package brings."""


SegmentConfig = Annotated[
    Annotated[ClassicSegment, Tag("classic")]
    | Annotated[LogStdSegment, Tag("logstd")]
    | Annotated[ThresholdSegment, Tag("threshold")]
    | Annotated[CellposeSegment, Tag("cellpose")]
    | Annotated[PluginSegment, Tag("PluginSegment")],
    by_method(BUILTIN, "logstd", "PluginSegment"),
]
"""The ``segment`` section: its ``method`` chooses the model."""
