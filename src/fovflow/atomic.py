"""Atomic files: whatever exists under its final name is whole."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

_SUFFIX = ".part"


@contextmanager
def atomic_open(path: str | os.PathLike[str], mode: str = "w") -> Iterator[IO[Any]]:
    r"""Open a temporary file beside `path` that takes its name when the block ends well.

    The data are flushed to disk before the rename, so that neither a killed process nor a power
    loss leaves half a file under the final name. Two processes may write the same file at once:
    each has a temporary name of its own. Leftovers of killed writers of the same file are removed.

    Parameters
    ----------
    path : path-like
        The final name; its folder is made if need be.
    mode : {"w", "wb"}
        Text files are UTF-8 with ``\n`` line ends.

    Yields
    ------
    file object
        Open for writing. An exception inside the block removes the temporary file and leaves a
        previous file of that name as it was.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(target)
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}{_SUFFIX}")
    text: dict[str, Any] = {} if "b" in mode else {"encoding": "utf-8", "newline": "\n"}
    try:
        with temporary.open(mode.replace("w", "x"), **text) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    _sync_folder(target.parent)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write `text` to `path` atomically."""
    with atomic_open(path) as file:
        file.write(text)


def remove_leftovers(path: str | os.PathLike[str]) -> None:
    """Remove temporary files that killed writers of `path` left behind."""
    target = Path(path)
    prefix = f".{target.name}."
    with suppress(OSError):
        for entry in os.scandir(target.parent):
            if entry.name.startswith(prefix) and entry.name.endswith(_SUFFIX):
                with suppress(OSError):
                    Path(entry.path).unlink()


def _sync_folder(folder: Path) -> None:
    with suppress(OSError):  # some file systems cannot sync a folder
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
