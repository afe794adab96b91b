"""The features that the package brings, and how features are found by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fovflow.errors import ConfigError
from fovflow.features import intensities, shapes
from fovflow.features.protocol import Feature, Kind
from fovflow.plugins import find

DEFAULT_FEATURES: dict[str, tuple[str, ...]] = {
    "pc": ("area", "aspect_ratio", "circularity", "perimeter", "eccentricity", "solidity",
           "sharpness"),
    "fl": ("intensity_total", "intensity_mean", "intensity_median", "intensity_max",
           "intensity_std", "background_mean", "saturated_fraction", "invalid_fraction"),
}  # fmt: skip
"""Features that are computed unless others are named."""

_PC: Kind = "pc"
_FL: Kind = "fl"

_BUILTIN = (
    Feature("area", _PC, "px", "Number of pixels of the cell.", shapes.area, integer=True),
    Feature("perimeter", _PC, "px", "Length of the outline, Crofton estimate in four directions.",
            shapes.perimeter),
    Feature("circularity", _PC, "1", "4π·area / perimeter², at most 1; a disk has 1.",
            shapes.circularity),
    Feature("aspect_ratio", _PC, "1", "Major over minor axis of the ellipse of equal moments.",
            shapes.aspect_ratio),
    Feature("eccentricity", _PC, "1", "Eccentricity of the ellipse of equal moments.",
            shapes.eccentricity),
    Feature("orientation", _PC, "degrees", "Angle of the major axis to the x axis, towards +y.",
            shapes.orientation),
    Feature("major_axis", _PC, "px", "Full major axis of the ellipse of equal moments.",
            shapes.major_axis),
    Feature("minor_axis", _PC, "px", "Full minor axis of the ellipse of equal moments.",
            shapes.minor_axis),
    Feature("equivalent_diameter", _PC, "px", "Diameter of the disk of equal area.",
            shapes.equivalent_diameter),
    Feature("extent", _PC, "1", "Share of the bounding box that the cell fills.", shapes.extent),
    Feature("convex_area", _PC, "px", "Area of the convex hull of the pixels' corners.",
            shapes.convex_area),
    Feature("solidity", _PC, "1", "Area over convex area.", shapes.solidity),
    Feature("phase_mean", _PC, "counts", "Mean of the phase-contrast frame in the cell.",
            shapes.phase_mean),
    Feature("phase_std", _PC, "counts", "Standard deviation of the phase-contrast frame there.",
            shapes.phase_std),
    Feature("sharpness", _PC, "1", "Mean squared difference of neighbouring phase pixels over the "
            "squared mean; falls out of focus.", shapes.sharpness),
    Feature("intensity_total", _FL, "counts", "Sum of the background-corrected intensity.",
            intensities.intensity_total),
    Feature("intensity_mean", _FL, "counts", "Mean of the background-corrected intensity.",
            intensities.intensity_mean),
    Feature("intensity_median", _FL, "counts", "Median of the background-corrected intensity.",
            intensities.intensity_median),
    Feature("intensity_min", _FL, "counts", "Least background-corrected intensity.",
            intensities.intensity_min),
    Feature("intensity_max", _FL, "counts", "Greatest background-corrected intensity.",
            intensities.intensity_max),
    Feature("intensity_std", _FL, "counts", "Standard deviation of the corrected intensity.",
            intensities.intensity_std),
    Feature("raw_total", _FL, "counts", "Sum of the raw counts.", intensities.raw_total),
    Feature("raw_mean", _FL, "counts", "Mean of the raw counts.", intensities.raw_mean),
    Feature("background_mean", _FL, "counts", "Mean of the background under the cell.",
            intensities.background_mean),
    Feature("saturated_fraction", _FL, "1", "Share of pixels at or above the saturation level.",
            intensities.saturated_fraction),
    Feature("invalid_fraction", _FL, "1", "Share of pixels that are NaN or infinite.",
            intensities.invalid_fraction),
    Feature("intensity_px", _FL, "px", "Number of pixels that the intensities are taken over.",
            intensities.intensity_px, integer=True),
)  # fmt: skip

FEATURES: dict[str, Feature] = {feature.name: feature for feature in _BUILTIN}
"""Built-in features by name; others come through the entry point group ``fovflow.features``."""


def find_features(kind: Kind, names: Sequence[str]) -> tuple[Feature, ...]:
    """Return the features of these names, built-in or of plug-ins.

    Raises
    ------
    ConfigError
        If there is no such feature, if it is of the other kind, stands twice, or if the plug-in
        does not bring a `Feature` of that name.
    """
    found = []
    for name in names:
        feature = find("features", name, FEATURES)
        if not isinstance(feature, Feature) or feature.name != name:
            raise ConfigError(
                f"the plug-in {name!r} brings no feature of that name",
                found=repr(feature),
                remedy=f"let its entry point be a fovflow.features.Feature(name={name!r}, …)",
            )
        if feature.kind != kind:
            raise ConfigError(
                f"extract.features.{kind}: {name!r} is a feature of the other channel kind",
                remedy=f"name it under extract.features.{feature.kind}",
            )
        if feature in found:
            raise ConfigError(
                f"extract.features.{kind}: {name!r} stands twice", remedy="name it once"
            )
        found.append(feature)
    return tuple(found)


def choose_features(wanted: Mapping[str, Sequence[str]]) -> dict[Kind, tuple[Feature, ...]]:
    """Return the wanted features per kind; a kind that is not named has its defaults.

    Raises
    ------
    ConfigError
        As `find_features`, and for a kind other than ``pc`` and ``fl``.
    """
    unknown = sorted(set(wanted) - {_PC, _FL})
    if unknown:
        raise ConfigError(
            f"extract.features: there is no {unknown[0]!r}", found=", ".join(wanted),
            remedy="name features under pc and fl",
        )  # fmt: skip
    return {
        kind: find_features(kind, wanted.get(kind, DEFAULT_FEATURES[kind])) for kind in (_PC, _FL)
    }
