"""``fovflow publish``: copy what a run left behind to another place."""

from __future__ import annotations

import argparse
import json
import sys

from fovflow.cli.bytesbar import bytes_bar
from fovflow.cli.outdir import add_outdir, chosen_outdir

EXAMPLE = "fovflow publish brave-otter /archive/plate1"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the arguments."""
    parser.add_argument(
        "run", metavar="RUN", help="id, name, path of a run's folder, or an output folder"
    )
    parser.add_argument(
        "destination", metavar="DEST", help="a folder, or a URL such as s3://bucket/plate1"
    )
    add_outdir(parser, option=True)
    parser.add_argument("--json", action="store_true", help="print JSON")


def main(arguments: argparse.Namespace) -> int:
    """Copy; return 1 if anything could not be copied."""
    from fovflow.runs.publish import publish
    from fovflow.runs.store import find_run

    run = find_run(chosen_outdir(arguments.outdir), arguments.run)
    with bytes_bar("publish") as advance:
        outcome = publish(
            run, arguments.destination, advance=lambda _, step, total: advance(step, total)
        )
    if arguments.json:
        print(json.dumps({"run": run.id, **outcome.to_json()}, indent=2, ensure_ascii=False))
    else:
        for path, why in outcome.failed.items():
            print(f"{path}: {why}", file=sys.stderr)
        print(
            f"{run.id}: {len(outcome.copied)} files copied ({outcome.bytes / 1e6:.1f} MB, "
            f"{len(outcome.repaired)} of them anew), {len(outcome.kept)} were there already, "
            f"{len(outcome.failed)} failed"
        )
    return 1 if outcome.failed else 0
