"""The ``fovflow`` command."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any

from fovflow import __version__
from fovflow.errors import ConfigError, FovflowError

COMMANDS = {
    "init": "lay out a project folder with a commented configuration",
    "run": "run the pipeline; everything after `run` is passed on to snakemake",
    "demo": "simulate a small movie, run the pipeline on it, compare with the truth",
    "inspect": "show what a raw file holds: axes, channels, positions, times, warnings",
    "status": "show what is complete, what failed and why",
    "watch": "follow a run live, or show how it ended",
    "runs": "list and show the records of runs",
    "why": "say in plain words what would run now, and why",
    "verify": "compare every output with what was recorded when it was made",
    "checksums": "list raw data or outputs with their SHA-256, or compare them with the list",
    "restore": "say what has changed since a run and how it is done again, or do it",
    "publish": "copy what a run left behind to another place, checked and resumable",
    "report": "make the page that shows what came out of a run: report.html",
    "overlay": "draw the cells that were found over the images",
    "simulate": "write a simulated movie with known truth",
    "bench": "measure speed and memory of the steps and of whole runs on this machine",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status: 0 done, 1 failed, 2 wrong usage or config."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        return _dispatch(arguments)
    except ConfigError as error:
        print(f"fovflow: {error}", file=sys.stderr)
        return 2
    except FovflowError as error:
        print(f"fovflow: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("fovflow: stopped", file=sys.stderr)
        return 130


def _dispatch(arguments: list[str]) -> int:
    parser = _parser()
    if not arguments or arguments[0] not in COMMANDS:
        parser.parse_args(arguments or ["--help"])
        return 2
    name = arguments[0]
    module = _module(name)
    command = command_parser(name)
    if getattr(module, "PASSES_ON", False):
        known, rest = command.parse_known_args(arguments[1:])
        known.rest = rest
        return int(module.main(known))
    return int(module.main(command.parse_args(arguments[1:])))


def command_parser(name: str) -> argparse.ArgumentParser:
    """Return the parser of one command's arguments."""
    module = _module(name)
    command = argparse.ArgumentParser(
        prog=f"fovflow {name}",
        description=COMMANDS[name][0].upper() + COMMANDS[name][1:] + ".",
        epilog=f"example:\n  {module.EXAMPLE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.add_arguments(command)
    return command


def _module(name: str) -> Any:
    return importlib.import_module(f"fovflow.cli.{name}_command")


def _parser() -> argparse.ArgumentParser:
    width = max(map(len, COMMANDS))
    listed = "\n".join(f"  {name:<{width}}  {what}" for name, what in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="fovflow",
        description="Live-cell time-lapse microscopy to quality-flagged single-cell traces.",
        epilog=f"commands:\n{listed}\n\nexample:\n  fovflow init my_project && cd my_project\n"
        "  fovflow run --cores 4\n\n`fovflow COMMAND --help` tells more.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="fovflow [-h] [--version] COMMAND …",
    )
    parser.add_argument("--version", action="version", version=f"fovflow {__version__}")
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help=argparse.SUPPRESS)
    return parser
