"""``fovflow restore``: do a recorded run again."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fovflow.runs.restore import Restoration
    from fovflow.runs.store import RunFolder

from fovflow.cli.outdir import add_outdir, chosen_outdir

EXAMPLE = "fovflow restore brave-otter"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the arguments."""
    parser.add_argument(
        "run", metavar="RUN", help="id, name, path of a run's folder, or an output folder"
    )
    parser.add_argument("--run", dest="execute", action="store_true", help="run the command")
    add_outdir(parser, option=True)
    parser.add_argument("--json", action="store_true", help="print JSON")


def main(arguments: argparse.Namespace) -> int:
    """Print what changed and the command; run it where asked.

    Returns
    -------
    int
        0; with ``--run`` 1 if the command failed or an output came out otherwise than recorded.
    """
    from fovflow.adapter.recording import describe_today
    from fovflow.runs.restore import restoration
    from fovflow.runs.store import find_run

    run = find_run(chosen_outdir(arguments.outdir), arguments.run)
    found = restoration(run, describe_today(run.read_record()))
    if arguments.json:
        print(json.dumps(found.to_json(), indent=2, ensure_ascii=False), flush=True)
    else:
        for difference in found.drift:
            print(
                f"changed: {difference.section}: {difference.key}: "
                f"then {difference.first}, today {difference.second}"
            )
        for note in found.notes:
            print(f"note: {note}")
        if not found.drift:
            print("unchanged: code, configuration, environment and inputs are as they were")
        print(found.line, flush=True)
    return _run(run, found) if arguments.execute else 0


def _run(run: RunFolder, found: Restoration) -> int:
    """Run the command; compare what it made with what the run recorded."""
    from fovflow.runs.jobs import outputs_of
    from fovflow.runs.restore import check_reproduction

    then = outputs_of(run)
    try:
        done = subprocess.run(found.command, cwd=found.directory, check=False)
    except OSError as error:
        print(f"cannot run the command: {error.strerror or error}", file=sys.stderr)
        return 1
    made = check_reproduction(run, then=then)
    for path in made.different:
        print(f"{path}: differs from what the run recorded", file=sys.stderr)
    for path in made.missing:
        print(f"{path}: was not made again", file=sys.stderr)
    total = len(made.equal) + len(made.different) + len(made.missing)
    print(f"{len(made.equal)} of {total} outputs are byte for byte those of {run.id}")
    return 0 if done.returncode == 0 and made.ok else 1
