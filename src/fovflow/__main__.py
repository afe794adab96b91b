"""``python -m fovflow``: the same as the command ``fovflow``."""

import sys

from fovflow.cli import main

if __name__ == "__main__":
    sys.exit(main())
