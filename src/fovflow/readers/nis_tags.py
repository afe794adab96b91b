"""Private tags of TIFF files that Nikon NIS-Elements exports.

Known from files with published acquisition settings: tag 65325 is the time of the image in
milliseconds since the start of the experiment, 65326 the edge of a pixel in µm, 65329 the stage's
x, y, z in µm, and 65331 holds the metadata record of the ND2 format, in which ``bCalibrated``
says whether the pixel size means anything and ``dCalibration`` repeats it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

_TIME_MS, _PIXEL_UM, _STAGE, _RECORD = 65325, 65326, 65329, 65331
_DOUBLE = 12


@dataclass(frozen=True, slots=True)
class NisTags:
    """What the tags say; None where they say nothing that can be relied on.

    Attributes
    ----------
    seconds, pixel_um, x_um, y_um : float or None
    """

    seconds: float | None = None
    pixel_um: float | None = None
    x_um: float | None = None
    y_um: float | None = None


def read_nis_tags(page: Any) -> NisTags | None:
    """Read the tags of a page.

    Parameters
    ----------
    page : tifffile.TiffPage

    Returns
    -------
    NisTags or None
        None for pages of other origin: the record of the ND2 format must be there.
    """
    tags = page.tags
    if _RECORD not in tags or not isinstance(tags[_RECORD].value, bytes):
        return None
    record = tags[_RECORD].value
    if "SLxPictureMetadata".encode("utf-16-le") not in record[:256]:
        return None
    pixel = _double(tags, _PIXEL_UM)
    repeated = _field(record, "dCalibration", 6, "<d")
    calibrated = _field(record, "bCalibrated", 1, "<B")
    if not calibrated or pixel is None or pixel <= 0 or repeated != pixel:
        pixel = None
    time_ms = _double(tags, _TIME_MS)
    stage = tags[_STAGE].value if _STAGE in tags and tags[_STAGE].dtype == _DOUBLE else ()
    x, y = stage[:2] if isinstance(stage, tuple) and len(stage) >= 2 else (None, None)
    return NisTags(None if time_ms is None else time_ms / 1000, pixel, x, y)


def _double(tags: Any, code: int) -> float | None:
    if code not in tags or tags[code].dtype != _DOUBLE or tags[code].count != 1:
        return None
    return float(tags[code].value)


def _field(record: bytes, name: str, kind: int, form: str) -> float | None:
    """Return a number of the record: type, length of the name, name in UTF-16, value."""
    label = f"{name}\0".encode("utf-16-le")
    at = record.find(bytes([kind, len(label) // 2]) + label)
    if at < 0:
        return None
    try:
        return float(struct.unpack_from(form, record, at + 2 + len(label))[0])
    except struct.error:
        return None
