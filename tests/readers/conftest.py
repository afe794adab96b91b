"""Every test here must close what it opens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

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
