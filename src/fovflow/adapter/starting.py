"""How the engine is started."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from fovflow.errors import FovflowError


def workflow_folder() -> Path:
    """Return the folder of the Snakefile: inside the installed package, or the clone's top."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "workflow", package.parents[1]):
        if (folder / "Snakefile").is_file():
            return folder
    raise FovflowError(
        "the workflow is not installed with the package",
        found=f"no Snakefile in {package / 'workflow'}",
        remedy="install fovflow from its wheel, or work in a clone",
    )


def snakemake_command(arguments: Sequence[str]) -> list[str]:
    """Return the command line that runs Snakemake on this package's workflow.

    Parameters
    ----------
    arguments : sequence of str
        Options and targets for Snakemake. Without ``--cores`` or a profile that says otherwise
        all cores are used.
    """
    given = list(arguments)
    chooses = ("--cores", "-c", "--jobs", "-j", "--profile", "--workflow-profile", "--unlock")
    if not any(item.split("=")[0] in chooses or item[:2] in ("-c", "-j") for item in given):
        given = ["--cores", "all", *given]
    snakefile = workflow_folder() / "Snakefile"
    return [sys.executable, "-m", "snakemake", "--snakefile", str(snakefile), *given]
