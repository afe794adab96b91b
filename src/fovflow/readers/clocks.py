"""Times in the names of files: numbers of frames, clock times, elapsed times."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from fovflow.errors import FovflowError
from fovflow.readers.locate import natural_key

_NUMBER = re.compile(r"(\D*)(\d+)")
_ELAPSED = re.compile(
    r"(?:(\d+)d(?:ays?)?[-_ ]?)?(?:(\d+)h(?:ours?|rs?)?[-_ ]?)?(?:(\d+)m(?:in)?[-_ ]?)?"
    r"(?:(\d+(?:\.\d+)?)s(?:ec)?)?",
    re.IGNORECASE,
)
_INCUCYTE = re.compile(r"(\d{4})y(\d{2})m(\d{2})d_(\d{2})h(\d{2})m", re.IGNORECASE)
_FORMS = {4: "%H%M", 6: "%H%M%S", 8: "%y%m%d%H", 10: "%y%m%d%H%M", 12: "%Y%m%d%H%M"}
_FORMS[14] = "%Y%m%d%H%M%S"
_DAY_S = 86400.0
_TOLERANCE = 0.2
"""How far, in frames, a time may lie from the regular grid."""


@dataclass(frozen=True)
class NamedTimes:
    """The frame of each file, the seconds of frames where the names tell them, and a warning."""

    frames: list[int]
    seconds: dict[int, float]
    note: str = ""


def is_elapsed(text: str) -> bool:
    """Tell whether a text is a duration with its units, such as ``01d02h30m``."""
    match = _ELAPSED.fullmatch(text)
    return match is not None and any(match.groups())


def frames_of(texts: Sequence[str], form: str | None = None) -> NamedTimes:
    """Return the frames to which the times in names belong.

    Numbers that rise in steps leave a missing frame where one is absent; so do clock and elapsed
    times, whose seconds are kept. What fits neither is taken in natural order, and told. `form` is
    ``"d"`` for numbers, ``"elapsed"``, or a form of a clock such as ``"%Y%m%d%H%M"``.
    """
    distinct = sorted(set(texts), key=natural_key)
    numbers = _numbers(distinct)
    seconds = None
    if form not in (None, "d"):
        seconds = _clock(distinct, form)
        if seconds is None:
            raise FovflowError(
                f"the times in the names are not of the form {form!r}",
                found=", ".join(map(repr, distinct[:3])),
                remedy="change the pattern, or write {time} for any text",
            )
    elif len(distinct) > 1 and form is None and (numbers is None or _gaps(numbers)):
        seconds = _clock(distinct, None)
    if seconds is not None:
        return _timed(texts, dict(zip(distinct, seconds, strict=True)))
    order = {text: i for i, text in enumerate(distinct)}
    note = ""
    if numbers is not None and len(set(numbers)) == len(distinct) > 1:
        step = math.gcd(*(b - a for a, b in pairwise(sorted(numbers))))
        low = min(numbers)
        if (max(numbers) - low) // step < 2 * len(numbers):
            steps = ((n - low) // step for n in numbers)
            order = dict(zip(distinct, steps, strict=True))
        else:
            note = "The times in the names have large gaps; the files are taken in order."
    elif len(distinct) > 1:
        note = "The times in the names are no numbers; the files are taken in order."
    return NamedTimes([order[text] for text in texts], {}, note)


def _numbers(texts: Sequence[str]) -> list[int] | None:
    """Return the numbers of texts that are a number after the same word, else None."""
    matches = [_NUMBER.fullmatch(text) for text in texts]
    found = [match for match in matches if match is not None]
    same = len(found) == len(texts) and len({match[1] for match in found}) == 1
    return [int(match[2]) for match in found] if same else None


def _gaps(numbers: Sequence[int]) -> bool:
    return len({b - a for a, b in pairwise(sorted(numbers))}) > 1


def _clock(texts: Sequence[str], form: str | None) -> list[float] | None:
    """Return seconds since the first of clock or elapsed times; None if they are no such times."""
    if form is None or form == "elapsed":
        elapsed = [_ELAPSED.fullmatch(text.strip("_- ")) for text in texts]
        if all(match is not None and any(match.groups()) for match in elapsed):
            units = (_DAY_S, 3600.0, 60.0, 1.0)
            return [
                sum(float(n or 0) * unit for n, unit in zip(match.groups(), units, strict=True))
                for match in elapsed
                if match is not None
            ]
        if form is not None:
            return None
        texts = ["".join(match.groups()) if (match := _INCUCYTE.search(t)) else t for t in texts]
        texts = [re.sub(r"(?<=\d)[-_T:. ](?=\d)", "", text) for text in texts]
        lengths = {len(text) for text in texts}
        form = _FORMS.get(lengths.pop()) if len(lengths) == 1 else None
        if form is None or not all(text.isdecimal() for text in texts):
            return None
    try:
        moments = [datetime.strptime(text, form) for text in texts]
    except ValueError:
        return None
    first = min(moments)
    seconds = [(moment - first).total_seconds() for moment in moments]
    return seconds if "%d" in form or len(seconds) < 2 else _past_midnight(seconds)


def _past_midnight(seconds: list[float]) -> list[float]:
    """Return times of day as they follow each other: the series starts after the longest pause."""
    turn = sorted(seconds)
    pauses = [b - a for a, b in pairwise(turn)] + [turn[0] + _DAY_S - turn[-1]]
    start = turn[(pauses.index(max(pauses)) + 1) % len(turn)]
    return [(second - start) % _DAY_S for second in seconds]


def _timed(texts: Sequence[str], seconds: dict[str, float]) -> NamedTimes:
    """Return frames on the regular grid of the times, else in their order."""
    ordered = sorted(set(seconds.values()))
    steps = sorted(b - a for a, b in pairwise(ordered))
    frames = {second: i for i, second in enumerate(ordered)}
    if steps:
        step = steps[(len(steps) - 1) // 2]
        exact = [(second - ordered[0]) / step for second in ordered]
        if all(abs(at - round(at)) <= _TOLERANCE for at in exact):
            places = [round(at) for at in exact]
            if len(set(places)) == len(places) and places[-1] < 2 * len(places):
                frames = dict(zip(ordered, places, strict=True))
    kept = {frames[second]: second - ordered[0] for second in ordered}
    note = "The times come from the names of the files." if steps else ""
    return NamedTimes([frames[seconds[text]] for text in texts], kept, note)
