"""Parameters of step 5, extract."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator
from pydantic_core.core_schema import ValidationInfo

from fovflow.config.section import Section
from fovflow.errors import ConfigError

_PC = ("area", "aspect_ratio", "circularity", "perimeter", "eccentricity", "solidity", "sharpness")
_FL = (
    "intensity_total", "intensity_mean", "intensity_median", "intensity_max", "intensity_std",
    "background_mean", "saturated_fraction", "invalid_fraction",
)  # fmt: skip


Counts = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class FeaturesConfig(Section):
    """Which features are computed, by name; their definitions are in the documentation."""

    pc: tuple[str, ...] = Field(
        default=_PC,
        description="Features of the phase-contrast channel: area (px), aspect_ratio, circularity, "
        "perimeter (px), eccentricity, orientation (degrees), major_axis (px), minor_axis (px), "
        "equivalent_diameter (px), extent, convex_area (px), solidity, phase_mean (counts), "
        "phase_std (counts), sharpness, or a plug-in's.",
    )
    fl: tuple[str, ...] = Field(
        default=_FL,
        description="Features of each fluorescence channel: intensity_total, intensity_mean, "
        "intensity_median, intensity_min, intensity_max, intensity_std, raw_total, raw_mean, "
        "background_mean (all in counts), saturated_fraction, invalid_fraction, intensity_px "
        "(px), or a plug-in's.",
    )

    @field_validator("pc", "fl")
    @classmethod
    def _check_names(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        # Only named features are looked up: the defaults cost no import of the array code.
        from fovflow.features.registry import find_features

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
    saturation: Counts | dict[int, Counts] | None = Field(
        None,
        description="Counts from which a pixel is saturated, one number or a mapping of channel "
        "index to number (4095 for a 12-bit camera); null is the greatest value of the raw dtype.",
    )
