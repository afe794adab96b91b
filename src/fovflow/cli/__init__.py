"""The ``fovflow`` command."""

from __future__ import annotations

import argparse
import importlib
import os
import re
import sys
from collections.abc import Sequence
from keyword import iskeyword
from typing import TYPE_CHECKING, Any, NoReturn

from fovflow import __version__
from fovflow.errors import (
    FORBIDDEN,
    ConfigError,
    FovflowError,
    did_you_mean,
    sentence_of_system,
)
from fovflow.terminal import safe_output

if TYPE_CHECKING:
    from fovflow.cli.common import Command

COMMANDS = {
    "init": ("project", "lay out a project folder with a commented configuration"),
    "try": ("trying", "show what settings of segmentation find, side by side, in a page"),
    "train": ("training", "train the network of segment.method unet on cells that you outlined"),
    "run": ("run", "run the pipeline; everything after `run` is passed on to snakemake"),
    "demo": ("project", "simulate a small movie, run the pipeline on it, compare with the truth"),
    "inspect": ("data", "show what a raw file holds: axes, channels, positions, times, warnings"),
    "status": ("show", "show what is complete, what failed and why"),
    "watch": ("show", "follow a run live, or show how it ended"),
    "runs": ("runs", "list and show the records of runs"),
    "why": ("run", "say in plain words what would run now, and why"),
    "verify": ("checks", "compare every output with what was recorded when it was made"),
    "repair": ("checks", "make outputs again that are damaged or gone, byte for byte"),
    "verdicts": ("checks", "list people's verdicts on cells, or carry over those of other traces"),
    "checksums": (
        "checks",
        "list raw data or outputs with their SHA-256, or compare them with the list",
    ),
    "restore": ("run", "say what has changed since a run and how it is done again, or do it"),
    "publish": ("checks", "copy what a run left behind to another place, checked and resumable"),
    "report": ("show", "make the page that shows what came out of a run: report.html"),
    "overlay": ("show", "draw the cells that were found over the images"),
    "export": ("doors", "write results in the forms of other programs: OME-TIFF, geff, h5ad, …"),
    "napari": ("doors", "open results in napari: images, cells and tracks"),
    "merge": ("analysis", "merge results in several folders into tables of samples"),
    "fit": ("analysis", "fit a kinetic model to each cell of analysis CSVs"),
    "statistics": ("analysis", "compare the conditions of samples, replicate by replicate"),
    "simulate": ("data", "write a simulated movie with known truth"),
    "bench": ("run", "measure speed and memory of the steps and of whole runs on this machine"),
}
"""The module of each command, where it is a `Command` of its name (`try_`), and what it does."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status: 0 done, 1 failed, 2 wrong usage or config."""
    with safe_output():
        try:
            return _dispatch(list(sys.argv[1:] if argv is None else argv))
        except FovflowError as error:
            print(f"fovflow: {error}", file=sys.stderr)
            return 2 if isinstance(error, ConfigError) else 1
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        except OSError as error:
            print(f"fovflow: {sentence_of_system(error)}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("fovflow: stopped", file=sys.stderr)
            return 130


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] not in COMMANDS:
        _parser().parse_args(arguments or ["--help"])
        return 2
    name, *rest = arguments
    command, parser = _command(name), command_parser(name)
    if command.passes_on:
        known, rest = parser.parse_known_args(rest)
        known.rest = rest
    else:
        known = parser.parse_args(rest)
    given = {name: _expanded(value) for name, value in vars(known).items()}
    try:
        return command.run(**given)
    except OSError as error:
        if error.errno not in FORBIDDEN or "out" not in given:
            raise
        raise FovflowError(f"{sentence_of_system(error)}, or write elsewhere with --out") from error


def _expanded(value: Any) -> Any:
    """Expand ``~`` in what a shell has left: ``--outdir=~/x``."""
    if isinstance(value, list):
        return [_expanded(each) for each in value]
    return os.path.expanduser(value) if isinstance(value, str) else value  # noqa: PTH111


class Parser(argparse.ArgumentParser):
    """A parser that says which command, choice or option is near what was given."""

    def error(self, message: str) -> NoReturn:
        """End with status 2, and what may be meant."""
        if match := re.search(r"invalid choice: '(.*)' \(choose from (.*)\)$", message):
            message += did_you_mean(match[1], re.findall(r"[\w-]+", match[2]))
        elif match := re.search(r"unrecognized arguments: (--[\w-]+)", message):
            message += did_you_mean(match[1], self._option_string_actions)
        super().error(message)


def command_parser(name: str) -> argparse.ArgumentParser:
    """Return the parser of one command's arguments."""
    command = _command(name)
    parser = Parser(prog=f"fovflow {name}", **command.texts(COMMANDS[name][1]))
    command.add_arguments(parser)
    return parser


def _command(name: str) -> Command:
    module = importlib.import_module(f"fovflow.cli.{COMMANDS[name][0]}")
    found: Command = getattr(module, f"{name}_" if iskeyword(name) else name)
    return found


def _parser() -> argparse.ArgumentParser:
    width = max(map(len, COMMANDS))
    listed = "\n".join(f"  {name:<{width}}  {what}" for name, (_, what) in COMMANDS.items())
    parser = Parser(
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
