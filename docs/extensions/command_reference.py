"""The reference of the commands, as Markdown, from their argparse parsers."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from functools import partial

from fovflow.cli import COMMANDS, command_parser

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|])")


def command_reference() -> str:
    """Return a section for each command and each of its subcommands."""
    lines = ["| command | what it does |", "|---|---|"]
    lines += [
        f"| [`fovflow {name}`](#fovflow-{name}) | {what} |" for name, (_, what) in COMMANDS.items()
    ]
    for name in COMMANDS:
        lines += ["", *_section(command_parser(name), 2)]
    return "\n".join(lines)


def subcommands(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    """Return the parsers of a parser's subcommands."""
    found = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    return [part for action in found for part in action.choices.values()]


def _section(parser: argparse.ArgumentParser, level: int) -> Iterator[str]:
    parser.formatter_class = partial(argparse.HelpFormatter, width=88)
    yield f"{'#' * level} `{parser.prog}`"
    yield ""
    yield _escape(parser.description or "")
    yield ""
    yield "```text"
    yield re.sub(r"^usage: ", "", parser.format_usage()).rstrip()
    yield "```"
    shown = [
        action
        for action in parser._actions
        if not isinstance(action, argparse._HelpAction | argparse._SubParsersAction)
    ]
    if shown:
        yield from ("", "| argument | what it is |", "|---|---|")
        yield from (f"| {_name(action)} | {_meaning(parser, action)} |" for action in shown)
    if parser.epilog:
        example = parser.epilog.removeprefix("example:").strip()
        yield from ("", "Example:", "", "```text", example, "```")
    for part in subcommands(parser):
        yield ""
        yield from _section(part, level + 1)


def _name(action: argparse.Action) -> str:
    value = action.metavar or action.dest.upper()
    if not action.option_strings:
        return f"`{action.metavar or action.dest}`"
    if action.nargs == 0:
        return ", ".join(f"`{option}`" for option in action.option_strings)
    several = " …" if action.nargs in ("+", "*") else ""
    return ", ".join(f"`{option} {value}{several}`" for option in action.option_strings)


def _meaning(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    text = (action.help or "") % {**vars(action), "prog": parser.prog}
    given = f" ({', '.join(map(str, action.choices))})" if action.choices else ""
    return _escape(text + given)


def _escape(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))
