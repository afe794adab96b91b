"""``fovflow runs lineage``: where a file comes from, and what was made from it."""

from __future__ import annotations

import argparse
import json

EXAMPLE = "fovflow runs lineage results/plate1/fov_003/plate1_fov_003_traces.csv"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the arguments."""
    parser.add_argument("file", metavar="FILE", help="a file in a dataset's folder")
    parser.add_argument("--json", action="store_true", help="print JSON")


def main(arguments: argparse.Namespace) -> int:
    """Print the lineage; return 0."""
    from fovflow.runs.lineage import format_lineage, trace

    lineage = trace(arguments.file)
    if arguments.json:
        print(json.dumps(lineage.to_json(), indent=2, ensure_ascii=False))
    else:
        print("\n".join(format_lineage(lineage)))
    return 0
