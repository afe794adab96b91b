"""Commands that check results and put them in order: verify to publish, repair, verdicts."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from fovflow.cli.common import (
    CONFIG,
    CONFIGFILE,
    CORES,
    FOLDER,
    JSON,
    OUTDIR,
    OUTDIR_OPTION,
    RUN,
    argument,
    chosen_outdir,
    chosen_run,
    command,
    flag,
    print_result,
)
from fovflow.errors import ConfigError, FovflowError
from fovflow.progress import Progress
from fovflow.units import megabytes


@command(
    "fovflow verify results",
    FOLDER,
    flag(
        "--raw",
        help="read the raw data in full, too, and compare them with the pixels that were copied",
    ),
    JSON,
)
def verify(folder: str | None, raw: bool, json: bool) -> int:
    """Print what does not hold, one line each; return 1 if there is anything."""
    from fovflow.runs.checks import format_report
    from fovflow.runs.verify import verify

    with Progress(0, "verify", unit="B", leave=False) as progress:
        report = verify(chosen_outdir(folder), advance=progress.advance, raw=raw)
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
    flag("--write", help="write the list; without it, compare with the list"),
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


@command(
    "fovflow repair results --dry-run",
    OUTDIR,
    CONFIGFILE,
    flag("-n", "--dry-run", help="only tell what would be done"),
    CORES,
    JSON,
    description="Find outputs that are damaged or gone, as `fovflow verify` does, and make them "
    "again, byte for byte. All others are left alone. What cannot be made again, since the raw "
    "data are gone or the configuration is another one, stays as it is.",
)
def repair(outdir: str | None, configfile: str, dry_run: bool, cores: str, json: bool) -> int:
    """Print one line per damaged file; return 1 if anything does not hold at the end."""
    from fovflow.config.load import parse_config, read_config
    from fovflow.repair import repair

    config = read_config(configfile)
    folder = parse_config(config).outdir
    if outdir is not None and Path(outdir).resolve() != Path(folder).resolve():
        raise ConfigError(
            f"the configuration {configfile} is of another output folder than {outdir}",
            found=folder,
            remedy="give the configuration that these results were made with: --configfile",
        )
    done = repair(config, dry_run=dry_run, cores=cores)
    findings = done.report.findings if done.report else []
    would = "would be: " if dry_run else ""
    lines = [f"{name}: {would}{words}" for name, words in done.made.items()]
    lines += [f"{name}: {words}" for name, words in done.refused.items()]
    lines += [str(finding) for finding in findings if finding.file not in done.refused]
    if not lines:
        lines.append("no output is damaged or gone")
    elif done.report:
        fine = "everything holds" if done.report.ok else f"{len(findings)} findings"
        lines.append(f"{len(done.made)} files made again: {fine}")
    content = {
        "made": done.made,
        "refused": done.refused,
        "verify": done.report.to_json() if done.report else None,
    }
    print_result(json, content, lambda: lines)
    return 1 if done.refused or findings or (dry_run and done.made) else 0


@command(
    "fovflow verdicts results --carry-over",
    FOLDER,
    flag(
        "--carry-over",
        help="apply verdicts of other traces to the cells that lie where the judged ones lay",
    ),
    JSON,
)
def verdicts(folder: str | None, carry_over: bool, json: bool) -> int:
    """Print one line per file of verdicts; return 1 if any is not used."""
    from fovflow.results import load_datasets
    from fovflow.verdicts import carry_over as carry
    from fovflow.verdicts import find_verdicts, traces_of

    found: list[dict[str, Any]] = []
    for results in load_datasets(chosen_outdir(folder)).values():
        for fov in results.fovs.values():
            if fov.traces_path is None:
                left = sorted(fov.path.glob("*_traces_inspected.csv"))
                gone = {"fov": fov.name, "stale": "the traces are not there"}
                found += [gone | {"file": str(path)} for path in left]
                continue
            traces = traces_of(fov.traces_path)
            path, reason = find_verdicts(traces)
            if path is None:
                continue
            entry: dict[str, Any] = {"fov": fov.name, "file": str(path), "stale": reason}
            if reason and carry_over:
                try:
                    carried = carry(traces)
                except FovflowError as error:
                    entry["problem"] = str(error)
                else:
                    entry |= {"stale": "", "cells": len(carried.cells)}
                    entry |= {"lost": carried.lost, "unjudged": carried.unjudged}
            found.append(entry)
    print_result(json, found, lambda: [_in_words(entry) for entry in found] or "no verdicts")
    return 1 if any(entry["stale"] for entry in found) else 0


def _in_words(entry: dict[str, Any]) -> str:
    if "cells" in entry:
        lost, unjudged = (", ".join(map(str, entry[key])) for key in ("lost", "unjudged"))
        words = f"verdicts on {entry['cells']} cells were carried over"
        words += f"; judged cells without a counterpart: {lost}" if lost else ""
        words += f"; cells with the automatic verdict: {unjudged}" if unjudged else ""
    elif entry["stale"]:
        words = f"not used: {entry['stale']}"
        words += f"\n  {entry['problem']}" if "problem" in entry else ""
    else:
        words = "used"
    return f"{entry['fov']}: {words}"
