"""The features that cells are measured by: what each is, and how it is found by name.

No array code is imported: a configuration that names features is checked without it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from fovflow.errors import ConfigError
from fovflow.plugins import find, load

if TYPE_CHECKING:
    import numpy as np

Kind = Literal["pc", "fl"]
_KINDS: tuple[Kind, Kind] = ("pc", "fl")


@dataclass(frozen=True, slots=True)
class Feature:
    """A named quantity of each cell in each frame.

    Attributes
    ----------
    name : str
        Its column is ``{name}_ch_{channel}``.
    kind : {"pc", "fl"}
        Whether it belongs to the phase-contrast channel (shapes too) or to each fluorescence
        channel.
    unit : str
        ``px``, ``counts``, ``degrees``, … and ``1`` for a pure number.
    description : str
        One line.
    function : callable or str
        Takes all cells of a frame, `PhaseCells` or `FluorescenceCells`, and returns (n,)
        numbers; or, with `per_cell`, takes one `Cell` and returns a number. Fluorescence
        functions per cell are not called for cells without a pixel that counts: these have NaN.
        It may be named as ``"module:function"``.
    per_cell : bool
    integer : bool
        Whether the column holds exact integers. A feature per cell with integers has 0 where it
        is not called.

    Examples
    --------
    >>> import numpy as np
    >>> Feature(
    ...     name="intensity_p90", kind="fl", unit="counts",
    ...     description="90th percentile of the intensity",
    ...     function=lambda cell: np.percentile(cell.values, 90), per_cell=True,
    ... ).name
    'intensity_p90'
    """

    name: str
    kind: Kind
    unit: str
    description: str
    function: Callable[[Any], Any] | str
    per_cell: bool = False
    integer: bool = False

    @property
    def dtype(self) -> type[np.int64] | type[np.float64]:
        """Type of the column."""
        import numpy as np

        return np.int64 if self.integer else np.float64


def _builtin(
    kind: Kind, name: str, unit: str, description: str, *, integer: bool = False
) -> Feature:
    function = f"fovflow.features.builtin:{name}"
    return Feature(name, kind, unit, description, function, integer=integer)


_BUILTIN = (
    _builtin("pc", "area", "px", "Number of pixels of the cell.", integer=True),
    _builtin(
        "pc", "perimeter", "px", "Length of the outline, Crofton estimate in four directions."
    ),
    _builtin("pc", "circularity", "1", "4π·area / perimeter², at most 1; a disk has 1."),
    _builtin("pc", "aspect_ratio", "1", "Major over minor axis of the ellipse of equal moments."),
    _builtin("pc", "eccentricity", "1", "Eccentricity of the ellipse of equal moments."),
    _builtin("pc", "orientation", "degrees", "Angle of the major axis to the x axis, towards +y."),
    _builtin("pc", "major_axis", "px", "Full major axis of the ellipse of equal moments."),
    _builtin("pc", "minor_axis", "px", "Full minor axis of the ellipse of equal moments."),
    _builtin("pc", "equivalent_diameter", "px", "Diameter of the disk of equal area."),
    _builtin("pc", "extent", "1", "Share of the bounding box that the cell fills."),
    _builtin("pc", "convex_area", "px", "Area of the convex hull of the pixels' corners."),
    _builtin("pc", "solidity", "1", "Area over convex area."),
    _builtin("pc", "phase_mean", "counts", "Mean of the phase-contrast frame in the cell."),
    _builtin("pc", "phase_std", "counts", "Standard deviation of the phase-contrast frame there."),
    _builtin(
        "pc",
        "sharpness",
        "1",
        "Mean squared difference of neighbouring phase pixels over the squared mean; falls out of "
        "focus.",
    ),
    _builtin("pc", "edge_distance", "px", "Bounding box to the nearest edge.", integer=True),
    _builtin("pc", "phase_gradient", "counts", "Mean length of the gradient of the phase frame."),
    _builtin("pc", "phase_entropy", "1", "Entropy of the phase-contrast counts, in bits."),
    _builtin("fl", "intensity_total", "counts", "Sum of the background-corrected intensity."),
    _builtin("fl", "intensity_mean", "counts", "Mean of the background-corrected intensity."),
    _builtin("fl", "intensity_median", "counts", "Median of the background-corrected intensity."),
    _builtin("fl", "intensity_min", "counts", "Least background-corrected intensity."),
    _builtin("fl", "intensity_max", "counts", "Greatest background-corrected intensity."),
    _builtin("fl", "intensity_std", "counts", "Standard deviation of the corrected intensity."),
    _builtin("fl", "intensity_cv", "1", "Standard deviation over the size of the mean."),
    _builtin("fl", "intensity_skewness", "1", "Third standardized moment of the intensity."),
    _builtin("fl", "intensity_entropy", "1", "Entropy of the corrected intensity, in bits."),
    _builtin("fl", "rim_ratio", "1", "Mean of the outermost pixels over the cell's mean."),
    _builtin("fl", "raw_total", "counts", "Sum of the raw counts."),
    _builtin("fl", "raw_mean", "counts", "Mean of the raw counts."),
    _builtin("fl", "background_mean", "counts", "Mean of the background under the cell."),
    _builtin("fl", "saturated_fraction", "1", "Share of pixels at or above the saturation level."),
    _builtin("fl", "invalid_fraction", "1", "Share of pixels that are NaN or infinite."),
    _builtin(
        "fl",
        "intensity_px",
        "px",
        "Number of pixels that the intensities are taken over.",
        integer=True,
    ),
)

FEATURES: dict[str, Feature] = {feature.name: feature for feature in _BUILTIN}
"""Built-in features by name; others come through the entry point group ``fovflow.features``."""

DEFAULT_FEATURES: dict[str, tuple[str, ...]] = {
    "pc": ("area", "aspect_ratio", "circularity", "perimeter", "eccentricity", "solidity",
           "sharpness"),
    "fl": ("intensity_total", "intensity_mean", "intensity_median", "intensity_max",
           "intensity_std", "background_mean", "saturated_fraction", "invalid_fraction"),
}  # fmt: skip
"""Features that are computed unless others are named."""


NO_INTENSITY = frozenset(
    {
        "background_mean",
        "saturated_fraction",
        "invalid_fraction",
        "intensity_px",
        "intensity_cv",
        "intensity_skewness",
        "intensity_entropy",
        "rim_ratio",
    }
)


def plotted_intensity(features: Sequence[str]) -> str | None:
    """Return the feature to plot: the total intensity, else the first that is an intensity."""
    if "intensity_total" in features:
        return "intensity_total"
    others = (name for name in features if ratio_channel(name) is None)
    return next((name for name in others if name not in NO_INTENSITY), None)


_RATIO = "ratio_to_"


def ratio_name(channel: int) -> str:
    """Return the name of the feature that is the ratio to another channel."""
    return f"{_RATIO}{channel}"


def ratio_channel(name: str) -> int | None:
    """Return the channel that a feature is the ratio to; None for other features."""
    index = name.removeprefix(_RATIO)
    return int(index) if index != name and index.isdecimal() and str(int(index)) == index else None


def check_ratios(names: Sequence[str], channels: Sequence[int]) -> None:
    """Raise ConfigError if a ratio is to a channel other than the fluorescence channels given."""
    for name in names:
        if (other := ratio_channel(name)) is not None and other not in channels:
            raise ConfigError(
                f"extract.features.fl: {name} needs the fluorescence channel {other}",
                found=", ".join(map(str, channels)) or "none",
                remedy="name a channel that is extracted",
            )


def _ratio(channel: int) -> Feature:
    def function(view: Any) -> Any:
        return load("fovflow.features.builtin:ratio")(view, channel)

    description = f"Sum of the corrected intensity over that of channel {channel}."
    return Feature(ratio_name(channel), "fl", "1", description, function)


def find_features(kind: Kind, names: Sequence[str]) -> tuple[Feature, ...]:
    """Return the features of these names, built-in or of plug-ins.

    Raises
    ------
    ConfigError
        If there is no such feature, if it is of the other kind, stands twice, or if the plug-in
        does not bring a `Feature` of that name.
    """
    found: list[Feature] = []
    for name in names:
        other = ratio_channel(name)
        feature = find("features", name, FEATURES) if other is None else _ratio(other)
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
        if feature.name in [each.name for each in found]:
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
    unknown = sorted(set(wanted) - set(_KINDS))
    if unknown:
        raise ConfigError(
            f"extract.features: there is no {unknown[0]!r}", found=", ".join(wanted),
            remedy="name features under pc and fl",
        )  # fmt: skip
    return {kind: find_features(kind, wanted.get(kind, DEFAULT_FEATURES[kind])) for kind in _KINDS}
