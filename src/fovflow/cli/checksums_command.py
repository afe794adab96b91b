"""``fovflow checksums``: lists of raw data and outputs with their SHA-256, written or checked."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from fovflow.cli.bytesbar import bytes_bar
from fovflow.cli.outdir import CONFIG, chosen_outdir

EXAMPLE = "fovflow checksums raw --write        # later: fovflow checksums raw"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the arguments."""
    parser.add_argument("what", choices=("raw", "outputs"), help="which files")
    parser.add_argument(
        "folders",
        nargs="*",
        help="of outputs: folders (default: the configuration's output folder)",
    )
    parser.add_argument(
        "--write", action="store_true", help="write the list; without it, compare with the list"
    )
    parser.add_argument(
        "--list", metavar="FILE", help="the list (default: raw_data.sha256 or outputs.sha256)"
    )
    parser.add_argument(
        "--configfile", default=CONFIG, metavar="FILE", help=f"configuration (default: {CONFIG})"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def main(arguments: argparse.Namespace) -> int:
    """Write the list, or compare; return 1 if anything differs from the list."""
    from fovflow.config.load import load_config
    from fovflow.errors import ConfigError
    from fovflow.runs import checksums

    name = {"raw": checksums.RAW_LIST, "outputs": checksums.OUTPUT_LIST}[arguments.what]
    former = arguments.list or checksums.default_list(name)
    name = arguments.list or name if arguments.write else former
    if arguments.what == "raw" and arguments.folders:
        raise ConfigError("raw takes no folders", remedy="the configuration names the raw data")
    listed = None if arguments.write else checksums.read_list(name)
    with bytes_bar(name) as advance:
        if arguments.what == "raw":
            found = checksums.raw_data(load_config(arguments.configfile), advance=advance)
        else:
            folders = arguments.folders or [chosen_outdir(None, arguments.configfile)]
            found = checksums.outputs(map(Path, folders), advance=advance)
    problems = [] if listed is None else checksums.differences(listed, found, name=name)
    if listed is None:
        checksums.write_list(name, found, former)
    amount = f"{len(found)} files, {sum(item.bytes or 0 for item in found) / 1e6:.1f} MB"
    if arguments.json:
        content = {"list": name, "problems": problems, "files": [asdict(item) for item in found]}
        print(json.dumps(content, indent=2, ensure_ascii=False))
    elif listed is None:
        print(f"{name}: {amount} listed")
    else:
        print("\n".join([*problems, f"{name}: {amount} {'differ' if problems else 'as listed'}"]))
    return 1 if problems else 0
