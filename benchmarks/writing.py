"""Ways to write a stack: which of them take less time, on this machine and file system.

Each way writes the same frames to one file, takes their SHA-256 and flushes the file, in turn with
all others; the table gives medians.

    python -m benchmarks.writing [--folder FOLDER] [--rounds 10] [--frames 16] [--side 2048]
"""

from __future__ import annotations

import argparse
import hashlib
import mmap
import os
import resource
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import numpy as np

Frames = list[memoryview]


def plain(path: Path, frames: Frames) -> None:
    """Write a frame, hash it, go on: what the package does."""
    _write(path, frames, _hash_after)


def preallocated(path: Path, frames: Frames) -> None:
    """Reserve the whole file first."""
    _write(path, frames, _hash_after, before=lambda f: os.posix_fallocate(f, 0, _size(frames)))


def hashed_beside(path: Path, frames: Frames) -> None:
    """Hash a frame in a thread while it is written."""
    with ThreadPoolExecutor(1) as pool:
        _write(path, frames, lambda file, data, sha: _hash_beside(pool, file, data, sha))


def flushed_early(path: Path, frames: Frames) -> None:
    """Ask the system after each frame to begin to bring it to the disk."""

    def step(file: int, data: memoryview, sha: hashlib._Hash) -> None:
        _hash_after(file, data, sha)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)

    _write(path, frames, step)


def in_pieces(path: Path, frames: Frames) -> None:
    """Write and hash pieces of 256 kB, which stay in the processor's cache between the two."""

    def step(file: int, data: memoryview, sha: hashlib._Hash) -> None:
        for begin in range(0, len(data), 1 << 18):
            _hash_after(file, data[begin : begin + (1 << 18)], sha)

    _write(path, frames, step)


def past_the_cache(path: Path, frames: Frames) -> None:
    """Write past the page cache (O_DIRECT), from memory that begins at a page."""
    buffer = mmap.mmap(-1, len(frames[0]))

    def step(file: int, data: memoryview, sha: hashlib._Hash) -> None:
        buffer[:] = data
        os.write(file, buffer)
        sha.update(data)

    _write(path, frames, step, flags=os.O_DIRECT)


WAYS = (plain, preallocated, hashed_beside, flushed_early, in_pieces, past_the_cache)


def _size(frames: Frames) -> int:
    return sum(map(len, frames))


def _write(
    path: Path,
    frames: Frames,
    step: Callable[[int, memoryview, hashlib._Hash], None],
    *,
    before: Callable[[int], object] = lambda _: None,
    flags: int = 0,
) -> None:
    sha = hashlib.sha256()
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | flags)
    try:
        before(file)
        for data in frames:
            step(file, data, sha)
        os.fsync(file)
    finally:
        os.close(file)


def _hash_after(file: int, data: memoryview, sha: hashlib._Hash) -> None:
    os.write(file, data)
    sha.update(data)


def _hash_beside(pool: ThreadPoolExecutor, file: int, data: memoryview, sha: hashlib._Hash) -> None:
    done = pool.submit(sha.update, data)
    os.write(file, data)
    done.result()


def _spent() -> tuple[float, float, float]:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return time.perf_counter(), used.ru_utime, used.ru_stime


def main() -> None:
    """Measure all ways in turn and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--side", type=int, default=2048)
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    shape = given.side, given.side
    frames = [
        memoryview(rng.integers(0, 4096, shape).astype(np.uint16)).cast("B")
        for _ in range(given.frames)
    ]
    spent: dict[str, list[list[float]]] = {way.__name__: [] for way in WAYS}
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        for _ in range(given.rounds):
            for way in WAYS:
                before = _spent()
                way(Path(folder, "stack"), frames)
                pairs = zip(_spent(), before, strict=True)
                spent[way.__name__].append([1e3 * (b - a) / given.frames for b, a in pairs])
                Path(folder, "stack").unlink()
    print(f"ms per frame of {given.side}², uint16; medians of {given.rounds} rounds in turn")
    print("| way | wall | CPU | of it system |\n| --- | --- | --- | --- |")
    for name, rows in spent.items():
        wall, _, system = (median(column) for column in zip(*rows, strict=True))
        cpu = median(row[1] + row[2] for row in rows)
        print(f"| {name.replace('_', ' ')} | {wall:.1f} | {cpu:.1f} | {system:.1f} |")


if __name__ == "__main__":
    main()
