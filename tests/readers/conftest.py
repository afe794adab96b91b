"""Every test here must close what it opens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

_DESCRIPTORS = Path("/proc/self/fd")


def open_files() -> list[str]:
    """Return the regular files that this process has open."""
    found = []
    for entry in list(_DESCRIPTORS.iterdir()):
        try:
            target = str(entry.readlink())
        except OSError:
            continue
        if target.startswith("/") and not target.startswith(("/dev/", "/proc/", "/memfd:")):
            found.append(target)
    return sorted(found)


@pytest.fixture(autouse=True)
def _no_file_left_open(request: pytest.FixtureRequest) -> Iterator[None]:
    before = open_files()
    yield
    after = open_files()
    for path in before:
        if path in after:
            after.remove(path)
    if after:
        pytest.fail(f"{request.node.name} left open: {', '.join(after)}")


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    """Return random frames (T, P, C, Y, X), which tests only read."""
    return np.random.default_rng(1).integers(0, 65536, (4, 3, 2, 12, 10), dtype=np.uint16)


@pytest.fixture
def stack() -> np.ndarray:
    """Return a random stack of frames."""
    return np.random.default_rng(2).integers(0, 65536, (5, 12, 16), dtype=np.uint16)
