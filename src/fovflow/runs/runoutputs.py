"""What a run left behind: every output as it stood when the run ended."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from fovflow.atomic import Digest
from fovflow.runs.jobrecords import Attempt, newest_attempts
from fovflow.runs.store import RunFolder, list_runs


@dataclass(frozen=True, slots=True)
class Output:
    """An output: its name relative to the output folder, its digest, and who made it."""

    path: str
    digest: Digest | None
    attempt: Attempt


def outdir_of(run: RunFolder) -> Path:
    """Return the output folder that a run belongs to."""
    return run.path.parent.parent


def outputs_of(run: RunFolder) -> dict[str, Output]:
    """Return the outputs as of the end of a run, by name relative to the output folder.

    These are the outputs that the run made, and those of earlier runs of the folder that it found
    up to date: a run that was stopped and one that completed its work are told alike from one that
    did all at once.
    """
    runs = [other for other in list_runs(outdir_of(run)) if other.id <= run.id]
    found: dict[str, Output] = {}
    for (dataset, _), attempt in newest_attempts(runs).items():
        for name, digest in attempt.outputs.items():
            path = os.path.normpath(os.path.join(dataset, name))  # noqa: PTH118
            found[path] = Output(path, digest, attempt)
    return dict(sorted(found.items()))
