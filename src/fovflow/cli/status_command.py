"""``fovflow status``: what is complete, what failed and why."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from fovflow.errors import FovflowError
from fovflow.units import format_ranges

EXAMPLE = "fovflow status results"
CONFIG = "config/config.yaml"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the arguments."""
    parser.add_argument(
        "outdir", nargs="?", help="output folder (default: the configuration's, else results)"
    )
    parser.add_argument("--configfile", default=CONFIG, help=f"configuration (default: {CONFIG})")
    parser.add_argument("--json", action="store_true", help="print JSON")


def main(arguments: argparse.Namespace) -> int:
    """Print the status; return 1 if anything is not complete."""
    found = _status(arguments.outdir, arguments.configfile)
    if arguments.json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        print(format_status(found))
    fine = all(fov["status"] == "complete" for dataset in found for fov in dataset["fovs"].values())
    return 0 if fine and not any(dataset["problems"] for dataset in found) else 1


def _status(outdir: str | None, configfile: str) -> list[dict[str, Any]]:
    """Return one entry per dataset, from the configuration if it is there and of this folder."""
    from fovflow.adapter.outcome import dataset_status
    from fovflow.adapter.pipeline import Pipeline
    from fovflow.tables import read_yaml

    if Path(configfile).exists():
        pipeline = Pipeline(read_yaml(configfile), is_main=False)
        if outdir is None or Path(outdir).resolve() == Path(pipeline.config.outdir).resolve():
            return [
                {
                    "dataset": name,
                    "fovs": {str(k): v for k, v in dataset_status(pipeline, name).items()},
                    "problems": list(plan.problems),
                }
                for name, plan in pipeline.datasets.items()
            ]
    return _from_results(Path(outdir or "results"))


def _from_results(outdir: Path) -> list[dict[str, Any]]:
    from fovflow.results import FILE_NAME, load_results

    folders = sorted(path.parent for path in outdir.glob(f"*/{FILE_NAME}"))
    if (outdir / FILE_NAME).exists():
        folders.append(outdir)
    if not folders:
        raise FovflowError(
            f"{outdir} holds no results",
            found="no processing_results.yaml",
            remedy="give the output folder of a run, or run the pipeline first",
        )
    found = []
    for folder in folders:
        results = load_results(folder)
        lost = {path.parent.name for path in results.missing}
        found.append(
            {
                "dataset": results.dataset,
                "fovs": {
                    str(fov.index): _entry(fov, f"fov_{fov.index:03d}" in lost)
                    for fov in results.fovs.values()
                },
                "problems": list(results.content.get("problems") or []),
            }
        )
    return found


def _entry(fov: Any, lost: bool) -> dict[str, str]:
    if lost and fov.status == "complete":
        return {"status": "incomplete", "error": "files that the results name are missing"}
    entry = {"status": fov.status, "step": fov.step, "error": fov.error}
    return {key: value for key, value in entry.items() if value}


def format_status(found: list[dict[str, Any]]) -> str:
    """Return the status as a table for people."""
    lines = []
    for dataset in found:
        fovs = dataset["fovs"]
        complete = sum(fov["status"] == "complete" for fov in fovs.values())
        lines.append(f"{dataset['dataset']}: {complete} of {len(fovs)} FOVs complete")
        groups: dict[str, list[int]] = {}
        for index, fov in fovs.items():
            if fov["status"] != "complete":
                step = f" at {fov['step']}" if fov.get("step") else ""
                error = f": {fov['error']}" if fov.get("error") else ""
                groups.setdefault(f"{fov['status']}{step}{error}", []).append(int(index))
        for text, indices in groups.items():
            what = "FOV" if len(indices) == 1 else "FOVs"
            lines.append(f"  {what} {format_ranges(indices)}: {text}")
        lines += [f"  {problem}" for problem in dataset["problems"]]
    return "\n".join(lines)
