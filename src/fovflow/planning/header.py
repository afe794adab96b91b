"""What a raw file's header says, read once and again when the file changes.

The plan (``dataset.json``) holds nothing that changes when raw data are moved or touched. Path,
sizes, times and inodes are kept beside it in a stamp that only tells whether the header must be
read again. Both are written by a run that has claimed the output folder, and by nothing else.
"""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from fovflow.atomic import sha256_or_none
from fovflow.errors import FovflowError
from fovflow.layout import Layout
from fovflow.plugins import code_files
from fovflow.readers.fingerprint import stamp, stamp_digest
from fovflow.readers.locate import locate
from fovflow.records import read_json, read_json_object, write_json
from fovflow.units import Axes, Pattern

if TYPE_CHECKING:
    from fovflow.config.model import DatasetConfig

SCHEMA_VERSION = 1
OUTDIR_REMEDY = "choose another outdir, or mend its permissions or the disk's free space"


@dataclass(frozen=True, slots=True)
class RawHeader:
    """What planning needs to know of a raw file; the content of ``dataset.json``.

    The attributes are those of `fovflow.readers.base.RawInfo`, positions and channels reduced
    to their names, with the number of bytes and a fingerprint of the content.
    """

    format: str
    axes: str
    n_frames: int
    n_z: int
    height: int
    width: int
    dtype: str
    positions: tuple[str | None, ...]
    channels: tuple[str, ...]
    pixel_um: float | None
    time_source: str
    missing: tuple[tuple[int, int], ...]
    warnings: tuple[str, ...]
    n_bytes: int
    fingerprint: str
    stage_um: tuple[tuple[float, float], ...] = ()
    """Where the stage stood, (x, y), of each position; empty where not all are known, or all
    are the same, as of positions that the file does not tell apart."""
    reader: str = ""
    """Name of the plug-in that reads the file; empty where the package does itself."""

    @classmethod
    def read(cls, path: str, pattern: Pattern | None = None, axes: Axes | None = None) -> Self:
        """Read a raw file's header."""
        from fovflow.readers import open_raw, plugin_of
        from fovflow.readers.fingerprint import fingerprint, raw_files

        with open_raw(path, pattern=pattern, axes=axes) as raw:
            info = raw.info
        names = [field.name for field in dataclasses.fields(cls)]
        values: dict[str, Any] = {name: getattr(info, name, None) for name in names}
        values["positions"] = tuple(position.name for position in info.positions)
        values["stage_um"] = _stage([(p.x_um, p.y_um) for p in info.positions])
        values["channels"] = tuple(channel.name for channel in info.channels)
        values["missing"] = tuple((int(p), int(t)) for p, t in info.missing)
        values["reader"] = plugin_of(path, pattern)
        values["n_bytes"] = sum(file.stat().st_size for file in raw_files(path, pattern))
        values["fingerprint"] = fingerprint(path, pattern)
        return cls(**values)

    @classmethod
    def from_json(cls, content: Any, name: str) -> Self:
        """Make a header from the content of a plan file; errors name the file `name`."""
        try:
            if content["schema_version"] != SCHEMA_VERSION:
                raise ValueError(f"schema version {content['schema_version']}")  # noqa: TRY301
            values = {"stage_um": (), "reader": "", **content}  # an older plan does not have them
            values = {field.name: values[field.name] for field in dataclasses.fields(cls)}
            for key in ("positions", "channels", "warnings"):
                values[key] = tuple(values[key])
            values["missing"] = tuple((int(p), int(t)) for p, t in values["missing"])
            values["stage_um"] = tuple((float(x), float(y)) for x, y in values["stage_um"])
        except (KeyError, TypeError, ValueError) as error:
            raise FovflowError(
                f"{name} is no plan of this version",
                found=str(error),
                remedy="delete it; it is made again from the raw file",
            ) from error
        return cls(**values)

    def to_json(self) -> dict[str, Any]:
        """Return the content of the plan file."""
        content = dataclasses.asdict(self)
        for name in ("stage_um", "reader"):
            if not content[name]:
                del content[name]
        return {"schema_version": SCHEMA_VERSION, **content}

    def code(self) -> dict[str, str | None]:
        """Return the SHA-256 of the code of the plug-in that reads the file, by what it is."""
        files = code_files("readers", [self.reader], {}) if self.reader else {}
        return {name: sha256_or_none(path) for name, path in files.items()}


