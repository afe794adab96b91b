"""For authors of plug-ins: suites that show that a part is what the pipeline expects.

A suite is a class for pytest. A subclass names the part as the configuration does; a plug-in must
be installed, so that it is found by its entry point::

    from fovflow.testing import SegmenterConformance

    class TestMine(SegmenterConformance):
        method = "mine"
        parameters = {"factor": 2.0}
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fovflow.testing.conformance import (
        CorrectorConformance,
        FeatureConformance,
        ReaderConformance,
        SegmenterConformance,
        TrackerConformance,
        check_lineage,
    )

__all__ = [
    "CorrectorConformance",
    "FeatureConformance",
    "ReaderConformance",
    "SegmenterConformance",
    "TrackerConformance",
    "check_lineage",
]

_SUITES = f"{__name__}.conformance"
if "pytest" in sys.modules:  # lets failed asserts of the suites show their values
    sys.modules["pytest"].register_assert_rewrite(_SUITES)


def __getattr__(name: str) -> Any:
    """Import the suites, and pytest, when they are asked for."""
    if name in __all__:
        return getattr(importlib.import_module(_SUITES), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
