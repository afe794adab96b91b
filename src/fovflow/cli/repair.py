"""Commands that put results in order: repair, verdicts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fovflow.cli.common import CONFIGFILE, FOLDER, JSON, OUTDIR, argument, command, print_result
from fovflow.errors import ConfigError, FovflowError


@command(
    "fovflow repair results --dry-run",
    OUTDIR,
    CONFIGFILE,
    argument("-n", "--dry-run", action="store_true", help="only tell what would be done"),
    argument("--cores", default="all", help="cores to use (default: all)"),
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
    argument(
        "--carry-over",
        action="store_true",
        help="apply verdicts of other traces to the cells that lie where the judged ones lay",
    ),
    JSON,
)
def verdicts(folder: str, carry_over: bool, json: bool) -> int:
    """Print one line per file of verdicts; return 1 if any is not used."""
    from fovflow.results import load_datasets
    from fovflow.verdicts import carry_over as carry
    from fovflow.verdicts import find_verdicts, traces_of

    found: list[dict[str, Any]] = []
    for results in load_datasets(folder).values():
        for fov in results.fovs.values():
            if fov.traces_path is None:
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
