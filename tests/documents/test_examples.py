"""Every example in a docstring of the package does what it says."""

import doctest
import importlib
import pkgutil
from importlib.util import find_spec

import fovflow

NO_MODULES = ("fovflow.__main__", "fovflow.paper")  # programs: importing runs them


def test_every_example_does_what_it_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tried, failed = 0, []
    for module in pkgutil.walk_packages(fovflow.__path__, "fovflow."):
        if module.name.startswith(NO_MODULES):
            continue
        if module.name.startswith("fovflow.training.") and find_spec("torch") is None:
            continue
        done = doctest.testmod(importlib.import_module(module.name))
        tried += done.attempted
        failed += [module.name] * bool(done.failed)
    assert tried > 100
    assert not failed
