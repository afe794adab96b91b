"""What users may give to `fovflow.Run`, checked."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from fovflow.errors import ConfigError, did_you_mean
from fovflow.events import as_float, moment
from fovflow.records import leads_out

MOST = 1e9
"""Largest number of seconds, events, or whatever else a setting counts."""


def check_metrics(metrics: Any) -> dict[str, int | float]:
    """Return metrics as plain numbers by name; NumPy scalars and 0-d arrays are numbers, too."""
    found: dict[str, int | float] = {}
    for name, value in _plain_items("metrics", "numbers", metrics):
        if not isinstance(value, int | float):
            raise ConfigError(f"the metric {name!r} is no number", found=short(value))
        found[name] = int(value) if isinstance(value, bool) else value
    if not found:
        raise ConfigError("there is no metric to log", found="an empty mapping")
    return found


def check_units(units: Any) -> dict[str, str]:
    """Return units by name of metrics."""
    items = _plain_items("units", "text", {} if units is None else units)
    return {name: check_text(f"the unit of {name!r}", unit) for name, unit in items}


def check_metadata(metadata: Any) -> dict[str, str | int | float | bool | None]:
    """Return names and plain values."""
    found: dict[str, str | int | float | bool | None] = {}
    for name, value in _plain_items("metadata", "values", {} if metadata is None else metadata):
        if not (value is None or isinstance(value, str | int | float)):
            raise ConfigError(
                f"the value of {name!r} is neither text nor a number",
                found=type(metadata[name]).__name__,
                remedy="save larger things with save()",
            )
        if isinstance(value, int | float) and as_float(value) is None:
            found_value = "an integer beyond all floats" if isinstance(value, int) else repr(value)
            raise ConfigError(f"the value of {name!r} is not finite", found=found_value)
        found[name] = value
    return found


def _plain_items(what: str, kind: str, given: Any) -> Iterator[tuple[str, Any]]:
    """Yield names and values of a mapping; see `as_python`."""
    if not isinstance(given, Mapping):
        raise ConfigError(f"{what} are a mapping of names to {kind}", found=type(given).__name__)
    for name, value in given.items():
        if not isinstance(name, str) or not name.strip():
            raise ConfigError(f"names of {what} are text", found=short(name))
        yield name, as_python(value)


def as_python(value: Any) -> Any:
    """Return NumPy scalars and 0-d arrays as Python's own values, and anything else as it is."""
    return value.item() if hasattr(value, "item") and getattr(value, "ndim", 0) == 0 else value


def check_tags(tags: Any) -> list[str]:
    """Return tags, each once, in their order."""
    if tags is None:
        return []
    if isinstance(tags, str) or not isinstance(tags, Iterable):
        raise ConfigError("tags are a list of text", found=short(tags))
    found = list(tags)
    wrong = [tag for tag in found if not isinstance(tag, str) or not tag.strip()]
    if wrong:
        raise ConfigError("tags are text", found=short(wrong[0]))
    return list(dict.fromkeys(found))


def check_text(what: str, value: Any, *, empty: bool = True) -> str:
    """Return a text."""
    if not isinstance(value, str) or not (empty or value.strip()):
        raise ConfigError(f"{what} is text", found=short(value))
    return value


def check_choice(what: str, value: Any, allowed: Iterable[str]) -> str:
    """Return one of the allowed terms."""
    known = list(allowed)
    if value not in known:
        hint = did_you_mean(value, known)
        raise ConfigError(f"{what} is {value!r}{hint}", remedy=f"allowed: {', '.join(known)}")
    return str(value)


def check_finite(what: str, value: Any) -> int | float:
    """Return a number that is finite."""
    value = as_python(value)
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    if not plain or as_float(value) is None:
        raise ConfigError(f"{what} is a finite number", found=short(value))
    return value  # type: ignore[no-any-return]


def check_positive(what: str, value: Any, *, whole: bool = False) -> Any:
    """Return a positive number."""
    value, kinds = as_python(value), int if whole else int | float
    number = as_float(value) if isinstance(value, kinds) else None
    if isinstance(value, bool) or number is None or not 0 < number <= MOST:
        raise ConfigError(
            f"{what} is a positive {'whole ' if whole else ''}number", found=short(value)
        )
    return value


def short(value: Any) -> str:
    """Return a value as errors show it; Python writes out no integer of thousands of digits."""
    try:
        return repr(value)[:80]
    except ValueError:
        return "a number of thousands of digits"


def check_pid(pid: Any) -> int:
    """Return the id of a process that is there."""
    import psutil

    pid = as_python(pid)
    if isinstance(pid, bool) or not isinstance(pid, int) or not 0 < pid < 2**31:
        raise ConfigError("a process id is a positive whole number", found=short(pid))
    if not psutil.pid_exists(pid):
        raise ConfigError(f"there is no process {pid}", remedy="set it while the process runs")
    return pid


def check_timestamp(timestamp: Any) -> str | None:
    """Return a time stamp as ISO 8601 in UTC with microseconds; None stays None.

    Text is ``YYYY-MM-DD hh:mm:ss.ffffff`` (or ISO 8601), in UTC unless it says otherwise; a
    `datetime` must know its time zone.

    Examples
    --------
    >>> check_timestamp("2026-03-01 12:00:00.5")
    '2026-03-01T12:00:00.500000+00:00'
    >>> check_timestamp("2026-03-01T12:00:00+02:00")
    '2026-03-01T10:00:00.000000+00:00'
    """
    if timestamp is None:
        return None
    at = timestamp if isinstance(timestamp, datetime) and timestamp.tzinfo else None
    if isinstance(timestamp, str) and not re.search(r"\.(\d{7}|\s*$)", timestamp):
        at = moment(timestamp.strip())
    with suppress(ValueError, OverflowError):
        if at is not None:
            return at.astimezone(UTC).isoformat(timespec="microseconds")
    raise ConfigError(
        "a time stamp is text such as 2026-03-01 12:00:00.500000, in UTC, or a datetime with a "
        "time zone",
        found=short(timestamp),
    )


def in_seconds(what: str, seconds: Any, minutes: Any) -> float | None:
    """Return a time that may be given in seconds (``{what}_s``) or, as `what`, in minutes."""
    if seconds is not None and minutes is not None:
        raise ConfigError(
            f"both {what}_s and {what} are given",
            remedy=f"give {what}_s, in seconds, or {what}, in minutes",
        )
    if minutes is not None:
        return float(check_positive(f"{what} (minutes)", minutes)) * 60
    return None if seconds is None else float(check_positive(f"{what}_s", seconds))


def safe_name(what: str, name: str | os.PathLike[str]) -> str:
    """Return a name of a file below a folder, with ``/``; names that climb out are refused."""
    text = os.fspath(name).replace("\\", "/")
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if problem := leads_out(None, "/" * text.startswith("/") + "/".join(parts)):
        raise ConfigError(
            f"{what} {os.fspath(name)!r} is no name of a file inside the run's folder",
            found=f"it {problem}",
            remedy="use letters, digits and _ - . , with / for folders",
        )
    return "/".join(parts)
