"""The status of one FOV, from the files that a run makes and the records of its jobs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fovflow.records import read_json_object, through_json


@dataclass(frozen=True, slots=True)
class Made:
    """A file that a run makes: the step, the record of its job, and its name."""

    step: str
    record: str
    path: str


def fov_status(made: list[Made], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the status of one FOV.

    Parameters
    ----------
    made : list of Made
        Every file that stays, in the order of the steps.
    options : mapping of str to object
        Today's parameters of each step.

    Returns
    -------
    dict
        ``status`` is ``complete``; ``failed`` with ``step`` and ``error``; ``outdated`` with
        ``step``, where files were made with other parameters; or ``incomplete`` with the first
        ``step`` whose files are missing and that has left no error (not run yet, or killed).
    """
    records = {item.record: read_json_object(item.record) for item in made}
    for item in made:  # on a cluster, a failed step takes the files of those before with it
        record = records[item.record]
        if record.get("status") == "failed":
            error = {"status": "failed", "step": item.step, "error": record.get("error", "")}
            if record.get("frame") is not None:
                error["frame"] = record["frame"]
            return error
    for item in made:
        record = records[item.record]
        if not Path(item.path).exists():
            return {"status": "incomplete", "step": item.step}
        if "options" in record and record["options"] != through_json(options.get(item.step)):
            return {"status": "outdated", "step": item.step}
    return {"status": "complete"}
