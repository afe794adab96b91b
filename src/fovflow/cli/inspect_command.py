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
    parser.add_argument(
        "--estimate", action="store_true", help="tell the memory, disk and files of a whole run"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def main(arguments: argparse.Namespace) -> int:
    """Print the description."""
    from fovflow.planning.needs import estimate, format_estimate
    from fovflow.readers import open_raw
    from fovflow.readers.describe import describe, format_description

    with open_raw(arguments.file, pattern=arguments.pattern) as raw:
        description = describe(raw, arguments.file, arguments.pattern)
        info = raw.info
    found = estimate(
        len(info.positions), info.n_frames, info.height, info.width, len(info.channels)
    )
    if arguments.json:
        description |= {"estimate": found} if arguments.estimate else {}
        print(json.dumps(description, indent=2, ensure_ascii=False))
    else:
        print(format_description(description))
        if arguments.estimate:
            print(f"\n{format_estimate(found)}")
    return 0
