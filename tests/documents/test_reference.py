"""The reference on the site has every key, command and public name."""

from __future__ import annotations

import argparse
import importlib
import inspect
import re
import zlib
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest

import fovflow
from fovflow.cli import COMMANDS, command_parser
from fovflow.config import config_schema

pytestmark = pytest.mark.slow  # makes the site

ARRAY_ROOMS = ("segmentation", "background", "tracking", "features", "quality")

IN_ONE_LINE = {"range", "step"}
"""Keys of ``frames``, which are described there."""


def plain(text: str) -> str:
    return unescape(re.sub(r"<[^>]+>", "", text))


def first_cells(text: str) -> list[str]:
    return [plain(cell) for cell in re.findall(r"<tr[^>]*><td>(.*?)</td>", text, re.DOTALL)]


def keys_of(schema: object) -> Iterator[str]:
    if isinstance(schema, dict):
        properties = schema.get("properties")
        yield from properties if isinstance(properties, dict) else ()
        for part in schema.values():
            yield from keys_of(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from keys_of(part)


def test_every_key_of_the_configuration(site: Path):
    text = (site / "configuration.html").read_text(encoding="utf-8")
    described = {cell.strip() for cell in first_cells(text)}
    keys = set(keys_of(config_schema())) - IN_ONE_LINE
    assert len(keys) > 100
    row = next(row for row in re.findall(r"<tr.*?</tr>", text, re.S) if ">frames<" in row)
    assert all(f"{key}:" in plain(row) for key in IN_ONE_LINE)
    assert keys <= described
    assert described <= keys


def parsers() -> Iterator[argparse.ArgumentParser]:
    for name in COMMANDS:
        yield from with_subcommands(command_parser(name))


def with_subcommands(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for part in action.choices.values():
                yield from with_subcommands(part)


def test_every_command_and_argument(site: Path):
    text = (site / "commands.html").read_text(encoding="utf-8")
    sections = {
        plain(title).rstrip("#¶").strip(): body
        for title, body in re.findall(
            r"<h[23]>(.*?)</h[23]>(.*?)(?=<section|</section>)", text, re.S
        )
    }
    found = list(parsers())
    assert set(sections) == {parser.prog for parser in found}
    assert {f"fovflow {name}" for name in COMMANDS} <= set(sections)
    for parser in found:
        cells = " ".join(first_cells(sections[parser.prog]))
        for action in parser._actions:
            if isinstance(action, argparse._HelpAction | argparse._SubParsersAction):
                continue
            for name in action.option_strings or [action.metavar or action.dest]:
                assert re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", cells), (
                    parser.prog,
                    name,
                )


def inventory(site: Path) -> set[str]:
    packed = (site / "objects.inv").read_bytes().split(b"\n", 4)[4]
    lines = zlib.decompress(packed).decode().splitlines()
    return {line.split(" ", 1)[0] for line in lines if " py:" in line}


def test_every_public_name(site: Path):
    names = inventory(site)
    assert {f"fovflow.{name}" for name in fovflow.__all__ if name != "__version__"} <= names


@pytest.mark.parametrize("room", ARRAY_ROOMS)
def test_every_function_on_arrays(site: Path, room: str):
    names = inventory(site)
    module = importlib.import_module(f"fovflow.{room}")
    functions = [name for name in module.__all__ if inspect.isfunction(getattr(module, name))]
    assert functions
    for name in functions:
        assert {f"fovflow.{name}", f"fovflow.{room}.{name}"} & names, name


def test_docstrings_of_public_methods_are_there(site: Path):
    names = inventory(site)
    for method, _ in inspect.getmembers(fovflow.Run, inspect.isfunction):
        if not method.startswith("_"):
            assert f"fovflow.Run.{method}" in names
