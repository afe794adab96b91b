"""Atomic files: whatever exists under its final name is whole."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

_SUFFIX = ".part"
_PIECE = 1 << 18
"""Bytes that are read at a time."""


@dataclass(frozen=True, slots=True)
class Digest:
    """Size and SHA-256 (64 hexadecimal digits) of a file's content."""

    bytes: int
    sha256: str


_collected: dict[str, Digest] | None = None


@contextmanager
def collect_digests() -> Iterator[dict[str, Digest]]:
    """Take the SHA-256 of every file that this process writes inside the block.

    It is made of the bytes on their way to the file: nothing is read again. The dict is by final
    name, as `os.path.abspath` gives it; it grows as files are completed.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, collect_digests() as digests:
    ...     write_text(f"{folder}/a", "abc")
    ...     [digest.sha256[:8] for digest in digests.values()]
    ['ba7816bf']
    """
    global _collected  # noqa: PLW0603  (of the process: a job is a process)
    before, _collected = _collected, {}
    try:
        yield _collected
    finally:
        _collected = before


class _Hashed:
    """A binary file that takes the SHA-256 of what is written to it, in order.

    It is no file of `io` by intention: NumPy writes around Python into those.
    """

    def __init__(self, file: IO[bytes]):
        self._under = file
        self._hash = hashlib.sha256()
        self._count = 0
        self._in_order = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._under, name)

    def write(self, data: Any) -> int:
        size = self._under.write(data)
        self._hash.update(data)
        self._count += size
        return size

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move: from now on the hash tells nothing, and the file is read again at the end."""
        self._in_order = False
        return self._under.seek(offset, whence)

    def digest(self, path: Path) -> Digest:
        """Return the digest of the file, which is complete and flushed."""
        size = os.fstat(self._under.fileno()).st_size
        if self._in_order and size == self._count:
            return Digest(size, self._hash.hexdigest())
        return digest_of(path)


def digest_of(
    content: str | os.PathLike[str] | IO[bytes], each: Callable[[bytes], object] | None = None
) -> Digest:
    """Return size and SHA-256 of a file, or of what is left of an open one, read in pieces.

    `each` gets each piece, such as the ``write`` of a file that becomes a copy.
    """
    if isinstance(content, str | os.PathLike):
        with Path(content).open("rb", buffering=0) as file:
            return digest_of(file, each)
    sha256, size = hashlib.sha256(), 0
    buffer = memoryview(bytearray(_PIECE))
    while count := content.readinto(buffer):  # type: ignore[attr-defined]
        sha256.update(buffer[:count])
        size += count
        if each is not None:
            each(bytes(buffer[:count]))
    return Digest(size, sha256.hexdigest())


def sha256_or_none(path: str | os.PathLike[str]) -> str | None:
    """Return the SHA-256 of a file's content; None where it cannot be read."""
    try:
        return digest_of(path).sha256
    except OSError:
        return None


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
    temporary = _temporary(target)
    digests = _collected
    try:
        with temporary.open("xb") as binary:
            hashed = None if digests is None else _Hashed(binary)
            file: Any = hashed or binary
            if "b" not in mode:
                file = io.TextIOWrapper(file, encoding="utf-8", newline="\n")
            yield file
            file.flush()
            os.fsync(binary.fileno())
            digest = None if hashed is None else hashed.digest(temporary)
            if "b" not in mode:
                file.detach()
        temporary.replace(target)
        if digests is not None and digest is not None:
            digests[os.path.abspath(target)] = digest  # noqa: PTH100
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    _sync_folder(target.parent)


@contextmanager
def atomic_files(paths: Mapping[str, str | os.PathLike[str]], label: str) -> Iterator[Work]:
    """Let code that wants file names write several files that appear when the block ends well.

    All final names, by key, are in one folder, which is made if need be. Inside the block, there is
    for each key a path to write to, which has the final file's own name, in a hidden folder whose
    name has `label` in it; leftovers of killed writers with the same label are removed.

    Raises FileNotFoundError if one was not written; its ``filename`` is the key. Files that exist
    stay as they were.
    """
    targets = {key: Path(path) for key, path in paths.items()}
    (folder,) = {target.parent for target in targets.values()}
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(f".{label}.*{_SUFFIX}"):
        shutil.rmtree(left, ignore_errors=True)
    temporary = folder / f".{label}.{uuid.uuid4().hex}{_SUFFIX}"
    temporary.mkdir()
    work = Work({key: temporary / target.name for key, target in targets.items()}, temporary)
    try:
        yield work
        for key, path in work.paths.items():
            if not path.is_file():
                raise FileNotFoundError(errno.ENOENT, "not written", key)
            with path.open("rb") as file:
                os.fsync(file.fileno())
        for key, path in work.paths.items():
            path.replace(targets[key])
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    _sync_folder(folder)


@dataclass(frozen=True, slots=True)
class Work:
    """Where `atomic_files` lets write: a path for each key, and the folder of all."""

    paths: dict[str, Path]
    folder: Path


def unnamed_file(path: str | os.PathLike[str]) -> io.BufferedRandom:
    """Open a file without a name, for reading and writing, on the disk where `path` will lie.

    It is gone when it is closed, also when the process is killed. It has a name for a moment: where
    the process is killed in between, `atomic_open` of `path` cleans up.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(target)
    file = temporary.open("x+b")
    temporary.unlink(missing_ok=True)
    return file


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


def _temporary(target: Path) -> Path:
    """Return a new name that `remove_leftovers` of the target knows."""
    return target.with_name(f".{target.name}.{uuid.uuid4().hex}{_SUFFIX}")


def _sync_folder(folder: Path) -> None:
    with suppress(OSError):  # some file systems cannot sync a folder
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
