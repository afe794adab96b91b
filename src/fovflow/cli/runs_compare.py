"""``fovflow runs compare``: what two runs do not share."""

from __future__ import annotations

import argparse
import json

from fovflow.cli.outdir import add_outdir, chosen_outdir

EXAMPLE = "fovflow runs compare brave-otter results_of_a_colleague"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the arguments."""
    words = "a run: id, name, path of its folder, or an output folder (its last run)"
    parser.add_argument("first", metavar="A", help=words)
    parser.add_argument("second", metavar="B", help="another")
    add_outdir(parser, option=True)
    parser.add_argument("--json", action="store_true", help="print JSON")


def main(arguments: argparse.Namespace) -> int:
    """Print the differences; return 1 if there is one that matters."""
    from fovflow.runs.compare import compare_runs, format_comparison
    from fovflow.runs.store import find_run

    outdir = chosen_outdir(arguments.outdir)
    runs = [find_run(outdir, name) for name in (arguments.first, arguments.second)]
    found = compare_runs(*runs)
    if arguments.json:
        print(json.dumps(found.to_json(), indent=2, ensure_ascii=False))
    else:
        print("\n".join(format_comparison(found)))
    return 0 if found.same else 1
