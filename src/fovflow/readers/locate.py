"""Where the files of a dataset are: a file, a folder, or a glob pattern of a series."""

from __future__ import annotations

import difflib
import glob
import itertools
import os
import re
import stat
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from unicodedata import normalize

from fovflow.errors import FovflowError, reading
from fovflow.userfiles import broken_link, check_regular, is_left_by_system

TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
OME_XML_MAGIC = (b"<?xml", b"\xef\xbb\xbf<?xml", b"<OME")
TIFF_SUFFIXES = (".tif", ".tiff", ".stk", ".btf", ".tf8")
_WHOLE = (".nd2", ".czi")
_MAX_DEPTH = 4
_ZARR_MARKS = ("zarr.json", ".zattrs", ".zgroup", ".zarray")


@dataclass(frozen=True, slots=True)
class Location:
    """What a path of a dataset stands for.

    `root` is the file itself, the OME-Zarr folder, or the folder below which a series lies; `files`
    are those of a series in natural order, or several OME-Zarr folders; none for a file and for an
    OME-Zarr folder.
    """

    root: Path
    files: tuple[Path, ...] = ()


def locate(path: str | os.PathLike[str]) -> Location:
    """Find what a path stands for.

    A name that exists is taken as it is, also where it contains characters that mean something in
    glob patterns. Otherwise the longest leading part that exists is taken as it is and the rest as
    a pattern (``*``, ``?``, ``[…]``, ``**``).

    Where nothing is there, the error names what the folder holds that is similar. Empty files and
    folders without images are refused.
    """
    given = _as_spelled(Path(path).expanduser())
    if given.is_dir():
        if is_zarr(given):
            return Location(given)
        files = _tiffs_below(given)
        inside = {path.name: path for path in given.iterdir() if is_zarr(path)}
        others = sorted([*inside, *_others_in(given)], key=natural_key)
        if files and others:
            raise FovflowError(
                f"the folder {given} holds images of several kinds",
                found=f"{files[0].relative_to(given)} and {', '.join(others[:3])}",
                remedy=f'name what is meant: "{given}/*{files[0].suffix}" or {given / others[0]}',
            )
        files = files or tuple(inside[name] for name in sorted(inside, key=natural_key))
        if not files and others:
            raise FovflowError(
                f"the folder {given} holds files that are datasets each",
                found=f"{', '.join(others[:3])}; {len(others)} in all",
                remedy="name one of them; several are several datasets",
            )
        if not files:
            raise FovflowError(
                f"the folder {given} holds no images",
                found=_some_names(given),
                remedy="name a file, an OME-Zarr folder, or a folder or pattern of TIFF files",
            )
        return Location(given, files)
    if given.exists():
        with reading(given):
            check_regular(given)
        if given.stat().st_size == 0:
            raise FovflowError(
                f"{given} is empty", found="0 bytes", remedy="copy it again from its source"
            )
        return Location(given)
    return _match(given)


def _as_spelled(path: Path) -> Path:
    """Return a path as the disk has it: accents are one character or two, which looks the same."""
    forms = (Path(normalize(form, str(path))) for form in ("NFC", "NFD"))
    return next((each for each in forms if not path.exists() and each.exists()), path)


def is_zarr(path: Path) -> bool:
    """Tell whether a path is a Zarr folder."""
    return any((path / mark).is_file() for mark in _ZARR_MARKS)


def one_path(paths: Sequence[str]) -> str:
    """Return the path or pattern that names of files, as a shell expands a pattern, stand for."""
    if len(paths) == 1:
        return paths[0]
    parts = [Path(path).parts for path in paths]
    if len({len(each) for each in parts}) == 1 and len({*parts}) == len(parts):
        narrow = Path(*map(_glob_of, zip(*parts, strict=True)))
        for pattern in (narrow.with_name(f"*{narrow.suffix}"), narrow):
            with suppress(FovflowError):
                if {*locate(pattern).files} == {*map(Path, paths)}:
                    return str(pattern)
    raise FovflowError(
        f"{len(paths)} paths are given where one is needed",
        found=f"{paths[0]} … {paths[-1]}",
        remedy='name the folder, or put a pattern of the files into quotes, such as "data/*.tif"',
    )


def _glob_of(names: Sequence[str]) -> str:
    """Return a pattern for names: what their parts begin and end with, and ``*`` between."""
    if len({*names}) == 1:
        return names[0]
    rows = [re.split(r"([\W_])", name) for name in names]
    if len({len(row) for row in rows}) == 1 < len(rows[0]):
        return "".join(map(_glob_of, zip(*rows, strict=True)))
    start = _common_start(names)
    rest = [name[len(start) :][::-1] for name in names]
    return f"{start}*{_common_start(rest)[::-1]}"


