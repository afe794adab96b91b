"""Commands on files and their checksums: verify, checksums, publish."""

from __future__ import annotations

import sys
from pathlib import Path

from fovflow.cli.common import (
    CONFIG,
    FOLDER,
    JSON,
    OUTDIR_OPTION,
    RUN,
    argument,
    chosen_outdir,
    chosen_run,
    command,
    print_result,
)
from fovflow.progress import Progress
from fovflow.units import megabytes


@command(
    "fovflow verify results",
    FOLDER,
    argument(
        "--raw",
        action="store_true",
        help="read the raw data in full, too, and compare them with the pixels that were copied",
    ),
    JSON,
)
def verify(folder: str, raw: bool, json: bool) -> int:
    """Print what does not hold, one line each; return 1 if there is anything."""
    from fovflow.runs.verify import format_report, verify

    with Progress(0, "verify", unit="B", leave=False) as progress:
        report = verify(folder, advance=progress.advance, raw=raw)
    print_result(json, report.to_json(), lambda: format_report(report))
    return 0 if report.ok else 1


@command(
    "fovflow checksums raw --write        # later: fovflow checksums raw",
    argument("what", choices=("raw", "outputs"), help="which files"),
    argument(
        "folders",
        nargs="*",
        help="of outputs: folders (default: the configuration's output folder)",
    ),
    argument(
        "--write", action="store_true", help="write the list; without it, compare with the list"
    ),
    argument(
        "--list",
        dest="given",
        metavar="FILE",
        help="the list (default: raw_data.sha256 or outputs.sha256)",
    ),
    argument(
        "--configfile", default=CONFIG, metavar="FILE", help=f"configuration (default: {CONFIG})"
    ),
    JSON,
)
def checksums(
    *, what: str, folders: list[str], write: bool, given: str | None, configfile: str, json: bool
) -> int:
    """Write the list, or compare; return 1 if anything differs from the list."""
    from dataclasses import asdict

    from fovflow.config.load import load_config
    from fovflow.errors import ConfigError
    from fovflow.runs import checksums

    default = {"raw": checksums.RAW_LIST, "outputs": checksums.OUTPUT_LIST}[what]
    former = given or checksums.default_list(default)
    name = given or default if write else former
    if what == "raw" and folders:
        raise ConfigError("raw takes no folders", remedy="the configuration names the raw data")
    listed = None if write else checksums.read_list(name)
    with Progress(0, name, unit="B", leave=False) as progress:
        if what == "raw":
            found = checksums.raw_data(load_config(configfile), advance=progress.advance)
        else:
            places = folders or [str(chosen_outdir(None, configfile))]
            found = checksums.outputs(map(Path, places), advance=progress.advance)
    problems = [] if listed is None else checksums.differences(listed, found, name=name)
    if listed is None:
        checksums.write_list(name, found, former)
    verdict = "listed" if listed is None else "differ" if problems else "as listed"
    amount = f"{len(found)} files, {megabytes(sum(item.bytes or 0 for item in found))}"
    print_result(
        json,
        {"list": name, "problems": problems, "files": [asdict(item) for item in found]},
        lambda: [*problems, f"{name}: {amount} {verdict}"],
    )
    return 1 if problems else 0


@command(
    "fovflow publish brave-otter /archive/plate1",
    RUN,
    argument("destination", metavar="DEST", help="a folder, or a URL such as s3://bucket/plate1"),
    OUTDIR_OPTION,
    JSON,
)
def publish(run: str, destination: str, outdir: str | None, json: bool) -> int:
    """Copy what a run left behind; return 1 if anything could not be copied."""
    from fovflow.runs.publish import publish

    recorded = chosen_run(outdir, run)
    with Progress(0, "publish", unit="B", leave=False) as progress:
        outcome = publish(
            recorded, destination, advance=lambda _, step, total: progress.advance(step, total)
        )
    if not json:
        for path, reason in outcome.failed.items():
            print(f"{path}: {reason}", file=sys.stderr)
    print_result(
        json,
        {"run": recorded.id, **outcome.to_json()},
        lambda: (
            f"{recorded.id}: {len(outcome.copied)} files copied ({megabytes(outcome.bytes)}, "
            f"{len(outcome.repaired)} of them anew), {len(outcome.kept)} were there already, "
            f"{len(outcome.failed)} failed"
        ),
    )
    return 1 if outcome.failed else 0
