"""Atomic files: whatever exists under its final name is whole."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any

from fovflow.userfiles import open_regular

_SUFFIX = ".part"
_PIECE = 1 << 18
"""Bytes that are read at a time."""

LEFT_AFTER_DAYS = 7
"""Age from which temporary files count as left behind whose writer cannot be asked after: those of
other machines, and of this one before it was started anew."""


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


class _Writer:
    """A binary file that names its target where writing fails, and hashes what is written in order.

    It is no file of `io` by intention: NumPy writes around Python into those.
    """

    def __init__(self, file: IO[bytes], blame: Callable[[], AbstractContextManager[None]]):
        self._under = file
        self._blame = blame
        self._hash = None if _collected is None else hashlib.sha256()
        self._count = 0
        self._in_order = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._under, name)

    def write(self, data: Any) -> int:
        with self._blame():
            size = self._under.write(data)
        if self._hash is not None:
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
        if self._hash is not None and self._in_order and size == self._count:
            return Digest(size, self._hash.hexdigest())
        return digest_of(path)


def digest_of(
    content: str | os.PathLike[str] | IO[bytes], each: Callable[[bytes], object] | None = None
) -> Digest:
    """Return size and SHA-256 of a file, or of what is left of an open one, read in pieces.

    `each` gets each piece, such as the ``write`` of a file that becomes a copy.
    """
    if isinstance(content, str | os.PathLike):
        with open_regular(content, buffering=0) as file:
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
def atomic_open(
    path: str | os.PathLike[str], mode: str = "w", *, size: int | None = None
) -> Iterator[IO[Any]]:
    r"""Open a temporary file beside `path` that takes its name when the block ends well.

    The data are flushed to disk before the rename, so that neither a killed process nor a power
    loss leaves half a file under the final name. Threads, processes and machines may write the
    same file at once: each has a temporary file of its own, and the last that is complete stays.
    Leftovers of dead writers of the same file are removed, see `remove_leftovers`.

    Parameters
    ----------
    path : path-like
        The final name; its folder is made if need be.
    mode : {"w", "wb"}
        Text files are UTF-8 with ``\n`` line ends.
    size : int, optional
        Bytes that the file is going to have: they are reserved, and named where the disk is full.

    Yields
    ------
    file object
        Open for writing. An exception inside the block removes the temporary file and leaves a
        previous file of that name as it was. An OSError of writing has the final name.
    """
    target = Path(path)

    def blame() -> AbstractContextManager[None]:
        return blaming(target, size)

    with blame():
        target.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(target)
    temporary = _temporary(target)
    digests = _collected
    try:
        with blame():
            binary = temporary.open("xb")
            _reserve(binary.fileno(), size or 0)
        writer = _Writer(binary, blame)
        file: Any = writer
        try:
            if "b" not in mode:
                file = io.TextIOWrapper(file, encoding="utf-8", newline="\n")
            yield file
            with blame():
                file.flush()
                os.fsync(binary.fileno())
            digest = None if digests is None else writer.digest(temporary)
            if "b" not in mode:
                file.detach()
        finally:
            with blame():
                binary.close()
        with blame():
            temporary.replace(target)
            _sync_folder(target.parent)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    if digests is not None and digest is not None:
        digests[os.path.abspath(target)] = digest  # noqa: PTH100


_KEEP_SIZE = 1
_WORTH_RESERVING = 1 << 20


def _reserve(file: int, size: int) -> None:
    """Reserve space for a file where the system can: later writes take half of the system's time.

    `os.posix_fallocate` is no choice: where a file system cannot, it writes to every block.
    """
    if sys.platform == "linux" and size >= _WORTH_RESERVING:
        import ctypes

        fallocate = ctypes.CDLL(None).fallocate
        fallocate(file, _KEEP_SIZE, ctypes.c_int64(0), ctypes.c_int64(size))


@contextmanager
def blaming(target: Path, size: int | None = None) -> Iterator[None]:
    """Give the system's errors the final name of the file, and the space that it needs."""
    try:
        yield
    except OSError as error:
        name = error.filename
        if not isinstance(name, str) or is_temporary(name):
            error.filename, error.filename2 = os.fspath(target), None
        if size is not None:
            error.add_note(f"{target.name} needs {size / 1e6:.1f} MB")
        raise


@contextmanager
def atomic_files(paths: Mapping[str, str | os.PathLike[str]], label: str) -> Iterator[Work]:
    """Let code that wants file names write several files that appear when the block ends well.

    All final names, by key, are in one folder, which is made if need be. Inside the block, there is
    for each key a path to write to, which has the final file's own name, in a hidden folder whose
    name has `label` in it; leftovers of dead writers with the same label are removed.

    Raises FileNotFoundError if one was not written; its ``filename`` is the key. Files that exist
    stay as they were.
    """
    targets = {key: Path(path) for key, path in paths.items()}
    (folder,) = {target.parent for target in targets.values()}
    with _work_folder(folder / label) as temporary:
        work = Work({key: temporary / target.name for key, target in targets.items()}, temporary)
        yield work
        for key, path in work.paths.items():
            if not path.is_file():
                raise FileNotFoundError(errno.ENOENT, "not written", key)
            _sync_file(path, targets[key])
        for key, path in work.paths.items():
            with blaming(targets[key]):
                path.replace(targets[key])
                _sync_folder(folder)


