"""The output folder that a command is about."""

from __future__ import annotations

import argparse
from pathlib import Path

CONFIG = "config/config.yaml"


def add_outdir(parser: argparse.ArgumentParser, *, option: bool = False) -> None:
    """Define the argument ``outdir``; as ``--outdir`` where the command's subject is another."""
    text = "output folder (default: the configuration's, else results)"
    if option:
        parser.add_argument("--outdir", help=text)
    else:
        parser.add_argument("outdir", nargs="?", help=text)


def chosen_outdir(given: str | None, configfile: str = CONFIG) -> Path:
    """Return the output folder: the one that was given, the configuration's, or ``results``."""
    if given is not None:
        return Path(given)
    if Path(configfile).exists():
        from fovflow.tables import read_yaml

        content = read_yaml(configfile)
        if isinstance(content, dict) and isinstance(content.get("outdir"), str):
            return Path(content["outdir"])
    return Path("results")
