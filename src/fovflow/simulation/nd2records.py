"""What the metadata chunks of an ND2 file say: attributes, loops, channels."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

from fovflow.errors import ConfigError
from fovflow.simulation.litevariant import Signed
from fovflow.simulation.source import Source

_TIME_LOOP, _POSITION_LOOP, _PHASES_LOOP = 1, 2, 8
_NO_COMPRESSION = Signed(2)
_JULIAN_DAY = 2460310.5  # 2024-01-01 00:00 UT
_CAMERA, _FLUORESCENCE, _PHASE = 0x0100, 0x0001, 0x0012  # phase contrast is bright field
Order = Literal["PT", "TP"]
Phases = Sequence[tuple[int, float]]

TEXT = {"TextInfoItem_5": "fovflow simulation", "TextInfoItem_9": "2024-01-01 00:00:00"}


def attributes(source: Source, written: int) -> dict[str, object]:
    """Return size and type of a frame, and how many frames the file holds."""
    _, _, c, y, x = source.shape
    bits = 8 * source.dtype.itemsize
    return {
        "uiWidth": x,
        "uiWidthBytes": x * c * source.dtype.itemsize,
        "uiHeight": y,
        "uiComp": c,
        "uiBpcInMemory": bits,
        "uiBpcSignificant": bits,
        "uiSequenceCount": written,
        "uiTileWidth": x,
        "uiTileHeight": y,
        "eCompression": _NO_COMPRESSION,
        "dCompressionParam": 0.0,
        "ePixelType": 1,
        "uiVirtualComponents": c,
    }


def loops(source: Source, order: Order, phases: Phases | None) -> dict[str, object] | None:
    """Return the nested loops, outermost first; None for a single frame without positions."""
    time, place = _time_loop(source, phases), _position_loop(source)
    both = [time, place] if order == "TP" else [place, time]
    loops = [loop for loop in both if loop is not None]
    for outer, inner in pairwise(loops):
        outer["uiNextLevelCount"] = 1
        outer["ppNextLevelEx"] = [inner]
    return loops[0] if loops else None


def _time_loop(source: Source, phases: Phases | None) -> dict[str, object] | None:
    count = source.shape[0]
    if phases is None:
        if count == 1:
            return None
        return {"eType": _TIME_LOOP, "uLoopPars": _period(count, source.period_s, 0.0)}
    if sum(n for n, _ in phases) != count:
        raise ConfigError("the counts of the phases do not sum to the number of frames")
    periods, start = [], 0.0
    for n, period_s in phases:
        periods.append(_period(n, period_s, start))
        start += n * period_s
    parameters = {
        "uiPeriodCount": len(periods),
        "uiCount": count,
        "pPeriod": periods,
        "pPeriodValid": bytes([1] * len(periods)),
    }
    return {"eType": _PHASES_LOOP, "uLoopPars": parameters}


def _period(count: int, period_s: float, start_s: float) -> dict[str, object]:
    return {
        "uiCount": count,
        "dStart": 1000.0 * start_s,
        "dPeriod": 1000.0 * period_s,
        "dDuration": 1000.0 * period_s * max(count - 1, 0),
    }


def _position_loop(source: Source) -> dict[str, object] | None:
    count = source.shape[1]
    if source.positions is None and count == 1:
        return None
    points: list[dict[str, object]] = []
    for x, y, name in source.positions or [(0.0, 0.0, None)] * count:
        point: dict[str, object] = {
            "dPosX": float(x),
            "dPosY": float(y),
            "dPosZ": 0.0,
            "dPFSOffset": 0.0,
        }
        points.append(point if name is None else {**point, "dPosName": name})
    parameters = {"uiCount": count, "bUseZ": False, "Points": points}
    return {"eType": _POSITION_LOOP, "uLoopPars": parameters}


def picture(source: Source) -> dict[str, object]:
    """Return calibration and channels."""
    planes = {f"a{c}": _plane(source, c) for c in range(len(source.channels))}
    return {
        "dTimeAbsolute": _JULIAN_DAY,
        "dTimeMSec": 0.0,
        "dXPos": 0.0,
        "dYPos": 0.0,
        "dZPos": 0.0,
        "bCalibrated": True,
        "dCalibration": source.pixel_um,
        "dAspect": 1.0,
        "dObjectiveMag": 10.0,
        "dObjectiveNA": 0.3,
        "dZoom": 1.0,
        "wsObjectiveName": "Plan 10x",
        "sPicturePlanes": {
            "uiCount": len(planes),
            "uiComponentCount": len(planes),
            "sPlaneNew": planes,
        },
    }


def _plane(source: Source, c: int) -> dict[str, object]:
    red, green, blue = source.color(c)
    color = blue << 16 | green << 8 | red
    name = source.channels[c]
    kind = _PHASE if name.lower().startswith("ph") else _FLUORESCENCE
    return {
        "uiCompCount": 1,
        "uiSampleIndex": 0,
        "uiModalityMask": kind | _CAMERA,
        "uiColor": color,
        "sDescription": name,
        "pFluorescentProbe": {"m_sName": name, "m_uiColor": color},
    }
