"""Traces of whole arrays, for notebooks and scripts."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fovflow.config.features import DEFAULT_FEATURES
from fovflow.errors import ConfigError
from fovflow.features.extractor import Channels, Extractor, Saturation, get_extractor

if TYPE_CHECKING:
    import pandas as pd


def extract_traces(
    labeled: NDArray[Any],
    phase: NDArray[Any] | None = None,
    raw: Mapping[int, NDArray[Any]] | None = None,
    corrected: Mapping[int, NDArray[Any]] | None = None,
    *,
    pc: int = 0,
    fov: int = 0,
    time: ArrayLike | None = None,
    missing: Collection[int] = (),
    features: Mapping[str, Sequence[str]] = DEFAULT_FEATURES,
    pixel_um: float | None = None,
    erosion_px: int = 0,
    background_weight: float = 1.0,
    saturation: Saturation = None,
) -> pd.DataFrame:
    """Measure all cells of one FOV.

    Parameters
    ----------
    labeled : numpy.ndarray
        (T, Y, X) of an integer dtype: one id per cell over time, 0 = background.
    phase : numpy.ndarray, optional
        (T, Y, X) phase-contrast stack. Without it `sharpness` and the like are left out of the
        default features.
    raw, corrected : mapping of int to numpy.ndarray, optional
        (T, Y, X) raw and background-corrected stacks by channel index; a channel without a
        corrected stack has its raw counts as intensities.
    pc : int
        Index of the phase-contrast channel, for the names of columns.
    fov : int
        Index of the FOV.
    time : array-like, optional
        (T,) time of each frame, in the unit that the table shall have.
    missing : collection of int
        Frames that were not acquired; they give no rows.
    features, pixel_um, erosion_px, background_weight, saturation
        See `get_extractor`.

    Returns
    -------
    pandas.DataFrame
        One row per cell and frame, sorted by cell, then frame; columns as in
        ``docs/algorithms/features.md``. `fovflow.quality.judge` fills `good` and `flags`.

    Raises
    ------
    FovflowError
        If stacks do not fit each other, or a feature is unknown or fails.
    """
    import pandas as pd

    raw, corrected = raw or {}, corrected or {}
    _check(labeled, phase, raw, corrected)
    if phase is None and features is DEFAULT_FEATURES:
        shapes = [name for name in features["pc"] if name != "sharpness"]
        features = {**features, "pc": shapes}
    frames = labeled.shape[0]
    extractor = get_extractor(
        fov=fov,
        pc=pc,
        fl=list(raw),
        time=np.full(frames, np.nan) if time is None else time,
        features=features,
        pixel_um=pixel_um,
        erosion_px=erosion_px,
        background_weight=background_weight,
        saturation=saturation,
    )
    views = (
        (
            labeled[t],
            None if phase is None else phase[t],
            {c: (raw[c][t], corrected[c][t] if c in corrected else None) for c in raw},
        )
        for t in range(frames)
    )
    return pd.DataFrame(measure_frames(extractor, views, [t in missing for t in range(frames)]))


def measure_frames(
    extractor: Extractor,
    frames: Iterable[tuple[NDArray[Any], NDArray[Any] | None, Channels]],
    missing: Iterable[bool],
) -> dict[str, Any]:
    """Measure the cells of frames one by one, and return the table; see `Extractor`.

    Parameters
    ----------
    extractor : Extractor
    frames : iterable of tuple
        Labels, phase contrast and (raw, corrected) by channel of each frame, in their order.
    missing : iterable of bool
        Whether each frame was never acquired: it gives no rows.
    """
    for t, (views, absent) in enumerate(zip(frames, missing, strict=True)):
        if not absent:
            extractor.add(t, *views)
    return extractor.finish()


def _check(
    labeled: NDArray[Any],
    phase: NDArray[Any] | None,
    raw: Mapping[int, NDArray[Any]],
    corrected: Mapping[int, NDArray[Any]],
) -> None:
    alone = sorted(set(corrected) - set(raw))
    if alone:
        raise ConfigError(
            f"channel {alone[0]} has a corrected stack but no raw one", remedy="give both stacks"
        )
    for name, stack in [("phase", phase), *raw.items(), *corrected.items()]:
        if stack is not None and (stack.ndim != 3 or stack.shape != labeled.shape):
            raise ConfigError(
                f"stack {name} does not fit the labels",
                found=f"{stack.shape}, labels {labeled.shape}",
                remedy="give (T, Y, X) stacks of one FOV",
            )
