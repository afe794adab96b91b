"""Run one job of the pipeline by itself: ``python -m fovflow.testing RULE --dataset D --fov N``."""

import argparse
import sys

from fovflow.errors import FovflowError
from fovflow.testing import run_script


def main() -> None:
    """Run the job that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m fovflow.testing", description=__doc__)
    parser.add_argument("rule", help="copy, segment, correct, …, or a step of your own")
    parser.add_argument("--dataset", help="name of the dataset in the configuration")
    parser.add_argument("--fov", type=int, help="index of the field of view, counted from 0")
    parser.add_argument("--channel", type=int, help="may be left out where there is only one")
    parser.add_argument("--configfile", default="config/config.yaml", help="the configuration")
    try:
        run_script(**vars(parser.parse_args()))
    except FovflowError as error:
        sys.exit(f"fovflow.testing: {error}")


if __name__ == "__main__":
    main()
