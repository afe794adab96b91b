"""Times in the names of files: numbers of frames, clock times, elapsed times."""

from __future__ import annotations

import math
import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from statistics import median_low

from fovflow.errors import FovflowError
from fovflow.readers.locate import natural_key

_NUMBER = re.compile(r"(\D*)(\d+)")
TIME_UNITS = ("d(?:ays?)?", "h(?:ours?|rs?)?", "m(?:in)?", "s(?:ec)?")
_ELAPSED = re.compile(
    "".join(rf"(?:(\d+(?:[.,]\d+)?){unit}[-_ ]?)?" for unit in TIME_UNITS), re.IGNORECASE
)
_INCUCYTE = re.compile(r"(\d{4})y(\d{2})m(\d{2})d_(\d{2})h(\d{2})m", re.IGNORECASE)
_FORMS = (
    *("%H%M", "%H%M%S", "%Y%m%d", "%y%m%d%H", "%Y%m%d%H", "%y%m%d%H%M", "%Y%m%d%H%M"),
    *("%y%m%d%H%M%S", "%Y%m%d%H%M%S"),
)
_DAY_S = 86400.0
_UNITS_S = (_DAY_S, 3600.0, 60.0, 1.0)
_TOLERANCE = 0.2
"""How far, in frames, a time may lie from the regular grid."""
_CLEAR = 1.5
"""How many times as long as any other the pause before a series of times of day is at least."""


@dataclass(frozen=True)
class NamedTimes:
    """The frame of each file, the seconds of frames where the names tell them, and a warning."""

    frames: list[int]
    seconds: dict[int, float]
    note: str = ""


def elapsed_s(text: str) -> float | None:
    """Return the seconds of a duration with its units, such as ``01d02h30m``; None for others."""
    match = _ELAPSED.fullmatch(text)
    if match is None or not any(match.groups()):
        return None
    numbers = (float((text or "0").replace(",", ".")) for text in match.groups())
    return sum(n * unit for n, unit in zip(numbers, _UNITS_S, strict=True))


