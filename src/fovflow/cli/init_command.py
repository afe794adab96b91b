"""``fovflow init``: a project folder with a commented configuration."""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
from pathlib import Path

from fovflow.adapter.engine import workflow_folder
from fovflow.cli.paper import lay_out_paper
from fovflow.errors import FovflowError

EXAMPLE = "fovflow init my_project --raw data/plate1.nd2"
_DATASETS = re.compile(r"^datasets:.*\n(?:[ \t]+.*\n|\n(?=[ \t]))*", re.MULTILINE)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the arguments."""
    parser.add_argument("folder", nargs="?", default=".", help="project folder (default: this one)")
    parser.add_argument(
        "--raw", nargs="+", default=[], metavar="FILE", help="raw files: one dataset each"
    )
    parser.add_argument(
        "--paper", action="store_true", help="add what others need to do the analysis again"
    )


def main(arguments: argparse.Namespace) -> int:
    """Lay out the folder; files that are there already are left alone."""
    folder = Path(arguments.folder)
    paper = bool(getattr(arguments, "paper", False))
    template = workflow_folder()
    config = folder / "config" / "config.yaml"
    if config.exists():
        raise FovflowError(
            f"{config} exists already",
            remedy="edit it, or choose another folder; nothing was changed",
        )
    try:
        config.parent.mkdir(parents=True, exist_ok=True)
        text = (template / "config" / "config.yaml").read_text(encoding="utf-8")
        if arguments.raw:
            text = with_datasets(text, arguments.raw, folder)
        config.write_text(text, encoding="utf-8")
        for name in ("README.md", "config.schema.json"):
            shutil.copyfile(template / "config" / name, config.parent / name)
        profile = folder / "profiles" / "default"
        if not profile.exists():
            shutil.copytree(template / "profiles" / "default", profile)
        if paper:
            lay_out_paper(folder)
    except OSError as error:
        raise FovflowError(
            f"cannot lay out {folder}", found=error.strerror or str(error), remedy="choose a folder"
        ) from error
    print(f"made {config}: {'look through it' if arguments.raw else 'name your raw files in it'}")
    step = "" if arguments.folder == "." else f"cd {arguments.folder} && "
    print(f"then: {step}{'make record' if paper else 'fovflow run --cores all'}")
    return 0


def with_datasets(text: str, files: list[str], folder: Path) -> str:
    """Return the configuration's text with one dataset per raw file."""
    lines = ["datasets:"]
    taken: set[str] = set()
    for file in files:
        name = re.sub(r"[^\w+-]+", "_", Path(file).stem).strip("_") or "dataset"
        number = 2
        base = name
        while name.casefold() in taken:
            name, number = f"{base}_{number}", number + 1
        taken.add(name.casefold())
        path = file if Path(file).is_absolute() else os.path.relpath(file, folder)
        quoted = json.dumps(path, ensure_ascii=False)
        lines.append(f"  {json.dumps(name, ensure_ascii=False)}: {{path: {quoted}}}")
    return _DATASETS.sub(lambda _: "\n".join(lines) + "\n", text, count=1)
