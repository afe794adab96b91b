"""``fovflow runs``: records of runs; each subcommand is a module of its own."""

from __future__ import annotations

import argparse
import importlib

EXAMPLE = "fovflow runs list results"

SUBCOMMANDS = {
    "list": ("fovflow.cli.runs_list", "list the runs of an output folder"),
    "show": ("fovflow.cli.runs_show", "show one run: status, errors, jobs, attempts, alerts"),
    "compare": ("fovflow.cli.runs_compare", "show what two runs do not share, and if it matters"),
    "lineage": ("fovflow.cli.runs_lineage", "show where a file comes from, back to the raw data"),
    "export": ("fovflow.cli.runs_export", "write a dataset's manifest as W3C PROV"),
}
"""Name of a subcommand: its module (EXAMPLE, add_arguments, main) and what it does."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the subcommands and their arguments."""
    parts = parser.add_subparsers(dest="part", required=True, metavar="SUBCOMMAND")
    for name, (module, what) in SUBCOMMANDS.items():
        found = importlib.import_module(module)
        part = parts.add_parser(
            name,
            help=what,
            description=f"{what[0].upper()}{what[1:]}.",
            epilog=f"example:\n  {found.EXAMPLE}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        found.add_arguments(part)


def main(arguments: argparse.Namespace) -> int:
    """Run a subcommand."""
    module = importlib.import_module(SUBCOMMANDS[arguments.part][0])
    return int(module.main(arguments))
