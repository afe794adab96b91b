"""The methods of the steps segment, correct and track, and the parameters of each.

A parameter stands here once: with its default, meaning, unit and bounds. The configuration is
checked against these classes, its documents are made from them, and kernels take them. Nothing
heavy is imported, so that planning loads no kernel and a job no more than it needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from fovflow.plugins import Bounds, Method, Registry, Sentences, Settings, setting
from fovflow.userfiles import user_file, user_path


@dataclass(frozen=True, kw_only=True)
class ClassicSegment(Settings):
    """Log-STD with fixed constants, for results comparable with earlier ones."""

    method: Literal["classic"] = setting("classic", "Classic log-STD.")


@dataclass(frozen=True, kw_only=True)
class LogStdSegment(Settings):
    """Log-STD of phase contrast, halos taken off, touching cells split."""

    method: Literal["logstd"] = setting("logstd", "Log-STD, the default.")
    n_sigma: float = setting(
        4.0, "Threshold above the background's mode (its spreads).", ge=0, le=100
    )
    window_um: float = setting(2.0, "Window over which the log-STD is averaged (µm).", ge=0, le=100)
    close_um: float = setting(2.0, "Radius of the closing (µm).", ge=0, le=100)
    open_um: float = setting(1.5, "Radius of the opening (µm).", ge=0, le=100)
    halo_fraction: float = setting(
        0.3, "Brightness of a halo relative to the brightest ones (0 to 1).", ge=0, le=1
    )
    halo_um: float = setting(3.0, "Greatest width of a halo's foot (µm).", ge=0, le=100)
    bright_um: float = setting(
        10.0, "Bright regions that a square of this side fits into are cells (µm).", ge=0, le=1000
    )
    background_um: float = setting(
        5.0, "Blocks from which the surroundings' level is made (µm).", ge=0, le=1000
    )
    outline_um: float = setting(
        2.0, "Growing back and smoothing of the outline (µm).", ge=0, le=100
    )
    min_contrast: float = setting(
        2.0, "Small objects fainter than this are debris (halo brightnesses).", ge=0, le=100
    )
    faint_area_um2: float = setting(500.0, "Area up to which faint objects are debris (µm²).", ge=0)
    min_area_um2: float = setting(50.0, "Least area of an object (µm²).", ge=0)
    min_cut_area_um2: float = setting(
        12.0, "Least area of an object that the frame's border cuts (µm²).", ge=0
    )
    max_area_um2: float | None = setting(
        None, "Greatest area of an object (µm²); null for no limit.", gt=0
    )
    max_hole_um2: float = setting(200.0, "Greatest hole that is filled (µm²).", ge=0)
    split: bool = setting(True, "Whether touching cells are split.")
    neck_ratio: float = setting(
        0.55, "Split where a neck is narrower than this part of both sides.", gt=0, le=1
    )
    kept_neck_ratio: float = setting(
        0.9, "The same for what was apart in the frame before, if greater.", gt=0, le=1
    )
    new_neck_ratio: float = setting(
        0.3, "The same for what was one in the frame before, if less.", gt=0, le=1
    )
    min_radius_um: float = setting(6.0, "Least inscribed radius of a part (µm).", ge=0, le=1000)
    max_solidity: float = setting(
        0.92, "Objects more convex than this are left whole (0 to 1).", ge=0, le=1
    )
    memory: int = setting(
        5, "Frames that steady the threshold; 1 for none (frames).", ge=1, le=1000
    )


@dataclass(frozen=True, kw_only=True)
class ThresholdSegment(Settings):
    """A grey-level threshold, for nuclear markers and other bright objects."""

    method: Literal["threshold"] = setting("threshold", "Grey-level threshold.")
    rule: Literal["otsu", "li", "fixed"] = setting("otsu", "How the threshold is found.")
    level: float | None = setting(
        None, "Threshold of the rule fixed (counts); else null.", allow_inf_nan=False
    )
    dark: bool = setting(False, "Whether objects are darker than the threshold.")
    smooth_um: float = setting(
        1.0, "Standard deviation of the Gaussian filter before it (µm).", ge=0, le=100
    )
    min_area_um2: float = setting(20.0, "Least area of an object (µm²).", ge=0)
    min_cut_area_um2: float = setting(
        5.0, "Least area of an object that the frame's border cuts (µm²).", ge=0
    )
    max_area_um2: float | None = setting(
        None, "Greatest area of an object (µm²); null for no limit.", gt=0
    )
    max_hole_um2: float = setting(100.0, "Greatest hole that is filled (µm²).", ge=0)
    split: bool = setting(True, "Whether touching objects are split.")
    neck_ratio: float = setting(
        0.75, "Split where a neck is narrower than this part of both sides.", gt=0, le=1
    )
    kept_neck_ratio: float = setting(
        0.9, "The same for what was apart in the frame before, if greater.", gt=0, le=1
    )
    min_radius_um: float = setting(2.0, "Least inscribed radius of a part (µm).", ge=0, le=1000)
    max_solidity: float = setting(
        0.97, "Objects more convex than this are left whole (0 to 1).", ge=0, le=1
    )

    def __post_init__(self) -> None:
        known = self.rule in ("otsu", "li", "fixed")
        if not known or (self.rule == "fixed") != (self.level is not None):
            raise ValueError(
                "rule is otsu, li or fixed; fixed needs level, and no other rule takes one"
            )


@dataclass(frozen=True, kw_only=True)
class UnetSegment(Settings):
    """A network trained on phase contrast, for cells that are flat, crowded or faint."""

    method: Literal["unet"] = setting("unet", "Trained network.")
    model: Annotated[str, Bounds(min_length=1, check=user_path)] | None = setting(
        None, "Path of an ONNX network with its JSON beside it; null for the package's own."
    )
    probability: float = setting(
        0.5, "Probability above which a pixel is one of a cell (0.01 to 0.99).", ge=0.01, le=0.99
    )
    min_area_um2: float = setting(100.0, "Least area of an object (µm²).", ge=0)
    min_cut_area_um2: float = setting(
        25.0, "Least area of an object that the frame's border cuts (µm²).", ge=0
    )
    max_area_um2: float | None = setting(
        None, "Greatest area of an object (µm²); null for no limit.", gt=0
    )


@dataclass(frozen=True, kw_only=True)
class CellposeSegment(Settings):
    """A Cellpose network; needs the extra ``cellpose`` and its weights."""

    method: Literal["cellpose"] = setting("cellpose", "Cellpose network.")
    model: Annotated[str, Bounds(min_length=1, check=user_path)] = setting(
        "cyto3", "Name of a model or path of its weights."
    )
    diameter_um: float | None = setting(
        None, "Mean diameter of a cell (µm); null for the network's estimate.", gt=0
    )
    flow_threshold: float = setting(0.4, "The network's flow threshold.", ge=0)
    cellprob_threshold: float = setting(0.0, "The network's cell probability threshold.")
    min_area_um2: float = setting(100.0, "Least area of an object (µm²).", ge=0)
    max_area_um2: float | None = setting(
        None, "Greatest area of an object (µm²); null for no limit.", gt=0
    )
    use_gpu: bool = setting(False, "Whether a graphics processor is used.")
    allow_download: bool = setting(False, "Whether missing weights may be downloaded.")


Counts = Annotated[float, Bounds(ge=0, allow_inf_nan=False)]
Path = Annotated[str, Bounds(min_length=1, check=user_file)]


@dataclass(frozen=True, kw_only=True)
class _Correction(Settings):
    dark: Counts | Path = setting(
        0.0, "Dark level in counts, or the path of a dark frame (npy or TIFF, Y × X)."
    )
    flat_field: Literal["estimate"] | Path | None = setting(
        None,
        "Flat-field: null for none, estimate to make one from the background of all "
        "frames and FOVs of a dataset, or the path of one (npy or TIFF, Y × X).",
    )
    bleach: Literal["none", "exponential"] = setting(
        "none",
        "Bleaching: exponential multiplies each frame by the inverse of a decay that "
        "is fitted to the background level; valid only where that level would else be constant.",
        of_step=True,
    )
    dilation_um: float | None = setting(
        None,
        "Distance around cells that does not count as background (µm); null is 10 px.",
        ge=0,
        allow_inf_nan=False,
    )


@dataclass(frozen=True, kw_only=True)
class _TiledCorrection(_Correction):
    tile_px: int = setting(
        256, "Tile size (px): shading on shorter distances is not followed.", ge=8
    )
    tile_um: float | None = setting(
        None, "Tile size (µm); overrides tile_px where it is given.", gt=0, allow_inf_nan=False
    )


@dataclass(frozen=True, kw_only=True)
class TilesCorrect(_TiledCorrection):
    """A smooth surface through tiles, refined on clean pixels; right up to the border."""

    method: Literal["tiles"] = setting("tiles", "Smooth surface, the default.")


@dataclass(frozen=True, kw_only=True)
class ClassicCorrect(_TiledCorrection):
    """Cubic spline through half-overlapping tile medians; frames above 512 × 512 px only."""

    method: Literal["classic"] = setting("classic", "Spline through tile medians.")


@dataclass(frozen=True, kw_only=True)
class ConstantCorrect(_Correction):
    """One level per frame: the median of the pixels away from cells."""

    method: Literal["constant"] = setting("constant", "One level per frame.")


@dataclass(frozen=True, kw_only=True)
class NoCorrect(_Correction):
    """No background is subtracted."""

    method: Literal["none"] = setting("none", "Nothing is subtracted.")


@dataclass(frozen=True, kw_only=True)
class ClassicTrack(Settings):
    """Bounding boxes of consecutive frames; only the cells of the first frame are followed."""

    method: Literal["classic"] = setting("classic", "Bounding-box tracking.")
    min_iou: float = setting(
        0.1, "Least IoU of two bounding boxes that may be linked (0 to 1).", ge=0, le=1
    )


@dataclass(frozen=True, kw_only=True)
class IouTrack(Settings):
    """Overlap of the masks, with gaps, divisions and drift."""

    method: Literal["iou"] = setting("iou", "Mask overlap tracking, the default.")
    min_iou: float = setting(0.1, "Least IoU of two masks that may be linked (0 to 1).", gt=0, le=1)
    max_gap: int = setting(
        3, "Most frames in a row in which a cell may be missed (frames).", ge=0, le=100
    )
    reach_um: float = setting(
        20.0,
        "Distance of a link without enough overlap where cells move little; where they "
        "move more, four typical steps (µm).",
        ge=0,
    )
    max_distance_um: float = setting(
        60.0, "Largest distance of such a link in any case (µm); 0 for no such links.", ge=0
    )
    fragments: bool = setting(
        True, "Whether pieces that come off a cell for a short time get its id."
    )
    divisions: bool = setting(True, "Whether divisions are looked for.")
    drift: bool = setting(True, "Whether a shift that most cells share is compensated.")
    max_drift_um: float = setting(
        50.0, "Largest shift per frame and axis that counts as drift (µm).", ge=0
    )


@dataclass(frozen=True, kw_only=True)
class LaptrackTrack(Settings):
    """Centroids linked by the laptrack package; needs the extra ``laptrack``."""

    method: Literal["laptrack"] = setting("laptrack", "Linear assignment by laptrack.")
    max_distance_um: float = setting(
        15.0, "Largest distance of centroids from frame to frame (µm).", gt=0
    )
    max_gap: int = setting(
        3, "Most frames in a row in which a cell may be missed (frames).", ge=0, le=100
    )
    gap_distance_um: float = setting(15.0, "Largest distance of centroids across a gap (µm).", gt=0)
    split_distance_um: float = setting(
        0.0, "Largest distance of a daughter from its parent (µm); 0 for none.", ge=0
    )


SEGMENTERS = Registry(
    "segmenters",
    {
        "classic": Method(
            "fovflow.segmentation.classic:ClassicSegmenter", ClassicSegment, False, 1
        ),
        "logstd": Method("fovflow.segmentation.logstd:LogStdSegmenter", LogStdSegment, True, 6),
        "threshold": Method(
            "fovflow.segmentation.threshold:ThresholdSegmenter", ThresholdSegment, True, 1
        ),
        "unet": Method("fovflow.segmentation.unet:UnetSegmenter", UnetSegment, True, 3),
        "cellpose": Method(
            "fovflow.segmentation.cellpose:CellposeSegmenter",
            CellposeSegment,
            True,
            1,
            ("network",),
        ),
    },
    Sentences(
        "segment: method {method} has no parameter {unknown}",
        "{known}",
        "use these parameters, or choose another method",
        bounds="segment: {method}",
    ),
)
"""Methods of the step segment."""

_IMAGES = ("dark", "flat_field")

CORRECTORS = Registry(
    "correctors",
    {
        "tiles": Method(
            "fovflow.background.tiles:TilesCorrection", TilesCorrect, False, 1, _IMAGES
        ),
        "classic": Method(
            "fovflow.background.classic:ClassicCorrection", ClassicCorrect, False, 1, _IMAGES
        ),
        "constant": Method(
            "fovflow.background.corrector:ConstantCorrection", ConstantCorrect, False, 1, _IMAGES
        ),
        "none": Method("fovflow.background.corrector:NoCorrection", NoCorrect, False, 1, _IMAGES),
    },
    Sentences("correct: the method {method!r} has no parameter {first!r}", "", "it has {known}"),
)
"""Methods of the step correct; their kernels check values when they turn lengths into pixels."""

TRACKERS = Registry(
    "trackers",
    {
        "classic": Method("fovflow.tracking.classic:ClassicTracker", ClassicTrack, False, 1),
        "iou": Method("fovflow.tracking.iou:IouTracker", IouTrack, True, 3),
        "laptrack": Method("fovflow.tracking.laptrack:LapTracker", LaptrackTrack, True, 1),
    },
    Sentences(
        "tracking by {method} has no parameter {first!r}",
        "{unknown}",
        "its parameters are: {known}",
        bounds="tracking by {method}",
    ),
)
"""Methods of the step track."""

EXTRACT_REVISION = 3
"""Rises whenever the same input would give other traces."""

QC_REVISION = 4
"""Rises whenever the same traces would get other verdicts."""
