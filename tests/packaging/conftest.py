"""The project built as users get it, and installed where nothing else of it is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from building import build
from paths import ROOT

NOBODY = 65534


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


@dataclass(frozen=True)
class Reviewer:
    """Somebody with an environment of their own.

    Attributes
    ----------
    installed : Installed
    become : list of str
        Words before a command that run it as this user; none where it is the same user.
    uid : int
    """

    installed: Installed
    become: list[str]
    uid: int


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


def install(wheel: Path, folder: Path, interpreter: str) -> Installed:
    """Install the wheel in an empty environment; its dependencies are those of this process.

    A line in a .pth file makes the other environment's packages importable, but does not read the
    .pth files there: an editable installation of the checkout is not seen.
    """
    command = [interpreter, "-m", "venv", "--without-pip", str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    subprocess.run(
        [
            sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"),
            "--disable-pip-version-check", "install", "--quiet", "--no-deps", "--no-index",
            str(wheel),
        ],
        check=True,
        capture_output=True,
    )  # fmt: skip
    (packages,) = (folder / "lib").glob("python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return Installed(folder)


@pytest.fixture(scope="session")
def installed(wheel: Path, public_folder: Path) -> Installed:
    """The wheel in an empty environment."""
    return install(wheel, public_folder / "environment", sys.executable)


def can_use(become: list[str], interpreter: str) -> bool:
    """Tell whether a user can run a Python and read this process's packages.

    A shell in between matters: setpriv itself may start programs that its new user may not.
    """
    probe = "import sys, runpy; sys.path.append(sys.argv[1]); import numpy, cv2; assert runpy"
    packages = sysconfig.get_path("purelib")
    done = subprocess.run(
        [*become, "sh", "-c", 'cd / && "$@"', "sh", interpreter, "-c", probe, packages],
        check=False,
        capture_output=True,
    )
    return done.returncode == 0


@pytest.fixture(scope="session")
def reviewer(wheel: Path, public_folder: Path) -> Reviewer:
    """Another user, where this process may become one, with an environment of its own."""
    become = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--"]
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    found = [shutil.which(name, path=place) for place in ("/usr/bin", "/usr/local/bin")]
    pythons = [sys.executable, *filter(None, found)]
    usable = []
    if os.getuid() == 0 and shutil.which("setpriv"):
        usable = [python for python in pythons if can_use(become, python)]
    folder = public_folder / "elsewhere"
    if usable:
        return Reviewer(install(wheel, folder, usable[0]), become, NOBODY)
    return Reviewer(install(wheel, folder, sys.executable), [], os.getuid())
