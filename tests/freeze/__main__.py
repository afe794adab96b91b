"""Record all that fovflow makes and says, so that two states of the code can be compared.

    python tests/freeze record BEFORE.json          # one to three minutes
    ...                                             # change the code
    python tests/freeze record AFTER.json
    python tests/freeze compare BEFORE.json AFTER.json

The pipeline runs on simulated movies in a temporary folder. Only the commands, the names in
``fovflow.__all__`` and in ``docs/python.md``, and files of the clone are used, so that modules may
move in between. What differs from run to run (times, ids, paths, measurements) stands as a
placeholder. The clone is the one that the running Python imports fovflow from.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from comparison import compare
from recording import record


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parts = parser.add_subparsers(dest="part", required=True)
    part = parts.add_parser("record", help="record the present state of the code")
    part.add_argument("out", type=Path, metavar="OUT.json")
    part = parts.add_parser("compare", help="name what differs; exit status 1 if anything does")
    part.add_argument("before", type=Path, metavar="BEFORE.json")
    part.add_argument("after", type=Path, metavar="AFTER.json")
    given = parser.parse_args()
    if given.part == "compare":
        return compare(given.before, given.after)
    record(given.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
