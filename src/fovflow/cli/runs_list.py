"""``fovflow runs list``: the runs of an output folder, oldest first."""

from __future__ import annotations

import argparse
import json
from typing import Any

from fovflow.cli.outdir import add_outdir, chosen_outdir
from fovflow.errors import FovflowError
from fovflow.events import seconds_of
from fovflow.runs.screen import clock
from fovflow.runs.store import RunFolder, list_runs, read_run
from fovflow.runs.view import counts

EXAMPLE = "fovflow runs list results"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the arguments."""
    add_outdir(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")


def main(arguments: argparse.Namespace) -> int:
    """Print the runs."""
    entries = [
        entry
        for run in list_runs(chosen_outdir(arguments.outdir))
        if (entry := run_entry(run)) is not None
    ]
    if arguments.json:
        print(json.dumps(entries, indent=2, ensure_ascii=False))
    else:
        print(format_runs(entries))
    return 0


def run_entry(run: RunFolder) -> dict[str, Any] | None:
    """Return what the list tells of a run; None where its record cannot be read."""
    try:
        record = run.read_record()
        status = run.status()
    except (FovflowError, KeyError, OSError):
        return None
    keys = ("id", "name", "started", "ended", "created", "description", "command")
    entry = {key: record.get(key) for key in keys}
    return {
        "id": entry["id"] or run.id,
        "name": entry["name"],
        "status": status,
        "started": entry["started"],
        "ended": entry["ended"],
        "created": entry["created"],
        "seconds": _seconds(record),
        "kind": record.get("kind"),
        "workflow_type": record.get("workflow_type"),
        "description": entry["description"],
        "tags": record.get("tags") or [],
        "counts": record.get("counts") or _counts(run),
        "command": entry["command"],
        "folder": str(run.path),
    }


def format_runs(entries: list[dict[str, Any]]) -> str:
    """Return the list as a table for people."""
    if not entries:
        return "no runs are recorded here"
    rows = [("name", "status", "started (UTC)", "time", "jobs", "id")]
    for entry in entries:
        found = entry["counts"]
        jobs = f"{found['completed']}/{found['total']}" if found else ""
        started = str(entry["started"] or entry["created"] or "")[:19].replace("T", " ")
        spent = "" if entry["seconds"] is None else clock(entry["seconds"])
        rows.append((str(entry["name"]), entry["status"], started, spent, jobs, entry["id"]))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(f"{text:<{width}}" for text, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _counts(run: RunFolder) -> dict[str, int] | None:
    """Count the jobs of a run that has not written down how it ended."""
    view = read_run(run)
    return counts(view) if view.total else None


def _seconds(record: dict[str, Any]) -> float | None:
    if not record.get("started") or not record.get("ended"):
        return None
    return round(seconds_of(record["ended"]) - seconds_of(record["started"]), 3)
