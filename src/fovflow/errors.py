"""The one error class of the package: what happened, what was found, what to do."""

from __future__ import annotations

import difflib
import errno
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial

from fovflow.terminal import printable, unguarded
from fovflow.userfiles import broken_link


class FovflowError(Exception):
    """An error that a user can act on.

    `message`: what went wrong, naming the thing (file, channel, FOV, key, frame). `found`: what was
    found instead of what was expected. `remedy`: what the user can do about it.

    Examples
    --------
    >>> print(FovflowError("no channel 'GFP'", found="Phase, RFP", remedy="name one of these"))
    no channel 'GFP'; found: Phase, RFP; to do: name one of these
    """

    def __init__(self, message: str, *, found: str | None = None, remedy: str | None = None):
        super().__init__(message)
        self.message = message
        self.found = found
        self.remedy = remedy

    def __str__(self) -> str:
        parts = [self.message]
        if self.found:
            parts.append(f"found: {self.found}")
        if self.remedy:
            parts.append(f"to do: {self.remedy}")
        return "; ".join(parts)

    def __reduce__(self) -> tuple[object, ...]:
        return partial(type(self), self.message, found=self.found, remedy=self.remedy), ()


FULL = (errno.ENOSPC, errno.EDQUOT)
"""What the system says where a disk, or a user's share of it, is full."""

_ROOM = 100_000_000
"""Bytes that a full disk does not have."""

FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
IN_THE_WAY = (errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENOTEMPTY)


def sentence_of_system(error: OSError) -> str:
    """Return an error of the system as a sentence, with its file and what is to be done.

    Of a full disk it names the folder and the room that there is, and what the notes of the error
    say that is needed.
    """
    name = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else ""
    text = f"{error.strerror or error}" + (f" ({name})" if name else "")
    if error.errno in FULL:
        folder = os.path.dirname(os.path.abspath(name))  # noqa: PTH100, PTH120
        with suppress(OSError):
            disk = os.statvfs(folder)
            if not name and disk.f_bavail * disk.f_frsize > _ROOM:
                return text  # it is another disk
            room = f"{disk.f_bavail * disk.f_frsize / 1e6:.1f} MB free on the disk of {folder}"
            text += f"; found: {', '.join([room, *getattr(error, '__notes__', [])])}"
        return text + "; to do: make room there, and run the same command again"
    if error.errno in FORBIDDEN and name:
        return text + "; to do: allow writing there, and run the same command again"
    if error.errno in IN_THE_WAY and name:
        return text + "; to do: move away what is in the way, and run the same command again"
    return text


def words_of(error: Exception) -> str:
    """Return an error as a sentence: the system's, or what it says itself."""
    return sentence_of_system(error) if isinstance(error, OSError) else str(error)


@contextmanager
def reading(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn the system's errors of reading into sentences; `path` where the system names none."""
    try:
        yield
    except OSError as error:
        raise FovflowError(
            f"cannot read {error.filename or os.fspath(path)}",
            found=broken_link(error.filename or path) or error.strerror or str(error),
            remedy="check that the file is there and that you may read it",
        ) from error


@contextmanager
def explained(
    message: str, *kinds: type[Exception], remedy: str | None = None, name_kind: bool = False
) -> Iterator[None]:
    """Turn errors of these kinds, by default all, into a `FovflowError` that quotes them.

    With `name_kind`, the kind of the error is quoted too.
    """
    caught = kinds or (Exception,)
    try:
        yield
    except caught as error:
        if isinstance(error, FovflowError):
            raise
        kind = type(error).__name__
        found = f"{kind}: {error}" if name_kind else str(error) or kind
        raise FovflowError(message, found=found, remedy=remedy) from error


def did_you_mean(given: object, known: Iterable[str], cutoff: float = 0.6) -> str:
    """Return, in parentheses, which known term is near what was given; empty where none is."""
    near = difflib.get_close_matches(str(given), list(known), n=1, cutoff=cutoff)
    return f" (did you mean {near[0]}?)" if near else ""


def check_columns(table: str, there: Iterable[object], needed: Iterable[str]) -> None:
    """Raise a `FovflowError` where a table, which `table` names, lacks a column that is needed."""
    found, needed = list(map(str, there)), list(needed)
    if lacking := [name for name in needed if name not in found]:
        raise FovflowError(
            f"{table} lacks {', '.join(lacking)}",
            found=", ".join(found),
            remedy=f"give the columns {', '.join(needed)}",
        )


def complain(text: str, *, before: str = "") -> None:
    """Print a sentence on the error stream; a stream that is gone or full is no error.

    `before` steers the terminal and is written as it is.
    """
    with suppress(OSError, ValueError):
        print(before + printable(text), file=unguarded(sys.stderr), flush=True)


class ConfigError(FovflowError):
    """The configuration or a command line is wrong (exit status 2)."""
