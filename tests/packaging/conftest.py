"""The project built as users get it, and installed where nothing else of it is."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tempfile
import venv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from building import build
from paths import ROOT


@dataclass(frozen=True)
class Installed:
    """An environment of its own with the wheel in it."""

    folder: Path

    @property
    def command(self) -> Path:
        """The ``fovflow`` command."""
        return self.folder / "bin" / "fovflow"

    def run(self, *arguments: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
        """Run ``fovflow`` with arguments in a folder, without this process's Python paths."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "FOVFLOW"))}
        return subprocess.run(
            [str(self.command), *arguments],
            cwd=cwd,
            env={**kept, **env},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of the checkout."""
    return build(ROOT, "wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An sdist of the checkout."""
    return build(ROOT, "sdist", tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="session")
def public_folder() -> Iterator[Path]:
    """A folder that other users can enter, which they cannot with pytest's own; removed again."""
    with tempfile.TemporaryDirectory(prefix="fovflow-test-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="session")
def installed(wheel: Path, public_folder: Path) -> Installed:
    """The wheel in an empty environment; its dependencies are those of this process.

    A line in a .pth file makes the other environment's packages importable, but does not read the
    .pth files there: an editable installation of the checkout is not seen.
    """
    folder = public_folder / "environment"
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    subprocess.run(
        [
            sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check",
            "install", "--quiet", "--no-deps", "--no-index", str(wheel),
        ],
        check=True,
        capture_output=True,
    )  # fmt: skip
    (packages,) = (folder / "lib").glob("python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return Installed(folder)
