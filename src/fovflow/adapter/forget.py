"""Let Snakemake make a file again at the next run, though it is there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any


def forget(file: Path, workflow: Any, inputs: list[Path]) -> None:
    """Date a file before its inputs, and let Snakemake forget that it was ever made.

    Parameters
    ----------
    file : pathlib.Path
    workflow : snakemake.workflow.Workflow
    inputs : list of pathlib.Path
        Those that do not exist are left out.
    """
    from snakemake.io import IOFile

    before = min([path.stat().st_mtime for path in inputs if path.exists()], default=1.0) - 1
    os.utime(file, (before, before))
    workflow.persistence.cleanup_metadata(IOFile(str(file), rule=None))
