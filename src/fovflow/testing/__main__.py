"""Run one job of the pipeline by itself: ``python -m fovflow.testing RULE --dataset D --fov N``."""

import argparse
import sys

from fovflow.errors import FovflowError
from fovflow.testing import run_script

parser = argparse.ArgumentParser(prog="python -m fovflow.testing", description=__doc__)
parser.add_argument("rule", help="copy, segment, correct, …, or a step of your own")
parser.add_argument("--dataset")
parser.add_argument("--fov", type=int)
parser.add_argument("--channel", type=int, help="may be left out where there is only one")
parser.add_argument("--configfile", default="config/config.yaml")
try:
    run_script(**vars(parser.parse_args()))
except FovflowError as error:
    sys.exit(f"fovflow.testing: {error}")
