"""What the commands share: their form, arguments that several of them have, and how they print."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from fovflow.runs.store import RunFolder

Argument = Callable[[argparse.ArgumentParser], object]
"""Adds itself to a parser."""

CONFIG = "config/config.yaml"


class Command(NamedTuple):
    """A command of the terminal."""

    run: Callable[..., int]
    """Takes the values of the arguments by name; returns the exit status."""
    example: str
    arguments: tuple[Argument, ...]
    description: str | None = None
    """In place of the line that the table of commands has."""
    usage: str | None = None
    passes_on: bool = False
    """Whether unknown options and arguments are accepted; they are the value of ``rest``."""

    def texts(self, summary: str) -> dict[str, Any]:
        """Return the texts of the command's parser, for `argparse.ArgumentParser`."""
        return {
            "usage": self.usage,
            "description": self.description or f"{summary[0].upper()}{summary[1:]}.",
            "epilog": f"example:\n  {self.example}",
            "formatter_class": argparse.RawDescriptionHelpFormatter,
        }

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Define the arguments."""
        for add in self.arguments:
            add(parser)


def command(
    example: str, *arguments: Argument, **options: Any
) -> Callable[[Callable[..., int]], Command]:
    """Make a function the command of its name; `options` are further attributes of `Command`."""
    return lambda run: Command(run, example, arguments, **options)


def argument(*names: str, **options: Any) -> Argument:
    """Return an argument, as `argparse.ArgumentParser.add_argument` takes it."""
    return lambda parser: parser.add_argument(*names, **options)


def flag(*names: str, **options: Any) -> Argument:
    """Return an option that takes no value."""
    return argument(*names, action="store_true", **options)


def _cores(text: str) -> str:
    if text != "all" and not (text.isdecimal() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 on, nor all")
    return text


_OUTDIR = "output folder (default: the configuration's, else results)"
OUTDIR = argument("outdir", nargs="?", help=_OUTDIR)
OUTDIR_OPTION = argument("--outdir", help=_OUTDIR)
CONFIGFILE = argument("--configfile", default=CONFIG, help=f"configuration (default: {CONFIG})")
RUN = argument("run", metavar="RUN", help="id, name, path of a run's folder, or an output folder")
FOLDER = argument(
    "folder",
    nargs="?",
    help="a dataset's folder, or the output folder (default: the configuration's, else results)",
)
CORES = argument("--cores", type=_cores, default="all", help="cores to use (default: all)")
JSON = flag("--json", help="print JSON")


def is_given(configfile: str) -> bool:
    """Tell whether there is a configuration to read: one that is named has to be there."""
    return configfile != CONFIG or Path(configfile).exists()


def chosen_outdir(given: str | None, configfile: str = CONFIG) -> Path:
    """Return the output folder: the one that was given, the configuration's, or ``results``."""
    if given is not None:
        return Path(given)
    if is_given(configfile):
        from fovflow.config.load import read_config

        outdir = read_config(configfile).get("outdir")
        if isinstance(outdir, str):
            return Path(outdir).expanduser()
    return Path("results")


def chosen_run(outdir: str | None, wanted: str | None) -> RunFolder:
    """Return the run that was asked for; see `fovflow.runs.store.find_run`."""
    from fovflow.runs.store import find_run

    return find_run(chosen_outdir(outdir), wanted)


def print_result(
    as_json: bool,
    content: object,
    text: Callable[[], str | Iterable[str]],
    *,
    ascii_only: bool = False,
) -> None:
    """Print what a command found: `content` as JSON, or for people what `text` returns."""
    if as_json:
        import json

        ascii_only = ascii_only or str(getattr(sys.stdout, "encoding", "")).lower() != "utf-8"
        print(json.dumps(content, indent=2, ensure_ascii=ascii_only, default=str), flush=True)
    else:
        found = text()
        print(found if isinstance(found, str) else "\n".join(found), flush=True)
