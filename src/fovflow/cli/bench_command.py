"""``fovflow bench``: speed and memory on this machine."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

from fovflow.adapter.engine import workflow_folder

EXAMPLE = "fovflow bench --quick --json figures.json"
PASSES_ON = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the arguments."""
    parser.add_argument("--quick", action="store_true", help="a selection, in about two minutes")
    parser.add_argument("--json", metavar="FILE", help="write the figures to this file")
    parser.add_argument("--folder", help="where movies and results are put meanwhile")
    parser.description = (
        "Measure time and memory of every step and of whole runs, and compare them with copying "
        "the same bytes; in a clone also with plain versions of the same algorithms. Other options "
        "are those of `python -m benchmarks`."
    )


def main(arguments: argparse.Namespace) -> int:
    """Measure in a process of its own; return its exit status."""
    command = [sys.executable, "-P", "-m", "benchmarks", *arguments.rest]
    command += ["--quick"] if arguments.quick else []
    for name in ("json", "folder"):
        value = getattr(arguments, name)
        command += [f"--{name}", value] if value else []
    paths = [str(workflow_folder()), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {"PYTHONPATH": os.pathsep.join(paths), "FOVFLOW_BENCH_COMMAND": "fovflow bench"}
    return subprocess.run(command, env={**os.environ, **environment}, check=False).returncode
