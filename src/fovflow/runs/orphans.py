"""Jobs with SLURM whose Snakemake was killed: they go on writing, and nobody waits for them.

A second run would hand in the same fields of view, and each would remove what the other makes.
Locks of files do not tell of jobs that still wait in the queue.
"""

from __future__ import annotations

import os
import sys

from fovflow.errors import FovflowError
from fovflow.runs.clusterjobs import SLURM
from fovflow.runs.form import FINAL
from fovflow.runs.slurm import jobs_of
from fovflow.runs.store import RunFolder, list_runs


def slurm_orphans(outdir: str | os.PathLike[str]) -> FovflowError | None:
    """Return the error that stands against a new run on an output folder, where there is one.

    Parameters
    ----------
    outdir : path-like

    Returns
    -------
    FovflowError or None
        With the jobs' numbers, and the command that cancels them.
    """
    return next(filter(None, map(_left, list_runs(outdir))), None)


def _left(run: RunFolder) -> FovflowError | None:
    """Return what is to be said of a run that has not ended and has jobs left."""
    try:
        record = run.read_record()
    except FovflowError:
        return None
    cluster = record.get("cluster") or {}
    if record.get("status") in FINAL or cluster.get("scheduler") != SLURM:
        return None
    name = str(cluster.get("name"))
    left = jobs_of(name)
    if left is None:
        print(
            f"warning: cannot ask SLURM whether jobs of the run {run.id}, which was killed, are "
            f"still at work; look with: squeue --name {name}",
            file=sys.stderr,
        )
    if not left:
        return None
    return FovflowError(
        f"jobs of the run {run.id}, which was killed, are still with SLURM and write into this "
        "folder",
        found=f"SLURM jobs {', '.join(left)}",
        remedy=f"cancel them with: scancel --name {name} (or wait until they have ended: squeue "
        f"--name {name}), then run again",
    )
