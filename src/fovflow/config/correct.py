"""Parameters of the background correction methods."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, Tag

from fovflow.config.section import Plugin, Section, by_method

Path = Annotated[str, Field(min_length=1)]
Counts = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Correction(Section):
    dark: Counts | Path = Field(
        0.0, description="Dark level in counts, or the path of a dark frame (npy or TIFF, Y × X)."
    )
    flat_field: Literal["estimate"] | Path | None = Field(
        None,
        description="Flat-field: null for none, estimate to make one from the background of all "
        "frames and FOVs of a dataset, or the path of one (npy or TIFF, Y × X).",
    )
    bleach: Literal["none", "exponential"] = Field(
        "none",
        description="Bleaching: exponential multiplies each frame by the inverse of a decay that "
        "is fitted to the background level; valid only where that level would else be constant.",
    )
    dilation_um: float | None = Field(
        None,
        ge=0,
        allow_inf_nan=False,
        description="Distance around cells that does not count as background (µm); null is 10 px.",
    )


class _TiledCorrection(_Correction):
    tile_px: int = Field(
        256, ge=8, description="Tile size (px): shading on shorter distances is not followed."
    )
    tile_um: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="Tile size (µm); overrides tile_px where it is given.",
    )


class TilesCorrect(_TiledCorrection):
    """A smooth surface through tiles, refined on clean pixels; right up to the border."""

    method: Literal["tiles"] = Field("tiles", description="Smooth surface, the default.")


class ClassicCorrect(_TiledCorrection):
    """Cubic spline through half-overlapping tile medians; frames above 512 × 512 px only."""

    method: Literal["classic"] = Field("classic", description="Spline through tile medians.")


class ConstantCorrect(_Correction):
    """One level per frame: the median of the pixels away from cells."""

    method: Literal["constant"] = Field("constant", description="One level per frame.")


class NoCorrect(_Correction):
    """No background is subtracted."""

    method: Literal["none"] = Field("none", description="Nothing is subtracted.")


class PluginCorrect(Plugin):
    """A corrector that another package brings."""


_BUILTIN = ("tiles", "classic", "constant", "none")


CorrectConfig = Annotated[
    Annotated[TilesCorrect, Tag("tiles")]
    | Annotated[ClassicCorrect, Tag("classic")]
    | Annotated[ConstantCorrect, Tag("constant")]
    | Annotated[NoCorrect, Tag("none")]
    | Annotated[PluginCorrect, Tag("PluginCorrect")],
    by_method(_BUILTIN, "tiles", "PluginCorrect"),
]
"""The ``correct`` section: its ``method`` chooses the model."""