def frames_of(texts: Sequence[str], form: str | None = None) -> NamedTimes:
    """Return the frames to which the times in names belong.

    Numbers that rise in steps leave a missing frame where one is absent; so do clock and elapsed
    times, whose seconds are kept. What fits neither is taken in natural order, and told. `form` is
    ``"d"`` for numbers, ``"elapsed"``, or a form of a clock such as ``"%Y%m%d%H%M"``.
    """
    distinct = sorted(sorted({*texts}), key=natural_key)
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
    elif len(distinct) > 1 and form is None:
        digits = len(str(max(numbers))) if numbers else math.inf
        steps = _steps(numbers or ())
        seconds = _clock(distinct, None) if steps != 1 or digits >= len("yymmddHHMMSS") else None
        # Numbers of frames, such as 0001, 0002, 0004, could be times of day as well.
        if seconds is not None and digits <= len("HHMMSS") and _steps(seconds) >= steps:
            seconds = None
    if seconds is not None:
        told = dict(zip(distinct, seconds, strict=True))
        frames = _on_grid([told[text] for text in texts])
        kept = {t: told[text] - min(seconds) for t, text in zip(frames, texts, strict=True)}
        note = "The times come from the names of the files." if len(distinct) > 1 else ""
        return NamedTimes(frames, kept, note)
    order = {text: i for i, text in enumerate(distinct)}
    note = ""
    if numbers is not None and len(set(numbers)) == len(distinct) > 1:
        step, low = math.gcd(*(b - a for a, b in pairwise(sorted(numbers)))), min(numbers)
        if (max(numbers) - low) // step < 2 * len(numbers):
            order = {text: (n - low) // step for text, n in zip(distinct, numbers, strict=True)}
        else:
            note = "The times in the names have large gaps; the files are taken in order."
    elif len(distinct) > 1:
        note = "The times in the names are no numbers; the files are taken in order."
    return NamedTimes([order[text] for text in texts], {}, note)


def frames_apart(seconds: Sequence[float], places: Sequence[Hashable]) -> list[int]:
    """Return frames of files with times of their own, by the shortest interval of all `places`."""
    own = {
        each: [s for s, p in zip(seconds, places, strict=True) if p == each] for each in {*places}
    }
    steps = [median_low(b - a for a, b in pairwise(sorted(s))) for s in own.values() if len(s) > 1]
    interval, begin = min(steps, default=1.0), min(seconds)
    late = {place: int((min(s) - begin) / interval) for place, s in own.items()}
    frames = [
        late[place] + round((second - min(own[place])) / interval)
        for second, place in zip(seconds, places, strict=True)
    ]
    uneven = len({*zip(places, frames, strict=True)}) < len(frames)
    if uneven and len({*map(len, own.values())}) == 1:
        rank = {second: i for each in own.values() for i, second in enumerate(sorted(each))}
        frames = [rank[second] for second in seconds]
    return frames


def _numbers(texts: Sequence[str]) -> list[int] | None:
    """Return the numbers of texts that are a number after the same word, else None."""
    found = [match for text in texts if (match := _NUMBER.fullmatch(text))]
    same = len(found) == len(texts) and len({match[1] for match in found}) == 1
    return [int(match[2]) for match in found] if same else None


def _steps(numbers: Sequence[float]) -> int:
    """Return how many different steps there are from one number to the next."""
    return len({b - a for a, b in pairwise(sorted(numbers))})


def _clock(texts: Sequence[str], form: str | None) -> list[float] | None:
    """Return seconds since the first of clock or elapsed times; None if they are no such times."""
    forms = [form or ""]
    if form in (None, "elapsed"):
        elapsed = [elapsed_s(text.strip("_- ")) for text in texts]
        if None not in elapsed:
            return [float(s or 0) for s in elapsed]
        texts = ["".join(match.groups()) if (match := _INCUCYTE.search(t)) else t for t in texts]
        texts = [re.sub(r"(?<=\d)[-_T:. ](?=\d)", "", text) for text in texts]
        if form is None and _numbers(texts) is not None:
            texts = [re.sub(r"^\D+", "", text) for text in texts]  # the t of t2350
        plain = form is None and all(text.isdecimal() for text in texts)
        digits = {len(text) for text in texts} if plain else set()
        forms = [each for each in _FORMS if {len(each) + 2 * ("%Y" in each)} == digits]
    fitting = [(each, found) for each in forms if (found := _moments(texts, each))]
    if len(fitting) != 1:  # none, or two ways to read it
        return None
    ((form, moments),) = fitting
    first = min(moments)
    seconds = [(moment - first).total_seconds() for moment in moments]
    return seconds if "%d" in form or len(seconds) < 2 else _past_midnight(seconds)


def _moments(texts: Sequence[str], form: str) -> list[datetime]:
    """Return the moments of texts of a form; none if one is of another, or of another century."""
    if form.startswith("%Y") and not all(text[:2] in ("19", "20") for text in texts):
        return []
    try:
        return [datetime.strptime(text, form) for text in texts]
    except ValueError:
        return []


def _past_midnight(seconds: list[float]) -> list[float]:
    """Return times of day as they follow each other: the series starts after the longest pause."""
    turn = sorted(seconds)
    pauses = [b - a for a, b in pairwise(turn)] + [turn[0] + _DAY_S - turn[-1]]
    *_, second, longest = sorted(pauses)
    if longest < _CLEAR * second:
        raise FovflowError(
            "the times of day in the names do not tell which comes first",
            found=f"{len(turn)} times all round the clock, without one longest pause",
            remedy="add the date to the names; or, where midnight is the beginning, "
            "give a pattern with {time:d}, and interval_s",
        )
    start = turn[(pauses.index(longest) + 1) % len(turn)]
    return [(second - start) % _DAY_S for second in seconds]


def _on_grid(seconds: Sequence[float]) -> list[int]:
    """Return frames on the regular grid of times, else in their order."""
    ordered = sorted({*seconds})
    steps = sorted(b - a for a, b in pairwise(ordered)) or [1.0]
    exact = [(second - ordered[0]) / steps[(len(steps) - 1) // 2] for second in ordered]
    frames = [round(at) for at in exact]
    even = all(abs(at - t) <= _TOLERANCE for at, t in zip(exact, frames, strict=True))
    if not even or len({*frames}) < len(frames) or frames[-1] >= 2 * len(frames):
        frames = [*range(len(ordered))]
    table = dict(zip(ordered, frames, strict=True))
    return [table[second] for second in seconds]