@dataclass(frozen=True, slots=True)
class RawSource:
    """A raw file as it is now: what its jobs are to read, and nothing else."""

    path: str
    pattern: Pattern | None
    header: RawHeader
    files: dict[str, Any] | None
    """Its `fovflow.readers.fingerprint.stamp`; None where it is not there now."""
    axes: Axes | None = None

    @property
    def pin(self) -> dict[str, Any]:
        """Where the file lies, how it is read, and a digest of its stamp; see `check_unchanged`."""
        return {**raw_place(self), "stamp": stamp_digest(self.files)}

    def to_json(self) -> dict[str, Any]:
        """Return all that a process of one job needs to know."""
        return {"header": self.header.to_json(), "pin": self.pin}

    def write(self, layout: Layout, dataset: str) -> None:
        """Write the plan and the stamp, where they say something else; raises OSError.

        The stamp of a raw file that is not there now stays: it is the hint when it is back.
        """
        plan, mark = Path(layout.plan(dataset)), Path(layout.stamp(dataset))
        now = {**raw_place(self), **_reader(self.header), "files": self.files}
        if _known_header(plan) != self.header:
            write_json(plan, self.header.to_json())
        known = read_json_object(mark)
        if known != now and (self.files is not None or not known):
            write_json(mark, now)


def raw_place(raw: RawSource | DatasetConfig) -> dict[str, Any]:
    """Return where a raw file lies and how it is read, as records have it: see `open_raw`."""
    pattern = [*raw.pattern] if isinstance(raw.pattern, tuple) else raw.pattern  # as JSON has it
    place: dict[str, Any] = {"path": raw.path, "pattern": pattern}
    return place if raw.axes is None else {**place, "axes": raw.axes}


def find_source(layout: Layout, dataset: str, raw: DatasetConfig) -> RawSource:
    """Look at a dataset's raw file; its header comes from the plan where it is as it was.

    Nothing is written. A raw file that is gone while its plan is there is no error: what was
    copied from it is still good. It is one where the file is there and damaged, and where the
    configuration names another file than the plan was made from.

    `dataset`: name of the dataset. `raw`: its part of the configuration. Raises FovflowError if the
    raw file is needed and absent or unreadable.
    """
    known = _known_header(Path(layout.plan(dataset)))
    earlier = read_json_object(layout.stamp(dataset))
    place = raw_place(raw)
    now: dict[str, Any] = {**place, **_reader(known), "files": None}
    try:
        now["files"] = stamp(raw.path, raw.pattern)
    except FovflowError:
        # A stamp that is absent or damaged may be of the same files.
        if not known or (earlier and _place_in(earlier) != place) or _is_there(raw.path):
            raise
    unchanged = known and (now["files"] is None or earlier == now)
    header = known if known and unchanged else RawHeader.read(raw.path, raw.pattern, raw.axes)
    return RawSource(raw.path, raw.pattern, header, now["files"], raw.axes)


def planned_header(layout: Layout, dataset: str) -> RawHeader:
    """Return the header that the main process wrote; for processes of single jobs.

    Raises FovflowError if there is none.
    """
    plan = Path(layout.plan(dataset))
    return RawHeader.from_json(read_json(plan), str(plan))


def _is_there(path: str) -> bool:
    """Tell whether a raw file that cannot be read is there: cut off, damaged or empty, not gone."""
    try:
        location = locate(path)
    except FovflowError:
        return Path(path).is_file()
    return all(os.access(file, os.R_OK) for file in location.files or [location.root])


def _place_in(mark: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in mark.items() if key not in ("files", "reader")}


def _reader(header: RawHeader | None) -> dict[str, Any]:
    """Return what a stamp says of the plug-in that reads the file: with other code, read again."""
    code = header.code() if header else {}
    return {"reader": code} if code else {}


def _stage(places: list[tuple[float | None, float | None]]) -> tuple[tuple[float, float], ...]:
    known = [(x, y) for x, y in places if x is not None and y is not None]
    finite = len(known) == len(places) and all(isfinite(x) and isfinite(y) for x, y in known)
    return tuple(known) if finite and (len({*known}) > 1 or len(known) == 1) else ()


def _known_header(plan: Path) -> RawHeader | None:
    if not plan.exists():
        return None
    try:
        return RawHeader.from_json(read_json(plan), str(plan))
    except FovflowError:
        return None  # of another version, or damaged: made again
