"""Where tests find real example files that are not part of the project."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def shared_data(name: str) -> Path:
    """Return the path of a third-party example file; skip the test where it is absent.

    With ``CI=true`` the test fails then, as for all else that is absent (see ``conftest.py``).
    The folder is ``../shared/data`` beside the checkout, or ``FOVFLOW_TEST_DATA``.
    """
    folder = Path(os.environ.get("FOVFLOW_TEST_DATA", ROOT.parent / "shared" / "data"))
    path = folder / name
    if not path.exists():
        pytest.skip(f"example file {name} is not in {folder}")
    return path
