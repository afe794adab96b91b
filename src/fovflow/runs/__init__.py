"""Run records: what was done, when, by what, with which outcome.

One store, one event form: everything that happens in a run is a line of JSON in a file with one
writer, below ``{outdir}/runs/{run}/``. See docs/provenance.md. The package can be called, which
reads runs back: ``fovflow.runs("results")``; see `fovflow.runs.history.runs`.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class _Callable(ModuleType):
    """A package that can be called."""

    def __call__(self, *arguments: Any, **keys: Any) -> Any:
        from fovflow.runs.history import runs

        return runs(*arguments, **keys)


sys.modules[__name__].__class__ = _Callable
