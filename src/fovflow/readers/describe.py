"""What a raw dataset holds, for people and for programs."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import numpy as np

from fovflow.readers.base import RawInfo, RawReader
from fovflow.readers.fingerprint import raw_files
from fovflow.units import Pattern, format_ranges

_SHOWN = 12
_UNITS = (("h", 3600.0), ("min", 60.0), ("s", 1.0))


def describe(
    reader: RawReader, path: str | os.PathLike[str], pattern: Pattern | None = None
) -> dict[str, Any]:
    """Return what a dataset, opened from `path`, holds as plain values that JSON can carry.

    Returns
    -------
    dict
        ``path, format, axes, dtype, pixel_um, z_um, warnings`` as in `RawInfo`; ``sizes`` with
        ``positions, frames, channels, z, height, width``; ``channels`` and ``positions`` as lists
        of dicts; ``files`` and ``bytes`` on disk, ``pixel_bytes`` decoded; ``missing`` as
        [position, frame] pairs, and, where there are any, ``missing_planes``; ``axes_from``, how
        each axis is known; ``pattern`` of a series, as it was found; ``times`` with ``source``, and
        of the first position ``first_s, last_s, interval_s`` (median) ``, shortest_s, longest_s``,
        None where unknown.
    """
    info = reader.info
    files = raw_files(path, pattern)
    sizes = {
        "positions": len(info.positions),
        "frames": info.n_frames,
        "channels": len(info.channels),
        "z": info.n_z,
        "height": info.height,
        "width": info.width,
    }
    further = {
        "missing_planes": [[*plane] for plane in info.missing_planes],
        "pattern": getattr(reader, "pattern", ""),
    }
    planes = sizes["positions"] * sizes["frames"] * sizes["channels"] * sizes["z"]
    return {
        "path": os.fspath(path),
        "format": info.format,
        "axes": info.axes,
        "axes_from": dict(zip(info.axes, info.axes_from, strict=False)),
        "dtype": info.dtype,
        "sizes": sizes,
        "pixel_um": info.pixel_um,
        "z_um": info.z_um,
        "channels": [asdict(channel) for channel in info.channels],
        "positions": [asdict(position) for position in info.positions],
        "times": _describe_times(reader, info),
        "files": len(files),
        "bytes": sum(file.stat().st_size for file in files),
        "pixel_bytes": planes * info.height * info.width * np.dtype(info.dtype).itemsize,
        "missing": [[int(p), int(t)] for p, t in info.missing],
        "warnings": list(info.warnings),
        **{key: value for key, value in further.items() if value},
    }


def _describe_times(reader: RawReader, info: RawInfo) -> dict[str, Any]:
    seconds = reader.times(0).seconds
    known, steps = (values[np.isfinite(values)] for values in (seconds, np.diff(seconds)))
    first, last = (float(known[0]), float(known[-1])) if known.size else (None, None)
    return {
        "source": info.time_source,
        "first_s": first,
        "last_s": last,
        "interval_s": float(np.median(steps)) if steps.size else None,
        "shortest_s": float(steps.min()) if steps.size else None,
        "longest_s": float(steps.max()) if steps.size else None,
    }


def format_description(description: dict[str, Any]) -> str:
    """Write what `describe` found for people: a line per matter, aligned, long lists cut short."""
    sizes, pixel, axes = description["sizes"], description["pixel_um"], description["axes"]
    pattern = description.get("pattern", [])
    edges = [f"{sizes[edge] * (pixel or 0):.4g}" for edge in ("width", "height")]
    area = f" ({' x '.join(edges)} µm)" if pixel else ""
    files = f" in {description['files']} files" if description["files"] > 1 else ""
    rows: list[tuple[str, Iterable[str]]] = [
        ("path", [description["path"]]),
        ("format", [f"{description['format']}, axes {axes}, {description['dtype']}"]),
        ("size", [_size(sizes)]),
        ("image", [f"{sizes['width']} x {sizes['height']} pixels{area}"]),
        ("pixel", [_lengths(pixel, description["z_um"])]),
        ("data", [f"{_bytes(description['bytes'])} on disk{files}"]),
        ("times", [_times(description["times"])]),
        ("channels", [f"{c['index']}  {c['name']}" for c in description["channels"]]),
        ("positions", _shorten(_positions(description["positions"]))),
        ("axes", _known(description["axes_from"])),
        ("pattern", [pattern] if isinstance(pattern, str) else pattern),
        ("missing", _shorten(_missing(description["missing"]))),
        ("warnings", description["warnings"]),
    ]
    lines = []
    for title, texts in rows:
        for i, text in enumerate(texts):
            lines.append(f"{title if i == 0 else '':<10} {_printable(text)}".rstrip())
    return "\n".join(lines)


def _known(axes_from: dict[str, str]) -> list[str]:
    """Return how axes are known, those that are known in the same way together."""
    by_source: dict[str, str] = {}
    for axis, how in axes_from.items():
        by_source[how] = by_source.get(how, "") + axis
    return [f"{axes} from {how}" for how, axes in by_source.items()]


def _size(sizes: dict[str, int]) -> str:
    counts = [(sizes[f"{what}s"], what) for what in ("position", "frame", "channel")]
    words = [f"{n} {what}" + ("" if n == 1 else "s") for n, what in counts]
    return ", ".join(words + [f"{sizes['z']} z planes"] * (sizes["z"] > 1))


def _lengths(pixel: float | None, z: float | None) -> str:
    text = "unknown" if pixel is None else f"{pixel:.6g} µm"
    return text + (f", z {z:.6g} µm" if z else "")


def _bytes(n: int) -> str:
    power = min(max(n.bit_length() - 1, 0) // 10, 4)
    return f"{n} B" if not power else f"{n / 1024**power:.1f} {'KMGT'[power - 1]}iB"


def _times(times: dict[str, Any]) -> str:
    if times["source"] == "unknown" or times["first_s"] is None:
        return "unknown"
    text = f"{times['source']}, {_duration(times['first_s'])} to {_duration(times['last_s'])}"
    if times["interval_s"] is None:
        return text
    text += f", every {_duration(times['interval_s'])}"
    low, high = times["shortest_s"], times["longest_s"]
    if high - low > 0.01 * times["interval_s"]:
        text += f" ({_duration(low)} to {_duration(high)})"
    return text


def _duration(seconds: float) -> str:
    unit, length = next(
        ((u, n) for u, n in _UNITS if abs(seconds) >= (2 * n if n > 1 else 0)), ("s", 1.0)
    )
    return f"{seconds / length:.5g} {unit}"


def _positions(positions: list[dict[str, Any]]) -> list[str]:
    width = max(len(each["name"] or "") for each in positions)
    digits = len(str(len(positions) - 1))
    lines = []
    for each in positions:
        line = f"{each['index']:>{digits}}  {each['name'] or '':<{width}}"
        if each["x_um"] is not None and each["y_um"] is not None:
            line += f"  x {each['x_um']:.1f} y {each['y_um']:.1f} µm"
        lines.append(line)
    return lines


def _missing(missing: list[list[int]]) -> list[str]:
    frames: dict[int, list[int]] = {}
    for p, t in missing:
        frames.setdefault(p, []).append(t)
    return [f"position {p}: frames {format_ranges(ts)}" for p, ts in sorted(frames.items())]


def _shorten(lines: list[str]) -> list[str]:
    if len(lines) <= _SHOWN:
        return lines
    return [*lines[: _SHOWN - 2], f"… {len(lines) - _SHOWN + 1} more", lines[-1]]


def _printable(text: str) -> str:
    """Return text without control characters: names come from files of any origin."""
    return "".join(char if char.isprintable() else "\ufffd" for char in text)
