"""Which of both methods suits frames: what `fovflow init` writes and `fovflow try` proposes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fovflow.config.findings import FRAME_FINDINGS
from fovflow.errors import FovflowError
from fovflow.segmentation.frames import FrameStats

BOTH = ("logstd", "unet")
"""The methods that are compared; the first is taken where neither suits."""

MOST_FRAMES = 3
MOST_SIDE = 2048
"""Side of the middle of a frame that is looked at (pixels)."""
MOST_PIXELS = 1 << 27
"""Frames of more pixels are not read for this."""


@dataclass(frozen=True)
class Choice:
    """A method, and what it was chosen for."""

    method: str
    suits: bool
    """Whether more than half of its frames are without a flag of its own, and with cells."""
    reason: str


def choose(found: Mapping[str, Sequence[FrameStats]]) -> Choice:
    """Choose between the methods by what they say of the same frames.

    `found`: by method of `BOTH`. A flag that both raise is one of the frame and tells nothing. Of
    two methods that suit, the one with fewer flagged frames is taken, and ``unet`` where they are
    as many: on every set of real frames it is the better one (docs/accuracy.md).
    """
    words = {m: [_findings(stats) for stats in found[m]] for m in BOTH}
    common = [one & other for one, other in zip(*words.values(), strict=True)]
    own = {m: [w - c for w, c in zip(words[m], common, strict=True)] for m in BOTH}
    flagged = {m: sum(map(bool, own[m])) for m in BOTH}
    suits = {
        m: 2 * flagged[m] < len(common) and any(stats.n_objects for stats in found[m]) for m in BOTH
    }
    able = [m for m in BOTH if suits[m]]
    method = min(reversed(able), key=flagged.__getitem__) if able else BOTH[0]
    told = "; ".join(_told(m, found[m], own[m]) for m in BOTH)
    count = f"{len(common)} frame{'s' * (len(common) != 1)}"
    equal = len(able) == len(BOTH) and len(set(flagged.values())) == 1
    more = "; on real frames unet is the better one" if equal else ""
    reason = f"{'' if able else 'neither suits, '}tried on {count}: {told}{more}"
    return Choice(method, bool(able), reason)


def _findings(stats: FrameStats) -> frozenset[str]:
    return frozenset(stats.flag.split("; ")) & FRAME_FINDINGS.keys()


def _told(method: str, found: Sequence[FrameStats], own: Sequence[frozenset[str]]) -> str:
    """Return what a method says of the frames, in words that fit into a comment."""
    count = round(float(np.median([stats.n_objects for stats in found])))
    cells = f"{count} cell{'s' * (count != 1)}"
    scores = [s for stats in found if not math.isnan(s := getattr(stats, "domain", math.nan))]
    score = f", domain score {np.median(scores):.1f}" if scores else ""
    words = ", ".join(dict.fromkeys(word for each in own for word in sorted(each)))
    flags = f"{sum(map(bool, own))} flagged ({words})" if words else "none flagged"
    return f"{method} {cells}{score}, {flags}"


def choose_for(raws: Sequence[tuple[str, str | int | None]], pattern: Any = None) -> Choice:
    """Choose between the methods on a few frames of raw files.

    `raws`: path and phase-contrast channel of each. Frames are spread over files, FOVs and time; of
    large ones the middle is looked at.

    Raises FovflowError where this cannot be told: the channel or the size of a pixel is not known,
    frames are too large, not there or cannot be read.
    """
    from fovflow.segmentation import get_segmenter

    found: dict[str, list[FrameStats]] = {method: [] for method in BOTH}
    each = max(1, MOST_FRAMES // max(1, len(raws)))
    for path, phase in raws[:MOST_FRAMES]:
        images, pixel_um = _frames(path, phase, pattern, each)
        for method in BOTH:
            segmenters = (get_segmenter(method, pixel_um=pixel_um) for _ in images)
            found[method] += [s(image)[1] for s, image in zip(segmenters, images, strict=True)]
    return choose(found)


def _frames(
    path: str, phase: str | int | None, pattern: Any, count: int
) -> tuple[list[NDArray[Any]], float]:
    """Return a few frames of a file, and its pixel size."""
    from fovflow.copying import lacks_channel, read_plane
    from fovflow.readers import open_raw

    with open_raw(path, pattern=pattern) as raw:
        info = raw.info
        names = [channel.name for channel in info.channels]
        if phase is None and names != [""]:
            raise FovflowError("which channel is phase contrast is not known")
        if info.pixel_um is None:
            raise FovflowError("the size of a pixel is not known")
        if info.height * info.width > MOST_PIXELS:
            raise FovflowError("the frames are too large")
        c = names.index(phase) if isinstance(phase, str) else phase or 0
        fovs, frames = len(info.positions), info.n_frames
        steps = max(1, count - 1)
        places = [((fovs - 1) * k // steps, (frames - 1) * k // steps) for k in range(count)]
        there = [
            (p, t)
            for p, t in dict.fromkeys(places)
            if (p, t) not in info.missing and not lacks_channel(raw, p, t, c)
        ]
        if not there:
            raise FovflowError("the frames that were looked for were not acquired")
        images = [_middle(read_plane(raw, p, t, c)) for p, t in there]
    return images, info.pixel_um


def _middle(image: NDArray[Any]) -> NDArray[Any]:
    inner = tuple(
        slice((side - least) // 2, (side + least) // 2)
        for side, least in ((n, min(n, MOST_SIDE)) for n in image.shape)
    )
    return np.ascontiguousarray(image[inner])
