"""``fovflow report``: the page that shows what came out of a run."""

from __future__ import annotations

import argparse
from pathlib import Path

EXAMPLE = "fovflow report results"
CONFIG = "config/config.yaml"
PAGE = "report.html"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the arguments."""
    parser.add_argument(
        "outdir",
        nargs="?",
        help="output folder, or one dataset's folder in it (default: the configuration's, else "
        "results)",
    )
    parser.add_argument("--configfile", default=CONFIG, help=f"configuration (default: {CONFIG})")
    parser.add_argument("--out", help=f"file to write (default: OUTDIR/{PAGE})")


def main(arguments: argparse.Namespace) -> int:
    """Write the page and print where it is."""
    from fovflow.report import write_report
    from fovflow.results import FILE_NAME

    folder = Path(arguments.outdir or _configured(Path(arguments.configfile)))
    page = Path(arguments.out or folder / PAGE)
    if (folder / FILE_NAME).is_file():
        place = folder.resolve()
        write_report(page, place.parent, [place.name])
    else:
        write_report(page, folder)
    print(page)
    return 0


def _configured(configfile: Path) -> str:
    from fovflow.config import parse_config
    from fovflow.tables import read_yaml

    return parse_config(read_yaml(configfile)).outdir if configfile.exists() else "results"
