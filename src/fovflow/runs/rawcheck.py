"""Read raw data in full and compare them with the pixels that were copied from them.

The copied stack of a channel is what was read, plane by plane in order. Its SHA-256, taken while it
was written, is the identity of the raw data of its FOV: the quick fingerprint that planning looks
at reads samples only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from fovflow.atomic import Digest, digest_of
from fovflow.copying import read_frame
from fovflow.errors import FovflowError
from fovflow.jobrecord import JobRecord, read_records
from fovflow.layout import STAMP_NAME, parse
from fovflow.readers import RawReader, open_raw
from fovflow.records import read_json_object
from fovflow.stacks import StackDigest, StackReader
from fovflow.stages import STACKS

Find = Callable[[str, str], object]
"""Takes what something does not hold for, and a sentence."""


def check_raw(folder: Path, find: Find) -> int:
    """Tell `find` what differs between a dataset's raw data and what was copied from them.

    Returns the bytes that were compared. All frames that the complete FOVs were copied from are
    read. A difference names FOV and channel, and the frame where the copied stack is still there.
    """
    stamp = read_json_object(folder / STAMP_NAME)
    copies = (j for j in read_records(folder, complete=True) if j.step == "copy")
    jobs = [job for job in copies if job.status == "completed"]
    name = f"{folder.name}: raw data"
    if not jobs:
        return 0
    try:
        how = {key: stamp.get(key) for key in ("pattern", "axes")}
        with open_raw(str(stamp.get("path")), **how) as raw:
            return sum([_check_fov(raw, job, folder, find) for job in jobs])
    except FovflowError as error:
        find(name, f"cannot be compared: {error}")
        return 0


def pixels_of(job: JobRecord | None) -> dict[int, str]:
    """Return by channel the SHA-256 of the stacks that the record of a copy job tells of.

    It is the identity of what was read: of the npy file's header and all pixels, in order.
    """
    if job is None or job.status != "completed":
        return {}
    return {channel: digest.sha256 for channel, _, digest in _stacks(job)}


def _stacks(job: JobRecord) -> Iterator[tuple[int, str, Digest]]:
    """Yield channel, name and digest of each stack that a job copied."""
    for path, digest in job.outputs.items():
        found = parse(path)
        if found is not None and found.kind in STACKS and digest is not None:
            yield int(found.channel), path, digest


def _check_fov(raw: RawReader, job: JobRecord, folder: Path, find: Find) -> int:
    compared = 0
    fov = int(job.key.fov)
    for channel, path, recorded in _stacks(job):
        name = f"{folder.name}: raw data of FOV {fov}, channel {channel}"
        copied = _copied(folder / path, recorded.sha256)
        try:
            digest, differing = _read_again(raw, fov, channel, job.options, copied)
        except (FovflowError, KeyError, IndexError, TypeError, ValueError) as error:
            find(name, f"cannot be compared: {error}")
            continue
        finally:
            if copied is not None:
                copied.close()
        compared += recorded.bytes
        if digest != recorded.sha256:
            frames = f"; first at frame {differing} of the raw file" if differing >= 0 else ""
            find(
                name,
                f"other pixels than were copied: SHA-256 {digest[:16]}… where {job.file} says "
                f"{recorded.sha256[:16]}…{frames}",
            )
    return compared


def _copied(path: Path, sha256: str) -> StackReader | None:
    """Return the stack that was copied, where it is there and as it was written."""
    try:
        return StackReader(path) if digest_of(path).sha256 == sha256 else None
    except (OSError, FovflowError):
        return None


def _read_again(
    raw: RawReader, fov: int, channel: int, options: Any, copied: StackReader | None
) -> tuple[str, int]:
    """Return the SHA-256 of the stack as it would be copied today, and the first other frame.

    The frame is counted in the raw file; -1 where none differs, or nothing is there to compare.
    """
    first, last, step = options["frames"]
    source = range(first, last + 1, step)
    shape = (len(source), *options["shape"])
    digest, differing = StackDigest(shape, np.dtype(raw.info.dtype)), -1
    for i, t in enumerate(source):
        frame = read_frame(raw, fov, t, channel, options)
        digest.append(frame)
        if differing < 0 and copied is not None and not np.array_equal(copied.frame(i), frame):
            differing = t
    return digest.sha256(), differing