@contextmanager
def atomic_entries(folder: str | os.PathLike[str], label: str) -> Iterator[Path]:
    """Let code write files and folders that appear in `folder`, made if need be, when all is well.

    Yields a hidden folder in it, whose name has `label` in it, to write to. When the block ends
    well, what lies there takes its place, and that of what had its name before. Leftovers of dead
    writers with the same label are removed.
    """
    place = Path(folder)
    with _work_folder(place / label) as temporary:
        inside, before = temporary / "new", temporary / "before"
        inside.mkdir()
        before.mkdir()
        yield inside
        for path in sorted(inside.rglob("*")):
            if path.is_file():
                _sync_file(path, place / path.relative_to(inside))
        for path in sorted(inside.iterdir()):
            target = place / path.name
            with blaming(target):
                if target.is_dir():
                    target.rename(before / path.name)
                path.replace(target)
        _sync_folder(place)


@contextmanager
def _work_folder(target: Path) -> Iterator[Path]:
    """Make a hidden folder beside `target`, which is removed at the end."""
    temporary = _temporary(target)
    with blaming(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(target)
        temporary.mkdir()
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _sync_file(path: Path, target: Path) -> None:
    with blaming(target), path.open("rb") as file:
        os.fsync(file.fileno())


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
    with blaming(target), ExitStack() as undo:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = _temporary(target)
        file = undo.enter_context(temporary.open("x+b"))
        temporary.unlink(missing_ok=True)
        undo.pop_all()
    return file


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write `text` to `path` atomically."""
    with atomic_open(path) as file:
        file.write(text)


def remove_leftovers(path: str | os.PathLike[str]) -> None:
    """Remove temporary files and folders that dead writers of `path` left behind.

    A writer is dead if its process, on this machine since its last start, is gone; what others
    left goes after `LEFT_AFTER_DAYS`.
    """
    target = Path(path)
    prefix = f".{target.name}."
    with suppress(OSError):
        for entry in os.scandir(target.parent):
            if entry.name.startswith(prefix) and entry.name.endswith(_SUFFIX):
                _remove_if(entry, _is_left)


def remove_leftovers_in(folder: str | os.PathLike[str], besides: Collection[str] = ()) -> None:
    """Remove what dead writers of any file left in a folder and in those inside it.

    Folders whose names are in `besides` are left alone, and so are names that tell no writer.
    """
    places = [os.fspath(folder)]
    while places:
        with suppress(OSError):
            for entry in os.scandir(places.pop()):
                if is_temporary(entry.name):
                    _remove_if(entry, was_left)
                elif entry.name not in besides and entry.is_dir(follow_symlinks=False):
                    places.append(entry.path)


def _remove_if(entry: os.DirEntry[str], is_left: Callable[[str, float], bool]) -> None:
    with suppress(OSError):
        if is_left(entry.name, entry.stat(follow_symlinks=False).st_mtime):
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            else:
                Path(entry.path).unlink()


def is_temporary(name: str) -> bool:
    """Tell whether a file's name, or path, is that of something half written."""
    return os.path.basename(name).startswith(".") and name.endswith(_SUFFIX)  # noqa: PTH119


def temporary_name(name: str) -> str:
    """Return a new name, for what becomes a file of that name, that tells who writes."""
    pid = os.getpid()
    writer = f"{_machine()}-{pid}-{_process(pid)[1]}-{os.urandom(4).hex()}"
    return f".{name}.{writer}{_SUFFIX}"


def _temporary(target: Path) -> Path:
    if not target.name:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(target))
    return target.with_name(temporary_name(target.name))


_WRITER = re.compile(r"\.([0-9a-f]{8})-(\d{1,9})-(\d*)-[0-9a-f]{8}" + re.escape(_SUFFIX) + r"\Z")


def was_left(name: str, modified: float) -> bool:
    """Tell whether a file in any folder is what a dead writer left: see `temporary_name`.

    `modified`: when it was written to last, in seconds since the epoch.
    """
    return _WRITER.search(name) is not None and _is_left(name, modified)


def _is_left(name: str, modified: float) -> bool:
    """Tell whether the writer of a temporary file, named in its own name, is dead for certain."""
    named = _WRITER.search(name)
    if named is None or named[1] != _machine():
        return time.time() - modified > LEFT_AFTER_DAYS * 86_400
    pid, began = int(named[2]), named[3]
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass  # another user's
    state, now = _process(pid)
    return state in ("Z", "X") or (bool(began and now) and began != now)


@cache
def _machine() -> str:
    """Return what tells this machine, since its start, from others, and containers on it apart."""
    facts = [os.uname().nodename]
    with suppress(OSError):
        facts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii"))
        facts.append(str(Path("/proc/self/ns/pid").readlink()))
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:8]


def _process(pid: int) -> tuple[str, str]:
    """Return the state of a process of this machine, and when it began, in ticks.

    The texts are empty where the system hides them. State Z is that of one that has ended and that
    nobody has asked after.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        fields = stat.rpartition(")")[2].split()
        return fields[0], fields[19]
    except (OSError, IndexError):
        return "", ""


_UNABLE = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EACCES, errno.EPERM, errno.EISDIR})
"""What file systems say that cannot sync a folder."""


def _sync_folder(folder: Path) -> None:
    try:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in _UNABLE:
            raise
