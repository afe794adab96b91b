"""``fovflow verify``: every output against what was recorded when it was made."""

from __future__ import annotations

import argparse
import json

from fovflow.cli.bytesbar import bytes_bar

EXAMPLE = "fovflow verify results"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the arguments."""
    parser.add_argument(
        "folder",
        nargs="?",
        default="results",
        help="a dataset's folder, or the output folder (default: results)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def main(arguments: argparse.Namespace) -> int:
    """Print what does not hold, one line each; return 1 if there is anything."""
    from fovflow.runs.verify import format_report, verify

    with bytes_bar("verify") as advance:
        report = verify(arguments.folder, advance=advance)
    if arguments.json:
        print(json.dumps(report.to_json(), indent=2, ensure_ascii=False))
    else:
        print("\n".join(format_report(report)))
    return 0 if report.ok else 1
