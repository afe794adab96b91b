"""What the package offers to authors of plug-ins and scripts."""

import subprocess
import sys

import pytest

import fovflow.testing


def test_pytest_is_imported_with_the_suites_only():
    code = (
        "import sys, fovflow, fovflow.testing; assert 'pytest' not in sys.modules;"
        "fovflow.testing.ReaderConformance; assert 'pytest' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_unknown_names_are_errors():
    with pytest.raises(AttributeError, match="'nonsense'"):
        _ = fovflow.testing.nonsense
