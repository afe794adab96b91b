"""``fovflow run``: Snakemake with this package's workflow."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
from types import FrameType

from fovflow.adapter.engine import snakemake_command
from fovflow.adapter.interrupts import interrupts_blocked

EXAMPLE = "fovflow run --cores 4 --configfile config/config.yaml"
PASSES_ON = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what is passed on."""
    parser.usage = "fovflow run [SNAKEMAKE OPTIONS] [TARGETS]"
    parser.description = (
        "Run the pipeline in this folder. All options and targets are Snakemake's: -n shows what "
        "would run, --configfile takes another configuration, --config key=value sets one key, "
        "--workflow-profile profiles/slurm runs on a cluster. All cores are used unless --cores "
        "says otherwise."
    )


def main(arguments: argparse.Namespace) -> int:
    """Run Snakemake; return 0, or 1 if anything failed."""
    with interrupts_blocked():  # until the workflow begins: `expect_interrupts`
        process = subprocess.Popen(snakemake_command(arguments.rest), env=os.environ.copy())

        def pass_on(number: int, _: FrameType | None) -> None:
            process.send_signal(number)

        previous = {
            number: signal.signal(number, handler)
            for number, handler in (
                (signal.SIGTERM, pass_on),
                (signal.SIGINT, lambda *_: None),  # it reaches Snakemake from the terminal itself
            )
        }
    try:
        return min(abs(process.wait()), 1)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
