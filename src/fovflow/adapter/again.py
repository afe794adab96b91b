"""Whether another attempt is worth its time: an error in the data comes again, whatever is done.

Attempts are for jobs that were killed, ran out of memory or time, or lost their machine or file
system for a moment. On a cluster an attempt begins with the first step of the field of view, so
that the first job of it looks at how the attempt before has ended.
"""

from __future__ import annotations

from pathlib import Path

from fovflow.errors import FovflowError
from fovflow.tables import read_json


def may_pass(error: BaseException) -> bool:
    """Tell whether an error need not come again: memory, disk, network, file system."""
    return isinstance(error, MemoryError | OSError)


class NotAgainError(Exception):
    """The attempt before has failed in a way that this one would, too.

    Parameters
    ----------
    message : str
    own : bool
        Whether it was this very job that failed, and not another of its field of view.
    """

    def __init__(self, message: str, *, own: bool):
        super().__init__(message)
        self.own = own


def check_worth(own: Path, run: str, attempt: int) -> None:
    """Raise where an earlier attempt of the same run failed with an error that comes again.

    Parameters
    ----------
    own : pathlib.Path
        Status record of the job; those of the other steps of its field of view lie beside it.
    run : str
        Id of the run; nothing is known of jobs that are not part of one.
    attempt : int
        Number of this attempt.

    Raises
    ------
    NotAgainError
        With the error of that attempt.
    """
    if attempt < 2 or not run:
        return
    for file in sorted(own.parent.glob("*.json")):
        try:
            record = read_json(file)
        except FovflowError:
            continue
        if not isinstance(record, dict) or record.get("status") != "failed":
            continue
        if record.get("run") == run and not record.get("may_pass"):
            raise NotAgainError(
                f"not tried again: {record.get('step')} has failed in this run with an error that "
                f"comes again: {record.get('error')}",
                own=file.name == own.name,
            )
