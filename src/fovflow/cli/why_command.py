"""``fovflow why``: what would run now, and why, in plain words."""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Iterable

from fovflow.adapter.engine import snakemake_command
from fovflow.units import format_ranges

EXAMPLE = "fovflow why"
PASSES_ON = True

_JOB = re.compile(r"^(?:Job \d+: (?P<message>.+)|(?:local)?(?:rule|checkpoint) (?P<rule>\S+):)$")
_REASON = re.compile(r"^\s*[Rr]eason: (?P<reason>.+)$")
_FOV = re.compile(r"^(?P<dataset>.+), FOV (?P<fov>\d+): (?P<step>.+)$")
_FOV_IN_NAME = re.compile(r"fov_\d+")
_WORDS = (
    (r"Missing output files: (?P<files>.+)", "missing: {files}"),
    (r"(?:Params|Parameters) have changed since last execution(?:: .*)?", "its parameters changed"),
    (r"Set of input files has changed since last execution(?:: .*)?", "its set of inputs changed"),
    (r"Code has changed since last execution(?:: .*)?", "its code changed"),
    (
        r"Software environment definition has changed since last execution(?:: .*)?",
        "its software environment changed",
    ),
    (r"Updated input files: (?P<files>.+)", "newer than what was made from it: {files}"),
    (r"Input files updated by another job: (?P<files>.+)", "an earlier step runs again"),
    (r"Incomplete output files: (?P<files>.+)", "an earlier run was stopped while making {files}"),
    (r"Forced execution", "it was asked for by force"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the arguments."""
    parser.usage = "fovflow why [--json] [SNAKEMAKE OPTIONS] [TARGETS]"
    parser.add_argument("--json", action="store_true", help="print JSON")


def main(arguments: argparse.Namespace) -> int:
    """Print what would run; return 1 if that cannot be told."""
    command = snakemake_command(["--dry-run", "--nocolor", "--quiet", "host", *arguments.rest])
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print((done.stderr or done.stdout).strip(), file=sys.stderr)
        return 1
    jobs = read_dry_run(f"{done.stdout}\n{done.stderr}".splitlines())
    if arguments.json:
        print(json.dumps([{"job": job, "reason": why} for job, why in jobs], indent=2))
    else:
        print(format_jobs(jobs))
    return 0


def read_dry_run(lines: Iterable[str]) -> list[tuple[str, str]]:
    """Return (job, reason in plain words) for each job of a dry run's output."""
    jobs: list[tuple[str, str]] = []
    current = None
    for line in lines:
        job = _JOB.match(line.rstrip())
        if job:
            current = job["message"] or job["rule"]
            continue
        reason = _REASON.match(line)
        if reason and current:
            jobs.append((current, in_words(reason["reason"])))
            current = None
    return jobs


def in_words(reason: str) -> str:
    """Translate a reason of Snakemake's.

    Examples
    --------
    >>> in_words("Params have changed since last execution: before: 1 now: 2")
    'its parameters changed'
    """
    found = []
    for pattern, words in _WORDS:
        match = re.search(pattern.replace(".+)", "[^;]+)").replace(": .*", ": [^;]*"), reason)
        if match:
            names = match.groupdict().get("files") or ""
            short = ", ".join(name.strip().rpartition("/")[2] for name in names.split(",")[:3])
            more = len(names.split(",")) - 3
            found.append(words.format(files=short + (f" and {more} more" if more > 0 else "")))
    return "; ".join(found) or reason


def format_jobs(jobs: list[tuple[str, str]]) -> str:
    """Return the jobs as text: first those with causes of their own, then what follows.

    Jobs of one step and cause in several FOVs of a dataset are one line.
    """
    if not jobs:
        return "Nothing to be done: everything is complete and up to date."
    follows = "an earlier step runs again"
    lines = [f"{job}: {why}" for job, why in _grouped(jobs) if why != follows]
    rest = [job for job, why in _grouped(jobs) if why == follows]
    if rest:
        lines += ["", "and, because an earlier step runs again:", *(f"  {job}" for job in rest)]
    return "\n".join(lines)


def _grouped(jobs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Join jobs that differ only in their FOV."""
    groups: dict[tuple[str, str, str], list[int]] = {}
    for job, why in jobs:
        match = _FOV.match(job)
        if match:
            key = (match["dataset"], match["step"], _FOV_IN_NAME.sub("fov_…", why))
            groups.setdefault(key, []).append(int(match["fov"]))
        else:
            groups.setdefault(("", job, why), [])
    return [
        (f"{dataset}, {'FOVs' if len(fovs) > 1 else 'FOV'} {format_ranges(fovs)}: {step}", why)
        if fovs
        else (step, why)
        for (dataset, step, why), fovs in groups.items()
    ]
