"""``fovflow inspect``: what a raw file holds."""

from __future__ import annotations

import argparse
import json

EXAMPLE = "fovflow inspect data/plate1.nd2"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the arguments."""
    parser.add_argument(
        "file", help="raw file, OME-Zarr folder, or quoted pattern of a TIFF series"
    )
    parser.add_argument("--pattern", help="for a series: such as '{position}/{channel}_{time}.tif'")
    parser.add_argument("--json", action="store_true", help="print JSON")


def main(arguments: argparse.Namespace) -> int:
    """Print the description."""
    from fovflow.readers import open_raw
    from fovflow.readers.describe import describe, format_description

    with open_raw(arguments.file, pattern=arguments.pattern) as raw:
        description = describe(raw, arguments.file, arguments.pattern)
    if arguments.json:
        print(json.dumps(description, indent=2, ensure_ascii=False))
    else:
        print(format_description(description))
    return 0
