"""Files that users name: only regular ones are opened, and what is wrong with a path is told."""

from __future__ import annotations

import errno
import io
import os
import stat
from pathlib import Path
from typing import cast

_KINDS = (
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
_LEFT_BY_SYSTEMS = frozenset(
    {".ds_store", ".localized", ".directory", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"}
)


def open_regular(path: str | os.PathLike[str], *, buffering: int = -1) -> io.BufferedReader:
    """Open a regular file for reading; a pipe, a socket or a device is an OSError that says so.

    Opening or reading those could wait for ever.
    """
    check_regular(path)
    file = open(path, "rb", buffering, opener=_at_once)  # noqa: SIM115  (it has an opener)
    try:
        _check_mode(os.fstat(file.fileno()).st_mode, path)
    except BaseException:
        file.close()
        raise
    return cast(io.BufferedReader, file)


def _at_once(path: str, flags: int) -> int:
    """Open a file without waiting for the other end of a pipe."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def open_own(path: str | os.PathLike[str], mode: str) -> io.FileIO:
    """Open a file of ours for writing, unbuffered, and never what a link of its name leads to."""

    def opener(name: str, flags: int) -> int:
        return os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)

    return cast(io.FileIO, open(path, mode, buffering=0, opener=opener))


def read_regular(path: str | os.PathLike[str], encoding: str = "utf-8") -> str:
    """Return the text of a regular file; UnicodeError names the line where it is no text."""
    with open_regular(path) as file:
        data = file.read()
    try:
        return io.TextIOWrapper(io.BytesIO(data), encoding).read()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        found = f"byte 0x{data[error.start]:02x} in line {line}"
        raise UnicodeError(f"it is not UTF-8, the encoding of text ({found})") from error


def check_regular(path: str | os.PathLike[str]) -> None:
    """Raise OSError unless a path leads to a regular file."""
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116  (any kind of path)
    except OSError as error:
        if link := broken_link(path):
            raise type(error)(error.errno, link, os.fspath(path)) from None
        raise
    _check_mode(mode, path)


def _check_mode(mode: int, path: str | os.PathLike[str]) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    if what := next((what for fits, what in _KINDS if fits(mode)), None):
        raise OSError(errno.EINVAL, f"it is {what}, not a regular file", os.fspath(path))


def broken_link(path: str | os.PathLike[str]) -> str:
    """Return, in words, which part of a path is a link to nothing and where it leads; else ''."""
    given = Path(path)
    for part in (*reversed(given.parents), given):
        try:
            part.stat()
        except FileNotFoundError:
            leads = f"{part} is a broken link: it leads to "
            return leads + os.readlink(part) if part.is_symlink() else ""  # noqa: PTH115
        except (OSError, ValueError):
            break
    return ""


def is_left_by_system(name: str) -> bool:
    """Tell whether file managers leave files of this name in folders: they are nobody's data.

    Examples
    --------
    >>> [is_left_by_system(name) for name in (".DS_Store", "Thumbs.db", "._a.tif", "a.tif")]
    [True, True, True, False]
    """
    return name.startswith("._") or name.lower() in _LEFT_BY_SYSTEMS


def user_path(text: str) -> str:
    """Return a path with its ``~`` expanded; ValueError where nobody has that name."""
    found = os.path.expanduser(text)  # noqa: PTH111  (./ and trailing / stay)
    if found.startswith("~") and not os.path.lexists(found):
        raise ValueError("a path; there is no home folder of that name (./~… is a name with ~)")
    if "\0" in found or "\n" in found or "\r" in found:
        raise ValueError("a path on one line")
    return found


def user_file(text: str) -> str:
    """Return a path as `user_path`; ValueError where it leads to a pipe, socket or device.

    A file that is not there is found missing by what needs it.
    """
    path = user_path(text)
    try:
        check_regular(path)
    except OSError as error:
        if error.errno == errno.EINVAL:
            raise ValueError(f"a regular file ({error.strerror})") from None
    return path
