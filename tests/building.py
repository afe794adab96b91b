"""Wheel and sdist of a source folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def build(source: Path, kind: str, folder: Path) -> Path:
    """Build a wheel or an sdist without network; return the file."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(folder)]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    (built,) = folder.glob("*.whl" if kind == "wheel" else "*.tar.gz")
    return built