def _common_start(names: Sequence[str]) -> str:
    letters = itertools.takewhile(lambda each: len({*each}) == 1, zip(*names, strict=False))
    return "".join(each[0] for each in letters)


def natural_key(text: str) -> tuple[tuple[int, int, str], ...]:
    """Return a sort key that puts ``t9`` before ``t10``.

    Examples
    --------
    >>> sorted(["t10", "t9", "T9b"], key=natural_key)
    ['t9', 'T9b', 't10']
    """
    runs = re.findall(r"\d+|\D+", text.casefold())
    return tuple((0, int(run), run) if run.isdecimal() else (1, 0, run) for run in runs)


def path_inside(folder: Path, name: str) -> Path | None:
    """Return the path of `name`, as a file of a dataset has it, in `folder`; None outside of it."""
    parts = PurePosixPath(name.replace("\\", "/"))
    return None if parts.is_absolute() or ".." in parts.parts else folder / parts


def _match(given: Path) -> Location:
    root = Path(given.anchor)
    if link := broken_link(given):
        raise FovflowError(
            f"there is no {given}", found=link, remedy="mend the link, or mount its disk"
        )
    parts = [part for part in given.parts if part != given.anchor]
    while parts and (below := _as_spelled(root / parts[0])).exists():
        root, parts = below, parts[1:]
    if not any(char in part for part in parts for char in "*?["):
        raise _absent(given, root, parts[0] if parts else "")
    found = _glob(root, parts)
    files = tuple(
        path
        for path in found
        if (_regular(path) or is_zarr(path)) and not is_left_by_system(path.name)
    )
    if not files:
        raise FovflowError(
            f"no file matches {given}",
            found=f"{root} holds {_some_names(root)}",
            remedy="check the pattern against these names",
        )
    return Location(root, files)


def _glob(root: Path, parts: list[str]) -> list[Path]:
    """Return what matches; brackets that match nothing as a set are tried as plain characters."""
    parts = [part for i, part in enumerate(parts) if part != "**" or parts[i - 1 : i] != ["**"]]
    plain = "/".join(parts)
    forms = (plain, plain.replace("[", "[[]"), normalize("NFC", plain), normalize("NFD", plain))
    for pattern in forms:
        names = glob.glob(pattern, root_dir=root, recursive=True)  # noqa: PTH207
        if names:
            return [root / name for name in sorted(names, key=natural_key)]
    return []


def _others_in(folder: Path) -> list[str]:
    """Return the names of single files in a folder, no hidden ones, that are datasets each."""
    names = _names(folder)
    return [n for n in names if n[0] != "." and n.lower().endswith(_WHOLE) and _regular(folder / n)]


def _tiffs_below(folder: Path) -> tuple[Path, ...]:
    """Return the TIFF files in a folder and its subfolders; no hidden ones.

    Links to folders are followed where they lead out of what is looked at anyway.
    """
    names, seen = [], [folder.resolve()]

    def leads_out(path: Path) -> bool:
        if not path.is_symlink():
            return True
        target = path.resolve()
        known = any(target == each or each in target.parents for each in seen)
        seen.extend([target] * (not known))
        return not known

    for where, folders, files in os.walk(folder, followlinks=True):
        depth = len(Path(where).relative_to(folder).parts)
        inner = sorted(n for n in folders if n[0] != "." and depth < _MAX_DEPTH)
        folders[:] = [name for name in inner if leads_out(Path(where) / name)]
        names += [
            str((Path(where) / name).relative_to(folder))
            for name in files
            if name[0] != "."
            and name.lower().endswith(TIFF_SUFFIXES)
            and _regular(Path(where) / name)
        ]
    return tuple(folder / name for name in sorted(names, key=natural_key))


def _regular(path: Path) -> bool:
    """Tell whether a file is a regular one, and no pipe or device; those not found are told of."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return True


def _absent(given: Path, root: Path, part: str) -> FovflowError:
    names = _names(root)
    close = difflib.get_close_matches(part, names, n=3, cutoff=0.5)
    similar = f"{root or '.'} holds " + (
        "the similar " + ", ".join(repr(name) for name in close) if close else _some_names(root)
    )
    return FovflowError(
        f"there is no {given}",
        found=similar,
        remedy="check the spelling; paths are relative to the working directory",
    )


def _names(folder: Path) -> list[str]:
    try:
        names = os.listdir(folder)  # noqa: PTH208
        return sorted((n for n in names if not is_left_by_system(n)), key=natural_key)
    except OSError:
        return []


def _some_names(folder: Path, limit: int = 5) -> str:
    names = _names(folder)
    if not names:
        return "nothing"
    listed = ", ".join(repr(name) for name in names[:limit])
    return listed + (f" and {len(names) - limit} more" if len(names) > limit else "")
