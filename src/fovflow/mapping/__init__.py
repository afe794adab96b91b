"""A function over many fields of view, in threads or in processes. See ``docs/mapping.md``."""

from __future__ import annotations

from fovflow.mapping.mapper import map_fovs
from fovflow.mapping.outcomes import Outcome, Outcomes

__all__ = ["Outcome", "Outcomes", "map_fovs"]
