"""``fovflow runs export``: a dataset's manifest in the words of W3C PROV."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

EXAMPLE = "fovflow runs export results/plate1 --to plate1_prov.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the arguments."""
    parser.add_argument("folder", metavar="FOLDER", help="a dataset's folder with its manifest")
    parser.add_argument(
        "--format", choices=["prov-json"], default="prov-json", help="(default: prov-json)"
    )
    parser.add_argument("--to", metavar="FILE", help="file to write (default: print it)")


def main(arguments: argparse.Namespace) -> int:
    """Print or write the document."""
    from fovflow.atomic import write_text
    from fovflow.errors import FovflowError
    from fovflow.runs.crate import FILE_NAME
    from fovflow.runs.prov import to_prov
    from fovflow.tables import read_json

    folder = Path(arguments.folder)
    manifest = folder / FILE_NAME
    if not manifest.exists():
        raise FovflowError(
            f"there is no {FILE_NAME} in {folder}",
            remedy="give the folder of a dataset, such as results/plate1",
        )
    content = read_json(manifest)
    if not isinstance(content, dict) or not isinstance(content.get("@graph"), list):
        raise FovflowError(f"{manifest} is no RO-Crate: it has no list @graph")
    text = json.dumps(to_prov(content, folder.resolve().name), indent=1, ensure_ascii=False) + "\n"
    if arguments.to is None:
        print(text, end="")
    else:
        write_text(arguments.to, text)
        print(f"written: {arguments.to}")
    return 0
