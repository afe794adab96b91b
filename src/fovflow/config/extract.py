"""Parameters of step 5: which features are measured, and which rows are good."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator
from pydantic_core.core_schema import ValidationInfo

from fovflow.config.features import DEFAULT_FEATURES, find_features
from fovflow.config.findings import NOTE, REJECT
from fovflow.config.section import NotNegative, Part, Positive, Section, Share
from fovflow.errors import ConfigError


class FeaturesConfig(Section):
    """Which features are computed, by name; their definitions are in the documentation."""

    pc: tuple[str, ...] = Field(
        DEFAULT_FEATURES["pc"],
        description="Features of the phase-contrast channel: area (px), aspect_ratio, circularity, "
        "perimeter (px), eccentricity, orientation (degrees), major_axis (px), minor_axis (px), "
        "equivalent_diameter (px), extent, convex_area (px), solidity, phase_mean (counts), "
        "phase_std (counts), sharpness, edge_distance (px), phase_gradient (counts), "
        "phase_entropy, or a plug-in's.",
    )
    fl: tuple[str, ...] = Field(
        DEFAULT_FEATURES["fl"],
        description="Features of each fluorescence channel: intensity_total, intensity_mean, "
        "intensity_median, intensity_min, intensity_max, intensity_std, raw_total, raw_mean, "
        "background_mean (all in counts), saturated_fraction, invalid_fraction, intensity_px "
        "(px), intensity_cv, intensity_skewness, intensity_entropy, rim_ratio, ratio_to_2 (or "
        "another channel: ratio of the sums, as for FRET), or a plug-in's.",
    )

    @field_validator("pc", "fl")
    @classmethod
    def _check_names(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        try:
            find_features("pc" if info.field_name == "pc" else "fl", value)
        except ConfigError as error:
            found = f" (known: {error.found})" if error.found else ""
            raise ValueError(f"{error.message}{found}; {error.remedy}") from error
        return value


class ExtractConfig(Section):
    """Step 5: features of each cell in each frame."""

    features: FeaturesConfig = Field(
        FeaturesConfig(), description="Features by channel kind: {pc: [...], fl: [...]}."
    )
    erosion_px: int = Field(
        0,
        ge=0,
        le=1000,
        description="Distance in pixels from a cell's outline within which its pixels are left "
        "out of intensities; shapes are not affected.",
    )
    background_weight: float = Field(
        1.0,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="Share of the background that is subtracted, 0 to 1: intensity = raw - weight "
        "* (raw - corrected).",
    )
    saturation: Positive | dict[int, Positive] | None = Field(
        None,
        description="Counts from which a pixel is saturated, one number or a mapping of channel "
        "index to number (4095 for a 12-bit camera); null is the greatest value of the raw dtype, "
        "or the count at which the cells' pixels pile up below it.",
    )


Rule = Literal[
    "min_frames", "border", "saturation", "invalid", "area_jump", "merge", "frame", "focus", "size",
    "debris", "ragged", "low_confidence", "fast", "gap", "lineage", "bleaching",
    "decay", "shading", "dim", "light", "crowded",
]  # fmt: skip

_CLASSIC: dict[str, Any] = {
    "reject": ("min_frames", "border"),
    "note": (),
    "verdict": "cell",
    "min_frames": 30,
    "min_frames_fraction": None,
    "border_px": 50.0,
    "border_um": None,
    "border_measure": "centroid",
    "rejoin_gap": 0,
}


class QcConfig(Section):
    """Rules that decide which rows of the traces are good."""

    preset: Literal["default", "classic"] = Field(
        "default",
        description="Where values come from that are not given: the defaults here, or classic: a "
        "cell is good when it is found in 30 frames and its centroid never is within 50 px of the "
        "frame's border.",
    )
    reject: tuple[Rule, ...] = Field(
        REJECT,
        description="Rules that make rows bad; their names stand in the column flags.",
    )
    note: tuple[Rule, ...] = Field(
        NOTE,
        description="Rules whose names stand in flags without making a row bad.",
    )
    verdict: Literal["row", "cell"] = Field(
        "row", description="row: a rule makes the rows bad where it holds; cell: the whole cell."
    )
    min_frames: int = Field(
        30, ge=1, description="Rule min_frames: good frames that a cell needs (frames)."
    )
    min_frames_fraction: Part | None = Field(
        0.5,
        description="Rule min_frames: share of the movie's frames that is enough where it is fewer "
        "than min_frames, so that short movies keep their cells; null for no such share.",
    )
    border_px: NotNegative = Field(
        2.0, description="Rule border: rows closer than this to the frame's border (pixels)."
    )
    border_um: NotNegative | None = Field(
        None, description="Rule border: the same in µm; wins over border_px where given."
    )
    border_measure: Literal["box", "centroid"] = Field(
        "box", description="Rule border: whether the bounding box or the centroid is measured."
    )
    max_saturated_fraction: Share = Field(
        0.01, description="Rule saturation: share of a cell's pixels that may be saturated."
    )
    max_invalid_fraction: Share = Field(
        0.0, description="Rule invalid: share of a cell's pixels that may be NaN or infinite."
    )
    area_jump_ratio: float = Field(
        1.5,
        gt=1,
        allow_inf_nan=False,
        description="Rule area_jump: ratio to the median area around above which, or below the "
        "inverse of which, a row is flagged.",
    )
    area_jump_window: int = Field(
        9, ge=3, le=999, description="Rule area_jump: rows around that are compared (rows)."
    )
    merge_gain: float = Field(
        0.5,
        gt=0,
        le=10,
        description="Rule merge: growth, as a share of a lost neighbour's area, that shows a "
        "merge.",
    )
    rejoin_gap: int = Field(
        3,
        ge=0,
        le=100,
        description="Rule min_frames: ids that break for at most so many frames and go on nearby "
        "count together (frames); not where the verdict is per cell.",
    )
    foreground_jump: float = Field(
        1.5,
        gt=1,
        description="Rule frame: ratio to the frames around by which the area of all cells may "
        "differ, besides what the segmentation flags.",
    )
    focus_ratio: Part = Field(
        0.3,
        description="Rule focus: share of the sharpness of the movie's sharpest frames below which "
        "a frame is flagged.",
    )
    size_ratio: float = Field(
        2.8,
        gt=1,
        description="Rule size: ratio to the median area of the movie above which, or below the "
        "inverse of which, a row is flagged.",
    )
    debris_share: Share = Field(
        0.15,
        description="Rule debris: share of the way of the movie's other objects below which an "
        "object is at rest.",
    )
    min_confidence: Share = Field(
        0.5,
        description="Rule low_confidence: probability of a link below which it is doubtful; not "
        "used with track.method classic, which tells none.",
    )
    max_step_radii: float = Field(
        0.7,
        gt=0,
        description="Rule fast: typical step from frame to frame above which a movie is flagged "
        "(radii of a cell).",
    )
    max_shading: float = Field(
        0.12,
        gt=0,
        description="Rule shading: change of the background from the frame's centre to its corners "
        "above which a movie is flagged, as a share of the background.",
    )
    ragged_sharpness: Share = Field(
        0.7,
        description="Rule ragged: share of the movie's median sharpness below which one is pale.",
    )
    ragged_solidity: Share = Field(
        0.8, description="Rule ragged: solidity below which a pale object is flagged."
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_from_preset(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("preset") == "classic":
            return {**_CLASSIC, **values}
        return values

    @model_validator(mode="after")
    def _check_rules(self) -> QcConfig:
        named = [*self.reject, *self.note]
        twice = sorted({name for name in named if named.count(name) > 1})
        if twice:
            raise ValueError(f"each rule once, in reject or in note: {twice[0]} stands twice")
        return self

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments of `fovflow.quality.judge`."""
        return self.model_dump(exclude={"preset"})
