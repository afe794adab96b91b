"""Which files a raw dataset consists of, a cheap stamp of them, and a digest of their content."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fovflow.errors import FovflowError, reading
from fovflow.readers.locate import OME_XML_MAGIC, TIFF_MAGIC, locate
from fovflow.readers.names import match_pattern
from fovflow.units import Pattern
from fovflow.userfiles import is_left_by_system, open_regular

_MIB = 1 << 20
WHOLE_BYTES = 16 * _MIB
"""Files up to this size enter the fingerprint whole."""
END_BYTES = _MIB
MAX_CHECKED = 4096
"""Files up to this number are looked at again when a job has read them."""
SAMPLES = 64
SAMPLE_BYTES = 64 << 10


def raw_files(path: str | os.PathLike[str], pattern: Pattern | None = None) -> list[Path]:
    """Return all files of a raw dataset, sorted by name.

    Parameters
    ----------
    path : path-like
        As for `open_raw`: a file, an OME-Zarr folder, a folder of TIFF files, or a glob pattern.
        Of a multi-file OME-TIFF, all files of the set that are there.
    pattern : str or sequence of str, optional
        As for `open_raw`: only files that match belong to the dataset.

    Raises
    ------
    FovflowError
        If there is nothing, or it cannot be read.
    """
    location = locate(path)
    with reading(location.root):
        files = list(location.files or (location.root,))
        if files[0].is_dir():
            found = [
                Path(where) / name
                for folder in files
                for where, _, names in os.walk(folder)
                for name in names
                if not is_left_by_system(name)
            ]
            return sorted(found, key=os.fspath)
        if pattern is not None and location.files:
            names = [file.relative_to(location.root).as_posix() for file in files]
            fields = match_pattern(names, pattern).fields
            files = [file for file, each in zip(files, fields, strict=True) if each is not None]
        elif _may_be_of_a_set(files[0]):
            from fovflow.readers.tiff import files_of_set

            files = list({*files, *files_of_set(files)})
        return sorted(files, key=os.fspath)


def stamp(path: str | os.PathLike[str], pattern: Pattern | None = None) -> dict[str, Any]:
    """Return names, sizes, times and inodes of the `raw_files`, without reading them.

    It is ``{"files": {name: [bytes, mtime in ns, ctime in ns, inode]}}``; names are relative to the
    folder that all files have in common, with ``/``. It survives a round trip through JSON.
    """
    files = raw_files(path, pattern)
    folder = _common_folder(files)
    with reading(folder):
        states = ((file.relative_to(folder).as_posix(), file.stat()) for file in files)
        return {
            "files": {
                name: [state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino]
                for name, state in states
            }
        }


def stamp_digest(known: dict[str, Any] | None) -> str:
    """Return a digest of a `stamp`; empty for none, and for more than `MAX_CHECKED` files.

    It does not depend on what reading and linking a file change.
    """
    if known is None or len(known["files"]) > MAX_CHECKED:
        return ""
    states = [
        (name, size, mtime, inode) for name, (size, mtime, _, inode) in known["files"].items()
    ]
    return hashlib.sha256(json.dumps(sorted(states)).encode()).hexdigest()


def fingerprint(path: str | os.PathLike[str], pattern: Pattern | None = None) -> str:
    """Return a digest of the content of `raw_files`, in little time whatever their size.

    The same content gives the same digest in any folder, at any time, on any machine.

    Returns
    -------
    str
        ``"sampled-sha256-1:"`` and the SHA-256 of one line per file (name relative to the folder
        that all have in common, NUL, size, NUL, digest, line feed), as ``docs/readers.md`` defines
        it to the byte. Files of more than 16 MiB enter with samples of their content.
    """
    files = raw_files(path, pattern)
    folder = _common_folder(files)
    lines = []
    for file in files:
        name = file.relative_to(folder).as_posix() if len(files) > 1 else ""
        with reading(file):
            size, digest = _file_digest(file)
        lines.append(name.encode("utf-8", "surrogateescape") + f"\0{size}\0{digest}\n".encode())
    return "sampled-sha256-1:" + hashlib.sha256(b"".join(sorted(lines))).hexdigest()


def check_unchanged(pin: Mapping[str, Any], digest: str, begun: str) -> str:
    """Return the `stamp_digest` of a raw dataset now; raise an error if its content changed.

    `pin` has ``path``, ``pattern`` and ``stamp`` of the plan, `digest` is the fingerprint of then,
    `begun` the stamp of when the job began, empty at its beginning. Where the stamp is not that of
    the plan, the `fingerprint` decides; where it changed since the job began, the file was written
    to, and nothing that was read of it can be trusted. Datasets of more than `MAX_CHECKED` files
    are believed: to look at all files costs too much.
    """
    if not pin["stamp"]:
        return ""
    now = stamp_digest(stamp(pin["path"], pin["pattern"]))
    if now != (begun or pin["stamp"]) and (
        begun or fingerprint(pin["path"], pin["pattern"]) != digest
    ):
        raise FovflowError(
            f"{pin['path']} has changed since this run began",
            remedy="wait until the acquisition or the copying of the file has ended, then run "
            "again: everything that belongs to it is made anew",
        )
    return now


def _file_digest(path: Path) -> tuple[int, str]:
    """Return size and digest of a file, as defined in `fingerprint`."""
    digest = hashlib.sha256()
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size <= WHOLE_BYTES:
            digest.update(file.read())
        else:
            spans = [(0, END_BYTES), (size - END_BYTES, END_BYTES)]
            spans += [
                (i * (size - SAMPLE_BYTES) // (SAMPLES - 1), SAMPLE_BYTES) for i in range(SAMPLES)
            ]
            for start, length in spans:
                file.seek(start)
                digest.update(file.read(length))
    return size, digest.hexdigest()


def _common_folder(files: list[Path]) -> Path:
    return Path(os.path.commonpath([file.parent for file in files]))


def _may_be_of_a_set(path: Path) -> bool:
    with open_regular(path) as file:
        return file.read(8).startswith((*TIFF_MAGIC, *OME_XML_MAGIC))
